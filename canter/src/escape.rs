//! Bytes of the wire as text for people, and text of people as bytes.
//!
//! What is shown can be given back as an argument: [`line`] and [`bytes`] are each other's inverse.

use std::borrow::Cow;

use ca_proto::text::{Plain, is_plain};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::char as one;
use nom::combinator::{map, map_opt, map_res, value};
use nom::multi::fold_many0;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// Text of bytes whose character set is not known: UTF-8 if they are, else ISO 8859-1.
///
/// No character set is defined for Channel Access; the degree sign of older databases is the single
/// byte 0xb0. For units, which are read only; texts that can be written are shown as [`line`].
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(latin_1(bytes)),
    }
}

/// Each byte as the character of that number.
pub(crate) fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// The text on one line and without effect on a terminal, see [`Plain`].
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| is_plain(c) && c != '\\') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(line(text.as_bytes()))
}

/// The text, or its first characters and an ellipsis.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Bytes as one line of text that stands for exactly these bytes: what is not UTF-8 as `\xhh`.
pub(crate) fn line(bytes: &[u8]) -> String {
    Plain(bytes).to_string()
}

/// The bytes that a text with escapes stands for, as [`line`] prints them: `\\`, `\n`, `\r`, `\t`,
/// `\xhh` for a byte, `\u{hhhh}` for a character, and the others of C strings.
///
/// # Errors
/// What follows a backslash that begins none of these, in a message with the remedy.
pub(crate) fn bytes(text: &[u8]) -> Result<Vec<u8>, BadEscape> {
    if !text.contains(&b'\\') {
        return Ok(text.to_vec());
    }
    let (rest, bytes) = pieces(text).map_err(|_| BadEscape(String::new()))?;
    if rest.is_empty() {
        return Ok(bytes);
    }
    let shown = line(&rest[..rest.len().min(SHOWN_BYTES)]);
    // The backslash itself is shown doubled.
    Err(BadEscape(shown.replacen(r"\\", r"\", 1)))
}

/// Bytes of a bad escape that its message shows.
const SHOWN_BYTES: usize = 4;

/// A backslash that begins no escape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadEscape(String);

impl BadEscape {
    /// What to write.
    pub(crate) const REMEDY: &'static str =
        r"write \\ for a backslash, \n, \r, \t, \xb0 for a byte, \u{b0} for a character";
}

impl std::fmt::Display for BadEscape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is no escape", self.0)
    }
}

impl std::error::Error for BadEscape {}

fn pieces(input: &[u8]) -> IResult<&[u8], Vec<u8>> {
    fold_many0(
        alt((take_while1(|b| b != b'\\').map(<[u8]>::to_vec), escape)),
        Vec::new,
        |mut all: Vec<u8>, piece| {
            all.extend_from_slice(&piece);
            all
        },
    )
    .parse(input)
}

fn escape(input: &[u8]) -> IResult<&[u8], Vec<u8>> {
    let single = alt((
        value(b'\\', one('\\')),
        value(b'\n', one('n')),
        value(b'\r', one('r')),
        value(b'\t', one('t')),
        value(b'"', one('"')),
        value(b'\'', one('\'')),
        value(0x07, one('a')),
        value(0x08, one('b')),
        value(0x0b, one('v')),
        value(0x0c, one('f')),
        value(0x1b, one('e')),
        value(0, one('0')),
    ));
    let byte = map_opt(preceded(one('x'), hex(2, 2)), |n| u8::try_from(n).ok());
    let character = delimited(tag("u{"), map_opt(hex(1, 6), char::from_u32), one('}'));
    preceded(
        one('\\'),
        alt((
            map(single, |b| vec![b]),
            map(byte, |b| vec![b]),
            map(character, |c| c.to_string().into_bytes()),
        )),
    )
    .parse(input)
}

fn hex<'a>(
    least: usize,
    most: usize,
) -> impl Parser<&'a [u8], Output = u32, Error = nom::error::Error<&'a [u8]>> {
    map_res(
        take_while_m_n(least, most, |b: u8| b.is_ascii_hexdigit()),
        |digits: &[u8]| u32::from_str_radix(&latin_1(digits), 16),
    )
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
    fn bytes_that_are_no_utf8_are_shown_as_they_can_be_typed() {
        assert_eq!(line(b"\xb0C"), r"\xb0C");
        assert_eq!(line("\u{b0}C".as_bytes()), "\u{b0}C");
        assert_eq!(decode(b"\xb0C"), "\u{b0}C");
    }

    #[test]
    fn a_terminal_is_not_controlled_by_a_pv() {
        assert_eq!(line(b"a\x1b[31mb\n\\"), r"a\x1b[31mb\n\\");
        assert_eq!(printable("a\u{9b}31m\u{202e}b"), r"a\u{9b}31m\u{202e}b");
    }

    #[test]
    fn what_is_shown_can_be_given_back() {
        let all: Vec<u8> = (0..=255).collect();
        let texts = [
            "20 °C",
            "\u{9b}\u{202e}\u{e0041}",
            r"C:\new\x41\u{41}",
            "\0",
        ];
        for bytes_in in texts.iter().map(|text| text.as_bytes()).chain([&all[..]]) {
            let shown = line(bytes_in);
            assert!(shown.chars().all(is_plain), "{shown}");
            assert_eq!(bytes(shown.as_bytes()).unwrap(), bytes_in);
        }
    }

    #[test]
    fn escapes_are_understood_or_refused_never_bent() {
        for (text, want) in [
            (&br"\xb0C"[..], &b"\xb0C"[..]),
            (br"\u{b0}C", "°C".as_bytes()),
            (br"\XB0", b""),
            (br"a\\b\t\e\0", b"a\\b\t\x1b\0"),
            (b"\xb0 raw", b"\xb0 raw"),
        ] {
            match bytes(text) {
                Ok(got) => assert_eq!(got, want),
                Err(error) => assert_eq!(
                    (want, error.to_string()),
                    (&b""[..], r"`\XB0` is no escape".into())
                ),
            }
        }
        for (text, shown) in [
            (&br"C:\data"[..], r"`\dat` is no escape"),
            (br"\x1", r"`\x1` is no escape"),
            (br"\u{110000}", r"`\u{1` is no escape"),
            (br"\u{d800}", r"`\u{d` is no escape"),
            (b"end\\", "`\\` is no escape"),
            (br"\xzz", r"`\xzz` is no escape"),
        ] {
            assert_eq!(bytes(text).unwrap_err().to_string(), shown);
        }
    }
}
