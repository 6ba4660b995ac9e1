//! A table of a file to the description of a PV.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use ca_proto::AlarmSeverity;
use ca_proto::dbr::{Element, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{PV, TYPES};
use super::walk::{Entry, Table, among, integer, number};
use crate::check::SENT_UNITS;
use crate::diagnostic::Diagnostics;
use crate::fault::Fault;
use crate::plain::RecordType;
use crate::pv::PvSpec;

/// Reads a PV; `None` if something is wrong, which `found` then has.
pub(super) fn read(
    found: &mut Diagnostics,
    name: &str,
    span: Range<usize>,
    table: &DeTable<'_>,
) -> Option<PvSpec> {
    let before = found.errors().count();
    let table = Table::new(found, format!("PV \"{name}\""), span, table, PV);
    // Whatever is wrong with the value, the other keys are looked at too.
    let spec = first_value(found, &table).or_else(|| stand_in(&table));
    let Some(spec) = spec else {
        described(found, &table, PvSpec::double(0.0));
        return None;
    };
    let spec = described(found, &table, spec);
    // The signal last: it may make room.
    let spec = super::signal::attach(found, &table, spec);
    for fault in spec.check() {
        place(found, &table, &fault);
    }
    if before == found.errors().count() {
        remarks(found, &table, &spec);
    }
    Some(spec).filter(|_| before == found.errors().count())
}

/// Tells what the description itself finds, at the key that it is about.
pub(super) fn place(found: &mut Diagnostics, table: &Table<'_>, fault: &Fault) {
    let message = format!("{}: {}", table.name, fault.what);
    found.error(table.place(fault.part), message, fault.remedy.as_str());
}

/// What is allowed, but may not be what its author expects.
fn remarks(found: &mut Diagnostics, table: &Table<'_>, spec: &PvSpec) {
    if spec.units.len() > SENT_UNITS {
        let sent = String::from_utf8_lossy(&spec.units[..SENT_UNITS]).into_owned();
        let message = format!(
            "{}: of these units \"{sent}\" travels with values",
            table.name
        );
        let remedy = "shorten them to 7 bytes; the field EGU has up to 15, as a record's";
        found.warning(table.place("units"), message, remedy);
    }
    let limits = &spec.meta.limits;
    if limits.warning.lower <= limits.alarm.lower || limits.warning.upper >= limits.alarm.upper {
        let message = format!("{}: a warning limit is beyond the alarm limit", table.name);
        let remedy = "the alarm, which is more severe, comes first; move one of them";
        found.warning(table.place("warning"), message, remedy);
    }
}

fn described(found: &mut Diagnostics, table: &Table<'_>, mut spec: PvSpec) -> PvSpec {
    let mut completes = None;
    for (key, entry) in table.entries() {
        spec = match key {
            "capacity" => match entry.integer(found, 1, u32::MAX.into()) {
                Some(capacity) => spec.capacity(capacity as u32),
                None => spec,
            },
            "units" => match entry.text(found) {
                Some(units) => spec.units(units),
                None => spec,
            },
            "description" => match entry.text(found) {
                Some(text) => spec.description(text),
                None => spec,
            },
            "access_group" => match entry.text(found) {
                Some(group) => spec.access_group(group),
                None => spec,
            },
            "precision" => match entry.integer(found, 0, i16::MAX.into()) {
                Some(digits) => spec.precision(digits as i16),
                None => spec,
            },
            "display" | "control" | "alarm" | "warning" => match entry.range(found) {
                Some((low, high)) => limited(spec, key, low, high),
                None => spec,
            },
            "hysteresis" | "value_deadband" | "archive_deadband" => {
                if let Some(width) = entry.number(found) {
                    match key {
                        "hysteresis" => spec.hysteresis = width,
                        "value_deadband" => spec.value_deadband = width,
                        _ => spec.archive_deadband = width,
                    }
                }
                spec
            }
            "undefined" => {
                spec.undefined = entry.flag(found);
                spec
            }
            "read_only" if entry.flag(found) => spec.read_only(),
            "record_type" => {
                let types = RecordType::ALL.map(|kind| (kind.name(), kind));
                spec.record_type = entry.word(found, "record type", &types);
                spec
            }
            "state_severities" => {
                let severities = severities(found, entry);
                spec.state_severities(severities)
            }
            "completes_after" => {
                let after = entry.seconds(found, Duration::ZERO);
                completes = Some(entry.key.clone());
                match after {
                    Some(after) => spec.completes_after(after),
                    None => spec,
                }
            }
            "completes_never" if entry.flag(found) => {
                if completes.is_some() {
                    let message = format!("{}: it cannot complete both", table.name);
                    let remedy = "leave out completes_after or completes_never";
                    found.error(entry.key.clone(), message, remedy);
                }
                spec.completes_never()
            }
            "states" if table.get("type").and_then(|ty| ty.value.as_str()) != Some("enum") => {
                let message = format!(
                    "{}: states have no effect without type \"enum\"",
                    table.name
                );
                found.error(
                    entry.key.clone(),
                    message,
                    "leave them out, or make it an enum",
                );
                spec
            }
            _ => spec,
        };
    }
    spec
}

fn limited(spec: PvSpec, key: &str, low: f64, high: f64) -> PvSpec {
    match key {
        "display" => spec.display(low, high),
        "control" => spec.control(low, high),
        "alarm" => spec.alarm(low, high),
        _ => spec.warning(low, high),
    }
}

fn severities(found: &mut Diagnostics, entry: &Entry<'_>) -> Vec<AlarmSeverity> {
    let words: Vec<(&str, AlarmSeverity)> = AlarmSeverity::ALL
        .iter()
        .filter_map(|severity| Some((severity.name()?, *severity)))
        .collect();
    let list = items(
        found,
        entry,
        "a list of severities, as [\"NO_ALARM\", \"MINOR\"]",
    );
    let list = list.iter().map(|item| item.word(found, "severity", &words));
    list.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// The items of a list.
fn items<'a>(found: &mut Diagnostics, entry: &Entry<'a>, expected: &str) -> Vec<Entry<'a>> {
    let Some(list) = entry.value.as_array() else {
        entry.expected(found, expected);
        return Vec::new();
    };
    list.iter().map(|item| entry.item(item)).collect()
}

