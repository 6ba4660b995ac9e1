//! `canter wait`, `canter ramp` and `canter scan`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use ca_server_sim::{Ioc, PvSpec};

use crate::common::{Run, Served, ended};

/// Set-points, read-backs, and things that do not move.
fn magnets() -> Served {
    let knob = || PvSpec::double(0.0).control(-10.0, 10.0).units("A");
    let served = Served::new(
        Ioc::builder()
            .pv("q1:set", knob())
            .pv("q2:set", knob())
            .pv("q1:read", PvSpec::double(5.0))
            .pv("bpm:x", PvSpec::double(0.25))
            .pv("bpm:wave", PvSpec::array([1.0, 2.0]))
            .pv("steps", PvSpec::long(3))
            .pv("valve", PvSpec::enumeration(["Closed", "Open"], 1))
            .pv("note", PvSpec::string("ready"))
            .pv("fixed", PvSpec::double(7.0).read_only()),
    );
    served.post("q2:set", 1.5);
    served
}

/// What a PV stands at, as `canter get` tells it.
#[track_caller]
fn at(served: &Served, pv: &str) -> String {
    let run = served.canter(&["get", "-t", pv]);
    assert_eq!(run.code, Some(0), "{run:?}");
    run.out.trim_end().to_owned()
}

#[test]
fn what_is_there_already_is_not_waited_for() {
    let served = magnets();
    let run = served.canter(&["wait", "q1:read", "4..6", "valve", "Open", "note", "ready"]);
    run.expect(0, "q1:read  5\nvalve    Open\nnote     ready\n");
    let pairs = [
        "wait",
        "q1:read",
        "5.05",
        "--tolerance",
        "0.1",
        "q1:set",
        "-1..1",
        "q2:set",
        "1.5+-0",
    ];
    served
        .canter(&pairs)
        .expect(0, "q1:read  5\nq1:set   0\nq2:set   1.5\n");
    served
        .canter(&["wait", "-s", "q1:read", "5"])
        .expect(0, "q1:read  5\n");
    let run = served.canter(&["wait", "--json", "q1:read", "5", "valve", "Open"]);
    let lines = run.json();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        (&lines[0]["pv"], &lines[0]["value"]),
        (&"q1:read".into(), &5.0.into())
    );
    assert_eq!(
        (&lines[1]["value"], &lines[1]["matches"]),
        (&"Open".into(), &true.into())
    );
}

