//! Text to numbers as the reference server converts it (`dbConvert.c` of EPICS Base).

use ca_proto::text::parse::*;
use proptest::prelude::*;

use ParseNumberError::{NoDigits, OutOfRange, Underflow};

#[test]
fn white_space_is_skipped_and_trailing_text_ignored() {
    assert_eq!(parse_i32(b"12abc"), Ok(12));
    assert_eq!(parse_i32(b" \t\n\x0b\x0c\r12"), Ok(12));
    assert_eq!(parse_f64(b"1.5 V"), Ok(1.5));
    assert_eq!(parse_i16(b"7\0junk"), Ok(7));
}

#[test]
fn an_empty_text_is_zero_and_a_text_without_digits_fails() {
    assert_eq!(parse_i32(b""), Ok(0));
    assert_eq!(parse_u32(b""), Ok(0));
    assert_eq!(parse_f64(b"\0"), Ok(0.0));
    for text in [&b"  "[..], b"x", b"-", b"+-5", b"- 5", b".", b"-.e3"] {
        assert_eq!(parse_i32(text), Err(NoDigits));
        assert_eq!(parse_u32(text), Err(NoDigits));
        assert_eq!(parse_u64(text), Err(NoDigits));
        assert_eq!(parse_f64(text), Err(NoDigits));
    }
}

#[test]
fn signed_integers_have_a_base_prefix_and_are_range_checked() {
    // The prefixes: EPICS 7.0.10, seen on the wire; see PROTOCOL.md.
    assert_eq!(parse_i32(b"0x10"), Ok(16));
    assert_eq!(parse_i16(b" -0x1F"), Ok(-31));
    assert_eq!(parse_i32(b"1.6e1"), Ok(1));
    assert_eq!(parse_i32(b"010"), Ok(8));
    assert_eq!(parse_i32(b"08"), Ok(0));
    assert_eq!(parse_i8(b"-128"), Ok(-128));
    assert_eq!(parse_i8(b"-129"), Err(OutOfRange));
    assert_eq!(parse_i16(b"32767"), Ok(32767));
    assert_eq!(parse_i16(b"32768"), Err(OutOfRange));
    assert_eq!(parse_i32(b"-2147483648"), Ok(i32::MIN));
    assert_eq!(parse_i32(b"2147483648"), Err(OutOfRange));
    assert_eq!(parse_i64(b"-9223372036854775808"), Ok(i64::MIN));
    assert_eq!(parse_i64(b"9223372036854775808"), Err(OutOfRange));
    assert_eq!(parse_signed(b" -0x11", Base::Prefix), Ok(-17));
}

#[test]
fn unsigned_integers_wrap_small_negative_numbers() {
    assert_eq!(parse_u8(b"-1"), Ok(255));
    assert_eq!(parse_u8(b"-255"), Ok(1));
    assert_eq!(parse_u8(b"-256"), Err(OutOfRange));
    assert_eq!(parse_u8(b"256"), Err(OutOfRange));
    assert_eq!(parse_u16(b"-65535"), Ok(1));
    assert_eq!(parse_u16(b"-65536"), Err(OutOfRange));
    assert_eq!(parse_u16(b"65536"), Err(OutOfRange));
    assert_eq!(parse_u16(b"0x10"), Ok(16));
    assert_eq!(parse_u8(b"-0x10"), Ok(240));
    assert_eq!(parse_u32(b"-1"), Ok(u32::MAX));
    assert_eq!(parse_u32(b"-4294967296"), Err(OutOfRange));
    assert_eq!(parse_u32(b"4294967296"), Err(OutOfRange));
    assert_eq!(parse_u64(b"-1"), Ok(u64::MAX));
    assert_eq!(parse_u64(b"18446744073709551616"), Err(OutOfRange));
}

#[test]
fn unsigned_32_reads_a_real_number() {
    assert_eq!(parse_u32(b"1.6e1"), Ok(16));
    assert_eq!(parse_u32(b"2e0"), Ok(2));
    assert_eq!(parse_u32(b"6.7V"), Ok(6));
    assert_eq!(parse_u32(b"+.25e1"), Ok(2));
    assert_eq!(parse_u32(b"1.6e"), Ok(1));
    assert_eq!(parse_u32(b"-0.5"), Ok(0));
    assert_eq!(parse_u32(b"4294967295.5"), Ok(u32::MAX));
    assert_eq!(parse_u32(b"5e9"), Err(OutOfRange));
    assert_eq!(parse_u32(b"-1.5"), Err(OutOfRange));
    assert_eq!(parse_u32(b"nan"), Ok(0));
    assert_eq!(parse_u32(b"0x10"), Ok(16));
    assert_eq!(parse_u32(b"0x1f"), Ok(31));
}

#[test]
fn unsigned_64_knows_base_prefixes() {
    assert_eq!(parse_u64(b"0x10"), Ok(16));
    assert_eq!(parse_u64(b"-0X1f"), Ok(u64::MAX - 30));
    assert_eq!(parse_u64(b"010"), Ok(8));
    assert_eq!(parse_u64(b"08"), Ok(0));
    assert_eq!(parse_u64(b"0x"), Ok(0));
    assert_eq!(parse_u64(b"0xg"), Ok(0));
}

