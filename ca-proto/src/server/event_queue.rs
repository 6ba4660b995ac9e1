//! The event queue of a circuit: updates that wait to be sent.
//!
//! It behaves like the reference's (`dbEvent.c` of EPICS Base), because clients can
//! observe it: subscriptions share rings; a subscription that already waits in a crowded ring gets
//! its last entry replaced, so intermediate values may be lost and the newest never.

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::account::Account;
use super::database::SubKey;
use super::scalar::Scalar;
use super::subscriptions::{Subscription, Subscriptions};
use crate::config::ServerParams;
use crate::dbr::Snapshot;
use crate::segments::Segments;

/// What a queue entry holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Posted {
    /// The value as it was posted.
    Scalar(Scalar),
    /// Nothing; the value is read when it is delivered.
    Reference,
}

impl Posted {
    /// What to queue for a subscription whose PV is a scalar of at most 8 bytes.
    pub(super) fn copy_of(snapshot: &Snapshot) -> Self {
        Scalar::of(snapshot).map_or(Self::Reference, Self::Scalar)
    }

    /// The state to deliver: what was posted, with everything that is not copied as of now.
    pub(super) fn apply(self, now: Cow<'_, Snapshot>) -> Cow<'_, Snapshot> {
        match self {
            Self::Reference => now,
            Self::Scalar(scalar) => Cow::Owned(Snapshot {
                value: scalar.value(),
                alarm: scalar.alarm(),
                stamp: scalar.stamp(),
                ack: now.ack,
                meta: Arc::clone(&now.meta),
            }),
        }
    }
}

/// No entry.
const NONE: u32 = u32::MAX;
/// Entries whose memory an empty queue keeps.
const KEEP_ENTRIES: usize = 4096;
/// Entries that are paid for each subscription from its beginning.
const PAID_ENTRIES: usize = 2;
/// What a ring costs, with its places in the lists, which grow by doubling.
const RING_BYTES: usize = 2 * (size_of::<Ring>() + 2 * size_of::<u32>());

/// Pieces of the store that are given back at once.
const PIECES_AT_ONCE: usize = 16;

/// A subscription's place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    ring: u32,
    /// Its last entry; meaningful while `pending` is not 0.
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

/// An update that waits, linked to the next one of its ring.
#[derive(Debug)]
struct Entry {
    owner: SubKey,
    next: u32,
    posted: Posted,
}

/// The entries of all rings. They share one store, of which the entries used last are used again
/// first: however many rings there are, what is touched stays in the cache, and what a ring may hold
/// is not allocated before it holds it.
#[derive(Debug)]
struct Entries {
    slots: Segments<Entry>,
    /// Slots that there is memory for.
    room: usize,
    /// Slots in use or in the list of free ones; those behind are left from a burst.
    begun: usize,
    /// The first free slot, linked through `next`.
    free: u32,
    used: usize,
}

impl Entries {
    const fn new() -> Self {
        Self {
            slots: Segments::new(),
            room: 0,
            begun: 0,
            free: NONE,
            used: 0,
        }
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.slots.get_mut(index as usize)
    }

    /// True if the next entry needs more memory.
    // hot: asked for every update.
    const fn is_full(&self) -> bool {
        self.free == NONE && self.begun == self.room
    }

    fn reserve(&mut self, more: usize) {
        self.slots.reserve_exact(more);
        self.room = self.slots.capacity();
    }

    /// Gives back a piece of memory; false if there was none.
    fn drop_last(&mut self) -> bool {
        let dropped = self.slots.drop_last();
        self.room = self.slots.capacity();
        dropped
    }

    fn insert(&mut self, entry: Entry) -> u32 {
        self.used += 1;
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.free = slot.next;
            *slot = entry;
            return index;
        }
        // Below 2^32: a ring has at most 2^31 entries beyond one for each of its subscriptions.
        let index = self.begun;
        self.begun += 1;
        match self.slots.get_mut(index) {
            Some(slot) => *slot = entry,
            None => self.slots.push(entry),
        }
        index as u32
    }

