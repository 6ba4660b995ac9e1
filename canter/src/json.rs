//! Values as JSON: one object per line, for programs. The book has the table of all fields.
//!
//! Numbers that JSON does not have are the strings `"nan"`, `"inf"` and `"-inf"`, in values and limits. A
//! single element is a scalar, unless the PV is an array.

use std::fmt::Write;
use std::io;

use ca_proto::dbr::{EnumIndex, NativeType, Range, ValueRef};
use ca_proto::text::is_plain;
use serde::Serialize;
use serde_json::{Number, Value as Json};

use crate::escape;
use crate::failure::Failure;
use crate::sample::{self, Meta, Sample};

/// A value with what is known about it; absent items are left out.
#[derive(Serialize, Debug)]
pub(crate) struct JsonSample {
    value: Json,
    /// Text of the state of an enum.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// `latin-1` if a text is not UTF-8: then each character of the texts is a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
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
        Self::with(meta, Charset::of_all(state_texts(meta)))
    }

    fn with(meta: &Meta, charset: Charset) -> Self {
        let states = meta.states.as_ref().filter(|states| !states.is_empty());
        Self {
            units: meta.units.clone(),
            precision: meta.precision,
            states: states.map(|states| states.iter().map(|state| charset.text(state)).collect()),
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

/// Lower and upper limits; pairs that the server does not define are left out, a single limit that
/// is not defined is `"nan"`.
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
        let long = sample.long_string().filter(|_| long_string && is_array);
        let charset = Charset::of(sample, long);
        let value = match long {
            Some(text) => Json::String(charset.text(text)),
            None => elements_in(sample.value.as_ref(), is_array, charset),
        };
        let state = sample.enum_index().filter(|_| !is_array);
        let label = state.and_then(|state| sample.meta.states.as_ref()?.get(state));
        Self {
            value,
            label: label
                .filter(|label| !label.is_empty())
                .map(|label| charset.text(label))
                .or_else(|| sample.meta.label(state?)),
            encoding: charset.name(),
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
        self.description = JsonDescription::with(&sample.meta, Charset::of(sample, None));
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

fn state_texts(meta: &Meta) -> impl Iterator<Item = &[u8]> {
    meta.states.iter().flat_map(|states| states.iter())
}

/// How the texts of an object are decoded: all in the same way, so that each can be encoded again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Charset {
    Utf8,
    /// At least one text is not UTF-8.
    Latin1,
}

impl Charset {
    /// That of the texts of a sample: elements, states, a long string.
    fn of(sample: &Sample, long: Option<&[u8]>) -> Self {
        let value = sample.value.as_ref();
        let elements = (0..value.count).map_while(|n| value.string(n));
        Self::of_all(elements.chain(state_texts(&sample.meta)).chain(long))
    }

    fn of_all<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> Self {
        match texts.all(|text| std::str::from_utf8(text).is_ok()) {
            true => Self::Utf8,
            false => Self::Latin1,
        }
    }

    fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Latin1 => escape::latin_1(bytes),
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Utf8 => None,
            Self::Latin1 => Some("latin-1"),
        }
    }
}

/// An object as JSON in which no character is invisible or has an effect on a terminal: those that
/// [`is_plain`] does not name are written as `\uhhhh`.
///
/// # Errors
/// An object that is none of JSON.
pub(crate) fn text(object: &impl Serialize) -> io::Result<String> {
    Ok(plain(serde_json::to_string(object)?))
}

/// JSON with other characters escaped; they occur in texts only.
pub(crate) fn plain(json: String) -> String {
    let shown = |c: char| c == '\n' || is_plain(c);
    if json.chars().all(shown) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if shown(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

pub(crate) fn value(value: ValueRef<'_>, is_array: bool) -> Json {
    let texts = (0..value.count).map_while(|n| value.string(n));
    elements_in(value, is_array, Charset::of_all(texts))
}

fn elements_in(value: ValueRef<'_>, is_array: bool, charset: Charset) -> Json {
    let mut elements = elements(value, charset);
    match elements.len() {
        1 if !is_array => elements.remove(0),
        // A text that may be long is sent without an element when it is empty.
        0 if !is_array && value.native == NativeType::String => Json::from(""),
        _ => Json::Array(elements),
    }
}

fn elements(value: ValueRef<'_>, charset: Charset) -> Vec<Json> {
    fn each<T>(items: Option<impl Iterator<Item = T>>, json: impl Fn(T) -> Json) -> Vec<Json> {
        items.map_or_else(Vec::new, |items| items.map(json).collect())
    }
    match value.native {
        NativeType::String => (0..value.count)
            .map_while(|n| value.string(n))
            .map(|text| Json::String(charset.text(text)))
            .collect(),
        NativeType::Short => each(value.elements::<i16>(), Json::from),
        NativeType::Char => each(value.elements::<u8>(), Json::from),
        NativeType::Long => each(value.elements::<i32>(), Json::from),
        NativeType::Enum => each(value.elements::<EnumIndex>(), |EnumIndex(v)| Json::from(v)),
        NativeType::Float => each(value.elements::<f32>(), single),
        NativeType::Double => each(value.elements::<f64>(), double),
    }
}

/// A number, or a text where JSON has none.
pub(crate) fn number(v: f64) -> Json {
    double(v)
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
    sample::is_defined(&range).then(|| [range.lower, range.upper].map(double))
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

    #[test]
    fn what_has_an_effect_on_a_terminal_is_escaped_and_means_the_same() {
        let odd = "\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{2028}\u{e0041}°\n";
        let json = text(&odd).unwrap();
        assert_eq!(
            json,
            r#""\u001b[2J\u007f\u009b31m\u202e\u2066\u200b\u2028\udb40\udc41°\n""#
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), odd);
    }

    #[test]
    fn texts_that_are_no_utf8_are_all_bytes_and_say_so() {
        let sample = |texts: &[&[u8]]| Sample {
            ty: ca_proto::dbr::DbrType(0),
            value: Value::strings(texts),
            alarm: None,
            stamp: None,
            ack: None,
            meta: Meta::default(),
        };
        let json = |texts: &[&[u8]]| text(&JsonSample::new(&sample(texts), true, false)).unwrap();
        let latin = json(&[b"\xb0C", "°C".as_bytes()]);
        assert!(
            latin.contains(r#""value":["°C","Â°C"],"encoding":"latin-1""#),
            "{latin}"
        );
        let utf8 = json(&["°C".as_bytes()]);
        assert!(utf8.contains(r#""value":["°C"],"type""#), "{utf8}");
    }
}
