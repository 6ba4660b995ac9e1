//! The JSON of the tools is what the book says: each field of the output is in its table, and each
//! field of the table occurs.

use std::collections::BTreeSet;
use std::sync::Mutex;

use ca_server_sim::{Ioc, PvSpec};
use serde_json::{Value, json};

use crate::common::Served;

const PAGE: &str = include_str!("../../../docs/src/json.md");

/// What an object is, and a field of it.
type Field = (String, String);

/// Fields of the table, for each kind of object.
fn documented() -> Vec<(Field, String)> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        let ty = cells[2].to_owned();
        let of = |kind: &str| ((kind.to_owned(), name.clone()), ty.clone());
        cells[1].split(", ").map(of).collect::<Vec<_>>()
    })
    .collect()
}

fn has_type(ty: &str, value: &Value) -> bool {
    match ty {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "any" => true,
        other => panic!("the table has a type {other}"),
    }
}

/// Checks the fields of an object against the table and notes them.
#[track_caller]
pub(crate) fn check(kinds: &[&str], object: &Value, seen: &Mutex<BTreeSet<Field>>) {
    let table = documented();
    for (name, value) in object.as_object().expect("an object") {
        let of = |kind: &&&str| {
            let key = ((**kind).to_owned(), name.clone());
            table
                .iter()
                .any(|(field, ty)| *field == key && has_type(ty, value))
        };
        let kind = kinds.iter().find(of);
        let kind =
            kind.unwrap_or_else(|| panic!("`{name}` of {kinds:?} is not in the book: {object}"));
        seen.lock()
            .unwrap()
            .insert(((*kind).to_string(), name.clone()));
        match (*kind, name.as_str()) {
            (_, "error") => check(&["error"], value, seen),
            ("sample", "limits") => check(&["limits"], value, seen),
            ("put", "old" | "new") => check(&["sample"], value, seen),
            _ => {}
        }
    }
}

/// What waits for PVs and moves them.
fn moves(served: &Served, seen: &Mutex<BTreeSet<Field>>) {
    for args in [
        &["wait", "j:gap", "1..", "j:valve", "0"][..],
        &["wait", "j:gap", "9", "-w", "0.3"],
        &[
            "ramp",
            "j:gap",
            "1",
            "--period",
            "0.001",
            "--read-back",
            "j:gap",
            "--tolerance",
            "1",
        ],
        &["ramp", "j:gap", "2", "--dry-run"],
        &[
            "ramp",
            "j:gap",
            "2",
            "-w",
            "0.3",
            "--read-back",
            "j:fixed",
            "--tolerance",
            "0.01",
        ],
        &[
            "scan",
            "--points",
            "j:gap",
            "1,2",
            "--read-back",
            "j:gap",
            "j:gap",
            "1",
            "j:valve",
        ],
        &["scan", "--points", "j:gap", "1,2", "--dry-run"],
        &["scan", "--points", "j:gap", "1,9"],
    ] {
        let json = [&args[..1], &["--json"], &args[1..]].concat();
        for object in served.canter(&json).json() {
            check(&args[..1], &object, seen);
        }
    }
    // Where there was no failure there is no list of them.
    let of = ("scan".to_owned(), "errors".to_owned());
    seen.lock().unwrap().insert(of);
}

#[test]
fn every_field_is_documented_and_every_documented_field_occurs() {
    let served = Served::new(
        Ioc::builder()
            .pv(
                "j:gap",
                PvSpec::double(1.25)
                    .units("mm")
                    .precision(3)
                    .display(-10.0, 10.0)
                    .control(-5.0, 5.0)
                    .warning(-4.0, 4.0)
                    .alarm(-4.5, 4.5),
            )
            .pv("j:valve", PvSpec::enumeration([&b"z\xfc"[..], b"auf"], 0))
            .pv("j:fixed", PvSpec::long(1).read_only()),
    );
    let seen = Mutex::default();
    let run = |kinds: &[&str], args: &[&str]| {
        for object in served.canter(args).json() {
            check(kinds, &object, &seen);
        }
    };
    run(
        &["get", "sample"],
        &["get", "--json", "-w", "0.3", "j:gap", "j:valve", "j:none"],
    );
    run(
        &["info"],
        &["info", "--json", "-w", "0.3", "j:gap", "j:none"],
    );
    run(
        &["explain"],
        &["explain", "--json", "-w", "0.3", "j:gap", "j:none"],
    );
    moves(&served, &seen);
    run(&["put"], &["put", "--json", "--wait", "j:gap", "2"]);
    run(&["put"], &["put", "--json", "j:gap", "much"]);
    run(&["put"], &["put", "--json", "j:fixed", "2"]);
    run(
        &["monitor", "sample"],
        &["monitor", "--json", "--count", "1", "j:valve"],
    );
    run(
        &["monitor", "sample"],
        &[
            "monitor",
            "--json",
            "-w",
            "0.2",
            "--seconds",
            "0.4",
            "j:gap",
            "j:none",
        ],
    );
    served.stop();
    // These need a slow reader, or a log; `puts_are_logged_with_who_and_what` looks at the latter.
    let rare = |(kind, name): &Field| kind == "log" || name == "skipped";
    let missing: Vec<Field> = documented().into_iter().map(|(field, _)| field).collect();
    let seen = seen.into_inner().unwrap();
    let missing: Vec<&Field> = missing
        .iter()
        .filter(|&f| !seen.contains(f) && !rare(f))
        .collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

#[test]
fn the_example_of_the_book_has_the_fields_of_the_book() {
    let seen = Mutex::default();
    let examples = PAGE.split("```json\n").skip(1);
    let mut count = 0;
    for line in examples.flat_map(|block| block.split("```").next().unwrap().lines()) {
        check(
            &["get", "sample"],
            &serde_json::from_str(line).unwrap(),
            &seen,
        );
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn numbers_without_a_number_in_json_follow_one_rule() {
    let served = Served::new(
        Ioc::builder()
            .pv(
                "j:nan",
                PvSpec::double(f64::NAN)
                    .alarm(f64::NEG_INFINITY, 90.0)
                    .warning(f64::NAN, 80.0),
            )
            .pv(
                "j:far",
                PvSpec::array([f64::INFINITY, f64::NEG_INFINITY, 1.5]),
            ),
    );
    let objects = served.canter(&["get", "--json", "j:nan", "j:far"]).json();
    assert_eq!(objects[0]["value"], json!("nan"));
    assert_eq!(objects[0]["limits"]["alarm"], json!(["-inf", 90.0]));
    assert_eq!(objects[0]["limits"]["warning"], json!(["nan", 80.0]));
    assert_eq!(objects[1]["value"], json!(["inf", "-inf", 1.5]));
    // What is printed can be put.
    for word in ["nan", "inf", "-inf"] {
        let object = &served.canter(&["put", "--json", "j:nan", word]).json()[0];
        assert_eq!(object["new"]["value"], json!(word), "{object}");
    }
}

#[test]
fn a_bad_value_is_an_object_too() {
    let served = Served::zoo();
    let run = served.canter(&["put", "--json", "t:count", "1.5"]);
    assert_eq!((run.code, run.err.as_str()), (Some(2), ""), "{run:?}");
    assert_eq!(
        run.json(),
        [json!({"pv": "t:count", "error": {
            "phase": "value",
            "message": "`1.5` is no whole number: t:count is a LONG",
            "remedy": "give a whole number between -2147483648 and 2147483647",
        }})]
    );
}
