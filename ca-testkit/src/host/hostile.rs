//! A host whose frames are almost right.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, Ioid, Sid, SubId};
use ca_proto::rng::Pcg32;
use ca_proto::wire::message::{Data, EventMask, Port, Text};
use ca_proto::wire::{
    Command, Deframer, Header, Limits, Minor, REPEATER_PORT, SERVER_PORT, datagram_frames, tcp, udp,
};
use ca_proto::{EcaStatus, Instant};

use super::{CloseKind, Host, HostInput, HostOutput};
use crate::net::ConnId;

/// Longest pause between two acts.
const PAUSE_MS: u32 = 1500;
/// Streams open at once; the hosts that are attacked bound theirs too.
const MAX_STREAMS: usize = 24;
/// Channels remembered per stream.
const MAX_CHANNELS: usize = 32;
const LIMITS: Limits = Limits {
    max_payload: 1 << 16,
    extended: true,
};

/// Whom a stream leads to.
#[derive(Debug, PartialEq, Eq)]
enum Victim {
    /// It dialled us and believes that we are an IOC.
    Client,
    /// We dialled it.
    Server,
}

#[derive(Debug)]
struct Stream {
    victim: Victim,
    deframer: Deframer,
    window: usize,
    /// What the victim calls its channels or we call ours, and the server's number.
    channels: Vec<(Cid, Sid)>,
    ids: u32,
}

/// A hostile peer that knows the protocol: it answers searches for names of others, serves channels
/// with values of its own, is a client of IOCs, forges beacons, and in most of what it says one
/// thing is wrong: an identifier, a size, a count, a type, a bit, the order, the number of times.
///
/// It can do whatever a host on the network can, so it sends from its own address only and cannot
/// speak on streams of others.
#[derive(Debug)]
pub struct HostileHost {
    rng: Pcg32,
    /// IOCs and names that they serve.
    targets: Vec<Ipv4Addr>,
    names: Vec<String>,
    streams: BTreeMap<ConnId, Stream>,
    /// Where datagrams came from.
    heard: VecDeque<SocketAddrV4>,
    next_dial: u64,
    next: Option<Instant>,
    output: VecDeque<HostOutput>,
}

impl HostileHost {
    /// A hostile host that attacks these addresses, and searches for these names by lies.
    pub fn new(seed: u64, targets: Vec<Ipv4Addr>, names: Vec<String>, now: Instant) -> Self {
        Self {
            rng: Pcg32::new(seed),
            targets,
            names,
            streams: BTreeMap::new(),
            heard: VecDeque::new(),
            next_dial: 0,
            next: Some(now + Duration::from_millis(7)),
            output: VecDeque::from([
                HostOutput::Bind { port: SERVER_PORT },
                HostOutput::Listen { port: SERVER_PORT },
            ]),
        }
    }

    /// Falls silent for ever and leaves its streams.
    pub fn stop(&mut self) {
        self.next = None;
        let streams = std::mem::take(&mut self.streams);
        self.output
            .extend(streams.into_keys().map(|conn| HostOutput::Abort { conn }));
        self.output
            .push_back(HostOutput::Unbind { port: SERVER_PORT });
        self.output
            .push_back(HostOutput::Unlisten { port: SERVER_PORT });
    }

    /// Acts so many times at once.
    pub fn act(&mut self, times: u32) {
        if self.next.is_some() {
            (0..times).for_each(|_| self.prank());
        }
    }

