//! Commands of autosave.

use std::sync::Arc;

use super::Host;
use super::commands::{Args, Command, Kind};
use super::fields::usage;
use super::run::Run;
use crate::autosave::{MAX_SETS, Pass, Settings, Trigger, WatchedSet, read_request};
use crate::load::{FileProblem, Files};

const SET: &[(&str, Kind)] = &[
    ("file", Kind::Path),
    ("period", Kind::Int),
    ("macros", Kind::Text),
];
const FILE: &[(&str, Kind)] = &[("file", Kind::Path), ("macros", Kind::Text)];
const NUMBER: &[(&str, Kind)] = &[("value", Kind::Int)];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "set_requestfile_path",
        arguments: &[("path", Kind::Path), ("subdirectory", Kind::Text)],
        usage: "Looks for request files of autosave in this directory too.\n",
        run: |run, args| {
            let path = joined(args);
            let path = run.shell.path(&path);
            if run.shell.autosave.request_path.len() < MAX_SETS {
                run.shell.autosave.request_path.push(path);
            }
            true
        },
    },
    Command {
        name: "set_savefile_path",
        arguments: &[("path", Kind::Path), ("subdirectory", Kind::Text)],
        usage: "Keeps save files in this directory.\n",
        run: |run, args| {
            let path = joined(args);
            run.shell.autosave.save_path = run.shell.path(&path);
            if !run.host.is_directory(&run.shell.autosave.save_path) {
                run.complain(format!(
                    "there is no directory {path}; nothing can be saved there"
                ));
                return false;
            }
            true
        },
    },
    Command {
        name: "set_pass0_restoreFile",
        arguments: FILE,
        usage: "Restores this save file before records are initialized: links, and what configures them.\n",
        run: |run, args| restore(run, args, Pass::Before),
    },
    Command {
        name: "set_pass1_restoreFile",
        arguments: FILE,
        usage: "Restores this save file behind the initialization of records: values and arrays.\n",
        run: |run, args| restore(run, args, Pass::After),
    },
    Command {
        name: "create_monitor_set",
        arguments: SET,
        usage: "Saves the fields of a request file when one has changed, at most each 'period' seconds.\n",
        run: |run, args| {
            let period = period(args);
            set(run, args, Trigger::Change(period), args.text(2))
        },
    },
    Command {
        name: "create_periodic_set",
        arguments: SET,
        usage: "Saves the fields of a request file each 'period' seconds.\n",
        run: |run, args| {
            let period = period(args);
            set(run, args, Trigger::Period(period), args.text(2))
        },
    },
    Command {
        name: "create_triggered_set",
        arguments: &[
            ("file", Kind::Path),
            ("trigger channel", Kind::Record),
            ("macros", Kind::Text),
        ],
        usage: "Saves the fields of a request file when a PV changes.\n",
        run: |run, args| match args.full(1) {
            Some(pv) => set(run, args, Trigger::Pv(pv.to_owned()), args.text(2)),
            None => usage(
                run,
                "Usage: create_triggered_set file, trigger channel, macros",
            ),
        },
    },
    Command {
        name: "create_manual_set",
        arguments: FILE,
        usage: "Saves the fields of a request file when manual_save says so.\n",
        run: |run, args| set(run, args, Trigger::Manual, args.text(1)),
    },
    Command {
        name: "manual_save",
        arguments: &[("file", Kind::Path)],
        usage: "Saves the set of a request file now.\n",
        run: |run, args| manual_save(run, args),
    },
    Command {
        name: "fdbrestore",
        arguments: &[("file", Kind::Path), ("macros", Kind::Text)],
        usage: "Writes the values of a save file now, as a client would.\n",
        run: |run, args| restore_now(run, args),
    },
    Command {
        name: "save_restoreShow",
        arguments: &[("verbose", Kind::Int)],
        usage: "Shows what is saved when and where.\n",
        run: |run, args| show(run, args),
    },
    Command {
        name: "dbrestoreShow",
        arguments: &[],
        usage: "Shows which files are restored.\n",
        run: |run, _| {
            let all = run.shell.autosave.restore.iter();
            let lines = all.map(|(pass, file, macros)| {
                let pass = u8::from(*pass == Pass::After);
                format!("pass {pass}: {file} {macros}\n")
            });
            let text: String = lines.collect();
            run.print(text);
            true
        },
    },
    Command {
        name: "save_restoreSet_NumSeqFiles",
        arguments: NUMBER,
        usage: "How many copies .sav0, .sav1 ... there are, 0 to 10.\n",
        run: |run, args| change(run, |own| own.sequence = args.int(0).clamp(0, 10) as u32),
    },
    Command {
        name: "save_restoreSet_SeqPeriodInSeconds",
        arguments: NUMBER,
        usage: "Seconds between two of the copies .sav0, .sav1 ..., 10 at least.\n",
        run: |run, args| {
            change(run, |own| {
                own.sequence_period = args.int(0).clamp(10, i64::from(u32::MAX)) as u32;
            })
        },
    },
    Command {
        name: "save_restoreSet_IncompleteSetsOk",
        arguments: NUMBER,
        usage: "Whether files in which values are missing are restored.\n",
        run: |run, args| change(run, |own| own.incomplete = args.int(0) != 0),
    },
    Command {
        name: "save_restoreSet_DatedBackupFiles",
        arguments: NUMBER,
        usage: "Whether the copy of a file that is restored has its date in its name.\n",
        run: |run, args| change(run, |own| own.dated = args.int(0) != 0),
    },
    // What has no meaning here, but stands in start-up files.
    nothing("save_restoreSet_Debug", NUMBER),
    nothing("save_restoreSet_RetrySeconds", NUMBER),
    nothing("save_restoreSet_CAReconnect", NUMBER),
    nothing("save_restoreSet_CallbackTimeout", NUMBER),
    nothing("save_restoreSet_UseStatusPVs", NUMBER),
    nothing("save_restoreSet_FilePermissions", NUMBER),
    nothing("save_restoreSet_status_prefix", &[("prefix", Kind::Text)]),
    nothing("set_saveTask_priority", NUMBER),
];

