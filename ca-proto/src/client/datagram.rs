//! Datagrams: searches out, replies and beacons in (`udpiiu::postMsg` and `bhe::updatePeriod` of EPICS Base).

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use super::beacon::Verdict;
use super::channel::Phase;
use super::types::{Deliver, Destination, Event};
use super::{Client, NameServer};
use crate::ids::{Cid, CircuitId};
use crate::time::Instant;
use crate::wire::message::{Port, SAME_ADDRESS, SearchFlag};
use crate::wire::{Minor, datagram_frames, tcp, udp};

/// Unsent bytes on a circuit beyond which found channels are left to the search: a server that
/// answers searches but does not read cannot make us queue without end.
const CREATE_BACKLOG: usize = 16 << 20;
/// Pause between two events about circuits that were not opened.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);
/// First version whose search replies carry the server's port and address (`udpiiu::searchRespAction`).
const REPLY_WITH_PORT: Minor = Minor(5);
const REPLY_WITH_ADDRESS: Minor = Minor(8);

impl Client {
    /// Takes a datagram that arrived on the search socket.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        data: &[u8],
        _out: &mut impl Deliver,
    ) {
        self.traffic.datagrams_received += 1;
        let mut sequence = None;
        for frame in datagram_frames(data) {
            let Ok(frame) = frame else { return };
            let Ok(message) = udp::Response::parse(&frame) else {
                return;
            };
            match message {
                udp::Response::Version {
                    valid, sequence: n, ..
                } => {
                    if valid & 1 != 0 {
                        sequence = Some(n);
                    }
                }
                udp::Response::Search {
                    port,
                    server,
                    cid,
                    minor,
                } => {
                    if is_reflected(port, server, cid) {
                        continue;
                    }
                    let ip = match server {
                        SAME_ADDRESS => *from.ip(),
                        _ if minor < REPLY_WITH_ADDRESS => *from.ip(),
                        _ => server,
                    };
                    let port = match minor {
                        _ if minor < REPLY_WITH_PORT => self.params.server_port,
                        _ => port.0,
                    };
                    self.found(
                        now,
                        cid,
                        (from, SocketAddrV4::new(ip, port)),
                        minor,
                        sequence,
                    );
                }
                udp::Response::Beacon {
                    minor,
                    port,
                    sequence,
                    server,
                } => {
                    // The repeater fills the address in; a beacon sent to us directly has none.
                    let ip = if server.is_unspecified() {
                        *from.ip()
                    } else {
                        server
                    };
                    let port = match port.0 {
                        0 => self.params.server_port,
                        port => port,
                    };
                    self.beacon(now, SocketAddrV4::new(ip, port), sequence, minor);
                }
                udp::Response::RepeaterConfirm { .. } => {
                    if self.repeater.confirmed(now) {
                        self.beacons.listening_since(now);
                    }
                }
                udp::Response::Error { .. } | udp::Response::NotFound { .. } => {}
                udp::Response::Unknown { .. } => return,
            }
        }
    }

    /// Writes the next datagram to be sent into `buf` (cleared first) and says where it goes. A
    /// registration with the repeater is a datagram of length zero.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Destination> {
        while self.can_search() {
            let channels = &self.channels;
            let name = |cid| Some(channels.get(cid)?.name.as_bytes());
            let copies = self.params.search_addrs.len();
            let names = self.search.poll(now, buf, copies, name);
            self.traffic.search_delays = self.search.delays();
            if names == 0 {
                break;
            }
            self.traffic.searches += u64::from(names);
            self.count_search(buf.len());
            self.search_over_tcp(now, buf);
            if !self.params.search_addrs.is_empty() {
                return Some(Destination::Search);
            }
        }
        buf.clear();
        self.repeater.poll(now).map(Destination::To)
    }

    /// Without anybody to ask, names keep their place instead of backing off.
    pub(super) fn can_search(&self) -> bool {
        if self.shut_down {
            return false;
        }
        let ready = |ns: &NameServer| {
            let circuit = ns.circuit.and_then(|c| self.circuits.get(c));
            circuit.is_some_and(|circuit| circuit.is_searchable())
        };
        !self.params.search_addrs.is_empty() || self.name_servers.iter().any(ready)
    }

    /// Name servers get the identical bytes (`SearchDestTCP::searchRequest`); one that does not take
    /// them is left out, the next try repeats the names.
    fn search_over_tcp(&mut self, now: Instant, datagram: &[u8]) {
        for i in 0..self.name_servers.len() {
            let Some(c) = self.name_servers[i].circuit else {
                continue;
            };
            let takes = self.circuits.get(c).is_some_and(|circuit| {
                circuit.is_searchable() && circuit.unsent < self.params.send_high_water
            });
            if takes {
                self.circuits
                    .send(now, c, |queue| queue.put_slice(datagram));
            }
        }
    }

    /// Somebody says that a server has a name.
    pub(super) fn found(
        &mut self,
        now: Instant,
        cid: Cid,
        (from, server): (SocketAddrV4, SocketAddrV4),
        minor: Minor,
        sequence: Option<u32>,
    ) {
        self.traffic.search_replies += 1;
        let Some(channel) = self.channels.get(cid) else {
            return;
        };
        if !is_of_a_server(server) {
            let named = server;
            return self.remark(Event::BadAddress { cid, from, named });
        }
        if let Some(circuit) = channel.phase.circuit() {
            let kept = self.circuits.get(circuit).map_or(server, |c| c.addr);
            if kept != server {
                self.remark(Event::Duplicate {
                    cid,
                    kept,
                    ignored: server,
                });
            }
            return;
        }
        let priority = channel.priority;
        let circuit = match self.circuits.find(server, priority) {
            Some(circuit) => circuit,
            None => match self
                .circuits
                .open(now, &self.params, server, priority, minor)
            {
                Ok(circuit) => circuit,
                Err(setting) => return self.too_many_circuits(now, server, setting),
            },
        };
        if self
            .circuits
            .get(circuit)
            .is_none_or(|c| c.unsent > CREATE_BACKLOG)
        {
            return;
        }
        let round_trip = self.search.answered(now, cid, sequence);
        if let Some(time) = round_trip {
            self.traffic.round_trips.add(time);
        }
        self.create_on(now, cid, circuit);
    }

    /// Asks the server that an earlier run knew; false if that cannot be.
    pub(super) fn ask_first(
        &mut self,
        now: Instant,
        cid: Cid,
        server: SocketAddrV4,
        minor: Minor,
    ) -> bool {
        let Some(channel) = self.channels.get_mut(cid) else {
            return false;
        };
        let priority = channel.priority;
        if !is_of_a_server(server) {
            return false;
        }
        let circuit = match self.circuits.find(server, priority) {
            Some(circuit) => circuit,
            None => {
                let opened = (self.circuits).open(now, &self.params, server, priority, minor);
                let Ok(circuit) = opened else { return false };
                let time = self.params.hint_timeout.min(self.params.connect_timeout);
                self.circuits.dial_until(circuit, now + time);
                circuit
            }
        };
        let backlog = self.circuits.get(circuit).map(|circuit| circuit.unsent);
        if backlog.is_none_or(|bytes| bytes > CREATE_BACKLOG) {
            return false;
        }
        channel.hinted = true;
        self.search.know(cid);
        self.traffic.hinted += 1;
        self.create_on(now, cid, circuit);
        true
    }

    /// Asks a server for a channel.
    fn create_on(&mut self, now: Instant, cid: Cid, circuit: CircuitId) {
        let (Some(channel), Some(entry)) =
            (self.channels.get_mut(cid), self.circuits.get_mut(circuit))
        else {
            return;
        };
        let joined = entry.is_ready();
        let deadline = if joined {
            now + self.params.create_timeout
        } else {
            Instant::MAX
        };
        entry.create_due = entry.create_due.min(deadline);
        // At most 2^24 channels exist.
        channel.position = entry.channels.len() as u32;
        entry.channels.push(cid);
        channel.phase = Phase::Creating {
            circuit,
            deadline,
            joined,
        };
        channel.rights = crate::access::AccessRights::NONE;
        let name = crate::wire::message::Text::new(channel.name.as_bytes());
        let create = tcp::Request::CreateChan {
            cid,
            minor: Minor::CURRENT,
            name,
        };
        self.circuits
            .send(now, circuit, |queue| create.encode(queue));
        self.circuits.refresh(circuit);
    }

    fn too_many_circuits(&mut self, now: Instant, addr: SocketAddrV4, setting: &'static str) {
        self.refused_circuits += 1;
        if now >= self.refusal_told {
            self.refusal_told = now + REFUSAL_PAUSE;
            self.remark(Event::TooManyCircuits { addr, setting });
        }
    }

    fn beacon(&mut self, now: Instant, server: SocketAddrV4, number: u32, minor: Minor) {
        let verdict = self.beacons.observe(now, server, number, minor);
        for i in 0..self.circuits.to_server(server).len() {
            let c = self.circuits.to_server(server)[i];
            let Some(circuit) = self.circuits.get_mut(c) else {
                continue;
            };
            match verdict {
                Verdict::Healthy => circuit.liveness.good_beacon(now),
                Verdict::Suspect | Verdict::Anomaly => circuit.liveness.beacon_anomaly(),
                Verdict::First | Verdict::Duplicate => {}
            }
        }
        if verdict == Verdict::Anomaly {
            self.search.boost(now);
        }
    }
}

/// Whether a server can have this address: not those of "this network" (RFC 1122, 3.2.1.3), the groups of
/// multicast, the reserved ones above them, and no port.
const fn is_of_a_server(address: SocketAddrV4) -> bool {
    let [first, ..] = address.ip().octets();
    first != 0 && first < 224 && address.port() != 0
}

/// A search request that came back, for instance through a repeater on a port set wrongly, looks
/// like a reply (trap 1): the reply flag stands where the port would be, the channel's identifier
/// where the address would be.
fn is_reflected(port: Port, server: Ipv4Addr, cid: Cid) -> bool {
    let flag = [SearchFlag::DONT_REPLY.0, SearchFlag::DO_REPLY.0].contains(&port.0);
    flag && u32::from(server) == cid.0
}
