//! A bounded queue between a subscription and its reader.

use alloc::collections::VecDeque;

use super::types::Lifecycle;

/// What happens to a value for which there is no room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Overflow {
    /// It replaces the newest value in the queue: the reader sees the oldest values and the latest.
    #[default]
    Squash,
    /// The oldest value makes room: the reader sees the latest values.
    DropOldest,
    /// Every value replaces what is in the queue, whatever its depth.
    LatestOnly,
}

/// What a reader gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<T> {
    /// A value.
    Value {
        /// The value.
        value: T,
        /// Values before this one, and after the previous item, that the reader did not get.
        skipped: u64,
    },
    /// The connection was lost or is there again.
    Lifecycle(Lifecycle),
}

/// A queue of values that never holds more than its depth, nor more bytes than its budget, if it has
/// one, but for a single value.
///
/// Values and markers come out in the order in which they went in. Markers are never replaced by
/// values; of a connection that came and went without a value in between nothing is kept but its
/// last state once there are more markers than values could be between them.
#[derive(Debug)]
pub struct MonitorQueue<T> {
    items: VecDeque<Item<T>>,
    depth: usize,
    overflow: Overflow,
    values: usize,
    budget: usize,
    /// Bytes of all values.
    held: usize,
    weigh: fn(&T) -> usize,
}

impl<T> MonitorQueue<T> {
    /// An empty queue for `depth` values, at least one; allocates nothing.
    pub fn new(depth: usize, overflow: Overflow) -> Self {
        Self {
            items: VecDeque::new(),
            depth: match overflow {
                Overflow::LatestOnly => 1,
                _ => depth.max(1),
            },
            overflow,
            values: 0,
            budget: usize::MAX,
            held: 0,
            weigh: |_| 0,
        }
    }

    /// Bounds the bytes of the values that wait, as `weigh` counts them; what is above is treated as
    /// what is above the depth, from the next value on. One value is kept, however large.
    #[must_use]
    pub fn with_budget(self, bytes: usize, weigh: fn(&T) -> usize) -> Self {
        let weights = self.items.iter().map(|item| match item {
            Item::Value { value, .. } => weigh(value),
            Item::Lifecycle(_) => 0,
        });
        Self {
            held: weights.sum(),
            budget: bytes,
            weigh,
            ..self
        }
    }

    /// A queue that begins with these items, at most as many as its depth.
    pub fn with_items(
        depth: usize,
        overflow: Overflow,
        items: impl IntoIterator<Item = Item<T>>,
    ) -> Self {
        let mut queue = Self::new(depth, overflow);
        queue.items.extend(items);
        let is_value = |item: &&Item<T>| matches!(item, Item::Value { .. });
        queue.values = queue.items.iter().filter(is_value).count();
        queue
    }

    /// Bytes of the values that wait, as the budget counts them.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Adds a value; true if the queue was empty before, so that a reader has to be woken.
    pub fn push(&mut self, value: T) -> bool {
        self.push_with(value, |_| {})
    }

    /// As [`push`](Self::push), for a value that is only made in its place, by `fill`.
    pub fn push_with(&mut self, blank: T, fill: impl FnOnce(&mut T)) -> bool {
        let was_empty = self.push_light(blank, fill);
        if let Some(Item::Value { value, .. }) = self.items.back() {
            self.held = self.held.saturating_add((self.weigh)(value));
            if self.held > self.budget {
                self.shed();
            }
        }
        was_empty
    }

    /// As [`push_with`](Self::push_with), for a value that weighs nothing.
    // hot: every update of a scalar.
    #[inline]
    pub fn push_light(&mut self, blank: T, fill: impl FnOnce(&mut T)) -> bool {
        let was_empty = self.items.is_empty();
        let mut skipped = 0;
        if self.values >= self.depth {
            match self.overflow {
                Overflow::Squash | Overflow::LatestOnly => skipped = self.drop_newest(),
                Overflow::DropOldest => skipped = self.drop_oldest(),
            }
        }
        self.values += 1;
        self.make_room();
        self.items.push_back(Item::Value {
            value: blank,
            skipped,
        });
        if let Some(Item::Value { value, .. }) = self.items.back_mut() {
            fill(value);
        }
        was_empty
    }

