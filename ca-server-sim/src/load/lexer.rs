//! Words of `.db` and `.dbd` files, line by line, through macros and `include`s.
//!
//! The rules are those of `dbLex.l` and `db_yyinput` of EPICS Base: macros are expanded line by line before words
//! are looked for, no word goes beyond its line, and an included file is read when the line that names it ends.

use std::sync::Arc;

use super::macros::{Expanded, MacroProblem, Macros};
use super::source::Place;

/// What kind of word it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A word of the language, outside of values.
    Keyword(Keyword),
    /// A name or number without quotes.
    Bare,
    /// Text in quotes; the word is without them.
    Quoted,
    /// In a value: a number.
    Number,
    /// In a value: text in quotes of which JSON does not allow some character.
    BadString,
    /// Quotes that the line does not close.
    Unclosed,
    /// `%` and what follows it.
    Definition,
    /// `{ } ( ) , : [ ]`; the last three in values only.
    Punctuation(u8),
    /// A character that begins no word.
    Invalid(u8),
    /// No more words.
    End,
}

macro_rules! keywords {
    ($($variant:ident $text:literal)+) => {
        /// Words of the language.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Keyword { $($variant),+ }

        impl Keyword {
            pub(super) const ALL: &[&str] = &[$($text),+];

            fn find(word: &[u8]) -> Option<Self> {
                // Most words are none of these.
                if word.len() > 10 || !matches!(word[0], b'a' | b'b' | b'c' | b'd' | b'f' | b'g' | b'i' | b'l' | b'm' | b'p' | b'r' | b's' | b'v') {
                    return None;
                }
                $(if word == $text.as_bytes() { return Some(Self::$variant); })+
                None
            }

            pub(super) const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

keywords! {
    Record "record" Field "field" Info "info" Alias "alias" GRecord "grecord" Include "include" Path "path"
    AddPath "addpath" Menu "menu" Choice "choice" RecordType "recordtype" Device "device" Driver "driver" Link "link"
    BreakTable "breaktable" Registrar "registrar" Function "function" Variable "variable" Substitute "substitute"
}

/// A word and where it is in the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) kind: Kind,
    start: usize,
    end: usize,
    /// The first word of its line.
    pub(super) first: bool,
}

/// Which words there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// Outside of values.
    Plain,
    /// In the value of a field or info item.
    Json,
}

/// A file that is being read.
#[derive(Debug)]
struct Frame {
    reading: u32,
    text: Arc<[u8]>,
    /// Where the next line begins.
    next: usize,
}

/// The line that is being read.
#[derive(Debug, Default)]
struct Line {
    reading: u32,
    text: Arc<[u8]>,
    /// Begin and end in the file, with what ends the line.
    start: usize,
    end: usize,
    /// Whether what is read is `Lexer::expanded`.
    is_expanded: bool,
    /// Where the next word is looked for.
    at: usize,
    /// Whether a word of this line was read.
    begun: bool,
}

/// Reads words.
#[derive(Debug)]
pub(super) struct Lexer {
    frames: Vec<Frame>,
    line: Line,
    expanded: Expanded,
    pub(super) macros: Macros,
    /// Bytes of lines, and bytes looked at for macros.
    pub(super) work: usize,
    /// Problems of macros of the line, with their places, until they are told.
    pub(super) troubles: Vec<(MacroProblem, Place)>,
}

impl Lexer {
    pub(super) fn new(macros: Macros) -> Self {
        Self {
            frames: Vec::new(),
            line: Line::default(),
            expanded: Expanded::default(),
            macros,
            work: 0,
            troubles: Vec::new(),
        }
    }

    /// Reads from this file next, when the present line ends.
    pub(super) fn push(&mut self, reading: u32, text: Arc<[u8]>) {
        self.frames.push(Frame {
            reading,
            text,
            next: 0,
        });
    }

    /// Files that are being read, one in another.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Leaves everything unread.
    pub(super) fn stop(&mut self) {
        self.frames.clear();
        self.line.at = usize::MAX;
    }

    /// The bytes of a word of the present line.
    pub(super) fn text(&self, word: Word) -> &[u8] {
        &self.bytes()[word.start..word.end]
    }

    /// A word with its quotes.
    pub(super) fn raw(&self, word: Word) -> &[u8] {
        let quotes = usize::from(matches!(word.kind, Kind::Quoted | Kind::BadString));
        &self.bytes()[word.start - quotes..word.end + quotes]
    }

    /// Goes back to a word of the present line.
    pub(super) fn again(&mut self, word: Word) {
        self.line.at = word.start;
        self.line.begun = !word.first;
    }

    /// What looks like one word to people: up to a blank, comma or parenthesis.
    pub(super) fn rest_of_word(&self, word: Word) -> Vec<u8> {
        let bytes = self.bytes();
        let ends = |byte: &u8| b" \t\r\n,(){}\"".contains(byte);
        let length = bytes[word.start..].iter().position(ends);
        let end = length.map_or(bytes.len(), |length| word.start + length);
        bytes[word.start..end.max(word.end)].to_vec()
    }

    /// No word, before the first one is read.
    pub(super) const fn nothing(&self) -> Word {
        Word {
            kind: Kind::End,
            start: 0,
            end: 0,
            first: true,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self.line.is_expanded {
            true => &self.expanded.text,
            false => &self.line.text[self.line.start..self.line.end],
        }
    }

    /// Where a word of the present line is in its file.
    pub(super) fn place(&self, word: Word) -> Place {
        // Quotes belong to what is shown.
        let quotes = usize::from(matches!(word.kind, Kind::Quoted | Kind::BadString));
        let (start, end) = (word.start.saturating_sub(quotes), word.end + quotes);
        let (start, end) = match self.line.is_expanded {
            true => (self.unexpanded(start, false), self.unexpanded(end, true)),
            false => (start, end),
        };
        let offset = |at: usize| u32::try_from(self.line.start + at).unwrap_or(u32::MAX);
        Place {
            reading: self.line.reading,
            start: offset(start),
            end: offset(end.max(start)),
        }
    }

    /// The byte of the line as it is in the file for one of the expanded line.
    fn unexpanded(&self, at: usize, is_end: bool) -> usize {
        let references = &self.expanded.references;
        let before = references.partition_point(|one| match is_end {
            true => one.result.1 < at,
            false => one.result.1 <= at,
        });
        if let Some(inside) = references.get(before)
            && (inside.result.0 < at || (!is_end && inside.result.0 == at))
        {
            return if is_end {
                inside.source.1
            } else {
                inside.source.0
            };
        }
        match before.checked_sub(1).and_then(|last| references.get(last)) {
            Some(last) => last.source.1 + (at - last.result.1),
            None => at,
        }
    }

    /// The line as it is with its macros expanded, if that changed something in the place of this word.
    pub(super) fn note(&self, place: Place) -> Option<String> {
        if !self.line.is_expanded || place.reading != self.line.reading {
            return None;
        }
        let begin = (place.start as usize).checked_sub(self.line.start)?;
        let end = (place.end as usize).checked_sub(self.line.start)?;
        let touched =
            |one: &super::macros::MacroReference| one.source.0 < end && one.source.1 > begin;
        let changed = self.expanded.references.iter().any(touched);
        let line = super::source::shown(self.expanded.text.trim_ascii());
        changed.then(|| format!("with its macros the line is: {line}"))
    }

    /// The next word. Its text can be asked for until the next one is read.
    pub(super) fn next(&mut self, mode: Mode) -> Word {
        loop {
            let bytes = self.bytes();
            let at = run(bytes, self.line.at.min(bytes.len()), BLANK);
            let found = match (bytes.get(at), mode) {
                (None | Some(0 | b'#'), _) => None,
                (Some(_), Mode::Plain) => Some(plain(bytes, at)),
                (Some(_), Mode::Json) => Some(json(bytes, at)),
            };
            let Some((kind, start, end, next)) = found else {
                // A text of C ends at a 0, and so does the line. As there is nothing in a line that begins
                // with one, the reference takes it for the end of all.
                if at == 0 && bytes.first() == Some(&0) {
                    self.stop();
                }
                if self.line.at == usize::MAX || !self.next_line() {
                    return self.end();
                }
                continue;
            };
            self.line.at = next;
            let first = !std::mem::replace(&mut self.line.begun, true);
            return Word {
                kind,
                start,
                end,
                first,
            };
        }
    }

    /// Takes one character if it is next on the line, which it is in most cases.
    #[inline]
    pub(super) fn take(&mut self, wanted: u8) -> Option<Word> {
        let bytes = self.bytes();
        let start = run(bytes, self.line.at.min(bytes.len()), BLANK);
        if bytes.get(start) != Some(&wanted) {
            return None;
        }
        self.line.at = start + 1;
        let first = !std::mem::replace(&mut self.line.begun, true);
        Some(Word {
            kind: Kind::Punctuation(wanted),
            start,
            end: start + 1,
            first,
        })
    }

    #[cold]
    fn end(&mut self) -> Word {
        self.line.at = usize::MAX;
        let at = self.bytes().len();
        Word {
            kind: Kind::End,
            start: at,
            end: at,
            first: true,
        }
    }

    /// Takes the next line of the innermost file that has one.
    #[inline(never)]
    fn next_line(&mut self) -> bool {
        let frame = loop {
            let Some(frame) = self.frames.last_mut() else {
                return false;
            };
            if frame.next < frame.text.len() {
                break frame;
            }
            self.frames.pop();
        };
        let start = frame.next;
        let rest = &frame.text[start..];
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        frame.next += length;
        if self.line.reading != frame.reading || self.line.text.is_empty() {
            self.line.reading = frame.reading;
            self.line.text = Arc::clone(&frame.text);
        }
        self.line.start = start;
        self.line.end = start + length;
        self.line.at = 0;
        self.line.begun = false;
        self.line.is_expanded = false;
        self.work += length;
        self.expand();
        true
    }

    fn expand(&mut self) {
        let raw = &self.line.text[self.line.start..self.line.end];
        let opens = |at: usize| matches!(raw.get(at + 1), Some(b'(' | b'{'));
        if !memchr::memchr_iter(b'$', raw).any(opens) || raw.trim_ascii_start().starts_with(b"#") {
            return;
        }
        // A text of C ends at the first 0.
        let raw = &raw[..memchr::memchr(0, raw).unwrap_or(raw.len())];
        self.macros.expand_into(raw, &mut self.expanded);
        self.work += self.expanded.steps + self.expanded.text.len();
        self.line.is_expanded = true;
        for problem in self.expanded.problems.drain(..) {
            let offset = |at: usize| u32::try_from(self.line.start + at).unwrap_or(u32::MAX);
            let place = Place {
                reading: self.line.reading,
                start: offset(problem.span.0),
                end: offset(problem.span.1),
            };
            self.troubles.push((problem, place));
        }
    }
}

/// Kind, begin and end of a word, and where the next one may begin.
type Found = (Kind, usize, usize, usize);

/// Characters of a name without quotes.
const BARE: u8 = 1;
/// Characters of a value without quotes.
const BARE_VALUE: u8 = 2;
/// Characters between words.
const BLANK: u8 = 4;
/// Characters of a text that mean nothing but themselves.
const TEXT: u8 = 8;

/// What each byte may be.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let value = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.');
        let bare = value || matches!(byte, b':' | b'[' | b']' | b'<' | b'>' | b';');
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let text = byte >= b' ' && !matches!(byte, b'"' | b'\'' | b'\\');
        classes[at] = (bare as u8 * BARE)
            | (value as u8 * BARE_VALUE)
            | (blank as u8 * BLANK)
            | (text as u8 * TEXT);
        at += 1;
    }
    classes
};

