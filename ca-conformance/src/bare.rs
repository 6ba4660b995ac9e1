//! A circuit of raw frames: it says what it is told to, and knows nothing of the protocol's rules.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::ops::Deref;
use std::time::{Duration, Instant};

use ca_proto::EcaStatus;
use ca_proto::wire::{Command, Deframer, Frame, FrameLimits, Header};

use super::bytes;
use super::log::{Log, Place};
use super::verdict::{Verdict, ensure, fail};

/// Largest payload that is taken from a server, in bytes.
const MAX_PAYLOAD: u32 = 256 * 1024 * 1024;
/// Marks the echoes that separate what was before from what comes after.
const FENCE: u32 = 0xfe_ce;
/// The shortest time that a look at a socket takes.
pub(super) const LOOK: Duration = Duration::from_millis(1);

/// A message from the server.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    header: Header,
    /// The payload, padding included.
    pub(super) payload: Vec<u8>,
}

impl Deref for Reply {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

impl From<&Frame<'_>> for Reply {
    fn from(frame: &Frame<'_>) -> Self {
        Self {
            header: frame.header,
            payload: frame.payload().to_vec(),
        }
    }
}

impl Reply {
    /// Command, type, count and both parameters in one line.
    pub(super) fn brief(&self) -> String {
        let h = &self.header;
        format!(
            "{} size={} type={} count={} p1={:#x} p2={:#x}",
            h.command, h.payload_len, h.data_type, h.count, h.p1, h.p2
        )
    }

    /// Demands a header, field by field.
    ///
    /// # Errors
    /// If any field differs.
    pub(super) fn is(&self, want: Header) -> Verdict {
        let expected = Self {
            header: want,
            payload: Vec::new(),
        };
        ensure!(
            self.header == want,
            "{}, expected {}",
            self.brief(),
            expected.brief()
        );
        Ok(())
    }

    /// The part of the payload from `at` on; empty behind its end.
    pub(super) fn tail(&self, at: usize) -> &[u8] {
        self.payload.get(at..).unwrap_or_default()
    }

    /// A 16-bit word of the payload; zero behind its end, where size checks have failed already.
    pub(super) fn u16(&self, at: usize) -> u16 {
        match self.payload.get(at..at + 2) {
            Some(&[a, b]) => u16::from_be_bytes([a, b]),
            _ => 0,
        }
    }

    /// A 32-bit word of the payload; zero behind its end.
    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) << 16 | u32::from(self.u16(at + 2))
    }
}

/// One line for several messages.
pub(super) fn listed(replies: &[Reply]) -> String {
    if replies.is_empty() {
        return "nothing".into();
    }
    let shown: Vec<String> = replies.iter().take(4).map(Reply::brief).collect();
    let more = replies.len().saturating_sub(4);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join("; "))
}

/// A connection to the server.
#[derive(Debug)]
pub(super) struct Circuit {
    stream: TcpStream,
    deframer: Deframer,
    inbox: VecDeque<Reply>,
    closed: bool,
    log: Log,
    place: Place,
    patience: Duration,
    /// The time limit after which there was a last look at what had come.
    late: Option<Instant>,
    deadline: Instant,
    next_id: u32,
    received: usize,
    shortest: usize,
}

impl Circuit {
    /// Connects; nothing is sent. No call waits longer than `patience`, none past `deadline`.
    ///
    /// # Errors
    /// If the server does not accept.
    pub(super) fn connect(
        address: SocketAddrV4,
        log: &Log,
        patience: Duration,
        deadline: Instant,
    ) -> Verdict<Self> {
        let place = Place::Circuit(log.next_circuit());
        let failed = |error: std::io::Error| fail(format!("cannot connect to {address}: {error}"));
        let stream = TcpStream::connect_timeout(&address.into(), patience).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_write_timeout(Some(patience)).map_err(failed)?;
        log.note(place, "connected");
        Ok(Self {
            stream,
            deframer: Deframer::new(FrameLimits {
                max_payload: MAX_PAYLOAD,
                extended: true,
            }),
            inbox: VecDeque::new(),
            closed: false,
            log: log.clone(),
            place,
            patience,
            late: None,
            deadline,
            next_id: 0x1000,
            received: 0,
            shortest: 0,
        })
    }

