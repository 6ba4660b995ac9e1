//! What was sent and received during one check.

use std::cell::RefCell;
use std::rc::Rc;

use ca_proto::wire::dump::{self, Direction, StreamDump};

/// Bytes that a check keeps for its transcript; what comes later is only counted.
const KEPT: usize = 256 * 1024;
/// Bytes of one entry that the transcript shows in hexadecimal.
const SHOWN: usize = 160;
/// Lines of decoded messages that the transcript shows for one entry.
const LINES: usize = 12;
/// Characters of one decoded message that the transcript shows.
const WIDTH: usize = 200;

/// Where bytes were seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// On the circuit with this number within the check.
    Circuit(usize),
    /// In a datagram.
    Datagram,
    /// In the output of the client program.
    Program,
}

#[derive(Debug)]
enum What {
    Sent(Vec<u8>),
    Received(Vec<u8>),
    Note(String),
}

/// The transcript of the running check, shared by its circuits.
#[derive(Clone, Default, Debug)]
pub(super) struct Log(Rc<RefCell<Entries>>);

#[derive(Default, Debug)]
struct Entries {
    /// What is sent are responses.
    serves: bool,
    all: Vec<(Place, What)>,
    bytes: usize,
    circuits: usize,
}

impl Log {
    /// A transcript of a check that plays a server.
    pub(super) fn of_server() -> Self {
        let entries = Entries {
            serves: true,
            ..Entries::default()
        };
        Self(Rc::new(RefCell::new(entries)))
    }

    /// Forgets everything: a new check begins.
    pub(super) fn clear(&self) {
        *self.0.borrow_mut() = Entries::default();
    }

    /// The number of the next circuit.
    pub(super) fn next_circuit(&self) -> usize {
        let mut entries = self.0.borrow_mut();
        entries.circuits += 1;
        entries.circuits
    }

    /// Notes bytes to the peer.
    pub(super) fn sent(&self, place: Place, bytes: &[u8]) {
        self.bytes(place, bytes, What::Sent);
    }

    /// Notes bytes from the peer.
    pub(super) fn received(&self, place: Place, bytes: &[u8]) {
        self.bytes(place, bytes, What::Received);
    }

    /// Notes an event.
    pub(super) fn note(&self, place: Place, what: &str) {
        let mut entries = self.0.borrow_mut();
        entries.all.push((place, What::Note(what.into())));
    }

    /// Notes what the client program says.
    pub(super) fn say(&self, what: &str) {
        self.note(Place::Program, what);
    }

    fn bytes(&self, place: Place, bytes: &[u8], what: impl Fn(Vec<u8>) -> What) {
        let mut entries = self.0.borrow_mut();
        entries.bytes += bytes.len();
        let entry = if entries.bytes <= KEPT {
            what(bytes.to_vec())
        } else {
            What::Note(format!("{} bytes more, not kept", bytes.len()))
        };
        entries.all.push((place, entry));
    }

    /// The transcript as lines: each entry decoded, then in hexadecimal.
    pub(super) fn lines(&self) -> Vec<String> {
        let entries = self.0.borrow();
        let mut streams: Vec<(usize, StreamDump, StreamDump)> = Vec::new();
        let mut out = Vec::new();
        for (place, what) in &entries.all {
            let (arrow, bytes, received) = match what {
                What::Sent(bytes) => ("->", bytes, false),
                What::Received(bytes) => ("<-", bytes, true),
                What::Note(text) => {
                    out.push(format!("{} {text}", name(*place)));
                    continue;
                }
            };
            let response = received != entries.serves;
            let decoded = match place {
                Place::Datagram | Place::Program => datagram(bytes, response),
                Place::Circuit(number) => stream(&mut streams, *number, bytes, response),
            };
            let more = decoded.len().saturating_sub(LINES);
            for line in decoded.into_iter().take(LINES) {
                out.push(format!("{} {arrow} {}", name(*place), cut(&line)));
            }
            if more > 0 {
                out.push(format!("{} {arrow} {more} messages more", name(*place)));
            }
            out.push(format!("     {}", hex(bytes)));
        }
        out
    }
}

fn name(place: Place) -> String {
    match place {
        Place::Circuit(number) => format!("tcp{number}"),
        Place::Datagram => "udp ".into(),
        Place::Program => "prog".into(),
    }
}

fn datagram(bytes: &[u8], response: bool) -> Vec<String> {
    let direction = if response {
        Direction::UdpResponse
    } else {
        Direction::UdpRequest
    };
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = dump::datagram(&mut line, bytes, direction);
    vec![line]
}

fn stream(
    streams: &mut Vec<(usize, StreamDump, StreamDump)>,
    number: usize,
    bytes: &[u8],
    response: bool,
) -> Vec<String> {
    if !streams.iter().any(|(known, ..)| *known == number) {
        let requests = StreamDump::new(Direction::TcpRequest);
        let responses = StreamDump::new(Direction::TcpResponse);
        streams.push((number, requests, responses));
    }
    let mut lines = Vec::new();
    if let Some((_, requests, responses)) = streams.iter_mut().find(|(n, ..)| *n == number) {
        let dump = if response { responses } else { requests };
        dump.feed(bytes, |line| lines.push(line.to_string()));
    }
    lines
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line.into(),
    }
}

/// Bytes in groups of four, the beginning of long ones.
fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let groups: Vec<String> = shown
        .chunks(4)
        .map(|group| group.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    let mut out = groups.join(" ");
    if bytes.len() > SHOWN {
        out.push_str(&format!(" … {} bytes more", bytes.len() - SHOWN));
    }
    out
}
