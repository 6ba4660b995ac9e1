//! Dropping futures at every moment of their lives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls after which a future counts as one that never completes.
const MAX_POLLS: usize = 200;

/// When a future is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// Right after the poll with this number; 0: it is never polled.
    AfterPoll(usize),
    /// When it is woken after the poll with this number: what woke it has happened, and it never
    /// learns of it.
    WhenWoken(usize),
}

/// Every moment, in the order in which [`drop_at_every_poll`] tries them.
pub(crate) fn moments() -> impl Iterator<Item = [Moment; 2]> {
    (0..MAX_POLLS).map(|polls| [Moment::AfterPoll(polls), Moment::WhenWoken(polls)])
}

/// Runs a future until it is ready or the moment has come; then drops it.
pub(crate) struct Dropped<F> {
    future: Option<Pin<Box<F>>>,
    moment: Moment,
    polls: usize,
}

impl<F: Future> Dropped<F> {
    pub(crate) fn new(moment: Moment, future: F) -> Self {
        Self {
            future: Some(Box::pin(future)),
            moment,
            polls: 0,
        }
    }
}

impl<F: Future> Future for Dropped<F> {
    /// The output, if it came to that.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let over = match this.moment {
            Moment::AfterPoll(polls) => polls == 0,
            Moment::WhenWoken(polls) => this.polls == polls,
        };
        if over {
            this.future = None;
            return Poll::Ready(None);
        }
        this.polls += 1;
        let future = this
            .future
            .as_mut()
            .expect("it is not polled after its end");
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            this.future = None;
            return Poll::Ready(Some(output));
        }
        if this.moment == Moment::AfterPoll(this.polls) {
            this.future = None;
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

/// Makes a future again and again and drops it at every moment of its life, until it completes
/// before the moment comes. `check` runs after each drop, with the output if there was one.
/// Returns the number of polls that the future takes.
pub(crate) async fn drop_at_every_poll<F: Future, C: Future<Output = ()>>(
    mut make: impl FnMut() -> F,
    mut check: impl FnMut(Moment, Option<F::Output>) -> C,
) -> usize {
    for (polls, pair) in moments().enumerate() {
        let mut completed = true;
        for moment in pair {
            let output = Dropped::new(moment, make()).await;
            completed &= output.is_some();
            check(moment, output).await;
        }
        if completed {
            return polls;
        }
    }
    panic!("a future that is polled more than {MAX_POLLS} times");
}
