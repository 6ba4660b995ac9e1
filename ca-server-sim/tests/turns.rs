//! What one peer or a hundred make the IOC do is done in turns, however much it is, and others are
//! served in between. Work is counted: updates, calls, entries that are gone, bytes that are made.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use allocation_counter::measure;
use ca_proto::access::AccessRights;
use ca_proto::config::ServerParams;
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::server::PutOutcome;
use ca_proto::wire::message::{Data, EventMask, Text};
use ca_proto::wire::{Command, Deframer, Header, Minor, tcp};
use ca_proto::{EcaStatus, Instant, Timestamp};
use ca_server_sim::signals::Counter;
use ca_server_sim::{Ioc, IocBuilder, PutDecision, PvSpec};

const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);
/// What a turn may do of anything: a few thousand steps of some 100 ns.
const MOST: usize = 4096;
const NOW: Instant = Instant::from_nanos(1_000_000_000);
const HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn start(builder: IocBuilder) -> Ioc {
    let mut ioc = builder.build().unwrap();
    ioc.start(NOW, Timestamp::from_unix(1_800_000_000, 0), 5064);
    ioc.handle_timeout(NOW);
    ioc
}

/// A client of which only the requests matter.
struct Peer {
    id: CircuitId,
    deframer: Deframer,
    /// Commands of the replies.
    heard: Vec<(Command, u32)>,
}

impl Peer {
    fn new(ioc: &mut Ioc) -> Self {
        Self::from(ioc, HOST)
    }

    fn from(ioc: &mut Ioc, host: Ipv4Addr) -> Self {
        let id = ioc.accept(NOW, SocketAddrV4::new(host, 4000)).unwrap();
        let deframer = Deframer::new(ioc.limits(id));
        let mut peer = Self {
            id,
            deframer,
            heard: Vec::new(),
        };
        let version = tcp::Request::Version {
            priority: 0,
            minor: Minor::CURRENT,
            sequence: 0,
        };
        peer.send(ioc, [version]);
        peer
    }

    /// Hands requests in as a driver does, and does what is left in between.
    fn send<'a>(&mut self, ioc: &mut Ioc, requests: impl IntoIterator<Item = tcp::Request<'a>>) {
        let mut bytes = Vec::new();
        for request in requests {
            request.encode_into(&mut bytes);
        }
        self.feed(ioc, &bytes);
    }

    /// Returns the turns that it took, each of which handles something or leaves work.
    fn feed(&mut self, ioc: &mut Ioc, mut bytes: &[u8]) -> usize {
        let mut turns = 0;
        while !bytes.is_empty() {
            let chunk = &bytes[..bytes.len().min(1 << 16)];
            let done = ioc.handle_chunk(NOW, self.id, &mut self.deframer, chunk);
            bytes = &bytes[done.unwrap()..];
            self.listen(ioc);
            ioc.work(NOW);
            turns += 1;
        }
        self.listen(ioc);
        turns
    }

    fn listen(&mut self, ioc: &mut Ioc) {
        while let Some(queue) = ioc.transmit(self.id) {
            if queue.is_empty() {
                break;
            }
            let bytes = queue.to_vec();
            queue.clear();
            let mut rest = &bytes[..];
            while let Some((header, len)) = Header::decode(rest, true) {
                self.heard.push((header.command, header.p1));
                rest = &rest[len + header.payload_len as usize..];
            }
        }
    }

    fn create(&mut self, ioc: &mut Ioc, names: impl IntoIterator<Item = String>) {
        let mut bytes = Vec::new();
        for (n, name) in (0..).zip(names) {
            tcp::Request::CreateChan {
                cid: Cid(n),
                minor: Minor::CURRENT,
                name: Text::new(name.as_bytes()),
            }
            .encode_into(&mut bytes);
        }
        self.feed(ioc, &bytes);
    }

    fn subscribe(&mut self, ioc: &mut Ioc, subs: impl Iterator<Item = (u32, u32)>) {
        self.send(
            ioc,
            subs.map(|(sid, subid)| tcp::Request::EventAdd {
                ty: DOUBLE,
                count: 1,
                sid: Sid(sid),
                subid: SubId(subid),
                mask: EventMask::VALUE,
            }),
        );
    }

    /// The last value read.
    fn read(&mut self, ioc: &mut Ioc) -> bool {
        self.heard.clear();
        let read = tcp::Request::ReadNotify {
            ty: DOUBLE,
            count: 1,
            sid: Sid(0),
            ioid: Ioid(1),
        };
        let mut bytes = Vec::new();
        read.encode_into(&mut bytes);
        let done = ioc.handle_chunk(NOW, self.id, &mut self.deframer, &bytes);
        let done = done.unwrap() == bytes.len();
        self.listen(ioc);
        done && self
            .heard
            .contains(&(Command::READ_NOTIFY, EcaStatus::NORMAL.0))
    }
}

