//! Numbers in files (`epicsParseInt64` and its like in `epicsStdlib.c` of EPICS Base): the whole text has to be one,
//! with blanks around it at most.

use ca_proto::text::parse::{ParseNumberError, strtod};

/// Why a text is no number of the wanted kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberProblem {
    /// It does not begin with a number.
    NoNumber,
    /// Something stands behind the number.
    Extra,
    /// It is too large.
    Overflow,
    /// It is too close to 0.
    Underflow,
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_blank(byte));
    &text[start.unwrap_or(text.len())..]
}

/// Sign, magnitude (`None` if it needs more than 64 bits) and length of the integer at the beginning (`strtoull`).
fn integer(text: &[u8]) -> Option<(bool, Option<u64>, usize)> {
    let (negative, signs) = match text {
        [b'-', ..] => (true, 1),
        [b'+', ..] => (false, 1),
        _ => (false, 0),
    };
    let body = &text[signs..];
    let (radix, prefix) = match body {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, 2),
        [b'0', ..] => (8, 0),
        _ => (10, 0),
    };
    let digits = &body[prefix..];
    let value = |byte: &u8| char::from(*byte).to_digit(radix);
    let length = digits.iter().position(|byte| value(byte).is_none());
    let length = length.unwrap_or(digits.len());
    if length == 0 {
        return None;
    }
    let add = |sum: u64, byte: &u8| {
        let sum = sum.checked_mul(u64::from(radix))?;
        sum.checked_add(u64::from(value(byte)?))
    };
    let magnitude = digits[..length].iter().try_fold(0, add);
    Some((negative, magnitude, signs + prefix + length))
}

fn whole(text: &[u8]) -> Result<(bool, Option<u64>), NumberProblem> {
    let text = without_blanks(text);
    let (negative, magnitude, length) = integer(text).ok_or(NumberProblem::NoNumber)?;
    // As the reference, which looks at the range first.
    match (magnitude, text[length..].iter().all(is_blank)) {
        (Some(_), false) => Err(NumberProblem::Extra),
        _ => Ok((negative, magnitude)),
    }
}

/// A signed integer of 64 bits, in base 10, 16 (`0x`) or 8 (`0`).
///
/// # Errors
/// Says why it is none.
pub fn signed(text: &[u8]) -> Result<i64, NumberProblem> {
    let (negative, magnitude) = whole(text)?;
    let value = magnitude.and_then(|magnitude| match negative {
        true => 0_i64.checked_sub_unsigned(magnitude),
        false => i64::try_from(magnitude).ok(),
    });
    value.ok_or(NumberProblem::Overflow)
}

/// An unsigned integer of 64 bits; a negative one counts from 2^64 down.
///
/// # Errors
/// Says why it is none.
pub fn unsigned(text: &[u8]) -> Result<u64, NumberProblem> {
    let (negative, magnitude) = whole(text)?;
    let magnitude = magnitude.ok_or(NumberProblem::Overflow)?;
    Ok(if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    })
}

/// A real number.
///
/// # Errors
/// Says why it is none.
pub fn real(text: &[u8]) -> Result<f64, NumberProblem> {
    let text = without_blanks(text);
    let (value, length) = strtod(text).map_err(|problem| match problem {
        ParseNumberError::OutOfRange => NumberProblem::Overflow,
        ParseNumberError::Underflow => NumberProblem::Underflow,
        _ => NumberProblem::NoNumber,
    })?;
    match text[length..].iter().all(is_blank) {
        true => Ok(value),
        false => Err(NumberProblem::Extra),
    }
}

/// A real number of 32 bits.
///
/// # Errors
/// Says why it is none. Small negative numbers become what they are nearest to; positive ones are refused.
pub fn real32(text: &[u8]) -> Result<f32, NumberProblem> {
    let value = real(text)?;
    if value > 0.0 && value <= f64::from(f32::MIN_POSITIVE) {
        return Err(NumberProblem::Underflow);
    }
    if value.is_finite() && value.abs() >= f64::from(f32::MAX) {
        return Err(NumberProblem::Overflow);
    }
    Ok(value as f32)
}

/// The decimal integer at the beginning (`sscanf` with `%hd`), of which 16 bits count.
pub(super) fn leading_integer(text: &[u8]) -> Option<i64> {
    let text = without_blanks(text);
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        _ => (false, text),
    };
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit());
    let mut value: Option<i64> = None;
    for digit in digits {
        let sum = value.unwrap_or(0).wrapping_mul(10);
        value = Some(sum.wrapping_add(i64::from(digit - b'0')));
    }
    value.map(|value| {
        if negative {
            value.wrapping_neg()
        } else {
            value
        }
    })
}
