//! One end of a virtual stream.

use core::net::SocketAddrV4;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::buf::Limit;
use bytes::{BufMut, Bytes, BytesMut};
use ca_net::{ByteStream, WakerList};

use super::tasks::Wait;
use super::{Inner, State};
use crate::host::HostOutput;
use crate::net::{ConnId, HostId};

/// What a host knows of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The chunks that the driver has not read, each to be given out by itself.
    inbox: VecDeque<Bytes>,
    /// Bytes in `inbox`.
    unread: usize,
    /// No more are delivered until some are read.
    paused: bool,
    /// The peer has ended its side.
    ended: bool,
    /// The stream is gone.
    broken: bool,
    /// Our side is ended.
    shut: bool,
    /// Bytes that may be written.
    window: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Stream {
    pub(super) const fn new(window: usize) -> Self {
        Self {
            inbox: VecDeque::new(),
            unread: 0,
            paused: false,
            ended: false,
            broken: false,
            shut: false,
            window,
            reader: None,
            writer: None,
        }
    }

    /// Takes a chunk; true when so many are unread that no more are wanted.
    pub(super) fn receive(&mut self, data: Vec<u8>, most: usize, wakers: &mut WakerList) -> bool {
        if data.is_empty() {
            return false;
        }
        self.unread += data.len();
        self.inbox.push_back(data.into());
        wakers.extend(self.reader.take());
        self.paused = self.unread >= most;
        self.paused
    }

    pub(super) fn make_room(&mut self, window: usize, wakers: &mut WakerList) {
        self.window = window;
        wakers.extend(self.writer.take());
    }

    pub(super) fn end(&mut self, orderly: bool, wakers: &mut WakerList) {
        self.ended |= orderly;
        self.broken |= !orderly;
        wakers.extend(self.reader.take());
        if self.broken {
            wakers.extend(self.writer.take());
        }
    }
}

#[derive(Debug)]
pub(super) struct SimStream {
    inner: Arc<Inner>,
    host: HostId,
    conn: ConnId,
    local: SocketAddrV4,
    /// Its end is a reset.
    abort: bool,
}

impl SimStream {
    pub(super) const fn new(
        inner: Arc<Inner>,
        host: HostId,
        conn: ConnId,
        local: SocketAddrV4,
    ) -> Self {
        Self {
            inner,
            host,
            conn,
            local,
            abort: false,
        }
    }

    /// What arrived is read before what broke the stream, as sockets do.
    fn read(&self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Bytes>> {
        let (host, conn) = (self.host, self.conn);
        self.inner.with(|state, _| {
            let most = state.net.read_size;
            let Some(stream) = state.sockets[host.index()].streams.get_mut(&conn) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let Some(chunk) = stream.inbox.front_mut() else {
                if stream.broken {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                if stream.ended {
                    return Poll::Ready(Ok(Bytes::new()));
                }
                state.old.extend(stream.reader.replace(cx.waker().clone()));
                state.tasks.note(Wait::Read(conn));
                return Poll::Pending;
            };
            let data = chunk.split_to(room.min(chunk.len()));
            if chunk.is_empty() {
                stream.inbox.pop_front();
            }
            stream.unread -= data.len();
            if stream.paused && stream.unread < most {
                stream.paused = false;
                let enabled = true;
                state.apply(host, HostOutput::Read { conn, enabled });
            }
            Poll::Ready(Ok(data))
        })
    }
}

/// How many of `len` bytes a write takes: all that fit, or fewer if the seed says so.
fn accepted(state: &mut State, len: usize, window: usize) -> usize {
    let fits = len.min(window);
    match state.shuffled && fits > 1 && state.rng.chance(0.1) {
        true => 1 + state.rng.below(fits as u32 - 1) as usize,
        false => fits,
    }
}

impl ByteStream for SimStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.read(cx, buf.len()).map_ok(|data| {
            buf[..data.len()].copy_from_slice(&data);
            data.len()
        })
    }

    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Limit<&mut BytesMut>,
    ) -> Poll<io::Result<usize>> {
        self.read(cx, body.remaining_mut()).map_ok(|data| {
            body.put_slice(&data);
            data.len()
        })
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (host, conn) = (self.host, self.conn);
        self.inner.with(|state, _| {
            let stream = state.sockets[host.index()].streams.get_mut(&conn);
            let Some(stream) = stream.filter(|stream| !stream.broken && !stream.shut) else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            let len = slices.iter().map(|slice| slice.len()).sum();
            if len == 0 {
                return Poll::Ready(Ok(0));
            }
            let window = stream.window;
            if window == 0 {
                state.old.extend(stream.writer.replace(cx.waker().clone()));
                state.tasks.note(Wait::Write(conn));
                return Poll::Pending;
            }
            let len = accepted(state, len, window);
            if let Some(stream) = state.sockets[host.index()].streams.get_mut(&conn) {
                stream.window -= len;
            }
            let mut data = Vec::with_capacity(len);
            for slice in slices {
                let fits = slice.len().min(len - data.len());
                data.extend_from_slice(&slice[..fits]);
            }
            state.apply(host, HostOutput::Send { conn, data });
            Poll::Ready(Ok(len))
        })
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (host, conn) = (self.host, self.conn);
        self.inner.with(|state, _| {
            let stream = state.sockets[host.index()].streams.get_mut(&conn);
            let Some(stream) = stream.filter(|stream| !stream.broken) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            if !std::mem::replace(&mut stream.shut, true) {
                state.apply(host, HostOutput::Shutdown { conn });
            }
            Poll::Ready(Ok(()))
        })
    }

    fn abort_on_drop(&mut self) {
        self.abort = true;
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(self.local)
    }
}

impl Drop for SimStream {
    /// A socket that is closed with unread bytes is reset.
    fn drop(&mut self) {
        let (host, conn) = (self.host, self.conn);
        let _stream = self.inner.with(|state, _| {
            let stream = state.sockets[host.index()].streams.remove(&conn)?;
            if !stream.broken {
                let close = match stream.inbox.is_empty() && !self.abort {
                    true => HostOutput::Close { conn },
                    false => HostOutput::Abort { conn },
                };
                state.apply(host, close);
            }
            Some(stream)
        });
    }
}
