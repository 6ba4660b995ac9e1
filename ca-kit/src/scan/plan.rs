//! What a scan is to do.

use std::time::Duration;

use ca_client::{Pv, Range};

use crate::face::Named;
use crate::pause::Control;

/// When an axis counts as having arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settle {
    /// This long after the server has taken the value.
    Time(Duration),
    /// When the put is completed (put-notify).
    Completion,
    /// When a read-back is within its tolerance: [`Settle::read_back`].
    ReadBack(ReadBackOf),
}

/// The read-back of an axis, with its tolerance and time: [`Settle::read_back`].
#[derive(Clone, Debug)]
pub struct ReadBackOf {
    pub(super) pv: Named,
    pub(super) tolerance: f64,
    pub(super) timeout: Option<Duration>,
}

impl Settle {
    /// When a PV, the read-back, is at most `tolerance` away from the point.
    pub fn read_back<'p>(pv: impl Into<Pv<'p>>, tolerance: f64) -> Self {
        Self::ReadBack(ReadBackOf {
            pv: Named::new(pv),
            tolerance,
            timeout: None,
        })
    }

    /// Time for the read-back to arrive; without effect on the others.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        if let Self::ReadBack(read_back) = &mut self {
            read_back.timeout = Some(timeout);
        }
        self
    }
}

/// When axes are put back where they stood before the scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Restore {
    /// At the end, after a failure and after an abort.
    #[default]
    Always,
    /// After a failure and after an abort.
    OnFailure,
    /// Not at all.
    Never,
}

/// A set-point of a scan and the points it goes through.
///
/// # Examples
/// ```
/// use ca_kit::{Axis, Settle};
/// use std::time::Duration;
///
/// let knob = Axis::linear("q1:set", -1.0, 1.0, 5);
/// assert_eq!(knob.points(), [-1.0, -0.5, 0.0, 0.5, 1.0]);
/// let slow = Axis::new("k1:set", [0.0, 3.0]).settle(Settle::read_back("k1:read", 0.01));
/// let blind = Axis::new("k2:set", [0.0, 3.0]).settle(Settle::Time(Duration::from_millis(20)));
/// # let _ = (slow, blind);
/// ```
#[derive(Clone, Debug)]
pub struct Axis {
    pub(super) pv: Named,
    pub(super) points: Vec<f64>,
    pub(super) settle: Settle,
    pub(super) range: Option<Range>,
}

impl Axis {
    /// A set-point and its points, in the PV's units. It settles by [`Settle::Completion`].
    pub fn new<'p>(pv: impl Into<Pv<'p>>, points: impl IntoIterator<Item = f64>) -> Self {
        // One more than there may be, so that an endless iterator is found out.
        let points = points.into_iter().take(super::MAX_POINTS + 1).collect();
        Self {
            pv: Named::new(pv),
            points,
            settle: Settle::Completion,
            range: None,
        }
    }

    /// `count` points from `from` to `to`, both included.
    pub fn linear<'p>(pv: impl Into<Pv<'p>>, from: f64, to: f64, count: usize) -> Self {
        let last = count.saturating_sub(1).max(1);
        let point = move |n: usize| match n == last {
            true => to,
            false => from + (to - from) * (n as f64 / last as f64),
        };
        Self::new(pv, (0..count).map(point))
    }

    /// When it counts as having arrived.
    #[must_use]
    pub fn settle(mut self, settle: Settle) -> Self {
        self.settle = settle;
        self
    }

    /// Refuses points outside of these, too, in the PV's units; the limits of its control always count.
    #[must_use]
    pub const fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some(Range::new(low, high));
        self
    }

    /// Its points.
    pub fn points(&self) -> &[f64] {
        &self.points
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) axes: Vec<Axis>,
    pub(super) observables: Vec<Named>,
    pub(super) dwell: Duration,
    pub(super) restore: Restore,
    pub(super) timeout: Option<Duration>,
    pub(super) control: Control,
}

impl Plan {
    pub(super) fn new(axes: Vec<Axis>) -> Self {
        Self {
            axes,
            observables: Vec::new(),
            dwell: Duration::ZERO,
            restore: Restore::default(),
            timeout: None,
            control: Control::new(),
        }
    }

    /// How many points there are; `None` for too many.
    pub(super) fn points(&self) -> Option<usize> {
        let mut counts = self.axes.iter().map(|axis| axis.points.len());
        let points = counts.try_fold(1usize, |all, count| all.checked_mul(count));
        points.filter(|&points| points <= super::MAX_POINTS)
    }

    /// The place of an axis among its points at a point of the scan; the last axis is the fastest.
    pub(super) fn place(&self, axis: usize, point: usize) -> usize {
        let faster = self
            .axes
            .iter()
            .skip(axis + 1)
            .map(|axis| axis.points.len());
        let count = self.axes.get(axis).map_or(1, |axis| axis.points.len());
        point / faster.product::<usize>().max(1) % count.max(1)
    }
}