impl<'a> Entry<'a> {
    /// An item of the list that is the value.
    fn item(&self, item: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            name: Rc::clone(&self.name),
            key: self.key.clone(),
            span: item.span(),
            value: item.get_ref(),
        }
    }
}

fn first_value(found: &mut Diagnostics, table: &Table<'_>) -> Option<PvSpec> {
    let Some(ty) = table.get("type") else {
        let message = format!("{} has no type", table.name);
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        let remedy = format!("add type = \"double\", or one of {}", names.join(", "));
        found.error(table.span.clone(), message, remedy);
        return None;
    };
    let name = ty.text(found)?;
    let value = table.get("value");
    match name {
        "double" => elements(found, value, "a number", real),
        "float" => elements(found, value, "a number", single),
        "long" => elements(
            found,
            value,
            "an integer from -2147483648 to 2147483647",
            whole::<i32>,
        ),
        "short" => elements(
            found,
            value,
            "an integer from -32768 to 32767",
            whole::<i16>,
        ),
        "char" => elements(found, value, "an integer from 0 to 255", whole::<u8>),
        "string" => strings(found, value),
        "text" => match value {
            None => Some(PvSpec::text("")),
            Some(entry) => entry.text(found).map(PvSpec::text),
        },
        "enum" => state(found, table, value),
        other => {
            let message = format!("{}: there is no type \"{other}\"", table.name);
            found.error(ty.span.clone(), message, among(other, TYPES));
            None
        }
    }
}

/// A PV of the type and shape that are meant, in place of one whose value is wrong.
fn stand_in(table: &Table<'_>) -> Option<PvSpec> {
    let spec = match table.get("type")?.value.as_str()? {
        "double" => PvSpec::double(0.0),
        "float" => PvSpec::float(0.0),
        "long" => PvSpec::long(0),
        "short" => PvSpec::short(0),
        "char" => PvSpec::char(0),
        "string" => PvSpec::string(""),
        "text" => PvSpec::text(""),
        "enum" => {
            let states = table.get("states").and_then(|entry| entry.value.as_array());
            let states = states.into_iter().flat_map(|states| states.iter());
            PvSpec::enumeration(states.filter_map(|state| state.get_ref().as_str()), 0)
        }
        _ => return None,
    };
    let list = table.get("value").and_then(|entry| entry.value.as_array());
    Some(match list {
        Some(list) => spec.capacity((list.len() as u32).max(1)),
        None => spec,
    })
}

