//! What the owner of a circuit asks and tells it beside frames: looking ahead, refusing, posting through a
//! full ring, giving memory back, and errors that only datagrams have.

mod server_rig;

use std::sync::Arc;

use ca_proto::EcaStatus;
use ca_proto::config::ServerParams;
use ca_proto::ids::CircuitId;
use ca_proto::server::{AHEAD, Circuit, Database, Endpoint, Limit, PvId, SubKey, Update};
use ca_proto::time::Instant;
use ca_proto::wire::FrameError;
use server_rig::{
    Completion, PEER, Rig, TestDb, VALUE, bytes, event_add, messages, params, read_notify,
    subscribed, text_payload,
};

/// A connection that is one too many gets the version and an `ERROR` that belongs to no channel
/// (`send_err` of EPICS Base), so that the client's user sees a reason.
#[test]
fn a_refused_connection_is_told_why() {
    let all = messages(&Circuit::refusal(Limit::CircuitsPerHost));
    let [version, error] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!((version.command, version.count), (0, 13));
    let maxioc = EcaStatus::MAXIOC.0;
    assert_eq!(
        (error.command, error.p1, error.p2),
        (11, 0xffff_ffff, maxioc)
    );
    assert_eq!(error.text(), Limit::CircuitsPerHost.to_string());
}

#[test]
fn a_look_ahead_names_the_pvs_of_reads_and_writes() {
    let mut rig = Rig::new();
    rig.create(0, 1, "dval");
    rig.create(1, 2, "slow");
    let look = |rig: &Rig, text: &str| {
        let mut pvs = [PvId(0); AHEAD];
        let (requests, found) = rig.circuit.look_ahead(&bytes(text), &mut pvs);
        (requests, pvs[..found].to_vec())
    };
    let (dval, slow) = (rig.db.pv("dval"), rig.db.pv("slow"));
    let read = read_notify(6, 1, 0, 1);
    let write = "00040008 00050001 00000001 00000002 00000001 00000000";
    let unknown = read_notify(6, 1, 9, 3);
    let echo = "00170000 00000000 00000000 00000000";
    let all = format!("{read}{write}{unknown}{echo}{read}");
    // It ends at what is neither, and an unknown channel is passed over.
    assert_eq!(look(&rig, &all), (4, vec![dval, slow]));
    // A header that is cut is none; a payload that is cut ends the look.
    assert_eq!(look(&rig, &read[..20]), (0, vec![]));
    assert_eq!(look(&rig, &write[..36]), (1, vec![slow]));
    let many = read.repeat(AHEAD + 5);
    assert_eq!(look(&rig, &many), (AHEAD, vec![dval; AHEAD]));
}

#[test]
fn a_subscription_is_touched_by_its_key() {
    let rig = subscribed(3);
    let keys: Vec<SubKey> = rig.db.subs.iter().map(|sub| sub.1.key).collect();
    assert_eq!(rig.circuit.touch(keys[2]), 2);
    assert_eq!(rig.circuit.touch(SubKey(u32::MAX)), 0);
    assert_eq!(rig.circuit.id(), CircuitId(7));
}

/// With `post` an update of a full ring takes the place of the last one; `post_through` sends what waits
/// first, as the reference's event task does that runs beside (`db_queue_event_log` of EPICS Base).
#[test]
fn posting_through_loses_nothing_while_there_is_room_to_send() {
    let small = || params().event_ring_entries(6).replace_when_free(4);
    let post = |through: bool| {
        let mut rig = Rig::with(small());
        rig.create(0, 1, "ival");
        rig.ask(&event_add(5, 1, 0, 0, 1));
        let key = rig.only_sub();
        let gone = SubKey(u32::MAX);
        for n in 1..=10 {
            rig.db.get("ival").now.value = n.into();
            let state = rig.db.read(rig.db.pv("ival"));
            let update = Update::new(&state);
            match through {
                true => {
                    rig.circuit.post_through(key, update, &rig.db);
                    rig.circuit.post_through(gone, update, &rig.db);
                }
                false => rig.circuit.post(key, &state),
            }
        }
        server_rig::values(&mut rig)
    };
    assert_eq!(post(true), (1..=10).collect::<Vec<_>>());
    let squashed = post(false);
    assert!(
        squashed.len() < 10 && squashed.last() == Some(&10),
        "{squashed:?}"
    );
}

