//! Output that nobody waits for: a thread writes it, and what does not fit is counted.
//!
//! A pipe that nobody reads, a terminal that is stopped, a disk that is full or a reader that went away must
//! not stop a program that others depend on. Lines wait in a bounded queue; those that are lost are told in
//! their place, as soon as anything can be written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::escape;

/// Bytes that may wait.
const MAX_WAITING: usize = 256 * 1024;
/// Bytes that are written at once.
const MAX_BATCH: usize = 64 * 1024;
/// Characters of a line of the log; it may hold text of peers.
const MAX_LINE: usize = 1000;
/// How long a writer waits until its text has left, so that it stands before what others write next to it.
/// Once that has taken longer, nobody waits until everything has left.
const ORDER: Duration = Duration::from_millis(20);
/// Pause before what was lost to an error is told, in case that it is mended.
const RETRY: Duration = Duration::from_secs(1);

/// A stream that is written in the background. Clones write to the same stream; lines stay whole.
pub(crate) struct Background {
    shared: Arc<Shared>,
    /// The beginning of a line.
    line: Vec<u8>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    retry: Duration,
}

struct State {
    /// Where it goes; taken by the thread, which is started when there is something to write.
    sink: Option<Box<dyn Write + Send>>,
    waiting: VecDeque<Item>,
    /// Bytes that wait or are being written.
    bytes: usize,
    /// Lines that did not fit or could not be written, since that was told.
    lost: u64,
    /// Why nothing can be written.
    error: Option<io::Error>,
    /// Somebody has waited in vain.
    stuck: bool,
}

enum Item {
    Text(Vec<u8>),
    /// So many lines are missing here.
    Lost(u64),
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Lost(_) => LOST_BYTES,
        }
    }

    /// Lines that are lost with it.
    fn lines(&self) -> u64 {
        match self {
            Self::Text(text) => lines_of(text),
            Self::Lost(lines) => *lines,
        }
    }
}

/// At least the bytes of the line that tells of lost ones.
const LOST_BYTES: usize = 80;

fn lines_of(text: &[u8]) -> u64 {
    let ends = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
    ends + u64::from(text.last().is_some_and(|&last| last != b'\n'))
}

impl Clone for Background {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            line: Vec::new(),
        }
    }
}

impl Background {
    /// A stream to this end.
    fn new(sink: impl Write + Send + 'static, retry: Duration) -> Self {
        let state = State {
            sink: Some(Box::new(sink)),
            waiting: VecDeque::new(),
            bytes: 0,
            lost: 0,
            error: None,
            stuck: false,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed: Condvar::new(),
                retry,
            }),
            line: Vec::new(),
        }
    }

    /// The error stream of the process.
    pub(crate) fn stderr() -> Self {
        static STDERR: OnceLock<Background> = OnceLock::new();
        let stream = STDERR.get_or_init(|| match own_stderr() {
            Ok(own) => Self::new(own, RETRY),
            Err(_) => Self::new(io::stderr(), RETRY),
        });
        stream.clone()
    }

    /// Standard output, for a command that others depend on.
    pub(crate) fn stdout() -> Self {
        match own_stdout() {
            Ok(own) => Self::new(own, RETRY),
            Err(_) => Self::new(io::stdout(), RETRY),
        }
    }

    /// Hands over whole lines.
    fn push(&self, text: Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        let missing = (state.lost > 0).then_some(Item::Lost(state.lost));
        let text = Item::Text(text);
        let more = text.bytes() + missing.as_ref().map_or(0, Item::bytes);
        if state.bytes + more > MAX_WAITING {
            state.lost += text.lines();
            return;
        }
        state.lost = 0;
        state.bytes += more;
        state.waiting.extend(missing);
        state.waiting.push_back(text);
        if let Some(sink) = state.sink.take() {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("output".to_owned());
            // Without a thread the queue fills, and lines are counted.
            let _ = thread.spawn(move || shared.write(sink));
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    fn push_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.push(line);
    }

    /// Waits until everything has left, but not for longer than this.
    ///
    /// # Errors
    /// Why it could not be written; [`TimedOut`](io::ErrorKind::TimedOut) if nobody reads.
    pub(crate) fn finish(&mut self, limit: Duration) -> io::Result<()> {
        self.push_line();
        let mut state = self.shared.wait(self.shared.lock(), limit);
        match state.error.take() {
            Some(error) => Err(error),
            None if state.bytes > 0 => Err(io::ErrorKind::TimedOut.into()),
            None => Ok(()),
        }
    }
}

