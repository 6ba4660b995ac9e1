//! A client of `ca-proto` on a host, with everything that was delivered to it.

mod drive;
mod log;
mod watch;

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ca_proto::Instant;
use ca_proto::client::{ChannelState, Client, Event, OpError, ReadSpec, SubSpec, Token, Violation};
use ca_proto::config::ClientParams;
use ca_proto::dbr::{DbrType, Value};
use ca_proto::ids::{Cid, CircuitId, Ioid, SlotKey as _};
use ca_proto::wire::PvName;

pub use self::log::{Answer, News, SubLog, UpdateLog};

use self::drive::Stream;
use self::log::{Log, OpLog};
use super::HostOutput;
use super::reader::SlowReader;
use crate::net::ConnId;

/// The production client core on a host, driven as `ca-net` drives it.
#[derive(Debug)]
pub struct ClientHost {
    client: Client,
    params: Arc<ClientParams>,
    port: u16,
    name: String,
    streams: BTreeMap<CircuitId, Stream>,
    ready: VecDeque<CircuitId>,
    log: Log,
    channels: BTreeMap<String, Cid>,
    events: Vec<(Instant, Event)>,
    violations: Vec<(Instant, Violation)>,
    output: VecDeque<HostOutput>,
    next_token: u64,
    datagram: Vec<u8>,
    spoken: Vec<Cid>,
    /// Hosts that posed as servers below 4.1.
    old: BTreeSet<Ipv4Addr>,
    /// When hosts last said by a beacon that they are there.
    beacons: BTreeMap<Ipv4Addr, Instant>,
    start: Instant,
    /// When the clock was last seen to have jumped.
    late: Option<Instant>,
    /// Lost channels, and until when they are not searched.
    held: BTreeMap<Cid, Instant>,
    /// Those of them that may be searched at once, and channels that were.
    excused: BTreeSet<Cid>,
    retried: BTreeSet<Cid>,
}

impl ClientHost {
    /// A client that sends and receives its datagrams at `port`.
    pub fn new(params: ClientParams, port: u16, now: Instant) -> Self {
        let params = Arc::new(params);
        Self {
            client: Client::new(Arc::clone(&params), now),
            params,
            port,
            name: format!("client {port}"),
            streams: BTreeMap::new(),
            ready: VecDeque::new(),
            log: Log::default(),
            channels: BTreeMap::new(),
            events: Vec::new(),
            violations: Vec::new(),
            output: VecDeque::from([HostOutput::Bind { port }]),
            next_token: 1,
            datagram: Vec::new(),
            spoken: Vec::new(),
            old: BTreeSet::new(),
            beacons: BTreeMap::new(),
            start: now,
            late: None,
            held: BTreeMap::new(),
            excused: BTreeSet::new(),
            retried: BTreeSet::new(),
        }
    }

    /// The same host, which keeps what is delivered only until [`news`](Self::news) takes it: for
    /// long runs.
    #[must_use]
    pub fn observed(mut self) -> Self {
        self.log.news = Some(Vec::new());
        self
    }

    /// Takes what was delivered since this was last called, in order; `into` is emptied first.
    pub fn news(&mut self, into: &mut Vec<News>) {
        into.clear();
        if let Some(news) = &mut self.log.news {
            std::mem::swap(news, into);
        }
    }

    /// Takes the core's events, oldest first.
    pub fn take_events(&mut self) -> Vec<(Instant, Event)> {
        std::mem::take(&mut self.events)
    }

    /// Stops or resumes reading from all streams that are open, as a user who is busy with other
    /// things does.
    pub fn set_reading(&mut self, enabled: bool) {
        let conns = self.streams.keys().map(|c| ConnId(u64::from(c.raw())));
        self.output
            .extend(conns.map(|conn| HostOutput::Read { conn, enabled }));
    }

    /// The state machine.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The channel of a name, opened when there is none yet.
    ///
    /// # Panics
    /// If the name is not a PV name or the table of channels is full.
    pub fn open(&mut self, now: Instant, name: &str) -> Cid {
        if let Some(&cid) = self.channels.get(name) {
            return cid;
        }
        let pv = PvName::new(name).expect("tests use valid names");
        let cid = self.client.open_channel(now, pv, 0);
        let cid = cid.expect("tests open fewer channels than the limit");
        self.channels.insert(name.to_owned(), cid);
        cid
    }

    /// The channel of a name, if it is open.
    pub fn cid(&self, name: &str) -> Option<Cid> {
        self.channels.get(name).copied()
    }

    /// Names of the open channels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }

    /// Closes a channel; its subscriptions end with it.
    pub fn close(&mut self, now: Instant, name: &str) {
        if let Some(cid) = self.channels.remove(name) {
            self.client.close_channel(now, cid);
            let subs = self.log.subs.iter_mut();
            let ended = subs.filter(|(_, sub)| sub.name == name && !sub.cancelled);
            let ended = ended.map(|(token, sub)| {
                sub.cancelled = true;
                *token
            });
            for token in ended.collect::<Vec<_>>() {
                self.log.finish(token);
            }
            // Pending operations end silently with their channel.
            for op in self.log.answers.values_mut() {
                op.cancelled |= op.name == name && op.answers.is_empty();
            }
        }
    }

