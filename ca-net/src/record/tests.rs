use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_proto::wire::message::Text;
use ca_proto::wire::{Minor, SendQueue, tcp};
use ca_proto::{Instant, Timestamp};

use super::ring::Ring;
use super::*;
use crate::tap::StreamId;

const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 40_000);
const IOC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 5064);
const STREAM: StreamId = StreamId(3);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn bytes(requests: &[tcp::Request<'_>]) -> Vec<u8> {
    let mut queue = SendQueue::new();
    for request in requests {
        request.encode(&mut queue);
    }
    queue.slices().flatten().copied().collect()
}

fn create(cid: u32, name: &str) -> Vec<u8> {
    bytes(&[tcp::Request::CreateChan {
        cid: ca_proto::ids::Cid(cid),
        minor: Minor::CURRENT,
        name: Text::new(name.as_bytes()),
    }])
}

fn connected(ring: &mut Ring) {
    ring.take(
        at(0),
        &Passing::Dialling {
            stream: STREAM,
            peer: IOC,
        },
    );
    ring.take(
        at(1),
        &Passing::Connected {
            stream: STREAM,
            peer: IOC,
            local: Some(CLIENT),
            accepted: false,
        },
    );
}

fn send(ring: &mut Ring, millis: u64, data: &[u8]) {
    ring.take(
        at(millis),
        &Passing::Sent {
            stream: STREAM,
            data,
        },
    );
}

fn taken(ring: &mut Ring, millis: u64) -> Recording {
    let mut recording = ring.copy(at(millis));
    let wall = Timestamp::from_unix(1_784_894_400, millis as u32 * 1_000_000);
    recording.clock = Some((at(millis), wall));
    recording.side = Some(Side::Client);
    recording
}

fn text(recording: &Recording) -> String {
    let mut out = Vec::new();
    recording.write_text(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn messages_are_lines() {
    let mut ring = Ring::new(Keep::default());
    connected(&mut ring);
    let whole = create(7, "ring:current");
    send(&mut ring, 2, &whole[..20]);
    send(&mut ring, 3, &whole[20..]);
    ring.take(
        at(4),
        &Passing::Ended {
            stream: STREAM,
            error: None,
        },
    );
    ring.take(at(5), &Passing::Closed { stream: STREAM });
    let text = text(&taken(&mut ring, 5));
    let expected = "\
        2026-07-24T12:00:00.000000000Z tcp 10.0.0.9:40000 > 10.0.0.1:5064 connecting\n\
        2026-07-24T12:00:00.001000000Z tcp 10.0.0.9:40000 > 10.0.0.1:5064 connected\n\
        2026-07-24T12:00:00.003000000Z tcp 10.0.0.9:40000 > 10.0.0.1:5064 CREATE_CHAN cid=7 minor=4.13 name=\"ring:current\"\n\
        2026-07-24T12:00:00.004000000Z tcp 10.0.0.1:5064 > 10.0.0.9:40000 ended\n\
        2026-07-24T12:00:00.005000000Z tcp 10.0.0.9:40000 > 10.0.0.1:5064 closed\n";
    assert_eq!(text, expected);
}

#[test]
fn who_wants_all_to_be_kept_gets_as_much_as_there_may_be() {
    let mut ring = Ring::new(Keep::default().bytes(usize::MAX));
    connected(&mut ring);
    send(&mut ring, 1, &[1; 100]);
    assert_eq!(taken(&mut ring, 900).frames.last().unwrap().at, at(1));
}

#[test]
fn the_ring_holds_what_it_may_and_the_newest() {
    let mut ring = Ring::new(Keep::default().bytes(4000));
    connected(&mut ring);
    for n in 0..10_000 {
        send(&mut ring, n / 20, &[1; 100]);
        let (_, frames, bytes) = ring.held();
        assert!(
            bytes <= 4000 && frames * size_of::<Frame>() <= 4000,
            "{frames} {bytes}"
        );
    }
    let recording = taken(&mut ring, 900);
    assert_eq!(recording.frames.last().unwrap().at, at(499));
    assert_eq!(recording.forgotten(), 10_002 - recording.len() as u64);
}

#[test]
fn what_is_too_old_is_forgotten() {
    let mut ring = Ring::new(Keep::default().age(Duration::from_millis(100)));
    connected(&mut ring);
    send(&mut ring, 50, b"x");
    send(&mut ring, 120, b"y");
    assert_eq!(ring.held(), (1, 2, 2));
    assert!(taken(&mut ring, 300).is_empty());
}

#[test]
fn connections_are_forgotten_with_their_frames() {
    let mut ring = Ring::new(Keep::default().bytes(2000));
    for n in 0..1000 {
        let stream = StreamId(n);
        ring.take(at(n), &Passing::Dialling { stream, peer: IOC });
        let error = io::Error::from(io::ErrorKind::ConnectionRefused);
        ring.take(
            at(n),
            &Passing::NotConnected {
                stream,
                peer: IOC,
                error: &error,
            },
        );
    }
    let (lines, frames, _) = ring.held();
    assert!(lines <= frames && frames <= 50, "{lines} {frames}");
}

#[test]
fn the_text_finds_the_next_message_behind_what_is_forgotten() {
    let mut ring = Ring::new(Keep::default().bytes(3000));
    connected(&mut ring);
    let stream: Vec<u8> = (0..1000)
        .flat_map(|n| create(n, "a:name:of:a:pv"))
        .collect();
    // Cut at places that have nothing to do with messages.
    for (n, piece) in stream.chunks(321).enumerate() {
        send(&mut ring, n as u64, piece);
    }
    let text = text(&taken(&mut ring, 999));
    let mut lines = text.lines();
    assert!(
        lines.next().unwrap().starts_with("# what came before"),
        "{text}"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .ends_with("of a message whose begin is not kept"),
        "{text}"
    );
    let cids: Vec<u32> = lines
        .map(|line| {
            let cid = line.split("cid=").nth(1).unwrap();
            cid.split(' ').next().unwrap().parse().unwrap()
        })
        .collect();
    let first = 1000 - cids.len() as u32;
    assert!(cids.len() > 60, "{}", cids.len());
    assert_eq!(cids, (first..1000).collect::<Vec<u32>>());
}

#[test]
fn what_is_cut_is_said_and_the_next_message_is_found() {
    let mut ring = Ring::new(Keep::default().of_each(128));
    connected(&mut ring);
    let long: Vec<u8> = (0..20).flat_map(|n| create(n, "a:name:of:a:pv")).collect();
    send(&mut ring, 2, &long);
    send(&mut ring, 3, &create(99, "next"));
    let text = text(&taken(&mut ring, 3));
    assert!(text.contains("!512 bytes are not kept"), "{text}");
    assert!(
        text.ends_with("CREATE_CHAN cid=99 minor=4.13 name=\"next\"\n"),
        "{text}"
    );
}

/// A block of a file.
fn blocks(file: &[u8]) -> Vec<(u32, &[u8])> {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut found) = (0, Vec::new());
    while at < file.len() {
        let len = number(at + 4) as usize;
        assert_eq!(len % 4, 0);
        assert_eq!(number(at + len - 4) as usize, len);
        found.push((number(at), &file[at + 8..at + len - 4]));
        at += len;
    }
    found
}

#[test]
fn packets_have_the_sequence_numbers_of_the_stream() {
    let mut ring = Ring::new(Keep::default().of_each(40_000));
    connected(&mut ring);
    send(&mut ring, 2, &[7; 50_000]);
    send(&mut ring, 3, &[8; 10]);
    let mut file = Vec::new();
    taken(&mut ring, 3).write_pcapng(&mut file).unwrap();
    let blocks = blocks(&file);
    assert_eq!((blocks[0].0, blocks[1].0), (0x0A0D_0D0A, 1));
    // Sequence number, flags, bytes kept and bytes that there were.
    let tcp: Vec<(u32, u8, u32, u32)> = blocks[2..]
        .iter()
        .map(|&(kind, body)| {
            assert_eq!(kind, 6);
            let little = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
            let tcp = &body[20 + 34..];
            let sequence = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
            (sequence, tcp[13], little(12) - 54, little(16) - 54)
        })
        .collect();
    assert_eq!(
        tcp,
        [
            (0, 2, 0, 0),
            (0, 18, 0, 0),
            (1, 16, 0, 0),
            (1, 16, 32_768, 32_768),
            (32_769, 24, 7_232, 17_232),
            (50_001, 24, 10, 10),
        ]
    );
}

#[test]
fn a_full_disk_is_an_error_and_nothing_else() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            let room = self.0.min(data.len());
            self.0 -= room;
            match room {
                0 => Err(io::ErrorKind::StorageFull.into()),
                room => Ok(room),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut ring = Ring::new(Keep::default());
    connected(&mut ring);
    send(&mut ring, 2, &[7; 5000]);
    let recording = taken(&mut ring, 3);
    let failed = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(
        failed(recording.write_pcapng(&mut Full(3000))),
        io::ErrorKind::StorageFull
    );
    assert_eq!(
        failed(recording.write_text(&mut Full(100))),
        io::ErrorKind::StorageFull
    );
}
