//! What exceeds the limits is refused, and nobody else notices.

use std::collections::BTreeMap;
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::config::ServerParams;
use ca_proto::ids::SubId;
use ca_proto::server::Limit;
use ca_proto::wire::message::EventMask;
use ca_proto::wire::{Command, tcp};
use ca_server_sim::{Ioc, PvSpec};

use crate::peer::{
    HOST, OTHER, PLAIN_CHAR, PLAIN_DOUBLE, PLAIN_STRING, Peer, at, put_status, start,
};

const MIB: usize = 1 << 20;

/// What a circuit costs before it asks for anything.
fn base() -> usize {
    let mut ioc = start(ServerParams::default(), pvs());
    let peer = Peer::connect(&mut ioc, HOST).unwrap();
    peer.held(&ioc)
}

fn pvs() -> ca_server_sim::IocBuilder {
    let array = || PvSpec::array(vec![0.5f64; 100_000]);
    Ioc::builder()
        .pv("x", PvSpec::double(1.5))
        .pv("y", PvSpec::double(1.5))
        .pv("wave", array())
        .pv("slow", array().completes_never())
        .pv(
            "texts",
            PvSpec::strings(&["1"]).capacity(1000).completes_never(),
        )
}

fn met(ioc: &Ioc, limit: Limit) -> u64 {
    ioc.stats().limits.get(limit)
}

/// One put to each of many channels: it is the record that is busy, and it keeps doubles.
#[test]
fn puts_that_wait_in_a_record_count_at_their_size_after_conversion() {
    let mut ioc = start(
        ServerParams::default().max_waiting_put_bytes(4 * MIB as u32),
        pvs(),
    );
    let mut peer = Peer::connect(&mut ioc, HOST).unwrap();
    let before = peer.held(&ioc);
    for n in 0..20 {
        let sid = peer.create(&mut ioc, "slow").unwrap();
        peer.put_notify(&mut ioc, sid, (PLAIN_CHAR, 100_000), &[1; 100_000]);
        let held = peer.held(&ioc) - before;
        assert!(held >= 800_000 * n.min(5), "{held} after {n}");
        assert!(held < 800_000 * n + 120_000, "{held} after {n}");
        match n {
            0..6 => assert_eq!(put_status(&peer.read(&mut ioc)), None),
            _ => assert_eq!(
                put_status(&peer.read(&mut ioc)),
                Some(EcaStatus::PUTCBINPROG)
            ),
        }
    }
    assert_eq!(met(&ioc, Limit::WaitingPuts), 14);
    // The other way round it is the text that is long.
    let sid = peer.create(&mut ioc, "texts").unwrap();
    for _ in 0..2 {
        let sid = peer.create(&mut ioc, "texts").unwrap_or(sid);
        peer.put_notify(&mut ioc, sid, (PLAIN_DOUBLE, 1000), &[0; 8000]);
    }
    assert!(peer.held(&ioc) - before > 5 * 800_000 + 40_000);
}

#[test]
fn puts_beyond_the_bytes_of_a_circuit_are_refused() {
    let limit = base() + 2 * MIB;
    let params = ServerParams::default().max_bytes_per_circuit(limit);
    let mut ioc = start(params, pvs());
    let mut peer = Peer::connect(&mut ioc, HOST).unwrap();
    let mut other = Peer::connect(&mut ioc, HOST).unwrap();
    let mut statuses = Vec::new();
    for n in 0..6 {
        // Half of them wait behind another put of their channel, half in the record.
        let sid = peer.create(&mut ioc, "slow").unwrap();
        peer.put_notify(&mut ioc, sid, (PLAIN_DOUBLE, 100_000), &[n; 800_000]);
        peer.put_notify(&mut ioc, sid, (PLAIN_CHAR, 100_000), &[n; 100_000]);
        statuses.extend(put_status(&peer.read(&mut ioc)));
        assert!(peer.held(&ioc) <= limit);
    }
    assert_eq!(statuses.last(), Some(&EcaStatus::ALLOCMEM));
    assert!(met(&ioc, Limit::CircuitBytes) > 0);
    // It is the circuit's own limit.
    let sid = other.create(&mut ioc, "slow").unwrap();
    other.put_notify(&mut ioc, sid, (PLAIN_CHAR, 1), &[1; 8]);
    assert_eq!(put_status(&other.read(&mut ioc)), None);
    let held = ioc.held_by(HOST);
    assert_eq!(held, peer.held(&ioc) + other.held(&ioc));
    peer.close(&mut ioc);
    assert!(ioc.held_by(HOST) < held - MIB);
    other.close(&mut ioc);
    assert_eq!(ioc.held_by(HOST), 0);
}