/// A circuit in flow control (`EVENTS_OFF`) keeps what it is told to keep, also with `post_through`.
#[test]
fn posting_through_does_not_send_while_updates_are_off() {
    let mut rig = Rig::with(params().event_ring_entries(6).replace_when_free(4));
    rig.create(0, 1, "ival");
    rig.ask(&event_add(5, 1, 0, 0, 1));
    rig.send("00080000 00000000 00000000 00000000").unwrap();
    let key = rig.only_sub();
    for n in 1..=10 {
        rig.db.get("ival").now.value = n.into();
        let update = Update::new(&rig.db.read(rig.db.pv("ival")));
        rig.circuit.post_through(key, update, &rig.db);
    }
    // `EVENTS_ON`.
    rig.send("00090000 00000000 00000000 00000000").unwrap();
    assert_eq!(server_rig::values(&mut rig).last(), Some(&10));
}

#[test]
fn memory_of_a_burst_is_given_back_and_the_circuit_goes_on() {
    let mut rig = subscribed(40);
    for round in 0..3 {
        for n in 0..40 {
            let name: &'static str = format!("pv{n}").leak();
            rig.post(name, round, VALUE);
        }
    }
    // Nothing is lost by a release at the wrong time.
    rig.circuit.release();
    assert_eq!(server_rig::updates(&mut rig).len(), 120);
    assert!(rig.circuit.transmit(&rig.db).capacity() > 0);
    rig.circuit.release();
    assert_eq!(rig.circuit.transmit(&rig.db).capacity(), 0);
    rig.post("pv1", 9, VALUE);
    assert_eq!(server_rig::updates(&mut rig), [(1, 9)]);
}

/// A place in a full ring that becomes free is given to the next subscription.
#[test]
fn a_cancelled_subscription_leaves_its_place_in_the_ring() {
    let mut rig = Rig::with(params().subscriptions_per_ring(2));
    rig.create(0, 1, "ival");
    for subid in 0..4 {
        rig.ask(&event_add(5, 1, 0, subid, 1));
    }
    // The first ring was full.
    rig.ask(&format!("0002{}", &event_add(5, 1, 0, 0, 1)[4..]));
    rig.ask(&event_add(5, 1, 0, 9, 1));
    rig.post("ival", 3, VALUE);
    let mut who: Vec<u32> = server_rig::updates(&mut rig).iter().map(|u| u.0).collect();
    who.sort_unstable();
    assert_eq!(who, [1, 2, 3, 9]);
}

#[test]
fn a_limit_is_there_until_it_is_taken() {
    let mut rig = Rig::with(params().max_channels_per_circuit(0));
    assert!(!rig.circuit.has_met_limit());
    rig.ask(&server_rig::create(1, "ival"));
    assert!(rig.circuit.has_met_limit());
    assert_eq!(rig.circuit.take_limit(), Some(Limit::Channels));
    assert!(!rig.circuit.has_met_limit());
}

/// Streams have no truncated frames; a driver that reports one does no harm.
#[test]
fn an_error_of_datagrams_ends_no_circuit() {
    let mut rig = Rig::new();
    let handled = rig
        .circuit
        .handle_frame(rig.now, &Err(FrameError::Truncated), &mut rig.db);
    assert_eq!(handled, Ok(()));
    let echo = "00170000 00000000 00000000 00000000";
    rig.exchange(echo, echo);
}

/// A search over TCP that is above the array limit is answered under the client's name of the channel.
#[test]
fn an_oversized_search_is_refused_under_its_cid() {
    let mut rig = Rig::with(params().max_array_bytes(Some(16_384)));
    rig.feed(&bytes(
        "0006ffff 000a000d 00000077 00000077 00010000 00000000",
    ))
    .unwrap();
    let all = rig.take_messages();
    let [error] = &all[..] else {
        panic!("{all:?}");
    };
    let tolarge = EcaStatus::TOLARGE.0;
    assert_eq!((error.command, error.p1, error.p2), (11, 0x77, tolarge));
    assert_eq!(rig.circuit.take_limit(), Some(Limit::FrameSize));
}

/// A name server's client may ask for nothing: it gets no answer and stays connected.
#[test]
fn a_search_over_tcp_without_a_name_is_not_answered() {
    let mut rig = Rig::new();
    let empty = "00060008 000a000d 00000005 00000005 00000000 00000000";
    assert_eq!(rig.ask(empty), "");
    let echo = "00170000 00000000 00000000 00000000";
    rig.exchange(echo, echo);
}

