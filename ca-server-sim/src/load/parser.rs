//! The grammar of `.db` and `.dbd` files, which is one (`dbYacc.y` of EPICS Base).
//!
//! Where the reference leaves a file at the first mistake, this goes on behind it, so that all mistakes are told.

use super::bounds::{MAX_JSON_DEPTH, MAX_SYNTAX_ERRORS};
use super::lexer::{Keyword, Kind, Lexer, Mode, Word};
use super::loader::{Loader, add_path};
use super::macros::{MacroProblem, MacroProblemKind, Macros};
use super::mistakes::{Mistake, MistakeKind};
use super::records::FieldValue;
use super::source::{Place, shown};
use super::value::{closest, did_you_mean, has_macro};
use crate::slip::Weight;

/// A mistake that was reported; the parser looks for a place from where to go on.
pub(super) struct Lost;

pub(super) type Parsed<T = ()> = Result<T, Lost>;

/// A text and where it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) text: Vec<u8>,
    pub(super) place: Option<Place>,
}

pub(super) struct Parser<'l, 'f> {
    pub(super) loader: &'l mut Loader<'f>,
    pub(super) lexer: Lexer,
    /// The word that was read last.
    pub(super) word: Word,
    /// It is to be read again.
    pub(super) unread: bool,
    path: Vec<String>,
    syntax_errors: usize,
    /// Braces and brackets of a value that are open.
    nested: usize,
    /// Work of the lexer that the loader knows of.
    told: usize,
    /// Buffers that are used again.
    pub(super) names: [Name; 2],
    value: Vec<u8>,
}

/// Reads a file and what it includes.
pub(super) fn read(
    loader: &mut Loader<'_>,
    file: u32,
    from: Option<Place>,
    macros: Macros,
    path: Vec<String>,
) -> Macros {
    let Some((reading, text)) = loader.open(file, from) else {
        return macros;
    };
    let mut lexer = Lexer::new(macros);
    lexer.push(reading, text);
    let word = lexer.nothing();
    let mut parser = Parser {
        loader,
        lexer,
        word,
        unread: false,
        path,
        syntax_errors: 0,
        nested: 0,
        told: 0,
        names: Default::default(),
        value: Vec::new(),
    };
    parser.items();
    parser.lexer.macros
}

impl Parser<'_, '_> {
    fn items(&mut self) {
        loop {
            self.advance();
            let result = match self.word.kind {
                Kind::End => return self.settle(),
                Kind::Keyword(keyword) => self.item(keyword),
                _ => Err(self.unexpected("the beginning of a definition, such as `record(`")),
            };
            if result.is_err() {
                self.recover(false);
            }
            self.settle();
        }
    }

    fn item(&mut self, keyword: Keyword) -> Parsed {
        match keyword {
            Keyword::Record => self.record(false),
            Keyword::GRecord => self.record(true),
            Keyword::Alias => self.alias(),
            Keyword::Include => self.include(),
            Keyword::Substitute => self.substitute(),
            Keyword::Path | Keyword::AddPath => {
                let name = self.string("a list of directories")?;
                if keyword == Keyword::Path {
                    self.path.clear();
                    if name.text.is_empty() {
                        self.path.push(".".into());
                    }
                }
                add_path(&mut self.path, &name.text);
                Ok(())
            }
            Keyword::Field | Keyword::Info => {
                let word = keyword.text();
                let message = format!("`{word}` stands outside of a record");
                let remedy = match self.lexer.depth() {
                    ..=1 => "a `}` before it may be one too many",
                    _ => {
                        "what is included follows on the rest of its line: does a `}` stand there?"
                    }
                };
                Err(self.wrong(message, remedy))
            }
            _ => self.definition(keyword),
        }
    }

