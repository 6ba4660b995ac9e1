//! The poll loop with several threads that wait.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ca_net::{PollRuntime, Runtime};

/// Of threads that wait one leads; whoever has what he waits for leaves the lead to another, and a thread that gives
/// up does too.
#[test]
fn many_threads_wait_and_each_gets_its_own() {
    let runtime = PollRuntime::new().unwrap();
    let (told, tell) = mpsc::channel::<()>();
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let (runtime, told) = (runtime.clone(), told.clone());
            thread::spawn(move || {
                for round in 0..50 {
                    let mut timer = runtime.timer();
                    let due = runtime.now() + Duration::from_micros(10 * (n + round));
                    timer.reset(Some(due));
                    runtime.block_on(poll_fn(|cx| timer.poll(cx)));
                    assert!(runtime.now() >= due);
                    let give_up = Instant::now() + Duration::from_micros(50);
                    let never = std::future::pending::<()>();
                    assert_eq!(runtime.block_until(never, Some(give_up)), None);
                    assert!(Instant::now() >= give_up);
                }
                told.send(()).unwrap();
            })
        })
        .collect();
    // A thread that has nothing to do with the runtime wakes one that does.
    let woken = runtime.spawn(Box::pin(std::future::pending()));
    let ended = thread::spawn({
        let runtime = runtime.clone();
        move || runtime.block_on(woken)
    });
    for _ in 0..4 {
        tell.recv().unwrap();
    }
    runtime.shutdown();
    ended.join().unwrap();
    for thread in waiting {
        thread.join().unwrap();
    }
}

/// A call from a task of another runtime's thread blocks that thread and nothing else.
#[tokio::test]
async fn it_can_be_waited_for_on_the_thread_of_another_runtime() {
    let runtime = PollRuntime::new().unwrap();
    let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &Default::default());
    let to = listener.unwrap().local_addr().unwrap();
    let dial = runtime.dial(to, &Default::default());
    assert!(runtime.block_on(dial).is_err(), "nobody listens any more");
}

/// A driver that waits for an answer gets it, whether it comes at once, or so late that the thread has gone on to wait
/// for all sockets, or in more bytes than it reads at once.
#[test]
fn an_answer_is_waited_for() {
    let runtime = PollRuntime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let std::net::SocketAddr::V4(to) = to else {
        panic!("bound to {to}");
    };
    let server = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut asked = [0; 2];
        while peer.read_exact(&mut asked).is_ok() {
            // Later than anybody waits for one socket.
            thread::sleep(Duration::from_millis(asked[0].into()));
            peer.write_all(&vec![asked[1]; asked[1].into()]).unwrap();
        }
    });
    let (told, tell) = mpsc::channel();
    let task = runtime.spawn(Box::pin({
        let runtime = runtime.clone();
        async move {
            let mut stream = runtime.dial(to, &Default::default()).await.unwrap();
            for (delay, bytes) in [(0, 1), (50, 3), (0, 200), (0, 7), (50, 64), (0, 1)] {
                let ask = [delay, bytes];
                let slices = [std::io::IoSlice::new(&ask)];
                let sent = poll_fn(|cx| stream.poll_write_vectored(cx, &slices)).await;
                assert_eq!(sent.unwrap(), 2);
                let mut seen = 0;
                while seen < usize::from(bytes) {
                    let mut buf = [0; 64];
                    let read = poll_fn(|cx| stream.poll_read_answer(cx, &mut buf)).await;
                    let read = read.unwrap();
                    assert!(buf[..read].iter().all(|&byte| byte == bytes));
                    seen += read;
                }
                told.send(seen).unwrap();
            }
        }
    }));
    runtime.block_on(task);
    assert_eq!(tell.iter().collect::<Vec<_>>(), [1, 3, 200, 7, 64, 1]);
    server.join().unwrap();
}

/// Who waits for an answer that does not come holds up nobody for long: neither a timer, nor another thread.
#[test]
fn an_answer_that_does_not_come_holds_nobody_up() {
    let runtime = PollRuntime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(to) = listener.local_addr().unwrap() else {
        panic!("bound to another address");
    };
    let waits = runtime.spawn(Box::pin({
        let runtime = runtime.clone();
        async move {
            let mut stream = runtime.dial(to, &Default::default()).await.unwrap();
            let mut buf = [0; 64];
            let end = poll_fn(|cx| stream.poll_read_answer(cx, &mut buf)).await;
            assert_eq!(end.unwrap(), 0);
        }
    }));
    let (peer, _) = {
        let accept = thread::spawn(move || listener.accept().unwrap());
        let give_up = Instant::now() + Duration::from_millis(30);
        assert_eq!(
            runtime.block_until(std::future::pending::<()>(), Some(give_up)),
            None
        );
        accept.join().unwrap()
    };
    let other = thread::spawn({
        let runtime = runtime.clone();
        move || {
            let mut timer = runtime.timer();
            timer.reset(Some(runtime.now() + Duration::from_millis(1)));
            runtime.block_on(poll_fn(|cx| timer.poll(cx)));
        }
    });
    other.join().unwrap();
    drop(peer);
    runtime.block_on(waits);
}
