//! What hostile servers cannot make the client do.

use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::client::{Action, ChannelState, CloseReason, Event, OpError, Token};
use ca_proto::dbr::{DbrType, Family, NativeType, Value};

use crate::rig::*;

fn forged(n: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0a01_0000 + n), 5064)
}

/// Forged replies: few are dialled at a time, the others stay in the search, the user is told now
/// and then.
#[test]
fn forged_replies_do_not_make_the_client_dial_without_end() {
    let mut rig = Rig::with(params().max_dials(3));
    let cids: Vec<_> = (0..10).map(|n| rig.open(&format!("X{n}"))).collect();
    rig.datagrams();
    for (n, &cid) in cids.iter().enumerate() {
        rig.found(cid, forged(n as u32));
    }
    let dialled = rig.actions();
    assert_eq!(dialled.len(), 3);
    assert_eq!(rig.client.refused_circuits(), 7);
    let told = Event::TooManyCircuits {
        addr: forged(3),
        setting: "max_dials",
    };
    assert_eq!(rig.events(), [told]);
    let state = |rig: &Rig, n: usize| rig.client.channel(cids[n]).unwrap().state;
    assert_eq!(state(&rig, 9), ChannelState::Searching);
    // A circuit that exists is still used, and one that has come about makes room.
    rig.found(cids[4], forged(0));
    assert_eq!(rig.actions(), []);
    let Action::Dial { circuit, .. } = dialled[0] else {
        panic!("{dialled:?}");
    };
    rig.connected(circuit);
    rig.found(cids[9], SERVER);
    assert!(matches!(rig.actions()[..], [Action::Dial { addr, .. }] if addr == SERVER));
}

#[test]
fn circuits_have_a_limit_in_all() {
    let mut rig = Rig::with(params().max_circuits(2));
    let (a, b, c) = (rig.open("A"), rig.open("B"), rig.open("C"));
    rig.datagrams();
    rig.found(a, forged(0));
    let first = rig.dialled();
    rig.connected(first);
    rig.found(b, forged(1));
    let second = rig.dialled();
    rig.connected(second);
    rig.found(c, forged(2));
    assert_eq!((rig.actions(), rig.client.refused_circuits()), (vec![], 1));
    let told = |rig: &mut Rig| {
        let about = |event: &Event| matches!(event, Event::TooManyCircuits { .. });
        rig.events().iter().filter(|event| about(event)).count()
    };
    assert_eq!(told(&mut rig), 1);
    rig.run_until(9_000);
    rig.found(c, forged(2));
    assert_eq!(told(&mut rig), 0);
    rig.run_until(11_000);
    rig.found(c, forged(2));
    assert_eq!(told(&mut rig), 1);
    rig.closed(second, CloseReason::Eof);
    rig.found(c, forged(2));
    rig.dialled();
}

/// Nothing is sent, whatever is written and however.
#[test]
fn a_read_only_client_writes_nothing() {
    let mut rig = Rig::with(params().read_only(true));
    let (cid, c) = rig.connect("X", 1);
    rig.bytes(c);
    let now = rig.now;
    let plain = DbrType::new(Family::Plain, NativeType::Double);
    for (ty, value) in [
        (plain, Value::from(1.5)),
        (DbrType::PUT_ACKS, Value::from(1_i16)),
        (DbrType::PUT_ACKT, Value::from(1_i16)),
    ] {
        let refused = Err(OpError::ReadOnly);
        assert_eq!(rig.client.write(now, cid, ty, &value), refused);
        let notify = rig
            .client
            .write_notify(now, cid, ty, &value, Token(1), None);
        assert_eq!(notify.map(drop), refused);
    }
    assert_eq!(rig.bytes(c), []);
    let other = rig.open("not connected");
    assert_eq!(
        rig.client.write(now, other, plain, &Value::from(1.5)),
        Err(OpError::ReadOnly)
    );
    rig.read(cid, 7);
    assert!(!rig.bytes(c).is_empty());
}
