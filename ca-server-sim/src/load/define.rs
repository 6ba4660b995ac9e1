//! What defining records, fields and aliases does (`dbLexRoutines.c` and `dbStaticLib.c` of EPICS Base).

use super::bounds::MAX_MISTAKES;
use super::loader::Loader;
use super::mistakes::MistakeKind;
use super::parser::Name;
use super::records::{FieldValue, Named};
use super::source::{Place, shown};
use super::value::{self, closest, did_you_mean};
use crate::slip::Weight;

const ERROR: Weight = Weight::Error;
const WARNING: Weight = Weight::Warning;

/// Bytes of an attribute, the final 0 included (`MAX_STRING_SIZE`).
const ATTRIBUTE: usize = 40;

/// Why a field is not set.
pub(super) struct Refusal {
    pub(super) kind: MistakeKind,
    /// Where, if not at the value.
    pub(super) place: Option<Place>,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// The index of the record whose body follows; whether it was named by an alias is in [`Loader::target`].
type Target = usize;

impl Loader<'_> {
    /// Begins a record: finds the one that is meant, or makes it. `None` if what its body says does not count.
    pub(super) fn record_head(
        &mut self,
        kind: &Name,
        name: &Name,
        visible: bool,
    ) -> Option<Target> {
        let place = name.place?;
        if !self.is_name(name) {
            return None;
        }
        let known = self.records.find(&name.text);
        match (&*kind.text, known) {
            (b"*", Some(named)) => self.target(named),
            (b"*", None) => {
                let message = format!("there is no record `{}` to add to", shown(&name.text));
                let remedy = self.nearest_record(&name.text);
                self.report((ERROR, MistakeKind::UnknownRecord), place, message, remedy);
                None
            }
            (b"#", Some(named)) => {
                self.records.delete(named);
                None
            }
            (b"#", None) => {
                let message = format!("there is no record `{}` to delete", shown(&name.text));
                let remedy = self.nearest_record(&name.text);
                self.report(
                    (WARNING, MistakeKind::UnknownRecord),
                    place,
                    message,
                    remedy,
                );
                None
            }
            (_, known) => self.define(kind, name, known, visible),
        }
    }

    fn define(
        &mut self,
        kind: &Name,
        name: &Name,
        known: Option<Named>,
        visible: bool,
    ) -> Option<Target> {
        let place = name.place?;
        let known_type = self.dbd.find_type(&kind.text);
        let Some(type_index) = known_type.or_else(|| self.hold_type(kind)) else {
            self.unknown_type(kind, &name.text);
            return None;
        };
        if let Some(named) = known {
            let record = named.record;
            if self.records.type_index(record) != type_index {
                let (name, old, new) = (
                    shown(&name.text),
                    self.records.type_name(record),
                    shown(&kind.text),
                );
                let before = self.mistakes.sources.locate(self.records.place(record));
                let message =
                    format!("record `{name}` of type {old} is defined again with type {new}");
                let remedy = format!(
                    "it is defined at {before}; take another name, or the same type to add fields"
                );
                self.report((ERROR, MistakeKind::Duplicate), place, message, remedy);
                return None;
            }
            if visible {
                self.records.make_visible(record);
            }
            // As far as anybody would read of them.
            if self.records.again.len() < MAX_MISTAKES {
                self.records.again.push((named.record, place));
            }
            return self.target(named);
        }
        let spec = &self.dbd.types()[type_index];
        let room = spec.fields.first().filter(|field| &*field.name == "NAME");
        let room = room
            .and_then(|field| usize::try_from(field.size).ok())
            .unwrap_or(0);
        if name.text.len() >= room {
            let (length, most) = (name.text.len(), room.saturating_sub(1));
            let message = match room {
                0 => format!("record type {} has no NAME as its first field", spec.name),
                _ => format!(
                    "the name of record `{}` has {length} bytes; {most} are possible",
                    shown(&name.text)
                ),
            };
            self.report((ERROR, MistakeKind::Name), place, message, "");
            return None;
        }
        if !self.room_for_name(place) {
            return None;
        }
        let spec = &self.dbd.types()[type_index];
        let of = (type_index, &**spec);
        let record = self.records.define(of, &name.text, visible, place);
        let named = Named {
            record,
            alias: None,
        };
        self.target(named)
    }

    /// Remembers whose body follows.
    fn target(&mut self, named: Named) -> Option<Target> {
        self.target = named;
        Some(named.record)
    }