fn write<'a>(sid: u32, data: &'a [u8]) -> tcp::Request<'a> {
    tcp::Request::Write {
        ty: DOUBLE,
        count: 1,
        sid: Sid(sid),
        cid: Cid(0),
        data: Data(data),
    }
}

fn put_notify<'a>(sid: u32, ioid: u32, data: &'a [u8]) -> tcp::Request<'a> {
    tcp::Request::WriteNotify {
        ty: DOUBLE,
        count: 1,
        sid: Sid(sid),
        ioid: Ioid(ioid),
        data: Data(data),
    }
}

/// Works until nothing is left: the turns, in each of which `honest` reads; `done` says how much was done
/// since the start.
fn turns(ioc: &mut Ioc, honest: &mut Peer, mut done: impl FnMut(&Ioc) -> usize) -> usize {
    let (mut turns, mut before) = (0, done(ioc));
    while ioc.has_work() {
        ioc.work(NOW);
        let now = done(ioc);
        assert!(
            now.abs_diff(before) <= MOST,
            "{} in one turn",
            now.abs_diff(before)
        );
        before = now;
        assert!(
            honest.read(ioc),
            "the honest client is served between turns"
        );
        turns += 1;
        assert!(turns < 20_000, "it ends");
    }
    turns
}

const MANY: u32 = 400_000;

