//! Commands about the shell itself: variables, scripts, directories, help.

use std::time::Duration;

use super::OnError;
use super::commands::{self, Args, Command, Kind};
use super::format::matches;
use super::run::Run;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "#",
        arguments: &[("[text ...]", Kind::Rest)],
        usage: "A comment.\n",
        run: |_, _| true,
    },
    Command {
        name: "help",
        arguments: &[("[command ...]", Kind::Rest)],
        usage: "Lists the commands, or tells how some are used; with * and ? in their names.\n",
        run: |run, args| help(run, args),
    },
    Command {
        name: "exit",
        arguments: &[],
        usage: "Ends the script, and in the console the program.\n",
        run: |_, _| true,
    },
    Command {
        name: "echo",
        arguments: &[("string", Kind::Text)],
        usage: "Prints its argument.\n",
        run: |run, args| {
            run.say(unescaped(args.text(0).unwrap_or_default()));
            true
        },
    },
    Command {
        name: "date",
        arguments: &[("format", Kind::Text)],
        usage: "Prints date and time; the format is that of strftime, '%Y/%m/%d %H:%M:%S.%6f' by default.\n",
        run: |run, args| {
            let format = args.full(0).unwrap_or("%Y/%m/%d %H:%M:%S.%6f");
            let now = run.host.now();
            let text = run.host.date(now, &format.replace("%06f", "%6f"));
            if text.is_empty() {
                run.complain(format!("'{format}' is no format"));
                return false;
            }
            run.say(text);
            true
        },
    },
    Command {
        name: "epicsThreadSleep",
        arguments: &[("seconds", Kind::Real)],
        usage: "Waits, as long as 'seconds' says.\n",
        run: |run, args| {
            if let Ok(time) = Duration::try_from_secs_f64(args.real(0)) {
                run.host.sleep(time);
            }
            true
        },
    },
    Command {
        name: "pwd",
        arguments: &[],
        usage: "Prints the current directory.\n",
        run: |run, _| {
            let directory = match run.shell.directory.as_str() {
                "" => run.host.directory(),
                own if own.starts_with('/') => own.to_owned(),
                own => format!("{}/{own}", run.host.directory()),
            };
            run.say(directory);
            true
        },
    },
    Command {
        name: "cd",
        arguments: &[("directory name", Kind::Path)],
        usage: "Goes to another directory: names of files count from there.\n",
        run: |run, args| cd(run, args),
    },
    Command {
        name: "epicsEnvSet",
        arguments: &[("name", Kind::Text), ("value", Kind::Text)],
        usage: "Sets a variable of the environment, and the macro of that name.\n\n\
                Example: epicsEnvSet EPICS_CAS_INTF_ADDR_LIST 127.0.0.1\n",
        run: |run, args| match (args.full(0), args.text(1)) {
            (None, _) => super::fields::usage(run, "Missing environment variable name argument."),
            (_, None) => super::fields::usage(run, "Missing environment variable value argument."),
            (Some(name), Some(value)) => {
                run.shell.set_variable(name, value);
                true
            }
        },
    },
    Command {
        name: "epicsEnvUnset",
        arguments: &[("name", Kind::Text)],
        usage: "Takes a variable of the environment away.\n",
        run: |run, args| match args.full(0) {
            None => super::fields::usage(run, "Missing environment variable name argument."),
            Some(name) => {
                run.shell.unset_variable(name);
                true
            }
        },
    },
    Command {
        name: "epicsEnvShow",
        arguments: &[("[name]", Kind::Text)],
        usage: "Shows the environment, or one variable of it.\n",
        run: |run, args| {
            let pattern = args.full(0).unwrap_or("*");
            let all = run.shell.environment.iter();
            let lines = all
                .filter(|(name, _)| matches(name, pattern))
                .map(|(name, value)| format!("{name}={value}\n"));
            let text: String = lines.collect();
            if text.is_empty() && args.full(0).is_some() {
                run.say(format!("{pattern} is not an environment variable."));
                return true;
            }
            run.print(text);
            true
        },
    },
    Command {
        name: "var",
        arguments: &[("[variable", Kind::Text), ("[value]]", Kind::Text)],
        usage: "Shows all variables, shows one, or sets it.\n",
        run: |run, args| var(run, args),
    },
    Command {
        name: "iocshLoad",
        arguments: &[("pathname", Kind::Path), ("macros", Kind::Text)],
        usage: "Executes the lines of a file, with macros as A=1,B=2 for them.\n",
        run: |run, args| match args.full(0) {
            Some(file) => run.load(file, args.text(1).unwrap_or_default()),
            None => super::fields::usage(run, "Usage: iocshLoad \"file\", \"macros\""),
        },
    },
    Command {
        name: "iocshRun",
        arguments: &[("command", Kind::Text), ("macros", Kind::Text)],
        usage: "Executes a line, with macros as A=1,B=2 for it.\n",
        run: |run, args| match args.text(0) {
            Some(line) => run.run_line(line, args.text(1).unwrap_or_default()),
            None => true,
        },
    },
    Command {
        name: "iocshCmd",
        arguments: &[("command", Kind::Text)],
        usage: "Executes a line.\n",
        run: |run, args| match args.text(0) {
            Some(line) => run.run_line(line, ""),
            None => true,
        },
    },
    Command {
        name: "on",
        arguments: &[("'error' 'continue' | 'break' | 'wait' [value]", Kind::Rest)],
        usage: "What a script does after a command that failed: `on error break` ends the script,\n\
                `on error wait 2` waits for 2 seconds, `on error continue` goes on.\n",
        run: |run, args| on_error(run, args),
    },
];

