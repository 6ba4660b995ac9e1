//! Virtual network and clock in which Channel Access clients and IOCs meet.
//!
//! A [`World`] holds hosts (clients, simulated IOCs, repeaters, scripted and hostile peers), a
//! network with faults, and a clock that jumps from event to event. No sockets, no threads, no
//! executor: the production state machines of `ca-proto` and `ca-server-sim` run in it unchanged,
//! and the same seed gives the same bytes at the same times.

pub mod host;
pub mod net;
pub mod trace;
pub mod world;

pub use net::{ConnId, HostId, Link, Segmentation, SimNet};
pub use trace::Trace;
pub use world::{Busy, World, seed};
