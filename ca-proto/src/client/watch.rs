//! Deadlines of circuits: connection, creation, silence (`tcpRecvWatchdog` and
//! `tcpiiu::responsiveCircuitNotify` of EPICS Base).

use alloc::vec::Vec;

use super::Client;
use super::channel::Phase;
use super::circuit::State;
use super::liveness::Step;
use super::types::{CloseReason, Deliver, Event, Hangup, Trouble};
use crate::ids::{Cid, CircuitId};
use crate::time::Instant;
use crate::wire::message::Data;
use crate::wire::tcp;

impl Client {
    pub(super) fn circuit_timeout(&mut self, now: Instant, c: CircuitId, out: &mut impl Deliver) {
        let Some(circuit) = self.circuits.get(c) else {
            return;
        };
        match circuit.state {
            State::Dialing(_) => {
                self.circuit_lost(now, c, CloseReason::DialTimeout, out);
                self.circuits.hang_up(now, c, Hangup::Abort);
            }
            State::Closing(_) => self.circuits.hang_up(now, c, Hangup::Abort),
            State::Ready => {
                if circuit.create_due <= now {
                    self.create_timeout(now, c, out);
                }
                while let Some(circuit) = self.circuits.get_mut(c)
                    && circuit.is_ready()
                    && circuit.liveness.poll_timeout().is_some_and(|at| at <= now)
                {
                    let step = circuit.liveness.handle_timeout(now);
                    self.liveness_step(now, c, step, out);
                }
            }
        }
        self.circuits.refresh(c);
    }

    /// Channels whose creation was not answered are searched again (trap 46).
    fn create_timeout(&mut self, now: Instant, c: CircuitId, out: &mut impl Deliver) {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return;
        };
        circuit.create_due = Instant::MAX;
        let longer = now + self.params.create_timeout;
        let mut late = Vec::new();
        for &cid in &circuit.channels {
            let Some(channel) = self.channels.get_mut(cid) else {
                continue;
            };
            // A server that has said something lives, and may have many channels to create.
            if channel.hinted
                && circuit.spoken
                && let Phase::Creating {
                    deadline,
                    joined: joined @ false,
                    ..
                } = &mut channel.phase
            {
                (*deadline, *joined) = (longer, true);
            }
            match Some(channel.phase) {
                Some(Phase::Creating { deadline, .. }) if deadline <= now => late.push(cid),
                Some(Phase::Creating { deadline, .. }) => {
                    circuit.create_due = circuit.create_due.min(deadline);
                }
                _ => {}
            }
        }
        for cid in late {
            self.drop_channel(now, cid, Trouble::CreateTimeout, out);
        }
    }

    pub(super) fn liveness_step(
        &mut self,
        now: Instant,
        c: CircuitId,
        step: Step,
        out: &mut impl Deliver,
    ) {
        match step {
            Step::Nothing => {}
            Step::Probe => self.probe(now, c),
            Step::Unresponsive => {
                self.probe(now, c);
                self.unresponsive(c, out);
            }
            Step::Responsive => self.responsive(now, c, out),
        }
        self.circuits.refresh(c);
    }

    /// Servers below 4.3 have no `ECHO` (`tcpiiu::echoRequest`).
    fn probe(&mut self, now: Instant, c: CircuitId) {
        let has_echo = self.circuits.get(c).is_some_and(|x| x.minor.has_echo());
        self.circuits.send(now, c, |queue| {
            if has_echo {
                echo().encode(queue);
            } else {
                read_sync().encode(queue);
            }
        });
    }

    fn unresponsive(&mut self, c: CircuitId, out: &mut impl Deliver) {
        let Some(circuit) = self.circuits.get(c) else {
            return;
        };
        let addr = circuit.addr;
        self.events
            .push_back(Event::Unresponsive { circuit: c, addr });
        for cid in self.ready_channels(c) {
            self.went_down(cid, (Trouble::Unresponsive, addr), out);
        }
    }

    fn responsive(&mut self, now: Instant, c: CircuitId, out: &mut impl Deliver) {
        let Some(circuit) = self.circuits.get(c) else {
            return;
        };
        let addr = circuit.addr;
        self.events
            .push_back(Event::Responsive { circuit: c, addr });
        for cid in self.ready_channels(c) {
            self.came_up(now, cid, out);
        }
    }

    fn ready_channels(&self, c: CircuitId) -> Vec<Cid> {
        let channels = self.circuits.get(c).map(|circuit| circuit.channels.iter());
        let ready = |cid: &&Cid| {
            let channel = self.channels.get(**cid);
            channel.is_some_and(|channel| matches!(channel.phase, Phase::Ready { .. }))
        };
        channels
            .into_iter()
            .flatten()
            .filter(ready)
            .copied()
            .collect()
    }
}

fn echo() -> tcp::Request<'static> {
    tcp::Request::Echo {
        data_type: 0,
        count: 0,
        p1: 0,
        p2: 0,
        data: Data(&[]),
    }
}

const fn read_sync() -> tcp::Request<'static> {
    tcp::Request::ReadSync {
        data_type: 0,
        count: 0,
        p1: 0,
        p2: 0,
    }
}
