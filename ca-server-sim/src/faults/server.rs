//! What faults do to PVs, circuits and the endpoint of an IOC.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_proto::ids::CircuitId;
use ca_proto::server::Database;
use ca_proto::wire::message::{Port, SAME_ADDRESS};
use ca_proto::wire::{Command, Header, Minor, SendQueue, datagram_frames, udp};
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Instant, Timestamp};

use super::db::{Faulty, Held, Taken};
use super::state::is_client;
use super::{Fault, FaultError, FaultKind, Faults, Pattern};
use crate::db::{Clock, PvHandle};
use crate::fields::number_of;
use crate::ioc::{Connection, Ioc};
use crate::pv::PvSpec;

/// What a PV shows that is offline.
const OFFLINE: Alarm = Alarm::new(AlarmStatus::COMM, AlarmSeverity::INVALID);
/// Datagrams of faults that wait to be sent.
const MAX_DATAGRAMS: usize = 10_000;

impl Ioc {
    /// PVs of the program that a pattern is about.
    fn meant(&self, pattern: Option<&Pattern>) -> Vec<PvHandle> {
        let records = self.db.records();
        let meant = records.filter(|(_, record)| {
            pattern.is_none_or(|pattern| pattern.matches_channel(record.name.as_bytes()))
        });
        meant.map(|(handle, _)| handle).collect()
    }

    fn meant_records(&self, pattern: Option<&Pattern>) -> Vec<u32> {
        let Some(served) = &self.db.served else {
            return Vec::new();
        };
        let names = served.records.names();
        let meant = names
            .filter(|name| pattern.is_none_or(|pattern| pattern.matches_channel(name.as_bytes())));
        meant.filter_map(|name| served.records.find(name)).collect()
    }

    fn faulty(&mut self) -> &mut Faulty {
        self.db.overseers.faulty_or_new(self.seed)
    }

    /// What a fault changes when it begins.
    pub(super) fn take_effect(&mut self, now: Instant, id: u32) -> Result<(), FaultError> {
        let Some(fault) = self
            .faults_mut()
            .on
            .get(&id)
            .map(|active| active.fault.clone())
        else {
            return Ok(());
        };
        let pv = fault.pv.as_ref();
        match fault.kind {
            FaultKind::Stuck => self.hold(pv, EcaStatus::NORMAL, &Held::Stuck),
            FaultKind::Freeze => {
                let forced = Alarm::NONE;
                self.hold(pv, EcaStatus::NORMAL, &Held::Frozen { forced });
                self.freeze_records(now, pv, true, None);
            }
            FaultKind::Offline => {
                self.take_offline(now, pv);
                self.freeze_records(now, pv, true, Some(OFFLINE));
            }
            FaultKind::Noise { by, .. } => {
                for handle in self.meant(pv) {
                    let value = self.db.record(handle).map(|r| &r.snapshot.value);
                    let base = value.and_then(|value| number_of(value.as_ref()));
                    let base = base.unwrap_or(0.0);
                    self.faulty().held.insert(handle, Held::Noise { by, base });
                }
            }
            FaultKind::Rights(rights) => {
                if let Some(pv) = pv {
                    self.faulty().rights.push((pv.clone(), rights));
                }
                self.rights_changed(now);
            }
            FaultKind::Type { native, count } => return self.change_type(now, pv, native, count),
            FaultKind::Clock { nanos } => self.shift_clock(now, nanos),
            FaultKind::Reboot { by } => self.go_down(now, by),
            kind if kind.is_of_links() => {
                self.arm_links();
                self.mark_links();
            }
            _ => {}
        }
        Ok(())
    }

