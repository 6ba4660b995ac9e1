//! What went wrong with one PV: where, what, and the remedy.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddrV4;

use ca_client::{
    ConnectError, Context, GetError, MonitorError, NameServerState, Phase, PutError, Remedy,
};

use crate::escape;
use crate::exit::Outcome;

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
    /// How the command ends because of this.
    pub(crate) const fn outcome(&self) -> Outcome {
        if self.timed_out {
            Outcome::TimedOut
        } else {
            Outcome::PvFailed
        }
    }
}

/// The words of the tools for what helps: with their options, where they have some.
fn hint(remedy: Remedy) -> String {
    let words = match remedy {
        Remedy::SetAddresses => {
            "set EPICS_CA_ADDR_LIST or EPICS_CA_NAME_SERVERS, or give --addr-list HOST"
        }
        Remedy::CheckSearch => return format!("{remedy}; `canter info` tells more"),
        Remedy::CheckWarnings => "look at the warnings above, and which program listens there",
        Remedy::SearchLonger => {
            "look whether its IOC runs; it is searched again with a longer --timeout"
        }
        Remedy::RaiseTimeout => "raise --timeout, or look at the load of the IOC",
        Remedy::MakeClient => "run it again",
        Remedy::CheckAccess => return format!("{remedy}; `canter info` shows the rights"),
        Remedy::OtherRequest => "ask for another type or fewer elements, see --type and --count",
        Remedy::LargerArrays => {
            "ask for fewer elements with --count, or raise EPICS_CA_MAX_ARRAY_BYTES"
        }
        Remedy::OtherType => "get it in another --type",
        Remedy::AwaitRecord => "the record may still be busy: raise --timeout",
        Remedy::AllowPuts => "unset CANTER_READ_ONLY where values may be written",
        Remedy::CheckValue => {
            "check the value against the limits of the PV with `canter get --long`, and whether the \
             record takes puts (its field DISP)"
        }
        Remedy::CheckMonitor => "check --mask and --elements",
        remedy => remedy.text(),
    };
    words.to_owned()
}

/// What an error of the client says for itself, with its phase and message in the words of the tools.
macro_rules! failure {
    ($error:expr, $told:expr) => {{
        let (phase, message) = $told;
        Failure {
            phase,
            message,
            remedy: hint($error.remedy()),
            timed_out: $error.is_timeout(),
            server: $error.server(),
        }
    }};
}

/// A phase and a message.
type Told = (&'static str, String);

fn not_connected(context: &Context) -> Told {
    let after = Seconds(context);
    let server = Peer(context);
    match &context.phase {
        Phase::Searching {
            trouble: Some(trouble),
            ..
        } => (
            "connect",
            format!("not connected after {after}: {server}: {trouble}"),
        ),
        Phase::Searching {
            udp,
            name_servers,
            attempts,
            ..
        } => ("search", not_found(udp, name_servers, *attempts, after)),
        Phase::Connecting => (
            "connect",
            format!("{server} has it, but the connection to it is not made after {after}"),
        ),
        Phase::Silent => (
            "connect",
            format!("{server} accepts the connection and says nothing, for {after}"),
        ),
        Phase::Creating => (
            "create",
            format!("{server} does not answer the request for the channel after {after}"),
        ),
        Phase::Unresponsive => ("connect", format!("{server} does not answer any more")),
        Phase::Closed => ("connect", "the client was closed".to_owned()),
        phase => ("connect", format!("not ready after {after}: {phase}")),
    }
}

fn not_found(
    udp: &[SocketAddrV4],
    states: &[(SocketAddrV4, NameServerState)],
    attempts: u32,
    after: Seconds<'_>,
) -> String {
    let name_servers: &Vec<_> = &states.iter().map(|(address, _)| *address).collect();
    if udp.is_empty() && name_servers.is_empty() {
        return "there is nowhere to search: no address list, no name server".to_owned();
    }
    let (to, mute) = (destinations(udp, name_servers), not_asked(states));
    if attempts == 0 && udp.is_empty() {
        return format!("not found after {after}: no name server reached of {to}{mute}");
    }
    let searches = match attempts {
        1 => "1 search".to_owned(),
        _ => format!("{attempts} searches"),
    };
    format!("not found after {after}: no answer to {searches} at {to}{mute}")
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

/// A server's text, behind its status.
struct Text<'a>(&'a Option<String>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(said) => write!(f, ": {}", escape::printable(said)),
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
        failure!(error, not_open(error))
    }
}

