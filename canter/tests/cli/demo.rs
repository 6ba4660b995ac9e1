//! `canter demo` without a terminal.

use crate::common::{Run, command_on};

#[test]
fn three_seconds_show_every_step() {
    let run = Run::of(&command_on(0, &["demo", "--seconds", "3"]).output().unwrap());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.err, "");
    assert!(
        !run.out.contains('\x1b'),
        "escape sequences without a terminal: {run:?}"
    );
    let steps = [
        "An IOC on 127.0.0.1:",
        "found all 7",
        "so far.",
        "waits for completion",
        "put with completion to demo:setpoint took ",
        "The IOC was stopped",
        "disconnected",
        "The IOC runs again",
        "all PVs are back",
        "numbers of demo:scope read",
        "Seen: 7 PVs",
        "canter get my:gap",
    ];
    let mut rest = run.out.as_str();
    for step in steps {
        let at = rest.find(step);
        let at = at.unwrap_or_else(|| panic!("{step:?} is not there in this order: {}", run.out));
        rest = &rest[at..];
    }
    // A curve was drawn, and alarms were seen.
    assert!(
        run.out
            .chars()
            .any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)),
        "{run:?}"
    );
    assert!(
        run.out.contains("MAJOR") || run.out.contains("MINOR"),
        "{run:?}"
    );
}
