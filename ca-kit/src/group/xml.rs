//! XML as a tree of elements that know where they stand. What is read is bounded, and files with a document type
//! are refused: entities of entities are how a small file becomes a large one.

use std::ops::Range;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::mistakes::{Mistakes, did_you_mean};

/// Elements of a file.
const MAX_ELEMENTS: usize = 2_000_000;
/// Elements within each other.
const MAX_DEPTH: usize = 16;

/// What may be in an element: its own name (`""` for the file), the elements in it, each with its attributes. What is
/// in an element without a row is not looked at.
pub(super) type Grammar = &'static [(&'static str, &'static [Allowed])];
/// An element, and its attributes.
pub(super) type Allowed = (&'static str, &'static [&'static str]);

/// An element: its name without prefix and in lower case, as names are compared without regard to case.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Self>,
    /// What stands in it, without blanks around it.
    pub(super) text: String,
    /// Where its first tag stands.
    pub(super) span: Range<usize>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The children of a name.
    pub(super) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a Self> + use<'a, 'n> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of a name; `None` without one, or if it is empty.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        let child = self.all(name).next()?;
        (!child.text.is_empty()).then_some(child.text.as_str())
    }
}

/// The outermost element of a file; what is wrong is noted. What was read before XML that is none is there all the
/// same, so that its mistakes are found too.
pub(super) fn read(found: &mut Mistakes, text: &str, grammar: Grammar) -> Option<Element> {
    let mut tree = Tree {
        found,
        grammar,
        stack: Vec::new(),
        root: None,
        elements: 0,
    };
    tree.read(text);
    // What was not closed.
    while !tree.stack.is_empty() {
        tree.close();
    }
    if tree.root.is_none() && tree.found.count() == 0 {
        tree.found.add(
            0..0,
            "there is no element in it",
            "write <config> … </config>",
        );
    }
    tree.root
}

struct Tree<'a> {
    found: &'a mut Mistakes,
    grammar: Grammar,
    stack: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

/// That the rest is not read.
struct Stop;

impl Tree<'_> {
    fn read(&mut self, text: &str) {
        let mut reader = Reader::from_str(text);
        loop {
            let begin = reader.buffer_position() as usize;
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let at = (reader.error_position() as usize).max(begin.min(text.len()));
                    let remedy = "mend that first: what is behind it is not looked at";
                    self.found
                        .add(at..at + 1, format!("no XML: {error}"), remedy);
                    return;
                }
            };
            let span = begin..reader.buffer_position() as usize;
            let went_on = match event {
                Event::Start(tag) => self.open(&tag, span),
                Event::Empty(tag) => self.open(&tag, span).map(|()| self.close()),
                Event::End(_) => {
                    self.close();
                    Ok(())
                }
                Event::Text(part) => self.take(part.decode().ok().as_deref(), span),
                Event::CData(part) => self.take(part.decode().ok().as_deref(), span),
                Event::GeneralRef(entity) => {
                    let character = entity.resolve_char_ref().ok().flatten().map(String::from);
                    let name = entity.decode().unwrap_or_default();
                    let known =
                        character.or_else(|| resolve_predefined_entity(&name).map(Into::into));
                    self.take(known.as_deref(), span)
                }
                Event::DocType(_) => {
                    let message = "a document type, whose entities may grow without bound";
                    self.stop(span, message, "take it out")
                }
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => Ok(()),
                Event::Eof => {
                    if let Some(open) = self.stack.last() {
                        let message = format!("<{}> is not closed", open.name);
                        let (span, remedy) = (open.span.clone(), format!("write </{}>", open.name));
                        self.found.add(span, message, remedy);
                    }
                    return;
                }
            };
            if went_on.is_err() {
                return;
            }
        }
    }

    fn stop(&mut self, span: Range<usize>, message: &str, remedy: &str) -> Result<(), Stop> {
        self.found.add(span, message, remedy);
        Err(Stop)
    }

    fn open(&mut self, tag: &BytesStart<'_>, span: Range<usize>) -> Result<(), Stop> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            let message = format!("more than {MAX_ELEMENTS} elements");
            return self.stop(span, &message, "make several files of it");
        }
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} elements within each other");
            return self.stop(span, &message, "no such file is that deep");
        }
        let mut element = Element {
            name: plain(tag.local_name().as_ref()),
            attributes: Vec::new(),
            children: Vec::new(),
            text: String::new(),
            span,
        };
        for attribute in tag.attributes() {
            match attribute {
                Ok(attribute) if attribute.key.as_ref().starts_with(b"xmlns") => {}
                Ok(attribute) => {
                    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
                    let value = value.unwrap_or_default().into_owned();
                    let key = plain(attribute.key.local_name().as_ref());
                    element.attributes.push((key, value));
                }
                Err(error) => {
                    let message = format!("<{}>: {error}", element.name);
                    self.found
                        .add(element.span.clone(), message, "write NAME=\"VALUE\"");
                    break;
                }
            }
        }
        self.check(&element);
        self.stack.push(element);
        Ok(())
    }

    /// Whether it may be there.
    fn check(&mut self, element: &Element) {
        let inside = self.stack.last().map_or("", |inside| inside.name.as_str());
        let row = self.grammar.iter().find(|(name, _)| *name == inside);
        let Some((_, allowed)) = row else { return };
        let name = element.name.as_str();
        let Some((_, attributes)) = allowed.iter().find(|(known, _)| *known == name) else {
            let place = match inside {
                "" => "at the beginning".to_owned(),
                inside => format!("in <{inside}>"),
            };
            let known = || allowed.iter().map(|(known, _)| *known);
            let remedy = did_you_mean(name, known()).unwrap_or_else(|| {
                format!("there may be {}", known().collect::<Vec<_>>().join(", "))
            });
            let message = format!("<{name}> {place}");
            self.found.add(element.span.clone(), message, remedy);
            return;
        };
        for (key, _) in &element.attributes {
            if !attributes.contains(&key.as_str()) {
                let known = match attributes {
                    [] => "it has none".to_owned(),
                    known => did_you_mean(key, known.iter().copied())
                        .unwrap_or_else(|| format!("it has {}", known.join(", "))),
                };
                let message = format!("<{name}> has no attribute `{key}`");
                self.found.add(element.span.clone(), message, known);
            }
        }
    }

    fn close(&mut self) {
        let Some(mut element) = self.stack.pop() else {
            return;
        };
        element.text = element.text.trim().to_owned();
        match self.stack.last_mut() {
            Some(inside) => inside.children.push(element),
            None if self.root.is_none() => self.root = Some(element),
            None => {
                let message = format!("<{}> behind the end", element.name);
                self.found
                    .add(element.span, message, "put everything into one element");
            }
        }
    }

    fn take(&mut self, part: Option<&str>, span: Range<usize>) -> Result<(), Stop> {
        match (part, self.stack.last_mut()) {
            (Some(part), Some(element)) => element.text.push_str(part),
            (Some(part), None)
                if part
                    .trim_matches(['\u{feff}', ' ', '\t', '\r', '\n'])
                    .is_empty() => {}
            (Some(_), None) => {
                return self.stop(
                    span,
                    "no XML: a text outside of all elements",
                    "take it out",
                );
            }
            (None, _) => {
                let remedy = "there are &lt; &gt; &amp; &quot; &apos; and numbers such as &#176;";
                self.found.add(span, "an entity that is not known", remedy);
            }
        }
        Ok(())
    }
}

fn plain(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}
