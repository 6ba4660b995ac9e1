//! Whether the peer of a circuit is alive (`tcpRecvWatchdog` and `tcpiiu::responsiveCircuitNotify` of EPICS Base).
//!
//! The deadlines are lazy: what happens often only stores a time, and the timer is looked at when it
//! fires. One difference from the reference: when the timer of a probe is served much too late (the
//! process was stopped, the host slept), the answer may be waiting unread, so the probe gets its time
//! once more.

use core::time::Duration;

use crate::time::Instant;

/// A timer served later than this was not watched.
const LATE: Duration = Duration::from_secs(1);

/// What the owner has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Nothing,
    /// Send an ECHO.
    Probe,
    /// Tell that the circuit is unresponsive, and send an ECHO.
    Unresponsive,
    /// Tell that the circuit is responsive again.
    Responsive,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Quiet,
    /// An ECHO is out.
    Probing {
        until: Instant,
        /// Its time was prolonged because nobody watched.
        again: bool,
        /// The socket has taken it.
        left: bool,
    },
    /// The ECHO was not answered; nothing is awaited by the clock.
    Late,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    phase: Phase,
    unresponsive: bool,
    /// Last sign of life: received data or a good beacon.
    heard: Instant,
    /// False from a beacon anomaly to the next data: beacons are no sign of life then.
    trust_beacons: bool,
    /// Last progress in sending, while `sending`.
    sent: Instant,
    sending: bool,
    timeout: Duration,
    echo_timeout: Duration,
}

impl Liveness {
    pub(super) const fn new(now: Instant, timeout: Duration, echo_timeout: Duration) -> Self {
        Self {
            phase: Phase::Quiet,
            unresponsive: false,
            heard: now,
            trust_beacons: false,
            sent: now,
            sending: false,
            timeout,
            echo_timeout,
        }
    }

    pub(super) const fn is_unresponsive(&self) -> bool {
        self.unresponsive
    }

