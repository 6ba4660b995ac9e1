//! A client core between a scripted network and a recorder, without sockets or clock.

#![allow(dead_code, unreachable_pub)] // The allocation test, a binary of its own, uses a part.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use ca_proto::client::{
    Action, Client, CloseReason, Deliver, Destination, Event, Hangup, Lifecycle, Malformed, More,
    ReadSpec, Reply, SubSpec, Token, TypeSpec, Update, Violation,
};
use ca_proto::config::ClientParams;
use ca_proto::dbr::{Brief, DbrType, Family, Reading};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::wire::dump::{Direction, StreamDump};
use ca_proto::wire::message::{Data, EventMask, Port, SAME_ADDRESS};
use ca_proto::wire::{Deframer, Minor, PvName, tcp, udp};
use ca_proto::{EcaStatus, Instant};

pub const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 5064);
pub const OTHER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 5064);
pub const DOUBLE: DbrType = DbrType(6);
pub const TIME_DOUBLE: DbrType = DbrType(20);

/// What was delivered.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    Update(u64, DbrType, u32, EcaStatus, Vec<u8>),
    Read(u64, DbrType, u32, Vec<u8>),
    Written(u64),
    Failed(u64, EcaStatus),
    Exception(u64, EcaStatus, String),
    Malformed(u64, Malformed),
    Disconnected(u64),
    TimedOut(u64),
    Life(u64, Lifecycle),
}

#[derive(Default)]
pub struct Log(pub Vec<Heard>);

impl Deliver for Log {
    fn update(&mut self, token: Token, update: Update<'_>) {
        let data = update.frame.payload().to_vec();
        let Update {
            ty, count, status, ..
        } = update;
        self.0.push(Heard::Update(token.0, ty, count, status, data));
    }

    fn brief(&mut self, token: Token, brief: Brief) -> bool {
        let reading = Reading::from(brief);
        let (ty, count) = (reading.ty(), reading.count());
        // What the tests send has no padding.
        let data = reading.payload().as_slice().to_vec();
        self.0
            .push(Heard::Update(token.0, ty, count, EcaStatus::NORMAL, data));
        true
    }

    fn reply(&mut self, token: Token, reply: Reply<'_>) {
        self.0.push(match reply {
            Reply::Read { ty, count, frame } => {
                Heard::Read(token.0, ty, count, frame.payload().to_vec())
            }
            Reply::Written => Heard::Written(token.0),
            Reply::Failed(status) => Heard::Failed(token.0, status),
            Reply::Exception { status, text } => {
                Heard::Exception(token.0, status, String::from_utf8_lossy(text).into_owned())
            }
            Reply::Malformed(what) => Heard::Malformed(token.0, what),
            Reply::Disconnected => Heard::Disconnected(token.0),
            Reply::TimedOut => Heard::TimedOut(token.0),
            other => panic!("{other:?}"),
        });
    }

    fn lifecycle(&mut self, token: Token, change: Lifecycle) {
        self.0.push(Heard::Life(token.0, change));
    }
}

pub const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

pub fn name(text: &str) -> PvName {
    text.parse().unwrap()
}

/// One search address, no repeater, user `root` on host `vm`.
pub fn params() -> ClientParams {
    ClientParams::default()
        .search_addrs(vec!["10.0.0.255:5064".parse().unwrap()])
        .repeater_port(0)
        .user("root".into())
        .host("vm".into())
}

