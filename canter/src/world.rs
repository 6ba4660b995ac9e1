//! `canter world`: facilities on a virtual network, under faults, at thousands of times real speed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ca_testkit::facility::{
    self, Failure, MAX_HOSTS, MAX_RECORDS, MAX_SUBNETS, Options, Plan, Report, Shape, Shrunk,
};
use clap::Args;

use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};

/// Pause between two lines about a long run.
const PROGRESS: Duration = Duration::from_secs(10);
/// Failing seeds after which a run of many ends.
const MAX_FAILURES: usize = 3;

#[derive(Args, Debug)]
#[command(
    after_help = "The production cores of client and server run on a virtual network with a \
    virtual clock, under operations and faults that are drawn from the seed. Promises are checked \
    after each step; a story that breaks one is printed with the shortest story that breaks it too. \
    The same seed and options give the same bytes at the same times.\n\n\
    Exit codes: 0 every promise was kept, 1 one was broken, 2 wrong usage."
)]
pub(crate) struct WorldArgs {
    /// The seed, or the first of many
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many seeds, beginning with that of --seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// One seed after the other for so many minutes by the clock on the wall
    #[arg(long = "for", value_name = "MINUTES", conflicts_with = "seeds", value_parser = minutes)]
    wall: Option<f64>,
    /// Simulated minutes of each story; the recovery afterwards comes on top
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// Threads, each with its own world [default: one per processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Clients in the facility [default: 1 to 4, by the seed]
    #[arg(long, help_heading = "Facility", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_HOSTS)))]
    clients: Option<u8>,
    /// IOCs [default: 1 to 3]
    #[arg(long, help_heading = "Facility", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_HOSTS)))]
    iocs: Option<u8>,
    /// Subnets [default: 1 to 3]
    #[arg(long, help_heading = "Facility", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_SUBNETS)))]
    subnets: Option<u8>,
    /// Hosts that send frames which are almost right [default: 0 to 2]
    #[arg(long, help_heading = "Facility", value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_HOSTS)))]
    hostile: Option<u8>,
    /// Groups of records on each IOC, 0 for none [default: 0 to 7]
    #[arg(long, help_heading = "Facility", value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_RECORDS)))]
    records: Option<u8>,
    /// With a gateway or without [default: by the seed]
    #[arg(long, help_heading = "Facility", value_name = "BOOL")]
    gateway: Option<bool>,
    /// With a name server or without [default: by the seed]
    #[arg(long, help_heading = "Facility", value_name = "BOOL")]
    name_server: Option<bool>,
    /// Only users act: no faults of network, hosts and clocks
    #[arg(long, help_heading = "Facility")]
    no_faults: bool,
    /// Print what was done and every frame that crossed the network, of one seed or plan
    #[arg(long, conflicts_with = "wall")]
    trace: bool,
    /// Print a broken promise as it was found, without looking for a shorter story
    #[arg(long)]
    no_shrink: bool,
    /// Carry out the plan in this file, as --save has written it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "wall"])]
    plan: Option<PathBuf>,
    /// Write the plan of the (first) seed to this file, or the shortest that breaks a promise
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    save: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(v) if v > 0.0 && v <= 1e6 => Ok(v),
        _ => Err("give a number of minutes such as 10".to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// Files that cannot be read or written, and those of the output.
pub(crate) fn run(args: &WorldArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let options = Options {
        minutes: args.minutes,
        clients: args.clients,
        iocs: args.iocs,
        subnets: args.subnets,
        hostile: args.hostile,
        records: args.records,
        gateway: args.gateway,
        name_server: args.name_server,
        faults: !args.no_faults,
    };
    if let Some(path) = &args.plan {
        let plan = load(path)?;
        return one(args, console, &plan, None);
    }
    if args.trace && args.seeds > 1 {
        let what = format!("--trace shows one story, --seeds {} are more", args.seeds);
        return Err(UsageError::new(what, "choose one with --seed").into());
    }
    if args.wall.is_none() && args.seeds == 1 {
        let plan = Plan::draw(args.seed, &options);
        return one(args, console, &plan, Some(&options));
    }
    many(args, console, &options)
}

fn load(path: &Path) -> Result<Plan, UsageError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        UsageError::new(
            format!("cannot read {shown}: {error}"),
            "give a file that --save has written",
        )
    })?;
    serde_json::from_str(&text).map_err(|error| {
        UsageError::new(
            format!("{shown} is no plan: {error}"),
            "give a file that --save has written, with the same version of canter",
        )
    })
}

