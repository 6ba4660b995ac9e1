//! The asynchronous drivers and clients on the virtual network, with a virtual clock.
//!
//! A [`SimRuntime`] is an executor of its own: one thread, no sockets, no real time. Each host has
//! its [`Runtime`] view, on which the production `ca-client` and the IOC's drivers run unchanged;
//! [`SimRuntime::block_on`] runs tasks until none is runnable, then lets the clock jump to the next
//! arrival or deadline. The same seed gives the same schedule and the same bytes at the same times.
//!
//! ```
//! use ca_testkit::runtime::SimRuntime;
//! use core::time::Duration;
//!
//! let rt = SimRuntime::new(1);
//! let slept = rt.block_on(async {
//!     rt.sleep(Duration::from_secs(300)).await;
//!     rt.now()
//! });
//! assert_eq!(slept.unwrap().as_nanos(), 300_000_000_000);
//! ```

use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub use ca_net::{Runtime, TaskHandle};
use ca_net::{Timer as _, WakerList};
use ca_proto::Instant;
use ca_proto::rng::Pcg32;

use crate::net::{HostId, SimNet};
use crate::trace::Trace;

mod busy;
mod host;
mod sockets;
mod stream;
mod tasks;

use busy::Busy;
use host::{HostRuntime, SimTimer};
use sockets::Sockets;
use tasks::{Queue, TaskId, Tasks};

/// Polls without the clock moving after which a runtime counts as spinning.
const MAX_POLLS_AT_ONCE: u64 = 200_000;
/// Simulated time after which one [`SimRuntime::block_on`] gives up, unless set otherwise.
const MAX_TIME: Duration = Duration::from_secs(3600);
/// Trace lines in an error.
const TAIL: usize = 30;

/// Why a future does not complete.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// No task is runnable, nothing travels, nobody waits for a time.
    Deadlock,
    /// Tasks run again and again while the clock stands still.
    Spinning,
    /// It takes longer than the [limit](SimRuntime::set_time_limit) in simulated time.
    TooLong,
}

/// A future that does not complete.
#[derive(Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Why.
    pub cause: Cause,
    /// The simulated time.
    pub at: Instant,
    /// Each live task in words, and what it waits for.
    pub waiting: Vec<String>,
    /// The end of the trace.
    pub tail: String,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} at {:?}", self.cause, self.at)?;
        for task in &self.waiting {
            writeln!(f, "  {task}")?;
        }
        f.write_str(&self.tail)
    }
}

impl fmt::Debug for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Stuck {}

/// What a runtime holds at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RuntimeStats {
    /// Tasks that were started and have not ended.
    pub tasks: usize,
    /// Deadlines that somebody waits for.
    pub timers: usize,
    /// Datagram sockets.
    pub udp: usize,
    /// Listening sockets.
    pub listeners: usize,
    /// Streams, dialled or accepted, ended by the peer or not.
    pub streams: usize,
    /// Polls of tasks so far.
    pub polls: u64,
}

/// Everything behind the lock. Wakers are woken and futures dropped after it is released.
struct State {
    now: Instant,
    /// Time that passed while nobody had anything to do.
    idle: Duration,
    /// What lets time pass while code runs.
    busy: Option<Busy>,
    net: SimNet,
    trace: Trace,
    rng: Pcg32,
    shuffled: bool,
    time_limit: Duration,
    seeds: u64,
    tasks: Tasks,
    timers: BTreeMap<(Instant, u64), Waker>,
    next_timer: u64,
    sockets: Vec<Sockets>,
    polls: u64,
    /// Wakers that were replaced: they may own what wants our lock when it is dropped.
    old: Vec<Waker>,
}

struct Inner {
    state: Mutex<State>,
    queue: Arc<Queue>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRuntime").finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that has panicked still drops what it holds.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, work: impl FnOnce(&mut State, &mut WakerList) -> R) -> R {
        let mut wakers = WakerList::new();
        let mut state = self.lock();
        let result = work(&mut state, &mut wakers);
        let old = std::mem::take(&mut state.old);
        drop(state);
        wakers.wake_all();
        drop(old);
        result
    }
}

impl State {
    /// Somebody looks at the clock.
    fn look(&mut self) -> Instant {
        if let Some(busy) = &mut self.busy {
            self.now += busy.pause();
        }
        self.now
    }

