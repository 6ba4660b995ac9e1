//! Calls and messages that come too late, or speak of what does not exist: nothing happens.

use ca_proto::EcaStatus;
use ca_proto::client::{Action, ChannelState, CloseReason, Destination, Event, More};
use ca_proto::ids::{Cid, CircuitId};
use ca_proto::wire::message::{Data, Port, SAME_ADDRESS};
use ca_proto::wire::{Minor, tcp, udp};

use crate::rig::*;

#[test]
fn calls_for_what_is_gone_do_nothing() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let kept = rig.connect_also("Y", c, 2);
    let subid = rig.subscribe(cid, 1);
    rig.client.unsubscribe(rig.now, subid);
    rig.client.close_channel(rig.now, cid);
    rig.bytes(c);
    rig.client.unsubscribe(rig.now, subid);
    rig.client.close_channel(rig.now, cid);
    // A driver that reports twice, or of a circuit that never was.
    rig.client.handle_connected(rig.now, c);
    rig.client.handle_connected(rig.now, CircuitId(u32::MAX));
    rig.closed(CircuitId(u32::MAX), CloseReason::Eof);
    assert_eq!(rig.sent(c), [""; 0]);
    assert_eq!((rig.events(), rig.actions()), (vec![], vec![]));
    assert!(rig.client.channel(kept).unwrap().connection().is_some());
    rig.closed(c, CloseReason::Eof);
    assert_eq!(rig.events().len(), 2);
    rig.closed(c, CloseReason::Eof);
    assert_eq!(rig.events(), []);
    assert!(rig.client.transmit(rig.now, c).is_none());
}

/// The server's word that a subscription is cancelled does not come any more: its identifier is free when
/// the circuit ends, else a client that subscribes for years would run out of them.
#[test]
fn identifiers_of_cancelled_subscriptions_are_free_when_the_circuit_ends() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let (other, d) = rig.circuit("Z", OTHER);
    rig.feed(d, &created(other, 3));
    rig.events();
    for token in 0..3 {
        let subid = rig.subscribe(cid, token);
        rig.client.unsubscribe(rig.now, subid);
    }
    let elsewhere = rig.subscribe(other, 5);
    rig.client.unsubscribe(rig.now, elsewhere);
    let kept = rig.subscribe(cid, 7);
    assert_eq!(rig.client.counts().subscriptions, 5);
    rig.closed(c, CloseReason::Reset);
    // The living one, and the one that the other server has not confirmed.
    assert_eq!(rig.client.counts().subscriptions, 2);
    rig.closed(d, CloseReason::Reset);
    assert_eq!(rig.client.counts().subscriptions, 1);
    rig.client.unsubscribe(rig.now, kept);
    assert_eq!(rig.client.counts().subscriptions, 0);
}

/// Below 4.1 a reply has no status; what stands in its place, the channel's identifier, is no error.
#[test]
fn replies_of_a_4_0_server_have_no_status() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    rig.datagrams();
    rig.found(cid, SERVER);
    let c = rig.dialled();
    rig.connected(c);
    rig.feed(c, &[version(0)]);
    rig.feed(c, &[create(cid, 1, 6, 3)]);
    assert_eq!(rig.events(), [Event::Connected { cid }]);
    let ioid = rig.read(cid, 1);
    rig.bytes(c);
    let reply = tcp::Response::ReadNotify {
        ty: DOUBLE,
        count: 1,
        status: EcaStatus(0x1234),
        ioid,
        data: Data(&[0; 8]),
    };
    rig.feed(c, &[reply]);
    assert_eq!(rig.heard(), [was_read(1)]);
}

/// What a user sees on the way to a server, and that nothing can be used before the end of it.
#[test]
fn a_channel_tells_where_it_is_on_its_way() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    let state = |rig: &Rig| {
        let view = rig.client.channel(cid).unwrap();
        assert_eq!(
            view.connection().is_some(),
            matches!(view.state, ChannelState::Connected(_))
        );
        view.state
    };
    assert_eq!(state(&rig), ChannelState::Searching);
    rig.datagrams();
    rig.found(cid, SERVER);
    assert_eq!(state(&rig), ChannelState::Connecting { server: SERVER });
    let c = rig.dialled();
    rig.connected(c);
    assert_eq!(state(&rig), ChannelState::Creating { server: SERVER });
    rig.feed(c, &[version(13)]);
    rig.feed(c, &created(cid, 1));
    assert!(matches!(state(&rig), ChannelState::Connected(_)));
    rig.closed(c, CloseReason::Eof);
    assert_eq!(state(&rig), ChannelState::Searching);
}

