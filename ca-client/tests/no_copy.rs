//! What an array costs in memory between the PV of the IOC and the reader: the system calls get the
//! addresses of the value itself on both sides, and nothing else of its size is allocated.

use std::io::{self, IoSlice};
use std::net::SocketAddrV4;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use allocation_counter::{AllocationInfo, measure};
use bytes::buf::Limit;
use bytes::{Bytes, BytesMut};
use ca_client::{Client, MonitorEvent, MonitorSpec, Overflow, Reading, Value};
use ca_net::stream::CHUNK_LEN;
use ca_net::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, TaskHandle,
    Timer, TokioRuntime, UdpOptions,
};
use ca_proto::addr_list::Interface;
use ca_proto::{Instant, Timestamp};
use ca_server_sim::{Ioc, NetConfig, PvSpec, SimIoc};
use tokio::runtime::Builder;

const ELEMENTS: usize = 1_000_000;
const ARRAY: usize = 8 * ELEMENTS;
const FRAME: usize = 1360 * 1024 * 3;
/// Room for what else happens: headers, requests, a node of a timer.
const SMALL: u64 = 100_000;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Call {
    /// Into memory that stays with the value.
    ReadInPlace,
    /// Into the buffer that all circuits share, from which what is kept has to be copied.
    Read,
    Write,
}

/// A part of a system call: the addresses that it moved bytes from or to.
#[derive(Clone, Debug)]
struct Moved {
    side: Side,
    call: Call,
    at: Range<usize>,
}

#[derive(Clone, Default, Debug)]
struct Log(Arc<Mutex<Vec<Moved>>>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Moved>> {
        self.0.lock().unwrap()
    }

    fn add(&self, side: Side, call: Call, from: *const u8, len: usize) {
        let at = from.addr()..from.addr() + len;
        self.lock().push(Moved { side, call, at });
    }

    fn clear(&self) {
        self.lock().clear();
    }

    /// Bytes that calls of this kind moved from or to memory within `memory`.
    fn bytes_within(&self, side: Side, call: Call, memory: &Range<usize>) -> usize {
        let log = self.lock();
        let calls = log
            .iter()
            .filter(|moved| moved.side == side && moved.call == call);
        calls
            .map(|moved| {
                let (from, to) = (&moved.at.start, &moved.at.end);
                (*to.min(&memory.end)).saturating_sub(*from.max(&memory.start))
            })
            .sum()
    }

    /// Bytes that calls of this kind moved.
    fn bytes(&self, side: Side, call: Call) -> usize {
        self.bytes_within(side, call, &(0..usize::MAX))
    }
}

/// Where a value lies.
fn memory(value: &[u8]) -> Range<usize> {
    value.as_ptr().addr()..value.as_ptr().addr() + value.len()
}

/// Real sockets, watched.
#[derive(Clone, Debug)]
struct Watched {
    inner: TokioRuntime,
    log: Log,
}

#[derive(Debug)]
struct Stream {
    inner: Box<dyn ByteStream>,
    side: Side,
    log: Log,
}

impl ByteStream for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = ready!(self.inner.poll_read(cx, buf))?;
        self.log.add(self.side, Call::Read, buf.as_ptr(), n);
        Poll::Ready(Ok(n))
    }

    fn poll_read_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Limit<&mut BytesMut>,
    ) -> Poll<io::Result<usize>> {
        let before = body.get_ref().len();
        let n = ready!(self.inner.poll_read_body(cx, body))?;
        let read = &body.get_ref()[before..];
        self.log.add(self.side, Call::ReadInPlace, read.as_ptr(), n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.inner.poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let n = left.min(slice.len());
            self.log.add(self.side, Call::Write, slice.as_ptr(), n);
            left -= n;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.inner.local_addr()
    }
}

#[derive(Debug)]
struct Accepting {
    inner: Box<dyn Listener>,
    log: Log,
}