    /// What a fault changes back when it ends; it is not among those that are on any more.
    pub(super) fn undo(&mut self, now: Instant, fault: &Fault) {
        let pv = fault.pv.as_ref();
        match fault.kind {
            FaultKind::Stuck | FaultKind::Freeze | FaultKind::Offline | FaultKind::Noise { .. } => {
                for handle in self.meant(pv) {
                    let held = self.faulty().held.remove(&handle);
                    match held {
                        Some(Held::Frozen { forced }) if fault.kind == FaultKind::Offline => {
                            let _ = self.set_alarm(now, handle, forced);
                        }
                        Some(Held::Noise { base, .. }) => {
                            let _ = self.post(now, handle, base);
                        }
                        _ => {}
                    }
                }
                if let Some(pv) = pv {
                    self.faulty().puts.retain(|(of, _)| of != pv);
                }
                let alarm = (fault.kind == FaultKind::Offline).then_some(OFFLINE);
                if matches!(fault.kind, FaultKind::Freeze | FaultKind::Offline) {
                    self.freeze_records(now, pv, false, alarm);
                }
            }
            FaultKind::Rights(rights) => {
                let is_it = |entry: &(Pattern, _)| Some(&entry.0) == pv && entry.1 == rights;
                let at = self.faulty().rights.iter().position(is_it);
                if let Some(at) = at {
                    self.faulty().rights.remove(at);
                }
                self.rights_changed(now);
            }
            FaultKind::Clock { nanos } => self.shift_clock(now, -nanos),
            FaultKind::Reboot { .. } => self.come_up(now),
            kind if kind.is_of_links() => self.mark_links(),
            _ => {}
        }
        if self
            .db
            .overseers
            .faulty
            .as_ref()
            .is_some_and(|faulty| faulty.is_empty())
        {
            self.db.overseers.change(|all| all.faulty = None);
        }
    }

    fn hold(&mut self, pv: Option<&Pattern>, status: EcaStatus, held: &Held) {
        for handle in self.meant(pv) {
            self.faulty().held.insert(handle, held.clone());
        }
        if let Some(pv) = pv {
            self.faulty().puts.push((pv.clone(), status));
        }
    }

    fn take_offline(&mut self, now: Instant, pv: Option<&Pattern>) {
        for handle in self.meant(pv) {
            let record = self.db.record_mut(handle);
            let forced = record.map_or(Alarm::NONE, |record| record.extra_mut().forced);
            let _ = self.set_alarm(now, handle, OFFLINE);
            self.faulty().held.insert(handle, Held::Frozen { forced });
        }
        if let Some(pv) = pv {
            self.faulty().puts.push((pv.clone(), EcaStatus::PUTFAIL));
        }
    }

    fn freeze_records(
        &mut self,
        now: Instant,
        pv: Option<&Pattern>,
        frozen: bool,
        alarm: Option<Alarm>,
    ) {
        let alarm = alarm.map(|alarm| (alarm.status.0 as u8, alarm.severity.0 as u8));
        for id in self.meant_records(pv) {
            if let Some(served) = &mut self.db.served {
                served.records.freeze(id, frozen, alarm);
            }
        }
        self.settle(now);
    }

    fn change_type(
        &mut self,
        now: Instant,
        pv: Option<&Pattern>,
        native: ca_proto::dbr::NativeType,
        count: u32,
    ) -> Result<(), FaultError> {
        use ca_proto::dbr::NativeType as N;
        let name = pv.map_or("", Pattern::as_str).to_owned();
        let number = self.number(&name).unwrap_or(f64::NAN);
        let number = if number.is_finite() { number } else { 0.0 };
        let n = count as usize;
        let spec = match (native, count) {
            (N::String, 1) => PvSpec::string(number.to_string()),
            (N::Enum, 1) => PvSpec::enumeration(["Off", "On"], u16::from(number != 0.0)),
            (N::Double, 1) => PvSpec::double(number),
            (N::Float, 1) => PvSpec::float(number as f32),
            (N::Long, 1) => PvSpec::long(number as i32),
            (N::Short, 1) => PvSpec::short(number as i16),
            (N::Char, 1) => PvSpec::char(number as u8),
            (N::Float, _) => PvSpec::array(vec![number as f32; n]),
            (N::Long, _) => PvSpec::array(vec![number as i32; n]),
            (N::Short, _) => PvSpec::array(vec![number as i16; n]),
            (N::Char, _) => PvSpec::array(vec![number as u8; n]),
            (N::Double, _) => PvSpec::array(vec![number; n]),
            _ => {
                let what = "arrays are of short, float, char, long or double";
                return Err(FaultError::new(1, what));
            }
        };
        let replaced = self.replace(now, &name, spec);
        replaced
            .map(|_| ())
            .map_err(|error| FaultError::new(1, error.to_string()))
    }

    pub(crate) fn shift_clock(&mut self, now: Instant, nanos: i64) {
        let before = self.db.clock.stamp(now);
        self.clock_off = self.clock_off.saturating_add(nanos);
        self.db.clock = Clock::new(now, shifted(before, nanos));
    }

    /// All circuits end, and nothing is answered.
    fn go_down(&mut self, now: Instant, by: Duration) {
        let until = self.db.time.of(now) + by;
        self.faults_mut().down = Some(until);
        let circuits: Vec<CircuitId> = self.circuits.keys().collect();
        for circuit in circuits {
            self.limits.expel(circuit);
        }
    }

