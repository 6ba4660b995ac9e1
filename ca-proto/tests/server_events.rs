//! The event queue of a circuit: `db_queue_event_log` of EPICS Base.

mod server_rig;

use ca_proto::access::AccessRights;
use ca_proto::server::CircuitStats;
use server_rig::*;

/// Trap 54: verified on the wire as initial value + 106 consecutive values + the last.
#[test]
fn writes_behind_a_blocked_circuit_arrive_as_the_first_ones_and_the_last() {
    let mut rig = subscribed(1);
    for value in 0..300i32 {
        rig.post("pv0", value, VALUE);
    }
    let mut expected: Vec<i32> = (0..107).collect();
    expected.push(299);
    assert_eq!(values(&mut rig), expected);
    let CircuitStats {
        updates_posted,
        updates_replaced,
        updates_sent,
        ..
    } = rig.circuit.stats();
    assert_eq!(
        (updates_posted, updates_replaced, updates_sent),
        (301, 192, 109)
    );
}

/// The same when it is the send queue that is full, and `transmit` is asked all the time.
#[test]
fn full_send_queue_holds_updates_back() {
    let mut rig = subscribed(1);
    let echo = format!(
        "00174000 00000000 00000000 00000000 {}",
        "00".repeat(0x4000)
    );
    for _ in 0..4 {
        assert!(rig.circuit.is_readable());
        rig.send(&echo).unwrap();
    }
    assert!(!rig.circuit.is_readable());
    let full = rig.circuit.transmit(&rig.db).len();
    for value in 0..300i32 {
        rig.post("pv0", value, VALUE);
        assert_eq!(rig.circuit.transmit(&rig.db).len(), full);
    }
    let all = rig.take_messages();
    assert_eq!(all.len(), 4 + 108);
    assert_eq!(all.last().unwrap().i32(0), 299);
}

/// Trap 55.
#[test]
fn strings_and_arrays_wait_as_one_reference_and_deliver_the_newest() {
    let mut rig = Rig::new();
    rig.create(0, 0, "sval");
    rig.create(1, 1, "arr");
    rig.ask(&event_add(0, 1, 0, 10, 1));
    rig.ask(&event_add(6, 0, 1, 11, 1));
    for n in 0..300 {
        rig.post("sval", format!("text {n}"), VALUE);
        rig.post("arr", vec![f64::from(n); 3], VALUE);
    }
    let all = rig.take_messages();
    assert_eq!(all.len(), 2);
    assert_eq!(&all[0].payload[..9], b"text 299\0");
    assert_eq!((all[1].count, all[1].f64(16)), (3, 299.0));
}

/// Updates that are copied keep the value of their time, with stamp and alarm.
#[test]
fn scalars_are_copied_when_they_are_posted() {
    let mut rig = Rig::new();
    rig.create(0, 0, "dval");
    rig.ask(&event_add(20, 1, 0, 10, 1));
    for secs in [1, 2] {
        let pv = rig.db.get("dval");
        pv.now.stamp.secs = secs;
        pv.now.alarm.severity.0 = secs as u16;
        rig.post("dval", f64::from(secs), VALUE);
    }
    let seen: Vec<_> = (rig.take_messages().iter())
        .map(|m| (m.payload[3], m.i32(4), m.f64(16)))
        .collect();
    assert_eq!(seen, [(1, 1, 1.0), (2, 2, 2.0)]);
}

/// Each of 35 subscriptions has room for an update whatever the others do.
#[test]
fn a_ring_keeps_the_order_of_posting_across_its_subscriptions() {
    let mut rig = subscribed(35);
    let mut posted = Vec::new();
    for round in 0..3i32 {
        for id in 0..35u32 {
            rig.post(&format!("pv{id}"), round, VALUE);
            posted.push((id, round));
        }
    }
    // 105 entries; three more fit before the ring has only 36 free ones.
    for id in 0..35u32 {
        rig.post(&format!("pv{id}"), 3, VALUE);
        if id < 3 {
            posted.push((id, 3));
        } else {
            // The newest value stands where the last one stood.
            let last = posted.iter_mut().rev().find(|p| p.0 == id).unwrap();
            last.1 = 3;
        }
    }
    assert_eq!(updates(&mut rig), posted);
}

#[test]
fn a_crowded_ring_does_not_disturb_the_next() {
    let mut rig = subscribed(36);
    for value in 0..300i32 {
        rig.post("pv0", value, VALUE);
    }
    for value in 0..100i32 {
        rig.post("pv35", value, VALUE);
    }
    let all = updates(&mut rig);
    let second: Vec<i32> = all.iter().filter(|u| u.0 == 35).map(|u| u.1).collect();
    assert_eq!(second, (0..100).collect::<Vec<_>>());
    assert_eq!(all.len(), 108 + 100);
}

/// A busy ring gives way to the others after what it held when its turn came.
#[test]
fn a_busy_subscription_does_not_starve_other_rings() {
    let mut params = params();
    params.send_high_water = 24 * 8;
    let mut rig = Rig::with(params);
    for (sid, name) in ["ival", "dval"].into_iter().enumerate() {
        // Fill up the ring of the first, so that the second has another.
        rig.create(sid as u32, sid as u32, name);
    }
    for id in 0..35 {
        rig.ask(&event_add(5, 1, 0, id, 1));
    }
    rig.ask(&event_add(5, 1, 1, 99, 1));
    rig.post("ival", 0, VALUE);
    rig.post("dval", 7.0, VALUE);
    let mut taken = 0;
    loop {
        // The busy one posts faster than the client reads.
        rig.post("ival", 1, VALUE);
        let queue = rig.circuit.transmit(&rig.db);
        let seen = messages(&queue.to_vec());
        queue.advance(queue.len());
        taken += seen.len();
        if seen.iter().any(|m| m.p2 == 99) {
            break;
        }
        assert!(taken < 144, "the second ring is starved");
    }
}

