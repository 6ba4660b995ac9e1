//! Text to numbers with the reference server's rules (`dbConvert.c` of EPICS Base).
//!
//! Common to all: leading white space is skipped, text behind the number is ignored, and the empty
//! text gives 0. The last holds for scalar targets; for an array element the caller rejects an
//! empty text.

use thiserror::Error;

/// Why a text is not a number of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseNumberError {
    /// The text does not start with a number.
    #[error("text does not start with a number")]
    NoDigits,
    /// The magnitude is too large for the type.
    #[error("number is out of range")]
    OutOfRange,
    /// The number is not zero and too close to zero for the type.
    #[error("number is too close to zero")]
    Underflow,
}

use ParseNumberError::{NoDigits, OutOfRange, Underflow};

/// How the base of an integer is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Always ten.
    Ten,
    /// Sixteen after `0x`, eight after `0`, else ten.
    Prefix,
}

/// Parses the `f64` at the start of `text`; returns it with the number of bytes read.
///
/// The grammar is C's `strtod`: decimal, hexadecimal (`0x1.8p3`), `inf`, `infinity`, `nan` and
/// `nan(...)` without regard to case.
///
/// # Errors
///
/// [`NoDigits`]; [`OutOfRange`] for finite numbers above the range; [`Underflow`] for numbers that
/// round to zero or lose digits as subnormal numbers, as `strtod` reports a range error for them.
pub fn strtod(text: &[u8]) -> Result<(f64, usize), ParseNumberError> {
    let (negative, start) = sign(text);
    let body = text.get(start..).unwrap_or_default();
    let (magnitude, len) = match body {
        [b'0', b'x' | b'X', hex @ ..] => match hexadecimal(hex)? {
            Some((value, len)) => (value, len + 2),
            None => (0.0, 1),
        },
        _ => match special(body) {
            Some(found) => found,
            None => decimal(body)?,
        },
    };
    let value = if negative { -magnitude } else { magnitude };
    Ok((value, start + len))
}

/// Parses an `f64` for a double field.
///
/// # Errors
///
/// As [`strtod`].
pub fn parse_f64(text: &[u8]) -> Result<f64, ParseNumberError> {
    if is_empty(text) {
        return Ok(0.0);
    }
    strtod(text).map(|(value, _)| value)
}

/// Parses an `f32` for a float field.
///
/// # Errors
///
/// As [`strtod`], and also [`OutOfRange`] for finite magnitudes from `f32::MAX` on and
/// [`Underflow`] up to `f32::MIN_POSITIVE`, both limits included (`epicsParseFloat`, which however
/// lets small negative numbers pass; here both signs fail).
pub fn parse_f32(text: &[u8]) -> Result<f32, ParseNumberError> {
    let value = parse_f64(text)?;
    let magnitude = libm::fabs(value);
    if value.is_finite() && magnitude >= f64::from(f32::MAX) {
        Err(OutOfRange)
    } else if magnitude > 0.0 && magnitude <= f64::from(f32::MIN_POSITIVE) {
        Err(Underflow)
    } else {
        Ok(value as f32)
    }
}

/// Parses a signed integer of 64 bits.
///
/// # Errors
///
/// [`NoDigits`] and [`OutOfRange`].
pub fn parse_signed(text: &[u8], base: Base) -> Result<i64, ParseNumberError> {
    if is_empty(text) {
        return Ok(0);
    }
    let (negative, magnitude, _) = integer(text, base)?;
    if negative {
        0i64.checked_sub_unsigned(magnitude).ok_or(OutOfRange)
    } else {
        i64::try_from(magnitude).map_err(|_| OutOfRange)
    }
}

/// Parses an unsigned integer up to `max`, which is all ones in binary (such as `u16::MAX`).
///
/// A leading minus wraps around `max`, for magnitudes up to it.
///
/// # Errors
///
/// [`NoDigits`] and [`OutOfRange`].
pub fn parse_unsigned(text: &[u8], base: Base, max: u64) -> Result<u64, ParseNumberError> {
    if is_empty(text) {
        return Ok(0);
    }
    let (negative, magnitude, _) = integer(text, base)?;
    wrap_unsigned(negative, magnitude, max)
}

