//! Access rights of a channel.

use core::fmt;

/// What a client may do with a channel, as `ACCESS_RIGHTS` carries it: bit 0 read, bit 1 write
/// (`access_rights_reply` of EPICS Base); further bits are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AccessRights(u32);

impl AccessRights {
    /// Neither read nor write.
    pub const NONE: Self = Self(0);
    /// Read only.
    pub const READ: Self = Self(1);
    /// Write only.
    pub const WRITE: Self = Self(2);
    /// Read and write.
    pub const ALL: Self = Self(3);

    /// The rights in a header word.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The header word: bit 0 read, bit 1 write.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// True if values may be read and subscribed to.
    pub const fn can_read(self) -> bool {
        self.0 & Self::READ.0 != 0
    }

    /// True if values may be written.
    pub const fn can_write(self) -> bool {
        self.0 & Self::WRITE.0 != 0
    }

    /// Rights that are in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitOr for AccessRights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

/// `read, write`, `read`, `write` or `none`.
impl fmt::Display for AccessRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.can_read(), self.can_write()) {
            (true, true) => "read, write",
            (true, false) => "read",
            (false, true) => "write",
            (false, false) => "none",
        })
    }
}

impl fmt::Debug for AccessRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessRights({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_give_no_rights() {
        assert_eq!(AccessRights::from_bits(0xffff_fffc), AccessRights::NONE);
        assert_eq!(AccessRights::from_bits(7), AccessRights::ALL);
        assert_eq!(AccessRights::READ | AccessRights::WRITE, AccessRights::ALL);
    }
}