#[test]
fn doubles_follow_the_grammar_of_strtod() {
    // Lengths and values are results of epicsParseDouble.
    for (text, value, len) in [
        ("1e3", 1e3, 3),
        (".5", 0.5, 2),
        ("5.", 5.0, 2),
        ("1e", 1.0, 1),
        ("1e+", 1.0, 1),
        ("+.5e-3q", 0.0005, 6),
        ("1_0", 1.0, 1),
        ("1,5", 1.0, 1),
        ("-0", -0.0, 2),
        ("0e999999999999", 0.0, 14),
        ("inf", f64::INFINITY, 3),
        ("-Infinity", f64::NEG_INFINITY, 9),
        ("infinit", f64::INFINITY, 3),
        ("0x10", 16.0, 4),
        ("0x.8", 0.5, 4),
        ("0x", 0.0, 1),
        ("0x.", 0.0, 1),
        ("0x1p", 1.0, 3),
        ("0x1p+", 1.0, 3),
        (" -0X1.8P1z", -3.0, 9),
        ("0x0p99999999999999999999", 0.0, 24),
        ("0x1fffffffffffff", 9007199254740991.0, 16),
        ("0x20000000000001", 9007199254740992.0, 16),
        ("0x20000000000003", 9007199254740996.0, 16),
        (
            "0x2000000000000100000000001p0",
            158456325028528710371459989504.0,
            29,
        ),
        ("0x1.fffffffffffffp1023", f64::MAX, 22),
        ("0x1p-1074", 5e-324, 9),
        ("0x1p-1022", f64::MIN_POSITIVE, 9),
    ] {
        let (got, read) = strtod(text.as_bytes()).unwrap();
        assert_eq!(got.to_bits(), value.to_bits(), "{text}");
        assert_eq!(read, len, "{text}");
    }
    for (text, len) in [
        ("nan", 3),
        ("NaN(12)", 7),
        ("nan(", 3),
        ("nan(a-)", 3),
        ("-nan", 4),
    ] {
        let (got, read) = strtod(text.as_bytes()).unwrap();
        assert!(got.is_nan());
        assert_eq!(read, len, "{text}");
    }
}

#[test]
fn overflow_and_underflow_fail() {
    for text in ["1e999", "-1e309", "0x1p1024", "0x1.fffffffffffff8p1023"] {
        assert_eq!(parse_f64(text.as_bytes()), Err(OutOfRange), "{text}");
    }
    for text in [
        "1e-999",
        "1e-310",
        "-2e-324",
        "0x1.8p-1074",
        "0x1p-1075",
        "0x1p-99999999999999999999",
    ] {
        assert_eq!(parse_f64(text.as_bytes()), Err(Underflow), "{text}");
    }
}

#[test]
fn floats_must_lie_inside_the_float_range() {
    // Limits as epicsParseFloat has them.
    assert_eq!(parse_f32(b"1e38"), Ok(1e38));
    assert_eq!(parse_f32(b"3.4028234663852886e38"), Err(OutOfRange));
    assert_eq!(parse_f32(b"-1e50"), Err(OutOfRange));
    assert_eq!(parse_f32(b"1.1754943508222875e-38"), Err(Underflow));
    assert_eq!(parse_f32(b"-1e-50"), Err(Underflow));
    assert_eq!(parse_f32(b"-inf"), Ok(f32::NEG_INFINITY));
    assert_eq!(parse_f32(b"0"), Ok(0.0));
    assert!(parse_f32(b"nan").is_ok_and(f32::is_nan));
}

#[test]
fn enum_text_matches_a_state_or_is_its_number() {
    // `dbConvert.c` of EPICS Base; numbers with blanks were tried with dbpf on bo and mbbo records
    let states = || ["Off", "On"].map(str::as_bytes);
    for (text, state) in [
        ("On", Some(1)),
        ("Off", Some(0)),
        ("on", None),
        ("1", Some(1)),
        (" 0 ", Some(0)),
        ("+1", Some(1)),
        ("-0", Some(0)),
        ("00", Some(0)),
        ("2", None),
        ("-1", None),
        ("1abc", None),
        ("1.0", None),
        ("0x1", Some(1)),
        ("08", None),
        ("", None),
        (" ", None),
    ] {
        assert_eq!(match_enum(text.as_bytes(), states()), state, "{text:?}");
    }
    let numeric = ["a", "b", "0"].map(str::as_bytes);
    assert_eq!(match_enum(b"0", numeric), Some(2));
    assert_eq!(match_enum(b"0", [].map(str::as_bytes)), None);
}

proptest! {
    #[test]
    fn any_bytes_parse_without_panic(text: Vec<u8>) {
        let _ = (parse_f64(&text), parse_f32(&text), parse_u32(&text), parse_u64(&text));
        if let Ok((_, len)) = strtod(&text) {
            prop_assert!(len <= text.len());
        }
    }

    #[test]
    fn number_like_texts_parse_as_rust_does(text in "[-+]?[0-9]{1,20}(\\.[0-9]{0,20})?(e[-+]?[0-9]{1,3})?") {
        let rust: f64 = text.parse().unwrap();
        match parse_f64(text.as_bytes()) {
            Ok(value) => prop_assert_eq!(value.to_bits(), rust.to_bits()),
            Err(OutOfRange) => prop_assert!(rust.is_infinite()),
            Err(error) => {
                prop_assert_eq!(error, Underflow);
                prop_assert!(rust.abs() < f64::MIN_POSITIVE);
            }
        }
    }

    #[test]
    fn hexadecimal_numbers_round_trip(bits: u64) {
        let value = f64::from_bits(bits & !(1 << 63));
        prop_assume!(value.is_finite());
        let (mantissa, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
        let text = match exponent {
            0 => format!("0x{mantissa:x}p-1074"),
            _ => format!("0x{:x}p{}", mantissa | 1 << 52, exponent - 1075),
        };
        prop_assert_eq!(parse_f64(text.as_bytes()), Ok(value));
    }
}

/// An integer that no 32 bits hold is told as such, not read as a real number.
#[test]
fn an_unsigned_integer_of_too_many_digits_is_out_of_range() {
    assert_eq!(parse_u32(b"99999999999999999999999"), Err(OutOfRange));
    assert_eq!(parse_u32(b"4294967296"), Err(OutOfRange));
}
