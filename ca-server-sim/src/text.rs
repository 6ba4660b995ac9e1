//! PVs from one line of text: `NAME=TYPE[:COUNT]:VALUE`.
//!
//! | text | PV |
//! |---|---|
//! | `gap=double:1.5` | a real number; also `float`, `long`, `short`, `char` |
//! | `note=string:hello, world` | a text of up to 39 bytes, with whatever characters |
//! | `valve=enum:Closed,*Open,Moving` | states; the one with the star is the first value, else the first |
//! | `wave=double:5:1,2,3` | an array with room for 5 elements that holds 3 |
//! | `wave=double:1000:0` | a single value fills the array; none (`wave=double:1000:`) leaves it empty |
//! | `names=string:3:a,b` | an array of texts |
//! | `path=text:256:/data/run1` | an array of 256 `CHAR` that holds a text |
//!
//! What stands before a second colon is a count if it has digits only. A text that begins like that
//! needs the count 1: `note=string:1:12:30`.

use ca_proto::dbr::{Element, Value};
use thiserror::Error;

use crate::db::MAX_ARRAY_BYTES;
use crate::pv::PvSpec;

/// Why a text does not describe a PV.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("\"{text}\", at \"{at}\": {reason}")]
pub struct PvTextError {
    /// The whole text.
    pub text: String,
    /// The part that is wrong.
    pub at: String,
    /// What is wrong with it, and the remedy.
    pub reason: String,
}

const TYPES: &str = "double, float, long, short, char, string, enum, text";

/// Why a part is wrong; the caller knows the whole.
struct Wrong {
    at: String,
    reason: String,
}

