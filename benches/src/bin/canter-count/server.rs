//! The IOC core alone: requests made beforehand, replies thrown away.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, EventMask, Text};
use ca_proto::wire::{Deframer, Minor, tcp};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::{Ioc, PvSpec};

use crate::Work;

const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);
const TIME_DOUBLE: DbrType = DbrType::new(Family::Time, NativeType::Double);
const CHUNK: usize = 64 * 1024;
const PVS: u32 = 1000;
const ROUNDS: usize = 20;
const READERS: u16 = 100;

struct Peer {
    circuit: CircuitId,
    deframer: Deframer,
}

struct Server {
    ioc: Ioc,
    sent: usize,
}

impl Server {
    fn new() -> Self {
        let specs = (0..PVS).map(|n| (format!("B:{n}"), PvSpec::double(0.0)));
        let mut ioc = Ioc::builder().pvs(specs).build().expect("valid PVs");
        ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
        Self { ioc, sent: 0 }
    }

    /// A circuit with channels to the first PVs; their server ids count from 0.
    fn connect(&mut self, port: u16, channels: u32) -> Peer {
        let peer = SocketAddrV4::new(Ipv4Addr::from(u32::from(port) + 1), port);
        let circuit = self
            .ioc
            .accept(Instant::ZERO, peer)
            .expect("below the limit");
        let deframer = Deframer::new(self.ioc.limits(circuit));
        let mut peer = Peer { circuit, deframer };
        let mut requests = Vec::new();
        let minor = Minor::CURRENT;
        let (priority, sequence) = (0, 0);
        let version = tcp::Request::Version {
            priority,
            minor,
            sequence,
        };
        version.encode_into(&mut requests);
        for n in 0..channels {
            let name = format!("B:{n}");
            let (cid, name) = (Cid(n), Text::new(name.as_bytes()));
            tcp::Request::CreateChan { cid, minor, name }.encode_into(&mut requests);
        }
        self.feed(&mut peer, &requests);
        peer
    }

    fn subscribe(&mut self, peer: &mut Peer, channels: u32) {
        let mut requests = Vec::new();
        for n in 0..channels {
            tcp::Request::EventAdd {
                ty: TIME_DOUBLE,
                count: 1,
                sid: Sid(n),
                subid: SubId(n),
                mask: EventMask::VALUE | EventMask::ALARM,
            }
            .encode_into(&mut requests);
        }
        self.feed(peer, &requests);
    }

    /// Hands in chunks as the driver does, and takes what comes of them.
    fn feed(&mut self, peer: &mut Peer, requests: &[u8]) {
        for mut chunk in requests.chunks(CHUNK) {
            loop {
                let done = self
                    .ioc
                    .handle_readable(Instant::ZERO, peer.circuit, &mut peer.deframer, chunk)
                    .expect("nothing is wrong with the requests");
                chunk = &chunk[done..];
                self.drain();
                if chunk.is_empty() && self.ioc.is_readable(peer.circuit) {
                    break;
                }
            }
        }
    }

    fn drain(&mut self) {
        while let Some(id) = self.ioc.poll_woken() {
            while let Some(queue) = self.ioc.transmit(id) {
                if queue.is_empty() {
                    break;
                }
                self.sent += queue.len();
                queue.advance(black_box(queue.len()));
            }
        }
    }
}

fn put(n: u32, value: &[u8; 8]) -> tcp::Request<'_> {
    tcp::Request::Write {
        ty: DOUBLE,
        count: 1,
        sid: Sid(n),
        cid: Cid(n),
        data: Data(value),
    }
}

/// The same requests in each round, for the first `pvs` PVs in turn.
fn rounds(mut server: Server, mut peer: Peer, requests: Vec<u8>, answered: bool) -> Work {
    server.sent = 0;
    Box::new(move || {
        for _ in 0..ROUNDS {
            server.feed(&mut peer, &requests);
        }
        assert_eq!(server.sent > 0, answered);
    })
}

fn requests<'a>(make: impl Fn(u32) -> tcp::Request<'a>) -> Vec<u8> {
    let mut requests = Vec::new();
    (0..PVS).for_each(|n| make(n).encode_into(&mut requests));
    requests
}

/// Reads of each PV.
pub(crate) fn reads() -> Work {
    let mut server = Server::new();
    let peer = server.connect(1000, PVS);
    let requests = requests(|n| tcp::Request::ReadNotify {
        ty: DOUBLE,
        count: 1,
        sid: Sid(n),
        ioid: Ioid(n),
    });
    rounds(server, peer, requests, true)
}

/// Puts to each PV.
pub(crate) fn puts() -> Work {
    let mut server = Server::new();
    let peer = server.connect(1000, PVS);
    rounds(server, peer, requests(|n| put(n, &[64; 8])), false)
}

/// Puts to each PV that ask for completion.
pub(crate) fn put_notifies() -> Work {
    let mut server = Server::new();
    let peer = server.connect(1000, PVS);
    let requests = requests(|n| tcp::Request::WriteNotify {
        ty: DOUBLE,
        count: 1,
        sid: Sid(n),
        ioid: Ioid(n),
        data: Data(&[64; 8]),
    });
    rounds(server, peer, requests, true)
}

/// Puts to each PV, with a subscriber on another circuit.
pub(crate) fn updates() -> Work {
    let mut server = Server::new();
    let writer = server.connect(1000, PVS);
    let mut reader = server.connect(1001, PVS);
    server.subscribe(&mut reader, PVS);
    let mut both = requests(|n| put(n, &[64; 8]));
    both.extend(requests(|n| put(n, &[63; 8])));
    rounds(server, writer, both, true)
}

/// Puts to one PV that many circuits subscribe to.
pub(crate) fn fan_out() -> Work {
    let mut server = Server::new();
    let writer = server.connect(1000, 1);
    for n in 0..READERS {
        let mut reader = server.connect(1001 + n, 1);
        server.subscribe(&mut reader, 1);
    }
    let mut both = Vec::new();
    for value in [&[64; 8], &[63; 8]].repeat(10) {
        put(0, value).encode_into(&mut both);
    }
    rounds(server, writer, both, true)
}
