//! The text of a save file.

use ca_proto::text::Shown;

/// A value of a save file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SavedValue {
    /// A text or number, its escapes resolved.
    Scalar(Box<[u8]>),
    /// `@array@ { "1" "2" }`
    Array(Vec<Box<[u8]>>),
}

/// A field with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved {
    /// The field; without one, VAL is meant.
    pub name: String,
    /// Its value.
    pub value: SavedValue,
    /// The line, from 1.
    pub line: usize,
}

/// A save file that is whole.
///
/// ```
/// use ca_server_sim::autosave::{SaveFile, SavedValue};
///
/// let text = b"# made by hand\nsr:gap.VAL 1.5\nsr:wave @array@ { \"1\" \"2\" }\n<END>\n";
/// let file = SaveFile::read("sr.sav", text)?;
/// assert_eq!(file.entries[0].name, "sr:gap.VAL");
/// assert_eq!(file.entries[1].value, SavedValue::Array(vec![b"1"[..].into(), b"2"[..].into()]));
/// assert!(SaveFile::read("sr.sav", &text[..40]).is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SaveFile {
    /// Fields with values, in the order of the file.
    pub entries: Vec<Saved>,
    /// Fields that had no value when the file was written, as its line with `!` says.
    pub missing: usize,
    /// Lines that are odd: what is the matter, with file and line.
    pub odd: Vec<String>,
}

/// Remarks on one file.
const MAX_ODD: usize = 50;
/// Bytes of the name of a field.
const MAX_NAME: usize = 80;

impl SaveFile {
    /// Reads a text; `name` is for what is said about it.
    ///
    /// # Errors
    /// The file has no `<END>`, so its end is missing: where it breaks off.
    pub fn read(name: &str, text: &[u8]) -> Result<Self, String> {
        let mut file = Self::default();
        let mut rest = text;
        let mut line = 0;
        while !rest.is_empty() {
            line += 1;
            let end = rest.iter().position(|&b| b == b'\n');
            let (now, later) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = later;
            let now = now.trim_ascii_start();
            let blank = now.iter().position(u8::is_ascii_whitespace);
            let (word, value) = now.split_at(blank.unwrap_or(now.len()));
            if word.starts_with(b"<END>") {
                return Ok(file);
            }
            // One blank stands between name and value; others are the value's.
            let value = value.get(1..).unwrap_or_default();
            let (value, lines) = match value.starts_with(b"@array@") {
                true => match array(value, rest) {
                    Some((all, used, lines)) => {
                        rest = &rest[used..];
                        (SavedValue::Array(all), lines)
                    }
                    None => break,
                },
                false => {
                    let value = value.strip_suffix(b"\n").unwrap_or(value);
                    let value = value.strip_suffix(b"\r").unwrap_or(value);
                    (SavedValue::Scalar(raw(value)), 0)
                }
            };
            match word.first() {
                None | Some(b'#') => {}
                Some(b'!') => {
                    let digits = now[1..].trim_ascii_start();
                    let digits = digits.split(|b| !b.is_ascii_digit()).next();
                    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                    file.missing = digits.and_then(|digits| digits.parse().ok()).unwrap_or(1);
                }
                Some(b'<') => file.remark(name, line, now, "is no field"),
                Some(_) if word.len() >= MAX_NAME => {
                    file.remark(name, line, word, "is too long for the name of a field");
                }
                Some(_) => match std::str::from_utf8(word) {
                    Ok(word) => file.entries.push(Saved {
                        name: word.to_owned(),
                        value,
                        line,
                    }),
                    Err(_) => file.remark(name, line, word, "is no name"),
                },
            }
            line += lines;
        }
        let name = Shown(name);
        Err(format!(
            "{name}:{line}: the file ends without <END>, so a part of it is missing"
        ))
    }

    fn remark(&mut self, name: &str, line: usize, what: &[u8], why: &str) {
        if self.odd.len() < MAX_ODD {
            let what = &what[..what.len().min(60)];
            let what = what.trim_ascii_end().escape_ascii();
            let odd = format_args!("{name}:{line}: `{what}` {why}");
            self.odd.push(Shown(odd).to_string());
        }
    }
}

/// Elements, bytes that were used of what follows the line, and lines in them.
type Elements = (Vec<Box<[u8]>>, usize, usize);

/// `None` if it does not end.
fn array(first: &[u8], rest: &[u8]) -> Option<Elements> {
    let mut bytes = first.iter().chain(rest).copied().enumerate();
    bytes.by_ref().find(|&(_, b)| b == b'{')?;
    let mut all: Vec<Box<[u8]>> = Vec::new();
    loop {
        let (at, byte) = bytes.next()?;
        match byte {
            b'}' => {
                // The rest of that line has nothing.
                let mut used = (at + 1).saturating_sub(first.len());
                if at + 1 > first.len() {
                    let end = rest[used..].iter().position(|&b| b == b'\n');
                    used = end.map_or(rest.len(), |end| used + end + 1);
                }
                let lines = rest[..used].iter().filter(|&&b| b == b'\n').count();
                return Some((all, used, lines));
            }
            b'"' => {
                let mut text = Vec::new();
                loop {
                    match bytes.next()?.1 {
                        b'"' => break,
                        b'\\' => {
                            text.push(b'\\');
                            text.push(bytes.next()?.1);
                        }
                        // A line may break anywhere.
                        byte if byte.is_ascii_control() => {}
                        byte => text.push(byte),
                    }
                }
                all.push(raw(&text));
            }
            _ => {}
        }
    }
}

/// Without escapes (`epicsStrnRawFromEscaped`).
fn raw(text: &[u8]) -> Box<[u8]> {
    if !text.contains(&b'\\') {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&byte, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        match byte {
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let more = rest
                    .iter()
                    .take(2)
                    .take_while(|b| (b'0'..=b'7').contains(*b));
                let (more, digits) = (more.clone().count(), more);
                let number = digits.fold(u32::from(byte - b'0'), |sum, &b| {
                    sum * 8 + u32::from(b - b'0')
                });
                out.push(number as u8);
                rest = &rest[more..];
            }
            b'x' => {
                let digits = rest
                    .iter()
                    .take(2)
                    .take_while(|b| b.is_ascii_hexdigit())
                    .count();
                let text = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
                if let Ok(number) = u8::from_str_radix(text, 16) {
                    out.push(number);
                }
                rest = &rest[digits..];
            }
            byte => out.push(byte),
        }
    }
    out.into()
}
