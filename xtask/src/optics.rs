//! The optics of rings, by an independent code.

use std::path::{Path, PathBuf};
use std::{fs, process::Command};

use crate::{peers, steps};

/// Lets pyAT compute the references of ca-ring's tests anew and compares our optics with them.
///
/// # Errors
/// Something differs, or pyAT cannot be installed.
pub(crate) fn run() -> Result<(), String> {
    let root = steps::root();
    let home = root.join("target/optics");
    let python = peers::environment(&home, &root.join("tests/peers/optics-requirements.txt"))?;
    let made = home.join("references");
    fs::create_dir_all(&made).map_err(|error| format!("{}: {error}", made.display()))?;
    let mut judge = Command::new(python);
    judge
        .arg(root.join("tests/peers/optics_pyat.py"))
        .arg(&made)
        .args(lattices(&root)?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    steps::run(&mut judge)?;
    let mut command = steps::cargo(&["test", "-p", "ca-ring", "--test", "pyat"]);
    command
        .args(["--", "--nocapture"])
        .env("CANTER_OPTICS_REFERENCE", &made);
    steps::run(&mut command)
}

fn lattices(root: &Path) -> Result<Vec<PathBuf>, String> {
    let directory = root.join("ca-ring/tests/pyat");
    let entries = fs::read_dir(&directory);
    let entries = entries.map_err(|error| format!("{}: {error}", directory.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "lat"))
        .collect();
    paths.push(root.join("ca-ring/src/default.lat"));
    Ok(paths)
}
