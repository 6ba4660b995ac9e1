//! Standing still, and going on step by step.

use std::time::Duration;

use ca_proto::Instant;
use thiserror::Error;

use crate::ioc::Ioc;

/// How far a frozen IOC goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// To the next moment at which something is due: a tick of a scan, of a signal, a timer, a completion, the begin or
    /// end of a fault. All that is due at that moment is done.
    Event,
    /// So much time, from event to event, as fast as it goes.
    Time(Duration),
}

/// A step of an IOC that is not frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the IOC is not frozen, so that it goes on by itself; freeze it first")]
pub struct NotFrozen;

impl Ioc {
    /// Lets time stand still for the database: signals, scans, timers of records, completions of puts and faults. Clients
    /// go on: they read and write, and what that sets in motion is done. False if it stands still already.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use ca_server_sim::{Instant, Ioc, Step, Timestamp};
    ///
    /// let mut ioc = Ioc::from_db("record(calc, \"n\") { field(SCAN, \"1 second\") field(CALC, \"VAL+1\") }")?;
    /// let mut now = Instant::ZERO;
    /// ioc.start(now, Timestamp::from_unix(1_800_000_000, 0), 5064);
    /// ioc.freeze(now);
    /// now = now + Duration::from_secs(3600);
    /// ioc.handle_timeout(now);
    /// assert_eq!(ioc.number("n")?, 0.0);
    /// ioc.step(now, Step::Event)?; // the next tick
    /// assert_eq!(ioc.number("n")?, 1.0);
    /// ioc.step(now, Step::Time(Duration::from_secs(60)))?; // and sixty more, in no time
    /// while ioc.is_stepping(now) {
    ///     ioc.handle_timeout(now);
    /// }
    /// assert_eq!(ioc.number("n")?, 61.0);
    /// ioc.thaw(now);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn freeze(&mut self, now: Instant) -> bool {
        if self.db.time.is_frozen() {
            return false;
        }
        let mut time = self.db.time;
        time.freeze(now);
        self.set_timeline(time);
        true
    }

    /// Lets time go on from where it stands. False if it goes already.
    pub fn thaw(&mut self, now: Instant) -> bool {
        if !self.db.time.is_frozen() {
            return false;
        }
        let mut time = self.db.time;
        time.thaw(now);
        self.set_timeline(time);
        true
    }

    /// Whether time stands still.
    pub const fn is_frozen(&self) -> bool {
        self.db.time.is_frozen()
    }

    /// Goes a step, or as much of it as one turn allows: [`handle_timeout`](Self::handle_timeout), which
    /// [`poll_timeout`](Self::poll_timeout) asks for, does the rest ([`is_stepping`](Self::is_stepping)). Says how much
    /// time that is for the database; `None` if nothing will ever be due.
    ///
    /// # Errors
    /// [`NotFrozen`]
    pub fn step(&mut self, now: Instant, step: Step) -> Result<Option<Duration>, NotFrozen> {
        if !self.db.time.is_frozen() {
            return Err(NotFrozen);
        }
        let from = self.db.time.of(now);
        let until = match step {
            Step::Event => match self.next_due(now) {
                Some(due) => due.max(from),
                None => return Ok(None),
            },
            Step::Time(time) => from + time,
        };
        let mut time = self.db.time;
        time.step(until);
        self.set_timeline(time);
        self.handle_timeout(now);
        Ok(Some(until.saturating_duration_since(from)))
    }

    /// Whether a step is not at its end.
    pub fn is_stepping(&self, now: Instant) -> bool {
        let time = &self.db.time;
        time.is_frozen()
            && (time.until().is_some()
                || self.has_work()
                || self.next_due(now).is_some_and(|due| due <= time.of(now)))
    }

    /// When something is due next that is not done yet, in the time of the database.
    pub(super) fn next_due(&self, _: Instant) -> Option<Instant> {
        let records = self.db.served.as_ref().filter(|_| self.is_running());
        let records = records.and_then(|served| served.records.poll_timeout());
        (self.scans.poll_timeout().into_iter())
            .chain(self.db.due.first().map(|&(at, _)| at))
            .chain(records)
            .chain(self.faults.as_ref().and_then(|faults| faults.due()))
            .min()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do in the database.
    pub(crate) fn database_timeout(&self) -> Option<Instant> {
        let due = (self.scans.poll_timeout().into_iter())
            .chain(self.db.due.first().map(|&(at, _)| at))
            .chain(self.record_timeout())
            .min()?;
        self.db.time.real_of(due)
    }

    /// A step goes on to the next moment at which something is due, once all is done that is due by now.
    pub(crate) fn advance_step(&mut self, now: Instant) {
        let Some(until) = self.db.time.until() else {
            return;
        };
        if self.has_work() {
            return;
        }
        let next = self.next_due(now).unwrap_or(Instant::MAX);
        if next <= self.db.time.of(now) && next < until {
            return;
        }
        let mut time = self.db.time;
        time.advance(now, next.min(until));
        self.set_timeline(time);
    }
}
