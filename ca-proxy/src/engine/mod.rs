//! The proxy without sockets: bytes in, bytes and times out.
//!
//! ```text
//!  client ──bytes─► Input ─messages─► Book (ids → names) ─► Rules ─faults─► Lane ──bytes─► server
//!         ◄──────── Lane ◄────────── the same the other way ◄─────────────── Input ◄──────
//! ```
//!
//! Time comes in as an argument, and random numbers from a seed, so the same input has the same
//! output.

mod book;
mod circuit;
mod datagrams;
mod edit;
mod guard;
mod input;
mod lane;
mod log;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use ca_proto::Instant;

use super::rule::{Action, Direction, How, Rule, Sight, Transport};
use circuit::{Circuit, Desk};
use datagrams::Datagrams;
use log::Log;
use rules::Rules;

pub(crate) use circuit::PortFor;
pub(crate) use datagrams::To;
pub(crate) use lane::Output;
pub use log::Level;

/// Circuits at the same time; further ones are refused.
pub(crate) const MAX_CIRCUITS: usize = 1024;

/// Rules at the same time, those of the script included.
pub(crate) const MAX_RULES: usize = 1000;

/// Why a proxy that is read-only does not take a rule.
pub(crate) const NO_CORRUPT: &str = "a request that is corrupted can become a put, and this proxy is \
                                     read-only; corrupt responses, or UDP";

/// What becomes of a new circuit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    /// Connect to the server after this time.
    Connect { id: u64, after: Duration },
    /// Turn the client away.
    Refuse,
}

/// The proxy's memory and judgement.
#[derive(Debug)]
pub(crate) struct Engine {
    rules: Rules,
    circuits: BTreeMap<u64, Circuit>,
    opened: u64,
    refused: u64,
    datagrams: Datagrams,
    log: Log,
    /// Address of the proxy, as beacons of a storm give it.
    listen: SocketAddrV4,
    /// Nothing is written through this proxy.
    read_only: bool,
    /// Puts that were refused on circuits that are gone.
    refused_puts: u64,
}

impl Engine {
    pub(crate) fn new(rules: Vec<Rule>, seed: u64, level: Level, listen: SocketAddrV4) -> Self {
        Self {
            rules: Rules::new(rules, seed),
            circuits: BTreeMap::new(),
            opened: 0,
            refused: 0,
            datagrams: Datagrams::default(),
            log: Log::new(level),
            listen,
            read_only: false,
            refused_puts: 0,
        }
    }

    /// Refuses every put from now on. Rules must not be able to make one.
    pub(crate) fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    fn circuit(&mut self, now: Instant, id: u64) -> Option<(&mut Circuit, Desk<'_>)> {
        let circuit = self.circuits.get_mut(&id)?;
        let desk = Desk {
            now,
            rules: &mut self.rules,
            log: &mut self.log,
            read_only: self.read_only,
        };
        Some((circuit, desk))
    }

