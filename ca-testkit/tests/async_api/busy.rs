//! Client and IOC on a machine with much else to do: time passes between any two looks at the clock, so
//! deadlines fall between the moment when a driver looks for what is due and the moment when it says
//! until when it sleeps. Whatever the pauses are, nobody sleeps longer than until his deadline: the
//! stories measure idle time.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ca_client::{
    ClientEvent, CloseReason, ConnectError, GetError, MonitorEvent, PutError, Reading, Trouble,
};
use ca_net::{DatagramSocket, StreamOptions, UdpOptions};
use ca_proto::config::ServerParams;
use ca_proto::ids::Cid;
use ca_proto::wire::message::Port;
use ca_proto::wire::{Command, Header, Minor, udp};
use ca_server_sim::PvSpec;
use ca_testkit::runtime::SimRuntime;
use futures_util::future::{join, join_all};

use crate::rig::{
    CLIENT, IOC, MILLI, OTHER_IOC, PATIENCE, Rig, SECOND, builder, next, run, serve, usual,
};

/// Machines of a story, each with other pauses.
const SEEDS: u64 = 100;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3);
/// There and back, a few times.
const TRIPS: Duration = Duration::from_millis(20);

/// A number like 3.25 s or 0.4 ms, another one for each seed.
fn some(seed: u64, of: Duration) -> Duration {
    of.mul_f64(0.01 + 1.3 * (seed as f64 * 0.618).fract())
}

/// What a future gives, for which nobody may be idle for longer than this.
async fn within<F: Future>(rt: &SimRuntime, limit: Duration, future: F) -> F::Output {
    let start = rt.idle();
    let output = future.await;
    let slept = rt.idle() - start;
    assert!(slept <= limit, "{slept:?} of idle time, not {limit:?}");
    output
}

#[test]
fn operations_end_when_their_time_is_over() {
    for seed in 0..SEEDS {
        let rig = Rig::busy(seed, LONGEST);
        let (rt, client) = (&rig.rt, &rig.client);
        let limit = |n| some(seed + n, 5 * SECOND);
        rig.run(async {
            let open = |name| client.open(name).unwrap();
            let [never, x] = ["never", "x"].map(open);
            let (ready, also) = within(rt, TRIPS, join(never.connected(), x.connected())).await;
            ready.and(also).unwrap();
            let put = async {
                let put = never.put(1.0).wait().timeout(limit(0));
                let ended = within(rt, limit(0), put).await;
                assert!(matches!(ended, Err(PutError::TimedOut(_))), "{ended:?}");
            };
            let connect = async {
                let nobody = client.open("nobody").unwrap();
                let connected = nobody.connected().timeout(limit(1));
                let ended = within(rt, limit(1), connected).await;
                assert!(matches!(ended, Err(ConnectError::TimedOut(_))), "{ended:?}");
            };
            let many = async {
                let names = ["x", "nobody:else", "wave"];
                let read = client.get_many::<f64>(&names).timeout(limit(2));
                assert!(within(rt, limit(2), read).await[1].is_err());
            };
            join(join(put, connect), many).await;
            rt.partition(IOC, CLIENT, true);
            let get = x.get::<f64>().timeout(limit(3));
            let ended = within(rt, limit(3), get).await;
            assert!(matches!(ended, Err(GetError::TimedOut(_))), "{ended:?}");
            // Its end is not answered.
            within(rt, SECOND, client.close()).await;
        });
    }
}

/// Searches wait for room in their socket; nothing else does.
#[test]
fn a_full_udp_socket_keeps_nobody_beyond_his_deadline() {
    for seed in 0..SEEDS {
        // Time that passes by itself is not idle, so it would hide as much of a sleep that is too long.
        let rig = Rig::busy(seed, 20 * MILLI);
        let (rt, client) = (&rig.rt, &rig.client);
        rig.run(async {
            let never = client.open("never").unwrap();
            never.connected().await.unwrap();
            rt.fill_udp(CLIENT, 60 * SECOND);
            let nobody = (0..30).map(|n| async move {
                let limit = some(seed + n, 5 * SECOND);
                let nobody = client.open(format!("nobody:{n}")).unwrap();
                let connected = nobody.connected().timeout(limit);
                assert!(within(rt, limit, connected).await.is_err());
            });
            let puts = (0..30).map(|n| {
                let limit = some(seed + n, 7 * SECOND);
                let put = never.put(1.0).wait().timeout(limit);
                async move {
                    assert!(within(rt, limit, put).await.is_err());
                }
            });
            join(join_all(nobody), join_all(puts)).await;
        });
    }
}

