//! Which arguments of `canter put` and `canter wait` are options.
//!
//! A value, or a condition, may begin with a minus: a number, `-inf`, `-5V` for a string. So that nothing has to guess what a
//! number is, the rule looks at the options alone: behind the PV an argument is an option if the command
//! has it, or if it looks like a long one, and a value else. Behind `--` all are values.

use std::collections::HashMap;
use std::ffi::OsString;
use std::iter;

use clap::{Args, Command};

use super::PutArgs;
use crate::wait::WaitArgs;

/// The arguments of the process with those of `canter put` and `canter wait` sorted: options, `--`, PV and
/// values.
pub(crate) fn arranged(args: Vec<OsString>) -> Vec<OsString> {
    let command = args.get(1).and_then(|command| command.to_str());
    let known = match command {
        Some("put") => Known::of(PutArgs::augment_args(Command::new("put"))),
        Some("wait") => Known::of(WaitArgs::augment_args(Command::new("wait"))),
        _ => return args,
    };
    let mut args = args.into_iter();
    let mut sorted: Vec<OsString> = args.by_ref().take(2).collect();
    let mut operands = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--" {
            operands.extend(args.by_ref());
            break;
        }
        match known.kind(arg.as_encoded_bytes(), !operands.is_empty()) {
            Kind::Operand => operands.push(arg),
            Kind::Option => sorted.push(arg),
            Kind::WithNext => sorted.extend(iter::once(arg).chain(args.next())),
        }
    }
    if !operands.is_empty() {
        sorted.push("--".into());
        sorted.append(&mut operands);
    }
    sorted
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// The PV or a value.
    Operand,
    Option,
    /// An option whose value is the next argument.
    WithNext,
}

/// The options of the command, and whether they take a value.
struct Known {
    short: HashMap<char, bool>,
    long: HashMap<String, bool>,
}

impl Known {
    fn of(command: Command) -> Self {
        let mut known = Self {
            short: HashMap::from([('h', false), ('V', false)]),
            long: HashMap::new(),
        };
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            let takes = arg.get_action().takes_values();
            let shorts = arg.get_short_and_visible_aliases().unwrap_or_default();
            known.short.extend(shorts.into_iter().map(|c| (c, takes)));
            let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
            let longs = longs.into_iter().map(|name| (name.to_owned(), takes));
            known.long.extend(longs);
        }
        known
    }

    fn kind(&self, arg: &[u8], behind_pv: bool) -> Kind {
        match arg {
            [b'-', b'-', name @ ..]
                if !behind_pv || name.first().is_some_and(u8::is_ascii_alphabetic) =>
            {
                self.long(name)
            }
            [b'-', b'-', ..] | [b'-'] => Kind::Operand,
            [b'-', letters @ ..] => match self.short(letters, behind_pv) {
                // Before the PV there is nothing else that it may be; the parser says what is wrong.
                None if !behind_pv => Kind::Option,
                None => Kind::Operand,
                Some(kind) => kind,
            },
            _ => Kind::Operand,
        }
    }

    /// A name that is not known is a mistake more likely than a text.
    fn long(&self, name: &[u8]) -> Kind {
        let takes = std::str::from_utf8(name)
            .ok()
            .and_then(|name| self.long.get(name));
        match takes {
            Some(true) => Kind::WithNext,
            _ => Kind::Option,
        }
    }

    /// `-c`, `-cS`, `-w 5`, `-w5`; `None` if it is no option.
    fn short(&self, letters: &[u8], behind_pv: bool) -> Option<Kind> {
        for (at, &letter) in letters.iter().enumerate() {
            let takes = *self.short.get(&char::from(letter))?;
            let attached = &letters[at + 1..];
            if takes {
                return match attached {
                    [] => Some(Kind::WithNext),
                    _ if behind_pv && !is_number(attached) => None,
                    _ => Some(Kind::Option),
                };
            }
        }
        Some(Kind::Option)
    }
}

/// What the short options of the command take is a number.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"=").unwrap_or(text);
    text.iter().any(u8::is_ascii_digit) && text.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let args: Vec<String> = arranged(args)
            .into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect();
        args.join(" ")
    }

    #[test]
    fn what_the_command_has_no_option_for_is_a_value() {
        for value in [
            "-1e-3",
            "-0x10",
            "-inf",
            "-nan",
            "-.5",
            "-5V",
            "-",
            "-x",
            "-1",
            "--1",
            "---",
            "-easy",
            "-wide",
            "-0",
            "-é",
            "-5 -6 -7e3",
            "-s5V",
        ] {
            assert_eq!(
                sorted(&format!("canter put gap {value}")),
                format!("canter put -- gap {value}")
            );
        }
    }

    #[test]
    fn options_stand_anywhere() {
        for line in [
            "canter put -c -w 5 gap -1",
            "canter put gap -c -1 -w 5",
            "canter put gap -1 -c -w 5",
        ] {
            assert_eq!(sorted(line), "canter put -c -w 5 -- gap -1");
        }
        assert_eq!(
            sorted("canter put gap 1 --timeout=5 -w5 -f2 -cS"),
            "canter put --timeout=5 -w5 -f2 -cS -- gap 1"
        );
        assert_eq!(
            sorted("canter put gap 1 --timeout 5"),
            "canter put --timeout 5 -- gap 1"
        );
        // The value of an option is never the PV.
        assert_eq!(
            sorted("canter put -w -1 gap 1"),
            "canter put -w -1 -- gap 1"
        );
    }

    #[test]
    fn conditions_may_begin_with_a_minus() {
        assert_eq!(
            sorted("canter wait gap -5..-1 --hold 2 x -1e-3 -q"),
            "canter wait --hold 2 -q -- gap -5..-1 x -1e-3"
        );
    }

    #[test]
    fn behind_two_dashes_all_are_values() {
        assert_eq!(sorted("canter put note -- -c"), "canter put -- note -c");
        assert_eq!(
            sorted("canter put -- note -c -- -w"),
            "canter put -- note -c -- -w"
        );
        assert_eq!(sorted("canter put note -- --"), "canter put -- note --");
        assert_eq!(sorted("canter put -c note --"), "canter put -c -- note");
    }

    #[test]
    fn a_mistaken_option_is_left_to_the_parser() {
        assert_eq!(
            sorted("canter put gap 1 --wiat"),
            "canter put --wiat -- gap 1"
        );
        assert_eq!(sorted("canter put -x gap 1"), "canter put -x -- gap 1");
        assert_eq!(sorted("canter get gap -1"), "canter get gap -1");
        assert_eq!(sorted("canter put"), "canter put");
    }
}
