//! Bad servers, churn and several threads, over real sockets on loopback.

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_client::{
    Client, CloseReason, ConnectError, Context, EcaStatus, MonitorEvent, NameServerState, Phase,
    Reading, Trouble,
};
use ca_proto::wire::message::{ErrorBody, NO_CHANNEL};
use ca_proto::wire::{Command, Header, tcp};
use futures_util::future::join_all;
use support::{Server, pvs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECOND: Duration = Duration::from_secs(1);
const LOOPBACK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

/// What is known of a channel that does not connect, once it has come so far.
async fn fails_to_connect(server: &Server, so_far: impl Fn(&Phase) -> bool) -> Box<Context> {
    let builder = Client::builder().isolated([server.udp]);
    let client = builder.timeout(SECOND / 3).build().unwrap();
    let channel = client.open("t:analog").unwrap();
    let mut last = None;
    for _ in 0..100 {
        let error = channel.connected().await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot connect \"t:analog\""), "{text}");
        let ConnectError::TimedOut(context) = error else {
            panic!("{error:?}");
        };
        let done = so_far(&context.phase);
        last = Some(context);
        if done {
            break;
        }
    }
    client.close().await;
    last.expect("it was tried")
}

/// The circuit has failed for a reason.
fn in_trouble(phase: &Phase) -> bool {
    matches!(
        phase,
        Phase::Searching {
            trouble: Some(_),
            ..
        }
    )
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_named_as_the_reason() {
    let closed = TcpListener::bind(LOOPBACK).await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let server = Server::start_lying(port).await;
    let context = fails_to_connect(&server, in_trouble).await;
    assert_eq!(trouble(&context), CloseReason::Refused);
    assert_eq!(
        context.peer,
        Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    );
}

fn trouble(context: &Context) -> CloseReason {
    match &context.phase {
        Phase::Searching {
            trouble: Some(Trouble::Circuit(why)),
            ..
        } => *why,
        _ => panic!("{context:?}"),
    }
}

/// What a listener does with the one connection that it takes.
async fn answered_with(bytes: &[u8], read_first: bool, keep: bool) -> Box<Context> {
    let rude = TcpListener::bind(LOOPBACK).await.unwrap();
    let port = rude.local_addr().unwrap().port();
    let server = Server::start_lying(port).await;
    let answer = async {
        let (mut stream, _) = rude.accept().await.unwrap();
        if read_first {
            stream
                .read_buf(&mut Vec::with_capacity(4096))
                .await
                .unwrap();
        }
        stream.write_all(bytes).await.unwrap();
        if keep {
            // A peer that waits for more, as web servers do.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        drop((stream, rude));
    };
    let (context, ()) = tokio::join!(fails_to_connect(&server, in_trouble), answer);
    assert_eq!(
        context.peer,
        Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    );
    context
}

#[tokio::test]
async fn a_web_server_is_known_as_no_server_of_channel_access() {
    let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let context = answered_with(page, true, true).await;
    assert_eq!(trouble(&context), CloseReason::NotChannelAccess);
}

/// Also if the connection is reset with the client's bytes unread.
#[tokio::test]
async fn a_server_with_too_many_clients_is_quoted() {
    let error = tcp::Response::Error {
        cid: NO_CHANNEL,
        status: EcaStatus::MAXIOC,
        body: ErrorBody::new(Header::new(Command::VERSION), "too many"),
    };
    let mut bytes = Vec::new();
    error.encode_into(&mut bytes);
    for read_first in [true, false] {
        // Without another look at the search that follows, which is refused.
        let context = answered_with(&bytes, read_first, false).await;
        let why = trouble(&context);
        let expected = [CloseReason::Said(EcaStatus::MAXIOC), CloseReason::Refused];
        assert!(expected.contains(&why), "{why:?}");
    }
}

#[tokio::test]
async fn a_name_server_that_refuses_is_named_as_such() {
    let closed = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, closed.local_addr().unwrap().port());
    drop(closed);
    let builder = Client::builder().isolated([]).name_servers([address]);
    let client = builder.timeout(SECOND / 3).build().unwrap();
    let error = client.connect("t:analog").await.unwrap_err();
    let lost = NameServerState::Lost(CloseReason::Refused);
    assert_eq!(client.name_servers(), [(address, lost)]);
    let text = error.to_string();
    let told = format!("the name server {address} is not asked: connection refused");
    assert!(text.contains(&told), "{text}");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_named_with_its_address() {
    let silent = TcpListener::bind(LOOPBACK).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let server = Server::start_lying(port).await;
    let silent = |phase: &Phase| *phase == Phase::Silent;
    let context = fails_to_connect(&server, silent).await;
    assert_eq!(context.phase, Phase::Silent);
    let peer = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    assert_eq!(context.peer, Some(peer));
}

#[tokio::test]
async fn garbage_ends_the_circuit_and_nothing_else() {
    let rude = TcpListener::bind(LOOPBACK).await.unwrap();
    let port = rude.local_addr().unwrap().port();
    let server = Server::start_lying(port).await;
    let garbage = async {
        let (mut stream, _) = rude.accept().await.unwrap();
        stream.write_all(&[0xa5; 4096]).await.unwrap();
        // The client ends the connection.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    };
    let (context, ()) = tokio::join!(fails_to_connect(&server, in_trouble), garbage);
    assert!(matches!(
        context.phase,
        Phase::Searching {
            trouble: Some(Trouble::Circuit(CloseReason::NotChannelAccess)),
            ..
        }
    ));
}

#[tokio::test]
async fn reads_are_answered_beside_a_stream_of_large_arrays() {
    let server = Server::start(pvs());
    let client = server.client();
    let large = client.connect("t:large").await.unwrap();
    let analog = client.connect("t:analog").await.unwrap();
    let mut frames = 0;
    let flood = async {
        // 8 MB each, on the same circuit.
        for _ in 0..10 {
            large.get::<Reading>().await.unwrap();
            frames += 1;
        }
    };
    let reads = async {
        for _ in 0..20 {
            analog.get::<f64>().await.unwrap();
        }
    };
    tokio::join!(flood, reads);
    assert_eq!(frames, 10);
}

#[cfg(target_os = "linux")]
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting_and_leaving_again_and_again_leaks_no_descriptor() {
    let server = Server::start(pvs());
    let client = server.client();
    let mut peak = 0;
    let before = open_files();
    for _ in 0..100 {
        let analog = client.connect("t:analog").await.unwrap();
        let mut monitor = analog.monitor::<Reading>().start().unwrap();
        let first = monitor.next().await.unwrap();
        assert!(matches!(first, MonitorEvent::Update { .. }));
        drop((analog, monitor));
        server.reaches((0, 0, 0)).await;
        peak = peak.max(open_files());
    }
    // The other tests of this file run beside this one.
    assert!(
        peak < before + 60,
        "{before} files before, {peak} at the peak"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_on_several_threads_share_a_client() {
    let server = Server::start(pvs());
    let client = server.client();
    let names = ["t:analog", "t:fixed", "t:wave", "t:text"];
    let tasks = (0..16).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            for round in 0..40 {
                let channel = client
                    .connect(names[(n + round) % names.len()])
                    .await
                    .unwrap();
                let mut monitor = channel.monitor::<Reading>().start().unwrap();
                let reads = (0..5).map(|_| channel.get::<Reading>());
                for reading in join_all(reads).await {
                    assert!(reading.unwrap().count() > 0);
                }
                let first = monitor.next().await.unwrap();
                assert!(first.value().is_some(), "{first:?}");
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    server.reaches((0, 0, 0)).await;
    client.close().await;
}
