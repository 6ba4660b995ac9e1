//! From a byte stream to messages, byte by byte as they were sent.
//!
//! `ca_proto::wire::Deframer` gives decoded messages; a proxy has to pass on the very bytes, also
//! those of headers in a longer form than needed, and of messages that no one should have sent.

use bytes::{Bytes, BytesMut};
use ca_proto::wire::Header;

/// Largest message that is held back until it is complete, in bytes. Larger ones pass through in
/// pieces and have no faults but those of their circuit.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// A piece of a stream.
#[derive(Debug)]
pub(super) enum Piece {
    /// A complete message with its header's length.
    Message(Header, usize, Bytes),
    /// A part of something that is passed on as it is.
    Raw(Bytes),
}

/// The receiving end of a direction.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Beginning of a message whose end has not arrived; at most [`MAX_MESSAGE`].
    buffer: BytesMut,
    /// Bytes of an oversized message that are still to pass.
    raw: u64,
    /// Set once message borders are lost: the payload size is not a multiple of 8.
    lost: bool,
}

impl Input {
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next piece; `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Option<Piece> {
        if self.buffer.is_empty() {
            return None;
        }
        if self.lost {
            return Some(Piece::Raw(self.buffer.split().freeze()));
        }
        if self.raw > 0 {
            let now = self.buffer.len().min(usize::try_from(self.raw).ok()?);
            self.raw -= now as u64;
            return Some(Piece::Raw(self.buffer.split_to(now).freeze()));
        }
        let (header, len) = Header::decode(&self.buffer, true)?;
        if !header.payload_len.is_multiple_of(8) {
            self.lost = true;
            return self.next();
        }
        let total = len + header.payload_len as usize;
        if total > MAX_MESSAGE {
            self.raw = total as u64;
            return self.next();
        }
        if self.buffer.len() < total {
            return None;
        }
        Some(Piece::Message(
            header,
            len,
            self.buffer.split_to(total).freeze(),
        ))
    }

    /// True in the middle of something that is passed on as it is.
    pub(super) const fn is_raw(&self) -> bool {
        self.lost || self.raw > 0
    }

    /// What is left of an incomplete message at the end of the stream.
    pub(super) fn rest(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }
}
