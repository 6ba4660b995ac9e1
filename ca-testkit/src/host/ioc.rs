//! A simulated IOC on a host.

use core::net::SocketAddrV4;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ca_proto::ids::CircuitId;
use ca_proto::wire::{Deframer, SendQueue};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::Ioc;

use super::links::Links;
use super::{ClientHost, CloseKind, Host, HostInput, HostOutput};
use crate::net::ConnId;

/// EPICS time at the start of every world: 2021-09-09 01:46:40 UTC.
const WALL_AT_START: u32 = 1_000_000_000;

/// EPICS time that belongs to a simulated instant.
pub fn wall(now: Instant) -> Timestamp {
    const NANOS: u64 = 1_000_000_000;
    let nanos = now.as_nanos();
    // A world lives for less than 2^32 - 10^9 seconds, which is 104 years.
    Timestamp {
        secs: WALL_AT_START + (nanos / NANOS) as u32,
        nanos: (nanos % NANOS) as u32,
    }
}

#[derive(Debug)]
struct Stream {
    circuit: CircuitId,
    deframer: Deframer,
    window: usize,
    queue: SendQueue,
    /// Received and not handed in: the circuit is not readable, or others have their turn.
    backlog: Vec<u8>,
    /// The IOC goes on with the circuit once others had their turn.
    pressed: bool,
    reading: bool,
    /// Close once everything is sent.
    closing: bool,
}

/// The production `Ioc` on a host, driven as `ca-server-sim`'s network driver drives it.
#[derive(Debug)]
pub struct IocHost {
    ioc: Ioc,
    udp_port: u16,
    streams: BTreeMap<ConnId, Stream>,
    by_circuit: BTreeMap<CircuitId, ConnId>,
    ready: BTreeSet<ConnId>,
    violations: Vec<String>,
    output: VecDeque<HostOutput>,
    datagram: Vec<u8>,
    /// A client for links of records to PVs of other IOCs.
    links: Option<Box<Links>>,
}

/// First number of accepted streams; those below were dialled.
const ACCEPTED_FROM: u64 = 1 << 32;

impl IocHost {
    /// Starts an IOC that searches reach at `udp_port` and circuits at `tcp_port`.
    pub fn new(mut ioc: Ioc, udp_port: u16, tcp_port: u16, now: Instant) -> Self {
        ioc.start(now, wall(now), tcp_port);
        Self {
            ioc,
            udp_port,
            streams: BTreeMap::new(),
            by_circuit: BTreeMap::new(),
            ready: BTreeSet::new(),
            violations: Vec::new(),
            output: VecDeque::from([
                HostOutput::Bind { port: udp_port },
                HostOutput::Listen { port: tcp_port },
            ]),
            datagram: Vec::new(),
            links: None,
        }
    }

    /// The same host, whose records' links to PVs of other IOCs are connected by this client.
    #[must_use]
    pub fn linked(mut self, client: ClientHost, port: u16) -> Self {
        self.ioc.attach_remote();
        self.links = Some(Box::new(Links::new(client, port)));
        self
    }

    /// The client of its links, if it has one.
    pub fn link_client(&self) -> Option<&ClientHost> {
        self.links.as_ref().map(|links| &links.client)
    }

    /// Ends the client of its links: they are disconnected from now on.
    pub fn end_links(&mut self, now: Instant) {
        if let Some(links) = &mut self.links {
            links.shutdown(now, &mut self.ioc);
        }
    }

    /// The IOC.
    pub const fn ioc(&self) -> &Ioc {
        &self.ioc
    }

    /// Lets `act` use the IOC.
    pub fn with<R>(&mut self, act: impl FnOnce(&mut Ioc) -> R) -> R {
        act(&mut self.ioc)
    }

    /// What clients did wrong.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Largest number of bytes that wait to be sent on one circuit, and of bytes not yet looked at.
    pub fn queued(&self) -> (usize, usize) {
        let mut most = (0, 0);
        for stream in self.streams.values() {
            most.0 = most.0.max(stream.queue.len());
            most.1 = most
                .1
                .max(stream.backlog.len() + stream.deframer.buffered());
        }
        most
    }

    /// Keeps received bytes.
    fn receive(&mut self, conn: ConnId, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(&conn).filter(|stream| !stream.closing) else {
            return;
        };
        stream.backlog.extend_from_slice(data);
    }

