//! Signals: values that change with time by themselves.
//!
//! A signal is attached to a PV with a period ([`PvSpec::signal`](crate::PvSpec::signal)); every
//! period it is sampled, and the PV is processed with the sample. Any closure
//! `FnMut(Duration, &mut Pcg32) -> Value` is a signal too. A sample follows from the time and the
//! PV's own random numbers alone, so runs with the same seed are the same.

mod correlated;
mod image;
pub(crate) mod line;
mod noise;
mod playback;
mod shaped;
mod trace;
mod wave;

use std::fmt;
use std::time::Duration;

use ca_proto::dbr::Value;

use crate::state::codec::{Reader, Saved, Writer};

pub use ca_proto::rng::Pcg32;
pub use correlated::{Correlated, CorrelationError, correlated};
pub use image::Camera;
pub use noise::{Noise, RandomWalk};
pub use playback::{MAX_RECORDING, Playback, Recording, RecordingError, RecordingMistake};
pub use shaped::Shaped;
pub use trace::Scope;
pub use wave::{Ramp, Sine, Square, Triangle};

/// Something that gives a value for every point in time.
pub trait Signal {
    /// The value `t` after the start of the IOC. Called in order of time.
    fn sample(&mut self, t: Duration, rng: &mut Pcg32) -> Value;

    /// What of it changes from sample to sample, for a [snapshot](crate::Ioc::snapshot). By default nothing: such a
    /// signal, as are all closures, goes on from where it is when the IOC is taken back.
    fn state(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Makes it what it was when it gave this [state](Self::state); false if it never gave such a one.
    fn set_state(&mut self, state: &[u8]) -> bool {
        state.is_empty()
    }

    /// The signal as an instrument shows it: with noise, drift, latency, in steps.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ca_server_sim::signals::{Signal, Sine};
    ///
    /// let level = Sine::new(0.0, 10.0, Duration::from_secs(60));
    /// let shown = level.shaped().noise(0.01).latency(Duration::from_millis(200)).quantum(0.05);
    /// # let _ = shown;
    /// ```
    fn shaped(self) -> Shaped<Self>
    where
        Self: Sized,
    {
        Shaped::new(self)
    }
}

impl<F: FnMut(Duration, &mut Pcg32) -> Value> Signal for F {
    fn sample(&mut self, t: Duration, rng: &mut Pcg32) -> Value {
        self(t, rng)
    }
}

/// The same value every time; each sample is a processing with a new time stamp.
#[derive(Clone, PartialEq, Debug)]
pub struct Constant(pub Value);

impl Signal for Constant {
    fn sample(&mut self, _: Duration, _: &mut Pcg32) -> Value {
        self.0.clone()
    }
}

/// Counts samples: `start`, `start + step`, …; wraps like a 32-bit number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counter {
    /// The next sample.
    pub next: i32,
    /// Difference of two samples.
    pub step: i32,
}

impl Counter {
    /// Counts from 0 in steps of 1.
    pub const fn new() -> Self {
        Self { next: 0, step: 1 }
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl Signal for Counter {
    fn sample(&mut self, _: Duration, _: &mut Pcg32) -> Value {
        let value = self.next;
        self.next = value.wrapping_add(self.step);
        Value::scalar(value)
    }

    fn state(&self) -> Vec<u8> {
        state_of(&self.next)
    }

    fn set_state(&mut self, state: &[u8]) -> bool {
        take_state(state, &mut self.next)
    }
}

/// What changes of a signal, as bytes.
fn state_of(parts: &impl Saved) -> Vec<u8> {
    let mut to = Writer::default();
    parts.save(&mut to);
    to.bytes
}

/// The same back; false if it is something else.
fn take_state<T: Saved>(state: &[u8], parts: &mut T) -> bool {
    let mut from = Reader::new(state);
    match T::load(&mut from) {
        Ok(read) if from.is_at_end() => {
            *parts = read;
            true
        }
        _ => false,
    }
}

/// A signal of any kind.
pub(crate) struct BoxedSignal(pub Box<dyn Signal + Send>);

impl Signal for BoxedSignal {
    fn sample(&mut self, t: Duration, rng: &mut Pcg32) -> Value {
        self.0.sample(t, rng)
    }

    fn state(&self) -> Vec<u8> {
        self.0.state()
    }

    fn set_state(&mut self, state: &[u8]) -> bool {
        self.0.set_state(state)
    }
}

impl fmt::Debug for BoxedSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signal")
    }
}
