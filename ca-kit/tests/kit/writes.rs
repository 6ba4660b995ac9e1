//! Puts that are guarded, and puts that are undone.

use ca_client::{AlarmSeverity, PutError};
use ca_kit::{GuardError, Guarded, Kit, RollBackError, Saved};
use ca_server_sim::PvSpec;

use crate::rig::{Rig, SECOND, survives, usual};

#[test]
fn a_guarded_put_stays_within_limits() {
    let rig = Rig::new();
    rig.run(async {
        let done = rig.client.put_guarded("limited", 10.0).await.unwrap();
        assert_eq!(done, Guarded::Put { before: Saved::Number(0.0) });
        for value in [10.1, -10.1, f64::NAN, f64::INFINITY] {
            let error = rig.client.put_guarded("limited", value).await.unwrap_err();
            assert!(matches!(error, GuardError::OutsideLimits { .. }), "{error}");
        }
        let text = rig.client.put_guarded("limited", "11").await.unwrap_err();
        assert_eq!(
            text.to_string(),
            "\"limited\" is not put to 11: the limits of its control go from -10 to 10; give a value \
             between them"
        );
        assert_eq!(rig.number("limited"), 10.0);
        let error = rig.client.put_guarded("x", 6.0).range(0.0, 5.0).await.unwrap_err();
        assert!(error.to_string().contains("the limits of the guard go from 0 to 5"), "{error}");
        let free = rig.client.put_guarded("limited", 11.0).without_limits();
        free.await.unwrap();
        for guard in [(5.0, 1.0), (f64::NAN, 1.0)] {
            let error = rig.client.put_guarded("x", 1.0).range(guard.0, guard.1).await;
            assert!(matches!(error, Err(GuardError::Guard { .. })), "{error:?}");
        }
        let error = rig.client.put_guarded("x", 1.0).compare(-1.0).await;
        assert!(matches!(error, Err(GuardError::Guard { .. })), "{error:?}");
    });
}

#[test]
fn a_guarded_put_looks_at_what_it_is_told() {
    let rig = Rig::with(
        usual()
            .pv("dis.DISP", PvSpec::long(1))
            .pv("dis", PvSpec::double(0.0))
            .pv("hot", PvSpec::double(9.0).alarm(-5.0, 5.0)),
    );
    rig.run(async {
        let client = &rig.client;
        let error = client.put_guarded("fixed", 1.0).await.unwrap_err();
        assert_eq!(error, GuardError::NoAccess { pv: "fixed".into() });
        let error = client.put_guarded("dis", 1.0).disp().await.unwrap_err();
        assert_eq!(
            error,
            GuardError::Disabled {
                pv: "dis".into(),
                disp: 1
            }
        );
        let error = client
            .put_guarded("hot", 1.0)
            .alarm(AlarmSeverity::MAJOR)
            .await
            .unwrap_err();
        assert!(matches!(error, GuardError::InAlarm { .. }), "{error}");
        let error = client
            .put_guarded("x", 1.0)
            .allowed(["y"])
            .await
            .unwrap_err();
        assert_eq!(error, GuardError::NotAllowed { pv: "x".into() });
        let error = client
            .put_guarded("nobody", 1.0)
            .timeout(SECOND)
            .await
            .unwrap_err();
        assert!(error.is_timeout() && error.pv() == "nobody", "{error}");
        let error = client.put_guarded("fussy", 9.0).await.unwrap_err();
        assert!(
            matches!(error, GuardError::Put(PutError::Failed { .. })),
            "{error}"
        );
        for pv in ["fixed", "dis", "hot", "x", "fussy"] {
            assert_ne!(rig.number(pv), 1.0, "{pv}");
        }
        client
            .put_guarded("x", 1.0)
            .allowed(["x"])
            .wait()
            .await
            .unwrap();
        assert_eq!(rig.number("x"), 1.0);
    });
}

