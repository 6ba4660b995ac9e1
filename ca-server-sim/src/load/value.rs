//! Which values fields take (`dbPutString` and `dbPutStringNum` of EPICS Base).

use super::dbd::{Dbd, FieldSpec, FieldType, RecordTypeSpec, Special};
use super::link::{Link, LinkProblem};
use super::number::{self, NumberProblem};
use super::source::shown;
use crate::calc::{CalcError, Expression};
use crate::slip::nearest;

/// What a field is set to.
#[derive(Clone, PartialEq, Debug)]
pub enum Setting<'a> {
    /// A text.
    Text(&'a [u8]),
    /// An integer, cut to the bits that the field has.
    Integer(i64),
    /// An unsigned integer, cut to the bits that the field has.
    Unsigned(u64),
    /// A real number; that of a [`FieldType::Float`] has 32 bits.
    Real(f64),
    /// The number of a choice; it may be beyond the last one, where nothing is chosen.
    Choice(u16),
    /// A link.
    Link(Link<'a>),
}

/// Why a field does not take a value.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A macro was not expanded.
    Macro,
    /// The text is too long.
    TooLong,
    /// It is no expression.
    Calc(CalcError),
    /// It is no number.
    Number(NumberProblem),
    /// It is no choice of the menu.
    NoChoice,
    /// The number is beyond those of the choices.
    BeyondChoices,
    /// It is no link.
    Link(LinkProblem),
    /// The field cannot be set in files.
    NoAccess,
}

/// The index of the field that a file means (`dbFindFieldPart`): none stands for `VAL`; what follows a blank is left out.
pub fn find_field(spec: &RecordTypeSpec, name: &[u8]) -> Option<u16> {
    let starts = name
        .first()
        .is_some_and(|&b| b == b'_' || b.is_ascii_alphabetic());
    let belongs = |byte: &u8| *byte == b'_' || byte.is_ascii_alphanumeric();
    let length = match starts {
        true => name
            .iter()
            .position(|byte| !belongs(byte))
            .unwrap_or(name.len()),
        false => 0,
    };
    let (name, rest) = name.split_at(length);
    let ends = rest
        .first()
        .is_none_or(|byte| matches!(byte, b' ' | b'\t'..=b'\r'));
    let name = match name {
        [] => b"VAL",
        name => name,
    };
    spec.find_bytes(name).filter(|_| ends)
}

/// Whether a macro was left in a text.
pub(super) fn has_macro(text: &[u8]) -> bool {
    memchr::memchr_iter(b'$', text).any(|at| matches!(text.get(at + 1), Some(b'(' | b'{')))
}

/// What a text stands for in a field.
///
/// # Errors
/// Says why the field does not take it; the reference refuses the same.
pub fn read<'a>(
    dbd: &Dbd,
    spec: &RecordTypeSpec,
    field: &FieldSpec,
    text: &'a [u8],
) -> Result<Setting<'a>, Problem> {
    if has_macro(text) {
        return Err(Problem::Macro);
    }
    // Nothing is 0.
    let number: &[u8] = if text.is_empty() { b"0" } else { text };
    let signed = |cut: fn(i64) -> i64| match number::signed(number) {
        Ok(value) => Ok(Setting::Integer(cut(value))),
        Err(problem) => Err(Problem::Number(problem)),
    };
    let unsigned = |cut: fn(u64) -> u64| match number::unsigned(number) {
        Ok(value) => Ok(Setting::Unsigned(cut(value))),
        Err(problem) => Err(Problem::Number(problem)),
    };
    match field.kind {
        FieldType::String => {
            if text.len() >= usize::try_from(field.size).unwrap_or(0) {
                return Err(Problem::TooLong);
            }
            if field.special == Special::Calc {
                Expression::parse(text).map_err(Problem::Calc)?;
            }
            Ok(Setting::Text(text))
        }
        FieldType::Char => signed(|value| i64::from(value as i8)),
        FieldType::Short => signed(|value| i64::from(value as i16)),
        FieldType::Long => signed(|value| i64::from(value as i32)),
        FieldType::Int64 => signed(|value| value),
        FieldType::UChar => unsigned(|value| u64::from(value as u8)),
        FieldType::UShort | FieldType::Enum => unsigned(|value| u64::from(value as u16)),
        FieldType::ULong => unsigned(|value| u64::from(value as u32)),
        FieldType::UInt64 => unsigned(|value| value),
        FieldType::Float => match number::real32(number) {
            Ok(value) => Ok(Setting::Real(f64::from(value))),
            Err(problem) => Err(Problem::Number(problem)),
        },
        FieldType::Double => match number::real(number) {
            Ok(value) => Ok(Setting::Real(value)),
            Err(problem) => Err(Problem::Number(problem)),
        },
        FieldType::Menu => {
            let menu = field.menu.as_deref();
            let found = menu.and_then(|menu| menu.index(number));
            choice(number, found, menu.map_or(0, |menu| menu.choices.len()))
        }
        FieldType::Device => choice(number, spec.device(number), spec.devices.len()),
        FieldType::InLink | FieldType::OutLink | FieldType::FwdLink => {
            let link = Link::parse(text, field.kind).map_err(Problem::Link)?;
            link.check(dbd, field.kind).map_err(Problem::Link)?;
            Ok(Setting::Link(link))
        }
        FieldType::NoAccess => Err(Problem::NoAccess),
    }
}

