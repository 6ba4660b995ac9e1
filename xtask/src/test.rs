//! All tests, with real EPICS at hand.

use std::path::Path;

use crate::busy::Load;
use crate::{peers, steps};

/// How the tests are run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave out the tests that need real EPICS, which are then told as ignored: no Python environment is made
    #[arg(long)]
    no_peers: bool,
    /// Run busy programs beside the tests, two on every core: nothing may hang on how soon something
    /// runs.
    #[arg(long)]
    under_load: bool,
    /// Run the tests so many times in a row, or until a time fails.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
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
    if options.under_load {
        // So that the load is beside the tests, not beside the compiler.
        all.step("building the tests", || {
            cargo_test(
                &[
                    "--workspace",
                    "--features=canter/world",
                    "--no-run",
                    "--quiet",
                    "--",
                ],
                None,
            )
        });
    }
    for time in 1..=options.times {
        let suffix = match options.times {
            1 => String::new(),
            times => format!(", {time} of {times}"),
        };
        once(all, options, python.as_deref(), &suffix);
        if all.has_failed() {
            break;
        }
    }
}

/// Needs 2 GiB of memory and minutes, and writes a table of the documents: run by hand, as its file says.
const MEASURED_BY_HAND: &str = "attacks_hold_what_the_documents_say_with_the_defaults";

fn once(all: &mut steps::Steps, options: &Options, python: Option<&Path>, suffix: &str) {
    let beside = |args: &[&str]| {
        let mut load = options.under_load.then(Load::start).transpose()?;
        cargo_test(args, python)?;
        load.as_mut().map_or(Ok(()), Load::check)
    };
    all.step(&format!("tests of the crates{suffix}"), || {
        beside(&[
            "--workspace",
            "--exclude",
            "ca-tests",
            "--features=canter/world",
            "--quiet",
            "--",
            "--skip",
            MEASURED_BY_HAND,
        ])
    });
    // One at a time and with their output: they measure loopback traffic and print tables of what
    // each peer could do.
    all.step(
        &format!("loopback and interop tests (ca-tests){suffix}"),
        || {
            beside(&[
                "--package",
                "ca-tests",
                "--",
                "--nocapture",
                "--test-threads=1",
            ])
        },
    );
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