    /// `record(TYPE, "NAME") { … }`, behind its first word.
    fn record(&mut self, visible: bool) -> Parsed {
        self.punctuation(b'(')?;
        let [mut kind, mut name] = std::mem::take(&mut self.names);
        let head = self.record_head(&mut kind, &mut name);
        let target = head.map(|()| match self.is_expanded(&name) {
            true => self.loader.record_head(&kind, &name, visible),
            false => None,
        });
        self.names = [kind, name];
        // What is wrong in the head hides nothing of the body.
        let target = match target {
            Ok(target) => target,
            Err(Lost) => {
                if !self.skip_to_body() {
                    return Ok(());
                }
                None
            }
        };
        self.advance();
        if self.word.kind != Kind::Punctuation(b'{') {
            self.unread = true;
            return Ok(());
        }
        let open = self.lexer.place(self.word);
        loop {
            self.advance();
            let result = match self.word.kind {
                Kind::Punctuation(b'}') => return Ok(()),
                Kind::Keyword(Keyword::Field) => self.field(target),
                Kind::Keyword(Keyword::Info) => self.info(target),
                Kind::Keyword(Keyword::Alias) => self.record_alias(target),
                Kind::Keyword(Keyword::Include) => self.include(),
                Kind::Keyword(Keyword::Substitute) => self.substitute(),
                Kind::End => {
                    let message = "the `{` of this record is not closed";
                    self.report(
                        Weight::Error,
                        MistakeKind::Syntax,
                        open,
                        message,
                        "add the `}`",
                    );
                    return Ok(());
                }
                _ => Err(self.unexpected("`field(`, `info(`, `alias(` or the `}` of the record")),
            };
            if result.is_err() && !self.recover(true) {
                return Ok(());
            }
            self.settle();
        }
    }

    fn record_head(&mut self, kind: &mut Name, name: &mut Name) -> Parsed {
        self.string_into(kind, "a record type")?;
        self.punctuation(b',')?;
        self.string_into(name, "the name of the record")?;
        self.punctuation(b')')
    }

    /// Looks for the `{` of a record whose head is wrong.
    fn skip_to_body(&mut self) -> bool {
        let mut again = true;
        loop {
            match self.word.kind {
                Kind::Punctuation(b'{') => {
                    self.unread = true;
                    return true;
                }
                Kind::Keyword(_) if self.word.first && !again => {
                    self.unread = true;
                    return false;
                }
                Kind::End => return false,
                _ => self.advance(),
            }
            again = false;
        }
    }

    fn field(&mut self, target: Option<usize>) -> Parsed {
        let mut name = std::mem::take(&mut self.names[0]);
        let value = self.named_value(&mut name, "the name of a field");
        let result = value.map(|(value, place)| {
            if let Some(record) = target.filter(|_| self.count(place)) {
                match self.loader.set_field(record, &name, value, place) {
                    Ok(None) => {}
                    Ok(Some((message, remedy))) => {
                        self.report(Weight::Warning, MistakeKind::Value, place, message, remedy);
                    }
                    Err(refusal) => {
                        let place = refusal.place.unwrap_or(place);
                        self.refuse(refusal.kind, place, refusal.message, refusal.remedy);
                    }
                }
            }
        });
        self.names[0] = name;
        result
    }

    fn info(&mut self, target: Option<usize>) -> Parsed {
        let mut name = std::mem::take(&mut self.names[0]);
        let value = self.named_value(&mut name, "the name of an item");
        let result = value.map(|(value, place)| {
            if name.text.is_empty() {
                let message = "the name of an info item is empty";
                self.refuse(
                    MistakeKind::Name,
                    name.place.unwrap_or(place),
                    message.into(),
                    String::new(),
                );
            } else if let Some(record) = target.filter(|_| self.count(place)) {
                self.loader.set_info(record, &name.text, value, place);
            }
        });
        self.names[0] = name;
        result
    }

    fn record_alias(&mut self, target: Option<usize>) -> Parsed {
        self.punctuation(b'(')?;
        let name = self.string("another name of the record")?;
        self.punctuation(b')')?;
        if self.is_expanded(&name) {
            self.loader.record_alias(target, &name);
        }
        Ok(())
    }

    /// `alias("RECORD", "NAME")`.
    fn alias(&mut self) -> Parsed {
        self.punctuation(b'(')?;
        let record = self.string("the name of a record")?;
        self.punctuation(b',')?;
        let name = self.string("another name of the record")?;
        self.punctuation(b')')?;
        if self.is_expanded(&record) && self.is_expanded(&name) {
            self.loader.alias(&record, &name);
        }
        Ok(())
    }

