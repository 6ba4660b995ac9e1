//! A client of `ca-proto` on a host, with everything that was delivered to it.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ca_proto::client::{
    Action, ChannelState, Client, CloseReason, Deliver, Destination, Event, Hangup, Lifecycle,
    More, OpError, ReadSpec, Reply, SubSpec, Token, Trouble, Update, Violation,
};
use ca_proto::config::ClientParams;
use ca_proto::dbr::{DbrType, Reading, Value};
use ca_proto::ids::{Cid, CircuitId, Ioid, SlotKey as _, SubId};
use ca_proto::wire::{Command, Deframer, Limits, Minor, PvName, SendQueue, datagram_frames, udp};
use ca_proto::{EcaStatus, Instant};

use super::reader::SlowReader;
use super::{CloseKind, Host, HostInput, HostOutput};
use crate::net::ConnId;

/// How a read or put-notify ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The value that was read.
    Read(Reading),
    /// A put-notify is complete.
    Written,
    /// The server, or the type conversion, refused.
    Failed(EcaStatus),
    /// The circuit was lost before the answer.
    Disconnected,
    /// The deadline passed.
    TimedOut,
}

/// One update of a subscription.
#[derive(Clone, PartialEq, Debug)]
pub struct UpdateLog {
    /// When it was delivered.
    pub at: Instant,
    /// Its status; without `NORMAL` there is no data.
    pub status: EcaStatus,
    /// The value.
    pub reading: Option<Reading>,
    /// It is the answer to the read that refreshes a subscription after an unresponsive period.
    pub refresh: bool,
}

/// Everything delivered to one subscription.
#[derive(Clone, PartialEq, Debug)]
pub struct SubLog {
    /// Name of the PV.
    pub name: String,
    /// The core's identifier, while it lives.
    pub subid: SubId,
    /// What was asked for.
    pub spec: SubSpec,
    /// Updates in order of delivery.
    pub updates: Vec<UpdateLog>,
    /// Connects and disconnects.
    pub lifecycle: Vec<(Instant, Lifecycle)>,
    /// Index of the first update since the last connect.
    pub connected_from: usize,
    /// Cancelled by the user.
    pub cancelled: bool,
}

/// One thing that an observed client delivered to its user.
#[derive(Clone, PartialEq, Debug)]
pub enum News {
    /// An update of a subscription.
    Update(Token, UpdateLog),
    /// The answer to a read or put-notify.
    Answer(Token, Answer),
    /// A subscription was connected or disconnected.
    Lifecycle(Token, Lifecycle),
}

#[derive(Debug, Default)]
struct Log {
    now: Instant,
    /// What was delivered since somebody looked, for observed clients.
    news: Option<Vec<News>>,
    subs: BTreeMap<Token, SubLog>,
    /// Who reads them, until they end.
    readers: BTreeMap<Token, SlowReader>,
    /// Per accepted operation: the PV, the id, and the answers, of which there must be one.
    answers: BTreeMap<Token, OpLog>,
    complaint: Option<String>,
}

#[derive(Debug)]
struct OpLog {
    ioid: Ioid,
    name: String,
    cancelled: bool,
    answers: Vec<(Instant, Answer)>,
}

impl Log {
    fn complain(&mut self, what: String) {
        self.complaint.get_or_insert(what);
    }

    /// The reader of a subscription reads to the end.
    fn finish(&mut self, token: Token) {
        if let Some(Err(what)) = self.readers.remove(&token).map(|mut r| r.finish()) {
            self.complain(format!("{token:?}: {what}"));
        }
    }
}

