//! What threads share is made of these: those of std, and in models of threads (`--cfg shuttle`) those of
//! shuttle, which tries the orders in which threads may come.

#[cfg(feature = "blocking")]
use std::time::Duration;

#[cfg(not(shuttle))]
use std as imp;

#[cfg(shuttle)]
use shuttle as imp;

#[cfg(feature = "blocking")]
pub(crate) use imp::sync::Condvar;
#[cfg(all(test, feature = "blocking", shuttle))]
pub(crate) use imp::sync::atomic;
pub(crate) use imp::sync::{Mutex, MutexGuard};
#[cfg(all(feature = "blocking", shuttle))]
pub(crate) use imp::thread;

/// Waits for a notification or until the time is over, and does not say which.
#[cfg(all(feature = "blocking", not(shuttle)))]
pub(crate) fn wait_timeout<'a, T>(
    _mutex: &'a Mutex<T>,
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    let waited = changed.wait_timeout(guard, time);
    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
}

/// Shuttle has no time: the time may be over whenever the thread has its turn.
#[cfg(all(feature = "blocking", shuttle))]
pub(crate) fn wait_timeout<'a, T>(
    mutex: &'a Mutex<T>,
    _changed: &Condvar,
    guard: MutexGuard<'a, T>,
    _time: Duration,
) -> MutexGuard<'a, T> {
    drop(guard);
    thread::yield_now();
    mutex.lock().unwrap()
}
