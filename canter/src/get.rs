//! `canter get`: values of PVs.

use std::net::SocketAddrV4;
use std::time::Duration;

use ca_client::{Channel, Client, ConnectError, GetError, OpError, ReadSpec, TypeSpec};
use ca_proto::dbr::{DbrType, Family, NativeType, Reading};
use clap::Args;
use futures_util::future::{join, join_all};
use serde::Serialize;
use tokio::time::Instant;

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::failure::{Failure, report};
use crate::format::FormatArgs;
use crate::json::{JsonFailure, JsonSample};
use crate::labels;
use crate::notices::{self, Notice, Notices};
use crate::options::{ClientArgs, block_on_last, leave};
use crate::sample::{Meta, Sample};
use crate::{show, when};

#[derive(Args, Debug)]
#[command(after_help = "\
Real numbers have six significant digits, as C's %g; --string has the server print them with the
precision of the PV, -e, -f and -g set the digits. Errors go to standard error, one PV's error does
not keep the others from being shown. Fields are read by their name, as in `canter get X.EGU`.
Bytes that are not UTF-8 are shown as \\xb0, and can be given like that.

For those who know caget: -t, -a, -d, -n, -#, -s, -S, -e, -f, -g, -w and -p mean the same; the length
of arrays is always the present one, as with -c.")]
pub(crate) struct GetArgs {
    /// PVs to read
    #[arg(required = true, value_name = "PV", value_parser = argument::pv())]
    pvs: Vec<Pv>,
    /// Values alone, a line for each PV; `***` for one that has none
    #[arg(short, long, group = "form")]
    terse: bool,
    /// With the time stamp
    #[arg(short = 'a', long, group = "form")]
    wide: bool,
    /// All that is known: time stamp, alarm, units, precision, limits, states
    #[arg(short, long, group = "form")]
    long: bool,
    /// One JSON object per PV and line
    #[arg(long, group = "form")]
    json: bool,
    /// Ask for this DBR type, such as TIME_DOUBLE or CLASS_NAME
    #[arg(short = 'd', long = "type", value_name = "TYPE", value_parser = dbr_type)]
    ty: Option<DbrType>,
    /// Only the first elements of arrays
    #[arg(short = '#', long, visible_alias = "elements", value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// What caget does with it is always done here
    #[arg(short = 'c', hide = true)]
    _dynamic: bool,
    /// Let the server convert values to text; real numbers have the precision of the PV
    #[arg(short = 's', long, conflicts_with = "ty")]
    string: bool,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    client: ClientArgs,
}

