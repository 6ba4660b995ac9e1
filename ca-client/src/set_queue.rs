//! The queue of a set of subscriptions.

use ca_proto::client::{Item, Lifecycle, MonitorQueue, Overflow};
use ca_proto::dbr::Brief;

use crate::monitor::{MonitorEvent, News, weight};
use crate::shared::SubKey;

/// Entries for which an empty log keeps its memory.
const KEEP_CAPACITY: usize = 16 * 1024;
/// What is left where an item was taken.
const TAKEN: Item<News> = Item::Lifecycle(Lifecycle::Disconnected);

/// What a member knows of its items in the queue.
#[derive(Debug)]
pub(crate) struct Place {
    /// Turn of the log for which the rest holds.
    turn: u64,
    /// Items in the log, at most as many as the depth.
    count: u32,
    /// The newest of them.
    newest: u32,
    depth: u32,
    /// Bytes of its items in the log, at least: those of values that were replaced there count on.
    held: u32,
    max_bytes: u32,
    overflow: Overflow,
    /// A marker is among the items in the log.
    marked: bool,
    /// Items go to a queue of its own, the one with the number `newest`.
    own: bool,
}

impl Place {
    pub(crate) fn new(depth: usize, overflow: Overflow, max_bytes: usize) -> Self {
        let depth = match overflow {
            Overflow::LatestOnly => 1,
            _ => depth.max(1),
        };
        Self {
            turn: 0,
            count: 0,
            newest: 0,
            depth: u32::try_from(depth).unwrap_or(u32::MAX),
            held: 0,
            max_bytes: u32::try_from(max_bytes).unwrap_or(u32::MAX),
            overflow,
            marked: false,
            own: false,
        }
    }

    /// Its items have more bytes than may lie in the log. A single one of that size goes to a queue of its
    /// own at once, so that small values, which are not weighed here, find it there.
    const fn is_heavy(&self) -> bool {
        self.held > self.max_bytes
    }

    /// An own queue for items that were in the log.
    fn queue(&self, items: impl IntoIterator<Item = Item<News>>) -> MonitorQueue<News> {
        MonitorQueue::with_items(self.depth as usize, self.overflow, items)
            .with_budget(self.max_bytes as usize, weight)
    }
}

/// An item of the log. With two cases it is as small as a [`Brief`].
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// A small value, and no other one before it was skipped.
    Brief(Brief),
    /// Any other item: its place among the log's, or [`GONE`].
    Item(u32),
}

/// The place of an item that has moved.
const GONE: u32 = u32::MAX;

/// An item and whose it is. Thousands of them lie between a read of a circuit and the reader, so
/// they are kept short.
#[derive(Debug)]
struct Entry {
    key: SubKey,
    /// Where the member's item before this one is.
    before: u32,
    kept: Kept,
}

/// Items in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    /// The items that are more than a small value.
    items: Vec<Item<News>>,
    /// Entries that the reader has taken.
    read: usize,
}

impl Log {
    /// Items that the reader has not taken.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len() - self.read
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the oldest item.
    // hot: every update that is read.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(SubKey, MonitorEvent)> {
        let entry = self.entries.get(self.read)?;
        self.read += 1;
        let monitor = match entry.kept {
            Kept::Brief(brief) => MonitorEvent::Update {
                value: brief.into(),
                skipped: 0,
            },
            kept => MonitorEvent::new(take(&mut self.items, kept)?),
        };
        Some((entry.key, monitor))
    }

    /// Takes away what the reader has not taken of a member.
    pub(crate) fn forget(&mut self, key: SubKey) {
        self.entries.drain(..self.read);
        self.read = 0;
        self.entries.retain(|entry| {
            let other = entry.key != key;
            if !other {
                take(&mut self.items, entry.kept);
            }
            other
        });
    }

    fn push(&mut self, key: SubKey, before: u32, item: Item<News>) {
        let kept = self.keep(item);
        self.entries.push(Entry { key, before, kept });
    }

    fn keep(&mut self, item: Item<News>) -> Kept {
        let at = self.items.len() as u32;
        self.items.push(item);
        Kept::Item(at)
    }

    /// Takes an item out of the midst, and gives the place of the one before it.
    fn take_at(&mut self, at: u32) -> Option<(Item<News>, u32)> {
        let entry = self.entries.get_mut(at as usize)?;
        let kept = std::mem::replace(&mut entry.kept, Kept::Item(GONE));
        Some((take(&mut self.items, kept)?, entry.before))
    }

    /// Puts a value where another one of the same member is.
    fn replace(&mut self, at: u32, value: News) {
        let Some(entry) = self.entries.get_mut(at as usize) else {
            return;
        };
        match entry.kept {
            Kept::Brief(_) => {
                let skipped = 1;
                entry.kept = Kept::Item(self.items.len() as u32);
                self.items.push(Item::Value { value, skipped });
            }
            Kept::Item(at) => {
                if let Some(Item::Value {
                    value: old,
                    skipped,
                }) = self.items.get_mut(at as usize)
                {
                    *old = value;
                    *skipped += 1;
                }
            }
        }
    }

    /// Makes room for the next turn.
    fn clear(&mut self) {
        if self.entries.capacity() > KEEP_CAPACITY || self.items.capacity() > KEEP_CAPACITY {
            *self = Self::default();
        }
        self.entries.clear();
        self.items.clear();
        self.read = 0;
    }
}

