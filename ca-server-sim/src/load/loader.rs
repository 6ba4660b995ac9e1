//! Reads files into record types and records.

use std::sync::Arc;

use hashbrown::HashMap;

use super::bounds::{Bounds, MAX_PATH};
use super::dbd::Dbd;
use super::files::{FileProblem, Files};
use super::hold::Held;
use super::macros::Macros;
use super::mistakes::{Mistake, MistakeKind, Mistakes};
use super::parser;
use super::records::{Named, Records};
use super::source::{Place, Reading, SourceFile, shown};
use super::substitutions;
use crate::slip::Weight;

/// Reads `.dbd`, `.db`, `.template` and `.substitutions` files, one after another, as the commands of a start-up file
/// do, and collects all their mistakes.
///
/// ```
/// use ca_server_sim::load::{InMemory, Loader};
///
/// let files = InMemory::from([
///     ("small.dbd", r#"recordtype(ai) {
///         field(NAME, DBF_STRING) { size(61) }
///         field(VAL, DBF_DOUBLE) { pp(TRUE) }
///         field(UDF, DBF_UCHAR) { initial("1") }
///     }"#),
///     ("x.db", r#"record(ai, "$(P):X") { field(VAL, 1.5) }"#),
/// ]);
/// let mut loader = Loader::new(&files);
/// loader.dbd("small.dbd", "");
/// loader.db("x.db", "P=SR");
/// let loaded = loader.finish();
/// assert!(loaded.mistakes.is_empty(), "{}", loaded.mistakes);
/// let record = loaded.records.get("SR:X").expect("it was defined");
/// assert_eq!(record.field("VAL").expect("it was set").value.bytes(), b"1.5");
/// ```
pub struct Loader<'f> {
    files: &'f dyn Files,
    pub(super) bounds: Bounds,
    directories: Vec<String>,
    /// Where names that are not absolute count from; nothing for the current directory.
    current: String,
    environment: Macros,
    /// By the name at which a file is, or is not.
    known: HashMap<String, Option<u32>>,
    pub(super) dbd: Dbd,
    pub(super) records: Records,
    pub(crate) mistakes: Mistakes,
    pub(super) work: usize,
    pub(super) fields: usize,
    pub(super) names: usize,
    /// Whose body is being read.
    pub(super) target: Named,
    /// A bound is reached; nothing more is read.
    pub(super) is_full: bool,
    /// What was made up, where unknown types and devices are held.
    pub(super) held: Option<Held>,
}

impl std::fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Loader");
        out.field("records", &self.records.len());
        out.field("mistakes", &self.mistakes.errors())
            .finish_non_exhaustive()
    }
}

/// What files say.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Record types, menus and the like.
    pub dbd: Dbd,
    /// Records. They are whole only if no mistake is an error.
    pub records: Records,
    /// What is wrong, or odd.
    pub mistakes: Mistakes,
}

/// A loader between two files, without the files.
#[derive(Debug, Default)]
pub(crate) struct Paused {
    known: HashMap<String, Option<u32>>,
    dbd: Dbd,
    pub(crate) records: Records,
    pub(crate) mistakes: Mistakes,
    work: usize,
    fields: usize,
    names: usize,
    is_full: bool,
    held: Option<Held>,
}

impl<'f> Loader<'f> {
    /// Goes on where another one was.
    pub(crate) fn resume(files: &'f dyn Files, paused: Paused) -> Self {
        Self {
            known: paused.known,
            records: paused.records,
            mistakes: paused.mistakes,
            work: paused.work,
            fields: paused.fields,
            names: paused.names,
            is_full: paused.is_full,
            held: paused.held,
            ..Self::with(files, paused.dbd)
        }
    }

    /// Ends for now. Files are not read anew when it goes on.
    pub(crate) fn pause(self) -> Paused {
        Paused {
            known: self.known,
            dbd: self.dbd,
            records: self.records,
            mistakes: self.mistakes,
            work: self.work,
            fields: self.fields,
            names: self.names,
            is_full: self.is_full,
            held: self.held,
        }
    }

