//! What people type, and what reaches their terminal.

use std::ffi::OsStr;
use std::net::UdpSocket;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use ca_proto::text::is_plain;
use ca_server_sim::{Ioc, PvSpec};
use serde_json::json;

use crate::common::{PATIENCE, Run, Served, command_on};

#[test]
fn a_value_may_begin_with_a_minus() {
    let served = Served::zoo();
    for (args, shown) in [
        (&["t:gap", "-1e-3"][..], "-0.001"),
        (&["t:float", "-0x10"], "-16"),
        (&["t:gap", "-.5"], "-0.5"),
        (&["t:float", "-inf"], "-inf"),
        (&["t:gap", "-5", "--wait", "-w", "9"], "-5"),
        (&["-w", "9", "t:gap", "-4"], "-4"),
        (&["t:count", "-0x10"], "-16"),
        (&["t:wave", "-1", "-2e-3", "-inf"], "-1 -0.002 -inf"),
        (&["t:note", "-5V"], "-5V"),
        (&["t:note", "-"], "-"),
        (&["t:note", "--5"], "--5"),
        (&["t:note", "--", "-t"], "-t"),
        (&["t:note", "--", "--"], "--"),
        (&["t:note", ""], ""),
    ] {
        let args = [&["put", "-t"], args].concat();
        served.canter(&args).expect(0, &format!("{shown}\n"));
    }
    served
        .canter(&["put", "t:gap", "1", "--wiat"])
        .expect(2, "")
        .says("unexpected argument '--wiat'")
        .says("hint: a value that is spelt like an option goes behind `--`");
}

/// A number that an option cannot have is told as one, not taken for another option.
#[test]
fn numbers_of_options_may_begin_with_a_minus_to_be_refused() {
    let served = Served::zoo();
    for args in [
        &["get", "-#", "-1", "t:wave"][..],
        &["get", "--count", "-1", "t:wave"],
        &["monitor", "-#", "-3", "t:wave"],
        &["monitor", "--count", "-1", "t:wave"],
        &["get", "-p", "-1", "t:wave"],
        &["get", "--port", "-1", "t:wave"],
        &["get", "-w", "-1", "t:wave"],
    ] {
        let value = args.iter().find(|arg| arg.parse::<i32>().is_ok());
        served
            .canter(args)
            .expect(2, "")
            .says(&format!("invalid value '{}' for", value.unwrap()));
    }
}

#[test]
fn an_array_of_char_takes_numbers_or_with_an_option_a_text() {
    let served = Served::zoo();
    for (args, shown) in [
        (&["put", "-t", "-S", "t:path", "2024"][..], "2024"),
        (&["put", "-t", "-S", "t:path", "000000"], "000000"),
        (&["put", "-t", "-S", "t:path", "abc"], "abc"),
        (&["put", "-t", "-S", "t:path", "-5V"], "-5V"),
        (&["put", "-t", "t:path", "65", "-1"], "65 255"),
        (&["put", "-t", "t:path", "000000"], "0"),
    ] {
        served.canter(args).expect(0, &format!("{shown}\n"));
    }
    for bad in ["2024", "abc"] {
        served
            .canter(&["put", "t:path", bad])
            .expect(2, "")
            .says("t:path is an array of CHAR")
            .says("or -S (--long-string) to write a text");
    }
}

/// Bytes 0xb0 and 0xfc, as older databases have them.
fn latin_1() -> Served {
    Served::new(
        Ioc::builder()
            .pv("l:note", PvSpec::string(b"20 \xb0C"))
            .pv("l:valve", PvSpec::enumeration([&b"z\xfc"[..], b"offen"], 1))
            .pv("l:temp", PvSpec::double(20.5).units(b"\xb0C"))
            .pv("l:path", PvSpec::text("x".repeat(40))),
    )
}

