//! The put log of `canter ioc`: who wrote what, a JSON line for each put.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use ca_proto::Timestamp;
use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::{Value, ValueRef};
use ca_proto::server::PutOutcome;
use ca_server_sim::PutReport;
use serde::Serialize;

use crate::exit::UsageError;
use crate::{json, text, when};

/// Puts that wait to be written; what does not fit is counted in the next line.
const MAX_WAITING: usize = 4096;
/// Elements of an array that are written.
const MAX_ELEMENTS: u32 = 32;

/// A put, as much of it as is written.
struct Entry {
    stamp: Timestamp,
    pv: String,
    user: String,
    host: String,
    peer: String,
    kind: Option<String>,
    /// `None` at the end of a put whose beginning is in the log.
    old: Option<Value>,
    new: Option<Value>,
    number: Option<u16>,
    notify: bool,
    result: String,
    took: Option<f64>,
    missed: u64,
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    /// As the client says.
    user: &'a str,
    host: &'a str,
    peer: &'a str,
    pv: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<serde_json::Value>,
    /// As sent, if it was refused or has only begun; null if it cannot be read.
    new: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'a str>,
    /// Whether the client waits for completion.
    notify: bool,
    result: &'a str,
    /// Seconds from the beginning, for the end of a put that completed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    took: Option<f64>,
    /// Puts before this one that are not in the log, because it could not be written fast enough.
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref)] // As serde wants it.
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The thread that writes the log.
pub(crate) struct Writer(JoinHandle<io::Result<()>>);

impl Writer {
    /// Waits until everything is written.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.0
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the put log has failed")))
    }
}

/// Opens a log: what the IOC calls, and the thread that writes until that is dropped.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn open(
    path: &Path,
) -> Result<(impl FnMut(&PutReport<'_>) + Send + 'static, Writer), UsageError> {
    let failed = |error: io::Error| {
        UsageError::new(
            format!("--put-log {}: {error}", path.display()),
            "name a file that can be written, or - for standard output",
        )
    };
    let out: Box<dyn Write + Send> = if path.as_os_str() == "-" {
        Box::new(standard_output().map_err(failed)?)
    } else {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Box::new(file.map_err(failed)?)
    };
    let (send, receive) = sync_channel(MAX_WAITING);
    let thread = thread::Builder::new().name("put-log".to_owned());
    let writer = thread.spawn(move || write(&receive, BufWriter::new(out)));
    Ok((sender(send), Writer(writer.map_err(failed)?)))
}

/// Standard output without its lock, which the command holds.
fn standard_output() -> io::Result<File> {
    #[cfg(unix)]
    let own = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let own = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
    Ok(File::from(own))
}

fn sender(send: SyncSender<Entry>) -> impl FnMut(&PutReport<'_>) + Send + 'static {
    let mut missed = 0;
    move |put| {
        let mut entry = entry(put);
        entry.missed = missed;
        match send.try_send(entry) {
            Ok(()) => missed = 0,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => missed += 1,
        }
    }
}

fn entry(put: &PutReport<'_>) -> Entry {
    let name = |bytes: &[u8]| text::decode(bytes).into_owned();
    let pv = match put.field {
        "VAL" => put.name.to_owned(),
        field => format!("{}.{field}", put.name),
    };
    let short = |value: ValueRef<'_>| value.truncated(MAX_ELEMENTS).to_value();
    let result = match put.outcome {
        PutOutcome::Done(status) if status.is_success() => "done".to_owned(),
        PutOutcome::Done(status) => status.name().unwrap_or("unknown status").to_owned(),
        PutOutcome::Pending => "begun".to_owned(),
    };
    let (kind, new, number) = match put.sent {
        Some(PutValue::Value(sent)) => {
            let stored = result == "done";
            let value = if stored {
                put.after.value.as_ref()
            } else {
                sent
            };
            let kind = format!("DBR_{}", sent.native.name());
            (Some(kind), Some(short(value)), None)
        }
        Some(PutValue::AckTransient(on)) => {
            (Some("DBR_PUT_ACKT".to_owned()), None, Some(u16::from(on)))
        }
        Some(PutValue::AckSeverity(severity)) => {
            (Some("DBR_PUT_ACKS".to_owned()), None, Some(severity.0))
        }
        None if put.begun.is_some() => (None, Some(short(put.after.value.as_ref())), None),
        None => (None, None, None),
    };
    let begun = put
        .begun
        .map(|begun| put.now.saturating_duration_since(begun));
    Entry {
        stamp: put.stamp,
        pv,
        user: name(&put.who.user),
        host: name(&put.who.host),
        peer: put.who.peer.to_string(),
        kind,
        old: begun.is_none().then(|| short(put.before.value.as_ref())),
        new,
        number,
        notify: put.notify,
        result,
        took: begun.map(|time| time.as_secs_f64()),
        missed: 0,
    }
}

/// Writes until the IOC is gone; flushes when nothing waits.
fn write(entries: &Receiver<Entry>, mut out: impl Write) -> io::Result<()> {
    while let Ok(first) = entries.recv() {
        let mut next = Some(first);
        while let Some(entry) = next {
            serde_json::to_writer(&mut out, &line(&entry))?;
            out.write_all(b"\n")?;
            next = entries.try_recv().ok();
        }
        out.flush()?;
    }
    out.flush()
}

fn line(entry: &Entry) -> Line<'_> {
    let shown = |value: &Value| json::value(value.as_ref(), value.count() != 1);
    let new = entry.new.as_ref().map(shown);
    Line {
        time: when::local(entry.stamp),
        user: &entry.user,
        host: &entry.host,
        peer: &entry.peer,
        pv: &entry.pv,
        old: entry.old.as_ref().map(shown),
        new: new.unwrap_or_else(|| entry.number.into()),
        r#type: entry.kind.as_deref(),
        notify: entry.notify,
        result: &entry.result,
        took: entry.took,
        missed: entry.missed,
    }
}
