//! The executor, the clock and the sockets of `SimRuntime` by themselves.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use crate::rig::{CLIENT, IOC, MILLI, SECOND, run, stuck};
use ca_net::{ByteStream, StreamOptions, UdpOptions};
use ca_testkit::Segmentation;
use ca_testkit::runtime::{Cause, SimRuntime};

const SERVER: SocketAddrV4 = SocketAddrV4::new(IOC, 5064);

/// A dialled stream and its accepted end.
async fn connected(rt: &SimRuntime) -> (Box<dyn ByteStream>, Box<dyn ByteStream>) {
    let options = StreamOptions::default();
    let mut listener = rt.host(IOC).listen(SERVER, &options).unwrap();
    let mut dial = rt.host(CLIENT).dial(SERVER, &options);
    let mut dialled = None;
    let (accepted, peer) = poll_fn(|cx| {
        if dialled.is_none()
            && let Poll::Ready(stream) = dial.as_mut().poll(cx)
        {
            dialled = Some(stream.unwrap());
        }
        listener.poll_accept(cx)
    })
    .await
    .unwrap();
    let dialled = match dialled {
        Some(stream) => stream,
        None => dial.await.unwrap(),
    };
    assert_eq!(dialled.local_addr().unwrap(), peer);
    assert_eq!(accepted.local_addr().unwrap(), SERVER);
    (dialled, accepted)
}

async fn read(stream: &mut Box<dyn ByteStream>) -> std::io::Result<Vec<u8>> {
    let mut buf = [0; 64];
    let len = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await?;
    Ok(buf[..len].to_vec())
}

async fn write(stream: &mut Box<dyn ByteStream>, data: &[u8]) -> std::io::Result<usize> {
    poll_fn(|cx| stream.poll_write_vectored(cx, &[IoSlice::new(data)])).await
}

#[test]
fn hours_pass_in_no_time_and_in_order() {
    let rt = SimRuntime::new(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    for hours in [3, 1, 2] {
        let (log, sleep) = (log.clone(), rt.sleep(hours * 600 * SECOND));
        drop(rt.spawn(async move {
            sleep.await;
            log.lock().unwrap().push(hours);
        }));
    }
    assert_eq!(rt.stats().tasks, 3);
    rt.run_for(1800 * SECOND);
    assert_eq!(*log.lock().unwrap(), [1, 2, 3]);
    assert_eq!((rt.stats().tasks, rt.stats().timers), (0, 0));
}

#[test]
fn what_can_never_happen_is_an_error_that_names_who_waits() {
    let rt = SimRuntime::new(1);
    let mut socket = rt.host(IOC).bind_udp(&UdpOptions::default()).unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(rt.host(IOC).spawn(Box::pin(async move {
        let mut buf = [0; 16];
        let _ = poll_fn(|cx| socket.poll_recv_from(cx, &mut buf)).await;
    })));
    let error = stuck(rt.block_on(pending::<()>()));
    assert_eq!(error.cause, Cause::Deadlock);
    let waits = format!("a datagram at port {port}");
    assert!(
        error.waiting.iter().any(|line| line.contains(&waits)),
        "{error}"
    );
}

#[test]
fn a_task_that_wakes_itself_for_ever_is_an_error() {
    let rt = SimRuntime::new(1);
    drop(rt.spawn(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })));
    let error = stuck(rt.block_on(pending::<()>()));
    assert_eq!(error.cause, Cause::Spinning);
}

#[test]
fn a_future_beyond_the_time_limit_is_an_error() {
    let rt = SimRuntime::new(1);
    rt.set_time_limit(60 * SECOND);
    let error = stuck(rt.block_on(rt.sleep(61 * SECOND)));
    assert_eq!(error.cause, Cause::TooLong);
    assert!(rt.block_on(rt.sleep(59 * SECOND)).is_ok());
}

#[test]
fn an_aborted_task_is_dropped_in_its_turn_and_joined() {
    struct Mark(Arc<Mutex<u32>>);
    impl Drop for Mark {
        fn drop(&mut self) {
            *self.0.try_lock().expect("no lock is held in drop") += 1;
        }
    }
    let rt = SimRuntime::new(1);
    let drops = Arc::new(Mutex::new(0));
    let mark = Mark(drops.clone());
    let task = rt.spawn(async move {
        let _mark = mark;
        pending::<()>().await;
    });
    rt.run_for(MILLI);
    {
        // As a driver may: it aborts while it holds what the task's end wants.
        let _held = drops.lock().unwrap();
        task.abort();
    }
    run(&rt, task);
    assert_eq!(*drops.lock().unwrap(), 1);
    assert_eq!(rt.stats().tasks, 0);
}

#[test]
fn tasks_end_with_their_runtime() {
    let rt = SimRuntime::new(1);
    let host = rt.host(IOC);
    let alive = Arc::new(());
    let inside = alive.clone();
    drop(host.spawn(Box::pin(async move {
        let _inside = inside;
        pending::<()>().await;
    })));
    drop(rt);
    assert_eq!(Arc::strong_count(&alive), 1);
    let inside = alive.clone();
    drop(host.spawn(Box::pin(async move { drop(inside) })));
    assert_eq!(Arc::strong_count(&alive), 1, "nothing is started any more");
}

