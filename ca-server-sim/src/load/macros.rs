//! Macros of `.db`, `.substitutions` and start-up files: `$(NAME)`, `${NAME}`, `$(NAME=default)`,
//! `$(NAME,A=1,B=2)`.
//!
//! The rules are those of `macLib` of EPICS Base, which judges in the tests.
//!
//! # Rules that surprise
//! - A macro in single quotes stays as it is. Quotes and backslashes of a value are removed when it takes the
//!   place of a macro; those of the text itself stay.
//! - A default may contain macros, and braces as long as they are balanced; names may be put together from macros.
//! - A macro that is not defined stands as `$(NAME,undefined)` in the result; one that needs itself as
//!   `$(NAME,recursive)`. Both are reported.
//! - The values of scoped macros, `$(NAME,A=1)`, count while `NAME` is expanded.
//!
//! # Bounds
//! [`MAX_EXPANDED`] bytes, [`MAX_STEPS`] bytes looked at, and [`MAX_DEPTH`] levels for one text; what goes beyond is
//! reported, and the text ends there.

use std::fmt;
use std::sync::Arc;

/// Bytes that the expansion of one text may have.
pub const MAX_EXPANDED: usize = 1 << 20;
/// Bytes that the expansion of one text may look at: values are looked at again each time they are used.
pub const MAX_STEPS: usize = 8 << 20;
/// Macros within macros.
pub const MAX_DEPTH: usize = 64;

/// Definitions of macros.
///
/// ```
/// use ca_server_sim::load::Macros;
///
/// let mut macros = Macros::new();
/// macros.define("P=SR, N=1, DESC=\"orbit, horizontal\"");
/// let text = macros.expand(r"$(P):BPM$(N):${AXIS=X} $(DESC)");
/// assert_eq!((text.text.as_slice(), text.problems.len()), (&b"SR:BPM1:X orbit, horizontal"[..], 0));
///
/// let text = macros.expand("$(P):$(Q)");
/// assert_eq!(text.text, b"SR:$(Q,undefined)");
/// assert_eq!(text.problems[0].to_string(), "macro `Q` is not defined");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Macros {
    /// The last one of a name counts.
    defined: Vec<Definition>,
    scope: usize,
}

#[derive(Clone, Debug)]
struct Definition {
    name: Vec<u8>,
    raw: Arc<[u8]>,
    scope: usize,
    /// Its value is being expanded.
    busy: bool,
}

/// A text with its macros expanded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expanded {
    /// The result.
    pub text: Vec<u8>,
    /// What could not be expanded.
    pub problems: Vec<MacroProblem>,
    /// The references of the text that are not within others, in its order.
    pub references: Vec<MacroReference>,
    /// Bytes that were looked at.
    pub steps: usize,
}

/// What became of one reference to a macro.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MacroReference {
    /// First byte of the reference in the text that was expanded, and the one behind its last.
    pub source: (usize, usize),
    /// First byte of what took its place in the result, and the one behind its last.
    pub result: (usize, usize),
}

/// A macro that could not be expanded, and where in the text that was to be expanded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MacroProblem {
    /// What is wrong.
    pub kind: MacroProblemKind,
    /// The macro's name.
    pub name: Vec<u8>,
    /// First byte of the outermost reference, and the one behind its last.
    pub span: (usize, usize),
}

/// What is wrong with the use of a macro.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MacroProblemKind {
    /// There is no definition and no default.
    Undefined,
    /// The value of the macro needs the macro.
    Recursive,
    /// The text becomes too long, too deep, or too much work.
    TooLarge,
}

impl fmt::Display for MacroProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_ascii();
        match self.kind {
            MacroProblemKind::Undefined => write!(f, "macro `{name}` is not defined"),
            MacroProblemKind::Recursive => {
                write!(f, "the value of macro `{name}` needs the macro itself")
            }
            MacroProblemKind::TooLarge => write!(f, "macro `{name}` makes the text too long"),
        }
    }
}

