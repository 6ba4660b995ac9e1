//! Programs that run side by side, each with its output in one piece.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Programs for each core: those of the interop tests mostly wait for their peers.
const EACH_CORE: usize = 2;

/// Cores that this program may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs all of them, some at once; prints what each said when it has ended.
///
/// # Errors
/// A line for each that could not be run or did not end well.
pub(crate) fn run(commands: Vec<Command>) -> Result<(), String> {
    let waiting = Mutex::new(commands.into_iter());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.next()
    };
    let (ended, outcomes) = mpsc::channel();
    let mut failed = Vec::new();
    thread::scope(|scope| {
        for _ in 0..cores() * EACH_CORE {
            let ended = ended.clone();
            scope.spawn(move || {
                while let Some(mut command) = next() {
                    let start = Instant::now();
                    let output = command.stdin(Stdio::null()).output();
                    // The other end lives as long as this.
                    let _ = ended.send((command, output, start.elapsed()));
                }
            });
        }
        drop(ended);
        for (command, output, took) in outcomes {
            failed.extend(told(&command, output, took));
        }
    });
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("\n")),
    }
}

/// Prints what a program said; what was wrong with it.
fn told(command: &Command, output: io::Result<Output>, took: Duration) -> Option<String> {
    let name = command.get_program().to_string_lossy();
    println!("--- {name}, {:.1} s", took.as_secs_f64());
    let output = match output {
        Ok(output) => output,
        Err(error) => return Some(format!("cannot run {name}: {error}")),
    };
    // Nobody is told of what cannot be printed.
    let mut out = io::stdout().lock();
    let _ = out.write_all(&output.stdout);
    let _ = out.write_all(&output.stderr);
    let _ = out.flush();
    match output.status.success() {
        true => None,
        false => Some(format!("{name} ended with {}", output.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_run_and_all_that_fail_are_told() {
        let all = [
            &["--version"][..],
            &["--no-such-option"],
            &["--version"],
            &["no-such-command"],
        ];
        let cargo = |args: &&[&str]| {
            let mut command = Command::new(env!("CARGO"));
            command.args(*args);
            command
        };
        let mut commands: Vec<Command> = all.iter().map(cargo).collect();
        assert_eq!(run(all[..1].iter().map(cargo).collect()), Ok(()));
        commands.push(Command::new("there-is-no-such-program"));
        let mut failed: Vec<String> = run(commands)
            .unwrap_err()
            .lines()
            .map(ToOwned::to_owned)
            .collect();
        failed.sort_unstable();
        assert_eq!(failed.len(), 3, "{failed:?}");
        assert!(
            failed
                .iter()
                .any(|line| line.starts_with("cannot run there-is-no-such-program"))
        );
        assert_eq!(run(Vec::new()), Ok(()));
    }
}
