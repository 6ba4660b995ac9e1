//! Opening the sockets of an IOC.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::{io, iter};

use ca_net::{Listener, Runtime, StreamOptions, UdpIo, UdpOptions};
use ca_proto::addr_list::Reach;

use super::{Bound, NetConfig, ServeError};

/// Receive buffer to ask for in bytes: searches of many clients come in bursts, and each one lost
/// delays its client.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The sockets of one run.
#[derive(Debug)]
pub(super) struct Sockets {
    pub listeners: Vec<Box<dyn Listener>>,
    /// With the index of its interface; several may belong to one. The first of an interface
    /// sends its replies.
    pub udp: Vec<(usize, UdpIo)>,
    pub bound: Bound,
}

impl Sockets {
    pub(super) fn bind(runtime: &dyn Runtime, config: &NetConfig) -> Result<Self, ServeError> {
        let listeners = listen_all(runtime, config)?;
        let (udp, udp_port) = bind_all(runtime, config)?;
        let mut tcp = Vec::new();
        for (listener, interface) in listeners.iter().zip(&config.interfaces) {
            let unknown = SocketAddrV4::new(*interface, config.tcp_port);
            let address = listener.local_addr();
            tcp.push(address.map_err(|error| failed("TCP", unknown, &error))?);
        }
        Ok(Self {
            listeners,
            udp,
            bound: Bound { tcp, udp_port },
        })
    }
}

/// One listener for each interface, all on the same port. The port given is kept if it is free on
/// all; unlike the reference, an address that is not ours does not move the others to another port
/// (`ca-proto/TRAPS.md`, D11) but is an error.
fn listen_all(
    runtime: &dyn Runtime,
    config: &NetConfig,
) -> Result<Vec<Box<dyn Listener>>, ServeError> {
    match listen_on(runtime, config, config.tcp_port) {
        Err((_, error))
            if error.kind() == io::ErrorKind::AddrInUse
                && !config.exact
                && config.tcp_port != 0 =>
        {
            listen_on(runtime, config, 0)
        }
        result => result,
    }
    .map_err(|(address, error)| failed("TCP", address, &error))
}

fn listen_on(
    runtime: &dyn Runtime,
    config: &NetConfig,
    mut port: u16,
) -> Result<Vec<Box<dyn Listener>>, (SocketAddrV4, io::Error)> {
    let mut listeners = Vec::new();
    for &interface in &config.interfaces {
        let address = SocketAddrV4::new(interface, port);
        let listener = runtime
            .listen(address, &StreamOptions::default())
            .map_err(|error| (address, error))?;
        let local = listener.local_addr().map_err(|error| (address, error))?;
        port = local.port();
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A socket for each interface, and more for its broadcast address and for the multicast groups: a
/// socket bound to a unicast address receives neither (`rsrv_init` of EPICS Base; for groups the
/// reference relies on systems where it does). On Windows it receives both, and no socket can be bound to
/// either.
fn bind_all(
    runtime: &dyn Runtime,
    config: &NetConfig,
) -> Result<(Vec<(usize, UdpIo)>, u16), ServeError> {
    if config.interfaces.is_empty() {
        return Err(ServeError::NoInterface);
    }
    let mut port = config.udp_port;
    let mut sockets = Vec::new();
    for (index, &interface) in config.interfaces.iter().enumerate() {
        let broadcast = broadcast_of(runtime, interface);
        let others = broadcast.into_iter().chain(config.groups.iter().copied());
        let others = others.filter(|_| !cfg!(windows));
        for address in iter::once(interface).chain(others) {
            let groups: Vec<Ipv4Addr> = match cfg!(windows) {
                true => config.groups.clone(),
                false => iter::once(address).filter(Ipv4Addr::is_multicast).collect(),
            };
            let address = SocketAddrV4::new(address, port);
            let options = UdpOptions {
                address,
                // Several interfaces have sockets for the same group.
                shared: config.udp_port != 0 || !groups.is_empty(),
                groups,
                group_interface: interface,
                receive_buffer: RECEIVE_BUFFER,
                ..UdpOptions::default()
            };
            let open = || -> io::Result<(UdpIo, u16)> {
                let socket = UdpIo::new(runtime.bind_udp(&options)?);
                let port = socket.local_addr()?.port();
                Ok((socket, port))
            };
            let (socket, bound) = open().map_err(|error| failed("UDP", address, &error))?;
            port = bound;
            sockets.push((index, socket));
        }
    }
    Ok((sockets, port))
}

fn broadcast_of(runtime: &dyn Runtime, address: Ipv4Addr) -> Option<Ipv4Addr> {
    if address.is_unspecified() || address.is_loopback() {
        return None;
    }
    let interfaces = runtime.interfaces().ok()?;
    let ours = interfaces.into_iter().find(|i| i.addr == address)?;
    match ours.reach {
        Reach::Broadcast(broadcast) => Some(broadcast),
        _ => None,
    }
}

fn failed(what: &'static str, address: SocketAddrV4, error: &io::Error) -> ServeError {
    ServeError::Socket {
        what,
        address,
        reason: error.to_string(),
        kind: error.kind(),
    }
}
