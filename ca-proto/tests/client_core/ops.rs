//! Reads, writes, put-notifies, and what servers say about them (`tcpiiu::writeRequest`, `nciu`,
//! `cac::disconnectAllIO` and `cac::exceptionRespAction` of EPICS Base).

use bytes::Bytes;
use ca_proto::EcaStatus;
use ca_proto::client::{CloseReason, OpError, ReadSpec, Token, TypeSpec};
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Cid, CircuitId};
use ca_proto::wire::message::Data;
use ca_proto::wire::tcp;

use crate::rig::*;

const fn spec(ty: TypeSpec, count: u32) -> ReadSpec {
    ReadSpec { ty, count }
}

const PLAIN: TypeSpec = TypeSpec::Family(Family::Plain);

/// A connected channel of this type and count with sid 0x14.
fn channel(ty: u16, count: u32, minor: u16) -> (Rig, Cid, CircuitId) {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", SERVER);
    rig.feed(
        c,
        &[version(minor), rights(cid, 3), create(cid, 0x14, ty, count)],
    );
    rig.events();
    (rig, cid, c)
}

/// `000f ffff 0014 0000 <sid> <ioid> 00000000 00030d40`; trap 35.
#[test]
fn trap_35_a_large_count_needs_the_extended_header() {
    let (mut rig, cid, c) = channel(6, 200_000, 13);
    let ty = TypeSpec::Family(Family::Time);
    let read = |rig: &mut Rig, count| {
        let token = Token(0);
        rig.client
            .read(rig.now, cid, spec(ty, count), token, None)
            .unwrap()
    };
    read(&mut rig, 200_000);
    assert_eq!(
        rig.bytes(c),
        hex("000f ffff 0014 0000 00000014 00000000 00000000 00030d40")
    );
    read(&mut rig, 65_535);
    assert_eq!(rig.bytes(c).len(), 24);
    read(&mut rig, 65_534);
    assert_eq!(rig.bytes(c).len(), 16);
}

/// Count 0 only to servers from 4.13 on.
#[test]
fn trap_23_count_zero_is_replaced_for_old_servers() {
    for (minor, expected) in [(13, 0), (12, 3), (11, 3)] {
        let (mut rig, cid, c) = channel(6, 3, minor);
        rig.client
            .read(rig.now, cid, spec(PLAIN, 0), Token(0), None)
            .unwrap();
        assert_eq!(
            rig.sent(c),
            [format!(
                "READ_NOTIFY ty=DBR_DOUBLE count={expected} sid=20 ioid=0"
            )]
        );
    }
}

#[test]
fn a_read_is_answered_once() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let ioid = rig.read(cid, 5);
    rig.feed(c, &[read_reply(ioid), read_reply(ioid)]);
    assert_eq!(rig.heard(), [was_read(5)]);
}

/// Trap 34: type and count are those of the reply.
#[test]
fn trap_34_the_reply_says_how_much_it_holds() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let ioid = rig.read(cid, 5);
    rig.feed(
        c,
        &[tcp::Response::ReadNotify {
            ty: TIME_DOUBLE,
            count: 0,
            status: EcaStatus::NORMAL,
            ioid,
            data: Data(&[0; 16]),
        }],
    );
    assert_eq!(rig.heard(), [Heard::Read(5, TIME_DOUBLE, 0, vec![0; 16])]);
}

/// Trap 38: the status of a reply; defect 10.9 and trap 36: lengths that contradict the count.
#[test]
fn trap_38_replies_that_bring_no_value() {
    for (ty, count, status, len, expected) in [
        (6, 1, EcaStatus::GETFAIL, 8, EcaStatus::GETFAIL),
        (6, 2, EcaStatus::NORMAL, 8, EcaStatus::BADCOUNT),
        (6, u32::MAX, EcaStatus::NORMAL, 8, EcaStatus::BADCOUNT),
        (39, 1, EcaStatus::NORMAL, 8, EcaStatus::BADTYPE),
        (35, 1, EcaStatus::NORMAL, 8, EcaStatus::BADTYPE),
        (65_535, 1, EcaStatus::NORMAL, 8, EcaStatus::BADTYPE),
    ] {
        let mut rig = Rig::new();
        let (cid, c) = rig.connect("X", 1);
        let ioid = rig.read(cid, 5);
        rig.feed(
            c,
            &[tcp::Response::ReadNotify {
                ty: DbrType(ty),
                count,
                status,
                ioid,
                data: Data(&[0; 64][..len]),
            }],
        );
        let status = match rig.heard()[..] {
            [Heard::Failed(5, said)] if status != EcaStatus::NORMAL => said,
            [Heard::Malformed(5, found)] => found.status(),
            ref other => panic!("{other:?}"),
        };
        assert_eq!(status, expected, "{ty} {count}");
    }
}

