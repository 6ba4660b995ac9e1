//! What is told is told in turns: updates and calls are counted.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use allocation_counter::measure;
use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Ioid, Sid};
use ca_proto::wire::{Command, tcp};
use ca_server_sim::signals::Counter;
use ca_server_sim::{Ioc, PvSpec};

use super::{
    DOUBLE, HOST, MANY, MOST, NOW, Peer, ask, crowded, made_in_turns, put_notify, start, turns,
    write,
};

#[test]
fn very_many_subscriptions_are_told_in_turns_and_a_put_waits_for_those_before() {
    let (mut ioc, mut honest, mut hostile) = crowded();
    honest.subscribe(&mut ioc, [(0, 7)].into_iter());
    let posted = |ioc: &Ioc| ioc.circuit_stats(hostile.id).unwrap().updates_posted as usize;
    let before = posted(&ioc);
    let values = [1.0_f64, 2.0].map(f64::to_be_bytes);
    let mut bytes = Vec::new();
    values
        .iter()
        .for_each(|value| write(0, value).encode_into(&mut bytes));
    let handled = ioc.handle_chunk(NOW, honest.id, &mut honest.deframer, &bytes);
    assert_eq!(handled.unwrap(), bytes.len() / 2, "the second put waits");
    assert!(posted(&ioc) - before <= MOST);
    turns(&mut ioc, &mut honest, posted);
    assert_eq!(posted(&ioc) - before, MANY as usize);
    honest.feed(&mut ioc, &bytes[bytes.len() / 2..]);
    turns(&mut ioc, &mut honest, posted);
    assert_eq!(posted(&ioc) - before, 2 * MANY as usize);
    assert_eq!(ioc.number("x").unwrap(), 2.0);
    hostile.listen(&mut ioc);
}

#[test]
fn posts_of_the_program_behind_very_many_subscribers_are_told_once_with_the_newest() {
    let (mut ioc, mut honest, hostile) = crowded();
    let posted = |ioc: &Ioc| ioc.circuit_stats(hostile.id).unwrap().updates_posted as usize;
    let before = posted(&ioc);
    for n in 1..=1000 {
        ioc.post(NOW, "x", f64::from(n)).unwrap();
    }
    turns(&mut ioc, &mut honest, posted);
    assert!(
        posted(&ioc) - before <= 3 * MANY as usize,
        "not a thousand times"
    );
    assert_eq!(ioc.number("x").unwrap(), 1000.0);
}

/// A change of properties is told to the subscribers of all fields, as they are at that moment.
#[test]
fn a_put_to_a_limit_with_very_many_fields_open_is_told_in_turns() {
    const CHANNELS: u32 = 60_000;
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0).alarm(f64::NAN, 10.0)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["x".to_owned(), "x.HIHI".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, (0..CHANNELS).map(|_| "x.HIHI".to_owned()));
    hostile.subscribe(&mut ioc, (0..CHANNELS).map(|n| (n, n)));
    let posted = |ioc: &Ioc| ioc.circuit_stats(hostile.id).unwrap().updates_posted as usize;
    let before = posted(&ioc);
    let data = 20.0_f64.to_be_bytes();
    honest.send(&mut ioc, [write(1, &data)]);
    assert!(posted(&ioc) - before <= 3 * MOST);
    turns(&mut ioc, &mut honest, posted);
    assert_eq!(posted(&ioc) - before, CHANNELS as usize);
    ioc.handle_closed(NOW, hostile.id);
    turns(&mut ioc, &mut honest, |ioc| ioc.counts().channels);
    assert_eq!(ioc.counts().channels, 2);
}

