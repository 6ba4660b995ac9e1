//! What a client sees of a structure that a server wrote, and of anything else.

// The values are those of the specification.
#![allow(clippy::approx_constant)]

use std::sync::Arc;

use ca_proto::dbr::value::{EnumIndex, INLINE_LEN};
use ca_proto::dbr::{
    Acknowledge, DbrType, EnumStates, Family, Limits, Metadata, NativeType, Range, Reading,
    ReadingError, Snapshot, Units, Value, convert,
};
use ca_proto::wire::{Command, Frame, Header, align8};
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, Timestamp};
use proptest::prelude::*;

const ALARM: Alarm = Alarm::new(AlarmStatus::HIGH, AlarmSeverity::MINOR);
const STAMP: Timestamp = Timestamp {
    secs: 1_164_010_795,
    nanos: 461_000_000,
};

fn header() -> Header {
    Header::new(Command::READ_NOTIFY)
}

fn limits() -> Limits {
    Limits {
        display: Range::new(1.0, 90.0),
        alarm: Range::new(10.0, 80.0),
        warning: Range::new(20.0, 70.0),
        control: Range::new(5.0, 85.0),
    }
}

fn snapshot(value: impl Into<Value>) -> Snapshot {
    Snapshot {
        value: value.into(),
        alarm: ALARM,
        stamp: STAMP,
        ack: Acknowledge {
            transient: false,
            severity: AlarmSeverity::MAJOR,
        },
        meta: Arc::new(Metadata {
            units: Units::new("counts-long-un"),
            precision: 2,
            limits: limits(),
            states: EnumStates::new(["Off", "On", "Fault"]),
            class: "ai".into(),
            ..Metadata::default()
        }),
    }
}

fn payload(snapshot: &Snapshot, ty: DbrType, count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    snapshot.encode(ty, count, &mut out).expect("a conversion");
    out.resize(align8(out.len()), 0);
    out
}

fn reading(snapshot: &Snapshot, ty: DbrType, count: u32) -> Reading {
    let payload = payload(snapshot, ty, count);
    Reading::from_frame(ty, count, &Frame::new(header(), &payload)).expect("a whole structure")
}

fn of(value: impl Into<Value>, family: Family) -> Reading {
    let snapshot = snapshot(value);
    let ty = DbrType::new(family, snapshot.value.native());
    reading(&snapshot, ty, snapshot.value.count())
}

/// `db_access.h` of EPICS Base: what each family carries.
fn check_metadata(reading: &Reading, family: Family, native: NativeType) {
    let ty = reading.ty();
    let graphic = matches!(family, Family::Gr | Family::Ctrl);
    let number = !matches!(native, NativeType::String | NativeType::Enum);
    let described = graphic && number;
    let alarm = (family != Family::Plain).then_some(ALARM);
    assert_eq!(reading.alarm(), alarm, "{ty}");
    let stamp = (family == Family::Time).then_some(STAMP);
    assert_eq!(reading.timestamp(), stamp, "{ty}");
    // Cut to 7 characters.
    let units = described.then(|| Units::new("counts-"));
    assert_eq!(reading.units(), units, "{ty}");
    let precision = (described && native.is_real()).then_some(2);
    assert_eq!(reading.precision(), precision, "{ty}");
    let texts =
        (graphic && native == NativeType::Enum).then(|| EnumStates::new(["Off", "On", "Fault"]));
    assert_eq!(reading.states(), texts, "{ty}");
    assert_eq!(reading.acknowledge(), None, "{ty}");
    match reading.limits() {
        Some(found) if family == Family::Ctrl => assert_eq!(found, limits(), "{ty}"),
        Some(found) => {
            assert!(found.control.lower.is_nan() && found.control.upper.is_nan());
            let control = limits().control;
            assert_eq!(Limits { control, ..found }, limits(), "{ty}");
        }
        None => assert!(!described, "{ty}"),
    }
    assert_eq!(reading.limits().is_some(), described, "{ty}");
}

#[test]
fn every_type_with_every_count_comes_back_as_it_was() {
    for native in NativeType::ALL {
        for count in [0, 1, 2, 1000] {
            let numbers: Vec<i32> = (0..count).map(|n| n % 3).collect();
            let meta = Metadata::default();
            let value = convert::write(Value::from(numbers).as_ref(), native, &meta).unwrap();
            assert_eq!(value.count(), count as u32);
            let snapshot = snapshot(value.clone());
            for family in Family::ALL {
                let ty = DbrType::new(family, native);
                let reading = reading(&snapshot, ty, count as u32);
                assert_eq!((reading.ty(), reading.native()), (ty, native));
                assert_eq!(reading.count(), count as u32);
                assert_eq!(reading.value(), value.as_ref(), "{ty}[{count}]");
                assert_eq!(reading.to_value(), value);
                assert_eq!(&reading.value_bytes()[..], value.payload().as_slice());
                check_metadata(&reading, family, native);
            }
        }
    }
}

