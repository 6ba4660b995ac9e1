//! The virtual network: datagrams, byte streams, and everything that can go wrong with them.
//!
//! One heap of events keyed by time and sequence number, so that ties have an order, and one seeded
//! generator: the same seed and the same inputs give the same bytes at the same times.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use ca_proto::Instant;
use ca_proto::rng::Pcg32;

use crate::host::HostOutput;
use crate::trace::Trace;

mod event;
mod faults;
mod tcp;

pub(crate) use event::Delivery;
use event::{Event, Scheduled};
pub use faults::Link;
use tcp::Connection;
pub use tcp::Segmentation;

/// A host in the [`World`](crate::World).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(pub(crate) usize);

impl HostId {
    /// Position of the host in the order of creation.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// One end of a stream, as one host knows it: numbers below 2^32 are chosen by the host that dials,
/// numbers from there on by the network for streams it accepts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u64);

/// First number of accepted streams.
const ACCEPTED_FROM: u64 = 1 << 32;
/// First local port of dialled streams.
const DIAL_PORTS_FROM: u16 = 52_000;
/// Time after which an unsent segment is sent again once the link is back, as a retransmission
/// timer would.
const RETRANSMIT: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Machine {
    addr: Ipv4Addr,
    up: bool,
    udp: BTreeSet<u16>,
    listening: BTreeSet<u16>,
    next_accepted: u64,
    next_port: u16,
}

/// Counters of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetStats {
    /// Datagrams sent, broadcasts counted once.
    pub datagrams: u64,
    /// Datagrams lost on purpose.
    pub lost: u64,
    /// Streams dialled.
    pub dials: u64,
    /// Stream bytes delivered.
    pub bytes: u64,
    /// Events delivered to hosts.
    pub events: u64,
}

/// The virtual network.
pub struct SimNet {
    now: Instant,
    heap: BinaryHeap<Reverse<Scheduled>>,
    seq: u64,
    rng: Pcg32,
    machines: Vec<Machine>,
    links: BTreeMap<(HostId, HostId), Link>,
    default_link: Link,
    /// Events that came due on a held or dead link, in order.
    parked: BTreeMap<(HostId, HostId), VecDeque<Event>>,
    connections: Vec<Option<Connection>>,
    by_end: BTreeMap<(HostId, ConnId), (usize, usize)>,
    /// How streams are cut into the chunks that a host receives.
    pub segmentation: Segmentation,
    /// Largest chunk that a host receives, in bytes; the size of a driver's read.
    pub read_size: usize,
    /// Bytes that fit between a writer and its reader.
    pub send_buffer: usize,
    /// The next stream that is dialled is reset at both ends once so many bytes have been delivered
    /// in one direction: to the listener with `true`, to the dialler with `false`.
    pub break_next: Option<(bool, u64)>,
    /// Counters.
    pub stats: NetStats,
}

