//! Python programs with real EPICS in them: servers and clients of other implementations.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use crate::ports;

/// Names the interpreter; `cargo xtask test` sets it.
const VARIABLE: &str = "CANTER_PEERS_PYTHON";
/// Time a server has for its start.
const START: Duration = Duration::from_secs(60);
/// Time a peer has for its end after its standard input was closed.
const END: Duration = Duration::from_secs(2);
/// Time any peer lives at most, whatever becomes of its test; the peer itself sees to it.
const WATCHDOG: Duration = Duration::from_secs(480);
/// Starts of a server before the test gives up; another program may take its port.
const STARTS: u32 = 3;
/// Bytes of a peer's standard error that a message shows: its end.
const SHOWN: usize = 2000;

/// The Python interpreter with the peers.
#[derive(Clone, Debug)]
pub struct Python(OsString);

impl Python {
    /// The interpreter.
    ///
    /// # Errors
    /// Says how to get one, if there is none.
    pub fn find() -> Result<Self, String> {
        std::env::var_os(VARIABLE).map(Self).ok_or_else(|| {
            format!(
                "real EPICS is not set up here: `cargo xtask test` does that, and `cargo xtask peers` \
                 prints what {VARIABLE} has to be"
            )
        })
    }

    /// The interpreter for a test that is ignored where there are no peers: whoever asks for ignored
    /// tests wants them to be run.
    ///
    /// # Panics
    /// If there is none, with [`find`](Self::find)'s error.
    pub fn here() -> Self {
        Self::find().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The interpreter's path.
    pub fn program(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    /// With the peer's standard error, if it ends or is not ready in time.
    pub fn serve(&self, script: &str, prefix: &str, more: &[&str]) -> Result<Peer, PeerError> {
        self.retry(|| self.serve_at(script, ports::free_pair(), prefix, more))
    }

    /// As [`serve`](Self::serve), on the port of a server that was stopped.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_again(
        &self,
        script: &str,
        port: u16,
        prefix: &str,
        more: &[&str],
    ) -> Result<Peer, PeerError> {
        self.retry(|| self.serve_at(script, port, prefix, more))
    }

    fn retry(&self, start: impl Fn() -> Result<Peer, PeerError>) -> Result<Peer, PeerError> {
        let mut last = start();
        for _ in 1..STARTS {
            if last.is_ok() {
                break;
            }
            last = start();
        }
        last
    }

    fn serve_at(
        &self,
        script: &str,
        port: u16,
        prefix: &str,
        more: &[&str],
    ) -> Result<Peer, PeerError> {
        let peer = self.start(script, port, prefix, more)?;
        match peer.line(Instant::now() + START) {
            Some(line) if line == "READY" => Ok(peer),
            Some(line) => Err(peer.error(&format!("says {line:?} instead of READY"))),
            None => Err(peer.error("is not ready in time")),
        }
    }

    /// Starts a script without waiting for anything.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        &self,
        script: &str,
        port: u16,
        prefix: &str,
        more: &[&str],
    ) -> Result<Peer, PeerError> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut command = Command::new(&self.0);
        command
            .arg(folder.join(script))
            .args(["--port", &port.to_string(), "--prefix", prefix])
            .args(["--watchdog", &WATCHDOG.as_secs().to_string()])
            .args(more)
            // Compiled scripts do not belong into the source tree.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // The scripts isolate themselves; nothing of this process' settings must reach them.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EPICS_") {
                command.env_remove(name);
            }
        }
        let failed = |error: std::io::Error| PeerError {
            script: script.into(),
            what: format!("cannot be started: {error}"),
            stderr: String::new(),
        };
        Peer::new(script, port, command.spawn().map_err(failed)?)
    }
}

/// A running peer. It ends when this is dropped.
#[derive(Debug)]
pub struct Peer {
    script: String,
    port: u16,
    child: Child,
    /// Closing it asks the peer to end; the system closes it when this process dies.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

impl Peer {
    fn new(script: &str, port: u16, mut child: Child) -> Result<Self, PeerError> {
        let stdin = child.stdin.take();
        let (send, lines) = channel();
        let stderr = Arc::new(Mutex::new(Vec::new()));
        if let Some(out) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(out).lines().map_while(Result::ok);
                // Fails when the peer's handle is gone.
                lines
                    .take_while(|line| send.send(line.clone()).is_ok())
                    .count();
            });
        }
        if let Some(mut err) = child.stderr.take() {
            let kept = stderr.clone();
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(len @ 1..) = err.read(&mut chunk) {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(&chunk[..len]);
                    let excess = kept.len().saturating_sub(SHOWN);
                    kept.drain(..excess);
                }
            });
        }
        Ok(Self {
            script: script.into(),
            port,
            child,
            stdin,
            lines,
            stderr,
        })
    }

    /// The port that was given to the peer.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The next line of its standard output; `None` after its last one or at the deadline.
    pub fn line(&self, deadline: Instant) -> Option<String> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).ok()
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            // Fails when it has ended, which its output shows.
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// An error of this peer, with what it wrote to its standard error.
    pub fn error(&self, what: &str) -> PeerError {
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        PeerError {
            script: self.script.clone(),
            what: what.into(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Ends the peer and waits for its end: politely, then by force.
    pub fn stop(&mut self) {
        self.stdin = None;
        if matches!(self.child.wait_timeout(END), Ok(None)) {
            self.kill();
        }
    }

    /// Sends the peer a signal, such as `-STOP`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        // Fails if it has ended, which its output shows.
        let _ = Command::new("kill").args([name, &id]).status();
    }

    /// Ends the peer by force, as a crash would.
    pub fn kill(&mut self) {
        // Fails if it has ended by itself, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What went wrong with a peer.
#[derive(Clone, Debug)]
pub struct PeerError {
    script: String,
    what: String,
    stderr: String,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.script, self.what)?;
        if !self.stderr.trim().is_empty() {
            write!(f, "; its standard error ends with:\n{}", self.stderr)?;
        }
        Ok(())
    }
}

impl std::error::Error for PeerError {}
