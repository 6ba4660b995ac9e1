//! What is odd about records as a whole: links that lead nowhere, rings, records that are processed too often, names.

mod graph;
mod rates;

use super::dbd::{FieldSpec, FieldType, RecordTypeSpec};
use super::link::{Link, Process};
use super::loader::Loaded;
use super::mistakes::{Mistake, MistakeKind};
use super::records::{FieldDef, RecordDef};
use super::source::{Place, shown};
use super::value::{self, Setting, closest, did_you_mean};
use crate::slip::Weight;
use graph::{Edge, Graph};

/// Bytes of a name that all clients and IOCs take (`PVNAME_STRINGSZ` of EPICS Base, less the final 0).
const MAX_NAME: usize = 60;

/// Looks at the links of all records, adds what is odd to the mistakes, and says how much that was.
///
/// A link to a record that is not among these may well lead to another IOC, and is a warning; one to a field that a
/// record does not have is an error.
///
/// ```
/// use ca_server_sim::load::{InMemory, Loader, lint};
///
/// let files = InMemory::from([("x.db", r#"
///     recordtype(sub) {
///         field(NAME, DBF_STRING) { size(61) }
///         field(FLNK, DBF_FWDLINK) { prompt("Forward Process Link") }
///         field(VAL, DBF_DOUBLE) { prompt("Value") }
///     }
///     record(sub, "a") { field(FLNK, "b") }
///     record(sub, "b") { field(FLNK, "a") }
/// "#)]);
/// let mut loader = Loader::new(&files);
/// loader.db("x.db", "");
/// let mut loaded = loader.finish();
/// assert_eq!(lint(&mut loaded), 1, "{}", loaded.mistakes);
/// assert!(loaded.mistakes.to_string().contains("`a` → `b` → `a`"));
/// ```
pub fn lint(loaded: &mut Loaded) -> usize {
    let mut found = Vec::new();
    names(loaded, &mut found);
    let graph = links(loaded, &mut found);
    graph::rings(loaded, &graph, &mut found);
    rates::judge(loaded, &graph, &mut found);
    let count = found.len();
    for mistake in found {
        loaded.mistakes.add(mistake);
    }
    count
}

fn warning(kind: MistakeKind, place: Place, message: String, remedy: impl Into<String>) -> Mistake {
    Mistake {
        weight: Weight::Warning,
        kind,
        message,
        remedy: remedy.into(),
        place: Some(place),
        notes: Vec::new(),
        times: 1,
    }
}

fn names(loaded: &Loaded, found: &mut Vec<Mistake>) {
    for record in loaded.records.iter() {
        let aliases = record.aliases.iter();
        let aliases = aliases.map(|alias| (&alias.name, alias.place));
        for (name, place) in std::iter::once((&record.name, record.place)).chain(aliases) {
            if name.len() > MAX_NAME {
                let message = format!("the name `{}` has {} bytes", shown(name), name.len());
                let remedy = format!("clients take {MAX_NAME}, less a dot and a field");
                found.push(warning(MistakeKind::Name, place, message, remedy));
            }
        }
    }
    for &(record, place) in &loaded.records.again {
        let (name, first) = (loaded.records.name(record), loaded.records.place(record));
        let before = loaded.mistakes.sources.locate(first);
        let message = format!("record `{}` is defined again", shown(name));
        let remedy = format!(
            "it is defined at {before}, and what follows is added; if that is meant, write record(\"*\", …)"
        );
        found.push(warning(MistakeKind::Duplicate, place, message, remedy));
    }
}

/// The setting of a field, or what it is when nothing is said.
fn setting<'a: 'r, 'r>(
    loaded: &'a Loaded,
    spec: &'a RecordTypeSpec,
    record: &'r RecordDef,
    name: &str,
) -> Option<(&'a FieldSpec, Setting<'r>)> {
    let index = spec.find(name)?;
    let field = &spec.fields[usize::from(index)];
    let set = record.fields.iter().find(|one| one.index == index);
    let text = match set {
        Some(one) => one.value.bytes(),
        None => field.initial.as_deref().unwrap_or_default(),
    };
    let setting = value::read(&loaded.dbd, spec, field, text).ok()?;
    Some((field, setting))
}

/// Text of the choice of a menu field.
fn choice<'a>(loaded: &'a Loaded, record: &RecordDef, name: &str) -> Option<&'a [u8]> {
    let spec = &loaded.dbd.types()[record.type_index];
    match setting(loaded, spec, record, name)? {
        (field, Setting::Choice(index)) => {
            let menu = field.menu.as_deref()?;
            menu.choices
                .get(usize::from(index))
                .map(|(_, text)| &**text)
        }
        _ => None,
    }
}

/// Whether a record is processed by links only.
fn is_passive(loaded: &Loaded, record: &RecordDef) -> bool {
    matches!(choice(loaded, record, "SCAN"), None | Some(b"Passive"))
}

