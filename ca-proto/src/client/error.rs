//! Why a request is refused locally, and what a peer can do wrong.

use core::fmt;

use thiserror::Error;

use crate::dbr::DbrType;
use crate::ids::Cid;
use crate::wire::{Command, Header, ParseError};

/// Why a channel cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Priorities are 0 to 99.
    #[error("priority {0} is above 99")]
    BadPriority(u8),
    /// The table of channels is full (2^24 entries).
    #[error("too many open channels")]
    TooManyChannels,
    /// The client was shut down.
    #[error("the client is shut down")]
    ShutDown,
}

/// Why a request is refused before anything is sent (`nciu` of EPICS Base, in its order).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OpError {
    /// The channel was closed.
    #[error("no such channel")]
    NoSuchChannel,
    /// The channel is not connected, or its server does not answer.
    #[error("not connected")]
    NotConnected,
    /// The server gives no read access.
    #[error("no read access")]
    NoReadAccess,
    /// The client writes nothing ([`ClientParams::read_only`](crate::config::ClientParams::read_only)).
    #[error("this client is read-only")]
    ReadOnly,
    /// The server gives no write access.
    #[error("no write access")]
    NoWriteAccess,
    /// More elements than the channel has.
    #[error("{asked} elements asked for, the channel has {available}")]
    BadCount {
        /// Elements of the request.
        asked: u32,
        /// Elements of the channel.
        available: u32,
    },
    /// The type cannot be read, or cannot be written, or is not the type of the value.
    #[error("{0} cannot be used here")]
    BadType(DbrType),
    /// A string element without NUL in its 40 bytes.
    #[error("a string element is longer than 39 bytes")]
    BadString,
    /// A subscription without any event.
    #[error("the event mask is empty")]
    BadMask,
    /// The message is above what the server's version or the client's limit allows.
    #[error("{bytes} bytes of payload exceed the limit of {limit}")]
    TooLarge {
        /// Bytes of the payload.
        bytes: u64,
        /// The limit that applies.
        limit: u32,
    },
    /// Requests are made faster than the circuit takes them; try again after output was sent.
    #[error("the send queue is full ({0} bytes)")]
    QueueFull(usize),
    /// The table of pending operations is full (2^21 entries).
    #[error("too many pending operations")]
    TooManyOps,
    /// The table of subscriptions is full (2^24 - 1 entries).
    #[error("too many subscriptions")]
    TooManySubscriptions,
}

/// The first bytes that a peer sent, 16 at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl Opening {
    const MAX: usize = 16;

    pub(super) fn new(sent: impl IntoIterator<Item = u8>) -> Self {
        let (mut bytes, mut len) = ([0; Self::MAX], 0);
        for (place, byte) in bytes.iter_mut().zip(sent) {
            *place = byte;
            len += 1;
        }
        Self { bytes, len }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// What the peer seems to speak, as the beginning of a sentence; empty if nobody knows.
    fn guess(&self) -> &'static str {
        match self.as_bytes() {
            [b'H', b'T', b'T', b'P', ..] => "it speaks HTTP, not Channel Access; ",
            [b'S', b'S', b'H', b'-', ..] => "it speaks SSH, not Channel Access; ",
            // Alert or handshake (RFC 8446, 5.1).
            [0x15 | 0x16, 3, ..] => "it speaks TLS, not Channel Access; ",
            // pvAccess begins each message so.
            [0xca, ..] => "it speaks pvAccess, not Channel Access; ",
            _ => "it does not speak Channel Access; ",
        }
    }
}

impl fmt::Display for Opening {
    /// As a text in quotes, what cannot be printed as `\xNN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// What a server did wrong; its circuit has to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A payload size that is not a multiple of 8: the beginning of the next message is unknown.
    #[error("{} announces {} bytes of payload, not a multiple of 8", .0.command, .0.payload_len)]
    Misaligned(Header),
    /// A message that servers do not send.
    #[error("{0} is not a message for clients")]
    Unexpected(Command),
    /// A message without the payload that it needs.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// The first message is none that a server of Channel Access sends.
    #[error("{}its first bytes are {}", .0.guess(), .0)]
    NotChannelAccess(Opening),
    /// A channel of a type that does not exist.
    #[error("channel {cid} has the native type {ty}")]
    BadNativeType {
        /// The channel.
        cid: Cid,
        /// The type code.
        ty: DbrType,
    },
}
