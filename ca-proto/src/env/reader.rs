//! Look-up of single variables: the reference's reading, and a warning for what cannot be meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::time::Duration;

use nom::branch::alt;
use nom::character::complete::{char, digit1, multispace0};
use nom::combinator::{all_consuming, opt};
use nom::error::Error;
use nom::sequence::delimited;
use nom::{IResult, Parser};

use super::{Setting, Warning};
use crate::addr_list::AddrList;
use crate::config::MIN_SEARCH_PERIOD;
use crate::text::Plain;
use crate::text::parse::{Base, ParseNumberError, parse_signed, strtod};

/// Default of EPICS_CA_MAX_ARRAY_BYTES, also the size every message may have.
const MAX_ARRAY_BYTES: u32 = 16_384;
/// Shortest period that may be set; the manual of the reference (CAref, EPICS_CA_CONN_TMO) says that
/// the value must exceed it. Keeps a mistaken value from making a program busy.
const MIN_PERIOD: Duration = Duration::from_millis(100);
/// Longest period that may be set, a year: who writes more means something else.
const MAX_PERIOD: Duration = Duration::from_secs(366 * 24 * 3600);
/// Bytes of a value that a warning shows.
const MAX_SHOWN: usize = 80;

/// What to write for a period.
const PERIOD: &str = "a number of seconds from 0.1 to 31622400";
/// What to write for a switch.
const YES_OR_NO: &str = "YES or NO";

/// Why a number could not be had.
enum Unusable {
    Empty,
    NotANumber,
    OutOfRange,
}

impl Unusable {
    const fn why(&self, thing: &'static str) -> &'static str {
        match self {
            Self::Empty => "no value",
            Self::NotANumber => thing,
            Self::OutOfRange => "out of range",
        }
    }
}

/// Looks variables up and collects messages.
pub(super) struct Reader<'a, F> {
    env: &'a F,
    pub(super) warnings: Vec<Warning>,
}

impl<'a, F: Fn(&str) -> Option<String>> Reader<'a, F> {
    pub(super) const fn new(env: &'a F) -> Self {
        Self {
            env,
            warnings: Vec::new(),
        }
    }

    /// `VARIABLE is `value`, which is WHY; USED is used; write REMEDY`.
    fn warn(
        &mut self,
        variable: &'static str,
        why: &str,
        used: impl Display,
        remedy: impl Display,
    ) {
        let value = (self.env)(variable).unwrap_or_default();
        let is = match value.as_str() {
            "" => String::from("is empty"),
            text => {
                let cut = cut(text, MAX_SHOWN);
                let more = if cut.len() < text.len() { "…" } else { "" };
                format!("is `{}{more}`, which is {why}", Plain(cut))
            }
        };
        self.warnings.push(Warning {
            variable,
            text: format!("{variable} {is}; {used} is used; write {remedy}"),
        });
    }

    fn has_value(&self, variable: &str) -> bool {
        (self.env)(variable).is_some_and(|text| !text.is_empty())
    }

    /// Default port of `list` entries is `port`. Unset and empty both give the empty list.
    pub(super) fn list(&self, variable: &'static str, port: u16) -> Setting<AddrList> {
        match (self.env)(variable) {
            Some(text) => Setting::environment(variable, AddrList::parse(&text, port)),
            None => Setting::default(variable, AddrList::default()),
        }
    }

    /// True unless the first 31 characters contain `no` or `NO`.
    pub(super) fn contains_no(&mut self, variable: &'static str) -> Setting<bool> {
        const MAX_LEN: usize = 31;
        let Some(text) = (self.env)(variable) else {
            return Setting::default(variable, true);
        };
        let no = cut(&text, MAX_LEN)
            .windows(2)
            .any(|w| w == b"no" || w == b"NO");
        if no && !matches!(text.as_str(), "no" | "NO") {
            self.warn(
                variable,
                "read as NO, because it contains that",
                "NO",
                YES_OR_NO,
            );
        } else if text.eq_ignore_ascii_case("no") && !no {
            self.warn(
                variable,
                "read as YES, as only `no` and `NO` mean no",
                "YES",
                YES_OR_NO,
            );
        } else if !no && !is_blank_or(&text, "yes") {
            self.warn(variable, "neither YES nor NO", "YES", YES_OR_NO);
        }
        Setting::environment(variable, !no)
    }