    /// Moves to the next arrival or deadline at or before `until` and collects whom it wakes.
    fn advance(&mut self, until: Instant, wakers: &mut WakerList) -> Result<(), Cause> {
        let timer = self.timers.first_key_value().map(|(&(at, _), _)| at);
        let arrival = self.net.next_at();
        let next = timer.into_iter().chain(arrival).min();
        let next = next.ok_or(Cause::Deadlock)?.max(self.now);
        if next > until {
            return Err(Cause::TooLong);
        }
        self.idle += next - self.now;
        self.now = next;
        // In the order of arrival, each one alone; or all at once, if the seed says so.
        let all = self.shuffled && self.rng.chance(0.3);
        while self.net.next_at().is_some_and(|at| at <= next) {
            if let Some((host, delivery)) = self.net.pop(next) {
                sockets::deliver(self, host, delivery, wakers);
            }
            if !all {
                return Ok(());
            }
        }
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= next
        {
            wakers.push(entry.remove());
        }
        Ok(())
    }
}

/// A deterministic single-threaded executor over a virtual network and a virtual clock.
///
/// Dropping it drops all its tasks, as the end of a process does.
#[derive(Debug)]
pub struct SimRuntime {
    inner: Arc<Inner>,
}

impl SimRuntime {
    /// Without hosts. Tasks run in the order in which they were woken.
    pub fn new(seed: u64) -> Self {
        let state = State {
            now: Instant::ZERO,
            idle: Duration::ZERO,
            busy: None,
            net: SimNet::new(seed),
            trace: Trace::default(),
            rng: Pcg32::new(seed ^ 0x5c4e_d01e),
            shuffled: false,
            time_limit: MAX_TIME,
            seeds: seed,
            tasks: Tasks::default(),
            timers: BTreeMap::new(),
            next_timer: 0,
            sockets: Vec::new(),
            polls: 0,
            old: Vec::new(),
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                queue: Arc::default(),
            }),
        }
    }

    /// As [`new`](Self::new); the seed also chooses among runnable tasks, lets several arrivals
    /// coincide, and cuts writes short, so that each seed is another schedule.
    pub fn shuffled(seed: u64) -> Self {
        let runtime = Self::new(seed);
        runtime.inner.lock().shuffled = true;
        runtime
    }

    /// As [`shuffled`](Self::shuffled), on a machine with much else to do: time passes between any two
    /// looks at the clock, and UDP sockets are full now and then. How long each pause is follows from
    /// the seed: mostly nanoseconds, but up to `longest`.
    ///
    /// A deadline that passes between the moment when somebody looked for what is due and the moment
    /// when he says until when to sleep shows only here. Measure with [`idle`](Self::idle): a sleep
    /// that is too long is idle time, however long the pauses are.
    pub fn busy(seed: u64, longest: Duration) -> Self {
        let runtime = Self::shuffled(seed);
        runtime.inner.lock().busy = Some(Busy::new(seed, longest));
        runtime
    }

    /// The view of the host with this address, which is made if there is none yet. Subnets are 24
    /// bits wide.
    pub fn host(&self, addr: Ipv4Addr) -> Arc<dyn Runtime> {
        let id = self.host_id(addr);
        let inner = self.inner.clone();
        Arc::new(HostRuntime { inner, id, addr })
    }

    /// Names the host with this address to the network; it is made if there is none yet.
    pub fn host_id(&self, addr: Ipv4Addr) -> HostId {
        let mut state = self.inner.lock();
        let known = (0..state.sockets.len()).find(|&at| state.net.addr(HostId(at)) == addr);
        known.map_or_else(
            || {
                let name = format!("h{}", addr.octets()[3]);
                state.trace.add_host(&name);
                state.sockets.push(Sockets::new(addr));
                state.net.add_host(addr)
            },
            HostId,
        )
    }

    /// Works with the network: faults are set here.
    pub fn net<R>(&self, work: impl FnOnce(&mut SimNet) -> R) -> R {
        work(&mut self.inner.lock().net)
    }

    /// Looks at or changes the trace.
    pub fn trace<R>(&self, work: impl FnOnce(&mut Trace) -> R) -> R {
        work(&mut self.inner.lock().trace)
    }

    /// Cuts or mends both directions between two hosts: datagrams are lost, streams stand still.
    pub fn partition(&self, a: Ipv4Addr, b: Ipv4Addr, down: bool) {
        let (a, b) = (self.host_id(a), self.host_id(b));
        self.net(|net| net.partition(a, b, down));
    }

    /// Whether this host lists its interface to the subnet, as it does in the beginning; datagrams and streams
    /// pass all the same.
    pub fn show_interface(&self, addr: Ipv4Addr, up: bool) {
        let host = self.host_id(addr);
        self.inner.lock().sockets[host.index()].up = up;
    }

    /// Lets the UDP sockets that this host has take nothing to be sent for a time.
    pub fn fill_udp(&self, addr: Ipv4Addr, time: Duration) {
        let host = self.host_id(addr);
        let mut state = self.inner.lock();
        let until = state.now + time;
        state.sockets[host.index()].fill_udp(until);
    }

    /// The simulated time.
    pub fn now(&self) -> Instant {
        self.inner.lock().now
    }

    /// Simulated time that passed while nobody had anything to do: all of it, except on a
    /// [busy](Self::busy) machine.
    pub fn idle(&self) -> Duration {
        self.inner.lock().idle
    }

    /// Simulated time after which one [`block_on`](Self::block_on) gives up. Default: one hour.
    pub fn set_time_limit(&self, limit: Duration) {
        self.inner.lock().time_limit = limit;
    }

    /// What it holds at this moment.
    pub fn stats(&self) -> RuntimeStats {
        let state = self.inner.lock();
        let mut stats = RuntimeStats {
            tasks: state.tasks.len(),
            timers: state.timers.len(),
            polls: state.polls,
            ..RuntimeStats::default()
        };
        for sockets in &state.sockets {
            sockets.count(&mut stats);
        }
        stats
    }

    /// Tasks that the host with this address has started and that have not ended.
    pub fn live_tasks(&self, addr: Ipv4Addr) -> usize {
        let id = self.host_id(addr);
        self.inner.lock().tasks.of(id).count()
    }

    /// Runs tasks and lets time pass until the future is ready.
    ///
    /// # Errors
    /// [`Stuck`] when it cannot become ready any more, takes too long, or tasks spin.
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Stuck> {
        let mut future = pin!(future);
        let waker = self.inner.queue.waker(TaskId::MAIN);
        waker.wake_by_ref();
        let until = {
            let state = self.inner.lock();
            state.now + state.time_limit
        };
        let (mut polls, mut instant) = (0, self.now());
        loop {
            while let Some(id) = self.next() {
                polls += 1;
                if polls > MAX_POLLS_AT_ONCE {
                    return Err(self.stuck(Cause::Spinning));
                }
                if id != TaskId::MAIN {
                    tasks::run(&self.inner, id);
                    continue;
                }
                self.inner.lock().tasks.enter(id);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return Ok(output);
                }
            }
            self.inner
                .with(|state, wakers| state.advance(until, wakers))
                .map_err(|cause| self.stuck(cause))?;
            let now = self.now();
            if now > instant {
                (polls, instant) = (0, now);
            }
        }
    }

    /// Takes the next runnable task.
    fn next(&self) -> Option<TaskId> {
        let mut state = self.inner.lock();
        state.polls += 1;
        let State { shuffled, rng, .. } = &mut *state;
        self.inner.queue.pop(|len| match *shuffled {
            true => rng.below(len as u32) as usize,
            false => 0,
        })
    }

    fn stuck(&self, cause: Cause) -> Stuck {
        let state = self.inner.lock();
        Stuck {
            cause,
            at: state.now,
            waiting: state.tasks.describe(|host| state.trace.name(host)),
            tail: state.trace.tail(TAIL),
        }
    }

    /// Lets simulated time pass.
    ///
    /// # Panics
    /// When tasks spin.
    pub fn run_for(&self, time: Duration) {
        if let Err(stuck) = self.block_on(self.sleep(time)) {
            panic!("{stuck}");
        }
    }

    /// Starts a task of the test, which belongs to no host.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> TaskHandle {
        tasks::spawn(&self.inner, None, Box::pin(task))
    }

    /// Ready after this time.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        let mut timer = SimTimer::new(self.inner.clone());
        timer.reset(Some(self.now() + time));
        poll_fn(move |cx| timer.poll(cx))
    }

    /// The future's output, or `None` if it takes longer than this.
    pub async fn timeout<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        let (mut sleep, mut future) = (pin!(self.sleep(time)), pin!(future));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
        })
        .await
    }
}

impl Drop for SimRuntime {
    fn drop(&mut self) {
        // Tasks hold views of hosts, and these hold us. What a task starts while it is dropped is
        // refused.
        let futures = self.inner.lock().tasks.shut_down();
        drop(futures);
    }
}
