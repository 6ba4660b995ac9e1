//! Why a PV does not connect, decided from what was seen.

use std::fmt;
use std::io;
use std::net::SocketAddrV4;

use ca_proto::EcaStatus;
use ca_proto::client::{CloseReason, NameServerState, Trouble};
use ca_proto::text::Plain;
use ca_proto::wire::{Minor, PvNameError};

use super::observed::{Observed, Step};
use crate::error::{ConnectError, GetError, Phase};

/// Why a PV does not connect, or that it does. Each has an [identifier](Self::id) that stays.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// It connects, and its value can be read.
    Works,
    /// The name cannot be one of a PV.
    BadName {
        /// What is wrong with it.
        reason: PvNameError,
    },
    /// There is neither an address to search at nor a name server.
    NowhereToSearch,
    /// The system takes no search.
    NothingSent,
    /// Nobody answers, and nothing is heard of any server.
    Silence,
    /// Nobody answers for this name; servers are heard.
    UnknownName {
        /// A server that lives.
        heard: SocketAddrV4,
    },
    /// A server has the name and says so on a connection; its answers to searches by UDP do not arrive, or the searches
    /// do not.
    SearchesLost {
        /// The server.
        server: SocketAddrV4,
    },
    /// Nobody has this name; somebody has one that is almost the same.
    OtherName {
        /// The name that there is.
        found: String,
        /// Who has it.
        server: SocketAddrV4,
    },
    /// Searches go to a broadcast address of no network of this host, and nobody answers.
    StrayBroadcast {
        /// The address.
        address: SocketAddrV4,
    },
    /// The name server cannot be asked, and nobody else answers.
    NameServerDown {
        /// The name server.
        server: SocketAddrV4,
        /// Why not.
        why: NameServerState,
    },
    /// The host of the server refuses the connection.
    PortRefused {
        /// The server.
        server: SocketAddrV4,
    },
    /// There is no way to the host of the server.
    HostUnreachable {
        /// The server.
        server: SocketAddrV4,
    },
    /// The host of the server does not answer to the connection.
    NoConnection {
        /// The server.
        server: SocketAddrV4,
    },
    /// The connection is there, and nothing comes from its other end.
    MuteServer {
        /// The server.
        server: SocketAddrV4,
    },
    /// What listens there does not speak Channel Access.
    NotChannelAccess {
        /// The server.
        server: SocketAddrV4,
    },
    /// The server has as many clients as it takes.
    ServerFull {
        /// The server.
        server: SocketAddrV4,
    },
    /// The server ends the connection, or it is lost.
    ConnectionLost {
        /// The server.
        server: SocketAddrV4,
    },
    /// The server breaks the protocol.
    ProtocolBroken {
        /// The server.
        server: SocketAddrV4,
    },
    /// The server answers for the name and then gives no channel.
    NotCreated {
        /// The server.
        server: SocketAddrV4,
    },
    /// The server does not answer the request for the channel.
    CreationUnanswered {
        /// The server.
        server: SocketAddrV4,
    },
    /// The channel is there, and may not be read by this user on this host.
    NoReadAccess {
        /// The server.
        server: SocketAddrV4,
    },
    /// The channel is there, and the server refuses its value.
    GetRefused {
        /// The server.
        server: SocketAddrV4,
        /// What it says.
        status: EcaStatus,
    },
    /// The channel is there, and its value does not come in time.
    GetUnanswered {
        /// The server.
        server: SocketAddrV4,
    },
    /// What the server sends as the value makes no sense.
    GetMalformed {
        /// The server.
        server: SocketAddrV4,
    },
    /// The client was closed meanwhile.
    Closed,
}