#[test]
fn what_is_answered_needs_no_deadline_and_puts_end_with_their_records() {
    for seed in 0..SEEDS {
        let rig = Rig::busy(seed, LONGEST);
        let rt = &rig.rt;
        rig.run(async {
            let open = |name| rig.client.open(name).unwrap();
            let [x, slow, big] = ["x", "slow", "big"].map(open);
            within(rt, TRIPS, x.connected()).await.unwrap();
            assert_eq!(within(rt, TRIPS, x.get::<f64>()).await, Ok(1.5));
            let big = within(rt, TRIPS, big.get::<Vec<f64>>()).await;
            assert_eq!(big.unwrap().len(), 20_000);
            let mut updates = x.monitor::<Reading>().start().unwrap();
            let first = within(rt, TRIPS, updates.next()).await;
            assert_eq!(first.unwrap().value_as::<f64>(), Some(1.5));
            for n in 0..5 {
                let put = slow.put(f64::from(n)).wait();
                within(rt, 2 * SECOND + TRIPS, put).await.unwrap();
                rig.post(f64::from(n));
                let update = within(rt, TRIPS, updates.next()).await.unwrap();
                assert_eq!(update.value_as::<f64>(), Some(f64::from(n)));
            }
        });
    }
}

/// 30 s without a word, then 5 s for the answer to an ECHO; once more 5 s if the client itself came too
/// late to look at it.
#[test]
fn a_dead_server_is_noticed() {
    for seed in 0..SEEDS {
        let rig = Rig::busy(seed, LONGEST);
        let rt = &rig.rt;
        rig.run(async {
            let x = rig.client.open("x").unwrap();
            x.connected().await.unwrap();
            let mut events = rig.client.events();
            rt.partition(IOC, CLIENT, true);
            let silence = async {
                while !matches!(events.next().await, Some(ClientEvent::Unresponsive { .. })) {}
            };
            within(rt, 40 * SECOND, silence).await;
            rt.partition(IOC, CLIENT, false);
            let value = within(rt, 2 * SECOND, x.get::<f64>()).await;
            assert_eq!(value, Ok(1.5));
        });
    }
}

/// Answers searches, of which it counts the datagrams: the server is at an address that nobody has.
async fn mislead(mut socket: Box<dyn DatagramSocket>, asked: Arc<AtomicU64>) {
    let mut buf = [0; 2048];
    loop {
        let (len, from) = poll_fn(|cx| socket.poll_recv_from(cx, &mut buf))
            .await
            .unwrap();
        let mut rest = &buf[..len];
        let mut reply = Vec::new();
        while let Some((header, start)) = Header::decode(rest, false) {
            if header.command == Command::SEARCH {
                udp::Response::Search {
                    port: Port(5064),
                    server: NOBODY,
                    cid: Cid(header.p1),
                    minor: Minor::CURRENT,
                }
                .encode_into(&mut reply);
            }
            rest = rest
                .get(start + header.payload_len as usize..)
                .unwrap_or_default();
        }
        if !reply.is_empty() {
            asked.fetch_add(1, Relaxed);
            // A full socket loses it, as the network may.
            let _ = poll_fn(|cx| socket.poll_send_to(cx, &reply, from)).await;
        }
    }
}

/// An address that no host has.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

/// The system neither makes nor refuses the connection: it is given up when its time is over, which is told
/// with address and reason, and the name is searched again.
#[test]
fn a_dial_that_leads_nowhere_is_given_up() {
    for seed in 0..SEEDS {
        let rt = SimRuntime::busy(seed, LONGEST);
        let options = UdpOptions {
            address: SocketAddrV4::new([10, 0, 0, 255].into(), 5064),
            shared: true,
            ..UdpOptions::default()
        };
        let socket = rt.host(OTHER_IOC).bind_udp(&options).unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let misleads = rt.spawn(mislead(socket, Arc::clone(&asked)));
        let client = builder(&rt, CLIENT).timeout(PATIENCE).build().unwrap();
        run(&rt, async {
            let mut events = client.events();
            let x = client.open("x").unwrap();
            // Each attempt takes the connect time-out, 5 s unless set, and searches before it.
            for attempt in 0..3 {
                let before = asked.load(Relaxed);
                let closed = async {
                    loop {
                        let event = events.next().await.expect("the client lives");
                        if let ClientEvent::CircuitClosed { server, why } = event {
                            return (server, why);
                        }
                    }
                };
                let closed = within(&rt, 60 * SECOND, closed).await;
                let nobody = SocketAddrV4::new(NOBODY, 5064);
                assert_eq!(closed, (nobody, CloseReason::DialTimeout));
                assert!(
                    attempt == 0 || asked.load(Relaxed) > before,
                    "searched again"
                );
                let info = x.info().unwrap();
                assert_eq!(
                    info.trouble,
                    Some(Trouble::Circuit(CloseReason::DialTimeout))
                );
                assert_eq!(info.trouble_at, Some(nobody));
                let connected = x.connected().timeout(MILLI).await;
                assert!(matches!(connected, Err(ConnectError::TimedOut(_))));
            }
        });
        misleads.abort();
    }
}

