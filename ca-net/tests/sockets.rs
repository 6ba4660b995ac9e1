//! The drivers' building blocks on real loopback sockets.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use ca_net::{
    Budget, Received, Runtime, StreamIo, StreamOptions, Timer, TokioRuntime, UdpIo, UdpOptions,
};
use ca_proto::Instant;
use ca_proto::wire::{Command, Header, Limits, SendQueue};

const LOOPBACK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
const LIMITS: Limits = Limits {
    max_payload: 64 << 20,
    extended: true,
};

/// Both ends of a connection over loopback.
async fn pair(runtime: &TokioRuntime) -> (StreamIo, StreamIo) {
    let options = StreamOptions::default();
    let mut listener = runtime.listen(LOOPBACK, &options).unwrap();
    let near = runtime.dial(listener.local_addr().unwrap(), &options);
    let near = near.await.unwrap();
    let (far, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    assert_eq!(peer, near.local_addr().unwrap());
    (StreamIo::new(near, LIMITS), StreamIo::new(far, LIMITS))
}

fn queue_frame(queue: &mut SendQueue, payload: Bytes) {
    let header = Header {
        payload_len: payload.len() as u32,
        ..Header::new(Command::ECHO)
    };
    queue.put(|out| header.encode(out));
    queue.put_shared(payload);
}

/// The clients of a site that come back together, or somebody who opens connections in a burst: a
/// connection that finds the queue full is tried again by its system after a second.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_burst_of_connections_finds_room_before_they_are_accepted() {
    let runtime = TokioRuntime::current().unwrap();
    let options = StreamOptions::default();
    let listener = runtime.listen(LOOPBACK, &options).unwrap();
    let addr = listener.local_addr().unwrap();
    let system = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let room = system.trim().parse::<usize>().unwrap().min(1_000);
    let mut waiting = Vec::new();
    for _ in 0..room {
        let patience = Duration::from_secs(60);
        let stream = std::net::TcpStream::connect_timeout(&addr.into(), patience);
        waiting.push(stream.expect("there is room"));
    }
}

#[tokio::test]
async fn frames_of_every_size_cross_in_order() {
    let runtime = TokioRuntime::current().unwrap();
    let (mut near, mut far) = pair(&runtime).await;
    let sizes = [0usize, 8, 4096, 20_000, 8, 9_000_000, 65_536, 16, 5_000_000];
    let mut queue = SendQueue::new();
    for (n, &size) in sizes.iter().enumerate() {
        queue_frame(&mut queue, Bytes::from(vec![n as u8; size]));
    }
    let total = queue.len();
    let sender = async {
        assert!(near.swap_in(&mut queue));
        assert!(queue.is_empty());
        let mut sent = 0;
        poll_fn(|cx| near.poll_flush(cx, &mut sent)).await.unwrap();
        poll_fn(|cx| near.poll_shutdown(cx)).await.unwrap();
        (near, sent)
    };
    let receiver = tokio::spawn(async move {
        let (mut seen, mut bytes) = (Vec::new(), 0);
        loop {
            let read = poll_fn(|cx| {
                far.poll_read_chunk(cx, |deframer, chunk, _| {
                    let mut frames = deframer.frames(chunk);
                    while let Some(frame) = frames.next() {
                        let frame = frame.unwrap();
                        let value = frame.payload().first().copied();
                        assert!(frame.payload().iter().all(|&b| Some(b) == value));
                        seen.push((value, frame.payload().len()));
                    }
                })
            });
            match read.await.unwrap() {
                Received::Chunk { bytes: n, .. } => bytes += n,
                Received::End => break (seen, bytes),
            }
        }
    });
    let (_near, sent) = sender.await;
    let (seen, received) = receiver.await.unwrap();
    assert_eq!((sent, received), (total, total));
    let expected: Vec<_> = (0u8..)
        .zip(sizes)
        .map(|(n, size)| ((size > 0).then_some(n), size))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_refused_connection_is_an_error() {
    let runtime = TokioRuntime::current().unwrap();
    let listener = runtime.listen(LOOPBACK, &StreamOptions::default()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = runtime.dial(address, &StreamOptions::default()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn a_datagram_goes_to_every_destination_and_errors_are_told_once() {
    let runtime = TokioRuntime::current().unwrap();
    let options = UdpOptions {
        address: LOOPBACK,
        broadcast: false,
        ..UdpOptions::default()
    };
    let bind = || UdpIo::new(runtime.bind_udp(&options).unwrap());
    let (mut near, mut far, mut other) = (bind(), bind(), bind());
    // Without SO_BROADCAST the system refuses this one.
    let refused = SocketAddrV4::new(Ipv4Addr::BROADCAST, 23_001);
    let to = [
        far.local_addr().unwrap(),
        refused,
        other.local_addr().unwrap(),
    ];
    let mut failures = Vec::new();
    for text in [b"one", b"two"] {
        let mut once = Some(text);
        poll_fn(|cx| {
            near.poll_send(
                cx,
                |data, destinations| {
                    let Some(text) = once.take() else {
                        return false;
                    };
                    data.extend_from_slice(text);
                    destinations.extend_from_slice(&to);
                    true
                },
                |failure| failures.push(failure.to),
            )
        })
        .await;
    }
    assert!(near.is_idle());
    assert_eq!(failures, [refused]);
    for socket in [&mut far, &mut other] {
        let mut seen = Vec::new();
        poll_fn(|cx| {
            let mut budget = Budget::default();
            let _ = socket.poll_recv(cx, &mut budget, |from, data| {
                seen.push((from, data.to_vec()));
            });
            if seen.len() == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let from = near.local_addr().unwrap();
        assert_eq!(seen, [(from, b"one".to_vec()), (from, b"two".to_vec())]);
    }
}

#[tokio::test]
async fn a_timer_fires_once_at_its_latest_deadline() {
    let runtime = TokioRuntime::current().unwrap();
    for timer in [runtime.timer(), runtime.lasting_timer()] {
        fires_once_at_its_latest_deadline(&runtime, timer).await;
    }
}

async fn fires_once_at_its_latest_deadline(runtime: &TokioRuntime, mut timer: Box<dyn Timer>) {
    let start = runtime.now();
    let deadline = |ms| Some(start + Duration::from_millis(ms));
    for earlier in [Some(Instant::MAX), deadline(3_600_000), deadline(5)] {
        timer.reset(earlier);
        let fired = poll_fn(|cx| Poll::Ready(timer.poll(cx).is_ready())).await;
        assert!(!fired || runtime.now() >= start + Duration::from_millis(5));
    }
    timer.reset(deadline(20));
    poll_fn(|cx| timer.poll(cx)).await;
    assert!(runtime.now() >= start + Duration::from_millis(20));
    poll_fn(|cx| {
        assert!(timer.poll(cx).is_pending(), "it fires once");
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn an_aborted_task_drops_its_future_and_can_be_awaited() {
    let runtime = TokioRuntime::current().unwrap();
    let alive = std::sync::Arc::new(());
    let held = alive.clone();
    let task = runtime.spawn(Box::pin(async move {
        let _held = held;
        std::future::pending::<()>().await;
    }));
    tokio::task::yield_now().await;
    assert_eq!(std::sync::Arc::strong_count(&alive), 2);
    task.abort();
    task.await;
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
}
