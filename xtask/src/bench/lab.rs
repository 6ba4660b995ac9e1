//! Runs single cases.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::children::Running;
use super::machine::{self, Cores, Datagrams, Gate};
use super::plan::{CIRCUITS, Case, Client, Server, Work};
use super::programs::Programs;
use super::results::Sample;
use super::servers::{Serving, Setup, isolate};
use super::{memory, oneshot};

/// Time that each step of a run may take: a subscriber until it is ready, a client, a writer.
const TIMEOUT: Duration = Duration::from_secs(20);
const FRAME_ROUNDS: u64 = 120;
/// Servers limit the searches that they answer in a second, 200 000 from one host by default: cases
/// that search for so many names begin later than that after each other.
const MANY: u64 = 60_000;
const SEARCH_WINDOW: Duration = Duration::from_secs(1);

/// The servers, and all that a case needs.
#[derive(Debug)]
pub(crate) struct Lab<'a> {
    programs: &'a Programs,
    servers: BTreeMap<Server, Serving>,
    cores: Cores,
    gate: Gate,
    quick: bool,
    /// When many names were searched last.
    searched: Option<Instant>,
}

impl<'a> Lab<'a> {
    pub(crate) fn new(programs: &'a Programs, quick: bool) -> Self {
        Self {
            programs,
            servers: BTreeMap::new(),
            cores: Cores::allowed(),
            gate: Gate::new(quick),
            quick,
            searched: None,
        }
    }

    /// Runs a case once.
    ///
    /// # Errors
    /// Why there is no figure.
    pub(crate) fn run(&mut self, case: &Case) -> Result<Sample, String> {
        if !self.cores.can(case.pin) {
            return Err("there is one core only".into());
        }
        if case.work == Work::Memory {
            self.gate.pass();
            return memory::run(self.programs, case);
        }
        let server = match case.server {
            Server::Raw => None,
            kind => Some(self.server(kind)?),
        };
        let searches = matches!(case.work, Work::Connect(MANY..));
        if searches && let Some(last) = self.searched {
            thread::sleep(SEARCH_WINDOW.saturating_sub(last.elapsed()));
        }
        let load = self.gate.pass();
        self.cores.pin(case.pin, server.map(|(pid, _)| pid));
        let outcome = match (case.work, server) {
            (Work::OneShot(pvs), Some((_, port))) => oneshot::run(self.programs, case, pvs, port),
            _ => self.measure(case, server),
        };
        self.cores.release();
        if searches {
            self.searched = Some(Instant::now());
        }
        let mut sample = outcome?;
        sample.set("load_before", load);
        Ok(sample)
    }

    /// Process and port of a server, which is started if it does not run.
    fn server(&mut self, kind: Server) -> Result<(i32, u16), String> {
        let alive = (self.servers.get_mut(&kind)).is_some_and(|server| server.process.is_alive());
        if !alive {
            let serving = Serving::start(kind, Setup::usual(self.programs))?;
            let port = serving.port;
            let seconds = serving.took.as_secs_f64();
            println!("{} is up after {seconds:.2} s, port {port}", kind.name());
            self.servers.insert(kind, serving);
            if kind == Server::Ioc {
                self.fill_array(port)?;
            }
        }
        let server = self.servers.get(&kind).ok_or("the server is gone")?;
        Ok((server.process.pid(), server.port))
    }

    /// The length of an array of the real IOC is that of the last put.
    fn fill_array(&self, port: u16) -> Result<(), String> {
        let mut command = Command::new(self.programs.writer());
        isolate(command.args(["wffill", "WF"]), port);
        Running::spawn(&mut command)?
            .line("RESULT", TIMEOUT)
            .map(drop)
    }

    fn measure(&self, case: &Case, server: Option<(i32, u16)>) -> Result<Sample, String> {
        let (start, busy, datagrams) = (Instant::now(), machine::busy(), Datagrams::read());
        let own = || {
            let servers = server.map_or(0.0, |(pid, _)| machine::cpu_of(pid));
            servers + machine::cpu_of_ended()
        };
        let used = own();
        let client = Running::spawn(&mut self.client(case, server)?)?;
        let writer = match self.writer(case, server) {
            Some(mut writer) => {
                client.line("READY", TIMEOUT)?;
                self.cores.release();
                Some(Running::spawn(&mut writer)?)
            }
            None => None,
        };
        let line = client.line("RESULT", TIMEOUT)?;
        let mut sample = Sample::parse(&line);
        client.wait(Duration::from_secs(5));
        if let Some(writer) = writer.filter(|_| case.work != Work::Fair) {
            let line = writer.line("RESULT", TIMEOUT)?;
            if let Some(rate) = Sample::parse(&line).rate() {
                sample.set("write_rate", rate);
            }
            writer.wait(Duration::from_secs(5));
        }
        let after = Datagrams::read();
        sample.set("datagrams", after.sent - datagrams.sent);
        sample.set("dropped", after.dropped - datagrams.dropped);
        let others = machine::busy() - busy - (own() - used);
        let others = others.max(0.0) / start.elapsed().as_secs_f64();
        sample.set("load_others", others);
        Ok(sample)
    }

