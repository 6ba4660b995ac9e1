//! One workload against any server, for programs that run several clients in turn.
//!
//! `loopback COMMAND [--n N] [--rounds N] [--prefix P --count N] [PV…]` finds the server through
//! `EPICS_CA_ADDR_LIST` and the like, and prints a line `RESULT key=value …`. The subscribers print
//! `READY` when all have their first value.

use ca_client::Client;

use crate::meter::Sample;
use crate::work::{self, Result, Target};

/// The commands, each with the number of operations it does unless told otherwise.
const COMMANDS: [(&str, u64); 10] = [
    ("get", 20_000),
    ("mget", 20),
    ("putcb", 20_000),
    ("put", 200_000),
    ("putstream", 1000),
    ("mon", 0),
    ("conn", 0),
    ("wfget", 50),
    ("wfmon", 0),
    ("wfput", 200),
];

/// A command with its options.
#[derive(Debug)]
pub(crate) struct Command {
    name: &'static str,
    n: u64,
    pvs: Vec<String>,
}

impl Command {
    /// `None` when the arguments do not begin with a command.
    pub(crate) fn parse(args: &[String]) -> Option<Result<Self>> {
        let (first, options) = args.split_first()?;
        let &(name, n) = COMMANDS.iter().find(|(name, _)| name == first)?;
        Some(Self::options(name, n, options))
    }

    fn options(name: &'static str, mut n: u64, options: &[String]) -> Result<Self> {
        let (mut pvs, mut prefix, mut count) = (Vec::new(), None, 1);
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let mut value = || {
                options
                    .next()
                    .ok_or_else(|| format!("{option} needs a value"))
            };
            match option.as_str() {
                "--n" | "--rounds" => n = value()?.parse()?,
                "--prefix" => prefix = Some(value()?),
                "--count" => count = value()?.parse::<u64>()?,
                // These say nothing new here.
                "--type" | "--timeout" => drop(value()?),
                other if other.starts_with("--") => return Err(format!("no option {other}").into()),
                pv => pvs.push(pv.to_owned()),
            }
        }
        if let Some(prefix) = prefix {
            pvs.extend((0..count).map(|n| format!("{prefix}{n}")));
        }
        if pvs.is_empty() {
            return Err("no PV names".into());
        }
        Ok(Self { name, n, pvs })
    }

    /// Runs it and prints the result.
    pub(crate) async fn run(self) -> Result<()> {
        let client = Client::builder().build()?;
        let target = &Target {
            client,
            server: None,
        };
        let ready = || println!("READY");
        let (n, pvs, pv) = (self.n, &self.pvs, self.pvs[0].as_str());
        let sample = match self.name {
            "get" => work::get(target, pv, n).await,
            "mget" => work::get_together(target, pvs, n).await,
            "putcb" => work::put_notify(target, pv, n).await,
            "put" => work::put(target, pv, n).await,
            "putstream" => work::put_rounds(target, pvs, n).await,
            "mon" => work::monitor(target, pvs, ready).await,
            "conn" => work::connect(target, pvs).await,
            "wfget" => work::get_array(target, pv, n).await,
            "wfmon" => work::monitor_frames(target, pv, ready).await,
            _ => work::put_frames(target, pv, n.try_into()?).await,
        }?;
        println!("{}", line(self.name, &sample));
        Ok(())
    }
}

fn line(bench: &str, sample: &Sample) -> String {
    let Sample { ops, elapsed, .. } = sample;
    let seconds = elapsed.as_secs_f64();
    let cpu = sample.cpu_per_op(sample.client_cpu) / 1000.0;
    let mut line = format!(
        "RESULT bench={bench} client=canter n={ops} secs={seconds:.6} rate={:.1} \
         cpu_us_per_op={cpu:.3} lost_frac={:.4} complete=1",
        sample.rate(),
        sample.squashed_part(),
    );
    for (name, part) in [("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99)] {
        if let Some(latency) = sample.percentile(part) {
            line += &format!(" {name}={latency:.2}");
        }
    }
    if sample.bytes > 0 {
        let rate = sample.bytes as f64 * sample.rate() / 1e6;
        line += &format!(" bytes={} MBps={rate:.1}", sample.bytes);
    }
    line
}
