//! Limits against clients that ask for too much: each is told by name, and nobody else notices.

mod server_rig;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ca_proto::config::ServerParams;
use ca_proto::dbr::Value;
use ca_proto::rng::Pcg32;
use ca_proto::server::{Endpoint, Limit};
use ca_proto::time::Instant;
use ca_proto::wire::message::EventMask;
use server_rig::{Rig, TestDb, bytes, create, event_add, hex, params, read_notify};

const ECHO: &str = "00170000 00000000 00000000 00000000";
const EVENTS_OFF: &str = "00080000 00000000 00000000 00000000";
const EVENTS_ON: &str = "00090000 00000000 00000000 00000000";

/// The limit that the last request met; the circuit still answers.
#[track_caller]
fn meets(rig: &mut Rig, request: &str) -> (Option<Limit>, Vec<server_rig::Message>) {
    let replies = rig.ask_messages(request);
    let limit = rig.circuit.take_limit();
    assert_eq!(rig.circuit.take_limit(), None);
    assert_eq!(rig.ask(ECHO), hex(ECHO));
    (limit, replies)
}

#[test]
fn limits_of_counts_are_reported_once() {
    let limits = params()
        .max_channels_per_circuit(1)
        .max_subscriptions_per_circuit(1)
        .max_pending_puts_per_circuit(1);
    let mut rig = Rig::with(limits);
    rig.create(0, 1, "slow");
    assert_eq!(rig.circuit.take_limit(), None);
    assert_eq!(meets(&mut rig, &create(2, "ival")).0, Some(Limit::Channels));
    assert_eq!(meets(&mut rig, &event_add(5, 1, 0, 3, 1)).0, None);
    let again = event_add(5, 1, 0, 4, 1);
    assert_eq!(meets(&mut rig, &again).0, Some(Limit::Subscriptions));
    let put = "00130008 00050001 00000000 00000005 00000008 00000000";
    assert_eq!(meets(&mut rig, put).0, None);
    assert_eq!(meets(&mut rig, put).0, Some(Limit::PendingPuts));
}

#[test]
fn names_have_a_longest_length() {
    let mut rig = Rig::with(params().max_name_bytes(8));
    assert_eq!(meets(&mut rig, &create(1, "notthere")).0, None);
    let (limit, replies) = meets(&mut rig, &create(2, "notthere2"));
    assert_eq!(limit, Some(Limit::NameLength));
    let commands: Vec<u16> = replies.iter().map(|reply| reply.command).collect();
    // As for any name that the server has not: no exception for the user of the client.
    assert_eq!(commands, [26]);
}

#[test]
fn waiting_puts_hold_few_bytes() {
    let mut rig = Rig::with(params().max_waiting_put_bytes(64));
    rig.create(0, 1, "slow");
    let put = |ioid: u32| format!("00130008 00050001 00000000 {ioid:08x} 00000008 00000000");
    // The first is with the database, eight wait.
    for ioid in 0..9 {
        assert_eq!(meets(&mut rig, &put(ioid)).0, None);
    }
    let (limit, replies) = meets(&mut rig, &put(9));
    assert_eq!(limit, Some(Limit::WaitingPuts));
    assert_eq!((replies[0].command, replies[0].p1), (19, 0x16a));
}

#[test]
fn sizes_of_messages_are_limited_both_ways() {
    let mut rig = Rig::with(params().max_array_bytes(Some(20_000)));
    rig.create(0, 1, "text");
    let (limit, replies) = meets(&mut rig, &read_notify(4, 20_100, 0, 1));
    assert_eq!((limit, replies[0].command), (Some(Limit::FrameSize), 11));
    rig.send("0017fff0 00000000 00000000 00000000").unwrap();
    assert_eq!(rig.circuit.take_limit(), Some(Limit::FrameSize));
    rig.feed(&vec![0; 0xfff0]).unwrap();
    assert_eq!(rig.take_messages()[0].command, 11);
    assert_eq!(rig.ask(ECHO), hex(ECHO));
}

/// A header may announce 4 GiB; it costs its sender as many bytes and us 16 of them.
#[test]
fn giant_headers_cost_nothing() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.send("0017ffff 00000000 00000000 00000000 fffffff8 00000000")
            .unwrap();
        assert_eq!(rig.circuit.take_limit(), Some(Limit::FrameSize));
        assert_eq!(rig.take_messages()[0].command, 11);
        let part = vec![0; 16 << 20];
        for _ in 0..255 {
            rig.feed(&part).unwrap();
        }
        rig.feed(&part[8..]).unwrap();
        assert_eq!(rig.ask(ECHO), hex(ECHO));
    }
}

const A: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 1);
const A2: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 2);
const B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 1);

/// A datagram with 10 names that exist.
fn ten() -> Vec<u8> {
    let mut text = String::from("00000000 0001000d 00007777 00000000");
    for id in 0..10 {
        text += &format!(" 00060008 0005000d {id:08x} {id:08x} 6976616c 00000000");
    }
    bytes(&text)
}

