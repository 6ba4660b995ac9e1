//! Virtual network and clock in which Channel Access clients and IOCs meet.
//!
//! ```
//! use ca_testkit::{World, api};
//!
//! let mut w = World::new(1);
//! let ioc = w.ioc(|db| {
//!     db.ai("x", 1.0);
//! });
//! let c = w.client();
//! let sub = c.subscribe(&mut w, "x", api::time());
//! w.settle().unwrap();
//! ioc.post(&mut w, "x", 2.0);
//! w.settle().unwrap();
//! assert_eq!(c.updates(&w, sub), [1.0, 2.0]);
//! ```
//!
//! A [`World`] holds hosts (clients, simulated IOCs, repeaters, scripted and hostile peers), a
//! network with faults, and a clock that jumps from event to event. No sockets, no threads, no
//! executor: the production state machines of `ca-proto` and `ca-server-sim` run in it unchanged,
//! and the same seed gives the same bytes at the same times.
//!
//! The asynchronous client and the IOC's drivers run on the same network and clock too, on a
#![cfg_attr(feature = "runtime", doc = "[`SimRuntime`](runtime::SimRuntime)")]
#![cfg_attr(not(feature = "runtime"), doc = "`SimRuntime` (feature `runtime`)")]
//! with an executor of its own.

pub mod api;
pub mod facility;
pub mod fuzz;
pub mod host;
pub mod net;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod trace;
pub mod world;

/// The crate with the traits of the virtual runtime.
#[cfg(feature = "runtime")]
pub use ca_net;
/// The protocol's crate, whose types the World shows.
pub use ca_proto;
/// The crate of the IOCs in the World.
pub use ca_server_sim;

pub use ca_proto::client::{OpError, ReadSpec, SubSpec, Token, TypeSpec};
pub use ca_proto::config::{ClientParams, ServerParams};
pub use ca_proto::dbr::{DbrType, Family, NativeType, Reading, Value};
pub use ca_proto::wire::message::EventMask;
pub use ca_proto::{EcaStatus, Instant, Timestamp};
pub use ca_server_sim::{AccessRights, Ioc, PvSpec};

pub use api::{ClientId, IocId, Pvs};
pub use net::{ConnId, HostId, Link, Segmentation, SimNet};
pub use trace::Trace;
pub use world::{Busy, World, seed};
