//! What is closed, removed or given back is so in turns: entries that are gone are counted.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use allocation_counter::measure;
use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::config::ServerParams;
use ca_proto::ids::{Cid, Sid, SubId};
use ca_proto::wire::{Command, tcp};
use ca_server_sim::{Ioc, PvSpec};

use super::{DOUBLE, HOST, MANY, MOST, NOW, Peer, crowded, put_notify, start, turns, write};

#[test]
fn a_circuit_with_very_many_subscriptions_is_closed_in_turns() {
    let (mut ioc, mut honest, hostile) = crowded();
    ioc.handle_closed(NOW, hostile.id);
    assert!(
        ioc.circuit(hostile.id).is_none(),
        "its identifier is dead at once"
    );
    assert!(ioc.transmit(hostile.id).is_none());
    assert_eq!(ioc.counts().circuits, 1);
    let left = ioc.counts().subscriptions;
    assert!(left > MANY as usize - MOST);
    let turns = turns(&mut ioc, &mut honest, |ioc| ioc.counts().subscriptions);
    assert!((100..2_000).contains(&turns), "{turns} turns");
    let counts = ioc.counts();
    assert_eq!(
        (counts.circuits, counts.channels, counts.subscriptions),
        (1, 1, 0)
    );
}

/// Oldest, youngest and in no order first; every second identifier is used twice.
#[test]
fn very_many_subscriptions_are_cancelled_in_any_order() {
    const SUBS: u32 = 100_000;
    let mut shuffled: Vec<u32> = (0..SUBS).collect();
    shuffled.sort_by_key(|n| n.wrapping_mul(2_654_435_761));
    let orders: [Vec<u32>; 3] = [(0..SUBS).collect(), (0..SUBS).rev().collect(), shuffled];
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["x".to_owned()]);
    for order in orders {
        peer.subscribe(&mut ioc, (0..SUBS).map(|n| (0, n / 2 * 2)));
        assert_eq!(ioc.counts().subscriptions, SUBS as usize);
        let cancel = |subid: u32| tcp::Request::EventCancel {
            ty: DOUBLE,
            count: 1,
            sid: Sid(0),
            subid: SubId(subid / 2 * 2),
        };
        let mut bytes = Vec::new();
        order
            .iter()
            .for_each(|&n| cancel(n).encode_into(&mut bytes));
        let turns = peer.feed(&mut ioc, &bytes);
        assert!(turns >= SUBS as usize * 4 / MOST, "{turns} turns");
        assert_eq!(ioc.counts().subscriptions, 0);
    }
}

#[test]
fn very_many_views_are_found_and_closed() {
    const VIEWS: u32 = 100_000;
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::array(vec![0.0; VIEWS as usize])));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["x".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    let names = || (0..VIEWS).map(|n| format!("x.VAL[{n}]"));
    hostile.create(&mut ioc, names());
    hostile.subscribe(&mut ioc, (0..VIEWS).map(|n| (n, n)));
    let counts = ioc.counts();
    assert_eq!(counts.channels, 1 + VIEWS as usize);
    assert_eq!(counts.subscriptions, VIEWS as usize);
    // A put that concerns them all.
    let posted = |ioc: &Ioc| ioc.circuit_stats(hostile.id).unwrap().updates_posted as usize;
    let before = posted(&ioc);
    ioc.post(NOW, "x", vec![1.0; VIEWS as usize]).unwrap();
    turns(&mut ioc, &mut honest, posted);
    assert_eq!(posted(&ioc) - before, VIEWS as usize);
    let clear = (0..VIEWS).rev().map(|n| tcp::Request::ClearChannel {
        data_type: 0,
        count: 0,
        sid: Sid(n),
        cid: Cid(n),
    });
    hostile.send(&mut ioc, clear);
    turns(&mut ioc, &mut honest, |ioc| ioc.counts().channels);
    assert_eq!((ioc.counts().channels, ioc.counts().subscriptions), (1, 0));
    // And closed at once.
    hostile.create(&mut ioc, names());
    ioc.handle_closed(NOW, hostile.id);
    turns(&mut ioc, &mut honest, |ioc| ioc.counts().channels);
    assert_eq!(ioc.counts().channels, 1);
}

