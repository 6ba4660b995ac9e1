//! What is written to a field: good, bad and borderline values of its type, and of others.

use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{NativeType, Value};
use ca_server_sim::record::{Choices, Dbf, Field, RecordType, Schema, Special};

use crate::oracle::Dice;

/// A record that links lead to, and its type.
pub(super) type Named = (String, &'static str);

/// Fields in seconds: only values with which nothing waits, as the result is a matter of time otherwise.
const TIMES: [&str; 22] = [
    "HIGH", "SDLY", "ODLY", "SDEL", "DLY0", "DLY1", "DLY2", "DLY3", "DLY4", "DLY5", "DLY6", "DLY7",
    "DLY8", "DLY9", "DLYA", "DLYB", "DLYC", "DLYD", "DLYE", "DLYF", "DLY", "AFTC",
];

const ANY_TEXT: [&str; 12] = [
    "0",
    "1",
    "-1",
    "2.5",
    "1e3",
    "abc",
    "",
    " 7",
    "7 x",
    "0x1f",
    "MAJOR",
    "a text that is longer than many a field",
];
const INTEGER_TEXTS: [&str; 22] = [
    "127",
    "128",
    "-128",
    "-129",
    "255",
    "256",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "010",
    "1.9",
];
const REAL_TEXTS: [&str; 14] = [
    "nan", "inf", "-inf", "1e40", "-1e40", "1e-320", "1e400", "1e308", "0x1p3", ".5", "5.", "-0",
    "1e-46", "+3",
];
const INTEGERS: [i32; 16] = [
    0,
    1,
    -1,
    2,
    3,
    5,
    17,
    127,
    128,
    255,
    256,
    -32769,
    65535,
    70000,
    i32::MAX,
    i32::MIN,
];
const REALS: [f64; 12] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e300,
    -1e300,
    1e-310,
    -0.0,
    3.5e38,
    1e-40,
    123_456.789,
    0.1,
    1e15,
];
/// Those beyond the range of an integer are left to C, which says nothing of them: `PROTOCOL.md`, W2.
const SMALL: [f64; 14] = [
    0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 4.5, 7.0, 10.0, -10.0, 99.5, 100.0, 1e-3, 64.0,
];
/// Expressions, good ones first.
const EXPRESSIONS: [&str; 20] = [
    "A+B",
    "A*2-C",
    "VAL+1",
    "A>B?A:B",
    "MIN(A,B,C)",
    "A/0",
    "A:=A+1;A",
    "0",
    "1",
    "SQRT(A)",
    "A%3",
    "U+L",
    "A&B|C",
    "A**2",
    "INT(A)",
    "A+",
    "",
    "(A",
    "FOO",
    "A;B",
];
const GOOD: usize = 15;
/// Formats of a `printf`.
const FORMATS: [&str; 8] = [
    "", "plain", "%d", "%5.2f|%s", "%08x %c", "%ls", "%%%d%q", "%*d",
];

/// Numbers that are written, of those that some integer does not hold.
pub(super) fn extremes() -> impl Iterator<Item = f64> {
    let texts = INTEGER_TEXTS.iter().chain(&REAL_TEXTS);
    let texts = texts.filter_map(|text| text.parse().ok());
    let integers = INTEGERS.iter().map(|n| f64::from(*n));
    integers.chain(REALS).chain(texts)
}

/// What is written: an expression that is one, mostly.
pub(super) fn expression(dice: &mut Dice, good: bool) -> &'static str {
    let all = if good { GOOD } else { EXPRESSIONS.len() };
    EXPRESSIONS[dice.roll(all)]
}

/// A link to a field of a record.
pub(super) fn link(dice: &mut Dice, names: &[Named]) -> String {
    let (name, _) = &names[dice.roll(names.len())];
    let field = dice.of(&["", "", "", ".SEVR", ".VAL", ".UDF", ".DESC", ".STAT"]);
    let process = dice.of(&["", " PP", " PP", " NPP"]);
    let severity = dice.of(&["", " MS", " MSI", " MSS", " NMS"]);
    format!("{name}{field}{process}{severity}")
}

fn link_text(dice: &mut Dice, names: &[Named], dbf: Dbf) -> String {
    let odd = [
        "",
        "3",
        "1.5",
        "-2",
        "nan",
        "[1,2,3]",
        "{\"const\":4}",
        "@device",
        "#C0 S0",
        "0x10",
        "\"text\"",
    ];
    match (dice.roll(3), dbf) {
        (0, _) => dice.of(&odd).to_owned(),
        (_, Dbf::FwdLink) => {
            let (name, _) = &names[dice.roll(names.len())];
            format!("{name}{}", dice.of(&["", "", ".PROC", ".VAL"]))
        }
        _ => link(dice, names),
    }
}

