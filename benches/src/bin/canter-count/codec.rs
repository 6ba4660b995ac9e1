//! The wire alone.

use std::hint::black_box;

use ca_proto::EcaStatus;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, SubId};
use ca_proto::wire::message::{Data, SearchFlag, Text};
use ca_proto::wire::{Deframer, Limits, Minor, SendQueue, datagram_frames, tcp, udp};

use crate::Work;

const LIMITS: Limits = Limits {
    max_payload: 1 << 24,
    extended: true,
};
/// Updates of 40 bytes that fill one chunk of 64 KiB.
const PER_CHUNK: u32 = 64 * 1024 / 40;
const ROUNDS: usize = 50;
const NAMES: u32 = 21;

fn update(n: u32) -> tcp::Response<'static> {
    tcp::Response::EventAdd {
        ty: DbrType(20),
        count: 1,
        status: EcaStatus::NORMAL,
        subid: SubId(n),
        data: Data(&[7; 24]),
    }
}

/// Splits and parses a chunk of updates.
pub(crate) fn parse() -> Work {
    let mut queue = SendQueue::new();
    (0..PER_CHUNK).for_each(|n| update(n).encode(&mut queue));
    let chunk = queue.to_vec();
    let mut deframer = Deframer::new(LIMITS);
    Box::new(move || {
        for _ in 0..ROUNDS {
            let mut frames = deframer.frames(black_box(&chunk));
            let mut found = 0;
            while let Some(Ok(frame)) = frames.next() {
                let parsed = tcp::Response::parse(&frame);
                found += u32::from(matches!(parsed, Ok(tcp::Response::EventAdd { .. })));
            }
            assert_eq!(found, PER_CHUNK);
        }
    })
}

/// Encodes a chunk of updates.
pub(crate) fn encode() -> Work {
    let mut queue = SendQueue::new();
    Box::new(move || {
        for _ in 0..ROUNDS {
            (0..PER_CHUNK).for_each(|n| update(black_box(n)).encode(&mut queue));
            black_box(queue.len());
            queue.clear();
        }
    })
}

/// Parses a full search datagram.
pub(crate) fn search() -> Work {
    let mut datagram = Vec::new();
    for n in 0..NAMES {
        let name = format!("facility:area:device{n:02}:field");
        udp::Request::Search {
            reply: SearchFlag::DONT_REPLY,
            minor: Minor::CURRENT,
            cid: Cid(n),
            cid2: Cid(n),
            name: Text::new(name.as_bytes()),
        }
        .encode_into(&mut datagram);
    }
    Box::new(move || {
        for _ in 0..20 * ROUNDS {
            let mut found = 0;
            for frame in datagram_frames(black_box(&datagram)).flatten() {
                let parsed = udp::Request::parse(&frame);
                found += u32::from(matches!(parsed, Ok(udp::Request::Search { .. })));
            }
            assert_eq!(found, NAMES);
        }
    })
}
