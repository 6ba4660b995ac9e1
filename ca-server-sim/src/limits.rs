//! Peers that meet a limit: counted, logged, and closed where nothing else helps.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::config::ServerParams;
use ca_proto::ids::CircuitId;
use ca_proto::server::{EndpointStats, Limit, LimitCounts, Turn};
use ca_proto::wire::{Deframer, Minor};

use crate::ioc::Ioc;

/// Pause between two log lines about the same limit.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Log lines that wait for the driver to write them; further ones are counted.
const MAX_LINES: usize = 64;
/// Pause until a circuit is asked again for updates that there was no room for.
const RETRY: Duration = Duration::from_millis(100);

/// What an IOC holds, and what it has refused.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct IocStats {
    /// Open circuits.
    pub circuits: usize,
    /// Channels of all circuits.
    pub channels: usize,
    /// Subscriptions of all circuits.
    pub subscriptions: usize,
    /// Searches and beacons of all interfaces since the IOC was started.
    pub search: EndpointStats,
    /// Bytes that circuits make the IOC hold, as they are charged
    /// ([`ServerParams::max_bytes_per_circuit`](ca_proto::config::ServerParams::max_bytes_per_circuit)).
    pub bytes: usize,
    /// How often peers met which limit, since the IOC was built.
    pub limits: LimitCounts,
}

/// What an IOC knows of its limits.
#[derive(Debug, Default)]
pub(crate) struct MetLimits {
    counts: LimitCounts,
    /// For each limit: when the next line may be written, and how often it was met since the last.
    log: [(Instant, u64); Limit::ALL.len()],
    /// Circuits whose clients have not announced a version, by when they are closed.
    silent: BTreeSet<(Instant, CircuitId)>,
    /// Circuits to be closed at once.
    expelled: VecDeque<CircuitId>,
    /// Lines for whoever holds the lock of the IOC; `None` where there is none, and lines are written at once.
    kept: Option<Kept>,
    /// Circuits whose next update is more than may be held at the moment; the others of their address
    /// do not say when they give something back.
    starved: BTreeSet<CircuitId>,
    /// When those are asked again.
    retry: Option<Instant>,
}

/// Log lines that are written when nobody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    lines: Vec<String>,
    lost: u64,
}

impl Kept {
    fn push(&mut self, line: String) {
        match self.lines.len() < MAX_LINES {
            true => self.lines.push(line),
            false => self.lost += 1,
        }
    }

    /// Writes the lines. A subscriber may take its time.
    #[cfg(feature = "net")]
    pub(crate) fn write(self) {
        for line in self.lines {
            tracing::warn!("{line}");
        }
        if self.lost > 0 {
            tracing::warn!("{} more lines like the last were not written", self.lost);
        }
    }
}

impl MetLimits {
    /// Counts, and logs now and then.
    pub(crate) fn met(
        &mut self,
        now: Instant,
        limit: Limit,
        peer: SocketAddrV4,
        params: &ServerParams,
    ) {
        self.counts.count(limit);
        let Some((next, unsaid)) = self.log.get_mut(limit as usize) else {
            return;
        };
        *unsaid += 1;
        if now < *next {
            return;
        }
        *next = now + LOG_PAUSE;
        let times = std::mem::take(unsaid);
        let (setting, value) = (limit.setting(), value_of(params, limit));
        let line = format!("{peer}: {limit} ({setting} = {value}; {times} since the last line)");
        self.tell(line);
    }

    /// A line for the log.
    pub(crate) fn tell(&mut self, line: String) {
        match &mut self.kept {
            Some(kept) => kept.push(line),
            None => tracing::warn!("{line}"),
        }
    }

    /// Keeps log lines from now on until they are taken, because the IOC is behind a lock.
    #[cfg(feature = "net")]
    pub(crate) fn keep_lines(&mut self) {
        self.kept.get_or_insert_default();
    }

    /// Takes the lines that were kept.
    #[cfg(feature = "net")]
    pub(crate) fn take_lines(&mut self) -> Option<Kept> {
        let kept = self.kept.as_mut()?;
        (!kept.lines.is_empty()).then(|| std::mem::take(kept))
    }

    /// A circuit is to be closed at once.
    pub(crate) fn expel(&mut self, id: CircuitId) {
        self.expelled.push_back(id);
    }

    #[cfg(feature = "net")]
    pub(crate) fn has_expelled(&self) -> bool {
        !self.expelled.is_empty()
    }

    pub(crate) fn greet(&mut self, id: CircuitId, until: Instant) {
        self.silent.insert((until, id));
    }

    pub(crate) fn forget(&mut self, id: CircuitId, until: Option<Instant>) {
        if let Some(until) = until {
            self.silent.remove(&(until, id));
        }
    }

    pub(crate) fn stop(&mut self) {
        self.silent.clear();
        self.expelled.clear();
        self.starved.clear();
        self.retry = None;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let silent = self.silent.first().map(|&(until, _)| until);
        silent.into_iter().chain(self.retry).min()
    }

    /// Notes a circuit to be asked again for its updates.
    pub(crate) fn starve(&mut self, now: Instant, id: CircuitId) {
        self.starved.insert(id);
        self.retry.get_or_insert(now + RETRY);
    }
}

