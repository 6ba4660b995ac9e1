//! What happened, as lines for the user.

use ca_proto::Instant;

use super::rules::{Fault, Rules};

/// How much is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Nothing.
    Quiet,
    /// Circuits and faults.
    Faults,
    /// Every message, too.
    Trace,
}

#[derive(Debug)]
pub(super) struct Log {
    level: Level,
    /// Lines since the driver took them last, which it does after each call.
    lines: Vec<String>,
}

impl Log {
    pub(super) const fn new(level: Level) -> Self {
        Self {
            level,
            lines: Vec::new(),
        }
    }

    /// A message, before its faults.
    pub(super) fn trace(&mut self, now: Instant, text: impl FnOnce() -> String) {
        self.line(Level::Trace, now, text);
    }

    /// A circuit's life.
    pub(super) fn event(&mut self, now: Instant, text: impl FnOnce() -> String) {
        self.line(Level::Faults, now, text);
    }

    /// A fault and the message it happens to.
    pub(super) fn fault(
        &mut self,
        now: Instant,
        rules: &Rules,
        fault: &Fault,
        message: impl FnOnce() -> String,
    ) {
        self.line(Level::Faults, now, || {
            let id = rules.rule(fault.rule).map_or("?", |rule| &rule.id);
            format!("{}  !! {id}: {}", message(), fault.action)
        });
    }

    fn line(&mut self, level: Level, now: Instant, text: impl FnOnce() -> String) {
        if level <= self.level {
            let seconds = now.as_nanos() as f64 / 1e9;
            self.lines.push(format!("{seconds:10.4} {}", text()));
        }
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}
