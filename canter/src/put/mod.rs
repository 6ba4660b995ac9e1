//! `canter put`: write a PV.

pub(crate) mod arguments;
pub(crate) mod input;

use std::ffi::OsString;
use std::time::Duration;

use ca_client::{Channel, ConnectError, PutError, ReadSpec, Reading, TypeSpec};
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
use crate::labels;
use crate::notices::{self, Notice, Notices};
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
    /// What the server said of the put behind its answer.
    complaint: Option<Failure>,
    /// What was sent.
    put: Value,
}

/// Time for a refusal that comes late, if the value did not change.
const LATE_REFUSAL: Duration = Duration::from_millis(300);

impl Done {
    /// Whether the PV has the value that it had before, though another was put, as far as they are of
    /// one type.
    fn is_unmoved(&self) -> bool {
        let (Some(old), Ok(new)) = (&self.old, &self.new) else {
            return false;
        };
        let put = &self.put;
        old.value == new.value && put.native() == new.native() && *put != new.value
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong options, a value that does not suit the PV, or an output that cannot be written.
pub(crate) fn run(args: &PutArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    let result = block_on_last(async {
        let client = args.client.client(console, |builder| {
            builder.repeater_port(0).read_only(is_read_only())
        })?;
        let flight = args.client.record.flight(client.recorder());
        let mut notices = Notices::of(&client);
        let channel = client.open(&args.pv);
        let mut result = put(args, &channel, timeout).await;
        let told = hear(args, &mut notices, &mut result).await;
        let server = channel.as_ref().ok().and_then(Channel::info);
        let server = server.and_then(|info| info.server().or(info.trouble_at));
        // The answer to a read says that the put before it has arrived.
        match result {
            Ok(Ok(Done { new: Ok(_), .. })) => leave(client, vec![channel]).await,
            _ => client.close().await,
        }
        flight.finish(console)?;
        Ok((result?, told, server))
    });
    let (result, notices, server) = match result {
        Err(Stop::Usage(error)) if args.json => {
            show::json_line(console, &Line::refused(args, error))?;
            return Ok(Outcome::Usage);
        }
        other => other?,
    };
    let outcome = failure(&result).map_or(Outcome::Ok, Failure::outcome);
    if args.json {
        let mut line = json(args, &result);
        line.events = notices::about(&notices, args.pv.shown(), server);
        show::json_line(console, &line)?;
    } else {
        // What is told as the error is not told twice.
        let told =
            |notice: &Notice| notice.is_exception_of(args.pv.shown()) && outcome != Outcome::Ok;
        let rest: Vec<Notice> = notices.into_iter().filter(|notice| !told(notice)).collect();
        notices::tell(console, &rest)?;
        show_result(args, console, result)?;
    }
    Ok(outcome)
}

/// What servers said meanwhile; what they said of the put becomes part of the result.
async fn hear(
    args: &PutArgs,
    notices: &mut Notices,
    result: &mut Result<Result<Done, Failure>, Stop>,
) -> Vec<Notice> {
    let mut told = notices.arrived().await;
    let Ok(Ok(done)) = result else {
        return told;
    };
    if done.is_unmoved() && told.is_empty() {
        // The server may still be about to say why.
        told = notices.within(LATE_REFUSAL).await;
    }
    let complaint = told
        .iter()
        .find(|notice| notice.is_exception_of(args.pv.shown()));
    done.complaint =
        complaint.map(|notice| Failure::complained(notice.server, notice.message.clone()));
    told
}

/// What failed.
fn failure(result: &Result<Done, Failure>) -> Option<&Failure> {
    match result {
        Ok(done) => done.complaint.as_ref().or_else(|| done.new.as_ref().err()),
        Err(failure) => Some(failure),
    }
}

/// The outer error is a wrong value, the inner one a PV that failed.
async fn put(
    args: &PutArgs,
    channel: &Result<Channel, ConnectError>,
    timeout: Duration,
) -> Result<Result<Done, Failure>, Stop> {
    let deadline = Instant::now() + timeout;
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => return Ok(Err(error.into())),
    };
    if let Err(error) = channel.connected().timeout(timeout).await {
        return Ok(Err((&error).into()));
    }
    let timeout = deadline.saturating_duration_since(Instant::now());
    let info = channel.info();
    let connection = info.as_ref().and_then(|info| info.connection());
    let (native, count) = connection.map_or((NativeType::Double, 1), |c| (c.native, c.count));
    let old = read(args, channel, timeout, native, None).await;
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
    } else if args.format.is_text(args.pv.shown()) {
        Mode::LongString
    } else if args.format.enum_index {
        Mode::Index
    } else {
        Mode::Native
    };
    let value = input::value(&target, mode, &input::texts(&args.values, args.literal)?)?;
    let is_text = mode == Mode::LongString;
    let started = Instant::now();
    if let Err(mut error) = write(args, channel, timeout, value.clone()).await {
        if let PutError::TimedOut(context) = &mut error {
            // Connecting and reading took a part of it, of which the user did not speak.
            context.elapsed = timeout;
        }
        return Ok(Err(match args.wait {
            true => (&error).into(),
            false => Failure::unanswered(&error),
        }));
    }
    let completion = args.wait.then(|| started.elapsed());
    // Completion may have used all the time; the new value is worth another moment.
    let left = deadline.saturating_duration_since(Instant::now());
    let left = left.max(MIN_READ_TIME);
    let new = read(args, channel, left, native, Some(meta)).await;
    Ok(Ok(Done {
        old: old.ok(),
        new,
        is_array: count > 1,
        is_text,
        completion,
        complaint: None,
        put: value,
    }))
}

