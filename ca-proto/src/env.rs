//! Configuration from the `EPICS_CA_*` and `EPICS_CAS_*` environment variables.
//!
//! The environment is a function argument. A variable that is set but empty counts as "no value"
//! and also hides its default: lists are then empty, and numbers use their fallback with a warning.
//! Rules and messages: `rsrv_init` and `envDefs.h` of EPICS Base, messages checked against EPICS
//! 7.0.10.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use crate::addr_list::AddrList;
use crate::config::{ClientParams, REPEATER_PORT, SERVER_PORT, ServerParams};

mod reader;

use reader::Reader;

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Compiled in, or the fallback for a value that could not be used.
    Default,
    /// The environment variable.
    Environment,
    /// Set by the program.
    Setter,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::Setter => "setter",
        })
    }
}

/// A value with the variable and the origin it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The environment variable that holds, or could hold, the value.
    pub variable: &'static str,
    /// The value in use.
    pub value: T,
    /// Where the value comes from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// Replaces the value; the origin becomes [`Origin::Setter`].
    pub fn set(&mut self, value: T) {
        self.value = value;
        self.origin = Origin::Setter;
    }

    const fn default(variable: &'static str, value: T) -> Self {
        Self {
            variable,
            value,
            origin: Origin::Default,
        }
    }

    const fn environment(variable: &'static str, value: T) -> Self {
        Self {
            variable,
            value,
            origin: Origin::Environment,
        }
    }

    fn line(&self, text: impl FnOnce(&T) -> String) -> SettingLine {
        SettingLine {
            variable: self.variable,
            value: text(&self.value),
            origin: self.origin,
        }
    }
}

/// One line of the effective configuration, for people. Prints as `VARIABLE=value (origin)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingLine {
    /// The environment variable.
    pub variable: &'static str,
    /// A value that, put into the variable, gives the setting in use.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

impl fmt::Display for SettingLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} ({})", self.variable, self.value, self.origin)
    }
}

/// A message about a value that could not be used; one or more lines in the reference's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Client settings of the environment. Interfaces and host names still need to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvClient {
    /// EPICS_CA_ADDR_LIST: destinations of searches.
    pub addr_list: Setting<AddrList>,
    /// EPICS_CA_AUTO_ADDR_LIST: search on all interfaces too.
    pub auto_addr_list: Setting<bool>,
    /// EPICS_CA_NAME_SERVERS: TCP name servers.
    pub name_servers: Setting<AddrList>,
    /// EPICS_CA_SERVER_PORT: default port of the two lists.
    pub server_port: Setting<u16>,
    /// EPICS_CA_REPEATER_PORT: port of the local repeater.
    pub repeater_port: Setting<u16>,
    /// EPICS_CA_CONN_TMO: silence before a circuit is probed.
    pub connection_timeout: Setting<Duration>,
    /// EPICS_CA_MAX_SEARCH_PERIOD: ceiling of the search back-off.
    pub max_search_period: Setting<Duration>,
    /// EPICS_CA_AUTO_ARRAY_BYTES: no array limit.
    pub auto_array_bytes: Setting<bool>,
    /// EPICS_CA_MAX_ARRAY_BYTES: array limit in bytes, used if the former is false.
    pub max_array_bytes: Setting<u32>,
    /// EPICS_CA_MCAST_TTL: time to live of multicast searches, in hops.
    pub mcast_ttl: Setting<u8>,
    /// Messages about values that could not be used; bad list entries are reported by
    /// [`AddrList::resolve`].
    pub warnings: Vec<Warning>,
}

impl EnvClient {
    /// Reads the client's variables; `env` gives the value of a variable, `None` if it is not set.
    pub fn read(env: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader::new(&env, "cac");
        let server_port = reader.port("EPICS_CA_SERVER_PORT", SERVER_PORT);
        Self {
            addr_list: reader.list("EPICS_CA_ADDR_LIST", server_port.value),
            auto_addr_list: reader.contains_no("EPICS_CA_AUTO_ADDR_LIST"),
            name_servers: reader.list("EPICS_CA_NAME_SERVERS", server_port.value),
            server_port,
            repeater_port: reader.port("EPICS_CA_REPEATER_PORT", REPEATER_PORT),
            connection_timeout: reader.connection_timeout(),
            max_search_period: reader.max_search_period(),
            auto_array_bytes: reader.yes("EPICS_CA_AUTO_ARRAY_BYTES"),
            max_array_bytes: reader.max_array_bytes(),
            mcast_ttl: reader.mcast_ttl(),
            warnings: reader.warnings,
        }
    }

    /// Parameters with these settings and the given final destinations; user and host name are left
    /// to the caller.
    pub fn params(
        &self,
        search_addrs: Vec<SocketAddrV4>,
        name_servers: Vec<SocketAddrV4>,
    ) -> ClientParams {
        ClientParams::default()
            .search_addrs(search_addrs)
            .name_servers(name_servers)
            .server_port(self.server_port.value)
            .repeater_port(self.repeater_port.value)
            .connection_timeout(self.connection_timeout.value)
            .max_search_period(self.max_search_period.value)
            .max_array_bytes(array_limit(&self.auto_array_bytes, &self.max_array_bytes))
    }

