//! One direction of a circuit: what waits for its time, and what may be written now.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::{Buf, Bytes};
use ca_proto::Instant;

use super::input::Input;
use crate::rule::How;

/// Bytes that wait in one direction before the proxy stops reading from the sender.
pub(crate) const MAX_WAITING: usize = 1024 * 1024;
/// What an item costs beside its bytes.
const ITEM_COST: usize = 64;
/// Items below this size are copied when they wait, so that they keep no larger buffer alive.
const COPY_BELOW: usize = 16 * 1024;
/// Slices of a second in which a throttled direction sends.
const SLICES: u32 = 50;

/// A channel of a circuit, by its CID; `None` for what belongs to the circuit itself.
pub(super) type Key = Option<u32>;
/// Place in the waiting queue: first by time, then in order of arrival.
type Place = (Instant, u64);

#[derive(Debug)]
enum Item {
    Data(Bytes),
    End,
    Cut(How),
    /// The first bytes of a message, and the end of the circuit right behind them.
    Last(Bytes, How),
}

/// What the driver is to do in a direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// Write these bytes, and say how many were.
    Data(Bytes),
    /// Everything was sent and the sender is done: close the writing half.
    End,
    /// End the circuit.
    Cut(How),
    /// Nothing for now.
    Idle,
}

/// How long nothing is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stall {
    Until(Instant),
    /// As long as the rule with this index is on.
    While(usize),
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) input: Input,
    waiting: BTreeMap<Place, (Key, Item)>,
    next: u64,
    /// Messages of a channel never overtake each other: the latest time given to one.
    floors: HashMap<Key, Instant>,
    /// As `floors`, of the whole line.
    line_floor: Instant,
    /// Messages that want to change places with the next one of their channel.
    held: HashMap<Key, Place>,
    ready: VecDeque<Item>,
    /// Bytes and costs in `waiting` and `ready`.
    size: usize,
    /// Bytes taken over into `ready` since the circuit was opened.
    passed: u64,
    /// Total at which the circuit ends.
    pub(super) cut_at: Option<(u64, How)>,
    pub(super) stall: Option<Stall>,
    /// When a throttled direction may send again.
    next_free: Instant,
    /// It was throttled when it was last looked at.
    throttled: bool,
}

impl Lane {
    /// True while there is room for what the sender has to say.
    pub(super) const fn has_room(&self) -> bool {
        self.size < MAX_WAITING
    }

    /// Queues bytes of a channel, delayed. `line` holds back everything that follows, too.
    pub(super) fn push(
        &mut self,
        now: Instant,
        key: Key,
        data: Bytes,
        delay: Duration,
        line: bool,
    ) {
        self.queue(now, key, Item::Data(data), delay, line);
    }

    /// Queues the first bytes of a message and the end of the circuit.
    pub(super) fn push_last(
        &mut self,
        now: Instant,
        key: Key,
        data: Bytes,
        how: How,
        delay: Duration,
    ) {
        self.queue(now, key, Item::Last(data, how), delay, false);
    }

    /// Queues a part of something whose borders are not known: behind everything that waits, before
    /// everything that comes, because nothing may get into its middle.
    pub(super) fn push_raw(&mut self, now: Instant, data: Bytes) {
        self.queue(now, None, Item::Data(data), self.drained_in(now), true);
    }

    /// Queues the end of the sender's stream behind everything.
    pub(super) fn push_end(&mut self, now: Instant) {
        self.queue(now, None, Item::End, self.drained_in(now), false);
    }

    /// Time until everything that waits was taken over.
    fn drained_in(&self, now: Instant) -> Duration {
        let last = self.waiting.last_key_value().map(|(place, _)| place.0);
        last.map_or(Duration::ZERO, |last| last.saturating_duration_since(now))
    }

    /// Queues bytes that change places with the next of their channel, if that comes in time.
    pub(super) fn hold(
        &mut self,
        now: Instant,
        key: Key,
        data: Bytes,
        delay: Duration,
        by: Duration,
    ) {
        let waits = |place: &Place| self.waiting.contains_key(place);
        if self.held.get(&key).is_some_and(waits) {
            // This is the next one of an earlier message.
            return self.push(now, key, data, delay, false);
        }
        let due = self.due(now, key, delay + by);
        let place = self.insert(due, key, Item::Data(data));
        self.held.insert(key, place);
    }

    fn due(&self, now: Instant, key: Key, delay: Duration) -> Instant {
        let floor = self.floors.get(&key).copied().unwrap_or(Instant::ZERO);
        let due = now.checked_add(delay).unwrap_or(Instant::MAX);
        due.max(self.line_floor).max(floor)
    }

