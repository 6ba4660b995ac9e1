//! The production client and the production IOC on the virtual network: five minutes take a
//! millisecond.

use std::net::SocketAddrV4;

use crate::rig::{CLIENT, IOC, MILLI, OTHER_IOC, Rig, SECOND, client, next, run, serve, usual};
use ca_client::{
    ChannelState, ClientEvent, CloseReason, ConnectError, Events, GetError, MonitorEvent,
    MonitorSpec, Overflow, Phase, PutError, Reading, Stamped, Trouble,
};
use ca_proto::config::ServerParams;
use ca_server_sim::PvSpec;
use ca_testkit::Segmentation;
use ca_testkit::runtime::SimRuntime;

async fn event(events: &mut Events, mut wanted: impl FnMut(&ClientEvent) -> bool) -> ClientEvent {
    loop {
        let event = events.next().await.expect("the client is open");
        if wanted(&event) {
            return event;
        }
    }
}

#[test]
fn values_are_read_written_and_watched() {
    let rig = Rig::new(1);
    rig.run(async {
        let x = rig.client.connect("x").await.unwrap();
        assert_eq!(x.get::<f64>().await, Ok(1.5));
        let mut updates = x.monitor::<Reading>().start().unwrap();
        assert_eq!(rig.next(&mut updates).await.value_as::<f64>(), Some(1.5));
        x.put(2.5).await.unwrap();
        assert_eq!(rig.next(&mut updates).await.value_as::<f64>(), Some(2.5));
        x.put(3.5).wait().await.unwrap();
        assert_eq!(rig.next(&mut updates).await.value_as::<f64>(), Some(3.5));
        let stamped: Stamped<f64> = x.get().await.unwrap();
        assert_eq!(stamped.value, 3.5);
        let big = rig.client.connect("big").await.unwrap();
        assert_eq!(big.get::<Vec<f64>>().await.unwrap().len(), 20_000);
    });
    assert!(rig.now().as_nanos() < 1_000_000_000, "{:?}", rig.now());
}

#[test]
fn many_channels_connect_together() {
    let rt = SimRuntime::new(3);
    let pvs: Vec<String> = (0..2500).map(|n| format!("pv:{n}")).collect();
    let specs = pvs.iter().map(|pv| (pv, PvSpec::double(1.5)));
    let _ioc = serve(&rt, IOC, usual().pvs(specs));
    let client = client(&rt, CLIENT);
    run(&rt, async {
        let channels = client.connect_many(&pvs).await;
        let waited = rt.now().as_nanos();
        assert!(waited < 1_000_000_000, "{waited} ns for what is there");
        for (pv, channel) in pvs.iter().zip(&channels) {
            let channel = channel.as_ref().unwrap();
            assert_eq!((channel.name(), channel.is_connected()), (pv.clone(), true));
        }
        drop(channels);
        // Those that exist do not wait for the one that does not, but the call does.
        let start = rt.now();
        let channels = client.connect_many(&["x", "nobody", "", "wave"]).await;
        let took = rt.now().saturating_duration_since(start);
        assert_eq!(took, client.effective_config().timeout());
        let [Ok(x), Err(nobody), Err(unnamed), Ok(wave)] = &channels[..] else {
            panic!("{channels:?}");
        };
        assert!(x.is_connected() && wave.is_connected());
        assert!(
            matches!(nobody, ConnectError::TimedOut(why) if why.pv == "nobody"),
            "{nobody}"
        );
        assert!(matches!(unnamed, ConnectError::BadName { .. }), "{unnamed}");
        assert_eq!(client.stats().channels, 2);
        assert_eq!(client.connect_many(&[] as &[&str]).await.len(), 0);
        client.close().await;
        let [Err(closed)] = &client.connect_many(&["x"]).await[..] else {
            panic!("the client is closed");
        };
        assert!(matches!(closed, ConnectError::Closed(_)), "{closed}");
    });
}

