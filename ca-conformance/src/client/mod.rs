//! Judges a client program: plays a server to it, honest or nasty, from raw frames.
//!
//! Each check starts the program anew, with a server of its own that it finds through its
//! environment, and looks at what it sends and what it says.

mod checks;
mod lab;
mod program;
mod pv;
mod stage;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::demand::{check, defect};
use super::report::{Group, Report, Verdicts};
use super::verdict::{Miss, Outcome, Verdict};
use lab::Lab;

/// A command line; its arguments may hold `{pv}`, `{timeout}` (seconds), `{value}` and `{updates}`.
pub type Program = Vec<String>;

/// The client to judge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientTarget {
    /// Reads a PV, prints its value and ends; its exit code tells whether it could.
    pub get: Program,
    /// Writes `{value}` to a PV and ends; its exit code tells whether it could.
    pub put: Option<Program>,
    /// Watches a PV, prints its values, and ends after `{updates}` of them if it has that argument.
    pub monitor: Option<Program>,
    /// What `{timeout}` is: the longest time that `get` and `put` are to wait.
    pub patience: Duration,
    /// Checks that run at the same time; at least one does.
    pub jobs: usize,
}

impl ClientTarget {
    /// A client of which only a reading program is known.
    pub const fn new(get: Program) -> Self {
        Self {
            get,
            put: None,
            monitor: None,
            patience: Duration::from_secs(2),
            jobs: 4,
        }
    }
}

/// One demand on a client.
type Check = super::demand::Check<fn(&Lab<'_>) -> Verdict>;

/// The groups by which checks can be chosen, in the order they run.
pub fn groups() -> impl Iterator<Item = &'static str> {
    checks::ALL.iter().map(|(name, ..)| *name)
}

/// Every check: id, demand, and the number of the reference's defect.
pub fn list() -> impl Iterator<Item = (String, &'static str, Option<&'static str>)> {
    all(&[]).map(|(group, check)| (id(group, check), check.demands, check.defect))
}

fn id(group: &str, check: &Check) -> String {
    format!("{group}.{}", check.id)
}

fn all(wanted: &[String]) -> impl Iterator<Item = (&'static str, &'static Check)> {
    let groups = checks::ALL
        .iter()
        .filter(|(name, ..)| wanted.is_empty() || wanted.iter().any(|group| group == name));
    groups.flat_map(|(name, _, tables)| {
        let all = tables.iter().copied().flatten();
        all.map(move |check| (*name, check))
    })
}

/// Runs the checks of the groups that are wanted; all of them if `wanted` is empty.
///
/// # Errors
/// If the client cannot be judged at all: its program does not show the value of an honest server.
/// The text says what it does.
pub fn run(target: &ClientTarget, wanted: &[String]) -> Result<Report, String> {
    let begin = Instant::now();
    able(target)?;
    let work: Vec<_> = all(wanted).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(work.len()));
    thread::scope(|scope| {
        for _ in 0..target.jobs.clamp(1, work.len().max(1)) {
            scope.spawn(|| {
                while let Some((group, check)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let at = (*group, judge(target, group, check));
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(at);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |id: &str| {
        work.iter()
            .position(|(group, check)| self::id(group, check) == *id)
    };
    done.sort_by_key(|(_, verdicts)| place(&verdicts.id));
    let groups = checks::ALL.iter().filter_map(|(name, title, _)| {
        let mine = done.iter().filter(|(group, _)| group == name);
        let checks: Vec<_> = mine.map(|(_, verdicts)| verdicts.clone()).collect();
        (!checks.is_empty()).then_some(Group {
            name,
            title,
            checks,
        })
    });
    Ok(Report {
        subject: format!("`{}`", target.get.join(" ")),
        groups: groups.collect(),
        elapsed: begin.elapsed(),
    })
}

/// Tries the program with an honest server.
fn able(target: &ClientTarget) -> Result<(), String> {
    let lab = Lab::new(target);
    let tried = lab.get().and_then(|mut stage| {
        stage.serve()?;
        stage.shows(pv::Pv::FIRST)
    });
    tried.map_err(|miss| {
        let (Miss::Fail(what) | Miss::Skip(what)) = miss;
        format!("{what}\n{}", lab.transcript().join("\n"))
    })
}

fn judge(target: &ClientTarget, group: &str, check: &Check) -> Verdicts {
    let lab = Lab::new(target);
    let begin = Instant::now();
    let outcome = match (check.run)(&lab) {
        Ok(()) => Outcome::Pass,
        Err(Miss::Skip(why)) => Outcome::Skipped(why),
        Err(Miss::Fail(what)) if check.defect.is_some() => Outcome::Differs(what),
        Err(Miss::Fail(what)) => Outcome::Fail(what),
    };
    Verdicts {
        id: id(group, check),
        demands: check.demands,
        defect: check.defect,
        outcome,
        elapsed: begin.elapsed(),
        transcript: lab.transcript(),
    }
}