#[test]
fn who_does_not_arrive_is_named_with_where_it_stands() {
    let served = magnets();
    let run = served.within(&["wait", "q1:read", "9+-0.5", "valve", "Open"], |run| {
        run.err.contains("stands at 5")
    });
    assert_eq!(run.code, Some(3), "{run:?}");
    run.says("1 of the 2 that must match do so")
        .says("\"q1:read\" stands at 5, not 9 ± 0.5");
    let run = served.canter(&["wait", "-w", "0.3", "--json", "nobody", "1.."]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert_eq!(run.json()[0]["error"]["phase"], "wait");
    // One of two suffices, if that is wanted.
    let run = served.canter(&["wait", "--number", "1", "q1:read", "9", "valve", "Open"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("does not match"), "{run:?}");
}

#[test]
fn a_condition_that_can_never_hold_is_wrong_usage() {
    let served = magnets();
    for (args, part) in [
        (
            &["q1:read", ">5"][..],
            "write 5 for the number, 5.. for more",
        ),
        (&["q1:read"], "required"),
        (
            &["q1:read", "5", "valve"],
            "valve stands there without a condition",
        ),
        (&["q1:read", "6..5"], "nothing is between 6 and 5"),
        (&["q1:read", "nan"], "give a finite value"),
        (
            &["q1:read", "5", "--tolerance", "-1"],
            "--tolerance -1 can never match",
        ),
        (&["steps", "2.5"], "no DBF_LONG is 2.5;"),
        (&["valve", "Ajar"], "the states are Closed, Open"),
        (
            &["q1:read", "5", "--number", "2"],
            "2 of 1 PVs can never match",
        ),
    ] {
        let run = served.canter(&[&["wait"], args].concat());
        assert_eq!(run.code, Some(2), "{args:?} {run:?}");
        run.says(part);
    }
}

#[test]
fn waiting_ends_when_the_value_comes_and_tells_how_far_it_is() {
    let served = magnets();
    let mut command = served.command(&["wait", "-w", "60", "q1:read", "7..", "valve", "Open"]);
    let mut child = Piped::start(&mut command);
    let line = child.error();
    assert!(
        line.starts_with("1 of 2 match; q1:read stands at 5, wanted: 7 or more"),
        "{line}"
    );
    served.post("q1:read", 8.0);
    assert_eq!(ended(&mut child.child), Some(0));
    assert_eq!(child.output(), "q1:read  8\nvalve    Open\n");
}

#[test]
fn a_ramp_has_a_line_for_each_step() {
    let served = magnets();
    let run = served.canter(&["ramp", "--steps", "4", "--period", "0.001", "q1:set", "-2"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[0], "# seconds\tq1:set");
    let values = lines[1..]
        .iter()
        .map(|line| line.split('\t').nth(1).unwrap());
    assert_eq!(
        values.collect::<Vec<_>>(),
        ["0", "-0.5", "-1", "-1.5", "-2"]
    );
    assert_eq!(at(&served, "q1:set"), "-2");
    let args = [
        "ramp",
        "--json",
        "--step-size",
        "1",
        "--period",
        "0.001",
        "--read-back",
        "q1:set",
    ];
    let run = served.canter(&[&args[..], &["--tolerance", "0.01", "-c", "q1:set", "0"]].concat());
    let lines = run.json();
    assert_eq!((run.code, lines.len()), (Some(0), 4), "{run:?}");
    assert_eq!(
        (&lines[1]["value"], &lines[1]["read_back"]),
        (&(-1.0).into(), &(-1.0).into())
    );
    assert_eq!(
        (&lines[3]["to"], &lines[3]["steps"]),
        (&0.0.into(), &2.into())
    );
    let run = served.canter(&["ramp", "q1:set", "0"]);
    run.says("q1:set is at 0 already");
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_ramp_that_cannot_be_puts_nothing() {
    let served = magnets();
    for (args, code, part) in [
        (
            &["q1:set", "11"][..],
            2,
            "the limits of its control go from -10 to 10",
        ),
        (
            &["q1:set", "2", "--range", "-1", "1"],
            2,
            "the limits of the ramp go from -1 to 1",
        ),
        (&["q1:set", "nan"], 2, "finite"),
        (
            &["q1:set", "1", "--rate", "-1"],
            2,
            "a rate of -1 cannot be",
        ),
        (&["q1:set", "1", "--steps", "0"], 2, "give at least 1"),
        (
            &["q1:set", "1", "--step-size", "1e-9"],
            2,
            "make larger steps",
        ),
        (
            &["q1:set", "1", "--rate", "1", "--steps", "2"],
            2,
            "cannot be used with",
        ),
        (&["q1:set", "1", "--read-back", "q1:read"], 2, "--tolerance"),
        (&["steps", "2.5"], 2, "no DBF_LONG is 2.5;"),
        (&["note", "2.5"], 2, "put it to a number first"),
        (&["fixed", "1"], 1, "no write access"),
        (&["nobody", "1", "-w", "0.2"], 3, "nobody: not found"),
    ] {
        let run = served.canter(&[&["ramp"], args].concat());
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(code), ""),
            "{args:?} {run:?}"
        );
        run.says(part);
    }
    let run = served.canter(&["ramp", "--dry-run", "--rate", "2", "q1:set", "1"]);
    run.expect(
        0,
        "q1:set would go from 0 to 1 in 5 steps of 0.2, which takes 400 ms or more; nothing was put\n",
    );
    let mut read_only = served.command(&["ramp", "q1:set", "1"]);
    let run = Run::of(&read_only.env("CANTER_READ_ONLY", "YES").output().unwrap());
    assert_eq!(run.code, Some(1), "{run:?}");
    run.says("CANTER_READ_ONLY").says("nothing was moved");
    assert_eq!(at(&served, "q1:set"), "0");
}

#[test]
fn a_read_back_that_does_not_follow_ends_a_ramp_and_it_goes_back_if_wanted() {
    let served = magnets();
    let args = [
        "ramp",
        "-w",
        "0.2",
        "--steps",
        "2",
        "--period",
        "0.001",
        "--tolerance",
        "0.1",
    ];
    let ramp = [&args[..], &["--read-back", "q1:read", "q1:set", "4"]].concat();
    let run = served.canter(&ramp);
    assert_eq!(run.code, Some(3), "{run:?}");
    run.says("\"q1:read\" stands at 5, not 2 ± 0.1")
        .says("q1:set is left at 2; it stood at 0");
    assert_eq!(at(&served, "q1:set"), "2");
    let run = served.canter(&[&ramp[..], &["--back"]].concat());
    assert_eq!(run.code, Some(3), "{run:?}");
    run.says("going back to 2").says("q1:set is back at 2");
    assert_eq!(at(&served, "q1:set"), "2");
}

#[test]
fn a_scan_has_a_line_for_each_point_and_goes_back() {
    let served = magnets();
    let args = [
        "scan", "--axis", "q1:set", "-1", "1", "3", "--points", "q2:set", "-2,3", "q1:set",
    ];
    let run = served.canter(&[&args[..], &["bpm:x", "bpm:wave", "valve"]].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(
        lines[0],
        "# point\tseconds\tq1:set\tq2:set\tq1:set\tbpm:x\tbpm:wave\tvalve"
    );
    let columns = |line: &str| {
        let mut columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        columns.remove(1);
        columns.join(" ")
    };
    let expected = [
        "1 -1 -2 -1 0.25 1,2 1",
        "2 -1 3 -1 0.25 1,2 1",
        "3 0 -2 0 0.25 1,2 1",
        "4 0 3 0 0.25 1,2 1",
        "5 1 -2 1 0.25 1,2 1",
        "6 1 3 1 0.25 1,2 1",
    ];
    assert_eq!(
        lines[1..]
            .iter()
            .map(|line| columns(line))
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        (at(&served, "q1:set"), at(&served, "q2:set")),
        ("0".into(), "1.5".into())
    );
    let args = [
        "scan",
        "--json",
        "--points",
        "q1:set",
        "1",
        "--restore",
        "never",
        "--read-back",
        "q1:set",
    ];
    let run =
        served.canter(&[&args[..], &["q1:set", "0.1", "--dwell", "0.01", "bpm:wave"]].concat());
    let lines = run.json();
    assert_eq!((run.code, lines.len()), (Some(0), 1), "{run:?}");
    assert_eq!(lines[0]["at"]["q1:set"], 1.0);
    assert_eq!(lines[0]["read_backs"]["q1:set"], 1.0);
    assert_eq!(
        lines[0]["values"]["bpm:wave"],
        serde_json::json!([1.0, 2.0])
    );
    assert_eq!(at(&served, "q1:set"), "1");
}

#[test]
fn a_scan_that_cannot_be_moves_nothing() {
    let served = magnets();
    let axis = ["--axis", "q1:set", "-1", "1", "3"];
    for (args, code, part) in [
        (&["bpm:x"][..], 2, "there is nothing to move"),
        (
            &["--axis", "q1:set", "0", "11", "3"],
            2,
            "the limits of its control go from -10 to 10",
        ),
        (
            &["--axis", "q1:set", "x", "1", "3"],
            2,
            "--axis q1:set: `x` is no number",
        ),
        (
            &["--axis", "q1:set", "0", "1", "0"],
            2,
            "`0` is no number of points",
        ),
        (&["--points", "q1:set", ""], 2, "it has no points"),
        (
            &[&axis[..], &["--range", "q1:set", "0", "1"]].concat(),
            2,
            "the limits of the axis",
        ),
        (
            &[&axis[..], &["--range", "q3", "0", "1"]].concat(),
            2,
            "q3 is no axis of the scan",
        ),
        (
            &[&axis[..], &["--read-back", "q1:set", "q1:read", "-1"]].concat(),
            2,
            "tolerance of -1",
        ),
        (
            &[&axis[..], &["--points", "q1:set", "1"]].concat(),
            2,
            "q1:set is an axis twice",
        ),
        (&["--axis", "fixed", "0", "1", "2"], 1, "no write access"),
        (
            &[&axis[..], &["-w", "0.2", "nobody"]].concat(),
            3,
            "nobody: not found",
        ),
    ] {
        let run = served.canter(&[&["scan"], args].concat());
        assert_eq!(
            (run.code, run.out.as_str()),
            (Some(code), ""),
            "{args:?} {run:?}"
        );
        run.says(part);
    }
    let run = served.canter(&[&["scan", "--dry-run"], &axis[..], &["bpm:x"]].concat());
    run.expect(
        0,
        "q1:set would go from -1 to 1 in 3 points; it stands at 0, limits -10 to 10\n3 points in all; nothing \
         was moved\n",
    );
    let args = ["scan", "--json", "--axis", "q1:set", "0", "11", "3"];
    let run = served.canter(&args);
    assert_eq!(
        (run.code, &run.json()[0]["axes"]),
        (Some(2), &"not moved".into()),
        "{run:?}"
    );
    assert_eq!(at(&served, "q1:set"), "0");
}

#[test]
fn an_axis_that_does_not_arrive_ends_a_scan_and_all_are_put_back() {
    let served = magnets();
    let args = [
        "scan", "-w", "5", "--points", "q2:set", "2", "--points", "q1:set", "5,6",
    ];
    let run = served.canter(
        &[
            &args[..],
            &["--read-back", "q1:set", "q1:read", "0.1", "bpm:x"],
        ]
        .concat(),
    );
    assert_eq!(run.code, Some(3), "{run:?}");
    assert_eq!(run.out.lines().count(), 2, "{run:?}");
    run.says("the scan ends at point 2 of 2")
        .says("\"q1:read\" stands at 5, not 6 ± 0.1");
    run.says("put back where they stood: q2:set 1.5, q1:set 0");
    assert_eq!(
        (at(&served, "q1:set"), at(&served, "q2:set")),
        ("0".into(), "1.5".into())
    );
}

/// A program whose streams are read while it runs.
struct Piped {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    err: BufReader<std::process::ChildStderr>,
}

impl Piped {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn error(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).unwrap();
        line
    }

    fn output(&mut self) -> String {
        std::io::read_to_string(&mut self.out).unwrap()
    }

    fn errors(&mut self) -> String {
        std::io::read_to_string(&mut self.err).unwrap()
    }

    #[cfg(unix)]
    fn interrupt(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status();
        assert!(sent.unwrap().success());
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_scan_puts_its_axes_back() {
    let served = magnets();
    let args = [
        "scan", "--axis", "q1:set", "1", "9", "1000", "--dwell", "0.05", "bpm:x",
    ];
    let mut scan = Piped::start(&mut served.command(&args));
    for _ in 0..3 {
        scan.line();
    }
    scan.interrupt();
    assert_eq!(ended(&mut scan.child), Some(1));
    let errors = scan.errors();
    assert!(errors.contains("interrupted: the scan ends"), "{errors}");
    assert!(
        errors.contains("put back where they stood: q1:set 0"),
        "{errors}"
    );
    assert_eq!(at(&served, "q1:set"), "0");
}

#[cfg(unix)]
#[test]
fn a_scan_whose_output_nobody_reads_puts_its_axes_back() {
    let served = magnets();
    let args = [
        "scan", "--axis", "q1:set", "1", "9", "1000", "--dwell", "0.01", "bpm:x",
    ];
    let mut scan = Piped::start(&mut served.command(&args));
    scan.line();
    let Piped { mut child, out, .. } = scan;
    drop(out);
    assert!(ended(&mut child).is_some());
    assert_eq!(at(&served, "q1:set"), "0");
}

#[cfg(unix)]
#[test]
fn an_interrupted_ramp_stays_or_goes_back() {
    let served = magnets();
    let args = ["ramp", "--steps", "1000", "--period", "0.05", "q1:set", "9"];
    let mut ramp = Piped::start(&mut served.command(&args));
    for _ in 0..4 {
        ramp.line();
    }
    ramp.interrupt();
    assert_eq!(ended(&mut ramp.child), Some(1));
    let errors = ramp.errors();
    assert!(errors.contains("q1:set is left at 0.0"), "{errors}");
    let left: f64 = at(&served, "q1:set").parse().unwrap();
    assert!(left > 0.0 && left < 9.0, "{left}");

    let mut ramp = Piped::start(&mut served.command(&[&args[..], &["--back"]].concat()));
    for _ in 0..4 {
        ramp.line();
    }
    ramp.interrupt();
    assert_eq!(ended(&mut ramp.child), Some(1));
    let errors = ramp.errors();
    assert!(errors.contains("is back at"), "{errors}");
    assert_eq!(at(&served, "q1:set").parse::<f64>().unwrap(), left);
}
