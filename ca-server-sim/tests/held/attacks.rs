//! What a peer does to fill an IOC: each attack goes on until it is refused, or has done what there is
//! to do.

use ca_proto::access::AccessRights;
use ca_proto::config::ServerParams;
use ca_proto::ids::{Cid, Sid};
use ca_proto::wire::message::{Data, SearchFlag, Text};
use ca_proto::wire::{Minor, tcp};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};

use crate::peer::{BATCH, PLAIN_CHAR, PLAIN_DOUBLE, PLAIN_STRING, Peer, at, refused};

/// Elements of the arrays: 8 MB of doubles, 40 MB of texts.
const ELEMENTS: u32 = 1_000_000;

/// The PVs that are attacked. The values fit the largest message.
pub(crate) fn pvs(params: &ServerParams) -> IocBuilder {
    let doubles = || PvSpec::array(vec![0.5f64; doubles(params) as usize]);
    Ioc::builder()
        .pv("x", PvSpec::double(1.5))
        .pv("wave", doubles())
        .pv("slow", doubles().completes_never())
        .pv("number", PvSpec::double(1.5).completes_never())
}

/// Doubles in a message of the largest size, and in an array.
fn doubles(params: &ServerParams) -> u32 {
    ELEMENTS.min(params.max_payload / 8)
}

/// Texts in a message of the largest size.
fn texts(params: &ServerParams) -> u32 {
    doubles(params).min(params.max_payload / 40)
}

/// An attack by one circuit.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Ioc, &mut Peer),
    /// What the IOC does when all circuits have come so far.
    pub(crate) then: fn(&mut Ioc, &mut [Peer]),
}

const NOTHING: fn(&mut Ioc, &mut [Peer]) = |_, _| {};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "circuits that do nothing",
        run: |_, _| {},
        then: NOTHING,
    },
    Attack {
        name: "a read of an array as texts, not read",
        run: |ioc, peer| {
            let sid = peer.create(ioc, "wave").expect("room");
            let count = texts(ioc.params());
            peer.read_notify(ioc, sid, (PLAIN_STRING, count));
        },
        then: NOTHING,
    },
    Attack {
        name: "reads of an array that changes, not read",
        run: |ioc, peer| {
            let sid = peer.create(ioc, "wave").expect("room");
            peer.read_notify(ioc, sid, (PLAIN_DOUBLE, 0));
            // What was read stays, in place of what is.
            let value = vec![0.5f64; doubles(ioc.params()) as usize];
            ioc.post(at(0), "wave", value).expect("it fits");
        },
        then: NOTHING,
    },
    Attack {
        name: "a read of every second element, not read",
        run: |ioc, peer| {
            let sid = peer.create(ioc, "wave.VAL[0:2:-1]").expect("room");
            peer.read_notify(ioc, sid, (PLAIN_DOUBLE, 0));
        },
        then: NOTHING,
    },
    Attack {
        name: "1000 subscriptions to an array as texts, not read",
        run: |ioc, peer| {
            let sid = peer.create(ioc, "wave").expect("room");
            let count = texts(ioc.params());
            let requests: Vec<u8> = (0..1000).flat_map(|_| event_add(sid, count)).collect();
            peer.send_bytes(ioc, &requests);
        },
        then: NOTHING,
    },
    Attack {
        name: "an ECHO of the largest size, not read",
        run: |ioc, peer| {
            let size = ioc.params().max_payload & !7;
            peer.begin_echo(ioc, size, size as usize);
        },
        then: NOTHING,
    },
    Attack {
        name: "a message that does not end",
        run: |ioc, peer| {
            let size = ioc.params().max_payload & !7;
            peer.begin_echo(ioc, size, size as usize - 8);
        },
        then: NOTHING,
    },
    Attack {
        name: "errors with names of 1 kB, not read",
        run: |ioc, peer| {
            let name = format!("x.VAL[0x{:01000x}]", 0);
            let sid = peer.create(ioc, &name).expect("room");
            let mut request = Vec::new();
            tcp::Request::Write {
                ty: PLAIN_STRING,
                count: 1,
                sid,
                cid: Cid(0),
                data: Data(b"none\0\0\0\0"),
            }
            .encode_into(&mut request);
            peer.send_bytes(ioc, &request.repeat(2000));
        },
        then: NOTHING,
    },
    Attack {
        name: "searches, not read",
        run: |ioc, peer| {
            let mut request = Vec::new();
            tcp::Request::Search {
                reply: SearchFlag::DO_REPLY,
                minor: Minor::CURRENT,
                cid: Cid(1),
                cid2: Cid(1),
                name: Text::new(b"x"),
            }
            .encode_into(&mut request);
            peer.send_bytes(ioc, &request.repeat(4000));
        },
        then: NOTHING,
    },
    Attack {
        name: "put-notifies of arrays behind one channel",
        run: |ioc, peer| {
            let sid = peer.create(ioc, "slow").expect("room");
            put_arrays(ioc, peer, |_, _| sid);
        },
        then: NOTHING,
    },
    Attack {
        name: "put-notifies of CHAR arrays to DOUBLE, a channel each",
        run: |ioc, peer| {
            let mut last = Sid(0);
            put_arrays(ioc, peer, |ioc, peer| {
                last = peer.create(ioc, "slow").unwrap_or(last);
                last
            });
        },
        then: NOTHING,
    },
    Attack {
        name: "put-notifies of numbers, a channel each, with user and host of 500 bytes",
        run: put_numbers,
        then: NOTHING,
    },
    Attack {
        name: "access rights of 5000 channels that change, not read",
        run: |ioc, peer| {
            peer.create_many(ioc, 5000, |_| "x".to_owned());
            for n in 0..10 {
                let rights = [AccessRights::READ, AccessRights::ALL][n % 2];
                ioc.set_rights(at(0), "x", rights).expect("it exists");
                peer.take(ioc);
            }
        },
        then: NOTHING,
    },
    Attack {
        name: "channels on 2000 parts of an array",
        run: |ioc, peer| create_all(ioc, peer, |n| format!("wave.VAL[{}:2:]", n % 2000)),
        then: NOTHING,
    },
    Attack {
        name: "channels with names of 1 kB",
        run: |ioc, peer| create_all(ioc, peer, |_| format!("wave.VAL[0x{:01000x}]", 1)),
        then: NOTHING,
    },
    Attack {
        name: "channels",
        run: |ioc, peer| create_all(ioc, peer, |_| "x".to_owned()),
        then: NOTHING,
    },
    Attack {
        name: "subscriptions",
        run: |ioc, peer| subscribe_all(ioc, peer, usize::MAX),
        then: NOTHING,
    },
    Attack {
        name: "updates of 50 000 subscriptions, not read",
        run: |ioc, peer| subscribe_all(ioc, peer, 50_000),
        then: |ioc, peers| {
            // As many as fill the rings.
            for n in 0..10 {
                ioc.post(at(0), "x", f64::from(n)).expect("a number");
                for peer in &mut *peers {
                    peer.take(ioc);
                }
            }
        },
    },
];

