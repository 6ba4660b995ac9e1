//! Load on real sockets: builds and runs `canter-soak`, `canter-siege`, `canter-scale` and, on a
//! virtual network, `canter-finding` of `benches`.

use std::ffi::OsString;

use crate::{peers, steps};

/// What the program is given; it has its own `--help`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Options of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs a program of `benches`, which is told where the real IOC is.
///
/// # Errors
/// As [`run`]; the real IOC cannot be installed.
pub(crate) fn run_beside_real(program: &str, options: &Options) -> Result<(), String> {
    let python = match std::env::var_os(peers::VARIABLE) {
        Some(python) => python.into(),
        None => peers::ensure()?,
    };
    build()?;
    let mut command = steps::cargo(&arguments(program));
    steps::run(command.args(&options.args).env(peers::VARIABLE, python))
}

/// Runs a program of `benches`, in release.
///
/// # Errors
/// What it wants shown is not so, or it did not run.
pub(crate) fn run(program: &str, options: &Options) -> Result<(), String> {
    build()?;
    steps::run(steps::cargo(&arguments(program)).args(&options.args))
}

fn arguments(program: &str) -> [&str; 7] {
    ["run", "--release", "-p", "ca-bench", "--bin", program, "--"]
}

fn build() -> Result<(), String> {
    // They run `canter ioc`.
    let programs = [
        "build",
        "--release",
        "-p",
        "canter",
        "-p",
        "ca-bench",
        "--bins",
    ];
    steps::run(&mut steps::cargo(&programs))
}
