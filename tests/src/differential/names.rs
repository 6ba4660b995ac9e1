//! Channel names with modifiers and filters, and what can be compared of what they tell.

use ca_server_sim::record::{Dbf, Field, RecordType, Special};

use crate::oracle::Dice;

/// Flags that `sync` looks at.
pub const STATES: [&str; 2] = ["red", "green"];

/// What makes the time a value, which is another one in each IOC.
const TIMES: [&str; 7] = [
    "ts:{num:'dbl'}",
    "ts:{num:'sec'}",
    "ts:{num:'nsec'}",
    "ts:{num:'ts'}",
    "ts:{str:'epics'}",
    "ts:{str:'iso'}",
    "ts:{num:'sec',epoch:'unix'}",
];
/// Parts of an array as modifiers, and as filters. None of a fixed end from a start that counts from the end, and
/// none whose start is behind its end when it has all its elements: `PROTOCOL.md`, S47.
const PARTS: [&str; 9] = [
    "[1]",
    "[1:3]",
    "[::2]",
    "[0:2:-1]",
    "[-2:]",
    "[]",
    "[2:1]",
    "[:-2]",
    "[-3:2:-1]",
];
const ARRAYS: [&str; 6] = [
    "arr:{}",
    "arr:{s:1}",
    "arr:{s:1,e:3}",
    "arr:{s:-3,i:2}",
    "arr:{e:-2}",
    "\"arr\":{\"s\":9,\"i\":2}",
];

/// A filter that may be wrong as well.
fn odd(dice: &mut Dice) -> String {
    match dice.roll(9) {
        0 | 1 => {
            let band = dice.of(&["abs", "rel", "d", "a", "r"]);
            let width = dice.of(&[
                "0", "1", "1.5", "10", "'2.5'", "-1", ".5", "Infinity", "0x2", "true",
            ]);
            format!("dbnd:{{{band}:{width}}}")
        }
        2 => format!(
            "\"dbnd\":{{\"d\":{},\"m\":{}}}",
            dice.of(&["1", "20"]),
            dice.of(&["\"abs\"", "'rel'", "1", "'a'"])
        ),
        3 | 4 => format!(
            "dec:{{n:{}}}",
            dice.of(&["1", "2", "3", "5", "0", "-1", "2.5", "'2'", "+2"])
        ),
        5 => {
            let mode = dice.of(&["before", "first", "last", "after", "while", "unless", "w"]);
            match dice.roll(3) {
                0 => format!("sync:{{m:'{mode}',s:'{}'}}", dice.of(&STATES)),
                _ => format!("sync:{{{mode}:'{}'}}", dice.of(&["red", "green", "blue"])),
            }
        }
        6 => {
            let start = dice.of(&["0", "1", "-2", "'1'", "9"]);
            // From the end to a place from the start: the reference does not survive it (`PROTOCOL.md`, S47).
            let ends = if start == "-2" { 1 } else { 4 };
            let end = dice.of(&["-1", "3", "0", "2.0"][..ends]);
            format!("arr:{{s:{start},e:{end},i:{}}}", dice.of(&["1", "2", "-1"]))
        }
        7 => dice
            .of(&[
                "ts:{}",
                "utag:{}",
                "utag:{M:1,V:1}",
                "utag:{V:0}",
                "dbnd:{}",
                "dec:{n:{n:2}}",
                "dbnd:{abs:null}",
                "nix:{}",
                "dec:3",
            ])
            .to_owned(),
        _ => dice.of(&TIMES).to_owned(),
    }
}

/// A random channel name of one of these records and fields, mostly one that there is.
pub fn of_any(dice: &mut Dice, records: &[&str], fields: &[&str]) -> String {
    let record = dice.of(records);
    let mut name = format!("{record}.{}", dice.of(fields));
    if dice.roll(5) == 0 {
        name.push('$');
    }
    if dice.roll(4) == 0 {
        name.push_str(dice.of(&["[1]", "[1:3]", "[::2]", "[0:2:-1]", "[-2:]", "[]", "[2:1]"]));
    }
    if dice.roll(8) > 0 {
        let count = 1 + dice.roll(3);
        let filters: Vec<String> = (0..count).map(|_| odd(dice)).collect();
        let open = dice.of(&["{", "{", "{ ", "{/* c */"]);
        let close = dice.of(&["}", "}", " }", ",}", "}x", ""]);
        let close = if dice.roll(6) > 0 { "}" } else { close };
        name.push_str(&format!(
            "{open}{}{close}",
            filters.join(dice.of(&[",", ", "]))
        ));
    }
    name
}

