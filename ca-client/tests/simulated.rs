//! The client against the simulated IOC on loopback: what only a whole IOC offers.

use std::time::Duration;

use bytes::Bytes;
use ca_client::{
    AccessRights, AlarmSeverity, Client, ClientEvent, DbrType, EnumIndex, EventMask, Family,
    GetError, LongString, Monitor, MonitorEvent, MonitorSpec, NativeType, Overflow, PutError,
    ReadSpec, Reading, TypeSpec, Value,
};
use ca_server_sim::{Ioc, IocBuilder, NetConfig, PvSpec, SimIoc};

const SECOND: Duration = Duration::from_secs(1);

async fn serve(builder: IocBuilder) -> (SimIoc, Client) {
    let ioc = builder.serve(NetConfig::new()).await.unwrap();
    let client = Client::builder().isolated([ioc.udp_addr()]);
    let client = client.timeout(60 * SECOND).build().unwrap();
    (ioc, client)
}

async fn one(spec: PvSpec) -> (SimIoc, Client, ca_client::Channel) {
    let (ioc, client) = serve(Ioc::builder().pv("x", spec)).await;
    let channel = client.connect("x").await.unwrap();
    (ioc, client, channel)
}

async fn next(subscription: &mut Monitor) -> MonitorEvent {
    let item = tokio::time::timeout(60 * SECOND, subscription.next()).await;
    item.expect("in time").expect("the client is open")
}

const fn exact(ty: DbrType) -> ReadSpec {
    ReadSpec {
        ty: TypeSpec::Exact(ty),
        count: 1,
    }
}

#[tokio::test]
async fn alarms_are_acknowledged() {
    let (_ioc, _client, x) = one(PvSpec::double(0.0).alarm(f64::NAN, 5.0)).await;
    x.put(6.0).wait().await.unwrap();
    x.put(0.0).wait().await.unwrap();
    let state = x
        .get::<Reading>()
        .spec(exact(DbrType::STSACK_STRING))
        .await
        .unwrap();
    let pending = state.acknowledge().unwrap();
    assert!(pending.transient);
    assert_eq!(pending.severity, AlarmSeverity::MAJOR);
    let severity = |s: AlarmSeverity| Value::scalar(EnumIndex(s.0));
    let acks = DbrType::PUT_ACKS;
    x.put(severity(AlarmSeverity::MAJOR))
        .ty(acks)
        .wait()
        .await
        .unwrap();
    x.put(Value::scalar(EnumIndex(0)))
        .ty(DbrType::PUT_ACKT)
        .await
        .unwrap();
    let state = x
        .get::<Reading>()
        .spec(exact(DbrType::STSACK_STRING))
        .await
        .unwrap();
    let pending = state.acknowledge().unwrap();
    assert!(!pending.transient);
    assert_eq!(pending.severity, AlarmSeverity::NO_ALARM);
}

#[tokio::test]
async fn the_record_type_is_told_as_class_name() {
    let (_ioc, _client, x) = one(PvSpec::long(1)).await;
    let class = x
        .get::<Reading>()
        .spec(exact(DbrType::CLASS_NAME))
        .await
        .unwrap();
    assert_eq!(class.string(0).as_deref(), Some("longout"));
}

#[tokio::test]
async fn long_strings_pass_the_39_bytes_of_a_string() {
    let text = "a description of forty bytes and no less";
    let spec = PvSpec::text("").capacity(1000);
    let (ioc, client, x) = one(spec.description(text)).await;
    let long = "ä long text ".repeat(50);
    x.put(LongString(long.clone())).wait().await.unwrap();
    assert_eq!(x.get::<LongString>().await, Ok(LongString(long)));
    let desc = client.connect("x.DESC$").await.unwrap();
    let info = desc.info().unwrap();
    let connection = info.connection().unwrap();
    assert_eq!(
        (connection.native, connection.count),
        (NativeType::Char, 41)
    );
    assert_eq!(desc.get::<LongString>().await, Ok(LongString(text.into())));
    desc.put(LongString("short".into())).wait().await.unwrap();
    assert_eq!(ioc.read("x.DESC").unwrap().value, Value::string("short"));
    // A fixed count ends with NUL.
    let three = ReadSpec {
        ty: TypeSpec::Family(Family::Time),
        count: 3,
    };
    let reading = desc.get::<Reading>().spec(three).await.unwrap();
    assert_eq!(reading.bytes(), Some(&b"sh\0"[..]));
}

