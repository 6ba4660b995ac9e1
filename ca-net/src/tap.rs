//! A runtime that shows what passes between a program and the network.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};
use ca_proto::addr_list::Interface;
use ca_proto::{Instant, Timestamp};

use crate::runtime::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, TaskHandle,
    Timer, UdpOptions,
};

/// Names a connection of a [`Tap`], also while it is being made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

/// Something that passes a [`Tap`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Passing<'a> {
    /// A datagram was handed to the system.
    DatagramSent {
        /// The socket that it leaves from.
        from: Option<SocketAddrV4>,
        /// Where it goes.
        to: SocketAddrV4,
        /// Its bytes.
        data: &'a [u8],
    },
    /// The system does not take a datagram.
    DatagramRefused {
        /// Where it was to go.
        to: SocketAddrV4,
        /// What the system says.
        error: &'a io::Error,
    },
    /// A datagram came.
    DatagramReceived {
        /// Who sent it.
        from: SocketAddrV4,
        /// The socket that it came to.
        to: Option<SocketAddrV4>,
        /// Its bytes.
        data: &'a [u8],
    },
    /// A connection is begun.
    Dialling {
        /// The connection.
        stream: StreamId,
        /// To whom.
        peer: SocketAddrV4,
    },
    /// A connection is made, by us or by the peer.
    Connected {
        /// The connection.
        stream: StreamId,
        /// To whom.
        peer: SocketAddrV4,
        /// Our end of it.
        local: Option<SocketAddrV4>,
        /// Whether the peer began it.
        accepted: bool,
    },
    /// A connection cannot be made.
    NotConnected {
        /// The connection.
        stream: StreamId,
        /// To whom.
        peer: SocketAddrV4,
        /// What the system says.
        error: &'a io::Error,
    },
    /// Bytes were handed to the system.
    Sent {
        /// The connection.
        stream: StreamId,
        /// The bytes.
        data: &'a [u8],
    },
    /// Bytes came.
    Received {
        /// The connection.
        stream: StreamId,
        /// The bytes.
        data: &'a [u8],
    },
    /// The peer has ended a connection, or it is lost.
    Ended {
        /// The connection.
        stream: StreamId,
        /// What the system says, if it was lost.
        error: Option<&'a io::Error>,
    },
    /// This side has let go of a connection; nothing more will be shown of it.
    Closed {
        /// The connection.
        stream: StreamId,
    },
}

/// Sees what passes a [`Tap`], in the tasks and threads that do it: it must be quick and must not wait.
pub trait Observer: Send + Sync + 'static {
    /// Something passes.
    fn passes(&self, at: Instant, what: &Passing<'_>);
}

/// A [`Runtime`] that shows what passes to an [`Observer`], and is otherwise the one below it.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use ca_net::tap::{Observer, Passing, Tap};
/// use ca_net::{Runtime, TokioRuntime};
/// use ca_proto::Instant;
///
/// struct Count(AtomicUsize);
///
/// impl Observer for Count {
///     fn passes(&self, _at: Instant, what: &Passing<'_>) {
///         if let Passing::DatagramSent { .. } = what {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let count = Arc::new(Count(AtomicUsize::new(0)));
/// let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current()?);
/// let runtime = Arc::new(Tap::new(runtime, count.clone()));
/// // Hand `runtime` to the builder of a client, or to an IOC.
/// # let _ = runtime.now();
/// # Ok(())
/// # }
/// ```
pub struct Tap {
    below: Arc<dyn Runtime>,
    shown: Shown,
    streams: Arc<AtomicU64>,
}

impl Tap {
    /// Shows what passes `below`.
    pub fn new(below: Arc<dyn Runtime>, observer: Arc<dyn Observer>) -> Self {
        let shown = Shown {
            clock: Arc::new(Clock {
                below: Arc::clone(&below),
                last: AtomicU64::new(0),
            }),
            observer,
        };
        Self {
            below,
            shown,
            streams: Arc::default(),
        }
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tap").field(&self.below).finish()
    }
}

fn next(streams: &AtomicU64) -> StreamId {
    StreamId(streams.fetch_add(1, Ordering::Relaxed))
}

/// A clock that knows when it was last looked at.
struct Clock {
    below: Arc<dyn Runtime>,
    last: AtomicU64,
}

impl Clock {
    fn now(&self) -> Instant {
        let now = self.below.now();
        // Nothing else depends on it.
        self.last.store(now.as_nanos(), Ordering::Relaxed);
        now
    }

    /// The time of the last look; the first is due if there was none.
    fn last(&self) -> Instant {
        match self.last.load(Ordering::Relaxed) {
            0 => self.now(),
            nanos => Instant::from_nanos(nanos),
        }
    }
}

/// Who is shown what passes, and the clock by which.
#[derive(Clone)]
struct Shown {
    clock: Arc<Clock>,
    observer: Arc<dyn Observer>,
}

impl Shown {
    fn show(&self, what: &Passing<'_>) {
        self.observer.passes(self.clock.now(), what);
    }

