//! How a plan is carried out.

use core::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::client::{ReadSpec, SubSpec, Token, TypeSpec};
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::wire::message::EventMask;
use ca_proto::{EcaStatus, Instant};

use super::Report;
use super::book::PvIndex;
use super::build::{Site, kind};
use super::check::{Asked, Checker};
use super::plan::{Fault, Op, Plan};
use crate::host::{ClientHost, GatewayHost, HostileHost, IocHost, NameServerHost, News, Shown};
use crate::net::{HostId, Link};

/// Time in which everything comes back once all faults are gone: a circuit that is dead takes a
/// time-out and an echo (35 s), a new search at most the ceiling of the back-off (60 s), and what was
/// found by a lie a time-out of 30 s more.
const RECOVERY: Duration = Duration::from_secs(180);
/// Time for what is tried afterwards.
const EXAM: Duration = Duration::from_secs(90);
/// Time for an orderly end.
const GOODBYE: Duration = Duration::from_secs(40);
const SECOND: Duration = Duration::from_secs(1);
/// Values that an operation posts of a large array at most.
const LARGE_TIMES: u8 = 4;

/// What runs on a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Client,
    Ioc,
    Gateway,
    Other,
}

pub(super) struct Story<'p> {
    pub site: Site,
    plan: &'p Plan,
    checker: Checker,
    roles: Vec<Role>,
    /// What happened, for a failure.
    pub log: Vec<String>,
    news: Vec<News>,
    shown: Vec<Shown>,
    recovery: Duration,
}

impl<'p> Story<'p> {
    pub(super) fn new(plan: &'p Plan, trace: bool) -> Self {
        let site = Site::new(&plan.shape, trace);
        let mut checker = Checker::default();
        let role = |host: HostId| {
            if site.clients.contains(&host) {
                Role::Client
            } else if site.iocs.iter().any(|ioc| ioc.host == host) {
                Role::Ioc
            } else if site.gateway == Some(host) {
                Role::Gateway
            } else {
                Role::Other
            }
        };
        let roles = site.w.hosts().map(role).collect();
        for user in site.users() {
            checker.begin(user);
        }
        let mut this = Self {
            site,
            plan,
            checker,
            roles,
            log: Vec::new(),
            news: Vec::new(),
            shown: Vec::new(),
            recovery: Duration::ZERO,
        };
        this.register_gateway();
        this
    }

    /// The whole story: the plan, the recovery, an exam, the end.
    pub(super) fn tell(&mut self) -> Result<Report, String> {
        let mut at = Instant::ZERO;
        for step in &self.plan.steps {
            at += Duration::from_millis(u64::from(step.after_ms));
            self.advance(at)?;
            let what = self.act(step.op)?;
            if self.site.w.trace.enabled {
                let now = self.site.w.now();
                self.log.push(format!("{now:>12} {:?}: {what}", step.op));
            }
        }
        self.recover()?;
        self.exam()?;
        self.end()?;
        Ok(Report {
            steps: self.plan.steps.len(),
            events: self.site.w.steps(),
            simulated: self.site.w.now() - Instant::ZERO,
            updates: self.checker.updates,
            answers: self.checker.answers,
            recovery: self.recovery,
            hash: self.site.w.trace.hash(),
        })
    }

    /// Lets the world go on, each step checked.
    fn advance(&mut self, end: Instant) -> Result<(), String> {
        while self.site.w.next_at().is_some_and(|at| at <= end) {
            self.site.w.step();
            if let Some(host) = self.site.w.touched() {
                self.look_at(host)?;
            } else if let Some(what) = self.site.w.wrong() {
                return Err(what.to_owned());
            }
        }
        self.site.w.run_to(end);
        Ok(())
    }

    fn run_for(&mut self, time: Duration) -> Result<(), String> {
        self.advance(self.site.w.now() + time)
    }

