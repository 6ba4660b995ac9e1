//! The end of a story: everything comes back, everything works, nothing is left.

use core::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::client::{SubSpec, TypeSpec};
use ca_proto::dbr::Family;
use ca_proto::ids::{SlotKey as _, SubId};
use ca_proto::wire::message::EventMask;

use super::{SECOND, Story};
use crate::facility::book::PvIndex;
use crate::host::{GatewayHost, HostileHost, IocHost};
use crate::net::HostId;

/// Time in which everything comes back once all faults are gone: a circuit that is dead takes a
/// time-out and an echo (35 s), a new search at most the ceiling of the back-off (60 s), and what was
/// found by a lie a time-out of 30 s more.
const RECOVERY: Duration = Duration::from_secs(180);
/// Time for what is tried afterwards.
pub(super) const EXAM: Duration = Duration::from_secs(90);
/// Values posted at once: more than the queue of a server keeps of one PV.
const BURST: u8 = 255;
/// Time for an orderly end.
const GOODBYE: Duration = Duration::from_secs(40);

impl Story<'_> {
    /// Nobody harms anybody any more: everything has to come back.
    pub(super) fn recover(&mut self) -> Result<(), String> {
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
    pub(super) fn until_whole(&mut self, most: Duration) -> Result<Duration, String> {
        let start = self.site.w.now();
        loop {
            for pv in 0..self.site.names.len() {
                if self.site.names[pv].behind.is_none() {
                    while self.finish(pv) {}
                }
            }
            self.run_for(SECOND)?;
            let took = self.site.w.now() - start;
            let whole = self.checker.whole(&self.site);
            match whole.and_then(|()| self.watcher.whole(&self.site)) {
                Ok(()) => return Ok(took),
                Err(what) if took >= most => return Err(format!("after {took:?}: {what}")),
                Err(_) => {}
            }
        }
    }

    /// After all that, every client can still do everything.
    pub(super) fn exam(&mut self) -> Result<(), String> {
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
            let name = &self.site.names[pv];
            if name.behind.is_none() {
                let times = if name.n == 0 { BURST } else { 3 };
                self.post(pv, times);
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
                    let number = self.site.values();
                    plain.extend(self.site.accepts(pv, number).then_some((pv, number)));
                }
            }
        }
        self.until_written(plain)?;
        self.until_whole(EXAM)?;
        self.succeed()?;
        self.page()?;
        self.until_whole(EXAM)?;
        if self.site.records.is_empty() {
            return Ok(());
        }
        self.examine_records()
    }

    /// A client ends in the middle of puts that nobody completes; its successor can write.
    fn succeed(&mut self) -> Result<(), String> {
        let host = self.site.clients[0];
        let endless: Vec<PvIndex> = (0..self.site.names.len())
            .filter(|&pv| self.site.is_endless(pv) && self.site.names[pv].behind.is_none())
            .collect();
        self.put_and_wait(host, &endless)?;
        self.site.w.kill(host);
        self.begin(host);
        let new = self.site.client_host(0);
        self.site.w.boot(host, new);
        self.put_and_wait(host, &endless)?;
        self.until_whole(EXAM).map(drop)
    }

    /// Opens these PVs and writes to each; until everything is written, which completes nothing.
    fn put_and_wait(&mut self, host: HostId, pvs: &[PvIndex]) -> Result<(), String> {
        let end = self.site.w.now() + EXAM;
        let mut written = Vec::new();
        for &pv in pvs {
            let name = self.site.names[pv].text.clone();
            self.with_client(host, |c, now| c.open(now, &name));
            while !self.site.client(host).is_connected(&name) {
                if self.site.w.now() >= end {
                    return Err(format!("{}: {name} is not connected", self.who(host)));
                }
                self.run_for(SECOND)?;
            }
            while !self.site.accepts(pv, self.site.values() + 1) {
                self.site.next_number();
            }
            self.put(host, pv, true);
            written.push((pv, self.site.values()));
        }
        self.until_written(written)
    }

    /// A user pages through PVs, faster than the server answers: updates on their way are not shown as
    /// those of the PV that is looked at last, even if all identifiers of subscriptions go round.
    fn page(&mut self) -> Result<(), String> {
        const GENERATIONS: u32 = 1 << (u32::BITS - SubId::INDEX_BITS);
        let host = self.site.clients[0];
        let spec = SubSpec {
            ty: TypeSpec::Family(Family::Time),
            count: 0,
            mask: EventMask::VALUE,
        };
        let (first, last) = (0, 2);
        self.subscribe(host, first, spec);
        let name = self.site.names[last].text.clone();
        self.with_client(host, |c, now| c.open(now, &name));
        self.until_whole(EXAM)?;
        self.post(first, 3);
        for _ in 1..GENERATIONS {
            self.cancel(host, 0);
            self.subscribe(host, first, spec);
        }
        self.cancel(host, 0);
        self.subscribe(host, last, spec);
        self.look_at(host)
    }

    /// Runs until all these numbers were written; large ones take their time on thin links.
    pub(super) fn until_written(&mut self, mut numbers: Vec<(PvIndex, u32)>) -> Result<(), String> {
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

    pub(super) fn end(&mut self) -> Result<(), String> {
        self.log.push("the end".to_owned());
        for host in self.site.clients.clone() {
            self.with_client(host, |c, now| c.shutdown(now));
            self.begin(host);
        }
        if let Some(host) = self.site.gateway {
            self.site
                .w
                .with(host, |gateway: &mut GatewayHost, now| gateway.shutdown(now));
            self.checker.begin(host);
        }
        for ioc in 0..self.site.iocs.len() {
            let host = self.site.iocs[ioc].host;
            self.site
                .w
                .with(host, |ioc: &mut IocHost, now| ioc.end_links(now));
        }
        self.run_for(GOODBYE)?;
        self.checker.ended(&self.site)
    }
}
