//! W7: resident memory of both sides, and the time until a server serves.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::children::Running;
use super::machine::resident;
use super::plan::{Case, MEMORY_PVS, Server};
use super::programs::{Programs, database};
use super::results::Sample;
use super::servers::{Serving, Setup, isolate};

const TIMEOUT: Duration = Duration::from_secs(20);
/// PVs of the server whose memory is taken off.
const FEW: u64 = 1000;
/// Circuits on which nothing happens but the VERSION messages.
const IDLE: usize = 256;
/// Time after which neither side does anything any more.
const SETTLE: Duration = Duration::from_millis(300);
/// VERSION, minor version 13.
const VERSION: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0];

/// Takes the measure of a pair: bytes per PV, circuit, channel and subscription.
///
/// # Errors
/// A program did not start or did not get there.
pub(crate) fn run(programs: &Programs, case: &Case) -> Result<Sample, String> {
    let (few, _) = start(programs, case.server, FEW)?;
    let base = memory_of(few.process.pid())?;
    drop(few);
    let (server, took) = start(programs, case.server, MEMORY_PVS)?;
    let server_memory = || memory_of(server.process.pid());
    let mut sample = Sample::default();
    let mut last = server_memory()?;
    sample.set("ops", 1.0);
    sample.set("secs", took.as_secs_f64());
    sample.set("startup_ms", took.as_secs_f64() * 1e3);
    sample.set("server_pv", (last - base) / (MEMORY_PVS - FEW) as f64);

    let circuits = idle_circuits(server.port)?;
    let with_circuits = server_memory()?;
    sample.set("idle_circuit", (with_circuits - last) / IDLE as f64);
    drop(circuits);
    thread::sleep(SETTLE);
    last = server_memory()?;

    let mut command = Command::new(programs.client(case).ok_or("the client is not here")?);
    command.args(["memory", "--count", &MEMORY_PVS.to_string()]);
    isolate(&mut command, server.port);
    let mut client = Running::spawn(&mut command)?;
    client.line("HOLD started", TIMEOUT)?;
    thread::sleep(SETTLE);
    let mut client_last = memory_of(client.pid())?;
    for (state, client_key, server_key) in [
        ("HOLD connected", "client_channel", "server_channel"),
        ("HOLD subscribed", "client_sub", "server_sub"),
    ] {
        client.go_on();
        client.line(state, TIMEOUT)?;
        thread::sleep(SETTLE);
        let now = (memory_of(client.pid())?, server_memory()?);
        sample.set(client_key, (now.0 - client_last) / MEMORY_PVS as f64);
        sample.set(server_key, (now.1 - last) / MEMORY_PVS as f64);
        (client_last, last) = now;
    }
    Ok(sample)
}

fn start(programs: &Programs, kind: Server, pvs: u64) -> Result<(Serving, Duration), String> {
    let database = database(pvs, &format!("memory-{pvs}"))?;
    let setup = Setup {
        programs,
        pvs,
        database: &database,
    };
    let server = Serving::start(kind, setup)?;
    let took = server.took;
    thread::sleep(SETTLE);
    Ok((server, took))
}

fn memory_of(pid: i32) -> Result<f64, String> {
    resident(pid).ok_or_else(|| "the process has ended".into())
}

fn idle_circuits(port: u16) -> Result<Vec<TcpStream>, String> {
    let open = || {
        let mut circuit = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        circuit.write_all(&VERSION)?;
        circuit.set_read_timeout(Some(TIMEOUT))?;
        circuit.read_exact(&mut [0; 16])?;
        Ok(circuit)
    };
    let circuits = (0..IDLE)
        .map(|_| open())
        .collect::<std::io::Result<Vec<_>>>();
    thread::sleep(SETTLE);
    circuits.map_err(|error| format!("idle circuit: {error}"))
}
