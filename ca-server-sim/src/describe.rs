//! PVs from one line of text: `NAME=TYPE[:COUNT]:VALUE`.
//!
//! | text | PV |
//! |---|---|
//! | `gap=double:1.5` | a real number; also `float`, `long`, `short`, `char` |
//! | `note=string:at 12:30, by hand` | a text of up to 39 bytes, with whatever characters |
//! | `valve=enum:Closed,*Open,Moving` | states; the one with the star is the first value, else the first |
//! | `wave=double:5:1,2,3` | an array with room for 5 elements that holds 3; also of the other numbers |
//! | `wave=double:1000:0` | a single value fills the array; none (`wave=double:1000:`) leaves it empty |
//! | `names=strings:3:a,b` | an array of texts |
//! | `path=text:256:/data/run1` | an array of 256 `CHAR` that holds a text |
//!
//! Whether there is a count follows from the type, and with numbers from a second colon: the texts
//! of a value do not decide it. What does not fit is refused.

use std::str::FromStr;

use ca_proto::dbr::{Element, Value};
use ca_proto::text::Shown;
use ca_proto::text::parse::strtod;
use nom::bytes::complete::{take_till, take_till1};
use nom::character::complete::{char, digit1};
use nom::combinator::opt;
use nom::sequence::terminated;
use nom::{IResult, Parser};
use thiserror::Error;

use crate::db::MAX_ARRAY_BYTES;
use crate::pv::{MAX_STRING, PvSpec};

/// Why a text does not describe a PV.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "\"{}\", at \"{}\" (column {column}): {}",
    Shown(.text),
    Shown(.at),
    Shown(.reason)
)]
pub struct PvTextError {
    /// The whole text.
    pub text: String,
    /// The part that is wrong.
    pub at: String,
    /// Where it begins, in characters, counted from 1.
    pub column: usize,
    /// What is wrong with it, and the remedy.
    pub reason: String,
}

const TYPES: &str = "double, float, long, short, char, string, strings, enum, text";
const FORM: &str = "write NAME=TYPE[:COUNT]:VALUE, as in X=double:1.5";

/// Why a part of the text is wrong.
struct Wrong<'a> {
    at: &'a str,
    reason: String,
}

impl<'a> Wrong<'a> {
    fn new(at: &'a str, reason: impl Into<String>) -> Self {
        Self {
            at,
            reason: reason.into(),
        }
    }
}

/// Reads the name and the description of a PV.
///
/// # Errors
/// [`PvTextError`] names the part that cannot be understood, and what would be.
///
/// # Examples
/// ```
/// let (name, spec) = ca_server_sim::describe::parse("sim:gap=double:1.5").unwrap();
/// assert_eq!(name, "sim:gap");
///
/// let error = ca_server_sim::describe::parse("sim:gap=doubel:1.5").unwrap_err();
/// assert!(error.to_string().contains("double, float, long"));
/// let error = ca_server_sim::describe::parse("sim:gap=float:1e300").unwrap_err();
/// assert_eq!((error.at.as_str(), error.column), ("1e300", 15));
/// ```
pub fn parse(text: &str) -> Result<(&str, PvSpec), PvTextError> {
    parse_parts(text).map_err(|wrong| {
        // A part of the text, or its empty end.
        let begin = (wrong.at.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        PvTextError {
            text: text.to_owned(),
            at: wrong.at.to_owned(),
            column: 1 + text.get(..begin).unwrap_or(text).chars().count(),
            reason: wrong.reason,
        }
    })
}

/// What a part of the grammar takes off the text.
type Rest<'a> = IResult<&'a str, &'a str>;

fn name(text: &str) -> Rest<'_> {
    terminated(take_till1(|c| c == '='), char('=')).parse(text)
}

fn kind(text: &str) -> Rest<'_> {
    terminated(take_till(|c| c == ':'), char(':')).parse(text)
}

fn count(text: &str) -> Rest<'_> {
    terminated(digit1, char(':')).parse(text)
}

/// The part of a list up to the next comma, and what follows it.
fn item(text: &str) -> IResult<&str, (&str, Option<char>)> {
    (take_till(|c| c == ','), opt(char(','))).parse(text)
}

/// The parts between commas, at least one.
fn list(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut left = text;
    while let Ok((more, (part, comma))) = item(left) {
        items.push(part);
        left = more;
        if comma.is_none() {
            break;
        }
    }
    items
}

