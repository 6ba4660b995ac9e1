//! TCP exchanges of the reference server as seen on the wire, byte for byte.

mod server_rig;

use ca_proto::access::AccessRights;
use ca_proto::server::Violation;
use ca_proto::wire::Command;
use ca_proto::wire::message::EventMask;
use server_rig::*;

/// VERSION
#[test]
fn version_is_sent_at_accept_and_not_again() {
    let mut rig = Rig::accepted(params());
    assert_eq!(rig.take(), hex("00000000 0000000d 00000000 00000000"));
    rig.exchange("00000000 0000000d 00000000 00000000", "");
    assert_eq!(rig.circuit.minor().0, 13);
}

/// EVENT_ADD
#[test]
fn event_add_brings_the_value_at_once() {
    let mut rig = Rig::new();
    rig.create(4, 1, "dval");
    rig.exchange(
        "00010010 00140000 00000004 00000001 00000000 00000000 00000000 00050000",
        "00010018 00140001 00000001 00000001 00000000 4561652b 1b876ae4 00000000 400921fb 54442d11",
    );
    assert_eq!(rig.db.subs[0].2, EventMask(5));
}

/// EVENT_CANCEL
#[test]
fn event_cancel_is_confirmed_by_an_empty_event_add() {
    let mut rig = Rig::new();
    rig.create(11, 1, "ival");
    rig.ask(&event_add(5, 1, 11, 0x55, 1));
    rig.exchange(
        "00020000 00050001 0000000b 00000055",
        "00010000 00050001 0000000b 00000055",
    );
    assert!(rig.db.subs.is_empty());
}

/// READ; the bytes behind the NUL are zero here.
#[test]
fn obsolete_read_answers_with_the_client_id_and_a_short_string() {
    let mut rig = Rig::new();
    rig.create(0, 0x21, "ival");
    rig.exchange(
        "00030000 00000001 00000000 00000007",
        "00030008 00000001 00000021 00000007 34320000 00000000",
    );
}

/// WRITE
#[test]
fn write_has_no_answer() {
    let mut rig = Rig::new();
    rig.create(2, 1, "ival");
    rig.exchange("00040008 00000001 00000002 00000001 31320000 00000000", "");
    assert_eq!(rig.db.get("ival").now.value, 12i32.into());
}

/// SEARCH
#[test]
fn search_over_tcp_is_answered_without_payload() {
    let mut rig = Rig::new();
    rig.exchange(
        "00060008 0005000d 00001234 00001234 6976616c 00000000",
        "00060000 63780000 ffffffff 00001234",
    );
}

/// READ_SYNC
#[test]
fn read_sync_comes_back_without_payload() {
    let mut rig = Rig::new();
    rig.exchange(
        "000a0008 00010002 00000003 00000004 61626364 65666768",
        "000a0000 00010002 00000003 00000004",
    );
}

/// ERROR
#[test]
fn write_without_permission_is_an_error_with_the_request() {
    let mut rig = Rig::new();
    rig.create(12, 1, "none");
    rig.exchange(
        "00040008 00050001 0000000c 00000063 00000001 00000000",
        "000b0018 00000000 00000001 00000178 00040008 00050001 0000000c 00000063 6e6f6e65 00000000",
    );
}

/// ERROR
#[test]
fn error_repeats_an_extended_header() {
    let mut rig = Rig::new();
    rig.create(12, 1, "ival");
    rig.exchange(
        "0004ffff 00260000 0000000c 00000007 00000008 00011170 00000000 00000000",
        "000b0020 00000000 00000001 000000a0 0004ffff 00260000 0000000c 00000007 \
         00000008 00011170 6976616c 00000000",
    );
}

/// CLEAR_CHANNEL
#[test]
fn clear_channel_is_echoed() {
    let mut rig = Rig::new();
    rig.create(0, 1, "dval");
    rig.exchange(
        "000c0000 00000000 00000000 00000001",
        "000c0000 00000000 00000000 00000001",
    );
    assert_eq!(rig.db.open, 0);
}

/// NOT_FOUND
#[test]
fn search_over_tcp_with_reply_flag_is_denied() {
    let mut rig = Rig::new();
    rig.exchange(
        "00060008 000a000d 00001234 00005678 6e6f7065 00000000",
        "000e0000 000a000d 00001234 00005678",
    );
    rig.exchange("00060008 0005000d 00001234 00005678 6e6f7065 00000000", "");
}

/// READ_NOTIFY
#[test]
fn read_notify_answers_with_status_and_value() {
    let mut rig = Rig::new();
    rig.create(0, 1, "dval");
    rig.exchange(
        "000f0000 00140001 00000000 00000001",
        "000f0018 00140001 00000001 00000001 00000000 4561652b 1b876ae4 00000000 400921fb 54442d11",
    );
}

/// READ_NOTIFY
#[test]
fn read_notify_fills_up_to_the_requested_count() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.exchange(
        "000f0000 00050003 00000000 00000007",
        "000f0010 00050003 00000001 00000007 0000002a 00000000 00000000 00000000",
    );
}

/// READ_NOTIFY
#[test]
fn read_notify_without_access_has_a_status_and_zeros() {
    let mut rig = Rig::new();
    rig.create(12, 1, "none");
    rig.exchange(
        "000f0000 00050001 0000000c 00000007",
        "000f0008 00050001 00000170 00000007 00000000 00000000",
    );
}

