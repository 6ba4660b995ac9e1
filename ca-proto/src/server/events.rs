//! The event queue of a circuit: updates that wait to be sent.
//!
//! It behaves like the reference's (`dbEvent.c`, `wire-and-server` 6.7 and 6.8), because clients can
//! observe it: subscriptions share rings; a subscription that already waits in a crowded ring gets
//! its last entry replaced, so intermediate values may be lost and the newest never.

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::database::SubKey;
use super::subscriptions::Subscriptions;
use crate::alarm::Alarm;
use crate::config::ServerParams;
use crate::dbr::{NativeType, Snapshot, Value, ValueRef};
use crate::time::Timestamp;

/// Bytes of a value that are copied when it is posted; larger ones are read on delivery.
const COPY_LEN: usize = 8;

/// What a queue entry holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Posted {
    /// The value as it was posted.
    Scalar(Scalar),
    /// Nothing; the value is read when it is delivered.
    Reference,
}

/// A copied scalar with its alarm and time stamp.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar {
    native: NativeType,
    bytes: [u8; COPY_LEN],
    alarm: Alarm,
    stamp: Timestamp,
}

impl Posted {
    /// What to queue for a subscription whose PV is a scalar of at most 8 bytes.
    pub(super) fn copy_of(snapshot: &Snapshot) -> Self {
        let value = snapshot.value.as_ref();
        let mut bytes = [0; COPY_LEN];
        match bytes.get_mut(..value.data.len()) {
            Some(head) if value.count == 1 && value.native != NativeType::String => {
                head.copy_from_slice(value.data);
                Self::Scalar(Scalar {
                    native: value.native,
                    bytes,
                    alarm: snapshot.alarm,
                    stamp: snapshot.stamp,
                })
            }
            _ => Self::Reference,
        }
    }

    /// The state to deliver: what was posted, with everything that is not copied as of now.
    pub(super) fn apply(self, now: Cow<'_, Snapshot>) -> Cow<'_, Snapshot> {
        match self {
            Self::Reference => now,
            // The same as now, mostly: then nothing is put together.
            Self::Scalar(scalar) if scalar.is_of(&now) => now,
            Self::Scalar(scalar) => Cow::Owned(Snapshot {
                value: scalar.value(),
                alarm: scalar.alarm,
                stamp: scalar.stamp,
                ack: now.ack,
                meta: Arc::clone(&now.meta),
            }),
        }
    }
}

impl Scalar {
    fn is_of(&self, snapshot: &Snapshot) -> bool {
        let value = snapshot.value.as_ref();
        self.stamp == snapshot.stamp
            && self.alarm == snapshot.alarm
            && self.native == value.native
            && value.count == 1
            && self.bytes.get(..value.data.len()) == Some(value.data)
    }

    fn value(&self) -> Value {
        let data = self.bytes.get(..self.native.size()).unwrap_or_default();
        ValueRef {
            native: self.native,
            count: 1,
            data,
        }
        .to_value()
    }
}

/// A subscription's place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    ring: u32,
    /// Sequence number of its last entry; meaningful while `pending` is not 0.
    last: u32,
    /// Its entries in the ring.
    pending: u32,
}

/// What became of a posted update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queued {
    /// It has an entry of its own.
    Appended,
    /// It stands in place of an older update of the same subscription.
    Replaced,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<(SubKey, Posted)>,
    /// Sequence number of the first entry; wraps.
    base: u32,
    /// Subscriptions that use this ring.
    members: usize,
    /// Entries beyond the first of their subscription.
    duplicates: usize,
    /// Entries that are still delivered under flow control.
    backlog: usize,
    /// The ring is in the list of those to be drained.
    ready: bool,
}

/// Rings of entries, and the order in which they are drained.
#[derive(Debug)]
pub(super) struct EventQueue {
    rings: Vec<Ring>,
    /// Rings that can take another subscription.
    vacant: Vec<u32>,
    /// Rings with something to deliver.
    ready: VecDeque<u32>,
    /// Entries of the first ready ring that are delivered before the next one has its turn.
    turn: usize,
    flow_control: bool,
    ring_entries: usize,
    ring_members: usize,
    replace_when_free: usize,
}

impl EventQueue {
    pub(super) fn new(params: &ServerParams) -> Self {
        let quota = params.entries_per_subscription.max(1);
        Self {
            rings: Vec::new(),
            vacant: Vec::new(),
            ready: VecDeque::new(),
            turn: 0,
            flow_control: false,
            ring_entries: params.event_ring_entries,
            ring_members: params
                .subscriptions_per_ring
                .min(params.event_ring_entries / quota)
                .max(1),
            replace_when_free: params.replace_when_free,
        }
    }

    /// Finds a place for a new subscription.
    pub(super) fn join(&mut self) -> Place {
        let ring = self.vacant.last().copied().unwrap_or_else(|| {
            // Bounded by the number of subscriptions.
            let ring = self.rings.len() as u32;
            self.rings.push(Ring::default());
            self.vacant.push(ring);
            ring
        });
        let members = &mut self.rings[ring as usize].members;
        *members += 1;
        if *members >= self.ring_members {
            self.vacant.pop();
        }
        Place {
            ring,
            last: 0,
            pending: 0,
        }
    }

