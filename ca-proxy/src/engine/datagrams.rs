//! Datagrams: searches and their replies, each message judged by itself; storms of beacons.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use ca_proto::Instant;
use ca_proto::wire::dump::{self, DumpFrame};
use ca_proto::wire::header::STANDARD_LEN;
use ca_proto::wire::message::Port;
use ca_proto::wire::{Command, Frame, Minor, datagram_frames, udp};

use super::circuit::{Desk, PortFor};
use super::edit;
use super::rules::Rules;
use crate::rule::{Action, Direction, Sight, Transport};

/// Datagrams that wait to be sent; what does not fit is lost, as datagrams are.
pub(crate) const MAX_DATAGRAMS: usize = 10_000;
/// Names under search that are remembered; the oldest is forgotten first.
const MAX_NAMES: usize = 200_000;

/// Where a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum To {
    /// To the server, through the socket of this client.
    ServerFor(SocketAddrV4),
    /// To this client.
    Client(SocketAddrV4),
    /// To this address, on behalf of nobody.
    Address(SocketAddrV4),
}

#[derive(Debug, Default)]
pub(super) struct Datagrams {
    waiting: BTreeMap<(Instant, u64), (To, Bytes)>,
    next: u64,
    names: HashMap<(SocketAddrV4, u32), Bytes>,
    /// The keys of `names` in order of age.
    ages: VecDeque<(SocketAddrV4, u32)>,
    /// When each storm sends next, by its rule.
    storms: BTreeMap<usize, Storm>,
    pub(super) passed: [u64; 2],
    pub(super) lost: u64,
}

#[derive(Debug)]
struct Storm {
    at: Instant,
    sequence: u32,
}

impl Datagrams {
    /// Takes in a datagram of a client, or of the server to a client.
    pub(super) fn received(
        &mut self,
        desk: &mut Desk<'_>,
        way: Direction,
        client: SocketAddrV4,
        server: SocketAddrV4,
        data: &[u8],
        port_for: PortFor<'_>,
    ) {
        self.passed[way.index()] += 1;
        let to = match way {
            Direction::Request => To::ServerFor(client),
            Direction::Response => To::Client(client),
        };
        let mut together = Vec::with_capacity(data.len());
        // A VERSION leads searches and their replies; what leaves the company takes a copy along.
        let mut lead: Bytes = Bytes::new();
        let (mut at, mut content) = (0, data.is_empty());
        for frame in datagram_frames(data) {
            let Ok(frame) = frame else {
                together.extend_from_slice(data.get(at..).unwrap_or_default());
                content = true;
                break;
            };
            let len = STANDARD_LEN + frame.payload().len();
            let message = Bytes::copy_from_slice(data.get(at..at + len).unwrap_or_default());
            at += len;
            let is_version = frame.header.command == Command::VERSION;
            if is_version {
                lead = message.clone();
            }
            let whole = self.message(desk, way, client, &frame, message, server, port_for, |d| {
                let out = if is_version {
                    d
                } else {
                    [&lead[..], &d[..]].concat().into()
                };
                (to, out)
            });
            if let Some(message) = whole {
                together.extend_from_slice(&message);
                content |= !is_version;
            }
        }
        // A VERSION alone is nothing, unless the sender meant it.
        if content || (at == lead.len() && !together.is_empty()) {
            self.queue(desk.now, Duration::ZERO, to, together.into());
        }
    }

