//! The client program: how it is started, and what it says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use super::stage::Event;
use crate::verdict::{Verdict, fail};

/// Lines of a program's output that are kept.
const MAX_LINES: usize = 10_000;
/// Longest line of output, in bytes; the rest of a longer one counts as another.
const MAX_LINE: u64 = 64 * 1024;

/// What a program is told by placeholders in its arguments.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// `{pv}`
    pub(super) pv: String,
    /// `{timeout}`, in seconds.
    pub(super) timeout: String,
    /// `{value}`: what to write.
    pub(super) value: String,
    /// `{updates}`: how many updates to wait for.
    pub(super) updates: String,
}

impl Words {
    fn fill(&self, argument: &str) -> String {
        argument
            .replace("{pv}", &self.pv)
            .replace("{timeout}", &self.timeout)
            .replace("{value}", &self.value)
            .replace("{updates}", &self.updates)
    }
}

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// Everything it said, in order of arrival.
    pub(super) lines: Vec<String>,
    /// How it ended.
    pub(super) exit: Option<ExitStatus>,
    /// Output streams that are still open.
    open: usize,
}

impl Program {
    /// Starts a command, in an environment in which it finds one server.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(
        command: &[String],
        words: &Words,
        environment: &[(&str, String)],
        events: &Sender<Event>,
    ) -> Verdict<Self> {
        let (name, arguments) = command
            .split_first()
            .ok_or_else(|| fail("the command is empty"))?;
        let mut run = Command::new(words.fill(name));
        run.args(arguments.iter().map(|argument| words.fill(argument)));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EPICS_") {
                run.env_remove(name);
            }
        }
        run.envs(environment.iter().map(|(name, value)| (name, value)));
        run.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = run
            .spawn()
            .map_err(|error| fail(format!("cannot start {name}: {error}")))?;
        if let Some(out) = child.stdout.take() {
            listen(out, true, events.clone());
        }
        if let Some(err) = child.stderr.take() {
            listen(err, false, events.clone());
        }
        Ok(Self {
            child,
            lines: Vec::new(),
            exit: None,
            open: 2,
        })
    }

    /// A line of its standard output.
    pub(super) fn said(&mut self, line: &str) {
        if self.lines.len() < MAX_LINES {
            self.lines.push(line.to_owned());
        }
    }

    /// One of its output streams has ended.
    pub(super) const fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// True once it has ended and everything it said was heard.
    pub(super) fn is_over(&mut self) -> bool {
        if self.exit.is_none() {
            // Waiting for one's own child fails only if somebody else has done so.
            self.exit = self.child.try_wait().unwrap_or_default();
        }
        self.exit.is_some() && self.open == 0
    }

    /// Ends it.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(stream: impl Read + Send + 'static, out: bool, events: Sender<Event>) {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let event = if out {
                Event::Said(text)
            } else {
                Event::Complained(text)
            };
            if events.send(event).is_err() {
                return;
            }
        }
        // Nobody may be listening any more.
        let _ = events.send(Event::Quiet);
    });
}
