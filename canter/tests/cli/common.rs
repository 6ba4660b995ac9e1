//! An IOC in the test process, and the real program beside it.

use std::net::SocketAddrV4;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ca_proto::dbr::Value;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};
use tokio::runtime::Runtime;

/// Longest time that anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An IOC on ports of its own, and the environment in which clients find it.
pub(crate) struct Served {
    runtime: Runtime,
    ioc: SimIoc,
    /// Port of searches.
    pub(crate) port: u16,
    pub(crate) tcp: SocketAddrV4,
}

impl Served {
    pub(crate) fn new(builder: IocBuilder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let ioc = runtime
            .block_on(builder.serve(NetConfig::new().repeater(None)))
            .unwrap();
        Self {
            port: ioc.udp_port(),
            tcp: ioc.addr(),
            ioc,
            runtime,
        }
    }

    /// PVs of every kind.
    pub(crate) fn zoo() -> Self {
        let gap = PvSpec::double(1.25)
            .units("mm")
            .precision(3)
            .display(-10.0, 10.0)
            .control(-5.0, 5.0)
            .warning(-4.0, 4.0)
            .alarm(-4.5, 4.5)
            .completes_after(Duration::from_millis(30));
        Self::new(
            Ioc::builder()
                .pv("t:gap", gap)
                .pv("t:hot", PvSpec::double(99.5).units("°C").alarm(0.0, 90.0))
                .pv("t:count", PvSpec::long(-42).units("counts"))
                .pv("t:short", PvSpec::short(7))
                .pv("t:float", PvSpec::float(0.1))
                .pv("t:byte", PvSpec::char(200))
                .pv("t:note", PvSpec::string("hello world"))
                .pv("t:valve", PvSpec::enumeration(["Closed", "Open"], 1))
                .pv(
                    "t:wave",
                    PvSpec::array([1.5, 2.25, f64::NAN]).capacity(8).units("V"),
                )
                .pv("t:path", PvSpec::text("/data/run1").capacity(64))
                .pv("t:fixed", PvSpec::long(5).read_only())
                .pv("t:never", PvSpec::long(0).completes_never()),
        )
    }

    /// Changes a value from the side of the IOC.
    pub(crate) fn post(&self, pv: &str, value: impl Into<Value>) {
        self.ioc.post(pv, value).unwrap();
    }

    /// Adds a PV while clients are there.
    pub(crate) fn add(&self, name: &str, spec: PvSpec) {
        self.ioc.with(|ioc, now| ioc.add(now, name, spec)).unwrap();
    }

    /// Ends the IOC as if it were killed.
    pub(crate) fn stop(&self) {
        self.runtime.block_on(self.ioc.stop());
    }

    /// Serves again on the same ports.
    pub(crate) fn start(&self) {
        self.runtime.block_on(self.ioc.start()).unwrap();
    }

    /// The program with these arguments, in an environment where only this IOC exists.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command_on(self.port, args)
    }

    /// Runs a command with a time `-w` that is used up by what does not come; with a longer one if the
    /// rest was not done in it, as on a machine that is busy.
    pub(crate) fn within(&self, args: &[&str], done: impl Fn(&Run) -> bool) -> Run {
        let run = |time| self.canter(&[&args[..1], &["-w", time], &args[1..]].concat());
        let mut runs = ["0.3", "3"].into_iter().map(run);
        runs.find(done).unwrap_or_else(|| run("30"))
    }

    /// Runs the program to its end.
    pub(crate) fn canter(&self, args: &[&str]) -> Run {
        Run::of(&self.command(args).output().unwrap())
    }
}

/// The program, with searches to a port of the loopback interface only.
pub(crate) fn command_on(port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_canter"));
    command
        .args(args)
        .env_clear()
        .env("TZ", "UTC")
        .env("EPICS_CA_ADDR_LIST", format!("127.0.0.1:{port}"))
        .env("EPICS_CA_AUTO_ADDR_LIST", "NO")
        .env("EPICS_CA_REPEATER_PORT", "25999")
        .env("EPICS_CLI_TIMEOUT", "60");
    command
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

impl Run {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
            code: output.status.code(),
        }
    }

    /// Checks output and exit code.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, out: &str) -> &Self {
        assert_eq!(self.out, out, "{self:?}");
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Checks a part of the error output.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) -> &Self {
        assert!(self.err.contains(part), "{part:?} is not in {self:?}");
        self
    }

    /// The output as JSON, one object per line.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Looks until a condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::yield_now();
    }
}

/// Fills a pipe, so that whoever writes to it next waits for ever.
#[cfg(target_os = "linux")]
pub(crate) fn fill(pipe: &std::io::PipeWriter) {
    use std::io::{ErrorKind, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    const O_NONBLOCK: i32 = 0o4000;
    // Opened anew, so that only this end does not wait.
    let mut fills = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))
        .unwrap();
    loop {
        match fills.write(b"x") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The exit code of a program that ends in time.
#[track_caller]
pub(crate) fn ended(child: &mut std::process::Child) -> Option<i32> {
    use wait_timeout::ChildExt;
    match child.wait_timeout(PATIENCE).unwrap() {
        Some(status) => status.code(),
        None => {
            child.kill().unwrap();
            panic!("it does not end");
        }
    }
}
