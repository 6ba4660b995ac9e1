//! Conversions on read and on write, as in `dbConvert.c` and `dbChannel_put` of EPICS Base.

// The values are those of the tables.
#![allow(clippy::approx_constant)]

use std::sync::Arc;

use ca_proto::dbr::convert::{put_value, write};
use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{
    Acknowledge, ConvertError, DbrType, Element, EnumStates, Family, Metadata, NativeType, NoState,
    PutValue, Snapshot, Value, ValueRef,
};
use ca_proto::{Alarm, AlarmSeverity, Timestamp};
use proptest::prelude::*;

use NativeType::{Char, Double, Enum, Float, Long, Short, String as Text};

fn snapshot(value: impl Into<Value>, meta: Metadata) -> Snapshot {
    Snapshot {
        value: value.into(),
        alarm: Alarm::NONE,
        stamp: Timestamp::UNDEFINED,
        ack: Acknowledge::default(),
        meta: Arc::new(meta),
    }
}

/// The elements as a client gets them.
fn read_as(snapshot: &Snapshot, to: NativeType, count: u32) -> Result<Value, ConvertError> {
    let mut out = Vec::new();
    snapshot.encode(DbrType::new(Family::Plain, to), count, &mut out)?;
    Ok(Value::from_wire(to, out.into()))
}

fn read<T: Element>(value: impl Into<Value>) -> Result<T, ConvertError> {
    let value = read_as(&snapshot(value, Metadata::default()), T::NATIVE, 1)?;
    Ok(value.as_ref().elements().unwrap().next().unwrap())
}

fn read_text(value: impl Into<Value>, meta: Metadata) -> String {
    let value = read_as(&snapshot(value, meta), Text, 1).unwrap();
    String::from_utf8(value.as_ref().string(0).unwrap().to_vec()).unwrap()
}

fn digits(precision: i16) -> Metadata {
    Metadata {
        precision,
        ..Metadata::default()
    }
}

