//! Instruction counts of fixed work, compared with the committed ones.
//!
//! Counts do not depend on load, so they can gate where times cannot. They do depend on the compiler:
//! when it is another one than that of the baseline, differences are told but fail nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::steps;

const BASELINE: &str = "benches/instructions.toml";
/// The program, and the function in which callgrind counts.
const PROGRAM: &str = "canter-count";
const COUNTED: &str = "--toggle-collect=*canter_count*measured*";
/// More instructions than this part above the baseline are a failure.
const TOLERANCE: f64 = 0.03;
const HEAD: &str = "\
# Instructions of the workloads of benches/src/bin/canter-count, counted by callgrind. Written by
# `cargo xtask instructions --bless`; CI fails when a count grows by more than 3 %.

";

/// glibc picks its copying functions by the processor; with these left out it picks the same ones
/// on every x86-64.
const SAME_COPIES: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM";

/// Options of `cargo xtask instructions`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Write the counts into the baseline
    #[arg(long)]
    bless: bool,
    /// Only workloads in whose name this occurs
    #[arg(long, value_name = "WORD", conflicts_with = "bless")]
    only: Option<String>,
}

/// The committed counts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Baseline {
    /// What the counts were made with.
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

/// Counts, compares, and fails when something has become worse.
///
/// # Errors
/// Says what has become worse, or what is missing here.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    if !can() {
        return Err("valgrind is needed (Debian: apt-get install valgrind)".into());
    }
    let program = build()?;
    let compiler = compiler()?;
    let listed = output(&mut Command::new(&program))?;
    let wanted = |name: &&str| (options.only.as_ref()).is_none_or(|word| name.contains(word));
    let mut counted = BTreeMap::new();
    for name in listed.lines().filter(wanted) {
        counted.insert(name.to_owned(), count(&program, name)?);
    }
    let file = steps::root().join(BASELINE);
    let baseline = match load(&file) {
        Err(reason) if !options.bless => return Err(reason),
        loaded => loaded.unwrap_or_default(),
    };
    let worse = compare(&baseline.instructions, &counted);
    if options.bless {
        return save(&file, compiler, counted);
    }
    if compiler != baseline.compiler {
        println!(
            "This is {compiler}, the baseline is of {}: counts of two compilers cannot be compared, so nothing fails. \
             Please bless a baseline with this one: cargo xtask instructions --bless",
            baseline.compiler
        );
        return Ok(());
    }
    match worse.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{} more than {:.0} % above {BASELINE}; see where with \
             `callgrind_annotate target/instructions/NAME.out`; if the price is right: \
             cargo xtask instructions --bless",
            worse.join(", "),
            TOLERANCE * 100.0
        )),
    }
}

/// Whether this machine can count.
pub(crate) fn can() -> bool {
    output(Command::new("valgrind").arg("--version")).is_ok()
}

fn build() -> Result<PathBuf, String> {
    let args = [
        "build",
        // The code of a release, with the symbols by which callgrind knows where to count.
        "--profile",
        "profiling",
        "--quiet",
        "-p",
        "ca-bench",
        "--bin",
        PROGRAM,
    ];
    steps::run(&mut steps::cargo(&args))?;
    Ok(steps::target().join("profiling").join(PROGRAM))
}

/// Version and host of the compiler.
fn compiler() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = output(Command::new(rustc).arg("-vV"))?;
    let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let version = text.lines().next().unwrap_or_default();
    let host = of("host: ").unwrap_or("an unknown host");
    Ok(format!("{version} on {host}"))
}

fn count(program: &Path, name: &str) -> Result<u64, String> {
    let file = steps::root()
        .join("target/instructions")
        .join(format!("{}.out", name.replace('/', "-")));
    steps::make_parent(&file)?;
    // The environment lies on the stack, whose address seeds the hash maps.
    let mut valgrind = Command::new("valgrind");
    let path = std::env::var_os("PATH").unwrap_or_default();
    valgrind.env_clear().env("PATH", path);
    valgrind.env("GLIBC_TUNABLES", SAME_COPIES);
    valgrind
        .args(["--tool=callgrind", "--collect-atstart=no", COUNTED])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .arg(name);
    output(&mut valgrind)?;
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    match total {
        Some(0) | None => Err(format!("{name}: nothing was counted")),
        Some(total) => Ok(total),
    }
}

/// What a program prints.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{name} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn load(file: &Path) -> Result<Baseline, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{BASELINE}: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("{BASELINE}: {error}"))
}

fn save(file: &Path, compiler: String, instructions: BTreeMap<String, u64>) -> Result<(), String> {
    let baseline = Baseline {
        compiler,
        instructions,
    };
    let text = toml::to_string(&baseline).map_err(|error| error.to_string())?;
    steps::write(file, &format!("{HEAD}{text}"))?;
    println!("written: {BASELINE}");
    Ok(())
}

/// Prints a table and returns what has become worse. A workload without a baseline is: it would
/// otherwise never be compared.
fn compare(baseline: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Vec<String> {
    println!(
        "{:<26} {:>13} {:>13} {:>9}",
        "workload", "baseline", "now", "change"
    );
    let mut worse = Vec::new();
    for (name, &now) in counted {
        let Some(&before) = baseline.get(name) else {
            println!("{name:<26} {:>13} {now:>13}", "none");
            worse.push(format!("{name} (no baseline)"));
            continue;
        };
        let change = now as f64 / before.max(1) as f64 - 1.0;
        let worst = before as f64 * (1.0 + TOLERANCE);
        let is_worse = now as f64 > worst;
        let verdict = match change {
            _ if is_worse => "WORSE",
            c if c < -TOLERANCE => "better: bless it",
            _ => "",
        };
        println!(
            "{name:<26} {before:>13} {now:>13} {:>+8.2}% {verdict}",
            change * 100.0
        );
        if is_worse {
            worse.push(format!("{name} ({:+.1} %)", change * 100.0));
        }
    }
    worse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|&(name, n)| (name.to_owned(), n)).collect()
    }

    #[test]
    fn more_than_the_tolerance_is_worse() {
        let baseline = counts(&[("a", 1000), ("b", 1000), ("c", 1000)]);
        let counted = counts(&[("a", 1030), ("b", 1031), ("c", 500)]);
        assert_eq!(compare(&baseline, &counted), ["b (+3.1 %)"]);
    }

    #[test]
    fn a_workload_without_a_baseline_is_told() {
        let counted = counts(&[("new", 1)]);
        assert_eq!(compare(&BTreeMap::new(), &counted), ["new (no baseline)"]);
    }

    #[test]
    fn the_committed_baseline_can_be_read() {
        let baseline = load(&steps::root().join(BASELINE)).expect("it is there");
        assert!(baseline.instructions.values().all(|&count| count > 0));
    }
}
