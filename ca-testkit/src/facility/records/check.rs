//! What clients were promised about channels of records.

use core::time::Duration;
use std::collections::BTreeMap;

use ca_proto::client::{Lifecycle, Token};
use ca_proto::dbr::Reading;
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmStatus, EcaStatus, Instant};

use super::rules::{Read, slice};
use super::{Channel, Entry, Put, Records, Sees, Truth};
use crate::facility::build::{Server, Site};
use crate::host::{Answer, News, UpdateLog, wall};
use crate::net::HostId;

/// Time after which what was posted has arrived, once no link is faulty.
const SETTLED: Duration = Duration::from_millis(600);

/// A subscription to a channel of a record.
#[derive(Debug)]
struct Sub {
    channel: usize,
    mask: EventMask,
    connected: bool,
    /// Place in the record's book of the last value that was not a refresh.
    place: usize,
    /// The last value since the last connect.
    shown: Option<Truth>,
    /// Updates since the last connect: the first one may be a read that no filter sees.
    updates: u64,
    /// The last update that filters let through.
    passed: Option<f64>,
}

/// What a client has asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// A value of this channel, at least as new as the one at this place.
    Value { channel: usize, floor: usize },
    /// That this number is written to this target.
    Written { target: usize, number: u32 },
}

#[derive(Debug, Default)]
struct User {
    subs: BTreeMap<Token, Sub>,
    asked: BTreeMap<Token, Asked>,
}

/// What clients were promised about records, and whether it is kept.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    users: BTreeMap<HostId, User>,
    /// No fault is left and all links are connected: what is written arrives.
    pub calm: bool,
    /// All modes are the usual ones and all was written since: more has to hold.
    pub steady: bool,
    /// Some clock jumped: times of different hosts do not compare any more.
    pub clocks_differ: bool,
    pub updates: u64,
    pub answers: u64,
}

impl Watcher {
    /// A client begins, or begins anew.
    pub(crate) fn begin(&mut self, host: HostId) {
        self.users.insert(host, User::default());
    }

    pub(crate) fn subscribed(
        &mut self,
        host: HostId,
        token: Token,
        channel: usize,
        mask: EventMask,
        connected: bool,
    ) {
        let sub = Sub {
            channel,
            mask,
            connected,
            place: 0,
            shown: None,
            updates: 0,
            passed: None,
        };
        let user = self.users.entry(host).or_default();
        user.subs.insert(token, sub);
    }

    pub(crate) fn asked_value(&mut self, host: HostId, token: Token, channel: usize, floor: usize) {
        let user = self.users.entry(host).or_default();
        user.asked.insert(token, Asked::Value { channel, floor });
    }

    pub(crate) fn asked_put(&mut self, host: HostId, token: Token, target: usize, number: u32) {
        let user = self.users.entry(host).or_default();
        user.asked.insert(token, Asked::Written { target, number });
    }

    pub(crate) fn gave_up(&mut self, host: HostId, token: Token) {
        if let Some(user) = self.users.get_mut(&host) {
            user.asked.remove(&token);
        }
    }

    /// Whether a client watches a channel.
    pub(crate) fn watches(&self, host: HostId, channel: usize) -> bool {
        let subs = self.users.get(&host).into_iter().flat_map(|u| &u.subs);
        subs.into_iter().any(|(_, sub)| sub.channel == channel)
    }

    /// Takes a client's nth subscription from the books, or all of its channel.
    pub(crate) fn cancel(&mut self, host: HostId, nth: usize) -> Option<(Token, usize)> {
        let user = self.users.get_mut(&host)?;
        let nth = nth % user.subs.len().max(1);
        let (&token, sub) = user.subs.iter().nth(nth)?;
        let channel = sub.channel;
        user.subs.remove(&token);
        Some((token, channel))
    }

