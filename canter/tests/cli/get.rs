//! `canter get` as a user runs it.

use crate::common::{Run, Served, command_on};
use serde_json::json;

#[test]
fn values_have_units_and_alarms_and_names_are_aligned() {
    let served = Served::zoo();
    served
        .canter(&[
            "get", "t:gap", "t:hot", "t:count", "t:float", "t:byte", "t:note", "t:valve",
        ])
        .expect(
            0,
            "t:gap    1.25 mm\n\
             t:hot    99.5 °C  MAJOR HIHI\n\
             t:count  -42 counts\n\
             t:float  0.1\n\
             t:byte   200\n\
             t:note   hello world\n\
             t:valve  Open\n",
        )
        .says("");
}

#[test]
fn arrays_show_their_length_and_long_strings_their_text() {
    let served = Served::zoo();
    served
        .canter(&["get", "t:wave"])
        .expect(0, "t:wave  [3] 1.5 2.25 nan V\n");
    served
        .canter(&["get", "-#", "2", "t:wave"])
        .expect(0, "t:wave  [2] 1.5 2.25 V\n");
    served
        .canter(&["get", "--count", "99", "t:note"])
        .expect(0, "t:note  hello world\n");
    // Also when the time is used up by another PV, and when a name cannot be one.
    let args = ["get", "-#", "99", "no:such", "", "t:wave", "t:gap"];
    let run = served.within(&args, |run| run.out.lines().count() == 2);
    run.expect(1, "t:wave   [3] 1.5 2.25 nan V\nt:gap    1.25 mm\n")
        .says("no:such: not found");
    served
        .canter(&["get", "-S", "t:path"])
        .expect(0, "t:path  /data/run1\n");
}

#[test]
fn a_remedy_is_told_once_and_a_modifier_is_shown_its_place() {
    let served = Served::zoo();
    let args = ["get", "no:such", "no:other", "t:wave[0:1]"];
    let run = served.within(&args, |run| run.err.matches(": not found").count() == 3);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert_eq!(
        run.err.matches("hint: check the name, that").count(),
        1,
        "{run:?}"
    );
    run.says("no:other: not found")
        .says("hint: check the name: modifiers and filters stand behind a field, as in X.[0:1]");
    served
        .canter(&["get", "t:wave.[0:1]", "t:wave.VAL[1:1]"])
        .expect(
            0,
            "t:wave.[0:1]     [2] 1.5 2.25 V\nt:wave.VAL[1:1]  2.25 V\n",
        );
}

#[test]
fn formats_of_numbers() {
    let served = Served::zoo();
    served
        .canter(&["get", "-f", "1", "t:hot"])
        .expect(0, "t:hot  99.5 °C  MAJOR HIHI\n");
    served
        .canter(&["get", "-e", "2", "t:gap"])
        .expect(0, "t:gap  1.25e+00 mm\n");
    served
        .canter(&["get", "-g", "2", "t:gap"])
        .expect(0, "t:gap  1.2 mm\n");
    // The server prints with the precision of the PV.
    served
        .canter(&["get", "-s", "t:gap"])
        .expect(0, "t:gap  1.250 mm\n");
    served
        .canter(&["get", "--enum-index", "t:valve"])
        .expect(0, "t:valve  1\n");
}

#[test]
fn fields_pass_through() {
    let served = Served::zoo();
    served
        .canter(&["get", "t:gap.EGU", "t:gap.HIHI", "t:note.RTYP"])
        .expect(
            0,
            "t:gap.EGU    mm\nt:gap.HIHI   4.5 mm\nt:note.RTYP  stringout\n",
        );
}

#[test]
fn any_dbr_type_can_be_asked_for() {
    let served = Served::zoo();
    served
        .canter(&["get", "-d", "LONG", "t:gap"])
        .expect(0, "t:gap  1\n");
    served
        .canter(&["get", "-d", "dbr_time_string", "t:valve"])
        .expect(0, "t:valve  Open\n");
    served
        .canter(&["get", "--type", "CLASS_NAME", "t:valve"])
        .expect(0, "t:valve  bo\n");
    served
        .canter(&["get", "-d", "NUMBER", "t:gap"])
        .expect(2, "")
        .says("types are STRING, SHORT");
}

#[test]
fn the_long_form_tells_everything() {
    let served = Served::zoo();
    let run = served.canter(&["get", "-l", "t:gap", "t:valve"]);
    let stamp = run
        .out
        .lines()
        .find(|line| line.contains("time  "))
        .unwrap();
    // 2026-11-20 08:21:05.868406
    let stamp = stamp
        .split_whitespace()
        .skip(1)
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(stamp.len(), 26, "{stamp}");
    let lines: Vec<&str> = run
        .out
        .lines()
        .filter(|line| !line.contains(" time "))
        .collect();
    assert_eq!(
        lines,
        [
            "t:gap",
            "    value          1.25 mm",
            "    type           DBR_TIME_DOUBLE",
            "    alarm          NO_ALARM",
            "    precision      3 digits",
            "    display        -10 to 10",
            "    warning        -4 to 4",
            "    alarm limits   -4.5 to 4.5",
            "    control        -5 to 5",
            "t:valve",
            "    value          Open (1)",
            "    type           DBR_TIME_ENUM",
            "    alarm          NO_ALARM",
            "    states         0 Closed",
            "                   1 Open",
        ]
    );
}

