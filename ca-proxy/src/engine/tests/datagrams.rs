//! Datagrams: searches, replies, storms.

use super::*;
use crate::engine::To;
use ca_proto::wire::message::{Port, SAME_ADDRESS, SearchFlag};
use ca_proto::wire::udp;

fn search(names: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    version().encode_into(&mut out);
    for (cid, name) in (1..).zip(names) {
        udp::Request::Search {
            reply: SearchFlag::DONT_REPLY,
            minor: Minor::CURRENT,
            cid: Cid(cid),
            cid2: Cid(cid),
            name: Text::new(name.as_bytes()),
        }
        .encode_into(&mut out);
    }
    out
}

fn version<'a>() -> udp::Request<'a> {
    udp::Request::Version {
        valid: 1,
        minor: Minor::CURRENT,
        sequence: 77,
    }
}

fn reply(cids: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    version().encode_into(&mut out);
    for &cid in cids {
        udp::Response::Search {
            port: Port(SERVER.port()),
            server: SAME_ADDRESS,
            cid: Cid(cid),
            minor: Minor::CURRENT,
        }
        .encode_into(&mut out);
    }
    out
}

/// Hands the searches and the reply to the engine.
fn asked(engine: &mut Engine, names: &[&str], cids: &[u32]) {
    let way = Direction::Request;
    engine.datagram(at(0), way, CLIENT, SERVER, &search(names), &mut port_for);
    let way = Direction::Response;
    engine.datagram(at(0), way, CLIENT, SERVER, &reply(cids), &mut port_for);
}

/// What goes out until an instant, as text.
fn sent(engine: &mut Engine, ms: u64) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((to, data)) = engine.next_datagram(at(ms)) {
        let (to, direction) = match to {
            To::ServerFor(_) => (">".to_owned(), dump::Direction::UdpRequest),
            To::Client(_) => ("<".to_owned(), dump::Direction::UdpResponse),
            To::Address(to) => (to.to_string(), dump::Direction::UdpRequest),
        };
        let mut line = format!("{to} ");
        dump::datagram(&mut line, &data, direction).unwrap();
        all.push(line);
    }
    all
}

fn found(cids: &[u32]) -> String {
    let mut line = "< VERSION valid=1 minor=4.13 sequence=77".to_owned();
    for cid in cids {
        line += &format!(" | SEARCH port=6000 server=255.255.255.255 cid={cid} minor=4.13");
    }
    line
}

#[test]
fn replies_lead_to_the_proxy() {
    let mut engine = engine("");
    asked(&mut engine, &["a", "b"], &[1, 2]);
    let lines = sent(&mut engine, 0);
    assert!(lines[0].contains("name=\"a\""), "{lines:?}");
    assert_eq!(lines[1..], [found(&[1, 2])]);
    assert_eq!(engine.wake_datagrams(), None);
}

#[test]
fn replies_are_lost_by_name() {
    let mut engine = engine("[[rule]]\non='search'\nname='a*'\naction='drop'\n");
    asked(&mut engine, &["ab", "b"], &[1, 2]);
    assert_eq!(sent(&mut engine, 0)[1..], [found(&[2])]);
    asked(&mut engine, &["ab"], &[1]);
    assert_eq!(sent(&mut engine, 0).len(), 1, "no empty reply either");
}

#[test]
fn searches_are_lost_by_name() {
    let text = "[[rule]]\non='search'\ndirection='request'\nname='ab'\naction='drop'\n";
    let mut engine = engine(text);
    asked(&mut engine, &["ab"], &[]);
    assert_eq!(
        sent(&mut engine, 0),
        [found(&[])],
        "an answer without names is the server's own affair"
    );
}

#[test]
fn a_late_reply_travels_alone_with_its_version() {
    let mut engine = engine("[[rule]]\non='search'\nname='a'\naction='delay'\nby='300ms'\n");
    asked(&mut engine, &["a", "b"], &[1, 2]);
    assert_eq!(sent(&mut engine, 0)[1..], [found(&[2])]);
    assert_eq!(engine.wake_datagrams(), Some(at(300)));
    assert_eq!(sent(&mut engine, 300), [found(&[1])]);
}

#[test]
fn replies_come_twice() {
    let mut engine = engine("[[rule]]\non='search'\naction='duplicate'\n");
    asked(&mut engine, &["a"], &[1]);
    assert_eq!(sent(&mut engine, 0)[1..], [found(&[1]), found(&[1])]);
}

#[test]
fn datagrams_that_cannot_be_pass_as_they_are() {
    let mut engine = engine("");
    let mut data = reply(&[1]);
    data.extend([0, 6, 0]);
    let way = Direction::Response;
    for data in [&data[..], &[], &[1, 2, 3]] {
        engine.datagram(at(0), way, CLIENT, SERVER, data, &mut port_for);
        let (_, out) = engine.next_datagram(at(0)).unwrap();
        assert_eq!(out.len(), data.len());
    }
}

#[test]
fn a_storm_blows_while_its_rule_is_on() {
    let text = "[[rule]]\nid='storm'\non='beacon'\naction='storm'\nto='10.0.0.9:5065'\nevery='10ms'\n\
                servers=2\nenabled=false\n";
    let mut engine = engine(text);
    assert_eq!(sent(&mut engine, 0), [""; 0]);
    engine.switch(at(0), "storm", true);
    let beacon = |port, sequence| {
        format!(
            "10.0.0.9:5065 RSRV_IS_UP minor=4.13 port={port} sequence={sequence} server=10.0.0.3"
        )
    };
    assert_eq!(sent(&mut engine, 0), [beacon(6000, 0), beacon(6001, 0)]);
    assert_eq!(engine.wake_datagrams(), Some(at(10)));
    assert_eq!(sent(&mut engine, 9), [""; 0]);
    assert_eq!(sent(&mut engine, 10), [beacon(6000, 1), beacon(6001, 1)]);
    engine.switch(at(11), "storm", false);
    assert_eq!(sent(&mut engine, 1000), [""; 0]);
    assert_eq!(engine.wake_datagrams(), None);
}

#[test]
fn what_waits_is_bounded() {
    let mut engine = engine("[[rule]]\non='search'\naction='duplicate'\ncopies=100\n");
    for _ in 0..200 {
        asked(&mut engine, &["a"], &[1]);
    }
    let bound = super::super::datagrams::MAX_DATAGRAMS;
    assert_eq!(sent(&mut engine, 0).len(), bound);
    assert!(
        !engine.stats()[1].ends_with("lost 0"),
        "{:?}",
        engine.stats()
    );
}
