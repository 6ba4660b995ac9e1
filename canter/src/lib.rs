//! The command line tools of Canter.
//!
//! Every command is a module with its options (`…Args`) and a `run` function that writes to a given
//! output, so that tests see what a user sees. Exit codes: 0 done, 1 a PV failed, 2 the command
//! line or a file is wrong, 3 time-out.

mod dump;
mod exit;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Outcome, UsageError};

/// EPICS Channel Access without libca: read, write and watch PVs, simulate an IOC, decode the wire.
#[derive(Parser, Debug)]
#[command(
    name = "canter",
    version,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show bytes of the wire as readable lines
    Dump(dump::DumpArgs),
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = run(&cli.command, &mut out);
    let flushed = out.flush();
    match result {
        Ok(outcome) if flushed.is_ok() => outcome.into(),
        // The reader of our output went away, as `| head` does: nothing is left to say.
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            Outcome::Usage.into()
        }
    }
}

fn run(command: &Command, out: &mut impl Write) -> Result<Outcome, UsageError> {
    match command {
        Command::Dump(args) => dump::run(args, out),
    }
}
