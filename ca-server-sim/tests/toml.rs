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
            "PV \"x\": there is no type \"doubel\"; use one of double",
        ),
        (
            "[pv.x]\ntype = 'long'\nvalue = 1.5",
            3,
            "PV \"x\": write an integer",
        ),
        (
            "[pv.x]\ntype = 'char'\nvalue = [1, 256]",
            3,
            "from 0 to 255",
        ),
        (
            "\n\n[pv.x]\ntype = 'long'\nunit = 'mm'",
            5,
            "unknown field `unit`",
        ),
        ("[pv.x]\nvalue = 1", 1, "missing field `type`"),
        (
            "[pv.'a.b']\ntype = 'long'",
            1,
            "PV name \"a.b\": a record name has no dot",
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