fn number(dice: &mut Dice, real: bool) -> Value {
    let small = SMALL[dice.roll(SMALL.len())];
    match dice.roll(8) {
        0 | 1 => Value::scalar(dice.of(&INTEGERS)),
        2 => Value::scalar(dice.of(&[0i16, 1, -1, 3, 255, i16::MAX, i16::MIN])),
        3 => Value::scalar(EnumIndex(dice.of(&[
            0u16,
            1,
            2,
            3,
            5,
            15,
            16,
            255,
            u16::MAX,
        ]))),
        4 => Value::scalar(dice.of(&[0u8, 1, 2, 100, 200, 255])),
        5 => Value::scalar(small as f32),
        6 if real => Value::scalar(dice.of(&REALS)),
        _ => Value::scalar(small),
    }
}

/// An array; its numbers fit into every type.
fn array(dice: &mut Dice) -> Value {
    let count = dice.of(&[0, 1, 2, 3, 5, 7, 20]);
    let mut small = || SMALL[dice.roll(SMALL.len())];
    let numbers: Vec<f64> = (0..count).map(|_| small()).collect();
    match dice.roll(6) {
        0 => Value::array(&numbers.iter().map(|n| *n as i32).collect::<Vec<_>>()),
        1 => Value::array(&numbers.iter().map(|n| *n as i16).collect::<Vec<_>>()),
        2 => Value::array(&numbers.iter().map(|n| n.abs() as u8).collect::<Vec<_>>()),
        3 => {
            let texts: Vec<&str> = (0..count)
                .map(|_| dice.of(&["0", "1", "2.5", "-3", "7"]))
                .collect();
            Value::strings(&texts)
        }
        4 => Value::array(&numbers.iter().map(|n| *n as f32).collect::<Vec<_>>()),
        _ => Value::array(&numbers),
    }
}

fn choice(dice: &mut Dice, schema: &Schema, of: &RecordType, field: &Field) -> Value {
    let Choices::Texts(all) = schema.choices(of, field) else {
        return Value::string(dice.of(&ANY_TEXT));
    };
    // Severities, priorities and device supports have no other numbers: `PROTOCOL.md`, S19, S46 and S38.
    let closed = field.dbf == Dbf::Device
        || &*field.name == "PRIO"
        || all.iter().any(|text| **text == *"INVALID");
    match dice.roll(6) {
        0 if closed => Value::scalar(dice.roll(all.len().max(1)) as i32),
        2 if closed => Value::scalar(EnumIndex(dice.roll(all.len().max(1)) as u16)),
        0 => Value::string(all.len().to_string()),
        1 => Value::string(dice.of(&ANY_TEXT)),
        2 => number(dice, false),
        3 => Value::string(dice.roll(all.len().max(1)).to_string()),
        _ if all.is_empty() => Value::string(""),
        _ => Value::string(&*all[dice.roll(all.len())]),
    }
}

fn text(dice: &mut Dice, field: &Field) -> Value {
    if field.special == Special::Calc {
        return Value::string(expression(dice, false));
    }
    let room = usize::from(field.size).min(40);
    match &*field.name {
        "FMT" => Value::string(dice.of(&FORMATS)),
        "EVNT" | "OEVT" => {
            Value::string(dice.of(&["", "0", "1", " 5", "named", "1.5", "256", "-1"]))
        }
        _ => match dice.roll(6) {
            0 => Value::string("x".repeat(room.saturating_sub(1))),
            1 => Value::string("y".repeat(room.min(39))),
            2 => number(dice, true),
            _ => Value::string(dice.of(&ANY_TEXT)),
        },
    }
}

