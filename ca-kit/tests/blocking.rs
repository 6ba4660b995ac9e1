//! The blocking face, on sockets: the same words, ended with `call()`.

use std::time::Duration;

use ca_client::blocking::Client;
use ca_client::{MonitorEvent, MonitorSpec};
use ca_kit::{
    Axis, Control, Delivery, Group, Guarded, Kit, Policy, ScanFault, Settle, Source, Trip, near,
};
use ca_server_sim::net::{NetConfig, SimIoc};
use ca_server_sim::{Ioc, PvSpec};
use tokio::runtime::Runtime;

/// What takes longer on a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

fn rig() -> (Runtime, SimIoc, Client) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
    let mut ioc = Ioc::builder();
    for name in ["a", "b", "c"] {
        ioc = ioc.pv(name, PvSpec::double(1.0).control(-10.0, 10.0));
    }
    let ioc = runtime.block_on(ioc.serve(NetConfig::new())).unwrap();
    let client = ca_client::Client::builder()
        .isolated([ioc.udp_addr()])
        .timeout(PATIENCE);
    (runtime, ioc, client.build_blocking().unwrap())
}

#[test]
fn everything_can_be_called() {
    let (_runtime, ioc, client) = rig();
    let a = client.connect("a").call().unwrap();
    client.wait_until(&a, near(1.0, 0.0)).call().unwrap();
    let matched = client
        .put_and_match("b", 2.0, "b", near(2.0, 0.1))
        .wait()
        .call()
        .unwrap();
    assert_eq!(matched.number(), Some(2.0));
    let done = client.put_guarded(&a, 1.0).compare(0.1).call().unwrap();
    assert!(matches!(done, Guarded::Same { .. }));
    client
        .put_or_roll_back([("a", 3.0), ("b", 4.0)])
        .call()
        .unwrap();
    let ramp = client
        .ramp("a", 4.0)
        .steps(2)
        .period(Duration::from_millis(1));
    assert_eq!(ramp.call().unwrap().from, 3.0);

    let group = client
        .open_group(Group::of("g", ["a", "b"]).unwrap())
        .unwrap();
    assert_eq!(group.get::<f64>().call().into_values().unwrap(), [4.0, 4.0]);
    let snapshot = group.snapshot().call();
    group
        .put([("a", 9.0)])
        .wait()
        .call()
        .unwrap()
        .into_values()
        .unwrap();
    assert!(client.restore(&snapshot).call().unwrap().is_ok());
    let mut rows = group.rows(MonitorSpec::time()).unwrap();
    assert!(rows.any(|row| row.values.iter().all(Option::is_some)));
    let mut events = group.monitor(MonitorSpec::time()).unwrap();
    assert!(events.any(|event| event.event.value().is_some()));

    let mut sync = client.sync_group();
    let (get, put) = (sync.get("a"), sync.put("b", 5.0));
    let results = sync.block(PATIENCE);
    assert!(results.get(get).unwrap().is_ok() && results.get(put).unwrap().is_ok());

    let axis = Axis::new("c", [1.0, 2.0, 3.0]).settle(Settle::Time(Duration::from_millis(1)));
    let rows = client.scan([axis.clone()]).observe(["c"]).rows();
    let seen: Vec<_> = rows.map(|row| row.unwrap().number(0)).collect();
    assert_eq!(seen, [Some(1.0), Some(2.0), Some(3.0)]);
    let control = Control::new();
    let mut rows = client.scan([axis]).control(&control).rows();
    rows.next().unwrap().unwrap();
    control.abort();
    assert_eq!(*rows.next().unwrap().unwrap_err().fault, ScanFault::Aborted);
    assert!(rows.next().is_none());
    assert_eq!(client.get::<f64>("c").call(), Ok(1.0));

    let watch = client
        .watch::<f64>("c")
        .deliver(Delivery::Latest)
        .deadband(0.5);
    let mut watch = watch.start().unwrap();
    assert!(watch.any(|event| matches!(event, MonitorEvent::Update { value: 1.0, .. })));
    let mut aligned = client.align(["a", "b"]).within(PATIENCE).start().unwrap();
    assert!(aligned.next().unwrap().is_complete());
    let cached = Policy::new().source(Source::CacheOrWait);
    let cached = client.with_policy::<f64>("c", cached).unwrap();
    assert_eq!(cached.get().call(), Ok(1.0));
    let device = client.device("", ["a", "b"]).unwrap();
    assert_eq!(device.get::<f64>("b").call(), Ok(5.0));

    let mut alarm = client.alarm("c", Trip::Above(5.0)).start().unwrap();
    ioc.post("c", 6.0).unwrap();
    assert_eq!(alarm.next().unwrap().value, Some(6.0));
    assert!(alarm.next_timeout(Duration::from_millis(20)).is_none());
    let (told, heard) = std::sync::mpsc::channel();
    let alarm = client
        .alarm("c", Trip::Above(5.0))
        .sink(move |event| told.send(event.value).unwrap());
    let _task = alarm.spawn().unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Some(6.0)));
}