/// An enum whose states without texts read as this text, from the number on.
fn states((text, from): (&'static str, u16), texts: &[&str]) -> Metadata {
    Metadata {
        no_state: NoState {
            text: text.as_bytes(),
            from,
        },
        states: EnumStates::new(texts),
        ..Metadata::default()
    }
}

/// The field's value after a client wrote `value`.
fn put(value: impl Into<Value>, to: NativeType) -> Result<Value, ConvertError> {
    write(value.into().as_ref(), to, &Metadata::default())
}

fn put_text<T: Element>(text: &str) -> Result<T, ConvertError> {
    let value = put(text, T::NATIVE)?;
    Ok(value.as_ref().elements().unwrap().next().unwrap())
}

mod on_read {
    use super::*;

    #[test]
    fn integers_keep_their_low_bits() {
        assert_eq!(read::<i16>(0x1_2345), Ok(0x2345));
        assert_eq!(read::<i16>(0x1_8000), Ok(i16::MIN));
        assert_eq!(read::<u8>(-1_i32), Ok(0xff));
        assert_eq!(read::<u8>(0x1234_i16), Ok(0x34));
        assert_eq!(read::<EnumIndex>(-2_i16), Ok(EnumIndex(0xfffe)));
        // Bytes have no sign.
        assert_eq!(read::<i32>(0xff_u8), Ok(255));
        assert_eq!(read::<i16>(0x80_u8), Ok(128));
        assert_eq!(read::<i32>(-128_i16), Ok(-128));
        assert_eq!(read::<i16>(EnumIndex(0xffff)), Ok(-1));
        assert_eq!(read::<f64>(i32::MIN), Ok(-2_147_483_648.0));
        assert_eq!(read::<f32>(16_777_217), Ok(16_777_216.0));
    }

    /// D13: the result for numbers out of range is ours.
    #[test]
    fn reals_are_cut_towards_zero_and_saturate() {
        assert_eq!(read::<i32>(3.99), Ok(3));
        assert_eq!(read::<i32>(-3.99), Ok(-3));
        assert_eq!(read::<i16>(-3.99_f32), Ok(-3));
        assert_eq!(read::<i16>(9_999_999.99), Ok(i16::MAX));
        assert_eq!(read::<i32>(-1e17), Ok(i32::MIN));
        assert_eq!(read::<i32>(f64::NAN), Ok(i32::MIN));
        assert_eq!(read::<i32>(f32::NAN), Ok(i32::MIN));
        assert_eq!(read::<i16>(f64::NAN), Ok(0));
        assert_eq!(read::<u8>(f64::NAN), Ok(0));
        assert_eq!(read::<EnumIndex>(f64::NAN), Ok(EnumIndex(0)));
        assert_eq!(read::<EnumIndex>(-1e9), Ok(EnumIndex(0x8000)));
        assert_eq!(read::<EnumIndex>(1e9), Ok(EnumIndex(u16::MAX)));
    }

    /// -10 as a byte is 0xf6, as a byte has no sign of its own.
    #[test]
    fn reals_as_bytes_have_both_ranges() {
        for (real, byte) in [
            (-10.0, 0xf6),
            (-0.9, 0),
            (200.9, 200),
            (1e9, 255),
            (-1e9, 128),
        ] {
            assert_eq!(read::<u8>(real), Ok(byte), "{real}");
        }
    }

    /// Verified on the wire: -2.75 as ENUM is 0xfffe.
    #[test]
    fn reals_as_states_have_both_ranges() {
        for (real, state) in [(-2.75, 0xfffe), (-0.9, 0), (3.9, 3), (65_535.0, 0xffff)] {
            assert_eq!(read::<EnumIndex>(real), Ok(EnumIndex(state)), "{real}");
        }
    }

    #[test]
    fn doubles_are_clamped_to_the_range_of_floats() {
        let table = [
            (1e300, f32::MAX),
            (-1e300, f32::MIN),
            (1e-300, f32::MIN_POSITIVE),
            (-1e-300, -f32::MIN_POSITIVE),
            (0.0, 0.0),
            (f64::INFINITY, f32::INFINITY),
            (0.1, 0.1),
        ];
        for (double, float) in table {
            assert_eq!(read::<f32>(double), Ok(float), "{double}");
        }
        assert!(read::<f32>(f64::NAN).unwrap().is_nan());
        assert!(read::<f32>(-0.0_f64).unwrap().is_sign_negative());
    }

    #[test]
    fn integers_as_texts_are_decimal() {
        assert_eq!(read_text(-32768_i16, digits(3)), "-32768");
        assert_eq!(read_text(97_u8, digits(3)), "97");
        assert_eq!(read_text(i32::MIN, digits(3)), "-2147483648");
    }

    #[test]
    fn reals_as_texts_have_the_precision_of_the_field() {
        let table: [(f64, [&str; 3]); 10] = [
            (0.5, ["1", "0.500", " 5.000000000e-01"]),
            (2.5, ["3", "2.500", " 2.500000000e+00"]),
            (0.9995, ["1", "1.000", " 9.995000000e-01"]),
            (-3.14159, ["-3", "-3.142", "-3.141590000e+00"]),
            (
                12_345_678.987_65,
                ["12345679", "12345678.988", " 1.234567899e+07"],
            ),
            (
                1e16,
                [
                    "10000000000000000",
                    "10000000000000000.000",
                    " 1.000000000e+16",
                ],
            ),
            (1.1e16, ["  1e+16", " 1.100e+16", " 1.100000000e+16"]),
            (1e300, [" 1e+300", "1.000e+300", "1.000000000e+300"]),
            (f64::NAN, ["nan", "nan", "             nan"]),
            (f64::INFINITY, ["    inf", "       inf", "             inf"]),
        ];
        for (v, texts) in table {
            for (precision, text) in [0, 3, 9].into_iter().zip(texts) {
                assert_eq!(read_text(v, digits(precision)), text, "{v} P={precision}");
            }
        }
        // A float has exponent form from 10^8 on.
        assert_eq!(read_text(1e8_f32, digits(3)), "1.000e+08");
        assert_eq!(read_text(1e8_f64, digits(3)), "100000000.000");
    }

    #[test]
    fn enums_as_texts_are_the_texts_of_their_states() {
        let text =
            |state, no_state, texts: &[&str]| read_text(EnumIndex(state), states(no_state, texts));
        let (binary, multi) = (("Illegal_Value", 0), ("Illegal Value", 16));
        assert_eq!(text(1, binary, &["Off", "On"]), "On");
        assert_eq!(text(5, binary, &["Off", "On"]), "Illegal_Value");
        assert_eq!(text(15, multi, &["A", "B", "C"]), "");
        assert_eq!(text(16, multi, &["A", "B", "C"]), "Illegal Value");
        assert_eq!(text(2, ("", 0), &["A"]), "");
    }

    #[test]
    fn enum_arrays_have_no_texts() {
        let array = snapshot(
            [EnumIndex(0), EnumIndex(1)],
            states(("", 0), &["Off", "On"]),
        );
        assert_eq!(read_as(&array, Text, 2), Err(ConvertError::Unsupported));
        assert_eq!(read_as(&array, Text, 1), Err(ConvertError::Unsupported));
        let mut out = Vec::new();
        let stsack = array.encode(DbrType::STSACK_STRING, 1, &mut out);
        assert_eq!(stsack, Err(ConvertError::Unsupported));
        // One element with zeros behind is no array.
        let scalar = snapshot(EnumIndex(1), states(("", 0), &["Off", "On"]));
        let texts = read_as(&scalar, Text, 2).unwrap();
        assert_eq!(texts.as_ref().string(0), Some(&b"On"[..]));
        assert_eq!(texts.as_ref().string(1), Some(&b""[..]));
    }

    #[test]
    fn enums_as_numbers_are_their_states() {
        assert_eq!(read::<f64>(EnumIndex(65535)), Ok(65535.0));
        assert_eq!(read::<i32>(EnumIndex(65535)), Ok(65535));
    }

    #[test]
    fn texts_are_parsed_when_they_are_read() {
        assert_eq!(read::<i32>("12abc"), Ok(12));
        assert_eq!(read::<i16>(" -7"), Ok(-7));
        assert_eq!(read::<u8>("97"), Ok(97));
        assert_eq!(read::<f64>("1.5 V"), Ok(1.5));
        assert_eq!(read::<f32>("1.5 V"), Ok(1.5));
        assert_eq!(read::<f64>(""), Ok(0.0));
        assert_eq!(read::<i32>("twelve"), Err(ConvertError::NotANumber));
        assert_eq!(read::<i16>("40000"), Err(ConvertError::OutOfRange));
        assert_eq!(read::<EnumIndex>("1"), Err(ConvertError::Unsupported));
    }

    #[test]
    fn one_bad_text_fails_the_read_only_if_it_is_asked_for() {
        let array = snapshot(Value::strings(&["1", "2", "x"]), Metadata::default());
        assert_eq!(read_as(&array, Long, 2), Ok(Value::array(&[1_i32, 2])));
        assert_eq!(read_as(&array, Long, 3), Err(ConvertError::NotANumber));
        let empty = snapshot(Value::strings(&["1", ""]), Metadata::default());
        assert_eq!(read_as(&empty, Long, 2), Err(ConvertError::NotANumber));
    }

    /// At most 39 characters, and zeros behind the NUL (D7).
    #[test]
    fn texts_are_terminated_and_followed_by_zeros() {
        let full = Value::from_wire(Text, vec![b'x'; 40].into());
        let sent = read_as(&snapshot(full, Metadata::default()), Text, 1).unwrap();
        assert_eq!(sent.as_ref().string(0), Some(&[b'x'; 39][..]));
        let mut junk = vec![b'j'; 40];
        junk[1] = 0;
        let junk = Value::from_wire(Text, junk.into());
        let sent = read_as(&snapshot(junk, Metadata::default()), Text, 1).unwrap();
        let mut wanted = [0; 40];
        wanted[0] = b'j';
        assert_eq!(sent.payload().as_slice(), wanted);
    }

    /// Types 35 and 36 are write-only, codes end at 38.
    #[test]
    fn types_that_cannot_be_read_fail() {
        let mut out = Vec::new();
        let one = snapshot(1.0, Metadata::default());
        for ty in [DbrType::PUT_ACKT, DbrType::PUT_ACKS] {
            let result = one.encode(ty, 1, &mut out);
            assert_eq!(result, Err(ConvertError::WrongDirection));
            let result = one.encode_shared(ty, 1, &mut out);
            assert_eq!(result, Err(ConvertError::WrongDirection));
        }
        let result = one.encode(DbrType(39), 1, &mut out);
        assert_eq!(result, Err(ConvertError::Unsupported));
        assert_eq!(out, []);
    }

    /// Read rows.
    #[test]
    fn counts_cut_the_value_or_fill_it_with_zeros() {
        let scalar = snapshot(42_i32, Metadata::default());
        assert_eq!(read_as(&scalar, Long, 3), Ok(Value::array(&[42, 0, 0])));
        assert_eq!(read_as(&scalar, Double, 2), Ok(Value::array(&[42.0, 0.0])));
        assert_eq!(read_as(&scalar, Long, 0), Ok(Value::empty(Long)));
        let array = snapshot([1_i16, 2, 3], Metadata::default());
        assert_eq!(read_as(&array, Short, 2), Ok(Value::array(&[1_i16, 2])));
        assert_eq!(
            read_as(&array, Char, 5),
            Ok(Value::array(&[1_u8, 2, 3, 0, 0]))
        );
        let texts = read_as(&array, Text, 4).unwrap();
        assert_eq!(texts, Value::strings(&["1", "2", "3", ""]));
        let mut out = Vec::new();
        snapshot(Value::empty(Double), Metadata::default())
            .encode(DbrType::new(Family::Time, Double), 0, &mut out)
            .unwrap();
        assert_eq!(out.len(), 16);
    }
}

mod on_write {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_start_of_texts() {
        assert_eq!(put_text::<i32>("12abc"), Ok(12));
        assert_eq!(put_text::<f64>("1.5 V"), Ok(1.5));
        assert_eq!(put_text::<i32>(" \t12"), Ok(12));
        // EPICS 7.0.10 knows base prefixes, unlike the version that 4.8 was written from.
        assert_eq!(put_text::<i32>("0x10"), Ok(16));
        assert_eq!(put_text::<i16>("1.6e1"), Ok(1));
        assert_eq!(put_text::<u8>("0x10"), Ok(16));
        assert_eq!(put_text::<u8>("-1"), Ok(255));
        assert_eq!(put_text::<f64>("0x10"), Ok(16.0));
        assert_eq!(put_text::<f64>("inf"), Ok(f64::INFINITY));
        assert!(put_text::<f64>("nan").unwrap().is_nan());
    }

    #[test]
    fn texts_without_a_number_of_the_type_fail() {
        assert_eq!(put_text::<i32>("abc"), Err(ConvertError::NotANumber));
        assert_eq!(put_text::<f64>("abc"), Err(ConvertError::NotANumber));
        assert_eq!(put_text::<i16>("32768"), Err(ConvertError::OutOfRange));
        assert_eq!(put_text::<i32>("2147483648"), Err(ConvertError::OutOfRange));
        assert_eq!(put_text::<u8>("256"), Err(ConvertError::OutOfRange));
        assert_eq!(put_text::<f64>("1e999"), Err(ConvertError::OutOfRange));
        assert_eq!(put_text::<f64>("1e-999"), Err(ConvertError::OutOfRange));
        assert_eq!(put_text::<f32>("1e39"), Err(ConvertError::OutOfRange));
    }

    #[test]
    fn an_empty_text_is_zero_unless_it_is_one_of_many() {
        for to in [Short, Float, Char, Long, Double] {
            let zero = put("", to).unwrap();
            assert!(zero.payload().as_slice().iter().all(|&b| b == 0), "{to}");
            assert_eq!(zero.count(), 1);
            let many = put(Value::strings(&["1", ""]), to);
            assert_eq!(many, Err(ConvertError::NotANumber), "{to}");
        }
    }

    #[test]
    fn texts_select_a_state_by_name_or_number() {
        let meta = states(("", 0), &["Off", "On"]);
        let put = |text: &str| write(Value::from(text).as_ref(), Enum, &meta);
        assert_eq!(put("On"), Ok(Value::scalar(EnumIndex(1))));
        assert_eq!(put("0"), Ok(Value::scalar(EnumIndex(0))));
        for text in ["on", "2", ""] {
            assert_eq!(put(text), Err(ConvertError::UnknownState), "{text:?}");
        }
    }

    #[test]
    fn numbers_select_a_state_unchecked() {
        let meta = states(("", 0), &["Off", "On"]);
        for value in [
            Value::from(5_i32),
            Value::from(5.9),
            Value::from(5_u8),
            Value::from(EnumIndex(5)),
        ] {
            let stored = write(value.as_ref(), Enum, &meta);
            assert_eq!(stored, Ok(Value::scalar(EnumIndex(5))), "{value:?}");
        }
    }

    #[test]
    fn numbers_become_texts_with_six_digits_for_reals() {
        assert_eq!(put(1.25, Text), Ok(Value::from("1.250000")));
        assert_eq!(put(1.25_f32, Text), Ok(Value::from("1.250000")));
        assert_eq!(put(-12_i32, Text), Ok(Value::from("-12")));
        assert_eq!(put(97_u8, Text), Ok(Value::from("97")));
        assert_eq!(put(EnumIndex(1), Text), Ok(Value::from("1")));
    }

    #[test]
    fn narrowing_is_that_of_reads() {
        assert_eq!(put(3.99, Long), Ok(Value::from(3_i32)));
        assert_eq!(put(-3.99, Short), Ok(Value::from(-3_i16)));
        assert_eq!(put(0x1_2345_i32, Short), Ok(Value::from(0x2345_i16)));
        assert_eq!(put(1e300, Float), Ok(Value::from(f32::MAX)));
    }

    /// Write rows: a field takes what it has room for; nothing gives an empty array.
    #[test]
    fn counts_of_writes_are_kept_or_cut_by_the_field() {
        let array = Value::from([1_i32, 2, 3]);
        let cut = write(array.as_ref().truncated(2), Double, &Metadata::default());
        assert_eq!(cut, Ok(Value::from([1.0, 2.0])));
        let whole = write(array.as_ref().truncated(9), Double, &Metadata::default());
        assert_eq!(whole, Ok(Value::from([1.0, 2.0, 3.0])));
        assert_eq!(put(Value::empty(Long), Double), Ok(Value::empty(Double)));
        let first = ValueRef {
            count: 1,
            ..array.as_ref()
        };
        for to in [Long, Double] {
            let stored = write(first, to, &Metadata::default()).unwrap();
            assert_eq!((stored.count(), stored.as_ref().held()), (1, 1));
            assert_eq!(stored.payload().as_slice().len(), to.size());
        }
        let many = vec![7_i16; 1000];
        assert_eq!(put(many, Char), Ok(Value::array(&[7_u8; 1000])));
    }
}

mod payloads_of_writes {
    use super::*;

    fn value(ty: u16, count: u32, payload: &[u8]) -> Result<ValueRef<'_>, ConvertError> {
        match put_value(DbrType(ty), count, payload)? {
            PutValue::Value(value) => Ok(value),
            other => panic!("{other:?} is no value"),
        }
    }

    #[test]
    fn structures_give_their_value_and_nothing_else() {
        let meta = states(("", 0), &["Off", "On"]);
        for native in NativeType::ALL {
            let plain = write(Value::from([1_i32, 0]).as_ref(), native, &meta).unwrap();
            let stored = snapshot(plain.clone(), meta.clone());
            for family in Family::ALL {
                if (family, native) == (Family::Plain, Text) {
                    continue;
                }
                let ty = DbrType::new(family, native);
                let mut payload = Vec::new();
                stored.encode(ty, 2, &mut payload).unwrap();
                payload.extend([0xaa; 8]);
                let cut = value(ty.0, 2, &payload).unwrap();
                assert_eq!(cut, plain.as_ref(), "{ty}");
                assert_eq!(
                    cut.data.len(),
                    2 * native.size(),
                    "the padding is left out of {ty}"
                );
            }
        }
    }

    /// D1, D3.
    #[test]
    fn payloads_shorter_than_their_count_are_refused() {
        let short = Err(ConvertError::ShortPayload);
        assert_eq!(value(6, 2, &[0; 15]), short);
        assert!(value(6, 2, &[0; 16]).is_ok());
        assert_eq!(value(20, 1, &[0; 16]), short);
        assert_eq!(value(6, 0x2000_0000, &[0; 16]), short);
        assert_eq!(value(0, u32::MAX, &[0; 80]), short);
        assert_eq!(value(27, 0, &[0; 16]), short);
        assert!(value(6, 0, &[]).is_ok());
    }

    /// The reference client sends strlen + 1 bytes, padded to 8.
    #[test]
    fn the_last_string_may_be_short() {
        let one = value(0, 1, b"12\0\0\0\0\0\0").unwrap();
        assert_eq!(one.string(0), Some(&b"12"[..]));
        assert_eq!(write(one, Long, &Metadata::default()), Ok(12_i32.into()));
        let mut two = vec![0; 40];
        two[0] = b'a';
        two.extend(b"bcd\0\0\0\0\0");
        let two = value(0, 2, &two).unwrap();
        let stored = write(two, Text, &Metadata::default());
        assert_eq!(stored, Ok(Value::strings(&["a", "bcd"])));
        // Not a byte of the second string.
        assert_eq!(value(0, 2, &[b'a'; 40]), Err(ConvertError::ShortPayload));
        assert_eq!(value(0, 1, &[]), Err(ConvertError::ShortPayload));
        // 9, trap 38: more than 40 bytes, cut at 39 characters.
        let long = value(0, 1, &[b'x'; 48]).unwrap();
        let stored = write(long, Text, &Metadata::default()).unwrap();
        assert_eq!(stored.as_ref().string(0), Some(&[b'x'; 39][..]));
    }

    #[test]
    fn acknowledgements_are_one_word() {
        let ackt = |word: &'static [u8]| put_value(DbrType::PUT_ACKT, 1, word);
        assert_eq!(
            ackt(&[0, 0, 0, 0, 0, 0, 0, 0]),
            Ok(PutValue::AckTransient(false))
        );
        assert_eq!(ackt(&[0, 1]), Ok(PutValue::AckTransient(true)));
        assert_eq!(ackt(&[0]), Err(ConvertError::ShortPayload));
        assert_eq!(
            put_value(DbrType::PUT_ACKS, 1, &[0, 2, 0, 0]),
            Ok(PutValue::AckSeverity(AlarmSeverity::MAJOR))
        );
        assert_eq!(
            put_value(DbrType::PUT_ACKS, 0, &[]),
            Err(ConvertError::ShortPayload)
        );
    }

    #[test]
    fn types_that_cannot_be_written_fail() {
        for ty in [37, 38] {
            assert_eq!(value(ty, 1, &[0; 48]), Err(ConvertError::WrongDirection));
        }
        assert_eq!(value(39, 1, &[0; 48]), Err(ConvertError::Unsupported));
    }
}

