//! What can stand on a host of the virtual network.

use core::net::SocketAddrV4;
use std::any::Any;
use std::fmt::Debug;

use ca_proto::Instant;
use ca_proto::wire::SendQueue;

use crate::net::ConnId;

mod client;
mod gateway;
mod hostile;
mod ioc;
mod links;
mod name_server;
mod reader;
mod repeater;
mod script;

pub use client::{Answer, ClientHost, News, SubLog, UpdateLog};
pub use gateway::{GatewayHost, Shown};
pub use hostile::HostileHost;
pub use ioc::{IocHost, wall};
pub use name_server::NameServerHost;
pub use repeater::RepeaterHost;
pub use script::{Received, ScriptHost};

/// How a stream ended, as its reader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseKind {
    /// The peer has ended its side; one's own side is still open.
    Eof,
    /// The stream was broken.
    Reset,
    /// The dial was refused.
    Refused,
}

/// What the network hands to a host.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum HostInput<'a> {
    /// A datagram for one of the host's ports.
    Datagram {
        /// The port it arrived at.
        port: u16,
        /// Where it came from.
        from: SocketAddrV4,
        /// Its bytes.
        data: &'a [u8],
    },
    /// Nobody has the datagram port that was asked about with [`HostOutput::TryBind`].
    Unowned {
        /// The address and port.
        addr: SocketAddrV4,
    },
    /// Somebody opened a stream to a listening port.
    Accepted {
        /// The new stream.
        conn: ConnId,
        /// The listening port.
        port: u16,
        /// The other end.
        peer: SocketAddrV4,
        /// Bytes that may be sent.
        window: usize,
    },
    /// A dial succeeded.
    Connected {
        /// The number given with the dial.
        conn: ConnId,
        /// Bytes that may be sent.
        window: usize,
    },
    /// The next bytes of a stream. A read that finds nothing is handed out only after one that was
    /// full: then `data` is empty.
    Data {
        /// The stream.
        conn: ConnId,
        /// The bytes.
        data: &'a [u8],
        /// The chunk fills a whole read, so there may be more.
        full: bool,
    },
    /// A stream takes bytes again.
    Writable {
        /// The stream.
        conn: ConnId,
        /// Bytes that may be sent from now on, instead of what was known before.
        window: usize,
    },
    /// A stream ended, or was never opened. After [`CloseKind::Eof`] the host still has to close
    /// its own side; after the others the stream is gone.
    Closed {
        /// The stream.
        conn: ConnId,
        /// How.
        how: CloseKind,
    },
}

/// What a host asks of the network.
#[derive(Clone, PartialEq, Debug)]
pub enum HostOutput {
    /// Receive datagrams at this port.
    Bind {
        /// The port.
        port: u16,
    },
    /// Ask whether somebody has a datagram port of this machine, by trying to bind it for a
    /// moment. There is an answer only if nobody has.
    TryBind {
        /// The address and port.
        addr: SocketAddrV4,
    },
    /// Receive no more datagrams at this port.
    Unbind {
        /// The port.
        port: u16,
    },
    /// Accept streams at this port.
    Listen {
        /// The port.
        port: u16,
    },
    /// Accept no more streams at this port.
    Unlisten {
        /// The port.
        port: u16,
    },
    /// Send a datagram.
    Datagram {
        /// The own port it leaves from.
        port: u16,
        /// A host, a subnet's broadcast address, `255.255.255.255`, or this machine.
        to: SocketAddrV4,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// Open a stream.
    Dial {
        /// A number below 2^32 that the host does not use otherwise.
        conn: ConnId,
        /// The listening port to reach.
        to: SocketAddrV4,
    },
    /// Send bytes, at most as many as the known window.
    Send {
        /// The stream.
        conn: ConnId,
        /// The bytes.
        data: Vec<u8>,
    },
    /// End the own side of a stream.
    Shutdown {
        /// The stream.
        conn: ConnId,
    },
    /// Close the socket.
    Close {
        /// The stream.
        conn: ConnId,
    },
    /// Close the socket with a reset.
    Abort {
        /// The stream.
        conn: ConnId,
    },
    /// Stop or resume reading; while stopped, bytes stay with the network and fill the peer's
    /// window.
    Read {
        /// The stream.
        conn: ConnId,
        /// Whether bytes are wanted.
        enabled: bool,
    },
}

/// A program on a host: the four verbs of the sans-I/O objects, with the network's inputs.
pub trait Host: Any + Debug {
    /// Takes one input. [`poll_output`](Self::poll_output) is drained afterwards.
    fn handle(&mut self, now: Instant, input: HostInput<'_>);

    /// The time of [`poll_timeout`](Self::poll_timeout) has come; afterwards it must be later than
    /// `now`.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing the host wants done; called until `None`.
    fn poll_output(&mut self, now: Instant) -> Option<HostOutput>;

    /// When the host wants to be called.
    fn poll_timeout(&self) -> Option<Instant>;

    /// A promise that the host itself saw broken, in words; checked after every step.
    fn complaint(&mut self) -> Option<String> {
        None
    }
}

/// The first bytes of a queue, at most `most`.
fn front(queue: &SendQueue, most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(most.min(queue.len()));
    for slice in queue.slices() {
        let room = most - out.len();
        out.extend_from_slice(&slice[..slice.len().min(room)]);
        if out.len() == most {
            break;
        }
    }
    out
}