fn choice<'a>(text: &[u8], found: Option<u16>, choices: usize) -> Result<Setting<'a>, Problem> {
    if let Some(found) = found {
        return Ok(Setting::Choice(found));
    }
    // As `epicsParseUInt16`: negative numbers count from 2^64 down, and what wraps to few bits is taken.
    let value = match number::unsigned(text) {
        Ok(value @ ..=0xffff) => value as u16,
        Ok(value) if value > !0xffff => value as u16,
        _ => return Err(Problem::NoChoice),
    };
    match usize::from(value) > choices && choices > 0 && value < u16::MAX {
        true => Err(Problem::BeyondChoices),
        false => Ok(Setting::Choice(value)),
    }
}

/// What is odd about a value that is taken: the reference says nothing, and does not do what is written.
pub(super) fn odd(
    dbd: &Dbd,
    spec: &RecordTypeSpec,
    field: &FieldSpec,
    text: &[u8],
    setting: &Setting<'_>,
    record: &[u8],
) -> Option<(String, String)> {
    let named = || format!("{}.{}", shown(record), field.name);
    match setting {
        Setting::Integer(value) => {
            let given = number::signed(text).unwrap_or(0);
            (given != *value).then(|| {
                let message = format!(
                    "{}: {given} is out of range of {}, and becomes {value}",
                    named(),
                    field.kind.name()
                );
                (message, String::new())
            })
        }
        Setting::Unsigned(value) => {
            let negative = text.trim_ascii_start().starts_with(b"-") && *value != 0;
            let given = number::unsigned(text).unwrap_or(0);
            (negative || given != *value).then(|| {
                let text = shown(text);
                let message = format!(
                    "{}: {text} is out of range of {}, and becomes {value}",
                    named(),
                    field.kind.name()
                );
                (message, String::new())
            })
        }
        Setting::Choice(value) => {
            let choices = match field.kind {
                FieldType::Device => spec.devices.len(),
                _ => field.menu.as_ref().map_or(0, |menu| menu.choices.len()),
            };
            (usize::from(*value) >= choices && choices > 0).then(|| {
                let message = format!(
                    "{}: there is no choice {value}; the last one is {}",
                    named(),
                    choices - 1
                );
                (message, String::new())
            })
        }
        Setting::Link(link) => link
            .odd(dbd, field.kind)
            .map(|(message, remedy)| (format!("{}: {message}", named()), remedy)),
        Setting::Text(_) | Setting::Real(_) => None,
    }
}

