//! Lattices in files: a part of the language of MAD-X; see [`Lattice::parse`].

mod element;
mod mistakes;
mod sequence;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::{PI, TAU};

use self::element::{Attributes, Given, TYPES, backwards, element};
use self::mistakes::{Found, Slip, did_you_mean};
pub use self::mistakes::{Mistake, ParseError};
use self::sequence::{Place, Sequence};
use self::tokens::{Token, tokens};
use crate::lattice::{Element, Lattice};

/// Bytes of a file at most.
const MAX_BYTES: usize = 4 << 20;
/// Elements of a ring at most.
const MAX_ELEMENTS: usize = 100_000;
/// Brackets within brackets, lines within lines, and expressions within expressions.
const MAX_DEPTH: usize = 64;
/// Operands of expressions that wait, and items of lines that are unrolled, at most.
const MAX_WORK: usize = 1_000_000;

/// What MAD-X is asked to do, and what says nothing of a ring.
const PASSED_OVER: &[&str] = &[
    "assign", "exit", "plot", "print", "quit", "return", "save", "select", "set", "show", "stop",
    "survey", "title", "twiss", "value", "write",
];

/// An item of a line.
#[derive(Clone, Debug)]
struct Item {
    times: usize,
    reversed: bool,
    what: Part,
    /// Byte in the text.
    at: usize,
}

#[derive(Clone, Debug)]
enum Part {
    Name(String),
    Items(Vec<Item>),
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    variables: BTreeMap<String, Given>,
    elements: BTreeMap<String, Attributes>,
    lines: BTreeMap<String, Vec<Item>>,
    sequences: BTreeMap<String, Sequence>,
    /// The sequence that is being read.
    open: Option<(String, Sequence)>,
    /// Drifts that were put between elements of sequences.
    drifts: usize,
    /// The line or sequence that ended last.
    last_line: Option<String>,
    used: Option<(String, usize)>,
    /// Lengths of `rbend` are those of chords.
    arcs: bool,
    found: Found,
    /// What was to be defined by statements that are wrong: whoever uses it makes no mistake.
    broken: BTreeSet<String>,
    /// Expressions are read, but not evaluated.
    reads_only: bool,
    /// Expressions that wait and are being evaluated, one within the other.
    waiting: usize,
    work: usize,
    /// Elements as they are, once a line needs them.
    made: BTreeMap<String, Element>,
}

