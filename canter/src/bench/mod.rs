//! `canter bench`: how fast a server answers, whoever made it.

mod figures;
mod load;

use std::time::{Duration, Instant};

use ca_client::Channel;
use clap::Args;

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::failure::{Failure, report};
use crate::options::{ClientArgs, block_on};
use crate::show;
use figures::Figures;

#[derive(Args, Debug)]
#[command(after_long_help = "\
It connects to all PVs at once, then, for equal parts of the time, reads one PV after the other, reads
with many requests in flight, and counts updates. Nothing is written unless --write is given: then the
value of each PV is written back as it was read, with completion. Arrays are read whole.

A server under test notices: do not run it against a facility in operation.")]
pub(crate) struct BenchArgs {
    /// PVs to use
    #[arg(required = true, value_name = "PV", value_parser = argument::pv())]
    pvs: Vec<Pv>,
    /// Time of all measurements together
    #[arg(long, value_name = "S", default_value = "6", value_parser = some_seconds)]
    seconds: f64,
    /// Reads in flight when throughput is measured
    #[arg(long, value_name = "N", default_value = "100", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// Write the present value of each PV back to it, and measure until completion
    #[arg(long)]
    write: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Longest time of a run, seconds.
const LONGEST: f64 = 3600.0;

fn some_seconds(text: &str) -> Result<f64, String> {
    match crate::options::seconds(text)? {
        seconds if seconds > 0.0 && seconds <= LONGEST => Ok(seconds),
        _ => Err(format!("give more than 0 and at most {LONGEST} s")),
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &BenchArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    let (figures, failures) = block_on(async {
        let tune = |builder: ca_client::ClientBuilder| builder.repeater_port(0).timeout(timeout);
        let client = args.client.client(console, tune)?;
        let start = Instant::now();
        let opened = client.connect_many(&args.pvs).await;
        let took = start.elapsed();
        let (mut channels, mut failures): (Vec<Channel>, _) = (Vec::new(), Vec::new());
        for (pv, channel) in args.pvs.iter().zip(opened) {
            match channel {
                Ok(channel) => channels.push(channel),
                Err(error) => failures.push((pv.to_string(), Failure::from(&error))),
            }
        }
        let mut figures = Figures::new(channels.len(), took);
        if !channels.is_empty() {
            measure(args, &client, &channels, &mut figures, &mut failures).await;
        }
        client.close().await;
        Ok((figures, failures))
    })?;
    let mut outcome = Outcome::Ok;
    for (pv, failure) in &failures {
        outcome = outcome.and(failure.outcome());
        report(console, pv, failure)?;
    }
    match args.json {
        true => show::json_line(console, &figures)?,
        false if figures.is_empty() => {}
        false => write!(console.out, "{figures}")?,
    }
    Ok(outcome)
}

async fn measure(
    args: &BenchArgs,
    client: &ca_client::Client,
    channels: &[Channel],
    figures: &mut Figures,
    failures: &mut Vec<(String, Failure)>,
) {
    let phases = if args.write { 4.0 } else { 3.0 };
    let part = Duration::from_secs_f64(args.seconds / phases);
    let mut keep = |outcome: Result<(), (String, Failure)>| failures.extend(outcome.err());
    keep(load::reads(channels, part, &mut figures.read).await);
    let in_flight = args.in_flight as usize;
    keep(load::throughput(channels, in_flight, part, &mut figures.throughput).await);
    keep(load::updates(client, channels, part, &mut figures.updates).await);
    if args.write {
        keep(
            load::writes(
                channels,
                part,
                figures.write.insert(figures::Latencies::new()),
            )
            .await,
        );
    }
}