/// The value of a limit, with its unit if it is a time.
fn value_of(params: &ServerParams, limit: Limit) -> String {
    match limit {
        Limit::Circuits => params.max_circuits.to_string(),
        Limit::CircuitsPerHost => params.max_circuits_per_host.to_string(),
        Limit::FirstVersion => format!("{:?}", params.version_timeout),
        Limit::SlowReader => format!("{:?}", params.stall_timeout),
        Limit::Channels => params.max_channels_per_circuit.to_string(),
        Limit::Subscriptions => params.max_subscriptions_per_circuit.to_string(),
        Limit::PendingPuts => params.max_pending_puts_per_circuit.to_string(),
        Limit::WaitingPuts => params.max_waiting_put_bytes.to_string(),
        Limit::CircuitBytes => params.max_bytes_per_circuit.to_string(),
        Limit::HostBytes => params.max_bytes_per_host.to_string(),
        Limit::FrameSize => params.max_message_bytes().to_string(),
        Limit::ReplyBytes => params.send_high_water.to_string(),
        Limit::NameLength => params.max_name_bytes.to_string(),
        Limit::SearchReplies => params.search_replies_per_second.to_string(),
        Limit::SearchRepliesPerHost => params.search_replies_per_second_per_host.to_string(),
        _ => String::new(),
    }
}

impl Ioc {
    /// What it holds, and what it has refused.
    pub fn stats(&self) -> IocStats {
        let mut stats = IocStats {
            circuits: self.circuits.len(),
            limits: self.limits.counts,
            ..IocStats::default()
        };
        for (_, connection) in self.circuits.iter() {
            stats.channels += connection.circuit.channel_count();
            stats.subscriptions += connection.circuit.subscription_count();
            stats.bytes += connection.circuit.held();
        }
        for endpoint in &self.endpoints {
            let (sum, one) = (&mut stats.search, endpoint.stats());
            sum.datagrams += one.datagrams;
            sum.searches += one.searches;
            sum.found += one.found;
            sum.dropped += one.dropped;
            sum.limited += one.limited;
            sum.malformed += one.malformed;
            sum.beacons += one.beacons;
        }
        stats
    }

    /// A peer has met a limit that the driver watches ([`StallWatch`](ca_proto::server::StallWatch)).
    /// The driver closes the circuit.
    pub fn handle_limit(&mut self, now: Instant, circuit: CircuitId, limit: Limit) {
        if let Some(circuit) = self.circuit(circuit) {
            let peer = circuit.identity().peer;
            self.met(now, limit, peer);
        }
    }

    /// A circuit that the driver has to close at once, without sending what is queued.
    pub fn poll_expelled(&mut self) -> Option<CircuitId> {
        loop {
            let id = self.limits.expelled.pop_front()?;
            if self.circuits.contains(id) {
                return Some(id);
            }
        }
    }

    pub(crate) fn met(&mut self, now: Instant, limit: Limit, peer: SocketAddrV4) {
        self.limits.met(now, limit, peer, &self.params);
    }

    /// Looks at what a message of a circuit has come to.
    pub(crate) fn check_limits(&mut self, now: Instant, id: CircuitId) {
        let Some(connection) = self.circuits.get_mut(id) else {
            return;
        };
        if let Some(until) = connection.silent_until
            && connection.circuit.minor() >= Minor::OLDEST
        {
            connection.silent_until = None;
            self.limits.forget(id, Some(until));
        }
        if let Some(limit) = connection.circuit.take_limit() {
            let peer = connection.circuit.identity().peer;
            self.met(now, limit, peer);
        }
    }

    /// Wakes the circuits whose updates there was no room for.
    pub(crate) fn feed_starved(&mut self, now: Instant) {
        if self.limits.retry.is_none_or(|at| now < at) {
            return;
        }
        self.limits.retry = None;
        for id in std::mem::take(&mut self.limits.starved) {
            self.wake(id);
        }
    }

    /// Takes note of the buffer for a message that is not complete; one for which there is no room is
    /// refused, and the rest of it skipped.
    pub(crate) fn hold_input(&mut self, now: Instant, id: CircuitId, deframer: &mut Deframer) {
        let Some(connection) = self.circuits.get_mut(id) else {
            return;
        };
        let Err(limit) = connection.circuit.hold_input(deframer.held()) else {
            return;
        };
        let Some(header) = deframer.abandon() else {
            return;
        };
        let _ = connection.circuit.hold_input(deframer.held());
        connection.circuit.refuse_frame(&header, limit);
        self.check_limits(now, id);
        self.wake(id);
    }

    /// Expels the circuits whose time without a version is over, until the turn is.
    pub(crate) fn expel_silent(&mut self, now: Instant, turn: &mut Turn) {
        while let Some(&(until, id)) = self.limits.silent.first()
            && until <= now
            && !turn.is_over()
        {
            turn.spend(4);
            self.limits.silent.pop_first();
            let Some(connection) = self.circuits.get_mut(id) else {
                continue;
            };
            connection.silent_until = None;
            connection.broken = true;
            let peer = connection.circuit.identity().peer;
            self.limits.expelled.push_back(id);
            self.met(now, Limit::FirstVersion, peer);
        }
    }
}
