//! Words, numbers and signs of a lattice.

use std::fmt;

use super::mistakes::{Found, Slip};

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    /// In small letters.
    Word(String),
    Number(f64),
    /// In quotes.
    Text,
    /// A sign, also one that means nothing.
    Sign(char),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Number(number) => write!(f, "`{number}`"),
            Self::Text => f.write_str("a text in quotes"),
            Self::Sign(sign) => write!(f, "`{}`", sign.escape_debug()),
            Self::End => f.write_str("the end"),
        }
    }
}

/// The tokens of a text and the byte where each begins; the last one is the end.
pub(super) fn tokens(text: &str, found: &mut Found) -> Vec<(Token, usize)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let start = at;
        let mut never_ends = |what: &str| {
            let what = format!("this {what} has no end");
            found.add(Slip { at: start, what });
        };
        if byte.is_ascii_whitespace() || byte == b'&' {
            at += 1; // A line that goes on ends with `&` in older files.
        } else if byte == b'!' || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            let end = rest.find("*/");
            if end.is_none() {
                never_ends("comment: `*/`");
            }
            at += end.map_or(rest.len(), |end| end + 2);
        } else if byte == b'"' || byte == b'\'' {
            let line = rest.find('\n').unwrap_or(rest.len());
            let end = rest.get(1..line).and_then(|r| r.find(byte as char));
            if end.is_none() {
                never_ends("text, a quote,");
            }
            at += end.map_or(line, |end| end + 2);
            tokens.push((Token::Text, start));
        } else if byte.is_ascii_digit()
            || (byte == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
        {
            at += number_len(rest);
            let digits = text.get(start..at).unwrap_or_default();
            let number = digits.to_ascii_lowercase().replace('d', "e");
            // What the rules above let pass is a number.
            tokens.push((Token::Number(number.parse().unwrap_or(f64::NAN)), start));
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
            at += rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let word = text.get(start..at).unwrap_or_default();
            tokens.push((Token::Word(word.to_ascii_lowercase()), start));
        } else {
            let sign = rest.chars().next().unwrap_or('?');
            at += sign.len_utf8();
            tokens.push((Token::Sign(sign), start));
        }
    }
    tokens.push((Token::End, text.len()));
    tokens
}

fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1);
    }
    if bytes.get(at).is_some_and(|b| b"eEdD".contains(b)) {
        let sign = usize::from(bytes.get(at + 1).is_some_and(|b| b"+-".contains(b)));
        let end = digits(at + 1 + sign);
        if end > at + 1 + sign {
            at = end;
        }
    }
    at
}