#[test]
fn each_seed_is_another_schedule_and_always_the_same() {
    let order = |seed| {
        let rt = SimRuntime::shuffled(seed);
        let log = Arc::new(Mutex::new(Vec::new()));
        for n in 0..8 {
            let log = log.clone();
            drop(rt.spawn(async move { log.lock().unwrap().push(n) }));
        }
        rt.run_for(MILLI);
        Arc::into_inner(log).unwrap().into_inner().unwrap()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn a_stream_carries_bytes_and_its_end_both_ways() {
    let rt = SimRuntime::new(1);
    run(&rt, async {
        let (mut near, mut far) = connected(&rt).await;
        let start = rt.now();
        assert_eq!(write(&mut near, b"abc").await.unwrap(), 3);
        assert_eq!(read(&mut far).await.unwrap(), b"abc");
        assert_eq!(rt.now(), start + MILLI, "one latency");
        poll_fn(|cx| near.poll_shutdown(cx)).await.unwrap();
        assert_eq!(read(&mut far).await.unwrap(), b"");
        // Half closed: the other direction still works.
        write(&mut far, b"de").await.unwrap();
        assert_eq!(read(&mut near).await.unwrap(), b"de");
        drop(far);
        assert_eq!(read(&mut near).await.unwrap(), b"");
        drop(near);
    });
    rt.run_for(SECOND);
    assert_eq!(rt.stats().streams, 0);
}

#[test]
fn unread_bytes_reset_a_stream_that_is_closed() {
    let rt = SimRuntime::new(1);
    run(&rt, async {
        let (mut near, far) = connected(&rt).await;
        write(&mut near, b"abc").await.unwrap();
        rt.sleep(SECOND).await;
        drop(far);
        let error = read(&mut near).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(write(&mut near, b"d").await.is_err());
    });
}

#[test]
fn bytes_that_are_not_read_fill_the_window() {
    let rt = SimRuntime::new(1);
    rt.net(|net| {
        net.send_buffer = 1000;
        net.read_size = 500;
        net.segmentation = Segmentation::AtMost(7);
    });
    run(&rt, async {
        let (mut near, mut far) = connected(&rt).await;
        let sent = Cell::new(0);
        let data: Vec<u8> = (0..4000).map(|n| (n % 251) as u8).collect();
        let mut writing = Box::pin(async {
            while sent.get() < data.len() {
                sent.set(sent.get() + write(&mut near, &data[sent.get()..]).await.unwrap());
            }
        });
        assert!(rt.timeout(SECOND, &mut writing).await.is_none());
        assert!(sent.get() <= 1507, "{} bytes taken", sent.get());
        let mut received = Vec::new();
        let reading = async {
            while received.len() < data.len() {
                received.extend(read(&mut far).await.unwrap());
            }
        };
        futures_util::future::join(writing, reading).await;
        assert_eq!(received, data);
    });
}

#[test]
fn dials_are_refused_or_given_up() {
    let rt = SimRuntime::new(1);
    let (near, _far) = (rt.host(CLIENT), rt.host(IOC));
    run(&rt, async {
        let options = StreamOptions::default();
        let error = near.dial(SERVER, &options).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        // Nobody has this address: no answer at all.
        let nobody = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 77), 5064);
        let dial = near.dial(nobody, &options);
        assert!(rt.timeout(60 * SECOND, dial).await.is_none());
    });
    assert_eq!(rt.stats().streams, 0);
}

#[test]
fn datagrams_find_their_sockets() {
    let rt = SimRuntime::new(1);
    let at = |ip: Ipv4Addr| UdpOptions {
        address: SocketAddrV4::new(ip, 5064),
        shared: true,
        ..UdpOptions::default()
    };
    let own = rt.host(IOC).bind_udp(&at(IOC)).unwrap();
    let broadcast = Ipv4Addr::new(10, 0, 0, 255);
    let all = rt.host(IOC).bind_udp(&at(broadcast)).unwrap();
    let local = rt.host(IOC).bind_udp(&at(Ipv4Addr::LOCALHOST)).unwrap();
    let mut sockets = [own, all, local];
    let exclusive = UdpOptions {
        shared: false,
        ..at(IOC)
    };
    assert!(rt.host(IOC).bind_udp(&exclusive).is_err());
    assert!(
        rt.host(IOC).bind_udp(&at(CLIENT)).is_err(),
        "not our address"
    );
    let any = UdpOptions::default();
    let mut senders = [CLIENT, IOC].map(|host| rt.host(host).bind_udp(&any).unwrap());
    run(&rt, async {
        for (sender, text, to) in [
            (0, b"one", IOC),
            (0, b"all", broadcast),
            (1, b"own", Ipv4Addr::LOCALHOST),
        ] {
            let to = SocketAddrV4::new(to, 5064);
            poll_fn(|cx| senders[sender].poll_send_to(cx, text, to))
                .await
                .unwrap();
        }
        for (socket, expected) in sockets.iter_mut().zip([b"one", b"all", b"own"]) {
            let mut buf = [0; 16];
            let received = poll_fn(|cx| socket.poll_recv_from(cx, &mut buf)).await;
            let (len, from) = received.unwrap();
            assert_eq!(&buf[..len], expected);
            assert!([CLIENT, Ipv4Addr::LOCALHOST].contains(from.ip()));
            let more = rt.timeout(MILLI, poll_fn(|cx| socket.poll_recv_from(cx, &mut buf)));
            assert!(more.await.is_none(), "{expected:?} comes alone");
        }
    });
}
