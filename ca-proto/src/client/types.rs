//! What goes into the client core and what comes out of it.

use alloc::string::String;
use core::fmt;
use core::net::SocketAddrV4;

use thiserror::Error;

use super::error::Violation;
use crate::access::AccessRights;
use crate::dbr::{Brief, DbrType, Family, NativeType};
use crate::ids::{Cid, CircuitId};
use crate::status::EcaStatus;
use crate::wire::message::EventMask;
use crate::wire::{Frame, Minor};

/// A number chosen by the caller of a request; it comes back with each result of that request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Token(pub u64);

/// In which DBR type to ask for a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TypeSpec {
    /// The channel's native type in this family, found anew at each connect.
    Family(Family),
    /// Exactly this type.
    Exact(DbrType),
}

impl TypeSpec {
    /// The type on the wire for a channel of type `native`; `None` for types that cannot be read.
    pub(super) fn resolve(self, native: NativeType) -> Option<DbrType> {
        let ty = match self {
            Self::Family(family) => DbrType::new(family, native),
            Self::Exact(ty) => ty,
        };
        is_readable(ty).then_some(ty)
    }
}

/// True for the types in which values travel from a server: 0 to 34, 37 and 38.
pub(super) const fn is_readable(ty: DbrType) -> bool {
    ty.is_valid() && ty.0 != DbrType::PUT_ACKT.0 && ty.0 != DbrType::PUT_ACKS.0
}

/// What to read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReadSpec {
    /// Type of the answer.
    pub ty: TypeSpec,
    /// Number of elements; 0 asks for the current length (servers below 4.13 are asked for the
    /// channel's element count instead).
    pub count: u32,
}

/// What to subscribe to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SubSpec {
    /// Type of the updates.
    pub ty: TypeSpec,
    /// Number of elements; 0 follows the current length (servers below 4.13 are asked for the
    /// channel's element count instead). More than the channel has becomes what it has.
    pub count: u32,
    /// Which changes cause an update.
    pub mask: EventMask,
}

/// Whether the last read from the socket emptied it, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum More {
    /// The read was short: nothing more is waiting.
    Drained,
    /// The buffer was filled: more may be waiting.
    Maybe,
}

/// An update of a subscription.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Type of the structure in the frame.
    pub ty: DbrType,
    /// Elements in the structure; 0 is a valid length.
    pub count: u32,
    /// What this side found wrong with the message; then `status` is the code that comes nearest.
    pub malformed: Option<Malformed>,
    /// Anything but [`EcaStatus::NORMAL`] means: no value, ignore the frame's payload. The
    /// subscription goes on (`ECA_NORDACCESS` while read access is missing).
    pub status: EcaStatus,
    /// The message. With a normal status its payload holds at least the structure; only the last
    /// string may be shorter than 40 bytes.
    pub frame: &'a Frame<'a>,
}

/// The result of a read or a put-notify.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// A value; the frame is as described for [`Update`].
    Read {
        /// Type of the structure in the frame.
        ty: DbrType,
        /// Elements in the structure.
        count: u32,
        /// The message.
        frame: &'a Frame<'a>,
    },
    /// The put-notify is complete, or the server has looked at the checked write.
    Written,
    /// The server refused or failed.
    Failed(EcaStatus),
    /// The same, with a text of the server.
    Exception {
        /// The server's status code.
        status: EcaStatus,
        /// The server's text, of no known character set, cut to 400 bytes.
        text: &'a [u8],
    },
    /// The server answered, but there is no value in what it sent.
    Malformed(Malformed),
    /// The circuit was lost or became unresponsive, or the server deleted the channel. A put may
    /// have been executed.
    Disconnected,
    /// The deadline passed. A put may still be executed.
    TimedOut,
}

/// What this side found wrong with an answer or an update; the server may think that all is well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Values do not travel in this type.
    #[error("the value came as {0}, in which no values travel")]
    BadType(DbrType),
    /// There are fewer bytes than the elements need.
    #[error("{count} elements of {ty} were announced, which need {needed} bytes; {bytes} came")]
    Short {
        /// Type of the structure.
        ty: DbrType,
        /// Elements that were announced.
        count: u32,
        /// Bytes of the payload.
        bytes: u32,
        /// Bytes of such a structure.
        needed: u64,
    },
    /// The message was above the limit of this client, and skipped.
    #[error(
        "the value has {bytes} bytes, this client takes {limit}; raise EPICS_CA_MAX_ARRAY_BYTES, or \
         ask for fewer elements"
    )]
    TooLarge {
        /// Bytes of the payload.
        bytes: u32,
        /// The limit.
        limit: u32,
    },
}

