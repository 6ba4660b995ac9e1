//! The blocking client against the server core over real sockets on loopback.
#![cfg(feature = "blocking")]

mod support;

use std::time::{Duration, Instant};

use ca_client::blocking::Client;
use ca_client::{Client as AsyncClient, ConnectError, Monitor, SubSpec};
use support::{Server, pvs};

const SECOND: Duration = Duration::from_secs(1);

/// Runs a test on its own thread beside a server.
async fn beside(server: &Server, test: impl FnOnce(Client) + Send + 'static) {
    let builder = AsyncClient::builder()
        .isolated([server.udp])
        .timeout(2 * SECOND);
    let client = tokio::task::spawn_blocking(move || test(Client::build(builder).unwrap()));
    client.await.unwrap();
    server.reaches((0, 0, 0)).await;
}

#[tokio::test]
async fn reads_writes_and_monitors_without_an_async_runtime() {
    let server = Server::start(pvs());
    beside(&server, |client| {
        let analog = client.channel("t:analog").unwrap();
        assert_eq!(analog.read::<f64>(), Ok(1.5));
        let mut monitor = analog.subscribe(SubSpec::time()).unwrap();
        assert_eq!(monitor.next().unwrap().value::<f64>(), Some(1.5));
        analog.write_notify(2.5).unwrap();
        let update = monitor.next_timeout(SECOND).unwrap();
        assert!(matches!(update, Monitor::Update { skipped: 0, .. }));
        assert_eq!(update.value::<f64>(), Some(2.5));
        let before = Instant::now();
        assert_eq!(monitor.next_timeout(SECOND / 20), None);
        assert!(before.elapsed() >= SECOND / 20);
        let values = client.get_many::<i32>(&["t:analog", "t:fixed"], SECOND);
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
                    let analog = client.channel("t:analog").unwrap();
                    for _ in 0..100 {
                        assert_eq!(analog.read::<f64>(), Ok(1.5));
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
        let channel = client.open("nobody").unwrap().with_timeout(SECOND / 10);
        assert!(matches!(
            channel.connected(),
            Err(ConnectError::TimedOut(_))
        ));
    })
    .await;
}
