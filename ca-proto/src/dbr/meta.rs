//! What describes a value: units, precision, limits, state texts.

use alloc::{borrow::Cow, sync::Arc, vec::Vec};
use core::fmt;

use super::layout::{self, Field, Limit, MAX_STATES, STATE_LEN, UNITS_LEN};
use super::{DbrType, ValueRef, convert};
use crate::text::Lossy;

/// Engineering units: at most 7 bytes, then NUL (`db_access.h` of EPICS Base).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Units([u8; UNITS_LEN]);

impl Units {
    /// Keeps the first 7 bytes.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let mut bytes = [0; UNITS_LEN];
        for (to, from) in bytes[..UNITS_LEN - 1].iter_mut().zip(text.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// The eight bytes of the field.
    pub const fn from_wire(bytes: [u8; UNITS_LEN]) -> Self {
        Self(bytes)
    }

    /// The eight bytes of the field.
    pub const fn to_wire(self) -> [u8; UNITS_LEN] {
        self.0
    }

    /// The bytes before the NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(UNITS_LEN);
        &self.0[..end]
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Lossy(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A lower and an upper limit, in engineering units.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Range {
    /// Lower limit.
    pub lower: f64,
    /// Upper limit.
    pub upper: f64,
}

impl Range {
    /// A range from `lower` to `upper`.
    pub const fn new(lower: f64, upper: f64) -> Self {
        Self { lower, upper }
    }
    /// Limits that are not defined: NaN in real types, 0 in integer types.
    pub const UNDEFINED: Self = Self::new(f64::NAN, f64::NAN);
}

/// The limits of a PV. Undefined alarm and warning limits are NaN, as in the reference.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// LOPR and HOPR: range of a display.
    pub display: Range,
    /// LOLO and HIHI.
    pub alarm: Range,
    /// LOW and HIGH.
    pub warning: Range,
    /// DRVL and DRVH: range of a control.
    pub control: Range,
}

impl Limits {
    /// One limit.
    pub(super) const fn get(&self, limit: Limit) -> f64 {
        match limit {
            Limit::UpperDisplay => self.display.upper,
            Limit::LowerDisplay => self.display.lower,
            Limit::UpperAlarm => self.alarm.upper,
            Limit::UpperWarning => self.warning.upper,
            Limit::LowerWarning => self.warning.lower,
            Limit::LowerAlarm => self.alarm.lower,
            Limit::UpperControl => self.control.upper,
            Limit::LowerControl => self.control.lower,
        }
    }

    const fn set(&mut self, limit: Limit, v: f64) {
        match limit {
            Limit::UpperDisplay => self.display.upper = v,
            Limit::LowerDisplay => self.display.lower = v,
            Limit::UpperAlarm => self.alarm.upper = v,
            Limit::UpperWarning => self.warning.upper = v,
            Limit::LowerWarning => self.warning.lower = v,
            Limit::LowerAlarm => self.alarm.lower = v,
            Limit::UpperControl => self.control.upper = v,
            Limit::LowerControl => self.control.lower = v,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            display: Range::default(),
            alarm: Range::UNDEFINED,
            warning: Range::UNDEFINED,
            control: Range::default(),
        }
    }
}

/// State texts of an enum. A structure has room for 16, each of up to 26 bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EnumStates(Vec<Vec<u8>>);

impl EnumStates {
    /// Keeps the first 16 texts, each cut to 25 bytes so that its NUL fits.
    pub fn new(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let cut = |text: &[u8]| text[..text.len().min(STATE_LEN - 1)].to_vec();
        Self(
            texts
                .into_iter()
                .take(MAX_STATES)
                .map(|t| cut(t.as_ref()))
                .collect(),
        )
    }

    /// Keeps all texts whole, as those of a menu of a record, of which a client sees the first 16 at once and
    /// the others one by one.
    pub fn whole(texts: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self(texts.into_iter().map(Into::into).collect())
    }

    /// Keeps texts as they came; 26 bytes without NUL occur.
    pub(super) fn from_wire(texts: Vec<Vec<u8>>) -> Self {
        Self(texts)
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without states.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there may be more states than these: the structure has room for 16.
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_STATES
    }

    /// Whether a text may be longer than what is here of it: the structure has room for 25 bytes.
    pub const fn may_be_cut(text: &[u8]) -> bool {
        text.len() >= STATE_LEN - 1
    }

    /// The text of a state.
    pub fn get(&self, index: u16) -> Option<&[u8]> {
        self.0.get(usize::from(index)).map(Vec::as_slice)
    }

    /// The texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// The state with exactly this text (case counts, `dbConvert.c` of EPICS Base).
    pub fn position(&self, text: &[u8]) -> Option<u16> {
        self.0
            .iter()
            .position(|state| state == text)
            .map(|at| at as u16)
    }
}

impl fmt::Debug for EnumStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.0
                    .iter()
                    .map(|text| alloc::string::String::from_utf8_lossy(text)),
            )
            .finish()
    }
}