/// A value for a field.
pub(super) fn value(
    dice: &mut Dice,
    schema: &Schema,
    of: &RecordType,
    field: &Field,
    names: &[Named],
) -> Value {
    let name = &*field.name;
    if TIMES.contains(&name) && field.dbf != Dbf::UShort {
        return Value::string(dice.of(&["0", "-1", "abc", ""]));
    }
    // A period makes the result a matter of time.
    if matches!(name, "SCAN" | "SSCN") {
        return Value::string(dice.of(&[
            "Passive", "Passive", "Event", "I/O Intr", "2", "1", "", "abc", "300", "-1",
        ]));
    }
    // Of the text of a state the reference takes a part: `PROTOCOL.md`, S20.
    let part = ["", "2.5", "7 x", "1e3", "0x1f"];
    match field.dbf {
        Dbf::Enum if matches!(&*of.name, "mbbi" | "mbbo") => match dice.roll(2) {
            0 => number(dice, false),
            _ => Value::string(
                Some(dice.of(&ANY_TEXT))
                    .filter(|text| !part.contains(text))
                    .unwrap_or("3"),
            ),
        },
        // The real IOC at hand has loaded no break tables.
        Dbf::Menu if name == "LINR" => {
            Value::string(dice.of(&["NO CONVERSION", "SLOPE", "LINEAR", "0", "1", "2", "abc"]))
        }
        // A TSEL that would have to process something does not: `PROTOCOL.md`, S39.
        Dbf::InLink if name == "TSEL" => {
            Value::string(link_text(dice, names, field.dbf).replace(" PP", ""))
        }
        Dbf::InLink | Dbf::OutLink | Dbf::FwdLink => {
            Value::string(link_text(dice, names, field.dbf))
        }
        Dbf::String => text(dice, field),
        Dbf::Menu | Dbf::Device => choice(dice, schema, of, field),
        Dbf::NoAccess if field.special == Special::DbAddr => {
            let value = match dice.roll(5) {
                0 => number(dice, false),
                1 => Value::string(dice.of(&ANY_TEXT)),
                _ => array(dice),
            };
            // Of the type that it holds the reference takes another part: `PROTOCOL.md`, S45.
            if of.name.as_ref() == "compress" && value.native() == NativeType::Double {
                let mut small = || SMALL[dice.roll(SMALL.len())] as f32;
                let numbers: Vec<f32> = (0..value.count()).map(|_| small()).collect();
                return Value::array(&numbers);
            }
            value
        }
        Dbf::Float | Dbf::Double => match dice.roll(4) {
            0 => Value::string(dice.of(&ANY_TEXT)),
            1 => Value::string(dice.of(&REAL_TEXTS)),
            _ => number(dice, true),
        },
        _ => match dice.roll(12) {
            0..3 => Value::string(dice.of(&ANY_TEXT)),
            3..5 => Value::string(dice.of(&INTEGER_TEXTS)),
            5 => array(dice),
            _ => number(dice, false),
        },
    }
}

/// Texts that no program of today writes: no UTF-8, control characters, no end.
const STRANGE: [&[u8]; 7] = [
    b"caf\xe9",
    b"\xff\xfe",
    b"\xc2\xb5m",
    b"\xb5 12",
    b"\x01\x7f\t",
    b"a\nb",
    &[b'z'; 40],
];

/// A text as it is sent, of at most 40 bytes; one of 40 has no end.
fn raw(text: &[u8]) -> Value {
    let mut bytes = text.to_vec();
    bytes.resize(40, 0);
    Value::from_wire(NativeType::String, bytes.into())
}

/// What a stranger's client writes as an array of characters to a long string of so many bytes.
fn characters(dice: &mut Dice, room: usize) -> Value {
    if dice.roll(5) == 0 {
        let mut text = vec![b'q'; room.saturating_sub(1)];
        text.push(0);
        return Value::array(&text);
    }
    // Without its end the rest of the text that was there stays in the reference: `PROTOCOL.md`, S53.
    let texts: [&[u8]; 3] = [b"short\0", b"a\0hidden\0", b"caf\xe9 \xff\0"];
    let text = dice.of(&texts);
    as_array(dice, text)
}

/// The same to a link, where no text leads out of the IOC or to a stream that there is not (`PROTOCOL.md`, S55).
fn link_characters(dice: &mut Dice) -> Value {
    let texts: [&[u8]; 5] = [
        b"R0.SEVR NPP\0",
        b"R1.VAL  MS\0",
        b"R0.DESC",
        b"2.5\0hidden\0",
        b"\0",
    ];
    let text = dice.of(&texts);
    as_array(dice, text)
}

/// Characters, as numbers of some type.
fn as_array(dice: &mut Dice, text: &[u8]) -> Value {
    match dice.roll(4) {
        0 => Value::array(&text.iter().map(|&c| i32::from(c)).collect::<Vec<_>>()),
        1 => Value::array(&text.iter().map(|&c| f64::from(c)).collect::<Vec<_>>()),
        _ => Value::array(text),
    }
}

/// Nothing, as an array of some type.
fn nothing(dice: &mut Dice) -> Value {
    Value::empty(dice.of(&[
        NativeType::String,
        NativeType::Short,
        NativeType::Float,
        NativeType::Enum,
        NativeType::Char,
        NativeType::Long,
        NativeType::Double,
    ]))
}

