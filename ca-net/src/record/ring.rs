//! The ring: a queue of bytes, and one of what is known of them.

use std::collections::{BTreeMap, VecDeque};

use ca_proto::Instant;

use super::{Event, Frame, Keep, Line, Recording, What};
use crate::tap::{Passing, StreamId};

/// Bytes of the text of an error that are kept.
const MAX_ERROR: usize = 200;

/// The bytes of all frames, in a buffer that is never made anew; pages of it that were never written cost
/// nothing.
#[derive(Debug)]
struct Bytes {
    buffer: Box<[u8]>,
    /// Place of the oldest.
    begin: usize,
    len: usize,
}

impl Bytes {
    fn new(capacity: usize) -> Self {
        Self {
            buffer: vec![0; capacity].into_boxed_slice(),
            begin: 0,
            len: 0,
        }
    }

    const fn room(&self) -> usize {
        self.buffer.len() - self.len
    }

    /// Appends; there is room.
    // hot: each read and write.
    #[inline]
    fn push(&mut self, data: &[u8]) {
        let mut at = self.begin + self.len;
        if at >= self.buffer.len() {
            at -= self.buffer.len();
        }
        if let Some(place) = self.buffer.get_mut(at..at + data.len()) {
            place.copy_from_slice(data);
        } else {
            let (front, rest) = data.split_at(self.buffer.len() - at);
            self.buffer[at..].copy_from_slice(front);
            self.buffer[..rest.len()].copy_from_slice(rest);
        }
        self.len += data.len();
    }

    fn forget(&mut self, bytes: usize) {
        self.begin += bytes;
        if self.begin >= self.buffer.len() {
            self.begin -= self.buffer.len();
        }
        self.len -= bytes;
    }

    fn to_vec(&self) -> Vec<u8> {
        let end = self.begin + self.len;
        match self.buffer.get(self.begin..end) {
            Some(all) => all.to_vec(),
            None => {
                let front = &self.buffer[self.begin..];
                let rest = &self.buffer[..self.len - front.len()];
                [front, rest].concat()
            }
        }
    }
}

/// Frames that there is a place for from the beginning: those of [`Keep::default`].
const AT_FIRST: usize = (4 << 20) / size_of::<Frame>();

#[derive(Debug)]
pub(super) struct Ring {
    of_each: usize,
    /// Age of the oldest frame, in nanoseconds.
    age: u64,
    /// Frames that are kept, so that those without bytes are bounded too.
    max_frames: usize,
    frames: VecDeque<Frame>,
    bytes: Bytes,
    /// Connections that are open, or of which something is kept.
    lines: BTreeMap<u64, Line>,
    /// The closed ones of them, each behind the frames that were pushed before its end, so that forgetting a frame
    /// looks for no connection.
    closed: VecDeque<(u64, u64)>,
    forgotten: u64,
}

impl Ring {
    pub(super) fn new(keep: Keep) -> Self {
        let bytes = keep.bytes.min(Keep::MAX_KEPT);
        let max_frames = bytes / size_of::<Frame>();
        Self {
            of_each: keep.of_each.min(bytes),
            age: u64::try_from(keep.age.as_nanos()).unwrap_or(u64::MAX),
            max_frames,
            // Growing would move all frames, several times. Who keeps more than by default lets it grow: that much
            // may never come.
            frames: VecDeque::with_capacity(max_frames.min(AT_FIRST)),
            bytes: Bytes::new(bytes),
            lines: BTreeMap::new(),
            closed: VecDeque::new(),
            forgotten: 0,
        }
    }

    // hot: each read and write. One place pushes all that is frequent, so that the compiler puts it here.
    #[inline]
    pub(super) fn take(&mut self, at: Instant, what: &Passing<'_>) {
        let (what, data) = match *what {
            Passing::Sent { stream, data } => (self.on_line(stream, Event::Sent, data), data),
            Passing::Received { stream, data } => {
                (self.on_line(stream, Event::Received, data), data)
            }
            Passing::DatagramSent { from, to, data } => {
                (Some(What::DatagramSent { from, to }), data)
            }
            Passing::DatagramReceived { from, to, data } => {
                (Some(What::DatagramReceived { from, to }), data)
            }
            _ => return self.rare(at, what),
        };
        if let Some(what) = what {
            self.push(at, what, data);
        }
    }

