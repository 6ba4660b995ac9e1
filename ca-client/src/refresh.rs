//! Lists of addresses that change while a client runs: host names that mean another address, and interfaces that
//! come up.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, ToSocketAddrs};
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use ca_net::Runtime;
use ca_proto::Instant;
use ca_proto::addr_list::{AddrList, Entry, search_destinations};

use crate::sync::Mutex;

/// Pause between two looks at the interfaces, while something is searched.
const INTERFACES: Duration = Duration::from_secs(10);
/// Pause between two look-ups of the host names, while something is searched.
pub(crate) const NAMES: Duration = Duration::from_secs(60);

type Finds = dyn Fn(&str) -> Option<Ipv4Addr> + Send + Sync;

/// Finds the address of a host.
#[derive(Clone)]
pub(crate) struct LookUp(pub(crate) Arc<Finds>);

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookUp")
    }
}

impl Default for LookUp {
    /// Asks the system.
    fn default() -> Self {
        Self(Arc::new(|name| {
            let mut found = (name, 0).to_socket_addrs().ok()?;
            found.find_map(|address| match address.ip() {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            })
        }))
    }
}

/// What a list of destinations is made of.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) auto: bool,
    pub(crate) list: AddrList,
    pub(crate) port: u16,
    pub(crate) look_up: LookUp,
    pub(crate) names_every: Duration,
    /// The addresses of the begin.
    pub(crate) first: BTreeMap<String, Ipv4Addr>,
}

/// Looks again at what a list is made of, now and then.
#[derive(Debug)]
pub(crate) struct Refresh {
    source: Source,
    /// Addresses of hosts, by name; those that cannot be found at the moment are those that they were.
    hosts: BTreeMap<String, Ipv4Addr>,
    interfaces_due: Instant,
    names_due: Instant,
    /// What the thread that looks names up has found; `None` while there is none.
    asked: Option<Arc<Mutex<Option<Found>>>>,
}

type Found = BTreeMap<String, Ipv4Addr>;

impl Refresh {
    /// `None` if nothing can change.
    pub(crate) fn new(now: Instant, source: &Source) -> Option<Self> {
        let named = source.hosts().next().is_some();
        (source.auto || named).then(|| Self {
            interfaces_due: after(now, INTERFACES, source.auto),
            names_due: after(now, source.names_every, named),
            source: source.clone(),
            hosts: source.first.clone(),
            asked: None,
        })
    }

    /// When to look next.
    pub(crate) fn due(&self) -> Instant {
        let names = match self.asked {
            Some(_) => Instant::MAX,
            None => self.names_due,
        };
        self.interfaces_due.min(names)
    }

    /// Looks at what is due; the new list of destinations, if there may be one. `waker` is woken when names are found.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        runtime: &dyn Runtime,
        waker: &Waker,
    ) -> Option<Vec<SocketAddrV4>> {
        let mut changed = self.take_found();
        if self.asked.is_none() && self.names_due <= now {
            self.names_due = after(now, self.source.names_every, true);
            self.ask(waker.clone());
        }
        if self.interfaces_due <= now {
            self.interfaces_due = after(now, INTERFACES, true);
            changed = true;
        }
        if !changed {
            return None;
        }
        let interfaces = match self.source.auto {
            // What cannot be enumerated now stays as it is.
            true => runtime.interfaces().ok()?,
            false => Vec::new(),
        };
        let known = |name: &str| self.hosts.get(name).copied();
        let (listed, _) = self.source.list.resolve(known);
        let Source { auto, port, .. } = self.source;
        Some(search_destinations(auto, &interfaces, &listed, port).list)
    }

    fn take_found(&mut self) -> bool {
        let Some(asked) = &self.asked else {
            return false;
        };
        let found = asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(found) = found else { return false };
        self.asked = None;
        self.hosts.extend(found);
        true
    }

    /// Looks the names up in a thread of its own, as that may take long.
    fn ask(&mut self, waker: Waker) {
        let answer = Arc::new(Mutex::new(None));
        let (names, look_up) = (self.source.hosts(), self.source.look_up.clone());
        let names: Vec<String> = names.map(str::to_owned).collect();
        let place = answer.clone();
        let thread = std::thread::Builder::new().name("canter-names".to_owned());
        let started = thread.spawn(move || {
            let found = |name: String| {
                let ip = (look_up.0)(&name)?;
                Some((name, ip))
            };
            let found = names.into_iter().filter_map(found).collect();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            waker.wake();
        });
        self.asked = started.is_ok().then_some(answer);
    }
}

impl Source {
    /// The host names in the list.
    fn hosts(&self) -> impl Iterator<Item = &str> {
        self.list.entries().filter_map(|entry| match entry {
            Entry::Host { name, .. } => Some(name.as_str()),
            Entry::Addr(_) => None,
        })
    }
}

fn after(now: Instant, pause: Duration, ever: bool) -> Instant {
    match ever {
        true => now + pause,
        false => Instant::MAX,
    }
}
