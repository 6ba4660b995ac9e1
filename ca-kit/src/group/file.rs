//! Groups in TOML files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::de::DeTable;

use super::{Group, Groups, Member};
use crate::mistakes::{Mistakes, Table, did_you_mean, parse};

/// Bytes of a file of groups or of a snapshot: some 100 000 members with what belongs to them.
pub(crate) const MAX_FILE: u64 = 64 << 20;

/// Groups through which another may be included.
const MAX_NESTED: usize = 32;

const GROUP_KEYS: &[&str] = &[
    "pvs",
    "devices",
    "attributes",
    "delimiter",
    "include",
    "tolerance",
    "order",
    "member",
];
const MEMBER_KEYS: &[&str] = &["pv", "name", "tolerance", "order"];

/// Why groups cannot be had from a file.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum GroupFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// What is in it makes no groups.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

impl Groups {
    /// Reads groups from the text of a file; `origin` is its name in messages.
    ///
    /// ```toml
    /// [group.magnets]
    /// devices = ["q1", "q2"]            # each device with each attribute:
    /// attributes = ["set", "read"]      # q1:set, q1:read, q2:set, q2:read
    /// delimiter = ":"                   # between them; default: ":"
    /// pvs = ["ring:current"]            # and these
    /// include = ["orbit"]               # and the members of other groups of the file
    /// tolerance = 0.01                  # of its own members; default: 0
    /// order = 1                         # their turn in a restore; default: 0
    ///
    /// [[group.magnets.member]]          # members with something of their own
    /// pv = "k1:set"
    /// name = "kicker"
    /// tolerance = 0.5
    /// order = 2
    /// ```
    ///
    /// # Errors
    /// [`Mistakes`]: all of them, each with its line and what to do about it.
    pub fn from_toml(origin: &str, text: &str) -> Result<Self, Mistakes> {
        let mut found = Mistakes::new(origin, text);
        let file = parse(&mut found, text);
        let root = Table::new(
            &mut found,
            "the file".to_owned(),
            0..0,
            file.get_ref(),
            &["group"],
        );
        let mut reader = Reader {
            found,
            tables: BTreeMap::new(),
            done: Self::default(),
        };
        reader.groups(&root);
        let names: Vec<String> = reader.tables.keys().cloned().collect();
        for name in names {
            reader.read(&name, &mut Vec::new());
        }
        reader.found.or(reader.done)
    }

    /// Reads a file of groups, as [`from_toml`](Self::from_toml); at most 64 MiB.
    ///
    /// # Errors
    /// [`GroupFileError`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, GroupFileError> {
        let path = path.as_ref();
        let text = read_file(path).map_err(|reason| GroupFileError::Read {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self::from_toml(&path.display().to_string(), &text)?)
    }
}

/// The text of a file that is not too large.
pub(crate) fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    match read.map_err(|error| error.to_string())? as u64 {
        ..=MAX_FILE => Ok(text),
        _ => Err(format!("it has more than {MAX_FILE} bytes")),
    }
}

struct Reader<'a> {
    found: Mistakes,
    tables: BTreeMap<String, (&'a DeTable<'a>, Range<usize>)>,
    done: Groups,
}

impl<'a> Reader<'a> {
    fn groups(&mut self, root: &Table<'a>) {
        let Some(groups) = root.get("group") else {
            return;
        };
        let Some(groups) = groups.get_ref().as_table() else {
            let message = "`group` is no table";
            self.found.add(groups.span(), message, "write [group.NAME]");
            return;
        };
        for (name, value) in groups {
            let text = name.get_ref().as_ref().to_owned();
            match value.get_ref().as_table() {
                Some(table) => drop(self.tables.insert(text, (table, name.span()))),
                None => {
                    let message = format!("group \"{text}\" is no table");
                    self.found
                        .add(value.span(), message, format!("write [group.{text}]"));
                }
            }
        }
    }

