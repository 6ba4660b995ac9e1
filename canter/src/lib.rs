//! The command line tools of Canter.
//!
//! Every command is a module with its options (`…Args`) and a `run` function that writes to a given
//! output, so that tests see what a user sees. Exit codes: 0 done, 1 a PV failed, 2 the command
//! line or a file is wrong, 3 time-out.

mod argument;
mod background;
mod bench;
mod conformance;
mod console;
mod demo;
mod dump;
mod escape;
#[cfg(test)]
mod examples;
mod exit;
mod explain;
mod failure;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod get;
mod guard;
mod hints;
mod info;
mod interrupt;
mod ioc;
mod json;
mod labels;
mod lint;
mod metrics;
mod monitor;
mod moves;
mod notices;
mod options;
mod paint;
mod proxy;
mod put;
mod put_log;
mod ramp;
mod record;
mod repeater;
mod ring;
mod sample;
mod scan;
mod show;
mod wait;
mod when;
#[cfg(feature = "world")]
mod world;

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use background::{Background, catch_panics};
use console::Console;
use exit::{Outcome, Stop};
use guard::{Escapes, Guard};
use paint::Paint;

/// EPICS Channel Access without libca: read, write and watch PVs, simulate an IOC, decode the wire.
#[derive(Parser, Debug)]
#[command(
    name = "canter",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done, 1 a PV failed, 2 wrong usage, 3 time-out.
For those who know EPICS Base: caget, caput, camonitor and cainfo are get, put, monitor and info."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// The options of a command are made when it is named: those of all commands would be a third of the
// instructions of a `canter get`. A doc comment on an `…Args` would then take the place of the line here,
// so they have none.
#[derive(Subcommand, Debug)]
#[command(defer = true)]
enum Command {
    /// Read PVs
    Get(get::GetArgs),
    /// Write a PV
    Put(put::PutArgs),
    /// Watch PVs
    Monitor(monitor::MonitorArgs),
    /// Wait until PVs are what is wanted
    Wait(wait::WaitArgs),
    /// Move a set-point step by step
    Ramp(ramp::RampArgs),
    /// Move set-points through points, and observe PVs at each
    Scan(scan::ScanArgs),
    /// Tell where PVs are, or why they are not found
    Info(info::InfoArgs),
    /// Find out step by step why PVs do not connect
    Explain(explain::ExplainArgs),
    /// Serve simulated PVs
    Ioc(Box<ioc::IocArgs>),
    /// Serve a storage ring: tens of thousands of PVs with physics behind them
    Ring(ring::RingArgs),
    /// Show an IOC and a client at work, in 20 seconds
    Demo(demo::DemoArgs),
    /// Show bytes of the wire as readable lines
    Dump(dump::DumpArgs),
    /// Find what is wrong in files of records: .db, .template, .substitutions, .dbd
    Lint(lint::LintArgs),
    /// Measure how fast a server of any make answers
    Bench(bench::BenchArgs),
    /// Judge a server, or with --client a client, of any make, check by check, from raw frames
    Conformance(conformance::ConformanceArgs),
    /// Copy the beacons of servers to all clients on this host
    Repeater(repeater::RepeaterArgs),
    /// Sit between a client and a server, and harm what passes by a script
    Proxy(proxy::ProxyArgs),
    /// Run clients and IOCs on a virtual network under faults, and see whether promises are kept
    #[cfg(feature = "world")]
    World(world::WorldArgs),
}

impl Cli {
    /// Reads the arguments of the process.
    fn read(args: Vec<OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(put::arguments::arranged(args))
    }
}

