//! The table of 4.1 and the places of 4.2, written down once more: a judge must not take its
//! measures from what it judges.

use super::bare::Reply;
use super::verdict::{Verdict, ensure};

/// Name, bytes before the first element, bytes per element, by DBR code.
pub(super) const LAYOUT: [(&str, usize, usize); 39] = [
    ("STRING", 0, 40),
    ("SHORT", 0, 2),
    ("FLOAT", 0, 4),
    ("ENUM", 0, 2),
    ("CHAR", 0, 1),
    ("LONG", 0, 4),
    ("DOUBLE", 0, 8),
    ("STS_STRING", 4, 40),
    ("STS_SHORT", 4, 2),
    ("STS_FLOAT", 4, 4),
    ("STS_ENUM", 4, 2),
    ("STS_CHAR", 5, 1),
    ("STS_LONG", 4, 4),
    ("STS_DOUBLE", 8, 8),
    ("TIME_STRING", 12, 40),
    ("TIME_SHORT", 14, 2),
    ("TIME_FLOAT", 12, 4),
    ("TIME_ENUM", 14, 2),
    ("TIME_CHAR", 15, 1),
    ("TIME_LONG", 12, 4),
    ("TIME_DOUBLE", 16, 8),
    ("GR_STRING", 4, 40),
    ("GR_SHORT", 24, 2),
    ("GR_FLOAT", 40, 4),
    ("GR_ENUM", 422, 2),
    ("GR_CHAR", 19, 1),
    ("GR_LONG", 36, 4),
    ("GR_DOUBLE", 64, 8),
    ("CTRL_STRING", 4, 40),
    ("CTRL_SHORT", 28, 2),
    ("CTRL_FLOAT", 48, 4),
    ("CTRL_ENUM", 422, 2),
    ("CTRL_CHAR", 21, 1),
    ("CTRL_LONG", 44, 4),
    ("CTRL_DOUBLE", 80, 8),
    ("PUT_ACKT", 0, 2),
    ("PUT_ACKS", 0, 2),
    ("STSACK_STRING", 8, 40),
    ("CLASS_NAME", 0, 40),
];

/// The base type of a code; the last four are an enumeration, one more, and two texts.
pub(super) const fn base(code: u16) -> u16 {
    match code {
        0..=34 => code % 7,
        35 | 36 => 3,
        _ => 0,
    }
}

/// Bytes of `count` elements, without padding.
pub(super) fn size(code: u16, count: u32) -> usize {
    let (_, meta, element) = LAYOUT[usize::from(code)];
    meta + element * count as usize
}

/// The same, with padding.
pub(super) fn padded(code: u16, count: u32) -> usize {
    size(code, count).next_multiple_of(8)
}

/// Where the first element is.
pub(super) const fn value_at(code: u16) -> usize {
    LAYOUT[code as usize].1
}

/// Bytes between fields, which carry nothing (RISC pads): place and length.
pub(super) const fn pad(code: u16) -> (usize, usize) {
    match code {
        11 => (4, 1),
        13 => (4, 4),
        15 | 17 => (12, 2),
        18 => (12, 3),
        20 => (12, 4),
        23 | 27 | 30 | 34 => (6, 2),
        25 => (18, 1),
        32 => (20, 1),
        _ => (0, 0),
    }
}

/// A `f64` of the payload; NaN behind its end.
pub(super) fn f64_at(reply: &Reply, at: usize) -> f64 {
    let bytes = reply.payload.get(at..at + 8);
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(f64::NAN, f64::from_be_bytes)
}

/// A `f32` of the payload; NaN behind its end.
pub(super) fn f32_at(reply: &Reply, at: usize) -> f32 {
    f32::from_bits(if reply.payload.len() >= at + 4 {
        reply.u32(at)
    } else {
        f32::NAN.to_bits()
    })
}

/// An element of a base type as a number; `None` for text that is none.
pub(super) fn number_at(reply: &Reply, base: u16, at: usize) -> Option<f64> {
    Some(match base {
        0 => {
            let text = until_nul(reply.tail(at));
            std::str::from_utf8(text).ok()?.trim().parse().ok()?
        }
        1 => f64::from(reply.u16(at) as i16),
        2 => f64::from(f32_at(reply, at)),
        3 => f64::from(reply.u16(at)),
        4 => f64::from(*reply.payload.get(at)?),
        5 => f64::from(reply.u32(at) as i32),
        _ => f64_at(reply, at),
    })
}

/// The bytes before the first NUL.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Demands size, count and type of an answer that carries values.
pub(super) fn sized(reply: &Reply, code: u16, count: u32) -> Verdict {
    ensure!(
        reply.data_type == code && reply.count == count,
        "{}, expected type {code} and count {count}",
        reply.brief()
    );
    ensure!(
        reply.payload.len() == padded(code, count),
        "{} bytes of payload, expected {}: {} bytes, to a multiple of 8",
        reply.payload.len(),
        padded(code, count),
        size(code, count)
    );
    Ok(())
}

/// Whether a number came through a conversion to a base type: texts may be rounded to the PV's
/// precision, integers are cut towards zero; what does not fit may be anything.
pub(super) fn converted(base: u16, value: f64, got: Option<f64>) -> bool {
    let fits = match base {
        1 => value.abs() < 32768.0,
        3 => (0.0..65536.0).contains(&value),
        4 => (0.0..256.0).contains(&value),
        5 => value.abs() < 2_147_483_648.0,
        _ => true,
    };
    let Some(got) = got else { return !fits };
    match base {
        0 => (got - value).abs() <= 0.501,
        2 => got == f64::from(value as f32),
        1 | 3 | 4 | 5 => !fits || got == value.trunc(),
        _ => got == value,
    }
}
