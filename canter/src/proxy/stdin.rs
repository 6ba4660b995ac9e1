//! Commands from standard input.

use std::io::BufRead;

use tokio::sync::mpsc::{Receiver, channel};

/// Lines that wait.
const MAX_LINES: usize = 16;

/// The lines of standard input. A thread reads them, which ends with the process.
pub(super) fn lines() -> Receiver<String> {
    let (send, lines) = channel(MAX_LINES);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        // Fails when nobody takes lines any more.
        lines
            .take_while(|line| send.blocking_send(line.clone()).is_ok())
            .count();
    });
    lines
}