/// How long the end of the program waits for a reader of what it has said.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = repeater::as_called(std::env::args_os()).collect();
    if ioc::asks_for_soft_help(&args) {
        // Nobody reads it: nothing is left to do.
        let _ = io::stdout().write_all(ioc::SOFT_HELP.as_bytes());
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::read(args.clone()) {
        Ok(cli) => cli,
        Err(error) => return hints::tell(&error, &args),
    };
    catch_panics();
    let mut err = Guard::new(Background::stderr(), Paint::of(&io::stderr()).escapes());
    let result = match cli.command {
        Command::Ioc(_) | Command::Proxy(_) | Command::Repeater(_) => serve(&cli, &mut err),
        _ => work(&cli, &mut err),
    };
    let outcome = match result {
        Ok(outcome) => outcome,
        // The reader of our output went away, as `| head` does: nothing is left to say.
        Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Outcome::Ok,
        Err(Stop::Output(error)) => {
            let _ = writeln!(err, "error: cannot write the output: {error}");
            Outcome::PvFailed
        }
        Err(Stop::Usage(error)) => {
            let _ = writeln!(err, "{error}");
            Outcome::Usage
        }
        Err(Stop::Told) => Outcome::Usage,
    };
    // Who does not read it is not waited for.
    let _ = err.inner_mut().finish(LAST_WORDS);
    outcome.into()
}

/// A command that works for its user, at the pace at which its output is read.
fn work(cli: &Cli, err: &mut Guard<Background>) -> Result<Outcome, Stop> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let paint = Paint::of(&stdout);
    let escapes = match cli.command {
        Command::Demo(_) if terminal => Escapes::All,
        _ => paint.escapes(),
    };
    let mut out = io::BufWriter::new(Guard::new(stdout.lock(), escapes));
    let mut console = Console {
        out: &mut out,
        err,
        paint,
        terminal,
        remedy: String::new(),
    };
    let result = run(&cli.command, &mut console);
    let flushed = out.flush();
    result.and_then(|outcome| Ok(flushed.map(|()| outcome)?))
}

/// A command that others depend on: it goes on whether its output is read or not.
fn serve(cli: &Cli, err: &mut Guard<Background>) -> Result<Outcome, Stop> {
    let stdout = io::stdout();
    let mut out = Guard::new(Background::stdout(), Paint::of(&stdout).escapes());
    let mut console = Console {
        out: &mut out,
        err,
        paint: Paint::of(&stdout),
        terminal: stdout.is_terminal(),
        remedy: String::new(),
    };
    let result = run(&cli.command, &mut console);
    let finished = out.inner_mut().finish(LAST_WORDS);
    result.and_then(|outcome| Ok(finished.map(|()| outcome)?))
}

fn run(command: &Command, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    match command {
        Command::Get(args) => get::run(args, console),
        Command::Put(args) => put::run(args, console),
        Command::Monitor(args) => monitor::run(args, console),
        Command::Wait(args) => wait::run(args, console),
        Command::Ramp(args) => ramp::run(args, console),
        Command::Scan(args) => scan::run(args, console),
        Command::Info(args) => info::run(args, console),
        Command::Explain(args) => explain::run(args, console),
        Command::Ioc(args) => ioc::run(args, console),
        Command::Ring(args) => ring::run(args, console),
        Command::Demo(args) => demo::run(args, console),
        Command::Dump(args) => dump::run(args, &mut console.out),
        Command::Lint(args) => lint::run(args, console),
        Command::Bench(args) => bench::run(args, console),
        Command::Conformance(args) => conformance::run(args, console),
        Command::Repeater(args) => repeater::run(args, console),
        Command::Proxy(args) => proxy::run(args, console),
        #[cfg(feature = "world")]
        Command::World(args) => world::run(args, console),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn options_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_is_called_the_same_in_its_own_help() {
        let listed = Cli::command();
        let mut built = listed.clone();
        built.build();
        for command in listed.get_subcommands() {
            let about = |command: &clap::Command| command.get_about().map(ToString::to_string);
            let name = command.get_name();
            let own = built.find_subcommand(name).and_then(about);
            assert!(own.is_some(), "{name}");
            assert_eq!(about(command), own, "{name}");
        }
    }
}
