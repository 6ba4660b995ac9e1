//! Commands that list records: names, aliases, infos, types.

use super::SLICE;
use super::commands::{Args, Command, Kind};
use super::format::{matches, of_field};
use super::run::Run;
use crate::ioc::Ioc;

/// A name of a record.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The record's type.
    pub of: Box<str>,
    /// The name.
    pub name: Box<str>,
    /// The record whose other name it is.
    pub record: Option<Box<str>>,
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "dbl",
        arguments: &[("record type", Kind::Text), ("fields", Kind::Text)],
        usage: "Lists the names of all records, or of those of one type; with the values of fields if\n\
                there are any.\n\n\
                Example: dbl\n         dbl ai \"VAL DESC\"\n",
        run: |run, args| dbl(run, args),
    },
    Command {
        name: "dbglob",
        arguments: &[("pattern", Kind::Record), ("fields", Kind::Text)],
        usage: "Lists the names of records that match a pattern with * and ?, and values of fields.\n\n\
                Example: dbglob *gap* \"VAL EGU\"\n",
        run: |run, args| dbglob(run, args),
    },
    Command {
        name: "dbgrep",
        arguments: &[("pattern", Kind::Record), ("fields", Kind::Text)],
        usage: "As dbglob.\n",
        run: |run, args| dbglob(run, args),
    },
    Command {
        name: "dbla",
        arguments: &[("pattern", Kind::Record)],
        usage: "Lists other names of records, those that match a pattern or all.\n",
        run: |run, args| dbla(run, args),
    },
    Command {
        name: "dbli",
        arguments: &[("pattern", Kind::Text)],
        usage: "Lists the info items whose names match a pattern, or all.\n\n\
                Example: dbli autosave*\n",
        run: |run, args| dbli(run, args),
    },
    Command {
        name: "dbnr",
        arguments: &[("verbose", Kind::Int)],
        usage: "Counts the records and aliases of each type; with 1 also types without any.\n",
        run: |run, args| dbnr(run, args),
    },
];

/// All names: type by type, records in the order of the files, each with its other names behind it.
pub(super) fn entries(run: &mut Run<'_>) -> Vec<Entry> {
    let mut all = match run.shell.running {
        true => of_ioc(run),
        false => of_files(run),
    };
    all.sort_by_cached_key(|entry| entry.of.to_ascii_lowercase());
    all
}

fn of_files(run: &mut Run<'_>) -> Vec<Entry> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
    let records = run.shell.session.records(&*run.host).iter();
    let mut all = Vec::new();
    for record in records.filter(|record| !record.name.is_empty()) {
        let (of, name) = (Box::<str>::from(&*record.type_name), text(&record.name));
        let aliases = record.aliases.iter().filter(|alias| !alias.name.is_empty());
        let entry = |alias: Option<Box<str>>| match alias {
            None => Entry {
                of: of.clone(),
                name: name.clone(),
                record: None,
            },
            Some(alias) => Entry {
                of: of.clone(),
                name: alias,
                record: Some(name.clone()),
            },
        };
        all.push(entry(None));
        all.extend(aliases.map(|alias| entry(Some(text(&alias.name)))));
    }
    all
}

fn of_ioc(run: &mut Run<'_>) -> Vec<Entry> {
    let aliases = run.ioc(|ioc, _| {
        ioc.db
            .served
            .as_ref()
            .map(|served| served.records.aliases())
    });
    let mut aliases = aliases.flatten().unwrap_or_default().into_iter().peekable();
    let mut all = Vec::new();
    let mut next = 0;
    loop {
        let part = run.ioc(|ioc, _| slice(ioc, next)).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        for (of, name) in part {
            // A record that was removed.
            if name.is_empty() {
                next += 1;
                continue;
            }
            let record = |alias| Entry {
                of: of.clone(),
                name: alias,
                record: Some(name.clone()),
            };
            all.push(Entry {
                of: of.clone(),
                name: name.clone(),
                record: None,
            });
            while let Some((_, alias)) = aliases.next_if(|(id, _)| *id <= next) {
                all.push(record(alias));
            }
            next += 1;
        }
    }
    // PVs without records.
    let plain = run.ioc(|ioc, _| {
        let own = ioc
            .db
            .records()
            .map(|(_, record)| (record.kind.name().into(), record.name.clone()));
        own.collect::<Vec<(Box<str>, Box<str>)>>()
    });
    let plain = plain.unwrap_or_default().into_iter();
    all.extend(plain.map(|(of, name)| Entry {
        of,
        name,
        record: None,
    }));
    all
}

