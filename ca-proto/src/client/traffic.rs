//! What passed, counted.

use alloc::vec::Vec;
use core::time::Duration;

use super::Client;
use super::channel::Phase;
use crate::time::Instant;
use crate::wire::PvName;

/// Counts of what a client has sent and received since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// Datagrams with searches, each counted once for each address that it went to.
    pub search_datagrams: u64,
    /// Their bytes.
    pub search_bytes: u64,
    /// Names in searches; a name that is asked for again counts again.
    pub searches: u64,
    /// Times that searches had to wait for the [budget](crate::config::ClientParams::search_budget).
    pub search_delays: u64,
    /// Answers to searches, late ones and those of further servers included.
    pub search_replies: u64,
    /// Datagrams received: answers, and beacons through the repeater.
    pub datagrams_received: u64,
    /// Bytes that the sockets of circuits took.
    pub bytes_sent: u64,
    /// Updates of subscriptions.
    pub updates: u64,
    /// Answers to reads and put-notifies.
    pub answers: u64,
    /// Times a channel became usable.
    pub connects: u64,
    /// Times a channel that was usable was lost.
    pub disconnects: u64,
    /// Channels that were asked for at the server that an earlier run knew, instead of being searched.
    pub hinted: u64,
    /// Those of them that were searched after all.
    pub stale_hints: u64,
    /// From a search to its answer.
    pub round_trips: RoundTrips,
}

/// A histogram of times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoundTrips {
    counts: [u64; Self::BUCKETS],
    /// Sum of all times.
    pub total: Duration,
}

impl RoundTrips {
    /// Buckets, the last of which has no upper bound.
    pub const BUCKETS: usize = 16;

    /// Upper bound of a bucket: 125 µs, and twice as much for each further one; none of the last.
    pub fn bound(bucket: usize) -> Option<Duration> {
        let last = Self::BUCKETS - 1;
        (bucket < last).then(|| Duration::from_micros(125 << bucket.min(last)))
    }

    /// How many times were in each bucket and not in the ones before it.
    pub const fn counts(&self) -> &[u64; Self::BUCKETS] {
        &self.counts
    }

    /// How many times there are.
    pub fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add(&mut self, time: Duration) {
        let fits = |bucket: &usize| Self::bound(*bucket).is_none_or(|bound| time <= bound);
        let bucket = (0..Self::BUCKETS).find(fits).unwrap_or(Self::BUCKETS - 1);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.total = self.total.saturating_add(time);
    }
}

/// How many channels are where on their way to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ChannelStates {
    /// Nobody has answered, or the channel was lost and is searched after a pause.
    pub searching: usize,
    /// Found; the connection or the channel is being made.
    pub connecting: usize,
    /// Usable.
    pub connected: usize,
    /// Of servers that do not answer any more.
    pub unresponsive: usize,
}

/// What it has cost to look for a name that is not found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SearchCost {
    /// The name.
    pub name: PvName,
    /// Datagrams that carried it since the channel was opened or lost; each went to all addresses.
    pub datagrams: u32,
    /// Whether a server was ever found for it.
    pub answered: bool,
}

impl Client {
    /// What passed.
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// How many channels are in which state; looks at each circuit.
    pub fn channel_states(&self) -> ChannelStates {
        let mut states = ChannelStates::default();
        for (_, circuit) in self.circuits.iter() {
            let ready = circuit.ready as usize;
            match circuit.is_live() {
                true => states.connected += ready,
                false => states.unresponsive += ready,
            }
            states.connecting += circuit.channels.len().saturating_sub(ready);
        }
        let found = states.connected + states.unresponsive + states.connecting;
        states.searching = self.channels.len().saturating_sub(found);
        states
    }

