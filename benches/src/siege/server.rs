//! `canter ioc` as a process.

use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running `canter ioc` with the PVs `x`, `note`, `slow`, and the arrays `big` and `huge`.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Of the error stream. It logs a limit once in 10 s, so they are few.
    lines: Receiver<String>,
    heard: Vec<String>,
    /// Where it answers searches.
    pub udp: SocketAddrV4,
    /// Where it takes circuits.
    pub tcp: SocketAddrV4,
}

impl Server {
    /// Starts it with these limits (`NAME=VALUE`) and waits until it serves.
    ///
    /// # Errors
    /// It cannot be started, or ends at once.
    pub fn start(program: &Path, limits: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["ioc", "--port", "0", "--pv", "x=double:1.5"]);
        command.args(["--pv", "note=string:hello", "--pv", "big=double:100000:0"]);
        command.args(["--pv", "huge=double:1000000:0"]);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/siege/pvs.toml"));
        command.args(limits.iter().flat_map(|limit| ["--limit", limit]));
        command.env_clear().stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines
                .take_while(|line| send.send(line.clone()).is_ok())
                .count();
        });
        let mut server = Self {
            child,
            lines,
            heard: Vec::new(),
            udp: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            tcp: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        };
        let stdout = server.child.stdout.take();
        let mut lines = BufReader::new(stdout.ok_or(io::ErrorKind::BrokenPipe)?).lines();
        while let Some(line) = lines.next().transpose()? {
            for (words, addr) in [
                ("UDP port ", &mut server.udp),
                ("TCP port ", &mut server.tcp),
            ] {
                if let Some((_, rest)) = line.split_once(words) {
                    let port = rest.split(',').next().unwrap_or_default();
                    addr.set_port(port.parse().map_err(|_| io::ErrorKind::InvalidData)?);
                }
            }
            if line.starts_with("# Ctrl-C") {
                return Ok(server);
            }
        }
        Err(io::Error::other("the IOC has ended at once"))
    }

    /// Waits for a log line with these words; false if none comes in time.
    pub fn logs(&mut self, words: &str, patience: Duration) -> bool {
        while !self.heard.iter().any(|line| line.contains(words)) {
            match self.lines.recv_timeout(patience) {
                Ok(line) => self.heard.push(line),
                Err(_) => return false,
            }
        }
        true
    }

    /// Ends it as Ctrl-C does: the lines of its error stream, where it says what it refused.
    ///
    /// # Errors
    /// It cannot be ended, or its lines cannot be read.
    pub fn end(mut self) -> io::Result<Vec<String>> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), Signal::SIGINT)?;
        self.heard.extend(self.lines.iter());
        self.child.wait()?;
        Ok(std::mem::take(&mut self.heard))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
