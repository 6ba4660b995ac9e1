//! Links: what the text of a link field says.

use std::fmt;
use std::sync::{Arc, LazyLock};

use ca_proto::text::parse::strtod;

use super::field::Dbf;
use super::json::Json;
use super::val::{Array, Conversion, Val};
use crate::state::codec::saved;

/// A link as its field's text says it (`dbParseLink` of EPICS Base).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Link {
    /// Nothing, a number, or a JSON array: loaded once, when the record starts.
    Constant(Box<str>),
    /// A field of a record.
    Pv(PvLink),
    /// `{kind: …}`.
    Json(Box<str>),
    /// `@…` and `#…`: the address of a device.
    Hardware(Box<str>),
}

/// A link to a field of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PvLink {
    /// Record and field as written.
    pub target: Box<str>,
    /// Who processes whom.
    pub process: LinkProcess,
    /// What becomes of alarm severities.
    pub severity: LinkSeverity,
    /// The kind of field that it stands in.
    pub kind: Dbf,
    /// Where it leads to.
    pub to: LinkTo,
    /// Which part of the target's value is meant.
    pub(crate) part: Part,
}

/// The modifiers of a channel's name: `$`, and `[first:step:last]` or `{arr:{s:…,i:…,e:…}}`
/// (`dbChannelCreate`, `arr.c` of EPICS Base). Other filters change nothing of what is read once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Part {
    /// A text as its characters.
    pub(crate) characters: bool,
    /// First element, step, last element; those below 0 count from the end.
    pub(crate) range: Option<(i32, i32, i32)>,
}

impl Part {
    /// A field with its modifiers, taken apart.
    pub(crate) fn split(field: &str) -> (&str, Self) {
        let end = field
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(field.len());
        let (name, rest) = field.split_at(end);
        let (characters, rest) = match rest.strip_prefix('$') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let range = match rest
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(inner) => range(inner),
            None => Json::parse(rest).and_then(|json| {
                let arr = json.get("arr")?.clone();
                let number = |name| arr.get(name).and_then(Json::number).map(|n| n as i32);
                Some((
                    number("s").unwrap_or(0),
                    number("i").unwrap_or(1),
                    number("e").unwrap_or(-1),
                ))
            }),
        };
        (name, Self { characters, range })
    }

    /// Whether it is the whole.
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// This part of a value.
    pub(crate) fn of(&self, val: Val) -> Val {
        let val = match val {
            Val::String(text) if self.characters => {
                let mut characters = text.to_vec();
                characters.push(0);
                Val::from(Array::UChar(characters))
            }
            val => val,
        };
        let (Some((first, step, last)), Val::Array(all)) = (self.range, &val) else {
            return val;
        };
        let count = all.len() as i64;
        let place = |n: i32| {
            if n < 0 {
                i64::from(n) + count
            } else {
                i64::from(n)
            }
        };
        let (first, last) = (place(first).max(0), place(last).min(count - 1));
        let places = (first..=last).step_by(step.max(1) as usize);
        let kept = places.filter_map(|place| all.get(usize::try_from(place).ok()?));
        Array::collect(kept, all.dbf(), usize::MAX, &Conversion::PLAIN).map_or(val, Val::from)
    }
}

/// `[first:last]`, `[first:step:last]` or `[element]`.
fn range(inner: &str) -> Option<(i32, i32, i32)> {
    let number = |text: &str, missing: i32| match text.trim() {
        "" => Some(missing),
        text => text.parse().ok(),
    };
    match inner.split(':').collect::<Vec<_>>().as_slice() {
        [one] => number(one, 0).map(|n| (n, 1, n)),
        [first, last] => Some((number(first, 0)?, 1, number(last, -1)?)),
        [first, step, last] => Some((number(first, 0)?, number(step, 1)?, number(last, -1)?)),
        _ => None,
    }
}

/// Where a link leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkTo {
    /// Not looked up yet.
    Unknown,
    /// A field of a record of this IOC: number of the record, index of the field.
    Local(u32, u16),
    /// A PV of another IOC.
    Remote,
}

