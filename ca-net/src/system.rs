//! What every runtime on real sockets asks of the system alike.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ca_proto::Timestamp;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::runtime::{StreamOptions, UdpOptions};

/// Connections that may wait to be accepted; the system cuts it to what it allows (4096 on Linux). One that
/// finds no room is tried again by its own system, a second later at the earliest.
pub(crate) const BACKLOG: u32 = 4096;

pub(crate) fn wall() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_unix_nanos(since_1970.unwrap_or_default().as_nanos())
}

pub(crate) fn entropy() -> u64 {
    // std seeds its hash maps from the system, once per thread, and counts on from there.
    RandomState::new().hash_one(Instant::now())
}

/// # Errors
/// Whatever the system says, usually that the address is in use or is not ours.
pub(crate) fn udp(options: &UdpOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    if options.shared {
        socket.set_reuse_address(true)?;
        #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
        socket.set_reuse_port(true)?;
    }
    socket.set_broadcast(options.broadcast)?;
    socket.set_multicast_ttl_v4(options.multicast_ttl)?;
    // Only groups that this socket joined, not those of the whole host (`udpiiu` of EPICS Base).
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    if options.receive_buffer > 0 {
        socket.set_recv_buffer_size(options.receive_buffer)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(options.address).into())?;
    for group in &options.groups {
        socket.join_multicast_v4(group, &options.group_interface)?;
    }
    if let Some(peer) = options.peer {
        socket.connect(&SocketAddr::from(peer).into())?;
    }
    Ok(socket.into())
}

/// Sets the options of a connection.
///
/// # Errors
/// Whatever the system says, usually that the connection is gone.
pub(crate) fn tune<'a>(stream: impl Into<SockRef<'a>>, options: &StreamOptions) -> io::Result<()> {
    let stream = stream.into();
    stream.set_tcp_nodelay(true)?;
    stream.set_keepalive(options.keep_alive)
}

pub(crate) fn v4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
