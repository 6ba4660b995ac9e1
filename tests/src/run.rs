//! Running checks with either API, each in surroundings where it may do what it does.

use std::future::Future;
use std::thread;

use ca_client::{Client, blocking};

use crate::checks::{self, Server};
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

/// All checks with the asynchronous client.
pub fn asynchronous(server: &Server) -> Outcomes {
    with_runtime(checks::run::<Client>(server))
}

/// All checks with the blocking client.
pub fn blocking(server: &Server) -> Outcomes {
    without_runtime(checks::run::<blocking::Client>(server))
}

/// What fills a column of a table.
pub type Job<'a> = Box<dyn FnOnce() -> Outcomes + Send + 'a>;

/// Runs jobs at the same time, as they mostly wait, and notes their outcomes by column. Jobs that
/// write to the same PVs need servers of their own.
///
/// # Panics
/// If the table has no such column.
pub fn side_by_side(table: &mut Table, jobs: Vec<(&str, Job<'_>)>) {
    let outcomes = thread::scope(|scope| {
        let started: Vec<_> = jobs
            .into_iter()
            .map(|(column, job)| (column, scope.spawn(job)))
            .collect();
        let ended = started
            .into_iter()
            .map(|(column, job)| (column, job.join()));
        ended.collect::<Vec<_>>()
    });
    for (column, outcomes) in outcomes {
        let panicked = |_| vec![("run".into(), Outcome::Failed("it panicked".into()))];
        table.add(column, outcomes.unwrap_or_else(panicked));
    }
}
