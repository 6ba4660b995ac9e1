//! Many reads or writes as one future: one turn of the lock for all that can be sent, results put
//! where they belong by the circuits, one wake-up at the end.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ca_net::WakerList;
use ca_proto::Instant;
use ca_proto::client::{Client as Core, OpError, ReadSpec, Reply, Token};
use ca_proto::dbr::{DbrType, Reading, Value};
use ca_proto::ids::{Cid, CircuitId, Ioid};

use crate::ops::{Answer, Failure};
use crate::put::Done;
use crate::shared::{BatchKey, NO_ANSWER, Shared, State, take_reply};
use crate::waits::{Until, WaitKey, Waiter};

/// What is asked of the servers.
pub(crate) trait Requests {
    /// Hands request `n` to the state machine; `None` when no answer will come.
    fn send(
        &self,
        n: usize,
        core: &mut Core,
        to: (Cid, Token),
        times: (Instant, Instant),
    ) -> Result<Option<Ioid>, OpError>;
}

/// The same read of every channel.
impl Requests for ReadSpec {
    fn send(
        &self,
        _: usize,
        core: &mut Core,
        (cid, token): (Cid, Token),
        (now, deadline): (Instant, Instant),
    ) -> Result<Option<Ioid>, OpError> {
        core.read(now, cid, *self, token, Some(deadline)).map(Some)
    }
}

/// A value for each channel.
#[derive(Debug)]
pub(crate) struct Puts {
    pub(crate) values: Vec<(DbrType, Value)>,
    pub(crate) done: Done,
}

impl Requests for Puts {
    fn send(
        &self,
        n: usize,
        core: &mut Core,
        (cid, token): (Cid, Token),
        (now, deadline): (Instant, Instant),
    ) -> Result<Option<Ioid>, OpError> {
        let Some((ty, value)) = self.values.get(n) else {
            return Err(OpError::NoSuchChannel);
        };
        let deadline = Some(deadline);
        match self.done {
            Done::Sent => core.write(now, cid, *ty, value).map(|()| None),
            Done::Checked => core
                .write_checked(now, cid, *ty, value, token, deadline)
                .map(Some),
            Done::Completed => core
                .write_notify(now, cid, *ty, value, token, deadline)
                .map(Some),
        }
    }
}

/// A request of a batch.
#[derive(Debug)]
pub(crate) enum Item {
    /// Not asked for yet.
    Ready,
    /// Waits for the connection of its channel.
    Unconnected(Option<WaitKey>),
    Sent(Ioid),
    Done(Answer),
}

impl Item {
    const fn is_open(&self) -> bool {
        !matches!(self, Self::Done(_))
    }

    const fn is_unsent(&self) -> bool {
        matches!(self, Self::Ready | Self::Unconnected(_))
    }

    const fn wait(&mut self) -> Option<WaitKey> {
        match self {
            Self::Unconnected(wait) => wait.take(),
            _ => None,
        }
    }

    /// The answer to a request that is done.
    pub(crate) const fn answer(&self) -> Result<Option<&Reading>, &Failure> {
        match self {
            Self::Done(Ok(reading)) => Ok(reading.as_ref()),
            Self::Done(Err(failure)) => Err(failure),
            _ => Err(&Failure::Closed),
        }
    }
}

/// What the circuits know of requests that belong together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    items: Vec<Item>,
    /// Items that are not done.
    open: usize,
    /// Items that are neither done nor sent.
    unsent: usize,
    /// The future is woken by an answer when no more than this many items are open.
    wake_at: usize,
    /// Items whose channel has changed.
    retry: Vec<u32>,
    waker: Option<Waker>,
}

impl Batch {
    fn new(len: usize) -> Self {
        let ready = std::iter::repeat_with(|| Item::Ready);
        Self {
            items: ready.take(len).collect(),
            open: len,
            unsent: len,
            wake_at: 0,
            retry: Vec::new(),
            waker: None,
        }
    }

    /// The answer to a request that was sent.
    // hot: every answer to a read.
    #[inline]
    pub(crate) fn answer(&mut self, index: u32, reply: Reply<'_>, wakers: &mut WakerList) {
        let Some(item @ Item::Sent(_)) = self.items.get_mut(index as usize) else {
            return;
        };
        *item = Item::Done(NO_ANSWER);
        if let Item::Done(answer) = item {
            take_reply(answer, reply);
        }
        self.open -= 1;
        if self.open <= self.wake_at {
            self.wake(wakers);
        }
    }

    /// The channel of a request that waits for its connection has changed.
    pub(crate) fn changed(&mut self, index: u32, wakers: &mut WakerList) {
        self.retry.push(index);
        self.wake(wakers);
    }

    pub(crate) fn wake(&mut self, wakers: &mut WakerList) {
        wakers.extend(self.waker.take());
    }

    /// Ends some items and forgets what they wait for.
    fn end(&mut self, state: &mut State, which: fn(&Item) -> bool, why: fn() -> Failure) {
        for index in 0..self.items.len() as u32 {
            let item = self.items.get_mut(index as usize);
            if let Some(item) = item.filter(|item| which(item)) {
                let wait = item.wait();
                self.set(index, Item::Done(Err(why())));
                // Waiters of items own nothing.
                let _ = wait.and_then(|key| state.waits.remove(key));
            }
        }
    }

