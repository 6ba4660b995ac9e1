//! The runtime for real sockets of programs without an async runtime: a poll loop of its own.
//!
//! The system is asked for events through [mio](https://docs.rs/mio), on which tokio stands as well: it covers all
//! systems that the client runs on, Windows among them, and asks for nothing unsafe. Between it and the tasks there
//! is nothing but a queue.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod clock;
mod exec;
mod reactor;
mod sockets;
mod task;
mod timers;

use std::future::Future;
use std::io;
use std::net::SocketAddrV4;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time;

use ca_proto::addr_list::Interface;
use ca_proto::{Instant, Timestamp};

use self::exec::Exec;
use self::reactor::{Io, Reactor};
use self::sockets::{PollListener, PollUdp, Stream};
use self::timers::Alarm;
use crate::runtime::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, TaskHandle,
    Timer, UdpOptions,
};
use crate::system;
use crate::timer::LazyTimer;

/// Real sockets and real time, moved by the threads that [wait](Self::block_on) for something. Clones are the same
/// runtime.
///
/// It has no thread of its own: tasks go on, and deadlines pass, while some thread is in
/// [`block_on`](Self::block_on). Of several such threads one runs the tasks and waits for the sockets; the others
/// sleep until their own future is woken, or until they are to take its place.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// use ca_net::{PollRuntime, Runtime};
///
/// # fn main() -> std::io::Result<()> {
/// let runtime = PollRuntime::new()?;
/// let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &Default::default())?;
/// let to = listener.local_addr()?;
/// let stream = runtime.block_on(runtime.dial(to, &Default::default()))?;
/// assert_ne!(stream.local_addr()?, to);
/// // Nobody ever answers; the thread gives up at the deadline.
/// let deadline = Instant::now() + Duration::from_millis(10);
/// assert_eq!(runtime.block_until(std::future::pending::<()>(), Some(deadline)), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PollRuntime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: time::Instant,
    io: Arc<Io>,
    exec: Exec<Reactor>,
}

impl PollRuntime {
    /// A runtime without tasks.
    ///
    /// # Errors
    /// Whatever the system says, usually that the process has too many open files.
    pub fn new() -> io::Result<Self> {
        let (reactor, io) = Reactor::new()?;
        Ok(Self(Arc::new(Inner {
            start: time::Instant::now(),
            exec: Exec::new(reactor, Box::new(io.clone())),
            io,
        })))
    }

    /// Polls a future to its end on this thread, which moves the bytes of all tasks meanwhile, or sleeps while another
    /// thread does. The future need not be of this runtime.
    ///
    /// A task must not call it: it would wait for itself.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.exec.block_on(future)
    }

    /// As [`block_on`](Self::block_on), but gives up at a deadline, if there is one.
    pub fn block_until<F: Future>(
        &self,
        future: F,
        deadline: Option<time::Instant>,
    ) -> Option<F::Output> {
        let Some(deadline) = deadline else {
            return Some(self.block_on(future));
        };
        let mut timer = self.timer();
        timer.reset(Some(
            Instant::ZERO + deadline.saturating_duration_since(self.0.start),
        ));
        let mut future = pin!(future);
        self.block_on(std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.poll(cx).map(|()| None),
        }))
    }

    /// Does what can be done at once, without waiting: runs tasks that are ready, looks at the sockets, and runs those
    /// that became ready by that. It is for programs that wait in a loop of their own, with the descriptor of the
    /// runtime among the others (`AsRawFd`, on Unix).
    pub fn turn(&self) {
        self.0.exec.turn();
    }

    /// Drops all tasks. Tasks own the runtime as a rule, which without this would never be dropped; who started some
    /// that do not end by themselves calls this at last.
    pub fn shutdown(&self) {
        self.0.exec.shutdown();
    }
}

/// Readable when there is something to do: a socket, a timer, a task that another thread has woken. It is only to be
/// waited for.
#[cfg(unix)]
impl std::os::fd::AsRawFd for PollRuntime {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.io.raw_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for PollRuntime {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.io.as_fd()
    }
}

impl Runtime for PollRuntime {
    fn now(&self) -> Instant {
        Instant::ZERO + self.0.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        system::wall()
    }

    fn entropy(&self) -> u64 {
        system::entropy()
    }

    fn timer(&self) -> Box<dyn Timer> {
        let alarm = Alarm::new(self.0.io.clone());
        Box::new(LazyTimer::new(self.0.start, alarm))
    }

    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle {
        self.0.exec.spawn(task)
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        self.0.exec.yield_now(cx.waker());
    }

    fn dial(&self, to: SocketAddrV4, options: &StreamOptions) -> Dial {
        let dial = Stream::dial(self.0.io.clone(), to, *options);
        Box::pin(async move { Ok(Box::new(dial.await?) as Box<dyn ByteStream>) })
    }

    fn listen(
        &self,
        address: SocketAddrV4,
        options: &StreamOptions,
    ) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(PollListener::new(&self.0.io, address, options)?))
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        crate::iface::interfaces()
    }

    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(Box::new(PollUdp::new(&self.0.io, options)?))
    }
}
