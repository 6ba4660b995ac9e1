//! The one object behind a client's handles: the state machine under its lock, and who waits.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use ca_net::record::Recorder;
use ca_net::{Runtime, WakerList};
use ca_proto::client::{
    Action, Client as Core, Deliver, Event, Hangup, Lifecycle, OpError, OpenError, Reply, SubSpec,
    Token, Update,
};
use ca_proto::dbr::{Brief, DbrType, Reading, Value};
use ca_proto::ids::{Cid, CircuitId, SlotKey, Slots, SubId};
use ca_proto::wire::{PvName, SendQueue};
use ca_proto::{EcaStatus, Instant};

use crate::addresses::Addresses;
use crate::batch::Batch;
use crate::client::ClientStats;
use crate::config::EffectiveConfig;
use crate::events::{self, Events, Listeners};
use crate::monitor::SubSlot;
use crate::monitor_set::Set;
use crate::ops::{Answer, Failure};
use crate::set_queue::Place;
use crate::sync::{Mutex, MutexGuard};
use crate::waits::{Until, Waits};

/// Names a read or put-notify that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpKey(u32);

/// Names a batch of reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchKey(u32);

/// Names a subscription.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SubKey(u32);

/// Names a set of subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SetKey(u32);

ca_proto::slot_key!(SetKey, 24);

macro_rules! tokens {
    ($($name:ident)*) => {$(
        ca_proto::slot_key!($name, 24);

        impl $name {
            fn from_token(token: Token) -> Self {
                // The low half; what stands above is for batches.
                Self(token.0 as u32)
            }
        }
    )*};
}

tokens! { OpKey BatchKey SubKey }

impl OpKey {
    /// The token that brings the answer back to this slot.
    pub(crate) fn token(self) -> Token {
        Token(self.0.into())
    }
}

impl SubKey {
    /// The token that brings updates back to this slot.
    pub(crate) fn token(self) -> Token {
        Token(self.0.into())
    }

    /// A small number that no other living subscription has.
    pub(crate) const fn index(self) -> u32 {
        self.0 & ((1 << Self::INDEX_BITS) - 1)
    }
}

impl BatchKey {
    /// The token that brings an answer back to this item of the batch.
    pub(crate) fn token(self, index: u32) -> Token {
        Token((u64::from(index) + 1) << 32 | u64::from(self.0))
    }

    /// The batch and the item, if the token is of one.
    fn split(token: Token) -> Option<(Self, u32)> {
        let above = (token.0 >> 32) as u32;
        Some((Self::from_token(token), above.checked_sub(1)?))
    }
}

#[derive(Debug)]
pub(crate) enum Op {
    Waiting(Waker),
    Done(Answer),
}

/// Where the updates of a subscription go.
#[derive(Debug)]
pub(crate) enum Sub {
    Single(Arc<SubSlot>),
    Member(SetKey, Place),
}

/// Where results are put; what the state machine delivers into.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) ops: Slots<OpKey, Op>,
    pub(crate) batches: Slots<BatchKey, Batch>,
    pub(crate) subs: Slots<SubKey, Sub>,
    pub(crate) sets: Slots<SetKey, Set>,
}

/// A circuit's task, as far as others have to do with it.
#[derive(Debug, Default)]
struct Link {
    /// The task's waker while it has nothing to do.
    waker: Option<Waker>,
    hangup: Option<Hangup>,
}

/// What a circuit's task finds when it looks whether there is something to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// The connection is to be ended.
    Hangup(Hangup),
    /// Nothing but what it has at hand; it will be woken when there is more.
    Parked,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Core,
    pub(crate) results: Results,
    pub(crate) waits: Waits,
    pub(crate) listeners: Listeners,
    links: BTreeMap<CircuitId, Link>,
    /// Circuits that the endpoint's task has to start.
    dials: Vec<(CircuitId, SocketAddrV4)>,
    /// The endpoint task's waker while it has nothing to do.
    endpoint: Option<Waker>,
    /// When somebody last had a turn.
    now: Instant,
    /// When the endpoint's task wakes by itself.
    armed: Instant,
    /// Tasks that have not ended.
    tasks: usize,
    closing: bool,
    /// Servers that an earlier run knew, and this one.
    pub(crate) addresses: Option<Addresses>,
}