#[tokio::test]
async fn an_array_of_64_mb_goes_there_and_back_and_is_released() {
    const ELEMENTS: usize = 8 << 20;
    let ioc = Ioc::builder().pv("x", PvSpec::array([0.0f64]).capacity(ELEMENTS as u32));
    let (ioc, client) = serve(ioc).await;
    let x = client.connect("x").await.unwrap();
    let mut monitor = x.monitor::<Reading>().start().unwrap();
    next(&mut monitor).await;
    let mut elements = vec![0; ELEMENTS * 8];
    elements[..8].copy_from_slice(&1.5f64.to_be_bytes());
    elements[ELEMENTS * 8 - 8..].copy_from_slice(&2.5f64.to_be_bytes());
    let sent = Bytes::from(elements);
    let value = Value::from_wire(NativeType::Double, sent.clone());
    x.put(value).wait().await.unwrap();
    let back: Bytes = x.get().await.unwrap();
    assert!(back == sent, "64 MiB come back as they were");
    let item = tokio::time::timeout(60 * SECOND, monitor.next()).await;
    let MonitorEvent::Update { value: reading, .. } = item.unwrap().unwrap() else {
        panic!("an update");
    };
    assert_eq!(reading.count() as usize, ELEMENTS);
    assert_eq!(reading.get_f64(ELEMENTS as u32 - 1), Some(2.5));
    // Nobody keeps a buffer whose value is gone: each is held by the one who shows it.
    drop((reading, monitor));
    x.put([7.0]).wait().await.unwrap();
    assert!(back.is_unique() && sent.is_unique());
    assert_eq!(x.get::<Vec<f64>>().await, Ok(vec![7.0]));
    assert_eq!(ioc.read("x").unwrap().value.count(), 1);
}

#[tokio::test]
async fn each_policy_keeps_and_counts_what_it_says() {
    let (ioc, _client, x) = one(PvSpec::long(0)).await;
    let spec = |policy| {
        MonitorSpec::of::<i32>()
            .mask(EventMask::VALUE)
            .overflow(policy)
            .depth(3)
    };
    let policies = [Overflow::Squash, Overflow::DropOldest, Overflow::LatestOnly];
    let mut monitors =
        policies.map(|policy| x.monitor::<Reading>().spec(spec(policy)).start().unwrap());
    x.get::<i32>().await.unwrap();
    for n in 1..=10 {
        ioc.post("x", n).unwrap();
        // A round trip, so that the server cannot coalesce.
        x.get::<i32>().await.unwrap();
    }
    let taken = |monitor: &mut Monitor| -> Vec<(i32, u64)> {
        let items = std::iter::from_fn(|| monitor.try_next());
        let value = |item: MonitorEvent| match &item {
            MonitorEvent::Update { skipped, .. } => (item.value_as().unwrap(), *skipped),
            other => panic!("{other:?}"),
        };
        items.map(value).collect()
    };
    let [squash, oldest, latest] = &mut monitors;
    assert_eq!(taken(squash), [(0, 0), (1, 0), (10, 8)]);
    assert_eq!(taken(oldest), [(8, 8), (9, 0), (10, 0)]);
    assert_eq!(taken(latest), [(10, 10)]);
}

#[tokio::test]
async fn changes_of_a_channel_are_a_stream() {
    let builder = Ioc::builder()
        .pv("x", PvSpec::long(0))
        .pv("y", PvSpec::long(0));
    let (ioc, client) = serve(builder).await;
    let (x, y) = (client.open("x").unwrap(), client.open("y").unwrap());
    let mut changes = x.changes();
    let pv = || "x".to_owned();
    assert_eq!(
        changes.next().await,
        Some(ClientEvent::Connected { pv: pv() })
    );
    y.connected().await.unwrap();
    let rights = AccessRights::READ;
    for name in ["y", "x"] {
        ioc.with(|ioc, now| ioc.set_rights(now, name, rights))
            .unwrap();
    }
    let denied = ClientEvent::AccessRights { pv: pv(), rights };
    assert_eq!(changes.next().await, Some(denied));
    ioc.stop().await;
    let lost = changes.next().await;
    assert!(
        matches!(&lost, Some(ClientEvent::Disconnected { pv, .. }) if pv == "x"),
        "{lost:?}"
    );
    client.close().await;
    assert_eq!(changes.next().await, None);
    assert_eq!(x.changes().next().await, None);
}

#[tokio::test]
async fn many_pvs_share_one_deadline() {
    let slow = PvSpec::double(1.0).completes_after(60 * SECOND);
    let builder = Ioc::builder().pv("slow", slow).pv("x", PvSpec::long(5));
    let (ioc, client) = serve(builder).await;
    let pairs = [
        ("slow", 1.0),
        ("nobody", 2.0),
        ("x", 3.0),
        ("nobody:else", 4.0),
    ];
    // One of them uses up the time, which is too short for the others where much else is to be done.
    let mut written = client.put_many(pairs).wait().timeout(3 * SECOND).await;
    if written[2].is_err() {
        written = client.put_many(pairs).wait().timeout(30 * SECOND).await;
    }
    assert!(matches!(written[0], Err(PutError::TimedOut(_))));
    assert!(matches!(written[1], Err(PutError::NotConnected(_))));
    assert_eq!(written[2], Ok(()));
    assert!(matches!(written[3], Err(PutError::NotConnected(_))));
    let names = ["nobody", "x", "y y", ""];
    let mut read = client.get_many::<f64>(&names).timeout(3 * SECOND).await;
    if read[1].is_err() {
        read = client.get_many::<f64>(&names).timeout(30 * SECOND).await;
    }
    assert!(matches!(read[0], Err(GetError::NotConnected(_))));
    assert_eq!(read[1], Ok(3.0));
    assert!(matches!(read[2], Err(GetError::NotConnected(_))));
    assert!(matches!(read[3], Err(GetError::Open(_))));
    assert_eq!(ioc.with(|ioc, _| ioc.number("slow")), Ok(1.0));
}

