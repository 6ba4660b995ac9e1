//! What comes for Python: monitors, ends of operations that run beside, changes of channels. It waits
//! here until the thread that runs callbacks takes it, all in one go and with one turn of the GIL.
//!
//! That thread is one of Python's (`canter._dispatch`). It never moves bytes itself, so that it does not
//! stand between a `get` of another thread and its answer.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use ca_client::{
    Channel, ClientEvent, ConnectError, Events, MonitorError, MonitorEvent, MonitorKey, MonitorSet,
    MonitorSpec, PutError,
};
use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::arrived::Arrived;
use crate::core::Core;
use crate::errors;
use crate::jobs::{self, About, Fetched};
use crate::life::{self, Native};
use crate::meta::Meta;
use crate::reading::Reading;
use crate::updates::{Many, Row, Updates};
use crate::world::Bell;

/// Most that is taken in one go: a list of so many results is a few hundred KiB.
const AT_ONCE: usize = 4096;

/// Makes the result of an operation.
type MakeResult = dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send;

/// What a callback is called with at the end of an operation.
pub(crate) enum Done {
    Got(About, Fetched),
    Put(Result<(), PutError>),
    Connected(Result<(), ConnectError>),
    Happened(u64, Option<ClientEvent>, Events),
    /// Makes its result when it has the GIL.
    Other(Box<MakeResult>),
}

/// An operation that runs beside, with its callback.
pub(crate) type Job = Pin<Box<dyn Future<Output = (Py<PyAny>, Done)> + Send>>;

/// Whose updates these are.
struct Entry {
    about: About,
    channel: Channel,
    on_update: Py<PyAny>,
    on_event: Option<Py<PyAny>>,
}

enum Subscriber {
    User(Arc<Entry>),
    /// One of many, with its place among them.
    Many(Arc<Many>, u32),
    /// Updates of the description: they are kept, nobody is told.
    Describes(About, Channel),
}

/// Wakes the thread that waits.
#[derive(Default)]
struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
    /// Of the world that the client lives in.
    bell: Option<Arc<Bell>>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *lock(&self.woken) = true;
        self.changed.notify_one();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that is under way for Python.
pub(crate) struct Hub {
    set: Mutex<MonitorSet>,
    subscribers: Mutex<HashMap<MonitorKey, Subscriber>>,
    incoming: Mutex<Vec<Job>>,
    running: Mutex<FuturesUnordered<Job>>,
    /// Listeners that were not taken away, by their number.
    watches: Mutex<HashSet<u64>>,
    next_watch: Mutex<u64>,
    signal: Arc<Signal>,
    closed: AtomicBool,
}

/// What was taken, before it is made objects of.
enum Taken {
    Value(MonitorKey, Arrived, u64),
    Event(MonitorKey, MonitorEvent),
    Done(Py<PyAny>, Done),
}

/// Updates of subscriptions to many PVs, until they are told.
#[derive(Default)]
struct Gathered {
    /// By subscription, with the place in `all` of the one that was added to last.
    places: HashMap<usize, usize>,
    all: Vec<(Arc<Many>, Vec<Row>)>,
    last: usize,
}

impl Gathered {
    // hot: every update.
    fn add(&mut self, many: &Arc<Many>, row: Row) {
        if let Some((last, rows)) = self.all.get_mut(self.last)
            && Arc::ptr_eq(last, many)
        {
            return rows.push(row);
        }
        let all = &mut self.all;
        // They are kept until they are told, so that no other has its address.
        let place = self.places.entry(Arc::as_ptr(many).addr());
        self.last = *place.or_insert_with(|| {
            all.push((many.clone(), Vec::new()));
            all.len() - 1
        });
        if let Some((_, rows)) = self.all.get_mut(self.last) {
            rows.push(row);
        }
    }

    fn tell(&mut self, py: Python<'_>, calls: &Bound<'_, PyList>) -> PyResult<()> {
        self.places.clear();
        for (many, rows) in self.all.drain(..) {
            let function = many.on_updates.clone_ref(py);
            let updates = Updates::new(many.channels.clone(), rows);
            calls.append((function, (Bound::new(py, updates)?,)))?;
        }
        Ok(())
    }
}

