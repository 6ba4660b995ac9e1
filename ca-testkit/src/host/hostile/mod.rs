//! Hosts that mean harm.

mod client;
mod forge;
mod noise;
mod server;

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use ca_proto::Instant;
use ca_proto::ids::{Cid, Sid};
use ca_proto::wire::message::Text;
use ca_proto::wire::{Deframer, FrameLimits, Minor, REPEATER_PORT, SERVER_PORT, tcp};

use self::forge::Forge;
use super::{CloseKind, Host, HostInput, HostOutput};
use crate::net::ConnId;

/// Streams open at once; the hosts that are attacked bound theirs too.
const MAX_STREAMS: usize = 24;
/// Channels remembered per stream.
const MAX_CHANNELS: usize = 32;
/// Sources of datagrams remembered.
const MAX_HEARD: usize = 8;
const LIMITS: FrameLimits = FrameLimits {
    max_payload: 1 << 16,
    extended: true,
};

/// What a hostile host says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Messages in which mostly one thing is wrong.
    AlmostRight,
    /// Messages without meaning.
    Noise,
}

impl Manner {
    /// Longest pause between two acts, in milliseconds.
    const fn pause(self) -> u32 {
        match self {
            Self::AlmostRight => 1500,
            Self::Noise => 700,
        }
    }

    /// Where it sends and receives datagrams.
    const fn ports(self) -> &'static [u16] {
        match self {
            Self::AlmostRight => &[SERVER_PORT],
            Self::Noise => &[SERVER_PORT, REPEATER_PORT],
        }
    }
}

/// Whom a stream leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A hostile peer, of one of two kinds.
///
/// One knows the protocol: it answers searches for names of others, serves channels with values of its
/// own, is a client of IOCs, forges beacons, and in most of what it says one thing is wrong: an
/// identifier, a size, a count, a type, a bit, the order, the number of times. The other sends
/// [noise](Self::noisy).
///
/// It can do whatever a host on the network can, so it sends from its own address only and cannot
/// speak on streams of others.
#[derive(Debug)]
pub struct HostileHost {
    manner: Manner,
    forge: Forge,
    /// Where datagrams and dials go.
    targets: Vec<Ipv4Addr>,
    /// Names that they serve.
    names: Vec<String>,
    streams: BTreeMap<ConnId, Stream>,
    /// Where datagrams came from.
    heard: VecDeque<SocketAddrV4>,
    next_dial: u64,
    next: Option<Instant>,
    output: VecDeque<HostOutput>,
}

impl HostileHost {
    /// A host whose frames are almost right: it attacks these addresses, and asks for these names.
    pub fn new(seed: u64, targets: Vec<Ipv4Addr>, names: Vec<String>, now: Instant) -> Self {
        Self::with(Manner::AlmostRight, seed, targets, names, now)
    }

    /// A host that sends arbitrary bytes, and messages whose fields mean nothing, to these hosts or
    /// broadcast addresses, to whoever dials it, and to whoever it heard of.
    pub fn noisy(seed: u64, targets: Vec<Ipv4Addr>, now: Instant) -> Self {
        Self::with(Manner::Noise, seed, targets, Vec::new(), now)
    }

    fn with(
        manner: Manner,
        seed: u64,
        targets: Vec<Ipv4Addr>,
        names: Vec<String>,
        now: Instant,
    ) -> Self {
        let bind = manner.ports().iter().map(|&port| HostOutput::Bind { port });
        let listen = HostOutput::Listen { port: SERVER_PORT };
        Self {
            manner,
            forge: Forge::new(seed),
            targets,
            names,
            streams: BTreeMap::new(),
            heard: VecDeque::new(),
            next_dial: 0,
            next: Some(now + Duration::from_millis(7)),
            output: bind.chain([listen]).collect(),
        }
    }

    /// Falls silent for ever and leaves its streams.
    pub fn stop(&mut self) {
        self.next = None;
        let streams = std::mem::take(&mut self.streams).into_keys();
        let streams = streams.map(|conn| HostOutput::Abort { conn });
        let ports = self.manner.ports().iter();
        let ports = ports.map(|&port| HostOutput::Unbind { port });
        self.output.extend(streams.chain(ports));
        self.output
            .push_back(HostOutput::Unlisten { port: SERVER_PORT });
    }

    /// Acts so many times at once.
    pub fn act(&mut self, times: u32) {
        if self.next.is_some() {
            (0..times).for_each(|_| self.prank());
        }
    }

