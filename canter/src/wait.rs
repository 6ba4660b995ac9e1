//! `canter wait`: until PVs are what is wanted.

use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ca_kit::{At, Condition, Kit, Level, MatchError, Matched, at_least, at_most, between, near};
use clap::Args;
use serde::Serialize;

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};
use crate::failure::Failure;
use crate::json::{self, JsonFailure};
use crate::moves::{Ended, Progress, wanted_to_end};
use crate::options::{ClientArgs, block_on_last, seconds};
use crate::{escape, show};

/// Time for all PVs to arrive, in seconds.
const TIMEOUT: f64 = 60.0;

#[derive(Args, Debug)]
#[command(
    mut_arg("timeout", |arg| arg.help("Time for all of it, connections included; 0 waits for ever [default: 60]")),
    after_help = "\
Conditions:
  5        the number, at most --tolerance away
  5+-0.1   the number, at most 0.1 away
  1..2     from 1 to 2, both included; 1.. is 1 or more (or '>=1'), ..2 is 2 or less (or '<=2')
  Open     the text, or the state of an enum by its text; --string makes every condition a text

Examples:
  canter wait ring:current 200..
  canter wait --timeout 300 --hold 5 q1:read 12.5+-0.01 valve:state Open

The PVs are watched by monitors. One that is lost is not there until it comes back. Exit code 0 when
all match at once, 3 when they do not in time, and the error stream says who did not arrive and where it
stands."
)]
pub(crate) struct WaitArgs {
    /// PVs, each with what it is to be
    #[arg(required = true, num_args = 2.., value_name = "PV CONDITION")]
    pairs: Vec<OsString>,
    /// How far away numbers may be that have no tolerance of their own
    #[arg(
        long,
        value_name = "T",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    tolerance: f64,
    /// How many of the PVs must match at once [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// Time for which they must go on matching
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds, allow_negative_numbers = true)]
    hold: f64,
    /// Take every condition as a text
    #[arg(short, long)]
    string: bool,
    /// Say nothing of how far it is
    #[arg(short, long)]
    quiet: bool,
    /// One JSON object per PV and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// A PV and what it is to be.
type Wanted = (Pv, Condition);

/// What is known of the PVs while they are waited for.
type Known = Arc<Mutex<Vec<Option<(At, bool)>>>>;

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &WaitArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let wanted = wanted(args)?;
    let timeout = args.client.timeout_or(TIMEOUT);
    let result = block_on_last(async {
        let client = args
            .client
            .client(console, |builder| builder.read_only(true))?;
        let flight = args.client.record.flight(client.recorder());
        let result = wait(args, &client, &wanted, timeout, console).await;
        args.client.save_addresses(&client, console)?;
        client.close().await;
        flight.finish(console)?;
        result
    })?;
    match result {
        Some(Ok(matched)) => {
            show_all(args, console, &wanted, &matched)?;
            Ok(Outcome::Ok)
        }
        Some(Err(error)) => tell(args, console, &error),
        None => Ok(Outcome::PvFailed),
    }
}

/// The outcome; `None` if the user ended it.
async fn wait(
    args: &WaitArgs,
    client: &ca_client::Client,
    wanted: &[Wanted],
    timeout: Duration,
    console: &mut Console<'_>,
) -> Result<Option<Result<Matched, MatchError>>, Stop> {
    let known: Known = Arc::new(Mutex::new(vec![None; wanted.len()]));
    let conditions = wanted.iter().map(|(pv, condition)| (pv, condition.clone()));
    let heard = known.clone();
    let mut matching = client
        .wait_until_all(conditions)
        .timeout(timeout)
        .hold(Duration::from_secs_f64(args.hold))
        .on_change(move |step| {
            let mut known = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = known.get_mut(step.place) {
                *place = Some((step.at, step.holds));
            }
        });
    if let Some(number) = args.number {
        matching = matching.number(usize::try_from(number).unwrap_or(usize::MAX));
    }
    let mut ended = std::pin::pin!(wanted_to_end());
    let mut progress = Progress::new(args.quiet);
    loop {
        tokio::select! {
            result = &mut matching => return Ok(Some(result)),
            how = &mut ended => {
                console.complain(format_args!("{how}: {}", standing(wanted, &known)))?;
                return Ok(None);
            }
            () = progress.due() => progress.tell(console, || standing(wanted, &known))?,
        }
    }
}

