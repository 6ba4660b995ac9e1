//! From a name to a connected channel and back (`udpiiu` and `nciu::destroy` of EPICS Base).

use crate::rig::*;
use ca_proto::AccessRights;
use ca_proto::client::{
    Action, ChannelState, CloseReason, Destination, Event, Hangup, OpenError, Trouble,
};
use ca_proto::dbr::NativeType;
use ca_proto::ids::Cid;
use ca_proto::wire::{Minor, tcp};

/// The captured bytes with our first channel identifier 0. Traps 21 and 22: `VERSION`
/// is first, and nothing waits for the server's.
#[test]
fn first_bytes_are_those_of_the_reference() {
    let mut rig = Rig::new();
    let cid = rig.open("T:ai");
    let datagram = hex("0000 0000 0001 000d 00000001 00000000
         0006 0008 0005 000d 00000000 00000000 543a6169 00000000");
    assert_eq!(rig.datagrams(), [(Destination::Search, datagram)]);
    rig.found(cid, SERVER);
    let c = rig.dialled();
    assert!(rig.client.transmit(at(0), c).is_none(), "not connected yet");
    assert_eq!(rig.client.poll_woken(), None);
    rig.connected(c);
    assert_eq!(rig.client.poll_woken(), Some(c));
    assert_eq!(rig.client.poll_woken(), None);
    assert_eq!(
        rig.bytes(c),
        hex("0000 0000 0000 000d 00000000 00000000
             0014 0008 0000 0000 00000000 00000000 726f6f74 00000000
             0015 0008 0000 0000 00000000 00000000 766d0000 00000000
             0012 0008 0000 0000 00000000 0000000d 543a6169 00000000")
    );
}

/// Access rights are known when the channel is; trap 30.
#[test]
fn trap_30_rights_come_before_the_connection_and_at_any_time() {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", SERVER);
    rig.feed(c, &[rights(cid, 1)]);
    assert_eq!(rig.events(), []);
    rig.feed(c, &[create(cid, 7, 6, 3)]);
    assert_eq!(rig.events(), [Event::Connected { cid }]);
    let view = rig.client.channel(cid).unwrap();
    let connection = *view.connection().unwrap();
    assert_eq!(connection.rights, AccessRights::READ);
    assert_eq!(
        (connection.native, connection.count),
        (NativeType::Double, 3)
    );
    assert_eq!((connection.server, connection.minor), (SERVER, Minor(13)));
    rig.feed(c, &[rights(cid, 3), rights(cid, 3)]);
    let rights = AccessRights::ALL;
    assert_eq!(rig.events(), [Event::AccessRights { cid, rights }]);
}

#[test]
fn trap_30_servers_without_rights_allow_everything() {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", SERVER);
    rig.feed(c, &[version(0), create(cid, 7, 6, 3)]);
    let view = rig.client.channel(cid).unwrap();
    assert_eq!(view.connection().unwrap().rights, AccessRights::ALL);
}

#[test]
fn trap_39_each_priority_has_its_circuit() {
    let mut rig = Rig::new();
    let low = rig.open("X");
    let high = rig.client.open_channel(at(0), name("X"), 80).unwrap();
    rig.datagrams();
    rig.found(low, SERVER);
    rig.found(high, SERVER);
    let dials = rig.actions();
    let [
        Action::Dial { circuit: a, .. },
        Action::Dial { circuit: b, .. },
    ] = dials[..]
    else {
        panic!("{dials:?}");
    };
    rig.connected(a);
    rig.connected(b);
    assert_eq!(rig.sent(a)[0], "VERSION priority=0 minor=4.13 sequence=0");
    assert_eq!(rig.sent(b)[0], "VERSION priority=80 minor=4.13 sequence=0");
    let refused = rig.client.open_channel(at(0), name("X"), 100);
    assert_eq!(refused, Err(OpenError::BadPriority(100)));
}

/// "0.03, 10.0, 20.0 s pattern". Trap 8.
#[test]
fn trap_8_a_refused_connection_is_tried_again_with_the_governor() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    for tick in [0, 10_000, 20_000] {
        assert_eq!(rig.search_times_until(tick), [tick]);
        rig.found(cid, SERVER);
        let c = rig.dialled();
        rig.closed(c, CloseReason::DialFailed);
        let why = Trouble::Circuit(CloseReason::DialFailed);
        assert_eq!(rig.events()[1], Event::NotConnected { cid, why });
        assert_eq!(rig.client.channel(cid).unwrap().trouble, Some(why));
    }
}

/// Trap 9: the connect time-out, and other servers are not affected.
#[test]
fn trap_9_a_dead_host_delays_nobody() {
    let mut rig = Rig::new();
    let dead = rig.open("DEAD");
    let good = rig.open("GOOD");
    rig.datagrams();
    rig.found(dead, OTHER);
    let c = rig.dialled();
    rig.found(good, SERVER);
    let d = rig.dialled();
    rig.connected(d);
    rig.feed(d, &created(good, 1));
    rig.events();
    rig.run_until(4_999);
    assert_eq!(rig.actions(), []);
    rig.run_until(5_000);
    assert_eq!(rig.actions(), [hang_up(c, Hangup::Abort)]);
    let why = CloseReason::DialTimeout;
    assert_eq!(
        rig.events(),
        [
            Event::CircuitClosed {
                circuit: c,
                addr: OTHER,
                why
            },
            Event::NotConnected {
                cid: dead,
                why: Trouble::Circuit(why)
            }
        ]
    );
    rig.closed(c, CloseReason::Hangup);
    assert_eq!(rig.events(), []);
    assert_eq!(rig.search_times_until(10_000), [10_000]);
    assert!(rig.client.channel(good).unwrap().connection().is_some());
}

/// Trap 46: no answer to CREATE_CHAN; an answer that comes after all is cleared.
#[test]
fn trap_46_a_creation_that_is_never_answered_times_out() {
    let mut rig = Rig::with(params().connection_timeout(secs(300)));
    let (_, c) = rig.connect("GOOD", 1);
    rig.run_until(40_000);
    let cid = rig.open("MUTE");
    rig.datagrams();
    rig.found(cid, SERVER);
    rig.bytes(c);
    rig.run_until(69_999);
    assert_eq!(rig.events(), []);
    rig.run_until(70_000);
    let why = Trouble::CreateTimeout;
    assert_eq!(rig.events(), [Event::NotConnected { cid, why }]);
    rig.bytes(c);
    rig.feed(c, &[create(cid, 9, 6, 1)]);
    assert_eq!(
        rig.sent(c),
        [format!("CLEAR_CHANNEL data_type=0 count=0 sid=9 cid={cid}")]
    );
}

/// Closed before the answer.
#[test]
fn trap_31_a_channel_created_after_its_close_is_cleared() {
    let mut rig = Rig::new();
    let (_, c) = rig.connect("GOOD", 1);
    let cid = rig.open("GONE");
    rig.datagrams();
    rig.found(cid, SERVER);
    rig.bytes(c);
    rig.client.close_channel(rig.now, cid);
    assert_eq!(rig.sent(c), [""; 0]);
    rig.feed(c, &created(cid, 9));
    assert_eq!(
        rig.sent(c),
        [format!("CLEAR_CHANNEL data_type=0 count=0 sid=9 cid={cid}")]
    );
    assert_eq!(rig.events(), []);
}

/// A second answer is ignored when it is the same, cleared when it names another channel.
#[test]
fn a_second_create_answer_changes_nothing() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    rig.feed(c, &[create(cid, 1, 6, 3)]);
    assert_eq!(rig.sent(c), [""; 0]);
    rig.feed(c, &[create(cid, 2, 0, 9)]);
    assert_eq!(
        rig.sent(c),
        ["CLEAR_CHANNEL data_type=0 count=0 sid=2 cid=0"]
    );
    let view = rig.client.channel(cid).unwrap();
    assert_eq!(view.connection().unwrap().count, 3);
    assert_eq!(rig.events(), []);
}