pub struct Rig {
    pub client: Client,
    pub now: Instant,
    pub log: Log,
    deframers: BTreeMap<CircuitId, Deframer>,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(params())
    }

    pub fn with(params: ClientParams) -> Self {
        Self {
            client: Client::new(Arc::new(params), at(0)),
            now: at(0),
            log: Log::default(),
            deframers: BTreeMap::new(),
        }
    }

    /// Lets time pass, serving each timer when it is due.
    pub fn run_until(&mut self, millis: u64) {
        while let Some(due) = self.client.poll_timeout()
            && due <= at(millis)
        {
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now, &mut self.log);
            let next = self.client.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "{next:?} {:#?}",
                self.client
            );
            if self
                .client
                .poll_transmit(self.now, &mut Vec::new())
                .is_some()
            {
                while self
                    .client
                    .poll_transmit(self.now, &mut Vec::new())
                    .is_some()
                {}
            }
        }
        self.now = at(millis);
    }

    /// As [`run_until`](Self::run_until), keeping the times at which searches left.
    pub fn search_times_until(&mut self, millis: u64) -> Vec<u64> {
        let mut times = vec![];
        loop {
            while self.client.poll_transmit(self.now, &mut Vec::new()) == Some(Destination::Search)
            {
                times.push(self.now.as_nanos() / 1_000_000);
            }
            match self.client.poll_timeout() {
                Some(due) if due <= at(millis) => {
                    self.now = self.now.max(due);
                    self.client.handle_timeout(self.now, &mut self.log);
                }
                _ => break,
            }
        }
        self.now = at(millis);
        times
    }

    pub fn open(&mut self, text: &str) -> Cid {
        self.client.open_channel(self.now, name(text), 0).unwrap()
    }

    /// All datagrams that are due.
    pub fn datagrams(&mut self) -> Vec<(Destination, Vec<u8>)> {
        let mut sent = vec![];
        let mut buf = vec![];
        while let Some(to) = self.client.poll_transmit(self.now, &mut buf) {
            sent.push((to, buf.clone()));
        }
        sent
    }

    /// Delivers a datagram of one message.
    pub fn datagram(&mut self, from: SocketAddrV4, message: &udp::Response<'_>) {
        let mut buf = vec![];
        message.encode_into(&mut buf);
        self.raw_datagram(from, &buf);
    }

    pub fn raw_datagram(&mut self, from: SocketAddrV4, data: &[u8]) {
        self.client
            .handle_datagram(self.now, from, data, &mut self.log);
    }

    /// A search reply of a 4.13 server.
    pub fn found(&mut self, cid: Cid, server: SocketAddrV4) {
        let reply = udp::Response::Search {
            port: Port(server.port()),
            server: SAME_ADDRESS,
            cid,
            minor: Minor::CURRENT,
        };
        self.datagram(server, &reply);
    }

    pub fn beacon(&mut self, server: SocketAddrV4, sequence: u32) {
        let beacon = udp::Response::Beacon {
            minor: Minor::CURRENT,
            port: Port(server.port()),
            sequence,
            server: *server.ip(),
        };
        self.datagram(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5065), &beacon);
    }

    pub fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.client.poll_action()).collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    pub fn heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.log.0)
    }

    /// The circuit that is to be dialled now.
    pub fn dialled(&mut self) -> CircuitId {
        match self.actions()[..] {
            [Action::Dial { circuit, .. }] => circuit,
            ref other => panic!("{other:?}"),
        }
    }

    pub fn connected(&mut self, c: CircuitId) {
        self.client.handle_connected(self.now, c);
        let limits = self.client.limits(c);
        self.deframers.insert(c, Deframer::new(limits));
    }

    /// Gives a circuit its deframer; it is connected some time later.
    pub fn connected_later(&mut self, c: CircuitId) {
        let limits = self.client.limits(c);
        self.deframers.insert(c, Deframer::new(limits));
    }

    /// Drops the deframer of a circuit that is gone.
    pub fn forget(&mut self, c: CircuitId) {
        self.deframers.remove(&c);
    }

    /// All output of a circuit, reported as sent.
    pub fn bytes(&mut self, c: CircuitId) -> Vec<u8> {
        let Some(queue) = self.client.transmit(self.now, c) else {
            return vec![];
        };
        let queue = std::mem::take(queue);
        self.client.handle_sent(self.now, c, queue.len());
        queue.to_vec()
    }

    /// All output of a circuit as text, one line per message.
    pub fn sent(&mut self, c: CircuitId) -> Vec<String> {
        let bytes = self.bytes(c);
        let mut lines = vec![];
        StreamDump::new(Direction::TcpRequest).feed(&bytes, |line| lines.push(line.to_string()));
        lines
    }

    /// Delivers messages of a server in one chunk.
    pub fn feed(&mut self, c: CircuitId, messages: &[tcp::Response<'_>]) {
        let mut bytes = vec![];
        for message in messages {
            message.encode_into(&mut bytes);
        }
        self.chunk(c, &bytes, More::Drained).unwrap();
    }

    pub fn chunk(&mut self, c: CircuitId, bytes: &[u8], more: More) -> Result<(), Violation> {
        let deframer = self.deframers.get_mut(&c).unwrap();
        self.client
            .handle_chunk(self.now, c, deframer, bytes, more, &mut self.log)
    }

    /// Fills what is missing of a large payload, as a driver does that reads into its buffer.
    pub fn body(&mut self, c: CircuitId, byte: u8) {
        let deframer = self.deframers.get_mut(&c).unwrap();
        while let Some(mut body) = deframer.body() {
            let room = body.remaining_mut();
            body.put_bytes(byte, room);
        }
    }

    pub fn closed(&mut self, c: CircuitId, why: CloseReason) {
        self.client.handle_closed(self.now, c, why, &mut self.log);
    }

    /// Opens a channel and brings it to a server up to the connection; output is taken.
    pub fn circuit(&mut self, text: &str, server: SocketAddrV4) -> (Cid, CircuitId) {
        let cid = self.open(text);
        self.datagrams();
        self.found(cid, server);
        let c = self.dialled();
        self.connected(c);
        self.bytes(c);
        self.feed(c, &[version(13)]);
        (cid, c)
    }

    /// Opens and connects a channel of three doubles with all rights and this sid.
    pub fn connect(&mut self, text: &str, sid: u32) -> (Cid, CircuitId) {
        let (cid, c) = self.circuit(text, SERVER);
        self.feed(c, &created(cid, sid));
        assert_eq!(self.events(), [Event::Connected { cid }]);
        (cid, c)
    }

    /// Opens and connects a further channel on an existing circuit.
    pub fn connect_also(&mut self, text: &str, c: CircuitId, sid: u32) -> Cid {
        let cid = self.open(text);
        self.datagrams();
        self.found(cid, SERVER);
        assert_eq!(self.actions(), []);
        self.bytes(c);
        self.feed(c, &created(cid, sid));
        assert_eq!(self.events(), [Event::Connected { cid }]);
        cid
    }

    pub fn read(&mut self, cid: Cid, token: u64) -> Ioid {
        let spec = ReadSpec {
            ty: TypeSpec::Family(Family::Plain),
            count: 1,
        };
        self.client
            .read(self.now, cid, spec, Token(token), None)
            .unwrap()
    }

    pub fn subscribe(&mut self, cid: Cid, token: u64) -> SubId {
        self.client
            .subscribe(self.now, cid, time_doubles(1), Token(token))
            .unwrap()
    }
}