    /// A client has closed the channel of this name.
    pub(crate) fn closed(&mut self, records: &Records, host: HostId, text: &str) {
        let Some(user) = self.users.get_mut(&host) else {
            return;
        };
        let is_it = |channel: usize| records.channels[channel].text == text;
        user.subs.retain(|_, sub| !is_it(sub.channel));
        user.asked.retain(|_, asked| match *asked {
            Asked::Value { channel, .. } => !is_it(channel),
            Asked::Written { target, .. } => records.targets[target].text != text,
        });
    }

    /// Looks at what a client was told, if it is about records; false if it is not.
    pub(crate) fn news(&mut self, site: &Site, host: HostId, news: &News) -> Result<bool, String> {
        let Some(user) = self.users.get_mut(&host) else {
            return Ok(false);
        };
        let look = Look {
            site,
            host,
            calm: self.calm,
            steady: self.steady,
            clocks_differ: self.clocks_differ,
        };
        match news {
            News::Update(token, update) => {
                let Some(sub) = user.subs.get_mut(token) else {
                    return Ok(false);
                };
                self.updates += 1;
                look.update(sub, update)?;
            }
            News::Lifecycle(token, change) => {
                let Some(sub) = user.subs.get_mut(token) else {
                    return Ok(false);
                };
                sub.connected = *change == Lifecycle::Connected;
                (sub.shown, sub.updates, sub.passed) = (None, 0, None);
            }
            News::Answer(token, answer) => {
                let Some(asked) = user.asked.remove(token) else {
                    return Ok(false);
                };
                self.answers += 1;
                look.answer(asked, answer)?;
            }
        }
        Ok(true)
    }

    /// What is missing before all is as it should be, now that nobody harms anybody.
    pub(crate) fn whole(&self, site: &Site) -> Result<(), String> {
        let records = &site.records;
        for ioc in &site.iocs {
            let who = site.w.trace.name(ioc.host);
            let links = site.server(ioc.host).link_client();
            let links = links.filter(|_| site.w.is_up(ioc.host)).into_iter();
            let mut names = links.flat_map(|c| c.names().map(move |name| (c, name)));
            if let Some((_, name)) = names.find(|(c, name)| !c.is_connected(name)) {
                return Err(format!("{who}: the link to {name} is not connected"));
            }
        }
        let read = |ioc: usize, name: &str| site.read_record(ioc, name);
        records.hold(&read, self.steady)?;
        for (&host, user) in &self.users {
            let who = site.w.trace.name(host);
            if let Some((token, asked)) = user.asked.first_key_value() {
                return Err(format!("{who}: {token:?} has no answer: {asked:?}"));
            }
            for sub in user.subs.values() {
                let channel = &records.channels[sub.channel];
                shows_last(site, &read, sub, channel)
                    .map_err(|what| format!("{who}: {}: {what}", channel.text))?;
            }
        }
        Ok(())
    }
}

