//! The server that is played: what it hears of the client, and what it says on circuits and datagrams.

mod honest;
mod judge;
mod threads;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ca_proto::wire::{Command, Deframer, FrameLimits, datagram_frames};

pub(super) use honest::{created, found, rights};
pub(super) use threads::Event;
use threads::{LOOK, Threads, accept_thread, read_thread, repeater_thread, search_thread, sockets};

use super::program::{Program, Words};
use super::pv::Pv;
use crate::bare::Reply;
use crate::bytes;
use crate::log::{Log, Place};
use crate::verdict::{Verdict, ensure, fail};

/// Largest message taken from a client, in bytes.
const MAX_PAYLOAD: u32 = 16 * 1024 * 1024;
/// Longest time for a client that does not read.
const WRITE: Duration = Duration::from_secs(2);
/// The SID of the first channel; further ones follow.
pub(super) const SID: u32 = 0x51;
/// The address that means "that of the datagram".
pub(super) const SENDER: u32 = u32::MAX;

/// A search for the PV of the check.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Who asks.
    pub(super) from: SocketAddr,
    /// The message.
    pub(super) message: Reply,
    /// Everything in its datagram.
    pub(super) datagram: Vec<u8>,
    /// When it came, since the program was started.
    pub(super) at: Duration,
}

/// What a check hears.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// A search for the PV.
    Search(Search),
    /// A circuit was opened: its number, and which listener took it.
    Opened(usize, usize),
    /// A message on a circuit.
    Request(usize, Reply),
    /// The client has ended a circuit.
    Closed(usize),
    /// A line of the program's output.
    Line,
    /// Some time has passed.
    Tick,
}

/// What is to become of what was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// An honest server answers.
    Honest,
    /// Nobody answers; the check has done so, or does not want to.
    Silent,
    /// The check has seen enough; the program is ended.
    Done,
}

/// A circuit from the side of the server.
#[derive(Debug)]
struct Line {
    /// `None` once it is closed.
    stream: Option<TcpStream>,
    deframer: Deframer,
    open: bool,
    /// Messages wait, because a check goes on later.
    inbox: VecDeque<Reply>,
}

/// A subscription of the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sub {
    pub(super) circuit: usize,
    pub(super) id: u32,
    pub(super) ty: u16,
    pub(super) count: u32,
}

/// A check's server, and the client program.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) pv: Pv,
    pub(super) log: Log,
    /// Minor version that the server announces.
    pub(super) minor: u16,
    /// Bytes sent at once; `None` for all.
    pub(super) pieces: Option<usize>,
    /// Bytes after which every circuit is cut off.
    pub(super) cut: Option<usize>,
    /// Subscriptions that were made and not cancelled.
    pub(super) subs: Vec<Sub>,
    /// CID and SID of channels, by circuit.
    pub(super) channels: Vec<(usize, u32, u32)>,
    program: Program,
    name: String,
    ports: Vec<SocketAddrV4>,
    udp: UdpSocket,
    lines: Vec<Line>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    heard: VecDeque<Heard>,
    threads: Threads,
    started: Instant,
    deadline: Instant,
}

