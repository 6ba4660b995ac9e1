//! Subscriptions over their whole life (`tcpiiu::responsiveCircuitNotify` and `netSubscription` of EPICS Base).

use ca_proto::EcaStatus;
use ca_proto::client::{CloseReason, Lifecycle, OpError, SubSpec, Token, TypeSpec};
use ca_proto::dbr::{DbrType, Family};
use ca_proto::ids::{Cid, SubId};
use ca_proto::wire::message::{Data, EventMask};
use ca_proto::wire::tcp;

use crate::rig::*;

const UP: fn(u64) -> Heard = |token| Heard::Life(token, Lifecycle::Connected);
const DOWN: fn(u64) -> Heard = |token| Heard::Life(token, Lifecycle::Disconnected);

fn confirmation(subid: SubId, sid: u32) -> tcp::Response<'static> {
    // P1 is the SID where an update has its status.
    tcp::Response::EventAdd {
        ty: TIME_DOUBLE,
        count: 1,
        status: EcaStatus(sid),
        subid,
        data: Data(&[]),
    }
}

/// The bytes of EVENT_ADD; after the connection, in order of creation.
#[test]
fn subscriptions_of_a_channel_that_is_not_there_yet_are_installed_at_connect() {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", SERVER);
    let one = rig.subscribe(cid, 1);
    let mut spec = time_doubles(0);
    spec.mask = EventMask::LOG | EventMask::ALARM;
    let two = rig.client.subscribe(rig.now, cid, spec, Token(2)).unwrap();
    assert_eq!(rig.bytes(c), []);
    rig.feed(c, &created(cid, 0x0b));
    assert_eq!(rig.heard(), [UP(1), UP(2)]);
    assert_eq!((one.0, two.0), (0, 1));
    assert_eq!(
        rig.bytes(c),
        hex("0001 0010 0014 0001 0000000b 00000000
             00000000 00000000 00000000 0001 0000
             0001 0010 0014 0000 0000000b 00000001
             00000000 00000000 00000000 0006 0000")
    );
}

/// Trap 27: once per connection, with the same identifiers.
#[test]
fn trap_27_subscriptions_come_back_once_after_a_reconnect() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let kept = rig.subscribe(cid, 1);
    let gone = rig.subscribe(cid, 2);
    let other = rig
        .client
        .subscribe(
            rig.now,
            cid,
            SubSpec {
                ty: TypeSpec::Exact(DbrType(0)),
                count: 9,
                mask: EventMask::VALUE,
            },
            Token(3),
        )
        .unwrap();
    rig.bytes(c);
    rig.feed(c, &[update(kept)]);
    rig.closed(c, CloseReason::Reset);
    assert_eq!(rig.heard(), [updated(1), DOWN(1), DOWN(2), DOWN(3)]);
    rig.client.unsubscribe(rig.now, gone);
    rig.found(cid, OTHER);
    let d = rig.dialled();
    rig.connected(d);
    rig.bytes(d);
    // Native count 5 of LONG now: counts and family types are evaluated anew.
    rig.feed(d, &[version(12), rights(cid, 3), create(cid, 4, 5, 5)]);
    assert_eq!(rig.heard(), [UP(1), UP(3)]);
    assert_eq!(
        rig.sent(d),
        [
            format!("EVENT_ADD ty=DBR_TIME_LONG count=1 sid=4 subid={kept} mask=VALUE"),
            format!("EVENT_ADD ty=DBR_STRING count=5 sid=4 subid={other} mask=VALUE"),
        ]
    );
    rig.feed(d, &[update(kept), update(gone)]);
    assert_eq!(rig.heard(), [updated(1)]);
}

/// Trap 32 and `event_cancel_reply` of EPICS Base: cancel while updates are on their way.
#[test]
fn trap_32_nothing_comes_after_a_cancel() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 0x0b);
    let subid = rig.subscribe(cid, 1);
    rig.bytes(c);
    rig.client.unsubscribe(rig.now, subid);
    rig.client.unsubscribe(rig.now, subid);
    assert_eq!(rig.bytes(c), hex("0002 0000 0014 0001 0000000b 00000000"));
    let next = rig.subscribe(cid, 2);
    assert_ne!(next, subid, "reserved until the confirmation");
    rig.feed(
        c,
        &[update(subid), confirmation(subid, 0x0b), update(subid)],
    );
    assert_eq!(rig.heard(), []);
    let reused = rig.subscribe(cid, 3);
    assert_ne!(reused, subid, "another generation");
    rig.feed(
        c,
        &[confirmation(subid, 0x0b), update(next), update(reused)],
    );
    assert_eq!(rig.heard(), [updated(2), updated(3)]);
}

