//! What beacons say about servers (`bhe::updatePeriod` of EPICS Base).
//!
//! Differences from the reference (defect 10.14): after one or two lost beacons the next one counts,
//! with the period divided by the advance of its number, instead of being thrown away and distorting
//! the average; a number that falls back is a restarted server, unless it comes within a second
//! after a newer one, which is how late copies over a second route come. A server whose first beacon
//! comes late is compared with the time since beacons can be heard at all, not with the start of the
//! client. The table is bounded.

use alloc::collections::VecDeque;
use core::net::SocketAddrV4;
use core::time::Duration;
use hashbrown::HashMap;

use crate::time::Instant;
use crate::wire::Minor;

/// Servers that are remembered; beyond it the one known longest is forgotten.
const MAX_SERVERS: usize = 20_000;
/// A number up to this far behind is a late copy if it comes [`COPY_WITHIN`] after a newer one.
const BEHIND: u32 = 256;
const COPY_WITHIN: Duration = Duration::from_secs(1);
/// Advances up to this are lost beacons.
const MAX_LOST: u32 = 3;

/// What a beacon means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The first of this server; nothing to compare with.
    First,
    /// A copy.
    Duplicate,
    /// In time: a sign of life.
    Healthy,
    /// Out of time: not to be trusted as a sign of life.
    Suspect,
    /// A server came, came back, or was cut off for a while: worth searching.
    Anomaly,
}

/// What a client hears of servers through the repeater.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BeaconStats {
    /// Whether the repeater confirmed the last registration.
    pub registered: bool,
    /// Beacons received, copies included.
    pub received: u64,
    /// Beacons that told of a server that came, came back, or was cut off for a while
    /// (`ca_beacon_anomaly_count` of the reference); each makes slow searches fast again.
    pub anomalies: u64,
}

#[derive(Debug)]
struct Record {
    /// Time and number of the last accepted beacon; `None` after the circuit was lost.
    last: Option<Instant>,
    number: u32,
    /// Average period in seconds.
    average: Option<f64>,
}

#[derive(Debug)]
pub(super) struct BeaconTracker {
    servers: HashMap<SocketAddrV4, Record>,
    /// Keys in the order in which they were added.
    order: VecDeque<SocketAddrV4>,
    capacity: usize,
    /// Since when beacons can be heard.
    since: Instant,
    received: u64,
    anomalies: u64,
}

