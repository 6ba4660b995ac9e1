//! Which commands there are, and what their arguments are.

use super::run::Run;
use super::{
    clients, database, dump, fields, listing, put, reports, saving, scans, security, states, system,
};

/// What an argument is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// The name of a record or field.
    Record,
    /// The name of a file.
    Path,
    /// An integer, 0 if it is missing.
    Int,
    /// A number, 0 if it is missing.
    Real,
    /// All that is left.
    Rest,
}

/// A command.
pub(super) struct Command {
    pub name: &'static str,
    pub arguments: &'static [(&'static str, Kind)],
    /// What it does, for `help`.
    pub usage: &'static str,
    /// Whether it did what it was to do.
    pub run: fn(&mut Run<'_>, &Args<'_>) -> bool,
}

/// The arguments of a command.
pub(super) struct Args<'a> {
    given: &'a [String],
}

impl<'a> Args<'a> {
    /// Checks that numbers are numbers.
    pub(super) fn read(command: &Command, given: &'a [String]) -> Result<Self, String> {
        for ((_, kind), text) in command.arguments.iter().zip(given) {
            match kind {
                Kind::Rest => break,
                Kind::Int if integer(text).is_none() => {
                    return Err(format!("Invalid integer '{text}'."));
                }
                Kind::Real if real(text).is_none() => {
                    return Err(format!("Invalid double '{text}'."));
                }
                _ => {}
            }
        }
        Ok(Self { given })
    }

    /// An argument that is there.
    pub(super) fn text(&self, at: usize) -> Option<&'a str> {
        self.given.get(at).map(String::as_str)
    }

    /// An argument that is there, and not empty.
    pub(super) fn full(&self, at: usize) -> Option<&'a str> {
        self.text(at).filter(|text| !text.is_empty())
    }

    pub(super) fn int(&self, at: usize) -> i64 {
        self.text(at).and_then(integer).unwrap_or(0)
    }

    pub(super) fn real(&self, at: usize) -> f64 {
        self.text(at).and_then(real).unwrap_or(0.0)
    }

    pub(super) fn all(&self) -> &'a [String] {
        self.given
    }
}

/// As `strtol` reads it with base 0.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.trim().strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.trim()),
    };
    let number = match digits.get(..2) {
        _ if digits.is_empty() => 0,
        Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16).ok()?,
        _ if digits.starts_with('0') && digits.len() > 1 => {
            i64::from_str_radix(&digits[1..], 8).ok()?
        }
        _ => digits.parse().ok()?,
    };
    Some(if negative { -number } else { number })
}

fn real(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(0.0);
    }
    let (number, length) = ca_proto::text::parse::strtod(text.as_bytes()).ok()?;
    (length == text.len()).then_some(number)
}

/// A command by its name.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|command| command.name == name)
}

/// All commands, sorted by name.
pub(super) fn sorted() -> Vec<&'static Command> {
    let mut all: Vec<&Command> = TABLES.iter().flat_map(|table| table.iter()).collect();
    all.sort_by_key(|command| command.name);
    all
}

/// The names of all commands.
pub fn command_names() -> impl Iterator<Item = &'static str> {
    TABLES
        .iter()
        .flat_map(|table| table.iter().map(|command| command.name))
}

/// What the word at the end of a line may be: where it begins, and the words that it may become. Names of records
/// come from `records`, which gets the begin of a name.
pub fn complete(
    line: &str,
    records: impl FnOnce(&str) -> Vec<String>,
) -> (usize, Vec<String>, bool) {
    let separators = [' ', '\t', '(', ',', '"', '\''];
    let begin = line.rfind(separators).map_or(0, |at| at + 1);
    let (before, word) = line.split_at(begin);
    let mut words = before
        .split(separators)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>();
    let matching = |all: Vec<String>| {
        let mut all: Vec<String> = all
            .into_iter()
            .filter(|name| name.starts_with(word))
            .collect();
        all.sort();
        all
    };
    if words.is_empty() {
        let names = command_names().map(str::to_owned).collect();
        return (begin, matching(names), false);
    }
    let command = words.remove(0);
    if command == "help" {
        let names = command_names().map(str::to_owned).collect();
        return (begin, matching(names), false);
    }
    let kind = find(command).and_then(|command| command.arguments.get(words.len()));
    match kind.map(|(_, kind)| kind) {
        Some(Kind::Record) => (begin, matching(records(word)), false),
        Some(Kind::Path) => (begin, Vec::new(), true),
        _ if before.trim_end().ends_with(['<', '>']) => (begin, Vec::new(), true),
        _ => (begin, Vec::new(), false),
    }
}

const TABLES: &[&[Command]] = &[
    database::COMMANDS,
    listing::COMMANDS,
    fields::COMMANDS,
    put::COMMANDS,
    scans::COMMANDS,
    states::COMMANDS,
    clients::COMMANDS,
    system::COMMANDS,
    saving::COMMANDS,
    security::COMMANDS,
    reports::COMMANDS,
    dump::COMMANDS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_one_name_and_a_help_text() {
        let all = sorted();
        for pair in all.windows(2) {
            assert_ne!(pair[0].name, pair[1].name);
        }
        for command in all {
            assert!(command.usage.ends_with('\n'), "{}", command.name);
        }
    }

    #[test]
    fn integers_are_those_of_c() {
        let all = ["", "7", "-7", "0x1F", "010", " 3 "].map(integer);
        assert_eq!(all, [0, 7, -7, 31, 8, 3].map(Some));
        assert_eq!(integer("x"), None);
        assert_eq!(integer("é"), None);
    }

    #[test]
    fn commands_records_and_files_are_completed() {
        let records = |_: &str| vec!["sr:gap".to_owned(), "sr:gain".into(), "other".into()];
        let (begin, words, _) = complete("dbg", records);
        assert_eq!((begin, words.join(" ").as_str()), (0, "dbgf dbglob dbgrep"));
        assert_eq!(complete("dbgf sr:", records).1, ["sr:gain", "sr:gap"]);
        assert_eq!(complete("dbgf(\"sr:g", records).0, 6);
        assert!(complete("iocshLoad s", records).2);
        assert!(complete("dbl > s", records).2);
        assert_eq!(complete("help dbp", records).1, ["dbpf", "dbpr"]);
    }
}