#[test]
fn texts_that_are_no_utf8_are_shown_as_they_can_be_given() {
    let served = latin_1();
    served
        .canter(&["get", "l:note", "l:temp"])
        .expect(0, "l:note  20 \\xb0C\nl:temp  20.5 °C\n");
    for value in [r"21 \xb0C", "22 °C", r"23 \u{b0}C", r"back\\slash\t\x1b"] {
        served.canter(&["put", "l:note", "x"]);
        let shown = value.replace(r"\u{b0}", "°");
        served
            .canter(&["put", "-t", "l:note", value])
            .expect(0, &format!("{shown}\n"));
        served
            .canter(&["get", "-t", "l:note"])
            .expect(0, &format!("{shown}\n"));
    }
    served
        .canter(&["put", "-t", "l:valve", r"z\xfc"])
        .expect(0, "z\\xfc\n");
    served
        .canter(&["put", "l:valve", "zü"])
        .expect(2, "")
        .says(r"states are 0 z\xfc, 1 offen");
    served
        .canter(&["put", "-t", "-S", "l:path", r"\xb0/run"])
        .expect(0, "\\xb0/run\n");
    served
        .canter(&["put", "l:note", r"C:\data"])
        .expect(2, "")
        .says(r"`\dat` is no escape")
        .says("--literal");
    served
        .canter(&["put", "-t", "--literal", "l:note", r"C:\new"])
        .expect(0, "C:\\\\new\n");
    // The bytes themselves do too, where the shell has them.
    let mut command = served.command(&["put", "-t", "l:note"]);
    let run = Run::of(
        &command
            .arg(OsStr::from_bytes(b"\xb0\xff"))
            .output()
            .unwrap(),
    );
    run.expect(0, "\\xb0\\xff\n");
    let objects = served
        .canter(&["get", "--json", "l:note", "l:valve", "l:temp"])
        .json();
    assert_eq!(objects[0]["value"], "°ÿ");
    assert_eq!(objects[0]["encoding"], "latin-1");
    assert_eq!(
        (&objects[1]["label"], &objects[1]["states"]),
        (&json!("zü"), &json!(["zü", "offen"]))
    );
    assert_eq!(
        (&objects[2]["units"], &objects[2]["encoding"]),
        (&json!("°C"), &json!(null))
    );
}

#[test]
fn names_may_be_any_bytes() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = server.local_addr().unwrap().port();
    for name in [OsStr::from_bytes(b"\xb0:gap"), OsStr::new(r"\xb0:gap")] {
        let mut command = command_on(port, &["get", "-w", "0.2"]);
        let run = Run::of(&command.arg(name).output().unwrap());
        run.expect(3, "").says(r"error: \xb0:gap: not found");
        let mut datagram = [0; 1024];
        let len = server.recv(&mut datagram).unwrap();
        let searched = datagram[..len].windows(6).any(|part| part == b"\xb0:gap\0");
        assert!(searched, "{:?}", &datagram[..len]);
    }
    let run = Run::of(&command_on(port, &["get", r"a\qb"]).output().unwrap());
    run.expect(2, "").says(r"`\qb` is no escape");
}

/// What would clear a screen, turn text around, or hide.
const ODD: &str = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2066}\u{200b}\u{2028}\r\n";

#[test]
fn nothing_that_a_peer_sends_has_an_effect_on_a_terminal() {
    let served = Served::new(
        Ioc::builder()
            .pv("o:note", PvSpec::string(ODD))
            .pv("o:valve", PvSpec::enumeration([ODD, "on"], 0))
            .pv("o:temp", PvSpec::double(20.5).units("\u{9b}\u{202e}"))
            .pv("o:path", PvSpec::text(ODD)),
    );
    let pvs = ["o:note", "o:valve", "o:temp", "o:path", "\u{202e}\u{9b}o"];
    let forms: [&[&str]; 9] = [
        &["get", "-w", "0.3"],
        &["get", "-w", "0.3", "-S", "-t"],
        &["get", "-w", "0.3", "-a"],
        &["get", "-w", "0.3", "-l"],
        &["get", "-w", "0.3", "--json", "-S"],
        &["info", "-w", "0.3"],
        &["info", "-w", "0.3", "--json"],
        &["monitor", "-w", "0.2", "--seconds", "0.5"],
        &["monitor", "-w", "0.2", "--seconds", "0.5", "--json"],
    ];
    let mut runs: Vec<Run> = forms
        .iter()
        .map(|form| served.canter(&[form, &pvs[..]].concat()))
        .collect();
    runs.push(served.canter(&["put", "o:valve", ODD]));
    runs.push(served.canter(&["put", "o:temp", ODD]));
    runs.push(served.canter(&["put", "o:note", ODD]));
    runs.push(served.canter(&["put", "--json", "o:note", ODD]));
    runs.push(served.canter(&["get", "--timeout", ODD, "o:note"]));
    runs.push(served.canter(&["get", "--addr-list", ODD, "o:note"]));
    runs.push(served.canter(&[ODD]));
    runs.push(served.canter(&["get", "--\u{9b}31m", "o:note"]));
    runs.push(served.canter(&["ioc", "--pv", ODD]));
    runs.push(served.canter(&["ioc", "/no/such\u{9b}\u{202e}"]));
    runs.push(served.canter(&["dump", "/no/such\u{9b}\u{202e}"]));
    let mut command = served.command(&["get", "o:note"]);
    command
        .env("EPICS_CA_CONN_TMO", ODD)
        .env("EPICS_CLI_TIMEOUT", ODD)
        .env("TZ", ODD);
    command.env("EPICS_CA_NAME_SERVERS", "\u{9b}31m");
    runs.push(Run::of(&command.output().unwrap()));
    let mut checked = 0;
    for run in runs {
        for c in run.out.chars().chain(run.err.chars()) {
            assert!(is_plain(c) || c == '\n', "{c:?} in {run:?}");
            checked += 1;
        }
    }
    assert!(checked > 1000);
}

