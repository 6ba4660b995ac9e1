//! Lists of addresses that change while a client runs: host names that mean another address, and interfaces that
//! come up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, ToSocketAddrs};
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use ca_net::Runtime;
use ca_proto::Instant;
use ca_proto::addr_list::{AddrList, Entry, Interface, search_destinations};

use crate::sync::Mutex;

/// Pause between two looks at the interfaces, while something is searched.
const INTERFACES: Duration = Duration::from_secs(10);
/// Pause between two look-ups of the host names, while something is searched.
pub(crate) const NAMES: Duration = Duration::from_secs(60);
/// Pause before a host that cannot be found is looked up again; it doubles until it is that of all names.
const MISSING: Duration = Duration::from_secs(1);

type Finds = dyn Fn(&str) -> Vec<Ipv4Addr> + Send + Sync;

/// Finds the addresses of a host.
#[derive(Clone)]
pub(crate) struct LookUp(pub(crate) Arc<Finds>);

impl LookUp {
    /// The address that is used: the one that was, as long as the host has it. Names of several hosts have their
    /// addresses in another order each time.
    pub(crate) fn find(&self, name: &str, known: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let found = (self.0)(name);
        let still = known.filter(|known| found.contains(known));
        still.or_else(|| found.first().copied())
    }
}

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookUp")
    }
}

impl Default for LookUp {
    /// Asks the system.
    fn default() -> Self {
        Self(Arc::new(|name| {
            let found = (name, 0).to_socket_addrs().into_iter().flatten();
            let v4 = found.filter_map(|address| match address.ip() {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            });
            v4.collect()
        }))
    }
}

/// What a list of destinations is made of.
#[derive(Clone, Debug)]
pub(crate) struct Datagrams {
    pub(crate) auto: bool,
    pub(crate) list: AddrList,
    pub(crate) port: u16,
}

/// What the lists of a client are made of; those that are `None` stay as they are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) datagrams: Option<Datagrams>,
    pub(crate) name_servers: Option<AddrList>,
    pub(crate) look_up: LookUp,
    pub(crate) names_every: Duration,
    /// The addresses of the begin.
    pub(crate) first: Found,
}

/// Addresses of hosts, by name.
pub(crate) type Found = BTreeMap<String, Ipv4Addr>;

/// Lists that may have changed.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Changes {
    pub(crate) search_addrs: Option<Vec<SocketAddrV4>>,
    pub(crate) name_servers: Option<Vec<SocketAddrV4>>,
}

/// Looks again at what the lists are made of, now and then.
#[derive(Debug)]
pub(crate) struct Refresh {
    source: Source,
    /// The host names of all lists.
    names: BTreeSet<String>,
    /// Addresses of hosts; those that cannot be found at the moment are those that they were.
    hosts: Found,
    interfaces_due: Instant,
    names_due: Instant,
    /// Pause before the next look-up, while a host has no address.
    missing: Duration,
    /// What the thread that looks names up has found; `None` while there is none.
    asked: Option<Arc<Mutex<Option<Found>>>>,
}

impl Refresh {
    /// `None` if nothing can change.
    pub(crate) fn new(now: Instant, source: &Source) -> Option<Self> {
        let auto = source.datagrams.as_ref().is_some_and(|made| made.auto);
        let names: BTreeSet<String> = source.hosts().map(str::to_owned).collect();
        let named = !names.is_empty();
        (auto || named).then(|| {
            let mut refresh = Self {
                interfaces_due: after(now, INTERFACES, auto),
                names_due: Instant::MAX,
                hosts: source.first.clone(),
                source: source.clone(),
                names,
                missing: MISSING,
                asked: None,
            };
            if named {
                refresh.plan(now);
            }
            refresh
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

    fn are_all_known(&self) -> bool {
        let mut names = self.names.iter();
        names.all(|name| self.hosts.contains_key(name))
    }

    /// Plans the next look-up: soon while a host has no address at all, later and later if it gets none.
    fn plan(&mut self, now: Instant) {
        let every = self.source.names_every;
        let pause = if self.are_all_known() {
            self.missing = MISSING;
            every
        } else {
            let pause = self.missing.min(every);
            self.missing = (2 * self.missing).min(every);
            pause
        };
        self.names_due = now + pause;
    }

    /// Looks at what is due; the lists that may have changed. `waker` is woken when names are found.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        runtime: &dyn Runtime,
        waker: &Waker,
    ) -> Option<Changes> {
        let named = self.take_found(now);
        if self.asked.is_none() && self.names_due <= now {
            self.plan(now);
            self.ask(waker.clone());
        }
        let listed = self.interfaces_due <= now;
        if listed {
            self.interfaces_due = after(now, INTERFACES, true);
        }
        if !named && !listed {
            return None;
        }
        let known = |list: &AddrList| list.resolve(|name| self.hosts.get(name).copied()).0;
        let name_servers = self.source.name_servers.as_ref().filter(|_| named);
        Some(Changes {
            search_addrs: self.search_addrs(runtime),
            name_servers: name_servers.map(known),
        })
    }

    fn search_addrs(&self, runtime: &dyn Runtime) -> Option<Vec<SocketAddrV4>> {
        let Datagrams { auto, list, port } = self.source.datagrams.as_ref()?;
        let interfaces = match auto {
            // What cannot be enumerated now stays as it is. So does the list while no interface is up: the networks
            // are those that come back.
            true => runtime
                .interfaces()
                .ok()
                .filter(|all| all.iter().any(is_up))?,
            false => Vec::new(),
        };
        let (listed, _) = list.resolve(|name| self.hosts.get(name).copied());
        Some(search_destinations(*auto, &interfaces, &listed, *port).list)
    }

    fn take_found(&mut self, now: Instant) -> bool {
        let Some(asked) = &self.asked else {
            return false;
        };
        let found = asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(found) = found else { return false };
        self.asked = None;
        for (name, ip) in found {
            match self.hosts.insert(name.clone(), ip) {
                Some(before) if before == ip => {}
                Some(before) => tracing::info!("{name} has the address {ip} now, before {before}"),
                None => tracing::info!("{name} has the address {ip} now, before none"),
            }
        }
        if self.are_all_known() {
            self.plan(now);
        }
        true
    }

    /// Looks the names up in a thread of its own, as that may take long.
    fn ask(&mut self, waker: Waker) {
        let answer = Arc::new(Mutex::new(None));
        let look_up = self.source.look_up.clone();
        let names = self.names.iter();
        let names: Vec<_> = names
            .map(|name| (name.clone(), self.hosts.get(name).copied()))
            .collect();
        let place = answer.clone();
        let thread = std::thread::Builder::new().name("canter-names".to_owned());
        let started = thread.spawn(move || {
            let found = |(name, known): (String, Option<Ipv4Addr>)| {
                let ip = look_up.find(&name, known)?;
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
    /// The host names in the lists.
    fn hosts(&self) -> impl Iterator<Item = &str> {
        let datagrams = self.datagrams.iter().map(|made| &made.list);
        let lists = datagrams.chain(&self.name_servers);
        lists
            .flat_map(AddrList::entries)
            .filter_map(|entry| match entry {
                Entry::Host { name, .. } => Some(name.as_str()),
                Entry::Addr(_) => None,
            })
    }
}

const fn is_up(interface: &Interface) -> bool {
    interface.up && !interface.loopback
}

fn after(now: Instant, pause: Duration, ever: bool) -> Instant {
    match ever {
        true => now + pause,
        false => Instant::MAX,
    }
}

#[cfg(test)]
mod tests;