    fn client(&self, case: &Case, server: Option<(i32, u16)>) -> Result<Command, String> {
        let program = self.programs.client(case);
        let mut command = Command::new(program.ok_or("the client is not here")?);
        if let Some((pid, port)) = server {
            isolate(&mut command, port);
            command.env("BENCH_SERVER_PID", pid.to_string());
        }
        if case.client == Client::Raw {
            if let Some(cores) = self.cores.words(case.pin) {
                command.env("BENCH_CPUS", cores);
            }
            match case.work {
                Work::Array => command.args(["stream", "1000000000"]),
                _ => command.args(["pingpong", "16", "24", "8000"]),
            };
            return Ok(command);
        }
        if case.client == Client::Tokio {
            let reads = self.scaled(6000).to_string();
            command.args(["bytes", "--n", &reads]);
            return Ok(command);
        }
        let python = case.client.is_python();
        if python {
            command
                .arg(Programs::python_client())
                .arg(case.client.name());
        }
        command.arg(case.work.command());
        if case.client == Client::Blocking {
            command.args(["--api", "blocking"]);
        }
        let mut option = |name: &str, value: u64| {
            command.arg(name).arg(value.to_string());
        };
        match case.work {
            Work::Get if python => option("--n", self.scaled(1000)),
            Work::GetMany(_) if python => option("--rounds", 1),
            Work::Get | Work::PutNotify => option("--n", self.scaled(6000)),
            Work::Put => option("--n", self.scaled(1_000_000)),
            Work::GetMany(pvs) => option("--rounds", (self.scaled(400_000) / pvs).max(2)),
            Work::Array => option("--n", self.scaled(30)),
            Work::Fan => option("--circuits", CIRCUITS),
            Work::Fair => option("--n", self.scaled(3000)),
            _ => {}
        }
        match case.work {
            Work::GetMany(pvs) | Work::Monitor(pvs) | Work::Connect(pvs) => option("--count", pvs),
            Work::Paced(_) => option("--count", 1000),
            Work::Get | Work::PutNotify | Work::Put | Work::Fan => option("--count", 1),
            Work::Fair => option("--count", 2),
            Work::Array => drop(command.arg("WF")),
            Work::Frames => drop(command.arg("IMG")),
            Work::Memory | Work::OneShot(_) => {}
        }
        Ok(command)
    }

    /// Who makes the updates.
    fn writer(&self, case: &Case, server: Option<(i32, u16)>) -> Option<Command> {
        let mut command = Command::new(self.programs.writer());
        isolate(&mut command, server?.1);
        let mut put = |pvs: u64, rounds: u64, pace: u64| {
            command.args(["putstream", "--count", &pvs.to_string()]);
            command.args(["--rounds", &rounds.max(2).to_string()]);
            command.args(["--pace", &pace.to_string()]);
        };
        let slow = case.server == Server::Ioc;
        match case.work {
            // Two threads of the real IOC fight for one lock when there is one PV.
            Work::Monitor(1) if slow => put(1, self.scaled(250_000), 0),
            Work::Monitor(pvs) => put(pvs, self.scaled(1_000_000) / pvs, 0),
            Work::Paced(pace) => put(1000, self.scaled(pace * 2 / 5) / 1000, pace),
            Work::Fan => put(1, if slow { 1000 } else { 20_000 }, 0),
            // Ended when the reads are done.
            Work::Fair => put(1, 1 << 40, 0),
            Work::Frames => {
                let frames = self.scaled(FRAME_ROUNDS).to_string();
                command.args(["wfput", "--n", &frames, "IMG"]);
            }
            _ => return None,
        }
        Some(command)
    }

    fn scaled(&self, n: u64) -> u64 {
        if self.quick { n.div_ceil(4) } else { n }
    }
}