    /// As after a start: records and PVs are as they were loaded, and beacons begin anew.
    fn come_up(&mut self, now: Instant) {
        self.faults_mut().down = None;
        if !self.is_running() {
            return;
        }
        if let Err(error) = self.reset(now) {
            self.limits.tell(format!("reboot: values stay: {error}"));
        }
        self.renew_endpoints(now);
    }

    /// What is held by faults stays so when all else is as it was loaded.
    pub(crate) fn hold_again(&mut self, now: Instant) {
        let on = self.faults().map(|(_, fault)| fault.clone());
        for fault in on.collect::<Vec<_>>() {
            let pv = fault.pv.as_ref();
            match fault.kind {
                FaultKind::Freeze => self.freeze_records(now, pv, true, None),
                FaultKind::Offline => {
                    for handle in self.meant(pv) {
                        let _ = self.set_alarm(now, handle, OFFLINE);
                    }
                    self.freeze_records(now, pv, true, Some(OFFLINE));
                }
                _ => {}
            }
        }
    }

    /// Whether the IOC is not there, for a while.
    pub(crate) fn is_down(&self) -> bool {
        self.faults
            .as_ref()
            .is_some_and(|faults| faults.down.is_some())
    }

    /// Which circuits stall or are dead.
    pub(crate) fn mark_links(&mut self) {
        let Some(faults) = &self.faults else { return };
        let links = faults.harms_links();
        let mut woken = Vec::new();
        for (id, connection) in self.circuits.iter_mut() {
            let Some(harm) = &mut connection.harm else {
                continue;
            };
            let who = connection.circuit.identity();
            let on = |kind: FaultKind| {
                faults.has(|fault| fault.kind == kind && is_client(fault.client.as_ref(), who))
            };
            let was_dead = harm.dead;
            harm.stalled = on(FaultKind::Stall);
            harm.dead = on(FaultKind::HalfOpen);
            // What was lost cannot be made up for.
            connection.broken |= was_dead && !harm.dead;
            if !links && harm.is_idle() {
                connection.harm = None;
            }
            woken.push(id);
        }
        for id in woken {
            self.wake(id);
        }
    }

    /// Lets go of messages that are due.
    pub(super) fn release_late(&mut self, now: Instant) {
        let links = self
            .faults
            .as_ref()
            .is_some_and(|faults| faults.harms_links());
        let mut woken = Vec::new();
        for (id, connection) in self.circuits.iter_mut() {
            let Some(harm) = &mut connection.harm else {
                continue;
            };
            if harm.release(now) {
                woken.push(id);
            } else if !links && harm.is_idle() {
                connection.harm = None;
            }
        }
        for id in woken {
            self.wake(id);
        }
    }

    /// Noise and bursts of beacons that are due.
    pub(super) fn tick_noise_and_storms(&mut self, now: Instant) {
        let at = self.db.time.of(now);
        let Some(faults) = &mut self.faults else {
            return;
        };
        let (mut noisy, mut bursts) = (Vec::new(), Vec::new());
        for active in faults.on.values_mut() {
            if active.next.is_none_or(|next| next > at) {
                continue;
            }
            match active.fault.kind {
                FaultKind::Noise { every, .. } => {
                    active.next = Some(at + every);
                    noisy.push(active.fault.pv.clone());
                }
                FaultKind::Storm { every, servers, to } => {
                    active.next = Some(at + every);
                    bursts.push((servers, to));
                }
                _ => active.next = None,
            }
        }
        for pv in noisy {
            for handle in self.meant(pv.as_ref()) {
                self.db.process(now, handle, None, Alarm::NONE);
            }
            self.settle(now);
        }
        for (servers, to) in bursts {
            self.burst(servers, to);
        }
    }

    fn burst(&mut self, servers: u16, to: Option<SocketAddrV4>) {
        let to = match to {
            Some(to) => vec![to],
            None => self.params.beacon_addrs.clone(),
        };
        let port = self.started.0;
        let Some(faults) = &mut self.faults else {
            return;
        };
        faults.beacons = faults.beacons.wrapping_add(1);
        let sequence = faults.beacons;
        for n in 1..=servers {
            for &to in &to {
                let mut beacon = Vec::new();
                udp::Request::Beacon {
                    minor: Minor::CURRENT,
                    port: Port(port.wrapping_add(n)),
                    sequence,
                    server: Ipv4Addr::UNSPECIFIED,
                }
                .encode_into(&mut beacon);
                if faults.datagrams.len() < MAX_DATAGRAMS {
                    faults.datagrams.push_back((to, beacon));
                }
            }
        }
    }