impl Lattice {
    /// A ring from a text in a part of the language of MAD-X.
    ///
    /// ```text
    /// ! comment, or // comment, or /* comment */
    /// energy = 2.4e9;                       variables; energy in eV is that of the beam
    /// beam, particle = electron, energy = 2.4;   the same in GeV; what else it says does not matter here
    /// k := 2 * k0;                          evaluated when it is needed: k0 may follow below
    /// qf: quadrupole, l = 0.5, k1 := k;     elements with attributes
    /// b: sbend, l = 1, angle = 2*pi/40, e1 = 0, e2 = 0, k1 = 0;
    /// q2: qf, k1 = 0.6;                     an element like another one
    /// cell: line = (qf, 2*(o1, b), -sub);   lines, with repetitions; a minus reverses
    /// half: sequence, l = 6, refer = centre;     elements at places, `refer` is entry, centre or exit
    ///   qf, at = 0.25;                       one that was defined above, or another sequence
    ///   m1: monitor, at = 0.2, from = qf;    from the centre of another one
    /// endsequence;                          between them there are drifts
    /// use, period = ring;                   which line or sequence is the ring; else `ring`, else the last one
    /// option, rbarc = false;                lengths of `rbend` are those of arcs, not of chords
    /// ```
    ///
    /// Elements: `drift`, `sbend`, `rbend`, `quadrupole`, `sextupole`, `kicker` (`hkick`, `vkick`), `hkicker`, `vkicker`
    /// (`kick`), `monitor`, `hmonitor`, `vmonitor`, `marker`, `rfcavity` (`freq` in MHz, `volt` in MV). Lengths are in
    /// metres, angles in radians, `k1` in 1/m², `k2` in 1/m³. Names are the same in any case. Commands of MAD-X that say
    /// nothing of the lattice (`title`, `twiss`, `select` and so on) are passed over.
    ///
    /// Conventions:
    ///
    /// - The faces of a bend are thin lenses at its ends: `tan(e) h` horizontally, `-tan(e - ψ) h` vertically, where `h`
    ///   is the curvature and `ψ = 2 hgap fint h (1 + sin² e) / cos e` the extent of the fringe field; `fintx` is that of
    ///   the exit, and `fint` if it is left out. An angle that is positive makes the magnet shorter at the outside.
    /// - `k1` of a bend is a gradient about the curved reference orbit: it focuses with `h² + k1` horizontally and with
    ///   `-k1` vertically, over the length of the arc.
    /// - Quadrupoles end sharply: what their fringe fields do is not linear, and left out.
    /// - A bend of a line that is reversed is turned around as a whole, with its faces, as pyAT and MAD-8 have it; MAD-X
    ///   leaves elements as they are.
    ///
    /// # Errors
    /// [`ParseError`]: all mistakes, each with line and column.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::new(text);
        while parser.token() != &Token::End {
            let start = parser.next;
            if let Err(slip) = parser.statement() {
                parser.found.add(slip);
                parser.recover(start);
            }
        }
        if let Some((name, sequence)) = parser.open.take() {
            parser.found.add(sequence.unended(&name));
        }
        let lattice = match parser.ring() {
            Ok(lattice) => lattice,
            Err(slip) => {
                parser.found.add(slip);
                Self::default()
            }
        };
        match parser.found.is_empty() {
            true => Ok(lattice),
            false => Err(parser.found.error(text)),
        }
    }
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut found = Found::default();
        let tokens = match text.len() {
            0..=MAX_BYTES => tokens(text, &mut found),
            _ => {
                let what = format!("a lattice has {MAX_BYTES} bytes at most");
                found.add(Slip { at: 0, what });
                vec![(Token::End, 0)]
            }
        };
        let variables = [("pi", PI), ("twopi", TAU), ("clight", 299_792_458.0)];
        Self {
            text,
            tokens,
            next: 0,
            variables: variables
                .map(|(name, v)| (name.to_owned(), Given::Now(v)))
                .into(),
            elements: BTreeMap::new(),
            lines: BTreeMap::new(),
            sequences: BTreeMap::new(),
            open: None,
            drifts: 0,
            last_line: None,
            used: None,
            arcs: true,
            found,
            broken: BTreeSet::new(),
            reads_only: false,
            waiting: 0,
            work: 0,
            made: BTreeMap::new(),
        }
    }

    fn token(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> &Token {
        self.tokens
            .get(self.next + by)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.text.len(), |&(_, at)| at)
    }

    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, Slip> {
        wrong(self.at(), what)
    }

    fn take(&mut self, sign: char) -> bool {
        let is = *self.token() == Token::Sign(sign);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: char) -> Result<(), Slip> {
        match self.take(sign) {
            true => Ok(()),
            false => self.wrong(format!("`{sign}` is expected, not {}", self.token())),
        }
    }

    fn word(&mut self, what: &str) -> Result<String, Slip> {
        let Token::Word(word) = self.token() else {
            return self.wrong(format!("{what} is expected, not {}", self.token()));
        };
        let word = word.clone();
        self.next += 1;
        Ok(word)
    }

    /// Goes on behind a statement that is wrong: behind its `;`, or, where that was forgotten, with the line that
    /// begins another one.
    fn recover(&mut self, start: usize) {
        if let Some((Token::Word(name), _)) = self.tokens.get(start) {
            self.broken.insert(name.clone());
        }
        self.next = self.next.max(start + 1);
        while self.token() != &Token::End {
            if self.take(';') {
                return;
            }
            if self.begins_statement() {
                return;
            }
            self.next += 1;
        }
    }

    /// Whether a line begins here with a word and `:` or `=`, not behind a comma.
    fn begins_statement(&self) -> bool {
        let before = self.next.checked_sub(1).and_then(|n| self.tokens.get(n));
        let Some(&(ref before, began)) = before else {
            return false;
        };
        let between = self.text.get(began..self.at());
        let first = between.is_some_and(|between| between.contains('\n'));
        let goes_on = matches!(before, Token::Sign(',' | '='));
        matches!(self.token(), Token::Word(_))
            && matches!(self.ahead(1), Token::Sign(':' | '='))
            && first
            && !goes_on
    }

    fn statement(&mut self) -> Result<(), Slip> {
        if self.take(';') {
            return Ok(());
        }
        let at = self.at();
        let mut name = self.word("the name of a variable, an element or a line")?;
        while matches!(&*name, "const" | "real" | "int" | "shared")
            && matches!(self.token(), Token::Word(_))
        {
            name = self.word("the name of a variable")?;
        }
        if self.take('=') {
            let value = self.value()?;
            self.variables.insert(name, Given::Now(value));
        } else if self.take(':') {
            if self.take('=') {
                let value = self.later()?;
                self.variables.insert(name, value);
            } else {
                self.definition(name)?;
            }
        } else {
            self.command(&name, at)?;
        }
        self.expect(';')
    }

    fn command(&mut self, name: &str, at: usize) -> Result<(), Slip> {
        match name {
            "use" => {
                self.expect(',')?;
                if !matches!(&*self.word("`period`")?, "period" | "sequence") {
                    self.next -= 1;
                    return self.wrong("`use` wants `period = NAME`");
                }
                self.expect('=')?;
                let at = self.at();
                self.used = Some((self.word("the name of a line")?, at));
                Ok(())
            }
            "endsequence" => self.close_sequence(at),
            "beam" => self.beam(),
            "option" => self.option(),
            "call" => wrong(
                at,
                "a lattice is one file: put what is called here in its place",
            ),
            _ if self.open.is_some() && *self.token() == Token::Sign(',') => {
                self.placement(name, at)
            }
            _ if PASSED_OVER.contains(&name) => {
                self.pass_over(&[';']);
                Ok(())
            }
            _ => {
                let commands = ["use", "beam", "option"];
                let near = did_you_mean(name, commands.iter().chain(PASSED_OVER).copied());
                wrong(
                    if near.is_empty() { self.at() } else { at },
                    format!(
                        "behind `{name}` there is `=` for a variable, or `:` for an element or a line, not {}{near}",
                        self.token()
                    ),
                )
            }
        }
    }

    fn pass_over(&mut self, until: &[char]) {
        while !matches!(self.token(), Token::End)
            && !matches!(self.token(), Token::Sign(sign) if until.contains(sign))
        {
            self.next += 1;
        }
    }

    /// `beam, energy = 3, particle = electron`
    fn beam(&mut self) -> Result<(), Slip> {
        while self.take(',') {
            let key = self.word("an attribute of the beam")?;
            if key == "energy" {
                self.take(':');
                self.expect('=')?;
                let giga = self.value()?;
                self.variables.insert(key, Given::Now(giga * 1e9));
            }
            self.pass_over(&[',', ';']);
        }
        Ok(())
    }

    /// `option, rbarc = false` or `option, -rbarc`
    fn option(&mut self) -> Result<(), Slip> {
        while self.take(',') {
            let off = self.take('-');
            if self.word("an option")? == "rbarc" {
                self.arcs = !off;
                if self.take('=') {
                    self.arcs = self.word("`true` or `false`")? == "true";
                }
            }
            self.pass_over(&[',', ';']);
        }
        Ok(())
    }

    fn definition(&mut self, name: String) -> Result<(), Slip> {
        let at = self.at();
        let of = self.word("the type of an element, or `line`")?;
        if of == "line" {
            self.take(':');
            self.expect('=')?;
            let items = self.items(0)?;
            self.lines.insert(name.clone(), items);
            self.last_line = Some(name);
            return Ok(());
        }
        if of == "sequence" {
            return self.open_sequence(name, at);
        }
        let known = TYPES.iter().find(|(known, _)| *known == of);
        let mut attributes = match (known, self.elements.get(&of)) {
            (Some((of, _)), _) => Attributes {
                of,
                values: BTreeMap::new(),
            },
            (None, Some(like)) => like.clone(),
            (None, None) => {
                if !self.broken.contains(&of) {
                    let what = self.no_type(&of);
                    self.found.add(Slip { at, what });
                }
                Attributes {
                    of: "",
                    values: BTreeMap::new(),
                }
            }
        };
        let mut place = Place::default();
        while self.take(',') {
            if !self.place(&mut place)? {
                self.attribute(&mut attributes)?;
            }
        }
        self.elements.insert(name.clone(), attributes);
        self.put_at(&name, place, at)
    }

    fn no_type(&self, of: &str) -> String {
        let types: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
        let near = match self.found.has_room() {
            true => did_you_mean(
                of,
                (types.iter().copied()).chain(self.elements.keys().map(String::as_str)),
            ),
            false => String::new(),
        };
        match near.is_empty() {
            true => format!(
                "there is no type and no element `{of}`; types are {}",
                types.join(", ")
            ),
            false => format!("there is no type and no element `{of}`{near}"),
        }
    }

    fn attribute(&mut self, of: &mut Attributes) -> Result<(), Slip> {
        let at = self.at();
        let attribute = self.word("an attribute")?;
        let known = of.known();
        let key = known.iter().find(|key| **key == attribute);
        if key.is_none() && !of.of.is_empty() {
            let what = match known {
                [] => format!("a {} has no attributes", of.of),
                _ => format!(
                    "a {} has no attribute `{attribute}`; it has: {}{}",
                    of.of,
                    known.join(", "),
                    did_you_mean(&attribute, known.iter().copied())
                ),
            };
            self.found.add(Slip { at, what });
        }
        let Some(key) = key else {
            self.pass_over(&[',', ';']);
            return Ok(());
        };
        let later = self.take(':');
        self.expect('=')?;
        let value_at = self.at();
        let value = match later {
            true => self.later()?,
            false => Given::Now(self.value()?),
        };
        if let Given::Now(value) = value
            && value < 0.0
            && *key == "l"
        {
            self.found.add(Slip {
                at: value_at,
                what: format!("the length is {value}, and would have to be positive"),
            });
        }
        of.values.insert(key, value);
        Ok(())
    }

    /// `(a, 2*b, -(c, d))`
    fn items(&mut self, depth: usize) -> Result<Vec<Item>, Slip> {
        if depth > MAX_DEPTH {
            return self.wrong(format!("brackets nest {MAX_DEPTH} deep at most"));
        }
        self.expect('(')?;
        let mut items = Vec::new();
        loop {
            let at = self.at();
            let reversed = self.take('-');
            let mut times = 1;
            if let Token::Number(number) = *self.token() {
                if number.fract() != 0.0 || !(0.0..=MAX_ELEMENTS as f64).contains(&number) {
                    return self.wrong("a repetition is a whole number from 0");
                }
                times = number as usize;
                self.next += 1;
                self.expect('*')?;
            }
            let what = match self.token() {
                Token::Sign('(') => Part::Items(self.items(depth + 1)?),
                _ => Part::Name(self.word("the name of an element or a line")?),
            };
            items.push(Item {
                times,
                reversed,
                what,
                at,
            });
            if !self.take(',') {
                break;
            }
        }
        self.expect(')')?;
        Ok(items)
    }

    /// An expression that counts when the whole text is known.
    fn later(&mut self) -> Result<Given, Slip> {
        let start = self.next;
        self.reads_only = true;
        let read = self.sum(0);
        self.reads_only = false;
        read.map(|_| Given::Later(start))
    }

    /// What was given, now.
    fn evaluate(&mut self, given: Given, depth: usize) -> Result<f64, Slip> {
        match given {
            Given::Now(value) => Ok(value),
            Given::Later(start) => {
                let here = std::mem::replace(&mut self.next, start);
                let at = self.at();
                self.waiting += 1;
                let value = self.sum(depth);
                self.waiting -= 1;
                self.next = here;
                finite(at, value?)
            }
        }
    }

    fn value(&mut self) -> Result<f64, Slip> {
        let at = self.at();
        let value = self.sum(0)?;
        finite(at, value)
    }

    fn sum(&mut self, depth: usize) -> Result<f64, Slip> {
        if depth > MAX_DEPTH {
            return self.wrong(format!(
                "brackets, and variables that need others, nest {MAX_DEPTH} deep at most"
            ));
        }
        let mut value = self.product(depth)?;
        loop {
            if self.take('+') {
                value += self.product(depth)?;
            } else if self.take('-') {
                value -= self.product(depth)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self, depth: usize) -> Result<f64, Slip> {
        let mut value = self.power(depth)?;
        loop {
            if self.take('*') {
                value *= self.power(depth)?;
            } else if self.take('/') {
                value /= self.power(depth)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn power(&mut self, depth: usize) -> Result<f64, Slip> {
        let negative = self.take('-');
        if !negative {
            self.take('+');
        }
        let mut value = self.factor(depth)?;
        if self.take('^') {
            let exponent = self.factor(depth)?;
            value = value.powf(exponent);
        }
        Ok(if negative { -value } else { value })
    }

    fn factor(&mut self, depth: usize) -> Result<f64, Slip> {
        self.work += usize::from(self.waiting > 0);
        if self.work > MAX_WORK {
            return self.wrong("the expressions of this lattice take too long: variables need each other too often");
        }
        let at = self.at();
        match self.token() {
            &Token::Number(number) => {
                self.next += 1;
                Ok(number)
            }
            Token::Sign('(') => {
                self.next += 1;
                let value = self.sum(depth + 1)?;
                self.expect(')')?;
                Ok(value)
            }
            Token::Word(word) => {
                let word = word.clone();
                self.next += 1;
                match self.take('(') {
                    true => self.function(&word, at, depth),
                    false => self.variable(&word, at, depth),
                }
            }
            other => self.wrong(format!("a number is expected, not {other}")),
        }
    }

    fn function(&mut self, word: &str, at: usize, depth: usize) -> Result<f64, Slip> {
        let argument = self.sum(depth + 1)?;
        self.expect(')')?;
        let known = FUNCTIONS.iter().find(|(name, _)| *name == word);
        if let Some((_, function)) = known {
            return Ok(function(argument));
        }
        let names = FUNCTIONS.iter().map(|(name, _)| *name);
        let what = format!("there is no function `{word}`{}", did_you_mean(word, names));
        self.found.add(Slip { at, what });
        Ok(1.0)
    }

    fn variable(&mut self, word: &str, at: usize, depth: usize) -> Result<f64, Slip> {
        if self.reads_only {
            return Ok(1.0);
        }
        if let Some(&given) = self.variables.get(word) {
            return self.evaluate(given, depth + 1);
        }
        if !self.broken.contains(word) {
            let near = match self.found.has_room() {
                true => did_you_mean(word, self.variables.keys().map(String::as_str)),
                false => String::new(),
            };
            let what = format!("there is no variable `{word}` above this line{near}");
            self.found.add(Slip { at, what });
        }
        Ok(1.0) // So that the rest of the expression is looked at.
    }

    fn ring(&mut self) -> Result<Lattice, Slip> {
        let named = |name: &str| {
            let known = self.lines.contains_key(name) || self.sequences.contains_key(name);
            known.then(|| name.to_owned())
        };
        let name = match &self.used {
            Some((name, at)) => match named(name) {
                Some(name) => name,
                None if self.broken.contains(name) => return Ok(Lattice::default()),
                None => {
                    let known = self.lines.keys().chain(self.sequences.keys());
                    let near = did_you_mean(name, known.map(String::as_str));
                    return wrong(
                        *at,
                        format!("there is no line and no sequence `{name}`{near}"),
                    );
                }
            },
            None => match named("ring").or_else(|| self.last_line.clone()) {
                Some(name) => name,
                // A line may be among what is wrong.
                None if !self.found.is_empty() => return Ok(Lattice::default()),
                None => {
                    let what = "there is no line and no sequence, so no ring: `ring: line = (…);`";
                    return self.wrong(what);
                }
            },
        };
        let energy = self.variables.get("energy").copied();
        let energy = energy.map_or(Ok(0.0), |given| self.evaluate(given, 0))?;
        let mut lattice = Lattice {
            elements: Vec::new(),
            energy,
        };
        // Lines are read, and elements made, while they are walked.
        let lines = std::mem::take(&mut self.lines);
        let items = lines.get(&name).map_or(&[][..], Vec::as_slice);
        self.work = 0;
        match self.sequences.contains_key(&name) && !lines.contains_key(&name) {
            true => self.lay_out(&name, (false, 0), &mut lattice.elements)?,
            false => self.unroll(&lines, items, (false, 0), &mut lattice.elements)?,
        }
        Ok(lattice)
    }

    fn unroll(
        &mut self,
        lines: &BTreeMap<String, Vec<Item>>,
        items: &[Item],
        (reversed, depth): (bool, usize),
        into: &mut Vec<Element>,
    ) -> Result<(), Slip> {
        let in_order: Vec<&Item> = match reversed {
            true => items.iter().rev().collect(),
            false => items.iter().collect(),
        };
        for item in in_order {
            let turned = reversed != item.reversed;
            for _ in 0..item.times {
                let before = into.len();
                self.work += 1;
                if self.work > MAX_WORK {
                    return wrong(
                        item.at,
                        "these lines take too long: they name each other too often",
                    );
                }
                match &item.what {
                    Part::Items(items) => self.unroll(lines, items, (turned, depth), into)?,
                    Part::Name(name) => {
                        if self.elements.contains_key(name) {
                            let element = self.made(name)?;
                            into.push(if turned { backwards(element) } else { element });
                        } else if let Some(items) = lines.get(name) {
                            if depth >= MAX_DEPTH {
                                let what = format!("the line `{name}` is a part of itself");
                                return wrong(item.at, what);
                            }
                            self.unroll(lines, items, (turned, depth + 1), into)?;
                        } else if self.sequences.contains_key(name) {
                            self.lay_out(name, (turned, depth + 1), into)?;
                        } else {
                            self.unknown(lines, name, item.at);
                        }
                    }
                }
                if into.len() > MAX_ELEMENTS {
                    return wrong(
                        item.at,
                        format!("a ring has {MAX_ELEMENTS} elements at most"),
                    );
                }
                if into.len() == before {
                    break; // Repetitions of nothing.
                }
            }
        }
        Ok(())
    }

    fn unknown(&mut self, lines: &BTreeMap<String, Vec<Item>>, name: &str, at: usize) {
        if self.broken.contains(name) || !self.found.has_room() {
            return;
        }
        let known = self.elements.keys().chain(lines.keys());
        let near = did_you_mean(name, known.map(String::as_str));
        let what = format!("there is no element and no line `{name}`{near}");
        self.found.add(Slip { at, what });
    }

    /// An element of this name, with its numbers.
    fn made(&mut self, name: &str) -> Result<Element, Slip> {
        if let Some(made) = self.made.get(name) {
            return Ok(made.clone());
        }
        let (mut of, mut numbers) = ("", BTreeMap::new());
        if let Some(attributes) = self.elements.get(name).cloned() {
            of = attributes.of;
            for (key, given) in attributes.values {
                numbers.insert(key, self.evaluate(given, 0)?);
            }
        }
        let made = element(of, name, self.arcs, |key| numbers.get(key).copied());
        self.made.insert(name.to_owned(), made.clone());
        Ok(made)
    }
}

fn wrong<T>(at: usize, what: impl Into<String>) -> Result<T, Slip> {
    let what = what.into();
    Err(Slip { at, what })
}

fn finite(at: usize, value: f64) -> Result<f64, Slip> {
    match value.is_finite() {
        true => Ok(value),
        false => wrong(at, "this is no finite number"),
    }
}

type Function = (&'static str, fn(f64) -> f64);

const FUNCTIONS: &[Function] = &[
    ("sin", f64::sin),
    ("cos", f64::cos),
    ("tan", f64::tan),
    ("asin", f64::asin),
    ("acos", f64::acos),
    ("atan", f64::atan),
    ("sqrt", f64::sqrt),
    ("exp", f64::exp),
    ("log", f64::ln),
    ("abs", f64::abs),
];
