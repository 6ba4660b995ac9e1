//! `cargo xtask bench`: our client and our IOC beside libca, the real IOC and bare sockets.
//!
//! Everything is built first. Then, in a network namespace if this machine lets us make one, the
//! cases of [`plan`] are run in turn within each repeat, so that slow drifts of the machine meet all
//! of them, and [`report`] writes medians, spreads and ratios.

mod children;
mod lab;
mod machine;
mod memory;
mod oneshot;
mod plan;
mod programs;
mod report;
mod results;
mod servers;
mod targets;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::Lab;
use plan::Case;
use programs::Programs;
use results::Results;

use crate::steps;

/// Repeats of a run that gives a spread worth the name.
const REPEATS: usize = 5;
const QUICK_REPEATS: usize = 3;
/// Repeats of what hardly jitters and takes long, and of the pairs on which no target hangs.
const STEADY_REPEATS: usize = 3;
/// Repeats of Python clients, which take longest.
const PYTHON_REPEATS: usize = 2;
/// A run that takes longer begins no other case and ends with what it has.
const MAX_RUN: Duration = Duration::from_secs(14 * 60);
const MAX_QUICK: Duration = Duration::from_secs(100);
/// Time for the last case; then what still runs is killed.
const LAST_CASE: Duration = Duration::from_secs(15);

/// How the benchmark is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer cases, operations and repeats: less than two minutes
    #[arg(long)]
    quick: bool,
    /// Only these workloads, such as w1,w4
    #[arg(long, value_delimiter = ',', value_name = "WORKLOADS")]
    only: Vec<String>,
    /// Only pairs in which this word occurs, such as ours or libca
    #[arg(long, value_name = "WORD")]
    pair: Option<String>,
    /// Repeats of each case [default: 5, with --quick 3]
    #[arg(long, value_name = "N")]
    repeats: Option<usize>,
    /// Where results.json and report.md go [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Put the tables into docs/src/performance.md too
    #[arg(long)]
    book: bool,
    /// Stay on this host's loopback
    #[arg(long)]
    no_namespace: bool,
    /// Instead: clients in Python beside each other (canter-py/benches/w9.py), with the release's wheel
    #[arg(long)]
    python: bool,
    /// The programs, when the first part of the work is done
    #[arg(long, hide = true, value_name = "FILE")]
    inside: Option<PathBuf>,
}

impl Options {
    fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(home)
    }

    fn repeats(&self) -> usize {
        let usual = if self.quick { QUICK_REPEATS } else { REPEATS };
        self.repeats.unwrap_or(usual).max(1)
    }

    fn wants(&self, case: &Case) -> bool {
        let group = |wanted: &String| case.group().eq_ignore_ascii_case(wanted);
        let pair = |word: &String| case.pair().contains(word.as_str());
        (self.only.is_empty() || self.only.iter().any(group))
            && self.pair.as_ref().is_none_or(pair)
            && (!self.quick || case.is_quick())
    }
}

/// Where programs and databases are kept.
fn home() -> PathBuf {
    steps::root().join("target/bench")
}

/// Builds what is needed, then measures.
///
/// # Errors
/// Says what could not be built or started; single cases that fail are told in the report.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    if let Some(file) = &options.inside {
        return measure(options, &Programs::load(file)?);
    }
    if options.python {
        return crate::python::bench(options.repeats(), options.book);
    }
    let programs = programs::prepare()?;
    let file = programs.save()?;
    if options.no_namespace {
        return measure(options, &programs);
    }
    let Some(mut command) = namespace() else {
        eprintln!("bench: no network namespace here: other programs' datagrams are counted too");
        return measure(options, &programs);
    };
    let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    command
        .arg(this)
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .arg(file);
    Err(format!("cannot enter a namespace: {}", command.exec()))
}

/// A command that runs its arguments in a network namespace with nothing but loopback.
fn namespace() -> Option<Command> {
    let script = "ip link set lo up && exec \"$@\"";
    let enter = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).args(["sh", "-c", script, "sh"]);
        command
    };
    let works = |flags: &&[&str]| {
        let mut probe = enter(flags);
        probe
            .arg("true")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    let ways: [&[&str]; 2] = [&["-n"], &["-rn"]];
    ways.iter().copied().find(works).map(enter)
}

fn measure(options: &Options, programs: &Programs) -> Result<(), String> {
    children::kill_on_signals()?;
    let start = Instant::now();
    let limit = if options.quick { MAX_QUICK } else { MAX_RUN };
    children::kill_after(limit + LAST_CASE);
    let cases: Vec<Case> = plan::all()
        .into_iter()
        .filter(|case| options.wants(case) && programs.can(case))
        .collect();
    let decisive = targets::cases();
    let mut lab = Lab::new(programs, options.quick);
    let mut results = Results::new(machine::describe(), options.repeats());
    for missing in &programs.missing {
        eprintln!("bench: left out: {missing}");
    }
    let mut missing = programs.missing.clone();
    'repeats: for repeat in 0..options.repeats() {
        for (number, case) in cases.iter().enumerate() {
            if start.elapsed() > limit {
                eprintln!("bench: out of time after {repeat} repeats");
                let (at, of) = (number, cases.len());
                missing.push(format!(
                    "the time was up in repeat {}, after {at} of {of} cases",
                    repeat + 1
                ));
                break 'repeats;
            }
            let most = match case.client.is_python() {
                true => PYTHON_REPEATS,
                false if case.is_steady() || !decisive.contains(case) => STEADY_REPEATS,
                false => usize::MAX,
            };
            if repeat >= most {
                continue;
            }
            let outcome = lab.run(case);
            let elapsed = start.elapsed();
            report::progress(elapsed, repeat, number, cases.len(), case, &outcome);
            results.add(repeat, *case, outcome);
        }
    }
    drop(lab);
    results.finish(start.elapsed(), &missing);
    let out = options.out();
    results.save(&out.join("results.json"))?;
    let markdown = report::markdown(&results);
    steps::write(&out.join("report.md"), &markdown)?;
    println!("{markdown}");
    if options.book {
        report::into_book(&markdown)?;
    }
    println!("Written: {}", out.display());
    Ok(())
}
