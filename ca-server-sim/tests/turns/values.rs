//! Large values are converted and copied in turns: bytes that are made are counted.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocation_counter::measure;
use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Cid, Ioid, Sid};
use ca_proto::wire::message::Data;
use ca_proto::wire::{Command, Header, tcp};
use ca_server_sim::{Ioc, PvSpec};

use super::{DOUBLE, MOST, NOW, Peer, ask, made_in_turns, start};

/// A long write, which is received piece by piece in memory of its own. Where it is not kept as it is, it
/// is made in turns, in memory that is set apart before.
fn received(ioc: &mut Ioc, honest: &mut Peer, peer: &mut Peer, mut bytes: Vec<u8>, made: usize) {
    let rest = bytes.split_off(bytes.len() - 8);
    peer.feed(ioc, &bytes);
    let put = measure(|| {
        let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &rest);
        assert_eq!(done.unwrap(), rest.len());
    });
    let most = (1 << 16) + made as u64;
    assert!(put.bytes_total < most, "{} bytes at once", put.bytes_total);
    assert_eq!(ioc.has_work(), made > 0, "made in turns");
    made_in_turns(ioc, honest, peer, &[]);
}

fn logged(counts: &[AtomicUsize; 2]) -> [usize; 2] {
    [0, 1].map(|at| counts[at].load(Ordering::Relaxed))
}

/// An IOC whose log counts puts that were carried out and those that were not, an honest client, and
/// one that has written texts to an array of numbers, which are not converted yet.
fn written(notify: bool, data: &[u8]) -> (Ioc, Arc<[AtomicUsize; 2]>, Peer, Peer) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let log = Arc::clone(&counts);
    let pv = PvSpec::array(vec![0.5f64; TEXTS as usize]);
    let mut ioc = start(Ioc::builder().pv("w", pv).put_log(move |put| {
        log[usize::from(!put.carried_out)].fetch_add(1, Ordering::Relaxed);
    }));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["w".to_owned()]);
    peer.heard.clear();
    let mut bytes = Vec::new();
    put_texts(notify, data).encode_into(&mut bytes);
    let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &bytes);
    assert_eq!(done.unwrap(), bytes.len());
    assert_eq!(ioc.number("w").unwrap(), 0.5, "nothing yet");
    assert!(!ioc.is_readable(peer.id), "what follows comes behind it");
    (ioc, counts, honest, peer)
}

fn put_texts(notify: bool, data: &[u8]) -> tcp::Request<'_> {
    let (ty, sid) = (DbrType::new(Family::Plain, NativeType::String), Sid(0));
    let count = (data.len() / 40) as u32;
    match notify {
        true => tcp::Request::WriteNotify {
            ty,
            count,
            sid,
            ioid: Ioid(7),
            data: Data(data),
        },
        false => tcp::Request::Write {
            ty,
            count,
            sid,
            cid: Cid(0),
            data: Data(data),
        },
    }
}

const TEXTS: u32 = 20_000;

/// The text of each number, as a client sends them.
fn texts(numbers: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let mut text = number.to_string().into_bytes();
        text.resize(40, 0);
        bytes.extend(text);
    }
    bytes
}

