//! What the functions of a record type work with: its record, seen alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ca_proto::Timestamp;
use ca_proto::dbr::{ConvertError, NoState};
use ca_proto::wire::message::EventMask;

use super::alarm::leaves_band;
use super::chain::Want;
use super::database::Records;
use super::function::Call;
use crate::calc::Random;
use crate::record::{
    Choices, Conversion, Dbf, Flow, Id, Link, LinkProcess, LinkTo, Meta, Record, RecordType,
    Support, Val, common,
};
use crate::state::codec::saved;

/// The device support that is at work: DTYP counts when the record starts, and when its link is written.
pub(super) const DEVICE: u16 = common::DSET;

/// What reading or writing through a link gave.
#[derive(Clone, PartialEq, Debug)]
pub enum Got {
    /// The link is a constant or empty, so nothing was read; or something was written.
    Nothing,
    /// A value.
    Val(Val),
    /// The link could not be used, which raised an alarm.
    Failed,
}

saved!(enum Got { 0 Nothing, 1 Val(val), 2 Failed });

impl Got {
    /// Whether the link could not be used.
    pub const fn failed(&self) -> bool {
        matches!(self, Self::Failed)
    }
}

/// A record, to be read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    records: &'a Records,
    id: Id,
    /// The links that led here.
    asked: Option<&'a Asked<'a>>,
}

/// A link through which somebody asks for units and limits, and the one before it: no link is asked twice, as in the
/// reference (`dbDbGetOptionLoopSafe`).
#[derive(Debug)]
struct Asked<'a> {
    id: Id,
    link: u16,
    before: Option<&'a Self>,
}

impl Asked<'_> {
    /// So many links in a row are asked.
    const MOST: usize = 32;

    fn has(&self, id: Id, link: u16) -> bool {
        let mut here = Some(self);
        let mut count = 0;
        while let Some(asked) = here {
            count += 1;
            if asked.id == id && asked.link == link || count >= Self::MOST {
                return true;
            }
            here = asked.before;
        }
        false
    }
}

/// A conversion with texts of its own.
pub(super) struct OwnedConversion<'a> {
    precision: i16,
    choices: Choices<'a>,
    states: Option<Vec<Box<[u8]>>>,
    no_state: NoState,
}

impl OwnedConversion<'_> {
    pub(super) fn borrow(&self) -> Conversion<'_> {
        let choices = self.states.as_ref().map_or(self.choices, |states| {
            Choices::States(states, self.no_state)
        });
        Conversion {
            precision: self.precision,
            choices,
        }
    }
}

impl<'a> View<'a> {
    pub(super) const fn new(records: &'a Records, id: Id) -> Self {
        Self {
            records,
            id,
            asked: None,
        }
    }

