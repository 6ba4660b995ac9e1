//! What went wrong with one PV: where, what, and the remedy.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddrV4;

use ca_client::{
    CloseReason, ConnectError, Context, EcaStatus, Malformed, NameServerState, Phase, ReadError,
    SubscribeError, Trouble, WriteError,
};

use crate::exit::Outcome;
use crate::text;

/// Why a PV could not be read, written or watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// How far it came: `name`, `search`, `connect`, `create`, `read`, `write`, `complete`.
    pub(crate) phase: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) remedy: String,
    /// Whether waiting longer might have helped.
    pub(crate) timed_out: bool,
    /// The server that has to do with it.
    pub(crate) server: Option<SocketAddrV4>,
}

impl Failure {
    fn refused(phase: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            phase,
            message: message.into(),
            remedy: remedy.into(),
            timed_out: false,
            server: None,
        }
    }

    fn late(phase: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            timed_out: true,
            ..Self::refused(phase, message, remedy)
        }
    }

    /// How the command ends because of this.
    pub(crate) const fn outcome(&self) -> Outcome {
        if self.timed_out {
            Outcome::TimedOut
        } else {
            Outcome::PvFailed
        }
    }

    /// The two lines for a person.
    pub(crate) fn lines(&self, pv: &str) -> String {
        format!("error: {pv}: {}\n hint: {}", self.message, self.remedy)
    }

    /// With the server of an error.
    fn at(self, context: &Context) -> Self {
        Self {
            server: context.peer,
            ..self
        }
    }

    fn not_connected(context: &Context) -> Self {
        Self::why_not_connected(context).at(context)
    }

    fn why_not_connected(context: &Context) -> Self {
        let after = Seconds(context);
        let server = Peer(context);
        match &context.phase {
            Phase::Searching {
                trouble: Some(trouble),
                ..
            } => Self::late(
                "connect",
                format!("not connected after {after}: {server}: {trouble}"),
                remedy(*trouble),
            ),
            Phase::Searching {
                udp,
                name_servers,
                attempts,
                ..
            } => not_found(udp, name_servers, *attempts, after),
            Phase::Connecting => Self::late(
                "connect",
                format!("{server} has it, but the connection to it is not made after {after}"),
                "check that its TCP port is not blocked by a firewall",
            ),
            Phase::Silent => Self::late(
                "connect",
                format!("{server} accepts the connection and says nothing, for {after}"),
                "look whether an IOC listens there, and whether it hangs; what else listens may be no \
                 server of Channel Access",
            ),
            Phase::Creating => Self::late(
                "create",
                format!("{server} does not answer the request for the channel after {after}"),
                "look at the load of the IOC, or raise --timeout",
            ),
            Phase::Unresponsive => Self::late(
                "connect",
                format!("{server} does not answer any more"),
                "look at the IOC and the network between",
            ),
            Phase::Closed => Self::refused("connect", "the client was closed", "run it again"),
            phase => Self::late(
                "connect",
                format!("not ready after {after}: {phase}"),
                "raise --timeout",
            ),
        }
    }
}

/// What helps against what keeps a PV that was found from being connected.
const fn remedy(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Circuit(CloseReason::Refused) => {
            "look whether its IOC still runs, which TCP port it has, and at firewalls between"
        }
        Trouble::Circuit(CloseReason::Unreachable | CloseReason::DialTimeout) => {
            "look at the network to that host, and whether a firewall drops TCP to that port"
        }
        Trouble::Circuit(CloseReason::Said(EcaStatus::MAXIOC)) => {
            "the IOC has as many clients as it takes: end some, or raise its limit"
        }
        Trouble::Circuit(CloseReason::NotChannelAccess) => {
            "look which program listens there: who answered the search names a wrong port, or the port \
             is not that of an IOC"
        }
        Trouble::Circuit(CloseReason::Violation) => {
            "look at the warnings above, and which program listens there"
        }
        _ => "look whether its IOC runs; it is searched again with a longer --timeout",
    }
}