/// Names answered to one datagram with ten, and the limit met.
fn answered(endpoint: &mut Endpoint, millis: u64, from: SocketAddrV4) -> (usize, Option<Limit>) {
    let now = Instant::ZERO + Duration::from_millis(millis);
    endpoint.handle_datagram(now, from, &ten(), &TestDb::new());
    let (mut names, mut buf) = (0, Vec::new());
    while let Some(to) = endpoint.poll_transmit(now, &mut buf) {
        assert_eq!(to, from);
        names += (buf.len() - 16) / 24;
    }
    (names, endpoint.take_limit())
}

#[test]
fn search_replies_are_limited_per_host_and_second() {
    let params = ServerParams::default().search_replies_per_second_per_host(25);
    let mut endpoint = Endpoint::new(Arc::new(params), 0x6378, Instant::ZERO);
    let met = Some(Limit::SearchRepliesPerHost);
    assert_eq!(answered(&mut endpoint, 0, A), (10, None));
    assert_eq!(answered(&mut endpoint, 1, A2), (10, None));
    assert_eq!(answered(&mut endpoint, 2, A), (5, met));
    // Not looked at, and not reported again.
    assert_eq!(answered(&mut endpoint, 3, A), (0, None));
    assert_eq!(answered(&mut endpoint, 3, B), (10, None));
    assert_eq!(answered(&mut endpoint, 999, A2), (0, None));
    assert_eq!(answered(&mut endpoint, 1000, A), (10, None));
    let stats = endpoint.stats();
    assert_eq!((stats.found, stats.limited, stats.datagrams), (45, 7, 7));
}

#[test]
fn search_replies_are_limited_in_all() {
    let params = ServerParams::default().search_replies_per_second(15);
    let mut endpoint = Endpoint::new(Arc::new(params), 0x6378, Instant::ZERO);
    let met = Some(Limit::SearchReplies);
    assert_eq!(answered(&mut endpoint, 0, A), (10, None));
    assert_eq!(answered(&mut endpoint, 0, B), (5, met));
    assert_eq!(answered(&mut endpoint, 0, B), (0, met));
    assert_eq!(answered(&mut endpoint, 1000, B), (10, None));
}

/// One look for output: what is below the high-water mark, and no more.
fn read_some(rig: &mut Rig) -> Vec<server_rig::Message> {
    let queue = rig.circuit.transmit(&rig.db);
    let all = queue.to_vec();
    queue.advance(all.len());
    server_rig::messages(&all)
}

/// Subscriptions come and go, updates wait and are read, and flow control holds them: what is paid for
/// is always enough for a first entry of each, and the newest value of each is told.
#[test]
fn queued_updates_keep_to_the_bytes_of_their_circuit() {
    const PVS: [&str; 3] = ["ival", "ro", "slow"];
    let (mut refused, mut replaced) = (0, 0);
    for seed in 0..60 {
        let mut rng = Pcg32::new(seed);
        let mut rig = Rig::with(params().send_high_water(1024));
        let limit = rig.circuit.held() + 6_000 + rng.below(30_000) as usize;
        let limits = params().send_high_water(1024).max_bytes_per_circuit(limit);
        rig = Rig::with(limits);
        for sid in 0..12 {
            rig.create(sid, sid, PVS[sid as usize % 3]);
        }
        let mut last = BTreeMap::new();
        let mut alive: Vec<(u32, u32)> = Vec::new();
        let bias = rng.below(5) as usize;
        for step in 0..600 {
            let value = step + 100;
            match rng.below(12) {
                0..3 => {
                    let sid = rng.below(12);
                    // Few enough that no index begins.
                    if alive.iter().filter(|sub| sub.0 == sid).count() < 16 {
                        let subid = 1000 + step as u32;
                        let before = rig.circuit.subscription_count();
                        rig.send(&event_add(5, 1, sid, subid, 1)).unwrap();
                        match rig.circuit.subscription_count() > before {
                            true => alive.push((sid, subid)),
                            false => refused += 1,
                        }
                    }
                }
                3 => {
                    for _ in 0..rng.below(6).min(alive.len() as u32) {
                        let at = rng.below(alive.len() as u32) as usize;
                        let (sid, subid) = alive.swap_remove(at);
                        rig.send(&format!("00020000 00050001 {sid:08x} {subid:08x}"))
                            .unwrap();
                    }
                }
                4 if rng.below(8) == 0 => rig.send(EVENTS_OFF).unwrap(),
                5 => rig.send(EVENTS_ON).unwrap(),
                6 => (read_some(&mut rig).iter().filter(|m| m.command == 1))
                    .for_each(|m| drop(last.insert(m.p2, m.payload.clone()))),
                7 if rng.below(10) == 0 => rig.circuit.release(),
                n => rig.post(PVS[(n as usize * bias) % 3], value, EventMask::VALUE),
            }
            let held = rig.circuit.held();
            assert!(held <= limit, "seed {seed}, step {step}: {held} of {limit}");
        }
        rig.send(EVENTS_ON).unwrap();
        for message in rig.take_messages().iter().filter(|m| m.command == 1) {
            last.insert(message.p2, message.payload.clone());
        }
        replaced += rig.circuit.stats().updates_replaced;
        for (sid, subid) in alive {
            let now = rig.db.get(PVS[sid as usize % 3]).now.value.clone();
            assert_eq!(
                Value::scalar(i32::from_be_bytes(*last[&subid].first_chunk().unwrap())),
                now
            );
        }
    }
    assert!(refused > 100 && replaced > 1000, "{refused} {replaced}");
}
