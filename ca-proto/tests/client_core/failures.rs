//! What servers say went wrong, and what they do wrong (`tcpiiu::processIncoming` and
//! `cac::exceptionRespAction` of EPICS Base).

use ca_proto::EcaStatus;
use ca_proto::client::{CloseReason, Event, More, ReadSpec, Token, TypeSpec, Violation};
use ca_proto::dbr::{DbrType, Family};
use ca_proto::ids::Ioid;
use ca_proto::wire::message::{Data, ErrorBody, NO_CHANNEL};
use ca_proto::wire::{Command, Header, tcp};

use crate::rig::*;

/// Identifiers of one circuit are stale on another.
#[test]
fn a_server_cannot_answer_for_another_one() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 1);
    let (_, d) = rig.circuit("Y", OTHER);
    let ioid = rig.read(cid, 1);
    let subid = rig.subscribe(cid, 2);
    rig.client.unsubscribe(rig.now, subid);
    let subid = rig.subscribe(cid, 3);
    rig.bytes(d);
    let request = Header {
        p2: ioid.0,
        ..Header::new(Command::READ_NOTIFY)
    };
    let error = tcp::Response::Error {
        cid,
        status: EcaStatus::GETFAIL,
        body: ErrorBody::new(request, "no"),
    };
    rig.feed(
        d,
        &[
            read_reply(ioid),
            update(subid),
            error,
            rights(cid, 0),
            tcp::Response::ServerDisconn { cid },
            tcp::Response::CreateChFail { cid },
        ],
    );
    assert_eq!(rig.heard(), []);
    assert_eq!(rig.events(), []);
    rig.feed(c, &[read_reply(ioid), update(subid)]);
    assert_eq!(rig.heard(), [was_read(1), updated(3)]);
}

