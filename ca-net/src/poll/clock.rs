//! A timer of the system among the sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::timer_fd;

/// Set when the earliest deadline comes forward, and not for each wait.
#[derive(Debug)]
pub(super) struct SystemTimer(timer_fd::Fd);

impl SystemTimer {
    /// None when the system has none left; waits have a time-out then.
    pub(super) fn new(registry: &Registry, token: Token) -> Option<Self> {
        let register = || {
            let timer = timer_fd::Fd::new()?;
            let fd = timer.as_fd().as_raw_fd();
            // Each time it fires is an event, whether or not the last was read; closing it takes it out.
            registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
            io::Result::Ok(timer)
        };
        match register() {
            Ok(timer) => Some(Self(timer)),
            Err(error) => {
                tracing::debug!("no timer of the system: {error}");
                None
            }
        }
    }

    /// Has it fire once, `left` from now, in place of what it was set to.
    ///
    /// # Errors
    /// Whatever the system says.
    pub(super) fn set(&self, left: Duration) -> io::Result<()> {
        self.0.set(left)
    }
}