    /// Judges one message; what of it travels with the others of its datagram.
    #[allow(clippy::too_many_arguments)] // All of it is the message's surroundings.
    fn message(
        &mut self,
        desk: &mut Desk<'_>,
        way: Direction,
        client: SocketAddrV4,
        frame: &Frame<'_>,
        mut data: Bytes,
        server: SocketAddrV4,
        port_for: PortFor<'_>,
        alone: impl Fn(Bytes) -> (To, Bytes),
    ) -> Option<Bytes> {
        let direction = match way {
            Direction::Request => dump::Direction::UdpRequest,
            Direction::Response => dump::Direction::UdpResponse,
        };
        let text = || {
            let dump = DumpFrame { frame, direction };
            format!("udp {client} {} {dump}", way.arrow())
        };
        desk.log.trace(desk.now, text);
        let key = self.note(frame, way, client);
        let faults = desk.rules.judge(&Sight {
            command: Some(frame.header.command),
            direction: Some(way),
            transport: Transport::Udp,
            name: key
                .and_then(|key| self.names.get(&key))
                .map(|name| &name[..]),
        });
        if (way, frame.header.command) == (Direction::Response, Command::SEARCH) {
            data = edit::reply(&data, server, port_for)?;
        }
        let (mut delay, mut copies) = (Duration::ZERO, 0);
        for fault in faults {
            desk.log.fault(desk.now, desk.rules, &fault, text);
            match fault.action {
                Action::Drop => return None,
                Action::Delay { by, .. } => delay += by,
                Action::Duplicate { copies: n } => copies += n,
                Action::Corrupt { field, value } => {
                    let random = desk.rules.random(fault.rule);
                    data = edit::corrupt(&data, STANDARD_LEN, field, value, random);
                }
                _ => {}
            }
        }
        let on_its_own = if delay.is_zero() { copies } else { copies + 1 };
        for _ in 0..on_its_own {
            let (to, data) = alone(data.clone());
            self.queue(desk.now, delay, to, data);
        }
        delay.is_zero().then_some(data)
    }

    /// Remembers the name of a search; the place of a message's name.
    fn note(
        &mut self,
        frame: &Frame<'_>,
        way: Direction,
        client: SocketAddrV4,
    ) -> Option<(SocketAddrV4, u32)> {
        if way == Direction::Request {
            let Ok(udp::Request::Search { cid, name, .. }) = udp::Request::parse(frame) else {
                return None;
            };
            let key = (client, cid.0);
            let name = Bytes::copy_from_slice(name.as_bytes());
            if self.names.insert(key, name).is_none() {
                self.ages.push_back(key);
            }
            if self.ages.len() > MAX_NAMES
                && let Some(oldest) = self.ages.pop_front()
            {
                self.names.remove(&oldest);
            }
            return Some(key);
        }
        match udp::Response::parse(frame) {
            Ok(
                udp::Response::Search { cid, .. }
                | udp::Response::NotFound { cid, .. }
                | udp::Response::Error { cid, .. },
            ) => Some((client, cid.0)),
            _ => None,
        }
    }

    fn queue(&mut self, now: Instant, delay: Duration, to: To, data: Bytes) {
        if self.waiting.len() >= MAX_DATAGRAMS {
            self.lost += 1;
            return;
        }
        let due = now.checked_add(delay).unwrap_or(Instant::MAX);
        self.waiting.insert((due, self.next), (to, data));
        self.next += 1;
    }

    /// Lets the storms send what is due: beacons of servers on consecutive ports.
    fn blow(&mut self, now: Instant, rules: &mut Rules, listen: SocketAddrV4) {
        let storms: Vec<(usize, Action)> = rules.storms().map(|(n, a)| (n, a.clone())).collect();
        self.storms
            .retain(|rule, _| storms.iter().any(|(index, _)| index == rule));
        for (rule, action) in storms {
            let Action::Storm { to, every, servers } = action else {
                continue;
            };
            let storm = self.storms.entry(rule).or_insert(Storm {
                at: now,
                sequence: 0,
            });
            if now < storm.at {
                continue;
            }
            // Bursts that were missed stay so.
            storm.at = now.checked_add(every).unwrap_or(Instant::MAX);
            let sequence = storm.sequence;
            storm.sequence = storm.sequence.wrapping_add(1);
            rules.count(rule);
            for server in 0..servers {
                let beacon = udp::Request::Beacon {
                    minor: Minor::CURRENT,
                    port: Port(listen.port().wrapping_add(server)),
                    sequence,
                    server: *listen.ip(),
                };
                let mut data = Vec::with_capacity(STANDARD_LEN);
                beacon.encode_into(&mut data);
                self.queue(now, Duration::ZERO, To::Address(to), data.into());
            }
        }
    }

    /// The next datagram that is due.
    pub(super) fn next(
        &mut self,
        now: Instant,
        rules: &mut Rules,
        listen: SocketAddrV4,
    ) -> Option<(To, Bytes)> {
        self.blow(now, rules, listen);
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next one is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        let waiting = self.waiting.first_key_value().map(|(place, _)| place.0);
        let storm = self.storms.values().map(|storm| storm.at).min();
        waiting.into_iter().chain(storm).min()
    }
}
