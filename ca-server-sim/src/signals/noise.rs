//! Random signals.

use std::time::Duration;

use ca_proto::dbr::Value;
use ca_proto::rng::Pcg32;

use super::Signal;

/// Independent values, each between `low` and `high` with the same chance.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Noise {
    /// Smallest value.
    pub low: f64,
    /// Upper bound of the values.
    pub high: f64,
}

impl Noise {
    /// Values between `low` and `high`.
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }
}

impl Signal for Noise {
    fn sample(&mut self, _: Duration, rng: &mut Pcg32) -> Value {
        Value::scalar(self.low + (self.high - self.low) * rng.f64())
    }
}

/// Moves by up to `step` at each sample and is held between `low` and `high`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RandomWalk {
    /// The sample before the next one.
    pub position: f64,
    /// Largest change from sample to sample.
    pub step: f64,
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
}

impl RandomWalk {
    /// A walk that begins at `start` and knows no bounds.
    pub const fn new(start: f64, step: f64) -> Self {
        Self {
            position: start,
            step,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        }
    }

    /// Holds the walk between two values.
    #[must_use]
    pub const fn within(mut self, low: f64, high: f64) -> Self {
        self.low = low;
        self.high = high;
        self
    }
}

impl Signal for RandomWalk {
    fn sample(&mut self, _: Duration, rng: &mut Pcg32) -> Value {
        let moved = self.position + self.step * (2.0 * rng.f64() - 1.0);
        self.position = moved.min(self.high).max(self.low);
        Value::scalar(self.position)
    }

    fn state(&self) -> Vec<u8> {
        super::state_of(&self.position)
    }

    fn set_state(&mut self, state: &[u8]) -> bool {
        super::take_state(state, &mut self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_stays_within_its_bounds_and_steps() {
        let mut walk = RandomWalk::new(0.0, 0.5).within(-1.0, 1.0);
        let mut rng = Pcg32::new(3);
        let mut last = 0.0;
        let mut reached: f64 = 0.0;
        for _ in 0..1000 {
            walk.sample(Duration::ZERO, &mut rng);
            assert!((-1.0..=1.0).contains(&walk.position));
            assert!((walk.position - last).abs() <= 0.5);
            last = walk.position;
            reached = reached.max(last.abs());
        }
        assert_eq!(reached, 1.0);
    }
}
