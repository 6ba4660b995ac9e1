//! The virtual network itself, with hosts that do what the test tells them.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use ca_testkit::host::{CloseKind, HostOutput, Received, ScriptHost};
use ca_testkit::{ConnId, HostId, Segmentation, World};

const PORT: u16 = 5064;
const DIAL: ConnId = ConnId(1);

fn host(w: &mut World, subnet: u8) -> HostId {
    let addr = w.free_addr(subnet);
    w.add("x", addr, ScriptHost::new(&[PORT], &[PORT]))
}

fn send(w: &mut World, from: HostId, to: Ipv4Addr, data: &[u8]) {
    let output = HostOutput::Datagram {
        port: PORT,
        to: SocketAddrV4::new(to, PORT),
        data: data.to_vec(),
    };
    w.with(from, |host: &mut ScriptHost, _| host.push(output));
}

fn datagrams(w: &World, at: HostId) -> Vec<Vec<u8>> {
    w.host::<ScriptHost>(at)
        .received()
        .iter()
        .filter_map(|(_, what)| match what {
            Received::Datagram { data, .. } => Some(data.clone()),
            _ => None,
        })
        .collect()
}

fn dial(w: &mut World, from: HostId, to: HostId) -> ConnId {
    let to_addr = SocketAddrV4::new(w.net.addr(to), PORT);
    let output = HostOutput::Dial {
        conn: DIAL,
        to: to_addr,
    };
    w.with(from, |host: &mut ScriptHost, _| host.push(output));
    w.settle().unwrap();
    w.host::<ScriptHost>(to).accepted().last().copied().unwrap()
}

fn push(w: &mut World, host: HostId, output: HostOutput) {
    w.with(host, |host: &mut ScriptHost, _| host.push(output));
}

fn write(w: &mut World, host: HostId, conn: ConnId, data: &[u8]) {
    let data = data.to_vec();
    push(w, host, HostOutput::Send { conn, data });
}

fn closed(w: &World, host: HostId) -> Vec<CloseKind> {
    w.host::<ScriptHost>(host)
        .received()
        .iter()
        .filter_map(|(_, what)| match what {
            Received::Closed(_, how) => Some(*how),
            _ => None,
        })
        .collect()
}

