//! From a byte stream to frames.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::Command;
use super::header::{EXTENDED_LEN, Header, STANDARD_LEN};

/// Payloads of at least this many bytes that are not complete in one chunk get a buffer of their
/// own, into which the driver reads without a copy and which is then shared with the user.
const OWN_BODY_FROM: usize = 16 * 1024;
/// Buffer that is kept for frames cut in two; most are small.
const KEEP_TAIL: usize = 2048;
/// A body's buffer is allocated at once up to this size, or the size of the largest one that came
/// before; beyond it grows with the bytes that arrive: a forged header costs the sender as many
/// bytes as it costs us.
const BODY_STEP: usize = 4 * 1024 * 1024;

/// What a [`Deframer`] accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLimits {
    /// Largest accepted payload in bytes; larger ones are skipped and reported.
    pub max_payload: u32,
    /// Whether the peer may send 24-byte headers (4.9; a client accepts them from any server, as
    /// the reference client does).
    pub extended: bool,
}

/// A complete message: header and payload.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// The decoded header.
    pub header: Header,
    body: Body<'a>,
}

#[derive(Clone, Debug)]
enum Body<'a> {
    Borrowed(&'a [u8]),
    Owned(Bytes),
}

impl<'a> Frame<'a> {
    /// A frame around a payload that is already at hand.
    #[inline]
    pub fn new(header: Header, payload: &'a [u8]) -> Self {
        Self {
            header,
            body: Body::Borrowed(payload),
        }
    }

    /// A frame that owns its payload.
    pub fn owned(header: Header, payload: Bytes) -> Self {
        Self {
            header,
            body: Body::Owned(payload),
        }
    }

    /// The payload, padding included.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        match &self.body {
            Body::Borrowed(payload) => payload,
            Body::Owned(payload) => payload,
        }
    }

    /// The payload to keep: shared when the frame owns a buffer of its own, else copied, so that a
    /// small value never keeps a receive buffer alive.
    pub fn to_bytes(&self) -> Bytes {
        match &self.body {
            Body::Borrowed(payload) => Bytes::copy_from_slice(payload),
            Body::Owned(payload) => payload.clone(),
        }
    }

    /// The buffer behind the payload, when the frame owns one.
    #[inline]
    pub fn shared(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Borrowed(_) => None,
            Body::Owned(payload) => Some(payload),
        }
    }
}

/// What is wrong with a frame before its content is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload size is not a multiple of 8: framing is lost, the circuit has to be closed.
    #[error("{} announces {} bytes of payload, not a multiple of 8", .0.command, .0.payload_len)]
    Misaligned(Header),
    /// The payload is larger than the limit; its bytes are skipped, the stream goes on.
    #[error("{} announces {} bytes of payload, above the limit", .0.command, .0.payload_len)]
    TooLarge(Header),
    /// A datagram ends inside this message; only datagrams have this error.
    #[error("the datagram ends inside a message")]
    Truncated,
}

/// Splits a byte stream into frames, copying nothing but the one frame that a chunk cuts in two.
///
/// Hand each received chunk to [`frames`](Self::frames). While [`body`](Self::body) returns a
/// buffer, a driver may read into it instead, then call `frames` with an empty chunk.
#[derive(Debug)]
pub struct Deframer {
    limits: FrameLimits,
    /// Beginning of a frame whose end has not arrived.
    tail: BytesMut,
    body: Option<LargeBody>,
    /// Length of the largest payload that arrived in a buffer of its own.
    largest: u32,
    /// Bytes of an over-limit payload still to be skipped.
    skip: u64,
    /// Set once framing is lost; nothing is decoded any more.
    lost: bool,
    /// `tail` holds the frame handed out last and is to be emptied.
    tail_used: bool,
}

#[derive(Debug)]
struct LargeBody {
    header: Header,
    buffer: BytesMut,
}

impl LargeBody {
    fn missing(&self) -> usize {
        self.header.payload_len as usize - self.buffer.len()
    }
}

