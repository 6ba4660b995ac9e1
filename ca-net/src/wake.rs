//! Wakers collected under a lock and woken after it.

use std::task::Waker;

/// Wakers to be woken once the lock is released.
///
/// Waking runs foreign code (a scheduler may even run the woken task at once), which must not
/// find our locks held. The first waker is kept inline, so that a request that wakes one task
/// allocates nothing; a driver keeps its list, so that it allocates nothing in the long run.
#[derive(Debug, Default)]
pub struct WakerList {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl WakerList {
    /// An empty list; allocates nothing.
    pub const fn new() -> Self {
        Self {
            first: None,
            rest: Vec::new(),
        }
    }

    /// Adds a waker; one that would wake the same task as the one added before is dropped.
    pub fn push(&mut self, waker: Waker) {
        let Some(first) = &self.first else {
            self.first = Some(waker);
            return;
        };
        if !self.rest.last().unwrap_or(first).will_wake(&waker) {
            self.rest.push(waker);
        }
    }

    /// True without wakers.
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Wakes and forgets all of them, in the order in which they came. Hold no lock here.
    pub fn wake_all(&mut self) {
        // hot: a turn that wakes nobody, or one task.
        if let Some(waker) = self.first.take() {
            waker.wake();
        }
        if !self.rest.is_empty() {
            self.rest.drain(..).for_each(Waker::wake);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn everyone_is_woken_and_neighbours_only_once() {
        let counts: [Arc<Count>; 3] = Default::default();
        let mut list = WakerList::new();
        for n in [0, 0, 1, 1, 2] {
            list.push(Waker::from(counts[n].clone()));
        }
        list.wake_all();
        assert!(list.is_empty());
        list.wake_all();
        let woken = counts.map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(woken, [1, 1, 1]);
    }
}
