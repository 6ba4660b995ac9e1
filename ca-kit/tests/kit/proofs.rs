//! What it costs, what it leaves behind, and whether it sleeps too long.

use std::net::Ipv4Addr;
use std::time::Duration;

use ca_client::{Client, MonitorEvent, MonitorSpec};
use ca_kit::{Control, Delivery, Group, Kit, Trip, near};
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::runtime::SimRuntime;

use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, survives, usual};

const PVS: usize = 1000;

fn thousand() -> (Rig, Vec<String>) {
    let names: Vec<String> = (0..PVS).map(|n| format!("q{n}")).collect();
    let pvs = names
        .iter()
        .map(|name| (name.as_str(), PvSpec::double(0.0)));
    (Rig::with(Ioc::builder().pvs(pvs)), names)
}

/// Bytes on the wire and polls of tasks that something takes.
async fn cost<T>(rig: &Rig, work: impl Future<Output = T>) -> (T, u64, u64) {
    let before = (rig.rt.net(|net| net.stats.bytes), rig.rt.stats().polls);
    let output = work.await;
    let after = (rig.rt.net(|net| net.stats.bytes), rig.rt.stats().polls);
    (output, after.0 - before.0, after.1 - before.1)
}

/// The puts and updates alone, by hand.
async fn by_hand(client: &Client, channels: &[ca_client::Channel]) {
    let mut set = client.monitor_set();
    for channel in channels {
        set.add(channel, MonitorSpec::of::<f64>()).unwrap();
    }
    let (mut there, mut put) = (0, false);
    while there < PVS {
        let (_, event) = set.next().await.unwrap();
        there += usize::from(event.value_as() == Some(if put { 2.0 } else { 0.0 }));
        if there == PVS && !put {
            (there, put) = (0, true);
            let puts = channels.iter().map(|channel| (channel, 2.0));
            assert!(
                client
                    .put_many(puts)
                    .check()
                    .await
                    .iter()
                    .all(Result::is_ok)
            );
        }
    }
}

#[test]
fn a_match_of_a_thousand_costs_little_more_than_its_puts_and_updates() {
    let (rig, names) = thousand();
    rig.run(async {
        let channels = rig.client.connect_many(&names).await;
        let channels: Vec<_> = channels.into_iter().map(Result::unwrap).collect();
        let ((), bytes, polls) = cost(&rig, by_hand(&rig.client, &channels)).await;
        let settings = channels
            .iter()
            .map(|channel| (channel, 5.0, channel, near(5.0, 0.1)));
        let matched = rig.client.put_and_match_all(settings);
        let (matched, own_bytes, own_polls) = cost(&rig, matched).await;
        assert_eq!(matched.unwrap().put, PVS);
        assert!(
            2 * own_bytes <= 3 * bytes,
            "{own_bytes} bytes in the place of {bytes}"
        );
        assert!(
            2 * own_polls <= 3 * polls + 20,
            "{own_polls} polls in the place of {polls}"
        );
    });
}

/// Bytes that this process holds, where the system tells it.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Groups that are opened, monitored, lost, found again and closed leave nothing behind. With
/// `CANTER_CYCLES=10000` each of so many is lost, and memory is looked at.
#[test]
fn cycles_leave_nothing_behind() {
    let wanted = std::env::var("CANTER_CYCLES").ok();
    let wanted: Option<u32> = wanted.map(|text| text.parse().expect("a number of cycles"));
    let (cycles, lost_in) = wanted.map_or((300, 10), |cycles| (cycles, 1));
    let mut early = None;
    let rig = Rig::new();
    rig.rt.set_time_limit(Duration::from_secs(10_000_000));
    rig.run(async {
        let keep = rig.client.connect("x").await.unwrap();
        let mut first = None;
        for cycle in 0..cycles {
            let before = rig.client.stats();
            let group = rig
                .client
                .open_group(Group::of("g", ["a", "b", "state"]).unwrap())
                .unwrap();
            let mut rows = group.rows(MonitorSpec::time()).unwrap();
            while rows
                .next()
                .await
                .unwrap()
                .values
                .iter()
                .any(Option::is_none)
            {}
            if cycle % lost_in == 0 {
                rig.rt.partition(IOC, CLIENT, true);
                while rows
                    .next()
                    .await
                    .unwrap()
                    .values
                    .iter()
                    .all(Option::is_some)
                {}
                rig.rt.partition(IOC, CLIENT, false);
                while rows
                    .next()
                    .await
                    .unwrap()
                    .values
                    .iter()
                    .any(Option::is_none)
                {}
                keep.connected().timeout(600 * SECOND).await.unwrap();
            }
            drop((rows, group));
            rig.gives_back(before).await;
            rig.rt.sleep(60 * SECOND).await;
            let held = rig.rt.stats();
            let held = (held.tasks, held.timers, held.streams, held.udp);
            assert_eq!(*first.get_or_insert(held), held, "in cycle {cycle}");
            if cycle == cycles / 10 {
                early = resident();
            }
        }
    });
    if let Some((early, late)) = early.zip(resident()).filter(|_| wanted.is_some()) {
        println!("{cycles} cycles: {early} bytes after a tenth, {late} at the end");
        assert!(late < early + early / 20, "{early} bytes, then {late}");
    }
}