impl Malformed {
    /// The status code that comes nearest, for those who know nothing else.
    pub const fn status(self) -> EcaStatus {
        match self {
            Self::BadType(_) => EcaStatus::BADTYPE,
            Self::Short { .. } => EcaStatus::BADCOUNT,
            Self::TooLarge { .. } => EcaStatus::TOLARGE,
        }
    }
}

/// A change in the life of a subscription.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lifecycle {
    /// No updates will come for now.
    Disconnected,
    /// Updates will come, the first one at once.
    Connected,
}

/// Receives what arrives, while it is decoded; payloads are borrowed from the receive buffer.
///
/// The methods are called inside the core's input methods. They must not block.
pub trait Deliver {
    /// An update of the subscription made with `token`.
    fn update(&mut self, token: Token, update: Update<'_>);
    /// An update that is small and in order, as nearly all are, for whoever has no need of its message.
    /// False if it was not taken: then it comes as an [`update`](Self::update), as it always does
    /// without this method. Small updates may also come as such.
    fn brief(&mut self, _token: Token, _brief: Brief) -> bool {
        false
    }
    /// The one result of the read or put-notify made with `token`. Cancelled requests and those of a
    /// closed channel have none.
    fn reply(&mut self, token: Token, reply: Reply<'_>);
    /// The channel of the subscription made with `token` was connected or lost after the
    /// subscription was made.
    fn lifecycle(&mut self, token: Token, change: Lifecycle);
}

/// What became of a circuit's connection, as the driver saw it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The connection could not be made.
    DialFailed,
    /// The host answers, but nobody listens at the port, or a firewall says so.
    Refused,
    /// There is no way to the host.
    Unreachable,
    /// The connection was not made within the connect time-out.
    DialTimeout,
    /// The peer ended the stream.
    Eof,
    /// Reading or writing failed (reset, keep-alive).
    Reset,
    /// The peer said why, without naming a channel, and ended the stream.
    Said(EcaStatus),
    /// The peer broke the protocol.
    Violation,
    /// The first bytes of the peer are none of Channel Access.
    NotChannelAccess,
    /// This side hung up.
    Hangup,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DialFailed => "the connection cannot be made",
            Self::Refused => "connection refused",
            Self::Unreachable => "host or network unreachable",
            Self::DialTimeout => "no connection within the time-out",
            Self::Eof => "closed by the peer",
            Self::Reset => "connection lost",
            Self::Said(status) => {
                return write!(f, "the server said {status} and closed the connection");
            }
            Self::Violation => "the peer broke the protocol",
            Self::NotChannelAccess => "what listens there does not speak Channel Access",
            Self::Hangup => "hung up",
        })
    }
}

/// Why a channel is not connected, or was not for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// Its circuit is gone, or never came about.
    Circuit(CloseReason),
    /// Its circuit does not answer; the connection is kept (`tcpiiu::unresponsiveCircuitNotify` of EPICS Base).
    Unresponsive,
    /// The server answered the search, then refused to create the channel.
    CreateFailed,
    /// The server did not answer the request to create the channel.
    CreateTimeout,
    /// The server deleted the channel.
    Deleted,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Circuit(why) => write!(f, "{why}"),
            Self::Unresponsive => f.write_str("the server does not answer"),
            Self::CreateFailed => f.write_str("the server refused to create the channel"),
            Self::CreateTimeout => f.write_str("the server did not create the channel in time"),
            Self::Deleted => f.write_str("the server deleted the channel"),
        }
    }
}

