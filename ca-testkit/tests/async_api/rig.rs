//! A production client and a production IOC on the virtual network.

use std::fmt::Debug;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use ca_client::{Client, ClientBuilder, ClientStats, Monitor, MonitorEvent};
use ca_proto::Instant;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};
use ca_testkit::runtime::{SimRuntime, Stuck};

pub(crate) const IOC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const OTHER_IOC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// PVs of the usual kinds: `x` a number, `note` a text, `state` an enum, `wave` five numbers,
/// `big` a large array, `slow` completes puts after 2 s, `never` not at all.
pub(crate) fn usual() -> IocBuilder {
    Ioc::builder()
        .pv("x", PvSpec::double(1.5).units("mm").precision(3))
        .pv("note", PvSpec::string("hello"))
        .pv("state", PvSpec::enumeration(["Off", "On"], 1))
        .pv("wave", PvSpec::array(vec![1.0, 2.0, 3.0, 4.0, 5.0]))
        .pv("big", PvSpec::array(vec![0.0; 20_000]))
        .pv("slow", PvSpec::double(0.0).completes_after(2 * SECOND))
        .pv("never", PvSpec::double(0.0).completes_never())
}

pub(crate) fn serve(rt: &SimRuntime, addr: Ipv4Addr, pvs: IocBuilder) -> SimIoc {
    let config = NetConfig::new()
        .interfaces([Ipv4Addr::UNSPECIFIED])
        .tcp_port(5064)
        .udp_port(5064)
        .repeater(None);
    let ioc = pvs.seed(7).build().unwrap();
    SimIoc::start_on(rt.host(addr), ioc, config).unwrap()
}

pub(crate) fn client(rt: &SimRuntime, addr: Ipv4Addr) -> Client {
    builder(rt, addr).build().unwrap()
}

pub(crate) fn builder(rt: &SimRuntime, addr: Ipv4Addr) -> ClientBuilder {
    Client::builder()
        .without_env()
        .user("operator")
        .host("console")
        .repeater_port(0)
        .runtime(rt.host(addr))
}

/// For operations on machines with much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3000);

/// One IOC with the usual PVs and one client.
pub(crate) struct Rig {
    pub(crate) rt: SimRuntime,
    pub(crate) ioc: SimIoc,
    pub(crate) client: Client,
}

impl Rig {
    pub(crate) fn new(seed: u64) -> Self {
        Self::on(SimRuntime::new(seed))
    }

    /// Another schedule for each seed.
    pub(crate) fn shuffled(seed: u64) -> Self {
        Self::on(SimRuntime::shuffled(seed))
    }

    /// Another schedule for each seed, on a machine with much else to do.
    pub(crate) fn busy(seed: u64, longest: Duration) -> Self {
        let rt = SimRuntime::busy(seed, longest);
        let patient = builder(&rt, CLIENT).timeout(PATIENCE);
        Self {
            ioc: serve(&rt, IOC, usual()),
            client: patient.build().unwrap(),
            rt,
        }
    }

    fn on(rt: SimRuntime) -> Self {
        Self {
            ioc: serve(&rt, IOC, usual()),
            client: client(&rt, CLIENT),
            rt,
        }
    }

    #[track_caller]
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        run(&self.rt, future)
    }

    pub(crate) fn post(&self, value: f64) {
        self.ioc.post("x", value).unwrap();
    }

    pub(crate) fn now(&self) -> Instant {
        self.rt.now()
    }

    /// The next item of a subscription, which comes within a minute.
    pub(crate) async fn next(&self, subscription: &mut Monitor) -> MonitorEvent {
        next(&self.rt, subscription).await
    }

    /// Waits until the newest value of a subscription is this one.
    pub(crate) async fn arrives(&self, subscription: &mut Monitor, value: f64) {
        while self.next(subscription).await.value_as::<f64>() != Some(value) {}
    }
}

#[track_caller]
pub(crate) fn run<T>(rt: &SimRuntime, future: impl Future<Output = T>) -> T {
    match rt.block_on(future) {
        Ok(output) => output,
        Err(stuck) => panic!("{stuck}"),
    }
}

pub(crate) async fn next(rt: &SimRuntime, subscription: &mut Monitor) -> MonitorEvent {
    let item = rt.timeout(60 * SECOND, subscription.next()).await;
    item.expect("an item comes in time")
        .expect("the client is open")
}

/// Waits until the client holds no more than this; panics with what it holds if it does not come
/// to that within a minute.
pub(crate) async fn gives_back(rt: &SimRuntime, client: &Client, expected: ClientStats) {
    for _ in 0..600 {
        if client.stats() == expected {
            return;
        }
        rt.sleep(100 * MILLI).await;
    }
    panic!("{:?} is left instead of {expected:?}", client.stats());
}

/// The error of a future that cannot complete.
pub(crate) fn stuck<T: Debug>(result: Result<T, Stuck>) -> Stuck {
    result.expect_err("the future cannot complete")
}
