//! Bytes that are few in most cases.

use std::fmt;
use std::ops::Deref;

use crate::state::codec::{Broken, Reader, Saved, Writer};

/// Bytes that stay in place.
const INLINE: usize = 22;

/// The bytes of a value. Most values of records are a few bytes long, and need no memory of their own.
#[derive(Clone)]
pub struct ShortBytes(Inner);

#[derive(Clone)]
enum Inner {
    Short(u8, [u8; INLINE]),
    Long(Box<[u8]>),
}

impl From<&[u8]> for ShortBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut short = [0; INLINE];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(bytes);
                Self(Inner::Short(length, short))
            }
            _ => Self(Inner::Long(bytes.into())),
        }
    }
}

impl From<Vec<u8>> for ShortBytes {
    fn from(bytes: Vec<u8>) -> Self {
        match bytes.len() > INLINE {
            true => Self(Inner::Long(bytes.into())),
            false => Self::from(&*bytes),
        }
    }
}

impl From<Box<[u8]>> for ShortBytes {
    fn from(bytes: Box<[u8]>) -> Self {
        match bytes.len() > INLINE {
            true => Self(Inner::Long(bytes)),
            false => Self::from(&*bytes),
        }
    }
}

impl From<ShortBytes> for Box<[u8]> {
    fn from(bytes: ShortBytes) -> Self {
        match bytes.0 {
            Inner::Long(bytes) => bytes,
            Inner::Short(..) => (*bytes).into(),
        }
    }
}

impl Default for ShortBytes {
    fn default() -> Self {
        Self(Inner::Short(0, [0; INLINE]))
    }
}

impl Deref for ShortBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Short(length, short) => short.get(..usize::from(*length)).unwrap_or_default(),
            Inner::Long(bytes) => bytes,
        }
    }
}

impl Saved for ShortBytes {
    fn save(&self, to: &mut Writer) {
        to.text(self);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        from.text().map(Self::from)
    }
}

impl AsRef<[u8]> for ShortBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for ShortBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ShortBytes {}

impl fmt::Debug for ShortBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_are_kept() {
        for length in [0, 1, INLINE - 1, INLINE, INLINE + 1, 1000] {
            let bytes = vec![7; length];
            assert_eq!(*ShortBytes::from(&*bytes), bytes);
        }
        assert!(size_of::<ShortBytes>() <= 24);
    }
}
