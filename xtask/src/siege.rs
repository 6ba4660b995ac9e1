//! An honest client beside attacks: builds and runs `benches/src/bin/canter-siege`.

use crate::steps;

/// Options of `cargo xtask siege`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds of the honest client, alone and beside each attack
    #[arg(long, default_value = "1000")]
    rounds: u32,
    /// Idle connections; fewer where descriptors are short
    #[arg(long, default_value = "10000")]
    connections: usize,
    /// Repeats of everything
    #[arg(long, default_value = "3")]
    repeats: u32,
}

/// Runs it.
///
/// # Errors
/// An operation was not answered, an attack not refused, or it did not run.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let build = [
        "build",
        "--release",
        "-p",
        "canter",
        "-p",
        "ca-bench",
        "--bins",
    ];
    steps::run(&mut steps::cargo(&build))?;
    let run = [
        "run",
        "--release",
        "-p",
        "ca-bench",
        "--bin",
        "canter-siege",
        "--",
    ];
    let mut command = steps::cargo(&run);
    command.args(["--rounds", &options.rounds.to_string()]);
    command.args(["--connections", &options.connections.to_string()]);
    command.args(["--repeats", &options.repeats.to_string()]);
    steps::run(&mut command)
}
