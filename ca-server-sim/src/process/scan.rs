//! When records are processed by themselves: periods, events, interrupts, the start, timers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ca_proto::server::Turn;
use ca_proto::{Instant, Timestamp};
use hashbrown::HashMap;

use super::chain::Root;
use super::database::Records;
use crate::record::{Id, Record, Schema, Val, common};
use crate::state::codec::saved;

/// The number of `Event` and `I/O Intr` in `menuScan`.
const EVENT: u16 = 1;
pub(super) const INTERRUPT: u16 = 2;
const FIRST_PERIOD: u16 = 3;

/// Records that are taken from a list at once.
const AT_ONCE: usize = 64;

/// What a timer of a record does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    /// The record goes on with this stage.
    Resume(u8),
    /// What the record's type does then.
    Callback,
}

/// Records in the order in which a list is scanned: by PHAS, then by when they came.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    all: BTreeMap<(i16, u32), Id>,
    /// The same, one behind the other, for passes: made by a pass that begins and finds the list changed. Of one that
    /// changes while it is scanned the tree tells the rest.
    row: Vec<((i16, u32), Id)>,
    changed: bool,
}

saved!(struct List { all } kept {
    row = Vec::new(),
    changed = true,
});

impl List {
    /// Its records, in their order.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        self.all.values().copied()
    }

    fn insert(&mut self, at: (i16, u32), id: Id) {
        self.all.insert(at, id);
        self.changed = true;
    }

    /// Whether it is empty then.
    fn remove(&mut self, at: (i16, u32)) -> bool {
        self.all.remove(&at);
        self.changed = true;
        self.all.is_empty()
    }

    /// The first records behind a place.
    fn next(&mut self, after: Option<(i16, u32)>, mut take: impl FnMut((i16, u32), Id)) {
        use std::ops::Bound::{Excluded, Unbounded};
        if self.changed && after.is_none() {
            self.row.clear();
            self.row.extend(self.all.iter().map(|(&at, &id)| (at, id)));
            self.changed = false;
        }
        if self.changed {
            let from = after.map_or(Unbounded, Excluded);
            let next = self.all.range((from, Unbounded)).take(AT_ONCE);
            return next.for_each(|(&at, &id)| take(at, id));
        }
        let first = after.map_or(0, |after| self.row.partition_point(|&(at, _)| at <= after));
        let next = self.row.iter().skip(first).take(AT_ONCE);
        next.for_each(|&(at, id)| take(at, id));
    }
}

/// Which list a record stands in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Which {
    /// By the number of its period in `menuScan`.
    Period(u16),
    /// By name and PRIO.
    Event(Box<[u8]>, u8),
    /// By PRIO.
    Interrupt(u8),
}

/// Records of a list that are being processed, one after another.
#[derive(Clone, Debug)]
pub(super) struct ScanPass {
    which: Which,
    after: Option<(i16, u32)>,
    /// The next ones, which may have left the list meanwhile.
    next: VecDeque<(u32, Id)>,
}

impl ScanPass {
    const fn new(which: Which) -> Self {
        Self {
            which,
            after: None,
            next: VecDeque::new(),
        }
    }

    /// Takes the next records of its list; whether there are any.
    fn refill(&mut self, list: &mut List) -> bool {
        list.next(self.after, |at, id| {
            self.after = Some(at);
            self.next.push_back((at.1, id));
        });
        !self.next.is_empty()
    }
}

saved!(enum Timer { 0 Resume(stage), 1 Callback });
saved!(enum Which { 0 Period(number), 1 Event(name, priority), 2 Interrupt(priority) });
saved!(struct ScanPass { which, after, next });

/// The scan lists.
#[derive(Clone, Debug)]
pub(super) struct Scans {
    pub(super) lists: HashMap<Which, List>,
    /// By number in `menuScan`.
    pub(super) periods: Vec<Option<Duration>>,
    due: Vec<Instant>,
    next: u32,
    /// When an event was posted last, by its number, for TSE.
    times: HashMap<i16, Timestamp>,
}

saved!(struct Scans { lists, due, next, times } kept {
    // Of the menu.
    periods = Vec::new(),
});

