//! Formats of C's `printf`, as the `printf` record takes them (`doPrintf` of `printfRecord.c` of EPICS
//! Base).

use ca_proto::text::printf::{Conversion, RealFormat};

use crate::record::{Array, Dbf, Val};

/// A part of a format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// As it stands.
    Text(Vec<u8>),
    /// `%…`
    Directive(Directive),
}

/// Length modifiers: `hh`, `h`, none, `l`, `ll`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Length {
    Char,
    Short,
    Plain,
    Long,
    LongLong,
}

/// A number in a directive: digits, or `*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Number {
    None,
    Digits(i32),
    Star,
}

/// `%…`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Directive {
    text: Vec<u8>,
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: Number,
    precision: Number,
    length: Length,
    conversion: u8,
    bad: bool,
}

/// The parts of a format. A directive that has no end is left out.
pub(crate) fn parse(format: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(start) = rest.iter().position(|&c| c == b'%') {
        let (text, directive) = rest.split_at(start);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        match Directive::parse(directive) {
            Some((parsed, after)) => {
                pieces.push(Piece::Directive(parsed));
                rest = after;
            }
            None => return pieces,
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    pieces
}

impl Directive {
    fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        let mut new = Self {
            text: Vec::new(),
            left: false,
            plus: false,
            space: false,
            alternate: false,
            zero: false,
            width: Number::None,
            precision: Number::None,
            length: Length::Plain,
            conversion: 0,
            bad: false,
        };
        let mut behind_point = false;
        for (place, &c) in text.iter().enumerate().skip(1) {
            let number = if behind_point {
                &mut new.precision
            } else {
                &mut new.width
            };
            match c {
                b'+' => new.plus = true,
                b' ' => new.space = true,
                b'#' => new.alternate = true,
                b'-' => new.left = true,
                b'.' => {
                    behind_point = true;
                    new.precision = Number::Digits(0);
                }
                b'0' if !behind_point && *number == Number::None => new.zero = true,
                b'0'..=b'9' => {
                    let old = if let Number::Digits(n) = *number {
                        n
                    } else {
                        0
                    };
                    *number =
                        Number::Digits(old.saturating_mul(10).saturating_add(i32::from(c - b'0')));
                }
                b'*' => match *number {
                    Number::None | Number::Digits(0) => *number = Number::Star,
                    _ => new.bad = true,
                },
                b'h' => match new.length {
                    Length::Plain => new.length = Length::Short,
                    Length::Short => new.length = Length::Char,
                    _ => new.bad = true,
                },
                b'l' => match new.length {
                    Length::Plain => new.length = Length::Long,
                    Length::Long => new.length = Length::LongLong,
                    _ => new.bad = true,
                },
                c => {
                    new.bad |= !b"diouxXeEfFgGcs%".contains(&c);
                    new.conversion = c;
                    let (own, after) = text.split_at(place + 1);
                    new.text = own.into();
                    return Some((new, after));
                }
            }
        }
        None
    }

    /// How many of its numbers come from links.
    pub(crate) fn stars(&self) -> usize {
        [self.width, self.precision]
            .iter()
            .filter(|number| **number == Number::Star)
            .count()
    }

    /// The next of those numbers.
    pub(crate) fn fill(&mut self, value: i32) {
        if self.width == Number::Star {
            self.left |= value < 0;
            self.width = Number::Digits(value.saturating_abs());
        } else if self.precision == Number::Star {
            // A precision below 0 is none.
            self.precision = if value < 0 {
                Number::None
            } else {
                Number::Digits(value)
            };
        }
    }

    /// Whether it is none that there is.
    pub(crate) const fn is_bad(&self) -> bool {
        self.bad
    }

    /// Its letter.
    pub(crate) const fn conversion(&self) -> u8 {
        self.conversion
    }

    /// As it was written.
    pub(crate) fn text(&self) -> Vec<u8> {
        self.text.clone()
    }

    /// The type of its value; the inner `None` is a text of any length.
    pub(crate) fn argument(&self) -> Option<Option<Dbf>> {
        let dbf = match (self.conversion, self.length) {
            _ if self.bad => return None,
            (b'%', _) => return None,
            (b'c', _) | (b'd' | b'i', Length::Char) => Dbf::Char,
            (b'd' | b'i', Length::Short) => Dbf::Short,
            (b'd' | b'i', Length::LongLong) => Dbf::Int64,
            (b'd' | b'i', _) => Dbf::Long,
            (b'o' | b'x' | b'X' | b'u', Length::Char) => Dbf::UChar,
            (b'o' | b'x' | b'X' | b'u', Length::Short) => Dbf::UShort,
            (b'o' | b'x' | b'X' | b'u', Length::LongLong) => Dbf::UInt64,
            (b'o' | b'x' | b'X' | b'u', _) => Dbf::ULong,
            (b's', Length::Long | Length::LongLong) => return Some(None),
            (b's', _) => Dbf::String,
            (_, Length::Short | Length::Char) => Dbf::Float,
            _ => Dbf::Double,
        };
        Some(Some(dbf))
    }

    const fn number(number: Number) -> Option<usize> {
        match number {
            Number::Digits(n) if n >= 0 => Some(n as usize),
            _ => None,
        }
    }

    /// A value in this format, at most so many bytes of it.
    pub(crate) fn show(&self, val: &Val, room: usize) -> Vec<u8> {
        let precision = Self::number(self.precision);
        let (sign, body, numeric) = match self.conversion {
            b'c' => ("", vec![val.as_i32() as u8], false),
            b's' => {
                let mut text = characters(val);
                text.truncate(precision.unwrap_or(usize::MAX));
                ("", text, false)
            }
            b'd' | b'i' => {
                let n = val.as_i64();
                (
                    self.sign(n < 0),
                    self.digits(n.unsigned_abs().to_string()),
                    precision.is_none(),
                )
            }
            b'o' | b'x' | b'X' | b'u' => {
                let n = match val {
                    Val::UInt64(n) => *n,
                    val => val.as_i64() as u64,
                };
                let (prefix, body) = self.unsigned(n);
                (prefix, body, precision.is_none())
            }
            _ => {
                let value = val.as_f64();
                let negative = value.is_sign_negative() && !value.is_nan();
                (
                    self.sign(negative),
                    self.real(value.abs()),
                    value.is_finite(),
                )
            }
        };
        self.pad(sign, body, numeric, room)
    }

    const fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    /// Digits, with zeros in front up to the precision.
    fn digits(&self, digits: String) -> Vec<u8> {
        match Self::number(self.precision) {
            Some(0) if digits == "0" => Vec::new(),
            Some(least) => format!("{digits:0>width$}", width = least.min(512)).into_bytes(),
            None => digits.into_bytes(),
        }
    }

    fn unsigned(&self, n: u64) -> (&'static str, Vec<u8>) {
        let digits = match self.conversion {
            b'o' => format!("{n:o}"),
            b'x' => format!("{n:x}"),
            b'X' => format!("{n:X}"),
            _ => n.to_string(),
        };
        let mut body = self.digits(digits);
        let prefix = match self.conversion {
            b'x' if self.alternate && n != 0 => "0x",
            b'X' if self.alternate && n != 0 => "0X",
            b'o' if self.alternate && body.first() != Some(&b'0') => {
                body.insert(0, b'0');
                ""
            }
            _ => "",
        };
        (prefix, body)
    }

    fn real(&self, value: f64) -> Vec<u8> {
        let precision = Self::number(self.precision).unwrap_or(6);
        let conversion = match self.conversion {
            b'e' | b'E' => Conversion::Exponent,
            b'f' | b'F' => Conversion::Fixed,
            b'g' => Conversion::General,
            _ => Conversion::GeneralUpper,
        };
        let mut text = String::new();
        // Writing into a text succeeds.
        let _ = RealFormat::new(conversion, precision).write(&mut text, value);
        if self.conversion.is_ascii_uppercase() {
            text.make_ascii_uppercase();
        }
        if self.alternate && precision == 0 && !text.contains('.') && value.is_finite() {
            let place = text.find(['e', 'E']).unwrap_or(text.len());
            text.insert(place, '.');
        }
        text.into_bytes()
    }

    fn pad(&self, sign: &str, body: Vec<u8>, numeric: bool, room: usize) -> Vec<u8> {
        let width = Self::number(self.width).unwrap_or(0).min(room);
        let missing = width.saturating_sub(sign.len() + body.len());
        let fill = |c: u8, when: bool| std::iter::repeat_n(c, if when { missing } else { 0 });
        let zeros = self.zero && numeric && !self.left;
        fill(b' ', !self.left && !zeros)
            .chain(sign.bytes())
            .chain(fill(b'0', zeros))
            .chain(body)
            .chain(fill(b' ', self.left))
            .take(room)
            .collect()
    }
}

/// The text of a text, or of an array of characters.
fn characters(val: &Val) -> Vec<u8> {
    let text = match val {
        Val::Array(all) => match &**all {
            Array::Char(all) => all.iter().map(|&c| c as u8).collect(),
            Array::UChar(all) => all.clone(),
            _ => Vec::new(),
        },
        val => val.as_text().to_vec(),
    };
    let end = text.iter().position(|&c| c == 0).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str, val: impl Into<Val>) -> String {
        let pieces = parse(format.as_bytes());
        let [Piece::Directive(directive)] = pieces.as_slice() else {
            panic!("{format}: {pieces:?}");
        };
        String::from_utf8(directive.show(&val.into(), 100)).unwrap()
    }

    #[test]
    fn numbers_are_shown_as_by_c() {
        for (format, value, expected) in [
            ("%d", 5.0, "5"),
            ("%+5d", 5.0, "   +5"),
            ("%-5d", -5.0, "-5   "),
            ("%05d", -5.0, "-0005"),
            ("%05.3d", 5.0, "  005"),
            ("%x", 255.0, "ff"),
            ("%#06X", 255.0, "0X00FF"),
            ("%#o", 8.0, "010"),
            ("%f", 1.5, "1.500000"),
            ("%08.2f", -1.5, "-0001.50"),
            ("%E", 1500.0, "1.500000E+03"),
            ("%g", 0.0001, "0.0001"),
            ("%.0f", 2.5, "2"),
        ] {
            let val = match Directive::parse(format.as_bytes()).unwrap().0.argument() {
                Some(Some(Dbf::Double)) => Val::Double(value),
                _ => Val::Long(value as i32),
            };
            assert_eq!(shown(format, val), expected, "{format}");
        }
        assert_eq!(shown("%5.2s", "abc"), "   ab");
    }
}
