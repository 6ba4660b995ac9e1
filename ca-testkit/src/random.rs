//! Random operations on clients, IOCs and the network, checked after each.

use core::fmt;
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

use ca_proto::access::AccessRights;
use ca_proto::client::{SubSpec, Token, TypeSpec};
use ca_proto::dbr::{Family, Value};
use ca_proto::rng::Pcg32;
use ca_proto::wire::message::EventMask;
use ca_proto::{Instant, config::ServerParams};
use ca_server_sim::Ioc;

use crate::api::{ClientId, IocId, Pvs, read_time};
use crate::host::{ClientHost, HostileHost, IocHost};
use crate::invariants::Checker;
use crate::net::{HostId, Link, Segmentation};
use crate::world::World;

/// Operations of one run from bytes: a fuzzer tries many short stories rather than few long ones.
const MAX_OPS: usize = 24;
/// Clients, and IOCs, of a run from a seed.
const HOSTS: usize = 2;
/// Lines of operations and of the trace in a failure.
const TAIL: usize = 60;
/// A name that no IOC serves.
const NOBODY: &str = "nobody";
/// Time for everything to come back once all faults are gone: the slowest search lane is 60 s here,
/// an unresponsive circuit takes a time-out and an echo.
const RECOVERY: Duration = Duration::from_secs(400);
/// Time for an orderly end.
const GOODBYE: Duration = Duration::from_secs(30);

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Operations.
    pub ops: usize,
    /// Events of the world.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Updates delivered.
    pub updates: usize,
    /// Every byte and its time, condensed.
    pub hash: u64,
}

/// A run in which something was wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// What was wrong.
    pub what: String,
    /// The last operations.
    pub ops: Vec<String>,
    /// The end of the trace.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "rerun: {}={}", crate::world::SEED_VARIABLE, self.seed)?;
        for op in &self.ops {
            writeln!(f, "  {op}")?;
        }
        f.write_str(&self.trace)
    }
}

impl std::error::Error for Failure {}

/// Where choices come from.
#[derive(Clone, Debug)]
enum Source {
    Seed(Pcg32),
    Bytes(Vec<u8>),
}