impl Scans {
    /// The records that stand in lists, or are being taken from them.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        self.lists.values().flat_map(List::ids)
    }

    /// Takes over what the menu says; whether a time is known for each period.
    pub(super) fn fit(&mut self, other: &Self) -> bool {
        self.periods.clone_from(&other.periods);
        self.due.len() == self.periods.len()
    }

    pub(super) fn new(schema: &Schema) -> Self {
        let choices = schema
            .menu("menuScan")
            .map_or(&[][..], |menu| &menu.choices);
        let periods: Vec<_> = choices.iter().map(|text| period(text)).collect();
        Self {
            lists: HashMap::new(),
            due: vec![Instant::MAX; periods.len()],
            periods,
            next: 0,
            times: HashMap::new(),
        }
    }
}

/// The period of a choice of `menuScan`: `.5 second`, `2 minutes`, `60 Hz` (`initPeriodic` of EPICS Base).
fn period(text: &str) -> Option<Duration> {
    let (number, length) = ca_proto::text::parse::strtod(text.as_bytes()).ok()?;
    let unit = text.get(length..)?.trim().to_ascii_lowercase();
    let seconds = match unit.as_str() {
        "" | "second" | "seconds" => number,
        "minute" | "minutes" => number * 60.0,
        "hour" | "hours" => number * 3600.0,
        "hertz" | "hz" => 1.0 / number,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|period| !period.is_zero())
}

impl Records {
    /// Time is this from now on; what is due then begins with [`Self::tick`].
    pub fn set_time(&mut self, now: Instant, clock: Timestamp) {
        self.now = self.time.of(now);
        self.clock = clock;
    }

