//! Futures that wait for something else than an answer: for a channel to change, or for room in a
//! queue.

use std::collections::BTreeSet;
use std::task::Waker;

use ca_net::WakerList;
use ca_proto::Instant;
use ca_proto::ids::{Cid, Slots};

use crate::shared::BatchKey;

/// What a future waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Until {
    /// Something about this channel changes: its connection or its access rights.
    Channel(Cid),
    /// Some circuit has sent what was queued.
    Room,
    /// The client is closed and all its tasks have ended.
    Closed,
}

/// Names a waiting future.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WaitKey(u32);

ca_proto::slot_key!(WaitKey, 24);

/// Who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    Task(Waker),
    /// An item of a batch, whose future learns which of its items have to be looked at.
    Item(BatchKey, u32),
}

#[derive(Debug)]
struct Wait {
    until: Until,
    deadline: Instant,
    /// Taken when the future is woken; it sets a new one if it goes on waiting.
    waiter: Option<Waiter>,
}

/// The waiting futures of a client, in the order in which they came; at most 2^24, further ones
/// are woken at once and so poll.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    slots: Slots<WaitKey, Wait>,
    reasons: BTreeSet<(Until, WaitKey)>,
    /// Those without a deadline are not among them.
    deadlines: BTreeSet<(Instant, WaitKey)>,
    /// Items of batches that were woken.
    items: Vec<(BatchKey, u32)>,
}

impl Waits {
    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Starts to wait.
    pub(crate) fn add(
        &mut self,
        until: Until,
        deadline: Instant,
        waiter: Waiter,
        wakers: &mut WakerList,
    ) -> Option<WaitKey> {
        let wait = Wait {
            until,
            deadline,
            waiter: Some(waiter),
        };
        match self.slots.insert(wait) {
            Ok(key) => {
                self.reasons.insert((until, key));
                if deadline != Instant::MAX {
                    self.deadlines.insert((deadline, key));
                }
                Some(key)
            }
            Err(wait) => {
                woken(wait.waiter, &mut self.items, wakers);
                None
            }
        }
    }

    /// Stops to wait. The waker, if it was not woken, must be dropped outside of the lock: it may
    /// own what wants the lock when it is dropped.
    #[must_use]
    pub(crate) fn remove(&mut self, key: WaitKey) -> Option<Waker> {
        let wait = self.slots.remove(key)?;
        self.reasons.remove(&(wait.until, key));
        self.deadlines.remove(&(wait.deadline, key));
        match wait.waiter {
            Some(Waiter::Task(waker)) => Some(waker),
            _ => None,
        }
    }

    /// Wakes everybody who waits for this.
    pub(crate) fn wake(&mut self, until: Until, wakers: &mut WakerList) {
        if self.reasons.is_empty() {
            return;
        }
        let all = (until, WaitKey(0))..=(until, WaitKey(u32::MAX));
        for &(_, key) in self.reasons.range(all) {
            let wait = self.slots.get_mut(key);
            let waiter = wait.and_then(|wait| wait.waiter.take());
            woken(waiter, &mut self.items, wakers);
        }
    }

    /// An item of a batch that was woken since this last returned it.
    pub(crate) fn pop_item(&mut self) -> Option<(BatchKey, u32)> {
        self.items.pop()
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&mut self, wakers: &mut WakerList) {
        for (_, wait) in self.slots.iter_mut() {
            woken(wait.waiter.take(), &mut self.items, wakers);
        }
    }

    /// Wakes those whose time is up.
    pub(crate) fn expire(&mut self, now: Instant, wakers: &mut WakerList) {
        while let Some(&(deadline, key)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            let wait = self.slots.get_mut(key);
            let waiter = wait.and_then(|wait| wait.waiter.take());
            woken(waiter, &mut self.items, wakers);
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }
}

fn woken(waiter: Option<Waiter>, items: &mut Vec<(BatchKey, u32)>, wakers: &mut WakerList) {
    match waiter {
        Some(Waiter::Task(waker)) => wakers.push(waker),
        Some(Waiter::Item(batch, index)) => items.push((batch, index)),
        None => {}
    }
}
