//! Who moves the bytes of a blocking client: the thread that waits for them.
//!
//! A call drives the runtime on its own thread until it has its answer, which so needs no switch of
//! threads. A background thread drives it while nobody calls. It does not come back between two
//! calls of a row, but when there was none for [`GRACE`]. That is also the time that what needs no
//! answer, such as a write that was queued, waits at most before it is sent.
//!
//! Of several calls at once one drives and the others sleep; the runtime hands over between them.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use ca_net::PollRuntime;

use crate::sync::{Condvar, Mutex, MutexGuard, wait_timeout};

/// Time without a call after which the background thread drives again.
const GRACE: Duration = Duration::from_millis(2);

/// What the background thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Background {
    /// It drives, and was not asked to stop.
    Drives,
    /// It looks after [`GRACE`] whether there was a call.
    Looks,
    /// It sleeps until the last call ends.
    Sleeps,
}

#[derive(Debug)]
struct Turn {
    background: Background,
    /// Calls that are under way.
    calls: usize,
    /// Calls that were begun.
    begun: u64,
    stop: bool,
    /// How to wake the background thread when it drives and is to let go.
    waker: Option<Waker>,
}

/// Decides who drives; knows nothing of the runtime, so that it can be tested alone.
#[derive(Debug)]
struct Turns {
    turn: Mutex<Turn>,
    /// For the background thread, while it does not drive.
    changed: Condvar,
}

impl Turns {
    fn new() -> Self {
        Self {
            turn: Mutex::new(Turn {
                background: Background::Looks,
                calls: 0,
                begun: 0,
                stop: false,
                waker: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins to drive; the background thread is told to let go.
    fn begin(&self) {
        let mut turn = self.lock();
        turn.calls += 1;
        turn.begun += 1;
        if turn.background != Background::Drives {
            return;
        }
        turn.background = Background::Looks;
        let waker = turn.waker.take();
        drop(turn);
        waker.into_iter().for_each(Waker::wake);
    }

    /// A call has ended.
    fn end(&self) {
        let mut turn = self.lock();
        turn.calls -= 1;
        let wanted = turn.background == Background::Sleeps;
        if turn.calls == 0 && wanted {
            self.changed.notify_one();
        }
    }

    fn stop(&self) {
        let mut turn = self.lock();
        turn.stop = true;
        let waker = turn.waker.take();
        drop(turn);
        waker.into_iter().for_each(Waker::wake);
        self.changed.notify_one();
    }

    /// The background thread waits until it is to drive; false when it is to end.
    fn wait(&self) -> bool {
        let mut turn = self.lock();
        loop {
            if turn.stop {
                return false;
            }
            let begun = turn.begun;
            turn.background = Background::Looks;
            turn = wait_timeout(&self.turn, &self.changed, turn, GRACE);
            if turn.stop || turn.begun != begun {
                continue;
            }
            if turn.calls == 0 {
                break;
            }
            // A call that takes long needs no looking after.
            turn.background = Background::Sleeps;
            turn = (self.changed.wait(turn)).unwrap_or_else(PoisonError::into_inner);
        }
        turn.background = Background::Drives;
        true
    }

    /// Ready when the background thread, which drives, is to let go.
    fn poll_let_go(&self, cx: &Context<'_>) -> Poll<()> {
        let mut turn = self.lock();
        if turn.stop || turn.background != Background::Drives {
            return Poll::Ready(());
        }
        let _old = turn.waker.replace(cx.waker().clone());
        drop(turn);
        Poll::Pending
    }
}

/// The runtime of a blocking client.
struct Shared {
    runtime: PollRuntime,
    turns: Turns,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.runtime.shutdown();
    }
}

/// A share of the runtime.
#[derive(Clone)]
pub(super) struct Driver(Arc<Shared>);

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

/// Ends a call, also when it panics.
struct Call<'a>(&'a Turns);

impl<'a> Call<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.begin();
        Self(turns)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Driver {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            runtime: PollRuntime::new()?,
            turns: Turns::new(),
        })))
    }

    /// For the tasks of the client.
    pub(super) fn handle(&self) -> PollRuntime {
        self.0.runtime.clone()
    }

    /// Readable when there is something to do.
    #[cfg(unix)]
    pub(super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0.runtime)
    }

    /// Starts the background thread.
    pub(super) fn start(&self) -> io::Result<JoinHandle<()>> {
        let this = self.clone();
        let name = "ca-client".to_owned();
        Builder::new().name(name).spawn(move || {
            let Shared { runtime, turns } = &*this.0;
            while turns.wait() {
                runtime.block_on(poll_fn(|cx| turns.poll_let_go(cx)));
            }
        })
    }

    /// Makes the background thread end.
    pub(super) fn stop(&self) {
        self.0.turns.stop();
    }

    /// Runs one of our futures to its end.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let Shared { runtime, turns } = &*self.0;
        let _call = Call::new(turns);
        runtime.block_on(future)
    }

    /// As [`block_on`](Self::block_on), but gives up at a deadline.
    pub(super) fn block_until<F: Future>(
        &self,
        future: F,
        deadline: Option<Instant>,
    ) -> Option<F::Output> {
        let Shared { runtime, turns } = &*self.0;
        let _call = Call::new(turns);
        runtime.block_until(future, deadline)
    }

    /// Does what can be done without waiting.
    pub(super) fn turn(&self) {
        let Shared { runtime, turns } = &*self.0;
        let _call = Call::new(turns);
        runtime.turn();
    }

    /// Runs a future that mostly is ready at once: only one that is not makes this thread drive.
    pub(super) fn try_block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let first = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        match first {
            Poll::Ready(output) => output,
            Poll::Pending => self.block_on(future),
        }
    }
}

#[cfg(all(test, shuttle))]
mod models;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread;

    use super::*;

    /// Wakes the thread that drives.
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Whatever threads begin and end, the background thread drives in the end, and never while a
    /// call does.
    #[test]
    fn the_background_thread_comes_back() {
        let turns = Arc::new(Turns::new());
        let driving = Arc::new(Mutex::new(()));
        let (drives, driven) = mpsc::channel::<()>();
        let background = thread::spawn({
            let (turns, driving) = (turns.clone(), driving.clone());
            move || {
                let waker = Waker::from(Arc::new(Unpark(thread::current())));
                let cx = Context::from_waker(&waker);
                while turns.wait() {
                    let _core = driving.lock().unwrap();
                    let _ = drives.send(());
                    while turns.poll_let_go(&cx).is_pending() {
                        thread::park();
                    }
                }
            }
        });
        driven.recv().unwrap();
        for _ in 0..50 {
            let calls: Vec<_> = (0..4)
                .map(|_| {
                    let (turns, driving) = (turns.clone(), driving.clone());
                    thread::spawn(move || {
                        for _ in 0..20 {
                            let _call = Call::new(&turns);
                            drop(driving.lock().unwrap());
                        }
                    })
                })
                .collect();
            for call in calls {
                call.join().unwrap();
            }
            while turns.lock().background != Background::Drives {
                driven.recv().unwrap();
            }
        }
        turns.stop();
        background.join().unwrap();
        assert!(!turns.wait());
        assert_eq!(turns.lock().calls, 0);
    }
}
