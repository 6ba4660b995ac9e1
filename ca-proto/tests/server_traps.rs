//! Traps of `ca-proto/TRAPS.md` that concern circuits of a server, each by its number, from 22 on. Those of
//! search and beacons (14 to 20, 60 to 62) are in `server_search`, of the event queue (50, 54 to 57)
//! in `server_events`, of the repeater (63, 64) in `repeater`.

mod server_rig;

use ca_proto::server::Violation;
use ca_proto::wire::Command;
use ca_proto::wire::message::EventMask;
use server_rig::*;

const ECHO: &str = "00170000 00000000 00000000 00000000";

#[test]
fn trap_22_repeated_version_is_a_search_over_tcp() {
    let mut rig = Rig::new();
    rig.exchange(
        "00000000 0001000d 00000009 00000000 00060008 0005000d 00000003 00000003 6976616c 00000000",
        "00060000 63780000 ffffffff 00000003",
    );
    assert_eq!(rig.circuit.priority(), 1);
}

#[test]
fn trap_23_create_fails_where_search_answered() {
    let mut rig = Rig::new();
    let name = text_payload("ival.{bad");
    let len = name.len() / 2;
    rig.exchange(
        &format!("0006{len:04x} 0005000d 00000003 00000003 {name}"),
        "00060000 63780000 ffffffff 00000003",
    );
    rig.exchange(
        &create(3, "ival.{bad"),
        "001a0000 00000000 00000003 00000000",
    );
}

#[test]
fn trap_24_version_does_not_wait_for_the_client() {
    let mut rig = Rig::accepted(params());
    assert!(rig.circuit.has_output());
    assert_eq!(rig.take(), hex("00000000 0000000d 00000000 00000000"));
}

#[test]
fn trap_25_rights_come_before_the_channel() {
    let mut rig = Rig::new();
    let commands: Vec<u16> = (rig
        .ask_messages(&(create(1, "ival") + &create(2, "ro")))
        .iter())
    .map(|m| m.command)
    .collect();
    assert_eq!(commands, [22, 18, 22, 18]);
}

#[test]
fn trap_28_circuit_without_channels_stays() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.ask("000c0000 00000000 00000000 00000001");
    assert_eq!(rig.ask(ECHO), hex(ECHO));
    assert_eq!(rig.circuit.poll_timeout(), None);
}

#[test]
fn trap_29_names_count_only_before_the_first_channel() {
    let mut rig = Rig::new();
    let user = "00140008 00000000 00000000 00000000 726f6f74 00000000";
    rig.create(0, 1, "ival");
    let all = rig.ask_messages(user);
    assert_eq!((all[0].command, all[0].p1, all[0].p2), (11, u32::MAX, 0x8e));
    assert_eq!(rig.circuit.identity().user, b"");
    rig.ask("000c0000 00000000 00000000 00000001");
    assert_eq!(rig.ask(user), "");
    assert_eq!(rig.circuit.identity().user, b"root");
}

/// 511 bytes and a NUL are the longest.
#[test]
fn trap_29_bad_names_close_the_circuit() {
    for command in [0x14, 0x15] {
        let name = |len: usize| {
            let text = text_payload(&"a".repeat(len));
            format!(
                "{command:04x}{:04x} 00000000 00000000 00000000 {text}",
                text.len() / 2
            )
        };
        assert_eq!(Rig::new().ask(&name(511)), "");
        let unterminated = format!("{command:04x}0008 00000000 00000000 00000000 6161616161616161");
        let empty = format!("{command:04x}0000 00000000 00000000 00000000");
        for bad in [name(512), unterminated, empty] {
            let mut rig = Rig::new();
            assert_eq!(rig.send(&bad), Err(Violation::BadName(Command(command))));
            assert_eq!(rig.take_messages()[0].p2, 0x8e);
        }
    }
}

#[test]
fn trap_30_host_in_lower_case_user_as_it_is() {
    let mut rig = Rig::new();
    rig.send("00140008 00000000 00000000 00000000 526f6f54 00000000")
        .unwrap();
    rig.send("00150008 00000000 00000000 00000000 564d2d41 00000000")
        .unwrap();
    assert_eq!(rig.circuit.identity().user, b"RooT");
    assert_eq!(rig.circuit.identity().host, b"vm-a");
}

/// Above 16 KiB the payload has a buffer of its own, which is shared.
#[test]
fn trap_31_large_echo_is_complete() {
    let mut rig = Rig::new();
    let echo = format!(
        "00178000 00010002 00000003 00000004 {}",
        "a5".repeat(0x8000)
    );
    assert_eq!(rig.ask(&echo), hex(&echo));
}

#[test]
fn trap_38_single_string_may_be_short_or_long() {
    let mut rig = Rig::new();
    rig.create(0, 1, "sval");
    for text in ["a", "hello w", &"x".repeat(39)] {
        let payload = text_payload(text);
        let len = payload.len() / 2;
        rig.exchange(
            &format!("0004{len:04x} 00000001 00000000 00000001 {payload}"),
            "",
        );
        assert_eq!(rig.db.get("sval").now.value, text.into());
    }
    let payload = text_payload(&"y".repeat(60));
    rig.exchange(
        &format!("00040040 00000001 00000000 00000001 {payload}"),
        "",
    );
    assert_eq!(rig.db.get("sval").now.value, "y".repeat(39).into());
}

#[test]
fn trap_39_fixed_count_is_filled_up_with_zeros() {
    let mut rig = Rig::new();
    rig.create(0, 1, "arr");
    for (asked, count) in [(3, 3), (5, 5), (8, 8), (12, 12)] {
        let all = rig.ask_messages(&read_notify(20, asked, 0, 7));
        assert_eq!(
            (all[0].count, all[0].payload.len()),
            (count, 16 + 8 * count as usize)
        );
        for n in 0..count as usize {
            let expected = if n < 5 { n as f64 + 1.0 } else { 0.0 };
            assert_eq!(all[0].f64(16 + 8 * n), expected);
        }
    }
}

