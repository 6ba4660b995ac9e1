//! Where an IOC serves.

use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::config::REPEATER_PORT;

use super::Bound;

/// Addresses and ports of an IOC. The default keeps to this host: loopback only, ports chosen by
/// the system, no beacons (see [`repeater`](Self::repeater)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetConfig {
    pub(super) interfaces: Vec<Ipv4Addr>,
    pub(super) groups: Vec<Ipv4Addr>,
    pub(super) tcp_port: u16,
    pub(super) udp_port: u16,
    pub(super) exact: bool,
    /// What was asked for; `None` if nothing was.
    pub(super) repeater: Option<Option<u16>>,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            interfaces: vec![Ipv4Addr::LOCALHOST],
            groups: Vec::new(),
            tcp_port: 0,
            udp_port: 0,
            exact: false,
            repeater: None,
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

    /// Multicast groups whose searches are answered, on each interface. Default: none.
    #[must_use]
    pub fn groups(mut self, groups: impl Into<Vec<Ipv4Addr>>) -> Self {
        self.groups = groups.into();
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
    /// beacon addresses; `None` for no beacons. Default: 5065 if the UDP port is given, no beacons
    /// if the system chooses it, for then only clients that were told the port know of the IOC.
    #[must_use]
    pub const fn repeater(mut self, port: Option<u16>) -> Self {
        self.repeater = Some(port);
        self
    }

    /// The port that gets beacons.
    pub(super) fn repeater_port(&self) -> Option<u16> {
        let default = (self.udp_port != 0).then_some(REPEATER_PORT);
        self.repeater.unwrap_or(default)
    }

    pub(super) fn beacon_addrs(&self) -> Vec<SocketAddrV4> {
        let to = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        self.repeater_port().map(to).into_iter().collect()
    }

    /// The address under which clients on this host reach an interface.
    pub(super) fn reachable(interface: Ipv4Addr) -> Ipv4Addr {
        match interface.is_unspecified() {
            true => Ipv4Addr::LOCALHOST,
            false => interface,
        }
    }

    pub(super) fn env(&self, bound: &Bound) -> Vec<(&'static str, String)> {
        let port = bound.udp_port;
        let addresses: Vec<String> = (self.interfaces.iter())
            .map(|address| format!("{}:{port}", Self::reachable(*address)))
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
        if let Some(repeater) = self.repeater_port() {
            env.push(("EPICS_CA_REPEATER_PORT", repeater.to_string()));
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beacons_go_to_the_repeater_if_clients_can_know_the_search_port() {
        let to = |config: NetConfig| config.beacon_addrs();
        assert_eq!(to(NetConfig::new()), []);
        let repeater = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        assert_eq!(to(NetConfig::new().udp_port(5064)), [repeater(5065)]);
        assert_eq!(to(NetConfig::new().repeater(Some(7))), [repeater(7)]);
        assert_eq!(to(NetConfig::new().udp_port(5064).repeater(None)), []);
    }
}