impl Deliver for Log {
    fn update(&mut self, token: Token, update: Update<'_>) {
        let now = self.now;
        let Some(sub) = self.subs.get_mut(&token) else {
            self.complain(format!("an update for {token:?}, which nobody asked for"));
            return;
        };
        let reading = (update.status == EcaStatus::NORMAL)
            .then(|| Reading::from_frame(update.ty, update.count, update.frame));
        let reading = match reading.transpose() {
            Ok(reading) => reading,
            Err(error) => {
                let what = format!("an update of {} that cannot be read: {error}", sub.name);
                self.complain(what);
                return;
            }
        };
        let log = UpdateLog {
            at: now,
            status: update.status,
            reading,
            refresh: update.frame.header.command == Command::READ_NOTIFY,
        };
        match &mut self.news {
            Some(news) => news.push(News::Update(token, log)),
            None => sub.updates.push(log),
        }
        if sub.cancelled {
            let what = format!("an update of {} after its cancel", sub.name);
            self.complain(what);
        }
        if let Some(Err(what)) = self.readers.get_mut(&token).map(SlowReader::update) {
            self.complain(format!("{token:?}: {what}"));
        }
    }

    fn reply(&mut self, token: Token, reply: Reply<'_>) {
        let now = self.now;
        let Some(op) = self.answers.get_mut(&token) else {
            self.complain(format!("an answer for {token:?}, which nobody asked for"));
            return;
        };
        let answer = match reply {
            Reply::Read { ty, count, frame } => match Reading::from_frame(ty, count, frame) {
                Ok(reading) => Answer::Read(reading),
                Err(error) => {
                    let what = format!("an answer for {} that cannot be read: {error}", op.name);
                    self.complain(what);
                    return;
                }
            },
            Reply::Written => Answer::Written,
            Reply::Failed(status) => Answer::Failed(status),
            Reply::Disconnected => Answer::Disconnected,
            Reply::TimedOut => Answer::TimedOut,
            other => {
                self.complain(format!("an answer of an unknown kind: {other:?}"));
                return;
            }
        };
        if let Some(news) = &mut self.news {
            news.push(News::Answer(token, answer.clone()));
        }
        op.answers.push((now, answer));
        if op.answers.len() > 1 || op.cancelled {
            let what = format!(
                "{token:?} on {} was answered {:?} (cancelled: {})",
                op.name, op.answers, op.cancelled
            );
            self.complain(what);
            return;
        }
        if self.news.is_some() {
            // A second answer is one that nobody asked for.
            self.answers.remove(&token);
        }
    }

    fn lifecycle(&mut self, token: Token, change: Lifecycle) {
        let now = self.now;
        let Some(sub) = self.subs.get_mut(&token) else {
            self.complain(format!(
                "a {change:?} for {token:?}, which nobody asked for"
            ));
            return;
        };
        if sub
            .lifecycle
            .last()
            .is_some_and(|(_, last)| *last == change)
        {
            let what = format!("{} was told {change:?} twice", sub.name);
            self.complaint.get_or_insert(what);
        }
        if change == Lifecycle::Connected {
            sub.connected_from = sub.updates.len();
        }
        sub.lifecycle.push((now, change));
        if let Some(reader) = self.readers.get_mut(&token) {
            reader.mark(change);
        }
        if let Some(news) = &mut self.news {
            news.push(News::Lifecycle(token, change));
        }
    }
}

#[derive(Debug)]
struct Stream {
    deframer: Deframer,
    /// Reads along, to compare the core's view with the server's words.
    tap: Deframer,
    /// Reads along what is sent: a channel that is created anew has heard nothing yet.
    out_tap: Deframer,
    rights: BTreeMap<Cid, u32>,
    /// The server has posed as one below 4.1.
    old: bool,
    open: bool,
    window: usize,
    queue: SendQueue,
    closing: Closing,
}

/// How far the end of a stream that the core gave up has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Closing {
    No,
    /// The rest is being sent, then the own side is shut down.
    Flushing,
    /// Waiting for the server's end of stream, until then.
    Lingering(Instant),
}

