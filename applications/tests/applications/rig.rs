//! A ring of twenty cells behind an IOC on a virtual network, whose clock goes as fast as the applications let it.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_applications::{Error, Machine, Pace};
use ca_client::Client;
use ca_kit::Groups;
use ca_ring::{Lattice, Options, ioc};
use ca_server_sim::net::{ModelRun, NetConfig, SimIoc};
use ca_testkit::runtime::SimRuntime;

const IOC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
/// Time between two steps of the ring.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);
/// Steps until a test that hangs comes to its end: an hour and a half.
const STEPS: u32 = 50_000;

pub(crate) const LATTICE: &str = include_str!("../../../ca-ring/tests/pyat/fodo_sextupoles.lat");

/// A pace for a ring that steps each 100 ms.
pub(crate) const PACE: Pace = Pace {
    settle: Duration::from_millis(210),
    between: Duration::from_millis(100),
    samples: 3,
};

pub(crate) fn machine(options: Options) -> ca_ring::Machine {
    let lattice = Lattice::parse(LATTICE).unwrap();
    ca_ring::Machine::new(lattice, options).unwrap()
}

pub(crate) fn groups(machine: &ca_ring::Machine) -> Groups {
    Groups::from_toml("ring.toml", &ioc::groups(machine)).unwrap()
}

pub(crate) struct Rig {
    rt: SimRuntime,
    pub(crate) ioc: SimIoc,
    pub(crate) client: Client,
    pub(crate) groups: Groups,
    /// The lattice with its misalignments, as it was in the beginning.
    pub(crate) truth: Lattice,
    /// What a step said last.
    pub(crate) fault: Arc<Mutex<Option<String>>>,
}

impl Rig {
    pub(crate) fn new(options: Options) -> Self {
        let machine = machine(options);
        let (groups, truth) = (groups(&machine), machine.present().clone());
        let rt = SimRuntime::new(1);
        rt.set_time_limit(Duration::from_secs(7200));
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let (builder, pvs) = ioc::describe(&machine);
        let ioc = SimIoc::start_on(rt.host(IOC), builder.build().unwrap(), config).unwrap();
        let client = Client::builder()
            .without_env()
            .user("operator")
            .host("console")
            .repeater_port(0)
            .runtime(rt.host(CLIENT))
            .build()
            .unwrap();
        let mut run = ModelRun::new(ioc.clone(), &pvs, machine).unwrap();
        let fault = Arc::new(Mutex::new(None));
        let (says, naps) = (Arc::clone(&fault), Naps::new(&rt));
        rt.spawn(async move {
            for (n, nap) in naps.0.into_iter().enumerate() {
                nap.await;
                let done = run.step(PERIOD * n as u32);
                *says.lock().unwrap() = done.err().map(|fault| fault.to_string());
            }
        });
        Self {
            rt,
            ioc,
            client,
            groups,
            truth,
            fault,
        }
    }

    pub(crate) fn machine(&self) -> Machine<'_> {
        Machine::new(&self.client, self.groups.clone()).at(PACE)
    }

    /// Runs an application with what it is given.
    #[track_caller]
    pub(crate) fn run<T>(&self, future: impl Future<Output = Result<T, Error>>) -> T {
        let done = self
            .rt
            .block_on(future)
            .unwrap_or_else(|stuck| panic!("{stuck}"));
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn sleep(&self, time: Duration) {
        self.rt.run_for(time);
    }

    pub(crate) fn number(&self, pv: &str) -> f64 {
        self.ioc.with(|ioc, _| ioc.number(pv)).unwrap()
    }
}

type Nap = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

struct Naps(Vec<Nap>);

impl Naps {
    fn new(rt: &SimRuntime) -> Self {
        let nap = |n: u32| -> Nap { Box::pin(rt.sleep(PERIOD * n)) };
        Self((0..STEPS).map(nap).collect())
    }
}
