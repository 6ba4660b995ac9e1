//! Deadlines of all tasks, and the one thing that waits for the earliest.
//!
//! On Linux that is a timer of the system among the sockets, set when a deadline comes forward: a wait with a
//! time-out has the system set one and take it back each time. Elsewhere the wait has a time-out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::reactor::Io;
use crate::sync::{Mutex, lock};
use crate::timer;

/// Names a deadline; those of the same time are told apart by a number.
type Key = (Instant, u64);

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<Key, Arc<Fuse>>,
    next: u64,
    /// Before this time nothing needs to be done for [`first`](Self::first) to be kept.
    armed: Option<Instant>,
}

/// What burns down at a deadline.
#[derive(Debug, Default)]
struct Fuse(Mutex<Burn>);

#[derive(Debug, Default)]
struct Burn {
    fired: bool,
    waker: Option<Waker>,
}

impl Timers {
    /// Whether who waits has to be told of a new earliest deadline, and which.
    fn add(&mut self, at: Instant, fuse: Arc<Fuse>) -> (Key, Option<Instant>) {
        let key = (at, self.next);
        self.next += 1;
        self.due.insert(key, fuse);
        (key, self.arm())
    }

    /// The earliest deadline, if it is before what somebody waits for already.
    fn arm(&mut self) -> Option<Instant> {
        let &(first, _) = self.due.first_key_value()?.0;
        if self.armed.is_some_and(|armed| armed <= first) {
            return None;
        }
        self.armed = Some(first);
        Some(first)
    }

    /// The earliest deadline.
    pub(super) fn first(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Lets go off what is due, giving wakers to be woken after the lock is released; and what is to be waited
    /// for next.
    pub(super) fn expire(&mut self, now: Instant, wakers: &mut Vec<Waker>) -> Option<Instant> {
        if self.armed.is_some_and(|armed| armed <= now) {
            self.armed = None;
        }
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= now
        {
            let fuse = first.remove();
            let mut burn = lock(&fuse.0);
            burn.fired = true;
            wakers.extend(burn.waker.take());
        }
        self.arm()
    }
}

/// One task's deadline.
#[derive(Debug)]
pub(super) struct Alarm {
    io: Arc<Io>,
    fuse: Arc<Fuse>,
    key: Option<Key>,
}

impl Alarm {
    pub(super) fn new(io: Arc<Io>) -> Self {
        Self {
            io,
            fuse: Arc::default(),
            key: None,
        }
    }

    fn take_back(&mut self) {
        if let Some(key) = self.key.take() {
            let _fuse = lock(&self.io.timers).due.remove(&key);
        }
    }
}

/// Thirty years, for deadlines that mean "never".
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

impl timer::Alarm for Alarm {
    fn set(&mut self, left: Duration) -> io::Result<()> {
        self.take_back();
        lock(&self.fuse.0).fired = false;
        let at = Instant::now() + left.min(FAR);
        let (key, earlier) = lock(&self.io.timers).add(at, self.fuse.clone());
        self.key = Some(key);
        match earlier {
            Some(at) => self.io.wait_until(at),
            None => Ok(()),
        }
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut burn = lock(&self.fuse.0);
        if std::mem::take(&mut burn.fired) {
            return Poll::Ready(());
        }
        let _old = burn.waker.replace(cx.waker().clone());
        drop(burn);
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.take_back();
    }
}
