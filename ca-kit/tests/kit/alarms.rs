//! Alarms.

use std::sync::{Arc, Mutex};

use ca_client::{Alarm as PvAlarm, AlarmSeverity, AlarmStatus};
use ca_kit::{AlarmError, AlarmKind, AlarmState, Kit, Trip};

use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, survives};

#[test]
fn an_alarm_is_raised_after_its_delay_and_cleared() {
    let rig = Rig::new();
    rig.run(async {
        let told = Arc::new(Mutex::new(Vec::new()));
        let alarm = rig
            .client
            .alarm("x", Trip::Above(10.0))
            .hysteresis(1.0)
            .delay(SECOND);
        let alarm = alarm.sink({
            let told = told.clone();
            move |event| told.lock().unwrap().push(event.to_string())
        });
        let panel = alarm.panel();
        let mut events = alarm.start().unwrap();
        for (after, value) in [
            (1000, 11.0),
            (1500, 5.0),
            (3000, 12.0),
            (5000, 9.5),
            (6000, 9.0),
        ] {
            rig.post_after(after * MILLI, "x", value);
        }
        let begun = rig.now();
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.kind, event.value),
            (AlarmKind::Raised { suppressed: 0 }, Some(12.0))
        );
        let took = rig.now().saturating_duration_since(begun);
        assert!((4 * SECOND..4100 * MILLI).contains(&took), "{took:?}");
        assert_eq!(panel.state(), AlarmState::Active);
        let event = events.next().await.unwrap();
        assert_eq!((event.kind, event.value), (AlarmKind::Cleared, Some(9.0)));
        assert_eq!(panel.state(), AlarmState::Normal);
        let told = told.lock().unwrap().join("\n");
        assert_eq!(
            told,
            "ALARM \"x\" at 12, severity NO_ALARM\ncleared \"x\" at 9, severity NO_ALARM"
        );
    });
}

#[test]
fn an_alarm_follows_the_severity_and_the_connection() {
    let rig = Rig::new();
    rig.run(async {
        let alarm = rig
            .client
            .alarm("x", Trip::Severity(AlarmSeverity::MAJOR))
            .or_disconnected();
        let mut events = alarm.start().unwrap();
        assert!(rig.rt.timeout(SECOND, events.next()).await.is_none());
        let set = |severity| {
            let alarm = PvAlarm::new(AlarmStatus::SOFT, severity);
            rig.ioc
                .with(|ioc, now| ioc.set_alarm(now, "x", alarm))
                .unwrap();
        };
        set(AlarmSeverity::MINOR);
        assert!(rig.rt.timeout(SECOND, events.next()).await.is_none());
        set(AlarmSeverity::INVALID);
        let event = events.next().await.unwrap();
        assert_eq!(event.severity, AlarmSeverity::INVALID);
        set(AlarmSeverity::NO_ALARM);
        assert_eq!(events.next().await.unwrap().kind, AlarmKind::Cleared);
        rig.rt.partition(IOC, CLIENT, true);
        let event = rig
            .rt
            .timeout(300 * SECOND, events.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (event.kind, event.value),
            (AlarmKind::Raised { suppressed: 0 }, None)
        );
        rig.rt.partition(IOC, CLIENT, false);
        let event = rig
            .rt
            .timeout(300 * SECOND, events.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(event.kind, AlarmKind::Cleared);
    });
}

#[test]
fn an_operator_acknowledges_and_shelves() {
    let rig = Rig::new();
    rig.run(async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let alarm = rig
            .client
            .alarm("x", Trip::NotNear(0.0, 0.5))
            .latch()
            .sink({
                let seen = seen.clone();
                move |event| seen.lock().unwrap().push(event.kind)
            });
        let task = alarm.spawn().unwrap();
        let panel = task.panel();
        let raised = AlarmKind::Raised { suppressed: 0 };
        rig.rt.sleep(SECOND).await;
        rig.post("x", 1.0);
        rig.rt.sleep(SECOND).await;
        rig.post("x", 0.0);
        rig.rt.sleep(SECOND).await;
        assert_eq!(
            (panel.state(), &seen.lock().unwrap()[..]),
            (AlarmState::Latched, &[raised][..])
        );
        panel.acknowledge();
        rig.rt.sleep(SECOND).await;
        let expected = [raised, AlarmKind::Acknowledged, AlarmKind::Cleared];
        assert_eq!(seen.lock().unwrap()[..], expected);
        panel.shelve(60 * SECOND);
        rig.rt.sleep(SECOND).await;
        rig.post("x", 1.0);
        rig.rt.sleep(50 * SECOND).await;
        assert_eq!(
            (panel.state(), seen.lock().unwrap().len()),
            (AlarmState::Shelved, 3)
        );
        rig.rt.sleep(10 * SECOND).await;
        assert_eq!(
            (panel.state(), seen.lock().unwrap().len()),
            (AlarmState::Active, 4)
        );
        panel.shelve(60 * SECOND);
        panel.unshelve();
        rig.rt.sleep(SECOND).await;
        assert_eq!(panel.state(), AlarmState::Active);
        drop(task);
        rig.rt.sleep(SECOND).await;
        rig.post("x", 0.0);
        rig.rt.sleep(SECOND).await;
        assert_eq!(
            (rig.client.stats().subscriptions, seen.lock().unwrap().len()),
            (0, 4)
        );
    });
}

#[test]
fn alarms_that_cannot_be_are_refused() {
    let rig = Rig::new();
    for (trip, hysteresis) in [(Trip::Above(f64::NAN), 0.0), (Trip::Above(1.0), -1.0)] {
        let refused = rig.client.alarm("x", trip).hysteresis(hysteresis).start();
        assert!(matches!(refused, Err(AlarmError::Option { .. })));
    }
    assert!(matches!(
        rig.client.alarm("", Trip::Above(1.0)).start(),
        Err(AlarmError::Open(_))
    ));
}

#[test]
fn alarms_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            let alarm = client.alarm("n", Trip::Above(1.0)).delay(100 * MILLI);
            alarm.start().unwrap().next().await
        },
        |_, _, _| {},
    );
}