fn take(items: &mut [Item<News>], kept: Kept) -> Option<Item<News>> {
    match kept {
        Kept::Brief(brief) => Some(Item::Value {
            value: Ok(brief.into()),
            skipped: 0,
        }),
        Kept::Item(at) => Some(std::mem::replace(items.get_mut(at as usize)?, TAKEN)),
    }
}

/// Items of many subscriptions in the order in which they came, with an end to their number.
///
/// As long as a member has no more items than its depth, nor more bytes than it may, they lie in a common log: an item costs one
/// store, and the reader takes all by a swap. A member whose policy needs more than the replacement
/// of its newest value gets a queue of its own until the reader comes; its items are behind the log.
/// So each member does what a [`MonitorQueue`] of its depth, budget and policy does.
#[derive(Debug)]
pub(crate) struct SetQueue {
    log: Log,
    queues: Vec<(SubKey, MonitorQueue<News>)>,
    /// Counts the reader's visits.
    turn: u64,
}

impl Default for SetQueue {
    fn default() -> Self {
        Self {
            log: Log::default(),
            queues: Vec::new(),
            turn: 1,
        }
    }
}

impl SetQueue {
    /// Adds a change to the items of a member.
    pub(crate) fn mark(&mut self, key: SubKey, place: &mut Place, change: Lifecycle) {
        self.begin(place);
        match place.own || place.count >= place.depth {
            true => self.overflow(key, place, Item::Lifecycle(change)),
            false => {
                place.marked = true;
                let kept = self.log.keep(Item::Lifecycle(change));
                self.append(key, place, kept);
            }
        }
    }

    /// Adds a value to the items of a member.
    pub(crate) fn push(&mut self, key: SubKey, place: &mut Place, value: News) {
        self.begin(place);
        let bytes = u32::try_from(weight(&value)).unwrap_or(u32::MAX);
        place.held = place.held.saturating_add(bytes);
        let item = Item::Value { value, skipped: 0 };
        if place.own || place.count >= place.depth || place.is_heavy() {
            self.overflow(key, place, item);
        } else {
            let kept = self.log.keep(item);
            self.append(key, place, kept);
        }
    }

    /// Adds a small value to the items of a member.
    // hot: every update of a scalar.
    #[inline]
    pub(crate) fn push_brief(&mut self, key: SubKey, place: &mut Place, brief: Brief) {
        self.begin(place);
        if place.own || place.count >= place.depth {
            // Made here, so that the brief need not have an address.
            let (value, skipped) = (Ok(brief.into()), 0);
            self.overflow(key, place, Item::Value { value, skipped });
        } else {
            self.append(key, place, Kept::Brief(brief));
        }
    }

    /// The log was emptied since the member had items there.
    #[inline]
    const fn begin(&self, place: &mut Place) {
        if place.turn != self.turn {
            place.turn = self.turn;
            place.count = 0;
            place.held = 0;
            place.marked = false;
            place.own = false;
        }
    }