/// CREATE_CHAN
#[test]
fn create_chan_is_answered_by_rights_and_channel() {
    let mut rig = Rig::new();
    rig.exchange(
        "00120008 00000000 00000001 0000000d 6476616c 00000000",
        "00160000 00000000 00000001 00000003 00120000 00060001 00000001 00000000",
    );
}

/// the extended header
#[test]
fn create_chan_of_a_large_array_has_an_extended_header() {
    let mut rig = Rig::new();
    rig.create(4, 1, "ival");
    rig.exchange(
        &create(9, "text"),
        "00160000 00000000 00000009 00000003 \
         0012ffff 00040000 00000009 00000005 00000000 00011170",
    );
}

/// WRITE_NOTIFY
#[test]
fn write_notify_is_answered_without_payload() {
    let mut rig = Rig::new();
    rig.create(3, 1, "sval");
    rig.exchange(
        "00130008 00000001 00000003 00000002 68656c6c 6f000000",
        "00130000 00000001 00000001 00000002",
    );
}

/// CLIENT_NAME and HOST_NAME
#[test]
fn names_have_no_answer_and_identify_the_client() {
    let mut rig = Rig::new();
    rig.exchange("00140008 00000000 00000000 00000000 726f6f74 00000000", "");
    rig.exchange("00150008 00000000 00000000 00000000 766d0000 00000000", "");
    assert_eq!(rig.circuit.identity().user, b"root");
    assert_eq!(rig.circuit.identity().host, b"vm");
}

/// ACCESS_RIGHTS
#[test]
fn access_rights_have_one_bit_each() {
    let mut rig = Rig::new();
    rig.exchange(
        &create(0x51, "ro"),
        "00160000 00000000 00000051 00000001 00120000 00050001 00000051 00000000",
    );
}

/// ECHO
#[test]
fn echo_returns_everything() {
    let mut rig = Rig::new();
    let echo = "00170008 000c0017 0000162e 008adf38 61626364 65666768";
    rig.exchange(echo, echo);
}

/// ECHO: extended headers are re-encoded to the shortest form.
#[test]
fn echo_is_sent_in_the_shortest_form() {
    let mut rig = Rig::new();
    rig.exchange(
        "0017ffff 00010000 00000002 00000003 00000008 00000005 61626364 65666768",
        "00170008 00010005 00000002 00000003 61626364 65666768",
    );
}

/// CREATE_CH_FAIL
#[test]
fn unknown_channel_cannot_be_created() {
    let mut rig = Rig::new();
    rig.exchange(&create(0x12, "nope"), "001a0000 00000000 00000012 00000000");
}

#[test]
fn withdrawn_and_returned_read_access() {
    let mut rig = Rig::new();
    rig.db.add("five", 5i32.into(), 1);
    rig.create(0, 0x51, "five");
    rig.ask(&event_add(5, 1, 0, 1, 1));
    rig.db.get("five").rights = AccessRights::NONE;
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    assert_eq!(
        rig.take(),
        hex("00160000 00000000 00000051 00000000 \
             00010008 00050001 00000170 00000001 00000000 00000000")
    );
    rig.db.get("five").rights = AccessRights::ALL;
    rig.circuit.rights_changed(rig.now, &mut rig.db);
    assert_eq!(
        rig.take(),
        hex("00160000 00000000 00000051 00000003 \
             00010008 00050001 00000001 00000001 00000005 00000000")
    );
}

/// 12: all opening messages may come in one segment.
#[test]
fn a_whole_session_of_the_reference_client() {
    let mut rig = Rig::accepted(params());
    rig.exchange(
        "00000000 0000000d 00000000 00000000 \
         00140008 00000000 00000000 00000000 726f6f74 00000000 \
         00150008 00000000 00000000 00000000 766d0000 00000000 \
         00120008 00000000 00000001 0000000d 6476616c 00000000",
        "00000000 0000000d 00000000 00000000 \
         00160000 00000000 00000001 00000003 \
         00120000 00060001 00000001 00000000",
    );
    rig.exchange(
        "000f0000 00140001 00000000 00000001",
        "000f0018 00140001 00000001 00000001 00000000 4561652b 1b876ae4 00000000 400921fb 54442d11",
    );
    rig.ask("000c0000 00000000 00000000 00000001");
    assert_eq!((rig.db.open, rig.circuit.channel_count()), (0, 0));
}

/// Every command that is no request, and some without a meaning.
#[test]
fn bad_commands_are_answered_and_close_the_circuit() {
    for command in [
        5u16, 7, 11, 13, 14, 16, 17, 22, 24, 25, 26, 27, 28, 100, 65535,
    ] {
        let mut rig = Rig::new();
        let result = rig.send(&format!("{command:04x}0000 00010002 00000003 00000004"));
        assert_eq!(result, Err(Violation::UnknownCommand(Command(command))));
        let replies = rig.take_messages();
        assert_eq!(replies.len(), 1);
        assert_eq!(
            (replies[0].command, replies[0].p1, replies[0].p2),
            (11, 0xffff_ffff, 0x8e)
        );
        let copy = format!("{command:04x}0000 00010002 00000003 00000004");
        assert_eq!(words(&replies[0].payload[..16]), hex(&copy));
    }
}
