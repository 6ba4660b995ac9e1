//! The repeater: copies beacons to every Channel Access client of a host (`ca_repeater` of EPICS Base).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use crate::time::Instant;
use crate::wire::header::STANDARD_LEN;
use crate::wire::{Command, Header, Minor, udp};

/// Clients that can be registered; the reference has no limit. Further ones are not confirmed and
/// keep asking.
pub const MAX_CLIENTS: usize = 1024;
/// Datagrams that wait to be sent, each to one client or to all; what does not fit is dropped.
pub const MAX_QUEUED: usize = 256;

/// Copies each datagram to every registered client but its sender.
///
/// The driver owns the sockets: one bound to the repeater port, and per client one that is connected
/// to it, because only a connected socket learns that nobody listens any more. When a send to a
/// client is refused, or when the client's port can be bound
/// ([`poll_check`](Self::poll_check)), the driver calls [`forget`](Self::forget).
#[derive(Debug, Default)]
pub struct Repeater {
    clients: Vec<SocketAddrV4>,
    /// Addresses of this host beside loopback.
    local: Vec<Ipv4Addr>,
    queue: VecDeque<Outgoing>,
    /// Clients of the first queued datagram that had their turn.
    served: usize,
    /// Clients that are to be checked.
    checks: VecDeque<SocketAddrV4>,
    dropped: u64,
}

#[derive(Debug)]
struct Outgoing {
    to: Target,
    data: Vec<u8>,
}

#[derive(Debug)]
enum Target {
    Client(SocketAddrV4),
    AllBut(SocketAddrV4),
}

impl Repeater {
    /// A repeater without clients. Registrations are taken from loopback and from the `local`
    /// addresses of this host.
    pub fn new(local: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        Self {
            local: local.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The registered clients in order of registration.
    pub fn clients(&self) -> &[SocketAddrV4] {
        &self.clients
    }

    /// Datagrams dropped because too many waited.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// True for a datagram that registers its sender: an empty one, or one that begins with
    /// `REPEATER_REGISTER`.
    pub fn registers(data: &[u8]) -> bool {
        let register = |(header, _): (Header, _)| header.command == Command::REPEATER_REGISTER;
        data.is_empty() || Header::decode(data, false).is_some_and(register)
    }

    /// Whether registrations are taken from this address.
    pub fn is_local(&self, ip: Ipv4Addr) -> bool {
        ip.is_loopback() || self.local.contains(&ip)
    }

    /// Takes registrations from one more address of this host.
    pub fn add_local(&mut self, ip: Ipv4Addr) {
        if !self.is_local(ip) {
            self.local.push(ip);
        }
    }

    /// Takes a datagram that arrived on the repeater port. An empty one registers its sender.
    pub fn handle_datagram(&mut self, _now: Instant, from: SocketAddrV4, data: &[u8]) {
        let first = Header::decode(data, false).map(|(header, _)| header);
        match first {
            _ if Self::registers(data) => {
                self.register(from);
                let rest = data.get(STANDARD_LEN..).unwrap_or_default();
                if !rest.is_empty() {
                    self.push(Target::AllBut(from), rest.to_vec());
                }
            }
            Some(header) if header.command == Command::RSRV_IS_UP && header.p2 == 0 => {
                let mut copy = data.to_vec();
                if let Some(address) = copy.get_mut(12..16) {
                    address.copy_from_slice(&from.ip().octets());
                }
                self.push(Target::AllBut(from), copy);
            }
            // Whatever it is, even garbage.
            _ => self.push(Target::AllBut(from), data.to_vec()),
        }
    }

    fn register(&mut self, from: SocketAddrV4) {
        if !self.is_local(*from.ip()) {
            return;
        }
        // A client that asks through several addresses of the host is one client.
        let known = self
            .clients
            .iter()
            .copied()
            .find(|c| c.port() == from.port());
        let client = match known {
            Some(client) => client,
            None if self.clients.len() >= MAX_CLIENTS => return,
            None => {
                self.clients.push(from);
                from
            }
        };
        let is_new = known.is_none();
        let mut confirm = Vec::new();
        udp::Response::RepeaterConfirm {
            client: *client.ip(),
        }
        .encode_into(&mut confirm);
        self.push(Target::Client(client), confirm);
        // Makes a refusal come back from those that have died.
        let mut noop = Vec::new();
        udp::Response::Version {
            valid: 0,
            minor: Minor(0),
            sequence: 0,
        }
        .encode_into(&mut noop);
        self.push(Target::AllBut(client), noop);
        if is_new {
            self.checks = self.clients.iter().copied().collect();
        }
    }

    fn push(&mut self, to: Target, data: Vec<u8>) {
        if self.queue.len() >= MAX_QUEUED {
            self.dropped += 1;
        } else {
            self.queue.push_back(Outgoing { to, data });
        }
    }

    /// Writes the next datagram into `buf`, which is cleared first, and returns the client it is
    /// for; to be sent through that client's own socket.
    pub fn poll_transmit(&mut self, _now: Instant, buf: &mut Vec<u8>) -> Option<SocketAddrV4> {
        buf.clear();
        loop {
            let front = self.queue.front()?;
            let to = match front.to {
                Target::Client(client) if self.served == 0 => Some(client),
                Target::Client(_) => None,
                Target::AllBut(sender) => {
                    let rest = self.clients.get(self.served..).unwrap_or_default();
                    let skipped = rest.iter().take_while(|&&c| c == sender).count();
                    self.served += skipped;
                    rest.get(skipped).copied()
                }
            };
            let Some(to) = to else {
                self.queue.pop_front();
                self.served = 0;
                continue;
            };
            self.served += 1;
            // A single receiver may have been forgotten meanwhile.
            if self.clients.contains(&to) {
                buf.extend_from_slice(&front.data);
                return Some(to);
            }
        }
    }

    /// The next client whose port the driver should try to bind: if that works nobody owns it, and
    /// the client is to be [forgotten](Self::forget). Each new registration checks all clients.
    pub fn poll_check(&mut self) -> Option<SocketAddrV4> {
        self.checks.pop_front()
    }

    /// Removes a client that is gone.
    pub fn forget(&mut self, client: SocketAddrV4) {
        let Some(index) = self.clients.iter().position(|&c| c == client) else {
            return;
        };
        self.clients.remove(index);
        self.checks.retain(|&c| c != client);
        let fans_out = (self.queue.front()).is_some_and(|f| matches!(f.to, Target::AllBut(_)));
        if fans_out && index < self.served {
            self.served -= 1;
        }
    }

    /// Schedules a check of every client; for a driver whose send was refused for another reason
    /// than a closed port.
    pub fn check_all(&mut self) {
        self.checks = self.clients.iter().copied().collect();
    }
}
