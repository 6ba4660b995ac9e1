//! Datagrams: one socket for clients, and per client one towards the server.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use ca_net::{Budget, DatagramSocket, TaskHandle, Timer, UdpOptions};
use ca_proto::wire::MAX_UDP_RECV;

use super::{Driver, lock};
use crate::engine::To;
use crate::rule::Direction;

/// Clients with a socket of their own; for a further one the longest silent is forgotten.
const MAX_CLIENTS: usize = 256;

/// The one task sends through it and another one receives; neither waits under the lock.
type Socket = Arc<Mutex<Box<dyn DatagramSocket>>>;

/// A client's way to the server. Its task ends with it.
#[derive(Debug)]
struct Client {
    socket: Socket,
    replies: TaskHandle,
    /// Number of the datagram that it sent last.
    last: u64,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

struct Datagrams {
    proxy: Driver,
    listen: Box<dyn DatagramSocket>,
    clients: HashMap<SocketAddrV4, Client>,
    received: u64,
    /// A datagram that found its socket full.
    outgoing: Option<(To, Bytes)>,
    timer: Box<dyn Timer>,
    buffer: Vec<u8>,
}

/// Serves datagrams for ever.
pub(super) async fn run(proxy: Driver, listen: Box<dyn DatagramSocket>) {
    let mut datagrams = Datagrams {
        timer: proxy.0.runtime.timer(),
        proxy,
        listen,
        clients: HashMap::new(),
        received: 0,
        outgoing: None,
        buffer: vec![0; MAX_UDP_RECV],
    };
    poll_fn(|cx| datagrams.poll(cx)).await;
}

impl Datagrams {
    /// Never ready.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.proxy.register_datagrams(cx);
        let mut budget = Budget::default();
        loop {
            let more = self.send(cx, &mut budget) || self.receive(cx, &mut budget);
            if more {
                if budget.spend(0) {
                    continue;
                }
                self.proxy.0.runtime.yield_now(cx);
                return Poll::Pending;
            }
            // What has become due since the last look is sent at once; behind a datagram that found its
            // socket full it waits for that socket.
            let wake = match self.outgoing {
                Some(_) => None,
                None => self.proxy.with(|engine, _| engine.wake_datagrams()),
            };
            self.timer.reset(wake);
            ready!(self.timer.poll(cx));
        }
    }

    /// Sends what is due; true if there may be more.
    fn send(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> bool {
        loop {
            let next = self.outgoing.take();
            let next = next.or_else(|| self.proxy.with(|engine, now| engine.next_datagram(now)));
            let Some((to, data)) = next else {
                return false;
            };
            let sent = match to {
                To::ServerFor(client) => match self.clients.get(&client) {
                    Some(known) => lock(&known.socket).poll_send_to(cx, &data, self.proxy.0.server),
                    // It was forgotten for others.
                    None => continue,
                },
                To::Client(address) | To::Address(address) => {
                    self.listen.poll_send_to(cx, &data, address)
                }
            };
            // What cannot be sent is lost, as datagrams are.
            if sent.is_pending() {
                self.outgoing = Some((to, data));
                return false;
            }
            if !budget.spend(data.len()) {
                return true;
            }
        }
    }

    /// Takes a datagram of a client; true if there may be more.
    fn receive(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> bool {
        let Poll::Ready(received) = self.listen.poll_recv_from(cx, &mut self.buffer) else {
            return false;
        };
        // Errors are ICMP answers to something sent earlier.
        let (len, from) = received.unwrap_or((0, self.proxy.0.listen));
        if len > 0 && self.knows(from) {
            let data = self.buffer.get(..len).unwrap_or_default();
            pass(
                &self.proxy,
                Direction::Request,
                from,
                self.proxy.0.server,
                data,
            );
        }
        budget.spend(len);
        true
    }

    /// Takes note of a client that has sent something; false if there can be no socket for it.
    fn knows(&mut self, from: SocketAddrV4) -> bool {
        self.received += 1;
        if let Some(client) = self.clients.get_mut(&from) {
            client.last = self.received;
            return true;
        }
        let Some(client) = client(&self.proxy, from, self.received) else {
            return false;
        };
        if self.clients.len() >= MAX_CLIENTS
            && let Some(oldest) = self.clients.iter().min_by_key(|(_, client)| client.last)
        {
            let oldest = *oldest.0;
            self.clients.remove(&oldest);
        }
        self.clients.insert(from, client);
        true
    }
}

impl Driver {
    /// Has the task of datagrams woken when there is something to send.
    fn register_datagrams(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let old = self.with_state(|state, _, _| state.datagrams.replace(waker));
        drop(old);
    }
}

fn pass(proxy: &Driver, way: Direction, client: SocketAddrV4, server: SocketAddrV4, data: &[u8]) {
    let mut port_for = |server| proxy.port_for(server);
    proxy.with_state(|state, now, wakers| {
        (state.engine).datagram(now, way, client, server, data, &mut port_for);
        if way == Direction::Response {
            wakers.extend(state.datagrams.take());
        }
    });
}

/// Opens a client's socket towards the server and takes its replies.
fn client(proxy: &Driver, client: SocketAddrV4, last: u64) -> Option<Client> {
    let local = if proxy.0.server.ip().is_loopback() {
        Ipv4Addr::LOCALHOST
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    let options = UdpOptions {
        address: SocketAddrV4::new(local, 0),
        ..UdpOptions::default()
    };
    let socket = Arc::new(Mutex::new(proxy.0.runtime.bind_udp(&options).ok()?));
    let replies = replies(proxy.clone(), client, Arc::clone(&socket));
    Some(Client {
        socket,
        replies: proxy.0.runtime.spawn(Box::pin(replies)),
        last,
    })
}

/// Takes what the server sends to a client, for ever.
async fn replies(proxy: Driver, client: SocketAddrV4, socket: Socket) {
    let mut buffer = vec![0; MAX_UDP_RECV];
    loop {
        let received = poll_fn(|cx| lock(&socket).poll_recv_from(cx, &mut buffer)).await;
        if let Ok((len, server)) = received {
            let data = buffer.get(..len).unwrap_or_default();
            pass(&proxy, Direction::Response, client, server, data);
        }
    }
}
