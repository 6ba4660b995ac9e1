//! The stack of what is being processed.
//!
//! A [`Task`] may put others on top of the stack, which then come first. A record's process function ends
//! where something else has to happen before it goes on: [`Flow`] says how, and what it asked for
//! ([`Want`]) is done in between. The values that were read wait on a second stack for the next stage.

use std::collections::VecDeque;
use std::sync::Arc;

use ca_proto::server::Turn;
use ca_proto::wire::message::EventMask;

use super::cx::{Cx, Got};
use super::database::Records;
use super::lapsed::Lapsed;
use super::scan::{ScanPass, Timer};
use crate::record::{Dbf, FieldSet, Flow, Id, Schema, Val, common};
use crate::state::codec::saved;

/// How often an active record is found active before it raises an alarm (`MAX_LOCK` of EPICS Base).
const MAX_LOCK: u8 = 10;

/// Without these a record is disabled if its type is.
const ENABLING: FieldSet = FieldSet::of(&[common::DISA, common::DISV]);

/// One step of what is being processed.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A record (`dbProcess`).
    Process(Id),
    /// The same, when SDIS has been read.
    Begin { id: Id, height: usize },
    /// A stage of a record, with the values that were read since the stack of values had this height.
    Step { id: Id, stage: u8, height: usize },
    /// What a stage still wants.
    Rest(Id, VecDeque<Want>),
    /// Reading through a link whose target has been processed.
    Take(Id, Want),
    /// The end of what a record set in motion (`processTarget`).
    Leave {
        from: Id,
        to: Id,
        active: bool,
        from_claimed: bool,
        to_claimed: bool,
    },
    /// What was written through a link has been processed.
    Written { from: Id, link: u16, to: Id },
    /// The end of a record, behind FLNK (`recGblFwdLink`).
    Finish(Id),
    /// The end of a chain that is traced.
    Untrace,
}

/// What begins a chain.
#[derive(Clone, Debug)]
pub(super) enum Root {
    /// A record (`scanOnce`).
    Once(Id),
    /// A record whose link follows another one.
    Follow(Id, u16, When),
    /// A record waited for a time, and goes on with a stage.
    Resume(Id, u8),
    /// A timer of a record's own.
    Callback(Id),
    /// Records of a scan list, one after another.
    Scan(ScanPass),
    /// A put that waited for a record.
    Notify(Id),
}

impl Root {
    /// The record that it is of.
    const fn id(&self) -> Option<Id> {
        match *self {
            Self::Once(id)
            | Self::Follow(id, ..)
            | Self::Resume(id, _)
            | Self::Callback(id)
            | Self::Notify(id) => Some(id),
            Self::Scan(_) => None,
        }
    }
}

/// When a record is processed because of one that it follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    Always,
    Passive,
    /// SCAN is `I/O Intr`.
    Interrupt,
}

/// What a stage asks for.
#[derive(Clone, Debug)]
pub(super) enum Want {
    /// Read through a link, as this type, perhaps into a field. An array of this length at most. One that
    /// cannot be used raises the alarm, unless it is read quietly.
    Get {
        link: u16,
        to: Dbf,
        into: Option<u16>,
        array: Option<usize>,
        quiet: bool,
    },
    /// Write through a link.
    Put { link: u16, val: Val },
    /// Process what a link leads to, if it is passive.
    Forward { link: u16 },
    /// Post an event.
    Event(String),
    /// Write through a link, and go on with a stage when all is done that this sets in motion.
    PutAndWait { link: u16, val: Val, stage: u8 },
    /// Process what a link leads to, and go on with a stage when all is done that this sets in motion.
    ProcessAndWait { link: u16, stage: u8 },
    /// The same for a PV by its name.
    PutPv { name: String, val: Val, stage: u8 },
}

saved!(enum Task {
    0 Process(record: id),
    1 Begin { id: id, height },
    2 Step { id: id, stage, height },
    3 Rest(record: id, wants),
    4 Take(record: id, want),
    5 Leave { from: id, to: id, active, from_claimed, to_claimed },
    6 Written { from: id, link, to: id },
    7 Finish(record: id),
    8 Untrace,
});
saved!(enum Root {
    0 Once(record: id),
    1 Follow(record: id, link, when),
    2 Resume(record: id, stage),
    3 Callback(record: id),
    4 Scan(pass),
    5 Notify(record: id),
});
saved!(enum When { 0 Always, 1 Passive, 2 Interrupt });
saved!(enum Want {
    0 Get { link, to, into, array, quiet },
    1 Put { link, val },
    2 Forward { link },
    3 Event(name),
    4 PutAndWait { link, val, stage },
    5 ProcessAndWait { link, stage },
    6 PutPv { name, val, stage },
});

