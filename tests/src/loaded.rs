//! What our loader makes of files, in the words of the oracle that asks EPICS Base (`peers/db_oracle.py`).

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use ca_server_sim::load::dbd::{FieldSpec, FieldType, RecordTypeSpec};
use ca_server_sim::load::value::{self, Setting};
use ca_server_sim::load::{Dbd, Disk, FieldDef, InfoDef, Loaded, Loader, RecordDef};

use crate::oracle::hex;
use crate::peer::Python;

/// The directory of the `.dbd` files that come with the peers.
///
/// # Panics
/// If the peers have none.
pub fn dbd_directory(python: &Python) -> PathBuf {
    let script = "import epicscorelibs.path as p, os; print(os.path.join(p.base_path, 'dbd'))";
    let output = Command::new(python.program())
        .args(["-c", script])
        .output()
        .expect("Python runs");
    let text = String::from_utf8(output.stdout).expect("a path");
    let path = PathBuf::from(text.trim());
    assert!(path.join("base.dbd").exists(), "{}", path.display());
    path
}

/// The record types of EPICS Base, read from its own files by our loader.
///
/// # Panics
/// If they are not read without a mistake.
pub fn base_types(directory: &Path) -> Dbd {
    let mut loader = Loader::new(&Disk).directory(directory.to_string_lossy());
    loader.dbd("base.dbd", "");
    let loaded = loader.finish();
    assert!(loaded.mistakes.is_empty(), "{}", loaded.mistakes);
    assert!(loaded.dbd.types().len() > 30);
    loaded.dbd
}

/// Everything that was loaded, as the oracle tells it.
pub fn words(loaded: &Loaded) -> String {
    let mut out = String::new();
    for (index, spec) in loaded.dbd.types().iter().enumerate() {
        for record in loaded.records.iter() {
            if record.type_index == index {
                tell(&mut out, &loaded.dbd, spec, &record);
            }
        }
    }
    out
}

fn tell(out: &mut String, dbd: &Dbd, spec: &RecordTypeSpec, record: &RecordDef) {
    let _ = write!(out, " R:{}:{}", hex(&record.name), spec.name);
    for (index, field) in spec.fields.iter().enumerate().skip(1) {
        let set = record
            .fields
            .iter()
            .rposition(|one| usize::from(one.index) == index);
        let default = default(dbd, spec, field);
        let mut now = match set {
            Some(at) => in_words(dbd, spec, field, record.fields[at].value.bytes()),
            None => default.clone(),
        };
        // Setting a value clears UDF.
        let value = record.fields.iter().rposition(|one| &*one.name == "VAL");
        if &*field.name == "UDF" && value > set {
            now = Some("0".into());
        }
        if now != default {
            let _ = write!(out, " F:{}:{}", field.name, now.unwrap_or_default());
        }
    }
    infos(out, 'I', &record.infos);
    for alias in &record.aliases {
        let _ = write!(out, " A:{}", hex(&alias.name));
        infos(out, 'J', &alias.infos);
    }
}

fn infos(out: &mut String, letter: char, infos: &[InfoDef]) {
    for info in infos {
        let (name, value) = (hex(&info.name), hex(info.value.bytes()));
        let _ = write!(out, " {letter}:{name}:{value}");
    }
}

fn default(dbd: &Dbd, spec: &RecordTypeSpec, field: &FieldSpec) -> Option<String> {
    in_words(
        dbd,
        spec,
        field,
        field.initial.as_deref().unwrap_or_default(),
    )
}

/// A field's value; `None` for fields that files cannot set.
fn in_words(dbd: &Dbd, spec: &RecordTypeSpec, field: &FieldSpec, text: &[u8]) -> Option<String> {
    if field.kind.is_link() {
        return Some(hex(text));
    }
    let digits = |bytes: &[u8]| hex(bytes);
    match value::read(dbd, spec, field, text) {
        Ok(Setting::Text(text)) => Some(hex(text)),
        Ok(Setting::Integer(value)) => Some(value.to_string()),
        Ok(Setting::Unsigned(value)) => Some(value.to_string()),
        Ok(Setting::Choice(value)) => Some(value.to_string()),
        Ok(Setting::Real(value)) if field.kind == FieldType::Float => {
            Some(digits(&(value as f32).to_le_bytes()))
        }
        Ok(Setting::Real(value)) => Some(digits(&value.to_le_bytes())),
        // Of an initial value that is none; nothing else gets here.
        _ => (field.kind != FieldType::NoAccess).then(|| match field.kind {
            FieldType::String => "-".into(),
            _ => "0".into(),
        }),
    }
}

/// Whether a field was set at all; for tests that look at one.
pub fn field(loaded: &Loaded, record: &str, name: &str) -> Option<FieldDef> {
    loaded.records.get(record)?.field(name).cloned()
}