/// A caller that does not fetch the datagrams of one try gets no second one on top of them.
#[test]
fn a_try_that_was_not_fetched_is_not_repeated() {
    let mut rig = Rig::new();
    for n in 0..50 {
        rig.open(&format!("a:rather:long:name:of:a:pv:{n}"));
    }
    let mut fired = 0;
    while fired < 5 {
        rig.now = rig.client.poll_timeout().unwrap();
        rig.client.handle_timeout(rig.now, &mut rig.log);
        fired += 1;
    }
    let searches = rig.datagrams();
    let all_searches = searches.iter().all(|(to, _)| *to == Destination::Search);
    assert!(all_searches && searches.len() <= 3, "{}", searches.len());
}

/// A chunk for a circuit that has ended meanwhile changes nothing.
#[test]
fn bytes_of_a_circuit_that_is_gone_are_ignored() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    rig.closed(c, CloseReason::Eof);
    rig.heard();
    rig.events();
    let mut bytes = vec![];
    update(subid).encode_into(&mut bytes);
    assert_eq!(rig.chunk(c, &bytes, More::Drained), Ok(()));
    assert_eq!((rig.heard(), rig.events()), (vec![], vec![]));
}

/// A message that makes no sense ends the look at its datagram: what follows may be anything.
#[test]
fn a_datagram_is_believed_up_to_what_makes_no_sense() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    rig.datagrams();
    let reply = |cid: Cid| {
        let mut reply = vec![];
        udp::Response::Search {
            port: Port(5064),
            server: SAME_ADDRESS,
            cid,
            minor: Minor::CURRENT,
        }
        .encode_into(&mut reply);
        reply
    };
    // An ERROR without the header of a request.
    let mut datagram = hex("000b0008 00000000 00000000 00000000 00000000 00000000");
    datagram.extend(reply(cid));
    rig.raw_datagram(SERVER, &datagram);
    // A message that is cut.
    let mut datagram = hex("00060010 00000000 00000000 00000000 00000000 00000000");
    datagram.truncate(20);
    rig.raw_datagram(SERVER, &datagram);
    assert_eq!(rig.actions(), []);
    rig.raw_datagram(SERVER, &reply(cid));
    rig.dialled();
}

/// Before 4.1 a search reply had no payload, and before 4.5 no port: such a server is on the port
/// that was asked for, at the address that the reply came from.
#[test]
fn a_search_reply_without_a_version_is_that_of_the_oldest() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    rig.datagrams();
    let mut reply = hex("00060000 270f0000 01020304");
    reply.extend(cid.0.to_be_bytes());
    rig.raw_datagram(SERVER, &reply);
    let addr = SERVER;
    let actions = rig.actions();
    assert!(
        matches!(actions[..], [Action::Dial { addr: to, .. }] if to == addr),
        "{actions:?}"
    );
}

/// A beacon that did not come through a repeater has no address, and that of an old server no port: it is
/// that of its sender, on the servers' port (`ca_repeater` of EPICS Base).
#[test]
fn a_beacon_without_address_and_port_is_its_senders() {
    let mut rig = Rig::new();
    rig.connect("X", 1);
    for sequence in 0..4 {
        let beacon = udp::Response::Beacon {
            minor: Minor::CURRENT,
            port: Port(0),
            sequence,
            server: std::net::Ipv4Addr::UNSPECIFIED,
        };
        let from = std::net::SocketAddrV4::new(*SERVER.ip(), 45_000);
        rig.datagram(from, &beacon);
        rig.now = at(1_000 * (u64::from(sequence) + 1));
    }
    assert_eq!(rig.client.beacon_period(SERVER), Some(secs(1)));
}

/// A server that answers a read as a write answers nothing: the read goes on waiting.
#[test]
fn an_answer_of_another_kind_is_none() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let ioid = rig.read(cid, 1);
    let written = tcp::Response::WriteNotify {
        ty: DOUBLE,
        count: 1,
        status: EcaStatus::NORMAL,
        ioid,
    };
    rig.feed(c, &[written, read_reply(ioid)]);
    assert_eq!(rig.heard(), [was_read(1)]);
}
