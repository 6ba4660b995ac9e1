//! Traps W1 to W13 of `ca-proto/TRAPS.md`: headers, framing and identifiers.

mod server_rig;

use ca_proto::server::Violation;
use ca_proto::wire::{Command, Minor};
use server_rig::*;

const ECHO: &str = "00170000 00000000 00000000 00000000";

#[test]
fn trap_01_standard_header_up_to_65528_bytes() {
    let head = |elements| {
        let mut rig = with_array(elements);
        rig.send(&read_notify(6, 0, 0, 7)).unwrap();
        words(&rig.take_bytes()[..24])
    };
    assert!(head(8191).starts_with("000ffff8 00061fff 00000001 00000007"));
    assert_eq!(
        head(8192),
        hex("000fffff 00060000 00000001 00000007 00010000 00002000")
    );
}

#[test]
fn trap_02_count_alone_makes_the_header_extended() {
    let mut rig = Rig::new();
    rig.create(0, 1, "text");
    // WRITE_NOTIFY reply and cancel confirmation of 70 000 elements, without payload.
    let text = "61".repeat(70_000);
    rig.exchange(
        &format!("0013ffff 00040000 00000000 00000005 00011170 00011170 {text}"),
        "0013ffff 00040000 00000001 00000005 00000000 00011170",
    );
    rig.ask(
        "0001ffff 00040000 00000000 00000006 00000010 00011170 \
         00000000 00000000 00000000 00010000",
    );
    rig.exchange(
        "00020000 00041170 00000000 00000006",
        "0001ffff 00040000 00000000 00000006 00000000 00011170",
    );
}

#[test]
fn trap_03_old_client_gets_no_extended_header() {
    let mut rig = Rig::of_version(params(), 8);
    let create = create(9, "text").replace("0000000d", "00000008");
    rig.exchange(
        &create,
        "00160000 00000000 00000009 00000003 00120000 0004fffe 00000009 00000000",
    );
    for request in [
        read_notify(4, 0, 0, 7),
        "00030000 0004fffe 00000000 00000007".into(),
    ] {
        let all = rig.ask_messages(&request);
        // 65534 chars are padded to 65536.
        assert_eq!((all.len(), all[0].command, all[0].p2), (1, 11, 0x1d0));
        assert_eq!((all[0].p1, all[0].text().as_str()), (9, "text"));
    }
    let all = rig.ask_messages(&event_add(4, 0, 0, 3, 1));
    assert_eq!((all.len(), all[0].command, all[0].p2), (1, 11, 0x1d0));
    assert_eq!(
        words(&all[0].payload[..16]),
        hex("00010010 00040000 00000000 00000003")
    );
    // The subscription stays installed.
    rig.exchange(
        "00020000 00040000 00000000 00000003",
        "00010000 00040000 00000000 00000003",
    );
}

#[test]
fn trap_04_create_chan_replaces_the_version_of_the_circuit() {
    let mut rig = Rig::new();
    let old = create(1, "text").replace("0000000d", "00000008");
    assert!(rig.ask(&old).contains("00120000 0004fffe"));
    assert!(!rig.circuit.limits().extended);
    assert!(rig.ask(&create(2, "text")).contains("0012ffff 00040000"));
    let ancient = create(3, "text").replace("0000000d", "00000003");
    assert_eq!(
        rig.send(&ancient),
        Err(Violation::UnsupportedVersion(Minor(3)))
    );
    assert_eq!(rig.take(), "");
}

#[test]
fn trap_05_any_segmentation_of_the_stream() {
    let session = [
        create(1, "dval"),
        event_add(20, 0, 0, 1, 5),
        read_notify(6, 1, 0, 2),
        "0017ffff 00010000 00000002 00000003 00000008 00000005 61626364 65666768".into(),
        ECHO.into(),
    ]
    .concat();
    let mut whole = Rig::new();
    whole.send(&session).unwrap();
    let mut pieces = Rig::new();
    for byte in bytes(&session) {
        pieces.feed(&[byte]).unwrap();
    }
    assert_eq!(pieces.take(), whole.take());
}

/// Also when the payload never arrives.
#[test]
fn trap_06_odd_size_is_answered_and_closes() {
    let mut rig = Rig::new();
    let result = rig.send("00040005 00050001 00000002 00000003");
    let command = Command::WRITE;
    assert_eq!(result, Err(Violation::Misaligned { command, len: 5 }));
    let all = rig.take_messages();
    assert_eq!((all[0].command, all[0].p1, all[0].p2), (11, u32::MAX, 0x8e));
    assert_eq!(
        words(&all[0].payload[..16]),
        hex("00040005 00050001 00000002 00000003")
    );
}