    /// Drops the entries of a subscription.
    pub(super) fn purge(&mut self, key: SubKey, subs: &mut Subscriptions) {
        let Some(place) = subs.get_mut(key).map(|sub| &mut sub.place) else {
            return;
        };
        let pending = core::mem::take(&mut place.pending) as usize;
        if pending == 0 {
            return;
        }
        let ring = &mut self.rings[place.ring as usize];
        ring.duplicates -= pending - 1;
        let (mut index, backlog) = (0, ring.backlog);
        ring.entries.retain(|(owner, _)| {
            let keep = *owner != key;
            if !keep && index < backlog {
                ring.backlog -= 1;
            }
            index += 1;
            keep
        });
        // The others have moved up.
        for (offset, (owner, _)) in (0u32..).zip(&ring.entries) {
            if let Some(sub) = subs.get_mut(*owner) {
                sub.place.last = ring.base.wrapping_add(offset);
            }
        }
    }

    /// Drops the entries of a subscription and gives up its place.
    pub(super) fn leave(&mut self, key: SubKey, subs: &mut Subscriptions) {
        self.purge(key, subs);
        let Some(sub) = subs.get(key) else { return };
        let index = sub.place.ring;
        let ring = &mut self.rings[index as usize];
        if ring.members == self.ring_members {
            self.vacant.push(index);
        }
        ring.members -= 1;
        if ring.members == 0 {
            ring.entries = VecDeque::new();
        }
    }

    /// True if another update of this subscription would take the place of a queued one for want of
    /// room.
    pub(super) fn is_crowded(&self, place: &Place) -> bool {
        let ring = &self.rings[place.ring as usize];
        let free = self.ring_entries.saturating_sub(ring.entries.len());
        place.pending > 0 && !self.flow_control && free <= self.replace_when_free
    }

    /// Queues an update. Never allocates once the ring has grown to its size.
    pub(super) fn post(&mut self, key: SubKey, place: &mut Place, posted: Posted) -> Queued {
        let ring = &mut self.rings[place.ring as usize];
        if place.pending > 0 {
            let free = self.ring_entries.saturating_sub(ring.entries.len());
            let waits = matches!(posted, Posted::Reference);
            if waits || self.flow_control || free <= self.replace_when_free {
                let offset = place.last.wrapping_sub(ring.base) as usize;
                if let Some((_, entry)) = ring.entries.get_mut(offset) {
                    *entry = posted;
                }
                return Queued::Replaced;
            }
            ring.duplicates += 1;
        }
        place.pending += 1;
        // At most `ring_entries` plus one for each subscription without an entry.
        place.last = ring.base.wrapping_add(ring.entries.len() as u32);
        ring.entries.push_back((key, posted));
        if !self.flow_control && !ring.ready {
            ring.ready = true;
            self.ready.push_back(place.ring);
        }
        Queued::Appended
    }

    /// True if there is something to deliver.
    pub(super) fn has_output(&self) -> bool {
        self.ready.iter().any(|&ring| {
            let ring = &self.rings[ring as usize];
            !ring.entries.is_empty() && (!self.flow_control || ring.backlog > 0)
        })
    }

    /// Takes the next update to deliver: ring after ring, each as long as it was when its turn came,
    /// so that a busy subscription delays only its neighbours.
    pub(super) fn pop(&mut self, subs: &mut Subscriptions) -> Option<(SubKey, Posted)> {
        loop {
            let index = *self.ready.front()?;
            let ring = &mut self.rings[index as usize];
            if ring.entries.is_empty() || (self.flow_control && ring.backlog == 0) {
                ring.ready = false;
                self.ready.pop_front();
                self.turn = 0;
                continue;
            }
            if self.turn == 0 {
                self.turn = ring.entries.len();
            }
            let entry = ring.entries.pop_front()?;
            if ring.entries.is_empty() {
                // Begins again at the start of its memory, which is in the cache.
                ring.entries.clear();
            }
            ring.base = ring.base.wrapping_add(1);
            ring.backlog = ring.backlog.saturating_sub(1);
            if let Some(sub) = subs.get_mut(entry.0) {
                sub.place.pending -= 1;
                if sub.place.pending > 0 {
                    ring.duplicates -= 1;
                }
            }
            self.turn -= 1;
            if self.turn == 0 {
                self.ready.rotate_left(1);
            }
            return Some(entry);
        }
    }

    /// `EVENTS_OFF`: from now on each subscription keeps what it has queued and replaces the last.
    /// Rings where some subscription has more than one entry are delivered as they stand, the others
    /// are held.
    pub(super) fn off(&mut self) {
        if core::mem::replace(&mut self.flow_control, true) {
            return;
        }
        for &ring in &self.ready {
            let ring = &mut self.rings[ring as usize];
            ring.backlog = match ring.duplicates {
                0 => 0,
                _ => ring.entries.len(),
            };
        }
    }

    /// `EVENTS_ON`.
    pub(super) fn on(&mut self) {
        if !core::mem::replace(&mut self.flow_control, false) {
            return;
        }
        for (index, ring) in (0u32..).zip(&mut self.rings) {
            ring.backlog = 0;
            if !ring.ready && !ring.entries.is_empty() {
                ring.ready = true;
                self.ready.push_back(index);
            }
        }
    }
}
