//! The examples run.
#![cfg(feature = "net")]
#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/minute.rs"]
mod minute_example;
#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/serve.rs"]
mod serve_example;
#[allow(dead_code)] // Its main function is run by hand.
#[path = "../examples/signals.rs"]
mod signals_example;

use ca_server_sim::AlarmSeverity;

#[tokio::test]
async fn serve() {
    let ioc = serve_example::run().await.unwrap();
    assert!(ioc.env_text().contains("EPICS_CA_ADDR_LIST"));
    assert_eq!(ioc.read("demo:note").unwrap().value, "serving".into());
}

#[test]
fn a_minute() {
    let [fast, slow, sum] = minute_example::run().unwrap();
    assert_eq!((fast, slow), (600.0, 12.0));
    assert!((611.0..=612.0).contains(&sum), "{sum}");
}

#[test]
fn signals() {
    let values = signals_example::run().unwrap();
    let minor = |&&(value, severity): &&(f64, AlarmSeverity)| {
        assert_eq!(
            severity == AlarmSeverity::MINOR,
            value.abs() >= 0.9,
            "{value}"
        );
        severity == AlarmSeverity::MINOR
    };
    assert!(
        (1..10).contains(&values.iter().filter(minor).count()),
        "{values:?}"
    );
}
