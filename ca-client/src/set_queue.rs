//! The queue of a set of subscriptions.

use std::collections::VecDeque;

use ca_proto::client::{Item, Lifecycle, MonitorQueue, Overflow};

use crate::shared::SubKey;

/// Entries for which an empty log keeps its memory.
const KEEP_CAPACITY: usize = 16 * 1024;

/// An item and whose it is; without an item, that has moved.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) key: SubKey,
    /// Where the member's item before this one is.
    before: u32,
    pub(crate) item: Option<Item<V>>,
}

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
    overflow: Overflow,
    /// A marker is among the items in the log.
    marked: bool,
    /// Items go to a queue of its own, the one with the number `newest`.
    own: bool,
}

impl Place {
    pub(crate) fn new(depth: usize, overflow: Overflow) -> Self {
        let depth = match overflow {
            Overflow::LatestOnly => 1,
            _ => depth.max(1),
        };
        Self {
            turn: 0,
            count: 0,
            newest: 0,
            depth: u32::try_from(depth).unwrap_or(u32::MAX),
            overflow,
            marked: false,
            own: false,
        }
    }
}

/// Items of many subscriptions in the order in which they came, with an end to their number.
///
/// As long as a member has no more items than its depth, they lie in a common log: an item costs one
/// store, and the reader takes all by a swap. A member whose policy needs more than the replacement
/// of its newest value gets a queue of its own until the reader comes; its items are behind the log.
/// So each member does what a [`MonitorQueue`] of its depth and policy does.
#[derive(Debug)]
pub(crate) struct SetQueue<V> {
    log: VecDeque<Entry<V>>,
    queues: Vec<(SubKey, MonitorQueue<V>)>,
    /// Counts the reader's visits.
    turn: u64,
}

impl<V> Default for SetQueue<V> {
    fn default() -> Self {
        Self {
            log: VecDeque::new(),
            queues: Vec::new(),
            turn: 1,
        }
    }
}

impl<V> SetQueue<V> {
    /// Adds a change to the items of a member.
    pub(crate) fn mark(&mut self, key: SubKey, place: &mut Place, change: Lifecycle) {
        self.begin(place);
        match place.own || place.count >= place.depth {
            true => self.overflow(key, place, Item::Lifecycle(change)),
            false => {
                place.marked = true;
                self.append(key, place, Item::Lifecycle(change));
            }
        }
    }

    /// Adds a value to the items of a member, which is only made in its place, by `fill`.
    // hot: every update.
    pub(crate) fn push_with(
        &mut self,
        key: SubKey,
        place: &mut Place,
        mut blank: V,
        fill: impl FnOnce(&mut V),
    ) {
        self.begin(place);
        let item = |value| Item::Value { value, skipped: 0 };
        if place.own || place.count >= place.depth {
            fill(&mut blank);
            self.overflow(key, place, item(blank));
            return;
        }
        self.append(key, place, item(blank));
        let entry = self.log.back_mut();
        if let Some(Item::Value { value, .. }) = entry.and_then(|entry| entry.item.as_mut()) {
            fill(value);
        }
    }

    /// The log was emptied since the member had items there.
    const fn begin(&self, place: &mut Place) {
        if place.turn != self.turn {
            place.turn = self.turn;
            place.count = 0;
            place.marked = false;
            place.own = false;
        }
    }

    fn append(&mut self, key: SubKey, place: &mut Place, item: Item<V>) {
        let before = std::mem::replace(&mut place.newest, self.log.len() as u32);
        place.count += 1;
        self.log.push_back(Entry {
            key,
            before,
            item: Some(item),
        });
    }