/// CLEAR_CHANNEL is flushed, then the circuit ends; meanwhile a new circuit can be made.
#[test]
fn the_last_channel_ends_its_circuit_in_order() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    let second = rig.connect_also("Y", c, 8);
    rig.bytes(c);
    rig.client.close_channel(rig.now, second);
    assert_eq!(rig.actions(), []);
    rig.client.close_channel(rig.now, cid);
    assert_eq!(rig.actions(), [hang_up(c, Hangup::Orderly)]);
    assert_eq!(
        rig.sent(c),
        [
            format!("CLEAR_CHANNEL data_type=0 count=0 sid=8 cid={second}"),
            format!("CLEAR_CHANNEL data_type=0 count=0 sid=7 cid={cid}")
        ]
    );
    let (cid, d) = rig.circuit("X", SERVER);
    assert_ne!(c, d);
    rig.feed(d, &created(cid, 1));
    rig.run_until(29_999);
    assert_eq!(rig.actions(), []);
    rig.run_until(30_000);
    assert_eq!(rig.actions(), [hang_up(c, Hangup::Abort)]);
    rig.closed(c, CloseReason::Hangup);
    let closed = |event: &Event| matches!(event, Event::CircuitClosed { .. });
    assert!(!rig.events().iter().any(closed));
}

