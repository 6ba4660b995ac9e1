//! The DBR structures: each decodes to what the record holds, and a server of ours with that
//! record would send the same bytes.

use std::sync::Arc;

use ca_proto::EcaStatus;
use ca_proto::alarm::{Alarm, AlarmSeverity, AlarmStatus};
use ca_proto::dbr::layout::{self, Field};
use ca_proto::dbr::{
    Acknowledge, DbrType, EnumIndex, EnumStates, Family, Limits, Metadata, NativeType, Range,
    Reading, Snapshot, Units, Value,
};
use ca_proto::time::Timestamp;
use ca_proto::wire::dump::Direction;
use ca_proto::wire::{Frame, Header, tcp};

use super::{Capture, captures};

/// A captured reply, and the record it comes from.
struct Reply {
    name: &'static str,
    ty: DbrType,
    count: u32,
    status: EcaStatus,
    payload: Vec<u8>,
    pv: &'static str,
}

impl Reply {
    fn reading(&self) -> Reading {
        // Type and count are all that a reading takes from beside the payload.
        let header = Header::new(ca_proto::wire::Command::READ_NOTIFY);
        Reading::from_frame(self.ty, self.count, &Frame::new(header, &self.payload)).unwrap()
    }
}

/// The replies in `dbr.txt`; names are `read_notify.TYPE.COUNT`, then the PV if it is not the one
/// of that native type.
fn replies() -> impl Iterator<Item = Reply> {
    captures()
        .into_iter()
        .filter(|c| c.file == "dbr" && c.direction == Direction::TcpResponse)
        .map(reply)
}

fn reply(capture: Capture) -> Reply {
    let (header, len) = Header::decode(&capture.bytes, true).unwrap();
    let frame = Frame::new(header, &capture.bytes[len..]);
    let Ok(tcp::Response::ReadNotify {
        ty,
        count,
        status,
        data,
        ..
    }) = tcp::Response::parse(&frame)
    else {
        panic!("{capture:?}")
    };
    let mut parts = capture.name.split('.').skip(2);
    let array = parts.next().is_some_and(|count| count > "1");
    let native = ty.native().unwrap();
    let pv = parts.next().unwrap_or(if array {
        match native {
            NativeType::String => "wfstr",
            NativeType::Short => "wfshort",
            NativeType::Float => "wffloat",
            NativeType::Enum => "wfenum",
            NativeType::Char => "wfuchar",
            NativeType::Long => "wflong",
            NativeType::Double => "wf5",
        }
    } else {
        match native {
            NativeType::String => "string",
            NativeType::Short => "short",
            NativeType::Float => "float",
            NativeType::Enum => "enum",
            NativeType::Char => "char",
            NativeType::Long => "long",
            NativeType::Double => "double",
        }
    });
    Reply {
        name: capture.name,
        ty,
        count,
        status,
        payload: data.0.to_vec(),
        pv,
    }
}

const MAJOR_HIHI: Alarm = Alarm::new(AlarmStatus::HIHI, AlarmSeverity::MAJOR);

fn states(texts: &[&str]) -> Metadata {
    Metadata {
        states: EnumStates::new(texts),
        class: "mbbo".into(),
        ..Metadata::default()
    }
}

/// Metadata of a number of `tests/peers/ioc.db`: limits as (display, alarm, warning, control).
fn number(
    class: &'static str,
    units: &str,
    precision: i16,
    [display, alarm, warning, control]: [(f64, f64); 4],
) -> Metadata {
    let range = |(lower, upper)| Range::new(lower, upper);
    Metadata {
        units: Units::new(units),
        precision,
        limits: Limits {
            display: range(display),
            alarm: range(alarm),
            warning: range(warning),
            control: range(control),
        },
        class: class.into(),
        ..Metadata::default()
    }
}

const UNDEFINED: (f64, f64) = (f64::NAN, f64::NAN);
const FULL: (f64, f64) = (-100.0, 100.0);
const NO_LIMITS: [(f64, f64); 4] = [(0.0, 0.0), UNDEFINED, UNDEFINED, (0.0, 0.0)];

