//! Faults of an IOC, each with what our client then reports, on the virtual network.
#![cfg(feature = "runtime")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_client::{
    Channel, ChannelState, Client, ClientEvent, Events, GetError, Monitor, MonitorEvent, PutError,
};
use ca_proto::access::AccessRights;
use ca_proto::client::Connection;
use ca_server_sim::faults::FaultScript;
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{AlarmSeverity, AlarmStatus, Ioc, PvSpec, RecordFiles};
use ca_testkit::runtime::SimRuntime;

const IOC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const SECOND: Duration = Duration::from_secs(1);

struct Rig {
    rt: SimRuntime,
    ioc: SimIoc,
    client: Client,
}

impl Rig {
    fn new() -> Self {
        let rt = SimRuntime::new(1);
        let records = "record(ao, \"rec\") { field(VAL, \"3\") field(PINI, \"YES\") }\n\
             record(calc, \"count\") { field(CALC, \"VAL+1\") field(SCAN, \"1 second\") }\n";
        let mut ioc = Ioc::builder()
            .seed(7)
            .pv("x", PvSpec::double(1.5).units("mm"))
            .pv("y", PvSpec::double(2.5))
            .records(RecordFiles::new().text(records, "").load())
            .build()
            .unwrap();
        let beacons = vec![SocketAddrV4::new(CLIENT, 5065)];
        let params = ioc.params().clone().beacon_addrs(beacons);
        ioc.set_params(params);
        let config = NetConfig::new()
            .interfaces([Ipv4Addr::UNSPECIFIED])
            .tcp_port(5064)
            .udp_port(5064)
            .repeater(None);
        let ioc = SimIoc::start_on(rt.host(IOC), ioc, config).unwrap();
        let client = Client::builder()
            .without_env()
            .user("operator")
            .host("console")
            .repeater_port(0)
            .runtime(rt.host(CLIENT))
            .timeout(3 * SECOND)
            .build()
            .unwrap();
        Self { rt, ioc, client }
    }

    #[track_caller]
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.rt
            .block_on(future)
            .unwrap_or_else(|stuck| panic!("{stuck}"))
    }

    /// Hands a line of faults in, and gives the answer.
    #[track_caller]
    fn fault(&self, line: &str) -> Vec<String> {
        let done = self.ioc.with(|ioc, now| ioc.fault(now, line));
        done.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    async fn get(&self, pv: &str) -> Result<f64, GetError> {
        self.client.get::<f64>(pv).await
    }

    async fn put(&self, pv: &str, value: f64) -> Result<(), PutError> {
        let channel = self.client.connect(pv).await.unwrap();
        channel.put(value).wait().await.map(|_| ())
    }

    fn stamp(&self, pv: &str) -> ca_proto::Timestamp {
        self.ioc.read(pv).unwrap().stamp
    }

    async fn event(&self, events: &mut Events, is: impl Fn(&ClientEvent) -> bool) -> ClientEvent {
        let found = self.rt.timeout(120 * SECOND, async {
            loop {
                let event = events.next().await.expect("the client is open");
                if is(&event) {
                    return event;
                }
            }
        });
        found.await.expect("the event comes")
    }

    async fn update(&self, monitor: &mut Monitor) -> f64 {
        let found = self.rt.timeout(120 * SECOND, async {
            loop {
                let event = monitor.next().await.expect("the client is open");
                if let MonitorEvent::Update { value, .. } = event {
                    return value.get_f64(0).unwrap();
                }
            }
        });
        found.await.expect("an update comes")
    }

    async fn monitor(&self, pv: &str) -> Monitor {
        let channel = self.client.connect(pv).await.unwrap();
        channel.monitor().start().unwrap()
    }
}

fn connection(channel: &Channel) -> Connection {
    match channel.state() {
        Some(ChannelState::Connected(connection)) => connection,
        other => panic!("{other:?}"),
    }
}

fn rights(channel: &Channel) -> AccessRights {
    connection(channel).rights
}

#[test]
fn late_replies_come_and_very_late_ones_time_out() {
    let rig = Rig::new();
    rig.run(async {
        assert_eq!(rig.get("x").await, Ok(1.5));
        rig.fault("delay x by 2s on read_notify");
        let before = rig.rt.now();
        assert_eq!(rig.get("x").await, Ok(1.5));
        assert!(rig.rt.now() - before >= 2 * SECOND);
        let before = rig.rt.now();
        assert_eq!(rig.get("y").await, Ok(2.5), "others are not late");
        assert!(rig.rt.now() - before < SECOND);
        rig.fault("off delay x");
        rig.fault("delay x.VAL by 5s for 1min");
        assert_eq!(
            rig.get("x").await,
            Ok(1.5),
            "a field is meant, and not this one"
        );
        let error = rig.get("x.VAL").await.unwrap_err();
        println!("{error}");
        assert!(error.to_string().contains("x.VAL"), "{error}");
        rig.rt.sleep(70 * SECOND).await;
        assert_eq!(rig.get("x.VAL").await, Ok(1.5), "its time is over");
    });
}

