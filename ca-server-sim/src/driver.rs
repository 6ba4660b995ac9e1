//! What a program needs to drive an [`Ioc`] by hand: bytes of circuits in and out, frame by frame.
//!
//! # Examples
//! A connection's first message, and what the IOC answers:
//! ```
//! use std::net::{Ipv4Addr, SocketAddrV4};
//!
//! use ca_server_sim::driver::Deframer;
//! use ca_server_sim::{Instant, Ioc, PvSpec, Timestamp};
//!
//! let mut ioc = Ioc::builder().pv("x", PvSpec::double(1.5)).build()?;
//! let now = Instant::ZERO;
//! ioc.start(now, Timestamp::from_unix(1_800_000_000, 0), 5064);
//! let peer = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000);
//! let circuit = ioc.accept(now, peer).expect("the first circuit");
//! let mut deframer = Deframer::new(ioc.limits(circuit));
//!
//! // VERSION of protocol 4.13, priority 0.
//! let chunk = [0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0];
//! ioc.handle_chunk(now, circuit, &mut deframer, &chunk)?;
//! let output = ioc.transmit(circuit).expect("the circuit is open");
//! assert_eq!(output.to_vec()[..2], [0, 0]); // the IOC's VERSION
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use ca_proto::ids::CircuitId;
pub use ca_proto::server::{Circuit, CircuitStats, StallWatch, Violation};
pub use ca_proto::wire::{Deframer, Frame, FrameError, FrameLimits, SendQueue};

#[cfg(doc)]
use crate::Ioc;
