//! A circuit that is reset after any number of bytes.

use core::time::Duration;

use ca_testkit::host::ClientHost;
use ca_testkit::{World, api};

/// The whole life of a channel: created, read, written with completion, subscribed, updated.
/// Returns how many bytes went to the IOC and to the client, as far as they got.
fn story(to_ioc: bool, byte: u64) -> bool {
    let mut w = World::new(byte);
    w.trace.enabled = false;
    let ioc = w.ioc(|db| {
        db.ai("x", 1.0);
        db.waveform("wave", &[1.0; 20]);
    });
    let c = w.client();
    w.net.break_next = Some((to_ioc, byte));
    let x = c.subscribe(&mut w, "x", api::time());
    let wave = c.subscribe(&mut w, "wave", api::time());
    w.settle().unwrap();
    let answers = [
        c.read(&mut w, "x", api::read_time()),
        c.write_notify(&mut w, "x", 2.0),
        c.read(&mut w, "wave", api::read_time()),
    ];
    w.settle().unwrap();
    ioc.post(&mut w, "x", 3.0);
    ioc.post(&mut w, "wave", [4.0; 20]);
    w.settle().unwrap();
    let broken = !w
        .host::<ClientHost>(c)
        .events()
        .iter()
        .all(|(_, event)| !matches!(event, ca_proto::client::Event::CircuitClosed { .. }));
    // The governor holds a lost channel for up to ten seconds.
    w.run_for(Duration::from_secs(30));
    assert!(c.is_connected(&w, "x") && c.is_connected(&w, "wave"));
    for token in answers.into_iter().flatten() {
        assert!(c.answer(&w, token).is_some(), "byte {byte}");
    }
    assert_eq!(c.updates(&w, x).last(), Some(&3.0), "byte {byte}");
    assert_eq!(c.updates(&w, wave).last(), Some(&4.0), "byte {byte}");
    c.shutdown(&mut w);
    w.run_for(Duration::from_secs(30));
    assert_eq!((w.net.open_streams(c), w.net.open_streams(ioc)), (0, 0));
    assert_eq!(
        ioc.with(&mut w, |ioc| ioc.counts()),
        ca_server_sim::Counts::default()
    );
    broken
}

#[test]
fn everything_comes_back_after_a_reset_at_any_byte() {
    for to_ioc in [true, false] {
        let bytes = (0..).find(|&byte| !story(to_ioc, byte));
        // Until the whole conversation fits before the reset.
        assert!(bytes.is_some_and(|bytes| bytes > 200), "{bytes:?}");
    }
}