/// CREATE_CH_FAIL and SERVER_DISCONN.
#[test]
fn trap_8_refused_and_deleted_channels_wait_for_the_governor() {
    let mut rig = Rig::new();
    let (keep, c) = rig.connect("KEEP", 1);
    let deleted = rig.connect_also("DEL", c, 2);
    let refused = rig.open("REF");
    rig.datagrams();
    rig.found(refused, SERVER);
    rig.feed(
        c,
        &[
            tcp::Response::CreateChFail { cid: refused },
            tcp::Response::ServerDisconn { cid: deleted },
            tcp::Response::ServerDisconn { cid: deleted },
            tcp::Response::ServerDisconn { cid: Cid(999) },
        ],
    );
    assert_eq!(
        rig.events(),
        [
            Event::NotConnected {
                cid: refused,
                why: Trouble::CreateFailed
            },
            Event::Disconnected {
                cid: deleted,
                why: Trouble::Deleted
            }
        ]
    );
    assert_eq!(rig.search_times_until(10_000), [10_000]);
    assert!(rig.client.channel(keep).unwrap().connection().is_some());
    rig.feed(c, &[tcp::Response::ServerDisconn { cid: keep }]);
    assert_eq!(rig.actions(), [hang_up(c, Hangup::Orderly)]);
    assert_eq!(
        rig.sent(c)
            .iter()
            .filter(|x| x.starts_with("CLEAR"))
            .count(),
        0
    );
}

/// Trap 7: after a loss a channel starts in lane 0; attempts count from the loss.
#[test]
fn trap_7_a_lost_channel_is_searched_quickly_again() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    rig.run_until(6_685);
    rig.closed(c, CloseReason::Eof);
    let why = Trouble::Circuit(CloseReason::Eof);
    assert_eq!(rig.events()[1], Event::Disconnected { cid, why });
    assert_eq!(
        rig.search_times_until(10_500),
        [10_000, 10_032, 10_096, 10_224, 10_480]
    );
    assert_eq!(rig.client.channel(cid).unwrap().search_attempts, 5);
}

/// "search reply for a channel in the governor list: accepted, connects at once".
#[test]
fn a_held_channel_takes_a_late_reply() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    rig.closed(c, CloseReason::Eof);
    rig.found(cid, SERVER);
    let d = rig.dialled();
    rig.connected(d);
    rig.feed(d, &created(cid, 1));
    assert_eq!(rig.search_times_until(60_000), [0; 0]);
}

/// PROTOCOL C25: the search was answered by the server that is there after the restart, the circuit
/// belonged to the one before it.
#[test]
fn a_channel_that_joined_a_dying_circuit_is_searched_at_once() {
    let mut rig = Rig::new();
    let (old, c) = rig.connect("OLD", 1);
    rig.run_until(3_000);
    let fresh = rig.open("FRESH");
    rig.datagrams();
    rig.found(fresh, SERVER);
    rig.closed(c, CloseReason::Reset);
    assert_eq!(rig.search_times_until(3_010), [3_000]);
    let searched = |rig: &Rig, cid| rig.client.channel(cid).unwrap().search_attempts;
    assert_eq!((searched(&rig, old), searched(&rig, fresh)), (0, 1));
    rig.found(fresh, SERVER);
    let d = rig.dialled();
    rig.connected(d);
    rig.feed(d, &created(fresh, 1));
    assert!(rig.client.channel(fresh).unwrap().connection().is_some());
}

