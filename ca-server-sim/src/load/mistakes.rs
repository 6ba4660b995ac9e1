//! What is wrong, or odd, in the files of a run: all of it, each with its place.

use std::fmt;

use ca_proto::text::Shown;
use hashbrown::HashMap;

use super::bounds::MAX_MISTAKES;
use super::source::{Place, Sources};
use crate::slip::Weight;

/// What a mistake is about; the names of the kinds are stable, for programs that read them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MistakeKind {
    /// A file cannot be read.
    File,
    /// The text breaks the rules of its language.
    Syntax,
    /// A macro is not defined, or needs itself.
    Macro,
    /// The name of a record or alias breaks the rules.
    Name,
    /// A record, alias, menu or type is defined in conflict with another.
    Duplicate,
    /// No record has this name.
    UnknownRecord,
    /// No record type has this name.
    UnknownType,
    /// The record type has no such field, or it cannot be set.
    UnknownField,
    /// The field cannot have this value.
    Value,
    /// A link is not written as it should be, or leads nowhere.
    Link,
    /// Records process each other in a ring.
    Loop,
    /// Records make more updates than an IOC should have to serve.
    Load,
    /// A `.dbd` file describes something that cannot be.
    Definition,
    /// A bound is reached.
    Bound,
}

impl MistakeKind {
    /// The name of the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syntax => "syntax",
            Self::Macro => "macro",
            Self::Name => "name",
            Self::Duplicate => "duplicate",
            Self::UnknownRecord => "unknown-record",
            Self::UnknownType => "unknown-type",
            Self::UnknownField => "unknown-field",
            Self::Value => "value",
            Self::Link => "link",
            Self::Loop => "loop",
            Self::Load => "load",
            Self::Definition => "definition",
            Self::Bound => "bound",
        }
    }
}

/// One thing that is wrong, or odd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Whether the files can be used in spite of it.
    pub weight: Weight,
    /// What it is about.
    pub kind: MistakeKind,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What to do about it; may be empty.
    pub remedy: String,
    /// Where; `None` for what was asked for by the caller.
    pub place: Option<Place>,
    /// Further facts, such as what the line is with its macros expanded.
    pub notes: Vec<String>,
    /// How often it was found in this place, which is in a template that was read that often.
    pub times: usize,
}

/// All mistakes of a run, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Mistakes {
    pub(super) sources: Sources,
    found: Vec<Mistake>,
    /// Where those are that may be found again when their file is read again.
    places: HashMap<(u32, Place, Weight, MistakeKind), usize>,
    /// What came when there was no room.
    more: usize,
    errors: usize,
}

impl Mistakes {
    pub(crate) fn add(&mut self, mistake: Mistake) {
        let key = mistake.place.map(|place| {
            // The same for all readings of the file.
            let file = self.sources.readings[place.reading as usize].file;
            let place = Place {
                reading: 0,
                ..place
            };
            (file, place, mistake.weight, mistake.kind)
        });
        let reading = mistake.place.map(|place| place.reading);
        if let Some(&known) = key.and_then(|key| self.places.get(&key)) {
            let known = &mut self.found[known];
            // Two things may be wrong in one place of one reading.
            if known.place.map(|place| place.reading) != reading {
                known.times += 1;
                return;
            }
        }
        self.errors += usize::from(mistake.weight == Weight::Error);
        if self.found.len() >= MAX_MISTAKES {
            self.more += 1;
            return;
        }
        if let Some(key) = key {
            self.places.entry(key).or_insert(self.found.len());
        }
        self.found.push(mistake);
    }

    /// Whether a mistake would be kept: what costs much to find out is left when it would not.
    pub(super) fn has_room(&self) -> bool {
        self.found.len() < MAX_MISTAKES
    }

    /// Number of errors, also of those that are not kept.
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// Number of warnings, also of those that are not kept.
    pub const fn warnings(&self) -> usize {
        self.found.len() + self.more - self.errors
    }

    /// Whether the files can be used.
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether nothing was found.
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What was found, as far as there is room to keep it (1000 entries).
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.found.iter()
    }

    /// Entries for which there was no room.
    pub const fn more(&self) -> usize {
        self.more
    }

    /// The files, to name places.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// `file:line:column`, or nothing for a mistake without a place.
    pub fn place(&self, mistake: &Mistake) -> String {
        let located = mistake.place.map(|place| self.sources.locate(place));
        located.map_or_else(String::new, |at| at.to_string())
    }

    /// By which way the file of a mistake came to be read, the nearest step first.
    pub fn chain(&self, mistake: &Mistake) -> Vec<String> {
        /// Steps that are told of a long way.
        const MOST: usize = 8;
        let Some(place) = mistake.place else {
            return Vec::new();
        };
        let again = (mistake.times > 1)
            .then(|| format!("found {} times, first in this one:", mistake.times));
        let steps = self.sources.chain(place).take(MOST).map(|from| {
            let line = self.sources.line(from);
            let span = super::source::shown(&line.text[line.start..line.end]);
            format!("read for `{span}` at {}", self.sources.locate(from))
        });
        let mut steps: Vec<String> = again.into_iter().chain(steps).collect();
        // A file that includes itself.
        steps.dedup();
        steps
    }
}

