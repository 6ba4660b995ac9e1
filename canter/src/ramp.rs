//! `canter ramp`: a set-point, step by step.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ca_client::Client;
use ca_kit::{Control, Kit, RampError, RampStep, Ramped};
use clap::Args;
use serde::Serialize;

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::json::{self, JsonFailure};
use crate::moves::{Ended, Progress, wanted_to_end};
use crate::options::{ClientArgs, block_on_last, is_read_only, seconds};
use crate::{escape, show};

#[derive(Args, Debug)]
#[command(after_help = "\
The set-point goes from where it stands to the target. Before anything is put, the target is compared with
the limits of the PV's control, and everything else is looked at that can be known. --timeout is the time
for each look, put and read-back.

Standard output has a line for each step: seconds, value, read-back, with tabs between them. After Ctrl-C
and after a failure the set-point stays where it is, or goes back with --back; another Ctrl-C ends that,
too.

Examples:
  canter ramp --dry-run --rate 0.5 motor:gap 12
  canter ramp --step-size 0.2 --period 0.5 --read-back motor:gap:read --tolerance 0.01 motor:gap 12")]
pub(crate) struct RampArgs {
    /// PV to move
    #[arg(value_parser = argument::pv())]
    pv: Pv,
    /// Where to
    #[arg(value_name = "TARGET", allow_negative_numbers = true)]
    to: f64,
    /// In so many equal steps [default: 10]
    #[arg(long, value_name = "N", group = "pace")]
    steps: Option<u64>,
    /// In steps of this size, in units of the PV
    #[arg(
        long,
        value_name = "SIZE",
        group = "pace",
        allow_negative_numbers = true
    )]
    step_size: Option<f64>,
    /// So fast, in units of the PV per second
    #[arg(
        long,
        value_name = "RATE",
        group = "pace",
        allow_negative_numbers = true
    )]
    rate: Option<f64>,
    /// Time between two steps
    #[arg(long, value_name = "S", default_value = "0.1", value_parser = seconds, allow_negative_numbers = true)]
    period: f64,
    /// Before each further step, check that this PV has followed
    #[arg(long, value_name = "PV", value_parser = argument::pv(), requires = "tolerance")]
    read_back: Option<Pv>,
    /// How far away the read-back may be
    #[arg(
        long,
        value_name = "T",
        requires = "read_back",
        allow_negative_numbers = true
    )]
    tolerance: Option<f64>,
    /// Wait for the completion of each put (put-notify)
    #[arg(short = 'c', long = "wait")]
    wait: bool,
    /// Refuse a target outside of these, too
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], allow_negative_numbers = true)]
    range: Option<Vec<f64>>,
    /// After Ctrl-C and after a failure, go back by the same steps
    #[arg(long)]
    back: bool,
    /// Look at everything, and put nothing
    #[arg(long)]
    dry_run: bool,
    /// Say nothing of how far it is
    #[arg(short, long)]
    quiet: bool,
    /// One JSON object per step and line, and one at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl RampArgs {
    fn period(&self) -> Duration {
        Duration::try_from_secs_f64(self.period).unwrap_or(Duration::MAX)
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &RampArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    block_on_last(async {
        let client = args
            .client
            .client(console, |builder| builder.read_only(is_read_only()))?;
        let flight = args.client.record.flight(client.recorder());
        let result = ramp(args, &client, timeout, console).await;
        args.client.save_addresses(&client, console)?;
        client.close().await;
        flight.finish(console)?;
        result
    })
}

async fn ramp(
    args: &RampArgs,
    client: &Client,
    timeout: Duration,
    console: &mut Console<'_>,
) -> Result<Outcome, Stop> {
    let mut journey = Journey::default();
    let control = Control::new();
    let steps = Steps::default();
    let mut pace = client
        .ramp(&args.pv, args.to)
        .period(args.period())
        .timeout(timeout)
        .control(&control)
        .on_step(steps.teller());
    match (args.steps, args.step_size, args.rate) {
        (Some(steps), ..) => pace = pace.steps(steps),
        (_, Some(size), _) => pace = pace.step_size(size),
        (.., Some(rate)) => pace = pace.rate(rate),
        _ => {}
    }
    if let Some([low, high]) = args.range.as_deref() {
        pace = pace.range(*low, *high);
    }
    if args.dry_run {
        pace = pace.dry_run();
    }
    if args.wait {
        pace = pace.wait();
    }
    if let Some((pv, tolerance)) = args.read_back.as_ref().zip(args.tolerance) {
        pace = pace.read_back(pv, tolerance);
    }
    let result = journey.follow(args, console, pace, &steps, &control).await;
    match result {
        Ok(done) => {
            // What could not be written is told now that nothing moves any more.
            journey.output?;
            show_end(args, console, &done)?;
            Ok(Outcome::Ok)
        }
        Err(error) => {
            let ended = ended(&error);
            let stands = journey.end(args, client, timeout, console, &error).await?;
            journey.output?;
            if args.json {
                let line = Refused {
                    pv: args.pv.shown(),
                    at: journey.at.map(json::number),
                    error: (&ended).into(),
                };
                show::json_line(console, &line)?;
                // Where it stands then is known by `at`.
                return Ok(ended.outcome);
            }
            ended.tell(console, &stands)?;
            Ok(ended.outcome)
        }
    }
}