    #[inline]
    fn append(&mut self, key: SubKey, place: &mut Place, kept: Kept) {
        let at = self.log.entries.len() as u32;
        let before = std::mem::replace(&mut place.newest, at);
        place.count += 1;
        self.log.entries.push(Entry { key, before, kept });
    }

    #[cold]
    fn overflow(&mut self, key: SubKey, place: &mut Place, item: Item<News>) {
        let value = matches!(item, Item::Value { .. });
        let replaces =
            value && !place.marked && !place.is_heavy() && place.overflow != Overflow::DropOldest;
        if !place.own && !replaces {
            self.move_out(key, place);
        }
        match item {
            Item::Value { value, .. } if !place.own => self.log.replace(place.newest, value),
            Item::Value { value, .. } => {
                if let Some((_, queue)) = self.queues.get_mut(place.newest as usize) {
                    queue.push(value);
                }
            }
            Item::Lifecycle(change) => {
                if let Some((_, queue)) = self.queues.get_mut(place.newest as usize) {
                    queue.mark(change);
                }
            }
        }
    }

    /// Moves the items of a member from the log to a queue of its own.
    fn move_out(&mut self, key: SubKey, place: &mut Place) {
        let mut items = Vec::new();
        let mut at = place.newest;
        for _ in 0..place.count {
            let Some((item, before)) = self.log.take_at(at) else {
                break;
            };
            items.push(item);
            at = before;
        }
        let items = items.into_iter().rev();
        let queue = place.queue(items);
        place.own = true;
        place.newest = self.queues.len() as u32;
        self.queues.push((key, queue));
    }

    /// Takes away what waits for a member.
    pub(crate) fn forget(&mut self, key: SubKey, place: &mut Place) {
        if place.turn == self.turn {
            if !place.own {
                self.move_out(key, place);
            }
            if let Some((_, queue)) = self.queues.get_mut(place.newest as usize) {
                *queue = place.queue([]);
            }
        }
    }

