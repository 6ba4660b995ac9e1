//! Many subscriptions with one reader.

use ca_client::{
    ClientStats, MonitorError, MonitorEvent, MonitorKey, MonitorSet, MonitorSpec, Overflow,
};
use ca_testkit::runtime::SimRuntime;

use crate::rig::{
    CLIENT, IOC, MILLI, OTHER_IOC, Rig, SECOND, client, gives_back, run, serve, usual,
};

/// Waits until an item for each of these keys has come; all items in order.
async fn first(set: &mut MonitorSet, keys: &[MonitorKey]) -> Vec<(MonitorKey, MonitorEvent)> {
    let mut items = Vec::new();
    while keys.iter().any(|key| !items.iter().any(|(k, _)| k == key)) {
        items.extend(set.next_batch().await.unwrap());
    }
    items
}

#[test]
fn all_that_came_is_taken_at_once_and_in_order() {
    let rig = Rig::new(0);
    rig.run(async {
        let mut set = rig.client.monitor_set();
        let mut keys = Vec::new();
        for name in ["x", "wave", "state"] {
            let channel = rig.client.connect(name).await.unwrap();
            keys.push(set.add(&channel, MonitorSpec::time().depth(10)).unwrap());
        }
        assert_eq!((set.len(), set.keys().count()), (3, 3));
        assert_eq!(set.channel(keys[1]).unwrap().name(), "wave");
        first(&mut set, &keys).await;
        for n in 1..=3 {
            rig.post(f64::from(n));
            rig.ioc.post("wave", vec![f64::from(10 * n); 5]).unwrap();
            // The server squashes what is not on its way yet.
            rig.rt.sleep(MILLI).await;
        }
        rig.rt.sleep(SECOND).await;
        let batch = set.next_batch().await.unwrap();
        assert_eq!(batch.len(), 6);
        let values: Vec<_> = batch
            .map(|(key, item)| (key, item.value_as::<f64>().unwrap()))
            .collect();
        let expected = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        assert!(values.iter().map(|(_, value)| *value).eq(expected));
        assert!(
            values
                .chunks(2)
                .all(|pair| (pair[0].0, pair[1].0) == (keys[0], keys[1]))
        );
        assert!(set.try_next().is_none());
    });
}

#[test]
fn each_subscription_has_its_own_depth_and_policy() {
    let rig = Rig::new(0);
    rig.run(async {
        let mut set = rig.client.monitor_set();
        let x = rig.client.connect("x").await.unwrap();
        let spec = MonitorSpec::time().depth(2);
        let keys = [
            set.add(&x, spec).unwrap(),
            set.add(&x, spec.overflow(Overflow::DropOldest)).unwrap(),
            set.add(&x, spec.overflow(Overflow::LatestOnly)).unwrap(),
        ];
        first(&mut set, &keys).await;
        // One datagram of the virtual network each, so that the server squashes none.
        for n in 1..=5 {
            rig.post(f64::from(n));
            rig.rt.sleep(MILLI).await;
        }
        rig.rt.sleep(SECOND).await;
        let items: Vec<_> = set.next_batch().await.unwrap().collect();
        let of = |key: MonitorKey| -> Vec<(f64, u64)> {
            let mine = items.iter().filter(|(k, _)| *k == key);
            let update = mine.map(|(_, item)| match item {
                MonitorEvent::Update {
                    value: reading,
                    skipped,
                } => (reading.get_f64(0).unwrap(), *skipped),
                other => panic!("{other:?}"),
            });
            update.collect()
        };
        assert_eq!(of(keys[0]), [(1.0, 0), (5.0, 3)]);
        assert_eq!(of(keys[1]), [(4.0, 3), (5.0, 0)]);
        assert_eq!(of(keys[2]), [(5.0, 4)]);
    });
}

#[test]
fn connects_and_disconnects_are_among_the_items() {
    let rig = Rig::new(0);
    rig.run(async {
        let mut set = rig.client.monitor_set();
        let x = rig.client.open("x").unwrap();
        let key = set.add(&x, MonitorSpec::time()).unwrap();
        assert!(matches!(set.next().await, Some((k, MonitorEvent::Connected)) if k == key));
        assert_eq!(set.next().await.unwrap().1.value_as(), Some(1.5));
        let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
        rig.rt.net(|net| net.reset(near, far));
        assert!(matches!(
            set.next().await,
            Some((_, MonitorEvent::Disconnected))
        ));
        assert!(matches!(
            set.next().await,
            Some((_, MonitorEvent::Connected))
        ));
        assert_eq!(set.next().await.unwrap().1.value_as(), Some(1.5));
    });
}

