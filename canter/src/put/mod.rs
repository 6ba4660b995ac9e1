//! `canter put`: write a PV.

pub(crate) mod arguments;
pub(crate) mod input;

use std::ffi::OsString;
use std::time::Duration;

use ca_client::{Channel, ConnectError, ReadSpec, TypeSpec};
use ca_proto::dbr::{DbrType, EnumStates, Family, NativeType, Value};
use clap::Args;
use futures_util::future::join;
use serde::Serialize;
use tokio::time::Instant;

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};
use crate::failure::{Failure, report};
use crate::format::FormatArgs;
use crate::json::{JsonFailure, JsonSample};
use crate::options::{ClientArgs, block_on_last, is_read_only, leave};
use crate::sample::{Meta, Sample};
use crate::show;
use input::{Mode, Target};

#[derive(Args, Debug)]
#[command(after_help = "\
Values are checked against the type of the PV before anything is sent: numbers for number types and
their arrays, CHAR among them (0x for hexadecimal), the text or the number of a state for enums, texts
for strings. -S writes one text to an array of CHAR. Several values are the elements of an array.

Behind the PV, what is no option of this command is a value, also if it begins with a minus; behind
`--` everything is. In values and names, \\xb0 is a byte, \\u{b0} a character, \\n, \\t and \\\\ are what they
are in C: what `canter get` prints can be given back.

