//! Ports of the loopback interface that nobody uses.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

/// Attempts to find a pair of free ports.
const ATTEMPTS: u32 = 100;

/// A port that is free for TCP and UDP and whose successor is free for UDP: servers of the tests
/// listen on the first and send their beacons to the second.
///
/// Somebody may take it before its user does; who starts a server tries again then.
///
/// # Panics
/// If no port can be bound, which the tests cannot do without.
pub fn free_pair() -> u16 {
    for _ in 0..ATTEMPTS {
        let Ok(tcp) = TcpListener::bind(at(0)) else {
            continue;
        };
        let Ok(port) = tcp.local_addr().map(|address| address.port()) else {
            continue;
        };
        let Some(beacons) = port.checked_add(1) else {
            continue;
        };
        if UdpSocket::bind(at(port)).is_ok() && UdpSocket::bind(at(beacons)).is_ok() {
            return port;
        }
    }
    panic!("no free ports on 127.0.0.1 after {ATTEMPTS} attempts")
}

/// The port on the loopback interface.
pub const fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}