/// The first place from `at` on whose byte is not of the class.
#[inline]
fn run(bytes: &[u8], at: usize, class: u8) -> usize {
    let other = |&byte: &u8| CLASSES[usize::from(byte)] & class == 0;
    let length = bytes[at..].iter().position(other);
    length.map_or(bytes.len(), |length| at + length)
}

const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

fn plain(bytes: &[u8], at: usize) -> Found {
    let first = bytes[at];
    match first {
        b'{' | b'}' | b'(' | b')' | b',' => (Kind::Punctuation(first), at, at + 1, at + 1),
        b'"' => match closing(bytes, at) {
            Ok(end) => (Kind::Quoted, at + 1, end, end + 1),
            Err(end) => (Kind::Unclosed, at, end, end),
        },
        b'%' => {
            let end = memchr::memchr2(b'\n', 0, &bytes[at..]);
            let end = end.map_or(bytes.len(), |length| at + length);
            (Kind::Definition, at + 1, end, end)
        }
        _ if is(first, BARE) => {
            let end = run(bytes, at, BARE);
            let keyword = Keyword::find(&bytes[at..end]);
            (keyword.map_or(Kind::Bare, Kind::Keyword), at, end, end)
        }
        _ => (Kind::Invalid(first), at, at + 1, at + 1),
    }
}

