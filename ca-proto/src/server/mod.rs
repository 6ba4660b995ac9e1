//! Server state machines: name search and beacons ([`Endpoint`]), one client connection
//! ([`Circuit`]), and what they need from the process variables behind them ([`Database`]).
//!
//! ```text
//! datagrams ─► Endpoint ─► search replies, beacons
//! frames    ─► Circuit  ─► SendQueue        database ─► post, complete_put, rights_changed
//!                 │ ▲
//!                 ▼ │
//!              Database
//! ```
//!
//! Nothing here reads a clock or a socket. A driver hands in frames and the time, asks
//! [`Circuit::transmit`] for bytes when [`Circuit::has_output`], and stops reading (between two
//! frames, keeping the rest of the chunk) while [`Circuit::is_readable`] is false. The behaviour is
//! that of the reference server (`camessage.c` of EPICS Base) without its defects (`PROTOCOL.md`).

mod account;
mod ahead;
mod beacon;
mod channels;
mod circuit;
mod conversion;
mod database;
mod endpoint;
mod error;
mod event_queue;
mod held;
mod limit;
mod long_put;
mod names;
mod put_notify;
mod reply;
mod requests;
mod scalar;
mod shared;
mod subscriptions;
mod turn;
mod unfinished;

pub use account::{ALLOWANCE, Account, Charge};
pub use ahead::AHEAD;
pub use circuit::{Circuit, CircuitStats};
pub use database::{
    ChannelInfo, Database, Identity, Put, PutId, PutOutcome, PutTicket, PvId, RefusedPut, Strided,
    SubKey, Subscriber,
};
pub use endpoint::{Endpoint, EndpointStats};
pub use error::Violation;
pub use limit::{Limit, LimitCounts, StallWatch};
pub use shared::Conversions;
pub use subscriptions::Update;
pub use turn::Turn;
