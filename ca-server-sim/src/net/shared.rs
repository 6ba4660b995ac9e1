//! The IOC behind its lock, and who is to be woken when it has changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use ca_net::{Runtime, TaskHandle, WakerList};
use ca_proto::Instant;
use ca_proto::ids::CircuitId;

use super::bind::Sockets;
use super::model_state::Steps;
use super::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, TryLockError};
use super::turns::Host;
use super::{NetConfig, accept, udp};
use crate::ioc::Ioc;
use crate::limits::Kept;
use crate::process::RemoteRequest;

/// What the tasks of an IOC share. There is one lock; nothing is awaited, sent, woken or logged under it.
pub(super) struct Shared {
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
    /// Those that work in slices.
    slicing: AtomicUsize,
    /// Who waits for the state while somebody works in slices holds it, so that the next slice comes later. It is
    /// taken before the state, never behind it.
    queue: Mutex<()>,
    /// Snapshots and rewinds, one after the other; it is taken before the two above.
    snapshots: Mutex<()>,
    /// The models behind its PVs, in the order in which they came.
    models: Mutex<Vec<Weak<dyn Steps>>>,
}

/// Works with the IOC a slice at a time. A lock alone would not do: whoever takes it again at once nearly always has
/// it before those that waited for it are awake.
pub(super) struct Slices<'a>(&'a Shared);

impl Slices<'_> {
    /// As [`Shared::with`], behind who waits already.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Ioc, Instant) -> R) -> R {
        drop(self.0.queue.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.with(work)
    }
}

impl Drop for Slices<'_> {
    fn drop(&mut self) {
        self.0.slicing.fetch_sub(1, Ordering::AcqRel);
    }
}

struct State {
    ioc: Ioc,
    /// Tasks of the circuits, in an order that does not differ from run to run: stopping ends
    /// them one after the other.
    circuits: BTreeMap<CircuitId, CircuitTask>,
    /// Where they come from, with how many they are.
    hosts: BTreeMap<Ipv4Addr, (Arc<Host>, usize)>,
    /// The task that does UDP and timers.
    timer: Option<Waker>,
    /// The task that connects links to PVs of other IOCs.
    links: Option<Waker>,
    /// The deadline that task waits for.
    armed: Option<Instant>,
    /// The UDP and the accepting task.
    tasks: Vec<TaskHandle>,
    /// When the wall clock was last looked at.
    synced: Option<Instant>,
}

/// The IOC has more to do at once.
pub(super) struct Busy;

/// How long the wall clock is taken to go like the monotonic one: a look costs as much as a put.
const WALL_PERIOD: Duration = Duration::from_millis(100);

struct CircuitTask {
    from: Ipv4Addr,
    handle: Option<TaskHandle>,
    waker: Option<Waker>,
    bell: Bell,
}

/// Says to the task of a circuit that the IOC has something for it, so that a task that was woken
/// by its socket need not ask.
pub(super) type Bell = Arc<AtomicBool>;

impl Shared {
    pub(super) fn new(runtime: Arc<dyn Runtime>, mut ioc: Ioc) -> Arc<Self> {
        ioc.limits.keep_lines();
        Arc::new(Self {
            runtime,
            state: Mutex::new(State {
                ioc,
                circuits: BTreeMap::new(),
                hosts: BTreeMap::new(),
                timer: None,
                links: None,
                armed: None,
                tasks: Vec::new(),
                synced: None,
            }),
            slicing: AtomicUsize::new(0),
            queue: Mutex::new(()),
            snapshots: Mutex::new(()),
            models: Mutex::new(Vec::new()),
        })
    }

    /// To take a snapshot, or to go back to one.
    pub(super) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The models that are there.
    pub(super) fn models(&self) -> Vec<Arc<dyn Steps>> {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn join_model(&self, model: Weak<dyn Steps>) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.retain(|model| model.strong_count() > 0);
        models.push(model);
    }

