//! Commands about the state of the whole IOC: `freeze`, `thaw`, `step`, `snapshot`, `rewind`, `fault`, which the reference
//! does not have; `iocPause` and `iocRun`; the flags of `dbState`.

use std::time::Duration;

use super::commands::{Args, Command, Kind};
use super::run::{Run, shown};
use crate::ioc::Ioc;
use crate::state::{IocSnapshot, MAX_SNAPSHOT, Step};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "freeze",
        arguments: &[],
        usage: "Lets time stand still for scans, timers, signals and faults; clients read and write as before.\n",
        run: |run, _| {
            let done = run.running("freeze", |ioc, now| ioc.freeze(now));
            if done == Some(false) {
                run.say("time stands still already");
            }
            done.is_some()
        },
    },
    Command {
        name: "thaw",
        arguments: &[],
        usage: "Lets time go on after freeze.\n",
        run: |run, _| {
            let done = run.running("thaw", |ioc, now| ioc.thaw(now));
            if done == Some(false) {
                run.say("time goes on already");
            }
            done.is_some()
        },
    },
    Command {
        name: "step",
        arguments: &[("seconds", Kind::Real)],
        usage: "After freeze: goes on to the next moment at which something is due, or so many seconds,\n\
                as fast as it goes.\n\nExample: step 60\n",
        run: step,
    },
    Command {
        name: "snapshot",
        arguments: &[("file", Kind::Path)],
        usage: "Keeps the state of the whole IOC, in memory or in a file.\n\nExample: snapshot before.snap\n",
        run: snapshot,
    },
    Command {
        name: "rewind",
        arguments: &[("file", Kind::Path)],
        usage: "Goes back to the last snapshot, or to one in a file, of an IOC with the same records.\n\
                Clients stay connected, and see the old values.\n",
        run: rewind,
    },
    Command {
        name: "fault",
        arguments: &[("fault ...", Kind::Rest)],
        usage: "Begins a fault, ends some, or lists those that are on.\n\n\
                Example: fault stuck sr:gap for 10s\n\
                \x20        fault reboot by 3s\n\
                \x20        fault off all\n",
        run: fault,
    },
    Command {
        name: "iocPause",
        arguments: &[],
        usage: "As freeze: nothing happens by itself. Clients stay, read and write.\n",
        run: |run, _| {
            let done = run.running("iocPause", |ioc, now| ioc.freeze(now));
            match done {
                Some(true) => run.complain("iocPause: IOC suspended"),
                Some(false) => run.complain("iocPause: IOC not running"),
                None => {}
            }
            done == Some(true)
        },
    },
    Command {
        name: "iocRun",
        arguments: &[],
        usage: "Goes on after iocPause. Behind iocBuild it has nothing to do: that lets the IOC serve already.\n",
        run: |run, _| {
            if run.ioc(|ioc, now| ioc.thaw(now)) == Some(true) {
                run.complain("iocRun: IOC restarted");
            }
            true
        },
    },
    Command {
        name: "dbStateCreate",
        arguments: FLAG,
        usage: "Makes a flag, for links such as {state: \"red\"} and filters such as {sync: {while: \"red\"}}.\n",
        run: |run, args| {
            flag(run, args, |ioc, name| {
                if ioc.state(name).is_none() {
                    ioc.set_state(name, false);
                }
            })
        },
    },
    Command {
        name: "dbStateSet",
        arguments: FLAG,
        usage: "Sets a flag.\n",
        run: |run, args| flag(run, args, |ioc, name| set_flag(ioc, name, true)),
    },
    Command {
        name: "dbStateClear",
        arguments: FLAG,
        usage: "Clears a flag.\n",
        run: |run, args| flag(run, args, |ioc, name| set_flag(ioc, name, false)),
    },
    Command {
        name: "dbStateShow",
        arguments: &[("state", Kind::Text), ("level", Kind::Int)],
        usage: "Shows whether a flag is set; with level 1 its name too.\n",
        run: |run, args| {
            let Some(name) = args.full(0) else {
                return true;
            };
            match run.ioc(|ioc, _| ioc.state(name)).flatten() {
                Some(set) if args.int(1) > 0 => run.print(shown_flag(name, set)),
                Some(set) => run.say(if set { "TRUE" } else { "FALSE" }),
                None => {}
            }
            true
        },
    },
    Command {
        name: "dbStateShowAll",
        arguments: &[("level", Kind::Int)],
        usage: "Shows all flags.\n",
        run: |run, _| {
            let all = run.ioc(|ioc, _| ioc.db.flags()).unwrap_or_default();
            let text: String = all
                .iter()
                .map(|(name, set)| shown_flag(name, *set))
                .collect();
            run.print(text);
            true
        },
    },
];