/// A short request that asks for a million texts: they are made in turns, and none before its time.
#[test]
fn a_large_value_in_another_type_is_converted_in_turns() {
    const LEN: usize = 300_000;
    let values: Vec<f64> = (0..LEN).map(|n| n as f64 * 0.25).collect();
    let mut ioc = start(Ioc::builder().pv("w", PvSpec::array(values).precision(2)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    for family in [Family::Plain, Family::Time, Family::Ctrl] {
        for native in [NativeType::String, NativeType::Float] {
            let mut peer = Peer::new(&mut ioc);
            peer.create(&mut ioc, ["w".to_owned()]);
            let ty = DbrType::new(family, native);
            let mut bytes = Vec::new();
            tcp::Request::ReadNotify {
                ty,
                count: LEN as u32,
                sid: Sid(0),
                ioid: Ioid(9),
            }
            .encode_into(&mut bytes);
            let asked = measure(|| {
                let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &bytes);
                assert_eq!(done.unwrap(), bytes.len());
            });
            assert!(
                asked.bytes_total < 1 << 18,
                "{} bytes at once",
                asked.bytes_total
            );
            assert!(!ioc.is_readable(peer.id), "it waits for its reply");
            let mut made = Vec::new();
            while ioc.has_work() {
                let turn = measure(|| ioc.work(NOW));
                assert!(
                    turn.bytes_total < 1 << 21,
                    "{} bytes in a turn",
                    turn.bytes_total
                );
                assert!(honest.read(&mut ioc));
            }
            while let Some(queue) = ioc.transmit(peer.id) {
                if queue.is_empty() {
                    break;
                }
                made.extend(queue.to_vec());
                queue.clear();
            }
            let mut expected = Vec::new();
            let state = ioc.read("w").unwrap();
            state.encode(ty, LEN as u32, &mut expected).unwrap();
            let (header, len) = Header::decode(&made, true).unwrap();
            assert_eq!(
                (header.command, header.p1, header.p2),
                (Command::READ_NOTIFY, 1, 9)
            );
            assert_eq!(header.payload_len as usize, made.len() - len);
            assert!(made[len..].starts_with(&expected), "{ty}");
            ioc.handle_closed(NOW, peer.id);
        }
    }
    // What cannot be converted is told as ever.
    let texts: Vec<String> = (0..5000)
        .map(|n| {
            if n == 4000 {
                "no number".into()
            } else {
                n.to_string()
            }
        })
        .collect();
    ioc.add(NOW, "names", PvSpec::strings(&texts)).unwrap();
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["names".to_owned()]);
    peer.heard.clear();
    peer.send(
        &mut ioc,
        [tcp::Request::ReadNotify {
            ty: DOUBLE,
            count: 5000,
            sid: Sid(0),
            ioid: Ioid(1),
        }],
    );
    while ioc.has_work() {
        ioc.work(NOW);
    }
    peer.listen(&mut ioc);
    assert_eq!(peer.heard, [(Command::READ_NOTIFY, EcaStatus::GETFAIL.0)]);
}

#[test]
fn a_large_put_in_another_type_is_converted_in_turns() {
    for notify in [false, true] {
        let data = texts(0..TEXTS);
        let (mut ioc, log, mut honest, mut peer) = written(notify, &data);
        let mut turns = 0;
        while ioc.has_work() {
            assert_eq!(logged(&log), [0, 0]);
            ioc.work(NOW);
            assert!(honest.read(&mut ioc));
            turns += 1;
        }
        assert!(turns >= TEXTS as usize / MOST, "{turns} turns");
        let expected: Vec<f64> = (0..TEXTS).map(f64::from).collect();
        assert_eq!(ioc.read("w").unwrap().value, Value::from(expected));
        assert_eq!(logged(&log), [1, 0]);
        peer.listen(&mut ioc);
        let answer = (Command::WRITE_NOTIFY, EcaStatus::NORMAL.0);
        assert_eq!(peer.heard, vec![answer; usize::from(notify)]);
        assert!(ioc.is_readable(peer.id));
        ioc.handle_closed(NOW, peer.id);
        ioc.handle_closed(NOW, honest.id);
        assert_eq!(ioc.stats().bytes, 0);
    }
}

#[test]
fn a_large_put_that_cannot_be_converted_changes_nothing() {
    for notify in [false, true] {
        let mut data = texts(0..TEXTS);
        let at = 40 * (TEXTS as usize - 1);
        data[at..at + 4].copy_from_slice(b"none");
        let (mut ioc, log, _, mut peer) = written(notify, &data);
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!(ioc.number("w").unwrap(), 0.5);
        assert_eq!(logged(&log), [0, 1]);
        peer.listen(&mut ioc);
        let command = [Command::ERROR, Command::WRITE_NOTIFY][usize::from(notify)];
        assert_eq!(peer.heard.len(), 1);
        assert_eq!(peer.heard[0].0, command);
    }
}