    /// A client has connected and wants this server.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        client: SocketAddrV4,
        server: SocketAddrV4,
    ) -> Opening {
        let faults = self.rules.judge(&Sight {
            command: None,
            direction: None,
            transport: Transport::Tcp,
            name: None,
        });
        let id = self.opened + 1;
        let mut circuit = Circuit::new(id, client, server);
        let (mut after, mut refuse) = (Duration::ZERO, self.circuits.len() >= MAX_CIRCUITS);
        self.log
            .event(now, || format!("#{id} opened by {client}, to {server}"));
        for fault in &faults {
            let text = || format!("#{id} opening");
            self.log.fault(now, &self.rules, fault, text);
            match fault.action {
                Action::Refuse => refuse = true,
                Action::Delay { by, .. } => after += by,
                _ => circuit.fault(now, fault, &self.rules),
            }
        }
        self.opened = id;
        if refuse {
            self.refused += 1;
            self.log.event(now, || format!("#{id} refused"));
            return Opening::Refuse;
        }
        self.circuits.insert(id, circuit);
        Opening::Connect { id, after }
    }

    /// True while bytes may be read from the sender of a direction.
    pub(crate) fn has_room(&mut self, id: u64, way: Direction) -> bool {
        let circuit = self.circuits.get_mut(&id);
        circuit.is_some_and(|circuit| circuit.lane(way).has_room())
    }

    /// Bytes have come in.
    pub(crate) fn received(
        &mut self,
        now: Instant,
        id: u64,
        way: Direction,
        chunk: &[u8],
        port_for: PortFor<'_>,
    ) {
        if let Some((circuit, mut desk)) = self.circuit(now, id) {
            circuit.received(&mut desk, way, chunk, port_for);
        }
    }

    /// The sender of a direction is done.
    pub(crate) fn ended(&mut self, now: Instant, id: u64, way: Direction) {
        if let Some((circuit, mut desk)) = self.circuit(now, id) {
            circuit.ended(&mut desk, way);
        }
    }

    /// What to do in a direction.
    pub(crate) fn output(&mut self, now: Instant, id: u64, way: Direction) -> Output {
        match self.circuits.get_mut(&id) {
            Some(circuit) => circuit.output(now, &self.rules, way),
            None => Output::Cut(How::Close),
        }
    }

    /// Bytes of [`output`](Self::output) were written.
    pub(crate) fn sent(&mut self, now: Instant, id: u64, way: Direction, n: usize) {
        let rate = self.rules.rate(way);
        if let Some(circuit) = self.circuits.get_mut(&id) {
            circuit.lane(way).sent(now, n, rate);
        }
    }

    /// When to look at a circuit again with [`output`](Self::output), if nothing else happens; at
    /// once if that time has passed.
    pub(crate) fn wake(&self, id: u64) -> Option<Instant> {
        self.circuits.get(&id)?.wake()
    }

    /// The circuit is gone.
    pub(crate) fn closed(&mut self, now: Instant, id: u64, why: &str) {
        if let Some(circuit) = self.circuits.remove(&id) {
            self.refused_puts += circuit.refused_puts;
            self.log.event(now, || format!("#{id} closed: {why}"));
        }
    }

    /// A datagram has come from a client, or from the server for a client.
    pub(crate) fn datagram(
        &mut self,
        now: Instant,
        way: Direction,
        client: SocketAddrV4,
        server: SocketAddrV4,
        data: &[u8],
        port_for: PortFor<'_>,
    ) {
        let mut desk = Desk {
            now,
            rules: &mut self.rules,
            log: &mut self.log,
            read_only: self.read_only,
        };
        self.datagrams
            .received(&mut desk, way, client, server, data, port_for);
    }

    /// The next datagram to send, if one is due.
    pub(crate) fn next_datagram(&mut self, now: Instant) -> Option<(To, Bytes)> {
        self.datagrams.next(now, &mut self.rules, self.listen)
    }

    /// When the next datagram is due.
    pub(crate) fn wake_datagrams(&self) -> Option<Instant> {
        self.datagrams.wake()
    }

    /// Switches a rule, or `all`; false if there is no such rule. What it says about circuits and
    /// access rights holds at once.
    pub(crate) fn switch(&mut self, now: Instant, id: &str, on: bool) -> bool {
        let Some(changed) = self.rules.switch(id, on) else {
            return false;
        };
        for index in changed {
            let Some(rule) = self.rules.rule(index) else {
                continue;
            };
            let (action, way) = (rule.action.clone(), rule.on);
            for circuit in self.circuits.values_mut() {
                match action {
                    Action::Rights(_) => {
                        let mut desk = Desk {
                            now,
                            rules: &mut self.rules,
                            log: &mut self.log,
                            read_only: self.read_only,
                        };
                        circuit.announce_rights(&mut desk, index);
                    }
                    Action::Stall { .. } if on && way == super::rule::Trigger::Circuit => {
                        let fault = rules::Fault {
                            rule: index,
                            action: action.clone(),
                            whole_line: true,
                        };
                        circuit.fault(now, &fault, &self.rules);
                    }
                    _ => {}
                }
            }
        }
        true
    }

    /// A name for a rule that has none.
    pub(crate) fn free_id(&self) -> String {
        let mut ids = (self.rules.len() + 1..).map(|n| format!("rule{n}"));
        ids.find(|id| !self.rules.contains(id)).unwrap_or_default()
    }

    /// Adds a rule behind the others.
    ///
    /// # Errors
    /// Why it cannot be, with the remedy.
    pub(crate) fn add(&mut self, now: Instant, rule: Rule) -> Result<(), String> {
        if self.rules.len() >= MAX_RULES {
            return Err(format!("there are {MAX_RULES} rules; remove some"));
        }
        self.check(&rule, None)?;
        let (id, enabled) = (rule.id.clone(), rule.enabled);
        self.rules.add(rule);
        if enabled {
            self.switch(now, &id, true);
        }
        Ok(())
    }

    /// Puts a rule in the place of another, as if that had been switched off.
    ///
    /// # Errors
    /// Why it cannot be, with the remedy.
    pub(crate) fn replace(&mut self, now: Instant, old: &str, rule: Rule) -> Result<(), String> {
        if !self.rules.contains(old) {
            return Err(format!("there is no rule {old}; `list` shows them"));
        }
        self.check(&rule, Some(old))?;
        let (id, enabled) = (rule.id.clone(), rule.enabled);
        self.switch(now, old, false);
        self.rules.replace(old, rule);
        if enabled {
            self.switch(now, &id, true);
        }
        Ok(())
    }

    /// Removes a rule, or `all`, after switching it off; false if there is no such rule.
    pub(crate) fn remove(&mut self, now: Instant, id: &str) -> bool {
        let found = self.switch(now, id, false);
        self.rules.remove(id);
        found
    }

    fn check(&self, rule: &Rule, replaced: Option<&str>) -> Result<(), String> {
        let id = &rule.id;
        if replaced != Some(id) && self.rules.contains(id) {
            return Err(format!(
                "there is a rule {id}; replace it, or give another id"
            ));
        }
        if self.read_only && rule.may_make_puts() {
            return Err(NO_CORRUPT.to_owned());
        }
        Ok(())
    }

    /// Ends a circuit; false if there is none with this number.
    pub(crate) fn cut(&mut self, id: u64, how: How) -> bool {
        match self.circuits.get_mut(&id) {
            Some(circuit) => {
                circuit.cut = Some(how);
                true
            }
            None => false,
        }
    }

    /// The rules, as `list` shows them.
    pub(crate) fn list(&self) -> Vec<String> {
        let width = self.rules.iter().map(|(rule, ..)| rule.id.len()).max();
        let line = |(rule, on, counts): (&Rule, bool, rules::Counts)| {
            let state = if on { "on " } else { "off" };
            let (id, width) = (&rule.id, width.unwrap_or(0));
            let rules::Counts { matched, applied } = counts;
            format!("{id:<width$}  {state}  {applied}/{matched}  {rule}")
        };
        self.rules.iter().map(line).collect()
    }

    /// Figures of the whole proxy and of each circuit.
    pub(crate) fn stats(&self) -> Vec<String> {
        let [requests, responses] = self.datagrams.passed;
        let mut lines = vec![
            format!(
                "circuits {}, opened {}, refused {}",
                self.circuits.len(),
                self.opened,
                self.refused
            ),
            format!(
                "datagrams > {requests}, < {responses}, lost {}",
                self.datagrams.lost
            ),
        ];
        if self.read_only {
            let open: u64 = self.circuits.values().map(|c| c.refused_puts).sum();
            lines.push(format!("puts refused {}", self.refused_puts + open));
        }
        lines.extend(self.circuits.values().map(|circuit| {
            let ([up, down], [out, back]) = (circuit.frames, circuit.bytes);
            format!(
                "#{} {} to {}: {} channels, > {up} messages {out} bytes, < {down} messages {back} \
                 bytes, {} faults",
                circuit.id,
                circuit.client,
                circuit.server,
                circuit.channels(),
                circuit.faults
            )
        }));
        lines
    }

    /// True if there are lines to take.
    pub(crate) fn has_log(&self) -> bool {
        !self.log.is_empty()
    }

    /// What happened since the last call.
    pub(crate) fn take_log(&mut self) -> Vec<String> {
        self.log.take()
    }
}