macro_rules! parse_integers {
    ($($name:ident $ty:ident $how:ident $doc:literal,)+) => {$(
        #[doc = $doc]
        ///
        /// The prefixes `0x` and `0` select base sixteen and eight, as in EPICS 7.0.10 (verified
        /// on the wire).
        ///
        /// # Errors
        ///
        /// [`NoDigits`] and [`OutOfRange`].
        pub fn $name(text: &[u8]) -> Result<$ty, ParseNumberError> {
            parse_integers!(@ $how $ty text)
        }
    )+};
    (@ signed $ty:ident $text:ident) => {
        $ty::try_from(parse_signed($text, Base::Prefix)?).map_err(|_| OutOfRange)
    };
    (@ unsigned $ty:ident $text:ident) => {
        $ty::try_from(parse_unsigned($text, Base::Prefix, u64::from($ty::MAX))?).map_err(|_| OutOfRange)
    };
}

parse_integers! {
    parse_i8 i8 signed "Parses a signed integer of 8 bits.",
    parse_i16 i16 signed "Parses a signed integer of 16 bits.",
    parse_i32 i32 signed "Parses a signed integer of 32 bits.",
    parse_i64 i64 signed "Parses a signed integer of 64 bits.",
    parse_u8 u8 unsigned "Parses an unsigned integer of 8 bits.",
    parse_u16 u16 unsigned "Parses an unsigned integer of 16 bits.",
}

/// Parses an unsigned integer of 32 bits, where the prefixes `0x` and `0` select base sixteen and eight, or a real number
/// if the text has one.
///
/// A real number is cut towards zero. The reference stores only the integer before the point of a
/// real number that does not fit (`5e9` as 5); here that is an error.
///
/// # Errors
///
/// [`NoDigits`], [`OutOfRange`] and [`Underflow`].
pub fn parse_u32(text: &[u8]) -> Result<u32, ParseNumberError> {
    if is_empty(text) {
        return Ok(0);
    }
    match integer(text, Base::Prefix) {
        Ok((_, _, len)) if matches!(text.get(len), Some(b'.' | b'e' | b'E')) => {}
        Ok((negative, magnitude, _)) => {
            let value = wrap_unsigned(negative, magnitude, u64::from(u32::MAX))?;
            return u32::try_from(value).map_err(|_| OutOfRange);
        }
        // `.5` has no integer part.
        Err(NoDigits) => {}
        Err(error) => return Err(error),
    }
    let (value, _) = strtod(text)?;
    let value = libm::trunc(value);
    // NaN is 0 (`putStringUlong` of `dbConvert.c` takes the number as C does).
    if value.is_nan() || (0.0..=f64::from(u32::MAX)).contains(&value) {
        Ok(value as u32)
    } else {
        Err(OutOfRange)
    }
}

/// Parses an unsigned integer of 64 bits; the prefixes `0x` and `0` select base sixteen and eight.
///
/// # Errors
///
/// [`NoDigits`] and [`OutOfRange`].
pub fn parse_u64(text: &[u8]) -> Result<u64, ParseNumberError> {
    parse_unsigned(text, Base::Prefix, u64::MAX)
}

/// Finds the state number a text stands for.
///
/// An exact, case-sensitive match of a state's text comes first; else a number below the number of
/// states, with a base prefix as in [`parse_u16`] and nothing but white space around it. `None`
/// otherwise, also for the empty text.
pub fn match_enum<'a, I>(text: &[u8], states: I) -> Option<u16>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    if is_empty(text) {
        return None;
    }
    let mut count = 0u16;
    for state in states {
        if state == text {
            return Some(count);
        }
        count = count.checked_add(1)?;
    }
    let (negative, magnitude, len) = integer(text, Base::Prefix).ok()?;
    let alone = text.iter().skip(len).all(|&b| is_space(b));
    let number = wrap_unsigned(negative, magnitude, u64::from(u16::MAX)).ok()?;
    let number = u16::try_from(number).ok()?;
    (alone && number < count).then_some(number)
}

