//! The words of scripts: what may stand for a key, and the text when something else does.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use ca_proto::wire::{Command, tcp, udp};
use jiff::SignedDuration;
use toml::Spanned;

use super::rule::{Direction, Trigger};

/// A value that is wrong: where, what, and what is allowed.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Wrong {
    pub(super) fn new(
        span: Range<usize>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            span,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// One of several words.
pub(super) fn choice<T: Copy>(
    key: &str,
    given: &Spanned<String>,
    allowed: &[(&str, T)],
) -> Result<T, Wrong> {
    let found = allowed.iter().find(|(word, _)| word == given.get_ref());
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = allowed.iter().map(|(word, _)| *word).collect();
        Wrong::new(
            given.span(),
            format!("key `{key}`: there is no `{}`", given.get_ref()),
            format!("use one of {}", words.join(", ")),
        )
    })
}

/// A whole number within bounds.
pub(super) fn number<T: TryFrom<i64>>(
    key: &str,
    given: Option<&Spanned<i64>>,
    allowed: RangeInclusive<i64>,
) -> Result<Option<T>, Wrong> {
    let Some(given) = given else { return Ok(None) };
    let fits = Some(*given.get_ref()).filter(|n| allowed.contains(n));
    match fits.and_then(|n| T::try_from(n).ok()) {
        Some(n) => Ok(Some(n)),
        None => Err(Wrong::new(
            given.span(),
            format!("key `{key}`: {} is out of range", given.get_ref()),
            match *allowed.end() {
                i64::MAX => format!("give a whole number from {}", allowed.start()),
                end => format!("give a whole number from {} to {end}", allowed.start()),
            },
        )),
    }
}

/// Longest time a script can name: one day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// A time such as `200ms`.
pub(super) fn duration(
    key: &str,
    given: Option<&Spanned<String>>,
) -> Result<Option<Duration>, Wrong> {
    let Some(given) = given else { return Ok(None) };
    match parse_duration(given.get_ref()) {
        Some(time) if time <= LONGEST => Ok(Some(time)),
        _ => Err(Wrong::new(
            given.span(),
            format!("key `{key}`: `{}` is no time", given.get_ref()),
            "give a number with us, ms, s, min or h, at most a day, such as \"200ms\"",
        )),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let time: SignedDuration = text.trim().parse().ok()?;
    time.try_into().ok()
}

/// What a rule is about.
pub(super) fn trigger(given: &Spanned<String>) -> Result<Trigger, Wrong> {
    match given.get_ref().as_str() {
        "any" => return Ok(Trigger::Any),
        "circuit" => return Ok(Trigger::Circuit),
        "beacon" => return Ok(Trigger::Beacon),
        _ => {}
    }
    let found = commands().find(|command| word(*command) == *given.get_ref());
    found.map(Trigger::Command).ok_or_else(|| {
        let words: Vec<String> = commands().map(word).collect();
        Wrong::new(
            given.span(),
            format!("key `on`: there is no `{}`", given.get_ref()),
            format!("use circuit, beacon, any, or one of {}", words.join(", ")),
        )
    })
}

fn word(command: Command) -> String {
    command.to_string().to_lowercase()
}

/// The commands that somebody sends today.
fn commands() -> impl Iterator<Item = Command> {
    let alive = |command: &Command| Direction::BOTH.iter().any(|&way| sends(way, *command));
    Command::ALL.iter().copied().filter(alive)
}

type Fields = &'static [(&'static str, &'static str)];

/// The tables of messages that travel in a direction.
fn tables(way: Direction) -> [&'static [(Command, Fields)]; 2] {
    match way {
        Direction::Request => [tcp::Request::TABLE, udp::Request::TABLE],
        Direction::Response => [tcp::Response::TABLE, udp::Response::TABLE],
    }
}

/// True if the command travels in a direction.
pub(super) fn sends(way: Direction, command: Command) -> bool {
    let mut all = tables(way).into_iter().flatten();
    all.any(|(known, _)| *known == command)
}

/// The fields of a command, `(name, header column)`, as the tables of the protocol name them.
pub(super) fn fields(way: Direction, command: Command) -> Fields {
    let mut all = tables(way).into_iter().flatten();
    all.find(|(known, _)| *known == command)
        .map_or(&[], |(_, fields)| fields)
}

/// Commands whose messages belong to a channel.
const NAMED: [Command; 14] = [
    Command::SEARCH,
    Command::NOT_FOUND,
    Command::CREATE_CHAN,
    Command::CREATE_CH_FAIL,
    Command::ACCESS_RIGHTS,
    Command::READ,
    Command::READ_NOTIFY,
    Command::WRITE,
    Command::WRITE_NOTIFY,
    Command::EVENT_ADD,
    Command::EVENT_CANCEL,
    Command::CLEAR_CHANNEL,
    Command::SERVER_DISCONN,
    Command::ERROR,
];

pub(super) fn has_name(on: Trigger) -> bool {
    match on {
        Trigger::Any => true,
        Trigger::Command(command) => NAMED.contains(&command),
        Trigger::Circuit | Trigger::Beacon => false,
    }
}

pub(super) fn named_commands() -> String {
    let alive = commands().filter(|command| NAMED.contains(command));
    let words: Vec<String> = alive.map(word).collect();
    format!("any, {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, expected) in [
            ("200ms", Some(Duration::from_millis(200))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("2 min", Some(Duration::from_secs(120))),
            ("10us", Some(Duration::from_micros(10))),
            ("200", None),
            ("-1s", None),
            ("s", None),
            ("1h", Some(Duration::from_secs(3600))),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
