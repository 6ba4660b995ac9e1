//! DBR structures against literal bytes of the wire and against an independent layout.

// The values are those of the captures.
#![allow(clippy::approx_constant)]

use std::sync::Arc;

use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{
    Acknowledge, DbrType, EnumStates, Family, Limits, Metadata, NativeType, Range, Snapshot, Units,
    Value, layout,
};
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, Timestamp};

fn snapshot(value: impl Into<Value>, meta: Metadata) -> Snapshot {
    Snapshot {
        value: value.into(),
        alarm: Alarm::NONE,
        stamp: Timestamp {
            secs: 0x4561_64ee,
            nanos: 0x17b5_5f03,
        },
        ack: Acknowledge::default(),
        meta: Arc::new(meta),
    }
}

fn millimetres() -> Snapshot {
    let meta = Metadata {
        units: Units::new("mm"),
        precision: 3,
        limits: Limits {
            display: Range::new(-10.0, 10.0),
            alarm: Range::new(-8.0, 8.0),
            warning: Range::new(-7.0, 7.0),
            control: Range::new(-9.0, 9.0),
        },
        ..Metadata::default()
    };
    snapshot(3.141_592_653_589_79, meta)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn encoded(snapshot: &Snapshot, ty: DbrType, count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    snapshot.encode(ty, count, &mut out).expect("a conversion");
    assert_eq!(out.len() as u64, ty.size(count), "{ty}[{count}]");
    out
}

/// Structures of `db_access.h` of EPICS Base, byte for byte.
#[test]
fn payloads_are_those_seen_on_the_wire() {
    let table = [
        (20, "00000000 456164ee 17b55f03 00000000 400921fb54442d11"),
        (
            22,
            "00000000 6d6d000000000000 000afff6 00080007 fff9fff8 0003",
        ),
        (25, "00000000 6d6d000000000000 0af60807f9f8 00 03"),
        (
            27,
            "00000000 00030000 6d6d000000000000 4024000000000000 c024000000000000
             4020000000000000 401c000000000000 c01c000000000000 c020000000000000
             400921fb54442d11",
        ),
        (32, "00000000 6d6d000000000000 0af60807f9f809f7 00 03"),
        (
            33,
            "00000000 6d6d000000000000 0000000a fffffff6 00000008 00000007 fffffff9 fffffff8
             00000009 fffffff7 00000003",
        ),
    ];
    for (code, wanted) in table {
        let wanted: String = wanted.split_whitespace().collect();
        let ty = DbrType(code);
        assert_eq!(hex(&encoded(&millimetres(), ty, 1)), wanted, "{ty}");
    }
}

/// As `db_access.h` of EPICS Base lays it out.
#[test]
fn stsack_string_is_that_seen_on_the_wire() {
    let meta = Metadata {
        precision: 3,
        ..Metadata::default()
    };
    let snapshot = Snapshot {
        alarm: Alarm::new(AlarmStatus::HIHI, AlarmSeverity::MAJOR),
        ack: Acknowledge {
            transient: true,
            severity: AlarmSeverity::INVALID,
        },
        ..snapshot(8.5, meta)
    };
    let bytes = encoded(&snapshot, DbrType::STSACK_STRING, 1);
    assert_eq!(hex(&bytes[..8]), "0003000200010003");
    assert_eq!(&bytes[8..14], b"8.500\0");
    assert!(bytes[14..].iter().all(|&b| b == 0));
}

/// `db_access.h` of EPICS Base: texts of 26 bytes, 16 of them, zeros behind; value at 422.
#[test]
fn gr_enum_has_sixteen_texts_and_the_value_behind() {
    let meta = Metadata {
        states: EnumStates::new(["Off", "On"]),
        ..Metadata::default()
    };
    let snapshot = snapshot(EnumIndex(1), meta);
    for code in [24, 31] {
        let bytes = encoded(&snapshot, DbrType(code), 1);
        let mut wanted = vec![0; 424];
        wanted[5] = 2;
        wanted[6..9].copy_from_slice(b"Off");
        wanted[32..34].copy_from_slice(b"On");
        wanted[423] = 1;
        assert_eq!(bytes, wanted);
    }
}

/// `db_access.h` of EPICS Base: no states for fields that are no enums, precision 0 for fields that
/// are not real.
#[test]
fn metadata_that_does_not_fit_the_native_type_is_zero() {
    let meta = Metadata {
        precision: 3,
        states: EnumStates::new(["Off", "On"]),
        ..Metadata::default()
    };
    let snapshot = snapshot(7_i32, meta);
    let states = encoded(&snapshot, DbrType(24), 1);
    assert!(states[..422].iter().all(|&b| b == 0));
    let real = encoded(&snapshot, DbrType(27), 1);
    assert_eq!(&real[4..8], [0; 4]);
}

/// `dbConvert.c` of EPICS Base: undefined alarm limits are NaN or 0.
#[test]
fn undefined_alarm_limits_are_nan_or_zero() {
    let snapshot = snapshot(1.0, Metadata::default());
    let real = encoded(&snapshot, DbrType(34), 1);
    for at in [32, 40, 48, 56] {
        assert!(f64::from_be_bytes(real[at..at + 8].try_into().unwrap()).is_nan());
    }
    for at in [16, 24, 64, 72] {
        assert_eq!(real[at..at + 8], [0; 8]);
    }
    for code in [29, 32, 33] {
        let ty = DbrType(code);
        let integer = encoded(&snapshot, ty, 0);
        assert!(integer.iter().all(|&b| b == 0), "{ty}");
    }
}

/// Of integers too, in requests of real numbers (`get_alarm` in Base's `dbAccess.c`).
#[test]
fn undefined_alarm_limits_of_an_integer_are_nan_in_real_numbers() {
    let long = snapshot(1i32, Metadata::default());
    for code in [27, 34] {
        let real = encoded(&long, DbrType(code), 1);
        for at in [32, 40, 48, 56] {
            let limit = f64::from_be_bytes(real[at..at + 8].try_into().unwrap());
            assert!(limit.is_nan(), "type {code}");
        }
    }
}

/// `dbConvert.c` of EPICS Base: limits of a float are clamped as values are.
#[test]
fn limits_of_floats_are_clamped() {
    let meta = Metadata {
        limits: Limits {
            display: Range::new(-1e300, 1e300),
            ..Limits::default()
        },
        ..Metadata::default()
    };
    let bytes = encoded(&snapshot(1.0, meta), DbrType(23), 1);
    assert_eq!(bytes[16..20], f32::MAX.to_be_bytes());
    assert_eq!(bytes[20..24], f32::MIN.to_be_bytes());
}

/// `dbChannel_put` of EPICS Base: one string whatever the count.
#[test]
fn class_name_is_one_string_whatever_the_count() {
    let meta = Metadata {
        class: "longout".into(),
        ..Metadata::default()
    };
    let snapshot = snapshot([1_i32, 2, 3], meta);
    assert_eq!(encoded(&snapshot, DbrType::CLASS_NAME, 0), []);
    for count in [1, 3] {
        let mut wanted = vec![0; 40 * count as usize];
        wanted[..7].copy_from_slice(b"longout");
        assert_eq!(encoded(&snapshot, DbrType::CLASS_NAME, count), wanted);
    }
}

/// A C struct: every member aligned to its own size, the value last, without the padding after it
/// (`dbr_value_offset` is `offsetof(…, value)`).
struct CStruct {
    at: usize,
    members: Vec<(&'static str, usize)>,
}

impl CStruct {
    fn member(&mut self, name: &'static str, size: usize, align: usize) {
        self.at = self.at.next_multiple_of(align);
        self.members.push((name, self.at));
        self.at += size;
    }
}

/// The structures of `db_access.h`, members as C compilers align them; explicit pads only where
/// the header has one that alignment alone does not give.
fn c_struct(family: Family, native: NativeType) -> CStruct {
    use NativeType::{Char, Double, Enum, Float, Long, Short, String};
    let mut c = CStruct {
        at: 0,
        members: Vec::new(),
    };
    let size = native.size();
    let align = if native == String { 1 } else { size };
    if family != Family::Plain {
        c.member("status", 2, 2);
        c.member("severity", 2, 2);
    }
    match (family, native) {
        (Family::Plain, _) => {}
        (Family::Sts, Char) => c.at += 1,
        (Family::Sts, _) => {}
        (Family::Time, _) => {
            c.member("secs", 4, 4);
            c.member("nanos", 4, 4);
            match native {
                Short | Enum => c.at += 2,
                Char => c.at += 3,
                _ => {}
            }
        }
        (_, String) => {}
        (_, Enum) => {
            c.member("no_str", 2, 2);
            c.member("strs", 16 * 26, 1);
        }
        (_, Short | Float | Char | Long | Double) => {
            if native.is_real() {
                c.member("precision", 2, 2);
                c.at += 2;
            }
            c.member("units", 8, 1);
            let display = ["upper_disp_limit", "lower_disp_limit"];
            let alarm = ["upper_alarm_limit", "upper_warning_limit"];
            let low = ["lower_warning_limit", "lower_alarm_limit"];
            let control = ["upper_ctrl_limit", "lower_ctrl_limit"];
            let with_control = (family == Family::Ctrl).then_some(control);
            for name in [Some(display), Some(alarm), Some(low), with_control] {
                for name in name.into_iter().flatten() {
                    c.member(name, size, align);
                }
            }
            if native == Char {
                c.at += 1;
            }
        }
    }
    c.member("value", size, align);
    c
}

fn name(field: layout::Field) -> Option<&'static str> {
    use layout::{Field, Limit};
    Some(match field {
        Field::Status => "status",
        Field::Severity => "severity",
        Field::Seconds => "secs",
        Field::Nanoseconds => "nanos",
        Field::Precision => "precision",
        Field::Units => "units",
        Field::StateCount => "no_str",
        Field::States => "strs",
        Field::Limit(Limit::UpperDisplay) => "upper_disp_limit",
        Field::Limit(Limit::LowerDisplay) => "lower_disp_limit",
        Field::Limit(Limit::UpperAlarm) => "upper_alarm_limit",
        Field::Limit(Limit::UpperWarning) => "upper_warning_limit",
        Field::Limit(Limit::LowerWarning) => "lower_warning_limit",
        Field::Limit(Limit::LowerAlarm) => "lower_alarm_limit",
        Field::Limit(Limit::UpperControl) => "upper_ctrl_limit",
        Field::Limit(Limit::LowerControl) => "lower_ctrl_limit",
        _ => return None,
    })
}

#[test]
fn fields_stand_where_a_c_compiler_puts_them() {
    for family in Family::ALL {
        for native in NativeType::ALL {
            let ty = DbrType::new(family, native);
            let mut ours: Vec<_> = layout::fields(ty)
                .filter_map(|(field, at, _)| Some((name(field)?, at)))
                .collect();
            ours.push(("value", ty.value_offset()));
            assert_eq!(ours, c_struct(family, native).members, "{ty}");
        }
    }
}

/// Verified on the wire: the limits of an integer keep their low bits, those of a real saturate.
#[test]
fn limits_of_integers_keep_their_low_bits() {
    let upper_and_lower = |value: Value| {
        let meta = Metadata {
            limits: Limits {
                display: Range::new(-1000.0, 1000.0),
                ..Limits::default()
            },
            ..Metadata::default()
        };
        let ty = DbrType::new(Family::Gr, NativeType::Char);
        let bytes = encoded(&snapshot(value, meta), ty, 0);
        [bytes[12], bytes[13]]
    };
    assert_eq!(upper_and_lower(5i32.into()), [232, 24]);
    assert_eq!(upper_and_lower(5.0.into()), [255, 128]);
}

/// Of a text that does not fit, one byte less is sent, and its NUL.
#[test]
fn a_long_string_that_is_cut_ends_with_nul() {
    let meta = Metadata {
        long_string: true,
        ..Metadata::default()
    };
    let snapshot = snapshot(Value::array(b"a text\0"), meta);
    let read = |native, count| encoded(&snapshot, DbrType::new(Family::Plain, native), count);
    assert_eq!(read(NativeType::Char, 3), b"a \0");
    assert_eq!(read(NativeType::Char, 1), b"\0");
    assert_eq!(read(NativeType::Char, 7), b"a text\0");
    assert_eq!(read(NativeType::Char, 9), b"a text\0\0\0");
    assert_eq!(read(NativeType::Short, 2), [0, b'a', 0, b' ']);
}
