//! Which text a record came from: files, places in them, and the way that led there.

use std::sync::Arc;

use ca_proto::text::is_plain;

/// Bytes of one reading of a file.
///
/// A template that is expanded a hundred times is read a hundred times; each reading knows what caused it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub(super) reading: u32,
    /// First byte in the file.
    pub start: u32,
    /// The byte behind the last one.
    pub end: u32,
}

impl Place {
    /// From the begin of this place to the end of another in the same reading; else this place.
    pub(super) fn to(self, other: Self) -> Self {
        match self.reading == other.reading && other.end >= self.start {
            true => Self {
                end: other.end,
                ..self
            },
            false => self,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    pub(super) name: Arc<str>,
    pub(super) text: Arc<[u8]>,
}

/// One reading of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) file: u32,
    /// What asked for the file.
    pub(super) from: Option<Place>,
}

/// The files that were read, and how it came to each.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub(super) files: Vec<SourceFile>,
    pub(super) readings: Vec<Reading>,
}

/// A place as people name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located {
    /// The file.
    pub file: Arc<str>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// The line in which a place is.
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// Of the place in the line, in bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) number: usize,
}

impl Sources {
    pub(super) fn file(&self, place: Place) -> &SourceFile {
        &self.files[self.readings[place.reading as usize].file as usize]
    }

    /// The line of a place, without what ends it.
    pub(super) fn line(&self, place: Place) -> Line<'_> {
        let text = &self.file(place).text;
        let start = (place.start as usize).min(text.len());
        let end = (place.end as usize).clamp(start, text.len());
        let begin = text[..start].iter().rposition(|&b| b == b'\n');
        let begin = begin.map_or(0, |at| at + 1);
        let length = text[begin..].iter().position(|&b| b == b'\n');
        let line = &text[begin..length.map_or(text.len(), |length| begin + length)];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let number = 1 + text[..begin].iter().filter(|&&b| b == b'\n').count();
        Line {
            text: line,
            start: (start - begin).min(line.len()),
            end: (end - begin).min(line.len()),
            number,
        }
    }

    /// File, line and column of a place.
    pub fn locate(&self, place: Place) -> Located {
        let line = self.line(place);
        Located {
            file: Arc::clone(&self.file(place).name),
            line: line.number,
            column: 1 + characters(&line.text[..line.start]),
        }
    }

    /// What caused the file of a place to be read, the nearest first: `include`s and templates.
    pub fn chain(&self, place: Place) -> impl Iterator<Item = Place> {
        let from = move |place: Place| self.readings[place.reading as usize].from;
        std::iter::successors(from(place), move |&place| from(place))
    }
}

/// Characters of a text, which is Latin-1 if it is not UTF-8.
pub(super) fn characters(text: &[u8]) -> usize {
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().count(),
        Err(_) => text.len(),
    }
}

/// A text for people: UTF-8, else Latin-1; what cannot be printed as an escape. Cut where it is very long.
pub(super) fn shown(text: &[u8]) -> String {
    /// Characters; what people look at is shorter.
    const MOST: usize = 120;
    let mut out = String::new();
    let mut add = |c: char| match is_plain(c) {
        true => out.push(c),
        false => out.extend(c.escape_default()),
    };
    let long = match std::str::from_utf8(text) {
        Ok(text) => {
            text.chars().take(MOST).for_each(&mut add);
            text.chars().nth(MOST).is_some()
        }
        Err(_) => {
            text.iter().take(MOST).for_each(|&b| add(char::from(b)));
            text.len() > MOST
        }
    };
    if long {
        out.push('…');
    }
    out
}
