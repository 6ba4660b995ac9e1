//! Deadlines that mostly move later.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};
use std::time;

use ca_proto::Instant;

use crate::runtime::Timer;

/// What a [`LazyTimer`] waits with. It may fire too early.
pub(crate) trait Alarm: fmt::Debug + Send {
    /// Sets it to fire once, `left` from now, in place of what it was set to.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set(&mut self, left: time::Duration) -> io::Result<()>;

    /// Ready once after it has fired. Not called before it was set.
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// State machines move their deadline later with every message, and to move an alarm costs a lock or
/// a system call. So only an earlier deadline is passed on; a later one is looked at when the old fires.
#[derive(Debug)]
pub(crate) struct LazyTimer<A> {
    start: time::Instant,
    alarm: A,
    /// What the alarm is set to, while it has not fired.
    armed: Option<Instant>,
    wanted: Option<Instant>,
}

impl<A: Alarm> LazyTimer<A> {
    /// A timer that is not armed. Deadlines count from `start`.
    pub(crate) const fn new(start: time::Instant, alarm: A) -> Self {
        Self {
            start,
            alarm,
            armed: None,
            wanted: None,
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }
}

impl<A: Alarm> Timer for LazyTimer<A> {
    fn reset(&mut self, deadline: Option<Instant>) {
        self.wanted = deadline;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = self.wanted else {
            return Poll::Pending;
        };
        loop {
            if self.armed.is_none_or(|armed| wanted < armed) {
                if let Err(error) = self.alarm.set(wanted - self.now()) {
                    // Not known to happen. Too early is better than never.
                    tracing::warn!("cannot set a timer: {error}");
                    return Poll::Ready(());
                }
                self.armed = Some(wanted);
            }
            ready!(self.alarm.poll_fired(cx));
            self.armed = None;
            if self.now() >= wanted {
                self.wanted = None;
                return Poll::Ready(());
            }
        }
    }
}