/// On a machine with much else to do: what waits for a time does not wait longer than that while nobody has
/// anything to do.
#[test]
fn nothing_sleeps_too_long_on_a_busy_machine() {
    for seed in 0..20 {
        let rt = SimRuntime::busy(seed, SECOND);
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let ioc = usual().seed(7).build().unwrap();
        let ioc = SimIoc::start_on(rt.host(IOC), ioc, config).unwrap();
        let client = Client::builder()
            .without_env()
            .repeater_port(0)
            .runtime(rt.host(CLIENT));
        let client = client.timeout(3000 * SECOND).build().unwrap();
        let story = async {
            client.connect("x").await.unwrap();
            let idle = rt.idle();
            let lost = client
                .wait_until("x", near(9.0, 0.1))
                .timeout(10 * SECOND)
                .await;
            assert!(lost.is_err());
            let hold = client
                .wait_until("x", near(0.0, 0.1))
                .hold(10 * SECOND)
                .timeout(3000 * SECOND);
            hold.await.unwrap();
            let control = Control::new();
            let ramp = client
                .ramp("a", 1.0)
                .steps(5)
                .period(2 * SECOND)
                .control(&control);
            ramp.await.unwrap();
            let period = 5 * SECOND;
            let mut watch = client
                .watch::<f64>("a")
                .deliver(Delivery::Throttled { period })
                .start()
                .unwrap();
            while watch.next().await.unwrap().value().is_none() {}
            ioc.post("a", 2.0).unwrap();
            while !matches!(
                watch.next().await,
                Some(MonitorEvent::Update { value: 2.0, .. })
            ) {}
            let mut alarm = client
                .alarm("a", Trip::Above(1.5))
                .delay(5 * SECOND)
                .start()
                .unwrap();
            alarm.next().await.unwrap();
            rt.idle() - idle
        };
        let idle = rt.block_on(story).unwrap();
        assert!(
            idle <= 40 * SECOND + 500 * MILLI,
            "{idle:?} with seed {seed}"
        );
    }
}

#[test]
fn metadata_may_be_dropped_at_any_poll() {
    survives(
        async |client| client.metadata("limited").unwrap().next().await.is_some(),
        |_, _, _| {},
    );
}

#[test]
fn metadata_stay_fresh_and_say_what_changed() {
    let rig = Rig::new();
    rig.run(async {
        let mut changes = rig.client.metadata("limited").unwrap();
        let first = changes.next().await.unwrap();
        assert!(first.units && first.limits && first.precision);
        assert_eq!(first.now.limits.unwrap().control.upper, 10.0);
        rig.post("limited", 3.0);
        assert!(
            rig.rt.timeout(SECOND, changes.next()).await.is_none(),
            "a value is no property"
        );
        rig.post("limited.HOPR", 8.0);
        let change = rig
            .rt
            .timeout(SECOND, changes.next())
            .await
            .unwrap()
            .unwrap();
        assert!(change.limits && !change.units && !change.precision);
        assert_eq!(change.now.limits.unwrap().display.upper, 8.0);
        rig.rt.partition(IOC, CLIENT, true);
        rig.rt.sleep(120 * SECOND).await;
        rig.rt.partition(IOC, CLIENT, false);
        assert!(
            rig.rt.timeout(600 * SECOND, changes.next()).await.is_none(),
            "they are the same"
        );
        let mut states = rig.client.metadata("state").unwrap();
        assert_eq!(states.next().await.unwrap().now.states.unwrap().len(), 2);
    });
}
