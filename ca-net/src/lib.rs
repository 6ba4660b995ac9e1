//! Sockets and tasks under the Channel Access state machines.
//!
//! The state machines of `ca-proto` see bytes and instants; this crate moves the bytes. Everything
//! that has a file descriptor or a clock hides behind the [`Runtime`] and its small object-safe
//! traits, so the drivers of client and server run unchanged on [`TokioRuntime`] and on a virtual
//! network with a virtual clock.
//!
//! ```text
//!   driver task ── StreamIo ── ByteStream ─┐
//!               ── UdpIo ── DatagramSocket ├─ Runtime: TokioRuntime | a virtual network
//!               ── Timer ──────────────────┘
//! ```
//!
//! A driver is one hand-written future: read until drained or until its [`Budget`] is used up,
//! let the state machine work under its lock, collect wakers in a [`WakerList`], unlock, wake,
//! write until blocked, arm its one timer.

pub mod budget;
pub mod identity;
pub mod iface;
pub mod repeater;
pub mod runtime;
pub mod stream;
mod timer;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod timer_fd;
pub mod tokio_rt;
pub mod udp;
pub mod wake;

pub use budget::Budget;
pub use repeater::{RepeaterDriver, RepeaterStart};
pub use runtime::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, Task,
    TaskHandle, Timer, UdpOptions,
};
pub use stream::{Received, StreamIo};
pub use tokio_rt::TokioRuntime;
pub use udp::UdpIo;
pub use wake::WakerList;