fn crowded() -> (Ioc, Peer, Peer) {
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["x".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, ["x".to_owned()]);
    hostile.subscribe(&mut ioc, (0..MANY).map(|n| (0, n)));
    assert_eq!(ioc.counts().subscriptions, MANY as usize);
    (ioc, honest, hostile)
}

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
fn very_many_puts_of_one_channel_begin_in_turns_and_are_dropped_in_turns() {
    const PUTS: u32 = 60_000;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let slow = PvSpec::double(0.0).completes_never().on_put(move |put| {
        counter.fetch_add(1, Ordering::Relaxed);
        match put.value == &Value::scalar(0.0) {
            true => PutDecision::Accept,
            false => PutDecision::Reject(EcaStatus::PUTFAIL),
        }
    });
    let mut ioc = start(Ioc::builder().pv("slow", slow));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["slow".to_owned()]);
    // Behind each other in the record, then in the circuit.
    for channels in [PUTS, 1] {
        let mut hostile = Peer::new(&mut ioc);
        hostile.create(&mut ioc, (0..channels).map(|_| "slow".to_owned()));
        let (first, other) = (0.0_f64.to_be_bytes(), 1.0_f64.to_be_bytes());
        let put = |n: u32| put_notify(n % channels, n, if n == 0 { &first } else { &other });
        hostile.send(&mut ioc, (0..PUTS).map(put));
        calls.store(0, Ordering::Relaxed);
        assert!(ioc.finish_put(NOW, "slow", EcaStatus::NORMAL).unwrap());
        assert!(calls.load(Ordering::Relaxed) < MOST);
        turns(&mut ioc, &mut honest, |_| calls.load(Ordering::Relaxed));
        assert_eq!(calls.load(Ordering::Relaxed), PUTS as usize - 1);
        hostile.heard.clear();
        hostile.listen(&mut ioc);
        let answers = hostile
            .heard
            .iter()
            .filter(|(command, _)| *command == Command::WRITE_NOTIFY);
        assert_eq!(answers.count(), PUTS as usize);
        ioc.handle_closed(NOW, hostile.id);
        turns(&mut ioc, &mut honest, |ioc| ioc.counts().channels);
    }
    // Dropped with the channel.
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, ["slow".to_owned()]);
    let data = 0.0_f64.to_be_bytes();
    hostile.send(&mut ioc, (0..PUTS).map(|n| put_notify(0, n, &data)));
    hostile.heard.clear();
    let clear = tcp::Request::ClearChannel {
        data_type: 0,
        count: 0,
        sid: Sid(0),
        cid: Cid(0),
    };
    let mut bytes = Vec::new();
    clear.encode_into(&mut bytes);
    ioc.handle_chunk(NOW, hostile.id, &mut hostile.deframer, &bytes)
        .unwrap();
    assert!(
        !ioc.is_readable(hostile.id),
        "what it deletes is paid for by its own requests"
    );
    let turns = turns(&mut ioc, &mut honest, |_| 0);
    assert!(turns > PUTS as usize / MOST, "{turns} turns");
    assert!(ioc.is_readable(hostile.id));
    hostile.listen(&mut ioc);
    assert_eq!(hostile.heard, [(Command::CLEAR_CHANNEL, 0)]);
}

