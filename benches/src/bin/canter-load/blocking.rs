//! The workloads with the blocking client.

use std::time::Instant;

use ca_client::Client;
use ca_client::blocking;

use crate::meter::{Meter, More};
use crate::{Args, Command, Result, TIMEOUT};

/// Runs those commands that have a blocking form.
pub(crate) fn run(args: &Args) -> Result<()> {
    let names = args.pvs()?;
    let client = blocking::Client::build(Client::builder())?;
    let channel = client.open(&names[0])?.with_timeout(TIMEOUT);
    channel.connected()?;
    match args.command {
        Command::Get => one_by_one(args.n, |_| {
            channel.read::<f64>()?;
            Ok(())
        }),
        Command::Putcb => one_by_one(args.n, |k| Ok(channel.write_notify(k as f64)?)),
        Command::Put => {
            channel.read::<f64>()?;
            let meter = Meter::start();
            for k in 0..args.n {
                channel.write(k as f64)?;
            }
            channel.read::<f64>()?;
            meter.result(args.n, More::default());
            Ok(())
        }
        _ => Err("the blocking client does get, putcb and put".into()),
    }
}

fn one_by_one(n: u64, mut operation: impl FnMut(u64) -> Result<()>) -> Result<()> {
    for k in 0..n / 10 + 1 {
        operation(k)?;
    }
    let mut latencies = Vec::with_capacity(n as usize);
    let meter = Meter::start();
    for k in 0..n {
        let start = Instant::now();
        operation(k)?;
        latencies.push(start.elapsed());
    }
    let more = More {
        latencies,
        ..More::default()
    };
    meter.result(n, more);
    Ok(())
}
