//! Where an IOC serves.

use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::config::REPEATER_PORT;

use super::Bound;

/// Addresses and ports of an IOC. The default keeps to this host: loopback only, ports chosen by
/// the system, beacons to the repeater on this host alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetConfig {
    pub(super) interfaces: Vec<Ipv4Addr>,
    pub(super) tcp_port: u16,
    pub(super) udp_port: u16,
    pub(super) exact: bool,
    pub(super) repeater: Option<u16>,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            interfaces: vec![Ipv4Addr::LOCALHOST],
            tcp_port: 0,
            udp_port: 0,
            exact: false,
            repeater: Some(REPEATER_PORT),
        }
    }
}

impl NetConfig {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Addresses to serve on; 0.0.0.0 is every interface. Default: 127.0.0.1, so that nobody else
    /// can write.
    #[must_use]
    pub fn interfaces(mut self, interfaces: impl Into<Vec<Ipv4Addr>>) -> Self {
        self.interfaces = interfaces.into();
        self
    }

    /// Port for circuits; 0 lets the system choose. A port that is taken is replaced by one that
    /// the system chooses, as the reference does, unless [`exact`](Self::exact) is set.
    #[must_use]
    pub const fn tcp_port(mut self, port: u16) -> Self {
        self.tcp_port = port;
        self
    }

    /// Port for searches; 0 lets the system choose. A port that is given can be shared with other
    /// servers on this host (`SO_REUSEADDR`).
    #[must_use]
    pub const fn udp_port(mut self, port: u16) -> Self {
        self.udp_port = port;
        self
    }

    /// Whether a TCP port that is taken is an error.
    #[must_use]
    pub const fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// Port of the repeater on this host that gets beacons, unless the server's parameters name
    /// beacon addresses; `None` for no beacons. Default: 5065.
    #[must_use]
    pub const fn repeater(mut self, port: Option<u16>) -> Self {
        self.repeater = port;
        self
    }

    pub(super) fn beacon_addrs(&self) -> Vec<SocketAddrV4> {
        let to = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        self.repeater.map(to).into_iter().collect()
    }

    pub(super) fn env(&self, bound: &Bound) -> Vec<(&'static str, String)> {
        let reachable = |address: &Ipv4Addr| match address.is_unspecified() {
            true => Ipv4Addr::LOCALHOST,
            false => *address,
        };
        let port = bound.udp_port;
        let addresses: Vec<String> = (self.interfaces.iter())
            .map(|address| format!("{}:{port}", reachable(address)))
            .collect();
        let list = match &addresses[..] {
            [single] => single.clone(),
            several => format!("\"{}\"", several.join(" ")),
        };
        let mut env = vec![
            ("EPICS_CA_ADDR_LIST", list),
            ("EPICS_CA_AUTO_ADDR_LIST", "NO".to_owned()),
            ("EPICS_CA_SERVER_PORT", port.to_string()),
        ];
        if let Some(repeater) = self.repeater {
            env.push(("EPICS_CA_REPEATER_PORT", repeater.to_string()));
        }
        env
    }
}