#[test]
fn puts_that_complete_at_the_same_instant_end_in_turns() {
    const PVS: u32 = 20_000;
    let period = Duration::from_secs(2);
    let spec = move |n| {
        (
            format!("slow{n}"),
            PvSpec::double(0.0).completes_after(period),
        )
    };
    let mut ioc = start(Ioc::builder().pvs((0..PVS).map(spec)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["slow0".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, (0..PVS).map(|n| format!("slow{n}")));
    let data = 1.0_f64.to_be_bytes();
    hostile.send(&mut ioc, (0..PVS).map(|n| put_notify(n, n, &data)));
    let (later, mut before, mut rounds) = (NOW + period, ioc.counts().puts, 0);
    while ioc.poll_timeout().is_some_and(|at| at <= later) {
        ioc.handle_timeout(later);
        let now = ioc.counts().puts;
        assert!(before - now <= MOST);
        before = now;
        assert!(honest.read(&mut ioc));
        hostile.listen(&mut ioc);
        rounds += 1;
    }
    assert!((3..1000).contains(&rounds), "{rounds} turns");
    assert_eq!(ioc.counts().puts, 0);
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

#[test]
fn switching_updates_off_and_on_costs_what_it_takes() {
    let (mut ioc, mut honest, mut hostile) = crowded();
    let mut bytes = Vec::new();
    for _ in 0..2000 {
        tcp::Request::EventsOff {}.encode_into(&mut bytes);
        tcp::Request::EventsOn {}.encode_into(&mut bytes);
    }
    // Each looks at every one of 11 000 rings.
    let done = ioc.handle_chunk(NOW, hostile.id, &mut hostile.deframer, &bytes);
    assert!(done.unwrap() / 16 < 100, "requests in one turn");
    assert!(honest.read(&mut ioc));
}

#[test]
fn opening_channels_ends_a_turn_before_a_chunk_is_through() {
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut peer = Peer::new(&mut ioc);
    let mut bytes = Vec::new();
    for n in 0..2000 {
        let name = format!("x.VAL[{n}]");
        tcp::Request::CreateChan {
            cid: Cid(n),
            minor: Minor::CURRENT,
            name: Text::new(name.as_bytes()),
        }
        .encode_into(&mut bytes);
    }
    ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &bytes)
        .unwrap();
    assert!(ioc.counts().channels < 1000);
}

/// Rights that are withdrawn while a put waits for another client's.
#[test]
fn a_put_that_waited_is_refused_if_rights_were_withdrawn_meanwhile() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let slow = PvSpec::double(0.0).completes_never();
    let mut ioc = start(Ioc::builder().pv("slow", slow).put_log(move |put| {
        lines.lock().unwrap().push(put.outcome);
    }));
    let (mut first, mut second) = (Peer::new(&mut ioc), Peer::new(&mut ioc));
    let data = [1.0_f64, 2.0].map(f64::to_be_bytes);
    for (peer, data) in [(&mut first, &data[0]), (&mut second, &data[1])] {
        peer.create(&mut ioc, ["slow".to_owned()]);
        peer.send(&mut ioc, [put_notify(0, 1, data)]);
        peer.heard.clear();
    }
    ioc.set_rights(NOW, "slow", AccessRights::READ).unwrap();
    assert!(ioc.finish_put(NOW, "slow", EcaStatus::NORMAL).unwrap());
    assert_eq!(ioc.number("slow").unwrap(), 1.0, "not carried out");
    second.listen(&mut ioc);
    assert!(
        second
            .heard
            .contains(&(Command::WRITE_NOTIFY, EcaStatus::NOWTACCESS.0))
    );
    assert!(
        !ioc.finish_put(NOW, "slow", EcaStatus::NORMAL).unwrap(),
        "nothing is under way"
    );
    let last = log.lock().unwrap().last().copied();
    assert_eq!(last, Some(PutOutcome::Done(EcaStatus::NOWTACCESS)));
}

/// A short request that asks for a million texts: they are made in turns, and none before its time.
#[test]
fn a_large_value_in_another_type_is_converted_in_turns() {
    const LEN: usize = 300_000;
    let values: Vec<f64> = (0..LEN).map(|n| n as f64 * 0.25).collect();
    let mut ioc = start(Ioc::builder().pv("w", PvSpec::array(values).precision(2)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    for family in [Family::Plain, Family::Time, Family::Ctrl] {
        for native in [NativeType::String, NativeType::Float] {
            let mut peer = Peer::new(&mut ioc);
            peer.create(&mut ioc, ["w".to_owned()]);
            let ty = DbrType::new(family, native);
            let mut bytes = Vec::new();
            tcp::Request::ReadNotify {
                ty,
                count: LEN as u32,
                sid: Sid(0),
                ioid: Ioid(9),
            }
            .encode_into(&mut bytes);
            let asked = measure(|| {
                let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &bytes);
                assert_eq!(done.unwrap(), bytes.len());
            });
            assert!(
                asked.bytes_total < 1 << 18,
                "{} bytes at once",
                asked.bytes_total
            );
            assert!(!ioc.is_readable(peer.id), "it waits for its reply");
            let mut made = Vec::new();
            while ioc.has_work() {
                let turn = measure(|| ioc.work(NOW));
                assert!(
                    turn.bytes_total < 1 << 21,
                    "{} bytes in a turn",
                    turn.bytes_total
                );
                assert!(honest.read(&mut ioc));
            }
            while let Some(queue) = ioc.transmit(peer.id) {
                if queue.is_empty() {
                    break;
                }
                made.extend(queue.to_vec());
                queue.clear();
            }
            let mut expected = Vec::new();
            let state = ioc.read("w").unwrap();
            state.encode(ty, LEN as u32, &mut expected).unwrap();
            let (header, len) = Header::decode(&made, true).unwrap();
            assert_eq!(
                (header.command, header.p1, header.p2),
                (Command::READ_NOTIFY, 1, 9)
            );
            assert_eq!(header.payload_len as usize, made.len() - len);
            assert!(made[len..].starts_with(&expected), "{ty}");
            ioc.handle_closed(NOW, peer.id);
        }
    }
    // What cannot be converted is told as ever.
    let texts: Vec<String> = (0..5000)
        .map(|n| {
            if n == 4000 {
                "no number".into()
            } else {
                n.to_string()
            }
        })
        .collect();
    ioc.add(NOW, "names", PvSpec::strings(&texts)).unwrap();
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["names".to_owned()]);
    peer.heard.clear();
    peer.send(
        &mut ioc,
        [tcp::Request::ReadNotify {
            ty: DOUBLE,
            count: 5000,
            sid: Sid(0),
            ioid: Ioid(1),
        }],
    );
    while ioc.has_work() {
        ioc.work(NOW);
    }
    peer.listen(&mut ioc);
    assert_eq!(peer.heard, [(Command::READ_NOTIFY, EcaStatus::GETFAIL.0)]);
}

/// The text of each number, as a client sends them.
fn texts(numbers: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let mut text = number.to_string().into_bytes();
        text.resize(40, 0);
        bytes.extend(text);
    }
    bytes
}