    /// Takes all that has come, into a log of which nothing is left.
    pub(crate) fn take(&mut self, into: &mut Log) {
        if self.log.is_empty() && self.queues.is_empty() {
            return;
        }
        into.clear();
        std::mem::swap(&mut self.log, into);
        self.turn += 1;
        if !self.queues.is_empty() {
            let gone = |entry: &Entry| matches!(entry.kept, Kept::Item(GONE));
            into.entries.retain(|entry| !gone(entry));
        }
        for (key, mut queue) in self.queues.drain(..) {
            while let Some(item) = queue.pop() {
                into.push(key, 0, item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ca_proto::client::Lifecycle::{Connected, Disconnected};
    use ca_proto::dbr::{DbrType, Reading};
    use ca_proto::ids::Slots;
    use ca_proto::wire::{Command, Frame, Header};
    use proptest::prelude::*;

    use super::*;

    type Queues = Vec<MonitorQueue<News>>;
    type Monitors = BTreeMap<u32, Vec<MonitorEvent>>;

    /// A `LONG`; where it is large, one of many elements.
    fn payload(n: u32, large: bool) -> (u32, Vec<u8>) {
        let count = if large { 100 } else { 1 };
        (count, n.to_be_bytes().repeat(count as usize))
    }

    fn news(n: u32, large: bool) -> News {
        let (count, payload) = payload(n, large);
        let frame = Frame::new(Header::new(Command::EVENT_ADD), &payload);
        Ok(Reading::from_frame(DbrType(5), count, &frame).unwrap())
    }

    fn push(set: &mut SetQueue, key: SubKey, place: &mut Place, n: u32, large: bool) {
        let (count, payload) = payload(n, large);
        match Brief::new(DbrType(5), count, &payload) {
            Some(brief) => set.push_brief(key, place, brief),
            None => set.push(key, place, news(n, large)),
        }
    }

    /// What the members have, each in the order of its items.
    fn taken(queue: &mut SetQueue, log: &mut Log) -> Monitors {
        queue.take(log);
        let mut items = Monitors::new();
        while let Some((key, item)) = log.pop() {
            items.entry(key.index()).or_default().push(item);
        }
        assert!(log.is_empty());
        items
    }

    fn drained(queues: &mut Queues) -> Monitors {
        let drain = |queue: &mut MonitorQueue<News>| {
            std::iter::from_fn(|| queue.pop().map(MonitorEvent::new)).collect()
        };
        let items = queues.iter_mut().map(drain).enumerate();
        let items = items.map(|(n, list): (usize, Vec<_>)| (n as u32, list));
        items.filter(|(_, list)| !list.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn each_member_has_a_queue_of_its_depth_and_policy(
            specs in prop::collection::vec(
                (0..4_usize, prop::sample::select(&[
                    Overflow::Squash, Overflow::DropOldest, Overflow::LatestOnly,
                ][..]), prop::sample::select(&[0, 400, 800, 1000, usize::MAX][..])),
                1..5,
            ),
            steps in prop::collection::vec((0..16_u8, 0..5_usize), 0..200),
        ) {
            let (mut set, mut log) = (SetQueue::default(), Log::default());
            let mut slots: Slots<SubKey, Place> = Slots::new();
            let mut queues = Queues::new();
            let mut keys = Vec::new();
            for &(depth, overflow, bytes) in &specs {
                keys.push(slots.insert(Place::new(depth, overflow, bytes)).unwrap());
                queues.push(MonitorQueue::new(depth, overflow).with_budget(bytes, weight));
            }
            let bound: usize = specs.iter().map(|(depth, ..)| (*depth).max(1)).sum();
            for (n, (step, member)) in steps.into_iter().enumerate() {
                let member = member % keys.len();
                let (key, queue) = (keys[member], &mut queues[member]);
                let place = slots.get_mut(key).unwrap();
                match step {
                    0..10 => {
                        push(&mut set, key, place, n as u32, step < 3);
                        queue.push(news(n as u32, step < 3));
                    }
                    10..13 => {
                        let change = if n % 2 == 0 { Connected } else { Disconnected };
                        set.mark(key, place, change);
                        queue.mark(change);
                    }
                    13 => {
                        set.forget(key, place);
                        while queue.pop().is_some() {}
                    }
                    _ => prop_assert_eq!(taken(&mut set, &mut log), drained(&mut queues)),
                }
                prop_assert!(set.log.len() <= bound && set.log.items.len() <= bound);
            }
            prop_assert_eq!(taken(&mut set, &mut log), drained(&mut queues));
        }
    }

    #[test]
    fn items_come_in_the_order_of_arrival() {
        let mut set = SetQueue::default();
        let mut slots: Slots<SubKey, Place> = Slots::new();
        let place = || Place::new(4, Overflow::Squash, 1000);
        let keys = [(); 3].map(|()| slots.insert(place()).unwrap());
        for n in 0..9 {
            let key = keys[n % 3];
            push(
                &mut set,
                key,
                slots.get_mut(key).unwrap(),
                n as u32,
                n % 4 == 0,
            );
        }
        let mut log = Log::default();
        set.take(&mut log);
        let values = std::iter::from_fn(|| log.pop()).map(|(_, item)| item.value_as::<i32>());
        assert!(values.eq((0..9).map(Some)));
    }

    #[test]
    fn a_reader_forgets_what_it_has_taken_of_a_member() {
        let mut set = SetQueue::default();
        let mut slots: Slots<SubKey, Place> = Slots::new();
        let place = || Place::new(9, Overflow::Squash, 1000);
        let keys = [(); 2].map(|()| slots.insert(place()).unwrap());
        for n in 0..8 {
            let key = keys[n % 2];
            push(
                &mut set,
                key,
                slots.get_mut(key).unwrap(),
                n as u32,
                n % 3 == 0,
            );
        }
        let mut log = Log::default();
        set.take(&mut log);
        log.pop();
        log.forget(keys[0]);
        assert_eq!(log.len(), 4);
        let values = std::iter::from_fn(|| log.pop()).map(|(_, item)| item.value_as::<i32>());
        assert!(values.eq([1, 3, 5, 7].map(Some)));
        assert!(log.items[2..].iter().all(|item| *item == TAKEN));
    }

    /// The more an update takes, the more the reader finds outside of the cache.
    #[test]
    fn an_entry_is_not_longer_than_the_message_it_came_in() {
        assert!(size_of::<Entry>() <= 40);
    }
}
