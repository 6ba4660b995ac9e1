//! Numbers to `DBR_STRING` text with the reference server's rules (`dbConvert.c` of EPICS Base).

use core::fmt::Write;

use super::Text40;
use super::printf::{Conversion, RealFormat};

/// Type of the field a real number comes from; it decides the details of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RealKind {
    /// 64-bit field.
    Double,
    /// 32-bit field: smaller limits, and the fraction is computed in 32-bit arithmetic.
    Float,
}

/// Text of a real number with the field's precision.
///
/// Up to 8 digits and a magnitude of 10^7 the fraction is cut to one digit more than asked and
/// rounded half away from zero. Larger magnitudes have at most 3 digits; more digits, and
/// magnitudes above 10^16 (from 10^8 for a float), have exponent form with leading blanks. A
/// negative precision counts as a very large one, because the reference keeps it in an unsigned
/// 16-bit number. For [`RealKind::Float`] the value must be one of an `f32`; any other is rounded
/// to it first.
pub fn format_real(v: f64, precision: i16, kind: RealKind) -> Text40 {
    let v = match kind {
        RealKind::Double => v,
        RealKind::Float => f64::from(v as f32),
    };
    let mut text = Text40::EMPTY;
    let small = usize::try_from(precision).ok().filter(|&p| p <= 8);
    let magnitude = libm::fabs(v);
    // Writing to a `Text40` cannot fail.
    let _ = match small {
        Some(precision) if magnitude <= 1e7 => write_rounded(&mut text, v, precision, kind),
        Some(precision) if !needs_exponent(magnitude, kind) => {
            RealFormat::new(Conversion::Fixed, precision.min(3)).write(&mut text, v)
        }
        _ => {
            let precision = usize::try_from(precision).unwrap_or(usize::MAX);
            let (precision, more) = match kind {
                RealKind::Double => (precision.min(17), 7),
                RealKind::Float => (precision.min(12), 6),
            };
            RealFormat::new(Conversion::Exponent, precision)
                .with_width(precision + more)
                .write(&mut text, v)
        }
    };
    text
}

/// Text of an integer: plain decimal.
pub fn format_integer(v: impl Into<i128>) -> Text40 {
    let mut text = Text40::EMPTY;
    // Writing to a `Text40` cannot fail; 64-bit numbers have at most 20 characters.
    let _ = write!(text, "{}", v.into());
    text
}

/// False for NaN, which prints as `nan` without blanks when few digits are asked.
fn needs_exponent(magnitude: f64, kind: RealKind) -> bool {
    match kind {
        RealKind::Double => magnitude > 1e16,
        RealKind::Float => magnitude >= 1e8,
    }
}

/// Fixed notation of |v| <= 10^7 with at most 8 digits.
fn write_rounded(text: &mut Text40, v: f64, precision: usize, kind: RealKind) -> core::fmt::Result {
    const SCALES: [u32; 9] = [
        1,
        10,
        100,
        1_000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
    ];
    let scale = SCALES.get(precision).copied().unwrap_or(1);
    let magnitude = libm::fabs(v);
    let mut whole = libm::trunc(magnitude);
    // The two multiplications are separate and of the field's type: their rounding shows in the
    // text.
    let scaled = match kind {
        RealKind::Double => (magnitude - whole) * f64::from(scale) * 10.0,
        RealKind::Float => f64::from((magnitude - whole) as f32 * scale as f32 * 10.0),
    };
    // Both numbers are not negative; `scaled` is at most 10^9.
    let mut fraction = (scaled as u32 + 5) / 10;
    if fraction >= scale {
        whole += 1.0;
        fraction -= scale;
    }
    // A negative number keeps its sign when it rounds to zero; negative zero has none.
    let sign = if v < 0.0 { "-" } else { "" };
    let whole = whole as u32;
    match precision {
        0 => write!(text, "{sign}{whole}"),
        _ => write!(text, "{sign}{whole}.{fraction:0precision$}"),
    }
}