const TEXTS: u32 = 20_000;

fn put_texts(notify: bool, data: &[u8]) -> tcp::Request<'_> {
    let (ty, sid) = (DbrType::new(Family::Plain, NativeType::String), Sid(0));
    let count = (data.len() / 40) as u32;
    match notify {
        true => tcp::Request::WriteNotify {
            ty,
            count,
            sid,
            ioid: Ioid(7),
            data: Data(data),
        },
        false => tcp::Request::Write {
            ty,
            count,
            sid,
            cid: Cid(0),
            data: Data(data),
        },
    }
}

/// An IOC whose log counts puts that were carried out and those that were not, an honest client, and
/// one that has written texts to an array of numbers, which are not converted yet.
fn written(notify: bool, data: &[u8]) -> (Ioc, Arc<[AtomicUsize; 2]>, Peer, Peer) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let log = Arc::clone(&counts);
    let pv = PvSpec::array(vec![0.5f64; TEXTS as usize]);
    let mut ioc = start(Ioc::builder().pv("w", pv).put_log(move |put| {
        log[usize::from(!put.carried_out)].fetch_add(1, Ordering::Relaxed);
    }));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["w".to_owned()]);
    peer.heard.clear();
    let mut bytes = Vec::new();
    put_texts(notify, data).encode_into(&mut bytes);
    let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &bytes);
    assert_eq!(done.unwrap(), bytes.len());
    assert_eq!(ioc.number("w").unwrap(), 0.5, "nothing yet");
    assert!(!ioc.is_readable(peer.id), "what follows comes behind it");
    (ioc, counts, honest, peer)
}

fn logged(counts: &[AtomicUsize; 2]) -> [usize; 2] {
    [0, 1].map(|at| counts[at].load(Ordering::Relaxed))
}

#[test]
fn a_large_put_in_another_type_is_converted_in_turns() {
    for notify in [false, true] {
        let data = texts(0..TEXTS);
        let (mut ioc, log, mut honest, mut peer) = written(notify, &data);
        let mut turns = 0;
        while ioc.has_work() {
            assert_eq!(logged(&log), [0, 0]);
            ioc.work(NOW);
            assert!(honest.read(&mut ioc));
            turns += 1;
        }
        assert!(turns >= TEXTS as usize / MOST, "{turns} turns");
        let expected: Vec<f64> = (0..TEXTS).map(f64::from).collect();
        assert_eq!(ioc.read("w").unwrap().value, Value::from(expected));
        assert_eq!(logged(&log), [1, 0]);
        peer.listen(&mut ioc);
        let answer = (Command::WRITE_NOTIFY, EcaStatus::NORMAL.0);
        assert_eq!(peer.heard, vec![answer; usize::from(notify)]);
        assert!(ioc.is_readable(peer.id));
        ioc.handle_closed(NOW, peer.id);
        ioc.handle_closed(NOW, honest.id);
        assert_eq!(ioc.stats().bytes, 0);
    }
}

