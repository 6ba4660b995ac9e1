//! What takes long is done in turns.

mod server_rig;

use ca_proto::access::AccessRights;
use ca_proto::ids::{Cid, Sid, SubId};
use ca_proto::server::Turn;
use ca_proto::status::EcaStatus;
use server_rig::*;

const COUNT: u16 = 3000;
/// Units of a turn, far fewer than a put of this size takes.
const UNITS: usize = 20;

/// A write, or a write-notify with this identifier, of so many floats or texts to channel 0.
fn write(ty: u16, payload: &[u8], ioid: Option<u32>) -> Vec<u8> {
    let command: u16 = if ioid.is_some() { 0x13 } else { 4 };
    let mut all = Vec::new();
    for half in [command, payload.len() as u16, ty, COUNT] {
        all.extend(half.to_be_bytes());
    }
    all.extend(0_u32.to_be_bytes());
    all.extend(ioid.unwrap_or(0).to_be_bytes());
    all.extend(payload);
    all
}

fn floats() -> Vec<u8> {
    let all = (0..COUNT).map(|n| f32::from(n).to_be_bytes());
    all.flatten().collect()
}

/// An array of 5000 doubles behind channel 0.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.db.converts = true;
    rig.db.add("wide", vec![0.5; 10].into(), 5000);
    rig.create(0, 0, "wide");
    rig
}

/// Turns until nothing is left.
fn work(rig: &mut Rig) -> usize {
    let mut turns = 0;
    while rig.circuit.has_work() {
        let mut turn = Turn::new(UNITS);
        rig.circuit.work(rig.now, &mut turn, &mut rig.db);
        turns += 1;
        assert!(turns < 1000, "it ends");
    }
    turns
}

#[test]
fn a_large_put_in_another_type_is_converted_in_turns() {
    for ioid in [None, Some(9)] {
        let mut rig = rig();
        rig.feed(&write(2, &floats(), ioid)).unwrap();
        assert!(rig.circuit.has_long_put() && !rig.circuit.is_readable());
        assert!(work(&mut rig) > 3);
        assert!(rig.circuit.is_readable());
        let value = &rig.db.get("wide").now.value;
        let all: Vec<f64> = (0..COUNT).map(f64::from).collect();
        assert_eq!(*value, all.into());
        let reply = rig.take();
        assert_eq!(
            reply.contains("00130000 00020bb8 00000001 00000009"),
            ioid.is_some()
        );
        assert!(rig.circuit.take_spent() < 100_000);
    }
}

#[test]
fn a_large_put_that_cannot_be_converted_fails_once() {
    let mut texts = vec![0; 40 * 1500];
    texts[..3].copy_from_slice(b"abc");
    let mut rig = rig();
    let mut bytes = write(0, &texts, Some(4));
    bytes[6..8].copy_from_slice(&1500_u16.to_be_bytes());
    rig.feed(&bytes).unwrap();
    work(&mut rig);
    assert_eq!(rig.db.get("wide").now.value, vec![0.5; 10].into());
    assert_eq!(rig.db.lost, [EcaStatus::PUTFAIL]);
    let status = format!("{:08x} 00000004", EcaStatus::PUTFAIL.0);
    assert!(rig.take().contains(&status));
}

#[test]
fn rights_are_asked_again_when_a_large_put_begins() {
    for ioid in [None, Some(5)] {
        let mut rig = rig();
        rig.feed(&write(2, &floats(), ioid)).unwrap();
        rig.circuit
            .work(rig.now, &mut Turn::new(UNITS), &mut rig.db);
        rig.db.get("wide").rights = AccessRights::READ;
        rig.circuit.look_again();
        work(&mut rig);
        assert_eq!(rig.db.lost, [EcaStatus::NOWTACCESS]);
        assert_eq!(rig.db.get("wide").now.value, vec![0.5; 10].into());
    }
}

#[test]
fn a_large_put_goes_with_its_circuit() {
    let mut rig = rig();
    rig.feed(&write(2, &floats(), None)).unwrap();
    rig.circuit
        .work(rig.now, &mut Turn::new(UNITS), &mut rig.db);
    let mut turns = 0;
    while !rig
        .circuit
        .close_in_turns(&mut Turn::new(UNITS), &mut rig.db)
    {
        turns += 1;
        assert!(turns < 1000, "it ends");
    }
    assert_eq!(rig.db.lost, [EcaStatus::DISCONN]);
    assert_eq!(rig.db.open, 0);
}

#[test]
fn changed_rights_are_told_in_turns() {
    let mut rig = Rig::new();
    for cid in 0..100 {
        rig.create(cid, cid, "ival");
        rig.ask(&event_add(5, 1, cid, cid, 1));
    }
    rig.db.get("ival").rights = AccessRights::NONE;
    rig.circuit.look_again();
    assert!(work(&mut rig) > 5);
    let told = rig.take();
    assert_eq!(told.matches("00160000 00000000").count(), 100);
}

#[test]
fn names_are_told_to_those_who_look_from_outside() {
    let mut rig = Rig::new();
    rig.create(0, 7, "ival");
    rig.ask(&event_add(5, 1, 0, 3, 1));
    let names: Vec<_> = rig.circuit.names().collect();
    assert_eq!(names, [(Cid(7), Sid(0), &b"ival"[..])]);
    let subscriptions: Vec<_> = rig.circuit.subscription_names().collect();
    assert_eq!(subscriptions, [(SubId(3), Sid(0))]);
}