#[tokio::test]
async fn clients_of_a_process_are_configured_each_for_itself() {
    let (a, _) = serve(Ioc::builder().pv("x", PvSpec::long(1))).await;
    let (b, _) = serve(Ioc::builder().pv("x", PvSpec::long(2))).await;
    let client = |ioc: &SimIoc, user: &str| {
        let builder = Client::builder().isolated([ioc.udp_addr()]);
        builder.user(user).host("console").build().unwrap()
    };
    let (one, two) = (client(&a, "anna"), client(&b, "berta"));
    let by = |ioc: &SimIoc| {
        ioc.with(|ioc, _| {
            let circuit = ioc.circuits().next().unwrap();
            String::from_utf8(ioc.circuit(circuit).unwrap().identity().user.clone())
        })
    };
    assert_eq!(one.connect("x").await.unwrap().get().await, Ok(1));
    assert_eq!(two.connect("x").await.unwrap().get().await, Ok(2));
    let (x, y) = (
        one.connect("x").await.unwrap(),
        two.connect("x").await.unwrap(),
    );
    assert_eq!((by(&a), by(&b)), (Ok("anna".into()), Ok("berta".into())));
    drop((x, y));
}

#[tokio::test]
async fn the_configuration_tells_values_origins_and_warnings() {
    let env = |name: &str| {
        let value = match name {
            "EPICS_CA_ADDR_LIST" => "127.0.0.1:27990 no.such.host.invalid",
            "EPICS_CA_AUTO_ADDR_LIST" => "NO",
            "EPICS_CA_SERVER_PORT" => "80",
            "EPICS_CA_CONN_TMO" => "-3",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let builder = ca_client::ClientBuilder::from_env(env).repeater_port(0);
    let client = builder.build().unwrap();
    let config = client.effective_config();
    let text = config.to_string();
    for line in [
        "EPICS_CA_AUTO_ADDR_LIST=NO (environment)",
        "EPICS_CA_SERVER_PORT=5064 (default)",
        "EPICS_CA_REPEATER_PORT=0 (setter)",
        "searches go to 127.0.0.1:27990\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let warnings = config.warnings().join("\n");
    for part in [
        "EPICS_CA_SERVER_PORT",
        "EPICS_CA_CONN_TMO",
        "no.such.host.invalid",
    ] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
}

#[tokio::test]
async fn the_blocking_client_has_the_names_of_the_async_one() {
    let (ioc, _) = serve(Ioc::builder().pv("x", PvSpec::long(1))).await;
    let builder = Client::builder().isolated([ioc.udp_addr()]);
    let handle = ioc.clone();
    let thread = tokio::task::spawn_blocking(move || {
        let client = builder.build_blocking().unwrap();
        let mut events = client.events();
        let x = client.open_with_priority("x", 42).unwrap();
        assert!(x.wait_for_timeout(60 * SECOND, |info| info.is_connected()));
        assert!(x.is_connected() && x.state().is_some());
        assert_eq!(x.info().unwrap().priority, 42);
        let connected = Some(ClientEvent::Connected { pv: "x".into() });
        assert_eq!(events.next_timeout(60 * SECOND), connected);
        let (mut changes, mut monitor) = (x.changes(), x.monitor::<Reading>().start().unwrap());
        assert_eq!(monitor.channel().name(), "x");
        assert_eq!(monitor.next().unwrap().value_as(), Some(1));
        handle
            .with(|ioc, now| ioc.set_rights(now, "x", AccessRights::READ))
            .unwrap();
        assert!(x.wait_for(|info| !info.rights().can_write()));
        let change = changes.next().unwrap();
        assert!(
            matches!(change, ClientEvent::AccessRights { .. }),
            "{change:?}"
        );
        assert!(!x.wait_for_timeout(SECOND / 20, |info| !info.is_connected()));
        assert_eq!((changes.try_next(), events.lost()), (None, 0));
        let written = client
            .put_many([("x", 2), ("", 3)])
            .wait()
            .timeout(60 * SECOND)
            .call();
        assert!(matches!(written[0], Err(PutError::NoAccess(_))));
        assert!(matches!(written[1], Err(PutError::Open(_))));
        assert_eq!(client.get("x").call(), Ok(1));
        assert!(client.put("x", 5).check().call().is_err());
        assert_eq!(client.get_many::<i32>(["x"]).call(), [Ok(1)]);
        assert_eq!(client.get_many::<i32>([&x]).count(1).call(), [Ok(1)]);
        let connected = client.connect_many(&["x", ""]).priority(3).call();
        assert!(connected[0].is_ok() && connected[1].is_err());
        client.close();
        assert_eq!(changes.next(), None);
    });
    thread.await.unwrap();
    ioc.stop().await;
}
