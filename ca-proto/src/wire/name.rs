//! PV names as they travel: bytes, not necessarily UTF-8.

use alloc::{boxed::Box, string::String};
use core::fmt;
use thiserror::Error;

/// Longest PV name in bytes that fits a search datagram of 1024 bytes together with its `VERSION`
/// message and the terminating NUL (`udpiiu::searchMsg` of EPICS Base: 16 + 16 + align8(991 + 1)).
pub const MAX_NAME_LEN: usize = 991;

/// The name of a PV: 1 to 991 bytes without NUL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PvName(Box<[u8]>);

/// Why a text cannot be a PV name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PvNameError {
    /// The name has no characters.
    #[error("a PV name cannot be empty")]
    Empty,
    /// The name does not fit a search datagram.
    #[error("a PV name of {len} bytes is longer than a search can carry ({MAX_NAME_LEN})")]
    TooLong {
        /// Length of the refused name in bytes.
        len: usize,
    },
    /// The name contains a NUL byte, which ends names on the wire.
    #[error("a PV name cannot contain a NUL byte (at offset {at})")]
    Nul {
        /// Offset of the first NUL in bytes.
        at: usize,
    },
}

impl PvName {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// [`PvNameError`] for empty names, names above 991 bytes and names with a NUL.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, PvNameError> {
        let name = name.as_ref();
        match name {
            [] => Err(PvNameError::Empty),
            _ if name.len() > MAX_NAME_LEN => Err(PvNameError::TooLong { len: name.len() }),
            _ => match name.iter().position(|&b| b == 0) {
                Some(at) => Err(PvNameError::Nul { at }),
                None => Ok(Self(name.into())),
            },
        }
    }

    /// The bytes of the name, without NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as text; bytes that are not UTF-8 become U+FFFD.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl fmt::Display for PvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, &self.0)
    }
}

impl fmt::Debug for PvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl core::str::FromStr for PvName {
    type Err = PvNameError;
    fn from_str(s: &str) -> Result<Self, PvNameError> {
        Self::new(s)
    }
}

/// Writes bytes as text, whatever cannot be printed as `\xhh`.
pub(crate) fn write_text(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}