fn is_empty(text: &[u8]) -> bool {
    matches!(text, [] | [0, ..])
}

/// C's `isspace`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// White space and sign: whether negative, and the number of bytes.
fn sign(text: &[u8]) -> (bool, usize) {
    let start = text.iter().take_while(|&&b| is_space(b)).count();
    match text.get(start) {
        Some(b'-') => (true, start + 1),
        Some(b'+') => (false, start + 1),
        _ => (false, start),
    }
}

/// `inf`, `infinity`, `nan` and `nan(...)`.
fn special(body: &[u8]) -> Option<(f64, usize)> {
    let starts = |word: &[u8]| {
        body.get(..word.len())
            .is_some_and(|b| b.eq_ignore_ascii_case(word))
    };
    if starts(b"infinity") {
        return Some((f64::INFINITY, 8));
    }
    if starts(b"inf") {
        return Some((f64::INFINITY, 3));
    }
    if !starts(b"nan") {
        return None;
    }
    let label = body.get(3..).and_then(|rest| rest.strip_prefix(b"("));
    let len = label.and_then(|label| {
        let len = label
            .iter()
            .take_while(|&&b| b.is_ascii_alphanumeric() || b == b'_')
            .count();
        (label.get(len) == Some(&b')')).then_some(len + 5)
    });
    Some((f64::NAN, len.unwrap_or(3)))
}

/// Number of digits at `at` for which `accept` holds.
fn run(body: &[u8], at: usize, accept: impl Fn(&u8) -> bool) -> usize {
    body.iter().skip(at).take_while(|&b| accept(b)).count()
}

/// End of an exponent with letter `letter` at `at`, or `at` if there is none.
fn exponent_end(body: &[u8], at: usize, letter: u8) -> usize {
    if !body
        .get(at)
        .is_some_and(|b| b.eq_ignore_ascii_case(&letter))
    {
        return at;
    }
    let signed = matches!(body.get(at + 1), Some(b'+' | b'-'));
    let digits_at = at + 1 + usize::from(signed);
    match run(body, digits_at, u8::is_ascii_digit) {
        0 => at,
        digits => digits_at + digits,
    }
}

fn decimal(body: &[u8]) -> Result<(f64, usize), ParseNumberError> {
    let whole = run(body, 0, u8::is_ascii_digit);
    let (fraction, mantissa) = match body.get(whole) {
        Some(b'.') => {
            let fraction = run(body, whole + 1, u8::is_ascii_digit);
            (fraction, whole + 1 + fraction)
        }
        _ => (0, whole),
    };
    if whole + fraction == 0 {
        return Err(NoDigits);
    }
    let end = exponent_end(body, mantissa, b'e');
    let number = body.get(..end).unwrap_or_default();
    // All bytes are ASCII and the grammar is a subset of Rust's.
    let value: f64 = core::str::from_utf8(number)
        .ok()
        .and_then(|s| s.parse().ok())
        .ok_or(NoDigits)?;
    if value.is_infinite() {
        return Err(OutOfRange);
    }
    // No decimal number of sensible length is exactly a subnormal number.
    if value < f64::MIN_POSITIVE {
        let digits = body.get(..mantissa).unwrap_or_default();
        if digits.iter().any(|b| matches!(b, b'1'..=b'9')) {
            return Err(Underflow);
        }
    }
    Ok((value, end))
}

