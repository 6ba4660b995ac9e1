//! The examples run.
#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/search.rs"]
mod search_example;

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use ca_net::TokioRuntime;
use ca_proto::wire::message::{Port, SAME_ADDRESS};
use ca_proto::wire::{Minor, datagram_frames, udp};

/// Answers one search as a server at port 5064 would.
fn answer(socket: &UdpSocket) {
    let mut data = [0; 1024];
    let (len, client) = socket.recv_from(&mut data).unwrap();
    let asked =
        datagram_frames(&data[..len]).flatten().find_map(|frame| {
            match udp::Request::parse(&frame) {
                Ok(udp::Request::Search { cid, name, .. }) if name.as_bytes() == b"x" => Some(cid),
                _ => None,
            }
        });
    let mut found = Vec::new();
    udp::Response::Search {
        port: Port(5064),
        server: SAME_ADDRESS,
        cid: asked.expect("x is searched for"),
        minor: Minor::CURRENT,
    }
    .encode_into(&mut found);
    socket.send_to(&found, client).unwrap();
}

#[tokio::test]
async fn search() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let std::net::SocketAddr::V4(server) = socket.local_addr().unwrap() else {
        panic!("it was bound to an address of IPv4");
    };
    let answered = std::thread::spawn(move || answer(&socket));
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let told = search_example::run(&*runtime, server, "x").await.unwrap();
    assert_eq!(told, "x is served at port 5064 of 127.0.0.1");
    answered.join().unwrap();
}