    /// The settings in use, one line per variable.
    pub fn lines(&self) -> Vec<SettingLine> {
        vec![
            self.addr_list.line(AddrList::to_string),
            self.auto_addr_list.line(yes_no),
            self.name_servers.line(AddrList::to_string),
            self.server_port.line(u16::to_string),
            self.repeater_port.line(u16::to_string),
            self.connection_timeout.line(seconds),
            self.max_search_period.line(seconds),
            self.auto_array_bytes.line(yes_no),
            self.max_array_bytes.line(u32::to_string),
            self.mcast_ttl.line(u8::to_string),
        ]
    }
}

/// Server settings of the environment. Interfaces and host names still need to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvServer {
    /// EPICS_CAS_SERVER_PORT or EPICS_CA_SERVER_PORT: UDP and TCP port.
    pub server_port: Setting<u16>,
    /// EPICS_CAS_BEACON_PORT or EPICS_CA_REPEATER_PORT: default port of beacon destinations.
    pub beacon_port: Setting<u16>,
    /// EPICS_CAS_INTF_ADDR_LIST: addresses to bind and groups to join, see
    /// [`BindAddrs`](crate::addr_list::BindAddrs). Empty: all interfaces.
    pub interfaces: Setting<AddrList>,
    /// EPICS_CAS_IGNORE_ADDR_LIST: hosts whose UDP messages are ignored.
    pub ignore_addrs: Setting<AddrList>,
    /// EPICS_CAS_AUTO_BEACON_ADDR_LIST: send beacons on all interfaces too.
    pub auto_beacon_addr_list: Setting<bool>,
    /// EPICS_CAS_BEACON_ADDR_LIST: destinations of beacons.
    pub beacon_addr_list: Setting<AddrList>,
    /// EPICS_CAS_BEACON_PERIOD or EPICS_CA_BEACON_PERIOD: steady pause between beacons.
    pub beacon_period: Setting<Duration>,
    /// EPICS_CA_AUTO_ARRAY_BYTES: no array limit.
    pub auto_array_bytes: Setting<bool>,
    /// EPICS_CA_MAX_ARRAY_BYTES: array limit in bytes, used if the former is false.
    pub max_array_bytes: Setting<u32>,
    /// EPICS_CA_MCAST_TTL: time to live of multicast beacons, in hops.
    pub mcast_ttl: Setting<u8>,
    /// EPICS_IOC_IGNORE_SERVERS: false if it names `rsrv`, the Channel Access server, which is then
    /// not to be started.
    pub enabled: Setting<bool>,
    /// Messages about values that could not be used; bad list entries are reported by
    /// [`AddrList::resolve`].
    pub warnings: Vec<Warning>,
}

impl EnvServer {
    /// Reads the server's variables; `env` gives the value of a variable, `None` if it is not set.
    pub fn read(env: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader::new(&env, "CAS");
        let server_port =
            reader.first_port("EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT", SERVER_PORT);
        let beacon_port = reader.first_port(
            "EPICS_CAS_BEACON_PORT",
            "EPICS_CA_REPEATER_PORT",
            REPEATER_PORT,
        );
        Self {
            interfaces: reader.list("EPICS_CAS_INTF_ADDR_LIST", server_port.value),
            ignore_addrs: reader.list("EPICS_CAS_IGNORE_ADDR_LIST", 0),
            auto_beacon_addr_list: reader.yes("EPICS_CAS_AUTO_BEACON_ADDR_LIST"),
            beacon_addr_list: reader.list("EPICS_CAS_BEACON_ADDR_LIST", beacon_port.value),
            server_port,
            beacon_port,
            beacon_period: reader.beacon_period(),
            auto_array_bytes: reader.yes("EPICS_CA_AUTO_ARRAY_BYTES"),
            max_array_bytes: reader.max_array_bytes(),
            mcast_ttl: reader.mcast_ttl(),
            enabled: reader.enabled(),
            warnings: reader.warnings,
        }
    }

    /// Parameters with these settings and the given resolved addresses; the TCP port is the UDP
    /// port until the caller finds it taken.
    pub fn params(
        &self,
        beacon_addrs: Vec<SocketAddrV4>,
        ignore_addrs: Vec<Ipv4Addr>,
    ) -> ServerParams {
        ServerParams::default()
            .beacon_addrs(beacon_addrs)
            .ignore_addrs(ignore_addrs)
            .udp_port(self.server_port.value)
            .tcp_port(self.server_port.value)
            .beacon_period(self.beacon_period.value)
            .max_array_bytes(array_limit(&self.auto_array_bytes, &self.max_array_bytes))
    }

    /// The settings in use, one line per variable.
    pub fn lines(&self) -> Vec<SettingLine> {
        vec![
            self.server_port.line(u16::to_string),
            self.beacon_port.line(u16::to_string),
            self.interfaces.line(AddrList::to_string),
            self.ignore_addrs.line(AddrList::to_string),
            self.auto_beacon_addr_list.line(yes_no),
            self.beacon_addr_list.line(AddrList::to_string),
            self.beacon_period.line(seconds),
            self.auto_array_bytes.line(yes_no),
            self.max_array_bytes.line(u32::to_string),
            self.mcast_ttl.line(u8::to_string),
            self.enabled
                .line(|&enabled| String::from(if enabled { "" } else { "rsrv" })),
        ]
    }
}

fn array_limit(auto: &Setting<bool>, limit: &Setting<u32>) -> Option<u32> {
    (!auto.value).then_some(limit.value)
}

fn yes_no(value: &bool) -> String {
    String::from(if *value { "YES" } else { "NO" })
}

fn seconds(value: &Duration) -> String {
    format!("{:?}", value.as_secs_f64())
}
