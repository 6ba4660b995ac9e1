//! What users do on threads of their own while the client's tasks run on theirs.

use std::time::Duration;

use ca_client::{ClientEvent, GetError, MonitorEvent, MonitorSpec, Overflow, Reading};
use ca_proto::config::ClientParams;
use shuttle::future::spawn;

use crate::rig::{Rig, give_up, model, model_with};

/// Both wait for the same bytes to leave. The one that looks just before the socket's last bytes are
/// reported must be woken by that report, although nothing is left to send.
#[test]
fn two_writers_that_wait_for_room_are_woken() {
    let no_room = |params: ClientParams| params.send_high_water(0);
    model_with(no_room, async |rig: Rig| {
        let x = rig.connect("x").await;
        let writers = [1.0, 2.0].map(|value| {
            let x = x.clone();
            spawn(async move {
                for _ in 0..2 {
                    x.put(value).await.unwrap();
                }
            })
        });
        for writer in writers {
            writer.await.unwrap();
        }
        let value = x.get::<f64>().await.unwrap();
        assert!([1.0, 2.0].contains(&value), "{value}");
        rig
    });
}

/// One event, the connection, wakes everybody who waits for it, whatever they wait with.
#[test]
fn all_who_wait_for_a_connection_are_woken() {
    model(async |rig: Rig| {
        let mut events = rig.client.events();
        let x = rig.client.open("x").unwrap();
        let waiters = [
            spawn({
                let x = x.clone();
                async move { x.connected().await.unwrap() }
            }),
            spawn({
                let x = x.clone();
                async move { assert!(x.wait_for(|info| info.rights().can_write()).await) }
            }),
            spawn({
                let x = x.clone();
                async move { assert_eq!(x.get::<f64>().await.unwrap(), 0.0) }
            }),
            spawn(async move {
                let event = events.next().await.unwrap();
                assert_eq!(event, ClientEvent::Connected { pv: "x".into() });
            }),
        ];
        for waiter in waiters {
            waiter.await.unwrap();
        }
        rig
    });
}

/// A future that is dropped while its answer, its connection or its room comes takes nothing with it:
/// others get what is theirs, and nothing is left of it.
#[test]
fn a_dropped_future_leaves_nothing() {
    let no_room = |params: ClientParams| params.send_high_water(0);
    model_with(no_room, async |rig: Rig| {
        let (x, y) = (rig.connect("x").await, rig.client.open("y").unwrap());
        let quitters = (1..=2).map(|polls| {
            let (x, y) = (x.clone(), y.clone());
            spawn(async move {
                give_up(x.get::<f64>(), polls).await;
                give_up(x.put(1.0), polls).await;
                give_up(y.put(2.0).wait(), polls).await;
                let mut updates = x.monitor::<Reading>().start().unwrap();
                give_up(updates.next(), polls).await;
            })
        });
        let quitters: Vec<_> = quitters.collect();
        let reader = spawn({
            let y = y.clone();
            async move { y.get::<f64>().await.unwrap() }
        });
        for quitter in quitters {
            quitter.await.unwrap();
        }
        reader.await.unwrap();
        x.get::<f64>().await.unwrap();
        let stats = rig.client.stats();
        assert_eq!((stats.waiting_for_answer, stats.waiting_for_change), (0, 0));
        rig
    });
}

/// A reader that is slower than the PV gets values in order, the last of them in any case, and knows how
/// many it has missed, whichever ones the policy drops.
#[test]
fn a_slow_reader_gets_the_last_value() {
    const LAST: f64 = 5.0;
    for policy in [Overflow::Squash, Overflow::DropOldest, Overflow::LatestOnly] {
        model(async move |rig: Rig| {
            let spec = MonitorSpec::time().depth(2).overflow(policy);
            let mut updates = rig.subscribed("x", spec).await;
            let poster = rig.post("x", (1..=LAST as u32).map(f64::from));
            let (mut before, mut known) = (0.0, 0);
            while before < LAST {
                let item = updates.next().await.unwrap();
                let MonitorEvent::Update {
                    value: reading,
                    skipped,
                } = item
                else {
                    panic!("{item:?}");
                };
                let value = reading.get_f64(0).unwrap();
                assert!(value > before, "{value} after {before}");
                known += skipped + 1;
                assert_eq!(known, value as u64);
                before = value;
            }
            poster.await.unwrap();
            assert!(updates.try_next().is_none());
            rig
        });
    }
}

