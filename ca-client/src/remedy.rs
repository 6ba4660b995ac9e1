//! What the errors of operations have in common: where, how far, how long, and what to do.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::client::{CloseReason, Malformed, Trouble};

use crate::error::{ConnectError, Context, GetError, MonitorError, Phase, PutError};

/// What to do about an error. Prints itself in the words of this library; tools may match it to name
/// their own options.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Remedy {
    /// The name cannot be one of a PV.
    CheckSpelling,
    /// There is nowhere to search.
    SetAddresses,
    /// No name server can be asked.
    CheckNameServers,
    /// Nobody answers for the name.
    CheckSearch,
    /// Nobody answers for the name, and what may be meant as a modifier is a part of the record's name.
    PlaceModifiers,
    /// A server has the PV and its TCP port is not reached.
    CheckPort,
    /// The host of the PV refuses the connection.
    CheckIoc,
    /// The host of the PV is not reached.
    CheckNetwork,
    /// The server has as many clients as it takes.
    EndClients,
    /// What answers is no server of Channel Access.
    CheckProgram,
    /// The connection is open, and nothing comes from the other end.
    CheckListener,
    /// The server broke the protocol.
    CheckWarnings,
    /// A server answers for the name and then gives no channel.
    CheckModifiers,
    /// It was found, and lost again.
    SearchLonger,
    /// The server is slow.
    RaiseTimeout,
    /// The server does not answer any more.
    CheckServer,
    /// The client was closed.
    MakeClient,
    /// The client holds as many channels as it can.
    FewerChannels,
    /// The circuit was lost before the answer.
    GetAgain,
    /// Access security forbids it.
    CheckAccess,
    /// The server does not give the value in this form.
    OtherRequest,
    /// The answer is larger than the client takes.
    LargerArrays,
    /// The answer makes no sense.
    ReportServer,
    /// The value has no form in the wanted type.
    OtherType,
    /// Completion was not reported in time.
    AwaitRecord,
    /// Whether the value arrived is not known.
    CheckArrival,
    /// The client is read-only.
    AllowPuts,
    /// The server refused the value.
    CheckValue,
    /// The value cannot be sent.
    OtherValue,
    /// The monitor asks for what does not exist.
    CheckMonitor,
}

