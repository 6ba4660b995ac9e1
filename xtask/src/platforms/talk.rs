//! The tools of two platforms, talking to each other.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// An IOC that nobody ends is gone after this time, in seconds.
const AT_MOST: &str = "60";

/// Runs the short demo: an IOC, a client, a lost and regained connection.
///
/// # Errors
/// Has what was printed.
pub(crate) fn demo(canter: &mut Command) -> Result<(), String> {
    output(canter.args(["demo", "--plain", "--seconds", "4"])).map(drop)
}

/// An IOC of each platform, and a client of the other one.
///
/// # Errors
/// Says which pair failed, and how.
pub(crate) fn both_ways(
    there: &dyn Fn() -> Command,
    here: &dyn Fn() -> Command,
) -> Result<(), String> {
    pair(there, here)
        .map_err(|error| format!("client of Linux x86_64, IOC of the platform: {error}"))?;
    pair(here, there)
        .map_err(|error| format!("client of the platform, IOC of Linux x86_64: {error}"))
}

fn pair(ioc: &dyn Fn() -> Command, client: &dyn Fn() -> Command) -> Result<(), String> {
    let ioc = Ioc::start(&mut ioc())?;
    let expect = |args: &[&str], wanted: &str| {
        let mut tool = client();
        tool.args(args)
            .env("EPICS_CA_ADDR_LIST", "127.0.0.1")
            .env("EPICS_CA_AUTO_ADDR_LIST", "NO")
            .env("EPICS_CA_SERVER_PORT", ioc.port.to_string())
            .env("EPICS_CLI_TIMEOUT", "30");
        let text = output(&mut tool)?;
        match text.contains(wanted) {
            true => Ok(()),
            false => Err(format!("{args:?} printed {text:?}, without {wanted:?}")),
        }
    };
    expect(&["get", "x"], "1.5")?;
    expect(&["put", "--wait", "x", "-2.25"], "-2.25")?;
    expect(&["get", "x", "wave"], "-2.25")?;
    expect(&["get", "wave"], "1 -2 300000")?;
    expect(&["get", "text"], "hello")
}

/// An IOC in a process of its own, ended when dropped.
struct Ioc {
    process: Child,
    port: u64,
}

impl Ioc {
    fn start(canter: &mut Command) -> Result<Self, String> {
        let pvs = [
            "x=double:1.5",
            "wave=long:3:1,-2,300000",
            "text=string:hello",
        ];
        canter.args(["ioc", "--port", "0", "--ready", "json", "--end-with-stdin"]);
        canter.args(["--seconds", AT_MOST]);
        canter.args(pvs.iter().flat_map(|pv| ["--pv", pv]));
        let started = canter.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let process = started.map_err(|error| format!("cannot start the IOC: {error}"))?;
        let mut ioc = Self { process, port: 0 };
        let mut line = String::new();
        if let Some(out) = ioc.process.stdout.take() {
            let read = BufReader::new(out).read_line(&mut line);
            read.map_err(|error| format!("output of the IOC: {error}"))?;
        }
        let ready: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        ioc.port = ready
            .and_then(|ready| ready["udp_port"].as_u64())
            .ok_or_else(|| format!("the IOC is not ready: {line:?}"))?;
        Ok(ioc)
    }
}

impl Drop for Ioc {
    fn drop(&mut self) {
        // The end of its input ends it, also where the process is an emulator.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("ended with {}: {text}{errors}", output.status))
}
