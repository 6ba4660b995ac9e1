//! When a thread may hold the GIL: waits without it, the end of the interpreter, forks.
//!
//! No thread of ours ever takes the GIL: it is only given back to threads that came from Python, in
//! [`detached`]. So the three hard cases have one place. While the interpreter ends, CPython ends a
//! thread that asks for the GIL by unwinding it, which must not go through Rust: such a thread sleeps
//! instead until the process is gone. In the child of a fork there are no threads but the one that
//! forked, and locks may be held by nobody: what was made before the fork is never touched again, and
//! made anew when it is needed.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::core::Driven;

/// How long a wait lasts before Python is asked whether a signal came.
const PULSE: Duration = Duration::from_millis(50);

/// How long the exit waits for threads that are about to take the GIL.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// Forks before this process, as far as they happened while the module was loaded.
static FORKS: AtomicU64 = AtomicU64::new(0);
static EXITING: AtomicBool = AtomicBool::new(false);
/// Threads between the look at [`EXITING`] and the GIL.
static RETURNING: AtomicUsize = AtomicUsize::new(0);
/// The thread that ends the interpreter: the only one that still gets the GIL.
static EXIT_THREAD: Mutex<Option<ThreadId>> = Mutex::new(None);

/// Does something without the GIL.
pub(crate) fn detached<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> R {
    let output = py.detach(|| {
        let output = work();
        come_back();
        output
    });
    RETURNING.fetch_sub(1, Ordering::SeqCst);
    output
}

/// Does something with the GIL, within [`detached`].
pub(crate) fn attached<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    come_back();
    Python::attach(|py| {
        RETURNING.fetch_sub(1, Ordering::SeqCst);
        work(py)
    })
}

fn come_back() {
    RETURNING.fetch_add(1, Ordering::SeqCst);
    if EXITING.load(Ordering::SeqCst) && !is_exit_thread() {
        RETURNING.fetch_sub(1, Ordering::SeqCst);
        loop {
            thread::park();
        }
    }
}

/// Whether the interpreter ends.
pub(crate) fn is_exiting() -> bool {
    EXITING.load(Ordering::SeqCst)
}

fn is_exit_thread() -> bool {
    let thread = *EXIT_THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    thread == Some(thread::current().id())
}

/// Waits for a future of a client without the GIL; signals are answered.
///
/// # Errors
/// What a signal handler raised, mostly `KeyboardInterrupt`; the future is given up.
pub(crate) fn wait<F>(py: Python<'_>, client: &Driven, future: F) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let client = match client {
        Driven::Own(client) => client,
        Driven::World(_, world) => return world.wait(py, future),
    };
    let mut future = pin!(future);
    loop {
        let soon = Instant::now() + PULSE;
        let output = detached(py, || client.block_until(future.as_mut(), soon));
        match output {
            Some(output) => return Ok(output),
            None => py.check_signals()?,
        }
    }
}

/// Called when the interpreter begins to end, by the thread that ends it.
#[pyfunction]
pub(crate) fn prepare_exit(py: Python<'_>) {
    *EXIT_THREAD.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current().id());
    EXITING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let started = Instant::now();
        while RETURNING.load(Ordering::SeqCst) > 0 && started.elapsed() < EXIT_PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Called in the child of a fork.
#[pyfunction]
pub(crate) fn after_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
    RETURNING.store(0, Ordering::SeqCst);
    EXITING.store(false, Ordering::SeqCst);
}

/// Number of the process among those that forked from each other: what was made under another number
/// belongs to a parent.
#[pyfunction]
pub(crate) fn generation() -> u64 {
    FORKS.load(Ordering::SeqCst)
}

/// Something with threads or locks of its own. It is dropped only in the process that made it, and not
/// while the interpreter ends: elsewhere it is left as it is.
#[derive(Debug)]
pub(crate) struct Native<T> {
    born: u64,
    it: Option<T>,
}

impl<T> Native<T> {
    pub(crate) fn new(it: T) -> Self {
        Self {
            born: generation(),
            it: Some(it),
        }
    }

    /// `None` in the child of a fork.
    pub(crate) fn get(&self) -> Option<&T> {
        self.it.as_ref().filter(|_| self.born == generation())
    }
}

impl<T> Drop for Native<T> {
    fn drop(&mut self) {
        if self.born != generation() || EXITING.load(Ordering::SeqCst) {
            std::mem::forget(self.it.take());
        }
    }
}