impl std::fmt::Debug for SimNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimNet")
            .field("now", &self.now)
            .field("events", &self.heap.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl SimNet {
    /// A network without hosts.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            heap: BinaryHeap::new(),
            seq: 0,
            rng: Pcg32::new(seed),
            machines: Vec::new(),
            links: BTreeMap::new(),
            default_link: Link::default(),
            parked: BTreeMap::new(),
            connections: Vec::new(),
            by_end: BTreeMap::new(),
            segmentation: Segmentation::Whole,
            read_size: 64 * 1024,
            send_buffer: 256 * 1024,
            break_next: None,
            stats: NetStats::default(),
        }
    }

    pub(crate) fn add_host(&mut self, addr: Ipv4Addr) -> HostId {
        self.machines.push(Machine {
            addr,
            up: true,
            udp: BTreeSet::new(),
            listening: BTreeSet::new(),
            next_accepted: ACCEPTED_FROM,
            next_port: DIAL_PORTS_FROM,
        });
        HostId(self.machines.len() - 1)
    }

    /// Address of a host.
    pub fn addr(&self, host: impl Into<HostId>) -> Ipv4Addr {
        self.machines[host.into().0].addr
    }

    /// Gives a host another address; its streams are silently dead from then on.
    pub fn set_addr(&mut self, host: impl Into<HostId>, addr: Ipv4Addr) {
        let host = host.into();
        self.crash(host);
        self.machines[host.0].addr = addr;
        self.machines[host.0].up = true;
    }

    /// Streams that are open at a host, half-open ones included.
    pub fn open_streams(&self, host: impl Into<HostId>) -> usize {
        let host = host.into();
        self.by_end.keys().filter(|(h, _)| *h == host).count()
    }

    /// When the next event is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(next)| next.at)
    }

    /// True while something travels, held things not counted.
    pub fn in_flight(&self) -> bool {
        !self.heap.is_empty()
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.seq += 1;
        let seq = self.seq;
        self.heap.push(Reverse(Scheduled { at, seq, event }));
    }

    fn delay(&mut self, from: HostId, to: HostId) -> Duration {
        let link = self.link(from, to);
        let (latency, jitter) = (link.latency, link.jitter);
        if jitter.is_zero() {
            latency
        } else {
            latency + jitter.mul_f64(self.rng.f64())
        }
    }

    fn unpark(&mut self, key: (HostId, HostId), after: Duration) {
        for event in self.parked.remove(&key).unwrap_or_default() {
            self.push(self.now + after, event);
        }
    }

    /// Which way an event travels, for held and dead links.
    fn route(&self, event: &Event) -> Option<(HostId, HostId)> {
        let connection = |index: usize| self.connections.get(index)?.as_ref();
        match *event {
            Event::Datagram { src, dst, .. } => Some((src, dst)),
            Event::Syn(index) => {
                let connection = connection(index)?;
                Some((connection.host(0), connection.host(1)))
            }
            Event::SynAck(index) | Event::Refused(index) => {
                let connection = connection(index)?;
                Some((connection.host(1), connection.host(0)))
            }
            Event::Pipe(index, end) | Event::Reset(index, end) => {
                let connection = connection(index)?;
                Some((connection.host(end), connection.host(1 - end)))
            }
            Event::Unowned(..) | Event::Writable(..) => None,
        }
    }

    /// Handles the next event; what a host gets from it, if anything.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(HostId, Delivery)> {
        self.now = now;
        let Reverse(Scheduled { event, .. }) = self.heap.pop()?;
        if let Some(key) = self.route(&event) {
            let link = self.link(key.0, key.1);
            let datagram = matches!(event, Event::Datagram { .. });
            if link.held || (link.down && !datagram) {
                self.parked.entry(key).or_default().push_back(event);
                return None;
            }
            if link.down {
                self.stats.lost += 1;
                return None;
            }
        }
        let delivery = match event {
            Event::Datagram {
                dst,
                to,
                from,
                data,
                ..
            } => {
                let machine = &self.machines[dst.0];
                let (port, to) = (to.port(), *to.ip());
                let delivery = Delivery::Datagram {
                    port,
                    to,
                    from,
                    data,
                };
                (machine.up && machine.udp.contains(&port)).then_some((dst, delivery))
            }
            Event::Unowned(host, addr) => Some((host, Delivery::Unowned { addr })),
            event => self.pop_stream(event),
        };
        self.stats.events += u64::from(delivery.is_some());
        delivery
    }

    /// Carries out what a host asked for.
    pub(crate) fn apply(
        &mut self,
        now: Instant,
        host: HostId,
        output: HostOutput,
        trace: &mut Trace,
    ) {
        self.now = now;
        self.trace_stream(host, &output, trace);
        match output {
            HostOutput::Bind { port } => {
                self.machines[host.0].udp.insert(port);
            }
            HostOutput::TryBind { addr } => {
                if !self.is_bound(host, addr) {
                    self.push(now, Event::Unowned(host, addr));
                }
            }
            HostOutput::Unbind { port } => {
                self.machines[host.0].udp.remove(&port);
            }
            HostOutput::Listen { port } => {
                self.machines[host.0].listening.insert(port);
            }
            HostOutput::Unlisten { port } => {
                self.machines[host.0].listening.remove(&port);
            }
            HostOutput::Datagram { port, to, data } => {
                self.send_datagram(host, port, to, data, trace);
            }
            HostOutput::Dial { conn, to } => self.dial(host, conn, to, trace),
            HostOutput::Send { conn, data } => self.send_stream(host, conn, &data, trace),
            HostOutput::Shutdown { conn } => self.shutdown(host, conn),
            HostOutput::Close { conn } => self.close(host, conn),
            HostOutput::Abort { conn } => {
                if let Some(&(index, end)) = self.by_end.get(&(host, conn)) {
                    self.abort(index, end);
                }
            }
            HostOutput::Read { conn, enabled } => self.set_reading(host, conn, enabled),
        }
    }

    /// Whether some program on this machine has the port.
    fn is_bound(&self, host: HostId, addr: SocketAddrV4) -> bool {
        let own = self.machines[host.0].addr;
        let here = |machine: &&Machine| {
            machine.addr == *addr.ip() || addr.ip().is_loopback() && machine.addr == own
        };
        let mut programs = self.machines.iter().filter(here);
        programs.any(|program| program.udp.contains(&addr.port()))
    }

    fn trace_stream(&self, host: HostId, output: &HostOutput, trace: &mut Trace) {
        let (conn, what) = match *output {
            HostOutput::Shutdown { conn } => (conn, "(end)"),
            HostOutput::Close { conn } => (conn, "(close)"),
            HostOutput::Abort { conn } => (conn, "(reset)"),
            _ => return,
        };
        if let Some(&(index, end)) = self.by_end.get(&(host, conn))
            && let Some(Some(connection)) = self.connections.get(index)
        {
            trace.stream_event(self.now, host, connection.host(1 - end), what);
        }
    }

    fn send_datagram(
        &mut self,
        src: HostId,
        port: u16,
        to: SocketAddrV4,
        data: Vec<u8>,
        trace: &mut Trace,
    ) {
        self.stats.datagrams += 1;
        let ip = to.ip();
        let own = self.machines[src.0].addr;
        let broadcast = ip.is_broadcast() || ip.octets()[3] == 255;
        let targets: Vec<HostId> = (0..self.machines.len())
            .filter(|&at| {
                let addr = self.machines[at].addr;
                if ip.is_loopback() {
                    addr == own
                } else if ip.is_broadcast() {
                    same_subnet(addr, own)
                } else if broadcast {
                    same_subnet(addr, *ip)
                } else {
                    addr == *ip
                }
            })
            .filter(|&at| self.machines[at].udp.contains(&to.port()))
            .map(HostId)
            .collect();
        // Several sockets on one port: a unicast datagram reaches the last one bound
        // (`cast_server.c` of EPICS Base), a broadcast all of them.
        let targets = match (broadcast, targets.as_slice()) {
            (false, [.., last]) => vec![*last],
            _ => targets,
        };
        let from = if ip.is_loopback() {
            SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
        } else {
            SocketAddrV4::new(own, port)
        };
        let mut lost = Vec::new();
        for &dst in &targets {
            if !self.carry(src, dst, to, from, &data) {
                lost.push(dst);
            }
        }
        let target = (!broadcast).then(|| targets.first().copied()).flatten();
        trace.datagram(self.now, src, to, target, &data, &lost);
    }

    /// Puts one datagram on its way; false if it is lost.
    fn carry(
        &mut self,
        src: HostId,
        dst: HostId,
        to: SocketAddrV4,
        from: SocketAddrV4,
        data: &[u8],
    ) -> bool {
        let link = self.link(src, dst);
        let (loss, duplicate, reorder) = (link.loss, link.duplicate, link.reorder);
        if link.down || data.len() > link.max_datagram || self.chance(loss) {
            self.stats.lost += 1;
            return false;
        }
        let copies = if self.chance(duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let mut delay = self.delay(src, dst);
            if self.chance(reorder) {
                delay += delay.mul_f64(20.0 * self.rng.f64());
            }
            let data = data.to_vec();
            self.push(
                self.now + delay,
                Event::Datagram {
                    src,
                    dst,
                    to,
                    from,
                    data,
                },
            );
        }
        true
    }

    /// Draws only when the fault is switched on, so that a fault changes nothing else.
    fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.rng.chance(p)
    }
}

/// Subnets are 24 bits wide.
fn same_subnet(a: Ipv4Addr, b: Ipv4Addr) -> bool {
    a.octets()[..3] == b.octets()[..3]
}
