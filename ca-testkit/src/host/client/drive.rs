//! The driver of a client: streams, datagrams and time.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use ca_proto::Instant;
use ca_proto::client::{Action, CloseReason, Destination, Hangup, More};
use ca_proto::ids::{Cid, CircuitId, SlotKey as _};
use ca_proto::wire::{Command, Deframer, FrameLimits, Minor, SendQueue};

use super::ClientHost;
use crate::host::{CloseKind, Host, HostInput, HostOutput, front};
use crate::net::ConnId;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) deframer: Deframer,
    /// Reads along, to compare the core's view with the server's words.
    pub(super) tap: Deframer,
    /// Reads along what is sent: a channel that is created anew has heard nothing yet.
    pub(super) out_tap: Deframer,
    pub(super) rights: BTreeMap<Cid, u32>,
    /// The server has posed as one below 4.1.
    pub(super) old: bool,
    pub(super) open: bool,
    pub(super) window: usize,
    /// When anything came.
    pub(super) heard: Instant,
    /// When an echo was asked for, or something left before one that waits.
    pub(super) asked: Instant,
    pub(super) queue: SendQueue,
    pub(super) closing: Closing,
}

/// How far the end of a stream that the core gave up has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closing {
    No,
    /// The rest is being sent, then the own side is shut down.
    Flushing,
    /// Waiting for the server's end of stream, until then.
    Lingering(Instant),
}

/// How long the server has to end a stream that we shut down.
const LINGER: Duration = Duration::from_secs(5);

impl ClientHost {
    fn circuit(conn: ConnId) -> CircuitId {
        // The host numbers its streams by circuit.
        CircuitId::from_raw(conn.0 as u32)
    }

    fn handle_data(&mut self, now: Instant, circuit: CircuitId, data: &[u8], full: bool) {
        let Some(stream) = self.streams.get_mut(&circuit) else {
            return;
        };
        stream.heard = now;
        let mut frames = stream.tap.frames(data);
        // Channels whose rights may be others after this chunk.
        let mut spoken = std::mem::take(&mut self.spoken);
        spoken.clear();
        while let Some(frame) = frames.next() {
            let Ok(frame) = frame else { continue };
            match frame.header.command {
                Command::ACCESS_RIGHTS => {
                    stream.rights.insert(Cid(frame.header.p1), frame.header.p2);
                    spoken.push(Cid(frame.header.p1));
                }
                Command::CREATE_CHAN => spoken.push(Cid(frame.header.p1)),
                Command::VERSION => {
                    let minor = Minor(frame.header.count as u16);
                    stream.old |= !minor.has_status_in_replies();
                }
                _ => {}
            }
        }
        let more = if full { More::Maybe } else { More::Drained };
        stream.deframer.set_limits(self.client.limits(circuit));
        let result = self.client.handle_chunk(
            now,
            circuit,
            &mut stream.deframer,
            data,
            more,
            &mut self.log,
        );
        if let Err(violation) = result {
            let conn = ConnId(u64::from(circuit.raw()));
            self.streams.remove(&circuit);
            self.output.push_back(HostOutput::Abort { conn });
            self.violations.push((now, violation));
            let why = CloseReason::Violation;
            self.client.handle_closed(now, circuit, why, &mut self.log);
        }
        self.check_rights(circuit, &spoken);
        self.spoken = spoken;
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Dial { circuit, addr } => {
                let limits = self.client.limits(circuit);
                let tap = FrameLimits {
                    max_payload: u32::MAX,
                    extended: true,
                };
                let stream = Stream {
                    deframer: Deframer::new(limits),
                    tap: Deframer::new(tap),
                    out_tap: Deframer::new(tap),
                    rights: BTreeMap::new(),
                    old: self.old.contains(addr.ip()),
                    open: false,
                    window: 0,
                    heard: now,
                    asked: now,
                    queue: SendQueue::new(),
                    closing: Closing::No,
                };
                self.streams.insert(circuit, stream);
                let conn = ConnId(u64::from(circuit.raw()));
                self.output.push_back(HostOutput::Dial { conn, to: addr });
            }
            Action::Hangup { circuit, how } => {
                let conn = ConnId(u64::from(circuit.raw()));
                let Some(stream) = self.streams.get_mut(&circuit) else {
                    return;
                };
                if how == Hangup::Orderly && stream.open {
                    stream.closing = Closing::Flushing;
                    self.ready.push_back(circuit);
                } else {
                    self.streams.remove(&circuit);
                    self.output.push_back(HostOutput::Abort { conn });
                    let why = CloseReason::Hangup;
                    self.client.handle_closed(now, circuit, why, &mut self.log);
                }
            }
        }
    }

    fn note_events(&mut self, now: Instant) {
        while let Some(event) = self.client.poll_event() {
            self.hold(now, &event);
            self.events.push((now, event));
        }
    }

    fn flush(&mut self, now: Instant, circuit: CircuitId) {
        let conn = ConnId(u64::from(circuit.raw()));
        let Some(stream) = self.streams.get_mut(&circuit) else {
            return;
        };
        while stream.open && stream.window > 0 {
            if stream.queue.is_empty()
                && let Some(queue) = self.client.transmit(now, circuit)
            {
                std::mem::swap(queue, &mut stream.queue);
            }
            let data = front(&stream.queue, stream.window);
            if data.is_empty() {
                break;
            }
            stream.queue.advance(data.len());
            stream.window -= data.len();
            if stream.window == 0 {
                stream.asked = now;
            }
            let mut frames = stream.out_tap.frames(&data);
            while let Some(frame) = frames.next() {
                let Ok(frame) = frame else { continue };
                match frame.header.command {
                    Command::CREATE_CHAN => drop(stream.rights.remove(&Cid(frame.header.p1))),
                    Command::ECHO | Command::READ_SYNC => stream.asked = now,
                    _ => {}
                }
            }
            self.client.handle_sent(now, circuit, data.len());
            self.output.push_back(HostOutput::Send { conn, data });
        }
        // The core may hold more than the window took.
        let rest = self.client.transmit(now, circuit);
        let all = stream.queue.is_empty() && rest.is_none_or(|queue| queue.is_empty());
        if stream.closing == Closing::Flushing && all {
            stream.closing = Closing::Lingering(now + LINGER);
            self.output.push_back(HostOutput::Shutdown { conn });
        }
    }
}

