//! From a name to a connected channel and back (`client-and-tools` 2, 4.1 to 4.4, 4.10, 5.3, 5.9).

use std::net::SocketAddrV4;

use crate::rig::*;
use ca_proto::AccessRights;
use ca_proto::client::{
    Action, ChannelState, CloseReason, Destination, Event, Hangup, OpenError, Trouble,
};
use ca_proto::config::ClientParams;
use ca_proto::dbr::NativeType;
use ca_proto::ids::Cid;
use ca_proto::wire::message::{Port, SAME_ADDRESS};
use ca_proto::wire::{Minor, tcp, udp};

/// 2.1 and 4.3, the captured bytes with our first channel identifier 0. Traps 21 and 22: `VERSION`
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

/// 5.4: access rights are known when the channel is; trap 30.
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

/// 2.10: what the version of a reply means for address and port. Traps 2 and 3.
#[test]
fn trap_2_replies_say_where_the_server_is() {
    let from: SocketAddrV4 = "10.0.0.9:40000".parse().unwrap();
    let server = *OTHER.ip();
    for (minor, ip, expected) in [
        (13, SAME_ADDRESS, "10.0.0.9:777"),
        (13, server, "10.0.0.2:777"),
        (8, server, "10.0.0.2:777"),
        (7, server, "10.0.0.9:777"),
        (4, server, "10.0.0.9:5064"),
    ] {
        let mut rig = Rig::new();
        let cid = rig.open("X");
        rig.datagrams();
        rig.datagram(
            from,
            &udp::Response::Search {
                port: Port(777),
                server: ip,
                cid,
                minor: Minor(minor),
            },
        );
        let [Action::Dial { addr, .. }] = rig.actions()[..] else {
            panic!("version {minor}");
        };
        assert_eq!(addr, expected.parse().unwrap(), "version {minor}");
    }
}

#[test]
fn trap_1_reflected_requests_and_mad_addresses_are_dropped() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    let (_, request) = rig.datagrams().remove(0);
    rig.raw_datagram(SERVER, &request);
    for (ip, port) in [("0.0.0.0", 1), ("224.0.0.1", 1), ("10.0.0.1", 0)] {
        rig.datagram(
            SERVER,
            &udp::Response::Search {
                port: Port(port),
                server: ip.parse().unwrap(),
                cid,
                minor: Minor(13),
            },
        );
    }
    assert_eq!(rig.actions(), []);
    assert_eq!(
        rig.client.channel(cid).unwrap().state,
        ChannelState::Searching
    );
}

/// 2.11 and 12 (9).
#[test]
fn trap_4_duplicate_replies() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    rig.datagrams();
    rig.found(cid, SERVER);
    rig.found(cid, SERVER);
    let c = rig.dialled();
    assert_eq!(rig.events(), []);
    rig.found(cid, OTHER);
    let duplicate = Event::Duplicate {
        cid,
        kept: SERVER,
        ignored: OTHER,
    };
    assert_eq!(rig.events(), [duplicate]);
    assert_eq!(rig.actions(), []);
    rig.connected(c);
    rig.feed(c, &created(cid, 1));
    rig.events();
    for _ in 0..5_000 {
        rig.found(cid, OTHER);
    }
    assert_eq!(rig.events().len(), 1_024);
    assert_eq!(rig.client.lost_remarks(), 5_000 - 1_024);
}

/// Trap 31: late replies for closed channels.
#[test]
fn trap_31_a_reply_for_a_closed_channel_is_ignored() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    rig.datagrams();
    rig.client.close_channel(at(0), cid);
    let again = rig.open("X");
    assert_ne!(cid, again, "trap 11");
    rig.found(cid, SERVER);
    assert_eq!(rig.actions(), []);
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

/// 4.2 and 12 (5): "0.03, 10.0, 20.0 s pattern". Trap 8.
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

