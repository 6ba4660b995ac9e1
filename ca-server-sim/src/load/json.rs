//! JSON5 as the reference's parser takes it (`yajl` of EPICS Base): names without quotes, texts in single quotes,
//! comments are none.

use std::fmt;

use super::bounds::MAX_JSON_DEPTH;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without point and exponent.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// A text, as bytes.
    Text(Vec<u8>),
    /// A list.
    Array(Vec<Self>),
    /// Members in their order; names may be there twice.
    Object(Vec<(String, Self)>),
}

/// Why a text is not JSON5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JsonError {
    /// What was expected.
    pub wanted: &'static str,
    /// Byte at which it was.
    pub at: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is expected at byte {}", self.wanted, self.at)
    }
}

/// Reads a value that is all of the text.
///
/// # Errors
/// Says what is expected, and where.
pub fn parse(text: &[u8]) -> Result<Json, JsonError> {
    whole(text, false)
}

/// As [`parse`], also with comments: `/* … */`, and `//` up to the end of the line.
///
/// # Errors
/// As [`parse`].
pub fn parse_commented(text: &[u8]) -> Result<Json, JsonError> {
    whole(text, true)
}

fn whole(text: &[u8], comments: bool) -> Result<Json, JsonError> {
    let mut reader = Reader {
        text,
        at: 0,
        comments,
    };
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.wanted("the end")),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    comments: bool,
}

type Parsed<T> = Result<T, JsonError>;

const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

impl<'a> Reader<'a> {
    const fn wanted(&self, wanted: &'static str) -> JsonError {
        JsonError {
            wanted,
            at: self.at,
        }
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            let rest = &self.text[self.at..];
            self.at += match rest {
                [b'/', b'*', inner @ ..] if self.comments => {
                    match inner.windows(2).position(|end| end == b"*/") {
                        Some(end) => end + 4,
                        None => return Some(byte),
                    }
                }
                [b'/', b'/', inner @ ..] if self.comments => {
                    match inner.iter().position(|&byte| byte == b'\n') {
                        Some(end) => end + 3,
                        None => return Some(byte),
                    }
                }
                _ if matches!(byte, b' ' | b'\t'..=b'\r') => 1,
                _ => return Some(byte),
            };
        }
        None
    }

    fn value(&mut self, depth: usize) -> Parsed<Json> {
        if depth > MAX_JSON_DEPTH {
            return Err(self.wanted("less depth"));
        }
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                let mut members = Vec::new();
                while self.goes_on(b'}', members.is_empty())? {
                    members.push(self.member(depth)?);
                }
                Ok(Json::Object(members))
            }
            Some(b'[') => {
                self.at += 1;
                let mut values = Vec::new();
                while self.goes_on(b']', values.is_empty())? {
                    values.push(self.value(depth + 1)?);
                }
                Ok(Json::Array(values))
            }
            Some(b'"' | b'\'') => self.text().map(Json::Text),
            Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'I' | b'N') => self.number(),
            Some(b'a'..=b'z') => match self.bare() {
                b"null" => Ok(Json::Null),
                b"true" => Ok(Json::Bool(true)),
                b"false" => Ok(Json::Bool(false)),
                _ => Err(self.wanted("a value")),
            },
            _ => Err(self.wanted("a value")),
        }
    }

    /// Whether another element follows; takes the comma or what closes the list.
    fn goes_on(&mut self, close: u8, first: bool) -> Parsed<bool> {
        let mut next = self.peek();
        if !first && next == Some(b',') {
            self.at += 1;
            next = self.peek();
        } else if !first && next != Some(close) {
            return Err(self.wanted("a comma or the end of the list"));
        }
        match next {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(self.wanted("the end of the list")),
        }
    }

    fn member(&mut self, depth: usize) -> Parsed<(String, Json)> {
        let name = match self.peek() {
            Some(b'"' | b'\'') => self.text()?,
            Some(byte) if is_bare(byte) && !byte.is_ascii_digit() => self.bare().to_vec(),
            _ => return Err(self.wanted("the name of a member")),
        };
        if self.peek() != Some(b':') {
            return Err(self.wanted("a colon"));
        }
        self.at += 1;
        let value = self.value(depth + 1)?;
        Ok((String::from_utf8_lossy(&name).into_owned(), value))
    }

    fn bare(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| !is_bare(byte));
        let (bare, _) = rest.split_at(length.unwrap_or(rest.len()));
        self.at += bare.len();
        bare
    }

    fn number(&mut self) -> Parsed<Json> {
        let rest = &self.text[self.at..];
        let belongs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest.iter().position(|&byte| !belongs(byte));
        let word = &rest[..length.unwrap_or(rest.len())];
        let start = self.at;
        self.at += word.len();
        let none = JsonError {
            wanted: "a number",
            at: start,
        };
        let text = std::str::from_utf8(word).map_err(|_| none)?;
        let (negative, body) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let sign = |value: f64| Json::Real(if negative { -value } else { value });
        if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
            let value = i64::from_str_radix(hex, 16).map_err(|_| none)?;
            return Ok(Json::Integer(if negative { -value } else { value }));
        }
        match body {
            "Infinity" => Ok(sign(f64::INFINITY)),
            "NaN" => Ok(Json::Real(f64::NAN)),
            _ if !body.starts_with(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
                Err(none)
            }
            _ if body.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Json::Integer).map_err(|_| none)
            }
            _ => body.parse().map(sign).map_err(|_| none),
        }
    }

    fn text(&mut self) -> Parsed<Vec<u8>> {
        let quote = self.text[self.at];
        let start = self.at + 1;
        self.at = start;
        loop {
            match self.text.get(self.at) {
                Some(&byte) if byte == quote => break,
                Some(b'\\') => self.at += 2,
                Some(0x20..) => self.at += 1,
                _ => return Err(self.wanted("a quote")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        unescaped(raw).ok_or(JsonError {
            wanted: "an escape that is one",
            at: start,
        })
    }
}

/// Resolves the escapes of a text; `\u` gives UTF-8.
fn unescaped(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, behind) = rest.split_first()?;
        rest = behind;
        let mut hex = |digits: usize| {
            let (text, behind) = rest.split_at_checked(digits)?;
            rest = behind;
            u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
        };
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0' => out.push(0),
            b'x' => out.push(u8::try_from(hex(2)?).ok()?),
            b'u' => {
                let mut code = hex(4)?;
                if (0xd800..0xdc00).contains(&code) && rest.starts_with(b"\\u") {
                    let (text, behind) = rest[2..].split_at_checked(4)?;
                    let low = u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()?;
                    rest = behind;
                    code = 0x10000 + ((code & 0x3ff) << 10 | low & 0x3ff);
                }
                let mut buffer = [0; 4];
                let c = char::from_u32(code).unwrap_or('?');
                out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
            b'1'..=b'9' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}
