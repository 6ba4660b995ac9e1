//! What comes for Python: monitors, ends of operations that run beside, changes of channels. It waits
//! here until the thread that runs callbacks takes it, all in one go and with one turn of the GIL.
//!
//! That thread is one of Python's (`canter._dispatch`). It never moves bytes itself, so that it does not
//! stand between a `get` of another thread and its answer. Who wants that what came before the answer is delivered when
//! the `get` returns, as with libca, waits for it behind the answer (`Deliveries.settle`).

mod calls;
mod take;
mod tell;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake as _;

use ca_client::{
    Channel, ClientEvent, ConnectError, Events, MonitorError, MonitorKey, MonitorSpec,
};
use futures_util::stream::FuturesUnordered;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

pub(crate) use self::calls::{Calls, Deliveries, Key};
use self::take::{Signal, Stock};
use crate::jobs::{self, About, Fetched, PutFailed};
use crate::updates::Many;
use crate::world::Bell;

/// Makes the result of an operation.
type MakeResult = dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send;

/// What a callback is called with at the end of an operation.
pub(crate) enum Done {
    Got(About, Fetched),
    Put(Result<(), PutFailed>),
    Connected(Result<(), ConnectError>),
    Happened(u64, Option<ClientEvent>, Events),
    /// Makes its result when it has the GIL.
    Other(Box<MakeResult>),
}

/// An operation that runs beside, with its callback.
pub(crate) type Job = Pin<Box<dyn Future<Output = (Py<PyAny>, Done)> + Send>>;

/// What a user's callback is called with.
pub(crate) enum OnUpdate {
    /// The reading, and how many were left out before it.
    Reading(Py<PyAny>),
    /// The value alone; those that were left out are counted.
    Value(Py<PyAny>, Arc<AtomicU64>),
}

/// Whose updates these are.
struct Entry {
    about: About,
    channel: Channel,
    on_update: OnUpdate,
    on_event: Option<Py<PyAny>>,
}

/// A call to make: a function and its arguments.
pub(crate) type Call<'py> = (Py<PyAny>, Bound<'py, PyTuple>);

enum Subscriber {
    User(Arc<Entry>),
    /// One of many, with its place among them.
    Many(Arc<Many>, u32),
    /// Updates of the description: they are kept, nobody is told.
    Describes(About, Channel),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that is under way for Python.
pub(crate) struct Hub {
    stock: Mutex<Stock>,
    subscribers: Mutex<HashMap<MonitorKey, Subscriber>>,
    incoming: Mutex<Vec<Job>>,
    running: Mutex<FuturesUnordered<Job>>,
    /// Listeners that were not taken away, by their number.
    watches: Mutex<HashSet<u64>>,
    next_watch: Mutex<u64>,
    signal: Arc<Signal>,
    closed: AtomicBool,
}

impl Hub {
    pub(crate) fn new(client: &ca_client::Client, bell: Option<Arc<Bell>>) -> Self {
        Self {
            stock: Mutex::new(Stock::new(client.monitor_set())),
            subscribers: Mutex::default(),
            incoming: Mutex::default(),
            running: Mutex::default(),
            watches: Mutex::default(),
            next_watch: Mutex::default(),
            signal: Arc::new(Signal::new(bell)),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.signal.clone().wake();
        self.give_up();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Runs an operation beside; its end is delivered.
    pub(crate) fn start(
        &self,
        callback: Py<PyAny>,
        job: impl Future<Output = Done> + Send + 'static,
    ) {
        let job = async move {
            let done = job.await;
            (callback, done)
        };
        lock(&self.incoming).push(Box::pin(job));
        self.signal.clone().wake();
    }

    /// Tells what happens to a channel, until it is taken away.
    pub(crate) fn watch(&self, callback: Py<PyAny>, events: Events) -> u64 {
        let number = {
            let mut next = lock(&self.next_watch);
            *next += 1;
            *next
        };
        lock(&self.watches).insert(number);
        self.watch_on(number, callback, events);
        number
    }

    fn watch_on(&self, number: u64, callback: Py<PyAny>, events: Events) {
        self.start(callback, async move {
            let (event, events) = jobs::watch(events).await;
            Done::Happened(number, event, events)
        });
    }

    pub(crate) fn unwatch(&self, number: u64) -> bool {
        lock(&self.watches).remove(&number)
    }

    pub(crate) fn subscribe(
        &self,
        channel: &Channel,
        about: About,
        spec: MonitorSpec,
        describe: Option<MonitorSpec>,
        (on_update, on_event): (OnUpdate, Option<Py<PyAny>>),
    ) -> Result<Vec<MonitorKey>, MonitorError> {
        // Before updates can come for what nobody knows yet.
        let mut subscribers = lock(&self.subscribers);
        let mut stock = lock(&self.stock);
        let mut keys = Vec::with_capacity(2);
        // First, so that it is told before the first value.
        if let Some(describe) = describe {
            let key = stock.set.add(channel, describe)?;
            let known = Subscriber::Describes(about.clone(), channel.clone());
            subscribers.insert(key, known);
            keys.push(key);
        }
        let key = stock.set.add(channel, spec)?;
        let entry = Entry {
            about,
            channel: channel.clone(),
            on_update,
            on_event,
        };
        subscribers.insert(key, Subscriber::User(Arc::new(entry)));
        keys.push(key);
        drop(stock);
        self.signal.clone().wake();
        Ok(keys)
    }

    /// One subscription to many PVs, all or none of them.
    pub(crate) fn subscribe_many(
        &self,
        many: Many,
        spec: MonitorSpec,
    ) -> Result<Vec<MonitorKey>, MonitorError> {
        let many = Arc::new(many);
        let mut keys = Vec::with_capacity(many.channels.len());
        let mut failed = None;
        {
            // As above.
            let mut subscribers = lock(&self.subscribers);
            let mut stock = lock(&self.stock);
            for (place, (channel, _)) in (0..).zip(&*many.channels) {
                match stock.set.add(channel, spec) {
                    Ok(key) => {
                        subscribers.insert(key, Subscriber::Many(many.clone(), place));
                        keys.push(key);
                    }
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
        if let Some(error) = failed {
            self.unsubscribe(&keys);
            return Err(error);
        }
        self.signal.clone().wake();
        Ok(keys)
    }

    pub(crate) fn unsubscribe(&self, keys: &[MonitorKey]) {
        let mut gone = Vec::new();
        for key in keys {
            lock(&self.stock).set.remove(*key);
            gone.extend(lock(&self.subscribers).remove(key));
        }
        // Callbacks are dropped outside of the locks: their end may run code of the user.
        drop(gone);
    }
}
