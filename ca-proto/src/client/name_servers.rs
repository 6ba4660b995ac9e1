//! Circuits to TCP name servers: which there are, when they are made, and whether they can be asked.

use alloc::sync::Arc;
use core::net::SocketAddrV4;
use core::time::Duration;

use super::circuit::Circuit;
use super::{Client, CloseReason, NameServerState};
use crate::ids::CircuitId;
use crate::time::Instant;
use crate::wire::Minor;

/// A circuit to a TCP name server.
#[derive(Debug)]
pub(super) struct NameServer {
    addr: SocketAddrV4,
    pub(super) circuit: Option<CircuitId>,
    /// When to connect again, while there is no circuit.
    pub(super) retry: Instant,
    /// Why the last circuit ended.
    pub(super) trouble: Option<CloseReason>,
}

impl NameServer {
    pub(super) const fn new(addr: SocketAddrV4, now: Instant) -> Self {
        Self {
            addr,
            circuit: None,
            retry: now,
            trouble: None,
        }
    }
}

impl Client {
    /// The name servers, and whether each can be asked.
    pub fn name_servers(&self) -> impl Iterator<Item = (SocketAddrV4, NameServerState)> {
        self.name_servers.iter().map(|ns| {
            let circuit = ns.circuit.and_then(|c| self.circuits.get(c));
            let state = match (circuit.map(Circuit::search_state), ns.trouble) {
                (Some(NameServerState::Connecting) | None, Some(why)) => NameServerState::Lost(why),
                (Some(state), _) => state,
                (None, None) => NameServerState::Connecting,
            };
            (ns.addr, state)
        })
    }

    /// Changes which name servers are asked, because a host has another address. Those that are asked already go on;
    /// new ones are connected to at once; a circuit to one that is no more in the list ends, unless channels are on it.
    pub fn set_name_servers(&mut self, now: Instant, addrs: &[SocketAddrV4]) {
        if self.shut_down || self.params.name_servers == addrs {
            return;
        }
        Arc::make_mut(&mut self.params).name_servers = addrs.to_vec();
        let mut before = core::mem::take(&mut self.name_servers);
        for &addr in addrs {
            let known = before.iter().position(|ns| ns.addr == addr);
            let kept = known.map(|at| before.swap_remove(at));
            (self.name_servers).push(kept.unwrap_or_else(|| NameServer::new(addr, now)));
        }
        for c in before.into_iter().filter_map(|gone| gone.circuit) {
            if !self.name_servers.iter().any(|ns| ns.circuit == Some(c)) {
                self.ask_no_more(now, c);
            }
        }
        self.dial_name_servers(now);
    }

    /// A circuit is no more one to a name server.
    fn ask_no_more(&mut self, now: Instant, c: CircuitId) {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return;
        };
        circuit.name_server = false;
        self.end_if_idle(now, c);
    }

    /// Pause before a name server is tried again; the reference waits EPICS_CA_CONN_TMO
    /// (`SearchDestTCP::searchRequest`).
    pub(super) fn name_server_pause(&self) -> Duration {
        self.params.reconnect_delay.max(Duration::from_millis(1))
    }

    /// Connects to the name servers whose time has come, or shares the circuit that exists.
    pub(super) fn dial_name_servers(&mut self, now: Instant) {
        for i in 0..self.name_servers.len() {
            let NameServer {
                addr,
                circuit,
                retry,
                ..
            } = self.name_servers[i];
            if circuit.is_some() || retry > now {
                continue;
            }
            // The reference assumes 4.11 until the server says more (`cac::cac`).
            let assumed = Minor(11);
            let found = self
                .circuits
                .find(addr, 0)
                .or_else(|| self.circuits.open(now, &self.params, addr, 0, assumed).ok());
            self.name_servers[i].circuit = found;
            self.name_servers[i].retry = now + self.name_server_pause();
            let Some(c) = found else { continue };
            if let Some(circuit) = self.circuits.get_mut(c) {
                circuit.name_server = true;
            }
            self.name_server_ready(now, c);
        }
    }

    /// A name server may be asked from now on: names that are tried rarely are tried soon.
    pub(super) fn name_server_ready(&mut self, now: Instant, c: CircuitId) {
        if self.circuits.get(c).is_none_or(|x| !x.is_searchable()) {
            return;
        }
        for ns in &mut self.name_servers {
            if ns.circuit == Some(c) {
                ns.trouble = None;
            }
        }
        if self.params.search_addrs.is_empty() {
            self.search.restart(now);
        } else {
            self.search.boost(now);
        }
    }
}
