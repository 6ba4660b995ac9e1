//! Requests that fail, limits, and the end of channels and circuits: `camessage.c` of EPICS Base.

mod server_rig;

use ca_proto::access::AccessRights;
use ca_proto::server::Violation;
use ca_proto::wire::Minor;
use ca_proto::wire::message::EventMask;
use server_rig::*;

const ECHO: &str = "00170000 00000000 00000000 00000000";

/// EVENT_ADD: types 35 and 36 are accepted, every update tells that they cannot be read.
#[test]
fn subscription_of_a_write_only_type_fails_with_each_update() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.exchange(
        &event_add(35, 1, 0, 4, 1),
        "00010008 00230001 00000098 00000004 00000000 00000000",
    );
    rig.post("ival", 1, EventMask::VALUE);
    assert_eq!(rig.take_messages()[0].p1, 0x98);
}

/// `WRITE`: the access check precedes the type check; `WRITE_NOTIFY`: the other way round.
#[test]
fn order_of_access_and_type_checks() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ro");
    let all = rig.ask_messages("00040008 00270001 00000000 00000005 00000001 00000000");
    assert_eq!((all[0].command, all[0].p2), (11, 0x178));
    let result = rig.send("00130008 00270001 00000000 00000005 00000001 00000000");
    assert!(matches!(result, Err(Violation::BadType { .. })));
    assert_eq!(rig.take(), hex("00130000 00270001 00000072 00000005"));
}

/// What is sent before, and whom the violation blames.
#[test]
fn fatal_requests_are_answered_as_the_reference_does() {
    let ival = 0;
    let cases = [
        // VERSION: minor below 4, priority above 99.
        ("00000000 00000003 00000000 00000000".to_string(), None),
        ("00000000 0064000d 00000000 00000000".into(), None),
        // SEARCH: minor below 4.
        (
            "00060008 00050003 00000001 00000001 6976616c 00000000".into(),
            None,
        ),
        // Type above 38.
        (event_add(39, 1, ival, 1, 1), None),
        (read_notify(39, 1, ival, 1), None),
        (read_notify(39, 1, 99, 1), None),
        (
            "00030000 00270001 00000000 00000001".into(),
            Some((1, 0x72)),
        ),
        (
            "00040008 00270001 00000000 00000001 00000000 00000000".into(),
            Some((1, 0x72)),
        ),
        // Event mask.
        (event_add(5, 1, ival, 1, 0), Some((1, 0x30))),
        (event_add(5, 1, ival, 1, 0x100), Some((1, 0x30))),
        // Unknown server ids.
        (event_add(5, 1, 99, 1, 1), Some((u32::MAX, 0x8e))),
        (
            "00020000 00050001 00000063 00000001".into(),
            Some((u32::MAX, 0x8e)),
        ),
        (
            "00030000 00050001 00000063 00000001".into(),
            Some((u32::MAX, 0x8e)),
        ),
        (
            "00040000 00050000 00000063 00000001".into(),
            Some((u32::MAX, 0x8e)),
        ),
        (
            "000c0000 00000000 00000063 00000001".into(),
            Some((u32::MAX, 0x8e)),
        ),
        (read_notify(5, 1, 99, 1), Some((u32::MAX, 0x8e))),
        (
            "00130000 00050000 00000063 00000001".into(),
            Some((u32::MAX, 0x8e)),
        ),
        // Unknown subscription.
        (
            "00020000 00050001 00000000 00000063".into(),
            Some((1, 0xf2)),
        ),
    ];
    for (request, error) in cases {
        let mut rig = Rig::new();
        rig.create(ival, 1, "ival");
        assert!(rig.send(&request).is_err(), "{request}");
        let sent = rig.take_messages();
        let expected: Vec<_> = error
            .into_iter()
            .map(|(cid, status)| (11, cid, status))
            .collect();
        let seen: Vec<_> = sent.iter().map(|m| (m.command, m.p1, m.p2)).collect();
        assert_eq!(seen, expected, "{request}");
        // Nothing that follows counts.
        assert_eq!(rig.ask(ECHO), "");
    }
}