impl Remedy {
    /// The remedy as a sentence without its end.
    pub const fn text(self) -> &'static str {
        match self {
            Self::CheckSpelling => "check how the name is spelled",
            Self::SetAddresses => {
                "set EPICS_CA_ADDR_LIST, EPICS_CA_NAME_SERVERS or EPICS_CA_AUTO_ADDR_LIST=YES, or give \
                 the client's builder addr_list or name_servers"
            }
            Self::CheckNameServers => {
                "check EPICS_CA_NAME_SERVERS and that the name server accepts TCP connections there"
            }
            Self::CheckSearch => "check the name, that its IOC runs, and EPICS_CA_ADDR_LIST",
            Self::PlaceModifiers => {
                "check the name: modifiers and filters stand behind a field, as in X.[0:1], X.{\"arr\":{}} or X.DESC$"
            }
            Self::CheckPort => "check that its TCP port is not blocked by a firewall",
            Self::CheckIoc => {
                "look whether its IOC still runs, which TCP port it has, and at firewalls between"
            }
            Self::CheckNetwork => {
                "look at the network to that host, and whether a firewall drops TCP to that port"
            }
            Self::EndClients => {
                "the IOC has as many clients as it takes: end some, or raise its limit"
            }
            Self::CheckProgram => {
                "look which program listens there: who answered the search names a wrong port, or the \
                 port is not that of an IOC"
            }
            Self::CheckListener => {
                "look whether an IOC listens there, and whether it hangs; what else listens may be no \
                 server of Channel Access"
            }
            Self::CheckWarnings => {
                "look at the warnings in the log, and which program listens there"
            }
            Self::CheckModifiers => {
                "the server has the record and not what follows: check the field, modifiers and filters \
                 behind its name"
            }
            Self::SearchLonger => {
                "look whether its IOC runs; it is searched again with a longer time-out"
            }
            Self::RaiseTimeout => "raise the time-out, or look at the load of the IOC",
            Self::CheckServer => "look at the IOC and the network between",
            Self::MakeClient => "make another client",
            Self::FewerChannels => "ask for fewer PVs at once",
            Self::GetAgain => "get it again; look at the IOC if it happens often",
            Self::CheckAccess => "see the access security of the IOC",
            Self::OtherRequest => "ask for another type or fewer elements",
            Self::LargerArrays => "ask for fewer elements, or raise EPICS_CA_MAX_ARRAY_BYTES",
            Self::ReportServer => {
                "ask for another type or fewer elements, and report it to whoever looks after the server"
            }
            Self::OtherType => "get it as another type",
            Self::AwaitRecord => "the record may still be busy: raise the time-out",
            Self::CheckArrival => "get the PV to see whether the value arrived",
            Self::AllowPuts => "make the client without read_only where values may be written",
            Self::CheckValue => {
                "check the value against the limits of the PV, and whether the record takes puts (its \
                 field DISP)"
            }
            Self::OtherValue => "give another value",
            Self::CheckMonitor => "check the mask, the type and the number of elements",
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// What helps a channel that is not connected.
fn connecting(context: &Context) -> Remedy {
    match &context.phase {
        Phase::Searching {
            trouble: Some(trouble),
            ..
        } => troubled(*trouble),
        phase if phase.is_nowhere() => Remedy::SetAddresses,
        Phase::Searching {
            udp, attempts: 0, ..
        } if udp.is_empty() => Remedy::CheckNameServers,
        Phase::Searching { .. } if has_misplaced_modifiers(&context.pv) => Remedy::PlaceModifiers,
        Phase::Searching { .. } => Remedy::CheckSearch,
        Phase::Connecting => Remedy::CheckPort,
        Phase::Silent => Remedy::CheckListener,
        Phase::Creating | Phase::Connected => Remedy::RaiseTimeout,
        Phase::Unresponsive => Remedy::CheckServer,
        Phase::Closed => Remedy::MakeClient,
    }
}

/// Whether a name ends, without a field, in what servers take for modifiers behind one
/// (`dbChannelCreate` of EPICS Base). Brackets may be in a record's name, so it is only a guess.
fn has_misplaced_modifiers(pv: &str) -> bool {
    let at = pv.find(['.', '[', '{', '$']).filter(|&at| at > 0);
    let modifiers = at.map_or(&[][..], |at| &pv.as_bytes()[at..]);
    matches!(modifiers, [b'$'] | [b'[', .., b']'] | [b'{', .., b'}'])
}

/// What helps against what keeps a PV that was found from being connected.
const fn troubled(trouble: Trouble) -> Remedy {
    match trouble {
        Trouble::Circuit(CloseReason::Refused) => Remedy::CheckIoc,
        Trouble::Circuit(CloseReason::Unreachable | CloseReason::DialTimeout) => {
            Remedy::CheckNetwork
        }
        Trouble::Circuit(CloseReason::Said(EcaStatus::MAXIOC)) => Remedy::EndClients,
        Trouble::Circuit(CloseReason::NotChannelAccess) => Remedy::CheckProgram,
        Trouble::Circuit(CloseReason::Violation) => Remedy::CheckWarnings,
        Trouble::CreateFailed => Remedy::CheckModifiers,
        _ => Remedy::SearchLonger,
    }
}

/// An error of an operation knows where it happened, or only the name of the PV.
type Where<'a> = Result<&'a Context, &'a str>;

macro_rules! facts {
    ($($error:ty),*) => {$(
        impl $error {
            /// Name of the PV.
            pub fn pv(&self) -> &str {
                match self.place() {
                    Ok(context) => &context.pv,
                    Err(pv) => pv,
                }
            }

            /// The server, as far as one is known.
            pub fn server(&self) -> Option<SocketAddrV4> {
                self.place().ok()?.peer
            }

            /// How far the channel had come; `None` if nothing was tried, as the name, the value or
            /// the client's limits forbid it.
            pub fn phase(&self) -> Option<&Phase> {
                Some(&self.place().ok()?.phase)
            }

            /// Time since the operation was started; zero if nothing was tried.
            pub fn elapsed(&self) -> Duration {
                self.place().map_or(Duration::ZERO, |context| context.elapsed)
            }
        }
    )*};
}

facts!(ConnectError, GetError, PutError, MonitorError);

impl ConnectError {
    fn place(&self) -> Where<'_> {
        match self {
            Self::BadName { pv, .. } | Self::Refused { pv, .. } => Err(pv),
            Self::TimedOut(context) | Self::NowhereToSearch(context) | Self::Closed(context) => {
                Ok(context)
            }
        }
    }

    /// True if the time was up, so that waiting longer might have helped.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::BadName { .. } => Remedy::CheckSpelling,
            Self::Refused { .. } => Remedy::FewerChannels,
            Self::NowhereToSearch(_) => Remedy::SetAddresses,
            Self::Closed(_) => Remedy::MakeClient,
            Self::TimedOut(context) => connecting(context),
        }
    }
}