fn native() -> impl Strategy<Value = NativeType> {
    prop::sample::select(NativeType::ALL.to_vec())
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    // Texts that come close to numbers.
    let like_numbers = "[ \t]{0,2}[-+]{0,2}(0x)?[0-9a-f.]{0,12}(e[-+]?[0-9]{0,4})?";
    let text = like_numbers.prop_map(String::into_bytes);
    prop_oneof![text, prop::collection::vec(any::<u8>(), 0..90)]
}

proptest! {
    #[test]
    fn writing_any_payload_never_panics(
        ty in 0u16..42,
        count in prop_oneof![0u32..8, any::<u32>()],
        payload in texts(),
        to in native(),
        precision in any::<i16>(),
        no_state in prop::sample::select(vec![("", 0), ("Illegal_Value", 0), ("Illegal Value", 16)]),
    ) {
        let meta = Metadata { precision, ..states(no_state, &["Off", "On", "4"]) };
        let Ok(PutValue::Value(value)) = put_value(DbrType(ty), count, &payload) else {
            return Ok(());
        };
        prop_assert_eq!(value.held(), count);
        if let Ok(stored) = write(value, to, &meta) {
            prop_assert_eq!(stored.count(), count);
            prop_assert_eq!(stored.payload().as_slice().len(), count as usize * to.size());
        }
    }

    #[test]
    fn reading_any_value_gives_exactly_the_size_or_fails(
        from in native(),
        data in texts(),
        ty in 0u16..42,
        count in 0u32..12,
        precision in any::<i16>(),
        no_state in prop::sample::select(vec![("", 0), ("Illegal_Value", 0), ("Illegal Value", 16)]),
    ) {
        let meta = Metadata { precision, ..states(no_state, &["Off", "On"]) };
        // A value that is cut out of a payload may end within its last string.
        let count_in = data.len().div_ceil(from.size()) as u32;
        let value = ValueRef { native: from, count: count_in, data: &data }.to_value();
        let snapshot = snapshot(value, meta);
        let (mut plain, mut meta) = (Vec::new(), Vec::new());
        let result = snapshot.encode(DbrType(ty), count, &mut plain);
        let shared = snapshot.encode_shared(DbrType(ty), count, &mut meta);
        prop_assert_eq!(shared.as_ref().map(|_| ()).map_err(|&e| e), result);
        if let Ok(rest) = shared {
            meta.extend(rest.unwrap_or_default());
            prop_assert_eq!(plain.len() as u64, DbrType(ty).size(count));
            prop_assert_eq!(plain, meta);
        }
    }

    /// Every native type is exact in a wider one.
    #[test]
    fn widening_and_back_changes_nothing(
        from in native(),
        data in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assume!(!matches!(from, Text | Double | Float));
        let value = Value::from_wire(from, data.into());
        let meta = Metadata::default();
        for wide in [Double, Long] {
            let there = write(value.as_ref(), wide, &meta).unwrap();
            let back = write(there.as_ref(), from, &meta).unwrap();
            let whole = value.count() as usize * from.size();
            prop_assert_eq!(back.payload().as_slice(), &value.payload().as_slice()[..whole]);
        }
    }
}

