//! A snapshot outside of an IOC: as bytes, and as a file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca_proto::Timestamp;
use thiserror::Error;

use super::codec::{Reader, Saved, Writer};

/// What a file begins with.
const MAGIC: &[u8; 16] = b"canter snapshot\n";
/// The form of what follows. There is no other one that is read.
const VERSION: u16 = 1;
/// Magic, version, two bytes for later, length and checksum of the rest.
const HEAD: usize = 16 + 2 + 2 + 8 + 4;
/// Bytes of a file that is read.
pub const MAX_SNAPSHOT: u64 = 4 << 30;

/// The state of an IOC at one moment: values, alarms, timers, random numbers, what is being processed, what is waited
/// for, faults. [`Ioc::snapshot`](crate::Ioc::snapshot) takes it, [`Ioc::rewind`](crate::Ioc::rewind) goes back to it.
///
/// It is a piece of memory of its own, for 60 000 records some megabytes; clones share it. As a file
/// ([`write`](Self::write), [`read`](Self::read)) it fits an IOC with the same records and PVs in another process.
#[derive(Clone, Debug)]
pub struct IocSnapshot {
    bytes: Arc<[u8]>,
    taken: Timestamp,
    /// The IOC that it was taken of, if that is in this process.
    pub(super) of: Option<Arc<()>>,
}

/// Why bytes are no snapshot, or none of this IOC. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file cannot be read or written.
    #[error("{file}: {reason}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// It is something else.
    #[error(
        "byte 0: this is no snapshot of an IOC: it does not begin with \"canter snapshot\"; name one that was written by `snapshot`"
    )]
    NoSnapshot,
    /// It has another form.
    #[error(
        "byte 16: the snapshot has version {version}, and this program reads version {known}; take a new one"
    )]
    Version {
        /// Its version.
        version: u16,
        /// The one that is read.
        known: u16,
    },
    /// A part is missing, or there is more than there should be.
    #[error(
        "byte {found}: the snapshot ends here, and should at byte {wanted}: the file was cut, or is of two pieces; take a new one"
    )]
    Length {
        /// Bytes that there are.
        found: u64,
        /// Bytes that it says it has.
        wanted: u64,
    },
    /// Its bytes are not those that were written.
    #[error(
        "bytes {from} to {to}: the checksum is {found:08x} and should be {wanted:08x}: the file was damaged; take a new one"
    )]
    Checksum {
        /// The first byte that is summed.
        from: usize,
        /// The one behind the last.
        to: usize,
        /// Of the bytes.
        found: u32,
        /// What the file says.
        wanted: u32,
    },
    /// Its bytes have no meaning.
    #[error("byte {at}: {what}; take a new one")]
    Broken {
        /// The byte behind what could not be read.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// It was taken of an IOC with other records or PVs.
    #[error(
        "the snapshot is of another database: {what}; start the IOC with the files that it had then"
    )]
    OtherDatabase {
        /// The first difference.
        what: String,
    },
    /// The IOC does not run.
    #[error("the IOC was not started; start it first")]
    NotStarted,
}

impl SnapshotError {
    fn of_file(file: &Path, reason: &io::Error) -> Self {
        Self::File {
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl IocSnapshot {
    /// Of a body that was written into the writer that [`begin`] gave.
    pub(super) fn finish(to: Writer, taken: Timestamp, of: Arc<()>) -> Self {
        let mut bytes = to.bytes;
        let body = bytes.get(HEAD..).unwrap_or_default();
        let (length, sum) = (body.len() as u64, crc32fast::hash(body));
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&[0; 2]);
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&sum.to_le_bytes());
        if let Some(place) = bytes.get_mut(..HEAD) {
            place.copy_from_slice(&head);
        }
        Self {
            bytes: bytes.into(),
            taken,
            of: Some(of),
        }
    }

    /// The snapshot as a file has it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When it was taken, as time stamps of the IOC were then.
    pub const fn taken(&self) -> Timestamp {
        self.taken
    }

    /// What stands behind the head, and where that begins.
    pub(super) fn body(&self) -> (&[u8], usize) {
        (self.bytes.get(HEAD..).unwrap_or_default(), HEAD)
    }

    /// A snapshot from the bytes of a file.
    ///
    /// # Errors
    /// [`SnapshotError`]: it is none, or not whole. Whether it fits an IOC is seen when that
    /// [goes back](crate::Ioc::rewind) to it.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self, SnapshotError> {
        let bytes: Arc<[u8]> = bytes.into();
        let there = bytes.len().min(MAGIC.len());
        if bytes.get(..there) != MAGIC.get(..there) || bytes.is_empty() {
            return Err(SnapshotError::NoSnapshot);
        }
        let found = bytes.len() as u64;
        let head = HEAD as u64;
        let Some((first, body)) = bytes.split_at_checked(HEAD) else {
            return Err(SnapshotError::Length {
                found,
                wanted: head,
            });
        };
        let number = |from: usize, to: usize| {
            let bytes = first.get(from..to).unwrap_or_default().iter().rev();
            bytes.fold(0, |number: u64, &byte| number << 8 | u64::from(byte))
        };
        let version = number(16, 18) as u16;
        if version != VERSION {
            return Err(SnapshotError::Version {
                version,
                known: VERSION,
            });
        }
        let wanted = number(20, 28).saturating_add(head);
        if found != wanted {
            return Err(SnapshotError::Length { found, wanted });
        }
        let (found, wanted) = (crc32fast::hash(body), number(28, 32) as u32);
        if found != wanted {
            return Err(SnapshotError::Checksum {
                from: HEAD,
                to: bytes.len(),
                found,
                wanted,
            });
        }
        let taken = Timestamp::load(&mut Reader::new(body));
        let taken = taken.map_err(|broken| SnapshotError::Broken {
            at: HEAD + broken.at,
            what: broken.what,
        })?;
        Ok(Self {
            bytes,
            taken,
            of: None,
        })
    }

    /// Writes it to a file, as a whole or not at all: into a file beside it, which takes its place when all is on the
    /// disk.
    ///
    /// # Errors
    /// [`SnapshotError::File`]; a file of that name is as it was.
    pub fn write(&self, file: impl AsRef<Path>) -> Result<(), SnapshotError> {
        let file = file.as_ref();
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(name);
        let write = || {
            let mut to = File::create(&part)?;
            to.write_all(&self.bytes)?;
            to.sync_all()?;
            fs::rename(&part, file)
        };
        write().map_err(|error| {
            // It need not be there.
            let _ = fs::remove_file(&part);
            SnapshotError::of_file(file, &error)
        })
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// [`SnapshotError`]: the file cannot be read, or is no snapshot, or not whole.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, SnapshotError> {
        let file = file.as_ref();
        let mut bytes = Vec::new();
        let read =
            File::open(file).and_then(|from| from.take(MAX_SNAPSHOT).read_to_end(&mut bytes));
        read.map_err(|error| SnapshotError::of_file(file, &error))?;
        Self::from_bytes(bytes)
    }
}

/// A writer with room for the head.
pub(super) fn begin() -> Writer {
    Writer {
        bytes: vec![0; HEAD],
    }
}