    fn queue(&mut self, now: Instant, key: Key, item: Item, delay: Duration, line: bool) {
        let due = self.due(now, key, delay);
        if line {
            self.line_floor = due;
        }
        if due <= now && self.waiting.is_empty() {
            self.size += cost(&item);
            return self.make_ready(item);
        }
        let _ = self.insert(due, key, item);
        self.floors.insert(key, due);
        if let Some((_, item)) = self
            .held
            .remove(&key)
            .and_then(|place| self.waiting.remove(&place))
        {
            self.size -= cost(&item);
            let _ = self.insert(due, key, item);
        }
    }

    fn insert(&mut self, due: Instant, key: Key, item: Item) -> Place {
        let item = match item {
            Item::Data(data) if data.len() < COPY_BELOW => {
                Item::Data(Bytes::copy_from_slice(&data))
            }
            item => item,
        };
        let place = (due, self.next);
        self.next += 1;
        self.size += cost(&item);
        self.waiting.insert(place, (key, item));
        place
    }

    /// Takes over what is due.
    fn release(&mut self, now: Instant) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let (_, item) = first.remove();
            self.make_ready(item);
        }
        if self.waiting.is_empty() {
            self.floors.clear();
            self.held.clear();
        }
    }

    fn make_ready(&mut self, item: Item) {
        let mut data = match item {
            Item::Data(data) => data,
            Item::Last(data, how) => {
                self.size += ITEM_COST;
                self.ready.push_back(Item::Data(data));
                return self.ready.push_back(Item::Cut(how));
            }
            Item::End | Item::Cut(_) => return self.ready.push_back(item),
        };
        let arrived = data.len() as u64;
        if let Some((at, how)) = self.cut_at
            && self.passed + arrived >= at
        {
            let room = at.saturating_sub(self.passed).min(arrived);
            self.size -= data.len();
            data.truncate(room as usize);
            self.size += data.len() + ITEM_COST;
            self.ready.push_back(Item::Data(data));
            self.ready.push_back(Item::Cut(how));
        } else {
            self.ready.push_back(Item::Data(data));
        }
        self.passed += arrived;
    }

    /// What to do now. `rate` is the limit in bytes per second, `stalled` whether nothing may be
    /// sent.
    pub(super) fn output(&mut self, now: Instant, rate: Option<u32>, stalled: bool) -> Output {
        self.release(now);
        while matches!(self.ready.front(), Some(Item::Data(data)) if data.is_empty()) {
            self.ready.pop_front();
            self.size -= ITEM_COST;
        }
        let throttled = rate.is_some() && now < self.next_free;
        self.throttled = throttled && !self.ready.is_empty();
        match self.ready.front() {
            Some(Item::Cut(how)) => Output::Cut(*how),
            Some(_) if stalled || throttled => Output::Idle,
            Some(Item::Data(data)) => {
                let slice = rate.map_or(data.len(), |rate| (rate / SLICES).max(1) as usize);
                Output::Data(data.slice(..slice.min(data.len())))
            }
            Some(Item::End) => Output::End,
            Some(Item::Last(..)) | None => Output::Idle,
        }
    }

    /// Takes note of bytes that were written.
    pub(super) fn sent(&mut self, now: Instant, n: usize, rate: Option<u32>) {
        if let Some(Item::Data(data)) = self.ready.front_mut() {
            let n = n.min(data.len());
            data.advance(n);
            self.size -= n;
        }
        if let Some(rate) = rate {
            let pause = Duration::from_secs_f64(n as f64 / f64::from(rate));
            let free = self.next_free.max(now);
            self.next_free = free.checked_add(pause).unwrap_or(Instant::MAX);
        }
    }

    /// When to look again, if nothing else happens; at once if that time has passed.
    ///
    /// A look at the lane does away with everything that is due. So what it leaves is never left out
    /// here, whatever the clock says: time passes between a look and this question.
    pub(super) fn wake(&self) -> Option<Instant> {
        let due = self.waiting.first_key_value().map(|(place, _)| place.0);
        let stall = match self.stall {
            Some(Stall::Until(end)) => Some(end),
            _ => None,
        };
        let throttle = self.throttled.then_some(self.next_free);
        [due, stall, throttle].into_iter().flatten().min()
    }
}

const fn cost(item: &Item) -> usize {
    match item {
        Item::Data(data) | Item::Last(data, _) => data.len() + ITEM_COST,
        Item::End | Item::Cut(_) => ITEM_COST,
    }
}
