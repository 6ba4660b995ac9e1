//! A byte stream with its deframer and its outgoing queue: what client and server circuits share.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddrV4;
use std::task::{Context, Poll, Waker, ready};

use bytes::BufMut;
use ca_proto::wire::{Deframer, FrameLimits, SendQueue};

use crate::runtime::ByteStream;

/// Bytes asked for in one read; a short read means that the socket is drained.
pub const CHUNK_LEN: usize = 64 * 1024;
/// Slices in one vectored write.
pub const MAX_SLICES: usize = 64;

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received<R> {
    /// Bytes arrived, and this is what the handler made of them.
    Chunk {
        /// Bytes taken from the stream; 0 when the handler was only told that it is drained.
        bytes: usize,
        /// The handler's result.
        result: R,
    },
    /// The peer has ended its direction.
    End,
}

/// A stream that is read in chunks into a [`Deframer`] and written from a [`SendQueue`].
///
/// Idle streams own no buffer: chunks live in a buffer per thread, and the outgoing queue is
/// swapped with the state machine's ([`swap_in`](Self::swap_in)), so that nothing is copied and
/// the socket is written outside of any lock.
#[derive(Debug)]
pub struct StreamIo {
    stream: Box<dyn ByteStream>,
    deframer: Deframer,
    out: SendQueue,
    /// The last read filled its buffer, so that nobody was told that the socket is drained.
    undrained: bool,
}

impl StreamIo {
    /// Takes over a stream at its start.
    pub fn new(stream: Box<dyn ByteStream>, limits: FrameLimits) -> Self {
        Self {
            stream,
            deframer: Deframer::new(limits),
            out: SendQueue::new(),
            undrained: false,
        }
    }

    /// Our end of the connection.
    ///
    /// # Errors
    /// When the system no longer knows it.
    pub fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.stream.local_addr()
    }

    /// Whether [`poll_read_chunk`](Self::poll_read_chunk) would bring nothing, and the task of this waker will be
    /// woken when that changes. False when that is not known.
    pub fn is_quiet(&self, waker: &Waker) -> bool {
        !self.undrained && self.stream.is_quiet(waker)
    }

    /// The deframer, to go on with a chunk that could not be handled at once.
    pub const fn deframer(&mut self) -> &mut Deframer {
        &mut self.deframer
    }

    /// Reads once, and gives what came to `handle`: the deframer, the chunk, and whether the
    /// socket is drained (false: more may be waiting). When nothing more comes after a read that
    /// filled its buffer, `handle` is told so with an empty chunk, once: a client that has switched
    /// updates off would otherwise wait for bytes to switch them on again.
    ///
    /// While the payload of a large frame is incomplete, the bytes are read straight into its
    /// buffer and the chunk is empty. Deframing belongs into the handler, so that it can run
    /// outside or inside a lock as the driver likes.
    ///
    /// # Errors
    /// The stream's error, which ends it.
    pub fn poll_read_chunk<R>(
        &mut self,
        cx: &mut Context<'_>,
        handle: impl FnOnce(&mut Deframer, &[u8], bool) -> R,
    ) -> Poll<io::Result<Received<R>>> {
        if let Some(mut body) = self.deframer.body() {
            let room = body.remaining_mut();
            return match self.stream.poll_read_body(cx, &mut body) {
                Poll::Ready(Ok(bytes)) => self.received(bytes, &[], bytes < room, handle),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => self.drained(handle),
            };
        }
        self.read_chunk(cx, handle, |stream, cx, buf| stream.poll_read(cx, buf))
    }

    /// As [`poll_read_chunk`](Self::poll_read_chunk), for a driver that waits for the one answer that is to come, and
    /// for nothing else ([`ByteStream::poll_read_answer`]).
    ///
    /// # Errors
    /// The stream's error, which ends it.
    pub fn poll_read_answer<R>(
        &mut self,
        cx: &mut Context<'_>,
        handle: impl FnOnce(&mut Deframer, &[u8], bool) -> R,
    ) -> Poll<io::Result<Received<R>>> {
        if self.deframer.body().is_some() {
            return self.poll_read_chunk(cx, handle);
        }
        self.read_chunk(cx, handle, |stream, cx, buf| {
            stream.poll_read_answer(cx, buf)
        })
    }

    #[inline]
    fn read_chunk<R>(
        &mut self,
        cx: &mut Context<'_>,
        handle: impl FnOnce(&mut Deframer, &[u8], bool) -> R,
        read: impl FnOnce(&mut dyn ByteStream, &mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<Received<R>>> {
        with_scratch(|scratch| match read(&mut *self.stream, cx, scratch) {
            Poll::Ready(Ok(bytes)) => {
                let chunk = scratch.get(..bytes).unwrap_or_default();
                self.received(bytes, chunk, bytes < scratch.len(), handle)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.drained(handle),
        })
    }

    fn received<R>(
        &mut self,
        bytes: usize,
        chunk: &[u8],
        drained: bool,
        handle: impl FnOnce(&mut Deframer, &[u8], bool) -> R,
    ) -> Poll<io::Result<Received<R>>> {
        self.undrained = !drained;
        Poll::Ready(Ok(match bytes {
            0 => Received::End,
            _ => Received::Chunk {
                bytes,
                result: handle(&mut self.deframer, chunk, drained),
            },
        }))
    }

    /// Nothing has come.
    fn drained<R>(
        &mut self,
        handle: impl FnOnce(&mut Deframer, &[u8], bool) -> R,
    ) -> Poll<io::Result<Received<R>>> {
        if !std::mem::take(&mut self.undrained) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(Received::Chunk {
            bytes: 0,
            result: handle(&mut self.deframer, &[], true),
        }))
    }

    /// Takes the state machine's queue when ours is empty, leaving our empty one there. Returns
    /// whether there is something to [flush](Self::poll_flush).
    pub fn swap_in(&mut self, queue: &mut SendQueue) -> bool {
        if self.out.is_empty() {
            std::mem::swap(&mut self.out, queue);
        }
        !self.out.is_empty()
    }

    /// Bytes taken over and not yet written.
    pub fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Writes until everything is written or the socket is full; adds the bytes that went to
    /// `sent`, also when it returns pending.
    ///
    /// # Errors
    /// The stream's error, which ends it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, sent: &mut usize) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let n = ready!(self.poll_write(cx))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(n);
            *sent += n;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some(bytes) = self.out.contiguous() {
            return self.stream.poll_write_vectored(cx, &[IoSlice::new(bytes)]);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        for (slot, slice) in slices.iter_mut().zip(self.out.slices()) {
            *slot = IoSlice::new(slice);
            used += 1;
        }
        self.stream.poll_write_vectored(cx, &slices[..used])
    }

    /// Ends our direction after what was written.
    ///
    /// # Errors
    /// The stream's error, which ends it.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends the thread's receive buffer; a nested call gets a fresh one.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = SCRATCH
        .take()
        .unwrap_or_else(|| vec![0; CHUNK_LEN].into_boxed_slice());
    let result = work(&mut buffer);
    SCRATCH.set(Some(buffer));
    result
}
