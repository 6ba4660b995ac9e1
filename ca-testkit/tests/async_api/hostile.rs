//! Hostile peers beside an honest client: what it notices of them in simulated time, and what
//! becomes of them.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::rig::{CLIENT, IOC, MILLI, SECOND, client, run, serve, usual};
use ca_client::Client;
use ca_net::{ByteStream, DatagramSocket, StreamOptions, UdpOptions};
use ca_proto::config::ServerParams;
use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, Ioid, Sid, SubId};
use ca_proto::rng::Pcg32;
use ca_proto::server::Limit;
use ca_proto::wire::message::{EventMask, Port, SearchFlag, Text};
use ca_proto::wire::{Command, Header, Minor, tcp, udp};
use ca_server_sim::net::SimIoc;
use ca_testkit::runtime::SimRuntime;

const SERVER: SocketAddrV4 = SocketAddrV4::new(IOC, 5064);
const BAD: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 66);
/// Rounds of the honest client, one every 100 ms.
const ROUNDS: usize = 50;

/// The slowest round of the honest client.
#[derive(Clone, Copy, Debug)]
struct Slowest {
    /// Search, circuit if need be, channel, and first value.
    connect: Duration,
    read: Duration,
    put: Duration,
}

struct Scene {
    rt: SimRuntime,
    ioc: SimIoc,
    client: Client,
}

impl Scene {
    fn new(params: ServerParams) -> Self {
        let rt = SimRuntime::new(5);
        let ioc = serve(&rt, IOC, usual().params(params));
        let client = client(&rt, CLIENT);
        Self { rt, ioc, client }
    }

    /// What the honest client sees over [`ROUNDS`] rounds.
    async fn honest(&self) -> Slowest {
        let (rt, client) = (&self.rt, &self.client);
        let mut slowest = Slowest {
            connect: Duration::ZERO,
            read: Duration::ZERO,
            put: Duration::ZERO,
        };
        let x = client.connect("x").await.unwrap();
        for round in 0..ROUNDS {
            rt.sleep(100 * MILLI).await;
            let start = rt.now();
            let note = client.connect("note").await.unwrap();
            note.get::<String>().await.unwrap();
            slowest.connect = slowest.connect.max(rt.now() - start);
            drop(note);
            let start = rt.now();
            x.get::<f64>().await.unwrap();
            slowest.read = slowest.read.max(rt.now() - start);
            let start = rt.now();
            x.put(round as f64).wait().await.unwrap();
            slowest.put = slowest.put.max(rt.now() - start);
        }
        slowest
    }

    /// Runs the honest client and checks that it notices nothing: every operation is as fast as
    /// alone, in simulated time.
    fn unnoticed(&self) {
        let alone = {
            let scene = Self::new(ServerParams::default());
            run(&scene.rt, scene.honest())
        };
        let beside = run(&self.rt, self.honest());
        let (most, least) = (beside, alone);
        assert!(
            most.connect <= least.connect + 5 * MILLI,
            "{beside:?} against {alone:?}"
        );
        assert!(
            most.read <= least.read + 2 * MILLI,
            "{beside:?} against {alone:?}"
        );
        assert!(
            most.put <= least.put + 2 * MILLI,
            "{beside:?} against {alone:?}"
        );
    }

    fn met(&self, limit: Limit) -> u64 {
        self.ioc.with(|ioc, _| ioc.stats().limits.get(limit))
    }

    fn circuits(&self) -> usize {
        self.ioc.with(|ioc, _| ioc.stats().circuits)
    }
}

async fn dial(rt: &SimRuntime, from: Ipv4Addr) -> Box<dyn ByteStream> {
    let dial = rt.host(from).dial(SERVER, &StreamOptions::default());
    dial.await.expect("the IOC accepts")
}

/// Writes all bytes; false when the stream is gone.
async fn write(stream: &mut Box<dyn ByteStream>, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        match poll_fn(|cx| stream.poll_write_vectored(cx, &[IoSlice::new(data)])).await {
            Ok(len) => data = &data[len..],
            Err(_) => return false,
        }
    }
    true
}

/// Reads until the end, and says whether it was a clean one.
async fn drain(stream: &mut Box<dyn ByteStream>) -> (Vec<u8>, bool) {
    let (mut all, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match poll_fn(|cx| stream.poll_read(cx, &mut buf)).await {
            Ok(0) => return (all, true),
            Ok(len) => all.extend_from_slice(&buf[..len]),
            Err(_) => return (all, false),
        }
    }
}

fn version() -> Vec<u8> {
    let mut out = Vec::new();
    tcp::Request::Version {
        priority: 0,
        minor: Minor::CURRENT,
        sequence: 0,
    }
    .encode_into(&mut out);
    out
}

