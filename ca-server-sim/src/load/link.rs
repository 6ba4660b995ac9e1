//! Links as files write them (`dbParseLink` and `dbJLinkParse` of EPICS Base).

use super::dbd::{Dbd, FieldType, LinkType};
use super::json::{self, Json};
use super::number;
use super::source::shown;
use super::value::{closest, did_you_mean};
use crate::calc::{CalcError, Expression};

/// A link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link<'a> {
    /// A number, a list of numbers or texts, or nothing.
    Constant(&'a [u8]),
    /// Another record's field, in this IOC or another.
    Pv {
        /// Name of a record, with or without its field.
        target: &'a [u8],
        /// How it is processed.
        process: Process,
        /// How alarms follow.
        severity: Severity,
    },
    /// An object of JSON5.
    Json(&'a [u8]),
    /// `@text`: what a device makes of it.
    Instrument(&'a [u8]),
    /// `#C0 S1 @text`: an address of hardware.
    Hardware(LinkType, &'a [u8]),
}

/// Which record is processed with a link, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Process {
    /// None (`NPP`).
    #[default]
    No,
    /// The other one, if it is passive (`PP`).
    Passive,
    /// None; the link goes through Channel Access even in the same IOC (`CA`).
    Ca,
    /// This one, whenever the other changes (`CP`).
    OnChange,
    /// This one if it is passive, whenever the other changes (`CPP`).
    OnChangeIfPassive,
}

/// Which alarms of the other record this one takes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Severity {
    /// None (`NMS`).
    #[default]
    No,
    /// Its severity (`MS`).
    Always,
    /// Its severity if it is `INVALID` (`MSI`).
    IfInvalid,
    /// Its severity, status and message (`MSS`).
    WithStatus,
}

/// Why a text is no link.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkProblem {
    /// The address of hardware is none.
    Address,
    /// It is not JSON: what, and at which byte.
    Json(json::JsonError),
    /// There is no JSON link of this name.
    UnknownJson(String),
    /// The JSON link is not written as it should be.
    JsonLink(String),
    /// The expression of the JSON link is none.
    Calc(CalcError),
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trimmed(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !is_blank(byte))
        .map_or(start, |end| end + 1);
    &text[start..end]
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

impl<'a> Link<'a> {
    /// Tells which kind of link a text is. Nothing else is checked of JSON.
    ///
    /// # Errors
    /// If it is the address of hardware that there is not.
    pub fn parse(text: &'a [u8], kind: FieldType) -> Result<Self, LinkProblem> {
        let text = trimmed(text);
        match text {
            [] => Ok(Self::Constant(text)),
            [b'@', rest @ ..] => Ok(Self::Instrument(rest)),
            [b'{', .., b'}'] => Ok(Self::Json(text)),
            [b'#', ..] => hardware(text),
            [b'[', .., b']'] => Ok(Self::Constant(text)),
            _ if number::real(text).is_ok() => Ok(Self::Constant(text)),
            _ => Ok(Self::pv(text, kind)),
        }
    }

    /// A PV, and words behind the first blank. The reference looks for them anywhere, and leaves others out.
    fn pv(text: &'a [u8], kind: FieldType) -> Self {
        let blank = text.iter().position(|&byte| byte == b' ');
        let (target, words) = text.split_at(blank.unwrap_or(text.len()));
        let process = match words {
            _ if has(words, b"NPP") => Process::No,
            _ if has(words, b"CPP") => Process::OnChangeIfPassive,
            _ if has(words, b"PP") => Process::Passive,
            _ if has(words, b"CA") => Process::Ca,
            _ if has(words, b"CP") => Process::OnChange,
            _ => Process::No,
        };
        let severity = match words {
            _ if has(words, b"NMS") => Severity::No,
            _ if has(words, b"MSI") => Severity::IfInvalid,
            _ if has(words, b"MSS") => Severity::WithStatus,
            _ if has(words, b"MS") => Severity::Always,
            _ => Severity::No,
        };
        let (process, severity) = match (kind, process) {
            (FieldType::OutLink, Process::OnChangeIfPassive) => (Process::No, severity),
            (FieldType::FwdLink, Process::Ca) => (Process::Ca, Severity::No),
            (FieldType::FwdLink, _) => (Process::No, Severity::No),
            (_, process) => (process, severity),
        };
        Self::Pv {
            target,
            process,
            severity,
        }
    }

    /// How the link is written, as devices name it.
    pub const fn link_type(&self) -> LinkType {
        match self {
            Self::Constant(_) => LinkType::Constant,
            Self::Pv { .. } => LinkType::Pv,
            Self::Json(_) => LinkType::Json,
            Self::Instrument(_) => LinkType::InstIo,
            Self::Hardware(kind, _) => *kind,
        }
    }

    /// Checks what [`parse`](Self::parse) does not look at.
    ///
    /// # Errors
    /// If JSON is not written as it should be.
    pub(super) fn check(&self, dbd: &Dbd, kind: FieldType) -> Result<(), LinkProblem> {
        match self {
            Self::Json(text) => {
                let value = json::parse(text).map_err(LinkProblem::Json)?;
                json_link(dbd, &value, kind)
            }
            _ => Ok(()),
        }
    }

    /// What is odd about a link that is taken.
    pub(super) fn odd(&self, dbd: &Dbd, kind: FieldType) -> Option<(String, String)> {
        match self {
            Self::Json(text) => {
                let foreign = json::parse(text)
                    .ok()
                    .and_then(|value| foreign(dbd, &value))?;
                let message = format!("links of type `{foreign}` are not served; the link is dead");
                Some((message, String::new()))
            }
            Self::Pv { target, .. } => {
                let trimmed = &target[..];
                let at = trimmed.iter().position(is_blank)?;
                let message = format!(
                    "the words behind `{}` are not parted from it by a blank, and belong to the name",
                    shown(&trimmed[..at])
                );
                let _ = kind;
                Some((message, "write a blank in place of the tab".into()))
            }
            _ => None,
        }
    }
}

/// Link types of modules that other servers have, which a file may use without being wrong.
const FOREIGN: &[&str] = &["pva"];

fn foreign(dbd: &Dbd, value: &Json) -> Option<String> {
    match value {
        Json::Object(members) => members.iter().find_map(|(name, value)| {
            let known = dbd.links.contains_key(name.as_str());
            match !known && FOREIGN.contains(&name.as_str()) {
                true => Some(name.clone()),
                false => foreign(dbd, value),
            }
        }),
        Json::Array(values) => values.iter().find_map(|value| foreign(dbd, value)),
        _ => None,
    }
}

/// `# C0 S1 @text`: pairs of a letter and a number.
fn hardware(text: &[u8]) -> Result<Link<'_>, LinkProblem> {
    let at = text.iter().position(|&byte| byte == b'@');
    let (address, parameter) = match at {
        Some(at) => (&text[1..at], Some(&text[at + 1..])),
        None => (&text[1..], None),
    };
    let mut letters = Vec::new();
    let mut rest = trimmed(address);
    while let Some((&letter, behind)) = rest.split_first() {
        let behind = trimmed(behind);
        let length = number_length(behind);
        if length == 0 || letters.len() == 5 {
            return Err(LinkProblem::Address);
        }
        letters.push(letter);
        rest = trimmed(&behind[length..]);
    }
    let kind = match &*letters {
        b"CS" => LinkType::VmeIo,
        b"BCN" | b"BCNA" | b"BCNF" | b"BCNAF" => LinkType::CamacIo,
        b"RMDE" => LinkType::RfIo,
        b"LACS" => LinkType::AbIo,
        b"LA" => LinkType::GpibIo,
        b"LNPS" => LinkType::BitbusIo,
        b"LBG" => LinkType::BbGpibIo,
        b"VCS" | b"VS" => LinkType::VxiIo,
        _ => return Err(LinkProblem::Address),
    };
    match (kind, parameter) {
        (LinkType::RfIo, Some(_)) => Err(LinkProblem::Address),
        _ => Ok(Link::Hardware(kind, text)),
    }
}