    /// Whether no macro was left in the name of a record.
    fn is_expanded(&mut self, name: &Name) -> bool {
        let left = has_macro(&name.text);
        if let Some(place) = name.place.filter(|_| left) {
            let message = format!(
                "the name `{}` has a macro that is not expanded",
                shown(&name.text)
            );
            self.refuse(MistakeKind::Name, place, message, String::new());
        }
        !left
    }

    /// `include "FILE"`: the file follows on the line.
    pub(super) fn include(&mut self) -> Parsed {
        let at = self.lexer.place(self.word);
        let name = self.string("the name of a file")?;
        let place = name.place.map_or(at, |place| at.to(place));
        if self.lexer.depth() >= self.loader.bounds.depth {
            let message = format!(
                "more than {} files include each other",
                self.loader.bounds.depth
            );
            self.report(
                Weight::Error,
                MistakeKind::Bound,
                place,
                message,
                "does a file include itself?",
            );
            return Ok(());
        }
        if let Some(file) = self.loader.find(&name.text, Some(place), &self.path)
            && let Some((reading, text)) = self.loader.open(file, Some(place))
        {
            self.lexer.push(reading, text);
        }
        Ok(())
    }

    /// `substitute "A=1,B=2"`, which `msi` knows: macros for what follows.
    fn substitute(&mut self) -> Parsed {
        let name = self.string("macros, such as \"A=1,B=2\"")?;
        self.lexer.macros.define(&name.text);
        Ok(())
    }

    /// `(NAME, VALUE)`.
    fn named_value(&mut self, name: &mut Name, what: &str) -> Parsed<(FieldValue, Place)> {
        self.punctuation(b'(')?;
        self.string_into(name, what)?;
        self.punctuation(b',')?;
        self.word = self.lexer.next(Mode::Json);
        self.value.clear();
        let place = self.lexer.place(self.word);
        let value = match self.word.kind {
            Kind::Quoted => {
                let text = self.lexer.text(self.word);
                FieldValue::Text(match text.contains(&b'\\') {
                    true => unescaped(text).as_slice().into(),
                    false => text.into(),
                })
            }
            Kind::Number | Kind::Bare => FieldValue::Text(self.lexer.text(self.word).into()),
            Kind::Punctuation(b'{' | b'[') => {
                self.nested = 0;
                if self.json(0).is_err() {
                    self.skip_json();
                    return Err(Lost);
                }
                FieldValue::Json(self.value.as_slice().into())
            }
            _ => return Err(self.bad_value()),
        };
        let place = place.to(self.lexer.place(self.word));
        if value.bytes().len() > self.loader.bounds.value {
            let message = format!("the value has more than {} bytes", self.loader.bounds.value);
            self.report(Weight::Error, MistakeKind::Bound, place, message, "");
            return Err(Lost);
        }
        self.punctuation(b')')?;
        Ok((value, place))
    }

    /// Appends the JSON value that begins with the present word.
    fn json(&mut self, depth: usize) -> Parsed {
        if depth > MAX_JSON_DEPTH || self.value.len() > self.loader.bounds.value {
            let message = format!(
                "lists lie more than {MAX_JSON_DEPTH} deep in each other, or the value is too long"
            );
            return Err(self.wrong(message, ""));
        }
        match self.word.kind {
            Kind::Quoted => self.value.extend_from_slice(self.lexer.raw(self.word)),
            Kind::Number => self.value.extend_from_slice(self.lexer.text(self.word)),
            Kind::Bare => match self.lexer.text(self.word) {
                word @ (b"null" | b"true" | b"false") => self.value.extend_from_slice(word),
                word => quote(&mut self.value, word),
            },
            Kind::Punctuation(b'[') => {
                self.value.push(b'[');
                self.elements(b']', depth, Self::json)?;
            }
            Kind::Punctuation(b'{') => {
                self.value.push(b'{');
                self.elements(b'}', depth, Self::member)?;
            }
            _ => return Err(self.bad_value()),
        }
        Ok(())
    }

