//! Load on real sockets: builds and runs `canter-soak` and `canter-siege` of `benches`.

use std::ffi::OsString;

use crate::steps;

/// What the program is given; it has its own `--help`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Options of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs a program of `benches`, in release.
///
/// # Errors
/// What it wants shown is not so, or it did not run.
pub(crate) fn run(program: &str, options: &Options) -> Result<(), String> {
    // The siege runs `canter ioc`.
    let programs = [
        "build",
        "--release",
        "-p",
        "canter",
        "-p",
        "ca-bench",
        "--bins",
    ];
    steps::run(&mut steps::cargo(&programs))?;
    let run = ["run", "--release", "-p", "ca-bench", "--bin", program, "--"];
    steps::run(steps::cargo(&run).args(&options.args))
}