impl BeaconTracker {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            servers: HashMap::new(),
            order: VecDeque::new(),
            capacity: MAX_SERVERS,
            since: now,
            received: 0,
            anomalies: 0,
        }
    }

    pub(super) const fn stats(&self, registered: bool) -> BeaconStats {
        BeaconStats {
            registered,
            received: self.received,
            anomalies: self.anomalies,
        }
    }

    /// Average period of a server's beacons.
    pub(super) fn period(&self, server: SocketAddrV4) -> Option<Duration> {
        let average = self.servers.get(&server)?.average?;
        Duration::try_from_secs_f64(average).ok()
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = SocketAddrV4> + '_ {
        self.order.iter().copied()
    }

    /// The repeater confirmed the first registration: beacons are heard from now on.
    pub(super) const fn listening_since(&mut self, now: Instant) {
        self.since = now;
    }

    /// The last circuit to a server was lost: its next beacon is a new beginning.
    pub(super) fn forget_timing(&mut self, server: SocketAddrV4) {
        if let Some(record) = self.servers.get_mut(&server) {
            record.last = None;
            record.average = None;
        }
    }

    pub(super) fn observe(
        &mut self,
        now: Instant,
        server: SocketAddrV4,
        number: u32,
        minor: Minor,
    ) -> Verdict {
        let verdict = self.judge(now, server, number, minor);
        self.received += 1;
        self.anomalies += u64::from(verdict == Verdict::Anomaly);
        verdict
    }

    fn judge(&mut self, now: Instant, server: SocketAddrV4, number: u32, minor: Minor) -> Verdict {
        let Some(record) = self.servers.get_mut(&server) else {
            self.insert(now, server, number);
            return Verdict::First;
        };
        let Some(last) = record.last else {
            record.last = Some(now);
            record.number = number;
            return Verdict::Suspect;
        };
        let elapsed = now - last;
        let mut steps = 1;
        if minor.has_beacon_sequence() {
            let advance = number.wrapping_sub(record.number);
            let behind = advance > u32::MAX - BEHIND;
            if advance == 0 || behind && elapsed < COPY_WITHIN {
                return Verdict::Duplicate;
            }
            record.number = number;
            if advance <= MAX_LOST {
                steps = advance;
            }
        }
        record.last = Some(now);
        let period = elapsed.as_secs_f64() / f64::from(steps);
        let Some(average) = record.average else {
            record.average = Some(period);
            // Had it been there before, it would have been heard before.
            let heard_for = last.saturating_duration_since(self.since).as_secs_f64();
            return if period <= heard_for {
                Verdict::Anomaly
            } else {
                Verdict::Suspect
            };
        };
        record.average = Some(period / 8.0 + 7.0 * average / 8.0);
        if period >= 3.25 * average || period <= 0.80 * average {
            Verdict::Anomaly
        } else if period >= 1.25 * average {
            Verdict::Suspect
        } else {
            Verdict::Healthy
        }
    }

    fn insert(&mut self, now: Instant, server: SocketAddrV4, number: u32) {
        if self.servers.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.servers.remove(&oldest);
        }
        let record = Record {
            last: Some(now),
            number,
            average: None,
        };
        self.servers.insert(server, record);
        self.order.push_back(server);
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Anomaly, Duplicate, First, Healthy, Suspect};
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    const SERVER: SocketAddrV4 = SocketAddrV4::new(core::net::Ipv4Addr::new(10, 0, 0, 1), 5064);

    fn play(tracker: &mut BeaconTracker, script: &[(u64, u32, Verdict)]) {
        for &(millis, number, expected) in script {
            let verdict = tracker.observe(at(millis), SERVER, number, Minor::CURRENT);
            assert_eq!(verdict, expected, "number {number} at {millis} ms");
        }
    }

    /// "Measured (sender period 3 s)", with the defect of row C10 of PROTOCOL.md mended: 6 after 4 counts, so the
    /// average stays at 3 s.
    #[test]
    fn lost_and_repeated_beacons_of_a_3_s_sender() {
        let mut tracker = BeaconTracker::new(at(0));
        play(
            &mut tracker,
            &[
                (1_000, 0, First),
                (4_000, 1, Suspect),
                (7_000, 2, Healthy),
                (10_000, 3, Healthy),
                (13_000, 4, Healthy),
                (19_000, 6, Healthy),
                (22_000, 7, Healthy),
                (25_000, 8, Healthy),
                (25_100, 8, Duplicate),
                (25_200, 7, Duplicate),
                (28_000, 9, Healthy),
                (29_000, 10, Anomaly),
                (32_000, 11, Healthy),
                // 12 s for 6 beacons.
                (44_000, 17, Anomaly),
            ],
        );
        let stats = tracker.stats(true);
        assert_eq!((stats.received, stats.anomalies), (14, 2));
        let period = tracker.period(SERVER).unwrap().as_secs_f64();
        assert!((3.0..4.2).contains(&period), "{period}");
    }

    /// The first beacon of a restarted server is heard at once, from small
    /// and from large numbers.
    #[test]
    fn restart_is_seen_at_the_first_beacon() {
        for number in [12, 1_000] {
            let mut tracker = BeaconTracker::new(at(0));
            play(
                &mut tracker,
                &[
                    (1_000, number - 2, First),
                    (4_000, number - 1, Suspect),
                    (7_000, number, Healthy),
                    (8_500, 0, Anomaly),
                    (8_520, 1, Anomaly),
                    (8_560, 2, Anomaly),
                ],
            );
        }
    }

    /// 1.25 and 3.25 times the average, 0.80 times.
    #[test]
    fn limits_of_the_period() {
        let after = |period: u64| {
            let mut tracker = BeaconTracker::new(at(0));
            play(&mut tracker, &[(100, 0, First), (10_100, 1, Suspect)]);
            tracker.observe(at(10_100 + period), SERVER, 2, Minor::CURRENT)
        };
        let expected = [
            (8_000, Anomaly),
            (8_001, Healthy),
            (12_499, Healthy),
            (12_500, Suspect),
            (32_499, Suspect),
            (32_500, Anomaly),
        ];
        for (period, verdict) in expected {
            assert_eq!(after(period), verdict, "{period}");
        }
    }

    /// A server first heard later than one period after we began to listen is new.
    #[test]
    fn a_new_server_is_an_anomaly_and_one_that_was_there_is_not() {
        let mut tracker = BeaconTracker::new(at(0));
        tracker.listening_since(at(20_000));
        play(&mut tracker, &[(30_000, 5, First), (45_000, 6, Suspect)]);
        let mut tracker = BeaconTracker::new(at(0));
        play(&mut tracker, &[(30_000, 5, First), (45_000, 6, Anomaly)]);
    }

    /// "After a circuit to the server was lost, the record is unset again".
    #[test]
    fn a_lost_circuit_starts_the_timing_anew() {
        let mut tracker = BeaconTracker::new(at(0));
        play(
            &mut tracker,
            &[(1_000, 5, First), (2_000, 6, Anomaly), (3_000, 7, Healthy)],
        );
        tracker.forget_timing(SERVER);
        play(
            &mut tracker,
            &[
                (9_000, 13, Suspect),
                (10_000, 14, Anomaly),
                (11_000, 15, Healthy),
            ],
        );
    }

    /// Servers below 4.10 have no numbers.
    #[test]
    fn numbers_of_old_servers_are_ignored() {
        let mut tracker = BeaconTracker::new(at(0));
        let old = Minor(9);
        assert_eq!(tracker.observe(at(1_000), SERVER, 0, old), First);
        assert_eq!(tracker.observe(at(4_000), SERVER, 0, old), Suspect);
        assert_eq!(tracker.observe(at(7_000), SERVER, 0, old), Healthy);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut tracker = BeaconTracker::new(at(0));
        tracker.capacity = 2;
        let server = |port| SocketAddrV4::new(*SERVER.ip(), port);
        for port in [1, 2, 3, 3] {
            tracker.observe(at(0), server(port), 0, Minor::CURRENT);
        }
        assert_eq!(tracker.servers.len(), 2);
        assert_eq!(tracker.order.len(), 2);
        assert_eq!(tracker.observe(at(0), server(1), 0, Minor::CURRENT), First);
    }
}