/// An `ECHO` is mirrored with its payload (`tcp_echo_action` of EPICS Base), also one that is large and came in
/// pieces.
#[test]
fn a_large_echo_comes_back_whole() {
    let mut rig = Rig::new();
    let mut echo = bytes("0017ffff 00000000 00000000 00000000 00010000 00000000");
    echo.extend((0..0x1_0000u32).map(|n| n as u8));
    let (first, rest) = echo.split_at(1000);
    rig.feed(first).unwrap();
    rig.feed(rest).unwrap();
    assert_eq!(rig.take_bytes(), echo);
}

/// A database that knows nothing of shared buffers is given the value as always.
#[test]
fn a_large_write_in_pieces_reaches_any_database() {
    let mut rig = Rig::new();
    rig.create(0, 1, "text");
    let mut write = bytes("0004ffff 00040000 00000000 00000001 00008000 00008000");
    write.resize(24 + 0x8000, b'y');
    let (first, rest) = write.split_at(500);
    rig.feed(first).unwrap();
    rig.feed(rest).unwrap();
    assert_eq!(rig.take(), "");
    let value = &rig.db.get("text").now.value;
    assert_eq!(*value, vec![b'y'; 0x8000].into());
}

/// Nobody waits for a plain write, so there is nothing to say when the database begins it only.
#[test]
fn a_plain_write_that_takes_time_is_not_answered() {
    let mut rig = Rig::new();
    rig.db.get("ival").completion = Completion::LaterAlways;
    rig.create(0, 1, "ival");
    assert_eq!(
        rig.ask("00040008 00050001 00000000 00000001 00000007 00000000"),
        ""
    );
    assert_eq!(rig.db.get("ival").now.value, 7.into());
}

#[test]
fn time_does_nothing_to_a_circuit() {
    let mut rig = subscribed(1);
    assert_eq!(rig.circuit.poll_timeout(), None);
    rig.circuit.handle_timeout(Instant::MAX, &mut rig.db);
    assert!(!rig.circuit.has_output());
}

/// Without destinations no beacon is made, whatever time it is.
#[test]
fn an_endpoint_without_beacon_addresses_is_silent() {
    let mut endpoint = Endpoint::new(Arc::new(ServerParams::default()), 5064, Instant::ZERO);
    assert_eq!(endpoint.poll_timeout(), None);
    endpoint.handle_timeout(Instant::MAX);
    assert_eq!(endpoint.poll_transmit(Instant::MAX, &mut Vec::new()), None);
    // It still answers.
    let search = bytes(&format!(
        "00000000 0000000d 00000000 00000000 00060008 0005000d 00000001 00000001 {}",
        text_payload("dval")
    ));
    endpoint.handle_datagram(Instant::ZERO, PEER, &search, &TestDb::new());
    let mut reply = Vec::new();
    assert_eq!(
        endpoint.poll_transmit(Instant::ZERO, &mut reply),
        Some(PEER)
    );
    let reply = messages(&reply);
    assert_eq!((reply[1].command, reply[1].ty, reply[1].p2), (6, 5064, 1));
}

/// `READ` has no status in its reply, so what is refused comes as an `ERROR` of the channel.
#[test]
fn a_plain_read_that_may_not_be_is_an_error() {
    let mut rig = Rig::new();
    rig.create(0, 0x55, "none");
    let all = rig.ask_messages("00030000 00050001 00000000 00000009");
    let [error] = &all[..] else {
        panic!("{all:?}");
    };
    let refused = EcaStatus::NORDACCESS.0;
    assert_eq!((error.command, error.p1, error.p2), (11, 0x55, refused));
    assert_eq!(error.text(), "none");
}

/// Count 0 of a `DBR_CLASS_NAME` is the length of the array, though one string is filled.
#[test]
fn a_subscription_to_the_class_name_has_the_length_of_the_array() {
    let mut rig = Rig::new();
    rig.create(0, 1, "arr");
    rig.send(&event_add(38, 0, 0, 4, 1)).unwrap();
    let all = rig.take_messages();
    let [update] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!((update.command, update.ty, update.p2), (1, 38, 4));
    assert_eq!((update.count, update.payload.len()), (10, 400));
}
