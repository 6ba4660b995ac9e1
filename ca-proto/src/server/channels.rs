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
    /// What the client was told last that it may do.
    pub told: AccessRights,
    /// The youngest subscription; they are linked in a circle.
    pub subs: Option<SubKey>,
    /// First and last unfinished write-notify; the first is with the database, the others wait.
    pub puts: Option<(PutId, PutId)>,
    /// Bytes that the database keeps for it.
    pub bytes: u16,
    /// Name as the client spelt it, for error texts.
    pub name: Box<[u8]>,
}
