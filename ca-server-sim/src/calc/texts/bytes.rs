//! Escapes and check sums of texts.

use std::fmt::Write;

use ca_proto::text::{Escaped, unescape};

use super::{MAX_BYTES, Word, cut};

/// What a text becomes that is written where there is room for a byte less.
const SHORTER: usize = MAX_BYTES - 1;
const POLYNOMIAL: u32 = 0xa001;

/// Changes a text as one of the words for its bytes says.
pub(super) fn transform(word: Word, text: &mut Vec<u8>) {
    match word {
        Word::Unescape => *text = cut(&unescape(text), SHORTER),
        Word::Escape => *text = cut(Escaped(text).to_string().as_bytes(), SHORTER),
        Word::Crc16 | Word::Modbus => {
            if let Some(sum) = crc16(&unescape(text)) {
                replace_or_append(word == Word::Crc16, text, &sum);
            }
        }
        Word::Lrc => *text = lrc(text).into_bytes(),
        Word::AsciiModbus => {
            let sum = lrc(text);
            text.insert(0, b':');
            text.extend_from_slice(sum.as_bytes());
            text.truncate(MAX_BYTES);
        }
        _ => {
            if let Some(sum) = xor8(&unescape(text)) {
                replace_or_append(word == Word::Xor8, text, &sum);
            }
        }
    }
}

fn replace_or_append(replace: bool, text: &mut Vec<u8>, sum: &str) {
    if replace {
        text.clear();
    }
    text.extend_from_slice(sum.as_bytes());
    text.truncate(MAX_BYTES);
}

/// The check sum of Modbus, low byte first, with escapes.
fn crc16(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    let mut crc = 0xffff_u32;
    for &byte in bytes {
        // Characters have a sign.
        crc ^= i32::from(byte as i8) as u32;
        for _ in 0..8 {
            let low = crc & 1;
            crc >>= 1;
            if low == 1 {
                crc ^= POLYNOMIAL;
            }
        }
    }
    let mut text = String::new();
    // Writing to a text succeeds.
    let _ = write!(text, "\\x{:02x}\\x{:02x}", crc & 0xff, crc >> 8 & 0xff);
    Some(text)
}

/// The check sum of Modbus in hexadecimal digits: of pairs of them.
fn lrc(text: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
    let pairs = text.chunks_exact(2);
    let sum: u32 = pairs
        .filter_map(|pair| Some(digit(*pair.first()?) * 16 + digit(*pair.get(1)?)))
        .sum();
    format!("{:02X}", sum.wrapping_neg() & 0xff)
}

fn xor8(bytes: &[u8]) -> Option<String> {
    let sum = bytes.iter().copied().reduce(|all, byte| all ^ byte)?;
    Some(format!("\\x{sum:02x}"))
}