#[test]
fn lost_replies_time_out_and_updates_are_missing() {
    let rig = Rig::new();
    rig.run(async {
        let mut monitor = rig.monitor("x").await;
        assert_eq!(rig.update(&mut monitor).await, 1.5);
        // The channel and its subscription are older than the fault.
        rig.fault("drop x on event_add times 1");
        rig.ioc.post("x", 2.0).unwrap();
        rig.rt.sleep(SECOND).await;
        rig.ioc.post("x", 3.0).unwrap();
        assert_eq!(rig.update(&mut monitor).await, 3.0);
        rig.fault("drop x on read_notify");
        let error = rig.get("x").await.unwrap_err();
        println!("{error}");
        assert!(matches!(error, GetError::TimedOut { .. }), "{error:?}");
        assert_eq!(rig.fault("list").len(), 2);
        assert!(
            rig.fault("list")[1].contains("1/1 messages"),
            "{:?}",
            rig.fault("list")
        );
        rig.fault("off all");
        assert_eq!(rig.get("x").await, Ok(3.0));
    });
}

#[test]
fn replies_that_come_twice_do_no_harm() {
    let rig = Rig::new();
    rig.run(async {
        let mut monitor = rig.monitor("x").await;
        assert_eq!(rig.update(&mut monitor).await, 1.5);
        rig.fault("duplicate * copies 2");
        for _ in 0..3 {
            assert_eq!(rig.get("x").await, Ok(1.5));
        }
        assert_eq!(rig.put("y", 4.0).await, Ok(()));
        rig.ioc.post("x", 2.0).unwrap();
        let updates = [
            rig.update(&mut monitor).await,
            rig.update(&mut monitor).await,
            rig.update(&mut monitor).await,
        ];
        assert_eq!(updates, [2.0; 3]);
        assert_eq!(rig.get("y").await, Ok(4.0));
    });
}

#[test]
fn a_circuit_cut_in_a_message_is_opened_again() {
    let rig = Rig::new();
    rig.run(async {
        let mut events = rig.client.events();
        let mut monitor = rig.monitor("x").await;
        assert_eq!(rig.update(&mut monitor).await, 1.5);
        rig.fault("cut x on event_add bytes 20 times 1");
        rig.ioc.post("x", 2.0).unwrap();
        let lost = rig.event(&mut events, |event| {
            matches!(event, ClientEvent::Disconnected { .. })
        });
        println!("{}", lost.await);
        assert_eq!(
            rig.update(&mut monitor).await,
            2.0,
            "it is back with what is new"
        );
        assert_eq!(rig.ioc.with(|ioc, _| ioc.counts().circuits), 1);
    });
}

#[test]
fn slow_and_endless_completion() {
    let rig = Rig::new();
    rig.run(async {
        for pv in ["x", "rec"] {
            rig.fault(&format!("slow {pv} by 2s"));
            let before = rig.rt.now();
            assert_eq!(rig.put(pv, 7.0).await, Ok(()));
            assert!(rig.rt.now() - before >= 2 * SECOND);
            assert_eq!(rig.get(pv).await, Ok(7.0), "reads are not slow");
            rig.fault(&format!("off slow {pv}"));
            rig.fault(&format!("never {pv}"));
            let error = rig.put(pv, 8.0).await.unwrap_err();
            println!("{error}");
            assert!(matches!(error, PutError::TimedOut { .. }), "{error:?}");
            assert_eq!(rig.get(pv).await, Ok(8.0), "it was put all the same");
            rig.fault("off all");
            assert_eq!(rig.put(pv, 9.0).await, Ok(()));
        }
    });
}