/// How long the server has to end a stream that we shut down.
const LINGER: Duration = Duration::from_secs(5);

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

    fn circuit(conn: ConnId) -> CircuitId {
        // The host numbers its streams by circuit.
        CircuitId::from_raw(conn.0 as u32)
    }

    fn handle_data(&mut self, now: Instant, circuit: CircuitId, data: &[u8], full: bool) {
        let Some(stream) = self.streams.get_mut(&circuit) else {
            return;
        };
        let mut frames = stream.tap.frames(data);
        // Channels whose rights may be others after this chunk.
        let mut spoken = std::mem::take(&mut self.spoken);
        spoken.clear();
        while let Some(frame) = frames.next() {
            let Ok(frame) = frame else { continue };
            match frame.header.command {
                Command::ACCESS_RIGHTS => {
                    stream.rights.insert(Cid(frame.header.p1), frame.header.p2);
                    spoken.push(Cid(frame.header.p1));
                }
                Command::CREATE_CHAN => spoken.push(Cid(frame.header.p1)),
                Command::VERSION => {
                    let minor = Minor(frame.header.count as u16);
                    stream.old |= !minor.has_status_in_replies();
                }
                _ => {}
            }
        }
        let more = if full { More::Maybe } else { More::Drained };
        stream.deframer.set_limits(self.client.limits(circuit));
        let result = self.client.handle_chunk(
            now,
            circuit,
            &mut stream.deframer,
            data,
            more,
            &mut self.log,
        );
        if let Err(violation) = result {
            let conn = ConnId(u64::from(circuit.raw()));
            self.streams.remove(&circuit);
            self.output.push_back(HostOutput::Abort { conn });
            self.violations.push((now, violation));
            let why = CloseReason::Violation;
            self.client.handle_closed(now, circuit, why, &mut self.log);
        }
        self.check_rights(circuit, &spoken);
        self.spoken = spoken;
    }

    /// Rights are never wider than the server's last word.
    fn check_rights(&mut self, circuit: CircuitId, cids: &[Cid]) {
        let Some(stream) = self.streams.get(&circuit) else {
            return;
        };
        for &cid in cids {
            let Some(channel) = self.client.channel(cid) else {
                continue;
            };
            let ChannelState::Connected(connection) = channel.state else {
                continue;
            };
            // What servers below 4.1 say does not count (`client-and-tools` 5.2).
            if connection.circuit != circuit || stream.old {
                continue;
            }
            // Until the server has spoken a channel has all rights (`client-and-tools` 5.2).
            let said = stream.rights.get(&cid).copied().unwrap_or(3);
            let held = connection.rights.bits();
            if held & !said != 0 {
                let name = String::from_utf8_lossy(channel.name.as_bytes()).into_owned();
                self.log.complain(format!(
                    "{name} has rights {held:#b}, its server said {said:#b}"
                ));
                return;
            }
        }
    }

    /// A channel that is lost is not searched before the next tick of the governor, a timer that runs
    /// from the start of the client (`client-and-tools` 2.4). One that never was created on a circuit
    /// that had been connected may be searched at once, once between two connections (PROTOCOL C25).
    fn hold(&mut self, now: Instant, event: &Event) {
        if self.late == Some(now) {
            // After a jump of the clock a tick that has passed counts as the next one.
            return;
        }
        match *event {
            Event::Disconnected { cid, .. } | Event::NotConnected { cid, .. } => {
                let tick = self.params.reconnect_delay.as_nanos().max(1) as u64;
                let since = (now - self.start).as_nanos() as u64;
                let until = self.start + Duration::from_nanos(since.next_multiple_of(tick));
                self.held.insert(cid, until);
                let dial = [CloseReason::DialFailed, CloseReason::DialTimeout];
                let excused = matches!(*event, Event::NotConnected {
                    why: Trouble::Circuit(why), ..
                } if !dial.contains(&why));
                if excused {
                    self.excused.insert(cid);
                } else {
                    self.excused.remove(&cid);
                }
            }
            Event::Connected { cid } => {
                self.held.remove(&cid);
                self.retried.remove(&cid);
            }
            _ => {}
        }
    }

    /// Notes that the clock has jumped over what was to be done.
    fn note_late(&mut self, now: Instant) {
        if self.client.poll_timeout().is_some_and(|at| at < now) {
            self.late = Some(now);
        }
    }

    /// Remembers servers that are said to be older than 4.1.
    fn note_old(&mut self, from: SocketAddrV4, data: &[u8]) {
        for frame in datagram_frames(data).flatten() {
            if let Ok(udp::Response::Search { server, minor, .. }) = udp::Response::parse(&frame)
                && !minor.has_status_in_replies()
            {
                self.old.extend([server, *from.ip()]);
            }
        }
    }

    /// A connected channel is in no search list.
    fn check_search(&mut self, now: Instant) {
        for frame in datagram_frames(&self.datagram).flatten() {
            let Ok(udp::Request::Search { cid, name, .. }) = udp::Request::parse(&frame) else {
                continue;
            };
            let early = self.held.get(&cid).is_some_and(|&until| now < until);
            if early && self.excused.remove(&cid) && self.retried.insert(cid) {
                self.held.remove(&cid);
            } else if early {
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                let what = format!("{name} was lost and is searched before its pause is over");
                self.log.complaint.get_or_insert(what);
            }
            let state = self.client.channel(cid).map(|channel| channel.state);
            if state != Some(ChannelState::Searching) {
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                let what = format!("{name} is searched for while its channel is {state:?}");
                self.log.complaint.get_or_insert(what);
            }
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Dial { circuit, addr } => {
                let limits = self.client.limits(circuit);
                let tap = Limits {
                    max_payload: u32::MAX,
                    extended: true,
                };
                let stream = Stream {
                    deframer: Deframer::new(limits),
                    tap: Deframer::new(tap),
                    out_tap: Deframer::new(tap),
                    rights: BTreeMap::new(),
                    old: self.old.contains(addr.ip()),
                    open: false,
                    window: 0,
                    queue: SendQueue::new(),
                    closing: Closing::No,
                };
                self.streams.insert(circuit, stream);
                let conn = ConnId(u64::from(circuit.raw()));
                self.output.push_back(HostOutput::Dial { conn, to: addr });
            }
            Action::Hangup { circuit, how } => {
                let conn = ConnId(u64::from(circuit.raw()));
                let Some(stream) = self.streams.get_mut(&circuit) else {
                    return;
                };
                if how == Hangup::Orderly && stream.open {
                    stream.closing = Closing::Flushing;
                    self.ready.push_back(circuit);
                } else {
                    self.streams.remove(&circuit);
                    self.output.push_back(HostOutput::Abort { conn });
                    let why = CloseReason::Hangup;
                    self.client.handle_closed(now, circuit, why, &mut self.log);
                }
            }
        }
    }

    fn flush(&mut self, now: Instant, circuit: CircuitId) {
        let conn = ConnId(u64::from(circuit.raw()));
        let Some(stream) = self.streams.get_mut(&circuit) else {
            return;
        };
        while stream.open && stream.window > 0 {
            if stream.queue.is_empty()
                && let Some(queue) = self.client.transmit(now, circuit)
            {
                std::mem::swap(queue, &mut stream.queue);
            }
            let data = super::front(&stream.queue, stream.window);
            if data.is_empty() {
                break;
            }
            stream.queue.advance(data.len());
            stream.window -= data.len();
            let mut frames = stream.out_tap.frames(&data);
            while let Some(frame) = frames.next() {
                if let Ok(frame) = frame
                    && frame.header.command == Command::CREATE_CHAN
                {
                    stream.rights.remove(&Cid(frame.header.p1));
                }
            }
            self.client.handle_sent(now, circuit, data.len());
            self.output.push_back(HostOutput::Send { conn, data });
        }
        if stream.closing == Closing::Flushing && stream.queue.is_empty() {
            stream.closing = Closing::Lingering(now + LINGER);
            self.output.push_back(HostOutput::Shutdown { conn });
        }
    }
}