fn not_found(
    udp: &[SocketAddrV4],
    states: &[(SocketAddrV4, NameServerState)],
    attempts: u32,
    after: Seconds<'_>,
) -> Failure {
    let name_servers: &Vec<_> = &states.iter().map(|(address, _)| *address).collect();
    if udp.is_empty() && name_servers.is_empty() {
        return Failure::refused(
            "search",
            "there is nowhere to search: no address list, no name server",
            "set EPICS_CA_ADDR_LIST or EPICS_CA_NAME_SERVERS, or give --addr-list HOST",
        );
    }
    if attempts == 0 && udp.is_empty() {
        return Failure::late(
            "search",
            format!(
                "not found after {after}: no name server reached of {}{}",
                destinations(udp, name_servers),
                not_asked(states),
            ),
            "check EPICS_CA_NAME_SERVERS and that the name server accepts TCP connections there",
        );
    }
    Failure::late(
        "search",
        format!(
            "not found after {after}: no answer to {} at {}{}",
            if attempts == 1 {
                "1 search".to_owned()
            } else {
                format!("{attempts} searches")
            },
            destinations(udp, name_servers),
            not_asked(states),
        ),
        "check the name, that its IOC runs, and EPICS_CA_ADDR_LIST; `canter info` tells more",
    )
}

/// The name servers that cannot be asked, and why.
fn not_asked(states: &[(SocketAddrV4, NameServerState)]) -> String {
    let mute = |(_, state): &&(_, NameServerState)| *state != NameServerState::Asked;
    let mute = states.iter().filter(mute).take(MAX_NAMED);
    let texts = mute.map(|(address, state)| format!("; name server {address}: {state}"));
    texts.collect()
}

/// Addresses named before it says "and n more".
const MAX_NAMED: usize = 4;

/// The addresses of searches in one line.
pub(crate) fn destinations(udp: &[SocketAddrV4], name_servers: &[SocketAddrV4]) -> String {
    let udp_texts = udp.iter().map(SocketAddrV4::to_string);
    let tcp_texts = name_servers
        .iter()
        .map(|address| format!("{address} (tcp)"));
    let mut texts: Vec<String> = udp_texts.chain(tcp_texts).collect();
    if texts.len() > MAX_NAMED {
        let more = texts.len() - MAX_NAMED;
        texts.truncate(MAX_NAMED);
        return format!("{} and {more} more", texts.join(", "));
    }
    texts.join(", ")
}

/// Elapsed time as people say it.
struct Seconds<'a>(&'a Context);

impl fmt::Display for Seconds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.elapsed.as_secs_f64())
    }
}

/// What helps against a refusal.
const REFUSED: &str = "check the value against the limits of the PV with `canter get --long`, and whether \
     the record takes puts (its field DISP)";

/// A server's text, behind its status.
struct Text<'a>(&'a Option<String>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(said) => write!(f, ": {}", text::printable(said)),
            None => Ok(()),
        }
    }
}

/// The server's address, or a word for it.
struct Peer<'a>(&'a Context);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.peer {
            Some(peer) => write!(f, "{peer}"),
            None => f.write_str("the server"),
        }
    }
}

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::BadName { reason, .. } => Self::refused(
                "name",
                format!("no name of a PV: {reason}"),
                "check how the name is spelled",
            ),
            ConnectError::TimedOut(context)
            | ConnectError::NowhereToSearch(context)
            | ConnectError::Closed(context) => Self::not_connected(context),
            other => Self::refused("name", other.to_string(), "ask for fewer PVs at once"),
        }
    }
}

impl From<&ReadError> for Failure {
    fn from(error: &ReadError) -> Self {
        let failure = Self::of_read(error);
        match error {
            ReadError::TimedOut(context)
            | ReadError::Disconnected(context)
            | ReadError::NoAccess(context)
            | ReadError::Failed { context, .. }
            | ReadError::Malformed { context, .. }
            | ReadError::BadRequest { context, .. } => failure.at(context),
            _ => failure,
        }
    }
}

