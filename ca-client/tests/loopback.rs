//! The client against the server core over real sockets on loopback.

mod support;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ca_client::{
    AccessRights, ChannelState, Client, ClientBuilder, ClientEvent, CloseReason, ConnectError,
    DbrType, EcaStatus, EnumIndex, EnumState, EventMask, Family, GetError, Monitor, MonitorEvent,
    NativeType, Overflow, Phase, PutError, ReadSpec, Reading, Stamped, Trouble, TypeSpec, Value,
    ValueError,
};
use ca_server_sim::{Ioc, NetConfig, PvSpec};
use futures_util::StreamExt;
use futures_util::future::join_all;
use support::{PATIENCE, Server, pvs};

const SECOND: Duration = Duration::from_secs(1);

/// The next item, which comes in time.
async fn next(subscription: &mut Monitor) -> MonitorEvent {
    let item = tokio::time::timeout(PATIENCE, subscription.next()).await;
    item.expect("an item comes in time")
        .expect("the client is open")
}

#[tokio::test]
async fn every_kind_of_value_is_read() {
    let server = Server::start(pvs());
    let client = server.client();
    let analog = client.connect("t:analog").await.unwrap();
    assert_eq!(analog.get::<f64>().await, Ok(1.5));
    assert_eq!(analog.get::<f32>().await, Ok(1.5));
    assert_eq!(analog.get::<i32>().await, Ok(1));
    assert_eq!(analog.get::<u16>().await, Ok(1));
    assert_eq!(analog.get::<bool>().await, Ok(true));
    assert_eq!(analog.get::<String>().await.as_deref(), Ok("1.500"));
    assert_eq!(analog.get::<Vec<i16>>().await, Ok(vec![1]));
    let stamped: Stamped<f64> = analog.get().await.unwrap();
    assert_eq!((stamped.value, stamped.timestamp.nanos), (1.5, 123_456_789));
    let meta = analog.metadata().await.unwrap();
    assert_eq!(meta.units().unwrap().as_bytes(), b"mm");
    assert_eq!(meta.precision(), Some(3));
    let reading = analog.get::<Reading>().await.unwrap();
    assert_eq!(reading.ty(), DbrType::new(Family::Time, NativeType::Double));

    let state = client.connect("t:state").await.unwrap();
    let on = EnumState {
        index: 1,
        label: Some("On".into()),
    };
    assert_eq!(state.get::<EnumState>().await, Ok(on));
    assert_eq!(state.get::<EnumIndex>().await, Ok(EnumIndex(1)));
    assert_eq!(state.get::<String>().await.as_deref(), Ok("On"));

    let text = client.connect("t:text").await.unwrap();
    assert_eq!(text.get::<String>().await.as_deref(), Ok("hello"));

    let wave = client.connect("t:wave").await.unwrap();
    assert_eq!(
        wave.get::<Vec<f64>>().await.unwrap(),
        [1.0, 2.0, 3.0, 4.0, 5.0]
    );
    let spec = ReadSpec {
        ty: TypeSpec::Exact(DbrType::new(Family::Sts, NativeType::Long)),
        count: 2,
    };
    let two = wave.get::<Reading>().spec(spec).await.unwrap();
    assert_eq!(
        two.value().elements::<i32>().unwrap().collect::<Vec<_>>(),
        [1, 2]
    );
}

#[tokio::test]
async fn a_large_array_is_handed_out_without_a_copy() {
    let server = Server::start(pvs());
    let client = server.client();
    let large = client.connect("t:large").await.unwrap();
    let reading = large.get::<Reading>().await.unwrap();
    let bytes = reading.value_bytes();
    assert_eq!(bytes.len(), 8_000_000);
    assert_eq!(bytes.as_ptr(), reading.value().data.as_ptr());
    let bytes: Bytes = large.get().await.unwrap();
    assert_eq!(bytes.last_chunk(), Some(&999_999.0f64.to_be_bytes()));
    let sum: f64 = large.get::<Vec<f64>>().await.unwrap().iter().sum();
    assert_eq!(sum, 499_999_500_000.0);
    // And back again.
    let mut doubled: Vec<f64> = (0..1_000_000).map(f64::from).collect();
    doubled.iter_mut().for_each(|x| *x *= 2.0);
    large.put(&doubled).wait().await.unwrap();
    assert_eq!(large.get::<Vec<f64>>().await.unwrap(), doubled);
}

