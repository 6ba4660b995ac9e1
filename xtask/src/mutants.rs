//! Deliberate bugs, planted one by one in a copy of the sources: does the World notice?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::steps;

/// The bugs, relative to the root of the repository.
const LIST: &str = "ca-testkit/mutants.toml";
/// The copy of the sources and what is built from it.
const COPY: &str = "target/mutants";
/// Time after which stories that do not end count as noticed.
const PATIENCE: Duration = Duration::from_secs(600);

/// Which bugs, and how long to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Stories told before a bug counts as not noticed
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// Only bugs whose description contains one of these texts
    only: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct List {
    mutant: Vec<Mutant>,
}

#[derive(Debug, Deserialize)]
struct Mutant {
    /// What does not work any more.
    breaks: String,
    file: PathBuf,
    /// Stands once in the file.
    find: String,
    replace: String,
}

#[derive(Debug)]
enum Verdict {
    /// The promise that was broken.
    Caught(String),
    Survived,
    /// It cannot be planted or does not compile.
    Broken(String),
}

/// Plants every bug and prints a table.
///
/// # Errors
/// Names how many were not noticed or could not be planted.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let root = steps::root();
    let text = fs::read_to_string(root.join(LIST)).map_err(|e| format!("{LIST}: {e}"))?;
    let list: List = toml::from_str(&text).map_err(|e| format!("{LIST}: {e}"))?;
    let source = root.join(COPY).join("source");
    copy_sources(&root, &source)?;
    println!("==> without a bug");
    match judge(&source, options.seeds) {
        Verdict::Survived => {}
        other => return Err(format!("the sources fail without a bug: {other:?}")),
    }
    let wanted = |mutant: &&Mutant| {
        let only = &options.only;
        only.is_empty() || only.iter().any(|only| mutant.breaks.contains(only))
    };
    let mut rows = Vec::new();
    for mutant in list.mutant.iter().filter(wanted) {
        let start = Instant::now();
        let verdict = plant(&source, mutant, options.seeds);
        let row = row(mutant, &verdict, start.elapsed());
        println!("{row}");
        rows.push((row, matches!(verdict, Verdict::Caught(_))));
    }
    println!("\n{} bugs", rows.len());
    for (row, _) in &rows {
        println!("{row}");
    }
    match rows.iter().filter(|(_, caught)| !caught).count() {
        0 => Ok(()),
        missed => Err(format!("{missed} of {} bugs were not noticed", rows.len())),
    }
}

fn row(mutant: &Mutant, verdict: &Verdict, took: Duration) -> String {
    let (word, how) = match verdict {
        Verdict::Caught(promise) => ("caught", promise.as_str()),
        Verdict::Survived => ("SURVIVED", ""),
        Verdict::Broken(why) => ("ERROR", why.as_str()),
    };
    let breaks = &mutant.breaks;
    let secs = took.as_secs_f64();
    format!("{word:<9} {secs:>6.1} s  {breaks}\n{:21}{how}", "")
}

/// Brings the copy in line with the tracked files; those that are equal keep their times, so that
/// little is built anew.
fn copy_sources(root: &Path, copy: &Path) -> Result<(), String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    let output = git.output().map_err(|e| format!("cannot run git: {e}"))?;
    let list = String::from_utf8_lossy(&output.stdout);
    let before = copy.with_extension("list");
    for path in fs::read_to_string(&before).unwrap_or_default().lines() {
        if !root.join(path).exists() {
            // It may be gone already.
            let _ = fs::remove_file(copy.join(path));
        }
    }
    for path in list.lines() {
        let (from, to) = (root.join(path), copy.join(path));
        let Ok(new) = fs::read(&from) else { continue };
        if fs::read(&to).ok().as_ref() != Some(&new) {
            write(&to, &new)?;
        }
    }
    write(&before, list.as_bytes())
}

fn write(path: &Path, data: &[u8]) -> Result<(), String> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, data))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn plant(source: &Path, mutant: &Mutant, seeds: u64) -> Verdict {
    let path = source.join(&mutant.file);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Verdict::Broken(format!("{}: {error}", mutant.file.display())),
    };
    let times = text.matches(&mutant.find).count();
    if times != 1 {
        let file = mutant.file.display();
        return Verdict::Broken(format!("its place stands {times} times in {file}"));
    }
    let bad = text.replacen(&mutant.find, &mutant.replace, 1);
    if let Err(error) = write(&path, bad.as_bytes()) {
        return Verdict::Broken(error);
    }
    let verdict = judge(source, seeds);
    match write(&path, text.as_bytes()) {
        Ok(()) => verdict,
        Err(error) => Verdict::Broken(error),
    }
}

/// Builds the copy and tells stories until one fails.
fn judge(source: &Path, seeds: u64) -> Verdict {
    let work = source.parent().unwrap_or(source);
    let cargo = |args: &[&str]| {
        let mut command = steps::cargo(&["test", "--quiet", "--package", "ca-testkit"]);
        command
            .args(["--no-default-features", "--test", "facility"])
            .args(args)
            .current_dir(source)
            .env("CARGO_TARGET_DIR", work.join("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CANTER_SEEDS", seeds.to_string())
            .env("CANTER_FIRST", "1")
            .env("RUST_BACKTRACE", "0");
        command
    };
    let build = cargo(&["--no-run"]).output();
    match build {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let error = text.lines().find(|line| line.starts_with("error"));
            return Verdict::Broken(error.unwrap_or("does not compile").to_owned());
        }
        Err(error) => return Verdict::Broken(format!("cannot run cargo: {error}")),
    }
    let log = work.join("stories.txt");
    let file = match fs::File::create(&log) {
        Ok(file) => file,
        Err(error) => return Verdict::Broken(format!("{}: {error}", log.display())),
    };
    let child = cargo(&["promises", "--", "--nocapture"])
        .stdout(file)
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Verdict::Broken(format!("cannot run cargo: {error}")),
    };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Verdict::Survived,
            Ok(Some(_)) => break,
            Ok(None) if start.elapsed() > PATIENCE => {
                // The stories run in a process of cargo's; both are told to end.
                let _ = child.kill();
                return Verdict::Caught("a story does not end".to_owned());
            }
            Ok(None) => thread::sleep(Duration::from_millis(50)),
            Err(error) => return Verdict::Broken(error.to_string()),
        }
    }
    let text = fs::read(&log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let promise = text.lines().find(|line| line.starts_with("seed "));
    let promise: String = promise
        .unwrap_or("the process ended")
        .chars()
        .take(150)
        .collect();
    Verdict::Caught(promise)
}
