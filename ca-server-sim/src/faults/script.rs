//! Faults with times.

use std::fmt;
use std::time::Duration;

use ca_proto::text::{InPlace, Shown};

use super::FaultError;
use super::words::{self, Order};
use crate::state::codec::saved;

/// Bytes of a script at most.
const MAX_BYTES: usize = 1 << 20;
/// Mistakes that are told.
const MAX_TOLD: usize = 100;

/// A mistake in a script, with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ScriptMistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and the remedy.
    pub what: String,
    /// The line itself.
    pub text: String,
}

impl fmt::Display for ScriptMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            what,
            text,
        } = self;
        let (what, text) = (Shown(what), InPlace(text));
        write!(f, "line {line}, column {column}: {what}\n    {text}\n    ")?;
        write!(f, "{}^", " ".repeat(column.saturating_sub(1)))
    }
}

/// All mistakes of a script.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ScriptMistakes(pub Vec<ScriptMistake>);

impl fmt::Display for ScriptMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.0.iter().enumerate() {
            let end = if n + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "{mistake}{end}")?;
        }
        Ok(())
    }
}

/// A line of a script.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Event {
    pub at: Duration,
    pub order: Order,
    pub line: usize,
    pub text: String,
}

saved!(struct Event { at, order, line, text });

/// Faults that begin and end at their times: lines `at TIME ORDER`, where an order is a line of
/// [faults](crate::faults). Without `at` it is the beginning; `#` begins a comment.
///
/// ```text
/// # what a bad night is like
/// at 2s    delay * by 300ms jitter 100ms for 10s
/// at 5s    stuck magnet:current
/// at 30s   reboot by 5s
/// at 60s   off all
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FaultScript {
    pub(crate) events: Vec<Event>,
}

impl FaultScript {
    /// A script from its text, at most 1 MiB.
    ///
    /// # Errors
    /// [`ScriptMistakes`]: all of them. Whether its PVs exist is seen when it is
    /// [run](crate::Ioc::run_faults).
    pub fn parse(text: &str) -> Result<Self, ScriptMistakes> {
        let mut events = Vec::new();
        let mut mistakes = Vec::new();
        if text.len() > MAX_BYTES {
            mistakes.push(ScriptMistake {
                line: 1,
                column: 1,
                what: format!("a script has {MAX_BYTES} bytes at most; cut it in pieces"),
                text: String::new(),
            });
            return Err(ScriptMistakes(mistakes));
        }
        for (n, line) in text.lines().enumerate() {
            let order = line.split('#').next().unwrap_or_default();
            if order.trim().is_empty() {
                continue;
            }
            match event(order) {
                Ok((at, order)) => events.push(Event {
                    at,
                    order,
                    line: n + 1,
                    text: line.to_owned(),
                }),
                Err(error) if mistakes.len() < MAX_TOLD => {
                    mistakes.push(mistake(n + 1, line, error));
                }
                Err(_) => break,
            }
        }
        events.sort_by_key(|event| event.at);
        match mistakes.is_empty() {
            true => Ok(Self { events }),
            false => Err(ScriptMistakes(mistakes)),
        }
    }

    /// When the last of its lines is due.
    pub fn lasts(&self) -> Duration {
        self.events.last().map_or(Duration::ZERO, |event| event.at)
    }

    /// Whether it asks for anything.
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

pub(super) fn mistake(line: usize, text: &str, error: FaultError) -> ScriptMistake {
    ScriptMistake {
        line,
        column: error.column,
        what: error.what,
        text: text.to_owned(),
    }
}

fn event(line: &str) -> Result<(Duration, Order), FaultError> {
    let begin = line.len() - line.trim_start().len();
    let rest = line.get(begin..).unwrap_or_default();
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let (at, order, before) = match rest.split_once(char::is_whitespace) {
        Some(("at", behind)) => {
            let gap = behind.len() - behind.trim_start().len();
            let word = behind.split_whitespace().next().unwrap_or_default();
            let column = indent + 3 + behind.get(..gap).map_or(0, |gap| gap.chars().count()) + 1;
            let at = words::time_at(word, column)?;
            let order = behind.get(gap + word.len()..).unwrap_or_default();
            (at, order, column - 1 + word.chars().count())
        }
        _ => (Duration::ZERO, rest, indent),
    };
    let order = Order::parse(order).map_err(|error| FaultError {
        column: error.column + before,
        ..error
    })?;
    if matches!(order, Order::List) {
        return Err(FaultError::new(
            before + 1,
            "a script has nobody to show a list to",
        ));
    }
    Ok((at, order))
}

impl Event {
    /// The column of the PV's name.
    pub(crate) fn column_of(&self, pv: &str) -> usize {
        let at = self.text.find(pv).unwrap_or(0);
        let before = self.text.get(..at).unwrap_or_default();
        before.chars().count() + 1
    }
}
