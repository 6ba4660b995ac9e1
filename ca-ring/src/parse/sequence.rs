//! Sequences: elements at places, with drifts between them.

use std::collections::BTreeSet;

use super::element::{Given, backwards};
use super::mistakes::{Slip, did_you_mean};
use super::tokens::Token;
use super::{MAX_DEPTH, MAX_ELEMENTS, MAX_WORK, Parser, wrong};
use crate::lattice::{Element, Kind};

/// Metres by which elements may overlap: files round places.
const TOLERANCE: f64 = 1e-6;
/// Metres that are no drift.
const NOTHING: f64 = 1e-12;

/// `NAME: sequence, l = …, refer = …; … endsequence;`
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    length: Option<Given>,
    /// What of an element stands at its place: 0 its entry, 1/2 its centre, 1 its exit.
    refer: f64,
    placed: Vec<Placed>,
    /// Where it begins in the text.
    at: usize,
}

/// An element, or another sequence, at a place.
#[derive(Clone, Debug)]
struct Placed {
    name: String,
    place: Given,
    /// The place counts from the centre of this one.
    from: Option<String>,
    /// Byte in the text.
    at: usize,
}

impl Sequence {
    /// The text ends before it does.
    pub(super) fn unended(&self, name: &str) -> Slip {
        let what = format!("the sequence `{name}` has no `endsequence;`");
        Slip { at: self.at, what }
    }
}

/// `at = …` and `from = …` of an element.
#[derive(Debug, Default)]
pub(super) struct Place {
    at: Option<Given>,
    from: Option<String>,
}

/// A part of a sequence, laid out.
struct Part {
    name: String,
    elements: Vec<Element>,
    centre: f64,
    length: f64,
    at: usize,
}

