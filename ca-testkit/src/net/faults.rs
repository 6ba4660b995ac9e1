//! What can go wrong with links, streams and machines.

use core::time::Duration;

use super::event::Event;
use super::{HostId, RETRANSMIT, SimNet};

/// How one direction between two hosts behaves.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// Time from sending to arrival.
    pub latency: Duration,
    /// Up to this much is added at random.
    pub jitter: Duration,
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Probability that a datagram is overtaken by others (by up to 20 latencies).
    pub reorder: f64,
    /// Bytes per second of streams; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Largest datagram in bytes; larger ones are lost.
    pub max_datagram: usize,
    /// Black hole: datagrams are lost, streams stand still without an error until it is healed.
    pub down: bool,
    /// Everything is kept on its way until released.
    pub held: bool,
    /// Streams cannot be opened: the dial fails at once.
    pub refuse: bool,
}

impl Default for Link {
    /// One millisecond, no faults.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            bandwidth: None,
            max_datagram: ca_proto::wire::MAX_UDP_RECV,
            down: false,
            held: false,
            refuse: false,
        }
    }
}

impl SimNet {
    /// The behaviour of links that were not set one by one.
    pub const fn default_link_mut(&mut self) -> &mut Link {
        &mut self.default_link
    }

    /// The direction from `from` to `to`.
    pub fn link(&self, from: impl Into<HostId>, to: impl Into<HostId>) -> &Link {
        self.links
            .get(&(from.into(), to.into()))
            .unwrap_or(&self.default_link)
    }

    /// Changes the direction from `from` to `to`; what waited and may go now, goes.
    pub fn set_link(
        &mut self,
        from: impl Into<HostId>,
        to: impl Into<HostId>,
        change: impl FnOnce(&mut Link),
    ) {
        let key = (from.into(), to.into());
        let default = &self.default_link;
        let link = self.links.entry(key).or_insert_with(|| default.clone());
        let was_down = link.down;
        change(link);
        if !link.down && !link.held {
            let again = if was_down { RETRANSMIT } else { Duration::ZERO };
            self.unpark(key, again);
        }
    }

    /// Changes both directions between two hosts.
    pub fn set_links(
        &mut self,
        a: impl Into<HostId>,
        b: impl Into<HostId>,
        change: impl Fn(&mut Link),
    ) {
        let (a, b) = (a.into(), b.into());
        self.set_link(a, b, &change);
        self.set_link(b, a, &change);
    }

    /// Keeps everything from `from` to `to` on its way.
    pub fn hold(&mut self, from: impl Into<HostId>, to: impl Into<HostId>) {
        self.set_link(from, to, |link| link.held = true);
    }

    /// Lets everything that was held go on, in order.
    pub fn release(&mut self, from: impl Into<HostId>, to: impl Into<HostId>) {
        self.set_link(from, to, |link| link.held = false);
    }

    /// Cuts (or mends) both directions between two hosts: datagrams are lost, streams stand still.
    pub fn partition(&mut self, a: impl Into<HostId>, b: impl Into<HostId>, down: bool) {
        self.set_links(a, b, |link| link.down = down);
    }

    /// Ends all faults on all links, resets that were to come included.
    pub fn heal(&mut self) {
        for connection in self.connections.iter_mut().flatten() {
            connection.mend();
        }
        let default = self.default_link.clone();
        let keys: Vec<_> = self.links.keys().copied().collect();
        for (from, to) in keys {
            self.set_link(from, to, |link| *link = default.clone());
        }
    }

    /// Breaks every stream between two hosts: both ends see a reset.
    pub fn reset(&mut self, a: impl Into<HostId>, b: impl Into<HostId>) {
        let (a, b) = (a.into(), b.into());
        for index in 0..self.connections.len() {
            let Some(connection) = &self.connections[index] else {
                continue;
            };
            let hosts = [connection.host(0), connection.host(1)];
            if hosts == [a, b] || hosts == [b, a] {
                self.push(self.now, Event::Reset(index, 0));
                self.push(self.now, Event::Reset(index, 1));
            }
        }
    }

    /// Breaks every stream that `a` has dialled to `b` once `bytes` more bytes have been delivered in
    /// one direction: to `b` with `to_listener`, else to `a`.
    pub fn reset_after(
        &mut self,
        a: impl Into<HostId>,
        b: impl Into<HostId>,
        to_listener: bool,
        bytes: u64,
    ) {
        let (a, b) = (a.into(), b.into());
        for connection in self.connections.iter_mut().flatten() {
            if (connection.host(0), connection.host(1)) == (a, b) {
                connection.break_after(usize::from(!to_listener), bytes);
            }
        }
    }

    /// Tells every end of a stream whose other end is gone that it is: what keep-alive probes and
    /// given up retransmissions do after minutes or hours.
    pub fn end_dead_streams(&mut self) {
        for index in 0..self.connections.len() {
            for end in 0..2 {
                if self.end_of(index, end).is_some() && self.is_dead(index, 1 - end) {
                    self.push(self.now, Event::Reset(index, 1 - end));
                }
            }
        }
    }

    /// The power fails: sockets are gone without a word to anybody.
    pub(crate) fn crash(&mut self, host: HostId) {
        let machine = &mut self.machines[host.0];
        machine.up = false;
        machine.udp.clear();
        machine.listening.clear();
        for index in 0..self.connections.len() {
            for end in 0..2 {
                if self.end_of(index, end) == Some(host) {
                    self.lose_end(index, end);
                }
            }
        }
    }

    /// The process ends: the system closes its sockets. Both a stop and the end of a crash.
    pub(crate) fn close_all(&mut self, host: HostId) {
        let machine = &mut self.machines[host.0];
        machine.udp.clear();
        machine.listening.clear();
        for index in 0..self.connections.len() {
            for end in 0..2 {
                if self.end_of(index, end) == Some(host) {
                    self.abort(index, end);
                }
            }
        }
    }

    /// The machine is there again: peers that still wait for an acknowledgement send again, and are
    /// told that their stream is gone.
    pub(crate) fn power_up(&mut self, host: HostId) {
        self.machines[host.0].up = true;
        for index in 0..self.connections.len() {
            for end in 0..2 {
                if self.is_unacknowledged(index, end, host) {
                    self.push(self.now + RETRANSMIT, Event::Pipe(index, end));
                }
            }
        }
    }
}
