//! Numbers to text as the reference server converts them (`dbConvert.c` of EPICS Base), and escapes.

use ca_proto::text::format::{RealKind, format_integer, format_real};
use ca_proto::text::{Escaped, Text40, unescape};
use proptest::prelude::*;

use RealKind::{Double, Float};

fn text(v: f64, precision: i16, kind: RealKind) -> String {
    format_real(v, precision, kind).to_string()
}

#[test]
#[expect(clippy::approx_constant)]
fn doubles_print_as_the_verified_table() {
    // `dbConvert.c` of EPICS Base, with precisions 0, 3 and 9
    for (v, p0, p3, p9) in [
        (0.5, "1", "0.500", " 5.000000000e-01"),
        (2.5, "3", "2.500", " 2.500000000e+00"),
        (0.9995, "1", "1.000", " 9.995000000e-01"),
        (-3.14159, "-3", "-3.142", "-3.141590000e+00"),
        (
            12345678.98765,
            "12345679",
            "12345678.988",
            " 1.234567899e+07",
        ),
        (
            1e16,
            "10000000000000000",
            "10000000000000000.000",
            " 1.000000000e+16",
        ),
        (1.1e16, "  1e+16", " 1.100e+16", " 1.100000000e+16"),
        (1e300, " 1e+300", "1.000e+300", "1.000000000e+300"),
        (f64::NAN, "nan", "nan", "             nan"),
        (f64::INFINITY, "    inf", "       inf", "             inf"),
        // Results of cvtDoubleToString
        (
            f64::NEG_INFINITY,
            "   -inf",
            "      -inf",
            "            -inf",
        ),
        (1e7, "10000000", "10000000.000", " 1.000000000e+07"),
        (1e8, "100000000", "100000000.000", " 1.000000000e+08"),
    ] {
        assert_eq!(text(v, 0, Double), p0);
        assert_eq!(text(v, 3, Double), p3);
        assert_eq!(text(v, 9, Double), p9);
    }
}

#[test]
fn floats_have_smaller_limits() {
    // Results of cvtFloatToString: columns P = 0, 3, 9
    for (v, p0, p3, p9) in [
        (1e8, " 1e+08", "1.000e+08", "1.000000000e+08"),
        (-1e8, "-1e+08", "-1.000e+08", "-1.000000000e+08"),
        (9.99e7, "99900000", "99900000.000", "9.990000000e+07"),
        (1e7, "10000000", "10000000.000", "1.000000000e+07"),
        (1e16, " 1e+16", "1.000e+16", "1.000000027e+16"),
        (f64::INFINITY, "   inf", "      inf", "            inf"),
        (f64::NAN, "nan", "nan", "            nan"),
    ] {
        assert_eq!(text(v, 0, Float), p0);
        assert_eq!(text(v, 3, Float), p3);
        assert_eq!(text(v, 9, Float), p9);
    }
    assert_eq!(text(1e7, 20, Float), "1.000000000000e+07");
}

#[test]
fn the_fraction_of_a_float_is_computed_in_float() {
    // Result of cvtFloatToString; 64-bit arithmetic gives ...153.
    assert_eq!(text(-1.764911493166677, 8, Float), "-1.76491149");
    assert_eq!(text(-20.29068408436032, 8, Float), "-20.29068374");
}

#[test]
fn a_negative_number_keeps_its_sign_when_it_rounds_to_zero() {
    assert_eq!(text(-1e-9, 3, Double), "-0.000");
    assert_eq!(text(-0.0, 3, Double), "0.000");
    assert_eq!(text(-0.0, 9, Double), "-0.000000000e+00");
}

#[test]
fn halves_round_away_from_zero() {
    assert_eq!(text(-0.5, 0, Double), "-1");
    assert_eq!(text(0.125, 2, Double), "0.13");
    assert_eq!(text(-0.125, 2, Double), "-0.13");
    assert_eq!(text(9.995, 2, Double), "9.99");
    assert_eq!(text(99.999, 2, Double), "100.00");
    assert_eq!(text(1.25, 6, Double), "1.250000");
}

