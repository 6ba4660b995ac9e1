//! `canter scan`: set-points through points, and what others do there.

mod arguments;
mod rows;

use std::time::{Duration, Instant};

use ca_client::Client;
use ca_kit::{Control, Kit, Restored, ScanError, ScanFault, ScanRow, ScanRows};
use clap::Args;

pub(crate) use self::arguments::When;
use self::rows::Table;
use crate::argument::{self, Pv};
use crate::console::Console;
use crate::escape;
use crate::exit::{Outcome, Stop};
use crate::format::FormatArgs;
use crate::moves::{Ended, Progress, wanted_to_end};
use crate::options::{ClientArgs, block_on_last, is_read_only, seconds};

#[derive(Args, Debug)]
#[command(after_help = "\
The first axis is the slowest. An axis has settled when its put is completed, after --settle seconds, or
when its --read-back has arrived. Before anything moves, all points are compared with the limits of the
controls, and everything else is looked at that can be known. --timeout is the time for each look, put,
read-back and round of observed PVs.

Standard output has a line for each point, with tabs between the columns and nan for what could not be read:
numpy.loadtxt reads it. At the end, after a failure, after Ctrl-C and when nobody reads the output any more,
the axes are put back where they stood; another Ctrl-C leaves them where they are.

Examples:
  canter scan --axis q1:set -1 1 5 bpm1:x bpm1:y
  canter scan --axis q1:set -1 1 5 --read-back q1:set q1:read 0.01 --dwell 0.5 --json bpm1:x")]
pub(crate) struct ScanArgs {
    /// PVs to observe at each point
    #[arg(value_name = "PV", value_parser = argument::pv())]
    observed: Vec<Pv>,
    /// Move this PV through COUNT points from FROM to TO; repeatable
    #[arg(long, num_args = 4, value_names = ["PV", "FROM", "TO", "COUNT"], allow_negative_numbers = true)]
    axis: Vec<String>,
    /// Move this PV through these points, as in 1,2,5; repeatable, its axes are faster than those of --axis
    #[arg(long, num_args = 2, value_names = ["PV", "POINTS"], allow_hyphen_values = true)]
    points: Vec<String>,
    /// This axis has settled when this PV is at most TOLERANCE away from the point; repeatable
    #[arg(long, num_args = 3, value_names = ["AXIS", "PV", "TOLERANCE"], allow_negative_numbers = true)]
    read_back: Vec<String>,
    /// Refuse points of this axis outside of these, too; repeatable
    #[arg(long, num_args = 3, value_names = ["AXIS", "LOW", "HIGH"], allow_negative_numbers = true)]
    range: Vec<String>,
    /// Axes without a read-back have settled after this time, in place of completion
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    settle: Option<f64>,
    /// Time at each point between settling and observing
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds, allow_negative_numbers = true)]
    dwell: f64,
    /// When the axes are put back where they stood
    #[arg(long, value_name = "WHEN", value_enum, default_value = "always")]
    restore: When,
    /// Look at everything, and move nothing
    #[arg(long)]
    dry_run: bool,
    /// Say nothing of how far it is
    #[arg(short, long)]
    quiet: bool,
    /// One JSON object per point and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &ScanArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let axes = arguments::axes(args)?;
    let timeout = args.client.timeout(console)?;
    block_on_last(async {
        let client = args
            .client
            .client(console, |builder| builder.read_only(is_read_only()))?;
        let flight = args.client.record.flight(client.recorder());
        let scan = Scan {
            args,
            axes,
            control: Control::new(),
        };
        let result = scan.run(&client, timeout, console).await;
        args.client.save_addresses(&client, console)?;
        client.close().await;
        flight.finish(console)?;
        result
    })
}

/// A scan and what it is of.
struct Scan<'a> {
    args: &'a ScanArgs,
    axes: Vec<arguments::Named>,
    control: Control,
}

