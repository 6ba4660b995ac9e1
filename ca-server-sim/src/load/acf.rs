//! `.acf` files: users, hosts, and rules of access (`asLib.y` and `asLib_lex.l` of EPICS Base).

use hashbrown::HashSet;

use super::lexer::{Kind, Lexer, Mode, Word};
use super::loader::Loader;
use super::macros::Macros;
use super::mistakes::{MistakeKind, Mistakes};
use super::source::{Place, shown};
use super::value::{closest, did_you_mean};
use super::{Bounds, Files};
use crate::access::rules::{Access, AccessSecurity, DEFAULT_GROUP, Group, Rule};
use crate::calc::{ARGUMENTS, Expression};
use crate::slip::Weight;

const SYNTAX: (Weight, MistakeKind) = (Weight::Error, MistakeKind::Syntax);
const ODD: (Weight, MistakeKind) = (Weight::Warning, MistakeKind::Syntax);

/// Reads an `.acf` file, as `asInitFile` does; `macros` is written as `A=1,B=2`. What is read counts only if no mistake
/// is an error.
///
/// ```
/// use ca_server_sim::access::rules::{Access, Client, Inputs};
/// use ca_server_sim::load::{InMemory, access_security};
///
/// let files = InMemory::from([("site.acf", r#"
///     UAG(ops) { alice, bob }
///     HAG(control) { "cs1.example.org", cs2 }
///     ASG(DEFAULT) {
///         INPA(BEAM:ON)
///         RULE(1, READ)
///         RULE(1, WRITE, TRAPWRITE) { UAG(ops) HAG(control) CALC("A=0") }
///     }
/// "#)]);
/// let (security, mistakes) = access_security(&files, "site.acf", "");
/// assert!(mistakes.is_empty(), "{mistakes}");
/// let alice = Client { user: "alice", host: "CS2" };
/// let mut inputs = Inputs::default();
/// let decision = security.decide("MAGNETS", 1, alice, &inputs);
/// assert_eq!((decision.access, decision.traps_writes), (Access::Write, true));
/// assert_eq!(decision.rule.expect("one allows it").place.to_string(), "site.acf:7:9");
/// inputs.values[0] = 1.0; // there is beam
/// assert_eq!(security.decide("MAGNETS", 1, alice, &inputs).access, Access::Read);
/// ```
pub fn access_security(files: &dyn Files, name: &str, macros: &str) -> (AccessSecurity, Mistakes) {
    let mut loader = Loader::new(files).bounds(Bounds::default());
    let path = [".".to_owned()];
    let file = loader.find(name.as_bytes(), None, &path);
    let mut security = AccessSecurity::default();
    security
        .groups
        .insert(DEFAULT_GROUP.into(), Group::default());
    if let Some((reading, text)) = file.and_then(|file| loader.open(file, None)) {
        let mut defined = Macros::new();
        defined.define(macros);
        let mut lexer = Lexer::new(defined);
        lexer.push(reading, text);
        let word = lexer.nothing();
        let mut parser = Parser {
            loader: &mut loader,
            lexer,
            word,
            unread: false,
            security,
            items: 0,
        };
        parser.items();
        security = parser.security;
    }
    (security, loader.finish().mistakes)
}

struct Lost;

type Parsed<T = ()> = Result<T, Lost>;

struct Parser<'l, 'f> {
    loader: &'l mut Loader<'f>,
    lexer: Lexer,
    word: Word,
    unread: bool,
    security: AccessSecurity,
    items: usize,
}

type Named = (Box<str>, Place);

impl Parser<'_, '_> {
    fn items(&mut self) {
        loop {
            self.advance();
            if self.word.kind == Kind::End {
                break;
            }
            self.items += 1;
            let result = match self.bare() {
                Some("UAG") => self.members("user"),
                Some("HAG") => self.members("host"),
                Some("ASG") => self.group(),
                Some(_) => self.unknown("at the outermost level").map(|_| ()),
                None => Err(self.unexpected("UAG, HAG or ASG")),
            };
            if result.is_err() {
                self.recover();
            }
            self.settle();
        }
        if self.items == 0 {
            let place = self.lexer.place(self.word);
            self.loader.report(
                SYNTAX,
                place,
                "the file has nothing in it",
                "an empty file allows nothing: ASG(DEFAULT) { RULE(1, WRITE) }",
            );
        }
        self.settle();
    }

