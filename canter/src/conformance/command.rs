//! `canter conformance`: its options and its output.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Target;
use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};

/// Port of servers where the address names none.
const PORT: u16 = ca_proto::wire::SERVER_PORT;

/// Options of `canter conformance`.
#[derive(Args, Debug)]
pub(crate) struct ConformanceArgs {
    /// The server: where it accepts circuits
    #[arg(value_name = "HOST[:PORT]", required_unless_present = "list")]
    server: Option<String>,
    /// A single number that may be written (its value is restored)
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
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
        return list(console);
    }
    for group in &args.group {
        if !super::groups().any(|known| known == group) {
            let known: Vec<_> = super::groups().collect();
            let what = format!("no group of checks is called `{group}`");
            return Err(UsageError::new(what, format!("choose of {}", known.join(", "))).into());
        }
    }
    let target = target(args)?;
    let report = match super::run(&target, &args.group) {
        Ok(report) => report,
        Err(why) => {
            console.complain(format_args!(
                "error: {} cannot be judged: {why}\n hint: --pv has to name a single number that \
                 this server serves",
                target.tcp
            ))?;
            return Ok(Outcome::PvFailed);
        }
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &report).map_err(std::io::Error::from)?;
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

fn list(console: &mut Console<'_>) -> Result<Outcome, Stop> {
    for (_, id, demands, defect) in super::list() {
        let defect = defect.map_or(String::new(), |n| format!(" [{n}]"));
        writeln!(console.out, "{id}: {demands}{defect}")?;
    }
    Ok(Outcome::Ok)
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
