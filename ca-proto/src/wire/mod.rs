//! The wire: headers, frames, messages, the send queue, and a readable dump.
//!
//! ```text
//! bytes ─► Deframer ─► Frame ─► tcp::Request / tcp::Response / udp::Message
//! udp::Message, tcp::Request, tcp::Response ─► SendQueue ─► bytes
//! ```

pub mod command;
pub mod dump;
pub mod frame;
pub mod header;
pub mod message;
pub mod name;
pub mod send_queue;

pub use command::Command;
pub use frame::{Deframer, Frame, FrameError, FrameLimits, Frames, datagram_frames};
pub use header::{Header, Minor};
pub use message::{ParseError, tcp, udp};
pub use name::{PvName, PvNameError};
pub use send_queue::SendQueue;

/// Default TCP and UDP port of Channel Access servers (`EPICS_CA_SERVER_PORT`).
pub const SERVER_PORT: u16 = 5064;
/// Default UDP port of the repeater (`EPICS_CA_REPEATER_PORT`).
pub const REPEATER_PORT: u16 = 5065;
/// Largest datagram that the reference client and server send, in bytes (`caProto.h`).
pub const MAX_UDP_SEND: usize = 1024;
/// Largest datagram that must be accepted, in bytes (`caProto.h`: 0xffff + 16).
pub const MAX_UDP_RECV: usize = 0xffff + 16;

/// Rounds up to the next multiple of eight, the granularity of every message.
pub const fn align8(len: usize) -> usize {
    (len + 7) & !7
}