/// What a state that has no text reads as, as a string (`get_enum_str` of the record types of EPICS Base,
/// which the owner of the PV knows).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NoState {
    /// The text; at most 39 bytes are sent.
    pub text: &'static [u8],
    /// The first state that reads as this text; those below, without a text of their own, are empty.
    pub from: u16,
}

impl NoState {
    /// What this state reads as.
    pub const fn text(&self, state: u16) -> &'static [u8] {
        if state < self.from { b"" } else { self.text }
    }
}

/// What a server knows about a PV beside its value; immutable and shared, replaced as a whole.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metadata {
    /// Engineering units.
    pub units: Units,
    /// Digits after the point; for real types only.
    pub precision: i16,
    /// Display, alarm, warning and control limits.
    pub limits: Limits,
    /// State texts; for enums only.
    pub states: EnumStates,
    /// What states without a text read as; for enums only.
    pub no_state: NoState,
    /// Name of the record type, answer to `DBR_CLASS_NAME`.
    pub class: Cow<'static, str>,
    /// The value is a text as an array of `CHAR` with its NUL (modifier `$`): cut to fewer
    /// elements it still ends with NUL (`dbChannelCreate` of EPICS Base).
    pub long_string: bool,
}

impl Metadata {
    /// Shared metadata without content.
    pub fn none() -> Arc<Self> {
        Arc::new(Self::default())
    }
}

/// The bytes of a field of a structure.
fn field(ty: DbrType, structure: &[u8], wanted: Field) -> Option<&[u8]> {
    let (_, at, size) = layout::fields(ty).find(|(field, ..)| *field == wanted)?;
    structure.get(at..at + size)
}

fn word(ty: DbrType, structure: &[u8], wanted: Field) -> Option<u16> {
    Some(u16::from_be_bytes(
        *field(ty, structure, wanted)?.first_chunk()?,
    ))
}

fn long_word(ty: DbrType, structure: &[u8], wanted: Field) -> Option<u32> {
    Some(u32::from_be_bytes(
        *field(ty, structure, wanted)?.first_chunk()?,
    ))
}

/// Status and severity.
pub(super) fn alarm(ty: DbrType, structure: &[u8]) -> Option<(u16, u16)> {
    let status = word(ty, structure, Field::Status)?;
    Some((status, word(ty, structure, Field::Severity)?))
}

/// Seconds and nanoseconds.
pub(super) fn timestamp(ty: DbrType, structure: &[u8]) -> Option<(u32, u32)> {
    let secs = long_word(ty, structure, Field::Seconds)?;
    Some((secs, long_word(ty, structure, Field::Nanoseconds)?))
}

/// ACKT and ACKS.
pub(super) fn acknowledge(ty: DbrType, structure: &[u8]) -> Option<(u16, u16)> {
    let transient = word(ty, structure, Field::AckTransient)?;
    Some((transient, word(ty, structure, Field::AckSeverity)?))
}

pub(super) fn precision(ty: DbrType, structure: &[u8]) -> Option<i16> {
    word(ty, structure, Field::Precision).map(u16::cast_signed)
}

pub(super) fn units(ty: DbrType, structure: &[u8]) -> Option<Units> {
    let bytes = field(ty, structure, Field::Units)?;
    bytes.first_chunk().copied().map(Units::from_wire)
}

/// The limits of `GR` and `CTRL`; control limits that are not there are undefined.
pub(super) fn limits(ty: DbrType, structure: &[u8]) -> Option<Limits> {
    field(ty, structure, Field::Limit(Limit::UpperDisplay))?;
    let native = ty.native()?;
    let mut limits = Limits {
        control: Range::UNDEFINED,
        ..Limits::default()
    };
    for (field, at, size) in layout::fields(ty) {
        let Field::Limit(limit) = field else { continue };
        let data = structure.get(at..at + size)?;
        let one = ValueRef {
            native,
            count: 1,
            data,
        };
        limits.set(limit, convert::to_f64(one)?);
    }
    Some(limits)
}

/// One state text up to its NUL, or all 26 bytes without one.
pub(super) fn state(ty: DbrType, structure: &[u8], index: u16) -> Option<&[u8]> {
    if index >= word(ty, structure, Field::StateCount)? {
        return None;
    }
    let text = field(ty, structure, Field::States)?
        .chunks_exact(STATE_LEN)
        .nth(index.into())?;
    text.split(|&b| b == 0).next()
}

pub(super) fn states(ty: DbrType, structure: &[u8]) -> Option<EnumStates> {
    let count = word(ty, structure, Field::StateCount)?;
    // Ends after the 16th, whatever the count says.
    let texts = (0..count).map_while(|index| state(ty, structure, index));
    Some(EnumStates::from_wire(texts.map(<[u8]>::to_vec).collect()))
}
