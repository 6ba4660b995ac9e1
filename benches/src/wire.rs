//! Messages in memory.

use ca_proto::EcaStatus;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, SubId};
use ca_proto::wire::message::{Data, SearchFlag, Text};
use ca_proto::wire::{FrameLimits, Minor, SendQueue, tcp, udp};

/// What the deframer is to accept.
pub const LIMITS: FrameLimits = FrameLimits {
    max_payload: 1 << 24,
    extended: true,
};
/// Updates of 40 bytes that fill one chunk of 64 KiB, as a driver reads them.
pub const PER_CHUNK: u32 = 64 * 1024 / 40;
/// Names in [`search_datagram`].
pub const NAMES: u32 = 21;

/// An update of 40 bytes.
pub const fn update(n: u32) -> tcp::Response<'static> {
    tcp::Response::EventAdd {
        ty: DbrType(20),
        count: 1,
        status: EcaStatus::NORMAL,
        subid: SubId(n),
        data: Data(&[7; 24]),
    }
}

/// A chunk full of updates.
pub fn chunk_of_updates() -> Vec<u8> {
    let mut queue = SendQueue::new();
    (0..PER_CHUNK).for_each(|n| update(n).encode(&mut queue));
    queue.to_vec()
}

/// A datagram with searches for as many names as fit.
pub fn search_datagram() -> Vec<u8> {
    let mut datagram = Vec::new();
    let version = udp::Request::Version {
        valid: 1,
        minor: Minor::CURRENT,
        sequence: 1,
    };
    version.encode_into(&mut datagram);
    for n in 0..NAMES {
        let name = format!("facility:area:device{n:02}:field");
        let search = udp::Request::Search {
            reply: SearchFlag::DONT_REPLY,
            minor: Minor::CURRENT,
            cid: Cid(n),
            cid2: Cid(n),
            name: Text::new(name.as_bytes()),
        };
        search.encode_into(&mut datagram);
    }
    datagram
}
