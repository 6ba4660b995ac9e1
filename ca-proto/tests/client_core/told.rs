//! What is told of servers: what they refuse, what they are, and where they are not.

use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::EcaStatus;
use ca_proto::client::{
    CloseReason, Event, Malformed, More, NameServerState, ReadSpec, Token, Trouble, TypeSpec,
    Violation,
};
use ca_proto::dbr::{DbrType, Family};
use ca_proto::ids::{Cid, Ioid};
use ca_proto::wire::message::{Data, ErrorBody, NO_CHANNEL, Port};
use ca_proto::wire::{Command, Deframer, FrameLimits, Header, Minor, tcp, udp};

use crate::rig::*;

fn checked(rig: &mut Rig, cid: Cid, token: u64) -> Ioid {
    rig.client
        .write_checked(rig.now, cid, DOUBLE, &1.0.into(), Token(token), None)
        .unwrap()
}

/// What rsrv says of a plain write that it does not carry out (`write_action`): the header of the
/// write as it came, and the channel.
fn refusal(cid: Cid, sid: u32, p2: u32) -> tcp::Response<'static> {
    let request = Header {
        payload_len: 8,
        data_type: 6,
        count: 1,
        p1: sid,
        p2,
        ..Header::new(Command::WRITE)
    };
    tcp::Response::Error {
        cid,
        status: EcaStatus::PUTFAIL,
        body: ErrorBody::new(request, "X is closed"),
    }
}

fn refused(token: u64) -> Heard {
    Heard::Exception(token, EcaStatus::PUTFAIL, "X is closed".into())
}

#[test]
fn a_checked_write_is_a_plain_write_followed_by_a_read() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    let ioid = checked(&mut rig, cid, 1);
    let sent = rig.sent(c);
    assert!(sent[0].starts_with("WRITE "), "{sent:?}");
    assert!(sent[1].starts_with("READ_NOTIFY "), "{sent:?}");
    assert_eq!(sent.len(), 2);
    rig.feed(c, &[read_reply(ioid)]);
    assert_eq!(rig.heard(), [Heard::Written(1)]);
    assert_eq!(rig.client.counts().operations, 0);
}

/// The read is not what was asked for: also its failure says that the write came before it.
#[test]
fn a_checked_write_does_not_hang_on_read_access() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    rig.feed(c, &[rights(cid, 2)]);
    let ioid = checked(&mut rig, cid, 1);
    let no_access = tcp::Response::ReadNotify {
        ty: DOUBLE,
        count: 1,
        status: EcaStatus::NORDACCESS,
        ioid,
        data: Data(&[0; 8]),
    };
    rig.feed(c, &[no_access]);
    assert_eq!(rig.heard(), [Heard::Written(1)]);
}

#[test]
fn each_refusal_finds_its_own_write() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    let other = rig.connect_also("Y", c, 8);
    let ids: Vec<Ioid> = (1..=3).map(|n| checked(&mut rig, cid, n)).collect();
    let elsewhere = checked(&mut rig, other, 4);
    rig.feed(c, &[refusal(cid, 7, ids[1].0)]);
    assert_eq!(rig.heard(), [refused(2)]);
    let answers = [ids[0], ids[1], ids[2], elsewhere].map(read_reply);
    rig.feed(c, &answers);
    let written = [1, 3, 4].map(Heard::Written);
    assert_eq!(rig.heard(), written, "told once each");
    assert_eq!(rig.events(), []);
    assert_eq!(rig.client.counts().operations, 0);
}

#[test]
fn a_refusal_that_comes_late_or_of_a_plain_write_is_an_exception() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    let exception = Event::Exception {
        circuit: c,
        addr: SERVER,
        cid: Some(cid),
        status: EcaStatus::PUTFAIL,
        text: "X is closed".into(),
    };
    let ioid = checked(&mut rig, cid, 1);
    rig.feed(c, &[read_reply(ioid), refusal(cid, 7, ioid.0)]);
    assert_eq!(rig.heard(), [Heard::Written(1)]);
    assert_eq!(rig.events(), std::slice::from_ref(&exception));
    rig.feed(c, &[refusal(cid, 7, cid.0)]);
    assert_eq!(rig.events(), std::slice::from_ref(&exception));
    // Of a server that names no channel but in the copied header.
    rig.feed(c, &[refusal(NO_CHANNEL, 7, cid.0)]);
    assert_eq!(rig.events(), [exception]);
}

