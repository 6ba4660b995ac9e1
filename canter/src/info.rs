//! `canter info`: where PVs are, or why they are not found.

use std::time::Duration;

use ca_client::{Channel, ChannelInfo, ConnectError, EffectiveConfig, ReadSpec, Reading, TypeSpec};
use ca_proto::access::AccessRights;
use ca_proto::client::Connection;
use ca_proto::dbr::DbrType;
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::Instant;

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::failure::{self, Failure, destinations};
use crate::json::JsonFailure;
use crate::notices::{self, Notice, Notices};
use crate::options::{ClientArgs, block_on_last, leave};
use crate::{escape, show};

#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// PVs to ask about
    #[arg(required = true, value_name = "PV", value_parser = argument::pv())]
    pvs: Vec<Pv>,
    /// One JSON object per PV and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Time for further servers of the same PVs to answer, after the first.
const FURTHER: Duration = Duration::from_millis(100);

/// What was found out about a PV.
struct Report {
    info: Option<ChannelInfo>,
    /// Time from the first search to the channel.
    connect_time: Duration,
    /// Answer to `DBR_CLASS_NAME`.
    record_type: Option<String>,
    failure: Option<Failure>,
}

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &InfoArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    let (config, reports, notices, flight) = block_on_last(async {
        let client = args
            .client
            .client(console, |builder| builder.repeater_port(0).read_only(true))?;
        let flight = args.client.record.flight(client.recorder());
        let mut notices = Notices::of(&client);
        let started = Instant::now();
        let channels: Vec<_> = args.pvs.iter().map(|pv| client.open(pv)).collect();
        let asked = channels
            .iter()
            .map(|channel| ask(channel, started, timeout));
        let reports = join_all(asked).await;
        let notices = notices.within(FURTHER).await;
        let config = client.effective_config().clone();
        args.client.save_addresses(&client, console)?;
        leave(client, channels).await;
        Ok((config, reports, notices, flight))
    })?;
    flight.finish(console)?;
    if !args.json {
        notices::tell(console, &notices)?;
    }
    let mut outcome = Outcome::Ok;
    for (pv, report) in args.pvs.iter().zip(&reports) {
        if let Some(failure) = &report.failure {
            outcome = outcome.and(failure.outcome());
        }
        if args.json {
            show::json_line(console, &Line::new(pv.shown(), report, &notices))?;
        } else {
            show_report(console, &config, pv, report)?;
        }
    }
    Ok(outcome)
}

async fn ask(
    channel: &Result<Channel, ConnectError>,
    started: Instant,
    timeout: Duration,
) -> Report {
    let mut report = Report {
        info: None,
        connect_time: Duration::ZERO,
        record_type: None,
        failure: None,
    };
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => {
            report.failure = Some(error.into());
            return report;
        }
    };
    let connected = channel.connected().timeout(timeout).await;
    report.connect_time = started.elapsed();
    report.info = channel.info();
    match connected {
        Ok(()) => {
            report.record_type =
                record_type(channel, timeout - report.connect_time.min(timeout)).await
        }
        Err(error) => report.failure = Some((&error).into()),
    }
    report
}

/// Not every server knows; then the line is left out.
async fn record_type(channel: &Channel, timeout: Duration) -> Option<String> {
    let spec = ReadSpec {
        ty: TypeSpec::Exact(DbrType::CLASS_NAME),
        count: 1,
    };
    let reading = channel
        .get::<Reading>()
        .spec(spec)
        .timeout(timeout)
        .await
        .ok()?;
    let name = escape::line(reading.value().string(0)?);
    (!name.is_empty()).then_some(name)
}

