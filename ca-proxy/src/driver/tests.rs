//! The proxy between a production client and a production IOC on the virtual network, on a machine with
//! much else to do: time passes between any two looks at the clock. Nobody sleeps beyond what is due,
//! which shows in idle time.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_client::{Channel, Client, MonitorEvent, Reading};
use ca_net::{ByteStream, StreamOptions};
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::runtime::SimRuntime;

use crate::{Level, Proxy, ProxyConfig, StartError};

const IOC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PROXY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const CONTROL: SocketAddrV4 = SocketAddrV4::new(PROXY, 6001);
const SEEDS: u64 = 50;
const SECOND: Duration = Duration::from_secs(1);
/// For what is to succeed, however much time passes meanwhile.
const PATIENCE: Duration = Duration::from_secs(3000);
/// There and back through the proxy, four times a millisecond.
const TRIP: Duration = Duration::from_millis(5);

/// Faults that a client has to cope with, without an error that its user sees.
const GENTLE: &str = "
[[rule]]
on = 'search'
action = 'drop'
probability = 0.3

[[rule]]
on = 'search'
action = 'duplicate'

[[rule]]
on = 'create_chan'
action = 'delay'
by = '20ms'
jitter = '50ms'

[[rule]]
on = 'any'
transport = 'tcp'
action = 'delay'
by = '0ms'
jitter = '2ms'
";

struct Rig {
    rt: SimRuntime,
    ioc: SimIoc,
    proxy: Proxy,
    client: Client,
}

impl Rig {
    fn new(seed: u64, longest: Duration, script: &str) -> Self {
        let rt = SimRuntime::busy(seed, longest);
        let pvs = Ioc::builder()
            .pv("x", PvSpec::double(1.5))
            .pv("big", PvSpec::array(vec![0.0; 20_000]));
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let ioc = SimIoc::start_on(rt.host(IOC), pvs.build().unwrap(), config).unwrap();
        let config = ProxyConfig::new(SocketAddrV4::new(IOC, 5064))
            .listen(SocketAddrV4::new(PROXY, 6000))
            .control(CONTROL)
            .script(script.parse().unwrap_or_else(|error| panic!("{error}")))
            .seed(seed)
            .log(Level::Faults);
        let proxy = Proxy::start(rt.host(PROXY), config).unwrap();
        let client = Client::builder()
            .isolated([proxy.listen()])
            .user("operator")
            .host("console")
            .timeout(PATIENCE)
            .runtime(rt.host(CLIENT))
            .build()
            .unwrap();
        Self {
            rt,
            ioc,
            proxy,
            client,
        }
    }

    #[track_caller]
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        match self.rt.block_on(future) {
            Ok(output) => output,
            Err(stuck) => panic!("{stuck}"),
        }
    }

    async fn channel(&self, name: &str) -> Channel {
        self.client.connect(name).await.unwrap()
    }

    /// What a future gives, for which nobody may be idle for longer than this.
    async fn within<F: Future>(&self, limit: Duration, future: F) -> F::Output {
        let start = self.rt.idle();
        let output = future.await;
        let slept = self.rt.idle() - start;
        assert!(slept <= limit, "{slept:?} of idle time, not {limit:?}");
        output
    }
}

#[test]
fn every_operation_ends_in_its_time_whatever_delays_there_are() {
    for seed in 0..SEEDS {
        let rig = Rig::new(seed, SECOND, GENTLE);
        rig.run(async {
            // Of ten searches one is not dropped.
            let x = rig.within(10 * SECOND, rig.channel("x")).await;
            let mut updates = x.monitor::<Reading>().start().unwrap();
            for n in 0..20 {
                // What is late, each way: 2 ms at most.
                let limit = 2 * TRIP;
                rig.within(limit, x.put(f64::from(n)).wait()).await.unwrap();
                assert_eq!(rig.within(limit, x.get::<f64>()).await, Ok(f64::from(n)));
                rig.ioc.post("x", f64::from(n) + 0.5).unwrap();
                let newest = async {
                    while updates.next().await.unwrap().value_as::<f64>()
                        != Some(f64::from(n) + 0.5)
                    {}
                };
                rig.within(limit, newest).await;
            }
            rig.within(SECOND, rig.client.close()).await;
        });
        // The circuit has ended on both sides.
        rig.rt.run_for(SECOND);
        assert_eq!(rig.ioc.with(|ioc, _| ioc.stats().circuits), 0);
        let stats = rig.proxy.execute("stats");
        assert!(stats.starts_with("circuits 0, opened 1,"), "{stats}");
    }
}

#[test]
fn stalls_throttles_and_late_datagrams_last_as_long_as_they_are_to() {
    let script = "
[[rule]]
on = 'search'
action = 'delay'
by = '300ms'

[[rule]]
on = 'read_notify'
name = 'x'
action = 'stall'
by = '3s'
times = 3

[[rule]]
on = 'circuit'
action = 'delay'
by = '700ms'

[[rule]]
on = 'circuit'
action = 'throttle'
rate = 100000
direction = 'response'
";
    for seed in 0..SEEDS {
        let rig = Rig::new(seed, SECOND, script);
        rig.run(async {
            // The search is late both ways or asked again; then the circuit is.
            let connecting = 3 * SECOND;
            let x = rig.within(connecting, rig.channel("x")).await;
            for _ in 0..3 {
                let read = rig.within(3 * SECOND + 2 * TRIP, x.get::<f64>()).await;
                assert_eq!(read, Ok(1.5));
            }
            let big = rig.within(connecting, rig.channel("big")).await;
            let read = rig.within(2 * SECOND, big.get::<Vec<f64>>()).await;
            assert_eq!(read.unwrap().len(), 20_000, "160 000 bytes");
        });
    }
}

