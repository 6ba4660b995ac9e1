//! Lattices in files: a part of the language of MAD-X.
//!
//! ```text
//! ! comment, or // comment, or /* comment */
//! energy = 2.4e9;                       variables; energy in eV is that of the beam
//! beam, particle = electron, energy = 2.4;   the same in GeV; what else it says does not matter here
//! k := 1.2;                             the same: there is no deferred evaluation
//! qf: quadrupole, l = 0.5, k1 = k;      elements with attributes
//! b: sbend, l = 1, angle = 2*pi/40, e1 = 0, e2 = 0, k1 = 0;
//! q2: qf, k1 = k / 2;                   an element like another one
//! cell: line = (qf, 2*(o1, b), -sub);   lines, with repetitions; a minus reverses
//! use, period = ring;                   which line is the ring; else `ring`, else the last one
//! ```
//!
//! Elements: `drift`, `sbend`, `rbend`, `quadrupole`, `sextupole`, `kicker` (`hkick`, `vkick`), `hkicker`, `vkicker`
//! (`kick`), `monitor`, `hmonitor`, `vmonitor`, `marker`, `rfcavity` (`freq` in MHz, `volt` in MV). Lengths are in
//! metres, angles in radians, `k1` in 1/m², `k2` in 1/m³. Names are the same in any case.

use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};
use std::fmt;

use thiserror::Error;

use crate::lattice::{Element, Kind, Lattice};

/// Bytes of a file at most.
const MAX_BYTES: usize = 4 << 20;
/// Elements of a ring at most.
const MAX_ELEMENTS: usize = 100_000;
/// Brackets within brackets, and lines within lines.
const MAX_DEPTH: usize = 64;

/// A mistake in a lattice, with its place.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

