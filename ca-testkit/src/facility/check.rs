//! The promises that hold in a facility, checked after each step for the host that was touched.
//!
//! Numbers in brackets are those of the invariants in the design. A client's own checks (answers
//! once: 2, nothing after a cancel: 5, searches, rights) are in [`ClientHost`], time-outs (6) in
//! [`World`](crate::World).

use std::collections::BTreeMap;

use ca_proto::client::{ChannelState, Counts, Lifecycle, SubSpec, Token};
use ca_proto::dbr::{Family, NativeType, Reading};
use ca_proto::wire::message::EventMask;
use ca_proto::{EcaStatus, Instant};

use super::book::{Book, Entry, PvBook, PvIndex, first, hash};
use super::build::{Completes, HIGH_WATER, MAX_ARRAY, Server, Site, kind};
use crate::host::{Answer, ClientHost, News, UpdateLog, wall};
use crate::net::HostId;

/// Bytes of the largest message.
const MESSAGE: usize = MAX_ARRAY as usize + 24;
/// Bytes that a client may have waiting on one circuit (7): the high-water mark and one message.
const CLIENT_QUEUED: usize = (256 << 10) + MESSAGE;
/// Bytes that a server may have waiting on one circuit (7): the high-water mark, one message above
/// it, and the small replies to one read of requests.
const SERVER_QUEUED: usize = HIGH_WATER + 2 * MESSAGE + (64 << 10);
/// Bytes that a server's driver may hold of what a client sent: one read and one message.
const MAX_BACKLOG: usize = (64 << 10) + MESSAGE;

/// A subscription as the checker knows it.
#[derive(Debug)]
struct Sub {
    pv: PvIndex,
    spec: SubSpec,
    /// Place of the last value in the book.
    place: usize,
    /// First element of the last value shown since the last connect.
    shown: Option<f64>,
    connected: bool,
}

/// A read or a put that was accepted and not answered.
#[derive(Debug)]
struct Operation {
    pv: PvIndex,
    what: Asked,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// A value, at least as new as the one at this place.
    Value { floor: usize },
    /// That this number is written.
    Written { number: u32 },
}

/// What one client was promised.
#[derive(Debug, Default)]
struct User {
    subs: BTreeMap<Token, Sub>,
    operations: BTreeMap<Token, Operation>,
    /// The last put-notify of a PV that was completed.
    written: BTreeMap<PvIndex, Token>,
}

/// Everything that was promised and not kept yet.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    users: BTreeMap<HostId, User>,
    /// Some clock jumped: times of different hosts do not compare any more.
    pub clocks_differ: bool,
    pub updates: u64,
    pub answers: u64,
}

impl Checker {
    /// A client begins, or begins anew.
    pub(crate) fn begin(&mut self, user: HostId) {
        self.users.insert(user, User::default());
    }

    pub(crate) fn subscribed(&mut self, user: HostId, token: Token, pv: PvIndex, spec: SubSpec) {
        let sub = Sub {
            pv,
            spec,
            place: 0,
            shown: None,
            connected: false,
        };
        self.user(user).subs.insert(token, sub);
    }

    pub(crate) fn connected(&mut self, user: HostId, token: Token, connected: bool) {
        if let Some(sub) = self.user(user).subs.get_mut(&token) {
            sub.connected = connected;
        }
    }

    pub(crate) fn cancelled(&mut self, user: HostId, token: Token) {
        self.user(user).subs.remove(&token);
    }

    pub(crate) fn closed(&mut self, user: HostId, pv: PvIndex) {
        let user = self.user(user);
        user.subs.retain(|_, sub| sub.pv != pv);
        user.operations.retain(|_, op| op.pv != pv);
    }

    pub(crate) fn asked(&mut self, user: HostId, token: Token, pv: PvIndex, what: Asked) {
        self.user(user)
            .operations
            .insert(token, Operation { pv, what });
    }

    pub(crate) fn gave_up(&mut self, user: HostId, token: Token) {
        self.user(user).operations.remove(&token);
    }

