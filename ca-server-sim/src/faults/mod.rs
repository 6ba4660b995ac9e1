//! Misbehaviour on purpose, switched while the IOC serves.
//!
//! A [`Fault`] is of a PV, of the links to clients, or of the whole IOC. It is begun and ended by
//! [`Ioc::fault`](crate::Ioc::fault), which takes a line of text, by [`Ioc::begin_fault`](crate::Ioc::begin_fault)
//! and [`Ioc::end_fault`](crate::Ioc::end_fault), or by a [`FaultScript`] with times. The state machine itself
//! misbehaves, so the same faults happen on sockets and in a virtual world, and follow from the seed.
//!
//! ```
//! use std::time::Duration;
//! use ca_server_sim::{Instant, Ioc, PvSpec, faults::FaultScript};
//!
//! let mut ioc = Ioc::builder().pv("magnet:current", PvSpec::double(1.0)).build()?;
//! let now = Instant::ZERO;
//! ioc.fault(now, "stuck magnet:current for 10s")?;
//! ioc.post(now, "magnet:current", 5.0)?;
//! assert_eq!(ioc.number("magnet:current")?, 1.0);
//! ioc.handle_timeout(now + Duration::from_secs(10));
//! ioc.post(now, "magnet:current", 5.0)?;
//! assert_eq!(ioc.number("magnet:current")?, 5.0);
//!
//! let script = FaultScript::parse("at 2s  delay * by 300ms for 5s\nat 10s reboot by 3s\n")?;
//! ioc.run_faults(now, &script)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Lines
//! `WHAT [PV] [KEY VALUE …]`. A PV may have `*` and `?`; one without a dot means all fields. Times are `200ms`, `1.5s`,
//! `2min`, `1h`.
//!
//! | what | of | keys | what happens |
//! |---|---|---|---|
//! | `drop` | messages | | messages to clients are lost |
//! | `delay` | messages | `by`, `jitter` | they come later, those of a channel in their order |
//! | `duplicate` | messages | `copies` | they come again |
//! | `cut` | messages | `bytes` | the circuit ends after so many bytes of the message |
//! | `slow` | PV | `by` | puts are completed so much later |
//! | `never` | PV | | puts are never completed |
//! | `stall` | links | | nothing is sent; what waits comes in the end |
//! | `half-open` | links | | nothing is sent or heard, and the circuit is dead in the end |
//! | `refuse` | links | | connections are closed at once, though searches are answered |
//! | `stuck` | PV | | the value stays as it is; time stamps go on |
//! | `freeze` | PV | | nothing changes any more, not even the time stamp |
//! | `noise` | PV | `by`, `every` | normal noise on top of the value |
//! | `offline` | PV | | an INVALID alarm (`COMM`), and puts fail |
//! | `rights` | PV | | `rights PV none`, `read`, `write` or `read-write`, for all clients |
//! | `type` | PV | `count` | `type PV long` and so on: another type, as after a restart; it stays |
//! | `twin` | PV | `to` | searches are answered twice, as if a second server had the PV |
//! | `silence` | IOC | | no beacons |
//! | `storm` | IOC | `every`, `servers`, `to` | beacons of servers that do not exist |
//! | `clock` | IOC | `by` | time stamps are wrong by so much, also `-1h` |
//! | `reboot` | IOC | `by` | all circuits end, nothing is answered for so long, beacons begin anew |
//!
//! All take `for TIME`, after which they end. Messages take `on COMMAND` (`read_notify`, `event_add` …),
//! `probability`, `after` (so many go unharmed) and `times`. Messages and links take `client`, an address with or
//! without port, the name of a host or that of a user, also with `*`. `off ID`, `off all`, `off stuck` and `off
//! stuck PV` end faults, `list` shows them. `ca-proxy` has the same words for what it does, and
//! [`Fault::proxy_rule`] writes its rule.

mod db;
mod link;
mod pattern;
mod script;
mod server;
mod state;
mod words;

use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::dbr::NativeType;
use ca_proto::wire::Command;
use thiserror::Error;

use crate::state::codec::saved;

pub(crate) use db::{Faulty, Held, Taken, normal};
pub(crate) use link::Harm;
pub use pattern::Pattern;
pub use script::{FaultScript, ScriptMistake, ScriptMistakes};
pub(crate) use state::Faults;
pub use words::Order;

/// Faults that are on at the same time, at most.
pub const MAX_FAULTS: usize = 1000;

/// Why a fault cannot be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("column {column}: {}", ca_proto::text::Shown(.what))]
#[non_exhaustive]
pub struct FaultError {
    /// Where in the line, in characters from 1.
    pub column: usize,
    /// What is wrong, and the remedy.
    pub what: String,
}

