//! Waveforms as an oscilloscope shows them.

use std::time::Duration;

use ca_proto::dbr::Value;
use ca_proto::rng::Pcg32;

use super::Signal;
use super::wave::phase;

/// An oscilloscope trace: a few periods of a sine that wanders slowly, with noise. `f64` elements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scope {
    /// Elements of the trace.
    pub points: u32,
    /// Periods of the sine that the trace shows.
    pub cycles: f64,
    /// Largest value of the sine.
    pub amplitude: f64,
    /// Largest value of the noise that is added.
    pub noise: f64,
    /// Time in which the trace wanders by one period of the sine.
    pub drift: Duration,
}

impl Scope {
    /// Two periods of amplitude 1 with 2 % noise, wandering once in ten seconds.
    pub const fn new(points: u32) -> Self {
        Self {
            points,
            cycles: 2.0,
            amplitude: 1.0,
            noise: 0.02,
            drift: Duration::from_secs(10),
        }
    }
}

impl Signal for Scope {
    fn sample(&mut self, t: Duration, rng: &mut Pcg32) -> Value {
        let start = phase(t, self.drift);
        let step = self.cycles / f64::from(self.points.max(1));
        let point = |n: u32| {
            let angle = core::f64::consts::TAU * (start + f64::from(n) * step);
            self.amplitude * libm::sin(angle) + self.noise * (2.0 * rng.f64() - 1.0)
        };
        Value::from((0..self.points).map(point).collect::<Vec<f64>>())
    }
}
