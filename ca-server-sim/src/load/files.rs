//! Where the text of files comes from.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use hashbrown::HashMap;

/// Gives files by name. The parsers know no disk: tests, fuzzing and simulated worlds give texts of their own.
pub trait Files {
    /// The bytes of a file.
    ///
    /// # Errors
    /// If there is none of this name, if it has more than `limit` bytes, or if it cannot be read.
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem>;
}

/// Why there is no text.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FileProblem {
    /// No file has this name.
    Missing,
    /// The file has more bytes than are taken.
    TooLarge,
    /// The system does not let us read it, and says why.
    Unreadable(String),
}

/// Files in memory.
///
/// ```
/// use ca_server_sim::load::{Files, InMemory};
///
/// let files = InMemory::from([("x.db", "record(ai, \"x\") {}")]);
/// assert!(files.read("x.db", 1000).is_ok());
/// assert!(files.read("y.db", 1000).is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct InMemory(HashMap<String, Arc<[u8]>>);

impl InMemory {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces the one of this name.
    pub fn insert(&mut self, name: impl Into<String>, text: impl AsRef<[u8]>) {
        self.0.insert(name.into(), text.as_ref().into());
    }
}

impl<N: Into<String>, T: AsRef<[u8]>, const COUNT: usize> From<[(N, T); COUNT]> for InMemory {
    fn from(files: [(N, T); COUNT]) -> Self {
        let mut all = Self::new();
        for (name, text) in files {
            all.insert(name, text);
        }
        all
    }
}

impl Files for InMemory {
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        match self.0.get(name) {
            None => Err(FileProblem::Missing),
            Some(text) if text.len() > limit => Err(FileProblem::TooLarge),
            Some(text) => Ok(Arc::clone(text)),
        }
    }
}

/// The files of the system, by paths from the current directory on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        let problem = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileProblem::Missing,
            _ => FileProblem::Unreadable(error.to_string()),
        };
        let mut file = File::open(name).map_err(problem)?;
        let length = file.metadata().map_or(0, |about| about.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            return Err(FileProblem::TooLarge);
        }
        // At once where it is to stay: the text of a facility is large, and a copy leaves a gap.
        let mut text: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        let room = Arc::get_mut(&mut text).unwrap_or_default();
        let known = fill(&mut file, room).map_err(problem)?;
        // It may have changed meanwhile, have no length, or no end.
        let mut more = Vec::new();
        let most = u64::try_from(limit - known).unwrap_or(u64::MAX);
        let rest = &mut file.take(most.saturating_add(1));
        rest.read_to_end(&mut more).map_err(problem)?;
        if known + more.len() > limit {
            return Err(FileProblem::TooLarge);
        }
        Ok(match more.is_empty() && known == length {
            true => text,
            false => [&text[..known], &more].concat().into(),
        })
    }
}

/// Reads until there is no room or the file ends; how many bytes came.
fn fill(file: &mut File, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match file.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