const fn nothing(name: &'static str, arguments: &'static [(&'static str, Kind)]) -> Command {
    Command {
        name,
        arguments,
        usage: "Nothing here; start-up files of other IOCs have it.\n",
        run: |_, _| true,
    }
}

fn joined(args: &Args<'_>) -> String {
    let path = args.text(0).unwrap_or_default().trim_end_matches('/');
    match args.full(1) {
        None if path.is_empty() => ".".to_owned(),
        None => path.to_owned(),
        Some(below) if path.is_empty() => below.to_owned(),
        Some(below) => format!("{path}/{}", below.trim_start_matches('/')),
    }
}

fn period(args: &Args<'_>) -> u32 {
    args.int(1).clamp(1, i64::from(u32::MAX)) as u32
}

fn change(run: &mut Run<'_>, work: impl FnOnce(&mut Settings)) -> bool {
    work(&mut run.shell.autosave);
    tell(run, &[]);
    true
}

/// The host saves when the IOC serves.
fn tell(run: &mut Run<'_>, now: &[String]) {
    if run.shell.running {
        run.host.autosave(&run.shell.autosave, now);
    }
}

fn restore(run: &mut Run<'_>, args: &Args<'_>, pass: Pass) -> bool {
    let Some(file) = args.full(0) else {
        return usage(run, "A file name is needed.");
    };
    if run.shell.running {
        run.complain(format!(
            "{file} is not restored: that is done by iocInit; fdbrestore does it now"
        ));
        return false;
    }
    if run.shell.autosave.restore.len() >= MAX_SETS {
        run.complain(format!(
            "{MAX_SETS} files are restored, the most there may be"
        ));
        return false;
    }
    let macros = args.text(1).unwrap_or_default();
    let entry = (pass, file.to_owned(), macros.to_owned());
    run.shell.autosave.restore.push(entry);
    true
}

fn set(run: &mut Run<'_>, args: &Args<'_>, trigger: Trigger, macros: Option<&str>) -> bool {
    let Some(name) = args.full(0) else {
        return usage(run, "A request file is needed.");
    };
    let macros = macros.unwrap_or_default();
    let here = run.shell.path("");
    let found = Found {
        host: &*run.host,
        path: std::iter::once(here.as_str())
            .chain(run.shell.autosave.request_path.iter().map(String::as_str))
            .collect(),
    };
    let request = read_request(&found, name, macros);
    for line in &request.odd {
        run.mutter(&format!("{line}\n"));
    }
    if request.fields.is_empty() {
        run.complain(format!("{name} names no fields: nothing is saved"));
        return false;
    }
    let short = name.rsplit('/').next().unwrap_or(name);
    let file = format!("{}.sav", short.strip_suffix(".req").unwrap_or(short));
    let set = WatchedSet {
        request: name.to_owned(),
        file: run.shell.autosave.save_file(&file),
        trigger,
        fields: request.fields,
    };
    if let Err(why) = run.shell.autosave.add(set) {
        run.complain(why);
        return false;
    }
    tell(run, &[]);
    request.odd.is_empty()
}

/// Request files in the directories in which they are looked for.
struct Found<'a> {
    host: &'a dyn Host,
    path: Vec<&'a str>,
}

impl Files for Found<'_> {
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        let mut problem = FileProblem::Missing;
        for directory in &self.path {
            let file = match name.starts_with('/') || directory.is_empty() {
                true => name.to_owned(),
                false => format!("{}/{name}", directory.trim_end_matches('/')),
            };
            match self.host.read(&file, limit) {
                Err(other) => problem = other,
                found => return found,
            }
        }
        Err(problem)
    }
}

