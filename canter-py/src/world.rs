//! A virtual world: IOCs and clients without sockets, on a clock that moves when it is told.
//!
//! All of it runs in the thread of Python that waits for something. What comes for Python meanwhile, callbacks and
//! puts that functions decide, rings a [`Bell`]: the world stands still until Python has done it.

use std::net::Ipv4Addr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use ca_client::Runtime;
use ca_testkit::runtime::{SimRuntime, Stuck};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors;
use crate::life::{self, Native};
use crate::params;

/// Longest time that one call lets pass.
const MAX_TIME: Duration = Duration::from_secs(366 * 86_400);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that there is something for Python.
#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        let waiting = lock(&self.waiting).take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// The world, behind those who live in it.
pub(crate) struct Inner {
    runtime: SimRuntime,
    /// Who lets time pass: one at a time.
    turn: Mutex<()>,
    pub(crate) bell: Arc<Bell>,
    /// Does what there is for Python.
    pump: Mutex<Option<Py<PyAny>>>,
}

impl Inner {
    /// Runs until the future is ready, or there is something for Python (`None`).
    pub(crate) fn block_until<F: Future>(
        &self,
        mut future: Pin<&mut F>,
    ) -> Result<Option<F::Output>, Stuck> {
        let _turn = lock(&self.turn);
        self.runtime.block_on(std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            *lock(&self.bell.waiting) = Some(cx.waker().clone());
            match self.bell.rung.swap(false, Ordering::SeqCst) {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        }))
    }

    /// Runs until the future is ready, whatever comes for Python.
    pub(crate) fn finish<F: Future>(&self, future: F) -> Result<F::Output, Stuck> {
        let _turn = lock(&self.turn);
        self.runtime.block_on(future)
    }

    /// A host with this address.
    pub(crate) fn host(&self, address: Ipv4Addr) -> Arc<dyn Runtime> {
        self.runtime.host(address)
    }

    /// Does what there is for Python.
    pub(crate) fn pump(&self, py: Python<'_>) -> PyResult<()> {
        let pump = lock(&self.pump).as_ref().map(|pump| pump.clone_ref(py));
        if let Some(pump) = pump {
            pump.call0(py)?;
        }
        Ok(())
    }

    /// Waits for a future, with what comes for Python meanwhile.
    pub(crate) fn wait<F>(&self, py: Python<'_>, future: F) -> PyResult<F::Output>
    where
        F: Future + Send,
        F::Output: Send,
    {
        let mut future = pin!(future);
        loop {
            self.pump(py)?;
            let output = life::detached(py, || self.block_until(future.as_mut()));
            if let Some(output) = output.map_err(stuck)? {
                self.pump(py)?;
                return Ok(output);
            }
            py.check_signals()?;
        }
    }
}

pub(crate) fn stuck(stuck: Stuck) -> PyErr {
    PyRuntimeError::new_err(format!("the world cannot go on: {stuck}"))
}

/// The address of a host.
pub(crate) fn address(text: &str) -> PyResult<Ipv4Addr> {
    text.parse().map_err(|_| {
        errors::bad(format!(
            "address \"{text}\": give an IPv4 address, as 10.0.0.1"
        ))
    })
}

/// A virtual world.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct World {
    inner: Native<Arc<Inner>>,
}

impl World {
    pub(crate) fn inner(&self) -> PyResult<&Arc<Inner>> {
        let elsewhere = || {
            PyRuntimeError::new_err(
                "this world belongs to the parent of this process; make another one here",
            )
        };
        self.inner.get().ok_or_else(elsewhere)
    }
}

#[pymethods]
impl World {
    /// The same seed gives the same messages at the same times; with `shuffled` it also chooses among what may come
    /// first.
    #[new]
    #[pyo3(signature = (seed, shuffled=false))]
    fn new(seed: u64, shuffled: bool) -> Self {
        let runtime = match shuffled {
            true => SimRuntime::shuffled(seed),
            false => SimRuntime::new(seed),
        };
        runtime.set_time_limit(MAX_TIME);
        Self {
            inner: Native::new(Arc::new(Inner {
                runtime,
                turn: Mutex::new(()),
                bell: Arc::default(),
                pump: Mutex::new(None),
            })),
        }
    }

    /// Says what does what there is for Python.
    fn set_pump(&self, pump: Py<PyAny>) -> PyResult<()> {
        let before = lock(&self.inner()?.pump).replace(pump);
        drop(before);
        Ok(())
    }

    /// Seconds since its begin.
    fn now(&self) -> PyResult<f64> {
        let now = self.inner()?.runtime.now();
        Ok((now - ca_client::ca_proto::Instant::ZERO).as_secs_f64())
    }

    /// Lets time pass.
    fn sleep(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let inner = self.inner()?;
        let time = params::duration(seconds)?.min(MAX_TIME / 2);
        inner.wait(py, inner.runtime.sleep(time))
    }

    /// Cuts or mends the way between two hosts: datagrams are lost, circuits stand still.
    fn partition(&self, a: &str, b: &str, down: bool) -> PyResult<()> {
        let (a, b) = (address(a)?, address(b)?);
        self.inner()?.runtime.partition(a, b, down);
        Ok(())
    }

    /// What passed, one message per line.
    fn trace(&self) -> PyResult<Vec<String>> {
        let lines = |trace: &mut ca_testkit::Trace| trace.lines().map(str::to_owned).collect();
        Ok(self.inner()?.runtime.trace(lines))
    }
}
