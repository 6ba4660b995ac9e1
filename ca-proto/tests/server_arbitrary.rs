//! Whatever a peer sends: no panic, only well-formed output, nothing left behind, bounds kept.

mod server_rig;

use std::sync::Arc;
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::config::ServerParams;
use ca_proto::repeater::{MAX_QUEUED, Repeater};
use ca_proto::server::Endpoint;
use ca_proto::time::Instant;
use ca_proto::wire::message::EventMask;
use ca_proto::wire::{Command, Header};
use proptest::prelude::*;
use server_rig::*;

/// What happens to a circuit.
#[derive(Clone, Debug)]
enum Step {
    /// A message with fields that often mean something.
    Message(Header, Vec<u8>),
    Bytes(Vec<u8>),
    Post(u8, i32),
    Complete(u8),
    Rights(u8, u32),
    Gone(u8),
    /// The client reads up to so many bytes.
    Read(usize),
}

const NAMES: [&str; 8] = ["dval", "ival", "sval", "none", "ro", "slow", "text", "arr"];

fn header() -> impl Strategy<Value = Header> {
    let commands = prop_oneof![
        8 => prop::sample::select(vec![1u16, 2, 4, 8, 9, 12, 15, 18, 19]),
        1 => 0u16..30,
    ];
    let count = prop_oneof![8 => 0u32..4, 1 => Just(70_000), 1 => any::<u32>()];
    let ty = prop_oneof![20 => 0u16..39, 1 => any::<u16>()];
    let sid = prop_oneof![20 => 0u32..4, 1 => any::<u32>()];
    (commands, ty, count, sid, 0u32..14).prop_map(|(command, data_type, count, p1, p2)| {
        let mut header = Header::new(Command(command));
        (header.data_type, header.count, header.p1, header.p2) = (data_type, count, p1, p2);
        match command {
            // Messages that would mostly end the circuit keep it alive here.
            0 | 6 => (header.data_type, header.count) = (0, 13),
            18 => header.p2 = 4 + p2 % 10,
            _ => {}
        }
        header
    })
}

fn message() -> impl Strategy<Value = Step> {
    let payload = prop_oneof![
        4 => (0..NAMES.len()).prop_map(|n| bytes(&text_payload(NAMES[n]))),
        2 => (0u16..0x110).prop_map(|mask| bytes(&format!("{:024}{mask:04x}0000", 0))),
        2 => prop::collection::vec(any::<u8>(), 0..5).prop_map(|words| {
            words.iter().flat_map(|&b| [b; 8]).collect()
        }),
    ];
    (header(), payload).prop_map(|(header, payload)| Step::Message(header, payload))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => message(),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Step::Bytes),
        8 => (any::<u8>(), any::<i32>()).prop_map(|(pv, value)| Step::Post(pv, value)),
        3 => any::<u8>().prop_map(Step::Complete),
        2 => (any::<u8>(), 0u32..4).prop_map(|(pv, rights)| Step::Rights(pv, rights)),
        1 => any::<u8>().prop_map(Step::Gone),
        5 => (0usize..2000).prop_map(Step::Read),
    ]
}

fn limits() -> ServerParams {
    params()
        .max_channels_per_circuit(6)
        .max_subscriptions_per_circuit(9)
        .max_pending_puts_per_circuit(5)
        .max_array_bytes(Some(100_000))
        .send_high_water(2048)
}

