//! Client and IOCs under churn for minutes: `cargo xtask soak`.
//!
//! One process holds IOCs on loopback sockets and a client with channels and subscriptions on all of
//! their PVs. Channels and subscriptions come and go, PVs are posted and put, IOCs restart, some
//! subscribers never read. Each interval prints a line; at the end memory and descriptors of the last
//! third are compared with those of the second: flat, or it fails.

use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ca_client::{Channel, Client, SubSpec, Subscription};
use ca_proto::rng::Pcg32;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec};
use clap::Parser;
use futures_util::future::join_all;
use hdrhistogram::Histogram;

type Failure = Box<dyn std::error::Error>;

/// IOCs that share the PVs.
const IOCS: usize = 8;
/// Channels opened at a time.
const BATCH: usize = 2_000;
/// Growth of memory from the second to the last third of a run that still counts as flat.
const MAX_GROWTH: f64 = 0.05;
/// Bytes by which it may grow beside that: what allocators keep.
const SLACK: u64 = 8 << 20;
/// Descriptors by which it may grow: circuits that are just being replaced.
const SLACK_FILES: u64 = 2 * IOCS as u64;

/// Client and IOCs under churn; fails unless memory and descriptors stay flat.
#[derive(Debug, Parser)]
struct Args {
    /// How long
    #[arg(long, default_value = "10")]
    minutes: f64,
    /// Channels, and PVs
    #[arg(long, default_value = "100000")]
    channels: usize,
    /// Seed of everything random
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// What is compared at the end.
#[derive(Clone, Copy)]
struct Sample {
    memory: u64,
    files: u64,
}

fn sample() -> Result<Sample, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.ok_or("no VmRSS in /proc/self/status")?.parse()?;
    let files = std::fs::read_dir("/proc/self/fd")?.count() as u64;
    Ok(Sample {
        memory: kib << 10,
        files,
    })
}

struct Slot {
    name: String,
    channel: Option<Channel>,
    subscription: Option<Subscription>,
}

struct Soak {
    rng: Pcg32,
    iocs: Vec<SimIoc>,
    client: Client,
    slots: Vec<Slot>,
    /// Nobody reads these.
    slow: Vec<Subscription>,
    reads: Histogram<u64>,
    puts: Histogram<u64>,
    failed: u64,
    restarts: u64,
}

impl Soak {
    async fn start(args: &Args) -> Result<Self, Failure> {
        let mut iocs = Vec::new();
        for at in 0..IOCS {
            let names = (at..args.channels).step_by(IOCS).map(name);
            let pvs = names.map(|name| (name, PvSpec::double(0.0)));
            iocs.push(Ioc::builder().pvs(pvs).serve(NetConfig::new()).await?);
        }
        let servers: Vec<SocketAddrV4> = iocs.iter().map(SimIoc::udp_addr).collect();
        let client = Client::builder()
            .isolated(servers)
            .timeout(Duration::from_secs(30))
            .build()?;
        let slot = |n| Slot {
            name: name(n),
            channel: None,
            subscription: None,
        };
        let mut soak = Self {
            rng: Pcg32::new(args.seed),
            iocs,
            client,
            slots: (0..args.channels).map(slot).collect(),
            slow: Vec::new(),
            reads: Histogram::new(3)?,
            puts: Histogram::new(3)?,
            failed: 0,
            restarts: 0,
        };
        for first in (0..args.channels).step_by(BATCH) {
            let all: Vec<usize> = (first..args.channels.min(first + BATCH)).collect();
            soak.open(&all).await;
        }
        for n in 0..args.channels.min(50) {
            if let Some(channel) = &soak.slots[n].channel {
                soak.slow.push(channel.subscribe(SubSpec::of::<f64>())?);
            }
        }
        Ok(soak)
    }

    /// Opens channels with a subscription on every fourth.
    async fn open(&mut self, which: &[usize]) {
        let opening = which
            .iter()
            .map(|&n| self.client.channel(&self.slots[n].name));
        for (&n, channel) in which.iter().zip(join_all(opening).await) {
            match channel {
                Ok(channel) => {
                    let wanted = n % 4 == 0;
                    let spec = SubSpec::of::<f64>();
                    let subscription = wanted.then(|| channel.subscribe(spec));
                    self.slots[n].subscription = subscription.and_then(Result::ok);
                    self.slots[n].channel = Some(channel);
                }
                Err(_) => self.failed += 1,
            }
        }
    }