impl FaultError {
    pub(crate) fn new(column: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { column, what }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// Messages are lost.
    Drop,
    /// Messages come later.
    Delay {
        /// By this time,
        by: Duration,
        /// and by up to this time more.
        jitter: Duration,
    },
    /// Messages come several times.
    Duplicate {
        /// So many times more.
        copies: u32,
    },
    /// The circuit ends within a message.
    Cut {
        /// After so many of its bytes.
        bytes: u32,
    },
    /// Puts are completed later.
    Slow {
        /// By this time.
        by: Duration,
    },
    /// Puts are never completed.
    Never,
    /// Nothing is sent for a while.
    Stall,
    /// Nothing is sent or heard, and it ends with the circuit.
    HalfOpen,
    /// Connections are closed at once.
    Refuse,
    /// The value stays.
    Stuck,
    /// The value and its time stamp stay.
    Freeze,
    /// Noise on top of the value.
    Noise {
        /// Its root mean square.
        by: f64,
        /// How often there is new noise.
        every: Duration,
    },
    /// An alarm, and puts fail.
    Offline,
    /// What clients may do.
    Rights(AccessRights),
    /// Another type, for good.
    Type {
        /// The type.
        native: NativeType,
        /// Number of elements.
        count: u32,
    },
    /// A second answer to searches.
    Twin {
        /// Where the second server seems to be; else on the next TCP port.
        to: Option<SocketAddrV4>,
    },
    /// No beacons.
    Silence,
    /// Beacons of servers that do not exist.
    Storm {
        /// Time between two bursts.
        every: Duration,
        /// Beacons of a burst.
        servers: u16,
        /// Where to; else where beacons go.
        to: Option<SocketAddrV4>,
    },
    /// Time stamps are wrong.
    Clock {
        /// By so many nanoseconds.
        nanos: i64,
    },
    /// Everything ends and comes back.
    Reboot {
        /// After this time.
        by: Duration,
    },
}

impl FaultKind {
    /// Its word in a line.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Delay { .. } => "delay",
            Self::Duplicate { .. } => "duplicate",
            Self::Cut { .. } => "cut",
            Self::Slow { .. } => "slow",
            Self::Never => "never",
            Self::Stall => "stall",
            Self::HalfOpen => "half-open",
            Self::Refuse => "refuse",
            Self::Stuck => "stuck",
            Self::Freeze => "freeze",
            Self::Noise { .. } => "noise",
            Self::Offline => "offline",
            Self::Rights(_) => "rights",
            Self::Type { .. } => "type",
            Self::Twin { .. } => "twin",
            Self::Silence => "silence",
            Self::Storm { .. } => "storm",
            Self::Clock { .. } => "clock",
            Self::Reboot { .. } => "reboot",
        }
    }

    /// It looks at messages to clients.
    pub(crate) const fn is_of_messages(&self) -> bool {
        matches!(
            self,
            Self::Drop
                | Self::Delay { .. }
                | Self::Duplicate { .. }
                | Self::Cut { .. }
                | Self::Slow { .. }
                | Self::Never
        )
    }

    /// It concerns circuits, or messages on them.
    pub(crate) const fn is_of_links(&self) -> bool {
        self.is_of_messages() || matches!(self, Self::Stall | Self::HalfOpen)
    }
}

saved!(enum FaultKind {
    0 Drop,
    1 Delay { by, jitter },
    2 Duplicate { copies },
    3 Cut { bytes },
    4 Slow { by },
    5 Never,
    6 Stall,
    7 HalfOpen,
    8 Refuse,
    9 Stuck,
    10 Freeze,
    11 Noise { by, every },
    12 Offline,
    13 Rights(rights),
    14 Type { native, count },
    15 Twin { to },
    16 Silence,
    17 Storm { every, servers, to },
    18 Clock { nanos },
    19 Reboot { by },
});
saved!(struct Fault { kind, pv, client, on, probability, after, times, lasts });

/// Something that goes wrong on purpose.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Of which PVs; `None` for all messages, for links and for the IOC.
    pub pv: Option<Pattern>,
    /// Of which clients: address, address with port, name of a host or of a user.
    pub client: Option<Pattern>,
    /// Of which messages.
    pub on: Option<Command>,
    /// Chance of each message, from 0 to 1.
    pub probability: f64,
    /// Messages that go unharmed first.
    pub after: u64,
    /// Messages that are harmed at most.
    pub times: Option<u64>,
    /// How long; `None` until it is ended.
    pub lasts: Option<Duration>,
}

