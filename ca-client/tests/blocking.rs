//! The blocking client against the server core over real sockets on loopback.
#![cfg(feature = "blocking")]

mod support;

use std::time::{Duration, Instant};

use ca_client::blocking::Client;
use ca_client::{Client as AsyncClient, ConnectError, MonitorEvent, Reading};
use support::{PATIENCE, Server, pvs};

const SECOND: Duration = Duration::from_secs(1);

/// Runs a test on its own thread beside a server.
async fn beside(server: &Server, test: impl FnOnce(Client) + Send + 'static) {
    let builder = AsyncClient::builder()
        .isolated([server.udp])
        .timeout(PATIENCE);
    // A thread that no runtime knows of, so that calls drive the client.
    let test = move || std::thread::spawn(move || test(builder.build_blocking().unwrap())).join();
    if let Err(panic) = tokio::task::spawn_blocking(test).await.unwrap() {
        std::panic::resume_unwind(panic);
    }
    server.reaches((0, 0, 0)).await;
}

#[tokio::test]
async fn reads_writes_and_monitors_without_an_async_runtime() {
    let server = Server::start(pvs());
    beside(&server, |client| {
        let analog = client.connect("t:analog").call().unwrap();
        assert_eq!(analog.get::<f64>().call(), Ok(1.5));
        let mut monitor = analog.monitor::<Reading>().start().unwrap();
        assert_eq!(monitor.next().unwrap().value_as::<f64>(), Some(1.5));
        analog.put(2.5).wait().call().unwrap();
        let update = monitor.next_timeout(PATIENCE).unwrap();
        assert!(matches!(update, MonitorEvent::Update { skipped: 0, .. }));
        assert_eq!(update.value_as::<f64>(), Some(2.5));
        let before = Instant::now();
        assert_eq!(monitor.next_timeout(SECOND / 20), None);
        assert!(before.elapsed() >= SECOND / 20);
        let values = client
            .get_many::<i32>(&["t:analog", "t:fixed"])
            .timeout(PATIENCE)
            .call();
        assert_eq!(values, [Ok(2), Ok(7)]);
        client.close();
        assert_eq!(monitor.next(), None);
    })
    .await;
}

#[tokio::test]
async fn threads_share_a_client() {
    let server = Server::start(pvs());
    beside(&server, |client| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let analog = client.connect("t:analog").call().unwrap();
                    for _ in 0..100 {
                        assert_eq!(analog.get::<f64>().call(), Ok(1.5));
                    }
                });
            }
        });
    })
    .await;
}

#[tokio::test]
async fn an_unknown_pv_times_out() {
    let server = Server::start(pvs());
    beside(&server, |client| {
        let channel = client.open("nobody").unwrap();
        assert!(matches!(
            channel.connected().timeout(SECOND / 10).call(),
            Err(ConnectError::TimedOut(_))
        ));
    })
    .await;
}

/// Nobody drives another runtime from a thread of a runtime; the background thread does.
#[tokio::test]
async fn it_works_and_is_dropped_on_the_thread_of_an_async_task() {
    let server = Server::start(pvs());
    let builder = AsyncClient::builder()
        .isolated([server.udp])
        .timeout(PATIENCE);
    let kept = tokio::task::spawn_blocking(move || {
        let client = builder.build_blocking().unwrap();
        let analog = client.connect("t:analog").call().unwrap();
        for _ in 0..100 {
            assert_eq!(analog.get::<f64>().call(), Ok(1.5));
        }
        let mut monitor = analog.monitor::<Reading>().start().unwrap();
        assert_eq!(monitor.next().unwrap().value_as::<f64>(), Some(1.5));
        assert_eq!(monitor.next_timeout(SECOND / 20), None);
        (client, analog, monitor)
    });
    let (client, analog, monitor) = kept.await.unwrap();
    drop(client);
    assert!(analog.get::<f64>().call().is_err());
    drop((analog, monitor));
    server.reaches((0, 0, 0)).await;
}

/// Calls that take turns with idle times, threads that only wait for updates, and one that leaves
/// the client to another to be dropped.
#[tokio::test]
async fn whoever_waits_drives_and_all_are_served() {
    let server = Server::start(pvs());
    beside(&server, |client| {
        let analog = client.connect("t:analog").call().unwrap();
        let mut monitors: Vec<_> = (0..3)
            .map(|_| analog.monitor::<Reading>().depth(100).start().unwrap())
            .collect();
        for monitor in &mut monitors {
            assert_eq!(monitor.next().unwrap().value_as::<f64>(), Some(1.5));
        }
        let last = 60.0;
        std::thread::scope(|scope| {
            for mut monitor in monitors {
                scope.spawn(move || while monitor.next().unwrap().value_as() != Some(last) {});
            }
            let analog = &analog;
            for _ in 0..2 {
                scope.spawn(move || {
                    for _ in 0..300 {
                        analog.get::<f64>().call().unwrap();
                    }
                });
            }
            for n in 1..=60 {
                // Not waited for: sent by whoever drives next, at last the background thread.
                analog.put(f64::from(n)).call().unwrap();
                if n % 20 == 0 {
                    analog.wait_for_timeout(SECOND / 100, |_| false);
                }
            }
        });
        std::thread::spawn(move || drop(client)).join().unwrap();
        assert!(analog.get::<f64>().call().is_err());
    })
    .await;
}