    /// Shows what was written, with the time at which the program last looked at the clock: that was when it made
    /// what it writes. A look costs as much as all the rest of showing.
    fn show_written(&self, what: &Passing<'_>) {
        self.observer.passes(self.clock.last(), what);
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl Runtime for Tap {
    fn now(&self) -> Instant {
        self.shown.clock.now()
    }

    fn wall(&self) -> Timestamp {
        self.below.wall()
    }

    fn entropy(&self) -> u64 {
        self.below.entropy()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.below.timer()
    }

    fn lasting_timer(&self) -> Box<dyn Timer> {
        self.below.lasting_timer()
    }

    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle {
        self.below.spawn(task)
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        self.below.yield_now(cx);
    }

    fn dial(&self, to: SocketAddrV4, options: &StreamOptions) -> Dial {
        let (stream, shown) = (next(&self.streams), self.shown.clone());
        shown.show(&Passing::Dialling { stream, peer: to });
        let dial = self.below.dial(to, options);
        Box::pin(async move {
            match dial.await {
                Ok(below) => Ok(Stream::boxed(below, stream, to, false, shown)),
                Err(error) => {
                    shown.show(&Passing::NotConnected {
                        stream,
                        peer: to,
                        error: &error,
                    });
                    Err(error)
                }
            }
        })
    }

    fn listen(
        &self,
        address: SocketAddrV4,
        options: &StreamOptions,
    ) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Accepts {
            below: self.below.listen(address, options)?,
            streams: Arc::clone(&self.streams),
            shown: self.shown.clone(),
        }))
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        self.below.interfaces()
    }

    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>> {
        let below = self.below.bind_udp(options)?;
        Ok(Box::new(Datagrams {
            local: below.local_addr().ok(),
            below,
            shown: self.shown.clone(),
        }))
    }
}

#[derive(Debug)]
struct Accepts {
    below: Box<dyn Listener>,
    streams: Arc<AtomicU64>,
    shown: Shown,
}

impl Listener for Accepts {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddrV4)>> {
        let (below, peer) = ready!(self.below.poll_accept(cx))?;
        let (stream, shown) = (next(&self.streams), self.shown.clone());
        let stream = Stream::boxed(below, stream, peer, true, shown);
        Poll::Ready(Ok((stream, peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.below.local_addr()
    }
}

#[derive(Debug)]
struct Datagrams {
    below: Box<dyn DatagramSocket>,
    local: Option<SocketAddrV4>,
    shown: Shown,
}

impl DatagramSocket for Datagrams {
    fn poll_send_to(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddrV4,
    ) -> Poll<io::Result<()>> {
        let sent = ready!(self.below.poll_send_to(cx, data, to));
        self.shown.show(&match &sent {
            Ok(()) => Passing::DatagramSent {
                from: self.local,
                to,
                data,
            },
            Err(error) => Passing::DatagramRefused { to, error },
        });
        Poll::Ready(sent)
    }

    fn poll_recv_from(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddrV4)>> {
        let (len, from) = ready!(self.below.poll_recv_from(cx, buf))?;
        self.shown.show(&Passing::DatagramReceived {
            from,
            to: self.local,
            data: buf.get(..len).unwrap_or_default(),
        });
        Poll::Ready(Ok((len, from)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.below.local_addr()
    }
}

#[derive(Debug)]
struct Stream {
    below: Box<dyn ByteStream>,
    id: StreamId,
    shown: Shown,
    /// Its end was shown.
    ended: bool,
}

impl Stream {
    fn boxed(
        below: Box<dyn ByteStream>,
        id: StreamId,
        peer: SocketAddrV4,
        accepted: bool,
        shown: Shown,
    ) -> Box<dyn ByteStream> {
        shown.show(&Passing::Connected {
            stream: id,
            peer,
            local: below.local_addr().ok(),
            accepted,
        });
        Box::new(Self {
            below,
            id,
            shown,
            ended: false,
        })
    }

    // Apart, so that a look that finds nothing is short.
    #[inline(never)]
    fn received(&mut self, data: &[u8]) {
        match data {
            [] => self.ended(None),
            data => self.shown.show(&Passing::Received {
                stream: self.id,
                data,
            }),
        }
    }

    fn ended(&mut self, error: Option<&io::Error>) {
        if !std::mem::replace(&mut self.ended, true) {
            let stream = self.id;
            self.shown.show(&Passing::Ended { stream, error });
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shown.show(&Passing::Closed { stream: self.id });
    }
}

impl ByteStream for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(self.below.poll_read(cx, buf));
        match &read {
            Ok(n) => self.received(buf.get(..*n).unwrap_or_default()),
            Err(error) => self.ended(Some(error)),
        }
        Poll::Ready(read)
    }

    fn poll_read_answer(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.below.poll_read_answer(cx, buf));
        match &read {
            Ok(n) => self.received(buf.get(..*n).unwrap_or_default()),
            Err(error) => self.ended(Some(error)),
        }
        Poll::Ready(read)
    }

    fn is_quiet(&self, waker: &Waker) -> bool {
        self.below.is_quiet(waker)
    }

    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Limit<&mut BytesMut>,
    ) -> Poll<io::Result<usize>> {
        let before = body.get_ref().len();
        let room = body.remaining_mut();
        let read = ready!(self.below.poll_read_body(cx, body));
        match &read {
            Ok(0) if room == 0 => {}
            Ok(_) => self.received(body.get_ref().get(before..).unwrap_or_default()),
            Err(error) => self.ended(Some(error)),
        }
        Poll::Ready(read)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(self.below.poll_write_vectored(cx, slices));
        match &wrote {
            Ok(wrote) => {
                let mut left = *wrote;
                for slice in slices {
                    let data = slice.get(..slice.len().min(left)).unwrap_or_default();
                    left -= data.len();
                    if !data.is_empty() {
                        let stream = self.id;
                        self.shown.show_written(&Passing::Sent { stream, data });
                    }
                }
            }
            Err(error) => self.ended(Some(error)),
        }
        Poll::Ready(wrote)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_shutdown(cx)
    }

    fn abort_on_drop(&mut self) {
        self.below.abort_on_drop();
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.below.local_addr()
    }
}
