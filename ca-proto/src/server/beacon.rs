//! When beacons are sent.

use core::time::Duration;

use crate::time::Instant;

/// Pause after the first beacon; doubles until it reaches the period (`rsrv_online_notify_task` of EPICS Base).
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The schedule of a server's beacons.
///
/// Sequence numbers are 0, 1, 2, …; the reference sends 0 twice, which means nothing to clients.
#[derive(Debug)]
pub(super) struct Schedule {
    next: Instant,
    pause: Duration,
    period: Duration,
    sequence: u32,
}

impl Schedule {
    pub(super) fn new(period: Duration, now: Instant) -> Self {
        Self {
            next: now,
            pause: FIRST_PAUSE.min(period),
            period,
            sequence: 0,
        }
    }

    /// When the next beacon is due.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// The sequence number of the beacon that is due, if one is. Late calls are not made up for.
    pub(super) fn poll(&mut self, now: Instant) -> Option<u32> {
        if now < self.next {
            return None;
        }
        let due = self.next + self.pause;
        self.next = if due > now { due } else { now + self.pause };
        self.pause = (self.pause * 2).min(self.period);
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some(sequence)
    }
}
