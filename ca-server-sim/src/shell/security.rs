//! Commands about access security: what rules hold, and for whom.

use std::fmt::Write as _;

use super::commands::{Args, Command, Kind};
use super::run::Run;
use crate::access::rules::{DEFAULT_GROUP, Rule};
use crate::ioc::Ioc;
use crate::record::common;

const GROUP: &[(&str, Kind)] = &[("asg", Kind::Text)];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "asdbdump",
        arguments: &[],
        usage: "Shows users, hosts and rules of access security, with the records of each group.\n",
        run: |run, _| {
            show(run, |ioc| {
                let mut text = named(ioc, Lists::Users, None) + &named(ioc, Lists::Hosts, None);
                text += &groups(ioc, None, Details::All);
                text
            })
        },
    },
    Command {
        name: "asprules",
        arguments: GROUP,
        usage: "Shows the rules of a group, or of all.\n",
        run: |run, args| show_of(run, args, |ioc, name| groups(ioc, name, Details::Rules)),
    },
    Command {
        name: "aspmem",
        arguments: &[("asg", Kind::Text), ("clients", Kind::Int)],
        usage: "Shows the records of a group, or of all.\n",
        run: |run, args| show_of(run, args, |ioc, name| groups(ioc, name, Details::Members)),
    },
    Command {
        name: "aspuag",
        arguments: &[("uag", Kind::Text)],
        usage: "Shows a group of users, or all.\n",
        run: |run, args| show_of(run, args, |ioc, name| named(ioc, Lists::Users, name)),
    },
    Command {
        name: "asphag",
        arguments: &[("hag", Kind::Text)],
        usage: "Shows a group of hosts, or all.\n",
        run: |run, args| show_of(run, args, |ioc, name| named(ioc, Lists::Hosts, name)),
    },
    Command {
        name: "ascar",
        arguments: &[("level", Kind::Int)],
        usage: "Shows how many PVs conditions use, and how many of them are not there.\n\
                level 1 - those that are not there\n\
                \x20     2 - all\n",
        run: inputs,
    },
];

fn show(run: &mut Run<'_>, text: impl FnOnce(&Ioc) -> String) -> bool {
    let text = run.ioc(|ioc, _| text(ioc)).unwrap_or_default();
    run.print(text);
    true
}

fn show_of(
    run: &mut Run<'_>,
    args: &Args<'_>,
    text: impl FnOnce(&Ioc, Option<&str>) -> String,
) -> bool {
    let name = args.full(0);
    show(run, |ioc| text(ioc, name))
}

#[derive(Clone, Copy)]
enum Lists {
    Users,
    Hosts,
}

/// Groups of users or hosts, sorted, as their members are: a file's order is not kept.
fn named(ioc: &Ioc, which: Lists, only: Option<&str>) -> String {
    let Some(guard) = &ioc.db.overseers.guard else {
        return String::new();
    };
    let security = guard.security();
    let (word, all) = match which {
        Lists::Users => ("UAG", &security.users),
        Lists::Hosts => ("HAG", &security.hosts),
    };
    let mut all: Vec<_> = all
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == &***name))
        .collect();
    all.sort_unstable_by_key(|(name, _)| *name);
    let mut text = String::new();
    for (name, members) in all {
        let mut members: Vec<&str> = members.iter().map(|member| &**member).collect();
        members.sort_unstable();
        text += &format!("{word}({name})");
        if !members.is_empty() {
            text += &format!(" {{{}}}", members.join(","));
        }
        text.push('\n');
    }
    text
}

#[derive(Clone, Copy, PartialEq)]
enum Details {
    Rules,
    Members,
    All,
}

fn groups(ioc: &Ioc, only: Option<&str>, details: Details) -> String {
    let mut text = String::new();
    let Some(guard) = &ioc.db.overseers.guard else {
        return text;
    };
    for (name, inputs, rules) in guard.shown() {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let members = match details {
            Details::Rules => String::new(),
            _ => members(ioc, name),
        };
        if details == Details::Members {
            text += &format!("ASG({name})\n{members}");
            continue;
        }
        let mut body = String::new();
        for (letter, pv, value) in inputs {
            let letter = char::from(b'A' + letter);
            let state = match (value, details) {
                (None, _) => " INVALID",
                (Some(_), Details::All) => "   VALID",
                (Some(_), _) => "",
            };
            let value = value.unwrap_or(0.0);
            // Writing to a text cannot fail.
            let _ = writeln!(body, "\tINP{letter}({pv}){state} value={value:.6}");
        }
        for (rule, counts) in rules {
            body += &shown(rule, counts);
        }
        body += &members;
        text += &match body.is_empty() {
            true => format!("ASG({name})\n"),
            false => format!("ASG({name}) {{\n{body}}}\n"),
        };
    }
    text
}

fn shown(rule: &Rule, counts: bool) -> String {
    let trap = if rule.traps_writes { "" } else { "NO" };
    let (level, access) = (rule.level, rule.access.name());
    let mut text = format!("\tRULE({level},{access},{trap}TRAPWRITE)");
    let mut inside = String::new();
    for (word, names) in [("UAG", &rule.users), ("HAG", &rule.hosts)] {
        if !names.is_empty() {
            inside += &format!("\t\t{word}({})\n", names.join(","));
        }
    }
    if let Some(condition) = &rule.condition_text {
        let result = if counts { "TRUE" } else { "FALSE" };
        inside += &format!("\t\tCALC(\"{condition}\") result={result}\n");
    }
    if !inside.is_empty() {
        text += &format!(" {{\n{inside}\t}}");
    }
    text + "\n"
}

/// The records of a group; those of none are of `DEFAULT`.
fn members(ioc: &Ioc, group: &str) -> String {
    let Some(served) = &ioc.db.served else {
        return String::new();
    };
    let records = &served.records;
    let mut found = Vec::new();
    for id in 0..records.len() as u32 {
        let (of, name) = (records.type_of(id), records.name_of(id));
        let own = records.text(id, common::ASG).unwrap_or_default();
        let is_member = match own.as_str() {
            "" => group == DEFAULT_GROUP,
            own => own == group,
        };
        if is_member && !name.is_empty() {
            found.push((of.name.to_ascii_lowercase(), own, name));
        }
    }
    if found.is_empty() {
        return String::new();
    }
    found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let lines = found.into_iter().map(|(_, own, name)| {
        let own = if own.is_empty() { "<null>" } else { &own };
        format!("\t\t{own} Record:{name}\n")
    });
    format!("\tMEMBERLIST\n{}", lines.collect::<String>())
}

fn inputs(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let all = run.ioc(|ioc, _| {
        let guard = ioc.db.overseers.guard.as_ref()?;
        let all = guard.inputs.iter();
        Some(
            all.map(|it| (it.name.to_string(), it.pv.is_some()))
                .collect(),
        )
    });
    let all: Option<Vec<(String, bool)>> = all.flatten();
    let Some(all) = all else {
        run.say("access security not started");
        return true;
    };
    let level = args.int(0);
    for (name, there) in &all {
        if level > 1 || (level > 0 && !there) {
            let there = if *there { "yes" } else { "no" };
            run.say(format!("connected:{there:<6} {name}"));
        }
    }
    let missing = all.iter().filter(|(_, there)| !there).count();
    run.say(format!("{} channels {missing} not connected", all.len()));
    true
}