#[test]
fn nobody_else_can_refuse_a_checked_write() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    let (_, d) = rig.circuit("Y", OTHER);
    let ioid = checked(&mut rig, cid, 1);
    rig.feed(d, &[refusal(cid, 7, ioid.0)]);
    rig.feed(c, &[refusal(cid, 9, ioid.0)]);
    assert_eq!(rig.heard(), []);
    rig.client.cancel(ioid);
    rig.feed(c, &[refusal(cid, 7, ioid.0), read_reply(ioid)]);
    assert_eq!(rig.heard(), []);
}

#[test]
fn a_checked_write_ends_with_its_circuit() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    checked(&mut rig, cid, 1);
    rig.closed(c, CloseReason::Reset);
    assert_eq!(rig.heard(), [Heard::Disconnected(1)]);
}

#[test]
fn a_refused_read_has_the_text_of_the_server() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 7);
    let ioid = rig.read(cid, 1);
    let request = Header {
        p1: 7,
        p2: ioid.0,
        ..Header::new(Command::READ_NOTIFY)
    };
    let error = tcp::Response::Error {
        cid,
        status: EcaStatus::GETFAIL,
        body: ErrorBody::new(request, "out of order"),
    };
    rig.feed(c, &[error]);
    let text = "out of order".into();
    assert_eq!(rig.heard(), [Heard::Exception(1, EcaStatus::GETFAIL, text)]);
}

/// The beginnings of what listens elsewhere. Most announce, as a message, thousands of bytes: who waits
/// for them never learns.
#[test]
fn a_peer_of_another_protocol_is_known_by_its_first_bytes() {
    let cases: [(&[u8], &str); 8] = [
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "HTTP",
        ),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"\xca\x02\x41\x02\x00\x00\x00\x00", "pvAccess"),
        (b"220 mail.example.org ESMTP\r\n", "does not speak"),
        (b"-ERR unknown command\r\n", "does not speak"),
        (b"J\0\0\0\x0a8.0.33\0", "does not speak"),
        (b"lo", "does not speak"),
    ];
    for (bytes, word) in cases {
        let mut rig = Rig::new();
        let cid = rig.open("X");
        rig.datagrams();
        rig.found(cid, SERVER);
        let c = rig.dialled();
        rig.connected(c);
        let violation = rig.chunk(c, bytes, More::Drained).unwrap_err();
        let Violation::NotChannelAccess(opening) = violation else {
            panic!("{violation:?}");
        };
        assert!(bytes.starts_with(opening.as_bytes()), "{opening}");
        assert!(violation.to_string().contains(word), "{violation}");
        rig.events();
        rig.closed(c, CloseReason::Violation);
        let view = rig.client.channel(cid).unwrap();
        let why = Trouble::Circuit(CloseReason::NotChannelAccess);
        assert_eq!((view.trouble, view.trouble_at), (Some(why), Some(SERVER)));
    }
}

/// The same bytes later are a fault of a server, which is told as such, at once too.
#[test]
fn a_server_that_loses_its_framing_is_not_waited_for() {
    let mut rig = Rig::new();
    let (_, c) = rig.connect("X", 1);
    let violation = rig.chunk(c, b"HTTP/1.1", More::Drained).unwrap_err();
    let command = Command(u16::from_be_bytes(*b"HT"));
    assert_eq!(violation, Violation::Unexpected(command));
}

#[test]
fn a_message_in_pieces_is_no_other_protocol() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let ioid = rig.read(cid, 1);
    let mut bytes = vec![];
    read_reply(ioid).encode_into(&mut bytes);
    for byte in bytes {
        rig.chunk(c, &[byte], More::Drained).unwrap();
    }
    assert_eq!(rig.heard(), [was_read(1)]);
}

