//! Commands before the IOC serves: loading files, `iocInit`.

use super::commands::{Args, Command, Kind};
use super::host::Start;
use super::run::Run;
use super::session::{Load, What};
use crate::autosave::Pass;
use crate::load::{Files, access_security};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "dbLoadDatabase",
        arguments: &[
            ("file name", Kind::Path),
            ("path", Kind::Text),
            ("substitutions", Kind::Text),
        ],
        usage: "Loads record types, menus and devices from a .dbd file, which is looked for in the\n\
                directories of 'path', a:b. Those of EPICS Base are there without it.\n\n\
                Example: dbLoadDatabase dbd/my.dbd\n",
        run: |run, args| load(run, args, What::Dbd, args.text(2), args.text(1)),
    },
    Command {
        name: "dbLoadRecords",
        arguments: &[("file name", Kind::Path), ("substitutions", Kind::Text)],
        usage: "Loads records from a .db or .template file, with macros as A=1,B=2. A file with a mistake\n\
                is left out, all its mistakes are told.\n\n\
                Example: dbLoadRecords db/my.db 'user=me,host=here'\n",
        run: |run, args| load(run, args, What::Records, args.text(1), None),
    },
    Command {
        name: "dbLoadTemplate",
        arguments: &[
            ("file name", Kind::Path),
            ("var1=value1,var2=value2", Kind::Text),
            ("path1:path2:...", Kind::Text),
        ],
        usage: "Loads the templates that a .substitutions file names. Macros of the second argument hold\n\
                for all of them; the directories of the third are looked into.\n\n\
                Example: dbLoadTemplate db/my.substitutions 'user=me'\n",
        run: |run, args| load(run, args, What::Template, args.text(1), args.text(2)),
    },
    Command {
        name: "iocInit",
        arguments: &[],
        usage: "Makes an IOC of what was loaded, and serves it.\n",
        run: |run, _| init(run),
    },
    Command {
        name: "iocBuild",
        arguments: &[],
        usage: "As iocInit.\n",
        run: |run, _| init(run),
    },
    Command {
        name: "afterIocRunning",
        arguments: &[("command", Kind::Rest)],
        usage: "Executes a line once iocInit is done.\n\nExample: afterIocRunning 'dbpf sr:gap 1.5'\n",
        run: |run, args| {
            if run.shell.running {
                run.complain("WARNING afterIocRunning: can only be used before 'iocInit'");
                return true;
            }
            let all = &mut run.shell.afterwards;
            if all.len() >= MAX_AFTERWARDS {
                run.complain(format!(
                    "at most {MAX_AFTERWARDS} lines wait for iocInit; this one is left out"
                ));
                return false;
            }
            all.push(args.all().join(" "));
            true
        },
    },
    Command {
        name: "asSetFilename",
        arguments: &[("ascf", Kind::Path)],
        usage: "Names the file of access security. It is read by iocInit, and by asInit.\n",
        run: |run, args| {
            let file = args.full(0).map(|file| run.shell.path(file));
            let macros = run.shell.substitutions.clone();
            run.shell.access = file.map(|file| (file, macros));
            true
        },
    },
    Command {
        name: "asSetSubstitutions",
        arguments: &[("substitutions", Kind::Text)],
        usage: "Macros for the file of access security, as A=1,B=2; before or behind asSetFilename.\n",
        run: |run, args| {
            args.text(0)
                .unwrap_or_default()
                .clone_into(&mut run.shell.substitutions);
            if let Some((_, macros)) = &mut run.shell.access {
                macros.clone_from(&run.shell.substitutions);
            }
            true
        },
    },
    Command {
        name: "asInit",
        arguments: &[],
        usage: "Reads the file of access security anew, and says what is wrong in it.\n",
        run: |run, _| access(run),
    },
];

/// Lines that wait for `iocInit`.
const MAX_AFTERWARDS: usize = 1000;

fn load(
    run: &mut Run<'_>,
    args: &Args<'_>,
    what: What,
    macros: Option<&str>,
    path: Option<&str>,
) -> bool {
    let Some(name) = args.full(0) else {
        run.say("A file name is needed; `help` shows how it is used.");
        return false;
    };
    if run.shell.running {
        let what = match what {
            What::Dbd => "Record types",
            _ => "Records",
        };
        run.complain(format!(
            "Failed to load '{name}': {what} cannot be loaded after iocInit"
        ));
        return false;
    }
    let from = match what {
        What::Dbd => "EPICS_DB_INCLUDE_PATH",
        _ if path.is_some() => "",
        _ => "EPICS_DB_INCLUDE_PATH",
    };
    let path = path.or_else(|| run.shell.variable(from));
    let path = path.into_iter().flat_map(|path| path.split(':'));
    let load = Load {
        what,
        name: name.to_owned(),
        macros: macros.unwrap_or_default().to_owned(),
        // What is here is found too.
        path: path
            .chain(std::iter::once("."))
            .filter(|directory| !directory.is_empty())
            .map(str::to_owned)
            .collect(),
        directory: run.shell.directory.clone(),
        environment: run.shell.environment.clone(),
    };
    match run.shell.session.load(&*run.host, load) {
        Ok(odd) => {
            if !odd.is_empty() {
                run.mutter(&format!("{odd}\n"));
            }
            true
        }
        Err(mistakes) => {
            run.mutter(&format!("{mistakes}\n"));
            run.complain(format!("Failed to load '{name}', it is left out"));
            false
        }
    }
}

fn init(run: &mut Run<'_>) -> bool {
    if run.shell.running {
        run.complain("iocInit: the IOC serves already");
        return false;
    }
    run.say("Starting iocInit");
    let mut restores = Vec::new();
    for pass in [Pass::Before, Pass::After] {
        let (found, said) = run.shell.autosave.restores(&*run.host, pass);
        restores.extend(found);
        for line in said {
            run.complain(line);
        }
    }
    let records = run.shell.session.finish(&*run.host);
    let start = Start {
        records,
        environment: run.shell.environment.clone(),
        access: run.shell.access.clone(),
        restores,
        autosave: run.shell.autosave.clone(),
        functions: Vec::new(),
    };
    match run.host.init(start) {
        Ok(started) => {
            run.shell.running = true;
            for line in started.remarks {
                run.mutter(&format!("{line}\n"));
            }
            run.say("iocRun: All initialization complete");
            for line in std::mem::take(&mut run.shell.afterwards) {
                run.say(&line);
                run.run_line(&line, "");
            }
            true
        }
        Err(why) => {
            run.complain(format!("iocInit failed: {why}"));
            false
        }
    }
}

fn access(run: &mut Run<'_>) -> bool {
    struct OfHost<'a>(&'a dyn super::Host);
    impl Files for OfHost<'_> {
        fn read(
            &self,
            name: &str,
            limit: usize,
        ) -> Result<std::sync::Arc<[u8]>, crate::load::FileProblem> {
            self.0.read(name, limit)
        }
    }
    let Some((file, macros)) = run.shell.access.clone() else {
        run.say("There is no file of access security; asSetFilename names one.");
        return true;
    };
    let (rules, mistakes) = access_security(&OfHost(&*run.host), &file, &macros);
    if !mistakes.is_empty() {
        let text = mistakes.render_since(0, run.host.styled());
        run.mutter(&format!("{text}\n"));
    }
    if mistakes.has_errors() {
        return false;
    }
    // Before iocInit they are only looked at: that reads them.
    let rules = crate::access::ReadyRules::from(rules);
    drop(run.ioc(|ioc, now| ioc.set_access_security(now, rules)));
    true
}
