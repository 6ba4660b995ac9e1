//! A machine with much else to do: time passes while code runs.

use core::time::Duration;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;

/// About the pause that half of all looks at the clock do not reach, in nanoseconds.
const USUAL: f64 = 2000.0;
/// Probability that a UDP socket is found full.
const FULL: f64 = 0.05;

/// Draws how long the machine is busy with something else.
#[derive(Debug)]
pub(super) struct Busy {
    rng: Pcg32,
    longest: Duration,
}

impl Busy {
    pub(super) fn new(seed: u64, longest: Duration) -> Self {
        Self {
            rng: Pcg32::new(seed ^ 0xb5_5eed),
            longest,
        }
    }

    /// A pause of at least a nanosecond. For each hundredfold length there are ten times fewer, so that
    /// the long ones are seldom enough for work to be done between them: one look in 60 takes longer than
    /// a millisecond, one in 2000 longer than a second.
    pub(super) fn pause(&mut self) -> Duration {
        let part = 2.0 * self.rng.f64();
        let nanos = USUAL * self.rng.f64() / (part * part).max(1e-12);
        Duration::from_nanos(nanos as u64).clamp(Duration::from_nanos(1), self.longest)
    }

    /// Until when a UDP socket takes nothing, if it is full.
    pub(super) fn full(&mut self, now: Instant) -> Option<Instant> {
        self.rng.chance(FULL).then(|| now + self.pause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_all_lengths_from_nanoseconds_to_seconds() {
        let mut busy = Busy::new(1, Duration::from_secs(4));
        let mut pauses: Vec<_> = (0..100_000).map(|_| busy.pause()).collect();
        pauses.sort_unstable();
        let longer = |than| pauses.iter().filter(|&&pause| pause > than).count();
        assert!(pauses[0] < Duration::from_nanos(10));
        assert!((1000..2500).contains(&longer(Duration::from_millis(1))));
        assert!((30..100).contains(&longer(Duration::from_secs(1))));
        assert_eq!(pauses.last(), Some(&Duration::from_secs(4)));
    }
}
