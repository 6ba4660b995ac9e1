//! W8: commands that connect, read, print and end.

use std::process::Command;
use std::time::Duration;

use super::children::timed;
use super::plan::{Case, Client};
use super::programs::Programs;
use super::results::Sample;
use super::servers::isolate;

/// Runs of one sample: the median of a few is steadier than a single one.
const RUNS: usize = 15;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Wall time from the start of the process to its end.
///
/// # Errors
/// The program cannot be started, or failed.
pub(crate) fn run(programs: &Programs, case: &Case, pvs: u64, port: u16) -> Result<Sample, String> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let mut command = command(programs, case)?;
        command.args((0..pvs).map(|n| format!("B:{n}")));
        isolate(&mut command, port);
        times.push(timed(&mut command, TIMEOUT)?.as_secs_f64());
    }
    times.sort_unstable_by(f64::total_cmp);
    let mut sample = Sample::default();
    sample.set("ops", 1.0);
    sample.set("secs", times[RUNS / 2]);
    sample.set("max_us", times[RUNS - 1] * 1e6);
    Ok(sample)
}

fn command(programs: &Programs, case: &Case) -> Result<Command, String> {
    let program = match case.client {
        Client::Ours => Some(programs.canter.as_path()),
        _ => programs.client(case),
    };
    let mut command = Command::new(program.ok_or("the client is not here")?);
    command.arg(if case.client == Client::Ours {
        "get"
    } else {
        "once"
    });
    Ok(command)
}
