//! Our client, with both of its APIs, against our simulated IOC; needs nothing else.

use ca_client::{Client, blocking};
use ca_tests::checks::restart::{restarted, restarted_changed};
use ca_tests::checks::{Check, Server};
use ca_tests::fixture::Fixture;
use ca_tests::run::{self, Job};
use ca_tests::table::{Outcomes, Table};

const PREFIX: &str = "OURS";

#[test]
fn our_client_works_with_our_ioc() {
    let job = |checks: fn(&Server) -> Outcomes| -> Job<'_> {
        Box::new(move || checks(&Fixture::start(PREFIX).server()))
    };
    let jobs = vec![
        ("async", job(run::asynchronous)),
        ("blocking", job(run::blocking)),
    ];
    let mut table = Table::new("our client, our IOC", &["async", "blocking"]);
    run::side_by_side(&mut table, jobs);
    table.finish();
}

#[test]
fn subscriptions_survive_a_restart_of_our_ioc() {
    let job = |name: &'static str, check: fn(&Server, &mut Fixture) -> Check| -> Job<'_> {
        Box::new(move || {
            let mut fixture = Fixture::start(PREFIX);
            let outcome = check(&fixture.server(), &mut fixture);
            vec![(name.into(), outcome.into())]
        })
    };
    let jobs = vec![
        (
            "async",
            job("restart", |server, fixture| {
                run::with_runtime(restarted::<Client>(server, fixture))
            }),
        ),
        (
            "blocking",
            job("restart", |server, fixture| {
                run::without_runtime(restarted::<blocking::Client>(server, fixture))
            }),
        ),
        (
            "async",
            job("restart.other_type", |server, fixture| {
                run::with_runtime(restarted_changed::<Client>(server, fixture))
            }),
        ),
    ];
    let mut table = Table::new("our client, our IOC restarted", &["async", "blocking"]);
    run::side_by_side(&mut table, jobs);
    table.finish();
}
