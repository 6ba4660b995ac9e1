//! PVs from a file in TOML.
//!
//! ```toml
//! seed = 7                          # of the random signals; may be left out
//!
//! [limits]                          # against hostile clients; all have defaults
//! max_circuits = 100                # see LIMIT_NAMES and ServerParams
//! version_timeout = 10              # seconds
//!
//! [pv."sim:gap"]
//! type = "double"                   # float, long, short, char, string, enum, text
//! value = 1.5                       # a list makes an array; without a value it is 0 or empty
//! units = "mm"
//! precision = 3
//! display = [-10.0, 10.0]           # LOPR, HOPR
//! control = [-5.0, 5.0]             # DRVL, DRVH
//! alarm = [nan, 9.0]                # LOLO, HIHI; nan is no limit
//! warning = [-8.0, 8.0]             # LOW, HIGH
//! hysteresis = 0.1
//! value_deadband = 0.01             # MDEL
//! archive_deadband = 0.1            # ADEL
//! description = "gap of the slit"
//! completes_after = 2.0             # seconds; "completes_never = true" for never
//!
//! [pv."sim:valve"]
//! type = "enum"
//! states = ["Closed", "Open"]
//! value = "Open"                    # or its number
//! state_severities = ["NO_ALARM", "MINOR"]
//! read_only = true
//!
//! [pv."sim:wave"]
//! type = "double"
//! capacity = 500
//! signal = { kind = "scope", points = 500, every = 0.1 }
//! ```
//!
//! What does not fit the PV, or would have no effect, is refused: nothing is cut, rounded to another
//! number or left out. All mistakes of a text are told at once.
//!
//! Signals are sampled `every` so many seconds. Kinds: `ramp`, `sine`, `square`, `triangle` (`low`,
//! `high`, `period`), `noise` (`low`, `high`), `walk` (`start`, `step`, `low`, `high`), `counter`
//! (`start`, `step`), `scope` (`points`, `cycles`, `amplitude`, `noise`), `camera` (`width`,
//! `height`, `period`). All numbers but sizes may be left out.

mod keys;
mod pv;
mod signal;
mod walk;

use std::ops::Range;

use ca_proto::config::ServerParams;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use keys::reference;

use crate::builder::IocBuilder;
use crate::diagnostic::Diagnostics;
use crate::error::BuildError;
use crate::pv::PvSpec;
use crate::settings::{LIMIT_NAMES, Settings};
use walk::{Entry, Key, Table};

/// What is wrong with a description in TOML.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{all}")]
pub struct TomlError {
    /// Line of the first mistake, counted from 1.
    pub line: usize,
    /// What is wrong there, with the PV and the remedy.
    pub message: String,
    /// Every mistake of the text.
    pub all: Diagnostics,
}

impl TomlError {
    fn new(all: Diagnostics) -> Self {
        let first = all.errors().next();
        Self {
            line: first.map_or(1, |first| first.line),
            message: first.map_or_else(String::new, |first| {
                format!("{}; {}", first.message, first.remedy)
            }),
            all,
        }
    }
}

/// A description that was understood.
#[derive(Debug)]
pub struct Description {
    /// Seed of everything random in signals.
    pub seed: Option<u64>,
    /// The PVs in the order of the text.
    pub pvs: Vec<Described>,
    /// What is odd about it; no errors.
    pub remarks: Diagnostics,
    settings: Settings,
}

impl Description {
    /// Sets the limits of the description, and leaves the others.
    pub fn apply(&self, params: &mut ServerParams) {
        self.settings.apply(params);
    }
}

/// A PV of a description.
#[derive(Debug)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// What it is.
    pub spec: PvSpec,
    /// Where the text names it.
    pub span: Range<usize>,
    /// The same for the same description, however it is written: tells whether a PV has changed.
    pub fingerprint: String,
}

