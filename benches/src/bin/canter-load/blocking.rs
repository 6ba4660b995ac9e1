//! The workloads with the blocking client.

use std::time::Instant;

use ca_client::Client;

use crate::meter::{Meter, More};
use crate::{Args, Command, Result, TIMEOUT};

/// Runs those commands that have a blocking form.
pub(crate) fn run(args: &Args) -> Result<()> {
    let names = args.pvs()?;
    let client = Client::builder().timeout(TIMEOUT).build_blocking()?;
    let channel = client.open(&names[0])?;
    channel.connected().call()?;
    match args.command {
        Command::Get => one_by_one(args.n, |_| {
            channel.get::<f64>().call()?;
            Ok(())
        }),
        Command::Putcb => one_by_one(args.n, |k| Ok(channel.put(k as f64).wait().call()?)),
        Command::Put => {
            channel.get::<f64>().call()?;
            let meter = Meter::start();
            for k in 0..args.n {
                channel.put(k as f64).call()?;
            }
            channel.get::<f64>().call()?;
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
