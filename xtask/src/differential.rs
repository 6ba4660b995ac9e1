//! Many stories of records, told to the IOC of EPICS Base and to ours.

use crate::{peers, steps};

/// Which stories.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Tell so many stories, of about 15 000 comparisons each
    #[arg(long, value_name = "N", default_value = "70", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Seed of the first one
    #[arg(long, value_name = "N", default_value = "1")]
    first: u64,
    /// Instead, tell the story of a client and an IOC through libca and through ours, and write the table of the book
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    client: bool,
}

/// Compares, prints what differs, each kind once, with the shortest story that shows it.
///
/// # Errors
/// Something differs that is not known to, or real EPICS is not there.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let python = peers::ensure()?;
    if options.client {
        let mut command =
            steps::cargo(&["test", "-p", "ca-tests", "--test", "client_differential"]);
        command
            .args(["--", "--include-ignored", "--nocapture"])
            .env(peers::VARIABLE, python)
            .env("CANTER_BLESS", "1");
        return steps::run(&mut command);
    }
    let mut command = steps::cargo(&[
        "test",
        "--release",
        "-p",
        "ca-tests",
        "--test",
        "differential",
    ]);
    command
        .args(["--", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(peers::VARIABLE, python)
        .env("CANTER_DIFFERENTIAL_SEEDS", options.seeds.to_string())
        .env("CANTER_DIFFERENTIAL_FIRST", options.first.to_string());
    steps::run(&mut command)
}