    fn prank(&mut self) {
        match self.manner {
            Manner::AlmostRight => self.almost_right(),
            Manner::Noise => self.make_noise(),
        }
    }

    fn almost_right(&mut self) {
        let at = self.forge.below(self.streams.len() as u32) as usize;
        let stream = self.streams.iter().nth(at);
        let Some((&conn, stream)) = stream.filter(|_| !self.forge.chance(25)) else {
            match self.forge.chance(40) {
                true => self.dial(),
                false => self.lie_by_datagram(),
            }
            return;
        };
        let channel = self.forge.pick(&stream.channels);
        match (stream.victim, self.forge.below(25)) {
            (_, 0) => {
                self.streams.remove(&conn);
                self.output.push_back(HostOutput::Abort { conn });
            }
            (_, 1) => {
                // A peer that does not read any more, or does again.
                let enabled = self.forge.chance(50);
                self.output.push_back(HostOutput::Read { conn, enabled });
            }
            (Victim::Server, _) => self.ask(conn, channel),
            (Victim::Client, _) => {
                let (cid, sid) = channel.unwrap_or((Cid(0), Sid(0)));
                self.tell(conn, cid, sid);
            }
        }
    }

    fn dial(&mut self) {
        if self.streams.len() >= MAX_STREAMS {
            return;
        }
        if let Some(ip) = self.forge.pick(&self.targets) {
            let conn = ConnId(self.next_dial);
            self.next_dial += 1;
            let to = SocketAddrV4::new(ip, SERVER_PORT);
            self.output.push_back(HostOutput::Dial { conn, to });
        }
    }

    fn post(&mut self, to: SocketAddrV4, data: Vec<u8>) {
        let port = SERVER_PORT;
        self.output
            .push_back(HostOutput::Datagram { port, to, data });
    }

    /// Sends what fits; a stream whose window is full loses the rest, which is one more fault.
    fn send(&mut self, conn: ConnId, message: Vec<u8>) {
        let mut data = match self.manner {
            Manner::AlmostRight => self.forge.harm(message),
            Manner::Noise => message,
        };
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        data.truncate(stream.window);
        stream.window -= data.len();
        if !data.is_empty() {
            self.output.push_back(HostOutput::Send { conn, data });
        }
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

    fn open(&mut self, conn: ConnId, window: usize, victim: Victim) {
        let stream = Stream {
            victim,
            deframer: Deframer::new(LIMITS),
            window,
            channels: Vec::new(),
            ids: 0,
        };
        self.streams.insert(conn, stream);
        match self.manner {
            Manner::AlmostRight => self.greet(conn, victim),
            Manner::Noise if victim == Victim::Client => self.make_noise(),
            Manner::Noise => {}
        }
    }

    fn greet(&mut self, conn: ConnId, victim: Victim) {
        let mut out = Vec::new();
        let minor = Minor::CURRENT;
        match victim {
            Victim::Client => tcp::Response::Version { priority: 0, minor }.encode_into(&mut out),
            Victim::Server => {
                tcp::Request::Version {
                    priority: self.forge.below(120) as u16,
                    minor,
                    sequence: 0,
                }
                .encode_into(&mut out);
                let name = Text::new(b"mallory");
                tcp::Request::ClientName { name }.encode_into(&mut out);
                tcp::Request::HostName { name }.encode_into(&mut out);
            }
        }
        self.send(conn, out);
    }

    /// Looks at what came, unless it makes noise only.
    fn read(&mut self, conn: ConnId, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        if self.manner == Manner::Noise {
            return;
        }
        let mut deframer = std::mem::replace(&mut stream.deframer, Deframer::new(LIMITS));
        let victim = stream.victim;
        let mut frames = deframer.frames(data);
        while let Some(Ok(frame)) = frames.next() {
            match victim {
                Victim::Client => {
                    if let Ok(request) = tcp::Request::parse(&frame) {
                        self.serve(conn, &request);
                    }
                }
                Victim::Server => {
                    if let Ok(tcp::Response::CreateChan { cid, sid, .. }) =
                        tcp::Response::parse(&frame)
                    {
                        self.remember(conn, cid, sid);
                    }
                }
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
                if self.heard.len() < MAX_HEARD {
                    self.heard.push_back(from);
                }
                if self.next.is_some() && self.manner == Manner::AlmostRight {
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
        let pause = 1 + self.forge.below(self.manner.pause());
        self.next = Some(now + Duration::from_millis(u64::from(pause)));
    }

    fn poll_output(&mut self, _: Instant) -> Option<HostOutput> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}
