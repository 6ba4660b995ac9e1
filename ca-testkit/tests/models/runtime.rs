//! A host whose tasks are threads of the model.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ca_net::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, Task,
    TaskHandle, Timer, UdpOptions,
};
use ca_proto::addr_list::Interface;
use ca_proto::{Instant, Timestamp};
use shuttle::future::{JoinHandle, spawn};
use shuttle::rand::{Rng, thread_rng};

use crate::stream::{Stream, connection};

/// Deadlines that are no further away pass at any time, others never: searches and first beacons go on, but no
/// time-out hides a wake-up that is lost. Those that are further away when they are set come closer as time passes.
const SOON: Duration = Duration::from_millis(300);

/// Pauses are shorter than so many bits of nanoseconds, 0.13 s: as long as the deadlines that pass. Long
/// enough for others too, they would hide a wake-up that is lost.
const BITS: u32 = 27;
/// One in a thousand may be as long as this, 2 s.
const MOST_BITS: u32 = 31;

/// How long a machine with much else to do lets us wait. All lengths from nanoseconds on come equally
/// often. The scheduler draws it, so that a schedule repeats it.
fn pause() -> Duration {
    let mut rng = thread_rng();
    let bits = if rng.gen_ratio(1, 1000) {
        MOST_BITS
    } else {
        BITS
    };
    let shortest = 1 << rng.gen_range(0..bits);
    Duration::from_nanos(rng.gen_range(shortest..2 * shortest))
}

/// Who waits for something to come, and what has come.
#[derive(Debug)]
struct Inbox<T> {
    items: VecDeque<T>,
    waker: Option<Waker>,
}

impl<T> Inbox<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let item = self.items.pop_front();
        if item.is_none() {
            self.waker = Some(cx.waker().clone());
        }
        item.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            waker: None,
        }
    }
}

#[derive(Debug)]
struct State {
    now: Instant,
    last_port: u16,
    /// Deadlines that are further away than [`SOON`].
    far: Vec<Bell>,
    datagrams: BTreeMap<u16, Inbox<(Vec<u8>, SocketAddrV4)>>,
    connections: BTreeMap<u16, Inbox<(Stream, SocketAddrV4)>>,
}

/// A deadline, and whom it wakes.
type Bell = (Instant, Arc<Mutex<Option<Waker>>>);

/// One host on which everybody lives, in half of the schedules a machine with much else to do.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// A lock that no thread of the model ever waits for.
    state: Arc<Mutex<State>>,
    /// Bytes that a connection holds in each direction.
    capacity: usize,
    /// Time passes between any two looks at the clock.
    busy: bool,
}

impl Host {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                now: Instant::ZERO + Duration::from_secs(1),
                last_port: 0,
                far: Vec::new(),
                datagrams: BTreeMap::new(),
                connections: BTreeMap::new(),
            })),
            capacity,
            busy: thread_rng().gen_bool(0.5),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What is no longer far away may pass from now on.
    fn ring_soon(&self, now: Instant) {
        let near = |&mut (at, _): &mut Bell| at <= now + SOON;
        let bells: Vec<Bell> = self.lock().far.extract_if(.., near).collect();
        for (at, waker) in bells {
            drop(spawn(ring(self.clone(), at, waker)));
        }
    }

    fn address(&self, port: u16) -> SocketAddrV4 {
        let mut state = self.lock();
        let port = if port == 0 {
            state.last_port += 1;
            40_000 + state.last_port
        } else {
            port
        };
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }
}

impl Runtime for Host {
    fn now(&self) -> Instant {
        let pause = if self.busy { pause() } else { Duration::ZERO };
        let mut state = self.lock();
        state.now += pause;
        let now = state.now;
        drop(state);
        self.ring_soon(now);
        now
    }

    fn wall(&self) -> Timestamp {
        Timestamp {
            secs: 1_000_000_000,
            nanos: 0,
        }
    }

    fn entropy(&self) -> u64 {
        1
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(Alarm {
            host: self.clone(),
            deadline: None,
            ringing: None,
        })
    }

    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle {
        TaskHandle::new(Spawned(spawn(task)))
    }

