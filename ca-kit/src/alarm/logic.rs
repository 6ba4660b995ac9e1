//! When an alarm is raised and cleared: a state machine without a clock.

use std::time::Duration;

use ca_client::{AlarmSeverity, Instant};

use super::AlarmKind;

/// What makes a PV bad.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Trip {
    /// A value above a limit.
    Above(f64),
    /// A value below a limit.
    Below(f64),
    /// A value outside of a range.
    Outside(f64, f64),
    /// Any other value than this, or one that is further away than a tolerance.
    NotNear(f64, f64),
    /// A value that is this, or at most a tolerance away.
    Near(f64, f64),
    /// The PV's own alarm severity is this one or worse.
    Severity(AlarmSeverity),
}

/// How it stands with an alarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum AlarmState {
    /// All is good, or nothing is known yet.
    #[default]
    Normal,
    /// It is bad, but not for long enough, or too soon after the last time.
    Pending,
    /// It is bad, and was told.
    Active,
    /// It is good again, and nobody has seen that it was bad.
    Latched,
    /// It is shelved.
    Shelved,
}

/// A wrong option: which, what was given, what to do.
type Wrong = (&'static str, f64, &'static str);

#[derive(Debug)]
pub(super) struct Logic {
    trip: Trip,
    hysteresis: f64,
    delay: Duration,
    latch: bool,
    min_interval: Duration,
    /// Since when it is bad.
    bad_since: Option<Instant>,
    /// It was told, and not cleared.
    told: bool,
    acknowledged: bool,
    last_told: Option<Instant>,
    suppressed: u64,
    /// This bad time was counted as suppressed.
    counted: bool,
    shelved: Option<Instant>,
}

impl Logic {
    pub(super) const fn new(
        trip: Trip,
        hysteresis: f64,
        delay: Duration,
        latch: bool,
        min_interval: Duration,
    ) -> Self {
        Self {
            trip,
            hysteresis,
            delay,
            latch,
            min_interval,
            bad_since: None,
            told: false,
            acknowledged: false,
            last_told: None,
            suppressed: 0,
            counted: false,
            shelved: None,
        }
    }

