//! What the tools know about a PV at one moment, from one or two readings.

use std::collections::BTreeMap;

use ca_proto::alarm::Alarm;
use ca_proto::dbr::{
    Acknowledge, DbrType, EnumIndex, EnumStates, Family, Limits, NativeType, Range, Reading,
    Snapshot, Value,
};
use ca_proto::time::Timestamp;

use crate::escape;

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
    /// Texts of states beyond those, as the server told when it was asked.
    pub(crate) more: BTreeMap<u16, String>,
}

type RangeOf = fn(&Limits) -> Range;

/// The limits by their names.
const RANGES: [(&str, RangeOf); 4] = [
    ("display limits", |limits| limits.display),
    ("warning limits", |limits| limits.warning),
    ("alarm limits", |limits| limits.alarm),
    ("control limits", |limits| limits.control),
];

fn range(range: Range) -> String {
    let limit = |v: f64| {
        if v.is_nan() {
            "none".to_owned()
        } else {
            v.to_string()
        }
    };
    format!("{} to {}", limit(range.lower), limit(range.upper))
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
            more: BTreeMap::new(),
        }
    }

    /// The text of a state; empty texts count as none.
    pub(crate) fn label(&self, state: u16) -> Option<String> {
        if let Some(label) = self.more.get(&state) {
            return Some(label.clone()).filter(|label| !label.is_empty());
        }
        let label = self.states.as_ref()?.get(state)?;
        (!label.is_empty()).then(|| escape::line(label))
    }

    /// Whether the server may know a text for a state that its list has no room for.
    fn lacks_label(&self, state: u16) -> bool {
        let Some(states) = &self.states else {
            return false;
        };
        let missing = match states.get(state) {
            Some(label) => EnumStates::may_be_cut(label),
            None => states.is_full(),
        };
        missing && !self.more.contains_key(&state)
    }

    /// What is different from before: what it is, what it was, what it is now.
    pub(crate) fn changes(&self, before: &Self) -> Vec<(&'static str, String, String)> {
        let mut changes = Vec::new();
        let mut compare = |name, old: String, new: String| {
            if old != new {
                changes.push((name, old, new));
            }
        };
        let units = |meta: &Self| meta.units.clone().unwrap_or_default();
        compare("units", units(before), units(self));
        let precision = |meta: &Self| meta.precision.map_or_else(String::new, |v| v.to_string());
        compare("precision", precision(before), precision(self));
        for (name, of) in RANGES {
            let shown = |meta: &Self| meta.limits.map_or_else(String::new, |all| range(of(&all)));
            compare(name, shown(before), shown(self));
        }
        let states = |meta: &Self| {
            let texts = meta.states.iter().flat_map(EnumStates::iter);
            texts.map(escape::line).collect::<Vec<_>>().join(", ")
        };
        compare("states", states(before), states(self));
        changes
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
                more: BTreeMap::new(),
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

    /// Whether there are states whose texts only the server knows.
    pub(crate) fn lacks_labels(&self) -> bool {
        let states = self.value.as_ref().elements::<EnumIndex>();
        states.is_some_and(|mut states| states.any(|EnumIndex(state)| self.meta.lacks_label(state)))
    }

    /// Does without the texts that the server did not tell.
    pub(crate) fn give_up_labels(&mut self) {
        let states = self.value.as_ref().elements::<EnumIndex>();
        for EnumIndex(state) in states.into_iter().flatten() {
            if self.meta.lacks_label(state) {
                let label = self.meta.label(state).unwrap_or_default();
                self.meta.more.insert(state, label);
            }
        }
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
    escape::printable(&escape::decode(units)).into_owned()
}

/// Whether the server defines the limits: integer types send 0 for those that are not, as do records
/// for display and control.
pub(crate) fn is_defined(range: &Range) -> bool {
    let none = |v: f64| v.is_nan() || v == 0.0;
    !(none(range.lower) && none(range.upper))
}