    fn dial(&self, to: SocketAddrV4, _: &StreamOptions) -> Dial {
        let host = self.clone();
        Box::pin(async move {
            let from = host.address(0);
            let [near, far] = connection([from, to], host.capacity);
            let mut state = host.lock();
            let listener = state.connections.get_mut(&to.port());
            let listener = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
            listener.items.push_back((far, from));
            let waker = listener.waker.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
            let near: Box<dyn ByteStream> = Box::new(near);
            Ok(near)
        })
    }

    fn listen(&self, on: SocketAddrV4, _: &StreamOptions) -> io::Result<Box<dyn Listener>> {
        let local = self.address(on.port());
        self.lock()
            .connections
            .insert(local.port(), Inbox::default());
        let host = self.clone();
        Ok(Box::new(Port { host, local }))
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        Ok(Vec::new())
    }

    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>> {
        let local = self.address(options.address.port());
        self.lock().datagrams.insert(local.port(), Inbox::default());
        let host = self.clone();
        Ok(Box::new(Port { host, local }))
    }
}

/// A listener or a UDP socket.
#[derive(Debug)]
struct Port {
    host: Host,
    local: SocketAddrV4,
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut state = self.host.lock();
        state.datagrams.remove(&self.local.port());
        let gone = state.connections.remove(&self.local.port());
        drop(state);
        // Its connections end, and wake their other ends.
        drop(gone);
    }
}

impl Listener for Port {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddrV4)>> {
        let mut state = self.host.lock();
        let inbox = state.connections.entry(self.local.port()).or_default();
        inbox.poll(cx).map(|(stream, peer)| {
            let stream: Box<dyn ByteStream> = Box::new(stream);
            Ok((stream, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(self.local)
    }
}

impl DatagramSocket for Port {
    fn poll_send_to(
        &mut self,
        _: &mut Context<'_>,
        data: &[u8],
        to: SocketAddrV4,
    ) -> Poll<io::Result<()>> {
        let mut state = self.host.lock();
        // Nobody there: the datagram is lost.
        let waker = state.datagrams.get_mut(&to.port()).and_then(|inbox| {
            inbox.items.push_back((data.to_vec(), self.local));
            inbox.waker.take()
        });
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_recv_from(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddrV4)>> {
        let mut state = self.host.lock();
        let inbox = state.datagrams.entry(self.local.port()).or_default();
        inbox.poll(cx).map(|(data, from)| {
            let len = data.len().min(buf.len());
            buf[..len].copy_from_slice(&data[..len]);
            Ok((len, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(self.local)
    }
}

#[derive(Debug)]
struct Spawned(JoinHandle<()>);

impl Task for Spawned {
    fn abort(&self) {
        self.0.abort();
    }

    fn poll_join(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// A timer; its deadline passes when its thread has its turn.
#[derive(Debug)]
struct Alarm {
    host: Host,
    deadline: Option<Instant>,
    /// Whom the thread of this deadline wakes.
    ringing: Option<Bell>,
}

impl Timer for Alarm {
    fn reset(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
        let known = self.ringing.as_ref().map(|(at, _)| *at);
        if let Some(at) = deadline
            && known != deadline
        {
            let waker = Arc::default();
            self.ringing = Some((at, Arc::clone(&waker)));
            self.host.lock().far.push((at, waker));
            self.host.ring_soon(self.host.now());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((_, waker)) = &self.ringing {
            *waker.lock().unwrap() = Some(cx.waker().clone());
        }
        match self.deadline {
            Some(deadline) if deadline <= self.host.now() => {
                self.deadline = None;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

/// The time `at` has come.
async fn ring(host: Host, at: Instant, waker: Arc<Mutex<Option<Waker>>>) {
    let mut state = host.lock();
    state.now = state.now.max(at);
    let now = state.now;
    drop(state);
    host.ring_soon(now);
    let waker = waker.lock().unwrap().take();
    waker.into_iter().for_each(Waker::wake);
}
