//! Formats: `PRINTF`, `SSCANF`, and bytes in place of digits.

use ca_proto::text::{Escaped, parse, unescape};

use super::{MAX_BYTES, Value, cut, nearest};
use crate::record::types::c_format::{self, Piece};
use crate::record::{Dbf, Val};

/// What is written where there is room for a byte less.
const SHORTER: usize = MAX_BYTES - 1;

/// A text in which `%…` stands for a value; `None` if it cannot.
pub(super) fn print(format: &[u8], value: Value) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut value = Some(value);
    for piece in c_format::parse(format) {
        match piece {
            Piece::Text(part) => text.extend_from_slice(&part),
            Piece::Directive(directive) if directive.conversion() == b'%' => text.push(b'%'),
            Piece::Directive(directive) => {
                if directive.is_bad() || directive.stars() > 0 {
                    return None;
                }
                let value = value.take()?;
                let val = match directive.conversion() {
                    b's' => Val::text(value.into_text()),
                    b'e' | b'E' | b'f' | b'g' | b'G' => Val::Double(value.into_number()),
                    _ => integer_of(directive.argument()??, nearest(value.into_number())),
                };
                text.extend(directive.show(&val, 256));
            }
        }
    }
    Some(cut(&text, SHORTER))
}

/// An integer as the type that a directive asks for.
fn integer_of(dbf: Dbf, number: i32) -> Val {
    match dbf {
        Dbf::Char => Val::Char(number as i8),
        Dbf::UChar => Val::UChar(number as u8),
        Dbf::Short => Val::Short(number as i16),
        Dbf::UShort => Val::UShort(number as u16),
        Dbf::ULong => Val::ULong(number as u32),
        Dbf::UInt64 => Val::UInt64(i64::from(number) as u64),
        _ => Val::Long(number),
    }
}

/// What of a format says how many bytes a number has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    Short,
    Plain,
    Long,
}

/// A conversion of a format that reads.
#[derive(Clone, Debug)]
struct Conversion<'a> {
    /// It reads something and forgets it.
    suppressed: bool,
    width: Option<usize>,
    length: Length,
    kind: u8,
    /// Of `[`: the characters, and whether they are those that end it.
    set: Set<'a>,
}

/// Characters, and whether they are those that end what is read.
type Set<'a> = (&'a [u8], bool);

enum Token<'a> {
    Blanks,
    Character(u8),
    Conversion(Conversion<'a>),
}

/// The tokens of a format; `None` if it is none.
fn tokens(format: &[u8], lenient: bool) -> Option<Vec<Token<'_>>> {
    let mut all = Vec::new();
    let mut rest = format;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'%' => {
                if let [b'%', behind @ ..] = rest {
                    all.push(Token::Character(b'%'));
                    rest = behind;
                    continue;
                }
                let (conversion, behind) = conversion(rest, lenient)?;
                all.push(Token::Conversion(conversion));
                rest = behind;
            }
            blank if blank.is_ascii_whitespace() => all.push(Token::Blanks),
            other => all.push(Token::Character(*other)),
        }
    }
    Some(all)
}

/// `lenient` takes the flags and digits of formats that write.
fn conversion(text: &[u8], lenient: bool) -> Option<(Conversion<'_>, &[u8])> {
    let (suppressed, text) = match text {
        [b'*', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let flags = text
        .iter()
        .take_while(|byte| lenient && b"+- #".contains(byte))
        .count();
    let text = text.get(flags..).unwrap_or_default();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, text) = text.split_at(digits);
    let width = (str::from_utf8(number).ok()).and_then(|number| number.parse().ok());
    let text = match text {
        [b'.', rest @ ..] if lenient => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            rest.get(digits..).unwrap_or_default()
        }
        text => text,
    };
    let (length, text) = match text {
        [b'h', rest @ ..] => (Length::Short, rest),
        [b'l', rest @ ..] => (Length::Long, rest),
        text => (Length::Plain, text),
    };
    let (kind, text) = text.split_first()?;
    let (set, text) = match kind {
        b'[' => set(text)?,
        _ => ((&[][..], false), text),
    };
    let known = b"diouxXeEfgGcs[".contains(kind);
    known.then_some((
        Conversion {
            suppressed,
            width,
            length,
            kind: *kind,
            set,
        },
        text,
    ))
}