/// Only once: a server that answers searches and closes every circuit is not tried in a loop, even
/// if something keeps opening circuits to it.
#[test]
fn a_channel_that_joins_dying_circuits_again_waits_for_the_governor() {
    let mut rig = Rig::new();
    let fresh = rig.open("FRESH");
    rig.datagrams();
    for (tick, searched) in [(3_000, vec![3_000]), (6_000, vec![])] {
        let (opener, c) = rig.connect(&format!("OPENER{tick}"), 1);
        rig.run_until(tick);
        rig.found(fresh, SERVER);
        rig.closed(c, CloseReason::Reset);
        rig.client.close_channel(rig.now, opener);
        rig.events();
        assert_eq!(rig.search_times_until(tick + 10), searched);
    }
    assert_eq!(rig.search_times_until(10_000), [10_000]);

    // Once it was connected it may try again.
    let (_, c) = rig.connect("OPENER", 1);
    rig.found(fresh, SERVER);
    rig.feed(c, &created(fresh, 2));
    rig.feed(c, &[tcp::Response::ServerDisconn { cid: fresh }]);
    rig.found(fresh, SERVER);
    rig.closed(c, CloseReason::Reset);
    assert_eq!(rig.search_times_until(10_010), [10_000]);
}

#[test]
fn a_server_may_change_the_type_over_a_restart() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    rig.closed(c, CloseReason::Reset);
    rig.found(cid, SERVER);
    let d = rig.dialled();
    rig.connected(d);
    rig.feed(d, &[rights(cid, 1), create(cid, 0, 0, 1)]);
    let view = rig.client.channel(cid).unwrap();
    let connection = view.connection().unwrap();
    assert_eq!(connection.native, NativeType::String);
    assert_eq!(connection.count, 1);
    assert_eq!(connection.rights, AccessRights::READ);
}

/// Channels leave a circuit in any order; the last one ends it.
#[test]
fn a_circuit_knows_its_channels_after_some_left() {
    let mut rig = Rig::new();
    let (a, c) = rig.connect("A", 1);
    let b = rig.connect_also("B", c, 2);
    let d = rig.connect_also("D", c, 3);
    let e = rig.connect_also("E", c, 4);
    rig.client.close_channel(rig.now, a);
    rig.client.close_channel(rig.now, b);
    rig.client.close_channel(rig.now, e);
    assert_eq!(rig.actions(), []);
    rig.client.close_channel(rig.now, d);
    assert_eq!(rig.actions(), [hang_up(c, Hangup::Orderly)]);
}

/// An answer that comes while the circuit ends needs no CLEAR_CHANNEL.
#[test]
fn an_ending_circuit_sends_nothing_more() {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", SERVER);
    rig.client.close_channel(rig.now, cid);
    assert_eq!(rig.actions(), [hang_up(c, Hangup::Orderly)]);
    rig.feed(c, &created(cid, 1));
    assert_eq!(rig.bytes(c), []);
}

/// A server that answers searches and reads nothing.
#[test]
fn found_channels_do_not_queue_without_end() {
    let mut rig = Rig::new();
    let (_, c) = rig.connect("X", 1);
    let long = "x".repeat(991);
    let cids: Vec<Cid> = (0..17_000).map(|_| rig.open(&long)).collect();
    for &cid in &cids {
        rig.found(cid, SERVER);
    }
    let searching =
        |cid: &&Cid| rig.client.channel(**cid).unwrap().state == ChannelState::Searching;
    let left = cids.iter().filter(searching).count();
    // 16 MiB hold 16 645 messages of 1008 bytes.
    assert_eq!(left, 17_000 - 16_645);
    assert!(rig.client.transmit(rig.now, c).unwrap().len() < (16 << 20) + 1_024);
}