/// Appendix C: an empty array that was on its way looks like the confirmation.
#[test]
fn trap_32_an_empty_array_before_the_confirmation() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let spec = SubSpec {
        ty: TypeSpec::Family(Family::Plain),
        count: 0,
        mask: EventMask::VALUE,
    };
    let empty = |subid| tcp::Response::EventAdd {
        ty: DOUBLE,
        count: 0,
        status: EcaStatus::NORMAL,
        subid,
        data: Data(&[]),
    };
    let subscribe = |rig: &mut Rig, token| {
        rig.client
            .subscribe(rig.now, cid, spec, Token(token))
            .unwrap()
    };
    let first = subscribe(&mut rig, 1);
    rig.feed(c, &[empty(first)]);
    assert_eq!(
        rig.heard(),
        [Heard::Update(1, DOUBLE, 0, EcaStatus::NORMAL, vec![])],
        "an array may be empty; the reference drops this"
    );
    rig.client.unsubscribe(rig.now, first);
    rig.feed(c, &[empty(first)]);
    let second = subscribe(&mut rig, 2);
    rig.feed(c, &[confirmation(first, 1), empty(second)]);
    assert_eq!(
        rig.heard(),
        [Heard::Update(2, DOUBLE, 0, EcaStatus::NORMAL, vec![])]
    );
}

/// Trap 33.
#[test]
fn trap_33_an_empty_array_with_meta_data_is_a_value() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    rig.feed(
        c,
        &[tcp::Response::EventAdd {
            ty: TIME_DOUBLE,
            count: 0,
            status: EcaStatus::NORMAL,
            subid,
            data: Data(&[0; 16]),
        }],
    );
    assert_eq!(
        rig.heard(),
        [Heard::Update(
            1,
            TIME_DOUBLE,
            0,
            EcaStatus::NORMAL,
            vec![0; 16]
        )]
    );
}

/// A status instead of a value, and updates whose length contradicts their count.
#[test]
fn updates_without_value_carry_a_status() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    let message = |count, status, len| tcp::Response::EventAdd {
        ty: TIME_DOUBLE,
        count,
        status,
        subid,
        data: Data(&[0; 64][..len]),
    };
    rig.feed(
        c,
        &[
            message(1, EcaStatus::NORDACCESS, 24),
            message(3, EcaStatus::NORMAL, 24),
            message(1, EcaStatus::NORMAL, 0),
            update(subid),
        ],
    );
    let statuses: Vec<_> = rig
        .heard()
        .into_iter()
        .map(|heard| match heard {
            Heard::Update(1, _, _, status, _) => status,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        statuses,
        [
            EcaStatus::NORDACCESS,
            EcaStatus::BADCOUNT,
            EcaStatus::NORMAL
        ]
    );
}

/// Counts of 65535 and more use the extended header.
#[test]
fn large_subscriptions_use_the_extended_header() {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", SERVER);
    rig.feed(c, &[rights(cid, 3), create(cid, 0x14, 4, 70_000)]);
    let spec = SubSpec {
        ty: TypeSpec::Family(Family::Plain),
        count: 70_000,
        mask: EventMask::VALUE,
    };
    let subid = rig.client.subscribe(rig.now, cid, spec, Token(1)).unwrap();
    assert_eq!(
        rig.bytes(c)[..24],
        hex("0001 ffff 0004 0000 00000014 00000000 00000010 00011170")
    );
    rig.client.unsubscribe(rig.now, subid);
    assert_eq!(
        rig.bytes(c),
        hex("0002 ffff 0004 0000 00000014 00000000 00000000 00011170"),
        "defect 10.10: the count is not cut to 16 bits"
    );
}

/// Cancels in order, then the channel; updates still on their way find nobody.
#[test]
fn closing_a_channel_cancels_its_subscriptions() {
    let mut rig = Rig::new();
    let (keep, c) = rig.connect("KEEP", 1);
    let cid = rig.connect_also("X", c, 2);
    let one = rig.subscribe(cid, 1);
    let two = rig.subscribe(cid, 2);
    let three = rig.subscribe(keep, 3);
    rig.bytes(c);
    rig.client.close_channel(rig.now, cid);
    assert_eq!(
        rig.sent(c),
        [
            format!("EVENT_CANCEL ty=DBR_TIME_DOUBLE count=1 sid=2 subid={one}"),
            format!("EVENT_CANCEL ty=DBR_TIME_DOUBLE count=1 sid=2 subid={two}"),
            format!("CLEAR_CHANNEL data_type=0 count=0 sid=2 cid={cid}"),
        ]
    );
    rig.feed(c, &[update(one), confirmation(two, 2), update(three)]);
    assert_eq!(rig.heard(), [updated(3)]);
}

#[test]
fn subscriptions_that_cannot_work_are_refused() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    let mut refused = |cid, ty, mask| {
        let spec = SubSpec {
            ty: TypeSpec::Exact(DbrType(ty)),
            count: 1,
            mask: EventMask(mask),
        };
        rig.client
            .subscribe(at(0), cid, spec, Token(0))
            .unwrap_err()
    };
    assert_eq!(refused(cid, 20, 0), OpError::BadMask);
    assert_eq!(refused(cid, 39, 1), OpError::BadType(DbrType(39)));
    assert_eq!(refused(cid, 35, 1), OpError::BadType(DbrType(35)));
    assert_eq!(refused(Cid(9), 20, 1), OpError::NoSuchChannel);
}

/// Appendix C: several subscriptions of different types on one channel.
#[test]
fn three_subscriptions_on_one_channel() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let ids: Vec<SubId> = (0..3).map(|token| rig.subscribe(cid, token)).collect();
    rig.feed(c, &[update(ids[2]), update(ids[0]), update(ids[1])]);
    assert_eq!(rig.heard(), [updated(2), updated(0), updated(1)]);
}
