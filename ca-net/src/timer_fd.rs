//! Deadlines on a handle of the system, which cost nothing while nothing is due.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, ready};
use std::time;

use ca_proto::Instant;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use crate::runtime::Timer;

/// A timer of the system among the runtime's sockets. While a tokio timer is armed, each wait for the
/// sockets looks at the clock once more and has the system set a timer and take it back; this one is
/// set when a deadline comes forward.
#[derive(Debug)]
pub(crate) struct FdTimer {
    start: time::Instant,
    fd: AsyncFd<Fd>,
    /// What the system's timer is set to, while that has not fired.
    armed: Option<Instant>,
    wanted: Option<Instant>,
}

/// Longest time that is set at once.
const LONGEST: time::Duration = time::Duration::from_secs(86_400);

#[derive(Debug)]
struct Fd(TimerFd);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl FdTimer {
    /// A timer that is not armed. Times count from `start`.
    ///
    /// # Errors
    /// Whatever the system says, usually that the process has too many open files.
    pub(crate) fn new(handle: &Handle, start: time::Instant) -> io::Result<Self> {
        let _context = handle.enter();
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Fd(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        #[expect(
            deprecated,
            reason = "what its unsafe successor asks for holds: one descriptor, ours until the drop"
        )]
        let fd = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self {
            start,
            fd,
            armed: None,
            wanted: None,
        })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn arm(&mut self, deadline: Instant) -> io::Result<()> {
        // A time of zero would disarm it; on 32-bit systems one of centuries, which means "never",
        // would not fit. Whoever fires too early is armed again.
        let left = (deadline - self.now()).clamp(time::Duration::from_nanos(1), LONGEST);
        let once = Expiration::OneShot(TimeSpec::from_duration(left));
        (self.fd.get_ref().0).set(once, TimerSetTimeFlags::empty())?;
        self.armed = Some(deadline);
        Ok(())
    }
}

impl Timer for FdTimer {
    fn reset(&mut self, deadline: Option<Instant>) {
        self.wanted = deadline;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = self.wanted else {
            return Poll::Pending;
        };
        loop {
            if self.armed.is_none_or(|armed| wanted < armed)
                && let Err(error) = self.arm(wanted)
            {
                // Not known to happen. Too early is better than never.
                tracing::warn!("cannot set a timer: {error}");
                return Poll::Ready(());
            }
            let Ok(mut guard) = ready!(self.fd.poll_read_ready(cx)) else {
                // The runtime is ending, and its tasks with it.
                return Poll::Pending;
            };
            if guard.try_io(|fd| Ok(fd.get_ref().0.wait()?)).is_err() {
                continue;
            }
            self.armed = None;
            if self.now() >= wanted {
                self.wanted = None;
                return Poll::Ready(());
            }
        }
    }
}