/// The last value of a subscription is that of the record, as far as filters say.
fn shows_last(site: &Site, read: &Read<'_>, sub: &Sub, channel: &Channel) -> Result<(), String> {
    let record = &site.records.all[channel.record];
    if !site.w.is_up(site.iocs[record.ioc].host) {
        return Ok(());
    }
    if !sub.connected {
        return Err("it is disconnected".to_owned());
    }
    let Some(shown) = &sub.shown else {
        return match channel.sees {
            // These see the first value too, as that of a subscription before on the same channel.
            Sees::Gated(_) | Sees::Every(_) | Sees::Beyond(_) => Ok(()),
            _ => Err("it never showed a value".to_owned()),
        };
    };
    if !sub.mask.intersects(EventMask::VALUE) {
        return Ok(());
    }
    if let Sees::Field(field) = channel.sees {
        let value = read(record.ioc, &format!("{}.{field}", record.name));
        return match value {
            Some(value) if !value.is(shown) => Err(format!("it shows {shown:?}, it is {value:?}")),
            _ => Ok(()),
        };
    }
    // A scan may be on its way.
    let now = site.w.now();
    let settled = record.book.iter().rev();
    let settled = settled.take_while(|entry| entry.at + SETTLED > now).count();
    let recent = &record.book[record.book.len() - settled..];
    let Some(last) = record.book[..record.book.len() - settled].last() else {
        return Ok(());
    };
    let sees = |entry: &Entry| seen(channel.sees, entry).is_some_and(|value| value.is(shown));
    match channel.sees {
        Sees::Every(n) => {
            let passed = sub.passed.unwrap_or(f64::NAN);
            let missing = last.value.number() - passed;
            if missing >= f64::from(n) {
                return Err(format!("it shows {passed}, the record has {last:?}"));
            }
            Ok(())
        }
        Sees::Beyond(band) => {
            let missing = last.value.number() - shown.number();
            if missing > f64::from(band) {
                return Err(format!("it shows {shown:?}, the record has {last:?}"));
            }
            Ok(())
        }
        Sees::Gated(_) => Ok(()),
        _ if sees(last) || recent.iter().any(sees) => Ok(()),
        _ => Err(format!("it shows {shown:?}, the record has {last:?}")),
    }
}

/// What a channel shows of a value that a record has posted; `None` if that cannot be told from it.
fn seen(sees: Sees, entry: &Entry) -> Option<Truth> {
    match (sees, &entry.value) {
        (Sees::Field(_), _) => None,
        (Sees::Slice(first, step, last), Truth::Numbers(all)) => {
            Some(Truth::Numbers(slice(all, first, step, last)))
        }
        (_, value) => Some(value.clone()),
    }
}

struct Look<'a> {
    site: &'a Site,
    host: HostId,
    calm: bool,
    steady: bool,
    clocks_differ: bool,
}

