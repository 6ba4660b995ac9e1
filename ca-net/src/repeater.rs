//! The repeater on sockets: copies beacons to every Channel Access client of this host.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ca_proto::repeater::Repeater;

use crate::budget::Budget;
use crate::runtime::{DatagramSocket, Runtime, UdpOptions};
use crate::udp::UdpIo;

/// Receive buffer asked for, in bytes: the servers of a facility restarted after a power failure
/// send their beacons all at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// What came of starting a repeater.
#[derive(Debug)]
pub enum RepeaterStart {
    /// The port was free; the driver is to be spawned or polled.
    Started(Box<RepeaterDriver>),
    /// The port is taken, as a rule by another repeater, which serves everybody on this host.
    AlreadyRunning,
}

/// Drives [`Repeater`]: a future that never ends, the repeater stops when it is dropped.
///
/// It has one socket on the repeater port and one per client, connected to that client: only a
/// connected socket learns that nobody listens any more. So clients get their datagrams from
/// ports of the system's choice, as from the reference (`ca_repeater` of EPICS Base).
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use ca_net::{RepeaterDriver, RepeaterStart, Runtime, TokioRuntime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let runtime = Arc::new(TokioRuntime::current().expect("this is an async main"));
/// match RepeaterDriver::start(runtime.clone(), "127.0.0.1:0".parse().unwrap(), &[])? {
///     RepeaterStart::Started(driver) => drop(runtime.spawn(Box::into_pin(driver))),
///     RepeaterStart::AlreadyRunning => println!("there is one already"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a repeater works while it is polled"]
pub struct RepeaterDriver {
    runtime: Arc<dyn Runtime>,
    core: Repeater,
    socket: UdpIo,
    clients: Clients,
    /// The datagram on its way, and to whom.
    data: Vec<u8>,
    outgoing: Option<Outgoing>,
}

#[derive(Clone, Copy, Debug)]
struct Outgoing {
    to: SocketAddrV4,
    retried: bool,
}

impl RepeaterDriver {
    /// Binds the repeater port; the address is unspecified (0.0.0.0) except in tests, because
    /// broadcast beacons do not arrive at a single address. The port is never shared: two
    /// repeaters would each know only some of the clients (trap 19).
    ///
    /// Beacons sent to the multicast `groups` are copied, too. A group that can't be joined, as on a
    /// host without network, is left out with a warning.
    ///
    /// # Errors
    /// When the port can't be bound for another reason than being taken.
    pub fn start(
        runtime: Arc<dyn Runtime>,
        address: SocketAddrV4,
        groups: &[Ipv4Addr],
    ) -> io::Result<RepeaterStart> {
        let options = UdpOptions {
            address,
            broadcast: false,
            groups: joinable(&*runtime, groups),
            receive_buffer: RECEIVE_BUFFER,
            ..UdpOptions::default()
        };
        let socket = match runtime.bind_udp(&options) {
            Ok(socket) => socket,
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Ok(RepeaterStart::AlreadyRunning);
            }
            Err(error) => return Err(error),
        };
        Ok(RepeaterStart::Started(Box::new(Self {
            runtime,
            core: Repeater::new([]),
            socket: UdpIo::new(socket),
            clients: BTreeMap::new(),
            data: Vec::new(),
            outgoing: None,
        })))
    }

    /// The address of the repeater.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.socket.local_addr()
    }

    /// The registered clients in order of registration.
    pub fn clients(&self) -> &[SocketAddrV4] {
        self.core.clients()
    }

    fn receive(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Poll<()> {
        let (core, runtime) = (&mut self.core, &*self.runtime);
        self.socket.poll_recv(cx, budget, |from, data| {
            // Interfaces come and go, so this is looked up when somebody registers.
            if Repeater::registers(data) && !core.is_local(*from.ip()) && owns(runtime, *from.ip())
            {
                core.add_local(*from.ip());
            }
            core.handle_datagram(runtime.now(), from, data);
        })
    }

    /// Sends until nothing is left. While a client's socket is full all wait: clients are on this
    /// host, so it is full for a moment only.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(Outgoing { to, retried }) = self.outgoing else {
                let next = self.core.poll_transmit(self.runtime.now(), &mut self.data);
                let Some(to) = next else {
                    return Poll::Ready(());
                };
                let retried = false;
                self.outgoing = Some(Outgoing { to, retried });
                continue;
            };
            let sent = match socket_of(&mut self.clients, &*self.runtime, to) {
                Ok(socket) => ready!(socket.poll_send_to(cx, &self.data, to)),
                Err(error) => Err(error),
            };
            self.outgoing = None;
            if sent.is_ok() {
                continue;
            }
            if is_gone(&*self.runtime, to) {
                self.forget(to);
            } else if !retried {
                // What was refused is an earlier datagram, and this one was not sent: the port may
                // have a new owner that waits for its confirmation.
                let retried = true;
                self.outgoing = Some(Outgoing { to, retried });
            }
        }
    }

    /// Looks which clients are gone, after somebody registered.
    fn check(&mut self) {
        while let Some(client) = self.core.poll_check() {
            if is_gone(&*self.runtime, client) {
                self.forget(client);
            }
        }
    }

    fn forget(&mut self, client: SocketAddrV4) {
        tracing::debug!("{client} is gone");
        self.core.forget(client);
        self.clients.remove(&client);
    }
}