    /// Elements and commas up to what closes the list.
    fn elements(&mut self, close: u8, depth: usize, one: fn(&mut Self, usize) -> Parsed) -> Parsed {
        let mut any = false;
        self.nested += 1;
        loop {
            self.word = self.lexer.next(Mode::Json);
            if self.word.kind == Kind::Punctuation(close) {
                break;
            }
            one(self, depth + 1)?;
            any = true;
            self.word = self.lexer.next(Mode::Json);
            match self.word.kind {
                Kind::Punctuation(b',') => self.value.push(b','),
                Kind::Punctuation(end) if end == close => break,
                _ => {
                    let close = char::from(close);
                    return Err(self.unexpected(&format!("`,` or `{close}`")));
                }
            }
        }
        // The comma behind the only element of a list tells it from a name; others mean nothing.
        if any && close == b'}' && self.value.last() == Some(&b',') {
            self.value.pop();
        }
        self.value.push(close);
        self.nested -= 1;
        Ok(())
    }

    /// Goes behind the braces and brackets of a value in which something is wrong, or to the next line that looks
    /// like something else.
    fn skip_json(&mut self) {
        loop {
            match self.word.kind {
                Kind::End => return,
                Kind::Punctuation(b'{' | b'[') => self.nested += 1,
                Kind::Punctuation(b'}' | b']') => self.nested = self.nested.saturating_sub(1),
                Kind::Bare if self.word.first => match self.lexer.text(self.word) {
                    b"field" | b"info" | b"record" | b"grecord" => {
                        self.lexer.again(self.word);
                        self.advance();
                        return;
                    }
                    _ => {}
                },
                _ => {}
            }
            if self.nested == 0 {
                return self.advance();
            }
            self.word = self.lexer.next(Mode::Json);
        }
    }

