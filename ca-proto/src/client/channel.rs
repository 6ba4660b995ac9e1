//! One channel, and how it looks from outside.

use core::net::SocketAddrV4;

use super::chain::Chain;
use super::types::Trouble;
use crate::access::AccessRights;
use crate::dbr::NativeType;
use crate::ids::{CircuitId, Ioid, Sid, SubId};
use crate::time::Instant;
use crate::wire::{Minor, PvName};

/// Where a channel is on its way to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Searched, or held by the governor.
    Searching,
    /// Found; `CREATE_CHAN` is queued or sent. The deadline counts from the connection on.
    Creating {
        circuit: CircuitId,
        deadline: Instant,
        /// The circuit was connected before: it may belong to a server that is gone.
        joined: bool,
    },
    /// Created.
    Ready {
        circuit: CircuitId,
        sid: Sid,
        native: NativeType,
        count: u32,
    },
}

impl Phase {
    pub(super) const fn circuit(self) -> Option<CircuitId> {
        match self {
            Self::Searching => None,
            Self::Creating { circuit, .. } | Self::Ready { circuit, .. } => Some(circuit),
        }
    }
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: PvName,
    pub(super) phase: Phase,
    /// Index in the circuit's list.
    pub(super) position: u32,
    pub(super) rights: AccessRights,
    pub(super) ops: Chain<Ioid>,
    pub(super) subs: Chain<SubId>,
    /// What kept it from being connected, and the server that had to do with it.
    pub(super) trouble: Option<(Trouble, SocketAddrV4)>,
    pub(super) priority: u8,
    /// Was searched at once after a circuit that it had joined died; so it is once between two
    /// connections.
    pub(super) retried: bool,
    /// Asked for at the server that an earlier run knew, and not created yet.
    pub(super) hinted: bool,
}

impl Channel {
    pub(super) const fn new(name: PvName, priority: u8) -> Self {
        Self {
            name,
            phase: Phase::Searching,
            position: 0,
            rights: AccessRights::NONE,
            ops: Chain::new(),
            subs: Chain::new(),
            trouble: None,
            priority,
            retried: false,
            hinted: false,
        }
    }

    /// True if the channel need not wait for the governor now that its circuit is lost (PROTOCOL
    /// C25): what answered the search is newer than the circuit.
    pub(super) const fn may_retry(&mut self) -> bool {
        let joined = matches!(self.phase, Phase::Creating { joined: true, .. });
        joined && !core::mem::replace(&mut self.retried, true)
    }
}

/// What is known about a connected channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Circuit it uses.
    pub circuit: CircuitId,
    /// Address and TCP port of the server.
    pub server: SocketAddrV4,
    /// Protocol version of the server.
    pub minor: Minor,
    /// Native type of the channel.
    pub native: NativeType,
    /// Largest number of elements.
    pub count: u32,
    /// What the server allows.
    pub rights: AccessRights,
}

/// Where a channel is on its way to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ChannelState {
    /// No server has answered the search, or the channel was lost and is searched again after a
    /// pause.
    Searching,
    /// A server answered; the connection to it is being made.
    Connecting {
        /// Address and TCP port of the server.
        server: SocketAddrV4,
    },
    /// The server was asked to create the channel.
    Creating {
        /// Address and TCP port of the server.
        server: SocketAddrV4,
    },
    /// The channel can be used.
    Connected(Connection),
    /// The channel was connected, but its server does not answer.
    Unresponsive(Connection),
}

/// A look at a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelView<'a> {
    /// Name of the PV.
    pub name: &'a PvName,
    /// Priority of its circuit, 0 to 99.
    pub priority: u8,
    /// Where it is on its way to a server.
    pub state: ChannelState,
    /// Datagrams that carried the name since the channel was opened or lost.
    pub search_attempts: u32,
    /// What last kept it from being connected; `None` if it was found never, or at once.
    pub trouble: Option<Trouble>,
    /// The server that had to do with it.
    pub trouble_at: Option<SocketAddrV4>,
}

impl ChannelView<'_> {
    /// The connection, if the channel can be used.
    pub const fn connection(&self) -> Option<&Connection> {
        match &self.state {
            ChannelState::Connected(connection) => Some(connection),
            _ => None,
        }
    }
}
