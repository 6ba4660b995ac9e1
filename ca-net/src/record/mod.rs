//! A flight recorder: the last frames that passed, in bounded memory.
//!
//! A [`Recorder`] is an [`Observer`] of a [`Tap`](crate::tap::Tap): it copies what passes into a ring, which
//! forgets the oldest. When something has happened, [`Recorder::recording`] gives what is in the ring, to be
//! written as [pcapng](Recording::write_pcapng), which Wireshark reads, or as
//! [text](Recording::write_text).
//!
//! # Examples
//! ```
//! use std::sync::Arc;
//!
//! use ca_net::record::{Keep, Recorder, Side};
//! use ca_net::tap::Tap;
//! use ca_net::{Runtime, TokioRuntime};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
//! let recorder = Arc::new(Recorder::new(runtime.clone(), Side::Server, Keep::default()));
//! let runtime = Arc::new(Tap::new(runtime, recorder.clone()));
//! // Serve an IOC on `runtime`; then, when something has gone wrong:
//! let mut file = Vec::new();
//! recorder.recording().write_pcapng(&mut file)?;
//! # let _ = runtime.now();
//! # Ok(())
//! # }
//! ```

mod lines;
mod pcapng;
mod resync;
mod ring;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ca_proto::{Instant, Timestamp};

use crate::runtime::Runtime;
use crate::tap::{Observer, Passing};
use ring::Ring;

/// How much a [`Recorder`] keeps. The older ones of two frames that do not both fit are forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Keep {
    /// Bytes of frames, [`MAX_KEPT`](Self::MAX_KEPT) at most. What is known of each frame (times, addresses) takes as much
    /// again at most.
    pub bytes: usize,
    /// Age of the oldest frame.
    pub age: Duration,
    /// Bytes of what was read or written at once; of more the rest is left out.
    pub of_each: usize,
}

impl Default for Keep {
    /// 4 MiB of any age, 64 KiB of each.
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            age: Duration::MAX,
            of_each: 64 << 10,
        }
    }
}

impl Keep {
    /// Bytes that are kept at most, whatever was asked for: their place is made at the beginning.
    pub const MAX_KEPT: usize = 1 << 30;

    /// Keeps so many bytes.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Keeps what is younger.
    #[must_use]
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Keeps so many bytes of what was read or written at once.
    #[must_use]
    pub const fn of_each(mut self, bytes: usize) -> Self {
        self.of_each = bytes;
        self
    }
}

/// Which end of Channel Access is recorded; the text of datagrams depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// A client: it sends requests.
    Client,
    /// An IOC: it receives requests.
    Server,
}

/// Keeps the last frames that pass a [`Tap`](crate::tap::Tap).
///
/// For each read or write it takes a lock that nobody else holds for longer than it takes to copy the ring, and
/// copies the bytes.
pub struct Recorder {
    clock: Arc<dyn Runtime>,
    side: Side,
    ring: Mutex<Ring>,
}

impl Recorder {
    /// An empty recorder; the runtime is asked for the time of day when a recording is taken.
    pub fn new(clock: Arc<dyn Runtime>, side: Side, keep: Keep) -> Self {
        Self {
            clock,
            side,
            ring: Mutex::new(Ring::new(keep)),
        }
    }

    /// What is kept at this moment. It is a copy: recording goes on.
    pub fn recording(&self) -> Recording {
        let mut recording = self.lock().copy(self.clock.now());
        recording.clock = Some((self.clock.now(), self.clock.wall()));
        recording.side = Some(self.side);
        recording
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl Observer for Recorder {
    fn passes(&self, at: Instant, what: &Passing<'_>) {
        self.lock().take(at, what);
    }
}

/// What was recorded: a copy of the ring at one moment.
#[derive(Clone, Default)]
pub struct Recording {
    frames: Vec<Frame>,
    bytes: Vec<u8>,
    lines: BTreeMap<u64, Line>,
    /// A moment on both clocks.
    clock: Option<(Instant, Timestamp)>,
    side: Option<Side>,
    forgotten: u64,
}

impl Recording {
    /// Number of reads, writes, datagrams, and begins and ends of connections.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing has passed.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many are forgotten, since the recorder was made.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Writes a file in the pcapng format (draft-ietf-opsawg-pcapng), which Wireshark and tcpdump read: one packet
    /// for each datagram and each read or write, with headers of Ethernet, IP, UDP and TCP made for it. Sequence
    /// numbers count the bytes of a connection from 0, and go on where bytes are left out. What has no packet, such
    /// as why a connection was lost, is a comment.
    ///
    /// # Errors
    /// Those of the output, such as of a full disk.
    pub fn write_pcapng(&self, out: &mut impl Write) -> io::Result<()> {
        pcapng::write(self, out)
    }

    /// Writes a line for each message, with its time (UTC) and peers, in the order in which they passed.
    ///
    /// # Errors
    /// Those of the output, such as of a full disk.
    pub fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        lines::write(self, out)
    }

    /// Nanoseconds since 1970 of a moment.
    fn unix_nanos(&self, at: Instant) -> u64 {
        let Some((now, wall)) = self.clock else {
            return at.as_nanos();
        };
        let unix = wall.to_unix().saturating_sub(now - at);
        u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Each frame with its bytes.
    fn frames(&self) -> impl Iterator<Item = (&Frame, &[u8])> {
        let mut rest = &self.bytes[..];
        self.frames.iter().map(move |frame| {
            let (data, behind) = rest.split_at(rest.len().min(frame.kept as usize));
            rest = behind;
            (frame, data)
        })
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("frames", &self.frames.len())
            .field("bytes", &self.bytes.len())
            .field("forgotten", &self.forgotten)
            .finish()
    }
}

/// Something that passed.
#[derive(Clone, Copy, Debug)]
struct Frame {
    at: Instant,
    what: What,
    /// Bytes that are kept of it.
    kept: u32,
    /// Bytes that it had.
    len: u32,
}

/// What passed; the bytes of errors are their text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    DatagramSent {
        from: Option<SocketAddrV4>,
        to: SocketAddrV4,
    },
    DatagramRefused {
        to: SocketAddrV4,
    },
    DatagramReceived {
        from: SocketAddrV4,
        to: Option<SocketAddrV4>,
    },
    Line {
        line: u64,
        /// Bytes that this side had sent and received on the connection before.
        sent: u32,
        received: u32,
        event: Event,
    },
}

/// What passed on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Dialling,
    Connected,
    NotConnected,
    Sent,
    Received,
    /// The peer has ended it.
    Ended,
    /// It was lost.
    Lost,
    Closed,
}

/// A connection.
#[derive(Clone, Debug)]
struct Line {
    peer: SocketAddrV4,
    local: Option<SocketAddrV4>,
    /// The peer began it.
    accepted: bool,
    /// Bytes so far, which wrap as TCP's sequence numbers do.
    sent: u32,
    received: u32,
}