    /// When something is due by itself, in the time of the records.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.has_work() {
            return Some(self.now);
        }
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let scan = self
            .scans
            .due
            .iter()
            .min()
            .copied()
            .filter(|&at| at != Instant::MAX);
        timer.into_iter().chain(scan).min()
    }

    /// Time passes: what is due begins, and is done by [`Self::run`].
    pub fn tick(&mut self, now: Instant, clock: Timestamp) {
        self.tick_in(now, clock, &mut Turn::unlimited());
    }

    /// As [`Self::tick`], until the turn is over: what is due still is found by the next call.
    pub fn tick_in(&mut self, now: Instant, clock: Timestamp, turn: &mut Turn) {
        self.set_time(now, clock);
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > self.now || turn.is_over() {
                break;
            }
            turn.spend(2);
            let key = *entry.key();
            let (id, timer) = entry.remove();
            self.chain.roots.push_back(match timer {
                Timer::Resume(stage) => {
                    self.resumes.remove(&(id, key));
                    Root::Resume(id, stage)
                }
                Timer::Callback => {
                    self.callbacks.remove(&id);
                    Root::Callback(id)
                }
            });
        }
        for number in (FIRST_PERIOD..).take(
            self.scans
                .due
                .len()
                .saturating_sub(usize::from(FIRST_PERIOD)),
        ) {
            self.scan_period(number);
        }
    }

    fn scan_period(&mut self, number: u16) {
        let place = usize::from(number);
        let (Some(due), Some(Some(period))) =
            (self.scans.due.get_mut(place), self.scans.periods.get(place))
        else {
            return;
        };
        if *due > self.now {
            return;
        }
        // What was missed is left out.
        let late = self.now.saturating_duration_since(*due).as_nanos() / period.as_nanos();
        let ahead = period.saturating_mul(u32::try_from(late + 1).unwrap_or(u32::MAX));
        *due = due.checked_add(ahead).unwrap_or(Instant::MAX);
        let which = Which::Period(number);
        if !self.is_scanning(&which) {
            self.chain.roots.push_back(Root::Scan(ScanPass::new(which)));
        }
    }

    /// A list whose last pass is not done yet begins no other.
    fn is_scanning(&self, which: &Which) -> bool {
        self.chain
            .roots
            .iter()
            .any(|root| matches!(root, Root::Scan(pass) if pass.which == *which))
    }

    /// The next record of the list that is first among what is to begin; without one it is done.
    pub(super) fn scan_next(&mut self) -> Option<Id> {
        let Some(Root::Scan(pass)) = self.chain.roots.front_mut() else {
            return None;
        };
        loop {
            let Some((turn, id)) = pass.next.pop_front() else {
                let list = self.scans.lists.get_mut(&pass.which);
                if !list.is_some_and(|list| pass.refill(list)) {
                    self.chain.roots.pop_front();
                    let left = self.chain.roots.len();
                    self.chain.lapsed.passes(None, left);
                    return None;
                }
                let ids = pass.next.iter().map(|&(_, id)| id);
                touch(&self.schema, &self.records, ids);
                continue;
            };
            // A place in a list is never given twice.
            let record = self.records.get(id as usize);
            if record.is_some_and(|record| record.turn == turn && record.scan != 0) {
                return Some(id);
            }
        }
    }

    fn which(&self, id: Id) -> Option<Which> {
        let of = self.type_of(id);
        let record = self.record(id);
        let priority = || record.held(of, common::PRIO).as_u16() as u8;
        match record.scan {
            0 => None,
            EVENT => {
                let name = event_name(record.held(of, common::EVNT).as_text());
                (!name.is_empty()).then(|| Which::Event(name, priority()))
            }
            INTERRUPT => Some(Which::Interrupt(priority())),
            number => Some(Which::Period(number)),
        }
    }

    /// Takes a record into the list of its SCAN (`scanAdd`).
    pub(super) fn scan_add(&mut self, id: Id) {
        if !self.started {
            return;
        }
        if self.record(id).scan == INTERRUPT && !self.has_interrupts(id) {
            self.record_mut(id).scan = 0;
        }
        let Some(which) = self.which(id) else {
            return;
        };
        if let Which::Period(number) = which {
            let place = usize::from(number);
            let (Some(due), Some(Some(period))) =
                (self.scans.due.get_mut(place), self.scans.periods.get(place))
            else {
                // No such choice: the record is in no list, and not passive either.
                return;
            };
            if *due == Instant::MAX {
                *due = self.now.checked_add(*period).unwrap_or(Instant::MAX);
            }
        }
        let turn = self.scans.next;
        self.scans.next = turn.wrapping_add(1);
        let phase = self.phase(id);
        self.record_mut(id).turn = turn;
        self.scans
            .lists
            .entry(which)
            .or_default()
            .insert((phase, turn), id);
    }

    /// Whether a record's device can have new data on its own. What is not simulated may.
    fn has_interrupts(&self, id: Id) -> bool {
        let of = self.type_of(id);
        let device = self.record(id).held(of, super::cx::DEVICE).as_u16();
        let device = of.devices.get(usize::from(device));
        of.support.interrupts || device.is_some_and(|device| !device.known)
    }

    /// Takes a record out of its list (`scanDelete`).
    pub(super) fn scan_delete(&mut self, id: Id) {
        let Some(which) = self.which(id) else {
            return;
        };
        let key = (self.phase(id), self.record(id).turn);
        if let Some(list) = self.scans.lists.get_mut(&which)
            && list.remove(key)
        {
            self.scans.lists.remove(&which);
            if let Which::Period(number) = which
                && let Some(due) = self.scans.due.get_mut(usize::from(number))
            {
                *due = Instant::MAX;
            }
        }
    }

    fn phase(&self, id: Id) -> i16 {
        self.record(id)
            .held(self.type_of(id), common::PHAS)
            .as_i64() as i16
    }

    /// An event happens: records that wait for it are processed, those of high priority first.
    pub fn post_event(&mut self, name: &str) {
        let name = event_name(name.as_bytes());
        if name.is_empty() {
            return;
        }
        if let Some(number) = std::str::from_utf8(&name)
            .ok()
            .and_then(|name| name.parse().ok())
        {
            self.scans.times.insert(number, self.clock);
        }
        for priority in (0..3).rev() {
            let which = Which::Event(name.clone(), priority);
            if self.scans.lists.contains_key(&which) && !self.is_scanning(&which) {
                self.chain.roots.push_back(Root::Scan(ScanPass::new(which)));
            }
        }
    }

    /// A record of SCAN `I/O Intr` has new data, as its device says (`scanIoRequest`).
    pub fn interrupt(&mut self, id: u32) {
        if self.record(id).scan == INTERRUPT {
            self.process(id);
        }
    }

    /// When an event was posted last.
    pub(super) fn event_time(&self, number: i16) -> Option<Timestamp> {
        self.scans.times.get(&number).copied()
    }

    /// The timer of a record's callback; the one that it had ends.
    pub(super) fn set_callback(&mut self, id: Id, after: Duration) {
        if let Some(old) = self.callbacks.remove(&id) {
            self.timers.remove(&old);
        }
        if after.is_zero() {
            return self.chain.roots.push_back(Root::Callback(id));
        }
        let at = self.now.checked_add(after).unwrap_or(Instant::MAX);
        self.callbacks.insert(id, (at, self.next_timer));
        self.set_timer(id, after, Timer::Callback);
    }

    pub(super) fn set_timer(&mut self, id: Id, after: Duration, timer: Timer) {
        if after.is_zero()
            && let Timer::Resume(stage) = timer
        {
            // As a callback without delay: behind what others began.
            self.chain.roots.push_back(Root::Resume(id, stage));
            return;
        }
        let at = self.now.checked_add(after).unwrap_or(Instant::MAX);
        let key = (at, self.next_timer);
        self.timers.insert(key, (id, timer));
        if let Timer::Resume(_) = timer {
            self.resumes.insert((id, key));
        }
        self.next_timer += 1;
    }

    /// Records with PINI, by PHAS: those with `YES`, then `RUN`, then `RUNNING`.
    pub(super) fn process_at_start(&mut self, ids: &[Id]) {
        for pini in 1..=3 {
            let wanted = |id: &Id| {
                self.record(*id).held(self.type_of(*id), common::PINI) == &Val::Enum(pini)
            };
            let mut ids: Vec<Id> = ids.iter().copied().filter(wanted).collect();
            ids.sort_by_key(|&id| self.phase(id));
            self.chain.roots.extend(ids.into_iter().map(Root::Once));
        }
    }
}

