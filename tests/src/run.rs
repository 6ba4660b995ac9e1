//! Running checks with either API, each in surroundings where it may do what it does.

use std::future::Future;

use ca_client::{Client, blocking};

use crate::checks::{self, Server};
use crate::table::Table;

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
    future
        .now_or_never()
        .expect("the blocking API waits inside of its calls")
}

/// All checks with the asynchronous client.
///
/// # Panics
/// If the table has no such column.
pub fn asynchronous(server: &Server, table: &mut Table, column: &str) {
    with_runtime(checks::run::<Client>(server, table, column));
}

/// All checks with the blocking client.
///
/// # Panics
/// If the table has no such column.
pub fn blocking(server: &Server, table: &mut Table, column: &str) {
    without_runtime(checks::run::<blocking::Client>(server, table, column));
}