/// Runs the steps; the bytes that the client reads.
fn run(rig: &mut Rig, steps: Vec<Step>) -> Vec<u8> {
    let mut read = Vec::new();
    for step in steps {
        let name = |pv: u8| NAMES[usize::from(pv) % NAMES.len()];
        let closed = match step {
            Step::Message(mut header, payload) => {
                header.payload_len = payload.len() as u32;
                let mut message = Vec::new();
                header.encode(&mut message);
                message.extend(payload);
                rig.feed(&message).is_err()
            }
            Step::Bytes(bytes) => rig.feed(&bytes).is_err(),
            Step::Post(pv, value) if name(pv) == "ival" => {
                rig.post("ival", value, EventMask::VALUE);
                false
            }
            Step::Post(pv, _) => {
                let value = rig.db.get(name(pv)).now.value.clone();
                rig.post(name(pv), value, EventMask::ALARM);
                false
            }
            Step::Complete(n) => {
                if let Some(&ticket) = rig.db.tickets.get(usize::from(n)) {
                    rig.complete(ticket, EcaStatus::NORMAL);
                }
                false
            }
            Step::Rights(pv, bits) => {
                rig.db.get(name(pv)).rights = AccessRights::from_bits(bits);
                rig.circuit.rights_changed(rig.now, &mut rig.db);
                false
            }
            Step::Gone(pv) => {
                let pv = rig.db.pv(name(pv));
                rig.circuit.pv_gone(pv, &mut rig.db).is_err()
            }
            Step::Read(n) => {
                let queue = rig.circuit.transmit(&rig.db);
                let n = n.min(queue.len());
                read.extend(&queue.to_vec()[..n]);
                queue.advance(n);
                false
            }
        };
        assert!(rig.circuit.channel_count() <= 6 && rig.circuit.subscription_count() <= 9);
        assert_eq!(rig.db.subs.len(), rig.circuit.subscription_count());
        if closed {
            break;
        }
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_steps_give_well_formed_output_and_leave_nothing(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut rig = Rig::with(limits());
        for (sid, name) in ["ival", "slow", "arr", "sval"].into_iter().enumerate() {
            rig.create(sid as u32, sid as u32, name);
        }
        let mut read = run(&mut rig, steps);
        read.extend(rig.take_bytes());
        for message in messages(&read) {
            // Only what servers send.
            let sent = [0, 1, 3, 6, 10, 11, 12, 14, 15, 18, 19, 22, 23, 26, 27];
            prop_assert!(sent.contains(&message.command), "{message:?}");
        }
        prop_assert_eq!(rig.circuit.poll_timeout(), None);
        rig.circuit.close(&mut rig.db);
        prop_assert_eq!((rig.db.open, rig.db.subs.len()), (0, 0));
        prop_assert_eq!(rig.circuit.channel_count() + rig.circuit.subscription_count(), 0);
    }

    /// However posts, reads and flow control interleave, what arrives is in order, and the last
    /// value always does.
    #[test]
    fn the_last_value_of_every_subscription_arrives(
        ops in prop::collection::vec((0u8..12, 0usize..40), 1..600)
    ) {
        const SUBS: usize = 40;
        let mut rig = Rig::with(limits().max_subscriptions_per_circuit(SUBS));
        rig.create(0, 0, "ival");
        for id in 0..SUBS as u32 {
            rig.ask(&event_add(5, 1, 0, id, 1));
        }
        let mut posted = [42i32; SUBS];
        let mut seen: Vec<Vec<i32>> = vec![vec![42]; SUBS];
        let mut take = |rig: &mut Rig| {
            for m in rig.take_messages() {
                seen[m.p2 as usize].push(m.i32(0));
            }
        };
        for (n, (op, id)) in ops.into_iter().enumerate() {
            match op {
                0 => take(&mut rig),
                1 => rig.send("00080000 00000000 00000000 00000000").unwrap(),
                2 | 3 => rig.send("00090000 00000000 00000000 00000000").unwrap(),
                _ => {
                    posted[id] = 1000 + n as i32;
                    rig.db.get("ival").now.value = posted[id].into();
                    let state = ca_proto::server::Database::read(&rig.db, rig.db.pv("ival"));
                    let key = rig.db.subs[id].1.key;
                    rig.circuit.post(key, &state);
                }
            }
        }
        rig.send("00090000 00000000 00000000 00000000").unwrap();
        take(&mut rig);
        for id in 0..SUBS {
            prop_assert!(seen[id].is_sorted());
            prop_assert_eq!(seen[id].last(), Some(&posted[id]));
        }
    }

    #[test]
    fn any_datagram_is_survived_by_the_endpoint(
        data in prop::collection::vec(any::<u8>(), 0..200),
        at in 0u64..100,
    ) {
        let params = ServerParams::default().beacon_addrs(vec![PEER]);
        let now = Instant::ZERO + Duration::from_secs(at);
        let mut endpoint = Endpoint::new(Arc::new(params), 1, Instant::ZERO);
        // A search in front, so that something is answered.
        let mut datagram = bytes(
            "00000000 0001000d 00007777 00000000 00060008 0005000d 00000001 00000001 6976616c 00000000",
        );
        datagram.extend(data);
        endpoint.handle_datagram(now, PEER, &datagram, &TestDb::new());
        endpoint.handle_timeout(now);
        let mut buf = Vec::new();
        let mut count = 0;
        while endpoint.poll_transmit(now, &mut buf).is_some() {
            prop_assert!(buf.len() <= 1024 && !messages(&buf).is_empty());
            count += 1;
        }
        prop_assert!(count >= 2);
        prop_assert!(endpoint.poll_timeout() > Some(now));
    }

    #[test]
    fn any_datagrams_are_survived_by_the_repeater(
        data in prop::collection::vec((0u16..5, prop::collection::vec(any::<u8>(), 0..40)), 0..400),
    ) {
        let mut repeater = Repeater::new([]);
        for (port, data) in &data {
            let from = std::net::SocketAddrV4::new(*PEER.ip(), *port);
            repeater.handle_datagram(Instant::ZERO, from, data);
            if data.len() == 7 {
                repeater.forget(from);
            }
        }
        let mut buf = Vec::new();
        let mut count = 0;
        while let Some(to) = repeater.poll_transmit(Instant::ZERO, &mut buf) {
            prop_assert!(repeater.clients().contains(&to));
            count += 1;
        }
        prop_assert!(count <= MAX_QUEUED * 5);
    }
}