/// Several numbers for a field that has one; they are numbers of choices as well.
fn several(dice: &mut Dice) -> Value {
    let count = dice.of(&[2, 3, 20, 500]);
    let mut all = || (0..count).map(|_| dice.roll(2) as u8).collect::<Vec<_>>();
    let all = all();
    match dice.roll(6) {
        0 => Value::array(&all),
        1 => Value::array(&all.iter().map(|&n| i16::from(n)).collect::<Vec<_>>()),
        2 => Value::array(&all.iter().map(|&n| i32::from(n)).collect::<Vec<_>>()),
        3 => Value::array(&all.iter().map(|&n| f32::from(n)).collect::<Vec<_>>()),
        4 => {
            let index = |&n: &u8| EnumIndex(n.into());
            Value::array(&all.iter().map(index).collect::<Vec<_>>())
        }
        _ => Value::array(&all.iter().map(|&n| f64::from(n)).collect::<Vec<_>>()),
    }
}

/// What a stranger's client writes that fits no field, and whether it is to the field as a long string; `None` where
/// the result would be a matter of time or of the reference's memory.
pub(super) fn strange(dice: &mut Dice, of: &RecordType, field: &Field) -> Option<(bool, Value)> {
    let timed = TIMES.contains(&&*field.name) || ["SCAN", "SSCN"].contains(&&*field.name);
    if timed || field.special == Special::NoMod {
        return None;
    }
    let text = dice.of(&STRANGE);
    Some(match (field.dbf, dice.roll(4)) {
        (Dbf::String, 0 | 1) => (true, characters(dice, field.size.into())),
        (Dbf::InLink | Dbf::OutLink | Dbf::FwdLink, _) => (true, link_characters(dice)),
        (Dbf::String, 2) if field.size <= 41 && field.special != Special::Calc => {
            (false, raw(text))
        }
        (Dbf::Menu | Dbf::Device | Dbf::Enum, 2) => {
            // A number in front of other text: `PROTOCOL.md`, S20.
            (false, raw(text))
        }
        (Dbf::NoAccess, 2) => (false, Value::strings(&[b"\xb5".as_slice(), b"1", b"\xff2"])),
        (_, 3) => (false, nothing(dice)),
        // Of the type that it holds the reference takes another part: `PROTOCOL.md`, S45.
        _ if of.name.as_ref() == "compress" && field.dbf == Dbf::NoAccess => return None,
        (Dbf::Enum, 0) => {
            let index = dice.of(&[16, 17, 255, 32768, u16::MAX]);
            (false, Value::scalar(EnumIndex(index)))
        }
        _ => (false, several(dice)),
    })
}

/// What a file says of a field: what a record can be started with.
pub(super) fn setting(
    dice: &mut Dice,
    schema: &Schema,
    of: &RecordType,
    field: &Field,
    names: &[Named],
) -> Option<String> {
    let name = &*field.name;
    match name {
        "NELM" | "MALM" | "NSAM" => return Some(dice.of(&["1", "3", "5", "10"]).to_owned()),
        "SIZV" => return Some(dice.of(&["1", "16", "41", "80"]).to_owned()),
        "NELMB" | "NBUC" => return Some(dice.of(&["4", "10"]).to_owned()),
        "FMT" => return Some(dice.of(&FORMATS).to_owned()),
        _ => {}
    }
    if TIMES.contains(&name) && field.dbf != Dbf::UShort {
        return None;
    }
    Some(match field.dbf {
        Dbf::FwdLink => names[dice.roll(names.len())].0.clone(),
        Dbf::InLink | Dbf::OutLink => match dice.roll(3) {
            0 if field.dbf == Dbf::InLink => dice
                .of(&["3", "1.5", "0", "[1,2,3]", "\"text\""])
                .replace('"', "\\\""),
            _ if name == "TSEL" => link(dice, names).replace(" PP", ""),
            _ => link(dice, names),
        },
        Dbf::String if field.special == Special::Calc => expression(dice, true).to_owned(),
        Dbf::String => dice.of(&["mm", "a text", "Off", "x y z"]).to_owned(),
        Dbf::Menu => match schema.choices(of, field) {
            _ if matches!(name, "SCAN" | "SSCN") => "Passive".to_owned(),
            _ if name == "LINR" => dice.of(&["SLOPE", "LINEAR"]).to_owned(),
            // Arrays of states have no texts in the reference: `PROTOCOL.md`, S40.
            Choices::Texts(all) if name.starts_with("FT") => {
                all[dice.roll(all.len() - 1)].to_string()
            }
            Choices::Texts(all) if !all.is_empty() => all[dice.roll(all.len().min(12))].to_string(),
            _ => return None,
        },
        Dbf::Enum => dice.roll(2).to_string(),
        Dbf::Float | Dbf::Double => SMALL[dice.roll(SMALL.len())].to_string(),
        Dbf::NoAccess | Dbf::Device => return None,
        _ => dice.of(&["0", "1", "2", "5", "16"]).to_owned(),
    })
}
