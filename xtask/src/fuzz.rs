//! All fuzz targets in turn, with cargo-fuzz.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
/// Megabytes that a target may use before it counts as a crash: the largest arrays of an IOC, and
/// what the sanitizer keeps. Each body has a smaller bound of its own.
const MEMORY_LIMIT: u32 = 3072;
/// Lines shown of a target's output when it crashed.
const SHOWN: usize = 60;
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
    // The programs are built once: changes of the sources do not meddle with a long run.
    let programs = build(&fuzz)?;
    let share = Duration::from_secs_f64(options.minutes * 60.0 / chosen.len() as f64);
    let mut rows = Vec::new();
    for target in &chosen {
        println!("==> {target}, {} s", share.as_secs());
        rows.push((target, fuzz_one(&fuzz, &programs, target, share)?));
    }
    println!(
        "\n{:<16} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}  crash",
        "target", "executions", "per s", "per cpu s", "coverage", "features", "corpus", "seconds"
    );
    for (target, row) in &rows {
        let seconds = row.time.as_secs_f64();
        // On a busy machine the time that passes says nothing about a target.
        let per_cpu = row.processor.filter(|time| !time.is_zero());
        let per_cpu = per_cpu.map(|time| row.executions as f64 / time.as_secs_f64());
        println!(
            "{target:<16} {:>12} {:>9.0} {:>9} {:>9} {:>9} {:>9} {seconds:>8.0}  {}",
            row.executions,
            row.executions as f64 / seconds,
            per_cpu.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}")),
            row.coverage,
            row.features,
            row.corpus,
            row.crash.as_deref().unwrap_or("no")
        );
    }
    let all = rows.iter().map(|(_, row)| row.executions).sum::<u64>();
    println!("{:<16} {all:>12}", "all");
    match rows.iter().filter(|(_, row)| row.crash.is_some()).count() {
        0 => Ok(()),
        n => Err(format!(
            "{n} targets crashed; their inputs are in fuzz/artifacts"
        )),
    }
}

/// What has to be there, and how to get it.
fn check_tools() -> Result<(), String> {
    let needs = [
        (
            &["+nightly", "--version"][..],
            "a nightly compiler",
            "rustup toolchain install nightly",
        ),
        (
            &["+nightly", "fuzz", "--version"],
            "cargo-fuzz",
            "cargo install cargo-fuzz",
        ),
    ];
    for (args, what, remedy) in needs {
        let mut asked = Command::new("cargo");
        let asked = asked.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        if !asked.status().is_ok_and(|status| status.success()) {
            return Err(format!("fuzzing needs {what}; get it with `{remedy}`"));
        }
    }
    Ok(())
}

/// Builds all targets; the folder with their programs.
fn build(fuzz: &Path) -> Result<PathBuf, String> {
    check_tools()?;
    let status = Command::new("cargo")
        .args(["+nightly", "fuzz", "build", "--fuzz-dir"])
        .arg(fuzz)
        .status()
        .map_err(|error| format!("cannot run cargo fuzz: {error}"))?;
    if !status.success() {
        return Err("the targets cannot be built, as told above".into());
    }
    let target = fuzz.join("target");
    let entries =
        std::fs::read_dir(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    // The one folder that is named by the host.
    let mut releases = entries.flatten().map(|e| e.path().join("release"));
    let program = targets(fuzz)?.swap_remove(0);
    releases
        .find(|release| release.join(&program).is_file())
        .ok_or_else(|| format!("no programs in {}", target.display()))
}

fn targets(fuzz: &Path) -> Result<Vec<String>, String> {
    let dir = fuzz.join("fuzz_targets");
    let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|e| stem(e.path())).collect();
    names.sort();
    Ok(names)
}

/// What a target's runs printed last.
#[derive(Debug, Default)]
struct Row {
    executions: u64,
    coverage: String,
    features: String,
    corpus: String,
    time: Duration,
    /// Time of the processor, where the system tells it.
    processor: Option<Duration>,
    /// Name of the input.
    crash: Option<String>,
}

fn fuzz_one(fuzz: &Path, programs: &Path, target: &str, share: Duration) -> Result<Row, String> {
    // Inputs that are found go to a folder of their own: the named corpus stays small.
    let found = steps::root().join("target/fuzz-corpus").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let program = programs.join(target);
    let mut row = Row::default();
    while row.crash.is_none() && row.time < share {
        let left = (share - row.time).as_secs().max(1);
        let (begin, before) = (Instant::now(), children_time());
        let output = libfuzzer(&program)
            .arg(&found)
            .arg(fuzz.join("corpus").join(target))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(format!("-max_total_time={left}"))
            .arg(format!("-max_len={MAX_LEN}"))
            .arg("-print_final_stats=1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        row.time += begin.elapsed();
        let used = children_time()
            .zip(before)
            .map(|(now, before)| now.saturating_sub(before));
        row.processor = used.map(|used| used + row.processor.unwrap_or_default());
        let text = String::from_utf8_lossy(&output.stderr);
        row.note(&text);
        if output.status.success() {
            break;
        }
        let input = after(&text, "Test unit written to ").unwrap_or_default();
        // A program that was stopped for a while, as by a laptop's lid, looks like one that hangs.
        let stood_still = input.contains("/timeout-")
            && libfuzzer(&program)
                .arg(&input)
                .output()
                .is_ok_and(|again| again.status.success());
        if stood_still {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        let end = &lines[lines.len().saturating_sub(SHOWN)..];
        eprintln!("{}", end.join("\n"));
        let name = Path::new(&input).file_name();
        let named = name.map(|name| name.to_string_lossy().into_owned());
        row.crash = Some(named.unwrap_or_else(|| "yes".into()));
    }
    Ok(row)
}

/// Time of the processor that programs which have ended took, those of the user and of the system for them;
/// `None` where there is no Linux to tell it.
fn children_time() -> Option<Duration> {
    /// Clock ticks in a second, as `/proc` has them on every architecture.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, which may have blanks, stands in brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    // `cutime` and `cstime`, the 16th and the 17th, of which two stand before the bracket's end.
    let times = fields.split_whitespace().skip(13).take(2);
    let ticks = times.map(|field| field.parse::<f64>().ok());
    Some(Duration::from_secs_f64(ticks.sum::<Option<f64>>()? / TICKS))
}

fn libfuzzer(program: &Path) -> Command {
    let mut command = Command::new(program);
    // As cargo-fuzz sets it: crates that are linked twice are no fault.
    command
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .arg(format!("-timeout={INPUT_TIMEOUT}"))
        .arg(format!("-rss_limit_mb={MEMORY_LIMIT}"))
        .arg(format!("-malloc_limit_mb={MEMORY_LIMIT}"));
    command
}

/// The word behind the last `key`.
fn after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once(key)?;
    Some(rest.split_whitespace().next()?.to_owned())
}

impl Row {
    fn note(&mut self, text: &str) {
        let executions = after(text, "stat::number_of_executed_units:");
        self.executions += executions.and_then(|n| n.parse().ok()).unwrap_or(0);
        for (key, field) in [
            ("cov: ", &mut self.coverage),
            ("ft: ", &mut self.features),
            ("corp: ", &mut self.corpus),
        ] {
            if let Some(value) = after(text, key) {
                *field = value;
            }
        }
    }
}
