//! Hosts, network and clock together.

use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::any::Any;
use std::collections::BTreeMap;

use ca_proto::Instant;

use crate::api::{IocId, IocSetup};
use crate::host::{Host, HostInput, HostOutput};
use crate::net::{Delivery, HostId, SimNet};
use crate::trace::Trace;

/// Silence after which a world counts as settled: nothing travels and nobody wants to be called
/// for this long.
pub const QUIET: Duration = Duration::from_millis(250);
/// Steps after which [`World::settle`] gives up.
const MAX_SETTLE_STEPS: usize = 300_000;
/// Simulated time after which [`World::settle`] gives up.
const MAX_SETTLE: Duration = Duration::from_secs(120);
/// Simulated time after which [`World::run_until`] gives up.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// Outputs of one host at one moment after which it counts as spinning.
const MAX_OUTPUTS: usize = 200_000;
/// Trace lines in a panic message.
const TAIL: usize = 40;

/// A world that does not come to rest, or a promise that was seen broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Busy {
    /// What is wrong.
    pub what: String,
    /// The end of the trace.
    pub tail: String,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.tail)
    }
}

impl std::error::Error for Busy {}

#[derive(Debug)]
struct Slot {
    host: Box<dyn Host>,
    up: bool,
    /// How far the host's clock is ahead of the world's.
    ahead: Duration,
    /// When the host wants to be called, by the world's clock; asked once after each thing it does.
    due: Option<Instant>,
}

impl Slot {
    fn new(host: impl Host) -> Self {
        Self {
            host: Box::new(host),
            up: true,
            ahead: Duration::ZERO,
            due: None,
        }
    }

    fn ask_due(&mut self) {
        let due = self.host.poll_timeout().filter(|_| self.up);
        self.due = due.map(|at| at.checked_sub(self.ahead).unwrap_or(Instant::ZERO));
    }
}

/// Clients, IOCs and others on a virtual network with a virtual clock.
///
/// Nothing happens by itself: the world moves when [`step`](Self::step), [`settle`](Self::settle)
/// or one of the `run` methods is called, and time jumps from event to event.
#[derive(Debug)]
pub struct World {
    now: Instant,
    seed: u64,
    hosts: Vec<Slot>,
    /// How the IOCs are started again.
    pub(crate) iocs: BTreeMap<IocId, IocSetup>,
    /// The network: faults are set here.
    pub net: SimNet,
    /// Every frame as text.
    pub trace: Trace,
    wrong: Option<String>,
    steps: u64,
    touched: Option<HostId>,
}

