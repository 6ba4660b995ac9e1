//! Sockets that the poll loop watches.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::{future, time};

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};
use mio::Interest;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::reactor::{Io, Watched, Way};
use crate::runtime::{ByteStream, DatagramSocket, Listener, StreamOptions, UdpOptions};
use crate::system;

/// Bytes of a large payload that are read at once. Their room is filled with zeros before, as nothing unsafe is done
/// here: in pieces that stay in the processor's cache that costs a part of what the copy does.
const PIECE: usize = 256 << 10;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A connection.
#[derive(Debug)]
pub(super) struct Stream(Watched<TcpStream>);

impl Stream {
    fn new(io: &Arc<Io>, stream: TcpStream) -> io::Result<Self> {
        Ok(Self(Watched::new(io, stream, BOTH)?))
    }

    /// # Errors
    /// Why it cannot be connected.
    pub(super) async fn dial(
        io: Arc<Io>,
        to: SocketAddrV4,
        options: StreamOptions,
    ) -> io::Result<Self> {
        let mut stream = Self::new(&io, connect(to, &options)?)?;
        future::poll_fn(|cx| stream.poll_connected(cx)).await?;
        system::tune(stream.0.socket(), &options)?;
        answers::prepare(stream.0.socket())?;
        Ok(stream)
    }

    fn poll_connected(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let connected = |stream: &TcpStream| match stream.take_error()? {
            Some(error) => Err(error),
            None => match stream.peer_addr() {
                // Woken too early.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                peer => peer.map(drop),
            },
        };
        self.0.poll_io(cx, Way::Out, |()| true, connected)
    }
}

