//! What a program does with its IOC on threads of its own while clients use it.

use ca_client::{AccessRights, EcaStatus, MonitorSpec};
use ca_server_sim::Counts;
use shuttle::future::{spawn, yield_now};

use crate::rig::{Rig, model};

/// Two threads post to two PVs of one circuit, whose task reads and writes meanwhile: the last value of
/// each arrives, so no post's wake-up is lost.
#[test]
fn what_other_threads_post_reaches_the_subscribers() {
    model(async |rig: Rig| {
        let updates = [
            rig.subscribed("x", MonitorSpec::time()).await,
            rig.subscribed("y", MonitorSpec::time()).await,
        ];
        let posters = [
            rig.post("x", [1.0, 2.0, 3.0]),
            rig.post("y", [1.0, 2.0, 3.0]),
        ];
        let readers =
            updates.map(|mut updates| {
                spawn(async move {
                    while updates.next().await.unwrap().value_as::<f64>() != Some(3.0) {}
                })
            });
        let x = rig.connect("x").await;
        x.get::<f64>().await.unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
        for poster in posters {
            poster.await.unwrap();
        }
        rig
    });
}

/// A put that takes its time moves the deadline of the task that keeps the time, which sleeps: the
/// answers come, in order, and that of a put which another thread ends.
#[test]
fn puts_that_take_time_are_answered() {
    model(async |rig: Rig| {
        let (slow, held) = (rig.connect("slow").await, rig.connect("held").await);
        let puts = [1.0, 2.0].map(|value| {
            let slow = slow.clone();
            spawn(async move { slow.put(value).wait().await.unwrap() })
        });
        let put = spawn(async move { held.put(1.0).wait().await.unwrap() });
        let handle = rig.ioc.clone();
        let ender = spawn(async move {
            while handle.with(|ioc, _| ioc.number("held")) != Ok(1.0) {
                yield_now().await;
            }
            handle
                .with(|ioc, now| ioc.finish_put(now, "held", EcaStatus::NORMAL))
                .unwrap();
        });
        for put in puts {
            put.await.unwrap();
        }
        put.await.unwrap();
        ender.await.unwrap();
        rig
    });
}

/// Rights that change while clients read and write reach them, and do not leave anybody waiting.
#[test]
fn rights_that_change_reach_the_clients() {
    model(async |rig: Rig| {
        let x = rig.connect("x").await;
        let handle = rig.ioc.clone();
        let changer = spawn(async move {
            for rights in [AccessRights::NONE, AccessRights::READ] {
                handle
                    .with(|ioc, now| ioc.set_rights(now, "x", rights))
                    .unwrap();
            }
        });
        let reader = spawn({
            let x = x.clone();
            // Either answer is right.
            async move { drop(x.get::<f64>().await) }
        });
        assert!(x.wait_for(|info| info.rights() == AccessRights::READ).await);
        changer.await.unwrap();
        reader.await.unwrap();
        assert_eq!(x.get::<f64>().await.unwrap(), 0.0);
        rig
    });
}

/// An IOC that stops while it accepts a circuit leaves no task of one behind.
#[test]
fn an_ioc_that_stops_while_it_accepts_leaves_no_circuit() {
    model(async |rig: Rig| {
        let x = rig.client.open("x").unwrap();
        let poster = {
            let handle = rig.ioc.clone();
            spawn(async move { handle.post("x", 1.0).unwrap() })
        };
        let reader = spawn(async move { drop(x.get::<f64>().await) });
        rig.ioc.stop().await;
        assert_eq!(rig.ioc.with(|ioc, _| ioc.counts()), Counts::default());
        poster.await.unwrap();
        rig.client.close().await;
        reader.await.unwrap();
        rig
    });
}
