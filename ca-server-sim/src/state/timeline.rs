//! The time of the database, which can stand still and go back while that of the clients goes on.

use std::time::Duration;

use ca_proto::Instant;

/// What time it is for signals, scans, timers, completions and faults. It goes with the time of the driver unless it
/// is frozen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeline {
    /// A time of the driver,
    real: Instant,
    /// and that of the database which belongs to it.
    own: Instant,
    frozen: bool,
    /// Until when a step goes that is under way.
    until: Option<Instant>,
}

impl Timeline {
    /// The time of the database.
    #[inline]
    pub(crate) fn of(&self, real: Instant) -> Instant {
        match self.frozen {
            true => self.own,
            false => self.own + real.saturating_duration_since(self.real),
        }
    }

    /// When this time of the database comes, or came; `None` if it does not come by itself.
    pub(crate) fn real_of(&self, own: Instant) -> Option<Instant> {
        match own.checked_duration_since(self.own) {
            Some(_) if own == Instant::MAX => Some(own),
            Some(after) if !after.is_zero() && self.frozen => None,
            Some(after) => Some(self.real + after),
            None => Some(before(self.real, self.own.saturating_duration_since(own))),
        }
    }

    pub(crate) const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Until when a step goes that is under way.
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(crate) fn freeze(&mut self, real: Instant) {
        (self.own, self.real) = (self.of(real), real);
        self.frozen = true;
    }

    pub(crate) const fn thaw(&mut self, real: Instant) {
        self.real = real;
        self.frozen = false;
        self.until = None;
    }

    /// Begins a step of a time that stands still.
    pub(crate) const fn step(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// A step has come so far.
    pub(crate) fn advance(&mut self, real: Instant, own: Instant) {
        (self.real, self.own) = (real, own);
        if self.until.is_some_and(|until| until <= own) {
            self.until = None;
        }
    }

    /// It is another time from now on.
    pub(crate) const fn go_to(&mut self, real: Instant, own: Instant) {
        (self.real, self.own) = (real, own);
        self.until = None;
    }
}

fn before(at: Instant, by: Duration) -> Instant {
    at.checked_sub(by).unwrap_or(Instant::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn it_goes_with_the_drivers_until_it_is_frozen() {
        let mut time = Timeline::default();
        assert_eq!((time.of(at(7)), time.real_of(at(7))), (at(7), Some(at(7))));
        time.freeze(at(10));
        assert_eq!((time.of(at(99)), time.real_of(at(11))), (at(10), None));
        assert_eq!(time.real_of(at(10)), Some(at(10)));
        assert_eq!(time.real_of(Instant::MAX), Some(Instant::MAX));
        time.thaw(at(30));
        assert_eq!(
            (time.of(at(31)), time.real_of(at(12))),
            (at(11), Some(at(32)))
        );
        time.go_to(at(40), at(5));
        assert_eq!(
            (time.of(at(42)), time.real_of(at(4))),
            (at(7), Some(at(39)))
        );
    }
}