/// A large put is kept as the slice of the buffer it came in when that is mostly its value and needs no
/// conversion; else it is copied, so that a small value keeps no large buffer alive.
#[test]
fn a_large_value_is_kept_in_its_buffer() {
    let array = Value::array(&[1.5f64; 100]);
    let mut wire = vec![0; 16];
    wire.extend_from_slice(array.payload().as_slice());
    let buffer = bytes::Bytes::from(wire);
    let meta = Metadata::default();
    let write = |range: std::ops::Range<usize>, to| {
        let count = (range.len() / 8) as u32;
        let put = put_value(DbrType::new(Family::Plain, Double), count, &buffer[range]);
        let Ok(PutValue::Value(value)) = put else {
            panic!("{put:?}");
        };
        let from = Some(&buffer);
        ca_proto::dbr::convert::write_from(from, value, to, &meta).unwrap()
    };
    let lies_in = |value: &Value| {
        let data = value.payload().as_slice();
        buffer.as_ptr_range().contains(&data.as_ptr())
    };
    let whole = write(16..816, Double);
    assert!(lies_in(&whole) && whole == array);
    let small_part = write(16..176, Double);
    assert!(!lies_in(&small_part) && small_part.count() == 20);
    let converted = write(16..816, Float);
    assert!(!lies_in(&converted) && converted == Value::array(&[1.5f32; 100]));
}

