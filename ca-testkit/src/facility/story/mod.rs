//! How a plan is carried out.

mod acts;
mod exam;
mod faults;
mod records;

use core::time::Duration;

use ca_proto::Instant;
use ca_proto::access::AccessRights;
use ca_proto::client::{SubSpec, Token, TypeSpec};
use ca_proto::dbr::Family;
use ca_proto::wire::message::EventMask;

use super::Report;
use super::build::Site;
use super::check::Checker;
use super::plan::Plan;
use super::records::Watcher;
use crate::host::{ClientHost, GatewayHost, News, Shown};
use crate::net::HostId;

const SECOND: Duration = Duration::from_secs(1);

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
    watcher: Watcher,
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
            watcher: Watcher::default(),
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
            updates: self.checker.updates + self.watcher.updates,
            answers: self.checker.answers + self.watcher.answers,
            recovery: self.recovery,
            hash: self.site.w.trace.hash(),
        })
    }

    /// Lets the world go on, each step checked.
    pub(super) fn advance(&mut self, end: Instant) -> Result<(), String> {
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

    pub(super) fn run_for(&mut self, time: Duration) -> Result<(), String> {
        self.advance(self.site.w.now() + time)
    }

    /// Checks what can have changed when a host did something.
    pub(super) fn look_at(&mut self, host: HostId) -> Result<(), String> {
        if let Some(what) = self.site.w.wrong() {
            return Err(what.to_owned());
        }
        if !self.site.records.is_empty() {
            self.site.records.note(self.site.w.now())?;
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

    pub(super) fn look_at_client(&mut self, host: HostId) -> Result<(), String> {
        if let Some(client) = self.site.w.look::<ClientHost>(host) {
            client.news(&mut self.news);
            client.take_events();
        }
        if !self.site.records.is_empty() {
            self.records_news(host)?;
        }
        if !self.news.is_empty() {
            self.checker.news(&self.site, host, &self.news)?;
        }
        self.checker.client_bounds(&self.site, host)
    }

    pub(super) fn look_at_gateway(&mut self, host: HostId) -> Result<(), String> {
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
    pub(super) fn register_gateway(&mut self) {
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
}