#[test]
fn very_many_channels_with_a_put_each_on_a_slow_pv_are_closed_in_turns() {
    const CHANNELS: u32 = 60_000;
    let slow = PvSpec::double(0.0).completes_after(Duration::from_secs(3600));
    let mut ioc = start(Ioc::builder().pv("slow", slow));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["slow".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, (0..CHANNELS).map(|_| "slow".to_owned()));
    let data = 1.0_f64.to_be_bytes();
    hostile.send(&mut ioc, (0..CHANNELS).map(|n| put_notify(n, n, &data)));
    let data = 2.0_f64.to_be_bytes();
    honest.send(&mut ioc, [put_notify(0, 1, &data)]);
    ioc.handle_closed(NOW, hostile.id);
    turns(&mut ioc, &mut honest, |ioc| ioc.counts().channels);
    assert_eq!(ioc.counts().channels, 1);
    // What was under way ends, and the next is that of the honest client.
    assert_eq!(ioc.number("slow").unwrap(), 1.0);
    assert!(ioc.finish_put(NOW, "slow", EcaStatus::NORMAL).unwrap());
    assert_eq!(ioc.number("slow").unwrap(), 2.0);
}

#[test]
fn a_pv_with_very_many_channels_is_removed_in_turns_and_gone_at_once() {
    const CHANNELS: u32 = 60_000;
    let pvs = [
        ("x".to_owned(), PvSpec::double(0.0)),
        ("y".to_owned(), PvSpec::double(0.0)),
    ];
    let mut ioc = start(Ioc::builder().pvs(pvs));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["y".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    let names = (0..CHANNELS).map(|n| {
        if n % 2 == 0 {
            "x".to_owned()
        } else {
            format!("x.VAL[{n}]")
        }
    });
    hostile.create(&mut ioc, names);
    hostile.subscribe(&mut ioc, (0..CHANNELS).map(|n| (n, n)));
    hostile.heard.clear();
    assert!(ioc.remove(NOW, "x"));
    assert!(ioc.read("x").is_err());
    assert!(ioc.counts().channels > CHANNELS as usize - 2 * MOST);
    // The name is free.
    ioc.add(NOW, "x", PvSpec::long(7)).unwrap();
    let mut before = ioc.counts().channels;
    while ioc.has_work() {
        ioc.work(NOW);
        let now = ioc.counts().channels;
        assert!(before - now <= MOST);
        before = now;
        assert!(honest.read(&mut ioc));
        hostile.listen(&mut ioc);
    }
    let gone = |&&(command, _): &&(Command, u32)| command == Command::SERVER_DISCONN;
    assert_eq!(hostile.heard.iter().filter(gone).count(), CHANNELS as usize);
    let counts = ioc.counts();
    assert_eq!((counts.channels, counts.subscriptions), (1, 0));
    assert_eq!(ioc.number("x").unwrap(), 7.0);
}

#[test]
fn a_hundred_circuits_are_reset_in_the_same_instant() {
    const SHARE: u32 = 2_000;
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["x".to_owned()]);
    let peers: Vec<Peer> = (0..100)
        .map(|_| {
            let mut peer = Peer::new(&mut ioc);
            peer.create(
                &mut ioc,
                (0..SHARE).map(|n| if n % 2 == 0 { "x" } else { "x.DESC" }.to_owned()),
            );
            peer.subscribe(&mut ioc, (0..SHARE).map(|n| (n, n)));
            peer
        })
        .collect();
    let mut before = ioc.counts().subscriptions;
    for peer in &peers {
        ioc.handle_closed(NOW, peer.id);
        let now = ioc.counts().subscriptions;
        assert!(before - now <= MOST);
        before = now;
    }
    turns(&mut ioc, &mut honest, |ioc| ioc.counts().subscriptions);
    assert_eq!((ioc.counts().channels, ioc.counts().subscriptions), (1, 0));
}

/// Who resets and comes back faster than it is cleared away fills its own share.
#[test]
fn a_circuit_counts_until_nothing_is_left_of_it() {
    let params = ServerParams::default().max_circuits_per_host(1);
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)).params(params));
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["x".to_owned()]);
    peer.subscribe(&mut ioc, (0..50_000).map(|n| (0, n)));
    ioc.handle_closed(NOW, peer.id);
    assert_eq!(ioc.accept(NOW, SocketAddrV4::new(HOST, 1)), None);
    while ioc.has_work() {
        ioc.work(NOW);
    }
    assert!(ioc.accept(NOW, SocketAddrV4::new(HOST, 1)).is_some());
}

