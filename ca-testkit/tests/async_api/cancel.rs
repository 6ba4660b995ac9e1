//! Every asynchronous method of the client, dropped at every moment of its life: the client goes
//! on, nothing is left, no wake-up is lost.

use std::fmt::Debug;
use std::future::Future;

use ca_client::{
    Channel, ClientEvent, ClientStats, DbrType, EnumState, Family, MonitorSpec, NativeType,
    ReadSpec, Reading, TypeSpec,
};

use crate::dropped::{Dropped, Moment, drop_at_every_poll, moments};
use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, client, gives_back, run, serve, usual};
use ca_testkit::runtime::SimRuntime;

/// Seeds of schedules that each method is tried under, beside the plain one.
const SEEDS: u64 = 6;

fn rigs() -> impl Iterator<Item = Rig> {
    std::iter::once(Rig::new(0)).chain((1..=SEEDS).map(Rig::shuffled))
}

/// Drops the future that `make` makes from a channel at every moment: once with a channel that is
/// connected, once with one that is opened for it.
fn survives<'a, F, T: Debug>(pv: &'a str, make: impl Fn(Channel) -> F)
where
    F: Future<Output = T> + 'a,
{
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let connected = rig.client.connect(pv).await.unwrap();
            let warm = drop_tests(&rig, &x, || make(connected.clone())).await;
            let fresh = || make(rig.client.open(pv).unwrap());
            let cold = drop_tests(&rig, &x, fresh).await;
            assert!(
                cold >= warm,
                "{cold} polls with a new channel, {warm} with an old one"
            );
            assert!(cold >= 2, "nothing was waited for");
        });
        ends(rig);
    }
}

/// As [`drop_at_every_poll`], with the check that everything is as it was before.
async fn drop_tests<F: Future>(rig: &Rig, x: &Channel, make: impl Fn() -> F) -> usize
where
    F::Output: Debug,
{
    let before = rig.client.stats();
    drop_at_every_poll(make, |moment, _| async move {
        let value = x.get::<f64>().await;
        assert!(value.is_ok(), "{value:?} after a drop at {moment:?}");
        gives_back(&rig.rt, &rig.client, before).await;
    })
    .await
}

/// Closes client and IOC: no task is left.
fn ends(rig: Rig) {
    let Rig { rt, ioc, client } = rig;
    run(&rt, async {
        client.close().await;
        assert_eq!(client.stats(), ClientStats::default());
        assert_eq!(rt.live_tasks(CLIENT), 0);
        ioc.stop().await;
        assert_eq!(rt.live_tasks(IOC), 0);
    });
    drop((client, ioc));
    let left = rt.stats();
    assert_eq!(
        (left.tasks, left.udp, left.listeners, left.streams),
        (0, 0, 0, 0)
    );
}

#[test]
fn channel() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let client = &rig.client;
            let polls = drop_tests(&rig, &x, || client.connect("wave")).await;
            assert!(polls >= 2, "nothing was waited for");
            let short = rig.client.clone();
            drop_tests(&rig, &x, || async { short.connect("nobody").await }).await;
        });
        ends(rig);
    }
}

#[test]
fn channels() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let client = &rig.client;
            let polls = drop_tests(&rig, &x, || client.connect_many(&["wave", "x", "state"])).await;
            assert!(polls >= 2, "nothing was waited for");
            drop_tests(&rig, &x, || client.connect_many(&["x", "nobody", "wave"])).await;
        });
        ends(rig);
    }
}

#[test]
fn connected() {
    survives("wave", |channel| async move { channel.connected().await });
}

#[test]
fn wait_for() {
    survives("wave", |channel| async move {
        channel.wait_for(|info| info.rights().can_write()).await
    });
}

#[test]
fn read() {
    survives("x", |channel| async move { channel.get::<f64>().await });
    survives("big", |channel| async move {
        channel.get::<Vec<f64>>().await.map(|v| v.len())
    });
}

#[test]
fn read_with() {
    let spec = ReadSpec {
        ty: TypeSpec::Exact(DbrType::new(Family::Ctrl, NativeType::Float)),
        count: 2,
    };
    survives("wave", move |channel| async move {
        channel.get::<Reading>().spec(spec).await
    });
}

#[test]
fn reading_and_metadata() {
    survives("x", |channel| async move { channel.get::<Reading>().await });
    survives("x", |channel| async move { channel.metadata().await });
}

#[test]
fn read_enum() {
    survives("state", |channel| async move {
        channel.get::<EnumState>().await
    });
}

