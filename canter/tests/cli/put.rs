//! `canter put` as a user runs it.

use crate::common::Served;

#[test]
fn the_old_and_the_new_value_are_shown() {
    let served = Served::zoo();
    served
        .canter(&["put", "t:gap", "-2.5"])
        .expect(0, "old  t:gap  1.25 mm\nnew  t:gap  -2.5 mm\n");
    served
        .canter(&["put", "--terse", "t:gap", "3"])
        .expect(0, "3\n");
    served
        .canter(&["put", "t:gap", "4.75"])
        .expect(0, "old  t:gap  3 mm\nnew  t:gap  4.75 mm  MAJOR HIHI\n");
}

#[test]
fn each_type_takes_its_values() {
    let served = Served::zoo();
    let cases: [(&[&str], &str); 8] = [
        (&["t:count", "0x10"], "16"),
        (&["t:short", "-3"], "-3"),
        (&["t:float", "2.5"], "2.5"),
        (&["t:byte", "65"], "65"),
        (&["t:note", "two words"], "two words"),
        (&["t:valve", "Closed"], "Closed"),
        (&["t:valve", "1"], "Open"),
        (&["t:wave", "1", "-2", "3e3"], "1 -2 3000"),
    ];
    for (args, shown) in cases {
        let args = [&["put", "--terse"], args].concat();
        served.canter(&args).expect(0, &format!("{shown}\n"));
    }
    served
        .canter(&["put", "-S", "t:path", "/data/run2"])
        .expect(0, "old  t:path  /data/run1\nnew  t:path  /data/run2\n");
    served
        .canter(&["put", "--terse", "-s", "t:gap", "1.5"])
        .expect(0, "1.500\n");
}

#[test]
fn wrong_values_are_refused_before_anything_is_sent() {
    let served = Served::zoo();
    served
        .canter(&["put", "t:valve", "Ajar"])
        .expect(2, "")
        .says("error: `Ajar` is no state: t:valve is an ENUM\n hint: states are 0 Closed, 1 Open");
    served
        .canter(&["put", "t:count", "1.5"])
        .expect(2, "")
        .says("`1.5` is no whole number");
    served
        .canter(&["put", "t:count", "1", "2"])
        .expect(2, "")
        .says("t:count holds 1 element, 2 were given");
    served
        .canter(&["put", "t:gap"])
        .expect(2, "")
        .says("Usage: canter put");
    served
        .canter(&["get", "t:valve", "t:count"])
        .expect(0, "t:valve  Open\nt:count  -42 counts\n");
}

#[test]
fn completion_is_waited_for() {
    let served = Served::zoo();
    let run = served.canter(&["put", "-c", "t:gap", "2"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[..2], ["old  t:gap  1.25 mm", "new  t:gap  2 mm"]);
    assert!(lines[2].starts_with("completed in "), "{run:?}");
    let run = served.canter(&["put", "--json", "-c", "t:gap", "3"]);
    let object = &run.json()[0];
    assert_eq!(
        (&object["old"]["value"], &object["new"]["value"]),
        (&2.0.into(), &3.0.into())
    );
    assert!(
        object["completed_after"].as_f64().unwrap() >= 0.03,
        "{object}"
    );
}

#[test]
fn a_completion_that_does_not_come_is_a_time_out() {
    let served = Served::zoo();
    let sent = "error: t:never: sent, but not reported as complete within ";
    let args = ["put", "-c", "t:never", "1"];
    let run = served.within(&args, |run| run.err.contains(sent));
    // The time that was given, not what connecting and reading left of it.
    let given = ["0.3 s", "3.0 s", "30.0 s"].map(|time| format!("{sent}{time}\n"));
    assert!(
        given.iter().any(|given| run.err.contains(given)),
        "{}",
        run.err
    );
    run.expect(3, "")
        .says(" hint: the record may still be busy");
}

#[test]
fn missing_rights_and_missing_pvs_are_told_apart() {
    let served = Served::zoo();
    served
        .canter(&["put", "t:fixed", "1"])
        .expect(1, "")
        .says("does not allow this user and host to write");
    served
        .canter(&["put", "-w", "0.3", "t:none", "1"])
        .expect(3, "")
        .says("t:none: not found");
    let run = served.canter(&["put", "--json", "t:fixed", "1"]);
    assert_eq!(run.json()[0]["error"]["phase"], "write");
}