#[tokio::test]
async fn writes_are_converted_ordered_and_completed() {
    let server = Server::start(pvs());
    let client = server.client();
    let analog = client.connect("t:analog").await.unwrap();
    for n in 0..100 {
        analog.put(n).await.unwrap();
    }
    // The read goes behind the writes on the same circuit.
    assert_eq!(analog.get::<f64>().await, Ok(99.0));
    analog.put("2.25").wait().await.unwrap();
    assert_eq!(server.value("t:analog"), Value::from(2.25));
    let failed = analog.put("no number").wait().await.unwrap_err();
    assert!(matches!(&failed, PutError::Failed { status, .. } if *status == EcaStatus::PUTFAIL));
    assert!(
        failed.to_string().contains("\"t:analog\" at 127.0.0.1:"),
        "{failed}"
    );

    let state = client.connect("t:state").await.unwrap();
    state.put("Auto").wait().await.unwrap();
    assert_eq!(state.get::<EnumState>().await.unwrap().index, 2);

    let long = "x".repeat(40);
    let refused = analog.put(long.as_str()).await.unwrap_err();
    let reason = ValueError::TextTooLong(40);
    assert_eq!(
        refused,
        PutError::Value {
            pv: "t:analog".into(),
            reason
        }
    );

    let fixed = client.connect("t:fixed").await.unwrap();
    assert!(matches!(fixed.put(1).await, Err(PutError::NoAccess(_))));
    let wave = client.connect("t:wave").await.unwrap();
    assert!(matches!(
        wave.put([0.0; 6]).await,
        Err(PutError::BadRequest { .. })
    ));
}

#[tokio::test]
async fn a_put_notify_returns_when_the_server_is_done() {
    let server = Server::start(pvs());
    let client = server.client();
    let slow = client.connect("t:slow").await.unwrap();
    let impatient = slow.put(1.0).wait().timeout(SECOND / 20);
    let error = impatient.await.unwrap_err();
    assert!(matches!(error, PutError::TimedOut(_)), "{error}");
    server.has_a_put().await;
    assert!(server.complete_put(EcaStatus::NORMAL));

    let waiting = slow.put(2.0).wait();
    let completing = async {
        server.has_a_put().await;
        assert!(server.complete_put(EcaStatus::PUTFAIL));
    };
    let (result, ()) = tokio::join!(waiting, completing);
    assert!(matches!(
        result,
        Err(PutError::Failed {
            status: EcaStatus::PUTFAIL,
            ..
        })
    ));
}

#[tokio::test]
async fn ten_thousand_reads_in_flight_all_get_their_answer() {
    let server = Server::start(pvs());
    let client = server.client();
    let analog = client.connect("t:analog").await.unwrap();
    let fixed = client.connect("t:fixed").await.unwrap();
    // More than the send queue holds (256 KiB), so some have to wait for room.
    let reads = (0..20_000).map(|n| {
        let channel = if n % 2 == 0 { &analog } else { &fixed };
        async move { (n, channel.get::<f64>().await) }
    });
    for (n, value) in join_all(reads).await {
        assert_eq!(value, Ok(if n % 2 == 0 { 1.5 } else { 7.0 }));
    }
}

