//! Scripts of faults: TOML with one `[[rule]]` per fault.

use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::pattern::Pattern;
use super::rule::{Direction, Rule, Transport, Trigger};
use super::words::{self, Wrong};

/// What is wrong with a script.
#[derive(Clone, PartialEq, Eq, thiserror::Error, Debug)]
#[error("line {line}: {what}; {remedy}")]
pub struct ScriptError {
    /// Line of the text, counted from 1.
    pub line: usize,
    /// What is wrong, with the key.
    pub what: String,
    /// The allowed values.
    pub remedy: String,
}

/// The rules of a script, in their order.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Script(Vec<Rule>);

impl Script {
    /// No rule.
    pub const NONE: Self = Self(Vec::new());

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without a rule: everything passes unharmed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_rules(self) -> Vec<Rule> {
        self.0
    }

    /// The first rule that can make a put of another request.
    pub(crate) fn makes_puts(&self) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.may_make_puts())
    }
}

/// Reads a script: TOML with one `[[rule]]` per fault, as the book's page on the proxy lists them.
///
/// # Errors
/// [`ScriptError`] names the line, the key and the allowed values.
impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        parse(text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
}

/// A line of the line protocol, made a text of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    rule: Spanned<RawRule>,
}

/// A rule as it is written; every value knows its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    id: Option<Spanned<String>>,
    on: Spanned<String>,
    direction: Option<Spanned<String>>,
    transport: Option<Spanned<String>>,
    name: Option<Spanned<String>>,
    pub(super) action: Spanned<String>,
    probability: Option<Spanned<f64>>,
    after: Option<Spanned<i64>>,
    times: Option<Spanned<i64>>,
    enabled: Option<Spanned<bool>>,
    // What the action needs.
    pub(super) by: Option<Spanned<String>>,
    pub(super) jitter: Option<Spanned<String>>,
    pub(super) copies: Option<Spanned<i64>>,
    pub(super) field: Option<Spanned<String>>,
    pub(super) offset: Option<Spanned<i64>>,
    pub(super) value: Option<Spanned<i64>>,
    pub(super) bytes: Option<Spanned<i64>>,
    pub(super) how: Option<Spanned<String>>,
    pub(super) rights: Option<Spanned<String>>,
    pub(super) rate: Option<Spanned<i64>>,
    pub(super) to: Option<Spanned<String>>,
    pub(super) every: Option<Spanned<String>>,
    pub(super) servers: Option<Spanned<i64>>,
}