impl World {
    /// An empty world; everything random in it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            seed,
            hosts: Vec::new(),
            iocs: BTreeMap::new(),
            net: SimNet::new(seed),
            trace: Trace::default(),
            wrong: None,
            steps: 0,
            touched: None,
        }
    }

    /// The host that the last [`step`](Self::step) was about; `None` if nobody was called, as when a
    /// datagram got lost.
    pub const fn touched(&self) -> Option<HostId> {
        self.touched
    }

    /// The simulated time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The seed it was made from.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Steps so far.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Puts a host at an address; `kind` begins its name in the trace (`c` gives `c1`, `c2`, …).
    pub fn add(&mut self, kind: &str, addr: Ipv4Addr, host: impl Host) -> HostId {
        let named = |id: usize| self.trace.name(HostId(id)).starts_with(kind);
        let number = 1 + (0..self.hosts.len()).filter(|&id| named(id)).count();
        self.trace.add_host(&format!("{kind}{number}"));
        self.hosts.push(Slot::new(host));
        let id = self.net.add_host(addr);
        self.drain(id);
        id
    }

    /// The next free address of the subnet `10.0.SUBNET.0/24`.
    pub fn free_addr(&self, subnet: u8) -> Ipv4Addr {
        let taken =
            |addr: Ipv4Addr| (0..self.hosts.len()).any(|id| self.net.addr(HostId(id)) == addr);
        (1..=254)
            .map(|last| Ipv4Addr::new(10, 0, subnet, last))
            .find(|addr| !taken(*addr))
            .expect("a world has fewer than 254 hosts per subnet")
    }

    /// A host as what it is.
    ///
    /// # Panics
    /// If the host is of another type.
    pub fn host<T: Host>(&self, id: impl Into<HostId>) -> &T {
        let host: &dyn Any = &*self.hosts[id.into().0].host;
        host.downcast_ref()
            .expect("the host is of the type asked for")
    }

    /// Lets `act` use a host, then carries out what the host wants done.
    ///
    /// # Panics
    /// If the host is of another type.
    pub fn with<T: Host, R>(
        &mut self,
        id: impl Into<HostId>,
        act: impl FnOnce(&mut T, Instant) -> R,
    ) -> R {
        let id = id.into();
        let slot = &mut self.hosts[id.0];
        let now = self.now + slot.ahead;
        let host: &mut dyn Any = &mut *slot.host;
        let host = host
            .downcast_mut()
            .expect("the host is of the type asked for");
        let result = act(host, now);
        self.drain(id);
        result
    }

    /// Takes something out of a host that does not make it act.
    pub(crate) fn look<T: Host>(&mut self, id: impl Into<HostId>) -> Option<&mut T> {
        let host: &mut dyn Any = &mut *self.hosts[id.into().0].host;
        host.downcast_mut()
    }

    /// The clock of one host jumps ahead, the others go on: what it waits for comes due early.
    pub fn jump_clock(&mut self, id: impl Into<HostId>, time: Duration) {
        let slot = &mut self.hosts[id.into().0];
        slot.ahead += time;
        slot.ask_due();
    }

    /// How far the clock of a host is ahead of the world's.
    pub fn clock_ahead(&self, id: impl Into<HostId>) -> Duration {
        self.hosts[id.into().0].ahead
    }

    /// The hosts in order of creation.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// The power of a host fails: its sockets are gone without a word, it is not called any more.
    pub fn power_off(&mut self, id: impl Into<HostId>) {
        let id = id.into();
        self.note(id, "loses power");
        self.switch_off(id);
        self.net.crash(id);
    }

    /// The process on a host ends: the system closes its sockets. It is not called any more.
    pub fn kill(&mut self, id: impl Into<HostId>) {
        let id = id.into();
        self.note(id, "stops");
        self.switch_off(id);
        self.net.close_all(id);
    }

    fn switch_off(&mut self, id: HostId) {
        let slot = &mut self.hosts[id.0];
        slot.up = false;
        slot.due = None;
    }

    /// Starts another program on a host that was off or whose process ended.
    pub fn boot(&mut self, id: impl Into<HostId>, host: impl Host) {
        let id = id.into();
        self.note(id, "starts");
        self.net.close_all(id);
        self.net.power_up(id);
        self.hosts[id.0] = Slot::new(host);
        self.drain(id);
    }

    fn note(&mut self, id: HostId, what: &str) {
        if !self.trace.enabled {
            return;
        }
        let text = format!("{} {what}", self.trace.name(id));
        self.trace.note(self.now, &text);
    }

    /// True while the host runs.
    pub fn is_up(&self, id: impl Into<HostId>) -> bool {
        self.hosts[id.into().0].up
    }

    fn next_timeout(&self) -> Option<(Instant, HostId)> {
        // hot: asked for each step.
        self.hosts
            .iter()
            .enumerate()
            .filter_map(|(id, slot)| Some((slot.due?, HostId(id))))
            .min()
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Instant> {
        let timeout = self.next_timeout().map(|(at, _)| at);
        [timeout, self.net.next_at()].into_iter().flatten().min()
    }

    /// Lets the next thing happen, a delivery or a timeout; false if there is none.
    pub fn step(&mut self) -> bool {
        let delivery = self.net.next_at();
        let timeout = self.next_timeout();
        self.touched = None;
        match (delivery, timeout) {
            (None, None) => return false,
            (Some(at), timeout) if timeout.is_none_or(|(due, _)| at <= due) => {
                self.now = self.now.max(at);
                if let Some((id, delivery)) = self.net.pop(self.now) {
                    self.deliver(id, &delivery);
                }
            }
            (_, Some((at, id))) => {
                self.now = self.now.max(at);
                let slot = &mut self.hosts[id.0];
                slot.host.handle_timeout(self.now + slot.ahead);
                self.touched = Some(id);
                self.drain(id);
                self.check_timeout(id);
            }
            (Some(_), None) => unreachable!("the guard of the arm above is true without a timeout"),
        }
        self.steps += 1;
        true
    }

    /// After a timeout was handled the next one lies in the future (invariant 6).
    fn check_timeout(&mut self, id: HostId) {
        if let Some(at) = self.hosts[id.0].due
            && at <= self.now
        {
            let name = self.trace.name(id);
            let now = self.now;
            self.wrong.get_or_insert_with(|| {
                format!("{name} spins: at {now} it handled its timeout and wants {at} next")
            });
        }
    }

    fn deliver(&mut self, id: HostId, delivery: &Delivery) {
        if !self.hosts[id.0].up {
            return;
        }
        let input = match *delivery {
            Delivery::Datagram {
                port,
                from,
                ref data,
                ..
            } => HostInput::Datagram { port, from, data },
            Delivery::Unowned { addr } => HostInput::Unowned { addr },
            Delivery::Accepted {
                conn,
                port,
                peer,
                window,
            } => HostInput::Accepted {
                conn,
                port,
                peer,
                window,
            },
            Delivery::Connected { conn, window } => HostInput::Connected { conn, window },
            Delivery::Data {
                conn,
                ref data,
                full,
            } => HostInput::Data { conn, data, full },
            Delivery::Writable { conn, window } => HostInput::Writable { conn, window },
            Delivery::Closed { conn, how } => HostInput::Closed { conn, how },
        };
        let slot = &mut self.hosts[id.0];
        slot.host.handle(self.now + slot.ahead, input);
        self.touched = Some(id);
        self.drain(id);
    }

    /// Carries out what a host wants done.
    fn drain(&mut self, id: HostId) {
        let slot = &mut self.hosts[id.0];
        if !slot.up {
            return;
        }
        let now = self.now + slot.ahead;
        for _ in 0..MAX_OUTPUTS {
            let Some(output) = slot.host.poll_output(now) else {
                if let Some(what) = slot.host.complaint() {
                    self.wrong.get_or_insert(what);
                }
                slot.ask_due();
                return;
            };
            self.net.apply(self.now, id, output, &mut self.trace);
        }
        let name = self.trace.name(id);
        self.wrong
            .get_or_insert_with(|| format!("{name} has output without end"));
    }

    /// Asks a host to do something on the network, for hosts driven from outside.
    pub fn ask(&mut self, id: impl Into<HostId>, output: HostOutput) {
        self.net.apply(self.now, id.into(), output, &mut self.trace);
    }

    fn busy(&self, what: impl Into<String>) -> Busy {
        Busy {
            what: format!("seed {}, at {}: {}", self.seed, self.now, what.into()),
            tail: self.trace.tail(TAIL),
        }
    }

    /// What was seen to go wrong so far.
    ///
    /// # Errors
    /// [`Busy`] with the first broken promise.
    pub fn check(&self) -> Result<(), Busy> {
        match &self.wrong {
            Some(what) => Err(self.busy(what.clone())),
            None => Ok(()),
        }
    }

    /// What was seen to go wrong so far, in words.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Notes a broken promise found from outside; the first one counts.
    pub fn complain(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.wrong.get_or_insert(what);
    }

    /// Runs until nothing travels and nobody wants to be called within [`QUIET`].
    ///
    /// # Errors
    /// [`Busy`] when that does not happen within a bounded number of steps and amount of simulated
    /// time, or when a promise was seen broken on the way.
    pub fn settle(&mut self) -> Result<(), Busy> {
        let end = self.now + MAX_SETTLE;
        for _ in 0..MAX_SETTLE_STEPS {
            self.check()?;
            match self.next_at() {
                None => return Ok(()),
                Some(next) if !self.net.in_flight() && next > self.now + QUIET => return Ok(()),
                Some(next) if next > end => return Err(self.busy("no rest")),
                Some(_) => self.step(),
            };
        }
        Err(self.busy(format!("no rest within {MAX_SETTLE_STEPS} steps")))
    }

    /// Runs for an amount of simulated time.
    ///
    /// # Panics
    /// If a promise was seen broken.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
        if let Err(busy) = self.check() {
            panic!("{busy}");
        }
    }

    /// Runs to a point in time, or until something goes wrong.
    pub fn run_to(&mut self, end: Instant) {
        while self.wrong.is_none() && self.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Runs until a condition holds; how long that took in simulated time.
    ///
    /// # Panics
    /// If it does not hold within ten simulated minutes, or a promise was seen broken.
    pub fn run_until(&mut self, mut what: impl FnMut(&Self) -> bool) -> Duration {
        let start = self.now;
        loop {
            if let Err(busy) = self.check() {
                panic!("{busy}");
            }
            if what(self) {
                return self.now - start;
            }
            if self.now - start > MAX_WAIT || !self.step() {
                panic!("{}", self.busy("what was waited for did not happen"));
            }
        }
    }

    /// Lets time pass without anybody noticing, as when a machine sleeps: what came due meanwhile
    /// happens late.
    pub fn jump(&mut self, time: Duration) {
        self.now += time;
    }
}

/// The seed of a test run: `CANTER_SEED`, or a fixed number.
///
/// # Panics
/// If the variable is set to something that is not a number.
pub fn seed() -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(text) => text
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{SEED_VARIABLE}={text} is not a number")),
        Err(_) => 1,
    }
}

/// Environment variable that selects one seed.
pub const SEED_VARIABLE: &str = "CANTER_SEED";