#[test]
fn what_happens_while_a_large_put_is_converted_counts() {
    for notify in [false, true] {
        let data = texts(0..TEXTS);
        // Rights that are withdrawn.
        let (mut ioc, log, _, mut peer) = written(notify, &data);
        ioc.set_rights(NOW, "w", AccessRights::READ).unwrap();
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!((ioc.number("w").unwrap(), logged(&log)), (0.5, [0, 1]));
        peer.listen(&mut ioc);
        let refused = (Command::WRITE_NOTIFY, EcaStatus::NOWTACCESS.0);
        assert_eq!(peer.heard.contains(&refused), notify);
        // A client that goes.
        let (mut ioc, log, _, peer) = written(notify, &data);
        ioc.handle_closed(NOW, peer.id);
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!((ioc.number("w").unwrap(), logged(&log)), (0.5, [0, 1]));
        // A PV that goes.
        let (mut ioc, log, ..) = written(notify, &data);
        ioc.remove(NOW, "w");
        while ioc.has_work() {
            ioc.work(NOW);
        }
        assert_eq!(logged(&log), [0, 1]);
    }
}

/// Texts are sent with their end: also those of an array that is asked for as it is.
#[test]
fn a_large_array_of_texts_is_read_and_written_in_turns() {
    const LEN: u32 = 100_000;
    let string = DbrType::new(Family::Plain, NativeType::String);
    let names: Vec<String> = (0..LEN).map(|n| format!("n{n}")).collect();
    let numbers = PvSpec::array(vec![0.5; LEN as usize]);
    let mut ioc = start(
        Ioc::builder()
            .pv("names", PvSpec::strings(&names))
            .pv("w", numbers),
    );
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["w".to_owned()]);
    for (name, ty) in [
        ("names", string),
        ("names", DbrType::new(Family::Time, NativeType::String)),
        ("names", DbrType::STSACK_STRING),
        ("w", DbrType::STSACK_STRING),
    ] {
        let mut peer = Peer::new(&mut ioc);
        peer.create(&mut ioc, [name.to_owned()]);
        let mut bytes = Vec::new();
        ask(Command::READ_NOTIFY, ty, LEN).encode_into(&mut bytes);
        let made = made_in_turns(&mut ioc, &mut honest, &mut peer, &bytes);
        let mut expected = Vec::new();
        (ioc.read(name).unwrap().encode(ty, LEN, &mut expected)).unwrap();
        // The payload is padded.
        expected.resize(expected.len().next_multiple_of(8), 0);
        assert!(made == expected, "{name} {ty}");
        ioc.handle_closed(NOW, peer.id);
    }
    let data = texts(0..LEN);
    let mut peer = Peer::new(&mut ioc);
    peer.create(&mut ioc, ["names".to_owned()]);
    let mut bytes = Vec::new();
    put_texts(false, &data).encode_into(&mut bytes);
    received(&mut ioc, &mut honest, &mut peer, bytes, data.len());
    let expected: Vec<String> = (0..LEN).map(|n| n.to_string()).collect();
    assert_eq!(ioc.read("names").unwrap().value, Value::strings(&expected));
}

/// A large value that is written as it is becomes that of the PV without a copy, and what has to be copied
/// is copied in turns.
#[test]
fn a_large_put_in_the_type_of_the_pv_is_not_copied_at_once() {
    const LEN: u32 = 1_000_000;
    let data: Vec<u8> = (0..LEN).flat_map(|n| f64::from(n).to_be_bytes()).collect();
    // All of it, and a small part of a long message.
    for (count, notify) in [(LEN, false), (LEN, true), (300_000, false), (300_000, true)] {
        let mut ioc = start(Ioc::builder().pv("w", PvSpec::array(vec![0.5; LEN as usize])));
        let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
        honest.create(&mut ioc, ["w".to_owned()]);
        let mut peer = Peer::new(&mut ioc);
        peer.create(&mut ioc, ["w".to_owned()]);
        let request = match notify {
            true => tcp::Request::WriteNotify {
                ty: DOUBLE,
                count,
                sid: Sid(0),
                ioid: Ioid(1),
                data: Data(&data),
            },
            false => tcp::Request::Write {
                ty: DOUBLE,
                count,
                sid: Sid(0),
                cid: Cid(0),
                data: Data(&data),
            },
        };
        let mut bytes = Vec::new();
        request.encode_into(&mut bytes);
        let made = if count == LEN { 0 } else { 8 * count as usize };
        received(&mut ioc, &mut honest, &mut peer, bytes, made);
        let expected: Vec<f64> = (0..count).map(f64::from).collect();
        assert!(ioc.read("w").unwrap().value == Value::from(expected));
    }
}