impl Scan<'_> {
    async fn run(
        &self,
        client: &Client,
        timeout: Duration,
        console: &mut Console<'_>,
    ) -> Result<Outcome, Stop> {
        let args = self.args;
        let scan = client
            .scan(self.axes.iter().map(|axis| axis.axis.clone()))
            .observe(&args.observed)
            .dwell(Duration::try_from_secs_f64(args.dwell).unwrap_or(Duration::MAX))
            .restore(args.restore.into())
            .timeout(timeout)
            .control(&self.control);
        let mut table = Table::new(args, &self.axes);
        if args.dry_run {
            return match scan.check().await {
                Ok(check) => {
                    table.check(console, &check)?;
                    Ok(Outcome::Ok)
                }
                Err(error) => self.failed(console, &table, &error),
            };
        }
        self.rows(scan.rows(), console, &mut table).await
    }

    /// Shows the rows as they come. What cannot be written, and what the user wants, end it, but not before the
    /// axes are where they are to be.
    async fn rows(
        &self,
        mut rows: ScanRows<'_, Client>,
        console: &mut Console<'_>,
        table: &mut Table<'_>,
    ) -> Result<Outcome, Stop> {
        let mut progress = Progress::new(self.args.quiet || console.terminal);
        let (mut outcome, mut output) = (Outcome::Ok, Ok(()));
        let mut ended = std::pin::pin!(wanted_to_end());
        let mut again = std::pin::pin!(crate::interrupt::interrupted());
        let mut asked = false;
        let begun = Instant::now();
        loop {
            let row = tokio::select! {
                biased;
                row = rows.next() => row,
                how = &mut ended, if !asked => {
                    let _ = console.complain(format_args!("{how}: the scan ends"));
                    self.control.abort();
                    asked = true;
                    continue;
                }
                () = &mut again, if asked => {
                    let axes = self.axes.iter().map(|axis| axis.pv.shown());
                    let axes = axes.collect::<Vec<_>>().join(", ");
                    console.complain(format_args!("left where they are: {axes}"))?;
                    return Ok(Outcome::PvFailed);
                }
            };
            match row {
                None => return output.map(|()| outcome),
                Some(Err(error)) => {
                    let failed = self.failed(console, table, &error);
                    // What could not be written first is the reason.
                    return output.and(failed);
                }
                Some(Ok(row)) if output.is_ok() => {
                    outcome = outcome.and(rows::outcome(&row));
                    output = table.row(console, &row);
                    if output.is_ok() {
                        output = progress.tell(console, || so_far(&row, begun.elapsed()));
                    }
                    if output.is_err() {
                        self.control.abort();
                    }
                }
                Some(Ok(_)) => {}
            }
        }
    }

    fn failed(
        &self,
        console: &mut Console<'_>,
        table: &Table<'_>,
        error: &ScanError,
    ) -> Result<Outcome, Stop> {
        let ended = ended(error);
        if self.args.json {
            table.failure(console, error, &ended)?;
        } else {
            ended.tell(console, &axes(error))?;
        }
        Ok(ended.outcome)
    }
}

/// How far it is, and how long the rest takes if it goes on like this.
fn so_far(row: &ScanRow, elapsed: Duration) -> String {
    let done = row.point + 1;
    let rest = elapsed.as_secs_f64() * (row.of - done.min(row.of)) as f64 / done as f64;
    format!("point {done} of {}, about {rest:.0} s to go", row.of)
}

fn ended(error: &ScanError) -> Ended {
    let phase = if error.point.is_some() {
        "move"
    } else {
        "begin"
    };
    let mut ended = match &*error.fault {
        ScanFault::Get(error) => Ended::get(error),
        ScanFault::Put(error) => Ended::put(error),
        fault => {
            let outcome = match fault {
                ScanFault::NotThere { .. } => Outcome::TimedOut,
                ScanFault::Empty
                | ScanFault::TooMany
                | ScanFault::OutsideLimits { .. }
                | ScanFault::Impossible { .. } => Outcome::Usage,
                _ => Outcome::PvFailed,
            };
            let message = escape::printable(&fault.to_string()).into_owned();
            Ended::new(phase, message, outcome)
        }
    };
    let place = match error.point {
        Some((point, of)) => format!("the scan ends at point {} of {of}: ", point + 1),
        None => "the scan does not begin: ".to_owned(),
    };
    ended.message.insert_str(0, &place);
    if matches!(error.axes, Restored::Failed(_)) {
        ended.outcome = Outcome::PvFailed;
    }
    ended
}

/// Where the axes are.
fn axes(error: &ScanError) -> String {
    let stood = || {
        let before = error.before.iter().map(|(pv, at)| format!("{pv} {at}"));
        escape::printable(&before.collect::<Vec<_>>().join(", ")).into_owned()
    };
    match &error.axes {
        Restored::NotMoved => "nothing was moved".to_owned(),
        Restored::Back => format!("put back where they stood: {}", stood()),
        Restored::Left => format!(
            "the axes are left where they are; they stood at: {}",
            stood()
        ),
        Restored::Failed(errors) => {
            let errors = errors.iter().map(ToString::to_string);
            let errors = errors.collect::<Vec<_>>().join("; ");
            let errors = escape::printable(&errors).into_owned();
            format!("NOT put back: {errors}; they stood at: {}", stood())
        }
        _ => String::new(),
    }
}