#[test]
fn trap_40_count_zero_is_the_current_length() {
    let mut rig = Rig::new();
    rig.create(0, 1, "arr");
    let all = rig.ask_messages(&read_notify(20, 0, 0, 7));
    assert_eq!((all[0].count, all[0].payload.len()), (5, 16 + 40));
    rig.db.get("arr").now.value = ca_proto::dbr::Value::empty(ca_proto::dbr::NativeType::Double);
    rig.exchange(
        &read_notify(20, 0, 0, 7),
        "000f0010 00140000 00000001 00000007 00000000 4561652b 1b876ae4 00000000",
    );
    rig.exchange(
        &read_notify(6, 0, 0, 7),
        "000f0000 00060000 00000001 00000007",
    );
    // The obsolete READ does not know the rule.
    rig.create(1, 2, "ival");
    rig.exchange(
        "00030000 00050000 00000001 00000007",
        "00030000 00050000 00000002 00000007",
    );
}

#[test]
fn trap_46_structured_types_are_for_write_only() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    // STS_LONG with value 9.
    rig.exchange("00040008 000c0001 00000000 00000001 00000000 00000009", "");
    assert_eq!(rig.db.get("ival").now.value, 9i32.into());
    for ty in (7..=34).chain([37, 38]) {
        let payload = "00".repeat(64);
        rig.exchange(
            &format!("00130040 {ty:04x}0001 00000000 00000005 {payload}"),
            &format!("00130000 {ty:04x}0001 000000a0 00000005"),
        );
    }
    // PUT_ACKT and PUT_ACKS work in both.
    for ty in [35, 36] {
        rig.exchange(
            &format!("00130008 {ty:04x}0001 00000000 00000005 0001000000000000"),
            &format!("00130000 {ty:04x}0001 00000001 00000005"),
        );
    }
}

#[test]
fn trap_47_denials_are_statuses_of_the_reply() {
    let mut rig = Rig::new();
    rig.create(0, 1, "none");
    rig.create(1, 2, "ival");
    rig.exchange(
        "00130008 00050001 00000000 00000005 00000001 00000000",
        "00130000 00050001 00000178 00000005",
    );
    // Without read access: metadata only when the length is open, zeros when it is fixed.
    rig.exchange(
        &read_notify(19, 0, 0, 7),
        "000f0010 00130000 00000170 00000007 00000000 00000000 00000000 00000000",
    );
    // PUT_ACKT cannot be read.
    rig.exchange(
        &read_notify(35, 1, 1, 7),
        "000f0008 00230001 00000098 00000007 00000000 00000000",
    );
    // A text that is no number.
    rig.exchange(
        "00130008 00000001 00000001 00000005 6e6f7065 00000000",
        "00130000 00000001 000000a0 00000005",
    );
}

#[test]
fn trap_48_successful_write_is_silent_failed_write_is_an_error() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.exchange(
        "00040008 00000001 00000000 00000009 6e6f7065 00000000",
        "000b0018 00000000 00000001 000000a0 00040008 00000001 00000000 00000009 6976616c 00000000",
    );
}

#[test]
fn trap_49_write_notify_is_answered_at_completion() {
    let mut rig = Rig::new();
    rig.create(0, 1, "slow");
    assert_eq!(
        rig.ask("00130008 00050001 00000000 00000005 00000008 00000000"),
        ""
    );
    // The read behind it has the new value already.
    assert_eq!(rig.ask_messages(&read_notify(5, 1, 0, 6))[0].i32(0), 8);
    rig.complete(rig.db.tickets[0], ca_proto::EcaStatus::NORMAL);
    assert_eq!(rig.take(), hex("00130000 00050001 00000001 00000005"));
}

#[test]
fn trap_51_and_52_cancel_matches_ids_only() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.ask(&event_add(20, 3, 0, 4, 5));
    rig.exchange(
        "00020000 ffff1234 00000000 00000004",
        "00010000 00140003 00000000 00000004",
    );
}

/// The first update of an empty array looks like a confirmation; its P1 is the status.
#[test]
fn trap_53_empty_plain_update_has_a_status() {
    let mut rig = Rig::new();
    rig.create(3, 1, "arr");
    rig.db.get("arr").now.value = ca_proto::dbr::Value::empty(ca_proto::dbr::NativeType::Double);
    rig.exchange(
        &event_add(6, 0, 3, 9, 1),
        "00010000 00060000 00000001 00000009",
    );
}

/// Bits up to 0x80 are passed on.
#[test]
fn trap_59_property_mask_reaches_the_database() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.ask(&event_add(5, 1, 0, 4, 8));
    assert_eq!(rig.db.subs[0].2, EventMask::PROPERTY);
}

/// The second of two subscriptions is cancelled, the first goes on.
#[test]
fn trap_52_cancel_takes_the_subscription_it_names() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.ask(&event_add(5, 1, 0, 4, 1));
    rig.ask(&event_add(5, 1, 0, 5, 1));
    rig.exchange(
        "00020000 00050001 00000000 00000005",
        "00010000 00050001 00000000 00000005",
    );
    rig.post("ival", 1, EventMask::VALUE);
    assert_eq!(rig.take_messages()[0].p2, 4);
    let unknown = rig.send("00020000 00050001 00000000 00000005");
    assert!(matches!(
        unknown,
        Err(Violation::UnknownSubscription { .. })
    ));
    assert_eq!(rig.take_messages()[0].p2, 0xf2);
}
