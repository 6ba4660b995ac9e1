//! What users and the programs of IOCs do.

use ca_proto::access::AccessRights;
use ca_proto::client::{ReadSpec, SubSpec, TypeSpec};
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::wire::message::EventMask;
use ca_proto::{EcaStatus, Instant};

use super::Story;
use crate::facility::book::PvIndex;
use crate::facility::build::kind;
use crate::facility::check::Asked;
use crate::facility::plan::Op;
use crate::host::{ClientHost, IocHost};
use crate::net::HostId;

/// Values that an operation posts of a large array at most.
const LARGE_TIMES: u8 = 4;

impl Story<'_> {
    // Which one a number means.

    pub(super) fn client(&self, number: u8) -> HostId {
        self.site.clients[usize::from(number) % self.site.clients.len()]
    }

    pub(super) fn ioc(&self, number: u8) -> usize {
        usize::from(number) % self.site.iocs.len()
    }

    pub(super) fn name(&self, number: u8) -> PvIndex {
        usize::from(number) % self.site.names.len()
    }

    /// A PV of an IOC; a name of the gateway means the PV behind.
    pub(super) fn pv(&self, number: u8) -> PvIndex {
        let pv = self.name(number);
        self.site.names[pv].behind.unwrap_or(pv)
    }

    pub(super) fn host(&self, number: u8) -> HostId {
        let hosts = self.roles.len();
        let at = usize::from(number) % hosts;
        self.site.w.hosts().nth(at).unwrap_or(self.site.clients[0])
    }

    /// Lets a client act, then checks it.
    pub(super) fn with_client<R>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut ClientHost, Instant) -> R,
    ) -> R {
        self.site.w.with(host, act)
    }

    pub(super) fn with_ioc<R>(
        &mut self,
        pv: PvIndex,
        act: impl FnOnce(&mut IocHost, Instant, &str) -> R,
    ) -> R {
        let name = self.site.names[pv].text.clone();
        let host = self.site.iocs[self.site.names[pv].ioc].host;
        self.site.w.with(host, |ioc, now| act(ioc, now, &name))
    }

    /// Carries an operation out, and looks at the host that has acted; what it came to.
    pub(super) fn act(&mut self, op: Op) -> Result<String, String> {
        let (acted, what) = match op {
            Op::Open { client, .. }
            | Op::Close { client, .. }
            | Op::Subscribe { client, .. }
            | Op::Cancel { client, .. }
            | Op::Read { client, .. }
            | Op::Put { client, .. }
            | Op::PutNotify { client, .. }
            | Op::GiveUp { client }
            | Op::Watch { client, .. }
            | Op::Unwatch { client, .. }
            | Op::Fetch { client, .. }
            | Op::Write { client, .. } => {
                let host = self.client(client);
                (Some(host), self.user_acts(host, op))
            }
            Op::Post { name, .. }
            | Op::Finish { name }
            | Op::Rights { name, .. }
            | Op::Delete { name } => {
                let pv = self.pv(name);
                let host = self.site.iocs[self.site.names[pv].ioc].host;
                (Some(host), self.owner_acts(pv, op))
            }
            Op::Event { ioc } | Op::Gate { ioc, .. } => {
                let ioc = self.ioc(ioc);
                let what = self.program_acts(ioc, op)?;
                (Some(self.site.iocs[ioc].host), what)
            }
            Op::Busy { client, busy } => {
                let host = self.client(client);
                self.with_client(host, |c, _| c.set_reading(!busy));
                (None, String::new())
            }
            Op::Reset { .. }
            | Op::ResetAfter { .. }
            | Op::Link { .. }
            | Op::Cut { .. }
            | Op::ClockJump { .. }
            | Op::Attack { .. } => (None, self.harm(op)),
            Op::Stop { .. }
            | Op::PowerOff { .. }
            | Op::Start { .. }
            | Op::Move { .. }
            | Op::Replace { .. }
            | Op::Restart { .. } => (None, self.machine_acts(op)),
            Op::Heal => {
                self.heal();
                (None, String::new())
            }
        };
        if let Some(host) = acted {
            self.look_at(host)?;
        }
        Ok(what)
    }

    /// The user of a client; nothing for what users do not do.
    fn user_acts(&mut self, host: HostId, op: Op) -> String {
        match op {
            Op::Open { name, .. } => {
                let name = self.site.names[self.name(name)].text.clone();
                self.with_client(host, |c, now| c.open(now, &name));
                name
            }
            Op::Close { name, .. } => {
                let pv = self.name(name);
                let name = self.site.names[pv].text.clone();
                self.checker.closed(host, pv);
                self.with_client(host, |c, now| c.close(now, &name));
                name
            }
            Op::Subscribe {
                name,
                family,
                count,
                mask,
                ..
            } => {
                let spec = SubSpec {
                    ty: TypeSpec::Family(Family::ALL[usize::from(family) % 5]),
                    count: count.into(),
                    mask: EventMask((mask % 16).max(1).into()),
                };
                self.subscribe(host, self.name(name), spec)
            }
            Op::Cancel { nth, .. } => self.cancel(host, nth.into()),
            Op::Read { name, family, .. } => self.read(host, self.name(name), family),
            Op::Put { name, .. } => {
                let pv = self.name(name);
                // The gateway passes all puts on as puts with completion.
                self.put(host, pv, self.site.names[pv].behind.is_some())
            }
            Op::PutNotify { name, times, .. } => {
                let pv = self.name(name);
                let puts = (0..times.max(1)).map(|_| self.put(host, pv, true));
                puts.collect::<Vec<_>>().join(", ")
            }
            Op::GiveUp { .. } => self.give_up(host),
            other => self.user_of_records_acts(host, other),
        }
    }

    /// Cancels the oldest operation that waits for its answer.
    fn give_up(&mut self, host: HostId) -> String {
        let first = self.site.client(host).unanswered().next();
        let Some((token, _)) = first else {
            return "nothing".to_owned();
        };
        self.checker.gave_up(host, token);
        self.watcher.gave_up(host, token);
        self.with_client(host, |c, _| c.cancel(token));
        format!("{token:?}")
    }

    /// The program that owns a PV; nothing for what such programs do not do.
    fn owner_acts(&mut self, pv: PvIndex, op: Op) -> String {
        match op {
            Op::Post { times, .. } => return self.post(pv, times),
            // Those that end by themselves are left alone, to see when they do.
            Op::Finish { .. } if self.site.is_endless(pv) => {
                self.finish(pv);
            }
            Op::Rights { rights, .. } => {
                self.set_rights(pv, AccessRights::from_bits((rights & 3).into()));
            }
            Op::Delete { .. } => self.delete(pv, !self.site.names[pv].deleted),
            _ => {}
        }
        self.site.names[pv].text.clone()
    }

    /// Programs and machines that end, begin and move; nothing for other operations.
    fn machine_acts(&mut self, op: Op) -> String {
        match op {
            Op::Stop { ioc } => {
                let host = self.site.iocs[self.ioc(ioc)].host;
                if self.site.w.is_up(host) {
                    self.site.w.kill(host);
                }
                self.who(host)
            }
            Op::PowerOff { ioc } => {
                let host = self.site.iocs[self.ioc(ioc)].host;
                if self.site.w.is_up(host) {
                    self.site.w.power_off(host);
                }
                self.who(host)
            }
            Op::Start { ioc, other_types } => {
                let ioc = self.ioc(ioc);
                self.start(ioc, other_types, false);
                self.who(self.site.iocs[ioc].host)
            }
            Op::Move { ioc } => {
                let ioc = self.ioc(ioc);
                let other_types = self.site.iocs[ioc].other_types;
                self.start(ioc, other_types, true);
                let host = self.site.iocs[ioc].host;
                format!("{} is at {}", self.who(host), self.site.w.net.addr(host))
            }
            Op::Replace { client } => {
                let number = usize::from(client) % self.site.clients.len();
                let host = self.site.clients[number];
                self.site.w.power_off(host);
                self.begin(host);
                let new = self.site.client_host(number);
                self.site.w.boot(host, new);
                self.who(host)
            }
            Op::Restart { which } => self.restart(which),
            _ => String::new(),
        }
    }

    pub(super) fn who(&self, host: HostId) -> String {
        self.site.w.trace.name(host).to_owned()
    }

    pub(super) fn subscribe(&mut self, host: HostId, pv: PvIndex, spec: SubSpec) -> String {
        let name = self.site.names[pv].text.clone();
        let result = self.with_client(host, |c, now| c.subscribe(now, &name, spec));
        if let Ok(token) = result {
            self.checker.subscribed(host, token, pv, spec);
            // A subscription that is made while the channel is connected is not told so.
            let connected = self.site.client(host).is_connected(&name);
            self.checker.connected(host, token, connected);
        }
        format!("{name}: {result:?}")
    }

    /// Cancels one of a client's subscriptions, counted from the oldest.
    pub(super) fn cancel(&mut self, host: HostId, nth: usize) -> String {
        let count = self.checker.subs(host).count();
        let Some(token) = self.checker.subs(host).nth(nth % count.max(1)) else {
            return "nothing".to_owned();
        };
        self.checker.cancelled(host, token);
        self.with_client(host, |c, now| c.unsubscribe(now, token));
        format!("{token:?}")
    }

    pub(super) fn read(&mut self, host: HostId, pv: PvIndex, family: u8) -> String {
        let name = self.site.names[pv].text.clone();
        let ty = match family {
            5 => TypeSpec::Exact(DbrType::new(Family::Plain, NativeType::String)),
            family => TypeSpec::Family(Family::ALL[usize::from(family) % 5]),
        };
        let spec = ReadSpec { ty, count: 0 };
        let floor = self.site.book.lock().pv(pv).entries.len();
        let floor = floor.saturating_sub(1);
        let result = self.with_client(host, |c, now| c.read(now, &name, spec));
        if let Ok(token) = result {
            self.checker.asked(host, token, pv, Asked::Value { floor });
        }
        format!("{name}: {result:?}")
    }

    pub(super) fn put(&mut self, host: HostId, pv: PvIndex, notify: bool) -> String {
        let (name, number) = (self.site.names[pv].text.clone(), self.site.next_number());
        let value = self.value(pv, number);
        if !notify {
            let result = self.with_client(host, |c, now| c.write(now, &name, &value));
            return format!("{name} = {number}: {result:?}");
        }
        let result = self.with_client(host, |c, now| c.write_notify(now, &name, &value));
        if let Ok(token) = result {
            self.checker
                .asked(host, token, pv, Asked::Written { number });
        }
        format!("{name} = {number}: {result:?}")
    }

    pub(super) fn value(&self, pv: PvIndex, number: u32) -> Value {
        let name = &self.site.names[pv];
        kind(name.n, self.site.iocs[name.ioc].other_types).value(number)
    }

    pub(super) fn post(&mut self, pv: PvIndex, times: u8) -> String {
        if !self.site.serves(pv) {
            return "not served".to_owned();
        }
        let large = kind(self.site.names[pv].n, false).capacity > 100;
        let times = if large { times.min(LARGE_TIMES) } else { times };
        let at_once = if times % 2 == 1 { times } else { 1 };
        for _ in 0..times / at_once.max(1) {
            let number = |_| self.site.next_number();
            let numbers: Vec<u32> = (0..at_once).map(number).collect();
            let values: Vec<Value> = numbers.iter().map(|&n| self.value(pv, n)).collect();
            let now = self.site.w.now();
            for value in &values {
                self.site.book.lock().post(pv, value, now);
            }
            self.with_ioc(pv, |ioc, now, name| {
                for value in values {
                    let posted = ioc.with(|ioc| ioc.post(now, name, value));
                    posted.expect("the values of a facility fit its PVs");
                }
            });
        }
        format!("{} to {}", self.site.names[pv].text, self.site.values())
    }

    /// Ends the put that a PV is busy with; true if there was one.
    pub(super) fn finish(&mut self, pv: PvIndex) -> bool {
        self.site.serves(pv)
            && self
                .with_ioc(pv, |ioc, now, name| {
                    ioc.with(|ioc| ioc.finish_put(now, name, EcaStatus::NORMAL))
                })
                .unwrap_or(false)
    }

    pub(super) fn set_rights(&mut self, pv: PvIndex, rights: AccessRights) {
        if !self.site.serves(pv) {
            return;
        }
        let now = self.site.w.now();
        self.site.book.lock().set_rights(pv, rights, now);
        let set = self.with_ioc(pv, |ioc, now, name| {
            ioc.with(|ioc| ioc.set_rights(now, name, rights))
        });
        set.expect("the PV is served");
    }

    pub(super) fn delete(&mut self, pv: PvIndex, delete: bool) {
        let ioc = self.site.names[pv].ioc;
        let (host, other_types) = (self.site.iocs[ioc].host, self.site.iocs[ioc].other_types);
        if !self.site.w.is_up(host) || self.site.names[pv].deleted == delete {
            return;
        }
        self.site.names[pv].deleted = delete;
        if delete {
            self.with_ioc(pv, |ioc, now, name| ioc.with(|ioc| ioc.remove(now, name)));
        } else {
            let spec = self.site.spec(pv, other_types);
            let ahead = self.site.w.clock_ahead(host);
            self.site.book.lock().ahead[pv] = ahead;
            let added = self.with_ioc(pv, |ioc, now, name| {
                ioc.with(|ioc| ioc.add(now, name, spec))
            });
            added.expect("the PV was deleted");
        }
    }
}
