//! Record types, fields and devices that no `.dbd` file describes, where records are to hold their values all the same.
//!
//! The reference refuses them. Who has the files of an IOC and not its `.dbd` wants its PVs nevertheless.

use std::sync::Arc;

use hashbrown::HashSet;

use super::bounds::{MAX_HELD_DEVICES, MAX_HELD_FIELDS, MAX_HELD_TYPES};
use super::dbd::{Device, FieldSpec, FieldType, LinkType, RecordTypeSpec, Special};
use super::loader::Loader;
use super::mistakes::MistakeKind;
use super::number;
use super::parser::Name;
use super::records::RecordDef;
use super::source::{Place, shown};
use super::value::has_macro;
use crate::slip::Weight;

/// Bytes of a text field that nobody has described, the final 0 included.
const TEXT: i16 = 1024;
/// Characters of the longest name of a record type or field.
const MAX_NAME: usize = 60;

/// What was made up, by its place in the types.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    types: HashSet<usize>,
    /// Type and number of each device.
    devices: HashSet<(usize, u16)>,
    /// The fields with which all types began when the first was made up.
    shared: Option<Vec<FieldSpec>>,
}

impl Loader<'_> {
    /// Record types, fields of such types, and devices that no `.dbd` file describes are no mistakes: each is told once
    /// as a warning, and records hold what files and clients write. Such a type has the fields that all types share,
    /// `VAL`, and those that files set: numbers as DOUBLE, all else as text.
    #[must_use]
    pub fn hold_unknown(mut self) -> Self {
        self.held.get_or_insert_default();
        self
    }

    /// The index of a type that is made up, if there may be one of this name.
    pub(super) fn hold_type(&mut self, kind: &Name) -> Option<usize> {
        let held = self.held.as_mut()?;
        let types = self.dbd.types();
        let shared = held
            .shared
            .get_or_insert_with(|| shared_fields(types).to_vec());
        if held.types.len() >= MAX_HELD_TYPES || !is_identifier(&kind.text) || shared.is_empty() {
            return None;
        }
        let name = String::from_utf8_lossy(&kind.text);
        let mut fields = shared.clone();
        if fields.iter().all(|field| &*field.name != "VAL") {
            fields.push(unknown_field("VAL", FieldType::Double));
        }
        self.dbd.add_type(RecordTypeSpec::new(&*name, fields));
        let index = self.dbd.find_type(&kind.text)?;
        let message = format!("no `.dbd` file describes record type `{name}`");
        let remedy = "its records hold what files and clients write, and do nothing";
        self.report(
            (Weight::Warning, MistakeKind::UnknownType),
            kind.place,
            message,
            remedy,
        );
        self.held.as_mut()?.types.insert(index);
        Some(index)
    }

    /// Makes up what a field needs so that it takes the text: the field of a type that is made up, or the device.
    pub(super) fn hold_field(&mut self, type_index: usize, name: &[u8], text: &[u8], place: Place) {
        let Some(held) = &self.held else { return };
        let is_made_up = held.types.contains(&type_index);
        let Some(spec) = self.dbd.type_mut(type_index) else {
            return;
        };
        let Some(index) = spec.find_bytes(name) else {
            let has_room = spec.fields.len() < MAX_HELD_FIELDS;
            if is_made_up && has_room && is_identifier(name) {
                let kind = match number::real(text) {
                    Ok(_) => FieldType::Double,
                    Err(_) => FieldType::String,
                };
                spec.add_field(unknown_field(&String::from_utf8_lossy(name), kind));
            }
            return;
        };
        let kind = spec.fields[usize::from(index)].kind;
        let is_number = text.is_empty() || number::real(text).is_ok();
        match kind {
            // The text of a later record shows that the numbers before were texts.
            FieldType::Double if is_made_up && !is_number => {
                let field = &mut spec.fields[usize::from(index)];
                *field = unknown_field(&field.name, FieldType::String);
            }
            FieldType::Device if spec.device(text).is_none() && !is_number => {
                self.hold_device(type_index, text, place);
            }
            _ => {}
        }
    }

    fn hold_device(&mut self, type_index: usize, choice: &[u8], place: Place) {
        let (Some(held), Some(spec)) = (&mut self.held, self.dbd.type_mut(type_index)) else {
            return;
        };
        let is_text = !choice.is_empty() && !has_macro(choice);
        if held.devices.len() >= MAX_HELD_DEVICES || !is_text {
            return;
        }
        spec.add_device(Device {
            choice: choice.into(),
            support: Box::default(),
            link: LinkType::InstIo,
        });
        let Some(device) = spec.device(choice) else {
            return;
        };
        held.devices.insert((type_index, device));
        let message = format!(
            "no `.dbd` file describes device `{}` of record type {}",
            shown(choice),
            spec.name
        );
        let remedy =
            "its records do what their type does; they read no hardware, and write to none";
        self.report(
            (Weight::Warning, MistakeKind::Value),
            place,
            message,
            remedy,
        );
    }

    /// Devices that are made up take links as the first record that has one writes it: one look at each record.
    pub(super) fn settle_held(&mut self) {
        let Some(held) = &self.held else { return };
        let mut open = held.devices.clone();
        for record in self.records.iter() {
            if open.is_empty() {
                break;
            }
            let Some(spec) = self.dbd.type_mut(record.type_index) else {
                continue;
            };
            let choice = record.field("DTYP").map(|field| field.value.bytes());
            let device = choice.and_then(|choice| spec.device(choice));
            let Some((device, link)) = device.zip(link_of(&record)) else {
                continue;
            };
            if open.remove(&(record.type_index, device)) {
                spec.devices[usize::from(device)].link = link;
            }
        }
    }
}

/// How a record writes its INP or OUT, if it does.
fn link_of(record: &RecordDef) -> Option<LinkType> {
    let link = record.field("INP").or_else(|| record.field("OUT"))?;
    match link.value.bytes().trim_ascii_start().first()? {
        b'@' => Some(LinkType::InstIo),
        b'#' => Some(LinkType::VmeIo),
        _ => Some(LinkType::Constant),
    }
}

/// The fields with which all record types begin.
fn shared_fields(types: &[Arc<RecordTypeSpec>]) -> &[FieldSpec] {
    let Some((first, others)) = types.split_first() else {
        return &[];
    };
    let is_shared = |(at, field): &(usize, &FieldSpec)| {
        others.iter().all(|other| {
            let same = other.fields.get(*at);
            same.is_some_and(|same| same.name == field.name && same.kind == field.kind)
        })
    };
    let count = first
        .fields
        .iter()
        .enumerate()
        .take_while(is_shared)
        .count();
    &first.fields[..count]
}

fn unknown_field(name: &str, kind: FieldType) -> FieldSpec {
    FieldSpec {
        name: name.into(),
        kind,
        prompt: Box::default(),
        promptgroup: Box::default(),
        size: if kind == FieldType::String { TEXT } else { 0 },
        menu: None,
        initial: None,
        asl: 0,
        special: Special::None,
        pp: name == "VAL",
        prop: false,
        interest: 0,
        is_hex: false,
        extra: Box::default(),
    }
}

/// Whether a name is one that a `.dbd` file could have.
fn is_identifier(name: &[u8]) -> bool {
    name.len() <= MAX_NAME
        && name.first().is_some_and(u8::is_ascii_alphabetic)
        && name
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
