//! What threads share is made of these: those of std, and in models of threads (`--cfg shuttle`) those of
//! shuttle, which tries the orders in which threads may come.

use std::sync::PoisonError;

#[cfg(not(shuttle))]
use std as imp;

#[cfg(shuttle)]
use shuttle as imp;

pub(crate) use imp::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Locks. A panic under the lock is a defect of one task; the others may go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
