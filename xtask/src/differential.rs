//! Many stories of records and many expressions, told to the IOC of EPICS Base and to ours.

use crate::{peers, steps};

/// Which stories.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Tell the stories of so many seeds: one of several records, and one of a single record of some type, of
    /// about 50 000 comparisons together
    #[arg(long, value_name = "N", default_value = "68", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value = "1")]
    first: u64,
    /// Compare so many times 40 000 expressions
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Tell so many stories of channels with filters, of about 4000 comparisons each
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u64).range(1..))]
    filters: u64,
    /// Instead, tell the story of a client and an IOC through libca and through ours, and write the table of the book
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    client: bool,
    /// Look for the shortest story that shows each difference
    #[arg(long)]
    shrink: bool,
}

/// Compares, prints what differs first in each story, and then each kind once.
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
    let mut command = steps::cargo(&["test", "--release", "-p", "ca-tests"]);
    command
        .args([
            "--test",
            "differential",
            "--test",
            "calc",
            "--test",
            "filters",
        ])
        .args(["--", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(peers::VARIABLE, python)
        .env("CANTER_DIFFERENTIAL_SEEDS", options.seeds.to_string())
        .env("CANTER_DIFFERENTIAL_FIRST", options.first.to_string())
        .env("CANTER_DIFFERENTIAL_FILTERS", options.filters.to_string())
        .env("CANTER_DIFFERENTIAL_ROUNDS", options.rounds.to_string());
    if options.shrink {
        command.env("CANTER_DIFFERENTIAL_SHRINK", "1");
    }
    steps::run(&mut command)
}
