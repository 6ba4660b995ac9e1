//! The client side of Channel Access: one object, without I/O.
//!
//! A [`Client`] searches names, keeps circuits to servers, and does everything that its user asks of
//! its channels. A driver moves bytes:
//!
//! * datagrams: [`handle_datagram`](Client::handle_datagram),
//!   [`poll_transmit`](Client::poll_transmit);
//! * connections: [`poll_action`](Client::poll_action),
//!   [`handle_connected`](Client::handle_connected), [`handle_closed`](Client::handle_closed);
//! * bytes of circuits: [`handle_chunk`](Client::handle_chunk), [`poll_woken`](Client::poll_woken),
//!   [`transmit`](Client::transmit), [`handle_sent`](Client::handle_sent);
//! * time: [`poll_timeout`](Client::poll_timeout), [`handle_timeout`](Client::handle_timeout);
//! * news: [`poll_event`](Client::poll_event); what comes often goes through [`Deliver`].
//!
//! After each call of an input or a request the driver asks `poll_transmit`, `poll_action`,
//! `poll_woken` and `poll_event` until they return `None`.
//!
//! # Memory
//! Tables hold at most 2^24 channels, 2^24 - 1 subscriptions, 2^21 pending operations, 2^20 circuits
//! and 20 000 servers' beacons. The queues of events, actions and woken circuits hold what one input
//! call can cause, as they are drained after each; remarks ([`Event::Duplicate`],
//! [`Event::Exception`]) are dropped beyond 1024 and counted. Operations are refused while a circuit
//! has more than `send_high_water` bytes to send, subscriptions from 16 MiB on; channels found
//! beyond that stay with the search.

mod beacon;
mod chain;
mod channel;
mod circuit;
mod connect;
mod datagram;
mod dispatch;
mod error;
mod flow;
mod liveness;
mod monitor_queue;
mod name_servers;
mod ops;
mod receive;
mod repeater;
mod requests;
mod search;
mod subs;
mod traffic;
mod types;
mod watch;
mod write;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddrV4;
use core::time::Duration;

use self::beacon::BeaconTracker;
use self::channel::{Channel, Phase};
use self::circuit::{Circuits, State};
use self::name_servers::NameServer;
use self::ops::Ops;
use self::repeater::Registration;
use self::search::SearchScheduler;
use self::subs::{Installed, Subs};
use crate::config::{ClientParams, MAX_PRIORITY};
use crate::ids::{Cid, CircuitId, Slots};
use crate::time::Instant;
use crate::wire::{FrameLimits, Minor, PvName, SendQueue, tcp};

pub use self::beacon::BeaconStats;
pub use self::channel::{ChannelState, ChannelView, Connection};
pub use self::error::{OpError, OpenError, Opening, Violation};
pub use self::monitor_queue::{Item, MonitorQueue, Overflow};
pub use self::traffic::{ChannelStates, RoundTrips, SearchCost, Traffic};
pub use self::types::{
    Action, CloseReason, Counts, Deliver, Destination, Event, Hangup, Lifecycle, Malformed, More,
    NameServerState, ReadSpec, Reply, SubSpec, Token, Trouble, TypeSpec, Update,
};

/// Remarks that wait for [`Client::poll_event`] at most.
const MAX_REMARKS: usize = 1024;

/// A Channel Access client: channels, circuits, searches, pending operations, subscriptions.
#[derive(Debug)]
pub struct Client {
    params: Arc<ClientParams>,
    channels: Slots<Cid, Channel>,
    circuits: Circuits,
    ops: Ops,
    subs: Subs,
    search: SearchScheduler,
    beacons: BeaconTracker,
    repeater: Registration,
    name_servers: Vec<NameServer>,
    events: VecDeque<Event>,
    lost_remarks: u64,
    refused_circuits: u64,
    /// From when on refused circuits may be told of again.
    refusal_told: Instant,
    /// Nobody can be asked for names, and the user was told.
    told_no_address: bool,
    shut_down: bool,
    traffic: Traffic,
}

