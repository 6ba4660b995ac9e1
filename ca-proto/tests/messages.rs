//! Every message against literal bytes of the wire, in both directions.
//!
//! The bytes were seen on the wire between the reference server and its clients; each test names its
//! command.

use ca_proto::EcaStatus;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, Ioid, Sid, SubId};
use ca_proto::wire::dump::{self, Direction, DumpFrame, StreamDump};
use ca_proto::wire::message::{
    Data, ErrorBody, EventMask, NO_CHANNEL, Port, SAME_ADDRESS, SearchFlag, Text,
};
use ca_proto::wire::{
    Command, Deframer, Frame, FrameLimits, Header, Minor, ParseError, SendQueue, datagram_frames,
    tcp, udp,
};
use std::net::Ipv4Addr;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|c| (c as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn frame_of<T>(bytes: &[u8], check: impl FnOnce(Frame<'_>) -> T) -> T {
    let mut deframer = Deframer::new(FrameLimits {
        max_payload: 1 << 20,
        extended: true,
    });
    let mut frames = deframer.frames(bytes);
    let frame = frames.next().expect("a whole frame").expect("a good frame");
    check(frame)
}

macro_rules! both_ways {
    ($kind:path, $hex:expr, $message:expr, $text:expr) => {{
        use $kind as Kind;
        let bytes = hex($hex);
        let message = $message;
        let mut queue = SendQueue::new();
        message.encode(&mut queue);
        assert_eq!(queue.to_vec(), bytes, "encode {}", message);
        frame_of(&bytes, |frame| {
            assert_eq!(Kind::parse(&frame).unwrap(), message, "parse");
        });
        assert_eq!(message.to_string(), $text);
    }};
}

#[test]
fn tcp_requests_match_the_wire() {
    use tcp::Request as R;
    // VERSION
    both_ways!(
        R,
        "00000000 0000000d 00000000 00000000",
        R::Version {
            priority: 0,
            minor: Minor(13),
            sequence: 0
        },
        "VERSION priority=0 minor=4.13 sequence=0"
    );
    // EVENT_ADD
    both_ways!(
        R,
        "00010010 00140000 00000004 00000001 00000000 00000000 00000000 00050000",
        R::EventAdd {
            ty: DbrType(20),
            count: 0,
            sid: Sid(4),
            subid: SubId(1),
            mask: EventMask::VALUE | EventMask::ALARM
        },
        "EVENT_ADD ty=DBR_TIME_DOUBLE count=0 sid=4 subid=1 mask=VALUE|ALARM"
    );
    // EVENT_CANCEL
    both_ways!(
        R,
        "00020000 00050001 0000000b 00000055",
        R::EventCancel {
            ty: DbrType(5),
            count: 1,
            sid: Sid(11),
            subid: SubId(0x55)
        },
        "EVENT_CANCEL ty=DBR_LONG count=1 sid=11 subid=85"
    );
    // READ
    both_ways!(
        R,
        "00030000 00000001 00000000 00000007",
        R::Read {
            ty: DbrType(0),
            count: 1,
            sid: Sid(0),
            ioid: Ioid(7)
        },
        "READ ty=DBR_STRING count=1 sid=0 ioid=7"
    );
    // WRITE, a scalar string shortened to its text
    both_ways!(
        R,
        "00040008 00000001 00000002 00000001 31320000 00000000",
        R::Write {
            ty: DbrType(0),
            count: 1,
            sid: Sid(2),
            cid: Cid(1),
            data: Data(b"12\0\0\0\0\0\0")
        },
        "WRITE ty=DBR_STRING count=1 sid=2 cid=1 data=8B"
    );
    // SEARCH
    both_ways!(
        R,
        "00060008 0005000d 00001234 00001234 6976616c 00000000",
        R::Search {
            reply: SearchFlag::DONT_REPLY,
            minor: Minor(13),
            cid: Cid(0x1234),
            cid2: Cid(0x1234),
            name: Text::new(b"ival")
        },
        "SEARCH reply=no minor=4.13 cid=4660 cid2=4660 name=\"ival\""
    );
    // EVENTS_OFF and EVENTS_ON
    both_ways!(
        R,
        "00080000 00000000 00000000 00000000",
        R::EventsOff {},
        "EVENTS_OFF"
    );
    both_ways!(
        R,
        "00090000 00000000 00000000 00000000",
        R::EventsOn {},
        "EVENTS_ON"
    );
    // READ_SYNC
    both_ways!(
        R,
        "000a0000 00010002 00000003 00000004",
        R::ReadSync {
            data_type: 1,
            count: 2,
            p1: 3,
            p2: 4
        },
        "READ_SYNC data_type=1 count=2 p1=3 p2=4"
    );
    // CLEAR_CHANNEL
    both_ways!(
        R,
        "000c0000 00000000 00000000 00000001",
        R::ClearChannel {
            data_type: 0,
            count: 0,
            sid: Sid(0),
            cid: Cid(1)
        },
        "CLEAR_CHANNEL data_type=0 count=0 sid=0 cid=1"
    );
    // READ_NOTIFY
    both_ways!(
        R,
        "000f0000 00140001 00000000 00000001",
        R::ReadNotify {
            ty: DbrType(20),
            count: 1,
            sid: Sid(0),
            ioid: Ioid(1)
        },
        "READ_NOTIFY ty=DBR_TIME_DOUBLE count=1 sid=0 ioid=1"
    );
    // `tcpiiu::writeRequest` of EPICS Base: count alone forces the extended form
    both_ways!(
        R,
        "000fffff 00140000 00000005 00000006 00000000 00030d40",
        R::ReadNotify {
            ty: DbrType(20),
            count: 200_000,
            sid: Sid(5),
            ioid: Ioid(6)
        },
        "READ_NOTIFY ty=DBR_TIME_DOUBLE count=200000 sid=5 ioid=6"
    );
    // CREATE_CHAN
    both_ways!(
        R,
        "00120008 00000000 00000001 0000000d 6476616c 00000000",
        R::CreateChan {
            cid: Cid(1),
            minor: Minor(13),
            name: Text::new(b"dval")
        },
        "CREATE_CHAN cid=1 minor=4.13 name=\"dval\""
    );
    // WRITE_NOTIFY
    both_ways!(
        R,
        "00130008 00000001 00000003 00000002 68656c6c 6f000000",
        R::WriteNotify {
            ty: DbrType(0),
            count: 1,
            sid: Sid(3),
            ioid: Ioid(2),
            data: Data(b"hello\0\0\0")
        },
        "WRITE_NOTIFY ty=DBR_STRING count=1 sid=3 ioid=2 data=8B"
    );
    // CLIENT_NAME and HOST_NAME
    both_ways!(
        R,
        "00140008 00000000 00000000 00000000 726f6f74 00000000",
        R::ClientName {
            name: Text::new(b"root")
        },
        "CLIENT_NAME name=\"root\""
    );
    both_ways!(
        R,
        "00150008 00000000 00000000 00000000 766d0000 00000000",
        R::HostName {
            name: Text::new(b"vm")
        },
        "HOST_NAME name=\"vm\""
    );
    // ECHO
    both_ways!(
        R,
        "00170008 000c0017 0000162e 008adf38 61626364 65666768",
        R::Echo {
            data_type: 12,
            count: 23,
            p1: 0x162e,
            p2: 0x8a_df38,
            data: Data(b"abcdefgh")
        },
        "ECHO data_type=12 count=23 p1=5678 p2=9101112 data=8B"
    );
}

#[test]
fn tcp_responses_match_the_wire() {
    use tcp::Response as R;
    both_ways!(
        R,
        "00000000 0000000d 00000000 00000000",
        R::Version {
            priority: 0,
            minor: Minor(13)
        },
        "VERSION priority=0 minor=4.13"
    );
    // READ_NOTIFY, no read access
    both_ways!(
        R,
        "000f0008 00050001 00000170 00000007 00000000 00000000",
        R::ReadNotify {
            ty: DbrType(5),
            count: 1,
            status: EcaStatus(0x170),
            ioid: Ioid(7),
            data: Data(&[0; 8])
        },
        "READ_NOTIFY ty=DBR_LONG count=1 status=ECA_NORDACCESS ioid=7 data=8B"
    );
    // EVENT_CANCEL, confirmation of a cancel: the status field is the SID
    both_ways!(
        R,
        "00010000 00050001 0000000b 00000055",
        R::EventAdd {
            ty: DbrType(5),
            count: 1,
            status: EcaStatus(11),
            subid: SubId(0x55),
            data: Data(&[])
        },
        format!(
            "EVENT_ADD ty=DBR_LONG count=1 status={:#} subid=85 data=0B",
            EcaStatus(11)
        )
    );
    // READ
    both_ways!(
        R,
        "00030008 00000001 00000021 00000007 34320000 00000000",
        R::Read {
            ty: DbrType(0),
            count: 1,
            cid: Cid(0x21),
            ioid: Ioid(7),
            data: Data(b"42\0\0\0\0\0\0")
        },
        "READ ty=DBR_STRING count=1 cid=33 ioid=7 data=8B"
    );
    // SEARCH
    both_ways!(
        R,
        "00060000 63780000 ffffffff 00001234",
        R::Search {
            port: Port(25464),
            server: SAME_ADDRESS,
            cid: Cid(0x1234)
        },
        "SEARCH port=25464 server=255.255.255.255 cid=4660"
    );
    // ERROR, write without permission
    both_ways!(
        R,
        "000b0018 00000000 00000001 00000178 00040008 00050001 0000000c 00000063 6e6f6e65 00000000",
        R::Error {
            cid: Cid(1),
            status: EcaStatus(0x178),
            body: ErrorBody::new(
                Header {
                    payload_len: 8,
                    data_type: 5,
                    count: 1,
                    p1: 12,
                    p2: 0x63,
                    ..Header::new(Command::WRITE)
                },
                "none"
            )
        },
        "ERROR cid=1 status=ECA_NOWTACCESS body=(WRITE \"none\")"
    );
    // NOT_FOUND
    both_ways!(
        R,
        "000e0000 000a000d 00001234 00005678",
        R::NotFound {
            reply: SearchFlag::DO_REPLY,
            minor: Minor(13),
            cid: Cid(0x1234),
            cid2: Cid(0x5678)
        },
        "NOT_FOUND reply=yes minor=4.13 cid=4660 cid2=22136"
    );
    // CREATE_CHAN and the extended header
    both_ways!(
        R,
        "00120000 00060001 00000001 00000000",
        R::CreateChan {
            ty: DbrType(6),
            count: 1,
            cid: Cid(1),
            sid: Sid(0)
        },
        "CREATE_CHAN ty=DBR_DOUBLE count=1 cid=1 sid=0"
    );
    both_ways!(
        R,
        "0012ffff 00040000 00000009 00000005 00000000 00011170",
        R::CreateChan {
            ty: DbrType(4),
            count: 70_000,
            cid: Cid(9),
            sid: Sid(5)
        },
        "CREATE_CHAN ty=DBR_CHAR count=70000 cid=9 sid=5"
    );
    // WRITE_NOTIFY, ACCESS_RIGHTS, CREATE_CH_FAIL
    both_ways!(
        R,
        "00130000 00000001 00000001 00000002",
        R::WriteNotify {
            ty: DbrType(0),
            count: 1,
            status: EcaStatus(1),
            ioid: Ioid(2)
        },
        format!(
            "WRITE_NOTIFY ty=DBR_STRING count=1 status={:#} ioid=2",
            EcaStatus(1)
        )
    );
    both_ways!(
        R,
        "00160000 00000000 00000051 00000001",
        R::AccessRights {
            cid: Cid(0x51),
            rights: 1
        },
        "ACCESS_RIGHTS cid=81 rights=1"
    );
    both_ways!(
        R,
        "001a0000 00000000 00000012 00000000",
        R::CreateChFail { cid: Cid(0x12) },
        "CREATE_CH_FAIL cid=18"
    );
    both_ways!(
        R,
        "001b0000 00000000 00000012 00000000",
        R::ServerDisconn { cid: Cid(0x12) },
        "SERVER_DISCONN cid=18"
    );
}

#[test]
fn udp_messages_match_the_wire() {
    both_ways!(
        udp::Request,
        "00000000 0001000d 00007777 00000000",
        udp::Request::Version {
            valid: 1,
            minor: Minor(13),
            sequence: 0x7777
        },
        "VERSION valid=1 minor=4.13 sequence=30583"
    );
    both_ways!(
        udp::Response,
        "00060008 63780000 ffffffff 00001234 000d0000 00000000",
        udp::Response::Search {
            port: Port(25464),
            server: SAME_ADDRESS,
            cid: Cid(0x1234),
            minor: Minor(13)
        },
        "SEARCH port=25464 server=255.255.255.255 cid=4660 minor=4.13"
    );
    // RSRV_IS_UP, as sent by the server; the reference announces its version in the type field
    both_ways!(
        udp::Request,
        "000d0000 000d6378 00000003 00000000",
        udp::Request::Beacon {
            minor: Minor(13),
            port: Port(0x6378),
            sequence: 3,
            server: Ipv4Addr::UNSPECIFIED
        },
        "RSRV_IS_UP minor=4.13 port=25464 sequence=3 server=0.0.0.0"
    );
    // REPEATER_REGISTER
    both_ways!(
        udp::Response,
        "00110000 00000000 00000000 7f000001",
        udp::Response::RepeaterConfirm {
            client: Ipv4Addr::LOCALHOST
        },
        "REPEATER_CONFIRM client=127.0.0.1"
    );
    both_ways!(
        udp::Request,
        "00180000 00000000 00000000 7f000001",
        udp::Request::RepeaterRegister {
            client: Ipv4Addr::LOCALHOST
        },
        "REPEATER_REGISTER client=127.0.0.1"
    );
}

/// ERROR: header copy is extended when the request's size or count needed it.
#[test]
fn error_carries_an_extended_request_header() {
    let bytes = hex(
        "000b0020 00000000 00000001 000000a0 0004ffff 00260000 0000000c 00000007 00000008 00011170
         6976616c 00000000",
    );
    frame_of(&bytes, |frame| {
        match tcp::Response::parse(&frame).unwrap() {
            tcp::Response::Error { cid, status, body } => {
                assert_eq!((cid, status), (Cid(1), EcaStatus(0xa0)));
                assert_eq!((body.request.count, body.request.payload_len), (70_000, 8));
                assert_eq!(body.text.as_bytes(), b"ival");
            }
            other => panic!("{other}"),
        }
    });
}

#[test]
fn error_text_is_cut_to_512_bytes_of_payload() {
    let text = "x".repeat(600);
    let message = tcp::Response::Error {
        cid: NO_CHANNEL,
        status: EcaStatus(0x8e),
        body: ErrorBody::new(Header::new(Command::ECHO), &text),
    };
    let mut queue = SendQueue::new();
    message.encode(&mut queue);
    assert_eq!(queue.len(), 16 + 512);
}

/// SEARCH, CREATE_CHAN: without a NUL the last byte is lost, bytes after the NUL do not count.
#[test]
fn unterminated_names_lose_their_last_byte() {
    for (payload, name, terminated) in [
        (&b"abcdefgh"[..], &b"abcdefg"[..], false),
        (b"abc\0xxxx", b"abc", true),
        (b"\0\0\0\0\0\0\0\0", b"", true),
        (b"", b"", false),
    ] {
        let header = Header {
            payload_len: payload.len() as u32,
            ..Header::new(Command::CREATE_CHAN)
        };
        let frame = Frame::new(header, payload);
        match tcp::Request::parse(&frame).unwrap() {
            tcp::Request::CreateChan { name: text, .. } => {
                assert_eq!((text.as_bytes(), text.terminated), (name, terminated));
            }
            other => panic!("{other}"),
        }
    }
}

/// D2: the mask is never read from beyond the payload.
#[test]
fn short_payloads_are_errors() {
    let frame = Frame::new(
        Header {
            payload_len: 8,
            ..Header::new(Command::EVENT_ADD)
        },
        &[0; 8],
    );
    assert_eq!(
        tcp::Request::parse(&frame),
        Err(ParseError::ShortPayload {
            command: Command::EVENT_ADD,
            len: 8,
            need: 14
        })
    );
    let frame = Frame::new(
        Header {
            payload_len: 8,
            ..Header::new(Command::ERROR)
        },
        &[0; 8],
    );
    assert!(tcp::Response::parse(&frame).is_err());
}

#[test]
fn unknown_commands_are_kept_and_printed() {
    let bytes = hex("abcd0008 00010002 00000003 00000004 0102030405060708");
    frame_of(&bytes, |frame| {
        let message = tcp::Request::parse(&frame).unwrap();
        assert_eq!(
            message.to_string(),
            "COMMAND_43981 type=1 count=2 p1=0x3 p2=0x4 payload=8B"
        );
        let mut queue = SendQueue::new();
        message.encode(&mut queue);
        assert_eq!(queue.to_vec(), bytes);
    });
}

/// Every line of every table names real columns, and no command stands twice in one table.
#[test]
fn tables_are_well_formed() {
    for table in [
        tcp::Request::TABLE,
        tcp::Response::TABLE,
        udp::Request::TABLE,
        udp::Response::TABLE,
    ] {
        let mut commands: Vec<_> = table.iter().map(|(command, _)| *command).collect();
        commands.sort();
        commands.dedup();
        assert_eq!(commands.len(), table.len());
        for (command, fields) in table {
            assert!(command.name().is_some());
            for (field, column) in *fields {
                let known = ["data_type", "count", "p1", "p2", "payload"].contains(column);
                assert!(known, "{command} {field} {column}");
            }
        }
    }
}

#[test]
fn dump_shows_datagrams_in_one_line() {
    let bytes = hex(
        "00000000 0001000d 00000001 00000000 00060008 0005000d 00000001 00000001 543a6169 00000000",
    );
    let mut line = String::new();
    dump::datagram(&mut line, &bytes, Direction::UdpRequest).unwrap();
    assert_eq!(
        line,
        "VERSION valid=1 minor=4.13 sequence=1 | \
         SEARCH reply=no minor=4.13 cid=1 cid2=1 name=\"T:ai\""
    );
    line.clear();
    dump::datagram(&mut line, &bytes[..30], Direction::UdpRequest).unwrap();
    assert_eq!(
        line,
        "VERSION valid=1 minor=4.13 sequence=1 | !the datagram ends inside a message"
    );
    line.clear();
    dump::datagram(&mut line, &[], Direction::UdpRequest).unwrap();
    assert_eq!(line, "(empty)");
}

#[test]
fn dump_survives_malformed_frames() {
    let mut lines = Vec::new();
    let mut dump = StreamDump::new(Direction::TcpRequest);
    let bytes = hex("00010008 00140001 00000001 00000002 0000000000000000
         00170000 00000000 00000000 00000000 00170003 00000000 00000000 00000000");
    for byte in &bytes {
        dump.feed(std::slice::from_ref(byte), |line| {
            lines.push(line.to_string())
        });
    }
    assert_eq!(
        lines,
        [
            "EVENT_ADD type=20 count=1 p1=0x1 p2=0x2 !EVENT_ADD has 8 bytes of payload, needs 14",
            "ECHO data_type=0 count=0 p1=0 p2=0 data=0B",
            "!ECHO announces 3 bytes of payload, not a multiple of 8",
        ]
    );
}

proptest::proptest! {
    /// Whatever arrives, parsing, printing and re-encoding never panic.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
        for direction in [
            Direction::TcpRequest, Direction::TcpResponse,
            Direction::UdpRequest, Direction::UdpResponse,
        ] {
            let mut dump = StreamDump::new(direction);
            dump.feed(&bytes, |line| { let _ = line.to_string(); });
            for frame in datagram_frames(&bytes).flatten() {
                let _ = DumpFrame { frame: &frame, direction }.to_string();
                if let Ok(message) = tcp::Request::parse(&frame) {
                    message.encode(&mut SendQueue::new());
                }
            }
        }
    }

    /// The header decodes to what was encoded, and a short prefix never decodes.
    #[test]
    fn headers_round_trip(
        command: u16, payload_len: u32, data_type: u16, count: u32, p1: u32, p2: u32,
    ) {
        let header = Header { command: Command(command), payload_len, data_type, count, p1, p2 };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        proptest::prop_assert_eq!(Header::decode(&bytes, true), Some((header, bytes.len())));
        for len in 0..bytes.len() {
            proptest::prop_assert_eq!(Header::decode(&bytes[..len], true), None);
        }
    }
}

/// In a test's failure or a log a payload looks as in a dump, not like a list of numbers.
#[test]
fn payloads_are_readable_in_debug_output() {
    use ca_proto::wire::message::{Data, Text};
    let (text, data) = (Text::new(b"a\"b"), Data(&[0; 24]));
    assert_eq!(format!("{text:?}"), text.to_string());
    assert_eq!(format!("{data:?}"), data.to_string());
}
