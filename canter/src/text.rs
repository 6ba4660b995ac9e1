//! Bytes of the wire as text for people.

use std::borrow::Cow;
use std::fmt::Write;

/// Text of bytes whose character set is not known: UTF-8 if they are, else ISO 8859-1.
///
/// No character set is defined for Channel Access (`db_access.h` of EPICS Base); the degree sign of older
/// databases is the single byte 0xb0.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

/// The text on one line and without effect on a terminal: control characters and backslashes as C
/// escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c.is_control() || c == '\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The text, or its first characters and an ellipsis.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Bytes as one line of text.
pub(crate) fn line(bytes: &[u8]) -> String {
    printable(&decode(bytes)).into_owned()
}

/// The text filled up with blanks to `width` characters.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{:missing$}", "")
}

/// `1 element`, `3 elements`.
pub(crate) fn counted(n: impl Into<u64>, thing: &str) -> String {
    match n.into() {
        1 => format!("1 {thing}"),
        n => format!("{n} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_utf8_are_taken_as_latin_1() {
        assert_eq!(line(b"\xb0C"), "\u{b0}C");
        assert_eq!(line("\u{b0}C".as_bytes()), "\u{b0}C");
    }

    #[test]
    fn a_terminal_is_not_controlled_by_a_pv() {
        assert_eq!(line(b"a\x1b[31mb\n\\"), r"a\x1b[31mb\n\\");
    }
}
