//! A simulated EPICS IOC in the process of its user.
//!
//! [`Ioc`] is a state machine without sockets or clock: it runs in tests with a virtual clock, and
//! the same object serves real clients. PVs are described by [`PvSpec`] and have the fields, alarms,
//! dead-bands and put rules of EPICS records; signals let them move by themselves.
//!
//! # Examples
//! An IOC that answers a search, without any socket:
//! ```
//! use ca_server_sim::{Instant, Ioc, PvSpec, Timestamp, signals::Sine};
//! use std::time::Duration;
//!
//! let second = Duration::from_secs(1);
//! let mut ioc = Ioc::builder()
//!     .pv("sim:sine", PvSpec::double(0.0).units("mm").signal(Sine::new(-1.0, 1.0, second), second / 4))
//!     .pv("sim:note", PvSpec::string("hello"))
//!     .build()?;
//! ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
//! ioc.handle_timeout(Instant::ZERO + second / 4);
//! assert!((ioc.number("sim:sine")? - 1.0).abs() < 1e-12);
//! ioc.post(Instant::ZERO + second / 4, "sim:note", "good bye")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod access;
pub mod autosave;
pub mod calc;
pub mod describe;
#[cfg(feature = "diagnostics")]
pub mod diagnostic;
pub mod driver;
pub mod faults;
pub mod load;
#[cfg(feature = "net")]
pub mod net;
pub mod shell;
pub mod signals;
#[cfg(feature = "toml")]
pub mod toml;

mod ahead;
mod alarm;
mod builder;
mod check;
mod database;
mod db;
mod deadband;
mod error;
mod fault;
mod field;
mod fields;
mod filter;
mod hook;
mod ioc;
mod limits;
mod name;
mod overseers;
mod plain;
pub mod process;
mod program;
mod publish;
mod put;
mod put_log;
mod pv;
mod question;
mod reads;
pub mod record;
mod scan;
mod served;
#[cfg(feature = "toml")]
mod settings;
mod slip;
mod state;
mod ticks;
mod view;

/// The protocol's crate, for whatever is not re-exported here by name.
pub use ca_proto;

/// The crate of sockets and tasks, for whatever is not re-exported here by name.
#[cfg(feature = "net")]
pub use ca_net;

pub use ca_proto::access::AccessRights;
pub use ca_proto::config::ServerParams;
pub use ca_proto::dbr::convert::PutValue;
pub use ca_proto::dbr::{
    Acknowledge, ConvertError, Element, EnumIndex, EnumStates, Limits, Metadata, NativeType,
    Payload, Range, Snapshot, Units, Value, ValueRef,
};
pub use ca_proto::server::{EndpointStats, Identity, Limit, LimitCounts, PutOutcome};
pub use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Instant, Timestamp};

pub use alarm::LimitSeverities;
pub use builder::IocBuilder;
pub use db::PvHandle;
pub use describe::PvTextError;
pub use error::{BuildError, FileErrors, PostError};
pub use fault::Fault;
pub use hook::{PutDecision, PutRequest};
pub use ioc::{Counts, Ioc};
pub use limits::IocStats;
#[cfg(feature = "net")]
pub use net::{NetConfig, ServeError, SimIoc};
pub use plain::{Completion, RecordType};
pub use program::PvRef;
pub use put_log::PutReport;
pub use pv::PvSpec;
pub use question::{HOLD, Observed, PutAnswer, PutQuestion, QuestionId};
pub use reads::READ_HOLD;
pub use served::{RecordChanges, RecordFiles, Reload, base_dbd, is_record_file};
#[cfg(feature = "toml")]
pub use settings::LIMIT_NAMES;
pub use signals::Signal;
pub use state::{
    IocSnapshot, KEPT_AT_START, MAX_SNAPSHOT, NotFrozen, ResetError, SnapshotError, Step,
};
#[cfg(feature = "toml")]
pub use toml::{Described, Description, TomlError};
