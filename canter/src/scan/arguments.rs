//! The axes of a scan as they are typed.

use std::time::Duration;

use ca_kit::{Axis, MAX_POINTS, ScanRestore, Settle};
use clap::ValueEnum;

use super::ScanArgs;
use crate::argument::{self, Pv};
use crate::exit::UsageError;

/// When the axes are put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum When {
    /// At the end, after a failure and after Ctrl-C
    Always,
    /// After a failure and after Ctrl-C
    OnFailure,
    /// Not at all
    Never,
}

impl From<When> for ScanRestore {
    fn from(when: When) -> Self {
        match when {
            When::Always => Self::Always,
            When::OnFailure => Self::OnFailure,
            When::Never => Self::Never,
        }
    }
}

/// An axis with its name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) pv: Pv,
    pub(super) axis: Axis,
    /// Its read-back, if it has one.
    pub(super) read_back: Option<Pv>,
}

/// The axes that the options describe.
///
/// # Errors
/// Numbers that are none, options of an axis that there is not, no axis at all.
pub(super) fn axes(args: &ScanArgs) -> Result<Vec<Named>, UsageError> {
    let mut axes = Vec::new();
    let mut add = |pv: &str, points: &dyn Fn(&Pv) -> Axis| {
        let pv = argument::name(pv.as_ref())?;
        if axes.iter().any(|axis: &Named| axis.pv == pv) {
            let what = format!("{pv} is an axis twice");
            return Err(UsageError::new(
                what,
                "give all its points at once with --points",
            ));
        }
        let settle = args.settle.map_or(Settle::Completion, |time| {
            Settle::Time(Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX))
        });
        let axis = points(&pv).settle(settle);
        axes.push(Named {
            pv,
            axis,
            read_back: None,
        });
        Ok(())
    };
    for axis in args.axis.chunks_exact(4) {
        let [pv, from, to, count] = axis else {
            continue;
        };
        let of = format!("--axis {pv}");
        let (from, to) = (number(&of, from)?, number(&of, to)?);
        let count = points(&of, count)?;
        add(pv, &|pv| Axis::linear(pv, from, to, count))?;
    }
    for axis in args.points.chunks_exact(2) {
        let [pv, points] = axis else { continue };
        let of = format!("--points {pv}");
        let points = points.split([',', ' ']).filter(|point| !point.is_empty());
        let points = points.map(|point| number(&of, point));
        let points = points.collect::<Result<Vec<f64>, _>>()?;
        add(pv, &|pv| Axis::new(pv, points.iter().copied()))?;
    }
    if axes.is_empty() {
        let remedy = "give --axis PV FROM TO COUNT, or --points PV 1,2,5";
        return Err(UsageError::new("there is nothing to move", remedy));
    }
    for read_back in args.read_back.chunks_exact(3) {
        let [axis, pv, tolerance] = read_back else {
            continue;
        };
        let of = format!("--read-back {axis}");
        let tolerance = number(&of, tolerance)?;
        let read_back = argument::name(pv.as_ref())?;
        let axis = of_axis(&mut axes, &of, axis)?;
        axis.axis = axis
            .axis
            .clone()
            .settle(Settle::read_back(&read_back, tolerance));
        axis.read_back = Some(read_back);
    }
    for range in args.range.chunks_exact(3) {
        let [axis, low, high] = range else { continue };
        let of = format!("--range {axis}");
        let (low, high) = (number(&of, low)?, number(&of, high)?);
        let axis = of_axis(&mut axes, &of, axis)?;
        axis.axis = axis.axis.clone().range(low, high);
    }
    Ok(axes)
}

fn number(of: &str, text: &str) -> Result<f64, UsageError> {
    text.trim().parse().map_err(|_| {
        let what = format!("{of}: `{text}` is no number");
        UsageError::new(what, "give one such as 0.5")
    })
}

fn points(of: &str, text: &str) -> Result<usize, UsageError> {
    match text.trim().parse() {
        Ok(count @ 1..=MAX_POINTS) => Ok(count),
        _ => {
            let what = format!("{of}: `{text}` is no number of points");
            Err(UsageError::new(
                what,
                format!("give one from 1 to {MAX_POINTS}"),
            ))
        }
    }
}

/// The axis that an option is about.
fn of_axis<'a>(axes: &'a mut [Named], of: &str, name: &str) -> Result<&'a mut Named, UsageError> {
    let pv = argument::name(name.as_ref())?;
    let names: Vec<String> = axes.iter().map(|axis| axis.pv.shown().to_owned()).collect();
    axes.iter_mut().find(|axis| axis.pv == pv).ok_or_else(|| {
        UsageError::new(
            format!("{of}: {pv} is no axis of the scan"),
            format!("the axes are {}", names.join(", ")),
        )
    })
}
