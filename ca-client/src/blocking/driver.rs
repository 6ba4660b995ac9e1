//! Who moves the bytes of a blocking client: the thread that waits for them.
//!
//! A call drives the runtime on its own thread until it has its answer, which so needs no switch of
//! threads. A background thread drives it while nobody calls. It does not come back between two
//! calls of a row, but when there was none for [`GRACE`]. That is also the time that what needs no
//! answer, such as a write that was queued, waits at most before it is sent.
//!
//! Of several calls at once one drives and the others sleep; tokio hands over between them.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use ca_net::TokioRuntime;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, Thread, thread, thread_local, wait_timeout};

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
    /// Calls from places that must not drive: they wait for the background thread.
    passive: usize,
    stop: bool,
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
                passive: 0,
                stop: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins to drive; true when the background thread has to be told to let go.
    fn begin(&self) -> bool {
        let mut turn = self.lock();
        turn.calls += 1;
        turn.begun += 1;
        let drives = turn.background == Background::Drives;
        if drives {
            turn.background = Background::Looks;
        }
        drives
    }

    /// A call has ended.
    fn end(&self) {
        let mut turn = self.lock();
        turn.calls -= 1;
        let wanted = turn.background == Background::Sleeps || turn.passive > 0;
        if turn.calls == 0 && wanted {
            self.changed.notify_one();
        }
    }

    /// A call begins to wait that does not drive.
    fn begin_passive(&self) {
        self.lock().passive += 1;
        self.changed.notify_one();
    }

    fn end_passive(&self) {
        self.lock().passive -= 1;
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    /// The background thread waits until it is to drive; false when it is to end.
    fn wait(&self) -> bool {
        let mut turn = self.lock();
        loop {
            if turn.stop {
                return false;
            }
            if turn.calls == 0 && turn.passive > 0 {
                break;
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
}

/// The runtime of a blocking client.
#[derive(Debug)]
struct Shared {
    /// Taken when the last handle is dropped.
    runtime: Option<Runtime>,
    turns: Turns,
    let_go: Notify,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Unlike a drop of the runtime, this is allowed in an async task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A share of the runtime.
#[derive(Clone, Debug)]
pub(super) struct Driver(Arc<Shared>);

/// Ends a call, also when it panics.
struct Call<'a>(&'a Turns, fn(&Turns));

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.1(self.0);
    }
}

impl Driver {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self(Arc::new(Shared {
            runtime: Some(runtime),
            turns: Turns::new(),
            let_go: Notify::new(),
        })))
    }

    fn runtime(&self) -> &Runtime {
        self.0.runtime.as_ref().expect("it is taken in drop only")
    }

    /// For the tasks of the client.
    pub(super) fn handle(&self) -> TokioRuntime {
        TokioRuntime::new(self.runtime().handle().clone())
    }

    /// Starts the background thread.
    pub(super) fn start(&self) -> io::Result<JoinHandle<()>> {
        let this = self.clone();
        let name = "ca-client".to_owned();
        Builder::new().name(name).spawn(move || {
            let Shared { turns, let_go, .. } = &*this.0;
            while turns.wait() {
                // A notification for a turn that has ended is used up by a short turn.
                this.runtime().block_on(let_go.notified());
            }
        })
    }

    /// Makes the background thread end.
    pub(super) fn stop(&self) {
        self.0.turns.stop();
        self.0.let_go.notify_one();
    }

    /// Runs one of our futures to its end.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let output = self.block_until(future, None);
        output.expect("without a deadline it waits for the output")
    }

    /// As [`block_on`](Self::block_on), but gives up at a deadline.
    pub(super) fn block_until<F: Future>(
        &self,
        future: F,
        deadline: Option<Instant>,
    ) -> Option<F::Output> {
        let Shared { turns, let_go, .. } = &*self.0;
        // A thread that runs async tasks must not drive another runtime.
        if Handle::try_current().is_ok() {
            turns.begin_passive();
            let _call = Call(turns, Turns::end_passive);
            return sleep_until(pin!(future), deadline);
        }
        if turns.begin() {
            let_go.notify_one();
        }
        let _call = Call(turns, Turns::end);
        self.runtime().block_on(async {
            match deadline {
                None => Some(future.await),
                Some(deadline) => timeout_at(deadline.into(), future).await.ok(),
            }
        })
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

/// Wakes a thread that sleeps in [`sleep_until`].
#[derive(Debug)]
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    static UNPARK: Arc<Unpark> = Arc::new(Unpark {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
}

/// Polls one of our futures on this thread, which sleeps meanwhile.
fn sleep_until<F: Future>(mut future: Pin<&mut F>, deadline: Option<Instant>) -> Option<F::Output> {
    let unpark = UNPARK.with(Clone::clone);
    let waker = Waker::from(unpark.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

#[cfg(all(test, shuttle))]
mod models;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Whatever threads begin and end, the background thread drives in the end, and never while a
    /// call does.
    #[test]
    fn the_background_thread_comes_back() {
        let turns = Arc::new(Turns::new());
        let driving = Arc::new(Mutex::new(()));
        let (let_go, released) = mpsc::channel::<()>();
        let (drives, driven) = mpsc::channel::<()>();
        let background = thread::spawn({
            let (turns, driving) = (turns.clone(), driving.clone());
            move || {
                while turns.wait() {
                    let _core = driving.lock().unwrap();
                    let _ = drives.send(());
                    let _ = released.recv();
                }
            }
        });
        driven.recv().unwrap();
        for round in 0..50 {
            let calls: Vec<_> = (0..4)
                .map(|n| {
                    let (turns, driving, let_go) = (turns.clone(), driving.clone(), let_go.clone());
                    thread::spawn(move || {
                        for call in 0..20 {
                            if (n + call + round) % 7 == 0 {
                                turns.begin_passive();
                                turns.end_passive();
                                continue;
                            }
                            if turns.begin() {
                                let_go.send(()).unwrap();
                            }
                            drop(driving.lock().unwrap());
                            turns.end();
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
        let_go.send(()).unwrap();
        background.join().unwrap();
        assert!(!turns.wait());
        let turn = turns.lock();
        assert_eq!((turn.calls, turn.passive), (0, 0));
    }
}