#[test]
fn times_are_those_of_the_zone() {
    let served = Served::zoo();
    let hour = |zone: &str| {
        let mut command = served.command(&["get", "-a", "t:gap"]);
        let run = Run::of(&command.env("TZ", zone).output().unwrap());
        let hour = run.out.split_whitespace().nth(2).unwrap()[..2]
            .parse::<i32>()
            .unwrap();
        (hour, run.err)
    };
    let apart = |zone: &str| (hour(zone).0 - hour("UTC").0).rem_euclid(24);
    // Never daylight saving, so that the season does not matter; a rule and a name.
    assert_eq!(apart("Asia/Tokyo"), 9);
    assert_eq!(apart("America/Phoenix"), 17);
    assert_eq!(apart("XYZ-5"), 5);
    assert_eq!(hour("Asia/Tokyo").1, "");
    let (there, warning) = hour("Mars/Phobos");
    assert_eq!((there - hour("UTC").0).rem_euclid(24), 0);
    assert!(
        warning.starts_with(
            "warning: TZ is `Mars/Phobos`, which is no time zone known here: times are UTC"
        ),
        "{warning}"
    );
    for args in [
        &["get", "-l", "t:gap"][..],
        &["monitor", "--count", "1", "t:gap"],
    ] {
        let mut command = served.command(args);
        Run::of(&command.env("TZ", "Mars/Phobos").output().unwrap()).says("TZ is `Mars/Phobos`");
    }
}

#[test]
fn get_has_the_forms_of_the_reference_tool() {
    let served = Served::zoo();
    served
        .canter(&["get", "-t", "t:gap", "t:hot", "t:valve", "t:wave", "t:note"])
        .expect(0, "1.25\n99.5\nOpen\n1.5 2.25 nan\nhello world\n");
    served
        .canter(&["get", "-t", "-n", "-w", "0.3", "t:none", "t:valve"])
        .expect(3, "***\n1\n")
        .says("t:none: not found");
    let wide = served.canter(&["get", "-a", "t:gap", "t:hot"]).out;
    let lines: Vec<&str> = wide.lines().collect();
    assert!(
        lines[0].starts_with("t:gap  20") && lines[0].ends_with("  1.25 mm"),
        "{wide}"
    );
    assert!(lines[1].ends_with("  99.5 °C  MAJOR HIHI"), "{wide}");
    served
        .canter(&["get", "-#", "2", "t:wave"])
        .expect(0, "t:wave  [2] 1.5 2.25 V\n");
    served
        .canter(&["get", "-c", "-p", "7", "t:count"])
        .expect(0, "t:count  -42 counts\n");
    served
        .canter(&["get", "-t", "-a", "t:gap"])
        .expect(2, "")
        .says("cannot be used with");
}

#[test]
fn who_comes_from_the_reference_tools_is_told_the_way() {
    let served = Served::zoo();
    for (args, hint) in [
        (
            &["caget", "t:gap"][..],
            " hint: it is called `canter get` here",
        ),
        (
            &["camonitor", "t:gap"],
            " hint: it is called `canter monitor` here",
        ),
        (
            &["t:gap"],
            " hint: the command comes first, as in `canter get t:gap`",
        ),
        (
            &["get", "-F", ",", "t:gap"],
            " hint: there is no separator to choose",
        ),
        (
            &["get", "-lx", "t:count"],
            " hint: integers are decimal here",
        ),
        (
            &["put", "-a", "t:wave", "2", "1", "2"],
            " hint: leave it out, and the count",
        ),
        (
            &["monitor", "-t", "sc", "t:gap"],
            " hint: each line has the time stamp",
        ),
        (
            &["info", "-s", "1"],
            " hint: the configuration of the client is shown with --verbose",
        ),
    ] {
        served.canter(args).expect(2, "").says(hint);
    }
    for tool in ["get", "put", "monitor"] {
        let help = Run::of(&command_on(1, &[tool, "--help"]).output().unwrap());
        assert!(
            help.out.contains(&format!("For those who know ca{tool}:")),
            "{help:?}"
        );
        assert_eq!(help.code, Some(0));
    }
}