impl Problem {
    /// Message and remedy.
    pub(super) fn told(
        &self,
        dbd: &Dbd,
        spec: &RecordTypeSpec,
        field: &FieldSpec,
        text: &[u8],
        record: &[u8],
    ) -> (String, String) {
        let at = format!("{}.{}", shown(record), field.name);
        let value = shown(text);
        match self {
            Self::Macro => (
                format!("{at} has a macro that is not expanded: {value}"),
                "fields cannot have `$(` or `${`".into(),
            ),
            Self::TooLong => {
                let (length, most) = (text.len(), i32::from(field.size) - 1);
                (
                    format!("{at} has room for {most} bytes; the text has {length}"),
                    String::new(),
                )
            }
            Self::Calc(error) => (format!("{at} is no expression: {error}"), String::new()),
            Self::Number(problem) => {
                let what = match field.kind {
                    FieldType::Float | FieldType::Double => "a number",
                    _ => "an integer",
                };
                let (message, remedy) = match problem {
                    NumberProblem::NoNumber => (format!("`{value}` is not {what}"), String::new()),
                    NumberProblem::Extra if what == "an integer" && number::real(text).is_ok() => (
                        format!("`{value}` is not an integer"),
                        "write it without fraction and exponent".into(),
                    ),
                    NumberProblem::Extra => (
                        format!("something stands behind the number in `{value}`"),
                        "write the number alone; units are in EGU".into(),
                    ),
                    NumberProblem::Overflow => (format!("`{value}` is too large"), String::new()),
                    NumberProblem::Underflow => {
                        (format!("`{value}` is too close to 0"), "write 0".into())
                    }
                };
                (format!("{at}: {message}"), remedy)
            }
            Self::NoChoice => {
                let (whose, choices): (_, Vec<&[u8]>) = match (&field.menu, field.kind) {
                    (_, FieldType::Device) => (
                        format!("device of record type {}", spec.name),
                        spec.devices.iter().map(|one| &*one.choice).collect(),
                    ),
                    (Some(menu), _) => (
                        format!("choice of {}", menu.name),
                        menu.choices.iter().map(|(_, text)| &**text).collect(),
                    ),
                    (None, _) => ("choice".into(), Vec::new()),
                };
                let mut remedy = meant(text, &choices);
                if field.kind == FieldType::Device {
                    let site = "a site's device needs its `.dbd` file, or hold what is unknown (--hold-unknown)";
                    remedy = match remedy.is_empty() {
                        true => site.into(),
                        false => format!("{remedy}; {site}"),
                    };
                }
                (format!("{at}: `{value}` is no {whose}"), remedy)
            }
            Self::BeyondChoices => {
                let last = match (&field.menu, field.kind) {
                    (Some(menu), FieldType::Menu) => menu.choices.len(),
                    _ => spec.devices.len(),
                };
                let last = last.saturating_sub(1);
                (
                    format!("{at}: there is no choice {value}; the last one is {last}"),
                    String::new(),
                )
            }
            Self::Link(problem) => {
                let (message, remedy) = problem.told(dbd, text);
                (format!("{at}: {message}"), remedy)
            }
            Self::NoAccess => (format!("{at} cannot be set in a file"), String::new()),
        }
    }
}

/// The choice that was meant, or all of them if they are few.
fn meant(text: &[u8], choices: &[&[u8]]) -> String {
    /// Choices that are told.
    const MOST: usize = 12;
    let given = String::from_utf8_lossy(text);
    let known = choices
        .iter()
        .filter_map(|one| std::str::from_utf8(one).ok());
    if let Some(near) = closest(given.trim(), known) {
        return did_you_mean(Some(near));
    }
    let told = choices
        .iter()
        .take(MOST)
        .map(|one| format!("`{}`", shown(one)));
    let told = told.collect::<Vec<_>>().join(", ");
    match choices.len() {
        0 => String::new(),
        1..=MOST => format!("the choices are {told}"),
        all => format!("the choices are {told} and {} more", all - MOST),
    }
}

pub(super) fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("did you mean `{near}`?"))
}

/// The word that is most like the given one, upper and lower case alike.
pub(super) fn closest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Words that are compared.
    const MOST: usize = 10_000;
    let words: Vec<(&str, String)> = known
        .into_iter()
        .take(MOST)
        .map(|word| (word, word.to_lowercase()))
        .collect();
    let near = nearest(given, words.iter().map(|(_, lower)| lower.as_str()))?;
    words
        .iter()
        .find(|(_, lower)| lower == near)
        .map(|(word, _)| *word)
}
