//! Rule 7 of the design: no allocation per operation or update once the client is warm.

mod support;

use std::sync::mpsc;

use allocation_counter::measure;
use ca_client::{Client, Reading};
use support::{Server, pvs};
use tokio::sync::oneshot;

#[test]
fn reads_writes_and_updates_allocate_nothing_in_the_long_run() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    // The server has a thread of its own, because allocations are counted per thread.
    let (address, started) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        runtime().block_on(async {
            let server = Server::start(pvs());
            address.send(server.udp).unwrap();
            stopped.await.unwrap();
        });
    });
    let udp = started.recv().unwrap();
    let runtime = runtime();
    let context = runtime.enter();
    let client = Client::builder().isolated([udp]).build().unwrap();
    drop(context);
    let analog = runtime.block_on(client.connect("t:analog")).unwrap();
    let mut monitor = analog.monitor::<Reading>().start().unwrap();
    let mut round = |count: i32| {
        runtime.block_on(async {
            for n in 0..count {
                analog.put(n).await.unwrap();
                analog.put(f64::from(n)).wait().await.unwrap();
                assert_eq!(analog.get::<f64>().await, Ok(f64::from(n)));
                assert!(monitor.next().await.unwrap().value().is_some());
            }
        });
    };
    round(200);
    let counted = measure(|| round(1000));
    // Timers of the runtime may take a node now and then; an allocation per operation would be
    // thousands.
    assert!(counted.count_total < 10, "{counted:?}");
    drop((monitor, analog));
    runtime.block_on(client.close());
    stop.send(()).unwrap();
    server.join().unwrap();
}