fn chunks(w: &World, host: HostId) -> Vec<usize> {
    w.host::<ScriptHost>(host)
        .received()
        .iter()
        .filter_map(|(_, what)| match what {
            Received::Data(_, data) => Some(data.len()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_broadcast_reaches_its_subnet_only() {
    let mut w = World::new(1);
    let (a, b, far) = (host(&mut w, 0), host(&mut w, 0), host(&mut w, 1));
    send(&mut w, a, Ipv4Addr::BROADCAST, b"limited");
    send(&mut w, a, Ipv4Addr::new(10, 0, 1, 255), b"directed");
    let addr = w.net.addr(far);
    send(&mut w, a, addr, b"unicast");
    w.settle().unwrap();
    assert_eq!(datagrams(&w, b), [b"limited"]);
    assert_eq!(datagrams(&w, a), [b"limited"]);
    assert_eq!(datagrams(&w, far), [&b"directed"[..], b"unicast"]);
}

/// `cast_server.c` of EPICS Base: of several sockets on one port a unicast datagram reaches one.
#[test]
fn unicast_to_a_shared_port_reaches_the_last_socket_bound() {
    let mut w = World::new(1);
    let a = host(&mut w, 0);
    let addr = w.free_addr(0);
    let first = w.add("x", addr, ScriptHost::new(&[PORT], &[]));
    let last = w.add("x", addr, ScriptHost::new(&[PORT], &[]));
    send(&mut w, a, addr, b"one");
    send(&mut w, a, Ipv4Addr::BROADCAST, b"all");
    w.settle().unwrap();
    assert_eq!(datagrams(&w, first), [b"all"]);
    assert_eq!(datagrams(&w, last), [b"one", b"all"]);
}

#[test]
fn loopback_stays_on_the_machine() {
    let mut w = World::new(1);
    let addr = w.free_addr(0);
    let a = w.add("x", addr, ScriptHost::new(&[7], &[]));
    let b = w.add("x", addr, ScriptHost::new(&[PORT], &[]));
    let other = host(&mut w, 0);
    send(&mut w, a, Ipv4Addr::LOCALHOST, b"here");
    w.settle().unwrap();
    assert_eq!(datagrams(&w, b), [b"here"]);
    assert!(datagrams(&w, other).is_empty());
}

#[test]
fn datagrams_are_lost_doubled_and_overtaken_as_set() {
    let mut w = World::new(3);
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    let to = w.net.addr(b);
    let mut run = |change: fn(&mut ca_testkit::Link)| {
        let before = datagrams(&w, b).len();
        w.net.set_link(a, b, change);
        for n in 0..200u8 {
            send(&mut w, a, to, &[n]);
            w.run_for(Duration::from_micros(100));
        }
        w.settle().unwrap();
        w.net.heal();
        let seen: Vec<u8> = datagrams(&w, b)[before..].iter().map(|d| d[0]).collect();
        seen
    };
    let lossy = run(|link| link.loss = 0.5);
    assert!((60..140).contains(&lossy.len()), "{}", lossy.len());
    let doubled = run(|link| link.duplicate = 1.0);
    assert_eq!(doubled.len(), 400);
    let reordered = run(|link| link.reorder = 0.5);
    assert_eq!(reordered.len(), 200);
    assert!(!reordered.is_sorted());
    let small = run(|link| link.max_datagram = 0);
    assert!(small.is_empty());
}

#[test]
fn bytes_arrive_in_order_however_they_are_cut() {
    let sent: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
    for segmentation in [
        Segmentation::Whole,
        Segmentation::Random,
        Segmentation::AtMost(7),
        Segmentation::CutAt(3_001),
    ] {
        let mut w = World::new(5);
        w.net.segmentation = segmentation;
        w.net.default_link_mut().jitter = Duration::from_millis(2);
        let (a, b) = (host(&mut w, 0), host(&mut w, 0));
        let conn = dial(&mut w, a, b);
        for part in sent.chunks(3_000) {
            write(&mut w, a, DIAL, part);
            write(&mut w, b, conn, part);
            w.run_for(Duration::from_micros(300));
        }
        w.settle().unwrap();
        assert_eq!(
            w.host::<ScriptHost>(b).bytes(conn),
            sent,
            "{segmentation:?}"
        );
        assert_eq!(
            w.host::<ScriptHost>(a).bytes(DIAL),
            sent,
            "{segmentation:?}"
        );
        let chunks = chunks(&w, b);
        match segmentation {
            Segmentation::AtMost(n) => assert!(chunks.iter().all(|len| *len <= n)),
            Segmentation::CutAt(cut) => {
                let mut end = 0;
                let mut ends = chunks.iter().map(|len| {
                    end += *len as u64;
                    end
                });
                assert!(ends.any(|end| end == cut), "{chunks:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn a_reader_that_stops_closes_the_window() {
    let mut w = World::new(1);
    w.net.send_buffer = 1000;
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    let conn = dial(&mut w, a, b);
    push(
        &mut w,
        b,
        HostOutput::Read {
            conn,
            enabled: false,
        },
    );
    write(&mut w, a, DIAL, &[1; 1000]);
    w.settle().unwrap();
    assert!(w.host::<ScriptHost>(b).bytes(conn).is_empty());
    push(
        &mut w,
        b,
        HostOutput::Read {
            conn,
            enabled: true,
        },
    );
    w.settle().unwrap();
    assert_eq!(w.host::<ScriptHost>(b).bytes(conn).len(), 1000);
    // The window is open again: the network refuses more than it has room for.
    write(&mut w, a, DIAL, &[1; 1000]);
    w.settle().unwrap();
    assert_eq!(w.host::<ScriptHost>(b).bytes(conn).len(), 2000);
}

#[test]
#[should_panic(expected = "into a window of")]
fn nobody_writes_more_than_the_window() {
    let mut w = World::new(1);
    w.net.send_buffer = 1000;
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    dial(&mut w, a, b);
    write(&mut w, a, DIAL, &[1; 1001]);
}

#[test]
fn bandwidth_delays_the_last_byte() {
    let mut w = World::new(1);
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    w.net.set_link(a, b, |link| link.bandwidth = Some(100_000));
    let conn = dial(&mut w, a, b);
    for _ in 0..10 {
        write(&mut w, a, DIAL, &[0; 10_000]);
    }
    let took = w.run_until(|w| w.host::<ScriptHost>(b).bytes(conn).len() == 100_000);
    assert_eq!(took, Duration::from_millis(1001));
}

#[test]
fn a_half_closed_stream_still_answers() {
    let mut w = World::new(1);
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    let conn = dial(&mut w, a, b);
    write(&mut w, a, DIAL, b"question");
    push(&mut w, a, HostOutput::Shutdown { conn: DIAL });
    w.settle().unwrap();
    assert_eq!(closed(&w, b), [CloseKind::Eof]);
    write(&mut w, b, conn, b"answer");
    push(&mut w, b, HostOutput::Close { conn });
    w.settle().unwrap();
    assert_eq!(w.host::<ScriptHost>(a).bytes(DIAL), b"answer");
    assert_eq!(closed(&w, a), [CloseKind::Eof]);
    push(&mut w, a, HostOutput::Close { conn: DIAL });
    assert_eq!(w.net.open_streams(a) + w.net.open_streams(b), 0);
}

#[test]
fn resets_refusals_and_black_holes_look_like_real_ones() {
    let mut w = World::new(1);
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    dial(&mut w, a, b);
    w.net.reset(a, b);
    w.settle().unwrap();
    assert_eq!(closed(&w, a), [CloseKind::Reset]);
    assert_eq!(closed(&w, b), [CloseKind::Reset]);

    let conn = dial(&mut w, a, b);
    w.net.partition(a, b, true);
    write(&mut w, a, DIAL, b"late");
    w.run_for(Duration::from_secs(60));
    assert!(w.host::<ScriptHost>(b).bytes(conn).is_empty());
    w.net.partition(a, b, false);
    w.settle().unwrap();
    assert_eq!(w.host::<ScriptHost>(b).bytes(conn), b"late");

    w.net.set_link(a, b, |link| link.refuse = true);
    let to = SocketAddrV4::new(w.net.addr(b), PORT);
    let conn = ConnId(2);
    push(&mut w, a, HostOutput::Dial { conn, to });
    w.settle().unwrap();
    let to = SocketAddrV4::new(w.net.addr(b), 9);
    let conn = ConnId(3);
    push(&mut w, a, HostOutput::Dial { conn, to });
    w.settle().unwrap();
    assert_eq!(closed(&w, a)[1..], [CloseKind::Refused; 2]);
}

#[test]
fn a_stream_to_a_rebooted_host_is_reset_at_the_next_byte() {
    let mut w = World::new(1);
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    dial(&mut w, a, b);
    w.power_off(b);
    write(&mut w, a, DIAL, b"anybody there?");
    w.run_for(Duration::from_secs(10));
    assert!(closed(&w, a).is_empty());
    w.boot(b, ScriptHost::new(&[], &[PORT]));
    write(&mut w, a, DIAL, b"hello?");
    w.settle().unwrap();
    assert_eq!(closed(&w, a), [CloseKind::Reset]);
}

#[test]
fn a_killed_process_resets_its_streams() {
    let mut w = World::new(1);
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    dial(&mut w, a, b);
    w.kill(b);
    w.settle().unwrap();
    assert_eq!(closed(&w, a), [CloseKind::Reset]);
    assert_eq!(w.net.open_streams(a), 0);
}

#[test]
fn held_traffic_arrives_in_order_after_the_release() {
    let mut w = World::new(1);
    let (a, b) = (host(&mut w, 0), host(&mut w, 0));
    let conn = dial(&mut w, a, b);
    let to = w.net.addr(b);
    w.net.hold(a, b);
    for n in 0..5 {
        send(&mut w, a, to, &[n]);
        write(&mut w, a, DIAL, &[n]);
        w.run_for(Duration::from_millis(3));
    }
    assert!(datagrams(&w, b).is_empty());
    w.net.release(a, b);
    w.settle().unwrap();
    assert_eq!(datagrams(&w, b), [[0], [1], [2], [3], [4]]);
    assert_eq!(w.host::<ScriptHost>(b).bytes(conn), [0, 1, 2, 3, 4]);
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let run = |seed| {
        let mut w = World::new(seed);
        w.net.segmentation = Segmentation::Random;
        *w.net.default_link_mut() = ca_testkit::Link {
            jitter: Duration::from_millis(5),
            loss: 0.2,
            duplicate: 0.2,
            reorder: 0.2,
            ..ca_testkit::Link::default()
        };
        let (a, b) = (host(&mut w, 0), host(&mut w, 0));
        w.with(b, |host: &mut ScriptHost, _| host.answer("", "pong"));
        let to = w.net.addr(b);
        dial(&mut w, a, b);
        for n in 0..50 {
            send(&mut w, a, to, &[n; 20]);
            write(&mut w, a, DIAL, &[n; 100]);
            w.run_for(Duration::from_millis(1));
        }
        w.settle().unwrap();
        (w.trace.hash(), w.trace.tail(1000))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn a_host_that_wants_to_be_called_at_once_for_ever_is_found() {
    #[derive(Debug)]
    struct Spinning;
    impl ca_testkit::host::Host for Spinning {
        fn handle(&mut self, _: ca_proto::Instant, _: ca_testkit::host::HostInput<'_>) {}
        fn handle_timeout(&mut self, _: ca_proto::Instant) {}
        fn poll_output(&mut self, _: ca_proto::Instant) -> Option<HostOutput> {
            None
        }
        fn poll_timeout(&self) -> Option<ca_proto::Instant> {
            Some(ca_proto::Instant::ZERO)
        }
    }
    let mut w = World::new(1);
    let addr = w.free_addr(0);
    w.add("x", addr, Spinning);
    let busy = w.settle().unwrap_err();
    assert!(busy.what.contains("x1 spins"), "{busy}");
}
