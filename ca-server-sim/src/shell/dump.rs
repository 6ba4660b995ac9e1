//! Commands that show records as files have them, and which of them hang together: `dbDumpRecord`, `dblsr`.

use super::SLICE;
use super::commands::{Args, Command, Kind};
use super::fields::{Found, find, is_type, name};
use super::format::{escaped, kind, of_field};
use super::run::Run;
use crate::ioc::Ioc;
use crate::process::Records;
use crate::record::{Dbf, Link, LinkProcess, LinkSeverity, LinkTo, PvLink, Special, common};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "dbDumpRecord",
        arguments: &[
            ("pdbbase", Kind::Text),
            ("recordTypeName", Kind::Text),
            ("level", Kind::Int),
        ],
        usage: "Shows records as a .db file has them, with what they are now: all, or those of one type.\n\
                level 0 - fields with other values than those of the type\n\
                \x20     1 - all fields that can be written\n\
                \x20     2 - those that cannot, too\n\n\
                Example: dbDumpRecord pdbbase ao > now.db\n",
        run: dump,
    },
    Command {
        name: "dblsr",
        arguments: &[("record name", Kind::Record), ("level", Kind::Int)],
        usage: "Shows which records hang together by links, all or those with a record.\n\
                level 0 - how many there are in each set\n\
                \x20     1 - their names\n\
                \x20     2 - their links\n",
        run: lock_sets,
    },
];

fn dump(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    if !super::reports::is_base(run, args) {
        return false;
    }
    let of = args.full(1).filter(|of| *of != "*").map(str::to_owned);
    if let Some(of) = of.as_deref().filter(|of| !is_type(run, of)) {
        run.complain(format!("dbDumpRecord: there is no record type {of}"));
        return false;
    }
    let level = args.int(2);
    let count = run.running("dbDumpRecord", |ioc, _| {
        let served = ioc.db.served.as_ref();
        let aliases = served.map(|served| served.records.aliases());
        let count = served.map_or(0, |served| served.records.numbers() as u32);
        (count, aliases.unwrap_or_default())
    });
    let Some((count, aliases)) = count else {
        return false;
    };
    let mut aliases = aliases.into_iter().peekable();
    for first in (0..count).step_by(SLICE) {
        let end = count.min(first.saturating_add(SLICE as u32));
        let texts = run.ioc(|ioc, _| {
            let records = &ioc.db.served.as_ref()?.records;
            let wanted = |id: &u32| {
                let is_there = !records.name_of(*id).is_empty();
                is_there
                    && of
                        .as_deref()
                        .is_none_or(|of| *records.type_of(*id).name == *of)
            };
            let texts = (first..end).filter(wanted).map(|id| {
                let name = escaped(records.name_of(id).as_bytes());
                (id, name, record(records, id, level))
            });
            Some(texts.collect::<Vec<_>>())
        });
        for (id, name, mut text) in texts.flatten().unwrap_or_default() {
            while let Some((of, alias)) = aliases.next_if(|(of, _)| *of <= id) {
                if of == id {
                    let alias = escaped(alias.as_bytes());
                    text.push_str(&format!("alias(\"{name}\",\"{alias}\")\n"));
                }
            }
            run.print(text);
        }
    }
    true
}

/// A record as a file has it.
fn record(records: &Records, id: u32, level: i64) -> String {
    let of = records.type_of(id);
    let name = escaped(records.name_of(id).as_bytes());
    let mut text = format!("record({},\"{name}\") {{\n", of.name);
    for (field, info) in (0..).zip(&of.fields) {
        // Fields that are fixed once the record is there configure it, or tell its state.
        let is_fixed = info.special == Special::NoMod;
        let is_written = (!is_fixed || (field >= common::COUNT && info.interest == 1))
            && info.dbf != Dbf::NoAccess
            && ![common::PROC, common::RTYP].contains(&field);
        let shown = match level {
            ..=0 => is_written && !records.raw(id, field).same(&info.default),
            1 => is_written,
            _ => field != common::RTYP,
        };
        if shown {
            let value = of_field(records, id, field).unwrap_or_default();
            let value = escaped(value.as_bytes());
            text.push_str(&format!("\tfield({},\"{value}\")\n", info.name));
        }
    }
    for (name, value) in records.infos(id) {
        let (name, value) = (escaped(name.as_bytes()), escaped(value.as_bytes()));
        text.push_str(&format!("\tinfo(\"{name}\",\"{value}\")\n"));
    }
    text + "}\n"
}

/// A link that its record and its target are processed together for.
struct Tie {
    from: u32,
    field: u16,
    to: u32,
}

