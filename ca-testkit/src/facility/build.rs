//! The hosts of a facility.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeMap;

use ca_proto::access::AccessRights;
use ca_proto::client::ChannelState;
use ca_proto::config::{ClientParams, REPEATER_PORT, SERVER_PORT, ServerParams};
use ca_proto::dbr::Value;
use ca_proto::repeater::Repeater;
use ca_server_sim::{Ioc, PvSpec};

use super::book::{PvIndex, SharedBook, is_refused};
use super::plan::Shape;
use super::records::{Records, Truth};
use crate::host::{ClientHost, GatewayHost, HostileHost, IocHost, NameServerHost, RepeaterHost};
use crate::net::{HostId, Segmentation};
use crate::world::World;

/// PVs of one IOC.
pub(crate) const PVS: usize = 7;
/// Of these the gateway has the first so many.
const GATEWAY_PVS: usize = 4;
/// Elements of the large array: more than a short header can say.
const LARGE: u32 = 2_500;
const CLIENT_PORT: u16 = 50_000;
/// Limit of arrays in bytes, on both sides: what is asked for beyond it is refused.
pub(crate) const MAX_ARRAY: u32 = 32 << 10;
/// Circuits that a server takes from one host: few, so that those that are gone and still counted
/// are missed.
const CIRCUITS_PER_HOST: usize = 6;
/// Bytes that a server has waiting on a circuit before it stops reading, and at most; where the system
/// takes little the server does too, so that its queues of updates fill.
pub(crate) const HIGH_WATER: usize = 64 << 10;
/// Ceiling of the search back-off of the clients.
const SEARCH_PERIOD: Duration = Duration::from_secs(60);

