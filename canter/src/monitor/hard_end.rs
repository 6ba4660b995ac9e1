//! The end of a command whose output stands still.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::exit::Outcome;

/// Time for what is being written when the time of the command is over.
const GRACE: Duration = Duration::from_secs(1);
/// Time for saying why.
const TELL: Duration = Duration::from_millis(100);

/// Ends the program when its time is over and the command has not ended by itself, because nobody takes
/// what it writes or because it makes text of a huge array: neither can be interrupted. As long as it is
/// there.
#[derive(Debug)]
pub(super) struct HardEnd(
    #[expect(dead_code, reason = "its end is what the thread waits for")] Sender<()>,
);

impl HardEnd {
    /// Counts from now on; none if the system gives no thread.
    pub(super) fn after(time: Duration) -> Option<Self> {
        let (command, ended) = mpsc::channel::<()>();
        let limit = time.saturating_add(GRACE);
        let watch = move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // The error stream may stand still, too.
                thread::spawn(|| {
                    let told = "error: the time is over, and the output is not taken";
                    let _ = writeln!(io::stderr(), "{told}");
                });
                thread::sleep(TELL);
                std::process::exit(Outcome::PvFailed.code().into());
            }
        };
        let watch = thread::Builder::new().spawn(watch);
        watch.is_ok().then_some(Self(command))
    }
}