    #[cold]
    fn rare(&mut self, at: Instant, what: &Passing<'_>) {
        match *what {
            Passing::DatagramRefused { to, error } => {
                let error = text(error);
                self.push_rare(at, What::DatagramRefused { to }, error.as_bytes());
            }
            Passing::Dialling { stream, peer } => {
                self.lines.insert(stream.0, Line::new(peer));
                self.tell(at, stream, Event::Dialling, &[]);
            }
            Passing::Connected {
                stream,
                peer,
                local,
                accepted,
            } => {
                let line = self
                    .lines
                    .entry(stream.0)
                    .or_insert_with(|| Line::new(peer));
                (line.local, line.accepted) = (local, accepted);
                self.tell(at, stream, Event::Connected, &[]);
            }
            Passing::NotConnected { stream, error, .. } => {
                self.tell(at, stream, Event::NotConnected, text(error).as_bytes());
                self.close(stream);
            }
            Passing::Ended { stream, error } => match error {
                Some(error) => self.tell(at, stream, Event::Lost, text(error).as_bytes()),
                None => self.tell(at, stream, Event::Ended, &[]),
            },
            Passing::Closed { stream } => {
                self.tell(at, stream, Event::Closed, &[]);
                self.close(stream);
            }
            _ => {}
        }
    }

    /// Something other than bytes happens on a connection.
    fn tell(&mut self, at: Instant, stream: StreamId, event: Event, data: &[u8]) {
        if let Some(what) = self.on_line(stream, event, data) {
            self.push_rare(at, what, data);
        }
    }

    /// What passes on a connection; `None` if that is not known.
    #[inline]
    fn on_line(&mut self, stream: StreamId, event: Event, data: &[u8]) -> Option<What> {
        let line = self.lines.get_mut(&stream.0)?;
        let what = What::Line {
            line: stream.0,
            sent: line.sent,
            received: line.received,
            event,
        };
        match event {
            Event::Sent => line.sent = line.sent.wrapping_add(data.len() as u32),
            Event::Received => line.received = line.received.wrapping_add(data.len() as u32),
            _ => {}
        }
        Some(what)
    }

    #[inline(never)]
    fn push_rare(&mut self, at: Instant, what: What, data: &[u8]) {
        self.push(at, what, data);
    }

    #[inline]
    fn push(&mut self, at: Instant, what: What, data: &[u8]) {
        let kept = data.get(..self.of_each).unwrap_or(data);
        self.make_room(at, kept.len());
        self.bytes.push(kept);
        self.frames.push_back(Frame {
            at,
            what,
            // No more than a read or write moves, below 4 GiB.
            kept: kept.len() as u32,
            len: data.len() as u32,
        });
    }

    /// Forgets the oldest until so many bytes fit.
    #[inline]
    fn make_room(&mut self, now: Instant, bytes: usize) {
        let since = now.as_nanos().saturating_sub(self.age);
        while let Some(oldest) = self.frames.front() {
            let fits = bytes <= self.bytes.room() && self.frames.len() < self.max_frames;
            if fits && oldest.at.as_nanos() >= since {
                return;
            }
            self.bytes.forget(oldest.kept as usize);
            self.frames.pop_front();
            self.forgotten += 1;
            if (self.closed.front()).is_some_and(|&(end, _)| end <= self.forgotten) {
                self.forget_closed();
            }
        }
    }

    /// Forgets connections of which nothing is kept.
    #[cold]
    fn forget_closed(&mut self) {
        while let Some(&(end, id)) = self.closed.front()
            && end <= self.forgotten
        {
            self.closed.pop_front();
            self.lines.remove(&id);
        }
    }

    /// Nothing more comes of a connection.
    fn close(&mut self, stream: StreamId) {
        if self.lines.contains_key(&stream.0) {
            let end = self.forgotten + self.frames.len() as u64;
            self.closed.push_back((end, stream.0));
            self.forget_closed();
        }
    }

    pub(super) fn copy(&mut self, now: Instant) -> Recording {
        // What has become too old, too.
        self.make_room(now, 0);
        Recording {
            frames: self.frames.iter().copied().collect(),
            bytes: self.bytes.to_vec(),
            lines: self.lines.clone(),
            forgotten: self.forgotten,
            ..Recording::default()
        }
    }

    /// Connections that are known, and frames.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize, usize) {
        (self.lines.len(), self.frames.len(), self.bytes.len)
    }
}

impl Line {
    const fn new(peer: std::net::SocketAddrV4) -> Self {
        Self {
            peer,
            local: None,
            accepted: false,
            sent: 0,
            received: 0,
        }
    }
}

fn text(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    let mut end = MAX_ERROR.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
