//! Beacons through the repeater of the host, or through our own.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket as StdSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ca_client::{BeaconStats, Client, Timestamp};
use ca_net::{
    BoxFuture, DatagramSocket, Dial, Listener, RepeaterDriver, RepeaterStart, Runtime,
    StreamOptions, TaskHandle, Timer, TokioRuntime, UdpOptions,
};
use ca_proto::Instant;
use ca_proto::addr_list::Interface;
use ca_proto::wire::{Command, Header};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// A port that nobody has at this moment, another one each time.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(26_200);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 27_000, "no port is free");
        if is_free(port) {
            return port;
        }
    }
}

fn is_free(port: u16) -> bool {
    StdSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A client on loopback whose repeater is on this port.
fn client(port: u16, own: bool, runtime: Option<Arc<dyn Runtime>>) -> Client {
    let nobody = "127.0.0.1:26199".parse().unwrap();
    let mut builder = Client::builder()
        .isolated([nobody])
        .local_address(Ipv4Addr::LOCALHOST)
        .repeater_port(port)
        .own_repeater(own);
    if let Some(runtime) = runtime {
        builder = builder.runtime(runtime);
    }
    builder.build().unwrap()
}

/// Waits, within five seconds, until the client heard what is expected.
async fn heard(client: &Client, expected: impl Fn(BeaconStats) -> bool) {
    for _ in 0..1000 {
        if expected(client.beacon_stats()) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", client.beacon_stats());
}

/// A socket that registers or sends beacons.
async fn socket(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    // Not connected: the repeater answers from other ports.
    assert_ne!(socket.local_addr().unwrap().port(), port);
    socket
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buf = [0; 64];
    let received = timeout(Duration::from_secs(2), socket.recv(&mut buf)).await;
    let len = received.expect("a datagram comes in time").unwrap();
    buf[..len].to_vec()
}

const SERVER_PORT: u16 = 26_198;

/// Sends a beacon as a server without an address of its own does.
async fn beacon(from: &UdpSocket, port: u16, number: u32) {
    let header = Header {
        data_type: 13,
        count: SERVER_PORT.into(),
        p1: number,
        ..Header::new(Command::RSRV_IS_UP)
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    from.send_to(&bytes, (Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
}

#[tokio::test]
async fn without_a_repeater_the_first_channel_starts_one_for_everybody() {
    let port = free_port();
    let client = client(port, true, None);
    let text = client.effective_config().to_string();
    assert!(
        text.contains("repeater: our own if no other runs"),
        "{text}"
    );
    sleep(Duration::from_millis(20)).await;
    assert!(is_free(port), "there is no channel yet");

    let channel = client.open("nobody:has:it").unwrap();
    heard(&client, |stats| stats.registered).await;
    assert!(!is_free(port));

    // A client of another library.
    let other = socket(port).await;
    other
        .send_to(&[], (Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    assert_eq!(receive(&other).await[..2], [0, 17]);

    let server = socket(port).await;
    beacon(&server, port, 0).await;
    let copy = receive(&other).await;
    assert_eq!(copy[12..], [127, 0, 0, 1], "the address is filled in");
    heard(&client, |stats| stats.received == 1).await;

    drop(channel);
    client.close().await;
    assert!(is_free(port), "it ends with its client");
}

/// `client-and-tools` 3.3: a server that is heard later than a period after we began to listen is
/// new.
#[tokio::test]
async fn a_new_server_is_a_beacon_anomaly() {
    let port = free_port();
    let client = client(port, true, None);
    let _channel = client.open("nobody:has:it").unwrap();
    heard(&client, |stats| stats.registered).await;
    // Longer than the period of the two beacons, however slow this machine is.
    sleep(Duration::from_millis(200)).await;
    let server = socket(port).await;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, SERVER_PORT);
    beacon(&server, port, 0).await;
    heard(&client, |stats| stats.received == 1).await;
    assert_eq!(client.beacon_period(address), None);
    beacon(&server, port, 1).await;
    heard(&client, |stats| stats.anomalies == 1).await;
    let period = client.beacon_period(address).unwrap();
    assert!(period < Duration::from_millis(200), "{period:?}");
}

#[tokio::test]
async fn a_running_repeater_is_used() {
    let port = free_port();
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let started = RepeaterDriver::start(runtime.clone(), address, &[]).unwrap();
    let RepeaterStart::Started(driver) = started else {
        panic!("port {port} was free");
    };
    let task = runtime.spawn(Box::into_pin(driver));
    let client = client(port, true, None);
    let _channel = client.open("nobody:has:it").unwrap();
    heard(&client, |stats| stats.registered).await;
    let server = socket(port).await;
    beacon(&server, port, 0).await;
    heard(&client, |stats| stats.received == 1).await;
    // It was not ours.
    task.abort();
    task.await;
    assert!(is_free(port));
}

#[tokio::test]
async fn a_client_told_so_starts_no_repeater() {
    let port = free_port();
    let client = client(port, false, None);
    let _channel = client.open("nobody:has:it").unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(is_free(port));
    assert!(!client.beacon_stats().registered);
}

/// Real sockets under a clock that runs fast.
struct Fast(TokioRuntime);

const SPEED: u64 = 100;

impl fmt::Debug for Fast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fast")
    }
}

impl Runtime for Fast {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.now().as_nanos() * SPEED)
    }
    fn wall(&self) -> Timestamp {
        self.0.wall()
    }
    fn entropy(&self) -> u64 {
        self.0.entropy()
    }
    fn timer(&self) -> Box<dyn Timer> {
        Box::new(FastTimer(self.0.timer()))
    }
    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle {
        self.0.spawn(task)
    }
    fn dial(&self, to: SocketAddrV4, options: &StreamOptions) -> Dial {
        self.0.dial(to, options)
    }
    fn listen(&self, at: SocketAddrV4, options: &StreamOptions) -> io::Result<Box<dyn Listener>> {
        self.0.listen(at, options)
    }
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        self.0.interfaces()
    }
    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>> {
        self.0.bind_udp(options)
    }
}

#[derive(Debug)]
struct FastTimer(Box<dyn Timer>);

impl Timer for FastTimer {
    fn reset(&mut self, deadline: Option<Instant>) {
        // Rounded up, so as not to fire before the fast clock says so.
        let slow = |at: Instant| Instant::from_nanos(at.as_nanos().div_ceil(SPEED));
        self.0.reset(deadline.map(slow));
    }
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }
}

/// The repeater ends with its client; the next registration of another client, which comes within
/// 60 s (here 0.6 s), starts a new one.
#[tokio::test]
async fn another_client_takes_the_repeater_over_within_a_minute() {
    let port = free_port();
    let runtime = Arc::new(Fast(TokioRuntime::current().unwrap()));
    let first = client(port, true, Some(runtime.clone()));
    let _one = first.open("nobody:has:it").unwrap();
    heard(&first, |stats| stats.registered).await;
    let second = client(port, true, Some(runtime.clone()));
    let _other = second.open("nobody:has:it").unwrap();
    heard(&second, |stats| stats.registered).await;

    first.close().await;
    let closed = runtime.now();
    assert!(is_free(port));
    while is_free(port) {
        let waited = runtime.now() - closed;
        assert!(waited < Duration::from_secs(120), "{waited:?}");
        sleep(Duration::from_millis(5)).await;
    }
    let server = socket(port).await;
    let mut number = 0;
    while second.beacon_stats().received == 0 {
        beacon(&server, port, number).await;
        number += 1;
        assert!(number < 400, "the second client hears no beacon");
        sleep(Duration::from_millis(5)).await;
    }
}
