//! Many channels at once: each has its own result, in time, whatever the others do.

use ca_client::{AccessRights, GetError, PutError};
use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::rig::{CLIENT, IOC, MILLI, OTHER_IOC, Rig, SECOND, client, run, serve, usual};
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::runtime::SimRuntime;

#[test]
fn each_channel_has_its_own_result() {
    let rig = Rig::new(0);
    rig.run(async {
        let client = &rig.client;
        let open = |name: &str| client.open(name).unwrap();
        let channels = ["x", "nobody", "note", "wave", "x"].map(open);
        let start = rig.now();
        let values = client.get_many::<f64>(&channels).timeout(SECOND).await;
        assert_eq!(rig.now() - start, SECOND, "nobody is waited for");
        assert_eq!(values[0], Ok(1.5));
        assert!(
            matches!(values[1], Err(GetError::NotConnected(_))),
            "{values:?}"
        );
        assert!(
            matches!(values[2], Err(GetError::Failed { .. })),
            "{values:?}"
        );
        assert_eq!((&values[3], &values[4]), (&Ok(1.0), &Ok(1.5)));
        let error = values[1].as_ref().unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");

        // What does not wait for anybody takes no time but the network's.
        let connected = [&channels[0], &channels[3]];
        let start = rig.now();
        assert_eq!(
            client.get_many(connected).timeout(SECOND).await,
            [Ok(1.5), Ok(1.0)]
        );
        assert!(rig.now() - start < 100 * MILLI);
        assert_eq!(client.get_many::<f64>([""; 0]).timeout(SECOND).await, []);
    });
}

#[test]
fn writes_keep_their_order_and_have_their_own_results() {
    let rig = Rig::new(0);
    rig.run(async {
        let client = &rig.client;
        let open = |name: &str| client.open(name).unwrap();
        let [x, wave, nobody] = ["x", "wave", "nobody"].map(open);
        // Of a channel that is not connected yet, too.
        let values = [
            (&x, 1.0),
            (&wave, 7.0),
            (&x, 2.0),
            (&nobody, 0.0),
            (&x, 3.0),
        ];
        let results = client.put_many(values).timeout(SECOND).await;
        let ok: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(ok, [true, true, true, false, true]);
        let now = client.get_many::<f64>([&x, &wave]).timeout(SECOND).await;
        assert_eq!(now, [Ok(3.0), Ok(7.0)]);

        let long = "a text that is longer than what a DBR_STRING can hold";
        let results = client
            .put_many([(&x, "4"), (&x, long), (&wave, "5")])
            .wait()
            .timeout(SECOND);
        let results = results.await;
        assert_eq!((&results[0], &results[2]), (&Ok(()), &Ok(())));
        assert!(
            matches!(results[1], Err(PutError::Value { .. })),
            "{results:?}"
        );
        assert_eq!(x.get::<f64>().await, Ok(4.0));
    });
}

#[test]
fn completion_is_waited_for_within_the_deadline() {
    let rig = Rig::new(0);
    rig.run(async {
        let client = &rig.client;
        let open = |name: &str| client.open(name).unwrap();
        let channels = ["x", "slow", "never"].map(open);
        let start = rig.now();
        let values = channels.iter().map(|channel| (channel, 3.0));
        let results = client.put_many(values).wait().timeout(5 * SECOND).await;
        assert_eq!((&results[0], &results[1]), (&Ok(()), &Ok(())));
        assert!(
            matches!(results[2], Err(PutError::TimedOut(_))),
            "{results:?}"
        );
        assert!(rig.now() - start < 6 * SECOND);
    });
}

#[test]
fn access_and_counts_are_judged_per_channel() {
    let rig = Rig::new(0);
    rig.run(async {
        let client = &rig.client;
        let [x, wave] = [
            client.connect("x").await.unwrap(),
            client.connect("wave").await.unwrap(),
        ];
        rig.ioc
            .with(|ioc, now| ioc.set_rights(now, "x", AccessRights::READ))
            .unwrap();
        x.wait_for(|info| !info.rights().can_write()).await;
        let values = [
            (&x, vec![1.0]),
            (&wave, vec![0.0; 6]),
            (&wave, vec![9.0; 2]),
        ];
        let results = client.put_many(values).wait().timeout(SECOND).await;
        assert!(
            matches!(results[0], Err(PutError::NoAccess(_))),
            "{results:?}"
        );
        assert!(
            matches!(results[1], Err(PutError::BadRequest { .. })),
            "{results:?}"
        );
        assert_eq!(results[2], Ok(()));
    });
}