    fn unknown_type(&mut self, kind: &Name, name: &[u8]) {
        let text = String::from_utf8_lossy(&kind.text);
        let message = format!(
            "record `{}` has the unknown type `{}`",
            shown(name),
            shown(&kind.text)
        );
        let known = self.dbd.types().iter().map(|one| &*one.name);
        let remedy = match self
            .mistakes
            .has_room()
            .then(|| closest(&text, known))
            .flatten()
        {
            Some(near) => {
                format!("did you mean `{near}`? Types of your own come from a `.dbd` file")
            }
            None if self.dbd.types().is_empty() => {
                "no record types are known: read a `.dbd` file first".into()
            }
            None => "read the `.dbd` file that describes it first, or hold what is unknown (--hold-unknown)".into(),
        };
        self.report(
            (ERROR, MistakeKind::UnknownType),
            kind.place,
            message,
            remedy,
        );
    }

    fn room_for_name(&mut self, place: Place) -> bool {
        self.names += 1;
        let most = self.bounds.records;
        if self.names > most {
            self.full(
                place,
                format!("more than {most} records and aliases are defined"),
            );
        }
        self.names <= most
    }

    /// Whether a name may be one (`dbRecordNameValidate`); tells what is wrong with it.
    fn is_name(&mut self, name: &Name) -> bool {
        let place = name.place;
        let kind = MistakeKind::Name;
        let text = &name.text;
        let Some(&first) = text.first() else {
            self.report(
                (ERROR, kind),
                place,
                "the name of a record or alias is empty",
                "",
            );
            return false;
        };
        let cannot = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'.' | b'$');
        if let Some(&bad) = text.iter().find(|byte| cannot(byte)) {
            let message = format!(
                "the name `{}` has the character `{}`",
                shown(text),
                shown(&[bad])
            );
            let remedy = match bad {
                b'.' => "a dot separates record and field; take another character",
                b'$' => {
                    "a macro that is not defined? names cannot have blanks, quotes, dots and `$`"
                }
                _ => "names cannot have blanks, quotes, dots and `$`",
            };
            self.report((ERROR, kind), place, message, remedy);
            return false;
        }
        if matches!(first, b'-' | b'+' | b'[' | b'{') {
            let message = format!(
                "the name `{}` begins with `{}`",
                shown(text),
                char::from(first)
            );
            self.report(
                (WARNING, kind),
                place,
                message,
                "in links it looks like something else",
            );
        }
        if let Some(byte) = text.iter().find(|&&byte| byte < b' ') {
            let message = format!(
                "the name `{}` has the byte 0x{byte:02x}, which cannot be printed",
                shown(text)
            );
            self.report((WARNING, kind), place, message, "");
        }
        true
    }

    /// A name like this one, as a remedy.
    fn nearest_record(&self, name: &[u8]) -> String {
        /// Names that are compared: a facility has too many.
        const MOST: usize = 2000;
        if !self.mistakes.has_room() {
            return String::new();
        }
        let wanted = String::from_utf8_lossy(name);
        let names = self.records.last_names().take(MOST);
        did_you_mean(closest(
            &wanted,
            names.filter_map(|name| std::str::from_utf8(name).ok()),
        ))
    }

    /// Sets a field, and says what is odd about the value (`dbRecordField`).
    pub(super) fn set_field(
        &mut self,
        record: Target,
        name: &Name,
        value: FieldValue,
        place: Place,
    ) -> Result<Option<(String, String)>, Refusal> {
        if self.held.is_some() {
            let type_index = self.records.type_index(record);
            self.hold_field(type_index, name.text.trim_ascii(), value.bytes(), place);
        }
        let spec = &self.dbd.types()[self.records.type_index(record)];
        let record_name = self.records.name(record);
        let refuse = |place, kind, message, remedy| Refusal {
            kind,
            place,
            message,
            remedy,
        };
        let unknown = MistakeKind::UnknownField;
        let index = match value::find_field(spec, &name.text) {
            Some(index) => index,
            // Attributes of the type, not of the record.
            None if is_attribute(&name.text) => {
                let text = value.bytes();
                if text.len() >= ATTRIBUTE || value::has_macro(text) {
                    let message = format!("`{}` cannot be set to this", shown(&name.text));
                    return Err(refuse(None, unknown, message, "leave it out".into()));
                }
                let message = format!(
                    "`{}` belongs to the record type and is left as it is",
                    shown(&name.text)
                );
                return Ok(Some((message, "leave it out".into())));
            }
            None => {
                let message = format!(
                    "record `{}` of type {} has no field `{}`",
                    shown(record_name),
                    spec.name,
                    shown(&name.text)
                );
                let text = String::from_utf8_lossy(&name.text);
                let known = spec.fields.iter().map(|field| &*field.name);
                let near = self
                    .mistakes
                    .has_room()
                    .then(|| closest(&text, known))
                    .flatten();
                let near = near.and_then(|near| spec.field(near));
                let remedy = near.map_or_else(String::new, |near| match near.prompt.is_empty() {
                    true => format!("did you mean `{}`?", near.name),
                    false => format!(
                        "did you mean `{}` ({})?",
                        near.name,
                        shown(near.prompt.as_bytes())
                    ),
                });
                return Err(refuse(name.place, unknown, message, remedy));
            }
        };
        let field = &spec.fields[usize::from(index)];
        if index == 0 {
            let message = format!(
                "the name of record `{}` cannot be set as a field",
                shown(record_name)
            );
            return Err(refuse(name.place, unknown, message, String::new()));
        }
        let text = value.bytes();
        let problem = |problem: value::Problem| {
            let (message, remedy) = problem.told(&self.dbd, spec, field, text, record_name);
            let kind = match field.kind.is_link() {
                true => MistakeKind::Link,
                false => MistakeKind::Value,
            };
            refuse(None, kind, message, remedy)
        };
        let setting = value::read(&self.dbd, spec, field, text).map_err(problem)?;
        let odd = value::odd(&self.dbd, spec, field, text, &setting, record_name);
        self.records.add_field(record, (index, spec), &value, place);
        Ok(odd)
    }

    /// Sets an item (`dbRecordInfo`).
    pub(super) fn set_info(
        &mut self,
        record: Target,
        name: &[u8],
        value: FieldValue,
        place: Place,
    ) {
        let named = Named {
            record,
            ..self.target
        };
        self.records.add_info(named, name, &value, place);
    }

    /// `alias("NAME")` in the body of a record.
    pub(super) fn record_alias(&mut self, target: Option<Target>, name: &Name) {
        if self.is_name(name)
            && let Some(record) = target
        {
            self.add_alias(record, name);
        }
    }

    /// `alias("RECORD", "NAME")`.
    pub(super) fn alias(&mut self, record: &Name, name: &Name) {
        if !self.is_name(name) || !self.is_name(record) {
            return;
        }
        match self.records.find(&record.text) {
            Some(named) => self.add_alias(named.record, name),
            None => {
                let message = format!(
                    "alias `{}` is to be another name of record `{}`, which does not exist",
                    shown(&name.text),
                    shown(&record.text)
                );
                let near = self.nearest_record(&record.text);
                let remedy = match near.is_empty() {
                    true => "an alias has to follow on its record".into(),
                    false => near,
                };
                self.report(
                    (ERROR, MistakeKind::UnknownRecord),
                    record.place,
                    message,
                    remedy,
                );
            }
        }
    }

    fn add_alias(&mut self, record: usize, name: &Name) {
        let Some(place) = name.place else { return };
        if let Some(other) = self.records.find(&name.text) {
            // Saying it again changes nothing.
            if other.record == record && other.alias.is_some() {
                return;
            }
            let before = self
                .mistakes
                .sources
                .locate(self.records.place(other.record));
            let message = format!(
                "`{}` cannot become an alias: there is a record or alias of this name",
                shown(&name.text)
            );
            let remedy = format!("the record is defined at {before}");
            self.report((ERROR, MistakeKind::Duplicate), place, message, remedy);
            return;
        }
        if !self.room_for_name(place) {
            return;
        }
        self.records.add_alias(record, &name.text, place);
    }
}

/// What is wrong with the name of a record that is given while an IOC runs.
pub(crate) fn bad_name(name: &str) -> Option<&'static str> {
    let cannot =
        |byte: u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'.' | b'$') || byte < b' ';
    name.bytes().any(cannot).then_some(
        "the name of a record has no blanks, quotes, dots, `$` or control characters; remove them",
    )
}

/// Whether a name is that of an attribute (`dbGetAttributePart`), which belongs to the type.
fn is_attribute(name: &[u8]) -> bool {
    let blank = name.iter().position(u8::is_ascii_whitespace);
    matches!(&name[..blank.unwrap_or(name.len())], b"RTYP" | b"VERS")
}
