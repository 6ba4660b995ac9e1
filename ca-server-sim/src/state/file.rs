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
const VERSION: u16 = 2;
/// Magic, version, two bytes for later, length and checksum of the rest.
const HEAD: usize = 16 + 2 + 2 + 8 + 4;
/// Bytes of a file that [`IocSnapshot::read`] reads: 1 GiB. An IOC of 60 000 records has some megabytes, and what its
/// arrays have.
pub const MAX_SNAPSHOT: u64 = 1 << 30;
/// Bytes of a file that are read and summed at once.
const PIECE: usize = 64 << 10;

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
    /// It says that it is larger than what is read.
    #[error(
        "byte 20: the snapshot says that it has {wanted} bytes, and at most {most} are read; read it with a larger bound if that is right"
    )]
    TooLarge {
        /// Bytes that it says it has.
        wanted: u64,
        /// The bound.
        most: u64,
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
    /// A model behind PVs of the IOC cannot be saved, or is another.
    #[error("model {number} of the IOC: {what}")]
    Model {
        /// The number of the model, from 1, in the order in which they were connected.
        number: usize,
        /// In words.
        what: String,
    },
    /// Somebody else takes a snapshot of this IOC.
    #[error("another snapshot is being taken; take this one when that is done")]
    Busy,
    /// What records and PVs there are has changed meanwhile.
    #[error(
        "PVs or records have come or gone, or the IOC has gone back, while this was under way; do it again"
    )]
    Reshaped,
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
        let head = Head::of(&bytes, u64::MAX)?;
        let body = bytes.get(HEAD..).unwrap_or_default();
        head.check(body.len() as u64, crc32fast::hash(body))?;
        Self::whole(bytes)
    }

    /// Of bytes that were checked.
    fn whole(bytes: Arc<[u8]>) -> Result<Self, SnapshotError> {
        let body = bytes.get(HEAD..).unwrap_or_default();
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

    /// Reads it from a file of up to [`MAX_SNAPSHOT`] bytes.
    ///
    /// # Errors
    /// [`SnapshotError`]: the file cannot be read, or is no snapshot, or not whole.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, SnapshotError> {
        Self::read_at_most(file, MAX_SNAPSHOT)
    }

    /// Reads it from a file of up to so many bytes. What is no snapshot, or says that it is larger, is refused when its
    /// first bytes are read; memory is taken as bytes come.
    ///
    /// # Errors
    /// As [`read`](Self::read)
    pub fn read_at_most(file: impl AsRef<Path>, most: u64) -> Result<Self, SnapshotError> {
        let file = file.as_ref();
        let of_file = |error: io::Error| SnapshotError::of_file(file, &error);
        let mut from = File::open(file).map_err(of_file)?;
        let mut bytes = Vec::new();
        let mut more = |bytes: &mut Vec<u8>, most: usize| {
            let piece = Read::by_ref(&mut from).take(most as u64).read_to_end(bytes);
            piece.map_err(of_file)
        };
        more(&mut bytes, HEAD)?;
        let head = Head::of(&bytes, most)?;
        let mut sum = crc32fast::Hasher::new();
        // One byte more than there should be is seen.
        let end = head.length.saturating_add(1);
        loop {
            let (before, left) = (bytes.len(), end - (bytes.len() - HEAD) as u64);
            let piece = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            if more(&mut bytes, piece)? == 0 {
                break;
            }
            sum.update(bytes.get(before..).unwrap_or_default());
        }
        head.check((bytes.len() - HEAD) as u64, sum.finalize())?;
        Self::whole(bytes.into())
    }
}

/// What the first bytes say of the others.
struct Head {
    length: u64,
    sum: u32,
}

impl Head {
    fn of(bytes: &[u8], most: u64) -> Result<Self, SnapshotError> {
        let there = bytes.len().min(MAGIC.len());
        if bytes.get(..there) != MAGIC.get(..there) || bytes.is_empty() {
            return Err(SnapshotError::NoSnapshot);
        }
        let Some(first) = bytes.get(..HEAD) else {
            return Err(SnapshotError::Length {
                found: bytes.len() as u64,
                wanted: HEAD as u64,
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
        let length = number(20, 28);
        let wanted = length.saturating_add(HEAD as u64);
        if wanted > most {
            return Err(SnapshotError::TooLarge { wanted, most });
        }
        let sum = number(28, 32) as u32;
        Ok(Self { length, sum })
    }

    /// Whether the rest is what it should be.
    fn check(&self, length: u64, found: u32) -> Result<(), SnapshotError> {
        let head = HEAD as u64;
        if length != self.length {
            return Err(SnapshotError::Length {
                found: length.saturating_add(head),
                wanted: self.length.saturating_add(head),
            });
        }
        if found != self.sum {
            return Err(SnapshotError::Checksum {
                from: HEAD,
                to: HEAD + length as usize,
                found,
                wanted: self.sum,
            });
        }
        Ok(())
    }
}

/// A writer with room for the head.
pub(super) fn begin() -> Writer {
    Writer {
        bytes: vec![0; HEAD],
    }
}
