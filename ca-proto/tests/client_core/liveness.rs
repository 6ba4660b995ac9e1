//! Silence, recovery, beacons and flow control (`tcpRecvWatchdog` and `tcpiiu::processIncoming` of EPICS Base).

use ca_proto::EcaStatus;
use ca_proto::client::{
    ChannelState, CloseReason, Event, Lifecycle, More, OpError, Token, Trouble,
};
use ca_proto::config::ClientParams;
use ca_proto::dbr::DbrType;
use ca_proto::ids::CircuitId;
use ca_proto::wire::message::{Data, ErrorBody};
use ca_proto::wire::{Command, Header, tcp};

use crate::rig::*;

const ECHO: &str = "ECHO data_type=0 count=0 p1=0 p2=0 data=0B";

const fn echo() -> tcp::Response<'static> {
    tcp::Response::Echo {
        data_type: 0,
        count: 0,
        p1: 0,
        p2: 0,
        data: Data(&[]),
    }
}

fn three_seconds() -> ClientParams {
    params().connection_timeout(secs(3))
}

/// Lets the circuit become unresponsive: ECHO after 3 s of silence, unanswered for 5 s.
fn silence(rig: &mut Rig, c: CircuitId) {
    let from = rig.now.as_nanos() / 1_000_000;
    rig.run_until(from + 2_999);
    assert_eq!(rig.sent(c), [""; 0]);
    rig.run_until(from + 3_000);
    assert_eq!(rig.sent(c), [ECHO]);
    rig.run_until(from + 7_999);
    assert_eq!(rig.events(), []);
    rig.run_until(from + 8_000);
    assert_eq!(rig.sent(c), [ECHO], "one more, 4.8");
}

/// Traps 24, 25, 26, 28.
#[test]
fn trap_26_unresponsive_and_back_on_the_same_circuit() {
    let mut rig = Rig::with(three_seconds());
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    let ioid = rig.read(cid, 2);
    rig.bytes(c);
    silence(&mut rig, c);
    let addr = SERVER;
    let why = Trouble::Unresponsive;
    assert_eq!(
        rig.events(),
        [
            Event::Unresponsive { circuit: c, addr },
            Event::Disconnected { cid, why }
        ]
    );
    let down = Heard::Life(1, Lifecycle::Disconnected);
    assert_eq!(rig.heard(), [Heard::Disconnected(2), down]);
    let view = rig.client.channel(cid).unwrap();
    assert!(matches!(view.state, ChannelState::Unresponsive(x) if x.server == SERVER));
    assert_eq!(view.trouble, Some(why));
    // Updates are dropped, requests refused, nothing is sent or searched.
    rig.feed(c, &[update(subid), read_reply(ioid)]);
    assert_eq!(rig.heard(), []);
    let spec = ca_proto::client::ReadSpec {
        ty: time_doubles(1).ty,
        count: 1,
    };
    let refused = rig.client.read(rig.now, cid, spec, Token(3), None);
    assert_eq!(refused, Err(OpError::NotConnected));
    assert_eq!(rig.search_times_until(60_000), [0; 0]);
    assert_eq!(rig.sent(c), [""; 0]);
    // One late answer asks once more, the second one is believed.
    let late = rig.subscribe(cid, 4);
    rig.feed(c, &[echo()]);
    assert_eq!(rig.sent(c), [ECHO]);
    assert_eq!(rig.events(), []);
    rig.feed(c, &[echo()]);
    assert_eq!(
        rig.events(),
        [
            Event::Responsive { circuit: c, addr },
            Event::Connected { cid }
        ]
    );
    let up = |token| Heard::Life(token, Lifecycle::Connected);
    assert_eq!(rig.heard(), [up(1), up(4)]);
    let sent = rig.sent(c);
    let [refresh, add] = &sent[..] else {
        panic!("{sent:?}");
    };
    let (prefix, refresh) = refresh.rsplit_once('=').unwrap();
    assert_eq!(prefix, "READ_NOTIFY ty=DBR_TIME_DOUBLE count=1 sid=1 ioid");
    let mask = "mask=VALUE";
    assert_eq!(
        *add,
        format!("EVENT_ADD ty=DBR_TIME_DOUBLE count=1 sid=1 subid={late} {mask}")
    );
    // The answer to the refresh is an update.
    rig.feed(
        c,
        &[tcp::Response::ReadNotify {
            ty: TIME_DOUBLE,
            count: 1,
            status: EcaStatus::NORMAL,
            ioid: ca_proto::ids::Ioid(refresh.parse().unwrap()),
            data: Data(&[0; 24]),
        }],
    );
    assert_eq!(rig.heard(), [updated(1)]);
    rig.client.unsubscribe(rig.now, subid);
    assert_eq!(
        rig.sent(c),
        [format!(
            "EVENT_CANCEL ty=DBR_TIME_DOUBLE count=1 sid=1 subid={subid}"
        )]
    );
}

