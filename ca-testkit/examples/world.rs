//! A client and an IOC on a bad network, an hour of it in a moment.
//!
//! `cargo run -p ca-testkit --example world`

use std::time::Duration;

use ca_testkit::{World, api};

fn main() {
    println!("{:?}", run());
}

/// The example: what the client was shown.
pub fn run() -> Vec<f64> {
    let mut w = World::new(7);
    let ioc = w.ioc(|db| {
        db.ai("x", 1.0);
    });
    let client = w.client();
    // A third of all datagrams are lost, and everything takes its time.
    w.net.set_links(client, ioc, |link| {
        link.loss = 0.3;
        link.latency = Duration::from_millis(40);
    });
    let monitor = client.subscribe(&mut w, "x", api::time());
    w.run_for(Duration::from_secs(60));
    ioc.post(&mut w, "x", 2.0);
    w.run_for(Duration::from_secs(60));
    // The IOC loses its power for an hour; nobody tells the client.
    ioc.power_off(&mut w);
    w.run_for(Duration::from_secs(3600));
    assert!(!client.is_connected(&w, "x"));
    ioc.start(&mut w);
    w.run_for(Duration::from_secs(600));
    client.updates(&w, monitor).to_vec()
}
