//! What a client consists of in one process: the client of Rust, and what comes from it for Python.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ca_client::{ClientBuilder, blocking};
use pyo3::prelude::*;

use crate::deliver::Hub;
use crate::errors;
use crate::life::{self, Native};

/// A running client.
pub(crate) struct Core {
    pub(crate) client: blocking::Client,
    pub(crate) hub: Hub,
}

/// How a client is made, to make it again in the child of a fork.
pub(crate) type Recipe = Box<dyn Fn() -> ClientBuilder + Send + Sync>;

enum State {
    Made(Arc<Native<Core>>),
    NotYet,
    Closed,
}

/// The core of a client, made when it is first needed in a process.
///
/// Its lock is taken with the GIL held, and never kept without it, so that no thread of the parent can
/// hold it at the time of a fork.
pub(crate) struct Slot {
    state: Mutex<State>,
    recipe: Recipe,
}

impl Slot {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self {
            state: Mutex::new(State::NotYet),
            recipe,
        }
    }

    /// The core of this process.
    ///
    /// # Errors
    /// `Closed`, or `CannotStart` when there are no sockets or threads.
    pub(crate) fn core(&self, py: Python<'_>) -> PyResult<Arc<Native<Core>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Closed => return Err(errors::closed(py, "")),
            State::Made(core) if core.get().is_some() => return Ok(core.clone()),
            _ => {}
        }
        // Not detached: it takes a moment, and the lock is held.
        let client = (self.recipe)().build_blocking();
        let client = client.map_err(|error| errors::build(py, &error))?;
        let hub = Hub::new(client.as_async());
        let core = Arc::new(Native::new(Core { client, hub }));
        *state = State::Made(core.clone());
        Ok(core)
    }

    pub(crate) fn close(&self, py: Python<'_>, patience: Duration) {
        let state = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State::Closed)
        };
        if let State::Made(core) = state {
            life::detached(py, || {
                if let Some(core) = core.get() {
                    // What waits in other threads ends, too, and so does what runs beside.
                    let end = core.client.as_async().close();
                    core.client.block_until(end, Instant::now() + patience);
                    core.hub.close();
                }
                drop(core);
            });
        }
    }
}