    /// To do much, a little at a time.
    pub(super) fn slices(&self) -> Slices<'_> {
        self.slicing.fetch_add(1, Ordering::AcqRel);
        Slices(self)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        if self.slicing.load(Ordering::Acquire) > 0 {
            match self.state.try_lock() {
                Ok(state) => return state,
                Err(TryLockError::Poisoned(state)) => return state.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
            let place = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            drop(place);
            return state;
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn runtime(&self) -> &dyn Runtime {
        &*self.runtime
    }

    /// The state with the time: read under the lock, so that it never goes back.
    fn lock(&self) -> (MutexGuard<'_, State>, Instant) {
        // A panic of a hook must not take the IOC down with it.
        let mut state = self.locked();
        let now = self.runtime.now();
        if state
            .synced
            .is_none_or(|synced| now - synced >= WALL_PERIOD)
        {
            state.synced = Some(now);
            state.ioc.set_wall(now, self.runtime.wall());
        }
        (state, now)
    }

    /// Works with the IOC, then wakes whom it concerns.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Ioc, Instant) -> R) -> R {
        let mut wakers = WakerList::new();
        let (mut state, now) = self.lock();
        let result = work(&mut state.ioc, now);
        state.collect(&mut wakers);
        let log = state.ioc.limits.take_lines();
        drop(state);
        wakers.wake_all();
        write(log);
        result
    }

    /// Has a circuit's task woken by this waker whenever its bell is rung.
    pub(super) fn register(&self, id: CircuitId, waker: &Waker) {
        let (mut state, _) = self.lock();
        let task = state.circuits.get_mut(&id);
        let old = task.and_then(|task| task.waker.replace(waker.clone()));
        drop(state);
        drop(old);
    }

    /// Does what is due, and a turn of what is left to do. Says until when the timer task sleeps; an error is
    /// that it is to come back as soon as others had their turn.
    pub(super) fn arm(&self, waker: &Waker) -> Result<Option<Instant>, Busy> {
        let mut wakers = WakerList::new();
        let (mut state, now) = self.lock();
        if state.ioc.poll_timeout().is_some_and(|at| at <= now) {
            state.ioc.handle_timeout(now);
        }
        state.armed = state.ioc.poll_timeout();
        state.timer = Some(waker.clone());
        let armed = match state.ioc.has_work() || state.armed.is_some_and(|at| at <= now) {
            true => Err(Busy),
            false => Ok(state.armed),
        };
        let expelled = state.expelled();
        state.collect(&mut wakers);
        let log = state.ioc.limits.take_lines();
        drop(state);
        wakers.wake_all();
        write(log);
        expelled.iter().for_each(TaskHandle::abort);
        armed
    }

    /// What links to PVs of other IOCs want; the waker is kept while that is nothing.
    pub(super) fn poll_remote(&self, waker: &Waker, into: &mut Vec<RemoteRequest>) {
        let (mut state, _) = self.lock();
        while let Some(request) = state.ioc.poll_remote() {
            into.push(request);
        }
        let old = match into.is_empty() {
            true => state.links.replace(waker.clone()),
            false => None,
        };
        drop(state);
        drop(old);
    }

    pub(super) fn is_running(&self) -> bool {
        self.lock().0.ioc.is_running()
    }

    /// Starts the IOC and its tasks on sockets that are open already.
    pub(super) fn launch(self: &Arc<Self>, sockets: Sockets, config: &NetConfig) {
        let port = sockets
            .bound
            .tcp
            .first()
            .map_or(0, |address| address.port());
        let (mut state, now) = self.lock();
        let mut params = state.ioc.params().clone();
        (params.tcp_port, params.udp_port) = (port, sockets.bound.udp_port);
        if params.beacon_addrs.is_empty() {
            params.beacon_addrs = config.beacon_addrs();
        }
        state.ioc.set_params(params);
        let (wall, interfaces) = (self.runtime.wall(), config.interfaces.len());
        state.ioc.start_interfaces(now, wall, port, interfaces);
        drop(state);
        let udp = udp::run(Arc::clone(self), sockets.udp);
        let accept = accept::run(Arc::clone(self), sockets.listeners);
        let tasks = [
            self.runtime.spawn(Box::pin(udp)),
            self.runtime.spawn(Box::pin(accept)),
        ];
        self.lock().0.tasks.extend(tasks);
    }

    /// Ends every task; what is returned can be awaited.
    pub(super) fn halt(&self) -> Vec<TaskHandle> {
        let (mut state, now) = self.lock();
        state.ioc.stop(now);
        state.timer = None;
        state.armed = None;
        let circuits = std::mem::take(&mut state.circuits);
        state.hosts.clear();
        let mut tasks = std::mem::take(&mut state.tasks);
        drop(state);
        tasks.extend(circuits.into_values().filter_map(|task| task.handle));
        for task in &tasks {
            task.abort();
        }
        tasks
    }

    /// Does a turn of what is left to do; true if there is more.
    pub(super) fn clear(&self) -> bool {
        self.with(|ioc, now| {
            ioc.work(now);
            ioc.has_work()
        })
    }

    /// Makes room for the task of a circuit, before it is started.
    pub(super) fn adopt(&self, id: CircuitId, from: Ipv4Addr) -> (Bell, Arc<Host>) {
        let bell = Bell::default();
        let task = CircuitTask {
            from,
            handle: None,
            waker: None,
            bell: Arc::clone(&bell),
        };
        let (mut state, _) = self.lock();
        state.circuits.insert(id, task);
        let (host, circuits) = state.hosts.entry(from).or_default();
        *circuits += 1;
        (bell, Arc::clone(host))
    }

    /// Keeps the handle of a circuit's task, unless the circuit has ended meanwhile.
    pub(super) fn keep(&self, id: CircuitId, handle: TaskHandle) {
        let (mut state, _) = self.lock();
        match state.circuits.get_mut(&id) {
            Some(task) => task.handle = Some(handle),
            // The IOC was stopped before it could know of the task.
            None => handle.abort(),
        }
    }

    /// The task of a circuit has ended.
    pub(super) fn closed(&self, id: CircuitId) {
        let mut wakers = WakerList::new();
        let (mut state, now) = self.lock();
        state.ioc.handle_closed(now, id);
        let task = state.circuits.remove(&id);
        if let Some(task) = &task {
            state.left(task.from);
        }
        state.collect(&mut wakers);
        drop(state);
        drop(task);
        wakers.wake_all();
    }
}

/// Writes what was to be logged under the lock.
fn write(log: Option<Kept>) {
    if let Some(log) = log {
        log.write();
    }
}

impl State {
    /// A host has a circuit less.
    fn left(&mut self, host: Ipv4Addr) {
        if let Entry::Occupied(mut entry) = self.hosts.entry(host) {
            entry.get_mut().1 -= 1;
            if entry.get().1 == 0 {
                entry.remove();
            }
        }
    }

    /// The tasks of circuits that the IOC wants closed at once; an aborted task reports the end of
    /// its circuit.
    fn expelled(&mut self) -> Vec<TaskHandle> {
        let mut tasks = Vec::new();
        while let Some(id) = self.ioc.poll_expelled() {
            let task = self.circuits.get_mut(&id);
            tasks.extend(task.and_then(|task| task.handle.take()));
        }
        tasks
    }

    /// Takes the wakers of circuits with output, and of the timer task if it would sleep too long.
    fn collect(&mut self, wakers: &mut WakerList) {
        while let Some(id) = self.ioc.poll_woken() {
            if let Some(task) = self.circuits.get(&id) {
                task.bell.store(true, Ordering::Release);
                wakers.extend(task.waker.clone());
            }
        }
        if self.ioc.has_remote_requests() {
            wakers.extend(self.links.take());
        }
        let sooner = match (self.ioc.poll_timeout(), self.armed) {
            (Some(next), Some(armed)) => next < armed,
            (next, _) => next.is_some(),
        };
        // That task also ends the tasks of circuits.
        if sooner || self.ioc.limits.has_expelled() {
            wakers.extend(self.timer.take());
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
