//! Ports of the loopback interface that nobody uses.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Attempts to find a pair of free ports.
const ATTEMPTS: u32 = 100;
/// Ports below those that systems give to sockets which ask for any (from 32 768 on Linux, 49 152 elsewhere): between
/// the look at a pair and the start of its server nobody gets them by chance.
const FIRST: u16 = 10_000;
const PAIRS: u16 = 11_000;
/// Odd, and without a factor of `PAIRS`: neighbouring processes begin far apart.
const APART: u32 = 6_803;

/// A port that is free for TCP and UDP and whose successor is free for UDP: servers of the tests
/// listen on the first and send their beacons to the second.
///
/// Each call goes on where the one before it stopped, and each process begins elsewhere: test programs that run at
/// once do not find each other's. Somebody may take it before its user does nevertheless; who starts a server tries
/// again then.
///
/// # Panics
/// If no port can be bound, which the tests cannot do without.
pub fn free_pair() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    for _ in 0..ATTEMPTS {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = candidate(process::id(), step);
        if TcpListener::bind(at(port)).is_ok()
            && UdpSocket::bind(at(port)).is_ok()
            && UdpSocket::bind(at(port + 1)).is_ok()
        {
            return port;
        }
    }
    panic!("no free ports on 127.0.0.1 after {ATTEMPTS} attempts")
}

/// The pair that a process tries after so many others.
fn candidate(process: u32, step: u16) -> u16 {
    let pairs = u64::from(PAIRS);
    let pair = (u64::from(process) * u64::from(APART) + u64::from(step)) % pairs;
    FIRST + 2 * u16::try_from(pair).expect("fewer pairs than ports")
}

/// The port on the loopback interface.
pub const fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_run_at_once_try_other_ports() {
        let tried = |process| (0..20).map(move |step| candidate(process, step));
        let mut all: Vec<u16> = (40_000..40_030).flat_map(tried).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|port| (FIRST..32_767).contains(port)));
    }

    #[test]
    fn a_pair_is_given_once() {
        assert_ne!(free_pair(), free_pair());
    }
}