/// "peer closed; no second DOWN"; the subscription comes back on the next circuit.
#[test]
fn an_unresponsive_circuit_that_ends_tells_nothing_twice() {
    let mut rig = Rig::with(three_seconds());
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    rig.bytes(c);
    silence(&mut rig, c);
    rig.events();
    rig.heard();
    rig.closed(c, CloseReason::Reset);
    let why = CloseReason::Reset;
    let addr = SERVER;
    assert_eq!(
        rig.events(),
        [Event::CircuitClosed {
            circuit: c,
            addr,
            why
        }]
    );
    assert_eq!(rig.heard(), []);
    assert_eq!(rig.search_times_until(10_000), [10_000]);
    rig.found(cid, SERVER);
    let d = rig.dialled();
    rig.connected(d);
    rig.bytes(d);
    rig.feed(d, &created(cid, 5));
    assert_eq!(rig.heard(), [Heard::Life(1, Lifecycle::Connected)]);
    let mask = "mask=VALUE";
    assert_eq!(
        rig.sent(d),
        [format!(
            "EVENT_ADD ty=DBR_TIME_DOUBLE count=1 sid=5 subid={subid} {mask}"
        )]
    );
}

/// A channel whose creation is answered while the circuit is unresponsive.
#[test]
fn a_channel_created_in_bad_times_connects_with_the_recovery() {
    let mut rig = Rig::with(three_seconds());
    let (_, c) = rig.connect("X", 1);
    let cid = rig.open("Y");
    rig.subscribe(cid, 1);
    rig.datagrams();
    silence(&mut rig, c);
    rig.found(cid, SERVER);
    rig.events();
    rig.heard();
    rig.bytes(c);
    rig.feed(c, &created(cid, 2));
    assert_eq!(rig.events(), []);
    assert_eq!(rig.bytes(c), []);
    rig.feed(c, &[echo(), echo()]);
    let connected = Event::Connected { cid };
    assert!(rig.events().contains(&connected));
    assert_eq!(rig.heard(), [Heard::Life(1, Lifecycle::Connected)]);
}

/// READ_SYNC to servers below 4.3.
#[test]
fn very_old_servers_are_probed_with_read_sync() {
    let mut rig = Rig::with(three_seconds());
    let (_, c) = rig.connect("X", 1);
    rig.feed(c, &[version(2)]);
    rig.run_until(3_000);
    assert_eq!(rig.sent(c), ["READ_SYNC data_type=0 count=0 p1=0 p2=0"]);
    rig.feed(
        c,
        &[tcp::Response::ReadSync {
            data_type: 0,
            count: 0,
            p1: 0,
            p2: 0,
        }],
    );
    rig.run_until(5_999);
    assert_eq!(rig.events(), []);
}

/// "beacons every 15 s suppress ECHO"; with T = 30 the first two beacons are not
/// trusted. Traps 17 and 24.
#[test]
fn trap_24_beacons_suppress_the_echo() {
    let mut rig = Rig::new();
    let (_, c) = rig.connect("X", 1);
    let mut echoes = vec![];
    for second in 0..600 {
        rig.run_until(1_000 * second);
        if rig.sent(c).contains(&ECHO.to_owned()) {
            rig.feed(c, &[echo()]);
            echoes.push(second);
        }
        if second % 15 == 7 {
            rig.beacon(SERVER, (second / 15) as u32);
        }
    }
    assert_eq!(echoes, [30]);
}

/// The send watchdog.
#[test]
fn a_server_that_does_not_read_is_unresponsive() {
    let mut rig = Rig::with(three_seconds());
    let (cid, c) = rig.connect("X", 1);
    rig.run_until(1_000);
    rig.subscribe(cid, 1);
    for second in 2..4 {
        rig.run_until(second * 1_000);
        rig.feed(c, &[version(13)]);
    }
    assert_eq!(rig.events(), []);
    rig.run_until(4_000);
    let unresponsive = Event::Unresponsive {
        circuit: c,
        addr: SERVER,
    };
    assert_eq!(rig.events()[0], unresponsive);
}

