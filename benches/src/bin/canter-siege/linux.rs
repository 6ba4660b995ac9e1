use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ca_bench::siege::{Attack, Latency, Server, Target, client, holds, honest};
use clap::{Parser, Subcommand};
use hdrhistogram::Histogram;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

type Failure = Box<dyn std::error::Error>;

/// What a call may take of the processor.
const MILLISECOND: Duration = Duration::from_millis(1);
/// Pause of the honest client after each round.
const PAUSE: Duration = Duration::from_millis(5);
/// Time for the slowest limit to be met.
const PATIENCE: Duration = Duration::from_secs(20);
/// Circuits of the attackers that send or ask for much; the others hold `--connections`.
const BUSY: usize = 8;
/// Connections that send a byte a second.
const SLOW: usize = 500;
/// Connections that the IOC takes from one address.
const PER_HOST: usize = 1_000;

/// Shows what an honest client notices of attacks on a `canter ioc`.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// The tools
    #[arg(long, value_name = "FILE", default_value = "target/release/canter")]
    canter: PathBuf,
    /// Rounds of the honest client, alone and beside each attack
    #[arg(long, default_value = "1000")]
    rounds: u32,
    /// Idle connections
    #[arg(long, default_value = "10000")]
    connections: usize,
    /// Repeats of everything; the table shows the least and the largest of each figure
    #[arg(long, default_value = "3")]
    repeats: u32,
    /// Channels, subscriptions or puts of each circuit of an attack by masses, at most
    #[arg(long, default_value = "400000")]
    each: usize,
    /// With the limits that the book names for networks with hosts that are not trusted
    #[arg(long)]
    hardened: bool,
    /// How long a call holds the IOC under attacks by masses, in memory and without sockets, instead
    #[arg(long)]
    holds: bool,
    /// These attacks only
    #[arg(long, value_name = "NAME", value_parser = attack)]
    only: Vec<Attack>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The attacker; ends when its standard input does
    #[command(hide = true)]
    Attack {
        #[arg(value_parser = attack)]
        attack: Attack,
        udp: SocketAddrV4,
        tcp: SocketAddrV4,
        repeater: u16,
        connections: usize,
        per_host: usize,
        each: usize,
    },
}

fn attack(name: &str) -> Result<Attack, String> {
    let found = Attack::ALL.into_iter().find(|attack| attack.name() == name);
    found.ok_or_else(|| {
        let all = Attack::ALL.map(Attack::name).join(", ");
        format!("the attacks are {all}")
    })
}

pub(super) fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.role {
        Some(Role::Attack {
            attack,
            udp,
            tcp,
            repeater,
            connections,
            per_host,
            each,
        }) => {
            let target = Target {
                udp,
                tcp,
                repeater,
                connections,
                per_host,
                each,
                pause: Duration::ZERO,
            };
            attacker(attack, &target).map(|()| true)
        }
        None if args.holds => show_holds(&args),
        None => siege(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("siege: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says `ready`, attacks until standard input ends, and says what it did.
fn attacker(attack: Attack, target: &Target) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    let did = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::stdin().read(&mut [0]);
            stop.store(true, Ordering::Relaxed);
        });
        attack.run(target, &stop, || {
            println!("ready");
            let _ = io::stdout().flush();
        })
    });
    println!("{}", did?);
    Ok(())
}

