//! The conversions `%e`, `%f`, `%g` and `%G` of C for real numbers, byte for byte as glibc prints
//! them.
//!
//! `core::fmt` prints correctly rounded digits for any precision; this module adds C's exponent
//! form, the `%g` rule and the minimum width. The one difference: a NaN with its sign bit set prints as
//! `nan`.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

/// A C conversion for real numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// `%e`: one digit, point, `precision` digits, exponent of at least two digits.
    Exponent,
    /// `%f`: `precision` digits after the point.
    Fixed,
    /// `%g`: `precision` significant digits, the shorter form, no trailing zeros.
    General,
    /// `%G`: as `%g` with upper case letters.
    GeneralUpper,
}

/// A conversion specification such as `%12.3e`; an `f32` is printed through its exact `f64` value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RealFormat {
    /// Which conversion.
    pub conversion: Conversion,
    /// Digits as the conversion counts them; values above 65 535 count as 65 535.
    pub precision: usize,
    /// Minimum width in characters, filled on the left with blanks.
    pub width: usize,
}

impl RealFormat {
    /// A conversion without minimum width.
    pub const fn new(conversion: Conversion, precision: usize) -> Self {
        Self {
            conversion,
            precision,
            width: 0,
        }
    }

    /// The same conversion with a minimum width in characters.
    pub const fn with_width(self, width: usize) -> Self {
        Self { width, ..self }
    }

    /// Writes `v` in this format.
    ///
    /// # Errors
    ///
    /// Only errors of `out`.
    pub fn write(self, out: &mut impl Write, v: f64) -> fmt::Result {
        // The largest precision `core::fmt` accepts.
        let precision = self.precision.min(usize::from(u16::MAX));
        let text = if v.is_finite() {
            match self.conversion {
                Conversion::Exponent => exponent(v, precision),
                Conversion::Fixed => format!("{v:.precision$}"),
                Conversion::General | Conversion::GeneralUpper => general(v, precision),
            }
        } else if v.is_nan() {
            String::from("nan")
        } else {
            String::from(if v > 0.0 { "inf" } else { "-inf" })
        };
        for _ in text.len()..self.width {
            out.write_char(' ')?;
        }
        if self.conversion == Conversion::GeneralUpper {
            out.write_str(&text.to_ascii_uppercase())
        } else {
            out.write_str(&text)
        }
    }
}

/// Writes `v` as C's `%.<precision>e`.
///
/// # Errors
///
/// Only errors of `out`.
pub fn write_e(out: &mut impl Write, v: f64, precision: usize) -> fmt::Result {
    RealFormat::new(Conversion::Exponent, precision).write(out, v)
}

/// Writes `v` as C's `%.<precision>f`.
///
/// # Errors
///
/// Only errors of `out`.
pub fn write_f(out: &mut impl Write, v: f64, precision: usize) -> fmt::Result {
    RealFormat::new(Conversion::Fixed, precision).write(out, v)
}

/// Writes `v` as C's `%.<precision>g`.
///
/// # Errors
///
/// Only errors of `out`.
pub fn write_g(out: &mut impl Write, v: f64, precision: usize) -> fmt::Result {
    RealFormat::new(Conversion::General, precision).write(out, v)
}

/// Digits and decimal exponent of a finite number, rounded to `decimals` digits after the first.
fn digits_and_exponent(v: f64, decimals: usize) -> (String, i32) {
    let mut text = format!("{v:.decimals$e}");
    // `core::fmt` always writes an exponent of at most four characters after `e`.
    let at = text.find('e').unwrap_or(text.len());
    let exponent = text.get(at + 1..).and_then(|e| e.parse().ok()).unwrap_or(0);
    text.truncate(at);
    (text, exponent)
}

fn push_exponent(text: &mut String, exponent: i32) {
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing to a `String` cannot fail.
    let _ = write!(text, "e{sign}{:02}", exponent.unsigned_abs());
}

fn exponent(v: f64, precision: usize) -> String {
    let (mut text, exponent) = digits_and_exponent(v, precision);
    push_exponent(&mut text, exponent);
    text
}

fn general(v: f64, precision: usize) -> String {
    let significant = precision.max(1);
    let (mut text, exponent) = digits_and_exponent(v, significant - 1);
    // C11 7.21.6.1: fixed form if -4 <= exponent < precision, the exponent being that of `%e`.
    let decimals = i32::try_from(significant)
        .ok()
        .filter(|&p| exponent >= -4 && exponent < p)
        .and_then(|p| usize::try_from(p - 1 - exponent).ok());
    match decimals {
        Some(decimals) => {
            text = format!("{v:.decimals$}");
            strip_zeros(&mut text);
        }
        None => {
            strip_zeros(&mut text);
            push_exponent(&mut text, exponent);
        }
    }
    text
}

/// Removes trailing zeros after the point, and the point if nothing is left behind it.
fn strip_zeros(text: &mut String) {
    if text.contains('.') {
        let end = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(end);
    }
}