    fn member(&mut self, depth: usize) -> Parsed {
        match self.word.kind {
            Kind::Quoted => self.value.extend_from_slice(self.lexer.raw(self.word)),
            Kind::Bare => match self.lexer.text(self.word) {
                b"null" | b"true" | b"false" => return Err(self.unexpected("the name of a member")),
                key if key.iter().any(|byte| b"+-.".contains(byte)) => quote(&mut self.value, key),
                key => self.value.extend_from_slice(key),
            },
            _ => return Err(self.unexpected("the name of a member")),
        }
        self.word = self.lexer.next(Mode::Json);
        if self.word.kind != Kind::Punctuation(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.value.push(b':');
        self.word = self.lexer.next(Mode::Json);
        self.json(depth)
    }

    fn bad_value(&mut self) -> Lost {
        match self.word.kind {
            Kind::BadString => {
                let text = self.lexer.text(self.word);
                let (message, remedy) = match text.iter().find(|&&byte| byte < 0x20) {
                    Some(b'\t') => ("a text has a tab in it".into(), "write `\\t`, or a blank"),
                    Some(byte) => (
                        format!("a text has the byte 0x{byte:02x} in it"),
                        "write it as an escape",
                    ),
                    None => (
                        "a text has an escape that is none".into(),
                        "a backslash is written as `\\\\`",
                    ),
                };
                self.wrong(message, remedy)
            }
            Kind::Invalid(byte) => {
                let word = self.lexer.rest_of_word(self.word);
                let message = format!("`{}` is no value without quotes", shown(&word));
                let remedy = match byte {
                    0x80.. => String::new(),
                    _ => format!("put it in quotes: \"{}\"", shown(&word)),
                };
                self.wrong(message, remedy)
            }
            _ => self.unexpected("a value"),
        }
    }

    /// Reads the next word.
    pub(super) fn advance(&mut self) {
        if std::mem::take(&mut self.unread) {
            return;
        }
        self.word = self.lexer.next(Mode::Plain);
    }

    /// Reads one character.
    pub(super) fn punctuation(&mut self, wanted: u8) -> Parsed {
        if !self.unread
            && let Some(word) = self.lexer.take(wanted)
        {
            self.word = word;
            return Ok(());
        }
        self.advance();
        match self.word.kind {
            Kind::Punctuation(found) if found == wanted => Ok(()),
            _ => Err(self.unexpected(&format!("`{}`", char::from(wanted)))),
        }
    }

    /// Reads a name, with or without quotes.
    pub(super) fn string_into(&mut self, name: &mut Name, what: &str) -> Parsed {
        self.advance();
        self.taken_into(name, what)
    }

    /// Takes the present word as a name.
    pub(super) fn taken_into(&mut self, name: &mut Name, what: &str) -> Parsed {
        match self.word.kind {
            Kind::Bare | Kind::Quoted => {
                name.text.clear();
                name.text.extend_from_slice(self.lexer.text(self.word));
                name.place = Some(self.lexer.place(self.word));
                Ok(())
            }
            // Only `msi` knows this word.
            Kind::Keyword(Keyword::Substitute) => {
                name.text.clear();
                name.text.extend_from_slice(b"substitute");
                name.place = Some(self.lexer.place(self.word));
                Ok(())
            }
            Kind::Keyword(keyword) => {
                let word = keyword.text();
                let message =
                    format!("`{word}` is a word of the language where {what} is expected");
                Err(self.wrong(message, format!("put it in quotes: \"{word}\"")))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    pub(super) fn string(&mut self, what: &str) -> Parsed<Name> {
        let mut name = Name::default();
        self.string_into(&mut name, what)?;
        Ok(name)
    }

    /// Reports that the present word is not what has to stand here.
    pub(super) fn unexpected(&mut self, wanted: &str) -> Lost {
        let text = shown(self.lexer.text(self.word));
        let (found, remedy) = match self.word.kind {
            Kind::End => ("the file ends".into(), ""),
            Kind::Unclosed => {
                return self.wrong(
                    "a text is not closed on its line".into(),
                    "add the quote; a quote within the text is written as `\\\"`",
                );
            }
            Kind::Invalid(byte @ (..0x20 | 0x7f..)) => {
                (format!("there is the byte 0x{byte:02x}"), "")
            }
            Kind::Invalid(b'$') => (
                "there is a `$`".into(),
                "a macro is written as $(NAME); names with others need quotes",
            ),
            Kind::Quoted => (format!("there is \"{text}\""), ""),
            _ => (format!("there is `{text}`"), ""),
        };
        let remedy = self
            .slip()
            .map_or_else(|| remedy.into(), |word| did_you_mean(Some(word)));
        self.wrong(format!("{found} where {wanted} is expected"), remedy)
    }

    /// The word of the language that is most like the present one.
    fn slip(&self) -> Option<&'static str> {
        let text = String::from_utf8_lossy(self.lexer.text(self.word));
        match self.word.kind {
            Kind::Bare => closest(&text, Keyword::ALL.iter().copied()),
            _ => None,
        }
    }

    /// Reports a mistake of syntax at the present word.
    pub(super) fn wrong(&mut self, message: String, remedy: impl Into<String>) -> Lost {
        let place = self.lexer.place(self.word);
        self.refuse(MistakeKind::Syntax, place, message, remedy.into());
        self.syntax_errors += 1;
        if self.syntax_errors >= MAX_SYNTAX_ERRORS {
            let message = "this file has too many mistakes; the rest of it is not looked at";
            self.report(
                Weight::Error,
                MistakeKind::Bound,
                place,
                message,
                "is it a `.db` file?",
            );
            self.lexer.stop();
        }
        Lost
    }

    /// Reports an error. If a macro stands in its place that is not defined, that is the reason, and told instead.
    pub(super) fn refuse(
        &mut self,
        kind: MistakeKind,
        place: Place,
        message: String,
        remedy: String,
    ) {
        let touches = |other: &Place| {
            other.reading == place.reading
                && other.start < place.end.max(place.start + 1)
                && place.start < other.end
        };
        let guilty = self.lexer.troubles.iter().position(|(_, at)| touches(at));
        match guilty {
            Some(first) => {
                let (problem, _) = &self.lexer.troubles[first];
                let text = problem.to_string();
                let help = remedy_of(problem);
                self.lexer.troubles.retain(|(_, at)| !touches(at));
                let kind = MistakeKind::Macro;
                self.report_noted(
                    Weight::Error,
                    kind,
                    place,
                    text,
                    help,
                    vec![format!("therefore: {message}")],
                );
            }
            None => self.report(Weight::Error, kind, place, message, remedy),
        }
    }

    pub(super) fn report(
        &mut self,
        weight: Weight,
        kind: MistakeKind,
        place: Place,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.report_noted(
            weight,
            kind,
            place,
            message.into(),
            remedy.into(),
            Vec::new(),
        );
    }

    fn report_noted(
        &mut self,
        weight: Weight,
        kind: MistakeKind,
        place: Place,
        message: String,
        remedy: String,
        mut notes: Vec<String>,
    ) {
        notes.extend(self.lexer.note(place));
        self.loader.mistakes.add(Mistake {
            weight,
            kind,
            message,
            remedy,
            place: Some(place),
            notes,
            times: 1,
        });
    }

    /// Tells of macros, and counts what was done.
    fn settle(&mut self) {
        if !self.lexer.troubles.is_empty() {
            for (problem, place) in std::mem::take(&mut self.lexer.troubles) {
                let weight = match problem.kind {
                    MacroProblemKind::TooLarge => Weight::Error,
                    _ => Weight::Warning,
                };
                let remedy = remedy_of(&problem);
                self.report(
                    weight,
                    MistakeKind::Macro,
                    place,
                    problem.to_string(),
                    remedy,
                );
            }
        }
        self.loader.work += self.lexer.work - self.told;
        self.told = self.lexer.work;
        if self.loader.work > self.loader.bounds.work {
            let place = self.lexer.place(self.word);
            let most = self.loader.bounds.work;
            self.loader.full(
                place,
                format!("the files have more than {most} bytes with their macros expanded"),
            );
        }
        if self.loader.is_full {
            self.lexer.stop();
        }
    }

    /// Counts a field or item.
    pub(super) fn count(&mut self, place: Place) -> bool {
        self.loader.fields += 1;
        let most = self.loader.bounds.fields;
        if self.loader.fields > most {
            self.loader
                .full(place, format!("more than {most} fields and items are set"));
            self.lexer.stop();
            return false;
        }
        true
    }

    /// Looks for the next word from which to go on after a mistake. In a body: whether it goes on there.
    pub(super) fn recover(&mut self, in_body: bool) -> bool {
        let mut wrong = true;
        loop {
            let usable = self.word.first || !wrong;
            match self.word.kind {
                Kind::End => return false,
                Kind::Punctuation(b'}') if in_body && self.word.first => {
                    self.unread = true;
                    return true;
                }
                Kind::Keyword(Keyword::Field | Keyword::Info) if in_body && usable => {
                    self.unread = true;
                    return true;
                }
                // Another word that is misspelt.
                Kind::Bare if in_body && self.word.first && !wrong && self.slip().is_some() => {
                    self.unread = true;
                    return true;
                }
                // Outside of a record its fields are skipped without a word for each.
                Kind::Keyword(Keyword::Field | Keyword::Info | Keyword::Choice) => {}
                Kind::Keyword(keyword) if self.word.first => {
                    self.unread = true;
                    let both = matches!(
                        keyword,
                        Keyword::Alias | Keyword::Include | Keyword::Substitute
                    );
                    return in_body && both;
                }
                _ => {}
            }
            self.advance();
            wrong = false;
        }
    }
}

/// What a text in quotes stands for; a byte 0 ends it, as in C.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut text = ca_proto::text::unescape(text);
    if let Some(end) = text.iter().position(|&byte| byte == 0) {
        text.truncate(end);
    }
    text
}

fn quote(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(word);
    out.push(b'"');
}

fn remedy_of(problem: &MacroProblem) -> String {
    let name = shown(&problem.name);
    match problem.kind {
        MacroProblemKind::Undefined => {
            format!("define it, `{name}=…`, or give a default: $({name}=…)")
        }
        MacroProblemKind::Recursive => "give it a value without itself".into(),
        MacroProblemKind::TooLarge => String::new(),
    }
}
