//! `canter repeater` as a program, on loopback.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

const PROGRAM: &str = env!("CARGO_BIN_EXE_canter");
const IN_TIME: Duration = Duration::from_secs(60);

/// One test at a time. A program that is being started holds copies of all sockets of this process
/// for a moment, so that ports which another test has just closed would seem to be in use.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a program says, line by line, each in time.
struct Lines(Receiver<String>);

impl Lines {
    fn new(out: impl Read + Send + 'static) -> Self {
        let (send, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            // Fails when the test has ended.
            lines
                .take_while(|line| send.send(line.clone()).is_ok())
                .count();
        });
        Self(lines)
    }

    /// Nothing is said, and nobody holds the other end any more.
    fn is_closed(&self) -> bool {
        self.0.recv_timeout(IN_TIME) == Err(RecvTimeoutError::Disconnected)
    }

    fn next(&self) -> String {
        self.0.recv_timeout(IN_TIME).expect("a line comes in time")
    }
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    /// Waits for its end.
    fn ended(&mut self) -> ExitStatus {
        let ended = self.0.wait_timeout(IN_TIME).unwrap();
        ended.expect("it ends in time")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, args: &[&str], port: Option<u16>) -> Process {
    let mut command = Command::new(program);
    command.args(args).env_remove("EPICS_CA_REPEATER_PORT");
    if let Some(port) = port {
        command.env("EPICS_CA_REPEATER_PORT", port.to_string());
    }
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Process(command.spawn().unwrap())
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    let free = |port: &u16| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    (26_300..26_900).find(free).expect("a port is free")
}

/// Registers until the repeater confirms; gives the port of the client.
fn register(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let step = Duration::from_millis(50);
    socket.set_read_timeout(Some(step)).unwrap();
    let end = Instant::now() + IN_TIME;
    let mut buf = [0; 64];
    loop {
        assert!(Instant::now() < end, "no repeater on port {port}");
        socket.send_to(&[], (Ipv4Addr::LOCALHOST, port)).unwrap();
        // Until the program listens, the system refuses.
        if let Ok(16) = socket.recv(&mut buf)
            && buf[..2] == [0, 17]
        {
            return socket;
        }
    }
}

#[test]
fn it_says_who_comes_and_goes_and_there_is_only_one() {
    let _alone = alone();
    let args = ["repeater", "--address", "127.0.0.1", "--port"];
    let mut first = start(PROGRAM, &[&args[..], &["0", "--verbose"]].concat(), None);
    let lines = Lines::new(first.0.stdout.take().unwrap());
    let line = || lines.next();
    let ready = line();
    let port = ready.strip_prefix("repeater on 127.0.0.1:").unwrap();

    let client = register(port.parse().unwrap());
    let gone = client.local_addr().unwrap();
    assert_eq!(line(), format!("{gone} registered"));
    drop(client);
    let next = register(port.parse().unwrap());
    let mut changes = [line(), line()];
    changes.sort();
    let mut expected = [
        format!("{gone} is gone"),
        format!("{} registered", next.local_addr().unwrap()),
    ];
    expected.sort();
    assert_eq!(changes, expected);

    // "if the port is taken it exits silently with status 0" (`ca_repeater` of EPICS Base).
    let mut second = start(PROGRAM, &[&args[..], &[port]].concat(), None);
    assert!(second.ended().success());
    let mut output = String::new();
    let (out, err) = (second.0.stdout.take(), second.0.stderr.take());
    out.unwrap().read_to_string(&mut output).unwrap();
    err.unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, "");
    assert!(first.0.try_wait().unwrap().is_none(), "it never ends");
}

/// Each client is a line, and nobody reads them.
#[test]
fn an_output_that_nobody_reads_does_not_stop_it() {
    let _alone = alone();
    let args = [
        "repeater",
        "--address",
        "127.0.0.1",
        "--port",
        "0",
        "--verbose",
    ];
    let mut process = start(PROGRAM, &args, None);
    let mut output = BufReader::new(process.0.stdout.take().unwrap());
    let mut ready = String::new();
    output.read_line(&mut ready).unwrap();
    let port = ready.trim().strip_prefix("repeater on 127.0.0.1:").unwrap();
    let port = port.parse().unwrap();
    // More than a pipe holds: 64 KiB.
    for _ in 0..3000 {
        register(port);
    }
    register(port);
}

#[test]
fn a_port_that_cannot_be_bound_is_named_with_the_remedy() {
    let _alone = alone();
    // A documentation address (RFC 5737), which no host has.
    let args = ["repeater", "--address", "192.0.2.1", "--port", "26001"];
    let mut process = start(PROGRAM, &args, None);
    assert_eq!(process.ended().code(), Some(2));
    let mut errors = String::new();
    let stderr = process.0.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut errors).unwrap();
    assert!(errors.contains("192.0.2.1:26001"), "{errors}");
    assert!(errors.contains("--port"), "{errors}");
}

/// Called as libca does: without arguments, with the port in the environment. What it inherits for
/// output must not stay open.
#[cfg(unix)]
#[test]
fn as_ca_repeater_it_leaves_its_output_alone() {
    let _alone = alone();
    let name = format!("{}/caRepeater", env!("CARGO_TARGET_TMPDIR"));
    let _ = std::fs::remove_file(&name);
    std::os::unix::fs::symlink(PROGRAM, &name).unwrap();
    let port = free_port();
    let mut process = start(&name, &[], Some(port));
    assert!(Lines::new(process.0.stdout.take().unwrap()).is_closed());
    assert!(Lines::new(process.0.stderr.take().unwrap()).is_closed());
    register(port);
    assert!(process.0.try_wait().unwrap().is_none(), "it never ends");
}

/// libca finds the program by the name caRepeater and starts it without arguments
/// (`caStartRepeaterIfNotInstalled` of EPICS Base); it stays when its starter has ended.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn libca_starts_it() {
    let python = std::env::var_os("CANTER_PEERS_PYTHON").expect(
        "real EPICS is not set up here: `cargo xtask test` does that, and `cargo xtask peers` prints \
         what CANTER_PEERS_PYTHON has to be",
    );
    let _alone = alone();
    let folder = format!("{}/libca", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder).unwrap();
    let name = format!("{folder}/caRepeater");
    let _ = std::fs::remove_file(&name);
    std::os::unix::fs::symlink(PROGRAM, &name).unwrap();
    let port = free_port();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/peers/libca_beacons.py"
    );
    let mut command = Command::new(python);
    command.arg(script).args(["--spawned", "1", "--port"]);
    command.arg((port - 1).to_string()).env("PATH", &folder);
    command.args(["--watchdog", "150"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut libca = Process(command.spawn().unwrap());
    let line = Lines::new(libca.0.stdout.take().unwrap()).next();
    let repeater = Stranger(line.strip_prefix("repeater ").unwrap().into());
    register(port);
    drop(libca);
    register(port);
    drop(repeater);
}

/// A process that another one started; it ends with the test.
#[cfg(target_os = "linux")]
struct Stranger(String);

#[cfg(target_os = "linux")]
impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have ended.
        let _ = Command::new("kill").arg(&self.0).status();
    }
}