/// Who processes whom, through a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkProcess {
    /// Nobody (`NPP`).
    No,
    /// Who uses the link processes a passive target (`PP`).
    Passive,
    /// Through Channel Access (`CA`).
    Ca,
    /// The target, when it changes, processes who has the link (`CP`).
    Change,
    /// The same for a passive record only (`CPP`).
    ChangeIfPassive,
}

/// What becomes of the alarm severity of the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkSeverity {
    /// Nothing (`NMS`).
    Ignore,
    /// It is taken over, as a link alarm (`MS`).
    Maximize,
    /// The same for INVALID only (`MSI`).
    Invalid,
    /// It is taken over with its status (`MSS`).
    Status,
}

/// Why a text is no link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// `#` is not followed by an address of a known bus.
    #[error("`#` begins the address of a card, such as `#C0 S1 @parameter`")]
    Hardware,
    /// A JSON link that only reads, or that cannot process, stands where it would have to.
    #[error(
        "a JSON link of this kind cannot stand in this field: `const` is for inputs, `calc` and `state` for inputs and outputs"
    )]
    Json,
}

static NONE: LazyLock<Arc<Link>> = LazyLock::new(|| Arc::new(Link::Constant(Box::default())));

impl Link {
    /// No link: a field that is empty.
    pub fn none() -> Arc<Self> {
        NONE.clone()
    }

    /// Parses the text of a link field of this kind.
    ///
    /// # Errors
    /// For a `#` without the address of a card.
    pub fn parse(text: &str, kind: Dbf) -> Result<Self, LinkError> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        if text.starts_with('@') {
            return Ok(Self::Hardware(text.into()));
        }
        if text.starts_with('{') && text.ends_with('}') {
            let is = |kind: &str| json_kind(text).starts_with(kind);
            let misplaced = match kind {
                Dbf::InLink => false,
                Dbf::FwdLink => is("const") || is("calc") || is("state"),
                _ => is("const"),
            };
            return match misplaced {
                false => Ok(Self::Json(text.into())),
                true => Err(LinkError::Json),
            };
        }
        if let Some(address) = text.strip_prefix('#') {
            let address = address.trim_start();
            let known = address.starts_with(|c: char| c.is_ascii_uppercase());
            return if known {
                Ok(Self::Hardware(text.into()))
            } else {
                Err(LinkError::Hardware)
            };
        }
        if is_constant(text) {
            return Ok(Self::Constant(text.into()));
        }
        let (target, modifiers) = text.split_once(' ').unwrap_or((text, ""));
        Ok(Self::Pv(PvLink {
            target: target.into(),
            process: process(modifiers, kind),
            severity: severity(modifiers, kind),
            kind,
            to: LinkTo::Unknown,
            part: Part::split(target.split_once('.').map_or("", |(_, field)| field)).1,
        }))
    }

    /// Whether nothing is read through it after the start, nor written.
    pub fn is_constant(&self) -> bool {
        match self {
            Self::Constant(_) => true,
            Self::Json(text) => json_kind(text).starts_with("const"),
            _ => false,
        }
    }
}

/// What a JSON link begins with, its kind.
fn json_kind(text: &str) -> &str {
    text.trim_start_matches(['{', ' ', '"', '\''])
}

/// Nothing, exactly a number, or an array.
fn is_constant(text: &str) -> bool {
    text.is_empty() || (text.starts_with('[') && text.ends_with(']')) || is_number(text)
}

/// A number and nothing else, as `epicsParseDouble` of EPICS Base takes it.
fn is_number(text: &str) -> bool {
    strtod(text.as_bytes()).is_ok_and(|(_, length)| length == text.len())
}

/// The modifiers need no blanks between them, and the longer ones are found first.
fn process(modifiers: &str, kind: Dbf) -> LinkProcess {
    let found = [
        ("NPP", LinkProcess::No),
        ("CPP", LinkProcess::ChangeIfPassive),
        ("PP", LinkProcess::Passive),
        ("CA", LinkProcess::Ca),
        ("CP", LinkProcess::Change),
    ];
    let found = found.iter().find(|(name, _)| modifiers.contains(name));
    match (found.map_or(LinkProcess::No, |&(_, found)| found), kind) {
        (LinkProcess::ChangeIfPassive | LinkProcess::Change, Dbf::OutLink) => LinkProcess::No,
        (LinkProcess::Ca, Dbf::FwdLink) => LinkProcess::Ca,
        (_, Dbf::FwdLink) => LinkProcess::No,
        (found, _) => found,
    }
}