/// 100 000 doubles are 4 MB of texts.
#[test]
fn replies_that_nobody_reads_are_limited_for_an_address() {
    let size = 4_000_000;
    let params = ServerParams::default().max_bytes_per_host(5 * base() + 2 * size + MIB);
    let mut ioc = start(params, pvs());
    let mut peers: Vec<Peer> = Vec::new();
    for _ in 0..4 {
        let mut peer = Peer::connect(&mut ioc, HOST).unwrap();
        let sid = peer.create(&mut ioc, "wave").unwrap();
        peer.read_notify(&mut ioc, sid, (PLAIN_STRING, 100_000));
        peers.push(peer);
    }
    assert_eq!(met(&ioc, Limit::HostBytes), 2);
    let commands = |peer: &mut Peer, ioc: &mut Ioc| {
        let replies = peer.read(ioc);
        replies
            .iter()
            .map(|reply| (reply.0, reply.2))
            .collect::<Vec<_>>()
    };
    let error = (Command::ERROR.0, EcaStatus::ALLOCMEM.0);
    let reply = (Command::READ_NOTIFY.0, 7);
    // Another address has room of its own.
    let mut other = Peer::connect(&mut ioc, OTHER).unwrap();
    let sid = other.create(&mut ioc, "wave").unwrap();
    other.read_notify(&mut ioc, sid, (PLAIN_STRING, 100_000));
    assert_eq!(commands(&mut other, &mut ioc), [reply]);
    for (n, peer) in peers.iter_mut().enumerate() {
        assert_eq!(
            commands(peer, &mut ioc),
            [if n < 2 { reply } else { error }]
        );
    }
    // Now that they have read, each can have the whole.
    peers[3].read_notify(&mut ioc, ca_proto::ids::Sid(0), (PLAIN_STRING, 100_000));
    assert_eq!(commands(&mut peers[3], &mut ioc), [reply]);
    for peer in peers {
        peer.close(&mut ioc);
    }
    assert_eq!(ioc.held_by(HOST), 0);
}

/// An honest client of the same address loses nothing: it sees the newest value, later.
#[test]
fn updates_wait_for_room_and_come() {
    let size = 800_000;
    let params = ServerParams::default().max_bytes_per_host(2 * base() + size + 100_000);
    let mut ioc = start(params, pvs());
    let mut silent = Peer::connect(&mut ioc, HOST).unwrap();
    let sid = silent.create(&mut ioc, "wave").unwrap();
    let mut honest = Peer::connect(&mut ioc, HOST).unwrap();
    let own = honest.create(&mut ioc, "wave").unwrap();
    silent.read_notify(&mut ioc, sid, (PLAIN_DOUBLE, 0));
    honest.subscribe(&mut ioc, own, (PLAIN_DOUBLE, 0));
    assert_eq!(honest.read(&mut ioc), []);
    assert!(met(&ioc, Limit::HostBytes) > 0);
    // It is asked again by and by, not at once and not for ever at once.
    let retry = ioc.poll_timeout().unwrap();
    assert!(retry > at(0) && retry <= at(0) + Duration::from_millis(100));
    ioc.handle_timeout(retry);
    assert_eq!(ioc.poll_woken(), Some(honest.circuit));
    assert_eq!(honest.read(&mut ioc), []);
    silent.read(&mut ioc);
    let retry = ioc.poll_timeout().unwrap();
    ioc.handle_timeout(retry);
    assert_eq!(ioc.poll_woken(), Some(honest.circuit));
    let replies = honest.read(&mut ioc);
    assert_eq!(replies, [(Command::EVENT_ADD.0, 1, 1)]);
    assert!(
        ioc.poll_timeout()
            .is_none_or(|next| next > retry + Duration::from_secs(1))
    );
}

/// An update that can never be sent is an error, once.
#[test]
fn an_update_larger_than_the_circuit_may_hold_is_an_error() {
    let params = ServerParams::default().max_bytes_per_circuit(base() + 100_000);
    let mut ioc = start(params, pvs());
    let mut peer = Peer::connect(&mut ioc, HOST).unwrap();
    let sid = peer.create(&mut ioc, "wave").unwrap();
    peer.subscribe(&mut ioc, sid, (PLAIN_DOUBLE, 0));
    let replies = peer.read(&mut ioc);
    assert_eq!(
        (replies[0].0, replies[0].2),
        (Command::ERROR.0, EcaStatus::ALLOCMEM.0)
    );
    assert_eq!(replies.len(), 1);
}

#[test]
fn a_message_for_which_there_is_no_room_is_skipped() {
    let params = ServerParams::default().max_bytes_per_circuit(base() + MIB);
    let mut ioc = start(params, pvs());
    let mut peer = Peer::connect(&mut ioc, HOST).unwrap();
    let sent = peer.begin_echo(&mut ioc, 8 * MIB as u32, 3 * MIB);
    assert_eq!(met(&ioc, Limit::CircuitBytes), 1);
    assert!(peer.held(&ioc) < base() + MIB);
    let replies = peer.read(&mut ioc);
    assert_eq!(
        (replies[0].0, replies[0].2),
        (Command::ERROR.0, EcaStatus::ALLOCMEM.0)
    );
    peer.send_bytes(&mut ioc, &vec![0; 8 * MIB - sent]);
    peer.read(&mut ioc);
    // What follows the message is understood.
    assert!(peer.create(&mut ioc, "x").is_some());
}