/// What a PV is in a life of its IOC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    pub native: Native,
    /// Largest number of elements.
    pub capacity: u32,
    pub completes: Completes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Native {
    Double,
    Float,
    Long,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Completes {
    Now,
    After(Duration),
    /// When the IOC's program says so.
    Never,
}

/// The kind of the `n`th PV of an IOC.
pub(crate) const fn kind(n: usize, other_types: bool) -> Kind {
    use Completes::{After, Never, Now};
    use Native::{Double, Float, Long};
    let (native, capacity, completes) = match (n, other_types) {
        (0, false) => (Double, 1, Now),
        (0, true) => (Long, 1, Now),
        (1, false) => (Double, 1, After(Duration::from_millis(300))),
        (1, true) => (Double, 50, After(Duration::from_millis(300))),
        (2, false) => (Long, 1, Now),
        (2, true) => (Float, 1, Now),
        (3, false) => (Double, 5, Now),
        (3, true) => (Long, 7, Now),
        (4, _) => (Double, 1, Never),
        (5, false) => (Double, LARGE, Now),
        (5, true) => (Double, 100, Now),
        (_, false) => (Double, 1, After(Duration::from_secs(20))),
        (_, true) => (Long, 1, After(Duration::from_secs(20))),
    };
    Kind {
        native,
        capacity,
        completes,
    }
}

impl Kind {
    /// The value with this number: an array has it in each of its elements, whose count follows from
    /// the number.
    pub(crate) fn value(self, number: u32) -> Value {
        let count = (1 + number % self.capacity) as usize;
        match self.native {
            Native::Double => Value::array(&vec![f64::from(number); count]),
            Native::Float => Value::array(&vec![number as f32; count]),
            Native::Long => Value::array(&vec![number as i32; count]),
        }
    }

    fn spec(self, number: u32) -> PvSpec {
        let spec = PvSpec::value(self.value(number));
        let spec = if self.capacity > 1 {
            spec.capacity(self.capacity)
        } else {
            spec
        };
        match self.completes {
            Completes::Now => spec,
            Completes::After(time) => spec.completes_after(time),
            Completes::Never => spec.completes_never(),
        }
    }
}

/// A name of the facility.
#[derive(Debug)]
pub(crate) struct Name {
    pub text: String,
    /// The IOC that serves it, by number; for a name of the gateway that of the PV behind it.
    pub ioc: usize,
    /// Number among the PVs of its IOC.
    pub n: usize,
    /// The name behind, for names of the gateway.
    pub behind: Option<PvIndex>,
    /// It was deleted by its IOC.
    pub deleted: bool,
}

/// An IOC and its present life.
#[derive(Debug)]
pub(crate) struct IocPlace {
    pub host: HostId,
    pub other_types: bool,
}

/// The server that a client's channel leads to, as far as it can be told.
pub(crate) enum Server {
    Honest,
    Hostile,
    Unknown,
}

/// The world with everything in it, and who is where.
#[derive(Debug)]
pub(crate) struct Site {
    pub w: World,
    pub book: SharedBook,
    pub names: Vec<Name>,
    pub clients: Vec<HostId>,
    pub iocs: Vec<IocPlace>,
    pub gateway: Option<HostId>,
    pub name_server: Option<HostId>,
    pub repeaters: Vec<HostId>,
    pub hostile: Vec<HostId>,
    pub records: Records,
    /// Puts are ended from outside, before their time.
    pub finishing: bool,
    subnets: u8,
    shape: Shape,
    /// Number of the last value made.
    values: u32,
    /// Number of the last process started.
    lives: u64,
}

impl Site {
    pub(crate) fn new(shape: &Shape, trace: bool) -> Self {
        let mut w = World::new(shape.seed);
        w.trace.enabled = trace;
        w.net.segmentation = if shape.cut_streams {
            Segmentation::Random
        } else {
            Segmentation::Whole
        };
        w.net.send_buffer = shape.send_buffer.max(256) as usize;
        w.net.read_size = shape.read_size.max(16) as usize;
        w.net.default_link_mut().jitter = Duration::from_micros(u64::from(shape.jitter_us));
        let mut site = Self {
            w,
            book: SharedBook::default(),
            names: Vec::new(),
            clients: Vec::new(),
            iocs: Vec::new(),
            gateway: None,
            name_server: None,
            repeaters: Vec::new(),
            hostile: Vec::new(),
            records: Records::new(shape.seed, shape.iocs.max(1).into(), shape.records),
            finishing: false,
            subnets: shape.subnets.max(1),
            shape: shape.clone(),
            values: 0,
            lives: 0,
        };
        site.name_everything();
        for number in 0..usize::from(shape.iocs.max(1)) {
            let addr = site.w.free_addr(site.subnet(number));
            let host = site.ioc_host(number, false);
            let host = site.w.add("s", addr, host);
            let other_types = false;
            site.iocs.push(IocPlace { host, other_types });
            site.begin_records(site.iocs.len() - 1);
        }
        if shape.gateway {
            let addr = site.w.free_addr(site.subnet(shape.iocs.into()));
            let host = site.gateway_host();
            site.gateway = Some(site.w.add("g", addr, host));
        }
        if shape.name_server {
            let addr = site.w.free_addr(0);
            let host = NameServerHost::new(site.directory());
            site.name_server = Some(site.w.add("n", addr, host));
        }
        for number in 0..usize::from(shape.clients.max(1)) {
            let addr = site.w.free_addr(site.subnet(number + 1));
            let host = site.client_host(number);
            let client = site.w.add("c", addr, host);
            site.clients.push(client);
            let repeater = site.w.add("r", addr, site.repeater_host(client));
            site.repeaters.push(repeater);
        }
        for number in 0..usize::from(shape.hostile) {
            let addr = site.w.free_addr(site.subnet(number));
            let host = site.hostile_host(number);
            site.hostile.push(site.w.add("h", addr, host));
        }
        site
    }

    fn name_everything(&mut self) {
        let iocs = usize::from(self.shape.iocs.max(1));
        for ioc in 0..iocs {
            for n in 0..PVS {
                self.add_name(format!("i{ioc}:{n}"), ioc, n, None);
            }
        }
        if self.shape.gateway {
            for ioc in 0..iocs {
                for n in 0..GATEWAY_PVS {
                    let behind = ioc * PVS + n;
                    self.add_name(format!("g:i{ioc}:{n}"), ioc, n, Some(behind));
                }
            }
        }
    }

    fn add_name(&mut self, text: String, ioc: usize, n: usize, behind: Option<PvIndex>) {
        let index = self.book.lock().add();
        debug_assert_eq!(index, self.names.len());
        self.names.push(Name {
            text,
            ioc,
            n,
            behind,
            deleted: false,
        });
    }

    const fn subnet(&self, number: usize) -> u8 {
        (number % self.subnets as usize) as u8
    }

    /// The subnet of a host.
    pub(crate) fn subnet_of(&self, host: HostId) -> u8 {
        self.w.net.addr(host).octets()[2]
    }

    pub(crate) fn next_number(&mut self) -> u32 {
        self.values += 1;
        self.values
    }

    /// Number of the last value made.
    pub(crate) const fn values(&self) -> u32 {
        self.values
    }

    fn broadcasts(&self, port: u16) -> Vec<SocketAddrV4> {
        (0..self.subnets)
            .map(|subnet| SocketAddrV4::new(Ipv4Addr::new(10, 0, subnet, 255), port))
            .collect()
    }

    fn server_params(&self) -> ServerParams {
        ServerParams::default()
            .beacon_addrs(self.broadcasts(REPEATER_PORT))
            .max_array_bytes(Some(MAX_ARRAY))
            .max_circuits_per_host(CIRCUITS_PER_HOST)
            .send_high_water(HIGH_WATER.min(self.shape.send_buffer as usize))
    }

    /// The next life of an IOC; its PVs get values that were never seen before.
    pub(crate) fn ioc_host(&mut self, ioc: usize, other_types: bool) -> IocHost {
        let now = self.w.now();
        let mut builder = Ioc::builder()
            .params(self.server_params())
            .seed(self.shape.seed);
        for n in 0..PVS {
            let pv = ioc * PVS + n;
            self.names[pv].deleted = false;
            let spec = self.spec(pv, other_types);
            builder = builder.pv(self.names[pv].text.clone(), spec);
        }
        if !self.records.is_empty() {
            let values = &mut self.values;
            builder = self.records.describe(ioc, builder, || {
                *values += 1;
                *values
            });
        }
        // The names and values are ours, so it can be built.
        let mut built = builder.build().expect("the PVs of a facility are valid");
        if self.records.is_empty() {
            return IocHost::new(built, SERVER_PORT, SERVER_PORT, now);
        }
        self.records.observe(ioc, &mut built);
        let host = IocHost::new(built, SERVER_PORT, SERVER_PORT, now);
        self.lives += 1;
        let params = self
            .client_params(100 + ioc)
            .rng_seed(self.shape.seed.wrapping_add(self.lives));
        host.linked(ClientHost::new(params, CLIENT_PORT, now), CLIENT_PORT)
    }

    /// The host of an IOC has booted.
    pub(crate) fn begin_records(&mut self, ioc: usize) {
        if !self.records.is_empty() {
            let host: &IocHost = self.w.host(self.iocs[ioc].host);
            self.records.begin(ioc, host.ioc(), self.w.now());
        }
    }

    /// A field of a record as its IOC has it, while that runs.
    pub(crate) fn read_record(&self, ioc: usize, name: &str) -> Option<Truth> {
        let host = self.iocs[ioc].host;
        if !self.w.is_up(host) {
            return None;
        }
        let read = self.w.host::<IocHost>(host).ioc().read(name);
        read.ok().map(|state| Truth::of(state.value.as_ref()))
    }

    /// Who sends what comes on a channel just now.
    pub(crate) fn server_of(&self, client: &ClientHost, name: &str) -> Server {
        if self.hostile.is_empty() {
            return Server::Honest;
        }
        let state = client
            .cid(name)
            .and_then(|cid| client.client().channel(cid))
            .map(|channel| channel.state);
        match state {
            Some(ChannelState::Connected(c) | ChannelState::Unresponsive(c)) => {
                if self.is_hostile(*c.server.ip()) {
                    Server::Hostile
                } else {
                    Server::Honest
                }
            }
            _ => Server::Unknown,
        }
    }

    /// A new life of a PV with a new value, noted in the book.
    pub(crate) fn spec(&mut self, pv: PvIndex, other_types: bool) -> PvSpec {
        let number = self.next_number();
        let kind = kind(self.names[pv].n, other_types);
        {
            let mut book = self.book.lock();
            book.ahead[pv] = Duration::ZERO;
            book.post(pv, &kind.value(number), self.w.now());
            book.set_rights(pv, AccessRights::ALL, self.w.now());
        }
        let at_once = kind.completes == Completes::Now;
        self.book.watch(pv, at_once, kind.spec(number))
    }

    pub(crate) fn client_host(&mut self, number: usize) -> ClientHost {
        self.lives += 1;
        let mut params = self
            .client_params(number)
            .rng_seed(self.shape.seed.wrapping_add(self.lives));
        let asks = self.name_server.map(|host| self.w.net.addr(host));
        // 0 broadcasts, 1 asks the name server, 2 does both.
        let search = (number + usize::from(self.shape.search)) % 3;
        if let Some(ip) = asks.filter(|_| search > 0) {
            params = params.name_servers(vec![SocketAddrV4::new(ip, SERVER_PORT)]);
            if search == 1 {
                params = params.search_addrs(Vec::new());
            }
        }
        ClientHost::new(params, CLIENT_PORT, self.w.now()).observed()
    }

    fn client_params(&self, number: usize) -> ClientParams {
        ClientParams::default()
            .search_addrs(self.broadcasts(SERVER_PORT))
            .user(format!("user{number}"))
            .host(format!("host{number}"))
            .max_search_period(SEARCH_PERIOD)
            .max_array_bytes(Some(MAX_ARRAY))
    }

    pub(crate) fn gateway_host(&mut self) -> GatewayHost {
        self.lives += 1;
        let now = self.w.now();
        let params = self
            .client_params(99)
            .rng_seed(self.shape.seed.wrapping_add(self.lives));
        let client = ClientHost::new(params, CLIENT_PORT, now).observed();
        let ioc = Ioc::builder()
            .params(self.server_params())
            .seed(self.shape.seed)
            .build()
            .expect("an IOC without PVs is valid");
        let server = IocHost::new(ioc, SERVER_PORT, SERVER_PORT, now);
        let names = self.names.iter().filter_map(|name| {
            let behind = name.behind?;
            Some((self.names[behind].text.clone(), name.text.clone()))
        });
        GatewayHost::new(server, client, CLIENT_PORT, names.collect(), now)
    }

    pub(crate) fn repeater_host(&self, beside: HostId) -> RepeaterHost {
        RepeaterHost::new(Repeater::new([self.w.net.addr(beside)]), REPEATER_PORT)
    }

    fn hostile_host(&self, number: usize) -> HostileHost {
        let servers = self.iocs.iter().map(|ioc| ioc.host).chain(self.gateway);
        let targets = servers.map(|host| self.w.net.addr(host)).collect();
        let names = self.names.iter().map(|name| name.text.clone()).collect();
        let seed = self.shape.seed.wrapping_add(1_000 + number as u64);
        HostileHost::new(seed, targets, names, self.w.now())
    }

    /// Who serves which name, as a name server should know it.
    pub(crate) fn directory(&self) -> BTreeMap<String, SocketAddrV4> {
        let mut table = BTreeMap::new();
        for name in &self.names {
            let host = match name.behind {
                Some(_) => self.gateway,
                None => Some(self.iocs[name.ioc].host),
            };
            if let Some(host) = host.filter(|&host| self.w.is_up(host)) {
                let addr = SocketAddrV4::new(self.w.net.addr(host), SERVER_PORT);
                table.insert(name.text.clone(), addr);
            }
        }
        for (text, record) in self.records.names() {
            let host = self.iocs[self.records.all[record].ioc].host;
            if self.w.is_up(host) {
                let addr = SocketAddrV4::new(self.w.net.addr(host), SERVER_PORT);
                table.insert(text.to_owned(), addr);
            }
        }
        table
    }

    /// True if the present server of a name has it.
    pub(crate) fn serves(&self, pv: PvIndex) -> bool {
        let name = &self.names[pv];
        match name.behind {
            None => !name.deleted && self.w.is_up(self.iocs[name.ioc].host),
            Some(_) => self
                .gateway
                .is_some_and(|g| self.w.host::<GatewayHost>(g).serves(&name.text)),
        }
    }

    /// True if the IOC does not refuse a client's put of this number.
    pub(crate) fn accepts(&self, pv: PvIndex, number: u32) -> bool {
        kind(self.names[pv].n, false).completes == Completes::Now || !is_refused(number.into())
    }

    /// True if puts to a PV are complete only when the program of its IOC says so.
    pub(crate) fn is_endless(&self, pv: PvIndex) -> bool {
        kind(self.names[pv].n, false).completes == Completes::Never
    }

    /// The client core of a client or of the gateway.
    pub(crate) fn client(&self, host: HostId) -> &ClientHost {
        if self.gateway == Some(host) {
            self.w.host::<GatewayHost>(host).client()
        } else {
            self.w.host::<ClientHost>(host)
        }
    }

    /// The server core of an IOC or of the gateway.
    pub(crate) fn server(&self, host: HostId) -> &IocHost {
        if self.gateway == Some(host) {
            self.w.host::<GatewayHost>(host).server()
        } else {
            self.w.host::<IocHost>(host)
        }
    }

    /// Hosts that serve PVs.
    pub(crate) fn servers(&self) -> impl Iterator<Item = HostId> + use<'_> {
        self.iocs.iter().map(|ioc| ioc.host).chain(self.gateway)
    }

    /// Hosts that have a client core.
    pub(crate) fn users(&self) -> impl Iterator<Item = HostId> + use<'_> {
        self.clients.iter().copied().chain(self.gateway)
    }

    /// True if the address is that of a hostile host.
    pub(crate) fn is_hostile(&self, ip: Ipv4Addr) -> bool {
        // Searches can be answered with any address, but nobody lives at those of nobody.
        self.hostile.iter().any(|&host| self.w.net.addr(host) == ip)
    }
}
