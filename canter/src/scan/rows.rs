//! What a scan shows: columns for programs that read tables, or JSON.

use ca_client::{GetError, Reading};
use ca_kit::{Restored, ScanCheck, ScanError, ScanRow};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::ScanArgs;
use super::arguments::Named;
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::failure::{Failure, report};
use crate::format::FormatArgs;
use crate::json::{self, JsonFailure};
use crate::moves::Ended;
use crate::sample::Sample;
use crate::{escape, show};

/// How a row counts: what could not be read fails the command, not the scan.
pub(super) fn outcome(row: &ScanRow) -> Outcome {
    let failed = row.values.iter().filter_map(|value| value.as_ref().err());
    failed.fold(Outcome::Ok, |outcome, error| {
        outcome.and(Failure::from(error).outcome())
    })
}

/// The table of a scan.
pub(super) struct Table<'a> {
    args: &'a ScanArgs,
    axes: &'a [Named],
    begun: bool,
    /// Observed PVs whose failure was told.
    told: Vec<bool>,
}

impl<'a> Table<'a> {
    pub(super) fn new(args: &'a ScanArgs, axes: &'a [Named]) -> Self {
        Self {
            told: vec![false; args.observed.len()],
            args,
            axes,
            begun: false,
        }
    }

    /// A point.
    pub(super) fn row(&mut self, console: &mut Console<'_>, row: &ScanRow) -> Result<(), Stop> {
        if self.args.json {
            show::json_line(console, &self.json(row))?;
            return Ok(console.out.flush()?);
        }
        if !std::mem::replace(&mut self.begun, true) {
            let axes = self.axes.iter();
            let mut names = vec!["# point".to_owned(), "seconds".to_owned()];
            names.extend(axes.clone().map(|axis| axis.pv.shown().to_owned()));
            names.extend(axes.filter_map(|axis| Some(axis.read_back.as_ref()?.shown().to_owned())));
            names.extend(self.args.observed.iter().map(|pv| pv.shown().to_owned()));
            writeln!(console.out, "{}", names.join("\t"))?;
        }
        let mut columns = vec![
            (row.point + 1).to_string(),
            format!("{:.3}", row.elapsed.as_secs_f64()),
        ];
        columns.extend(row.at.iter().map(ToString::to_string));
        for (axis, read_back) in self.axes.iter().zip(&row.read_backs) {
            if axis.read_back.is_some() {
                columns.push(read_back.map_or_else(|| "nan".to_owned(), |at| at.to_string()));
            }
        }
        columns.extend(
            row.values
                .iter()
                .map(|value| shown(&self.args.format, value)),
        );
        writeln!(console.out, "{}", columns.join("\t"))?;
        console.out.flush()?;
        let failed = self
            .args
            .observed
            .iter()
            .zip(&row.values)
            .zip(&mut self.told);
        for ((pv, value), told) in failed {
            if let Err(error) = value
                && !std::mem::replace(told, true)
            {
                let mut failure = Failure::from(error);
                failure.message += &format!(" (at point {})", row.point + 1);
                report(console, pv.shown(), &failure)?;
            }
        }
        Ok(())
    }

