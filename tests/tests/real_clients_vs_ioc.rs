//! Our simulated IOC, judged by clients of other implementations.

use ca_tests::fixture::Fixture;
use ca_tests::judge;
use ca_tests::peer::Python;
use ca_tests::run::{self, Job};
use ca_tests::table::{Outcome, Table};

const PREFIX: &str = "JUDGED";
/// Checks of each client that must at least end well: it may not have got out of all of them.
const LEAST: usize = 35;

#[test]
fn real_clients_work_with_our_ioc() {
    let Some(python) = Python::find() else { return };
    let clients = [
        ("pyepics", "client_pyepics.py"),
        ("aioca", "client_aioca.py"),
        ("caproto", "client_caproto.py"),
    ];
    let job = |script| -> Job<'_> {
        let python = &python;
        Box::new(move || {
            let server = Fixture::start(PREFIX);
            let port = server.server().address.port();
            judge::run(python, script, port, PREFIX)
        })
    };
    let jobs = clients.map(|(column, script)| (column, job(script)));
    let columns = clients.map(|(column, _)| column);
    let mut table = Table::new("real clients, our IOC", &columns);
    run::side_by_side(&mut table, jobs.into());
    for column in columns {
        let passed = table.passed(column);
        if passed < LEAST {
            let what = format!("{passed} checks passed, at least {LEAST} should");
            table.set(column, "all", Outcome::Failed(what));
        }
    }
    table.finish();
}
