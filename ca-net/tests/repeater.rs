//! The repeater on real loopback sockets: `ca_repeater` of EPICS Base.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ca_net::{RepeaterDriver, RepeaterStart, Runtime, TaskHandle, TokioRuntime};
use ca_proto::wire::{Command, Header};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::timeout;

/// For what comes at once, except on a machine that is busy with much else.
const IN_TIME: Duration = Duration::from_secs(60);

const LOOPBACK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
const NOOP: [u8; 16] = [0; 16];

fn header(command: Command, p2: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header {
        p2,
        ..Header::new(command)
    };
    header.encode(&mut bytes);
    bytes
}

/// A confirmation: P2 is the client's address.
fn confirm() -> Vec<u8> {
    header(Command::REPEATER_CONFIRM, Ipv4Addr::LOCALHOST.into())
}

/// A repeater in a task, and who is registered with it.
struct Running {
    address: SocketAddrV4,
    clients: watch::Receiver<Vec<u16>>,
    task: TaskHandle,
}

fn start_at(address: SocketAddrV4) -> RepeaterStart {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    RepeaterDriver::start(runtime, address, &[]).unwrap()
}

impl Running {
    fn start() -> Self {
        Self::new(start_at(LOOPBACK))
    }

    fn new(started: RepeaterStart) -> Self {
        let RepeaterStart::Started(mut driver) = started else {
            panic!("the system chose a port that is taken");
        };
        let address = driver.local_addr().unwrap();
        let (seen, clients) = watch::channel(Vec::new());
        let task = poll_fn(move |cx| {
            let poll: Poll<()> = Future::poll(Pin::new(&mut *driver), cx);
            let ports = driver.clients().iter().map(SocketAddrV4::port);
            seen.send_replace(ports.collect());
            poll
        });
        let runtime = TokioRuntime::current().unwrap();
        Self {
            address,
            clients,
            task: runtime.spawn(Box::pin(task)),
        }
    }

    /// Waits until exactly these are registered.
    async fn reaches(&self, clients: &[&Client]) {
        let ports: Vec<u16> = clients.iter().map(|client| client.port()).collect();
        let mut seen = self.clients.clone();
        let come = timeout(IN_TIME, seen.wait_for(|seen| *seen == ports)).await;
        assert!(
            come.is_ok(),
            "{:?} instead of {ports:?}",
            self.clients.borrow()
        );
    }
}

struct Client {
    socket: UdpSocket,
    repeater: SocketAddrV4,
}

impl Client {
    async fn new(repeater: &Running) -> Self {
        Self::at(repeater, 0).await
    }

    async fn at(repeater: &Running, port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        Self {
            socket,
            repeater: repeater.address,
        }
    }

