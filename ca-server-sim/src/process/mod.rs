//! What happens with records: processing, links, scans, puts.
//!
//! [`Records`] is a state machine without clock: time is an argument. What it does is told as [`Post`]s,
//! values captured when they were posted, and as [`Completion`]s of puts.
//!
//! Nothing recurses. A record that processes another one puts it on a stack (`chain.rs`), and what is left
//! of itself below it; so chains have any length, end after a turn (`ca_proto::server::Turn`), and go on
//! in the next. Loops are broken as in EPICS Base: a record that is active is not processed.
//!
//! # Bounds
//! A unit of a turn is one task of the stack: a stage of a record, or one link. Posts wait until they are
//! taken; a task posts as many as its record has fields at most. A record stands once in each of the
//! queues.

mod alarm;
mod chain;
mod connect;
mod convert;
mod cx;
mod database;
mod event;
mod function;
mod json_link;
mod lapsed;
mod link;
mod notify;
mod put;
mod relink;
mod remote;
mod report;
mod restore;
mod saved;
mod scan;
mod serve;
mod soft;

#[cfg(test)]
mod tests;

pub use cx::{Cx, Got, View};
pub use database::{AddError, FieldError, InitNote, Records};
pub use event::{ALL_FIELDS, Post};
pub(crate) use function::ANSWERED;
pub use function::{Call, CallId, Function};
pub use notify::{Completion, NotifyId};
pub use put::PutError;
pub use remote::{RemoteId, RemoteInfo, RemoteRequest, RemoteUpdate, RemoteValue};
pub(crate) use report::ScanList;
pub(crate) use saved::{Kind, RecordsRest, RecordsState, differs};
pub use serve::State;
pub(crate) use soft::{Drive, Input, Output, Simulation, drive, simulation, soft_input, stat};