    /// `UAG(NAME) { A, B }` or the same of hosts.
    fn members(&mut self, what: &str) -> Parsed {
        let (name, place) = self.one_name()?;
        let mut members = HashSet::new();
        if self.opens() {
            for (member, place) in self.names(b'}')? {
                let member = match what {
                    "host" => member.to_lowercase().into(),
                    _ => member,
                };
                if !members.insert(member) {
                    let kind = (Weight::Warning, MistakeKind::Duplicate);
                    self.loader
                        .report(kind, place, format!("the {what} is twice in `{name}`"), "");
                }
            }
        }
        let all = match what {
            "user" => &mut self.security.users,
            _ => &mut self.security.hosts,
        };
        if all.contains_key(&name) {
            let kind = (Weight::Error, MistakeKind::Duplicate);
            self.loader.report(
                kind,
                place,
                format!("the group of {what}s `{name}` is defined twice"),
                "",
            );
        } else {
            all.insert(name, members);
        }
        Ok(())
    }

    /// `ASG(NAME) { … }`.
    fn group(&mut self) -> Parsed {
        let (name, place) = self.one_name()?;
        let known = self.security.groups.get(&name);
        let is_new =
            known.is_none_or(|group| &*name == DEFAULT_GROUP && *group == Group::default());
        if !is_new {
            let kind = (Weight::Error, MistakeKind::Duplicate);
            self.loader.report(
                kind,
                place,
                format!("the group `{name}` is defined twice"),
                "",
            );
        }
        let mut group = Group::default();
        if self.opens() {
            let mut any = false;
            loop {
                self.advance();
                let at = self.lexer.place(self.word);
                if self.word.kind == Kind::Punctuation(b'}') {
                    if !any {
                        self.loader.report(
                            SYNTAX,
                            at,
                            format!("the group `{name}` has nothing in its braces"),
                            "leave them out",
                        );
                    }
                    break;
                }
                any = true;
                match self.bare() {
                    Some("RULE") => {
                        let rule = self.rule(at)?;
                        group.rules.push(rule);
                    }
                    Some(word) => match input(word) {
                        Some(letter) => {
                            let (pv, _) = self.one_name()?;
                            group.inputs.push((letter, pv));
                        }
                        None => {
                            self.unknown("in a group")?;
                        }
                    },
                    None => {
                        return Err(self.unexpected("RULE, INPA to INPU, or the `}` of the group"));
                    }
                }
            }
        }
        if is_new {
            self.security.groups.insert(name, group);
        }
        Ok(())
    }

    /// `RULE(LEVEL, ACCESS, TRAPWRITE) { … }`, behind its first word.
    fn rule(&mut self, at: Place) -> Parsed<Rule> {
        self.punctuation(b'(')?;
        self.advance();
        let digits = self
            .bare()
            .filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(level) = digits.map(|word| word.parse().unwrap_or(i32::MAX)) else {
            return Err(self.unexpected("an access security level, 0 or 1,"));
        };
        self.punctuation(b',')?;
        let (word, place) = self.name("NONE, READ or WRITE")?;
        let access = [Access::None, Access::Read, Access::Write]
            .into_iter()
            .find(|one| one.name() == &*word);
        if access.is_none() {
            // As with other words that a later version may know.
            let near = did_you_mean(closest(&word, ["NONE", "READ", "WRITE"]));
            let message =
                format!("`{word}` is no access (NONE, READ, WRITE); the rule never counts");
            self.loader.report(ODD, place, message, near);
        }
        let mut rule = Rule {
            level,
            access: access.unwrap_or_default(),
            traps_writes: false,
            users: Vec::new(),
            hosts: Vec::new(),
            condition: None,
            condition_text: None,
            is_ignored: access.is_none(),
            place: self.loader.mistakes.sources().locate(at),
        };
        self.advance();
        if self.word.kind == Kind::Punctuation(b',') {
            let (option, place) = self.name("TRAPWRITE or NOTRAPWRITE")?;
            rule.traps_writes = &*option == "TRAPWRITE";
            if !rule.traps_writes && &*option != "NOTRAPWRITE" {
                let near = did_you_mean(closest(&option, ["TRAPWRITE", "NOTRAPWRITE"]));
                self.loader.report(
                    SYNTAX,
                    place,
                    format!("`{option}` is neither TRAPWRITE nor NOTRAPWRITE"),
                    near,
                );
            }
            self.advance();
        }
        if self.word.kind != Kind::Punctuation(b')') {
            return Err(self.unexpected("`)`"));
        }
        if self.opens() {
            self.conditions(&mut rule)?;
        }
        Ok(rule)
    }