    /// An id that this circuit has not used.
    pub(super) const fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Sends bytes. A server that closed the circuit meanwhile shows when its answer is wanted.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.log.sent(self.place, bytes);
        if let Err(error) = self.stream.write_all(bytes) {
            self.log.note(self.place, &format!("not sent: {error}"));
        }
    }

    /// Ends the sending direction.
    pub(super) fn finish(&self) {
        self.log.note(self.place, "sending direction closed");
        // Fails when the server was faster, which the caller will see.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn limit(&self) -> Instant {
        (Instant::now() + self.patience).min(self.deadline)
    }

    /// Waits for bytes; false at the time limit. What has come by then counts, also if it is looked at
    /// later, as on a machine that is busy: once, so that a server that never stops has its limit.
    fn pump(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && self.late.replace(until) == Some(until) {
            return false;
        }
        let left = left.max(LOOK);
        let mut chunk = vec![0; 64 * 1024];
        let read = self
            .stream
            .set_read_timeout(Some(left))
            .and_then(|()| self.stream.read(&mut chunk));
        match read {
            Ok(0) => self.lost("closed by the server"),
            Ok(n) => self.take(&chunk[..n]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return false,
                ErrorKind::Interrupted => {}
                _ => self.lost(&format!("closed by the server: {error}")),
            },
        }
        true
    }

    fn lost(&mut self, how: &str) {
        self.log.note(self.place, how);
        self.closed = true;
    }

    fn take(&mut self, chunk: &[u8]) {
        self.log.received(self.place, chunk);
        self.received += chunk.len();
        let mut frames = self.deframer.frames(chunk);
        while let Some(frame) = frames.next() {
            match frame {
                Ok(frame) => {
                    let reply = Reply::from(&frame);
                    self.shortest += reply.encoded_len() + reply.payload.len();
                    self.inbox.push_back(reply);
                }
                Err(error) => self.log.note(self.place, &format!("bad frame: {error}")),
            }
        }
    }

    /// True if every header so far had the form that its size and count demand.
    pub(super) const fn headers_have_the_right_form(&self) -> bool {
        self.received == self.shortest
    }

    /// The first message that is wanted; others stay for later calls.
    ///
    /// # Errors
    /// If it does not come in time, naming `what` and what came instead.
    pub(super) fn find(&mut self, what: &str, want: impl Fn(&Reply) -> bool) -> Verdict<Reply> {
        let until = self.limit();
        loop {
            if let Some(at) = self.inbox.iter().position(&want)
                && let Some(found) = self.inbox.remove(at)
            {
                return Ok(found);
            }
            let instead = || listed(self.inbox.iter().cloned().collect::<Vec<_>>().as_slice());
            if self.closed {
                return Err(fail(format!("closed without {what}; came: {}", instead())));
            }
            if !self.pump(until) {
                let instead = listed(self.inbox.iter().cloned().collect::<Vec<_>>().as_slice());
                return Err(fail(format!("no {what} in time; came: {instead}")));
            }
        }
    }

    /// The next message of a command.
    ///
    /// # Errors
    /// If none comes in time.
    pub(super) fn next(&mut self, command: Command) -> Verdict<Reply> {
        self.find(&command.to_string(), |reply| reply.command == command)
    }

    /// Sends a request; the answer with this command and P2, or an `ERROR`.
    ///
    /// # Errors
    /// If neither comes in time.
    pub(super) fn ask(&mut self, request: &[u8], command: Command, p2: u32) -> Verdict<Reply> {
        self.send(request);
        self.answer(command, p2)
    }

    /// The answer with this command and P2, or an `ERROR`.
    ///
    /// # Errors
    /// If neither comes in time.
    pub(super) fn answer(&mut self, command: Command, p2: u32) -> Verdict<Reply> {
        self.find(&command.to_string(), |reply| {
            reply.command == command && reply.p2 == p2 || reply.command == Command::ERROR
        })
    }

    /// Everything that was answered before an echo that is sent now.
    ///
    /// # Errors
    /// If the echo does not come back.
    pub(super) fn fence(&mut self) -> Verdict<Vec<Reply>> {
        let id = self.id();
        self.send(&bytes::bare(Command::ECHO, 0, 0, FENCE, id));
        self.find("ECHO", |reply| {
            // Some servers return zeros; `echo.fields` tells, other checks do without.
            let same = [(FENCE, id), (0, 0)].contains(&(reply.p1, reply.p2));
            reply.command == Command::ECHO && same
        })?;
        Ok(self.inbox.drain(..).collect())
    }

    /// Demands silence up to an echo that is sent now.
    ///
    /// # Errors
    /// If something came, or the echo does not come back.
    pub(super) fn silent(&mut self) -> Verdict {
        let came = self.fence()?;
        ensure!(
            came.is_empty(),
            "expected no answer, came: {}",
            listed(&came)
        );
        Ok(())
    }

    /// Everything that comes within a time, also what came before.
    pub(super) fn collect(&mut self, time: Duration) -> Vec<Reply> {
        let until = (Instant::now() + time).min(self.deadline);
        while !self.closed && self.pump(until) {}
        self.inbox.drain(..).collect()
    }

    /// Everything up to the end of the circuit.
    ///
    /// # Errors
    /// If the server does not close it in time.
    pub(super) fn end(&mut self) -> Verdict<Vec<Reply>> {
        let until = self.limit();
        while !self.closed {
            if !self.pump(until) {
                let came = listed(&self.inbox.drain(..).collect::<Vec<_>>());
                return Err(fail(format!("the circuit stays open; came: {came}")));
            }
        }
        Ok(self.inbox.drain(..).collect())
    }

    /// Demands that the server closes the circuit without another message.
    ///
    /// # Errors
    /// If it says something before, or does not close it.
    pub(super) fn ends_silently(&mut self) -> Verdict {
        let came = self.end()?;
        ensure!(
            came.is_empty(),
            "closed, but not silently; came: {}",
            listed(&came)
        );
        Ok(())
    }

    /// Demands an `ERROR` with this status, then the end of the circuit.
    ///
    /// # Errors
    /// If something else happens.
    pub(super) fn ends_with(&mut self, status: EcaStatus) -> Verdict<Reply> {
        let mut came = self.end()?;
        match came.pop() {
            Some(last) if last.command == Command::ERROR && last.p2 == status.0 => Ok(last),
            Some(last) => Err(fail(format!(
                "expected ERROR {} before the close, came: {}",
                named(status.0),
                last.brief()
            ))),
            None => Err(fail(format!("closed without ERROR {}", named(status.0)))),
        }
    }

    /// Demands an `ERROR` with this status on a circuit that then goes on.
    ///
    /// # Errors
    /// If something else happens.
    pub(super) fn refuses(&mut self, request: &[u8], status: EcaStatus) -> Verdict<Reply> {
        self.send(request);
        let error = self.next(Command::ERROR)?;
        ensure!(
            error.p2 == status.0,
            "ERROR {}, expected {}",
            named(error.p2),
            named(status.0)
        );
        self.fence()?;
        Ok(error)
    }
}

/// A status with its name.
pub(super) fn named(status: u32) -> String {
    match EcaStatus(status).name() {
        Some(name) => format!("{name} ({status:#x})"),
        None => format!("{status:#x}"),
    }
}
