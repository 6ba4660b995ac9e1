//! A simulated IOC on a host.

use core::net::SocketAddrV4;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ca_proto::dbr::Value;
use ca_proto::ids::CircuitId;
use ca_proto::wire::{Command, Deframer, SendQueue};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::Ioc;

use super::{CloseKind, Host, HostInput, HostOutput};
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
    /// Finds the writes in what is received.
    finder: Deframer,
    /// Received bytes up to the end of each write that is not handed in yet.
    writes: VecDeque<u64>,
    /// Bytes received, and bytes handed in.
    received: u64,
    handed: u64,
    reading: bool,
    /// Close once everything is sent.
    closing: bool,
}

/// Every value a PV ever had, oldest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History(BTreeMap<String, Vec<Value>>);

impl History {
    /// The values of one PV.
    pub fn of(&self, pv: &str) -> &[Value] {
        self.0.get(pv).map_or(&[], Vec::as_slice)
    }

    fn note(&mut self, pv: &str, value: Value) {
        let values = self.0.entry(pv.to_owned()).or_default();
        if values.last() != Some(&value) {
            values.push(value);
        }
    }
}

/// The production `Ioc` on a host, driven as `ca-server-sim`'s network driver drives it.
#[derive(Debug)]
pub struct IocHost {
    ioc: Ioc,
    udp_port: u16,
    streams: BTreeMap<ConnId, Stream>,
    by_circuit: BTreeMap<CircuitId, ConnId>,
    ready: BTreeSet<ConnId>,
    watched: Vec<String>,
    history: History,
    violations: Vec<String>,
    output: VecDeque<HostOutput>,
    datagram: Vec<u8>,
}

impl IocHost {
    /// Starts an IOC that searches reach at `udp_port` and circuits at `tcp_port`. Every value of the
    /// `watched` PVs is kept, after those of `history`.
    pub fn new(
        mut ioc: Ioc,
        udp_port: u16,
        tcp_port: u16,
        watched: Vec<String>,
        history: History,
        now: Instant,
    ) -> Self {
        ioc.start(now, wall(now), tcp_port);
        let mut this = Self {
            ioc,
            udp_port,
            streams: BTreeMap::new(),
            by_circuit: BTreeMap::new(),
            ready: BTreeSet::new(),
            watched,
            history,
            violations: Vec::new(),
            output: VecDeque::from([
                HostOutput::Bind { port: udp_port },
                HostOutput::Listen { port: tcp_port },
            ]),
            datagram: Vec::new(),
        };
        this.watch();
        this
    }

    /// The IOC.
    pub const fn ioc(&self) -> &Ioc {
        &self.ioc
    }

    /// Lets `act` use the IOC and keeps what becomes of the watched PVs.
    pub fn with<R>(&mut self, act: impl FnOnce(&mut Ioc) -> R) -> R {
        let result = act(&mut self.ioc);
        self.watch();
        result
    }

    /// Every value that the watched PVs had.
    pub const fn history(&self) -> &History {
        &self.history
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

    fn watch(&mut self) {
        for pv in &self.watched {
            if let Ok(snapshot) = self.ioc.read(pv.as_str()) {
                self.history.note(pv, snapshot.value);
            }
        }
    }

    /// Keeps received bytes, and notes where the writes in them end if PVs are watched.
    fn receive(&mut self, conn: ConnId, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(&conn).filter(|stream| !stream.closing) else {
            return;
        };
        stream.backlog.extend_from_slice(data);
        stream.received += data.len() as u64;
        if self.watched.is_empty() {
            return;
        }
        let mut frames = stream.finder.frames(data);
        frames.set_limits(self.ioc.limits(stream.circuit));
        while let Some(frame) = frames.next() {
            let command = frame.map(|frame| frame.header.command);
            if matches!(command, Ok(Command::WRITE | Command::WRITE_NOTIFY)) {
                let end = stream.received - frames.remaining() as u64;
                stream.writes.push_back(end);
            }
        }
    }

    /// Hands received bytes to the IOC as far as it takes them now, as the network driver does. It looks at
    /// the watched PVs after each write: what is behind one comes with the next call.
    fn read(&mut self, now: Instant, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn).filter(|stream| !stream.closing) else {
            return;
        };
        let circuit = stream.circuit;
        let data = std::mem::take(&mut stream.backlog);
        let mut rest = data.as_slice();
        loop {
            while stream
                .writes
                .front()
                .is_some_and(|&end| end <= stream.handed)
            {
                stream.writes.pop_front();
            }
            let next = stream
                .writes
                .front()
                .map(|end| (end - stream.handed) as usize);
            let chunk = &rest[..next.map_or(rest.len(), |next| next.min(rest.len()))];
            let handled = match self
                .ioc
                .handle_chunk(now, circuit, &mut stream.deframer, chunk)
            {
                Ok(handled) => handled,
                Err(violation) => {
                    self.violations.push(violation.to_string());
                    stream.closing = true;
                    break;
                }
            };
            stream.handed += handled as u64;
            rest = &rest[handled..];
            for pv in &self.watched {
                if let Ok(snapshot) = self.ioc.read(pv.as_str()) {
                    self.history.note(pv, snapshot.value);
                }
            }
            // What is pressed or does not drain goes on once the woken circuits have sent.
            if handled < chunk.len() || self.ioc.is_pressed() || rest.is_empty() {
                break;
            }
        }
        if !stream.closing {
            stream.backlog = rest.to_vec();
            stream.pressed = self.ioc.is_pressed();
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
            finder: Deframer::new(self.ioc.limits(circuit)),
            writes: VecDeque::new(),
            received: 0,
            handed: 0,
            reading: true,
            closing: false,
        };
        self.streams.insert(conn, stream);
        self.by_circuit.insert(circuit, conn);
        self.ready.insert(conn);
    }
}

impl Host for IocHost {
    fn handle(&mut self, now: Instant, input: HostInput<'_>) {
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
        self.ioc.handle_timeout(now);
        // Turns are for those that wait meanwhile; here nobody does.
        while self.ioc.poll_timeout().is_some_and(|at| at <= now) {
            self.ioc.handle_timeout(now);
        }
        self.watch();
        while let Some(circuit) = self.ioc.poll_expelled() {
            if let Some(&conn) = self.by_circuit.get(&circuit) {
                self.output.push_back(HostOutput::Abort { conn });
                self.forget(now, conn);
            }
        }
    }

    fn poll_output(&mut self, now: Instant) -> Option<HostOutput> {
        loop {
            if let Some(output) = self.output.pop_front() {
                return Some(output);
            }
            while self.ioc.has_work() {
                self.ioc.work(now);
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
        self.ioc.poll_timeout()
    }
}