/// What `send_err` of EPICS Base sends, our identifiers put in.
#[test]
fn trap_38_an_error_goes_to_the_request_it_copies() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 12);
    let ioid = rig.read(cid, 1);
    let subid = rig.subscribe(cid, 2);
    let write = hex("000b0018 00000000 00000000 00000178
         00040008 00050001 0000000c 00000000 6e6f6e65 00000000");
    rig.chunk(c, &write, More::Drained).unwrap();
    let exception = |cid, status, text: &str| Event::Exception {
        circuit: c,
        addr: SERVER,
        cid,
        status,
        text: text.into(),
    };
    let expected = exception(Some(cid), EcaStatus::NOWTACCESS, "none");
    assert_eq!(rig.events(), [expected]);
    // The 24-byte copy of an extended header.
    let extended = hex("000b0020 00000000 00000000 000000a0
         000fffff 00260000 0000000c 00000000 00000008 00011170 6976616c 00000000");
    rig.chunk(c, &extended, More::Drained).unwrap();
    let invalid = Heard::Exception(1, EcaStatus::PUTFAIL, "ival".into());
    assert_eq!(rig.heard(), [invalid]);
    let error = |command, p2, cid| tcp::Response::Error {
        cid,
        status: EcaStatus::INTERNAL,
        body: ErrorBody::new(
            Header {
                p2,
                ..Header::new(command)
            },
            "oops",
        ),
    };
    rig.feed(
        c,
        &[
            error(Command::EVENT_ADD, subid.0, cid),
            error(Command::READ_NOTIFY, ioid.0, cid),
            error(Command(999), 0, NO_CHANNEL),
            error(Command::WRITE, 4711, cid),
        ],
    );
    let failed = Heard::Update(2, DbrType(0), 0, EcaStatus::INTERNAL, vec![]);
    assert_eq!(rig.heard(), [failed]);
    // The message itself names the channel; the copied header of a write need not.
    let told = [None, Some(cid)].map(|cid| exception(cid, EcaStatus::INTERNAL, "oops"));
    assert_eq!(rig.events(), told);
    rig.feed(c, &[update(subid)]);
    assert_eq!(rig.heard(), [updated(2)], "the subscription stays");
}

#[test]
fn a_put_notify_fails_by_error_or_by_status() {
    let mut rig = Rig::new();
    let (cid, c) = rig.connect("X", 12);
    let mut put = |token| {
        rig.client
            .write_notify(at(0), cid, DOUBLE, &1.0.into(), Token(token), None)
            .unwrap()
    };
    let (one, two) = (put(1), put(2));
    let request = Header {
        p2: one.0,
        ..Header::new(Command::WRITE_NOTIFY)
    };
    rig.feed(
        c,
        &[
            tcp::Response::Error {
                cid,
                status: EcaStatus::INTERNAL,
                body: ErrorBody::new(request, ""),
            },
            tcp::Response::WriteNotify {
                ty: DOUBLE,
                count: 1,
                status: EcaStatus::PUTFAIL,
                ioid: two,
            },
        ],
    );
    assert_eq!(
        rig.heard(),
        [
            Heard::Exception(1, EcaStatus::INTERNAL, String::new()),
            Heard::Failed(2, EcaStatus::PUTFAIL)
        ]
    );
}

/// Section 8: the reference lets the request hang.
#[test]
fn an_answer_above_the_limit_fails_its_request() {
    let params = params().max_array_bytes(Some(16_384));
    let mut rig = Rig::with(params);
    let (cid, c) = rig.connect("X", 1);
    let spec = ReadSpec {
        ty: TypeSpec::Family(Family::Plain),
        count: 0,
    };
    let ioid = rig.client.read(rig.now, cid, spec, Token(1), None).unwrap();
    let big = vec![0; 16_416];
    rig.feed(
        c,
        &[
            tcp::Response::ReadNotify {
                ty: DOUBLE,
                count: 2_052,
                status: EcaStatus::NORMAL,
                ioid,
                data: Data(&big),
            },
            read_reply(ioid),
        ],
    );
    let [Heard::Malformed(1, what)] = rig.heard()[..] else {
        panic!();
    };
    assert_eq!(what.status(), EcaStatus::TOLARGE);
}

/// What makes a circuit end. The driver closes, then the channels are lost as usual.
#[test]
fn peers_that_break_the_protocol_lose_their_circuit() {
    let error = |len: u8| {
        let mut bytes = hex("000b0000 00000000 00000000 00000001");
        bytes[3] = len;
        bytes.resize(16 + usize::from(len), 0);
        bytes
    };
    let misaligned = hex("00010004 00060001 00000001 00000000 00000000");
    let cancel = hex("00020000 00000000 00000000 00000000");
    let unknown = hex("03e70000 00000000 00000000 00000000");
    let native = hex("00120000 00070001 00000000 00000001");
    type Expected = fn(&Violation) -> bool;
    let cases: [(&[u8], Expected); 5] = [
        (&misaligned, |v| matches!(v, Violation::Misaligned(_))),
        (&cancel, |v| {
            *v == Violation::Unexpected(Command::EVENT_CANCEL)
        }),
        (&unknown, |v| *v == Violation::Unexpected(Command(999))),
        (&native, |v| matches!(v, Violation::BadNativeType { .. })),
        (&error(8), |v| matches!(v, Violation::Malformed(_))),
    ];
    for (bytes, expected) in cases {
        let mut rig = Rig::new();
        let (cid, c) = rig.connect("X", 1);
        rig.read(cid, 1);
        let violation = rig.chunk(c, bytes, More::Drained).unwrap_err();
        assert!(expected(&violation), "{violation:?}");
        assert!(matches!(rig.events()[..], [Event::Violation { .. }]));
        rig.closed(c, CloseReason::Violation);
        assert_eq!(rig.heard(), [Heard::Disconnected(1)]);
    }
}

/// Trap 48: clients that were never asked may ignore NOT_FOUND; the reference aborts.
#[test]
fn harmless_messages_are_ignored() {
    let mut rig = Rig::new();
    let (_, c) = rig.connect("X", 1);
    for command in [3, 10, 12, 14, 23] {
        let bytes = hex(&format!("{command:04x}0000 00000000 00000000 00000000"));
        rig.chunk(c, &bytes, More::Drained).unwrap();
    }
    rig.chunk(c, &[], More::Drained).unwrap();
    assert_eq!(rig.events(), []);
    assert_eq!(rig.bytes(c), []);
}

#[test]
fn unknown_answers_are_ignored() {
    let mut rig = Rig::new();
    let (_, c) = rig.connect("X", 1);
    let far = Ioid(0x1234_5678);
    rig.feed(c, &[read_reply(far)]);
    assert_eq!(rig.heard(), []);
    rig.client.cancel(far);
    assert_eq!(rig.events(), []);
}

/// As for a read: whoever waits for updates has to know that there is one it will not get.
#[test]
fn an_update_above_the_limit_is_one_without_value() {
    let mut rig = Rig::with(params().max_array_bytes(Some(16_384)));
    let (cid, c) = rig.connect("X", 1);
    let subid = rig.subscribe(cid, 1);
    rig.heard();
    let big = vec![0; 16_416];
    let update = |data| tcp::Response::EventAdd {
        ty: TIME_DOUBLE,
        count: 2_050,
        status: EcaStatus::NORMAL,
        subid,
        data: Data(data),
    };
    rig.feed(c, &[update(&big)]);
    let heard = rig.heard();
    let [Heard::Update(1, _, _, EcaStatus::TOLARGE, _)] = heard[..] else {
        panic!("{heard:?}");
    };
}
