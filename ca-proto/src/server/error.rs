//! Why a server closes a circuit.

use thiserror::Error;

use crate::dbr::DbrType;
use crate::ids::{Sid, SubId};
use crate::wire::message::EventMask;
use crate::wire::{Command, Minor};

/// What a client did that ends its circuit (`camessage` of EPICS Base).
///
/// An error reply may have been queued before; the driver sends what is queued, then closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Violation {
    /// The command is reserved, extinct, unknown, or one that only servers send.
    #[error("the client sent {0}, which is no request")]
    UnknownCommand(Command),
    /// The length of a message is not a multiple of 8; framing is lost.
    #[error("the client sent {command} with {len} bytes of payload, not a multiple of 8")]
    Misaligned {
        /// Command of the message.
        command: Command,
        /// Announced payload in bytes.
        len: u32,
    },
    /// The client is older than 4.4.
    #[error("the client announced version {0}, at least 4.4 is needed")]
    UnsupportedVersion(Minor),
    /// The circuit priority is above 99.
    #[error("the client asked for circuit priority {0}, at most 99 is possible")]
    BadPriority(u16),
    /// The DBR type code is above 38.
    #[error("the client sent {command} with unknown type {ty}")]
    BadType {
        /// Command of the message.
        command: Command,
        /// The type code.
        ty: DbrType,
    },
    /// The circuit has no such channel.
    #[error("the client sent {command} for server id {sid}, which is no channel of its circuit")]
    UnknownSid {
        /// Command of the message.
        command: Command,
        /// The identifier.
        sid: Sid,
    },
    /// The channel has no such subscription.
    #[error("the client cancelled subscription {subid}, which channel {sid} does not have")]
    UnknownSubscription {
        /// The channel.
        sid: Sid,
        /// The client's identifier of the subscription.
        subid: SubId,
    },
    /// The event mask is empty or has bits above 0x80.
    #[error("the client subscribed with event mask {:#x}, which must be 0x1 to 0xff", .0.0)]
    BadMask(EventMask),
    /// The payload is too short for the command.
    #[error("the client sent {command} with {len} bytes of payload, too few")]
    ShortPayload {
        /// Command of the message.
        command: Command,
        /// Announced payload in bytes.
        len: u32,
    },
    /// A client or host name has no NUL or is longer than 511 bytes.
    #[error("the client sent {0} without a NUL-terminated name of at most 511 bytes")]
    BadName(Command),
    /// A PV is gone, and the client is too old to be told other than by closing (before 4.7).
    #[error("a client of version {0} cannot be told that a PV is gone")]
    CannotDisconnectChannel(Minor),
}
