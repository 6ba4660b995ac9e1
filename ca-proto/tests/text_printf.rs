//! C conversions of real numbers against literal results of C's `printf`.

use ca_proto::text::printf::{Conversion, RealFormat, write_e, write_f, write_g};

use Conversion::{Exponent, Fixed, General, GeneralUpper};

/// Conversion, precision, width, value, result.
type Case = (Conversion, usize, usize, f64, &'static str);

#[rustfmt::skip]
#[expect(clippy::approx_constant)]
const CASES: &[Case] = &[
    (General, 6, 0, 0.0, "0"),
    (Exponent, 0, 0, 0.0, "0e+00"),
    (Fixed, 0, 0, 0.0, "0"),
    (General, 0, 0, 0.0, "0"),
    (General, 6, 0, -0.0, "-0"),
    (Exponent, 3, 0, -0.0, "-0.000e+00"),
    (Fixed, 1, 0, -0.0, "-0.0"),
    (General, 1, 0, -0.0, "-0"),
    (General, 6, 0, 1.0, "1"),
    (Exponent, 6, 0, 1.0, "1.000000e+00"),
    (Fixed, 2, 0, 1.0, "1.00"),
    (General, 3, 0, 1.0, "1"),
    (General, 6, 0, -1.5, "-1.5"),
    (Exponent, 2, 0, -1.5, "-1.50e+00"),
    (Fixed, 3, 0, -1.5, "-1.500"),
    (General, 10, 0, -1.5, "-1.5"),
    (General, 6, 0, 0.5, "0.5"),
    (Exponent, 5, 0, 0.5, "5.00000e-01"),
    (Fixed, 0, 0, 0.5, "0"),
    (General, 15, 0, 0.5, "0.5"),
    (General, 6, 0, 2.5, "2.5"),
    (Exponent, 1, 0, 2.5, "2.5e+00"),
    (Fixed, 1, 0, 2.5, "2.5"),
    (General, 17, 0, 2.5, "2.5"),
    (General, 6, 0, 0.1, "0.1"),
    (Exponent, 4, 0, 0.1, "1.0000e-01"),
    (Fixed, 2, 0, 0.1, "0.10"),
    (General, 18, 0, 0.1, "0.100000000000000006"),
    (General, 6, 0, 0.3333333333333333, "0.333333"),
    (Exponent, 0, 0, 0.3333333333333333, "3e-01"),
    (Fixed, 3, 0, 0.3333333333333333, "0.333"),
    (General, 0, 0, 0.3333333333333333, "0.3"),
    (General, 6, 0, 0.6666666666666666, "0.666667"),
    (Exponent, 3, 0, 0.6666666666666666, "6.667e-01"),
    (Fixed, 0, 0, 0.6666666666666666, "1"),
    (General, 1, 0, 0.6666666666666666, "0.7"),
    (General, 6, 0, 9.5, "9.5"),
    (Exponent, 6, 0, 9.5, "9.500000e+00"),
    (Fixed, 1, 0, 9.5, "9.5"),
    (General, 3, 0, 9.5, "9.5"),
    (General, 6, 0, 9.9995, "9.9995"),
    (Exponent, 2, 0, 9.9995, "1.00e+01"),
    (Fixed, 2, 0, 9.9995, "10.00"),
    (General, 10, 0, 9.9995, "9.9995"),
    (General, 6, 0, 99.95, "99.95"),
    (Exponent, 5, 0, 99.95, "9.99500e+01"),
    (Fixed, 3, 0, 99.95, "99.950"),
    (General, 15, 0, 99.95, "99.95"),
    (General, 6, 0, 123456.0, "123456"),
    (Exponent, 1, 0, 123456.0, "1.2e+05"),
    (Fixed, 0, 0, 123456.0, "123456"),
    (General, 17, 0, 123456.0, "123456"),
    (General, 6, 0, 1234567.0, "1.23457e+06"),
    (Exponent, 4, 0, 1234567.0, "1.2346e+06"),
    (Fixed, 1, 0, 1234567.0, "1234567.0"),
    (General, 18, 0, 1234567.0, "1234567"),
    (General, 6, 0, 999999.5, "1e+06"),
    (Exponent, 0, 0, 999999.5, "1e+06"),
    (Fixed, 2, 0, 999999.5, "999999.50"),
    (General, 0, 0, 999999.5, "1e+06"),
    (General, 6, 0, 9999995.0, "1e+07"),
    (Exponent, 3, 0, 9999995.0, "1.000e+07"),
    (Fixed, 3, 0, 9999995.0, "9999995.000"),
    (General, 1, 0, 9999995.0, "1e+07"),
    (General, 6, 0, 0.0001, "0.0001"),
    (Exponent, 6, 0, 0.0001, "1.000000e-04"),
    (Fixed, 0, 0, 0.0001, "0"),
    (General, 3, 0, 0.0001, "0.0001"),
    (General, 6, 0, 9.9999e-05, "9.9999e-05"),
    (Exponent, 2, 0, 9.9999e-05, "1.00e-04"),
    (Fixed, 1, 0, 9.9999e-05, "0.0"),
    (General, 10, 0, 9.9999e-05, "9.9999e-05"),
    (General, 6, 0, 1.5e-05, "1.5e-05"),
    (Exponent, 5, 0, 1.5e-05, "1.50000e-05"),
    (Fixed, 2, 0, 1.5e-05, "0.00"),
    (General, 15, 0, 1.5e-05, "1.5e-05"),
    (General, 6, 0, 100000.0, "100000"),
    (Exponent, 1, 0, 100000.0, "1.0e+05"),
    (Fixed, 3, 0, 100000.0, "100000.000"),
    (General, 17, 0, 100000.0, "100000"),
    (General, 6, 0, 1000000.0, "1e+06"),
    (Exponent, 4, 0, 1000000.0, "1.0000e+06"),
    (Fixed, 0, 0, 1000000.0, "1000000"),
    (General, 18, 0, 1000000.0, "1000000"),
    (General, 6, 0, 10000000000.0, "1e+10"),
    (Exponent, 0, 0, 10000000000.0, "1e+10"),
    (Fixed, 1, 0, 10000000000.0, "10000000000.0"),
    (General, 0, 0, 10000000000.0, "1e+10"),
    (General, 6, 0, 1000000000000000.0, "1e+15"),
    (Exponent, 3, 0, 1000000000000000.0, "1.000e+15"),
    (Fixed, 2, 0, 1000000000000000.0, "1000000000000000.00"),
    (General, 1, 0, 1000000000000000.0, "1e+15"),
    (General, 6, 0, 1e+16, "1e+16"),
    (Exponent, 6, 0, 1e+16, "1.000000e+16"),
    (Fixed, 3, 0, 1e+16, "10000000000000000.000"),
    (General, 3, 0, 1e+16, "1e+16"),
    (General, 6, 0, 1e+100, "1e+100"),
    (Exponent, 2, 0, 1e+100, "1.00e+100"),
    (General, 10, 0, 1e+100, "1e+100"),
    (General, 6, 0, -1e-100, "-1e-100"),
    (Exponent, 5, 0, -1e-100, "-1.00000e-100"),
    (Fixed, 1, 0, -1e-100, "-0.0"),
    (General, 15, 0, -1e-100, "-1e-100"),
    (General, 6, 0, 1.7976931348623157e+308, "1.79769e+308"),
    (Exponent, 1, 0, 1.7976931348623157e+308, "1.8e+308"),
    (General, 17, 0, 1.7976931348623157e+308, "1.7976931348623157e+308"),
    (General, 6, 0, 5e-324, "4.94066e-324"),
    (Exponent, 4, 0, 5e-324, "4.9407e-324"),
    (Fixed, 3, 0, 5e-324, "0.000"),
    (General, 18, 0, 5e-324, "4.94065645841246544e-324"),
    (General, 6, 0, 3.14159265358979, "3.14159"),
    (Exponent, 0, 0, 3.14159265358979, "3e+00"),
    (Fixed, 0, 0, 3.14159265358979, "3"),
    (General, 0, 0, 3.14159265358979, "3"),
    (General, 6, 0, 0.10000000149011612, "0.1"),
    (Exponent, 3, 0, 0.10000000149011612, "1.000e-01"),
    (Fixed, 1, 0, 0.10000000149011612, "0.1"),
    (General, 1, 0, 0.10000000149011612, "0.1"),
    (General, 6, 0, 1e+21, "1e+21"),
    (Exponent, 6, 0, 1e+21, "1.000000e+21"),
    (Fixed, 2, 0, 1e+21, "1000000000000000000000.00"),
    (General, 3, 0, 1e+21, "1e+21"),
    (General, 6, 0, 1.1805916207174113e+21, "1.18059e+21"),
    (Exponent, 2, 0, 1.1805916207174113e+21, "1.18e+21"),
    (Fixed, 3, 0, 1.1805916207174113e+21, "1180591620717411303424.000"),
    (General, 10, 0, 1.1805916207174113e+21, "1.180591621e+21"),
    (General, 6, 12, 1.5, "         1.5"),
    (Exponent, 3, 12, -1.5, "  -1.500e+00"),
    (Fixed, 2, 8, 3.14159, "    3.14"),
    (Fixed, 2, 3, 12345.678, "12345.68"),
    (General, 6, 8, f64::INFINITY, "     inf"),
    (GeneralUpper, 3, 0, 1e+20, "1E+20"),
    (GeneralUpper, 3, 0, f64::INFINITY, "INF"),
    (GeneralUpper, 3, 0, f64::NEG_INFINITY, "-INF"),
    (GeneralUpper, 3, 6, f64::NAN, "   NAN"),
    (Fixed, 3, 0, f64::NAN, "nan"),
    (Exponent, 3, 0, f64::NEG_INFINITY, "-inf"),
    (Fixed, 18, 0, 0.1, "0.100000000000000006"),
    (General, 18, 0, 0.1, "0.100000000000000006"),
    (Exponent, 18, 0, 0.1, "1.000000000000000056e-01"),
    (Exponent, 0, 0, 9.5, "1e+01"),
    (Exponent, 0, 0, 8.5, "8e+00"),
    (Fixed, 0, 0, 0.5, "0"),
    (Fixed, 0, 0, 1.5, "2"),
    (Fixed, 0, 0, 2.5, "2"),
    (General, 0, 0, 1e-05, "1e-05"),
];

#[test]
fn every_conversion_prints_as_c() {
    for &(conversion, precision, width, value, expected) in CASES {
        let mut out = String::new();
        RealFormat::new(conversion, precision)
            .with_width(width)
            .write(&mut out, value)
            .unwrap();
        assert_eq!(
            out, expected,
            "{conversion:?} precision {precision} of {value:e}"
        );
    }
}

#[test]
fn a_negative_nan_prints_without_sign() {
    let mut out = String::new();
    write_g(&mut out, -f64::NAN, 6).unwrap();
    write_e(&mut out, -f64::NAN, 6).unwrap();
    write_f(&mut out, -f64::NAN, 6).unwrap();
    assert_eq!(out, "nannannan");
}

#[test]
fn a_very_large_precision_is_cut() {
    let mut out = String::new();
    write_f(&mut out, 0.5, usize::MAX).unwrap();
    assert_eq!(out.len(), 2 + 65_535);
    let mut out = String::new();
    write_g(&mut out, 0.5, usize::MAX).unwrap();
    assert_eq!(out, "0.5");
}
