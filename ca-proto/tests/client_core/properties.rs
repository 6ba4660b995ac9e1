//! What holds for every input.

use ca_proto::EcaStatus;
use ca_proto::client::{CloseReason, Hangup, More, Token};
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, CircuitId};
use ca_proto::ids::{Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, ErrorBody, Port};
use ca_proto::wire::{Command, Header, Minor, tcp, udp};
use proptest::prelude::*;

use crate::rig::*;

/// A client with a healthy circuit and one to a peer that is up to no good.
struct Pair {
    rig: Rig,
    honest: (Cid, CircuitId),
    nasty: (Cid, CircuitId),
    ioid: Ioid,
    subid: SubId,
}

fn pair() -> Pair {
    let mut rig = Rig::new();
    let honest = rig.connect("HONEST", 1);
    let subid = rig.subscribe(honest.0, 1);
    let ioid = rig.read(honest.0, 2);
    let nasty = rig.circuit("NASTY", OTHER);
    rig.feed(nasty.1, &created(nasty.0, 1));
    rig.subscribe(nasty.0, 3);
    rig.read(nasty.0, 4);
    rig.bytes(honest.1);
    rig.bytes(nasty.1);
    rig.events();
    rig.heard();
    Pair {
        rig,
        honest,
        nasty,
        ioid,
        subid,
    }
}

impl Pair {
    /// The honest server's channel works as if nothing had happened.
    fn check(mut self) {
        let (cid, c) = self.honest;
        assert_eq!(self.rig.bytes(c), []);
        let mine = |heard: &Heard| matches!(heard, Heard::Update(1, ..) | Heard::Read(2, ..));
        assert!(!self.rig.heard().iter().any(mine));
        self.rig
            .feed(c, &[update(self.subid), read_reply(self.ioid)]);
        assert_eq!(self.rig.heard(), [updated(1), was_read(2)]);
        assert!(self.rig.client.channel(cid).unwrap().connection().is_some());
        let circuits = self.rig.actions();
        let harmless =
            |action| action != hang_up(c, Hangup::Orderly) && action != hang_up(c, Hangup::Abort);
        assert!(circuits.into_iter().all(harmless));
    }

    fn attack(&mut self, bytes: &[u8], more: More) {
        let c = self.nasty.1;
        if self.rig.chunk(c, bytes, more).is_err() {
            self.rig.closed(c, CloseReason::Violation);
        }
    }
}

fn ids() -> impl Strategy<Value = u32> {
    prop_oneof![0..4_u32, any::<u32>()]
}

