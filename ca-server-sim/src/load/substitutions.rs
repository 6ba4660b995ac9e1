//! `.substitutions` files: which templates are expanded with which macros (`dbLoadTemplate.y` and `msi.cpp` of EPICS
//! Base; where the two differ, what either takes is taken).

use std::sync::Arc;

use super::bounds::{MAX_SYNTAX_ERRORS, MAX_VARIABLES};
use super::loader::Loader;
use super::macros::Macros;
use super::mistakes::MistakeKind;
use super::parser::{self, Lost, Parsed};
use super::source::{Place, shown};
use crate::slip::Weight;

const SYNTAX: (Weight, MistakeKind) = (Weight::Error, MistakeKind::Syntax);
const ODD: (Weight, MistakeKind) = (Weight::Warning, MistakeKind::Syntax);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Word,
    /// Without its quotes.
    Quoted,
    Punctuation(u8),
    Unclosed,
    End,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    kind: Kind,
    start: usize,
    end: usize,
    first: bool,
}

/// What one file says; files that it includes have readers of their own.
struct Reader<'l, 'f, 'p> {
    loader: &'l mut Loader<'f>,
    path: &'p [String],
    reading: u32,
    text: Arc<[u8]>,
    at: usize,
    word: Word,
    /// The word is to be read again.
    unread: bool,
    /// Given by the caller, and by `global`.
    macros: Macros,
    depth: usize,
    syntax_errors: usize,
    /// A word was told of that `dbLoadTemplate` does not take.
    told: bool,
}

/// Reads a file, and expands its templates.
pub(super) fn read(loader: &mut Loader<'_>, file: u32, macros: &str, path: &[String]) {
    let mut defined = Macros::new();
    defined.define(macros);
    nested(loader, file, None, defined, path, 0);
}

fn nested(
    loader: &mut Loader<'_>,
    file: u32,
    from: Option<Place>,
    macros: Macros,
    path: &[String],
    depth: usize,
) -> Macros {
    let Some((reading, text)) = loader.open(file, from) else {
        return macros;
    };
    let word = Word {
        kind: Kind::End,
        start: 0,
        end: 0,
        first: true,
    };
    let mut reader = Reader {
        loader,
        path,
        reading,
        text,
        at: 0,
        word,
        unread: false,
        macros,
        depth,
        syntax_errors: 0,
        told: false,
    };
    reader.items();
    reader.macros
}

const fn is_word(byte: u8) -> bool {
    !matches!(
        byte,
        0..=b' ' | b'"' | b'\'' | b',' | b'{' | b'}' | b'=' | b'#'
    )
}

/// What `dbLoadTemplate` takes in a word without quotes.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'-' | b'+' | b':' | b'.' | b'/' | b'\\' | b'[' | b']' | b'<' | b'>' | b';'
        )
}