/// Replies queued before are sent.
#[test]
fn replies_before_a_fatal_request_are_flushed() {
    let mut rig = Rig::new();
    assert!(
        rig.send(&format!("{ECHO} 00050000 00000000 00000000 00000000"))
            .is_err()
    );
    let commands: Vec<u16> = rig.take_messages().iter().map(|m| m.command).collect();
    assert_eq!(commands, [23, 11]);
}

/// Refused, discarded, the circuit stays usable.
#[test]
fn request_above_the_array_limit_is_skipped() {
    let mut rig = Rig::with(params().max_array_bytes(Some(20_000)));
    rig.create(0, 1, "ival");
    let payload = "00".repeat(24_000);
    let all = rig.ask_messages(&format!(
        "00045dc0 00060bb8 00000000 00000001 {payload} {ECHO}"
    ));
    assert_eq!((all[0].command, all[0].p1, all[0].p2), (11, 1, 0x48));
    assert_eq!(all[1].command, 23);
}

/// With 20000, 2501 doubles were served, 3000 refused; for a subscription at every update.
#[test]
fn reply_above_the_array_limit_is_an_error() {
    let mut rig = Rig::with(params().max_array_bytes(Some(20_000)));
    rig.db.add("big", vec![0.0; 3000].into(), 3000);
    rig.create(0, 1, "big");
    assert_eq!(rig.ask_messages(&read_notify(6, 2501, 0, 7))[0].command, 15);
    let all = rig.ask_messages(&read_notify(6, 0, 0, 7));
    assert_eq!((all[0].command, all[0].p1, all[0].p2), (11, 1, 0x48));
    assert_eq!(
        all[0].text(),
        "big: 24000 bytes exceed the array limit of the server"
    );
    for _ in 0..2 {
        rig.post("big", vec![0.0; 3000], EventMask::VALUE);
    }
    let all = rig.ask_messages(&event_add(6, 0, 0, 3, 1));
    assert_eq!((all.len(), all[0].p2), (1, 0x48));
    rig.post("big", vec![0.0; 3000], EventMask::VALUE);
    assert_eq!(rig.take_messages()[0].p2, 0x48);
    rig.ask("00020000 00060000 00000000 00000003");
    assert_eq!(rig.ask(ECHO), hex(ECHO));
}

/// Elements of the native type travel without a copy.
#[test]
fn large_arrays_are_shared_with_the_send_queue() {
    let mut rig = with_array(100_000);
    let value = rig.db.get("big").now.value.clone();
    rig.send(&read_notify(20, 0, 0, 7)).unwrap();
    let queue = rig.circuit.transmit(&rig.db);
    let shared = queue
        .slices()
        .any(|slice| slice.as_ptr() == value.payload().as_slice().as_ptr());
    assert!(shared);
}

/// SERVER_DISCONN: one channel goes, the circuit stays; too old a client loses the circuit.
#[test]
fn removed_pv_disconnects_its_channels() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.create(1, 2, "dval");
    rig.ask(&event_add(5, 1, 0, 3, 1));
    let pv = rig.db.pv("ival");
    rig.circuit.pv_gone(pv, &mut rig.db).unwrap();
    assert_eq!(rig.take(), hex("001b0000 00000000 00000001 00000000"));
    assert_eq!(
        (rig.db.open, rig.db.subs.len(), rig.circuit.channel_count()),
        (1, 0, 1)
    );

    let mut old = Rig::of_version(params(), 6);
    let create = create(1, "ival").replace("0000000d", "00000006");
    old.ask(&create);
    let result = old.circuit.pv_gone(pv, &mut old.db);
    assert_eq!(result, Err(Violation::CannotDisconnectChannel(Minor(6))));
}

