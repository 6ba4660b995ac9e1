//! Handles with which tests drive clients and IOCs.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

use ca_proto::access::AccessRights;
use ca_proto::client::{OpError, ReadSpec, SubSpec, Token, TypeSpec};
use ca_proto::config::{ClientParams, REPEATER_PORT, SERVER_PORT, ServerParams};
use ca_proto::dbr::{Family, Reading, Value};
use ca_proto::ids::Cid;
use ca_proto::repeater::Repeater;
use ca_proto::wire::message::EventMask;
use ca_server_sim::{Ioc, PvSpec};

use crate::host::{Answer, ClientHost, IocHost, RepeaterHost, ScriptHost};
use crate::net::HostId;
use crate::world::World;

/// First UDP port of clients.
const CLIENT_PORTS_FROM: u16 = 50_000;

/// The PVs of an IOC.
#[derive(Debug, Default)]
pub struct Pvs(Vec<(String, PvSpec)>);

impl Pvs {
    /// A PV as the simulator describes it.
    pub fn pv(&mut self, name: &str, spec: PvSpec) -> &mut Self {
        self.0.push((name.to_owned(), spec));
        self
    }

    /// A scalar or array whose type is that of the value.
    pub fn value(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.pv(name, PvSpec::value(value.into()))
    }

    /// A scalar `DBF_DOUBLE`.
    pub fn ai(&mut self, name: &str, value: f64) -> &mut Self {
        self.value(name, value)
    }

    /// A scalar `DBF_LONG`.
    pub fn longin(&mut self, name: &str, value: i32) -> &mut Self {
        self.value(name, value)
    }

    /// A scalar `DBF_STRING`.
    pub fn stringin(&mut self, name: &str, value: &str) -> &mut Self {
        self.value(name, value)
    }

    /// An array of `DBF_DOUBLE` as long as its first value.
    pub fn waveform(&mut self, name: &str, value: &[f64]) -> &mut Self {
        self.value(name, value)
    }

    /// Names in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// An IOC with these PVs.
    ///
    /// # Panics
    /// If the simulator refuses one of them.
    pub fn build(self, params: ServerParams, seed: u64) -> Ioc {
        let mut builder = Ioc::builder().params(params).seed(seed);
        for (name, spec) in self.0 {
            builder = builder.pv(name, spec);
        }
        builder.build().expect("tests describe valid PVs")
    }
}

/// How an IOC is started again.
#[derive(Clone)]
pub(crate) struct IocSetup {
    pvs: Rc<dyn Fn(&mut Pvs)>,
    params: ServerParams,
}

impl fmt::Debug for IocSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IocSetup")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

/// An IOC in a [`World`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IocId(HostId);

/// A client in a [`World`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClientId(HostId);

impl From<IocId> for HostId {
    fn from(id: IocId) -> Self {
        id.0
    }
}

impl From<ClientId> for HostId {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

/// Values with alarm and time stamp, as they come.
pub const fn time() -> SubSpec {
    SubSpec {
        ty: TypeSpec::Family(Family::Time),
        count: 0,
        mask: EventMask(1 | 4),
    }
}

/// A read in the native type with alarm and time stamp, all elements.
pub const fn read_time() -> ReadSpec {
    ReadSpec {
        ty: TypeSpec::Family(Family::Time),
        count: 0,
    }
}

impl World {
    /// An IOC on a host of its own in the first subnet; names of its PVs are in the closure.
    pub fn ioc(&mut self, pvs: impl Fn(&mut Pvs) + 'static) -> IocId {
        let addr = self.free_addr(0);
        self.ioc_at(addr, SERVER_PORT, pvs)
    }

    /// An IOC at an address, listening at a TCP port.
    pub fn ioc_at(
        &mut self,
        addr: Ipv4Addr,
        tcp_port: u16,
        pvs: impl Fn(&mut Pvs) + 'static,
    ) -> IocId {
        let [a, b, c, _] = addr.octets();
        let beacons = SocketAddrV4::new(Ipv4Addr::new(a, b, c, 255), REPEATER_PORT);
        let params = ServerParams::default()
            .tcp_port(tcp_port)
            .beacon_addrs(vec![beacons]);
        self.ioc_with(addr, params, pvs)
    }

