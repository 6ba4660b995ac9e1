//! Our client, with both of its APIs, against our simulated IOC; needs nothing else.

use ca_client::{Client, blocking};
use ca_tests::checks::restart::{restarted, restarted_changed};
use ca_tests::fixture::Fixture;
use ca_tests::run;
use ca_tests::table::Table;

#[test]
fn our_client_works_with_our_ioc() {
    let fixture = Fixture::start("OURS");
    let mut table = Table::new("our client, our IOC", &["async", "blocking"]);
    run::asynchronous(&fixture.server(), &mut table, "async");
    run::blocking(&fixture.server(), &mut table, "blocking");
    table.finish();
}

#[test]
fn subscriptions_survive_a_restart_of_our_ioc() {
    let mut fixture = Fixture::start("OURS");
    let server = fixture.server();
    let mut table = Table::new("our client, our IOC restarted", &["async", "blocking"]);
    let outcome = run::with_runtime(restarted::<Client>(&server, &mut fixture));
    table.set("async", "restart", outcome.into());
    let outcome = run::without_runtime(restarted::<blocking::Client>(&server, &mut fixture));
    table.set("blocking", "restart", outcome.into());
    let outcome = run::with_runtime(restarted_changed::<Client>(&server, &mut fixture));
    table.set("async", "restart.other_type", outcome.into());
    table.finish();
}