#[tokio::test]
async fn a_subscription_delivers_the_start_and_every_change() {
    let server = Server::start(pvs());
    let client = server.client();
    let analog = client.connect("t:analog").await.unwrap();
    let mut monitor = analog.monitor::<Reading>().depth(100).start().unwrap();
    assert_eq!(next(&mut monitor).await.value_as::<f64>(), Some(1.5));
    for n in 0..10 {
        server.post("t:analog", f64::from(n));
        assert_eq!(
            next(&mut monitor).await.value_as::<f64>(),
            Some(f64::from(n))
        );
    }
    assert_eq!(monitor.try_next(), None);
    assert_eq!(server.counts(), (1, 1, 1));
    drop(monitor);
    server.reaches((1, 1, 0)).await;
    drop(analog);
    server.reaches((0, 0, 0)).await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_latest_value_and_the_number_it_missed() {
    let server = Server::start(pvs());
    let client = server.client();
    let analog = client.connect("t:analog").await.unwrap();
    let mut few = analog.monitor::<Reading>().depth(2).start().unwrap();
    let mut newest = analog
        .monitor::<Reading>()
        .mask(EventMask::VALUE)
        .overflow(Overflow::LatestOnly)
        .start()
        .unwrap();
    let mut all = analog.monitor::<Reading>().depth(1000).start().unwrap();
    // The first updates are there before the first change.
    analog.get::<f64>().await.unwrap();
    for n in 1..=50 {
        server.post("t:analog", f64::from(n));
        // One round trip each, so that the server cannot coalesce.
        analog.get::<f64>().await.unwrap();
    }
    let mut values = 0;
    let mut skipped_at_server = 0;
    while let Some(MonitorEvent::Update { skipped, .. }) = all.try_next() {
        values += 1;
        skipped_at_server += skipped;
    }
    assert_eq!((values, skipped_at_server), (51, 0));
    assert_eq!(few.try_next().unwrap().value_as(), Some(1.5));
    let Some(MonitorEvent::Update {
        value: reading,
        skipped,
    }) = few.try_next()
    else {
        panic!("the second item is an update");
    };
    assert_eq!((reading.get_f64(0), skipped), (Some(50.0), 49));
    assert_eq!(few.try_next(), None);
    let Some(MonitorEvent::Update {
        value: reading,
        skipped,
    }) = newest.latest()
    else {
        panic!("there is an update");
    };
    assert_eq!((reading.get_f64(0), skipped), (Some(50.0), 50));
    assert_eq!(newest.latest(), None);
}

#[tokio::test]
async fn access_rights_are_values_and_can_be_waited_for() {
    let server = Server::start(pvs());
    let client = server.client();
    let fixed = client.connect("t:fixed").await.unwrap();
    let mut monitor = fixed.monitor::<Reading>().start().unwrap();
    assert!(next(&mut monitor).await.value().is_some());
    assert_eq!(fixed.info().unwrap().rights(), AccessRights::READ);
    server.set_rights("t:fixed", AccessRights::ALL);
    assert!(fixed.wait_for(|info| info.rights().can_write()).await);
    fixed.put(8).wait().await.unwrap();
    server.set_rights("t:fixed", AccessRights::NONE);
    fixed.wait_for(|info| !info.rights().can_read()).await;
    assert!(matches!(
        fixed.get::<i32>().await,
        Err(GetError::NoAccess(_))
    ));
    let failed = async {
        while !matches!(
            next(&mut monitor).await,
            MonitorEvent::Failed(EcaStatus::NORDACCESS)
        ) {}
    };
    failed.await;
}

#[tokio::test]
async fn subscriptions_survive_a_restart_of_the_server() {
    let server = Server::start(pvs());
    let builder = Client::builder().isolated([server.udp]).timeout(PATIENCE);
    // A short pause before lost channels are searched again keeps the test short.
    let client = builder
        .params(|p| p.reconnect_delay(SECOND / 10))
        .build()
        .unwrap();
    let analog = client.connect("t:analog").await.unwrap();
    let mut monitor = analog.monitor::<Reading>().start().unwrap();
    assert_eq!(next(&mut monitor).await.value_as::<f64>(), Some(1.5));
    let udp = server.udp;
    server.stop().await;
    assert_eq!(next(&mut monitor).await, MonitorEvent::Disconnected);
    assert!(!analog.is_connected());
    let server = Server::start_on(vec![("t:analog", PvSpec::long(17))], udp.port());
    assert_eq!(next(&mut monitor).await, MonitorEvent::Connected);
    assert_eq!(next(&mut monitor).await.value_as::<i32>(), Some(17));
    assert_eq!(
        analog.info().unwrap().connection().unwrap().native,
        NativeType::Long
    );
    assert_eq!(analog.info().unwrap().server(), Some(server.tcp));
    client.close().await;
    assert_eq!(monitor.next().await, None);
    server.reaches((0, 0, 0)).await;
}

#[tokio::test]
async fn a_pv_that_nobody_has_is_named_with_where_it_was_searched() {
    let server = Server::start(pvs());
    let builder = Client::builder().isolated([server.udp]);
    let client = builder.timeout(SECOND / 4).build().unwrap();
    // Until a search has left, however late that is.
    let mut searched = None;
    for _ in 0..100 {
        let error = client.connect("no:such:pv").await.unwrap_err();
        let ConnectError::TimedOut(context) = &error else {
            panic!("{error:?}");
        };
        if matches!(&context.phase, Phase::Searching { attempts, .. } if *attempts > 0) {
            searched = Some((context.clone(), error));
            break;
        }
    }
    let (context, error) = searched.expect("it is searched for");
    assert_eq!((context.pv.as_str(), context.peer), ("no:such:pv", None));
    assert!(context.elapsed >= SECOND / 4);
    let text = error.to_string();
    assert!(
        text.contains("\"no:such:pv\"") && text.contains(&server.udp.to_string()),
        "{text}"
    );
    let error = client.open("").unwrap_err();
    assert!(matches!(error, ConnectError::BadName { .. }), "{error}");
}

#[tokio::test]
async fn many_pvs_give_each_a_value_or_an_error() {
    let server = Server::start(pvs());
    let client = server.client();
    let names = ["t:analog", "nobody", "t:text", "t:fixed"];
    // One of them uses up the time, which is too short for the others where much else is to be done.
    let mut values = client.get_many::<f64>(&names).timeout(3 * SECOND).await;
    if values[0].is_err() || values[3].is_err() {
        values = client.get_many::<f64>(&names).timeout(30 * SECOND).await;
    }
    assert_eq!(values[0], Ok(1.5));
    assert!(matches!(values[1], Err(GetError::NotConnected(_))));
    assert!(
        matches!(values[2], Err(GetError::Failed { .. })),
        "{:?}",
        values[2]
    );
    assert_eq!(values[3], Ok(7.0));
    let pairs = [("t:analog", 4.0), ("nobody", 1.0), ("t:fixed", 1.0)];
    let mut written = client.put_many(pairs).wait().timeout(3 * SECOND).await;
    if written[0].is_err() || matches!(written[2], Err(PutError::NotConnected(_))) {
        written = client.put_many(pairs).wait().timeout(30 * SECOND).await;
    }
    assert_eq!(written[0], Ok(()));
    assert!(matches!(written[1], Err(PutError::NotConnected(_))));
    assert!(matches!(written[2], Err(PutError::NoAccess(_))));
    assert_eq!(server.value("t:analog"), Value::from(4.0));
}

#[tokio::test]
async fn operations_wait_for_the_connection() {
    let server = Server::start(pvs());
    let client = server.client();
    let channel = client.open("t:analog").unwrap();
    assert_eq!(channel.state(), Some(ChannelState::Searching));
    assert_eq!(channel.get::<f64>().await, Ok(1.5));
}

#[tokio::test]
async fn futures_dropped_at_any_poll_leave_nothing_behind() {
    let server = Server::start(pvs());
    let client = server.client();
    let slow = client.connect("t:slow").await.unwrap();
    for polls in 0..6 {
        let mut opening = Box::pin(client.connect("t:wave"));
        let mut reading = Box::pin(slow.get::<f64>());
        let mut writing = Box::pin(slow.put(1.0).wait());
        let mut done = [false; 3];
        for _ in 0..polls {
            done[0] = done[0] || futures_util::poll!(&mut opening).is_ready();
            done[1] = done[1] || futures_util::poll!(&mut reading).is_ready();
            done[2] = done[2] || futures_util::poll!(&mut writing).is_ready();
            tokio::task::yield_now().await;
        }
        drop((opening, reading, writing));
    }
    assert_eq!(slow.get::<f64>().await, Ok(1.0));
    server.reaches((1, 1, 0)).await;
    client.close().await;
    assert!(matches!(slow.get::<f64>().await, Err(GetError::Closed(_))));
    assert!(matches!(
        client.open("t:wave"),
        Err(ConnectError::Closed(_))
    ));
}

#[tokio::test]
async fn closing_ends_what_waits_and_leaves_no_task() {
    let server = Server::start(pvs());
    let client = server.client();
    let slow = client.connect("t:slow").await.unwrap();
    let unknown = client.open("nobody").unwrap();
    let mut monitor = slow.monitor::<Reading>().start().unwrap();
    assert_eq!(next(&mut monitor).await.value_as(), Some(0.0));
    let (put, read, open, items, ()) = tokio::join!(
        slow.put(1.0).wait(),
        unknown.get::<f64>(),
        unknown.connected(),
        monitor.collect::<Vec<_>>(),
        async {
            server.has_a_put().await;
            client.close().await;
        },
    );
    assert!(matches!(put, Err(PutError::Closed(_))), "{put:?}");
    assert!(matches!(read, Err(GetError::Closed(_))), "{read:?}");
    assert!(matches!(open, Err(ConnectError::Closed(_))), "{open:?}");
    assert_eq!(items, []);
    server.reaches((0, 0, 0)).await;
}

#[tokio::test]
async fn dropping_the_last_handle_clears_the_channels_at_the_server() {
    let server = Server::start(pvs());
    let client = server.client();
    let analog = client.connect("t:analog").await.unwrap();
    let monitor = analog.monitor::<Reading>().start().unwrap();
    drop((client, analog));
    server.reaches((1, 1, 1)).await;
    drop(monitor);
    server.reaches((0, 0, 0)).await;
}

#[tokio::test]
async fn a_checked_write_tells_its_refusal_and_no_other() {
    let server = Server::start(pvs());
    let client = server.client();
    let mut events = client.events();
    let analog = client.connect("t:analog").await.unwrap();
    analog.put(7.5).check().await.unwrap();
    assert_eq!(analog.get::<f64>().await.unwrap(), 7.5);
    let writes = ["1", "none", "2", "nothing"].map(|text| analog.put(text).check());
    let results = join_all(writes).await;
    let refused: Vec<bool> = results.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, false, true]);
    let Err(PutError::Failed { status, .. }) = results[1] else {
        panic!("{results:?}");
    };
    assert_eq!(status, EcaStatus::PUTFAIL);
    assert!(matches!(
        events.try_next(),
        Some(ClientEvent::Connected { .. })
    ));
    assert_eq!(events.try_next(), None, "told once");
}