fn not_open(error: &ConnectError) -> Told {
    match error {
        ConnectError::BadName { reason, .. } => ("name", format!("no name of a PV: {reason}")),
        ConnectError::TimedOut(context)
        | ConnectError::NowhereToSearch(context)
        | ConnectError::Closed(context) => not_connected(context),
        other => ("name", other.to_string()),
    }
}

impl From<&GetError> for Failure {
    fn from(error: &GetError) -> Self {
        failure!(error, not_got(error))
    }
}

fn not_got(error: &GetError) -> Told {
    let message = match error {
        GetError::NotConnected(context) => return not_connected(context),
        GetError::Open(error) => return not_open(error),
        GetError::TimedOut(context) => format!(
            "{} did not answer the read within {}",
            Peer(context),
            Seconds(context)
        ),
        GetError::Disconnected(context) => format!(
            "the circuit to {} was lost before the answer",
            Peer(context)
        ),
        GetError::NoAccess(context) => format!(
            "{} does not allow this user and host to read",
            Peer(context)
        ),
        GetError::Failed {
            context,
            status,
            text,
        } => format!("{} says {status}{}", Peer(context), Text(text)),
        GetError::Malformed { context, reason } => {
            format!("the answer of {} is malformed: {reason}", Peer(context))
        }
        GetError::BadRequest { reason, .. } => reason.to_string(),
        other => other.to_string(),
    };
    ("read", message)
}

impl From<&PutError> for Failure {
    fn from(error: &PutError) -> Self {
        failure!(error, not_put(error))
    }
}

fn not_put(error: &PutError) -> Told {
    match error {
        PutError::NotConnected(context) => not_connected(context),
        PutError::Open(error) => not_open(error),
        PutError::TimedOut(context) => (
            "complete",
            format!(
                "sent, but not reported as complete within {}",
                Seconds(context)
            ),
        ),
        PutError::Disconnected(context) => (
            "complete",
            format!(
                "sent, but the circuit to {} was lost before completion",
                Peer(context)
            ),
        ),
        PutError::ReadOnly(_) => (
            "write",
            "nothing is written: CANTER_READ_ONLY is set".to_owned(),
        ),
        PutError::NoAccess(context) => (
            "write",
            format!(
                "{} does not allow this user and host to write",
                Peer(context)
            ),
        ),
        PutError::Failed {
            context,
            status,
            text,
        } => (
            "write",
            format!(
                "{} refused the value: {status}{}",
                Peer(context),
                Text(text)
            ),
        ),
        PutError::BadRequest { reason, .. } => ("write", reason.to_string()),
        other => ("write", other.to_string()),
    }
}

impl Failure {
    /// A put without completion whose server has not said whether it took the value.
    pub(crate) fn unanswered(error: &PutError) -> Self {
        let PutError::TimedOut(context) = error else {
            return error.into();
        };
        let message = format!(
            "sent, but {} did not answer within {}; whether it has the value is not known",
            Peer(context),
            Seconds(context)
        );
        Self {
            phase: "write",
            message,
            remedy: "read the PV, raise --timeout, or look at the load of the IOC".to_owned(),
            ..error.into()
        }
    }

    /// A put that a server complained of behind its answer.
    pub(crate) fn complained(server: SocketAddrV4, message: String) -> Self {
        Self {
            phase: "write",
            message,
            remedy: hint(Remedy::CheckValue),
            timed_out: false,
            server: Some(server),
        }
    }
}

impl From<&MonitorError> for Failure {
    fn from(error: &MonitorError) -> Self {
        let told = match error {
            MonitorError::Open(error) => not_open(error),
            other => ("subscribe", other.to_string()),
        };
        failure!(error, told)
    }
}

/// Tells a failure on the error stream; what standard output has so far comes first. The name is one
/// that is printable already.
pub(crate) fn report(
    console: &mut crate::console::Console<'_>,
    pv: &str,
    failure: &Failure,
) -> std::io::Result<()> {
    console.complain(format_args!("error: {}: {}", shown(pv), failure.message))?;
    if console.remedy != failure.remedy {
        console.complain(format_args!(" hint: {}", failure.remedy))?;
        console.remedy.clone_from(&failure.remedy);
    }
    Ok(())
}

/// The name as it is, or in quotes where one would not see its begin or end.
pub(crate) fn shown(pv: &str) -> Cow<'_, str> {
    if pv.is_empty() || pv.contains(char::is_whitespace) {
        return format!("\"{pv}\"").into();
    }
    pv.into()
}