#[test]
fn each_pv_has_its_own_json_object() {
    let served = Served::zoo();
    let run = served.canter(&[
        "get", "--json", "t:hot", "t:valve", "t:wave", "t:path", "-S", "t:float",
    ]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut objects = run.json();
    for object in &mut objects {
        let stamp = object.as_object_mut().unwrap().remove("timestamp").unwrap();
        let stamp = stamp.as_str().unwrap();
        assert!(
            stamp.len() == 30 && stamp.ends_with('Z') && &stamp[10..11] == "T",
            "{stamp}"
        );
    }
    assert_eq!(
        objects[0],
        json!({"pv": "t:hot", "value": 99.5, "type": "DOUBLE", "count": 1, "units": "°C",
               "precision": 0, "limits": {"alarm": [0.0, 90.0]}, "status": "HIHI", "severity": "MAJOR"})
    );
    assert_eq!(
        objects[1],
        json!({"pv": "t:valve", "value": 1, "label": "Open", "type": "ENUM", "count": 1,
               "states": ["Closed", "Open"], "status": "NO_ALARM", "severity": "NO_ALARM"})
    );
    assert_eq!(objects[2]["value"], json!([1.5, 2.25, "nan"]));
    assert_eq!(objects[2]["count"], 3);
    assert_eq!(objects[3]["value"], "/data/run1");
    assert_eq!(objects[4]["value"], json!(0.1));
}

#[test]
fn one_missing_pv_does_not_hide_the_others() {
    let served = Served::zoo();
    let args = ["get", "t:count", "t:none", "t:note"];
    let run = served.within(&args, |run| run.out.lines().count() == 2);
    run.expect(3, "t:count  -42 counts\nt:note   hello world\n")
        .says("error: t:none: not found after ")
        .says(" s: no answer to ")
        .says(&format!(" at 127.0.0.1:{}", served.port))
        .says(" hint: check the name");
    let args = ["get", "--json", "t:none", "t:count"];
    let run = served.within(&args, |run| run.json()[1]["value"] == -42);
    assert_eq!(run.code, Some(3));
    assert_eq!(run.err, "");
    let objects = run.json();
    assert_eq!(objects[0]["error"]["phase"], "search");
    assert!(
        objects[0]["error"]["remedy"]
            .as_str()
            .unwrap()
            .contains("EPICS_CA_ADDR_LIST")
    );
    assert_eq!(objects[1]["value"], -42);
}

#[test]
fn a_bad_name_is_an_error_of_that_pv() {
    let served = Served::zoo();
    served
        .canter(&["get", "", "t:count"])
        .expect(1, "t:count  -42 counts\n")
        .says("no name of a PV");
}

#[test]
fn wrong_usage_ends_with_2_and_a_hint() {
    let served = Served::zoo();
    served
        .canter(&["get"])
        .expect(2, "")
        .says("Usage: canter get");
    served
        .canter(&["get", "-w", "soon", "t:gap"])
        .expect(2, "")
        .says("give a number of seconds");
    served
        .canter(&["get", "-f", "99", "t:gap"])
        .expect(2, "")
        .says("99 is not in 0..=18");
    served
        .canter(&["mointor", "t:gap"])
        .expect(2, "")
        .says("'monitor'");
    served
        .canter(&["get", "--addr-list", "no such", "t:gap"])
        .expect(2, "")
        .says("`no` is a host that cannot be found");
}

#[test]
fn options_replace_the_environment() {
    let served = Served::zoo();
    let here = format!("127.0.0.1:{}", served.port);
    let mut command = command_on(25_998, &["get", "--addr-list", &here, "t:count"]);
    Run::of(&command.output().unwrap()).expect(0, "t:count  -42 counts\n");
    let mut command = served.command(&["get", "t:count", "--port", &served.port.to_string()]);
    command.env("EPICS_CA_ADDR_LIST", "127.0.0.1");
    Run::of(&command.output().unwrap()).expect(0, "t:count  -42 counts\n");
    let tcp = served.tcp.to_string();
    let mut command = command_on(25_998, &["get", "--name-server", &tcp, "t:count"]);
    command.env("EPICS_CA_ADDR_LIST", "");
    Run::of(&command.output().unwrap()).expect(0, "t:count  -42 counts\n");
}

#[test]
fn the_configuration_in_use_is_printed_with_its_origins() {
    let served = Served::zoo();
    served
        .canter(&["get", "--verbose", "t:count"])
        .expect(0, "t:count  -42 counts\n")
        .says(&format!(
            "EPICS_CA_ADDR_LIST=127.0.0.1:{} (environment)",
            served.port
        ))
        .says("EPICS_CA_CONN_TMO=30.0 (default)");
}

#[test]
fn a_bad_time_out_in_the_environment_is_a_warning() {
    let served = Served::zoo();
    let mut command = served.command(&["get", "t:count"]);
    command.env("EPICS_CLI_TIMEOUT", "soon");
    Run::of(&command.output().unwrap())
        .expect(0, "t:count  -42 counts\n")
        .says("warning: EPICS_CLI_TIMEOUT is `soon`, 1 s is used");
}

#[test]
fn a_name_that_cannot_be_seen_is_quoted() {
    let served = Served::zoo();
    served
        .canter(&["get", ""])
        .expect(1, "")
        .says("error: \"\": no name of a PV");
    served
        .canter(&["get", "-w", "0.05", "t:gap "])
        .expect(3, "")
        .says("error: \"t:gap \": not found");
}

#[test]
fn a_negative_time_is_no_other_option() {
    let served = Served::zoo();
    served
        .canter(&["get", "-w", "-1", "t:gap"])
        .expect(2, "")
        .says("give a number of seconds such as 0.5");
}