#[test]
fn a_large_put_that_cannot_be_converted_changes_nothing() {
    for notify in [false, true] {
        let mut data = texts(0..TEXTS);
        let at = 40 * (TEXTS as usize - 1);
        data[at..at + 4].copy_from_slice(b"none");
        let (mut ioc, log, _, mut peer) = written(notify, &data);
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!(ioc.number("w").unwrap(), 0.5);
        assert_eq!(logged(&log), [0, 1]);
        peer.listen(&mut ioc);
        let command = [Command::ERROR, Command::WRITE_NOTIFY][usize::from(notify)];
        assert_eq!(peer.heard.len(), 1);
        assert_eq!(peer.heard[0].0, command);
    }
}

#[test]
fn what_happens_while_a_large_put_is_converted_counts() {
    for notify in [false, true] {
        let data = texts(0..TEXTS);
        // Rights that are withdrawn.
        let (mut ioc, log, _, mut peer) = written(notify, &data);
        ioc.set_rights(NOW, "w", AccessRights::READ).unwrap();
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!((ioc.number("w").unwrap(), logged(&log)), (0.5, [0, 1]));
        peer.listen(&mut ioc);
        let refused = (Command::WRITE_NOTIFY, EcaStatus::NOWTACCESS.0);
        assert_eq!(peer.heard.contains(&refused), notify);
        // A client that goes.
        let (mut ioc, log, _, peer) = written(notify, &data);
        ioc.handle_closed(NOW, peer.id);
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!((ioc.number("w").unwrap(), logged(&log)), (0.5, [0, 1]));
        // A PV that goes.
        let (mut ioc, log, ..) = written(notify, &data);
        ioc.remove(NOW, "w");
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!(logged(&log), [0, 1]);
    }
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

/// Texts are sent with their end: also those of an array that is asked for as it is.
#[test]
fn a_large_array_of_texts_is_read_and_written_in_turns() {
    const LEN: u32 = 100_000;
    let string = DbrType::new(Family::Plain, NativeType::String);
    let names: Vec<String> = (0..LEN).map(|n| format!("n{n}")).collect();
    let numbers = PvSpec::array(vec![0.5; LEN as usize]);
    let mut ioc = start(
        Ioc::builder()
            .pv("names", PvSpec::strings(&names))
            .pv("w", numbers),
    );
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    for (name, ty) in [
        ("names", string),
        ("names", DbrType::new(Family::Time, NativeType::String)),
        ("names", DbrType::STSACK_STRING),
        ("w", DbrType::STSACK_STRING),
    ] {
        let mut peer = Peer::new(&mut ioc);
        peer.create(&mut ioc, [name.to_owned()]);
        let mut bytes = Vec::new();
        ask(Command::READ_NOTIFY, ty, LEN).encode_into(&mut bytes);
        let made = made_in_turns(&mut ioc, &mut honest, &mut peer, &bytes);
        let mut expected = Vec::new();
        (ioc.read(name).unwrap().encode(ty, LEN, &mut expected)).unwrap();
        // The payload is padded.
        expected.resize(expected.len().next_multiple_of(8), 0);
        assert!(made == expected, "{name} {ty}");
        ioc.handle_closed(NOW, peer.id);
    }
    let data = texts(0..LEN);
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["names".to_owned()]);
    let mut bytes = Vec::new();
    put_texts(false, &data).encode_into(&mut bytes);
    received(&mut ioc, &mut honest, &mut peer, bytes, data.len());
    let expected: Vec<String> = (0..LEN).map(|n| n.to_string()).collect();
    assert_eq!(ioc.read("names").unwrap().value, Value::strings(&expected));
}