/// Bytes of the integer at the beginning (`scanf` with `%i`).
fn number_length(text: &[u8]) -> usize {
    let signs = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let body = &text[signs..];
    let count = |text: &[u8], is: fn(&u8) -> bool| text.iter().take_while(|byte| is(byte)).count();
    let digits = match body {
        [b'0', b'x' | b'X', hex @ ..] if hex.first().is_some_and(u8::is_ascii_hexdigit) => {
            2 + count(hex, u8::is_ascii_hexdigit)
        }
        [b'0', ..] => count(body, |byte| matches!(byte, b'0'..=b'7')),
        _ => count(body, u8::is_ascii_digit),
    };
    match digits {
        0 => 0,
        digits => signs + digits,
    }
}

/// Checks the one member of an object that is a link: its name is the type of the link.
fn json_link(dbd: &Dbd, value: &Json, kind: FieldType) -> Result<(), LinkProblem> {
    let Json::Object(members) = value else {
        return Err(LinkProblem::JsonLink("a JSON link is an object".into()));
    };
    let [(name, value), more @ ..] = members.as_slice() else {
        // The reference takes it for a link that leads nowhere.
        return Ok(());
    };
    if let Some((second, _)) = more.first() {
        let message = format!(
            "a JSON link has one type; `{}` is a second one",
            shown(second.as_bytes())
        );
        return Err(LinkProblem::JsonLink(message));
    }
    let wrong = |message: String| Err(LinkProblem::JsonLink(message));
    let (input, forward) = (kind == FieldType::InLink, kind == FieldType::FwdLink);
    // Only what is known of the reference's own; a site's own are its own matter.
    match name.as_str() {
        _ if !dbd.links.contains_key(name.as_str()) => match FOREIGN.contains(&name.as_str()) {
            true => Ok(()),
            false => Err(LinkProblem::UnknownJson(name.clone())),
        },
        "const" if !input => wrong("a `const` link can be read only".into()),
        "const" => constant(value).or_else(|message| wrong(message.into())),
        "state" if forward => wrong("a `state` link cannot be a forward link".into()),
        "state" => match value {
            Json::Text(_) => Ok(()),
            _ => wrong("a `state` link is the name of a state, in quotes".into()),
        },
        "calc" if forward => wrong("a `calc` link cannot be a forward link".into()),
        "calc" => calc(dbd, value, kind),
        // What they look into is taken for an output, unless it is an input.
        "debug" | "trace" if forward => json_link(dbd, value, FieldType::OutLink),
        "debug" | "trace" => json_link(dbd, value, kind),
        _ => Ok(()),
    }
}

