//! The engine without sockets: what goes in, what comes out, and when.

mod circuits;
mod control;
mod datagrams;
mod messages;
mod read_only;

use std::net::SocketAddrV4;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, Sid, SubId};
use ca_proto::status::EcaStatus;
use ca_proto::wire::dump::{self, StreamDump};
use ca_proto::wire::message::{Data, Text};
use ca_proto::wire::tcp::{Request, Response};
use ca_proto::wire::{Minor, SendQueue, message::EventMask};

use super::{Engine, Level, Opening, Output};
use crate::rule::Direction;
use crate::script;

const DOUBLE: DbrType = DbrType(6);
const CLIENT: SocketAddrV4 = address(1, 40_000);
const SERVER: SocketAddrV4 = address(2, 5064);
const LISTEN: SocketAddrV4 = address(3, 6000);

const fn address(host: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, host), port)
}

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn engine(script: &str) -> Engine {
    let rules = script::parse(script).unwrap_or_else(|error| panic!("{error:?}"));
    Engine::new(rules, 1, Level::Faults, LISTEN)
}

/// An engine with one circuit.
struct Rig {
    engine: Engine,
    now: Instant,
    id: u64,
    dumps: [StreamDump; 2],
}

impl Rig {
    fn new(script: &str) -> Self {
        let mut engine = engine(script);
        let Opening::Connect { id, .. } = engine.open(at(0), CLIENT, SERVER) else {
            panic!("refused");
        };
        Self {
            engine,
            now: at(0),
            id,
            dumps: [
                StreamDump::new(dump::Direction::TcpRequest),
                StreamDump::new(dump::Direction::TcpResponse),
            ],
        }
    }

    /// A circuit with channels, CIDs and SIDs (100 more) from 1 in order, and a subscription of
    /// each with the CID's number.
    fn with_channels(script: &str, names: &[&str]) -> Self {
        let mut rig = Self::new(script);
        for (cid, name) in (1..).zip(names) {
            rig.request(&create(cid, name));
            rig.response(&rights(cid, 3));
            rig.response(&created(cid));
            rig.request(&Request::EventAdd {
                ty: DOUBLE,
                count: 1,
                sid: Sid(cid + 100),
                subid: SubId(cid),
                mask: EventMask::VALUE,
            });
        }
        rig.heard(Direction::Request);
        rig.heard(Direction::Response);
        rig
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = at(ms);
        self
    }

    fn request(&mut self, message: &Request<'_>) {
        let mut queue = SendQueue::new();
        message.encode(&mut queue);
        self.bytes(Direction::Request, &queue.to_vec());
    }

    fn response(&mut self, message: &Response<'_>) {
        self.bytes(Direction::Response, &bytes(message));
    }

    fn bytes(&mut self, way: Direction, bytes: &[u8]) {
        let mut port_for = port_for;
        self.engine
            .received(self.now, self.id, way, bytes, &mut port_for);
    }

    /// The bytes that come out now, and `END` or `CUT` in the end.
    fn drain(&mut self, way: Direction) -> (Vec<u8>, &'static str) {
        let mut all = Vec::new();
        loop {
            let n = match self.engine.output(self.now, self.id, way) {
                Output::Data(data) => {
                    all.extend_from_slice(&data);
                    data.len()
                }
                Output::Idle => return (all, ""),
                Output::End => return (all, "END"),
                Output::Cut(_) => return (all, "CUT"),
            };
            self.engine.sent(self.now, self.id, way, n);
        }
    }

    /// The messages that come out now, as text; an incomplete one as its number of bytes.
    fn heard(&mut self, way: Direction) -> Vec<String> {
        let (bytes, end) = self.drain(way);
        let dump = &mut self.dumps[way.index()];
        let mut lines = Vec::new();
        dump.feed(&bytes, |line| lines.push(line.to_string()));
        if dump.buffered() > 0 {
            lines.push(format!("{} bytes", dump.buffered()));
        }
        if !end.is_empty() {
            lines.push(end.to_owned());
        }
        lines
    }

    /// The updates that come out now, as `channel:value`.
    fn updates(&mut self) -> Vec<String> {
        let (bytes, _) = self.drain(Direction::Response);
        let update = |chunk: &[u8]| format!("{}:{}", chunk[15], chunk[23]);
        bytes.chunks_exact(24).map(update).collect()
    }

    fn update(&mut self, subid: u32, value: u8) {
        self.response(&Response::EventAdd {
            ty: DOUBLE,
            count: 1,
            status: EcaStatus::NORMAL,
            subid: SubId(subid),
            data: Data(&[0, 0, 0, 0, 0, 0, 0, value]),
        });
    }

    fn wake(&self) -> Option<Instant> {
        self.engine.wake(self.id)
    }
}

fn bytes(message: &Response<'_>) -> Vec<u8> {
    let mut queue = SendQueue::new();
    message.encode(&mut queue);
    queue.to_vec()
}

/// The proxy has a port for the server, and one for each other server of port 5065.
fn port_for(server: SocketAddrV4) -> Option<u16> {
    match server.port() {
        _ if server == SERVER => Some(LISTEN.port()),
        5065 => Some(6001),
        _ => None,
    }
}

fn create(cid: u32, name: &str) -> Request<'_> {
    Request::CreateChan {
        cid: Cid(cid),
        minor: Minor::CURRENT,
        name: Text::new(name.as_bytes()),
    }
}

fn created<'a>(cid: u32) -> Response<'a> {
    Response::CreateChan {
        ty: DOUBLE,
        count: 1,
        cid: Cid(cid),
        sid: Sid(cid + 100),
    }
}

fn rights<'a>(cid: u32, rights: u32) -> Response<'a> {
    Response::AccessRights {
        cid: Cid(cid),
        rights,
    }
}
