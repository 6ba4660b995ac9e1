//! What can be seen on the network while a PV is looked for.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::sync::PoisonError;
use std::time::Duration;

use ca_net::tap::{Observer, Passing, StreamId};
use ca_proto::access::AccessRights;
use ca_proto::dbr::NativeType;
use ca_proto::ids::Cid;
use ca_proto::text::Plain;
use ca_proto::wire::message::SAME_ADDRESS;
use ca_proto::wire::{Deframer, FrameLimits, Minor, datagram_frames, tcp, udp};
use ca_proto::{EcaStatus, Instant};

use crate::connect::text;
use crate::sync::Mutex;

/// Steps that are kept; of what is beyond only the number.
const MAX_STEPS: usize = 2000;
/// Bytes of a message that is looked into; the PV's value may be longer.
const MAX_MESSAGE: u32 = 64 << 10;

/// Something that was seen.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Observed {
    /// A search for a name left.
    Asked {
        /// The name.
        name: String,
        /// Where it went.
        to: SocketAddrV4,
        /// The socket that it left from.
        from: Option<SocketAddrV4>,
    },
    /// The system did not take a search.
    NotAsked {
        /// Where it was to go.
        to: SocketAddrV4,
        /// What the system says.
        error: String,
    },
    /// A server says that it has the name.
    Answered {
        /// The name.
        name: String,
        /// Who says so.
        by: SocketAddrV4,
        /// Where the circuit is to go.
        server: SocketAddrV4,
        /// Time since the name was last asked for.
        after: Duration,
    },
    /// A server tells that it lives.
    Beacon {
        /// The server.
        server: SocketAddrV4,
    },
    /// A connection is begun.
    Dialling {
        /// To whom.
        server: SocketAddrV4,
    },
    /// A connection is made.
    Connected {
        /// To whom.
        server: SocketAddrV4,
    },
    /// A connection cannot be made.
    NotConnected {
        /// To whom.
        server: SocketAddrV4,
        /// What the system says.
        error: String,
        /// The same, to match on.
        kind: io::ErrorKind,
    },
    /// A server tells its version.
    Version {
        /// The server.
        server: SocketAddrV4,
        /// The version.
        minor: Minor,
    },
    /// A server is asked for a channel.
    Creating {
        /// The name.
        name: String,
        /// The server.
        server: SocketAddrV4,
    },
    /// A channel exists at a server.
    Created {
        /// The name.
        name: String,
        /// The server.
        server: SocketAddrV4,
        /// Type of its elements.
        native: NativeType,
        /// Number of its elements at most.
        count: u32,
    },
    /// A server does not create a channel.
    NotCreated {
        /// The name.
        name: String,
        /// The server.
        server: SocketAddrV4,
    },
    /// What we may do with a channel.
    Rights {
        /// The name.
        name: String,
        /// The rights.
        rights: AccessRights,
    },
    /// A server reports a failure.
    Said {
        /// The server.
        server: SocketAddrV4,
        /// Its status.
        status: EcaStatus,
        /// Its text.
        text: String,
    },
    /// A value came.
    Value {
        /// The server.
        server: SocketAddrV4,
        /// The server's status.
        status: EcaStatus,
        /// Number of elements.
        count: u32,
    },
    /// What came is no message of Channel Access.
    NotChannelAccess {
        /// The peer.
        server: SocketAddrV4,
    },
    /// The peer ended a connection, or it was lost.
    Ended {
        /// The peer.
        server: SocketAddrV4,
        /// What the system says, if it was lost.
        error: Option<String>,
    },
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and texts are what somebody typed or sent.
        let plain = |text: &'_ str| Plain(text.as_bytes()).to_string();
        match self {
            Self::Asked { name, to, from } => {
                write!(f, "who has \"{}\"? to {to}", plain(name))?;
                from.map_or(Ok(()), |from| write!(f, ", from port {}", from.port()))
            }
            Self::NotAsked { to, error } => write!(f, "no search can be sent to {to}: {error}"),
            Self::Answered {
                name,
                by,
                server,
                after,
            } => {
                let millis = after.as_secs_f64() * 1e3;
                let name = plain(name);
                write!(f, "{by} answers after {millis:.3} ms: \"{name}\" is at ")?;
                match by.ip() == server.ip() {
                    true => write!(f, "its TCP port {}", server.port()),
                    false => write!(f, "{server}"),
                }
            }
            Self::Beacon { server } => write!(f, "a beacon of {server} is heard"),
            Self::Dialling { server } => write!(f, "connecting to {server}"),
            Self::Connected { server } => write!(f, "connected to {server}"),
            Self::NotConnected { server, error, .. } => {
                write!(f, "no connection to {server}: {error}")
            }
            Self::Version { server, minor } => write!(f, "{server} speaks version {minor}"),
            Self::Creating { name, server } => {
                write!(f, "{server} is asked for \"{}\"", plain(name))
            }
            Self::Created {
                name,
                server,
                native,
                count,
            } => write!(f, "{server} gives \"{}\": {count} x {native}", plain(name)),
            Self::NotCreated { name, server } => {
                write!(f, "{server} does not give \"{}\"", plain(name))
            }
            Self::Rights { name, rights } => {
                let may = match (rights.can_read(), rights.can_write()) {
                    (true, true) => "be read and written",
                    (true, false) => "be read, not written",
                    (false, true) => "be written, not read",
                    (false, false) => "neither be read nor written",
                };
                write!(f, "\"{}\" may {may}", plain(name))
            }
            Self::Said {
                server,
                status,
                text,
            } => {
                write!(f, "{server} reports {status}")?;
                if text.is_empty() {
                    return Ok(());
                }
                write!(f, ": {}", plain(text))
            }
            Self::Value {
                status: EcaStatus::NORMAL,
                server,
                count,
            } => {
                let plural = if *count == 1 { "" } else { "s" };
                write!(f, "{server} sends the value, {count} element{plural}")
            }
            Self::Value { server, status, .. } => {
                write!(f, "{server} answers {status} in place of a value")
            }
            Self::NotChannelAccess { server } => {
                write!(f, "what {server} sends is not Channel Access")
            }
            Self::Ended { server, error } => match error {
                Some(error) => write!(f, "the connection to {server} is lost: {error}"),
                None => write!(f, "{server} ends the connection"),
            },
        }
    }
}

