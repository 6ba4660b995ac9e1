//! Who did not arrive, and where it stands.

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_client::{ConnectError, EcaStatus, MonitorError, PutError, ValueError};
use thiserror::Error;

use crate::condition::{Condition, Impossible, Level};

/// PVs named in a message before it says "and n more".
pub(super) const MAX_NAMED: usize = 8;

/// Why PVs are not what was wanted.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum MatchError {
    /// It can never be; nothing was put.
    #[error("\"{pv}\" can never be what is wanted, nothing was put: {reason}")]
    Impossible {
        /// Name of the PV.
        pv: String,
        /// What is in the way.
        reason: Impossible,
    },
    /// More PVs are to match than there are.
    #[error("{needed} of {of} PVs can never match; give a number from 1 to {of}")]
    Number {
        /// How many are to match.
        needed: usize,
        /// How many there are.
        of: usize,
    },
    /// This user and host may not write it; nothing was put.
    #[error(
        "\"{pv}\" cannot be put to, nothing was put: no write access for this user and host; see the access security \
         of the IOC"
    )]
    NoAccess {
        /// Name of the PV.
        pv: String,
    },
    /// Not enough of them were there in time.
    #[error(transparent)]
    TimedOut(Box<Missing>),
    /// A value could not be put. Others may have been: see the message.
    #[error("{error}; {}", put_before(*.before))]
    Put {
        /// What went wrong.
        error: PutError,
        /// Values that were put.
        before: usize,
    },
    /// A channel could not be opened.
    #[error(transparent)]
    Open(#[from] ConnectError),
    /// A subscription could not be made.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// The client was closed.
    #[error("\"{pv}\" is not watched any more: the client was closed")]
    Closed {
        /// Name of the PV, the first of them.
        pv: String,
    },
}

fn put_before(before: usize) -> String {
    match before {
        0 => "nothing was put".to_owned(),
        1 => "1 other value was put".to_owned(),
        n => format!("{n} other values were put"),
    }
}

/// Where a PV stands.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum At {
    /// Its value.
    Level(Level),
    /// Not known: it is not connected. What keeps it is told for the first ones.
    NotConnected(Option<Box<ConnectError>>),
    /// Not known: the server refuses updates, mostly for lack of read access.
    Refused(EcaStatus),
    /// Not known: its value is neither the number nor the text that is wanted.
    Unusable(ValueError),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => write!(f, "stands at {level}"),
            Self::NotConnected(error) => {
                f.write_str("is not connected")?;
                match error.as_ref().and_then(|error| error.phase()) {
                    Some(phase) => write!(f, " ({phase})"),
                    None => Ok(()),
                }
            }
            Self::Refused(status) => write!(f, "is not told, the server says {status}"),
            Self::Unusable(reason) => write!(f, "has an unusable value: {reason}"),
        }
    }
}

/// A PV that is not what was wanted.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Standing {
    /// Name of the PV.
    pub pv: String,
    /// Its server, as far as one is known.
    pub server: Option<SocketAddrV4>,
    /// What it was to be.
    pub wanted: Condition,
    /// Where it stands.
    pub at: At,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" {}, not {}", self.pv, self.at, self.wanted)
    }
}

/// Who did not arrive in time.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Missing {
    /// Those that are not there, in the order in which they were named.
    pub standing: Vec<Standing>,
    /// How many match.
    pub matched: usize,
    /// How many were to match at once.
    pub needed: usize,
    /// How many there are.
    pub of: usize,
    /// Whether anything was put.
    pub moved: bool,
    /// Time since it was begun.
    pub elapsed: Duration,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        if self.of > 1 || self.standing.is_empty() {
            let (matched, needed) = (self.matched, self.needed);
            write!(
                f,
                "{matched} of the {needed} that must match do so after {seconds:.3} s"
            )?;
        } else {
            write!(f, "not arrived after {seconds:.3} s")?;
        }
        for (n, standing) in self.standing.iter().take(MAX_NAMED).enumerate() {
            write!(f, "{} {standing}", if n == 0 { ":" } else { ";" })?;
        }
        let more = self.standing.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for Missing {}

impl MatchError {
    /// Name of the PV; of several the first that is not there.
    pub fn pv(&self) -> &str {
        match self {
            Self::Impossible { pv, .. } | Self::Closed { pv } | Self::NoAccess { pv } => pv,
            Self::Number { .. } => "",
            Self::TimedOut(missing) => missing.standing.first().map_or("", |it| &it.pv),
            Self::Put { error, .. } => error.pv(),
            Self::Open(error) => error.pv(),
            Self::Monitor(error) => error.pv(),
        }
    }

    /// The server of that PV, as far as one is known.
    pub fn server(&self) -> Option<SocketAddrV4> {
        match self {
            Self::TimedOut(missing) => missing.standing.first()?.server,
            Self::Put { error, .. } => error.server(),
            Self::Open(error) => error.server(),
            Self::Monitor(error) => error.server(),
            _ => None,
        }
    }

    /// Time since it was begun; zero if nothing was tried.
    pub fn elapsed(&self) -> Duration {
        match self {
            Self::TimedOut(missing) => missing.elapsed,
            Self::Put { error, .. } => error.elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// True if the time was up, so that waiting longer might have helped.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Put { error, .. } => error.is_timeout(),
            _ => false,
        }
    }

    /// Whether a value was put, so that something may have moved.
    pub fn has_moved(&self) -> bool {
        match self {
            Self::TimedOut(missing) => missing.moved,
            Self::Put { error, before } => *before > 0 || error.is_timeout(),
            _ => false,
        }
    }

    /// What to do about it, as a sentence without its end.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Impossible { reason, .. } => reason.remedy(),
            Self::NoAccess { .. } => ca_client::Remedy::CheckAccess.text(),
            Self::Number { .. } => "let at most as many match as there are",
            Self::TimedOut(missing) => match missing.standing.first().map(|it| &it.at) {
                Some(At::NotConnected(Some(error))) => error.remedy().text(),
                Some(At::NotConnected(None)) => ca_client::Remedy::CheckSearch.text(),
                Some(At::Refused(_)) => "see the access security of the IOC",
                Some(At::Unusable(_)) => {
                    "ask for a text where the PV has no number, and the reverse"
                }
                _ => "look at the device, raise the time-out or the tolerance",
            },
            Self::Put { error, .. } => error.remedy().text(),
            Self::Open(error) => error.remedy().text(),
            Self::Monitor(error) => error.remedy().text(),
            Self::Closed { .. } => ca_client::Remedy::MakeClient.text(),
        }
    }
}