    /// Answers to a search from a second server that does not exist.
    pub(crate) fn answer_as_twin(&mut self, from: SocketAddrV4, data: &[u8]) {
        let Some(faults) = &mut self.faults else {
            return;
        };
        let twins = faults
            .on
            .values()
            .filter_map(|active| match active.fault.kind {
                FaultKind::Twin { to } => Some((active.fault.pv.clone()?, to)),
                _ => None,
            });
        let twins: Vec<_> = twins.collect();
        if twins.is_empty() {
            return;
        }
        let own = self.started.0;
        for frame in datagram_frames(data).flatten() {
            let Ok(udp::Request::Search { cid2, name, .. }) = udp::Request::parse(&frame) else {
                continue;
            };
            let name = name.as_bytes();
            let twin = twins.iter().find(|(pv, _)| pv.matches_channel(name));
            let Some((_, to)) = twin.filter(|_| self.db.serves(name)) else {
                continue;
            };
            let (port, server) = match to {
                Some(to) => (to.port(), *to.ip()),
                None => (own.wrapping_add(1), SAME_ADDRESS),
            };
            let mut reply = Vec::new();
            udp::Response::Search {
                port: Port(port),
                server,
                cid: cid2,
                minor: Minor::CURRENT,
            }
            .encode_into(&mut reply);
            if faults.datagrams.len() < MAX_DATAGRAMS {
                faults.datagrams.push_back((from, reply));
            }
        }
    }

    /// Whether a datagram of the endpoint is not sent.
    pub(crate) fn is_silenced(&self, datagram: &[u8]) -> bool {
        let is_beacon = Header::decode(datagram, false)
            .is_some_and(|(header, _)| header.command == Command::RSRV_IS_UP);
        is_beacon
            && (self.faults.as_ref())
                .is_some_and(|faults| faults.has(|fault| fault.kind == FaultKind::Silence))
    }

    /// Whether connections of a client are turned away.
    pub(crate) fn is_refused(&self, peer: SocketAddrV4) -> bool {
        let Some(faults) = &self.faults else {
            return false;
        };
        let (ip, peer) = (peer.ip().to_string(), peer.to_string());
        faults.down.is_some()
            || faults.has(|fault| {
                fault.kind == FaultKind::Refuse
                    && fault.client.as_ref().is_none_or(|client| {
                        client.matches(ip.as_bytes()) || client.matches(peer.as_bytes())
                    })
            })
    }

    /// Whether what comes in on a circuit is lost.
    pub(crate) fn is_deaf(&self, circuit: CircuitId) -> bool {
        let connection = self.circuits.get(circuit);
        connection.is_some_and(|connection| connection.harm.as_ref().is_some_and(|harm| harm.dead))
    }

    /// The time as an IOC with a wrong clock has it.
    pub(crate) fn shifted_wall(&self, wall: Timestamp) -> Timestamp {
        shifted(wall, self.clock_off)
    }
}

impl Connection {
    /// What leaves on a circuit with faults.
    pub(crate) fn harmed(&mut self, now: Instant, faults: Option<&mut Faults>) -> &mut SendQueue {
        let circuit = &mut self.circuit;
        let (Some(harm), Some(faults)) = (&mut self.harm, faults) else {
            return circuit.queue_mut();
        };
        let who = circuit.identity().clone();
        let is_of = |fault: &Fault| is_client(fault.client.as_ref(), &who);
        let (on, rng) = (&mut faults.on, &mut faults.rng);
        harm.pass(now, circuit.queue_mut(), on, is_of, rng);
        self.broken |= harm.ended;
        harm.leaves()
    }
}

fn shifted(stamp: Timestamp, nanos: i64) -> Timestamp {
    let by = Duration::from_nanos(nanos.unsigned_abs());
    match nanos < 0 {
        true => Timestamp::from_unix_nanos(stamp.to_unix().saturating_sub(by).as_nanos()),
        false => stamp + by,
    }
}

impl crate::db::Db {
    /// What a record makes of a value, with faults.
    pub(crate) fn taken(&mut self, handle: PvHandle, value: Option<ca_proto::dbr::Value>) -> Taken {
        let Some(faulty) = self.overseers.faulty_mut() else {
            return Taken::Value(value);
        };
        match faulty.take(handle, value) {
            Taken::Value(Some(value)) => Taken::Value(self.fit(handle, value).ok()),
            other => other,
        }
    }
}