#[tokio::test]
async fn events_tell_what_belongs_to_no_operation() {
    let server = Server::start(pvs());
    let client = server.client();
    let mut events = client.events();
    let analog = client.connect("t:analog").await.unwrap();
    let pv = || "t:analog".to_owned();
    assert_eq!(
        events.next().await,
        Some(ClientEvent::Connected { pv: pv() })
    );
    // Fire and forget: the refusal comes as an exception.
    analog.put("no number").await.unwrap();
    let Some(ClientEvent::Exception {
        pv: named,
        server: by,
        status,
        ..
    }) = events.next().await
    else {
        panic!("the server refuses the write");
    };
    assert_eq!((named, status), (Some(pv()), EcaStatus::PUTFAIL));
    assert_eq!(by, server.tcp);
    server.set_rights("t:analog", AccessRights::READ);
    let rights = AccessRights::READ;
    assert_eq!(
        events.next().await,
        Some(ClientEvent::AccessRights { pv: pv(), rights })
    );
    let address = server.tcp;
    server.stop().await;
    let rest: Vec<ClientEvent> = (&mut events).take(2).collect().await;
    let why = CloseReason::Eof;
    assert!(
        rest.contains(&ClientEvent::CircuitClosed {
            server: address,
            why
        }),
        "{rest:?}"
    );
    let why = Trouble::Circuit(why);
    assert!(
        rest.contains(&ClientEvent::Disconnected {
            pv: pv(),
            server: Some(address),
            why
        }),
        "{rest:?}"
    );
    client.close().await;
    assert_eq!(events.next().await, None);
    assert_eq!(events.lost(), 0);
}

