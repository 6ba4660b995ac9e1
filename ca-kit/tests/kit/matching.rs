//! Waiting for PVs, and putting before.

use ca_kit::{At, Impossible, Kit, MatchError, at_least, at_most, between, near, text};

use crate::rig::{MILLI, Rig, SECOND, survives};

#[test]
fn wait_until_comes_with_the_update() {
    let rig = Rig::new();
    rig.run(async {
        let x = rig.client.connect("x").await.unwrap();
        rig.post_after(1800 * SECOND, "x", 2.0);
        let before = rig.now();
        let wait = rig
            .client
            .wait_until(&x, near(2.0, 0.1))
            .timeout(3600 * SECOND);
        let matched = wait.await.unwrap();
        assert_eq!((matched.number(), matched.put), (Some(2.0), 0));
        let took = rig.now().saturating_duration_since(before);
        assert!(took < 1801 * SECOND, "{took:?}");
    });
}

/// A get has an answer, a monitor only what changes: half an hour of waiting makes a few polls.
#[test]
fn nothing_is_polled() {
    let rig = Rig::new();
    rig.run(async {
        let before = rig.rt.stats().polls;
        let wait = rig
            .client
            .wait_until("x", near(2.0, 0.1))
            .timeout(1800 * SECOND);
        assert!(wait.await.unwrap_err().is_timeout());
        let polls = rig.rt.stats().polls - before;
        // Echoes of an idle circuit are among them.
        assert!(polls < 1000, "{polls} polls in 1800 s");
    });
}

#[test]
fn the_error_names_who_did_not_arrive_and_where_it_stands() {
    let rig = Rig::new();
    rig.run(async {
        rig.post("a", 1.0);
        let wanted = [
            ("a", near(1.0, 0.1)),
            ("b", near(1.0, 0.1)),
            ("nobody", at_least(1.0)),
        ];
        let error = rig
            .client
            .wait_until_all(wanted)
            .timeout(SECOND)
            .await
            .unwrap_err();
        let MatchError::TimedOut(missing) = &error else {
            panic!("{error}");
        };
        let names: Vec<_> = missing.standing.iter().map(|it| it.pv.as_str()).collect();
        assert_eq!(
            (names, missing.matched, missing.of),
            (vec!["b", "nobody"], 1, 3)
        );
        assert!(matches!(missing.standing[1].at, At::NotConnected(_)));
        assert_eq!((error.pv(), error.elapsed()), ("b", SECOND));
        assert!(error.server().is_some() && !error.has_moved());
        let text = error.to_string();
        let (there, missing) = text.split_once("; ").unwrap();
        assert_eq!(
            there,
            "1 of the 3 that must match do so after 1.000 s: \"b\" stands at 0, not 1 ± 0.1"
        );
        assert!(
            missing.starts_with("\"nobody\" is not connected (no server answered "),
            "{text}"
        );
        assert!(
            missing.ends_with("and that the IOC runs), not 1 or more"),
            "{text}"
        );
    });
}

#[test]
fn what_cannot_be_searched_is_told_at_once() {
    let rig = Rig::new();
    let lonely = ca_client::Client::builder()
        .isolated([])
        .runtime(rig.rt.host(crate::rig::CLIENT));
    let lonely = lonely.build().unwrap();
    rig.run(async {
        let before = rig.now();
        let error = lonely
            .wait_until("x", near(1.0, 0.1))
            .timeout(60 * SECOND)
            .await
            .unwrap_err();
        assert!(matches!(
            error,
            MatchError::Open(ca_client::ConnectError::NowhereToSearch(_))
        ));
        assert!(error.remedy().contains("EPICS_CA_ADDR_LIST"));
        assert_eq!(rig.now(), before);
    });
}

#[test]
fn so_many_of_them_are_enough() {
    let rig = Rig::new();
    rig.run(async {
        rig.post_after(SECOND, "a", 1.0);
        rig.post_after(2 * SECOND, "b", 1.0);
        let wanted = ["a", "b", "nobody"].map(|pv| (pv, near(1.0, 0.1)));
        let matched = rig
            .client
            .wait_until_all(wanted.clone())
            .number(2)
            .await
            .unwrap();
        assert_eq!(matched.matching, [true, true, false]);
        for needed in [0, 4] {
            let error = rig
                .client
                .wait_until_all(wanted.clone())
                .number(needed)
                .await;
            assert_eq!(error.unwrap_err(), MatchError::Number { needed, of: 3 });
        }
    });
}

