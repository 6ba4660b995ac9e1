//! Links of our records to the IOC of EPICS Base.

use std::net::{Ipv4Addr, SocketAddrV4};

use ca_client::{Client, FromReading, MonitorEvent};
use ca_links::Links;
use ca_server_sim::{Ioc, NetConfig};
use ca_tests::peer::Python;

const PREFIX: &str = "LINKS";

/// Waits until a PV has a value.
async fn until<T: FromReading + PartialEq>(client: &Client, pv: &str, wanted: T) {
    let channel = client.connect(pv).await.expect("it is served");
    let mut monitor = channel.monitor::<T>().start().expect("it can be read");
    while let Some(event) = monitor.next().await {
        if matches!(event, MonitorEvent::Update { value, .. } if value == wanted) {
            return;
        }
    }
    panic!("the client was closed");
}

async fn story(python: &Python) {
    let db = ["--db", "links.db"];
    let real = python.serve("run_ioc.py", PREFIX, &db);
    let mut real = real.unwrap_or_else(|error| panic!("{error}"));
    let there = SocketAddrV4::new(Ipv4Addr::LOCALHOST, real.port());
    let records = r#"
        record(calc, "cp") { field(INPA, "LINKS:far CP MS") field(CALC, "A+1") }
        record(stringin, "text") { field(INP, "LINKS:state CP") }
        record(waveform, "wave") { field(INP, "LINKS:wave CP") field(FTVL, "DOUBLE") field(NELM, "2") }
        record(ao, "out") { field(OUT, "LINKS:far CA") field(FLNK, "LINKS:count.PROC CA") }
    "#;
    let ioc = Ioc::from_db(records).expect("it is right");
    let ioc = ioc.serve(NetConfig::new()).await.expect("ports are free");
    let client = Client::builder().isolated([there, ioc.udp_addr()]);
    let client = client.build().expect("it is right");
    let links = tokio::spawn(Links::new(&ioc, &client).run());

    until(&client, "cp", 3.0).await;
    until(&client, "text", "On".to_owned()).await;
    until(&client, "wave", vec![1.0, 2.0]).await;
    let out = client.connect("out").await.expect("it is served");
    out.put(12.0).await.expect("it can be written");
    until(&client, "LINKS:far", 12.0).await;
    until(&client, "LINKS:count", 1.0).await;
    until(&client, "cp", 13.0).await;
    // MS: the alarm of the other end is that of a link.
    until(&client, "cp.SEVR", "MAJOR".to_owned()).await;
    until(&client, "cp.STAT", "LINK".to_owned()).await;

    real.kill();
    until(&client, "cp.SEVR", "INVALID".to_owned()).await;
    let port = real.port();
    drop(real);
    let again = python.serve_again("run_ioc.py", port, PREFIX, &db);
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    until(&client, "cp", 3.0).await;
    until(&client, "cp.SEVR", "NO_ALARM".to_owned()).await;
    links.abort();
    drop(again);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn links_lead_to_the_real_ioc() {
    let python = Python::here();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(story(&python));
}
