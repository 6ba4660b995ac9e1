//! Values as text: the 40-byte string of Channel Access, number formatting and parsing, escapes.

use alloc::vec::Vec;
use core::fmt;

pub mod format;
pub mod parse;
mod plain;
pub mod printf;

pub use plain::{InPlace, Plain, Shown, is_plain, write_plain};

/// Text of one `DBR_STRING` element: at most 39 bytes, padded with NUL to 40.
///
/// No character set is defined for Channel Access; the bytes are kept as they are (`PROTOCOL.md`, facts
/// verified on the wire).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text40([u8; Self::SIZE]);

impl Text40 {
    /// Bytes of the wire form.
    pub const SIZE: usize = 40;

    /// Longest text in bytes; the last byte of the wire form is always NUL.
    pub const MAX_LEN: usize = Self::SIZE - 1;

    /// The empty text.
    pub const EMPTY: Self = Self([0; Self::SIZE]);

    /// Text from bytes, ended by the first NUL and cut at 39 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut text = Self::EMPTY;
        let used = bytes.iter().take(Self::MAX_LEN).take_while(|&&b| b != 0);
        for (to, from) in text.0.iter_mut().zip(used) {
            *to = *from;
        }
        text
    }

    /// The text without its padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..self.len()]
    }

    /// The wire form, 40 bytes.
    pub const fn as_wire(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// The text if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }

    /// Length of the text in bytes, at most 39.
    pub fn len(&self) -> usize {
        self.0.iter().position(|&b| b == 0).unwrap_or(Self::MAX_LEN)
    }

    /// True for the empty text.
    pub const fn is_empty(&self) -> bool {
        self.0[0] == 0
    }
}

impl Default for Text40 {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Cuts at 39 bytes, also inside a character, as the reference does.
impl From<&str> for Text40 {
    fn from(text: &str) -> Self {
        Self::from_bytes(text.as_bytes())
    }
}

/// Appends; what does not fit in 39 bytes is dropped without an error.
impl fmt::Write for Text40 {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let at = self.len();
        for (to, from) in self.0[at..Self::MAX_LEN].iter_mut().zip(s.as_bytes()) {
            *to = *from;
        }
        Ok(())
    }
}

/// Displays bytes as text, with U+FFFD for those that are not UTF-8.
pub(crate) struct Lossy<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

/// The text, with U+FFFD for bytes that are not UTF-8.
impl fmt::Display for Text40 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Lossy(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for Text40 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Escaped(self.as_bytes()))
    }
}

/// Prints bytes as the command line tools print strings: C escapes, other non-printable bytes as
/// `\xhh` (`val2str` of EPICS Base).
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;

        for &byte in self.0 {
            match byte {
                0x07 => f.write_str(r"\a")?,
                0x08 => f.write_str(r"\b")?,
                0x0c => f.write_str(r"\f")?,
                b'\n' => f.write_str(r"\n")?,
                b'\r' => f.write_str(r"\r")?,
                b'\t' => f.write_str(r"\t")?,
                0x0b => f.write_str(r"\v")?,
                b'\\' => f.write_str(r"\\")?,
                b'\'' => f.write_str(r"\'")?,
                b'"' => f.write_str("\\\"")?,
                0 => f.write_str(r"\0")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

/// Translates backslash escapes as `caput` does with its arguments.
///
/// Knows the escapes of [`Escaped`]; `\x` takes at most two hexadecimal digits and none gives
/// nothing; an unknown `\c` gives `c`; there are no octal escapes except `\0`; a final backslash is
/// dropped; a NUL byte ends the input (`caput` of EPICS Base, `epicsStrnRawFromEscaped`).
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied().take_while(|&b| b != 0).peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            raw.push(byte);
            continue;
        }
        match rest.next() {
            None => break,
            Some(b'a') => raw.push(0x07),
            Some(b'b') => raw.push(0x08),
            Some(b'f') => raw.push(0x0c),
            Some(b'n') => raw.push(b'\n'),
            Some(b'r') => raw.push(b'\r'),
            Some(b't') => raw.push(b'\t'),
            Some(b'v') => raw.push(0x0b),
            Some(b'0') => raw.push(0),
            Some(b'x') => {
                let mut digit = || {
                    let value = char::from(*rest.peek()?).to_digit(16)?;
                    rest.next();
                    // A hexadecimal digit is below 16.
                    Some(value as u8)
                };
                match (digit(), digit()) {
                    (None, _) => {}
                    (Some(low), None) => raw.push(low),
                    (Some(high), Some(low)) => raw.push(high << 4 | low),
                }
            }
            Some(other) => raw.push(other),
        }
    }
    raw
}
