//! Attacks on a `canter ioc` over real sockets, with few connections: the honest client gets every
//! answer, the attacker is refused, and both the log and the count say so. What the honest client
//! notices of it in time is what `cargo xtask siege` shows.
#![cfg(target_os = "linux")] // All of 127.0.0.0/8 is there.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use ca_bench::siege::{Attack, Server, Target, client, honest};

const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS: u32 = 20;
/// Connections that the IOC takes from one address.
const PER_HOST: usize = 10;

/// What the attacker did.
fn held(attack: Attack, connections: usize, limits: &[&str]) -> String {
    let mut limits: Vec<String> = limits.iter().map(|&limit| limit.to_owned()).collect();
    limits.push(format!("max_circuits_per_host={PER_HOST}"));
    let canter = Path::new(env!("CARGO_BIN_EXE_canter"));
    let mut server = Server::start(canter, &limits).unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let repeater = free.local_addr().unwrap().port();
    drop(free);
    let target = Target {
        udp: server.udp,
        tcp: server.tcp,
        repeater,
        connections,
        per_host: PER_HOST,
        each: 2_000,
        pause: Duration::from_millis(2),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (stop, (send, ready)) = (AtomicBool::new(false), channel());
    let did = std::thread::scope(|scope| {
        let attacker = scope.spawn(|| attack.run(&target, &stop, move || send.send(()).unwrap()));
        ready.recv_timeout(PATIENCE).expect("the attack begins");
        let seen = runtime.block_on(async {
            let client = client(server.udp, repeater).unwrap();
            let seen = honest(&client, ROUNDS, Duration::from_millis(2)).await;
            if attack == Attack::Beacons {
                let heard = || client.beacon_stats().received > 100;
                // A process floods real sockets; nothing but the count tells of a beacon.
                let wait = async {
                    while !heard() {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                };
                tokio::time::timeout(PATIENCE, wait)
                    .await
                    .expect("beacons come");
            }
            client.close().await;
            seen.unwrap()
        });
        for setting in attack.limits() {
            assert!(
                server.logs(setting, PATIENCE),
                "no log line about {setting}"
            );
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(seen.failed, 0);
        for histogram in [seen.connect, seen.read, seen.put] {
            assert_eq!(histogram.len(), u64::from(ROUNDS));
        }
        attacker.join().unwrap().unwrap()
    });
    let lines = server.end().unwrap();
    for setting in attack.limits() {
        let counted = |line: &String| line.starts_with("refused: ") && line.contains(setting);
        assert!(lines.iter().any(counted), "{setting}: {lines:?}");
    }
    did
}

#[test]
fn a_search_flood() {
    held(
        Attack::Search,
        0,
        &["search_replies_per_second_per_host=1000"],
    );
}

#[test]
fn idle_connections() {
    let did = held(Attack::Idle, 40, &["version_timeout=0.2"]);
    let expected = "40 of 40 connections, 20 closed by the IOC; beyond the share of a host: 10 of 10 \
                    refused with an error";
    assert_eq!(did, expected);
}

#[test]
fn readers_that_stopped() {
    // Several notice at once; the log has a line for all of them.
    let did = held(Attack::Stopped, 1, &["stall_timeout=0.2"]);
    assert!(did.ends_with("1 closed by the IOC"), "{did}");
}

#[test]
fn giant_headers() {
    let did = held(Attack::Giant, 2, &[]);
    assert!(did.ends_with("2 told with an error"), "{did}");
}

#[test]
fn a_beacon_storm() {
    held(Attack::Beacons, 0, &[]);
}

#[test]
fn a_byte_a_second() {
    held(Attack::Slow, 10, &["version_timeout=0.2"]);
}

/// Masses within the limits: nobody is refused, and everybody is answered.
#[test]
fn masses_of_subscriptions_views_and_puts() {
    for attack in [
        Attack::Subscriptions,
        Attack::Cancels,
        Attack::Views,
        Attack::Puts,
        Attack::Strides,
        Attack::Fields,
    ] {
        let did = held(attack, 2, &[]);
        assert!(!did.starts_with("0 rounds"), "{}: {did}", attack.name());
    }
}
