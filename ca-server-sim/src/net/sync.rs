//! What threads share is made of these: those of std, and in models of threads (`--cfg shuttle`) those of
//! shuttle, which tries the orders in which threads may come.

#[cfg(not(shuttle))]
use std::sync as imp;

#[cfg(shuttle)]
use shuttle::sync as imp;

pub(super) use imp::atomic::{AtomicBool, AtomicUsize, Ordering};
pub(super) use imp::{Mutex, MutexGuard, TryLockError};