fn parse_parts(text: &str) -> Result<(&str, PvSpec), Wrong<'_>> {
    let (after, name) = name(text).map_err(|_| match text.starts_with('=') {
        true => Wrong::new(&text[..1], format!("there is no name; {FORM}")),
        false => Wrong::new(text, format!("there is no '='; {FORM}")),
    })?;
    if let Err(error) = crate::db::check_name(name) {
        let what = error.to_string();
        let reason = what.split_once("\": ").map_or(&*what, |(_, reason)| reason);
        return Err(Wrong::new(name, reason));
    }
    let (value, kind) = kind(after).map_err(|_| {
        let reason = format!("there is no value; {FORM}, with one of the types {TYPES}");
        Wrong::new(after, reason)
    })?;
    let spec = spec(kind, value)?;
    // What the parts allow one by one may still not fit together.
    if let Some(fault) = spec.check().first() {
        return Err(Wrong::new(value, fault.to_string()));
    }
    Ok((name, spec))
}

fn spec<'a>(kind: &'a str, value: &'a str) -> Result<PvSpec, Wrong<'a>> {
    match kind {
        "double" => numbers::<f64>(
            value,
            "a number such as 1.5",
            "1.8e308; write inf for infinity",
            |v| v.is_infinite(),
        ),
        "float" => numbers::<f32>(
            value,
            "a number such as 1.5",
            "3.4e38; make it a double",
            |v| v.is_infinite(),
        ),
        "long" => integers::<i32>(value, "an integer from -2147483648 to 2147483647"),
        "short" => integers::<i16>(value, "an integer from -32768 to 32767"),
        "char" => integers::<u8>(value, "an integer from 0 to 255; use text for characters"),
        "string" => single_text(value).map(PvSpec::string),
        "strings" => strings(value),
        "enum" => states(value),
        "text" => {
            let (text, capacity) = counted(value, "X=text:256:/data/run1")?;
            fits(text, text.len(), capacity)?;
            Ok(PvSpec::text(text).capacity(capacity))
        }
        _ => Err(Wrong::new(
            kind,
            format!("there is no such type; use one of {TYPES}"),
        )),
    }
}

/// What is counted, and how many there are to be at most.
fn counted<'a>(value: &'a str, example: &str) -> Result<(&'a str, u32), Wrong<'a>> {
    match count(value) {
        Ok((rest, count)) => Ok((rest, number_of(count)?)),
        Err(_) => {
            let reason = format!("there is no count; write it before the value, as in {example}");
            Err(Wrong::new(value, reason))
        }
    }
}

fn number_of(count: &str) -> Result<u32, Wrong<'_>> {
    match count.parse() {
        Ok(0) | Err(_) => {
            let reason = format!("a count is 1 to {MAX_ARRAY_BYTES}");
            Err(Wrong::new(count, reason))
        }
        Ok(count) => Ok(count),
    }
}

fn fits(value: &str, given: usize, capacity: u32) -> Result<(), Wrong<'_>> {
    if u32::try_from(given).is_ok_and(|given| given <= capacity) {
        return Ok(());
    }
    let reason = format!("these are {given} elements, but the count is {capacity}; raise it");
    Err(Wrong::new(value, reason))
}

fn single_text(text: &str) -> Result<&str, Wrong<'_>> {
    match crate::fault::text("value", "the text", text, MAX_STRING) {
        None => Ok(text),
        Some(fault) => {
            let longer = "; an array of CHAR holds longer ones, as in X=text:256:VALUE";
            Err(Wrong::new(text, format!("{fault}{longer}")))
        }
    }
}

fn integers<'a, T: Element + TryFrom<i64>>(
    value: &'a str,
    expected: &str,
) -> Result<PvSpec, Wrong<'a>> {
    elements::<T>(value, &|text| {
        let number = whole(text.trim()).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| Wrong::new(text, format!("this is not {expected}")))
    })
}

/// A whole number: decimal, hexadecimal with `0x`, or written with a point or an exponent, as `1e6` is.
fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    match strtod(text.as_bytes()) {
        // What no `i64` holds is beyond what any type here holds.
        Ok((number, len)) if len == text.len() && number.fract() == 0.0 => Some(number as i64),
        _ => None,
    }
}