/// Everything of a lost circuit is released.
#[test]
fn lost_circuit_leaves_nothing_behind() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.create(1, 2, "slow");
    rig.ask(&event_add(5, 1, 0, 3, 1));
    rig.ask("00130008 00050001 00000001 00000005 00000008 00000000");
    rig.circuit.close(&mut rig.db);
    assert_eq!((rig.db.open, rig.db.subs.len()), (0, 0));
    rig.complete(rig.db.tickets[0], ca_proto::EcaStatus::NORMAL);
    assert!(!rig.circuit.has_output());
}

/// Limits are told by name, and the circuit lives.
#[test]
fn limits_of_a_circuit_are_named() {
    let params = params()
        .max_channels_per_circuit(1)
        .max_subscriptions_per_circuit(1)
        .max_pending_puts_per_circuit(1);
    let mut rig = Rig::with(params);
    rig.create(0, 1, "slow");
    let all = rig.ask_messages(&create(2, "ival"));
    assert_eq!((all[0].p2, all[1].command, all[1].p1), (0x30, 26, 2));
    assert_eq!(
        all[0].text(),
        "the limit of 1 channels per circuit is reached"
    );
    rig.ask(&event_add(5, 1, 0, 3, 1));
    let all = rig.ask_messages(&event_add(5, 1, 0, 4, 1));
    assert_eq!(
        all[0].text(),
        "the limit of 1 subscriptions per circuit is reached"
    );
    let put = "00130008 00050001 00000000 00000005 00000008 00000000";
    rig.ask(put);
    rig.exchange(put, "00130000 00050001 0000016a 00000005");
    rig.db.get("slow").rights = AccessRights::READ;
    assert_eq!(rig.ask(ECHO), hex(ECHO));
}

/// the extended header: to a client below 4.9 the mark is a plain, misaligned size; the copy stays 16 bytes.
#[test]
fn extended_header_of_an_old_client_is_misaligned() {
    let mut rig = Rig::of_version(params(), 8);
    let result = rig.send("000fffff 00060001 00000000 00000007");
    let (command, len) = (ca_proto::wire::Command::READ_NOTIFY, 0xffff);
    assert_eq!(result, Err(Violation::Misaligned { command, len }));
    let all = rig.take_messages();
    assert_eq!(
        words(&all[0].payload[..16]),
        hex("000ffffe 00060001 00000000 00000007")
    );
}

/// A client that asks for conversions of large arrays and does not read is not served without end.
#[test]
fn conversions_behind_a_full_queue_are_refused() {
    let mut rig = Rig::with(params().max_array_bytes(Some(400_000)));
    rig.db.add("big", vec![1i32; 9000].into(), 9000);
    rig.create(0, 1, "big");
    for _ in 0..20 {
        rig.send(&read_notify(0, 9000, 0, 7)).unwrap();
    }
    // 64 KiB above which the driver should have stopped, and one message of the largest size.
    assert!(rig.circuit.transmit(&rig.db).len() < 65_536 + 400_024 + 2000);
    // Without a conversion nothing is copied, so nothing is refused.
    rig.send(&read_notify(5, 9000, 0, 8)).unwrap();
    let all = rig.take_messages();
    // A driver would have waited for the reply; who does not gets the refusals first.
    assert_eq!((all[0].command, all[0].p2), (11, 0x30));
    assert_eq!(
        all[0].text(),
        "big: too many replies are waiting to be read"
    );
    assert_eq!((all[19].command, all[19].payload.len()), (15, 360_000));
    assert_eq!((all[20].command, all[20].p2), (15, 8));
    rig.send(&read_notify(0, 9000, 0, 9)).unwrap();
    assert_eq!(rig.take_messages()[0].command, 15);
}

/// Asking for more elements than there are costs the server no memory.
#[test]
fn padding_of_large_counts_is_shared() {
    let mut rig = Rig::new();
    rig.create(0, 1, "ival");
    rig.send("000fffff 00050000 00000000 00000007 00000000 01000000")
        .unwrap();
    let queue = rig.circuit.transmit(&rig.db);
    assert_eq!(queue.len(), 24 + 4 * 0x100_0000);
    let longest = queue.slices().map(<[u8]>::len).max().unwrap();
    assert_eq!(longest, 1 << 20);
}