/// The readers of a set of two PVs and of a single subscription are woken by updates of two threads.
#[test]
fn readers_are_woken_by_two_posters() {
    model(async |rig: Rig| {
        let mut single = rig.subscribed("x", MonitorSpec::time()).await;
        let mut set = rig.client.monitor_set();
        for pv in ["x", "y"] {
            set.add(&rig.connect(pv).await, MonitorSpec::time())
                .unwrap();
        }
        let posters = [rig.post("x", [1.0, 2.0]), rig.post("y", [1.0, 2.0])];
        let reader =
            spawn(
                async move { while single.next().await.unwrap().value_as::<f64>() != Some(2.0) {} },
            );
        let mut last = [0.0; 2];
        let keys: Vec<_> = set.keys().collect();
        while last != [2.0; 2] {
            for (key, item) in set.next_batch().await.unwrap() {
                let of = keys.iter().position(|&known| known == key).unwrap();
                last[of] = item.value_as::<f64>().unwrap_or(last[of]);
            }
        }
        reader.await.unwrap();
        for poster in posters {
            poster.await.unwrap();
        }
        drop(set);
        rig
    });
}

/// Subscriptions come and go under updates: the locks of the client, of the queue and of the IOC are
/// taken in every order that there is.
#[test]
fn subscriptions_are_dropped_under_updates() {
    model(async |rig: Rig| {
        let x = rig.connect("x").await;
        let poster = rig.post("x", (1..=4).map(f64::from));
        let quitters = [0, 1].map(|n| {
            let x = x.clone();
            spawn(async move {
                for _ in 0..2 {
                    let mut updates = x.monitor::<Reading>().depth(1).start().unwrap();
                    if n == 1 {
                        updates.next().await.unwrap();
                    }
                }
            })
        });
        for quitter in quitters {
            quitter.await.unwrap();
        }
        poster.await.unwrap();
        assert_eq!(x.get::<f64>().await.unwrap(), 4.0);
        rig
    });
}

/// A client that is closed ends everything that waits: for an answer, a connection, a change, an update,
/// an event.
#[test]
fn everything_that_waits_ends_with_the_client() {
    model(async |rig: Rig| {
        let held = rig.connect("held").await;
        let lost = rig.client.open("no:such:pv").unwrap();
        let mut events = rig.client.events();
        let mut updates = rig.subscribed("x", MonitorSpec::time()).await;
        let waiters = [
            spawn(async move {
                let answer = held.put(1.0).wait().await;
                assert!(answer.is_err(), "{answer:?}");
            }),
            spawn({
                let lost = lost.clone();
                async move {
                    let answer = lost.get::<f64>().await;
                    assert!(matches!(answer, Err(GetError::Closed(_))), "{answer:?}");
                }
            }),
            spawn(async move { assert!(!lost.wait_for(|info| info.is_connected()).await) }),
            spawn(async move { while updates.next().await.is_some() {} }),
            spawn(async move { while events.next().await.is_some() {} }),
        ];
        let closer = spawn({
            let client = rig.client.clone();
            async move { client.close().await }
        });
        rig.client.close().await;
        for waiter in waiters {
            waiter.await.unwrap();
        }
        closer.await.unwrap();
        rig
    });
}

/// A client that is closed while its tasks start, look or sleep ends.
#[test]
fn a_client_that_is_closed_at_once_ends() {
    model(async |rig: Rig| {
        let x = rig.client.open("x").unwrap();
        let closer = spawn({
            let client = rig.client.clone();
            async move { client.close().await }
        });
        drop(x);
        closer.await.unwrap();
        rig
    });
}

/// A deadline that is set while the task that keeps the time sleeps until a later one is kept.
#[test]
fn a_deadline_that_comes_before_the_others_is_kept() {
    model(async |rig: Rig| {
        let lost = rig.client.open("no:such:pv").unwrap();
        let waiters = [250, 40].map(|ms| {
            let (lost, limit) = (lost.clone(), Duration::from_millis(ms));
            spawn(async move {
                let answer = lost.get::<f64>().timeout(limit).await;
                assert!(
                    matches!(answer, Err(GetError::NotConnected(_))),
                    "{answer:?}"
                );
            })
        });
        for waiter in waiters {
            waiter.await.unwrap();
        }
        rig
    });
}
