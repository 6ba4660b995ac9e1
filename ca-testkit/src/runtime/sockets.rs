//! The sockets of a host, and what the network delivers to them.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ca_net::{ByteStream, DatagramSocket, Listener, UdpOptions, WakerList};
use ca_proto::Instant;

use super::stream::{SimStream, Stream};
use super::tasks::Wait;
use super::{Inner, RuntimeStats, State};
use crate::host::{CloseKind, HostOutput};
use crate::net::{ConnId, Delivery, HostId};

/// First port that is given out when none is asked for.
const PORTS_FROM: u16 = 40_000;
/// Bytes that a datagram socket holds unless it asks for more, as usual systems do.
const UDP_BUFFER: usize = 212_992;
/// What a waiting datagram costs of it beside its bytes.
const UDP_OVERHEAD: usize = 256;

/// A connection attempt.
#[derive(Debug)]
pub(super) enum Dialling {
    Pending(Option<Waker>),
    Open,
    Refused,
}

#[derive(Debug)]
struct Udp {
    address: SocketAddrV4,
    shared: bool,
    queue: VecDeque<(SocketAddrV4, Vec<u8>)>,
    /// Bytes that still fit.
    room: usize,
    waker: Option<Waker>,
    /// It takes nothing to be sent until then.
    full: Option<Instant>,
}

#[derive(Debug)]
struct Listening {
    address: SocketAddrV4,
    waiting: VecDeque<(ConnId, SocketAddrV4)>,
    waker: Option<Waker>,
}

/// All sockets of a host.
#[derive(Debug)]
pub(super) struct Sockets {
    addr: Ipv4Addr,
    /// Whether the interface to the subnet is listed.
    pub(super) up: bool,
    /// In the order in which they were bound.
    udp: BTreeMap<u64, Udp>,
    listeners: BTreeMap<u16, Listening>,
    pub(super) dials: BTreeMap<ConnId, Dialling>,
    pub(super) streams: BTreeMap<ConnId, Stream>,
    next_key: u64,
    next_conn: u64,
    next_port: u16,
}

impl Sockets {
    pub(super) const fn new(addr: Ipv4Addr) -> Self {
        Self {
            addr,
            up: true,
            udp: BTreeMap::new(),
            listeners: BTreeMap::new(),
            dials: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_key: 0,
            next_conn: 0,
            next_port: PORTS_FROM,
        }
    }

    pub(super) fn count(&self, stats: &mut RuntimeStats) {
        stats.udp += self.udp.len();
        stats.listeners += self.listeners.len();
        stats.streams += self.streams.len() + self.dials.len();
    }

    /// Starts a connection attempt.
    pub(super) fn dial(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.dials.insert(conn, Dialling::Pending(None));
        conn
    }

    /// Has the sockets that there are take nothing to be sent until then.
    pub(super) fn fill_udp(&mut self, until: Instant) {
        for udp in self.udp.values_mut() {
            udp.full = Some(until);
        }
    }

    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(PORTS_FROM);
            let bound = self.udp.values().any(|udp| udp.address.port() == port);
            if !bound && !self.listeners.contains_key(&port) {
                return port;
            }
        }
    }
}

impl State {
    pub(super) fn apply(&mut self, host: HostId, output: HostOutput) {
        self.net.apply(self.now, host, output, &mut self.trace);
    }
}

/// Whether two sockets with these addresses get in each other's way.
fn overlap(a: Ipv4Addr, b: Ipv4Addr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}

pub(super) fn listen(
    state: &mut State,
    host: HostId,
    mut address: SocketAddrV4,
) -> io::Result<SocketAddrV4> {
    let sockets = &mut state.sockets[host.index()];
    if address.port() == 0 {
        address.set_port(sockets.free_port());
    }
    let port = address.port();
    // The network knows ports only, so each has one listener whatever its address.
    if sockets.listeners.contains_key(&port) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let listening = Listening {
        address,
        waiting: VecDeque::new(),
        waker: None,
    };
    sockets.listeners.insert(port, listening);
    state.apply(host, HostOutput::Listen { port });
    Ok(address)
}

