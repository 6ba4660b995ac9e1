//! Snapshots in TOML files.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ca_client::{AlarmSeverity, Timestamp};
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Saved, SavedMember, Snapshot};
use crate::group::{Group, Member, read_file};
use crate::mistakes::{Mistakes, Table, number, parse};

/// The form of the file.
const FORMAT: i32 = 1;
const KEYS: &[&str] = &["format", "group", "taken", "member"];
const MEMBER_KEYS: &[&str] = &[
    "pv",
    "name",
    "tolerance",
    "order",
    "value",
    "label",
    "error",
    "time",
    "severity",
];

/// Why a snapshot cannot be written to a file, or had from it.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum SnapshotFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file cannot be written; what was there before is there still.
    #[error(
        "cannot write {}: {reason}; what was there is as before: check the folder, its permissions and the \
         room on the disk",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// What is in it makes no snapshot.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

impl Snapshot {
    /// Writes it to a file, whole or not at all: beside the file first, then in its place.
    ///
    /// # Errors
    /// [`SnapshotFileError::Write`]; what was there before is there still.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SnapshotFileError> {
        let path = path.as_ref();
        replace(path, self.to_toml().as_bytes()).map_err(|error| SnapshotFileError::Write {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Reads it from a file of at most 64 MiB.
    ///
    /// # Errors
    /// [`SnapshotFileError`]: all mistakes, each with its line and what to do about it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SnapshotFileError> {
        let path = path.as_ref();
        let text = read_file(path).map_err(|reason| SnapshotFileError::Read {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self::from_toml(&path.display().to_string(), &text)?)
    }

    /// The text of its file.
    pub fn to_toml(&self) -> String {
        let mut out = String::from("# Values of a group of PVs at a moment.\n");
        // Writing to a string does not fail.
        let _ = writeln!(out, "format = {FORMAT}\ngroup = {}", quoted(&self.group));
        let _ = writeln!(out, "taken = {}", quoted(&stamp(self.taken)));
        for saved in &self.members {
            let member = &saved.member;
            let _ = writeln!(out, "\n[[member]]\npv = {}", quoted(&member.pv));
            if member.name != member.pv {
                let _ = writeln!(out, "name = {}", quoted(&member.name));
            }
            if member.tolerance != 0.0 {
                let _ = writeln!(out, "tolerance = {}", real(member.tolerance));
            }
            if member.order != 0 {
                let _ = writeln!(out, "order = {}", member.order);
            }
            let _ = match &saved.value {
                Err(error) => writeln!(out, "error = {}", quoted(error)),
                Ok(value) => write_value(&mut out, value),
            };
            if !saved.timestamp.is_undefined() {
                let _ = writeln!(out, "time = {}", quoted(&stamp(saved.timestamp)));
            }
            if saved.severity != AlarmSeverity::NO_ALARM {
                let _ = writeln!(out, "severity = {}", saved.severity.0);
            }
        }
        out
    }

    /// Reads it from the text of a file; `origin` is its name in messages.
    ///
    /// # Errors
    /// [`Mistakes`].
    pub fn from_toml(origin: &str, text: &str) -> Result<Self, Mistakes> {
        let mut found = Mistakes::new(origin, text);
        let file = parse(&mut found, text);
        let root = Table::new(
            &mut found,
            "the file".to_owned(),
            0..0,
            file.get_ref(),
            KEYS,
        );
        match root.integer(&mut found, "format") {
            Some(FORMAT) => {}
            Some(format) => {
                let message =
                    format!("the file is of format {format}, this program reads {FORMAT}");
                found.add(0..0, message, "take a newer program, or another file");
            }
            None => {
                let remedy = "give a file that was written by a snapshot";
                found.add(0..0, "the file is no snapshot, it has no `format`", remedy);
            }
        }
        let group = root
            .text(&mut found, "group")
            .map_or_else(String::new, |it| it.0);
        let taken = time(&mut found, &root, "taken");
        // Names and tolerances are held to what a group is held to.
        let mut known = Group::new(&group);
        let mut members = Vec::new();
        for (table, span) in root.tables(&mut found, "member") {
            members.extend(read_member(&mut found, &mut known, table, span));
        }
        found.or(Self {
            group,
            taken,
            members,
        })
    }
}

fn write_value(out: &mut String, value: &Saved) -> std::fmt::Result {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match value {
        Saved::Number(number) => writeln!(out, "value = {}", real(*number)),
        Saved::Numbers(all) => {
            let items = all.iter().map(|&number| real(number)).collect();
            writeln!(out, "value = {}", list(items))
        }
        Saved::Text(text) => writeln!(out, "value = {}", quoted(text)),
        Saved::Texts(all) => {
            let items = all.iter().map(|text| quoted(text)).collect();
            writeln!(out, "value = {}", list(items))
        }
        Saved::State { index, label } => {
            let label = label.as_deref().unwrap_or_default();
            writeln!(out, "value = {index}\nlabel = {}", quoted(label))
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn real(number: f64) -> String {
    toml::Value::from(number).to_string()
}

/// Seconds since 1970 with nanoseconds.
fn stamp(time: Timestamp) -> String {
    let unix = time.to_unix();
    format!("{}.{:09}", unix.as_secs(), unix.subsec_nanos())
}

fn time(found: &mut Mistakes, table: &Table<'_>, key: &str) -> Timestamp {
    let Some((text, span)) = table.text(found, key) else {
        return Timestamp::UNDEFINED;
    };
    let parsed = text.split_once('.').and_then(|(secs, nanos)| {
        let nanos = (nanos.len() == 9).then(|| nanos.parse().ok())??;
        Some(Timestamp::from_unix(secs.parse().ok()?, nanos))
    });
    parsed.unwrap_or_else(|| {
        let message = format!("{}: `{key}` is no time", table.name);
        found.add(
            span,
            message,
            "write seconds since 1970 as \"1700000000.000000000\"",
        );
        Timestamp::UNDEFINED
    })
}

fn read_member(
    found: &mut Mistakes,
    known: &mut Group,
    table: &DeTable<'_>,
    span: Range<usize>,
) -> Option<SavedMember> {
    let table = Table::new(found, "a member".to_owned(), span, table, MEMBER_KEYS);
    let Some((pv, _)) = table.text(found, "pv") else {
        found.add(table.span, "a member has no PV", "write pv = \"NAME\"");
        return None;
    };
    let mut member = Member::new(&pv);
    if let Some((name, _)) = table.text(found, "name") {
        member.name = name;
    }
    if let Some((tolerance, _)) = table.number(found, "tolerance") {
        member.tolerance = tolerance;
    }
    member.order = table.integer(found, "order").unwrap_or(0);
    if let Err(error) = known.add(member.clone()) {
        found.add(
            table.span.clone(),
            error.to_string(),
            "correct the member, or leave it out",
        );
        return None;
    }
    let label = table.text(found, "label").map(|it| it.0);
    let error = table.text(found, "error").map(|it| it.0);
    let value = match (table.get("value"), error) {
        (Some(value), _) => {
            let read = read_value(value.get_ref(), label);
            if read.is_none() {
                let message =
                    format!("\"{pv}\": `value` is no number, text or list of one of them");
                found.add(
                    value.span(),
                    message,
                    "write 1.5, \"text\", or a list of one kind",
                );
            }
            Ok(read?)
        }
        (None, Some(error)) => Err(error),
        (None, None) => {
            let message = format!("\"{pv}\" has neither `value` nor `error`");
            found.add(table.span, message, "write value = 1.5");
            return None;
        }
    };
    let severity = table.integer(found, "severity").unwrap_or(0);
    Some(SavedMember {
        member,
        value,
        timestamp: time(found, &table, "time"),
        severity: AlarmSeverity(u16::try_from(severity).unwrap_or(3)),
    })
}

fn read_value(value: &DeValue<'_>, label: Option<String>) -> Option<Saved> {
    if let Some(label) = label {
        let index = value.as_integer()?.as_str().parse().ok()?;
        let label = Some(label).filter(|label| !label.is_empty());
        return Some(Saved::State { index, label });
    }
    if let Some(text) = value.as_str() {
        return Some(Saved::Text(text.to_owned()));
    }
    if let Some(one) = number(value) {
        return Some(Saved::Number(one));
    }
    let list = value.as_array()?;
    let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
    match list.first().and_then(text) {
        Some(_) => list
            .iter()
            .map(text)
            .collect::<Option<_>>()
            .map(Saved::Texts),
        None => {
            let numbers = list.iter().map(|item| number(item.get_ref()));
            numbers.collect::<Option<_>>().map(Saved::Numbers)
        }
    }
}

/// Files that were written, so that two at once have different names.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Puts a file in the place of another one, which is there until the new one is whole.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = name.to_os_string();
    let n = WRITTEN.fetch_add(1, Ordering::Relaxed);
    beside.push(format!(".{}-{n}.new", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = write_new(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The name is in the folder for good, where folders can be opened.
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