    /// Adds a marker; true if the queue was empty before.
    pub fn mark(&mut self, change: Lifecycle) -> bool {
        let was_empty = self.items.is_empty();
        self.make_room();
        self.items.push_back(Item::Lifecycle(change));
        self.compact();
        was_empty
    }

    /// Most readers keep up, so that a queue never holds more than one item: the first one gets its room
    /// alone, where a buffer that grows by itself begins with four.
    fn make_room(&mut self) {
        if self.items.capacity() == 0 {
            self.items.reserve_exact(1);
        }
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<Item<T>> {
        let item = self.items.pop_front()?;
        if let Item::Value { value, .. } = &item {
            self.values -= 1;
            self.held -= (self.weigh)(value);
        }
        Some(item)
    }

    /// Items in the queue, markers included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True without items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Drops values in favour of the newest, which was just pushed, until the rest is within the budget.
    #[cold]
    fn shed(&mut self) {
        let is_value = |item: &Item<T>| matches!(item, Item::Value { .. });
        while self.held > self.budget && self.values > 1 {
            let lost = match self.overflow {
                Overflow::DropOldest => self.drop_oldest(),
                Overflow::Squash | Overflow::LatestOnly => {
                    let older = self.items.len() - 1;
                    let second = self.items.range(..older).rposition(is_value);
                    self.drop_at(second)
                }
            };
            if let Some(Item::Value { skipped, .. }) = self.items.back_mut() {
                *skipped += lost;
            }
        }
    }

    /// Removes the newest value and gives the number of values that its successor stands for beside
    /// itself.
    fn drop_newest(&mut self) -> u64 {
        let is_value = |item: &Item<T>| matches!(item, Item::Value { .. });
        let newest = self.items.iter().rposition(is_value);
        self.drop_at(newest)
    }

    /// Removes the oldest value; the next one tells about it. Gives the number that the value being
    /// pushed has to tell about, when there is no other.
    fn drop_oldest(&mut self) -> u64 {
        let is_value = |item: &Item<T>| matches!(item, Item::Value { .. });
        let oldest = self.items.iter().position(is_value);
        let lost = self.drop_at(oldest);
        let next = self.items.iter_mut().find(|item| is_value(item));
        if let Some(Item::Value { skipped, .. }) = next {
            *skipped += lost;
            return 0;
        }
        lost
    }

    fn drop_at(&mut self, at: Option<usize>) -> u64 {
        let Some(Item::Value { skipped, value }) = at.and_then(|at| self.items.remove(at)) else {
            return 0;
        };
        self.values -= 1;
        self.held -= (self.weigh)(&value);
        skipped + 1
    }

    /// Keeps the markers bounded when nobody reads: of three in a row the first two say nothing that
    /// the third does not. With at most `depth` values between them, more than twice that many
    /// markers have such a row.
    fn compact(&mut self) {
        if self.items.len() - self.values <= 2 * self.depth + 2 {
            return;
        }
        let marker = |item: &Item<T>| matches!(item, Item::Lifecycle(_));
        let row = (0..self.items.len().saturating_sub(2))
            .find(|&i| self.items.range(i..i + 3).all(marker));
        if let Some(i) = row {
            self.items.drain(i..i + 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Lifecycle::{Connected, Disconnected};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn value(value: u32, skipped: u64) -> Item<u32> {
        Item::Value { value, skipped }
    }

    fn drained(queue: &mut MonitorQueue<u32>) -> Vec<Item<u32>> {
        core::iter::from_fn(|| queue.pop()).collect()
    }

    fn filled(depth: usize, overflow: Overflow, count: u32) -> Vec<Item<u32>> {
        let mut queue = MonitorQueue::new(depth, overflow);
        for n in 0..count {
            assert_eq!(queue.push(n), n == 0);
        }
        drained(&mut queue)
    }

    #[test]
    fn each_policy_keeps_what_it_says() {
        let squash = [value(0, 0), value(1, 0), value(4, 2)];
        assert_eq!(filled(3, Overflow::Squash, 5), squash);
        let oldest = [value(2, 2), value(3, 0), value(4, 0)];
        assert_eq!(filled(3, Overflow::DropOldest, 5), oldest);
        assert_eq!(filled(3, Overflow::LatestOnly, 5), [value(4, 4)]);
        assert_eq!(filled(0, Overflow::DropOldest, 5), [value(4, 4)]);
        assert_eq!(filled(5, Overflow::Squash, 2), [value(0, 0), value(1, 0)]);
    }

    #[test]
    fn a_reader_that_keeps_up_pays_for_one_item() {
        let mut queue = MonitorQueue::new(4, Overflow::Squash);
        assert_eq!(queue.items.capacity(), 0);
        for n in 0..10 {
            queue.push(n);
            queue.pop();
        }
        assert_eq!(queue.items.capacity(), 1);
    }

    /// Values of as many bytes as they are.
    fn weighed(depth: usize, overflow: Overflow, budget: usize) -> MonitorQueue<u32> {
        MonitorQueue::new(depth, overflow).with_budget(budget, |&value| value as usize)
    }

    #[test]
    fn a_budget_of_bytes_works_as_a_depth_does() {
        let mut queue = weighed(10, Overflow::Squash, 10);
        for n in [3, 4, 5, 6] {
            queue.push(n);
            assert!(queue.held() <= 10, "{}", queue.held());
        }
        assert_eq!(drained(&mut queue), [value(3, 0), value(6, 2)]);
        let mut queue = weighed(10, Overflow::DropOldest, 10);
        for n in [3, 4, 5, 2] {
            queue.push(n);
        }
        assert_eq!(drained(&mut queue), [value(5, 2), value(2, 0)]);
        assert_eq!(queue.held(), 0);
    }

    #[test]
    fn a_value_above_the_budget_waits_alone_behind_what_happened() {
        let mut queue = weighed(10, Overflow::Squash, 10);
        queue.push(4);
        queue.mark(Disconnected);
        queue.push(20);
        queue.push(30);
        let lost = Item::Lifecycle(Disconnected);
        assert_eq!(drained(&mut queue), [lost, value(30, 2)]);
    }

    #[test]
    fn a_value_never_passes_a_marker() {
        let mut queue = MonitorQueue::new(2, Overflow::Squash);
        queue.push(1);
        queue.push(2);
        queue.mark(Disconnected);
        queue.mark(Connected);
        queue.push(3);
        assert_eq!(
            drained(&mut queue),
            [
                value(1, 0),
                Item::Lifecycle(Disconnected),
                Item::Lifecycle(Connected),
                value(3, 1)
            ]
        );
    }

    #[test]
    fn a_flapping_connection_that_nobody_watches_stays_bounded() {
        let mut queue = MonitorQueue::new(1, Overflow::LatestOnly);
        for n in 0..1000 {
            queue.mark(Disconnected);
            queue.mark(Connected);
            queue.push(n);
        }
        assert!(queue.len() <= 5, "{}", queue.len());
        let items = drained(&mut queue);
        assert_eq!(items.last(), Some(&value(999, 999)));
        assert!(items.contains(&Item::Lifecycle(Disconnected)));
    }

    proptest! {
        #[test]
        fn every_value_is_delivered_or_counted(
            depth in 1..5_usize,
            overflow in prop::sample::select(&[
                Overflow::Squash, Overflow::DropOldest, Overflow::LatestOnly,
            ][..]),
            budget in prop::sample::select(&[0, 7, 30, usize::MAX][..]),
            steps in prop::collection::vec(0..4_u8, 0..60),
        ) {
            let weigh = |&value: &u64| value as usize % 10;
            let mut queue = MonitorQueue::new(depth, overflow).with_budget(budget, weigh);
            let (mut pushed, mut seen, mut newest, mut connected) = (0, 0, None, true);
            let mut read = |item: Item<u64>| {
                if let Item::Value { value, skipped } = item {
                    seen += skipped + 1;
                    assert!(newest < Some(value));
                    newest = Some(value);
                    assert_eq!(seen, value + 1);
                }
            };
            for step in steps {
                match step {
                    0 | 1 => {
                        queue.push(pushed);
                        pushed += 1;
                    }
                    2 => {
                        connected = !connected;
                        queue.mark(if connected { Connected } else { Disconnected });
                    }
                    _ => {
                        queue.pop().map(&mut read);
                    }
                }
                prop_assert!(queue.len() <= 3 * depth + 2);
                prop_assert!(queue.held() <= budget.max(9));
            }
            while let Some(item) = queue.pop() {
                read(item);
            }
            prop_assert_eq!(seen, pushed);
        }
    }
}
