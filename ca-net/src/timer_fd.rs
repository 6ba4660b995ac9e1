//! An alarm on a handle of the system, which costs nothing while nothing is due.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use crate::timer::Alarm;

/// Longest time that is set at once: centuries, which mean "never", do not fit a 32-bit system.
const LONGEST: Duration = Duration::from_secs(86_400);

/// A timer of the system among the runtime's sockets. While a tokio timer is armed, each wait for the
/// sockets looks at the clock once more and has the system set a timer and take it back; this one is
/// set when a deadline comes forward.
#[derive(Debug)]
pub(crate) struct FdAlarm(AsyncFd<Fd>);

#[derive(Debug)]
struct Fd(TimerFd);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl FdAlarm {
    /// # Errors
    /// Whatever the system says, usually that the process has too many open files.
    pub(crate) fn new(handle: &Handle) -> io::Result<Self> {
        let _context = handle.enter();
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Fd(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        #[expect(
            deprecated,
            reason = "what its unsafe successor asks for holds: one descriptor, ours until the drop"
        )]
        let fd = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(fd))
    }
}

impl Alarm for FdAlarm {
    fn set(&mut self, left: Duration) -> io::Result<()> {
        // A time of zero would disarm it.
        let left = left.clamp(Duration::from_nanos(1), LONGEST);
        let once = Expiration::OneShot(TimeSpec::from_duration(left));
        Ok((self.0.get_ref().0).set(once, TimerSetTimeFlags::empty())?)
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Ok(mut guard) = ready!(self.0.poll_read_ready(cx)) else {
                // The runtime is ending, and its tasks with it.
                return Poll::Pending;
            };
            if guard.try_io(|fd| Ok(fd.get_ref().0.wait()?)).is_ok() {
                return Poll::Ready(());
            }
        }
    }
}