/// Messages that are almost right: known commands, small identifiers, odd sizes.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![0..30_u16, any::<u16>()];
    let payload = prop::collection::vec(any::<u8>(), 0..6).prop_map(|mut words| {
        let len = words.len() * 8;
        words.resize(len, 0);
        words
    });
    let ty = prop_oneof![0..40_u16, any::<u16>()];
    (command, ty, ids(), ids(), ids(), payload).prop_map(
        |(command, data_type, count, p1, p2, data)| {
            let mut bytes = vec![];
            let header = Header {
                payload_len: data.len() as u32,
                data_type,
                count,
                p1,
                p2,
                ..Header::new(Command(command))
            };
            header.encode(&mut bytes);
            bytes.extend(data);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes_of_one_server_never_reach_another_circuit(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut pair = pair();
        pair.attack(&bytes, More::Maybe);
        pair.check();
    }

    #[test]
    fn almost_right_messages_never_reach_another_circuit(
        messages in prop::collection::vec(almost(), 1..30),
    ) {
        let mut pair = pair();
        for message in messages {
            pair.attack(&message, More::Drained);
        }
        pair.check();
    }

    #[test]
    fn datagrams_never_disturb_a_circuit(
        messages in prop::collection::vec(almost(), 1..10),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut pair = pair();
        let mut datagram = messages.concat();
        datagram.extend(noise);
        pair.rig.raw_datagram(OTHER, &datagram);
        pair.rig.events();
        pair.check();
    }

    /// Where the stream is cut makes no difference.
    #[test]
    fn chunks_do_not_matter(cuts in prop::collection::vec(1..60_usize, 1..40)) {
        let stream = |rig: &Pair| {
            let (subid, ioid) = (rig.subid, rig.ioid);
            let mut bytes = vec![];
            for message in [update(subid), rights(rig.honest.0, 1), update(subid), read_reply(ioid)] {
                message.encode_into(&mut bytes);
            }
            tcp::Response::EventAdd {
                ty: TIME_DOUBLE,
                count: 3,
                status: EcaStatus::NORMAL,
                subid,
                data: Data(&[5; 40]),
            }
            .encode_into(&mut bytes);
            bytes
        };
        let mut whole = pair();
        let bytes = stream(&whole);
        whole.rig.chunk(whole.honest.1, &bytes, More::Drained).unwrap();
        let mut pieces = pair();
        let mut rest = &bytes[..];
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, tail) = rest.split_at(cut.min(rest.len()));
            rest = tail;
            pieces.rig.chunk(pieces.honest.1, chunk, More::Drained).unwrap();
        }
        prop_assert_eq!(whole.rig.heard(), pieces.rig.heard());
        prop_assert_eq!(whole.rig.events(), pieces.rig.events());
    }

    /// After `handle_timeout` the next time-out is later, whatever happened before; every accepted
    /// operation is answered exactly once in the end.
    #[test]
    fn timers_move_on_and_operations_end(
        steps in prop::collection::vec((0..14_u8, 0..3_u32, 0..12_000_u64), 1..80),
    ) {
        let mut rig = Rig::with(params().name_servers(vec![OTHER]).repeater_port(5065));
        let mut open = vec![];
        let mut accepted = 0_u64;
        let mut silent = 0_u64;
        let mut circuits = std::collections::BTreeSet::new();
        let mut now = 0;
        for (step, n, wait) in steps {
            let cid = open.get(n as usize % open.len().max(1)).copied().unwrap_or(Cid(n));
            match step {
                0 | 1 if open.len() < 5 => open.push(rig.open("X")),
                2 | 3 => rig.found(cid, if n == 0 { OTHER } else { SERVER }),
                4 | 5 => for &c in &circuits {
                    rig.client.handle_connected(rig.now, c);
                },
                6 | 7 => for &c in &circuits {
                    rig.connected(c);
                    rig.feed(c, &created(cid, n));
                },
                8 => {
                    let spec = ca_proto::client::ReadSpec { ty: time_doubles(1).ty, count: 1 };
                    let deadline = (n == 1).then(|| rig.now + secs(1));
                    let read = rig.client.read(rig.now, cid, spec, Token(accepted), deadline);
                    accepted += u64::from(read.is_ok());
                    if n == 2 && let Ok(ioid) = read {
                        rig.client.cancel(ioid);
                        silent += 1;
                    }
                }
                9 => {
                    let _ = rig.client.subscribe(rig.now, cid, time_doubles(n), Token(1_000));
                }
                10 => if let Some(&c) = circuits.first() {
                    rig.closed(c, CloseReason::Reset);
                    circuits.remove(&c);
                },
                11 => rig.beacon(SERVER, n),
                12 => for &c in &circuits {
                    rig.bytes(c);
                },
                _ => {
                    let message = udp::Response::Search {
                        port: Port(5), server: [10, 9, 9, 9].into(), cid, minor: Minor(13),
                    };
                    rig.datagram(OTHER, &message);
                }
            }
            for action in rig.actions() {
                if let ca_proto::client::Action::Dial { circuit, .. } = action {
                    rig.connected_later(circuit);
                    circuits.insert(circuit);
                }
            }
            now += wait;
            rig.run_until(now);
        }
        for c in circuits {
            rig.closed(c, CloseReason::Eof);
        }
        let replies = rig.heard().into_iter().filter(|heard| {
            !matches!(heard, Heard::Update(..) | Heard::Life(..))
        });
        prop_assert_eq!(replies.count() as u64 + silent, accepted);
    }
}

/// Every message the client can receive, with identifiers that exist nowhere.
#[test]
fn no_message_needs_a_known_identifier() {
    let mut pair = pair();
    let (cid, ioid, subid) = (Cid(0xffff_fff0), Ioid(0xffff_fff0), SubId(0xffff_fff0));
    let body = ErrorBody::new(Header::new(Command::READ_NOTIFY), "");
    let status = EcaStatus::NORMAL;
    let (ty, count) = (DbrType(6), 1);
    let data = Data(&[0; 8]);
    let all = [
        tcp::Response::EventAdd {
            ty,
            count,
            status,
            subid,
            data,
        },
        tcp::Response::ReadNotify {
            ty,
            count,
            status,
            ioid,
            data,
        },
        tcp::Response::WriteNotify {
            ty,
            count,
            status,
            ioid,
        },
        tcp::Response::Error { cid, status, body },
        tcp::Response::AccessRights { cid, rights: 3 },
        tcp::Response::CreateChFail { cid },
        tcp::Response::ServerDisconn { cid },
        tcp::Response::CreateChan {
            ty,
            count,
            cid,
            sid: Sid(1),
        },
    ];
    pair.rig.feed(pair.nasty.1, &all);
    assert_eq!(pair.rig.heard(), []);
    assert_eq!(
        pair.rig.sent(pair.nasty.1).len(),
        1,
        "the unknown channel is cleared"
    );
    pair.rig.events();
    pair.check();
}