    /// What is in the braces of a rule.
    fn conditions(&mut self, rule: &mut Rule) -> Parsed {
        let mut any = false;
        loop {
            self.advance();
            if self.word.kind == Kind::Punctuation(b'}') {
                if !any {
                    let at = self.lexer.place(self.word);
                    self.loader.report(
                        SYNTAX,
                        at,
                        "the rule has nothing in its braces",
                        "leave them out",
                    );
                }
                return Ok(());
            }
            any = true;
            match self.bare() {
                Some("UAG") => {
                    let names = self.groups_of("users")?;
                    rule.users.extend(names);
                }
                Some("HAG") => {
                    let names = self.groups_of("hosts")?;
                    rule.hosts.extend(names);
                }
                Some("CALC") => {
                    let (text, place) = self.one_name()?;
                    rule.condition = self.condition(&text, place);
                    rule.condition_text = Some(text);
                }
                // A rule with a condition that we do not know must not allow anything.
                Some(_) => {
                    self.unknown("in a rule, which never counts therefore")?;
                    rule.is_ignored = true;
                }
                None => return Err(self.unexpected("UAG, HAG, CALC, or the `}` of the rule")),
            }
        }
    }

    fn groups_of(&mut self, what: &str) -> Parsed<Vec<Box<str>>> {
        self.punctuation(b'(')?;
        let names = self.names(b')')?;
        for (name, place) in &names {
            let known = match what {
                "users" => &self.security.users,
                _ => &self.security.hosts,
            };
            if !known.contains_key(name) {
                let near = did_you_mean(closest(name, known.keys().map(|name| &**name)));
                let remedy = match near.is_empty() {
                    true => "a group has to be defined before it is used".into(),
                    false => near,
                };
                let kind = (Weight::Error, MistakeKind::Definition);
                self.loader.report(
                    kind,
                    *place,
                    format!("there is no group of {what} `{name}`"),
                    remedy,
                );
            }
        }
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }

    fn condition(&mut self, text: &str, place: Place) -> Option<Expression> {
        let kind = (Weight::Error, MistakeKind::Definition);
        match Expression::parse(text) {
            Ok(expression) if expression.stores() == 0 => {
                if expression.reads() == 0 {
                    let message = "the condition uses no input, and never counts therefore";
                    self.loader
                        .report(ODD, place, message, "leave it out, or the rule");
                }
                Some(expression)
            }
            Ok(_) => {
                self.loader.report(
                    kind,
                    place,
                    "the condition assigns to an input",
                    "leave `:=` out",
                );
                None
            }
            Err(error) => {
                self.loader.report(
                    kind,
                    place,
                    format!("the condition is no expression: {error}"),
                    "",
                );
                None
            }
        }
    }

    /// Something that later versions may know: `WORD(…) { … }`. It is told, and left out.
    fn unknown(&mut self, place: &str) -> Parsed {
        if self.bare().is_some_and(is_reserved) {
            return Err(self.unexpected("something else"));
        }
        let word = shown(self.lexer.text(self.word));
        let at = self.lexer.place(self.word);
        let near = closest(&word, ["UAG", "HAG", "ASG", "RULE", "CALC", "INPA"]);
        let kind = (Weight::Warning, MistakeKind::Syntax);
        self.loader.report(
            kind,
            at,
            format!("`{word}` is not known {place}, and left out"),
            did_you_mean(near),
        );
        self.punctuation(b'(')?;
        self.skip(b'(', b')')?;
        if self.opens() {
            self.skip(b'{', b'}')?;
        }
        Ok(())
    }

