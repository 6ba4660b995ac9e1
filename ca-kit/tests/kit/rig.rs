//! A client with its kit and a simulated IOC on the virtual network.

use std::fmt::Debug;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use ca_client::{Client, ClientStats, Instant};
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};
use ca_testkit::runtime::SimRuntime;

use crate::dropped::{Moment, drop_at_every_poll};

pub(crate) const IOC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// Seeds of schedules that operations are dropped under, beside the plain one.
const SEEDS: u64 = 3;

/// Set-points and read-backs of the usual kinds.
pub(crate) fn usual() -> IocBuilder {
    let pv = PvSpec::double(0.0);
    let mut ioc = Ioc::builder();
    for name in ["a", "b", "c", "set", "read", "x", "y"] {
        ioc = ioc.pv(name, PvSpec::double(0.0));
    }
    ioc.pv("limited", pv.control(-10.0, 10.0).units("mm"))
        .pv("n", PvSpec::long(3))
        .pv("f", PvSpec::float(0.5))
        .pv("note", PvSpec::string("hello"))
        .pv("state", PvSpec::enumeration(["Off", "On"], 0))
        .pv("wave", PvSpec::array(vec![1.0, 2.0, 3.0]))
        .pv("fixed", PvSpec::double(7.0).read_only())
        .pv("slow", PvSpec::double(0.0).completes_after(2 * SECOND))
        .pv("never", PvSpec::double(0.0).completes_never())
        .pv(
            "fussy",
            PvSpec::double(0.0).validated(|value| {
                value
                    .as_ref()
                    .elements::<f64>()
                    .is_some_and(|mut all| all.all(|v| v < 5.0))
            }),
        )
}

pub(crate) struct Rig {
    pub(crate) rt: SimRuntime,
    pub(crate) ioc: SimIoc,
    pub(crate) client: Client,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::on(SimRuntime::new(1), usual())
    }

    pub(crate) fn with(pvs: IocBuilder) -> Self {
        Self::on(SimRuntime::new(1), pvs)
    }

    pub(crate) fn on(rt: SimRuntime, pvs: IocBuilder) -> Self {
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let ioc = pvs.seed(7).build().unwrap();
        let ioc = SimIoc::start_on(rt.host(IOC), ioc, config).unwrap();
        let client = Client::builder()
            .without_env()
            .user("operator")
            .host("console")
            .repeater_port(0)
            .runtime(rt.host(CLIENT))
            .build()
            .unwrap();
        Self { rt, ioc, client }
    }

    #[track_caller]
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.rt
            .block_on(future)
            .unwrap_or_else(|stuck| panic!("{stuck}"))
    }

    pub(crate) fn now(&self) -> Instant {
        self.rt.now()
    }

    pub(crate) fn post(&self, pv: &str, value: f64) {
        self.ioc.post(pv, value).unwrap();
    }

    pub(crate) fn number(&self, pv: &str) -> f64 {
        self.ioc.with(|ioc, _| ioc.number(pv)).unwrap()
    }

    /// Posts a value after a time.
    pub(crate) fn post_after(&self, time: Duration, pv: &'static str, value: f64) {
        let (sleep, ioc) = (self.rt.sleep(time), self.ioc.clone());
        self.rt.spawn(async move {
            sleep.await;
            ioc.post(pv, value).unwrap();
        });
    }

    /// A device: the read-back moves to the set-point, at most `step` in each 10 ms.
    pub(crate) fn follow(&self, set: &'static str, read: &'static str, step: f64) {
        follow(&self.rt, self.ioc.clone(), set, read, step);
    }

    /// Waits until the client holds no more than this.
    pub(crate) async fn gives_back(&self, expected: ClientStats) {
        for _ in 0..600 {
            if self.client.stats() == expected {
                return;
            }
            self.rt.sleep(100 * MILLI).await;
        }
        panic!("{:?} is left instead of {expected:?}", self.client.stats());
    }
}

fn follow(rt: &SimRuntime, ioc: SimIoc, set: &'static str, read: &'static str, step: f64) {
    // Bounded, so that a test that hangs comes to its end.
    let naps: Vec<_> = (0..2000).map(|n| rt.sleep(n * 10 * MILLI)).collect();
    rt.spawn(async move {
        for nap in naps {
            nap.await;
            let (to, at) = ioc.with(|ioc, _| (ioc.number(set), ioc.number(read)));
            let (to, at) = (to.unwrap(), at.unwrap());
            if to != at {
                ioc.post(read, at + (to - at).clamp(-step, step)).unwrap();
            }
        }
    });
}

/// Drops what `make` makes at every moment of its life, under several schedules: the client works on,
/// and holds no more than before. `check` looks at the rest.
pub(crate) fn survives<'a, T: Debug>(
    make: impl AsyncFn(&Client) -> T + 'a,
    mut check: impl FnMut(&Rig, Moment, bool),
) {
    let plain = std::iter::once(SimRuntime::new(0));
    for rt in plain.chain((1..=SEEDS).map(SimRuntime::shuffled)) {
        let rig = Rig::on(rt, usual());
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let before = rig.client.stats();
            let (rig, x) = (&rig, &x);
            let seen = std::cell::RefCell::new(&mut check);
            let polls = drop_at_every_poll(
                || make(&rig.client),
                |moment, output| {
                    let seen = &seen;
                    async move {
                        let value = x.get::<f64>().await;
                        assert!(value.is_ok(), "{value:?} after a drop at {moment:?}");
                        rig.gives_back(before).await;
                        (seen.borrow_mut())(rig, moment, output.is_some());
                    }
                },
            )
            .await;
            assert!(polls >= 2, "nothing was waited for");
        });
    }
}
