//! `canter conformance` judges our IOC, which passes every check, the real IOC, whose differences
//! are listed here, and the servers of other projects, which are reported.

use std::collections::BTreeSet;

use ca_conformance::{Outcome, Report, Target};
use ca_tests::conformance::{PREFIX, server as target, text};
use ca_tests::fixture::Fixture;
use ca_tests::peer::Python;

/// Checks that the tables have at least: none got lost.
const LEAST: usize = 250;

/// Where the real IOC differs from the text in other ways than by the defects that the checks
/// name themselves, and why that is so.
const REAL_IOC: &[(&str, &str)] = &[(
    "string.state_empty",
    "a multi-bit record compares with all sixteen texts, and those of unused states are empty",
)];

fn judged(target: &Target) -> Report {
    let report = ca_conformance::run(target, &[]).expect("the server can be judged");
    println!("{}", text(&report));
    report
}

/// What did not pass: ids, sorted.
fn failed(report: &Report) -> BTreeSet<&str> {
    let failed = report
        .checks()
        .filter(|c| matches!(c.outcome, Outcome::Fail(_)));
    failed.map(|check| check.id.as_str()).collect()
}

#[test]
fn our_ioc_passes_every_check_and_has_none_of_the_defects() {
    let ioc = Fixture::start(PREFIX);
    let report = judged(&target(ioc.server().address.port()));
    let counts = report.counts();
    assert_eq!(
        (counts.fail, counts.differs, counts.skipped),
        (0, 0, 0),
        "see the report above"
    );
    assert!(counts.pass >= LEAST, "{} checks passed", counts.pass);
    println!("it took {:?}", report.elapsed);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn the_real_ioc_differs_only_where_it_is_known_to() {
    let python = Python::here();
    let peer = python.serve("run_ioc.py", PREFIX, &[]);
    let peer = peer.unwrap_or_else(|error| panic!("{error}"));
    let report = judged(&target(peer.port()));
    let expected: BTreeSet<_> = REAL_IOC.iter().map(|(id, _)| *id).collect();
    let failed = failed(&report);
    assert!(
        failed.is_subset(&expected),
        "{failed:?}, see the report above"
    );
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn servers_of_other_projects_are_judged_to_the_end() {
    let python = Python::here();
    for script in ["serve_caproto.py", "serve_pcaspy.py"] {
        let peer = match python.serve(script, PREFIX, &[]) {
            Ok(peer) => peer,
            Err(error) => panic!("{error}"),
        };
        let mut target = target(peer.port());
        // They have what they have; what they do not serve is left out.
        target.patience = std::time::Duration::from_millis(500);
        let report = judged(&target);
        println!("{script}: {}", report.counts());
        assert!(report.counts().pass > LEAST / 3, "{}", report.counts());
    }
}
