//! What reaches a terminal: only characters that are seen, line ends, and escape sequences of our own.
//!
//! Every text of a peer is made printable where it is put into a line. This is the second fence: it holds for
//! messages of libraries, of the system and of log lines too.

use std::fmt::Write as _;
use std::io::{self, Write};

use ca_proto::text::{is_plain, write_plain};

/// Escape sequences that pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Escapes {
    /// None: the output is not coloured.
    None,
    /// Colours: `ESC [ … m`.
    Colours,
    /// All, for a command that draws its own screen.
    All,
}

/// A stream behind the fence.
#[derive(Debug)]
pub(crate) struct Guard<W> {
    inner: W,
    escapes: Escapes,
    /// Begin of a character, or of a sequence, that the next write may complete.
    kept: Vec<u8>,
}

/// Longest sequence of colours that is waited for, in bytes.
const MAX_SEQUENCE: usize = 32;

impl<W: Write> Guard<W> {
    pub(crate) const fn new(inner: W, escapes: Escapes) -> Self {
        Self {
            inner,
            escapes,
            kept: Vec::new(),
        }
    }

    /// The stream itself, to end it.
    pub(crate) const fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    fn is_harmless(&self, bytes: &[u8]) -> bool {
        self.escapes == Escapes::All
            || bytes
                .iter()
                .all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\t'))
    }

    /// Writes what is complete; the rest is kept, unless it is the last.
    fn pass(&mut self, last: bool) -> io::Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let mut shown = String::with_capacity(kept.len() + 16);
        let mut rest = &kept[..];
        while let Some(chunk) = rest.utf8_chunks().next() {
            let (valid, invalid) = (chunk.valid(), chunk.invalid());
            let used = self.valid(valid, &mut shown, last);
            if used < valid.len() {
                rest = &rest[used..];
                break;
            }
            let behind = &rest[used..];
            if !last && invalid.len() == behind.len() && is_begin(invalid) {
                rest = behind;
                break;
            }
            for byte in invalid {
                let _ = write!(shown, "\\x{byte:02x}");
            }
            rest = &behind[invalid.len()..];
        }
        self.kept = rest.to_vec();
        self.inner.write_all(shown.as_bytes())
    }

    /// Appends what may be shown; less than all is used if a sequence at the end is not complete.
    fn valid(&self, text: &str, shown: &mut String, last: bool) -> usize {
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            if c == '\x1b' && self.escapes == Escapes::Colours {
                match colours(&text[at..]) {
                    Sequence::Of(len) => {
                        shown.push_str(&text[at..at + len]);
                        at += len;
                        continue;
                    }
                    Sequence::Begun if !last => return at,
                    _ => {}
                }
            }
            if matches!(c, '\n' | '\t') || is_plain(c) {
                shown.push(c);
            } else {
                // Writing to a string cannot fail.
                let _ = write_plain(shown, c);
            }
            at += c.len_utf8();
        }
        at
    }
}

enum Sequence {
    /// A whole one of this many bytes.
    Of(usize),
    Begun,
    Other,
}

/// `ESC [ digits and semicolons m`.
fn colours(text: &str) -> Sequence {
    let Some(rest) = text.strip_prefix("\x1b[") else {
        return if text == "\x1b" {
            Sequence::Begun
        } else {
            Sequence::Other
        };
    };
    match rest.find(|c: char| !c.is_ascii_digit() && c != ';') {
        Some(end) if rest[end..].starts_with('m') && end < MAX_SEQUENCE => Sequence::Of(end + 3),
        None if rest.len() < MAX_SEQUENCE => Sequence::Begun,
        _ => Sequence::Other,
    }
}

/// Whether these bytes may be the first ones of a character.
fn is_begin(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

impl<W: Write> Write for Guard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.kept.is_empty() && self.is_harmless(bytes) {
            return self.inner.write(bytes);
        }
        self.kept.extend_from_slice(bytes);
        self.pass(false)?;
        Ok(bytes.len())
    }

    /// What is not complete by now is not completed any more.
    fn flush(&mut self) -> io::Result<()> {
        if !self.kept.is_empty() {
            self.pass(true)?;
        }
        self.inner.flush()
    }
}

impl<W> Drop for Guard<W> {
    fn drop(&mut self) {
        debug_assert!(self.kept.len() <= MAX_SEQUENCE + 8, "bounded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(escapes: Escapes, parts: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut guard = Guard::new(&mut out, escapes);
        for part in parts {
            guard.write_all(part).unwrap();
        }
        guard.flush().unwrap();
        drop(guard);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_is_seen_passes() {
        let text = "a\u{9b}31m\u{7f}\u{202e}\r\x1b[2J\u{200b}°\n\tz";
        let shown = r"a\u{9b}31m\x7f\u{202e}\x0d\x1b[2J\u{200b}";
        assert_eq!(
            through(Escapes::None, &[text.as_bytes()]),
            format!("{shown}°\n\tz")
        );
        assert_eq!(
            through(Escapes::Colours, &[text.as_bytes()]),
            format!("{shown}°\n\tz")
        );
        assert_eq!(through(Escapes::All, &[text.as_bytes()]), text);
    }

    #[test]
    fn our_colours_pass_where_there_are_any() {
        let painted = "\x1b[1m\x1b[38;5;9mX\x1b[0m";
        assert_eq!(through(Escapes::Colours, &[painted.as_bytes()]), painted);
        assert!(!through(Escapes::None, &[painted.as_bytes()]).contains('\x1b'));
    }

    #[test]
    fn it_does_not_matter_where_writes_are_cut() {
        let text = "°\u{9b}\x1b[1mé\x1b]0;title\x07\x1b[\u{202e}日\x1b";
        let want = "°\\u{9b}\x1b[1mé\\x1b]0;title\\x07\\x1b[\\u{202e}日\\x1b";
        for size in 1..=text.len() {
            let parts: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(through(Escapes::Colours, &parts), want, "{size}");
        }
        assert_eq!(
            through(Escapes::None, &[b"\xc3", b"(\xb0", b"\xe2\x80"]),
            r"\xc3(\xb0\xe2\x80"
        );
    }
}
