//! Periodic signals.

use std::time::Duration;

use ca_proto::dbr::Value;
use ca_proto::rng::Pcg32;

use super::Signal;

/// Position within the period, 0.0..1.0; 0 for a period of zero. Whole nanoseconds, so that it does
/// not lose digits however long the IOC runs.
pub(super) fn phase(t: Duration, period: Duration) -> f64 {
    match t.as_nanos().checked_rem(period.as_nanos()) {
        Some(rest) => rest as f64 / period.as_nanos() as f64,
        None => 0.0,
    }
}

macro_rules! waves {
    ($($(#[$doc:meta])* $name:ident, $shape:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub struct $name {
            /// Smallest value.
            pub low: f64,
            /// Largest value.
            pub high: f64,
            /// Time of one repetition.
            pub period: Duration,
        }

        impl $name {
            /// Between `low` and `high`, repeating after `period`.
            pub const fn new(low: f64, high: f64, period: Duration) -> Self {
                Self { low, high, period }
            }
        }

        impl Signal for $name {
            fn sample(&mut self, t: Duration, _: &mut Pcg32) -> Value {
                let shape: fn(f64) -> f64 = $shape;
                let height = shape(phase(t, self.period));
                Value::scalar(self.low + (self.high - self.low) * height)
            }
        }
    )*};
}

waves! {
    /// Rises evenly from `low` and falls back at once; `high` itself is not reached.
    Ramp, |phase| phase;
    /// A sine that starts half-way, rising.
    Sine, |phase| 0.5 + 0.5 * libm::sin(core::f64::consts::TAU * phase);
    /// `high` in the first half of the period, `low` in the second.
    Square, |phase| if phase < 0.5 { 1.0 } else { 0.0 };
    /// Rises evenly for half the period, then falls as evenly.
    Triangle, |phase| if phase < 0.5 { 2.0 * phase } else { 2.0 - 2.0 * phase };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarters(mut signal: impl Signal) -> Vec<f64> {
        let mut rng = Pcg32::new(0);
        (0..5)
            .map(|n| signal.sample(Duration::from_millis(250 * n), &mut rng))
            .map(|value| value.as_ref().elements::<f64>().unwrap().next().unwrap())
            .collect()
    }

    #[test]
    fn shapes_at_each_quarter_of_their_period() {
        let second = Duration::from_secs(1);
        assert_eq!(
            quarters(Ramp::new(0.0, 4.0, second)),
            [0.0, 1.0, 2.0, 3.0, 0.0]
        );
        assert_eq!(
            quarters(Square::new(-1.0, 1.0, second)),
            [1.0, 1.0, -1.0, -1.0, 1.0]
        );
        assert_eq!(
            quarters(Triangle::new(0.0, 1.0, second)),
            [0.0, 0.5, 1.0, 0.5, 0.0]
        );
        let sine = quarters(Sine::new(-1.0, 1.0, second));
        for (got, expected) in sine.iter().zip([0.0, 1.0, 0.0, -1.0, 0.0]) {
            assert!((got - expected).abs() < 1e-12, "{sine:?}");
        }
    }

    #[test]
    fn a_period_of_zero_stays_at_the_start() {
        assert_eq!(quarters(Ramp::new(2.0, 3.0, Duration::ZERO)), [2.0; 5]);
    }
}
