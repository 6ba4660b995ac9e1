//! Defects of the reference server (`ca-proto/TRAPS.md`) that this one does not have. D11 concerns
//! listeners; D12 (filters on writes) and D13 (range of conversions) the database.

mod server_rig;

use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::server::Violation;
use ca_proto::wire::Command;
use ca_proto::wire::message::EventMask;
use server_rig::*;

const ECHO: &str = "00170000 00000000 00000000 00000000";

/// A put-notify of a LONG.
fn put_notify(sid: u32, ioid: u32, value: u32) -> String {
    format!("00130008 00050001 {sid:08x} {ioid:08x} {value:08x} 00000000")
}

/// `(io id, status)` of the answered put-notifies.
fn answered(rig: &mut Rig) -> Vec<(u32, u32)> {
    let all = rig.take_messages();
    assert!(all.iter().all(|m| m.command == 19));
    all.iter().map(|m| (m.p2, m.p1)).collect()
}

#[test]
fn d01_short_payload_is_refused_and_what_follows_is_safe() {
    let mut rig = Rig::new();
    rig.create(0, 1, "arr");
    let before = rig.db.get("arr").now.value.clone();
    // Three doubles announced, one sent.
    let all = rig.ask_messages(&format!(
        "00040008 00060003 00000000 00000009 3ff00000 00000000 {ECHO}"
    ));
    assert_eq!((all[0].command, all[0].p1, all[0].p2), (11, 1, 0xb0));
    assert_eq!(
        all[0].text(),
        "arr: 8 bytes are too few for 3 elements of DBR_DOUBLE"
    );
    assert_eq!(all[1].command, 23);
    rig.exchange(
        "00130008 00060003 00000000 00000009 3ff00000 00000000",
        "00130000 00060003 000000b0 00000009",
    );
    rig.exchange(
        "0013ffff 00060000 00000000 00000009 00000008 ffffffff 3ff00000 00000000",
        "0013ffff 00060000 000000b0 00000009 00000000 ffffffff",
    );
    assert_eq!(rig.db.get("arr").now.value, before);
}

/// The exceptions: one string may be short, and so may the last of several.
#[test]
fn d01_last_string_may_be_short() {
    let mut rig = Rig::new();
    rig.create(0, 1, "sval");
    rig.exchange(
        "00130008 00000001 00000000 00000009 61620000 00000000",
        "00130000 00000001 00000001 00000009",
    );
    let two = format!("{}6364000000000000", "00".repeat(40));
    rig.exchange(
        &format!("00130030 00000002 00000000 00000009 {two}"),
        "00130000 00000002 00000001 00000009",
    );
    rig.exchange(
        "00130008 00000002 00000000 00000009 61620000 00000000",
        "00130000 00000002 000000b0 00000009",
    );
}

#[test]
fn d02_subscription_without_mask_is_refused() {
    for payload in ["", "0000000000000000"] {
        let mut rig = Rig::new();
        rig.create(0, 1, "ival");
        let len = payload.len() / 2;
        let result = rig.send(&format!(
            "0001{len:04x} 00050001 00000000 00000009 {payload} {ECHO}"
        ));
        assert!(matches!(result, Err(Violation::ShortPayload { .. })));
        let all = rig.take_messages();
        assert_eq!((all.len(), all[0].command, all[0].p1), (1, 11, 1));
        assert!(rig.db.subs.is_empty());
    }
}

#[test]
fn d03_element_product_does_not_wrap() {
    let mut rig = Rig::new();
    rig.create(0, 1, "dval");
    let all = rig.ask_messages("000fffff 00060000 00000000 00000007 00000000 20000000");
    assert_eq!((all[0].command, all[0].p2), (11, 0x48));
}

#[test]
fn d04_size_near_the_end_of_32_bits_keeps_the_framing() {
    let mut rig = Rig::new();
    rig.create(0, 1, "dval");
    // Refused when the header is complete; its payload would have to follow.
    let all = rig.ask_messages("0004ffff 00060000 00000000 00000007 fffffff8 00000001");
    assert_eq!((all[0].command, all[0].p1, all[0].p2), (11, 1, 0x48));
    assert_eq!(rig.ask(ECHO), "", "this is payload");
}

#[test]
fn d05_exactly_the_message_before_version_is_discarded() {
    let mut rig = Rig::accepted(params());
    rig.take();
    let all = rig.ask_messages(&format!(
        "00170008 00000000 00000000 00000000 00000000 00000000 \
         00000000 0000000d 00000000 00000000 {ECHO}"
    ));
    assert_eq!(
        (all[0].command, all[0].p1, all[0].p2),
        (11, u32::MAX, 0x116)
    );
    assert_eq!((all.len(), all[1].command), (2, 23));
}

