//! The stream driver against a scripted stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::task::{Context, Poll, Waker};

use ca_net::{ByteStream, Received, StreamIo};
use ca_proto::wire::{Command, FrameLimits, Header};

const LIMITS: FrameLimits = FrameLimits {
    max_payload: 1 << 20,
    extended: true,
};

/// Gives its chunks one by one; has nothing more to say afterwards.
#[derive(Debug)]
struct Script(VecDeque<Vec<u8>>);

impl ByteStream for Script {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(chunk) = self.0.front_mut() else {
            return Poll::Pending;
        };
        let n = chunk.len().min(buf.len());
        buf[..n].copy_from_slice(&chunk[..n]);
        chunk.drain(..n);
        if chunk.is_empty() {
            self.0.pop_front();
        }
        Poll::Ready(Ok(n))
    }
    fn poll_write_vectored(
        &mut self,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1))
    }
}

/// What each read said: bytes, frames completed, whether the socket is drained.
fn reads(chunks: &[&[u8]]) -> Vec<(usize, usize, bool)> {
    let script = Script(chunks.iter().map(|chunk| chunk.to_vec()).collect());
    let mut io = StreamIo::new(Box::new(script), LIMITS);
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    loop {
        let read = io.poll_read_chunk(&mut cx, |deframer, chunk, drained| {
            let mut frames = deframer.frames(chunk);
            let mut count = 0;
            while let Some(Ok(_)) = frames.next() {
                count += 1;
            }
            (count, drained)
        });
        match read {
            Poll::Ready(Ok(Received::Chunk {
                bytes,
                result: (frames, drained),
            })) => seen.push((bytes, frames, drained)),
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => return seen,
        }
    }
}

fn message(payload_len: u32) -> Vec<u8> {
    let header = Header {
        payload_len,
        ..Header::new(Command::EVENT_ADD)
    };
    let mut out = Vec::new();
    header.encode(&mut out);
    out.resize(out.len() + payload_len as usize, 0);
    out
}

#[test]
fn a_short_read_is_drained() {
    assert_eq!(reads(&[&message(8)]), [(24, 1, true)]);
}

/// The reads of an array that ends where the buffer for its payload ends are all full, and yet
/// nothing more is waiting: the client's flow control has to hear of it.
#[test]
fn the_end_of_a_large_payload_is_told_once_nothing_follows() {
    let array = message(100_000);
    let reads = reads(&[&array, &array]);
    let frames: usize = reads.iter().map(|(_, frames, _)| frames).sum();
    assert_eq!(frames, 2);
    assert_eq!(reads.last(), Some(&(0, 0, true)));
}