    /// Reads a group, those it includes before it; `within` are those that include it.
    fn read(&mut self, name: &str, within: &mut Vec<String>) {
        let Some((table, span)) = self.tables.get(name).cloned() else {
            return;
        };
        if self.done.get(name).is_some() {
            return;
        }
        let title = format!("group \"{name}\"");
        let table = Table::new(&mut self.found, title.clone(), span, table, GROUP_KEYS);
        let mut group = Group::new(name);
        let before = self.found.count();
        within.push(name.to_owned());
        for (other, span) in table.texts(&mut self.found, "include") {
            self.include(&mut group, &other, span, within);
        }
        within.pop();
        let tolerance = tolerance_of(&mut self.found, &table).unwrap_or(0.0);
        let order = table.integer(&mut self.found, "order").unwrap_or(0);
        let own = |pv: String| Member::new(pv).tolerance(tolerance).order(order);
        for (pv, span) in table.texts(&mut self.found, "pvs") {
            self.add(&mut group, own(pv), span);
        }
        let delimiter = table.text(&mut self.found, "delimiter");
        let delimiter = delimiter.map_or_else(|| ":".to_owned(), |it| it.0);
        let devices = table.texts(&mut self.found, "devices");
        let attributes = table.texts(&mut self.found, "attributes");
        if devices.is_empty() != attributes.is_empty() {
            let message = format!("{title} has devices or attributes, and not both");
            let remedy = "write devices = [\"q1\"] and attributes = [\"set\"]";
            self.found.add(table.span.clone(), message, remedy);
        }
        'all: for (device, span) in devices {
            for (attribute, _) in &attributes {
                let pv = format!("{device}{delimiter}{attribute}");
                if !self.add(&mut group, own(pv), span.clone()) {
                    break 'all;
                }
            }
        }
        for (member, span) in table.tables(&mut self.found, "member") {
            self.member(&mut group, member, span, (tolerance, order));
        }
        // Mistakes in what would be its members say enough.
        if group.is_empty() && self.found.count() == before {
            let remedy = "give it pvs, devices and attributes, members, or include another group";
            self.found.add(
                table.span.clone(),
                format!("{title} has no members"),
                remedy,
            );
        }
        self.done.insert(group);
    }

    fn include(
        &mut self,
        group: &mut Group,
        other: &str,
        span: Range<usize>,
        within: &mut Vec<String>,
    ) {
        let name = &group.name;
        if within.iter().any(|it| it == other) {
            let message = format!("group \"{name}\" includes \"{other}\", which includes it");
            self.found.add(span, message, "leave one of the two out");
            return;
        }
        if within.len() > MAX_NESTED {
            let message = format!("\"{other}\" is included through more than {MAX_NESTED} groups");
            self.found.add(span, message, "include it directly");
            return;
        }
        if !self.tables.contains_key(other) {
            let known = self.tables.keys().map(String::as_str);
            let remedy = did_you_mean(other, known)
                .unwrap_or_else(|| format!("write [group.{other}], or leave it out"));
            let message = format!("group \"{name}\" includes \"{other}\", which there is not");
            self.found.add(span, message, remedy);
            return;
        }
        self.read(other, within);
        let members = self
            .done
            .get(other)
            .map_or_else(Vec::new, |it| it.members.clone());
        for member in members {
            // Two groups may share members.
            let there = group
                .position(&member.name)
                .and_then(|at| group.members.get(at));
            if there == Some(&member) {
                continue;
            }
            if !self.add(group, member, span.clone()) {
                break;
            }
        }
    }

    fn member(
        &mut self,
        group: &mut Group,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        (tolerance, order): (f64, i32),
    ) {
        let title = format!("a member of group \"{}\"", group.name);
        let table = Table::new(&mut self.found, title, span, table, MEMBER_KEYS);
        let found = &mut self.found;
        let Some((pv, span)) = table.text(found, "pv") else {
            if table.get("pv").is_none() {
                let message = format!("{} has no PV", table.name);
                found.add(table.span, message, "write pv = \"NAME\"");
            }
            return;
        };
        let mut member = Member::new(pv).tolerance(tolerance).order(order);
        if let Some((name, _)) = table.text(found, "name") {
            member.name = name;
        }
        if let Some(tolerance) = tolerance_of(found, &table) {
            member.tolerance = tolerance;
        }
        if let Some(order) = table.integer(found, "order") {
            member.order = order;
        }
        self.add(group, member, span);
    }

    /// Adds a member; false if further ones make no sense.
    fn add(&mut self, group: &mut Group, member: Member, span: Range<usize>) -> bool {
        let Err(error) = group.add(member) else {
            return true;
        };
        let (message, remedy) = error.parts();
        self.found.add(span, message, remedy);
        !error.is_final()
    }
}

/// A tolerance with which something can match.
fn tolerance_of(found: &mut Mistakes, table: &Table<'_>) -> Option<f64> {
    let (tolerance, span) = table.number(found, "tolerance")?;
    if tolerance >= 0.0 {
        return Some(tolerance);
    }
    let message = format!(
        "{}: with the tolerance {tolerance} nothing can ever match",
        table.name
    );
    found.add(span, message, "give one that is 0 or more");
    None
}