/// Steps that were made and not shown yet. A ramp waits for the network in each step, so there is one at most.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Option<RampStep>>>);

impl Steps {
    fn teller(&self) -> impl FnMut(RampStep) + Send + use<> {
        let steps = self.clone();
        move |step| *steps.lock() = Some(step)
    }

    fn take(&self) -> Option<RampStep> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<RampStep>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ramp as far as it has come.
#[derive(Debug)]
struct Journey {
    /// Where the set-point stood before.
    from: Option<f64>,
    /// Where it stands, and after how many steps of how many.
    at: Option<f64>,
    of: u64,
    begun: bool,
    /// What could not be written.
    output: Result<(), Stop>,
}

impl Default for Journey {
    fn default() -> Self {
        Self {
            from: None,
            at: None,
            of: 1,
            begun: false,
            output: Ok(()),
        }
    }
}

impl Journey {
    /// Shows each step of a ramp, and ends it when the user wants so.
    async fn follow(
        &mut self,
        args: &RampArgs,
        console: &mut Console<'_>,
        ramp: impl Future<Output = Result<Ramped, RampError>>,
        steps: &Steps,
        control: &Control,
    ) -> Result<Ramped, RampError> {
        let mut ramp = std::pin::pin!(ramp);
        let mut ended = std::pin::pin!(wanted_to_end());
        let mut progress = Progress::new(args.quiet || console.terminal);
        loop {
            let result = std::future::poll_fn(|cx| {
                use std::task::Poll;
                if let Poll::Ready(result) = ramp.as_mut().poll(cx) {
                    return Poll::Ready(Some(result));
                }
                match self.output.is_ok() && steps.lock().is_some() {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            });
            let result = tokio::select! {
                biased;
                result = result => result,
                how = &mut ended, if !control.is_aborted() => {
                    let _ = console.complain(how);
                    control.abort();
                    continue;
                }
            };
            if let Some(step) = steps.take() {
                let shown = self.step(args, console, &mut progress, &step);
                if shown.is_err() {
                    self.output = shown;
                    control.abort();
                }
            }
            if let Some(result) = result {
                return result;
            }
        }
    }

    fn step(
        &mut self,
        args: &RampArgs,
        console: &mut Console<'_>,
        progress: &mut Progress,
        step: &RampStep,
    ) -> Result<(), Stop> {
        self.from.get_or_insert(step.at);
        (self.at, self.of) = (Some(step.at), step.of);
        if !std::mem::replace(&mut self.begun, true) && !args.json {
            let read_back = args.read_back.as_ref().map_or("", Pv::shown);
            let tab = if read_back.is_empty() { "" } else { "\t" };
            writeln!(console.out, "# seconds\t{}{tab}{read_back}", args.pv)?;
        }
        let seconds = step.elapsed.as_secs_f64();
        if args.json {
            show::json_line(console, &Line::new(args, step))?;
        } else {
            let read_back = match (&args.read_back, step.read_back) {
                (None, _) => String::new(),
                (_, Some(at)) => format!("\t{at}"),
                (_, None) => "\tnan".to_owned(),
            };
            writeln!(console.out, "{seconds:.3}\t{}{read_back}", step.at)?;
        }
        console.out.flush()?;
        progress.tell(console, || {
            format!(
                "step {} of {}: {} at {}",
                step.step, step.of, args.pv, step.at
            )
        })
    }

    /// Where the set-point is at the end of a ramp that failed; with `--back` it is moved there first.
    async fn end(
        &mut self,
        args: &RampArgs,
        client: &Client,
        timeout: Duration,
        console: &mut Console<'_>,
        error: &RampError,
    ) -> Result<String, Stop> {
        let (Some(from), Some(shown)) = (self.from, self.at) else {
            return Ok("nothing was moved".to_owned());
        };
        let at = last_put(error).unwrap_or(shown);
        self.at = Some(at);
        if at == from && shown == from {
            return Ok("nothing was moved".to_owned());
        }
        if !args.back {
            return Ok(format!(
                "{} is left at {at}; it stood at {from}, --back would have brought it back",
                args.pv
            ));
        }
        let _ = console.complain(format_args!("going back to {from}"));
        let size = ((args.to - from) / self.of.max(1) as f64).abs();
        let control = Control::new();
        let back = client
            .ramp(&args.pv, from)
            .step_size(if size > 0.0 { size } else { f64::MAX })
            .period(args.period())
            .timeout(timeout)
            .control(&control);
        let mut back = std::pin::pin!(back);
        // Only a signal: whether somebody reads is of no importance to the way back.
        let mut interrupted = std::pin::pin!(crate::interrupt::interrupted());
        let result = loop {
            tokio::select! {
                biased;
                result = &mut back => break result,
                () = &mut interrupted, if !control.is_aborted() => control.abort(),
            }
        };
        Ok(match result {
            Ok(_) => {
                self.at = Some(from);
                format!("{} is back at {from}", args.pv)
            }
            Err(error) => {
                self.at = last_put(&error).or(self.at);
                format!(
                    "{} is NOT back at {from}: {}",
                    args.pv,
                    escape::printable(&error.to_string())
                )
            }
        })
    }
}

/// What was put last, as far as the error knows.
const fn last_put(error: &RampError) -> Option<f64> {
    match error {
        RampError::Put { at, .. }
        | RampError::NotFollowed { at, .. }
        | RampError::Aborted { at, .. } => Some(*at),
        _ => None,
    }
}

fn ended(error: &RampError) -> Ended {
    let (phase, outcome) = match error {
        RampError::Get(error) => return Ended::get(error),
        RampError::Put { error, .. } => return Ended::put(error),
        RampError::Option { .. }
        | RampError::Impossible { .. }
        | RampError::OutsideLimits { .. } => ("begin", Outcome::Usage),
        RampError::NotFollowed { .. } => ("follow", Outcome::TimedOut),
        RampError::Aborted { .. } => ("move", Outcome::PvFailed),
        _ => ("begin", Outcome::PvFailed),
    };
    Ended::new(
        phase,
        escape::printable(&error.to_string()).into_owned(),
        outcome,
    )
}

fn show_end(args: &RampArgs, console: &mut Console<'_>, done: &Ramped) -> Result<(), Stop> {
    if args.json {
        let line = Done {
            pv: args.pv.shown(),
            from: json::number(done.from),
            to: json::number(done.to),
            steps: done.steps,
            dry_run: args.dry_run,
            elapsed: done.elapsed.as_secs_f64(),
        };
        return Ok(show::json_line(console, &line)?);
    }
    if args.dry_run {
        let steps = escape::counted(done.steps, "step");
        let least = args
            .period()
            .saturating_mul(u32::try_from(done.steps.saturating_sub(1)).unwrap_or(u32::MAX));
        writeln!(
            console.out,
            "{} would go from {} to {} in {steps} of {}, which takes {} or more; nothing was put",
            args.pv,
            done.from,
            done.to,
            (done.to - done.from).abs() / done.steps.max(1) as f64,
            show::duration(least)
        )?;
    } else if done.steps == 0 {
        console.complain(format_args!("{} is at {} already", args.pv, done.to))?;
    }
    Ok(())
}

/// A step as a line of JSON.
#[derive(Serialize, Debug)]
struct Line<'a> {
    pv: &'a str,
    step: u64,
    of: u64,
    value: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_back: Option<serde_json::Value>,
    /// Seconds.
    elapsed: f64,
}

impl<'a> Line<'a> {
    fn new(args: &'a RampArgs, step: &RampStep) -> Self {
        Self {
            pv: args.pv.shown(),
            step: step.step,
            of: step.of,
            value: json::number(step.at),
            read_back: step.read_back.map(json::number),
            elapsed: step.elapsed.as_secs_f64(),
        }
    }
}

/// The end as a line of JSON.
#[derive(Serialize, Debug)]
struct Done<'a> {
    pv: &'a str,
    from: serde_json::Value,
    to: serde_json::Value,
    steps: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// Seconds.
    elapsed: f64,
}

/// A failure as a line of JSON.
#[derive(Serialize, Debug)]
struct Refused<'a> {
    pv: &'a str,
    /// Where the set-point is left, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<serde_json::Value>,
    error: JsonFailure,
}
