//! Our simulated IOC, judged by clients of other implementations.

use std::thread;

use ca_tests::fixture::Fixture;
use ca_tests::judge;
use ca_tests::peer::Python;
use ca_tests::table::{Outcome, Table};

const PREFIX: &str = "JUDGED";
/// Checks of a client that must at least end well, so that none of them ends early unnoticed.
const LEAST: usize = 35;

#[test]
fn real_clients_work_with_our_ioc() {
    let Some(python) = Python::find() else { return };
    let clients = [
        ("pyepics", "client_pyepics.py"),
        ("aioca", "client_aioca.py"),
        ("caproto", "client_caproto.py"),
    ];
    let mut table = Table::new("real clients, our IOC", &clients.map(|(name, _)| name));
    // At the same time, but each with an IOC of its own: they write to the same PVs.
    let outcomes = thread::scope(|scope| {
        let run = |(column, script)| {
            let python = python.clone();
            let judged = scope.spawn(move || {
                let fixture = Fixture::start(PREFIX);
                let server = fixture.server();
                judge::run(&python, script, server.address.port(), PREFIX)
            });
            (column, judged)
        };
        clients
            .map(run)
            .map(|(column, judged)| (column, judged.join()))
    });
    for (column, judged) in outcomes {
        for (check, outcome) in judged.expect("the client's thread does not panic") {
            table.set(column, &check, outcome);
        }
        let passed = table.passed(column);
        if passed < LEAST {
            let what = format!("{passed} checks passed, at least {LEAST} should");
            table.set(column, "all", Outcome::Failed(what));
        }
    }
    table.finish();
}