impl fmt::Display for super::source::Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One line for each, without the lines of the files.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.found {
            let place = self.place(one);
            let gap = if place.is_empty() { "" } else { ": " };
            let weight = match one.weight {
                Weight::Error => "error",
                Weight::Warning => "warning",
            };
            let (place, message) = (Shown(place), Shown(&one.message));
            writeln!(f, "{place}{gap}{weight}: {message}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "… and {more} more"),
        }
    }
}

#[cfg(not(feature = "diagnostics"))]
impl Mistakes {
    /// One line for each but the first ones.
    pub(crate) fn render_since(&self, first: usize, _styled: bool) -> String {
        let later = self.found.iter().skip(first);
        let lines = later.map(|one| format!("{}: {}", self.place(one), one.message));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(feature = "diagnostics")]
mod render {
    use std::fmt::Write as _;

    use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
    use ca_proto::text::{InPlace, Shown};

    use super::{Mistake, Mistakes};
    use crate::diagnostic::level;

    /// Mistakes that are shown before it says "and n more".
    const MAX_SHOWN: usize = 50;
    /// Bytes of a line that are shown; the place of what stands behind is told without the line.
    const MAX_LINE: usize = 400;

    impl Mistakes {
        /// The text for people: each with its place, its line, the way that led there, and the remedy; with
        /// colours for a terminal if `styled`. Errors first where there are more than can be shown.
        pub fn render(&self, styled: bool) -> String {
            self.render_since(0, styled)
        }

        /// As [`Self::render`], without the first ones.
        pub(crate) fn render_since(&self, first: usize, styled: bool) -> String {
            let renderer = match styled {
                true => Renderer::styled(),
                false => Renderer::plain(),
            };
            let mut all: Vec<&Mistake> = self.iter().skip(first).collect();
            if all.len() > MAX_SHOWN {
                all.sort_by_key(|one| one.weight == crate::slip::Weight::Warning);
            }
            let shown = all.iter().take(MAX_SHOWN);
            let texts = shown.map(|one| self.one(one, &renderer));
            let mut text = texts.collect::<Vec<_>>().join("\n\n");
            let more = all.len().saturating_sub(MAX_SHOWN) + self.more();
            if more > 0 {
                text.push_str(&format!("\n\n… and {more} more"));
            }
            text
        }

        fn one(&self, one: &Mistake, renderer: &Renderer) -> String {
            let level = level(one.weight);
            let title = level.primary_title(Shown(&one.message).to_string());
            let mut group = match one.place {
                None => Group::with_title(title),
                Some(place) => {
                    let at = self.sources().locate(place);
                    let line = self.sources().line(place);
                    match line.text.len() <= MAX_LINE || line.end <= MAX_LINE {
                        true => {
                            let (text, from, to) = printable(line.text, line.start, line.end);
                            let snippet = Snippet::source(text)
                                .line_start(at.line)
                                .path(Shown(&at.file).to_string())
                                .annotation(AnnotationKind::Primary.span(from..to));
                            title.element(snippet)
                        }
                        false => {
                            let origin = Origin::path(Shown(&at.file).to_string());
                            title.element(origin.line(at.line).char_column(at.column))
                        }
                    }
                }
            };
            for note in one.notes.iter().cloned().chain(self.chain(one)) {
                group = group.element(Level::NOTE.message(Shown(note).to_string()));
            }
            if !one.remedy.is_empty() {
                group = group.element(Level::HELP.message(Shown(&one.remedy).to_string()));
            }
            renderer.render(&[group])
        }
    }

    /// The line as characters, and the span in them; Latin-1 if it is not UTF-8. What has an effect on a terminal, such as
    /// the C1 controls of Latin-1, becomes a replacement character.
    fn printable(line: &[u8], start: usize, end: usize) -> (String, usize, usize) {
        let line = &line[..line.len().min(MAX_LINE)];
        let chars: Vec<(usize, char)> = match std::str::from_utf8(line) {
            Ok(text) => text.char_indices().collect(),
            Err(_) => (line.iter().map(|&byte| char::from(byte)))
                .enumerate()
                .collect(),
        };
        let (mut text, mut from, mut to) = (String::new(), 0, 0);
        for (at, c) in chars {
            // A place within a character is where that begins.
            if at <= start {
                from = text.len();
            }
            if at <= end {
                to = text.len();
            }
            let mut bytes = [0; 4];
            let _ = write!(text, "{}", InPlace(c.encode_utf8(&mut bytes)));
        }
        let place = |at: usize, found| if at >= line.len() { text.len() } else { found };
        let (from, to) = (place(start, from), place(end, to));
        (text, from, to)
    }
}
