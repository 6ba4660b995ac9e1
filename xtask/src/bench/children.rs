//! Child processes that end with us, whatever happens.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Those that live: a signal finds them here.
static ALIVE: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// The time of the whole run is up.
static OVER: AtomicBool = AtomicBool::new(false);

/// Kills our children, then ends, when we are interrupted or told to end. Should we be killed
/// without a chance to do so, servers end when their standard input is closed, and clients when
/// their time is up.
///
/// # Errors
/// Another handler is in place.
pub(crate) fn kill_on_signals() -> Result<(), String> {
    let handler = || {
        kill_all();
        std::process::exit(130);
    };
    ctrlc::set_handler(handler).map_err(|error| format!("signal handler: {error}"))
}

/// Kills our children after this time and starts none any more, so that a run ends with what it has
/// however slow its programs are.
pub(crate) fn kill_after(limit: Duration) {
    thread::spawn(move || {
        thread::sleep(limit);
        OVER.store(true, Ordering::Relaxed);
        kill_all();
    });
}

fn kill_all() {
    if let Ok(alive) = ALIVE.lock() {
        for &pid in alive.iter() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A child whose lines can be waited for. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it; what it complains about is not shown.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // The lock is held so that a signal between start and entry waits for the entry.
        let mut alive = ALIVE.lock().map_err(|_| "a thread has panicked")?;
        if OVER.load(Ordering::Relaxed) {
            return Err("out of time".into());
        }
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        alive.insert(child.id().cast_signed());
        drop(alive);
        let (tell, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if tell.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, lines })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Waits for a line that begins like this, and returns what follows.
    ///
    /// # Errors
    /// The child said `FAIL`, ended, or was silent for too long.
    pub(crate) fn line(&self, begin: &str, timeout: Duration) -> Result<String, String> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("no {begin} in {} s", timeout.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("ended without {begin}"));
                }
            };
            if let Some(rest) = line.strip_prefix(begin) {
                return Ok(rest.trim().to_owned());
            }
            if let Some(reason) = line.strip_prefix("FAIL ") {
                return Err(reason.to_owned());
            }
        }
    }

    /// Sends an empty line.
    pub(crate) fn go_on(&mut self) {
        if let Some(input) = &mut self.child.stdin {
            let _ = input.write_all(b"\n").and_then(|()| input.flush());
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, for so long.
    pub(crate) fn wait(mut self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.is_alive() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs a program without input and output to its end; the wall time, to the microsecond.
///
/// # Errors
/// It cannot be started, failed, or took too long and was killed.
pub(crate) fn timed(command: &mut Command, limit: Duration) -> Result<Duration, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let pid = child.id().cast_signed();
    let (tell, ended) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let status = child.wait();
        let _ = tell.send((start.elapsed(), status));
    });
    let outcome = ended.recv_timeout(limit);
    if outcome.is_err() {
        // It is not waited for yet, so the number is still its own.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = waiter.join();
    match outcome {
        Ok((took, Ok(status))) if status.success() => Ok(took),
        Ok((_, Ok(status))) => Err(format!("ended with {status}")),
        Ok((_, Err(error))) => Err(error.to_string()),
        Err(_) => Err(format!("not done after {} s", limit.as_secs())),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.pid();
        // Forgotten before it is waited for: afterwards the number may be somebody else's.
        let _ = self.child.kill();
        if let Ok(mut alive) = ALIVE.lock() {
            alive.remove(&pid);
        }
        let _ = self.child.wait();
    }
}