#[test]
fn any_segmentation_carries_the_same_values() {
    let cuts = [Segmentation::AtMost(1), Segmentation::Random];
    for (segmentation, seed) in cuts
        .into_iter()
        .flat_map(|cut| (0..4).map(move |n| (cut, n)))
    {
        let rig = Rig::shuffled(seed);
        rig.rt.net(|net| net.segmentation = segmentation);
        rig.run(async {
            let wave = rig.client.connect("wave").await.unwrap();
            wave.put(vec![9.0, 8.0]).wait().await.unwrap();
            assert_eq!(wave.get::<Vec<f64>>().await, Ok(vec![9.0, 8.0]));
            let big = rig.client.connect("big").await.unwrap();
            let start = rig.now();
            assert_eq!(big.get::<Vec<f64>>().await.unwrap().len(), 20_000);
            let took = rig.now().saturating_duration_since(start);
            assert!(took <= 20 * MILLI, "{took:?} with {segmentation:?}");
        });
    }
}

#[test]
fn a_name_server_leads_to_an_ioc_without_delay() {
    let rt = SimRuntime::new(1);
    let _ioc = serve(&rt, IOC, usual());
    let client = ca_client::Client::builder()
        .without_env()
        .auto_addr_list(false)
        .repeater_port(0)
        .name_servers([SocketAddrV4::new(IOC, 5064)])
        .runtime(rt.host(CLIENT))
        .build()
        .unwrap();
    run(&rt, async {
        rt.sleep(SECOND).await;
        let start = rt.now();
        // On a circuit of its own: the answer makes the name server's circuit ask for a dial.
        let x = client.open_with_priority("x", 5).unwrap();
        x.connected().await.unwrap();
        assert_eq!(x.get::<f64>().await, Ok(1.5));
        let took = rt.now().saturating_duration_since(start);
        assert!(took <= 10 * MILLI, "{took:?}");
    });
}

#[test]
fn a_put_completes_when_its_record_does() {
    let rig = Rig::new(1);
    rig.run(async {
        let slow = rig.client.connect("slow").await.unwrap();
        let start = rig.now();
        slow.put(1.0).wait().await.unwrap();
        assert_eq!(
            rig.now(),
            start + 2 * SECOND + 2 * MILLI,
            "there, 2 s, and back"
        );
        let never = rig.client.connect("never").await.unwrap();
        let start = rig.now();
        let error = never.put(1.0).wait().await.unwrap_err();
        let PutError::TimedOut(context) = error else {
            panic!("{error}");
        };
        assert_eq!(
            (context.elapsed, rig.now()),
            (5 * SECOND, start + 5 * SECOND)
        );
    });
}

#[test]
fn a_restarted_ioc_is_found_again_with_its_subscriptions() {
    let mut rig = Rig::new(1);
    let mut updates = rig.run(async {
        let x = rig.client.connect("x").await.unwrap();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        assert_eq!(rig.next(&mut updates).await.value_as::<f64>(), Some(1.5));
        updates
    });
    let (rt, ioc) = (&rig.rt, &mut rig.ioc);
    run(rt, async {
        ioc.stop().await;
        assert_eq!(rt.live_tasks(IOC), 0);
        assert_eq!(next(rt, &mut updates).await, MonitorEvent::Disconnected);
        assert!(!updates.channel().is_connected());
        ioc.post("x", 7.0).unwrap();
        rt.sleep(20 * SECOND).await;
        ioc.start().await.unwrap();
        assert_eq!(next(rt, &mut updates).await, MonitorEvent::Connected);
        assert_eq!(next(rt, &mut updates).await.value_as::<f64>(), Some(7.0));
    });
}

/// Two clients on one host: the repeater of the first serves both. Without beacons the next search
/// would come up to five minutes later.
#[test]
fn beacons_tell_of_an_ioc_that_is_back() {
    let rt = SimRuntime::new(1);
    let beacons = SocketAddrV4::new([10, 0, 0, 255].into(), 5065);
    let params = ServerParams::default().beacon_addrs(vec![beacons]);
    let ioc = serve(&rt, IOC, usual().params(params));
    let clients = [1, 2].map(|_| {
        let builder = ca_client::Client::builder().without_env();
        builder.runtime(rt.host(CLIENT)).build().unwrap()
    });
    run(&rt, async {
        let mut updates = Vec::new();
        for client in &clients {
            let x = client.connect("x").await.unwrap();
            updates.push(x.monitor::<Reading>().start().unwrap());
        }
        for updates in &mut updates {
            assert!(next(&rt, updates).await.value().is_some());
        }
        // Long enough for a steady beacon.
        rt.sleep(60 * SECOND).await;
        ioc.stop().await;
        rt.sleep(290 * SECOND).await;
        for updates in &mut updates {
            assert_eq!(next(&rt, updates).await, MonitorEvent::Disconnected);
            assert_eq!(updates.try_next(), None);
        }
        let start = rt.now();
        ioc.start().await.unwrap();
        for updates in &mut updates {
            assert_eq!(next(&rt, updates).await, MonitorEvent::Connected);
        }
        let took = rt.now().saturating_duration_since(start);
        assert!(took < 3 * SECOND, "{took:?}");
        for client in &clients {
            client.close().await;
        }
    });
    rt.run_for(SECOND);
    assert_eq!(rt.live_tasks(CLIENT), 0);
    assert_eq!(rt.stats().udp, 1, "the IOC's");
}