/// A log that looks at the client, from another thread, whenever a line is written.
#[derive(Clone, Default)]
struct Looks(Arc<Mutex<(Option<Client>, Vec<bool>)>>);

impl tracing::Subscriber for Looks {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("ca_client")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let client = self.0.lock().unwrap().0.clone();
        let Some(client) = client.filter(|_| *event.metadata().level() <= tracing::Level::INFO)
        else {
            return;
        };
        let (send, seen) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(client.stats()));
        let seen = seen.recv_timeout(10 * SECOND).is_ok();
        self.0.lock().unwrap().1.push(seen);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Who writes a log may be slow, or never come back.
#[tokio::test]
async fn nothing_is_logged_while_the_client_is_locked() {
    let looks = Looks::default();
    // While there is only one dispatcher, a line that another test's thread reaches first stays off.
    let _second = tracing::Dispatch::new(looks.clone());
    let _here = tracing::subscriber::set_default(looks.clone());
    let server = Server::start(pvs());
    let client = server.client();
    let channel = client.connect("t:analog").await.unwrap();
    looks.0.lock().unwrap().0 = Some(client.clone());
    let mut events = client.events();
    server.stop().await;
    while !matches!(events.next().await, Some(ClientEvent::CircuitClosed { .. })) {}
    assert_eq!(looks.0.lock().unwrap().1, [true]);
    drop(channel);
    // It holds the client.
    looks.0.lock().unwrap().0 = None;
}