/// Server ids belong to a circuit: those of another one mean nothing.
#[test]
fn d06_server_ids_of_other_circuits_are_unknown() {
    let mut other = Rig::new();
    other.create(5, 1, "ival");
    for request in [
        "000f0000 00050001 00000005 00000001".to_string(),
        "00030000 00050001 00000005 00000001".into(),
        "00040008 00050001 00000005 00000001 00000001 00000000".into(),
        put_notify(5, 1, 1),
        event_add(5, 1, 5, 1, 1),
        "00020000 00050001 00000005 00000001".into(),
        "000c0000 00000000 00000005 00000001".into(),
    ] {
        let mut rig = Rig::new();
        rig.db = std::mem::take(&mut other.db);
        let result = rig.send(&request);
        assert!(
            matches!(result, Err(Violation::UnknownSid { .. })),
            "{request}"
        );
        other.db = std::mem::take(&mut rig.db);
        assert_eq!(other.take(), "");
    }
}

#[test]
fn d07_buffers_do_not_leak_into_replies() {
    let mut rig = Rig::new();
    rig.create(0, 0x21, "sval");
    rig.ask(&format!(
        "00170040 00000000 00000000 00000000 {}",
        "ee".repeat(64)
    ));
    let long = "61".repeat(39);
    rig.ask(&format!("00040028 00000001 00000000 00000021 {long}00"));
    rig.ask("00040008 00000001 00000000 00000021 62000000 00000000");
    rig.exchange(
        "00030000 00000001 00000000 00000007",
        "00030008 00000001 00000021 00000007 62000000 00000000",
    );
    rig.exchange(
        "000f0000 00000001 00000000 00000007",
        &format!("000f0028 00000001 00000001 00000007 62{}", "00".repeat(39)),
    );
}

/// An update in front of a cancelled one goes out, nothing keeps waiting.
#[test]
fn d08_update_before_a_cancelled_one_is_flushed() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.create(1, 2, "dval");
    rig.ask(&event_add(5, 1, 0, 3, 1));
    rig.ask(&event_add(5, 1, 1, 4, 1));
    rig.post("ival", 77, EventMask::VALUE);
    rig.post("dval", 1.0, EventMask::VALUE);
    rig.send("000c0000 00000000 00000001 00000002").unwrap();
    let all = rig.take_messages();
    assert_eq!((all[0].command, all[1].p2, all[1].i32(0)), (12, 3, 77));
    assert!(!rig.circuit.has_output());
}

#[test]
fn d09_second_put_notify_of_a_channel_waits_without_blocking() {
    let mut rig = Rig::new();
    rig.create(0, 1, "slow");
    for ioid in 1..=3 {
        assert_eq!(rig.ask(&put_notify(0, ioid, 100 + ioid)), "");
    }
    assert_eq!(rig.ask(ECHO), hex(ECHO));
    let value = |rig: &mut Rig| rig.ask_messages("000f0000 00050001 00000000 00000009")[0].i32(0);
    for ioid in 1..=3 {
        // Each is given to the database when the one before it has completed.
        assert_eq!(rig.db.tickets.len(), ioid);
        assert_eq!(value(&mut rig), 100 + ioid as i32);
        rig.complete(rig.db.tickets[ioid - 1], EcaStatus::NORMAL);
        assert_eq!(answered(&mut rig), [(ioid as u32, 1)]);
    }
}

/// One reply per request, in order, also if some fail at once and some complete at once.
#[test]
fn d09_put_notifies_of_a_channel_are_answered_in_order() {
    let mut rig = Rig::new();
    rig.create(0, 1, "slow");
    rig.ask(&put_notify(0, 1, 1));
    // No number; a structured type; too short; then a good one.
    rig.ask("00130008 00000001 00000000 00000002 6e6f7065 00000000");
    rig.ask("00130008 000c0001 00000000 00000003 00000000 00000000");
    rig.ask("00130008 00050005 00000000 00000004 00000000 00000000");
    rig.ask(&put_notify(0, 5, 5));
    rig.ask(&put_notify(0, 6, 6));
    assert_eq!(answered(&mut rig), []);
    rig.complete(rig.db.tickets[0], EcaStatus::PUTFAIL);
    assert_eq!(
        answered(&mut rig),
        [(1, 0xa0), (2, 0xa0), (3, 0xa0), (4, 0xb0)]
    );
    rig.db.get("slow").completion = Completion::Now;
    rig.complete(rig.db.tickets[1], EcaStatus::NORMAL);
    assert_eq!(answered(&mut rig), [(5, 1), (6, 1)]);
    assert_eq!(
        rig.ask(&put_notify(0, 7, 7)),
        hex("00130000 00050001 00000001 00000007")
    );
}

/// Rights that were withdrawn meanwhile count.
#[test]
fn d09_waiting_put_notify_needs_write_access_when_its_turn_comes() {
    let mut rig = Rig::new();
    rig.create(0, 1, "slow");
    rig.ask(&put_notify(0, 1, 1));
    rig.ask(&put_notify(0, 2, 2));
    rig.db.get("slow").rights = AccessRights::READ;
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    rig.take();
    rig.complete(rig.db.tickets[0], EcaStatus::NORMAL);
    assert_eq!(answered(&mut rig), [(1, 1), (2, 0x178)]);
}