/// The mask does not matter for the first update; trap 50.
#[test]
fn first_update_comes_whatever_the_mask() {
    for mask in [0x01, 0x80, 0xff] {
        let mut rig = Rig::new();
        rig.create(0, 0, "ival");
        rig.send(&event_add(5, 1, 0, 3, mask)).unwrap();
        assert_eq!(updates(&mut rig), [(3, 42)]);
    }
}

/// An unreadable channel tells so once, then is silent until it is readable.
#[test]
fn unreadable_channel_has_one_update_with_a_status() {
    let mut rig = Rig::new();
    rig.create(0, 9, "none");
    let all = rig.ask_messages(&event_add(5, 1, 0, 3, 1));
    assert_eq!((all.len(), all[0].p1, all[0].i32(0)), (1, 0x170, 0));
    rig.post("none", 6, VALUE);
    assert_eq!(rig.take_messages(), []);
    rig.db.get("none").rights = AccessRights::READ;
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    let all = rig.take_messages();
    assert_eq!((all[0].command, all[0].p2), (22, 1));
    assert_eq!((all[1].command, all[1].p1, all[1].i32(0)), (1, 1, 6));
}

/// Values posted while the channel was readable are not sent when it no longer is.
#[test]
fn withdrawn_access_drops_what_is_queued() {
    let mut rig = subscribed(2);
    for value in 0..5i32 {
        rig.post("pv0", value, VALUE);
        rig.post("pv1", value, VALUE);
    }
    rig.db.get("pv0").rights = AccessRights::WRITE;
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    let all = rig.take_messages();
    assert_eq!((all[0].command, all[0].p1, all[0].p2), (22, 0, 2));
    let seen: Vec<_> = all[1..].iter().map(|m| (m.p1, m.p2, m.i32(0))).collect();
    let mut expected: Vec<_> = (0..5).map(|value| (1, 1, value)).collect();
    expected.push((0x170, 0, 0));
    assert_eq!(seen, expected);
}

/// Trap 57: also when only the write right changes; all rights first, then the updates.
#[test]
fn every_subscription_gets_an_update_when_rights_change() {
    let mut rig = subscribed(3);
    rig.ask(&event_add(5, 1, 0, 77, 1));
    for name in ["pv0", "pv2"] {
        rig.db.get(name).rights = AccessRights::READ;
    }
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    let seen: Vec<_> = (rig.take_messages().iter())
        .map(|m| (m.command, m.p1, m.p2))
        .collect();
    assert_eq!(
        seen,
        [(22, 0, 1), (22, 2, 1), (1, 1, 0), (1, 1, 77), (1, 1, 2)]
    );
}

/// Rights that flap while the client does not read take no memory: they are told once.
#[test]
fn rights_that_flap_behind_a_blocked_circuit_are_told_once() {
    let mut params = params();
    params.send_high_water = 64;
    let mut rig = Rig::with(params);
    rig.create(0, 5, "ival");
    rig.ask(&event_add(5, 1, 0, 1, 1));
    let echo = format!("00170040 00000000 00000000 00000000 {}", "00".repeat(64));
    rig.send(&echo).unwrap();
    for n in 0..1001u32 {
        rig.db.get("ival").rights = AccessRights::from_bits(3 - n % 2 * 3);
        rig.circuit.rights_changed(rig.now, &mut rig.db);
    }
    rig.db.get("ival").rights = AccessRights::READ;
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    assert!(rig.circuit.has_output());
    let seen: Vec<_> = (rig.take_messages().iter())
        .map(|m| (m.command, m.p1, m.p2))
        .collect();
    // What counts is how things stand when there is room again.
    assert_eq!(seen, [(23, 0, 0), (22, 5, 1), (1, 1, 1)]);
}

/// What is queued is dropped, and the others keep their order and values.
#[test]
fn cancel_drops_pending_updates_of_that_subscription_only() {
    let mut rig = subscribed(3);
    for value in 0..4i32 {
        for id in 0..3 {
            rig.post(&format!("pv{id}"), value * 10 + id, VALUE);
        }
    }
    let all = rig.ask_messages("00020000 00050001 00000001 00000001");
    assert_eq!((all[0].command, all[0].payload.len(), all[0].p1), (1, 0, 1));
    let seen: Vec<_> = all[1..].iter().map(|m| m.i32(0)).collect();
    assert_eq!(seen, [0, 2, 10, 12, 20, 22, 30, 32]);
    rig.post("pv1", 5, VALUE);
    rig.post("pv2", 6, VALUE);
    assert_eq!(values(&mut rig), [6]);
}

/// Replacing finds the right entry also after others were taken out of the ring.
#[test]
fn replacement_survives_a_cancel_in_between() {
    let mut rig = subscribed(3);
    for value in 0..100i32 {
        rig.post("pv0", value, VALUE);
    }
    for value in 0..8i32 {
        rig.post("pv1", value, VALUE);
    }
    rig.send("000c0000 00000000 00000000 00000000").unwrap();
    for value in 8..300i32 {
        rig.post("pv1", value, VALUE);
    }
    rig.post("pv2", 1000, VALUE);
    rig.post("pv1", 300, VALUE);
    let all = rig.take_messages();
    assert_eq!(all[0].command, 12);
    let seen: Vec<_> = all[1..].iter().map(|m| (m.p2, m.i32(0))).collect();
    let mut expected: Vec<_> = (0..107).map(|value| (1, value)).collect();
    expected.push((1, 300));
    expected.push((2, 1000));
    assert_eq!(seen, expected);
}