impl Host for ClientHost {
    fn handle(&mut self, now: Instant, input: HostInput<'_>) {
        self.log.now = now;
        self.note_late(now);
        match input {
            HostInput::Datagram { from, data, .. } => {
                self.note_old(from, data);
                self.client.handle_datagram(now, from, data, &mut self.log);
            }
            HostInput::Accepted { .. } | HostInput::Unowned { .. } => {}
            HostInput::Connected { conn, window } => {
                let circuit = Self::circuit(conn);
                if let Some(stream) = self.streams.get_mut(&circuit) {
                    stream.open = true;
                    stream.window = window;
                    self.client.handle_connected(now, circuit);
                    self.ready.push_back(circuit);
                }
            }
            HostInput::Data { conn, data, full } => {
                self.handle_data(now, Self::circuit(conn), data, full);
            }
            HostInput::Writable { conn, window } => {
                let circuit = Self::circuit(conn);
                if let Some(stream) = self.streams.get_mut(&circuit) {
                    stream.window = window;
                    self.ready.push_back(circuit);
                }
            }
            HostInput::Closed { conn, how } => {
                let circuit = Self::circuit(conn);
                let Some(stream) = self.streams.remove(&circuit) else {
                    return;
                };
                self.output.push_back(HostOutput::Close { conn });
                let why = match (stream.closing, how) {
                    (Closing::No, CloseKind::Eof) => CloseReason::Eof,
                    (Closing::No, CloseKind::Reset) => CloseReason::Reset,
                    (Closing::No, CloseKind::Refused) => CloseReason::DialFailed,
                    _ => CloseReason::Hangup,
                };
                self.client.handle_closed(now, circuit, why, &mut self.log);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.log.now = now;
        self.note_late(now);
        let over: Vec<CircuitId> = self
            .streams
            .iter()
            .filter(|(_, s)| matches!(s.closing, Closing::Lingering(until) if until <= now))
            .map(|(circuit, _)| *circuit)
            .collect();
        for circuit in over {
            self.streams.remove(&circuit);
            let conn = ConnId(u64::from(circuit.raw()));
            self.output.push_back(HostOutput::Abort { conn });
            let why = CloseReason::Hangup;
            self.client.handle_closed(now, circuit, why, &mut self.log);
        }
        self.client.handle_timeout(now, &mut self.log);
    }

    fn poll_output(&mut self, now: Instant) -> Option<HostOutput> {
        self.log.now = now;
        loop {
            if let Some(output) = self.output.pop_front() {
                return Some(output);
            }
            // Searches over TCP wake circuits, so datagrams come first.
            let mut datagram = std::mem::take(&mut self.datagram);
            while let Some(to) = self.client.poll_transmit(now, &mut datagram) {
                self.datagram = datagram;
                self.check_search(now);
                datagram = std::mem::take(&mut self.datagram);
                let addrs = match to {
                    Destination::Search => self.params.search_addrs.clone(),
                    Destination::To(addr) => vec![addr],
                };
                self.output
                    .extend(addrs.into_iter().map(|to| HostOutput::Datagram {
                        port: self.port,
                        to,
                        data: datagram.clone(),
                    }));
            }
            self.datagram = datagram;
            while let Some(action) = self.client.poll_action() {
                self.act(now, action);
            }
            while let Some(circuit) = self.client.poll_woken() {
                self.ready.push_back(circuit);
            }
            for circuit in std::mem::take(&mut self.ready)
                .into_iter()
                .collect::<BTreeSet<_>>()
            {
                self.flush(now, circuit);
            }
            while let Some(event) = self.client.poll_event() {
                self.hold(now, &event);
                self.events.push((now, event));
            }
            if self.output.is_empty() && self.ready.is_empty() {
                return None;
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let linger = self.streams.values().filter_map(|s| match s.closing {
            Closing::Lingering(until) => Some(until),
            _ => None,
        });
        linger.chain(self.client.poll_timeout()).min()
    }

    fn complaint(&mut self) -> Option<String> {
        let what = self.log.complaint.take()?;
        Some(format!("{}: {what}", self.name))
    }
}