impl Parser<'_> {
    /// Behind `NAME: sequence`.
    pub(super) fn open_sequence(&mut self, name: String, at: usize) -> Result<(), Slip> {
        let mut sequence = Sequence {
            length: None,
            refer: 0.5,
            placed: Vec::new(),
            at,
        };
        // What follows is read all the same, so that each mistake is told once.
        if let Some((name, open)) = self.open.take() {
            self.found.add(open.unended(&name));
            self.sequences.insert(name, open);
        }
        while self.take(',') {
            let at = self.at();
            match &*self.word("an attribute of the sequence")? {
                "l" => sequence.length = Some(self.given()?),
                "refer" => {
                    self.expect('=')?;
                    let at = self.at();
                    let word = self.word("`entry`, `centre` or `exit`")?;
                    sequence.refer = match &*word {
                        "entry" => 0.0,
                        "centre" | "center" => 0.5,
                        "exit" => 1.0,
                        _ => {
                            let near = did_you_mean(&word, ["entry", "centre", "exit"]);
                            let what = format!(
                                "`refer` is `entry`, `centre` or `exit`, not `{word}`{near}"
                            );
                            self.found.add(Slip { at, what });
                            0.5
                        }
                    };
                }
                other => {
                    let near = did_you_mean(other, ["l", "refer"]);
                    let what =
                        format!("a sequence has no attribute `{other}`; it has: l, refer{near}");
                    self.found.add(Slip { at, what });
                    self.pass_over(&[',', ';']);
                }
            }
        }
        self.open = Some((name, sequence));
        Ok(())
    }

    /// `endsequence`
    pub(super) fn close_sequence(&mut self, at: usize) -> Result<(), Slip> {
        let Some((name, sequence)) = self.open.take() else {
            return wrong(at, "there is no sequence that ends here");
        };
        self.sequences.insert(name.clone(), sequence);
        self.last_line = Some(name);
        Ok(())
    }

    /// Whether an attribute of an element of a sequence says where it is; it is read then.
    pub(super) fn place(&mut self, place: &mut Place) -> Result<bool, Slip> {
        let is_place = matches!(self.token(), Token::Word(word) if word == "at" || word == "from");
        if self.open.is_none() || !is_place {
            return Ok(false);
        }
        if self.word("`at`")? == "at" {
            place.at = Some(self.given()?);
        } else {
            self.expect('=')?;
            place.from = Some(self.word("the name of an element of the sequence")?);
        }
        Ok(true)
    }

    /// Puts an element at its place in the sequence that is being read.
    pub(super) fn put_at(&mut self, name: &str, place: Place, at: usize) -> Result<(), Slip> {
        let Some((_, sequence)) = &mut self.open else {
            return Ok(());
        };
        if sequence.placed.len() >= MAX_ELEMENTS {
            return wrong(
                at,
                format!("a sequence has {MAX_ELEMENTS} elements at most"),
            );
        }
        let Some(given) = place.at else {
            return wrong(
                at,
                format!(
                    "`{name}` has no place in the sequence: `{name}, at = …;` says where it is"
                ),
            );
        };
        sequence.placed.push(Placed {
            name: name.to_owned(),
            place: given,
            from: place.from,
            at,
        });
        Ok(())
    }

    /// `NAME, at = …;` for an element that was defined before.
    pub(super) fn placement(&mut self, name: &str, at: usize) -> Result<(), Slip> {
        let mut place = Place::default();
        while self.take(',') {
            let at = self.at();
            if !self.place(&mut place)? {
                return wrong(
                    at,
                    format!(
                        "`at` or `from` is expected, not {}: other attributes are given where `{name}` is defined",
                        self.token()
                    ),
                );
            }
        }
        self.put_at(name, place, at)
    }

    /// `= EXPRESSION` or `:= EXPRESSION`
    fn given(&mut self) -> Result<Given, Slip> {
        let later = self.take(':');
        self.expect('=')?;
        match later {
            true => self.later(),
            false => self.value().map(Given::Now),
        }
    }

    /// The elements of a sequence, with drifts between them.
    pub(super) fn lay_out(
        &mut self,
        name: &str,
        (reversed, depth): (bool, usize),
        into: &mut Vec<Element>,
    ) -> Result<(), Slip> {
        let Some(sequence) = self.sequences.get(name).cloned() else {
            return Ok(());
        };
        if depth >= MAX_DEPTH {
            return wrong(
                sequence.at,
                format!("the sequence `{name}` is a part of itself"),
            );
        }
        let mut parts = self.parts(&sequence, depth)?;
        // Something thin at the end of something long comes in the order of the centres, whatever was rounded.
        parts.sort_by(|a, b| a.centre.total_cmp(&b.centre));
        let (mut end, mut last) = (0.0, None::<String>);
        let mut elements = Vec::new();
        for part in parts {
            let gap = part.centre - part.length / 2.0 - end;
            if gap < -TOLERANCE {
                let begins = end + gap;
                let before = match &last {
                    Some(last) => format!("`{last}` ends at {end} m"),
                    None => "the sequence begins at 0 m".to_owned(),
                };
                let name = &part.name;
                return wrong(
                    part.at,
                    format!("`{name}` begins at {begins} m, and {before}"),
                );
            }
            self.drift(gap, &mut elements);
            end += gap.max(0.0) + part.length;
            elements.extend(part.elements);
            last = Some(part.name);
            if into.len() + elements.len() > MAX_ELEMENTS {
                return wrong(
                    part.at,
                    format!("a ring has {MAX_ELEMENTS} elements at most"),
                );
            }
        }
        if let Some(length) = sequence.length {
            let gap = self.evaluate(length, 0)? - end;
            if gap < -TOLERANCE {
                let (length, last) = (end + gap, last.unwrap_or_default());
                return wrong(
                    sequence.at,
                    format!(
                        "the sequence `{name}` is {length} m long, and `{last}` ends at {end} m"
                    ),
                );
            }
            self.drift(gap, &mut elements);
        }
        match reversed {
            true => into.extend(elements.into_iter().rev().map(backwards)),
            false => into.extend(elements),
        }
        Ok(())
    }

    fn drift(&mut self, length: f64, into: &mut Vec<Element>) {
        if length > NOTHING {
            self.drifts += 1;
            let name = format!("drift_{}", self.drifts);
            into.push(Element::new(&name, length, Kind::Drift));
        }
    }

    fn parts(&mut self, sequence: &Sequence, depth: usize) -> Result<Vec<Part>, Slip> {
        let mut parts = Vec::with_capacity(sequence.placed.len());
        for placed in &sequence.placed {
            self.work += 1;
            if self.work > MAX_WORK {
                return wrong(
                    placed.at,
                    "these sequences take too long: they name each other too often",
                );
            }
            let (name, mut elements) = (&placed.name, Vec::new());
            if self.elements.contains_key(name) {
                elements.push(self.made(name)?);
            } else if self.sequences.contains_key(name) {
                self.lay_out(name, (false, depth + 1), &mut elements)?;
            } else {
                self.unknown_in_sequence(name, placed.at);
            }
            let length: f64 = elements.iter().map(|element| element.length).sum();
            let at = self.evaluate(placed.place, 0)?;
            parts.push(Part {
                name: name.clone(),
                elements,
                // From the beginning, or from where another one is.
                centre: at + (0.5 - sequence.refer) * length,
                length,
                at: placed.at,
            });
        }
        count_from(sequence, &mut parts)?;
        Ok(parts)
    }

    fn unknown_in_sequence(&mut self, name: &str, at: usize) {
        if self.broken.contains(name) || !self.found.has_room() {
            return;
        }
        let known = self.elements.keys().chain(self.sequences.keys());
        let near = did_you_mean(name, known.map(String::as_str));
        let what = format!("there is no element and no sequence `{name}`{near}");
        self.found.add(Slip { at, what });
    }
}

/// Adds to the places of those that count from others where these are.
fn count_from(sequence: &Sequence, parts: &mut [Part]) -> Result<(), Slip> {
    let first = |name: &str| sequence.placed.iter().position(|it| it.name == *name);
    let mut done = BTreeSet::new();
    for n in 0..parts.len() {
        // From one to the other it counts from, until one is known.
        let (mut chain, mut next) = (Vec::new(), Some(n));
        while let Some(n) = next.filter(|n| !done.contains(n)) {
            let Some(placed) = sequence.placed.get(n) else {
                break;
            };
            if chain.contains(&n) || chain.len() > MAX_DEPTH {
                let name = &placed.name;
                return wrong(
                    placed.at,
                    format!(
                        "`{name}` counts from itself, or from others more than {MAX_DEPTH} deep"
                    ),
                );
            }
            chain.push(n);
            next = match &placed.from {
                Some(from) => match first(from) {
                    Some(other) => Some(other),
                    None => {
                        let names = sequence.placed.iter().map(|it| &*it.name);
                        let near = did_you_mean(from, names);
                        return wrong(placed.at, format!("`{from}` is not in this sequence{near}"));
                    }
                },
                None => None,
            };
        }
        let mut centre = next.and_then(|n| parts.get(n)).map_or(0.0, |it| it.centre);
        for n in chain.into_iter().rev() {
            if let Some(part) = parts.get_mut(n) {
                part.centre += centre;
                centre = part.centre;
            }
            done.insert(n);
        }
    }
    Ok(())
}