/// Looks at each link by itself; returns who processes whom.
fn links(loaded: &Loaded, found: &mut Vec<Mistake>) -> Graph {
    let passive: Vec<bool> = loaded
        .records
        .iter()
        .map(|record| is_passive(loaded, &record))
        .collect();
    let mut edges = Vec::new();
    for (from, record) in loaded.records.iter().enumerate() {
        let spec = &loaded.dbd.types()[record.type_index];
        for set in &record.fields {
            let field = &spec.fields[usize::from(set.index)];
            if !field.kind.is_link() {
                continue;
            }
            let Ok(Setting::Link(link)) = value::read(&loaded.dbd, spec, field, set.value.bytes())
            else {
                continue;
            };
            device(loaded, spec, &record, field, set, &link, found);
            let Link::Pv {
                target, process, ..
            } = link
            else {
                continue;
            };
            let Some((to, rest)) = target_of(loaded, &record, field, set, target, found) else {
                continue;
            };
            let place = set.place;
            let edge = |from, to, is_cp| Edge {
                from,
                to,
                is_cp,
                place,
            };
            let runs = passive[to] || rest == b"PROC";
            match (field.kind, process) {
                (FieldType::InLink, Process::OnChange) => edges.push(edge(to, from, true)),
                (FieldType::InLink, Process::OnChangeIfPassive) if passive[from] => {
                    edges.push(edge(to, from, true))
                }
                (FieldType::FwdLink, _) if runs => edges.push(edge(from, to, false)),
                (_, Process::Passive) if runs => edges.push(edge(from, to, false)),
                (FieldType::OutLink, _) if rest == b"PROC" => edges.push(edge(from, to, false)),
                _ => {}
            }
        }
    }
    Graph::new(loaded.records.len(), edges)
}

/// The record to which a link leads, and the name of the field.
fn target_of<'t>(
    loaded: &Loaded,
    record: &RecordDef,
    field: &FieldSpec,
    set: &FieldDef,
    target: &'t [u8],
    found: &mut Vec<Mistake>,
) -> Option<(usize, &'t [u8])> {
    let dot = target.iter().position(|&byte| byte == b'.');
    let (name, rest) = match dot {
        Some(dot) => (&target[..dot], &target[dot + 1..]),
        None => (target, &target[target.len()..]),
    };
    let at = format!("{}.{}", shown(&record.name), field.name);
    let place = set.place;
    let Some(to) = loaded.records.index(name) else {
        let message = format!(
            "{at} leads to `{}`, which is not among these records",
            shown(name)
        );
        let remedy = "fine if another IOC has it".to_owned();
        found.push(warning(MistakeKind::Link, place, message, remedy));
        return None;
    };
    let length = rest
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'));
    let (own, behind) = rest.split_at(length.unwrap_or(rest.len()));
    let spec = &loaded.dbd.types()[loaded.records.type_index(to)];
    let knows = value::find_field(spec, own).is_some() || matches!(own, b"RTYP" | b"VERS");
    let ends = matches!(behind.first(), None | Some(b'$' | b'[' | b'{'));
    if !knows || !ends {
        let known = spec.fields.iter().map(|field| &*field.name);
        let near = closest(&String::from_utf8_lossy(own), known);
        let mut mistake = warning(
            MistakeKind::Link,
            place,
            format!(
                "{at} leads to field `{}` of `{}`, which type {} does not have",
                shown(rest),
                shown(name),
                spec.name
            ),
            did_you_mean(near.filter(|_| !knows)),
        );
        mistake.weight = Weight::Error;
        found.push(mistake);
        return None;
    }
    Some((to, own))
}

/// Whether INP or OUT is written as the device takes it.
fn device(
    loaded: &Loaded,
    spec: &RecordTypeSpec,
    record: &RecordDef,
    field: &FieldSpec,
    set: &FieldDef,
    link: &Link<'_>,
    found: &mut Vec<Mistake>,
) {
    let is_device_link = matches!(&*field.name, "INP" | "OUT");
    let index = match setting(loaded, spec, record, "DTYP") {
        Some((_, Setting::Choice(index))) if is_device_link => usize::from(index),
        _ => return,
    };
    let Some(device) = spec.devices.get(index) else {
        return;
    };
    let own = link.link_type();
    let is_empty = matches!(link, Link::Constant([]));
    if own == device.link || (own.is_soft() && device.link.is_soft()) || is_empty {
        return;
    }
    let written = match device.link {
        kind if kind.is_soft() => "a PV, a number or JSON",
        super::dbd::LinkType::InstIo => "@ and a text",
        _ => "an address such as #C0 S1 @text",
    };
    let mut mistake = warning(
        MistakeKind::Link,
        set.place,
        format!(
            "{}.{} is not written as device `{}` takes it: {written}",
            shown(&record.name),
            field.name,
            shown(&device.choice)
        ),
        "is DTYP missing or wrong?",
    );
    mistake.weight = Weight::Error;
    found.push(mistake);
}