fn severity(modifiers: &str, kind: Dbf) -> LinkSeverity {
    let found = [
        ("NMS", LinkSeverity::Ignore),
        ("MSI", LinkSeverity::Invalid),
        ("MSS", LinkSeverity::Status),
        ("MS", LinkSeverity::Maximize),
    ];
    let found = found.iter().find(|(name, _)| modifiers.contains(name));
    match kind {
        Dbf::FwdLink => LinkSeverity::Ignore,
        _ => found.map_or(LinkSeverity::Ignore, |&(_, found)| found),
    }
}

impl fmt::Display for Link {
    /// As a client reads it (`dbGetString` of EPICS Base).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(text) | Self::Json(text) | Self::Hardware(text) => f.write_str(text),
            Self::Pv(link) => link.fmt(f),
        }
    }
}

impl fmt::Display for PvLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        if self.kind == Dbf::FwdLink {
            return f.write_str(if self.process == LinkProcess::Ca {
                " CA"
            } else {
                ""
            });
        }
        f.write_str(match self.process {
            LinkProcess::No => " NPP",
            LinkProcess::Passive => " PP",
            LinkProcess::Ca => " CA",
            LinkProcess::Change => " CP",
            LinkProcess::ChangeIfPassive => " CPP",
        })?;
        f.write_str(match self.severity {
            LinkSeverity::Ignore => " NMS",
            LinkSeverity::Maximize => " MS",
            LinkSeverity::Invalid => " MSI",
            LinkSeverity::Status => " MSS",
        })
    }
}

saved!(enum Link { 0 Constant(text), 1 Pv(link), 2 Json(text), 3 Hardware(text) });
saved!(struct PvLink { target, process, severity, kind, to, part });
saved!(struct Part { characters, range });
saved!(enum LinkTo { 0 Unknown, 1 Local(record: id, field), 2 Remote });
saved!(enum LinkProcess { 0 No, 1 Passive, 2 Ca, 3 Change, 4 ChangeIfPassive });
saved!(enum LinkSeverity { 0 Ignore, 1 Maximize, 2 Invalid, 3 Status });

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, kind: Dbf) -> String {
        Link::parse(text, kind).unwrap().to_string()
    }

    #[test]
    fn a_link_is_shown_with_its_modifiers() {
        assert_eq!(shown(" a.VAL  CP MS", Dbf::InLink), "a.VAL CP MS");
        assert_eq!(shown("a", Dbf::InLink), "a NPP NMS");
        assert_eq!(shown("a QQCPPXMSITT", Dbf::InLink), "a CPP MSI");
        assert_eq!(shown("a CP MSS", Dbf::OutLink), "a NPP MSS");
        assert_eq!(shown("a PP MS", Dbf::FwdLink), "a");
        assert_eq!(shown("a.PROC CA", Dbf::FwdLink), "a.PROC CA");
        assert_eq!(shown(" 1.5 ", Dbf::InLink), "1.5");
        assert_eq!(shown("@asyn(A,0)X", Dbf::InLink), "@asyn(A,0)X");
    }

    #[test]
    fn numbers_and_arrays_are_constants() {
        for constant in ["", "0", "-1e3", "0x1F", "[1,2]", "nan", "+.5"] {
            assert!(
                Link::parse(constant, Dbf::InLink).unwrap().is_constant(),
                "{constant}"
            );
        }
        for link in ["1a", "a", "0x", "- 1"] {
            assert!(
                !Link::parse(link, Dbf::InLink).unwrap().is_constant(),
                "{link}"
            );
        }
        assert_eq!(Link::parse("# 1", Dbf::InLink), Err(LinkError::Hardware));
    }
}
