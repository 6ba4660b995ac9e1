//! The thread that writes the log.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::entry::Record;
use super::file::Target;
use super::queue::{Next, Queue, Tell};

/// Starts the thread, which tries again after this time what has failed.
///
/// # Errors
/// There can be no more threads.
pub(super) fn start(
    queue: Arc<Queue>,
    mut target: Target,
    tell: Tell,
    retry: Duration,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("put-log".to_owned());
    let run = move || {
        while let Next::Write(records) = queue.next() {
            if !write(&queue, &mut target, &tell, retry, &records) {
                break;
            }
        }
        queue.ends();
    };
    thread.spawn(run).map(drop)
}

/// Writes records, however long it takes; false if the program ends before that is possible.
fn write(
    queue: &Queue,
    target: &mut Target,
    tell: &Tell,
    retry: Duration,
    records: &[Record],
) -> bool {
    let mut text = Vec::new();
    let mut ends = Vec::with_capacity(records.len());
    for record in records {
        record.render(&mut text);
        ends.push(text.len());
    }
    let mut rest = records;
    let mut text = &text[..];
    loop {
        let had_trouble = target.trouble.is_some();
        let (lines, result) = target.write(text, &ends);
        if let Some(trouble) = target.trouble.as_ref().filter(|_| !had_trouble) {
            tell(&format!(
                "cannot begin a new file, the old one grows: {trouble}"
            ));
        }
        if let Some(end) = lines
            .checked_sub(1)
            .and_then(|last| ends.get(last).copied())
        {
            let (done, left) = rest.split_at(lines);
            if queue.written(done, left.is_empty()) {
                tell("it is written again");
            }
            rest = left;
            text = &text[end..];
            ends.drain(..lines);
            ends.iter_mut().for_each(|line| *line -= end);
        }
        let Err(error) = result else {
            return true;
        };
        if queue.fails(error.to_string()) {
            let then = match queue.is_required() {
                true => "puts are refused",
                false => "puts wait to be written",
            };
            tell(&format!(
                "{error}; {then}, it is tried again every {retry:?}"
            ));
        }
        if !queue.pause(retry) {
            // The last attempt, after the last put.
            let (lines, result) = target.write(text, &ends);
            queue.written(&rest[..lines], lines == rest.len());
            if let Err(error) = result {
                queue.fails(error.to_string());
            }
            return lines == rest.len();
        }
    }
}
