//! A timer of the system as a handle, which costs nothing while nothing is due.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Longest time that is set at once: centuries, which mean "never", do not fit a 32-bit system.
const LONGEST: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(crate) struct Fd(TimerFd);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Fd {
    /// # Errors
    /// Whatever the system says, usually that the process has too many open files.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// Has it fire once, `left` from now or sooner, in place of what it was set to.
    ///
    /// # Errors
    /// Whatever the system says.
    pub(crate) fn set(&self, left: Duration) -> io::Result<()> {
        // A time of zero would disarm it.
        let left = left.clamp(Duration::from_nanos(1), LONGEST);
        let once = Expiration::OneShot(TimeSpec::from_duration(left));
        Ok(self.0.set(once, TimerSetTimeFlags::empty())?)
    }

    /// Takes note that it has fired; [`WouldBlock`](io::ErrorKind::WouldBlock) if it has not.
    #[cfg(feature = "tokio")]
    pub(crate) fn wait(&self) -> io::Result<()> {
        Ok(self.0.wait()?)
    }
}
