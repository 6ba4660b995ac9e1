//! A long life: everything that comes goes again, and nothing grows.

use ca_client::{MonitorEvent, Reading};

use crate::rig::{CLIENT, IOC, Rig, SECOND};

const CYCLES: usize = 10_000;

#[test]
fn ten_thousand_cycles_of_connect_subscribe_lose_reconnect_drop() {
    let rig = Rig::new(1);
    rig.rt.trace(|trace| trace.enabled = false);
    rig.rt.set_time_limit(CYCLES as u32 * 20 * SECOND);
    let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
    rig.run(async {
        let mut first = None;
        for cycle in 0..CYCLES {
            let value = cycle as f64;
            rig.post(value);
            let x = rig.client.connect("x").await.unwrap();
            let mut updates = x.monitor::<Reading>().start().unwrap();
            assert_eq!(rig.next(&mut updates).await.value_as(), Some(value));
            rig.rt.net(|net| net.reset(near, far));
            assert_eq!(rig.next(&mut updates).await, MonitorEvent::Disconnected);
            assert_eq!(rig.next(&mut updates).await, MonitorEvent::Connected);
            assert_eq!(rig.next(&mut updates).await.value_as(), Some(value));
            drop((updates, x));
            // The last channel ends its circuit, which takes both sides a moment.
            rig.rt.sleep(SECOND).await;
            let held = (
                rig.client.stats(),
                rig.ioc.with(|ioc, _| ioc.circuits().count()),
                rig.rt.live_tasks(CLIENT),
                rig.rt.live_tasks(IOC),
                rig.rt.stats().streams,
                rig.rt.stats().timers,
            );
            assert_eq!(*first.get_or_insert(held), held, "in cycle {cycle}");
        }
        let (client, circuits, tasks, ..) = first.unwrap();
        assert_eq!(
            (client.channels, client.subscriptions, client.requests),
            (0, 0, 0)
        );
        assert_eq!((circuits, tasks), (0, 1));
    });
}