#[test]
fn a_client_that_never_speaks_is_closed() {
    for seed in 0..SEEDS {
        let rt = SimRuntime::busy(seed, LONGEST);
        let limit = some(seed, 10 * SECOND);
        let params = ServerParams::default().version_timeout(limit);
        let ioc = serve(&rt, IOC, usual().params(params));
        let circuits = || ioc.with(|ioc, _| ioc.stats().circuits);
        let server = SocketAddrV4::new(IOC, 5064);
        run(&rt, async {
            let silent = rt.host(OTHER_IOC);
            let dial = || silent.dial(server, &StreamOptions::default());
            let streams = join_all([dial(), dial()]).await;
            let start = rt.idle();
            while circuits() > 0 || rt.idle() == start {
                assert!(rt.idle() - start <= limit + TRIPS, "{limit:?}");
                rt.sleep(MILLI).await;
            }
            drop(streams);
        });
    }
}

#[test]
fn samples_come_with_their_period_and_beacons_tell_of_a_restart() {
    let beacons = SocketAddrV4::new([10, 0, 0, 255].into(), 5065);
    for seed in 0..SEEDS {
        let rt = SimRuntime::busy(seed, LONGEST);
        let period = some(seed, SECOND);
        let params = ServerParams::default().beacon_addrs(vec![beacons]);
        let pvs = usual().params(params).pv("sine", signal(period));
        let ioc = serve(&rt, IOC, pvs);
        let builder = ca_client::Client::builder().without_env();
        let client = builder
            .timeout(PATIENCE)
            .runtime(rt.host(CLIENT))
            .build()
            .unwrap();
        run(&rt, async {
            let sine = client.open("sine").unwrap();
            sine.connected().await.unwrap();
            let mut updates = sine.monitor::<Reading>().start().unwrap();
            for _ in 0..20 {
                within(&rt, period + TRIPS, next_of(&mut updates)).await;
            }
            // Long enough for a steady beacon.
            rt.sleep(60 * SECOND).await;
            ioc.stop().await;
            while next(&rt, &mut updates).await != MonitorEvent::Disconnected {}
            rt.sleep(290 * SECOND).await;
            ioc.start().await.unwrap();
            let connected =
                async { while next(&rt, &mut updates).await != MonitorEvent::Connected {} };
            // Without beacons it would be five minutes.
            within(&rt, 20 * SECOND, connected).await;
            within(&rt, 2 * SECOND, client.close()).await;
        });
    }
}

async fn next_of(updates: &mut ca_client::Monitor) -> MonitorEvent {
    updates.next().await.expect("the client is open")
}

fn signal(period: Duration) -> PvSpec {
    PvSpec::double(0.0).signal(ca_server_sim::signals::Counter::new(), period)
}

#[test]
fn the_same_seed_gives_the_same_pauses() {
    let story = |seed| {
        let rt = SimRuntime::busy(seed, LONGEST);
        let _ioc = serve(&rt, IOC, usual());
        let client = builder(&rt, Ipv4Addr::new(10, 0, 0, 30));
        let client = client.timeout(PATIENCE).build().unwrap();
        run(&rt, async {
            let x = client.open("x").unwrap();
            x.connected().await.unwrap();
            x.put(1.0).wait().await.unwrap();
            rt.sleep(100 * SECOND).await;
        });
        (rt.now(), rt.idle(), rt.trace(|trace| trace.hash()))
    };
    for seed in 0..5 {
        assert_eq!(story(seed), story(seed));
    }
    assert_ne!(story(1), story(2));
}