/// The attacker as a process.
struct Attacker {
    child: Child,
    lines: io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Attacker {
    fn start(args: &Args, attack: Attack, server: &Server, repeater: u16) -> Result<Self, Failure> {
        // It stands for other hosts, which take nothing of this one's processor: what it computes to attack comes
        // after what the IOC and the client compute.
        let mut command = Command::new("nice");
        command.args(["-n", "10"]).arg(std::env::current_exe()?);
        let (udp, tcp) = (server.udp.to_string(), server.tcp.to_string());
        command.args(["attack", attack.name(), &udp, &tcp]);
        command.args([repeater.to_string(), connections(args, attack).to_string()]);
        command.args([per_host(args).to_string(), each(args).to_string()]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        match lines.next().transpose()?.as_deref() {
            Some("ready") => Ok(Self { child, lines }),
            _ => Err(format!("the attacker ({}) has ended", attack.name()).into()),
        }
    }

    /// Ends it: what it did.
    fn end(mut self) -> Result<String, Failure> {
        drop(self.child.stdin.take());
        let did = self.lines.next().transpose()?;
        self.child.wait()?;
        did.ok_or_else(|| "the attacker has ended early".into())
    }
}

/// One repeat of one attack.
struct Run {
    alone: Latency,
    beside: Latency,
    did: String,
    /// What the IOC, or the client, has to say.
    said: Vec<String>,
    refused: bool,
}

/// Connections that the IOC takes from one address.
const fn per_host(args: &Args) -> usize {
    if args.hardened { 32 } else { PER_HOST }
}

/// Channels or subscriptions that it takes from a circuit, as far as an attack has so many.
fn each(args: &Args) -> usize {
    if args.hardened {
        args.each.min(10_000)
    } else {
        args.each
    }
}

/// Circuits of an attack. A host that may have few subscriptions in each takes all the circuits that it
/// may have.
fn connections(args: &Args, attack: Attack) -> usize {
    let held = if args.hardened {
        args.connections.min(800)
    } else {
        args.connections
    };
    match attack {
        Attack::Idle => held,
        Attack::Slow => SLOW.min(held),
        Attack::Search | Attack::Stopped | Attack::Giant | Attack::Beacons => BUSY,
        Attack::Strides => 1,
        _ if args.hardened => 32,
        _ => 1,
    }
}

/// Those of the chapter about configuration.
const HARDENED: [&str; 8] = [
    "max_circuits=1000",
    "max_circuits_per_host=32",
    "max_channels_per_circuit=10000",
    "max_subscriptions_per_circuit=10000",
    "max_payload=1048576",
    "max_waiting_put_bytes=1048576",
    "version_timeout=5",
    "stall_timeout=20",
];

fn limits(args: &Args, attack: Attack) -> Vec<String> {
    let text: &[&str] = match attack {
        // So that what is closed is closed while we look.
        Attack::Idle => &["version_timeout=2"],
        Attack::Stopped => &["stall_timeout=1"],
        Attack::Slow => &["version_timeout=3"],
        _ => &[],
    };
    let hardened: &[&str] = if args.hardened { &HARDENED } else { &[] };
    let all = hardened.iter().chain(text);
    let mut limits: Vec<String> = all.map(|&limit| limit.to_owned()).collect();
    if !args.hardened {
        limits.push(format!("max_circuits_per_host={PER_HOST}"));
    }
    limits
}

fn run_once(args: &Args, attack: Attack) -> Result<Run, Failure> {
    let mut server = Server::start(&args.canter, &limits(args, attack))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut said = Vec::new();
    let (alone, beside, did) = runtime.block_on(async {
        let repeater = free_port()?;
        let client = client(server.udp, repeater)?;
        // A name that nobody serves: a storm must not make the client search without pause.
        let nobody = client.open("nobody")?;
        let registered = async {
            while !client.beacon_stats().registered {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let registered = tokio::time::timeout(PATIENCE, registered).await;
        registered.map_err(|_| "the client's repeater has not answered in time")?;
        let alone = honest(&client, args.rounds, PAUSE).await?;
        let attacker = Attacker::start(args, attack, &server, repeater)?;
        let beside = honest(&client, args.rounds, PAUSE).await?;
        for setting in attack.limits() {
            server.logs(setting, PATIENCE);
        }
        // The log tells of the first that is refused.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let did = attacker.end()?;
        if attack == Attack::Beacons {
            let beacons = client.beacon_stats();
            let view = nobody.state();
            said.push(format!(
                "client: {} beacons taken, {} anomalies; the name that nobody has: {view:?}",
                beacons.received, beacons.anomalies
            ));
        }
        drop(nobody);
        client.close().await;
        Ok::<_, Failure>((alone, beside, did))
    })?;
    let lines = server.end()?;
    said.extend(
        lines
            .into_iter()
            .filter(|line| line.starts_with("refused:")),
    );
    let named = |setting: &&str| said.iter().any(|line| line.contains(*setting));
    let refused = attack.limits().iter().all(named);
    Ok(Run {
        alone,
        beside,
        did,
        said,
        refused,
    })
}

fn free_port() -> io::Result<u16> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    Ok(socket.local_addr()?.port())
}

/// Fails if a call takes longer than a millisecond of the processor.
fn show_holds(args: &Args) -> Result<bool, Failure> {
    println!(
        "processor time of the longest call in microseconds, of how many; of each the least of {} repeats\n",
        args.repeats
    );
    println!("| attack | a chunk | output | a turn of what is left | closing, or the program |");
    println!("|---|---|---|---|---|");
    let mut good = true;
    for hold in holds(args.each, args.repeats)? {
        let all = [&hold.chunk, &hold.output, &hold.turn, &hold.end];
        let text = all.map(|one| format!("{} of {}", one.most().as_micros(), one.count()));
        println!("| {} | {} |", hold.name, text.join(" | "));
        good &= all.iter().all(|one| one.most() <= MILLISECOND);
    }
    Ok(good)
}

fn siege(args: &Args) -> Result<bool, Failure> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    println!("descriptors: at most {hard} in each process (soft limit was {soft})");
    if !Path::new(&args.canter).exists() {
        return Err(format!(
            "there is no {}; build it, or name it",
            args.canter.display()
        )
        .into());
    }
    println!(
        "{} rounds, {} repeats; microseconds, least to largest of the repeats\n",
        args.rounds, args.repeats
    );
    println!("| attack | | operation | p50 | p99 | max | failed |\n|---|---|---|---|---|---|---|");
    let attacks = match &args.only[..] {
        [] => &Attack::ALL[..],
        only => only,
    };
    let (mut good, mut notes) = (true, Vec::new());
    for &attack in attacks {
        let mut runs = Vec::new();
        for _ in 0..args.repeats.max(1) {
            runs.push(run_once(args, attack)?);
        }
        rows(attack.text(), "alone", &runs, |run| &run.alone);
        rows("", "beside", &runs, |run| &run.beside);
        good &= runs
            .iter()
            .all(|run| run.refused && run.alone.failed == 0 && run.beside.failed == 0);
        if let Some(last) = runs.pop() {
            notes.push(format!("- {}: {}", attack.text(), last.did));
            notes.extend(last.said.iter().map(|line| format!("  {line}")));
        }
    }
    println!("\n{}", notes.join("\n"));
    println!(
        "\n{}",
        if good {
            "every operation answered, every attack refused"
        } else {
            "NOT every operation was answered, or an attack was not refused"
        }
    );
    Ok(good)
}

fn rows(name: &str, when: &str, runs: &[Run], of: fn(&Run) -> &Latency) {
    let failed: u64 = runs.iter().map(|run| of(run).failed).sum();
    for (at, operation) in ["connect", "read", "put"].into_iter().enumerate() {
        let figure = |of_one: fn(&Histogram<u64>) -> u64| {
            let histograms = |seen: &Latency| [&seen.connect, &seen.read, &seen.put].map(of_one);
            let all = runs.iter().map(|run| histograms(of(run))[at]);
            let (least, most) = (all.clone().min(), all.max());
            format!("{} to {}", least.unwrap_or(0), most.unwrap_or(0))
        };
        let (name, when, failed) = match at {
            0 => (name, when, failed.to_string()),
            _ => ("", "", String::new()),
        };
        println!(
            "| {name} | {when} | {operation} | {} | {} | {} | {failed} |",
            figure(|h| h.value_at_quantile(0.5)),
            figure(|h| h.value_at_quantile(0.99)),
            figure(Histogram::max),
        );
    }
}