/// What is being processed, and what waits for it to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub stack: Vec<Task>,
    pub got: Vec<Got>,
    pub wants: VecDeque<Want>,
    pub roots: VecDeque<Root>,
    /// What of it names records that went.
    pub lapsed: Lapsed,
    /// A record with TPRO set it in motion: all that are processed are told.
    pub traced: bool,
}

saved!(struct Chain { stack, got, wants, roots, lapsed, traced });

impl Chain {
    /// The records of a chain that a file tells, with the fields that it would set, and whether it fits together.
    pub(super) fn sets(&self) -> impl Iterator<Item = (Id, u16)> {
        let wants = self.stack.iter().flat_map(|task| match task {
            Task::Rest(id, wants) => wants.iter().map(|want| (*id, want)).collect(),
            Task::Take(id, want) => vec![(*id, want)],
            _ => Vec::new(),
        });
        wants.filter_map(|(id, want)| match want {
            Want::Get {
                into: Some(into), ..
            } => Some((id, *into)),
            _ => None,
        })
    }
}

impl Records {
    /// Whether something is left to be done by [`Self::run`].
    pub fn has_work(&self) -> bool {
        !self.chain.stack.is_empty() || !self.chain.roots.is_empty()
    }

    /// Processes what there is, until the turn is over; a unit of it is a task of about 100 ns.
    pub fn run(&mut self, turn: &mut Turn) {
        let schema = Arc::clone(&self.schema);
        while !turn.is_over() && self.step(&schema) {
            turn.spend(1);
        }
    }

    /// Finishes the chain that is being processed: others wait for it, as for the lock of its records.
    pub(super) fn settle(&mut self) {
        let schema = Arc::clone(&self.schema);
        while let Some(task) = self.chain.stack.pop() {
            self.task(&schema, task);
        }
    }

    pub(super) fn step(&mut self, schema: &Schema) -> bool {
        if let Some(task) = self.chain.stack.pop() {
            self.task(schema, task);
            return true;
        }
        // What a chain leaves behind, if a stage did not take what it asked for.
        self.chain.got.clear();
        if let Some(Root::Scan(_)) = self.chain.roots.front() {
            // The rest of the list comes before what others began.
            if let Some(id) = self.scan_next() {
                self.process_record(schema, id);
            }
            return true;
        }
        let Some(root) = self.chain.roots.pop_front() else {
            return false;
        };
        let chain = &mut self.chain;
        if chain.lapsed.passes(root.id(), chain.roots.len()) {
            return true;
        }
        match root {
            Root::Once(id) => self.chain.stack.push(Task::Process(id)),
            Root::Follow(id, link, when) => {
                if let Some(seen) = self.seen.get_mut(&(id, link)) {
                    seen.queued = false;
                }
                let scan = self.record(id).scan;
                let now = match when {
                    When::Always => true,
                    When::Passive => scan == 0,
                    When::Interrupt => scan == super::scan::INTERRUPT,
                };
                if now {
                    self.chain.stack.push(Task::Process(id));
                }
            }
            Root::Resume(id, stage) => {
                let height = self.chain.got.len();
                self.chain.stack.push(Task::Step { id, stage, height });
            }
            Root::Callback(id) => Cx::with(self, id, |cx, support| (support.callback)(cx)),
            // Looked at above.
            Root::Scan(_) => {}
            Root::Notify(id) => self.start_next_notify(id),
        }
        true
    }

    /// Processes a record that follows another one through a link, once until it was.
    pub(super) fn follow_once(&mut self, id: Id, link: u16, when: When) {
        let seen = self.seen.entry((id, link)).or_default();
        if !seen.queued {
            seen.queued = true;
            self.chain.roots.push_back(Root::Follow(id, link, when));
        }
    }

    fn task(&mut self, schema: &Schema, task: Task) {
        match task {
            Task::Process(id) => self.process_record(schema, id),
            Task::Begin { id, height } => self.begin(schema, id, height),
            Task::Step { id, stage, height } => self.stage(schema, id, stage, height),
            Task::Rest(id, wants) => self.satisfy(id, wants),
            Task::Take(id, want) => self.take_processed(id, &want),
            Task::Written { from, link, to } => self.written(from, link, to),
            Task::Leave {
                from,
                to,
                active,
                from_claimed,
                to_claimed,
            } => {
                let record = self.record_mut(from);
                record.pact = active;
                record.chained &= !from_claimed;
                self.record_mut(to).chained &= !to_claimed;
            }
            Task::Finish(id) => self.finish(id),
            Task::Untrace => self.chain.traced = false,
        }
    }