pub(crate) struct Shared {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) config: EffectiveConfig,
    /// Address that circuits leave from.
    pub(crate) local: Ipv4Addr,
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// Bytes that came on circuits.
    pub(crate) received: AtomicU64,
    /// Updates that readers have learned were dropped.
    pub(crate) skipped: AtomicU64,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        config: EffectiveConfig,
        local: Ipv4Addr,
        (recorder, addresses): (Option<Arc<Recorder>>, Option<Addresses>),
    ) -> Self {
        let now = runtime.now();
        let core = Core::new(config.params().clone(), now);
        Self {
            runtime,
            config,
            local,
            recorder,
            received: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            state: Mutex::new(State {
                core,
                results: Results::default(),
                waits: Waits::default(),
                listeners: Listeners::default(),
                links: BTreeMap::new(),
                dials: Vec::new(),
                endpoint: None,
                now,
                armed: Instant::MAX,
                tasks: 0,
                closing: false,
                addresses,
            }),
        }
    }

    /// Works on the state under its lock, then wakes whoever has something to do because of it.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut State, Instant, &mut WakerList) -> R) -> R {
        self.with_list(&mut WakerList::new(), work)
    }

    /// As [`with`](Self::with), with a list that the caller keeps for the next time.
    pub(crate) fn with_list<R>(
        &self,
        wakers: &mut WakerList,
        work: impl FnOnce(&mut State, Instant, &mut WakerList) -> R,
    ) -> R {
        let mut state = self.lock();
        // Read under the lock: the state machine wants a clock that never goes back, and two
        // threads could otherwise come in the wrong order.
        let now = self.runtime.now();
        state.now = now;
        let result = work(&mut state, now, wakers);
        state.settle(now, wakers);
        let log = state.listeners.take_log();
        drop(state);
        wakers.wake_all();
        if !log.is_empty() {
            events::write(log);
        }
        result
    }

    /// Queues a write behind others that have not left, for which neither the clock nor anybody's
    /// attention is needed: the circuit's task looks for more when it has sent what it took. False if
    /// there are none, or something is in the way.
    // hot: every write of a burst.
    #[inline]
    pub(crate) fn write_behind(&self, cid: Cid, ty: DbrType, value: &Value) -> bool {
        let mut state = self.lock();
        matches!(state.core.write_behind(cid, ty, value), Ok(true))
    }

    /// Works on the state where nothing comes of it for anybody else, without a look at the clock: the
    /// time is that of the last turn, which brought what is looked for.
    // hot: every request that is alone.
    pub(crate) fn look<R>(&self, work: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut state = self.lock();
        let now = state.now;
        work(&mut state, now)
    }

    /// Takes what was put there, without a look at the clock or at what there is to do.
    pub(crate) fn collect<R>(&self, take: impl FnOnce(&mut Results) -> R) -> R {
        take(&mut self.lock().results)
    }

    /// A reader has learned that updates were dropped.
    #[inline]
    pub(crate) fn skipped(&self, updates: u64) {
        if updates > 0 {
            self.skipped.fetch_add(updates, Ordering::Relaxed);
        }
    }

    /// Looks at the state without changing it.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock())
    }

    /// The state, if nobody works on it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        self.state.try_lock().ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a defect of ours; the other channels may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The state machine, and where it delivers to.
    pub(crate) fn split<'a>(&'a mut self, wakers: &'a mut WakerList) -> (&'a mut Core, Sink<'a>) {
        let sink = Sink {
            results: &mut self.results,
            wakers,
        };
        (&mut self.core, sink)
    }

    /// Collects what the state machine wants done by others.
    fn settle(&mut self, now: Instant, wakers: &mut WakerList) {
        while let Some(circuit) = self.core.poll_woken() {
            self.wake_circuit(circuit, wakers);
        }
        while let Some(action) = self.core.poll_action() {
            self.act(action, wakers);
        }
        while let Some(event) = self.core.poll_event() {
            self.tell(now, event, wakers);
        }
        while let Some((key, index)) = self.waits.pop_item() {
            if let Some(batch) = self.results.batches.get_mut(key) {
                batch.changed(index, wakers);
            }
        }
        let earlier = self.next_timeout().is_some_and(|next| next < self.armed);
        // Also right after it has parked: it may have looked before what it is to do came.
        if earlier || !self.dials.is_empty() || self.endpoint_is_done() {
            wakers.extend(self.endpoint.take());
        }
    }

    fn act(&mut self, action: Action, wakers: &mut WakerList) {
        match action {
            Action::Dial { circuit, addr } => {
                self.links.insert(circuit, Link::default());
                self.dials.push((circuit, addr));
            }
            Action::Hangup { circuit, how } => {
                if let Some(link) = self.links.get_mut(&circuit) {
                    link.hangup = Some(how);
                    wakers.extend(link.waker.take());
                }
            }
        }
    }

    fn tell(&mut self, now: Instant, event: Event, wakers: &mut WakerList) {
        if let (Event::Connected { cid }, Some(known)) = (&event, &mut self.addresses)
            && let Some(view) = self.core.channel(*cid)
            && let Some(connection) = view.connection()
        {
            known.remember(view.name, (connection.server, connection.minor));
        }
        match &event {
            Event::Connected { cid }
            | Event::Disconnected { cid, .. }
            | Event::NotConnected { cid, .. }
            | Event::AccessRights { cid, .. } => self.waits.wake(Until::Channel(*cid), wakers),
            // Those who waited for room in its queue have to look again.
            Event::CircuitClosed { .. } => self.waits.wake(Until::Room, wakers),
            _ => {}
        }
        self.listeners.tell(now, event, &self.core, wakers);
    }

    fn wake_circuit(&mut self, circuit: CircuitId, wakers: &mut WakerList) {
        if let Some(link) = self.links.get_mut(&circuit) {
            wakers.extend(link.waker.take());
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let core = self.core.poll_timeout();
        let waits = self.waits.next_deadline();
        core.into_iter().chain(waits).min()
    }

    /// Lets everything end that has to do with time.
    pub(crate) fn handle_timeouts(&mut self, now: Instant, wakers: &mut WakerList) {
        if self.core.poll_timeout().is_some_and(|due| due <= now) {
            let (core, mut sink) = self.split(wakers);
            core.handle_timeout(now, &mut sink);
        }
        self.waits.expire(now, wakers);
    }

    /// Circuits to be started, each counted as a task already.
    pub(crate) fn take_dials(&mut self) -> Vec<(CircuitId, SocketAddrV4)> {
        self.tasks += self.dials.len();
        std::mem::take(&mut self.dials)
    }

    /// The endpoint's task has nothing to do until the deadline that this returns.
    pub(crate) fn park_endpoint(&mut self, waker: &Waker) -> Option<Instant> {
        let next = self.next_timeout();
        self.armed = next.unwrap_or(Instant::MAX);
        self.endpoint = Some(waker.clone());
        next
    }

    /// What a circuit's task has to do beside writing, `busy` if there is something to write;
    /// remembers how to wake it.
    pub(crate) fn circuit_work(&mut self, circuit: CircuitId, busy: bool, waker: &Waker) -> Work {
        let Some(link) = self.links.get_mut(&circuit) else {
            return Work::Hangup(Hangup::Abort);
        };
        match link.hangup {
            Some(Hangup::Abort) => Work::Hangup(Hangup::Abort),
            Some(how) if !busy => Work::Hangup(how),
            _ => {
                link.waker = Some(waker.clone());
                Work::Parked
            }
        }
    }

    /// Whether a circuit is to be ended.
    pub(crate) fn is_ending(&self, circuit: CircuitId) -> bool {
        let link = self.links.get(&circuit);
        link.is_none_or(|link| link.hangup.is_some())
    }

    /// Whether a circuit's task has nothing to do beside reading, and will be woken when it has.
    pub(crate) fn is_parked(&mut self, now: Instant, circuit: CircuitId, waker: &Waker) -> bool {
        let Some(link) = self.links.get(&circuit) else {
            return false;
        };
        let known = (link.waker.as_ref()).is_some_and(|known| known.will_wake(waker));
        let queued = |queue: &mut SendQueue| !queue.is_empty();
        known && link.hangup.is_none() && !self.core.transmit(now, circuit).is_some_and(queued)
    }

    /// The socket of a circuit took bytes: who waits for room looks again. Also when nothing is left
    /// to send, because another thread may have looked just before.
    pub(crate) fn circuit_sent(
        &mut self,
        now: Instant,
        circuit: CircuitId,
        bytes: usize,
        wakers: &mut WakerList,
    ) {
        self.core.handle_sent(now, circuit, bytes);
        self.waits.wake(Until::Room, wakers);
    }

    /// Whether a circuit that is being dialled is no longer wanted; else its task will be woken.
    pub(crate) fn poll_unwanted(&mut self, circuit: CircuitId, waker: &Waker) -> Poll<()> {
        match self.links.get_mut(&circuit) {
            Some(link) if link.hangup.is_none() => {
                link.waker = Some(waker.clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// The circuit's task is about to end.
    pub(crate) fn forget_circuit(&mut self, circuit: CircuitId) {
        self.links.remove(&circuit);
    }

    pub(crate) fn task_started(&mut self) {
        self.tasks += 1;
    }

    pub(crate) fn task_ended(&mut self, wakers: &mut WakerList) {
        self.tasks = self.tasks.saturating_sub(1);
        if self.tasks <= 1 {
            // The endpoint's task ends last.
            wakers.extend(self.endpoint.take());
        }
        if self.is_ended() {
            self.waits.wake(Until::Closed, wakers);
        }
    }

    /// Starts an orderly end: channels are cleared, circuits flushed and closed, waiting futures
    /// end with an error.
    pub(crate) fn close(&mut self, now: Instant, wakers: &mut WakerList) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        self.core.shutdown(now);
        for (_, op) in self.results.ops.iter_mut() {
            if let Op::Waiting(_) = op
                && let Op::Waiting(waker) = std::mem::replace(op, Op::Done(Err(Failure::Closed)))
            {
                wakers.push(waker);
            }
        }
        for (_, batch) in self.results.batches.iter_mut() {
            batch.wake(wakers);
        }
        for (_, sub) in self.results.subs.iter() {
            if let Sub::Single(slot) = sub {
                slot.end(wakers);
            }
        }
        for (_, set) in self.results.sets.iter_mut() {
            set.end(wakers);
        }
        self.waits.wake_all(wakers);
        self.listeners.end(wakers);
        wakers.extend(self.endpoint.take());
    }

    /// Opens a channel, at the server that an earlier run knew if there is one.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        name: PvName,
        priority: u8,
    ) -> Result<Cid, OpenError> {
        let known = self.addresses.as_ref();
        let hint = known.and_then(|known| known.server_of(&name));
        self.core.open_channel_at(now, name, priority, hint)
    }

    /// Subscribes to a channel; updates go where `sub` says.
    pub(crate) fn subscribe(
        &mut self,
        now: Instant,
        cid: Cid,
        spec: SubSpec,
        sub: Sub,
    ) -> Result<(SubKey, SubId), OpError> {
        if self.closing {
            return Err(OpError::NoSuchChannel);
        }
        let inserted = self.results.subs.insert(sub);
        let key = inserted.map_err(|_| OpError::TooManySubscriptions)?;
        match self.core.subscribe(now, cid, spec, key.token()) {
            Ok(id) => Ok((key, id)),
            Err(error) => {
                self.results.subs.remove(key);
                Err(error)
            }
        }
    }

    pub(crate) const fn stats(&self) -> ClientStats {
        let counts = self.core.counts();
        ClientStats {
            channels: counts.channels,
            circuits: counts.circuits,
            requests: counts.operations,
            subscriptions: counts.subscriptions,
            waiting_for_answer: self.results.ops.len() + self.results.batches.len(),
            waiting_for_change: self.waits.len(),
            tasks: self.tasks,
            refused_circuits: self.core.refused_circuits(),
        }
    }

    /// A new listener to all events, or to those of a channel.
    pub(crate) fn listen(&mut self, of: Option<Cid>, wakers: &mut WakerList) -> Events {
        let events = self.listeners.add(of);
        if self.closing {
            self.listeners.end(wakers);
        }
        events
    }

    pub(crate) const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether the endpoint's task may end.
    pub(crate) fn endpoint_is_done(&self) -> bool {
        self.closing && self.tasks <= 1 && self.dials.is_empty()
    }

    /// Whether all tasks have ended.
    pub(crate) const fn is_ended(&self) -> bool {
        self.closing && self.tasks == 0
    }
}

/// Puts results where their owners find them.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    results: &'a mut Results,
    wakers: &'a mut WakerList,
}

impl Deliver for Sink<'_> {
    // hot: every update of a scalar.
    #[inline]
    fn brief(&mut self, token: Token, brief: Brief) -> bool {
        let key = SubKey::from_token(token);
        match self.results.subs.get_mut(key) {
            Some(Sub::Member(set, place)) => {
                if let Some(set) = self.results.sets.get_mut(*set) {
                    set.brief(key, place, brief, self.wakers);
                }
            }
            Some(Sub::Single(slot)) => slot.brief(brief, self.wakers),
            None => {}
        }
        true
    }

    fn update(&mut self, token: Token, update: Update<'_>) {
        let key = SubKey::from_token(token);
        match self.results.subs.get_mut(key) {
            Some(Sub::Single(slot)) => slot.update(&update, self.wakers),
            Some(Sub::Member(set, place)) => {
                if let Some(set) = self.results.sets.get_mut(*set) {
                    set.update(key, place, &update, self.wakers);
                }
            }
            None => {}
        }
    }

    // hot: every answer.
    #[inline]
    fn reply(&mut self, token: Token, reply: Reply<'_>) {
        if let Some((batch, index)) = BatchKey::split(token) {
            if let Some(batch) = self.results.batches.get_mut(batch) {
                batch.answer(index, reply, self.wakers);
            }
            return;
        }
        let Some(op) = self.results.ops.get_mut(OpKey::from_token(token)) else {
            return;
        };
        if let Op::Waiting(waker) = std::mem::replace(op, Op::Done(NO_ANSWER)) {
            self.wakers.push(waker);
        }
        if let Op::Done(answer) = op {
            take_reply(answer, reply);
        }
    }

    fn lifecycle(&mut self, token: Token, change: Lifecycle) {
        let key = SubKey::from_token(token);
        match self.results.subs.get_mut(key) {
            Some(Sub::Single(slot)) => slot.mark(change, self.wakers),
            Some(Sub::Member(set, place)) => {
                if let Some(set) = self.results.sets.get_mut(*set) {
                    set.mark(key, place, change, self.wakers);
                }
            }
            None => {}
        }
    }
}

/// An answer to be filled in.
pub(crate) const NO_ANSWER: Answer = Ok(Some(Reading::empty()));

/// Fills in what came as an answer.
// hot: every answer to a read.
#[inline]
pub(crate) fn take_reply(answer: &mut Answer, reply: Reply<'_>) {
    *answer = match reply {
        Reply::Read { ty, count, frame } => {
            if let Ok(Some(reading)) = answer
                && reading.set(ty, count, frame).is_ok()
            {
                return;
            }
            Err(Failure::Failed(EcaStatus::BADCOUNT, None))
        }
        Reply::Written => Ok(None),
        Reply::Failed(status) => Err(Failure::Failed(status, None)),
        Reply::Exception { status, text } => {
            let text = String::from_utf8_lossy(text);
            Err(Failure::Failed(
                status,
                (!text.is_empty()).then(|| text.into()),
            ))
        }
        Reply::Malformed(what) => Err(Failure::Malformed(what)),
        Reply::Disconnected => Err(Failure::Disconnected),
        Reply::TimedOut => Err(Failure::TimedOut),
        _ => Err(Failure::Failed(EcaStatus::INTERNAL, None)),
    };
}