fn numbers<'a, T: Element + FromStr + Default + PartialEq>(
    value: &'a str,
    expected: &str,
    largest: &str,
    is_infinite: fn(T) -> bool,
) -> Result<PvSpec, Wrong<'a>> {
    elements::<T>(value, &|text| {
        let number = text.trim().parse::<T>();
        let number = number.map_err(|_| Wrong::new(text, format!("this is not {expected}")))?;
        // Letters stand for infinity itself, digits for a number that is none.
        if is_infinite(number) && text.bytes().any(|b| b.is_ascii_digit()) {
            let reason = format!("this is beyond the largest number of its type, {largest}");
            return Err(Wrong::new(text, reason));
        }
        if number == T::default() && !is_zero(text) {
            let reason = "this is so small that it would become 0; write 0";
            return Err(Wrong::new(text, reason));
        }
        Ok(number)
    })
}

/// Whether a number is written as zero: only zeros before its exponent.
fn is_zero(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    !mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b))
}

fn elements<'a, T: Element>(
    text: &'a str,
    parse: &dyn Fn(&'a str) -> Result<T, Wrong<'a>>,
) -> Result<PvSpec, Wrong<'a>> {
    let (value, given) = match count(text) {
        Ok((value, count)) => (value, Some(number_of(count)?)),
        Err(_) => (text, None),
    };
    let Some(capacity) = given.filter(|&count| count != 1) else {
        if value.contains(',') {
            let reason = "several values need a count before them, as in X=double:3:1,2,3";
            return Err(Wrong::new(value, reason));
        }
        return parse(value).map(|number| PvSpec::value(Value::scalar(number)));
    };
    if value.is_empty() {
        let empty = Value::empty(T::NATIVE);
        return Ok(PvSpec::array(empty).capacity(capacity));
    }
    let items = list(value);
    fits(value, items.len(), capacity)?;
    let mut elements = items
        .into_iter()
        .map(parse)
        .collect::<Result<Vec<T>, _>>()?;
    if let [single] = elements[..] {
        // A larger array is refused when it is added; it is not allocated before.
        if capacity <= MAX_ARRAY_BYTES / T::NATIVE.size() as u32 {
            elements = vec![single; capacity as usize];
        }
    }
    Ok(PvSpec::array(elements).capacity(capacity))
}

fn strings(value: &str) -> Result<PvSpec, Wrong<'_>> {
    let (value, capacity) = counted(value, "X=strings:3:a,b")?;
    let texts = match value {
        "" => Vec::new(),
        value => list(value),
    };
    fits(value, texts.len(), capacity)?;
    for text in &texts {
        single_text(text)?;
    }
    Ok(PvSpec::strings(&texts).capacity(capacity))
}