impl Fault {
    /// A fault of everything that its kind can be of, until it is ended.
    pub const fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            pv: None,
            client: None,
            on: None,
            probability: 1.0,
            after: 0,
            times: None,
            lasts: None,
        }
    }

    /// The same of the PVs of this name, which may have `*` and `?`.
    #[must_use]
    pub fn of(mut self, pv: &str) -> Self {
        self.pv = Some(Pattern::new(pv));
        self
    }

    /// The same for so long.
    #[must_use]
    pub const fn lasting(mut self, time: Duration) -> Self {
        self.lasts = Some(time);
        self
    }

    /// The rule of `ca-proxy` that does the same to what passes through it, as a line for its `add`; `None` for
    /// what is not between client and server.
    pub fn proxy_rule(&self) -> Option<String> {
        let completion = matches!(self.kind, FaultKind::Slow { .. } | FaultKind::Never);
        let on = match (&self.kind, self.on) {
            (FaultKind::Rights(_), _) => "access_rights".to_owned(),
            (FaultKind::Refuse | FaultKind::Stall | FaultKind::HalfOpen, _) => "circuit".to_owned(),
            (FaultKind::Storm { .. }, _) => "beacon".to_owned(),
            _ if completion => "write_notify".to_owned(),
            (_, Some(command)) => command.to_string().to_lowercase(),
            (_, None) => "any".to_owned(),
        };
        let time = |time: Duration| format!("\"{}ms\"", time.as_secs_f64() * 1e3);
        let action = match self.kind {
            FaultKind::Drop | FaultKind::Never => "action = \"drop\"".to_owned(),
            FaultKind::Delay { by, jitter } => {
                let (by, jitter) = (time(by), time(jitter));
                format!("action = \"delay\", by = {by}, jitter = {jitter}")
            }
            FaultKind::Slow { by } => format!("action = \"delay\", by = {}", time(by)),
            FaultKind::Duplicate { copies } => {
                format!("action = \"duplicate\", copies = {copies}")
            }
            FaultKind::Cut { bytes } => format!("action = \"cut\", bytes = {bytes}"),
            // The proxy holds what a half-open link would have lost.
            FaultKind::Stall | FaultKind::HalfOpen => "action = \"stall\"".to_owned(),
            FaultKind::Refuse => "action = \"refuse\"".to_owned(),
            FaultKind::Rights(rights) => {
                format!(
                    "action = \"rights\", rights = \"{}\"",
                    words::rights(rights)
                )
            }
            FaultKind::Storm { every, servers, to } => {
                let (to, every) = (to?, time(every));
                format!("action = \"storm\", to = \"{to}\", every = {every}, servers = {servers}")
            }
            _ => return None,
        };
        let mut rule = format!("on = \"{on}\", {action}");
        if self.kind.is_of_messages() || matches!(self.kind, FaultKind::Rights(_)) {
            if self.kind.is_of_messages() {
                rule += ", direction = \"response\"";
            }
            if let Some(pv) = &self.pv {
                rule += &format!(", name = \"{pv}\"");
            }
        }
        if self.probability < 1.0 {
            rule += &format!(", probability = {:?}", self.probability);
        }
        if self.after > 0 {
            rule += &format!(", after = {}", self.after);
        }
        if let Some(times) = self.times {
            rule += &format!(", times = {times}");
        }
        Some(rule)
    }
}

/// A line that begins the same fault.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = words::Time;
        f.write_str(self.kind.word())?;
        if let Some(pv) = &self.pv {
            write!(f, " {pv}")?;
        }
        match self.kind {
            FaultKind::Delay { by, jitter } => {
                write!(f, " by {}", time(by))?;
                if !jitter.is_zero() {
                    write!(f, " jitter {}", time(jitter))?;
                }
            }
            FaultKind::Slow { by } | FaultKind::Reboot { by } => write!(f, " by {}", time(by))?,
            FaultKind::Duplicate { copies } => write!(f, " copies {copies}")?,
            FaultKind::Cut { bytes } => write!(f, " bytes {bytes}")?,
            FaultKind::Noise { by, every } => write!(f, " by {by} every {}", time(every))?,
            FaultKind::Rights(rights) => write!(f, " {}", words::rights(rights))?,
            FaultKind::Type { native, count } => {
                write!(f, " {} count {count}", words::native(native))?;
            }
            FaultKind::Twin { to: Some(to) } => write!(f, " to {to}")?,
            FaultKind::Storm { every, servers, to } => {
                write!(f, " every {} servers {servers}", time(every))?;
                if let Some(to) = to {
                    write!(f, " to {to}")?;
                }
            }
            FaultKind::Clock { nanos } => {
                let sign = if nanos < 0 { "-" } else { "" };
                let by = Duration::from_nanos(nanos.unsigned_abs());
                write!(f, " by {sign}{}", time(by))?;
            }
            _ => {}
        }
        if let Some(client) = &self.client {
            write!(f, " client {client}")?;
        }
        if let Some(command) = self.on {
            write!(f, " on {}", command.to_string().to_lowercase())?;
        }
        if self.probability < 1.0 {
            write!(f, " probability {}", self.probability)?;
        }
        if self.after > 0 {
            write!(f, " after {}", self.after)?;
        }
        if let Some(times) = self.times {
            write!(f, " times {times}")?;
        }
        if let Some(lasts) = self.lasts {
            write!(f, " for {}", time(lasts))?;
        }
        Ok(())
    }
}
