//! EPICS Channel Access wire protocol and state machines, without I/O.
#![no_std]

extern crate alloc;

pub mod access;
pub mod addr_list;
pub mod alarm;
pub mod client;
pub mod config;
pub mod dbr;
pub mod env;
pub mod ids;
pub mod repeater;
pub mod rng;
mod segments;
pub mod server;
pub mod status;
#[cfg(feature = "std")]
mod system_time;
pub mod text;
pub mod time;
pub mod wire;

pub use access::AccessRights;
pub use alarm::{Alarm, AlarmSeverity, AlarmStatus};
pub use status::EcaStatus;
pub use time::{Instant, Timestamp};