/// A host name in the address list whose address changes.
#[tokio::test]
async fn a_host_that_has_another_address_is_asked_there() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let ioc = Ioc::builder().pv("x", PvSpec::double(1.5));
    let ioc = ioc.serve(NetConfig::new()).await.unwrap();
    let moved = Arc::new(AtomicBool::new(false));
    let knows = moved.clone();
    let client = Client::builder()
        .without_env()
        .auto_addr_list(false)
        .repeater_port(0)
        .addr_list(&format!("the-ioc:{}", ioc.udp_port()))
        // Nobody listens at the first address.
        .look_up(Duration::from_millis(20), move |name| {
            assert_eq!(name, "the-ioc");
            let last = if knows.load(Ordering::Relaxed) { 1 } else { 9 };
            Some(Ipv4Addr::new(127, 0, 0, last))
        })
        .build()
        .unwrap();
    let x = client.open("x").unwrap();
    assert!(
        x.connected()
            .timeout(Duration::from_millis(50))
            .await
            .is_err()
    );
    moved.store(true, Ordering::Relaxed);
    x.connected()
        .timeout(Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(client.search_addrs(), [ioc.udp_addr()]);
    client.close().await;
}

/// The same of a name server.
#[tokio::test]
async fn a_name_server_that_has_another_address_is_asked_there() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let ioc = Ioc::builder().pv("x", PvSpec::double(1.5));
    let ioc = ioc.serve(NetConfig::new()).await.unwrap();
    let moved = Arc::new(AtomicBool::new(false));
    let knows = moved.clone();
    let list = format!("the-finder:{}", ioc.addr().port());
    let env = move |variable: &str| match variable {
        "EPICS_CA_NAME_SERVERS" => Some(list.clone()),
        "EPICS_CA_AUTO_ADDR_LIST" => Some("NO".to_owned()),
        _ => None,
    };
    let client = ClientBuilder::from_env(env)
        .repeater_port(0)
        // Nobody listens at the first address.
        .look_up(Duration::from_millis(20), move |name| {
            assert_eq!(name, "the-finder");
            let last = if knows.load(Ordering::Relaxed) { 1 } else { 9 };
            [Ipv4Addr::new(127, 0, 0, last)]
        })
        .build()
        .unwrap();
    let x = client.open("x").unwrap();
    let soon = x.connected().timeout(Duration::from_millis(50)).await;
    assert!(soon.is_err());
    moved.store(true, Ordering::Relaxed);
    x.connected()
        .timeout(Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(client.name_servers()[0].0, ioc.addr());
    client.close().await;
}
