//! Sockets around the engine, all on one thread.

mod circuit;
mod control;
mod datagrams;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time;

use ca_proto::Instant;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::engine::{Engine, Level, Opening};
use super::rule::Rule;

pub(super) use control::lines_of_stdin;

/// Servers behind the proxy, each with a port of its own; replies of further ones are lost.
const MAX_SERVERS: usize = 64;
/// Attempts to find a port that is free for TCP and UDP.
const ATTEMPTS: u32 = 100;

/// Pause after an accept that failed: out of descriptors, which others may give back.
const PAUSE: time::Duration = time::Duration::from_millis(50);

/// What the proxy is to be.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) listen: SocketAddrV4,
    pub(super) server: SocketAddrV4,
    pub(super) control: Option<SocketAddrV4>,
    pub(super) rules: Vec<Rule>,
    /// Whether every put is refused.
    pub(super) read_only: bool,
    pub(super) seed: u64,
    pub(super) level: Level,
}

/// A running proxy; its tasks end with the set of local tasks they live in.
#[derive(Clone, Debug)]
pub(super) struct Proxy(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: RefCell<Engine>,
    start: time::Instant,
    listen: SocketAddrV4,
    server: SocketAddrV4,
    control: Option<SocketAddrV4>,
    /// Ports of the proxy by the server they lead to.
    ports: RefCell<HashMap<SocketAddrV4, u16>>,
    /// Something changed that every task has to look at.
    changed: Notify,
    /// There are datagrams to send.
    datagrams: Notify,
    /// There are lines for the user.
    logged: Notify,
    quit: Cell<bool>,
}

impl Proxy {
    /// Opens the sockets and starts to work, within a set of local tasks.
    ///
    /// # Errors
    /// Addresses that cannot be bound, with the address.
    pub(super) async fn start(setup: Setup) -> Result<Self, (SocketAddrV4, io::Error)> {
        let (listener, udp) = bind_both(setup.listen)
            .await
            .map_err(|error| (setup.listen, error))?;
        let bound = |listener: &TcpListener, wanted| match listener.local_addr() {
            Ok(SocketAddr::V4(address)) => Ok(address),
            Ok(SocketAddr::V6(_)) => Err((wanted, io::ErrorKind::Unsupported.into())),
            Err(error) => Err((wanted, error)),
        };
        let listen = bound(&listener, setup.listen)?;
        let control = match setup.control {
            None => None,
            Some(wanted) => {
                let listener = TcpListener::bind(wanted)
                    .await
                    .map_err(|error| (wanted, error))?;
                Some((bound(&listener, wanted)?, listener))
            }
        };
        let mut engine = Engine::new(setup.rules, setup.seed, setup.level, listen);
        if setup.read_only {
            engine = engine.read_only();
        }
        let proxy = Self(Rc::new(Shared {
            engine: RefCell::new(engine),
            start: time::Instant::now(),
            listen,
            server: setup.server,
            control: control.as_ref().map(|(address, _)| *address),
            ports: RefCell::new(HashMap::from([(setup.server, listen.port())])),
            changed: Notify::new(),
            datagrams: Notify::new(),
            logged: Notify::new(),
            quit: Cell::new(false),
        }));
        spawn_local(proxy.clone().accept(listener, setup.server));
        spawn_local(datagrams::run(proxy.clone(), udp));
        if let Some((_, listener)) = control {
            spawn_local(control::serve(proxy.clone(), listener));
        }
        Ok(proxy)
    }

    /// Address for clients, UDP and TCP.
    pub(super) fn listen(&self) -> SocketAddrV4 {
        self.0.listen
    }

    /// Address of the line protocol.
    pub(super) fn control(&self) -> Option<SocketAddrV4> {
        self.0.control
    }

    /// Executes a line of the line protocol; the answer.
    pub(super) fn execute(&self, line: &str) -> String {
        let reply = self.with(|engine, now| super::control::execute(engine, now, line));
        if reply.changed {
            self.0.changed.notify_waiters();
            self.0.datagrams.notify_one();
        }
        if reply.quit {
            self.0.quit.set(true);
            self.0.logged.notify_one();
        }
        reply.text
    }

    /// Waits for something to tell; `None` when the proxy is to end.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn lines(&self) -> Option<Vec<String>> {
        loop {
            let lines = self.0.engine.borrow_mut().take_log();
            if !lines.is_empty() {
                return Some(lines);
            }
            if self.0.quit.get() {
                return None;
            }
            self.0.logged.notified().await;
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.0.start.elapsed()
    }

    fn with<R>(&self, work: impl FnOnce(&mut Engine, Instant) -> R) -> R {
        let mut engine = self.0.engine.borrow_mut();
        let result = work(&mut engine, self.now());
        if engine.has_log() {
            self.0.logged.notify_one();
        }
        result
    }

    /// Sleeps until an instant; for ever without one.
    async fn sleep_until(&self, at: Option<Instant>) {
        let elapsed = at.map(|at| time::Duration::from_nanos(at.as_nanos()));
        match elapsed.and_then(|elapsed| self.0.start.checked_add(elapsed)) {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }

    async fn accept(self, listener: TcpListener, server: SocketAddrV4) {
        loop {
            let Ok((stream, SocketAddr::V4(client))) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            match self.with(|engine, now| engine.open(now, client, server)) {
                Opening::Refuse => drop(stream.set_zero_linger()),
                Opening::Connect { id, after } => {
                    spawn_local(circuit::run(self.clone(), id, stream, server, after));
                }
            }
        }
    }

    /// The port that leads to a server; opens one for a server that is new.
    fn port_for(&self, server: SocketAddrV4) -> Option<u16> {
        let mut ports = self.0.ports.borrow_mut();
        if let Some(&port) = ports.get(&server) {
            return Some(port);
        }
        if ports.len() >= MAX_SERVERS {
            return None;
        }
        let listener = std::net::TcpListener::bind((*self.0.listen.ip(), 0)).ok()?;
        listener.set_nonblocking(true).ok()?;
        let port = listener.local_addr().ok()?.port();
        let listener = TcpListener::from_std(listener).ok()?;
        spawn_local(self.clone().accept(listener, server));
        ports.insert(server, port);
        Some(port)
    }
}

/// Binds one port for TCP and UDP.
async fn bind_both(address: SocketAddrV4) -> io::Result<(TcpListener, UdpSocket)> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..ATTEMPTS {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        match UdpSocket::bind((*address.ip(), port)).await {
            Ok(udp) => return Ok((listener, udp)),
            Err(error) if address.port() != 0 => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}