#[test]
fn a_begun_message_shows_its_command_and_its_bytes() {
    let limits = FrameLimits {
        max_payload: 1 << 20,
        extended: true,
    };
    let begun = |chunk: &[u8]| {
        let mut deframer = Deframer::new(limits);
        let mut frames = deframer.frames(chunk);
        while frames.next().is_some() {}
        let (command, bytes) = deframer.begun()?;
        Some((command.0, bytes.collect::<Vec<u8>>()))
    };
    assert_eq!(begun(b""), None);
    assert_eq!(begun(b"\0"), None);
    assert_eq!(begun(b"\0\x0f\0"), Some((15, b"\0\x0f\0".to_vec())));
    // 21 584 bytes are announced, which get a buffer of their own.
    let text = b"HTTP/1.1 400 Bad Request\r\n";
    assert_eq!(begun(text), Some((0x4854, text[..16].to_vec())));
    assert_eq!(begun(&[0; 16]), None, "a whole message");
}

/// The last words of a server that has too many clients.
#[test]
fn a_server_that_says_why_it_closes_is_quoted() {
    for seen in [CloseReason::Eof, CloseReason::Reset] {
        let mut rig = Rig::new();
        let (cid, c) = rig.circuit("X", SERVER);
        let error = tcp::Response::Error {
            cid: NO_CHANNEL,
            status: EcaStatus::MAXIOC,
            body: ErrorBody::new(Header::new(Command::VERSION), "too many clients"),
        };
        rig.feed(c, &[error]);
        rig.closed(c, seen);
        let why = CloseReason::Said(EcaStatus::MAXIOC);
        let closed = Event::CircuitClosed {
            circuit: c,
            addr: SERVER,
            why,
        };
        assert!(rig.events().contains(&closed));
        let view = rig.client.channel(cid).unwrap();
        let trouble = Some(Trouble::Circuit(why));
        assert_eq!((view.trouble, view.trouble_at), (trouble, Some(SERVER)));
    }
}

#[test]
fn words_that_were_not_the_last_explain_nothing() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let error = tcp::Response::Error {
        cid: NO_CHANNEL,
        status: EcaStatus::INTERNAL,
        body: ErrorBody::new(Header::new(Command::EVENTS_ON), "hm"),
    };
    rig.feed(c, &[error]);
    rig.feed(c, &[rights(cid, 3)]);
    rig.closed(c, CloseReason::Eof);
    let trouble = rig.client.channel(cid).unwrap().trouble;
    assert_eq!(trouble, Some(Trouble::Circuit(CloseReason::Eof)));
}

/// Trap 23: the version of a search reply may be that of who answered, a name server.
#[test]
fn count_zero_is_for_servers_that_say_themselves_that_they_know_it() {
    for (announced, count) in [(None, 3), (Some(12), 3), (Some(13), 0)] {
        let mut rig = Rig::new();
        let cid = rig.open("X");
        rig.datagrams();
        rig.found(cid, SERVER);
        let c = rig.dialled();
        rig.connected(c);
        rig.bytes(c);
        if let Some(minor) = announced {
            rig.feed(c, &[version(minor)]);
        }
        rig.feed(c, &created(cid, 1));
        let spec = ReadSpec {
            ty: TypeSpec::Family(Family::Plain),
            count: 0,
        };
        rig.client.read(rig.now, cid, spec, Token(1), None).unwrap();
        let sub = time_doubles(0);
        rig.client.subscribe(rig.now, cid, sub, Token(2)).unwrap();
        let sent = rig.sent(c);
        let asked = format!("count={count} ");
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|line| line.contains(&asked)), "{sent:?}");
    }
}