    /// Moves an item on, and keeps count.
    fn set(&mut self, index: u32, new: Item) {
        let Some(item) = self.items.get_mut(index as usize) else {
            return;
        };
        self.open = self.open + usize::from(new.is_open()) - usize::from(item.is_open());
        self.unsent = self.unsent + usize::from(new.is_unsent()) - usize::from(item.is_unsent());
        *item = new;
    }
}

/// Requests that wait for room on a circuit.
#[derive(Debug)]
struct Full {
    circuit: CircuitId,
    error: OpError,
    waiting: VecDeque<u32>,
}

/// Requests on their way, one to each of some channels. Dropping it takes them back, as far as they
/// were not sent.
///
/// Requests to one channel are sent in their order. What finds a full queue waits behind the others
/// for the same circuit, so that no other circuit has to wait.
#[derive(Debug)]
pub(crate) struct Many<'a, R> {
    shared: &'a Shared,
    cids: Vec<Cid>,
    requests: R,
    deadline: Instant,
    key: Option<BatchKey>,
    /// Requests before this one were tried.
    next: u32,
    full: Vec<Full>,
    wait: Option<WaitKey>,
}

impl<'a, R: Requests> Many<'a, R> {
    /// At most 2^32 - 2 requests; of more, none is sent.
    pub(crate) const fn new(
        shared: &'a Shared,
        cids: Vec<Cid>,
        requests: R,
        deadline: Instant,
    ) -> Self {
        Self {
            shared,
            cids,
            requests,
            deadline,
            key: None,
            next: 0,
            full: Vec::new(),
            wait: None,
        }
    }

