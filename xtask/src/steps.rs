//! Running commands as named steps, with a heading and the time that each of them took.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The repository's root directory.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command of the cargo that runs this program, started in the repository's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end.
///
/// # Errors
/// Says why the command did not start, or how it ended if not well.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(error) => Err(format!("cannot run {name}: {error}")),
    }
}

/// Makes the folder that a file is to lie in.
///
/// # Errors
/// Names the folder.
pub(crate) fn make_parent(file: &Path) -> Result<(), String> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Writes a file, and its folder if need be.
///
/// # Errors
/// Names the file.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), String> {
    make_parent(file)?;
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// What was run so far. A failed step does not keep later ones from running, so that one run
/// reports all there is to mend.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, Result<(), String>)>,
}

impl Steps {
    /// Prints the heading, does the work and notes how it went.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<(), String>) {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = work();
        let took = start.elapsed();
        match &outcome {
            Ok(()) => println!("<== {name}: ok, {:.1} s", took.as_secs_f64()),
            Err(reason) => println!("<== {name}: FAILED, {:.1} s: {reason}", took.as_secs_f64()),
        }
        self.done.push((name.to_owned(), took, outcome));
    }

    /// True if a step has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.done.iter().any(|step| step.2.is_err())
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// Names the number of failed steps.
    pub(crate) fn finish(self) -> Result<(), String> {
        println!("\nSummary");
        for (name, took, outcome) in &self.done {
            let verdict = if outcome.is_ok() { "ok    " } else { "FAILED" };
            println!("  {verdict} {:7.1} s  {name}", took.as_secs_f64());
        }
        match self.done.iter().filter(|step| step.2.is_err()).count() {
            0 => Ok(()),
            failed => Err(format!("{failed} of {} steps failed", self.done.len())),
        }
    }
}
