//! PVs from a description in TOML.
#![cfg(feature = "toml")]

use std::time::Duration;

use ca_proto::{AlarmStatus, Instant, Timestamp};
use ca_server_sim::{Ioc, TomlError};

const FILE: &str = r#"
seed = 7

[pv."sim:gap"]
type = "double"
value = 8.5
units = "mm"
precision = 3
display = [-10.0, 10]
alarm = [nan, 9.0]
warning = [-8.0, 8.0]
description = "gap of the slit"
completes_after = 2

[pv."sim:valve"]
type = "enum"
states = ["Closed", "Open"]
value = "Open"
state_severities = ["NO_ALARM", "MINOR"]
read_only = true

[pv."sim:list"]
type = "short"
value = [1, 2, 3]
capacity = 5

[pv."sim:trace"]
type = "double"
signal = { kind = "scope", points = 50, every = 0.1 }

[pv."sim:frame"]
type = "char"
signal = { kind = "camera", width = 8, height = 6, every = 0.1 }

[pv."sim:saw"]
type = "float"
signal = { kind = "ramp", high = 4, period = 4, every = 1 }

[pv."sim:note"]
type = "string"
value = "hello"
"#;

#[test]
fn a_file_describes_every_kind_of_pv() {
    let mut ioc = Ioc::builder().toml(FILE).unwrap().build().unwrap();
    let start = Instant::ZERO;
    ioc.start(start, Timestamp::from_unix(1_800_000_000, 0), 5064);
    for tick in 0..=3 {
        ioc.handle_timeout(start + Duration::from_secs(tick));
    }
    assert_eq!(ioc.read("sim:gap").unwrap().alarm.status, AlarmStatus::HIGH);
    assert_eq!(ioc.number("sim:gap.HOPR"), Ok(10.0));
    assert_eq!(
        ioc.read("sim:valve").unwrap().alarm.status,
        AlarmStatus::STATE
    );
    assert_eq!(ioc.number("sim:list.NORD"), Ok(3.0));
    assert_eq!(ioc.number("sim:list.NELM"), Ok(5.0));
    assert_eq!(ioc.number("sim:trace.NORD"), Ok(50.0));
    assert_eq!(ioc.number("sim:frame.NORD"), Ok(48.0));
    assert_eq!(ioc.number("sim:saw"), Ok(3.0));
    let note = ioc.read("sim:note").unwrap().value;
    assert_eq!(note.as_ref().string(0), Some(&b"hello"[..]));
}

fn error(text: &str) -> TomlError {
    Ioc::builder().toml(text).unwrap_err()
}

