//! Channels and circuits that come and go (`tcpiiu` and `nciu::connect` of EPICS Base).

use core::net::SocketAddrV4;

use super::Client;
use super::channel::Phase;
use super::circuit::{Circuit, State};
use super::liveness::Liveness;
use super::ops::{Op, OpKind};
use super::subs::{self, Installed};
use super::types::{CloseReason, Deliver, Event, Hangup, Lifecycle, Reply, Token, Trouble};
use crate::ids::{Cid, CircuitId, Sid, SubId};
use crate::time::Instant;
use crate::wire::{Minor, tcp};

impl Client {
    /// The connection that [`Action::Dial`](super::Action::Dial) asked for exists.
    pub fn handle_connected(&mut self, now: Instant, c: CircuitId) {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return;
        };
        if !matches!(circuit.state, State::Dialing(_)) {
            return;
        }
        circuit.state = State::Ready;
        circuit.liveness = Liveness::new(
            now,
            self.params.connection_timeout,
            self.params.echo_timeout,
        );
        circuit.liveness.started_sending(now);
        let (usual, soon) = (self.params.create_timeout, self.params.hint_timeout);
        for &cid in &circuit.channels {
            if let Some(channel) = self.channels.get_mut(cid) {
                let time = if channel.hinted {
                    soon.min(usual)
                } else {
                    usual
                };
                let deadline = now + time;
                channel.phase = Phase::Creating {
                    circuit: c,
                    deadline,
                    joined: false,
                };
                circuit.create_due = circuit.create_due.min(deadline);
            }
        }
        self.circuits.refresh(c);
        self.circuits.wake(c);
    }

    /// The connection of a circuit is gone, or did not come about. Forgets the circuit; its channels
    /// are searched again after the governor's pause.
    pub fn handle_closed(
        &mut self,
        now: Instant,
        c: CircuitId,
        why: CloseReason,
        out: &mut impl Deliver,
    ) {
        let closing = |state| matches!(state, State::Closing(_));
        if self.circuits.get(c).is_some_and(|x| !closing(x.state)) {
            self.circuit_lost(now, c, why, out);
        }
        self.subs.circuit_closed(c);
        self.circuits.remove(c);
    }

    /// Tells everybody that a circuit is gone; afterwards it has no channels.
    pub(super) fn circuit_lost(
        &mut self,
        now: Instant,
        c: CircuitId,
        why: CloseReason,
        out: &mut impl Deliver,
    ) {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return;
        };
        let addr = circuit.addr;
        let live = circuit.is_live();
        let why = circuit.explained(why);
        let channels = core::mem::take(&mut circuit.channels);
        self.events.push_back(Event::CircuitClosed {
            circuit: c,
            addr,
            why,
        });
        if self.circuits.to_server(addr).len() == 1 {
            self.beacons.forget_timing(addr);
        }
        let retry = now + self.name_server_pause();
        for ns in &mut self.name_servers {
            if ns.circuit == Some(c) {
                ns.circuit = None;
                ns.retry = retry;
                ns.trouble = Some(why);
            }
        }
        for cid in channels {
            self.channel_lost(now, cid, (addr, live), Trouble::Circuit(why), out);
        }
    }

    /// Ends what a channel has on its circuit and hands it to the governor, or searches it at once
    /// (PROTOCOL C25). The channel is already out of the circuit's list. `live` is false when its
    /// user was told before.
    fn channel_lost(
        &mut self,
        now: Instant,
        cid: Cid,
        (server, live): (SocketAddrV4, bool),
        why: Trouble,
        out: &mut impl Deliver,
    ) {
        let Some(channel) = self.channels.get_mut(cid) else {
            return;
        };
        let ready = match channel.phase {
            Phase::Ready { circuit, .. } => Some(circuit),
            _ => None,
        };
        let hinted = core::mem::take(&mut channel.hinted);
        let at_once = hinted || matches!(why, Trouble::Circuit(_)) && channel.may_retry();
        channel.phase = Phase::Searching;
        // That an earlier run knew another server is nobody's trouble.
        if !hinted {
            channel.trouble = Some((why, server));
        }
        let mut at = channel.subs.first();
        while let Some(subid) = at {
            if let Some(sub) = self.subs.get_mut(subid) {
                sub.installed = Installed::No;
            }
            at = self.subs.after(subid);
        }
        let created = ready.is_some();
        if let Some(circuit) = ready.and_then(|c| self.circuits.get_mut(c)) {
            circuit.ready = circuit.ready.saturating_sub(1);
        }
        self.traffic.stale_hints += u64::from(hinted);
        if created && live {
            self.went_down(cid, (why, server), out);
        } else if !created && !hinted {
            self.events.push_back(Event::NotConnected { cid, why });
        }
        if at_once {
            self.search.add(now, cid);
        } else {
            self.search.hold(now, cid);
        }
    }

    /// Answers the pending operations of a channel, then tells that it is down (`cac::disconnectChannel`).
    pub(super) fn went_down(
        &mut self,
        cid: Cid,
        (why, server): (Trouble, SocketAddrV4),
        out: &mut impl Deliver,
    ) {
        let Some(channel) = self.channels.get_mut(cid) else {
            return;
        };
        self.traffic.disconnects += 1;
        channel.trouble = Some((why, server));
        while let Some(op) = self.ops.pop(&mut channel.ops) {
            if op.kind.is_answered() {
                out.reply(op.token, Reply::Disconnected);
            }
        }
        self.events.push_back(Event::Disconnected { cid, why });
        let mut at = channel.subs.first();
        while let Some(subid) = at {
            if let Some(sub) = self.subs.get(subid) {
                out.lifecycle(sub.token, Lifecycle::Disconnected);
            }
            at = self.subs.after(subid);
        }
    }

    /// A created channel can be used from now on, for the first time or again: subscriptions that
    /// the server does not know are installed, the others are refreshed (`nciu::connect`,
    /// `nciu::unresponsiveCircuitNotify`).
    pub(super) fn came_up(&mut self, now: Instant, cid: Cid, out: &mut impl Deliver) {
        let Some(channel) = self.channels.get_mut(cid) else {
            return;
        };
        let Phase::Ready { circuit, sid, .. } = channel.phase else {
            return;
        };
        channel.retried = false;
        self.traffic.connects += 1;
        self.events.push_back(Event::Connected { cid });
        let mut at = channel.subs.first();
        while let Some(subid) = at {
            let Some(sub) = self.subs.get(subid) else {
                return;
            };
            out.lifecycle(sub.token, Lifecycle::Connected);
            match sub.installed {
                Installed::On(..) => self.refresh(now, circuit, sid, cid, subid),
                _ => self.install(now, cid, subid),
            }
            at = self.subs.after(subid);
        }
    }

    /// Sends `EVENT_ADD` for a subscription of a connected channel.
    pub(super) fn install(&mut self, now: Instant, cid: Cid, subid: SubId) {
        let (Some(channel), Some(sub)) = (self.channels.get(cid), self.subs.get_mut(subid)) else {
            return;
        };
        let Phase::Ready {
            circuit,
            sid,
            native,
            count,
        } = channel.phase
        else {
            return;
        };
        let minor = self.circuits.get(circuit).map_or(Minor(0), |c| c.minor);
        let Some((ty, count)) = subs::request(&sub.spec, native, count, minor) else {
            return;
        };
        sub.installed = Installed::On(circuit, ty, count);
        let add = tcp::Request::EventAdd {
            ty,
            count,
            sid,
            subid,
            mask: sub.spec.mask,
        };
        self.circuits.send(now, circuit, |queue| add.encode(queue));
    }

    /// Reads the current value for a subscription that may have missed updates.
    fn refresh(&mut self, now: Instant, circuit: CircuitId, sid: Sid, cid: Cid, subid: SubId) {
        let (Some(channel), Some(sub)) = (self.channels.get_mut(cid), self.subs.get(subid)) else {
            return;
        };
        let Installed::On(_, ty, count) = sub.installed else {
            return;
        };
        let op = Op::new(Token(0), Instant::MAX, cid, circuit, OpKind::Refresh(subid));
        // With a full table the next change brings the value.
        let Some(ioid) = self.ops.insert(&mut channel.ops, op) else {
            return;
        };
        let read = tcp::Request::ReadNotify {
            ty,
            count,
            sid,
            ioid,
        };
        self.circuits.send(now, circuit, |queue| read.encode(queue));
    }

    /// Takes a channel out of its circuit's list; without channels the circuit ends
    /// (`tcpiiu::uninstallChan`).
    pub(super) fn leave_circuit(&mut self, now: Instant, c: CircuitId, position: u32) {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return;
        };
        let position = position as usize;
        if position < circuit.channels.len() {
            circuit.channels.swap_remove(position);
        }
        let moved = circuit.channels.get(position);
        if let Some(channel) = moved.and_then(|&cid| self.channels.get_mut(cid)) {
            channel.position = position as u32;
        }
        self.end_if_idle(now, c);
    }

    /// Ends a circuit that nobody needs.
    pub(super) fn end_if_idle(&mut self, now: Instant, c: CircuitId) {
        let idle = |circuit: &&Circuit| circuit.channels.is_empty() && !circuit.name_server;
        let Some(addr) = self
            .circuits
            .get(c)
            .filter(idle)
            .map(|circuit| circuit.addr)
        else {
            return;
        };
        if self.circuits.to_server(addr).len() == 1 {
            self.beacons.forget_timing(addr);
        }
        self.circuits.hang_up(now, c, Hangup::Orderly);
    }

    /// A channel is lost while its circuit stays.
    pub(super) fn drop_channel(
        &mut self,
        now: Instant,
        cid: Cid,
        why: Trouble,
        out: &mut impl Deliver,
    ) {
        let Some(channel) = self.channels.get(cid) else {
            return;
        };
        let Some(c) = channel.phase.circuit() else {
            return;
        };
        let position = channel.position;
        let Some(circuit) = self.circuits.get(c) else {
            return;
        };
        let server = (circuit.addr, circuit.is_live());
        self.channel_lost(now, cid, server, why, out);
        self.leave_circuit(now, c, position);
    }
}
