//! What comes for Python: monitors, ends of operations that run beside, changes of channels. It waits
//! here until the thread that runs callbacks takes it, all in one go and with one turn of the GIL.
//!
//! That thread is one of Python's (`canter._dispatch`). It never moves bytes itself, so that it does not
//! stand between a `get` of another thread and its answer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use ca_client::{
    Channel, ClientEvent, ConnectError, Events, MonitorError, MonitorEvent, MonitorKey, MonitorSet,
    MonitorSpec,
};
use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arrived::Arrived;
use crate::core::Core;
use crate::errors;
use crate::jobs::{self, About, Fetched, PutFailed};
use crate::life::{self, Native};
use crate::meta::Meta;
use crate::reading::Reading;
use crate::updates::{Many, Row, Updates};
use crate::values;
use crate::world::Bell;

/// Most that is taken in one go: a list of so many results is a few hundred KiB.
const AT_ONCE: usize = 4096;

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

fn call<'py, A>(py: Python<'py>, function: Py<PyAny>, args: A) -> PyResult<Option<Call<'py>>>
where
    A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    PyErr: From<A::Error>,
{
    Ok(Some((function, args.into_pyobject(py)?)))
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
    all: VecDeque<(Arc<Many>, Vec<Row>)>,
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
            all.push_back((many.clone(), Vec::new()));
            all.len() - 1
        });
        if let Some((_, rows)) = self.all.get_mut(self.last) {
            rows.push(row);
        }
    }

    /// Tells one subscription of its updates; nothing when all are told.
    fn tell<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Call<'py>>> {
        self.places.clear();
        self.last = 0;
        let Some((many, rows)) = self.all.pop_front() else {
            return Ok(None);
        };
        let updates = Updates::new(many.channels.clone(), rows);
        call(
            py,
            many.on_updates.clone_ref(py),
            (Bound::new(py, updates)?,),
        )
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
        (on_update, on_event): (OnUpdate, Option<Py<PyAny>>),
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

    /// What an update makes somebody call. Who was unsubscribed meanwhile is not called any more.
    fn value<'py>(
        &self,
        py: Python<'py>,
        gathered: &mut Gathered,
        key: MonitorKey,
        (value, skipped): (Arrived, u64),
    ) -> PyResult<Option<Call<'py>>> {
        let entry = match lock(&self.subscribers).get(&key) {
            Some(Subscriber::User(entry)) => entry.clone(),
            Some(Subscriber::Many(many, place)) => {
                let row = Row {
                    place: *place,
                    value,
                    skipped,
                };
                gathered.add(many, row);
                return Ok(None);
            }
            Some(Subscriber::Describes(about, channel)) => {
                if let Some(meta) = Meta::of(value.head()) {
                    about.meta.set(jobs::connection(channel), Arc::new(meta));
                }
                return Ok(None);
            }
            // It was taken away meanwhile.
            None => return Ok(None),
        };
        let connection = jobs::connection(&entry.channel);
        let meta = entry.about.meta.get(connection.as_ref());
        let name = entry.about.name.clone();
        let is_array = jobs::is_array(connection.as_ref());
        let reading = Bound::new(py, Reading::new(value, name, meta, is_array))?;
        match &entry.on_update {
            OnUpdate::Reading(function) => call(py, function.clone_ref(py), (reading, skipped)),
            OnUpdate::Value(function, left_out) => {
                left_out.fetch_add(skipped, Ordering::Relaxed);
                call(py, function.clone_ref(py), (values::augmented(&reading)?,))
            }
        }
    }

    fn event<'py>(
        &self,
        py: Python<'py>,
        key: MonitorKey,
        event: &MonitorEvent,
    ) -> PyResult<Option<Call<'py>>> {
        let (on_event, place) = match lock(&self.subscribers).get(&key) {
            Some(Subscriber::User(entry)) => {
                (entry.on_event.as_ref().map(|it| it.clone_ref(py)), None)
            }
            Some(Subscriber::Many(many, place)) => {
                let on_event = many.on_event.as_ref().map(|it| it.clone_ref(py));
                (on_event, Some(*place))
            }
            _ => return Ok(None),
        };
        let (word, told) = match event {
            MonitorEvent::Connected => ("connected", None),
            MonitorEvent::Disconnected => ("disconnected", None),
            MonitorEvent::Failed(status) => ("failed", Some(status.to_string())),
            MonitorEvent::Malformed(what) => ("malformed", Some(what.to_string())),
            other => ("failed", Some(format!("{other:?}"))),
        };
        match (on_event, place) {
            (Some(on_event), Some(place)) => call(py, on_event, (place, word, told)),
            (Some(on_event), None) => call(py, on_event, (word, told)),
            (None, _) => Ok(None),
        }
    }

    pub(crate) fn done<'py>(
        &self,
        py: Python<'py>,
        callback: Py<PyAny>,
        done: Done,
    ) -> PyResult<Option<Call<'py>>> {
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
            Done::Put(Err(error)) => failed(errors::put_failed(py, error)),
            Done::Connected(Err(error)) => failed(errors::connect(py, &error)),
            Done::Put(Ok(())) | Done::Connected(Ok(())) => (none(), none()),
            Done::Other(make) => match make(py) {
                Ok(made) => (made, none()),
                Err(error) => failed(error),
            },
            Done::Happened(number, event, events) => {
                return self.happened(py, callback, (number, event, events));
            }
        };
        call(py, callback, (result, error))
    }

    fn happened<'py>(
        &self,
        py: Python<'py>,
        callback: Py<PyAny>,
        (number, event, events): (u64, Option<ClientEvent>, Events),
    ) -> PyResult<Option<Call<'py>>> {
        let Some(event) = event.filter(|_| lock(&self.watches).contains(&number)) else {
            lock(&self.watches).remove(&number);
            return Ok(None);
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
        let function = callback.clone_ref(py);
        self.watch_on(number, callback, events);
        call(py, function, told)
    }
}

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