    /// Goes as far as possible now. `old` receives wakers that were replaced, to be dropped
    /// outside of the lock.
    fn advance(
        &mut self,
        (state, now, wakers): (&mut State, Instant, &mut WakerList),
        waker: &Waker,
        old: &mut [Option<Waker>; 2],
    ) -> Poll<Vec<Item>> {
        let Some(key) = self.key.or_else(|| self.register(state)) else {
            return Poll::Ready(self.refused());
        };
        old[0] = self.wait.take().and_then(|key| state.waits.remove(key));
        // Nobody else looks at it before the lock is released.
        let slot = state.results.batches.get_mut(key);
        let mut batch = slot.map(std::mem::take).unwrap_or_default();
        if state.is_closing() {
            self.full.clear();
            batch.end(state, Item::is_open, || Failure::Closed);
        } else {
            self.send_all(state, &mut batch, key, now, wakers);
            if now >= self.deadline {
                self.end_unsent(state, &mut batch);
            }
        }
        if batch.open == 0 {
            state.results.batches.remove(key);
            self.key = None;
            old[1] = batch.waker;
            return Poll::Ready(batch.items);
        }
        if !batch.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            old[1] = batch.waker.replace(waker.clone());
        }
        // The state machine knows the deadline of what was sent.
        let unsent = batch.unsent > 0;
        if let Some(slot) = state.results.batches.get_mut(key) {
            *slot = batch;
        }
        if unsent {
            let until = if self.full.is_empty() {
                Until::Closed
            } else {
                Until::Room
            };
            let waiter = Waiter::Task(waker.clone());
            self.wait = state.waits.add(until, self.deadline, waiter, wakers);
        }
        Poll::Pending
    }

    fn register(&mut self, state: &mut State) -> Option<BatchKey> {
        let len = self.cids.len();
        // Tokens have room for one less than 2^32.
        u32::try_from(len + 1).ok()?;
        self.key = state.results.batches.insert(Batch::new(len)).ok();
        self.key
    }

    fn refused(&self) -> Vec<Item> {
        let too_many = || Item::Done(Err(Failure::Refused(OpError::TooManyOps)));
        self.cids.iter().map(|_| too_many()).collect()
    }

    /// Sends what has not been sent, as far as there is room.
    fn send_all(
        &mut self,
        state: &mut State,
        batch: &mut Batch,
        key: BatchKey,
        now: Instant,
        wakers: &mut WakerList,
    ) {
        batch.wake_at = 0;
        let mut full = std::mem::take(&mut self.full);
        for list in &mut full {
            while let Some(&index) = list.waiting.front() {
                match self.send(state, batch, (key, index), now, wakers) {
                    Ok(()) => list.waiting.pop_front(),
                    Err(error) => {
                        list.error = error;
                        break;
                    }
                };
            }
        }
        full.retain(|list| !list.waiting.is_empty());
        self.full = full;
        // Requests to one channel keep their order.
        let mut retry = std::mem::take(&mut batch.retry);
        retry.sort_unstable();
        for index in retry {
            self.send_or_queue(state, batch, (key, index), now, wakers);
        }
        // Not more than fit a token, or it would not be registered.
        let all = self.cids.len() as u32;
        while self.next < all {
            // hot: when every circuit is full there is none that the rest would hold up, and no need to look at their
            // channels before they can be asked.
            if !self.full.is_empty() && self.full.len() >= state.core.counts().circuits {
                break;
            }
            let index = self.next;
            self.next += 1;
            // hot: mostly there is room for all.
            let room = self.full.is_empty();
            if !room || self.send(state, batch, (key, index), now, wakers).is_err() {
                self.send_or_queue(state, batch, (key, index), now, wakers);
            }
        }
    }

    fn send_or_queue(
        &mut self,
        state: &mut State,
        batch: &mut Batch,
        at: (BatchKey, u32),
        now: Instant,
        wakers: &mut WakerList,
    ) {
        if !self.full.is_empty()
            && let Some(circuit) = self.circuit(state, at.1)
            && let Some(list) = self.full.iter_mut().find(|list| list.circuit == circuit)
        {
            list.waiting.push_back(at.1);
            return;
        }
        if let Err(error) = self.send(state, batch, at, now, wakers) {
            match self.circuit(state, at.1) {
                Some(circuit) => self.full.push(Full {
                    circuit,
                    error,
                    waiting: VecDeque::from([at.1]),
                }),
                // Without a circuit there is none that could be full.
                None => batch.set(at.1, Item::Done(Err(Failure::Refused(error)))),
            }
        }
    }

    fn circuit(&self, state: &State, index: u32) -> Option<CircuitId> {
        state.core.circuit_of(*self.cids.get(index as usize)?)
    }

    /// Sends a request, or notes why not.
    ///
    /// # Errors
    /// When there is no room at the moment.
    // hot: every request.
    #[inline]
    fn send(
        &self,
        state: &mut State,
        batch: &mut Batch,
        (key, index): (BatchKey, u32),
        now: Instant,
        wakers: &mut WakerList,
    ) -> Result<(), OpError> {
        let n = index as usize;
        let (Some(&cid), Some(item)) = (self.cids.get(n), batch.items.get_mut(n)) else {
            return Ok(());
        };
        match item {
            Item::Ready => {}
            Item::Unconnected(wait) => {
                // Waiters of items own nothing.
                let _ = wait.take().and_then(|wait| state.waits.remove(wait));
            }
            // The time of an item may be up just after its channel has changed.
            Item::Sent(_) | Item::Done(_) => return Ok(()),
        }
        let (to, times) = ((cid, key.token(index)), (now, self.deadline));
        *item = match self.requests.send(n, &mut state.core, to, times) {
            Ok(Some(ioid)) => Item::Sent(ioid),
            Ok(None) => Item::Done(Ok(None)),
            Err(OpError::NotConnected) if state.core.has_nowhere_to_search() => {
                Item::Done(Err(Failure::NotConnected))
            }
            Err(OpError::NotConnected) => {
                let (until, waiter) = (Until::Channel(cid), Waiter::Item(key, index));
                let wait = state.waits.add(until, Instant::MAX, waiter, wakers);
                *item = Item::Unconnected(wait);
                return Ok(());
            }
            Err(error @ OpError::QueueFull(_)) => return Err(error),
            Err(error @ OpError::TooManyOps) => {
                // Any answer makes room.
                batch.wake_at = batch.open;
                return Err(error);
            }
            Err(error) => Item::Done(Err(Failure::Refused(error))),
        };
        batch.unsent -= 1;
        batch.open -= usize::from(!item.is_open());
        Ok(())
    }

    /// The time is up for what was not sent.
    fn end_unsent(&mut self, state: &mut State, batch: &mut Batch) {
        for list in std::mem::take(&mut self.full) {
            for index in list.waiting {
                batch.set(index, Item::Done(Err(Failure::Refused(list.error))));
            }
            // Those that were not tried because every circuit was full.
            while self.next < self.cids.len() as u32 {
                let index = self.next;
                self.next += 1;
                if self.circuit(state, index).is_some() {
                    batch.set(index, Item::Done(Err(Failure::Refused(list.error))));
                }
            }
        }
        if batch.unsent > 0 {
            batch.end(state, Item::is_unsent, || Failure::NotConnected);
        }
    }
}

impl<R: Requests + Unpin> Future for Many<'_, R> {
    type Output = Vec<Item>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<Item>> {
        let this = self.get_mut();
        if this.cids.is_empty() {
            return Poll::Ready(Vec::new());
        }
        let shared = this.shared;
        // Wakers that are replaced may own what wants the lock when they are dropped.
        let mut old = [None, None];
        let done = shared
            .with(|state, now, wakers| this.advance((state, now, wakers), cx.waker(), &mut old));
        drop(old);
        done
    }
}

impl<R> Drop for Many<'_, R> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let wait = self.wait.take();
        let _dropped_outside = self.shared.with(|state, _, _| {
            let old = wait.and_then(|key| state.waits.remove(key));
            let batch = state.results.batches.remove(key);
            for item in batch.iter().flat_map(|batch| &batch.items) {
                match item {
                    Item::Sent(ioid) => state.core.cancel(*ioid),
                    Item::Unconnected(Some(key)) => drop(state.waits.remove(*key)),
                    _ => {}
                }
            }
            (old, batch)
        });
    }
}