#[test]
fn variables_that_cannot_be_meant_say_what_to_write() {
    let served = Served::zoo();
    let warned = |name: &str, value: &str| {
        let mut command = served.command(&["get", "t:count"]);
        let run = Run::of(&command.env(name, value).output().unwrap());
        run.expect(0, "t:count  -42 counts\n");
        run.err
    };
    for (name, value, part) in [
        (
            "EPICS_CA_CONN_TMO",
            "inf",
            "which is out of range; 30 s is used; write a number of seconds",
        ),
        (
            "EPICS_CA_AUTO_ARRAY_BYTES",
            "MAYBE",
            "which is neither YES nor NO; NO is used; write YES or NO",
        ),
        (
            "EPICS_CA_NAME_SERVERS",
            "127.0.0.1,127.0.0.2",
            "it is left out; separate addresses by blanks",
        ),
        ("EPICS_CA_MAX_SEARCH_PERIOD", "nan", "300 s is used"),
        (
            "EPICS_CA_MCAST_TTL",
            "300",
            "a number of hops from 0 to 255",
        ),
        ("EPICS_CLI_TIMEOUT", "inf", "1 s is used"),
        ("CANTER_READ_ONLY", "MAYBE", "neither YES nor NO"),
    ] {
        let err = warned(name, value);
        assert!(
            err.starts_with(&format!("warning: {name}")) && err.contains(part),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let here = format!("127.0.0.1:{0} 127.0.0.1:{0}", served.port);
    let err = warned("EPICS_CA_ADDR_LIST", &here);
    assert!(
        err.starts_with("warning: the address list has 127.0.0.1:"),
        "{err}"
    );
    for value in ["", "YES", "no", "No"] {
        assert_eq!(warned("EPICS_CA_AUTO_ARRAY_BYTES", value), "", "{value}");
    }
}

#[test]
fn the_ioc_tells_what_it_does_not_take_from_the_environment() {
    let run = |name: &str, value: &str| {
        let args = ["ioc", "--pv", "x=long:1", "--seconds", "0"];
        let mut command: Command = command_on(1, &args);
        command
            .env("EPICS_CAS_SERVER_PORT", "5999")
            .env(name, value);
        // A port that is taken is not what this is about.
        Run::of(&command.output().unwrap())
    };
    for (name, value, part) in [
        (
            "EPICS_CAS_SERVER_PORT",
            "abc",
            "which is no number; 5064 is used; write a port from 5001 to 65535",
        ),
        ("EPICS_CAS_SERVER_PORT", "0", "which is out of range"),
        ("EPICS_CAS_SERVER_PORT", "70000", "which is out of range"),
        ("EPICS_CAS_SERVER_PORT", "0x1770", "which is out of range"),
        (
            "EPICS_CAS_BEACON_PERIOD",
            "inf",
            "which is out of range; 15 s is used",
        ),
        ("EPICS_CAS_BEACON_PERIOD", "", "is empty"),
        ("EPICS_CAS_BEACON_PORT", "1e3", "5065 is used"),
        (
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST",
            "MAYBE",
            "neither YES nor NO",
        ),
        (
            "EPICS_CAS_IGNORE_ADDR_LIST",
            "10.0.0.1,10.0.0.2",
            "separate addresses by blanks",
        ),
        (
            "EPICS_IOC_IGNORE_SERVERS",
            "qsrv,rsrv",
            "separated by blanks",
        ),
        ("EPICS_CA_MAX_ARRAY_BYTES", "-1", "16384 is used"),
    ] {
        let run = run(name, value);
        let line = run
            .err
            .lines()
            .find(|line| line.starts_with(&format!("warning: {name}")));
        match (name, value) {
            // An empty first variable leaves the choice to the second, which is not set.
            ("EPICS_CAS_BEACON_PERIOD", "") => assert_eq!(line, None, "{run:?}"),
            _ => assert!(
                line.is_some_and(|line| line.contains(part)),
                "{part}: {run:?}"
            ),
        }
    }
    let mut command = command_on(
        1,
        &["ioc", "--port", "0", "--pv", "x=long:1", "--seconds", "0"],
    );
    let run = Run::of(
        &command
            .env("EPICS_CAS_SERVER_PORT", "abc")
            .output()
            .unwrap(),
    );
    assert!(
        !run.err.contains("EPICS_CAS_SERVER_PORT"),
        "an option takes its place: {run:?}"
    );
}
