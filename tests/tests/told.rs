//! What the IOC of EPICS Base says and has reaches the users of the tools.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use ca_tests::peer::Python;
use ca_tests::program::canter;

const PREFIX: &str = "TOLD";

/// The program, with searches to this port of the loopback interface only.
fn command(canter: &Path, port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(canter);
    command
        .args(args)
        .env_clear()
        .env("TZ", "UTC")
        .env("EPICS_CA_ADDR_LIST", format!("127.0.0.1:{port}"))
        .env("EPICS_CA_AUTO_ADDR_LIST", "NO")
        .env("EPICS_CA_REPEATER_PORT", (port + 1).to_string())
        .env("EPICS_CLI_TIMEOUT", "10");
    command
}

struct Tools<'a>(&'a Path, u16);

impl Tools<'_> {
    /// Output, error output and exit code.
    fn run(&self, args: &[&str]) -> (String, String, Option<i32>) {
        let output = command(self.0, self.1, args).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            text(output.stdout),
            text(output.stderr),
            output.status.code(),
        )
    }

    fn shown(&self, args: &[&str]) -> String {
        let (out, err, code) = self.run(args);
        assert_eq!((err.as_str(), code), ("", Some(0)), "{args:?}: {out}");
        out
    }
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn the_tools_tell_what_the_real_ioc_says() {
    let python = Python::here();
    // First, as it may have to be built, and servers live for a limited time.
    let canter = canter();
    let served = python.serve("run_ioc.py", PREFIX, &[]);
    let ioc = served.unwrap_or_else(|error| panic!("{error}"));
    let tools = Tools(&canter, ioc.port());
    disabled_records_refuse(&tools);
    states_beyond_the_list_have_their_texts(&tools);
    an_empty_long_string_is_empty(&tools);
    changed_properties_are_told(&tools);
}

/// `dbPutField` fails while DISP is set, and rsrv says so of a plain write by an exception alone.
fn disabled_records_refuse(tools: &Tools<'_>) {
    let pv = format!("{PREFIX}:disabled");
    for more in [&[][..], &["-c"], &["--json"]] {
        let (out, err, code) = tools.run(&[&["put"], more, &[&pv, "5"]].concat());
        assert_eq!(code, Some(1), "{out}{err}");
        assert!(format!("{out}{err}").contains("ECA_PUTFAIL"), "{out}{err}");
    }
    assert_eq!(tools.shown(&["get", &pv]), format!("{pv}  1\n"));
}

/// The alarm statuses of a record are a menu of 22.
fn states_beyond_the_list_have_their_texts(tools: &Tools<'_>) {
    let pv = format!("{PREFIX}:undefined.STAT");
    for command in [&["get"][..], &["monitor", "--count", "1"]] {
        let out = tools.shown(&[command, &[&pv]].concat());
        assert!(out.ends_with(&format!("{pv}  UDF  INVALID UDF\n")), "{out}");
    }
    let out = tools.shown(&["get", "--json", &pv]);
    assert!(out.contains(r#""value":17,"label":"UDF""#), "{out}");
    // A field of the same menu that takes puts: text and number are the server's to judge.
    let pv = format!("{PREFIX}:undefined.NSTA");
    for (put, shown) in [("WRITE_ACCESS", "WRITE_ACCESS"), ("18", "BAD_SUB")] {
        let (out, err, _) = tools.run(&["put", "--terse", &pv, put]);
        let refused = err.contains("write");
        assert!(refused || out.starts_with(shown), "{out}{err}");
        assert!(!err.contains("is no state"), "{err}");
    }
}

fn an_empty_long_string_is_empty(tools: &Tools<'_>) {
    for pv in ["long", "long.VAL$"].map(|name| format!("{PREFIX}:empty:{name}")) {
        let out = tools.shown(&["get", &pv]);
        assert_eq!(out, format!("{pv}    INVALID UDF\n"));
    }
}

/// The IOC posts a property that has changed, and none that is put as it was. A line that does not come is
/// missed when the time of the command is over.
fn changed_properties_are_told(tools: &Tools<'_>) {
    let pv = format!("{PREFIX}:undefined");
    let args = ["monitor", "-m", "p", "--count", "2", "--seconds", "60", &pv];
    let mut monitor = command(tools.0, tools.1, &args);
    let mut child = monitor.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().expect("a line").expect("a text");
    line();
    let shown = tools.shown(&["put", &format!("{pv}.EGU"), "cm"]);
    assert!(shown.contains("mm") && shown.contains("cm"), "{shown}");
    let told = line();
    assert!(told.ends_with("*** units cm, were mm"), "{told}");
    assert!(line().contains(" cm"), "the value comes with the new units");
    assert!(child.wait().is_ok_and(|status| status.success()));
}