    /// The record's type.
    pub fn of(&self) -> &'a RecordType {
        self.records.type_of(self.id)
    }

    fn record(&self) -> &'a Record {
        self.records.record(self.id)
    }

    /// The value of a field.
    pub fn get(&self, index: u16) -> Val {
        self.record().get(self.of(), index)
    }

    /// A field as a real number.
    pub fn f64(&self, index: u16) -> f64 {
        self.record().held(self.of(), index).as_f64()
    }

    /// A field as a number of 32 bits.
    pub fn i32(&self, index: u16) -> i32 {
        self.record().held(self.of(), index).as_i32()
    }

    /// A field as a number of 16 bits without sign.
    pub fn u16(&self, index: u16) -> u16 {
        self.record().held(self.of(), index).as_u16()
    }

    /// The text of a field.
    pub fn text(&self, index: u16) -> &'a [u8] {
        self.record().held(self.of(), index).as_text()
    }

    /// Units, digits and limits of what a link of the record leads to (`dbGetUnits` and others).
    pub fn linked_meta(&self, link: u16) -> Option<Meta> {
        let number = link;
        match self.record().fields.get(link)? {
            Val::Link(link) => match &**link {
                Link::Pv(link) => match link.to {
                    LinkTo::Local(id, field) => self.asked_meta(number, id, field),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// What a field has that a link of this record leads to.
    fn asked_meta(&self, link: u16, id: Id, field: u16) -> Option<Meta> {
        if self.asked.is_some_and(|asked| asked.has(self.id, link)) {
            return None;
        }
        let asked = Asked {
            id: self.id,
            link,
            before: self.asked,
        };
        let view = View {
            records: self.records,
            id,
            asked: Some(&asked),
        };
        let of = view.of();
        let mut meta = (Meta::NONE)();
        (of.support.meta)(&view, field, &mut meta);
        let dbf = of.field(field).dbf;
        if !dbf.is_real() && dbf != Dbf::NoAccess {
            meta.precision = None;
        }
        meta.precision.get_or_insert(0);
        Some(meta)
    }

    /// What a text of this field depends on, when it is read.
    pub(super) fn with_conversion<T>(
        &self,
        field: u16,
        convert: impl FnOnce(&Val, &Conversion<'_>) -> Result<T, ConvertError>,
    ) -> Result<T, ConvertError> {
        let val = self.records.get(self.id, field);
        let how = self.conversion(field, &val, true);
        convert(&val, &how.borrow())
    }

    /// Converts a value that this field has had.
    pub(super) fn convert_as<T>(
        &self,
        field: u16,
        val: &Val,
        convert: impl FnOnce(&Val, &Conversion<'_>) -> T,
    ) -> T {
        let how = self.conversion(field, val, true);
        convert(val, &how.borrow())
    }

    /// What becomes of a value that is written to this field.
    pub(super) fn conversion_to(&self, field: u16, val: &Val) -> OwnedConversion<'static> {
        let how = self.conversion(field, val, false);
        // A put changes the record, so that texts of choices are copied.
        let (states, no_state) = match how.choices {
            Choices::Texts(all) if how.states.is_none() => {
                let all = all.iter().map(|text| text.as_bytes().into()).collect();
                // A menu has no choice without a text.
                (Some(all), NoState { text: b"", from: 0 })
            }
            _ => (how.states, how.no_state),
        };
        OwnedConversion {
            precision: how.precision,
            choices: Choices::Number,
            states,
            no_state,
        }
    }

    fn conversion(&self, field: u16, val: &Val, reading: bool) -> OwnedConversion<'a> {
        let of = self.of();
        let info = of.field(field);
        let real = match val {
            Val::Array(array) => array.dbf().is_real(),
            val => matches!(val, Val::Float(_) | Val::Double(_)),
        };
        let text = matches!(val, Val::String(_))
            || matches!(val, Val::Array(array) if array.dbf() == Dbf::String);
        let choices_matter = info.dbf.is_choice() && (text || reading);
        let digits = if real {
            self.records.meta(self.id, field).precision
        } else {
            None
        };
        OwnedConversion {
            precision: digits.unwrap_or(6),
            no_state: of.support.no_state,
            choices: self.records.schema.choices(of, info),
            states: (choices_matter && info.dbf == Dbf::Enum)
                .then(|| (of.support.states)(self, field))
                .flatten(),
        }
    }
}

/// A record that is processed, written or started: what the functions of its type work with.
#[derive(Debug)]
pub struct Cx<'a> {
    records: &'a mut Records,
    id: Id,
    of: Arc<RecordType>,
    height: usize,
}

impl<'a> Cx<'a> {
    /// Calls a function of a record's type.
    pub(super) fn with<T>(
        records: &'a mut Records,
        id: Id,
        call: impl FnOnce(&mut Self, &'static Support) -> T,
    ) -> T {
        let of = records.type_of(id).clone();
        let support = of.support;
        let height = records.chain.got.len();
        call(
            &mut Self {
                records,
                id,
                of,
                height,
            },
            support,
        )
    }

    pub(super) fn stage(
        records: &'a mut Records,
        id: Id,
        stage: u8,
        height: usize,
    ) -> (Flow, VecDeque<Want>) {
        let of = records.type_of(id).clone();
        let process = if records.record(id).dead {
            Support::HOLDER.process
        } else {
            of.support.process
        };
        let mut cx = Self {
            records,
            id,
            of,
            height,
        };
        let flow = process(&mut cx, stage);
        (flow, std::mem::take(&mut cx.records.chain.wants))
    }

    #[inline]
    fn record(&self) -> &Record {
        self.records.record(self.id)
    }

    #[inline]
    fn record_mut(&mut self) -> &mut Record {
        self.records.record_mut(self.id)
    }

    /// The record, to be read.
    pub fn view(&self) -> View<'_> {
        self.records.view(self.id)
    }

    // ---- Fields. ----

    /// The value of a field.
    pub fn get(&self, index: u16) -> Val {
        self.record().get(&self.of, index)
    }

    /// Whether a field has another value than its record type's, or had one.
    #[inline]
    pub fn has(&self, index: u16) -> bool {
        self.record().fields.has(index)
    }

    /// A field as a real number.
    #[inline]
    pub fn f64(&self, index: u16) -> f64 {
        self.record().held(&self.of, index).as_f64()
    }

    /// A field as a number of 32 bits.
    #[inline]
    pub fn i32(&self, index: u16) -> i32 {
        self.record().held(&self.of, index).as_i32()
    }

    /// A field as a number of 32 bits without sign.
    pub fn u32(&self, index: u16) -> u32 {
        self.record().held(&self.of, index).as_u32()
    }

    /// A field as a number of 64 bits.
    pub fn i64(&self, index: u16) -> i64 {
        self.record().held(&self.of, index).as_i64()
    }

    /// A field as a number of 16 bits without sign: choices too.
    #[inline]
    pub fn u16(&self, index: u16) -> u16 {
        self.record().held(&self.of, index).as_u16()
    }

    /// The text of a field.
    pub fn text(&self, index: u16) -> &[u8] {
        self.record().held(&self.of, index).as_text()
    }

    /// Stores a value in a field without telling anybody. Numbers become the field's type.
    pub fn set(&mut self, index: u16, val: impl Into<Val>) {
        let val = val.into();
        let dbf = self.of.field(index).dbf;
        let val = match dbf {
            Dbf::NoAccess => Ok(val),
            // Nothing to convert.
            Dbf::Double if matches!(val, Val::Double(_)) => Ok(val),
            Dbf::Long if matches!(val, Val::Long(_)) => Ok(val),
            dbf => val.convert(dbf, &Conversion::PLAIN),
        };
        if let Ok(mut val) = val {
            let room = usize::from(self.of.field(index).size);
            if let Val::String(text) = &mut val
                && dbf == Dbf::String
                && text.len() >= room
            {
                *text = text[..room.saturating_sub(1)].into();
            }
            let of = &self.of;
            self.records.records[self.id as usize].set(of, index, val);
        }
    }

    /// Stores a number of 16 bits in a field: a choice.
    pub fn set_u16(&mut self, index: u16, value: u16) {
        self.set(index, Val::UShort(value));
    }

    /// Copies a field to another one.
    pub fn copy(&mut self, from: u16, to: u16) {
        let val = self.get(from);
        self.set(to, val);
    }

    /// Whether the record has no value (UDF).
    pub fn udf(&self) -> bool {
        self.record().udf != 0
    }

    /// Says whether the record has no value (UDF).
    pub fn set_udf(&mut self, undefined: bool) {
        self.record_mut().udf = undefined.into();
    }

    /// Severity of the alarm that was raised so far (NSEV).
    pub fn nsev(&self) -> u8 {
        self.record().nsev
    }

    /// Whether the record is active (PACT).
    pub fn pact(&self) -> bool {
        self.record().pact
    }

    /// The name of its device support; none for a type that has none.
    pub fn device(&self) -> &str {
        let device = self.u16(DEVICE);
        self.of
            .device_names
            .get(usize::from(device))
            .map_or("", |name| name)
    }

    /// Its type.
    pub fn of(&self) -> &RecordType {
        &self.of
    }

    /// Time of the record.
    pub fn time(&self) -> Timestamp {
        self.record().time
    }

    /// The time of the engine's clock.
    pub fn clock(&self) -> Timestamp {
        self.records.clock
    }

    /// Seconds of the engine's clock that never goes back, since an arbitrary start.
    pub fn seconds(&self) -> f64 {
        self.records.now.as_nanos() as f64 * 1e-9
    }

    /// An `info` of the record.
    pub fn info(&self, name: &str) -> Option<&str> {
        self.records.info(self.id, name)
    }

    /// A flag by its name (`dbStateGet`).
    pub fn flag(&self, name: &str) -> bool {
        self.records.flag(name)
    }

    /// Sets or clears a flag.
    pub fn set_flag(&mut self, name: &str, value: bool) {
        self.records.set_flag(name, value);
    }

    /// The random numbers of expressions.
    pub fn random(&mut self) -> &mut Random {
        &mut self.records.random
    }

    /// A variable of the IOC's environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.records.environment.get(name).map(|value| &**value)
    }

    /// The points of a break table, by its number in `menuConvert`.
    pub(super) fn break_table(&self, number: u16) -> Option<Arc<crate::record::BreakTable>> {
        let menu = self.records.schema.menu("menuConvert")?;
        let name = menu.choices.get(usize::from(number))?;
        self.records.schema.table(name).cloned()
    }

    /// A line for the log.
    pub fn say(&mut self, line: String) {
        self.records.lines.push_back(line);
    }

    /// Something that is wrong with the record, for the log.
    pub fn warn(&mut self, text: String) {
        if self.records.started {
            let line = format!("{}: {text}", self.record().name);
            self.records.lines.push_back(line);
        } else {
            self.records.note(self.id, text);
        }
    }

    // ---- Links. ----

    /// Whether a link is empty or a constant, so that nothing is read through it.
    pub fn is_constant(&self, link: u16) -> bool {
        match self.record().fields.get(link) {
            Some(Val::Link(link)) => link.is_constant(),
            _ => true,
        }
    }

    /// The type that a link leads to (`dbGetLinkDBFtype`); none for a constant, and for one that is not
    /// connected.
    pub fn linked_dbf(&mut self, link: u16) -> Option<Dbf> {
        self.records.linked_dbf(self.id, link)
    }

    /// The text behind `@` of a link with a device's address.
    pub fn address(&self, link: u16) -> Option<&str> {
        match self.record().fields.get(link)? {
            Val::Link(link) => match &**link {
                Link::Hardware(text) => text.strip_prefix('@'),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of a constant link as this type, at the record's start (`recGblInitConstantLink`).
    pub fn constant(&self, link: u16, to: Dbf) -> Option<Val> {
        self.records.load_constant(self.id, link, to)
    }

    /// The text of a constant link, at the record's start, as far as there is room for it and its NUL
    /// (`dbLoadLinkLS`).
    pub fn constant_text(&self, link: u16, room: usize) -> Option<Vec<u8>> {
        let text = self.records.load_text(self.id, link)?;
        Some(text[..text.len().min(room.saturating_sub(1))].to_vec())
    }

    /// How many elements a link gives (`dbGetNelements`); none if it is constant or not connected.
    pub fn linked_count(&mut self, link: u16) -> Option<usize> {
        self.records.linked_count(self.id, link)
    }

    /// Whether a link leads to a record of this IOC.
    pub fn is_local(&self, link: u16) -> bool {
        self.linked(link).is_some()
    }

    /// The elements of a constant link, at the record's start (`dbLoadLinkArray`).
    pub fn constant_array(&self, link: u16, to: Dbf, limit: usize) -> Option<Val> {
        self.records.load_array(self.id, link, to, limit)
    }

    /// Loads a constant link into a field; whether there was a value.
    pub fn load(&mut self, link: u16, into: u16) -> bool {
        let dbf = self.of.field(into).dbf;
        match self.constant(link, if dbf.is_choice() { Dbf::UShort } else { dbf }) {
            Some(val) => {
                self.set(into, val);
                true
            }
            None => false,
        }
    }

    /// Wants the value that a link leads to, as this type. The next stage has it in [`Self::got`].
    pub fn want(&mut self, link: u16, to: Dbf) {
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: None,
            array: None,
            quiet: false,
        });
    }

    /// The same; a link that cannot be used raises no alarm (`dbTryGetLink`).
    pub(super) fn want_quietly(&mut self, link: u16, to: Dbf) {
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: None,
            array: None,
            quiet: true,
        });
    }

    /// Without any alarm so far, the status alone becomes this one.
    pub(super) fn set_status(&mut self, stat: u16) {
        let record = self.record_mut();
        if record.nsev == 0 {
            record.nsta = stat as u8;
        }
    }

    /// Wants up to so many elements.
    pub fn want_array(&mut self, link: u16, to: Dbf, limit: usize) {
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: None,
            array: Some(limit),
            quiet: false,
        });
    }

    /// Wants the value that a link leads to in a field of this record, before the next stage.
    pub fn want_into(&mut self, link: u16, into: u16) {
        let to = self.of.field(into).dbf;
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: Some(into),
            array: None,
            quiet: false,
        });
    }

    /// The same for so many links and fields that follow each other. Constant ones are left out.
    pub fn want_all_into(&mut self, link: u16, into: u16, count: u16) {
        for n in 0..count {
            if self.has(link + n) && !self.is_constant(link + n) {
                self.want_into(link + n, into + n);
            }
        }
    }

    /// Wants a value to be written through a link. The next stage has in [`Self::got`] whether it was.
    pub fn want_put(&mut self, link: u16, val: impl Into<Val>) {
        self.records.chain.wants.push_back(Want::Put {
            link,
            val: val.into(),
        });
    }

    /// Wants a value to be written through a link, and goes on with a stage of its own when all is done
    /// that this sets in motion. Meanwhile the record is [`Flow::Idle`], or has ended.
    pub fn want_put_and_wait(&mut self, link: u16, val: impl Into<Val>, stage: u8) {
        let val = val.into();
        self.records
            .chain
            .wants
            .push_back(Want::PutAndWait { link, val, stage });
    }

    /// Wants to process what a link leads to, if it is passive, and goes on with a stage of its own when
    /// all is done that this sets in motion.
    pub fn want_process_and_wait(&mut self, link: u16, stage: u8) {
        self.records
            .chain
            .wants
            .push_back(Want::ProcessAndWait { link, stage });
    }

    /// The same for a PV by its name.
    pub fn want_put_pv(&mut self, name: String, val: impl Into<Val>, stage: u8) {
        let val = val.into();
        self.records
            .chain
            .wants
            .push_back(Want::PutPv { name, val, stage });
    }

    /// The value of a PV by its name, without processing anything.
    pub fn read_pv(&mut self, name: &str, to: Dbf) -> Option<Val> {
        self.records.read_pv(name, to)
    }

    /// Whether a PV of this name can be read.
    pub fn has_pv(&mut self, name: &str) -> bool {
        self.records.find_field(name).is_some()
            || self.records.read_named(name, Dbf::Double).is_some()
    }

    /// Processes the record, while it has SCAN `I/O Intr`, when the PV of this name changes; of each slot
    /// the last name counts.
    pub fn follow_pv(&mut self, slot: u16, name: &str) {
        self.records.follow_pv(self.id, slot, name);
    }

    /// The puts that this stage wanted are waited for; a stage of its own goes on when all is done that
    /// they set in motion.
    pub(super) fn wait_for_puts(&mut self, stage: u8) {
        let mut waits = false;
        for want in &mut self.records.chain.wants {
            if let Want::Put { link, val } = want {
                let (link, val) = (*link, val.clone());
                *want = Want::PutAndWait { link, val, stage };
                waits = true;
            }
        }
        if !waits {
            // Nothing was written.
            let root = super::chain::Root::Resume(self.id, stage);
            self.records.chain.roots.push_back(root);
        }
    }

    /// Whether a link leads to another record of this IOC.
    pub fn leads_elsewhere(&self, link: u16) -> bool {
        self.linked(link).is_some_and(|(id, _)| id != self.id)
    }

    /// Whether a link goes through Channel Access (`CA`), so that it is waited for.
    pub fn waits_for(&self, link: u16) -> bool {
        match self.record().fields.get(link) {
            Some(Val::Link(link)) => match &**link {
                Link::Pv(link) => link.process == LinkProcess::Ca || link.to == LinkTo::Remote,
                _ => false,
            },
            _ => false,
        }
    }

    /// Wants an event to be posted behind what was wanted before.
    pub fn want_event(&mut self, name: String) {
        self.records.chain.wants.push_back(Want::Event(name));
    }

    /// Wants to process what a link leads to, if it is passive.
    pub fn want_forward(&mut self, link: u16) {
        if self.record().fields.get(link).is_some() {
            self.records.chain.wants.push_back(Want::Forward { link });
        }
    }

    /// What the links gave that the last stage wanted something from, in its order. Forward links give
    /// nothing.
    pub fn got(&self) -> &[Got] {
        self.records
            .chain
            .got
            .get(self.height..)
            .unwrap_or_default()
    }

    /// Whether one of those links could not be used.
    pub fn any_failed(&self) -> bool {
        self.got().iter().any(Got::failed)
    }

    // ---- Functions. ----

    /// Calls a function that was registered ([`Records::register`]); `None` if there is none of the name.
    pub fn call(&mut self, name: &str) -> Option<i32> {
        let function = self.records.functions.get(name)?.clone();
        Some(function(&mut Call::new(self)))
    }

    /// The record.
    pub(super) const fn id(&self) -> Id {
        self.id
    }

    pub(super) const fn calls(&mut self) -> &mut super::function::Calls {
        &mut self.records.calls
    }

    /// Whether the function that was called last answers later.
    pub fn answers_later(&mut self) -> bool {
        self.records.calls.take_later().is_some()
    }

    /// Nobody waits for the answer of the function that was called last.
    pub fn forget_call(&mut self) {
        if let Some(call) = self.records.calls.take_later() {
            self.records.calls.forget(call);
        }
    }

    /// The status of a function that has answered later.
    pub fn take_answer(&mut self) -> i32 {
        let id = self.id;
        self.records.calls.take_answer(id).unwrap_or_default()
    }

    /// Whether there is a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.records.functions.contains_key(name)
    }

    /// Says, once for each name, that there is no such function.
    pub fn warn_missing(&mut self, field: &str, name: &str) {
        if self.records.missing.insert(name.into()) {
            let text = format!(
                "{field} is \"{name}\", a function that is not registered; \
                 records that call it hold their values"
            );
            self.warn(text);
        }
    }

    // ---- Alarms, time, subscribers. ----

    /// Raises an alarm, unless a worse one was raised (`recGblSetSevr`); whether it was.
    pub fn alarm(&mut self, stat: u16, sevr: u16) -> bool {
        self.alarm_with(stat, sevr, "")
    }

    /// Raises an alarm with a message.
    pub fn alarm_with(&mut self, stat: u16, sevr: u16, message: &str) -> bool {
        let raised = u16::from(self.nsev()) < sevr;
        self.records
            .set_severity(self.id, stat as u8, sevr.min(255) as u8, message);
        raised
    }

    /// Raises the alarm of a record that has no value, if it has none; whether that is so.
    pub fn check_undefined(&mut self) -> bool {
        let record = self.record();
        let (undefined, severity) = (record.udf != 0, record.udfs);
        if undefined {
            self.alarm(17, severity.into());
        }
        undefined
    }

    /// The same for record types to which a UDF that is neither yes nor no is a value (`udf == TRUE`).
    pub fn check_undefined_strictly(&mut self) -> bool {
        self.record().udf == 1 && self.check_undefined()
    }

    /// What was raised counts from now on; what of it has to be told with the value
    /// (`recGblResetAlarms`).
    pub fn reset_alarms(&mut self) -> EventMask {
        self.records.reset_alarms(self.id)
    }

    /// Adds to a mask if a value left the dead-band around the last one that was told, which it then
    /// becomes (`recGblCheckDeadband`).
    pub fn check_band(
        &mut self,
        last: u16,
        value: f64,
        band: u16,
        mask: &mut EventMask,
        add: EventMask,
    ) {
        if leaves_band(self.f64(last), value, self.f64(band)) {
            *mask = mask.union(add);
            self.set(last, value);
        }
    }

    /// Stamps the record with the time that TSE and TSEL say (`recGblGetTimeStamp`).
    pub fn timestamp(&mut self) {
        self.timestamp_from(None);
    }

    /// The same in simulation mode, where a time of the device is that of SIOL's record.
    pub fn timestamp_simulated(&mut self, simm: u16, siol: Option<u16>) {
        self.timestamp_from((simm != 0).then_some(siol));
    }

    fn timestamp_from(&mut self, simulated: Option<Option<u16>>) {
        if !self.is_constant(common::TSEL) {
            if self.copies_time(common::TSEL) {
                return;
            }
            if let Got::Val(event) = self.records.read_link(self.id, common::TSEL, Dbf::Short) {
                self.set(common::TSE, event);
            }
        }
        let clock = self.records.clock;
        match self.i32(common::TSE) as i16 {
            0 | -1 => self.record_mut().time = clock,
            -2 => match simulated {
                Some(Some(siol)) if !self.is_constant(siol) => {
                    if let Some((id, _)) = self.linked(siol) {
                        self.record_mut().time = self.records.record(id).time;
                    }
                }
                Some(_) => self.record_mut().time = clock,
                None => {}
            },
            event => {
                if let Some(time) = self.records.event_time(event) {
                    self.record_mut().time = time;
                }
            }
        }
    }

    /// TSEL leads to the TIME of a record.
    fn copies_time(&mut self, link: u16) -> bool {
        match self.linked(link) {
            Some((id, common::TIME)) => {
                self.record_mut().time = self.records.record(id).time;
                let tag = self.records.get(id, common::UTAG);
                self.set(common::UTAG, tag);
                true
            }
            _ => false,
        }
    }

    /// The record and field of this IOC that a link leads to.
    pub fn linked(&self, link: u16) -> Option<(u32, u16)> {
        match self.record().fields.get(link)? {
            Val::Link(link) => match &**link {
                Link::Pv(link) => match link.to {
                    LinkTo::Local(id, field) => Some((id, field)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of a field of another record as a real number.
    pub fn read_linked(&self, id: u32, field: u16) -> f64 {
        self.records.get(id, field).as_f64()
    }

    /// Takes over the time of the record that a link leads to, if TSE says that the device knows it.
    pub fn time_of_device(&mut self, link: u16) {
        if self.i32(common::TSE) == -2
            && self.is_constant(common::TSEL)
            && let Some((id, _)) = self.linked(link)
        {
            let seen = self
                .records
                .seen
                .get(&(self.id, link))
                .map(|seen| seen.time);
            self.record_mut().time = seen.unwrap_or_else(|| self.records.record(id).time);
        } else if self.i32(common::TSE) == -2
            && self.is_constant(common::TSEL)
            && let Some(name) = self.records.remote_name(self.id, link)
            && let Some(time) = self.records.remote_time(&name)
        {
            self.record_mut().time = time;
        }
    }

    /// Stamps the record with this time.
    pub fn set_time(&mut self, time: Timestamp) {
        self.record_mut().time = time;
    }

    /// Tells subscribers of a field (`db_post_events`).
    pub fn post(&mut self, field: u16, mask: EventMask) {
        self.records.post(self.id, field, mask);
    }

    /// Tells subscribers of VAL, if there is something to tell.
    pub fn post_value(&mut self, mask: EventMask) {
        self.records.post_value(self.id, mask);
    }

    /// Calls the `callback` of the record's type after a time, in place of the one that was asked for
    /// before.
    pub fn call_back(&mut self, after: Duration) {
        self.records.set_callback(self.id, after);
    }

    /// Makes the record active for good, or takes that back (PACT).
    pub fn set_pact(&mut self, active: bool) {
        self.record_mut().pact = active;
    }

    /// Processes the record, from a callback.
    pub fn process(&mut self) {
        self.records.process(self.id);
    }

    /// Posts an event, for which records wait with SCAN `Event`.
    pub fn post_event(&mut self, name: &str) {
        self.records.post_event(name);
    }

    /// SCAN becomes another one (`recGblCheckSimm`).
    pub(super) fn swap_scan(&mut self, with: u16) {
        let other = self.u16(with);
        let scan = self.record().scan;
        self.records.scan_delete(self.id);
        self.record_mut().scan = other;
        self.records.scan_add(self.id);
        self.set_u16(with, scan);
    }
}