    /// A client that is confirmed.
    async fn registered(repeater: &Running) -> Self {
        let client = Self::new(repeater).await;
        client.send(&[]).await;
        assert_eq!(client.receive().await, confirm());
        client
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    async fn send(&self, data: &[u8]) {
        self.socket.send_to(data, self.repeater).await.unwrap();
    }

    /// The next datagram, which comes in time, from a port that is not the repeater's
    /// (trap 17).
    async fn receive(&self) -> Vec<u8> {
        let mut buf = [0; 4096];
        let received = timeout(IN_TIME, self.socket.recv_from(&mut buf)).await;
        let (len, from) = received.expect("a datagram comes in time").unwrap();
        assert!(matches!(from, SocketAddr::V4(from) if from.ip().is_loopback()));
        assert_ne!(from.port(), self.repeater.port());
        buf[..len].to_vec()
    }
}

/// "A datagram of length zero, or one whose first header has command 24", also repeated ones, are
/// confirmed; "After each registration a noop is sent to all other clients".
#[tokio::test]
async fn both_forms_of_registration_are_confirmed() {
    let repeater = Running::start();
    let empty = Client::registered(&repeater).await;
    let named = Client::new(&repeater).await;
    // P2 of the message is ignored.
    named
        .send(&header(Command::REPEATER_REGISTER, 0x0a00_0001))
        .await;
    assert_eq!(named.receive().await, confirm());
    assert_eq!(empty.receive().await, NOOP);
    repeater.reaches(&[&empty, &named]).await;
    empty.send(&[]).await;
    assert_eq!(empty.receive().await, confirm());
    assert_eq!(named.receive().await, NOOP);
    repeater.reaches(&[&empty, &named]).await;
}

/// "Anything else is forwarded verbatim to all clients except the one it came from"; "If command 24
/// is followed by more messages, the header is stripped and the rest forwarded".
#[tokio::test]
async fn everything_is_forwarded_to_all_but_the_sender() {
    let repeater = Running::start();
    let a = Client::registered(&repeater).await;
    let b = Client::registered(&repeater).await;
    assert_eq!(a.receive().await, NOOP);
    let c = Client::registered(&repeater).await;
    assert_eq!(a.receive().await, NOOP);
    assert_eq!(b.receive().await, NOOP);

    a.send(b"junk!").await;
    assert_eq!(b.receive().await, b"junk!");
    assert_eq!(c.receive().await, b"junk!");
    b.send(&[header(Command::REPEATER_REGISTER, 0), b"rest".to_vec()].concat())
        .await;
    // The junk did not come back to A.
    for other in [&a, &c] {
        assert_eq!(other.receive().await, NOOP);
        assert_eq!(other.receive().await, b"rest");
    }
    assert_eq!(b.receive().await, confirm());
}

/// "If the first message of the datagram is command 13 with P2 = 0, P2 is replaced by the source
/// address"; "further messages are not touched".
#[tokio::test]
async fn the_address_of_a_beacon_is_filled_in() {
    let repeater = Running::start();
    let client = Client::registered(&repeater).await;
    let server = Client::new(&repeater).await;
    let beacon = |p2| header(Command::RSRV_IS_UP, p2);
    let filled = beacon(Ipv4Addr::LOCALHOST.into());
    server.send(&[beacon(0), beacon(0)].concat()).await;
    assert_eq!(client.receive().await, [filled, beacon(0)].concat());
    server.send(&beacon(0x0a00_0001)).await;
    assert_eq!(client.receive().await, beacon(0x0a00_0001));
}

/// "after a new registration every client is verified": dead ones are found by their free port.
#[tokio::test]
async fn a_dead_client_is_removed_when_another_registers() {
    let repeater = Running::start();
    let dead = Client::registered(&repeater).await;
    let alive = Client::registered(&repeater).await;
    repeater.reaches(&[&dead, &alive]).await;
    drop(dead);
    let new = Client::registered(&repeater).await;
    repeater.reaches(&[&alive, &new]).await;
}

/// "sending on the connected socket returns connection refused on a later send; then the repeater
/// tries to bind a test socket to the client's port".
#[cfg(unix)]
#[tokio::test]
async fn a_dead_client_is_removed_when_it_refuses_a_beacon() {
    let repeater = Running::start();
    let dead = Client::registered(&repeater).await;
    let alive = Client::registered(&repeater).await;
    drop(dead);
    let server = Client::new(&repeater).await;
    let beacon = header(Command::RSRV_IS_UP, 0x0a00_0001);
    for _ in 0..2 {
        server.send(&beacon).await;
        assert_eq!(alive.receive().await, beacon);
    }
    repeater.reaches(&[&alive]).await;
}

/// A refusal that is still pending belongs to the earlier owner of the port.
#[tokio::test]
async fn the_next_owner_of_a_dead_clients_port_is_confirmed() {
    let repeater = Running::start();
    let dead = Client::registered(&repeater).await;
    let witness = Client::registered(&repeater).await;
    let port = dead.port();
    drop(dead);
    let server = Client::new(&repeater).await;
    let beacon = header(Command::RSRV_IS_UP, 0x0a00_0001);
    server.send(&beacon).await;
    assert_eq!(witness.receive().await, beacon);
    let next = Client::at(&repeater, port).await;
    next.send(&[]).await;
    assert_eq!(next.receive().await, confirm());
}

/// Trap 19: the port is never shared.
#[tokio::test]
async fn a_second_repeater_finds_the_port_taken() {
    let repeater = Running::start();
    let address = repeater.address;
    assert!(matches!(start_at(address), RepeaterStart::AlreadyRunning));
    let everywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, address.port());
    assert!(matches!(
        start_at(everywhere),
        RepeaterStart::AlreadyRunning
    ));
    repeater.task.abort();
    repeater.task.await;
    assert!(matches!(start_at(address), RepeaterStart::Started(_)));
}

/// What is wrong with an address is told, not taken for another repeater.
#[tokio::test]
async fn a_foreign_address_is_an_error() {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    // A documentation address (RFC 5737), which no host has.
    let address = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 0);
    assert!(RepeaterDriver::start(runtime, address, &[]).is_err());
}

/// "joins multicast groups found in the beacon/client address lists" (`ca_repeater` of EPICS Base).
#[tokio::test]
#[ignore = "needs a route for multicast: `cargo xtask test` runs this"]
async fn beacons_to_a_group_are_forwarded() {
    let group = Ipv4Addr::new(239, 255, 50, 65);
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    // A group has no members on a single address, and no host is a member of a unicast address.
    let everywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let groups = [group, Ipv4Addr::LOCALHOST, group];
    let repeater = Running::new(RepeaterDriver::start(runtime, everywhere, &groups).unwrap());
    let client = Client::registered(&repeater).await;
    let server = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    let joined = server.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED);
    joined.expect("this host has a route for multicast (`ip route add 224.0.0.0/4 dev lo`)");
    // It does not leave this host.
    server.set_multicast_ttl_v4(0).unwrap();
    let beacon = header(Command::RSRV_IS_UP, 0x0a00_0001);
    let to = SocketAddrV4::new(group, repeater.address.port());
    server.send_to(&beacon, &to.into()).unwrap();
    assert_eq!(client.receive().await, beacon);
}