/// Reads a description; `origin` is the name of the text for messages.
///
/// # Errors
/// [`TomlError`] has every mistake.
///
/// # Examples
/// ```
/// let text = "[pv.x]\ntype = 'float'\nvalue = 1e300\nunit = 'mm'";
/// let error = ca_server_sim::toml::parse("pvs.toml", text).unwrap_err();
/// assert_eq!(error.all.errors().count(), 2);
/// assert!(error.to_string().contains("--> pvs.toml:3:9"));
/// ```
pub fn parse(origin: &str, text: &str) -> Result<Description, TomlError> {
    let found = Diagnostics::new(origin, text);
    let (file, errors) = DeTable::parse_recoverable(text);
    let syntax = errors
        .iter()
        .map(|error| error.span().map_or(0, |span| span.start));
    // What a syntax error leaves of its table, and what follows, is not what its author wrote.
    let sound = match syntax.min() {
        Some(first) => text
            .get(..first)
            .and_then(|text| text.rfind("\n["))
            .unwrap_or(0),
        None => usize::MAX,
    };
    let mut description = understand(Diagnostics::new(origin, text), file.get_ref());
    let remarks = std::mem::replace(&mut description.remarks, found);
    let found = &mut description.remarks;
    let mut told = None;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.get(..span.start).and_then(|text| text.rfind('\n'));
        // What follows on the same line follows from the first.
        if told.replace(line) == Some(line) {
            continue;
        }
        let remedy = syntax_remedy(text, &span);
        found.error(span, error.message().trim_end(), remedy);
    }
    found.extend(remarks, |one| sound > 0 && one.span.end <= sound);
    match found.has_errors() {
        true => Err(TomlError::new(description.remarks)),
        false => Ok(description),
    }
}

/// The description in a file, with everything that is wrong with it.
fn understand(mut found: Diagnostics, file: &DeTable<'_>) -> Description {
    if file.is_empty() {
        let remedy = "add a PV, as in [pv.x] with the line type = \"double\"";
        found.error(0..0, "this describes nothing", remedy);
    }
    let table = Table::new(&mut found, "the file", 0..0, file, keys::FILE);
    let most = i128::from(i64::MAX);
    let seed = table.get("seed");
    let seed = seed.and_then(|entry| entry.integer(&mut found, 0, most));
    let settings = match table.get("limits") {
        Some(entry) => match entry.value.as_table() {
            Some(table) => limits(&mut found, table),
            None => {
                entry.expected(&mut found, "a table, [limits]");
                Settings::default()
            }
        },
        None => Settings::default(),
    };
    let pvs = match table.get("pv") {
        Some(entry) => pvs(&mut found, entry),
        None => Vec::new(),
    };
    Description {
        seed: seed.and_then(|seed| u64::try_from(seed).ok()),
        pvs,
        remarks: found,
        settings,
    }
}

fn syntax_remedy(text: &str, span: &Range<usize>) -> &'static str {
    let start = span.start.min(text.len());
    let begin = text.as_bytes()[..start].iter().rposition(|&b| b == b'\n');
    let line = text.as_bytes()[begin.map_or(0, |at| at + 1)..]
        .split(|&b| b == b'\n')
        .next();
    let line = line.unwrap_or_default();
    if line.starts_with(b"[pv.") && !line.starts_with(b"[pv.\"") {
        "write a name that has more than letters, digits, - and _ in quotes, as in [pv.\"sim:gap\"]"
    } else {
        "see https://toml.io for how to write TOML"
    }
}

fn pvs(found: &mut Diagnostics, entry: &Entry<'_>) -> Vec<Described> {
    let Some(table) = entry.value.as_table() else {
        entry.expected(found, "tables such as [pv.x]");
        return Vec::new();
    };
    if table.is_empty() {
        let remedy = "add one, as in [pv.x] with the line type = \"double\"";
        found.error(entry.span.clone(), "there are no PVs in `pv`", remedy);
    }
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(name, _)| name.span().start);
    let mut pvs = Vec::new();
    for (name, value) in all {
        let (span, text) = (name.span(), name.get_ref().as_ref());
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("PV \"{text}\" is no table");
            let remedy = format!("write [pv.\"{text}\"] and type = \"double\" below");
            found.error(span, message, remedy);
            continue;
        };
        let fits = |error: BuildError| error.to_string();
        if let Err(what) = crate::db::check_name(text).map_err(fits) {
            let (what, remedy) = what.rsplit_once("; ").unwrap_or((&what, ""));
            found.error(span.clone(), what, remedy);
        }
        let Some(spec) = pv::read(found, text, span.clone(), table) else {
            continue;
        };
        if let Err(what) = crate::db::check_room(text, &spec).map_err(fits) {
            let (what, remedy) = what.rsplit_once("; ").unwrap_or((&what, ""));
            found.error(span.clone(), what, remedy);
        }
        pvs.push(Described {
            name: text.to_owned(),
            spec,
            span,
            fingerprint: fingerprint(value),
        });
    }
    pvs
}

/// The table without its places.
fn fingerprint(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<_>, _)| {
                format!("{:?}={}", key.get_ref(), fingerprint(value))
            };
            format!(
                "{{{}}}",
                table.iter().map(entry).collect::<Vec<_>>().join(",")
            )
        }
        DeValue::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(fingerprint).collect::<Vec<_>>().join(",")
            )
        }
        other => format!("{other:?}"),
    }
}

