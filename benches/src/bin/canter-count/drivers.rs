//! The asynchronous client and the IOC's drivers, with a virtual network below them.

use std::net::Ipv4Addr;
use std::time::Duration;

use ca_client::record::Keep;
use ca_client::{Channel, Client, ClientBuilder, Monitor, MonitorEvent, Reading};
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::runtime::SimRuntime;
use futures_util::future::join_all;

use crate::Work;

const IOC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const SECOND: Duration = Duration::from_secs(1);
const READS: usize = 500;
const PVS: usize = 500;
const PUTS: u32 = 5000;
const ROUNDS: u32 = 10;

struct Rig {
    rt: SimRuntime,
    ioc: SimIoc,
    channels: Vec<Channel>,
    client: Client,
}

impl Rig {
    /// A client connected to so many PVs.
    fn new(pvs: usize) -> Self {
        Self::with(pvs, |builder| builder)
    }

    fn with(pvs: usize, tune: fn(ClientBuilder) -> ClientBuilder) -> Self {
        let rt = SimRuntime::new(1);
        let names: Vec<String> = (0..pvs).map(|n| format!("B:{n}")).collect();
        let specs = names.iter().map(|name| (name, PvSpec::double(0.0)));
        let ioc = Ioc::builder().seed(7).pvs(specs).build();
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let ioc = SimIoc::start_on(rt.host(IOC), ioc.expect("valid PVs"), config);
        let builder = Client::builder()
            .without_env()
            .user("operator")
            .host("console")
            .repeater_port(0)
            .runtime(rt.host(CLIENT));
        let client = tune(builder).build().expect("the settings are valid");
        let open = |name| client.open(name).expect("room in the table");
        let channels: Vec<Channel> = names.iter().map(open).collect();
        let rig = Self {
            ioc: ioc.expect("the ports are free"),
            rt,
            channels,
            client,
        };
        rig.run(async {
            for connected in join_all(rig.channels.iter().map(Channel::connected)).await {
                connected.expect("the IOC serves it");
            }
        });
        rig
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.rt.block_on(future).expect("the future completes")
    }
}

/// Reads one after the other.
pub(crate) fn reads() -> Work {
    one_by_one(Rig::new(1))
}

/// The same with a flight recorder.
pub(crate) fn reads_recorded() -> Work {
    one_by_one(Rig::with(1, recorded))
}

/// So little that it is full soon and forgets a frame for each that it takes, as a recorder does nearly always.
fn recorded(builder: ClientBuilder) -> ClientBuilder {
    builder.record(Keep::default().bytes(16 << 10))
}

fn one_by_one(rig: Rig) -> Work {
    Box::new(move || {
        rig.run(async {
            for _ in 0..READS {
                let value = rig.channels[0].get::<f64>().await;
                assert_eq!(value.expect("it is connected"), 0.0);
            }
        });
    })
}

/// Reads of many channels in flight, as one future.
pub(crate) fn reads_together() -> Work {
    let rig = Rig::new(PVS);
    Box::new(move || {
        rig.run(async {
            for _ in 0..ROUNDS {
                let values = rig
                    .client
                    .get_many::<f64>(&rig.channels)
                    .timeout(SECOND)
                    .await;
                assert!(values.iter().all(Result::is_ok));
            }
        });
    })
}

/// Reads of many channels in flight, each a future.
pub(crate) fn reads_joined() -> Work {
    let rig = Rig::new(PVS);
    Box::new(move || {
        rig.run(async {
            for _ in 0..ROUNDS {
                let reads = rig.channels.iter().map(Channel::get::<f64>);
                let values = join_all(reads).await;
                assert!(values.iter().all(Result::is_ok));
            }
        });
    })
}

/// Puts without an answer, and a read behind them.
pub(crate) fn puts() -> Work {
    let rig = Rig::new(1);
    Box::new(move || {
        rig.run(async {
            let channel = &rig.channels[0];
            for k in 0..PUTS {
                let put = channel.put(f64::from(k)).await;
                put.expect("it is connected");
            }
            let value = channel.get::<f64>().await;
            assert_eq!(value.expect("it is connected"), f64::from(PUTS - 1));
        });
    })
}

/// Values posted inside the IOC, each seen by a subscription.
pub(crate) fn updates() -> Work {
    subscribed(Rig::new(PVS))
}

/// The same with a flight recorder.
pub(crate) fn updates_recorded() -> Work {
    subscribed(Rig::with(PVS, recorded))
}

fn subscribed(rig: Rig) -> Work {
    let subscribe = |channel: &Channel| channel.monitor::<Reading>().start();
    let mut subscriptions: Vec<Monitor> = (rig.channels.iter())
        .map(|channel| subscribe(channel).expect("room in the table"))
        .collect();
    rig.run(async { see(&mut subscriptions, 0.0).await });
    let names: Vec<String> = (0..PVS).map(|n| format!("B:{n}")).collect();
    Box::new(move || {
        rig.run(async {
            for k in 1..=ROUNDS {
                let value = f64::from(k);
                for name in &names {
                    rig.ioc.post(name.as_str(), value).expect("it exists");
                }
                see(&mut subscriptions, value).await;
            }
        });
    })
}

/// Waits until each subscription has seen a value.
async fn see(subscriptions: &mut [Monitor], wanted: f64) {
    for subscription in subscriptions {
        while let Some(item) = subscription.next().await {
            if matches!(&item, MonitorEvent::Update { .. })
                && item.value_as::<f64>() == Some(wanted)
            {
                break;
            }
        }
    }
}