const FLAG: &[(&str, Kind)] = &[("state", Kind::Text)];

/// Does something with a flag, before iocInit too.
fn flag(run: &mut Run<'_>, args: &Args<'_>, work: impl FnOnce(&mut Ioc, &str)) -> bool {
    let Some(name) = args.full(0) else {
        run.say("The name of a flag is needed; `help` shows how it is used.");
        return false;
    };
    run.running("dbState", |ioc, _| work(ioc, name)).is_some()
}

/// One that is not there is left alone.
fn set_flag(ioc: &mut Ioc, name: &str, set: bool) {
    if ioc.state(name).is_some() {
        ioc.set_state(name, set);
    }
}

fn shown_flag(name: &str, set: bool) -> String {
    format!("'{name}' : {}\n", if set { "TRUE" } else { "FALSE" })
}

fn fault(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let line = match args.all() {
        [] => "list".to_owned(),
        words => words.join(" "),
    };
    match run.running("fault", |ioc, now| ioc.fault(now, &line)) {
        None => false,
        Some(Ok(lines)) => {
            lines.iter().for_each(|line| run.say(line));
            true
        }
        Some(Err(error)) => {
            run.complain(error.to_string());
            false
        }
    }
}

fn step(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let step = match args.full(0) {
        None => Step::Event,
        Some(_) => match Duration::try_from_secs_f64(args.real(0)) {
            Ok(time) => Step::Time(time),
            Err(_) => {
                run.complain("a step takes some seconds, 0 or more");
                return false;
            }
        },
    };
    let went = match run.running("step", |ioc, now| ioc.step(now, step)) {
        None => return false,
        Some(Err(error)) => {
            run.complain(error.to_string());
            return false;
        }
        Some(Ok(went)) => went,
    };
    let Some(went) = went else {
        run.say("nothing will be due by itself");
        return true;
    };
    // Others have their turns in between, and may end it.
    let go_on = |run: &mut Run<'_>| {
        run.ioc(|ioc, now| {
            let goes = ioc.is_stepping(now);
            if goes {
                ioc.handle_timeout(now);
            }
            goes
        })
    };
    while go_on(run) == Some(true) {}
    run.say(format!("{} s", went.as_secs_f64()));
    true
}

fn snapshot(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let file = args.full(0);
    if run.running("snapshot", |_, _| ()).is_none() {
        return false;
    }
    let Some(taken) = run.host.snapshot() else {
        return false;
    };
    let done = match (taken, file) {
        (Ok(snapshot), Some(file)) => {
            let path = run.shell.path(file);
            run.host.write_snapshot(&path, &snapshot).map(|()| snapshot)
        }
        (Ok(snapshot), None) => {
            let kept = snapshot.clone();
            run.ioc(|ioc, _| ioc.keep(kept));
            Ok(snapshot)
        }
        (taken, _) => taken,
    };
    match done {
        Ok(snapshot) => {
            run.say(format!("{} bytes", snapshot.as_bytes().len()));
            true
        }
        Err(error) => {
            run.complain(error.to_string());
            false
        }
    }
}

/// Goes back to what was kept or read.
fn back(run: &mut Run<'_>, to: Result<IocSnapshot, String>) -> Option<Result<(), String>> {
    match to {
        Ok(snapshot) => {
            let done = run.host.rewind(&snapshot)?;
            Some(done.map_err(|error| error.to_string()))
        }
        Err(what) => Some(Err(what)),
    }
}

fn rewind(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let Some(kept) = run.running("rewind", |ioc, _| ioc.kept_snapshot().cloned()) else {
        return false;
    };
    let done = match args.full(0) {
        None => back(
            run,
            kept.ok_or_else(|| {
                "there is no snapshot; take one with `snapshot`, or name a file".to_owned()
            }),
        ),
        Some(file) => {
            let path = run.shell.path(file);
            let most = usize::try_from(MAX_SNAPSHOT).unwrap_or(usize::MAX);
            let read = run
                .host
                .read(&path, most)
                .map_err(|problem| shown(&problem));
            let read =
                read.and_then(|bytes| IocSnapshot::from_bytes(bytes).map_err(|e| e.to_string()));
            back(run, read).map(|done| done.map_err(|what| format!("{file}: {what}")))
        }
    };
    match done {
        None => false,
        Some(Ok(())) => true,
        Some(Err(what)) => {
            run.complain(what);
            false
        }
    }
}
