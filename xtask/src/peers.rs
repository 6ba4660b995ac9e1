//! The Python environment that holds real EPICS: `target/peers`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps;

/// Names the interpreter to the interop tests, which are ignored without it.
pub(crate) const VARIABLE: &str = "CANTER_PEERS_PYTHON";

const MISSING_VENV: &str = "Python 3 with its venv and pip modules is needed \
     (Debian: apt-get install python3-venv; or set PYTHON to an interpreter that has them)";

/// Makes the environment if it is missing or not up to date, and returns its interpreter.
///
/// # Errors
/// Says what is missing on this machine, or which command failed.
pub(crate) fn ensure() -> Result<PathBuf, String> {
    let requirements = steps::root().join("tests/peers/requirements.txt");
    environment(&steps::root().join("target/peers"), &requirements)
}

/// Makes a Python environment with what a file asks for, if it is missing or not up to date, and returns
/// its interpreter.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn environment(home: &Path, requirements: &Path) -> Result<PathBuf, String> {
    let system = std::env::var_os("PYTHON").unwrap_or_else(|| system_python().into());
    environment_of(&system, home, requirements)
}

/// As [`environment`], of an interpreter.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn environment_of(
    system: &OsStr,
    home: &Path,
    requirements: &Path,
) -> Result<PathBuf, String> {
    let wanted = fs::read_to_string(requirements)
        .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    let stamp = home.join("canter-requirements.txt");
    let python = interpreter(home);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && works(&python) {
        return Ok(python);
    }
    install(system, home, &python, requirements)?;
    // Written last: an interrupted installation is repeated.
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write the stamp: {error}"))?;
    Ok(python)
}

fn install(system: &OsStr, home: &Path, python: &Path, requirements: &Path) -> Result<(), String> {
    eprintln!("making {}", home.display());
    let mut venv = Command::new(system);
    venv.args(["-m", "venv", "--clear"]).arg(home);
    steps::run(to_stderr(&mut venv)).map_err(|error| format!("{error}\n{MISSING_VENV}"))?;
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ])
    .arg(requirements);
    steps::run(to_stderr(&mut pip)).map_err(|error| format!("pip install: {error}"))
}

/// Keeps standard output for the one line that callers read: the interpreter's path.
fn to_stderr(command: &mut Command) -> &mut Command {
    command.stdout(std::io::stderr())
}

fn works(python: &Path) -> bool {
    Command::new(python)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn system_python() -> &'static str {
    if cfg!(windows) { "python" } else { "python3" }
}

fn interpreter(home: &Path) -> PathBuf {
    if cfg!(windows) {
        home.join("Scripts/python.exe")
    } else {
        home.join("bin/python")
    }
}