/// Trap 37: scalar strings travel short, in both directions.
#[test]
fn trap_37_short_strings() {
    let (mut rig, cid, c) = channel(0, 2, 13);
    let ioid = rig
        .client
        .read(rig.now, cid, spec(PLAIN, 1), Token(5), None)
        .unwrap();
    rig.bytes(c);
    rig.feed(
        c,
        &[tcp::Response::ReadNotify {
            ty: DbrType(0),
            count: 1,
            status: EcaStatus::NORMAL,
            ioid,
            data: Data(b"hello\0\0\0"),
        }],
    );
    assert_eq!(rig.heard().len(), 1);
    let string = DbrType(0);
    let mut written = |value: &Value| {
        rig.client.write(rig.now, cid, string, value).unwrap();
        rig.bytes(c)
    };
    assert_eq!(
        written(&"hello".into()),
        hex("0004 0008 0000 0001 00000014 00000000 68656c6c 6f000000")
    );
    assert_eq!(
        written(&"".into()),
        hex("0004 0008 0000 0001 00000014 00000000 00000000 00000000")
    );
    let two = written(&Value::strings(&["a", "b"]));
    assert_eq!(two.len(), 16 + 80);
    assert_eq!((two[16], two[56]), (b'a', b'b'));
    let none = written(&Value::empty(NativeType::String));
    assert_eq!(none, hex("0004 0000 0000 0000 00000014 00000000"));
}

/// Other scalars in natural size, padded to 8.
#[test]
fn scalars_are_padded_with_zeros() {
    let (mut rig, cid, c) = channel(1, 1, 13);
    let ioid = rig
        .client
        .write_notify(rig.now, cid, DbrType(1), &0x1234_i16.into(), Token(9), None)
        .unwrap();
    assert_eq!(
        rig.bytes(c),
        hex("0013 0008 0001 0001 00000014 00000000 1234 0000 00000000")
    );
    let done = |status| tcp::Response::WriteNotify {
        ty: DbrType(1),
        count: 1,
        status,
        ioid,
    };
    rig.feed(c, &[done(EcaStatus::NORMAL), done(EcaStatus::NORMAL)]);
    assert_eq!(rig.heard(), [Heard::Written(9)]);
    let acknowledge = Value::from(1_i16);
    rig.client
        .write(rig.now, cid, DbrType::PUT_ACKS, &acknowledge)
        .unwrap();
    assert_eq!(
        rig.bytes(c),
        hex("0004 0008 0024 0001 00000014 00000000 0001 0000 00000000")
    );
}

/// A large array is queued as the buffer it is in, with its padding behind it.
#[test]
fn large_values_are_shared() {
    let (mut rig, cid, c) = channel(4, 10_000, 13);
    let data = Bytes::from(vec![7; 5_001]);
    let value = Value::from_wire(NativeType::Char, data.clone());
    rig.client.write(rig.now, cid, DbrType(4), &value).unwrap();
    let queue = rig.client.transmit(rig.now, c).unwrap();
    let slices: Vec<&[u8]> = queue.slices().collect();
    assert_eq!(slices.len(), 3);
    assert_eq!(slices[1].as_ptr(), data.as_ptr());
    assert_eq!(slices[2], [0; 7]);
    assert_eq!(rig.bytes(c).len(), 16 + 5_008);
}