/// Completion order across channels; other channels are not held up.
#[test]
fn d09_channels_complete_independently() {
    let mut rig = Rig::new();
    rig.create(0, 1, "slow");
    rig.create(1, 2, "slow");
    rig.ask(&put_notify(0, 1, 1));
    rig.ask(&put_notify(1, 2, 2));
    rig.complete(rig.db.tickets[1], EcaStatus::NORMAL);
    rig.complete(rig.db.tickets[0], EcaStatus::NORMAL);
    assert_eq!(answered(&mut rig), [(2, 1), (1, 1)]);
}

/// No answers for a channel that is cleared, and none later.
#[test]
fn d09_put_notifies_of_a_cleared_channel_are_dropped() {
    let mut rig = Rig::new();
    rig.create(0, 1, "slow");
    for ioid in 1..=3 {
        rig.ask(&put_notify(0, ioid, ioid));
    }
    rig.exchange(
        "000c0000 00000000 00000000 00000001",
        "000c0000 00000000 00000000 00000001",
    );
    rig.ask(&create(9, "slow"));
    rig.complete(rig.db.tickets[0], EcaStatus::NORMAL);
    assert_eq!(rig.take(), "");
    assert_eq!(rig.db.tickets.len(), 1);
}

/// What waits is bounded in number (see `limits_of_a_circuit_are_named`) and in bytes.
#[test]
fn d09_values_that_wait_are_bounded_in_bytes() {
    let mut rig = Rig::with(params().max_array_bytes(Some(20_000)));
    rig.db.add("arr2", vec![0.0].into(), 2000).completion = Completion::Later;
    rig.create(0, 1, "arr2");
    let put = |ioid: u32| {
        let payload = "00".repeat(8000);
        format!("00131f40 000603e8 00000000 {ioid:08x} {payload}")
    };
    for ioid in 1..=3 {
        assert_eq!(rig.ask(&put(ioid)), "");
    }
    rig.exchange(&put(4), "00130000 000603e8 0000016a 00000004");
    rig.complete(rig.db.tickets[0], EcaStatus::NORMAL);
    rig.take();
    assert_eq!(rig.ask(&put(5)), "");
    // Cleared channels give back what waited.
    rig.ask("000c0000 00000000 00000000 00000001");
    let Some(sid) = rig.ask_messages(&create(1, "arr2")).last().map(|m| m.p2) else {
        panic!("the channel is not there");
    };
    for ioid in 6..=8 {
        let put = put(ioid).replace("000603e8 00000000", &format!("000603e8 {sid:08x}"));
        assert_eq!(rig.ask(&put), "");
    }
}

/// A completion that nobody waits for is ignored, also one of a write that has not started.
#[test]
fn stray_completions_are_ignored() {
    let mut rig = Rig::new();
    rig.create(0, 1, "slow");
    rig.ask(&put_notify(0, 1, 1));
    rig.ask(&put_notify(0, 2, 2));
    let mut ticket = rig.db.tickets[0];
    for raw in [1, 2, 0x0001_0000, u32::MAX] {
        ticket.id.0 = raw;
        rig.complete(ticket, EcaStatus::NORMAL);
    }
    assert_eq!(rig.take(), "");
    rig.complete(rig.db.tickets[0], EcaStatus::NORMAL);
    rig.complete(rig.db.tickets[0], EcaStatus::NORMAL);
    assert_eq!(answered(&mut rig), [(1, 1)]);
}

#[test]
fn d10_time_string_can_be_written() {
    let mut rig = Rig::new();
    rig.create(0, 1, "sval");
    rig.exchange(
        "00040018 000e0001 00000000 00000001 00000000 00000000 00000000 68690000 00000000 00000000",
        "",
    );
    assert_eq!(rig.db.get("sval").now.value, "hi".into());
}

#[test]
fn d14_create_with_empty_name_fails_audibly() {
    let mut rig = Rig::new();
    for empty in [
        "00120000 00000000 00000012 0000000d",
        "00120008 00000000 00000012 0000000d 00000000 00000000",
    ] {
        rig.exchange(empty, "001a0000 00000000 00000012 00000000");
    }
    // Before 4.6 there was no such message.
    let mut old = Rig::of_version(params(), 5);
    let all = old.ask_messages("00120000 00000000 00000012 00000005");
    assert_eq!((all[0].command, all[0].p2), (11, 0x38));
}

#[test]
fn d15_error_texts_name_the_thing() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.send("001b0000 00000000 00000000 00000000"),
        Err(Violation::UnknownCommand(Command(27)))
    );
    assert_eq!(
        rig.take_messages()[0].text(),
        "SERVER_DISCONN is no request"
    );
    let mut rig = Rig::new();
    assert!(rig.send("000f0000 00050001 00000063 00000001").is_err());
    assert_eq!(
        rig.take_messages()[0].text(),
        "READ_NOTIFY names unknown server id 99"
    );
}
