//! Our client, with both of its APIs, against the IOC of EPICS Base.

use ca_client::{Client, blocking};
use ca_tests::checks::restart::{Restart, restarted, restarted_changed};
use ca_tests::checks::{Check, Kind, Server, Stop};
use ca_tests::peer::{Peer, Python};
use ca_tests::ports;
use ca_tests::run::{self, Job};
use ca_tests::table::{Outcomes, Table};

const SCRIPT: &str = "run_ioc.py";
const PREFIX: &str = "REAL";

fn server(peer: &Peer) -> Server {
    Server {
        kind: Kind::RealIoc,
        address: ports::at(peer.port()),
        prefix: PREFIX.into(),
    }
}

fn serve(python: &Python) -> Peer {
    let served = python.serve(SCRIPT, PREFIX, &[]);
    served.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn our_client_works_with_the_real_ioc() {
    let Some(python) = Python::find() else { return };
    let job = |checks: fn(&Server) -> Outcomes| -> Job<'_> {
        let python = &python;
        Box::new(move || checks(&server(&serve(python))))
    };
    let jobs = vec![
        ("async", job(run::asynchronous)),
        ("blocking", job(run::blocking)),
    ];
    let mut table = Table::new("our client, real IOC", &["async", "blocking"]);
    run::side_by_side(&mut table, jobs);
    table.finish();
}

/// The IOC as a process that is killed.
struct Process<'a> {
    python: &'a Python,
    peer: Peer,
}

impl Restart for Process<'_> {
    fn stop(&mut self) -> Check {
        self.peer.kill();
        Ok(())
    }

    fn start(&mut self, changed: bool) -> Check {
        let database = if changed { "other.db" } else { "ioc.db" };
        let port = self.peer.port();
        let more = ["--db", database];
        let again = self.python.serve_again(SCRIPT, port, PREFIX, &more);
        self.peer = again.map_err(|error| Stop::Failed(error.to_string()))?;
        Ok(())
    }
}

#[test]
fn subscriptions_survive_a_restart_of_the_real_ioc() {
    let Some(python) = Python::find() else { return };
    let job = |name: &'static str, check: fn(&Server, &mut Process<'_>) -> Check| -> Job<'_> {
        let python = &python;
        Box::new(move || {
            let peer = serve(python);
            let outcome = check(&server(&peer), &mut Process { python, peer });
            vec![(name.into(), outcome.into())]
        })
    };
    let jobs = vec![
        (
            "async",
            job("restart", |server, process| {
                run::with_runtime(restarted::<Client>(server, process))
            }),
        ),
        (
            "blocking",
            job("restart", |server, process| {
                run::without_runtime(restarted::<blocking::Client>(server, process))
            }),
        ),
        (
            "async",
            job("restart.other_type", |server, process| {
                run::with_runtime(restarted_changed::<Client>(server, process))
            }),
        ),
    ];
    let mut table = Table::new("our client, real IOC restarted", &["async", "blocking"]);
    run::side_by_side(&mut table, jobs);
    table.finish();
}