impl Macros {
    /// No definitions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Defines one macro; a later definition of the same name counts.
    pub fn set(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (name, raw) = (name.into(), Arc::from(value.into()));
        let scope = self.scope;
        let own = |one: &&mut Definition| one.name == name && one.scope == scope;
        match self.defined.iter_mut().rev().find(own) {
            Some(definition) => definition.raw = raw,
            None => self.defined.push(Definition {
                name,
                raw,
                scope,
                busy: false,
            }),
        }
    }

    /// Takes a macro's definitions away, in all scopes.
    pub fn unset(&mut self, name: &[u8]) {
        self.defined.retain(|one| one.name != name);
    }

    /// Takes definitions as `A=1,B="two, three"`; a name without `=` takes its definition away. Quotes and
    /// backslashes keep commas and blanks (`macParseDefns`).
    pub fn define(&mut self, text: impl AsRef<[u8]>) {
        for (name, value) in definitions(text.as_ref()) {
            match value {
                Some(value) => self.set(name, value),
                None => self.unset(&name),
            }
        }
    }

    /// Defines macros until [`leave`](Self::leave) that hide those of the same name.
    pub fn enter(&mut self) {
        self.scope += 1;
    }

    /// Forgets what was defined since [`enter`](Self::enter).
    pub fn leave(&mut self) {
        let scope = self.scope;
        self.defined.retain(|one| one.scope < scope);
        self.scope = scope.saturating_sub(1);
    }

    /// Defines what another one has behind what is defined here.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.defined.extend(other.defined.iter().cloned());
    }

    /// The value of a macro as it was defined.
    pub fn raw(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).map(|at| &*self.defined[at].raw)
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.defined.iter().rposition(|one| one.name == name)
    }

    /// Expands the macros of a text.
    pub fn expand(&mut self, text: impl AsRef<[u8]>) -> Expanded {
        let mut expanded = Expanded::default();
        self.expand_into(text.as_ref(), &mut expanded);
        expanded
    }

    /// Expands the macros of a text in place of what `expanded` had; its buffers are used again.
    pub fn expand_into(&mut self, text: &[u8], expanded: &mut Expanded) {
        expanded.text.clear();
        expanded.problems.clear();
        expanded.references.clear();
        let mut run = Run {
            macros: self,
            problems: &mut expanded.problems,
            references: &mut expanded.references,
            steps: 0,
            quiet: 0,
            outer: (0, 0),
            stopped: false,
        };
        run.translate(text, &mut 0, b"", 0, &mut expanded.text);
        expanded.steps = run.steps;
    }
}

/// One expansion.
struct Run<'a> {
    macros: &'a mut Macros,
    problems: &'a mut Vec<MacroProblem>,
    references: &'a mut Vec<MacroReference>,
    steps: usize,
    /// Above 0 while text is expanded whose mistakes do not count.
    quiet: usize,
    /// The outermost reference that is being expanded.
    outer: (usize, usize),
    stopped: bool,
}

