//! Servers on private ports.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::children::Running;
use super::plan::{PVS, Server};
use super::programs::Programs;

const FIRST_PORT: u16 = 61_100;
/// Nobody listens there: libca's clients start one of their own or do without.
const REPEATER: u16 = 61_065;
const START: Duration = Duration::from_secs(60);

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Serving {
    pub process: Running,
    pub port: u16,
    /// From the start of the process until it accepted a circuit.
    pub took: Duration,
}

/// What a server is started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub programs: &'a Programs,
    pub pvs: u64,
    pub database: &'a Path,
}

impl<'a> Setup<'a> {
    pub(crate) fn usual(programs: &'a Programs) -> Self {
        Self {
            programs,
            pvs: PVS,
            database: &programs.database,
        }
    }
}

impl Serving {
    /// Starts a server and waits until it accepts circuits.
    ///
    /// # Errors
    /// It is not on this machine, ended, or was too slow.
    pub(crate) fn start(kind: Server, setup: Setup<'_>) -> Result<Self, String> {
        let port = free_port()?;
        let mut command = command(kind, setup)?;
        isolate(&mut command, port);
        let start = Instant::now();
        let mut process = Running::spawn(&mut command)?;
        let addr = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        while TcpStream::connect(addr).is_err() {
            if !process.is_alive() {
                return Err(format!("the server ({}) has ended", kind.name()));
            }
            if start.elapsed() > START {
                return Err(format!("the server ({}) does not answer", kind.name()));
            }
            thread::sleep(Duration::from_millis(1));
        }
        let took = start.elapsed();
        Ok(Self {
            process,
            port,
            took,
        })
    }
}

fn command(kind: Server, setup: Setup<'_>) -> Result<Command, String> {
    let missing = || format!("no {} here", kind.name());
    let count = setup.pvs.to_string();
    let programs = setup.programs;
    Ok(match kind {
        Server::Ours => {
            let mut command = Command::new(&programs.load);
            command.args(["serve", "--count", &count]);
            command
        }
        Server::Bare => {
            let mut command = Command::new(programs.bare_server.as_ref().ok_or_else(missing)?);
            command.arg(count);
            command
        }
        Server::Ioc => {
            let mut command = Command::new(programs.python.as_ref().ok_or_else(missing)?);
            command
                .args(["-m", "epicscorelibs.ioc", "-d"])
                .arg(setup.database);
            command
        }
        Server::Tokio => {
            let mut command = Command::new(&programs.load);
            command.arg("serve-bytes");
            command
        }
        Server::Raw => return Err("raw TCP brings its own peer".into()),
    })
}

/// A port that is free for circuits and for searches.
fn free_port() -> Result<u16, String> {
    let is_free = |&port: &u16| {
        let addr = (Ipv4Addr::LOCALHOST, port);
        TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok()
    };
    let ports = (FIRST_PORT..u16::MAX).step_by(2);
    ports
        .into_iter()
        .find(is_free)
        .ok_or_else(|| "no free port".into())
}

/// Lets a program see this server only, and nobody else see the program.
pub(crate) fn isolate(command: &mut Command, port: u16) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EPICS_") {
            command.env_remove(name);
        }
    }
    for name in [
        "EPICS_CA_ADDR_LIST",
        "EPICS_CAS_INTF_ADDR_LIST",
        "EPICS_CAS_BEACON_ADDR_LIST",
        "EPICS_PVAS_INTF_ADDR_LIST",
    ] {
        command.env(name, "127.0.0.1");
    }
    for name in [
        "EPICS_CA_AUTO_ADDR_LIST",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST",
        "EPICS_PVA_AUTO_ADDR_LIST",
    ] {
        command.env(name, "NO");
    }
    for name in ["EPICS_CA_SERVER_PORT", "EPICS_CAS_SERVER_PORT"] {
        command.env(name, port.to_string());
    }
    for name in ["EPICS_CA_REPEATER_PORT", "EPICS_CAS_BEACON_PORT"] {
        command.env(name, REPEATER.to_string());
    }
    command.env("EPICS_CA_MAX_ARRAY_BYTES", "100000000");
    // The wheel's IOC also has a PVAccess server, which ends the IOC on a host without interfaces.
    command.env("EPICS_IOC_IGNORE_SERVERS", "qsrv");
}