    /// Looks for files in no directory but the current one.
    pub(crate) fn without_directories(mut self) -> Self {
        self.directories.clear();
        self
    }

    /// Names that are not absolute count from this directory.
    pub(crate) fn current(mut self, directory: &str) -> Self {
        self.current = directory.to_owned();
        self
    }

    /// A loader that knows no record types yet.
    pub fn new(files: &'f dyn Files) -> Self {
        Self::with(files, Dbd::new())
    }

    /// A loader that knows these record types.
    pub fn with(files: &'f dyn Files, dbd: Dbd) -> Self {
        Self {
            files,
            bounds: Bounds::default(),
            directories: Vec::new(),
            current: String::new(),
            environment: Macros::new(),
            known: HashMap::new(),
            dbd,
            records: Records::default(),
            mistakes: Mistakes::default(),
            work: 0,
            fields: 0,
            names: 0,
            target: Named {
                record: 0,
                alias: None,
            },
            is_full: false,
            held: None,
        }
    }

    /// Sets what files may ask for at most.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Looks for files in this directory, after those that were given before. Names with a `/` are taken as they are.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<String>) -> Self {
        self.directories.push(directory.into());
        self
    }

    /// Defines a variable of the environment, which the names of files may use: `include "$(TOP)/x.db"`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.set(name, value);
        self
    }

    /// Reads a file by what its name ends in: `.dbd`, `.substitutions` (also `.subs` and `.sub`), else `.db`.
    /// `macros` is written as `A=1,B=2`.
    pub fn file(&mut self, name: &str, macros: &str) -> &mut Self {
        match name.rsplit_once('.').map_or("", |(_, end)| end) {
            "dbd" => self.dbd(name, macros),
            "substitutions" | "subs" | "sub" => self.substitutions(name, macros),
            _ => self.db(name, macros),
        }
    }

    /// Reads a `.dbd` file, as `dbLoadDatabase` does.
    pub fn dbd(&mut self, name: &str, macros: &str) -> &mut Self {
        self.db(name, macros)
    }

    /// Reads a `.db` or `.template` file, as `dbLoadRecords` does.
    pub fn db(&mut self, name: &str, macros: &str) -> &mut Self {
        let path = self.path();
        if let Some(file) = self.find(name.as_bytes(), None, &path) {
            let mut defined = Macros::new();
            defined.define(macros);
            parser::read(self, file, None, defined, path);
        }
        self
    }

    /// Reads a `.substitutions` file, as `dbLoadTemplate` and `msi` do.
    pub fn substitutions(&mut self, name: &str, macros: &str) -> &mut Self {
        let path = self.path();
        if let Some(file) = self.find(name.as_bytes(), None, &path) {
            substitutions::read(self, file, macros, &path);
        }
        self
    }

    /// What was read.
    pub fn finish(mut self) -> Loaded {
        self.settle_held();
        self.records.settle();
        Loaded {
            dbd: self.dbd,
            records: self.records,
            mistakes: self.mistakes,
        }
    }

    fn path(&self) -> Vec<String> {
        match self.directories.is_empty() {
            true => vec![".".into()],
            false => self.directories.clone(),
        }
    }

    pub(super) fn report(
        &mut self,
        (weight, kind): (Weight, MistakeKind),
        place: impl Into<Option<Place>>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.mistakes.add(Mistake {
            weight,
            kind,
            message: message.into(),
            remedy: remedy.into(),
            place: place.into(),
            notes: Vec::new(),
            times: 1,
        });
    }

    /// Reports that a bound is reached, and reads no more.
    pub(super) fn full(&mut self, place: impl Into<Option<Place>>, what: String) {
        if !std::mem::replace(&mut self.is_full, true) {
            let kind = (Weight::Error, MistakeKind::Bound);
            self.report(kind, place, what, "nothing more is read; see `Bounds`");
        }
    }

    /// The file of this name, in the directories of the path, and at last beside the file that names it.
    pub(super) fn find(
        &mut self,
        name: &[u8],
        from: Option<Place>,
        path: &[String],
    ) -> Option<u32> {
        let name = self.environment.expand(name).text;
        let unknown = (Weight::Error, MistakeKind::File);
        let Ok(name) = std::str::from_utf8(&name) else {
            let message = format!("the name of file `{}` is not UTF-8", shown(&name));
            self.report(unknown, from, message, "rename the file");
            return None;
        };
        let mut places: Vec<String> = match name.contains(['/', '\\']) {
            true => vec![name.into()],
            false => path.iter().map(|directory| join(directory, name)).collect(),
        };
        if !self.current.is_empty() {
            for place in places.iter_mut().filter(|place| !place.starts_with('/')) {
                *place = join(&self.current, place);
            }
        }
        let parent = from.map(|place| Arc::clone(&self.mistakes.sources.file(place).name));
        let beside = parent.as_deref().and_then(|parent| parent.rsplit_once('/'));
        if let Some((directory, _)) = beside.filter(|_| !name.starts_with('/')) {
            places.push(join(directory, name));
        }
        for place in places {
            match self.try_open(&place) {
                Ok(Some(file)) => return Some(file),
                Ok(None) => {}
                Err(message) => {
                    self.report(unknown, from, message, "");
                    return None;
                }
            }
        }
        let message = format!("there is no file `{}`", shown(name.as_bytes()));
        let remedy = match name.contains(['/', '\\']) {
            true => "names with a `/` count from the current directory".into(),
            false => {
                let looked: Vec<String> = path
                    .iter()
                    .take(8)
                    .map(|one| shown(one.as_bytes()))
                    .collect();
                format!(
                    "looked in: {}; add a directory to the search path",
                    looked.join(", ")
                )
            }
        };
        self.report(unknown, from, message, remedy);
        None
    }

    fn try_open(&mut self, name: &str) -> Result<Option<u32>, String> {
        if let Some(&known) = self.known.get(name) {
            return Ok(known);
        }
        let file = match self.files.read(name, self.bounds.file) {
            Ok(text) => {
                let files = &mut self.mistakes.sources.files;
                let index = u32::try_from(files.len()).ok();
                let name = name.into();
                files.push(SourceFile { name, text });
                index
            }
            Err(FileProblem::Missing) => None,
            Err(FileProblem::TooLarge) => {
                let most = self.bounds.file;
                return Err(format!(
                    "file `{}` has more than {most} bytes",
                    shown(name.as_bytes())
                ));
            }
            Err(FileProblem::Unreadable(why)) => {
                return Err(format!(
                    "file `{}` cannot be read: {why}",
                    shown(name.as_bytes())
                ));
            }
        };
        self.known.insert(name.into(), file);
        Ok(file)
    }

    /// A new reading of a file.
    pub(super) fn open(&mut self, file: u32, from: Option<Place>) -> Option<(u32, Arc<[u8]>)> {
        if self.is_full {
            return None;
        }
        let reading = self.mistakes.sources.readings.len();
        if reading >= self.bounds.opened {
            self.full(from, format!("more than {reading} files are opened"));
            return None;
        }
        self.mistakes.sources.readings.push(Reading { file, from });
        let text = Arc::clone(&self.mistakes.sources.files[file as usize].text);
        u32::try_from(reading).ok().map(|reading| (reading, text))
    }
}

fn join(directory: &str, name: &str) -> String {
    match directory {
        "." | "" => name.into(),
        _ => format!("{}/{name}", directory.trim_end_matches('/')),
    }
}

/// Adds the directories of `a:b` to a path (`dbAddPath` of EPICS Base): an empty one is the current directory.
pub(super) fn add_path(path: &mut Vec<String>, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if text.trim().is_empty() {
        return;
    }
    let mut current = false;
    for directory in text.split(':').map(str::trim) {
        match directory {
            "" => current = true,
            _ if path.len() < MAX_PATH => path.push(directory.into()),
            _ => {}
        }
    }
    if current {
        path.push(".".into());
    }
}