fn dbr_type(name: &str) -> Result<DbrType, String> {
    let known = DbrType::from_name(&name.to_uppercase());
    let known = known.or_else(|| name.parse().ok().map(DbrType).filter(|ty| ty.is_valid()));
    match known {
        Some(DbrType::PUT_ACKT | DbrType::PUT_ACKS) => Err("this type is for writing".to_owned()),
        Some(ty) => Ok(ty),
        None => Err(
            "types are STRING, SHORT, FLOAT, ENUM, CHAR, LONG and DOUBLE, alone or behind STS_, \
             TIME_, GR_ or CTRL_, and STSACK_STRING and CLASS_NAME"
                .to_owned(),
        ),
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &GetArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    if args.long || args.wide {
        when::warn_of_zone(console)?;
    }
    let (results, notices, flight) = block_on_last(async {
        let client = args
            .client
            .client(console, |builder| builder.repeater_port(0).read_only(true))?;
        let flight = args.client.record.flight(client.recorder());
        let mut notices = Notices::of(&client);
        let channels: Vec<_> = args.pvs.iter().map(|pv| client.open(pv)).collect();
        let results = get_all(args, &client, &channels, timeout).await;
        let notices = notices.arrived().await;
        args.client.save_addresses(&client, console)?;
        leave(client, channels).await;
        Ok((results, notices, flight))
    })?;
    flight.finish(console)?;
    if !args.json {
        notices::tell(console, &notices)?;
    }
    let width = show::name_width(&args.pvs);
    let mut outcome = Outcome::Ok;
    for (pv, result) in args.pvs.iter().zip(results) {
        if let Err(failure) = &result {
            outcome = outcome.and(failure.outcome());
        }
        if args.json {
            show::json_line(console, &json(pv.shown(), &result, args, &notices))?;
            continue;
        }
        match result {
            Ok((sample, of)) if args.long => {
                show::long(
                    console,
                    pv,
                    &args.format.of(pv.shown()),
                    &sample,
                    of.is_array,
                )?;
            }
            Ok((sample, of)) if args.terse => {
                let format = args.format.of(pv.shown());
                writeln!(console.out, "{}", format.terse(&sample, of.is_array))?;
            }
            Ok((sample, of)) if args.wide => {
                let format = args.format.of(pv.shown());
                show::wide(console, pv, width, &format, &sample, of.is_array)?;
            }
            Ok((sample, of)) => {
                show::line(
                    console,
                    pv,
                    width,
                    &args.format.of(pv.shown()),
                    &sample,
                    of.is_array,
                )?;
            }
            Err(failure) => {
                // The lines of the others stay where they are counted.
                if args.terse {
                    writeln!(console.out, "***")?;
                }
                report(console, pv.shown(), &failure)?;
            }
        }
    }
    Ok(outcome)
}

/// Time for another read of a PV that is there, when waiting for the others has used all.
const MIN_READ_TIME: Duration = Duration::from_millis(500);

/// A value, and what its PV is; or why there is none.
type Got = Result<(Sample, Of), Failure>;

/// Of what a value is.
#[derive(Clone, Copy)]
struct Of {
    is_array: bool,
    server: Option<SocketAddrV4>,
}

async fn get_all(
    args: &GetArgs,
    client: &Client,
    channels: &[Result<Channel, ConnectError>],
    timeout: Duration,
) -> Vec<Got> {
    let deadline = Instant::now() + timeout;
    let open: Vec<&Channel> = channels.iter().flatten().collect();
    let (spec, described) = specs(args);
    let read = |spec| {
        client
            .get_many::<Reading>(open.iter().copied())
            .spec(spec)
            .timeout(timeout)
    };
    // Both go out together.
    let (mut values, meta) = join(read(spec), async {
        match described {
            Some(spec) => read(spec).await,
            None => Vec::new(),
        }
    })
    .await;
    // Those with fewer elements than --count says: all of them, then, and together again.
    let short: Vec<usize> = (0..values.len())
        .filter(|&n| is_short(&values[n]))
        .collect();
    if !short.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let all = ReadSpec { count: 0, ..spec };
        let again = short.iter().map(|&n| open[n]);
        let again = client
            .get_many::<Reading>(again)
            .spec(all)
            .timeout(left.max(MIN_READ_TIME));
        for (n, value) in short.iter().zip(again.await) {
            values[*n] = value;
        }
    }
    let mut meta = meta.into_iter();
    let mut results = Vec::with_capacity(channels.len());
    for (channel, value) in open.iter().zip(values) {
        let meta = meta.next().and_then(Result::ok);
        let sample = value.map(|value| Sample::new(&value, meta.as_ref().map(Meta::of)));
        results.push(match sample {
            Ok(sample) => Ok((sample, of(channel))),
            Err(error) => Err(Failure::from(&error)),
        });
    }
    if !args.format.enum_index {
        let left = deadline.saturating_duration_since(Instant::now());
        let samples = open.iter().zip(&mut results).filter_map(|(channel, got)| {
            let (sample, _) = got.as_mut().ok()?;
            Some(labels::complete(channel, sample, left.max(MIN_READ_TIME)))
        });
        join_all(samples).await;
    }
    // Those that could not be opened, where they belong.
    for (index, channel) in channels.iter().enumerate() {
        if let Err(error) = channel {
            results.insert(index, Err(error.into()));
        }
    }
    results
}

fn is_short(value: &Result<Reading, GetError>) -> bool {
    let Err(GetError::BadRequest { reason, .. }) = value else {
        return false;
    };
    matches!(reason, OpError::BadCount { .. })
}

fn of(channel: &Channel) -> Of {
    let info = channel.info();
    let connection = info.as_ref().and_then(|info| info.connection());
    Of {
        is_array: connection.is_some_and(|connection| connection.count > 1),
        server: connection.map(|connection| connection.server),
    }
}

/// What to ask all PVs for: the value, and what describes it if it does not come along.
fn specs(args: &GetArgs) -> (ReadSpec, Option<ReadSpec>) {
    let spec = |ty, count| ReadSpec { ty, count };
    let count = args.count.unwrap_or(0);
    if let Some(ty) = args.ty {
        return (spec(TypeSpec::Exact(ty), count), None);
    }
    let described = spec(TypeSpec::Family(Family::Ctrl), 1);
    // Only one family has a time stamp, and only others have what describes the value.
    let family = if args.long || args.wide || args.json {
        Family::Time
    } else {
        Family::Ctrl
    };
    let ty = if args.string {
        TypeSpec::Exact(DbrType::new(family, NativeType::String))
    } else {
        TypeSpec::Family(family)
    };
    let complete = family == Family::Ctrl && !args.string;
    (spec(ty, count), (!complete).then_some(described))
}

/// The line of JSON for a PV.
#[derive(Serialize, Debug)]
struct Line<'a> {
    pv: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sample: Option<JsonSample>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JsonFailure>,
    /// What servers said beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a Notice>,
}

fn json<'a>(pv: &'a str, result: &Got, args: &GetArgs, notices: &'a [Notice]) -> Line<'a> {
    let server = match result {
        Ok((_, of)) => of.server,
        Err(failure) => failure.server,
    };
    Line {
        pv,
        sample: result.as_ref().ok().map(|(sample, of)| {
            JsonSample::new(sample, of.is_array, args.format.is_text(pv)).with_description(sample)
        }),
        error: result.as_ref().err().map(JsonFailure::from),
        events: notices::about(notices, pv, server),
    }
}
