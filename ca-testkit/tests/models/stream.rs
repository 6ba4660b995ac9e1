//! Connections within the process.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use ca_net::ByteStream;

/// One direction. Its lock is never held while somebody else has a turn.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// No more comes.
    ended: bool,
    /// Nobody reads any more.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    input: Arc<Mutex<Pipe>>,
    output: Arc<Mutex<Pipe>>,
    /// Bytes that a direction holds.
    capacity: usize,
    local: SocketAddrV4,
}

/// A connection between two addresses that holds this many bytes in each direction.
pub(crate) fn connection(ends: [SocketAddrV4; 2], capacity: usize) -> [Stream; 2] {
    let pipes: [Arc<Mutex<Pipe>>; 2] = Default::default();
    [0, 1].map(|n: usize| Stream {
        input: pipes[n].clone(),
        output: pipes[1 - n].clone(),
        capacity,
        local: ends[n],
    })
}

impl Stream {
    fn wake(waker: Option<Waker>) {
        waker.into_iter().for_each(Waker::wake);
    }
}

impl ByteStream for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.input.lock().unwrap();
        if pipe.bytes.is_empty() && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = pipe.bytes.len().min(buf.len());
        for (to, byte) in buf.iter_mut().zip(pipe.bytes.drain(..len)) {
            *to = byte;
        }
        let writer = pipe.writer.take();
        drop(pipe);
        Self::wake(writer);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.output.lock().unwrap();
        if pipe.deaf {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = self.capacity - pipe.bytes.len();
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = pipe.bytes.len();
        let bytes = slices.iter().flat_map(|slice| slice.iter());
        pipe.bytes.extend(bytes.take(room));
        let written = pipe.bytes.len() - before;
        let reader = pipe.reader.take();
        drop(pipe);
        Self::wake(reader);
        Poll::Ready(Ok(written))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.output.lock().unwrap();
        pipe.ended = true;
        let reader = pipe.reader.take();
        drop(pipe);
        Self::wake(reader);
        Poll::Ready(Ok(()))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(self.local)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut output = self.output.lock().unwrap();
        output.ended = true;
        let reader = output.reader.take();
        drop(output);
        let mut input = self.input.lock().unwrap();
        input.deaf = true;
        let writer = input.writer.take();
        drop(input);
        Self::wake(reader);
        Self::wake(writer);
    }
}
