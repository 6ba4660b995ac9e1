//! Rows of a thousand PVs of the whole ring, all of its position monitors among them, at 100 Hz on the virtual
//! network: none lost, none mixed.

use std::net::Ipv4Addr;
use std::time::Duration;

use ca_client::Client;
use ca_kit::{Kit, Tag};
use ca_ring::{Machine, Options, Quantity, ioc};
use ca_server_sim::net::{ModelRun, NetConfig, SimIoc};
use ca_testkit::runtime::SimRuntime;

const STEP: Duration = Duration::from_millis(10);
const STEPS: u32 = 40;
const PVS: usize = 1000;

struct Rig {
    ioc: SimIoc,
    run: ModelRun<Machine>,
    client: Client,
    names: Vec<String>,
}

impl Rig {
    fn new(rt: &SimRuntime) -> Self {
        let machine = Machine::standard(Options::default()).unwrap();
        let all = machine.read_backs();
        let is_monitor = |quantity: &&Quantity| quantity.name.starts_with("ARIDI-BPM-");
        // What comes last changes at each step, as the monitors do.
        let changing = all.iter().filter(is_monitor).chain(all.iter().rev());
        let names: Vec<String> = changing.take(PVS).map(|it| it.name.clone()).collect();
        assert_eq!(names.len(), PVS);
        let (builder, pvs) = ioc::describe(&machine);
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let host = rt.host(Ipv4Addr::new(10, 0, 0, 1));
        let ioc = SimIoc::start_on(host, builder.build().unwrap(), config).unwrap();
        let client = Client::builder()
            .without_env()
            .repeater_port(0)
            .timeout(Duration::from_secs(60))
            .runtime(rt.host(Ipv4Addr::new(10, 0, 0, 9)))
            .build()
            .unwrap();
        let run = ModelRun::new(ioc.clone(), &pvs, machine).unwrap();
        Self {
            ioc,
            run,
            client,
            names,
        }
    }

    /// A step of the ring; the tag of what it posts, and the values of the monitors.
    fn step(&mut self, n: u32) -> (Tag, Vec<f64>) {
        self.run.step(STEP * n).unwrap();
        self.ioc.with(|ioc, _| {
            let stamp = ioc.read(&self.names[0]).unwrap().stamp;
            let values = self.names.iter().map(|name| ioc.number(name).unwrap());
            (Tag::from(stamp), values.collect())
        })
    }
}

#[test]
fn rows_of_the_ring_are_whole_and_of_one_step() {
    let rt = SimRuntime::new(1);
    let mut rig = Rig::new(&rt);
    rig.step(0);
    let client = rig.client.clone();
    let mut rows = client.align(&rig.names).depth(64).start().unwrap();
    rt.run_for(Duration::from_secs(2));
    let mut expected = Vec::new();
    for n in 1..=STEPS {
        expected.push(rig.step(n));
        rt.run_for(STEP);
    }
    rt.run_for(Duration::from_secs(1));
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let row = rt.block_on(rows.next()).unwrap().unwrap();
        if row.tag >= expected[0].0 {
            assert!(row.is_complete());
            seen.push((row.tag, row.numbers()));
        }
    }
    assert!(seen == expected, "a row has values of another step");
    let counts = rows.counts();
    assert_eq!(
        (counts.lost, counts.twice, counts.untagged),
        (0, 0, 0),
        "{counts:?}"
    );
    assert_eq!(
        counts.updates,
        u64::from(STEPS + 1) * PVS as u64,
        "{counts:?}"
    );
}
