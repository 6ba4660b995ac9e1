//! What travels, and when it arrives.

use core::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::Instant;

use super::{ConnId, HostId};
use crate::host::CloseKind;

/// What the network hands to a host.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Delivery {
    Datagram {
        port: u16,
        /// The address it was sent to.
        to: Ipv4Addr,
        from: SocketAddrV4,
        data: Vec<u8>,
    },
    Unowned {
        addr: SocketAddrV4,
    },
    Accepted {
        conn: ConnId,
        port: u16,
        peer: SocketAddrV4,
        window: usize,
    },
    Connected {
        conn: ConnId,
        window: usize,
    },
    Data {
        conn: ConnId,
        data: Vec<u8>,
        full: bool,
    },
    Writable {
        conn: ConnId,
        window: usize,
    },
    Closed {
        conn: ConnId,
        how: CloseKind,
    },
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Event {
    Datagram {
        src: HostId,
        dst: HostId,
        to: SocketAddrV4,
        from: SocketAddrV4,
        data: Vec<u8>,
    },
    /// Tell the host that nobody has this port.
    Unowned(HostId, SocketAddrV4),
    /// A dial arrives at the host it is for.
    Syn(usize),
    /// The answer arrives at the host that dialled.
    SynAck(usize),
    Refused(usize),
    /// Bytes or an end may be due at the far side of this pipe.
    Pipe(usize, usize),
    /// An abort arrives at the far side of this end.
    Reset(usize, usize),
    /// Tell the end that it may write again.
    Writable(usize, usize),
}

pub(super) struct Scheduled {
    pub(super) at: Instant,
    pub(super) seq: u64,
    pub(super) event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
impl Scheduled {
    const fn key(&self) -> (Instant, u64) {
        (self.at, self.seq)
    }
}
