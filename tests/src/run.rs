//! Running checks with either API, each in surroundings where it may do what it does.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ca_client::{Client, blocking};

use crate::api::Api;
use crate::checks;
use crate::checks::restart::{Restart, restarted, restarted_changed};
use crate::table::{Outcome, Outcomes, Table};

/// Runs a future with a runtime of its own around it.
///
/// # Panics
/// If the system gives no runtime.
pub fn with_runtime<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// Runs a future that never waits: those of the blocking API.
///
/// # Panics
/// If it does wait.
pub fn without_runtime<F: Future>(future: F) -> F::Output {
    use futures_util::FutureExt;
    let output = future.now_or_never();
    output.expect("the blocking API waits inside of its calls")
}

/// All checks with the asynchronous client. The server is another one afterwards.
pub fn asynchronous(served: &mut impl Restart) -> Outcomes {
    with_runtime(all::<Client>(served))
}

/// All checks with the blocking client. The server is another one afterwards.
pub fn blocking(served: &mut impl Restart) -> Outcomes {
    without_runtime(all::<blocking::Client>(served))
}

async fn all<A: Api>(served: &mut impl Restart) -> Outcomes {
    let mut outcomes = checks::run::<A>(&served.server()).await;
    let same = restarted::<A>(served).await;
    outcomes.push(("restart".into(), same.into()));
    let changed = restarted_changed::<A>(served).await;
    outcomes.push(("restart.other_type".into(), changed.into()));
    outcomes
}

/// What fills a column of a table.
pub type Job<'a> = Box<dyn FnOnce() -> Outcomes + Send + 'a>;

/// Runs jobs at the same time, as they mostly wait, and notes their outcomes by column. Jobs that
/// write to the same PVs need servers of their own.
///
/// # Panics
/// If the table has no such column.
pub fn side_by_side(table: &mut Table, jobs: Vec<(&str, Job<'_>)>) {
    let (columns, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    let at_once = jobs.len();
    for (column, outcomes) in columns.into_iter().zip(some_at_once(jobs, at_once)) {
        table.add(column, outcomes);
    }
}

/// As [`side_by_side`], this many at the same time; the outcomes in order.
///
/// # Panics
/// If a thread cannot be started.
pub fn some_at_once(jobs: Vec<Job<'_>>, at_once: usize) -> Vec<Outcomes> {
    let count = jobs.len();
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let done = Mutex::new(vec![Outcomes::new(); count]);
    let lock_next = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    };
    thread::scope(|scope| {
        for _ in 0..at_once.min(count) {
            scope.spawn(|| {
                while let Some((at, job)) = lock_next() {
                    let outcomes = catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| {
                        vec![("run".into(), Outcome::Failed("it panicked".into()))]
                    });
                    done.lock().unwrap_or_else(PoisonError::into_inner)[at] = outcomes;
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