#[test]
fn connections_that_give_commands_are_bounded_and_the_one_too_many_is_told() {
    const MOST: usize = 16;
    let rig = Rig::new(1, SECOND, "");
    rig.run(async {
        let host = rig.rt.host(CLIENT);
        let options = StreamOptions::default();
        let mut held = Vec::new();
        for _ in 0..MOST {
            let mut control = host.dial(CONTROL, &options).await.unwrap();
            assert_eq!(say(&mut *control, "list\n").await, "ok\n");
            held.push(control);
        }
        let mut control = host.dial(CONTROL, &options).await.unwrap();
        let told = say(&mut *control, "").await;
        assert!(
            told.starts_with("error: there are 16 connections"),
            "{told}"
        );
        // One that ends makes room for another.
        held.pop();
        rig.rt.sleep(SECOND).await;
        let mut control = host.dial(CONTROL, &options).await.unwrap();
        assert_eq!(say(&mut *control, "list\n").await, "ok\n");
    });
}

/// What is said on a control connection holds for circuits that sleep.
#[test]
fn a_command_wakes_the_circuits_it_is_about() {
    let script = "
[[rule]]
id = 'hole'
on = 'circuit'
action = 'stall'
enabled = false

[[rule]]
id = 'ro'
on = 'access_rights'
action = 'rights'
rights = 'read'
enabled = false
";
    for seed in 0..SEEDS {
        let rig = Rig::new(seed, SECOND, script);
        rig.run(async {
            let x = rig.channel("x").await;
            let mut updates = x.monitor::<Reading>().start().unwrap();
            let host = rig.rt.host(CLIENT);
            let control = host.dial(CONTROL, &StreamOptions::default());
            let mut control = control.await.unwrap();
            assert_eq!(say(&mut *control, "on hole\n").await, "ok\n");
            let read = x.get::<f64>();
            let mut read = std::pin::pin!(read);
            assert!(rig.rt.timeout(SECOND, &mut read).await.is_none());
            assert_eq!(say(&mut *control, "off hole\n").await, "ok\n");
            assert_eq!(rig.within(2 * TRIP, read).await, Ok(1.5));
            assert_eq!(say(&mut *control, "on ro\n").await, "ok\n");
            let refused = async { while x.put(2.0).wait().await.is_ok() {} };
            rig.within(2 * TRIP, refused).await;
            assert_eq!(say(&mut *control, "cut 1 reset\n").await, "ok\n");
            let lost =
                async { while updates.next().await.unwrap() != MonitorEvent::Disconnected {} };
            rig.within(2 * TRIP, lost).await;
        });
        let lines = rig.run(rig.proxy.lines()).unwrap();
        let cut = lines
            .iter()
            .any(|line| line.ends_with("#1 closed: cut by reset"));
        assert!(cut, "{lines:?}");
    }
}

/// One line, and what is answered to it.
async fn say(stream: &mut dyn ByteStream, line: &str) -> String {
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        let n = poll_fn(|cx| stream.poll_write_vectored(cx, &[IoSlice::new(rest)])).await;
        rest = &rest[n.unwrap()..];
    }
    let mut answer = String::new();
    while !answer.ends_with('\n') {
        let mut chunk = [0; 100];
        let n = poll_fn(|cx| stream.poll_read(cx, &mut chunk))
            .await
            .unwrap();
        answer.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
    }
    answer
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let story = |seed| {
        let rig = Rig::new(seed, SECOND, GENTLE);
        rig.run(async {
            rig.channel("x").await.put(1.0).wait().await.unwrap();
            rig.client.close().await;
        });
        (rig.rt.now(), rig.rt.trace(|trace| trace.hash()))
    };
    for seed in 0..5 {
        assert_eq!(story(seed), story(seed));
    }
    assert_ne!(story(1), story(2));
}

/// A proxy that was stopped has ended its circuits and freed its ports; one that was dropped, too.
#[test]
fn what_has_stopped_can_start_again_at_the_same_ports() {
    for seed in 0..SEEDS {
        let rig = Rig::new(seed, SECOND, "");
        let Rig {
            rt, client, proxy, ..
        } = rig;
        let stopped = rt.block_on(async {
            let x = client.connect("x").await.unwrap();
            let mut updates = x.monitor::<Reading>().start().unwrap();
            while !matches!(updates.next().await.unwrap(), MonitorEvent::Update { .. }) {}
            proxy.stop().await;
            while updates.next().await.unwrap() != MonitorEvent::Disconnected {}
        });
        stopped.unwrap_or_else(|stuck| panic!("{stuck}"));
        let config = || {
            ProxyConfig::new(SocketAddrV4::new(IOC, 5064))
                .listen(SocketAddrV4::new(PROXY, 6000))
                .control(CONTROL)
        };
        let again = Proxy::start(rt.host(PROXY), config()).expect("the ports are free");
        let taken = Proxy::start(rt.host(PROXY), config());
        assert!(matches!(taken, Err(StartError::Bind { .. })), "{taken:?}");
        drop(again);
        rt.run_for(SECOND);
        Proxy::start(rt.host(PROXY), config()).expect("the ports are free");
    }
}
