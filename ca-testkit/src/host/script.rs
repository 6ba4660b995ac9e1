//! A host that sends literal bytes and keeps what it gets.

use core::net::SocketAddrV4;
use std::collections::VecDeque;

use ca_proto::Instant;

use super::{CloseKind, Host, HostInput, HostOutput};
use crate::net::ConnId;

/// Something a [`ScriptHost`] received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A datagram.
    Datagram {
        /// The port it arrived at.
        port: u16,
        /// Where it came from.
        from: SocketAddrV4,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A stream was accepted.
    Accepted(ConnId),
    /// A dial succeeded.
    Connected(ConnId),
    /// Bytes of a stream.
    Data(ConnId, Vec<u8>),
    /// A stream ended.
    Closed(ConnId, CloseKind),
}

/// A host that does what a test tells it, byte by byte.
///
/// With [`answer`](Self::answer) it replies to expected bytes by itself; everything else is driven
/// from outside with [`push`](Self::push).
#[derive(Debug, Default)]
pub struct ScriptHost {
    output: VecDeque<HostOutput>,
    answers: Vec<(Vec<u8>, Vec<u8>)>,
    received: Vec<(Instant, Received)>,
}

impl ScriptHost {
    /// A host with datagram ports and listening ports.
    pub fn new(udp: &[u16], tcp: &[u16]) -> Self {
        let bind = udp.iter().map(|&port| HostOutput::Bind { port });
        let listen = tcp.iter().map(|&port| HostOutput::Listen { port });
        Self {
            output: bind.chain(listen).collect(),
            ..Self::default()
        }
    }

    /// Queues an output.
    pub fn push(&mut self, output: HostOutput) {
        self.output.push_back(output);
    }

    /// From now on answers stream chunks and datagrams that contain `expect` with `send`.
    pub fn answer(&mut self, expect: impl Into<Vec<u8>>, send: impl Into<Vec<u8>>) {
        self.answers.push((expect.into(), send.into()));
    }

    /// Everything received so far, oldest first.
    pub fn received(&self) -> &[(Instant, Received)] {
        &self.received
    }

    /// The streams that were accepted, oldest first.
    pub fn accepted(&self) -> Vec<ConnId> {
        self.received
            .iter()
            .filter_map(|(_, what)| match what {
                Received::Accepted(conn) => Some(*conn),
                _ => None,
            })
            .collect()
    }

    /// All bytes that came on a stream.
    pub fn bytes(&self, conn: ConnId) -> Vec<u8> {
        let mut out = Vec::new();
        for (_, what) in &self.received {
            if let Received::Data(from, data) = what
                && *from == conn
            {
                out.extend_from_slice(data);
            }
        }
        out
    }

    fn answers_to(&self, data: &[u8]) -> Vec<Vec<u8>> {
        let matches = |expect: &[u8]| {
            expect.is_empty() || data.windows(expect.len()).any(|window| window == expect)
        };
        self.answers
            .iter()
            .filter(|(expect, _)| matches(expect))
            .map(|(_, send)| send.clone())
            .collect()
    }
}

impl Host for ScriptHost {
    fn handle(&mut self, now: Instant, input: HostInput<'_>) {
        let what = match input {
            HostInput::Datagram { port, from, data } => {
                for send in self.answers_to(data) {
                    self.output.push_back(HostOutput::Datagram {
                        port,
                        to: from,
                        data: send,
                    });
                }
                let data = data.to_vec();
                Received::Datagram { port, from, data }
            }
            HostInput::Accepted { conn, .. } => Received::Accepted(conn),
            HostInput::Connected { conn, .. } => Received::Connected(conn),
            HostInput::Writable { .. }
            | HostInput::Unowned { .. }
            | HostInput::Data { data: [], .. } => return,
            HostInput::Data { conn, data, .. } => {
                for data in self.answers_to(data) {
                    self.output.push_back(HostOutput::Send { conn, data });
                }
                Received::Data(conn, data.to_vec())
            }
            HostInput::Closed { conn, how } => Received::Closed(conn, how),
        };
        self.received.push((now, what));
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self, _: Instant) -> Option<HostOutput> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
