//! `canter explain`.

use crate::common::{Run, Served, command_on};

#[test]
fn a_pv_that_connects_is_told_step_by_step() {
    let served = Served::zoo();
    let run = served.canter(&["explain", "t:gap"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let steps = [
        "t:gap\n",
        "who has",
        "answers",
        "connecting",
        "gives",
        "verdict",
        "[works]",
    ];
    let mut rest = run.out.as_str();
    for step in steps {
        let at = rest.find(step);
        rest = &rest[at.unwrap_or_else(|| panic!("{step:?} does not follow: {run:?}"))..];
    }
    assert!(!run.out.contains("remedy"), "{run:?}");
}

#[test]
fn what_is_wrong_has_a_remedy_and_exit_code_1() {
    let served = Served::zoo();
    let run = served.within(&["explain", "--quiet", "T:gap"], |run| {
        run.out.contains("other-name")
    });
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.out.contains("ask for \"t:gap\""), "{run:?}");
    let run = served.canter(&["explain", "--quiet", "t:fixed"]);
    assert!(run.out.contains("may not be written"), "{run:?}");
    let mut nowhere = command_on(0, &["explain", "--quiet", "x"]);
    nowhere.env("EPICS_CA_ADDR_LIST", "");
    let run = Run::of(&nowhere.output().unwrap());
    assert!(run.out.contains("[nowhere-to-search]"), "{run:?}");
    assert!(run.out.contains("EPICS_CA_ADDR_LIST"), "{run:?}");
}

#[test]
fn json_has_the_cause_and_the_steps() {
    let served = Served::zoo();
    let run = served.canter(&["explain", "--json", "t:gap", "t:fixed"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines = run.json();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["pv"], "t:gap");
    assert_eq!(lines[0]["cause"], "works");
    assert_eq!(lines[0]["works"], true);
    assert!(lines[0]["steps"].as_array().unwrap().len() > 5);
    assert!(lines[0]["steps"][0]["at"].is_f64());
    assert_eq!(lines[1]["notes"].as_array().unwrap().len(), 1);
}
