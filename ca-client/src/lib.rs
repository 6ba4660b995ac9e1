//! EPICS Channel Access client.
//!
//! ```
//! use ca_client::{Client, MonitorEvent, Stamped};
//!
//! # use ca_server_sim::{Ioc, NetConfig, PvSpec};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
//! # let builder = Client::builder().isolated([ioc.udp_addr()]);
//! // `Client::from_env()` searches as EPICS_CA_ADDR_LIST and the like say.
//! # /*
//! let client = Client::from_env()?;
//! # */ let client = builder.build()?;
//! let motor = client.connect("m1").await?;
//!
//! let position: f64 = motor.get().await?; // the server converts
//! motor.put(position + 1.0).wait().await?; // returns when the motor has arrived
//!
//! let mut monitor = motor.monitor::<Stamped<f64>>().start()?;
//! while let Some(event) = monitor.next().await {
//!     match event {
//!         MonitorEvent::Update { value, skipped } => {
//!             println!("{} {}, {skipped} skipped", value.timestamp, value.value);
//!         }
//!         other => println!("{other:?}"),
//!     }
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The protocol lives in `ca_proto::client`, a state machine without I/O. Here one task per client
//! and one per circuit move its bytes; handles lock it for the moment of a request, and results are
//! put where their future finds them, so neither channels nor operations need tasks, queues of
//! messages or allocations of their own.
//!
//! Errors name the PV, the server, how far it came and how long it took. Every future may be
//! dropped at any time; what that means stands in its section "Cancel safety".

mod addresses;
mod batch;
#[cfg(feature = "blocking")]
pub mod blocking;
mod channel;
mod circuit_task;
mod client;
mod config;
mod connect;
mod convert;
mod debug;
mod endpoint;
mod error;
mod events;
mod explain;
mod extend;
mod get;
mod many;
mod metrics;
mod monitor;
mod monitor_set;
mod ops;
mod put;
mod refresh;
mod remedy;
mod running;
pub mod runtime;
mod set_queue;
mod shared;
mod spans;
mod sync;
mod waits;

/// The protocol's crate, for whatever is not re-exported here by name.
pub use ca_proto;

pub use addresses::Unused;
pub use ca_net::Runtime;
#[cfg(feature = "tokio")]
pub use ca_net::TokioRuntime;
pub use ca_net::record;
pub use ca_proto::access::AccessRights;
pub use ca_proto::client::{
    BeaconStats, ChannelState, ChannelStates, CloseReason, Connection, Malformed, NameServerState,
    OpError, OpenError, Opening, Overflow, ReadSpec, RoundTrips, SearchCost, Traffic, Trouble,
    TypeSpec, Violation,
};
pub use ca_proto::config::ClientParams;
pub use ca_proto::dbr::{
    Acknowledge, ConvertError, DbrType, Element, EnumIndex, EnumStates, Family, Limits, NativeType,
    Payload, Range, Reading, Units, Value, ValueRef,
};
pub use ca_proto::env::SettingLine;
pub use ca_proto::wire::message::EventMask;
pub use ca_proto::wire::{PvName, PvNameError};
pub use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Instant, Timestamp};

pub use channel::{Channel, ChannelInfo, Connected};
pub use client::{Client, ClientStats};
pub use config::{ClientBuilder, EffectiveConfig};
pub use connect::{Connect, ConnectMany};
pub use convert::{EnumState, FromReading, IntoValue, LongString, Stamped, Strings, ValueError};
pub use error::{BuildError, ConnectError, Context, GetError, MonitorError, Phase, PutError};
pub use events::{ClientEvent, Events};
pub use explain::{Cause, Explain, Explanation, Observed, Remark, Step};
pub use get::{Get, GetOnce};
pub use many::{GetMany, PutMany, Pv};
pub use metrics::ClientMetrics;
pub use monitor::{Monitor, MonitorBuilder, MonitorEvent, MonitorSpec};
pub use monitor_set::{MonitorBatch, MonitorKey, MonitorSet};
pub use put::{Put, PutOnce};
pub use remedy::Remedy;
