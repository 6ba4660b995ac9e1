//! What has come, as the thread that runs callbacks takes it: in turns, of which each ends when its callbacks have run.

use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Instant;

use ca_client::{MonitorEvent, MonitorKey, MonitorSet};
use futures_core::Stream as _;
use pyo3::prelude::*;

use super::{Done, Hub, lock};
use crate::arrived::Arrived;
use crate::world::Bell;

/// Most that is taken in one go: a list of so many results is a few hundred KiB.
const AT_ONCE: usize = 4096;

/// What was taken, before it is made objects of.
pub(super) enum Taken {
    Value(MonitorKey, Arrived, u64),
    Event(MonitorKey, MonitorEvent),
    Done(Py<PyAny>, Done),
}

/// How far what has come was taken.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Reach {
    /// How often all that had come was moved here, or nothing had come.
    looks: u64,
    /// Updates of the last of them that wait here.
    left: usize,
}

impl Reach {
    /// Looks of which all is taken.
    const fn whole(self) -> u64 {
        self.looks - (self.left > 0) as u64
    }
}

/// The subscriptions, and how far their updates were taken.
pub(super) struct Stock {
    pub(super) set: MonitorSet,
    reach: Reach,
}

impl Stock {
    pub(super) fn new(set: MonitorSet) -> Self {
        let reach = Reach::default();
        Self { set, reach }
    }

    // hot: every update.
    fn take(&mut self, cx: &mut Context<'_>) -> Vec<(MonitorKey, MonitorEvent)> {
        let mut events = Vec::new();
        while events.len() < AT_ONCE {
            let batch = match pin!(self.set.next_batch()).poll(cx) {
                Poll::Ready(Some(batch)) => Some(batch),
                Poll::Ready(None) | Poll::Pending => None,
            };
            if self.reach.left == 0 || batch.is_none() {
                self.reach.looks += 1;
            }
            let Some(mut batch) = batch else {
                self.reach.left = 0;
                break;
            };
            let room = AT_ONCE - events.len();
            events.extend(batch.by_ref().take(room));
            self.reach.left = batch.len();
        }
        events
    }
}

/// What the thread that runs callbacks is at.
#[derive(Default, Debug)]
struct Turns {
    thread: Option<ThreadId>,
    /// Something may have come since it last looked.
    woken: bool,
    /// It waits.
    idle: bool,
    begun: u64,
    ended: u64,
    /// What was taken in turns that have ended.
    told: u64,
    /// The turn for whose end nobody waits any more.
    given_up: u64,
    /// Threads that wait for the end of turns.
    waiting: usize,
}

/// Wakes the thread that runs callbacks, and those that wait for it.
#[derive(Default)]
pub(super) struct Signal {
    turns: Mutex<Turns>,
    woken: Condvar,
    ended: Condvar,
    /// Of the world that the client lives in.
    bell: Option<Arc<Bell>>,
}

impl Signal {
    pub(super) fn new(bell: Option<Arc<Bell>>) -> Self {
        Self {
            bell,
            ..Self::default()
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        lock(&self.turns).woken = true;
        self.woken.notify_one();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

/// What has to be done until all that had come at a time is delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    turn: u64,
    looks: u64,
}

impl Hub {
    /// Waits until there is something; nothing when it was closed.
    pub(super) fn take(&self) -> Vec<Taken> {
        loop {
            self.begin_turn();
            let taken = self.take_now();
            if !taken.is_empty() || self.closed.load(Ordering::SeqCst) {
                return taken;
            }
            let mut turns = self.end_turn();
            turns.idle = true;
            while !turns.woken {
                turns = (self.signal.woken.wait(turns)).unwrap_or_else(PoisonError::into_inner);
            }
            turns.idle = false;
            turns.woken = false;
        }
    }

    fn begin_turn(&self) {
        let mut turns = self.end_turn();
        turns.thread = Some(thread::current().id());
        turns.begun += 1;
    }

    /// All that was taken is delivered.
    fn end_turn(&self) -> MutexGuard<'_, Turns> {
        let told = lock(&self.stock).reach.whole();
        let mut turns = lock(&self.signal.turns);
        turns.told = told;
        turns.ended = turns.begun;
        if turns.waiting > 0 {
            self.signal.ended.notify_all();
        }
        turns
    }

    /// What has to be done until that is delivered which has come by now; nothing if all is, or if it is this thread
    /// that delivers.
    pub(super) fn goal(&self) -> Option<Goal> {
        {
            let turns = lock(&self.signal.turns);
            let is_own = turns.thread == Some(thread::current().id());
            // In a world, who waits has delivered what there was.
            if is_own || (turns.idle && !turns.woken) || self.signal.bell.is_some() {
                return None;
            }
        }
        let looks = lock(&self.stock).reach.looks + 1;
        let turn = lock(&self.signal.turns).begun + 1;
        Some(Goal { turn, looks })
    }

    /// Waits until a goal is reached (true) or given up; nothing if it is neither by then. What a callback that does not
    /// end keeps back is waited for once.
    pub(super) fn reach(&self, goal: Goal, until: Instant) -> Option<bool> {
        let mut turns = lock(&self.signal.turns);
        turns.waiting += 1;
        let done = loop {
            let reached = turns.ended >= goal.turn && turns.told >= goal.looks;
            let hangs = turns.ended < turns.begun && turns.given_up == turns.begun;
            if reached || hangs || self.closed.load(Ordering::SeqCst) {
                break Some(reached);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break None;
            }
            let waited = self.signal.ended.wait_timeout(turns, left);
            (turns, _) = waited.unwrap_or_else(PoisonError::into_inner);
        };
        turns.waiting -= 1;
        done
    }

    /// Nobody waits for the turn any more that is under way.
    pub(super) fn give_up(&self) {
        let mut turns = lock(&self.signal.turns);
        turns.given_up = turns.begun;
        self.signal.ended.notify_all();
    }

    /// What there is at this moment.
    pub(super) fn take_now(&self) -> Vec<Taken> {
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

    fn take_updates(&self, cx: &mut Context<'_>, taken: &mut Vec<Taken>) {
        let events = lock(&self.stock).take(cx);
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
}