pub(super) fn bind_udp(
    state: &mut State,
    host: HostId,
    options: &UdpOptions,
) -> io::Result<(u64, SocketAddrV4)> {
    let sockets = &mut state.sockets[host.index()];
    let mut address = options.address;
    if address.port() == 0 {
        address.set_port(sockets.free_port());
    }
    let taken = sockets.udp.values().any(|other| {
        other.address.port() == address.port()
            && overlap(*other.address.ip(), *address.ip())
            && !(other.shared && options.shared)
    });
    if taken {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let key = sockets.next_key;
    sockets.next_key += 1;
    let udp = Udp {
        address,
        shared: options.shared,
        queue: VecDeque::new(),
        room: UDP_BUFFER.max(options.receive_buffer),
        waker: None,
        full: None,
    };
    sockets.udp.insert(key, udp);
    let port = address.port();
    state.apply(host, HostOutput::Bind { port });
    Ok((key, address))
}

/// Hands to a host what has arrived.
pub(super) fn deliver(state: &mut State, host: HostId, delivery: Delivery, wakers: &mut WakerList) {
    let most_unread = state.net.read_size;
    let sockets = &mut state.sockets[host.index()];
    match delivery {
        Delivery::Datagram {
            port,
            to,
            from,
            data,
        } => sockets.datagram(SocketAddrV4::new(to, port), from, &data, wakers),
        Delivery::Accepted {
            conn,
            port,
            peer,
            window,
        } => {
            let own = [sockets.addr, Ipv4Addr::LOCALHOST];
            let listening = sockets.listeners.get_mut(&port);
            match listening.filter(|l| !l.address.ip().is_loopback() || own.contains(peer.ip())) {
                Some(listening) => {
                    listening.waiting.push_back((conn, peer));
                    wakers.extend(listening.waker.take());
                    sockets.streams.insert(conn, Stream::new(window));
                }
                None => state.apply(host, HostOutput::Abort { conn }),
            }
        }
        // Nobody asks here: sockets are bound for a moment instead.
        Delivery::Unowned { .. } => {}
        Delivery::Connected { conn, window } => {
            if let Some(dialling) = sockets.dials.get_mut(&conn) {
                if let Dialling::Pending(waker) = std::mem::replace(dialling, Dialling::Open) {
                    wakers.extend(waker);
                }
                sockets.streams.insert(conn, Stream::new(window));
            }
        }
        Delivery::Data { conn, data, .. } => {
            if let Some(stream) = sockets.streams.get_mut(&conn)
                && stream.receive(data, most_unread, wakers)
            {
                // What the driver does not read fills the peer's window.
                let enabled = false;
                state.apply(host, HostOutput::Read { conn, enabled });
            }
        }
        Delivery::Writable { conn, window } => {
            if let Some(stream) = sockets.streams.get_mut(&conn) {
                stream.make_room(window, wakers);
            }
        }
        Delivery::Closed { conn, how } => {
            if let Some(Dialling::Pending(waker)) = sockets.dials.get_mut(&conn) {
                wakers.extend(waker.take());
                sockets.dials.insert(conn, Dialling::Refused);
            } else if let Some(stream) = sockets.streams.get_mut(&conn) {
                stream.end(how == CloseKind::Eof, wakers);
            }
        }
    }
}

impl Sockets {
    /// A unicast datagram is for the last one that was bound, a broadcast for all.
    fn datagram(
        &mut self,
        to: SocketAddrV4,
        from: SocketAddrV4,
        data: &[u8],
        wakers: &mut WakerList,
    ) {
        let broadcast = to.ip().octets()[3] == 255;
        let hears = |address: SocketAddrV4| {
            address.port() == to.port()
                && (address.ip().is_unspecified() || address.ip() == to.ip())
        };
        let listening = self.udp.values_mut().rev().filter(|udp| hears(udp.address));
        for udp in listening.take(if broadcast { usize::MAX } else { 1 }) {
            let size = data.len() + UDP_OVERHEAD;
            // A full buffer loses the newest.
            if let Some(room) = udp.room.checked_sub(size) {
                udp.room = room;
                udp.queue.push_back((from, data.to_vec()));
                wakers.extend(udp.waker.take());
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct SimUdp {
    pub(super) inner: Arc<Inner>,
    pub(super) host: HostId,
    pub(super) key: u64,
    pub(super) address: SocketAddrV4,
}

impl SimUdp {
    /// Until when the socket takes nothing, if it does not.
    fn full(&self, state: &mut State) -> Option<Instant> {
        let now = state.now;
        let udp = state.sockets[self.host.index()].udp.get_mut(&self.key)?;
        udp.full = match udp.full {
            Some(until) if now < until => Some(until),
            // It has room for one datagram at least.
            Some(_) => None,
            None => state.busy.as_mut().and_then(|busy| busy.full(now)),
        };
        udp.full
    }
}

impl DatagramSocket for SimUdp {
    fn poll_send_to(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddrV4,
    ) -> Poll<io::Result<()>> {
        let port = self.address.port();
        self.inner.with(|state, _| {
            if let Some(until) = self.full(state) {
                // Whoever gives up before is woken once in vain.
                state.next_timer += 1;
                let key = (until, state.next_timer);
                state.timers.insert(key, cx.waker().clone());
                state.tasks.note(Wait::Time(until));
                return Poll::Pending;
            }
            let data = data.to_vec();
            state.apply(self.host, HostOutput::Datagram { port, to, data });
            Poll::Ready(Ok(()))
        })
    }

    fn poll_recv_from(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddrV4)>> {
        let received = self.inner.with(|state, _| {
            let udp = state.sockets[self.host.index()].udp.get_mut(&self.key)?;
            if let Some((from, data)) = udp.queue.pop_front() {
                udp.room += data.len() + UDP_OVERHEAD;
                return Some((from, data));
            }
            state.old.extend(udp.waker.replace(cx.waker().clone()));
            state.tasks.note(Wait::Datagram(self.address.port()));
            None
        });
        let Some((from, data)) = received else {
            return Poll::Pending;
        };
        let len = data.len().min(buf.len());
        buf[..len].copy_from_slice(&data[..len]);
        Poll::Ready(Ok((len, from)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(self.address)
    }
}

impl Drop for SimUdp {
    fn drop(&mut self) {
        let _udp = self.inner.with(|state, _| {
            let port = self.address.port();
            let sockets = &mut state.sockets[self.host.index()];
            let udp = sockets.udp.remove(&self.key);
            if !sockets.udp.values().any(|udp| udp.address.port() == port) {
                state.apply(self.host, HostOutput::Unbind { port });
            }
            udp
        });
    }
}

#[derive(Debug)]
pub(super) struct SimListener {
    pub(super) inner: Arc<Inner>,
    pub(super) host: HostId,
    pub(super) address: SocketAddrV4,
}

impl Listener for SimListener {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddrV4)>> {
        let port = self.address.port();
        let accepted = self.inner.with(|state, _| {
            let sockets = &mut state.sockets[self.host.index()];
            let addr = sockets.addr;
            let listening = sockets.listeners.get_mut(&port)?;
            if let Some((conn, peer)) = listening.waiting.pop_front() {
                return Some((conn, peer, addr));
            }
            state
                .old
                .extend(listening.waker.replace(cx.waker().clone()));
            state.tasks.note(Wait::Accept(port));
            None
        });
        let Some((conn, peer, addr)) = accepted else {
            return Poll::Pending;
        };
        let local = SocketAddrV4::new(addr, port);
        let stream = SimStream::new(self.inner.clone(), self.host, conn, local);
        Poll::Ready(Ok((Box::new(stream), peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(self.address)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let port = self.address.port();
        let _listening = self.inner.with(|state, _| {
            let sockets = &mut state.sockets[self.host.index()];
            let listening = sockets.listeners.remove(&port);
            for &(conn, _) in listening.iter().flat_map(|l| &l.waiting) {
                state.sockets[self.host.index()].streams.remove(&conn);
                state.apply(self.host, HostOutput::Abort { conn });
            }
            state.apply(self.host, HostOutput::Unlisten { port });
            listening
        });
    }
}
