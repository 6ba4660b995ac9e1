//! A server as a process, and a client of few words.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ca_bench::server::DOUBLE;
use ca_proto::ids::{Cid, Ioid, Sid};
use ca_proto::wire::message::{Data, Text};
use ca_proto::wire::{Command as Wire, Deframer, FrameLimits, Minor, tcp};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(120);
/// Nobody listens there.
const REPEATER: u16 = 61_065;

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who<'a> {
    /// `canter ioc`.
    Ours(&'a Path),
    /// The IOC of EPICS Base, by the interpreter that has it.
    Real(&'a Path),
}

/// A server that has answered a get.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
    port: u16,
    /// From its start until a get was answered.
    pub(crate) took: Duration,
    /// Processor time until then, in seconds.
    pub(crate) start_cpu: f64,
}

impl Serving {
    /// Starts a server with a file of records and waits until it has answered.
    ///
    /// # Errors
    /// It ends, or answers nobody.
    pub(crate) fn start(who: Who<'_>, file: &Path) -> io::Result<Self> {
        let port = free_port()?;
        let mut command = match who {
            Who::Ours(program) => {
                let mut command = Command::new(program);
                command.args(["ioc", "--quiet", "--port", &port.to_string()]);
                command.arg(file);
                command
            }
            Who::Real(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "epicscorelibs.ioc", "-d"]).arg(file);
                command
            }
        };
        isolate(&mut command, port);
        // The real IOC ends with its input.
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn()?;
        let mut serving = Self {
            child,
            port,
            took: Duration::ZERO,
            start_cpu: 0.0,
        };
        loop {
            if let Ok(mut client) = Client::connect(port) {
                client.get("S:0")?;
                break;
            }
            if let Some(status) = serving.child.try_wait()? {
                return Err(io::Error::other(format!("the server has ended: {status}")));
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other("the server answers nobody"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        serving.took = begun.elapsed();
        serving.start_cpu = serving.cpu();
        Ok(serving)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0))
    }

    /// Processor time of all its threads so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let time = clock_getcpuclockid(self.pid()).and_then(ClockId::now);
        time.map_or(0.0, |time| Duration::from(time).as_secs_f64())
    }

    /// Processor time in a second, over some.
    pub(crate) fn load(&self, time: Duration) -> f64 {
        let (before, begun) = (self.cpu(), Instant::now());
        thread::sleep(time);
        (self.cpu() - before) / begun.elapsed().as_secs_f64()
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kb.unwrap_or(0.0) * 1024.0
    }

    pub(crate) fn client(&self) -> io::Result<Client> {
        Client::connect(self.port)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free for circuits and for searches.
fn free_port() -> io::Result<u16> {
    let is_free = |&port: &u16| {
        let addr = (Ipv4Addr::LOCALHOST, port);
        TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok()
    };
    let mut ports = (61_300..u16::MAX).step_by(2);
    let port = ports.find(is_free);
    port.ok_or_else(|| io::Error::other("no port is free"))
}

fn isolate(command: &mut Command, port: u16) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EPICS_") {
            command.env_remove(name);
        }
    }
    let repeater = REPEATER.to_string();
    let port = port.to_string();
    command.envs([
        ("EPICS_CA_ADDR_LIST", "127.0.0.1"),
        ("EPICS_CA_AUTO_ADDR_LIST", "NO"),
        ("EPICS_CAS_INTF_ADDR_LIST", "127.0.0.1"),
        ("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1"),
        ("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO"),
        ("EPICS_CA_SERVER_PORT", &*port),
        ("EPICS_CAS_SERVER_PORT", &*port),
        ("EPICS_CA_REPEATER_PORT", &*repeater),
        ("EPICS_CAS_BEACON_PORT", &*repeater),
        // The wheel's IOC also has a PVAccess server, which ends the IOC on a host without interfaces.
        ("EPICS_IOC_IGNORE_SERVERS", "qsrv"),
    ]);
}

/// One circuit, on which one thing happens at a time.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    deframer: Deframer,
    next: u32,
}

impl Client {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let deframer = Deframer::new(FrameLimits {
            max_payload: 1 << 20,
            extended: true,
        });
        let mut client = Self {
            stream,
            deframer,
            next: 0,
        };
        client.send(&tcp::Request::Version {
            priority: 0,
            minor: Minor::CURRENT,
            sequence: 0,
        })?;
        Ok(client)
    }

    fn send(&mut self, request: &tcp::Request<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        request.encode_into(&mut bytes);
        self.stream.write_all(&bytes)
    }

    /// Waits for a message; its first and second parameter.
    fn wait(&mut self, command: Wire) -> io::Result<(u32, u32)> {
        let mut buffer = [0; 4096];
        loop {
            let length = self.stream.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut frames = self.deframer.frames(&buffer[..length]);
            let mut found = None;
            while let Some(frame) = frames.next() {
                let frame = frame.map_err(|error| io::Error::other(format!("{error:?}")))?;
                if frame.header.command == command {
                    found = Some((frame.header.p1, frame.header.p2));
                }
            }
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    pub(crate) fn open(&mut self, name: &str) -> io::Result<Sid> {
        self.next += 1;
        self.send(&tcp::Request::CreateChan {
            cid: Cid(self.next),
            minor: Minor::CURRENT,
            name: Text::new(name.as_bytes()),
        })?;
        self.wait(Wire::CREATE_CHAN).map(|(_, sid)| Sid(sid))
    }

    fn get(&mut self, name: &str) -> io::Result<()> {
        let sid = self.open(name)?;
        self.read(sid)
    }

    pub(crate) fn read(&mut self, sid: Sid) -> io::Result<()> {
        let ioid = Ioid(self.next);
        self.send(&tcp::Request::ReadNotify {
            ty: DOUBLE,
            count: 1,
            sid,
            ioid,
        })?;
        self.wait(Wire::READ_NOTIFY).map(drop)
    }

    /// Writes, and waits until all is done that this sets in motion.
    pub(crate) fn put(&mut self, sid: Sid, value: f64) -> io::Result<()> {
        let ioid = Ioid(self.next);
        self.send(&tcp::Request::WriteNotify {
            ty: DOUBLE,
            count: 1,
            sid,
            ioid,
            data: Data(&value.to_be_bytes()),
        })?;
        self.wait(Wire::WRITE_NOTIFY).map(drop)
    }
}