impl Wrong {
    fn new(at: &str, reason: impl Into<String>) -> Self {
        Self {
            at: at.to_owned(),
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
/// let (name, spec) = ca_server_sim::text::parse("sim:gap=double:1.5").unwrap();
/// assert_eq!(name, "sim:gap");
///
/// let error = ca_server_sim::text::parse("sim:gap=doubel:1.5").unwrap_err();
/// assert!(error.to_string().contains("double, float, long"));
/// ```
pub fn parse(text: &str) -> Result<(&str, PvSpec), PvTextError> {
    parse_parts(text).map_err(|wrong| PvTextError {
        text: text.to_owned(),
        at: wrong.at,
        reason: wrong.reason,
    })
}

fn parse_parts(text: &str) -> Result<(&str, PvSpec), Wrong> {
    let form = "write NAME=TYPE[:COUNT]:VALUE, as in X=double:1.5";
    let (name, rest) = text
        .split_once('=')
        .ok_or_else(|| Wrong::new(text, format!("there is no '='; {form}")))?;
    if name.is_empty() {
        return Err(Wrong::new("=", format!("there is no name; {form}")));
    }
    let (kind, rest) = rest.split_once(':').ok_or_else(|| {
        let reason = format!("there is no value; {form}, with one of the types {TYPES}");
        Wrong::new(rest, reason)
    })?;
    let (count, value) = split_count(rest)?;
    Ok((name, spec(kind, count, value)?))
}

fn split_count(rest: &str) -> Result<(Option<u32>, &str), Wrong> {
    let Some((count, value)) = rest.split_once(':') else {
        return Ok((None, rest));
    };
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Ok((None, rest));
    }
    match count.parse() {
        Ok(0) | Err(_) => {
            let reason = "a count is at least 1 and below 4294967296";
            Err(Wrong::new(count, reason))
        }
        Ok(count) => Ok((Some(count), value)),
    }
}

fn spec(kind: &str, count: Option<u32>, value: &str) -> Result<PvSpec, Wrong> {
    match kind {
        "double" => numbers::<f64>(count, value, "a number such as 1.5"),
        "float" => numbers::<f32>(count, value, "a number such as 1.5"),
        "long" => numbers::<i32>(count, value, "an integer of 32 bits"),
        "short" => numbers::<i16>(count, value, "an integer from -32768 to 32767"),
        "char" => numbers::<u8>(
            count,
            value,
            "an integer from 0 to 255; use text for characters",
        ),
        "string" => strings(count, value),
        "enum" => states(count, value),
        "text" => {
            let capacity = count.unwrap_or_else(|| u32::try_from(value.len() + 1).unwrap_or(0));
            fits(value, value.len(), capacity)?;
            Ok(PvSpec::text(value).capacity(capacity))
        }
        _ => Err(Wrong::new(
            kind,
            format!("there is no such type; use one of {TYPES}"),
        )),
    }
}

fn fits(value: &str, given: usize, capacity: u32) -> Result<(), Wrong> {
    if u32::try_from(given).is_ok_and(|given| given <= capacity) {
        return Ok(());
    }
    let reason = format!("these are {given} elements, but the count is {capacity}; raise it");
    Err(Wrong::new(value, reason))
}

fn numbers<T: Element + std::str::FromStr>(
    count: Option<u32>,
    value: &str,
    expected: &str,
) -> Result<PvSpec, Wrong> {
    let parse = |text: &str| {
        let number = text.trim().parse::<T>();
        number.map_err(|_| Wrong::new(text, format!("this is not {expected}")))
    };
    let Some(capacity) = count.filter(|&count| count != 1) else {
        if count.is_none() && value.contains(',') {
            let reason = "several values need a count before them, as in X=double:3:1,2,3";
            return Err(Wrong::new(value, reason));
        }
        return parse(value).map(|number| PvSpec::value(Value::scalar(number)));
    };
    if value.is_empty() {
        let empty = Value::empty(T::NATIVE);
        return Ok(PvSpec::array(empty).capacity(capacity));
    }
    let mut elements = value.split(',').map(parse).collect::<Result<Vec<T>, _>>()?;
    fits(value, elements.len(), capacity)?;
    if let [single] = elements[..] {
        // A larger array is refused when it is added; it is not allocated before.
        if capacity <= MAX_ARRAY_BYTES / T::NATIVE.size() as u32 {
            elements = vec![single; capacity as usize];
        }
    }
    Ok(PvSpec::array(elements).capacity(capacity))
}

fn strings(count: Option<u32>, value: &str) -> Result<PvSpec, Wrong> {
    let Some(capacity) = count.filter(|&count| count != 1) else {
        return Ok(PvSpec::string(value));
    };
    let texts: Vec<&str> = match value {
        "" => Vec::new(),
        value => value.split(',').collect(),
    };
    fits(value, texts.len(), capacity)?;
    Ok(PvSpec::strings(&texts).capacity(capacity))
}

fn states(count: Option<u32>, value: &str) -> Result<PvSpec, Wrong> {
    if let Some(count) = count {
        let reason = "an enum has no count; write its states, as in X=enum:Off,*On";
        return Err(Wrong::new(&count.to_string(), reason));
    }
    let mut texts: Vec<&str> = value.split(',').collect();
    if texts.len() > 16 {
        let reason = format!("an enum has at most 16 states, these are {}", texts.len());
        return Err(Wrong::new(value, reason));
    }
    let mut index = 0;
    for (at, text) in (0u16..).zip(&mut texts) {
        if let Some(marked) = text.strip_prefix('*') {
            (*text, index) = (marked, at);
        }
        if text.is_empty() || text.len() > 25 {
            let reason = "a state has a text of 1 to 25 bytes";
            return Err(Wrong::new(text, reason));
        }
    }
    Ok(PvSpec::enumeration(texts, index))
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
        assert_eq!(value("x=char:255").3, Value::scalar(255u8));
        assert_eq!(value("x=string:a=b, c:d").3, Value::string("a=b, c:d"));
        assert_eq!(value("x=string:1:12:30").3, Value::string("12:30"));
        assert_eq!(value("x=string:").3, Value::string(""));
    }

    #[test]
    fn arrays_hold_what_is_given_and_one_value_fills_them() {
        let (_, capacity, count, elements) = value("x=long:5:1,2,3");
        assert_eq!((capacity, count), (5, 3));
        assert_eq!(elements, Value::array(&[1, 2, 3]));
        assert_eq!(value("x=double:1000:0").2, 1000);
        assert_eq!(value("x=double:1000:").2, 0);
        assert_eq!(value("x=string:3:a,b").3, Value::strings(&["a", "b"]));
        assert_eq!(value("x=text:10:ab").1, 10);
        assert_eq!(value("x=text:ab").1, 3);
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
            ("x=long:1.5", "1.5", "an integer of 32 bits"),
            ("x=char:300", "300", "use text for characters"),
            ("x=double:1,2", "1,2", "need a count"),
            (
                "x=double:2:1,2,3",
                "1,2,3",
                "3 elements, but the count is 2",
            ),
            ("x=double:2:1,b", "b", "a number"),
            ("x=double:0:1", "0", "at least 1"),
            ("x=enum:3:A,B,C", "3", "no count"),
            ("x=enum:A,,B", "", "1 to 25 bytes"),
        ];
        for (text, at, remedy) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!((error.text.as_str(), error.at.as_str()), (text, at));
            assert!(error.reason.contains(remedy), "{error}");
        }
    }
}
