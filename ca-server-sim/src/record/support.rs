//! What a record type does.

use std::time::Duration;

use ca_proto::dbr::{NoState, Reading};

use super::field::Dbf;
use crate::process::{Cx, PutError, View};

/// Before a field is written (`false`) and after (`true`).
pub type SpecialFn = fn(&mut Cx<'_>, u16, bool) -> Result<(), PutError>;
/// The texts of states by their numbers.
pub type States = Vec<Box<[u8]>>;

/// What a record type does (`rset` of EPICS Base). How to write one is told in `types/mod.rs`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Support {
    /// Before links are there: sizes of arrays (`init_record`, pass 0).
    pub prepare: fn(&mut Cx<'_>),
    /// The record's start: constant links, last values (`init_record`, pass 1).
    pub init: fn(&mut Cx<'_>),
    /// Processes the record, in stages: `0` first, then what [`Flow::Then`] says.
    pub process: fn(&mut Cx<'_>, u8) -> Flow,
    /// Before and after a field of one of the specials that ask is written.
    pub special: Option<SpecialFn>,
    /// The array that a field is, if it is one (`cvt_dbaddr`).
    pub array: fn(&View<'_>, u16) -> Option<ArrayShape>,
    /// How many zeros an array field has that was never set.
    pub blank: fn(&View<'_>, u16) -> usize,
    /// Type and room in bytes of a field that is one value, of a type that the record says
    /// (`cvt_dbaddr`): a text of SIZV bytes, or a number without states.
    pub scalar: fn(&View<'_>, u16) -> Option<(Dbf, usize)>,
    /// Whether a field of [`Self::scalar`] was never set, so that it has no element.
    pub unset: fn(&View<'_>, u16) -> bool,
    /// After an array field, or one of [`Self::scalar`], was written by a client or a link, with so many
    /// elements (`put_array_info`).
    pub stored: fn(&mut Cx<'_>, u16, usize),
    /// Units, digits and limits of a field.
    pub meta: fn(&View<'_>, u16, &mut Meta),
    /// The texts of the states of an enum field.
    pub states: fn(&View<'_>, u16) -> Option<States>,
    /// The text of a state that has none, and from which number on the others are empty instead.
    pub no_state: NoState,
    /// A timer that [`Cx::call_back`] set has run out.
    pub callback: fn(&mut Cx<'_>),
    /// Whether device supports that are simulated have interrupts (`get_ioint_info`); without them SCAN does
    /// not become `I/O Intr`.
    pub interrupts: bool,
}

impl Support {
    /// Holds its values: stamps them, raises the alarm of what was never set, goes on to FLNK.
    pub const HOLDER: Self = Self {
        prepare: |_| {},
        init: |_| {},
        process: hold,
        special: Some(|_, _, _| Ok(())),
        array: |_, _| None,
        blank: |_, _| 0,
        scalar: |_, _| None,
        unset: |_, _| false,
        stored: |_, _, _| {},
        meta: |_, _, _| {},
        states: |_, _| None,
        no_state: NoState { text: b"", from: 0 },
        callback: |_| {},
        interrupts: false,
    };

    /// Whether records of the type hold their values and do no more.
    pub fn holds(&self) -> bool {
        std::ptr::fn_addr_eq(self.process, Self::HOLDER.process)
    }
}

fn hold(cx: &mut Cx<'_>, _: u8) -> Flow {
    cx.timestamp();
    cx.check_undefined();
    let mask = cx.reset_alarms();
    cx.post_value(mask);
    Flow::Done
}

/// How it goes on after a stage. What the stage asked for (links to be read, written or processed) is
/// done first, in its order, with all that it sets in motion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// With this stage.
    Then(u8),
    /// With this stage after a time, while other things happen: the record is active (PACT).
    Wait(Duration, u8),
    /// Something that was wanted goes on with its own stage: the record is active (PACT) until then.
    Idle,
    /// With FLNK; then the record is done.
    Done,
    /// Not at all: the record is done, and FLNK is left out.
    Stop,
}

/// The type and the room of an array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArrayShape {
    /// Type of its elements.
    pub dbf: Dbf,
    /// How many elements there is room for.
    pub capacity: usize,
}

/// Units, digits and limits of a field.
#[derive(Clone, PartialEq, Debug)]
pub struct Meta {
    /// EGU.
    pub units: Box<[u8]>,
    /// Digits behind the point; a type that says nothing shows none, and has six in texts.
    pub precision: Option<i16>,
    /// Lower and upper limit of display.
    pub display: (f64, f64),
    /// Lower and upper limit of what may be set.
    pub control: (f64, f64),
    /// LOLO, LOW, HIGH and HIHI; NaN for none.
    pub alarm: [f64; 4],
}

impl Meta {
    /// What a record type that says nothing has.
    pub(crate) const NONE: fn() -> Self = || Self {
        units: Box::default(),
        precision: None,
        display: (0.0, 0.0),
        control: (0.0, 0.0),
        alarm: [f64::NAN; 4],
    };
}

/// As a server describes a PV to a client, in a DBR type of the families GR and CTRL.
impl From<&Reading> for Meta {
    fn from(reading: &Reading) -> Self {
        let limits = reading.limits().unwrap_or_default();
        let units = reading.units().map(|units| units.as_bytes().into());
        Self {
            units: units.unwrap_or_default(),
            precision: reading.precision(),
            display: (limits.display.lower, limits.display.upper),
            control: (limits.control.lower, limits.control.upper),
            alarm: [
                limits.alarm.lower,
                limits.warning.lower,
                limits.warning.upper,
                limits.alarm.upper,
            ],
        }
    }
}

/// The range of a type (`getMaxRangeValues` of EPICS Base): limits of fields that have none of their own.
pub(crate) const fn range(dbf: Dbf) -> (f64, f64) {
    match dbf {
        Dbf::Char => (-128.0, 127.0),
        Dbf::UChar => (0.0, 255.0),
        Dbf::Short => (-32768.0, 32767.0),
        Dbf::Enum | Dbf::UShort => (0.0, 65535.0),
        Dbf::Long => (-2147483648.0, 2147483647.0),
        Dbf::ULong => (0.0, 4294967295.0),
        Dbf::Int64 => (-9223372036854775808.0, 9223372036854775808.0),
        Dbf::UInt64 => (0.0, 18446744073709551615.0),
        Dbf::Float => (-1e30, 1e30),
        Dbf::Double => (-1e300, 1e300),
        _ => (0.0, 0.0),
    }
}
