//! Our client against servers of other implementations: caproto, and the portable CA server.

use ca_tests::checks::{Kind, Server};
use ca_tests::peer::Python;
use ca_tests::ports;
use ca_tests::run::{self, Job};
use ca_tests::table::Table;

const PREFIX: &str = "OTHER";

#[test]
fn our_client_works_with_other_servers() {
    let Some(python) = Python::find() else { return };
    let job = |kind, script| -> Job<'_> {
        let python = &python;
        Box::new(move || {
            let served = python.serve(script, PREFIX, &[]);
            let peer = served.unwrap_or_else(|error| panic!("{error}"));
            run::asynchronous(&Server {
                kind,
                address: ports::at(peer.port()),
                prefix: PREFIX.into(),
            })
        })
    };
    let jobs = vec![
        ("caproto", job(Kind::Caproto, "serve_caproto.py")),
        ("pcaspy", job(Kind::Pcaspy, "serve_pcaspy.py")),
    ];
    let mut table = Table::new("our client, other servers", &["caproto", "pcaspy"]);
    run::side_by_side(&mut table, jobs);
    table.finish();
}
