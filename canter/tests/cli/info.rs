//! `canter info` as a user runs it.

use crate::common::{Run, Served, command_on};

#[test]
fn a_connected_pv_shows_server_access_and_type() {
    let served = Served::zoo();
    let run = served.canter(&["info", "t:wave", "t:fixed"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[0], "t:wave");
    assert!(
        lines[1].starts_with("    state          connected after "),
        "{run:?}"
    );
    assert!(lines[1].ends_with(" 1 search"), "{run:?}");
    assert!(
        lines[2].starts_with("    server         127.0.0.1:"),
        "{run:?}"
    );
    assert!(lines[2].ends_with(", protocol 4.13"), "{run:?}");
    assert_eq!(
        lines[3..8],
        [
            "    access         read, write",
            "    type           DOUBLE",
            "    elements       8",
            "    record type    waveform",
            "t:fixed"
        ]
    );
    assert_eq!(lines[10], "    access         read only");
}

#[test]
fn a_missing_pv_shows_who_was_asked_and_what_to_look_at() {
    let served = Served::zoo();
    let run = served.canter(&["info", "-w", "0.3", "t:none"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    for part in [
        "    state          not found after ".to_owned(),
        " s: no answer to ".to_owned(),
        format!("    asked          127.0.0.1:{}", served.port),
        "    searches       ".to_owned(),
        format!("EPICS_CA_ADDR_LIST=127.0.0.1:{} (environment)", served.port),
        "EPICS_CA_AUTO_ADDR_LIST=NO (environment)".to_owned(),
        "    hint           compare the name".to_owned(),
    ] {
        assert!(run.out.contains(&part), "{part:?} is not in {run:?}");
    }
}

#[test]
fn without_any_address_the_reason_is_told() {
    let mut command = command_on(25_997, &["info", "-w", "0.2", "t:none"]);
    command.env("EPICS_CA_ADDR_LIST", "");
    let run = Run::of(&command.output().unwrap());
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.out.contains("there is nowhere to search"), "{run:?}");
    assert!(run.out.contains("set EPICS_CA_ADDR_LIST"), "{run:?}");
}

#[test]
fn json_has_the_same() {
    let served = Served::zoo();
    let args = ["info", "--json", "t:gap", "t:none"];
    let run = served.within(&args, |run| run.json()[0]["connected"] == true);
    assert_eq!(run.code, Some(3), "{run:?}");
    let objects = run.json();
    assert_eq!(objects[0]["connected"], true);
    assert_eq!(objects[0]["type"], "DOUBLE");
    assert_eq!(objects[0]["record_type"], "ao");
    assert_eq!(objects[0]["write"], true);
    assert_eq!(objects[1]["connected"], false);
    assert_eq!(objects[1]["error"]["phase"], "search");
}
