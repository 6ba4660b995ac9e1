//! What a check of a client works with: programs, each with a server of its own.

use std::cell::RefCell;
use std::time::Duration;

use super::program::Words;
use super::stage::Stage;
use super::{ClientTarget, Program as Command};
use crate::log::Log;
use crate::verdict::{Verdict, skip};

/// The PV of all checks: each has a server of its own.
const PV: &str = "conformance:pv";
/// What is written.
pub(super) const WRITTEN: f64 = 5417.0;
/// Updates after which a program that watches a PV is asked to end.
const UPDATES: u32 = 3;
/// More updates than come.
const MANY: u32 = 1_000_000;
/// Time for the start and the end of a program, besides what it waits.
const START: Duration = Duration::from_secs(10);
/// Longest time a program that watches runs; its check ends it.
const WATCH: Duration = Duration::from_secs(40);

/// Everything one check shares.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    target: &'a ClientTarget,
    /// The transcript of the program that was started last.
    log: RefCell<Log>,
}

impl<'a> Lab<'a> {
    pub(super) fn new(target: &'a ClientTarget) -> Self {
        Self {
            target,
            log: RefCell::default(),
        }
    }

    /// Name of the PV.
    pub(super) const fn pv(&self) -> &'static str {
        PV
    }

    /// Bytes and words so far.
    pub(super) fn transcript(&self) -> Vec<String> {
        self.log.borrow().lines()
    }

    /// The program that reads.
    pub(super) fn get(&self) -> Verdict<Stage> {
        let limit = self.target.patience * 2 + START;
        self.start(&self.target.get, &[], MANY, limit)
    }

    /// The program that writes.
    pub(super) fn put(&self) -> Verdict<Stage> {
        let command = self.command(self.target.put.as_ref(), "--put")?;
        let limit = self.target.patience * 2 + START;
        self.start(command, &[], MANY, limit)
    }

    /// The program that watches.
    pub(super) fn monitor(&self) -> Verdict<Stage> {
        self.monitor_with(&[])
    }

    /// The program that watches, with more in its environment.
    pub(super) fn monitor_with(&self, more: &[(&'static str, String)]) -> Verdict<Stage> {
        let command = self.command(self.target.monitor.as_ref(), "--monitor")?;
        self.start(command, more, MANY, WATCH)
    }

    /// The program that watches, until it has seen three updates.
    pub(super) fn monitor_that_ends(&self) -> Verdict<Stage> {
        let command = self.command(self.target.monitor.as_ref(), "--monitor")?;
        if !command.iter().any(|word| word.contains("{updates}")) {
            return Err(skip(
                "the command has no {updates}, after which it would end",
            ));
        }
        self.start(command, &[], UPDATES, WATCH)
    }

    fn command(&self, command: Option<&'a Command>, option: &str) -> Verdict<&'a Command> {
        command.ok_or_else(|| skip(format!("no program is named with {option}")))
    }

    fn start(
        &self,
        command: &[String],
        more: &[(&'static str, String)],
        updates: u32,
        limit: Duration,
    ) -> Verdict<Stage> {
        let words = Words {
            pv: PV.into(),
            timeout: self.target.patience.as_secs_f64().to_string(),
            value: WRITTEN.to_string(),
            updates: updates.to_string(),
        };
        let stage = Stage::new(command, &words, more, limit)?;
        *self.log.borrow_mut() = stage.log.clone();
        Ok(stage)
    }
}
