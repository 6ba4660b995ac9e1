//! The drivers' building blocks on real loopback sockets.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use ca_net::{
    Budget, PollRuntime, Received, Runtime, StreamIo, StreamOptions, Timer, TokioRuntime, UdpIo,
    UdpOptions,
};
use ca_proto::Instant;
use ca_proto::wire::{Command, FrameLimits, Header, SendQueue};

const LOOPBACK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
const LIMITS: FrameLimits = FrameLimits {
    max_payload: 64 << 20,
    extended: true,
};

/// Runs a story on each runtime for real sockets.
macro_rules! on_each {
    ($($(#[$attribute:meta])* $story:ident)*) => {
        mod tokio_runtime {
            use super::*;
            $($(#[$attribute])* #[tokio::test] async fn $story() {
                super::$story(TokioRuntime::current().unwrap()).await;
            })*
        }

        mod poll_runtime {
            use super::*;
            $($(#[$attribute])* #[test] fn $story() {
                let runtime = PollRuntime::new().unwrap();
                runtime.block_on(super::$story(runtime.clone()));
                runtime.shutdown();
            })*
        }
    };
}

on_each! {
    #[cfg(target_os = "linux")]
    a_burst_of_connections_finds_room_before_they_are_accepted
    frames_of_every_size_cross_in_order
    a_refused_connection_is_an_error
    a_connection_can_leave_from_a_chosen_address
    a_reset_is_an_error_and_an_end_in_order_is_none
    a_datagram_goes_to_every_destination_and_errors_are_told_once
    a_timer_fires_once_at_its_latest_deadline
    an_aborted_task_drops_its_future_and_can_be_awaited
    a_task_that_panics_ends_alone
    a_task_that_yields_leaves_the_others_and_the_sockets_their_turn
}

/// Both ends of a connection over loopback.
async fn pair(runtime: &impl Runtime) -> (StreamIo, StreamIo) {
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
async fn a_burst_of_connections_finds_room_before_they_are_accepted(runtime: impl Runtime) {
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

async fn frames_of_every_size_cross_in_order(runtime: impl Runtime) {
    let (mut near, mut far) = pair(&runtime).await;
    let sizes = [0usize, 8, 4096, 20_000, 8, 9_000_000, 65_536, 16, 5_000_000];
    let mut queue = SendQueue::new();
    for (n, &size) in sizes.iter().enumerate() {
        queue_frame(&mut queue, Bytes::from(vec![n as u8; size]));
    }
    let total = queue.len();
    let sender = async move {
        assert!(near.swap_in(&mut queue));
        assert!(queue.is_empty());
        let mut sent = 0;
        poll_fn(|cx| near.poll_flush(cx, &mut sent)).await.unwrap();
        poll_fn(|cx| near.poll_shutdown(cx)).await.unwrap();
        (near, sent)
    };
    let receiver = async move {
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
    };
    let ((_near, sent), (seen, received)) = both(&runtime, sender, receiver).await;
    assert_eq!((sent, received), (total, total));
    let expected: Vec<_> = (0u8..)
        .zip(sizes)
        .map(|(n, size)| ((size > 0).then_some(n), size))
        .collect();
    assert_eq!(seen, expected);
}

async fn a_refused_connection_is_an_error(runtime: impl Runtime) {
    let listener = runtime.listen(LOOPBACK, &StreamOptions::default()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = runtime.dial(address, &StreamOptions::default()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

async fn a_datagram_goes_to_every_destination_and_errors_are_told_once(runtime: impl Runtime) {
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

async fn a_timer_fires_once_at_its_latest_deadline(runtime: impl Runtime) {
    for timer in [runtime.timer(), runtime.lasting_timer()] {
        fires_once_at_its_latest_deadline(&runtime, timer).await;
    }
}

async fn fires_once_at_its_latest_deadline(runtime: &impl Runtime, mut timer: Box<dyn Timer>) {
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

async fn an_aborted_task_drops_its_future_and_can_be_awaited(runtime: impl Runtime) {
    let alive = Arc::new(());
    let held = alive.clone();
    let task = runtime.spawn(Box::pin(async move {
        let _held = held;
        std::future::pending::<()>().await;
    }));
    yield_now(&runtime).await;
    assert_eq!(Arc::strong_count(&alive), 2);
    task.abort();
    task.await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// Runs the first as a task beside the second.
async fn both<A: Send + 'static, B>(
    runtime: &impl Runtime,
    first: impl Future<Output = A> + Send + 'static,
    second: impl Future<Output = B>,
) -> (A, B) {
    let result = Arc::new(Mutex::new(None));
    let task = runtime.spawn(Box::pin({
        let result = result.clone();
        async move {
            let value = first.await;
            *result.lock().unwrap() = Some(value);
        }
    }));
    let second = second.await;
    task.await;
    let first = result.lock().unwrap().take();
    (first.expect("the task has ended"), second)
}

async fn yield_now(runtime: &impl Runtime) {
    let mut first = true;
    poll_fn(|cx| match std::mem::take(&mut first) {
        true => {
            runtime.yield_now(cx);
            Poll::Pending
        }
        false => Poll::Ready(()),
    })
    .await;
}

async fn a_connection_can_leave_from_a_chosen_address(runtime: impl Runtime) {
    let options = StreamOptions {
        local: Ipv4Addr::LOCALHOST,
        ..StreamOptions::default()
    };
    let listener = runtime.listen(LOOPBACK, &options).unwrap();
    let near = runtime.dial(listener.local_addr().unwrap(), &options).await;
    assert_eq!(
        near.unwrap().local_addr().unwrap().ip(),
        &Ipv4Addr::LOCALHOST
    );
}

/// What the peer sent before it ended its direction is read first, also when both came at once.
async fn a_reset_is_an_error_and_an_end_in_order_is_none(runtime: impl Runtime) {
    let options = StreamOptions::default();
    for abort in [false, true] {
        let mut listener = runtime.listen(LOOPBACK, &options).unwrap();
        let to = listener.local_addr().unwrap();
        let mut near = runtime.dial(to, &options).await.unwrap();
        let (mut far, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        let slices = [IoSlice::new(b"last"), IoSlice::new(b" words")];
        let wrote = poll_fn(|cx| far.poll_write_vectored(cx, &slices)).await;
        assert_eq!(wrote.unwrap(), 10);
        if abort {
            far.abort_on_drop();
        } else {
            poll_fn(|cx| far.poll_shutdown(cx)).await.unwrap();
        }
        drop(far);
        let mut seen = Vec::new();
        let end = loop {
            let mut buf = [0; 100];
            match poll_fn(|cx| near.poll_read(cx, &mut buf)).await {
                Ok(0) => break Ok(()),
                Ok(n) => seen.extend_from_slice(&buf[..n]),
                Err(error) => break Err(error.kind()),
            }
        };
        if abort {
            // What was under way may be lost.
            assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
        } else {
            assert_eq!((end, &*seen), (Ok(()), &b"last words"[..]));
        }
    }
}

async fn a_task_that_panics_ends_alone(runtime: impl Runtime) {
    let panics = runtime.spawn(Box::pin(async { panic!("as it should") }));
    let goes_on = runtime.spawn(Box::pin(async {}));
    panics.await;
    goes_on.await;
}

async fn a_task_that_yields_leaves_the_others_and_the_sockets_their_turn(runtime: impl Runtime) {
    let runtime = Arc::new(runtime);
    let busy = runtime.spawn(Box::pin({
        let runtime = runtime.clone();
        async move {
            loop {
                yield_now(&*runtime).await;
            }
        }
    }));
    let (mut near, mut far) = pair(&*runtime).await;
    let mut queue = SendQueue::new();
    queue_frame(&mut queue, Bytes::from_static(b"12345678"));
    assert!(near.swap_in(&mut queue));
    poll_fn(|cx| near.poll_flush(cx, &mut 0)).await.unwrap();
    let read = poll_fn(|cx| far.poll_read_chunk(cx, |_, chunk, _| chunk.len())).await;
    assert!(matches!(read.unwrap(), Received::Chunk { bytes: 24, .. }));
    let mut timer = runtime.timer();
    timer.reset(Some(runtime.now() + Duration::from_millis(5)));
    poll_fn(|cx| timer.poll(cx)).await;
    busy.abort();
    busy.await;
}
