//! `--record`: the last messages, kept in memory and written when something has happened.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ca_net::record::{Keep, Recorder, Recording};
use clap::Args;

use crate::console::Console;
use crate::interrupt::{Asked, asked_to_dump};
use crate::options::seconds;

/// Bytes that are kept unless told otherwise.
const BYTES: u64 = 4 << 20;
/// Numbered files of one command; then it says so, and writes no more of them.
const MAX_FILES: u32 = 100;
/// Pause between two files that are written because of a trouble.
const PAUSE: Duration = Duration::from_secs(60);

// How to keep messages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Flight recorder")]
pub(crate) struct RecordArgs {
    /// Keep the last messages in memory; write them into this file at the end, and into numbered ones beside it on
    /// SIGUSR1 and after a trouble. Lines of text if its name ends in .txt, else pcapng for Wireshark
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Bytes of messages to keep [default: 4 MiB]
    #[arg(long, value_name = "N", requires = "record", value_parser = clap::value_parser!(u64).range(4096..=1 << 30))]
    record_bytes: Option<u64>,
    /// Keep what is not older than this
    #[arg(long, value_name = "S", requires = "record", value_parser = seconds)]
    record_seconds: Option<f64>,
}

impl RecordArgs {
    /// What to keep, if anything.
    pub(crate) fn keep(&self) -> Option<Keep> {
        self.record.as_ref()?;
        let bytes = self.record_bytes.unwrap_or(BYTES);
        // At most 1 GiB.
        let keep = Keep::default().bytes(usize::try_from(bytes).unwrap_or(1 << 30));
        let age = self.record_seconds.map(Duration::try_from_secs_f64);
        Some(keep.age(age.and_then(Result::ok).unwrap_or(Duration::MAX)))
    }

    /// The files of a recorder.
    pub(crate) fn flight(&self, recorder: Option<&Arc<Recorder>>) -> Flight {
        let recorder = recorder.cloned();
        let open = self.record.clone().zip(recorder);
        Flight {
            asked: open.is_some().then(asked_to_dump),
            open,
            files: 0,
            told_full: false,
            next_trouble: None,
        }
    }
}

/// A recorder, and what was written of it.
pub(crate) struct Flight {
    open: Option<(PathBuf, Arc<Recorder>)>,
    asked: Option<Asked>,
    files: u32,
    told_full: bool,
    next_trouble: Option<Instant>,
}

impl Flight {
    /// Ends when somebody asks for a file; never without a recorder.
    ///
    /// # Cancel safety
    /// No request is lost.
    pub(crate) async fn asked(&mut self) {
        match &mut self.asked {
            Some(asked) => asked.next().await,
            None => std::future::pending().await,
        }
    }

    /// Writes a file after a trouble, but not often.
    ///
    /// # Errors
    /// Those of the console.
    pub(crate) async fn trouble(&mut self, console: &mut Console<'_>) -> io::Result<()> {
        let now = Instant::now();
        if self.next_trouble.is_some_and(|next| now < next) {
            return Ok(());
        }
        self.next_trouble = Some(now + PAUSE);
        self.dump(console).await
    }

    /// Writes a numbered file, in a thread of its own. What cannot be written is told, and nothing else
    /// stops.
    ///
    /// # Errors
    /// Those of the console.
    pub(crate) async fn dump(&mut self, console: &mut Console<'_>) -> io::Result<()> {
        let Some((path, recorder)) = &self.open else {
            return Ok(());
        };
        if self.files >= MAX_FILES {
            if !std::mem::replace(&mut self.told_full, true) {
                console.complain(format_args!(
                    "warning: {MAX_FILES} recordings are written, which is all that there will be before the end"
                ))?;
            }
            return Ok(());
        }
        self.files += 1;
        let path = numbered(path, self.files);
        let (recording, place) = (recorder.recording(), path.clone());
        let written = tokio::task::spawn_blocking(move || write(&recording, &place)).await;
        let written = written.unwrap_or_else(|_| Err(io::Error::other("the writing broke off")));
        tell(console, &path, written, true)
    }

    /// Writes the file at the end of the command.
    ///
    /// # Errors
    /// Those of the console.
    pub(crate) fn finish(&self, console: &mut Console<'_>) -> io::Result<()> {
        let Some((path, recorder)) = &self.open else {
            return Ok(());
        };
        tell(console, path, write(&recorder.recording(), path), false)
    }
}

fn tell(
    console: &mut Console<'_>,
    path: &Path,
    written: io::Result<usize>,
    praise: bool,
) -> io::Result<()> {
    let place = path.display();
    match written {
        Ok(frames) if praise => console.complain(format_args!(
            "recorded: the last {frames} reads and writes are in {place}"
        )),
        Ok(_) => Ok(()),
        Err(error) => console.complain(format_args!(
            "warning: the recording cannot be written to {place}: {error}; everything else goes on"
        )),
    }
}

/// `x.pcapng` and 3 make `x-3.pcapng`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Writes a recording; how many reads and writes it has. Nobody sees half of a file.
fn write(recording: &Recording, path: &Path) -> io::Result<usize> {
    let text = path.extension().is_some_and(|extension| extension == "txt");
    let into = |file: File| {
        let mut out = BufWriter::new(file);
        match text {
            true => recording.write_text(&mut out)?,
            false => recording.write_pcapng(&mut out)?,
        }
        out.flush()
    };
    if path.exists() && !path.is_file() {
        // A pipe, or another thing that is written to.
        into(File::options().write(true).open(path)?)?;
        return Ok(recording.len());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    let written = File::create(&unfinished)
        .and_then(into)
        .and_then(|()| fs::rename(&unfinished, path));
    written.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    Ok(recording.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_before_the_ending() {
        let name = |path: &str| numbered(Path::new(path), 3).display().to_string();
        assert_eq!(name("/tmp/a.b/x.pcapng"), "/tmp/a.b/x-3.pcapng");
        assert_eq!(name("x"), "x-3");
    }
}