    /// True if the channel is open and connected.
    pub fn is_connected(&self, name: &str) -> bool {
        self.cid(name)
            .and_then(|cid| self.client.channel(cid))
            .is_some_and(|channel| matches!(channel.state, ChannelState::Connected(_)))
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Subscribes, opening the channel if need be.
    ///
    /// # Errors
    /// Those of the core.
    pub fn subscribe(&mut self, now: Instant, name: &str, spec: SubSpec) -> Result<Token, OpError> {
        let cid = self.open(now, name);
        let token = self.token();
        let subid = self.client.subscribe(now, cid, spec, token)?;
        let log = SubLog {
            name: name.to_owned(),
            subid,
            spec,
            updates: Vec::new(),
            lifecycle: Vec::new(),
            connected_from: 0,
            cancelled: false,
        };
        self.log.subs.insert(token, log);
        self.log.readers.insert(token, SlowReader::new(token.0));
        Ok(token)
    }

    /// Cancels a subscription.
    pub fn unsubscribe(&mut self, now: Instant, token: Token) {
        if let Some(sub) = self.log.subs.get_mut(&token)
            && !sub.cancelled
        {
            sub.cancelled = true;
            self.client.unsubscribe(now, sub.subid);
            self.log.finish(token);
        }
    }

    fn accepted(&mut self, name: &str, token: Token, ioid: Ioid) -> Token {
        let op = OpLog {
            ioid,
            name: name.to_owned(),
            cancelled: false,
            answers: Vec::new(),
        };
        self.log.answers.insert(token, op);
        token
    }

    /// Reads once, opening the channel if need be.
    ///
    /// # Errors
    /// Those of the core, for example that the channel is not connected.
    pub fn read(&mut self, now: Instant, name: &str, spec: ReadSpec) -> Result<Token, OpError> {
        let cid = self.open(now, name);
        let token = self.token();
        let ioid = self.client.read(now, cid, spec, token, None)?;
        Ok(self.accepted(name, token, ioid))
    }

    /// Writes with completion.
    ///
    /// # Errors
    /// Those of the core.
    pub fn write_notify(
        &mut self,
        now: Instant,
        name: &str,
        value: &Value,
    ) -> Result<Token, OpError> {
        let cid = self.open(now, name);
        let token = self.token();
        let ty = DbrType(value.native() as u16);
        let ioid = self.client.write_notify(now, cid, ty, value, token, None)?;
        Ok(self.accepted(name, token, ioid))
    }

    /// Writes without an answer.
    ///
    /// # Errors
    /// Those of the core.
    pub fn write(&mut self, now: Instant, name: &str, value: &Value) -> Result<(), OpError> {
        let cid = self.open(now, name);
        self.client
            .write(now, cid, DbrType(value.native() as u16), value)
    }

    /// Gives up waiting for an answer.
    pub fn cancel(&mut self, token: Token) {
        if let Some(op) = self.log.answers.get_mut(&token)
            && op.answers.is_empty()
        {
            op.cancelled = true;
            self.client.cancel(op.ioid);
        }
    }

    /// Closes everything.
    pub fn shutdown(&mut self, now: Instant) {
        let names: Vec<String> = self.channels.keys().cloned().collect();
        for name in names {
            self.close(now, &name);
        }
        self.client.shutdown(now);
    }

    /// The answer of an operation, if it has come.
    pub fn answer(&self, token: Token) -> Option<&Answer> {
        let op = self.log.answers.get(&token)?;
        op.answers.first().map(|(_, answer)| answer)
    }

    /// Operations that are accepted, not cancelled and not answered.
    pub fn unanswered(&self) -> impl Iterator<Item = (Token, &str)> {
        let open = |op: &&OpLog| !op.cancelled && op.answers.is_empty();
        self.log
            .answers
            .iter()
            .map(|(token, op)| (*token, op))
            .filter(move |(_, op)| open(op))
            .map(|(token, op)| (token, op.name.as_str()))
    }

    /// What was delivered to a subscription.
    ///
    /// # Panics
    /// If the token is not that of a subscription.
    pub fn sub(&self, token: Token) -> &SubLog {
        &self.log.subs[&token]
    }

    /// All subscriptions ever made, cancelled ones included.
    pub fn subs(&self) -> impl Iterator<Item = (Token, &SubLog)> {
        self.log.subs.iter().map(|(token, sub)| (*token, sub))
    }

    /// The core's events in order.
    pub fn events(&self) -> &[(Instant, Event)] {
        &self.events
    }

    /// What servers did wrong.
    pub fn violations(&self) -> &[(Instant, Violation)] {
        &self.violations
    }

    /// Circuits with a stream, half-closed ones included.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Largest number of bytes that wait to be sent on one circuit.
    pub fn queued(&self) -> usize {
        self.streams
            .values()
            .map(|stream| stream.queue.len())
            .max()
            .unwrap_or(0)
    }
}