/// A filter that there is, without a part of an array. `stamps` says whether a time may be taken with the value.
fn filter(dice: &mut Dice, stamps: bool) -> String {
    match dice.roll(8) {
        0 | 1 => format!(
            "dbnd:{{{}:{}}}",
            dice.of(&["abs", "rel", "d"]),
            dice.of(&["0", "1", "1.5", "10", "-1", "50"])
        ),
        2 | 3 => format!("\"dec\":{{\"n\":{}}}", dice.of(&["1", "2", "3"])),
        4 => {
            let mode = dice.of(&["before", "first", "last", "after", "while", "unless"]);
            format!("sync:{{{mode}:'{}'}}", dice.of(&STATES))
        }
        5 => dice.of(&["utag:{}", "utag:{M:1,V:1}", "utag:{V:0}"]).into(),
        6 if stamps => "ts:{}".into(),
        _ => dice.of(&TIMES).into(),
    }
}

/// A channel name of a field with modifiers and filters.
pub(super) fn of_field(dice: &mut Dice, record: &str, of: &RecordType, field: &Field) -> String {
    let mut name = format!("{record}.{}", field.name);
    let is_text = field.dbf == Dbf::String || ["lsi", "lso", "printf"].contains(&&*of.name);
    let is_array = field.special == Special::DbAddr;
    // An array of texts as one: `PROTOCOL.md`, S50.
    let sides = if is_text || field.dbf.is_link() {
        2
    } else {
        16
    };
    let long = (is_text || !is_array) && dice.roll(sides) == 0;
    if long {
        name.push('$');
    }
    // Parts of links, and times of texts whose place the record says: `PROTOCOL.md`, S52.
    let wanted = if is_array || long { 2 } else { 8 };
    // And of texts of any length, behind whose end an earlier one may be.
    let open = field.dbf.is_link() || (is_text && is_array);
    let has_part = dice.roll(wanted) == 0 && !open;
    let as_modifier = has_part && dice.roll(2) == 0;
    if as_modifier {
        name.push_str(dice.of(&PARTS));
    }
    let stamps = match (is_array, is_text) {
        (true, true) => long,
        // Parts are counted in all that there is room for: `PROTOCOL.md`, S51.
        (true, false) => !has_part,
        _ => true,
    };
    let mut filters: Vec<String> = (0..dice.roll(3)).map(|_| filter(dice, stamps)).collect();
    if has_part && !as_modifier {
        let at = dice.roll(filters.len() + 1);
        filters.insert(at, dice.of(&ARRAYS).into());
    }
    if !filters.is_empty() {
        name.push_str(&format!("{{{}}}", filters.join(",")));
    }
    name
}

/// Whether a channel is left out: the reference may not survive a part of a part of an array (`PROTOCOL.md`, S49), and
/// with the time of an array its parts are others (S51).
pub fn is_left_out(name: &str) -> bool {
    let parts = name.matches("arr:").count() + usize::from(name.contains('['));
    parts > 1 || parts > 0 && name.contains("ts:{}") && !name.contains('$')
}

/// Whether its value is made of the time.
pub fn is_time(name: &str) -> bool {
    name.contains("ts:{num") || name.contains("ts:{str")
}

/// What is told of a channel as it can be compared.
pub fn comparable(name: &str, told: &str) -> String {
    let told = without_times(name, told);
    match !is_time(name) && (name.contains('$') || name.contains("ts:{}")) {
        true => without_padding(&told, name.contains('$')),
        false => told,
    }
}

/// What is told without what fills it up: what is behind the NUL of a text as an array (S21 and S53 of `PROTOCOL.md`),
/// and zeros behind the elements of an array whose time is taken (S51).
fn without_padding(told: &str, is_text: bool) -> String {
    let each = told.split(" | ").map(|update| {
        let (_, rest) = update.split_once(' ').unwrap_or(("", update));
        let (alarm, elements) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut elements: Vec<&str> = elements.split(',').collect();
        let is_nothing = |element: &&str| ["0.0", "\"\""].contains(element);
        if let Some(end) = elements.iter().position(is_nothing).filter(|_| is_text) {
            elements.truncate(end);
        }
        while elements.last().is_some_and(is_nothing) {
            elements.pop();
        }
        format!("{alarm} {}", elements.join(","))
    });
    each.collect::<Vec<_>>().join(" | ")
}

/// How many updates of a value that is made of the time, which is another one in both.
fn without_times(name: &str, told: &str) -> String {
    if !is_time(name) || told.is_empty() {
        return told.to_owned();
    }
    let kinds = told.split(" | ").map(|update| {
        let mut words = update.split(' ');
        let count = words.next().unwrap_or("");
        // Of a single number the reference sends the seconds alone: S44 of `PROTOCOL.md`.
        let count = match name.contains("num:'ts'") && count == "x2" {
            true => "x1",
            false => count,
        };
        format!("{count} {}", words.next().unwrap_or(""))
    });
    kinds.collect::<Vec<_>>().join(" | ")
}
