//! A host that sends arbitrary and almost right bytes to whoever it can reach.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use ca_proto::Instant;
use ca_proto::rng::Pcg32;
use ca_proto::wire::{Command, Header, Minor, REPEATER_PORT, SERVER_PORT, tcp, udp};

use super::{CloseKind, Host, HostInput, HostOutput};
use crate::net::ConnId;

/// Longest pause between two pranks.
const PAUSE_MS: u32 = 700;
/// Largest random payload in bytes.
const MAX_PAYLOAD: u32 = 300;

/// A hostile peer: forges search replies and beacons, accepts circuits and answers nonsense, dials
/// servers and sends requests that are almost right.
#[derive(Debug)]
pub struct NastyHost {
    rng: Pcg32,
    /// Where datagrams and dials go: hosts or broadcast addresses.
    targets: Vec<Ipv4Addr>,
    streams: BTreeMap<ConnId, (usize, bool)>,
    /// Sources of searches seen, to be answered with lies.
    seen: VecDeque<SocketAddrV4>,
    next_dial: u64,
    next: Option<Instant>,
    output: VecDeque<HostOutput>,
}

impl NastyHost {
    /// A hostile host that knows these addresses.
    pub fn new(seed: u64, targets: Vec<Ipv4Addr>) -> Self {
        Self {
            rng: Pcg32::new(seed),
            targets,
            streams: BTreeMap::new(),
            seen: VecDeque::new(),
            next_dial: 0,
            next: Some(Instant::ZERO + Duration::from_millis(5)),
            output: VecDeque::from([
                HostOutput::Bind { port: SERVER_PORT },
                HostOutput::Bind {
                    port: REPEATER_PORT,
                },
                HostOutput::Listen { port: SERVER_PORT },
            ]),
        }
    }

    /// Falls silent.
    pub fn stop(&mut self) {
        self.next = None;
        for conn in std::mem::take(&mut self.streams).into_keys() {
            self.output.push_back(HostOutput::Abort { conn });
        }
    }

    fn target(&mut self) -> Ipv4Addr {
        let at = self.rng.below(self.targets.len() as u32) as usize;
        self.targets.get(at).copied().unwrap_or(Ipv4Addr::BROADCAST)
    }

    fn bytes(&mut self, len: u32) -> Vec<u8> {
        (0..len).map(|_| self.rng.next_u32() as u8).collect()
    }

    /// A header with a known command and fields that are sometimes plausible.
    fn message(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let command = match rng.below(8) {
            0 => Command(rng.next_u32() as u16),
            _ => Command(rng.below(28) as u16),
        };
        let small = |rng: &mut Pcg32| match rng.below(4) {
            0 => rng.next_u32(),
            _ => rng.below(6),
        };
        let payload = match rng.below(3) {
            0 => 0,
            1 => 8 * rng.below(6),
            _ => 8 * rng.below(MAX_PAYLOAD / 8),
        };
        let mut header = Header {
            data_type: small(rng) as u16,
            count: small(rng),
            p1: small(rng),
            p2: small(rng),
            payload_len: payload,
            ..Header::new(command)
        };
        // Sometimes the size lies, is odd, or enormous.
        match rng.below(40) {
            0 => header.payload_len = rng.next_u32(),
            1 => header.payload_len += 1 + rng.below(7),
            2 => header.payload_len += 8,
            _ => {}
        }
        let mut out = Vec::new();
        header.encode(&mut out);
        let body = self.bytes(payload);
        out.extend_from_slice(&body);
        out
    }

    fn stream_bytes(&mut self, server: bool) -> Vec<u8> {
        match self.rng.below(10) {
            0 => {
                let len = 1 + self.rng.below(64);
                self.bytes(len)
            }
            1 if !server => {
                let mut out = Vec::new();
                tcp::Request::CreateChan {
                    cid: ca_proto::ids::Cid(self.rng.below(8)),
                    minor: Minor(self.rng.below(16) as u16),
                    name: ca_proto::wire::message::Text::new(b"x0"),
                }
                .encode_into(&mut out);
                out
            }
            _ => {
                let mut out = self.message();
                let cut = self.rng.below(12);
                if cut == 0 {
                    let len = self.rng.below(out.len() as u32) as usize;
                    out.truncate(len);
                }
                out
            }
        }
    }

    fn datagram(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.rng.below(4) {
            0 => udp::Response::Beacon {
                minor: Minor(self.rng.below(16) as u16),
                port: ca_proto::wire::message::Port(SERVER_PORT),
                sequence: self.rng.below(4),
                server: Ipv4Addr::UNSPECIFIED,
            }
            .encode_into(&mut out),
            1 => {
                let len = self.rng.below(80);
                out = self.bytes(len);
            }
            _ => {
                for _ in 0..1 + self.rng.below(4) {
                    out.extend(self.message());
                }
            }
        }
        out
    }

    fn prank(&mut self) {
        let kind = self.rng.below(6);
        let conn = {
            let at = self.rng.below(self.streams.len() as u32) as usize;
            self.streams.iter().nth(at).map(|(conn, end)| (*conn, *end))
        };
        match (kind, conn) {
            (0, _) => {
                let to = SocketAddrV4::new(self.target(), SERVER_PORT);
                let conn = ConnId(self.next_dial);
                self.next_dial += 1;
                self.output.push_back(HostOutput::Dial { conn, to });
            }
            (1 | 2, _) => {
                let port = if self.rng.chance(0.5) {
                    SERVER_PORT
                } else {
                    REPEATER_PORT
                };
                let to = match self.seen.pop_front() {
                    Some(source) => source,
                    None => SocketAddrV4::new(self.target(), port),
                };
                let data = self.datagram();
                self.output.push_back(HostOutput::Datagram {
                    port: SERVER_PORT,
                    to,
                    data,
                });
            }
            (3, Some((conn, _))) if self.rng.chance(0.2) => {
                self.streams.remove(&conn);
                self.output.push_back(HostOutput::Abort { conn });
            }
            (_, Some((conn, (window, server)))) => {
                let mut data = self.stream_bytes(server);
                data.truncate(window);
                if !data.is_empty() {
                    self.streams.insert(conn, (window - data.len(), server));
                    self.output.push_back(HostOutput::Send { conn, data });
                }
            }
            (_, None) => {}
        }
    }
}

impl Host for NastyHost {
    fn handle(&mut self, _: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Datagram { from, .. } => {
                if self.seen.len() < 8 {
                    self.seen.push_back(from);
                }
            }
            HostInput::Accepted { conn, window, .. } => {
                self.streams.insert(conn, (window, true));
                self.prank();
            }
            HostInput::Connected { conn, window } => {
                self.streams.insert(conn, (window, false));
            }
            HostInput::Writable { conn, window } => {
                if let Some(stream) = self.streams.get_mut(&conn) {
                    stream.0 = window;
                }
            }
            HostInput::Data { .. } | HostInput::Unowned { .. } => {}
            HostInput::Closed { conn, how } => {
                let known = self.streams.remove(&conn).is_some();
                if known && how == CloseKind::Eof {
                    self.output.push_back(HostOutput::Close { conn });
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.prank();
        let pause = 1 + self.rng.below(PAUSE_MS);
        self.next = Some(now + Duration::from_millis(u64::from(pause)));
    }

    fn poll_output(&mut self, _: Instant) -> Option<HostOutput> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}