/// Type and name of some records.
fn slice(ioc: &Ioc, first: u32) -> Vec<(Box<str>, Box<str>)> {
    let Some(served) = &ioc.db.served else {
        return Vec::new();
    };
    let records = &served.records;
    let end = (records.numbers() as u32).min(first.saturating_add(SLICE as u32));
    let ids = first..end.max(first);
    ids.map(|id| (records.type_of(id).name.clone(), records.name_of(id).into()))
        .collect()
}

/// Names with values of fields, a slice at a time.
fn list(run: &mut Run<'_>, names: &[Entry], fields: Option<&str>) {
    let fields: Vec<&str> = fields
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    for some in names.chunks(SLICE) {
        let mut text = String::new();
        if fields.is_empty() || !run.shell.running {
            for entry in some {
                text.push_str(&entry.name);
                text.push('\n');
            }
        } else {
            let rows = run.ioc(|ioc, _| {
                let rows = some.iter().map(|entry| row(ioc, entry, &fields));
                rows.collect::<String>()
            });
            text.push_str(&rows.unwrap_or_default());
        }
        run.print(&text);
    }
}

fn row(ioc: &Ioc, entry: &Entry, fields: &[&str]) -> String {
    let mut text = entry.name.to_string();
    let records = ioc.db.served.as_ref().map(|served| &served.records);
    let found = records.and_then(|records| Some((records, records.find(&entry.name)?)));
    for field in fields {
        let value = match (found, *field) {
            (_, "recordType" | "RTYP") => Some(entry.of.to_string()),
            (Some((records, id)), field) => {
                let index = records.type_of(id).find(field);
                index.map(|index| of_field(records, id, index).unwrap_or_default())
            }
            (None, field) => {
                let read = ioc.read(format!("{}.{field}", entry.name).as_str());
                read.ok().map(|snapshot| snapshot.value.to_string())
            }
        };
        match value {
            Some(value) => text.push_str(&format!(", \"{value}\"")),
            None => text.push_str(", "),
        }
    }
    text.push('\n');
    text
}

fn dbl(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let mut all = entries(run);
    if let Some(of) = args.full(0).filter(|of| *of != "*") {
        all.retain(|entry| *entry.of == *of);
        if all.is_empty() && !super::fields::is_type(run, of) {
            run.say("No record type");
            return true;
        }
    }
    list(run, &all, args.full(1));
    true
}

fn dbglob(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let Some(pattern) = args.full(0) else {
        run.say("Usage: dbglob \"pattern\" \"fields\"");
        return false;
    };
    let mut all = entries(run);
    all.retain(|entry| matches(&entry.name, pattern));
    list(run, &all, args.full(1));
    true
}

fn dbla(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let pattern = args.full(0).unwrap_or("*");
    let mut text = String::new();
    for entry in entries(run) {
        if let Some(record) = entry.record.filter(|_| matches(&entry.name, pattern)) {
            text.push_str(&format!("{} -> {record}\n", entry.name));
        }
    }
    run.print(text);
    true
}

fn dbli(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let pattern = args.full(0).unwrap_or("*");
    if !run.shell.running {
        run.say("dbli only works after iocInit");
        return false;
    }
    for some in entries(run).chunks(SLICE) {
        let text = run.ioc(|ioc, _| {
            let mut text = String::new();
            let Some(served) = &ioc.db.served else {
                return text;
            };
            let own = some.iter().filter(|entry| entry.record.is_none());
            for (name, id) in
                own.filter_map(|entry| Some((&entry.name, served.records.find(&entry.name)?)))
            {
                for (info, value) in served.records.infos(id) {
                    if matches(info, pattern) {
                        text.push_str(&format!("{name} info({info}, \"{value}\")\n"));
                    }
                }
            }
            text
        });
        run.print(text.unwrap_or_default());
    }
    true
}

fn dbnr(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let mut counts: Vec<(String, usize, usize)> = Vec::new();
    if args.int(0) != 0 {
        let mut types = super::fields::types(run);
        types.sort_by_key(|name| name.to_ascii_lowercase());
        counts.extend(types.into_iter().map(|name| (name, 0, 0)));
    }
    for entry in entries(run) {
        let place = match counts.iter().rposition(|(name, ..)| **name == *entry.of) {
            Some(place) => place,
            None => {
                counts.push((entry.of.to_string(), 0, 0));
                counts.len() - 1
            }
        };
        match entry.record {
            None => counts[place].1 += 1,
            Some(_) => counts[place].2 += 1,
        }
    }
    let mut text = "Records  Aliases  Record Type\n".to_owned();
    let (mut records, mut aliases) = (0, 0);
    for (name, own, other) in counts {
        text.push_str(&format!(" {own:5}    {other:5}    {name}\n"));
        records += own;
        aliases += other;
    }
    text.push_str(&format!("Total {records} records, {aliases} aliases\n"));
    run.print(text);
    true
}