    /// Data arrived; it does not end a probe, only an ECHO does.
    pub(super) const fn received(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Quiet) {
            self.trust_beacons = true;
            self.heard = now;
        }
    }

    pub(super) const fn good_beacon(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Quiet) && self.trust_beacons {
            self.heard = now;
        }
    }

    pub(super) const fn beacon_anomaly(&mut self) {
        self.trust_beacons = false;
    }

    /// Bytes were queued on an empty queue; until when they have to leave.
    pub(super) fn started_sending(&mut self, now: Instant) -> Instant {
        self.sending = true;
        self.sent = now;
        now + self.timeout
    }

    /// The socket took bytes; `all` when nothing is left. A probe behind other bytes gets its time
    /// from the moment it leaves; what is sent after it does not prolong it, so that a user who writes
    /// now and then is told of a dead server like one who is silent.
    pub(super) fn progress(&mut self, now: Instant, all: bool) {
        self.sent = now;
        if self.sending
            && let Phase::Probing { until, left, .. } = &mut self.phase
            && !*left
        {
            *until = now + self.echo_timeout;
            *left = all;
        }
        self.sending = !all;
    }

    pub(super) fn echo(&mut self, now: Instant) -> Step {
        match self.phase {
            Phase::Quiet => Step::Nothing,
            Phase::Late => {
                self.probe(now);
                Step::Probe
            }
            Phase::Probing { .. } => {
                self.phase = Phase::Quiet;
                self.heard = now;
                self.trust_beacons = true;
                if core::mem::take(&mut self.unresponsive) {
                    Step::Responsive
                } else {
                    Step::Nothing
                }
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Step {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return Step::Nothing;
        }
        match self.phase {
            Phase::Probing { until, again, left } if until <= now => {
                if !again && now - until > LATE {
                    self.phase = Phase::Probing {
                        until: now + self.echo_timeout,
                        again: true,
                        left,
                    };
                    return Step::Nothing;
                }
                self.phase = Phase::Late;
                self.fail()
            }
            Phase::Quiet if self.heard + self.timeout <= now => {
                self.probe(now);
                Step::Probe
            }
            // The send watchdog: nothing left for as long (`tcpSendWatchdog::expire`).
            _ => {
                let late = now - (self.sent + self.timeout) > LATE;
                self.sent = now;
                if late {
                    return Step::Nothing;
                }
                if self.phase == Phase::Quiet {
                    self.probe(now);
                }
                self.fail()
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let receive = match self.phase {
            Phase::Quiet => Some(self.heard + self.timeout),
            Phase::Probing { until, .. } => Some(until),
            Phase::Late => None,
        };
        let send = (self.sending && !self.unresponsive).then_some(self.sent + self.timeout);
        [receive, send].into_iter().flatten().min()
    }

    fn probe(&mut self, now: Instant) {
        self.phase = Phase::Probing {
            until: now + self.echo_timeout,
            again: false,
            left: false,
        };
    }

    const fn fail(&mut self) -> Step {
        if self.unresponsive {
            return Step::Nothing;
        }
        self.unresponsive = true;
        Step::Unresponsive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn alive() -> Liveness {
        Liveness::new(at(0), Duration::from_secs(3), Duration::from_secs(5))
    }

    /// "With T = 3: last data at 1.32, ECHO at 4.31; data at 9.53 while the echo of 8.42 was
    /// unanswered: unresponsive at 13.42 anyway."
    #[test]
    fn only_an_echo_ends_a_probe() {
        let mut alive = alive();
        alive.received(at(1_320));
        assert_eq!(alive.poll_timeout(), Some(at(4_320)));
        assert_eq!(alive.handle_timeout(at(4_319)), Step::Nothing);
        assert_eq!(alive.handle_timeout(at(4_320)), Step::Probe);
        assert_eq!(alive.echo(at(5_420)), Step::Nothing);
        assert_eq!(alive.handle_timeout(at(8_420)), Step::Probe);
        alive.received(at(9_530));
        assert_eq!(alive.poll_timeout(), Some(at(13_420)));
        assert_eq!(alive.handle_timeout(at(13_420)), Step::Unresponsive);
        assert_eq!(alive.poll_timeout(), None);
    }

    /// A machine that slept says nothing of a server that did not read: the time begins anew.
    #[test]
    fn a_watchdog_that_looks_much_too_late_begins_again() {
        let mut alive = alive();
        alive.sending = true;
        alive.received(at(60_000));
        let late = at(61_000);
        assert_eq!(alive.handle_timeout(late), Step::Nothing);
        assert_eq!(alive.poll_timeout(), Some(at(63_000)));
    }

    /// A late reply leads to one more ECHO, whose reply completes the recovery; the answer to
    /// the surplus ECHO changes nothing.
    #[test]
    fn recovery_needs_two_answers() {
        let mut alive = alive();
        alive.handle_timeout(at(3_000));
        assert_eq!(alive.handle_timeout(at(8_000)), Step::Unresponsive);
        assert_eq!(alive.echo(at(15_000)), Step::Probe);
        assert!(alive.is_unresponsive());
        assert_eq!(alive.echo(at(15_001)), Step::Responsive);
        assert_eq!(alive.echo(at(15_002)), Step::Nothing);
        assert_eq!(alive.poll_timeout(), Some(at(18_001)));
    }

    /// Beacons postpone the probe, but not after an anomaly, until data arrives.
    #[test]
    fn good_beacons_postpone_the_probe() {
        let mut alive = alive();
        alive.good_beacon(at(1_000));
        assert_eq!(alive.poll_timeout(), Some(at(3_000)));
        alive.received(at(1_500));
        alive.good_beacon(at(2_000));
        assert_eq!(alive.poll_timeout(), Some(at(5_000)));
        alive.beacon_anomaly();
        alive.good_beacon(at(2_500));
        assert_eq!(alive.poll_timeout(), Some(at(5_000)));
    }

    /// Bytes that nobody takes make a circuit unresponsive although data still arrives.
    #[test]
    fn a_blocked_send_makes_unresponsive() {
        let mut alive = alive();
        alive.started_sending(at(1_000));
        alive.progress(at(1_500), false);
        alive.received(at(4_000));
        assert_eq!(alive.poll_timeout(), Some(at(4_500)));
        assert_eq!(alive.handle_timeout(at(4_500)), Step::Unresponsive);
        assert_eq!(alive.poll_timeout(), Some(at(9_500)));
        assert_eq!(alive.echo(at(5_000)), Step::Responsive);
    }

    /// "send thread progress while … unacknowledged and probe: restart 5".
    #[test]
    fn a_probe_behind_other_bytes_gets_its_time() {
        let mut alive = alive();
        alive.started_sending(at(2_900));
        alive.handle_timeout(at(3_000));
        alive.progress(at(5_000), false);
        assert_eq!(alive.poll_timeout(), Some(at(8_000)));
        alive.progress(at(7_000), true);
        assert_eq!(alive.poll_timeout(), Some(at(12_000)));
        alive.progress(at(7_500), true);
        assert_eq!(alive.poll_timeout(), Some(at(12_000)));
    }

    /// What the user sends behind a probe gives a dead server no more time, however often it is.
    #[test]
    fn bytes_behind_a_probe_do_not_prolong_it() {
        let mut alive = alive();
        assert_eq!(alive.handle_timeout(at(3_000)), Step::Probe);
        alive.started_sending(at(3_000));
        alive.progress(at(3_001), true);
        assert_eq!(alive.poll_timeout(), Some(at(8_001)));
        for second in 4..8 {
            alive.started_sending(at(second * 1_000));
            alive.progress(at(second * 1_000), true);
        }
        assert_eq!(alive.poll_timeout(), Some(at(8_001)));
        assert_eq!(alive.handle_timeout(at(8_001)), Step::Unresponsive);
    }

    #[test]
    fn a_sleeping_host_does_not_make_its_peers_unresponsive() {
        let mut alive = alive();
        alive.handle_timeout(at(3_000));
        assert_eq!(alive.handle_timeout(at(600_000)), Step::Nothing);
        assert_eq!(alive.poll_timeout(), Some(at(605_000)));
        assert_eq!(alive.handle_timeout(at(700_000)), Step::Unresponsive);
    }
}