impl Cause {
    /// A word that names it, for programs; it does not change between versions.
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::BadName { .. } => "bad-name",
            Self::NowhereToSearch => "nowhere-to-search",
            Self::NothingSent => "nothing-sent",
            Self::Silence => "silence",
            Self::UnknownName { .. } => "unknown-name",
            Self::SearchesLost { .. } => "searches-lost",
            Self::OtherName { .. } => "other-name",
            Self::StrayBroadcast { .. } => "stray-broadcast",
            Self::NameServerDown { .. } => "name-server-down",
            Self::PortRefused { .. } => "port-refused",
            Self::HostUnreachable { .. } => "host-unreachable",
            Self::NoConnection { .. } => "no-connection",
            Self::MuteServer { .. } => "mute-server",
            Self::NotChannelAccess { .. } => "not-channel-access",
            Self::ServerFull { .. } => "server-full",
            Self::ConnectionLost { .. } => "connection-lost",
            Self::ProtocolBroken { .. } => "protocol-broken",
            Self::NotCreated { .. } => "not-created",
            Self::CreationUnanswered { .. } => "creation-unanswered",
            Self::NoReadAccess { .. } => "no-read-access",
            Self::GetRefused { .. } => "get-refused",
            Self::GetUnanswered { .. } => "get-unanswered",
            Self::GetMalformed { .. } => "get-malformed",
            Self::Closed => "closed",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let fixed = match self {
            Self::Works | Self::Closed => "nothing",
            Self::BadName { .. } => "check how the name is spelled",
            Self::NowhereToSearch => {
                "set EPICS_CA_ADDR_LIST, EPICS_CA_NAME_SERVERS or EPICS_CA_AUTO_ADDR_LIST=YES"
            }
            Self::NothingSent => {
                "look at the network of this host and at its firewall: the system refuses to send"
            }
            Self::Silence => {
                "check that the IOC runs, that EPICS_CA_ADDR_LIST names its network or host, and that no \
                 firewall drops UDP to its port or the answers to ours"
            }
            Self::UnknownName { heard } => {
                return format!(
                    "check the name: servers live ({heard} is heard) and none of those that are asked has \
                     it; if another one should, check that EPICS_CA_ADDR_LIST reaches it"
                );
            }
            Self::SearchesLost { server } => {
                return format!(
                    "see whether a firewall drops UDP to port {} or the answers to ours; with \
                     EPICS_CA_NAME_SERVERS={server} it works without",
                    server.port()
                );
            }
            Self::OtherName { found, .. } => {
                return format!("ask for \"{}\"", Plain(found.as_bytes()));
            }
            Self::StrayBroadcast { address } => {
                return format!(
                    "take {} out of EPICS_CA_ADDR_LIST, or write the broadcast address of a network of this \
                     host, or the host of the IOC: a router does not pass it on",
                    address.ip()
                );
            }
            Self::NameServerDown { .. } => {
                "check EPICS_CA_NAME_SERVERS and that the name server accepts TCP connections there"
            }
            Self::PortRefused { .. } => {
                "look whether the IOC still runs, which TCP port it has, and at firewalls between"
            }
            Self::HostUnreachable { .. } | Self::NoConnection { .. } => {
                "look at the network to that host, and whether a firewall drops TCP to that port"
            }
            Self::MuteServer { .. } => {
                "look whether the IOC hangs; what else listens there may be no server of Channel Access"
            }
            Self::NotChannelAccess { .. } => {
                "look which program listens there: who answered the search names a wrong port"
            }
            Self::ServerFull { .. } => "end some clients of the IOC, or raise its limit",
            Self::ConnectionLost { .. } => {
                "look at the log of the IOC and at what stands between: a gateway, a firewall that cuts \
                 connections"
            }
            Self::ProtocolBroken { .. } => "report it to whoever looks after the server",
            Self::NotCreated { .. } => {
                "look at the modifiers and filters behind the name, and whether another server answers for a \
                 name that it has no more; behind a gateway, whether the gateway reaches the PV"
            }
            Self::CreationUnanswered { .. } => "look at the load of the IOC, or of the gateway",
            Self::NoReadAccess { .. } => {
                "see the access security of the IOC: it decides by user, host and PV"
            }
            Self::GetRefused { .. } => "ask for another type or fewer elements",
            Self::GetUnanswered { .. } => "raise the time-out, or look at the load of the IOC",
            Self::GetMalformed { .. } => "report it to whoever looks after the server",
        };
        fixed.to_owned()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("it connects, and its value can be read"),
            Self::BadName { reason } => {
                write!(f, "the name cannot be one of a PV: {reason}")
            }
            Self::NowhereToSearch => f.write_str("there is nowhere to search"),
            Self::NothingSent => f.write_str("the system takes no search"),
            Self::Silence => f.write_str("nobody answers, and nothing is heard of any server"),
            Self::UnknownName { .. } => {
                f.write_str("none of the servers that are asked has the name")
            }
            Self::SearchesLost { server } => write!(
                f,
                "{server} has it and says so on a connection, and searches by UDP are not answered"
            ),
            Self::OtherName { found, server } => {
                let found = Plain(found.as_bytes());
                write!(f, "nobody has this name; {server} has \"{found}\"")
            }
            Self::StrayBroadcast { address } => write!(
                f,
                "searches go to {}, a broadcast address of no network of this host, and nobody answers",
                address.ip()
            ),
            Self::NameServerDown { server, why } => {
                write!(f, "the name server {server} is not asked: {why}")
            }
            Self::PortRefused { server } => write!(
                f,
                "a server answered for the name, and {server} refuses the connection"
            ),
            Self::HostUnreachable { server } => write!(f, "there is no way to {server}"),
            Self::NoConnection { server } => {
                write!(f, "{server} does not answer to the connection")
            }
            Self::MuteServer { server } => {
                write!(
                    f,
                    "{server} takes the connection, and nothing comes from it"
                )
            }
            Self::NotChannelAccess { server } => {
                write!(f, "what listens at {server} does not speak Channel Access")
            }
            Self::ServerFull { server } => {
                write!(f, "{server} has as many clients as it takes")
            }
            Self::ConnectionLost { server } => write!(f, "the connection to {server} is lost"),
            Self::ProtocolBroken { server } => write!(f, "{server} breaks the protocol"),
            Self::NotCreated { server } => write!(
                f,
                "{server} answers for the name, and then gives no channel"
            ),
            Self::CreationUnanswered { server } => {
                write!(f, "{server} does not answer the request for the channel")
            }
            Self::NoReadAccess { server } => write!(
                f,
                "{server} has it, and does not let this user on this host read it"
            ),
            Self::GetRefused { server, status } => {
                write!(
                    f,
                    "{server} has it, and answers {status} in place of its value"
                )
            }
            Self::GetUnanswered { server } => {
                write!(f, "{server} has it, and its value does not come in time")
            }
            Self::GetMalformed { server } => {
                write!(f, "what {server} sends as its value makes no sense")
            }
            Self::Closed => f.write_str("the client was closed meanwhile"),
        }
    }
}