impl Hub {
    pub(crate) fn new(client: &ca_client::Client, bell: Option<Arc<Bell>>) -> Self {
        Self {
            set: Mutex::new(client.monitor_set()),
            subscribers: Mutex::default(),
            incoming: Mutex::default(),
            running: Mutex::default(),
            watches: Mutex::default(),
            next_watch: Mutex::default(),
            signal: Arc::new(Signal {
                bell,
                ..Signal::default()
            }),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.signal.clone().wake();
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
        (on_update, on_event): (Py<PyAny>, Option<Py<PyAny>>),
    ) -> Result<Vec<MonitorKey>, MonitorError> {
        // Before updates can come for what nobody knows yet.
        let mut subscribers = lock(&self.subscribers);
        let mut set = lock(&self.set);
        let mut keys = Vec::with_capacity(2);
        // First, so that it is told before the first value.
        if let Some(describe) = describe {
            let key = set.add(channel, describe)?;
            let known = Subscriber::Describes(about.clone(), channel.clone());
            subscribers.insert(key, known);
            keys.push(key);
        }
        let key = set.add(channel, spec)?;
        let entry = Entry {
            about,
            channel: channel.clone(),
            on_update,
            on_event,
        };
        subscribers.insert(key, Subscriber::User(Arc::new(entry)));
        keys.push(key);
        drop(set);
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
            let mut set = lock(&self.set);
            for (place, (channel, _)) in (0..).zip(&*many.channels) {
                match set.add(channel, spec) {
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
            lock(&self.set).remove(*key);
            gone.extend(lock(&self.subscribers).remove(key));
        }
        // Callbacks are dropped outside of the locks: their end may run code of the user.
        drop(gone);
    }

    /// Waits until there is something; nothing when it was closed.
    fn take(&self) -> Vec<Taken> {
        loop {
            let taken = self.take_now();
            if !taken.is_empty() || self.closed.load(Ordering::SeqCst) {
                return taken;
            }
            let mut woken = lock(&self.signal.woken);
            while !*woken {
                woken = (self.signal.changed.wait(woken)).unwrap_or_else(PoisonError::into_inner);
            }
            *woken = false;
        }
    }

    /// What there is at this moment.
    fn take_now(&self) -> Vec<Taken> {
        let waker = Waker::from(self.signal.clone());
        let mut cx = Context::from_waker(&waker);
        let mut taken = Vec::new();
        if self.closed.load(Ordering::SeqCst) {
            // Who waits for the end of something is told that there is none.
            self.take_done(&mut cx, &mut taken);
            return taken;
        }
        self.take_updates(&mut cx, &mut taken);
        let mut done = Vec::new();
        self.take_done(&mut cx, &mut done);
        if !done.is_empty() {
            // An update that a server sent before it told of a completion is delivered before that,
            // also when both came since the updates were taken.
            self.take_updates(&mut cx, &mut taken);
            taken.append(&mut done);
        }
        taken
    }

    // hot: every update.
    fn take_updates(&self, cx: &mut Context<'_>, taken: &mut Vec<Taken>) {
        let mut events = Vec::new();
        {
            let mut set = lock(&self.set);
            while events.len() < AT_ONCE
                && let Poll::Ready(Some(event)) = Pin::new(&mut *set).poll_next(cx)
            {
                events.push(event);
            }
        }
        // Outside of the lock, as large arrays take their time.
        taken.extend(events.into_iter().map(|(key, event)| match event {
            MonitorEvent::Update { value, skipped } => {
                Taken::Value(key, Arrived::new(value), skipped)
            }
            other => Taken::Event(key, other),
        }));
    }

    fn take_done(&self, cx: &mut Context<'_>, taken: &mut Vec<Taken>) {
        let mut running = lock(&self.running);
        running.extend(std::mem::take(&mut *lock(&self.incoming)));
        for _ in 0..AT_ONCE {
            match Pin::new(&mut *running).poll_next(cx) {
                Poll::Ready(Some((callback, done))) => taken.push(Taken::Done(callback, done)),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// The calls to make: pairs of a function and its arguments.
    fn calls<'py>(&self, py: Python<'py>, taken: Vec<Taken>) -> PyResult<Bound<'py, PyList>> {
        let calls = PyList::empty(py);
        let mut gathered = Gathered::default();
        for one in taken {
            match one {
                Taken::Value(key, value, skipped) => {
                    self.value(py, (&calls, &mut gathered), key, (value, skipped))?;
                }
                Taken::Event(key, event) => {
                    gathered.tell(py, &calls)?;
                    self.event(py, &calls, key, &event)?;
                }
                Taken::Done(callback, done) => {
                    gathered.tell(py, &calls)?;
                    self.done(py, &calls, callback, done)?;
                }
            }
        }
        gathered.tell(py, &calls)?;
        Ok(calls)
    }

    fn value(
        &self,
        py: Python<'_>,
        (calls, gathered): (&Bound<'_, PyList>, &mut Gathered),
        key: MonitorKey,
        (value, skipped): (Arrived, u64),
    ) -> PyResult<()> {
        let entry = match lock(&self.subscribers).get(&key) {
            Some(Subscriber::User(entry)) => entry.clone(),
            Some(Subscriber::Many(many, place)) => {
                let row = Row {
                    place: *place,
                    value,
                    skipped,
                };
                gathered.add(many, row);
                return Ok(());
            }
            Some(Subscriber::Describes(about, channel)) => {
                if let Some(meta) = Meta::of(value.head()) {
                    about.meta.set(jobs::connection(channel), Arc::new(meta));
                }
                return Ok(());
            }
            // It was taken away meanwhile.
            None => return Ok(()),
        };
        let connection = jobs::connection(&entry.channel);
        let meta = entry.about.meta.get(connection.as_ref());
        let name = entry.about.name.clone();
        let is_array = jobs::is_array(connection.as_ref());
        let reading = Bound::new(py, Reading::new(value, name, meta, is_array))?;
        calls.append((entry.on_update.clone_ref(py), (reading, skipped)))
    }

    fn event(
        &self,
        py: Python<'_>,
        calls: &Bound<'_, PyList>,
        key: MonitorKey,
        event: &MonitorEvent,
    ) -> PyResult<()> {
        let (on_event, place) = match lock(&self.subscribers).get(&key) {
            Some(Subscriber::User(entry)) => {
                (entry.on_event.as_ref().map(|it| it.clone_ref(py)), None)
            }
            Some(Subscriber::Many(many, place)) => {
                let on_event = many.on_event.as_ref().map(|it| it.clone_ref(py));
                (on_event, Some(*place))
            }
            _ => return Ok(()),
        };
        let (word, told) = match event {
            MonitorEvent::Connected => ("connected", None),
            MonitorEvent::Disconnected => ("disconnected", None),
            MonitorEvent::Failed(status) => ("failed", Some(status.to_string())),
            MonitorEvent::Malformed(what) => ("malformed", Some(what.to_string())),
            other => ("failed", Some(format!("{other:?}"))),
        };
        match (on_event, place) {
            (Some(on_event), Some(place)) => calls.append((on_event, (place, word, told))),
            (Some(on_event), None) => calls.append((on_event, (word, told))),
            (None, _) => Ok(()),
        }
    }

    pub(crate) fn done(
        &self,
        py: Python<'_>,
        calls: &Bound<'_, PyList>,
        callback: Py<PyAny>,
        done: Done,
    ) -> PyResult<()> {
        let none = || py.None();
        let failed = |error: PyErr| (none(), error.into_value(py).into_any());
        let (result, error) = match done {
            Done::Got(about, fetched) => match fetched.reading {
                Ok(reading) => {
                    let it = Reading::new(reading, about.name, fetched.meta, fetched.is_array);
                    (Bound::new(py, it)?.into_any().unbind(), none())
                }
                Err(error) => failed(errors::get(py, &error)),
            },
            Done::Put(Err(error)) => failed(errors::put(py, &error)),
            Done::Connected(Err(error)) => failed(errors::connect(py, &error)),
            Done::Put(Ok(())) | Done::Connected(Ok(())) => (none(), none()),
            Done::Other(make) => match make(py) {
                Ok(made) => (made, none()),
                Err(error) => failed(error),
            },
            Done::Happened(number, event, events) => {
                return self.happened(py, calls, callback, (number, event, events));
            }
        };
        calls.append((callback, (result, error)))
    }

    fn happened(
        &self,
        py: Python<'_>,
        calls: &Bound<'_, PyList>,
        callback: Py<PyAny>,
        (number, event, events): (u64, Option<ClientEvent>, Events),
    ) -> PyResult<()> {
        let Some(event) = event.filter(|_| lock(&self.watches).contains(&number)) else {
            lock(&self.watches).remove(&number);
            return Ok(());
        };
        let told = match event {
            ClientEvent::Connected { .. } => ("connected", None),
            ClientEvent::Disconnected { why, .. } => ("disconnected", Some(why.to_string())),
            ClientEvent::AccessRights { rights, .. } => {
                let word = match (rights.can_read(), rights.can_write()) {
                    (true, true) => "read/write",
                    (true, false) => "read-only",
                    (false, true) => "write-only",
                    (false, false) => "no access",
                };
                ("rights", Some(word.to_owned()))
            }
            ClientEvent::Exception { text, status, .. } => {
                ("exception", Some(format!("{status}: {text}")))
            }
            other => ("other", Some(format!("{other:?}"))),
        };
        calls.append((callback.clone_ref(py), told))?;
        self.watch_on(number, callback, events);
        Ok(())
    }
}

/// Names a subscription.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Key {
    pub(crate) core: Arc<Native<Core>>,
    pub(crate) keys: Vec<MonitorKey>,
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

    /// False in the child of a fork.
    fn is_ours(&self) -> bool {
        self.core.get().is_some()
    }
}

/// What comes for Python from one client, for the thread that runs callbacks.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Deliveries {
    pub(crate) core: Arc<Native<Core>>,
}

#[pymethods]
impl Deliveries {
    /// Waits, without the GIL, until there is something, and gives all of it: a list of pairs of a
    /// function and its arguments. `None` when the client was closed.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let Some(core) = self.core.get() else {
            return Ok(None);
        };
        let taken = life::detached(py, || core.hub.take());
        if taken.is_empty() {
            return Ok(None);
        }
        core.hub.calls(py, taken).map(Some)
    }

    /// As `wait`, and an empty list if there is nothing.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let taken = match self.core.get() {
            Some(core) => life::detached(py, || core.hub.take_now()),
            None => Vec::new(),
        };
        match self.core.get() {
            Some(core) => core.hub.calls(py, taken),
            None => Ok(PyList::empty(py)),
        }
    }

    /// False in the child of a fork.
    fn is_ours(&self) -> bool {
        self.core.get().is_some()
    }
}
