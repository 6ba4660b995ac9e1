//! Who runs the tasks and waits for the sockets: a thread that waits for something itself.
//!
//! One thread leads at a time. It runs tasks and waits for sockets until its own future is ready, then leaves
//! the lead to another that waits. Nothing here knows of sockets: they stand behind [`Park`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::task::{Handle, Task};
use crate::runtime::{BoxFuture, TaskHandle};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, lock};

/// Rounds over tasks after which the sockets are looked at, although the future that is waited for has to be
/// polled again.
const ROUNDS_PER_LOOK: u32 = 32;
/// Callers that are kept for the next call.
const SPARE: usize = 8;

/// Where the leading thread waits.
pub(crate) trait Park: fmt::Debug + Send {
    /// Looks for events, and waits for one if told to.
    fn wait(&mut self, block: bool);

    /// Wakes those whom the events concern.
    fn dispatch(&mut self);

    /// Whether the task that runs now is the last thing to do, so that it may wait for a socket of its own for a
    /// moment.
    fn set_alone(&self, alone: bool);
}

/// Ends a [`Park::wait`] that is under way, or else the next one.
pub(crate) trait Poke: fmt::Debug + Send + Sync {
    fn poke(&self);
}

/// What tasks and callers know of who runs them.
#[derive(Debug)]
pub(crate) struct Hub {
    queue: Mutex<Queue>,
    tasks: Mutex<Tasks>,
    /// The leading thread waits, or is about to, and must be poked.
    parked: AtomicBool,
    /// Callers that wait beside it.
    followers: AtomicUsize,
    poke: Box<dyn Poke>,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Arc<Task>>,
    /// To be woken after the next look at the sockets.
    yielded: Vec<Waker>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.yielded.is_empty()
    }
}

/// Tasks that have not ended.
#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    living: BTreeMap<u64, Arc<Task>>,
}

impl Hub {
    pub(super) fn push(&self, task: Arc<Task>) {
        lock(&self.queue).ready.push_back(task);
        self.poke();
    }

    pub(super) fn forget(&self, id: u64) {
        let _task = lock(&self.tasks).living.remove(&id);
    }

    /// Makes the leading thread look again, if it waits.
    fn poke(&self) {
        if self.parked.load(Ordering::SeqCst) && self.parked.swap(false, Ordering::SeqCst) {
            self.poke.poke();
        }
    }
}

/// Runs tasks on the threads that wait for something.
#[derive(Debug)]
pub(crate) struct Exec<P> {
    hub: Arc<Hub>,
    lead: Mutex<Lead<P>>,
}

/// What the leading thread has to itself.
#[derive(Debug)]
struct Engine<P> {
    park: P,
    /// Tasks of a round; kept for its room.
    ready: VecDeque<Arc<Task>>,
    rounds: u32,
    /// At the sockets, since the last round.
    looked: bool,
}

#[derive(Debug)]
struct Lead<P> {
    /// Taken by who leads.
    engine: Option<Box<Engine<P>>>,
    /// Those who wait for their answer or the lead, in the order in which they came.
    waiting: BTreeMap<u64, Arc<Caller>>,
    next: u64,
    spare: Vec<Arc<Caller>>,
}

impl<P: Park> Exec<P> {
    pub(crate) fn new(park: P, poke: Box<dyn Poke>) -> Self {
        let hub = Hub {
            queue: Mutex::default(),
            tasks: Mutex::default(),
            parked: AtomicBool::new(false),
            followers: AtomicUsize::new(0),
            poke,
        };
        let engine = Engine {
            park,
            ready: VecDeque::new(),
            rounds: 0,
            looked: false,
        };
        let lead = Lead {
            engine: Some(Box::new(engine)),
            waiting: BTreeMap::new(),
            next: 0,
            spare: Vec::new(),
        };
        Self {
            hub: Arc::new(hub),
            lead: Mutex::new(lead),
        }
    }

