//! Our client, with both of its APIs, against the IOC of EPICS Base.

use ca_client::{Client, blocking};
use ca_tests::checks::restart::{Restart, restarted, restarted_changed};
use ca_tests::checks::{Check, Kind, Server, Stop};
use ca_tests::peer::{Peer, Python};
use ca_tests::table::Table;
use ca_tests::{ports, run};

const SCRIPT: &str = "run_ioc.py";
const PREFIX: &str = "REAL";

fn server(peer: &Peer) -> Server {
    Server {
        kind: Kind::RealIoc,
        address: ports::at(peer.port()),
        prefix: PREFIX.into(),
    }
}

#[test]
fn our_client_works_with_the_real_ioc() {
    let Some(python) = Python::find() else { return };
    let peer = python
        .serve(SCRIPT, PREFIX, &[])
        .unwrap_or_else(|e| panic!("{e}"));
    let columns = ["async", "blocking"];
    let mut table = Table::new("our client, real IOC", &columns);
    run::asynchronous(&server(&peer), &mut table, "async");
    run::blocking(&server(&peer), &mut table, "blocking");
    table.finish();
}

/// The IOC as a process that is killed.
struct Process {
    python: Python,
    peer: Peer,
}

impl Restart for Process {
    async fn stop(&mut self) -> Check {
        self.peer.kill();
        Ok(())
    }

    async fn start(&mut self, changed: bool) -> Check {
        let database = if changed { "other.db" } else { "ioc.db" };
        let port = self.peer.port();
        let again = self
            .python
            .serve_again(SCRIPT, port, PREFIX, &["--db", database]);
        self.peer = again.map_err(|error| Stop::Failed(error.to_string()))?;
        Ok(())
    }
}

#[test]
fn subscriptions_survive_a_restart_of_the_real_ioc() {
    let Some(python) = Python::find() else { return };
    let peer = python
        .serve(SCRIPT, PREFIX, &[])
        .unwrap_or_else(|e| panic!("{e}"));
    let server = server(&peer);
    let mut process = Process { python, peer };
    let columns = ["async", "blocking"];
    let mut table = Table::new("our client, real IOC restarted", &columns);
    let outcome = run::with_runtime(restarted::<Client>(&server, &mut process));
    table.set("async", "restart", outcome.into());
    let outcome = run::without_runtime(restarted::<blocking::Client>(&server, &mut process));
    table.set("blocking", "restart", outcome.into());
    let outcome = run::with_runtime(restarted_changed::<Client>(&server, &mut process));
    table.set("async", "restart.other_type", outcome.into());
    table.finish();
}
