//! Client and IOCs under churn for minutes: `cargo xtask soak`.
//!
//! One process holds IOCs on loopback sockets and a client with channels and subscriptions on all of
//! their PVs. Ten times a second channels and subscriptions come and go, PVs are posted, read and
//! put, and some subscriptions are emptied; most are never read. Each interval an IOC restarts, and a
//! line is printed. Reads and puts are made on connected channels only: how long a channel is away is
//! what the column "back s" tells. At the end the last third is compared with the second: flat, or it
//! fails.

mod judge;

use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ca_client::{Channel, Client, GetError, Monitor, MonitorSpec, PutError, Reading};
use ca_proto::rng::Pcg32;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec};
use clap::Parser;
use futures_util::future::join_all;
use hdrhistogram::Histogram;

use judge::Sample;

type Failure = Box<dyn std::error::Error>;

/// IOCs that share the PVs.
const IOCS: usize = 8;
/// Channels opened at a time at the start.
const BATCH: usize = 2_000;
/// Pause from the start of a round to that of the next.
const ROUND: Duration = Duration::from_millis(100);
/// Longest latency that is told from longer ones, in microseconds.
const LONGEST: u64 = 60_000_000;
/// How long channels may take to be back at the end: the governor's 10 s, and the search.
const BACK: Duration = Duration::from_secs(30);

/// Client and IOCs under churn; fails unless memory, descriptors and latency stay flat, every
/// operation is answered and every channel is back at the end.
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

struct Slot {
    name: String,
    channel: Option<Channel>,
    subscription: Option<Monitor>,
}

/// An IOC that was restarted.
struct Restart {
    ioc: usize,
    at: Instant,
    /// When all its channels were connected again.
    back: Option<Duration>,
}

/// Microseconds and counts of one interval.
struct Interval {
    reads: Histogram<u64>,
    puts: Histogram<u64>,
    /// Opening channels, a batch at a time.
    opens: Histogram<u64>,
    updates: u64,
    rounds: u64,
}

impl Interval {
    fn new() -> Result<Self, Failure> {
        let micros = || Histogram::new_with_bounds(1, LONGEST, 3);
        Ok(Self {
            reads: micros()?,
            puts: micros()?,
            opens: micros()?,
            updates: 0,
            rounds: 0,
        })
    }
}

