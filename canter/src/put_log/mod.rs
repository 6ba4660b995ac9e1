//! The put log of `canter ioc`: who wrote what, a JSON line for each put.
//!
//! The IOC hands each put over under its lock, so nothing there waits for the file: a bounded [`Queue`] takes
//! the puts, and a thread, the [`writer`], writes them. What the queue cannot take is counted, and told
//! where it is missing.

mod entry;
mod file;
mod queue;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ca_server_sim::IocBuilder;
use clap::Args;

use crate::console::Console;
use crate::escape;
use crate::exit::{Outcome, UsageError};
use entry::{Entry, Kind};
use file::{Rotation, Target};
use queue::{Queue, Tell};

/// How long the end of the program waits for a log that takes nothing.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Pause between two attempts to write.
const RETRY: Duration = Duration::from_secs(1);
/// Smallest size of a file: some lines of the longest kind.
const MIN_SIZE: u64 = 4 * entry::MAX_LINE as u64;

// Where puts are logged.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PutLogArgs {
    /// Write a JSON line for each put of a client to this file, behind what it holds; `-` is standard
    /// output
    #[arg(long, value_name = "FILE")]
    put_log: Option<PathBuf>,
    /// Refuse puts while they cannot be logged, because the disk is full for example
    #[arg(long, requires = "put_log")]
    put_log_required: bool,
    /// Begin a new file when this one would have more bytes, such as 65536, 500k, 10M or 1G; the old one
    /// gets the name FILE.1, an older one FILE.2
    #[arg(long, value_name = "BYTES", value_parser = size, requires = "put_log")]
    put_log_size: Option<u64>,
    /// So many old files are kept
    #[arg(long, value_name = "N", default_value = "4", requires = "put_log_size")]
    put_log_keep: u16,
}

fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, factor) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1 << 10),
        Some('M') => (&text[..text.len() - 1], 1 << 20),
        Some('G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok();
    let bytes = bytes.and_then(|number| number.checked_mul(factor));
    let bytes = bytes.ok_or("give a number of bytes such as 65536, 500k, 10M or 1G")?;
    match bytes >= MIN_SIZE {
        true => Ok(bytes),
        false => Err(format!("a file has at least {MIN_SIZE} bytes")),
    }
}

/// A log that is open.
pub(crate) struct PutLog {
    queue: Arc<Queue>,
    shown: String,
}

impl PutLogArgs {
    /// Opens the log, if there is to be one, and tells it of all puts of an IOC. `tell` is told at once what
    /// goes wrong; it must not block.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(
        &self,
        ioc: IocBuilder,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(IocBuilder, Option<PutLog>), UsageError> {
        let Some(path) = &self.put_log else {
            return Ok((ioc, None));
        };
        let rotation = self.put_log_size.map(|size| Rotation {
            size,
            keep: self.put_log_keep,
        });
        let target = Target::open(path, rotation)?;
        let shown = escape::printable(&path.display().to_string()).into_owned();
        let told = format!("put log {shown}");
        let tell: Tell = Arc::new(move |what: &str| tell(&format!("{told}: {what}")));
        let (ioc, log) = attach(ioc, target, self.put_log_required, tell)
            .map_err(|error| file::failed(path, &error))?;
        Ok((ioc, Some(PutLog { queue: log, shown })))
    }
}

/// Starts a writer and tells it of all puts.
fn attach(
    ioc: IocBuilder,
    target: Target,
    required: bool,
    tell: Tell,
) -> io::Result<(IocBuilder, Arc<Queue>)> {
    let queue = Arc::new(Queue::new(required, Arc::clone(&tell)));
    writer::start(Arc::clone(&queue), target, tell, RETRY)?;
    let log = Arc::clone(&queue);
    let mut ioc = ioc.put_log(move |put| {
        let now = Instant::now();
        // What is only counted costs no more than that.
        let host = *put.who.peer.ip();
        if Kind::of(put) != Kind::Refused || !log.only_counts(host, put.stamp, now) {
            log.push(Entry::of(put), now);
        }
    });
    if required {
        let log = Arc::clone(&queue);
        ioc = ioc.refuse_puts_while(move || !log.has_room(Instant::now()));
    }
    Ok((ioc, queue))
}

impl PutLog {
    /// Waits until everything is written, once the IOC is gone, and says what is missing.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn finish(self, console: &mut Console<'_>) -> io::Result<Outcome> {
        let left = self.queue.finish(LAST_LINES);
        let log = format!("put log {}", self.shown);
        if left.unwritten > 0 {
            let lines = escape::counted(left.unwritten, "line");
            let why = left.why.unwrap_or_else(|| "nothing is taken".to_owned());
            console.complain(format!("error: {log}: {lines} not written: {why}"))?;
        }
        if left.missing > 0 {
            let lines = escape::counted(left.missing, "line");
            console.complain(format!(
                "error: {log}: {lines} about puts missing, which came while it could not be written"
            ))?;
        }
        if left.refused > 0 {
            let puts = escape::counted(left.refused, "refused put");
            console.complain(format!("{log}: {puts} without a line, but counted"))?;
        }
        Ok(match left.unwritten + left.missing {
            0 => Outcome::Ok,
            _ => Outcome::PvFailed,
        })
    }
}