#[test]
fn precision_is_capped_and_a_negative_one_counts_as_large() {
    assert_eq!(text(1.0, 20, Double), " 1.00000000000000000e+00");
    assert_eq!(text(1.0, -1, Double), " 1.00000000000000000e+00");
    assert_eq!(text(1.0, i16::MIN, Float), "1.000000000000e+00");
}

#[test]
fn integers_print_as_decimals() {
    assert_eq!(format_integer(97u8).to_string(), "97");
    assert_eq!(format_integer(i64::MIN).to_string(), "-9223372036854775808");
    assert_eq!(format_integer(u64::MAX).to_string(), "18446744073709551615");
}

#[test]
fn strings_are_cut_at_39_bytes_and_at_nul() {
    let long = Text40::from("this string is definitely longer than forty characters");
    assert_eq!(long.to_string(), "this string is definitely longer than f");
    assert_eq!(long.len(), 39);
    assert_eq!(long.as_wire()[39], 0);
    assert_eq!(Text40::from_bytes(b"ab\0cd").as_bytes(), b"ab");
    assert!(Text40::from("").is_empty());
    assert_eq!(Text40::from_bytes(&[b'x', 0xe9]).to_string(), "x\u{fffd}");
    assert_eq!(Text40::from_bytes(&[b'x', 0xe9]).as_str(), None);
    assert_eq!(format!("{:?}", Text40::from("a\"\n")), r#""a\"\n""#);
}

#[test]
fn strings_are_escaped_as_the_tools_print_them() {
    // `val2str` of EPICS Base and what `caput -S` sends
    let raw = b"Hello\n\"q\"\x01\xe9 end";
    assert_eq!(Escaped(raw).to_string(), r#"Hello\n\"q\"\x01\xe9 end"#);
    let all = b"\x07\x08\x0c\n\r\t\x0b\\'\"\0\x7f";
    assert_eq!(Escaped(all).to_string(), r#"\a\b\f\n\r\t\v\\\'\"\0\x7f"#);
}

#[test]
fn escapes_are_translated_as_caput_does() {
    // `caput` of EPICS Base; odd cases are results of epicsStrnRawFromEscaped
    for (text, raw) in [
        (
            r#"\a\b\f\n\r\t\v\\\'\"\0"#,
            &b"\x07\x08\x0c\n\r\t\x0b\\'\"\0"[..],
        ),
        (r"\01\0123\7", b"\x001\x001237"),
        (r"\x1\x12\x123\xzz\xg", b"\x01\x12\x123zzg"),
        (r"\xaZ\xfF0", b"\nZ\xff0"),
        (r"\e\q\?", b"eq?"),
        ("abc\\", b"abc"),
        ("a\0b", b"a"),
    ] {
        assert_eq!(unescape(text.as_bytes()), raw, "{text}");
    }
}

proptest! {
    #[test]
    fn escaping_round_trips(raw: Vec<u8>) {
        prop_assert_eq!(unescape(Escaped(&raw).to_string().as_bytes()), raw);
    }

    #[test]
    fn every_number_has_text_that_parses(v: f64, precision: i16) {
        for kind in [Double, Float] {
            let text = format_real(v, precision, kind);
            prop_assert!(!text.is_empty());
            if v.is_finite() && kind == Double {
                prop_assert!(text.to_string().trim_start().parse::<f64>().is_ok());
            }
        }
    }

    #[test]
    fn appending_never_passes_the_end(parts: Vec<String>) {
        use core::fmt::Write;
        let mut text = Text40::EMPTY;
        for part in &parts {
            text.write_str(part).unwrap();
        }
        prop_assert!(text.len() <= Text40::MAX_LEN);
        prop_assert_eq!(text.as_wire()[39], 0);
    }
}
