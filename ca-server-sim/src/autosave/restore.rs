//! Taking values over from a save file.

use ca_proto::text::Shown;

use super::file::{SaveFile, SavedValue};
use crate::ioc::Ioc;
use crate::process::Records;
use crate::record::{Array, Conversion, Dbf, Val};

/// When values are restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// Before records are initialized: what configures them, links among it.
    Before,
    /// Afterwards, before anything is processed: values, and arrays.
    After,
}

/// A save file that is to be restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restore {
    /// When.
    pub pass: Pass,
    /// Its name, for what is said about it.
    pub name: String,
    /// What it has.
    pub file: SaveFile,
}

/// Remarks on one file.
const MAX_SAID: usize = 50;

impl Ioc {
    /// Restores values: those of [`Pass::Before`] at once, those of [`Pass::After`] when the IOC
    /// [starts](Self::start). What could not be restored is told by [`take_restored`](Self::take_restored); the rest
    /// goes on. To be called before the start.
    pub fn restore_at_start(&mut self, restore: Restore) {
        self.keep_first();
        self.first.note(&restore);
        self.restore_next(restore);
    }

    pub(crate) fn restore_next(&mut self, restore: Restore) {
        let Some(served) = &mut self.db.served else {
            return;
        };
        match restore.pass {
            Pass::Before => served.records.restore(&restore),
            Pass::After => served.records.restores.push(restore),
        }
    }

    /// Lines about what was restored since this was asked last, and what was not.
    pub fn take_restored(&mut self) -> Vec<String> {
        let served = self.db.served.as_mut();
        served.map_or_else(Vec::new, |served| {
            std::mem::take(&mut served.records.restored)
        })
    }

    /// Writes the values of a save file while the IOC serves: as clients would, with processing (`fdbrestore` of the
    /// module). Lines about what was not written.
    pub fn restore_now(
        &mut self,
        now: ca_proto::Instant,
        name: &str,
        file: &SaveFile,
    ) -> Vec<String> {
        let mut said = Vec::new();
        let stamp = self.stamp(now);
        for saved in &file.entries {
            let Some(served) = &mut self.db.served else {
                break;
            };
            let records = &mut served.records;
            records.set_time(now, stamp);
            let written = match target(records, &saved.name) {
                None => Err("there is no such field".to_owned()),
                Some((id, field)) => {
                    let val = written(records, id, field, &saved.value);
                    val.and_then(|val| {
                        records
                            .put(id, field, val)
                            .map_err(|error| error.to_string())
                    })
                }
            };
            if let Err(why) = written {
                tell(&mut said, name, saved.line, &saved.name, &why);
            }
            self.settle(now);
        }
        said
    }
}

fn tell(said: &mut Vec<String>, file: &str, line: usize, name: &str, why: &str) {
    if said.len() < MAX_SAID {
        let what = format_args!("{file}:{line}: {name} is not restored: {why}");
        said.push(Shown(what).to_string());
    }
}

/// The field of a name, which may be a long string.
fn target(records: &Records, name: &str) -> Option<(u32, u16)> {
    let name = name.strip_suffix('$').unwrap_or(name);
    records.find_field(name)
}

fn written(records: &Records, id: u32, field: u16, value: &SavedValue) -> Result<Val, String> {
    let shape = records.shape(id, field).filter(|shape| shape.capacity > 1);
    match (value, shape) {
        (SavedValue::Array(all), _) => elements(records, id, field, all),
        (SavedValue::Scalar(text), Some(_)) if text.is_empty() => elements(records, id, field, &[]),
        (SavedValue::Scalar(text), Some(_)) => {
            elements(records, id, field, std::slice::from_ref(text))
        }
        (SavedValue::Scalar(text), None) => Ok(match records.dbf(id, field) {
            // Choices are saved as their numbers.
            Dbf::Menu | Dbf::Enum | Dbf::Device => {
                match String::from_utf8_lossy(text).trim().parse() {
                    Ok(number) => Val::Enum(number),
                    Err(_) => Val::text(text),
                }
            }
            _ => Val::text(text),
        }),
    }
}

/// Elements of an array; a text that is one for characters.
fn elements(records: &Records, id: u32, field: u16, all: &[Box<[u8]>]) -> Result<Val, String> {
    let shape = records.shape(id, field).ok_or("the field is no array")?;
    let texts = all.iter().map(|text| {
        // A text has its blanks, a number that is missing is 0.
        let text = match shape.dbf {
            Dbf::String => &**text,
            _ if text.trim_ascii().is_empty() => &b"0"[..],
            _ => text.trim_ascii(),
        };
        Val::text(text)
    });
    Array::collect(texts, shape.dbf, shape.capacity, &Conversion::PLAIN)
        .map(Val::from)
        .map_err(|error| error.to_string())
}

impl Records {
    /// Restores values of records that are not started.
    pub(crate) fn restore(&mut self, restore: &Restore) {
        let (mut done, mut said) = (0_usize, Vec::new());
        for saved in &restore.file.entries {
            let result = match target(self, &saved.name) {
                None => Err(missing(self, &saved.name)),
                Some((id, field)) => self.restore_field(id, field, restore.pass, &saved.value),
            };
            match result {
                Ok(restored) => done += usize::from(restored),
                Err(why) => tell(&mut said, &restore.name, saved.line, &saved.name, &why),
            }
        }
        let pass = match restore.pass {
            Pass::Before => 0,
            Pass::After => 1,
        };
        let of = restore.file.entries.len();
        self.restored.push(format!(
            "{}: {done} of {of} fields restored in pass {pass}",
            restore.name
        ));
        self.restored.append(&mut said);
    }

    /// Whether it is one for this pass.
    fn restore_field(
        &mut self,
        id: u32,
        field: u16,
        pass: Pass,
        value: &SavedValue,
    ) -> Result<bool, String> {
        let of = self.type_of(id).clone();
        let info = of.field(field);
        let is_array = matches!(value, SavedValue::Array(_))
            || self
                .shape(id, field)
                .is_some_and(|shape| shape.capacity > 1);
        if is_array || info.dbf == Dbf::NoAccess {
            // Arrays have no room before.
            if pass == Pass::Before {
                return Ok(false);
            }
            let val = written(self, id, field, value)?;
            self.restore_val(id, field, &val)
                .map_err(|error| error.to_string())?;
            return Ok(true);
        }
        let SavedValue::Scalar(text) = value else {
            return Ok(false);
        };
        if info.dbf.is_link() && pass == Pass::After {
            return Ok(false);
        }
        let text = match (info.dbf, info.special) {
            // An expression is not empty.
            (Dbf::String, crate::record::Special::Calc) if text.is_empty() => &b"0"[..],
            _ => text,
        };
        let result = match std::str::from_utf8(text) {
            Ok(text) => self.set_field(id, &info.name, text),
            Err(_) => self.set_bytes(id, &info.name, text),
        };
        result.map(|()| true).map_err(|error| error.to_string())
    }
}

/// Why a name means nothing.
fn missing(records: &Records, name: &str) -> String {
    let (record, field) = name.split_once('.').unwrap_or((name, "VAL"));
    match records.find(record) {
        None => "this IOC has no such record".to_owned(),
        Some(id) => format!(
            "record type {} has no field {field}",
            records.type_of(id).name
        ),
    }
}
