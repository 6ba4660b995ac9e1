//! Our client, with both of its APIs, against the IOC of EPICS Base.

use std::thread;

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
    fn stop(&mut self) -> Check {
        self.peer.kill();
        Ok(())
    }

    fn start(&mut self, changed: bool) -> Check {
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
    let columns = ["async", "blocking"];
    let mut table = Table::new("our client, real IOC restarted", &columns);
    // Side by side, each with an IOC of its own: they mostly wait.
    let outcomes = thread::scope(|scope| {
        let runs: [(_, _, Run); 3] = [
            ("async", "restart", |server, process| {
                run::with_runtime(restarted::<Client>(server, process))
            }),
            ("blocking", "restart", |server, process| {
                run::without_runtime(restarted::<blocking::Client>(server, process))
            }),
            ("async", "restart.other_type", |server, process| {
                run::with_runtime(restarted_changed::<Client>(server, process))
            }),
        ];
        runs.map(|(column, check, run)| {
            let python = python.clone();
            let outcome = scope.spawn(move || {
                let served = python.serve(SCRIPT, PREFIX, &[]);
                let peer = served.map_err(|error| Stop::Failed(error.to_string()))?;
                run(&server(&peer), &mut Process { python, peer })
            });
            (column, check, outcome)
        })
        .map(|(column, check, outcome)| (column, check, outcome.join()))
    });
    for (column, check, outcome) in outcomes {
        let outcome = outcome.unwrap_or_else(|_| Err(Stop::Failed("panicked".into())));
        table.set(column, check, outcome.into());
    }
    table.finish();
}

type Run = fn(&Server, &mut Process) -> Check;