impl Listener for Accepting {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddrV4)>> {
        let (inner, peer) = ready!(self.inner.poll_accept(cx))?;
        let (side, log) = (Side::Server, self.log.clone());
        Poll::Ready(Ok((Box::new(Stream { inner, side, log }), peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.inner.local_addr()
    }
}

impl Runtime for Watched {
    fn dial(&self, to: SocketAddrV4, options: &StreamOptions) -> Dial {
        let (dial, log) = (self.inner.dial(to, options), self.log.clone());
        Box::pin(async move {
            let (inner, side) = (dial.await?, Side::Client);
            Ok(Box::new(Stream { inner, side, log }) as Box<dyn ByteStream>)
        })
    }

    fn listen(&self, at: SocketAddrV4, options: &StreamOptions) -> io::Result<Box<dyn Listener>> {
        let (inner, log) = (self.inner.listen(at, options)?, self.log.clone());
        Ok(Box::new(Accepting { inner, log }))
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall(&self) -> Timestamp {
        self.inner.wall()
    }

    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.inner.timer()
    }

    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle {
        self.inner.spawn(task)
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        self.inner.yield_now(cx);
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        self.inner.interfaces()
    }

    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>> {
        self.inner.bind_udp(options)
    }
}

/// Client and IOC on one thread, whose allocations are counted together.
struct Rig {
    runtime: tokio::runtime::Runtime,
    watched: Watched,
    ioc: SimIoc,
    client: Client,
}

impl Rig {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let watched = Watched {
            inner: TokioRuntime::new(runtime.handle().clone()),
            log: Log::default(),
        };
        let array: Vec<f64> = (0..ELEMENTS).map(|n| n as f64).collect();
        let ioc = Ioc::builder()
            .pv("array", PvSpec::array(Value::array(&array)))
            .pv("image", PvSpec::array(Value::array(&vec![7_u8; FRAME])))
            .serve_on(Arc::new(watched.clone()), NetConfig::new());
        let ioc = runtime.block_on(ioc).unwrap();
        let client = Client::builder()
            .isolated([ioc.udp_addr()])
            .runtime(Arc::new(watched.clone()));
        Self {
            client: client.build().unwrap(),
            runtime,
            watched,
            ioc,
        }
    }

    /// What `work` gives, and what it allocates; the log is of it alone.
    fn counted<R>(&self, work: impl Future<Output = R>) -> (R, AllocationInfo) {
        self.watched.log.clear();
        let mut result = None;
        let counted = measure(|| result = Some(self.runtime.block_on(work)));
        (result.unwrap(), counted)
    }

    fn value_in_ioc(&self, name: &str) -> Range<usize> {
        let snapshot = self.ioc.read(name).unwrap();
        memory(snapshot.value.payload().as_slice())
    }
}

/// The part of `value` that the client did not read in place is what the first read brought together
/// with the header.
fn assert_read_in_place(log: &Log, side: Side, value: &Range<usize>) {
    let in_place = log.bytes_within(side, Call::ReadInPlace, value);
    let copied = log.bytes(side, Call::Read);
    assert!(in_place + copied >= value.len());
    assert!(copied <= CHUNK_LEN + 4096, "{copied} bytes copied");
}

#[test]
fn a_read_array_is_sent_from_the_pv_and_received_where_the_user_finds_it() {
    let rig = Rig::new();
    let channel = rig.runtime.block_on(rig.client.connect("array")).unwrap();
    // The first array of a circuit makes its buffer grow.
    rig.runtime.block_on(channel.get::<Reading>()).unwrap();
    let (reading, counted) = rig.counted(channel.get::<Reading>());
    let reading = reading.unwrap();
    assert_eq!(
        reading.get::<f64>(ELEMENTS as u32 - 1),
        Some((ELEMENTS - 1) as f64)
    );
    let bytes: Bytes = reading.value_bytes();
    assert_eq!(bytes.len(), ARRAY);
    let log = &rig.watched.log;
    let source = rig.value_in_ioc("array");
    assert_eq!(log.bytes_within(Side::Server, Call::Write, &source), ARRAY);
    assert_read_in_place(log, Side::Client, &memory(&bytes));
    // The buffer that the user gets, once for both sides.
    assert!(counted.bytes_total < ARRAY as u64 + SMALL, "{counted:?}");
}

#[test]
fn a_frame_is_never_copied_between_its_writer_and_its_reader() {
    let rig = Rig::new();
    let channel = rig.runtime.block_on(rig.client.connect("image")).unwrap();
    let spec = MonitorSpec::time().overflow(Overflow::LatestOnly);
    let mut monitor = channel.monitor::<Reading>().spec(spec).start().unwrap();
    let mut next = |marked: u8| {
        let monitor = &mut monitor;
        let frame = Value::array(&vec![marked; FRAME]);
        let written = memory(frame.payload().as_slice());
        let channel = channel.clone();
        let (reading, counted) = rig.counted(async move {
            channel.put(frame).await.unwrap();
            loop {
                let item = monitor.next().await.unwrap();
                if let MonitorEvent::Update { value: reading, .. } = item
                    && reading.get::<u8>(0) == Some(marked)
                {
                    return reading;
                }
            }
        });
        (written, reading, counted)
    };
    next(1);
    let (written, reading, counted) = next(2);
    let log = &rig.watched.log;
    assert_eq!(log.bytes_within(Side::Client, Call::Write, &written), FRAME);
    // What the IOC received is what it keeps and sends.
    let kept = rig.value_in_ioc("image");
    assert_read_in_place(log, Side::Server, &kept);
    assert_eq!(log.bytes_within(Side::Server, Call::Write, &kept), FRAME);
    assert_read_in_place(log, Side::Client, &memory(&reading.value_bytes()));
    // A receive buffer on each side.
    assert!(
        counted.bytes_total < 2 * FRAME as u64 + SMALL,
        "{counted:?}"
    );
}
