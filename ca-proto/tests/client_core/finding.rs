//! Finding servers beyond the reference: those an earlier run knew, a budget, lists that change.

use std::time::Duration;

use ca_proto::client::{Action, ChannelState, CloseReason, Event};
use ca_proto::wire::{Minor, tcp};

use crate::rig::*;

const HINT: Option<(core::net::SocketAddrV4, Minor)> = Some((SERVER, Minor(13)));

#[test]
fn a_known_server_is_asked_without_a_search() {
    let mut rig = Rig::new();
    let cid = (rig.client.open_channel_at(at(0), name("X"), 0, HINT)).unwrap();
    assert_eq!(rig.datagrams(), []);
    let c = rig.dialled();
    rig.connected(c);
    assert!(
        rig.sent(c)
            .iter()
            .any(|sent| sent.starts_with("CREATE_CHAN"))
    );
    rig.feed(c, &[version(13), rights(cid, 3), create(cid, 7, 6, 1)]);
    assert_eq!(rig.events(), [Event::Connected { cid }]);
    let traffic = *rig.client.traffic();
    assert_eq!(
        (traffic.hinted, traffic.stale_hints, traffic.searches),
        (1, 0, 0)
    );
    assert_eq!(rig.client.channel_states().connected, 1);
    // Later it is a channel as any other.
    rig.closed(c, CloseReason::Eof);
    assert_eq!(rig.search_times_until(10_000), [10_000]);
    assert_eq!(rig.client.channel_states().searching, 1);
}

/// Each way in which a server can be gone, and by when the name is searched, in milliseconds.
#[test]
fn what_is_not_there_any_more_is_searched_at_once_and_nobody_is_told() {
    type Happens = fn(&mut Rig, ca_proto::ids::CircuitId, ca_proto::ids::Cid);
    let refused: Happens = |rig, c, _| rig.closed(c, CloseReason::Refused);
    let no_answer: Happens = |_, _, _| {};
    let mute: Happens = |rig, c, _| rig.connected(c);
    let unknown: Happens = |rig, c, cid| {
        rig.connected(c);
        rig.feed(c, &[version(13), tcp::Response::CreateChFail { cid }]);
    };
    for (happens, by) in [
        (refused, 0),
        (no_answer, 2_000),
        (mute, 2_000),
        (unknown, 0),
    ] {
        let mut rig = Rig::new();
        let cid = (rig.client.open_channel_at(at(0), name("X"), 0, HINT)).unwrap();
        let c = rig.dialled();
        happens(&mut rig, c, cid);
        let searched = rig.search_times_until(3_000);
        assert_eq!(searched.first(), Some(&by));
        let told = rig.events();
        let circuit_only = |event: &Event| matches!(event, Event::CircuitClosed { .. });
        assert!(told.iter().all(circuit_only), "{told:?}");
        let view = rig.client.channel(cid).unwrap();
        assert_eq!((view.state, view.trouble), (ChannelState::Searching, None));
        assert_eq!(rig.client.traffic().stale_hints, 1);
    }
}

#[test]
fn a_server_that_lives_may_take_its_time_to_create_many() {
    let mut rig = Rig::new();
    let cid = (rig.client.open_channel_at(at(0), name("X"), 0, HINT)).unwrap();
    let c = rig.dialled();
    rig.connected(c);
    rig.feed(c, &[version(13)]);
    assert_eq!(rig.search_times_until(20_000), []);
    rig.feed(c, &[rights(cid, 3), create(cid, 7, 6, 1)]);
    assert_eq!(rig.events(), [Event::Connected { cid }]);
}

#[test]
fn an_address_that_no_server_can_have_is_no_hint() {
    let mut rig = Rig::new();
    let bad = Some(("0.0.0.0:0".parse().unwrap(), Minor(13)));
    rig.client
        .open_channel_at(at(0), name("X"), 0, bad)
        .unwrap();
    assert_eq!(rig.search_times_until(0), [0]);
    assert_eq!(rig.client.poll_action(), None::<Action>);
}

#[test]
fn searches_keep_to_their_budget() {
    let mut rig = Rig::with(params().search_budget(10));
    // Nobody answers: five names in each second's datagrams.
    let mut last = 0;
    for n in 0..2_000 {
        rig.open(&format!("a:name:that:fills:a:datagram:with:twenty:{n:05}"));
    }
    for second in 1..=30 {
        rig.search_times_until(second * 1_000);
        let sent = rig.client.traffic().search_datagrams;
        assert!(sent <= 11 + 10 * second, "{sent} in {second} s");
        last = sent;
    }
    assert!(last > 200, "{last}");
    assert!(rig.client.traffic().search_delays > 0);
    let costs = rig.client.most_searched(3);
    assert_eq!(costs.len(), 3);
    assert!(costs[0].datagrams >= costs[2].datagrams && !costs[0].answered);
}

#[test]
fn a_new_address_is_asked_for_everything_at_once() {
    let mut rig = Rig::new();
    rig.open("X");
    rig.search_times_until(20_000);
    let known = rig.client.search_addrs().to_vec();
    rig.client.set_search_addrs(at(20_000), known.clone());
    assert_eq!(rig.search_times_until(20_000), [], "nothing has changed");
    let more = [known, vec!["10.9.9.9:5064".parse().unwrap()]].concat();
    rig.client.set_search_addrs(at(20_000), more);
    assert_eq!(rig.search_times_until(20_000), [20_000]);
    let due = rig.client.poll_timeout().unwrap();
    assert!(due < at(20_000) + Duration::from_millis(100), "{due:?}");
}