/// A long write, which is received piece by piece in memory of its own. Where it is not kept as it is, it
/// is made in turns, in memory that is set apart before.
fn received(ioc: &mut Ioc, honest: &mut Peer, peer: &mut Peer, mut bytes: Vec<u8>, made: usize) {
    let rest = bytes.split_off(bytes.len() - 8);
    peer.feed(ioc, &bytes);
    let put = measure(|| {
        let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &rest);
        assert_eq!(done.unwrap(), rest.len());
    });
    let most = (1 << 16) + made as u64;
    assert!(put.bytes_total < most, "{} bytes at once", put.bytes_total);
    assert_eq!(ioc.has_work(), made > 0, "made in turns");
    made_in_turns(ioc, honest, peer, &[]);
}

/// A large value that is written as it is becomes that of the PV without a copy, and what has to be copied
/// is copied in turns.
#[test]
fn a_large_put_in_the_type_of_the_pv_is_not_copied_at_once() {
    const LEN: u32 = 1_000_000;
    let data: Vec<u8> = (0..LEN).flat_map(|n| f64::from(n).to_be_bytes()).collect();
    // All of it, and a small part of a long message.
    for (count, notify) in [(LEN, false), (LEN, true), (300_000, false), (300_000, true)] {
        let mut ioc = start(Ioc::builder().pv("w", PvSpec::array(vec![0.5; LEN as usize])));
        let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
        honest.create(&mut ioc, ["w".to_owned()]);
        let mut peer = Peer::new(&mut ioc);
        peer.create(&mut ioc, ["w".to_owned()]);
        let request = match notify {
            true => tcp::Request::WriteNotify {
                ty: DOUBLE,
                count,
                sid: Sid(0),
                ioid: Ioid(1),
                data: Data(&data),
            },
            false => tcp::Request::Write {
                ty: DOUBLE,
                count,
                sid: Sid(0),
                cid: Cid(0),
                data: Data(&data),
            },
        };
        let mut bytes = Vec::new();
        request.encode_into(&mut bytes);
        let made = if count == LEN { 0 } else { 8 * count as usize };
        received(&mut ioc, &mut honest, &mut peer, bytes, made);
        let expected: Vec<f64> = (0..count).map(f64::from).collect();
        assert!(ioc.read("w").unwrap().value == Value::from(expected));
    }
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

fn ask(command: Command, ty: DbrType, count: u32) -> tcp::Request<'static> {
    let sid = Sid(0);
    match command {
        Command::READ_NOTIFY => tcp::Request::ReadNotify {
            ty,
            count,
            sid,
            ioid: Ioid(9),
        },
        Command::READ => tcp::Request::Read {
            ty,
            count,
            sid,
            ioid: Ioid(9),
        },
        _ => tcp::Request::EventAdd {
            ty,
            count,
            sid,
            subid: SubId(9),
            mask: EventMask::VALUE,
        },
    }
}

/// Hands a request in, and works until nothing is left. No call makes much at once, and the honest client is
/// served in between. Returns what is sent behind the header.
fn made_in_turns(ioc: &mut Ioc, honest: &mut Peer, peer: &mut Peer, bytes: &[u8]) -> Vec<u8> {
    let mut most = 0;
    let mut call = |work: &mut dyn FnMut()| {
        let call = measure(work);
        most = most.max(call.bytes_total);
    };
    let mut made = Vec::new();
    call(&mut || {
        let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, bytes);
        assert_eq!(done.unwrap(), bytes.len());
    });
    loop {
        call(&mut || ioc.work(NOW));
        assert!(honest.read(ioc));
        call(&mut || {
            ioc.transmit(peer.id);
        });
        let queue = ioc.transmit(peer.id).unwrap();
        made.extend(queue.to_vec());
        let sent = !queue.is_empty();
        queue.clear();
        if !ioc.has_work() && !sent {
            break;
        }
    }
    assert!(most < 1 << 21, "{most} bytes at once");
    match Header::decode(&made, true) {
        Some((header, len)) => {
            assert_eq!(header.payload_len as usize, made.len() - len);
            made.split_off(len)
        }
        None => made,
    }
}
