//! Text from peers on one line, without effect on a terminal, and such that it can be typed again.

use core::fmt::{self, Write};

/// Whether a character is seen where it stands and changes nothing around it.
///
/// False for control characters (C0, DEL, C1), for what directs the order of writing, for line and
/// paragraph separators, and for what has no shape of its own: zero width, fillers, variation
/// selectors, tags. These are the characters of the general categories Cc, Zl and Zp and of the property
/// `Default_Ignorable_Code_Point` (Unicode 16.0, `DerivedCoreProperties.txt`), which holds all of
/// `Bidi_Control`, and the interlinear annotation characters.
///
/// # Examples
/// ```
/// use ca_proto::text::is_plain;
/// assert!(is_plain('°') && is_plain('ه') && is_plain(' '));
/// assert!(!is_plain('\u{9b}') && !is_plain('\u{202e}') && !is_plain('\u{200b}'));
/// ```
pub const fn is_plain(c: char) -> bool {
    !matches!(c,
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Prints bytes as one line of text: characters that are [plain](is_plain) as they are, a backslash
/// as `\\`, control characters as C escapes or `\xhh`, other characters as `\u{hhhh}`, and bytes that are
/// not UTF-8 as `\xhh`.
///
/// Different bytes give different texts, so that the text stands for them.
///
/// # Examples
/// ```
/// use ca_proto::text::Plain;
/// assert_eq!(Plain("20 °C".as_bytes()).to_string(), "20 °C");
/// assert_eq!(Plain(b"20 \xb0C\n\\").to_string(), r"20 \xb0C\n\\");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a>(pub &'a [u8]);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => f.write_str(r"\n")?,
                    '\r' => f.write_str(r"\r")?,
                    '\t' => f.write_str(r"\t")?,
                    '\\' => f.write_str(r"\\")?,
                    c => write_plain(f, c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Writes a character, as an escape unless it is plain. A backslash counts as plain here.
pub fn write_plain(f: &mut impl Write, c: char) -> fmt::Result {
    match c {
        c if is_plain(c) => f.write_char(c),
        // `\x` is a byte, and only here a character is one byte of UTF-8.
        c if c.is_ascii() => write!(f, "\\x{:02x}", u32::from(c)),
        c => write!(f, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Prints anything as one line without effect on a terminal, for messages that quote what somebody else has
/// written: characters that are [plain](is_plain) and backslashes as they are, all others as [`Plain`] does.
///
/// # Examples
/// ```
/// use ca_proto::text::Shown;
/// let key = "uni\u{9b}31mts\n";
/// assert_eq!(
///     Shown(format_args!("there is no key `{key}`")).to_string(),
///     r"there is no key `uni\u{9b}31mts\n`"
/// );
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Escaping<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                if text.chars().all(is_plain) {
                    return self.0.write_str(text);
                }
                text.chars().try_for_each(|c| match c {
                    '\n' => self.0.write_str(r"\n"),
                    '\r' => self.0.write_str(r"\r"),
                    '\t' => self.0.write_str(r"\t"),
                    c => write_plain(self.0, c),
                })
            }
        }
        write!(Escaping(f), "{}", self.0)
    }
}

/// Prints a line of a file to be pointed at: tabs stay, and what is not [plain](is_plain) becomes a replacement
/// character, so that every character stands where it stood.
///
/// # Examples
/// ```
/// use ca_proto::text::InPlace;
/// assert_eq!(InPlace("a\u{9b}b\tc").to_string(), "a\u{fffd}b\tc");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct InPlace<'a>(pub &'a str);

impl InPlace<'_> {
    /// The place in what is printed of a place in the line, both in bytes.
    pub fn place(&self, at: usize) -> usize {
        let before = self.0.char_indices().take_while(|&(begin, _)| begin < at);
        before.map(|(_, c)| seen(c).len_utf8()).sum()
    }
}

const fn seen(c: char) -> char {
    match c {
        '\t' => c,
        c if is_plain(c) => c,
        _ => '\u{fffd}',
    }
}

impl fmt::Display for InPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(seen(c)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_is_not_seen_or_moves_other_text_is_escaped() {
        for c in [
            '\u{80}',
            '\u{85}',
            '\u{9b}',
            '\u{9f}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
        ] {
            let mut bytes = [0; 4];
            let text = Plain(c.encode_utf8(&mut bytes).as_bytes()).to_string();
            assert_eq!(text, alloc::format!("\\u{{{:x}}}", u32::from(c)));
        }
        assert_eq!(Plain(b"\x1b[31m\x7f").to_string(), r"\x1b[31m\x7f");
    }

    #[test]
    fn a_byte_and_the_character_of_that_number_differ() {
        assert_eq!(Plain(b"\x9b").to_string(), r"\x9b");
        assert_eq!(Plain("\u{9b}".as_bytes()).to_string(), r"\u{9b}");
        assert_eq!(Plain(b"\\x9b").to_string(), r"\\x9b");
    }

    #[test]
    fn writing_of_people_stays() {
        for text in [
            "µm °C",
            "Größe",
            "日本語",
            "العربية",
            "עברית",
            "ελληνικά",
            "🙂",
        ] {
            assert_eq!(Plain(text.as_bytes()).to_string(), text);
        }
    }

    /// Room for so many bytes, after which writing fails.
    struct Short(alloc::string::String, usize);
    impl Write for Short {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = self.1 - self.0.len();
            match text.len() <= room {
                true => self.0.write_str(text),
                false => Err(fmt::Error),
            }
        }
    }

    #[test]
    fn controls_have_the_escapes_of_c() {
        assert_eq!(Plain(b"a\n\r\t\\b").to_string(), r"a\n\r\t\\b");
        // Messages quote what has been quoted: a backslash stays.
        assert_eq!(Shown("a\n\r\t\\b").to_string(), r"a\n\r\t\b");
        for c in ('\0'..='\x1f').chain(['\x7f']) {
            let escape = match c {
                '\n' => r"\n".to_string(),
                '\r' => r"\r".to_string(),
                '\t' => r"\t".to_string(),
                c => alloc::format!("\\x{:02x}", u32::from(c)),
            };
            assert_eq!(Shown(c).to_string(), escape);
            assert_eq!(Plain(&[c as u8]).to_string(), escape);
        }
    }

    #[test]
    fn what_is_quoted_in_a_message_stays_on_its_line() {
        assert_eq!(Shown("°C, a\\b").to_string(), "°C, a\\b");
        let parts = format_args!("{}|{:?}|{}", "\u{1b}[2J", 'x', "\u{202e}\u{85}").to_string();
        assert_eq!(Shown(parts).to_string(), r"\x1b[2J|'x'|\u{202e}\u{85}");
    }

    #[test]
    fn what_is_pointed_at_stands_where_it_stood() {
        let line = InPlace("\tÄ\u{9b}b\u{200b}\u{7f}c");
        let seen = line.to_string();
        assert_eq!(seen, "\tÄ\u{fffd}b\u{fffd}\u{fffd}c");
        assert_eq!(seen.chars().count(), line.0.chars().count());
        // A character is found again, though it has grown from two bytes to three or from one to three.
        for (at, c) in line.0.char_indices().filter(|&(_, c)| is_plain(c)) {
            assert!(seen[line.place(at)..].starts_with(c), "{at}");
        }
        assert_eq!(line.place(line.0.len()), seen.len());
        assert_eq!(line.place(usize::MAX), seen.len());
    }

    #[test]
    fn a_text_that_has_no_room_is_an_error() {
        let whole = "a\u{1b}\n\u{200b}é";
        let escaped = Shown(whole).to_string();
        for room in 0..=escaped.len() {
            let mut shown = Short(alloc::string::String::new(), room);
            let result = write!(shown, "{}", Shown(whole));
            assert_eq!(result.is_ok(), room == escaped.len());
            assert!(escaped.starts_with(&shown.0), "{room}");
            let mut plain = Short(alloc::string::String::new(), room);
            let result = write!(plain, "{}", Plain(whole.as_bytes()));
            assert_eq!(result.is_ok(), room == escaped.len());
            let mut placed = Short(alloc::string::String::new(), room);
            let result = write!(placed, "{}", InPlace(whole));
            assert_eq!(result.is_ok(), room >= InPlace(whole).to_string().len());
        }
    }
}