#[test]
fn stuck_frozen_noisy_and_offline() {
    let rig = Rig::new();
    rig.run(async {
        for pv in ["x", "rec"] {
            let stood = rig.get(pv).await.unwrap();
            rig.fault(&format!("stuck {pv}"));
            assert_eq!(rig.put(pv, 9.0).await, Ok(()), "nobody says so");
            assert_eq!(rig.get(pv).await, Ok(stood));
            rig.fault(&format!("off stuck {pv}"));
            assert_eq!(rig.put(pv, 9.0).await, Ok(()));
            assert_eq!(rig.get(pv).await, Ok(9.0));

            rig.fault(&format!("offline {pv}"));
            let error = rig.put(pv, 10.0).await.unwrap_err();
            println!("{error}");
            let state = rig.ioc.read(pv).unwrap();
            assert_eq!(state.alarm.severity, AlarmSeverity::INVALID);
            assert_eq!(state.alarm.status, AlarmStatus::COMM);
            rig.fault(&format!("off offline {pv}"));
            rig.rt.sleep(SECOND).await;
            let state = rig.ioc.read(pv).unwrap();
            assert_eq!(state.alarm.severity, AlarmSeverity::NO_ALARM, "{pv}");
        }
        // A stuck value has new time stamps, a frozen one none.
        rig.fault("stuck x");
        let before = rig.stamp("x");
        rig.rt.sleep(SECOND).await;
        rig.ioc.post("x", 1.0).unwrap();
        assert!(rig.stamp("x") > before);
        assert_eq!(rig.get("x").await, Ok(9.0));
        rig.fault("off all");
        rig.fault("freeze x");
        rig.fault("freeze count");
        let (before, count) = (rig.stamp("x"), rig.get("count").await);
        rig.rt.sleep(5 * SECOND).await;
        rig.ioc.post("x", 1.0).unwrap();
        assert_eq!((rig.stamp("x"), rig.get("x").await), (before, Ok(9.0)));
        assert_eq!(rig.get("count").await, count);
        rig.fault("off freeze");
        rig.rt.sleep(5 * SECOND).await;
        assert!(rig.get("count").await.unwrap() > count.unwrap());

        rig.ioc.post("x", 100.0).unwrap();
        let mut monitor = rig.monitor("x").await;
        rig.fault("noise x by 0.5 every 100ms");
        let mut seen = Vec::new();
        for _ in 0..50 {
            seen.push(rig.update(&mut monitor).await);
        }
        let spread = seen.iter().map(|v| (v - 100.0).powi(2)).sum::<f64>() / 50.0;
        assert!((0.1..0.6).contains(&spread), "{spread}");
        rig.fault("off noise");
        assert_eq!(rig.get("x").await, Ok(100.0));
    });
}

#[test]
fn rights_are_taken_away_and_given_back() {
    let rig = Rig::new();
    rig.run(async {
        let mut events = rig.client.events();
        for pv in ["x", "rec"] {
            let channel = rig.client.connect(pv).await.unwrap();
            rig.fault(&format!("rights {pv} read for 10s"));
            let told = rig.event(&mut events, |event| {
                let read = AccessRights::READ;
                matches!(event, ClientEvent::AccessRights { rights, .. } if *rights == read)
            });
            println!("{}", told.await);
            assert_eq!(rights(&channel), AccessRights::READ);
            let error = rig.put(pv, 1.0).await.unwrap_err();
            println!("{error}");
            rig.rt.sleep(11 * SECOND).await;
            assert_eq!(rights(&channel), AccessRights::ALL);
            assert_eq!(rig.put(pv, 1.0).await, Ok(()));
        }
    });
}

#[test]
fn a_type_changes_as_after_a_restart() {
    let rig = Rig::new();
    rig.run(async {
        let channel = rig.client.connect("x").await.unwrap();
        let mut monitor = channel.monitor().start().unwrap();
        assert_eq!(rig.update(&mut monitor).await, 1.5);
        rig.fault("type x long count 5");
        let mut lost = false;
        loop {
            match monitor.next().await.unwrap() {
                MonitorEvent::Disconnected => lost = true,
                MonitorEvent::Update { value, .. } if lost => {
                    assert_eq!(value.count(), 5);
                    break;
                }
                _ => {}
            }
        }
        let info = connection(&channel);
        assert_eq!(
            (info.native, info.count),
            (ca_server_sim::NativeType::Long, 5)
        );
        assert!(
            rig.ioc
                .with(|ioc, now| ioc.fault(now, "type rec long"))
                .is_err()
        );
        assert_eq!(rig.fault("list").len(), 0, "it stays by itself");
    });
}

#[test]
fn a_second_server_seems_to_have_the_pv() {
    let rig = Rig::new();
    rig.run(async {
        let mut events = rig.client.events();
        rig.fault("twin x to 10.0.0.77:5064");
        assert_eq!(rig.get("x").await.map_err(|e| e.to_string()), Ok(1.5));
        let told = rig.event(&mut events, |event| {
            matches!(event, ClientEvent::Duplicate { .. })
        });
        let told = told.await.to_string();
        println!("{told}");
        assert!(told.contains("10.0.0.77"), "{told}");
    });
}

