//! The classes by which Python takes what has come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ca_client::MonitorKey;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::Call;
use super::take::Taken;
use super::tell::Gathered;
use crate::core::Core;
use crate::life::{self, Native};
use crate::params;

/// How long a wait lasts before Python is asked whether a signal came.
const PULSE: Duration = Duration::from_millis(50);

/// Names a subscription.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Key {
    pub(crate) core: Arc<Native<Core>>,
    pub(crate) keys: Vec<MonitorKey>,
    /// Updates that were left out, if they are counted here.
    pub(crate) skipped: Arc<AtomicU64>,
}

#[pymethods]
impl Key {
    /// Cancels the subscription; what waits for it is not delivered any more.
    fn cancel(&self, py: Python<'_>) {
        life::detached(py, || {
            if let Some(core) = self.core.get() {
                core.hub.unsubscribe(&self.keys);
            }
        });
    }

    /// Updates that were left out, as they came faster than a callback for values took them.
    #[getter]
    fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// False in the child of a fork, and when its client was closed.
    fn is_ours(&self) -> bool {
        self.core.get().is_some_and(|core| !core.hub.is_closed())
    }
}

/// What comes for Python from one client, for the thread that runs callbacks.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Deliveries {
    pub(crate) core: Arc<Native<Core>>,
}

#[pymethods]
impl Deliveries {
    /// Waits, without the GIL, until there is something, and gives all of it: pairs of a function and its arguments.
    /// `None` when the client was closed.
    fn wait(&self, py: Python<'_>) -> Option<Calls> {
        let core = self.core.get()?;
        let taken = life::detached(py, || core.hub.take());
        (!taken.is_empty()).then(|| Calls::new(self.core.clone(), taken))
    }

    /// As `wait`, and none if there is nothing.
    fn take(&self, py: Python<'_>) -> Calls {
        let taken = match self.core.get() {
            Some(core) => life::detached(py, || core.hub.take_now()),
            None => Vec::new(),
        };
        Calls::new(self.core.clone(), taken)
    }

    /// Waits until what had come by now is delivered: at once in the thread that delivers, and when there is nothing.
    /// False if it is not after so many seconds; then nobody waits again for the callback that runs.
    fn settle(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let Some(core) = self.core.get().filter(|_| !life::is_exiting()) else {
            return Ok(true);
        };
        // hot: mostly there is nothing, and the GIL is kept.
        let Some(goal) = core.hub.goal() else {
            return Ok(true);
        };
        let deadline = Instant::now() + params::duration(seconds)?;
        loop {
            let soon = deadline.min(Instant::now() + PULSE);
            if let Some(reached) = life::detached(py, || core.hub.reach(goal, soon)) {
                return Ok(reached);
            }
            py.check_signals()?;
            if Instant::now() >= deadline {
                core.hub.give_up();
                return Ok(false);
            }
        }
    }

    /// False in the child of a fork.
    fn is_ours(&self) -> bool {
        self.core.get().is_some()
    }
}

/// What is to be called. Each call is made when it is asked for, so that it is known then whether somebody still wants
/// it, and no more than one value has to be held.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Calls {
    core: Arc<Native<Core>>,
    left: Mutex<(std::vec::IntoIter<Taken>, Next, Gathered)>,
}

/// What comes behind the updates that were gathered.
type Next = Option<Taken>;

impl Calls {
    fn new(core: Arc<Native<Core>>, taken: Vec<Taken>) -> Self {
        let left = (taken.into_iter(), None, Gathered::default());
        Self {
            core,
            left: Mutex::new(left),
        }
    }
}

#[pymethods]
impl Calls {
    const fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Call<'py>>> {
        // One thread has it; an error is better than a deadlock.
        let Ok(mut left) = self.left.try_lock() else {
            return Err(PyRuntimeError::new_err(
                "these calls belong to another thread",
            ));
        };
        let (taken, next, gathered) = &mut *left;
        let Some(core) = self.core.get() else {
            return Ok(None);
        };
        loop {
            let one = match next.take().or_else(|| taken.next()) {
                Some(Taken::Value(key, value, skipped)) => {
                    match core.hub.value(py, gathered, key, (value, skipped))? {
                        Some(call) => return Ok(Some(call)),
                        None => continue,
                    }
                }
                one => one,
            };
            if let Some(call) = gathered.tell(py)? {
                *next = one;
                return Ok(Some(call));
            }
            let call = match one {
                Some(Taken::Event(key, event)) => core.hub.event(py, key, &event)?,
                Some(Taken::Done(callback, done)) => core.hub.done(py, callback, done)?,
                Some(Taken::Value(..)) => None,
                None => return Ok(None),
            };
            if call.is_some() {
                return Ok(call);
            }
        }
    }
}