    /// Gives back memory of an empty store, as much as is freed in no time.
    fn release(&mut self) {
        if self.used == 0 {
            self.begun = 0;
            self.free = NONE;
            self.shrink(0);
        }
    }

    fn shrink(&mut self, keep: usize) -> bool {
        let before = self.slots.len();
        for _ in 0..PIECES_AT_ONCE {
            if self.slots.len() <= keep || !self.drop_last() {
                break;
            }
        }
        self.slots.len() < before
    }

    /// Takes an entry out; the caller has unlinked it. True if memory was given back.
    fn remove(&mut self, index: u32) -> bool {
        self.used -= 1;
        if self.used == 0 {
            // Begins again at the start of its memory, which is in the cache.
            self.free = NONE;
            self.begun = 0;
            return self.shrink(KEEP_ENTRIES);
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.next = self.free;
            self.free = index;
        }
        false
    }
}

#[derive(Debug)]
struct Ring {
    /// First and last entry; meaningful while `len` is not 0.
    first: u32,
    last: u32,
    len: u32,
    /// Subscriptions that use this ring.
    members: u32,
    /// Entries beyond the first of their subscription.
    duplicates: u32,
    /// Entries that are still delivered under flow control.
    backlog: u32,
    /// The ring is in the list of those to be drained.
    ready: bool,
}

impl Ring {
    const fn new() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
            members: 0,
            duplicates: 0,
            backlog: 0,
            ready: false,
        }
    }
}

/// Rings of entries, and the order in which they are drained.
#[derive(Debug)]
pub(super) struct EventQueue {
    rings: Vec<Ring>,
    entries: Entries,
    /// Rings that can take another subscription.
    vacant: Vec<u32>,
    /// Rings with something to deliver.
    ready: VecDeque<u32>,
    /// Entries of the first ready ring that are delivered before the next one has its turn.
    turn: u32,
    flow_control: bool,
    /// Sum of the rings' backlogs.
    backlog: usize,
    ring_entries: u32,
    ring_members: u32,
    replace_when_free: u32,
    /// Subscriptions.
    members: usize,
    /// Entries beyond the first of their subscription: the sum of the rings'.
    duplicates: usize,
    /// As many of them as are paid for beside one entry for each subscription.
    spare: usize,
    /// Pays for rings and entries.
    account: Arc<Account>,
    /// What of it is charged.
    charged: usize,
}