impl Look<'_> {
    fn now(&self) -> Instant {
        self.site.w.now()
    }

    fn is_honest(&self, text: &str) -> bool {
        let client = self.site.client(self.host);
        matches!(self.site.server_of(client, text), Server::Honest)
    }

    fn update(&self, sub: &mut Sub, update: &UpdateLog) -> Result<(), String> {
        let Some(reading) = &update.reading else {
            return Ok(());
        };
        let channel = &self.site.records.channels[sub.channel];
        let value = Truth::of(reading.value());
        sub.shown = Some(value.clone());
        if !self.is_honest(&channel.text) {
            sub.passed = None;
            return Ok(());
        }
        let place = self.find(channel, &value, reading, sub.place)?;
        // A refresh may overtake updates that wait in the server.
        if update.refresh {
            return Ok(());
        }
        sub.place = place;
        sub.updates += 1;
        if sub.updates > 1 {
            self.passes(channel, sub.passed, place, value.number())?;
            sub.passed = Some(value.number());
        }
        Ok(())
    }

    /// The place of a value in the record's book, from `floor` on.
    fn find(
        &self,
        channel: &Channel,
        value: &Truth,
        reading: &Reading,
        floor: usize,
    ) -> Result<usize, String> {
        if matches!(channel.sees, Sees::Field(_)) {
            return Ok(floor);
        }
        let book = &self.site.records.all[channel.record].book;
        let fits = |entry: &Entry| seen(channel.sees, entry).is_some_and(|seen| seen.is(value));
        let now = self.now();
        let is_disabled = |alarm: Alarm| alarm.status == AlarmStatus::DISABLE;
        // What a record begins with has no time, or that of its processing at the start; one that is disabled says so
        // with the time of before (`dbProcess` of EPICS Base).
        let untimed = self.clocks_differ || reading.alarm().is_some_and(is_disabled);
        let in_time = |entry: &Entry| {
            let stamp = reading.timestamp().filter(|_| !untimed && !entry.begins);
            stamp.is_none_or(|stamp| (wall(entry.at)..=wall(now)).contains(&stamp))
        };
        // A part of an array may be the same in the life before and in this one.
        let mut fitting = (floor..book.len()).filter(|&place| fits(&book[place]));
        let first = fitting.clone().next();
        if let Some(place) = fitting.find(|&place| in_time(&book[place])) {
            return Ok(place);
        }
        let what = match (first, reading.timestamp(), book.iter().rposition(fits)) {
            (Some(place), Some(stamp), _) => format!("of {} with stamp {stamp}", book[place].at),
            (_, _, Some(place)) => format!("at {now}: place {place}, when {floor} was known"),
            _ => format!("at {now}: which it never had"),
        };
        Err(format!("{} shows {value:?} {what}", channel.text))
    }

    /// An update that filters have let through is one of those that they should.
    fn passes(
        &self,
        channel: &Channel,
        before: Option<f64>,
        place: usize,
        value: f64,
    ) -> Result<(), String> {
        let step = match channel.sees {
            Sees::Every(n) => n,
            Sees::Beyond(band) => band + 1,
            Sees::Gated(set) => {
                let entry = &self.site.records.all[channel.record].book[place];
                if entry.gate != set {
                    return Err(format!(
                        "{} shows {value} of {}, when the state was {}",
                        channel.text, entry.at, entry.gate
                    ));
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (Some(before), step) = (before, f64::from(step)) else {
            return Ok(());
        };
        // A full queue in the server leaves some out.
        let wrong = match self.steady {
            true => value - before != step,
            false => value - before < step || (value - before) % step != 0.0,
        };
        if wrong {
            return Err(format!("{} shows {value} after {before}", channel.text));
        }
        Ok(())
    }

    fn answer(&self, asked: Asked, answer: &Answer) -> Result<(), String> {
        let records = &self.site.records;
        let text = match asked {
            Asked::Value { channel, .. } => &records.channels[channel].text,
            Asked::Written { target, .. } => &records.targets[target].text,
        };
        if !self.is_honest(text) {
            return Ok(());
        }
        match (asked, answer) {
            (Asked::Value { channel, floor }, Answer::Read(reading)) => {
                let value = Truth::of(reading.value());
                self.find(&records.channels[channel], &value, reading, floor)
                    .map(drop)
            }
            (Asked::Written { target, number }, Answer::Written) => {
                self.written(target, f64::from(number))
            }
            (Asked::Value { .. }, Answer::Written) | (Asked::Written { .. }, Answer::Read(_)) => {
                Err(format!("{text}: {asked:?} got {answer:?}"))
            }
            (_, Answer::Failed(status))
                if [
                    EcaStatus::PUTFAIL,
                    EcaStatus::GETFAIL,
                    EcaStatus::NOWTACCESS,
                ]
                .contains(status) =>
            {
                Err(format!("{text} refuses: {asked:?} got {answer:?}"))
            }
            _ => Ok(()),
        }
    }

    /// A put is complete: it was done, and what it set in motion has ended.
    fn written(&self, target: usize, number: f64) -> Result<(), String> {
        let records = &self.site.records;
        let target = &records.targets[target];
        let record = &records.all[target.record];
        if target.put != Put::Number {
            return Ok(());
        }
        let is = |entry: &&Entry| entry.value.number().to_bits() == number.to_bits();
        let lives_before = record.book.len() - record.life().len();
        if record.book[..lives_before].iter().any(|entry| is(&entry)) {
            // The answer was on its way when that life of the IOC ended.
            return Ok(());
        }
        if record.part == "head"
            && let Some(group) = record.group
        {
            records.chain_ended(record.ioc, group, number)?;
            return match self.calm {
                true => records.arrived(record.ioc, group, number),
                false => Ok(()),
            };
        }
        match record.life().iter().find(is) {
            Some(_) => Ok(()),
            None => Err(format!(
                "the put of {number} to {} is complete and was never done",
                target.text
            )),
        }
    }
}
