//! Every client with every server, in one matrix, and our clients with our IOC where there are no peers.

use std::path::PathBuf;
use std::{env, fs};

use ca_tests::checks::Kind;
use ca_tests::checks::restart::Restart;
use ca_tests::fixture::Fixture;
use ca_tests::judge;
use ca_tests::matrix::{CLIENTS, Matrix, Pairing};
use ca_tests::peer::Python;
use ca_tests::process::Process;
use ca_tests::run::{self, Job};
use ca_tests::table::{Outcome, Outcomes, Table};

const PREFIX: &str = "MATRIX";
/// A server, its kind, and the script if it is not ours.
type Server = (&'static str, Kind, &'static str);
const SERVERS: [Server; 4] = [
    ("Canter", Kind::Simulated, ""),
    ("IOC of EPICS Base", Kind::RealIoc, "run_ioc.py"),
    ("caproto", Kind::Caproto, "serve_caproto.py"),
    ("pcaspy", Kind::Pcaspy, "serve_pcaspy.py"),
];
/// Pairings at the same time: they mostly wait.
const AT_ONCE: usize = 5;
/// Names a server if the others are to be left out.
const ONLY: &str = "CANTER_MATRIX_SERVER";
/// Has the matrix as it should be.
const PAGE: &str = "docs/src/interop.md";

/// All checks with one of the clients.
fn judged(client: &str, python: Option<&Python>, served: &mut impl Restart) -> Outcomes {
    match (client, python) {
        ("async", _) => run::asynchronous(served),
        ("blocking", _) => run::blocking(served),
        (_, Some(python)) => judge::run_with(python, &format!("client_{client}.py"), served),
        (_, None) => unreachable!("its program needs an interpreter"),
    }
}

fn pair(client: &str, python: Option<&Python>, kind: Kind, script: &'static str) -> Outcomes {
    let Some(python) = python.filter(|_| kind != Kind::Simulated) else {
        return judged(client, python, &mut Fixture::start(PREFIX));
    };
    match Process::start(python, kind, script, PREFIX) {
        Ok(mut served) => judged(client, Some(python), &mut served),
        Err(error) => vec![("run".into(), Outcome::Failed(error.to_string()))],
    }
}

#[test]
fn our_clients_work_with_our_ioc() {
    works(None, &CLIENTS[..2], &SERVERS[..1]);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn every_client_works_with_every_server() {
    let python = Python::here();
    let matrix = works(Some(&python), &CLIENTS, &SERVERS);
    if env::var_os(ONLY).is_none() {
        the_book_shows(&matrix.markdown());
    }
}

fn works(python: Option<&Python>, clients: &[&'static str], servers: &[Server]) -> Matrix {
    let mut pairs = Vec::new();
    let mut jobs: Vec<Job<'_>> = Vec::new();
    let only = env::var(ONLY).ok();
    let chosen =
        |server: &str| python.is_none() || only.as_deref().is_none_or(|only| server == only);
    for &(server, kind, script) in servers.iter().filter(|(server, ..)| chosen(server)) {
        for &client in clients {
            pairs.push((client, server));
            jobs.push(Box::new(move || pair(client, python, kind, script)));
        }
    }
    let outcomes = run::some_at_once(jobs, AT_ONCE);
    let pairing = |((client, server), outcomes)| Pairing {
        client,
        server,
        outcomes,
    };
    let matrix = Matrix::new(pairs.into_iter().zip(outcomes).map(pairing).collect());
    let details = matrix.details();
    for table in &details {
        println!("{table}");
    }
    println!("{matrix}");
    let mut failures: Vec<_> = details.iter().flat_map(Table::failures).collect();
    failures.extend(matrix.failures());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    matrix
}

/// The page has the matrix of this run; else the file `target/interop.md` has what to put there.
fn the_book_shows(matrix: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if !page.contains(matrix) {
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let fresh = target.join("interop.md");
        fs::write(&fresh, matrix).expect("the target folder can be written to");
        panic!("{PAGE} shows another matrix than {}", fresh.display());
    }
}