    fn json(&self, row: &ScanRow) -> Row<'_> {
        let numbers = |all: &[f64]| -> Map<String, Json> {
            let named = self.axes.iter().zip(all);
            named
                .map(|(axis, at)| (axis.pv.shown().to_owned(), json::number(*at)))
                .collect()
        };
        let read_backs = self.axes.iter().zip(&row.read_backs);
        let read_backs = read_backs.filter_map(|(axis, at)| {
            let pv = axis.read_back.as_ref()?;
            Some((pv.shown().to_owned(), at.map_or(Json::Null, json::number)))
        });
        let observed = self.args.observed.iter().zip(&row.values);
        let (mut values, mut errors) = (Map::new(), Vec::new());
        for (pv, value) in observed {
            match value {
                Ok(reading) => {
                    let value = reading.to_value();
                    let value = json::value(value.as_ref(), value.count() != 1);
                    values.insert(pv.shown().to_owned(), value);
                }
                Err(error) => errors.push(Missing {
                    pv: pv.shown(),
                    error: (&Failure::from(error)).into(),
                }),
            }
        }
        Row {
            point: row.point + 1,
            of: row.of,
            at: numbers(&row.at),
            read_backs: read_backs.collect(),
            values,
            errors,
            elapsed: row.elapsed.as_secs_f64(),
            timestamp: row.timestamp.to_string(),
        }
    }

    /// What would be done.
    pub(super) fn check(&self, console: &mut Console<'_>, check: &ScanCheck) -> Result<(), Stop> {
        for (n, axis) in check.axes.iter().enumerate() {
            let limits = axis.limits.map(|limits| (limits.lower, limits.upper));
            if self.args.json {
                let line = Check {
                    axis: self.axes.get(n).map_or(&*axis.pv, |axis| axis.pv.shown()),
                    stands: json::number(axis.at),
                    limits: limits.map(|(low, high)| [json::number(low), json::number(high)]),
                    points: axis.points.iter().copied().map(json::number).collect(),
                    of: check.points,
                    dry_run: true,
                };
                show::json_line(console, &line)?;
                continue;
            }
            let name = self.axes.get(n).map_or("", |axis| axis.pv.shown());
            let limits = match limits {
                Some((low, high)) => format!("limits {low} to {high}"),
                None => "no limits".to_owned(),
            };
            let (first, last) = (axis.points.first(), axis.points.last());
            let (first, last) = first.zip(last).unwrap_or((&axis.at, &axis.at));
            let points = escape::counted(axis.points.len() as u64, "point");
            writeln!(
                console.out,
                "{name} would go from {first} to {last} in {points}; it stands at {}, {limits}",
                axis.at
            )?;
        }
        if !self.args.json {
            let points = escape::counted(check.points as u64, "point");
            writeln!(console.out, "{points} in all; nothing was moved")?;
        }
        Ok(())
    }

    /// The last line of JSON of a scan that failed.
    pub(super) fn failure(
        &self,
        console: &mut Console<'_>,
        error: &ScanError,
        ended: &Ended,
    ) -> Result<(), Stop> {
        let before = error.before.iter();
        let line = Failed {
            point: error.point.map(|(point, _)| point + 1),
            axes: match &error.axes {
                Restored::NotMoved => "not moved",
                Restored::Back => "back",
                Restored::Left => "left",
                _ => "not put back",
            },
            before: before
                .map(|(pv, at)| (escape::printable(pv).into_owned(), json::number(*at)))
                .collect(),
            error: ended.into(),
        };
        Ok(show::json_line(console, &line)?)
    }
}

/// A value in a column: blanks and tabs in it would be taken for the next column.
fn shown(format: &FormatArgs, value: &Result<Reading, GetError>) -> String {
    match value {
        Ok(reading) => {
            let sample = Sample::new(reading, None);
            let text = format.terse(&sample, sample.count() != 1);
            text.replace([' ', '\t'], ",")
        }
        Err(_) => "nan".to_owned(),
    }
}

/// A point as a line of JSON.
#[derive(Serialize, Debug)]
struct Row<'a> {
    point: usize,
    of: usize,
    at: Map<String, Json>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    read_backs: Map<String, Json>,
    values: Map<String, Json>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Missing<'a>>,
    /// Seconds since the scan began.
    elapsed: f64,
    timestamp: String,
}

#[derive(Serialize, Debug)]
struct Missing<'a> {
    pv: &'a str,
    error: JsonFailure,
}

/// An axis of a dry run.
#[derive(Serialize, Debug)]
struct Check<'a> {
    axis: &'a str,
    stands: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<[Json; 2]>,
    points: Vec<Json>,
    /// Points of the whole scan.
    of: usize,
    dry_run: bool,
}

#[derive(Serialize, Debug)]
struct Failed {
    #[serde(skip_serializing_if = "Option::is_none")]
    point: Option<usize>,
    axes: &'static str,
    before: Map<String, Json>,
    error: JsonFailure,
}