    /// Whether it can ever be raised and cleared.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if self.hysteresis.is_nan() || self.hysteresis < 0.0 {
            return Err((
                "the hysteresis",
                self.hysteresis,
                "give one that is 0 or more",
            ));
        }
        match self.trip {
            Trip::Above(limit) | Trip::Below(limit) if limit.is_nan() => {
                Err(("the limit", limit, "give a number"))
            }
            Trip::Outside(low, high) if low.is_nan() || high.is_nan() || low > high => {
                Err(("the lower limit", low, "give the lower limit first"))
            }
            Trip::Outside(low, high) if high - low < 2.0 * self.hysteresis => {
                let remedy = "make it less than half of the range, or it never clears";
                Err(("the hysteresis", self.hysteresis, remedy))
            }
            Trip::NotNear(_, tolerance) | Trip::Near(_, tolerance)
                if tolerance.is_nan() || tolerance < 0.0 =>
            {
                Err(("the tolerance", tolerance, "give one that is 0 or more"))
            }
            Trip::NotNear(_, tolerance) if tolerance < self.hysteresis => {
                let remedy = "make it at most the tolerance, or it never clears";
                Err(("the hysteresis", self.hysteresis, remedy))
            }
            Trip::NotNear(value, _) | Trip::Near(value, _) if !value.is_finite() => {
                Err(("the value", value, "give a finite one"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a value is bad; when it was bad before, it has to go back further. NaN is bad.
    fn is_bad(&self, value: Option<f64>, severity: AlarmSeverity) -> bool {
        let back = if self.bad_since.is_some() {
            self.hysteresis
        } else {
            0.0
        };
        let value = value.unwrap_or(f64::NAN);
        let good = match self.trip {
            Trip::Severity(worst) => return severity >= worst,
            Trip::Above(limit) => value <= limit - back,
            Trip::Below(limit) => value >= limit + back,
            Trip::Outside(low, high) => value >= low + back && value <= high - back,
            Trip::NotNear(wanted, tolerance) => (value - wanted).abs() <= tolerance - back,
            Trip::Near(bad, tolerance) => (value - bad).abs() > tolerance + back,
        };
        !good
    }

    /// A value came.
    pub(super) fn value(&mut self, now: Instant, value: Option<f64>, severity: AlarmSeverity) {
        let bad = self.is_bad(value, severity);
        self.set(now, bad);
    }

    /// It is bad, or good, whatever the value.
    pub(super) fn set(&mut self, now: Instant, bad: bool) {
        match (bad, self.bad_since) {
            (true, None) => self.bad_since = Some(now),
            (false, Some(_)) => {
                self.bad_since = None;
                self.counted = false;
            }
            _ => {}
        }
    }

    pub(super) fn shelve(&mut self, until: Option<Instant>) {
        self.shelved = until;
    }

    /// Somebody has seen it; told if there is something to be seen.
    pub(super) fn acknowledge(&mut self) -> Option<AlarmKind> {
        let news = self.told && !self.acknowledged;
        self.acknowledged |= self.told;
        news.then_some(AlarmKind::Acknowledged)
    }

    /// What is to be told at this moment.
    pub(super) fn poll(&mut self, now: Instant) -> Option<AlarmKind> {
        if self.shelved.is_some_and(|until| now < until) {
            return None;
        }
        self.shelved = None;
        let Some(since) = self.bad_since else {
            if self.told && (!self.latch || self.acknowledged) {
                (self.told, self.acknowledged) = (false, false);
                return Some(AlarmKind::Cleared);
            }
            return None;
        };
        if self.told || now < since + self.delay {
            return None;
        }
        if now < self.may_tell() {
            if !std::mem::replace(&mut self.counted, true) {
                self.suppressed += 1;
            }
            return None;
        }
        // The one that is told now is not one of those that were not.
        let own = u64::from(std::mem::take(&mut self.counted));
        let suppressed = std::mem::take(&mut self.suppressed) - own;
        (self.told, self.acknowledged, self.last_told) = (true, false, Some(now));
        Some(AlarmKind::Raised { suppressed })
    }

    /// From when on it may be told again.
    fn may_tell(&self) -> Instant {
        self.last_told
            .map_or(Instant::ZERO, |last| last + self.min_interval)
    }

    /// When [`poll`](Self::poll) has to be called, if nothing happens before.
    pub(super) fn next(&self) -> Option<Instant> {
        if let Some(until) = self.shelved {
            return Some(until);
        }
        let since = self.bad_since.filter(|_| !self.told)?;
        let ripe = since + self.delay;
        // Once it is ripe, it is counted; then it waits for its turn.
        Some(if self.counted {
            ripe.max(self.may_tell())
        } else {
            ripe
        })
    }

    pub(super) const fn state(&self) -> AlarmState {
        match (self.shelved, self.bad_since, self.told) {
            (Some(_), ..) => AlarmState::Shelved,
            (None, Some(_), true) => AlarmState::Active,
            (None, Some(_), false) => AlarmState::Pending,
            (None, None, true) => AlarmState::Latched,
            (None, None, false) => AlarmState::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: AlarmSeverity = AlarmSeverity::NO_ALARM;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    /// Feeds values at seconds, and gives what is told with its second; looks at every second.
    fn told(mut logic: Logic, values: &[(u64, f64)], until: u64) -> Vec<(u64, AlarmKind)> {
        let mut all = Vec::new();
        for second in 0..=until {
            for (_, value) in values.iter().filter(|(when, _)| *when == second) {
                logic.value(at(second), Some(*value), NONE);
            }
            all.extend(logic.poll(at(second)).map(|kind| (second, kind)));
        }
        all
    }

    const RAISED: AlarmKind = AlarmKind::Raised { suppressed: 0 };

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn hysteresis_keeps_it_from_flickering() {
        let logic = Logic::new(Trip::Above(10.0), 1.0, secs(0), false, secs(0));
        let values = [
            (0, 9.9),
            (1, 10.1),
            (2, 9.5),
            (3, 10.1),
            (4, 9.0),
            (5, 9.5),
            (6, f64::NAN),
        ];
        let expected = [(1, RAISED), (4, AlarmKind::Cleared), (6, RAISED)];
        assert_eq!(told(logic, &values, 9), expected);
    }

    #[test]
    fn what_does_not_last_is_not_told() {
        let logic = Logic::new(Trip::Below(0.0), 0.0, secs(3), false, secs(0));
        let values = [(0, -1.0), (2, 1.0), (4, -1.0), (9, 1.0)];
        assert_eq!(
            told(logic, &values, 12),
            [(7, RAISED), (9, AlarmKind::Cleared)]
        );
    }

    #[test]
    fn the_interval_is_kept_and_what_is_left_out_counted() {
        let logic = Logic::new(Trip::Outside(0.0, 1.0), 0.0, secs(0), false, secs(10));
        let values = [
            (0, 2.0),
            (1, 0.5),
            (2, 2.0),
            (3, 0.5),
            (4, 2.0),
            (5, 0.5),
            (8, 2.0),
        ];
        let expected = [
            (0, RAISED),
            (1, AlarmKind::Cleared),
            (10, AlarmKind::Raised { suppressed: 2 }),
        ];
        assert_eq!(told(logic, &values, 20), expected);
    }

    #[test]
    fn a_latched_one_waits_for_somebody() {
        let mut logic = Logic::new(Trip::Near(5.0, 0.1), 0.0, secs(0), true, secs(0));
        assert_eq!(logic.acknowledge(), None);
        logic.value(at(0), Some(5.0), NONE);
        assert_eq!(
            (logic.poll(at(0)), logic.state()),
            (Some(RAISED), AlarmState::Active)
        );
        logic.value(at(1), Some(6.0), NONE);
        assert_eq!(
            (logic.poll(at(1)), logic.state()),
            (None, AlarmState::Latched)
        );
        assert_eq!(logic.acknowledge(), Some(AlarmKind::Acknowledged));
        assert_eq!(
            (logic.acknowledge(), logic.poll(at(2))),
            (None, Some(AlarmKind::Cleared))
        );
        assert_eq!(logic.state(), AlarmState::Normal);
    }

    #[test]
    fn a_shelved_one_is_silent_until_its_time() {
        let mut logic = Logic::new(Trip::NotNear(5.0, 0.1), 0.0, secs(0), false, secs(0));
        logic.shelve(Some(at(10)));
        logic.value(at(0), Some(6.0), NONE);
        assert_eq!(
            (logic.poll(at(5)), logic.state()),
            (None, AlarmState::Shelved)
        );
        assert_eq!(logic.next(), Some(at(10)));
        assert_eq!(logic.poll(at(10)), Some(RAISED));
    }

    #[test]
    fn what_can_never_be_is_found() {
        let logic =
            |trip, hysteresis| Logic::new(trip, hysteresis, secs(0), false, secs(0)).check();
        assert!(
            logic(Trip::Outside(0.0, 1.0), 0.5).is_ok()
                && logic(Trip::NotNear(1.0, 0.0), 0.0).is_ok()
        );
        for (trip, hysteresis) in [
            (Trip::Above(f64::NAN), 0.0),
            (Trip::Above(1.0), -1.0),
            (Trip::Above(1.0), f64::NAN),
            (Trip::Outside(1.0, 0.0), 0.0),
            (Trip::Outside(0.0, 1.0), 0.6),
            (Trip::NotNear(1.0, -1.0), 0.0),
            (Trip::NotNear(1.0, 0.1), 0.2),
            (Trip::Near(f64::INFINITY, 0.1), 0.0),
        ] {
            assert!(logic(trip, hysteresis).is_err(), "{trip:?} {hysteresis}");
        }
    }
}
