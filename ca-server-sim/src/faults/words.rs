//! Lines of faults.

use std::fmt;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::dbr::NativeType;
use ca_proto::wire::Command;

use super::{Fault, FaultError, FaultKind, Pattern};
use crate::slip::nearest;
use crate::state::codec::{Broken, Reader, Saved, Writer, saved};

/// Longest time that a line may name: a year.
const LONGEST: f64 = 366.0 * 86_400.0;
/// Elements of a PV that changes its type, at most.
const MAX_COUNT: u32 = 10_000_000;
/// Copies of a message, and beacons of a burst, at most.
const MAX_COPIES: u32 = 100;
const MAX_SERVERS: u32 = 1000;
/// Shortest time between two bursts, or two noises.
const MIN_EVERY: Duration = Duration::from_millis(1);

/// What a line asks for.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Order {
    /// A fault begins.
    Begin(Fault),
    /// Faults end: the one with this number, all, or those of a word and perhaps a PV.
    End(Which),
    /// The faults that are on.
    List,
}

/// Which faults end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Which {
    /// All.
    All,
    /// The one with this number.
    Id(u32),
    /// Those of this word, of this PV if one is named.
    Kind(&'static str, Option<String>),
}

saved!(enum Order { 0 Begin(fault), 1 End(which), 2 List });

impl Saved for Which {
    fn save(&self, to: &mut Writer) {
        match self {
            Self::All => to.bytes.push(0),
            Self::Id(id) => {
                to.bytes.push(1);
                id.save(to);
            }
            Self::Kind(word, pv) => {
                to.bytes.push(2);
                to.text(word.as_bytes());
                pv.save(to);
            }
        }
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok(match from.byte()? {
            0 => Self::All,
            1 => Self::Id(u32::load(from)?),
            2 => {
                let text = from.text()?;
                let word = WORDS.iter().find(|(word, ..)| word.as_bytes() == text);
                let (word, ..) = word.ok_or_else(|| from.broken("it has an unknown fault"))?;
                Self::Kind(word, Option::load(from)?)
            }
            _ => return Err(from.broken("it has an unknown kind of order")),
        })
    }
}

/// How a fault relates to a PV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    Pv,
    Messages,
    Links,
    Ioc,
}

const WORDS: &[(&str, Of, &[&str])] = &[
    ("drop", Of::Messages, &[]),
    ("delay", Of::Messages, &["by", "jitter"]),
    ("duplicate", Of::Messages, &["copies"]),
    ("cut", Of::Messages, &["bytes"]),
    ("slow", Of::Pv, &["by"]),
    ("never", Of::Pv, &[]),
    ("stall", Of::Links, &[]),
    ("half-open", Of::Links, &[]),
    ("refuse", Of::Links, &[]),
    ("stuck", Of::Pv, &[]),
    ("freeze", Of::Pv, &[]),
    ("noise", Of::Pv, &["by", "every"]),
    ("offline", Of::Pv, &[]),
    ("rights", Of::Pv, &[]),
    ("type", Of::Pv, &["count"]),
    ("twin", Of::Pv, &["to"]),
    ("silence", Of::Ioc, &[]),
    ("storm", Of::Ioc, &["every", "servers", "to"]),
    ("clock", Of::Ioc, &["by"]),
    ("reboot", Of::Ioc, &["by"]),
];

const OF_MESSAGES: &[&str] = &["on", "probability", "after", "times"];
const RIGHTS: &[(&str, AccessRights)] = &[
    ("none", AccessRights::NONE),
    ("read", AccessRights::READ),
    ("write", AccessRights::WRITE),
    ("read-write", AccessRights::ALL),
];
const TYPES: &[(&str, NativeType)] = &[
    ("string", NativeType::String),
    ("short", NativeType::Short),
    ("float", NativeType::Float),
    ("enum", NativeType::Enum),
    ("char", NativeType::Char),
    ("long", NativeType::Long),
    ("double", NativeType::Double),
];

pub(super) fn rights(rights: AccessRights) -> &'static str {
    let bits = rights.bits() & AccessRights::ALL.bits();
    let found = RIGHTS.iter().find(|(_, known)| known.bits() == bits);
    found.map_or("none", |(word, _)| word)
}

pub(super) fn native(native: NativeType) -> &'static str {
    let found = TYPES.iter().find(|(_, known)| *known == native);
    found.map_or("double", |(word, _)| word)
}

