//! One readable line per frame, also for frames that no one should have sent.

use core::fmt;

use super::frame::{Deframer, Frame, FrameError, Limits, datagram_frames};
use super::message::{tcp, udp};

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

impl fmt::Display for DumpFrame<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.frame;
        let error = match self.direction {
            Direction::TcpRequest => match tcp::Request::parse(frame) {
                Ok(message) => return message.fmt(f),
                Err(error) => error,
            },
            Direction::TcpResponse => match tcp::Response::parse(frame) {
                Ok(message) => return message.fmt(f),
                Err(error) => error,
            },
            Direction::UdpRequest => match udp::Request::parse(frame) {
                Ok(message) => return message.fmt(f),
                Err(error) => error,
            },
            Direction::UdpResponse => match udp::Response::parse(frame) {
                Ok(message) => return message.fmt(f),
                Err(error) => error,
            },
        };
        let h = &frame.header;
        write!(
            f,
            "{} type={} count={} p1={:#x} p2={:#x} !{error}",
            h.command, h.data_type, h.count, h.p1, h.p2
        )
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
}

impl StreamDump {
    /// A dump of a stream from its start.
    pub fn new(direction: Direction) -> Self {
        let limits = Limits {
            max_payload: u32::MAX,
            extended: true,
        };
        Self {
            deframer: Deframer::new(limits),
            direction,
        }
    }

    /// Calls `line` with each frame that the chunk completes, or with what is wrong with it.
    pub fn feed(&mut self, chunk: &[u8], mut line: impl FnMut(&dyn fmt::Display)) {
        let mut frames = self.deframer.frames(chunk);
        while let Some(frame) = frames.next() {
            match frame {
                Ok(frame) => line(&DumpFrame {
                    frame: &frame,
                    direction: self.direction,
                }),
                Err(error @ (FrameError::Misaligned(_) | FrameError::TooLarge(_))) => {
                    line(&format_args!("!{error}"));
                }
                Err(error) => line(&format_args!("!{error}")),
            }
        }
    }

    /// Bytes of an incomplete frame at the end.
    pub fn buffered(&self) -> usize {
        self.deframer.buffered()
    }
}
