//! What a client holds per channel and per subscription, counted exactly.

use std::sync::mpsc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use ca_client::{Client, Reading};
use ca_server_sim::net::NetConfig;
use ca_server_sim::{Ioc, PvSpec};
use tokio::sync::oneshot;

/// PVs: not far below a power of two, so that tables that grow by doubling have little to spare.
const PVS: usize = 60_000;
/// What libca has resident per connected channel, in bytes.
const LIBCA_CHANNEL: usize = 258;
/// A subscription with room for one update and a queue that is bounded in bytes; libca, which has no
/// queue, needs 135.
const SUBSCRIPTION: usize = 370;

/// Bytes per item with what an allocator adds: a header of 8 bytes, sizes rounded up to 16.
fn per_item(held: &AllocationInfo) -> usize {
    let bytes = held.bytes_current + 16 * held.count_current;
    usize::try_from(bytes).unwrap() / PVS
}

#[test]
fn a_channel_is_smaller_than_one_of_libca() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let names: Vec<String> = (0..PVS).map(|n| format!("B:{n}")).collect();
    let specs: Vec<_> = names
        .iter()
        .map(|pv| (pv.clone(), PvSpec::double(0.0)))
        .collect();
    // The server has a thread of its own, because allocations are counted per thread.
    let (address, started) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        runtime().block_on(async {
            let config = NetConfig::new().repeater(None);
            let ioc = Ioc::builder().pvs(specs).serve(config).await.unwrap();
            address.send(ioc.udp_addr()).unwrap();
            stopped.await.unwrap();
        });
    });
    let udp = started.recv().unwrap();
    let runtime = runtime();
    let context = runtime.enter();
    let builder = Client::builder().isolated([udp]);
    let client = builder.timeout(Duration::from_secs(60)).build().unwrap();
    drop(context);
    let mut channels = Vec::new();
    let connected = measure(|| {
        let opened = runtime.block_on(client.connect_many(&names));
        channels = opened.into_iter().map(Result::unwrap).collect();
    });
    let mut subscriptions = Vec::new();
    let subscribed = measure(|| {
        let all = channels
            .iter()
            .map(|it| it.monitor::<Reading>().start().unwrap());
        subscriptions = all.collect();
        runtime.block_on(async {
            for subscription in &mut subscriptions {
                while subscription.next().await.unwrap().value().is_none() {}
            }
        });
    });
    let held = [per_item(&connected), per_item(&subscribed)];
    println!("{held:?} bytes per channel and subscription");
    assert!(
        held[0] <= LIBCA_CHANNEL && held[1] <= SUBSCRIPTION,
        "{held:?}"
    );
    drop((subscriptions, channels));
    runtime.block_on(client.close());
    stop.send(()).unwrap();
    server.join().unwrap();
}
