//! Beacons through the repeater of the host, or through the client's own.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ca_client::{BeaconStats, Client};
use ca_net::{DatagramSocket, RepeaterDriver, RepeaterStart, Runtime, UdpOptions};
use ca_proto::wire::{Command, Header};
use ca_testkit::runtime::SimRuntime;

use crate::rig::{CLIENT, MILLI, SECOND, run};

const REPEATER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5065);
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6064);

/// A client that finds nothing.
fn client(rt: &SimRuntime, own: bool) -> Client {
    let builder = Client::builder().without_env().own_repeater(own);
    builder.runtime(rt.host(CLIENT)).build().unwrap()
}

/// Waits, within a tenth of a second, until the client has heard what is expected.
async fn heard(rt: &SimRuntime, client: &Client, expected: impl Fn(BeaconStats) -> bool) {
    for _ in 0..100 {
        if expected(client.beacon_stats()) {
            return;
        }
        rt.sleep(MILLI).await;
    }
    panic!("{:?}", client.beacon_stats());
}

/// Waits for the registration, which comes a second after the first channel.
async fn registered(rt: &SimRuntime, client: &Client) {
    rt.sleep(SECOND).await;
    heard(rt, client, |stats| stats.registered).await;
}

/// A socket that registers or sends beacons, on the client's host.
struct Socket(Box<dyn DatagramSocket>);

impl Socket {
    fn new(rt: &SimRuntime) -> Self {
        Self(rt.host(CLIENT).bind_udp(&UdpOptions::default()).unwrap())
    }

    async fn send(&mut self, data: &[u8]) {
        let sent = poll_fn(|cx| self.0.poll_send_to(cx, data, REPEATER));
        sent.await.unwrap();
    }

    async fn receive(&mut self, rt: &SimRuntime) -> Vec<u8> {
        let mut buf = [0; 64];
        let received = poll_fn(|cx| self.0.poll_recv_from(cx, &mut buf));
        let received = rt.timeout(SECOND, received).await;
        let (len, from) = received.expect("a datagram comes in time").unwrap();
        assert_ne!(from.port(), REPEATER.port());
        buf[..len].to_vec()
    }

    /// Sends a beacon as a server without an address of its own does.
    async fn beacon(&mut self, number: u32) {
        let header = Header {
            data_type: 13,
            count: SERVER.port().into(),
            p1: number,
            ..Header::new(Command::RSRV_IS_UP)
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        self.send(&bytes).await;
    }
}

fn is_free(rt: &SimRuntime) -> bool {
    let options = UdpOptions {
        address: REPEATER,
        ..UdpOptions::default()
    };
    rt.host(CLIENT).bind_udp(&options).is_ok()
}

#[test]
fn without_a_repeater_the_first_channel_starts_one_for_everybody() {
    let rt = SimRuntime::new(1);
    let client = client(&rt, true);
    run(&rt, async {
        rt.sleep(60 * SECOND).await;
        assert!(is_free(&rt), "there is no channel yet");
        let channel = client.open("nobody:has:it").unwrap();
        rt.sleep(SECOND - MILLI).await;
        assert!(is_free(&rt), "a command may end before it needs one");
        registered(&rt, &client).await;
        assert!(!is_free(&rt));

        // A client of another library.
        let mut other = Socket::new(&rt);
        other.send(&[]).await;
        assert_eq!(other.receive(&rt).await[..2], [0, 17]);

        Socket::new(&rt).beacon(0).await;
        let copy = other.receive(&rt).await;
        assert_eq!(copy[12..], [127, 0, 0, 1], "the address is filled in");
        heard(&rt, &client, |stats| stats.received == 1).await;

        drop(channel);
        client.close().await;
        assert!(is_free(&rt), "it ends with its client");
    });
}

/// `bhe::updatePeriod` of EPICS Base: a server that is heard later than a period after we began to listen is
/// new.
#[test]
fn a_new_server_is_a_beacon_anomaly() {
    let rt = SimRuntime::new(1);
    let client = client(&rt, true);
    run(&rt, async {
        let _channel = client.open("nobody:has:it").unwrap();
        registered(&rt, &client).await;
        rt.sleep(20 * SECOND).await;
        let mut server = Socket::new(&rt);
        server.beacon(0).await;
        heard(&rt, &client, |stats| stats.received == 1).await;
        assert_eq!(client.beacon_period(SERVER), None);
        rt.sleep(15 * SECOND).await;
        server.beacon(1).await;
        heard(&rt, &client, |stats| stats.anomalies == 1).await;
        let period = client.beacon_period(SERVER).unwrap();
        assert!(period.abs_diff(15 * SECOND) < 10 * MILLI, "{period:?}");
    });
}

#[test]
fn a_running_repeater_is_used() {
    let rt = SimRuntime::new(1);
    let host: Arc<dyn Runtime> = rt.host(CLIENT);
    let RepeaterStart::Started(driver) =
        RepeaterDriver::start(host.clone(), REPEATER, &[]).unwrap()
    else {
        panic!("nobody else has the port");
    };
    let task = host.spawn(Box::into_pin(driver));
    let client = client(&rt, true);
    run(&rt, async {
        let _channel = client.open("nobody:has:it").unwrap();
        registered(&rt, &client).await;
        Socket::new(&rt).beacon(0).await;
        heard(&rt, &client, |stats| stats.received == 1).await;
        // It was not ours.
        task.abort();
        task.await;
        assert!(is_free(&rt));
    });
}

#[test]
fn a_client_told_so_starts_no_repeater() {
    let rt = SimRuntime::new(1);
    let client = client(&rt, false);
    run(&rt, async {
        let _channel = client.open("nobody:has:it").unwrap();
        rt.sleep(600 * SECOND).await;
        assert!(is_free(&rt));
        assert!(!client.beacon_stats().registered);
    });
}

/// The repeater ends with its client; the next registration of another client, which comes within
/// a minute, starts a new one.
#[test]
fn another_client_takes_the_repeater_over_within_a_minute() {
    let rt = SimRuntime::new(1);
    let (first, second) = (client(&rt, true), client(&rt, true));
    run(&rt, async {
        let _one = first.open("nobody:has:it").unwrap();
        registered(&rt, &first).await;
        let _other = second.open("nobody:has:it").unwrap();
        registered(&rt, &second).await;
        first.close().await;
        assert!(is_free(&rt));
        rt.sleep(Duration::from_secs(61)).await;
        assert!(!is_free(&rt));
        Socket::new(&rt).beacon(0).await;
        heard(&rt, &second, |stats| stats.received == 1).await;
    });
}
