//! `canter conformance` judges our IOC, which passes every check, the real IOC, whose differences
//! are listed here, and the servers of other projects, which are reported.

use std::collections::BTreeSet;

use ca_conformance::{Outcome, Report, Target};
use ca_tests::conformance::{MORE, PREFIX, groups_to_repeat, server as target, text};
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

/// What did not pass, once more with more time.
fn repeated(target: &Target, report: &Report) -> Option<Report> {
    let groups = groups_to_repeat(report);
    if groups.is_empty() {
        return None;
    }
    let mut patient = target.clone();
    patient.patience *= MORE;
    let report = ca_conformance::run(&patient, &groups).expect("the server can be judged");
    println!("{}", text(&report));
    Some(report)
}

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
    let target = target(ioc.server().address.port());
    let report = judged(&target);
    let all = report.checks().count();
    let last = repeated(&target, &report);
    let counts = last.as_ref().unwrap_or(&report).counts();
    assert_eq!(
        (counts.fail, counts.differs, report.counts().skipped),
        (0, 0, 0),
        "see the report above"
    );
    assert!(all >= LEAST, "{all} checks");
    println!("it took {:?}", report.elapsed);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn the_real_ioc_differs_only_where_it_is_known_to() {
    let python = Python::here();
    let peer = python.serve("run_ioc.py", PREFIX, &[]);
    let peer = peer.unwrap_or_else(|error| panic!("{error}"));
    let target = target(peer.port());
    let report = judged(&target);
    let expected: BTreeSet<_> = REAL_IOC.iter().map(|(id, _)| *id).collect();
    let last = match failed(&report).is_subset(&expected) {
        true => None,
        false => repeated(&target, &report),
    };
    let failed = failed(last.as_ref().unwrap_or(&report));
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
        // They have what they have; what they do not serve is left out, and waited for shortly unless the
        // machine has much else to do.
        let times = [500, 5000].map(std::time::Duration::from_millis);
        let enough = times.into_iter().any(|patience| {
            target.patience = patience;
            let counts = judged(&target).counts();
            println!("{script}: {counts}");
            counts.pass > LEAST / 3
        });
        assert!(enough, "see the report above");
    }
}
