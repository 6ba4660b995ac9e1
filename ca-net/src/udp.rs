//! A UDP socket that sends one datagram to a list of destinations and receives within a budget.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::task::{Context, Poll, ready};

use crate::budget::Budget;
use crate::runtime::DatagramSocket;
use crate::stream::with_scratch;

/// Destinations whose last error is remembered; further ones are reported each time.
const MAX_REMEMBERED: usize = 1024;

/// A destination that could not be sent to.
#[derive(Debug)]
#[non_exhaustive]
pub struct SendError {
    /// Where the datagram should have gone.
    pub to: SocketAddrV4,
    /// What the system said.
    pub error: io::Error,
}

/// A UDP socket with one datagram on its way.
///
/// Errors end nothing: UDP reports them late and on behalf of others. Each destination's error is
/// given out once, and again only when it changes, as the reference client does
/// (`udpiiu.cpp`, `SearchDestUDP::searchRequest`).
#[derive(Debug)]
pub struct UdpIo {
    socket: Box<dyn DatagramSocket>,
    data: Vec<u8>,
    to: Vec<SocketAddrV4>,
    /// Index in `to` of the next destination.
    next: usize,
    errors: BTreeMap<SocketAddrV4, io::ErrorKind>,
}

impl UdpIo {
    /// Takes over a socket.
    pub const fn new(socket: Box<dyn DatagramSocket>) -> Self {
        Self {
            socket,
            data: Vec::new(),
            to: Vec::new(),
            next: 0,
            errors: BTreeMap::new(),
        }
    }

    /// The address of the socket.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.socket.local_addr()
    }

    /// True when the last datagram went to all its destinations.
    pub fn is_idle(&self) -> bool {
        self.next == self.to.len()
    }

    /// Sends datagrams until `load` has none left or the socket is full.
    ///
    /// `load` fills the datagram and its destinations (both come empty) and says whether it did;
    /// `failed` hears of destinations that cannot be reached.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        mut load: impl FnMut(&mut Vec<u8>, &mut Vec<SocketAddrV4>) -> bool,
        mut failed: impl FnMut(SendError),
    ) -> Poll<()> {
        loop {
            while let Some(&to) = self.to.get(self.next) {
                let sent = ready!(self.socket.poll_send_to(cx, &self.data, to));
                self.next += 1;
                if let Some(error) = self.note(to, sent) {
                    failed(SendError { to, error });
                }
            }
            self.data.clear();
            self.to.clear();
            self.next = 0;
            if !load(&mut self.data, &mut self.to) {
                return Poll::Ready(());
            }
        }
    }

    /// Remembers how sending went; gives the error if it is news.
    fn note(&mut self, to: SocketAddrV4, sent: io::Result<()>) -> Option<io::Error> {
        let Err(error) = sent else {
            if !self.errors.is_empty() {
                self.errors.remove(&to);
            }
            return None;
        };
        let kind = error.kind();
        let room = self.errors.len() < MAX_REMEMBERED || self.errors.contains_key(&to);
        if room && self.errors.insert(to, kind) == Some(kind) {
            return None;
        }
        Some(error)
    }

    /// Receives datagrams until none is left (pending) or the budget is used up (ready).
    ///
    /// Receive errors are skipped: they are ICMP answers to something sent earlier.
    pub fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        mut handle: impl FnMut(SocketAddrV4, &[u8]),
    ) -> Poll<()> {
        with_scratch(|scratch| {
            loop {
                let received = ready!(self.socket.poll_recv_from(cx, scratch));
                let bytes = match received {
                    Ok((len, from)) => {
                        handle(from, scratch.get(..len).unwrap_or_default());
                        len
                    }
                    Err(_) => 0,
                };
                if !budget.spend(bytes) {
                    return Poll::Ready(());
                }
            }
        })
    }
}
