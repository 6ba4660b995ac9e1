//! The values of a record's own fields, and what it may ask its IOC for.

use std::sync::Arc;

use ca_proto::Timestamp;

use super::{Cx, DEVICE};
use crate::calc::Random;
use crate::record::{Bits, Conversion, Dbf, DeviceKind, FieldSet, RecordType, Val, common};

impl Cx<'_> {
    /// The value of a field.
    pub fn get(&self, index: u16) -> Val {
        self.record().get(self.of, index)
    }

    /// The value of a field that is not one of those of the record's state.
    #[inline]
    pub fn val(&self, index: u16) -> &Val {
        self.record().held(self.of, index)
    }

    /// Whether a field has another value than its record type's, or had one.
    #[inline]
    pub fn has(&self, index: u16) -> bool {
        self.record().fields.has(index)
    }

    /// A field as a real number.
    #[inline]
    pub fn f64(&self, index: u16) -> f64 {
        self.record().held(self.of, index).as_f64()
    }

    /// A field as a number of 32 bits.
    #[inline]
    pub fn i32(&self, index: u16) -> i32 {
        self.record().held(self.of, index).as_i32()
    }

    /// A field as a number of 32 bits without sign.
    pub fn u32(&self, index: u16) -> u32 {
        self.record().held(self.of, index).as_u32()
    }

    /// A field as a number of 64 bits.
    pub fn i64(&self, index: u16) -> i64 {
        self.record().held(self.of, index).as_i64()
    }

    /// A field as a number of 16 bits without sign: choices too.
    #[inline]
    pub fn u16(&self, index: u16) -> u16 {
        self.record().held(self.of, index).as_u16()
    }

    /// The text of a field.
    pub fn text(&self, index: u16) -> &[u8] {
        self.record().held(self.of, index).as_text()
    }

    /// Stores a value in a field without telling anybody. Numbers become the field's type.
    pub fn set(&mut self, index: u16, val: impl Into<Val>) {
        let val = val.into();
        // hot: a number in place of one.
        match (self.record_mut().fields.get_mut(index), &val) {
            (Some(Val::Double(have)), Val::Double(new)) => return *have = *new,
            (Some(Val::Long(have)), Val::Long(new)) => return *have = *new,
            (Some(Val::ULong(have)), Val::ULong(new)) => return *have = *new,
            (Some(Val::Enum(have)), Val::Enum(new) | Val::UShort(new)) => return *have = *new,
            (Some(Val::UShort(have)), Val::UShort(new)) => return *have = *new,
            _ => {}
        }
        let info = self.of.field(index);
        // What a record has not stored is its type's, and need not be: most fields of most records.
        if index >= common::COUNT && !self.has(index) {
            let same = match (&info.default, &val) {
                (Val::Enum(have), Val::UShort(new)) => have == new,
                (have, new) => have.same(new),
            };
            if same {
                return;
            }
        }
        let val = match (info.dbf, val) {
            // Nothing to convert.
            (Dbf::NoAccess, val)
            | (Dbf::Double, val @ Val::Double(_))
            | (Dbf::Long, val @ Val::Long(_))
            | (Dbf::UShort, val @ Val::UShort(_))
            | (Dbf::Enum | Dbf::Menu | Dbf::Device, val @ Val::Enum(_)) => val,
            (dbf, val) => match val.convert(dbf, &Conversion::PLAIN) {
                Ok(Val::String(text)) if text.len() >= usize::from(info.size) => {
                    Val::text(&text[..usize::from(info.size.saturating_sub(1))])
                }
                Ok(val) => val,
                Err(_) => return,
            },
        };
        let of = self.of;
        self.record_mut().set(of, index, val);
    }

    /// Stores a number of 16 bits in a field: a choice.
    pub fn set_u16(&mut self, index: u16, value: u16) {
        self.set(index, Val::UShort(value));
    }

    /// Copies a field to another one.
    pub fn copy(&mut self, from: u16, to: u16) {
        // hot: the value that was told last.
        if self.record_mut().fields.copy_number(from, to) {
            return;
        }
        let val = match self.val(from) {
            Val::Double(number) => Val::Double(*number),
            Val::Long(number) => Val::Long(*number),
            _ => self.get(from),
        };
        self.set(to, val);
    }

    /// Which of up to 32 fields that follow each other have another value than their type's, or had one, in order: 0
    /// for the first.
    #[inline]
    pub(crate) fn present(&self, first: u16, count: u16) -> Bits {
        Bits(self.record().fields.present(first, count).into())
    }

    /// Whether a record has none of these fields.
    #[inline]
    pub(crate) fn lacks(&self, fields: &FieldSet) -> bool {
        self.record().fields.lacks(fields)
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

    /// What its device support is.
    #[inline]
    pub fn device_kind(&self) -> DeviceKind {
        let device = match self.has(DEVICE) {
            true => usize::from(self.u16(DEVICE)),
            false => 0,
        };
        let device = self.of.devices.get(device);
        device.map_or(DeviceKind::Other, |device| device.kind)
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
    pub const fn of(&self) -> &RecordType {
        self.of
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

    /// Where their sequence is.
    pub const fn random_now(&self) -> &Random {
        &self.records.random
    }

    /// A variable of the IOC's environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.records.environment.get(name).map(|value| &**value)
    }

    /// The points of a break table, by its number in `menuConvert`.
    pub(in crate::process) fn break_table(
        &self,
        number: u16,
    ) -> Option<Arc<crate::record::BreakTable>> {
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
}