/// The record of `tests/peers/ioc.db`, as the IOC served it for the captures.
fn record(pv: &str) -> Snapshot {
    let waveform = |display| {
        let limits = [display, UNDEFINED, UNDEFINED, display];
        number("waveform", "mm", 0, limits)
    };
    let bare = || number("waveform", "", 0, NO_LIMITS);
    let text = |class: &'static str| Metadata {
        class: class.into(),
        ..Metadata::default()
    };
    let mut alarm = Alarm::NONE;
    let mut ack = Acknowledge::default();
    let (value, meta): (Value, _) = match pv {
        "double" | "noaccess" => {
            let limits = [FULL, (-90.0, 90.0), (-80.0, 80.0), (-50.0, 50.0)];
            (3.25.into(), number("ao", "mm", 3, limits))
        }
        "float" => {
            let mut meta = waveform(FULL);
            meta.precision = 3;
            (1.5f32.into(), meta)
        }
        "long" => {
            let limits = [FULL, (-9e3, 9e3), (-8e3, 8e3), (-5e3, 5e3)];
            (42.into(), number("longout", "mm", 0, limits))
        }
        "short" => (7i16.into(), waveform(FULL)),
        "char" => (65u8.into(), waveform((0.0, 100.0))),
        "enum" => (
            EnumIndex(1).into(),
            states(&["zero", "one", "two", "three"]),
        ),
        "enum16" => (
            EnumIndex(15).into(),
            states(&[
                "s0",
                "s1",
                "s2",
                "s3",
                "s4",
                "s5",
                "s6",
                "s7",
                "s8",
                "s9",
                "s10",
                "s11",
                "s12",
                "s13",
                "s14",
                "the full twenty five cha",
            ]),
        ),
        "string" => ("hello".into(), text("stringout")),
        "int64" => {
            let limits = [(0.0, 0.0); 4];
            (
                1_099_511_627_776.0.into(),
                number("int64out", "", 0, limits),
            )
        }
        "alarm" => {
            alarm = MAJOR_HIHI;
            ack.severity = AlarmSeverity::MAJOR;
            let hihi = (f64::NAN, 10.0);
            let limits = [(0.0, 0.0), hihi, UNDEFINED, (0.0, 0.0)];
            (20.0.into(), number("ao", "", 0, limits))
        }
        "undefined" => {
            alarm = Alarm::UNDEFINED;
            (0.0.into(), number("ai", "mm", 0, NO_LIMITS))
        }
        "wf0" => {
            alarm = Alarm::UNDEFINED;
            (Value::empty(NativeType::Double), bare())
        }
        "wfstr" => (
            Value::strings(&["zero", "one", "two", "three"]),
            text("waveform"),
        ),
        "wfshort" => ([0i16, 1, 2, 3, 4].into(), bare()),
        "wffloat" => ([0f32, 1.0, 2.0, 3.0, 4.0].into(), bare()),
        "wfenum" => ([0, 1, 2, 3, 4].map(EnumIndex).into(), text("waveform")),
        "wfuchar" => ([0u8, 1, 2, 254, 255].into(), bare()),
        "wflong" => ([0, 1, 2, 3, 4].into(), bare()),
        "wf5" => ([0.0, 1.0, 2.0, 3.0, 4.0].into(), bare()),
        _ => panic!("{pv}"),
    };
    Snapshot {
        value,
        alarm,
        stamp: Timestamp::UNDEFINED,
        ack,
        meta: Arc::new(meta),
    }
}

/// Zeros what has no meaning: the IOC leaves there what its buffer held before. That are pads, and
/// the bytes of a text behind its NUL; after a class name the IOC also leaves them in the second
/// element, which does not exist.
fn without_stale_bytes(ty: DbrType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    let mut text = |start: usize, len: usize| {
        let end = (start + len).min(bytes.len());
        let field = &mut bytes[start..end];
        if let Some(nul) = field.iter().position(|&b| b == 0) {
            field[nul..].fill(0);
        }
    };
    for (field, at, size) in layout::fields(ty) {
        match field {
            Field::Units => text(at, size),
            Field::States => (0..16).for_each(|n| text(at + n * 26, 26)),
            _ => {}
        }
    }
    let value = ty.value_offset();
    if ty.native() == Some(NativeType::String) {
        (value..payload.len())
            .step_by(40)
            .for_each(|at| text(at, 40));
    }
    if ty == DbrType::CLASS_NAME && bytes.len() > 40 {
        bytes[40..].fill(0);
    }
    for (field, at, size) in layout::fields(ty) {
        if matches!(field, Field::Pad(_)) {
            bytes[at..at + size].fill(0);
        }
    }
    bytes
}

#[test]
fn our_server_would_send_the_same_structures() {
    let mut seen = [false; DbrType::COUNT as usize];
    for reply in replies().filter(|r| r.status == EcaStatus::NORMAL) {
        let mut record = record(reply.pv);
        record.stamp = reply.reading().timestamp().unwrap_or_default();
        let mut ours = Vec::new();
        record.encode(reply.ty, reply.count, &mut ours).unwrap();
        let end = ours.len();
        assert_eq!(end as u64, reply.ty.size(reply.count), "{}", reply.name);
        let theirs = without_stale_bytes(reply.ty, &reply.payload[..end]);
        assert_eq!(ours, theirs, "{}", reply.name);
        seen[usize::from(reply.ty.0)] = true;
    }
    for (code, seen) in seen.into_iter().enumerate() {
        let ty = DbrType(code as u16);
        let write_only = matches!(ty, DbrType::PUT_ACKT | DbrType::PUT_ACKS);
        assert_eq!(seen, !write_only, "{ty}");
    }
}