/// Begins to connect.
fn connect(to: SocketAddrV4, options: &StreamOptions) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if !options.local.is_unspecified() {
        socket.bind(&SocketAddr::from((options.local, 0)).into())?;
    }
    #[cfg(unix)]
    let begun =
        |error: &io::Error| error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32);
    #[cfg(not(unix))]
    let begun = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    match socket.connect(&SocketAddr::from(to).into()) {
        Err(error) if !begun(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

impl ByteStream for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buf.len();
        let whole = |&n: &usize| n == 0 || n == room;
        (self.0).poll_io(cx, Way::In, whole, |stream| answers::read(stream, buf))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_read_answer(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.0.may_wait(cx.waker()) {
            return self.poll_read(cx, buf);
        }
        match answers::wait(self.0.socket(), buf) {
            // It took too long; an event will tell.
            Err(error) if is_temporary(&error) => Poll::Pending,
            Ok(n) => {
                if n == buf.len() {
                    self.0.mark_open();
                }
                Poll::Ready(Ok(n))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn is_quiet(&self, waker: &Waker) -> bool {
        self.0.is_quiet(Way::In, waker)
    }

    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Limit<&mut BytesMut>,
    ) -> Poll<io::Result<usize>> {
        let room = body.remaining_mut().min(PIECE);
        let whole = |&n: &usize| n == 0 || n == room;
        let buf = body.get_mut();
        let start = buf.len();
        let read = self.0.poll_io(cx, Way::In, whole, |stream| {
            buf.resize(start + room, 0);
            let read = answers::read(stream, &mut buf[start..]);
            buf.truncate(start + read.as_ref().map_or(0, |&n| n));
            read
        });
        let n = ready!(read)?;
        body.set_limit(Limit::limit(body) - n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        let whole = |&n: &usize| n == all;
        (self.0).poll_io(cx, Way::Out, whole, |stream| answers::write(stream, slices))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.0.socket().shutdown(Shutdown::Write) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }

    fn abort_on_drop(&mut self) {
        // Fails when the connection is gone already.
        let _ = SockRef::from(self.0.socket()).set_linger(Some(time::Duration::ZERO));
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        system::v4(self.0.socket().local_addr()?)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Where a thread may wait in a read: the connection blocks, for a moment, and what must not block says so.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod answers {
    use std::io::{self, IoSlice, Read};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use mio::net::TcpStream;
    use nix::sys::socket::{MsgFlags, recv, send, sendmsg};
    use socket2::SockRef;

    /// Time that a thread waits for an answer before it looks for other events; the system makes a tick of its clock
    /// of it, up to 10 ms. So long all else may have to wait when a server is slow.
    const MOMENT: Duration = Duration::from_millis(1);

    pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
        let stream = SockRef::from(stream);
        stream.set_read_timeout(Some(MOMENT))?;
        stream.set_nonblocking(false)
    }

    /// Reads what is there.
    pub(super) fn read(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
        Ok(recv(stream.as_raw_fd(), buf, MsgFlags::MSG_DONTWAIT)?)
    }

    /// Reads what comes within a moment.
    pub(super) fn wait(mut stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
        stream.read(buf)
    }

    pub(super) fn write(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let fd = stream.as_raw_fd();
        Ok(match slices {
            // A plain send costs the system less than a vectored write.
            [slice] => send(fd, slice, flags)?,
            slices => sendmsg::<()>(fd, slices, &[], flags, None)?,
        })
    }
}

/// Where it does not: all connections are such that never block.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod answers {
    use std::io::{self, IoSlice, Read, Write};

    use mio::net::TcpStream;

    pub(super) const fn prepare(_stream: &TcpStream) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn read(mut stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
        stream.read(buf)
    }

    pub(super) fn write(mut stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [slice] => stream.write(slice),
            slices => stream.write_vectored(slices),
        }
    }
}

#[derive(Debug)]
pub(super) struct PollListener {
    listener: Watched<TcpListener>,
    io: Arc<Io>,
    options: StreamOptions,
}

impl PollListener {
    /// # Errors
    /// Whatever the system says, usually that the address is in use or is not ours.
    pub(super) fn new(
        io: &Arc<Io>,
        address: SocketAddrV4,
        options: &StreamOptions,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // A restarted server gets its port back while old connections linger.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(address).into())?;
        socket.listen(system::BACKLOG as i32)?;
        let listener = TcpListener::from_std(socket.into());
        Ok(Self {
            listener: Watched::new(io, listener, Interest::READABLE)?,
            io: io.clone(),
            options: *options,
        })
    }
}

impl Listener for PollListener {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddrV4)>> {
        let accept = |listener: &TcpListener| listener.accept();
        let (stream, peer) = ready!(self.listener.poll_io(cx, Way::In, |_| true, accept))?;
        system::tune(&stream, &self.options)?;
        let stream = Stream::new(&self.io, stream)?;
        Poll::Ready(Ok((Box::new(stream), system::v4(peer)?)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        system::v4(self.listener.socket().local_addr()?)
    }
}

#[derive(Debug)]
pub(super) struct PollUdp {
    socket: Watched<UdpSocket>,
    connected: bool,
}

impl PollUdp {
    /// # Errors
    /// Whatever the system says, usually that the address is in use or is not ours.
    pub(super) fn new(io: &Arc<Io>, options: &UdpOptions) -> io::Result<Self> {
        let socket = UdpSocket::from_std(system::udp(options)?);
        Ok(Self {
            socket: Watched::new(io, socket, BOTH)?,
            connected: options.peer.is_some(),
        })
    }
}

impl DatagramSocket for PollUdp {
    fn poll_send_to(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddrV4,
    ) -> Poll<io::Result<()>> {
        let connected = self.connected;
        let send = |socket: &UdpSocket| match connected {
            // Not every system lets a connected socket name its destination.
            true => socket.send(data),
            false => socket.send_to(data, to.into()),
        };
        let sent = self.socket.poll_io(cx, Way::Out, |_| true, send);
        sent.map_ok(drop)
    }

    fn poll_recv_from(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddrV4)>> {
        let receive = |socket: &UdpSocket| socket.recv_from(buf);
        let (n, from) = ready!(self.socket.poll_io(cx, Way::In, |_| true, receive))?;
        Poll::Ready(Ok((n, system::v4(from)?)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        system::v4(self.socket.socket().local_addr()?)
    }
}
