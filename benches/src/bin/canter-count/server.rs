//! The IOC core alone: requests made beforehand, replies thrown away.

use ca_bench::server::{DOUBLE, Peer, Server};
use ca_proto::ids::{Cid, Ioid, Sid};
use ca_proto::wire::message::Data;
use ca_proto::wire::tcp;

use crate::Work;

const PVS: usize = 1000;
const ROUNDS: usize = 20;
const READERS: u16 = 100;

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
    (0..PVS as u32).for_each(|n| make(n).encode_into(&mut requests));
    requests
}

/// Reads of each PV.
pub(crate) fn reads() -> Work {
    let mut server = Server::new(PVS);
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
    let mut server = Server::new(PVS);
    let peer = server.connect(1000, PVS);
    rounds(server, peer, requests(|n| put(n, &[64; 8])), false)
}

/// Puts to each PV that ask for completion.
pub(crate) fn put_notifies() -> Work {
    let mut server = Server::new(PVS);
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
    let mut server = Server::new(PVS);
    let writer = server.connect(1000, PVS);
    let mut reader = server.connect(1001, PVS);
    server.subscribe(&mut reader, PVS);
    let mut both = requests(|n| put(n, &[64; 8]));
    both.extend(requests(|n| put(n, &[63; 8])));
    rounds(server, writer, both, true)
}

/// Puts to one PV that many circuits subscribe to.
pub(crate) fn fan_out() -> Work {
    let mut server = Server::new(PVS);
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
