//! What a circuit holds for a client that is slow or asks for much, and what the driver may ask a circuit.

mod server_rig;

use ca_proto::config::ServerParams;
use ca_proto::server::{AHEAD, Limit, PvId, Turn};
use ca_proto::status::EcaStatus;
use ca_proto::wire::{Command, Deframer, Header};
use server_rig::{Rig, VALUE, bytes, create, event_add, hex, messages, params, read_notify};

/// Room for so many bytes beyond what the circuit is charged with from its start.
fn room_for(bytes: usize) -> ServerParams {
    let base = Rig::with(params()).circuit.held();
    params().max_bytes_per_circuit(base + bytes)
}

#[test]
fn a_message_that_has_come_in_part_is_charged_and_refused_beyond_the_limit() {
    let mut rig = Rig::with(room_for(100_000));
    rig.create(0, 7, "text");
    let before = rig.circuit.held();
    assert_eq!(rig.circuit.hold_input(60_000), Ok(()));
    assert_eq!(rig.circuit.hold_input(60_000), Ok(()));
    assert_eq!(rig.circuit.held(), before + 60_000);
    assert_eq!(rig.circuit.hold_input(0), Ok(()));
    assert_eq!(rig.circuit.held(), before);

    let limit = rig.circuit.hold_input(200_000).unwrap_err();
    assert_eq!(limit, Limit::CircuitBytes);
    let put = Header {
        payload_len: 200_000,
        data_type: 4,
        count: 200_000,
        p2: 5,
        ..Header::new(Command::WRITE)
    };
    rig.circuit.refuse_frame(&put, limit);
    assert_eq!(rig.circuit.hold_input(0), Ok(()));
    assert_eq!(rig.circuit.held(), before);
    assert_eq!(rig.circuit.take_limit(), Some(limit));
    let [error] = &rig.take_messages()[..] else {
        panic!("one error");
    };
    assert_eq!((error.command, error.p1), (11, 7));
    assert_eq!(error.p2, EcaStatus::ALLOCMEM.0);
    assert_eq!(error.text(), format!("WRITE: {limit}"));
    // The circuit goes on.
    assert_eq!(rig.ask_messages(&read_notify(4, 1, 0, 3)).len(), 1);
}

#[test]
fn an_abandoned_message_is_skipped_and_the_next_is_read() {
    let mut rig = Rig::new();
    rig.create(0, 7, "text");
    let mut deframer = Deframer::new(rig.circuit.limits());
    assert_eq!((deframer.held(), deframer.abandon()), (0, None));
    let mut put = bytes("00040000 00040000 00000000 00000005");
    put[2..4].copy_from_slice(&40_000_u16.to_be_bytes());
    put[6..8].copy_from_slice(&40_000_u16.to_be_bytes());
    put.resize(16 + 40_000, b'y');
    put.extend(bytes(&read_notify(4, 1, 0, 3)));
    // The header in two parts, then some of the payload.
    for part in [&put[..10], &put[10..300]] {
        assert!(deframer.frames(part).next().is_none());
    }
    assert!(deframer.held() >= 40_000);
    let header = deframer.abandon().expect("a message is begun");
    assert_eq!(
        (header.command, header.payload_len),
        (Command::WRITE, 40_000)
    );
    assert!(deframer.held() < 40_000);
    assert_eq!(deframer.frames(&put[300..9000]).next_header(), None);
    assert!(deframer.frames(&put[300..9000]).next().is_none());
    let mut frames = deframer.frames(&put[9000..]);
    let next = frames.next().expect("a frame").expect("a good one");
    assert_eq!(next.header.command, Command::READ_NOTIFY);
    assert!(frames.next().is_none());
}

#[test]
fn the_next_header_is_told_wherever_chunks_end() {
    let stream = bytes(&format!("{}{}", create(1, "ival"), read_notify(5, 1, 0, 9)));
    let limits = Rig::new().circuit.limits();
    for end in 0..=stream.len() {
        let mut deframer = Deframer::new(limits);
        let mut frames = deframer.frames(&stream[..end]);
        let mut seen = 0;
        while let Some(header) = frames.next_header() {
            let wanted = [Command::CREATE_CHAN, Command::READ_NOTIFY][seen];
            assert_eq!(header.command, wanted);
            if frames.next().is_none() {
                break;
            }
            seen += 1;
        }
        while frames.next().is_some() {}
        // What was begun is still the next one with the chunk that ends it.
        let mut frames = deframer.frames(&stream[end..]);
        for wanted in [Command::CREATE_CHAN, Command::READ_NOTIFY]
            .into_iter()
            .skip(seen)
        {
            let header = frames.next_header().expect("all of it is here");
            assert_eq!(header.command, wanted, "cut at {end}");
            let frame = frames.next().expect("a frame").expect("a good one");
            assert_eq!(frame.header, header);
        }
        assert_eq!(frames.next_header(), None);
    }
}