fn save(path: &Path, plan: &Plan) -> Result<(), UsageError> {
    // A plan is numbers and lists of numbers, which JSON can hold.
    let text = serde_json::to_string_pretty(plan).unwrap_or_default();
    fs::write(path, text + "\n").map_err(|error| {
        UsageError::new(
            format!("cannot write {}: {error}", path.display()),
            "give a file in a folder that exists",
        )
    })
}

/// One story, told in some detail.
fn one(
    args: &WorldArgs,
    console: &mut Console<'_>,
    plan: &Plan,
    drawn: Option<&Options>,
) -> Result<Outcome, Stop> {
    let out = &mut console.out;
    writeln!(out, "{}", describe(&plan.shape))?;
    let start = Instant::now();
    let result = if args.trace {
        let told = facility::tell(plan);
        for line in told.story.iter().chain(&told.trace) {
            writeln!(out, "{line}")?;
        }
        told.result
    } else {
        facility::run(plan)
    };
    let took = start.elapsed();
    match result {
        Ok(report) => {
            if let Some(path) = &args.save {
                save(path, plan)?;
            }
            let mut sum = Sum::default();
            sum.add(&report);
            writeln!(
                out,
                "{} operations, all back {:.0} s after the last fault, nothing left at the end",
                report.steps,
                report.recovery.as_secs_f64()
            )?;
            writeln!(out, "{}", sum.line(took))?;
            Ok(Outcome::Ok)
        }
        Err(failure) => {
            let seed = drawn.map(|options| (args.seed, options));
            broken(args, console, seed, &failure)?;
            Ok(Outcome::PvFailed)
        }
    }
}

fn describe(shape: &Shape) -> String {
    let count = |n: u8, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut parts = vec![count(shape.clients, "client"), count(shape.iocs, "IOC")];
    parts.extend(shape.gateway.then(|| "a gateway".to_owned()));
    parts.extend(shape.name_server.then(|| "a name server".to_owned()));
    if shape.hostile > 0 {
        parts.push(count(shape.hostile, "hostile host"));
    }
    let place = count(shape.subnets, "subnet");
    match shape.records {
        0 => format!("{} in {place}", parts.join(", ")),
        n => format!(
            "{} in {place}, {} on each IOC",
            parts.join(", "),
            match n {
                1 => "1 group of records".to_owned(),
                n => format!("{n} groups of records"),
            }
        ),
    }
}

/// Prints a broken promise and, for a story of a seed, the shortest one that breaks it.
fn broken(
    args: &WorldArgs,
    console: &mut Console<'_>,
    seed: Option<(u64, &Options)>,
    failure: &Failure,
) -> Result<(), Stop> {
    let Some((seed, options)) = seed else {
        writeln!(console.out, "{failure}")?;
        return Ok(());
    };
    writeln!(
        console.out,
        "seed {seed} breaks a promise: {}",
        failure.what
    )?;
    let shrunk: Option<Shrunk> = if args.no_shrink {
        None
    } else {
        console.complain("looking for a shorter story …")?;
        facility::shrink(seed, options)
    };
    match &shrunk {
        Some(shrunk) => writeln!(console.out, "{shrunk}")?,
        None => writeln!(console.out, "{failure}")?,
    }
    if let Some(path) = &args.save {
        let plan = match shrunk {
            Some(shrunk) => shrunk.plan,
            None => Plan::draw(seed, options),
        };
        save(path, &plan)?;
        writeln!(console.out, "again: canter world --plan {}", path.display())?;
    }
    Ok(())
}

