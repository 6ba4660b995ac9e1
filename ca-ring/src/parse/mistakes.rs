//! Mistakes in a lattice: all of them, each with its place and its line.

use std::fmt;

/// Mistakes that are kept; further ones are counted.
const MAX_KEPT: usize = 20;
/// Letters that a slip may change for each three there are.
const LETTERS: usize = 3;
/// Bytes of a word that is looked for among the known ones, at most.
const MAX_WORD: usize = 64;
/// Characters of a line that are shown, at most.
const MAX_SHOWN: usize = 160;

/// One mistake in a lattice.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
    /// The line itself, without what would harm a terminal; at most 160 characters.
    pub text: String,
}

/// What is wrong with a lattice: at least one mistake, at most twenty, in the order of the text. Further ones are
/// counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    mistakes: Vec<Mistake>,
    more: usize,
}

impl ParseError {
    /// The mistakes; never empty.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// How many there are, those that are not kept included.
    pub const fn count(&self) -> usize {
        self.mistakes.len() + self.more
    }

    /// The mistakes with the name of the file before each.
    pub fn in_file<'a>(&'a self, file: &'a dyn fmt::Display) -> impl fmt::Display + 'a {
        Shown {
            error: self,
            file: Some(file),
        }
    }
}

struct Shown<'a> {
    error: &'a ParseError,
    file: Option<&'a dyn fmt::Display>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.error.mistakes.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            if let Some(file) = self.file {
                write!(f, "{file}: ")?;
            }
            let Mistake {
                line, column, what, ..
            } = mistake;
            write!(f, "line {line}, column {column}: {what}")?;
            let number = line.to_string();
            let (gap, before) = (" ".repeat(number.len()), column.saturating_sub(1));
            write!(f, "\n  {number} | {}", mistake.text)?;
            if before < MAX_SHOWN {
                write!(f, "\n  {gap} | {}^", " ".repeat(before))?;
            }
        }
        match self.error.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Shown {
            error: self,
            file: None,
        };
        shown.fmt(f)
    }
}

impl std::error::Error for ParseError {}

/// What is wrong, and where: a byte of the text.
#[derive(Debug)]
pub(super) struct Slip {
    pub(super) at: usize,
    pub(super) what: String,
}

/// Mistakes as they are found.
#[derive(Debug, Default)]
pub(super) struct Found {
    slips: Vec<Slip>,
    more: usize,
}

impl Found {
    /// One mistake for each place: the first one that is seen.
    pub(super) fn add(&mut self, slip: Slip) {
        if self.slips.iter().any(|known| known.at == slip.at) {
            return;
        }
        match self.slips.len() < MAX_KEPT {
            true => self.slips.push(slip),
            false => self.more += 1,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.slips.is_empty()
    }

    /// Whether another one would be kept: what costs much to find out is left when it would not.
    pub(super) const fn has_room(&self) -> bool {
        self.slips.len() < MAX_KEPT
    }

    pub(super) fn error(mut self, text: &str) -> ParseError {
        self.slips.sort_by_key(|slip| slip.at);
        let mistakes = self.slips.into_iter().map(|slip| {
            let before = text.get(..slip.at).unwrap_or(text);
            let start = before.rfind('\n').map_or(0, |end| end + 1);
            let line = text.get(start..).unwrap_or_default();
            let line = line.lines().next().unwrap_or_default();
            Mistake {
                line: before.matches('\n').count() + 1,
                column: before.get(start..).map_or(0, |part| part.chars().count()) + 1,
                what: slip.what,
                text: line.chars().take(MAX_SHOWN).map(harmless).collect(),
            }
        });
        ParseError {
            mistakes: mistakes.collect(),
            more: self.more,
        }
    }
}

fn harmless(char: char) -> char {
    match char {
        '\t' => ' ',
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{24f}' => char,
        _ => '\u{fffd}',
    }
}

/// The known word that is most like one, as a question behind a message; else nothing.
pub(super) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let may_differ = given.len() / LETTERS + 1;
    if given.len() > MAX_WORD {
        return String::new();
    }
    let near = known
        .into_iter()
        .filter(|word| word.len().abs_diff(given.len()) <= may_differ);
    let distances = near.map(|word| (strsim::osa_distance(given, word), word));
    match distances.min() {
        Some((distance, word)) if distance <= given.len().max(word.len()) / LETTERS => {
            format!("; did you mean `{word}`?")
        }
        _ => String::new(),
    }
}