impl Source {
    fn below(&mut self, n: u32) -> u32 {
        match self {
            Self::Seed(rng) => rng.below(n),
            Self::Bytes(bytes) if n > 256 => {
                let low = u32::from(bytes.pop().unwrap_or(0));
                (u32::from(bytes.pop().unwrap_or(0)) << 8 | low) % n
            }
            Self::Bytes(bytes) => u32::from(bytes.pop().unwrap_or(0)) % n.max(1),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }
}

/// Runs `ops` operations drawn from a seed.
///
/// # Errors
/// [`Failure`] with the first broken promise, its operations and the end of the trace.
pub fn run_seed(seed: u64, ops: usize) -> Result<Report, Failure> {
    run(
        seed,
        Source::Seed(Pcg32::new(seed ^ 0x0bad_5eed)),
        HOSTS,
        ops,
    )
}

/// Runs the operations that bytes describe, on one client and one IOC.
///
/// # Errors
/// As [`run_seed`].
pub fn run_bytes(data: &[u8]) -> Result<Report, Failure> {
    let seed = data.iter().fold(0, |seed: u64, &byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let bytes = data.iter().rev().copied().collect();
    run(seed, Source::Bytes(bytes), 1, MAX_OPS)
}

fn run(seed: u64, source: Source, hosts: usize, ops: usize) -> Result<Report, Failure> {
    // Making text of every frame is most of the work, so it is only done for a run that fails.
    match Run::new(seed, source.clone(), hosts, false).go(ops) {
        Ok(report) => Ok(report),
        Err(first) => match Run::new(seed, source, hosts, true).go(ops) {
            Err(failure) => Err(failure),
            Ok(_) => Err(Failure {
                what: format!("{} (and not when run again: not deterministic)", first.what),
                ..first
            }),
        },
    }
}

fn pvs(list: &mut Pvs, prefix: &str, value: &mut dyn FnMut() -> f64) {
    list.ai(&format!("{prefix}0"), value());
    list.ai(&format!("{prefix}1"), value());
    list.longin(&format!("{prefix}2"), value() as i32);
    list.waveform(&format!("{prefix}3"), &[value(); 5]);
    list.ai(&format!("{prefix}4"), value());
}

/// The same names with other types.
fn other_pvs(list: &mut Pvs, prefix: &str, value: &mut dyn FnMut() -> f64) {
    list.longin(&format!("{prefix}0"), value() as i32);
    list.waveform(&format!("{prefix}1"), &[value(); 50]);
    list.ai(&format!("{prefix}2"), value());
    list.waveform(&format!("{prefix}3"), &[value(); 50]);
    list.ai(&format!("{prefix}4"), value());
}

/// Every value in a run is a different number, also those of an IOC that starts again.
fn next(value: &Cell<u32>) -> f64 {
    value.set(value.get() + 1);
    f64::from(value.get())
}

/// An IOC as the runs use it: `x0`, `x1`, `x4` doubles, `x2` a long, `x3` a waveform.
pub fn ioc(seed: u64) -> Ioc {
    let mut list = Pvs::default();
    let mut value = 0.0;
    pvs(&mut list, "x", &mut || {
        value += 1.0;
        value
    });
    list.build(ServerParams::default(), seed)
}

struct Run {
    seed: u64,
    w: World,
    source: Source,
    clients: Vec<ClientId>,
    iocs: Vec<IocId>,
    hostile: Option<HostId>,
    names: Vec<String>,
    checker: Checker,
    value: Rc<Cell<u32>>,
    log: Vec<String>,
}

impl Run {
    fn new(seed: u64, mut source: Source, hosts: usize, trace: bool) -> Self {
        let mut w = World::new(seed);
        w.trace.enabled = trace;
        w.net.segmentation = Segmentation::Random;
        let value = Rc::new(Cell::new(0));
        let mut names = vec![NOBODY.to_owned()];
        let mut iocs = Vec::new();
        for prefix in ["a", "b"].into_iter().take(hosts) {
            let value = Rc::clone(&value);
            iocs.push(w.ioc(move |list| pvs(list, prefix, &mut || next(&value))));
            names.extend((0..5).map(|n| format!("{prefix}{n}")));
        }
        let mut clients = Vec::new();
        for _ in 0..hosts {
            let period = Duration::from_secs(60);
            let client = w.client_with(|params| params.max_search_period(period));
            w.repeater(client);
            clients.push(client);
        }
        if source.chance(30) {
            w.net.send_buffer = 512 << source.below(8);
        }
        if source.chance(30) {
            // Small reads: flow control.
            w.net.read_size = 64 << source.below(8);
        }
        let hostile = source.chance(20).then(|| {
            let addr = w.free_addr(0);
            let targets = w.hosts().map(|host| w.net.addr(host)).collect();
            w.add("n", addr, HostileHost::noisy(seed, targets, w.now()))
        });
        Self {
            seed,
            w,
            source,
            clients,
            iocs,
            hostile,
            names,
            checker: Checker::default(),
            value,
            log: Vec::new(),
        }
    }

    fn go(mut self, ops: usize) -> Result<Report, Failure> {
        let result = self.all(ops);
        result.map_err(|what| Failure {
            seed: self.seed,
            what: format!("seed {} at {}: {what}", self.seed, self.w.now()),
            ops: self.log.split_off(self.log.len().saturating_sub(TAIL)),
            trace: self.w.trace.tail(TAIL),
        })
    }

    fn all(&mut self, ops: usize) -> Result<Report, String> {
        let mut done = 0;
        while done < ops && !self.source.is_over() {
            self.operate();
            done += 1;
            let pause = Duration::from_micros(u64::from(self.source.below(20_000)));
            self.advance(pause)?;
        }
        self.recover()?;
        let updates = self.checker.updates();
        self.end()?;
        Ok(Report {
            ops: done,
            steps: self.w.steps(),
            simulated: self.w.now() - Instant::ZERO,
            updates,
            hash: self.w.trace.hash(),
        })
    }

    fn advance(&mut self, time: Duration) -> Result<(), String> {
        self.w.run_to(self.w.now() + time);
        self.w.check().map_err(|busy| busy.what)?;
        let honest = self.hostile.is_none();
        self.checker
            .check(&self.w, &self.clients, &self.iocs, honest)
    }

    /// All faults end; everything has to come back.
    fn recover(&mut self) -> Result<(), String> {
        let healed = self.heal();
        self.log.push(healed);
        if let Some(host) = self.hostile {
            self.w.with(host, |host: &mut HostileHost, _| host.stop());
        }
        for ioc in self.iocs.clone() {
            for name in self.names.clone() {
                if self.w.host::<IocHost>(ioc).ioc().handle(&name).is_some() {
                    ioc.set_rights(&mut self.w, &name, AccessRights::ALL);
                }
            }
        }
        self.come_back()?;
        self.w.settle().map_err(|busy| busy.what)?;
        self.checker
            .check_settled(&self.w, &self.clients, &self.iocs)
    }

    /// Until everything has come back, which has its time. A story from bytes goes on as soon as it has:
    /// a fuzzer has no use for idle minutes.
    fn come_back(&mut self) -> Result<(), String> {
        const STEP: Duration = Duration::from_secs(5);
        if matches!(self.source, Source::Seed(_)) {
            return self.advance(RECOVERY);
        }
        let end = self.w.now() + RECOVERY;
        let settled = |run: &mut Self| {
            let checked = (run.checker).check_settled(&run.w, &run.clients, &run.iocs);
            checked.is_ok()
        };
        while self.w.now() < end {
            self.advance(STEP)?;
            if settled(self) {
                break;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.log.push("shut down".to_owned());
        for client in self.clients.clone() {
            client.shutdown(&mut self.w);
        }
        self.advance(GOODBYE)?;
        self.checker.check_ended(&self.w, &self.clients, &self.iocs)
    }

    fn client(&mut self) -> ClientId {
        self.clients[self.source.below(self.clients.len() as u32) as usize]
    }

    fn name(&mut self) -> String {
        self.names[self.source.below(self.names.len() as u32) as usize].clone()
    }

    fn ioc(&mut self) -> IocId {
        self.iocs[self.source.below(self.iocs.len() as u32) as usize]
    }

    fn pv_of(&mut self, ioc: IocId) -> String {
        let prefix = if ioc == self.iocs[0] { "a" } else { "b" };
        format!("{prefix}{}", self.source.below(5))
    }

    /// A new value for a PV.
    fn new_value(&mut self, name: &str) -> Value {
        let value = next(&self.value);
        match name.as_bytes().last() {
            Some(b'2') => Value::scalar(value as i32),
            Some(b'3') => Value::array(&[value; 5][..1 + self.source.below(5) as usize]),
            _ => Value::scalar(value),
        }
    }

    fn operate(&mut self) {
        let choice = self.source.below(100);
        let op = match choice {
            0..8 => self.open_or_close(),
            8..25 => self.subscribe(),
            25..31 => self.unsubscribe(),
            31..43 => self.read(),
            43..58 => self.write(),
            58..61 => self.cancel(),
            61..77 => self.post(),
            77..80 => self.ioc_fault(),
            80..85 => self.link_fault(),
            85..89 => self.rights(),
            89..96 => self.wait(),
            96..99 => self.heal(),
            _ => self.jump(),
        };
        self.log.push(format!("{} {op}", self.w.now()));
    }

    fn open_or_close(&mut self) -> String {
        let (client, name) = (self.client(), self.name());
        if self.source.chance(60) {
            client.open(&mut self.w, &name);
            format!("{client:?} opens {name}")
        } else {
            client.close(&mut self.w, &name);
            format!("{client:?} closes {name}")
        }
    }

    fn subscribe(&mut self) -> String {
        let (client, name) = (self.client(), self.name());
        let family = Family::ALL[self.source.below(5) as usize];
        let spec = SubSpec {
            ty: TypeSpec::Family(family),
            count: self.source.below(3),
            mask: EventMask(1 + self.source.below(15) as u16),
        };
        let result = self.w.with(client, |host: &mut ClientHost, now| {
            host.subscribe(now, &name, spec)
        });
        format!("{client:?} subscribes {name} {spec:?}: {result:?}")
    }

    fn unsubscribe(&mut self) -> String {
        let client = self.client();
        let live: Vec<Token> = self
            .w
            .host::<ClientHost>(client)
            .subs()
            .filter(|(_, sub)| !sub.cancelled)
            .map(|(token, _)| token)
            .collect();
        let Some(&token) = live.get(self.source.below(live.len() as u32) as usize) else {
            return "nothing to cancel".to_owned();
        };
        client.unsubscribe(&mut self.w, token);
        format!("{client:?} cancels {token:?}")
    }

    fn read(&mut self) -> String {
        let (client, name) = (self.client(), self.name());
        let result = client.read(&mut self.w, &name, read_time());
        format!("{client:?} reads {name}: {result:?}")
    }

    fn write(&mut self) -> String {
        let (client, name) = (self.client(), self.name());
        let value = self.new_value(&name);
        if self.source.chance(50) {
            let result = client.write(&mut self.w, &name, value);
            format!(
                "{client:?} writes {name} = {}: {result:?}",
                self.value.get()
            )
        } else {
            let result = client.write_notify(&mut self.w, &name, value);
            format!("{client:?} puts {name} = {}: {result:?}", self.value.get())
        }
    }

    fn cancel(&mut self) -> String {
        let client = self.client();
        let host = self.w.host::<ClientHost>(client);
        let Some((token, _)) = host.unanswered().next() else {
            return "nothing to give up".to_owned();
        };
        client.cancel(&mut self.w, token);
        format!("{client:?} gives up {token:?}")
    }

    fn post(&mut self) -> String {
        let ioc = self.ioc();
        if !self.w.is_up(ioc) {
            return format!("{ioc:?} is down");
        }
        let name = self.pv_of(ioc);
        let times = if self.source.chance(20) {
            1 + self.source.below(400)
        } else {
            1
        };
        for _ in 0..times {
            let value = self.new_value(&name);
            ioc.post(&mut self.w, &name, value);
        }
        format!(
            "{ioc:?} posts {name} {times} times, to {}",
            self.value.get()
        )
    }

    fn ioc_fault(&mut self) -> String {
        let ioc = self.ioc();
        if !self.w.is_up(ioc) {
            ioc.start(&mut self.w);
            return format!("{ioc:?} starts");
        }
        match self.source.below(5) {
            4 => {
                let (value, a) = (Rc::clone(&self.value), ioc == self.iocs[0]);
                let other = self.source.chance(60);
                ioc.stop(&mut self.w);
                ioc.start_with(&mut self.w, move |list| {
                    let pvs = if other { other_pvs } else { pvs };
                    pvs(list, if a { "a" } else { "b" }, &mut || next(&value));
                });
                format!("{ioc:?} starts with other types: {other}")
            }
            0 => {
                ioc.power_off(&mut self.w);
                format!("{ioc:?} loses power")
            }
            1 => {
                ioc.stop(&mut self.w);
                format!("{ioc:?} stops")
            }
            2 => {
                ioc.restart(&mut self.w);
                format!("{ioc:?} restarts")
            }
            _ => {
                for client in self.clients.clone() {
                    self.w.net.reset(client, ioc);
                }
                format!("streams of {ioc:?} are reset")
            }
        }
    }

    fn link_fault(&mut self) -> String {
        let (client, ioc) = (HostId::from(self.client()), HostId::from(self.ioc()));
        let (from, to) = if self.source.chance(50) {
            (client, ioc)
        } else {
            (ioc, client)
        };
        let kind = self.source.below(9);
        let rate = f64::from(self.source.below(60)) / 100.0;
        let millis = Duration::from_millis(u64::from(self.source.below(80)));
        let net = &mut self.w.net;
        match kind {
            0 => net.set_link(from, to, |link| link.loss = rate),
            1 => net.set_link(from, to, |link| link.duplicate = rate),
            2 => net.set_link(from, to, |link| link.reorder = rate),
            3 => net.set_link(from, to, |link| {
                link.latency = millis;
                link.jitter = millis;
            }),
            4 => net.set_link(from, to, |link| link.bandwidth = Some(20_000)),
            5 => net.partition(from, to, true),
            6 => net.hold(from, to),
            7 => net.set_link(from, to, |link| link.refuse = !link.refuse),
            _ => net.set_links(from, to, |link| *link = Link::default()),
        }
        format!("link {from:?} > {to:?}: fault {kind}, {rate}, {millis:?}")
    }

    fn rights(&mut self) -> String {
        let ioc = self.ioc();
        if !self.w.is_up(ioc) {
            return format!("{ioc:?} is down");
        }
        let name = self.pv_of(ioc);
        let rights = [
            AccessRights::NONE,
            AccessRights::READ,
            AccessRights::WRITE,
            AccessRights::ALL,
            AccessRights::ALL,
        ][self.source.below(5) as usize];
        ioc.set_rights(&mut self.w, &name, rights);
        format!("{ioc:?} gives {rights:?} on {name}")
    }

    /// Ends all faults and starts what is down.
    fn heal(&mut self) -> String {
        self.w.net.heal();
        for ioc in self.iocs.clone() {
            if !self.w.is_up(ioc) {
                ioc.start(&mut self.w);
            }
        }
        "everything is mended".to_owned()
    }

    fn wait(&mut self) -> String {
        let time = Duration::from_millis(u64::from(self.source.below(50_000)));
        self.w.run_to(self.w.now() + time);
        format!("{time:?} pass")
    }

    fn jump(&mut self) -> String {
        let time = Duration::from_secs(u64::from(self.source.below(200)));
        self.w.jump(time);
        format!("everybody sleeps for {time:?}")
    }
}
