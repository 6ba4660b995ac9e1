//! The whole ring of sixty thousand PVs with clients that monitor all of them, on the virtual network: nothing is lost.
//!
//! In short with 10 clients; `CANTER_RING_CLIENTS=100 cargo test --release -p ca-applications --test scale -- --nocapture` is
//! the long form, which prints the time of the processor for each step.

use std::net::Ipv4Addr;
use std::time::Duration;

use ca_client::{Client, MonitorEvent};
use ca_ring::{Machine, Options, ioc};
use ca_server_sim::net::{ModelRun, NetConfig, SimIoc};
use ca_testkit::runtime::SimRuntime;

const STEP: Duration = Duration::from_millis(100);
/// Steps that all clients see.
const STEPS: u32 = 5;
/// Monitors of a client.
const EACH: usize = 600;

fn client(rt: &SimRuntime, n: usize) -> Client {
    let address = Ipv4Addr::new(10, 0, 0, 10 + n as u8);
    Client::builder()
        .without_env()
        .user("operator")
        .host("console")
        .repeater_port(0)
        .timeout(Duration::from_secs(60))
        .runtime(rt.host(address))
        .build()
        .unwrap()
}

/// Seconds of the processor that this process has had.
#[cfg(unix)]
fn processor() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    micros as f64 * 1e-6
}

#[cfg(not(unix))]
fn processor() -> f64 {
    f64::NAN
}

#[test]
fn every_client_sees_every_step() {
    let clients = std::env::var("CANTER_RING_CLIENTS").map_or(10, |n| n.parse().unwrap());
    let machine = Machine::standard(Options::default()).unwrap();
    let names: Vec<String> = machine
        .read_backs()
        .iter()
        .map(|q| q.name.clone())
        .collect();
    let (builder, pvs) = ioc::describe(&machine);
    let rt = SimRuntime::new(1);
    let config = NetConfig::new()
        .interfaces([Ipv4Addr::UNSPECIFIED])
        .tcp_port(5064)
        .udp_port(5064)
        .repeater(None);
    let host = rt.host(Ipv4Addr::new(10, 0, 0, 1));
    let ioc = SimIoc::start_on(host, builder.build().unwrap(), config).unwrap();
    let count = ioc.with(|ioc, _| ioc.pv_count());
    assert!(count >= 60_000, "{count}");
    let mut run = ModelRun::new(ioc, &pvs, machine).unwrap();
    run.step(Duration::ZERO).unwrap();

    let clients: Vec<Client> = (0..clients).map(|n| client(&rt, n)).collect();
    let mut monitors = Vec::new();
    // Beam and supplies come first: those change at each step, too, but many stand still to the last digit.
    let changing = names.len() - clients.len() * EACH;
    for (n, client) in clients.iter().enumerate() {
        for name in &names[changing + n * EACH..changing + (n + 1) * EACH] {
            let channel = client.open(name).unwrap();
            monitors.push(channel.monitor::<f64>().start().unwrap());
        }
    }
    rt.run_for(Duration::from_secs(30));
    for monitor in &mut monitors {
        // Connected, and the state at the start.
        while let Some(event) = monitor.try_next() {
            assert!(!matches!(event, MonitorEvent::Disconnected));
        }
    }
    let before = processor();
    let (mut computing, mut updates) = (0.0, 0);
    for n in 1..=STEPS {
        let begin = processor();
        run.step(STEP * n).unwrap();
        computing += processor() - begin;
        rt.run_for(STEP);
        for (m, monitor) in monitors.iter_mut().enumerate() {
            match monitor.try_next() {
                Some(MonitorEvent::Update { value, skipped: 0 }) if value.is_finite() => {}
                other => panic!("step {n}, monitor {m} of {}: {other:?}", client_of(m)),
            }
            assert!(monitor.try_next().is_none(), "one update for a step");
            updates += 1;
        }
    }
    let all = processor() - before;
    println!(
        "{} clients, {count} PVs: {updates} updates in {STEPS} steps, none lost; of the processor, a step with its posts \
         takes {:.1} ms, and {:.1} ms with all clients and the network",
        clients.len(),
        1e3 * computing / f64::from(STEPS),
        1e3 * all / f64::from(STEPS)
    );
}

/// Which client a monitor belongs to.
fn client_of(n: usize) -> String {
    format!("client {}", n / EACH)
}