/// Only a scalar takes over a scalar in place, and only one of its own type.
#[test]
fn scalars_are_taken_over_in_place() {
    let mut value = Value::from(1.5);
    assert!(value.set_scalar(Value::from(2.5).as_ref()));
    assert_eq!(value, 2.5.into());
    for other in [
        Value::from(3),
        Value::array(&[3.5, 4.5]),
        Value::empty(Double),
        Value::string("3.5"),
    ] {
        assert!(!value.set_scalar(other.as_ref()), "{other:?}");
    }
    assert_eq!(value, 2.5.into());
    let mut text = Value::string("a");
    assert!(!text.set_scalar(Value::string("b").as_ref()));
}

/// A long string (`dbChannel_put` of EPICS Base) of which fewer bytes are asked for than it has is cut before its
/// NUL, so that its buffer cannot be sent as it is.
#[test]
fn a_long_string_that_is_cut_ends_with_a_nul() {
    let text = vec![b'x'; 9000];
    let meta = Metadata {
        long_string: true,
        ..Metadata::default()
    };
    let state = snapshot(text, meta);
    let ty = DbrType::new(Family::Plain, Char);
    let whole = |count| {
        let mut out = Vec::new();
        let shared = state.encode_shared(ty, count, &mut out).unwrap();
        (out, shared)
    };
    let (out, shared) = whole(9000);
    assert_eq!(
        (out.len(), shared.map(|bytes| bytes.len())),
        (0, Some(9000))
    );
    let (out, shared) = whole(8000);
    assert!(shared.is_none());
    assert_eq!((out.len(), out[7998], out[7999]), (8000, b'x', 0));
}