impl Run<'_> {
    /// Copies `text` from `at` to the first byte of `stop` that is not in quotes, and leaves `at` there.
    fn translate(
        &mut self,
        text: &[u8],
        at: &mut usize,
        stop: &[u8],
        level: usize,
        out: &mut Vec<u8>,
    ) {
        // The user's own quotes and backslashes stay.
        let discard = level > 0;
        let mut quote = None;
        while let Some(&byte) = text.get(*at) {
            self.steps += 1;
            if stop.contains(&byte) || self.stopped {
                return;
            }
            let next = text.get(*at + 1).copied();
            match (quote, byte) {
                (Some(open), _) if byte == open => {
                    quote = None;
                    if discard {
                        *at += 1;
                        continue;
                    }
                }
                (None, b'"' | b'\'') => {
                    quote = Some(byte);
                    if discard {
                        *at += 1;
                        continue;
                    }
                }
                _ => {}
            }
            match (byte, next) {
                (b'$', Some(b'(' | b'{')) if quote != Some(b'\'') => {
                    let (start, begin) = (*at, out.len());
                    if level == 0 {
                        self.outer = (start, reference_end(text, start));
                    }
                    self.refer(text, at, level, out);
                    if level == 0 {
                        self.references.push(MacroReference {
                            source: (start, *at),
                            result: (begin, out.len()),
                        });
                    }
                }
                (b'\\', Some(escaped)) => {
                    if !discard {
                        out.push(b'\\');
                    }
                    out.push(escaped);
                    *at += 2;
                }
                _ => {
                    out.push(byte);
                    *at += 1;
                }
            }
            if out.len() > MAX_EXPANDED || self.steps > MAX_STEPS {
                self.stop(b"");
            }
        }
    }

    fn stop(&mut self, name: &[u8]) {
        if !self.stopped {
            self.quiet = 0;
            self.problem(MacroProblemKind::TooLarge, name);
            self.stopped = true;
        }
    }

    fn problem(&mut self, kind: MacroProblemKind, name: &[u8]) {
        if self.quiet == 0 && !self.stopped {
            self.problems.push(MacroProblem {
                kind,
                name: name.to_vec(),
                span: self.outer,
            });
        }
    }

    /// Expands the reference at `at`, which is at `$`, and leaves `at` behind it.
    fn refer(&mut self, text: &[u8], at: &mut usize, level: usize, out: &mut Vec<u8>) {
        if level >= MAX_DEPTH {
            return self.stop(text.get(*at..).unwrap_or_default());
        }
        let close = match text.get(*at + 1) {
            Some(b'(') => b')',
            _ => b'}',
        };
        let (behind_name, behind_value) = ([b'=', b',', close], [b',', close]);
        *at += 2;
        if let Some(len) = plain_name(&text[*at..], close) {
            let name = &text[*at..*at + len];
            *at += len + 1;
            self.steps += len + 1;
            return self.value(name, None, level, out);
        }
        let mut name = Vec::new();
        self.translate(text, at, &behind_name, level + 1, &mut name);
        let mut default = None;
        if text.get(*at) == Some(&b'=') {
            *at += 1;
            default = Some(*at);
            self.quiet += 1;
            self.skip(text, at, behind_value, level + 1);
            self.quiet -= usize::from(self.quiet > 0);
        }
        let scoped = text.get(*at) == Some(&b',');
        if scoped {
            self.scoped(text, at, close, level);
        }
        // An unclosed reference ends with the text.
        *at = (*at + 1).min(text.len());
        self.value(
            &name,
            default.map(|from| (text, from, behind_value)),
            level,
            out,
        );
        if scoped {
            self.macros.leave();
        }
    }

    /// Finds the end of a default. A backslash means nothing here, as the reference looks for the end with
    /// no room for what it reads, and then leaves the escaped character where it is.
    fn skip(&mut self, text: &[u8], at: &mut usize, stop: [u8; 2], level: usize) {
        let mut quote = None;
        while let Some(&byte) = text.get(*at) {
            self.steps += 1;
            if stop.contains(&byte) || self.stopped {
                return;
            }
            match (quote, byte, text.get(*at + 1)) {
                (open, b'$', Some(b'(' | b'{')) if open != Some(b'\'') => {
                    self.refer(text, at, level, &mut Vec::new());
                    continue;
                }
                (Some(open), _, _) if byte == open => quote = None,
                (None, b'"' | b'\'', _) => quote = Some(byte),
                _ => {}
            }
            *at += 1;
            if self.steps > MAX_STEPS {
                self.stop(b"");
            }
        }
    }

    /// Takes `,A=1,B=2` of a reference into a new scope.
    fn scoped(&mut self, text: &[u8], at: &mut usize, close: u8, level: usize) {
        self.quiet += 1;
        self.macros.enter();
        while text.get(*at) == Some(&b',') && !self.stopped {
            *at += 1;
            let mut name = Vec::new();
            self.translate(text, at, &[b'=', b',', close], level + 1, &mut name);
            if text.get(*at) == Some(&b'=') {
                *at += 1;
                let mut value = Vec::new();
                self.translate(text, at, &[b',', close], level + 1, &mut value);
                self.macros.set(name, value);
            }
        }
        self.quiet -= usize::from(self.quiet > 0);
    }

    /// Appends what stands for a name: its value, the default (a text, where it begins in it, and what ends it),
    /// or a mark that there is none.
    fn value(
        &mut self,
        name: &[u8],
        default: Option<(&[u8], usize, [u8; 2])>,
        level: usize,
        out: &mut Vec<u8>,
    ) {
        let kind = match self.macros.find(name) {
            Some(found) if !self.macros.defined[found].busy => {
                self.macros.defined[found].busy = true;
                let raw = Arc::clone(&self.macros.defined[found].raw);
                self.translate(&raw, &mut 0, b"", level + 1, out);
                self.macros.defined[found].busy = false;
                return;
            }
            Some(_) => MacroProblemKind::Recursive,
            None => match default {
                Some((text, mut from, stop)) => {
                    return self.translate(text, &mut from, &stop, level + 1, out);
                }
                None => MacroProblemKind::Undefined,
            },
        };
        self.problem(kind, name);
        out.extend_from_slice(b"$(");
        out.extend_from_slice(name);
        out.extend_from_slice(match (kind, self.quiet) {
            (_, 1..) => b")",
            (MacroProblemKind::Recursive, _) => b",recursive)",
            _ => b",undefined)",
        });
    }
}