#[test]
fn a_removed_subscription_is_silent_at_once() {
    let rig = Rig::new(0);
    rig.run(async {
        let before = rig.client.stats();
        let mut set = rig.client.monitor_set();
        let keys = ["x", "wave"].map(|name| {
            let channel = rig.client.open(name).unwrap();
            set.add(&channel, MonitorSpec::time()).unwrap()
        });
        first(&mut set, &keys).await;
        rig.rt.sleep(SECOND).await;
        while set.try_next().is_some() {}
        for round in 0..2 {
            rig.post(f64::from(round));
            rig.ioc.post("wave", vec![f64::from(round); 5]).unwrap();
            rig.rt.sleep(SECOND).await;
            // Once with items in the batch that was taken, once with items that wait.
            if round == 0 {
                let _ = set.next_batch().await;
            }
            if round == 1 {
                assert!(set.remove(keys[0]) && !set.remove(keys[0]));
            }
        }
        assert_eq!((set.len(), set.channel(keys[0])).0, 1);
        let rest: Vec<_> = std::iter::from_fn(|| set.try_next()).collect();
        assert!(rest.iter().all(|(key, _)| *key == keys[1]), "{rest:?}");
        assert_eq!(rest.len(), 2);
        drop(set);
        gives_back(&rig.rt, &rig.client, before).await;
    });
}

#[test]
fn the_end_of_the_client_ends_it() {
    let rig = Rig::new(0);
    rig.run(async {
        let mut set = rig.client.monitor_set();
        let x = rig.client.connect("x").await.unwrap();
        set.add(&x, MonitorSpec::time()).unwrap();
        rig.rt.sleep(SECOND).await;
        rig.client.close().await;
        assert!(set.next().await.is_some(), "what had come is there");
        while set.next().await.is_some() {}
        assert!(set.next_batch().await.is_none());
        assert!(matches!(
            set.add(&x, MonitorSpec::time()),
            Err(MonitorError::Closed(_))
        ));
        let mut late = rig.client.monitor_set();
        assert!(late.next().await.is_none());
        drop((set, late, x));
        assert_eq!(rig.client.stats(), ClientStats::default());
    });
}

#[test]
fn a_channel_of_another_client_is_refused() {
    let rt = SimRuntime::new(0);
    let _ioc = serve(&rt, IOC, usual());
    let (one, two) = (client(&rt, CLIENT), client(&rt, OTHER_IOC));
    run(&rt, async {
        let foreign = two.connect("x").await.unwrap();
        let mut set = one.monitor_set();
        let added = set.add(&foreign, MonitorSpec::time());
        assert!(matches!(added, Err(MonitorError::Closed(_))), "{added:?}");
        assert!(set.is_empty());
    });
}

/// A reader that looks away, a connection that comes and goes: the newest value arrives, and every
/// value is delivered or counted.
#[test]
fn nothing_is_lost_uncounted_under_any_schedule() {
    for seed in 0..10 {
        let rig = Rig::shuffled(seed);
        rig.run(async {
            let mut set = rig.client.monitor_set();
            let x = rig.client.connect("x").await.unwrap();
            for depth in [1, 2, 7] {
                set.add(&x, MonitorSpec::time().depth(depth)).unwrap();
                let spec = MonitorSpec::time().depth(depth);
                set.add(&x, spec.overflow(Overflow::DropOldest)).unwrap();
            }
            let keys: Vec<_> = set.keys().collect();
            first(&mut set, &keys).await;
            for n in 1..=60 {
                rig.post(f64::from(n));
                rig.rt.sleep(MILLI).await;
            }
            let mut seen = vec![(0.0, 0); 1 + keys.iter().map(|key| key.index()).max().unwrap()];
            while keys.iter().any(|key| seen[key.index()].0 != 60.0) {
                let (key, item) = set.next().await.unwrap();
                let MonitorEvent::Update {
                    value: reading,
                    skipped,
                } = item
                else {
                    panic!("{item:?}")
                };
                let value = reading.get_f64(0).unwrap();
                let (last, count) = &mut seen[key.index()];
                assert!(value > *last);
                *last = value;
                *count += skipped + 1;
            }
            for key in keys {
                assert_eq!(seen[key.index()], (60.0, 60), "seed {seed}");
            }
        });
    }
}