    /// Processes a record, now or as soon as what is being processed has ended.
    pub fn process(&mut self, id: u32) {
        self.chain.roots.push_back(Root::Once(id));
    }

    /// A record does not process any more because of a fault, or does again; with an alarm (status and severity)
    /// that shows as long.
    pub(crate) fn freeze(&mut self, id: Id, frozen: bool, alarm: Option<(u8, u8)>) {
        if !frozen {
            if self.frozen.remove(&id) && alarm.is_some() {
                self.process(id);
            }
            return;
        }
        self.frozen.insert(id);
        if let Some((stat, sevr)) = alarm {
            let record = self.record_mut(id);
            (record.stat, record.sevr) = (stat, sevr);
            self.post(id, common::STAT, EventMask::VALUE);
            self.post(id, common::SEVR, EventMask::VALUE);
            self.post_value(id, EventMask::VALUE.union(EventMask::ALARM));
        }
    }

    /// `dbProcess` of EPICS Base, up to SDIS.
    fn process_record(&mut self, schema: &Schema, id: Id) {
        if self.frozen.contains(&id) {
            return;
        }
        self.record_mut(id).failed = false;
        if self.record(id).tpro != 0 && !self.chain.traced {
            self.chain.traced = true;
            self.chain.stack.push(Task::Untrace);
        }
        if self.chain.traced {
            let what = if self.record(id).pact {
                "is active"
            } else {
                "is processed"
            };
            let line = format!("{}: {what}", self.record(id).name);
            self.lines.push_back(line);
        }
        if self.record(id).pact {
            return self.found_active(id);
        }
        self.record_mut(id).lcnt = 0;
        if self.record(id).fields.get(common::SDIS).is_none() {
            let height = self.chain.got.len();
            return self.begin(schema, id, height);
        }
        let height = self.chain.got.len();
        self.chain.stack.push(Task::Begin { id, height });
        let want = Want::Get {
            link: common::SDIS,
            to: Dbf::Short,
            into: Some(common::DISA),
            array: None,
            quiet: false,
        };
        self.satisfy(id, VecDeque::from([want]));
    }

    fn found_active(&mut self, id: Id) {
        let record = self.record_mut(id);
        let alarmed = record.stat == 13 || record.sevr >= 3;
        if alarmed {
            return;
        }
        let count = record.lcnt;
        record.lcnt = count.wrapping_add(1);
        if count < MAX_LOCK {
            return;
        }
        self.set_severity(id, 13, 3, "Async in progress");
        let mask = self
            .reset_alarms(id)
            .union(EventMask::VALUE)
            .union(EventMask::LOG);
        self.post_any_value(id, mask);
    }

    /// What all record types have in common tells of VAL, but not of a text whose place the record says
    /// (`dbProcess` posts the address of the field itself).
    fn post_any_value(&mut self, id: Id, mask: EventMask) {
        let of = self.type_of(id);
        let elsewhere = |value: &u16| {
            of.field(*value).dbf == Dbf::NoAccess
                && self.dbf(id, *value) == Dbf::String
                && self.shape(id, *value).is_none()
        };
        if !of.value.as_ref().is_some_and(elsewhere) {
            self.post_value(id, mask);
        }
    }

    fn begin(&mut self, schema: &Schema, id: Id, height: usize) {
        // What SDIS gave is in DISA, and not for whoever this record is processed for.
        self.chain.got.truncate(height);
        self.chain.got.clear_if_alone(&self.chain.stack);
        let record = self.record(id);
        let of = schema.record_type(record.kind);
        let disabled = match record.fields.lacks(&ENABLING) {
            true => of.disabled,
            false => record.held(of, common::DISA) == record.held(of, common::DISV),
        };
        if disabled {
            return self.disabled(id);
        }
        let height = self.chain.got.len();
        self.stage(schema, id, 0, height);
    }

    fn disabled(&mut self, id: Id) {
        let diss = self
            .record(id)
            .held(self.type_of(id), common::DISS)
            .as_u16();
        let record = self.record_mut(id);
        record.rpro = false;
        record.putf = false;
        if record.stat != 18 {
            record.sevr = diss as u8;
            record.stat = 18;
            record.nsev = 0;
            record.nsta = 0;
            self.post(id, common::STAT, EventMask::VALUE);
            self.post(id, common::SEVR, EventMask::VALUE);
            self.post_any_value(id, EventMask::VALUE.union(EventMask::ALARM));
        }
        self.notify_completion(id);
    }