/// Trap 46: no answer to CREATE_CHAN; an answer that comes after all is cleared (4.5).
#[test]
fn trap_46_a_creation_that_is_never_answered_times_out() {
    let mut rig = Rig::new();
    let (_, c) = rig.connect("GOOD", 1);
    let cid = rig.open("MUTE");
    rig.datagrams();
    rig.found(cid, SERVER);
    rig.bytes(c);
    rig.run_until(29_999);
    assert_eq!(rig.events(), []);
    rig.run_until(30_000);
    let why = Trouble::CreateTimeout;
    assert_eq!(rig.events(), [Event::NotConnected { cid, why }]);
    rig.bytes(c);
    rig.feed(c, &[create(cid, 9, 6, 1)]);
    assert_eq!(
        rig.sent(c),
        [format!("CLEAR_CHANNEL data_type=0 count=0 sid=9 cid={cid}")]
    );
}

/// 5.9: closed before the answer.
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

/// 4.5: a second answer is ignored when it is the same, cleared when it names another channel.
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

/// 4.13: CLEAR_CHANNEL is flushed, then the circuit ends; meanwhile a new circuit can be made.
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

/// 4.10: CREATE_CH_FAIL and SERVER_DISCONN.
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

/// 2.8: "search reply for a channel in the governor list: accepted, connects at once".
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

fn name_server_only() -> ClientParams {
    params().search_addrs(vec![]).name_servers(vec![OTHER])
}

/// 2.12 and 12 (10): names are sent only to servers that announced 4.12; until then they do not
/// back off.
#[test]
fn name_servers_alone_find_names() {
    let mut rig = Rig::with(name_server_only());
    let ns = rig.dialled();
    let cid = rig.open("X");
    rig.run_until(3_000);
    assert_eq!(rig.datagrams(), []);
    rig.connected(ns);
    assert_eq!(rig.sent(ns).len(), 3, "VERSION, CLIENT_NAME, HOST_NAME");
    rig.feed(ns, &[version(11)]);
    assert_eq!(rig.datagrams(), []);
    assert_eq!(rig.sent(ns), [""; 0]);
    rig.feed(ns, &[version(12)]);
    assert_eq!(rig.datagrams(), []);
    assert_eq!(
        rig.sent(ns),
        [
            "VERSION priority=1 minor=4.13 sequence=1",
            "SEARCH reply=no minor=4.13 cid=0 cid2=0 name=\"X\""
        ]
    );
    let reply = |server, port| tcp::Response::Search { port, server, cid };
    rig.feed(ns, &[reply(*SERVER.ip(), Port(5064))]);
    let c = rig.dialled();
    rig.connected(c);
    rig.feed(c, &created(cid, 1));
    rig.client.close_channel(rig.now, cid);
    assert_eq!(
        rig.actions(),
        [hang_up(c, Hangup::Orderly)],
        "not the name server's"
    );
    // The address of the circuit itself.
    let cid = rig.open("Y");
    rig.datagrams();
    rig.bytes(ns);
    let reply = tcp::Response::Search {
        port: Port(1),
        server: SAME_ADDRESS,
        cid,
    };
    rig.feed(ns, &[reply]);
    assert_eq!(rig.actions(), []);
    assert_eq!(
        rig.sent(ns),
        [format!("CREATE_CHAN cid={cid} minor=4.13 name=\"Y\"")]
    );
}

/// Defect 10.7, and a name server that was away gets the open questions at once.
#[test]
fn a_name_server_that_comes_back_is_asked_with_names() {
    let mut rig = Rig::with(name_server_only());
    let ns = rig.dialled();
    rig.connected(ns);
    rig.feed(ns, &[version(13)]);
    rig.open("X");
    rig.run_until(20_000);
    rig.closed(ns, CloseReason::Eof);
    assert_eq!(rig.actions(), []);
    rig.run_until(30_000);
    let ns = rig.dialled();
    rig.closed(ns, CloseReason::DialFailed);
    rig.run_until(40_000);
    let ns = rig.dialled();
    rig.connected(ns);
    let names = rig.sent(ns);
    assert_eq!(
        names[1..],
        ["CLIENT_NAME name=\"root\"", "HOST_NAME name=\"vm\""]
    );
    rig.feed(ns, &[version(13)]);
    rig.datagrams();
    assert_eq!(rig.sent(ns).len(), 2);
}

