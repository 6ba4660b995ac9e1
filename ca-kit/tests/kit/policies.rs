//! Channels that are dealt with by a policy.

use std::time::Duration;

use ca_client::{EnumState, GetError};
use ca_kit::{Kit, Patience, Policy, PolicyError, Source};

use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, survives};

#[test]
fn policies_that_make_no_sense_are_refused() {
    let rig = Rig::new();
    let adjusting = |first, least, most| Patience::Adjusting { first, least, most };
    for patience in [
        adjusting(SECOND, 2 * SECOND, 3 * SECOND),
        adjusting(4 * SECOND, 2 * SECOND, 3 * SECOND),
        adjusting(SECOND, 3 * SECOND, 2 * SECOND),
        adjusting(Duration::ZERO, Duration::ZERO, 2 * SECOND),
    ] {
        let refused = rig
            .client
            .with_policy::<f64>("x", Policy::new().request(patience));
        assert!(matches!(refused, Err(PolicyError::Bounds { .. })));
    }
    let refused = rig
        .client
        .with_policy::<f64>("x", Policy::new().retries(1001));
    assert!(matches!(refused, Err(PolicyError::Retries(1001))));
}

#[test]
fn time_outs_adjust_themselves_within_bounds() {
    let rig = Rig::new();
    rig.run(async {
        let patience = Patience::Adjusting {
            first: 400 * MILLI,
            least: 50 * MILLI,
            most: 5 * SECOND,
        };
        let policy = Policy::new()
            .request(patience)
            .retries(3)
            .pause(100 * MILLI);
        let x = rig.client.with_policy::<f64>("x", policy).unwrap();
        for _ in 0..20 {
            x.get().await.unwrap();
        }
        assert_eq!(x.patience().1, 50 * MILLI, "answers are quick");
        rig.rt.partition(IOC, CLIENT, true);
        let before = rig.now();
        let error = x.get().await.unwrap_err();
        let took = rig.now().saturating_duration_since(before);
        // 50, 100, 200 and 400 ms, and three pauses.
        assert_eq!(took, 1050 * MILLI, "{error}");
        assert!(
            matches!(error, PolicyError::Get { tries: 4, .. }),
            "{error}"
        );
        assert!(
            error.is_timeout() && error.to_string().ends_with("(tried 4 times)"),
            "{error}"
        );
        assert_eq!(x.patience().1, 800 * MILLI);
        let _ = x.get().await;
        assert_eq!(x.patience().1, 5 * SECOND, "not above its bound");
    });
}

#[test]
fn connections_have_their_own_time_and_puts_are_not_repeated() {
    let rig = Rig::new();
    rig.run(async {
        let policy = Policy::new()
            .connect(Patience::Fixed(200 * MILLI))
            .request(Patience::Fixed(SECOND))
            .retries(2);
        let nobody = rig.client.with_policy::<f64>("nobody", policy).unwrap();
        let before = rig.now();
        let error = nobody.get().await.unwrap_err();
        assert!(
            matches!(
                error,
                PolicyError::Get {
                    error: GetError::Open(_),
                    tries: 3
                }
            ),
            "{error:?}"
        );
        assert_eq!(rig.now().saturating_duration_since(before), 600 * MILLI);
        let error = nobody.put(1.0).await.unwrap_err();
        assert!(
            matches!(error, PolicyError::Connect { tries: 3, .. }),
            "{error}"
        );
        let never = rig.client.with_policy::<f64>("never", policy).unwrap();
        let error = never.put(1.0).await.unwrap_err();
        assert!(
            matches!(error, PolicyError::Put { tries: 1, .. }),
            "{error}"
        );
        let text = rig.client.with_policy::<String>("note", policy).unwrap();
        assert!(matches!(
            text.put("x".repeat(50)).await,
            Err(PolicyError::Put { tries: 0, .. })
        ));
        text.put("good").await.unwrap();
        assert_eq!(text.get().await.unwrap(), "good");
    });
}

#[test]
fn values_come_from_the_cache_of_a_monitor() {
    let rig = Rig::new();
    rig.run(async {
        let cache = rig
            .client
            .with_policy::<f64>("x", Policy::new().source(Source::Cache))
            .unwrap();
        let error = cache.get().await.unwrap_err();
        assert_eq!(error, PolicyError::NoValue { pv: "x".into() });
        let waits = Policy::new().source(Source::CacheOrWait);
        let first = rig.client.with_policy::<f64>("x", waits).unwrap();
        // Two at once wait for the same first value.
        let (a, b) = futures_util::future::join(first.get(), first.get()).await;
        assert_eq!((a, b), (Ok(0.0), Ok(0.0)));
        for n in 1..=10 {
            rig.post("x", f64::from(n));
        }
        rig.rt.sleep(SECOND).await;
        let before = (rig.client.stats(), rig.rt.net(|net| net.stats.bytes));
        assert_eq!((cache.get().await, first.get().await), (Ok(10.0), Ok(10.0)));
        assert_eq!(
            (rig.client.stats(), rig.rt.net(|net| net.stats.bytes)),
            before,
            "no request"
        );
        let state = rig.client.with_policy::<EnumState>("state", waits).unwrap();
        assert_eq!(state.get().await.unwrap().label.as_deref(), Some("Off"));
        // What was is not what is.
        rig.rt.partition(IOC, CLIENT, true);
        rig.rt.sleep(300 * SECOND).await;
        assert!(matches!(
            cache.get().await,
            Err(PolicyError::NoValue { .. })
        ));
        let before = rig.now();
        assert!(first.get().await.is_err());
        assert_eq!(rig.now().saturating_duration_since(before), 10 * SECOND);
    });
}

#[test]
fn policies_may_be_dropped_at_any_poll() {
    for source in [Source::Server, Source::CacheOrWait] {
        survives(
            async |client| {
                let a = client
                    .with_policy::<f64>("a", Policy::new().source(source))
                    .unwrap();
                a.get().await
            },
            |_, _, _| {},
        );
    }
    survives(
        async |client| {
            let policy = Policy::new()
                .retries(2)
                .connect(Patience::Fixed(100 * MILLI));
            client
                .with_policy::<f64>("nobody", policy)
                .unwrap()
                .put(1.0)
                .await
        },
        |_, _, _| {},
    );
}
