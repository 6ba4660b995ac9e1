//! Line coverage of `ca-proto` by its own tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::steps;

/// How the coverage is judged.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Lines in percent that have to be executed
    #[arg(long, default_value_t = LEAST)]
    least: f64,
    /// Print the text of the lines that are not executed, too
    #[arg(long)]
    missing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            least: LEAST,
            missing: false,
        }
    }
}

/// Lines in percent that CI asks for.
const LEAST: f64 = 95.0;

/// Versions of LLVM whose tools are looked for under their own names, newest first. Older ones
/// cannot read what the compiler writes.
const VERSIONS: std::ops::RangeInclusive<u32> = 19..=30;
/// Files that are no part of the library: tests, dependencies, the compiler's own.
const IGNORED: &str = "(/tests/|/tests\\.rs|/registry/|/rustc/)";

#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
    totals: Summary,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Deserialize)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn percent(&self) -> f64 {
        if self.count == 0 {
            100.0
        } else {
            self.covered as f64 * 100.0 / self.count as f64
        }
    }
}

/// Builds and runs the tests with counters and prints a table of the library's files.
///
/// # Errors
/// If the tools are missing, a test fails, or too few lines are executed.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let target = steps::root().join("target/coverage");
    let profiles = target.join("profiles");
    if profiles.exists() {
        std::fs::remove_dir_all(&profiles)
            .map_err(|error| format!("{}: {error}", profiles.display()))?;
    }
    let tests = build(&target)?;
    for test in &tests {
        let mut run = Command::new(test);
        run.arg("--quiet")
            .current_dir(steps::root().join("ca-proto"))
            .env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"));
        steps::run(&mut run)?;
    }
    let merged = target.join("merged.profdata");
    let cov = merge(&profiles, &merged)?;
    let show = |command: &str| {
        let mut show = Command::new(&cov);
        show.arg(command)
            .arg(format!("-instr-profile={}", merged.display()))
            .arg(format!("-ignore-filename-regex={IGNORED}"));
        for test in &tests {
            show.arg("-object").arg(test);
        }
        show
    };
    let shown = output(&mut show("show"))?;
    if options.missing {
        for (file, line, text) in missing(&shown) {
            println!("{file}:{line}: {text}");
        }
    }
    let text = output(show("export").arg("-summary-only"))?;
    let export: Export = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let data = export.data.first().ok_or("llvm-cov says nothing")?;
    table(data);
    short(&shown);
    let percent = data.totals.lines.percent();
    if percent < options.least {
        return Err(format!(
            "{percent:.2} % of the lines are executed, {} % have to be",
            options.least
        ));
    }
    Ok(())
}

/// The test programs, built with counters.
fn build(target: &Path) -> Result<Vec<PathBuf>, String> {
    let mut build = steps::cargo(&["test", "-p", "ca-proto", "--tests", "--no-run"]);
    build
        .arg("--message-format=json")
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "-C instrument-coverage")
        // Build scripts are counted, too.
        .env("LLVM_PROFILE_FILE", target.join("build.profraw"));
    let text = output(&mut build)?;
    let artifacts = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let tests: Vec<_> = artifacts
        .filter_map(|artifact| artifact.executable)
        .collect();
    if tests.is_empty() {
        return Err("cargo has built no tests".into());
    }
    Ok(tests)
}

fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} ended with {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether there are tools to read counters with; they may be too old for this compiler.
pub(crate) fn can() -> bool {
    tools().is_ok_and(|tools| {
        tools.iter().any(|(profdata, _)| {
            let mut version = Command::new(profdata);
            version.arg("--version").stdout(Stdio::null());
            let status = version.stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        })
    })
}

/// Names that `llvm-profdata` and `llvm-cov` may have, the likeliest first.
fn tools() -> Result<Vec<(OsString, OsString)>, String> {
    let mut tools: Vec<(OsString, OsString)> = Vec::new();
    let sysroot = output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    // The component `llvm-tools` of rustup.
    if let Some(folder) = Path::new(sysroot.trim())
        .parent()
        .map(|lib| lib.join("bin"))
    {
        let tool = |name: &str| folder.join(name).into_os_string();
        tools.push((tool("llvm-profdata"), tool("llvm-cov")));
    }
    tools.extend(VERSIONS.rev().map(|version| {
        let tool = |name: &str| OsString::from(format!("{name}-{version}"));
        (tool("llvm-profdata"), tool("llvm-cov"))
    }));
    tools.push(("llvm-profdata".into(), "llvm-cov".into()));
    Ok(tools)
}

/// Merges the counters with the first tools that understand them; the `llvm-cov` beside those.
fn merge(profiles: &Path, merged: &Path) -> Result<OsString, String> {
    for (profdata, cov) in tools()? {
        let status = Command::new(&profdata)
            .args(["merge", "-sparse"])
            .arg(profiles)
            .arg("-o")
            .arg(merged)
            .stderr(Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Ok(cov);
        }
    }
    Err("no llvm-profdata that reads what this compiler writes: \
         `rustup component add llvm-tools`, or apt-get install llvm-19 or newer"
        .into())
}

fn table(data: &Data) {
    println!(
        "{:<36} {:>7} {:>9} {:>9}",
        "file", "lines", "executed", "percent"
    );
    for file in &data.files {
        let name = file.filename.to_string_lossy();
        let name = name.split_once("/src/").map_or(&*name, |(_, name)| name);
        line(name, &file.summary.lines);
    }
    line("all", &data.totals.lines);
}

fn line(name: &str, lines: &Lines) {
    let Lines { count, covered } = lines;
    let percent = lines.percent();
    println!("{name:<36} {count:>7} {covered:>9} {percent:>9.2}");
}

/// The numbers of the lines that are not executed, a line of text for each file.
fn short(shown: &str) {
    let mut files: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
    for (file, line, _) in missing(shown) {
        let ranges = files.entry(file).or_default();
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => ranges.push((line, line)),
        }
    }
    println!("\nnot executed:");
    for (file, ranges) in files {
        let range = |(first, last): (u32, u32)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        let ranges: Vec<String> = ranges.into_iter().map(range).collect();
        println!("{file}: {}", ranges.join(", "));
    }
}

/// File, number and text of the lines that no instance of their function executes, from what `llvm-cov
/// show` prints for each instance: `  12|      0|text`.
fn missing(shown: &str) -> Vec<(&str, u32, &str)> {
    let mut lines = BTreeMap::new();
    let mut file = "";
    for line in shown.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| name.ends_with(".rs")) {
            file = name.split_once("/src/").map_or(name, |(_, name)| name);
        }
        let mut columns = line.splitn(3, '|');
        if let (Some(number), Some(count), Some(text)) =
            (columns.next(), columns.next(), columns.next())
            && let Ok(number) = number.trim().parse()
            && !count.trim().is_empty()
        {
            let (executed, _) = lines.entry((file, number)).or_insert((false, text));
            *executed |= count.trim() != "0";
        }
    }
    let unexecuted = lines.into_iter().filter(|(_, (executed, _))| !executed);
    unexecuted
        .map(|((file, number), (_, text))| (file, number, text.trim_end()))
        .collect()
}
