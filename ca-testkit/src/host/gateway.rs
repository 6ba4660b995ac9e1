//! A gateway: an IOC to one side, a client to the other, both the production cores.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use ca_proto::access::AccessRights;
use ca_proto::client::{ChannelState, Event, Lifecycle, SubSpec, Token, TypeSpec};
use ca_proto::dbr::{Family, NativeType, Value};
use ca_proto::wire::message::EventMask;
use ca_proto::{EcaStatus, Instant};
use ca_server_sim::{PutDecision, PvSpec};

use super::{Answer, ClientHost, Host, HostInput, HostOutput, IocHost, News};

/// First number of accepted streams; those below were dialled.
const ACCEPTED_FROM: u64 = 1 << 32;
/// Puts that wait to be passed on; further ones fail.
const MAX_PUTS: usize = 256;

/// What the gateway shows to its clients, for whoever keeps books.
#[derive(Clone, PartialEq, Debug)]
pub enum Shown {
    /// A PV has this value.
    Value(usize, Value),
    /// A PV has these rights.
    Rights(usize, AccessRights),
}

type Puts = Arc<Mutex<VecDeque<(usize, Value)>>>;

#[derive(Debug)]
struct Name {
    up: String,
    down: String,
    sub: Token,
    /// The PV exists on our side.
    served: bool,
    /// Its type there.
    native: NativeType,
    rights: AccessRights,
}

/// Serves the PVs of other IOCs under names of its own.
///
/// A PV exists on its side while the channel to the IOC is connected, with the IOC's type, count,
/// rights and values. A put is passed on as a put with completion and answered when the IOC has
/// answered; the value changes when the IOC says so.
#[derive(Debug)]
pub struct GatewayHost {
    server: IocHost,
    client: ClientHost,
    client_port: u16,
    names: Vec<Name>,
    by_token: BTreeMap<Token, usize>,
    puts: Puts,
    /// Puts that the IOC has not answered.
    pending: BTreeMap<Token, usize>,
    news: Vec<News>,
    seen: Vec<News>,
    shown: Vec<Shown>,
}

impl GatewayHost {
    /// A gateway of a server without PVs and a client that was told to be
    /// [observed](ClientHost::observed), for names `(of the IOC, of the gateway)`.
    ///
    /// # Panics
    /// If the client refuses to subscribe to one of the names.
    pub fn new(
        server: IocHost,
        client: ClientHost,
        client_port: u16,
        names: Vec<(String, String)>,
        now: Instant,
    ) -> Self {
        let mut this = Self {
            server,
            client,
            client_port,
            names: Vec::new(),
            by_token: BTreeMap::new(),
            puts: Puts::default(),
            pending: BTreeMap::new(),
            news: Vec::new(),
            seen: Vec::new(),
            shown: Vec::new(),
        };
        for (up, down) in names {
            let spec = SubSpec {
                ty: TypeSpec::Family(Family::Time),
                count: 0,
                mask: EventMask::VALUE | EventMask::ALARM,
            };
            let sub = this.client.subscribe(now, &up, spec);
            let sub = sub.expect("a gateway has few names");
            this.by_token.insert(sub, this.names.len());
            this.names.push(Name {
                up,
                down,
                sub,
                served: false,
                native: NativeType::Double,
                rights: AccessRights::NONE,
            });
        }
        this
    }

    /// The side that is a client.
    pub const fn client(&self) -> &ClientHost {
        &self.client
    }

    /// The side that is a client, to look at its news: nothing that makes it act.
    pub const fn client_mut(&mut self) -> &mut ClientHost {
        &mut self.client
    }

    /// The side that is a server.
    pub const fn server(&self) -> &IocHost {
        &self.server
    }

    /// The side that is a server.
    pub const fn server_mut(&mut self) -> &mut IocHost {
        &mut self.server
    }

