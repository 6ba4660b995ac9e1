//! A task: a future, and whether it is to be polled.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::exec::Hub;
use crate::runtime::{self, BoxFuture};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, lock};

/// What became of it.
#[derive(Debug, Default)]
struct End {
    ended: bool,
    /// Who waits for that.
    waker: Option<Waker>,
}

pub(crate) struct Task {
    hub: Arc<Hub>,
    pub(super) id: u64,
    /// It is in the queue, or about to be put there.
    queued: AtomicBool,
    aborted: AtomicBool,
    /// Locked while it runs.
    future: Mutex<Option<BoxFuture<()>>>,
    end: Mutex<End>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)
    }
}

impl Task {
    pub(super) fn new(hub: Arc<Hub>, id: u64, future: BoxFuture<()>) -> Self {
        Self {
            hub,
            id,
            queued: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            future: Mutex::new(Some(future)),
            end: Mutex::default(),
        }
    }

    /// Polls it once.
    pub(super) fn run(self: &Arc<Self>) {
        // Before it is polled: what it is woken for from now on, it may not have seen.
        self.queued.swap(false, Ordering::SeqCst);
        let mut future = lock(&self.future);
        let Some(running) = future.as_mut() else {
            return;
        };
        if !self.aborted.load(Ordering::SeqCst) {
            let waker = Waker::from(self.clone());
            let mut cx = Context::from_waker(&waker);
            // A panic has been told by the hook, and ends this task alone.
            let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut cx)));
            if let Ok(Poll::Pending) = polled {
                return;
            }
        }
        let ended = future.take();
        drop(future);
        self.finish(ended);
    }

    /// Drops the future of a task that does not run.
    pub(super) fn drop_future(&self) {
        let future = lock(&self.future).take();
        self.finish(future);
    }

    fn finish(&self, future: Option<BoxFuture<()>>) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        self.hub.forget(self.id);
        let waker = {
            let mut end = lock(&self.end);
            end.ended = true;
            end.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.hub.push(self.clone());
        }
    }
}

/// The handle of a task.
#[derive(Debug)]
pub(super) struct Handle(pub(super) Arc<Task>);

impl runtime::Task for Handle {
    fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        self.0.wake_by_ref();
    }

    fn poll_join(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut end = lock(&self.0.end);
        if end.ended {
            return Poll::Ready(());
        }
        end.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