#[test]
fn every_family_decodes_to_what_the_record_holds() {
    let same = |a: Range, b: Range, integer: bool| {
        let one = |a: f64, b: f64| a == b || b.is_nan() && (a.is_nan() || integer && a == 0.0);
        one(a.lower, b.lower) && one(a.upper, b.upper)
    };
    for reply in replies().filter(|r| r.status == EcaStatus::NORMAL) {
        let (ty, record, got) = (reply.ty, record(reply.pv), reply.reading());
        println!("{} {} {got:?}", reply.name, reply.pv);
        let Some(family) = ty.family() else { continue };
        let native = ty.native().unwrap();
        let alarm = (family != Family::Plain).then_some(record.alarm);
        assert_eq!(got.alarm(), alarm, "{}", reply.name);
        assert_eq!(got.timestamp().is_some(), family == Family::Time);
        if let Some(stamp) = got.timestamp() {
            let never = matches!(reply.pv, "undefined" | "wf0");
            assert_eq!(stamp.is_undefined(), never, "{}", reply.name);
        }
        if native == record.value.native() && reply.count == record.value.count() {
            assert_eq!(got.to_f64s().is_none(), native == NativeType::String);
            let value = Reading::to_value(&got);
            if native != NativeType::String {
                assert_eq!(value, record.value, "{}", reply.name);
            }
        }
        let detailed = matches!(family, Family::Gr | Family::Ctrl);
        let numeric = !matches!(native, NativeType::String | NativeType::Enum);
        assert_eq!(
            got.units(),
            (detailed && numeric).then_some(record.meta.units)
        );
        if let Some(limits) = got.limits() {
            let integer = !native.is_real();
            let wanted = record.meta.limits;
            assert!(
                same(limits.display, wanted.display, integer),
                "{}",
                reply.name
            );
            assert!(same(limits.alarm, wanted.alarm, integer), "{}", reply.name);
            assert!(
                same(limits.warning, wanted.warning, integer),
                "{}",
                reply.name
            );
            if family == Family::Ctrl {
                assert!(
                    same(limits.control, wanted.control, integer),
                    "{}",
                    reply.name
                );
            }
        }
        let precision = (detailed && native.is_real()).then_some(record.meta.precision);
        assert_eq!(got.precision(), precision, "{}", reply.name);
        if detailed && native == NativeType::Enum && record.value.count() == 1 {
            assert_eq!(got.states().as_ref(), Some(&record.meta.states));
        }
    }
}

/// The text that each record gives, and what a text gives as a number (`dbConvert.c` of EPICS Base).
#[test]
fn texts_are_those_of_the_ioc() {
    const TEXTS: [(&str, &str); 15] = [
        ("read_notify.STRING.1", "hello"),
        ("read_notify.STRING.4", "zero one two three"),
        ("read_notify.STRING.1.double", "3.250"),
        ("read_notify.STRING.1.float", "1.500"),
        ("read_notify.STRING.1.long", "42"),
        ("read_notify.STRING.1.short", "7"),
        ("read_notify.STRING.1.char", "65"),
        ("read_notify.STRING.1.enum", "one"),
        ("read_notify.STRING.1.enum16", "the full twenty five cha"),
        ("read_notify.STRING.1.int64", "1099511627776"),
        ("read_notify.GR_ENUM.1", "one"),
        ("read_notify.CTRL_ENUM.1.enum16", "the full twenty five cha"),
        ("read_notify.CLASS_NAME.1.alarm", "ao"),
        ("read_notify.STSACK_STRING.1.alarm", "20"),
        ("read_notify.CTRL_DOUBLE.1", "3.250"),
    ];
    let replies: Vec<Reply> = replies().collect();
    for (name, text) in TEXTS {
        let reply = replies.iter().find(|reply| reply.name == name).unwrap();
        assert_eq!(reply.reading().to_string(), text, "{name}");
    }
    let acknowledge = replies.iter().find(|r| r.ty == DbrType::STSACK_STRING);
    let got = acknowledge.unwrap().reading();
    assert_eq!(got.alarm(), Some(MAJOR_HIHI));
    let state = Acknowledge {
        transient: true,
        severity: AlarmSeverity::MAJOR,
    };
    assert_eq!(got.acknowledge(), Some(state));
}

/// A failed read carries its status and zeros.
#[test]
fn failed_reads_carry_a_status_and_zeros() {
    let mut failed = 0;
    for reply in replies().filter(|r| r.status != EcaStatus::NORMAL) {
        let wanted = if reply.pv == "noaccess" {
            EcaStatus::NORDACCESS
        } else {
            let ours = record(reply.pv).encode(reply.ty, reply.count, &mut Vec::new());
            assert!(ours.is_err(), "{}", reply.name);
            EcaStatus::GETFAIL
        };
        assert_eq!(reply.status, wanted, "{}", reply.name);
        assert!(reply.payload.iter().all(|&b| b == 0), "{}", reply.name);
        failed += 1;
    }
    assert_eq!(failed, 18);
}
