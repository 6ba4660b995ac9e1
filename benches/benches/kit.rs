//! Rows of values of the same pulse, and matches, beside the same by hand, on the virtual network: what the
//! kit costs above the client.
//!
//! ```text
//! cargo bench -p ca-bench --bench kit
//! ```

use std::hint::black_box;
use std::net::Ipv4Addr;

use ca_client::{Channel, Client, MonitorSpec};
use ca_kit::{Kit, near};
use ca_proto::Timestamp;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvHandle, PvSpec};
use ca_testkit::runtime::SimRuntime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Position monitors of a ring.
const PVS: usize = 1000;

struct Ring {
    rt: SimRuntime,
    ioc: SimIoc,
    client: Client,
    channels: Vec<Channel>,
    handles: Vec<PvHandle>,
    pulse: u32,
}

impl Ring {
    fn new() -> Self {
        let rt = SimRuntime::new(1);
        let names: Vec<String> = (0..PVS).map(|n| format!("bpm{n}")).collect();
        let pvs = names.iter().map(|name| (name, PvSpec::double(0.0)));
        let ioc = Ioc::builder()
            .pvs(pvs)
            .seed(7)
            .build()
            .expect("names are names");
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let host = rt.host(Ipv4Addr::new(10, 0, 0, 1));
        let ioc = SimIoc::start_on(host, ioc, config).expect("ports are free");
        let client = Client::builder().without_env().repeater_port(0);
        let client = client
            .runtime(rt.host(Ipv4Addr::new(10, 0, 0, 9)))
            .build()
            .expect("it is valid");
        let channels = rt
            .block_on(client.connect_many(&names))
            .expect("they connect");
        Self {
            handles: names.iter().filter_map(|name| ioc.pv(name)).collect(),
            channels: channels
                .into_iter()
                .map(|it| it.expect("it is there"))
                .collect(),
            rt,
            ioc,
            client,
            pulse: 0,
        }
    }

    /// All PVs get a value with the time stamp of the next pulse.
    fn pulse(&mut self) {
        self.pulse += 1;
        let stamp = Timestamp {
            secs: 1_000_000_000 + self.pulse / 100,
            nanos: self.pulse % 100 * 10_000_000,
        };
        let value = f64::from(self.pulse);
        self.ioc.with(|ioc, now| {
            for &handle in &self.handles {
                ioc.post_stamped(now, handle, value, stamp)
                    .expect("it is a number");
            }
        });
    }
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("row of 1000");
    group
        .throughput(Throughput::Elements(PVS as u64))
        .sample_size(20);
    let mut ring = Ring::new();
    let mut set = ring.client.monitor_set();
    for channel in &ring.channels {
        set.add(channel, MonitorSpec::time()).expect("it is open");
    }
    group.bench_function("monitor set", |b| {
        b.iter(|| {
            ring.pulse();
            let wanted = f64::from(ring.pulse);
            let all = async {
                let mut there = 0;
                while there < PVS {
                    let (_, event) = set.next().await.expect("the client is open");
                    there += usize::from(event.value_as() == Some(wanted));
                }
            };
            ring.rt.block_on(all).expect("they come");
        });
    });
    drop(set);
    let client = ring.client.clone();
    let mut rows = client.align(&ring.channels).start().expect("they are open");
    group.bench_function("aligned", |b| {
        b.iter(|| {
            ring.pulse();
            let wanted = f64::from(ring.pulse);
            let row = async {
                loop {
                    let row = rows.next().await.expect("the client is open");
                    if row.values[0].as_ref().and_then(|it| it.get_f64(0)) == Some(wanted) {
                        return row;
                    }
                }
            };
            black_box(ring.rt.block_on(row).expect("it comes"));
        });
    });
    group.finish();
}

fn matches(c: &mut Criterion) {
    let mut group = c.benchmark_group("match of 1000");
    group
        .throughput(Throughput::Elements(PVS as u64))
        .sample_size(20);
    let ring = Ring::new();
    let mut value = 0.0;
    group.bench_function("puts and updates by hand", |b| {
        b.iter(|| {
            value += 1.0;
            let all = async {
                let mut set = ring.client.monitor_set();
                for channel in &ring.channels {
                    set.add(channel, MonitorSpec::of::<f64>())
                        .expect("it is open");
                }
                let puts = ring.channels.iter().map(|channel| (channel, value));
                let put = ring.client.put_many(puts).check().await;
                assert!(put.iter().all(Result::is_ok));
                let mut there = 0;
                while there < PVS {
                    let (_, event) = set.next().await.expect("the client is open");
                    there += usize::from(event.value_as() == Some(value));
                }
            };
            ring.rt.block_on(all).expect("they come");
        });
    });
    group.bench_function("put_and_match", |b| {
        b.iter(|| {
            value += 1.0;
            let settings = ring.channels.iter();
            let settings = settings.map(|channel| (channel, value, channel, near(value, 0.1)));
            let matched = ring.client.put_and_match_all(settings);
            let matched = ring.rt.block_on(matched).expect("they come");
            assert_eq!(matched.map(|it| it.put), Ok(PVS));
        });
    });
    group.finish();
}

criterion_group!(benches, rows, matches);
criterion_main!(benches);