impl Stage {
    /// Opens the sockets and starts the program.
    ///
    /// # Errors
    /// If either cannot be done.
    pub(super) fn new(
        command: &[String],
        words: &Words,
        more: &[(&'static str, String)],
        limit: Duration,
    ) -> Verdict<Self> {
        let failed = |error: std::io::Error| fail(format!("no sockets: {error}"));
        let (tcp, udp, address) = sockets().map_err(failed)?;
        // A repeater without beacons; with its port taken, clients start none of their own.
        let repeater = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let mut environment = vec![
            ("EPICS_CA_ADDR_LIST", address.to_string()),
            ("EPICS_CA_AUTO_ADDR_LIST", "NO".to_owned()),
            ("EPICS_CA_SERVER_PORT", address.port().to_string()),
            (
                "EPICS_CA_REPEATER_PORT",
                repeater.local_addr().map_err(failed)?.port().to_string(),
            ),
        ];
        environment.extend(more.iter().cloned());
        let (sender, events) = channel();
        let threads = Threads::default();
        let datagrams = udp.try_clone().map_err(failed)?;
        search_thread(datagrams, sender.clone(), threads.stop()).map_err(failed)?;
        repeater_thread(repeater, threads.stop()).map_err(failed)?;
        let started = Instant::now();
        let program = Program::start(command, words, &environment, &sender)?;
        let mut stage = Self {
            pv: Pv::double(),
            log: Log::of_server(),
            minor: bytes::MINOR,
            pieces: None,
            cut: None,
            subs: Vec::new(),
            channels: Vec::new(),
            program,
            name: words.pv.clone(),
            ports: Vec::new(),
            udp,
            lines: Vec::new(),
            events,
            sender,
            heard: VecDeque::new(),
            threads,
            started,
            deadline: started + limit,
        };
        stage.accept_at(tcp, address)?;
        Ok(stage)
    }

    fn accept_at(&mut self, tcp: TcpListener, address: SocketAddrV4) -> Verdict<u16> {
        let number = self.ports.len();
        let (events, stop) = (self.sender.clone(), self.threads.stop());
        accept_thread(tcp, number, events, stop)
            .map_err(|error| fail(format!("cannot accept: {error}")))?;
        self.ports.push(address);
        Ok(address.port())
    }

    /// One more place for circuits: its port.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn listen(&mut self, ip: Ipv4Addr) -> Verdict<u16> {
        let failed = |error: std::io::Error| fail(format!("no socket at {ip}: {error}"));
        let tcp = TcpListener::bind((ip, 0)).map_err(failed)?;
        let port = tcp.local_addr().map_err(failed)?.port();
        self.accept_at(tcp, SocketAddrV4::new(ip, port))
    }

    /// The port of circuits.
    pub(super) fn port(&self) -> u16 {
        self.ports[0].port()
    }

    /// Sends a datagram to whoever searched.
    pub(super) fn datagram(&self, to: SocketAddr, bytes: &[u8]) {
        self.log.sent(Place::Datagram, bytes);
        // A program that is gone shows by its exit.
        let _ = self.udp.send_to(bytes, to);
    }

    /// Answers a search: the circuits' port and address.
    pub(super) fn found(&self, search: &Search, port: u16, address: u32) {
        let mut reply = bytes::search_version(bytes::MINOR, search.message.p1);
        reply.extend(found(port, address, search.message.p2));
        self.datagram(search.from, &reply);
    }

    /// Sends bytes on a circuit.
    pub(super) fn send(&mut self, circuit: usize, bytes: &[u8]) {
        let Some(line) = self.lines.get_mut(circuit).filter(|line| line.open) else {
            return;
        };
        let (mut bytes, mut over) = (bytes, false);
        if let Some(left) = &mut self.cut {
            over = bytes.len() >= *left;
            bytes = &bytes[..bytes.len().min(*left)];
            *left -= bytes.len();
        }
        self.log.sent(Place::Circuit(circuit + 1), bytes);
        for piece in bytes.chunks(self.pieces.unwrap_or(bytes.len()).max(1)) {
            let Some(stream) = &mut line.stream else {
                break;
            };
            if let Err(error) = stream.write_all(piece) {
                let what = format!("not sent: {error}");
                self.log.note(Place::Circuit(circuit + 1), &what);
                break;
            }
        }
        if over {
            self.end(circuit);
        }
    }

    /// Ends both directions of a circuit.
    pub(super) fn end(&mut self, circuit: usize) {
        self.shut(circuit, Shutdown::Both, "closed by the server");
        self.lost(circuit);
    }

    /// Ends the direction to the client.
    pub(super) fn half_close(&mut self, circuit: usize) {
        let what = "sending direction closed by the server";
        self.shut(circuit, Shutdown::Write, what);
    }

    /// Breaks a circuit.
    pub(super) fn reset(&mut self, circuit: usize) {
        if let Some(stream) = self
            .lines
            .get(circuit)
            .and_then(|line| line.stream.as_ref())
        {
            // With no time to linger, the last close breaks the connection.
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        // The reading thread ends with this, and its handle.
        self.shut(circuit, Shutdown::Read, "reset by the server");
        self.lost(circuit);
    }

    fn shut(&self, circuit: usize, how: Shutdown, what: &str) {
        if let Some(stream) = self
            .lines
            .get(circuit)
            .and_then(|line| line.stream.as_ref())
        {
            self.log.note(Place::Circuit(circuit + 1), what);
            // Fails when the client was faster.
            let _ = stream.shutdown(how);
        }
    }

    fn lost(&mut self, circuit: usize) {
        if let Some(line) = self.lines.get_mut(circuit) {
            line.open = false;
            line.stream = None;
        }
        self.forget(circuit);
    }

    /// The server knows nothing any more of a circuit's channels.
    pub(super) fn forget(&mut self, circuit: usize) {
        self.subs.retain(|sub| sub.circuit != circuit);
        self.channels.retain(|(of, ..)| *of != circuit);
    }

    /// Lets the client talk until its program ends or `script` has seen enough. What the script
    /// does not answer itself, an honest server does.
    ///
    /// # Errors
    /// Those of the script; a program that does not end in time.
    pub(super) fn perform(
        &mut self,
        mut script: impl FnMut(&mut Self, &Heard) -> Verdict<Act>,
    ) -> Verdict {
        loop {
            let Some(heard) = self.next()? else {
                return Ok(());
            };
            match script(self, &heard)? {
                Act::Honest => self.honest(&heard),
                Act::Silent => {}
                Act::Done => {
                    self.program.kill();
                    return Ok(());
                }
            }
        }
    }

    /// Lets the client talk with an honest server.
    ///
    /// # Errors
    /// A program that does not end in time.
    pub(super) fn serve(&mut self) -> Verdict {
        self.perform(|_, _| Ok(Act::Honest))
    }

    /// The next that is heard; `None` once the program has ended.
    fn next(&mut self) -> Verdict<Option<Heard>> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(Some(heard));
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the program does not end in time");
            match self.events.recv_timeout(left.min(LOOK)) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) if self.program.is_over() => return Ok(None),
                Err(_) => return Ok(Some(Heard::Tick)),
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Datagram(from, bytes) => self.search(from, bytes),
            Event::Accepted(listener, stream) => self.opened(listener, stream),
            Event::Bytes(circuit, bytes) => self.received(circuit, &bytes),
            Event::Closed(circuit, how) => {
                if self.lines.get(circuit).is_some_and(|line| line.open) {
                    self.log.note(Place::Circuit(circuit + 1), &how);
                }
                self.forget(circuit);
                self.heard.push_back(Heard::Closed(circuit));
            }
            Event::Said(line) => {
                self.program.said(&line);
                self.log.say(&format!("says: {line}"));
                self.heard.push_back(Heard::Line);
            }
            Event::Complained(line) => self.log.say(&format!("complains: {line}")),
            Event::Quiet => self.program.closed(),
        }
    }

    fn search(&mut self, from: SocketAddr, datagram: Vec<u8>) {
        self.log.received(Place::Datagram, &datagram);
        let at = self.started.elapsed();
        let frames = datagram_frames(&datagram).filter_map(Result::ok);
        let messages: Vec<Reply> = frames.map(|frame| Reply::from(&frame)).collect();
        for message in messages {
            let name = message.payload.split(|&b| b == 0).next();
            if message.command == Command::SEARCH && name == Some(self.name.as_bytes()) {
                self.heard.push_back(Heard::Search(Search {
                    from,
                    message,
                    datagram: datagram.clone(),
                    at,
                }));
            }
        }
    }

    fn opened(&mut self, listener: usize, stream: TcpStream) {
        let number = self.lines.len();
        self.log.note(
            Place::Circuit(self.log.next_circuit()),
            &format!("opened at {}", self.ports[listener]),
        );
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(WRITE));
        if let Ok(reader) = stream.try_clone() {
            read_thread(number, reader, self.sender.clone());
        }
        self.lines.push(Line {
            stream: Some(stream),
            deframer: Deframer::new(FrameLimits {
                max_payload: MAX_PAYLOAD,
                extended: true,
            }),
            open: true,
            inbox: VecDeque::new(),
        });
        self.heard.push_back(Heard::Opened(number, listener));
    }

    fn received(&mut self, circuit: usize, bytes: &[u8]) {
        self.log.received(Place::Circuit(circuit + 1), bytes);
        let Some(line) = self.lines.get_mut(circuit) else {
            return;
        };
        let mut frames = line.deframer.frames(bytes);
        while let Some(frame) = frames.next() {
            match frame {
                Ok(frame) => line.inbox.push_back(Reply::from(&frame)),
                Err(error) => {
                    let what = format!("bad frame: {error}");
                    self.log.note(Place::Circuit(circuit + 1), &what);
                }
            }
        }
        for message in line.inbox.drain(..) {
            self.heard.push_back(Heard::Request(circuit, message));
        }
    }

    /// Time since the program was started.
    pub(super) fn time(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many circuits were opened.
    pub(super) fn circuits(&self) -> usize {
        self.lines.len()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.program.kill();
        for stream in self.lines.iter().filter_map(|line| line.stream.as_ref()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
