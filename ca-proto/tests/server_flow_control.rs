//! Flow control of a circuit's updates: `db_event_flow_ctrl_mode_on` of EPICS Base.

mod server_rig;

use ca_proto::access::AccessRights;
use server_rig::*;

const OFF: &str = "00080000 00000000 00000000 00000000";
const ON: &str = "00090000 00000000 00000000 00000000";

/// Verified on the wire with five.
#[test]
fn backlog_at_events_off_is_sent_in_full() {
    let mut rig = subscribed(1);
    for value in 0..5i32 {
        rig.post("pv0", value, VALUE);
    }
    rig.send(OFF).unwrap();
    assert_eq!(values(&mut rig), [0, 1, 2, 3, 4]);
    for value in 5..50i32 {
        rig.post("pv0", value, VALUE);
        assert!(!rig.circuit.has_output());
    }
    rig.send(ON).unwrap();
    assert_eq!(values(&mut rig), [49]);
}

/// With no more than one entry each, nothing is delivered after OFF.
#[test]
fn single_updates_are_held_by_events_off() {
    let mut rig = subscribed(2);
    rig.post("pv0", 1, VALUE);
    rig.post("pv1", 2, VALUE);
    assert_eq!(rig.ask(OFF), "");
    rig.post("pv1", 3, VALUE);
    assert_eq!(rig.take(), "");
    rig.send(ON).unwrap();
    assert_eq!(updates(&mut rig), [(0, 1), (1, 3)]);
}

/// A backlog that was being sent when OFF came ends, however fast updates are posted meanwhile.
#[test]
fn events_off_ends_delivery_under_constant_posting() {
    let mut params = params();
    params.send_high_water = 48;
    let mut rig = Rig::with(params);
    rig.create(0, 0, "ival");
    rig.ask(&event_add(5, 1, 0, 0, 1));
    for value in 0..20i32 {
        rig.post("ival", value, VALUE);
    }
    rig.send(OFF).unwrap();
    let mut seen = Vec::new();
    for value in 20..1000i32 {
        rig.post("ival", value, VALUE);
        let queue = rig.circuit.transmit(&rig.db);
        seen.extend(messages(&queue.to_vec()).iter().map(|m| m.i32(0)));
        queue.advance(queue.len());
    }
    assert_eq!(seen.len(), 20);
    assert_eq!(seen[..19], (0..19).collect::<Vec<_>>());
    rig.send(ON).unwrap();
    assert_eq!(values(&mut rig), [999]);
}

/// Initial updates of new subscriptions are held too.
#[test]
fn first_update_is_held_by_events_off() {
    let mut rig = Rig::new();
    rig.create(0, 0, "ival");
    rig.ask(OFF);
    assert_eq!(rig.ask(&event_add(5, 1, 0, 3, 1)), "");
    rig.send(ON).unwrap();
    assert_eq!(updates(&mut rig), [(3, 42)]);
}

/// Trap 56: a flag, not a counter; replies, rights and completions pass.
#[test]
fn events_off_is_a_flag_and_stops_only_updates() {
    let mut rig = subscribed(1);
    rig.create(1, 50, "slow");
    rig.ask(OFF);
    rig.ask(OFF);
    rig.ask("00130008 00050001 00000001 00000009 00000001 00000000");
    rig.post("pv0", 1, VALUE);
    assert_eq!(
        rig.ask_messages("000f0000 00050001 00000000 00000007")
            .len(),
        1
    );
    assert_eq!(
        rig.ask_messages("00170000 00000000 00000000 00000000")
            .len(),
        1
    );
    rig.complete(rig.db.tickets[0], ca_proto::EcaStatus::NORMAL);
    assert_eq!(rig.take_messages()[0].command, 19);
    rig.db.get("pv0").rights = AccessRights::READ;
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    let all = rig.take_messages();
    assert_eq!((all.len(), all[0].command), (1, 22));
    rig.send(ON).unwrap();
    // The entry that was there was replaced by that of the changed rights.
    assert_eq!(values(&mut rig), [1]);
}

/// A cancel while updates are held takes its own entries out of the backlog, no one else's.
#[test]
fn cancel_under_flow_control_leaves_the_rest_of_the_backlog() {
    let mut rig = subscribed(2);
    for value in 0..3i32 {
        rig.post("pv0", value, VALUE);
        rig.post("pv1", value, VALUE);
    }
    rig.send(OFF).unwrap();
    rig.send("00020000 00050001 00000000 00000000").unwrap();
    rig.post("pv1", 9, VALUE);
    let all = rig.take_messages();
    let seen: Vec<_> = all[1..].iter().map(|m| (m.p2, m.i32(0))).collect();
    assert_eq!(seen, [(1, 0), (1, 1), (1, 9)]);
    rig.post("pv1", 10, VALUE);
    assert_eq!(rig.take(), "");
}

/// A cancelled subscription's backlog is no reason to deliver those of others.
#[test]
fn cancelled_backlog_does_not_open_the_ring() {
    let mut rig = subscribed(2);
    for value in 0..3i32 {
        rig.post("pv0", value, VALUE);
    }
    rig.post("pv1", 7, VALUE);
    rig.send("00020000 00050001 00000000 00000000").unwrap();
    let all = rig.ask_messages(OFF);
    assert_eq!((all.len(), all[0].p1), (1, 0));
    rig.send(ON).unwrap();
    assert_eq!(values(&mut rig), [7]);
}

/// What was cancelled out of a backlog is not made up for by updates that came after OFF.
#[test]
fn backlog_shrinks_by_what_is_cancelled() {
    let mut rig = subscribed(3);
    for value in 0..3i32 {
        rig.post("pv0", value, VALUE);
        rig.post("pv1", value, VALUE);
    }
    rig.send(OFF).unwrap();
    rig.post("pv2", 9, VALUE);
    let all = rig.ask_messages("00020000 00050001 00000000 00000000");
    let seen: Vec<_> = all[1..].iter().map(|m| (m.p2, m.i32(0))).collect();
    assert_eq!(seen, [(1, 0), (1, 1), (1, 2)]);
    rig.send(ON).unwrap();
    assert_eq!(updates(&mut rig), [(2, 9)]);
}
