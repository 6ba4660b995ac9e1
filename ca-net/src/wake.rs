//! Wakers collected under a lock and woken after it.

use std::task::Waker;

/// Wakers to be woken once the lock is released.
///
/// Waking runs foreign code (a scheduler may even run the woken task at once), which must not
/// find our locks held. A driver keeps one list, so collecting allocates nothing in the long run.
#[derive(Debug, Default)]
pub struct WakerList {
    wakers: Vec<Waker>,
}

impl WakerList {
    /// An empty list; allocates nothing.
    pub const fn new() -> Self {
        Self { wakers: Vec::new() }
    }

    /// Adds a waker; one that would wake the same task as the last added is dropped.
    pub fn push(&mut self, waker: Waker) {
        if !self
            .wakers
            .last()
            .is_some_and(|last| last.will_wake(&waker))
        {
            self.wakers.push(waker);
        }
    }

    /// True without wakers.
    pub fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    /// Wakes and forgets all of them, in the order in which they came. Hold no lock here.
    pub fn wake_all(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }
}

impl Extend<Waker> for WakerList {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        for waker in wakers {
            self.push(waker);
        }
    }
}