fn manual_save(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let name = args.full(0).unwrap_or_default().to_owned();
    let known = run
        .shell
        .autosave
        .sets
        .iter()
        .any(|set| set.request == name);
    if !known || !run.shell.running {
        let what = match known {
            true => "manual_save only works after iocInit".to_owned(),
            false => format!("there is no set of {name}; save_restoreShow shows them"),
        };
        run.complain(what);
        return false;
    }
    tell(run, &[name]);
    true
}

fn restore_now(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let Some(name) = args.full(0) else {
        return usage(run, "A save file is needed.");
    };
    let mut said = Vec::new();
    let macros = args.text(1).unwrap_or_default();
    let file = run
        .shell
        .autosave
        .whole(&*run.host, name, macros, &mut said);
    let mut done = said.is_empty();
    if let Some((name, file)) = file {
        // A slice at a time, so that clients do not wait for all of it.
        for entries in file.entries.chunks(super::SLICE) {
            let part = crate::autosave::SaveFile {
                entries: entries.to_vec(),
                ..Default::default()
            };
            match run.running("fdbrestore", |ioc, now| ioc.restore_now(now, &name, &part)) {
                Some(lines) => said.extend(lines),
                None => return false,
            }
        }
    } else {
        done = false;
    }
    for line in said {
        run.mutter(&format!("{line}\n"));
        done = false;
    }
    done
}

fn show(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let own = &run.shell.autosave;
    let mut text = format!(
        "save files in '{}', {} copies each {} s\n",
        own.save_path, own.sequence, own.sequence_period
    );
    for set in &own.sets {
        let when = match &set.trigger {
            Trigger::Change(period) => format!("on change, at most each {period} s"),
            Trigger::Period(period) => format!("each {period} s"),
            Trigger::Pv(pv) => format!("when {pv} changes"),
            Trigger::Manual => "by manual_save".to_owned(),
        };
        text.push_str(&format!(
            "{}: {} fields to {}, {when}\n",
            set.request,
            set.fields.len(),
            set.file
        ));
        if args.int(0) > 0 {
            for field in &set.fields {
                text.push_str(&format!("    {field}\n"));
            }
        }
    }
    run.print(text);
    true
}