/// Something that was seen, and when.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Time since the beginning.
    pub at: Duration,
    /// What was seen.
    pub what: Observed,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_secs_f64() * 1e3;
        write!(f, "{millis:10.3} ms  {}", self.what)
    }
}

/// What is known of a connection.
struct Line {
    peer: SocketAddrV4,
    requests: Deframer,
    responses: Deframer,
    /// Something of it is no message.
    garbled: bool,
}

/// Writes down what passes.
pub(super) struct Notebook {
    started: Instant,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    steps: Vec<Step>,
    left_out: usize,
    /// Names of channels by the number that they are asked for with, and when they were last.
    names: BTreeMap<Cid, (String, Instant)>,
    lines: BTreeMap<StreamId, Line>,
}

impl Notebook {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            notes: Mutex::default(),
        }
    }

    /// What was seen so far, and how much more was.
    pub(super) fn steps(&self) -> (Vec<Step>, usize) {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        (notes.steps.clone(), notes.left_out)
    }

    /// Whether a server has answered, or told that it lives.
    pub(super) fn has_heard(&self) -> bool {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_heard = |step: &Step| {
            matches!(
                step.what,
                Observed::Answered { .. } | Observed::Beacon { .. }
            )
        };
        notes.steps.iter().any(is_heard)
    }
}

impl Observer for Notebook {
    fn passes(&self, at: Instant, what: &Passing<'_>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = VecDeque::new();
        notes.look(at, what, &mut seen);
        let at = at.saturating_duration_since(self.started);
        for what in seen {
            match notes.steps.len() < MAX_STEPS {
                true => notes.steps.push(Step { at, what }),
                false => notes.left_out += 1,
            }
        }
    }
}

impl Notes {
    fn name(&self, cid: Cid) -> String {
        self.names
            .get(&cid)
            .map_or_else(|| "?".to_owned(), |(name, _)| name.clone())
    }

    fn look(&mut self, at: Instant, what: &Passing<'_>, seen: &mut VecDeque<Observed>) {
        match *what {
            Passing::DatagramSent { from, to, data } => self.asked(at, from, to, data, seen),
            Passing::DatagramRefused { to, error } => seen.push_back(Observed::NotAsked {
                to,
                error: error.to_string(),
            }),
            Passing::DatagramReceived { from, data, .. } => self.heard(at, from, data, seen),
            Passing::Dialling { peer, .. } => seen.push_back(Observed::Dialling { server: peer }),
            Passing::Connected { stream, peer, .. } => {
                let limits = FrameLimits {
                    max_payload: MAX_MESSAGE,
                    extended: true,
                };
                let line = Line {
                    peer,
                    requests: Deframer::new(limits),
                    responses: Deframer::new(limits),
                    garbled: false,
                };
                self.lines.insert(stream, line);
                seen.push_back(Observed::Connected { server: peer });
            }
            Passing::NotConnected { peer, error, .. } => seen.push_back(Observed::NotConnected {
                server: peer,
                error: error.to_string(),
                kind: error.kind(),
            }),
            Passing::Sent { stream, data } => self.requested(at, stream, data, seen),
            Passing::Received { stream, data } => self.responded(stream, data, seen),
            Passing::Ended { stream, error } => {
                if let Some(line) = self.lines.get(&stream) {
                    seen.push_back(Observed::Ended {
                        server: line.peer,
                        error: error.map(ToString::to_string),
                    });
                }
            }
            _ => {}
        }
    }