/// The number behind `0x`, or `None` if no digit follows.
fn hexadecimal(body: &[u8]) -> Result<Option<(f64, usize)>, ParseNumberError> {
    // Exponents beyond this range decide the result whatever the mantissa; it avoids overflow.
    const LIMIT: i64 = 1 << 40;

    let (mut mantissa, mut exponent, mut digits, mut at) = (0u64, 0i64, 0usize, 0usize);
    let (mut sticky, mut point) = (false, false);
    while let Some(&byte) = body.get(at) {
        if byte == b'.' && !point {
            point = true;
        } else if let Some(digit) = char::from(byte).to_digit(16) {
            digits += 1;
            if mantissa >> 60 == 0 {
                mantissa = mantissa << 4 | u64::from(digit);
                exponent -= if point { 4 } else { 0 };
            } else {
                sticky |= digit != 0;
                exponent += if point { 0 } else { 4 };
            }
        } else {
            break;
        }
        at += 1;
    }
    if digits == 0 {
        return Ok(None);
    }
    let end = exponent_end(body, at, b'p');
    if end > at {
        let text = body.get(at + 1..end).unwrap_or_default();
        let (negative, digits) = sign(text);
        let mut power = 0i64;
        for &digit in text.iter().skip(digits) {
            power = (power * 10 + i64::from(digit - b'0')).min(LIMIT);
        }
        exponent += if negative { -power } else { power };
    }
    assemble(mantissa, sticky, exponent).map(|value| Some((value, end)))
}

/// `mantissa * 2^exponent`, rounded half to even; `sticky` tells of non-zero bits below it.
fn assemble(mantissa: u64, sticky: bool, exponent: i64) -> Result<f64, ParseNumberError> {
    if mantissa == 0 {
        return Ok(0.0);
    }
    let shift = mantissa.leading_zeros();
    let mantissa = u128::from(mantissa << shift);
    // Exponent of the leading bit.
    let exponent = exponent - i64::from(shift) + 63;
    if exponent > 1023 {
        return Err(OutOfRange);
    }
    if exponent < -1076 {
        return Err(Underflow);
    }
    // Normal numbers keep 53 of 64 bits, subnormal ones lose one more per step below 2^-1022.
    let below = (-1022 - exponent).max(0);
    let drop = 11 + below as u32;
    let kept = (mantissa >> drop) as u64;
    let dropped = mantissa & ((1 << drop) - 1);
    let half = 1u128 << (drop - 1);
    let up = dropped > half || (dropped == half && (sticky || kept & 1 == 1));
    let rounded = kept + u64::from(up);
    let inexact = sticky || dropped != 0;
    // The leading bit of a normal number adds one to the exponent field, as does a carry out of it.
    let field = ((exponent + 1022).max(0) as u64) << 52;
    let value = f64::from_bits(field + rounded);
    if value.is_infinite() {
        Err(OutOfRange)
    } else if value < f64::MIN_POSITIVE && inexact {
        Err(Underflow)
    } else {
        Ok(value)
    }
}

/// Sign, magnitude and number of bytes of the integer at the start of `text`.
fn integer(text: &[u8], base: Base) -> Result<(bool, u64, usize), ParseNumberError> {
    let (negative, start) = sign(text);
    let body = text.get(start..).unwrap_or_default();
    let (radix, prefix) = match (base, body) {
        (Base::Prefix, [b'0', b'x' | b'X', digit, ..]) if digit.is_ascii_hexdigit() => (16, 2),
        (Base::Prefix, [b'0', ..]) => (8, 0),
        _ => (10, 0),
    };
    let (mut magnitude, mut len) = (0u64, start + prefix);
    let digits = body.iter().skip(prefix);
    for digit in digits.map_while(|&b| char::from(b).to_digit(radix)) {
        magnitude = magnitude
            .checked_mul(u64::from(radix))
            .and_then(|m| m.checked_add(u64::from(digit)))
            .ok_or(OutOfRange)?;
        len += 1;
    }
    if len == start + prefix {
        return Err(NoDigits);
    }
    Ok((negative, magnitude, len))
}

/// Wraps as `strtoul` and the reference's range check do: the value modulo 2^64 is accepted if it
/// lies within `max` of either end of the 64-bit range.
fn wrap_unsigned(negative: bool, magnitude: u64, max: u64) -> Result<u64, ParseNumberError> {
    let value = if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    if value > max && value <= !max {
        return Err(OutOfRange);
    }
    Ok(value & max)
}
