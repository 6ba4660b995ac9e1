//! The runtime for real sockets: tokio and socket2.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddrV4;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time;

use bytes::BytesMut;
use bytes::buf::Limit;
use ca_proto::addr_list::Interface;
use ca_proto::{Instant, Timestamp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
#[cfg(any(target_os = "linux", target_os = "android"))]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::{Handle, TryCurrentError};

use crate::runtime::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, Task,
    TaskHandle, Timer, UdpOptions,
};
use crate::system;
use crate::timer::{Alarm, LazyTimer};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::timer_fd::Fd;

/// Real sockets and real time on a tokio runtime with I/O and time enabled.
///
/// # Examples
/// ```
/// use ca_net::{Runtime, TokioRuntime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let runtime = TokioRuntime::current().expect("this is an async main");
/// let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &Default::default()).unwrap();
/// assert_ne!(listener.local_addr().unwrap().port(), 0);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
    start: time::Instant,
}

impl TokioRuntime {
    /// Runs on the tokio runtime behind `handle`.
    pub fn new(handle: Handle) -> Self {
        Self {
            handle,
            start: time::Instant::now(),
        }
    }

    /// Runs on the tokio runtime that the caller runs on.
    ///
    /// # Errors
    /// When there is none.
    pub fn current() -> Result<Self, TryCurrentError> {
        Handle::try_current().map(Self::new)
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        system::wall()
    }

    fn entropy(&self) -> u64 {
        system::entropy()
    }

    fn timer(&self) -> Box<dyn Timer> {
        let alarm = TokioAlarm {
            handle: self.handle.clone(),
            sleep: None,
        };
        Box::new(LazyTimer::new(self.start, alarm))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn lasting_timer(&self) -> Box<dyn Timer> {
        match FdAlarm::new(&self.handle) {
            Ok(alarm) => Box::new(LazyTimer::new(self.start, alarm)),
            Err(error) => {
                tracing::debug!("no timer of the system: {error}");
                self.timer()
            }
        }
    }

    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle {
        TaskHandle::new(TokioTask(self.handle.spawn(task)))
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        // Its first poll is always pending, and has the task woken behind the look at the sockets.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }

    fn dial(&self, to: SocketAddrV4, options: &StreamOptions) -> Dial {
        let options = *options;
        Box::pin(async move {
            let socket = TcpSocket::new_v4()?;
            if !options.local.is_unspecified() {
                socket.bind(SocketAddrV4::new(options.local, 0).into())?;
            }
            let stream = socket.connect(to.into()).await?;
            system::tune(&stream, &options)?;
            Ok(Box::new(TokioStream(stream)) as Box<dyn ByteStream>)
        })
    }

    fn listen(
        &self,
        address: SocketAddrV4,
        options: &StreamOptions,
    ) -> io::Result<Box<dyn Listener>> {
        let _context = self.handle.enter();
        let socket = TcpSocket::new_v4()?;
        // A restarted server gets its port back while old connections linger.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address.into())?;
        Ok(Box::new(TokioListener {
            listener: socket.listen(system::BACKLOG)?,
            options: *options,
        }))
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        crate::iface::interfaces()
    }

    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>> {
        let _context = self.handle.enter();
        Ok(Box::new(TokioUdp {
            socket: UdpSocket::from_std(system::udp(options)?)?,
            connected: options.peer.is_some(),
        }))
    }
}

#[derive(Debug)]
struct TokioTask(tokio::task::JoinHandle<()>);

impl Task for TokioTask {
    fn abort(&self) {
        self.0.abort();
    }

    fn poll_join(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

#[derive(Debug)]
struct TokioAlarm {
    handle: Handle,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Thirty years, for deadlines that mean "never".
const FAR: time::Duration = time::Duration::from_secs(30 * 365 * 86_400);

impl Alarm for TokioAlarm {
    fn set(&mut self, left: time::Duration) -> io::Result<()> {
        let at = tokio::time::Instant::now() + left.min(FAR);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => {
                let _context = self.handle.enter();
                self.sleep = Some(Box::pin(tokio::time::sleep_until(at)));
            }
        }
        Ok(())
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// A timer of the system among the runtime's sockets. While a tokio timer is armed, each wait for the
/// sockets looks at the clock once more and has the system set a timer and take it back; this one is
/// set when a deadline comes forward.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
struct FdAlarm(AsyncFd<Fd>);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl FdAlarm {
    /// # Errors
    /// Whatever the system says, usually that the process has too many open files.
    fn new(handle: &Handle) -> io::Result<Self> {
        let _context = handle.enter();
        let timer = Fd::new()?;
        #[expect(
            deprecated,
            reason = "what its unsafe successor asks for holds: one descriptor, ours until the drop"
        )]
        let fd = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(fd))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Alarm for FdAlarm {
    fn set(&mut self, left: time::Duration) -> io::Result<()> {
        self.0.get_ref().set(left)
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Ok(mut guard) = ready!(self.0.poll_read_ready(cx)) else {
                // The runtime is ending, and its tasks with it.
                return Poll::Pending;
            };
            if guard.try_io(|fd| fd.get_ref().wait()).is_ok() {
                return Poll::Ready(());
            }
        }
    }
}

#[derive(Debug)]
struct TokioStream(TcpStream);

impl ByteStream for TokioStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // poll_read, unlike try_read, forgets readiness after a short read and so spares the
        // read that would only bring EAGAIN.
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Limit<&mut BytesMut>,
    ) -> Poll<io::Result<usize>> {
        // The future holds nothing but the two references, so it may be made anew for each poll.
        pin!(self.0.read_buf(body)).poll(cx)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A plain send costs the system less than a vectored write.
        if let [slice] = slices {
            return Pin::new(&mut self.0).poll_write(cx, slice);
        }
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn abort_on_drop(&mut self) {
        // Fails when the connection is gone already.
        let _ = self.0.set_zero_linger();
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        system::v4(self.0.local_addr()?)
    }
}

#[derive(Debug)]
struct TokioListener {
    listener: TcpListener,
    options: StreamOptions,
}

impl Listener for TokioListener {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddrV4)>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
        system::tune(&stream, &self.options)?;
        Poll::Ready(Ok((Box::new(TokioStream(stream)), system::v4(peer)?)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        system::v4(self.listener.local_addr()?)
    }
}

#[derive(Debug)]
struct TokioUdp {
    socket: UdpSocket,
    connected: bool,
}

impl DatagramSocket for TokioUdp {
    fn poll_send_to(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddrV4,
    ) -> Poll<io::Result<()>> {
        // Not every system lets a connected socket name its destination.
        let sent = if self.connected {
            self.socket.poll_send(cx, data)
        } else {
            self.socket.poll_send_to(cx, data, to.into())
        };
        sent.map_ok(drop)
    }

    fn poll_recv_from(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddrV4)>> {
        let mut buf = ReadBuf::new(buf);
        let from = ready!(self.socket.poll_recv_from(cx, &mut buf))?;
        Poll::Ready(Ok((buf.filled().len(), system::v4(from)?)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        system::v4(self.socket.local_addr()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_have_no_delay_and_are_kept_alive() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let stream = TcpStream::connect(to).await.unwrap();
        let options = StreamOptions::default();
        system::tune(&stream, &options).unwrap();
        assert!(stream.nodelay().unwrap());
        let kept = socket2::SockRef::from(&stream).keepalive().unwrap();
        assert!(options.keep_alive && kept);
    }
}
