//! Load over real sockets on 127.0.0.1: how fast client and IOC are together, or our client with
//! any server.
//!
//! ```text
//! cargo bench -p ca-bench --bench loopback [-- [OPTIONS] [WORKLOAD…]]
//!     WORKLOAD       w1 w2 w3 w4 w5 w6, or part of a row's name; all without
//!     --repeats N    repeats of each row (default 5)
//!     --quick        a tenth of the operations
//!     --pin MODE     same: client and server on one core; split: one core each; free (default)
//!     --server HOST:PORT   a server that is running already, in place of our IOC
//!     --pv NAME      names of its PVs, NAME0, NAME1 … (default B:), beside WF and IMG
//! cargo bench -p ca-bench --bench loopback -- COMMAND …    one run, see driver.rs
//! ```
//!
//! Client and IOC run in this process, each with a tokio runtime of its own on one thread (the
//! writers of W4 and W6 are a third), so that processor time can be told apart. Nothing is asserted
//! about time; read ratios of rows from one run, and the spread.

mod driver;
mod meter;
mod server;
mod work;

use std::net::SocketAddrV4;
use std::process::Command;
use std::{env, fs, thread};

use ca_client::Client;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use meter::{Sample, ThreadCpu};
use server::{IMAGE_LEN, Server};
use work::{Result, Target};

/// A runtime on the calling thread.
fn runtime() -> Runtime {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.expect("the system gives an event queue")
}

/// How a program is to be run.
#[derive(Clone, Debug)]
struct Options {
    workloads: Vec<String>,
    repeats: usize,
    divide: u64,
    pin: String,
    server: Option<SocketAddrV4>,
    prefix: String,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self {
            workloads: Vec::new(),
            repeats: 5,
            divide: 1,
            pin: "free".into(),
            server: None,
            prefix: "B:".into(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                // Cargo says so of every benchmark.
                "--bench" => {}
                "--quick" => options.divide = 10,
                "--repeats" => options.repeats = value()?.parse()?,
                "--pin" => options.pin = value()?.clone(),
                "--server" => options.server = Some(value()?.parse()?),
                "--pv" => options.prefix = value()?.clone(),
                other if other.starts_with('-') => return Err(format!("no option {other}").into()),
                workload => options.workloads.push(workload.to_owned()),
            }
        }
        Ok(options)
    }
}

/// What a row of the table does.
#[derive(Clone, Copy, Debug)]
enum Work {
    Get,
    GetTogether,
    PutNotify,
    Put,
    Monitor(u64),
    Connect(u64),
    GetArray,
    Frames,
}

/// Rows with their number of operations.
const ROWS: [(&str, Work, u64); 12] = [
    ("w1 get, one outstanding", Work::Get, 20_000),
    ("w2 10 000 gets in flight", Work::GetTogether, 100),
    ("w3 put-notify, one outstanding", Work::PutNotify, 20_000),
    ("w3 put", Work::Put, 1_000_000),
    ("w4 monitor, 1 PV", Work::Monitor(1), 2_000_000),
    ("w4 monitor, 100 PVs", Work::Monitor(100), 2_000_000),
    ("w4 monitor, 1000 PVs", Work::Monitor(1000), 2_000_000),
    ("w5 connect 1000", Work::Connect(1000), 1),
    ("w5 connect 10 000", Work::Connect(10_000), 1),
    ("w5 connect 60 000", Work::Connect(60_000), 1),
    ("w6 get 8 MB", Work::GetArray, 60),
    ("w6 camera frames by monitor", Work::Frames, 300),
];

/// The largest workload.
const PVS: usize = 60_000;

/// Where a run finds its server.
struct Place {
    addr: SocketAddrV4,
    cpu: Option<ThreadCpu>,
    prefix: String,
}

impl Place {
    fn target(&self) -> Result<Target> {
        Ok(Target {
            client: Client::builder().isolated([self.addr]).build()?,
            server: self.cpu.clone(),
        })
    }

    fn names(&self, n: u64) -> Vec<String> {
        (0..n).map(|n| format!("{}{n}", self.prefix)).collect()
    }

    /// Runs a row once.
    fn run(&self, work: Work, n: u64) -> Result<Sample> {
        runtime().block_on(async {
            let target = &self.target()?;
            let one = &self.names(1)[0];
            let sample = match work {
                Work::Get => work::get(target, one, n).await?,
                Work::GetTogether => {
                    work::get_together(target, &self.names(10_000), n.max(1)).await?
                }
                Work::PutNotify => work::put_notify(target, one, n).await?,
                Work::Put => work::put(target, one, n).await?,
                Work::Monitor(pvs) => {
                    let names = self.names(pvs);
                    let rounds = (n / pvs).max(1);
                    let write = async move |target: Target, names: Vec<String>| {
                        work::put_rounds(&target, &names, rounds).await
                    };
                    self.beside(names.clone(), write, |ready| {
                        let target = target.clone();
                        async move { work::monitor(&target, &names, ready).await }
                    })
                    .await?
                }
                Work::Connect(channels) => work::connect(target, &self.names(channels)).await?,
                Work::GetArray => work::get_array(target, "WF", n.max(1)).await?,
                Work::Frames => {
                    let write = async move |target: Target, _: Vec<String>| {
                        work::put_frames(&target, "IMG", n.max(1) as u16).await
                    };
                    self.beside(Vec::new(), write, |ready| {
                        let target = target.clone();
                        async move { work::monitor_frames(&target, "IMG", ready).await }
                    })
                    .await?
                }
            };
            target.client.close().await;
            Ok(sample)
        })
    }