/// True if time would have helped a channel that is not connected.
fn waited(context: &Context) -> bool {
    !context.phase.is_nowhere() && context.phase != Phase::Closed
}

impl GetError {
    fn place(&self) -> Where<'_> {
        match self {
            Self::NotConnected(context)
            | Self::TimedOut(context)
            | Self::Disconnected(context)
            | Self::NoAccess(context)
            | Self::Closed(context)
            | Self::Failed { context, .. }
            | Self::Malformed { context, .. }
            | Self::BadRequest { context, .. }
            | Self::Value { context, .. } => Ok(context),
            Self::Open(error) => error.place(),
        }
    }

    /// True if the time was up, so that waiting longer might have helped.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::NotConnected(context) => waited(context),
            Self::TimedOut(_) => true,
            Self::Open(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NotConnected(context) => connecting(context),
            Self::TimedOut(_) => Remedy::RaiseTimeout,
            Self::Disconnected(_) => Remedy::GetAgain,
            Self::NoAccess(_) => Remedy::CheckAccess,
            Self::Failed { .. } | Self::BadRequest { .. } => Remedy::OtherRequest,
            Self::Malformed {
                reason: Malformed::TooLarge { .. },
                ..
            } => Remedy::LargerArrays,
            Self::Malformed { .. } => Remedy::ReportServer,
            Self::Value { .. } => Remedy::OtherType,
            Self::Closed(_) => Remedy::MakeClient,
            Self::Open(error) => error.remedy(),
        }
    }
}

impl PutError {
    fn place(&self) -> Where<'_> {
        match self {
            Self::NotConnected(context)
            | Self::TimedOut(context)
            | Self::Disconnected(context)
            | Self::ReadOnly(context)
            | Self::NoAccess(context)
            | Self::Closed(context)
            | Self::Failed { context, .. }
            | Self::BadRequest { context, .. } => Ok(context),
            Self::Value { pv, .. } => Err(pv),
            Self::Open(error) => error.place(),
        }
    }

    /// True if the time was up, so that waiting longer might have helped.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::NotConnected(context) => waited(context),
            Self::TimedOut(_) => true,
            Self::Open(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NotConnected(context) => connecting(context),
            Self::TimedOut(_) => Remedy::AwaitRecord,
            Self::Disconnected(_) => Remedy::CheckArrival,
            Self::ReadOnly(_) => Remedy::AllowPuts,
            Self::NoAccess(_) => Remedy::CheckAccess,
            Self::Failed { .. } => Remedy::CheckValue,
            Self::BadRequest { .. } | Self::Value { .. } => Remedy::OtherValue,
            Self::Closed(_) => Remedy::MakeClient,
            Self::Open(error) => error.remedy(),
        }
    }
}

impl MonitorError {
    fn place(&self) -> Where<'_> {
        match self {
            Self::BadRequest { context, .. } | Self::Closed(context) => Ok(context),
            Self::Open(error) => error.place(),
        }
    }

    /// True if the time was up, so that waiting longer might have helped.
    pub const fn is_timeout(&self) -> bool {
        match self {
            Self::Open(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::BadRequest { .. } => Remedy::CheckMonitor,
            Self::Closed(_) => Remedy::MakeClient,
            Self::Open(error) => error.remedy(),
        }
    }
}