fn create_all(ioc: &mut Ioc, peer: &mut Peer, name: impl Fn(u32) -> String) {
    peer.create_many(ioc, usize::MAX, name);
}

fn event_add(sid: Sid, count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    tcp::Request::EventAdd {
        ty: PLAIN_STRING,
        count,
        sid,
        subid: ca_proto::ids::SubId(1),
        mask: ca_proto::wire::message::EventMask::VALUE,
    }
    .encode_into(&mut bytes);
    bytes
}

fn subscribe_all(ioc: &mut Ioc, peer: &mut Peer, most: usize) {
    let sid = peer.create(ioc, "x").expect("room");
    let count = |ioc: &Ioc, peer: &Peer| {
        let circuit = ioc.circuit(peer.circuit);
        circuit.map_or(0, |circuit| circuit.subscription_count())
    };
    let mut requests = Vec::new();
    for _ in 0..BATCH {
        tcp::Request::EventAdd {
            ty: PLAIN_DOUBLE,
            count: 1,
            sid,
            subid: ca_proto::ids::SubId(1),
            mask: ca_proto::wire::message::EventMask::VALUE,
        }
        .encode_into(&mut requests);
    }
    let mut before = usize::MAX;
    while before != count(ioc, peer) && before.wrapping_add(BATCH) <= most {
        before = count(ioc, peer);
        peer.send_all(ioc, &requests);
    }
}

fn put_arrays(ioc: &mut Ioc, peer: &mut Peer, mut sid: impl FnMut(&mut Ioc, &mut Peer) -> Sid) {
    let count = doubles(ioc.params());
    let data = vec![1; count as usize];
    let before = refused(ioc);
    for _ in 0..1000 {
        let sid = sid(ioc, peer);
        peer.drain(ioc);
        peer.put_notify(ioc, sid, (PLAIN_CHAR, count), &data);
        if refused(ioc) > before {
            break;
        }
    }
}

fn put_numbers(ioc: &mut Ioc, peer: &mut Peer) {
    let name = "n".repeat(500);
    let name = Text::new(name.as_bytes());
    peer.send(ioc, &tcp::Request::ClientName { name });
    peer.send(ioc, &tcp::Request::HostName { name });
    // Each batch of channels, and a put to each of them.
    loop {
        let first = peer.channels();
        let more = peer.create_many(ioc, BATCH, |_| "number".to_owned());
        let before = ioc.stats().limits;
        let mut bytes = Vec::new();
        for sid in first..first + more {
            tcp::Request::WriteNotify {
                ty: PLAIN_DOUBLE,
                count: 1,
                sid: Sid(sid),
                ioid: ca_proto::ids::Ioid(7),
                data: Data(&[0; 8]),
            }
            .encode_into(&mut bytes);
        }
        peer.send_all(ioc, &bytes);
        if (more as usize) < BATCH || ioc.stats().limits != before {
            break;
        }
    }
}