    /// True for `yes` without regard to case and if there is no value.
    pub(super) fn yes(&mut self, variable: &'static str) -> Setting<bool> {
        match (self.env)(variable) {
            Some(text) if !text.is_empty() => {
                let yes = text.eq_ignore_ascii_case("yes");
                if !yes && !text.eq_ignore_ascii_case("no") {
                    self.warn(variable, "neither YES nor NO", "NO", YES_OR_NO);
                }
                Setting::environment(variable, yes)
            }
            _ => Setting::default(variable, true),
        }
    }

    /// `None` if the variable is not set. As for the reference, text behind the number is ignored; a
    /// warning says so.
    fn integer(&self, variable: &'static str) -> Option<Result<i64, Unusable>> {
        let text = (self.env)(variable)?;
        if text.is_empty() {
            return Some(Err(Unusable::Empty));
        }
        Some(match parse_signed(cut_number(&text), Base::Ten) {
            Ok(value) => Ok(value),
            Err(ParseNumberError::OutOfRange) => Err(Unusable::OutOfRange),
            Err(_) => Err(Unusable::NotANumber),
        })
    }

    /// Warns of what stands behind a number that is used.
    fn only_a_number(&mut self, variable: &'static str, used: impl Display) {
        if !(self.env)(variable).is_some_and(|text| is_whole(&text)) {
            self.warn(variable, "more than a whole number", &used, &used);
        }
    }

    /// `None` if the variable is not set. Only white space may follow the number.
    fn real(&self, variable: &'static str) -> Option<Result<f64, Unusable>> {
        let text = (self.env)(variable)?;
        if text.is_empty() {
            return Some(Err(Unusable::Empty));
        }
        let number = cut_number(&text);
        Some(match strtod(number) {
            Ok((value, len)) if number.iter().skip(len).all(u8::is_ascii_whitespace) => Ok(value),
            Err(ParseNumberError::OutOfRange) => Err(Unusable::OutOfRange),
            _ => Err(Unusable::NotANumber),
        })
    }

    /// Ports 5001..=65535; anything else is replaced by the default.
    pub(super) fn port(&mut self, variable: &'static str, default: u16) -> Setting<u16> {
        /// IPPORT_USERRESERVED of the usual platforms: ports up to it are reserved.
        const RESERVED: u16 = 5_000;
        let found = match self.integer(variable) {
            None => return Setting::default(variable, default),
            Some(Ok(value)) => u16::try_from(value)
                .ok()
                .filter(|&port| port > RESERVED)
                .ok_or(Unusable::OutOfRange),
            Some(Err(error)) => Err(error),
        };
        match found {
            Ok(port) => {
                self.only_a_number(variable, port);
                Setting::environment(variable, port)
            }
            Err(error) => {
                let why = error.why("no number");
                self.warn(variable, why, default, "a port from 5001 to 65535");
                Setting::default(variable, default)
            }
        }
    }

    /// The port in `first` if that has a value, else the one in `second`.
    pub(super) fn first_port(
        &mut self,
        first: &'static str,
        second: &'static str,
        default: u16,
    ) -> Setting<u16> {
        let variable = if self.has_value(first) { first } else { second };
        self.port(variable, default)
    }

    /// A period between [`MIN_PERIOD`] and [`MAX_PERIOD`]. The reference takes any number.
    fn period(&mut self, variable: &'static str, default: Duration) -> Setting<Duration> {
        let found = match self.real(variable) {
            None => return Setting::default(variable, default),
            Some(Ok(value)) if value > 0.0 && value < MIN_PERIOD.as_secs_f64() => {
                let used = seconds(MIN_PERIOD);
                self.warn(variable, "too short", used, PERIOD);
                return Setting::environment(variable, MIN_PERIOD);
            }
            // NaN is in no range.
            Some(Ok(value)) if value > 0.0 && value <= MAX_PERIOD.as_secs_f64() => {
                Ok(Duration::from_secs_f64(value))
            }
            Some(Ok(value)) if value.is_nan() => Err(Unusable::NotANumber),
            Some(Ok(_)) => Err(Unusable::OutOfRange),
            Some(Err(error)) => Err(error),
        };
        match found {
            Ok(period) => Setting::environment(variable, period),
            Err(error) => {
                self.warn(variable, error.why("no number"), seconds(default), PERIOD);
                Setting::default(variable, default)
            }
        }
    }

    pub(super) fn connection_timeout(&mut self) -> Setting<Duration> {
        self.period("EPICS_CA_CONN_TMO", Duration::from_secs(30))
    }

