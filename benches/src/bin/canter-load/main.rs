//! The workloads of `cargo xtask bench` with our client and our IOC, as a user would write them.
//!
//! A client finds its server through the `EPICS_CA_*` variables and prints `RESULT key=value …`.
//! Subscribers print `READY` when all have their first value. `BENCH_SERVER_PID` names the process
//! whose processor time is told beside the client's own. The yardsticks in `benches/peers` have the
//! same commands and print the same line.

mod blocking;
mod bytes;
mod memory;
mod meter;
mod monitor;
mod operations;
mod serve;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ca_client::{Channel, Client};
use clap::{Parser, ValueEnum};

/// Whatever goes wrong ends the program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Time that any operation, and the connection of all channels, may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Whatever hangs ends by itself, also when nobody is left to kill it.
const MAX_RUN: Duration = Duration::from_secs(120);

/// One run of one workload.
#[derive(Parser, Debug)]
#[command(name = "canter-load")]
struct Args {
    /// What to do
    command: Command,
    /// PVs
    names: Vec<String>,
    /// Begin of the names of more PVs, which end in 0, 1, …
    #[arg(long, default_value = "B:")]
    prefix: String,
    /// Number of PVs whose names begin with the prefix
    #[arg(long, default_value_t = 0)]
    count: u64,
    /// Operations to do
    #[arg(long, default_value_t = 1000)]
    n: u64,
    /// Rounds over all PVs
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Puts per second, 0 for as many as go
    #[arg(long, default_value_t = 0)]
    pace: u32,
    /// Circuits, each with a subscription of each PV
    #[arg(long, default_value_t = 1)]
    circuits: u8,
    /// Threads of the runtime, to see whether the one lock of an IOC holds back several
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Which interface of the client
    #[arg(long, default_value = "async")]
    api: Api,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug)]
enum Api {
    Async,
    Blocking,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug)]
enum Command {
    /// Serve PREFIX0 … and the arrays WF and IMG until standard input is closed
    Serve,
    /// W1: one read outstanding
    Get,
    /// W2: a read of every PV in flight
    Mget,
    /// W3: one put-notify outstanding
    Putcb,
    /// W3: puts without an answer
    Put,
    /// The writer of W4: 1, 2, … N to each PV, then -N
    Putstream,
    /// W4: updates until each PV has shown a negative value
    Mon,
    /// W5: connect all PVs at once
    Conn,
    /// W6: reads of an array
    Wfget,
    /// Fill an array
    Wffill,
    /// The writer of W6: numbered frames
    Wfput,
    /// W6: frames by monitor
    Wfmon,
    /// W7: connect, then subscribe, and wait for a line on standard input after each
    Memory,
    /// Reads of the last PV while the others are monitored
    Fair,
    /// W1's bytes over tokio without Channel Access
    Bytes,
    /// Answer these bytes
    ServeBytes,
}

impl Args {
    fn pvs(&self) -> Result<Vec<String>> {
        let numbered = (0..self.count).map(|n| format!("{}{n}", self.prefix));
        let names: Vec<String> = self.names.iter().cloned().chain(numbered).collect();
        match names.is_empty() {
            true => Err("no PV names".into()),
            false => Ok(names),
        }
    }

    async fn run(&self) -> Result<()> {
        match self.command {
            Command::Serve => return serve::run(&self.prefix, self.count).await,
            Command::ServeBytes => return bytes::serve().await,
            Command::Bytes => return bytes::ping(self.n).await,
            _ => {}
        }
        let names = self.pvs()?;
        let client = Client::builder().timeout(TIMEOUT).build()?;
        match self.command {
            Command::Serve | Command::ServeBytes | Command::Bytes => Ok(()),
            Command::Get => operations::get(&client, &names[0], self.n).await,
            Command::Mget => operations::get_many(&client, &names, self.rounds).await,
            Command::Putcb => operations::put_notify(&client, &names[0], self.n).await,
            Command::Put => operations::put(&client, &names[0], self.n).await,
            Command::Putstream => {
                operations::put_rounds(&client, &names, self.rounds, self.pace).await
            }
            Command::Mon => monitor::updates(&client, &names, self.circuits).await,
            Command::Conn => operations::connect(&client, &names).await,
            Command::Wfget => operations::get_array(&client, &names[0], self.n).await,
            Command::Wffill => operations::fill(&client, &names[0]).await,
            Command::Wfput => operations::put_frames(&client, &names[0], self.n).await,
            Command::Wfmon => monitor::frames(&client, &names[0]).await,
            Command::Memory => memory::run(&client, &names).await,
            Command::Fair => monitor::beside(&client, &names, self.n).await,
        }
    }
}

async fn open(client: &Client, name: &str) -> Result<Channel> {
    let channel = client.open(name)?;
    channel.connected().await?;
    Ok(channel)
}

async fn open_all(client: &Client, names: &[String]) -> Result<Vec<Channel>> {
    let channels = client.connect_many(names).await.into_iter();
    Ok(channels.collect::<std::result::Result<_, _>>()?)
}

fn start(args: &Args) -> Result<()> {
    if args.api == Api::Blocking {
        return blocking::run(args);
    }
    let mut runtime = match args.workers {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime
        .worker_threads(args.workers.max(1))
        .enable_all()
        .build()?;
    runtime.block_on(args.run())
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !matches!(args.command, Command::Serve | Command::ServeBytes) {
        thread::spawn(|| {
            thread::sleep(MAX_RUN);
            println!("FAIL not done after {} s", MAX_RUN.as_secs());
            std::process::exit(1);
        });
    }
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAIL {error}");
            ExitCode::FAILURE
        }
    }
}
