//! What happened, as lines for the user.

use ca_proto::Instant;

use super::rules::{Fault, Rules};

/// Lines that wait for somebody to take them; further ones are counted only.
pub(crate) const MAX_LINES: usize = 10_000;

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Level {
    /// Nothing.
    #[default]
    Quiet,
    /// Circuits and faults.
    Faults,
    /// Every message, too.
    Trace,
}

#[derive(Debug)]
pub(super) struct Log {
    level: Level,
    /// Lines since somebody took them last.
    lines: Vec<String>,
    /// Lines that found no room since then.
    lost: u64,
}

impl Log {
    pub(super) const fn new(level: Level) -> Self {
        Self {
            level,
            lines: Vec::new(),
            lost: 0,
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
        if level > self.level {
            return;
        }
        if self.lines.len() >= MAX_LINES {
            self.lost += 1;
        } else {
            let seconds = now.as_nanos() as f64 / 1e9;
            self.lines.push(format!("{seconds:10.4} {}", text()));
        }
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        match std::mem::take(&mut self.lost) {
            0 => {}
            lost => lines.push(format!("{lost} lines were not taken in time and are lost")),
        }
        lines
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}
