//! Sockets and tasks under the Channel Access state machines.
//!
//! The state machines of `ca-proto` see bytes and instants; this crate moves the bytes. Everything
//! that has a file descriptor or a clock hides behind the [`Runtime`] and its small object-safe
//! traits, so the drivers of client and server run unchanged on `TokioRuntime` (feature `tokio`), on
//! `PollRuntime` (feature `poll`), which needs no async runtime, and on a virtual network with a
//! virtual clock.
//!
//! ```text
//!   driver task ── StreamIo ── ByteStream ─┐
//!               ── UdpIo ── DatagramSocket ├─ Runtime: TokioRuntime | PollRuntime | a virtual network
//!               ── Timer ──────────────────┘
//! ```
//!
//! A driver is one hand-written future: read until drained or until its [`Budget`] is used up,
//! let the state machine work under its lock, collect wakers in a [`WakerList`], unlock, wake,
//! write until blocked, arm its one timer.

pub mod budget;
pub mod identity;
pub mod iface;
#[cfg(feature = "poll")]
pub mod poll;
pub mod record;
pub mod repeater;
pub mod runtime;
pub mod stream;
#[cfg(feature = "poll")]
mod sync;
#[cfg(any(feature = "poll", feature = "tokio"))]
mod system;
pub mod tap;
#[cfg(any(feature = "poll", feature = "tokio"))]
mod timer;
#[cfg(all(
    any(feature = "poll", feature = "tokio"),
    any(target_os = "linux", target_os = "android")
))]
mod timer_fd;
#[cfg(feature = "tokio")]
pub mod tokio_rt;
pub mod udp;
pub mod wake;

/// The protocol's crate, of which types stand in signatures.
pub use ca_proto;

pub use budget::Budget;
#[cfg(feature = "poll")]
pub use poll::PollRuntime;
pub use repeater::{RepeaterDriver, RepeaterStart};
pub use runtime::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, Task,
    TaskHandle, Timer, UdpOptions,
};
pub use stream::{Received, StreamIo};
#[cfg(feature = "tokio")]
pub use tokio_rt::TokioRuntime;
pub use udp::UdpIo;
pub use wake::WakerList;
