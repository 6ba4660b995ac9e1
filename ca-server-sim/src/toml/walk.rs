//! Reading tables: each key once, each mistake noted, none in the way of the next.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostics, nearest};

/// A key that a table may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub name: &'static str,
    /// What is written behind the `=`.
    pub form: &'static str,
    /// What it is without the key.
    pub default: &'static str,
    pub about: &'static str,
}

/// A key of a table with its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Name of the table and key, for messages.
    pub name: Rc<str>,
    pub key: Range<usize>,
    pub span: Range<usize>,
    pub value: &'a DeValue<'a>,
}

/// The keys of a table that are known.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// For messages, such as `PV "x"`.
    pub name: String,
    /// Where the table is named.
    pub span: Range<usize>,
    entries: BTreeMap<&'static str, Entry<'a>>,
}

impl<'a> Table<'a> {
    /// Sorts the keys; those that are not known are mistakes.
    pub(super) fn new(
        found: &mut Diagnostics,
        name: impl Into<String>,
        span: Range<usize>,
        table: &'a DeTable<'a>,
        keys: &'static [Key],
    ) -> Self {
        let mut known = Self {
            name: name.into(),
            span,
            entries: BTreeMap::new(),
        };
        for (key, value) in table {
            let text = key.get_ref().as_ref();
            match keys.iter().find(|known| known.name == text) {
                Some(key_of) => {
                    let entry = known.entry(key, value);
                    known.entries.insert(key_of.name, entry);
                }
                None => unknown(found, &known.name, key, value.get_ref(), keys),
            }
        }
        known
    }

    fn entry(&self, key: &Spanned<impl AsRef<str>>, value: &'a Spanned<DeValue<'a>>) -> Entry<'a> {
        Entry {
            name: format!("{}: `{}`", self.name, key.get_ref().as_ref()).into(),
            key: key.span(),
            span: value.span(),
            value: value.get_ref(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.get(key)
    }

    /// Where a key stands, or else the table.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        let entry = self.get(key);
        entry.map_or_else(|| self.span.clone(), |entry| entry.span.clone())
    }

    /// The keys that are there, in the order of their names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &Entry<'a>)> {
        self.entries.iter().map(|(name, entry)| (*name, entry))
    }
}

fn unknown(
    found: &mut Diagnostics,
    table: &str,
    key: &Spanned<impl AsRef<str>>,
    value: &DeValue<'_>,
    keys: &[Key],
) {
    let text = key.get_ref().as_ref();
    let message = format!("{table}: there is no key `{text}`");
    let names = || keys.iter().map(|key| key.name);
    let remedy = if let Some(near) = nearest(text, names()) {
        format!("did you mean `{near}`?")
    } else if value.is_table() && table.starts_with("PV") {
        "write a name with dots in quotes, as in [pv.\"a.b\"]".to_owned()
    } else {
        format!("use some of {}", names().collect::<Vec<_>>().join(", "))
    };
    found.error(key.span(), message, remedy);
}

impl Entry<'_> {
    /// Says that the value is of the wrong type.
    pub(super) fn expected(&self, found: &mut Diagnostics, what: &str) {
        let given = article(self.value.type_str());
        let message = format!("{} is {given}", self.name);
        found.error(self.span.clone(), message, format!("write {what}"));
    }

    pub(super) fn text(&self, found: &mut Diagnostics) -> Option<&str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.expected(found, "a text in quotes");
        }
        text
    }

    pub(super) fn flag(&self, found: &mut Diagnostics) -> bool {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.expected(found, "true or false");
        }
        flag.unwrap_or(false)
    }

    pub(super) fn number(&self, found: &mut Diagnostics) -> Option<f64> {
        match number(self.value) {
            Ok(number) => Some(number),
            Err(what) => {
                self.wrong_number(found, what);
                None
            }
        }
    }

    fn wrong_number(&self, found: &mut Diagnostics, what: Option<String>) {
        match what {
            Some(what) => {
                let message = format!("{}: {what}", self.name);
                found.error(self.span.clone(), message, "write a number that fits");
            }
            None => self.expected(found, "a number"),
        }
    }

    /// An integer from `least` to `most`.
    pub(super) fn integer(&self, found: &mut Diagnostics, least: i128, most: i128) -> Option<i128> {
        let number = integer(self.value).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let expected = format!("an integer from {least} to {most}");
            match self.value {
                DeValue::Integer(given) => {
                    let message = format!("{}: {given} is out of range", self.name);
                    found.error(self.span.clone(), message, format!("write {expected}"));
                }
                _ => self.expected(found, &expected),
            }
        }
        number
    }

    /// Two numbers.
    pub(super) fn range(&self, found: &mut Diagnostics) -> Option<(f64, f64)> {
        let Some(list) = self.value.as_array() else {
            self.expected(found, "[low, high]");
            return None;
        };
        if list.len() != 2 {
            let message = format!("{} has {} numbers", self.name, list.len());
            found.error(self.span.clone(), message, "write two, [low, high]");
            return None;
        }
        let mut numbers = [0.0; 2];
        for (number_of, item) in numbers.iter_mut().zip(list) {
            let item = Entry {
                name: Rc::clone(&self.name),
                key: self.key.clone(),
                span: item.span(),
                value: item.get_ref(),
            };
            *number_of = item.number(found)?;
        }
        Some((numbers[0], numbers[1]))
    }

    /// A time in seconds, at least `least`.
    pub(super) fn seconds(&self, found: &mut Diagnostics, least: Duration) -> Option<Duration> {
        let seconds = self.number(found)?;
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if time >= least => Some(time),
            _ => {
                let message = format!("{}: {seconds} is no time that is possible", self.name);
                let remedy = match least.is_zero() {
                    true => "write seconds that are not negative, such as 0.5".to_owned(),
                    false => format!("write seconds, at least {}", least.as_secs_f64()),
                };
                found.error(self.span.clone(), message, remedy);
                None
            }
        }
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(
        &self,
        found: &mut Diagnostics,
        thing: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let given = self.text(found)?;
        let same = words.iter().find(|(word, _)| *word == given);
        if same.is_none() {
            let message = format!("{}: there is no {thing} \"{given}\"", self.name);
            found.error(self.span.clone(), message, among(given, words));
        }
        same.map(|&(_, value)| value)
    }
}

/// The remedy for a word that is none of those.
pub(super) fn among<T>(given: &str, words: &[(&str, T)]) -> String {
    let names = || words.iter().map(|(word, _)| *word);
    let all = names().collect::<Vec<_>>().join(", ");
    match nearest(given, names()) {
        Some(near) => format!("did you mean \"{near}\"? There are {all}"),
        None => format!("use one of {all}"),
    }
}

/// An integer as it is written, however large.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A real number, or an integer.
///
/// # Errors
/// Why a number does not fit; nothing if it is no number.
pub(super) fn number(value: &DeValue<'_>) -> Result<f64, Option<String>> {
    if let Some(real) = value.as_float() {
        let text = real.as_str();
        let number: f64 = text.parse().map_err(|_| None)?;
        return match number.is_finite() || text.contains("inf") || text.contains("nan") {
            true => Ok(number),
            false => Err(Some(format!(
                "{text} is beyond the largest double, 1.8e308"
            ))),
        };
    }
    match integer(value) {
        Some(number) => Ok(number as f64),
        None if value.is_integer() => Err(Some("this integer is too large".to_owned())),
        None => Err(None),
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}
