//! Pausing and ending what is under way.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Pauses, resumes and aborts a [ramp](crate::Kit::ramp), a [scan](crate::Kit::scan) or a
/// [watch](crate::Kit::watch) from elsewhere. Clones control the same.
///
/// # Examples
/// ```
/// use ca_kit::Control;
///
/// let control = Control::new();
/// let button = control.clone();
/// button.pause();
/// assert!(control.is_paused());
/// button.abort();
/// assert!(control.is_aborted());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    /// Futures that wait for a change; each takes its waker away when it is dropped.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Mode {
    #[default]
    Goes,
    Paused,
    Aborted,
}

/// It was aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Aborted;

impl Control {
    /// Lets all go on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds before the next step, until it is resumed or aborted.
    pub fn pause(&self) {
        self.change(Mode::Paused);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.change(Mode::Goes);
    }

    /// Ends it, for good: what is under way is not waited for.
    pub fn abort(&self) {
        self.change(Mode::Aborted);
    }

    /// True after [`pause`](Self::pause).
    pub fn is_paused(&self) -> bool {
        self.lock().mode == Mode::Paused
    }

    /// True after [`abort`](Self::abort).
    pub fn is_aborted(&self) -> bool {
        self.lock().mode == Mode::Aborted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, mode: Mode) {
        let mut state = self.lock();
        if state.mode == Mode::Aborted {
            return;
        }
        state.mode = mode;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
    }

    /// A place to wait at.
    fn listen(&self) -> Listener<'_> {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        Listener { control: self, id }
    }

    /// Waits while it is paused.
    pub(crate) async fn go(&self) -> Result<(), Aborted> {
        let ready = |mode| match mode {
            Mode::Goes => Some(Ok(())),
            Mode::Aborted => Some(Err(Aborted)),
            Mode::Paused => None,
        };
        let listener = self.listen();
        poll_fn(|cx| listener.poll(cx, ready)).await
    }

    /// The output of a future, unless it is aborted before.
    pub(crate) async fn unless_aborted<F: Future>(&self, future: F) -> Result<F::Output, Aborted> {
        let mut future = pin!(future);
        let aborted = |mode| (mode == Mode::Aborted).then_some(Err(Aborted));
        let listener = self.listen();
        poll_fn(|cx| {
            if let Poll::Ready(Err(aborted)) = listener.poll(cx, aborted) {
                return Poll::Ready(Err(aborted));
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// The output of a future, unless it is paused or aborted before.
    pub(crate) async fn while_going<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let stopped = |mode| (mode != Mode::Goes).then_some(Ok(()));
        let listener = self.listen();
        poll_fn(|cx| {
            if listener.poll(cx, stopped).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// A future that waits for a control to change.
#[derive(Debug)]
struct Listener<'a> {
    control: &'a Control,
    id: u64,
}

impl Listener<'_> {
    fn poll(
        &self,
        cx: &Context<'_>,
        ready: impl Fn(Mode) -> Option<Result<(), Aborted>>,
    ) -> Poll<Result<(), Aborted>> {
        let mut state = self.control.lock();
        if let Some(result) = ready(state.mode) {
            return Poll::Ready(result);
        }
        let old = state.waiting.insert(self.id, cx.waker().clone());
        drop(state);
        // It may own what wants the lock.
        drop(old);
        Poll::Pending
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let waker = self.control.lock().waiting.remove(&self.id);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// However many wait, nobody is woken before there is a change, and nothing is left of those that gave
    /// up.
    #[test]
    fn those_that_gave_up_leave_nothing_behind() {
        let control = Control::new();
        control.pause();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..1000 {
            assert!(pin!(control.go()).poll(&mut cx).is_pending());
        }
        assert!(control.lock().waiting.is_empty());
        let mut waiting: Vec<_> = (0..1000).map(|_| Box::pin(control.go())).collect();
        for future in &mut waiting {
            assert!(future.as_mut().poll(&mut cx).is_pending());
            assert!(future.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(control.lock().waiting.len(), 1000);
        control.resume();
        assert!(
            waiting
                .iter_mut()
                .all(|it| it.as_mut().poll(&mut cx) == Poll::Ready(Ok(())))
        );
    }
}
