//! The state of one lane, and the estimate of the round trip.

use core::time::Duration;

use crate::time::Instant;

/// Initial and smallest round trip estimate, in seconds.
pub(super) const MIN_ROUND_TRIP: f64 = 0.032;
/// Largest measurement that enters the estimate, in seconds.
const MAX_ROUND_TRIP: f64 = 30.0;
/// Datagrams per try at most.
const MAX_FRAMES: f64 = 64.0;

/// How many names of a try may go without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// One in so many: a good try all the same.
    pub(super) few: u32,
    /// More than one in so many: congestion, or nobody is there.
    pub(super) most: u32,
}

impl Tolerance {
    const OURS: Self = Self { few: 8, most: 2 };
    /// That of the reference: none.
    #[cfg(test)]
    pub(super) const NONE: Self = Self {
        few: u32::MAX,
        most: u32::MAX,
    };
}

#[derive(Debug)]
pub(super) struct Lane {
    /// `None` while the lane is empty.
    pub(super) due: Option<Instant>,
    /// Last firing, the start of the round trip measurement.
    pub(super) fired: Instant,
    /// Datagrams of the try in progress that may still leave.
    pub(super) left: u32,
    pub(super) attempts: u32,
    pub(super) responses: u32,
    pub(super) frames: f64,
    pub(super) threshold: f64,
    pub(super) tolerance: Tolerance,
    /// Sequence numbers of the last try, `begin` to before `end`.
    pub(super) begin: u32,
    pub(super) end: u32,
}

impl Lane {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            due: None,
            fired: now,
            left: 0,
            attempts: 0,
            responses: 0,
            frames: 1.0,
            threshold: f64::INFINITY,
            tolerance: Tolerance::OURS,
            begin: 0,
            end: 0,
        }
    }

    /// Step 4 of 2.5, but for what counts as congestion. In the reference a single name without an answer does, so
    /// that a name in twenty that exists nowhere holds up all others: a datagram in each round trip. Here a few
    /// do not count, and only when most names go without an answer it starts over.
    pub(super) fn adapt(&mut self) {
        if self.attempts == 0 {
            return;
        }
        let missed = self.attempts.saturating_sub(self.responses);
        if missed <= self.attempts / self.tolerance.few {
            if self.frames < self.threshold {
                self.frames = (2.0 * self.frames).min(self.threshold);
            } else {
                self.frames += 1.0 / self.frames;
            }
            self.frames = self.frames.min(MAX_FRAMES);
        } else if missed > self.attempts / self.tolerance.most {
            self.threshold = self.frames / 2.0;
            self.frames = 1.0;
        }
    }
}

/// Mean and deviation of the round trip, in seconds (`udpiiu::updateRTTE`).
#[derive(Debug)]
pub(super) struct RoundTrip {
    mean: f64,
    deviation: f64,
}

impl RoundTrip {
    pub(super) const fn new() -> Self {
        Self {
            mean: MIN_ROUND_TRIP,
            deviation: 0.0,
        }
    }

    pub(super) const fn estimate(&self) -> f64 {
        self.mean + 4.0 * self.deviation
    }

    pub(super) fn measured(&mut self, round_trip: Duration) {
        let measured = round_trip
            .as_secs_f64()
            .clamp(MIN_ROUND_TRIP, MAX_ROUND_TRIP);
        let error = measured - self.mean;
        let distance = if error < 0.0 { -error } else { error };
        self.mean += error / 8.0;
        self.deviation += (distance - self.deviation) / 4.0;
    }
}
