//! The end of the log: a file that may be moved away by others, or by ourselves when it is large; or
//! standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::background::{own_stdout, write_some};
use crate::exit::UsageError;

/// When a new file is begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    /// Largest size of a file in bytes.
    pub(super) size: u64,
    /// Old files that are kept.
    pub(super) keep: u16,
}

/// Where lines go.
pub(super) struct Target {
    place: Place,
    /// Bytes of the next line that are written already.
    begun: usize,
    /// The file ends within a line of somebody else.
    cut: bool,
    /// Why no new file could be begun; the old one is used on.
    pub(super) trouble: Option<String>,
}

enum Place {
    /// A file with a name that others may give to another one.
    File {
        path: PathBuf,
        /// `None` until it can be opened again.
        file: Option<File>,
        size: u64,
        rotation: Option<Rotation>,
    },
    /// A pipe, a terminal, a device.
    Stream(Box<dyn Write + Send>),
}

/// The file cannot be opened.
pub(super) fn failed(path: &Path, error: &io::Error) -> UsageError {
    UsageError::new(
        format!("--put-log {}: {error}", path.display()),
        "name a file that can be written, or - for standard output",
    )
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Target {
    /// Opens a file to append to, or standard output for `-`.
    ///
    /// # Errors
    /// The file cannot be opened, or cannot be exchanged for another one.
    pub(super) fn open(path: &Path, rotation: Option<Rotation>) -> Result<Self, UsageError> {
        let stream = |out| Self::new(Place::Stream(Box::new(out)));
        let opened = if path.as_os_str() == "-" {
            own_stdout().map(stream)
        } else {
            open(path).and_then(|file| {
                let meta = file.metadata()?;
                if !meta.is_file() {
                    return Ok(stream(file));
                }
                let mut target = Self::new(Place::File {
                    path: path.to_owned(),
                    file: Some(file),
                    size: meta.len(),
                    rotation,
                });
                target.cut = ends_within_a_line(path);
                Ok(target)
            })
        };
        let target = opened.map_err(|error| failed(path, &error))?;
        if rotation.is_some() && matches!(target.place, Place::Stream(_)) {
            return Err(UsageError::new(
                format!("--put-log-size: {} is no regular file", path.display()),
                "leave it out, or name a file that can be renamed",
            ));
        }
        Ok(target)
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            begun: 0,
            cut: false,
            trouble: None,
        }
    }

    /// A log into anything.
    #[cfg(test)]
    pub(super) fn stream(out: impl Write + Send + 'static) -> Self {
        Self::new(Place::Stream(Box::new(out)))
    }

    /// Writes lines, of which `ends` are the ends: how many were written, and what came in between. Those
    /// that were not are to be given again.
    pub(super) fn write(&mut self, text: &[u8], ends: &[usize]) -> (usize, io::Result<()>) {
        if let Err(error) = self.follow() {
            return (0, Err(error));
        }
        let mut done = 0;
        while done < ends.len() {
            let start = done.checked_sub(1).map_or(0, |last| ends[last]);
            let first = ends[done] - start;
            if self.begun == 0
                && let Err(error) = self.make_room(first as u64)
            {
                return (done, Err(error));
            }
            let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
            let fits = ends[done..].partition_point(|end| end - start <= room);
            let end = ends[done + fits.max(1) - 1];
            let (written, result) = self.write_part(&text[start + self.begun..end]);
            let at = start + self.begun + written;
            let whole = ends[done..].partition_point(|end| *end <= at);
            let reached = (done + whole).checked_sub(1).map_or(0, |last| ends[last]);
            self.begun = at - reached;
            done += whole;
            if result.is_err() {
                return (done, result);
            }
        }
        (done, Ok(()))
    }

    fn write_part(&mut self, text: &[u8]) -> (usize, io::Result<()>) {
        let Place::File { file, size, .. } = &mut self.place else {
            let Place::Stream(out) = &mut self.place else {
                return (0, Ok(()));
            };
            return write_some(&mut **out, text);
        };
        let Some(file) = file else {
            return (0, Err(io::ErrorKind::NotFound.into()));
        };
        if self.cut {
            match write_some(file, b"\n") {
                (1, Ok(())) => self.cut = false,
                (_, result) => return (0, result),
            }
        }
        let (written, result) = write_some(file, text);
        *size += written as u64;
        (written, result)
    }

    /// Bytes that fit into the file.
    fn room(&self) -> u64 {
        match &self.place {
            Place::File {
                size,
                rotation: Some(rotation),
                ..
            } => rotation.size.saturating_sub(*size),
            _ => u64::MAX,
        }
    }

    /// Follows the name of the file, should it have been moved or removed by others, as programs do that keep
    /// logs short.
    fn follow(&mut self) -> io::Result<()> {
        let Place::File {
            path, file, size, ..
        } = &mut self.place
        else {
            return Ok(());
        };
        if let Some(open) = file
            && is_same(open, path, size)
        {
            return Ok(());
        }
        let new = open(path)?;
        *size = new.metadata()?.len();
        *file = Some(new);
        self.cut = ends_within_a_line(path);
        self.begun = 0;
        Ok(())
    }

    /// Begins a new file if the line does not fit.
    fn make_room(&mut self, line: u64) -> io::Result<()> {
        if self.room() >= line {
            return Ok(());
        }
        let Place::File {
            path,
            file,
            size,
            rotation: Some(rotation),
        } = &mut self.place
        else {
            return Ok(());
        };
        if *size == 0 {
            return Ok(());
        }
        match shift(path, rotation.keep) {
            Ok(()) => self.trouble = None,
            Err(error) => {
                // Better a long log than none.
                self.trouble = Some(error.to_string());
                return Ok(());
            }
        }
        // The old one has no name any more, so it is not used on if this fails.
        *file = None;
        *file = Some(open(path)?);
        *size = 0;
        self.cut = false;
        Ok(())
    }
}

/// Gives each file the name of the one before it; the oldest is overwritten.
fn shift(path: &Path, keep: u16) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    let old = |n: u16| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    for n in (1..keep).rev() {
        match fs::rename(old(n), old(n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, old(1))
}

/// Whether the name still means this file; its size, which others may have changed.
#[cfg(unix)]
fn is_same(open: &File, path: &Path, size: &mut u64) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (open.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => {
            *size = open.len();
            open.dev() == named.dev() && open.ino() == named.ino()
        }
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => false,
        // It cannot be looked at now; what is open can be written.
        _ => true,
    }
}

#[cfg(not(unix))]
fn is_same(_open: &File, _path: &Path, _size: &mut u64) -> bool {
    true
}

/// Whether the last line was not written to its end, as when a process was killed or a disk was full.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok::<u8, io::Error>(byte[0])
    };
    // An empty file has no last byte.
    last().is_ok_and(|byte| byte != b'\n')
}
