//! Groups with their channels, and synchronous ones.

use std::time::Duration;

use ca_client::{GetError, MonitorEvent, MonitorSpec, PutError};
use ca_kit::{Group, Kit, SyncResult};

use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, survives};

fn three() -> Group {
    Group::of("three", ["a", "b", "nobody"]).unwrap()
}

#[test]
fn every_member_has_its_status_and_its_own_result() {
    let rig = Rig::new();
    rig.run(async {
        let group = rig.client.open_group(three()).unwrap();
        assert!(group.status().iter().all(|member| !member.is_connected()));
        let status = group.connected().timeout(SECOND).await;
        let connected: Vec<_> = status.iter().map(|member| member.is_connected()).collect();
        assert_eq!(connected, [true, true, false]);
        assert!(status[2].error.as_ref().unwrap().is_timeout());
        rig.post("b", 2.5);
        let values = group.get::<f64>().timeout(SECOND).await;
        assert_eq!(values.get("b"), Some(&Ok(2.5)));
        assert!(!values.is_ok());
        let errors: Vec<_> = values.errors().collect();
        assert!(
            matches!(errors[..], [("nobody", GetError::NotConnected(_))]),
            "{errors:?}"
        );
        assert!(values.into_values().is_err());
    });
}

#[test]
fn a_put_names_its_members() {
    let rig = Rig::new();
    rig.run(async {
        let group = Group::of("g", ["a", "fussy", "fixed"]).unwrap();
        let group = rig.client.open_group(group).unwrap();
        let done = group
            .put([("a", 1.0), ("fussy", 9.0), ("fixed", 1.0)])
            .await
            .unwrap();
        assert_eq!(done.get("a"), Some(&Ok(())));
        assert!(matches!(
            done.get("fussy"),
            Some(Err(PutError::Failed { .. }))
        ));
        assert!(matches!(
            done.get("fixed"),
            Some(Err(PutError::NoAccess(_)))
        ));
        let error = group.put([("a", 5.0), ("fusy", 1.0)]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "group \"g\" has no member \"fusy\", nothing was put; did you mean \"fussy\"?"
        );
        assert_eq!(rig.number("a"), 1.0);
    });
}

#[test]
fn monitors_come_per_member_and_as_rows() {
    let rig = Rig::new();
    rig.run(async {
        let group = rig
            .client
            .open_group(Group::of("g", ["a", "b"]).unwrap())
            .unwrap();
        group.connected().await;
        let mut events = group.monitor(MonitorSpec::time()).unwrap();
        let mut rows = group.rows(MonitorSpec::time()).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let event = events.next().await.unwrap();
            if event.event.value().is_some() {
                seen.push(event.name);
            }
        }
        seen.sort();
        assert_eq!(seen, ["a", "b"]);
        let row = loop {
            let row = rows.next().await.unwrap();
            if row.values.iter().all(Option::is_some) {
                break row;
            }
        };
        assert!(!row.changed.is_empty());
        rig.post("b", 3.0);
        let row = rows.next().await.unwrap();
        assert_eq!(row.changed, [1]);
        assert_eq!(row.values[1].as_ref().unwrap().get_f64(0), Some(3.0));
        rig.rt.partition(IOC, CLIENT, true);
        let row = rig
            .rt
            .timeout(300 * SECOND, rows.next())
            .await
            .unwrap()
            .unwrap();
        assert!(row.values.iter().any(Option::is_none));
        let event = rig
            .rt
            .timeout(SECOND, events.next())
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(
            event.event,
            MonitorEvent::Update { .. } | MonitorEvent::Disconnected
        ));
    });
}

#[test]
fn a_synchronous_group_has_one_time_out() {
    let rig = Rig::new();
    rig.run(async {
        let a = rig.client.connect("a").await.unwrap();
        let never = rig.client.connect("never").await.unwrap();
        let mut group = rig.client.sync_group();
        assert!(
            group.block(Duration::ZERO).await.all_done(),
            "nothing is outstanding"
        );
        let (get, put) = (group.get(&a), group.put(&a, 4.0));
        let (hangs, nobody) = (group.put(&never, 1.0), group.get("nobody"));
        let bad = group.get("");
        assert_eq!(group.outstanding(), 4);
        let before = rig.now();
        let results = group.block(SECOND).await;
        assert_eq!(rig.now().saturating_duration_since(before), SECOND);
        assert!(results.is_timeout() && !results.all_done());
        assert_eq!(
            results.get(get).and_then(|it| it.value()?.get_f64(0)),
            Some(0.0)
        );
        assert_eq!(results.get(put), Some(&SyncResult::Done));
        for (late, name) in [(hangs, "never"), (nobody, "nobody")] {
            assert_eq!(
                results.get(late),
                Some(&SyncResult::Outstanding { pv: name.into() })
            );
        }
        assert!(matches!(results.get(bad), Some(SyncResult::GetFailed(_))));
        // Everything is forgotten, and old tickets name nothing.
        assert_eq!(group.outstanding(), 0);
        let again = group.get(&a);
        let results = group.block(SECOND).await;
        assert_eq!(results.get(get), None);
        assert!(results.get(again).unwrap().is_ok());
    });
}

#[test]
fn requests_of_a_synchronous_group_are_sent_at_once() {
    let rig = Rig::new();
    rig.run(async {
        let a = rig.client.connect("a").await.unwrap();
        let before = rig.client.stats();
        let mut group = rig.client.sync_group();
        group.put(&a, 4.0);
        rig.rt.sleep(100 * MILLI).await;
        assert_eq!(rig.number("a"), 4.0);
        assert!(group.test());
        group.put("never", 4.0);
        rig.rt.sleep(100 * MILLI).await;
        assert!(!group.test());
        group.reset();
        assert!(group.test());
        drop(group);
        rig.gives_back(before).await;
    });
}

#[test]
fn groups_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            let group = client
                .open_group(Group::of("g", ["a", "wave"]).unwrap())
                .unwrap();
            group.connected().await.len()
        },
        |_, _, _| {},
    );
    survives(
        async |client| {
            let group = client
                .open_group(Group::of("g", ["a", "wave"]).unwrap())
                .unwrap();
            group.get::<f64>().await.is_ok()
        },
        |_, _, _| {},
    );
    survives(
        async |client| {
            let group = client
                .open_group(Group::of("g", ["a", "b"]).unwrap())
                .unwrap();
            group.put([("a", 1.0), ("b", 2.0)]).await.unwrap().is_ok()
        },
        |_, _, _| {},
    );
    survives(
        async |client| {
            let group = client
                .open_group(Group::of("g", ["a", "b"]).unwrap())
                .unwrap();
            let mut rows = group.rows(MonitorSpec::time()).unwrap();
            while rows
                .next()
                .await
                .unwrap()
                .values
                .iter()
                .any(Option::is_none)
            {}
        },
        |_, _, _| {},
    );
    survives(
        async |client| {
            let group = client
                .open_group(Group::of("g", ["a", "b"]).unwrap())
                .unwrap();
            let mut monitor = group.monitor(MonitorSpec::time()).unwrap();
            monitor.next().await.is_some()
        },
        |_, _, _| {},
    );
    survives(
        async |client| {
            let mut group = client.sync_group();
            group.get("a");
            group.put("slow", 1.0);
            group.block(5 * SECOND).await.all_done()
        },
        |_, _, _| {},
    );
}