#[test]
fn what_passes_through_is_not_there() {
    let rig = Rig::new();
    rig.run(async {
        rig.post_after(100 * MILLI, "x", 5.0);
        rig.post_after(200 * MILLI, "x", 9.0);
        rig.post_after(300 * MILLI, "x", 5.0);
        let before = rig.now();
        let wait = rig.client.wait_until("x", near(5.0, 0.1)).hold(SECOND);
        wait.await.unwrap();
        let took = rig.now().saturating_duration_since(before);
        assert!((1300 * MILLI..1500 * MILLI).contains(&took), "{took:?}");
        let short = rig.client.wait_until("x", near(5.0, 0.1)).hold(SECOND);
        assert!(short.timeout(500 * MILLI).await.is_err());
        rig.client
            .wait_until("x", near(5.0, 0.1))
            .hold(SECOND)
            .timeout(SECOND)
            .await
            .unwrap_err();
    });
}

#[test]
fn a_lost_pv_is_not_there_until_it_is_back() {
    let rig = Rig::new();
    rig.run(async {
        let wait = rig
            .client
            .wait_until_all([("a", near(0.0, 0.1)), ("b", near(1.0, 0.1))]);
        rig.rt.partition(crate::rig::IOC, crate::rig::CLIENT, true);
        let error = wait.timeout(SECOND).await.unwrap_err();
        assert!(
            error.to_string().contains("\"a\" is not connected"),
            "{error}"
        );
        rig.rt.partition(crate::rig::IOC, crate::rig::CLIENT, false);
        rig.post("b", 1.0);
        let again = rig
            .client
            .wait_until_all([("a", near(0.0, 0.1)), ("b", near(1.0, 0.1))]);
        again.timeout(60 * SECOND).await.unwrap();
    });
}

#[test]
fn texts_and_states_match() {
    let rig = Rig::new();
    rig.run(async {
        rig.client.wait_until("note", text("hello")).await.unwrap();
        rig.client.wait_until("state", text("Off")).await.unwrap();
        rig.client
            .wait_until("state", near(0.0, 0.0))
            .await
            .unwrap();
        rig.client.wait_until("n", between(2.0, 4.0)).await.unwrap();
        rig.client.wait_until("x", at_most(0.0)).await.unwrap();
        let error = rig
            .client
            .wait_until("state", text("on"))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"state\" can never be what is wanted, nothing was put: there is no state \"on\"; the \
             states are Off, On"
        );
        let error = rig
            .client
            .wait_until("note", near(1.0, 0.0))
            .timeout(SECOND)
            .await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("\"note\" "), "{error}");
    });
}

#[test]
fn put_and_match_waits_for_the_read_back() {
    let rig = Rig::new();
    rig.follow("set", "read", 0.1);
    rig.run(async {
        let matched = rig
            .client
            .put_and_match("set", 5.0, "read", near(5.0, 0.05))
            .await
            .unwrap();
        assert_eq!(matched.put, 1);
        assert!(matched.elapsed > 400 * MILLI, "{matched:?}");
        let slow = rig
            .client
            .put_and_match("set", 50.0, "read", near(50.0, 0.05));
        let error = slow.timeout(SECOND).await.unwrap_err();
        assert!(error.has_moved() && error.is_timeout(), "{error}");
        assert_eq!(error.pv(), "read");
        let waited = rig
            .client
            .put_and_match("slow", 1.0, "slow", near(1.0, 0.0))
            .wait();
        assert!(waited.await.unwrap().elapsed >= 2 * SECOND);
    });
}