impl Write for Background {
    /// Takes everything, always.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(text);
        if let Some(end) = self.line.iter().rposition(|&byte| byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let lines = std::mem::replace(&mut self.line, rest);
            self.push(lines);
        } else if self.line.len() > MAX_BATCH {
            self.push_line();
        }
        Ok(text.len())
    }

    /// Waits a moment, unless the stream is known to be stuck.
    fn flush(&mut self) -> io::Result<()> {
        self.push_line();
        let state = self.shared.lock();
        if !state.stuck {
            let mut state = self.shared.wait(state, ORDER);
            state.stuck = state.bytes > 0;
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything was written, or has failed.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        let start = Instant::now();
        while state.bytes > 0 {
            let Some(rest) = limit.checked_sub(start.elapsed()) else {
                break;
            };
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// The thread: writes for ever. It ends with the process.
    fn write(&self, mut sink: Box<dyn Write + Send>) {
        // The last thing that was written is a part of a line.
        let mut is_cut = false;
        loop {
            let batch = self.batch();
            let mut text = if is_cut { b"\n".to_vec() } else { Vec::new() };
            let mut ends = Vec::with_capacity(batch.len());
            for item in &batch {
                match item {
                    Item::Text(line) => text.extend_from_slice(line),
                    Item::Lost(lines) => {
                        let lines = escape::counted(*lines, "line");
                        // Writing to a vector cannot fail.
                        let _ = writeln!(text, "({lines} could not be written here)");
                    }
                }
                ends.push(text.len());
            }
            let (written, result) = write_some(&mut *sink, &text);
            if let Some(last) = text[..written].last() {
                is_cut = *last != b'\n';
            }
            let mut state = self.lock();
            for (item, end) in batch.iter().zip(ends) {
                state.bytes -= item.bytes();
                if end > written {
                    state.lost += item.lines();
                }
            }
            state.error = result.err();
            state.stuck &= state.bytes > 0;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// What is to be written next.
    fn batch(&self) -> Vec<Item> {
        let mut state = self.lock();
        loop {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while let Some(item) = state.waiting.pop_front() {
                bytes += item.bytes();
                batch.push(item);
                if bytes >= MAX_BATCH {
                    return batch;
                }
            }
            // What is missing stands behind everything that waited.
            let retry = state.error.is_none();
            if state.lost > 0 && retry {
                let lost = Item::Lost(std::mem::take(&mut state.lost));
                state.bytes += lost.bytes();
                batch.push(lost);
            }
            if !batch.is_empty() {
                return batch;
            }
            if state.lost > 0 {
                let waited = self.changed.wait_timeout(state, self.retry);
                let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = next;
                if timeout.timed_out() {
                    state.error = None;
                }
            } else {
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Writes as much as is possible: the bytes, and what came in between.
pub(crate) fn write_some(sink: &mut dyn Write, text: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
        match sink.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, sink.flush())
}

/// Standard output without its lock, which the command may hold.
///
/// # Errors
/// Those of the system.
pub(crate) fn own_stdout() -> io::Result<File> {
    #[cfg(unix)]
    let own = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let own = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
    Ok(File::from(own))
}

fn own_stderr() -> io::Result<File> {
    #[cfg(unix)]
    let own = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?;
    #[cfg(windows)]
    let own = std::os::windows::io::AsHandle::as_handle(&io::stderr()).try_clone_to_owned()?;
    Ok(File::from(own))
}

/// Log lines on the error stream: each on one line, of bounded length, without effect on a terminal.
pub(crate) struct LogLines(Background);

impl LogLines {
    pub(crate) fn to_stderr() -> Self {
        Self(Background::stderr())
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LogLine(&self.0)
    }
}

/// Takes a line of the log, as a whole.
pub(crate) struct LogLine<'a>(&'a Background);

impl Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = escape::printable(text.trim_end());
        let text = escape::shortened(&text, MAX_LINE);
        self.0.push(format!("{text}\n").into_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says something on the error stream, as a line of the log that no level leaves out.
pub(crate) fn say(what: &str) {
    let stream = Background::stderr();
    // Takes everything, always.
    let _ = LogLine(&stream).write(what.as_bytes());
}

/// Lets a panic be told like everything else: who prints it would wait for a reader of the error stream,
/// maybe under a lock.
pub(crate) fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        let mut err = Background::stderr();
        let trace = std::backtrace::Backtrace::capture();
        let _ = match trace.status() {
            std::backtrace::BacktraceStatus::Captured => writeln!(err, "{info}\n{trace}"),
            _ => writeln!(err, "{info}"),
        };
        let _ = err.flush();
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A sink that takes what it is told to take, call by call.
    struct Valve {
        orders: Receiver<io::Result<usize>>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Valve {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // At the end of the test everything passes.
            let most = self.orders.recv().unwrap_or(Ok(usize::MAX))?;
            let taken = most.min(text.len());
            let _ = self.taken.send(text[..taken].to_vec());
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn valve(retry: Duration) -> (Background, Sender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let (send, orders) = channel();
        let (taken, texts) = channel();
        (Background::new(Valve { orders, taken }, retry), send, texts)
    }

    fn all(texts: &Receiver<Vec<u8>>, len: usize) -> String {
        let mut text = Vec::new();
        while text.len() < len {
            text.extend(texts.recv_timeout(PATIENCE).expect("more text"));
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_sink_that_blocks_holds_nobody_up_and_what_is_lost_is_told_in_its_place() {
        let (mut out, orders, texts) = valve(PATIENCE);
        let line = "x".repeat(1023) + "\n";
        // Far more than fits, while nothing is taken.
        for _ in 0..1000 {
            out.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(
            out.finish(Duration::ZERO).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        let kept = MAX_WAITING / line.len();
        let note = format!("({} lines could not be written here)\n", 1000 - kept);
        drop(orders);
        let expected = line.repeat(kept) + &note;
        assert_eq!(all(&texts, expected.len()), expected);
        out.write_all(b"again\n").unwrap();
        assert_eq!(all(&texts, 6), "again\n");
    }

    #[test]
    fn what_an_error_has_cost_is_told_when_it_is_mended() {
        let (mut out, orders, texts) = valve(PATIENCE);
        let full = || Err(io::ErrorKind::StorageFull.into());
        orders.send(Ok(3)).unwrap();
        orders.send(full()).unwrap();
        out.write_all(b"cut off\n").unwrap();
        let error = loop {
            match out.finish(PATIENCE) {
                Err(error) => break error,
                Ok(()) => thread::yield_now(),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        orders.send(full()).unwrap();
        out.write_all(b"lost\n").unwrap();
        out.finish(PATIENCE).unwrap_err();
        drop(orders);
        out.write_all(b"there\n").unwrap();
        let expected = "cut\n(2 lines could not be written here)\nthere\n";
        assert_eq!(all(&texts, expected.len()), expected);
    }

    #[test]
    fn what_was_lost_is_told_without_a_further_line() {
        let (mut out, orders, texts) = valve(Duration::from_millis(1));
        orders.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        out.write_all(b"lost\n").unwrap();
        out.finish(PATIENCE).unwrap_err();
        drop(orders);
        let expected = "(1 line could not be written here)\n";
        assert_eq!(all(&texts, expected.len()), expected);
    }

    #[test]
    fn a_log_line_is_one_short_line_without_effect_on_a_terminal() {
        let (out, orders, texts) = valve(PATIENCE);
        drop(orders);
        let text = format!("a\x1b[31m\n\u{9b}{}\n", "b".repeat(5000));
        let mut log = LogLine(&out);
        log.write_all(text.as_bytes()).unwrap();
        let expected = r"a\x1b[31m\n\u{9b}";
        let line = texts.recv_timeout(PATIENCE).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(line.starts_with(expected), "{line}");
        assert!(line.ends_with("b…\n"), "{line}");
        assert_eq!(line.chars().count(), MAX_LINE + 2);
    }
}