/// Its driver has not closed it yet, and nothing more is said on it.
#[test]
fn a_circuit_that_broke_the_protocol_leaves_no_work_when_rights_change() {
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["x".to_owned()]);
    let mut bytes = Vec::new();
    write(77, &[0; 8]).encode_into(&mut bytes);
    let broken = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &bytes);
    assert!(broken.is_err());
    peer.listen(&mut ioc);
    ioc.set_rights(NOW, "x", AccessRights::READ).unwrap();
    for _ in 0..10 {
        ioc.work(NOW);
    }
    assert!(!ioc.has_work());
}

/// Small pieces of memory that are given back one by one: glibc keeps them apart and joins them, all that
/// there are, when it is next asked for a large one. So each turn asks for one.
#[test]
fn memory_that_masses_give_back_is_joined_in_every_turn() {
    const CHANNELS: u32 = 60_000;
    let slow = PvSpec::double(0.0).completes_after(Duration::from_secs(3600));
    let mut ioc = start(Ioc::builder().pv("slow", slow));
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, (0..CHANNELS).map(|_| "slow".to_owned()));
    let data = 1.0_f64.to_be_bytes();
    hostile.send(&mut ioc, (0..CHANNELS).map(|n| put_notify(n, n, &data)));
    let given_back = std::cell::Cell::new(0);
    let call = |ioc: &mut Ioc, work: &mut dyn FnMut(&mut Ioc)| {
        let turn = measure(|| work(ioc));
        let freed = usize::try_from(-turn.count_current).unwrap_or(0);
        assert!(freed <= 2 * MOST, "{freed} pieces in one turn");
        assert!(
            freed < 256 || turn.bytes_total >= 4096,
            "{freed} pieces given back, none that is large asked for"
        );
        given_back.set(given_back.get() + freed);
    };
    call(&mut ioc, &mut |ioc| ioc.handle_closed(NOW, hostile.id));
    while ioc.has_work() {
        call(&mut ioc, &mut |ioc| ioc.work(NOW));
    }
    assert!(given_back.get() >= CHANNELS as usize);
    // Also where a chunk deletes.
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, (0..2000).map(|_| "slow".to_owned()));
    let mut bytes = Vec::new();
    for n in 0..2000 {
        tcp::Request::ClearChannel {
            data_type: 0,
            count: 0,
            sid: Sid(n | (1 << 20)),
            cid: Cid(n),
        }
        .encode_into(&mut bytes);
    }
    call(&mut ioc, &mut |ioc| {
        let _ = ioc.handle_chunk(NOW, hostile.id, &mut hostile.deframer, &bytes);
    });
}

/// What there is to do of every kind shares one turn.
#[test]
fn telling_and_closing_share_a_turn() {
    let (mut ioc, mut honest, hostile) = crowded();
    let mut other = Peer::new(&mut ioc);
    other.create(&mut ioc, ["x".to_owned()]);
    other.subscribe(&mut ioc, (0..100_000).map(|n| (0, n)));
    ioc.post(NOW, "x", 1.0).unwrap();
    ioc.handle_closed(NOW, other.id);
    let sum = |ioc: &Ioc| {
        let told = ioc.circuit_stats(hostile.id).unwrap().updates_posted as usize;
        // Each that is dropped costs three units.
        told + 3 * (MANY as usize + 200_000 - ioc.counts().subscriptions)
    };
    turns(&mut ioc, &mut honest, sum);
    assert_eq!(ioc.counts().subscriptions, MANY as usize);
}

/// Circuits that have nothing to do give back their buffers a few at a time.
#[test]
fn buffers_of_idle_circuits_are_given_back_in_turns() {
    const CIRCUITS: usize = 600;
    let params = ServerParams::default().max_circuits_per_host(CIRCUITS);
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)).params(params));
    let mut peers: Vec<Peer> = (0..CIRCUITS).map(|_| Peer::new(&mut ioc)).collect();
    for peer in &mut peers {
        peer.create(&mut ioc, ["x".to_owned()]);
        peer.subscribe(&mut ioc, (0..10).map(|n| (0, n)));
    }
    let given_back = |ioc: &mut Ioc, seconds: u64| {
        let later = NOW + Duration::from_secs(seconds);
        let (mut all, mut turns) = (0, 0);
        loop {
            let turn = measure(|| ioc.handle_timeout(later));
            let freed = usize::try_from(-turn.count_current).unwrap_or(0);
            assert!(freed <= 200, "{freed} buffers in one turn");
            (all, turns) = (all + freed, turns + 1);
            if !ioc.has_work() {
                return (all, turns);
            }
        }
    };
    given_back(&mut ioc, 10);
    let (all, turns) = given_back(&mut ioc, 20);
    assert!(all >= CIRCUITS, "{all} in {turns} turns");
}
