//! What can go wrong, with the PV, the peer, the phase and the time it took.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::client::{Malformed, NameServerState, OpError, OpenError, Trouble};
use ca_proto::wire::PvNameError;
use thiserror::Error;

use crate::convert::ValueError;

/// How far a channel had come when something failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// No server has said yet that it has the PV, or it was lost and is searched again.
    Searching {
        /// Where the search goes to by UDP.
        udp: Vec<SocketAddrV4>,
        /// Name servers that are to be asked over TCP, and whether they can be.
        name_servers: Vec<(SocketAddrV4, NameServerState)>,
        /// Searches sent for this name.
        attempts: u32,
        /// What last kept the channel from being connected.
        trouble: Option<Trouble>,
    },
    /// A server has the PV; its circuit is being opened.
    Connecting,
    /// The circuit is open, and not a word came from the other end.
    Silent,
    /// The circuit is open; the server has not answered the request for the channel.
    Creating,
    /// The server does not answer any more, its circuit is kept.
    Unresponsive,
    /// The channel was connected.
    Connected,
    /// The channel or the client was closed.
    Closed,
}

impl Phase {
    /// True if nobody can be asked for the name.
    pub(crate) fn is_nowhere(&self) -> bool {
        matches!(self, Self::Searching { udp, name_servers, .. }
            if udp.is_empty() && name_servers.is_empty())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Searching {
                trouble: Some(trouble),
                ..
            } => write!(f, "{trouble}; it is searched again after a pause"),
            Self::Searching {
                udp,
                name_servers,
                attempts,
                ..
            } => searching(f, udp, name_servers, *attempts),
            Self::Connecting => f.write_str(
                "a server has it, the connection to it does not come about; check its TCP port \
                 and firewalls",
            ),
            Self::Silent => f.write_str(
                "the connection is open, but nothing comes from the other end; what listens there may \
                 be no server of Channel Access, or hang",
            ),
            Self::Creating => {
                f.write_str("connected to the server, which does not answer the channel request")
            }
            Self::Unresponsive => f.write_str("the server does not answer any more"),
            Self::Connected => f.write_str("connected"),
            Self::Closed => f.write_str("the channel was closed"),
        }
    }
}

/// Addresses named in a message before it says "and n more".
const MAX_NAMED: usize = 4;

fn searching(
    f: &mut fmt::Formatter<'_>,
    udp: &[SocketAddrV4],
    name_servers: &[(SocketAddrV4, NameServerState)],
    attempts: u32,
) -> fmt::Result {
    if udp.is_empty() && name_servers.is_empty() {
        return f.write_str(
            "there is nowhere to search; set EPICS_CA_ADDR_LIST, EPICS_CA_NAME_SERVERS or \
             EPICS_CA_AUTO_ADDR_LIST=YES, or give the client's builder addr_list or name_servers",
        );
    }
    let times = if attempts == 1 { "search" } else { "searches" };
    write!(f, "no server answered {attempts} {times} at ")?;
    let tcp = name_servers.iter().map(|(address, _)| address);
    for (n, address) in udp.iter().chain(tcp).take(MAX_NAMED).enumerate() {
        let tcp = if n >= udp.len() { "tcp " } else { "" };
        let comma = if n > 0 { ", " } else { "" };
        write!(f, "{comma}{tcp}{address}")?;
    }
    let more = (udp.len() + name_servers.len()).saturating_sub(MAX_NAMED);
    if more > 0 {
        write!(f, " and {more} more")?;
    }
    let mute = |(_, state): &&(_, NameServerState)| *state != NameServerState::Asked;
    for (address, state) in name_servers.iter().filter(mute).take(MAX_NAMED) {
        write!(f, "; the name server {address} is not asked: {state}")?;
    }
    f.write_str("; check the name, EPICS_CA_ADDR_LIST and that the IOC runs")
}

/// What every error of an operation knows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Context {
    /// Name of the PV.
    pub pv: String,
    /// The server, as far as one is known.
    pub peer: Option<SocketAddrV4>,
    /// How far the channel had come.
    pub phase: Phase,
    /// Time since the operation was started.
    pub elapsed: Duration,
}

impl fmt::Display for Context {
    /// `"X" at 10.0.0.1:5064 after 0.004 s`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.pv)?;
        if let Some(peer) = self.peer {
            write!(f, " at {peer}")?;
        }
        write!(f, " after {:.3} s", self.elapsed.as_secs_f64())
    }
}

/// Why a client could not be made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no runtime: call from within tokio, or pass one to
    /// [`runtime`](crate::ClientBuilder::runtime), or use [`blocking`](crate::blocking).
    #[error(
        "no tokio runtime here: build the client inside of one, pass one to the builder, or use \
         the blocking client"
    )]
    NoRuntime,
    /// Settings that cannot be meant together.
    #[error("settings of the client contradict: {what}")]
    Contradiction {
        /// Which ones.
        what: &'static str,
    },
    /// The search socket could not be opened.
    #[error("cannot open the UDP socket for searches: {reason}")]
    Socket {
        /// What the system said.
        reason: String,
    },
    /// The background thread of the blocking client could not be started.
    #[error("cannot start the background thread: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
}