impl Client {
    /// A client without channels; asks at once for the circuits to the name servers.
    pub fn new(params: Arc<ClientParams>, now: Instant) -> Self {
        let mut client = Self {
            channels: Slots::new(),
            circuits: Circuits::new(),
            ops: Ops::new(),
            subs: Subs::new(),
            search: SearchScheduler::new(
                now,
                params.max_search_period,
                params.reconnect_delay,
                params.search_budget,
            ),
            beacons: BeaconTracker::new(now),
            repeater: Registration::new(params.repeater_port),
            name_servers: (params.name_servers.iter())
                .map(|&addr| NameServer::new(addr, now))
                .collect(),
            events: VecDeque::new(),
            lost_remarks: 0,
            refused_circuits: 0,
            refusal_told: now,
            told_no_address: false,
            shut_down: false,
            traffic: Traffic::default(),
            params,
        };
        client.dial_name_servers(now);
        client
    }

    /// Opens a channel: its name is searched with the next datagram, and as long as it takes.
    ///
    /// # Errors
    /// [`OpenError`] for priorities above 99, when the table is full, and after a shutdown.
    pub fn open_channel(
        &mut self,
        now: Instant,
        name: PvName,
        priority: u8,
    ) -> Result<Cid, OpenError> {
        self.open_channel_at(now, name, priority, None)
    }

    /// As [`open_channel`](Self::open_channel), with the server that had the PV before, by the address of its
    /// circuits, and its version. It is asked first, without a search; if it is gone
    /// ([`ClientParams::hint_timeout`]) or has the PV no more, the name is searched at once, and nobody is told.
    ///
    /// # Errors
    /// As [`open_channel`](Self::open_channel).
    pub fn open_channel_at(
        &mut self,
        now: Instant,
        name: PvName,
        priority: u8,
        hint: Option<(SocketAddrV4, Minor)>,
    ) -> Result<Cid, OpenError> {
        if self.shut_down {
            return Err(OpenError::ShutDown);
        }
        if priority > MAX_PRIORITY {
            return Err(OpenError::BadPriority(priority));
        }
        // The highest identifier means "no channel" in ERROR messages.
        if self.channels.len() >= Slots::<Cid, Channel>::CAPACITY - 1 {
            return Err(OpenError::TooManyChannels);
        }
        let inserted = self.channels.insert(Channel::new(name, priority));
        let cid = inserted.map_err(|_| OpenError::TooManyChannels)?;
        if !hint.is_some_and(|(server, minor)| self.ask_first(now, cid, server, minor)) {
            self.search.add(now, cid);
        }
        self.repeater.begin(now);
        if self.has_nowhere_to_search() && !core::mem::replace(&mut self.told_no_address, true) {
            self.events.push_back(Event::NoSearchAddress);
        }
        Ok(cid)
    }

    /// Closes a channel with its subscriptions; its pending operations get no reply. The last
    /// channel of a circuit ends the circuit.
    pub fn close_channel(&mut self, now: Instant, cid: Cid) {
        let Some(mut channel) = self.channels.remove(cid) else {
            return;
        };
        self.search.remove(now, cid);
        let sid = match channel.phase {
            Phase::Ready { circuit, sid, .. } => Some((circuit, sid)),
            _ => None,
        };
        while let Some(subid) = channel.subs.first() {
            if let Some((circuit, sid)) = sid
                && let Some(Installed::On(_, ty, count)) =
                    self.subs.get(subid).map(|sub| sub.installed)
            {
                let cancel = tcp::Request::EventCancel {
                    ty,
                    count,
                    sid,
                    subid,
                };
                self.circuits
                    .send(now, circuit, |queue| cancel.encode(queue));
            }
            self.subs.remove(&mut channel.subs, subid);
        }
        while self.ops.pop(&mut channel.ops).is_some() {}
        if let Some((circuit, sid)) = sid {
            let clear = tcp::Request::ClearChannel {
                data_type: 0,
                count: 0,
                sid,
                cid,
            };
            self.circuits
                .send(now, circuit, |queue| clear.encode(queue));
        }
        if let Some(circuit) = channel.phase.circuit() {
            if sid.is_some()
                && let Some(circuit) = self.circuits.get_mut(circuit)
            {
                circuit.ready = circuit.ready.saturating_sub(1);
            }
            self.leave_circuit(now, circuit, channel.position);
        }
    }

