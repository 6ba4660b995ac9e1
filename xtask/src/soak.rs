//! Client and IOCs under churn for minutes: builds and runs `benches/src/bin/canter-soak`.

use crate::steps;

/// Options of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long
    #[arg(long, default_value = "10")]
    minutes: f64,
    /// Channels; fewer for small machines
    #[arg(long, default_value = "100000")]
    channels: usize,
    /// Seed of everything random
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Runs it.
///
/// # Errors
/// Memory or descriptors have grown, or it did not run.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let [minutes, channels, seed] = [
        options.minutes.to_string(),
        options.channels.to_string(),
        options.seed.to_string(),
    ];
    let build = [
        "run",
        "--release",
        "-p",
        "ca-bench",
        "--bin",
        "canter-soak",
        "--",
    ];
    let mut command = steps::cargo(&build);
    command.args([
        "--minutes",
        &minutes,
        "--channels",
        &channels,
        "--seed",
        &seed,
    ]);
    steps::run(&mut command)
}
