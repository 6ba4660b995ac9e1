//! `canter conformance --client` judges the clients of other projects. Those on libca differ in no
//! other way than is listed here.

use std::collections::BTreeSet;

use ca_conformance::client;
use ca_conformance::{Outcome, Report};
use ca_tests::conformance;
use ca_tests::peer::Python;

/// Checks that the tables have at least: none got lost.
const LEAST: usize = 95;

/// Where a library differs from the text in other ways than by the defects of libca that the checks
/// name themselves, and why that is so.
const PYEPICS: &[(&str, &str)] = &[(
    "write.refused",
    "epics.caput returns 1 when the answer has come, whatever its status",
)];
const AIOCA: &[(&str, &str)] = &[(
    "monitor.status",
    "a subscription ends when an update has a status other than ECA_NORMAL",
)];

fn judged(python: &Python, library: &str) -> Report {
    let report = client::run(&conformance::client(python, library), &[]);
    let report = report.unwrap_or_else(|error| panic!("{library}: {error}"));
    println!("{}", conformance::text(&report));
    report
}

fn differs_only_in(report: &Report, known: &[(&str, &str)]) {
    let failed = report
        .checks()
        .filter(|check| matches!(check.outcome, Outcome::Fail(_)));
    let failed: BTreeSet<_> = failed.map(|check| check.id.as_str()).collect();
    let known: BTreeSet<_> = known.iter().map(|(id, _)| *id).collect();
    assert!(failed.is_subset(&known), "{failed:?}, see the report above");
    assert!(report.checks().count() >= LEAST);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn pyepics_differs_only_where_it_is_known_to() {
    let python = Python::here();
    differs_only_in(&judged(&python, "pyepics"), PYEPICS);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn aioca_differs_only_where_it_is_known_to() {
    let python = Python::here();
    differs_only_in(&judged(&python, "aioca"), AIOCA);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn caproto_is_judged_to_the_end() {
    let python = Python::here();
    let report = judged(&python, "caproto");
    assert!(report.counts().pass > LEAST / 2, "{}", report.counts());
}