    pub(super) fn max_search_period(&mut self) -> Setting<Duration> {
        /// Half of this, the period of the longest lane, is used from here on.
        const HIGH: f64 = 8_388.608;
        const RANGE: &str = "a number of seconds from 60 to 4194";
        let variable = "EPICS_CA_MAX_SEARCH_PERIOD";
        let default = Setting::default(variable, Duration::from_secs(300));
        let found = match self.real(variable) {
            None => return default,
            Some(Ok(value)) if value.is_nan() => Err(Unusable::NotANumber),
            Some(other) => other,
        };
        let value = match found {
            Ok(value) => value,
            Err(error) => {
                self.warn(variable, error.why("no number"), "300 s", RANGE);
                return default;
            }
        };
        let (limit, why) = if value < MIN_SEARCH_PERIOD.as_secs_f64() {
            (MIN_SEARCH_PERIOD, "too short")
        } else if value >= HIGH {
            (Duration::from_millis(4_194_304), "too long")
        } else {
            return Setting::environment(variable, Duration::from_secs_f64(value));
        };
        self.warn(variable, why, seconds(limit), RANGE);
        Setting::environment(variable, limit)
    }

    /// Checked and reported even if automatic sizes make it unused.
    pub(super) fn max_array_bytes(&mut self) -> Setting<u32> {
        const HEADER: u32 = 24;
        const RANGE: &str = "a number of bytes from 16384 to 4294967295";
        let variable = "EPICS_CA_MAX_ARRAY_BYTES";
        let default = Setting::default(variable, MAX_ARRAY_BYTES);
        let found = match self.integer(variable) {
            None => return default,
            Some(Ok(value)) if value >= 0 => Ok(value),
            Some(Ok(_)) => Err(Unusable::OutOfRange),
            Some(Err(error)) => Err(error),
        };
        let why = match found.map(u32::try_from) {
            Ok(Ok(bytes)) if bytes >= MAX_ARRAY_BYTES - HEADER => {
                self.only_a_number(variable, bytes);
                return Setting::environment(variable, bytes);
            }
            Ok(Ok(_)) => "less than each message may have",
            Ok(Err(_)) => {
                self.warn(variable, "more than a message can carry", u32::MAX, RANGE);
                return Setting::environment(variable, u32::MAX);
            }
            Err(error) => error.why("no number"),
        };
        self.warn(variable, why, MAX_ARRAY_BYTES, RANGE);
        default
    }

    pub(super) fn mcast_ttl(&mut self) -> Setting<u8> {
        let variable = "EPICS_CA_MCAST_TTL";
        let found = match self.integer(variable) {
            None => return Setting::default(variable, 1),
            Some(Ok(value)) => u8::try_from(value).map_err(|_| Unusable::OutOfRange),
            Some(Err(error)) => Err(error),
        };
        match found {
            Ok(hops) => {
                self.only_a_number(variable, hops);
                Setting::environment(variable, hops)
            }
            Err(error) => {
                self.warn(
                    variable,
                    error.why("no number"),
                    1,
                    "a number of hops from 0 to 255",
                );
                Setting::default(variable, 1)
            }
        }
    }

    /// False if the list of servers not to start names this one.
    pub(super) fn enabled(&mut self) -> Setting<bool> {
        let variable = "EPICS_IOC_IGNORE_SERVERS";
        let Some(text) = (self.env)(variable) else {
            return Setting::default(variable, true);
        };
        let names = || text.split_ascii_whitespace();
        let named = names().any(|name| name == "rsrv");
        let meant = text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|name| name.eq_ignore_ascii_case("rsrv"));
        if meant && !named {
            let why = "no list of names in small letters, separated by blanks";
            self.warn(
                variable,
                why,
                "the Channel Access server",
                "rsrv, to have it not started",
            );
        }
        Setting::environment(variable, !named)
    }

    pub(super) fn beacon_period(&mut self) -> Setting<Duration> {
        let (first, second) = ("EPICS_CAS_BEACON_PERIOD", "EPICS_CA_BEACON_PERIOD");
        let variable = if self.has_value(first) { first } else { second };
        self.period(variable, Duration::from_secs(15))
    }
}

fn is_blank_or(text: &str, word: &str) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case(word)
}

/// Whether the text is a decimal number with nothing else than blanks around it.
fn is_whole(text: &str) -> bool {
    let number = (opt(alt((char('-'), char('+')))), digit1);
    let mut whole = all_consuming(delimited(multispace0, number, multispace0));
    let parsed: IResult<_, _, Error<&str>> = whole.parse(text);
    parsed.is_ok()
}

fn seconds(period: Duration) -> String {
    format!("{} s", period.as_secs_f64())
}

/// The reference reads numbers from at most 127 characters.
fn cut_number(text: &str) -> &[u8] {
    cut(text, 127)
}

fn cut(text: &str, len: usize) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..len).unwrap_or(bytes)
}
