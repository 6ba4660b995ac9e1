//! Mistakes in files that people write: where, what, and the remedy.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use ca_client::ca_proto::text::{InPlace, Shown};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Mistakes that are kept and shown; further ones are counted.
const MAX_KEPT: usize = 50;
/// Letters that a slip may change for each three there are.
const LETTERS: usize = 3;

/// A mistake in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Mistake {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    span: Range<usize>,
}

/// Everything that is wrong with a file: each mistake with its line and what to do about it. At most 50 are
/// kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistakes {
    origin: String,
    text: String,
    found: Vec<Mistake>,
    more: usize,
}

impl Mistakes {
    /// None yet, in the text of a file of this name.
    pub(crate) fn new(origin: &str, text: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            text: text.to_owned(),
            found: Vec::new(),
            more: 0,
        }
    }

    pub(crate) fn add(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if self.found.len() >= MAX_KEPT {
            self.more += 1;
            return;
        }
        let start = span.start.min(self.text.len());
        let before = self.text.bytes().take(start).filter(|&byte| byte == b'\n');
        self.found.push(Mistake {
            line: 1 + before.count(),
            message: Shown(message.into()).to_string(),
            remedy: Shown(remedy.into()).to_string(),
            span: start..span.end.clamp(start, self.text.len()),
        });
    }

    /// How many were found so far.
    pub(crate) const fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// What was read, if nothing was wrong.
    pub(crate) fn or<T>(mut self, read: T) -> Result<T, Self> {
        self.found.sort_by_key(|one| one.span.start);
        match self.found.is_empty() {
            true => Ok(read),
            false => Err(self),
        }
    }

    /// The mistakes, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.found.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = Renderer::plain();
        for (n, one) in self.found.iter().enumerate() {
            let before = self.text.get(..one.span.start).unwrap_or_default();
            let begin = before.rfind('\n').map_or(0, |end| end + 1);
            let rest = self.text.get(begin..).unwrap_or_default();
            let line = InPlace(rest.lines().next().unwrap_or_default());
            let place = |at: usize| line.place((at - begin).min(line.0.len()));
            let snippet = Snippet::source(line.to_string())
                .line_start(one.line)
                .path(Shown(&self.origin).to_string())
                .annotation(
                    AnnotationKind::Primary.span(place(one.span.start)..place(one.span.end)),
                );
            let group = Level::ERROR.primary_title(&one.message).element(snippet);
            let group = group.element(Level::HELP.message(&one.remedy));
            let gap = if n == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{}", renderer.render(&[group]))?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n\n… and {more} more"),
        }
    }
}

impl std::error::Error for Mistakes {}

/// The known word that is most like one, as a question.
pub(crate) fn did_you_mean<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let distances = known
        .into_iter()
        .map(|word| (strsim::osa_distance(given, word), word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    let slip = distance <= given.chars().count().max(word.len()) / LETTERS;
    slip.then(|| format!("did you mean \"{word}\"?"))
}

/// A table that is read key by key; what is not a key of it is a mistake.
pub(crate) struct Table<'a> {
    /// For messages.
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(
        found: &mut Mistakes,
        name: String,
        span: Range<usize>,
        table: &'a DeTable<'a>,
        keys: &[&str],
    ) -> Self {
        for key in table.keys() {
            let text: &str = key.get_ref();
            if !keys.contains(&text) {
                let known = || keys.iter().copied();
                let remedy = did_you_mean(text, known())
                    .unwrap_or_else(|| format!("use some of {}", keys.join(", ")));
                found.add(
                    key.span(),
                    format!("{name}: there is no key `{text}`"),
                    remedy,
                );
            }
        }
        Self { name, span, table }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    fn wrong(&self, found: &mut Mistakes, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let message = format!(
            "{}: `{key}` is of type {}",
            self.name,
            value.get_ref().type_str()
        );
        found.add(value.span(), message, format!("write {wanted}"));
    }

    pub(crate) fn text(&self, found: &mut Mistakes, key: &str) -> Option<(String, Range<usize>)> {
        let value = self.get(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some((text.to_owned(), value.span())),
            None => {
                self.wrong(found, key, value, "a text in quotes");
                None
            }
        }
    }

    pub(crate) fn number(&self, found: &mut Mistakes, key: &str) -> Option<(f64, Range<usize>)> {
        let value = self.get(key)?;
        let number = number(value.get_ref());
        if number.is_none() {
            self.wrong(found, key, value, "a number");
        }
        Some((number?, value.span()))
    }

    pub(crate) fn integer(&self, found: &mut Mistakes, key: &str) -> Option<i32> {
        let value = self.get(key)?;
        let integer = value.get_ref().as_integer();
        let integer = integer.and_then(|it| i32::from_str_radix(it.as_str(), it.radix()).ok());
        if integer.is_none() {
            self.wrong(found, key, value, "a whole number");
        }
        integer
    }

    /// A list of texts, or one text.
    pub(crate) fn texts(&self, found: &mut Mistakes, key: &str) -> Vec<(String, Range<usize>)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let one =
            |item: &Spanned<DeValue<'_>>| Some((item.get_ref().as_str()?.to_owned(), item.span()));
        if let Some(text) = one(value) {
            return vec![text];
        }
        let Some(list) = value.get_ref().as_array() else {
            self.wrong(found, key, value, "a list of texts, [\"a\", \"b\"]");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(list.len());
        for item in list {
            match one(item) {
                Some(text) => texts.push(text),
                None => self.wrong(found, key, item, "texts only"),
            }
        }
        texts
    }

    /// A list of tables.
    pub(crate) fn tables(
        &self,
        found: &mut Mistakes,
        key: &str,
    ) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(list) = value.get_ref().as_array() else {
            self.wrong(found, key, value, "a list of tables, [[…]]");
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(list.len());
        for item in list {
            match item.get_ref().as_table() {
                Some(table) => tables.push((table, item.span())),
                None => self.wrong(found, key, item, "tables only"),
            }
        }
        tables
    }
}

/// A real number, or an integer.
pub(crate) fn number(value: &DeValue<'_>) -> Option<f64> {
    if let Some(real) = value.as_float() {
        return real.as_str().parse().ok();
    }
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .map(|whole| whole as f64)
}

/// The tables of a file, with what its syntax forbids among the mistakes.
pub(crate) fn parse<'a>(found: &mut Mistakes, text: &'a str) -> Spanned<DeTable<'a>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        found.add(span, error.message(), "see toml.io for the syntax");
    }
    table
}

#[cfg(test)]
mod tests {
    use ca_client::ca_proto::text::is_plain;

    use super::*;

    /// Whatever the file is called, has in its lines, and makes messages quote; the mark stands below its place.
    #[test]
    fn nothing_of_a_file_has_an_effect_on_a_terminal() {
        let odd = "\u{1b}[2J\u{9b}31m\u{7f}\u{85}\u{202e}\u{2066}\u{200b}\u{2028}é\tx";
        let text = format!("# {odd}\n{odd} = 1\n");
        for (at, _) in text.char_indices() {
            let mut found = Mistakes::new(odd, &text);
            found.add(at..at + 1, format!("no {odd}"), format!("use {odd}\n"));
            let shown = found.or(()).unwrap_err().to_string();
            let harmless = |c| c == '\n' || is_plain(c);
            assert!(shown.chars().all(harmless), "{shown:?}");
            assert!(shown.contains(r"error: no \x1b[2J\u{9b}31m"), "{shown}");
        }
    }
}