impl Reader<'_, '_, '_> {
    fn items(&mut self) {
        loop {
            self.advance();
            let result = match (self.word.kind, self.word()) {
                (Kind::End, _) => return,
                (Kind::Word, b"global") => self.global(),
                (Kind::Word, b"file") => self.file(),
                (Kind::Word, b"include") => self.include(),
                (Kind::Word, b"substitute") => self
                    .quoted("macros")
                    .map(|(text, _)| self.macros.define(text)),
                (Kind::Punctuation(b','), _) => Ok(()),
                _ => Err(self.unexpected("`file`, `global` or `include`")),
            };
            if result.is_err() {
                self.recover();
            }
            if self.loader.is_full {
                return;
            }
        }
    }

    fn include(&mut self) -> Parsed {
        let (name, place) = self.quoted("the name of a file")?;
        if self.depth >= self.loader.bounds.depth {
            let message = format!(
                "more than {} files include each other",
                self.loader.bounds.depth
            );
            self.loader.report(
                (Weight::Error, MistakeKind::Bound),
                place,
                message,
                "does a file include itself?",
            );
            return Ok(());
        }
        if let Some(file) = self.loader.find(&name, Some(place), self.path) {
            let macros = std::mem::take(&mut self.macros);
            self.macros = nested(
                self.loader,
                file,
                Some(place),
                macros,
                self.path,
                self.depth + 1,
            );
        }
        Ok(())
    }

    /// `global { A=1 … }`.
    fn global(&mut self) -> Parsed {
        self.punctuation(b'{')?;
        let (definitions, _) = self.definitions()?;
        self.macros.define(definitions);
        Ok(())
    }

    /// `file NAME { … }`.
    fn file(&mut self) -> Parsed {
        self.advance();
        let place = self.place();
        let name = match self.word.kind {
            Kind::Word | Kind::Quoted => self.word().to_vec(),
            _ => return Err(self.unexpected("the name of a template")),
        };
        self.punctuation(b'{')?;
        let open = self.place();
        let mut template = None;
        let mut names: Option<Vec<Vec<u8>>> = None;
        loop {
            self.advance();
            match (self.word.kind, self.word()) {
                (Kind::Punctuation(b'}'), _) => return Ok(()),
                (Kind::Punctuation(b','), _) => {}
                (Kind::End, _) => {
                    self.loader.report(
                        SYNTAX,
                        open,
                        "the `{` of this file is not closed",
                        "add the `}`",
                    );
                    return Ok(());
                }
                (Kind::Word, b"global") => self.global()?,
                (Kind::Word, b"pattern") => {
                    self.punctuation(b'{')?;
                    names = Some(
                        self.list("the name of a macro")?
                            .into_iter()
                            .map(|(name, _, _)| name)
                            .collect(),
                    );
                }
                (Kind::Word, b"file") if self.word.first => {
                    self.loader.report(
                        SYNTAX,
                        open,
                        "the `{` of this file is not closed",
                        "add the `}`",
                    );
                    self.unread = true;
                    return Ok(());
                }
                // A word before a set means nothing.
                (Kind::Word | Kind::Quoted, _) => {
                    let (word, place) = (shown(self.word()), self.place());
                    self.punctuation(b'{')?;
                    self.unread = true;
                    let message = format!("`{word}` before the `{{` of a set means nothing");
                    self.loader.report(ODD, place, message, "leave it out");
                }
                (Kind::Punctuation(b'{'), _) => {
                    let begin = self.place();
                    let definitions = match &names {
                        Some(names) => {
                            let names = names.clone();
                            self.pattern_values(&names)?
                        }
                        None => self.definitions()?.0,
                    };
                    let set = begin.to(self.place());
                    let file = *template
                        .get_or_insert_with(|| self.loader.find(&name, Some(place), self.path));
                    if let Some(file) = file {
                        self.expand(file, set, &definitions);
                    }
                    if self.loader.is_full {
                        return Ok(());
                    }
                }
                _ => {
                    return Err(
                        self.unexpected("`pattern`, a set in braces, or the `}` of the file")
                    );
                }
            }
        }
    }

    fn expand(&mut self, file: u32, set: Place, definitions: &[u8]) {
        let mut macros = std::mem::take(&mut self.macros);
        macros.enter();
        macros.define(definitions);
        macros = parser::read(self.loader, file, Some(set), macros, self.path.to_vec());
        macros.leave();
        self.macros = macros;
    }

    /// Values up to `}`, as definitions of the macros with these names.
    fn pattern_values(&mut self, names: &[Vec<u8>]) -> Parsed<Vec<u8>> {
        let values = self.list("the value of a macro")?;
        let mut out = Vec::new();
        for ((value, is_quoted, _), name) in values.iter().zip(names) {
            define(&mut out, name, value, *is_quoted);
        }
        if let Some((_, _, place)) = values.get(names.len()) {
            let message = format!(
                "the set has {} values; the pattern has {} names",
                values.len(),
                names.len()
            );
            self.loader
                .report(ODD, *place, message, "values without a name are left out");
        }
        Ok(out)
    }

    /// Words up to `}`, with whether they had quotes, and where they are.
    fn list(&mut self, what: &str) -> Parsed<Vec<(Vec<u8>, bool, Place)>> {
        let mut all = Vec::new();
        loop {
            self.advance();
            match self.word.kind {
                Kind::Punctuation(b'}') => return Ok(all),
                Kind::Punctuation(b',') => {}
                Kind::Word | Kind::Quoted => {
                    self.check_plain();
                    all.push((
                        self.word().to_vec(),
                        self.word.kind == Kind::Quoted,
                        self.place(),
                    ));
                    self.bound(all.len())?;
                }
                _ => return Err(self.unexpected(&format!("{what} or `}}`"))),
            }
        }
    }

    fn bound(&mut self, count: usize) -> Parsed {
        if count <= MAX_VARIABLES {
            return Ok(());
        }
        let place = self.place();
        let message = format!("a set has more than {MAX_VARIABLES} macros");
        self.loader
            .report((Weight::Error, MistakeKind::Bound), place, message, "");
        Err(Lost)
    }

    /// `A=1, B="2" }` as definitions of macros, and how many.
    fn definitions(&mut self) -> Parsed<(Vec<u8>, usize)> {
        let mut out = Vec::new();
        let mut count = 0;
        loop {
            self.advance();
            let name = match self.word.kind {
                Kind::Punctuation(b'}') => return Ok((out, count)),
                Kind::Punctuation(b',') => continue,
                Kind::Word => self.word().to_vec(),
                _ => return Err(self.unexpected("`NAME=value` or `}`")),
            };
            self.check_plain();
            self.punctuation(b'=')?;
            self.advance();
            let is_quoted = match self.word.kind {
                Kind::Word => false,
                Kind::Quoted => true,
                // Nothing behind `=`, as `msi` takes it.
                Kind::Punctuation(b',' | b'}') => {
                    self.unread = true;
                    define(&mut out, &name, b"", false);
                    continue;
                }
                _ => return Err(self.unexpected("the value of a macro")),
            };
            self.check_plain();
            define(&mut out, &name, self.word(), is_quoted);
            count += 1;
            self.bound(count)?;
        }
    }

    /// Tells of a word that only one of the reference's two programs takes.
    fn check_plain(&mut self) {
        if self.told || self.word.kind != Kind::Word {
            return;
        }
        if let Some(&byte) = self.word().iter().find(|&&byte| !is_plain(byte)) {
            let place = self.place();
            let message = format!(
                "`{}` has a `{}`, which dbLoadTemplate takes in quotes only",
                shown(self.word()),
                shown(&[byte])
            );
            let remedy = format!("write \"{}\"", shown(self.word()));
            self.loader.report(ODD, place, message, remedy);
            self.told = true;
        }
    }

    fn quoted(&mut self, what: &str) -> Parsed<(Vec<u8>, Place)> {
        self.advance();
        match self.word.kind {
            Kind::Quoted => Ok((self.word().to_vec(), self.place())),
            _ => Err(self.unexpected(&format!("{what} in quotes"))),
        }
    }

    fn punctuation(&mut self, wanted: u8) -> Parsed {
        self.advance();
        match self.word.kind {
            Kind::Punctuation(found) if found == wanted => Ok(()),
            _ => Err(self.unexpected(&format!("`{}`", char::from(wanted)))),
        }
    }

    fn word(&self) -> &[u8] {
        &self.text[self.word.start..self.word.end]
    }

    fn place(&self) -> Place {
        let quotes = usize::from(self.word.kind == Kind::Quoted);
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Place {
            reading: self.reading,
            start: offset(self.word.start - quotes),
            end: offset(self.word.end + quotes),
        }
    }

    fn unexpected(&mut self, wanted: &str) -> Lost {
        let place = self.place();
        let text = shown(self.word());
        let (message, remedy) = match self.word.kind {
            Kind::End => (format!("the file ends where {wanted} is expected"), ""),
            Kind::Unclosed => (
                "a text is not closed on its line".into(),
                "add the quote; a quote within the text is written as `\\\"`",
            ),
            _ => (format!("there is `{text}` where {wanted} is expected"), ""),
        };
        self.loader.report(SYNTAX, place, message, remedy);
        self.syntax_errors += 1;
        if self.syntax_errors >= MAX_SYNTAX_ERRORS {
            let message = "this file has too many mistakes; the rest of it is not looked at";
            let remedy = "is it a `.substitutions` file?";
            self.loader
                .report((Weight::Error, MistakeKind::Bound), place, message, remedy);
            self.at = self.text.len();
        }
        Lost
    }

    /// Goes on at the next line that begins a part of the file.
    fn recover(&mut self) {
        let mut wrong = true;
        loop {
            match self.word.kind {
                Kind::End => return,
                Kind::Word
                    if self.word.first
                        && !wrong
                        && matches!(self.word(), b"file" | b"global" | b"include") =>
                {
                    self.unread = true;
                    return;
                }
                _ => self.advance(),
            }
            wrong = false;
        }
    }

    fn advance(&mut self) {
        if !std::mem::take(&mut self.unread) {
            self.word = self.next();
        }
    }

    fn next(&mut self) -> Word {
        let mut first = self.at == 0;
        let text = &self.text;
        while let Some(&byte) = text.get(self.at) {
            let start = self.at;
            let (kind, begin, end, next) = match byte {
                b'\n' => {
                    first = true;
                    self.at += 1;
                    continue;
                }
                b' ' | b'\t' | b'\r' | 0 => {
                    self.at += 1;
                    continue;
                }
                b'#' => {
                    let line = text[start..].iter().position(|&byte| byte == b'\n');
                    self.at = line.map_or(text.len(), |length| start + length);
                    continue;
                }
                b'{' | b'}' | b',' | b'=' => (Kind::Punctuation(byte), start, start + 1, start + 1),
                b'"' | b'\'' => match closing(text, start) {
                    Ok(end) => (Kind::Quoted, start + 1, end, end + 1),
                    Err(end) => (Kind::Unclosed, start, end, end),
                },
                _ => {
                    let length = text[start..].iter().position(|&byte| !is_word(byte));
                    // A control character is a word by itself, and wrong.
                    let end = length.map_or(text.len(), |length| start + length.max(1));
                    (Kind::Word, start, end, end)
                }
            };
            self.at = next;
            return Word {
                kind,
                start: begin,
                end,
                first,
            };
        }
        Word {
            kind: Kind::End,
            start: text.len(),
            end: text.len(),
            first: true,
        }
    }
}

/// Appends the definition of a macro, as `dbLoadTemplate` does.
fn define(out: &mut Vec<u8>, name: &[u8], value: &[u8], is_quoted: bool) {
    out.push(b',');
    out.extend_from_slice(name);
    out.push(b'=');
    if is_quoted {
        out.push(b'"');
    }
    out.extend_from_slice(value);
    if is_quoted {
        out.push(b'"');
    }
}

/// The quote that closes the one at this place; else where the line ends.
fn closing(text: &[u8], open: usize) -> Result<usize, usize> {
    let quote = text[open];
    let mut at = open + 1;
    loop {
        match text.get(at) {
            Some(&byte) if byte == quote => return Ok(at),
            None | Some(b'\n') => return Err(at.min(text.len())),
            Some(b'\\') if !matches!(text.get(at + 1), None | Some(b'\n')) => at += 2,
            Some(_) => at += 1,
        }
    }
}