    /// True with a probability of `percent`.
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.below(100) < percent
    }

    fn pick(&mut self, from: usize) -> usize {
        self.rng.below(from as u32) as usize
    }

    /// A number that is right, or near, or anything.
    fn almost(&mut self, right: u32) -> u32 {
        match self.rng.below(12) {
            0 => right.wrapping_add(1),
            1 => right ^ (1 << self.rng.below(32)),
            2 => self.rng.next_u32(),
            3 => 0,
            _ => right,
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.rng.next_u32() as u8).collect()
    }

    /// Harms a message or leaves it as it is.
    fn harm(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        match self.rng.below(30) {
            0 => {
                let at = self.pick(message.len());
                if let Some(byte) = message.get_mut(at) {
                    *byte ^= 1 << self.rng.below(8);
                }
            }
            1 => message.truncate(self.rng.below(message.len() as u32) as usize),
            2 => message.extend_from_within(..),
            3 => {
                let len = self.pick(40);
                message.extend(self.bytes(len));
            }
            _ => {}
        }
        message
    }

    /// Sends what fits; a stream whose window is full loses the rest, which is one more fault.
    fn send(&mut self, conn: ConnId, message: Vec<u8>) {
        let mut data = self.harm(message);
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        data.truncate(stream.window);
        stream.window -= data.len();
        if !data.is_empty() {
            self.output.push_back(HostOutput::Send { conn, data });
        }
    }

    /// Data in the type and count asked for, sometimes a few bytes too short or too long.
    fn data(&mut self, ty: DbrType, count: u32) -> Vec<u8> {
        let count = count.clamp(1, 8);
        let size = if ty.is_valid() { ty.size(count) } else { 16 };
        let size = match self.rng.below(10) {
            0 => size.saturating_sub(8),
            1 => size + 8,
            2 => size / 2,
            _ => size,
        };
        self.bytes(size.min(4096) as usize)
    }

    fn status(&mut self) -> EcaStatus {
        match self.rng.below(8) {
            0 => EcaStatus(self.rng.next_u32()),
            1 => EcaStatus::GETFAIL,
            _ => EcaStatus::NORMAL,
        }
    }

    fn type_code(&mut self) -> DbrType {
        match self.rng.below(6) {
            0 => DbrType(self.rng.below(45) as u16),
            1 => DbrType::new(Family::Plain, NativeType::String),
            2 => DbrType::new(Family::Plain, NativeType::Long),
            _ => DbrType::new(Family::Plain, NativeType::Double),
        }
    }

    /// Plays an IOC.
    fn serve(&mut self, conn: ConnId, request: &tcp::Request<'_>) {
        let mut out = Vec::new();
        if self.chance(6) {
            return;
        }
        match *request {
            tcp::Request::Version { priority, .. } => {
                let minor = match self.rng.below(4) {
                    0 => Minor(self.rng.below(20) as u16),
                    _ => Minor::CURRENT,
                };
                tcp::Response::Version { priority, minor }.encode_into(&mut out);
            }
            tcp::Request::CreateChan { cid, .. } => {
                let (cid, sid) = (Cid(self.almost(cid.0)), self.new_id(conn));
                let rights = self.rng.below(5);
                tcp::Response::AccessRights { cid, rights }.encode_into(&mut out);
                if self.chance(10) {
                    tcp::Response::CreateChFail { cid }.encode_into(&mut out);
                }
                let (ty, count) = (self.type_code(), self.almost(1));
                let ty = DbrType(if self.chance(90) { ty.0 % 7 } else { ty.0 });
                let sid = Sid(sid);
                tcp::Response::CreateChan {
                    ty,
                    count,
                    cid,
                    sid,
                }
                .encode_into(&mut out);
                self.remember(conn, cid, sid);
            }
            tcp::Request::EventAdd {
                ty, count, subid, ..
            } => {
                let subid = SubId(self.almost(subid.0));
                let times = self.rng.below(4);
                for _ in 0..times {
                    let (data, status) = (self.data(ty, count), self.status());
                    let count = self.almost(count.max(1));
                    let data = Data(&data);
                    tcp::Response::EventAdd {
                        ty,
                        count,
                        status,
                        subid,
                        data,
                    }
                    .encode_into(&mut out);
                }
            }
            tcp::Request::EventCancel {
                ty,
                count,
                sid,
                subid,
            } => {
                let (status, data) = (EcaStatus(sid.0), Data(&[]));
                tcp::Response::EventAdd {
                    ty,
                    count,
                    status,
                    subid,
                    data,
                }
                .encode_into(&mut out);
            }
            tcp::Request::ReadNotify {
                ty, count, ioid, ..
            } => {
                let (data, status) = (self.data(ty, count), self.status());
                let ioid = Ioid(self.almost(ioid.0));
                let data = Data(&data);
                tcp::Response::ReadNotify {
                    ty,
                    count: count.max(1),
                    status,
                    ioid,
                    data,
                }
                .encode_into(&mut out);
            }
            tcp::Request::WriteNotify {
                ty, count, ioid, ..
            } => {
                let (ioid, status) = (Ioid(self.almost(ioid.0)), self.status());
                tcp::Response::WriteNotify {
                    ty,
                    count,
                    status,
                    ioid,
                }
                .encode_into(&mut out);
            }
            tcp::Request::Echo { .. } => {
                let header = Header::new(Command::ECHO);
                let data = Data(&[]);
                tcp::Response::Unknown {
                    header,
                    payload: data,
                }
                .encode_into(&mut out);
            }
            _ => return,
        }
        self.send(conn, out);
    }

    /// Something unasked for, said to a client.
    fn tell(&mut self, conn: ConnId, cid: Cid, sid: Sid) {
        let mut out = Vec::new();
        let id = self.rng.below(12) | self.rng.below(2) << 24;
        match self.rng.below(7) {
            0 => tcp::Response::AccessRights {
                cid,
                rights: self.rng.below(5),
            }
            .encode_into(&mut out),
            1 => tcp::Response::ServerDisconn { cid }.encode_into(&mut out),
            2 => tcp::Response::CreateChFail { cid }.encode_into(&mut out),
            3 => tcp::Response::CreateChan {
                ty: self.type_code(),
                count: 1,
                cid,
                sid,
            }
            .encode_into(&mut out),
            4 => tcp::Response::WriteNotify {
                ty: self.type_code(),
                count: 1,
                status: EcaStatus::NORMAL,
                ioid: Ioid(id),
            }
            .encode_into(&mut out),
            5 => {
                let ty = self.type_code();
                let data = self.data(ty, 1);
                tcp::Response::EventAdd {
                    ty,
                    count: 1,
                    status: EcaStatus::NORMAL,
                    subid: SubId(id),
                    data: Data(&data),
                }
                .encode_into(&mut out);
            }
            _ => tcp::Response::Version {
                priority: 0,
                minor: Minor(self.rng.below(16) as u16),
            }
            .encode_into(&mut out),
        }
        self.send(conn, out);
    }

    /// A request to an IOC.
    fn ask(&mut self, conn: ConnId, channel: Option<(Cid, Sid)>) {
        let mut out = Vec::new();
        let id = self.new_id(conn);
        let Some((cid, sid)) = channel.filter(|_| self.chance(80)) else {
            let at = self.pick(self.names.len());
            let name = self.names.get(at).cloned().unwrap_or_default();
            let minor = match self.rng.below(4) {
                0 => Minor(self.rng.below(20) as u16),
                _ => Minor::CURRENT,
            };
            tcp::Request::CreateChan {
                cid: Cid(id),
                minor,
                name: Text::new(name.as_bytes()),
            }
            .encode_into(&mut out);
            self.send(conn, out);
            return;
        };
        let sid = Sid(self.almost(sid.0));
        let (ty, count) = (self.type_code(), self.almost(1));
        match self.rng.below(9) {
            0 | 1 => tcp::Request::EventAdd {
                ty,
                count,
                sid,
                subid: SubId(id),
                mask: EventMask(self.rng.below(17) as u16),
            }
            .encode_into(&mut out),
            2 => tcp::Request::EventCancel {
                ty,
                count,
                sid,
                subid: SubId(self.rng.below(id + 1)),
            }
            .encode_into(&mut out),
            3 => tcp::Request::ReadNotify {
                ty,
                count,
                sid,
                ioid: Ioid(id),
            }
            .encode_into(&mut out),
            4 | 5 => {
                // Numbers only, so that what it writes can be told from what was written by others.
                let data = [0u8; 8];
                let ty = DbrType::new(Family::Plain, NativeType::Double);
                tcp::Request::WriteNotify {
                    ty,
                    count,
                    sid,
                    ioid: Ioid(id),
                    data: Data(&data),
                }
                .encode_into(&mut out);
            }
            6 => tcp::Request::ClearChannel {
                data_type: 0,
                count: 0,
                sid,
                cid,
            }
            .encode_into(&mut out),
            7 => {
                if self.chance(50) {
                    tcp::Request::EventsOff {}.encode_into(&mut out);
                } else {
                    tcp::Request::EventsOn {}.encode_into(&mut out);
                }
            }
            _ => {
                let header = Header {
                    data_type: self.rng.below(40) as u16,
                    count: self.almost(1),
                    p1: self.almost(sid.0),
                    p2: self.almost(cid.0),
                    ..Header::new(Command(self.rng.below(30) as u16))
                };
                let len = 8 * self.pick(4);
                let payload = self.bytes(len);
                let payload = Data(&payload);
                tcp::Request::Unknown { header, payload }.encode_into(&mut out);
            }
        }
        self.send(conn, out);
    }

    fn new_id(&mut self, conn: ConnId) -> u32 {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return 0;
        };
        stream.ids += 1;
        stream.ids
    }

    fn remember(&mut self, conn: ConnId, cid: Cid, sid: Sid) {
        if let Some(stream) = self.streams.get_mut(&conn)
            && stream.channels.len() < MAX_CHANNELS
        {
            stream.channels.push((cid, sid));
        }
    }

    fn dial(&mut self) {
        if self.streams.len() >= MAX_STREAMS {
            return;
        }
        let at = self.pick(self.targets.len());
        if let Some(&ip) = self.targets.get(at) {
            let conn = ConnId(self.next_dial);
            self.next_dial += 1;
            let to = SocketAddrV4::new(ip, SERVER_PORT);
            self.output.push_back(HostOutput::Dial { conn, to });
        }
    }

    fn datagram(&mut self) {
        let mut data = Vec::new();
        let at = self.pick(self.targets.len());
        let target = self.targets.get(at).copied();
        let target = target.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let to = match self.rng.below(3) {
            0 => {
                // A beacon in the name of another, to the repeaters of its subnet.
                udp::Response::Beacon {
                    minor: Minor(self.rng.below(16) as u16),
                    port: Port(self.almost(u32::from(SERVER_PORT)) as u16),
                    sequence: self.rng.below(4),
                    server: target,
                }
                .encode_into(&mut data);
                SocketAddrV4::new(Ipv4Addr::BROADCAST, REPEATER_PORT)
            }
            1 => {
                let len = self.pick(64);
                data = self.bytes(len);
                SocketAddrV4::new(target, SERVER_PORT)
            }
            _ => {
                let minor = Minor(self.rng.below(16) as u16);
                udp::Response::Search {
                    port: Port(SERVER_PORT),
                    server: target,
                    cid: Cid(self.rng.below(16)),
                    minor,
                }
                .encode_into(&mut data);
                match self.heard.pop_front() {
                    Some(client) => client,
                    None => SocketAddrV4::new(target, SERVER_PORT),
                }
            }
        };
        let data = self.harm(data);
        self.output.push_back(HostOutput::Datagram {
            port: SERVER_PORT,
            to,
            data,
        });
    }

    fn prank(&mut self) {
        let at = self.pick(self.streams.len());
        let stream = self.streams.iter().nth(at);
        let Some((&conn, stream)) = stream.filter(|_| self.rng.below(4) > 0) else {
            if self.chance(40) {
                self.dial();
            } else {
                self.datagram();
            }
            return;
        };
        let channel = match stream.channels.len() {
            0 => None,
            n => stream
                .channels
                .get(self.rng.below(n as u32) as usize)
                .copied(),
        };
        match (&stream.victim, self.rng.below(25)) {
            (_, 0) => {
                self.streams.remove(&conn);
                self.output.push_back(HostOutput::Abort { conn });
            }
            (_, 1) => {
                // A peer that does not read any more, or does again.
                let enabled = self.chance(50);
                self.output.push_back(HostOutput::Read { conn, enabled });
            }
            (Victim::Server, _) => self.ask(conn, channel),
            (Victim::Client, _) => {
                let (cid, sid) = channel.unwrap_or((Cid(0), Sid(0)));
                self.tell(conn, cid, sid);
            }
        }
    }

    /// Claims to serve what is searched, now and then.
    fn answer_searches(&mut self, from: SocketAddrV4, data: &[u8]) {
        let mut out = Vec::new();
        for frame in datagram_frames(data).flatten() {
            let Ok(udp::Request::Search { cid, .. }) = udp::Request::parse(&frame) else {
                continue;
            };
            if !self.chance(25) {
                continue;
            }
            let server = match self.rng.below(6) {
                0 => {
                    let at = self.pick(self.targets.len());
                    let other = self.targets.get(at).copied();
                    other.unwrap_or(Ipv4Addr::LOCALHOST)
                }
                1 => Ipv4Addr::from_bits(self.rng.next_u32()),
                _ => Ipv4Addr::BROADCAST,
            };
            let minor = match self.rng.below(4) {
                0 => Minor(self.rng.below(16) as u16),
                _ => Minor::CURRENT,
            };
            udp::Response::Search {
                port: Port(SERVER_PORT),
                server,
                cid: Cid(self.almost(cid.0)),
                minor,
            }
            .encode_into(&mut out);
        }
        if !out.is_empty() {
            let data = self.harm(out);
            self.output.push_back(HostOutput::Datagram {
                port: SERVER_PORT,
                to: from,
                data,
            });
        }
    }

    fn open(&mut self, conn: ConnId, window: usize, victim: Victim) {
        let mut out = Vec::new();
        match victim {
            Victim::Client => tcp::Response::Version {
                priority: 0,
                minor: Minor::CURRENT,
            }
            .encode_into(&mut out),
            Victim::Server => {
                tcp::Request::Version {
                    priority: self.rng.below(120) as u16,
                    minor: Minor::CURRENT,
                    sequence: 0,
                }
                .encode_into(&mut out);
                let name = Text::new(b"mallory");
                tcp::Request::ClientName { name }.encode_into(&mut out);
                tcp::Request::HostName { name }.encode_into(&mut out);
            }
        }
        let stream = Stream {
            victim,
            deframer: Deframer::new(LIMITS),
            window,
            channels: Vec::new(),
            ids: 0,
        };
        self.streams.insert(conn, stream);
        self.send(conn, out);
    }

    fn read(&mut self, conn: ConnId, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        let mut deframer = std::mem::replace(&mut stream.deframer, Deframer::new(LIMITS));
        let serving = stream.victim == Victim::Client;
        let mut frames = deframer.frames(data);
        while let Some(Ok(frame)) = frames.next() {
            if serving {
                if let Ok(request) = tcp::Request::parse(&frame) {
                    self.serve(conn, &request);
                }
            } else if let Ok(tcp::Response::CreateChan { cid, sid, .. }) =
                tcp::Response::parse(&frame)
            {
                self.remember(conn, cid, sid);
            }
        }
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.deframer = deframer;
        }
    }
}

