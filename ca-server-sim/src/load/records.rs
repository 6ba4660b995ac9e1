//! Records as files describe them, before there is an IOC that processes them.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::dbd::RecordTypeSpec;
use super::source::Place;
use super::tape::{self, At, Entry, Tape};
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
///
/// They are held packed, as most are read once, and made into [`RecordDef`]s when they are asked for.
#[derive(Clone, Default)]
pub struct Records {
    tape: Tape,
    heads: Vec<Head>,
    /// How often a field was set.
    fields: usize,
    /// Records and aliases, by where their names are.
    names: HashTable<At>,
    hasher: DefaultHashBuilder,
    /// The names of the types that records have, and of their fields.
    types: Vec<Option<TypeNames>>,
    /// Where records are since others were taken out.
    places: Option<Vec<u32>>,
    /// Records that were defined again with their type, and where.
    pub(super) again: Vec<(usize, Place)>,
}

/// A record on the tape.
#[derive(Clone, Copy, Debug)]
struct Head {
    first: At,
    last: At,
    type_index: u32,
    /// How many were given, those included that went.
    aliases: u32,
    is_visible: bool,
    is_gone: bool,
}

#[derive(Clone, Debug)]
struct TypeNames {
    name: Arc<str>,
    fields: Vec<Arc<str>>,
}

/// Kinds of entries.
const RECORD: u8 = 0;
const FIELD: u8 = 1;
const INFO: u8 = 2;
const ALIAS: u8 = 3;
/// An alias that went.
const GONE: u8 = 4;
/// Added to the kind of a field or item whose value is JSON.
const JSON: u8 = 8;

impl Records {
    /// The records, in the order in which they were defined.
    pub fn iter(&self) -> impl Iterator<Item = RecordDef> {
        let mut seen = Seen::default();
        let live = self.heads.iter().filter(|head| !head.is_gone);
        live.map(move |head| self.unpacked(head, &mut seen))
    }

    /// Number of records.
    pub const fn len(&self) -> usize {
        self.heads.len()
    }

    /// How many fields they set, those counted again that are set again.
    pub(crate) const fn field_count(&self) -> usize {
        self.fields
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The record of this name or alias.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<RecordDef> {
        let named = self.find(name.as_ref())?;
        let head = self.heads.get(named.record)?;
        Some(self.unpacked(head, &mut Seen::default()))
    }

    /// Whether there is a record of this name or alias.
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.find(name.as_ref()).is_some()
    }

    /// The index in the order of the records of the one with this name or alias.
    pub fn index(&self, name: impl AsRef<[u8]>) -> Option<usize> {
        self.find(name.as_ref()).map(|named| named.record)
    }

    /// The records by themselves.
    pub fn into_vec(self) -> Vec<RecordDef> {
        self.into_each().collect()
    }

    /// The same, one after another. The memory of each is free when it has been given.
    pub(crate) fn into_each(mut self) -> impl Iterator<Item = RecordDef> {
        self.names = HashTable::new();
        let mut seen = Seen::default();
        (0..self.heads.len()).filter_map(move |number| {
            let head = self.heads[number];
            let record = (!head.is_gone).then(|| self.unpacked(&head, &mut seen));
            let mut at = head.first;
            while at != At::NONE {
                let next = self.tape.read(at).next;
                self.tape.let_go(at);
                at = next;
            }
            record
        })
    }