/// Looks at records that are about to be processed, and at what their links lead to (`Fields::touch` says why).
fn touch(schema: &Schema, records: &[Record], ids: impl Iterator<Item = Id>) {
    let mut heads = Few::default();
    ids.for_each(|id| heads.push(id, true));
    let (mut more, mut linked, mut seen) = (Few::default(), Few::default(), 0);
    // First where they are, then what they hold, which is somewhere else.
    for (_, record) in heads.of(records) {
        seen += usize::from(record.pact) + record.fields.len();
    }
    for (id, record) in heads.of(records) {
        seen += record.fields.touch();
        let of = schema.record_type(record.kind);
        more.push(id, !record.fields.lacks(&of.behind));
    }
    for (_, record) in more.of(records) {
        seen += record.fields.touch_behind(|id| linked.push(id, true));
    }
    for (_, record) in linked.of(records) {
        seen += usize::from(record.pact) + record.fields.touch();
    }
    // Nothing is done with it, but that it is looked at.
    std::hint::black_box(seen);
}

/// The records that are looked at together.
struct Few {
    ids: [Id; AT_ONCE],
    len: usize,
}

impl Default for Few {
    fn default() -> Self {
        let ids = [0; AT_ONCE];
        Self { ids, len: 0 }
    }
}

impl Few {
    /// Takes one in, as far as there is room, if it is `wanted`.
    #[inline]
    fn push(&mut self, id: Id, wanted: bool) {
        if let Some(place) = self.ids.get_mut(self.len) {
            *place = id;
            self.len += usize::from(wanted);
        }
    }

    fn of<'a>(&'a self, records: &'a [Record]) -> impl Iterator<Item = (Id, &'a Record)> + 'a {
        let ids = self.ids.iter().take(self.len);
        ids.filter_map(|&id| Some((id, records.get(id as usize)?)))
    }
}

/// The name of an event: without blanks around it; a number without its sign and its digits behind the
/// point, 0 for none (`eventNameToHandle` of EPICS Base).
fn event_name(text: &[u8]) -> Box<[u8]> {
    let text = text.trim_ascii();
    match ca_proto::text::parse::strtod(text) {
        Ok((number, length)) if length == text.len() && length > 0 => {
            if (1.0..256.0).contains(&number) {
                format!("{}", number as u8).into_bytes().into()
            } else if number > -1.0 && number < 1.0 {
                Box::default()
            } else {
                text.into()
            }
        }
        _ => text.into(),
    }
}