    /// An IOC with its own parameters.
    pub fn ioc_with(
        &mut self,
        addr: Ipv4Addr,
        params: ServerParams,
        pvs: impl Fn(&mut Pvs) + 'static,
    ) -> IocId {
        let setup = IocSetup {
            pvs: Rc::new(pvs),
            params,
        };
        let host = self.ioc_host(&setup);
        let id = IocId(self.add("s", addr, host));
        self.iocs.insert(id, setup);
        id
    }

    fn ioc_host(&self, setup: &IocSetup) -> IocHost {
        let mut pvs = Pvs::default();
        (setup.pvs)(&mut pvs);
        IocHost::new(
            pvs.build(setup.params.clone(), self.seed()),
            setup.params.udp_port,
            setup.params.tcp_port,
            self.now(),
        )
    }

    /// A client on a host of its own in the first subnet, which searches by broadcast.
    pub fn client(&mut self) -> ClientId {
        self.client_with(|params| params)
    }

    /// A client with changed parameters.
    pub fn client_with(&mut self, change: impl FnOnce(ClientParams) -> ClientParams) -> ClientId {
        let addr = self.free_addr(0);
        self.client_at(addr, change)
    }

    /// A client at an address, with changed parameters.
    pub fn client_at(
        &mut self,
        addr: Ipv4Addr,
        change: impl FnOnce(ClientParams) -> ClientParams,
    ) -> ClientId {
        let number = self.hosts().count() as u16;
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT);
        let params = ClientParams::default()
            .search_addrs(vec![everybody])
            .user("user".to_owned())
            .host(format!("host{number}"))
            .rng_seed(self.seed().wrapping_add(u64::from(number)));
        let host = ClientHost::new(change(params), CLIENT_PORTS_FROM + number, self.now());
        ClientId(self.add("c", addr, host))
    }

    /// A repeater on the machine of another host.
    pub fn repeater(&mut self, beside: impl Into<HostId>) -> HostId {
        let addr = self.net.addr(beside);
        let host = RepeaterHost::new(Repeater::new([addr]), REPEATER_PORT);
        self.add("r", addr, host)
    }

    /// A host driven byte by byte, with these UDP and TCP ports.
    pub fn script(&mut self, udp: &[u16], tcp: &[u16]) -> HostId {
        let addr = self.free_addr(0);
        self.add("x", addr, ScriptHost::new(udp, tcp))
    }
}

impl IocId {
    fn host(self, w: &World) -> &IocHost {
        w.host(self)
    }

    /// Posts a value.
    ///
    /// # Panics
    /// If the IOC refuses it.
    pub fn post(self, w: &mut World, pv: &str, value: impl Into<Value>) {
        let value = value.into();
        w.with(self, |host: &mut IocHost, now| {
            host.with(|ioc| ioc.post(now, pv, value))
        })
        .expect("tests post valid values");
    }

    /// Changes what clients may do with a PV.
    ///
    /// # Panics
    /// If there is no such PV.
    pub fn set_rights(self, w: &mut World, pv: &str, rights: AccessRights) {
        w.with(self, |host: &mut IocHost, now| {
            host.with(|ioc| ioc.set_rights(now, pv, rights))
        })
        .expect("tests name PVs that exist");
    }

    /// Lets `act` use the IOC.
    pub fn with<R>(self, w: &mut World, act: impl FnOnce(&mut Ioc) -> R) -> R {
        w.with(self, |host: &mut IocHost, _| host.with(act))
    }

    /// The present value of a PV.
    ///
    /// # Panics
    /// If there is no such PV.
    pub fn value(self, w: &World, pv: &str) -> Value {
        let state = self.host(w).ioc().read(pv);
        state.expect("tests ask for PVs that exist").value
    }

    /// The process ends; the system closes its sockets.
    pub fn stop(self, w: &mut World) {
        w.kill(self);
    }

    /// The power fails: nobody is told.
    pub fn power_off(self, w: &mut World) {
        w.power_off(self);
    }

    /// Starts it again, as it was described.
    pub fn start(self, w: &mut World) {
        let setup = w.iocs[&self].clone();
        let host = w.ioc_host(&setup);
        w.boot(self, host);
    }

    /// Starts it again with other PVs.
    pub fn start_with(self, w: &mut World, pvs: impl Fn(&mut Pvs) + 'static) {
        if let Some(setup) = w.iocs.get_mut(&self) {
            setup.pvs = Rc::new(pvs);
        }
        self.start(w);
    }

