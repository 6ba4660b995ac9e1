//! A rule: which messages, which fault.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_proto::wire::Command;

use super::pattern::Pattern;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Response,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::Request, Self::Response];

    /// Place in an array with one entry per direction.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Request => 0,
            Self::Response => 1,
        }
    }

    /// As it is drawn between client (left) and server (right).
    pub(crate) const fn arrow(self) -> char {
        match self {
            Self::Request => '>',
            Self::Response => '<',
        }
    }
}

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    /// In a datagram.
    Udp,
    /// On a circuit.
    Tcp,
}

/// What a rule looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trigger {
    /// Messages with this command.
    Command(Command),
    /// Every message.
    Any,
    /// A circuit as a whole; its opening.
    Circuit,
    /// Beacons that the proxy makes itself.
    Beacon,
}

/// How a circuit ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// In order: what was sent before arrives.
    Close,
    /// By a reset, which may also destroy what was sent before.
    Reset,
}

/// A part of a message that is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    Command,
    PayloadLen,
    DataType,
    Count,
    P1,
    P2,
    /// One byte of the payload, counted from 0.
    Payload(usize),
}

/// What becomes of access rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rights {
    /// Always these: bit 0 read, bit 1 write (`ACCESS_RIGHTS`).
    Set(u32),
    /// Each right the other way round.
    Flip,
}

impl Rights {
    /// The rights that the client is told.
    pub(crate) const fn edit(self, real: u32) -> u32 {
        match self {
            Self::Set(rights) => rights,
            Self::Flip => real ^ 3,
        }
    }
}

/// A fault.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Action {
    /// The message is lost.
    Drop,
    /// The message, or the opening of the circuit, comes later.
    Delay { by: Duration, jitter: Duration },
    /// The message comes several times.
    Duplicate { copies: u32 },
    /// The message changes places with the next one of its channel, if that comes within the time.
    Reorder { by: Duration },
    /// A field of the message is another; without a value, some of its bits are turned.
    Corrupt { field: Field, value: Option<u32> },
    /// The circuit ends: after so many bytes of the message, or of the circuit.
    Cut { bytes: u64, how: How },
    /// The circuit is not opened.
    Refuse,
    /// Nothing goes in this direction any more, for a time or as long as the rule is on.
    Stall { by: Option<Duration> },
    /// So many bytes per second.
    Throttle { rate: u32 },
    /// The client is told other access rights.
    Rights(Rights),
    /// Beacons of invented servers.
    Storm {
        to: SocketAddrV4,
        every: Duration,
        servers: u16,
    },
}

impl Action {
    /// True if nothing can happen to the message after this.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::Drop | Self::Cut { .. } | Self::Refuse)
    }

    /// True if a datagram has no such fault.
    const fn needs_circuit(&self) -> bool {
        matches!(
            self,
            Self::Reorder { .. } | Self::Cut { .. } | Self::Stall { .. } | Self::Rights(_)
        )
    }
}

/// A rule of a script.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rule {
    /// Its name in the line protocol.
    pub(crate) id: String,
    pub(crate) on: Trigger,
    pub(crate) request: bool,
    pub(crate) response: bool,
    pub(crate) transport: Option<Transport>,
    pub(crate) name: Option<Pattern>,
    pub(crate) action: Action,
    /// Chance of each match, in 0..=1.
    pub(crate) probability: f64,
    /// Matches that go unharmed first.
    pub(crate) after: u64,
    /// Faults until the rule rests.
    pub(crate) times: Option<u64>,
    /// Whether the rule is on from the start.
    pub(crate) enabled: bool,
}

impl Rule {
    /// True if the rule can make a put of another request: a proxy that lets nothing be written
    /// does not take it.
    pub(crate) fn may_make_puts(&self) -> bool {
        let corrupts = matches!(self.action, Action::Corrupt { .. });
        corrupts && self.request && self.transport != Some(Transport::Udp)
    }
}

/// A message or an event as rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    /// The command; `None` for the opening of a circuit.
    pub(crate) command: Option<Command>,
    /// The direction; a circuit has both.
    pub(crate) direction: Option<Direction>,
    pub(crate) transport: Transport,
    /// Name of the channel, where one is known.
    pub(crate) name: Option<&'a [u8]>,
}