/// The quote that closes the one at this place; else where the line ends. A backslash protects what follows.
fn closing(bytes: &[u8], open: usize) -> Result<usize, usize> {
    let quote = bytes[open];
    let mut at = open + 1;
    loop {
        at = run(bytes, at, TEXT);
        match bytes.get(at) {
            Some(&byte) if byte == quote => return Ok(at),
            None | Some(b'\n' | 0) => return Err(at),
            Some(b'\\') if !matches!(bytes.get(at + 1), None | Some(b'\n' | 0)) => at += 2,
            Some(b'\\') => return Err(at + 1),
            Some(_) => at += 1,
        }
    }
}

fn json(bytes: &[u8], at: usize) -> Found {
    let first = bytes[at];
    match first {
        b'{' | b'}' | b'[' | b']' | b',' | b':' => (Kind::Punctuation(first), at, at + 1, at + 1),
        b'"' | b'\'' => {
            let end = run(bytes, at + 1, TEXT);
            if bytes.get(end) == Some(&first) {
                return (Kind::Quoted, at + 1, end, end + 1);
            }
            match closing(bytes, at) {
                Ok(end) => {
                    let kind = match is_json_text(&bytes[at + 1..end]) {
                        true => Kind::Quoted,
                        false => Kind::BadString,
                    };
                    (kind, at + 1, end, end + 1)
                }
                Err(end) => (Kind::Unclosed, at, end, end),
            }
        }
        _ if is(first, BARE_VALUE) => {
            let end = run(bytes, at, BARE_VALUE);
            let kind = match is_number(&bytes[at..end]) {
                true => Kind::Number,
                false => Kind::Bare,
            };
            (kind, at, end, end)
        }
        _ => (Kind::Invalid(first), at, at + 1, at + 1),
    }
}

