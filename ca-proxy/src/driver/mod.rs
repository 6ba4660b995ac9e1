//! Sockets around the engine, on whatever [`Runtime`] there is.
//!
//! Each circuit, each listener and the datagrams have a task of their own. They share the engine behind
//! one lock, under which nothing is sent, awaited or woken. A task leaves its waker before it looks at
//! the engine, so that nothing happens in between.

mod circuit_task;
mod control;
mod datagrams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use ca_net::{DatagramSocket, Listener, Runtime, StreamOptions, TaskHandle, UdpOptions, WakerList};
use ca_proto::Instant;

use crate::config::{ProxyConfig, StartError};
use crate::engine::{Engine, Opening};

/// Servers behind the proxy, each with a port of its own; replies of further ones are lost.
const MAX_SERVERS: usize = 64;
/// Attempts to find a port that is free for TCP and UDP.
const ATTEMPTS: u32 = 100;

/// Pause after an accept that failed: out of descriptors, which others may give back.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections are what their ends make of them; the proxy adds no probes.
const STREAMS: StreamOptions = StreamOptions {
    keep_alive: false,
    local: std::net::Ipv4Addr::UNSPECIFIED,
};

/// What all tasks share.
#[derive(Clone, Debug)]
struct Driver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    runtime: Arc<dyn Runtime>,
    listen: SocketAddrV4,
    server: SocketAddrV4,
    control: Option<SocketAddrV4>,
    state: Mutex<State>,
    /// Ports of the proxy by the server they lead to. Taken while `state` is held, not the other way
    /// round.
    ports: Mutex<HashMap<SocketAddrV4, u16>>,
    tasks: Mutex<Tasks>,
}

/// Everything that runs. Each task forgets itself when it has ended.
#[derive(Default, Debug)]
struct Tasks {
    handles: BTreeMap<u64, TaskHandle>,
    started: u64,
    /// Nothing is started any more.
    stopped: bool,
}

/// The engine, and who is to be woken when it has changed.
#[derive(Debug)]
struct State {
    engine: Engine,
    /// The tasks of circuits, by the circuits' numbers.
    circuits: BTreeMap<u64, Waker>,
    /// The task that sends datagrams.
    datagrams: Option<Waker>,
    /// Who waits for something to tell the user.
    reader: Option<Waker>,
    quit: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under the lock is a defect of ours; the other circuits may go on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running proxy. It ends when it is dropped, or with [`stop`](Self::stop).
///
/// ```
/// # use std::sync::Arc;
/// # use ca_net::TokioRuntime;
/// # use ca_proxy::{Proxy, ProxyConfig};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Arc::new(TokioRuntime::current()?);
/// let script = "[[rule]]\n on = 'search'\n action = 'drop'\n times = 3".parse()?;
/// let server = "127.0.0.1:5064".parse()?;
/// let proxy = Proxy::start(runtime, ProxyConfig::new(server).script(script))?;
/// println!("EPICS_CA_ADDR_LIST={}", proxy.listen());
/// assert!(proxy.execute("list").ends_with("ok"));
/// proxy.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy(Driver);

impl Proxy {
    /// Opens the sockets and starts the tasks.
    ///
    /// # Errors
    /// An address that cannot be bound; a rule that could make puts, if the proxy is read-only.
    pub fn start(runtime: Arc<dyn Runtime>, config: ProxyConfig) -> Result<Self, StartError> {
        if config.read_only
            && let Some(rule) = config.script.makes_puts()
        {
            return Err(StartError::MakesPuts {
                rule: rule.id.clone(),
            });
        }
        let at = |address| move |source| StartError::Bind { address, source };
        let (listener, udp) = bind_both(&*runtime, config.listen).map_err(at(config.listen))?;
        let listen = listener.local_addr().map_err(at(config.listen))?;
        let commands = match config.control {
            None => None,
            Some(wanted) => {
                let listener = runtime.listen(wanted, &STREAMS).map_err(at(wanted))?;
                let address = listener.local_addr().map_err(at(wanted))?;
                Some((listener, address))
            }
        };
        let rules = config.script.into_rules();
        let mut engine = Engine::new(rules, config.seed, config.log, listen);
        if config.read_only {
            engine = engine.read_only();
        }
        let driver = Driver(Arc::new(Shared {
            runtime,
            listen,
            server: config.server,
            control: commands.as_ref().map(|(_, address)| *address),
            state: Mutex::new(State {
                engine,
                circuits: BTreeMap::new(),
                datagrams: None,
                reader: None,
                quit: false,
            }),
            ports: Mutex::new(HashMap::from([(config.server, listen.port())])),
            tasks: Mutex::default(),
        }));
        driver.spawn(driver.clone().accept(listener, config.server));
        driver.spawn(datagrams::run(driver.clone(), udp));
        if let Some((listener, _)) = commands {
            driver.spawn(control::serve(driver.clone(), listener));
        }
        Ok(Self(driver))
    }

    /// Address for clients, UDP and TCP, with the port that the system chose.
    pub fn listen(&self) -> SocketAddrV4 {
        self.0.0.listen
    }

    /// Address of the line protocol, if there is one.
    pub fn control(&self) -> Option<SocketAddrV4> {
        self.0.0.control
    }