impl Deframer {
    /// A deframer at the start of a stream.
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            tail: BytesMut::new(),
            body: None,
            largest: 0,
            skip: 0,
            lost: false,
            tail_used: false,
        }
    }

    /// Changes the limits from the next header on: a server learns the peer's version from the
    /// stream itself.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// The buffer of a large payload that is being received, limited to its missing bytes.
    pub fn body(&mut self) -> Option<Limit<&mut BytesMut>> {
        let body = self.body.as_mut()?;
        let missing = body.missing();
        if missing == 0 {
            return None;
        }
        if body.buffer.capacity() == body.buffer.len() {
            body.buffer
                .reserve(missing.min(BODY_STEP.max(body.buffer.len())));
        }
        let room = body.buffer.capacity() - body.buffer.len();
        Some((&mut body.buffer).limit(missing.min(room)))
    }

    /// True while a large payload is incomplete.
    pub const fn is_inside_body(&self) -> bool {
        self.body.is_some()
    }

    /// The command of a message that is only begun, as soon as that is known, and as many of the first
    /// 16 bytes of the message as are at hand.
    pub fn begun(&self) -> Option<(Command, impl Iterator<Item = u8> + use<>)> {
        let (header, len) = match &self.body {
            Some(LargeBody { header, .. }) => (header.standard_bytes(), STANDARD_LEN),
            None if self.tail_used || self.tail.len() < 2 => return None,
            None => {
                let mut bytes = [0; STANDARD_LEN];
                let len = self.tail.len().min(STANDARD_LEN);
                bytes[..len].copy_from_slice(&self.tail[..len]);
                (bytes, len)
            }
        };
        let [high, low, ..] = header;
        let command = Command(u16::from_be_bytes([high, low]));
        Some((command, header.into_iter().take(len)))
    }

    /// Bytes held back because their frame is incomplete.
    pub fn buffered(&self) -> usize {
        let tail = if self.tail_used { 0 } else { self.tail.len() };
        tail + self.body.as_ref().map_or(0, |body| body.buffer.len())
    }

    /// Bytes of the buffers that it has allocated for incomplete frames.
    #[inline]
    pub fn held(&self) -> usize {
        self.tail.capacity() + (self.body.as_ref()).map_or(0, |body| body.buffer.capacity())
    }

    /// Gives up the large payload that is being received: the rest of it is skipped. Returns the
    /// header of its message, if there is one.
    pub fn abandon(&mut self) -> Option<Header> {
        let body = self.body.take()?;
        self.skip = body.missing() as u64;
        Some(body.header)
    }

    #[inline]
    fn is_between_frames(&self) -> bool {
        !self.lost && self.skip == 0 && self.body.is_none() && self.tail.is_empty()
    }

    /// Takes a chunk and gives the frames that are complete with it.
    ///
    /// The returned [`Frames`] must be drained until `None`; a rest that is dropped unread is
    /// lost. Call again with the next chunk.
    pub fn frames<'d, 'c>(&'d mut self, chunk: &'c [u8]) -> Frames<'d, 'c> {
        Frames {
            between: self.is_between_frames(),
            deframer: self,
            chunk,
        }
    }
}

/// The frames completed by one chunk; a lending iterator.
#[derive(Debug)]
pub struct Frames<'d, 'c> {
    deframer: &'d mut Deframer,
    chunk: &'c [u8],
    /// Nothing is held back: the chunk begins with a header.
    between: bool,
}

/// Where the next frame is, decided before anything is borrowed for it.
enum Step {
    Starved,
    Tail(Header, usize),
    Chunk(Header, usize),
    Own(Header, Bytes),
    Bad(FrameError),
}