/// A word of a line with its column.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    text: &'a str,
    column: usize,
}

impl Word<'_> {
    fn wrong<T>(self, what: impl Into<String>) -> Result<T, FaultError> {
        Err(FaultError::new(self.column, what))
    }
}

fn words(line: &str) -> Vec<Word<'_>> {
    let start = line.as_ptr() as usize;
    let words = line.split_ascii_whitespace();
    words
        .map(|text| {
            let byte = text.as_ptr() as usize - start;
            let before = line.get(..byte).unwrap_or_default();
            let column = before.chars().count() + 1;
            Word { text, column }
        })
        .collect()
}

fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let near = nearest(given, known.iter().copied());
    let remedy = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    format!("there is no {what} `{given}`; {remedy}")
}

impl Order {
    /// An order from a line: a fault that begins, `off …` or `list`.
    ///
    /// # Errors
    /// [`FaultError`] with the column.
    pub fn parse(line: &str) -> Result<Self, FaultError> {
        let words = words(line);
        let Some((first, rest)) = words.split_first() else {
            return Err(FaultError::new(
                1,
                "name a fault, such as: stuck PV for 10s",
            ));
        };
        match (first.text, rest) {
            ("list", []) => Ok(Self::List),
            ("off", rest) => off(*first, rest).map(Self::End),
            _ => Line::new(*first)?.fault(rest).map(Self::Begin),
        }
    }
}

impl Fault {
    /// A fault from a line, as [`Order::parse`].
    ///
    /// # Errors
    /// [`FaultError`] with the column.
    pub fn parse(line: &str) -> Result<Self, FaultError> {
        match Order::parse(line)? {
            Order::Begin(fault) => Ok(fault),
            _ => Err(FaultError::new(1, "here a fault begins, and none ends")),
        }
    }
}

fn off(off: Word<'_>, rest: &[Word<'_>]) -> Result<Which, FaultError> {
    let (what, pv) = match rest {
        [what] => (*what, None),
        [what, pv] => (*what, Some(pv.text.to_owned())),
        [_, _, more, ..] => return more.wrong("nothing stands behind the PV here"),
        [] => return off.wrong("say which: off all, off 3, off stuck, off stuck PV"),
    };
    if let (Ok(id), None) = (what.text.parse(), &pv) {
        return Ok(Which::Id(id));
    }
    if what.text == "all" {
        return Ok(Which::All);
    }
    let known = WORDS.iter().find(|(word, ..)| *word == what.text);
    match known {
        Some((word, ..)) => Ok(Which::Kind(word, pv)),
        None => what.wrong(unknown("fault", what.text, &all_words())),
    }
}

fn all_words() -> Vec<&'static str> {
    WORDS.iter().map(|(word, ..)| *word).collect()
}

/// A line that is being read.
struct Line {
    first: usize,
    word: &'static str,
    of: Of,
    keys: &'static [&'static str],
    by: Option<(f64, usize)>,
    time: Option<Duration>,
    jitter: Duration,
    every: Option<Duration>,
    to: Option<std::net::SocketAddrV4>,
    number: Option<u32>,
    positional: Option<Positional>,
}

enum Positional {
    Rights(AccessRights),
    Type(NativeType),
}

impl Line {
    fn new(first: Word<'_>) -> Result<Self, FaultError> {
        let known = WORDS.iter().find(|(word, ..)| *word == first.text);
        let Some(&(word, of, keys)) = known else {
            return first.wrong(unknown("fault", first.text, &all_words()));
        };
        Ok(Self {
            first: first.column,
            word,
            of,
            keys,
            by: None,
            time: None,
            jitter: Duration::ZERO,
            every: None,
            to: None,
            number: None,
            positional: None,
        })
    }