    pub(crate) fn spawn(&self, future: BoxFuture<()>) -> TaskHandle {
        let task = {
            let mut tasks = lock(&self.hub.tasks);
            let id = tasks.next;
            tasks.next += 1;
            let task = Arc::new(Task::new(self.hub.clone(), id, future));
            tasks.living.insert(id, task.clone());
            task
        };
        task.wake_by_ref();
        TaskHandle::new(Handle(task))
    }

    pub(crate) fn yield_now(&self, waker: &Waker) {
        lock(&self.hub.queue).yielded.push(waker.clone());
        self.hub.poke();
    }

    fn count(&self, lead: &Lead<P>) {
        let followers = lead.waiting.len();
        self.hub.followers.store(followers, Ordering::Relaxed);
    }

    /// Drops all tasks.
    pub(crate) fn shutdown(&self) {
        loop {
            // One after the other: to drop one may end others, or start some.
            let task = lock(&self.hub.tasks).living.pop_first();
            match task {
                Some((_, task)) => task.drop_future(),
                None => break,
            }
        }
        let queue = mem::take(&mut *lock(&self.hub.queue));
        drop(queue);
    }

    /// Polls a future to its end, and as long as it takes, leads or waits for who does.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut seat = Seat::new(self);
        let waker = Waker::from(seat.caller.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
            seat.until_woken();
            // Before it is polled: what it is woken for from now on, it may not have seen.
            seat.caller.woken.swap(false, Ordering::SeqCst);
        }
    }
}

impl<P: Park> Exec<P> {
    /// Does what can be done at once: runs what is ready, looks at the sockets, runs what became ready by that. While
    /// another thread leads, that one is made to look.
    pub(crate) fn turn(&self) {
        let mut seat = Seat::new(self);
        if seat.engine.is_none() {
            // Who leads wakes it after its look; who leaves the lead calls it.
            self.yield_now(&Waker::from(seat.caller.clone()));
            while !seat.take_lead() {
                seat.caller.sleep();
                if seat.caller.is_woken() {
                    return;
                }
            }
        }
        // So that no task takes it for one that waits, and waits in its place.
        seat.caller.woken.store(true, Ordering::SeqCst);
        if let Some(engine) = &mut seat.engine {
            engine.round(&self.hub, &seat.caller);
            engine.look(&self.hub, &seat.caller);
            engine.round(&self.hub, &seat.caller);
        }
    }
}

/// A thread that waits for a future.
#[derive(Debug)]
struct Caller {
    hub: Arc<Hub>,
    /// Its future has to be polled.
    woken: AtomicBool,
    leads: AtomicBool,
    /// It may take the lead.
    called: Mutex<bool>,
    /// For `woken` and `called`, while it does not lead.
    changed: Condvar,
}

impl Caller {
    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Sleeps until its future has to be polled or it may take the lead.
    fn sleep(&self) {
        let mut called = lock(&self.called);
        while !self.is_woken() && !mem::take(&mut *called) {
            called = (self.changed.wait(called)).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn call(&self) {
        *lock(&self.called) = true;
        self.changed.notify_one();
    }
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.leads.load(Ordering::SeqCst) {
            self.hub.poke();
        } else {
            // Not between its look and its sleep.
            drop(lock(&self.called));
            self.changed.notify_one();
        }
    }
}

/// A caller's place in a call; leaves it when dropped, also by a panic.
struct Seat<'a, P: Park> {
    exec: &'a Exec<P>,
    id: u64,
    caller: Arc<Caller>,
    /// While it leads.
    engine: Option<Box<Engine<P>>>,
}

