//! The tables of the book's chapter on conformance: `cargo xtask conformance`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use ca_conformance::Report;
use ca_conformance::client::{self as clients, ClientTarget};
use ca_tests::conformance::{PREFIX, client, markdown, server, text};
use ca_tests::fixture::Fixture;
use ca_tests::peer::Python;

fn main() -> Result<(), Box<dyn Error>> {
    let python = Python::find()?;
    let mut servers = Vec::new();
    let ours = Fixture::start(PREFIX);
    servers.push(("ours", judged(server(ours.server().address.port()))?));
    for (name, script) in [
        ("real IOC", "run_ioc.py"),
        ("caproto", "serve_caproto.py"),
        ("pcaspy", "serve_pcaspy.py"),
    ] {
        let peer = python.serve(script, PREFIX, &[])?;
        let mut target = server(peer.port());
        if name != "real IOC" {
            target.patience = Duration::from_millis(500);
        }
        servers.push((name, judged(target)?));
    }
    let mut all = vec![("canter", shown(clients::run(&canter()?, &[])?))];
    for (name, library) in [
        ("libca (pyepics)", "pyepics"),
        ("libca (aioca)", "aioca"),
        ("caproto", "caproto"),
    ] {
        all.push((name, shown(clients::run(&client(&python, library), &[])?)));
    }
    println!("\n{}\n{}", markdown(&servers), markdown(&all));
    Ok(())
}

fn judged(target: ca_conformance::Target) -> Result<Report, String> {
    ca_conformance::run(&target, &[]).map(shown)
}

fn shown(report: Report) -> Report {
    println!("{}", text(&report));
    report
}

/// The tools of this project, which are built beside this program.
fn canter() -> Result<ClientTarget, Box<dyn Error>> {
    let here = std::env::current_exe()?;
    let folder = here.ancestors().nth(2).map(PathBuf::from);
    let program = folder.ok_or("no folder")?.join("canter");
    let words = |text: &str| {
        let words = text.split(' ').map(str::to_owned);
        std::iter::once(program.display().to_string())
            .chain(words)
            .collect::<Vec<_>>()
    };
    let mut target = ClientTarget::new(words("get -w {timeout} {pv}"));
    target.put = Some(words("put -c -w {timeout} {pv} {value}"));
    target.monitor = Some(words("monitor --count {updates} {pv}"));
    Ok(target)
}