/// How many match, and where the first of the others stands.
fn standing(wanted: &[Wanted], known: &Known) -> String {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let holding = known.iter().flatten().filter(|(_, holds)| *holds).count();
    let missing = wanted.iter().zip(known.iter());
    let mut missing = missing.filter(|(_, at)| !matches!(at, Some((_, true))));
    let mut line = format!("{holding} of {} match", wanted.len());
    if let Some(((pv, condition), at)) = missing.next() {
        let at = at.as_ref().map_or(&At::NotConnected(None), |(at, _)| at);
        line.push_str(&format!("; {pv} {at}, wanted: {condition}"));
    }
    line
}

fn tell(args: &WaitArgs, console: &mut Console<'_>, error: &MatchError) -> Result<Outcome, Stop> {
    let mut ended = Ended::new(
        "wait",
        escape::printable(&error.to_string()).into_owned(),
        match error {
            MatchError::TimedOut(_) => Outcome::TimedOut,
            MatchError::Impossible { .. } | MatchError::Number { .. } => Outcome::Usage,
            _ => Outcome::PvFailed,
        },
    );
    ended.remedy = match error {
        MatchError::Impossible { .. } | MatchError::Number { .. } => String::new(),
        MatchError::TimedOut(missing) => match missing.standing.first().map(|it| &it.at) {
            Some(At::NotConnected(Some(error))) => Failure::from(&**error).remedy,
            Some(At::Unusable(_)) => {
                "a number is waited for by a number, a text by a text; --string takes all as texts"
                    .to_owned()
            }
            _ => "look at the device, or raise --timeout or --tolerance".to_owned(),
        },
        MatchError::Open(error) => Failure::from(error).remedy,
        error => error.remedy().to_owned(),
    };
    if args.json {
        show::json_line(
            console,
            &Refused {
                error: (&ended).into(),
            },
        )?;
    } else {
        ended.tell(console, "")?;
    }
    Ok(ended.outcome)
}

fn show_all(
    args: &WaitArgs,
    console: &mut Console<'_>,
    wanted: &[Wanted],
    matched: &Matched,
) -> Result<(), Stop> {
    let names: Vec<_> = wanted.iter().map(|(pv, _)| pv.clone()).collect();
    let width = show::name_width(&names);
    let found = matched.levels.iter().zip(&matched.matching);
    for ((pv, condition), (level, &matches)) in wanted.iter().zip(found) {
        if args.json {
            let line = Line {
                pv: pv.shown(),
                value: level.as_ref().map(|level| match level {
                    Level::Number(number) => json::number(*number),
                    Level::Text(text) => text.as_str().into(),
                    other => other.to_string().into(),
                }),
                wanted: condition.to_string(),
                matches,
                elapsed: matched.elapsed.as_secs_f64(),
            };
            show::json_line(console, &line)?;
            continue;
        }
        let name = escape::padded(pv.shown(), width);
        let value = match level {
            Some(Level::Text(text)) => escape::line(text.as_bytes()),
            Some(level) => level.to_string(),
            None => "not connected".to_owned(),
        };
        let remark = if matches { "" } else { "  (does not match)" };
        writeln!(console.out, "{name}  {value}{remark}")?;
    }
    Ok(())
}

#[derive(Serialize, Debug)]
struct Line<'a> {
    pv: &'a str,
    /// Absent if it is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<serde_json::Value>,
    wanted: String,
    matches: bool,
    /// Seconds.
    elapsed: f64,
}

#[derive(Serialize, Debug)]
struct Refused {
    error: JsonFailure,
}