impl Future for RepeaterDriver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        ready!(this.send(cx));
        let more = this.receive(cx, &mut Budget::default()).is_ready();
        ready!(this.send(cx));
        this.check();
        if more {
            this.runtime.yield_now(cx);
        }
        Poll::Pending
    }
}

type Clients = BTreeMap<SocketAddrV4, Box<dyn DatagramSocket>>;

/// The socket for a client, made when it is first needed.
fn socket_of<'a>(
    clients: &'a mut Clients,
    runtime: &dyn Runtime,
    client: SocketAddrV4,
) -> io::Result<&'a mut Box<dyn DatagramSocket>> {
    match clients.entry(client) {
        Entry::Occupied(socket) => Ok(socket.into_mut()),
        Entry::Vacant(none) => {
            tracing::debug!("{client} registers with the repeater");
            let options = UdpOptions {
                broadcast: false,
                peer: Some(client),
                ..UdpOptions::default()
            };
            Ok(none.insert(runtime.bind_udp(&options)?))
        }
    }
}

/// The groups that this host can join, each once.
fn joinable(runtime: &dyn Runtime, groups: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
    let mut joined = Vec::new();
    for &group in groups {
        let options = UdpOptions {
            broadcast: false,
            groups: vec![group],
            ..UdpOptions::default()
        };
        match runtime.bind_udp(&options) {
            _ if joined.contains(&group) => {}
            Ok(_) => joined.push(group),
            Err(error) => tracing::warn!("the repeater cannot join {group}: {error}"),
        }
    }
    joined
}

/// Binds an address for a moment.
fn try_bind(runtime: &dyn Runtime, address: SocketAddrV4) -> io::Result<()> {
    let options = UdpOptions {
        address,
        broadcast: false,
        ..UdpOptions::default()
    };
    runtime.bind_udp(&options).map(drop)
}

/// Whether this is an address of this host.
fn owns(runtime: &dyn Runtime, ip: Ipv4Addr) -> bool {
    try_bind(runtime, SocketAddrV4::new(ip, 0)).is_ok()
}

/// Whether nobody owns a client's port any more. What can't be found out counts as alive.
fn is_gone(runtime: &dyn Runtime, client: SocketAddrV4) -> bool {
    match try_bind(runtime, client) {
        Ok(()) => true,
        // The address went with its interface; the client registers again from another one.
        Err(error) => error.kind() == ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokio_rt::TokioRuntime;

    /// "the sender must be local: 127.0.0.1, or an address the repeater can bind to".
    #[tokio::test]
    async fn only_addresses_of_this_host_can_be_bound() {
        let runtime = TokioRuntime::current().unwrap();
        assert!(owns(&runtime, Ipv4Addr::LOCALHOST));
        // A documentation address (RFC 5737), which no host has.
        assert!(!owns(&runtime, Ipv4Addr::new(192, 0, 2, 1)));
    }
}