/// The escapes of C.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('a') => out.push('\u{7}'),
                Some('e') => out.push('\u{1b}'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

fn help(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let all = commands::sorted();
    if args.all().is_empty() {
        let (mut text, mut column) = (String::new(), 0);
        for command in all {
            if command.name.len() + column >= 79 {
                text.push('\n');
                column = 0;
            }
            text.push_str(command.name);
            column += command.name.len();
            if column >= 64 {
                text.push('\n');
                column = 0;
            } else {
                let next = (column / 16 + 1) * 16;
                text.push_str(&" ".repeat(next - column));
                column = next;
            }
        }
        if column > 0 {
            text.push('\n');
        }
        text.push_str(
            "\nType 'help <command>' to see the arguments of <command>.  eg. 'help db*'\n",
        );
        run.print(text);
        return true;
    }
    let mut first = true;
    for pattern in args.all() {
        let found: Vec<_> = all
            .iter()
            .filter(|command| matches(command.name, pattern))
            .collect();
        if found.is_empty() {
            let meant = crate::slip::nearest(pattern, commands::command_names());
            let meant = meant.map_or_else(String::new, |meant| format!("; is `{meant}` meant?"));
            run.complain(format!("There is no command {pattern}{meant}"));
        }
        for command in found {
            if !std::mem::take(&mut first) {
                run.say("_".repeat(60));
            }
            run.print(format!("\n{}\n\n{}", command.synopsis(), command.usage));
        }
    }
    true
}

fn cd(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let Some(to) = args.full(0) else {
        run.complain("Invalid directory path, ignored");
        return false;
    };
    let path = run.shell.path(to);
    // Names do not grow without end.
    if path.len() > super::MAX_LINE || !run.host.is_directory(&path) {
        run.complain(format!(
            "Invalid directory path, ignored: there is no directory {to}"
        ));
        return false;
    }
    run.shell.directory = tidy(&path);
    true
}

/// A path without `.`, and without what `..` leaves again.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    match path.starts_with('/') {
        true => format!("/{}", parts.join("/")),
        false => parts.join("/"),
    }
}

fn var(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    let shown = |name: &str, number: super::variables::Number| {
        let of = match number {
            super::variables::Number::Int(_) => "int",
            super::variables::Number::Real(_) => "double",
        };
        format!("{of} {name} = {number}\n")
    };
    let (name, value) = (args.full(0), args.text(1));
    let Some(name) = name else {
        let all = run.shell.variables.iter();
        let text: String = all.map(|(name, number)| shown(name, number)).collect();
        run.print(text);
        return true;
    };
    if let Some(value) = value {
        // Those of modules are not here; scripts set them all the same.
        return match run
            .shell
            .variables
            .find(name)
            .map(|number| number.set(value))
        {
            Some(true) => true,
            Some(false) => {
                run.complain(format!("Invalid value '{value}' for variable {name}."));
                false
            }
            None => {
                run.complain(format!("There is no variable {name}, it is not set"));
                true
            }
        };
    }
    let all = run.shell.variables.iter();
    let found = all.filter(|(known, _)| matches(known, name));
    let text: String = found.map(|(name, number)| shown(name, number)).collect();
    if text.is_empty() {
        run.complain(format!("There is no variable {name}"));
        return false;
    }
    run.print(text);
    true
}

fn on_error(run: &mut Run<'_>, args: &Args<'_>) -> bool {
    if !run.is_scripted() {
        run.complain("'on error' is for scripts, here it does nothing");
        return true;
    }
    let words: Vec<&str> = args.all().iter().map(String::as_str).collect();
    let new = match words[..] {
        ["error", "continue"] => Some(OnError::Continue),
        // Nobody could wake what halts.
        ["error", "break" | "halt"] => Some(OnError::Break),
        ["error", "wait", time] => {
            let time = time
                .parse()
                .ok()
                .and_then(|time| Duration::try_from_secs_f64(time).ok());
            time.map(OnError::Wait)
        }
        _ => None,
    };
    match new {
        Some(new) => {
            run.shell.on_error = new;
            true
        }
        None => {
            run.complain("Usage: on error [continue | break | halt | wait <delay>]");
            false
        }
    }
}