    pub(super) fn post_value(&mut self, id: Id, mask: EventMask) {
        if let Some(value) = self.type_of(id).value {
            self.post(id, value, mask);
        }
    }

    fn stage(&mut self, schema: &Schema, id: Id, mut stage: u8, height: usize) {
        let flow = loop {
            let record = self.record_mut(id);
            record.pact = true;
            let of = schema.record_type(record.kind);
            let top = self.chain.got.len();
            let flow = Cx::stage(self, of, id, stage, height);
            // What the stage has read at once stays for the next one.
            if top > height {
                self.chain.got.drain(height..top);
            }
            match flow {
                Flow::Then(next) if self.chain.wants.is_empty() => stage = next,
                flow => break flow,
            }
        };
        let forward = self.record(id).fields.has(common::FLNK);
        if flow == Flow::Done && !forward && self.chain.wants.is_empty() && !self.has_posts() {
            self.chain.got.truncate(height);
            return self.finish(id);
        }
        if !matches!(flow, Flow::Then(_)) {
            self.chain.got.truncate(height);
        }
        let mut wants = std::mem::take(&mut self.chain.wants);
        match flow {
            Flow::Then(stage) => {
                self.chain.stack.push(Task::Step { id, stage, height });
                self.satisfy(id, wants);
            }
            Flow::Done => {
                self.chain.stack.push(Task::Finish(id));
                if forward {
                    wants.push_back(Want::Forward { link: common::FLNK });
                }
                self.satisfy(id, wants);
            }
            Flow::Wait(after, stage) => {
                self.set_timer(id, after, Timer::Resume(stage));
                self.satisfy(id, wants);
            }
            Flow::Idle => self.satisfy(id, wants),
            Flow::Stop => {
                self.record_mut(id).pact = false;
                self.satisfy(id, wants);
            }
        }
    }

    /// Does what a stage wants, in its order. What sets a record in motion comes above the rest of it.
    fn satisfy(&mut self, id: Id, mut wants: VecDeque<Want>) {
        while let Some(want) = wants.pop_front() {
            let Some(target) = self.perform(id, &want) else {
                continue;
            };
            match wants.is_empty() {
                true => self.keep_buffer(wants),
                false => self.chain.stack.push(Task::Rest(id, wants)),
            }
            match want {
                Want::Get { .. } => self.chain.stack.push(Task::Take(id, want)),
                Want::Put { link, .. } => {
                    let (from, to) = (id, target);
                    self.chain.stack.push(Task::Written { from, link, to });
                }
                _ => {}
            }
            return self.process_target(id, target);
        }
        self.keep_buffer(wants);
    }

    /// The buffer serves the next stage.
    fn keep_buffer(&mut self, wants: VecDeque<Want>) {
        if self.chain.wants.capacity() == 0 {
            self.chain.wants = wants;
        }
    }

    /// `processTarget` of EPICS Base.
    fn process_target(&mut self, from: Id, to: Id) {
        let from_claimed = !self.record(from).chained;
        let to_claimed = from != to && !self.record(to).chained;
        let active = std::mem::replace(&mut self.record_mut(from).pact, true);
        self.notify_add(from, to);
        let putf = self.record(from).putf;
        let target = self.record_mut(to);
        if !target.pact {
            target.putf = putf;
        } else if putf && to_claimed {
            target.putf = false;
            target.rpro = true;
        }
        self.record_mut(from).chained = true;
        self.record_mut(to).chained = true;
        self.chain.stack.push(Task::Leave {
            from,
            to,
            active,
            from_claimed,
            to_claimed,
        });
        self.chain.stack.push(Task::Process(to));
    }

    fn finish(&mut self, id: Id) {
        self.notify_completion(id);
        let record = self.record_mut(id);
        record.putf = false;
        record.pact = false;
        if std::mem::take(&mut record.rpro) {
            self.chain.roots.push_back(Root::Once(id));
        }
        self.next_notify(id);
    }
}

/// Values that nobody takes.
trait ClearIfAlone {
    fn clear_if_alone(&mut self, stack: &[Task]);
}

impl ClearIfAlone for Vec<Got> {
    fn clear_if_alone(&mut self, stack: &[Task]) {
        if stack.is_empty() {
            self.clear();
        }
    }
}