/// The PVs and conditions of the arguments.
fn wanted(args: &WaitArgs) -> Result<Vec<Wanted>, UsageError> {
    if args.tolerance.is_nan() || args.tolerance < 0.0 {
        let what = format!("--tolerance {} can never match", args.tolerance);
        return Err(UsageError::new(what, "give one that is 0 or more"));
    }
    let mut wanted = Vec::with_capacity(args.pairs.len() / 2);
    for pair in args.pairs.chunks(2) {
        let pv = argument::name(&pair[0])?;
        let Some(condition) = pair.get(1) else {
            let what = format!("{pv} stands there without a condition");
            let remedy = "give each PV what it is to be: canter wait PV CONDITION PV CONDITION …";
            return Err(UsageError::new(what, remedy));
        };
        let condition = condition_of(args, condition).map_err(|error| {
            UsageError::new(format!("condition of {pv}: {}", error.what), error.remedy)
        })?;
        wanted.push((pv, condition));
    }
    Ok(wanted)
}

fn condition_of(args: &WaitArgs, given: &OsStr) -> Result<Condition, UsageError> {
    let Some(given) = given.to_str() else {
        let what = format!("`{}` is no UTF-8", given.display());
        return Err(UsageError::new(what, "give a number, a range or a text"));
    };
    let condition = match args.string {
        true => Some(ca_kit::text(given)),
        false => parse(given, args.tolerance)?,
    };
    let condition = condition.unwrap_or_else(|| ca_kit::text(given));
    match condition.check() {
        Ok(()) => Ok(condition),
        Err(error) => Err(UsageError::new(format!("{given}: {error}"), error.remedy())),
    }
}

/// A condition on a number; `None` for a text.
fn parse(given: &str, tolerance: f64) -> Result<Option<Condition>, UsageError> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let given = given.trim();
    if let Some(value) = number(given) {
        return Ok(Some(near(value, tolerance)));
    }
    let comparison = given.find(|c: char| !"<>=!".contains(c)).unwrap_or(0);
    let (sign, bound) = given.split_at(comparison);
    if let Some(bound) = number(bound).filter(|_| !sign.is_empty()) {
        return match sign {
            ">=" => Ok(Some(at_least(bound))),
            "<=" => Ok(Some(at_most(bound))),
            "=" | "==" => Ok(Some(near(bound, tolerance))),
            _ => Err(UsageError::new(
                format!("there is no condition `{sign}`"),
                format!("write {bound} for the number, {bound}.. for more, ..{bound} for less"),
            )),
        };
    }
    if let Some((value, own)) = given.split_once("+-").or_else(|| given.split_once('±'))
        && let Some((value, own)) = number(value).zip(number(own))
    {
        return Ok(Some(near(value, own)));
    }
    let Some((low, high)) = given.split_once("..") else {
        return Ok(None);
    };
    Ok(match (low.trim(), high.trim()) {
        (low, "") => number(low).map(at_least),
        ("", high) => number(high).map(at_most),
        (low, high) => number(low)
            .zip(number(high))
            .map(|(low, high)| between(low, high)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_what_they_look_like() {
        for (given, expected) in [
            ("5", near(5.0, 0.5)),
            ("-1e-3", near(-1e-3, 0.5)),
            ("=5", near(5.0, 0.5)),
            ("==5", near(5.0, 0.5)),
            ("5+-0.1", near(5.0, 0.1)),
            ("-5±0.1", near(-5.0, 0.1)),
            ("1..2", between(1.0, 2.0)),
            ("-2..-1.5", between(-2.0, -1.5)),
            ("1..", at_least(1.0)),
            ("..-2", at_most(-2.0)),
            (">=1e3", at_least(1e3)),
            ("<= 2", at_most(2.0)),
        ] {
            assert_eq!(parse(given, 0.5).unwrap(), Some(expected), "{given}");
        }
        for text in [
            "Open", "", "..", "../a", "a..b", "1..x", "5+-x", "<>", "1.2.3", ">= x",
        ] {
            assert_eq!(parse(text, 0.0).unwrap(), None, "{text}");
        }
        for wrong in [">5", "<5", "!=5", "<>5"] {
            let error = parse(wrong, 0.0).unwrap_err();
            assert!(error.remedy.contains("write 5 for"), "{error}");
        }
    }
}
