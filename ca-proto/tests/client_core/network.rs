//! Search replies, name servers, beacons and the repeater (`udpiiu::postMsg` and `bhe::updatePeriod` of EPICS Base).

use std::net::SocketAddrV4;

use ca_proto::client::{
    Action, ChannelState, CloseReason, Destination, Event, Hangup, NameServerState, OpenError,
};
use ca_proto::config::ClientParams;
use ca_proto::ids::Cid;
use ca_proto::wire::message::{Port, SAME_ADDRESS};
use ca_proto::wire::{Minor, datagram_frames, tcp, udp};

use crate::rig::*;

/// What the version of a reply means for address and port. Traps 2 and 3.
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
    rig.client.close_channel(rig.now, cid);
    // The second life of this entry has an identifier that could be the address 1.0.0.0.
    let cid = rig.open("X");
    assert_eq!(cid, Cid(0x0100_0000));
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

/// Prompt answers; 2000 names of 20 characters need 80 datagrams and one circuit.
#[test]
fn two_thousand_channels_of_a_prompt_server_connect_without_a_pause() {
    let mut rig = Rig::new();
    let cids: Vec<Cid> = (0..2_000).map(|n| rig.open(&format!("{n:020}"))).collect();
    let mut datagrams = 0;
    loop {
        let sent = rig.datagrams();
        if sent.is_empty() {
            break;
        }
        datagrams += sent.len();
        for (_, datagram) in sent {
            assert!(datagram.len() <= 1_024, "trap 10");
            for frame in datagram_frames(&datagram).skip(1) {
                rig.found(Cid(frame.unwrap().header.p1), SERVER);
            }
        }
    }
    assert_eq!(datagrams, 80);
    let c = rig.dialled();
    rig.connected(c);
    assert_eq!(rig.sent(c).len(), 3 + 2_000);
    let answers: Vec<_> = cids.iter().flat_map(|&cid| created(cid, cid.0)).collect();
    rig.feed(c, &answers);
    assert_eq!(rig.events().len(), 2_000);
}

fn name_server_only() -> ClientParams {
    params().search_addrs(vec![]).name_servers(vec![OTHER])
}

/// Names are sent only to servers that announced 4.12; until then they do not
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

/// A name server that was away gets the open questions at once.
#[test]
fn a_name_server_that_comes_back_is_asked_with_names() {
    let mut rig = Rig::with(name_server_only().connection_timeout(secs(1_000)));
    let ns = rig.dialled();
    rig.connected(ns);
    rig.feed(ns, &[version(13)]);
    rig.open("X");
    // Tried last at 262.112 s; the next try would come at 524.256 s.
    rig.run_until(300_000);
    rig.closed(ns, CloseReason::Eof);
    assert_eq!(rig.actions(), []);
    rig.run_until(310_000);
    let ns = rig.dialled();
    rig.closed(ns, CloseReason::DialFailed);
    rig.run_until(320_000);
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

/// UDP and name servers get the same bytes; only name servers may answer on a circuit.
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

/// Trap 16: a datagram of length zero to the repeater of this host, from the search socket.
#[test]
fn trap_16_registers_with_the_local_repeater() {
    let mut rig = Rig::with(params().repeater_port(5065));
    let to = Destination::To("127.0.0.1:5065".parse().unwrap());
    assert_eq!(rig.datagrams(), [], "nobody needs beacons yet");
    let cid = rig.open("X");
    let is_search = |sent: &(Destination, Vec<u8>)| sent.0 == Destination::Search;
    assert!(
        rig.datagrams().iter().all(is_search),
        "a command may end before"
    );
    rig.now = at(1000);
    assert_eq!(rig.datagrams().last(), Some(&(to, vec![])));
    rig.client.close_channel(rig.now, cid);
    rig.now = at(1500);
    let confirm = udp::Response::RepeaterConfirm {
        client: [127, 0, 0, 1].into(),
    };
    rig.datagram("127.0.0.1:41234".parse().unwrap(), &confirm);
    assert!(rig.client.beacon_stats().registered);
    assert_eq!(rig.client.poll_timeout(), Some(at(61_500)));
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

/// Trap 6: a beacon anomaly hurries what is searched slowly.
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

/// "After a circuit to the server was lost, the record is unset again": the beacon that comes
/// out of time afterwards hurries nobody.
#[test]
fn a_lost_server_starts_its_beacons_anew() {
    let mut rig = Rig::with(params().connection_timeout(secs(1_000)));
    let (_, c) = rig.connect("X", 1);
    rig.open("SLOW");
    for n in 0..18 {
        rig.run_until(15_000 * n + 8_000);
        rig.beacon(SERVER, n as u32);
    }
    rig.closed(c, CloseReason::Eof);
    rig.client.close_channel(rig.now, Cid(0));
    rig.run_until(270_000);
    rig.beacon(SERVER, 18);
    assert_eq!(rig.search_times_until(500_000), [0; 0]);
}

/// A name server whose host has another address: the old circuit ends, the new server is asked at once; one that
/// stays in the list keeps its circuit.
#[test]
fn a_name_server_that_has_moved_is_asked_where_it_is() {
    let stays = "10.0.0.7:5064".parse().unwrap();
    let moved = "10.0.0.8:5064".parse().unwrap();
    let mut rig = Rig::with(
        params()
            .search_addrs(vec![])
            .name_servers(vec![OTHER, stays]),
    );
    let [
        Action::Dial { circuit: old, .. },
        Action::Dial { circuit: kept, .. },
    ] = rig.actions()[..]
    else {
        panic!("both are connected to");
    };
    for ns in [old, kept] {
        rig.connected(ns);
        rig.feed(ns, &[version(13)]);
    }
    rig.open("X");
    rig.run_until(20_000);
    rig.bytes(kept);
    rig.client.set_name_servers(rig.now, &[OTHER, stays]);
    assert_eq!(rig.actions(), [], "nothing has changed");
    rig.client.set_name_servers(rig.now, &[moved, stays]);
    assert_eq!(rig.actions()[0], hang_up(old, Hangup::Orderly));
    let states: Vec<_> = rig.client.name_servers().collect();
    let (connecting, asked) = (NameServerState::Connecting, NameServerState::Asked);
    assert_eq!(states, [(moved, connecting), (stays, asked)]);
    // Its end is no reason to come back.
    rig.closed(old, CloseReason::Eof);
    rig.run_until(rig.now.as_nanos() / 1_000_000 + 60_000);
    assert!(rig.client.name_servers().all(|(addr, _)| addr != OTHER));
}

/// The circuit to a server that is no more asked for names stays for the PVs that it has.
#[test]
fn a_name_server_that_goes_keeps_its_own_channels() {
    let mut rig = Rig::with(name_server_only());
    let ns = rig.dialled();
    rig.connected(ns);
    rig.feed(ns, &[version(13)]);
    let cid = rig.open("X");
    rig.datagrams();
    let reply = tcp::Response::Search {
        port: Port(1),
        server: SAME_ADDRESS,
        cid,
    };
    rig.feed(ns, &[reply]);
    rig.feed(ns, &created(cid, 1));
    rig.client.set_name_servers(rig.now, &[]);
    assert_eq!(rig.actions(), []);
    let state = rig.client.channel(cid).unwrap().state;
    assert!(matches!(state, ChannelState::Connected(_)), "{state:?}");
    assert!(rig.client.has_nowhere_to_search());
    rig.client.close_channel(rig.now, cid);
    assert_eq!(rig.actions(), [hang_up(ns, Hangup::Orderly)]);
}