    /// Keys that the fault takes.
    fn allowed(&self) -> Vec<&'static str> {
        let mut keys = self.keys.to_vec();
        keys.push("for");
        if matches!(self.of, Of::Messages) || matches!(self.word, "slow" | "never") {
            keys.extend(OF_MESSAGES);
        }
        if !matches!(self.of, Of::Ioc)
            && !matches!(
                self.word,
                "stuck" | "freeze" | "noise" | "offline" | "rights" | "type" | "twin"
            )
        {
            keys.push("client");
        }
        if self.word == "type" {
            keys.retain(|key| *key != "for");
        }
        keys
    }

    fn fault(mut self, mut rest: &[Word<'_>]) -> Result<Fault, FaultError> {
        let mut fault = Fault::new(FaultKind::Drop);
        let allowed = self.allowed();
        if matches!(self.of, Of::Pv | Of::Messages)
            && let Some((pv, behind)) = rest.split_first()
            && !allowed.contains(&pv.text)
        {
            fault.pv = Some(Pattern::new(pv.text));
            rest = behind;
        }
        if self.of == Of::Pv && fault.pv.is_none() {
            let what = format!("name the PV: {} PV", self.word);
            return Err(FaultError::new(self.first, what));
        }
        rest = self.positional(rest)?;
        while let Some((key, behind)) = rest.split_first() {
            if !allowed.contains(&key.text) {
                let what = format!("key of `{}`", self.word);
                return key.wrong(unknown(&what, key.text, &allowed));
            }
            let Some((value, behind)) = behind.split_first() else {
                return key.wrong(format!("`{}` wants a value behind it", key.text));
            };
            self.key(&mut fault, *key, *value)?;
            rest = behind;
        }
        fault.kind = self.kind()?;
        Ok(fault)
    }

    fn positional<'w, 'a>(&mut self, rest: &'w [Word<'a>]) -> Result<&'w [Word<'a>], FaultError> {
        let (known, what): (Vec<&str>, _) = match self.word {
            "rights" => (RIGHTS.iter().map(|(word, _)| *word).collect(), "rights"),
            "type" => (TYPES.iter().map(|(word, _)| *word).collect(), "type"),
            _ => return Ok(rest),
        };
        let Some((word, behind)) = rest.split_first() else {
            let what = format!("behind the PV there is one of {}", known.join(", "));
            return Err(FaultError::new(self.first, what));
        };
        let rights = RIGHTS.iter().find(|(known, _)| *known == word.text);
        let native = TYPES.iter().find(|(known, _)| *known == word.text);
        self.positional = match (self.word, rights, native) {
            ("rights", Some((_, rights)), _) => Some(Positional::Rights(*rights)),
            ("type", _, Some((_, native))) => Some(Positional::Type(*native)),
            _ => return word.wrong(unknown(what, word.text, &known)),
        };
        Ok(behind)
    }

    fn key(&mut self, fault: &mut Fault, key: Word<'_>, value: Word<'_>) -> Result<(), FaultError> {
        match key.text {
            "by" if matches!(self.word, "noise") => {
                self.by = Some((number(value, 0.0..=f64::MAX)?, value.column));
            }
            "by" if self.word == "clock" => {
                let (sign, text) = match value.text.strip_prefix('-') {
                    Some(text) => (-1.0, text),
                    None => (1.0, value.text.strip_prefix('+').unwrap_or(value.text)),
                };
                let time = time(Word { text, ..value })?;
                self.by = Some((sign * time.as_secs_f64(), value.column));
            }
            "by" => self.time = Some(time(value)?),
            "jitter" => self.jitter = time(value)?,
            "every" => {
                let every = time(value)?;
                if every < MIN_EVERY {
                    return value.wrong("that is too often: at least 1ms");
                }
                self.every = Some(every);
            }
            "for" => fault.lasts = Some(time(value)?),
            "to" => match value.text.parse() {
                Ok(to) => self.to = Some(to),
                Err(_) => return value.wrong("give an address with its port: 127.0.0.1:5064"),
            },
            "copies" => self.number = Some(whole(value, 1, MAX_COPIES)?),
            "servers" => self.number = Some(whole(value, 1, MAX_SERVERS)?),
            "bytes" => self.number = Some(whole(value, 0, u32::MAX)?),
            "count" => self.number = Some(whole(value, 1, MAX_COUNT)?),
            "client" => fault.client = Some(Pattern::new(value.text)),
            "probability" => fault.probability = number(value, 0.0..=1.0)?,
            "after" => fault.after = whole(value, 0, u32::MAX)?.into(),
            "times" => fault.times = Some(whole(value, 1, u32::MAX)?.into()),
            _ => fault.on = Some(command(value)?),
        }
        Ok(())
    }

    fn kind(&self) -> Result<FaultKind, FaultError> {
        let missing =
            |what: &str| FaultError::new(self.first, format!("`{}` wants {what}", self.word));
        let by = || self.time.ok_or_else(|| missing("a time: by 200ms"));
        Ok(match self.word {
            "delay" => FaultKind::Delay {
                by: by()?,
                jitter: self.jitter,
            },
            "duplicate" => FaultKind::Duplicate {
                copies: self.number.unwrap_or(1),
            },
            "cut" => FaultKind::Cut {
                bytes: self.number.unwrap_or(8),
            },
            "slow" => FaultKind::Slow { by: by()? },
            "never" => FaultKind::Never,
            "stall" => FaultKind::Stall,
            "half-open" => FaultKind::HalfOpen,
            "refuse" => FaultKind::Refuse,
            "stuck" => FaultKind::Stuck,
            "freeze" => FaultKind::Freeze,
            "noise" => FaultKind::Noise {
                by: self.by.ok_or_else(|| missing("its size: by 0.1"))?.0,
                every: self.every.unwrap_or(Duration::from_millis(100)),
            },
            "offline" => FaultKind::Offline,
            "rights" | "type" => match self.positional {
                Some(Positional::Rights(rights)) => FaultKind::Rights(rights),
                Some(Positional::Type(native)) => FaultKind::Type {
                    native,
                    count: self.number.unwrap_or(1),
                },
                None => return Err(missing("a word behind the PV")),
            },
            "twin" => FaultKind::Twin { to: self.to },
            "silence" => FaultKind::Silence,
            "storm" => FaultKind::Storm {
                every: self.every.unwrap_or(Duration::from_millis(100)),
                servers: self.number.unwrap_or(1) as u16,
                to: self.to,
            },
            "clock" => {
                let (seconds, _) = self.by.ok_or_else(|| missing("a time: by -1h"))?;
                let nanos = (seconds * 1e9) as i64;
                FaultKind::Clock { nanos }
            }
            "reboot" => FaultKind::Reboot { by: by()? },
            _ => FaultKind::Drop,
        })
    }
}