/// 2.12: UDP and name servers get the same bytes; only name servers may answer on a circuit.
#[test]
fn name_servers_get_the_datagrams_of_udp() {
    let mut rig = Rig::with(params().name_servers(vec![OTHER]));
    let ns = rig.dialled();
    rig.connected(ns);
    rig.feed(ns, &[version(13)]);
    rig.bytes(ns);
    let cid = rig.open("X");
    let (_, datagram) = rig.datagrams().remove(0);
    assert_eq!(rig.bytes(ns), datagram);
    rig.found(cid, SERVER);
    let c = rig.dialled();
    rig.connected(c);
    rig.feed(c, &created(cid, 1));
    let other = rig.open("Y");
    rig.feed(
        c,
        &[tcp::Response::Search {
            port: Port(1),
            server: SAME_ADDRESS,
            cid: other,
        }],
    );
    assert_eq!(
        rig.client.channel(other).unwrap().state,
        ChannelState::Searching
    );
}

/// 3.5, trap 16: a datagram of length zero to the repeater of this host, from the search socket.
#[test]
fn trap_16_registers_with_the_local_repeater() {
    let mut rig = Rig::with(params().repeater_port(5065));
    let to = Destination::To("127.0.0.1:5065".parse().unwrap());
    assert_eq!(rig.datagrams(), [(to, vec![])]);
    rig.now = at(500);
    let confirm = udp::Response::RepeaterConfirm {
        client: [127, 0, 0, 1].into(),
    };
    rig.datagram("127.0.0.1:41234".parse().unwrap(), &confirm);
    assert_eq!(rig.client.poll_timeout(), Some(at(60_500)));
}

#[test]
fn a_client_without_any_address_says_so_once() {
    let mut rig = Rig::with(params().search_addrs(vec![]));
    rig.open("X");
    rig.open("Y");
    assert_eq!(rig.events(), [Event::NoSearchAddress]);
    assert_eq!(rig.datagrams(), []);
    assert_eq!(rig.client.poll_timeout(), None);
}

#[test]
fn shutdown_leaves_nothing_open() {
    let mut rig = Rig::with(params().name_servers(vec![OTHER]).repeater_port(5065));
    let ns = rig.dialled();
    let (cid, c) = rig.connect("X", 7);
    rig.client.shutdown(rig.now);
    assert_eq!(
        rig.actions(),
        [hang_up(c, Hangup::Orderly), hang_up(ns, Hangup::Abort)]
    );
    assert_eq!(
        rig.sent(c),
        ["CLEAR_CHANNEL data_type=0 count=0 sid=7 cid=0"]
    );
    rig.closed(c, CloseReason::Hangup);
    rig.closed(ns, CloseReason::Hangup);
    assert!(rig.client.channel(cid).is_none());
    assert_eq!(rig.client.poll_timeout(), None);
    assert_eq!(rig.datagrams(), []);
    assert_eq!(rig.events(), []);
    let refused = rig.client.open_channel(rig.now, name("X"), 0);
    assert_eq!(refused, Err(OpenError::ShutDown));
}

/// Trap 6 and 12 (8): a beacon anomaly hurries what is searched slowly.
#[test]
fn beacon_anomaly_brings_slow_channels_back() {
    let mut rig = Rig::new();
    rig.open("X");
    for n in 0..20 {
        rig.run_until(15_000 * (n + 1));
        rig.beacon(OTHER, n as u32);
    }
    // In lane 13 since 262.112 s; the next try would come at 524.256 s.
    rig.run_until(301_000);
    rig.beacon(OTHER, 0);
    assert_eq!(rig.search_times_until(330_000), [303_104, 311_296, 327_680]);
}
