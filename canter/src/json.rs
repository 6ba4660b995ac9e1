//! Values as JSON: one object per line, for programs.
//!
//! Numbers that JSON does not have are the strings `"nan"`, `"inf"` and `"-inf"`. A single element
//! is a scalar, unless the PV is an array.

use ca_proto::dbr::{EnumIndex, NativeType, Range, ValueRef};
use serde::Serialize;
use serde_json::{Number, Value as Json};

use crate::failure::Failure;
use crate::sample::{self, Meta, Sample};
use crate::text;

/// A value with what is known about it; absent items are left out.
#[derive(Serialize, Debug)]
pub(crate) struct JsonSample {
    value: Json,
    /// Text of the state of an enum.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Native type of the elements.
    r#type: &'static str,
    count: u32,
    #[serde(flatten)]
    description: JsonDescription,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

/// What describes a value; absent items are left out.
#[derive(Serialize, Default, Debug)]
pub(crate) struct JsonDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    states: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<JsonLimits>,
}

impl JsonDescription {
    /// All that is known.
    pub(crate) fn of(meta: &Meta) -> Self {
        let states = meta.states.as_ref().filter(|states| !states.is_empty());
        Self {
            units: meta.units.clone(),
            precision: meta.precision,
            states: states.map(|states| states.iter().map(text::line).collect()),
            limits: meta.limits.map(|limits| JsonLimits {
                display: range(limits.display),
                alarm: range(limits.alarm),
                warning: range(limits.warning),
                control: range(limits.control),
            }),
        }
    }

    /// What is needed to show a value.
    fn brief(meta: &Meta) -> Self {
        Self {
            units: meta.units.clone(),
            precision: meta.precision,
            ..Self::default()
        }
    }
}

/// Lower and upper limits; pairs that the server does not define are left out, single limits that
/// are not defined are null.
#[derive(Serialize, Debug)]
struct JsonLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<[Json; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm: Option<[Json; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<[Json; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<[Json; 2]>,
}

impl JsonSample {
    /// The value as data, arrays of `CHAR` as text if `long_string`.
    pub(crate) fn new(sample: &Sample, is_array: bool, long_string: bool) -> Self {
        let text = sample.long_string().filter(|_| long_string && is_array);
        let value = match text {
            Some(text) => Json::String(text),
            None => value(sample.value.as_ref(), is_array),
        };
        let state = sample.enum_index().filter(|_| !is_array);
        Self {
            value,
            label: state.and_then(|state| sample.meta.label(state)),
            r#type: sample.native().name(),
            count: sample.count(),
            description: JsonDescription::brief(&sample.meta),
            status: sample.alarm.map(|alarm| alarm.status.to_string()),
            severity: sample.alarm.map(|alarm| alarm.severity.to_string()),
            timestamp: sample
                .stamp
                .filter(|stamp| !stamp.is_undefined())
                .map(|stamp| stamp.to_string()),
        }
    }

    /// With limits and state texts, which change rarely.
    pub(crate) fn with_description(mut self, sample: &Sample) -> Self {
        self.description = JsonDescription::of(&sample.meta);
        self
    }
}

/// What went wrong with a PV.
#[derive(Serialize, Debug)]
pub(crate) struct JsonFailure {
    phase: &'static str,
    message: String,
    remedy: String,
}

impl JsonFailure {
    /// A failure in its parts.
    pub(crate) fn new(phase: &'static str, message: String, remedy: impl Into<String>) -> Self {
        Self {
            phase,
            message,
            remedy: remedy.into(),
        }
    }
}

impl From<&Failure> for JsonFailure {
    fn from(failure: &Failure) -> Self {
        Self::new(
            failure.phase,
            failure.message.clone(),
            failure.remedy.clone(),
        )
    }
}

pub(crate) fn value(value: ValueRef<'_>, is_array: bool) -> Json {
    let mut elements = elements(value);
    match elements.len() {
        1 if !is_array => elements.remove(0),
        // A text that may be long is sent without an element when it is empty.
        0 if !is_array && value.native == NativeType::String => Json::from(""),
        _ => Json::Array(elements),
    }
}

fn elements(value: ValueRef<'_>) -> Vec<Json> {
    fn each<T>(items: Option<impl Iterator<Item = T>>, json: impl Fn(T) -> Json) -> Vec<Json> {
        items.map_or_else(Vec::new, |items| items.map(json).collect())
    }
    match value.native {
        NativeType::String => (0..value.count)
            .map_while(|n| value.string(n))
            .map(|text| Json::String(text::decode(text).into_owned()))
            .collect(),
        NativeType::Short => each(value.elements::<i16>(), Json::from),
        NativeType::Char => each(value.elements::<u8>(), Json::from),
        NativeType::Long => each(value.elements::<i32>(), Json::from),
        NativeType::Enum => each(value.elements::<EnumIndex>(), |EnumIndex(v)| Json::from(v)),
        NativeType::Float => each(value.elements::<f32>(), single),
        NativeType::Double => each(value.elements::<f64>(), double),
    }
}

fn double(v: f64) -> Json {
    Number::from_f64(v).map_or_else(|| not_a_number(v), Json::Number)
}

/// The shortest digits that tell the number from all others of 32 bits.
fn single(v: f32) -> Json {
    match v.to_string().parse::<f64>() {
        Ok(wide) if v.is_finite() => double(wide),
        _ => not_a_number(v.into()),
    }
}

fn not_a_number(v: f64) -> Json {
    let text = if v.is_nan() {
        "nan"
    } else if v > 0.0 {
        "inf"
    } else {
        "-inf"
    };
    Json::from(text)
}

fn range(range: Range) -> Option<[Json; 2]> {
    let limit = |v: f64| if v.is_nan() { Json::Null } else { double(v) };
    sample::is_defined(&range).then(|| [range.lower, range.upper].map(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ca_proto::dbr::Value;

    fn shown(of: impl Into<Value>) -> String {
        value(of.into().as_ref(), false).to_string()
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        assert_eq!(shown(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(shown(0.1f32), "0.1");
        assert_eq!(shown(-3i16), "-3");
        assert_eq!(shown(f64::MAX), "1.7976931348623157e+308");
    }

    #[test]
    fn what_json_has_no_number_for_is_a_string() {
        assert_eq!(
            shown([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            r#"["nan","inf","-inf"]"#
        );
        assert_eq!(shown(f32::NAN), r#""nan""#);
    }

    #[test]
    fn one_element_of_an_array_stays_an_array() {
        let one = Value::from([1.5]);
        assert_eq!(value(one.as_ref(), true).to_string(), "[1.5]");
        let none = Value::empty(NativeType::Long);
        assert_eq!(value(none.as_ref(), false).to_string(), "[]");
    }

    #[test]
    fn texts_are_escaped_by_json_only() {
        assert_eq!(shown("a\"b\n"), r#""a\"b\n""#);
    }
}