#[test]
fn numbers_are_exact_as_f64() {
    assert_eq!(of(-5_i16, Family::Plain).get_f64(0), Some(-5.0));
    assert_eq!(of(0.1_f32, Family::Sts).get_f64(0), Some(0.1_f32.into()));
    assert_eq!(of(EnumIndex(65535), Family::Time).get_f64(0), Some(65535.0));
    assert_eq!(of(200_u8, Family::Gr).get_f64(0), Some(200.0));
    assert_eq!(of(i32::MIN, Family::Ctrl).get_f64(0), Some(i32::MIN.into()));
    assert_eq!(of(1e300, Family::Time).get_f64(0), Some(1e300));
    assert_eq!(of("1.5", Family::Time).get_f64(0), None);
    let array = of([1_i16, -2, 3], Family::Time);
    assert_eq!(array.to_f64s(), Some(vec![1.0, -2.0, 3.0]));
    assert_eq!(array.get_f64(2), Some(3.0));
    assert_eq!(array.get_f64(3), None);
    assert_eq!(of("1.5", Family::Time).to_f64s(), None);
}

#[test]
fn typed_access_converts_nothing() {
    let array = of([1_i32, 2], Family::Time);
    assert_eq!(array.to_vec::<i32>(), Some(vec![1, 2]));
    assert_eq!(array.to_vec::<f64>(), None);
    assert_eq!(array.get::<i32>(1), Some(2));
    assert_eq!(array.get::<f32>(1), None);
    assert_eq!(array.get::<i32>(2), None);
    assert_eq!(array.bytes(), None);
}

#[test]
fn a_long_string_is_the_text_before_the_nul() {
    let chars = of(&b"caf\xc3\xa9\0junk"[..], Family::Time);
    assert_eq!(chars.long_string().as_deref(), Some("café"));
    assert_eq!(chars.bytes(), Some(&b"caf\xc3\xa9\0junk"[..]));
    assert_eq!(of(1.0, Family::Time).long_string(), None);
    let empty = of(&[][..] as &[u8], Family::Time);
    assert_eq!(empty.long_string().as_deref(), Some(""));
}

#[test]
fn elements_as_text_use_precision_and_state_texts_if_they_are_there() {
    assert_eq!(of(3.14159, Family::Ctrl).to_string(), "3.14");
    assert_eq!(of(3.14159, Family::Time).to_string(), "3.14159");
    assert_eq!(of(0.1_f32, Family::Time).to_string(), "0.1");
    assert_eq!(of(1e300, Family::Time).to_string(), "1e300");
    // No blanks in front of the exponent form.
    assert_eq!(of(1.1e16, Family::Gr).to_string(), "1.10e+16");
    assert_eq!(of(EnumIndex(1), Family::Ctrl).to_string(), "On");
    assert_eq!(of(EnumIndex(3), Family::Ctrl).to_string(), "3");
    assert_eq!(of(EnumIndex(1), Family::Time).to_string(), "1");
    assert_eq!(of("hello", Family::Time).to_string(), "hello");
    let array = of([1_u8, 2, 255], Family::Time);
    assert_eq!(array.to_string(), "1 2 255");
    assert_eq!(array.strings().collect::<Vec<_>>(), ["1", "2", "255"]);
    assert_eq!(array.string(3), None);
}

#[test]
fn the_label_of_an_enum_needs_its_texts() {
    let on = of(EnumIndex(1), Family::Gr);
    assert_eq!(on.enum_index(), Some(1));
    assert_eq!(on.enum_label().as_deref(), Some("On"));
    assert_eq!(of(EnumIndex(1), Family::Time).enum_label(), None);
    assert_eq!(of(EnumIndex(7), Family::Gr).enum_label(), None);
    assert_eq!(of(1.0, Family::Gr).enum_index(), None);
}