    fn skip(&mut self, open: u8, close: u8) -> Parsed {
        let mut depth = 1_usize;
        while depth > 0 {
            self.advance();
            match self.word.kind {
                Kind::Punctuation(byte) if byte == open => depth += 1,
                Kind::Punctuation(byte) if byte == close => depth -= 1,
                Kind::End => return Err(self.unexpected(&format!("`{}`", char::from(close)))),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether braces follow.
    fn opens(&mut self) -> bool {
        self.advance();
        self.unread = self.word.kind != Kind::Punctuation(b'{');
        !self.unread
    }

    /// `(NAME)`.
    fn one_name(&mut self) -> Parsed<Named> {
        self.punctuation(b'(')?;
        let name = self.name("a name")?;
        self.punctuation(b')')?;
        Ok(name)
    }

    /// Names with commas between them, and what closes them.
    fn names(&mut self, close: u8) -> Parsed<Vec<Named>> {
        let mut names = Vec::new();
        loop {
            names.push(self.name("a name")?);
            self.advance();
            match self.word.kind {
                Kind::Punctuation(b',') => {}
                Kind::Punctuation(byte) if byte == close => return Ok(names),
                _ => return Err(self.unexpected(&format!("`,` or `{}`", char::from(close)))),
            }
        }
    }

    fn name(&mut self, what: &str) -> Parsed<Named> {
        self.advance();
        let text = self.lexer.text(self.word);
        let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        match self.word.kind {
            Kind::Quoted => {}
            Kind::Bare | Kind::Keyword(_) if is_number => {
                return Err(self.unexpected(&format!("{what}, in quotes if it is a number,")));
            }
            Kind::Bare | Kind::Keyword(_) if self.bare().is_some_and(is_reserved) => {
                return Err(self.unexpected(&format!(
                    "{what}, in quotes if it is a word of the language,"
                )));
            }
            Kind::Bare | Kind::Keyword(_) => {}
            _ => return Err(self.unexpected(what)),
        }
        let name = String::from_utf8_lossy(self.lexer.text(self.word));
        Ok((name.into(), self.lexer.place(self.word)))
    }

    /// The present word if it has no quotes.
    fn bare(&self) -> Option<&str> {
        match self.word.kind {
            Kind::Bare | Kind::Keyword(_) => std::str::from_utf8(self.lexer.text(self.word)).ok(),
            _ => None,
        }
    }

    fn punctuation(&mut self, wanted: u8) -> Parsed {
        self.advance();
        match self.word.kind {
            Kind::Punctuation(found) if found == wanted => Ok(()),
            _ => Err(self.unexpected(&format!("`{}`", char::from(wanted)))),
        }
    }

    fn advance(&mut self) {
        if !std::mem::take(&mut self.unread) {
            self.word = self.lexer.next(Mode::Plain);
        }
    }

    fn unexpected(&mut self, wanted: &str) -> Lost {
        let place = self.lexer.place(self.word);
        let text = shown(self.lexer.text(self.word));
        let found = match self.word.kind {
            Kind::End => "the file ends".into(),
            Kind::Unclosed => "a text is not closed on its line".into(),
            _ => format!("there is `{text}`"),
        };
        self.loader.report(
            SYNTAX,
            place,
            format!("{found} where {wanted} is expected"),
            "",
        );
        Lost
    }

    /// Goes on at the next line that begins with UAG, HAG or ASG.
    fn recover(&mut self) {
        loop {
            self.advance();
            let begins = self.word.first && matches!(self.bare(), Some("UAG" | "HAG" | "ASG"));
            if begins || self.word.kind == Kind::End {
                self.unread = true;
                return;
            }
        }
    }

    /// Tells of macros, and looks at the bounds.
    fn settle(&mut self) {
        for (problem, place) in std::mem::take(&mut self.lexer.troubles) {
            let kind = (Weight::Warning, MistakeKind::Macro);
            self.loader
                .report(kind, place, problem.to_string(), "define it");
        }
        if self.lexer.work > self.loader.bounds.work {
            let place = self.lexer.place(self.word);
            self.loader.full(
                place,
                "the file is too long with its macros expanded".into(),
            );
            self.lexer.stop();
        }
    }
}

/// The number of the letter of `INPA` and its like.
fn input(word: &str) -> Option<u8> {
    match word.as_bytes() {
        [b'I', b'N', b'P', letter @ b'A'..=b'Z'] => {
            let number = letter - b'A';
            (usize::from(number) < ARGUMENTS).then_some(number)
        }
        _ => None,
    }
}

/// Whether a word without quotes is one of the language.
fn is_reserved(word: &str) -> bool {
    matches!(word, "UAG" | "HAG" | "ASG" | "RULE" | "CALC") || input(word).is_some()
}