impl EventQueue {
    pub(super) fn new(params: &ServerParams, account: Arc<Account>) -> Self {
        let quota = params.entries_per_subscription.max(1);
        let members = (params.subscriptions_per_ring)
            .min(params.event_ring_entries / quota)
            .max(1);
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX >> 1);
        Self {
            rings: Vec::new(),
            entries: Entries::new(),
            vacant: Vec::new(),
            ready: VecDeque::new(),
            turn: 0,
            flow_control: false,
            backlog: 0,
            ring_entries: narrow(params.event_ring_entries),
            ring_members: narrow(members),
            replace_when_free: narrow(params.replace_when_free),
            members: 0,
            duplicates: 0,
            spare: 0,
            account,
            charged: 0,
        }
    }

    /// Entries to pay for: those that there is memory for, and those that may come unasked. Each
    /// subscription has one whenever it has an update, beside the duplicates that are there.
    fn payable(&self) -> usize {
        let expected = self.members + self.duplicates.max((PAID_ENTRIES - 1) * self.members);
        self.entries.room.max(expected)
    }

    /// Pays for rings and entries as they are.
    fn settle(&mut self) {
        let entries = self.payable();
        let heap = self.rings.len() * RING_BYTES + entries * size_of::<Entry>();
        match heap.checked_sub(self.charged) {
            Some(more) => self.account.charge(more),
            None => self.account.refund(self.charged - heap),
        }
        self.charged = heap;
        self.spare = entries - self.members;
    }

    /// Pays for more duplicates; false if they would be more than may be held.
    #[cold]
    fn afford_more(&mut self) -> bool {
        let step = self.entries.slots.step();
        let bytes = step * size_of::<Entry>();
        let affordable = self.account.afford(bytes).is_ok();
        if affordable {
            self.account.charge(bytes);
            self.charged += bytes;
            self.spare += step;
        }
        affordable
    }

    /// Makes room for an entry, and for as many more as the store grows by and are paid for.
    #[cold]
    fn grow(&mut self) {
        let paid = self.spare + self.members;
        let more = paid.saturating_sub(self.entries.room);
        // The entry at hand is paid for: at least one.
        let step = self.entries.slots.step();
        self.entries.reserve(step.min(more).max(1));
        // An allocator may give more.
        if self.entries.room > paid {
            self.settle();
        }
    }

    /// Bytes that another subscription costs.
    pub(super) const fn growth(&self) -> usize {
        PAID_ENTRIES * size_of::<Entry>()
            + if self.vacant.is_empty() {
                RING_BYTES
            } else {
                0
            }
    }

    /// Finds a place for a new subscription.
    pub(super) fn join(&mut self) -> Place {
        let ring = self.vacant.last().copied().unwrap_or_else(|| {
            // Bounded by the number of subscriptions.
            let ring = self.rings.len() as u32;
            self.rings.push(Ring::new());
            self.vacant.push(ring);
            ring
        });
        let members = &mut self.rings[ring as usize].members;
        *members += 1;
        if *members >= self.ring_members {
            self.vacant.pop();
        }
        self.members += 1;
        self.settle();
        Place {
            ring,
            last: NONE,
            pending: 0,
        }
    }

    /// Drops the entries of a subscription.
    pub(super) fn purge(&mut self, key: SubKey, subs: &mut Subscriptions) {
        let Some(place) = subs.get_mut(key).map(|sub| &mut sub.place) else {
            return;
        };
        let pending = core::mem::take(&mut place.pending);
        if pending == 0 {
            return;
        }
        let ring = &mut self.rings[place.ring as usize];
        ring.duplicates -= pending - 1;
        self.duplicates -= (pending - 1) as usize;
        let (mut before, mut at) = (NONE, ring.first);
        let (len, backlog) = (ring.len, ring.backlog);
        for index in 0..len {
            let Some(entry) = self.entries.get_mut(at) else {
                break;
            };
            let (owner, next) = (entry.owner, entry.next);
            if owner != key {
                before = at;
            } else {
                match self.entries.get_mut(before) {
                    Some(before) => before.next = next,
                    None => ring.first = next,
                }
                if ring.last == at {
                    ring.last = before;
                }
                ring.len -= 1;
                if index < backlog {
                    ring.backlog -= 1;
                    self.backlog -= 1;
                }
                self.entries.remove(at);
            }
            at = next;
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
        self.members -= 1;
        self.settle();
    }

    /// True if another update of this subscription would take the place of a queued one for want of
    /// room.
    pub(super) fn is_crowded(&self, place: &Place) -> bool {
        if place.pending == 0 || self.flow_control {
            return false;
        }
        let len = self.rings[place.ring as usize].len;
        self.ring_entries.saturating_sub(len) <= self.replace_when_free
    }

    /// Queues an update. Never allocates once the store of entries has grown to its size. Where no further
    /// duplicate may be held, an update takes the place of an older one as in a crowded ring: the
    /// account keeps to its limits.
    pub(super) fn post(&mut self, key: SubKey, place: &mut Place, posted: Posted) -> Queued {
        if place.pending > 0 {
            let ring = &self.rings[place.ring as usize];
            let free = self.ring_entries.saturating_sub(ring.len);
            let waits = matches!(posted, Posted::Reference);
            if waits
                || self.flow_control
                || free <= self.replace_when_free
                || (self.duplicates >= self.spare && !self.afford_more())
            {
                if let Some(entry) = self.entries.get_mut(place.last) {
                    entry.posted = posted;
                }
                return Queued::Replaced;
            }
            self.rings[place.ring as usize].duplicates += 1;
            self.duplicates += 1;
        }
        if self.entries.is_full() {
            self.grow();
        }
        let ring = &mut self.rings[place.ring as usize];
        place.pending += 1;
        // At most `ring_entries` plus one for each subscription without an entry.
        let entry = Entry {
            owner: key,
            next: NONE,
            posted,
        };
        place.last = self.entries.insert(entry);
        match self.entries.get_mut(ring.last) {
            Some(last) if ring.len > 0 => last.next = place.last,
            _ => ring.first = place.last,
        }
        ring.last = place.last;
        ring.len += 1;
        if !self.flow_control && !ring.ready {
            ring.ready = true;
            self.ready.push_back(place.ring);
        }
        Queued::Appended
    }

    /// True if there is something to deliver.
    pub(super) const fn has_output(&self) -> bool {
        // Without flow control, every ring with entries is ready; with it, those with a backlog are.
        match self.flow_control {
            true => self.backlog > 0,
            false => self.entries.used > 0,
        }
    }

    /// Gives back what a burst has left.
    pub(super) fn release(&mut self) {
        self.entries.release();
        self.settle();
        self.ready.shrink_to(self.ready.len());
    }

    /// Takes the next update to deliver, and gives its subscription beside it: ring after ring, each
    /// as long as it was when its turn came, so that a busy subscription delays only its neighbours.
    pub(super) fn pop<'s>(
        &mut self,
        subs: &'s mut Subscriptions,
    ) -> Option<(SubKey, &'s mut Subscription, Posted)> {
        loop {
            let index = *self.ready.front()?;
            let ring = &mut self.rings[index as usize];
            if ring.len == 0 || (self.flow_control && ring.backlog == 0) {
                ring.ready = false;
                self.ready.pop_front();
                self.turn = 0;
                continue;
            }
            if self.turn == 0 {
                self.turn = ring.len;
            }
            let at = ring.first;
            let entry = self.entries.get_mut(at)?;
            let (owner, next, posted) = (entry.owner, entry.next, entry.posted);
            ring.first = next;
            ring.len -= 1;
            if ring.backlog > 0 {
                ring.backlog -= 1;
                self.backlog -= 1;
            }
            let shrunk = self.entries.remove(at);
            self.turn -= 1;
            // hot: mostly there is no other ring.
            if self.turn == 0 && self.ready.len() > 1 {
                self.ready.rotate_left(1);
            }
            // Cancelled subscriptions have no entries.
            let sub = subs.get_mut(owner)?;
            sub.place.pending -= 1;
            if sub.place.pending > 0 {
                ring.duplicates -= 1;
                self.duplicates -= 1;
            }
            if shrunk {
                self.settle();
            }
            return Some((owner, sub, posted));
        }
    }

    /// `EVENTS_OFF`: from now on each subscription keeps what it has queued and replaces the last.
    /// Rings where some subscription has more than one entry are delivered as they stand, the others
    /// are held. Returns how many rings were looked at.
    pub(super) fn off(&mut self) -> usize {
        if core::mem::replace(&mut self.flow_control, true) {
            return 0;
        }
        self.backlog = 0;
        for &ring in &self.ready {
            let ring = &mut self.rings[ring as usize];
            ring.backlog = match ring.duplicates {
                0 => 0,
                _ => ring.len,
            };
            self.backlog += ring.backlog as usize;
        }
        self.ready.len()
    }

    /// `EVENTS_ON`. Returns how many rings were looked at.
    pub(super) fn on(&mut self) -> usize {
        if !core::mem::replace(&mut self.flow_control, false) {
            return 0;
        }
        self.backlog = 0;
        for (index, ring) in (0u32..).zip(&mut self.rings) {
            ring.backlog = 0;
            if !ring.ready && ring.len > 0 {
                ring.ready = true;
                self.ready.push_back(index);
            }
        }
        self.rings.len()
    }

    /// Gives back a part of the memory of a queue that nobody uses any more; false if there was none.
    pub(super) fn release_part(&mut self) -> bool {
        let dropped = self.entries.drop_last();
        self.settle();
        dropped
    }
}
