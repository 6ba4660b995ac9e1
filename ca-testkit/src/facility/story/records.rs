//! What users do with records, what the programs of their IOCs do, and what is asked at the end.

use core::time::Duration;

use ca_proto::client::{ReadSpec, SubSpec, TypeSpec};
use ca_proto::dbr::Family;
use ca_proto::wire::message::EventMask;

use super::exam::EXAM;
use super::{SECOND, Story};
use crate::facility::plan::Op;
use crate::facility::records::{Put, Records, STATE, Sees};
use crate::host::{ClientHost, Host as _, IocHost, News};
use crate::net::HostId;

/// Two of the longest period, and a bit.
const WATCHED: Duration = Duration::from_secs(21);

/// Time between two of them: a chain has come to its end.
const PAUSE: Duration = Duration::from_secs(4);
/// Times that everything is written, in turn.
const ROUNDS: usize = 3;
/// Time between two IOCs in the exam.
const FAR: Duration = Duration::from_millis(60);

impl Story<'_> {
    /// A client begins, or begins anew.
    pub(super) fn begin(&mut self, host: HostId) {
        self.checker.begin(host);
        self.watcher.begin(host);
    }

    /// Looks at the news of a client that are about records, and leaves the others.
    pub(super) fn records_news(&mut self, host: HostId) -> Result<(), String> {
        let mut result = Ok(());
        let (watcher, site) = (&mut self.watcher, &self.site);
        self.news
            .retain(|news: &News| match watcher.news(site, host, news) {
                Ok(taken) => !taken,
                Err(what) => {
                    result = Err(what);
                    false
                }
            });
        result
    }

    /// The user of a client, as far as records go; nothing for what users do not do.
    pub(super) fn user_of_records_acts(&mut self, host: HostId, op: Op) -> String {
        if self.site.records.is_empty() {
            return "no records".to_owned();
        }
        let channels = self.site.records.channels.len();
        match op {
            Op::Watch { channel, mask, .. } => {
                self.watch(host, usize::from(channel) % channels, mask)
            }
            Op::Unwatch { nth, close, .. } => {
                let Some((token, channel)) = self.watcher.cancel(host, nth.into()) else {
                    return "nothing".to_owned();
                };
                let text = self.site.records.channels[channel].text.clone();
                self.with_client(host, |c, now| c.unsubscribe(now, token));
                if close {
                    self.watcher.closed(&self.site.records, host, &text);
                    self.with_client(host, |c, now| c.close(now, &text));
                }
                text
            }
            Op::Fetch { channel, .. } => self.fetch(host, usize::from(channel) % channels),
            Op::Write {
                target,
                notify,
                times,
                ..
            } => {
                let target = usize::from(target) % self.site.records.targets.len();
                let puts = (0..times.max(1)).map(|_| {
                    let number = self.site.next_number();
                    self.write_record(host, target, number, notify)
                });
                puts.collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        }
    }

    fn watch(&mut self, host: HostId, channel: usize, mask: u8) -> String {
        let known = &self.site.records.channels[channel];
        let (text, sees) = (known.text.clone(), known.sees);
        let mut mask = EventMask((mask % 8).max(1).into());
        if matches!(sees, Sees::Every(_) | Sees::Beyond(_) | Sees::Gated(_)) {
            // Each subscription runs through the filter of its channel: one alone counts one by one.
            if self.watcher.watches(host, channel) {
                return format!("{text} is watched already");
            }
            mask = EventMask::VALUE;
        }
        let spec = SubSpec {
            ty: TypeSpec::Family(Family::Time),
            count: 0,
            mask,
        };
        let result = self.with_client(host, |c, now| c.subscribe(now, &text, spec));
        if let Ok(token) = result {
            let connected = self.site.client(host).is_connected(&text);
            self.watcher
                .subscribed(host, token, channel, mask, connected);
        }
        format!("{text}: {result:?}")
    }

    fn fetch(&mut self, host: HostId, channel: usize) -> String {
        let known = &self.site.records.channels[channel];
        let text = known.text.clone();
        let floor = self.site.records.all[known.record].book.len();
        let floor = floor.saturating_sub(1);
        let spec = ReadSpec {
            ty: TypeSpec::Family(Family::Time),
            count: 0,
        };
        let result = self.with_client(host, |c, now| c.read(now, &text, spec));
        if let Ok(token) = result {
            self.watcher.asked_value(host, token, channel, floor);
        }
        format!("{text}: {result:?}")
    }

    fn write_record(&mut self, host: HostId, target: usize, number: u32, notify: bool) -> String {
        let known = &self.site.records.targets[target];
        let (text, value) = (known.text.clone(), known.value(number));
        if !notify {
            let result = self.with_client(host, |c, now| c.write(now, &text, &value));
            return format!("{text} = {value}: {result:?}");
        }
        let result = self.with_client(host, |c, now| c.write_notify(now, &text, &value));
        if let Ok(token) = result {
            self.watcher.asked_put(host, token, target, number);
        }
        format!("{text} = {value}: {result:?}")
    }

    /// The program of an IOC, as far as records go.
    pub(super) fn program_acts(&mut self, ioc: usize, op: Op) -> Result<String, String> {
        let host = self.site.iocs[ioc].host;
        if self.site.records.is_empty() || !self.site.w.is_up(host) {
            return Ok("nothing".to_owned());
        }
        match op {
            Op::Event { .. } => self.post_event(ioc),
            Op::Gate { set, .. } => {
                self.site.w.with(host, |ioc: &mut IocHost, _| {
                    ioc.with(|ioc| ioc.set_state(STATE, set))
                });
                self.site.records.gates[ioc] = set;
                Ok(format!("{STATE} = {set}"))
            }
            _ => Ok(String::new()),
        }
    }

    /// Each record that waits for the event is processed once.
    fn post_event(&mut self, ioc: usize) -> Result<String, String> {
        let counters = |story: &Self| {
            let read = |ioc: usize, name: &str| story.site.read_record(ioc, name);
            let all = story.site.records.all.iter().enumerate();
            all.filter(|(_, record)| record.ioc == ioc && Records::counts_events(record, &read))
                .map(|(index, record)| (index, record.book.len()))
                .collect::<Vec<_>>()
        };
        let before = counters(self);
        let host = self.site.iocs[ioc].host;
        self.site
            .w
            .with(host, |ioc_host: &mut IocHost, now| {
                let name = format!("r{ioc}:post");
                let posted = ioc_host.with(|ioc| ioc.write_record(now, &name, None, None, true));
                // What is due now is done now.
                ioc_host.handle_timeout(now);
                posted
            })
            .expect("the record was described");
        self.site.records.note(self.site.w.now())?;
        for (index, count) in before {
            let record = &self.site.records.all[index];
            if record.book.len() != count + 1 {
                let counted = record.book.len() - count;
                return Err(format!(
                    "{} has counted an event {counted} times",
                    record.name
                ));
            }
        }
        Ok(format!("r{ioc}:post"))
    }

    /// After all that, records do what they should, and clients see it.
    pub(super) fn examine_records(&mut self) -> Result<(), String> {
        self.log.push("the exam of the records".to_owned());
        let host = self.site.clients[0];
        self.open_targets(host)?;
        // Modes as they are usually, then all anew.
        for target in 0..self.site.records.targets.len() {
            let number = match self.site.records.targets[target].put {
                Put::Flag => 0,
                Put::Scan => target as u32,
                _ => continue,
            };
            self.write_record(host, target, number, true);
        }
        self.look_at(host)?;
        self.until_whole(EXAM)?;
        self.watcher.calm = true;
        self.slow_down();
        for _ in 0..ROUNDS {
            self.write_all(host)?;
        }
        self.until_whole(EXAM)?;
        self.heal();
        self.watcher.steady = true;
        for channel in 0..self.site.records.channels.len() {
            let number = channel % self.site.clients.len();
            self.watch(self.site.clients[number], channel, 7);
        }
        for ioc in 0..self.site.iocs.len() {
            self.program_acts(ioc, Op::Gate { ioc: 0, set: true })?;
            self.program_acts(ioc, Op::Event { ioc: 0 })?;
        }
        self.until_whole(EXAM)?;
        let from = self.site.w.now();
        self.run_for(WATCHED)?;
        let now = self.site.w.now();
        let read = |ioc: usize, name: &str| self.site.read_record(ioc, name);
        for record in &self.site.records.all {
            if record.part == "n" {
                self.site.records.kept_time(record, &read, from, now)?;
            }
        }
        self.until_whole(EXAM).map(drop)
    }

    /// A client writes everything at once, with completion.
    fn write_all(&mut self, host: HostId) -> Result<(), String> {
        for target in 0..self.site.records.targets.len() {
            let put = self.site.records.targets[target].put;
            if matches!(put, Put::Flag | Put::Scan) {
                continue;
            }
            let number = self.site.next_number();
            let what = self.write_record(host, target, number, true);
            if !what.contains("Ok") {
                return Err(format!("a put is refused: {what}"));
            }
        }
        self.look_at(host)?;
        self.run_for(PAUSE)
    }

    /// From one IOC to another it is far: what is said to be done there shows.
    fn slow_down(&mut self) {
        let iocs: Vec<HostId> = self.site.iocs.iter().map(|ioc| ioc.host).collect();
        for &a in &iocs {
            for &b in iocs.iter().filter(|&&b| b != a) {
                self.site.w.net.set_link(a, b, |link| link.latency = FAR);
            }
        }
    }

    /// Opens all that clients write, and waits until all are connected.
    fn open_targets(&mut self, host: HostId) -> Result<(), String> {
        let targets = self.site.records.targets.iter();
        let names: Vec<String> = targets.map(|target| target.text.clone()).collect();
        let end = self.site.w.now() + EXAM;
        for name in &names {
            self.with_client(host, |c: &mut ClientHost, now| c.open(now, name));
        }
        loop {
            self.run_for(SECOND)?;
            let client = self.site.client(host);
            match names.iter().find(|name| !client.is_connected(name)) {
                None => return Ok(()),
                Some(name) if self.site.w.now() >= end => {
                    return Err(format!("{}: {name} is not connected", self.who(host)));
                }
                Some(_) => {}
            }
        }
    }
}
