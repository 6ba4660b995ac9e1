//! Models of threads: locks, atomics and threads of client and IOC are those of shuttle.

use std::process::Command;

use crate::steps;

/// Builds the models apart from everything else, as their locks do not work in a program, and runs them.
///
/// # Errors
/// When a model fails; it has printed how to repeat that.
pub(crate) fn run() -> Result<(), String> {
    steps::run(&mut test(&["-p", "ca-net", "--lib", "models"]))?;
    steps::run(&mut test(&["-p", "ca-client", "--lib", "models"]))?;
    steps::run(&mut test(&[
        "-p",
        "ca-server-sim",
        "--features",
        "net",
        "--lib",
        "models",
    ]))?;
    steps::run(&mut test(&["-p", "ca-testkit", "--test", "models"]))
}

fn test(args: &[&str]) -> Command {
    let mut test = steps::cargo(&["test", "--quiet"]);
    test.args(args)
        .env("CARGO_TARGET_DIR", steps::target().join("shuttle"))
        .env("RUSTFLAGS", "--cfg shuttle");
    test
}
