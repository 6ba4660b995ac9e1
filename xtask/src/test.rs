//! All tests, with real EPICS at hand.

use std::path::Path;

use crate::{peers, steps};

/// How the tests are run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave out the tests that need real EPICS, which are then told as ignored: no Python environment is made
    #[arg(long)]
    no_peers: bool,
}

/// Runs the tests as steps of their own and prints a summary.
///
/// # Errors
/// Names the number of failed steps.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut all = steps::Steps::default();
    add(&mut all, options);
    all.finish()
}

/// Adds the test steps to a longer list.
pub(crate) fn add(all: &mut steps::Steps, options: &Options) {
    let mut python = None;
    if !options.no_peers {
        all.step("peers: real EPICS in target/peers", || {
            python = Some(peers::ensure()?);
            Ok(())
        });
    }
    let python = python.as_deref();
    all.step("tests of the crates", || {
        let crates = ["--workspace", "--exclude", "ca-tests", "--quiet", "--"];
        cargo_test(&crates, python)
    });
    // One at a time and with their output: they measure loopback traffic and print tables of what
    // each peer could do.
    all.step("loopback and interop tests (ca-tests)", || {
        cargo_test(
            &[
                "--package",
                "ca-tests",
                "--",
                "--nocapture",
                "--test-threads=1",
            ],
            python,
        )
    });
}

/// Runs tests; `args` ends among the arguments of the test programs.
fn cargo_test(args: &[&str], python: Option<&Path>) -> Result<(), String> {
    let mut command = steps::cargo(&["test"]);
    command.args(args);
    match python {
        // Tests that need peers are ignored elsewhere; here they fail if they find none.
        Some(python) => command
            .env(peers::VARIABLE, python)
            .arg("--include-ignored"),
        None => command.env_remove(peers::VARIABLE),
    };
    steps::run(&mut command)
}
