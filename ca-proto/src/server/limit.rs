//! Limits against clients that ask for too much, and what they cost.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use hashbrown::HashMap;

use crate::config::ServerParams;
use crate::time::Instant;

/// Hosts that are told apart within one second; those beyond share one account.
const MAX_HOSTS: usize = 16_384;
/// The span over which search replies are counted.
const SECOND: Duration = Duration::from_secs(1);

macro_rules! limits {
    ($($(#[$doc:meta])+ $name:ident: $setting:literal, $what:literal;)+) => {
        /// A limit of [`ServerParams`] that a client has met.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Limit {
            $($(#[$doc])+ $name,)+
        }

        impl Limit {
            /// All limits.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name of the setting: a field of [`ServerParams`].
            pub const fn setting(self) -> &'static str {
                match self {
                    $(Self::$name => $setting,)+
                }
            }
        }

        /// What happens to whoever meets the limit.
        impl fmt::Display for Limit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $what,)+
                })
            }
        }
    };
}

limits! {
    /// Circuits in all.
    Circuits: "max_circuits", "too many circuits in all: the circuit is refused";
    /// Circuits from one address.
    CircuitsPerHost: "max_circuits_per_host", "too many circuits from one host: the circuit is refused";
    /// Time without `VERSION`.
    FirstVersion: "version_timeout", "no VERSION in time: the circuit is closed";
    /// Time without taking anything of what is queued.
    SlowReader: "stall_timeout", "nothing is read: the circuit is closed";
    /// Channels of a circuit.
    Channels: "max_channels_per_circuit", "too many channels: the channel is refused";
    /// Subscriptions of a circuit.
    Subscriptions: "max_subscriptions_per_circuit", "too many subscriptions: the subscription is refused";
    /// Unfinished write-notifies of a circuit.
    PendingPuts: "max_pending_puts_per_circuit", "too many unfinished write-notifies: the put is refused";
    /// Bytes of write-notifies that wait.
    WaitingPuts: "max_waiting_put_bytes", "too many bytes of waiting write-notifies: the put is refused";
    /// Bytes that a circuit makes the server hold.
    CircuitBytes: "max_bytes_per_circuit", "the circuit holds too many bytes: the request is refused";
    /// Bytes that the circuits of one address make the server hold.
    HostBytes: "max_bytes_per_host", "the circuits of one host hold too many bytes: the request or the circuit is refused";
    /// Size of a message, received or asked for.
    FrameSize: "max_payload", "the message is too large: it is refused";
    /// Bytes of replies that wait to be read.
    ReplyBytes: "send_high_water", "too many replies are not read: the request is refused";
    /// Bytes of a channel name.
    NameLength: "max_name_bytes", "the name is too long: the channel is refused";
    /// Search replies in a second.
    SearchReplies: "search_replies_per_second", "too many searches in all: they are not answered";
    /// Search replies to one address in a second.
    SearchRepliesPerHost: "search_replies_per_second_per_host", "too many searches from one host: they are not answered";
}

/// How often each limit was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LimitCounts([u64; Limit::ALL.len()]);

impl LimitCounts {
    /// Times this limit was met.
    pub fn get(&self, limit: Limit) -> u64 {
        self.0.get(limit as usize).copied().unwrap_or(0)
    }

    /// Counts another time.
    pub fn count(&mut self, limit: Limit) {
        if let Some(count) = self.0.get_mut(limit as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// The limits that were met, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64)> {
        let all = Limit::ALL.iter().zip(self.0);
        all.filter(|(_, count)| *count > 0)
            .map(|(limit, count)| (*limit, count))
    }
}

/// Watches a connection that does not take what is queued for it.
///
/// It is cheap where it matters: a connection that is merely full for a moment costs one
/// assignment. The price is precision: a reader that stops is found after one to two times the
/// limit.
#[derive(Debug)]
pub struct StallWatch {
    limit: Duration,
    due: Option<Instant>,
    moved: bool,
}

impl StallWatch {
    /// Watches for [`ServerParams::stall_timeout`].
    pub const fn new(params: &ServerParams) -> Self {
        Self {
            limit: params.stall_timeout,
            due: None,
            moved: false,
        }
    }

    /// The connection took some bytes, or has taken all.
    pub const fn moved(&mut self) {
        self.moved = true;
    }

    /// The connection does not take all that is queued. Returns when [`poll`](Self::poll) is to be
    /// called, unless that was said before.
    pub fn blocked(&mut self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        if self.due.is_some() {
            return None;
        }
        self.moved = false;
        self.due = Some(now() + self.limit);
        self.due
    }

