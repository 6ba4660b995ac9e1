//! What the reference tools call differently, told to those who type it here.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::guard::{Escapes, Guard};
use crate::paint::Paint;

/// Shows an error of the parser, help and version among them, and gives the exit code.
pub(crate) fn tell(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let shown = |stream: &dyn Fn() -> Paint| {
        let text = error.render();
        match stream().escapes() {
            Escapes::None => text.to_string(),
            _ => text.ansi().to_string(),
        }
    };
    // Nobody is left to tell of a stream that takes nothing.
    if error.use_stderr() {
        let paint = Paint::of(&io::stderr());
        let mut text = shown(&|| paint);
        if let Some(hint) = hint(error, args) {
            text.push_str(&format!("\n hint: {hint}\n"));
        }
        let _ = write(io::stderr(), paint.escapes(), &text);
    } else {
        let paint = Paint::of(&io::stdout());
        let _ = write(io::stdout(), paint.escapes(), &shown(&|| paint));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn write(stream: impl Write + IsTerminal, escapes: Escapes, text: &str) -> io::Result<()> {
    let mut guard = Guard::new(stream, escapes);
    guard.write_all(text.as_bytes())?;
    guard.flush()
}

/// What to write in place of a mistake, where it is known.
pub(crate) fn hint(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let command = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = named(ContextKind::InvalidSubcommand)?;
            if name == "world" {
                let how = "this program is built without it: cargo run --release --package canter \
                           --features world -- world";
                return Some(how.to_owned());
            }
            Some(match reference_command(name) {
                Some(ours) => format!("it is called `canter {ours}` here"),
                None => format!("the command comes first, as in `canter get {name}`"),
            })
        }
        ErrorKind::UnknownArgument => {
            let option = named(ContextKind::InvalidArg)?;
            let known = option_of_reference(command, option);
            known.map(str::to_owned).or_else(|| {
                let put =
                    "a value that is spelt like an option goes behind `--`: canter put PV -- VALUE";
                (command == "put").then(|| put.to_owned())
            })
        }
        ErrorKind::MissingRequiredArgument | ErrorKind::InvalidValue if command == "put" => Some(
            "a value that is spelt like an option goes behind `--`: canter put PV -- VALUE"
                .to_owned(),
        ),
        _ => None,
    }
}

/// The command that does what a tool of EPICS Base, or a verb of other clients, does.
fn reference_command(name: &str) -> Option<&'static str> {
    Some(match name {
        "caget" | "read" | "cainfo.get" => "get",
        "caput" | "write" | "set" => "put",
        "camonitor" | "subscribe" | "watch" | "camon" => "monitor",
        "cainfo" | "find" | "search" => "info",
        "caRepeater" | "carepeater" => "repeater",
        "softIoc" | "softioc" | "server" => "ioc",
        "catime" | "caEventRate" => "bench",
        _ => return None,
    })
}

/// What an option of `caget`, `caput`, `camonitor` or `cainfo` is here, if not the same.
fn option_of_reference(command: &str, option: &str) -> Option<&'static str> {
    const BASES: &str = "integers are decimal here; for other bases take the bare value, as in \
                         `printf '%#x\\n' $(canter get -t PV)`";
    const SEPARATOR: &str = "there is no separator to choose: --json has each item apart";
    let letter = option.trim_start_matches('-').chars().next()?;
    Some(match (command, letter) {
        ("get" | "put" | "monitor" | "info", 'F') => SEPARATOR,
        ("get" | "put" | "monitor", '0' | 'x' | 'o' | 'b') | ("monitor", 'l') => BASES,
        ("get", 'm') => "to see changes use `canter monitor`",
        ("put", 'a') => {
            "leave it out, and the count: several values are the elements of an array, as in \
             `canter put WAVE 1 2 3`"
        }
        ("put", 'l') => "the time stamp of the new value is shown by `canter get --wide PV`",
        ("put", '#') => "leave it out: as many elements are written as values are given",
        ("monitor", 't') => {
            "each line has the time stamp of the server; with --json it is the field `timestamp`"
        }
        ("monitor", 'd') | ("info", 'd') => "types are asked for with `canter get --type TYPE PV`",
        ("info", 's') => "the configuration of the client is shown with --verbose",
        ("info", 'n' | 't' | 'a' | 'l') => "values are shown by `canter get`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;

    fn told(line: &str) -> String {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::read(args.clone()).expect_err(line);
        hint(&error, &args).unwrap_or_else(|| panic!("no hint for {line}: {error}"))
    }

    #[cfg(not(feature = "world"))]
    #[test]
    fn who_asks_for_the_world_is_told_how_to_have_it() {
        assert!(told("canter world --seeds 3").contains("--features world"));
    }

    /// Every option of the reference tools is taken or explained.
    #[test]
    fn options_of_the_reference_tools_are_known() {
        let lines = [
            "caget -t X",
            "caget -a X",
            "caget -d TIME_DOUBLE X",
            "caget -d 20 X",
            "caget -d DBR_CTRL_DOUBLE X",
            "caget -c X",
            "caget -n X",
            "caget -# 3 X",
            "caget -S X",
            "caget -e 3 X",
            "caget -f 3 X",
            "caget -g 3 X",
            "caget -s X",
            "caget -lx X",
            "caget -lo X",
            "caget -lb X",
            "caget -0x X",
            "caget -0o X",
            "caget -0b X",
            "caget -F , X",
            "caget -w 2 X",
            "caget -p 9 X",
            "caget -V",
            "caget -h",
            "caput -c X 1",
            "caput -t X 1",
            "caput -l X 1",
            "caput -n X 1",
            "caput -s X 1",
            "caput -S X a",
            "caput -a X 2 1 2",
            "caput -# 1 X 1",
            "caput -w 2 X 1",
            "caput -p 9 X 1",
            "caput -F , X 1",
            "caput -h",
            "caput X -5",
            "camonitor -m va X",
            "camonitor -t sc X",
            "camonitor -n X",
            "camonitor -s X",
            "camonitor -S X",
            "camonitor -# 2 X",
            "camonitor -e 3 X",
            "camonitor -f 3 X",
            "camonitor -g 3 X",
            "camonitor -lx X",
            "camonitor -0x X",
            "camonitor -F , X",
            "camonitor -w 2 X",
            "camonitor -p 9 X",
            "cainfo X",
            "cainfo -s 1",
            "cainfo -w 2 X",
            "cainfo -p 9 X",
            "cainfo -F , X",
        ];
        for line in lines {
            let (tool, rest) = line.split_once(' ').unwrap();
            let ours = reference_command(tool).unwrap();
            let args: Vec<OsString> = ["canter", ours]
                .into_iter()
                .chain(rest.split(' '))
                .map(OsString::from)
                .collect();
            match Cli::read(args.clone()) {
                Ok(_) => {}
                Err(error) if !error.use_stderr() => {}
                Err(error) => assert!(hint(&error, &args).is_some(), "{line}: {error}"),
            }
        }
    }

    #[test]
    fn a_tool_named_in_place_of_a_command_is_translated() {
        assert_eq!(told("canter caget X"), "it is called `canter get` here");
        assert_eq!(
            told("canter X:gap"),
            "the command comes first, as in `canter get X:gap`"
        );
        assert!(told("canter get -F , X").contains("--json"));
        assert!(told("canter put X 1 --wiat").contains("behind `--`"));
    }
}