impl<'c> Frames<'_, 'c> {
    /// Bytes of the chunk not looked at yet.
    pub fn remaining(&self) -> usize {
        self.chunk.len()
    }

    /// The bytes of the chunk not looked at yet. They begin with a header, unless a frame is only
    /// begun or skipped.
    pub const fn rest(&self) -> &[u8] {
        self.chunk
    }

    /// The header of the next frame, also of one that an earlier chunk has begun, once it is complete.
    pub fn next_header(&self) -> Option<Header> {
        let deframer = &*self.deframer;
        let extended = deframer.limits.extended;
        if self.between || (deframer.tail_used && deframer.body.is_none()) {
            return Some(Header::decode(self.chunk, extended)?.0);
        }
        if deframer.lost || deframer.skip > 0 {
            return None;
        }
        if let Some(body) = &deframer.body {
            return Some(body.header);
        }
        let mut bytes = [0; EXTENDED_LEN];
        let begun = deframer.tail.len().min(EXTENDED_LEN);
        let len = (begun + self.chunk.len()).min(EXTENDED_LEN);
        bytes[..begun].copy_from_slice(&deframer.tail[..begun]);
        bytes[begun..len].copy_from_slice(&self.chunk[..len - begun]);
        Some(Header::decode(&bytes[..len], extended)?.0)
    }

    /// Changes the limits for the headers that follow, also within this chunk: `CREATE_CHAN` and
    /// `VERSION` change the peer's version in mid-stream.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.deframer.set_limits(limits);
    }

    /// The next complete frame; `None` when the chunk is used up.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] once per message above the limit (its payload is skipped);
    /// [`FrameError::Misaligned`] once, after which nothing more is decoded.
    #[allow(clippy::should_implement_trait)] // The frame borrows from `self`.
    #[inline]
    pub fn next(&mut self) -> Option<Result<Frame<'_>, FrameError>> {
        match self.next_whole() {
            Some((header, payload)) => Some(Ok(Frame::new(header, payload))),
            // hot: nearly every chunk ends with its last frame.
            None if self.between && self.chunk.is_empty() => None,
            None => self.next_slow(),
        }
    }

    /// Header and payload of the next frame if nothing is held back, the whole of it lies in the
    /// chunk, and it is within the limits; else there may be one that [`next`](Self::next) gives.
    /// For those who go through thousands of small frames.
    // hot: every message.
    #[inline]
    pub fn next_whole(&mut self) -> Option<(Header, &'c [u8])> {
        if !self.between {
            return None;
        }
        let (header, len) = Header::decode(self.chunk, self.deframer.limits.extended)?;
        let (message, rest) = (self.chunk).split_at_checked(len + header.payload_len as usize)?;
        let (_, payload) = message.split_at_checked(len)?;
        if !header.payload_len.is_multiple_of(8)
            || header.payload_len > self.deframer.limits.max_payload
        {
            return None;
        }
        self.chunk = rest;
        Some((header, payload))
    }

    /// The next frame, whatever there is before it.
    #[inline(never)]
    fn next_slow(&mut self) -> Option<Result<Frame<'_>, FrameError>> {
        let step = self.step();
        self.between = self.deframer.is_between_frames();
        match step {
            Step::Starved => None,
            Step::Bad(error) => Some(Err(error)),
            Step::Own(header, payload) => Some(Ok(Frame::owned(header, payload))),
            Step::Tail(header, len) => {
                let payload = self.deframer.tail.get(len..).unwrap_or_default();
                Some(Ok(Frame::new(header, payload)))
            }
            Step::Chunk(header, len) => {
                let (message, rest) = self.chunk.split_at(len + header.payload_len as usize);
                self.chunk = rest;
                Some(Ok(Frame::new(header, &message[len..])))
            }
        }
    }

    fn step(&mut self) -> Step {
        if self.deframer.lost {
            self.chunk = &[];
            return Step::Starved;
        }
        if core::mem::take(&mut self.deframer.tail_used) {
            self.deframer.tail.clear();
            if self.deframer.tail.capacity() > KEEP_TAIL {
                self.deframer.tail = BytesMut::new();
            }
        }
        self.skip();
        if self.deframer.body.is_some() {
            return self.continue_body();
        }
        if !self.deframer.tail.is_empty() {
            return self.continue_tail();
        }
        let Some((header, len)) = Header::decode(self.chunk, self.deframer.limits.extended) else {
            self.keep_rest(0);
            return Step::Starved;
        };
        if let Err(error) = self.check(&header) {
            self.chunk.advance(len);
            return self.refuse(error);
        }
        let total = len + header.payload_len as usize;
        if self.chunk.len() >= total {
            return Step::Chunk(header, len);
        }
        if header.payload_len as usize >= OWN_BODY_FROM {
            self.chunk.advance(len);
            self.start_body(header);
            return self.continue_body();
        }
        self.keep_rest(total);
        Step::Starved
    }

    fn check(&self, header: &Header) -> Result<(), FrameError> {
        if !header.payload_len.is_multiple_of(8) {
            Err(FrameError::Misaligned(*header))
        } else if header.payload_len > self.deframer.limits.max_payload {
            Err(FrameError::TooLarge(*header))
        } else {
            Ok(())
        }
    }

    fn refuse(&mut self, error: FrameError) -> Step {
        match error {
            FrameError::TooLarge(header) => self.deframer.skip = u64::from(header.payload_len),
            _ => self.deframer.lost = true,
        }
        Step::Bad(error)
    }

    fn skip(&mut self) {
        let now = self.deframer.skip.min(self.chunk.len() as u64);
        self.deframer.skip -= now;
        self.chunk.advance(now as usize);
    }

    fn keep_rest(&mut self, total: usize) {
        self.deframer.tail.reserve(total.max(self.chunk.len()));
        self.deframer.tail.extend_from_slice(self.chunk);
        self.chunk = &[];
    }

    /// Moves bytes from the chunk until the tail holds `want`; false if the chunk ends before.
    fn fill_tail(&mut self, want: usize) -> bool {
        let tail = &mut self.deframer.tail;
        let missing = want.saturating_sub(tail.len()).min(self.chunk.len());
        tail.extend_from_slice(&self.chunk[..missing]);
        self.chunk.advance(missing);
        tail.len() >= want
    }

    fn continue_tail(&mut self) -> Step {
        let extended = self.deframer.limits.extended;
        if !self.fill_tail(STANDARD_LEN) {
            return Step::Starved;
        }
        let long = Header::len_from_prefix(&self.deframer.tail, extended) == Some(EXTENDED_LEN);
        if long && !self.fill_tail(EXTENDED_LEN) {
            return Step::Starved;
        }
        let Some((header, len)) = Header::decode(&self.deframer.tail, extended) else {
            return Step::Starved;
        };
        if let Err(error) = self.check(&header) {
            // The check comes as soon as the header is complete, so the tail is just the header.
            self.deframer.tail.clear();
            return self.refuse(error);
        }
        let total = len + header.payload_len as usize;
        if header.payload_len as usize >= OWN_BODY_FROM && self.deframer.tail.len() < total {
            self.start_body(header);
            let tail = self.deframer.tail.split_off(len);
            if let Some(body) = &mut self.deframer.body {
                body.buffer.extend_from_slice(&tail);
            }
            self.deframer.tail.clear();
            return self.continue_body();
        }
        if !self.fill_tail(total) {
            return Step::Starved;
        }
        self.deframer.tail_used = true;
        Step::Tail(header, len)
    }

    fn start_body(&mut self, header: Header) {
        let len = header.payload_len as usize;
        let trusted = BODY_STEP.max(self.deframer.largest as usize);
        let buffer = BytesMut::with_capacity(len.min(trusted));
        self.deframer.body = Some(LargeBody { header, buffer });
    }

    fn continue_body(&mut self) -> Step {
        let Some(body) = &mut self.deframer.body else {
            return Step::Starved;
        };
        let now = body.missing().min(self.chunk.len());
        body.buffer.extend_from_slice(&self.chunk[..now]);
        self.chunk.advance(now);
        if body.missing() > 0 {
            return Step::Starved;
        }
        match self.deframer.body.take() {
            Some(LargeBody { header, buffer }) => {
                self.deframer.largest = self.deframer.largest.max(header.payload_len);
                Step::Own(header, buffer.freeze())
            }
            None => Step::Starved,
        }
    }
}