#[test]
fn what_is_there_is_not_put_again() {
    let rig = Rig::new();
    rig.run(async {
        let client = &rig.client;
        let same = client.put_guarded("n", 3.0).compare(0.0).await.unwrap();
        assert_eq!(
            same,
            Guarded::Same {
                at: Saved::Number(3.0)
            }
        );
        let same = client
            .put_guarded("state", "Off")
            .compare(0.0)
            .await
            .unwrap();
        assert!(matches!(same, Guarded::Same { .. }), "{same:?}");
        let same = client
            .put_guarded("note", "hello")
            .compare(0.0)
            .await
            .unwrap();
        assert!(matches!(same, Guarded::Same { .. }), "{same:?}");
        let same = client
            .put_guarded("wave", vec![1.0, 2.0, 3.05])
            .compare(0.1)
            .await
            .unwrap();
        assert!(matches!(same, Guarded::Same { .. }), "{same:?}");
        let would = client
            .put_guarded("state", "On")
            .compare(0.0)
            .dry_run()
            .await
            .unwrap();
        assert!(matches!(would, Guarded::WouldPut { .. }), "{would:?}");
        assert_eq!(rig.number("state"), 0.0);
        client
            .put_guarded("state", "On")
            .compare(0.0)
            .await
            .unwrap();
        assert_eq!(rig.number("state"), 1.0);
    });
}

#[test]
fn many_puts_hold_together() {
    let rig = Rig::new();
    rig.post("a", 1.0);
    rig.run(async {
        let client = &rig.client;
        let before = client
            .put_or_roll_back([("a", 5.0), ("b", 6.0)])
            .await
            .unwrap();
        assert_eq!(before[0], ("a".to_owned(), Saved::Number(1.0)));
        let puts = [("a", 7.0), ("fussy", 9.0), ("b", 8.0)];
        let error = client.put_or_roll_back(puts).await.unwrap_err();
        let RollBackError::RolledBack {
            failed,
            back,
            stuck,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!((failed.len(), stuck.len()), (1, 0));
        assert_eq!(back[..], ["b", "a"]);
        assert!(
            error.is_clean() && error.to_string().contains("2 put back where they stood"),
            "{error}"
        );
        assert_eq!((rig.number("a"), rig.number("b")), (5.0, 6.0));
        // What is not answered may have been put, too.
        let puts = [("a", 7.0), ("never", 9.0)];
        let error = client
            .put_or_roll_back(puts)
            .timeout(SECOND)
            .await
            .unwrap_err();
        assert!(!error.is_clean(), "{error}");
        assert!(error.to_string().contains("NOT put back"), "{error}");
        assert_eq!(rig.number("a"), 5.0);
        let puts = [("a", 7.0), ("nobody", 9.0)];
        let error = client
            .put_or_roll_back(puts)
            .timeout(SECOND)
            .await
            .unwrap_err();
        assert!(
            matches!(error, RollBackError::Unknown(_)) && error.before().is_empty(),
            "{error}"
        );
        let puts = [("a", "7".to_owned()), ("note", "x".repeat(50))];
        let error = client.put_or_roll_back(puts).await.unwrap_err();
        assert!(matches!(error, RollBackError::Refused(_)), "{error}");
        let error = client
            .put_or_roll_back([("a", 7.0), ("fixed", 1.0)])
            .await
            .unwrap_err();
        assert_eq!(error, RollBackError::NoAccess(vec!["fixed".into()]));
        assert_eq!(rig.number("a"), 5.0);
    });
}

#[test]
fn writes_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            client
                .put_guarded("limited", 1.0)
                .compare(0.1)
                .await
                .is_ok()
        },
        |rig, _, _| rig.post("limited", 0.0),
    );
    survives(
        async |client| {
            client
                .put_or_roll_back([("a", 1.0), ("fussy", 9.0)])
                .await
                .is_ok()
        },
        |rig, _, _| rig.post("a", 0.0),
    );
}