/// The length of a name that is nothing but a name, up to the byte that closes the reference.
fn plain_name(text: &[u8], close: u8) -> Option<usize> {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
    let len = text.iter().position(|byte| !plain(byte))?;
    (text[len] == close).then_some(len)
}

/// The byte behind the parenthesis or brace that closes a reference, for messages.
fn reference_end(text: &[u8], start: usize) -> usize {
    let mut open = 0_usize;
    for (at, byte) in text.iter().enumerate().skip(start + 1) {
        match byte {
            b'(' | b'{' => open += 1,
            b')' | b'}' => open = open.saturating_sub(1),
            b'\n' => return at,
            _ => {}
        }
        if open == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// A name, and its value unless the definition is to be taken away.
type Pair = (Vec<u8>, Option<Vec<u8>>);

/// Splits `A=1,B=2` (`macParseDefns`): quotes and backslashes stay in values, and go from names.
fn definitions(text: &[u8]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        // Commas that separate nothing are left out.
        let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let begin = rest.iter().position(|byte| !blank(byte));
        let Some(begin) = begin else { return pairs };
        rest = &rest[begin..];
        let end = unquoted(rest, b"=,").unwrap_or(rest.len());
        let name = without_quotes(rest[..end].trim_ascii_end());
        if rest.get(end) != Some(&b'=') {
            pairs.push((name, None));
            rest = &rest[end..];
            continue;
        }
        rest = rest[end + 1..].trim_ascii_start();
        let end = unquoted(rest, b",").unwrap_or(rest.len());
        pairs.push((name, Some(rest[..end].trim_ascii_end().to_vec())));
        rest = &rest[end..];
    }
}

/// The first of these bytes that is neither in quotes nor behind a backslash.
fn unquoted(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match quote {
            Some(open) if byte == open => quote = None,
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if wanted.contains(&byte) => return Some(at),
            _ => {}
        }
        at += 1 + usize::from(byte == b'\\');
    }
    None
}

fn without_quotes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match quote {
            Some(open) if byte == open => quote = None,
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            _ if byte == b'\\' => out.push(bytes.next().unwrap_or(byte)),
            _ => out.push(byte),
        }
    }
    out
}