    /// Looks at what happened since: `Err` if nothing was taken, and the connection is to be closed
    /// ([`Limit::SlowReader`]). `queued` says whether anything is left to send; then the time of the
    /// next look is returned.
    ///
    /// # Errors
    /// [`Limit::SlowReader`].
    pub fn poll(&mut self, now: Instant, queued: bool) -> Result<Option<Instant>, Limit> {
        match self.due {
            Some(due) if due <= now => {}
            due => return Ok(due),
        }
        if queued && !self.moved {
            return Err(Limit::SlowReader);
        }
        self.moved = false;
        self.due = queued.then(|| now + self.limit);
        Ok(self.due)
    }
}

/// Search replies that may still be sent in this second.
#[derive(Debug)]
pub(super) struct ReplyBudget {
    since: Instant,
    used: u32,
    hosts: HashMap<Ipv4Addr, u32>,
    /// What hosts beyond [`MAX_HOSTS`] have used.
    others: u32,
    /// A host that has used up its share.
    spent: Option<Ipv4Addr>,
}

impl ReplyBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            used: 0,
            hosts: HashMap::new(),
            others: 0,
            spent: None,
        }
    }

    /// True for a host whose searches need not be looked at in this second.
    pub(super) fn is_spent(&mut self, now: Instant, from: SocketAddrV4) -> bool {
        self.turn(now);
        self.spent == Some(*from.ip())
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= SECOND {
            self.since = now;
            self.used = 0;
            self.hosts.clear();
            self.others = 0;
            self.spent = None;
        }
    }

    fn account(&mut self, host: Ipv4Addr) -> &mut u32 {
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&host) {
            return &mut self.others;
        }
        self.hosts.entry(host).or_default()
    }

    /// Replies that a host may get, and the limit it meets after them.
    pub(super) fn left(&mut self, params: &ServerParams, from: SocketAddrV4) -> (u32, Limit) {
        let all = params.search_replies_per_second.saturating_sub(self.used);
        let used = *self.account(*from.ip());
        let host = params
            .search_replies_per_second_per_host
            .saturating_sub(used);
        match host <= all {
            true => (host, Limit::SearchRepliesPerHost),
            false => (all, Limit::SearchReplies),
        }
    }

    /// Books replies to a host.
    pub(super) fn book(&mut self, from: SocketAddrV4, replies: u32) {
        self.used = self.used.saturating_add(replies);
        let account = self.account(*from.ip());
        *account = account.saturating_add(replies);
    }

    /// The host gets no more in this second.
    pub(super) const fn spend(&mut self, from: SocketAddrV4) {
        self.spent = Some(*from.ip());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_reader_that_takes_nothing_is_found() {
        let mut watch = StallWatch::new(&ServerParams::default().stall_timeout(SECOND * 10));
        assert_eq!(watch.blocked(|| at(5)), Some(at(15)));
        assert_eq!(watch.blocked(|| at(6)), None);
        assert_eq!(watch.poll(at(14), true), Ok(Some(at(15))));
        assert_eq!(watch.poll(at(15), true), Err(Limit::SlowReader));
    }

    #[test]
    fn a_reader_that_takes_a_little_is_left_alone() {
        let mut watch = StallWatch::new(&ServerParams::default().stall_timeout(SECOND * 10));
        assert_eq!(watch.blocked(|| at(0)), Some(at(10)));
        watch.moved();
        assert_eq!(watch.poll(at(10), true), Ok(Some(at(20))));
        watch.moved();
        assert_eq!(watch.poll(at(20), false), Ok(None));
        // What happened before it was blocked again does not count.
        watch.moved();
        assert_eq!(watch.blocked(|| at(30)), Some(at(40)));
        assert_eq!(watch.poll(at(40), true), Err(Limit::SlowReader));
    }

    #[test]
    fn hosts_beyond_the_table_share_an_account() {
        let mut budget = ReplyBudget::new(at(0));
        let params = ServerParams::default().search_replies_per_second_per_host(10);
        let host = |n: u32| SocketAddrV4::new(Ipv4Addr::from(n), 1);
        for n in 0..MAX_HOSTS as u32 {
            budget.book(host(n), 4);
        }
        budget.book(host(1 << 20), 7);
        assert_eq!(budget.left(&params, host(5)).0, 6);
        assert_eq!(budget.left(&params, host(1 << 21)).0, 3);
        assert_eq!(budget.hosts.len(), MAX_HOSTS);
        assert!(!budget.is_spent(at(1), host(5)));
        assert_eq!(budget.left(&params, host(5)).0, 10);
    }
}