    fn overflow(&mut self, key: SubKey, place: &mut Place, item: Item<V>) {
        let value = matches!(item, Item::Value { .. });
        let replaces = value && !place.marked && place.overflow != Overflow::DropOldest;
        if !place.own && !replaces {
            self.move_out(key, place);
        }
        let at = place.newest as usize;
        match item {
            Item::Value { value, .. } if !place.own => {
                let newest = self.log.get_mut(at).and_then(|entry| entry.item.as_mut());
                if let Some(Item::Value {
                    value: old,
                    skipped,
                }) = newest
                {
                    *old = value;
                    *skipped += 1;
                }
            }
            Item::Value { value, .. } => {
                if let Some((_, queue)) = self.queues.get_mut(at) {
                    queue.push(value);
                }
            }
            Item::Lifecycle(change) => {
                if let Some((_, queue)) = self.queues.get_mut(at) {
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
            let Some(entry) = self.log.get_mut(at as usize) else {
                break;
            };
            items.extend(entry.item.take());
            at = entry.before;
        }
        let items = items.into_iter().rev();
        let queue = MonitorQueue::with_items(place.depth as usize, place.overflow, items);
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
                *queue = MonitorQueue::new(place.depth as usize, place.overflow);
            }
        }
    }

    /// Takes all that has come, into an empty buffer: only entries with an item.
    pub(crate) fn take(&mut self, into: &mut VecDeque<Entry<V>>) {
        if self.log.is_empty() {
            return;
        }
        if into.capacity() > KEEP_CAPACITY {
            *into = VecDeque::new();
        }
        std::mem::swap(&mut self.log, into);
        self.turn += 1;
        if !self.queues.is_empty() {
            into.retain(|entry| entry.item.is_some());
        }
        for (key, mut queue) in self.queues.drain(..) {
            while let Some(item) = queue.pop() {
                into.push_back(Entry {
                    key,
                    before: 0,
                    item: Some(item),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ca_proto::client::Lifecycle::{Connected, Disconnected};
    use ca_proto::ids::Slots;
    use proptest::prelude::*;

    use super::*;

    type Queues = Vec<MonitorQueue<u32>>;

    /// What a member has in the order of its items.
    fn taken(queue: &mut SetQueue<u32>) -> BTreeMap<u32, Vec<Item<u32>>> {
        let mut buffer = VecDeque::new();
        queue.take(&mut buffer);
        let mut items: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for entry in buffer {
            let list = items.entry(entry.key.index()).or_default();
            list.extend(entry.item);
        }
        items.retain(|_, list| !list.is_empty());
        items
    }

    fn drained(queues: &mut Queues) -> BTreeMap<u32, Vec<Item<u32>>> {
        let drain = |queue: &mut MonitorQueue<u32>| std::iter::from_fn(|| queue.pop()).collect();
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
                ][..])),
                1..5,
            ),
            steps in prop::collection::vec((0..16_u8, 0..5_usize), 0..200),
        ) {
            let mut set = SetQueue::default();
            let mut slots: Slots<SubKey, Place> = Slots::new();
            let mut queues = Queues::new();
            let mut keys = Vec::new();
            for &(depth, overflow) in &specs {
                keys.push(slots.insert(Place::new(depth, overflow)).unwrap());
                queues.push(MonitorQueue::new(depth, overflow));
            }
            let bound: usize = specs.iter().map(|(depth, _)| (*depth).max(1)).sum();
            for (n, (step, member)) in steps.into_iter().enumerate() {
                let member = member % keys.len();
                let (key, queue) = (keys[member], &mut queues[member]);
                let place = slots.get_mut(key).unwrap();
                match step {
                    0..10 => {
                        set.push_with(key, place, 0, |value| *value = n as u32);
                        queue.push(n as u32);
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
                    _ => prop_assert_eq!(taken(&mut set), drained(&mut queues)),
                }
                prop_assert!(set.log.len() <= bound);
            }
            prop_assert_eq!(taken(&mut set), drained(&mut queues));
        }
    }

    #[test]
    fn items_come_in_the_order_of_arrival() {
        let mut set = SetQueue::default();
        let mut slots: Slots<SubKey, Place> = Slots::new();
        let place = || Place::new(4, Overflow::Squash);
        let keys = [(); 3].map(|()| slots.insert(place()).unwrap());
        for n in 0..9 {
            let key = keys[n % 3];
            set.push_with(key, slots.get_mut(key).unwrap(), n, |_| {});
        }
        let mut buffer = VecDeque::new();
        set.take(&mut buffer);
        let values = buffer.into_iter().filter_map(|entry| match entry.item {
            Some(Item::Value { value, skipped: 0 }) => Some(value),
            _ => None,
        });
        assert!(values.eq(0..9));
    }
}
