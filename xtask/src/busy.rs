//! Busy programs beside the tests: this program once more, which takes time and does nothing.

use std::hint::black_box;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Busy programs for each core: a test has a third of one.
const EACH_CORE: usize = 2;
/// Time after which a busy program ends in any case.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// Turns of the loop between two looks at the clock.
const TURNS: u32 = 10_000_000;

/// Where a busy program runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The core that it stays on
    #[arg(long)]
    core: Option<usize>,
}

/// Is busy until standard input ends, which it does also when whoever started this was killed.
///
/// # Errors
/// There is no thread to watch standard input.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    if let Some(core) = options.core {
        stay_on(core);
    }
    let watch = || {
        let mut input = io::stdin().lock();
        // What cannot be read has ended.
        while input.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
        std::process::exit(0);
    };
    let watch = thread::Builder::new().spawn(watch);
    watch.map_err(|error| format!("cannot watch standard input: {error}"))?;
    let end = Instant::now() + LONGEST;
    while Instant::now() < end {
        for turn in 0..TURNS {
            black_box(turn);
        }
    }
    Ok(())
}

/// Busy programs, which end with this.
#[derive(Debug)]
pub(crate) struct Load(Vec<Child>);

impl Load {
    /// Starts them, on every core as many.
    ///
    /// # Errors
    /// Says why one does not start; those before it have ended then.
    pub(crate) fn start() -> Result<Self, String> {
        let fail = |error| format!("cannot start a busy program: {error}");
        let program = own_program().map_err(fail)?;
        let mut load = Self(Vec::new());
        for core in cores() {
            for _ in 0..EACH_CORE {
                let mut command = Command::new(&program);
                command.args(["busy", "--core", &core.to_string()]);
                command.stdin(Stdio::piped());
                load.0.push(command.spawn().map_err(fail)?);
            }
        }
        println!("{} busy programs beside", load.0.len());
        Ok(load)
    }

    /// Demands that they have been there all the time.
    ///
    /// # Errors
    /// How many have ended.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let all = self.0.len();
        let here = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_none());
        match self.0.iter_mut().map(here).filter(|&here| here).count() {
            here if here == all => Ok(()),
            here => Err(format!("{} of {all} busy programs have ended", all - here)),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Fails if it has ended by itself, which is as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The file of this program; building the tests may have put another one in its place.
fn own_program() -> io::Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok("/proc/self/exe".into()),
        false => std::env::current_exe(),
    }
}

/// The cores that this program may run on.
#[cfg(target_os = "linux")]
fn cores() -> Vec<usize> {
    use nix::sched::{CpuSet, sched_getaffinity};
    use nix::unistd::Pid;
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let cores = (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false));
    cores.collect()
}

#[cfg(not(target_os = "linux"))]
fn cores() -> Vec<usize> {
    (0..thread::available_parallelism().map_or(1, usize::from)).collect()
}

/// Without it the system shares the cores out by itself, about the same.
#[cfg(target_os = "linux")]
fn stay_on(core: usize) {
    use nix::sched::{CpuSet, sched_setaffinity};
    use nix::unistd::Pid;
    let mut set = CpuSet::new();
    if set.set(core).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

#[cfg(not(target_os = "linux"))]
fn stay_on(_core: usize) {}
