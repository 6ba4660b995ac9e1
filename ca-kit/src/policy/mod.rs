//! How a channel is dealt with, as a value: time-outs, retries, and where its value comes from.

mod channel;

use std::time::Duration;

use ca_client::{ConnectError, EcaStatus, GetError, MonitorError, PutError, ValueError};
use thiserror::Error;

pub use self::channel::{PolicyChannel, PolicyGet, PolicyPut};

/// Retries of one operation; more are a slip.
pub const MAX_RETRIES: u32 = 1000;

/// How long something may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Patience {
    /// Always this long.
    Fixed(Duration),
    /// It adjusts itself within bounds: twice as long after each time-out, and half-way towards four
    /// times what the last answer took after each success.
    Adjusting {
        /// At first.
        first: Duration,
        /// At least.
        least: Duration,
        /// At most.
        most: Duration,
    },
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Source {
    /// From the server, with each get.
    #[default]
    Server,
    /// The newest one that a monitor has brought; as long as none has come, that is an error.
    Cache,
    /// The newest one that a monitor has brought; the first one is waited for.
    CacheOrWait,
}

/// How a channel is dealt with.
///
/// # Examples
/// ```
/// use ca_kit::{Patience, Policy, Source};
/// use std::time::Duration;
///
/// let patient = Policy::new()
///     .connect(Patience::Fixed(Duration::from_secs(10)))
///     .request(Patience::Adjusting {
///         first: Duration::from_millis(500),
///         least: Duration::from_millis(100),
///         most: Duration::from_secs(20),
///     })
///     .retries(2);
/// let display = Policy::new().source(Source::CacheOrWait);
/// assert!(patient.check().is_ok() && display.check().is_ok());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    connect: Option<Patience>,
    request: Option<Patience>,
    source: Source,
    retries: u32,
    pause: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy {
    /// The time-outs of the client, values from the server, no retries.
    pub const fn new() -> Self {
        Self {
            connect: None,
            request: None,
            source: Source::Server,
            retries: 0,
            pause: Duration::ZERO,
        }
    }

    /// Time for a connection. Default: the time-out of the client.
    #[must_use]
    pub const fn connect(mut self, patience: Patience) -> Self {
        self.connect = Some(patience);
        self
    }

    /// Time for an answer. Default: the time-out of the client.
    #[must_use]
    pub const fn request(mut self, patience: Patience) -> Self {
        self.request = Some(patience);
        self
    }

    /// Where values come from. Default: the server.
    #[must_use]
    pub const fn source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// How often a get is tried again after a time-out or a lost connection. A put is tried again only if
    /// nothing was sent, as it had no connection. Default: not at all.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Time between two tries. Default: none.
    #[must_use]
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`PolicyError::Bounds`], [`PolicyError::Retries`].
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.retries > MAX_RETRIES {
            return Err(PolicyError::Retries(self.retries));
        }
        for patience in [self.connect, self.request].into_iter().flatten() {
            if let Patience::Adjusting { first, least, most } = patience
                && !(least <= first && first <= most && !least.is_zero())
            {
                return Err(PolicyError::Bounds { first, least, most });
            }
        }
        Ok(())
    }
}

/// Why something could not be done by a policy.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The bounds of a time-out are none.
    #[error(
        "a time-out that begins at {first:?} cannot stay between {least:?} and {most:?}; give bounds above \
         zero around it"
    )]
    Bounds {
        /// At first.
        first: Duration,
        /// At least.
        least: Duration,
        /// At most.
        most: Duration,
    },
    /// There are too many retries.
    #[error("{0} retries are too many; give {MAX_RETRIES} at most")]
    Retries(u32),
    /// The channel is not connected.
    #[error("{error}{}", tried(*.tries))]
    Connect {
        /// What keeps it.
        error: ConnectError,
        /// How often it was tried.
        tries: u32,
    },
    /// A get failed.
    #[error("{error}{}", tried(*.tries))]
    Get {
        /// What went wrong, the last time.
        error: GetError,
        /// How often it was tried.
        tries: u32,
    },
    /// A put failed.
    #[error("{error}{}", tried(*.tries))]
    Put {
        /// What went wrong, the last time.
        error: PutError,
        /// How often it was tried.
        tries: u32,
    },
    /// The monitor has not brought a value, or none since the connection was lost.
    #[error("no value of \"{pv}\" has come; wait for the first one, or get it from the server")]
    NoValue {
        /// Name of the PV.
        pv: String,
    },
    /// The server refuses updates.
    #[error(
        "no value of \"{pv}\" comes, the server says {status}; see the access security of the IOC"
    )]
    Refused {
        /// Name of the PV.
        pv: String,
        /// The server's status.
        status: EcaStatus,
    },
    /// The value is none of the wanted type.
    #[error("the value of \"{pv}\" cannot be used: {reason}")]
    Value {
        /// Name of the PV.
        pv: String,
        /// What is in the way.
        reason: ValueError,
    },
    /// The channel cannot be monitored.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
}

fn tried(tries: u32) -> String {
    match tries {
        0 | 1 => String::new(),
        n => format!(" (tried {n} times)"),
    }
}

impl PolicyError {
    /// True if the time was up, so that waiting longer might have helped.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Connect { error, .. } => error.is_timeout(),
            Self::Get { error, .. } => error.is_timeout(),
            Self::Put { error, .. } => error.is_timeout(),
            _ => false,
        }
    }
}
