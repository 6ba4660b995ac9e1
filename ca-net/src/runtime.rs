//! What the drivers need from the world: time, tasks and sockets, as object-safe traits.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::buf::Limit;
use bytes::{BufMut, BytesMut};
use ca_proto::addr_list::Interface;
use ca_proto::{Instant, Timestamp};

/// A boxed future that may be sent to another thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A connection attempt under way; dropping it gives the attempt up.
pub type Dial = BoxFuture<io::Result<Box<dyn ByteStream>>>;

/// Time, tasks and sockets.
///
/// Implementations must be usable from any thread: user calls read the clock from wherever they
/// run.
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The wall clock, for time stamps of values.
    fn wall(&self) -> Timestamp;

    /// A number that differs from run to run, to seed random generators. A virtual runtime gives
    /// a number that follows from its own seed.
    fn entropy(&self) -> u64;

    /// A timer that is not armed.
    fn timer(&self) -> Box<dyn Timer>;

    /// A timer that is not armed, for a task that waits as long as its owner lives: it may take a handle
    /// of the system, to cost nothing while nothing is due.
    fn lasting_timer(&self) -> Box<dyn Timer> {
        self.timer()
    }

    /// Starts a task. Dropping the handle lets the task go on.
    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle;

    /// Has the current task polled again, after others and after a look at the sockets. For a task that
    /// has more to do and returns [`Poll::Pending`] for fairness: a plain wake may put it before events
    /// that nobody has looked for yet.
    fn yield_now(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// Opens a TCP connection. The attempt has no time limit of its own beyond the system's: the
    /// state machine that asked for it gives it up.
    fn dial(&self, to: SocketAddrV4, options: &StreamOptions) -> Dial;

    /// Listens for TCP connections on an address; port 0 lets the system choose.
    ///
    /// # Errors
    /// Whatever the system says, usually that the address is in use or is not ours.
    fn listen(
        &self,
        address: SocketAddrV4,
        options: &StreamOptions,
    ) -> io::Result<Box<dyn Listener>>;

    /// The IPv4 interfaces of this host, for automatic address lists.
    ///
    /// # Errors
    /// When the system cannot enumerate them.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;

    /// Opens a UDP socket.
    ///
    /// # Errors
    /// Whatever the system says, usually that the address is in use or is not ours.
    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>>;
}

/// One deadline that a task waits for.
pub trait Timer: fmt::Debug + Send {
    /// Sets the deadline, or none. Cheap when the deadline moves later.
    fn reset(&mut self, deadline: Option<Instant>);

    /// Ready once when the deadline has passed, then pending until the next
    /// [`reset`](Timer::reset). May wake the task early.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A TCP connection, or what stands for one. Dropping it closes both directions.
pub trait ByteStream: fmt::Debug + Send {
    /// Reads into `buf`; `Ok(0)` is the end of the stream (`buf` is never empty).
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// As [`poll_read`](Self::poll_read), for a driver that has asked something, and knows that nobody else waits for
    /// an answer: a runtime on which nothing else is to be done either may wait for it here, for some milliseconds,
    /// which costs less than to look for the events of all sockets.
    fn poll_read_answer(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read(cx, buf)
    }

    /// Whether a read would bring nothing, and the task of this waker will be woken when that changes: for drivers
    /// that come for another reason. False when that is not known.
    fn is_quiet(&self, waker: &Waker) -> bool {
        let _ = waker;
        false
    }

    /// Reads straight into the spare room of a buffer, up to its limit; `Ok(0)` is the end of the
    /// stream.
    ///
    /// The default goes through a small buffer; real sockets do without that copy.
    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Limit<&mut BytesMut>,
    ) -> Poll<io::Result<usize>> {
        let mut buf = [0; 2048];
        let room = body.remaining_mut().min(buf.len());
        let n = std::task::ready!(self.poll_read(cx, &mut buf[..room]))?;
        body.put_slice(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    /// Writes from several slices in order and says how many bytes went.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Ends the outgoing direction after what was written.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// From now on, dropping it resets the connection: what is under way in either direction is lost,
    /// and the peer hears of an error. A stream that knows no resets ends in order all the same.
    fn abort_on_drop(&mut self) {}

    /// Our end of the connection.
    fn local_addr(&self) -> io::Result<SocketAddrV4>;
}

/// Accepts TCP connections.
pub trait Listener: fmt::Debug + Send {
    /// The next connection and its peer.
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddrV4)>>;

    /// The address it listens on, with the port that the system chose.
    fn local_addr(&self) -> io::Result<SocketAddrV4>;
}

/// A UDP socket.
pub trait DatagramSocket: fmt::Debug + Send {
    /// Sends one datagram.
    fn poll_send_to(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddrV4,
    ) -> Poll<io::Result<()>>;

    /// Receives one datagram into `buf` (cut if it is longer): its length and its sender.
    fn poll_recv_from(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddrV4)>>;

    /// The address of the socket, with the port that the system chose.
    fn local_addr(&self) -> io::Result<SocketAddrV4>;
}

/// A task that was started.
pub trait Task: fmt::Debug + Send {
    /// Drops the task's future as soon as it is not running.
    fn abort(&self);

    /// Ready when the task has ended, whether by itself or aborted.
    fn poll_join(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Names a started task; awaiting it waits for its end, dropping it lets the task go on.
#[derive(Debug)]
pub struct TaskHandle(Box<dyn Task>);

impl TaskHandle {
    /// Wraps what a runtime has to name a task.
    pub fn new(task: impl Task + 'static) -> Self {
        Self(Box::new(task))
    }

    /// Drops the task's future as soon as it is not running.
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl Future for TaskHandle {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_join(cx)
    }
}

/// Options of TCP connections, dialled or accepted. Nagle's delay is always off: the drivers
/// batch what they write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamOptions {
    /// Whether the system probes idle connections (`SO_KEEPALIVE`), as the reference does.
    pub keep_alive: bool,
    /// The interface address to dial from; unspecified lets the system choose.
    pub local: Ipv4Addr,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            keep_alive: true,
            local: Ipv4Addr::UNSPECIFIED,
        }
    }
}

/// Options of a UDP socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UdpOptions {
    /// Address to bind; port 0 lets the system choose.
    pub address: SocketAddrV4,
    /// Lets several sockets share the port (`SO_REUSEADDR`, and `SO_REUSEPORT` where it exists):
    /// servers on one host and the repeater's clients do.
    pub shared: bool,
    /// Allows sending to broadcast addresses (`SO_BROADCAST`).
    pub broadcast: bool,
    /// Hops that multicast datagrams may make (`EPICS_CA_MCAST_TTL`).
    pub multicast_ttl: u32,
    /// Multicast groups to join.
    pub groups: Vec<Ipv4Addr>,
    /// Address of the interface on which groups are joined; 0.0.0.0 lets the system choose it.
    pub group_interface: Ipv4Addr,
    /// Connects the socket: it takes datagrams from this peer only, all it sends goes there, and a
    /// refusal (nobody listens at the peer's port) comes back as an error of a later send. A
    /// network that does not tell refusals may leave out all of this.
    pub peer: Option<SocketAddrV4>,
    /// Receive buffer to ask for in bytes; 0 keeps the system's default. The system may give
    /// less.
    pub receive_buffer: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            address: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            shared: false,
            broadcast: true,
            multicast_ttl: 1,
            groups: Vec::new(),
            group_interface: Ipv4Addr::UNSPECIFIED,
            peer: None,
            receive_buffer: 0,
        }
    }
}