/// What many stories came to.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    events: u64,
    updates: u64,
    answers: u64,
    simulated: Duration,
    slowest: Duration,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.events += report.events;
        self.updates += report.updates;
        self.answers += report.answers;
        self.simulated += report.simulated;
        self.slowest = self.slowest.max(report.recovery);
    }

    fn line(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(1e-9);
        format!(
            "{} seeds, {:.1} simulated hours in {seconds:.1} s ({:.0} times real time), \
             {} events ({:.0} per second), {} updates, {} answers",
            self.seeds,
            self.simulated.as_secs_f64() / 3600.0,
            self.simulated.as_secs_f64() / seconds,
            self.events,
            self.events as f64 / seconds,
            self.updates,
            self.answers,
        )
    }
}

type Told = (u64, Result<Report, Box<Failure>>);

/// Many seeds on all processors.
fn many(args: &WorldArgs, console: &mut Console<'_>, options: &Options) -> Result<Outcome, Stop> {
    let start = Instant::now();
    let last = match args.wall {
        Some(_) => u64::MAX,
        None => args.seed.saturating_add(args.seeds),
    };
    let wall = args
        .wall
        .map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or_else(processors, usize::from);
    let (next, stop) = (AtomicU64::new(args.seed), AtomicBool::new(false));
    let mut sum = Sum::default();
    let mut failures: Vec<(u64, Box<Failure>)> = Vec::new();
    thread::scope(|scope| -> Result<(), Stop> {
        let (sender, results) = mpsc::channel::<Told>();
        for _ in 0..threads {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let over = wall.is_some_and(|wall| start.elapsed() >= wall);
                    if seed >= last || over || stop.load(Ordering::Relaxed) {
                        break;
                    }
                    if sender
                        .send((seed, facility::run_seed(seed, options)))
                        .is_err()
                    {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut spoken = start;
        for (seed, result) in results {
            match result {
                Ok(report) => sum.add(&report),
                Err(failure) => {
                    let told = console.complain(format_args!("seed {seed}: {}", failure.what));
                    failures.push((seed, failure));
                    if told.is_err() || failures.len() >= MAX_FAILURES {
                        stop.store(true, Ordering::Relaxed);
                    }
                    told?;
                }
            }
            if spoken.elapsed() >= PROGRESS {
                spoken = Instant::now();
                let told = console.complain(sum.line(start.elapsed()));
                stop.fetch_or(told.is_err(), Ordering::Relaxed);
                told?;
            }
        }
        Ok(())
    })?;
    let out = &mut console.out;
    writeln!(out, "{}", sum.line(start.elapsed()))?;
    writeln!(
        out,
        "seeds from {}; slowest recovery {:.0} s",
        args.seed,
        sum.slowest.as_secs_f64()
    )?;
    failures.sort_by_key(|(seed, _)| *seed);
    let Some((seed, failure)) = failures.first() else {
        writeln!(out, "every promise was kept")?;
        return Ok(Outcome::Ok);
    };
    broken(args, console, Some((*seed, options)), failure)?;
    Ok(Outcome::PvFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_facility_is_described_in_a_line() {
        let options = Options {
            clients: Some(1),
            iocs: Some(2),
            subnets: Some(1),
            hostile: Some(1),
            records: Some(2),
            gateway: Some(true),
            name_server: Some(false),
            ..Options::default()
        };
        let mut shape = Plan::draw(1, &options).shape;
        let hosts = "1 client, 2 IOCs, a gateway, 1 hostile host in 1 subnet";
        assert_eq!(
            describe(&shape),
            format!("{hosts}, 2 groups of records on each IOC")
        );
        shape.records = 0;
        assert_eq!(describe(&shape), hosts);
    }
}