#[test]
fn trap_42_flow_control() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    rig.bytes(c);
    let mut chunk = vec![];
    update(subid).encode_into(&mut chunk);
    for n in 1..=20 {
        rig.chunk(c, &chunk, More::Maybe).unwrap();
        let expected: &[&str] = if n == 10 { &["EVENTS_OFF"] } else { &[] };
        assert_eq!(rig.sent(c), expected, "{n}");
    }
    rig.chunk(c, &chunk, More::Drained).unwrap();
    assert_eq!(rig.sent(c), ["EVENTS_ON"]);
    assert_eq!(rig.heard().len(), 21);
    for _ in 0..20 {
        // Pieces of a large payload, read into the deframer's buffer.
        rig.chunk(c, &[], More::Maybe).unwrap();
    }
    assert_eq!(rig.sent(c), [""; 0]);
    // Large updates one behind the other: the first piece of each fills a read as well.
    let mut large = vec![];
    tcp::Response::EventAdd {
        ty: DbrType(4),
        count: 100_000,
        status: EcaStatus::NORMAL,
        subid,
        data: Data(&[7; 100_000]),
    }
    .encode_into(&mut large);
    let before = rig.heard().len();
    for _ in 0..20 {
        rig.chunk(c, &large[..65_536], More::Maybe).unwrap();
        rig.body(c, 7);
        rig.chunk(c, &[], More::Maybe).unwrap();
    }
    assert_eq!(rig.heard().len() - before, 20);
    assert_eq!(rig.sent(c), [""; 0]);
}

/// The `ioid` of the read that refreshes subscription 1 once the server answers again.
fn refreshed(rig: &mut Rig, c: CircuitId) -> u32 {
    silence(rig, c);
    rig.feed(c, &[echo()]);
    rig.feed(c, &[echo()]);
    rig.events();
    rig.heard();
    let sent = rig.sent(c);
    let refresh = sent.last().and_then(|line| line.rsplit_once("ioid="));
    refresh.expect("a READ_NOTIFY").1.parse().unwrap()
}

/// A refresh that the server refuses is told like an update that it refuses: its reader does not wait for
/// a value that never comes.
#[test]
fn a_refresh_that_is_refused_is_told() {
    let mut rig = Rig::with(three_seconds());
    let (cid, c) = rig.connect("X", 1);
    rig.subscribe(cid, 1);
    rig.bytes(c);
    let request = Header {
        data_type: TIME_DOUBLE.0,
        count: 1,
        p1: 1,
        p2: refreshed(&mut rig, c),
        ..Header::new(Command::READ_NOTIFY)
    };
    let error = tcp::Response::Error {
        cid,
        status: EcaStatus::GETFAIL,
        body: ErrorBody::new(request, "no"),
    };
    rig.feed(c, &[error]);
    let told = rig.heard();
    let [Heard::Update(1, _, _, EcaStatus::GETFAIL, _)] = told[..] else {
        panic!("{told:?}");
    };
}

/// The same for one whose value is above the client's own limit: its payload is skipped, the circuit goes
/// on (`rsrv_init` of EPICS Base).
#[test]
fn a_refresh_that_is_too_large_is_told() {
    let mut rig = Rig::with(three_seconds().max_array_bytes(Some(16_384)));
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    rig.bytes(c);
    let ioid = refreshed(&mut rig, c);
    let mut large = hex("000fffff 00140000 00000001");
    large.extend(ioid.to_be_bytes());
    large.extend(hex("00010000 00002000"));
    large.resize(24 + 0x1_0000, 0);
    rig.chunk(c, &large, More::Drained).unwrap();
    rig.feed(c, &[update(subid)]);
    let told = rig.heard();
    let [Heard::Update(1, _, _, EcaStatus::TOLARGE, _), ref next] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(*next, updated(1));
}

/// An oversized message that nobody waits for is skipped in silence.
#[test]
fn an_oversized_message_of_another_kind_is_skipped() {
    let mut rig = Rig::with(params().max_array_bytes(Some(16_384)));
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    let mut large = hex("0017ffff 00000000 00000000 00000000 00010000 00000000");
    large.resize(24 + 0x1_0000, 0);
    rig.chunk(c, &large, More::Drained).unwrap();
    rig.feed(c, &[update(subid)]);
    assert_eq!(rig.heard(), [updated(1)]);
    assert_eq!(rig.events(), []);
}
