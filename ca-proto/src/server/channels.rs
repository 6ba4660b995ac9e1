//! Channels of a circuit.

use alloc::boxed::Box;

use super::database::{PutId, PvId, SubKey};
use crate::access::AccessRights;
use crate::ids::{Cid, Sid, Slots};

/// The channels of one circuit, keyed by the identifier that the server gives out. The table
/// belongs to the circuit, so an identifier of another circuit means nothing here.
pub(super) type Channels = Slots<Sid, Channel>;

/// A channel: one client's connection to one PV.
#[derive(Debug)]
pub(super) struct Channel {
    /// The client's identifier; echoed, not unique.
    pub cid: Cid,
    pub pv: PvId,
    /// What the client may do now.
    pub rights: AccessRights,
    pub subs: SubList,
    /// First and last unfinished write-notify; the first is with the database, the others wait.
    pub puts: Option<(PutId, PutId)>,
    /// Bytes that the database keeps for it.
    pub bytes: u16,
    /// Name as the client spelt it, for error texts.
    pub name: Box<[u8]>,
}

/// Subscriptions of a channel from which on they are also found by an index.
pub(super) const CROWD: u32 = 16;

/// The subscriptions of a channel: linked in a circle, which a few are searched along.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubList {
    /// Meaningful unless there is none.
    youngest: SubKey,
    /// The highest bit says that there is an index.
    count: u32,
}

impl SubList {
    const INDEXED: u32 = 1 << 31;

    pub(super) const NONE: Self = Self {
        youngest: SubKey(0),
        count: 0,
    };

    pub(super) const fn count(self) -> u32 {
        self.count & !Self::INDEXED
    }

    pub(super) const fn youngest(self) -> Option<SubKey> {
        match self.count() {
            0 => None,
            _ => Some(self.youngest),
        }
    }

    pub(super) const fn is_indexed(self) -> bool {
        self.count & Self::INDEXED != 0
    }

    /// Counts a new one, the youngest; true if there is to be an index from now on.
    pub(super) const fn add(&mut self, key: SubKey) -> bool {
        self.youngest = key;
        self.count += 1;
        let begins = !self.is_indexed() && self.count() > CROWD;
        if begins {
            self.count |= Self::INDEXED;
        }
        begins
    }

    /// One is gone; `youngest` is the one that is youngest now. An index ends with the last.
    pub(super) const fn remove(&mut self, youngest: SubKey) {
        self.youngest = youngest;
        self.count -= 1;
        if self.count() == 0 {
            self.count = 0;
        }
    }
}
