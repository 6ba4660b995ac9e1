//! A scan under way.

use std::time::Duration;

use ca_client::{Channel, Client, Instant, PutError, Range, Reading};

use super::error::{Restored, ScanError, ScanFault};
use super::plan::{Axis, Plan, Restore, Settle};
use super::{AxisCheck, ScanCheck, ScanRow};
use crate::clock;
use crate::condition::{between, near};
use crate::face::Named;
use crate::pause::Aborted;
use crate::write::{ReadBack, look, put_to};

#[derive(Debug)]
pub(super) struct Run {
    client: Client,
    plan: Plan,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    At(Box<Scanning>, usize),
    Ended,
}

/// A scan whose PVs are connected and that was found to be possible.
#[derive(Debug)]
struct Scanning {
    axes: Vec<Moved>,
    observables: Vec<Channel>,
    begun: Instant,
    of: usize,
    timeout: Duration,
}

/// An axis.
#[derive(Debug)]
struct Moved {
    channel: Channel,
    /// Where it stood.
    before: f64,
    limits: Option<Range>,
    /// Where it was put last.
    at: Option<f64>,
    read_back: Option<(Channel, ReadBack)>,
}

impl Run {
    pub(super) const fn new(client: Client, plan: Plan) -> Self {
        Self {
            client,
            plan,
            state: State::New,
        }
    }

    /// The next row, or what ended it; `None` after the end.
    pub(super) async fn next(&mut self) -> Option<Result<ScanRow, ScanError>> {
        // Whoever takes no more rows in the middle finds it ended.
        let (mut scanning, point) = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return None,
            State::At(scanning, point) => (scanning, point),
            State::New => match self.prepare().await {
                Ok(scanning) => (Box::new(scanning), 0),
                Err(fault) => return Some(Err(not_begun(fault))),
            },
        };
        if point >= scanning.of {
            return self.end(&scanning).await.map(Err);
        }
        match self.point(&mut scanning, point).await {
            Ok(row) => {
                self.state = State::At(scanning, point + 1);
                Some(Ok(row))
            }
            Err(fault) => Some(Err(self.fail(&scanning, fault, point).await)),
        }
    }

    /// Looks at everything, and moves nothing.
    pub(super) async fn check(&self) -> Result<ScanCheck, ScanError> {
        let scanning = self.prepare().await.map_err(not_begun)?;
        let axes = self.plan.axes.iter().zip(&scanning.axes);
        Ok(ScanCheck {
            points: scanning.of,
            axes: axes
                .map(|(axis, found)| AxisCheck {
                    pv: found.channel.name(),
                    at: found.before,
                    limits: found.limits,
                    points: axis.points.clone(),
                })
                .collect(),
        })
    }

    /// Everything that can be known before something moves.
    async fn prepare(&self) -> Result<Scanning, ScanFault> {
        let (client, plan) = (&self.client, &self.plan);
        if plan.axes.is_empty() || plan.axes.iter().any(|axis| axis.points.is_empty()) {
            return Err(ScanFault::Empty);
        }
        let of = plan.points().ok_or(ScanFault::TooMany)?;
        let timeout = clock::patience(client, plan.timeout);
        let mut axes = Vec::with_capacity(plan.axes.len());
        for axis in &plan.axes {
            axes.push(self.ready(axis, timeout).await?);
        }
        let opened = plan.observables.iter().map(|pv: &Named| pv.open(client));
        let observables = opened.collect::<Result<Vec<_>, _>>()?;
        for channel in &observables {
            channel.connected().timeout(timeout).await?;
        }
        Ok(Scanning {
            axes,
            observables,
            begun: clock::now(client),
            of,
            timeout,
        })
    }

    async fn ready(&self, axis: &Axis, timeout: Duration) -> Result<Moved, ScanFault> {
        let channel = axis.pv.open(&self.client)?;
        let pv = channel.name();
        let impossible = |pv: &str, reason| ScanFault::Impossible {
            pv: pv.to_owned(),
            reason,
        };
        if let Some(range) = axis.range {
            let possible = between(range.lower, range.upper).check();
            possible.map_err(|reason| impossible(&pv, reason))?;
        }
        let found = look(&channel, timeout).await?;
        let native = |channel: &Channel| Some(channel.info()?.connection()?.native);
        for &point in &axis.points {
            let exact = near(point, 0.0);
            exact.check().map_err(|reason| impossible(&pv, reason))?;
            if let Some(native) = native(&channel) {
                put_to(point, native)
                    .check_type(native)
                    .map_err(|reason| impossible(&pv, reason))?;
            }
            for (range, of) in [(found.limits, "its control"), (axis.range, "the axis")] {
                if let Some(range) =
                    range.filter(|range| !(range.lower..=range.upper).contains(&point))
                {
                    return Err(ScanFault::OutsideLimits {
                        pv,
                        point,
                        range,
                        of,
                    });
                }
            }
        }
        if !found.may_write {
            return Err(ScanFault::NoAccess { pv });
        }
        if !found.at.is_finite() {
            let reason = crate::Impossible::Number(found.at);
            return Err(ScanFault::Impossible { pv, reason });
        }
        let mut read_back = None;
        if let Settle::ReadBack(of) = &axis.settle {
            let channel = of.pv.open(&self.client)?;
            let read = channel.name();
            channel.connected().timeout(timeout).await?;
            for &point in &axis.points {
                let arrived = near(point, of.tolerance);
                arrived
                    .check()
                    .map_err(|reason| impossible(&read, reason))?;
                if let Some(native) = native(&channel) {
                    arrived
                        .check_type(native)
                        .map_err(|reason| impossible(&read, reason))?;
                }
            }
            let watched = ReadBack::start(&channel)?;
            read_back = Some((channel, watched));
        }
        Ok(Moved {
            channel,
            before: found.at,
            limits: found.limits,
            at: None,
            read_back,
        })
    }

    /// Goes to a point and looks.
    async fn point(&self, scanning: &mut Scanning, point: usize) -> Result<ScanRow, ScanFault> {
        let (client, control) = (&self.client, &self.plan.control);
        let aborted = |Aborted| ScanFault::Aborted;
        control.go().await.map_err(aborted)?;
        let mut at = Vec::with_capacity(scanning.axes.len());
        let timeout = scanning.timeout;
        let all = self.plan.axes.iter().zip(&mut scanning.axes).enumerate();
        let mut moving = Vec::new();
        for (n, (axis, moved)) in all {
            let place = self.plan.place(n, point);
            // Every place is one of the points.
            let target = axis.points.get(place).copied().unwrap_or(f64::NAN);
            at.push(target);
            if moved.at != Some(target) {
                moving.push((axis, moved, target));
            }
        }
        // One axis after another is put, then all are waited for.
        for (axis, moved, target) in &mut moving {
            moved.at = Some(*target);
            let put = moved.channel.put(*target).timeout(timeout);
            let put = async {
                match axis.settle {
                    Settle::Completion => put.wait().await,
                    _ => put.check().await,
                }
            };
            control.unless_aborted(put).await.map_err(aborted)??;
        }
        for (axis, moved, target) in &mut moving {
            let settled = settle(client, axis, moved, *target, timeout);
            control.unless_aborted(settled).await.map_err(aborted)??;
        }
        let dwell = clock::sleep(client, self.plan.dwell);
        control.unless_aborted(dwell).await.map_err(aborted)?;
        let values = client
            .get_many::<Reading>(&scanning.observables)
            .timeout(timeout);
        let values = control.unless_aborted(values).await.map_err(aborted)?;
        let read_back = |moved: &Moved| moved.read_back.as_ref().and_then(|(_, it)| it.at);
        Ok(ScanRow {
            point,
            of: scanning.of,
            at,
            read_backs: scanning.axes.iter().map(read_back).collect(),
            values,
            elapsed: clock::now(client).saturating_duration_since(scanning.begun),
            timestamp: client.runtime().wall(),
        })
    }

    /// The end after the last point.
    async fn end(&self, scanning: &Scanning) -> Option<ScanError> {
        if self.plan.restore != Restore::Always {
            return None;
        }
        let axes = restore(&self.client, scanning).await;
        let point = Some((scanning.of.saturating_sub(1), scanning.of));
        (axes != Restored::Back).then(|| ScanError {
            fault: Box::new(ScanFault::NotRestored),
            point,
            axes,
            before: before(scanning),
        })
    }

    async fn fail(&self, scanning: &Scanning, fault: ScanFault, point: usize) -> ScanError {
        let moved = scanning.axes.iter().any(|axis| axis.at.is_some());
        let axes = match self.plan.restore {
            _ if !moved => Restored::NotMoved,
            Restore::Never => Restored::Left,
            Restore::Always | Restore::OnFailure => restore(&self.client, scanning).await,
        };
        ScanError {
            fault: Box::new(fault),
            point: Some((point, scanning.of)),
            axes,
            before: before(scanning),
        }
    }
}

