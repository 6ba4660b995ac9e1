//! `canter conformance --client` judges the tools of this program.

use std::time::Duration;

use ca_conformance::Outcome;
use ca_conformance::client::{self, ClientTarget};

use crate::common::{Run, command_on};

const PROGRAM: &str = env!("CARGO_BIN_EXE_canter");
/// Checks that the tables have at least: none got lost.
const LEAST: usize = 95;

fn words(text: &str) -> Vec<String> {
    let words = text.split(' ').map(str::to_owned);
    std::iter::once(PROGRAM.to_owned()).chain(words).collect()
}

fn target() -> ClientTarget {
    let mut target = ClientTarget::new(words("get -w {timeout} {pv}"));
    target.put = Some(words("put -c -w {timeout} {pv} {value}"));
    target.monitor = Some(words("monitor --count {updates} {pv}"));
    target.jobs = 8;
    target
}

#[test]
fn our_tools_pass_every_check() {
    let report = client::run(&target(), &[]).expect("the tools can be judged");
    let mut text = Vec::new();
    report.text(&mut text, false).expect("memory");
    println!("{}", String::from_utf8_lossy(&text));
    let counts = report.counts();
    let others = (counts.fail, counts.differs, counts.skipped);
    assert_eq!(others, (0, 0, 0), "see the report above");
    assert!(counts.pass >= LEAST, "{} checks passed", counts.pass);
}

#[test]
fn a_client_that_shows_what_it_should_not_fails() {
    // It shows the value of an honest server, and everything else that comes, too.
    let script = "canter=$0; \"$canter\" get -w $2 $1 || echo 4711";
    let mut target = ClientTarget::new(
        ["sh", "-c", script, PROGRAM, "{pv}", "{timeout}"]
            .map(str::to_owned)
            .to_vec(),
    );
    target.patience = Duration::from_millis(500);
    let report = client::run(&target, &["nasty".to_owned()]).expect("it can be judged");
    let cut = report
        .checks()
        .find(|check| check.id == "nasty.cut_63")
        .expect("there is one");
    let shown = Outcome::Fail("the program shows 4711".to_owned());
    assert_eq!(cut.outcome, shown, "{:?}", cut.transcript);
    assert!(cut.transcript.iter().any(|line| line == "prog says: 4711"));
    assert!(report.counts().fail > 10, "{}", report.counts());
}

fn canter(args: &[&str]) -> Run {
    // The port of another client's servers; the programs that are judged get their own.
    Run::of(&command_on(25_998, args).output().unwrap())
}

#[test]
fn the_command_judges_a_group_and_says_what_is_missing() {
    let run = canter(&[
        "conformance",
        "--client",
        "--group",
        "write",
        "--",
        PROGRAM,
        "get",
        "{pv}",
    ]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("0 passed, 0 failed"), "{run:?}");
    assert!(
        run.out.contains("no program is named with --put"),
        "{run:?}"
    );
    let run = canter(&["conformance", "--client", "--", "true"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("does not show 4711"), "{run:?}");
    let run = canter(&["conformance", "--client"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    let run = canter(&["conformance", "--client", "--put", "'x", "--", PROGRAM]);
    assert!(run.err.contains("--put: this is no command"), "{run:?}");
    let run = canter(&["conformance", "--client", "--list"]);
    assert!(run.out.lines().count() >= LEAST, "{run:?}");
}