/// Something that is not why it does not connect, and still ought to be known.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Remark {
    /// More than one server has the name: which one is used is a matter of luck.
    Duplicate {
        /// They.
        servers: Vec<SocketAddrV4>,
    },
    /// Another host than that of the server answers: a gateway or a name server.
    AnsweredForAnother {
        /// Who answers.
        by: SocketAddrV4,
        /// The server.
        server: SocketAddrV4,
    },
    /// The PV may not be written by this user on this host.
    ReadOnly,
    /// The server is so old that it lacks what clients of today use: elements as many as there are
    /// (version 4.13).
    OldServer {
        /// The server.
        server: SocketAddrV4,
        /// Its version.
        minor: Minor,
    },
    /// No search reaches an address.
    NotSent {
        /// The address.
        to: SocketAddrV4,
        /// What the system says.
        error: String,
    },
    /// Nothing takes connections at an address that is searched: no server runs there, or it has another TCP port.
    NothingListens {
        /// The address.
        at: SocketAddrV4,
    },
    /// The client that was asked searches the name, too, and has not found it so far.
    Searched {
        /// Datagrams that carried the name since its channel was opened or lost.
        datagrams: u32,
        /// Whether a server was ever found for it.
        answered: bool,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { servers } => {
                f.write_str("several servers have the name, and which one is used is luck:")?;
                servers.iter().try_for_each(|server| write!(f, " {server}"))
            }
            Self::AnsweredForAnother { by, server } => write!(
                f,
                "{by} answers for {server}: it is a gateway or a name server"
            ),
            Self::ReadOnly => f.write_str("it may not be written by this user on this host"),
            Self::OldServer { server, minor } => write!(
                f,
                "{server} speaks version {minor} and sends arrays in their full length only"
            ),
            Self::NotSent { to, error } => write!(f, "no search can be sent to {to}: {error}"),
            Self::NothingListens { at } => write!(
                f,
                "nothing takes connections at {at}: no server runs there, or it has another TCP port"
            ),
            Self::Searched {
                datagrams,
                answered,
            } => {
                let times = match datagrams {
                    1 => "once".to_owned(),
                    times => format!("{times} times"),
                };
                write!(f, "this client has searched it {times}, ")?;
                f.write_str(match answered {
                    true => "and had it before",
                    false => "and nobody ever answered",
                })
            }
        }
    }
}

/// How the attempt ended.
pub(super) enum Ending {
    NoSocket,
    NotConnected(ConnectError),
    NotRead(SocketAddrV4, GetError),
    Read,
}

impl Ending {
    /// Whether nobody has answered.
    pub(super) const fn is_unanswered(&self) -> bool {
        matches!(self, Self::NotConnected(ConnectError::TimedOut(context)) if context.peer.is_none())
    }
}

/// What is known beside what was seen.
pub(super) struct Known<'a> {
    pub(super) name: &'a str,
    pub(super) steps: &'a [Step],
    /// A broadcast address among those that are searched which is that of no interface.
    pub(super) stray: Option<SocketAddrV4>,
    /// A server that was heard before.
    pub(super) heard: Option<SocketAddrV4>,
}