/// The views are not made for each of their subscribers when something is posted, and not in full when
/// one element is asked for.
#[test]
fn a_small_put_to_a_large_array_with_very_many_strided_views_makes_none_of_them() {
    const LEN: usize = 1_000_000;
    let mut ioc = start(Ioc::builder().pv("w", PvSpec::array(vec![0.0; LEN])));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(
        &mut ioc,
        (2..1002).map(|step| format!("w.VAL[0:{step}:-1]")),
    );
    hostile.subscribe(&mut ioc, (0..1000).map(|n| (n, n)));
    let data = 3.0_f64.to_be_bytes();
    let mut bytes = Vec::new();
    write(0, &data).encode_into(&mut bytes);
    let put = measure(|| {
        let done = ioc.handle_chunk(NOW, honest.id, &mut honest.deframer, &bytes);
        assert_eq!(done.unwrap(), bytes.len());
    });
    assert!(
        put.bytes_total < 1 << 18,
        "{} bytes are made",
        put.bytes_total
    );
    let sent = measure(|| hostile.listen(&mut ioc));
    assert!(
        sent.bytes_total < 1 << 20,
        "{} bytes are made",
        sent.bytes_total
    );
    // Also the first update, and a read, of one element.
    let first = measure(|| {
        hostile.subscribe(&mut ioc, [(0, 5000)].into_iter());
        assert!(hostile.read(&mut ioc));
    });
    assert!(
        first.bytes_total < 1 << 18,
        "{} bytes are made",
        first.bytes_total
    );
}

#[test]
fn rights_withdrawn_from_very_many_channels_count_at_once_and_are_told_in_turns() {
    const CHANNELS: u32 = 60_000;
    let (calls, allowed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(3)));
    let (counter, bits) = (Arc::clone(&calls), Arc::clone(&allowed));
    let rule = move |_: &str, who: &ca_proto::server::Identity| {
        counter.fetch_add(1, Ordering::Relaxed);
        match who.peer.ip() == &HOST {
            true => AccessRights::from_bits(bits.load(Ordering::Relaxed) as u32),
            false => AccessRights::ALL,
        }
    };
    let mut ioc = start(
        Ioc::builder()
            .pv("x", PvSpec::double(0.0))
            .access_rule(rule),
    );
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["x".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, (0..CHANNELS).map(|_| "x".to_owned()));
    hostile.subscribe(&mut ioc, (0..CHANNELS).map(|n| (n, n)));
    hostile.heard.clear();
    allowed.store(0, Ordering::Relaxed);
    calls.store(0, Ordering::Relaxed);
    ioc.rights_changed(NOW);
    assert!(calls.load(Ordering::Relaxed) <= MOST);
    // The last channel was not yet looked at.
    let data = 5.0_f64.to_be_bytes();
    let mut bytes = Vec::new();
    put_notify(CHANNELS - 1, 1, &data).encode_into(&mut bytes);
    tcp::Request::ReadNotify {
        ty: DOUBLE,
        count: 1,
        sid: Sid(CHANNELS - 1),
        ioid: Ioid(2),
    }
    .encode_into(&mut bytes);
    ioc.handle_chunk(NOW, hostile.id, &mut hostile.deframer, &bytes)
        .unwrap();
    // An update that would show what may not be seen.
    ioc.post(NOW, "x", 7.0).unwrap();
    hostile.listen(&mut ioc);
    while ioc.has_work() {
        let before = calls.load(Ordering::Relaxed);
        ioc.work(NOW);
        assert!(calls.load(Ordering::Relaxed) - before <= MOST);
        assert!(honest.read(&mut ioc));
        hostile.listen(&mut ioc);
    }
    assert_eq!(ioc.number("x").unwrap(), 7.0);
    let of = |wanted: Command| {
        hostile
            .heard
            .iter()
            .filter(move |(command, _)| *command == wanted)
    };
    assert_eq!(of(Command::ACCESS_RIGHTS).count(), CHANNELS as usize);
    for command in [
        Command::EVENT_ADD,
        Command::READ_NOTIFY,
        Command::WRITE_NOTIFY,
    ] {
        assert!(of(command).count() > 0);
        assert!(
            of(command).all(|&(_, status)| status != EcaStatus::NORMAL.0),
            "{command}"
        );
    }
}