impl<'a, P: Park> Seat<'a, P> {
    fn new(exec: &'a Exec<P>) -> Self {
        let (id, caller, engine) = {
            let mut lead = lock(&exec.lead);
            lead.next += 1;
            (lead.next, lead.spare.pop(), lead.engine.take())
        };
        let caller = caller.unwrap_or_else(|| {
            Arc::new(Caller {
                hub: exec.hub.clone(),
                woken: AtomicBool::new(false),
                leads: AtomicBool::new(false),
                called: Mutex::new(false),
                changed: Condvar::new(),
            })
        });
        // Nobody knows of this call yet; who knows of an earlier one may wake it for nothing.
        caller.woken.store(false, Ordering::Relaxed);
        caller.leads.store(engine.is_some(), Ordering::Relaxed);
        Self {
            exec,
            id,
            caller,
            engine,
        }
    }

    /// Leads, or waits for the lead, until the future has to be polled.
    fn until_woken(&mut self) {
        loop {
            if self.engine.is_none() && !self.take_lead() {
                self.caller.sleep();
            }
            if let Some(engine) = &mut self.engine {
                engine.round(&self.exec.hub, &self.caller);
            }
            if self.caller.is_woken() {
                return;
            }
        }
    }

    /// Takes the lead if nobody has it, else is called when it becomes free.
    fn take_lead(&mut self) -> bool {
        let mut lead = lock(&self.exec.lead);
        self.engine = lead.engine.take();
        if self.engine.is_none() {
            lead.waiting.insert(self.id, self.caller.clone());
            self.exec.count(&lead);
            return false;
        }
        lead.waiting.remove(&self.id);
        self.exec.count(&lead);
        drop(lead);
        self.caller.leads.store(true, Ordering::SeqCst);
        true
    }
}

impl<P: Park> Drop for Seat<'_, P> {
    fn drop(&mut self) {
        self.caller.leads.store(false, Ordering::Relaxed);
        let next = {
            let mut lead = lock(&self.exec.lead);
            match self.engine.take() {
                Some(engine) => lead.engine = Some(engine),
                None => {
                    lead.waiting.remove(&self.id);
                    self.exec.count(&lead);
                }
            }
            if lead.spare.len() < SPARE {
                lead.spare.push(self.caller.clone());
            }
            // Also when it was called itself and did not take the lead.
            let next = lead.waiting.first_key_value();
            next.filter(|_| lead.engine.is_some())
                .map(|(_, next)| next.clone())
        };
        if let Some(next) = next {
            next.call();
        }
    }
}

impl<P: Park> Engine<P> {
    /// Runs the tasks that are ready, then looks at the sockets, and waits for them if nothing is left to do.
    fn round(&mut self, hub: &Hub, caller: &Caller) {
        let mut queue = lock(&hub.queue);
        if mem::take(&mut self.looked) && !queue.yielded.is_empty() {
            let yielded = mem::take(&mut queue.yielded);
            drop(queue);
            yielded.into_iter().for_each(Waker::wake);
            queue = lock(&hub.queue);
        }
        mem::swap(&mut self.ready, &mut queue.ready);
        drop(queue);
        // What these wake has its turn after the look.
        while let Some(task) = self.ready.pop_front() {
            let alone = self.ready.is_empty()
                && !caller.is_woken()
                && hub.followers.load(Ordering::Relaxed) == 0;
            self.park.set_alone(alone);
            task.run();
            self.park.set_alone(false);
        }
        self.rounds = self.rounds.wrapping_add(1);
        if !caller.is_woken() || self.rounds.is_multiple_of(ROUNDS_PER_LOOK) {
            self.look(hub, caller);
        }
    }

    /// Looks at the sockets, and waits for them if nothing is left to do.
    fn look(&mut self, hub: &Hub, caller: &Caller) {
        hub.parked.store(true, Ordering::SeqCst);
        // After the store: who comes later pokes.
        let idle = !caller.is_woken() && lock(&hub.queue).is_empty();
        self.park.wait(idle);
        // Who does not see it yet pokes for nothing.
        hub.parked.store(false, Ordering::Relaxed);
        self.park.dispatch();
        self.looked = true;
    }
}

#[cfg(all(test, shuttle))]
mod models;
