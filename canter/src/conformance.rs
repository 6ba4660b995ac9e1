//! `canter conformance`: its options and its output.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use ca_conformance::Target;
use ca_conformance::client::ClientTarget;
use clap::Args;

use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};

/// Port of servers where the address names none.
const PORT: u16 = ca_proto::wire::SERVER_PORT;

#[derive(Args, Debug)]
pub(crate) struct ConformanceArgs {
    /// The server: where it accepts circuits
    #[arg(value_name = "HOST[:PORT]", required_unless_present_any = ["list", "client"])]
    server: Option<String>,
    /// Judge a client program in place of a server: play servers to it
    #[arg(long, conflicts_with_all = ["server", "pv", "udp_port"])]
    client: bool,
    /// The client program that reads `{pv}` within `{timeout}` seconds and prints its value
    #[arg(last = true, value_name = "COMMAND", requires = "client")]
    command: Vec<String>,
    /// A client program that writes `{value}` to `{pv}` [with --client]
    #[arg(long, value_name = "COMMAND", requires = "client")]
    put: Option<String>,
    /// A client program that watches `{pv}` and ends after `{updates}` of them, if it can [with
    /// --client]
    #[arg(long, value_name = "COMMAND", requires = "client")]
    monitor: Option<String>,
    /// Checks that run at the same time [with --client]
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// A single number that may be written (its value is restored)
    #[arg(long, value_name = "NAME", required_unless_present_any = ["list", "client"])]
    pv: Option<String>,
    /// An array of numbers that may be written (its value is restored)
    #[arg(long, value_name = "NAME")]
    array: Option<String>,
    /// An enumeration that may be written (its value is restored)
    #[arg(long = "enum", value_name = "NAME")]
    enumeration: Option<String>,
    /// A string that may be written (its value is restored)
    #[arg(long, value_name = "NAME")]
    string: Option<String>,
    /// A PV that may not be written
    #[arg(long, value_name = "NAME")]
    readonly: Option<String>,
    /// A number whose puts complete after a while, 0.3 to 2 seconds
    #[arg(long, value_name = "NAME")]
    slow: Option<String>,
    /// Port for searches over UDP, 0 to leave them out [default: the port of the circuits]
    #[arg(long, value_name = "PORT")]
    udp_port: Option<u16>,
    /// Longest time for one answer
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = crate::options::seconds)]
    patience: f64,
    /// Run this group of checks only; repeatable
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report to this file, as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print checks that passed, too, and what was sent and received
    #[arg(long)]
    verbose: bool,
    /// Print what is checked and end
    #[arg(long)]
    list: bool,
}

/// Runs the command.
///
/// # Errors
/// When an option is wrong, the server cannot be judged, or the output cannot be written.
pub(crate) fn run(args: &ConformanceArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    if args.list {
        return list(console, args.client);
    }
    let known: Vec<_> = if args.client {
        ca_conformance::client::groups().collect()
    } else {
        ca_conformance::groups().collect()
    };
    for group in &args.group {
        if !known.contains(&group.as_str()) {
            let what = format!("no group of checks is called `{group}`");
            return Err(UsageError::new(what, format!("choose of {}", known.join(", "))).into());
        }
    }
    let (subject, judged, hint) = if args.client {
        let target = client(args)?;
        let hint = "the program has to print the value of {pv}, and end with exit code 0";
        let judged = ca_conformance::client::run(&target, &args.group);
        (target.get.join(" "), judged, hint)
    } else {
        let target = target(args)?;
        let hint = "--pv has to name a single number that this server serves";
        let judged = ca_conformance::run(&target, &args.group);
        (target.tcp.to_string(), judged, hint)
    };
    let report = match judged {
        Ok(report) => report,
        Err(why) => {
            console.complain(format_args!(
                "error: {subject} cannot be judged: {why}\n hint: {hint}"
            ))?;
            return Ok(Outcome::PvFailed);
        }
    };
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        write!(console.out, "{}", crate::json::plain(json))?;
        writeln!(console.out)?;
    } else {
        report.text(console.out, args.verbose)?;
    }
    if let Some(path) = &args.junit {
        let written = File::create(path).and_then(|file| {
            let mut file = BufWriter::new(file);
            report.junit(&mut file)?;
            file.flush()
        });
        written.map_err(|error| {
            let what = format!("cannot write {}: {error}", path.display());
            UsageError::new(what, "name a file that can be written with --junit")
        })?;
    }
    Ok(if report.counts().fail > 0 {
        Outcome::PvFailed
    } else {
        Outcome::Ok
    })
}

fn list(console: &mut Console<'_>, client: bool) -> Result<Outcome, Stop> {
    let all: Vec<_> = if client {
        ca_conformance::client::list().collect()
    } else {
        let all = ca_conformance::list();
        all.map(|(_, id, demands, defect)| (id, demands, defect))
            .collect()
    };
    for (id, demands, defect) in all {
        let defect = defect.map_or(String::new(), |n| format!(" [{n}]"));
        writeln!(console.out, "{id}: {demands}{defect}")?;
    }
    Ok(Outcome::Ok)
}

fn client(args: &ConformanceArgs) -> Result<ClientTarget, UsageError> {
    let remedy = "give it behind `--`, as in `-- canter get -w {timeout} {pv}`";
    if args.command.is_empty() {
        return Err(UsageError::new("no client program is named", remedy));
    }
    let mut target = ClientTarget::new(args.command.clone());
    target.put = words("--put", args.put.as_deref())?;
    target.monitor = words("--monitor", args.monitor.as_deref())?;
    target.patience = Duration::from_secs_f64(args.patience.clamp(0.1, 60.0));
    target.jobs = args.jobs.into();
    Ok(target)
}

/// The words of a command, as a shell splits it.
fn words(option: &str, text: Option<&str>) -> Result<Option<Vec<String>>, UsageError> {
    let split = text.map(|text| shlex::split(text).filter(|words| !words.is_empty()));
    match split {
        Some(None) => Err(UsageError::new(
            format!("{option}: this is no command"),
            "give a command as in a shell, with its quotes closed",
        )),
        Some(words) => Ok(words),
        None => Ok(None),
    }
}

fn target(args: &ConformanceArgs) -> Result<Target, UsageError> {
    let tcp = address(args.server.as_deref().unwrap_or_default())?;
    let mut target = Target::new(tcp, args.pv.as_deref().unwrap_or_default());
    target.udp_port = match args.udp_port {
        Some(0) => None,
        Some(port) => Some(port),
        None => Some(tcp.port()),
    };
    target.patience = Duration::from_secs_f64(args.patience.clamp(0.01, 60.0));
    target.array.clone_from(&args.array);
    target.enumeration.clone_from(&args.enumeration);
    target.string.clone_from(&args.string);
    target.readonly.clone_from(&args.readonly);
    target.slow.clone_from(&args.slow);
    Ok(target)
}

fn address(text: &str) -> Result<SocketAddrV4, UsageError> {
    let wrong = |why: String| {
        UsageError::new(
            format!("`{text}` is no address of a server: {why}"),
            "give HOST:PORT, such as 127.0.0.1:5064",
        )
    };
    let resolved = if text.contains(':') {
        text.to_socket_addrs()
    } else {
        (text, PORT).to_socket_addrs()
    };
    let mut all = resolved.map_err(|error| wrong(error.to_string()))?;
    all.find_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    })
    .ok_or_else(|| wrong("it has no IPv4 address".into()))
}
