//! Records as files describe them, before there is an IOC that processes them.

use std::sync::Arc;

use hashbrown::HashMap;

use super::source::Place;
use crate::record::ShortBytes;

/// What is written as a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldValue {
    /// A text or number, with its escapes resolved.
    Text(ShortBytes),
    /// A list or object of JSON5, without blanks and comments.
    Json(ShortBytes),
}

impl FieldValue {
    /// The bytes, whatever they are.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) | Self::Json(bytes) => bytes,
        }
    }
}

/// A field that is set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDef {
    /// Its name.
    pub name: Arc<str>,
    /// Its index in the fields of the record type.
    pub index: u16,
    /// What is written for it; that the field takes it was checked.
    pub value: FieldValue,
    /// Where the value is.
    pub place: Place,
}

/// An `info` item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InfoDef {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its value.
    pub value: FieldValue,
    /// Where the value is.
    pub place: Place,
}

/// Another name of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AliasDef {
    /// The name.
    pub name: Arc<[u8]>,
    /// Items that were set by this name; the reference keeps them apart.
    pub infos: Vec<InfoDef>,
    /// Where it is.
    pub place: Place,
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordDef {
    /// Its name.
    pub name: Arc<[u8]>,
    /// The name of its type.
    pub type_name: Arc<str>,
    /// The index of its type in [`Dbd::types`](super::Dbd::types).
    pub type_index: usize,
    /// The fields that are set, each once: in the order in which the values that count were given, as setting `VAL`
    /// clears `UDF`.
    pub fields: Vec<FieldDef>,
    /// Its `info` items, each once, in the order of their first appearance.
    pub infos: Vec<InfoDef>,
    /// Its other names.
    pub aliases: Vec<AliasDef>,
    /// Whether it was defined by `grecord`.
    pub is_visible: bool,
    /// Where its name is, for the first time.
    pub place: Place,
}

impl RecordDef {
    /// What is set for a field.
    pub fn field(&self, name: &str) -> Option<&FieldDef> {
        self.fields.iter().find(|field| &*field.name == name)
    }
}

/// Whom a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) record: usize,
    /// The index of the alias, if the name is one.
    pub(super) alias: Option<usize>,
}

/// Records in the order in which they were defined, and their names.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub(super) records: Vec<RecordDef>,
    pub(super) names: HashMap<Arc<[u8]>, Named>,
    /// Records that were defined again with their type, and where.
    pub(super) again: Vec<(usize, Place)>,
}

impl Records {
    /// The records, in the order in which they were defined.
    pub fn iter(&self) -> impl Iterator<Item = &RecordDef> {
        self.records.iter()
    }

    /// Number of records.
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record of this name or alias.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&RecordDef> {
        let named = self.names.get(name.as_ref())?;
        self.records.get(named.record)
    }

    /// The index in the order of the records of the one with this name or alias.
    pub fn index(&self, name: impl AsRef<[u8]>) -> Option<usize> {
        self.names.get(name.as_ref()).map(|named| named.record)
    }

    /// The records by themselves.
    pub fn into_vec(self) -> Vec<RecordDef> {
        self.records
    }

    /// Takes out what was deleted, and what was set again.
    pub(super) fn settle(&mut self) {
        // A name that is empty is one that was deleted.
        let mut kept = 0;
        let places: Vec<usize> = self
            .records
            .iter()
            .map(|record| {
                let place = kept;
                kept += usize::from(!record.name.is_empty());
                place
            })
            .collect();
        let all = self.records.len();
        self.again
            .retain(|&(record, _)| !self.records[record].name.is_empty());
        for (record, _) in &mut self.again {
            *record = places[*record];
        }
        self.records.retain(|record| !record.name.is_empty());
        let deleted = self.records.len() < all;
        let mut last = Vec::new();
        let mut some_aliases = false;
        for (record, number) in self.records.iter_mut().zip(1..) {
            keep_last(&mut record.fields, number, &mut last);
            keep_first(&mut record.infos);
            for alias in &mut record.aliases {
                keep_first(&mut alias.infos);
            }
            let aliases = record.aliases.len();
            record.aliases.retain(|alias| !alias.name.is_empty());
            some_aliases |= record.aliases.len() < aliases;
        }
        if deleted || some_aliases {
            for named in self.names.values_mut() {
                named.record = places[named.record];
                named.alias = None;
            }
        }
    }
}

/// Keeps the last one of each field. `seen` holds the number of the last record that had a field.
fn keep_last(fields: &mut Vec<FieldDef>, number: u32, seen: &mut Vec<u32>) {
    let mut repeated = false;
    for field in &*fields {
        let index = usize::from(field.index);
        if seen.len() <= index {
            seen.resize(index + 1, 0);
        }
        repeated |= std::mem::replace(&mut seen[index], number) == number;
    }
    if !repeated {
        return;
    }
    for field in &*fields {
        seen[usize::from(field.index)] = 0;
    }
    fields.reverse();
    fields.retain(|field| std::mem::replace(&mut seen[usize::from(field.index)], number) != number);
    fields.reverse();
}

/// Keeps the first one of each name, with the value of the last one.
fn keep_first(infos: &mut Vec<InfoDef>) {
    if infos.len() < 2 {
        return;
    }
    let mut places: HashMap<Box<[u8]>, usize> = HashMap::new();
    let mut kept: Vec<InfoDef> = Vec::with_capacity(infos.len());
    for info in infos.drain(..) {
        match places.get(&info.name) {
            Some(&at) => kept[at] = info,
            None => {
                places.insert(info.name.clone(), kept.len());
                kept.push(info);
            }
        }
    }
    *infos = kept;
}
