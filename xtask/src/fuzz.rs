//! All fuzz targets in turn, with cargo-fuzz.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::steps;

/// How long and how large the targets run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes in all, shared evenly by the targets
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Only these targets
    targets: Vec<String>,
}

/// Seconds that one input may take before it counts as a crash.
const INPUT_TIMEOUT: u32 = 10;
/// Megabytes that a target may use before it counts as a crash.
const MEMORY_LIMIT: u32 = 1024;
/// Longest input in bytes; the targets look at no more.
const MAX_LEN: u32 = 16 * 1024;

/// Runs every target for its share of the time and prints what came of it.
///
/// # Errors
/// Names the targets that crashed, and where their inputs are.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let fuzz = steps::root().join("fuzz");
    let all = targets(&fuzz)?;
    let chosen: Vec<String> = match options.targets.as_slice() {
        [] => all,
        some => match some.iter().find(|name| !all.contains(name)) {
            Some(name) => return Err(format!("no target {name}; there are: {}", all.join(", "))),
            None => some.to_vec(),
        },
    };
    let share = Duration::from_secs_f64(options.minutes * 60.0 / chosen.len() as f64);
    let mut rows = Vec::new();
    for target in &chosen {
        println!("==> {target}, {} s", share.as_secs());
        rows.push((target, fuzz_one(&fuzz, target, share)?));
    }
    println!(
        "\n{:<16} {:>12} {:>9} {:>9}  crash",
        "target", "executions", "coverage", "corpus"
    );
    for (target, row) in &rows {
        println!(
            "{target:<16} {:>12} {:>9} {:>9}  {}",
            row.executions,
            row.coverage,
            row.corpus,
            if row.crashed { "yes" } else { "no" }
        );
    }
    match rows.iter().filter(|(_, row)| row.crashed).count() {
        0 => Ok(()),
        n => Err(format!(
            "{n} targets crashed; their inputs are in fuzz/artifacts"
        )),
    }
}

fn targets(fuzz: &Path) -> Result<Vec<String>, String> {
    let dir = fuzz.join("fuzz_targets");
    let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|e| stem(e.path())).collect();
    names.sort();
    Ok(names)
}

/// What a target's run printed last.
#[derive(Debug, Default)]
struct Row {
    executions: String,
    coverage: String,
    corpus: String,
    crashed: bool,
}

fn fuzz_one(fuzz: &Path, target: &str, share: Duration) -> Result<Row, String> {
    // New inputs go to a folder of their own: the named corpus stays small.
    let found = steps::root().join("target/fuzz-corpus").join(target);
    std::fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
    let output = Command::new("cargo")
        .args(["+nightly", "fuzz", "run", "--fuzz-dir"])
        .arg(fuzz)
        .arg(target)
        .arg(&found)
        .arg(fuzz.join("corpus").join(target))
        .arg("--")
        .arg(format!("-max_total_time={}", share.as_secs().max(1)))
        .arg(format!("-timeout={INPUT_TIMEOUT}"))
        .arg(format!("-rss_limit_mb={MEMORY_LIMIT}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .arg("-print_final_stats=1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("cannot run cargo fuzz: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("no such command: `fuzz`") || text.contains("toolchain 'nightly") {
        return Err("fuzzing needs a nightly compiler and `cargo install cargo-fuzz`".into());
    }
    let after = |line: &str, key: &str| {
        let rest = line.split_once(key)?.1.trim_start();
        Some(rest.split_whitespace().next()?.to_owned())
    };
    let last = |key: &str| text.lines().rev().find_map(|line| after(line, key));
    let row = Row {
        executions: last("stat::number_of_executed_units:").unwrap_or_default(),
        coverage: last("cov:").unwrap_or_default(),
        corpus: last("corp:").unwrap_or_default(),
        crashed: !output.status.success(),
    };
    if row.crashed {
        eprintln!("{text}");
    }
    Ok(row)
}