fn show_report(
    console: &mut Console<'_>,
    config: &EffectiveConfig,
    pv: &Pv,
    report: &Report,
) -> Result<(), Stop> {
    let name = console.paint.bold(failure::shown(pv.shown()));
    writeln!(console.out, "{name}")?;
    let searches = report.info.as_ref().map_or(0, |info| info.search_attempts);
    let connection = report.info.as_ref().and_then(|info| info.connection());
    if let Some(failure) = &report.failure {
        return show_failure(console, config, failure, searches);
    }
    let Some(connection) = connection else {
        return Ok(show::item(console, "state", "lost again")?);
    };
    let time = show::duration(report.connect_time);
    let searches = match searches {
        1 => "1 search".to_owned(),
        n => format!("{n} searches"),
    };
    show::item(
        console,
        "state",
        format_args!("connected after {time}, {searches}"),
    )?;
    show::item(
        console,
        "server",
        format_args!("{}, protocol 4.{}", connection.server, connection.minor.0),
    )?;
    show::item(console, "access", access(connection.rights))?;
    show::item(console, "type", connection.native.name())?;
    show::item(console, "elements", connection.count)?;
    if let Some(record_type) = &report.record_type {
        show::item(console, "record type", record_type)?;
    }
    Ok(())
}

/// Why a PV is not there, and what would have to be different.
fn show_failure(
    console: &mut Console<'_>,
    config: &EffectiveConfig,
    failure: &Failure,
    searches: u32,
) -> Result<(), Stop> {
    show::item(console, "state", &failure.message)?;
    let params = config.params();
    if failure.phase == "search" {
        let asked = destinations(&params.search_addrs, &params.name_servers);
        show::item(
            console,
            "asked",
            if asked.is_empty() {
                "nobody".to_owned()
            } else {
                asked
            },
        )?;
        show::item(console, "searches", searches)?;
        for line in config.lines() {
            let tells = ["ADDR_LIST", "NAME_SERVERS", "SERVER_PORT"];
            if tells.iter().any(|part| line.variable.contains(part)) {
                show::item(console, "configuration", line)?;
            }
        }
    }
    show::item(
        console,
        "hint",
        hint(failure, params.search_addrs.is_empty()),
    )?;
    Ok(())
}

fn hint(failure: &Failure, no_udp: bool) -> String {
    if failure.phase != "search" || no_udp {
        return failure.remedy.clone();
    }
    "compare the name with that of the record, look whether its IOC runs, whether EPICS_CA_ADDR_LIST \
     reaches its subnet and whether a firewall blocks UDP"
        .to_owned()
}

fn access(rights: AccessRights) -> &'static str {
    match (rights.can_read(), rights.can_write()) {
        (true, true) => "read, write",
        (true, false) => "read only",
        (false, true) => "write only",
        (false, false) => "none",
    }
}

/// The line of JSON.
#[derive(Serialize, Debug)]
struct Line<'a> {
    pv: &'a str,
    connected: bool,
    searches: u32,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    connection: Option<JsonConnection<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JsonFailure>,
    /// What servers said beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a Notice>,
}

#[derive(Serialize, Debug)]
struct JsonConnection<'a> {
    server: String,
    protocol: String,
    read: bool,
    write: bool,
    r#type: &'static str,
    elements: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_type: Option<&'a str>,
    /// Seconds.
    connect_time: f64,
}

impl<'a> Line<'a> {
    fn new(pv: &'a str, report: &'a Report, notices: &'a [Notice]) -> Self {
        let info = report.info.as_ref();
        let server = info.and_then(|info| info.server().or(info.trouble_at));
        let connection = info.and_then(|info| info.connection());
        Self {
            pv,
            connected: connection.is_some(),
            searches: info.map_or(0, |info| info.search_attempts),
            connection: connection.map(|connection| JsonConnection::new(connection, report)),
            error: report.failure.as_ref().map(JsonFailure::from),
            events: notices::about(notices, pv, server),
        }
    }
}

impl<'a> JsonConnection<'a> {
    fn new(connection: &Connection, report: &'a Report) -> Self {
        Self {
            server: connection.server.to_string(),
            protocol: format!("4.{}", connection.minor.0),
            read: connection.rights.can_read(),
            write: connection.rights.can_write(),
            r#type: connection.native.name(),
            elements: connection.count,
            record_type: report.record_type.as_deref(),
            connect_time: report.connect_time.as_secs_f64(),
        }
    }
}