    /// Who has this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<Named> {
        let is = |&at: &At| name_at(&self.tape, at) == name;
        let at = *self.names.find(self.hasher.hash_one(name), is)?;
        let mut entry = self.tape.read(at);
        let record = entry.number();
        let record = match &self.places {
            Some(places) => *places.get(record as usize)?,
            None => record,
        };
        let alias = (entry.kind == ALIAS).then(|| entry.number() as usize);
        Some(Named {
            record: record as usize,
            alias,
        })
    }

    /// Adds a record of a type. Nobody has its name.
    pub(super) fn define(
        &mut self,
        (type_index, spec): (usize, &RecordTypeSpec),
        name: &[u8],
        is_visible: bool,
        place: Place,
    ) -> usize {
        let number = self.heads.len();
        if self.types.len() <= type_index {
            self.types.resize(type_index + 1, None);
        }
        self.types[type_index].get_or_insert_with(|| TypeNames {
            name: Arc::clone(&spec.name),
            fields: Vec::new(),
        });
        // Names are counted, at most some millions (`Bounds::records`).
        let first = self.tape.push(RECORD, |out| {
            tape::number(out, number as u32);
            write_place(out, place);
            tape::text(out, name);
        });
        self.heads.push(Head {
            first,
            last: first,
            type_index: type_index as u32,
            aliases: 0,
            is_visible,
            is_gone: false,
        });
        self.enter(name, first);
        number
    }

    fn enter(&mut self, name: &[u8], at: At) {
        let (tape, hasher) = (&self.tape, &self.hasher);
        let hash_of = |&at: &At| hasher.hash_one(name_at(tape, at));
        self.names.insert_unique(hasher.hash_one(name), at, hash_of);
    }

    /// Adds an entry to those of a record.
    fn add(&mut self, record: usize, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> At {
        let at = self.tape.push(kind, write);
        let head = &mut self.heads[record];
        let before = std::mem::replace(&mut head.last, at);
        self.tape.link(before, at);
        at
    }

    pub(super) fn add_field(
        &mut self,
        record: usize,
        (index, spec): (u16, &RecordTypeSpec),
        value: &FieldValue,
        place: Place,
    ) {
        let of = self.type_index(record);
        if let Some(Some(names)) = self.types.get_mut(of) {
            // A type that is made up gets more of them.
            let known = names.fields.len();
            if usize::from(index) >= known {
                let more = spec.fields.iter().skip(known);
                names
                    .fields
                    .extend(more.map(|field| Arc::clone(&field.name)));
            }
        }
        self.fields += 1;
        self.add(record, FIELD | json(value), |out| {
            tape::number(out, index.into());
            write_place(out, place);
            tape::text(out, value.bytes());
        });
    }

    /// Adds an item, by the name of an alias or the record's own.
    pub(super) fn add_info(&mut self, named: Named, name: &[u8], value: &FieldValue, place: Place) {
        self.add(named.record, INFO | json(value), |out| {
            tape::number(out, named.alias.map_or(0, |alias| alias as u32 + 1));
            tape::text(out, name);
            write_place(out, place);
            tape::text(out, value.bytes());
        });
    }

    /// Adds an alias. Nobody has its name.
    pub(super) fn add_alias(&mut self, record: usize, name: &[u8], place: Place) {
        let alias = self.heads[record].aliases;
        self.heads[record].aliases += 1;
        let at = self.add(record, ALIAS, |out| {
            tape::number(out, record as u32);
            tape::number(out, alias);
            write_place(out, place);
            tape::text(out, name);
        });
        self.enter(name, at);
    }

    /// Takes out an alias, or a record with all its names.
    pub(super) fn delete(&mut self, named: Named) {
        let (mut at, mut nth) = (self.heads[named.record].first, 0);
        while at != At::NONE {
            let Entry { next, kind, .. } = self.tape.read(at);
            let is_meant = match kind {
                RECORD => named.alias.is_none(),
                ALIAS | GONE => {
                    nth += 1;
                    kind == ALIAS && named.alias.is_none_or(|alias| alias + 1 == nth)
                }
                _ => false,
            };
            if is_meant {
                let hash = self.hasher.hash_one(name_at(&self.tape, at));
                if let Ok(found) = self.names.find_entry(hash, |&other| other == at) {
                    found.remove();
                }
                if kind == ALIAS {
                    self.tape.set_kind(at, GONE);
                }
            }
            at = next;
        }
        self.heads[named.record].is_gone |= named.alias.is_none();
    }

    /// Whether there are, or were, records of the type with this index.
    pub(crate) fn has_type(&self, index: usize) -> bool {
        self.types.get(index).is_some_and(Option::is_some)
    }

    pub(super) fn type_index(&self, record: usize) -> usize {
        self.heads[record].type_index as usize
    }

    pub(super) fn type_name(&self, record: usize) -> Arc<str> {
        let names = self.types.get(self.type_index(record));
        names
            .and_then(Option::as_ref)
            .map_or_else(|| "".into(), |names| Arc::clone(&names.name))
    }

    pub(super) fn name(&self, record: usize) -> &[u8] {
        name_at(&self.tape, self.heads[record].first)
    }

    /// The names of the records that are there, the last one first.
    pub(super) fn last_names(&self) -> impl Iterator<Item = &[u8]> {
        let live = self.heads.iter().rev().filter(|head| !head.is_gone);
        live.map(|head| name_at(&self.tape, head.first))
    }

    /// Where the name of a record is.
    pub(super) fn place(&self, record: usize) -> Place {
        let mut entry = self.tape.read(self.heads[record].first);
        entry.number();
        read_place(&mut entry)
    }

    pub(super) fn make_visible(&mut self, record: usize) {
        self.heads[record].is_visible = true;
    }

    /// Takes out what was deleted.
    pub(super) fn settle(&mut self) {
        self.again
            .retain(|&(record, _)| !self.heads[record].is_gone);
        if !self.heads.iter().any(|head| head.is_gone) {
            return;
        }
        let mut kept = 0;
        let places = self.heads.iter().map(|head| {
            let place = kept;
            kept += u32::from(!head.is_gone);
            place
        });
        let places: Vec<u32> = places.collect();
        for (record, _) in &mut self.again {
            *record = places[*record] as usize;
        }
        self.heads.retain(|head| !head.is_gone);
        self.places = Some(places);
    }

    /// A record as it was described, each field and each item once.
    fn unpacked(&self, head: &Head, seen: &mut Seen) -> RecordDef {
        let mut first = self.tape.read(head.first);
        first.number();
        let place = read_place(&mut first);
        let names = self.types.get(head.type_index as usize);
        let names = names.and_then(Option::as_ref);
        let mut record = RecordDef {
            name: first.text().into(),
            type_name: names.map_or_else(|| "".into(), |names| Arc::clone(&names.name)),
            type_index: head.type_index as usize,
            fields: Vec::with_capacity(FIELDS),
            infos: Vec::new(),
            aliases: Vec::new(),
            is_visible: head.is_visible,
            place,
        };
        let mut at = first.next;
        while at != At::NONE {
            let entry = self.tape.read(at);
            at = entry.next;
            add_entry(&mut record, names, entry);
        }
        seen.keep_last(&mut record.fields);
        keep_first(&mut record.infos);
        // A name that is empty is one that was deleted.
        record.aliases.retain(|alias| !alias.name.is_empty());
        for alias in &mut record.aliases {
            keep_first(&mut alias.infos);
        }
        record
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Fields for which there is room at first; files set about ten.
const FIELDS: usize = 12;

/// Adds to a record what an entry says of it.
fn add_entry(record: &mut RecordDef, names: Option<&TypeNames>, mut entry: Entry<'_>) {
    match entry.kind & !JSON {
        FIELD => {
            let index = entry.number() as u16;
            let place = read_place(&mut entry);
            let name = names.and_then(|names| names.fields.get(usize::from(index)));
            record.fields.push(FieldDef {
                name: name.map_or_else(|| "".into(), Arc::clone),
                index,
                value: value_of(entry),
                place,
            });
        }
        INFO => {
            let alias = (entry.number() as usize).checked_sub(1);
            let name = entry.text().into();
            let place = read_place(&mut entry);
            let value = value_of(entry);
            let infos = match alias {
                Some(alias) => record.aliases.get_mut(alias).map(|alias| &mut alias.infos),
                None => Some(&mut record.infos),
            };
            if let Some(infos) = infos {
                infos.push(InfoDef { name, value, place });
            }
        }
        ALIAS | GONE => {
            entry.number();
            entry.number();
            let place = read_place(&mut entry);
            let name = if entry.kind == ALIAS {
                entry.text()
            } else {
                b""
            };
            record.aliases.push(AliasDef {
                name: name.into(),
                infos: Vec::new(),
                place,
            });
        }
        _ => {}
    }
}

const fn json(value: &FieldValue) -> u8 {
    match value {
        FieldValue::Text(_) => 0,
        FieldValue::Json(_) => JSON,
    }
}

fn value_of(mut entry: Entry<'_>) -> FieldValue {
    match entry.kind & JSON {
        0 => FieldValue::Text(entry.text().into()),
        _ => FieldValue::Json(entry.text().into()),
    }
}

/// The name of a record or alias.
fn name_at(tape: &Tape, at: At) -> &[u8] {
    let mut entry = tape.read(at);
    entry.number();
    if entry.kind != RECORD {
        entry.number();
    }
    read_place(&mut entry);
    entry.text()
}

fn write_place(out: &mut Vec<u8>, place: Place) {
    tape::number(out, place.reading);
    tape::number(out, place.start);
    tape::number(out, place.end.wrapping_sub(place.start));
}

fn read_place(entry: &mut Entry<'_>) -> Place {
    let reading = entry.number();
    let start = entry.number();
    let end = start.wrapping_add(entry.number());
    Place {
        reading,
        start,
        end,
    }
}

/// The number of the last record that had a field, by the field's index.
#[derive(Default)]
struct Seen {
    fields: Vec<u32>,
    number: u32,
}

impl Seen {
    /// Keeps the last one of each field.
    fn keep_last(&mut self, fields: &mut Vec<FieldDef>) {
        self.number += 1;
        keep_last(fields, self.number, &mut self.fields);
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