/// The messages of one datagram, in order.
///
/// Headers are always standard. Sizes that are not multiples of 8 are passed on: a client
/// tolerates them, a server drops the rest of the datagram.
///
/// # Errors
/// [`FrameError::Truncated`] as the last item when the datagram ends inside a message.
pub fn datagram_frames(datagram: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, FrameError>> {
    let mut rest = datagram;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((header, len)) = Header::decode(rest, false) else {
            rest = &[];
            return Some(Err(FrameError::Truncated));
        };
        let Some(payload) = rest.get(len..len + header.payload_len as usize) else {
            rest = &[];
            return Some(Err(FrameError::Truncated));
        };
        rest = &rest[len + payload.len()..];
        Some(Ok(Frame::new(header, payload)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Command;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits {
        max_payload: 100_000,
        extended: true,
    };

    type Seen = Vec<Result<(Header, Vec<u8>), FrameError>>;

    fn feed(deframer: &mut Deframer, chunk: &[u8], seen: &mut Seen) {
        let mut frames = deframer.frames(chunk);
        while let Some(frame) = frames.next() {
            seen.push(frame.map(|f| (f.header, f.payload().to_vec())));
        }
    }

    fn message(payload_len: u32, count: u32) -> Vec<u8> {
        let header = Header {
            payload_len,
            count,
            p1: 7,
            ..Header::new(Command::ECHO)
        };
        let mut out = Vec::new();
        header.encode(&mut out);
        out.extend((0..payload_len).map(|n| n as u8));
        out
    }

    /// What is left of a chunk begins with the next header, so that requests can be looked ahead at.
    #[test]
    fn the_rest_of_a_chunk_is_there_to_be_looked_at() {
        let (first, second) = (message(8, 1), message(16, 2));
        let chunk = [first, second.clone()].concat();
        let mut deframer = Deframer::new(LIMITS);
        let mut frames = deframer.frames(&chunk);
        assert_eq!(
            (frames.remaining(), frames.rest()),
            (chunk.len(), &chunk[..])
        );
        assert!(frames.next().is_some());
        assert_eq!(
            (frames.remaining(), frames.rest()),
            (second.len(), &second[..])
        );
        assert!(frames.next().is_some_and(|frame| frame.is_ok()));
        assert_eq!((frames.remaining(), frames.next().is_none()), (0, true));
    }

    /// A payload that is announced is not allocated before its bytes come: memory grows step by step.
    #[test]
    fn a_huge_payload_grows_with_what_arrives() {
        let huge = 3 * BODY_STEP;
        let mut deframer = Deframer::new(FrameLimits {
            max_payload: huge as u32,
            extended: true,
        });
        let whole = message(huge as u32, 1);
        let mut seen = Seen::new();
        feed(&mut deframer, &whole[..100], &mut seen);
        let mut at = 100;
        while let Some(mut body) = deframer.body() {
            let room = body.remaining_mut();
            assert!(room <= 2 * BODY_STEP, "{room} bytes for {at}");
            body.put_slice(&whole[at..at + room]);
            at += room;
        }
        assert!(deframer.is_inside_body() && seen.is_empty());
        let mut frames = deframer.frames(&[]);
        let frame = frames.next().unwrap().unwrap();
        assert_eq!(frame.payload(), &whole[24..]);
        // It is given away without a copy.
        assert_eq!(frame.to_bytes().as_ptr(), frame.payload().as_ptr());
    }

    /// A frame that a chunk cuts in two does not make the deframer keep much memory for ever.
    #[test]
    fn the_memory_of_a_cut_frame_is_given_back() {
        let mut deframer = Deframer::new(LIMITS);
        let mut seen = Seen::new();
        let cut = message(8192, 1);
        feed(&mut deframer, &cut[..5000], &mut seen);
        feed(&mut deframer, &cut[5000..], &mut seen);
        assert_eq!(seen.len(), 1);
        feed(&mut deframer, &message(0, 1), &mut seen);
        assert!(deframer.tail.capacity() <= KEEP_TAIL);
        assert_eq!(seen.len(), 2);
    }

    fn stream() -> Vec<u8> {
        let sizes = [
            (0, 0),
            (8, 1),
            (16, 70_000),
            (20_000, 1),
            (200_000, 9),
            (65_536, 2),
            (24, 3),
        ];
        sizes
            .into_iter()
            .flat_map(|(len, count)| message(len, count))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Invariant 1 of the design: any segmentation gives the same frames.
        #[test]
        fn chunking_does_not_matter(cuts in prop::collection::vec(0usize..300_000, 0..40)) {
            let stream = stream();
            let mut whole = Seen::new();
            feed(&mut Deframer::new(LIMITS), &stream, &mut whole);
            let too_large = |f: &Result<_, _>| matches!(f, Err(FrameError::TooLarge(h)) if h.payload_len == 200_000);
            prop_assert_eq!(whole.len(), 7);
            prop_assert!(too_large(&whole[4]));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(stream.len())).collect();
            cuts.sort_unstable();
            let mut parts = Seen::new();
            let mut deframer = Deframer::new(LIMITS);
            let mut from = 0;
            for cut in cuts.into_iter().chain([stream.len()]) {
                feed(&mut deframer, &stream[from..cut], &mut parts);
                from = cut;
            }
            prop_assert_eq!(parts, whole);
            prop_assert_eq!(deframer.buffered(), 0);
        }
    }

    #[test]
    fn every_byte_alone_gives_the_same_frames() {
        let stream: Vec<u8> = [(0, 0), (8, 70_000), (24, 3)]
            .iter()
            .flat_map(|&(l, c)| message(l, c))
            .collect();
        let (mut whole, mut single) = (Seen::new(), Seen::new());
        feed(&mut Deframer::new(LIMITS), &stream, &mut whole);
        let mut deframer = Deframer::new(LIMITS);
        for byte in &stream {
            feed(&mut deframer, core::slice::from_ref(byte), &mut single);
        }
        assert_eq!(single, whole);
        assert_eq!(whole.len(), 3);
    }

    #[test]
    fn large_body_is_read_in_place_and_shared() {
        let stream = message(65_536, 1);
        let mut deframer = Deframer::new(LIMITS);
        let mut seen = Seen::new();
        feed(&mut deframer, &stream[..1000], &mut seen);
        assert!(seen.is_empty());
        let mut rest = &stream[1000..];
        while let Some(mut body) = deframer.body() {
            let n = body.remaining_mut().min(rest.len());
            body.put_slice(&rest[..n]);
            rest = &rest[n..];
        }
        let mut frames = deframer.frames(&[]);
        let frame = frames.next().unwrap().unwrap();
        assert!(frame.shared().is_some());
        assert_eq!(frame.payload(), &stream[24..]);
        assert!(frames.next().is_none());
    }

    #[test]
    fn declared_length_alone_reserves_little() {
        let mut deframer = Deframer::new(FrameLimits {
            max_payload: u32::MAX,
            extended: true,
        });
        let header = Header {
            payload_len: 0xffff_fff8,
            ..Header::new(Command::WRITE)
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        feed(&mut deframer, &bytes, &mut Seen::new());
        assert!(deframer.body().unwrap().remaining_mut() <= BODY_STEP);
    }

    /// `CA_MESSAGE_ALIGN` of EPICS Base: reported as soon as the header is complete, framing is lost.
    #[test]
    fn misaligned_size_ends_the_stream() {
        let mut bytes = message(8, 1);
        bytes[3] = 9;
        let mut seen = Seen::new();
        let mut deframer = Deframer::new(LIMITS);
        feed(&mut deframer, &bytes[..16], &mut seen);
        assert!(matches!(seen[..], [Err(FrameError::Misaligned(_))]));
        feed(&mut deframer, &message(0, 0), &mut seen);
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn datagram_that_ends_inside_a_message_is_reported_last() {
        let mut datagram = message(8, 1);
        datagram.extend_from_slice(&message(16, 2)[..20]);
        let seen: Vec<_> = datagram_frames(&datagram)
            .map(|f| f.map(|f| f.header.count))
            .collect();
        assert_eq!(seen, [Ok(1), Err(FrameError::Truncated)]);
    }
}
