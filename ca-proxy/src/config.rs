//! What a proxy is to be, and why it may not start.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::engine::{Level, NO_CORRUPT};
use crate::script::Script;

/// What a proxy is to be.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    pub(crate) listen: SocketAddrV4,
    pub(crate) server: SocketAddrV4,
    pub(crate) control: Option<SocketAddrV4>,
    pub(crate) script: Script,
    pub(crate) read_only: bool,
    pub(crate) seed: u64,
    pub(crate) log: Level,
}

impl ProxyConfig {
    /// A proxy in front of the server whose searches and circuits are at this address. It serves a free
    /// port of 127.0.0.1, lets everything pass, and tells nothing.
    pub const fn new(server: SocketAddrV4) -> Self {
        Self {
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            server,
            control: None,
            script: Script::NONE,
            read_only: false,
            seed: 0,
            log: Level::Quiet,
        }
    }

    /// Address for clients, UDP and TCP; port 0 takes any that is free for both.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddrV4) -> Self {
        self.listen = address;
        self
    }

    /// Takes commands of the line protocol from connections to this address.
    #[must_use]
    pub const fn control(mut self, address: SocketAddrV4) -> Self {
        self.control = Some(address);
        self
    }

    /// The faults.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// Lets nothing be written: puts are answered with `ECA_NOWTACCESS`, and no client gets write access.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Seed of everything random in rules: the same traffic at the same times has the same faults.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What [`Proxy::lines`](crate::Proxy::lines) tells. At most 10 000 lines wait to be taken.
    #[must_use]
    pub const fn log(mut self, level: Level) -> Self {
        self.log = level;
        self
    }
}

/// Why a proxy does not start.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddrV4,
        /// What the system says.
        source: io::Error,
    },
    /// A proxy that is read-only has a rule that could make a put of another request.
    #[error("rule {rule} corrupts requests")]
    MakesPuts {
        /// The rule's id.
        rule: String,
    },
}

impl StartError {
    /// What to do.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "choose a free port, or port 0 for any",
            Self::MakesPuts { .. } => NO_CORRUPT,
        }
    }
}
