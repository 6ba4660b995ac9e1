//! Beacons through repeaters: ours with clients of the reference, the reference's with ours.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ca_client::{BeaconStats, Client};
use ca_net::{RepeaterDriver, RepeaterStart, TokioRuntime};
use ca_tests::peer::{Peer, Python};
use ca_tests::ports;
use tokio::time::sleep;

const PREFIX: &str = "BEACONS";
const IOC: &str = "run_ioc.py";
/// Short, so that the test need not wait for minutes.
const PERIOD: [&str; 2] = ["--beacon-period", "0.5"];
/// Time for whatever is awaited; libca waits 10 s before it registers.
const IN_TIME: Duration = Duration::from_secs(120);

/// A client of the IOC on this port, whose beacons go to the next one.
fn client(port: u16, own_repeater: bool) -> Client {
    let client = Client::builder()
        .isolated([ports::at(port)])
        .local_address(Ipv4Addr::LOCALHOST)
        .repeater_port(port + 1)
        .own_repeater(own_repeater)
        .build();
    client.expect("there is a socket")
}

async fn heard(client: &Client, expected: impl Fn(BeaconStats) -> bool) {
    let deadline = Instant::now() + IN_TIME;
    while !expected(client.beacon_stats()) {
        assert!(Instant::now() < deadline, "{:?}", client.beacon_stats());
        sleep(Duration::from_millis(20)).await;
    }
}

/// The number after the word in the peer's next line that begins with it.
async fn told(peer: &Peer, word: &str) -> f64 {
    let deadline = Instant::now() + IN_TIME;
    loop {
        // The client needs this thread meanwhile.
        sleep(Duration::from_millis(20)).await;
        if let Some(line) = peer.line(Instant::now()) {
            if let Some(number) = line.strip_prefix(word) {
                return number.trim().parse().expect("a number");
            }
        } else if Instant::now() > deadline {
            panic!("{}", peer.error(&format!("tells no {word}")));
        }
    }
}

fn run(test: impl AsyncFnOnce(&Python)) {
    let python = Python::here();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test(&python));
}

fn serve(python: &Python, script: &str, more: &[&str]) -> Peer {
    let peer = python.serve(script, PREFIX, more);
    peer.unwrap_or_else(|error| panic!("{error}"))
}

/// The beacons of the real IOC reach libca and our client through the repeater in our client, and
/// both see that the IOC is restarted.
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn libca_hears_beacons_through_our_repeater() {
    run(async |python| {
        let mut ioc = serve(python, IOC, &PERIOD);
        let port = ioc.port();
        let client = client(port, true);
        let channel = client.connect(format!("{PREFIX}:double")).await.unwrap();
        heard(&client, |stats| stats.registered && stats.received > 2).await;
        let reference = python.start("libca_beacons.py", port, PREFIX, &[]).unwrap();
        let period = told(&reference, "period").await;
        assert!((0.3..0.7).contains(&period), "{period}");
        let ours = client.beacon_period(ports::at(port)).expect("it is known");
        assert!((0.3..0.7).contains(&ours.as_secs_f64()), "{ours:?}");

        let before = client.beacon_stats().anomalies;
        ioc.kill();
        let restarted = python.serve_again(IOC, port, PREFIX, &PERIOD);
        let _ioc = restarted.unwrap_or_else(|error| panic!("{error}"));
        assert!(told(&reference, "anomalies").await >= 1.0);
        heard(&client, |stats| stats.anomalies > before).await;
        // A lost channel is held for up to 10 s, which beacons do not shorten
        // (`disconnectGovernorTimer::expire`).
        channel.connected().timeout(IN_TIME).await.unwrap();
    });
}

/// Our clients register with the reference's repeater, which then copies the IOC's beacons to
/// them.
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn our_client_hears_beacons_through_the_reference_repeater() {
    run(async |python| {
        let ioc = serve(python, IOC, &PERIOD);
        let port = ioc.port();
        let reference = python.start("run_repeater.py", port, PREFIX, &[]).unwrap();
        // Asks until it is there; only then one that could take its place.
        let patient = client(port, false);
        let _first = patient.open(format!("{PREFIX}:double")).unwrap();
        heard(&patient, |stats| stats.registered && stats.received > 2).await;
        let able = client(port, true);
        let _second = able.open(format!("{PREFIX}:double")).unwrap();
        heard(&able, |stats| stats.registered && stats.received > 2).await;
        drop(reference);
        assert!(matches!(repeater(port), RepeaterStart::Started(_)));
    });
}

/// `ca_repeater` of EPICS Base: "if the port is taken it exits silently".
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn the_reference_repeater_leaves_the_port_to_ours() {
    run(async |python| {
        let port = ports::free_pair();
        let RepeaterStart::Started(_ours) = repeater(port) else {
            panic!("port {} was free", port + 1);
        };
        let reference = python.start("run_repeater.py", port, PREFIX, &[]).unwrap();
        let deadline = Instant::now() + IN_TIME;
        assert_eq!(reference.line(deadline).as_deref(), Some("READY"));
        assert_eq!(reference.line(deadline).as_deref(), Some("ENDED"));
    });
}

fn repeater(port: u16) -> RepeaterStart {
    let runtime = TokioRuntime::current().expect("the tests run in one");
    let started = RepeaterDriver::start(std::sync::Arc::new(runtime), ports::at(port + 1), &[]);
    started.expect("loopback can be bound")
}