const LIMIT: Key = Key {
    name: "",
    form: "number",
    default: "",
    about: "",
};

/// The keys of `[limits]`.
static LIMITS: [Key; LIMIT_NAMES.len()] = {
    let mut keys = [LIMIT; LIMIT_NAMES.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at].name = LIMIT_NAMES[at];
        at += 1;
    }
    keys
};

/// Reads limits; each mistake is told.
pub(crate) fn limits(found: &mut Diagnostics, table: &DeTable<'_>) -> Settings {
    let mut settings = Settings::default();
    let known = Table::new(found, "limits", 0..0, table, &LIMITS);
    for (name, entry) in known.entries() {
        if walk::integer(entry.value) == Some(0) {
            let message = format!("{}: nobody could do anything with a limit of 0", entry.name);
            found.error(entry.span.clone(), message, "write a larger one");
            continue;
        }
        match Settings::single(name, entry.value.clone(), entry.span.clone()) {
            Ok(one) => settings.merge(one),
            Err(what) => {
                let message = format!("{}: {what}", entry.name);
                let remedy = "write a whole number, or for a time seconds such as 2.5";
                found.error(entry.span.clone(), message, remedy);
            }
        }
    }
    settings
}

/// Reads lines `NAME = VALUE` with limits.
fn parse_limits(origin: &str, text: &str) -> Result<Settings, TomlError> {
    let mut found = Diagnostics::new(origin, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        found.error(span, error.message().trim_end(), "write NAME=VALUE");
    }
    let mut settings = Settings::default();
    if !found.has_errors() {
        settings = limits(&mut found, table.get_ref());
    }
    match found.has_errors() {
        true => Err(TomlError::new(found)),
        false => Ok(settings),
    }
}

/// Sets limits from lines `NAME = VALUE`, as [`IocBuilder::limits`] does; `origin` is the name of the
/// text for messages.
///
/// # Errors
/// [`TomlError`] has every mistake; nothing is set then.
pub fn set_limits(params: &mut ServerParams, origin: &str, text: &str) -> Result<(), TomlError> {
    parse_limits(origin, text)?.apply(params);
    Ok(())
}

impl IocBuilder {
    /// Adds the PVs of a description in TOML, see [`toml`](crate::toml).
    ///
    /// # Errors
    /// [`TomlError`] names the line, the PV and the remedy of each mistake.
    ///
    /// # Examples
    /// ```
    /// let ioc = ca_server_sim::Ioc::builder()
    ///     .toml("[pv.x]\ntype = 'long'\nvalue = 5\nunits = 'counts'")?
    ///     .build()?;
    /// assert_eq!(ioc.number("x")?, 5.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn toml(self, text: &str) -> Result<Self, TomlError> {
        let description = parse("description", text)?;
        self.describe(text, description)
    }

    /// Adds the PVs of a description that was read from `text`.
    ///
    /// # Errors
    /// [`TomlError`] for names that the IOC has already.
    pub fn describe(mut self, text: &str, description: Description) -> Result<Self, TomlError> {
        if let Some(seed) = description.seed {
            self = self.seed(seed);
        }
        self.settings.merge(description.settings);
        let mut found = Diagnostics::new("description", text);
        for pv in description.pvs {
            if let Err(error) = self.insert(&pv.name, pv.spec) {
                let what = error.to_string();
                let (what, remedy) = what.rsplit_once("; ").unwrap_or((&what, ""));
                found.error(pv.span, what, remedy);
            }
        }
        if found.has_errors() {
            return Err(TomlError::new(found));
        }
        Ok(self)
    }

    /// Sets limits of the server from lines in TOML, `NAME = VALUE`; times are in seconds. They
    /// replace those of [`params`](Self::params), whichever comes first. [`LIMIT_NAMES`] has the
    /// names, [`ServerParams`](ca_proto::config::ServerParams) says what each means.
    ///
    /// # Errors
    /// [`TomlError`] names the line and the remedy of each mistake.
    ///
    /// # Examples
    /// ```
    /// let ioc = ca_server_sim::Ioc::builder()
    ///     .limits("max_circuits = 100\nversion_timeout = 2.5")?
    ///     .build()?;
    /// assert_eq!(ioc.params().max_circuits, 100);
    /// assert_eq!(ioc.params().version_timeout.as_millis(), 2500);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limits(mut self, text: &str) -> Result<Self, TomlError> {
        self.settings.merge(parse_limits("limits", text)?);
        Ok(self)
    }
}