impl Failure {
    fn of_read(error: &ReadError) -> Self {
        match error {
            ReadError::NotConnected(context) => Self::not_connected(context),
            ReadError::TimedOut(context) => Self::late(
                "read",
                format!(
                    "{} did not answer the read within {}",
                    Peer(context),
                    Seconds(context)
                ),
                "raise --timeout, or look at the load of the IOC",
            ),
            ReadError::Disconnected(context) => Self::refused(
                "read",
                format!(
                    "the circuit to {} was lost before the answer",
                    Peer(context)
                ),
                "read again; look at the IOC if it happens often",
            ),
            ReadError::NoAccess(context) => Self::refused(
                "read",
                format!(
                    "{} does not allow this user and host to read",
                    Peer(context)
                ),
                "see the access security of the IOC; `canter info` shows the rights",
            ),
            ReadError::Failed {
                context,
                status,
                text,
            } => Self::refused(
                "read",
                format!("{} says {status}{}", Peer(context), Text(text)),
                "ask for another type or fewer elements, see --type and --count",
            ),
            ReadError::Malformed { context, reason } => Self::refused(
                "read",
                format!("the answer of {} is malformed: {reason}", Peer(context)),
                match reason {
                    Malformed::TooLarge { .. } => {
                        "ask for fewer elements with --count, or raise EPICS_CA_MAX_ARRAY_BYTES"
                    }
                    _ => {
                        "ask for another type or fewer elements, and report it to whoever looks after \
                         the server"
                    }
                },
            ),
            ReadError::BadRequest { reason, .. } => Self::refused(
                "read",
                reason.to_string(),
                "ask for another type or fewer elements, see --type and --count",
            ),
            ReadError::Open(error) => error.into(),
            other => Self::refused("read", other.to_string(), "read it in another --type"),
        }
    }
}

impl From<&WriteError> for Failure {
    fn from(error: &WriteError) -> Self {
        let failure = Self::of_write(error);
        match error {
            WriteError::TimedOut(context)
            | WriteError::Disconnected(context)
            | WriteError::NoAccess(context)
            | WriteError::Failed { context, .. }
            | WriteError::BadRequest { context, .. } => failure.at(context),
            _ => failure,
        }
    }
}

impl Failure {
    /// A put without completion whose server has not said whether it took the value.
    pub(crate) fn unanswered(error: &WriteError) -> Self {
        let WriteError::TimedOut(context) = error else {
            return error.into();
        };
        let message = format!(
            "sent, but {} did not answer within {}; whether it has the value is not known",
            Peer(context),
            Seconds(context)
        );
        let remedy = "read the PV, raise --timeout, or look at the load of the IOC";
        Self::late("write", message, remedy).at(context)
    }

    /// A put that a server complained of behind its answer.
    pub(crate) fn complained(server: SocketAddrV4, message: String) -> Self {
        Self {
            server: Some(server),
            ..Self::refused("write", message, REFUSED)
        }
    }

    fn of_write(error: &WriteError) -> Self {
        match error {
            WriteError::NotConnected(context) => Self::not_connected(context),
            WriteError::TimedOut(context) => Self::late(
                "complete",
                format!(
                    "sent, but not reported as complete within {}",
                    Seconds(context)
                ),
                "the record may still be busy: raise --timeout",
            ),
            WriteError::Disconnected(context) => Self::refused(
                "complete",
                format!(
                    "sent, but the circuit to {} was lost before completion",
                    Peer(context)
                ),
                "read the PV to see whether the value arrived",
            ),
            WriteError::ReadOnly(_) => Self::refused(
                "write",
                "nothing is written: CANTER_READ_ONLY is set",
                "unset CANTER_READ_ONLY where values may be written",
            ),
            WriteError::NoAccess(context) => Self::refused(
                "write",
                format!(
                    "{} does not allow this user and host to write",
                    Peer(context)
                ),
                "see the access security of the IOC; `canter info` shows the rights",
            ),
            WriteError::Failed {
                context,
                status,
                text,
            } => Self::refused(
                "write",
                format!(
                    "{} refused the value: {status}{}",
                    Peer(context),
                    Text(text)
                ),
                REFUSED,
            ),
            WriteError::BadRequest { reason, .. } => {
                Self::refused("write", reason.to_string(), "give another value")
            }
            WriteError::Open(error) => error.into(),
            other => Self::refused("write", other.to_string(), "give another value"),
        }
    }
}

impl From<&SubscribeError> for Failure {
    fn from(error: &SubscribeError) -> Self {
        match error {
            SubscribeError::Open(error) => error.into(),
            other => Self::refused(
                "subscribe",
                other.to_string(),
                "check --mask and --elements",
            ),
        }
    }
}

/// Tells a failure on the error stream; what standard output has so far comes first.
pub(crate) fn report(
    console: &mut crate::console::Console<'_>,
    pv: &str,
    failure: &Failure,
) -> std::io::Result<()> {
    console.complain(failure.lines(&shown(pv)))
}

/// The name as it is, or in quotes where one would not see its begin or end.
fn shown(pv: &str) -> Cow<'_, str> {
    let name = text::printable(pv);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return format!("{name:?}").into();
    }
    name
}
