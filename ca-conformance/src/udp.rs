//! Datagrams to the server's search port.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use ca_proto::wire::{Command, MAX_UDP_RECV, datagram_frames};

use super::bare::{LOOK, Reply};
use super::bytes;
use super::log::{Log, Place};
use super::verdict::{Verdict, fail};

/// Times a datagram is sent before it counts as unanswered: datagrams may be lost.
const ATTEMPTS: u32 = 3;
/// Time between a datagram and the search behind it, so that their answers are not merged.
const APART: Duration = Duration::from_millis(40);

/// A datagram from the server.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// Its messages.
    pub(super) messages: Vec<Reply>,
}

impl Datagram {
    /// The answers to searches in it.
    pub(super) fn answers(&self) -> impl Iterator<Item = &Reply> {
        self.messages
            .iter()
            .filter(|m| m.command == Command::SEARCH)
    }
}

/// A socket that searches.
#[derive(Debug)]
pub(super) struct Searcher {
    socket: UdpSocket,
    server: SocketAddrV4,
    log: Log,
    patience: Duration,
    /// The time limit after which there was a last look at what had come.
    late: Cell<Option<Instant>>,
    next_id: u32,
    name: String,
}

impl Searcher {
    /// A socket of its own; `name` is a PV that the server has.
    ///
    /// # Errors
    /// If the system gives no socket.
    pub(super) fn open(
        server: SocketAddrV4,
        name: &str,
        log: &Log,
        patience: Duration,
    ) -> Verdict<Self> {
        let any = if server.ip().is_loopback() {
            Ipv4Addr::LOCALHOST
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        let socket = UdpSocket::bind((any, 0)).map_err(|e| fail(format!("no UDP socket: {e}")))?;
        Ok(Self {
            socket,
            server,
            log: log.clone(),
            patience,
            late: Cell::new(None),
            next_id: 0x5000,
            name: name.into(),
        })
    }

    /// A search id that this socket has not used.
    pub(super) const fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn send(&self, datagram: &[u8]) -> Verdict {
        self.log.sent(Place::Datagram, datagram);
        let sent = self.socket.send_to(datagram, self.server);
        sent.map(drop).map_err(|e| fail(format!("not sent: {e}")))
    }

    /// The next datagram, if one comes by then. One that has come counts also if it is looked at later,
    /// as on a machine that is busy: once, so that a server that never stops has its limit.
    fn receive(&self, until: Instant) -> Option<Datagram> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && self.late.replace(Some(until)) == Some(until) {
            return None;
        }
        let left = left.max(LOOK);
        let mut buffer = vec![0; MAX_UDP_RECV];
        self.socket.set_read_timeout(Some(left)).ok()?;
        let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
        buffer.truncate(len);
        self.log.received(Place::Datagram, &buffer);
        let messages = datagram_frames(&buffer)
            .filter_map(Result::ok)
            .map(|frame| Reply::from(&frame))
            .collect();
        Some(Datagram {
            bytes: buffer,
            from,
            messages,
        })
    }

    /// Sends a datagram until every id is answered; all that came.
    ///
    /// # Errors
    /// If an id is not answered.
    pub(super) fn ask(&self, datagram: &[u8], ids: &[u32]) -> Verdict<Vec<Datagram>> {
        let mut came = Vec::new();
        for _ in 0..ATTEMPTS {
            came.clear();
            self.send(datagram)?;
            let until = Instant::now() + self.patience / ATTEMPTS;
            while let Some(datagram) = self.receive(until) {
                came.push(datagram);
                let answered = |id: &u32| {
                    let mut all = came.iter().flat_map(Datagram::answers);
                    all.any(|answer| answer.p2 == *id)
                };
                if ids.iter().all(answered) {
                    return Ok(came);
                }
            }
        }
        let answers = came.iter().flat_map(Datagram::answers).count();
        Err(fail(format!(
            "{answers} of {} searches answered in {} datagrams",
            ids.len(),
            came.len()
        )))
    }

    /// One search that is answered; the datagram with the answer.
    ///
    /// # Errors
    /// If it is not answered.
    pub(super) fn find(&mut self) -> Verdict<Datagram> {
        let id = self.id();
        let mut datagram = bytes::search_version(bytes::MINOR, id);
        datagram.extend(bytes::search(5, id, &self.name));
        let mut came = self.ask(&datagram, &[id])?;
        came.pop().ok_or_else(|| fail("no answer"))
    }

    /// Sends a datagram, then a search that is answered: what was answered to the first.
    ///
    /// # Errors
    /// If the search behind it is not answered.
    pub(super) fn answers_to(&mut self, datagram: &[u8]) -> Verdict<Vec<Reply>> {
        self.send(datagram)?;
        let mut came = Vec::new();
        while let Some(datagram) = self.receive(Instant::now() + APART) {
            came.extend(datagram.messages);
        }
        self.find()?;
        Ok(came)
    }
}