/// `db_access.h` of EPICS Base: a text of 26 bytes arrives without NUL; more than 16 states do not exist.
#[test]
fn state_texts_without_nul_and_wrong_numbers_of_states_are_understood() {
    let mut payload = vec![b'x'; 424];
    payload[4..6].copy_from_slice(&[0xff, 0xff]);
    payload[6 + 26 * 15..422].fill(0);
    payload[422..].copy_from_slice(&[0, 1]);
    for code in [24, 31] {
        let frame = Frame::new(header(), &payload);
        let reading = Reading::from_frame(DbrType(code), 1, &frame).unwrap();
        let states = reading.states().unwrap();
        assert_eq!(states.len(), 16);
        assert_eq!(states.get(0), Some(&[b'x'; 26][..]));
        assert_eq!(states.get(15), Some(&b""[..]));
        assert_eq!(reading.enum_label().unwrap().len(), 26);
    }
}

#[test]
fn stsack_and_class_name_are_read() {
    let snapshot = snapshot(8.5);
    let ack = reading(&snapshot, DbrType::STSACK_STRING, 1);
    assert_eq!(ack.acknowledge(), Some(snapshot.ack));
    assert_eq!(ack.alarm(), Some(ALARM));
    assert_eq!(ack.string(0).as_deref(), Some("8.50"));
    let class = reading(&snapshot, DbrType::CLASS_NAME, 1);
    assert_eq!(class.string(0).as_deref(), Some("ai"));
    assert_eq!(class.alarm(), None);
}

/// `CA_MESSAGE_ALIGN` of EPICS Base: the reply to the obsolete READ is trimmed.
#[test]
fn a_single_string_may_be_trimmed() {
    let frame = Frame::new(header(), b"hello\0\0\0");
    let reading = Reading::from_frame(DbrType(0), 1, &frame).unwrap();
    assert_eq!(reading.string(0).as_deref(), Some("hello"));
    assert_eq!(reading.string(1), None);
    assert!(Reading::from_frame(DbrType(0), 2, &frame).is_err());
}

#[test]
fn payloads_that_are_too_short_are_refused() {
    let frame = Frame::new(header(), &[0; 16]);
    let short = Reading::from_frame(DbrType(20), 1, &frame);
    let error = ReadingError::ShortPayload {
        ty: DbrType(20),
        count: 1,
        len: 16,
        need: 24,
    };
    assert_eq!(short, Err(error));
    // D3: 0x20000000 doubles are 2^32 bytes.
    assert!(Reading::from_frame(DbrType(6), 0x2000_0000, &frame).is_err());
    assert!(Reading::from_frame(DbrType(0), 1, &Frame::new(header(), &[])).is_err());
    let unknown = Reading::from_frame(DbrType(39), 0, &frame);
    assert_eq!(unknown, Err(ReadingError::UnknownType(DbrType(39))));
}

/// What the client core lets through can be read (`CA_MESSAGE_ALIGN` of EPICS Base).
#[test]
fn the_last_string_may_end_early() {
    let ty = DbrType::new(Family::Sts, NativeType::String);
    let mut payload = vec![0; 4];
    payload.extend(b"one");
    payload.resize(44, 0);
    payload.extend(b"two\0");
    let reading = Reading::from_frame(ty, 2, &Frame::new(header(), &payload)).unwrap();
    assert_eq!(reading.strings().collect::<Vec<_>>(), ["one", "two"]);
    // No byte of the last one is too little.
    assert!(Reading::from_frame(ty, 2, &Frame::new(header(), &payload[..44])).is_err());
}

#[test]
fn large_payloads_share_the_buffer_of_the_frame() {
    let ty = DbrType::new(Family::Time, NativeType::Double);
    let buffer = payload(&snapshot(vec![1.5; 1000]), ty, 1000);
    let frame = Frame::owned(header(), buffer.into());
    let reading = Reading::from_frame(ty, 1000, &frame).unwrap();
    let shared = frame.shared().unwrap();
    assert_eq!(
        reading.payload().shared().unwrap().as_ptr(),
        shared.as_ptr()
    );
    assert_eq!(reading.value_bytes().as_ptr(), shared[16..].as_ptr());
    let value = reading.to_value();
    assert_eq!(value.payload().as_slice().as_ptr(), shared[16..].as_ptr());
}

#[test]
fn a_small_value_does_not_keep_a_large_buffer_alive() {
    let ty = DbrType::new(Family::Time, NativeType::Double);
    let mut buffer = payload(&snapshot(vec![1.5; 100]), ty, 100);
    buffer.resize(100_000, 0);
    let frame = Frame::owned(header(), buffer.into());
    for count in [1, 100] {
        let reading = Reading::from_frame(ty, count, &frame).unwrap();
        let copy = reading.payload().as_slice().as_ptr();
        assert_ne!(copy, frame.payload().as_ptr(), "{count} elements");
        assert_eq!(reading.count(), count);
    }
}