#[test]
fn a_black_hole_is_noticed_after_35_seconds_and_its_end_too() {
    let rig = Rig::new(1);
    rig.run(async {
        let x = rig.client.connect("x").await.unwrap();
        let mut events = rig.client.events();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        rig.next(&mut updates).await;
        let start = rig.now();
        rig.rt.partition(IOC, CLIENT, true);
        let unresponsive = |event: &ClientEvent| matches!(event, ClientEvent::Unresponsive { .. });
        event(&mut events, unresponsive).await;
        let silence = rig.now().saturating_duration_since(start);
        // 30 s without a word, then 5 s for the answer to an echo (`tcpiiu` of EPICS Base).
        assert!(
            silence > 34 * SECOND && silence <= 35 * SECOND,
            "{silence:?}"
        );
        assert!(matches!(x.state(), Some(ChannelState::Unresponsive(_))));
        let error = x.get::<f64>().timeout(SECOND).await.unwrap_err();
        let GetError::NotConnected(context) = error else {
            panic!("{error}");
        };
        assert_eq!(
            (context.phase, context.elapsed),
            (Phase::Unresponsive, SECOND)
        );
        rig.post(8.0);
        rig.rt.sleep(100 * SECOND).await;
        rig.rt.partition(IOC, CLIENT, false);
        let responsive = |event: &ClientEvent| matches!(event, ClientEvent::Responsive { .. });
        event(&mut events, responsive).await;
        rig.arrives(&mut updates, 8.0).await;
        assert_eq!(x.get::<f64>().await, Ok(8.0));
    });
}

#[test]
fn a_refused_connection_is_tried_again() {
    let rig = Rig::new(1);
    let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
    rig.rt
        .net(|net| net.set_link(near, far, |link| link.refuse = true));
    rig.run(async {
        let error = rig.client.connect("x").await.unwrap_err();
        let ConnectError::TimedOut(context) = &error else {
            panic!("{error}");
        };
        assert_eq!(context.elapsed, 5 * SECOND);
        let x = rig.client.open("x").unwrap();
        rig.rt.sleep(SECOND).await;
        let trouble = x.info().unwrap().trouble;
        assert_eq!(trouble, Some(Trouble::Circuit(CloseReason::Refused)));
        rig.rt
            .net(|net| net.set_link(near, far, |link| link.refuse = false));
        x.connected().timeout(120 * SECOND).await.unwrap();
        assert_eq!(x.get::<f64>().await, Ok(1.5));
    });
}

#[test]
fn a_name_that_nobody_serves_times_out_to_the_nanosecond() {
    let rig = Rig::new(1);
    rig.run(async {
        let start = rig.now();
        let error = rig.client.connect("nobody").await.unwrap_err();
        assert_eq!(rig.now(), start + 5 * SECOND);
        let ConnectError::TimedOut(context) = error else {
            panic!("{error}");
        };
        assert_eq!(
            (context.pv.as_str(), context.elapsed),
            ("nobody", 5 * SECOND)
        );
        let Phase::Searching { attempts, .. } = context.phase else {
            panic!("{context}");
        };
        assert!(attempts >= 5, "{attempts} searches in 5 s");
        assert_eq!(
            rig.client.stats().channels,
            0,
            "nothing is searched any more"
        );
    });
}

