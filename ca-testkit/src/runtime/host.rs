//! A host's view of the runtime, its timers and its dials.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ca_net::{
    BoxFuture, ByteStream, DatagramSocket, Dial, Listener, Runtime, StreamOptions, TaskHandle,
    Timer, UdpOptions,
};
use ca_proto::addr_list::{Interface, Reach};
use ca_proto::{Instant, Timestamp};

use super::Inner;
use super::sockets::{self, Dialling, SimListener, SimUdp};
use super::stream::SimStream;
use super::tasks::{self, Wait};
use crate::host::{HostOutput, wall};
use crate::net::{ConnId, HostId};

#[derive(Debug)]
pub(super) struct HostRuntime {
    pub(super) inner: Arc<Inner>,
    pub(super) id: HostId,
    pub(super) addr: Ipv4Addr,
}

impl Runtime for HostRuntime {
    fn now(&self) -> Instant {
        self.inner.lock().look()
    }

    fn wall(&self) -> Timestamp {
        wall(self.now())
    }

    fn entropy(&self) -> u64 {
        let mut state = self.inner.lock();
        state.seeds = state.seeds.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.seeds
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SimTimer::new(self.inner.clone()))
    }

    fn spawn(&self, task: BoxFuture<()>) -> TaskHandle {
        tasks::spawn(&self.inner, Some(self.id), task)
    }

    fn dial(&self, to: SocketAddrV4, _options: &StreamOptions) -> Dial {
        Box::pin(SimDial {
            inner: self.inner.clone(),
            host: self.id,
            to,
            conn: None,
        })
    }

    fn listen(&self, address: SocketAddrV4, _: &StreamOptions) -> io::Result<Box<dyn Listener>> {
        let address = self.inner.with(|state, _| {
            self.check(*address.ip())?;
            sockets::listen(state, self.id, address)
        })?;
        Ok(Box::new(SimListener {
            inner: self.inner.clone(),
            host: self.id,
            address,
        }))
    }

    /// The loopback interface and one to the subnet.
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let [a, b, c, _] = self.addr.octets();
        let interface = |addr, loopback, reach| Interface {
            addr,
            up: true,
            loopback,
            reach,
        };
        let broadcast = Reach::Broadcast(Ipv4Addr::new(a, b, c, 255));
        let mut all = vec![interface(Ipv4Addr::LOCALHOST, true, Reach::None)];
        if self.inner.lock().sockets[self.id.index()].up {
            all.push(interface(self.addr, false, broadcast));
        }
        Ok(all)
    }

    fn bind_udp(&self, options: &UdpOptions) -> io::Result<Box<dyn DatagramSocket>> {
        let (key, address) = self.inner.with(|state, _| {
            self.check(*options.address.ip())?;
            sockets::bind_udp(state, self.id, options)
        })?;
        Ok(Box::new(SimUdp {
            inner: self.inner.clone(),
            host: self.id,
            key,
            address,
        }))
    }
}

impl HostRuntime {
    /// Whether one can listen on this address: any, loopback, the own, the subnet's broadcast.
    fn check(&self, ip: Ipv4Addr) -> io::Result<()> {
        let [a, b, c, _] = self.addr.octets();
        let ours = ip.is_unspecified()
            || ip.is_loopback()
            || ip == self.addr
            || ip == Ipv4Addr::new(a, b, c, 255);
        match ours {
            true => Ok(()),
            false => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}

/// A deadline in the table of the runtime, where it stands from a poll to its time or to the next
/// change.
#[derive(Debug)]
pub(super) struct SimTimer {
    inner: Arc<Inner>,
    deadline: Option<Instant>,
    armed: Option<(Instant, u64)>,
}

impl SimTimer {
    pub(super) const fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            deadline: None,
            armed: None,
        }
    }

    fn disarm(&mut self) {
        if let Some(key) = self.armed.take() {
            let _waker = self.inner.with(|state, _| state.timers.remove(&key));
        }
    }
}

impl Timer for SimTimer {
    fn reset(&mut self, deadline: Option<Instant>) {
        if self.deadline != deadline {
            self.disarm();
        }
        self.deadline = deadline;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.disarm();
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let armed = &mut self.armed;
        let due = self.inner.with(|state, _| {
            if state.look() >= deadline {
                return true;
            }
            // The end of time is how "never" is written.
            if deadline < Instant::MAX {
                state.next_timer += 1;
                let key = (deadline, state.next_timer);
                state.timers.insert(key, cx.waker().clone());
                state.tasks.note(Wait::Time(deadline));
                *armed = Some(key);
            }
            false
        });
        if !due {
            return Poll::Pending;
        }
        self.deadline = None;
        Poll::Ready(())
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.disarm();
    }
}

#[derive(Debug)]
struct SimDial {
    inner: Arc<Inner>,
    host: HostId,
    to: SocketAddrV4,
    /// Under way, from the first poll on.
    conn: Option<ConnId>,
}

impl Future for SimDial {
    type Output = io::Result<Box<dyn ByteStream>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (host, to, conn) = (self.host, self.to, self.conn);
        let (conn, outcome) = self.inner.with(|state, _| {
            let conn = conn.unwrap_or_else(|| {
                let conn = state.sockets[host.index()].dial();
                state.apply(host, HostOutput::Dial { conn, to });
                conn
            });
            let local = state.net.local_addr(host, conn);
            let dials = &mut state.sockets[host.index()].dials;
            let Some(Dialling::Pending(waker)) = dials.get_mut(&conn) else {
                return (conn, Some((dials.remove(&conn), local)));
            };
            let old = waker.replace(cx.waker().clone());
            state.old.extend(old);
            state.tasks.note(Wait::Dial(conn));
            (conn, None)
        });
        self.conn = Some(conn);
        let Some((outcome, local)) = outcome else {
            return Poll::Pending;
        };
        self.conn = None;
        Poll::Ready(match outcome {
            Some(Dialling::Open) => {
                let local = local.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
                let inner = self.inner.clone();
                Ok(Box::new(SimStream::new(inner, host, conn, local)))
            }
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        })
    }
}

impl Drop for SimDial {
    fn drop(&mut self) {
        if let Some(conn) = self.conn {
            let _dialling = self.inner.with(|state, _| {
                let sockets = &mut state.sockets[self.host.index()];
                sockets.streams.remove(&conn);
                let dialling = sockets.dials.remove(&conn);
                state.apply(self.host, HostOutput::Abort { conn });
                dialling
            });
        }
    }
}