#[test]
fn trap_07_sizes_do_not_wrap() {
    let mut rig = Rig::new();
    rig.create(0, 1, "dval");
    for count in ["20000000", "ffffffff", "1fffffff"] {
        let request = format!("000fffff 00060000 00000000 00000007 00000000 {count}");
        let all = rig.ask_messages(&request);
        assert_eq!(
            (all.len(), all[0].command, all[0].p1, all[0].p2),
            (1, 11, 1, 0x48)
        );
    }
    assert_eq!(rig.ask(ECHO), hex(ECHO));
}

/// Every byte that carries no value is zero, whatever was in the buffers before; D7.
#[test]
fn trap_08_padding_is_zero() {
    let mut rig = Rig::new();
    rig.create(0, 1, "dval");
    rig.create(1, 2, "sval");
    rig.ask(&format!(
        "00170040 00000000 00000000 00000000 {}",
        "ee".repeat(64)
    ));
    for ty in 0..=34u16 {
        rig.send(&read_notify(ty, 1, 0, 7)).unwrap();
        let reply = &rig.take_bytes()[16..];
        let size = ca_proto::dbr::DbrType(ty).size(1) as usize;
        assert_eq!(reply.len(), size.next_multiple_of(8));
        assert!(reply[size..].iter().all(|&b| b == 0), "type {ty}");
    }
    rig.send(&read_notify(0, 1, 1, 7)).unwrap();
    assert!(rig.take_bytes()[16 + 5..].iter().all(|&b| b == 0));
}

#[test]
fn trap_09_unused_fields_are_ignored() {
    let mut rig = Rig::new();
    rig.exchange(
        "00120008 12345678 00000001 0000000d 6476616c 00000000",
        "00160000 00000000 00000001 00000003 00120000 00060001 00000001 00000000",
    );
    // A VERSION and a READ_NOTIFY with payload, flow control with everything.
    assert_eq!(
        rig.ask("00000008 0000000d 11111111 22222222 33333333 44444444"),
        ""
    );
    assert_eq!(
        rig.ask("00090008 11112222 33333333 44444444 55555555 66666666"),
        ""
    );
    let read = "000f0008 00050001 00000000 00000001 ffffffff ffffffff";
    assert_eq!(rig.ask_messages(read)[0].i32(0), 3);
    // A longer subscription request.
    let all = rig.ask_messages(
        "00010018 00050001 00000000 00000002 ffffffff ffffffff ffffffff 0001ffff ffffffff ffffffff",
    );
    assert_eq!((all[0].p1, all[0].i32(0)), (1, 3));
}

#[test]
fn trap_10_and_11_replies_carry_the_status_where_the_specification_shows_the_sid() {
    let mut rig = Rig::new();
    rig.create(5, 1, "ival");
    let replies = [
        rig.ask_messages(&read_notify(5, 1, 5, 7)),
        rig.ask_messages(&event_add(5, 1, 5, 7, 1)),
        rig.ask_messages("00130008 00050001 00000005 00000007 00000001 00000000"),
    ];
    assert!(replies.iter().all(|all| (all[0].p1, all[0].p2) == (1, 7)));
}

/// READ_NOTIFY with the id of a live subscription does not touch it; 3.14.
#[test]
fn trap_12_identifiers_are_independent() {
    let mut rig = Rig::new();
    rig.create(3, 3, "ival");
    rig.ask(&event_add(5, 1, 3, 3, 1));
    let all = rig.ask_messages(&read_notify(5, 1, 3, 3));
    assert_eq!((all[0].command, all[0].p2), (15, 3));
    assert_eq!(rig.circuit.subscription_count(), 1);
}

#[test]
fn trap_13_zero_is_an_ordinary_identifier() {
    let mut rig = Rig::new();
    rig.create(0, 0, "ival");
    assert_eq!(rig.ask_messages(&event_add(5, 1, 0, 0, 1))[0].p1, 1);
    assert_eq!(rig.ask_messages(&read_notify(5, 1, 0, 0))[0].p1, 1);
    rig.exchange(
        "00020000 00050001 00000000 00000000",
        "00010000 00050001 00000000 00000000",
    );
}

/// The same client id for several channels, the same subscription id twice.
#[test]
fn client_chosen_identifiers_need_not_be_unique() {
    let mut rig = Rig::new();
    rig.create(0, 7, "ival");
    rig.create(1, 7, "dval");
    rig.ask(&event_add(5, 1, 0, 4, 1));
    rig.ask(&event_add(20, 2, 0, 4, 1));
    // The oldest one goes first.
    rig.exchange(
        "00020000 00000000 00000000 00000004",
        "00010000 00050001 00000000 00000004",
    );
    rig.exchange(
        "00020000 00000000 00000000 00000004",
        "00010000 00140002 00000000 00000004",
    );
}