/// A 4.13 reply for a server that never says more does not make its messages unreadable.
#[test]
fn a_silent_server_keeps_what_its_reply_says_below_that() {
    let mut rig = Rig::new();
    let cid = rig.open("X");
    rig.datagrams();
    let reply = udp::Response::Search {
        port: Port(5064),
        server: Ipv4Addr::BROADCAST,
        cid,
        minor: Minor(8),
    };
    rig.datagram(SERVER, &reply);
    let c = rig.dialled();
    rig.connected(c);
    rig.feed(c, &created(cid, 1));
    let view = rig.client.channel(cid).unwrap();
    assert_eq!(view.connection().unwrap().minor, Minor(8));
}

#[test]
fn addresses_that_no_server_can_have_are_told_and_not_dialled() {
    for (ip, port) in [
        ([0, 0, 0, 1], 5064),
        ([0, 0, 0, 0], 5064),
        ([224, 0, 0, 1], 5064),
        ([239, 255, 255, 250], 5064),
        ([240, 0, 0, 1], 5064),
        ([255, 255, 255, 254], 5064),
        ([10, 0, 0, 7], 0),
    ] {
        let mut rig = Rig::new();
        let cid = rig.open("X");
        rig.datagrams();
        let server = Ipv4Addr::from(ip);
        let reply = udp::Response::Search {
            port: Port(port),
            server,
            cid,
            minor: Minor::CURRENT,
        };
        rig.datagram(OTHER, &reply);
        assert_eq!(rig.actions(), []);
        let named = SocketAddrV4::new(server, port);
        let told = Event::BadAddress {
            cid,
            from: OTHER,
            named,
        };
        assert_eq!(rig.events(), [told], "{named}");
        rig.found(cid, SERVER);
        rig.dialled();
    }
}

#[test]
fn a_name_server_that_answers_nonsense_is_told_too() {
    let mut rig = Rig::with(params().name_servers(vec![OTHER]));
    let ns = rig.dialled();
    rig.connected(ns);
    rig.feed(ns, &[version(13)]);
    let cid = rig.open("X");
    rig.datagrams();
    let reply = tcp::Response::Search {
        port: Port(5064),
        server: Ipv4Addr::new(0, 0, 0, 5),
        cid,
    };
    rig.feed(ns, &[reply]);
    assert_eq!(rig.actions(), []);
    let named = SocketAddrV4::new(Ipv4Addr::new(0, 0, 0, 5), 5064);
    let from = OTHER;
    assert_eq!(rig.events(), [Event::BadAddress { cid, from, named }]);
}

#[test]
fn a_name_server_says_whether_it_can_be_asked() {
    let mut rig = Rig::with(params().name_servers(vec![OTHER]));
    let state = |rig: &Rig| rig.client.name_servers().next().unwrap();
    assert_eq!(state(&rig), (OTHER, NameServerState::Connecting));
    let ns = rig.dialled();
    rig.closed(ns, CloseReason::Refused);
    let refused = NameServerState::Lost(CloseReason::Refused);
    assert_eq!(state(&rig), (OTHER, refused));
    rig.run_until(10_000);
    let ns = rig.dialled();
    assert_eq!(state(&rig), (OTHER, refused), "until it is there");
    rig.connected(ns);
    rig.feed(ns, &[version(11)]);
    assert_eq!(state(&rig), (OTHER, NameServerState::TooOld(Minor(11))));
    rig.feed(ns, &[version(12)]);
    assert_eq!(state(&rig), (OTHER, NameServerState::Asked));
}

#[test]
fn what_this_side_finds_wrong_is_not_put_into_the_servers_mouth() {
    let short = Malformed::Short {
        ty: DOUBLE,
        count: 2,
        bytes: 8,
        needed: 16,
    };
    for (ty, count, what) in [(6, 2, short), (39, 1, Malformed::BadType(DbrType(39)))] {
        let mut rig = Rig::new();
        let (cid, c) = rig.connect("X", 1);
        let ioid = rig.read(cid, 5);
        let reply = tcp::Response::ReadNotify {
            ty: DbrType(ty),
            count,
            status: EcaStatus::NORMAL,
            ioid,
            data: Data(&[0; 8]),
        };
        rig.feed(c, &[reply]);
        assert_eq!(rig.heard(), [Heard::Malformed(5, what)]);
    }
}
