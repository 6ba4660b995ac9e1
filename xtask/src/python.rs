//! The wheel of `canter-py`: built, installed in `target/python`, tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::{interpreters, peers, steps, together};

/// Most that the wheel may have, when it is built for release.
const MAX_WHEEL_BYTES: u64 = 6_000_000;

/// Options of `cargo xtask python`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Build as for a release, and hold the wheel to its size
    #[arg(long)]
    release: bool,
    /// Only build the wheel, in target/wheels
    #[arg(long)]
    build_only: bool,
    /// Leave the machine's other Pythons out
    #[arg(long)]
    pub(crate) one_python: bool,
    /// What pytest is to do: `-k name`, `-x`, a file of canter-py/tests
    #[arg(last = true)]
    pytest: Vec<String>,
}

/// Peers of the benchmark, each left out where it cannot be installed.
const PEERS: [&str; 3] = ["pyepics==3.5.10", "aioca==2.1", "repics==0.3.0"];

/// Builds the wheel and runs its tests; those that need real EPICS only with its environment.
///
/// # Errors
/// Says which command failed, or that the wheel is too large.
pub(crate) fn run(options: &Options, real_epics: Option<&Path>) -> Result<(), String> {
    let home = steps::target().join("python");
    let requirements = steps::root().join("canter-py/tests/requirements.txt");
    let python = peers::environment(&home, &requirements)?;
    let wheel = build(&python, options.release)?;
    let bytes = fs::metadata(&wheel)
        .map_err(|error| error.to_string())?
        .len();
    println!("{}: {:.1} MB", wheel.display(), bytes as f64 / 1e6);
    if options.release && bytes > MAX_WHEEL_BYTES {
        return Err(format!(
            "the wheel has {bytes} bytes, more than {MAX_WHEEL_BYTES}"
        ));
    }
    if options.build_only {
        return Ok(());
    }
    install(&python, &wheel)?;
    let mut test = pytest(&python);
    match options.pytest.as_slice() {
        [] => side_by_side(&mut test),
        chosen => test.args(chosen),
    };
    if let Some(python) = real_epics {
        test.env(peers::VARIABLE, python);
    }
    steps::run(&mut test)?;
    match options.pytest.is_empty() && !options.one_python {
        true => on_the_others(&python, &wheel),
        false => Ok(()),
    }
}

/// The tests, without real EPICS.
fn pytest(python: &Path) -> Command {
    let mut test = Command::new(python);
    test.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .current_dir(steps::root().join("canter-py"))
        .env_remove(peers::VARIABLE);
    test
}

/// Several files at once: most of their time is that of IOCs that fall silent and come back, and of programs that start.
fn side_by_side(test: &mut Command) -> &mut Command {
    let workers = (2 * together::cores()).to_string();
    test.args(["-n", &workers, "--dist", "loadfile"])
}

/// What of the tests other interpreters run: what is made for each version of Python anew, rather than in Rust.
const ON_OTHERS: [&str; 6] = [
    "tests/test_native.py",
    "tests/test_aio.py",
    "tests/test_arrays.py",
    "tests/test_life.py",
    "tests/test_sim.py",
    "tests/test_epics.py",
];

/// The same wheel on every other CPython that the machine has.
fn on_the_others(python: &Path, wheel: &Path) -> Result<(), String> {
    let requirements = steps::root().join("canter-py/tests/requirements-others.txt");
    for (version, system) in interpreters::others(python)? {
        println!("on CPython {version}, {}", system.display());
        let home = steps::target().join(format!("python-{version}"));
        // One may lack venv, or a package have no build for it yet: that says nothing of the wheel.
        let python = match peers::environment_of(system.as_os_str(), &home, &requirements) {
            Ok(python) => python,
            Err(error) => {
                println!("LEFT OUT: CPython {version} has no environment for tests: {error}");
                continue;
            }
        };
        install(&python, wheel)?;
        let mut test = pytest(&python);
        side_by_side(&mut test).args(ON_OTHERS);
        steps::run(&mut test).map_err(|error| format!("on CPython {version}: {error}"))?;
    }
    Ok(())
}

/// Measures clients in Python beside each other, on one simulated IOC, in so many rounds; with `book` the tables go
/// into the page on performance, too.
///
/// # Errors
/// Says which command failed; peers that cannot be installed are named and left out.
pub(crate) fn bench(rounds: usize, book: bool) -> Result<(), String> {
    let home = steps::target().join("python");
    let requirements = steps::root().join("canter-py/tests/requirements.txt");
    let python = peers::environment(&home, &requirements)?;
    install(&python, &build(&python, true)?)?;
    for peer in PEERS {
        let installed = steps::run(pip(&python).arg(peer));
        if let Err(error) = installed {
            eprintln!("bench: {peer} is skipped: {error}");
        }
    }
    let mut bench = Command::new(&python);
    bench.arg(steps::root().join("canter-py/benches/w9.py"));
    bench.args(["--rounds", &rounds.to_string()]);
    if book {
        let page = steps::root().join("docs/src/performance.md");
        bench.arg("--book").arg(page);
    }
    steps::run(&mut bench)
}

fn pip(python: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.arg("--disable-pip-version-check");
    pip
}

fn install(python: &Path, wheel: &Path) -> Result<(), String> {
    let mut install = pip(python);
    install.args(["--force-reinstall", "--no-deps"]).arg(wheel);
    steps::run(&mut install)
}

fn build(python: &Path, release: bool) -> Result<PathBuf, String> {
    let wheels = steps::target().join("wheels");
    let started = SystemTime::now();
    let mut build = Command::new(python);
    build
        .args(["-m", "maturin", "build", "--quiet", "--out"])
        .arg(&wheels);
    build.args(["--profile", if release { "release" } else { "dev" }]);
    build.current_dir(steps::root().join("canter-py"));
    steps::run(&mut build)?;
    let is_new = |file: &PathBuf| {
        let written = fs::metadata(file).and_then(|it| it.modified());
        file.extension().is_some_and(|it| it == "whl") && written.is_ok_and(|it| it >= started)
    };
    let files = fs::read_dir(&wheels).map_err(|error| format!("{}: {error}", wheels.display()))?;
    let mut files = files.flatten().map(|it| it.path());
    files
        .find(is_new)
        .ok_or_else(|| format!("no new wheel in {}", wheels.display()))
}
