//! Recordings as lines for people.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddrV4;

use ca_proto::Timestamp;
use ca_proto::wire::dump::{self, Direction, StreamDump};

use super::resync::first_message;
use super::{Event, Frame, Line, Recording, Side, What};

pub(super) fn write(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    if recording.forgotten > 0 {
        let forgotten = recording.forgotten;
        writeln!(
            out,
            "# what came before is forgotten: {forgotten} reads, writes and datagrams"
        )?;
    }
    let mut lines = Lines {
        out,
        recording,
        streams: BTreeMap::new(),
    };
    for (frame, data) in recording.frames() {
        lines.frame(frame, data)?;
    }
    Ok(())
}

/// One direction of a connection.
struct Stream {
    dump: StreamDump,
    /// Position of the byte that comes next.
    next: u32,
}

struct Lines<'a, W> {
    out: &'a mut W,
    recording: &'a Recording,
    /// By connection and whether we send.
    streams: BTreeMap<(u64, bool), Stream>,
}

impl<W: Write> Lines<'_, W> {
    fn frame(&mut self, frame: &Frame, data: &[u8]) -> io::Result<()> {
        let server = self.recording.side == Some(Side::Server);
        match frame.what {
            What::DatagramSent { from, to } => {
                let direction = match server {
                    true => Direction::UdpResponse,
                    false => Direction::UdpRequest,
                };
                self.datagram(frame, (from, Some(to)), direction, data)
            }
            What::DatagramReceived { from, to } => {
                let direction = match server {
                    true => Direction::UdpRequest,
                    false => Direction::UdpResponse,
                };
                self.datagram(frame, (Some(from), to), direction, data)
            }
            What::DatagramRefused { to } => {
                let why = String::from_utf8_lossy(data);
                let what = format_args!("!the system does not take a datagram: {why}");
                self.line(frame, (None, Some(to)), "udp", &what)
            }
            What::Line {
                line: id,
                sent,
                received,
                event,
            } => {
                let Some(line) = self.recording.lines.get(&id) else {
                    return Ok(());
                };
                match event {
                    Event::Sent => self.stream(frame, (id, line), (true, sent), data),
                    Event::Received => self.stream(frame, (id, line), (false, received), data),
                    _ => self.event(frame, line, event, data),
                }
            }
        }
    }

    fn datagram(
        &mut self,
        frame: &Frame,
        between: (Option<SocketAddrV4>, Option<SocketAddrV4>),
        direction: Direction,
        data: &[u8],
    ) -> io::Result<()> {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = dump::datagram(&mut text, data, direction);
        self.line(frame, between, "udp", &text)
    }

    fn event(&mut self, frame: &Frame, line: &Line, event: Event, data: &[u8]) -> io::Result<()> {
        let why = String::from_utf8_lossy(data);
        let (ours, what) = match event {
            Event::Dialling => (true, "connecting".to_owned()),
            Event::Connected if line.accepted => (false, "connected".to_owned()),
            Event::Connected => (true, "connected".to_owned()),
            Event::NotConnected => (true, format!("!no connection: {why}")),
            Event::Ended => (false, "ended".to_owned()),
            Event::Lost => (false, format!("!lost: {why}")),
            Event::Closed | Event::Sent | Event::Received => (true, "closed".to_owned()),
        };
        self.line(frame, between(line, ours), "tcp", &what)
    }

    fn stream(
        &mut self,
        frame: &Frame,
        (id, line): (u64, &Line),
        (ours, position): (bool, u32),
        mut data: &[u8],
    ) -> io::Result<()> {
        let direction = match ours == line.accepted {
            true => Direction::TcpResponse,
            false => Direction::TcpRequest,
        };
        let known = self.streams.remove(&(id, ours));
        let known = known.filter(|stream| stream.next == position);
        let mut dump = known.map(|stream| stream.dump);
        if dump.is_none() && position == 0 {
            dump = Some(StreamDump::new(direction));
        }
        let mut skipped = 0;
        let mut dump = match dump {
            Some(dump) => dump,
            None => {
                skipped = first_message(data, position).unwrap_or(data.len());
                data = data.get(skipped..).unwrap_or_default();
                StreamDump::new(direction)
            }
        };
        if skipped > 0 {
            let what = format_args!("!{skipped} bytes of a message whose begin is not kept");
            self.line(frame, between(line, ours), "tcp", &what)?;
        }
        let found = !data.is_empty();
        let mut result = Ok(());
        dump.feed(data, |message| {
            if result.is_ok() {
                result = self.line(frame, between(line, ours), "tcp", message);
            }
        });
        result?;
        if frame.kept < frame.len {
            let (rest, begun) = (frame.len - frame.kept, dump.buffered());
            let what = format_args!(
                "!{rest} bytes are not kept, behind {begun} of a message that is not shown"
            );
            return self.line(frame, between(line, ours), "tcp", &what);
        }
        // Where no message begins, the next read is looked through again.
        if found || frame.len == 0 {
            let next = position.wrapping_add(frame.len);
            self.streams.insert((id, ours), Stream { dump, next });
        }
        Ok(())
    }

    fn line(
        &mut self,
        frame: &Frame,
        (from, to): (Option<SocketAddrV4>, Option<SocketAddrV4>),
        transport: &str,
        what: &dyn Display,
    ) -> io::Result<()> {
        let at = Timestamp::from_unix_nanos(self.recording.unix_nanos(frame.at).into());
        let named = |address: Option<SocketAddrV4>| {
            address.map_or_else(|| "?".to_owned(), |address| address.to_string())
        };
        let (from, to) = (named(from), named(to));
        writeln!(self.out, "{at} {transport} {from} > {to} {what}")
    }
}

/// Sender and receiver.
fn between(line: &Line, ours: bool) -> (Option<SocketAddrV4>, Option<SocketAddrV4>) {
    match ours {
        true => (line.local, Some(line.peer)),
        false => (Some(line.peer), line.local),
    }
}
