//! The client's own repeater on real sockets; what else there is to say of beacons is tested on the
//! virtual network (`ca-testkit/tests/async_api/beacons.rs`).

use std::net::{Ipv4Addr, UdpSocket as StdSocket};
use std::time::Duration;

use ca_client::Client;
use ca_proto::wire::{Command, Header};
use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::timeout;

const IN_TIME: Duration = Duration::from_secs(60);
const SERVER_PORT: u16 = 26_198;

fn is_free(port: u16) -> bool {
    StdSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

async fn receive(socket: &UdpSocket, time: Duration) -> Option<Vec<u8>> {
    let mut buf = [0; 64];
    let len = timeout(time, socket.recv(&mut buf)).await.ok()?.unwrap();
    Some(buf[..len].to_vec())
}

/// A registered client of another library; it asks until the repeater is there.
async fn registered(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for _ in 0..50 {
        let repeater = (Ipv4Addr::LOCALHOST, port);
        socket.send_to(&[], repeater).await.unwrap();
        if let Some(answer) = receive(&socket, IN_TIME / 50).await {
            assert_eq!(answer[..2], [0, 17]);
            return socket;
        }
    }
    panic!("no repeater on port {port}");
}

#[tokio::test]
async fn without_a_repeater_the_first_channel_starts_one_for_everybody() {
    let port = (26_200..27_000).find(|&port| is_free(port)).unwrap();
    let nobody = "127.0.0.1:26199".parse().unwrap();
    let client = Client::builder()
        .isolated([nobody])
        .local_address(Ipv4Addr::LOCALHOST)
        .repeater_port(port)
        .own_repeater(true)
        .build()
        .unwrap();
    let text = client.effective_config().to_string();
    assert!(
        text.contains("repeater: our own if no other runs"),
        "{text}"
    );
    let channel = client.open("nobody:has:it").unwrap();
    let other = registered(port).await;
    assert!(!is_free(port));

    // A beacon of a server without an address of its own.
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut beacon = Vec::new();
    let header = Header {
        data_type: 13,
        count: SERVER_PORT.into(),
        ..Header::new(Command::RSRV_IS_UP)
    };
    header.encode(&mut beacon);
    let repeater = (Ipv4Addr::LOCALHOST, port);
    server.send_to(&beacon, repeater).await.unwrap();
    let mut copy = receive(&other, IN_TIME).await.expect("a copy comes");
    while copy[..2] != [0, 13] {
        // What registrations of others and repeated ones brought.
        copy = receive(&other, IN_TIME).await.expect("a copy comes");
    }
    assert_eq!(copy[12..], [127, 0, 0, 1], "the address is filled in");
    let heard = async {
        while client.beacon_stats().received == 0 {
            yield_now().await;
        }
    };
    let heard = timeout(IN_TIME, heard).await;
    assert!(heard.is_ok(), "{:?}", client.beacon_stats());

    drop(channel);
    client.close().await;
    assert!(is_free(port), "it ends with its client");
}
