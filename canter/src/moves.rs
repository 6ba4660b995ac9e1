//! What the commands have in common that wait for PVs and move them.

use std::time::{Duration, Instant};

use ca_client::{GetError, PutError};

use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::failure::Failure;
use crate::interrupt::{closed_output, interrupted};
use crate::json::JsonFailure;

/// Time between two lines about how far it is.
const PAUSE: Duration = Duration::from_secs(1);

/// Ends when the user wants the command to end, and says how: Ctrl-C, `kill`, or an output that nobody
/// reads any more.
pub(crate) async fn wanted_to_end() -> &'static str {
    tokio::select! {
        () = interrupted() => "interrupted",
        () = closed_output() => "nobody reads the output any more",
    }
}

/// Why a command did not do what was asked for.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What was going on.
    pub(crate) phase: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it, where the message does not say so itself.
    pub(crate) remedy: String,
    /// How the command ends because of it.
    pub(crate) outcome: Outcome,
}

impl Ended {
    /// A message that says itself what to do.
    pub(crate) fn new(phase: &'static str, message: String, outcome: Outcome) -> Self {
        let remedy = String::new();
        Self {
            phase,
            message,
            remedy,
            outcome,
        }
    }

    /// A PV that could not be looked at.
    pub(crate) fn get(error: &GetError) -> Self {
        Self::of(error.pv(), error.into())
    }

    /// A PV that could not be put to.
    pub(crate) fn put(error: &PutError) -> Self {
        Self::of(error.pv(), error.into())
    }

    fn of(pv: &str, failure: Failure) -> Self {
        Self {
            outcome: failure.outcome(),
            phase: failure.phase,
            message: match pv {
                "" => failure.message,
                pv => format!("{pv}: {}", failure.message),
            },
            remedy: failure.remedy,
        }
    }

    /// The lines for a person, with what else is to be said.
    pub(crate) fn tell(&self, console: &mut Console<'_>, more: &str) -> Result<(), Stop> {
        let mut lines = format!("error: {}", self.message);
        if !self.remedy.is_empty() {
            lines.push_str(&format!("\n hint: {}", self.remedy));
        }
        if !more.is_empty() {
            lines.push_str(&format!("\n note: {more}"));
        }
        Ok(console.complain(lines)?)
    }
}

impl From<&Ended> for JsonFailure {
    fn from(ended: &Ended) -> Self {
        Self::new(ended.phase, ended.message.clone(), ended.remedy.clone())
    }
}

/// Lines on the error stream about how far it is, now and then.
#[derive(Debug)]
pub(crate) struct Progress {
    quiet: bool,
    next: Instant,
}

impl Progress {
    /// None at all if it is to be quiet.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            next: Instant::now() + PAUSE,
        }
    }

    /// Tells it if it is time to.
    pub(crate) fn tell(
        &mut self,
        console: &mut Console<'_>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Stop> {
        if self.is_due() {
            self.next = Instant::now() + PAUSE;
            console.complain(what())?;
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        !self.quiet && Instant::now() >= self.next
    }

    /// Ends when something may be told again; never if it is to be quiet.
    pub(crate) async fn due(&self) {
        match self.quiet {
            true => std::future::pending().await,
            false => tokio::time::sleep_until(self.next.into()).await,
        }
    }
}
