//! The production client with servers of every version that a server of today would still be asked
//! by: 4.4 to 4.13 (`caProto.h` of EPICS Base).

use ca_client::{
    ChannelState, Client, ClientEvent, ConnectError, EcaStatus, GetError, MonitorEvent, Reading,
    Stamped, Value,
};
use ca_proto::client::{ReadSpec, TypeSpec};
use ca_proto::dbr::Family;
use ca_testkit::runtime::SimRuntime;

use crate::rig::{CLIENT, IOC, SECOND, client, next, run};
use crate::scripted::Scripted;

const VERSIONS: std::ops::RangeInclusive<u16> = 4..=13;
/// More elements than fit into a short header.
const MANY: u32 = 70_000;

fn pvs() -> [(&'static str, Value); 3] {
    [
        ("x", Value::from(1.5)),
        ("wave", Value::from(vec![1.0, 2.0, 3.0])),
        ("many", Value::from(vec![0.5; MANY as usize])),
    ]
}

fn with_each(test: impl AsyncFn(&SimRuntime, &Scripted, &Client, u16)) {
    for minor in VERSIONS {
        println!("4.{minor}");
        let rt = SimRuntime::new(u64::from(minor));
        let server = Scripted::start(&rt, IOC, minor, pvs());
        let client = client(&rt, CLIENT);
        run(&rt, async {
            test(&rt, &server, &client, minor).await;
            client.close().await;
        });
        assert_eq!(server.wrong(), [""; 0], "4.{minor}");
    }
}

#[test]
fn values_are_read_written_and_watched_whatever_the_version() {
    with_each(async |rt, server, client, minor| {
        let x = client.connect("x").await.unwrap();
        let ChannelState::Connected(connection) = x.info().unwrap().state else {
            panic!("{:?}", x.info());
        };
        assert_eq!(connection.minor.0, minor);
        assert_eq!(server.heard(), ["version", "names", "create"]);

        assert_eq!(x.get::<f64>().await, Ok(1.5));
        assert_eq!(x.get::<String>().await.as_deref(), Ok("1.500"));
        let stamped: Stamped<f64> = x.get().await.unwrap();
        assert_eq!((stamped.value, stamped.timestamp.secs), (1.5, 1));
        let units = x.metadata().await.unwrap().units();
        assert_eq!(units.unwrap().to_string(), "mm");
        let wave = client.connect("wave").await.unwrap();
        assert_eq!(wave.get::<Vec<f64>>().await, Ok(vec![1.0, 2.0, 3.0]));
        let two = ReadSpec {
            ty: TypeSpec::Family(Family::Plain),
            count: 2,
        };
        let two = wave.get::<Reading>().spec(two).await.unwrap();
        assert_eq!(two.to_f64s(), Some(vec![1.0, 2.0]));
        assert_eq!(server.heard(), ["read", "create", "read"]);

        x.put(2.5).await.unwrap();
        assert_eq!(x.get::<f64>().await, Ok(2.5));
        wave.put(vec![9.0, 8.0, 7.0]).wait().await.unwrap();
        assert_eq!(server.value("wave"), Value::from(vec![9.0, 8.0, 7.0]));
        assert_eq!(server.heard(), ["write", "read", "write notify"]);

        let mut updates = x.monitor::<Reading>().start().unwrap();
        assert_eq!(next(rt, &mut updates).await.value_as::<f64>(), Some(2.5));
        server.post("x", 3.5);
        assert_eq!(next(rt, &mut updates).await.value_as::<f64>(), Some(3.5));
        let mut whole = wave.monitor::<Reading>().start().unwrap();
        let first = next(rt, &mut whole).await.value_as::<Vec<f64>>();
        assert_eq!(first, Some(vec![9.0, 8.0, 7.0]));
        drop(updates);
        assert_eq!(x.get::<f64>().await, Ok(3.5));
        drop((x, wave, whole));
        rt.sleep(SECOND).await;
        let end = ["subscribe", "cancel", "read"];
        assert_eq!(server.heard()[..3], end);
    });
}

#[test]
fn more_elements_than_a_short_header_holds_are_asked_for_from_4_9_on() {
    with_each(async |_, _, client, minor| {
        let many = client.connect("many").await.unwrap();
        let read = many.get::<Vec<f64>>().await;
        if minor >= 9 {
            assert_eq!(read.map(|values| values.len()), Ok(MANY as usize));
        } else {
            assert!(
                matches!(read, Err(GetError::BadRequest { .. })),
                "4.{minor}: {read:?}"
            );
            // The circuit is none the worse for it.
            let x = client.connect("x").await.unwrap();
            assert_eq!(x.get::<f64>().await, Ok(1.5));
        }
    });
}

#[test]
fn a_silent_server_is_asked_for_an_echo_whatever_the_version() {
    with_each(async |rt, server, client, minor| {
        let x = client.connect("x").await.unwrap();
        let mut changes = x.changes();
        server.heard();
        rt.sleep(100 * SECOND).await;
        assert_eq!(server.heard(), ["echo"], "4.{minor}");
        assert_eq!(changes.try_next(), None);
        assert!(x.is_connected());
    });
}

/// `SERVER_DISCONN`; older servers end the circuit.
#[test]
fn a_pv_that_ends_is_found_again_whatever_the_version() {
    with_each(async |rt, server, client, minor| {
        let x = client.connect("x").await.unwrap();
        let wave = client.connect("wave").await.unwrap();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        assert_eq!(next(rt, &mut updates).await.value_as::<f64>(), Some(1.5));
        server.remove("x");
        assert_eq!(next(rt, &mut updates).await, MonitorEvent::Disconnected);
        assert_eq!(wave.is_connected(), minor >= 7, "4.{minor}");
        server.post("x", 7.0);
        assert_eq!(next(rt, &mut updates).await, MonitorEvent::Connected);
        assert_eq!(next(rt, &mut updates).await.value_as::<f64>(), Some(7.0));
        wave.connected().await.unwrap();
    });
}

/// `CREATE_CH_FAIL`; older servers answer with `ERROR`.
#[test]
fn a_name_that_is_found_and_cannot_be_created_times_out_whatever_the_version() {
    with_each(async |_, server, client, minor| {
        let mut events = client.events();
        let failed = client.connect(crate::scripted::PHANTOM).await;
        assert!(
            matches!(failed, Err(ConnectError::TimedOut(_))),
            "4.{minor}: {failed:?}"
        );
        assert!(server.heard().contains(&"create"));
        let told = std::iter::from_fn(|| events.try_next());
        let refused = |event: &ClientEvent| match event {
            ClientEvent::Disconnected { .. } => minor >= 6,
            ClientEvent::Exception { status, .. } => minor < 6 && *status == EcaStatus::BADCHID,
            _ => false,
        };
        assert!(told.into_iter().any(|event| refused(&event)), "4.{minor}");
        let x = client.connect("x").await.unwrap();
        assert_eq!(x.get::<f64>().await, Ok(1.5));
    });
}

/// Two circuits to one server, by priority; one of them hangs.
#[test]
fn changes_of_a_channel_are_those_of_its_circuit() {
    let rt = SimRuntime::new(1);
    let server = Scripted::start(&rt, IOC, 13, pvs());
    let client = client(&rt, CLIENT);
    run(&rt, async {
        let stuck = client.open_with_priority("x", 10).unwrap();
        let fine = client.open_with_priority("x", 20).unwrap();
        stuck.connected().await.unwrap();
        fine.connected().await.unwrap();
        let (mut of_stuck, mut of_fine) = (stuck.changes(), fine.changes());
        server.mute(10, true);
        rt.sleep(60 * SECOND).await;
        server.mute(10, false);
        rt.sleep(60 * SECOND).await;
        let told: Vec<_> = std::iter::from_fn(|| of_stuck.try_next()).collect();
        let of_circuit = |event: &&ClientEvent| {
            use ClientEvent::{Responsive, Unresponsive};
            matches!(event, Unresponsive { .. } | Responsive { .. })
        };
        assert_eq!(told.iter().filter(of_circuit).count(), 2, "{told:?}");
        assert_eq!(of_fine.try_next(), None);
        client.close().await;
    });
}