/// Why a channel is not there.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name cannot be one of a PV.
    #[error("\"{pv}\": {reason}")]
    BadName {
        /// The name that was given.
        pv: String,
        /// What is wrong with it.
        reason: PvNameError,
    },
    /// The channel did not connect in time. It goes on trying while its handle lives.
    #[error("cannot connect {0}: {phase}", phase = .0.phase)]
    TimedOut(Box<Context>),
    /// The client has neither addresses to search at nor name servers, so that no time would suffice.
    #[error("cannot connect {0}: {phase}", phase = .0.phase)]
    NowhereToSearch(Box<Context>),
    /// The client cannot hold more channels.
    #[error("cannot open \"{pv}\": {reason}")]
    Refused {
        /// Name of the PV.
        pv: String,
        /// Which limit was met.
        reason: OpenError,
    },
    /// The client was closed.
    #[error("cannot connect {0}: the client was closed")]
    Closed(Box<Context>),
}

fn and_text(text: &Option<String>) -> String {
    text.as_ref()
        .map_or_else(String::new, |text| format!(": {text}"))
}

/// Why a value could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum GetError {
    /// The channel was not connected, and did not connect in time.
    #[error("cannot read {0}: {phase}", phase = .0.phase)]
    NotConnected(Box<Context>),
    /// The server did not answer in time; a late answer is ignored.
    #[error("cannot read {0}: no answer in time; raise the time-out or look at the server's load")]
    TimedOut(Box<Context>),
    /// The circuit was lost before the answer came. Reading again is safe.
    #[error("cannot read {0}: the circuit was lost before the answer came")]
    Disconnected(Box<Context>),
    /// The server does not let this user read.
    #[error("cannot read {0}: no read access for this user and host")]
    NoAccess(Box<Context>),
    /// The server answered with an error.
    #[error("cannot read {context}: the server says {status}{}", and_text(.text))]
    Failed {
        /// PV, peer and time.
        context: Box<Context>,
        /// The server's status.
        status: EcaStatus,
        /// The server's text, if it tells more than the name of the PV.
        text: Option<String>,
    },
    /// The server answered, but this side found no value in the answer.
    #[error("cannot read {context}: the answer is malformed: {reason}")]
    Malformed {
        /// PV, peer and time.
        context: Box<Context>,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// The request cannot be sent: wrong type or element count.
    #[error("cannot read {context}: {reason}")]
    BadRequest {
        /// PV, peer and time.
        context: Box<Context>,
        /// What is wrong with it.
        reason: OpError,
    },
    /// The value came, but is not what the program wanted.
    #[error("cannot use the value of {context}: {reason}")]
    Value {
        /// PV, peer and time.
        context: Box<Context>,
        /// What is wrong with it.
        reason: ValueError,
    },
    /// The client was closed.
    #[error("cannot read {0}: the client was closed")]
    Closed(Box<Context>),
    /// The channel could not be opened at all.
    #[error(transparent)]
    Open(#[from] ConnectError),
}

/// Why a value could not be written.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PutError {
    /// The channel was not connected, and did not connect in time; nothing was sent.
    #[error("cannot write {0}: {phase}; nothing was sent", phase = .0.phase)]
    NotConnected(Box<Context>),
    /// The server did not report completion in time; the value was sent, and may be processed.
    #[error(
        "cannot tell whether {0} was written: no completion in time; slow records need a longer \
         time-out"
    )]
    TimedOut(Box<Context>),
    /// The circuit was lost before completion was reported; the server may or may not have
    /// processed the value.
    #[error("cannot tell whether {0} was written: the circuit was lost before completion")]
    Disconnected(Box<Context>),
    /// The client is [read-only](crate::ClientBuilder::read_only); nothing was sent.
    #[error("cannot write {0}: this client is read-only; nothing was sent")]
    ReadOnly(Box<Context>),
    /// The server does not let this user write; nothing was sent.
    #[error("cannot write {0}: no write access for this user and host")]
    NoAccess(Box<Context>),
    /// The server answered with an error.
    #[error("cannot write {context}: the server says {status}{}", and_text(.text))]
    Failed {
        /// PV, peer and time.
        context: Box<Context>,
        /// The server's status.
        status: EcaStatus,
        /// The server's text, if it tells more than the name of the PV.
        text: Option<String>,
    },
    /// The request cannot be sent: wrong type, too many elements or too large.
    #[error("cannot write {context}: {reason}")]
    BadRequest {
        /// PV, peer and time.
        context: Box<Context>,
        /// What is wrong with it.
        reason: OpError,
    },
    /// The value cannot be sent as it is.
    #[error("cannot write \"{pv}\": {reason}")]
    Value {
        /// Name of the PV.
        pv: String,
        /// What is wrong with it.
        reason: ValueError,
    },
    /// The client was closed.
    #[error("cannot write {0}: the client was closed")]
    Closed(Box<Context>),
    /// The channel could not be opened at all.
    #[error(transparent)]
    Open(#[from] ConnectError),
}

/// Why a subscription could not be made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The request is wrong: type, element count, or a mask that selects nothing.
    #[error("cannot subscribe to {context}: {reason}")]
    BadRequest {
        /// PV, peer and time.
        context: Box<Context>,
        /// What is wrong with it.
        reason: OpError,
    },
    /// The client was closed.
    #[error("cannot subscribe to {0}: the client was closed")]
    Closed(Box<Context>),
    /// The channel could not be opened at all.
    #[error(transparent)]
    Open(#[from] ConnectError),
}