#[test]
fn a_lost_circuit_ends_what_was_sent_over_it() {
    let rig = Rig::new(0);
    rig.run(async {
        let client = &rig.client;
        let open = |name: &str| client.open(name).unwrap();
        let channels = ["slow", "never"].map(open);
        for channel in &channels {
            channel.connected().await.unwrap();
        }
        let values = channels.iter().map(|channel| (channel, 1.0));
        let mut results = Box::pin(client.put_many(values).wait().timeout(60 * SECOND));
        assert!(rig.rt.timeout(SECOND, &mut results).await.is_none());
        let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
        rig.rt.net(|net| net.reset(near, far));
        for result in results.await {
            assert!(
                matches!(result, Err(PutError::Disconnected(_))),
                "{result:?}"
            );
        }
    });
}

/// A circuit with a full queue keeps its own requests waiting, not those of another circuit.
#[test]
fn a_full_queue_does_not_hold_up_other_servers() {
    let rig = Rig::new(0);
    let _other = serve(
        &rig.rt,
        OTHER_IOC,
        Ioc::builder().pv("other", PvSpec::double(8.0)),
    );
    rig.run(async {
        let client = &rig.client;
        let big = client.connect("big").await.unwrap();
        let other = client.connect("other").await.unwrap();
        let before = client.stats();
        let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
        rig.rt.net(|net| net.hold(near, far));
        let fill = || big.put(vec![1.0; 20_000]).timeout(MILLI);
        while fill().await.is_ok() {}
        let values = client
            .get_many::<f64>([&big, &other, &big])
            .timeout(100 * MILLI)
            .await;
        assert_eq!(values[1], Ok(8.0));
        assert!(values[0].is_err() && values[2].is_err(), "{values:?}");

        let writes = (0..100).map(|n| (&big, vec![f64::from(n); 20_000]));
        let mut writes = Box::pin(client.put_many(writes).timeout(60 * SECOND));
        assert!(rig.rt.timeout(SECOND, &mut writes).await.is_none());
        rig.rt.net(|net| net.release(near, far));
        assert!(writes.await.iter().all(Result::is_ok));
        assert_eq!(big.get::<f64>().await, Ok(99.0));
        crate::rig::gives_back(&rig.rt, client, before).await;
    });
}

#[test]
fn the_end_of_the_client_ends_them() {
    let rig = Rig::new(0);
    rig.run(async {
        let never = rig.client.connect("never").await.unwrap();
        let nobody = rig.client.open("nobody").unwrap();
        let pairs = [(&never, 1.0), (&nobody, 1.0)];
        let mut results = Box::pin(rig.client.put_many(pairs).wait().timeout(60 * SECOND));
        assert!(rig.rt.timeout(SECOND, &mut results).await.is_none());
        rig.client.close().await;
        for result in results.await {
            assert!(matches!(result, Err(PutError::Closed(_))), "{result:?}");
        }
    });
}

#[test]
fn a_channel_of_another_client_is_refused() {
    let rt = SimRuntime::new(0);
    let _ioc = serve(&rt, IOC, usual());
    let (one, two) = (client(&rt, CLIENT), client(&rt, OTHER_IOC));
    run(&rt, async {
        let own = one.connect("x").await.unwrap();
        let foreign = two.connect("x").await.unwrap();
        let values = one.get_many::<f64>([&own, &foreign]).timeout(SECOND).await;
        assert_eq!(values[0], Ok(1.5));
        assert!(matches!(values[1], Err(GetError::Closed(_))), "{values:?}");
    });
}

/// Batches that overlap, more of them than fit a queue.
#[test]
fn many_batches_at_once() {
    for seed in 0..4 {
        let rig = Rig::shuffled(seed);
        rig.run(async {
            let client = &rig.client;
            let open = |name: &str| client.open(name).unwrap();
            let channels = ["x", "wave", "state"].map(open);
            let all: Vec<_> = channels.iter().cycle().take(10_000).collect();
            let batch = || {
                client
                    .get_many::<f64>(all.iter().copied())
                    .timeout(60 * SECOND)
            };
            let mut batches: FuturesUnordered<_> = std::iter::repeat_with(batch).take(5).collect();
            while let Some(values) = batches.next().await {
                let expected = [Ok(1.5), Ok(1.0), Ok(1.0)];
                assert!(values.iter().eq(expected.iter().cycle().take(10_000)));
            }
            assert_eq!(client.stats().waiting_for_answer, 0);
        });
    }
}