impl Host for ClientHost {
    fn handle(&mut self, now: Instant, input: HostInput<'_>) {
        self.log.now = now;
        self.note_late(now);
        match input {
            HostInput::Datagram { from, data, .. } => {
                self.note_datagram(now, from, data);
                self.client.handle_datagram(now, from, data, &mut self.log);
            }
            HostInput::Accepted { .. } | HostInput::Unowned { .. } => {}
            HostInput::Connected { conn, window } => {
                let circuit = Self::circuit(conn);
                if let Some(stream) = self.streams.get_mut(&circuit) {
                    stream.open = true;
                    stream.window = window;
                    stream.heard = now;
                    self.client.handle_connected(now, circuit);
                    self.ready.push_back(circuit);
                }
            }
            HostInput::Data { conn, data, full } => {
                self.handle_data(now, Self::circuit(conn), data, full);
            }
            HostInput::Writable { conn, window } => {
                let circuit = Self::circuit(conn);
                if let Some(stream) = self.streams.get_mut(&circuit) {
                    stream.window = window;
                    self.ready.push_back(circuit);
                }
            }
            HostInput::Closed { conn, how } => {
                let circuit = Self::circuit(conn);
                let Some(stream) = self.streams.remove(&circuit) else {
                    return;
                };
                self.output.push_back(HostOutput::Close { conn });
                let why = match (stream.closing, how) {
                    (Closing::No, CloseKind::Eof) => CloseReason::Eof,
                    (Closing::No, CloseKind::Reset) => CloseReason::Reset,
                    (Closing::No, CloseKind::Refused) => CloseReason::DialFailed,
                    _ => CloseReason::Hangup,
                };
                self.client.handle_closed(now, circuit, why, &mut self.log);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.log.now = now;
        self.note_late(now);
        let over: Vec<CircuitId> = self
            .streams
            .iter()
            .filter(|(_, s)| matches!(s.closing, Closing::Lingering(until) if until <= now))
            .map(|(circuit, _)| *circuit)
            .collect();
        for circuit in over {
            self.streams.remove(&circuit);
            let conn = ConnId(u64::from(circuit.raw()));
            self.output.push_back(HostOutput::Abort { conn });
            let why = CloseReason::Hangup;
            self.client.handle_closed(now, circuit, why, &mut self.log);
        }
        self.client.handle_timeout(now, &mut self.log);
        self.check_silence(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<HostOutput> {
        self.log.now = now;
        loop {
            if let Some(output) = self.output.pop_front() {
                return Some(output);
            }
            // A search is judged by what is known when it leaves.
            self.note_events(now);
            // Searches over TCP wake circuits, so datagrams come first.
            let mut datagram = std::mem::take(&mut self.datagram);
            while let Some(to) = self.client.poll_transmit(now, &mut datagram) {
                self.datagram = datagram;
                self.check_search(now);
                datagram = std::mem::take(&mut self.datagram);
                let addrs = match to {
                    Destination::Search => self.params.search_addrs.clone(),
                    Destination::To(addr) => vec![addr],
                };
                self.output
                    .extend(addrs.into_iter().map(|to| HostOutput::Datagram {
                        port: self.port,
                        to,
                        data: datagram.clone(),
                    }));
            }
            self.datagram = datagram;
            while let Some(action) = self.client.poll_action() {
                self.act(now, action);
            }
            while let Some(circuit) = self.client.poll_woken() {
                self.ready.push_back(circuit);
            }
            for circuit in std::mem::take(&mut self.ready)
                .into_iter()
                .collect::<BTreeSet<_>>()
            {
                self.flush(now, circuit);
            }
            self.note_events(now);
            if self.output.is_empty() && self.ready.is_empty() {
                return None;
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let linger = self.streams.values().filter_map(|s| match s.closing {
            Closing::Lingering(until) => Some(until),
            _ => None,
        });
        linger.chain(self.client.poll_timeout()).min()
    }

    fn complaint(&mut self) -> Option<String> {
        let what = self.log.complaint.take()?;
        Some(format!("{}: {what}", self.name))
    }
}