/// What is refused first is told: the connection, then access, then what is asked.
#[test]
fn requests_that_cannot_work_are_refused_here() {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", SERVER);
    let value = Value::from(1.0);
    let read = |rig: &mut Rig, spec| rig.client.read(rig.now, cid, spec, Token(0), None);
    let write = |rig: &mut Rig, ty, value: &Value| rig.client.write(rig.now, cid, ty, value);
    let four = Value::array(&[0.0; 4]);
    assert_eq!(read(&mut rig, spec(PLAIN, 9)), Err(OpError::NotConnected));
    assert_eq!(write(&mut rig, DOUBLE, &four), Err(OpError::NotConnected));
    rig.feed(c, &[rights(cid, 0), create(cid, 1, 6, 3)]);
    assert_eq!(read(&mut rig, spec(PLAIN, 9)), Err(OpError::NoReadAccess));
    assert_eq!(write(&mut rig, DOUBLE, &four), Err(OpError::NoWriteAccess));
    rig.feed(c, &[rights(cid, 3)]);
    let too_many = OpError::BadCount {
        asked: 4,
        available: 3,
    };
    let bad = DbrType(39);
    assert_eq!(read(&mut rig, spec(TypeSpec::Exact(bad), 4)), Err(too_many));
    assert_eq!(write(&mut rig, bad, &four), Err(too_many));
    for ty in [bad, DbrType::PUT_ACKT, DbrType::PUT_ACKS] {
        let refused = read(&mut rig, spec(TypeSpec::Exact(ty), 1));
        assert_eq!(refused, Err(OpError::BadType(ty)));
    }
    for ty in [bad, TIME_DOUBLE, DbrType(0), DbrType::PUT_ACKT] {
        assert_eq!(write(&mut rig, ty, &value), Err(OpError::BadType(ty)));
    }
    let two = Value::array(&[1_i16, 2]);
    let not_one = OpError::BadCount {
        asked: 2,
        available: 1,
    };
    assert_eq!(write(&mut rig, DbrType::PUT_ACKT, &two), Err(not_one));
    let endless = Value::from_wire(NativeType::String, vec![b'x'; 40].into());
    assert_eq!(
        write(&mut rig, DbrType(0), &endless),
        Err(OpError::BadString)
    );
    let unknown = rig.client.write(rig.now, Cid(77), DOUBLE, &value);
    assert_eq!(unknown, Err(OpError::NoSuchChannel));
    assert_eq!(rig.bytes(c), []);
    assert_eq!(rig.heard(), []);
}

/// Servers below 4.9 have no large messages.
#[test]
fn old_servers_get_no_large_requests() {
    let (mut rig, cid, c) = channel(4, 70_000, 8);
    let too_large = |bytes| {
        Err(OpError::TooLarge {
            bytes,
            limit: 16_384,
        })
    };
    let read = rig
        .client
        .read(rig.now, cid, spec(PLAIN, 16_385), Token(0), None);
    assert_eq!(read.map(|_| ()), too_large(16_385));
    let value = Value::array(&[0_u8; 20_000]);
    assert_eq!(
        rig.client.write(rig.now, cid, DbrType(4), &value),
        too_large(20_000)
    );
    assert_eq!(rig.bytes(c), []);
}

/// Requests are refused, not queued without end, while the server does not read.
#[test]
fn a_full_send_queue_pushes_back() {
    let (mut rig, cid, c) = channel(4, 70_000, 13);
    let value = Value::array(&[0_u8; 60_000]);
    let write = |rig: &mut Rig| rig.client.write(rig.now, cid, DbrType(4), &value);
    let accepted = (0..100).take_while(|_| write(&mut rig).is_ok()).count();
    assert_eq!(accepted, 5, "256 KiB and one request");
    assert!(matches!(write(&mut rig), Err(OpError::QueueFull(300_080))));
    rig.subscribe(cid, 0);
    // What the driver took counts until the socket has it.
    let taken = std::mem::take(rig.client.transmit(rig.now, c).unwrap());
    assert!(write(&mut rig).is_err());
    rig.client.handle_sent(rig.now, c, taken.len());
    assert!(write(&mut rig).is_ok());
}

/// A driver that was woken, or holds bytes, looks again by itself: a write behind others tells nobody,
/// is refused as any other, and arrives in order.
#[test]
fn a_write_behind_others_wakes_nobody() {
    let (mut rig, cid, c) = channel(6, 1, 13);
    while rig.client.poll_woken().is_some() {}
    let [one, two, three] = [1.0, 2.0, 3.0].map(Value::from);
    let behind = |rig: &mut Rig, value| rig.client.write_behind(cid, DOUBLE, value);
    assert_eq!(behind(&mut rig, &one), Ok(false), "nobody would send it");
    rig.client.write(rig.now, cid, DOUBLE, &one).unwrap();
    assert_eq!(rig.client.poll_woken(), Some(c));
    assert_eq!(behind(&mut rig, &two), Ok(true));
    let mut expected = std::mem::take(rig.client.transmit(rig.now, c).unwrap()).to_vec();
    assert_eq!(behind(&mut rig, &three), Ok(true), "the driver holds two");
    let array = Value::array(&[1.0, 2.0]);
    let refused = OpError::BadCount {
        asked: 2,
        available: 1,
    };
    assert_eq!(behind(&mut rig, &array), Err(refused));
    assert_eq!(rig.client.poll_woken(), None);
    rig.client.handle_sent(rig.now, c, expected.len());
    let last = std::mem::take(rig.client.transmit(rig.now, c).unwrap()).to_vec();
    rig.client.handle_sent(rig.now, c, last.len());
    expected.extend_from_slice(&last);
    assert_eq!(behind(&mut rig, &one), Ok(false), "all were sent");
    for value in [&one, &two, &three] {
        rig.client.write(rig.now, cid, DOUBLE, value).unwrap();
    }
    assert_eq!(rig.client.transmit(rig.now, c).unwrap().to_vec(), expected);
}

