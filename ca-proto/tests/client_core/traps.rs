//! Traps that belong to no single part of the client, by their numbers.

use ca_proto::client::Token;
use ca_proto::wire::{PvName, PvNameError};

use crate::rig::*;

/// `ca-proto/TRAPS.md`, trap 26: with access security even `CREATE_CHAN` is answered late.
#[test]
fn server_trap_26_answers_in_any_order_reach_their_requests() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let reads = [1, 2, 3].map(|token| rig.read(cid, token));
    let late = rig.open("LATE");
    rig.datagrams();
    rig.found(late, SERVER);
    rig.bytes(c);
    rig.feed(c, &[read_reply(reads[2]), read_reply(reads[0])]);
    rig.feed(c, &created(late, 9));
    rig.feed(c, &[read_reply(reads[1])]);
    assert_eq!(rig.heard(), [was_read(3), was_read(1), was_read(2)]);
    assert!(rig.client.channel(late).unwrap().connection().is_some());
}

/// `ca-proto/TRAPS.md`, trap 40.
#[test]
fn trap_40_requests_made_together_leave_together() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    for token in 0..100 {
        rig.read(cid, token);
    }
    rig.client.write(rig.now, cid, DOUBLE, &1.0.into()).unwrap();
    rig.subscribe(cid, 200);
    assert_eq!(rig.client.poll_woken(), Some(c), "one wake-up");
    assert_eq!(rig.client.poll_woken(), None);
    assert_eq!(rig.sent(c).len(), 102);
    assert_eq!(rig.bytes(c), []);
    // A request of its own leaves by itself.
    let spec = ca_proto::client::ReadSpec {
        ty: ca_proto::client::TypeSpec::Exact(DOUBLE),
        count: 1,
    };
    rig.client.read(rig.now, cid, spec, Token(7), None).unwrap();
    assert_eq!(rig.client.poll_woken(), Some(c));
}

/// `udpiiu::searchMsg` of EPICS Base and `ca-proto/TRAPS.md`, trap 45.
#[test]
fn trap_45_names_that_fit_no_datagram_are_refused() {
    assert!(PvName::new("x".repeat(991).as_bytes()).is_ok());
    assert_eq!(
        PvName::new("x".repeat(992).as_bytes()),
        Err(PvNameError::TooLong { len: 992 })
    );
    assert_eq!(PvName::new(b""), Err(PvNameError::Empty));
}
