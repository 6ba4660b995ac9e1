//! Random numbers of expressions.

use crate::state::codec::{Broken, Reader, Saved, Writer};

/// The numbers of `RNDM`, 0 to 1: a sequence of 65 536 that follows from its start, as in EPICS Base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Random(u16);

impl Random {
    /// A sequence with a start of its own.
    pub const fn new(seed: u16) -> Self {
        Self(seed)
    }

    fn step(&mut self) -> u16 {
        self.0 = self.0.wrapping_mul(1533).wrapping_add(0x3141);
        self.0
    }

    pub(super) fn next(&mut self) -> f64 {
        f64::from(self.step()) / 65535.0
    }

    /// One that is not 0.
    pub(super) fn next_above_zero(&mut self) -> f64 {
        (f64::from(self.step()) + 1.0) / 65536.0
    }

    /// One of a normal distribution about 0 with a standard deviation of 1.
    pub(super) fn next_normal(&mut self) -> f64 {
        let radius = (-2.0 * self.next_above_zero().ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.next_above_zero()).cos()
    }
}

impl Default for Random {
    /// The start that EPICS Base has.
    fn default() -> Self {
        Self(0xa3bf)
    }
}

impl Saved for Random {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        u16::load(from).map(Self)
    }
}