fn not_begun(fault: ScanFault) -> ScanError {
    ScanError {
        fault: Box::new(fault),
        point: None,
        axes: Restored::NotMoved,
        before: Vec::new(),
    }
}

fn before(scanning: &Scanning) -> Vec<(String, f64)> {
    let axes = scanning.axes.iter();
    axes.map(|axis| (axis.channel.name(), axis.before))
        .collect()
}

/// Waits until an axis counts as having arrived.
async fn settle(
    client: &Client,
    axis: &Axis,
    moved: &mut Moved,
    target: f64,
    timeout: Duration,
) -> Result<(), ScanFault> {
    match (&axis.settle, &mut moved.read_back) {
        (Settle::Time(time), _) => clock::sleep(client, *time).await,
        (Settle::ReadBack(of), Some((channel, read_back))) => {
            let deadline = clock::after(client, of.timeout.unwrap_or(timeout));
            let arrived = near(target, of.tolerance);
            if !read_back.reaches(client, &arrived, deadline).await {
                return Err(ScanFault::NotThere {
                    pv: moved.channel.name(),
                    read_back: channel.name(),
                    point: target,
                    tolerance: of.tolerance,
                    stands: read_back.at,
                });
            }
        }
        _ => {}
    }
    Ok(())
}

/// Puts the axes that were moved back, the last one first.
async fn restore(client: &Client, scanning: &Scanning) -> Restored {
    let moved = scanning.axes.iter().rev().filter(|axis| axis.at.is_some());
    let puts = moved.map(|axis| (&axis.channel, axis.before));
    let results = client.put_many(puts).wait().timeout(scanning.timeout).await;
    let errors: Vec<PutError> = results.into_iter().filter_map(Result::err).collect();
    match errors.is_empty() {
        true => Restored::Back,
        false => Restored::Failed(errors),
    }
}