/// The characters between `[` and `]`, of which the first may be `]` itself.
fn set(text: &[u8]) -> Option<(Set<'_>, &[u8])> {
    let (ends, text) = match text {
        [b'^', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let end = text.iter().skip(1).position(|&byte| byte == b']')? + 1;
    Some(((text.get(..end)?, ends), text.get(end + 1..)?))
}

impl Conversion<'_> {
    fn takes(&self, byte: u8) -> bool {
        let (set, ends) = self.set;
        let mut has = false;
        let mut rest = set;
        while let [first, behind @ ..] = rest {
            rest = match behind {
                [b'-', last, behind @ ..] => {
                    has |= (*first..=*last).contains(&byte);
                    behind
                }
                behind => {
                    has |= *first == byte;
                    behind
                }
            };
        }
        has != ends
    }

    /// What it reads from a text, and what is left.
    fn read<'a>(&self, text: &'a [u8]) -> Option<(Value, &'a [u8])> {
        let text = match self.kind {
            b'c' | b'[' => text,
            _ => text.trim_ascii_start(),
        };
        let width = self.width.filter(|&width| width > 0);
        let most = match (self.kind, width) {
            (b'c', None) => 1,
            (_, width) => width.unwrap_or(usize::MAX),
        };
        let field = text.get(..most.min(text.len()))?;
        let (value, taken) = match self.kind {
            // Fewer are enough at the end.
            b'c' if !field.is_empty() => (Value::Text(cut(field, SHORTER)), field.len()),
            b's' | b'[' => {
                let takes = |byte: &&u8| match self.kind {
                    b's' => !byte.is_ascii_whitespace(),
                    _ => self.takes(**byte),
                };
                let taken = field.iter().take_while(takes).count();
                (taken > 0).then_some(())?;
                (Value::Text(cut(field.get(..taken)?, SHORTER)), taken)
            }
            b'e' | b'E' | b'f' | b'g' | b'G' => {
                let (number, taken) = parse::strtod(field).ok()?;
                let number = match self.length {
                    Length::Long => number,
                    _ => f64::from(number as f32),
                };
                (Value::Number(number), taken)
            }
            b'd' | b'i' | b'o' | b'u' | b'x' | b'X' => {
                let (number, taken) = integer(field, self.kind)?;
                (Value::Number(self.cut_to_length(number)), taken)
            }
            _ => return None,
        };
        Some((value, text.get(taken..)?))
    }

    /// A number as far as the bytes go that it is stored in.
    fn cut_to_length(&self, number: i128) -> f64 {
        let signed = matches!(self.kind, b'd' | b'i');
        match (self.length, signed) {
            (Length::Short, true) => f64::from(number as i16),
            (Length::Short, false) => f64::from(number as u16),
            (Length::Plain, true) => f64::from(number as i32),
            (Length::Plain, false) => f64::from(number as u32),
            (Length::Long, true) => number.clamp(i64::MIN.into(), i64::MAX.into()) as f64,
            (Length::Long, false) => (number as u64) as f64,
        }
    }
}

/// The integer at the beginning of a text, and its bytes.
fn integer(text: &[u8], kind: u8) -> Option<(i128, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text.get(start..)?;
    let hexadecimal = matches!(digits, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit());
    let (radix, prefix) = match kind {
        b'x' | b'X' | b'i' if hexadecimal => (16, 2),
        b'x' | b'X' => (16, 0),
        b'o' => (8, 0),
        b'i' if digits.first() == Some(&b'0') => (8, 0),
        _ => (10, 0),
    };
    let digits = digits.get(prefix..)?;
    let count = digits
        .iter()
        .take_while(|&&byte| char::from(byte).is_digit(radix))
        .count();
    let number = digits.get(..count)?.iter().try_fold(0_i128, |all, &byte| {
        let digit = char::from(byte).to_digit(radix)?;
        Some(
            all.saturating_mul(radix.into())
                .saturating_add(digit.into()),
        )
    })?;
    (count > 0).then_some((
        if negative { -number } else { number },
        start + prefix + count,
    ))
}

/// Reads the one value that a format asks for; `None` if the text is not so, or the format does not ask for one.
pub(super) fn scan(text: &[u8], format: &[u8]) -> Option<Value> {
    let tokens = tokens(format, false)?;
    let asks = |token: &&Token<'_>| matches!(token, Token::Conversion(one) if !one.suppressed);
    if tokens.iter().filter(asks).count() != 1 {
        return None;
    }
    let mut rest = text;
    for token in tokens {
        match token {
            Token::Blanks => rest = rest.trim_ascii_start(),
            Token::Character(byte) => rest = rest.strip_prefix(&[byte])?,
            Token::Conversion(conversion) => {
                let (value, behind) = conversion.read(rest)?;
                if !conversion.suppressed {
                    return Some(value);
                }
                rest = behind;
            }
        }
    }
    None
}