/// Changes of state and remarks, in the order in which they happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The channel can be used; its access rights are known.
    Connected {
        /// The channel.
        cid: Cid,
    },
    /// The channel was connected and is not any more. All its pending operations were answered.
    Disconnected {
        /// The channel.
        cid: Cid,
        /// What happened.
        why: Trouble,
    },
    /// A found channel did not come about; it is searched again after a pause.
    NotConnected {
        /// The channel.
        cid: Cid,
        /// What happened.
        why: Trouble,
    },
    /// The rights of a connected channel changed.
    AccessRights {
        /// The channel.
        cid: Cid,
        /// The new rights.
        rights: AccessRights,
    },
    /// A second server answered for the same name; the first one is kept.
    Duplicate {
        /// The channel.
        cid: Cid,
        /// Server in use.
        kept: SocketAddrV4,
        /// Server that is not used.
        ignored: SocketAddrV4,
    },
    /// A server reported a failure that belongs to no pending request: of a plain write (with its
    /// channel) or of anything else.
    Exception {
        /// The circuit it came on.
        circuit: CircuitId,
        /// The server.
        addr: SocketAddrV4,
        /// The channel, if the server named one.
        cid: Option<Cid>,
        /// The server's status code.
        status: EcaStatus,
        /// The server's text, cut to 400 bytes.
        text: String,
    },
    /// A server does not answer any more; its connection is kept.
    Unresponsive {
        /// The circuit.
        circuit: CircuitId,
        /// The server.
        addr: SocketAddrV4,
    },
    /// An unresponsive server answered again.
    Responsive {
        /// The circuit.
        circuit: CircuitId,
        /// The server.
        addr: SocketAddrV4,
    },
    /// A circuit is gone although it was wanted.
    CircuitClosed {
        /// The circuit; the identifier is free for use again.
        circuit: CircuitId,
        /// The server.
        addr: SocketAddrV4,
        /// What happened.
        why: CloseReason,
    },
    /// A peer broke the protocol; its circuit is being closed.
    Violation {
        /// The circuit.
        circuit: CircuitId,
        /// The server.
        addr: SocketAddrV4,
        /// What it did.
        violation: Violation,
    },
    /// A search was answered with an address that no server can have (of 0.0.0.0/8, or 224.0.0.0
    /// and above, or with port 0); the answer is ignored.
    BadAddress {
        /// The channel.
        cid: Cid,
        /// Who answered.
        from: SocketAddrV4,
        /// Where the server is said to be.
        named: SocketAddrV4,
    },
    /// A channel was opened, but there is neither a search address nor a name server.
    NoSearchAddress,
    /// A server was found and no circuit opened to it: there are as many as there may be. Told once
    /// in 10 s at most.
    TooManyCircuits {
        /// The server.
        addr: SocketAddrV4,
        /// The field of [`ClientParams`](crate::config::ClientParams) that says how many.
        setting: &'static str,
    },
    /// No repeater answered 50 registrations; beacons may not arrive.
    NoRepeater,
}

/// Whether a name server can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum NameServerState {
    /// It is asked.
    Asked,
    /// The connection to it is being made, or its version has not come.
    Connecting,
    /// It has not the version 4.12 that searches over TCP need.
    TooOld(Minor),
    /// It does not answer any more.
    Unresponsive,
    /// The connection to it was lost or did not come about; it is tried again.
    Lost(CloseReason),
}

impl fmt::Display for NameServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("connected"),
            Self::Connecting => f.write_str("it has said nothing yet"),
            Self::TooOld(minor) => {
                write!(f, "it has version 4.{}, searches need 4.12", minor.0)
            }
            Self::Unresponsive => f.write_str("it does not answer any more"),
            Self::Lost(why) => write!(f, "{why}"),
        }
    }
}

/// How to end a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hangup {
    /// Send what is queued, shut down the write side, wait for the peer's end of stream.
    Orderly,
    /// At once; what is queued is lost.
    Abort,
}

/// Something to be done with connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Connect; then `handle_connected` or `handle_closed`.
    Dial {
        /// The circuit.
        circuit: CircuitId,
        /// Where to.
        addr: SocketAddrV4,
    },
    /// Close; then `handle_closed`.
    Hangup {
        /// The circuit.
        circuit: CircuitId,
        /// How.
        how: Hangup,
    },
}

/// Where a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// To every address of `ClientParams::search_addrs`, in order.
    Search,
    /// To this address.
    To(SocketAddrV4),
}

/// Entries in the tables of a [`Client`](super::Client).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Open channels.
    pub channels: usize,
    /// Circuits that the driver has not reported as closed, those to name servers included.
    pub circuits: usize,
    /// Reads and put-notifies without an answer; cancelled ones too while their server may still
    /// answer.
    pub operations: usize,
    /// Subscriptions; cancelled ones too while their server has not confirmed it.
    pub subscriptions: usize,
}
