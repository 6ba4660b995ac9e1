//! One readable line per frame, also for frames that no one should have sent.

use core::fmt;

use super::frame::{Deframer, Frame, FrameLimits, datagram_frames};
use super::message::{ParseError, tcp, udp};

/// Where a frame was seen, which decides how its fields are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// On a circuit, from the client.
    TcpRequest,
    /// On a circuit, from the server.
    TcpResponse,
    /// In a datagram, from a client, or a beacon from a server.
    UdpRequest,
    /// In a datagram, to a client.
    UdpResponse,
}

/// Displays a frame in one line: `READ_NOTIFY ty=DBR_TIME_DOUBLE count=1 sid=4 ioid=7`.
#[derive(Debug)]
pub struct DumpFrame<'a, 'b> {
    /// The frame.
    pub frame: &'a Frame<'b>,
    /// How to read it.
    pub direction: Direction,
}

impl DumpFrame<'_, '_> {
    /// True if the payload cannot be what the command says; the line then ends in `!` and why.
    pub fn is_malformed(&self) -> bool {
        self.with_parsed(|message| message.is_err())
    }

    fn with_parsed<T>(&self, see: impl FnOnce(Result<&dyn fmt::Display, ParseError>) -> T) -> T {
        fn erase<M: fmt::Display, T>(
            parsed: Result<M, ParseError>,
            see: impl FnOnce(Result<&dyn fmt::Display, ParseError>) -> T,
        ) -> T {
            match parsed {
                Ok(message) => see(Ok(&message)),
                Err(error) => see(Err(error)),
            }
        }
        match self.direction {
            Direction::TcpRequest => erase(tcp::Request::parse(self.frame), see),
            Direction::TcpResponse => erase(tcp::Response::parse(self.frame), see),
            Direction::UdpRequest => erase(udp::Request::parse(self.frame), see),
            Direction::UdpResponse => erase(udp::Response::parse(self.frame), see),
        }
    }
}

impl fmt::Display for DumpFrame<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let h = &self.frame.header;
        self.with_parsed(|message| match message {
            Ok(message) => message.fmt(f),
            Err(error) => write!(
                f,
                "{} type={} count={} p1={:#x} p2={:#x} !{error}",
                h.command, h.data_type, h.count, h.p1, h.p2
            ),
        })
    }
}

/// Writes every message of a datagram, separated by ` | `; what is malformed is named after `!`.
///
/// # Errors
/// Those of the writer.
pub fn datagram(out: &mut impl fmt::Write, data: &[u8], direction: Direction) -> fmt::Result {
    if data.is_empty() {
        return out.write_str("(empty)");
    }
    let mut separator = "";
    for frame in datagram_frames(data) {
        out.write_str(separator)?;
        separator = " | ";
        match frame {
            Ok(frame) => write!(
                out,
                "{}",
                DumpFrame {
                    frame: &frame,
                    direction
                }
            )?,
            Err(error) => write!(out, "!{error}")?,
        }
    }
    Ok(())
}

/// Dumps one direction of a byte stream, chunk by chunk.
#[derive(Debug)]
pub struct StreamDump {
    deframer: Deframer,
    direction: Direction,
    malformed: usize,
}

impl StreamDump {
    /// A dump of a stream from its start.
    pub fn new(direction: Direction) -> Self {
        let limits = FrameLimits {
            max_payload: u32::MAX,
            extended: true,
        };
        Self {
            deframer: Deframer::new(limits),
            direction,
            malformed: 0,
        }
    }

    /// Calls `line` with each frame that the chunk completes, or with what is wrong with it.
    pub fn feed(&mut self, chunk: &[u8], mut line: impl FnMut(&dyn fmt::Display)) {
        let mut frames = self.deframer.frames(chunk);
        while let Some(frame) = frames.next() {
            match frame {
                Ok(frame) => {
                    let frame = DumpFrame {
                        frame: &frame,
                        direction: self.direction,
                    };
                    self.malformed += usize::from(frame.is_malformed());
                    line(&frame);
                }
                Err(error) => {
                    self.malformed += 1;
                    line(&format_args!("!{error}"));
                }
            }
        }
    }

    /// Frames so far that no one should have sent.
    pub const fn malformed(&self) -> usize {
        self.malformed
    }

    /// Bytes of an incomplete frame at the end.
    pub fn buffered(&self) -> usize {
        self.deframer.buffered()
    }
}