    /// The names that were searched most of those that are not found, the most expensive first; at most so many.
    /// Looks at each channel.
    pub fn most_searched(&self, most: usize) -> Vec<SearchCost> {
        let mut costs: Vec<(u32, crate::ids::Cid)> = Vec::new();
        for (cid, channel) in self.channels.iter() {
            let datagrams = self.search.attempts(cid);
            if channel.phase != Phase::Searching || datagrams == 0 {
                continue;
            }
            costs.push((datagrams, cid));
            if costs.len() >= most.saturating_mul(2).max(64) {
                costs.sort_unstable_by(|a, b| b.cmp(a));
                costs.truncate(most);
            }
        }
        costs.sort_unstable_by(|a, b| b.cmp(a));
        costs.truncate(most);
        let cost = |(datagrams, cid)| {
            let channel = self.channels.get(cid)?;
            Some(SearchCost {
                name: channel.name.clone(),
                datagrams,
                answered: channel.trouble.is_some(),
            })
        };
        costs.into_iter().filter_map(cost).collect()
    }

    /// What it has cost to look for a name that is not found; `None` if no channel of that name is searched. Looks at
    /// each channel.
    pub fn search_cost(&self, name: &[u8]) -> Option<SearchCost> {
        let (cid, channel) = self.channels.iter().find(|(_, channel)| {
            channel.phase == Phase::Searching && channel.name.as_bytes() == name
        })?;
        Some(SearchCost {
            name: channel.name.clone(),
            datagrams: self.search.attempts(cid),
            answered: channel.trouble.is_some(),
        })
    }

    /// Looks at the name of each channel for which no server is known. Looks at each channel.
    pub fn for_each_searching(&self, mut look: impl FnMut(&PvName)) {
        for (_, channel) in self.channels.iter() {
            if channel.phase == Phase::Searching {
                look(&channel.name);
            }
        }
    }

    pub(super) fn count_search(&mut self, bytes: usize) {
        let copies = self.params.search_addrs.len() as u64;
        self.traffic.search_datagrams += copies;
        self.traffic.search_bytes += copies * bytes as u64;
    }
}

/// A rate with a burst of one second, as the one instant from which on the next is allowed (GCRA).
#[derive(Debug)]
pub(super) struct Budget {
    per_second: u32,
    /// When all that was sent so far is paid for.
    paid: Instant,
    /// Until when nothing may be sent; `None` if it may.
    pub(super) blocked: Option<Instant>,
    pub(super) delays: u64,
}

/// What may be sent at once by who has sent nothing.
const BURST: Duration = Duration::from_secs(1);

impl Budget {
    pub(super) const fn new(now: Instant, per_second: u32) -> Self {
        Self {
            per_second,
            paid: now,
            blocked: None,
            delays: 0,
        }
    }

    /// Whether a datagram may be sent.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        if self.per_second == 0 || self.paid <= now + BURST {
            self.blocked = None;
            return true;
        }
        let until = now + (self.paid - (now + BURST));
        if self.blocked.is_none() {
            self.delays += 1;
        }
        self.blocked = Some(until);
        false
    }

    /// So many copies were sent.
    pub(super) fn spend(&mut self, now: Instant, copies: usize) {
        if self.per_second > 0 {
            let each = 1e9 / f64::from(self.per_second);
            let nanos = each * copies as f64;
            self.paid = self.paid.max(now) + Duration::from_nanos(nanos as u64);
        }
    }

    /// The time has come at which it was to be asked again.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.blocked.is_some_and(|until| until <= now) {
            self.blocked = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_bucket_whose_bound_they_do_not_exceed() {
        let mut histogram = RoundTrips::default();
        for micros in [1, 125, 126, 2_000, 60_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        assert_eq!(histogram.len(), 5);
        assert_eq!(histogram.counts()[..2], [2, 1]);
        assert_eq!((histogram.counts()[4], histogram.counts()[15]), (1, 1));
        assert_eq!(RoundTrips::bound(15), None);
    }

    #[test]
    fn a_budget_allows_a_burst_and_then_its_rate() {
        let start = Instant::from_nanos(0);
        let mut budget = Budget::new(start, 100);
        let mut sent = 0;
        while budget.allows(start) {
            budget.spend(start, 2);
            sent += 2;
        }
        assert_eq!(sent, 102);
        let mut now = start;
        while now < start + Duration::from_secs(10) {
            now = budget.blocked.unwrap();
            budget.handle_timeout(now);
            while budget.allows(now) {
                budget.spend(now, 2);
                sent += 2;
            }
        }
        assert!((1100..=1104).contains(&sent), "{sent}");
    }
}
