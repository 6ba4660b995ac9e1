//! Why a scan ended, and where the axes are then.

use std::fmt;

use ca_client::{ConnectError, GetError, MonitorError, PutError, Range};
use thiserror::Error;

use super::MAX_POINTS;
use crate::condition::Impossible;
use crate::write::standing;

/// What ended a scan.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum ScanFault {
    /// There is nothing to scan.
    #[error("it has no points; give it at least one axis, and each axis at least one point")]
    Empty,
    /// There is too much to scan.
    #[error("it has more than {MAX_POINTS} points; make it coarser, or several of it")]
    TooMany,
    /// A point is outside of the limits of a control, or of the axis.
    #[error(
        "\"{pv}\" cannot go to {point}: the limits of {} go from {} to {}; give points between them",
        of, range.lower, range.upper
    )]
    OutsideLimits {
        /// Name of the set-point.
        pv: String,
        /// The first such point.
        point: f64,
        /// The limits.
        range: Range,
        /// Whose limits: those of its control, or of the axis.
        of: &'static str,
    },
    /// A point or tolerance that can never be.
    #[error("\"{pv}\": {reason}")]
    Impossible {
        /// Name of the PV.
        pv: String,
        /// Why.
        reason: Impossible,
    },
    /// An axis may not be written by this user and host.
    #[error(
        "\"{pv}\" cannot be moved: no write access for this user and host; see the access security of the IOC"
    )]
    NoAccess {
        /// Name of the set-point.
        pv: String,
    },
    /// A PV of the scan could not be looked at before.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A read-back cannot be watched.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// An axis could not be put to a point.
    #[error(transparent)]
    Put(#[from] PutError),
    /// An axis did not arrive.
    #[error(
        "\"{pv}\" did not arrive at {point}: \"{read_back}\" {}, not {point} ± {tolerance}; look at the device, \
         or raise the tolerance or the time-out",
        standing(*.stands)
    )]
    NotThere {
        /// Name of the set-point.
        pv: String,
        /// Name of its read-back.
        read_back: String,
        /// Where it was put.
        point: f64,
        /// How far away the read-back may be.
        tolerance: f64,
        /// Where the read-back stands, if that is known.
        stands: Option<f64>,
    },
    /// It was aborted.
    #[error("it was aborted")]
    Aborted,
    /// All points were seen; the axes could not be put back.
    #[error("all points were seen, and the axes could not be put back")]
    NotRestored,
}

impl From<ConnectError> for ScanFault {
    fn from(error: ConnectError) -> Self {
        Self::Get(error.into())
    }
}

/// Where the axes are after a scan has failed.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Restored {
    /// Nothing was moved.
    NotMoved,
    /// All are put back where they stood.
    Back,
    /// They are where the scan left them, as it was to be.
    Left,
    /// Some could not be put back.
    Failed(Vec<PutError>),
}

/// Why a scan ended, and where its axes are.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ScanError {
    /// What ended it.
    pub fault: Box<ScanFault>,
    /// The point at which it ended, and how many there are; `None` before the first.
    pub point: Option<(usize, usize)>,
    /// Where the axes are.
    pub axes: Restored,
    /// Where each axis stood before, by its name; empty as long as that is not known.
    pub before: Vec<(String, f64)>,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.point {
            Some((point, of)) => write!(f, "the scan ends at point {} of {of}: ", point + 1)?,
            None => f.write_str("the scan does not begin: ")?,
        }
        write!(f, "{}; ", self.fault)?;
        match &self.axes {
            Restored::NotMoved => f.write_str("nothing was moved"),
            Restored::Back => f.write_str("all axes are put back where they stood"),
            Restored::Left => f.write_str("the axes are left where they are"),
            Restored::Failed(errors) => {
                f.write_str("NOT put back:")?;
                errors.iter().try_for_each(|error| write!(f, " {error};"))
            }
        }
    }
}

impl std::error::Error for ScanError {}