    /// Checks what can have changed when a host did something.
    fn look_at(&mut self, host: HostId) -> Result<(), String> {
        if let Some(what) = self.site.w.wrong() {
            return Err(what.to_owned());
        }
        let name = |site: &Site| site.w.trace.name(host).to_owned();
        let result = match self.roles[host.index()] {
            Role::Client => self.look_at_client(host),
            Role::Ioc => Checker::server_bounds(&self.site, host),
            Role::Gateway => self.look_at_gateway(host),
            Role::Other => return Ok(()),
        };
        result.map_err(|what| format!("{}: {what}", name(&self.site)))?;
        match self.site.book.lock().wrong.take() {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }

    fn look_at_client(&mut self, host: HostId) -> Result<(), String> {
        if let Some(client) = self.site.w.look::<ClientHost>(host) {
            client.news(&mut self.news);
            client.take_events();
        }
        if !self.news.is_empty() {
            self.checker.news(&self.site, host, &self.news)?;
        }
        self.checker.client_bounds(&self.site, host)
    }

    fn look_at_gateway(&mut self, host: HostId) -> Result<(), String> {
        if let Some(gateway) = self.site.w.look::<GatewayHost>(host) {
            gateway.take(&mut self.news, &mut self.shown);
        }
        let now = self.site.w.now();
        for shown in self.shown.drain(..) {
            let mut book = self.site.book.lock();
            let first = self
                .site
                .names
                .iter()
                .position(|name| name.behind.is_some());
            let first = first.unwrap_or(0);
            match shown {
                Shown::Value(index, value) => book.post(first + index, &value, now),
                Shown::Rights(index, rights) => book.set_rights(first + index, rights, now),
            }
        }
        // Its puts are those of its clients, and are checked there.
        self.news.retain(|news| !matches!(news, News::Answer(_, _)));
        if !self.news.is_empty() {
            self.checker.news(&self.site, host, &self.news)?;
        }
        self.checker.client_bounds(&self.site, host)?;
        Checker::server_bounds(&self.site, host)
    }

    /// The subscriptions of the gateway are promises too.
    fn register_gateway(&mut self) {
        let Some(host) = self.site.gateway else {
            return;
        };
        self.checker.begin(host);
        let names: Vec<(String, Token)> = self
            .site
            .w
            .host::<GatewayHost>(host)
            .names()
            .map(|(_, up, token)| (up.to_owned(), token))
            .collect();
        let now = self.site.w.now();
        let mut book = self.site.book.lock();
        for (pv, name) in self.site.names.iter().enumerate() {
            if name.behind.is_some() {
                book.set_rights(pv, AccessRights::NONE, now);
            }
        }
        drop(book);
        for (up, token) in names {
            let pv = self.site.names.iter().position(|name| name.text == up);
            let spec = SubSpec {
                ty: TypeSpec::Family(Family::Time),
                count: 0,
                mask: EventMask::VALUE | EventMask::ALARM,
            };
            self.checker.subscribed(host, token, pv.unwrap_or(0), spec);
        }
    }

    // Which one a number means.

    fn client(&self, number: u8) -> HostId {
        self.site.clients[usize::from(number) % self.site.clients.len()]
    }

    fn ioc(&self, number: u8) -> usize {
        usize::from(number) % self.site.iocs.len()
    }

    fn name(&self, number: u8) -> PvIndex {
        usize::from(number) % self.site.names.len()
    }

    /// A PV of an IOC; a name of the gateway means the PV behind.
    fn pv(&self, number: u8) -> PvIndex {
        let pv = self.name(number);
        self.site.names[pv].behind.unwrap_or(pv)
    }

    fn host(&self, number: u8) -> HostId {
        let hosts = self.roles.len();
        let at = usize::from(number) % hosts;
        self.site.w.hosts().nth(at).unwrap_or(self.site.clients[0])
    }

    /// Lets a client act, then checks it.
    fn with_client<R>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut ClientHost, Instant) -> R,
    ) -> R {
        self.site.w.with(host, act)
    }

    fn with_ioc<R>(
        &mut self,
        pv: PvIndex,
        act: impl FnOnce(&mut IocHost, Instant, &str) -> R,
    ) -> R {
        let name = self.site.names[pv].text.clone();
        let host = self.site.iocs[self.site.names[pv].ioc].host;
        self.site.w.with(host, |ioc, now| act(ioc, now, &name))
    }

    fn act(&mut self, op: Op) -> Result<String, String> {
        let mut touched = None;
        let what = match op {
            Op::Open { client, name } => {
                let (host, pv) = (self.client(client), self.name(name));
                touched = Some(host);
                let name = self.site.names[pv].text.clone();
                self.with_client(host, |c, now| c.open(now, &name));
                name
            }
            Op::Close { client, name } => {
                let (host, pv) = (self.client(client), self.name(name));
                touched = Some(host);
                let name = self.site.names[pv].text.clone();
                self.checker.closed(host, pv);
                self.with_client(host, |c, now| c.close(now, &name));
                name
            }
            Op::Subscribe {
                client,
                name,
                family,
                count,
                mask,
            } => {
                let (host, pv) = (self.client(client), self.name(name));
                touched = Some(host);
                let spec = SubSpec {
                    ty: TypeSpec::Family(Family::ALL[usize::from(family) % 5]),
                    count: count.into(),
                    mask: EventMask((mask % 16).max(1).into()),
                };
                self.subscribe(host, pv, spec)
            }
            Op::Cancel { client, nth } => {
                let host = self.client(client);
                touched = Some(host);
                let subs: Vec<Token> = self.checker.subs(host).collect();
                match subs.get(usize::from(nth) % subs.len().max(1)) {
                    Some(&token) => {
                        self.checker.cancelled(host, token);
                        self.with_client(host, |c, now| c.unsubscribe(now, token));
                        format!("{token:?}")
                    }
                    None => "nothing".to_owned(),
                }
            }
            Op::Read {
                client,
                name,
                family,
            } => {
                let (host, pv) = (self.client(client), self.name(name));
                touched = Some(host);
                self.read(host, pv, family)
            }
            Op::Put { client, name } => {
                let (host, pv) = (self.client(client), self.name(name));
                touched = Some(host);
                // The gateway passes all puts on as puts with completion.
                self.put(host, pv, self.site.names[pv].behind.is_some())
            }
            Op::PutNotify { client, name } => {
                let (host, pv) = (self.client(client), self.name(name));
                touched = Some(host);
                self.put(host, pv, true)
            }
            Op::GiveUp { client } => {
                let host = self.client(client);
                touched = Some(host);
                let first = self.site.client(host).unanswered().next();
                match first.map(|(token, _)| token) {
                    Some(token) => {
                        self.checker.gave_up(host, token);
                        self.with_client(host, |c, _| c.cancel(token));
                        format!("{token:?}")
                    }
                    None => "nothing".to_owned(),
                }
            }
            Op::Busy { client, busy } => {
                let host = self.client(client);
                self.with_client(host, |c, _| c.set_reading(!busy));
                String::new()
            }
            Op::Post { name, times } => {
                let pv = self.pv(name);
                touched = Some(self.site.iocs[self.site.names[pv].ioc].host);
                self.post(pv, times)
            }
            Op::Finish { name } => {
                let pv = self.pv(name);
                touched = Some(self.site.iocs[self.site.names[pv].ioc].host);
                // Those that end by themselves are left alone, to see when they do.
                if kind(self.site.names[pv].n, false).completes == super::build::Completes::Never {
                    self.finish(pv);
                }
                self.site.names[pv].text.clone()
            }
            Op::Rights { name, rights } => {
                let pv = self.pv(name);
                touched = Some(self.site.iocs[self.site.names[pv].ioc].host);
                self.set_rights(pv, AccessRights::from_bits((rights & 3).into()));
                self.site.names[pv].text.clone()
            }
            Op::Delete { name } => {
                let pv = self.pv(name);
                touched = Some(self.site.iocs[self.site.names[pv].ioc].host);
                self.delete(pv, !self.site.names[pv].deleted);
                self.site.names[pv].text.clone()
            }
            Op::Reset { .. }
            | Op::ResetAfter { .. }
            | Op::Link { .. }
            | Op::Cut { .. }
            | Op::ClockJump { .. }
            | Op::Attack { .. } => self.harm(op),
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
                self.checker.begin(host);
                let new = self.site.client_host(number);
                self.site.w.boot(host, new);
                self.who(host)
            }
            Op::Restart { which } => self.restart(which),
            Op::Heal => {
                self.heal();
                String::new()
            }
        };
        if let Some(host) = touched {
            self.look_at(host)?;
        }
        Ok(what)
    }

    fn who(&self, host: HostId) -> String {
        self.site.w.trace.name(host).to_owned()
    }

    fn subscribe(&mut self, host: HostId, pv: PvIndex, spec: SubSpec) -> String {
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

    fn read(&mut self, host: HostId, pv: PvIndex, family: u8) -> String {
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

    fn put(&mut self, host: HostId, pv: PvIndex, notify: bool) -> String {
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

    fn value(&self, pv: PvIndex, number: u32) -> Value {
        let name = &self.site.names[pv];
        kind(name.n, self.site.iocs[name.ioc].other_types).value(number)
    }

    fn post(&mut self, pv: PvIndex, times: u8) -> String {
        if !self.site.serves(pv) {
            return "not served".to_owned();
        }
        let large = kind(self.site.names[pv].n, false).capacity > 100;
        let times = if large { times.min(LARGE_TIMES) } else { times };
        for _ in 0..times {
            let number = self.site.next_number();
            let value = self.value(pv, number);
            let now = self.site.w.now();
            self.site.book.lock().post(pv, &value, now);
            let posted = self.with_ioc(pv, |ioc, now, name| {
                ioc.with(|ioc| ioc.post(now, name, value))
            });
            posted.expect("the values of a facility fit its PVs");
        }
        format!("{} to {}", self.site.names[pv].text, self.site.values())
    }

    /// Ends the put that a PV is busy with; true if there was one.
    fn finish(&mut self, pv: PvIndex) -> bool {
        self.site.serves(pv)
            && self
                .with_ioc(pv, |ioc, now, name| {
                    ioc.with(|ioc| ioc.finish_put(now, name, EcaStatus::NORMAL))
                })
                .unwrap_or(false)
    }

    fn set_rights(&mut self, pv: PvIndex, rights: AccessRights) {
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

    fn delete(&mut self, pv: PvIndex, delete: bool) {
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

    /// Starts an IOC, after a stop if it runs; perhaps at another address.
    fn start(&mut self, ioc: usize, other_types: bool, elsewhere: bool) {
        let host = self.site.iocs[ioc].host;
        if elsewhere {
            self.site.w.power_off(host);
            let addr = self.site.w.free_addr(self.site.subnet_of(host));
            self.site.w.net.set_addr(host, addr);
        } else if self.site.w.is_up(host) {
            self.site.w.kill(host);
        }
        self.site.iocs[ioc].other_types = other_types;
        let new = self.site.ioc_host(ioc, other_types);
        self.site.w.boot(host, new);
        self.tell_name_server();
    }

    fn tell_name_server(&mut self) {
        if let Some(host) = self.site.name_server {
            let table = self.site.directory();
            self.site.w.with(host, |server: &mut NameServerHost, _| {
                for (name, addr) in table {
                    server.set(&name, Some(addr));
                }
            });
        }
    }

    fn restart(&mut self, which: u8) -> String {
        let which = usize::from(which);
        if which % 2 == 1 {
            let number = which / 2 % self.site.repeaters.len();
            let host = self.site.repeaters[number];
            self.site.w.kill(host);
            let new = self.site.repeater_host(host);
            self.site.w.boot(host, new);
            return self.who(host);
        }
        match (self.site.gateway, self.site.name_server) {
            (Some(host), name_server) if which % 4 == 0 || name_server.is_none() => {
                self.site.w.kill(host);
                let new = self.site.gateway_host();
                self.site.w.boot(host, new);
                self.register_gateway();
                self.who(host)
            }
            (_, Some(host)) => {
                self.site.w.kill(host);
                let new = NameServerHost::new(self.site.directory());
                self.site.w.boot(host, new);
                self.who(host)
            }
            _ => "nothing".to_owned(),
        }
    }

    /// Faults of the network, the clocks, and the malice of others.
    fn harm(&mut self, op: Op) -> String {
        match op {
            Op::Reset { client, ioc } => {
                let (a, b) = (self.client(client), self.site.iocs[self.ioc(ioc)].host);
                self.site.w.net.reset(a, b);
                format!("{} and {}", self.who(a), self.who(b))
            }
            Op::ResetAfter {
                client,
                ioc,
                to_ioc,
                bytes,
            } => {
                let (a, b) = (self.client(client), self.site.iocs[self.ioc(ioc)].host);
                self.site.w.net.reset_after(a, b, to_ioc, bytes.into());
                format!("{} and {}", self.who(a), self.who(b))
            }
            Op::Link { a, b, both, fault } => {
                let (a, b) = (self.host(a), self.host(b));
                let default = self.site.w.net.default_link_mut().clone();
                self.site
                    .w
                    .net
                    .set_link(a, b, |link| set_fault(link, fault, &default));
                if both {
                    self.site
                        .w
                        .net
                        .set_link(b, a, |link| set_fault(link, fault, &default));
                }
                format!("{} > {}", self.who(a), self.who(b))
            }
            Op::Cut { subnet, cut } => {
                let subnet = subnet % self.plan.shape.subnets.max(1);
                let hosts = self.site.w.hosts();
                let (inside, outside): (Vec<HostId>, Vec<HostId>) =
                    hosts.partition(|&host| self.site.subnet_of(host) == subnet);
                for &a in &inside {
                    for &b in &outside {
                        self.site.w.net.partition(a, b, cut);
                    }
                }
                format!("10.0.{subnet}.0")
            }
            Op::ClockJump { host, secs } => {
                let hosts: Vec<HostId> = self.site.users().chain(self.site.servers()).collect();
                let host = hosts[usize::from(host) % hosts.len()];
                if self.site.w.is_up(host) {
                    self.checker.clocks_differ = true;
                    self.site.w.jump_clock(host, secs as u32 * SECOND);
                    let ahead = self.site.w.clock_ahead(host);
                    let mut book = self.site.book.lock();
                    for (pv, name) in self.site.names.iter().enumerate() {
                        if self.site.iocs[name.ioc].host == host {
                            book.ahead[pv] = ahead;
                        }
                    }
                }
                self.who(host)
            }
            Op::Attack { hostile, times } => {
                let count = self.site.hostile.len();
                if count == 0 {
                    return "nobody".to_owned();
                }
                let host = self.site.hostile[usize::from(hostile) % count];
                self.site
                    .w
                    .with(host, |host: &mut HostileHost, _| host.act(times.into()));
                self.who(host)
            }
            _ => String::new(),
        }
    }

    /// All faults of the network end, busy clients read on, and what is off starts.
    fn heal(&mut self) {
        self.site.w.net.heal();
        for host in self.site.clients.clone() {
            self.with_client(host, |c, _| c.set_reading(true));
        }
        for ioc in 0..self.site.iocs.len() {
            if !self.site.w.is_up(self.site.iocs[ioc].host) {
                let other_types = self.site.iocs[ioc].other_types;
                self.start(ioc, other_types, false);
            }
        }
        for pv in 0..self.site.names.len() {
            if self.site.names[pv].behind.is_none() {
                self.delete(pv, false);
            }
        }
        self.site.w.net.end_dead_streams();
    }

    /// Nobody harms anybody any more: everything has to come back.
    fn recover(&mut self) -> Result<(), String> {
        self.log.push("the faults end".to_owned());
        for host in self.site.hostile.clone() {
            self.site
                .w
                .with(host, |host: &mut HostileHost, _| host.stop());
        }
        self.heal();
        for pv in 0..self.site.names.len() {
            if self.site.names[pv].behind.is_none() {
                self.set_rights(pv, AccessRights::ALL);
            }
        }
        self.site.finishing = true;
        self.recovery = self.until_whole(RECOVERY)?;
        Ok(())
    }

    /// Runs until nothing is missing; how long that took.
    fn until_whole(&mut self, most: Duration) -> Result<Duration, String> {
        let start = self.site.w.now();
        loop {
            for pv in 0..self.site.names.len() {
                if self.site.names[pv].behind.is_none() {
                    while self.finish(pv) {}
                }
            }
            self.run_for(SECOND)?;
            let took = self.site.w.now() - start;
            match self.checker.whole(&self.site) {
                Ok(()) => return Ok(took),
                Err(what) if took >= most => return Err(format!("after {took:?}: {what}")),
                Err(_) => {}
            }
        }
    }

    /// After all that, every client can still do everything.
    fn exam(&mut self) -> Result<(), String> {
        self.log.push("the exam".to_owned());
        let spec = SubSpec {
            ty: TypeSpec::Family(Family::Time),
            count: 0,
            mask: EventMask::VALUE,
        };
        let clients = self.site.clients.clone();
        let names = self.site.names.len();
        // Every client with every IOC, and with the gateway.
        let chosen = |number: usize| (0..names).filter(move |pv| (pv + number).is_multiple_of(3));
        for (number, &host) in clients.iter().enumerate() {
            for pv in chosen(number) {
                self.subscribe(host, pv, spec);
            }
            self.look_at(host)?;
        }
        self.until_whole(EXAM)?;
        for pv in 0..names {
            if self.site.names[pv].behind.is_none() {
                self.post(pv, 3);
            }
        }
        self.until_whole(EXAM)?;
        for (number, &host) in clients.iter().enumerate() {
            for pv in chosen(number) {
                self.read(host, pv, 1);
                let what = self.put(host, pv, true);
                if !what.contains("Ok") {
                    return Err(format!("a put is refused: {what}"));
                }
                self.read(host, pv, 1);
            }
            self.look_at(host)?;
        }
        self.until_whole(EXAM)?;
        let mut plain = Vec::new();
        for (number, &host) in clients.iter().enumerate() {
            for pv in chosen(number) {
                if self.site.names[pv].behind.is_none() {
                    let what = self.put(host, pv, false);
                    if !what.contains("Ok") {
                        return Err(format!("a put is refused: {what}"));
                    }
                    plain.push((pv, self.site.values()));
                }
            }
        }
        self.until_written(plain)?;
        self.until_whole(EXAM).map(drop)
    }

    /// Runs until all these numbers were written; large ones take their time on thin links.
    fn until_written(&mut self, mut numbers: Vec<(PvIndex, u32)>) -> Result<(), String> {
        let end = self.site.w.now() + EXAM;
        loop {
            self.run_for(SECOND)?;
            let book = self.site.book.lock();
            numbers.retain(|&(pv, number)| book.pv(pv).places(f64::from(number)).is_empty());
            match numbers.first() {
                None => return Ok(()),
                Some(&(pv, number)) if self.site.w.now() >= end => {
                    let name = &self.site.names[pv].text;
                    return Err(format!("the put of {number} to {name} never arrived"));
                }
                Some(_) => {}
            }
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.log.push("the end".to_owned());
        for host in self.site.clients.clone() {
            self.with_client(host, |c, now| c.shutdown(now));
            self.checker.begin(host);
        }
        if let Some(host) = self.site.gateway {
            self.site
                .w
                .with(host, |gateway: &mut GatewayHost, now| gateway.shutdown(now));
            self.checker.begin(host);
        }
        self.run_for(GOODBYE)?;
        self.checker.ended(&self.site)
    }
}

fn set_fault(link: &mut Link, fault: Fault, default: &Link) {
    let share = |percent: u8| f64::from(percent.min(100)) / 100.0;
    match fault {
        Fault::Loss(percent) => link.loss = share(percent),
        Fault::Duplicate(percent) => link.duplicate = share(percent),
        Fault::Reorder(percent) => link.reorder = share(percent),
        Fault::Delay(millis) => {
            link.latency = Duration::from_millis(millis.into());
            link.jitter = link.latency;
        }
        Fault::Bandwidth(rate) => link.bandwidth = Some(rate.max(1).into()),
        Fault::Down => link.down = true,
        Fault::Hold => link.held = true,
        Fault::Refuse => link.refuse = true,
        Fault::None => *link = default.clone(),
    }
}