    /// Hands received bytes to the IOC as far as it takes them now, as the network driver does.
    fn read(&mut self, now: Instant, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn).filter(|stream| !stream.closing) else {
            return;
        };
        let circuit = stream.circuit;
        let data = std::mem::take(&mut stream.backlog);
        let handled = self
            .ioc
            .handle_chunk(now, circuit, &mut stream.deframer, &data);
        match handled {
            // What is pressed or does not drain goes on once the woken circuits have sent.
            Ok(handled) => {
                stream.backlog = data[handled..].to_vec();
                stream.pressed = self.ioc.is_pressed();
            }
            Err(violation) => {
                self.violations.push(violation.to_string());
                stream.closing = true;
            }
        }
        let readable = self.ioc.is_readable(circuit);
        if readable != stream.reading {
            stream.reading = readable;
            let enabled = readable;
            self.output.push_back(HostOutput::Read { conn, enabled });
        }
        self.ready.insert(conn);
    }

    fn flush(&mut self, now: Instant, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        while stream.window > 0 {
            if stream.queue.is_empty()
                && let Some(queue) = self.ioc.transmit(stream.circuit)
            {
                std::mem::swap(queue, &mut stream.queue);
            }
            let data = super::front(&stream.queue, stream.window);
            if data.is_empty() {
                break;
            }
            stream.queue.advance(data.len());
            stream.window -= data.len();
            self.output.push_back(HostOutput::Send { conn, data });
        }
        stream.closing |= self.ioc.is_broken(stream.circuit);
        if stream.closing && stream.queue.is_empty() {
            self.output.push_back(HostOutput::Close { conn });
            self.forget(now, conn);
        } else if std::mem::take(&mut stream.pressed)
            || (!stream.reading && self.ioc.is_readable(stream.circuit))
        {
            // Replies that wait for the window hold the input back until it opens.
            self.read(now, conn);
        }
    }

    /// Ends the connections of circuits that the IOC wants closed at once.
    fn expel(&mut self, now: Instant) {
        while let Some(circuit) = self.ioc.poll_expelled() {
            if let Some(&conn) = self.by_circuit.get(&circuit) {
                self.output.push_back(HostOutput::Abort { conn });
                self.forget(now, conn);
            }
        }
    }

    fn forget(&mut self, now: Instant, conn: ConnId) {
        if let Some(stream) = self.streams.remove(&conn) {
            self.by_circuit.remove(&stream.circuit);
            self.ready.remove(&conn);
            self.ioc.handle_closed(now, stream.circuit);
        }
    }

    fn accept(&mut self, now: Instant, conn: ConnId, peer: SocketAddrV4, window: usize) {
        let Some(circuit) = self.ioc.accept(now, peer) else {
            let mut data = self.ioc.refusal(peer);
            data.truncate(window);
            if !data.is_empty() {
                self.output.push_back(HostOutput::Send { conn, data });
            }
            self.output.push_back(HostOutput::Close { conn });
            return;
        };
        let stream = Stream {
            circuit,
            deframer: Deframer::new(self.ioc.limits(circuit)),
            window,
            queue: SendQueue::new(),
            backlog: Vec::new(),
            pressed: false,
            reading: true,
            closing: false,
        };
        self.streams.insert(conn, stream);
        self.by_circuit.insert(circuit, conn);
        self.ready.insert(conn);
    }
}

/// Whether an input is for the client of the links.
fn is_for_links(links: &Links, input: &HostInput<'_>) -> bool {
    match *input {
        HostInput::Datagram { port, .. } => port == links.port,
        HostInput::Unowned { .. } => false,
        HostInput::Accepted { conn, .. }
        | HostInput::Connected { conn, .. }
        | HostInput::Data { conn, .. }
        | HostInput::Writable { conn, .. }
        | HostInput::Closed { conn, .. } => conn.0 < ACCEPTED_FROM,
    }
}

impl Host for IocHost {
    fn handle(&mut self, now: Instant, input: HostInput<'_>) {
        if let Some(links) = &mut self.links
            && is_for_links(links, &input)
        {
            return links.client.handle(now, input);
        }
        match input {
            HostInput::Datagram { from, data, .. } => self.ioc.handle_datagram(now, from, data),
            HostInput::Accepted {
                conn, peer, window, ..
            } => self.accept(now, conn, peer, window),
            HostInput::Connected { .. } | HostInput::Unowned { .. } => {}
            HostInput::Data { conn, data, .. } => {
                self.receive(conn, data);
                self.read(now, conn);
            }
            HostInput::Writable { conn, window } => {
                if let Some(stream) = self.streams.get_mut(&conn) {
                    stream.window = window;
                    self.ready.insert(conn);
                }
            }
            HostInput::Closed { conn, how } => {
                if how == CloseKind::Eof {
                    self.output.push_back(HostOutput::Close { conn });
                }
                self.forget(now, conn);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(links) = &mut self.links {
            links.client.handle_timeout(now);
        }
        self.ioc.handle_timeout(now);
        // Turns are for those that wait meanwhile; here nobody does.
        while self.ioc.poll_timeout().is_some_and(|at| at <= now) {
            self.ioc.handle_timeout(now);
        }
        self.expel(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<HostOutput> {
        self.expel(now);
        loop {
            if let Some(output) = self.output.pop_front() {
                return Some(output);
            }
            while self.ioc.has_work() {
                self.ioc.work(now);
            }
            if let Some(links) = &mut self.links {
                if let Some(output) = links.client.poll_output(now) {
                    return Some(output);
                }
                if links.pump(now, &mut self.ioc) {
                    continue;
                }
            }
            while let Some(circuit) = self.ioc.poll_woken() {
                self.ready.extend(self.by_circuit.get(&circuit).copied());
            }
            for conn in std::mem::take(&mut self.ready) {
                self.flush(now, conn);
            }
            let mut data = std::mem::take(&mut self.datagram);
            while let Some(to) = self.ioc.poll_transmit(now, &mut data) {
                self.output.push_back(HostOutput::Datagram {
                    port: self.udp_port,
                    to,
                    data: data.clone(),
                });
            }
            self.datagram = data;
            if self.output.is_empty() && self.ready.is_empty() {
                return None;
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let links = self.links.as_ref().and_then(|l| l.client.poll_timeout());
        links.into_iter().chain(self.ioc.poll_timeout()).min()
    }

    fn complaint(&mut self) -> Option<String> {
        self.links.as_mut()?.client.complaint()
    }
}
