//! What control rooms do all day, on an EPICS Channel Access client.
//!
//! [`Kit`] gives a [client](ca_client::Client) more words, its blocking face the same ones: what is
//! awaited on the one is ended with `call()` on the other.
//!
//! ```
//! use ca_client::Client;
//! use ca_kit::{Kit, near};
//!
//! # use ca_server_sim::{Ioc, NetConfig, PvSpec};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
//! # let builder = Client::builder().isolated([ioc.udp_addr()]);
//! # /*
//! let client = Client::from_env()?;
//! # */ let client = builder.build()?;
//! client.put_and_match("m1", 2.0, "m1", near(2.0, 0.01)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Time is that of the client's runtime, so all of it runs on a virtual clock as it does on the real one.
//! Every future may be dropped at any time; what that means stands in its section "Cancel safety".

mod alarm;
mod align;
mod clock;
mod condition;
mod device;
mod face;
mod group;
mod kit;
mod matching;
mod metadata;
mod mistakes;
mod pause;
mod policy;
mod scan;
mod snapshot;
mod sync_group;
mod watch;
mod write;

/// The client's crate.
pub use ca_client;

pub use alarm::{
    Alarm, AlarmError, AlarmEvent, AlarmKind, AlarmPanel, AlarmState, AlarmTask, Trip,
};
pub use align::{Align, AlignCounts, AlignError, Aligned, AlignedRow, MAX_PLACES, Tag};
pub use condition::{Condition, Impossible, Level, at_least, at_most, between, near, text};
pub use device::{Attribute, Device, DeviceError, DeviceGet, DevicePut, expand};
pub use face::{Face, Feed, Op, Work};
pub use group::{
    CafeSnapshot, CafeValue, Collection, Collections, Group, GroupConnect, GroupError, GroupEvent,
    GroupFileError, GroupGet, GroupMonitor, GroupPut, GroupResults, GroupRow, Groups, MAX_MEMBERS,
    Member, MemberStatus, NoSuchMember, OpenGroup,
};
pub use kit::Kit;
pub use matching::{At, Match, MatchError, MatchStep, Matched, Missing, Standing};
pub use metadata::{Metadata, MetadataChange};
pub use mistakes::{Mistake, Mistakes};
pub use pause::Control;
pub use policy::{
    MAX_RETRIES, Patience, Policy, PolicyChannel, PolicyError, PolicyGet, PolicyPut, Source,
};
pub use scan::{
    Axis, AxisCheck, CheckScan, MAX_POINTS, ReadBackOf, Restored, Scan, ScanCheck, ScanError,
    ScanFault, ScanRestore, ScanRow, ScanRows, Settle,
};
pub use snapshot::{
    Outcome, Restore, RestoreLine, RestoreReport, Saved, SavedMember, Snapshot, SnapshotFileError,
    TakeSnapshot,
};
pub use sync_group::{MAX_OUTSTANDING, SyncGroup, SyncResult, SyncResults, Ticket};
pub use watch::{Delivery, Watch, WatchCounters, WatchCounts, WatchError};
pub use write::{
    GuardError, Guarded, GuardedPut, MAX_RAMP_STEPS, PutOrRollBack, Ramp, RampError, RampStep,
    Ramped, RollBackError,
};