struct Soak {
    rng: Pcg32,
    iocs: Vec<SimIoc>,
    client: Client,
    slots: Vec<Slot>,
    /// Nobody reads these.
    slow: Vec<Monitor>,
    interval: Interval,
    restart: Option<Restart>,
    /// Operations that ended because their circuit was lost, as a restart makes them.
    cut: u64,
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
            interval: Interval::new()?,
            restart: None,
            cut: 0,
            failed: 0,
            restarts: 0,
        };
        for first in (0..args.channels).step_by(BATCH) {
            let all: Vec<usize> = (first..args.channels.min(first + BATCH)).collect();
            soak.open(&all).await;
        }
        for n in 0..args.channels.min(50) {
            if let Some(channel) = &soak.slots[n].channel {
                soak.slow.push(channel.monitor::<Reading>().start()?);
            }
        }
        Ok(soak)
    }

    /// Opens channels with a subscription on every fourth.
    async fn open(&mut self, which: &[usize]) {
        let opening = which
            .iter()
            .map(|&n| self.client.connect(&self.slots[n].name));
        for (&n, channel) in which.iter().zip(join_all(opening).await) {
            match channel {
                Ok(channel) => {
                    let wanted = n % 4 == 0;
                    let spec = MonitorSpec::of::<f64>();
                    let subscription =
                        wanted.then(|| channel.monitor::<Reading>().spec(spec).start());
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
        self.interval.rounds += 1;
        let some: Vec<usize> = (0..100).map(|_| self.any()).collect();
        for &n in &some {
            (self.slots[n].subscription, self.slots[n].channel) = (None, None);
        }
        let start = Instant::now();
        self.open(&some).await;
        self.interval.opens.saturating_record(micros(start));
        for _ in 0..200 {
            let n = self.any();
            let value = f64::from(self.rng.below(1000));
            // A PV of a stopped IOC keeps its value; posting to it is no failure.
            let _ = self.iocs[n % IOCS].post(self.slots[n].name.as_str(), value);
            if let Some(subscription) = &mut self.slots[n].subscription {
                while subscription.try_next().is_some() {
                    self.interval.updates += 1;
                }
            }
        }
        for _ in 0..50 {
            let n = self.any();
            self.read_and_put(n).await;
        }
    }

    async fn read_and_put(&mut self, n: usize) {
        let connected = |channel: &&Channel| channel.is_connected();
        let Some(channel) = self.slots[n].channel.as_ref().filter(connected) else {
            return;
        };
        let start = Instant::now();
        match channel.get::<f64>().await {
            Ok(_) => self.interval.reads.saturating_record(micros(start)),
            Err(GetError::Disconnected(_)) => self.cut += 1,
            Err(_) => self.failed += 1,
        }
        if !channel.is_connected() {
            return;
        }
        let start = Instant::now();
        match channel.put(1.0).wait().await {
            Ok(()) => self.interval.puts.saturating_record(micros(start)),
            Err(PutError::Disconnected(_)) => self.cut += 1,
            Err(_) => self.failed += 1,
        }
    }

    async fn restart(&mut self) -> Result<(), Failure> {
        let ioc = self.rng.below(IOCS as u32) as usize;
        self.iocs[ioc].restart().await?;
        self.restarts += 1;
        self.restart = Some(Restart {
            ioc,
            at: Instant::now(),
            back: None,
        });
        Ok(())
    }

    /// Looks whether the channels of the IOC that was restarted are back.
    fn look(&mut self) {
        let Some(restart) = self.restart.as_mut().filter(|r| r.back.is_none()) else {
            return;
        };
        let all = self.slots.iter().skip(restart.ioc).step_by(IOCS);
        if all.filter(|slot| !is_connected(slot)).count() == 0 {
            restart.back = Some(restart.at.elapsed());
        }
    }

    /// Waits for all channels, with a limit.
    async fn all_back(&self) -> bool {
        let start = Instant::now();
        while !self.slots.iter().all(is_connected) {
            if start.elapsed() > BACK {
                return false;
            }
            tokio::time::sleep(ROUND).await;
        }
        true
    }

    fn line(&mut self, at: Duration, now: &Sample) -> Result<(), Failure> {
        let connected = self.slots.iter().filter(|slot| is_connected(slot)).count();
        let interval = std::mem::replace(&mut self.interval, Interval::new()?);
        let of = |h: &Histogram<u64>| {
            let [a, b] = [0.5, 0.99].map(|q| h.value_at_quantile(q));
            format!("{a:>6} {b:>7} {:>8}", h.max())
        };
        let back = self.restart.as_ref().and_then(|restart| restart.back);
        let back = back.map_or_else(|| "-".into(), |b| format!("{:.1}", b.as_secs_f64()));
        println!(
            "{:>6.0} {:>7.1} {:>5} {connected:>9} {:>6} {} {} {} {:>7} {back:>6} {:>5} {:>6}",
            at.as_secs_f64(),
            now.memory as f64 / 1e6,
            now.files,
            interval.rounds,
            of(&interval.reads),
            of(&interval.puts),
            of(&interval.opens),
            interval.updates,
            self.cut,
            self.failed,
        );
        Ok(())
    }
}

fn is_connected(slot: &Slot) -> bool {
    slot.channel.as_ref().is_some_and(Channel::is_connected)
}

fn name(n: usize) -> String {
    format!("soak:{n}")
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn head() {
    println!(
        "{:>6} {:>7} {:>5} {:>9} {:>6} {:^23} {:^23} {:^23} {:>7} {:>6} {:>5} {:>6}",
        "s",
        "RSS MB",
        "files",
        "connected",
        "rounds",
        "read us p50 p99 max",
        "put us p50 p99 max",
        "open 100 us p50 p99 max",
        "updates",
        "back s",
        "cut",
        "failed"
    );
}

async fn run(args: &Args) -> Result<bool, Failure> {
    println!(
        "seed {}, {} channels, {IOCS} IOCs",
        args.seed, args.channels
    );
    let start = Instant::now();
    let mut soak = Soak::start(args).await?;
    println!("connected after {:.1} s", start.elapsed().as_secs_f64());
    head();
    let all = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    let interval = (all / 30).max(Duration::from_secs(1));
    let (start, mut samples) = (Instant::now(), Vec::new());
    while start.elapsed() < all {
        let begun = Instant::now();
        soak.restart().await?;
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while begun.elapsed() < interval {
            rounds.tick().await;
            soak.round().await;
            soak.look();
        }
        let now = judge::sample(soak.interval.reads.value_at_quantile(0.5))?;
        soak.line(start.elapsed(), &now)?;
        samples.push(now);
    }
    let back = soak.all_back().await;
    println!(
        "{} restarts; all channels connected at the end: {}; operations cut by a restart {}, failed \
         otherwise {}",
        soak.restarts,
        if back { "yes" } else { "NO" },
        soak.cut,
        soak.failed
    );
    Ok(judge::is_flat(&samples) && back && soak.failed == 0)
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