impl Known<'_> {
    /// The first thing seen for which `of` has something to say.
    fn seen<T>(&self, of: impl FnMut(&Observed) -> Option<T>) -> Option<T> {
        self.steps.iter().map(|step| &step.what).find_map(of)
    }

    pub(super) fn cause(&self, ending: &Ending) -> Cause {
        match ending {
            Ending::NoSocket => Cause::NothingSent,
            Ending::Read => Cause::Works,
            Ending::NotRead(server, error) => not_read(*server, error),
            Ending::NotConnected(ConnectError::BadName { reason, .. }) => {
                Cause::BadName { reason: *reason }
            }
            Ending::NotConnected(ConnectError::NowhereToSearch(_)) => Cause::NowhereToSearch,
            Ending::NotConnected(ConnectError::TimedOut(context)) => {
                match (&context.phase, context.peer) {
                    (Phase::Connecting, Some(server)) => Cause::NoConnection { server },
                    (Phase::Silent, Some(server)) => Cause::MuteServer { server },
                    (Phase::Creating, Some(server)) => Cause::CreationUnanswered { server },
                    (Phase::Unresponsive, Some(server)) => Cause::MuteServer { server },
                    (Phase::Searching { trouble, .. }, Some(server)) if trouble.is_some() => {
                        trouble.map_or(Cause::Silence, |why| self.troubled(server, why))
                    }
                    (Phase::Searching { name_servers, .. }, _) => self.unanswered(name_servers),
                    _ => Cause::Closed,
                }
            }
            Ending::NotConnected(_) => Cause::Closed,
        }
    }

    fn troubled(&self, server: SocketAddrV4, why: Trouble) -> Cause {
        match why {
            Trouble::CreateFailed | Trouble::Deleted => Cause::NotCreated { server },
            Trouble::CreateTimeout => Cause::CreationUnanswered { server },
            Trouble::Circuit(CloseReason::Refused) => Cause::PortRefused { server },
            Trouble::Circuit(CloseReason::Unreachable) => Cause::HostUnreachable { server },
            Trouble::Circuit(CloseReason::DialTimeout) => Cause::NoConnection { server },
            Trouble::Circuit(CloseReason::DialFailed) => self.dial_failed(server),
            Trouble::Circuit(CloseReason::NotChannelAccess) => Cause::NotChannelAccess { server },
            Trouble::Circuit(CloseReason::Violation) => Cause::ProtocolBroken { server },
            Trouble::Circuit(CloseReason::Said(EcaStatus::MAXIOC)) => Cause::ServerFull { server },
            Trouble::Circuit(_) => Cause::ConnectionLost { server },
            Trouble::Unresponsive => Cause::MuteServer { server },
            _ => Cause::ConnectionLost { server },
        }
    }

    fn dial_failed(&self, server: SocketAddrV4) -> Cause {
        let kind = self.seen(|seen| match seen {
            Observed::NotConnected {
                server: to, kind, ..
            } if *to == server => Some(*kind),
            _ => None,
        });
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => Cause::PortRefused { server },
            Some(io::ErrorKind::TimedOut) => Cause::NoConnection { server },
            _ => Cause::HostUnreachable { server },
        }
    }

    /// Nobody answered.
    fn unanswered(&self, name_servers: &[(SocketAddrV4, NameServerState)]) -> Cause {
        let asked = self.seen(|seen| matches!(seen, Observed::Asked { .. }).then_some(()));
        let refused = self.seen(|seen| matches!(seen, Observed::NotAsked { .. }).then_some(()));
        let other = self.seen(|seen| match seen {
            Observed::Answered { name, server, .. } if name != self.name => {
                Some(Cause::OtherName {
                    found: name.clone(),
                    server: *server,
                })
            }
            _ => None,
        });
        if let Some(other) = other {
            return other;
        }
        // Only those that were asked by connections are left.
        let answered = self.seen(|seen| match seen {
            Observed::Answered { server, .. } => Some(*server),
            _ => None,
        });
        if let Some(server) = answered {
            return Cause::SearchesLost { server };
        }
        let down = name_servers
            .iter()
            .find(|(_, state)| *state != NameServerState::Asked);
        if let Some(&(server, why)) = down {
            return Cause::NameServerDown { server, why };
        }
        if asked.is_none() && refused.is_some() {
            return Cause::NothingSent;
        }
        let beacon = self.seen(|seen| match seen {
            Observed::Beacon { server } | Observed::Version { server, .. } => Some(*server),
            _ => None,
        });
        match (beacon.or(self.heard), self.stray) {
            (Some(heard), _) => Cause::UnknownName { heard },
            (None, Some(address)) => Cause::StrayBroadcast { address },
            (None, None) => Cause::Silence,
        }
    }

    /// The step that decided.
    pub(super) fn decided_by(&self, cause: &Cause) -> Option<usize> {
        let is_it = |step: &Step| match (cause, &step.what) {
            (Cause::Works, Observed::Value { .. }) => true,
            (Cause::NothingSent, Observed::NotAsked { .. }) => true,
            (
                Cause::UnknownName { heard },
                Observed::Beacon { server } | Observed::Version { server, .. },
            ) => server == heard,
            (Cause::SearchesLost { server }, Observed::Answered { server: by, .. }) => server == by,
            (Cause::OtherName { found, .. }, Observed::Answered { name, .. }) => name == found,
            (
                Cause::PortRefused { server } | Cause::HostUnreachable { server },
                Observed::NotConnected { server: to, .. },
            ) => server == to,
            (Cause::NameServerDown { server, .. }, Observed::NotConnected { server: to, .. }) => {
                server == to
            }
            (Cause::NoConnection { server }, Observed::Dialling { server: to }) => server == to,
            (Cause::MuteServer { server }, Observed::Connected { server: to }) => server == to,
            (Cause::NotChannelAccess { server }, Observed::NotChannelAccess { server: by }) => {
                server == by
            }
            (
                Cause::ServerFull { server } | Cause::GetRefused { server, .. },
                Observed::Said { server: by, .. },
            ) => server == by,
            (Cause::ConnectionLost { server }, Observed::Ended { server: by, .. }) => server == by,
            (Cause::NotCreated { server }, Observed::NotCreated { server: by, .. }) => server == by,
            (Cause::CreationUnanswered { server }, Observed::Creating { server: by, .. }) => {
                server == by
            }
            (Cause::NoReadAccess { .. }, Observed::Rights { name, rights }) => {
                name == self.name && !rights.can_read()
            }
            (Cause::GetRefused { server, .. }, Observed::Value { server: by, .. }) => server == by,
            (Cause::GetUnanswered { server }, Observed::Created { server: by, .. }) => server == by,
            _ => false,
        };
        self.steps.iter().position(is_it)
    }

    fn is_answered(&self) -> bool {
        self.seen(|seen| matches!(seen, Observed::Answered { .. }).then_some(()))
            .is_some()
    }

    pub(super) fn remarks(&self) -> Vec<Remark> {
        let mut servers: Vec<SocketAddrV4> = Vec::new();
        let mut remarks = Vec::new();
        let mut once = |remark: Remark| {
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
        };
        for step in self.steps {
            match &step.what {
                Observed::Answered {
                    name, by, server, ..
                } if name == self.name => {
                    if !servers.contains(server) {
                        servers.push(*server);
                    }
                    if by.ip() != server.ip() {
                        let (by, server) = (*by, *server);
                        once(Remark::AnsweredForAnother { by, server });
                    }
                }
                Observed::Rights { name, rights }
                    if name == self.name && rights.can_read() && !rights.can_write() =>
                {
                    once(Remark::ReadOnly);
                }
                Observed::Version { server, minor } if !minor.has_dynamic_count() => {
                    let (server, minor) = (*server, *minor);
                    once(Remark::OldServer { server, minor });
                }
                Observed::NotConnected {
                    server,
                    kind: io::ErrorKind::ConnectionRefused,
                    ..
                } if !self.is_answered() => once(Remark::NothingListens { at: *server }),
                Observed::NotAsked { to, error } => {
                    let (to, error) = (*to, error.clone());
                    once(Remark::NotSent { to, error });
                }
                _ => {}
            }
        }
        if servers.len() > 1 {
            remarks.insert(0, Remark::Duplicate { servers });
        }
        remarks
    }
}

fn not_read(server: SocketAddrV4, error: &GetError) -> Cause {
    match error {
        GetError::NoAccess(_) => Cause::NoReadAccess { server },
        GetError::Failed {
            status: EcaStatus::NORDACCESS,
            ..
        } => Cause::NoReadAccess { server },
        GetError::Failed { status, .. } => Cause::GetRefused {
            server,
            status: *status,
        },
        GetError::Malformed { .. } | GetError::Value { .. } => Cause::GetMalformed { server },
        GetError::Disconnected(_) | GetError::NotConnected(_) => Cause::ConnectionLost { server },
        GetError::Closed(_) => Cause::Closed,
        _ => Cause::GetUnanswered { server },
    }
}