fn states(value: &str) -> Result<PvSpec, Wrong<'_>> {
    if let Ok((_, count)) = count(value) {
        let reason = "an enum has no count; write its states, as in X=enum:Off,*On";
        return Err(Wrong::new(count, reason));
    }
    let mut texts = list(value);
    if texts.len() > 16 {
        let reason = format!("an enum has at most 16 states, these are {}", texts.len());
        return Err(Wrong::new(value, reason));
    }
    let mut index = None;
    for at in 0..texts.len() {
        let text = texts[at];
        if let Some(marked) = text.strip_prefix('*') {
            if index.is_some() {
                return Err(Wrong::new(text, "only one state can be the first value"));
            }
            (texts[at], index) = (marked, Some(at as u16));
        }
        let text = texts[at];
        if text.is_empty() || text.len() > 25 {
            let reason = "a state has a text of 1 to 25 bytes";
            return Err(Wrong::new(text, reason));
        }
        if texts[..at].contains(&text) {
            return Err(Wrong::new(text, "this state comes twice; leave one out"));
        }
    }
    Ok(PvSpec::enumeration(texts, index.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ca_proto::dbr::NativeType;

    fn value(text: &str) -> (NativeType, u32, u32, Value) {
        let (_, spec) = parse(text).unwrap();
        (spec.native(), spec.capacity, spec.value.count(), spec.value)
    }

    #[test]
    fn an_array_that_is_too_large_is_not_allocated() {
        let (_, capacity, count, _) = value("x=double:4294967295:0");
        assert_eq!((capacity, count), (u32::MAX, 1));
    }

    #[test]
    fn scalars_of_each_type() {
        assert_eq!(value("a:b=double:-1.5").3, Value::scalar(-1.5));
        assert_eq!(value("x=float:1e3").3, Value::scalar(1000f32));
        assert_eq!(value("x=long:-7").3, Value::scalar(-7));
        assert_eq!(value("x=short:7").3, Value::scalar(7i16));
        for (text, number) in [
            ("0x10", 16),
            ("-0x10", -16),
            ("1e3", 1000),
            ("2.0", 2),
            ("+5", 5),
        ] {
            let value = value(&format!("x=long:{text}")).3;
            assert_eq!(value, Value::scalar(number), "{text}");
        }
        assert_eq!(value("x=char:255").3, Value::scalar(255u8));
        assert_eq!(value("x=string:a=b, c:d").3, Value::string("a=b, c:d"));
        assert_eq!(value("x=string:12:30").3, Value::string("12:30"));
        assert_eq!(value("x=double:inf").3, Value::scalar(f64::INFINITY));
        assert_eq!(value("x=float:0e-400").3, Value::scalar(0f32));
        assert_eq!(value("x=string:").3, Value::string(""));
    }

    #[test]
    fn arrays_hold_what_is_given_and_one_value_fills_them() {
        let (_, capacity, count, elements) = value("x=long:5:1,2,3");
        assert_eq!((capacity, count), (5, 3));
        assert_eq!(elements, Value::array(&[1, 2, 3]));
        assert_eq!(value("x=double:1000:0").2, 1000);
        assert_eq!(value("x=double:1000:").2, 0);
        assert_eq!(value("x=strings:3:a,b").3, Value::strings(&["a", "b"]));
        assert_eq!(value("x=text:10:ab").1, 10);
    }

    #[test]
    fn a_star_marks_the_first_state() {
        let (_, spec) = parse("x=enum:Off,*On,Trip").unwrap();
        assert_eq!(spec.meta.states.len(), 3);
        assert_eq!(spec.meta.states.get(1), Some(&b"On"[..]));
        assert_eq!(spec.value.as_ref().data, [0, 1]);
    }

    #[test]
    fn errors_name_the_text_the_place_and_the_remedy() {
        let cases = [
            ("gap", "gap", "NAME=TYPE[:COUNT]:VALUE"),
            ("=long:1", "=", "no name"),
            ("x=long", "long", "no value"),
            ("x=int:1", "int", "double, float, long"),
            ("x=long:1.5", "1.5", "an integer from -2147483648"),
            ("x=long:1e10", "1e10", "an integer from -2147483648"),
            ("x=long:inf", "inf", "an integer from -2147483648"),
            ("x=char:300", "300", "use text for characters"),
            ("x=double:1,2", "1,2", "need a count"),
            (
                "x=double:2:1,2,3",
                "1,2,3",
                "3 elements, but the count is 2",
            ),
            ("x=double:2:1,b", "b", "a number"),
            ("x=double:0:1", "0", "a count is 1 to"),
            ("x=enum:3:A,B,C", "3", "no count"),
            ("x=enum:A,,B", "", "1 to 25 bytes"),
            ("x=enum:A,*B,*C", "*C", "only one state"),
            ("x=enum:A,B,A", "A", "twice"),
            ("x=float:1e300", "1e300", "3.4e38"),
            ("x=float:2:1,-1e39", "-1e39", "3.4e38"),
            ("x=float:1e-60", "1e-60", "become 0"),
            ("x=double:1e999", "1e999", "1.8e308"),
            ("x=double:5000000000:0", "5000000000", "a count is 1 to"),
            (
                "x=string:a text that is longer than the 39 bytes of one",
                "a text that is longer than the 39 bytes of one",
                "at most 39 fit; shorten it; an array of CHAR",
            ),
            ("x=strings:2:a,b\0c", "b\0c", "NUL"),
            ("x=strings:a,b", "a,b", "X=strings:3:a,b"),
            ("x=text:ab", "ab", "X=text:256:"),
            ("x=text:2:abc", "abc", "the count is 2"),
            ("a b=long:1", "a b", "blanks"),
        ];
        for (text, at, remedy) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!((error.text.as_str(), error.at.as_str()), (text, at));
            assert!(error.reason.contains(remedy), "{error}");
        }
    }
}
