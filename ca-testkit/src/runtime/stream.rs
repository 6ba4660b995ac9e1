//! One end of a virtual stream.

use core::net::SocketAddrV4;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read as _};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};
use ca_net::{ByteStream, WakerList};

use super::tasks::Wait;
use super::{Inner, State};
use crate::host::HostOutput;
use crate::net::{ConnId, HostId};

/// What a host knows of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The chunk that the driver has not read completely.
    inbox: VecDeque<u8>,
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
            ended: false,
            broken: false,
            shut: false,
            window,
            reader: None,
            writer: None,
        }
    }

    /// Takes a chunk; false if it is empty.
    pub(super) fn receive(&mut self, data: &[u8], wakers: &mut WakerList) -> bool {
        self.inbox.extend(data);
        if !data.is_empty() {
            wakers.extend(self.reader.take());
        }
        !data.is_empty()
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
        }
    }

    /// What arrived is read before what broke the stream, as sockets do.
    fn read(&self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        let (host, conn) = (self.host, self.conn);
        self.inner.with(|state, _| {
            let Some(stream) = state.sockets[host.index()].streams.get_mut(&conn) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            if stream.inbox.is_empty() {
                if stream.broken {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                if stream.ended {
                    return Poll::Ready(Ok(Vec::new()));
                }
                state.old.extend(stream.reader.replace(cx.waker().clone()));
                state.tasks.note(Wait::Read(conn));
                return Poll::Pending;
            }
            let mut data = vec![0; room.min(stream.inbox.len())];
            let len = stream.inbox.read(&mut data)?;
            // The buffer may lie in two pieces.
            stream.inbox.read_exact(&mut data[len..])?;
            if stream.inbox.is_empty() && !stream.broken {
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
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
            let data = bytes.take(len).collect();
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
                let close = match stream.inbox.is_empty() {
                    true => HostOutput::Close { conn },
                    false => HostOutput::Abort { conn },
                };
                state.apply(host, close);
            }
            Some(stream)
        });
    }
}