/// Whether text between quotes may stand in a value.
fn is_json_text(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let hex = |digits: usize| {
            let digits = text.get(at + 2..at + 2 + digits);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        at += match (byte, text.get(at + 1)) {
            (b'\\', Some(b'x')) if hex(2) => 4,
            (b'\\', Some(b'u')) if hex(4) => 6,
            (b'\\', None | Some(b'x' | b'u' | b'1'..=b'9' | 0)) => return false,
            (b'\\', _) => 2,
            (..0x20, _) => return false,
            _ => 1,
        };
    }
    true
}

/// Whether a word is a number of JSON5, so that no quotes are put around it.
fn is_number(word: &[u8]) -> bool {
    let body = word.strip_prefix(b"-").or_else(|| word.strip_prefix(b"+"));
    let body = body.unwrap_or(word);
    if let Some(hex) = body
        .strip_prefix(b"0x")
        .or_else(|| body.strip_prefix(b"0X"))
    {
        return !hex.is_empty() && hex.iter().all(u8::is_ascii_hexdigit);
    }
    if body == b"Infinity" || word == b"NaN" {
        return true;
    }
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(body);
    // No zeros before other digits.
    if whole > 1 && body[0] == b'0' {
        return false;
    }
    let mut rest = &body[whole..];
    let mut fraction = 0;
    if let Some(behind) = rest.strip_prefix(b".") {
        fraction = digits(behind);
        rest = &behind[fraction..];
    }
    if whole + fraction == 0 {
        return false;
    }
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = exponent
                .strip_prefix(b"-")
                .or_else(|| exponent.strip_prefix(b"+"))
                .unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}