#[test]
fn connections_are_refused_though_searches_are_answered() {
    let rig = Rig::new();
    rig.run(async {
        rig.fault("refuse client 10.0.0.9 for 20s");
        let error = rig.get("x").await.unwrap_err();
        println!("{error}");
        assert!(error.to_string().contains('x'));
        rig.rt.sleep(60 * SECOND).await;
        assert_eq!(rig.get("x").await, Ok(1.5));
    });
}

#[test]
fn a_link_that_stalls_goes_on_and_a_half_open_one_is_dead() {
    let rig = Rig::new();
    rig.run(async {
        let mut events = rig.client.events();
        let mut monitor = rig.monitor("x").await;
        assert_eq!(rig.update(&mut monitor).await, 1.5);
        rig.fault("stall client console");
        rig.ioc.post("x", 2.0).unwrap();
        let told = rig.event(&mut events, |event| {
            matches!(event, ClientEvent::Unresponsive { .. })
        });
        println!("{}", told.await);
        rig.fault("off stall");
        let told = rig.event(&mut events, |event| {
            matches!(event, ClientEvent::Responsive { .. })
        });
        println!("{}", told.await);
        assert_eq!(rig.update(&mut monitor).await, 2.0, "nothing was lost");

        rig.fault("half-open client *:* for 40s");
        rig.ioc.post("x", 3.0).unwrap();
        let told = rig.event(&mut events, |event| {
            matches!(event, ClientEvent::Unresponsive { .. })
        });
        println!("{}", told.await);
        let told = rig.event(&mut events, |event| {
            matches!(event, ClientEvent::CircuitClosed { .. })
        });
        println!("{}", told.await);
        assert_eq!(rig.update(&mut monitor).await, 3.0);
    });
}

#[test]
fn a_clock_that_is_wrong() {
    let rig = Rig::new();
    rig.run(async {
        rig.ioc.post("x", 1.0).unwrap();
        let before = rig.stamp("x").to_unix();
        rig.fault("clock by -1h for 10s");
        rig.rt.sleep(SECOND).await;
        rig.ioc.post("x", 1.0).unwrap();
        let wrong = rig.stamp("x").to_unix();
        assert!((3590..=3600).contains(&(before.as_secs() - wrong.as_secs())));
        rig.rt.sleep(10 * SECOND).await;
        rig.ioc.post("x", 1.0).unwrap();
        assert!(rig.stamp("x").to_unix() > before);
    });
}

/// Everything ends, and comes back with beacons that begin anew, so that clients search at once.
#[test]
fn a_reboot_by_script() {
    let rig = Rig::new();
    let script = "# a bad minute\nat 5s reboot by 10s\nat 30s stuck x for 5s\nat 40s off all # nothing is on then\n";
    let script = FaultScript::parse(script).unwrap();
    assert_eq!(script.lasts(), 40 * SECOND);
    rig.run(async {
        let mut events = rig.client.events();
        let mut monitor = rig.monitor("x").await;
        assert_eq!(rig.update(&mut monitor).await, 1.5);
        rig.put("x", 6.0).await.unwrap();
        rig.put("rec", 7.0).await.unwrap();
        assert_eq!(rig.update(&mut monitor).await, 6.0);
        rig.ioc
            .with(|ioc, now| ioc.run_faults(now, &script))
            .unwrap();
        let told = rig.event(&mut events, |event| {
            matches!(event, ClientEvent::CircuitClosed { .. })
        });
        println!("{}", told.await);
        assert_eq!(rig.ioc.with(|ioc, _| ioc.counts().circuits), 0);
        assert!(rig.get("y").await.is_err(), "it is down");
        assert_eq!(rig.update(&mut monitor).await, 1.5, "as it was loaded");
        assert_eq!(rig.get("rec").await, Ok(3.0));
        assert!(rig.get("count").await.unwrap() < 20.0, "counts anew");
        rig.rt.sleep(60 * SECOND).await;
        let lines = rig.ioc.with(|ioc, _| ioc.take_fault_lines());
        let expected = [
            "begins: reboot by 10s",
            "ends: reboot by 10s",
            "begins: stuck x for 5s",
            "ends: stuck x for 5s",
        ];
        assert_eq!(lines, expected);
    });
}

