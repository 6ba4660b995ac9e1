//! Operations of a loop that waits by itself: asyncio's.
//!
//! Their futures are polled by the thread of the loop, which moves the bytes, too, as long as it comes round quickly:
//! an answer needs no switch of threads. It waits for two descriptors: that of the client, readable when there are bytes
//! to be moved, and one that says that the background thread has moved them.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ca_client::blocking;
use futures_core::Stream as _;
use futures_util::stream::FuturesUnordered;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::core::Core;
use crate::deliver::{Done, Job};
use crate::errors;
use crate::life::{self, Native};

/// Rounds of moving bytes and looking at the futures, before the loop has its turn again.
const ROUNDS: usize = 4;

/// How long a loop that has nothing else to do waits for an answer in the call that asks for it: a server of the same
/// network answers within that, and two rounds of the loop would take as long.
const PATIENCE: Duration = Duration::from_micros(200);

/// Most answers that are not waited for after one that did not come within [`PATIENCE`].
const MOST_DOUBT: u32 = 255;

/// Makes the loop look.
#[derive(Debug)]
struct Signal {
    to_loop: UnixStream,
    /// The loop has been told and has not looked yet, or looks now.
    told: AtomicBool,
    /// A future is to be polled.
    woken: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if !self.told.swap(true, Ordering::SeqCst) {
            // Full means that it is told already.
            let _ = (&self.to_loop).write(&[0]);
        }
    }
}

/// The operations of one loop with one client.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct LoopJobs {
    native: Arc<Native<Core>>,
    jobs: Native<Mutex<FuturesUnordered<Job>>>,
    signal: Arc<Signal>,
    from_others: UnixStream,
    /// Answers that are still not waited for, and how many those will be after the next one that does not come soon.
    skip: AtomicU32,
    doubt: AtomicU32,
}

impl LoopJobs {
    pub(crate) fn new(py: Python<'_>, native: Arc<Native<Core>>) -> PyResult<Self> {
        if native.get().is_none() {
            return Err(errors::closed(py, ""));
        }
        let (from_others, to_loop) = UnixStream::pair()?;
        from_others.set_nonblocking(true)?;
        to_loop.set_nonblocking(true)?;
        Ok(Self {
            native,
            jobs: Native::new(Mutex::default()),
            signal: Arc::new(Signal {
                to_loop,
                told: AtomicBool::new(false),
                woken: AtomicBool::new(false),
            }),
            from_others,
            skip: AtomicU32::new(0),
            doubt: AtomicU32::new(0),
        })
    }

    /// Adds an operation; the next turn begins it.
    pub(crate) fn start(
        &self,
        callback: Py<PyAny>,
        job: impl Future<Output = Done> + Send + 'static,
    ) {
        let job = async move {
            let done = job.await;
            (callback, done)
        };
        if let Some(jobs) = self.jobs.get() {
            let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.push(Box::pin(job));
        }
        self.signal.woken.store(true, Ordering::SeqCst);
    }

    /// Waits for a moment for something to do. Servers that take longer are asked ever more seldom.
    fn wait(&self, core: &Core) -> bool {
        if self.skip.load(Ordering::Relaxed) > 0 {
            self.skip.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let came = core
            .client
            .own()
            .is_some_and(|client| readable(client, PATIENCE));
        let doubt = match came {
            true => 0,
            false => (2 * self.doubt.load(Ordering::Relaxed) + 1).min(MOST_DOUBT),
        };
        self.doubt.store(doubt, Ordering::Relaxed);
        self.skip.store(doubt, Ordering::Relaxed);
        came
    }

    /// What has ended. With `drive` the bytes are moved here, too, and with `alone` an answer is waited for.
    fn take(&self, core: &Core, drive: bool, alone: bool) -> Vec<(Py<PyAny>, Done)> {
        let mut alone = alone && drive;
        let mut taken = Vec::new();
        // What is woken from here on needs no telling.
        // Who tells writes after it has said so: what comes late is found by the loop, which then does not drive.
        if self.signal.told.swap(true, Ordering::SeqCst) || !drive {
            let mut told = [0; 64];
            while matches!((&self.from_others).read(&mut told), Ok(64)) {}
        }
        let waker = Waker::from(self.signal.clone());
        let mut cx = Context::from_waker(&waker);
        for round in 0..ROUNDS {
            if self.signal.woken.swap(false, Ordering::SeqCst) {
                let Some(jobs) = self.jobs.get() else { break };
                let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
                while let Poll::Ready(Some(one)) = std::pin::Pin::new(&mut *jobs).poll_next(&mut cx)
                {
                    taken.push(one);
                }
            } else if round > 0 && !(alone && self.wait(core)) {
                break;
            } else if round > 0 {
                alone = false;
            }
            if !drive || !taken.is_empty() {
                break;
            }
            if let Some(client) = core.client.own() {
                client.turn();
            }
        }
        self.signal.told.store(false, Ordering::SeqCst);
        // Between the last look and this.
        if self.signal.woken.load(Ordering::SeqCst) {
            self.signal.wake_by_ref();
        }
        taken
    }
}

#[pymethods]
impl LoopJobs {
    /// Readable when there are bytes to be moved.
    fn fileno(&self) -> Option<RawFd> {
        Some(self.native.get()?.client.own()?.as_raw_fd())
    }

    /// Readable when something was moved by another thread.
    fn wake_fileno(&self) -> RawFd {
        self.from_others.as_raw_fd()
    }

    /// False in the child of a fork.
    fn is_ours(&self) -> bool {
        self.native.get().is_some()
    }

    /// How many are under way.
    fn __len__(&self) -> usize {
        let jobs = self.jobs.get();
        jobs.map_or(0, |jobs| {
            jobs.lock().unwrap_or_else(PoisonError::into_inner).len()
        })
    }

    /// Begins what was started, and gives what has ended: pairs of a function and its arguments. With `drive` it moves
    /// the bytes that can be moved at once; with `alone`, as nothing else is to be done, it waits for an answer, for a
    /// fraction of a millisecond.
    #[pyo3(signature = (drive, alone=false))]
    fn turn<'py>(&self, py: Python<'py>, drive: bool, alone: bool) -> PyResult<Bound<'py, PyList>> {
        let calls = PyList::empty(py);
        let Some(core) = self.native.get() else {
            return Ok(calls);
        };
        let taken = life::detached(py, || self.take(core, drive, alone));
        for (callback, done) in taken {
            if let Some(call) = core.hub.done(py, callback, done)? {
                calls.append(call)?;
            }
        }
        Ok(calls)
    }
}

/// Whether there is something to do for a client within a time.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn readable(client: &blocking::Client, within: Duration) -> bool {
    use nix::poll::{PollFd, PollFlags, ppoll};
    use nix::sys::time::TimeSpec;

    let fds = &mut [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    ppoll(fds, Some(TimeSpec::from(within)), None).is_ok_and(|ready| ready > 0)
}

/// Waits that short cannot be had everywhere.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn readable(_client: &blocking::Client, _within: Duration) -> bool {
    false
}