/// The bytes of a number, with escapes; `None` if the format asks for none.
pub(super) fn write(format: &[u8], value: Value) -> Option<Vec<u8>> {
    let conversion = one_conversion(format)?;
    let number = value.into_number();
    let integer = nearest(number);
    let bytes = match (conversion.kind, conversion.length) {
        (b'c', _) => vec![integer as u8],
        (b'd' | b'i' | b'o' | b'u' | b'x' | b'X', Length::Short) => {
            (integer as i16).to_le_bytes().to_vec()
        }
        (b'd' | b'i' | b'o' | b'u' | b'x' | b'X', _) => integer.to_le_bytes().to_vec(),
        (b'e' | b'E' | b'f' | b'g' | b'G', Length::Long) => number.to_le_bytes().to_vec(),
        (b'e' | b'E' | b'f' | b'g' | b'G', _) => (number as f32).to_le_bytes().to_vec(),
        _ => return None,
    };
    Some(cut(Escaped(&bytes).to_string().as_bytes(), SHORTER))
}

/// The first conversion of a format that writes; flags, width and digits do not matter.
fn one_conversion(format: &[u8]) -> Option<Conversion<'_>> {
    let rest = match memchr::memmem::rfind(format, b"%%") {
        Some(at) => format.get(at + 2..)?,
        None => format,
    };
    let rest = rest.get(memchr::memchr(b'%', rest)? + 1..)?;
    let at = rest
        .iter()
        .position(|byte| b"*cdeEfgGiousxX".contains(byte))?;
    let length = match at.checked_sub(1).and_then(|before| rest.get(before)) {
        Some(b'h') => Length::Short,
        Some(b'l') => Length::Long,
        _ => Length::Plain,
    };
    let kind = *rest.get(at)?;
    Some(Conversion {
        suppressed: false,
        width: None,
        length,
        kind,
        set: (&[], false),
    })
}

/// A number from the bytes of a text with escapes; what is suppressed before it is left out.
pub(super) fn read(text: &[u8], format: &[u8]) -> Option<Value> {
    let bytes = unescape(text);
    let tokens = tokens(format, true)?;
    let mut skip = 0;
    let mut wanted = None;
    for token in tokens {
        let Token::Conversion(conversion) = token else {
            continue;
        };
        if !conversion.suppressed {
            if wanted.is_some() {
                return None;
            }
            wanted = Some(conversion);
        } else if wanted.is_none() && skip == 0 {
            skip = conversion
                .width
                .unwrap_or(1)
                .saturating_mul(conversion.size());
        }
    }
    let wanted = wanted?;
    let behind = bytes.iter().copied().skip(skip);
    let mut field = [0; 8];
    // What is beyond the text is 0.
    for (to, byte) in field.iter_mut().zip(behind.take(wanted.size())) {
        *to = byte;
    }
    let [a, b, c, d, ..] = field;
    Some(Value::Number(match (wanted.kind, wanted.length) {
        (b'c', _) => f64::from(a as i8),
        (b'd' | b'i', Length::Short) => i16::from_le_bytes([a, b]).into(),
        (b'd' | b'i', _) => i32::from_le_bytes([a, b, c, d]).into(),
        (b'o' | b'u' | b'x' | b'X', Length::Short) => u16::from_le_bytes([a, b]).into(),
        (b'o' | b'u' | b'x' | b'X', _) => u32::from_le_bytes([a, b, c, d]).into(),
        (b'e' | b'E' | b'f' | b'g' | b'G', Length::Long) => f64::from_le_bytes(field),
        (b'e' | b'E' | b'f' | b'g' | b'G', _) => f32::from_le_bytes([a, b, c, d]).into(),
        _ => return None,
    }))
}

impl Conversion<'_> {
    /// Bytes of its number.
    const fn size(&self) -> usize {
        match (self.kind, self.length) {
            (b'c' | b's' | b'[', _) => 1,
            (b'e' | b'E' | b'f' | b'g' | b'G', Length::Long) => 8,
            (_, Length::Short) => 2,
            _ => 4,
        }
    }
}