    fn asked(
        &mut self,
        at: Instant,
        from: Option<SocketAddrV4>,
        to: SocketAddrV4,
        data: &[u8],
        seen: &mut VecDeque<Observed>,
    ) {
        for frame in datagram_frames(data).flatten() {
            if let Ok(udp::Request::Search { cid, name, .. }) = udp::Request::parse(&frame) {
                let name = text(name.as_bytes());
                self.names.insert(cid, (name.clone(), at));
                seen.push_back(Observed::Asked { name, to, from });
            }
        }
    }

    fn heard(&self, at: Instant, from: SocketAddrV4, data: &[u8], seen: &mut VecDeque<Observed>) {
        for frame in datagram_frames(data).flatten() {
            match udp::Response::parse(&frame) {
                Ok(udp::Response::Search {
                    port, server, cid, ..
                }) => {
                    let Some((name, asked)) = self.names.get(&cid) else {
                        continue;
                    };
                    let ip = if server == SAME_ADDRESS {
                        *from.ip()
                    } else {
                        server
                    };
                    seen.push_back(Observed::Answered {
                        name: name.clone(),
                        by: from,
                        server: SocketAddrV4::new(ip, port.0),
                        after: at.saturating_duration_since(*asked),
                    });
                }
                Ok(udp::Response::Beacon { port, server, .. }) => {
                    let ip = if server.is_unspecified() {
                        *from.ip()
                    } else {
                        server
                    };
                    let server = SocketAddrV4::new(ip, port.0);
                    seen.push_back(Observed::Beacon { server });
                }
                _ => {}
            }
        }
    }

    fn requested(
        &mut self,
        at: Instant,
        stream: StreamId,
        data: &[u8],
        seen: &mut VecDeque<Observed>,
    ) {
        let Some(line) = self.lines.get_mut(&stream) else {
            return;
        };
        let mut frames = line.requests.frames(data);
        while let Some(Ok(frame)) = frames.next() {
            let (name, cid) = match tcp::Request::parse(&frame) {
                Ok(tcp::Request::CreateChan { cid, name, .. }) => {
                    let name = text(name.as_bytes());
                    let server = line.peer;
                    seen.push_back(Observed::Creating {
                        name: name.clone(),
                        server,
                    });
                    (name, cid)
                }
                // A name server is asked.
                Ok(tcp::Request::Search { cid, name, .. }) => {
                    let name = text(name.as_bytes());
                    seen.push_back(Observed::Asked {
                        name: name.clone(),
                        to: line.peer,
                        from: None,
                    });
                    (name, cid)
                }
                _ => continue,
            };
            self.names.insert(cid, (name, at));
        }
    }

    fn responded(&mut self, stream: StreamId, data: &[u8], seen: &mut VecDeque<Observed>) {
        let Some(mut line) = self.lines.remove(&stream) else {
            return;
        };
        let mut frames = line.responses.frames(data);
        while let Some(frame) = frames.next() {
            let parsed = frame.ok().map(|frame| {
                let response = tcp::Response::parse(&frame);
                response.is_ok_and(|response| {
                    self.response(line.peer, &response, seen);
                    true
                })
            });
            if parsed != Some(true) && !std::mem::replace(&mut line.garbled, true) {
                seen.push_back(Observed::NotChannelAccess { server: line.peer });
            }
            if parsed.is_none() {
                break;
            }
        }
        self.lines.insert(stream, line);
    }

    fn response(
        &self,
        server: SocketAddrV4,
        response: &tcp::Response<'_>,
        seen: &mut VecDeque<Observed>,
    ) {
        let what = match response {
            tcp::Response::Version { minor, .. } => Observed::Version {
                server,
                minor: *minor,
            },
            tcp::Response::Search {
                port,
                server: named,
                cid,
            } => Observed::Answered {
                name: self.name(*cid),
                by: server,
                server: match *named == SAME_ADDRESS {
                    true => SocketAddrV4::new(*server.ip(), port.0),
                    false => SocketAddrV4::new(*named, port.0),
                },
                after: Duration::ZERO,
            },
            tcp::Response::CreateChan { ty, count, cid, .. } => Observed::Created {
                name: self.name(*cid),
                server,
                native: ty.native().unwrap_or(NativeType::String),
                count: *count,
            },
            tcp::Response::CreateChFail { cid } => Observed::NotCreated {
                name: self.name(*cid),
                server,
            },
            tcp::Response::AccessRights { cid, rights } => Observed::Rights {
                name: self.name(*cid),
                rights: AccessRights::from_bits(*rights),
            },
            tcp::Response::Error { status, body, .. } => Observed::Said {
                server,
                status: *status,
                text: text(body.text.as_bytes()),
            },
            tcp::Response::ReadNotify { count, status, .. } => Observed::Value {
                server,
                status: *status,
                count: *count,
            },
            _ => return,
        };
        seen.push_back(what);
    }
}