    /// Name on our side, name at the IOC, and the subscription.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str, Token)> {
        self.names
            .iter()
            .map(|name| (name.down.as_str(), name.up.as_str(), name.sub))
    }

    /// True if the PV exists on our side.
    pub fn serves(&self, down: &str) -> bool {
        self.names
            .iter()
            .any(|name| name.down == down && name.served)
    }

    /// Takes what the client side was told, and what the server side shows since the last call.
    pub fn take(&mut self, news: &mut Vec<News>, shown: &mut Vec<Shown>) {
        news.clear();
        shown.clear();
        std::mem::swap(news, &mut self.seen);
        std::mem::swap(shown, &mut self.shown);
    }

    /// Ends the client side.
    pub fn shutdown(&mut self, now: Instant) {
        self.client.shutdown(now);
    }

    fn unserve(&mut self, now: Instant, index: usize) {
        let name = &mut self.names[index];
        if std::mem::take(&mut name.served) {
            self.server.with(|ioc| ioc.remove(now, name.down.as_str()));
        }
    }

    fn show(&mut self, now: Instant, index: usize, value: Value) {
        if self.names[index].native != value.native() {
            // A broken server may change the type without a disconnect.
            self.unserve(now, index);
        }
        let name = &mut self.names[index];
        let native = value.native();
        // The book is told first: clients may see the value as soon as it is posted.
        self.shown.push(Shown::Value(index, value.clone()));
        let down = name.down.as_str();
        if !name.served {
            let puts = Arc::clone(&self.puts);
            let capacity = connection(&self.client, &name.up).map_or(1, |(_, count)| count);
            let spec = PvSpec::value(value);
            let spec = if capacity > 1 {
                spec.capacity(capacity)
            } else {
                spec
            };
            let spec = spec
                .rights(name.rights)
                .completes_never()
                .on_put(move |put| {
                    let mut puts = puts.lock().unwrap_or_else(PoisonError::into_inner);
                    if puts.len() >= MAX_PUTS {
                        return PutDecision::Reject(EcaStatus::PUTFAIL);
                    }
                    puts.push_back((index, put.value.clone()));
                    PutDecision::Replace(put.before.value.clone())
                });
            let added = self.server.with(|ioc| ioc.add(now, down, spec));
            name.served = added.is_ok();
            name.native = native;
        } else if self.server.with(|ioc| ioc.post(now, down, value)).is_err() {
            // It has another type than the channel had: the PV comes anew with the next value.
            self.unserve(now, index);
        }
    }

    fn set_rights(&mut self, now: Instant, index: usize) {
        let name = &mut self.names[index];
        let rights = self
            .client
            .cid(&name.up)
            .and_then(|cid| self.client.client().channel(cid))
            .and_then(|channel| channel.connection().map(|c| c.rights));
        let rights = rights.unwrap_or(AccessRights::NONE);
        if name.rights != rights {
            name.rights = rights;
            self.shown.push(Shown::Rights(index, rights));
            if name.served {
                // The PV exists, so this cannot fail.
                let _ = self
                    .server
                    .with(|ioc| ioc.set_rights(now, name.down.as_str(), rights));
            }
        }
    }

    fn answered(&mut self, now: Instant, token: Token, answer: &Answer) {
        let Some(index) = self.pending.remove(&token) else {
            return;
        };
        // The client may be gone; then the PV is busy with the next put, whose answer is awaited.
        let mut younger = self.pending.range(token..);
        let puts = self.puts.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = puts.iter().any(|&(next, _)| next == index);
        drop(puts);
        if waits || younger.any(|(_, &next)| next == index) {
            return;
        }
        let status = match answer {
            Answer::Written => EcaStatus::NORMAL,
            Answer::Failed(status) => *status,
            _ => EcaStatus::PUTFAIL,
        };
        self.finish(now, index, status);
    }

    fn finish(&mut self, now: Instant, index: usize, status: EcaStatus) {
        let name = &self.names[index];
        if name.served {
            // The PV exists, so this cannot fail.
            let _ = self
                .server
                .with(|ioc| ioc.finish_put(now, name.down.as_str(), status));
        }
    }

    /// Passes on what one side has for the other; true if there was anything.
    fn pump(&mut self, now: Instant) -> bool {
        let mut any = false;
        for (_, event) in self.client.take_events() {
            let (Event::AccessRights { cid, .. } | Event::Connected { cid }) = event else {
                continue;
            };
            let changed = (0..self.names.len())
                .find(|&index| self.client.cid(&self.names[index].up) == Some(cid));
            if let Some(index) = changed {
                self.set_rights(now, index);
                any = true;
            }
        }
        let mut news = std::mem::take(&mut self.news);
        self.client.news(&mut news);
        any |= !news.is_empty();
        for item in &news {
            match item {
                News::Update(token, update) => {
                    if let (Some(reading), Some(&index)) =
                        (&update.reading, self.by_token.get(token))
                    {
                        self.show(now, index, reading.to_value());
                    }
                }
                News::Lifecycle(token, Lifecycle::Disconnected) => {
                    if let Some(&index) = self.by_token.get(token) {
                        self.unserve(now, index);
                    }
                }
                News::Lifecycle(_, Lifecycle::Connected) => {}
                News::Answer(token, answer) => self.answered(now, *token, answer),
            }
        }
        self.seen.append(&mut news);
        self.news = news;
        let puts = {
            let mut puts = self.puts.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *puts)
        };
        for (index, value) in puts {
            any = true;
            let up = self.names[index].up.clone();
            match self.client.write_notify(now, &up, &value) {
                Ok(token) => {
                    self.pending.insert(token, index);
                }
                Err(_) => self.finish(now, index, EcaStatus::PUTFAIL),
            }
        }
        any
    }
}

/// Whether the channel of a name is connected, and its number of elements.
fn connection(client: &ClientHost, name: &str) -> Option<(bool, u32)> {
    let channel = client.client().channel(client.cid(name)?)?;
    match channel.state {
        ChannelState::Connected(c) => Some((true, c.count)),
        ChannelState::Unresponsive(c) => Some((false, c.count)),
        _ => None,
    }
}

impl Host for GatewayHost {
    fn handle(&mut self, now: Instant, input: HostInput<'_>) {
        let to_client = match input {
            HostInput::Datagram { port, .. } => port == self.client_port,
            HostInput::Unowned { .. } => return,
            HostInput::Accepted { conn, .. }
            | HostInput::Connected { conn, .. }
            | HostInput::Data { conn, .. }
            | HostInput::Writable { conn, .. }
            | HostInput::Closed { conn, .. } => conn.0 < ACCEPTED_FROM,
        };
        if to_client {
            self.client.handle(now, input);
        } else {
            self.server.handle(now, input);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<HostOutput> {
        loop {
            let output = self.client.poll_output(now);
            if let Some(output) = output.or_else(|| self.server.poll_output(now)) {
                return Some(output);
            }
            if !self.pump(now) {
                return None;
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let both = [self.client.poll_timeout(), self.server.poll_timeout()];
        both.into_iter().flatten().min()
    }

    fn complaint(&mut self) -> Option<String> {
        self.client.complaint().or_else(|| self.server.complaint())
    }
}