#[test]
fn a_slow_consumer_gets_the_newest_and_the_number_of_what_it_missed() {
    for (policy, expected) in [
        (Overflow::Squash, [(1.0, 0), (2.0, 0), (20.0, 17)]),
        (Overflow::DropOldest, [(18.0, 17), (19.0, 0), (20.0, 0)]),
    ] {
        let rig = Rig::new(1);
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let spec = MonitorSpec::time().depth(3).overflow(policy);
            let mut updates = x.monitor::<Reading>().spec(spec).start().unwrap();
            rig.next(&mut updates).await;
            for n in 1..=20 {
                rig.post(n.into());
                rig.rt.sleep(10 * MILLI).await;
            }
            for (value, missed) in expected {
                match rig.next(&mut updates).await {
                    MonitorEvent::Update {
                        value: reading,
                        skipped,
                    } => {
                        assert_eq!((reading.get_f64(0), skipped), (Some(value), missed));
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(updates.try_next(), None);
        });
    }
}

#[test]
fn a_full_circuit_stops_its_writers_and_nobody_else() {
    let rig = Rig::new(1);
    let other = serve(
        &rig.rt,
        OTHER_IOC,
        ca_server_sim::Ioc::builder().pv("y", PvSpec::double(4.0)),
    );
    let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
    rig.run(async {
        let big = rig.client.connect("big").await.unwrap();
        let y = rig.client.connect("y").await.unwrap();
        // The window closes: nothing leaves the client's buffer.
        rig.rt.net(|net| net.hold(near, far));
        let mut written = 0;
        let error = loop {
            let value = vec![f64::from(written); 20_000];
            match big.put(value).timeout(SECOND).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
            assert!(written < 100, "writes are bounded");
        };
        assert!(
            matches!(error, PutError::BadRequest { .. } | PutError::TimedOut(_)),
            "{error}"
        );
        // Who waits for room waits alone.
        let waiting = big.put(vec![-1.0; 20_000]);
        let mut waiting = Box::pin(waiting);
        assert!(rig.rt.timeout(MILLI, &mut waiting).await.is_none());
        let start = rig.now();
        assert_eq!(y.get::<f64>().await, Ok(4.0));
        assert_eq!(rig.now(), start + 2 * MILLI, "no detour");
        assert_eq!(rig.client.stats().waiting_for_change, 1);
        rig.rt.net(|net| net.release(near, far));
        let start = rig.now();
        waiting.await.unwrap();
        let took = rig.now().saturating_duration_since(start);
        assert!(took <= 10 * MILLI, "{took:?} after there was room");
        assert_eq!(big.get::<Vec<f64>>().await.unwrap()[0], -1.0);
    });
    drop(other);
}

/// A story with faults; every byte sent goes into the number.
fn story(rt: SimRuntime) -> (u64, u64, Vec<String>) {
    let ioc = serve(&rt, IOC, usual());
    let client = client(&rt, CLIENT);
    let more: Vec<_> = (0..5)
        .map(|n| self::client(&rt, [10, 0, 0, 20 + n].into()))
        .collect();
    rt.net(|net| {
        net.segmentation = Segmentation::Random;
        net.default_link_mut().loss = 0.2;
        net.default_link_mut().jitter = MILLI;
    });
    let stream = run(&rt, async {
        let x = client.connect("x").await.unwrap();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        let mut log = vec![format!("{:?}", next(&rt, &mut updates).await)];
        for other in &more {
            other.connect("x").await.unwrap().put(1.0).await.unwrap();
            let keep = other.open("wave").unwrap();
            keep.connected().await.unwrap();
            std::mem::forget(keep);
        }
        ioc.restart().await.unwrap();
        for n in 0..10 {
            ioc.post("x", f64::from(n)).unwrap();
            log.push(format!("{:?}", next(&rt, &mut updates).await));
        }
        client.close().await;
        log
    });
    (rt.trace(|trace| trace.hash()), rt.stats().polls, stream)
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    for seed in 0..4 {
        assert_eq!(story(SimRuntime::new(seed)), story(SimRuntime::new(seed)));
        let shuffled = || story(SimRuntime::shuffled(seed));
        assert_eq!(shuffled(), shuffled());
    }
    assert_ne!(story(SimRuntime::new(1)).0, story(SimRuntime::new(2)).0);
}