    /// Runs a subscriber here, and a writer on a thread of its own from when the former is ready.
    async fn beside<F: Future<Output = Result<Sample>>>(
        &self,
        names: Vec<String>,
        write: impl AsyncFnOnce(Target, Vec<String>) -> Result<Sample> + Send + 'static,
        watch: impl FnOnce(Box<dyn FnOnce() + Send>) -> F,
    ) -> Result<Sample> {
        let (ready, start) = oneshot::channel::<()>();
        let addr = self.addr;
        let writer = thread::spawn(move || {
            runtime().block_on(async {
                start.await?;
                let client = Client::builder().isolated([addr]).build()?;
                let target = Target {
                    client,
                    server: None,
                };
                write(target, names).await
            })
        });
        let begin = move || {
            let _ = ready.send(());
        };
        let sample = watch(Box::new(begin)).await?;
        writer.join().map_err(|_| "the writer has panicked")??;
        Ok(sample)
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(command) = driver::Command::parse(&args) {
        return runtime().block_on(command?.run());
    }
    let options = Options::parse(&args)?;
    let ours = options.server.is_none().then(|| Server::start(PVS));
    let place = Place {
        addr: match (options.server, &ours) {
            (None, Some(ours)) => ours.addr,
            (given, _) => given.ok_or("no server")?,
        },
        cpu: ours.as_ref().map(|ours| ours.cpu.clone()),
        prefix: options.prefix.clone(),
    };
    pin(&options.pin, place.cpu.as_ref())?;
    header(&options);
    let wanted = |name: &str| {
        let workloads = &options.workloads;
        workloads.is_empty() || workloads.iter().any(|part| name.contains(part))
    };
    for (name, work, n) in ROWS.into_iter().filter(|(name, ..)| wanted(name)) {
        let mut samples = Vec::new();
        for _ in 0..options.repeats.max(1) {
            samples.push(place.run(work, n / options.divide)?);
        }
        row(name, &samples);
    }
    Ok(())
}

/// Moves client and server to their cores with util-linux' `taskset`.
fn pin(mode: &str, server: Option<&ThreadCpu>) -> Result<()> {
    let cores = match mode {
        "free" => return Ok(()),
        "same" => ["0", "0"],
        "split" => ["0", "1"],
        other => return Err(format!("no pinning mode {other}").into()),
    };
    let client = ThreadCpu::current();
    for (core, thread) in cores.into_iter().zip([server, Some(&client)]) {
        let Some(thread) = thread else { continue };
        let done = Command::new("taskset")
            .args(["-pc", core, thread.id()])
            .output()?;
        if !done.status.success() {
            return Err("taskset failed".into());
        }
    }
    Ok(())
}

fn header(options: &Options) {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let peer = match options.server {
        Some(addr) => format!("the server at {addr}"),
        None => "our IOC in this process".into(),
    };
    println!(
        "Our client with {peer}; {cores} cores ({}), Linux {}, load {}; pinning {}; {} repeats, \
         {IMAGE_LEN} bytes per frame.\nMedian (smallest to largest).\n",
        model.unwrap_or("unknown"),
        kernel.trim(),
        load.split(' ').next().unwrap_or("unknown"),
        options.pin,
        options.repeats,
    );
    println!(
        "| workload | operations/s | time, ms | p50, µs | p99, µs | CPU per operation, ns: client / \
         server | GB/s | squashed |\n|---|---|---|---|---|---|---|---|"
    );
}

/// Median, smallest and largest.
fn spread(samples: &[Sample], figure: impl Fn(&Sample) -> Option<f64>) -> Option<[f64; 3]> {
    let mut all = samples.iter().map(figure).collect::<Option<Vec<_>>>()?;
    all.sort_unstable_by(f64::total_cmp);
    Some([all[all.len() / 2], *all.first()?, *all.last()?])
}

fn text(figures: Option<[f64; 3]>) -> String {
    let short = |x: f64| match x {
        x if x >= 1e6 => format!("{:.2} M", x / 1e6),
        x if x >= 1e4 => format!("{:.1} k", x / 1e3),
        x if x >= 100.0 => format!("{x:.0}"),
        x => format!("{x:.2}"),
    };
    let whole = |[median, least, most]: [f64; 3]| {
        format!("{} ({} to {})", short(median), short(least), short(most))
    };
    figures.map_or_else(String::new, whole)
}

fn row(name: &str, samples: &[Sample]) {
    let median = |figure: fn(&Sample) -> f64| {
        let figures = spread(samples, |sample| Some(figure(sample)));
        figures.map_or(0.0, |[median, ..]| median)
    };
    let rate = spread(samples, |sample| Some(sample.rate()));
    let time = spread(samples, |sample| Some(sample.elapsed.as_secs_f64() * 1e3));
    let bytes = spread(samples, |sample| {
        (sample.bytes > 0).then(|| sample.bytes as f64 * sample.rate() / 1e9)
    });
    println!(
        "| {name} | {} | {} | {} | {} | {:.0} / {:.0} | {} | {:.1} % |",
        text(rate),
        text(time),
        text(spread(samples, |sample| sample.percentile(0.5))),
        text(spread(samples, |sample| sample.percentile(0.99))),
        median(|sample| sample.cpu_per_op(sample.client_cpu)),
        median(|sample| sample.cpu_per_op(sample.server_cpu)),
        text(bytes),
        median(|sample| sample.squashed_part() * 100.0),
    );
}