For those who know caput: -c, -n, -s, -S, -t, -w and -p mean the same, -a is not needed for arrays.")]
pub(crate) struct PutArgs {
    /// PV to write
    #[arg(value_parser = argument::pv())]
    pv: Pv,
    /// The value; several for an array
    #[arg(required = true, value_name = "VALUE")]
    values: Vec<OsString>,
    /// Wait until the IOC has completed what follows from the value (put-notify)
    #[arg(short = 'c', long = "wait")]
    wait: bool,
    /// Send texts, let the server convert them
    #[arg(short, long, conflicts_with = "long_string")]
    string: bool,
    /// Take backslashes in values as they are
    #[arg(long)]
    literal: bool,
    /// The new value alone
    #[arg(short = 't', long)]
    terse: bool,
    /// One JSON object with the old and the new value
    #[arg(long, conflicts_with = "terse")]
    json: bool,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// What happened.
struct Done {
    old: Option<Sample>,
    new: Result<Sample, Failure>,
    is_array: bool,
    /// A text was written to an array of `CHAR`, which is then shown as such.
    is_text: bool,
    /// How long completion took, if it was asked for.
    completion: Option<Duration>,
}

/// Runs the command.
///
/// # Errors
/// Wrong options, a value that does not suit the PV, or an output that cannot be written.
pub(crate) fn run(args: &PutArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    let result: Result<Result<Done, Failure>, Stop> = block_on_last(async {
        let client = args.client.client(console, |builder| {
            builder.repeater_port(0).read_only(is_read_only())
        })?;
        let channel = client.open(&args.pv);
        let result = put(args, &channel, timeout).await;
        // The answer to a read says that the put before it has arrived.
        match result {
            Ok(Ok(Done { new: Ok(_), .. })) => leave(client, vec![channel]).await,
            _ => client.close().await,
        }
        result
    });
    let result = match result {
        Err(Stop::Usage(error)) if args.json => {
            show::json_line(console, &Line::refused(args, error))?;
            return Ok(Outcome::Usage);
        }
        other => other?,
    };
    let outcome = match &result {
        Ok(Done { new: Ok(_), .. }) => Outcome::Ok,
        Ok(Done {
            new: Err(failure), ..
        })
        | Err(failure) => failure.outcome(),
    };
    if args.json {
        show::json_line(console, &json(args, &result))?;
    } else {
        show_result(args, console, result)?;
    }
    Ok(outcome)
}

/// The outer error is a wrong value, the inner one a PV that failed.
async fn put(
    args: &PutArgs,
    channel: &Result<Channel, ConnectError>,
    timeout: Duration,
) -> Result<Result<Done, Failure>, Stop> {
    let deadline = Instant::now() + timeout;
    let channel = match channel {
        Ok(channel) => channel.with_timeout(timeout),
        Err(error) => return Ok(Err(error.into())),
    };
    if let Err(error) = channel.connected().await {
        return Ok(Err((&error).into()));
    }
    let channel = channel.with_timeout(deadline.saturating_duration_since(Instant::now()));
    let info = channel.info();
    let connection = info.as_ref().and_then(|info| info.connection());
    let (native, count) = connection.map_or((NativeType::Double, 1), |c| (c.native, c.count));
    let old = read(args, &channel, native, None).await;
    let meta = old.as_ref().map(|old| old.meta.clone()).unwrap_or_default();
    let no_states = EnumStates::default();
    let target = Target {
        pv: args.pv.shown(),
        native,
        count,
        states: meta.states.as_ref().unwrap_or(&no_states),
    };
    let mode = if args.string {
        Mode::String
    } else if args.format.long_string {
        Mode::LongString
    } else if args.format.enum_index {
        Mode::Index
    } else {
        Mode::Native
    };
    let value = input::value(&target, mode, &input::texts(&args.values, args.literal)?)?;
    let is_text = mode == Mode::LongString;
    let started = Instant::now();
    if let Err(error) = write(args, &channel, value).await {
        return Ok(Err((&error).into()));
    }
    let completion = args.wait.then(|| started.elapsed());
    // Completion may have used all the time; the new value is worth another moment.
    let left = deadline.saturating_duration_since(Instant::now());
    let channel = channel.with_timeout(left.max(MIN_READ_TIME));
    let new = read(args, &channel, native, Some(meta)).await;
    Ok(Ok(Done {
        old: old.ok(),
        new,
        is_array: count > 1,
        is_text,
        completion,
    }))
}

/// Time for reading the new value even if the time-out is used up.
const MIN_READ_TIME: Duration = Duration::from_millis(500);

async fn write(
    args: &PutArgs,
    channel: &Channel,
    value: Value,
) -> Result<(), ca_client::WriteError> {
    if args.wait {
        channel.write_notify(value).await
    } else {
        channel.write(value).await
    }
}

/// Reads the value, and what describes it unless that is known.
async fn read(
    args: &PutArgs,
    channel: &Channel,
    native: NativeType,
    meta: Option<Meta>,
) -> Result<Sample, Failure> {
    let ty = match args.string && native != NativeType::Char {
        true => TypeSpec::Exact(DbrType::new(Family::Time, NativeType::String)),
        false => TypeSpec::Family(Family::Time),
    };
    let (value, meta) = join(channel.read_with(ReadSpec { ty, count: 0 }), async {
        match meta {
            Some(meta) => Some(meta),
            None => channel.metadata().await.ok().as_ref().map(Meta::of),
        }
    })
    .await;
    let value = value.map_err(|error| Failure::from(&error))?;
    Ok(Sample::new(&value, meta))
}

fn show_result(
    args: &PutArgs,
    console: &mut Console<'_>,
    result: Result<Done, Failure>,
) -> Result<(), Stop> {
    let done = match result {
        Ok(done) => done,
        Err(failure) => return Ok(report(console, args.pv.shown(), &failure)?),
    };
    let mut format = args.format.clone();
    format.long_string = done.is_text;
    let text = |console: &Console<'_>, sample| show::value(console, &format, sample, done.is_array);
    if let Some(old) = done.old.as_ref().filter(|_| !args.terse) {
        let value = text(console, old);
        writeln!(console.out, "old  {}  {value}", args.pv)?;
    }
    match &done.new {
        Ok(new) if args.terse => {
            writeln!(console.out, "{}", format.terse(new, done.is_array))?;
        }
        Ok(new) => {
            let value = text(console, new);
            writeln!(console.out, "new  {}  {value}", args.pv)?;
        }
        Err(failure) => report(console, args.pv.shown(), failure)?,
    }
    if let Some(completion) = done.completion.filter(|_| !args.terse) {
        writeln!(console.out, "completed in {}", show::duration(completion))?;
    }
    Ok(())
}

/// The line of JSON.
#[derive(Serialize, Debug)]
struct Line<'a> {
    pv: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<JsonSample>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<JsonSample>,
    /// Seconds from the put to its completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_after: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JsonFailure>,
}

impl<'a> Line<'a> {
    /// Nothing was sent, because the value, or another argument, is wrong.
    fn refused(args: &'a PutArgs, error: UsageError) -> Self {
        Self {
            pv: args.pv.shown(),
            old: None,
            new: None,
            completed_after: None,
            error: Some(JsonFailure::new("value", error.what, error.remedy)),
        }
    }
}

fn json<'a>(args: &'a PutArgs, result: &Result<Done, Failure>) -> Line<'a> {
    let done = result.as_ref().ok();
    let is_array = done.is_some_and(|done| done.is_array);
    let is_text = done.is_some_and(|done| done.is_text);
    let sample = |sample: &Sample| JsonSample::new(sample, is_array, is_text);
    Line {
        pv: args.pv.shown(),
        old: done.and_then(|done| done.old.as_ref()).map(sample),
        new: done.and_then(|done| done.new.as_ref().ok()).map(sample),
        completed_after: done
            .and_then(|done| done.completion)
            .map(|time| time.as_secs_f64()),
        error: match result {
            Ok(Done { new: Ok(_), .. }) => None,
            Ok(Done {
                new: Err(failure), ..
            })
            | Err(failure) => Some(failure.into()),
        },
    }
}
