//! The examples run, with an IOC on loopback.
#![allow(missing_docs, unreachable_pub)]

use ca_client::Client;
use ca_server_sim::net::NetConfig;
use ca_server_sim::{Ioc, PvSpec, SimIoc};

#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/blocking.rs"]
mod blocking_example;
#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/get.rs"]
mod get_example;
#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/many.rs"]
mod many_example;
#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/monitor.rs"]
mod monitor_example;
#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/put.rs"]
mod put_example;

async fn served() -> (SimIoc, Client) {
    let ioc = Ioc::builder()
        .pv("demo:x", PvSpec::double(1.5).units("mm"))
        .pv("demo:y", PvSpec::double(0.0));
    let ioc = ioc.serve(NetConfig::new().repeater(None)).await.unwrap();
    let client = Client::builder().isolated([ioc.udp_addr()]);
    (ioc, client.build().unwrap())
}

#[tokio::test]
async fn get() {
    let (_ioc, client) = served().await;
    get_example::run(&client).await.unwrap();
}

#[tokio::test]
async fn put() {
    let (_ioc, client) = served().await;
    put_example::run(&client).await.unwrap();
}

#[tokio::test]
async fn monitor() {
    let (ioc, client) = served().await;
    monitor_example::run(&client).await.unwrap();
    assert!(ioc.read("demo:x").is_ok());
}

#[tokio::test]
async fn many() {
    let (ioc, client) = served().await;
    many_example::run(&client).await.unwrap();
    assert_eq!(client.get::<f64>("demo:y").await, Ok(2.0));
    drop(ioc);
}

#[tokio::test]
async fn blocking() {
    let (ioc, client) = served().await;
    let builder = Client::builder().isolated([ioc.udp_addr()]);
    let run = move || {
        let client = builder.build_blocking().unwrap();
        blocking_example::run(&client).map_err(|error| error.to_string())
    };
    let ran = tokio::task::spawn_blocking(run).await.unwrap();
    assert_eq!(ran, Ok(()));
    assert_eq!(client.get::<f64>("demo:x").await, Ok(4.0));
}
