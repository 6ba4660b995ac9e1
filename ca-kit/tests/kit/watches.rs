//! Monitors with a say in what is delivered.

use ca_client::{Alarm, AlarmSeverity, AlarmStatus, MonitorEvent, Stamped};
use ca_kit::{Control, Delivery, Kit, WatchError};

use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, survives};

/// Posts `count` numbers to `x`, 10 ms apart, from now on.
fn posts(rig: &Rig, count: u32) {
    for n in 1..=count {
        rig.post_after(n * 10 * MILLI, "x", f64::from(n));
    }
}

#[test]
fn lossless_gives_everything_and_the_others_count() {
    let rig = Rig::new();
    rig.run(async {
        let x = rig.client.connect("x").await.unwrap();
        let lossless = Delivery::Lossless { max_bytes: 1 << 20 };
        let lossless = rig.client.watch::<f64>(&x).deliver(lossless);
        let bounded = rig
            .client
            .watch::<f64>(&x)
            .deliver(Delivery::Bounded { depth: 3 });
        let latest = rig.client.watch::<f64>(&x).deliver(Delivery::Latest);
        for (watch, expected) in [(lossless, 101), (bounded, 3), (latest, 1)] {
            let counters = watch.counters();
            rig.post("x", 0.0);
            let mut feed = watch.start().unwrap();
            rig.rt.sleep(SECOND).await;
            posts(&rig, 100);
            rig.rt.sleep(2 * SECOND).await;
            let mut seen = Vec::new();
            while let Some(Some(event)) = rig.rt.timeout(SECOND, feed.next()).await {
                seen.extend(event.into_value());
            }
            assert_eq!((seen.len(), seen.last()), (expected, Some(&100.0)));
            let counts = counters.get();
            assert_eq!(counts.delivered, expected as u64);
            assert_eq!(counts.delivered + counts.skipped, 101, "{counts:?}");
        }
    });
}

#[test]
fn throttled_gives_the_newest_of_each_period() {
    let rig = Rig::new();
    rig.run(async {
        let watch = rig
            .client
            .watch::<f64>("x")
            .deliver(Delivery::Throttled { period: SECOND / 4 });
        let counters = watch.counters();
        let mut feed = watch.start().unwrap();
        while feed.next().await.unwrap().value() != Some(&0.0) {}
        posts(&rig, 100);
        let (mut seen, mut all) = (Vec::new(), 0);
        while let Some(Some(event)) = rig.rt.timeout(SECOND, feed.next()).await {
            if let MonitorEvent::Update { value, skipped } = event {
                seen.push(value);
                all += 1 + skipped;
            }
        }
        assert!((4..=6).contains(&seen.len()), "{seen:?}");
        // The last one comes, too, though nothing comes behind it.
        assert_eq!(seen.last(), Some(&100.0));
        let counts = counters.get();
        assert_eq!(
            (all, counts.received + counts.skipped),
            (100, 101),
            "{counts:?}"
        );
        assert_eq!(
            counts.delivered + counts.throttled,
            counts.received,
            "{counts:?}"
        );
    });
}

#[test]
fn a_dead_band_leaves_out_what_changes_little() {
    let rig = Rig::new();
    rig.run(async {
        let watch = rig.client.watch::<Stamped<f64>>("x").deadband(0.5);
        let counters = watch.counters();
        let mut feed = watch.start().unwrap();
        let mut values = Vec::new();
        let posted = [0.3, -0.4, 0.5, 0.6, 0.2, 1.2, f64::NAN, 1.2];
        for value in posted {
            while let Some(Some(event)) = rig.rt.timeout(100 * MILLI, feed.next()).await {
                values.extend(event.into_value());
            }
            rig.post("x", value);
        }
        // An alarm is news, however close the value is.
        rig.rt.sleep(100 * MILLI).await;
        let major = Alarm::new(AlarmStatus::SOFT, AlarmSeverity::MAJOR);
        rig.ioc
            .with(|ioc, now| ioc.set_alarm(now, "x", major))
            .unwrap();
        while let Some(Some(event)) = rig.rt.timeout(SECOND, feed.next()).await {
            values.extend(event.into_value());
        }
        let numbers: Vec<_> = values.iter().map(|it| it.value.to_string()).collect();
        assert_eq!(numbers, ["0", "0.6", "1.2", "NaN", "1.2", "1.2"]);
        assert_eq!(values[5].severity(), AlarmSeverity::MAJOR);
        assert_eq!(counters.get().within_deadband, 4);
        for width in [-1.0, f64::NAN] {
            let refused = rig.client.watch::<f64>("x").deadband(width).start();
            assert!(matches!(refused, Err(WatchError::Deadband { .. })));
        }
    });
}

#[test]
fn a_paused_watch_has_no_subscription() {
    let rig = Rig::new();
    rig.run(async {
        let control = Control::new();
        let watch = rig.client.watch::<f64>("x").control(&control);
        let counters = watch.counters();
        let mut feed = watch.start().unwrap();
        while feed.next().await.unwrap().value() != Some(&0.0) {}
        control.pause();
        assert!(rig.rt.timeout(SECOND, feed.next()).await.is_none());
        assert_eq!(rig.client.stats().subscriptions, 0);
        posts(&rig, 10);
        assert!(rig.rt.timeout(SECOND, feed.next()).await.is_none());
        control.resume();
        while feed.next().await.unwrap().value() != Some(&10.0) {}
        assert_eq!(counters.get().subscribed, 2);
        control.abort();
        assert!(feed.next().await.is_none());
        assert!(feed.next().await.is_none());
    });
}

#[test]
fn a_watch_tells_of_lost_connections_in_order() {
    let rig = Rig::new();
    rig.run(async {
        let watch = rig.client.watch::<f64>("x").deliver(Delivery::Throttled {
            period: 3600 * SECOND,
        });
        let mut feed = watch.start().unwrap();
        while feed.next().await.unwrap().value() != Some(&0.0) {}
        rig.post("x", 5.0);
        rig.rt.sleep(SECOND).await;
        rig.rt.partition(IOC, CLIENT, true);
        let held = rig
            .rt
            .timeout(300 * SECOND, feed.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            held.value(),
            Some(&5.0),
            "what was held back comes before the disconnect"
        );
        assert_eq!(feed.next().await, Some(MonitorEvent::Disconnected));
    });
}

#[test]
fn watches_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            let watch = client
                .watch::<f64>("a")
                .deliver(Delivery::Throttled { period: SECOND });
            let mut feed = watch.deadband(0.1).start().unwrap();
            while feed.next().await.unwrap().value().is_none() {}
        },
        |_, _, _| {},
    );
}