#[test]
fn errors_name_the_line_the_pv_and_the_remedy() {
    let cases = [
        (
            "[pv.x]\ntype = 'doubel'",
            2,
            "PV \"x\": there is no type \"doubel\"; did you mean \"double\"?",
        ),
        (
            "[pv.x]\ntype = 'long'\nvalue = 1.5",
            3,
            "PV \"x\": `value` is a float; write an integer",
        ),
        (
            "[pv.x]\ntype = 'char'\nvalue = [1, 256]",
            3,
            "from 0 to 255",
        ),
        (
            "\n\n[pv.x]\ntype = 'long'\nunit = 'mm'",
            5,
            "there is no key `unit`; did you mean `units`?",
        ),
        ("[pv.x]\nvalue = 1", 1, "PV \"x\" has no type; add type"),
        (
            "[pv.'a b']\ntype = 'long'",
            1,
            "PV name \"a b\": a name has no blanks",
        ),
        (
            "[pv.x]\ntype = 'long'\nvalue = [1,2]\ncapacity = 1",
            1,
            "raise the capacity",
        ),
        (
            "[pv.x]\ntype = 'enum'\nstates = ['a']\nvalue = 'b'",
            4,
            "one of the states [\"a\"]",
        ),
        (
            "[pv.x]\ntype = 'long'\nsignal = {kind = 'sin', every = 1}",
            3,
            "ramp, sine, square",
        ),
        (
            "[pv.x]\ntype = 'long'\nsignal = {kind = 'sine', every = -1}",
            3,
            "seconds",
        ),
        (
            "[pv.x]\ntype = 'long'\nrecord_type = 'calc'",
            3,
            "ai, ao, longin",
        ),
        (
            "[pv.x]\ntype = 'enum'\nstate_severities = ['BAD']",
            3,
            "NO_ALARM, MINOR",
        ),
        ("[pv.x\ntype = 'long'", 1, ""),
    ];
    for (text, line, remedy) in cases {
        let error = error(text);
        assert!(error.message.contains(remedy), "{text:?}: {error}");
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}

/// For each text: the line of its only mistake, and a part of what is said.
#[test]
fn what_does_not_fit_is_refused_and_nothing_is_bent() {
    let long = "x".repeat(44);
    let number = |rest: &str| format!("[pv.x]\ntype = 'double'\n{rest}");
    let cases = [
        ("[pv.x]\ntype = 'float'\nvalue = 1e300".to_owned(), 3, "beyond the largest float"),
        ("[pv.x]\ntype = 'float'\nvalue = [0.0, 1e-60]".to_owned(), 3, "below the smallest float"),
        (number("value = 1e999"), 3, "beyond the largest double"),
        (number("value = '1.5'"), 3, "is a string; write a number"),
        (format!("[pv.x]\ntype = 'string'\nvalue = '{long}'"), 3, "44 bytes, at most 39"),
        (format!("[pv.x]\ntype = 'string'\nvalue = ['a', '{long}']"), 3, "44 bytes"),
        ("[pv.x]\ntype = 'string'\nvalue = \"a\\u0000b\"".to_owned(), 3, "NUL"),
        ("[pv.x]\ntype = 'text'\nvalue = 'abc'\ncapacity = 2".to_owned(), 1, "3 elements do not fit"),
        (number("units = 'units of 16 byte'"), 3, "16 bytes, at most 15"),
        ("[pv.x]\ntype = 'string'\nunits = 'mm'".to_owned(), 3, "units have no effect on a string"),
        (number("description = 'a text that is longer than the forty bytes of DESC'"), 3, "at most 40"),
        (number("precision = -3"), 3, "-3 is out of range; write an integer from 0"),
        (number("precision = 2.5"), 3, "is a float"),
        ("[pv.x]\ntype = 'long'\nprecision = 3".to_owned(), 3, "has no precision"),
        (number("alarm = [80, 20]"), 3, "the lower alarm limit 80 is above the upper one 20; write [low, high]"),
        (number("warning = [1, -1]"), 3, "above"),
        (number("control = [5, -5]"), 3, "above"),
        (number("control = [5, 5]"), 3, "limits nothing"),
        (number("display = [10, -10]"), 3, "above"),
        (number("display = [nan, 5]"), 3, "cannot be NaN"),
        (number("control = [0.0, nan]"), 3, "cannot be NaN"),
        (number("alarm = [1, 2, 3]"), 3, "has 3 numbers; write two"),
        (number("alarm = 80"), 3, "is an integer; write [low, high]"),
        (number("value = [1.0]\nalarm = [1, 2]"), 4, "an array of double never alarms"),
        (number("capacity = 5\ncontrol = [1, 2]"), 4, "do not limit an array"),
        ("[pv.x]\ntype = 'enum'\nalarm = [0, 1]".to_owned(), 3, "an enum never alarms"),
        ("[pv.x]\ntype = 'string'\ndisplay = [0, 1]".to_owned(), 3, "no display limits"),
        ("[pv.x]\ntype = 'short'\nalarm = [nan, 40000]".to_owned(), 3, "does not reach a limit of 40000"),
        ("[pv.x]\ntype = 'long'\nalarm = [0.5, 9]".to_owned(), 3, "limits that are integers"),
        (number("hysteresis = -1"), 3, "not possible"),
        (number("hysteresis = nan"), 3, "cannot be NaN"),
        (number("value_deadband = nan"), 3, "cannot be NaN"),
        (number("value = [1.0]\nhysteresis = 1"), 4, "no effect on an array"),
        ("[pv.x]\ntype = 'enum'\nstates = ['a', 'b', 'c']\nvalue = 7".to_owned(), 4, "there is no state 7"),
        ("[pv.x]\ntype = 'enum'\nstates = ['a']\nvalue = -1".to_owned(), 4, "no state"),
        ("[pv.x]\ntype = 'enum'\nstates = ['a', 'a']".to_owned(), 3, "comes twice"),
        (format!("[pv.x]\ntype = 'enum'\nstates = ['{long}']"), 3, "at most 25"),
        (format!("[pv.x]\ntype = 'enum'\nstates = {:?}", (0..17).map(|n| n.to_string()).collect::<Vec<_>>()), 3, "17 states, at most 16"),
        ("[pv.x]\ntype = 'enum'\nstates = ['a', 'b']\nstate_severities = ['MINOR', 'MINOR', 'MINOR']".to_owned(), 4, "3 severities for 2 states"),
        (number("states = ['a', 'b']"), 3, "states have no effect"),
        (number("state_severities = ['MINOR']"), 3, "no effect"),
        (number("capacity = 0"), 3, "0 is out of range"),
        (number("capacity = 4000000000"), 1, "it is 1 to"),
        (number("value = [1, 2, 3]\ncapacity = 2"), 1, "raise the capacity"),
        (number("completes_after = -1"), 3, "no time"),
        (number("completes_after = inf"), 3, "no time"),
        (number("completes_never = true\ncompletes_after = 2"), 3, "cannot complete both"),
        (number("read_only = 'yes'"), 3, "write true or false"),
        (number("record_type = 'bo'"), 3, "record type bo cannot hold a double"),
        (number("record_type = 'longuot'"), 3, "did you mean \"longout\"?"),
        (number("signal = 'sine'"), 3, "a table, as"),
        (number("signal = {kind = 'sine'}"), 3, "there is no `every`"),
        (number("signal = {every = 1}"), 3, "there is no `kind`"),
        (number("signal = {kind = 'sine', every = 0}"), 3, "at least 0.0001"),
        (number("signal = {kind = 'sine', every = 1, period = 0}"), 3, "no time"),
        (number("signal = {kind = 'sine', every = 1, low = 5}"), 3, "above `high` 1"),
        (number("signal = {kind = 'sine', every = 1, low = nan}"), 3, "cannot be NaN"),
        (number("signal = {kind = 'sine', every = 1, points = 5}"), 3, "a sine has no `points`"),
        (number("signal = {kind = 'sine', every = 1, hihg = 5}"), 3, "did you mean `high`?"),
        (number("capacity = 9\nsignal = {kind = 'sine', every = 1}"), 4, "cannot follow single numbers"),
        (number("capacity = 9\nsignal = {kind = 'scope', points = 10, every = 1}"), 4, "10 elements do not fit"),
        (number("signal = {kind = 'camera', width = 2, height = 2, every = 1}"), 3, "cannot hold the frames"),
        ("[pv.x]\ntype = 'char'\nsignal = {kind = 'camera', width = 2, every = 1}".to_owned(), 3, "`width` and `height`"),
        ("[pv.x]\ntype = 'string'\nsignal = {kind = 'ramp', every = 1}".to_owned(), 3, "cannot follow"),
        ("[pv.x]\ntype = 'char'\nsignal = {kind = 'ramp', high = 300, every = 1}".to_owned(), 3, "do not fit a char"),
        ("[pv.x]\ntype = 'long'\nsignal = {kind = 'counter', step = 0.5, every = 1}".to_owned(), 3, "is a float"),
        ("[pv.x]\ntype = 'enum'\nstates = ['a', 'b']\nsignal = {kind = 'ramp', high = 2, every = 1}".to_owned(), 4, "do not fit an enum"),
        ("[limits]\nmax_cirquits = 5".to_owned(), 2, "did you mean `max_circuits`?"),
        ("[limits]\nmax_circuits = 0".to_owned(), 2, "limit of 0"),
        ("[limits]\nmax_circuits = 'x'".to_owned(), 2, "whole number"),
        ("[limits]\nversion_timeout = -1".to_owned(), 2, "is no time"),
        ("[pvs.x]\ntype = 'long'".to_owned(), 1, "did you mean `pv`?"),
        ("[pv.a.b]\ntype = 'long'\n[pv.a]\ntype = 'long'".to_owned(), 1, "in quotes"),
        ("[pv.sim:x]\ntype = 'long'".to_owned(), 1, "in quotes"),
        ("pv = 5".to_owned(), 1, "tables such as"),
        ("[pv]".to_owned(), 1, "there are no PVs"),
        ("pv.x = 5".to_owned(), 1, "is no table"),
        ("seed = -1".to_owned(), 1, "out of range"),
        (String::new(), 1, "describes nothing"),
        ("# nothing\n".to_owned(), 1, "describes nothing"),
    ];
    for (text, line, part) in &cases {
        let error = error(text);
        let all = error.all.to_string();
        assert_eq!(error.all.errors().count(), 1, "{text}\n{all}");
        assert!(error.message.contains(part), "{text}\n{part}\n{all}");
        assert_eq!(error.line, *line, "{text}\n{all}");
    }
}

#[test]
fn all_mistakes_of_a_text_are_told_with_their_lines() {
    let text = "[pv.x]\ntype = 'long'\nvalue = 1.5\nunit = 'mm'\nprecision = -1\n\n\
                [pv.y]\ntype = 'enum'\nstates = [1]\n[limits]\nmax_circuit = 1\n";
    let error = error(text);
    let lines: Vec<usize> = error.all.errors().map(|one| one.line).collect();
    assert_eq!(lines, [3, 4, 5, 9, 11], "{error}");
    let shown = error.to_string();
    assert!(shown.contains("3 | value = 1.5"), "{shown}");
    assert!(shown.contains("--> description:3:9"), "{shown}");
}

#[test]
fn what_may_surprise_is_a_remark() {
    let text = "[pv.x]\ntype = 'double'\nunits = 'millimetres'\nalarm = [0, 5]\nwarning = [1, 6]\n";
    let found = ca_server_sim::toml::parse("x.toml", text).unwrap().remarks;
    let lines: Vec<usize> = found.iter().map(|one| one.line).collect();
    assert_eq!(lines, [3, 5], "{found}");
    assert!(
        found
            .to_string()
            .contains("\"millime\" travels with values"),
        "{found}"
    );
}

#[test]
fn pvs_keep_the_order_of_the_file() {
    let ioc = Ioc::builder().toml("[pv.b]\ntype='long'\n[pv.a]\ntype='long'\n");
    let ioc = ioc.unwrap().build().unwrap();
    assert_eq!(ioc.pv_names().collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn a_fingerprint_changes_with_the_description_only() {
    let print = |text| {
        let description = ca_server_sim::toml::parse("x", text).unwrap();
        description.pvs[0].fingerprint.clone()
    };
    let one = print("[pv.x]\ntype = 'long'\nvalue = 1 # one\n");
    assert_eq!(one, print("\n[pv]\nx = { value = 1, type = \"long\" }"));
    assert_ne!(one, print("[pv.x]\ntype = 'long'\nvalue = 2\n"));
}

/// A syntax error hides only what its own table and those behind it have.
#[test]
fn mistakes_before_a_syntax_error_are_told_too() {
    let text = "[pv.x]\ntype = 'long'\nvalue = 1.5\nalarm = [80, 20]\n[pv.y]\ntype = 'lnog'\n\
                value = = 1\n[pv.z]\ntype = 'lnog'\n";
    let error = error(text);
    let lines: Vec<usize> = error.all.errors().map(|one| one.line).collect();
    assert_eq!(lines, [3, 4, 7], "{error}");
}

#[test]
fn a_type_that_is_not_known_hides_no_other_mistake() {
    let error = error("[pv.x]\ntype = 'lnog'\nunits = 5\nhysteresis = 'a'\n[pv.y]\nunits = 5\n");
    let lines: Vec<usize> = error.all.errors().map(|one| one.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6], "{error}");
}