/// Time for reading the new value even if the time-out is used up.
const MIN_READ_TIME: Duration = Duration::from_millis(500);

async fn write(
    args: &PutArgs,
    channel: &Channel,
    timeout: Duration,
    value: Value,
) -> Result<(), PutError> {
    if args.wait {
        channel.put(value).wait().timeout(timeout).await
    } else {
        // The server says nothing of a put but that it refuses it.
        channel.put(value).check().timeout(timeout).await
    }
}

/// Reads the value, and what describes it unless that is known.
async fn read(
    args: &PutArgs,
    channel: &Channel,
    timeout: Duration,
    native: NativeType,
    meta: Option<Meta>,
) -> Result<Sample, Failure> {
    let ty = match args.string && native != NativeType::Char {
        true => TypeSpec::Exact(DbrType::new(Family::Time, NativeType::String)),
        false => TypeSpec::Family(Family::Time),
    };
    let value = channel.get::<Reading>().spec(ReadSpec { ty, count: 0 });
    let (value, meta) = join(value.timeout(timeout), async {
        match meta {
            Some(meta) => Some(meta),
            None => channel
                .metadata()
                .timeout(timeout)
                .await
                .ok()
                .as_ref()
                .map(Meta::of),
        }
    })
    .await;
    let value = value.map_err(|error| Failure::from(&error))?;
    let mut sample = Sample::new(&value, meta);
    if !args.format.enum_index {
        labels::complete(channel, &mut sample, MIN_READ_TIME).await;
    }
    Ok(sample)
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
    format.long_string = done.is_text || format.is_text(args.pv.shown());
    let shown =
        |console: &Console<'_>, sample| show::value(console, &format, sample, done.is_array);
    if let Some(complaint) = &done.complaint {
        return Ok(report(console, args.pv.shown(), complaint)?);
    }
    if done.is_unmoved() {
        console.complain(format_args!(
            "warning: {} has the value that it had before; its server reports no failure",
            args.pv
        ))?;
    }
    if let Some(old) = done.old.as_ref().filter(|_| !args.terse) {
        let value = shown(console, old);
        writeln!(console.out, "old  {}  {value}", args.pv)?;
    }
    match &done.new {
        Ok(new) if args.terse => {
            writeln!(console.out, "{}", format.terse(new, done.is_array))?;
        }
        Ok(new) => {
            let value = shown(console, new);
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
    /// The PV has the value that it had before, though another was put.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unchanged: bool,
    /// What servers said beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a Notice>,
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
            unchanged: false,
            events: Vec::new(),
        }
    }
}

fn json<'a>(args: &'a PutArgs, result: &Result<Done, Failure>) -> Line<'a> {
    let done = result.as_ref().ok();
    let is_array = done.is_some_and(|done| done.is_array);
    let is_text = done.is_some_and(|done| done.is_text) || args.format.is_text(args.pv.shown());
    let sample = |sample: &Sample| JsonSample::new(sample, is_array, is_text);
    Line {
        pv: args.pv.shown(),
        old: done.and_then(|done| done.old.as_ref()).map(sample),
        new: done.and_then(|done| done.new.as_ref().ok()).map(sample),
        completed_after: done
            .and_then(|done| done.completion)
            .map(|time| time.as_secs_f64()),
        error: failure(result).map(JsonFailure::from),
        unchanged: done.is_some_and(Done::is_unmoved),
        events: Vec::new(),
    }
}
