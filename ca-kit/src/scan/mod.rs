//! Scans: set-points moved through points, something observed at each.

mod error;
mod plan;
mod run;

use std::time::Duration;

use ca_client::{Client, GetError, Pv, Range, Reading, Timestamp};
use futures_util::stream;

pub use self::error::{Restored, ScanError, ScanFault};
use self::plan::Plan;
pub use self::plan::{Axis, ReadBackOf, Restore as ScanRestore, Settle};
use self::run::Run;
use crate::face::{Face, Feed, Named, Op, Work};
use crate::pause::Control;

/// Points of a scan; more would take a month at 4 points a second.
pub const MAX_POINTS: usize = 10_000_000;

/// A point of a scan: where the axes were put, and what was seen there.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ScanRow {
    /// Number of the point, from 0.
    pub point: usize,
    /// How many points there are.
    pub of: usize,
    /// Where each axis was put, in the order of the axes.
    pub at: Vec<f64>,
    /// Where the read-back of each axis stood when it had settled; `None` for axes without one.
    pub read_backs: Vec<Option<f64>>,
    /// What was observed, in the order of the observables, each its value or its own error.
    pub values: Vec<Result<Reading, GetError>>,
    /// Time since the scan began.
    pub elapsed: Duration,
    /// The wall clock when it was observed.
    pub timestamp: Timestamp,
}

impl ScanRow {
    /// The first element of an observable as a number.
    pub fn number(&self, observable: usize) -> Option<f64> {
        self.values.get(observable)?.as_ref().ok()?.get_f64(0)
    }
}

/// What a scan would do: [`Scan::check`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ScanCheck {
    /// How many points there are.
    pub points: usize,
    /// The axes, in their order.
    pub axes: Vec<AxisCheck>,
}

/// An axis that was looked at: [`Scan::check`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct AxisCheck {
    /// Name of the set-point.
    pub pv: String,
    /// Where it stands.
    pub at: f64,
    /// The limits of its control, if it has any.
    pub limits: Option<Range>,
    /// The points that it would go through.
    pub points: Vec<f64>,
}

/// Looks at everything that a scan needs: [`Scan::check`].
#[derive(Debug)]
pub struct CheckScan(Plan);

impl Work for CheckScan {
    type Output = Result<ScanCheck, ScanError>;

    async fn run(self, client: &Client) -> Self::Output {
        Run::new(client.clone(), self.0).check().await
    }
}

/// The rows of a scan; it ends after an error.
pub type ScanRows<'c, C> = Feed<'c, C, Result<ScanRow, ScanError>>;

/// A scan with its options: [`Kit::scan`](crate::Kit::scan). Nothing happens before
/// [`rows`](Self::rows) are taken.
#[derive(Debug)]
#[must_use = "nothing is scanned before its rows are taken"]
pub struct Scan<'c, C> {
    face: &'c C,
    plan: Plan,
}

impl<'c, C: Face> Scan<'c, C> {
    pub(crate) fn new(face: &'c C, axes: impl IntoIterator<Item = Axis>) -> Self {
        Self {
            face,
            plan: Plan::new(axes.into_iter().collect()),
        }
    }

    /// Observes these PVs at each point: their values at the server when the axes have settled and the
    /// dwell time is over.
    pub fn observe<'p>(mut self, pvs: impl IntoIterator<Item = impl Into<Pv<'p>>>) -> Self {
        self.plan
            .observables
            .extend(pvs.into_iter().map(Named::new));
        self
    }

    /// Time at each point between settling and observing. Default: none.
    pub const fn dwell(mut self, time: Duration) -> Self {
        self.plan.dwell = time;
        self
    }

    /// When the axes are put back where they stood. Default: always.
    pub const fn restore(mut self, when: ScanRestore) -> Self {
        self.plan.restore = when;
        self
    }

    /// Time for each look, put with its completion, read-back that has no time of its own, and round of
    /// observables. Default: that of the client.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.plan.timeout = Some(timeout);
        self
    }

    /// Lets it be paused, resumed and aborted from elsewhere. An abort is a failure: the axes are put back
    /// as [`restore`](Self::restore) says.
    pub fn control(mut self, control: &Control) -> Self {
        self.plan.control = control.clone();
        self
    }

    /// Looks at everything that is looked at before a scan begins, and moves nothing: a dry run.
    ///
    /// # Errors
    /// [`ScanError`], as the first row would be.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn check(self) -> Op<'c, C, CheckScan> {
        Op::new(self.face, CheckScan(self.plan))
    }

    /// Goes from point to point as the rows are taken: the next point is gone to when the next row is asked
    /// for. The first axis is the slowest. Everything that can be known (all PVs connected, all points
    /// within the limits of the controls, write access) is known before something moves.
    ///
    /// # Cancel safety
    /// Waiting for a row may be given up and taken up again. When the rows are dropped nothing moves any
    /// more, so that the axes stay where they are; [`Control::abort`] and one more row puts them back.
    pub fn rows(self) -> ScanRows<'c, C> {
        let client = self.face.beneath().clone();
        let rows = stream::unfold(Run::new(client, self.plan), async |mut run| {
            let row = run.next().await?;
            Some((row, run))
        });
        Feed::new(self.face, rows)
    }
}