#[test]
fn what_can_never_match_is_refused_before_anything_moves() {
    let rig = Rig::new();
    let never = [
        ("x", near(1.0, f64::NAN)),
        ("x", near(1.0, -1.0)),
        ("x", near(f64::NAN, 1.0)),
        ("x", between(2.0, 1.0)),
        ("n", near(1.5, 0.1)),
        ("f", near(0.1, 0.0)),
        ("state", text("Broken")),
        ("nobody", near(1.0, 0.1)),
    ];
    rig.run(async {
        for (pv, condition) in never {
            let settings = [("set", 1.0, "x", near(0.0, 1.0)), ("a", 1.0, pv, condition)];
            let put = rig.client.put_and_match_all(settings).timeout(SECOND);
            let error = put.await.unwrap_err();
            assert!(!error.has_moved(), "{error}");
            assert_eq!((rig.number("set"), rig.number("a")), (0.0, 0.0), "{error}");
            assert!(!error.remedy().is_empty());
        }
        let put = rig
            .client
            .put_and_match("set", "x".repeat(50), "x", near(0.0, 1.0));
        let error = put.await.unwrap_err();
        assert!(!error.has_moved(), "{error}");
        let type_of = rig
            .client
            .wait_until("n", near(1.5, 0.1))
            .await
            .unwrap_err();
        let MatchError::Impossible {
            reason: Impossible::Type { closest, .. },
            ..
        } = type_of
        else {
            panic!("{type_of}");
        };
        assert!(closest == 1.0 || closest == 2.0);
    });
}

#[test]
fn a_refused_put_is_an_error() {
    let rig = Rig::new();
    rig.run(async {
        let put = rig
            .client
            .put_and_match("fussy", 9.0, "x", near(0.0, 1.0))
            .await;
        let error = put.unwrap_err();
        assert_eq!((error.pv(), error.has_moved()), ("fussy", false), "{error}");
        let put = rig
            .client
            .put_and_match("fixed", 9.0, "x", near(0.0, 1.0))
            .await;
        assert_eq!(put.unwrap_err().pv(), "fixed");
        let all = [
            ("a", 9.0, "a", near(9.0, 0.1)),
            ("fixed", 9.0, "fixed", near(9.0, 1.0)),
        ];
        let error = rig.client.put_and_match_all(all).await.unwrap_err();
        assert_eq!(error, MatchError::NoAccess { pv: "fixed".into() });
        let put = rig
            .client
            .put_and_match("a", 9.0, "a", near(9.0, 0.1))
            .trigger("fixed", 1.0);
        assert!(!put.await.unwrap_err().has_moved());
        assert_eq!(rig.number("a"), 0.0);
        let some = [
            ("a", 9.0, "a", near(9.0, 0.1)),
            ("fussy", 9.0, "fussy", near(9.0, 1.0)),
        ];
        let error = rig.client.put_and_match_all(some).await.unwrap_err();
        assert!(error.has_moved() && error.pv() == "fussy", "{error}");
    });
}

#[test]
fn compare_leaves_alone_what_is_there() {
    let rig = Rig::new();
    rig.post("a", 4.999);
    rig.run(async {
        let settings = ["a", "b"].map(|pv| (pv, 5.0, pv, near(5.0, 0.01)));
        let matched = rig.client.compare_and_match(settings).await.unwrap();
        assert_eq!(matched.put, 1);
        assert_eq!((rig.number("a"), rig.number("b")), (4.999, 5.0));
    });
}

#[test]
fn the_trigger_comes_last() {
    let rig = Rig::new();
    rig.run(async {
        let put = rig
            .client
            .put_and_match_all([("a", 1.0, "a", near(1.0, 0.0))]);
        let matched = put.trigger("b", 1.0).await.unwrap();
        assert_eq!((matched.put, rig.number("b")), (2, 1.0));
        let put = rig
            .client
            .put_and_match("fussy", 9.0, "x", near(0.0, 1.0))
            .trigger("c", 1.0);
        put.await.unwrap_err();
        assert_eq!(rig.number("c"), 0.0);
    });
}

#[test]
fn matches_may_be_dropped_at_any_poll() {
    survives(
        async |client| client.wait_until("state", text("Off")).await,
        |_, _, _| {},
    );
    survives(
        async |client| {
            let wanted = [("a", near(0.0, 1.0)), ("b", near(0.0, 1.0))];
            client.wait_until_all(wanted).hold(SECOND).await
        },
        |_, _, _| {},
    );
    survives(
        async |client| {
            client
                .put_and_match("set", 5.0, "set", near(5.0, 1.0))
                .await
        },
        |rig, moment, done| {
            let now = rig.number("set");
            assert!(!done || now == 5.0, "{now} after {moment:?}");
            rig.post("set", 0.0);
        },
    );
    survives(
        async |client| {
            let all = ["a", "b"].map(|pv| (pv, 5.0, pv, near(5.0, 0.01)));
            client.compare_and_match(all).trigger("c", 1.0).await
        },
        |_, _, _| {},
    );
}