    /// The subscriptions that a client has.
    pub(crate) fn subs(&self, user: HostId) -> impl Iterator<Item = Token> + '_ {
        let subs = self.users.get(&user).into_iter().flat_map(|u| &u.subs);
        subs.map(|(token, _)| *token)
    }

    fn user(&mut self, user: HostId) -> &mut User {
        self.users.entry(user).or_default()
    }

    /// Looks at what a client was told in the last step.
    pub(crate) fn news(&mut self, site: &Site, host: HostId, news: &[News]) -> Result<(), String> {
        let book = site.book.lock();
        let client = site.client(host);
        let user = self.users.entry(host).or_default();
        for item in news {
            match item {
                News::Update(token, update) => {
                    self.updates += 1;
                    let Some(sub) = user.subs.get_mut(token) else {
                        continue;
                    };
                    let context = Context {
                        site,
                        book: &book,
                        client,
                        clocks_differ: self.clocks_differ,
                    };
                    context.update(sub, update)?;
                }
                News::Lifecycle(token, change) => {
                    if let Some(sub) = user.subs.get_mut(token) {
                        sub.connected = *change == Lifecycle::Connected;
                        sub.shown = None;
                    }
                }
                News::Answer(token, answer) => {
                    self.answers += 1;
                    let Some(operation) = user.operations.remove(token) else {
                        return Err(format!("{token:?} was answered {answer:?}, unasked"));
                    };
                    let context = Context {
                        site,
                        book: &book,
                        client,
                        clocks_differ: self.clocks_differ,
                    };
                    context.answer(&operation, answer)?;
                    // A hostile server answers in any order.
                    let honest = matches!(context.server(operation.pv), Server::Honest);
                    if *answer == Answer::Written && honest {
                        let before = user.written.insert(operation.pv, *token);
                        if before.is_some_and(|before| before > *token) {
                            let name = &site.names[operation.pv].text;
                            return Err(format!(
                                "put {token:?} of {name} was completed after {before:?}"
                            ));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Bounds of one client's tables and queues (7).
    pub(crate) fn client_bounds(&self, site: &Site, host: HostId) -> Result<(), String> {
        let client = site.client(host);
        let queued = client.queued();
        if queued > CLIENT_QUEUED {
            return Err(format!("a client queues {queued} bytes"));
        }
        let counts = client.client().counts();
        let channels = client.names().count();
        if counts.channels != channels {
            return Err(format!(
                "{channels} channels are open, the core has {counts:?}"
            ));
        }
        let user = self.users.get(&host);
        let (subs, operations) = user.map_or((0, 0), |u| (u.subs.len(), u.operations.len()));
        if counts.subscriptions < subs || counts.operations < operations {
            return Err(format!(
                "{subs} subscriptions and {operations} operations live, the core has {counts:?}"
            ));
        }
        Ok(())
    }

    /// Bounds of one server's queues (7).
    pub(crate) fn server_bounds(site: &Site, host: HostId) -> Result<(), String> {
        let server = site.server(host);
        let (out, backlog) = server.queued();
        if out > SERVER_QUEUED || backlog > MAX_BACKLOG {
            return Err(format!("a server queues {out} and {backlog} bytes"));
        }
        let (circuits, streams) = (server.ioc().circuits().count(), server.streams());
        if circuits != streams {
            return Err(format!(
                "a server has {circuits} circuits, {streams} streams"
            ));
        }
        Ok(())
    }

    /// What is missing before the facility is whole again: every PV that is served connected, last
    /// values shown (3), everything answered (2).
    pub(crate) fn whole(&self, site: &Site) -> Result<(), String> {
        let book = site.book.lock();
        for host in site.users() {
            let client = site.client(host);
            let who = site.w.trace.name(host);
            for (pv, name) in site.names.iter().enumerate() {
                let Some(cid) = client.cid(&name.text) else {
                    continue;
                };
                let state = client.client().channel(cid).map(|channel| channel.state);
                let connection = match state {
                    Some(ChannelState::Connected(connection)) => Some(connection),
                    _ => None,
                };
                let name = &name.text;
                if connection.is_some() != site.serves(pv) {
                    let served = site.serves(pv);
                    return Err(format!("{who}: {name} is {state:?}, served: {served}"));
                }
                let Some(connection) = connection else {
                    continue;
                };
                if site.is_hostile(*connection.server.ip()) {
                    return Err(format!("{who}: {name} is still at {}", connection.server));
                }
                let rights = book.pv(pv).rights;
                if connection.rights != rights {
                    return Err(format!(
                        "{who}: {name} has {:?}, its server says {rights:?}",
                        connection.rights
                    ));
                }
                let last = book.pv(pv).last().map(|entry| entry.native);
                if last.is_some_and(|native| native != connection.native) {
                    return Err(format!(
                        "{who}: {name} has type {:?}, its server {last:?}",
                        connection.native
                    ));
                }
            }
            let Some(user) = self.users.get(&host) else {
                continue;
            };
            if let Some((token, operation)) = user.operations.first_key_value() {
                let name = &site.names[operation.pv].text;
                return Err(format!("{who}: {token:?} of {name} has no answer"));
            }
            for (token, sub) in &user.subs {
                self.shows_last(site, &book, sub)
                    .map_err(|what| format!("{who}, {token:?}: {what}"))?;
            }
        }
        Ok(())
    }

    fn shows_last(&self, site: &Site, book: &Book, sub: &Sub) -> Result<(), String> {
        let name = &site.names[sub.pv];
        if !site.serves(sub.pv) {
            return Ok(());
        }
        if !sub.connected {
            return Err(format!("the subscription to {} is disconnected", name.text));
        }
        // Alarms and properties do not change here: others see the first value only.
        if !sub.spec.mask.intersects(EventMask::VALUE | EventMask::LOG) {
            return match sub.shown {
                Some(_) => Ok(()),
                None => Err(format!("{} never showed a value", name.text)),
            };
        }
        let last = book.pv(sub.pv).last().map(|entry| entry.first);
        let behind = name.behind.and_then(|pv| book.pv(pv).last());
        let last = behind.map_or(last, |entry| Some(entry.first));
        if sub.shown.map(f64::to_bits) != last.map(f64::to_bits) {
            return Err(format!(
                "{} shows {:?}, its value is {last:?}",
                name.text, sub.shown
            ));
        }
        Ok(())
    }

    /// After every client has ended nothing is left of it, anywhere.
    pub(crate) fn ended(&self, site: &Site) -> Result<(), String> {
        for host in site.users() {
            let client = site.client(host);
            let who = site.w.trace.name(host);
            let counts = client.client().counts();
            if counts != Counts::default() || client.streams() > 0 {
                let streams = client.streams();
                return Err(format!("{who} has {counts:?} and {streams} streams left"));
            }
            if let Some(at) = client.client().poll_timeout() {
                return Err(format!("{who} still wants to be called at {at}"));
            }
        }
        for host in site.users().chain(site.servers()).chain(site.name_server) {
            let streams = site.w.net.open_streams(host);
            if streams > 0 {
                let who = site.w.trace.name(host);
                return Err(format!("{who} has {streams} streams left"));
            }
        }
        for host in site.servers() {
            let ioc = site.server(host).ioc();
            let who = site.w.trace.name(host);
            let counts = ioc.counts();
            if counts != ca_server_sim::Counts::default() {
                return Err(format!("{who} has {counts:?} left"));
            }
        }
        Ok(())
    }
}

struct Context<'a> {
    site: &'a Site,
    book: &'a Book,
    client: &'a ClientHost,
    clocks_differ: bool,
}

impl Context<'_> {
    fn now(&self) -> Instant {
        self.site.w.now()
    }

    /// Who sent what came on the channel of a PV just now.
    fn server(&self, pv: PvIndex) -> Server {
        self.site.server_of(self.client, &self.site.names[pv].text)
    }

    fn update(&self, sub: &mut Sub, update: &UpdateLog) -> Result<(), String> {
        let Some(reading) = &update.reading else {
            return Ok(());
        };
        let value = first(reading.value());
        sub.shown = Some(value);
        match self.server(sub.pv) {
            Server::Honest => {}
            Server::Hostile | Server::Unknown => return Ok(()),
        }
        let place = self.find(sub.pv, reading, sub.spec.count, sub.place)?;
        // A refresh may overtake updates that wait in the server: requests are answered beside its
        // event queue (`PROTOCOL.md`, facts verified on the wire). They follow it, in order.
        if !update.refresh {
            sub.place = place;
        }
        Ok(())
    }

    /// The place of a value in the book, from `floor` on (4): it was posted, all elements are as they
    /// were, it may be read, and its time stamp is that of its posting.
    fn find(
        &self,
        pv: PvIndex,
        reading: &Reading,
        asked: u32,
        floor: usize,
    ) -> Result<usize, String> {
        let name = &self.site.names[pv].text;
        let pv = self.book.pv(pv);
        let value = first(reading.value());
        if reading.native() == NativeType::String && !self.site.hostile.is_empty() {
            // What hostile hosts write is no whole number, and its text is not exact.
            return Ok(floor);
        }
        let places = pv.places(value);
        let fits = |place: &&u32| same(&pv.entries[**place as usize], reading, asked);
        let Some(place) = places
            .iter()
            .filter(|&&place| place as usize >= floor)
            .find(fits)
        else {
            let now = self.now();
            let what = match (places.iter().find(fits), places.first()) {
                (Some(place), _) => format!("place {place}, when {floor} was known"),
                (None, Some(place)) => {
                    let entry = pv.entries[*place as usize];
                    format!("not as it was posted: {entry:?}")
                }
                (None, None) => "never posted".to_owned(),
            };
            let (ty, count) = (reading.ty(), reading.count());
            return Err(format!(
                "{name} shows {value} ({ty:?} x {count}) at {now}: {what}"
            ));
        };
        let place = *place as usize;
        let entry = &pv.entries[place];
        self.readable(name, pv, entry)?;
        if let Some(stamp) = reading
            .timestamp()
            .filter(|_| reading.ty().family() == Some(Family::Time) && !self.clocks_differ)
            && !(wall(entry.at)..=wall(self.now())).contains(&stamp)
        {
            let at = entry.at;
            return Err(format!("{name} shows {value} of {at} with stamp {stamp}"));
        }
        Ok(place)
    }

    /// A value that was posted while nobody may read is not shown before somebody may again.
    fn readable(&self, name: &str, pv: &PvBook, entry: &Entry) -> Result<(), String> {
        if !pv.rights.can_read() && entry.at > pv.rights_since {
            return Err(format!(
                "{name} shows {} of {}, unreadable since {}",
                entry.first, entry.at, pv.rights_since
            ));
        }
        Ok(())
    }

    fn answer(&self, operation: &Operation, answer: &Answer) -> Result<(), String> {
        match self.server(operation.pv) {
            Server::Honest => {}
            Server::Hostile | Server::Unknown => return Ok(()),
        }
        let name = &self.site.names[operation.pv];
        match (operation.what, answer) {
            (Asked::Value { floor }, Answer::Read(reading)) => {
                self.find(operation.pv, reading, 0, floor).map(drop)
            }
            (Asked::Written { number }, Answer::Written) => {
                let pv = name.behind.unwrap_or(operation.pv);
                if name.behind.is_some() && !self.site.hostile.is_empty() {
                    // The gateway may have written to somebody else.
                    return Ok(());
                }
                let pv = self.book.pv(pv);
                let Some(place) = pv.places(f64::from(number)).last() else {
                    return Err(format!(
                        "the put of {number} to {} is complete and was never done",
                        name.text
                    ));
                };
                self.not_early(operation.pv, &pv.entries[*place as usize])
            }
            (Asked::Written { number }, Answer::Failed(status)) => {
                let refused = [EcaStatus::NOWTACCESS, EcaStatus::PUTFAIL].contains(status);
                let done = !self
                    .book
                    .pv(operation.pv)
                    .places(f64::from(number))
                    .is_empty();
                if refused && done && name.behind.is_none() {
                    return Err(format!(
                        "the put of {number} to {} was refused ({status:?}) and done",
                        name.text
                    ));
                }
                Ok(())
            }
            (Asked::Value { .. }, Answer::Written) | (Asked::Written { .. }, Answer::Read(_)) => {
                Err(format!("{}: {operation:?} got {answer:?}", name.text))
            }
            _ => Ok(()),
        }
    }

    /// A put with completion is not complete before its time.
    fn not_early(&self, pv: PvIndex, entry: &Entry) -> Result<(), String> {
        let name = &self.site.names[pv];
        let ioc = &self.site.iocs[name.ioc];
        if let Completes::After(time) = kind(name.n, ioc.other_types).completes
            && !self.clocks_differ
            && !self.site.finishing
            && entry.at + time > self.now()
        {
            return Err(format!(
                "the put of {} to {} at {} is complete at {}, too early",
                entry.first,
                name.text,
                entry.at,
                self.now()
            ));
        }
        Ok(())
    }
}

/// True if a reading shows this value: all elements if all were asked for, else those asked for,
/// with zeros after the last.
fn same(entry: &Entry, reading: &Reading, asked: u32) -> bool {
    let value = reading.value();
    if value.native != entry.native || value.native == NativeType::String {
        // Another type was asked for, or bytes after the end of a text may differ; the number is
        // compared by its place.
        return true;
    }
    let held = value.held();
    if held < entry.count {
        return asked > 0 && held == asked;
    }
    if asked == 0 && held != entry.count {
        return false;
    }
    let size = value.native.size();
    let rest = &value.data[entry.count as usize * size..held as usize * size];
    hash(value, entry.count) == entry.hash && rest.iter().all(|&byte| byte == 0)
}
