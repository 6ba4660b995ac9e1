//! A facility in a box: clients, IOCs, repeaters, name servers, a gateway and hostile hosts in
//! several subnets, under a story drawn from a seed.
//!
//! ```
//! use ca_testkit::facility::{self, Options, Plan};
//!
//! let options = Options { minutes: 1.0, ..Options::default() };
//! let report = facility::run_seed(7, &options).unwrap();
//! assert!(report.updates > 0 && report.simulated.as_secs() >= 60);
//!
//! // The same story again gives the same bytes at the same times.
//! let plan = Plan::draw(7, &options);
//! assert_eq!(facility::run(&plan), Ok(report));
//! ```
//!
//! A [`Plan`] is data: what stands where, and a list of operations with pauses. It is drawn first,
//! then carried out, with promises checked after each step of the world. When the plan is over all
//! faults end, everything has to come back within a bounded time, every client is tried once more,
//! and after an orderly end nothing may be left anywhere.
//!
//! A story that breaks a promise is made [shorter](shrink) until nothing can be left out; the short
//! plan can be written to a file and carried out again.

mod book;
mod build;
mod check;
mod plan;
mod records;
mod shrink;
mod story;

use core::fmt;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

pub use plan::{Fault, MAX_HOSTS, MAX_RECORDS, MAX_SUBNETS, Op, Options, Plan, Shape, Step};
pub use shrink::{Shrunk, shrink, shrink_while};

use story::Story;

/// Lines of the trace in a failure.
const TRACE_LINES: usize = 60;

/// What a story came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Operations carried out.
    pub steps: usize,
    /// Events of the world: deliveries and timeouts.
    pub events: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Updates shown to clients.
    pub updates: u64,
    /// Reads and puts with completion that were answered.
    pub answers: u64,
    /// Time from the end of all faults until everything had come back.
    pub recovery: Duration,
    /// Every byte and its time, condensed: equal for equal stories.
    pub hash: u64,
}

/// A story in which a promise was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The promise, and when it was broken.
    pub what: String,
    /// What was done until then.
    pub story: Vec<String>,
    /// The last lines of what crossed the network.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken promise: {}", self.what)?;
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        f.write_str(&self.trace)
    }
}

impl std::error::Error for Failure {}

/// Carries out the plan of a seed.
///
/// # Errors
/// [`Failure`] with the first broken promise, what was done, and the end of the trace.
pub fn run_seed(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    run(&Plan::draw(seed, options))
}

/// Carries out a plan.
///
/// # Errors
/// As [`run_seed`]; a panic of the code under test is a broken promise too.
pub fn run(plan: &Plan) -> Result<Report, Box<Failure>> {
    // Making text of every frame is most of the work, so it is only done for a story that fails.
    let first = match attempt(plan, false, |_| {}) {
        Ok(report) => return Ok(report),
        Err(first) => first,
    };
    let mut failure = Failure {
        what: format!("{first} (and not when told again: not deterministic)"),
        story: Vec::new(),
        trace: String::new(),
    };
    let again = attempt(plan, true, |story| {
        failure.story = std::mem::take(&mut story.log);
        failure.trace = story.site.w.trace.tail(TRACE_LINES);
    });
    if let Err(what) = again {
        failure.what = what;
    }
    Err(Box::new(failure))
}

/// A story with everything that can be said about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// How it ended.
    pub result: Result<Report, Box<Failure>>,
    /// The operations, with times.
    pub story: Vec<String>,
    /// The last 20 000 lines of what crossed the network.
    pub trace: Vec<String>,
}

/// Carries out a plan, with every frame as text. Ten times slower than [`run`].
pub fn tell(plan: &Plan) -> Told {
    let (mut log, mut trace) = (Vec::new(), Vec::new());
    let result = attempt(plan, true, |story| {
        log = std::mem::take(&mut story.log);
        trace = story.site.w.trace.lines().map(str::to_owned).collect();
    });
    Told {
        result: result.map_err(|what| {
            Box::new(Failure {
                what,
                story: log.clone(),
                trace: String::new(),
            })
        }),
        story: log,
        trace,
    }
}

/// The promise that the plan breaks, if it breaks one.
fn broken(plan: &Plan) -> Option<String> {
    attempt(plan, false, |_| {}).err()
}

/// Carries out a plan; `look` sees what is left, also after a panic.
fn attempt(plan: &Plan, trace: bool, look: impl FnOnce(&mut Story<'_>)) -> Result<Report, String> {
    let told = catch(|| {
        let mut story = Story::new(plan, trace);
        let result = catch(|| story.tell()).and_then(|result| result);
        let now = story.site.w.now();
        look(&mut story);
        result.map_err(|what| format!("at {now}: {what}"))
    });
    told.and_then(|result| result)
}

thread_local! {
    /// A panic on this thread is caught and not printed.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `act`; a panic becomes its message.
fn catch<R>(act: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                PANIC.with_borrow_mut(|text| *text = info.to_string());
            } else {
                usual(info);
            }
        }));
    });
    let before = CATCHING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(act));
    CATCHING.set(before);
    result.map_err(|_| PANIC.take())
}
