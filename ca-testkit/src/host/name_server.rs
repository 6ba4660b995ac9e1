//! A name server: answers searches over TCP for names that others serve.

use core::net::SocketAddrV4;
use std::collections::{BTreeMap, VecDeque};

use ca_proto::Instant;
use ca_proto::wire::message::{Data, Port, SearchFlag};
use ca_proto::wire::{Deframer, FrameLimits, Minor, SERVER_PORT, tcp};

use super::{CloseKind, Host, HostInput, HostOutput};
use crate::net::ConnId;

const LIMITS: FrameLimits = FrameLimits {
    max_payload: 1 << 16,
    extended: true,
};

#[derive(Debug)]
struct Stream {
    deframer: Deframer,
    window: usize,
    queue: Vec<u8>,
}

/// A directory of names at TCP port 5064, told from outside who serves what.
#[derive(Debug)]
pub struct NameServerHost {
    table: BTreeMap<String, SocketAddrV4>,
    streams: BTreeMap<ConnId, Stream>,
    output: VecDeque<HostOutput>,
}

impl NameServerHost {
    /// A directory that knows these names.
    pub fn new(table: BTreeMap<String, SocketAddrV4>) -> Self {
        Self {
            table,
            streams: BTreeMap::new(),
            output: VecDeque::from([HostOutput::Listen { port: SERVER_PORT }]),
        }
    }

    /// Says who serves a name, or that nobody does.
    pub fn set(&mut self, name: &str, server: Option<SocketAddrV4>) {
        match server {
            Some(server) => {
                self.table.insert(name.to_owned(), server);
            }
            None => {
                self.table.remove(name);
            }
        }
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    fn read(&mut self, conn: ConnId, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        let mut frames = stream.deframer.frames(data);
        while let Some(Ok(frame)) = frames.next() {
            let reply = match tcp::Request::parse(&frame) {
                Ok(tcp::Request::Search {
                    cid, name, reply, ..
                }) => {
                    let server = core::str::from_utf8(name.as_bytes()).ok();
                    match server.and_then(|name| self.table.get(name)) {
                        Some(server) => tcp::Response::Search {
                            port: Port(server.port()),
                            server: *server.ip(),
                            cid,
                        },
                        None if reply == SearchFlag::DO_REPLY => tcp::Response::NotFound {
                            reply,
                            minor: Minor::CURRENT,
                            cid,
                            cid2: cid,
                        },
                        None => continue,
                    }
                }
                Ok(tcp::Request::Echo { .. }) => tcp::Response::Echo {
                    data_type: 0,
                    count: 0,
                    p1: 0,
                    p2: 0,
                    data: Data(&[]),
                },
                _ => continue,
            };
            reply.encode_into(&mut stream.queue);
        }
        self.flush(conn);
    }

    fn flush(&mut self, conn: ConnId) {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        let len = stream.window.min(stream.queue.len());
        if len > 0 {
            let data = stream.queue.drain(..len).collect();
            stream.window -= len;
            self.output.push_back(HostOutput::Send { conn, data });
        }
    }
}

impl Host for NameServerHost {
    fn handle(&mut self, _: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Accepted { conn, window, .. } => {
                let mut queue = Vec::new();
                let version = tcp::Response::Version {
                    priority: 0,
                    minor: Minor::CURRENT,
                };
                version.encode_into(&mut queue);
                let deframer = Deframer::new(LIMITS);
                let stream = Stream {
                    deframer,
                    window,
                    queue,
                };
                self.streams.insert(conn, stream);
                self.flush(conn);
            }
            HostInput::Data { conn, data, .. } => self.read(conn, data),
            HostInput::Writable { conn, window } => {
                if let Some(stream) = self.streams.get_mut(&conn) {
                    stream.window = window;
                }
                self.flush(conn);
            }
            HostInput::Closed { conn, how } => {
                let known = self.streams.remove(&conn).is_some();
                if known && how == CloseKind::Eof {
                    self.output.push_back(HostOutput::Close { conn });
                }
            }
            HostInput::Datagram { .. }
            | HostInput::Connected { .. }
            | HostInput::Unowned { .. } => {}
        }
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self, _: Instant) -> Option<HostOutput> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
