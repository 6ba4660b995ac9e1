//! What a client consists of in one process: the client of Rust, and what comes from it for Python.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use std::net::Ipv4Addr;

use ca_client::{ClientBuilder, ClientStats, EffectiveConfig, blocking};
use pyo3::prelude::*;

use crate::deliver::Hub;
use crate::errors;
use crate::life::{self, Native};
use crate::world;

/// A client, and what moves its bytes.
pub(crate) enum Driven {
    /// Sockets of this host.
    Own(blocking::Client),
    /// A virtual world.
    World(ca_client::Client, Arc<world::Inner>),
}

impl Driven {
    pub(crate) fn as_async(&self) -> &ca_client::Client {
        match self {
            Self::Own(client) => client.as_async(),
            Self::World(client, _) => client,
        }
    }

    pub(crate) fn effective_config(&self) -> &EffectiveConfig {
        self.as_async().effective_config()
    }

    /// The client that has sockets of this host.
    pub(crate) const fn own(&self) -> Option<&blocking::Client> {
        match self {
            Self::Own(client) => Some(client),
            Self::World(..) => None,
        }
    }

    pub(crate) fn stats(&self) -> ClientStats {
        self.as_async().stats()
    }
}

/// Where a client lives that has no sockets: its world, and its address there.
pub(crate) type Home = (Arc<world::Inner>, Ipv4Addr);

/// A running client.
pub(crate) struct Core {
    pub(crate) client: Driven,
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
    home: Option<Home>,
}

impl Slot {
    pub(crate) fn new(recipe: Recipe, home: Option<Home>) -> Self {
        Self {
            state: Mutex::new(State::NotYet),
            recipe,
            home,
        }
    }

    fn make(&self) -> Result<Core, ca_client::BuildError> {
        let builder = (self.recipe)();
        let Some((world, address)) = &self.home else {
            let client = builder.build_blocking()?;
            let hub = Hub::new(client.as_async(), None);
            let client = Driven::Own(client);
            return Ok(Core { client, hub });
        };
        let client = builder.runtime(world.host(*address)).build()?;
        let hub = Hub::new(&client, Some(world.bell.clone()));
        let client = Driven::World(client, world.clone());
        Ok(Core { client, hub })
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
        let core = self.make().map_err(|error| errors::build(py, &error))?;
        let core = Arc::new(Native::new(core));
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
                    match &core.client {
                        Driven::Own(client) => {
                            client.block_until(end, Instant::now() + patience);
                        }
                        // It ends, or the world cannot go on.
                        Driven::World(_, world) => drop(world.finish(end)),
                    }
                    core.hub.close();
                }
                drop(core);
            });
        }
    }
}