#[test]
fn channels_subscriptions_and_views_meet_the_limit_of_their_circuit() {
    let params = ServerParams::default().max_bytes_per_circuit(base() + MIB);
    let mut ioc = start(params, pvs());
    let names: [&dyn Fn(u32) -> String; 3] = [
        &|_| "x".into(),
        &|n| format!("wave.VAL[{n}]"),
        // A number may have zeros in front: a name of 1 kB.
        &|n| format!("wave.VAL[0x{n:01000x}]"),
    ];
    let mut most = Vec::new();
    for name in names {
        let mut peer = Peer::connect(&mut ioc, HOST).unwrap();
        let mut n = 0;
        while peer.create(&mut ioc, &name(n)).is_some() {
            n += 1;
        }
        most.push(n);
        assert!(peer.is_open(&ioc));
        assert!(peer.held(&ioc) <= base() + MIB);
        peer.close(&mut ioc);
        assert_eq!(ioc.held_by(HOST), 0);
    }
    assert!(
        most[0] > 4000 && most[1] < most[0] && most[2] < most[1],
        "{most:?}"
    );
    let mut peer = Peer::connect(&mut ioc, HOST).unwrap();
    let sid = peer.create(&mut ioc, "x").unwrap();
    for _ in 0..20_000 {
        peer.subscribe(&mut ioc, sid, (PLAIN_DOUBLE, 1));
        peer.drain(&mut ioc);
    }
    let stats = ioc.stats();
    assert!((1000..20_000).contains(&stats.subscriptions), "{stats:?}");
    assert!(peer.held(&ioc) <= base() + MIB);
}

#[test]
fn an_address_whose_circuits_hold_too_much_gets_no_further_one() {
    let params = ServerParams::default().max_bytes_per_host(base() * 5 / 2);
    let mut ioc = start(params, pvs());
    let one = Peer::connect(&mut ioc, HOST).unwrap();
    let _two = Peer::connect(&mut ioc, HOST).unwrap();
    let from = std::net::SocketAddrV4::new(HOST, 9);
    assert!(Peer::connect(&mut ioc, HOST).is_none());
    assert_eq!(met(&ioc, Limit::HostBytes), 1);
    let text = String::from_utf8_lossy(&ioc.refusal(from)).into_owned();
    assert!(text.contains("hold too many bytes"), "{text}");
    assert!(Peer::connect(&mut ioc, OTHER).is_some());
    one.close(&mut ioc);
    assert!(Peer::connect(&mut ioc, HOST).is_some());
}

/// Circuits of one address, each with as many subscriptions to `x` as to `y`, whose first updates have been
/// read.
fn subscribers(ioc: &mut Ioc) -> Vec<Peer> {
    let mut peers = Vec::new();
    for _ in 0..6 {
        let mut peer = Peer::connect(ioc, HOST).unwrap();
        for (name, first) in [("x", 0), ("y", SUBSCRIPTIONS)] {
            let sid = peer.create(ioc, name).unwrap();
            let mut bytes = Vec::new();
            for subid in (first..first + SUBSCRIPTIONS).map(SubId) {
                tcp::Request::EventAdd {
                    ty: PLAIN_DOUBLE,
                    count: 1,
                    sid,
                    subid,
                    mask: EventMask::VALUE,
                }
                .encode_into(&mut bytes);
            }
            peer.send_all(ioc, &bytes);
        }
        peers.push(peer);
    }
    peers
}

const SUBSCRIPTIONS: u32 = 1000;

/// What waits for subscribers grows while they are told, and there is nobody to be refused anything then:
/// values take the place of older ones where there is no room for both, and each subscription has room
/// for one from its beginning.
#[test]
fn queued_updates_keep_to_the_bytes_of_their_address() {
    let params = ServerParams::default().send_high_water(8192);
    let mut ioc = start(params.clone(), pvs());
    let peers = subscribers(&mut ioc);
    let paid = ioc.held_by(HOST);
    drop(peers);
    for spare in [0, 100_000, 1_000_000] {
        let limit = paid + spare;
        let mut ioc = start(params.clone().max_bytes_per_host(limit), pvs());
        let mut peers = subscribers(&mut ioc);
        // Those of the one have all that there is when those of the other have their first.
        for name in ["x", "y"] {
            for n in 0..10 {
                ioc.post(at(0), name, f64::from(n)).unwrap();
                for peer in &mut peers {
                    peer.take(&mut ioc);
                }
                let held = ioc.held_by(HOST);
                assert!(held <= limit, "{name} {n}: {held} of {limit}");
            }
        }
        for peer in &mut peers {
            let newest: BTreeMap<_, _> = peer.read_updates(&mut ioc).into_iter().collect();
            assert_eq!(newest.len(), 2 * SUBSCRIPTIONS as usize);
            assert!(newest.values().all(|&value| value == 9.0));
        }
    }
}