    /// A look at a channel; `None` if it was closed.
    pub fn channel(&self, cid: Cid) -> Option<ChannelView<'_>> {
        let channel = self.channels.get(cid)?;
        Some(ChannelView {
            name: &channel.name,
            priority: channel.priority,
            state: self.state_of(channel),
            search_attempts: self.search.attempts(cid),
            trouble: channel.trouble.map(|(why, _)| why),
            trouble_at: channel.trouble.map(|(_, server)| server),
        })
    }

    /// The circuit that a channel is on; `None` while it is searched.
    pub fn circuit_of(&self, cid: Cid) -> Option<CircuitId> {
        self.channels.get(cid)?.phase.circuit()
    }

    /// Whether the server of a circuit has sent a message on it.
    pub fn has_spoken(&self, circuit: CircuitId) -> bool {
        self.circuits.get(circuit).is_some_and(|c| c.spoken)
    }

    fn state_of(&self, channel: &Channel) -> ChannelState {
        let circuit = channel.phase.circuit();
        let Some((id, circuit)) = circuit.and_then(|c| Some((c, self.circuits.get(c)?))) else {
            return ChannelState::Searching;
        };
        let server = circuit.addr;
        match channel.phase {
            Phase::Searching => ChannelState::Searching,
            Phase::Creating { .. } if circuit.is_ready() => ChannelState::Creating { server },
            Phase::Creating { .. } => ChannelState::Connecting { server },
            Phase::Ready { native, count, .. } => {
                let connection = Connection {
                    circuit: id,
                    server,
                    minor: circuit.minor,
                    native,
                    count,
                    rights: channel.rights,
                };
                if circuit.is_live() {
                    ChannelState::Connected(connection)
                } else {
                    ChannelState::Unresponsive(connection)
                }
            }
        }
    }

    /// True if there is no server that names could be asked from, neither by UDP nor over TCP: no
    /// channel will ever be connected. Beacons do not help, as they only hasten searches.
    pub fn has_nowhere_to_search(&self) -> bool {
        self.params.search_addrs.is_empty() && self.params.name_servers.is_empty()
    }

    /// Whether any name is searched, or waits to be.
    pub const fn is_searching(&self) -> bool {
        self.search.is_searching()
    }

    /// Where searches go by UDP.
    pub fn search_addrs(&self) -> &[SocketAddrV4] {
        &self.params.search_addrs
    }

    /// Changes where searches go by UDP, because an interface came up or a host has another address. With a
    /// new address everything that is not found yet is searched anew.
    pub fn set_search_addrs(&mut self, now: Instant, addrs: Vec<SocketAddrV4>) {
        let known = &self.params.search_addrs;
        let new = addrs.iter().any(|addr| !known.contains(addr));
        if addrs == *known {
            return;
        }
        Arc::make_mut(&mut self.params).search_addrs = addrs;
        if new {
            self.search.restart(now);
        }
    }

    /// Number of open channels.
    pub const fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Entries in the tables, for tests of what is given back.
    pub const fn counts(&self) -> Counts {
        Counts {
            channels: self.channels.len(),
            circuits: self.circuits.len(),
            operations: self.ops.len(),
            subscriptions: self.subs.len(),
        }
    }

    /// What was heard of servers' beacons.
    pub const fn beacon_stats(&self) -> BeaconStats {
        self.beacons.stats(self.repeater.is_registered())
    }

    /// Average period of the beacons of a server, by its TCP address; `None` before the third
    /// beacon at the latest, and again after the last circuit to it was lost.
    pub fn beacon_period(&self, server: SocketAddrV4) -> Option<Duration> {
        self.beacons.period(server)
    }

    /// Servers whose beacons were heard, by the addresses that their circuits go to.
    pub fn beacon_servers(&self) -> impl Iterator<Item = SocketAddrV4> + '_ {
        self.beacons.servers()
    }

    /// Remarks that were dropped because nobody fetched them.
    pub const fn lost_remarks(&self) -> u64 {
        self.lost_remarks
    }

    /// Times a server was found and no circuit opened to it, because of
    /// [`ClientParams::max_circuits`] or [`ClientParams::max_dials`].
    pub const fn refused_circuits(&self) -> u64 {
        self.refused_circuits
    }

    /// Closes every channel, hangs up every circuit orderly, stops searching and registering.
    /// Circuits report their end through [`handle_closed`](Self::handle_closed) as usual.
    pub fn shutdown(&mut self, now: Instant) {
        self.shut_down = true;
        let cids: Vec<Cid> = self.channels.keys().collect();
        for cid in cids {
            self.close_channel(now, cid);
        }
        self.name_servers.clear();
        self.repeater.stop();
        for c in self.circuits.keys() {
            let closing = |state| matches!(state, State::Closing(_));
            if self.circuits.get(c).is_some_and(|x| !closing(x.state)) {
                self.circuits.hang_up(now, c, Hangup::Orderly);
            }
        }
    }

    /// What the deframer of a circuit accepts; the same for all circuits and at all times.
    pub fn limits(&self, _circuit: CircuitId) -> FrameLimits {
        FrameLimits {
            max_payload: self.params.max_message_bytes(),
            extended: true,
        }
    }

    /// Handles everything whose time has come. Afterwards [`poll_timeout`](Self::poll_timeout) is
    /// `None` or later than `now`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut impl Deliver) {
        self.expire_ops(now, out);
        for c in self.circuits.take_due(now) {
            self.circuit_timeout(now, c, out);
        }
        self.circuits.settle(now);
        self.dial_name_servers(now);
        if self.can_search() {
            self.search.handle_timeout(now);
        } else {
            self.search.release_held(now);
        }
        if self.repeater.handle_timeout(now) {
            self.events.push_back(Event::NoRepeater);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // hot: drivers ask after each request.
        let search = if self.can_search() {
            self.search.poll_timeout()
        } else {
            self.search.poll_release()
        };
        let or_never = |at: Option<Instant>| at.unwrap_or(Instant::MAX);
        let mut next = self.circuits.due.min(or_never(search));
        next = next.min(or_never(self.ops.poll_timeout()));
        next = next.min(or_never(self.repeater.poll_timeout()));
        for ns in self.name_servers.iter().filter(|ns| ns.circuit.is_none()) {
            next = next.min(ns.retry);
        }
        (next != Instant::MAX).then_some(next)
    }

    /// The next thing to do with connections, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.circuits.pop_action()
    }

    /// The next circuit that gained output since this last returned it.
    pub fn poll_woken(&mut self) -> Option<CircuitId> {
        self.circuits.pop_woken()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The output of a connected circuit; `None` while there is no connection. The driver sends it,
    /// or takes it with [`core::mem::take`] and sends that, and reports progress with
    /// [`handle_sent`](Self::handle_sent).
    pub fn transmit(&mut self, _now: Instant, c: CircuitId) -> Option<&mut SendQueue> {
        let circuit = self.circuits.get_mut(c)?;
        match circuit.state {
            State::Dialing(_) => None,
            State::Ready | State::Closing(_) => Some(&mut circuit.queue),
        }
    }

    /// The socket of a circuit took `bytes` bytes of its output.
    pub fn handle_sent(&mut self, now: Instant, c: CircuitId, bytes: usize) {
        if let Some(circuit) = self.circuits.get_mut(c) {
            self.traffic.bytes_sent += bytes as u64;
            circuit.unsent = circuit.unsent.saturating_sub(bytes);
            let all = circuit.unsent == 0;
            circuit.liveness.progress(now, all);
        }
    }

    /// Of what was reported as sent the socket did not take the last `bytes` bytes after all: for drivers that
    /// report a little output before they write it, which nearly always goes at once.
    pub fn handle_unsent(&mut self, now: Instant, c: CircuitId, bytes: usize) {
        self.traffic.bytes_sent = self.traffic.bytes_sent.saturating_sub(bytes as u64);
        self.circuits.put_back(now, c, bytes);
    }

    /// Queues an event that may be lost.
    fn remark(&mut self, event: Event) {
        if self.events.len() < MAX_REMARKS {
            self.events.push_back(event);
        } else {
            self.lost_remarks += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ops::Op;
    use super::subs::Subscription;
    use super::*;

    /// What is paid per entry in a table; names and vectors come on top.
    #[test]
    fn entries_are_small() {
        assert!(size_of::<Channel>() <= 80, "{}", size_of::<Channel>());
        assert!(
            size_of::<Subscription>() <= 56,
            "{}",
            size_of::<Subscription>()
        );
        assert!(size_of::<Op>() <= 48, "{}", size_of::<Op>());
    }
}