fn strings(found: &mut Diagnostics, value: Option<&Entry<'_>>) -> Option<PvSpec> {
    let Some(entry) = value else {
        return Some(PvSpec::string(""));
    };
    if let Some(text) = entry.value.as_str() {
        return Some(PvSpec::string(text));
    }
    let list = items(found, entry, "a text in quotes, or a list of them");
    entry.value.as_array()?;
    let texts: Vec<Option<&str>> = list.iter().map(|item| item.text(found)).collect();
    let texts: Option<Vec<&str>> = texts.into_iter().collect();
    Some(PvSpec::strings(&texts?))
}

fn state(found: &mut Diagnostics, table: &Table<'_>, value: Option<&Entry<'_>>) -> Option<PvSpec> {
    let mut states: Vec<&str> = Vec::new();
    let list;
    if let Some(entry) = table.get("states") {
        list = items(found, entry, "a list of texts, as [\"Off\", \"On\"]");
        for item in &list {
            states.push(item.text(found)?);
        }
        let twice = (1..states.len()).find(|&at| states[..at].contains(&states[at]));
        if let Some(at) = twice {
            let message = format!("{}: the state \"{}\" comes twice", table.name, states[at]);
            found.error(
                list[at].span.clone(),
                message,
                "clients could not choose the second",
            );
        }
    }
    let Some(entry) = value else {
        return Some(PvSpec::enumeration(&states, 0));
    };
    let index = match entry.value.as_str() {
        Some(text) => states.iter().position(|state| *state == text),
        None => integer(entry.value).and_then(|index| usize::try_from(index).ok()),
    };
    let remedy = || match states[..] {
        [] => "write its number, or give `states`".to_owned(),
        _ => format!("write one of the states {states:?}, or the number of one"),
    };
    match index.and_then(|index| u16::try_from(index).ok()) {
        Some(index) => Some(PvSpec::enumeration(&states, index)),
        None => {
            let message = format!("{} is no state", entry.name);
            found.error(entry.span.clone(), message, remedy());
            None
        }
    }
}

/// Why a value is no element: what else it is, if there is more to say than that.
type NoElement = Option<String>;

fn real(value: &DeValue<'_>) -> Result<f64, NoElement> {
    number(value)
}

fn single(value: &DeValue<'_>) -> Result<f32, NoElement> {
    let number = number(value)?;
    float(number).map_err(|what| Some(what.to_owned()))
}

/// The nearest `f32`.
///
/// # Errors
/// Why there is none: infinities and zero only stand for themselves.
pub(super) fn float(number: f64) -> Result<f32, &'static str> {
    let single = number as f32;
    if single.is_infinite() && number.is_finite() {
        Err("this is beyond the largest float, 3.4e38")
    } else if single == 0.0 && number != 0.0 {
        Err("this is below the smallest float, 1.4e-45")
    } else {
        Ok(single)
    }
}

fn whole<T: TryFrom<i128>>(value: &DeValue<'_>) -> Result<T, NoElement> {
    let number = integer(value).ok_or(None)?;
    T::try_from(number).map_err(|_| Some(format!("{number} does not fit")))
}

fn elements<T: Element + Default>(
    found: &mut Diagnostics,
    value: Option<&Entry<'_>>,
    expected: &str,
    element: fn(&DeValue<'_>) -> Result<T, NoElement>,
) -> Option<PvSpec> {
    let Some(entry) = value else {
        return Some(PvSpec::value(Value::scalar(T::default())));
    };
    let mut read = |entry: &Entry<'_>| match element(entry.value) {
        Ok(value) => Some(value),
        Err(Some(what)) => {
            let message = format!("{}: {what}", entry.name);
            found.error(
                entry.span.clone(),
                message,
                format!("write {expected}, or another type"),
            );
            None
        }
        Err(None) => {
            entry.expected(found, &format!("{expected}, or a list of them"));
            None
        }
    };
    match entry.value.as_array() {
        None => read(entry).map(|value| PvSpec::value(Value::scalar(value))),
        Some(list) => {
            let list: Vec<Option<T>> = list.iter().map(|item| read(&entry.item(item))).collect();
            let list: Option<Vec<T>> = list.into_iter().collect();
            list.map(PvSpec::array)
        }
    }
}