fn create(name: &str) -> Vec<u8> {
    let mut out = version();
    tcp::Request::CreateChan {
        cid: Cid(1),
        minor: Minor::CURRENT,
        name: Text::new(name.as_bytes()),
    }
    .encode_into(&mut out);
    out
}

/// Requests for 32 MB in all, by the first channel.
fn large_reads() -> Vec<u8> {
    let mut out = Vec::new();
    for ioid in 0..200 {
        tcp::Request::ReadNotify {
            ty: DbrType::new(Family::Time, NativeType::Double),
            count: 20_000,
            sid: Sid(0),
            ioid: Ioid(ioid),
        }
        .encode_into(&mut out);
    }
    out
}

fn datagrams(rt: &SimRuntime) -> Box<dyn DatagramSocket> {
    rt.host(BAD).bind_udp(&UdpOptions::default()).unwrap()
}

/// One datagram with 40 names that exist.
fn searches() -> Vec<u8> {
    let mut out = Vec::new();
    udp::Request::Version {
        valid: 1,
        minor: Minor::CURRENT,
        sequence: 1,
    }
    .encode_into(&mut out);
    for id in 0..40 {
        udp::Request::Search {
            reply: SearchFlag::DONT_REPLY,
            minor: Minor::CURRENT,
            cid: Cid(id),
            cid2: Cid(id),
            name: Text::new(b"wave"),
        }
        .encode_into(&mut out);
    }
    out
}

#[test]
fn a_search_flood_is_cut_down() {
    let scene = Scene::new(ServerParams::default().search_replies_per_second_per_host(1_000));
    let (rt, data) = (&scene.rt, searches());
    let mut socket = datagrams(rt);
    let flood = rt.spawn({
        let sleep: Vec<_> = (0..600).map(|n| rt.sleep(n * 10 * MILLI)).collect();
        async move {
            for sleep in sleep {
                sleep.await;
                for _ in 0..20 {
                    let _ = poll_fn(|cx| socket.poll_send_to(cx, &data, SERVER)).await;
                }
            }
        }
    });
    scene.unnoticed();
    drop(flood);
    let stats = scene.ioc.with(|ioc, _| ioc.stats());
    assert!(stats.limits.get(Limit::SearchRepliesPerHost) >= 5);
    // Six seconds at most, and the honest client's own.
    assert!(
        stats.search.found <= 6 * 1_000 + 2 * ROUNDS as u64 + 10,
        "{stats:?}"
    );
    assert!(stats.search.datagrams > 5_000, "{stats:?}");
}

#[test]
fn ten_thousand_idle_connections_are_nothing() {
    let scene = Scene::new(ServerParams::default());
    let rt = &scene.rt;
    let mut idle = run(rt, async {
        let mut idle = Vec::new();
        for n in 0..10_000_u32 {
            let host = Ipv4Addr::new(10, 0, 0, 100 + (n % 10) as u8);
            let mut stream = dial(rt, host).await;
            // Every second one is polite.
            if n % 20 < 10 {
                assert!(write(&mut stream, &version()).await);
            }
            idle.push(stream);
        }
        idle
    });
    assert_eq!(scene.circuits(), 10_000);
    scene.unnoticed();
    rt.run_for(31 * SECOND);
    assert_eq!(scene.met(Limit::FirstVersion), 5_000);
    assert_eq!(scene.circuits(), 5_000);
    // One host has its share, and is told so.
    let text = run(rt, async {
        let mut kept = Vec::new();
        for _ in 0..1_024 {
            kept.push(dial(rt, BAD).await);
        }
        let mut refused = dial(rt, BAD).await;
        drain(&mut refused).await.0
    });
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("too many circuits from one host"), "{text:?}");
    assert_eq!(scene.met(Limit::CircuitsPerHost), 1);
    idle.clear();
}

/// It asks for more than it reads: first the IOC stops reading its requests, then it closes.
#[test]
fn a_reader_that_stops_is_closed_in_the_end() {
    let scene = Scene::new(ServerParams::default());
    let rt = &scene.rt;
    let mut stopped = run(rt, dial(rt, BAD));
    let mut requests = create("big");
    tcp::Request::EventAdd {
        ty: DbrType::new(Family::Time, NativeType::Double),
        count: 0,
        sid: Sid(0),
        subid: SubId(1),
        mask: EventMask::VALUE,
    }
    .encode_into(&mut requests);
    requests.extend(large_reads());
    assert!(run(rt, write(&mut stopped, &requests)));
    scene.unnoticed();
    assert_eq!(scene.met(Limit::SlowReader), 0);
    rt.run_for(120 * SECOND);
    assert_eq!((scene.circuits(), scene.met(Limit::SlowReader)), (0, 1));
    let (received, _) = run(rt, drain(&mut stopped));
    assert!(received.len() < 10_000_000, "{}", received.len());
}