/// Reads a script.
///
/// # Errors
/// [`ScriptError`] names the line, the key and the allowed values.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, ScriptError> {
    let at = |span, what, remedy| ScriptError::at(text, span, what, remedy);
    let file: File = toml::from_str(text).map_err(|error| {
        let remedy = "see `canter proxy --help` for the form of a script";
        at(error.span(), error.message().to_owned(), remedy.to_owned())
    })?;
    let mut ids = BTreeSet::new();
    let mut rules = Vec::with_capacity(file.rule.len());
    for (index, raw) in file.rule.into_iter().enumerate() {
        let span = raw.span();
        let rule = raw
            .into_inner()
            .build(&format!("rule{}", index + 1), span.clone())
            .map_err(|wrong| at(Some(wrong.span), wrong.what, wrong.remedy))?;
        if !ids.insert(rule.id.clone()) {
            return Err(at(
                Some(span),
                format!("key `id`: two rules are called `{}`", rule.id),
                "give each rule an id of its own".to_owned(),
            ));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// Reads one rule from a line such as `on = "search", action = "drop"`; `id` is its name if the line
/// gives none.
///
/// # Errors
/// As of [`parse`]; the line is always 1.
pub(crate) fn parse_line(line: &str, id: &str) -> Result<Rule, ScriptError> {
    let text = format!("rule = {{ {line} }}");
    let at = |span, what, remedy| ScriptError::at(&text, span, what, remedy);
    let Line { rule } = toml::from_str(&text).map_err(|error| {
        let remedy = "give keys and values such as on = \"search\", action = \"drop\"";
        at(error.span(), error.message().to_owned(), remedy.to_owned())
    })?;
    let span = rule.span();
    let built = rule.into_inner().build(id, span);
    built.map_err(|wrong| at(Some(wrong.span), wrong.what, wrong.remedy))
}

impl ScriptError {
    fn at(text: &str, span: Option<Range<usize>>, what: String, remedy: String) -> Self {
        let start = span.map_or(0, |span| span.start).min(text.len());
        let before = text.as_bytes()[..start].iter();
        Self {
            line: 1 + before.filter(|&&b| b == b'\n').count(),
            what,
            remedy,
        }
    }
}

impl RawRule {
    fn build(self, id: &str, span: Range<usize>) -> Result<Rule, Wrong> {
        let on = words::trigger(&self.on)?;
        let (request, response) = self.directions(on)?;
        let transport = match &self.transport {
            None => None,
            Some(given) => Some(words::choice(
                "transport",
                given,
                &[("udp", Transport::Udp), ("tcp", Transport::Tcp)],
            )?),
        };
        if let Some(name) = &self.name
            && !words::has_name(on)
        {
            return Err(Wrong::new(
                name.span(),
                format!(
                    "key `name`: `on = \"{}\"` is about no channel",
                    self.on.get_ref()
                ),
                format!("leave it out; {} have one", words::named_commands()),
            ));
        }
        let action = self.action(on, (request, response), transport, span)?;
        let probability = match &self.probability {
            None => 1.0,
            Some(p) if (0.0..=1.0).contains(p.get_ref()) => *p.get_ref(),
            Some(p) => {
                return Err(Wrong::new(
                    p.span(),
                    format!("key `probability`: {} is no probability", p.get_ref()),
                    "give a number from 0.0 to 1.0",
                ));
            }
        };
        Ok(Rule {
            id: self.id(id)?,
            on,
            request,
            response,
            transport,
            name: self.name.map(|name| Pattern::new(name.into_inner())),
            action,
            probability,
            after: words::number("after", self.after.as_ref(), 0..=i64::MAX)?.unwrap_or(0),
            times: words::number("times", self.times.as_ref(), 1..=i64::MAX)?,
            enabled: self.enabled.is_none_or(Spanned::into_inner),
        })
    }

    fn id(&self, default: &str) -> Result<String, Wrong> {
        let Some(id) = &self.id else {
            return Ok(default.to_owned());
        };
        let text = id.get_ref();
        if text.is_empty() || text == "all" || text.chars().any(|c| c.is_whitespace()) {
            return Err(Wrong::new(
                id.span(),
                format!("key `id`: `{text}` is no name for a rule"),
                "give one word, not `all`",
            ));
        }
        Ok(text.clone())
    }

    /// Without a direction, a message is meant on its way to the client if servers send it; a
    /// circuit and `any` mean both ways.
    fn directions(&self, on: Trigger) -> Result<(bool, bool), Wrong> {
        match (&self.direction, on) {
            (None, Trigger::Command(command)) => {
                let response = words::sends(Direction::Response, command);
                Ok((!response, response))
            }
            (None, _) => Ok((true, true)),
            (Some(given), Trigger::Beacon) => Err(Wrong::new(
                given.span(),
                "key `direction`: a storm of beacons has none",
                "leave it out",
            )),
            (Some(given), _) => words::choice(
                "direction",
                given,
                &[
                    ("request", (true, false)),
                    ("response", (false, true)),
                    ("both", (true, true)),
                ],
            ),
        }
    }

    /// Whether a key that only some actions take is there, with its place.
    pub(super) fn action_keys(&self) -> [(&'static str, Option<Range<usize>>); 16] {
        fn span<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
            value.as_ref().map(Spanned::span)
        }
        [
            ("by", span(&self.by)),
            ("jitter", span(&self.jitter)),
            ("copies", span(&self.copies)),
            ("field", span(&self.field)),
            ("offset", span(&self.offset)),
            ("value", span(&self.value)),
            ("bytes", span(&self.bytes)),
            ("how", span(&self.how)),
            ("rights", span(&self.rights)),
            ("rate", span(&self.rate)),
            ("to", span(&self.to)),
            ("every", span(&self.every)),
            ("servers", span(&self.servers)),
            ("probability", span(&self.probability)),
            ("after", span(&self.after)),
            ("times", span(&self.times)),
        ]
    }
}