    /// Executes a line of the line protocol, such as `off late`; the answer, whose last line is `ok` or
    /// begins with `error: `. `help` lists the commands.
    pub fn execute(&self, line: &str) -> String {
        self.0.execute(line)
    }

    /// Waits for lines about circuits and faults, see [`ProxyConfig::log`]; `None` after the command
    /// `quit`.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn lines(&self) -> Option<Vec<String>> {
        self.0.lines().await
    }

    /// Ends all circuits, in order, and closes the ports: when this returns, they are free.
    ///
    /// # Cancel safety
    /// All of it ends even if the future is dropped, only later.
    pub async fn stop(self) {
        for task in self.0.end() {
            task.await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Driver {
    /// Ends all tasks, and lets none begin any more; those to wait for.
    fn end(&self) -> Vec<TaskHandle> {
        let mut tasks = lock(&self.0.tasks);
        tasks.stopped = true;
        let ended = std::mem::take(&mut tasks.handles);
        drop(tasks);
        ended.values().for_each(TaskHandle::abort);
        ended.into_values().collect()
    }

    /// Executes a line of the line protocol; the answer.
    fn execute(&self, line: &str) -> String {
        self.with_state(|state, now, wakers| {
            let reply = crate::control::execute(&mut state.engine, now, line);
            if reply.changed {
                wakers.extend(state.circuits.values().cloned());
                wakers.extend(state.datagrams.take());
            }
            if reply.quit {
                state.quit = true;
                wakers.extend(state.reader.take());
            }
            reply.text
        })
    }

    /// Waits for something to tell; `None` when the proxy is to end.
    async fn lines(&self) -> Option<Vec<String>> {
        poll_fn(|cx| {
            let mut state = lock(&self.0.state);
            let lines = state.engine.take_log();
            if !lines.is_empty() {
                return Poll::Ready(Some(lines));
            }
            if state.quit {
                return Poll::Ready(None);
            }
            let old = state.reader.replace(cx.waker().clone());
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.0.tasks);
        if tasks.stopped {
            return;
        }
        let number = tasks.started;
        tasks.started += 1;
        let driver = self.clone();
        // It cannot forget itself before it is known: that waits for the lock.
        let handle = self.0.runtime.spawn(Box::pin(async move {
            task.await;
            let handle = lock(&driver.0.tasks).handles.remove(&number);
            drop(handle);
        }));
        tasks.handles.insert(number, handle);
    }

    async fn sleep(&self, time: Duration) {
        let mut timer = self.0.runtime.timer();
        timer.reset(Some(self.0.runtime.now() + time));
        poll_fn(|cx| timer.poll(cx)).await;
    }

    /// Works with the engine.
    fn with<R>(&self, work: impl FnOnce(&mut Engine, Instant) -> R) -> R {
        self.with_state(|state, now, _| work(&mut state.engine, now))
    }

    fn with_state<R>(&self, work: impl FnOnce(&mut State, Instant, &mut WakerList) -> R) -> R {
        let mut wakers = WakerList::new();
        let mut state = lock(&self.0.state);
        // Read under the lock, so that it never goes back.
        let now = self.0.runtime.now();
        let result = work(&mut state, now, &mut wakers);
        if state.engine.has_log() {
            wakers.extend(state.reader.take());
        }
        drop(state);
        wakers.wake_all();
        result
    }

    async fn accept(self, mut listener: Box<dyn Listener>, server: SocketAddrV4) {
        loop {
            let Ok((mut stream, client)) = poll_fn(|cx| listener.poll_accept(cx)).await else {
                self.sleep(PAUSE).await;
                continue;
            };
            match self.with(|engine, now| engine.open(now, client, server)) {
                Opening::Refuse => stream.abort_on_drop(),
                Opening::Connect { id, after } => {
                    self.spawn(circuit_task::run(self.clone(), id, stream, server, after));
                }
            }
        }
    }

    /// The port that leads to a server; opens one for a server that is new.
    fn port_for(&self, server: SocketAddrV4) -> Option<u16> {
        let mut ports = lock(&self.0.ports);
        if let Some(&port) = ports.get(&server) {
            return Some(port);
        }
        if ports.len() >= MAX_SERVERS {
            return None;
        }
        let address = SocketAddrV4::new(*self.0.listen.ip(), 0);
        let listener = self.0.runtime.listen(address, &STREAMS).ok()?;
        let port = listener.local_addr().ok()?.port();
        self.spawn(self.clone().accept(listener, server));
        ports.insert(server, port);
        Some(port)
    }
}

/// Binds one port for TCP and UDP.
fn bind_both(
    runtime: &dyn Runtime,
    address: SocketAddrV4,
) -> io::Result<(Box<dyn Listener>, Box<dyn DatagramSocket>)> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..ATTEMPTS {
        let listener = runtime.listen(address, &STREAMS)?;
        let options = UdpOptions {
            address: SocketAddrV4::new(*address.ip(), listener.local_addr()?.port()),
            ..UdpOptions::default()
        };
        match runtime.bind_udp(&options) {
            Ok(udp) => return Ok((listener, udp)),
            Err(error) if address.port() != 0 => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}
