//! `canter ring`: an IOC with a storage ring behind it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ca_ring::ioc::describe;
use ca_ring::{DEFAULT_LATTICE, Lattice, Machine, MachineError, Options, Quantity};
use ca_server_sim::net::{Beaten, ModelRun, NetConfig, SimIoc};
use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use crate::console::Console;
use crate::escape;
use crate::exit::{Outcome, Stop, UsageError};
use crate::interrupt::{interrupted, stdin_ended};
use crate::options::{block_on, seconds};

#[derive(Args, Debug)]
#[command(after_long_help = "\
The lattice is in a part of the language of MAD-X; `--print-lattice` shows the one that is used without a file.
Correctors are ARIMA-CH-001:I-SET and so on, the orbit is ARIDI-BPM-001:X and ARIDI-ORBIT:X, tunes, current and
lifetime are ARIDI-TUNE:X, ARIDI-PCT:CURRENT, ARIDI-PCT:TAU-HOUR; `--names FILE` writes all of them, `--groups
FILE` those that applications of a control room ask for.")]
pub(crate) struct RingArgs {
    /// A lattice in place of the one that comes with the program
    #[arg(long, value_name = "FILE")]
    lattice: Option<PathBuf>,
    /// Print the lattice that comes with the program, and end
    #[arg(long)]
    print_lattice: bool,
    /// Write the names of all PVs into a file, as JSON
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Write groups of PVs for applications into a file, as TOML
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
    /// Time between two steps
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "0.1")]
    period: f64,
    /// Read-backs follow set-points, and there is no beam
    #[arg(long)]
    no_physics: bool,
    /// Temperatures, flows and the like of each device: 100 of them make 60 000 PVs with the lattice that
    /// comes with the program
    #[arg(long, value_name = "N", default_value = "100")]
    housekeeping: usize,
    /// Seed of misalignments, drift and noise
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// UDP and TCP port; 0: any free one
    #[arg(long, value_name = "PORT", default_value = "0")]
    port: u16,
    /// Address to serve at; 0.0.0.0 is all
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    interface: Ipv4Addr,
    /// End after this time
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// End when standard input ends
    #[arg(long)]
    end_with_stdin: bool,
}

/// Read-backs of each device at most: names have two digits.
const MAX_HOUSEKEEPING: usize = 495;
/// Shortest time between two steps, in seconds.
const MIN_PERIOD: f64 = 1e-3;

/// Runs the command.
///
/// # Errors
/// A lattice that is no ring, ports that are taken, or an output that cannot be written.
pub(crate) fn run(args: &RingArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    if args.print_lattice {
        write!(console.out, "{DEFAULT_LATTICE}")?;
        return Ok(Outcome::Ok);
    }
    let machine = machine(args)?;
    if let Some(path) = &args.names {
        let names =
            serde_json::to_vec_pretty(&Names::of(&machine)).map_err(std::io::Error::from)?;
        write_file(path, &names)?;
    }
    if let Some(path) = &args.groups {
        write_file(path, ca_ring::ioc::groups(&machine).as_bytes())?;
    }
    let (builder, pvs) = describe(&machine);
    block_on(async {
        let config = NetConfig::new()
            .interfaces([args.interface])
            .tcp_port(args.port)
            .udp_port(args.port);
        let ioc = builder.serve(config).await.map_err(|error| UsageError {
            what: error.to_string(),
            remedy: "choose another port or address".to_owned(),
        })?;
        let count = ioc.with(|ioc, _| ioc.pv_count());
        let count = escape::counted(count as u64, "PV");
        let run = ModelRun::new(ioc.clone(), &pvs, machine).map_err(|error| UsageError {
            what: error.to_string(),
            remedy: "report it".to_owned(),
        })?;
        writeln!(
            console.out,
            "# canter ring serves {count} on {}, UDP port {}",
            ioc.addr(),
            ioc.udp_port()
        )?;
        write!(console.out, "{}", ioc.env_text())?;
        writeln!(console.out, "# Ctrl-C ends it.")?;
        console.out.flush()?;
        let period = Duration::from_secs_f64(args.period);
        let beats = run.every(period, |fault| match fault {
            Some(fault) => crate::background::say(&format!("no beam: {fault}")),
            None => crate::background::say("the beam is back"),
        });
        let end = async {
            match args
                .seconds
                .and_then(|s| Duration::try_from_secs_f64(s).ok())
            {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            () = interrupted() => {}
            () = stdin_ended(args.end_with_stdin) => {}
        }
        let told = beats.stop();
        finish(&ioc, console, &told).await?;
        Ok(Outcome::Ok)
    })
}

fn write_file(path: &Path, text: &[u8]) -> Result<(), Stop> {
    fs::write(path, text).map_err(|error| {
        Stop::from(UsageError {
            what: format!("{}: {error}", path.display()),
            remedy: "choose a file that can be written".to_owned(),
        })
    })
}

async fn finish(ioc: &SimIoc, console: &mut Console<'_>, told: &Beaten) -> Result<(), Stop> {
    ioc.stop().await;
    let milliseconds = |part| told.time(part).as_secs_f64() * 1e3;
    console.complain(format!(
        "{} steps of {:.1} ms, at most {:.1} ms; {} without a beam, {} late",
        told.steps,
        milliseconds(0.5),
        milliseconds(1.0),
        told.failed,
        told.late
    ))?;
    Ok(())
}

fn machine(args: &RingArgs) -> Result<Machine, Stop> {
    let wrong = |what: String, remedy: &str| {
        Stop::from(UsageError {
            what,
            remedy: remedy.to_owned(),
        })
    };
    if args.housekeeping > MAX_HOUSEKEEPING {
        let what = format!("--housekeeping {} is too much", args.housekeeping);
        return Err(wrong(what, "give at most 495"));
    }
    if args.period < MIN_PERIOD {
        let what = format!("--period {} is too short", args.period);
        return Err(wrong(what, "give at least 0.001"));
    }
    let options = Options {
        seed: args.seed,
        physics: !args.no_physics,
        housekeeping: args.housekeeping,
        ..Options::default()
    };
    let Some(path) = &args.lattice else {
        return Machine::standard(options).map_err(|error| wrong(error.to_string(), "report it"));
    };
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| wrong(format!("{shown}: {error}"), "name a file that can be read"))?;
    let made = Lattice::parse(&text)
        .map_err(MachineError::from)
        .and_then(|lattice| Machine::new(lattice, options));
    made.map_err(|error| match error {
        MachineError::Lattice(mistakes) => {
            wrong(mistakes.in_file(&shown).to_string(), "mend the lattice")
        }
        error => wrong(format!("{shown}: {error}"), "mend the lattice"),
    })
}

/// The file of names.
#[derive(Serialize, Debug)]
struct Names<'a> {
    set_points: Vec<&'a str>,
    read_backs: Vec<&'a str>,
    arrays: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn of(machine: &'a Machine) -> Self {
        let names = |all: &'a [Quantity]| all.iter().map(|quantity| &*quantity.name).collect();
        Self {
            set_points: names(machine.set_points()),
            read_backs: names(machine.read_backs()),
            arrays: machine.groups().iter().map(|group| group.name).collect(),
        }
    }
}