/// Numbers, texts, or a list of either.
fn constant(value: &Json) -> Result<(), &'static str> {
    let is_number =
        |value: &Json| matches!(value, Json::Integer(_) | Json::Real(_) | Json::Bool(_));
    match value {
        Json::Array(values) => {
            let numbers = values.iter().filter(|value| is_number(value)).count();
            let texts = values
                .iter()
                .filter(|value| matches!(value, Json::Text(_)))
                .count();
            match numbers == values.len() || texts == values.len() {
                true => Ok(()),
                false => Err("a list of a `const` link has numbers only, or texts only"),
            }
        }
        Json::Text(_) => Ok(()),
        value if is_number(value) => Ok(()),
        _ => Err("a `const` link has a number, a text, or a list of them"),
    }
}

/// `{expr:"A+B", args:[…], …}`.
fn calc(dbd: &Dbd, value: &Json, kind: FieldType) -> Result<(), LinkProblem> {
    const KEYS: &[&str] = &[
        "expr", "args", "out", "major", "minor", "prec", "time", "units",
    ];
    /// Numbers and links that an expression has for its letters.
    const MOST: usize = crate::calc::ARGUMENTS;
    let wrong = |message: String| Err(LinkProblem::JsonLink(message));
    let Json::Object(members) = value else {
        return wrong("a `calc` link is an object: {expr:\"A+B\", args:[…]}".into());
    };
    let mut seen: Vec<&str> = Vec::new();
    for (key, value) in members {
        let key = key.as_str();
        let may_repeat = matches!(key, "prec" | "time");
        if seen.contains(&key) && !may_repeat {
            return wrong(format!("`{key}` is twice in a `calc` link"));
        }
        seen.push(key);
        match (key, value) {
            ("expr" | "major" | "minor", Json::Text(text)) => {
                Expression::parse(text).map_err(LinkProblem::Calc)?;
            }
            ("args", Json::Array(values)) => {
                if values.len() > MOST {
                    return wrong(format!("a `calc` link has {MOST} arguments at most"));
                }
                for value in values {
                    match value {
                        Json::Integer(_) | Json::Real(_) => {}
                        Json::Object(_) => json_link(dbd, value, FieldType::InLink)?,
                        _ => {
                            return wrong(
                                "an argument of a `calc` link is a number or a link".into(),
                            );
                        }
                    }
                }
            }
            // One argument needs no list.
            ("args", Json::Integer(_) | Json::Real(_)) => {}
            ("args", Json::Object(_)) => json_link(dbd, value, FieldType::InLink)?,
            ("out", Json::Object(_)) if kind == FieldType::OutLink => json_link(dbd, value, kind)?,
            ("prec", Json::Integer(_)) | ("units", Json::Text(_)) => {}
            ("time", Json::Text(text))
                if matches!(text.as_slice(), [b'A'..=b'U' | b'a'..=b'u']) => {}
            ("out", Json::Object(_)) => return wrong("only an output link has `out`".into()),
            _ if KEYS.contains(&key) => {
                return wrong(format!("`{key}` of a `calc` link has a value that is none"));
            }
            _ => {
                let near = did_you_mean(closest(key, KEYS.iter().copied()));
                return wrong(format!(
                    "a `calc` link has no `{}`; {near}",
                    shown(key.as_bytes())
                ));
            }
        }
    }
    match kind {
        FieldType::InLink if !seen.contains(&"expr") => wrong("a `calc` link needs `expr`".into()),
        FieldType::OutLink if !seen.contains(&"out") => {
            wrong("a `calc` link to write to needs `out`".into())
        }
        _ => Ok(()),
    }
}

impl LinkProblem {
    /// Message and remedy.
    pub(super) fn told(&self, dbd: &Dbd, text: &[u8]) -> (String, String) {
        match self {
            Self::Address => (
                format!("`{}` is no address of hardware", shown(text)),
                "such as #C0 S1 @text, with letters as the bus has them".into(),
            ),
            Self::Json(error) => (format!("the link is not JSON: {error}"), String::new()),
            Self::UnknownJson(name) => {
                let known: Vec<&str> = dbd.links.keys().map(|name| &**name).collect();
                let remedy = match closest(name, known.iter().copied()) {
                    Some(near) => did_you_mean(Some(near)),
                    None => "a `.dbd` file names others: link(NAME, SUPPORT)".into(),
                };
                (
                    format!("there is no type of link `{}`", shown(name.as_bytes())),
                    remedy,
                )
            }
            Self::JsonLink(message) => (message.clone(), String::new()),
            Self::Calc(error) => (
                format!("the link has no expression: {error}"),
                String::new(),
            ),
        }
    }
}
