//! `canter proxy` between real EPICS and real EPICS: pyepics on libca, and the IOC of EPICS Base.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ca_tests::judge;
use ca_tests::peer::Python;
use ca_tests::ports;
use ca_tests::program::canter;
use ca_tests::run::{self, Job};
use ca_tests::table::{Outcome, Table};

const PREFIX: &str = "PROXIED";
/// Checks that must at least end well: the client may not have got out of all of them.
const LEAST: usize = 35;

/// Faults that a client has to cope with, without an error that its user sees.
const GENTLE: &str = "
[[rule]]
on = 'search'
action = 'drop'
probability = 0.3

[[rule]]
on = 'search'
action = 'duplicate'

[[rule]]
on = 'create_chan'
action = 'delay'
by = '20ms'
jitter = '50ms'

[[rule]]
on = 'any'
transport = 'tcp'
action = 'delay'
by = '0ms'
jitter = '2ms'
";

/// The circuit is lost once, in the middle of an update.
const CUT: &str = "
[[rule]]
on = 'event_add'
action = 'cut'
bytes = 20
after = 3
times = 1
";

/// A running proxy.
struct Proxy {
    child: Child,
    script: PathBuf,
}

impl Proxy {
    fn start(canter: &PathBuf, name: &str, script: &str, port: u16, server: u16) -> Self {
        let file = format!("canter-tests-proxy-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, script).unwrap();
        let mut child = Command::new(canter)
            .args(["proxy", "--quiet", "--seed", "1"])
            .args(["--listen", &ports::at(port).to_string()])
            .args(["--to", &ports::at(server).to_string()])
            .arg("--script")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let proxy = Self {
            child,
            script: path,
        };
        let ready = lines.any(|line| line.is_ok_and(|line| line.starts_with("# Ctrl-C")));
        assert!(ready, "the proxy has ended");
        // The proxy ends when nobody reads its output.
        std::thread::spawn(move || lines.count());
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Fails if it has ended by itself, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.script);
    }
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn pyepics_works_through_the_proxy_with_the_real_ioc() {
    let python = Python::here();
    let canter = canter();
    let (all, cut) = ("client_pyepics.py", "client_pyepics_cut.py");
    let columns = [
        ("no faults", "", all, LEAST),
        ("gentle faults", GENTLE, all, LEAST),
        ("cut", CUT, cut, 3),
    ];
    let job = |name: &'static str, script: &'static str, client: &'static str| -> Job<'_> {
        let (python, canter) = (&python, &canter);
        Box::new(move || {
            let served = python.serve("run_ioc.py", PREFIX, &[]);
            let ioc = served.unwrap_or_else(|error| panic!("{error}"));
            let port = ports::free_pair();
            let name = name.replace(' ', "-");
            let _proxy = Proxy::start(canter, &name, script, port, ioc.port());
            judge::run(python, client, port, PREFIX)
        })
    };
    let jobs = columns.map(|(name, script, client, _)| (name, job(name, script, client)));
    let names = columns.map(|(name, ..)| name);
    let mut table = Table::new("pyepics, canter proxy, real IOC", &names);
    run::side_by_side(&mut table, jobs.into());
    for (column, _, _, least) in columns {
        let passed = table.passed(column);
        if passed < least {
            let what = format!("{passed} checks passed, at least {least} should");
            table.set(column, "all", Outcome::Failed(what));
        }
    }
    table.finish();
}