fn command(word: Word<'_>) -> Result<Command, FaultError> {
    let name = |command: &Command| command.to_string().to_lowercase();
    let known: Vec<String> = Command::ALL.iter().map(name).collect();
    match known.iter().position(|name| name == word.text) {
        Some(at) => Ok(Command::ALL[at]),
        None => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            word.wrong(unknown("command", word.text, &known))
        }
    }
}

fn whole(word: Word<'_>, least: u32, most: u32) -> Result<u32, FaultError> {
    match word.text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => word.wrong(format!(
            "`{}` is no whole number from {least} to {most}",
            word.text
        )),
    }
}

fn number(word: Word<'_>, within: std::ops::RangeInclusive<f64>) -> Result<f64, FaultError> {
    match word.text.parse() {
        Ok(number) if within.contains(&number) => Ok(number),
        _ => word.wrong(format!(
            "`{}` is no number from {} to {}",
            word.text,
            within.start(),
            within.end()
        )),
    }
}

/// Units of a time, in seconds. Longer ones first, as `m` is the end of none.
const UNITS: &[(&str, f64)] = &[
    ("ms", 1e-3),
    ("us", 1e-6),
    ("min", 60.0),
    ("h", 3600.0),
    ("s", 1.0),
];

/// `200ms`, `1.5s`, `2min`, `1h`.
fn time(word: Word<'_>) -> Result<Duration, FaultError> {
    let wrong = || {
        let what = format!(
            "`{}` is no time; give one as 200ms, 1.5s, 2min or 1h",
            word.text
        );
        FaultError::new(word.column, what)
    };
    let unit = UNITS.iter().find_map(|(unit, seconds)| {
        let digits = word.text.strip_suffix(unit)?;
        Some((digits, seconds))
    });
    let (digits, seconds) = unit.ok_or_else(wrong)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = digits.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
    match number * seconds {
        seconds if seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        _ => word.wrong("a year is the longest time"),
    }
}

/// A time from a word of its own, for scripts.
pub(super) fn time_at(text: &str, column: usize) -> Result<Duration, FaultError> {
    time(Word { text, column })
}

/// A time as lines have it.
pub(super) struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (number, unit) = match seconds {
            s if s >= 3600.0 && s % 3600.0 == 0.0 => (s / 3600.0, "h"),
            s if s >= 1.0 || s == 0.0 => (s, "s"),
            s if s >= 1e-3 => (s * 1e3, "ms"),
            s => (s * 1e6, "us"),
        };
        // Not more digits than a nanosecond has.
        let text = format!("{number:.9}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{text}{unit}")
    }
}