#[test]
fn write_dropped_before_its_end_writes_nothing() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let before = rig.client.stats();
            let value = std::cell::Cell::new(100.0);
            let (rig, x, value) = (&rig, &x, &value);
            let make = || {
                value.set(value.get() + 1.0);
                let fresh = rig.client.open("x").unwrap();
                async move { fresh.put(value.get()).await }
            };
            drop_at_every_poll(make, |moment, output| async move {
                let written = match output {
                    Some(result) => {
                        result.unwrap();
                        true
                    }
                    None => false,
                };
                let now = x.get::<f64>().await.unwrap();
                assert_eq!(
                    now == value.get(),
                    written,
                    "{now} after a drop at {moment:?}"
                );
                gives_back(&rig.rt, &rig.client, before).await;
            })
            .await;
        });
        ends(rig);
    }
}

#[test]
fn write_as() {
    let ty = DbrType::new(Family::Plain, NativeType::Long);
    survives(
        "wave",
        move |channel| async move { channel.put(5).ty(ty).await },
    );
}

#[test]
fn write_notify() {
    survives("x", |channel| async move { channel.put(4.0).wait().await });
    survives(
        "slow",
        |channel| async move { channel.put(4.0).wait().await },
    );
}

/// The server owes the answer as long as the channel is open.
#[test]
fn write_notify_that_times_out() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let make = || {
                let never = rig.client.open("never").unwrap();
                async move { never.put(4.0).wait().timeout(SECOND).await }
            };
            drop_tests(&rig, &x, make).await;
        });
        ends(rig);
    }
}

#[test]
fn write_notify_as() {
    let ty = DbrType::new(Family::Plain, NativeType::Float);
    survives("wave", move |channel| async move {
        channel.put(5).ty(ty).wait().await
    });
}

#[test]
fn get_many() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let names = ["x", "wave", "nobody", "state"];
            let polls = drop_tests(&rig, &x, || {
                rig.client.get_many::<f64>(&names).timeout(SECOND)
            })
            .await;
            assert!(polls >= 3, "{polls} polls");
        });
        ends(rig);
    }
}

#[test]
fn put_many() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let values = [("x", 1.0), ("slow", 2.0), ("nobody", 3.0)];
            let polls = drop_tests(&rig, &x, || {
                rig.client.put_many(values).wait().timeout(3 * SECOND)
            })
            .await;
            assert!(polls >= 3, "{polls} polls");
        });
        ends(rig);
    }
}

#[test]
fn read_many() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let wave = rig.client.connect("wave").await.unwrap();
            let connected = [&x, &wave, &x];
            let make = || rig.client.get_many::<f64>(connected).timeout(SECOND);
            let warm = drop_tests(&rig, &x, make).await;
            assert!(warm >= 2, "{warm} polls");
            let make = || async {
                let open = |name| rig.client.open(name).unwrap();
                let cold = ["x", "nobody", "state", "wave"].map(open);
                rig.client.get_many::<f64>(&cold).timeout(SECOND).await
            };
            let cold = drop_tests(&rig, &x, make).await;
            assert!(cold >= 3, "{cold} polls");
        });
        ends(rig);
    }
}

#[test]
fn write_many_and_write_notify_many() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            for notify in [false, true] {
                let make = || async {
                    let open = |name| rig.client.open(name).unwrap();
                    let fresh = ["x", "slow", "nobody"].map(open);
                    let values = [(&fresh[0], 1.0), (&fresh[1], 2.0), (&fresh[2], 3.0)];
                    let time = 3 * SECOND;
                    match notify {
                        false => rig.client.put_many(values).timeout(time).await,
                        true => rig.client.put_many(values).wait().timeout(time).await,
                    }
                };
                let polls = drop_tests(&rig, &x, make).await;
                assert!(polls >= 2, "{polls} polls");
            }
        });
        ends(rig);
    }
}

#[test]
fn the_next_item_of_a_subscription_is_never_lost() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let mut updates = x.monitor::<Reading>().depth(100).start().unwrap();
            rig.next(&mut updates).await;
            let (mut posted, mut received) = (Vec::new(), Vec::new());
            for moment in moments().take(4).flatten() {
                let value = 10.0 + posted.len() as f64;
                posted.push(value);
                rig.post(value);
                let item = Dropped::new(moment, updates.next()).await;
                received.extend(item.flatten().and_then(|item| item.value_as::<f64>()));
                rig.rt.sleep(10 * MILLI).await;
                let left = std::iter::from_fn(|| updates.try_next());
                received.extend(left.filter_map(|item| item.value_as::<f64>()));
                assert_eq!(received, posted, "after a drop at {moment:?}");
            }
            // A reader that waits is woken although another wait for the same was dropped.
            drop(Dropped::new(moments().nth(1).unwrap()[0], updates.next()).await);
            rig.post(99.0);
            rig.arrives(&mut updates, 99.0).await;
        });
        ends(rig);
    }
}

