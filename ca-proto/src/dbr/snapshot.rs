//! The state of a PV at one moment, and how it is written into a DBR structure.

use alloc::sync::Arc;

use super::{Metadata, Value};
use crate::alarm::{Alarm, AlarmSeverity};
use crate::time::Timestamp;

/// Alarm acknowledgement state of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledge {
    /// ACKT: whether transient alarms need acknowledgement.
    pub transient: bool,
    /// ACKS: highest severity not yet acknowledged.
    pub severity: AlarmSeverity,
}

impl Default for Acknowledge {
    /// As a record starts: transient alarms need acknowledgement, nothing is pending.
    fn default() -> Self {
        Self {
            transient: true,
            severity: AlarmSeverity::NO_ALARM,
        }
    }
}

/// A PV at one moment. Clones share arrays and metadata and never allocate.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// The value in the PV's native type.
    pub value: Value,
    /// Alarm status and severity.
    pub alarm: Alarm,
    /// When the value was made.
    pub stamp: Timestamp,
    /// Acknowledgement state.
    pub ack: Acknowledge,
    /// Units, limits and the like.
    pub meta: Arc<Metadata>,
}