impl Host for HostileHost {
    fn handle(&mut self, _: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Datagram { from, data, .. } => {
                if self.heard.len() < 8 {
                    self.heard.push_back(from);
                }
                if self.next.is_some() {
                    self.answer_searches(from, data);
                }
            }
            HostInput::Accepted { conn, window, .. } => {
                if self.next.is_none() || self.streams.len() >= MAX_STREAMS {
                    self.output.push_back(HostOutput::Abort { conn });
                } else {
                    self.open(conn, window, Victim::Client);
                }
            }
            HostInput::Connected { conn, .. } if self.next.is_none() => {
                self.output.push_back(HostOutput::Abort { conn });
            }
            HostInput::Connected { conn, window } => self.open(conn, window, Victim::Server),
            HostInput::Writable { conn, window } => {
                if let Some(stream) = self.streams.get_mut(&conn) {
                    stream.window = window;
                }
            }
            HostInput::Data { conn, data, .. } => self.read(conn, data),
            HostInput::Unowned { .. } => {}
            HostInput::Closed { conn, how } => {
                let known = self.streams.remove(&conn).is_some();
                if known && how == CloseKind::Eof {
                    self.output.push_back(HostOutput::Close { conn });
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.prank();
        let pause = 1 + self.rng.below(PAUSE_MS);
        self.next = Some(now + Duration::from_millis(u64::from(pause)));
    }

    fn poll_output(&mut self, _: Instant) -> Option<HostOutput> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}
