//! Which changes of a value are posted: the dead-bands MDEL and ADEL.

use crate::state::codec::saved;

/// A dead-band and the value it is measured from (MDEL with MLST, ADEL with ALST).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Deadband {
    /// A change has to be larger than this; negative lets every processing through.
    pub width: f64,
    /// The value that was posted last; `None` before any.
    posted: Option<f64>,
}

impl Deadband {
    pub(crate) const fn new(width: f64) -> Self {
        Self {
            width,
            posted: None,
        }
    }

    /// Whether a change from `before` to `value` is to be posted (`recGblCheckDeadband`). `before`
    /// counts until something was posted.
    pub(crate) fn passes(&mut self, before: f64, value: f64) -> bool {
        let from = self.posted.unwrap_or(before);
        let passes = self.width < 0.0 || distance(from, value) > self.width;
        self.posted = Some(if passes { value } else { from });
        passes
    }
}

/// Whether a value without dead-band is to be posted.
pub(crate) fn differs(before: f64, value: f64) -> bool {
    distance(before, value) > 0.0
}

/// How far two values are apart; infinite when one of them is not finite and they differ in kind,
/// so that NaN to NaN is no change and NaN to a number is one that no dead-band hides.
pub(crate) fn distance(from: f64, to: f64) -> f64 {
    if from.is_finite() && to.is_finite() {
        return (from - to).abs();
    }
    let same = from == to || (from.is_nan() && to.is_nan());
    if same { 0.0 } else { f64::INFINITY }
}

saved!(struct Deadband { width, posted });

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(width: f64, values: &[f64]) -> Vec<bool> {
        let mut band = Deadband::new(width);
        let mut before = 0.0;
        let step = |&v: &f64| band.passes(std::mem::replace(&mut before, v), v);
        values.iter().map(step).collect()
    }

    #[test]
    fn an_equal_value_posts_nothing() {
        assert_eq!(
            passing(0.0, &[0.0, 0.1, 0.1, -0.0]),
            [false, true, false, true]
        );
    }

    #[test]
    fn a_change_is_measured_from_the_value_posted_last() {
        assert_eq!(
            passing(1.0, &[0.6, 1.0, 1.1, 0.5, 2.2]),
            [false, false, true, false, true]
        );
    }

    #[test]
    fn a_negative_band_posts_every_time() {
        assert_eq!(passing(-1.0, &[0.0, 0.0]), [true, true]);
    }

    #[test]
    fn values_that_are_no_numbers_pass_once() {
        let inf = f64::INFINITY;
        assert_eq!(
            passing(5.0, &[f64::NAN, f64::NAN, inf, inf, -inf, 3.0]),
            [true, false, true, false, true, true]
        );
    }
}