pub const fn time_doubles(count: u32) -> SubSpec {
    SubSpec {
        ty: TypeSpec::Family(Family::Time),
        count,
        mask: EventMask::VALUE,
    }
}

pub const fn version(minor: u16) -> tcp::Response<'static> {
    tcp::Response::Version {
        priority: 0,
        minor: Minor(minor),
    }
}

pub const fn rights(cid: Cid, rights: u32) -> tcp::Response<'static> {
    tcp::Response::AccessRights { cid, rights }
}

pub const fn create(cid: Cid, sid: u32, ty: u16, count: u32) -> tcp::Response<'static> {
    tcp::Response::CreateChan {
        ty: DbrType(ty),
        count,
        cid,
        sid: Sid(sid),
    }
}

pub const fn created(cid: Cid, sid: u32) -> [tcp::Response<'static>; 2] {
    [rights(cid, 3), create(cid, sid, 6, 3)]
}

/// An update with the payload of `count` doubles as `DBR_TIME_DOUBLE`, all bytes zero.
pub fn update(subid: SubId) -> tcp::Response<'static> {
    tcp::Response::EventAdd {
        ty: TIME_DOUBLE,
        count: 1,
        status: EcaStatus::NORMAL,
        subid,
        data: Data(&[0; 24]),
    }
}

pub fn updated(token: u64) -> Heard {
    Heard::Update(token, TIME_DOUBLE, 1, EcaStatus::NORMAL, vec![0; 24])
}

pub fn read_reply(ioid: Ioid) -> tcp::Response<'static> {
    tcp::Response::ReadNotify {
        ty: DOUBLE,
        count: 1,
        status: EcaStatus::NORMAL,
        ioid,
        data: Data(&[0; 8]),
    }
}

pub fn was_read(token: u64) -> Heard {
    Heard::Read(token, DOUBLE, 1, vec![0; 8])
}

pub fn hang_up(circuit: CircuitId, how: Hangup) -> Action {
    Action::Hangup { circuit, how }
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