impl Rule {
    /// True if the rule has to do with this direction.
    pub(crate) const fn covers(&self, direction: Direction) -> bool {
        match direction {
            Direction::Request => self.request,
            Direction::Response => self.response,
        }
    }

    /// True if the rule is about a message or an event.
    pub(crate) fn matches(&self, sight: &Sight<'_>) -> bool {
        let trigger = match (self.on, sight.command) {
            (Trigger::Command(wanted), Some(command)) => wanted == command,
            (Trigger::Any, Some(_)) | (Trigger::Circuit, None) => true,
            _ => false,
        };
        trigger
            && !matches!(self.action, Action::Throttle { .. } | Action::Storm { .. })
            && sight.direction.is_none_or(|way| self.covers(way))
            && self
                .transport
                .is_none_or(|wanted| wanted == sight.transport)
            && !(sight.transport == Transport::Udp && self.action.needs_circuit())
            && self.name_matches(sight.name)
    }

    /// True if the rule is about channels of this name.
    pub(crate) fn name_matches(&self, name: Option<&[u8]>) -> bool {
        match &self.name {
            Some(pattern) => name.is_some_and(|name| pattern.matches(name)),
            None => true,
        }
    }
}

/// Writes the rule in one line, as `list` shows it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on {
            Trigger::Command(command) => write!(f, "{}", command.to_string().to_lowercase())?,
            Trigger::Any => f.write_str("any")?,
            Trigger::Circuit => f.write_str("circuit")?,
            Trigger::Beacon => f.write_str("beacon")?,
        }
        match (self.on, self.request, self.response) {
            (Trigger::Beacon, ..) | (_, true, true) => {}
            (_, true, false) => f.write_str(" request")?,
            _ => f.write_str(" response")?,
        }
        match self.transport {
            Some(Transport::Udp) => f.write_str(" udp")?,
            Some(Transport::Tcp) => f.write_str(" tcp")?,
            None => {}
        }
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        write!(f, ": {}", self.action)?;
        if self.probability < 1.0 {
            write!(f, ", probability {}", self.probability)?;
        }
        if self.after > 0 {
            write!(f, ", after {}", self.after)?;
        }
        if let Some(times) = self.times {
            write!(f, ", {times} times")?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Delay { by, jitter } if jitter.is_zero() => write!(f, "delay {by:?}"),
            Self::Delay { by, jitter } => write!(f, "delay {by:?} + 0..{jitter:?}"),
            Self::Duplicate { copies } => write!(f, "duplicate +{copies}"),
            Self::Reorder { by } => write!(f, "reorder within {by:?}"),
            Self::Corrupt { field, value } => {
                write!(f, "corrupt {field}")?;
                value.map_or(Ok(()), |value| write!(f, " = {value:#x}"))
            }
            Self::Cut { bytes, how } => {
                let how = if *how == How::Reset { " by reset" } else { "" };
                write!(f, "cut after {bytes} bytes{how}")
            }
            Self::Refuse => f.write_str("refuse"),
            Self::Stall { by: Some(by) } => write!(f, "stall {by:?}"),
            Self::Stall { by: None } => f.write_str("stall"),
            Self::Throttle { rate } => write!(f, "throttle {rate} bytes/s"),
            Self::Rights(Rights::Flip) => f.write_str("rights flip"),
            Self::Rights(Rights::Set(rights)) => {
                let name = match rights & 3 {
                    0 => "none",
                    1 => "read",
                    2 => "write",
                    _ => "read-write",
                };
                write!(f, "rights {name}")
            }
            Self::Storm { to, every, servers } => {
                write!(f, "storm to {to} every {every:?} of {servers} servers")
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command => f.write_str("command"),
            Self::PayloadLen => f.write_str("payload_len"),
            Self::DataType => f.write_str("data_type"),
            Self::Count => f.write_str("count"),
            Self::P1 => f.write_str("p1"),
            Self::P2 => f.write_str("p2"),
            Self::Payload(at) => write!(f, "payload byte {at}"),
        }
    }
}