    fn any(&mut self) -> usize {
        self.rng.below(self.slots.len() as u32) as usize
    }

    /// A round of everything.
    async fn round(&mut self) {
        let some: Vec<usize> = (0..100).map(|_| self.any()).collect();
        for &n in &some {
            (self.slots[n].subscription, self.slots[n].channel) = (None, None);
        }
        self.open(&some).await;
        for _ in 0..200 {
            let n = self.any();
            let value = f64::from(self.rng.below(1000));
            // A PV of a stopped IOC keeps its value; posting to it is no failure.
            let _ = self.iocs[n % IOCS].post(self.slots[n].name.as_str(), value);
        }
        for _ in 0..50 {
            let n = self.any();
            let Some(channel) = &self.slots[n].channel else {
                continue;
            };
            let start = Instant::now();
            match channel.read::<f64>().await {
                Ok(_) => self.reads.saturating_record(micros(start)),
                Err(_) => self.failed += 1,
            }
            let start = Instant::now();
            match channel.write_notify(1.0).await {
                Ok(()) => self.puts.saturating_record(micros(start)),
                Err(_) => self.failed += 1,
            }
        }
    }

    async fn restart(&mut self) -> Result<(), Failure> {
        let at = self.rng.below(IOCS as u32) as usize;
        self.iocs[at].restart().await?;
        self.restarts += 1;
        Ok(())
    }

    fn line(&mut self, at: Duration, now: Sample) {
        let connected = self.slots.iter().filter_map(|slot| slot.channel.as_ref());
        let connected = connected.filter(|channel| channel.is_connected()).count();
        let of = |h: &Histogram<u64>| {
            let [a, b] = [0.5, 0.99].map(|q| h.value_at_quantile(q));
            format!("{a:>6} {b:>7} {:>8}", h.max())
        };
        println!(
            "{:>7.0} {:>9.1} {:>6} {connected:>9} {} {} {:>7} {:>8}",
            at.as_secs_f64(),
            now.memory as f64 / 1e6,
            now.files,
            of(&self.reads),
            of(&self.puts),
            self.failed,
            self.restarts,
        );
        self.reads.reset();
        self.puts.reset();
    }
}

fn name(n: usize) -> String {
    format!("soak:{n}")
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn run(args: &Args) -> Result<bool, Failure> {
    println!(
        "seed {}, {} channels, {IOCS} IOCs",
        args.seed, args.channels
    );
    let start = Instant::now();
    let mut soak = Soak::start(args).await?;
    println!("connected after {:.1} s", start.elapsed().as_secs_f64());
    println!(
        "{:>7} {:>9} {:>6} {:>9} {:^23} {:^23} {:>7} {:>8}",
        "s",
        "RSS MB",
        "files",
        "connected",
        "read us p50 p99 max",
        "put us p50 p99 max",
        "failed",
        "restarts"
    );
    let all = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    let interval = (all / 30).max(Duration::from_secs(1));
    let (start, mut samples) = (Instant::now(), Vec::new());
    while start.elapsed() < all {
        let begun = Instant::now();
        soak.restart().await?;
        while begun.elapsed() < interval {
            soak.round().await;
        }
        let now = sample()?;
        soak.line(start.elapsed(), now);
        samples.push(now);
    }
    Ok(is_flat(&samples))
}

/// Compares the medians of the second and the last third.
fn is_flat(samples: &[Sample]) -> bool {
    let third = samples.len() / 3;
    if third == 0 {
        println!("too short to judge: fewer than 3 intervals");
        return false;
    }
    let median = |part: &[Sample], of: fn(&Sample) -> u64| {
        let mut values: Vec<u64> = part.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    let [before, after] = [middle, last].map(|part| median(part, |s| s.memory));
    let [files, files_after] = [middle, last].map(|part| median(part, |s| s.files));
    let most = before + (before as f64 * MAX_GROWTH) as u64 + SLACK;
    let flat = after <= most && files_after <= files + SLACK_FILES;
    println!(
        "memory {:.1} MB, then {:.1} MB (at most {:.1}); descriptors {files}, then {files_after} (at \
         most {}): {}",
        before as f64 / 1e6,
        after as f64 / 1e6,
        most as f64 / 1e6,
        files + SLACK_FILES,
        if flat { "flat" } else { "NOT FLAT" }
    );
    flat
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run(&Args::parse())));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}