#[test]
fn beacons_are_silent_or_a_storm() {
    let rig = Rig::new();
    let beacons = || rig.ioc.with(|ioc, _| ioc.endpoint_stats().unwrap().beacons);
    let sent = |rig: &Rig| rig.rt.trace(|trace| trace.count("RSRV_IS_UP"));
    rig.run(async {
        rig.rt.sleep(30 * SECOND).await;
        let (before, made) = (sent(&rig), beacons());
        rig.fault("silence for 2min");
        rig.rt.sleep(120 * SECOND).await;
        assert!(beacons() > made, "they are made");
        assert_eq!(sent(&rig), before, "and not sent");
        rig.rt.sleep(40 * SECOND).await;
        let before = sent(&rig);
        rig.fault("storm every 100ms servers 5 for 1s");
        rig.rt.sleep(5 * SECOND).await;
        assert!(sent(&rig) >= before + 50, "{} {before}", sent(&rig));
        assert_eq!(rig.get("x").await, Ok(1.5), "the client lives");
    });
}

/// Mistakes change nothing, and say where.
#[test]
fn mistakes_are_located() {
    let rig = Rig::new();
    let wrong = |line: &str| {
        let error = rig.ioc.with(|ioc, now| ioc.fault(now, line)).unwrap_err();
        (error.column, error.what)
    };
    for (line, column, says) in [
        ("stuk x", 1, "did you mean `stuck`?"),
        ("  stuck z", 9, "no PV is called \"z\""),
        ("stuck coun", 7, "did you mean \"count\"?"),
        ("stuck", 1, "name the PV: stuck PV"),
        ("delay x", 1, "wants a time: by 200ms"),
        ("delay x by 3", 12, "`3` is no time"),
        ("delay x by 3s jiter 1s", 15, "did you mean `jitter`?"),
        ("delay x by", 9, "`by` wants a value behind it"),
        ("drop x probability 2", 20, "no number from 0 to 1"),
        ("drop x on read_notfy", 11, "did you mean `read_notify`?"),
        ("rights x all", 10, "there are none, read"),
        ("storm to here", 10, "give an address with its port"),
        ("noise rec by 1", 7, "is a record of a file"),
        ("stuck x client *", 9, "there is no key of `stuck` `client`"),
        ("off 3", 1, "no such fault is on"),
        ("clock by 9999h", 10, "a year is the longest time"),
        ("", 1, "name a fault"),
    ] {
        let (at, what) = wrong(line);
        assert!(
            what.contains(says) && at == column,
            "{line}: column {at}: {what}"
        );
    }
    assert_eq!(rig.ioc.with(|ioc, _| ioc.faults().count()), 0);

    let script =
        FaultScript::parse("at 1s stuck x\nat 2 stuck x\n\nat 3s delay y by x\n").unwrap_err();
    let told = script.to_string();
    println!("{told}");
    assert!(told.contains("line 2, column 4: `2` is no time"), "{told}");
    assert!(told.contains("line 4, column 18: `x` is no time"), "{told}");
    let script =
        FaultScript::parse("stuck x\nat 1s freeze coutn\nat 2s noise count by 1\n").unwrap();
    let mistakes = rig
        .ioc
        .with(|ioc, now| ioc.run_faults(now, &script))
        .unwrap_err();
    let told = mistakes.to_string();
    println!("{told}");
    assert!(told.contains("line 2, column 14: no PV is called \"coutn\"; did you mean \"count\"?"));
    assert!(told.contains("line 3, column 13") && told.contains("at 2s noise count by 1"));
    assert_eq!(
        rig.ioc.with(|ioc, _| ioc.faults().count()),
        0,
        "nothing has begun"
    );
}

/// What is shown begins the same fault.
#[test]
fn lines_go_round() {
    for line in [
        "drop",
        "drop a* on read_notify probability 0.5 after 3 times 2 for 1.5s",
        "delay x by 200ms jitter 100ms client 10.0.0.1",
        "duplicate x copies 3",
        "cut x bytes 20",
        "slow x by 2s",
        "never x client op*",
        "stall client console",
        "half-open",
        "refuse client 10.* for 2h",
        "noise x by 0.1 every 10ms",
        "offline x",
        "rights x read-write",
        "type x string count 1",
        "twin x to 10.0.0.1:5064",
        "storm every 100ms servers 5 to 10.0.0.1:5065",
        "clock by -2h",
        "clock by 1.5s",
        "reboot by 10s",
    ] {
        let fault =
            ca_server_sim::faults::Fault::parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(fault.to_string(), line);
    }
}
