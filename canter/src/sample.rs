//! What the tools know about a PV at one moment, from one or two readings.

use ca_proto::alarm::Alarm;
use ca_proto::dbr::{
    Acknowledge, DbrType, EnumIndex, EnumStates, Family, Limits, NativeType, Range, Reading,
    Snapshot, Value,
};
use ca_proto::time::Timestamp;

use crate::text;

/// What describes a value and changes rarely.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Meta {
    /// Engineering units; `None` without, also if the server sends an empty text.
    pub(crate) units: Option<String>,
    /// Digits after the point; real types only.
    pub(crate) precision: Option<i16>,
    /// Display, alarm, warning and control limits; number types only.
    pub(crate) limits: Option<Limits>,
    /// State texts; enums only.
    pub(crate) states: Option<EnumStates>,
}

impl Meta {
    /// What a reading carries; nothing unless it is of a `GR` or `CTRL` type.
    pub(crate) fn of(reading: &Reading) -> Self {
        let units = reading.units().map(|units| shown_units(units.as_bytes()));
        Self {
            units: units.filter(|units| !units.is_empty()),
            precision: reading.precision(),
            limits: reading.limits(),
            states: reading.states(),
        }
    }

    /// The text of a state; empty texts count as none.
    pub(crate) fn label(&self, state: u16) -> Option<String> {
        let label = self.states.as_ref()?.get(state)?;
        (!label.is_empty()).then(|| text::line(label))
    }
}

/// A value with what is known about it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Sample {
    /// Type that was asked for.
    pub(crate) ty: DbrType,
    /// The elements.
    pub(crate) value: Value,
    /// Alarm status and severity.
    pub(crate) alarm: Option<Alarm>,
    /// Time stamp.
    pub(crate) stamp: Option<Timestamp>,
    /// Acknowledgement state, of `DBR_STSACK_STRING`.
    pub(crate) ack: Option<Acknowledge>,
    /// What describes the value.
    pub(crate) meta: Meta,
}

impl Sample {
    /// The value of a reading; the description comes from `meta` if there is one.
    pub(crate) fn new(reading: &Reading, meta: Option<Meta>) -> Self {
        Self {
            ty: reading.ty(),
            value: reading.to_value(),
            alarm: reading.alarm(),
            stamp: reading.timestamp(),
            ack: reading.acknowledge(),
            meta: meta.unwrap_or_else(|| Meta::of(reading)),
        }
    }

    /// What a server holds.
    pub(crate) fn from_snapshot(snapshot: Snapshot) -> Self {
        let meta = &snapshot.meta;
        let units = shown_units(meta.units.as_bytes());
        Self {
            ty: DbrType::new(Family::Time, snapshot.value.native()),
            alarm: Some(snapshot.alarm),
            stamp: Some(snapshot.stamp),
            ack: None,
            meta: Meta {
                units: (!units.is_empty()).then_some(units),
                precision: Some(meta.precision),
                limits: Some(meta.limits),
                states: Some(meta.states.clone()),
            },
            value: snapshot.value,
        }
    }

    /// Number of elements.
    pub(crate) const fn count(&self) -> u32 {
        self.value.count()
    }

    /// Type of the elements.
    pub(crate) const fn native(&self) -> NativeType {
        self.value.native()
    }

    /// The alarm if there is one that needs attention.
    pub(crate) fn raised_alarm(&self) -> Option<Alarm> {
        self.alarm.filter(|alarm| *alarm != Alarm::NONE)
    }

    /// The state number of a single enum.
    pub(crate) fn enum_index(&self) -> Option<u16> {
        let EnumIndex(index) = self.value.as_ref().elements::<EnumIndex>()?.next()?;
        Some(index)
    }

    /// The bytes of a `CHAR` array up to the first NUL, which are a text.
    pub(crate) fn long_string(&self) -> Option<&[u8]> {
        if self.native() != NativeType::Char {
            return None;
        }
        let bytes = self.value.payload().as_slice();
        bytes.split(|&b| b == 0).next()
    }
}

/// Units are for reading: the degree sign of an old database is shown as such.
fn shown_units(units: &[u8]) -> String {
    text::printable(&text::decode(units)).into_owned()
}

/// Whether the server defines the limits: integer types send 0 for those that are not, as do records
/// for display and control.
pub(crate) fn is_defined(range: &Range) -> bool {
    let none = |v: f64| v.is_nan() || v == 0.0;
    !(none(range.lower) && none(range.upper))
}