#[derive(Clone, PartialEq, Debug)]
enum Token {
    Word(String),
    Number(f64),
    Sign(char),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Number(number) => write!(f, "`{number}`"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

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
    variables: BTreeMap<String, f64>,
    elements: BTreeMap<String, Attributes>,
    lines: BTreeMap<String, Vec<Item>>,
    last_line: Option<String>,
    used: Option<(String, usize)>,
}

/// An element as it was described.
#[derive(Clone, Debug)]
struct Attributes {
    of: &'static str,
    values: BTreeMap<&'static str, f64>,
}

/// The types of elements, and their attributes.
const TYPES: &[(&str, &[&str])] = &[
    ("drift", &["l"]),
    ("sbend", &["l", "angle", "k1", "e1", "e2"]),
    ("rbend", &["l", "angle", "k1", "e1", "e2"]),
    ("quadrupole", &["l", "k1"]),
    ("sextupole", &["l", "k2"]),
    ("kicker", &["l", "hkick", "vkick"]),
    ("hkicker", &["l", "kick"]),
    ("vkicker", &["l", "kick"]),
    ("monitor", &["l"]),
    ("hmonitor", &["l"]),
    ("vmonitor", &["l"]),
    ("marker", &[]),
    ("rfcavity", &["l", "freq", "volt"]),
];

impl Lattice {
    /// A ring from a text in a part of the language of MAD-X: variables, elements with their attributes, and
    /// lines, of which `ring` or the one that is named by `use` is the ring. `energy` is that of the beam in eV.
    ///
    /// # Errors
    /// [`ParseError`] with line and column.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::new(text)?;
        while parser.token() != &Token::End {
            parser.statement()?;
        }
        parser.ring()
    }
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

fn wrong(text: &str, at: usize, what: impl Into<String>) -> ParseError {
    let (line, column) = place(text, at);
    let what = what.into();
    ParseError { line, column, what }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let start = at;
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if byte == b'!' || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            let Some(end) = rest.find("*/") else {
                return Err(wrong(text, at, "this comment has no end: `*/`"));
            };
            at += end + 2;
        } else if byte.is_ascii_digit()
            || (byte == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
        {
            at += number_len(rest);
            let digits = text.get(start..at).unwrap_or_default();
            let number = digits.to_ascii_lowercase().replace('d', "e").parse();
            let number: f64 =
                number.map_err(|_| wrong(text, start, format!("`{digits}` is no number")))?;
            tokens.push((Token::Number(number), start));
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            at += rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let word = text.get(start..at).unwrap_or_default();
            tokens.push((Token::Word(word.to_ascii_lowercase()), start));
        } else if b"=:;,()*/+-^".contains(&byte) {
            at += 1;
            tokens.push((Token::Sign(byte.into()), start));
        } else {
            let sign = rest.chars().next().unwrap_or('?');
            return Err(wrong(
                text,
                at,
                format!("`{}` means nothing here", sign.escape_debug()),
            ));
        }
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1);
    }
    if bytes.get(at).is_some_and(|b| b"eEdD".contains(b)) {
        let sign = usize::from(bytes.get(at + 1).is_some_and(|b| b"+-".contains(b)));
        let end = digits(at + 1 + sign);
        if end > at + 1 + sign {
            at = end;
        }
    }
    at
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > MAX_BYTES {
            let what = format!("a lattice has {MAX_BYTES} bytes at most");
            return Err(wrong(text, 0, what));
        }
        let variables = [("pi", PI), ("twopi", TAU), ("clight", 299_792_458.0)];
        Ok(Self {
            text,
            tokens: tokens(text)?,
            next: 0,
            variables: variables.map(|(name, v)| (name.to_owned(), v)).into(),
            elements: BTreeMap::new(),
            lines: BTreeMap::new(),
            last_line: None,
            used: None,
        })
    }

    fn token(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.text.len(), |&(_, at)| at)
    }

    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, ParseError> {
        Err(wrong(self.text, self.at(), what))
    }

    fn take(&mut self, sign: char) -> bool {
        let is = *self.token() == Token::Sign(sign);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: char) -> Result<(), ParseError> {
        match self.take(sign) {
            true => Ok(()),
            false => self.wrong(format!("`{sign}` is expected, not {}", self.token())),
        }
    }

    fn word(&mut self, what: &str) -> Result<String, ParseError> {
        let Token::Word(word) = self.token() else {
            return self.wrong(format!("{what} is expected, not {}", self.token()));
        };
        let word = word.clone();
        self.next += 1;
        Ok(word)
    }

    fn statement(&mut self) -> Result<(), ParseError> {
        if self.take(';') {
            return Ok(());
        }
        let name = self.word("the name of a variable, an element or a line")?;
        if self.take('=') {
            let value = self.value()?;
            self.variables.insert(name, value);
        } else if self.take(':') {
            if self.take('=') {
                let value = self.value()?;
                self.variables.insert(name, value);
            } else {
                self.definition(name)?;
            }
        } else if name == "use" {
            self.expect(',')?;
            if !matches!(&*self.word("`period`")?, "period" | "sequence") {
                self.next -= 1;
                return self.wrong("`use` wants `period = NAME`");
            }
            self.expect('=')?;
            let at = self.at();
            self.used = Some((self.word("the name of a line")?, at));
        } else if name == "beam" {
            self.beam()?;
        } else {
            return self.wrong(format!(
                "behind `{name}` there is `=` for a variable, or `:` for an element or a line, not {}",
                self.token()
            ));
        }
        self.expect(';')
    }

    /// `beam, energy = 3, particle = electron`
    fn beam(&mut self) -> Result<(), ParseError> {
        while self.take(',') {
            let key = self.word("an attribute of the beam")?;
            self.take(':');
            self.expect('=')?;
            if key == "energy" {
                let giga = self.value()?;
                self.variables.insert(key, giga * 1e9);
                continue;
            }
            while !matches!(self.token(), Token::Sign(',' | ';') | Token::End) {
                self.next += 1;
            }
        }
        Ok(())
    }

    fn definition(&mut self, name: String) -> Result<(), ParseError> {
        let at = self.at();
        let of = self.word("the type of an element, or `line`")?;
        if of == "line" {
            self.expect('=')?;
            let items = self.items(0)?;
            self.lines.insert(name.clone(), items);
            self.last_line = Some(name);
            return Ok(());
        }
        let known = TYPES.iter().find(|(known, _)| *known == of);
        let mut attributes = match (known, self.elements.get(&of)) {
            (Some((of, _)), _) => Attributes {
                of,
                values: BTreeMap::new(),
            },
            (None, Some(like)) => like.clone(),
            (None, None) => {
                let types: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
                let what = format!(
                    "there is no type and no element `{of}`; types are {}",
                    types.join(", ")
                );
                return Err(wrong(self.text, at, what));
            }
        };
        while self.take(',') {
            let at = self.at();
            let attribute = self.word("an attribute")?;
            let known = TYPES.iter().find(|(known, _)| *known == attributes.of);
            let all = known.map_or(&[][..], |(_, all)| *all);
            let Some(key) = all.iter().find(|key| **key == attribute) else {
                let what = format!(
                    "a {} has no attribute `{attribute}`; it has: {}",
                    attributes.of,
                    all.join(", ")
                );
                return Err(wrong(self.text, at, what));
            };
            self.take(':');
            self.expect('=')?;
            let value = self.value()?;
            attributes.values.insert(key, value);
        }
        self.elements.insert(name, attributes);
        Ok(())
    }

    /// `(a, 2*b, -(c, d))`
    fn items(&mut self, depth: usize) -> Result<Vec<Item>, ParseError> {
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

    fn value(&mut self) -> Result<f64, ParseError> {
        let at = self.at();
        let value = self.sum(0)?;
        match value.is_finite() {
            true => Ok(value),
            false => Err(wrong(self.text, at, "this is no finite number")),
        }
    }

    fn sum(&mut self, depth: usize) -> Result<f64, ParseError> {
        if depth > MAX_DEPTH {
            return self.wrong(format!("brackets nest {MAX_DEPTH} deep at most"));
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

    fn product(&mut self, depth: usize) -> Result<f64, ParseError> {
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

    fn power(&mut self, depth: usize) -> Result<f64, ParseError> {
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

    fn factor(&mut self, depth: usize) -> Result<f64, ParseError> {
        let at = self.at();
        match self.token().clone() {
            Token::Number(number) => {
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
                self.next += 1;
                if self.take('(') {
                    let argument = self.sum(depth + 1)?;
                    self.expect(')')?;
                    return function(&word, argument).ok_or_else(|| {
                        wrong(self.text, at, format!("there is no function `{word}`"))
                    });
                }
                self.variables.get(&word).copied().ok_or_else(|| {
                    let what = format!("there is no variable `{word}` above this line");
                    wrong(self.text, at, what)
                })
            }
            other => self.wrong(format!("a number is expected, not {other}")),
        }
    }

    fn ring(self) -> Result<Lattice, ParseError> {
        let named = |name: &str| self.lines.contains_key(name).then(|| name.to_owned());
        let name = match &self.used {
            Some((name, at)) => match named(name) {
                Some(name) => name,
                None => return Err(wrong(self.text, *at, format!("there is no line `{name}`"))),
            },
            None => match named("ring").or_else(|| self.last_line.clone()) {
                Some(name) => name,
                None => return self.wrong("there is no line, so no ring: `ring: line = (…);`"),
            },
        };
        let mut lattice = Lattice {
            elements: Vec::new(),
            energy: self.variables.get("energy").copied().unwrap_or(0.0),
        };
        let items = self.lines.get(&name).map_or(&[][..], Vec::as_slice);
        self.unroll(items, false, 0, &mut lattice.elements)?;
        Ok(lattice)
    }

    fn unroll(
        &self,
        items: &[Item],
        reversed: bool,
        depth: usize,
        into: &mut Vec<Element>,
    ) -> Result<(), ParseError> {
        let in_order: Vec<&Item> = match reversed {
            true => items.iter().rev().collect(),
            false => items.iter().collect(),
        };
        for item in in_order {
            let mistake = |what: String| Err(wrong(self.text, item.at, what));
            let backwards = reversed != item.reversed;
            for _ in 0..item.times {
                let before = into.len();
                match &item.what {
                    Part::Items(items) => self.unroll(items, backwards, depth, into)?,
                    Part::Name(name) => {
                        if let Some(attributes) = self.elements.get(name) {
                            into.push(attributes.element(name, backwards));
                        } else if let Some(items) = self.lines.get(name) {
                            if depth >= MAX_DEPTH {
                                return mistake(format!("the line `{name}` is a part of itself"));
                            }
                            self.unroll(items, backwards, depth + 1, into)?;
                        } else {
                            return mistake(format!("there is no element and no line `{name}`"));
                        }
                    }
                }
                if into.len() > MAX_ELEMENTS {
                    return mistake(format!("a ring has {MAX_ELEMENTS} elements at most"));
                }
                if into.len() == before {
                    break; // Repetitions of nothing.
                }
            }
        }
        Ok(())
    }
}

fn function(name: &str, x: f64) -> Option<f64> {
    Some(match name {
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tan" => x.tan(),
        "asin" => x.asin(),
        "acos" => x.acos(),
        "atan" => x.atan(),
        "sqrt" => x.sqrt(),
        "exp" => x.exp(),
        "log" => x.ln(),
        "abs" => x.abs(),
        _ => return None,
    })
}

impl Attributes {
    fn element(&self, name: &str, backwards: bool) -> Element {
        let value = |key: &str| self.values.get(key).copied().unwrap_or(0.0);
        let mut length = value("l");
        let kind = match self.of {
            "sbend" | "rbend" => {
                let angle = value("angle");
                let mut edges = [value("e1"), value("e2")];
                if self.of == "rbend" {
                    // `l` is that of the chord, and the faces are parallel.
                    let half = angle / 2.0;
                    if half != 0.0 {
                        length *= half / half.sin();
                    }
                    edges = edges.map(|edge| edge + half);
                }
                if backwards {
                    edges.reverse();
                }
                let k1 = value("k1");
                Kind::Bend { angle, k1, edges }
            }
            "quadrupole" => Kind::Quadrupole { k1: value("k1") },
            "sextupole" => Kind::Sextupole { k2: value("k2") },
            "kicker" => Kind::Corrector {
                kick_x: value("hkick"),
                kick_y: value("vkick"),
            },
            "hkicker" => Kind::Corrector {
                kick_x: value("kick"),
                kick_y: 0.0,
            },
            "vkicker" => Kind::Corrector {
                kick_x: 0.0,
                kick_y: value("kick"),
            },
            "monitor" | "hmonitor" | "vmonitor" => Kind::Monitor,
            "rfcavity" => Kind::Cavity {
                frequency: value("freq") * 1e6,
                voltage: value("volt") * 1e6,
            },
            "marker" => Kind::Marker,
            _ => Kind::Drift,
        };
        Element::new(name, length, kind)
    }
}
