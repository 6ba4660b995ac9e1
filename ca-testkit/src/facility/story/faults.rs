//! What goes wrong: hosts, the network, clocks, and the malice of others.

use core::time::Duration;

use super::{SECOND, Story};
use crate::facility::plan::{Fault, Op};
use crate::host::{HostileHost, NameServerHost};
use crate::net::{HostId, Link};

impl Story<'_> {
    /// Starts an IOC, after a stop if it runs; perhaps at another address.
    pub(super) fn start(&mut self, ioc: usize, other_types: bool, elsewhere: bool) {
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
        self.site.begin_records(ioc);
        self.tell_name_server();
    }

    pub(super) fn tell_name_server(&mut self) {
        if let Some(host) = self.site.name_server {
            let table = self.site.directory();
            self.site.w.with(host, |server: &mut NameServerHost, _| {
                for (name, addr) in table {
                    server.set(&name, Some(addr));
                }
            });
        }
    }

    pub(super) fn restart(&mut self, which: u8) -> String {
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
    pub(super) fn harm(&mut self, op: Op) -> String {
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
                    self.watcher.clocks_differ = true;
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
    pub(super) fn heal(&mut self) {
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