fn lock_sets(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let wanted = args.full(0).filter(|name| *name != "*");
    let found = run.running("dblsr", |ioc, _| {
        let count = ioc.db.served.as_ref();
        let count = count.map_or(0, |served| served.records.numbers() as u32);
        let wanted = wanted.map(|name| match find(ioc, name) {
            Ok(Found::Field { id, .. }) => Some(id),
            _ => None,
        });
        (count, wanted)
    });
    let Some((count, wanted)) = found else {
        return false;
    };
    if wanted == Some(None) {
        run.say("Record not found");
        return false;
    }
    let mut ties = Vec::new();
    for first in (0..count).step_by(SLICE) {
        let end = count.min(first.saturating_add(SLICE as u32));
        run.ioc(|ioc, _| (first..end).for_each(|id| ties_of(ioc, id, &mut ties)));
    }
    let mut sets = Sets::new(count);
    for tie in &ties {
        sets.join(tie.from, tie.to);
    }
    let only = wanted.flatten().map(|id| sets.first_of(id));
    for (number, members) in (1..).zip(sets.members()) {
        if only.is_some_and(|only| members.first() != Some(&only)) {
            continue;
        }
        show_set(run, number, &members, &ties, args.int(1));
    }
    true
}

fn show_set(run: &mut Run<'_>, number: usize, members: &[u32], ties: &[Tie], level: i64) {
    let names = |ioc: &Ioc, some: &[u32]| {
        let Some(served) = &ioc.db.served else {
            return (String::new(), 0);
        };
        let records = &served.records;
        let (mut text, mut there) = (String::new(), 0);
        for &id in some.iter().filter(|&&id| !records.name_of(id).is_empty()) {
            there += 1;
            if level > 0 {
                text.push_str(&format!("{}\n", records.name_of(id)));
            }
            // They are in the order of their records.
            let first = ties.partition_point(|tie| tie.from < id);
            let own = ties.iter().skip(first).take_while(|tie| tie.from == id);
            for tie in own.filter(|_| level > 1) {
                text.push_str(&shown_link(records, tie));
            }
        }
        (text, there)
    };
    let (mut text, mut count) = (String::new(), 0);
    for some in members.chunks(SLICE) {
        let (more, there) = run.ioc(|ioc, _| names(ioc, some)).unwrap_or_default();
        text.push_str(&more);
        count += there;
    }
    if count > 0 {
        run.say(format!("Lock Set {number} {count} members {count} refs"));
        run.print(text);
    }
}

fn shown_link(records: &Records, tie: &Tie) -> String {
    let info = records.type_of(tie.from).field(tie.field);
    let link = records.link_of(tie.from, tie.field);
    let (process, severity) = match link.as_deref() {
        Some(Link::Pv(link)) => (link.process, link.severity),
        _ => (LinkProcess::No, LinkSeverity::Ignore),
    };
    let process = match process {
        LinkProcess::Passive if info.dbf != Dbf::FwdLink => " PP",
        _ => "NPP",
    };
    let severity = match severity {
        LinkSeverity::Ignore => "NMS",
        LinkSeverity::Maximize => "MS",
        LinkSeverity::Invalid => "MSI",
        LinkSeverity::Status => "MSS",
    };
    let to = records.name_of(tie.to);
    format!(
        "\t{}\t{:>7} {process} {severity} {to}\n",
        info.name,
        name(info.dbf)
    )
}

fn ties_of(ioc: &Ioc, id: u32, ties: &mut Vec<Tie>) {
    let Some(served) = &ioc.db.served else {
        return;
    };
    let records = &served.records;
    let fields = (0..).zip(&records.type_of(id).fields);
    for (field, _) in fields.filter(|(_, info)| info.dbf.is_link()) {
        let Some(link) = records.link_of(id, field) else {
            continue;
        };
        if let Link::Pv(PvLink {
            to: LinkTo::Local(to, _),
            ..
        }) = &*link
            && kind(&link) == "DB_LINK"
        {
            ties.push(Tie {
                from: id,
                field,
                to: *to,
            });
        }
    }
}

/// Numbers that hang together; each knows one before it in its set, the first one itself.
struct Sets(Vec<u32>);

impl Sets {
    fn new(count: u32) -> Self {
        Self((0..count).collect())
    }

    fn before(&self, id: u32) -> u32 {
        self.0.get(id as usize).copied().unwrap_or(id)
    }

    fn set(&mut self, id: u32, to: u32) {
        if let Some(place) = self.0.get_mut(id as usize) {
            *place = to;
        }
    }

    fn first_of(&mut self, mut id: u32) -> u32 {
        while self.before(id) != id {
            let next = self.before(self.before(id));
            self.set(id, next);
            id = next;
        }
        id
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first_of(a), self.first_of(b));
        self.set(a.max(b), a.min(b));
    }

    /// The sets, by their first members.
    fn members(mut self) -> Vec<Vec<u32>> {
        let mut all: Vec<Vec<u32>> = Vec::new();
        let mut places = vec![0_usize; self.0.len()];
        for id in 0..self.0.len() as u32 {
            let first = self.first_of(id);
            if first == id {
                if let Some(place) = places.get_mut(id as usize) {
                    *place = all.len();
                }
                all.push(Vec::new());
            }
            let place = places.get(first as usize).copied().unwrap_or_default();
            if let Some(set) = all.get_mut(place) {
                set.push(id);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_together_is_a_set() {
        let mut sets = Sets::new(7);
        for (a, b) in [(5, 1), (2, 6), (6, 5), (3, 3), (9, 3)] {
            sets.join(a, b);
        }
        assert_eq!(sets.first_of(6), 1);
        assert_eq!(
            sets.members(),
            [vec![0], vec![1, 2, 5, 6], vec![3], vec![4]]
        );
    }
}
