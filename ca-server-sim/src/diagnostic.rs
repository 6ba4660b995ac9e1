//! Mistakes in files that people write: where, what, and the remedy, with the line they stand in.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use ca_proto::text::{InPlace, Shown};

pub use crate::slip::{Weight, nearest};

/// Mistakes that are kept; further ones are counted.
const MAX_KEPT: usize = 1000;
/// Mistakes that are shown before it says "and n more".
const MAX_SHOWN: usize = 50;

/// One thing that is wrong, or odd, in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub weight: Weight,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Bytes of the text that are concerned.
    pub span: Range<usize>,
    /// Line of their begin, counted from 1.
    pub line: usize,
    /// Column of their begin in characters, counted from 1.
    pub column: usize,
}

/// Everything that was found in one file, in its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostics {
    origin: String,
    source: Arc<str>,
    /// Where the lines begin.
    lines: Arc<[usize]>,
    found: Vec<Diagnostic>,
    /// What came when there was no room.
    more: usize,
}

impl Diagnostics {
    /// Nothing yet, about the text of a file; `origin` is its name for messages.
    pub fn new(origin: impl Into<String>, source: &str) -> Self {
        let ends = source.bytes().enumerate().filter(|&(_, b)| b == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
        Self {
            origin: origin.into(),
            source: source.into(),
            lines: lines.collect(),
            found: Vec::new(),
            more: 0,
        }
    }

    /// Adds an error.
    pub fn error(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Weight::Error, span, message.into(), remedy.into());
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Weight::Warning, span, message.into(), remedy.into());
    }

    fn add(&mut self, weight: Weight, span: Range<usize>, message: String, remedy: String) {
        if self.found.len() >= MAX_KEPT {
            self.more += 1;
            return;
        }
        let start = self.boundary(span.start);
        let end = self.boundary(span.end.max(start));
        let line = self.lines.partition_point(|&begin| begin <= start);
        let begin = self.lines[line - 1];
        let new = Diagnostic {
            weight,
            message: Shown(message).to_string(),
            remedy: Shown(remedy).to_string(),
            span: start..end,
            line,
            column: 1 + self.source[begin..start].chars().count(),
        };
        let at = self.found.partition_point(|old| old.span.start <= start);
        self.found.insert(at, new);
    }

    /// Adds those of another list about the same text.
    #[cfg(feature = "toml")]
    pub(crate) fn extend(&mut self, other: Self, wanted: impl Fn(&Diagnostic) -> bool) {
        self.more += other.more;
        for one in other.found.into_iter().filter(wanted) {
            self.add(one.weight, one.span, one.message, one.remedy);
        }
    }

    /// The nearest place in the text, not within a character.
    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.source.len());
        (0..=at)
            .rev()
            .find(|&at| self.source.is_char_boundary(at))
            .unwrap_or(0)
    }

    /// Gives the file another name in messages.
    #[must_use]
    pub fn from(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Whether something makes the file useless.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// What makes the file useless, as far as there is room to keep it (1000 entries).
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.iter().filter(|one| one.weight == Weight::Error)
    }

    /// Everything that was found, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// Whether nothing was found.
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The text for people: each with its place, its line and the remedy; with colours for a terminal
    /// if `styled`.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let shown = self.found.iter().take(MAX_SHOWN);
        let texts = shown.map(|one| renderer.render(&[self.report(one)]));
        let mut text = texts.collect::<Vec<_>>().join("\n\n");
        let more = self.found.len().saturating_sub(MAX_SHOWN) + self.more;
        if more > 0 {
            text.push_str(&format!("\n\n… and {more} more"));
        }
        text
    }

    fn report<'a>(&'a self, one: &'a Diagnostic) -> Group<'a> {
        let (start, end) = (one.span.start, one.span.end);
        let begin = self.lines[one.line - 1];
        let rest = &self.source[begin..];
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        let (from, to) = (start - begin, (end - begin).min(line.len()));
        let shown = InPlace(line);
        let span = shown.place(from.min(to))..shown.place(to);
        let snippet = Snippet::source(shown.to_string())
            .line_start(one.line)
            .path(Shown(&self.origin).to_string())
            .annotation(AnnotationKind::Primary.span(span));
        let group = level(one.weight)
            .primary_title(&*one.message)
            .element(snippet);
        match one.remedy.is_empty() {
            true => group,
            false => group.element(Level::HELP.message(&*one.remedy)),
        }
    }
}

pub(crate) const fn level(weight: Weight) -> Level<'static> {
    match weight {
        Weight::Error => Level::ERROR,
        Weight::Warning => Level::WARNING,
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_shown_in_order_with_their_lines() {
        let source = "a = 1\nbé = [1, 2]\n";
        let mut found = Diagnostics::new("x.toml", source);
        found.warning(source.len()..source.len(), "nothing more", "");
        found.error(12..18, "a list", "write a number");
        found.error(0..1, "no a", "write c");
        let lines: Vec<(usize, usize)> = found.iter().map(|one| (one.line, one.column)).collect();
        assert_eq!(lines, [(1, 1), (2, 6), (3, 1)]);
        let text = found.to_string();
        for part in [
            "error: a list",
            "--> x.toml:2:6",
            "2 | bé = [1, 2]",
            "help: write a number",
            "warning: nothing more",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.find("no a") < text.find("a list"), "{text}");
    }

    #[test]
    fn any_span_can_be_shown() {
        for source in ["", "\n", "é\r\n\tx", "\u{202e}\0"] {
            for span in [0..0, 0..1, 1..2, 0..99, 99..100] {
                let mut found = Diagnostics::new("x", source);
                found.error(span, "wrong", "mend it");
                assert!(found.to_string().contains("wrong"));
            }
        }
    }

    /// Whatever the file is called, has in its lines, and makes messages quote.
    #[test]
    fn nothing_of_a_file_has_an_effect_on_a_terminal() {
        let odd = "\u{1b}[2J\u{9b}31m\u{7f}\u{85}\u{202e}\u{2066}\u{200b}\u{2028}é\tx";
        for at in odd.char_indices().map(|(at, _)| at) {
            let mut found = Diagnostics::new(odd, odd);
            found.error(at..at + 1, format!("no {odd}"), format!("use {odd}\n"));
            let text = found.to_string();
            let is_plain = |c| c == '\n' || ca_proto::text::is_plain(c);
            assert!(text.chars().all(is_plain), "{text:?}");
            assert!(text.contains(r"error: no \x1b[2J\u{9b}31m"), "{text}");
            assert!(found.iter().all(|one| one.message.chars().all(is_plain)));
        }
    }
}