/// Every scalar of a `TIME` type fits inline, so that a reading of it never allocates.
#[test]
fn scalars_with_time_stamps_are_inline() {
    for native in NativeType::ALL {
        let ty = DbrType::new(Family::Time, native);
        assert!(ty.size(1) <= INLINE_LEN as u64, "{ty}");
    }
}

#[test]
fn shared_arrays_are_encoded_without_a_copy() {
    let array = snapshot(vec![1.5; 1000]);
    let ty = DbrType::new(Family::Time, NativeType::Double);
    let elements = array.value.payload().as_slice().as_ptr();
    for count in [1, 999, 1000] {
        let mut out = Vec::new();
        let shared = array.encode_shared(ty, count, &mut out).unwrap();
        let shared = shared.expect("no copy");
        assert_eq!((out.len(), shared.len()), (16, 8 * count as usize));
        assert_eq!(shared.as_ptr(), elements);
    }
    // Zeros behind the value, another type, a string type: a copy.
    let single = DbrType::new(Family::Time, NativeType::Float);
    for (ty, count) in [(ty, 1001), (single, 1000), (DbrType::CLASS_NAME, 3)] {
        let mut out = Vec::new();
        assert_eq!(array.encode_shared(ty, count, &mut out), Ok(None));
        assert_eq!(out, payload(&array, ty, count)[..out.len()]);
        assert_eq!(out.len() as u64, ty.size(count));
    }
}

/// Texts may come from a peer with junk behind the NUL, or without NUL.
#[test]
fn shared_texts_are_copied_to_be_clean() {
    let texts = Value::from_wire(NativeType::String, vec![b'x'; 80].into());
    assert!(texts.payload().shared().is_some());
    let mut out = Vec::new();
    let shared = snapshot(texts).encode_shared(DbrType(0), 2, &mut out);
    assert_eq!(shared, Ok(None));
    assert_eq!((out[38], out[39], out[79]), (b'x', 0, 0));
}

/// Calls everything; only panics are of interest.
fn look_at(reading: &Reading) -> usize {
    let mut seen = reading.payload().as_slice().len() + reading.value_bytes().len();
    seen += usize::from(reading.alarm().is_some() && reading.timestamp().is_some());
    seen += reading.units().map_or(0, |u| u.to_string().len());
    seen += usize::from(reading.precision().is_some() && reading.limits().is_some());
    seen += reading.states().map_or(0, |s| s.len());
    seen += usize::from(reading.acknowledge().is_some());
    seen += reading.to_f64s().map_or(0, |v| v.len());
    seen += reading.to_vec::<i16>().map_or(0, |v| v.len());
    seen += reading.long_string().map_or(0, |s| s.len());
    seen += reading.enum_label().map_or(0, |s| s.len());
    for index in [
        0,
        1,
        reading.count().wrapping_sub(1),
        reading.count(),
        u32::MAX,
    ] {
        seen += reading.string(index).map_or(0, |s| s.len());
        seen += usize::from(reading.get_f64(index).is_some());
        seen += usize::from(reading.get::<f64>(index).is_some());
    }
    seen + reading.to_string().len() + format!("{reading:?}").len()
}

proptest! {
    #[test]
    fn any_payload_can_be_looked_at(
        ty in 0u16..42,
        count in prop_oneof![0u32..8, any::<u32>()],
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..120),
            prop::collection::vec(any::<u8>(), 415..520),
        ],
        owned in any::<bool>(),
    ) {
        let bytes = payload.clone().into();
        let frame = match owned {
            true => Frame::owned(header(), bytes),
            false => Frame::new(header(), &payload),
        };
        let ty = DbrType(ty);
        match Reading::from_frame(ty, count, &frame) {
            Ok(reading) => {
                look_at(&reading);
                prop_assert!(reading.payload().as_slice().len() <= payload.len());
                let whole = reading.to_f64s().is_none_or(|v| v.len() == count as usize);
                prop_assert!(whole);
                prop_assert_eq!(reading.strings().count(), count as usize);
            }
            Err(ReadingError::UnknownType(_)) => prop_assert!(!ty.is_valid()),
            Err(_) => prop_assert!(ty.size(count) > payload.len() as u64),
        }
    }
}