    /// Stops it and starts it at once.
    pub fn restart(self, w: &mut World) {
        self.stop(w);
        self.start(w);
    }
}

impl ClientId {
    fn host(self, w: &World) -> &ClientHost {
        w.host(self)
    }

    /// Opens a channel, or gives the one that is open.
    pub fn open(self, w: &mut World, name: &str) -> Cid {
        w.with(self, |host: &mut ClientHost, now| host.open(now, name))
    }

    /// Closes a channel.
    pub fn close(self, w: &mut World, name: &str) {
        w.with(self, |host: &mut ClientHost, now| host.close(now, name));
    }

    /// True if the channel is connected.
    pub fn is_connected(self, w: &World, name: &str) -> bool {
        self.host(w).is_connected(name)
    }

    /// Opens a channel and runs until it is connected.
    pub fn connect(self, w: &mut World, name: &str) -> Cid {
        let cid = self.open(w, name);
        w.run_until(|w| self.is_connected(w, name));
        cid
    }

    /// Subscribes; connected or not.
    ///
    /// # Panics
    /// If the core refuses.
    pub fn subscribe(self, w: &mut World, name: &str, spec: SubSpec) -> Token {
        w.with(self, |host: &mut ClientHost, now| {
            host.subscribe(now, name, spec)
        })
        .expect("tests subscribe as allowed")
    }

    /// Cancels a subscription.
    pub fn unsubscribe(self, w: &mut World, sub: Token) {
        w.with(self, |host: &mut ClientHost, now| {
            host.unsubscribe(now, sub);
        });
    }

    /// Starts a read.
    ///
    /// # Errors
    /// Those of the core.
    pub fn read(self, w: &mut World, name: &str, spec: ReadSpec) -> Result<Token, OpError> {
        w.with(self, |host: &mut ClientHost, now| {
            host.read(now, name, spec)
        })
    }

    /// Connects if need be, reads with alarm and time stamp, and waits for the value.
    ///
    /// # Panics
    /// If there is no value.
    pub fn get(self, w: &mut World, name: &str) -> Reading {
        self.connect(w, name);
        let token = self
            .read(w, name, read_time())
            .expect("the channel is connected");
        match self.wait(w, token) {
            Answer::Read(reading) => reading,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Starts a put-notify.
    ///
    /// # Errors
    /// Those of the core.
    pub fn write_notify(
        self,
        w: &mut World,
        name: &str,
        value: impl Into<Value>,
    ) -> Result<Token, OpError> {
        let value = value.into();
        w.with(self, |host: &mut ClientHost, now| {
            host.write_notify(now, name, &value)
        })
    }

    /// Writes without an answer.
    ///
    /// # Errors
    /// Those of the core.
    pub fn write(self, w: &mut World, name: &str, value: impl Into<Value>) -> Result<(), OpError> {
        let value = value.into();
        w.with(self, |host: &mut ClientHost, now| {
            host.write(now, name, &value)
        })
    }

    /// Gives up waiting for an answer.
    pub fn cancel(self, w: &mut World, token: Token) {
        w.with(self, |host: &mut ClientHost, _| host.cancel(token));
    }

    /// The answer, if it has come.
    pub fn answer(self, w: &World, token: Token) -> Option<Answer> {
        self.host(w).answer(token).cloned()
    }

    /// Runs until the answer has come.
    ///
    /// # Panics
    /// If it does not come within ten simulated minutes.
    pub fn wait(self, w: &mut World, token: Token) -> Answer {
        w.run_until(|w| self.host(w).answer(token).is_some());
        self.answer(w, token).expect("that was waited for")
    }

    /// First elements of all updates of a subscription, as numbers; NaN for updates without data.
    pub fn updates(self, w: &World, sub: Token) -> Vec<f64> {
        let updates = &self.host(w).sub(sub).updates;
        updates
            .iter()
            .map(|update| number(update.reading.as_ref()))
            .collect()
    }

    /// Ends everything.
    pub fn shutdown(self, w: &mut World) {
        w.with(self, |host: &mut ClientHost, now| host.shutdown(now));
    }
}

/// The first element as a number; NaN if there is none.
pub(crate) fn number(reading: Option<&Reading>) -> f64 {
    reading
        .and_then(|reading| reading.get_f64(0))
        .unwrap_or(f64::NAN)
}
