//! What measuring does to a value: noise, drift, latency, quantisation.

use std::time::Duration;

use ca_proto::dbr::{NativeType, Value};
use ca_proto::rng::Pcg32;

use super::{Signal, state_of, take_state};
use crate::faults::normal;

/// A signal as an instrument shows it. Everything is added to each element of what the signal gives; texts stay
/// as they are.
#[derive(Clone, PartialEq, Debug)]
pub struct Shaped<S> {
    inner: S,
    noise: f64,
    drift: f64,
    latency: Duration,
    quantum: f64,
    walked: f64,
    last: Duration,
}

impl<S: Signal> Shaped<S> {
    /// The signal as it is.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            noise: 0.0,
            drift: 0.0,
            latency: Duration::ZERO,
            quantum: 0.0,
            walked: 0.0,
            last: Duration::ZERO,
        }
    }

    /// Normal noise with this root mean square.
    #[must_use]
    pub const fn noise(mut self, rms: f64) -> Self {
        self.noise = rms;
        self
    }

    /// A random walk: its root mean square after a second, growing with the root of the time.
    #[must_use]
    pub const fn drift(mut self, rms: f64) -> Self {
        self.drift = rms;
        self
    }

    /// What the signal was so long ago.
    #[must_use]
    pub const fn latency(mut self, time: Duration) -> Self {
        self.latency = time;
        self
    }

    /// Whole multiples of this, as of a converter; 0 for none.
    #[must_use]
    pub const fn quantum(mut self, quantum: f64) -> Self {
        self.quantum = quantum;
        self
    }

    fn shape(&self, value: f64, rng: &mut Pcg32) -> f64 {
        let noise = match self.noise == 0.0 {
            true => 0.0,
            false => self.noise * normal(rng),
        };
        let value = value + self.walked + noise;
        match self.quantum > 0.0 {
            true => (value / self.quantum).round() * self.quantum,
            false => value,
        }
    }
}

impl<S: Signal> Signal for Shaped<S> {
    fn sample(&mut self, t: Duration, rng: &mut Pcg32) -> Value {
        let value = self.inner.sample(t.saturating_sub(self.latency), rng);
        if self.drift != 0.0 {
            let passed = t.saturating_sub(self.last).as_secs_f64();
            self.walked += self.drift * passed.sqrt() * normal(rng);
        }
        self.last = t;
        let Some(mut numbers) = numbers(&value) else {
            return value;
        };
        for number in &mut numbers {
            *number = self.shape(*number, rng);
        }
        match numbers.as_slice() {
            [number] => Value::scalar(*number),
            numbers => Value::from(numbers.to_vec()),
        }
    }

    fn state(&self) -> Vec<u8> {
        state_of(&(self.walked, self.last, self.inner.state()))
    }

    fn set_state(&mut self, state: &[u8]) -> bool {
        let mut parts = (self.walked, self.last, Vec::new());
        if !take_state(state, &mut parts) || !self.inner.set_state(&parts.2) {
            return false;
        }
        (self.walked, self.last, _) = parts;
        true
    }
}

/// The elements as numbers, if they are.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    let value = value.as_ref();
    Some(match value.native {
        NativeType::Double => value.elements::<f64>()?.collect(),
        NativeType::Float => value.elements::<f32>()?.map(f64::from).collect(),
        NativeType::Long => value.elements::<i32>()?.map(f64::from).collect(),
        NativeType::Short => value.elements::<i16>()?.map(f64::from).collect(),
        NativeType::Char => value.elements::<u8>()?.map(f64::from).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Ramp, Sine};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn number(value: &Value) -> f64 {
        numbers(value).unwrap()[0]
    }

    #[test]
    fn noise_drift_latency_and_steps() {
        let mut rng = Pcg32::new(5);
        let ramp = || Shaped::new(Ramp::new(0.0, 1000.0, 1000 * SECOND));
        let mut late = ramp().latency(3 * SECOND);
        assert_eq!(number(&late.sample(10 * SECOND, &mut rng)), 7.0);
        assert_eq!(number(&late.sample(SECOND, &mut rng)), 0.0);
        let mut coarse = ramp().quantum(0.25);
        let shown = number(&coarse.sample(Duration::from_millis(10_100), &mut rng));
        assert_eq!(shown, 10.0);
        let constant = |t: u32| {
            number(
                &Shaped::new(Sine::new(5.0, 5.0, SECOND))
                    .noise(2.0)
                    .sample(SECOND * t, &mut rng),
            )
        };
        let noise: Vec<f64> = (0..2000).map(constant).collect();
        let rms = (noise.iter().map(|v| (v - 5.0).powi(2)).sum::<f64>() / 2000.0).sqrt();
        assert!((1.9..2.1).contains(&rms), "{rms}");
    }

    /// The walk after a hundred seconds is ten times that after one, whatever the period.
    #[test]
    fn drift_grows_with_the_root_of_the_time() {
        let mut rng = Pcg32::new(5);
        let mut ends = |period: Duration| {
            let steps = 100 * 1000 / period.as_millis() as u32;
            let walk = |_| {
                let mut walk = Shaped::new(Sine::new(0.0, 0.0, SECOND)).drift(0.1);
                let mut last = 0.0;
                for n in 1..=steps {
                    last = number(&walk.sample(period * n, &mut rng));
                }
                last * last
            };
            ((0..200).map(walk).sum::<f64>() / 200.0).sqrt()
        };
        for period in [SECOND, 10 * SECOND] {
            let rms = ends(period);
            assert!((0.8..1.2).contains(&rms), "{rms}");
        }
    }

    #[test]
    fn texts_and_arrays() {
        let mut rng = Pcg32::new(1);
        let text = |_: Duration, _: &mut Pcg32| Value::from("on");
        assert_eq!(
            Shaped::new(text).noise(1.0).sample(SECOND, &mut rng),
            Value::from("on")
        );
        let array = |_: Duration, _: &mut Pcg32| Value::from(vec![1.1, 2.2]);
        let mut coarse = Shaped::new(array).quantum(1.0);
        assert_eq!(coarse.sample(SECOND, &mut rng), Value::from(vec![1.0, 2.0]));
    }
}
