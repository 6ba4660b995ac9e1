//! What is refused is counted, logged now and then, and closed where nothing else helps.

mod rig;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_proto::config::ServerParams;
use ca_proto::ids::Cid;
use ca_proto::server::{Limit, StallWatch};
use ca_proto::wire::message::{Text, tcp};
use ca_proto::wire::{Command, Deframer, Minor};
use ca_server_sim::{Ioc, PvSpec};
use rig::Rig;

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SECOND: Duration = Duration::from_secs(1);

fn rig(params: ServerParams) -> Rig {
    Rig::new(Ioc::builder().params(params).pv("x", PvSpec::double(1.5)))
}

fn create<'a>(cid: u32, name: &'a str) -> tcp::Request<'a> {
    tcp::Request::CreateChan {
        cid: Cid(cid),
        minor: Minor::CURRENT,
        name: Text::new(name.as_bytes()),
    }
}

fn count(rig: &Rig, limit: Limit) -> u64 {
    rig.ioc.stats().limits.get(limit)
}

#[test]
fn refused_requests_are_counted_beside_what_there_is() {
    let mut rig = rig(ServerParams::default().max_channels_per_circuit(2));
    let mut client = rig.client();
    for cid in 0..5 {
        client.ask(&mut rig, &create(cid, "x"));
    }
    let mut other = rig.client();
    let replies = other.ask(&mut rig, &create(9, "x"));
    assert_eq!(replies[1].command, Command::CREATE_CHAN);
    let stats = rig.ioc.stats();
    assert_eq!((stats.circuits, stats.channels), (2, 3));
    assert_eq!(
        stats.limits.iter().collect::<Vec<_>>(),
        [(Limit::Channels, 3)]
    );
}

#[test]
fn a_circuit_too_many_is_told_why() {
    let mut rig = rig(ServerParams::default()
        .max_circuits_per_host(1)
        .max_circuits(2));
    let peer = |host| SocketAddrV4::new(host, 7);
    rig.client_from(A);
    assert!(rig.ioc.refusal(peer(Ipv4Addr::new(10, 0, 0, 2))).is_empty());
    assert_eq!(rig.ioc.accept(rig.now, peer(A)), None);
    let text = String::from_utf8_lossy(&rig.ioc.refusal(peer(A))).into_owned();
    assert!(text.contains("too many circuits from one host"), "{text}");
    rig.client_from(Ipv4Addr::new(10, 0, 0, 2));
    assert_eq!(
        rig.ioc.accept(rig.now, peer(Ipv4Addr::new(10, 0, 0, 3))),
        None
    );
    assert_eq!(count(&rig, Limit::CircuitsPerHost), 1);
    assert_eq!(count(&rig, Limit::Circuits), 1);
}

#[test]
fn a_client_that_says_no_version_is_expelled() {
    let mut rig = rig(ServerParams::default().version_timeout(10 * SECOND));
    let named = rig.client();
    rig.advance(SECOND);
    let silent = rig.ioc.accept(rig.now, SocketAddrV4::new(A, 1)).unwrap();
    let gone = rig.ioc.accept(rig.now, SocketAddrV4::new(A, 2)).unwrap();
    rig.ioc.handle_closed(rig.now, gone);
    let mut deframer = Deframer::new(rig.ioc.limits(silent));
    let early = create(1, "x");
    let mut bytes = Vec::new();
    early.encode_into(&mut bytes);
    rig.ioc
        .handle_chunk(rig.now, silent, &mut deframer, &bytes)
        .unwrap();
    rig.advance(9 * SECOND);
    assert_eq!(rig.ioc.poll_expelled(), None);
    rig.advance(SECOND);
    assert_eq!(rig.ioc.poll_expelled(), Some(silent));
    assert_eq!(rig.ioc.poll_expelled(), None);
    rig.ioc.handle_closed(rig.now, silent);
    rig.advance(100 * SECOND);
    assert_eq!(rig.ioc.poll_expelled(), None);
    assert_eq!(rig.ioc.circuits().collect::<Vec<_>>(), [named.id]);
    assert_eq!(count(&rig, Limit::FirstVersion), 1);
}

#[test]
fn a_limit_that_the_driver_watches_is_counted_too() {
    let mut rig = rig(ServerParams::default());
    let client = rig.client();
    let mut watch = StallWatch::new(rig.ioc.params());
    let due = watch.blocked(|| rig.now).unwrap();
    let limit = watch.poll(due, true).unwrap_err();
    rig.ioc.handle_limit(due, client.id, limit);
    assert_eq!(count(&rig, Limit::SlowReader), 1);
}

#[test]
fn search_floods_are_counted_over_all_interfaces() {
    let params = ServerParams::default().search_replies_per_second_per_host(3);
    let mut rig = rig(params);
    let mut search = Vec::new();
    let version = ca_proto::wire::udp::Request::Version {
        valid: 1,
        minor: Minor::CURRENT,
        sequence: 1,
    };
    version.encode_into(&mut search);
    for cid in 0..5 {
        ca_proto::wire::udp::Request::Search {
            reply: ca_proto::wire::message::SearchFlag::DONT_REPLY,
            minor: Minor::CURRENT,
            cid: Cid(cid),
            cid2: Cid(cid),
            name: Text::new(b"x"),
        }
        .encode_into(&mut search);
    }
    rig.ioc
        .handle_datagram(rig.now, SocketAddrV4::new(A, 1), &search);
    let stats = rig.ioc.stats();
    assert_eq!((stats.search.found, stats.search.limited), (3, 2));
    assert_eq!(stats.limits.get(Limit::SearchRepliesPerHost), 1);
}

/// Keeps the text of every log line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("ca_server_sim")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text<'a>(&'a mut Vec<String>);
        impl tracing::field::Visit for Text<'_> {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push(format!("{value:?}"));
            }
        }
        event.record(&mut Text(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn the_log_names_peer_limit_and_setting_and_is_not_flooded() {
    let lines = Lines::default();
    let said = || lines.0.lock().unwrap().clone();
    // While there is only one dispatcher, a line that another test's thread reaches first is asked for
    // there, where nobody listens, and stays off.
    let _second = tracing::Dispatch::new(lines.clone());
    tracing::subscriber::with_default(lines.clone(), || {
        let mut rig = rig(ServerParams::default().max_channels_per_circuit(1));
        let mut client = rig.client_from(A);
        for cid in 0..100 {
            client.ask(&mut rig, &create(cid, "x"));
        }
        assert_eq!(
            said(),
            [
                "10.0.0.1:4000: too many channels: the channel is refused (max_channels_per_circuit \
                 = 1; 1 since the last line)"
            ]
        );
        rig.advance(10 * SECOND);
        client.ask(&mut rig, &create(100, "x"));
        assert!(said()[1].contains("; 99 since"), "{:?}", said());
        assert_eq!(said().len(), 2);
    });
}