#[test]
fn what_comes_for_a_set_is_never_lost() {
    for rig in rigs() {
        rig.run(async {
            let x = rig.client.connect("x").await.unwrap();
            let mut set = rig.client.monitor_set();
            set.add(&x, MonitorSpec::time().depth(100)).unwrap();
            set.next().await.unwrap();
            let (mut posted, mut received) = (Vec::new(), Vec::new());
            for (n, moment) in moments().take(4).flatten().enumerate() {
                let value = 10.0 + posted.len() as f64;
                posted.push(value);
                rig.post(value);
                let taken = match n % 2 {
                    0 => Dropped::new(moment, set.next()).await.flatten(),
                    // Nothing is taken from the batch.
                    _ => Dropped::new(moment, set.next_batch()).await.and(None),
                };
                received.extend(taken.and_then(|(_, item)| item.value_as::<f64>()));
                rig.rt.sleep(10 * MILLI).await;
                let left = std::iter::from_fn(|| set.try_next());
                received.extend(left.filter_map(|(_, item)| item.value_as::<f64>()));
                assert_eq!(received, posted, "after a drop at {moment:?}");
            }
            let _ = Dropped::new(moments().nth(1).unwrap()[0], set.next_batch()).await;
            rig.post(99.0);
            let (_, item) = set.next().await.unwrap();
            assert_eq!(item.value_as(), Some(99.0));
        });
        ends(rig);
    }
}

#[test]
fn the_next_event_of_a_client_is_never_lost() {
    for rig in rigs() {
        rig.run(async {
            let mut events = rig.client.events();
            let mut received = 0;
            for (n, moment) in moments().take(4).flatten().enumerate() {
                let channel = rig.client.open("x").unwrap();
                received += Dropped::new(moment, events.next()).await.map_or(0, count);
                rig.rt.sleep(SECOND).await;
                while let Some(event) = rig.rt.timeout(MILLI, events.next()).await {
                    received += count(event);
                }
                assert_eq!(received, n + 1, "after a drop at {moment:?}");
                drop(channel);
            }
        });
        ends(rig);
    }
}

/// 1 for a channel that was connected.
fn count(event: Option<ClientEvent>) -> usize {
    matches!(event, Some(ClientEvent::Connected { .. })).into()
}

#[test]
fn close_goes_on_without_the_waiting() {
    let runtimes = std::iter::once(SimRuntime::new(0)).chain((1..=SEEDS).map(SimRuntime::shuffled));
    for rt in runtimes {
        let _ioc = serve(&rt, IOC, usual());
        run(&rt, async {
            let mut kept = Vec::new();
            for moment in moments().take(6).flatten() {
                let client = client(&rt, CLIENT);
                let x = client.connect("x").await.unwrap();
                let slow = client.connect("slow").await.unwrap();
                let put = slow.put(1.0).wait();
                let mut put = Box::pin(put);
                assert!(rt.timeout(MILLI, &mut put).await.is_none());
                let closed = Dropped::new(moment, client.close()).await;
                if [Moment::AfterPoll(0), Moment::WhenWoken(0)].contains(&moment) {
                    assert_eq!(closed, None);
                    client.close().await;
                }
                rt.sleep(2 * SECOND).await;
                assert_eq!(rt.live_tasks(CLIENT), 0, "after a drop at {moment:?}");
                assert!(put.await.is_err());
                assert!(x.get::<f64>().await.is_err());
                drop(slow);
                kept.push((client, x));
            }
            for (client, _) in &kept {
                client.close().await;
                assert_eq!(client.stats().tasks, 0);
            }
        });
    }
}

#[test]
fn waits_for_room_in_a_full_circuit() {
    for rig in rigs() {
        let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
        rig.run(async {
            let big = rig.client.connect("big").await.unwrap();
            let before = rig.client.stats();
            rig.rt.net(|net| net.hold(near, far));
            let put = || big.put(vec![1.0; 20_000]).timeout(MILLI);
            while put().await.is_ok() {}
            let stats = rig.client.stats();
            for pair in moments().take(3) {
                for moment in pair {
                    drop(Dropped::new(moment, put()).await);
                    drop(Dropped::new(moment, put().wait()).await);
                    drop(Dropped::new(moment, big.get::<f64>().timeout(MILLI)).await);
                    assert_eq!(rig.client.stats(), stats, "after a drop at {moment:?}");
                }
            }
            let mut write = Box::pin(big.put(vec![2.0; 20_000]));
            assert!(rig.rt.timeout(MILLI, &mut write).await.is_none());
            rig.rt.net(|net| net.release(near, far));
            write.await.unwrap();
            assert_eq!(big.get::<Vec<f64>>().await.unwrap()[0], 2.0);
            gives_back(&rig.rt, &rig.client, before).await;
        });
        ends(rig);
    }
}
