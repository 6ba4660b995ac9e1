//! Our client against servers of other implementations: caproto, and the portable CA server.

use ca_tests::checks::{Kind, Server};
use ca_tests::peer::Python;
use ca_tests::table::Table;
use ca_tests::{ports, run};

const PREFIX: &str = "OTHER";

#[test]
fn our_client_works_with_other_servers() {
    let Some(python) = Python::find() else { return };
    let servers = [
        ("caproto", Kind::Caproto, "serve_caproto.py"),
        ("pcaspy", Kind::Pcaspy, "serve_pcaspy.py"),
    ];
    let mut table = Table::new("our client, other servers", &servers.map(|(name, ..)| name));
    for (column, kind, script) in servers {
        let peer = python
            .serve(script, PREFIX, &[])
            .unwrap_or_else(|e| panic!("{e}"));
        let server = Server {
            kind,
            address: ports::at(peer.port()),
            prefix: PREFIX.into(),
        };
        run::asynchronous(&server, &mut table, column);
    }
    table.finish();
}