/// One that reads a little every second keeps its circuit, however long it takes.
#[test]
fn a_slow_reader_that_goes_on_is_not_closed() {
    let scene = Scene::new(ServerParams::default());
    let rt = &scene.rt;
    let mut slow = run(rt, dial(rt, BAD));
    let mut requests = create("big");
    requests.extend(large_reads());
    run(rt, async {
        assert!(write(&mut slow, &requests).await);
        let (mut total, mut buf) = (0, vec![0; 65_536]);
        for _ in 0..300 {
            rt.sleep(SECOND).await;
            total += poll_fn(|cx| slow.poll_read(cx, &mut buf)).await.unwrap();
        }
        assert!(total > 300 * 1000, "{total}");
    });
    assert_eq!((scene.circuits(), scene.met(Limit::SlowReader)), (1, 0));
}

#[test]
fn giant_headers_are_skipped_and_counted() {
    let scene = Scene::new(ServerParams::default());
    let rt = &scene.rt;
    let mut giant = run(rt, dial(rt, BAD));
    let header = Header {
        payload_len: 0x1000_0010,
        ..Header::new(Command::WRITE)
    };
    drop(rt.spawn(async move {
        let mut data = version();
        header.encode(&mut data);
        if !write(&mut giant, &data).await {
            return;
        }
        // The payload never ends.
        let junk = vec![0x5a; 1 << 16];
        for _ in 0..400 {
            if !write(&mut giant, &junk).await {
                return;
            }
        }
        std::future::pending::<()>().await;
    }));
    scene.unnoticed();
    assert_eq!(scene.met(Limit::FrameSize), 1);
}

#[test]
fn one_byte_a_second_disturbs_nobody() {
    let scene = Scene::new(ServerParams::default());
    let rt = &scene.rt;
    for n in 0..20 {
        let mut stream = run(rt, dial(rt, BAD));
        let pauses: Vec<_> = (1..60)
            .map(|s| rt.sleep(s * SECOND + n * 7 * MILLI))
            .collect();
        let bytes = create("x");
        drop(rt.spawn(async move {
            for (pause, byte) in pauses.into_iter().zip(bytes) {
                pause.await;
                if !write(&mut stream, &[byte]).await {
                    return;
                }
            }
        }));
    }
    scene.unnoticed();
    // A version takes them 16 s, the channel 40 s.
    rt.run_for(60 * SECOND);
    let stats = scene.ioc.with(|ioc, _| ioc.stats());
    assert_eq!(stats.limits.get(Limit::FirstVersion), 0);
}

/// At the client: beacons of as many servers as there are, with numbers that jump.
#[test]
fn a_beacon_storm_does_not_reach_operations() {
    let mut scene = Scene::new(ServerParams::default());
    scene.client = Client::builder()
        .without_env()
        .user("operator")
        .host("console")
        .runtime(scene.rt.host(CLIENT))
        .build()
        .unwrap();
    let rt = &scene.rt;
    // A name that nobody serves: a storm must not make the client search without pause.
    let _nobody = scene.client.open("nobody").unwrap();
    let mut socket = datagrams(rt);
    let pauses: Vec<_> = (0..600).map(|n| rt.sleep(n * 10 * MILLI)).collect();
    drop(rt.spawn(async move {
        let (mut number, mut rng) = (0_u32, Pcg32::new(1));
        for pause in pauses {
            pause.await;
            for _ in 0..100 {
                number = number.wrapping_add(7);
                let mut beacon = Vec::new();
                udp::Response::Beacon {
                    minor: Minor::CURRENT,
                    port: Port(5064),
                    sequence: number,
                    server: Ipv4Addr::from(0x0a00_0000 + rng.below(1_000)),
                }
                .encode_into(&mut beacon);
                let to = SocketAddrV4::new(CLIENT, 5065);
                let _ = poll_fn(|cx| socket.poll_send_to(cx, &beacon, to)).await;
            }
        }
    }));
    scene.unnoticed();
    let beacons = scene.client.beacon_stats();
    assert!(
        beacons.received > 10_000 && beacons.anomalies > 100,
        "{beacons:?}"
    );
    let searched = scene.ioc.with(|ioc, _| ioc.stats().search.searches);
    assert!(searched < 3 * ROUNDS as u64, "{searched}");
}