/// A program subscribes to all it shows in one loop, so subscriptions have a mark of their own.
#[test]
fn subscriptions_are_refused_at_16_mib() {
    let mut rig = Rig::with(params().send_high_water(32 << 20));
    let (cid, c) = rig.circuit("X", SERVER);
    rig.feed(c, &[rights(cid, 3), create(cid, 0x14, 4, 10_000_000)]);
    let value = Value::array(&vec![0_u8; 8 << 20]);
    let subscribe = |rig: &mut Rig| {
        let spec = time_doubles(1);
        rig.client.subscribe(rig.now, cid, spec, Token(0))
    };
    for refused in [false, false, true] {
        assert_eq!(subscribe(&mut rig).is_err(), refused);
        rig.client.write(rig.now, cid, DbrType(4), &value).unwrap();
    }
    assert!(matches!(subscribe(&mut rig), Err(OpError::QueueFull(_))));
}

#[test]
fn deadlines_pass_and_late_answers_are_ignored() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let mut read = |token, deadline| {
        let deadline = Some(at(deadline));
        rig.client
            .read(at(0), cid, spec(PLAIN, 1), Token(token), deadline)
            .unwrap()
    };
    let early = read(1, 1_000);
    let late = read(2, 2_000);
    rig.run_until(1_000);
    assert_eq!(rig.heard(), [Heard::TimedOut(1)]);
    let next = rig.read(cid, 3);
    assert_ne!(next, early);
    rig.feed(c, &[read_reply(early), read_reply(late), read_reply(next)]);
    assert_eq!(rig.heard(), [was_read(2), was_read(3)]);
    rig.run_until(5_000);
    assert_eq!(rig.heard(), []);
}

/// Traps 11 and 31: ids of cancelled operations do not come back before their answer.
#[test]
fn trap_11_a_late_answer_never_reaches_the_next_operation() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let slow = rig.read(cid, 0);
    rig.client.cancel(slow);
    rig.client.cancel(slow);
    for token in 1..3_000 {
        let ioid = rig.read(cid, token);
        assert_ne!(ioid, slow);
        rig.feed(c, &[read_reply(ioid)]);
        rig.bytes(c);
    }
    assert_eq!(rig.heard().len(), 2_999);
    let open = rig.read(cid, 7);
    rig.feed(c, &[read_reply(slow)]);
    assert_eq!(rig.heard(), []);
    rig.feed(c, &[read_reply(open)]);
    assert_eq!(rig.heard(), [was_read(7)]);
    // Its answer came, so the place of the slow one is used again, by another name.
    let places: Vec<u32> = (0..2).map(|n| rig.read(cid, n).0 & 0x3f_ffff).collect();
    assert!(places.contains(&slow.0), "{places:?}");
}

/// Pending operations first, in order of issue, then the news. Traps 28 and 29.
#[test]
fn trap_28_a_lost_circuit_answers_what_is_pending() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    rig.subscribe(cid, 9);
    rig.read(cid, 1);
    rig.client
        .write_notify(rig.now, cid, DOUBLE, &1.0.into(), Token(2), None)
        .unwrap();
    let cancelled = rig.read(cid, 3);
    rig.client.cancel(cancelled);
    rig.read(cid, 4);
    rig.closed(c, CloseReason::Eof);
    let heard = rig.heard();
    assert_eq!(
        heard[..3],
        [1, 2, 4].map(Heard::Disconnected),
        "and the subscription after them"
    );
    assert_eq!(heard.len(), 4);
    rig.closed(c, CloseReason::Eof);
    assert_eq!(rig.heard(), []);
}

#[test]
fn closing_a_channel_drops_its_operations_silently() {
    let mut rig = Rig::new();
    let (keep, c) = rig.connect("KEEP", 1);
    let cid = rig.connect_also("X", c, 2);
    let ioid = rig.read(cid, 1);
    let kept = rig.read(keep, 2);
    rig.client.close_channel(rig.now, cid);
    rig.feed(c, &[read_reply(ioid), read_reply(kept)]);
    assert_eq!(rig.heard(), [was_read(2)]);
}
