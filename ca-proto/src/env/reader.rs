//! Look-up of single variables with the reference's rules and messages.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Setting, Warning};
use crate::addr_list::AddrList;
use crate::config::MIN_SEARCH_PERIOD;
use crate::text::parse::{Base, ParseNumberError, parse_signed, strtod};

/// Default of EPICS_CA_MAX_ARRAY_BYTES, also the size every message may have.
const MAX_ARRAY_BYTES: u32 = 16_384;

/// Why a number could not be had.
enum NoNumber {
    /// Empty or not a number.
    Missing,
    OutOfRange,
}

/// Looks variables up and collects messages.
pub(super) struct Reader<'a, F> {
    env: &'a F,
    /// Prefix of messages that differ between client and server.
    who: &'static str,
    pub(super) warnings: Vec<Warning>,
}

impl<'a, F: Fn(&str) -> Option<String>> Reader<'a, F> {
    pub(super) const fn new(env: &'a F, who: &'static str) -> Self {
        Self {
            env,
            who,
            warnings: Vec::new(),
        }
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(Warning(text));
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
    pub(super) fn contains_no(&self, variable: &'static str) -> Setting<bool> {
        const MAX_LEN: usize = 31;
        match (self.env)(variable) {
            Some(text) => {
                let text = cut(&text, MAX_LEN);
                let no = text.windows(2).any(|w| w == b"no" || w == b"NO");
                Setting::environment(variable, !no)
            }
            None => Setting::default(variable, true),
        }
    }

    /// True for `yes` without regard to case and if there is no value.
    pub(super) fn yes(&self, variable: &'static str) -> Setting<bool> {
        match (self.env)(variable) {
            Some(text) if !text.is_empty() => {
                Setting::environment(variable, text.eq_ignore_ascii_case("yes"))
            }
            _ => Setting::default(variable, true),
        }
    }

    /// `None` if the variable is not set.
    fn integer(&mut self, variable: &'static str) -> Option<Result<i64, NoNumber>> {
        let text = (self.env)(variable)?;
        if text.is_empty() {
            return Some(Err(NoNumber::Missing));
        }
        Some(match parse_signed(cut_number(&text), Base::Ten) {
            Ok(value) => Ok(value),
            Err(ParseNumberError::OutOfRange) => Err(NoNumber::OutOfRange),
            Err(_) => {
                self.warn(format!("Unable to find an integer in {variable}={text}"));
                Err(NoNumber::Missing)
            }
        })
    }

    /// `None` if the variable is not set. Only white space may follow the number.
    fn real(&mut self, variable: &'static str) -> Option<Result<f64, NoNumber>> {
        let text = (self.env)(variable)?;
        if text.is_empty() {
            return Some(Err(NoNumber::Missing));
        }
        let number = cut_number(&text);
        Some(match strtod(number) {
            Ok((value, len)) if number.iter().skip(len).all(u8::is_ascii_whitespace) => Ok(value),
            _ => {
                self.warn(format!("Unable to find a real number in {variable}={text}"));
                Err(NoNumber::Missing)
            }
        })
    }

    /// Ports 5001..=65535; anything else is replaced by the default.
    pub(super) fn port(&mut self, variable: &'static str, default: u16) -> Setting<u16> {
        /// IPPORT_USERRESERVED of the usual platforms: ports up to it are reserved.
        const RESERVED: u16 = 5_000;
        let port = match self.integer(variable) {
            None => return Setting::default(variable, default),
            Some(Err(NoNumber::Missing)) => {
                self.warn(format!(
                    "EPICS Environment \"{variable}\" integer fetch failed\n\
                     setting \"{variable}\" = {default}"
                ));
                return Setting::default(variable, default);
            }
            Some(Err(NoNumber::OutOfRange)) => None,
            Some(Ok(value)) => u16::try_from(value).ok().filter(|&port| port > RESERVED),
        };
        match port {
            Some(port) => Setting::environment(variable, port),
            None => {
                self.warn(format!(
                    "EPICS Environment \"{variable}\" out of range\n\
                     Setting \"{variable}\" = {default}"
                ));
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

    /// The reference accepts any number; here a value that is not positive counts as no number.
    pub(super) fn connection_timeout(&mut self) -> Setting<Duration> {
        let (variable, default) = ("EPICS_CA_CONN_TMO", 30);
        let period = match self.real(variable) {
            None => return Setting::default(variable, Duration::from_secs(default)),
            Some(value) => value.ok().and_then(positive_period),
        };
        period.map_or_else(
            || {
                self.warn(format!(
                    "EPICS \"{variable}\" double fetch failed\n\
                     Defaulting \"{variable}\" = {default}.000000"
                ));
                Setting::default(variable, Duration::from_secs(default))
            },
            |period| Setting::environment(variable, period),
        )
    }

    pub(super) fn max_search_period(&mut self) -> Setting<Duration> {
        /// Half of this, the period of the longest lane, is used from here on.
        const HIGH: f64 = 8_388.608;
        let variable = "EPICS_CA_MAX_SEARCH_PERIOD";
        let default = Setting::default(variable, Duration::from_secs(300));
        if !self.has_value(variable) {
            return default;
        }
        let value = match self.real(variable) {
            Some(Ok(value)) if !value.is_nan() => value,
            _ => {
                self.warn(format!(
                    "EPICS \"{variable}\" wasn't a real number\n\
                     Setting \"{variable}\" = 300.000000 seconds"
                ));
                return default;
            }
        };
        let (limit, word) = if value < MIN_SEARCH_PERIOD.as_secs_f64() {
            (MIN_SEARCH_PERIOD, "low")
        } else if value >= HIGH {
            (Duration::from_millis(4_194_304), "high")
        } else {
            return Setting::environment(variable, Duration::from_secs_f64(value));
        };
        self.warn(format!(
            "\"{variable}\" out of range ({word})\n\
             Setting \"{variable}\" = {:.6} seconds",
            limit.as_secs_f64()
        ));
        Setting::environment(variable, limit)
    }

    /// Checked and reported even if automatic sizes make it unused.
    pub(super) fn max_array_bytes(&mut self) -> Setting<u32> {
        const HEADER: i64 = 24;
        let (variable, who) = ("EPICS_CA_MAX_ARRAY_BYTES", self.who);
        let default = Setting::default(variable, MAX_ARRAY_BYTES);
        match self.integer(variable) {
            None => default,
            Some(Ok(value)) if value >= 0 => {
                if value < i64::from(MAX_ARRAY_BYTES) - HEADER {
                    self.warn(format!("{who}: {variable} was rounded up to 16384"));
                    return default;
                }
                Setting::environment(variable, u32::try_from(value).unwrap_or(u32::MAX))
            }
            Some(_) => {
                self.warn(format!("{who}: {variable} was not a positive integer"));
                default
            }
        }
    }

    pub(super) fn mcast_ttl(&mut self) -> Setting<u8> {
        let variable = "EPICS_CA_MCAST_TTL";
        if let Some(Ok(value)) = self.integer(variable) {
            match u8::try_from(value) {
                Ok(ttl) => return Setting::environment(variable, ttl),
                Err(_) => self.warn(format!("CAC: failed to set mcast ttl {value}")),
            }
        }
        Setting::default(variable, 1)
    }

    /// False if the list of servers not to start names this one.
    pub(super) fn enabled(&self) -> Setting<bool> {
        let variable = "EPICS_IOC_IGNORE_SERVERS";
        match (self.env)(variable) {
            Some(text) => {
                let named = text.split_ascii_whitespace().any(|name| name == "rsrv");
                Setting::environment(variable, !named)
            }
            None => Setting::default(variable, true),
        }
    }

    pub(super) fn beacon_period(&mut self) -> Setting<Duration> {
        let (first, second, default) = ("EPICS_CAS_BEACON_PERIOD", "EPICS_CA_BEACON_PERIOD", 15);
        let variable = if self.has_value(first) { first } else { second };
        let period = match self.real(variable) {
            None => return Setting::default(variable, Duration::from_secs(default)),
            Some(value) => value.ok().and_then(positive_period),
        };
        period.map_or_else(
            || {
                // The reference names the first variable whichever it was.
                self.warn(format!(
                    "EPICS \"{first}\" float fetch failed\nSetting \"{first}\" = {default}.000000"
                ));
                Setting::default(variable, Duration::from_secs(default))
            },
            |period| Setting::environment(variable, period),
        )
    }
}

/// Seconds above zero as a duration, limited to 1 ms and the longest one.
fn positive_period(seconds: f64) -> Option<Duration> {
    /// Keeps a mistaken value from making a program busy.
    const MIN: Duration = Duration::from_millis(1);
    (seconds > 0.0).then(|| {
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(Duration::MAX)
            .max(MIN)
    })
}

/// The reference reads numbers from at most 127 characters.
fn cut_number(text: &str) -> &[u8] {
    cut(text, 127)
}

fn cut(text: &str, len: usize) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..len).unwrap_or(bytes)
}