#[test]
fn very_many_signals_are_sampled_in_turns() {
    const PVS: usize = 50_000;
    let period = Duration::from_secs(1);
    let spec = move |n| {
        (
            format!("s{n}"),
            PvSpec::long(0).signal(Counter::new(), period),
        )
    };
    let mut ioc = start(Ioc::builder().pvs((0..PVS).map(spec)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["s0".to_owned()]);
    while ioc.poll_timeout().is_some_and(|at| at <= NOW) {
        ioc.handle_timeout(NOW);
    }
    let stamp = |ioc: &Ioc| {
        let stamps = (0..PVS).filter(|n| {
            ioc.read(&format!("s{n}"))
                .is_ok_and(|state| state.stamp.secs != ioc.read("s0").unwrap().stamp.secs)
        });
        stamps.count()
    };
    let later = NOW + period;
    ioc.handle_timeout(later);
    let behind = stamp(&ioc);
    assert!(
        behind > PVS - MOST && behind < PVS,
        "{behind} are not yet sampled"
    );
    let mut rounds = 1;
    while ioc.poll_timeout().is_some_and(|at| at <= later) {
        ioc.handle_timeout(later);
        assert!(honest.read(&mut ioc));
        rounds += 1;
    }
    assert!((PVS / MOST..1000).contains(&rounds), "{rounds} turns");
    assert_eq!(stamp(&ioc), 0);
}

/// A part of a large array with a step is taken out of it piece by piece, for reads and for updates.
#[test]
fn a_strided_part_of_a_large_array_is_made_in_turns() {
    const LEN: usize = 1_000_000;
    let values: Vec<f64> = (0..LEN).map(|n| n as f64).collect();
    let mut ioc = start(Ioc::builder().pv("w", PvSpec::array(values)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    let kinds = [
        (Command::READ_NOTIFY, DOUBLE, 0),
        (Command::READ_NOTIFY, DOUBLE, 300_000),
        (
            Command::READ_NOTIFY,
            DbrType::new(Family::Time, NativeType::Double),
            0,
        ),
        (
            Command::READ_NOTIFY,
            DbrType::new(Family::Ctrl, NativeType::Float),
            0,
        ),
        (Command::READ_NOTIFY, DbrType::CLASS_NAME, 0),
        (Command::READ, DOUBLE, 400_000),
        (Command::EVENT_ADD, DOUBLE, 0),
        (Command::EVENT_ADD, DOUBLE, 400_000),
        (
            Command::EVENT_ADD,
            DbrType::new(Family::Time, NativeType::Float),
            0,
        ),
    ];
    for (command, ty, count) in kinds {
        let mut peer = Peer::new(&mut ioc);
        peer.create(&mut ioc, ["w.VAL[1:2:-1]".to_owned()]);
        let mut bytes = Vec::new();
        ask(command, ty, count).encode_into(&mut bytes);
        let made = made_in_turns(&mut ioc, &mut honest, &mut peer, &bytes);
        let state = ioc.read("w").unwrap();
        let part: Vec<f64> = (0..LEN / 2).map(|n| 2.0 * n as f64 + 1.0).collect();
        let part = ca_proto::dbr::Snapshot {
            value: Value::from(part),
            ..state
        };
        let all = part.value.count();
        let count = if count == 0 { all } else { count };
        let mut expected = Vec::new();
        part.encode(ty, count, &mut expected).unwrap();
        // The payload is padded.
        expected.resize(expected.len().next_multiple_of(8), 0);
        let (len, at) = (
            made.len(),
            made.iter().zip(&expected).position(|(a, b)| a != b),
        );
        assert!(
            made == expected,
            "{command} {ty} {count}: {len} bytes, {at:?}"
        );
        ioc.handle_closed(NOW, peer.id);
    }
    assert_eq!(ioc.held_by(HOST), 0);
}

/// Rights that come back are told with an update to each subscription: of parts of an array only when it is
/// sent.
#[test]
fn rights_that_change_make_no_part_of_a_large_array() {
    let mut ioc = start(Ioc::builder().pv("w", PvSpec::array(vec![0.0; 1_000_000])));
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, (2..500).map(|step| format!("w.VAL[0:{step}:-1]")));
    peer.subscribe(&mut ioc, (0..498).map(|n| (n, n)));
    for rights in [AccessRights::NONE, AccessRights::READ] {
        let mut most = 0;
        let told = measure(|| ioc.set_rights(NOW, "w", rights).unwrap());
        most = most.max(told.bytes_total);
        while ioc.has_work() {
            let turn = measure(|| ioc.work(NOW));
            most = most.max(turn.bytes_total);
        }
        assert!(most < 1 << 19, "{most} bytes at once");
    }
}
