//! Registration with the repeater of this host (`repeaterSubscribeTimer` of EPICS Base).
//!
//! Differences from the reference: the first attempt is made a second after the first channel was opened
//! instead of 10 s after the start, and a confirmed registration is renewed, because a repeater that was
//! restarted knows nobody (defect 10.6).

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use crate::time::Instant;

/// Pause before the first attempt: a command that ends sooner needs no repeater, and the first searches
/// go out undisturbed.
const FIRST: Duration = Duration::from_secs(1);
/// Pause between unanswered attempts.
const RETRY: Duration = Duration::from_secs(1);
/// Pause after a confirmation.
const RENEW: Duration = Duration::from_secs(60);
/// Unanswered attempts before the user is told (the reference's message comes with the 51st).
const PATIENCE: u32 = 51;

#[derive(Debug)]
pub(super) struct Registration {
    repeater: SocketAddrV4,
    /// Next attempt; `None` before the first channel, and when there is nobody to register with.
    due: Option<Instant>,
    /// An attempt is to be sent.
    pending: bool,
    unanswered: u32,
    told: bool,
    registered: bool,
    begun: bool,
}

impl Registration {
    /// Will register with the repeater on a port of this host; port 0 means no repeater.
    pub(super) const fn new(port: u16) -> Self {
        Self {
            repeater: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            due: None,
            pending: false,
            unanswered: 0,
            told: false,
            registered: false,
            begun: false,
        }
    }

    /// Starts registering; later calls do nothing.
    pub(super) fn begin(&mut self, now: Instant) {
        if !self.begun && self.repeater.port() != 0 {
            self.due = Some(now + FIRST);
        }
        self.begun = true;
    }

    /// Whether the repeater confirmed the last attempt, or may still do so.
    pub(super) const fn is_registered(&self) -> bool {
        self.registered && self.unanswered < 2
    }

    /// Where the zero-length datagram that is due goes.
    pub(super) fn poll(&mut self, now: Instant) -> Option<SocketAddrV4> {
        self.advance(now);
        core::mem::take(&mut self.pending).then_some(self.repeater)
    }

    /// True once, when too many attempts stayed unanswered.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.advance(now);
        let tell = self.unanswered >= PATIENCE && !self.told;
        self.told |= tell;
        tell
    }

    /// True for the first confirmation.
    pub(super) fn confirmed(&mut self, now: Instant) -> bool {
        self.unanswered = 0;
        self.told = false;
        self.due = self.due.map(|_| now + RENEW);
        !core::mem::replace(&mut self.registered, true)
    }

    pub(super) const fn stop(&mut self) {
        self.due = None;
        self.pending = false;
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn advance(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = Some(now + RETRY);
            self.pending = true;
            self.unanswered = self.unanswered.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    fn begun(port: u16) -> Registration {
        let mut registration = Registration::new(port);
        assert_eq!(registration.poll_timeout(), None);
        registration.begin(at(0));
        registration
    }

    /// Trap 18.
    #[test]
    fn registers_until_confirmed_and_again_every_minute() {
        let mut registration = begun(5065);
        let repeater = Some("127.0.0.1:5065".parse().unwrap());
        assert_eq!(registration.poll(at(0)), None);
        for secs in 1..4 {
            assert_eq!(registration.poll(at(secs)), repeater);
            assert_eq!(registration.poll(at(secs)), None);
        }
        assert!(!registration.is_registered());
        assert!(registration.confirmed(at(3)));
        assert!(!registration.confirmed(at(3)));
        assert_eq!(registration.poll(at(4)), None);
        assert_eq!(registration.poll_timeout(), Some(at(63)));
        assert_eq!(registration.poll(at(63)), repeater);
        assert_eq!(registration.poll_timeout(), Some(at(64)));
        // A later channel changes nothing, and one lost answer is not the end.
        registration.begin(at(63));
        assert!(registration.is_registered());
        assert_eq!(registration.poll(at(64)), repeater);
        assert!(!registration.is_registered());
    }

    /// "After 51 unanswered attempts a three-line warning is printed once, attempts go on."
    #[test]
    fn tells_once_that_there_is_no_repeater() {
        let mut registration = begun(5065);
        let told: alloc::vec::Vec<u64> = (0..200)
            .filter(|&secs| registration.handle_timeout(at(secs)))
            .collect();
        assert_eq!(told, [51]);
        assert!(registration.poll(at(200)).is_some());
    }

    #[test]
    fn port_zero_means_no_repeater() {
        let mut registration = begun(0);
        assert_eq!(registration.poll(at(0)), None);
        assert_eq!(registration.poll_timeout(), None);
    }
}