#[test]
fn a_large_payload_names_its_header_until_it_is_whole_and_a_lost_stream_none() {
    let mut deframer = Deframer::new(Rig::new().circuit.limits());
    let mut put = bytes("00044e20 00044e20 00000000 00000005");
    put.resize(16 + 20_000, 1);
    assert!(deframer.frames(&put[..100]).next().is_none());
    let header = deframer.frames(&[]).next_header().expect("the one begun");
    assert_eq!((header.command, header.count), (Command::WRITE, 20_000));
    let mut frames = deframer.frames(&put[100..]);
    let frame = frames.next().expect("a frame").expect("a good one");
    assert_eq!(frame.payload(), &put[16..]);
    // A size that is no multiple of 8: framing is lost.
    let mut frames = deframer.frames(&[0, 4, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert!(frames.next().is_some_and(|frame| frame.is_err()));
    let echo = bytes("00170000 00000000 00000000 00000000");
    assert_eq!(deframer.frames(&echo).next_header(), None);
}

#[test]
fn that_a_pv_is_gone_is_told_behind_what_is_not_read_yet() {
    let mut rig = Rig::with(params().send_high_water(1000));
    rig.create(0, 1, "text");
    rig.create(1, 2, "ival");
    rig.create(2, 3, "dval");
    rig.ask(&event_add(6, 1, 2, 6, 1));
    // More than the queue is to have: nothing more is read.
    rig.send(&read_notify(4, 0, 0, 8)).unwrap();
    assert!(!rig.circuit.is_readable());
    rig.post("dval", 2.5, VALUE);
    let pv = rig.db.pv("ival");
    let queued = rig.circuit.queue_mut().len();
    let held = rig.circuit.held();
    rig.circuit.pv_gone(pv, &mut rig.db).unwrap();
    // It has not come into the queue, and is charged.
    assert_eq!(rig.circuit.queue_mut().len(), queued);
    assert!(rig.circuit.has_output() && !rig.circuit.has_room());
    assert_eq!(rig.circuit.transmit(&rig.db).len(), queued);
    let told = rig.take_messages();
    let commands: Vec<_> = told.iter().map(|m| (m.command, m.p1)).collect();
    assert_eq!(
        commands,
        [(15, EcaStatus::NORMAL.0), (27, 2), (1, EcaStatus::NORMAL.0)]
    );
    assert_eq!(told[0].payload.len(), 70_000);
    assert_eq!(told[2].f64(0), 2.5);
    assert!(rig.circuit.is_readable() && rig.circuit.held() < held);
}

#[test]
fn an_update_waits_for_room_that_a_reply_takes_and_comes_then() {
    let mut rig = Rig::with(room_for(100_000));
    rig.create(0, 1, "text");
    rig.ask(&event_add(4, 0, 0, 6, 1));
    assert!(!rig.circuit.is_starved());
    rig.send(&read_notify(4, 60_000, 0, 8)).unwrap();
    rig.post("text", vec![b'z'; 70_000], VALUE);
    let first = rig.circuit.transmit(&rig.db).to_vec();
    assert_eq!(messages(&first).len(), 1);
    assert!(rig.circuit.is_starved());
    let (limit, peer) = rig.circuit.starved_by();
    assert_eq!((limit, peer), (Limit::CircuitBytes, server_rig::PEER));
    assert_eq!(rig.circuit.stats().updates_sent, 1);
    // What was sent is dropped by the driver: there is room.
    rig.circuit.queue_mut().clear();
    let [update] = &rig.take_messages()[..] else {
        panic!("the update");
    };
    assert_eq!((update.command, update.p2), (1, 6));
    assert_eq!(update.payload, vec![b'z'; 70_000]);
    assert!(!rig.circuit.is_starved());
    assert_eq!(rig.circuit.stats().errors, 0);
}

#[test]
fn the_pvs_of_the_next_requests_are_known_before_they_are_handled() {
    let mut rig = Rig::new();
    for (sid, name) in [(0, "ival"), (1, "dval"), (2, "arr")] {
        rig.create(sid, sid, name);
    }
    let pvs = |names: &[&str]| -> Vec<PvId> { names.iter().map(|n| rig.db.pv(n)).collect() };
    let look = |text: &str| {
        let mut found = [PvId(u32::MAX); AHEAD];
        let (requests, pvs) = rig.circuit.look_ahead(&bytes(text), &mut found);
        (requests, found[..pvs].to_vec())
    };
    let put = "00130008 00050001 00000001 00000005 00000008 00000000";
    let write = "00040008 00050001 00000002 00000005 00000008 00000000";
    let unknown = read_notify(5, 1, 77, 1);
    let read = read_notify(5, 1, 0, 1);
    let echo = "00170000 00000000 00000000 00000000";
    assert_eq!(look(""), (0, vec![]));
    assert_eq!(
        look(&format!("{read}{put}{unknown}{write}")),
        (4, pvs(&["ival", "dval", "arr"]))
    );
    // It ends at what is no read and no write, and within a header.
    assert_eq!(look(&format!("{put}{echo}{read}")), (2, pvs(&["dval"])));
    assert_eq!(look(&format!("{put}0004")), (1, pvs(&["dval"])));
    let many = read.repeat(2 * AHEAD);
    assert_eq!(look(&many), (AHEAD, pvs(&["ival"; AHEAD])));

    let next = |text: &str| rig.circuit.next_write(&bytes(text));
    assert_eq!(next(put), Some(rig.db.pv("dval")));
    assert_eq!(next(write), Some(rig.db.pv("arr")));
    assert_eq!(next(&read), None);
    assert_eq!(next("0004"), None);
    assert_eq!(
        next(&put.replace("00000001 00000005", "00000009 00000005")),
        None
    );
    assert_eq!(rig.circuit.opened(2), Some(rig.db.pv("arr")));
    assert_eq!(rig.circuit.opened(3), None);
    rig.exchange(echo, &hex(echo));
    rig.ask(&event_add(5, 1, 0, 0xabc, 1));
    assert_eq!(rig.circuit.touch(rig.only_sub()), 0xabc);
}

#[test]
fn what_is_not_spent_of_a_part_of_a_turn_comes_back() {
    let mut turn = Turn::new(10);
    let mut part = turn.part(4);
    assert_eq!((turn.left(), part.left()), (6, 4));
    part.spend(1);
    turn.join(part);
    assert_eq!(turn.left(), 9);
    // No more than there is.
    let mut part = turn.part(100);
    assert!(turn.is_over() && part.left() == 9);
    part.spend(100);
    assert!(part.is_over());
    turn.join(part);
    assert!(turn.is_over());
}
