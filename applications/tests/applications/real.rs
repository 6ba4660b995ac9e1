//! The same code against the IOC of EPICS Base with the same names: values stand still there.

use std::fmt::Write as _;
use std::time::Duration;

use ca_applications::{Machine, Pace, table::Table};
use ca_client::Client;
use ca_ring::Options;
use ca_tests::peer::Python;
use nalgebra::DMatrix;

use crate::rig::{groups, machine};
use crate::{beam_based_alignment, energy_feedback, orbit_feedback, response_matrix, tune_scan};

/// As the virtual ring serves them.
fn records(machine: &ca_ring::Machine) -> String {
    let mut text = String::new();
    let mut record = |kind: &str, name: &str, value: f64, units: &str| {
        let _ = writeln!(
            text,
            "record({kind}, \"{name}\") {{\n field(VAL, \"{value}\") field(PINI, \"YES\") field(EGU, \"{units}\")\n}}"
        );
    };
    for set in machine.set_points() {
        record("ao", &set.name, set.value, set.units);
    }
    for read in machine.read_backs() {
        record("ai", &read.name, read.value, read.units);
    }
    text
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs real EPICS: cargo xtask test"]
async fn the_applications_run_unchanged_against_the_real_ioc() {
    let machine = machine(Options {
        housekeeping: 0,
        ..Options::default()
    });
    let groups = groups(&machine);
    let file = std::env::temp_dir().join(format!("canter-ring-{}.db", std::process::id()));
    std::fs::write(&file, records(&machine)).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let server = tokio::task::spawn_blocking(move || {
        Python::here()
            .serve("run_ioc.py", "RING", &["--db", &path])
            .unwrap_or_else(|error| panic!("{error}"))
    });
    let server = server.await.unwrap();
    let client = Client::builder()
        .isolated([std::net::SocketAddrV4::new(
            std::net::Ipv4Addr::LOCALHOST,
            server.port(),
        )])
        .build()
        .unwrap();
    let pace = Pace {
        settle: Duration::from_millis(1),
        between: Duration::ZERO,
        samples: 1,
    };
    let ring = Machine::new(&client, groups).at(pace);

    let response = response_matrix::run(&ring, "x").await.unwrap();
    assert_eq!(response.values.shape(), (40, 40));
    assert_eq!(response.values.amax(), 0.0, "nothing moves there");
    // What the feedback puts arrives, and is read back: with the response of a ring that is all diagonal.
    let ones = Table {
        values: DMatrix::identity(40, 40),
        ..response
    };
    client.put("ARIDI-BPM-003:X", 0.5).await.unwrap();
    let kept = orbit_feedback::run(&ring, "x", &ones, 2).await.unwrap();
    assert_eq!(kept.rms.len(), 2);
    let steered: f64 = client.get("ARIMA-CH-003:I-SET").await.unwrap();
    assert!((steered + 0.5).abs() < 1e-12, "{steered}");
    let others: f64 = client.get("ARIMA-CH-004:I-SET").await.unwrap();
    assert!(others.abs() < 1e-12, "{others}");

    let points = tune_scan::run(&ring).await.unwrap();
    assert_eq!(points.len(), 11);
    assert_eq!(tune_scan::slopes(&points), [0.0, 0.0]);
    let back: f64 = client.get("ARIMA-QF-001:I-SET").await.unwrap();
    assert_eq!(back, 5.0);
    let still = beam_based_alignment::run(&ring, 4, (8, 15))
        .await
        .unwrap_err();
    assert!(still.to_string().contains("does not move"), "{still}");
    let still = energy_feedback::run(&ring, None, 2).await.unwrap_err();
    assert!(still.to_string().contains("does not move"), "{still}");
    std::fs::remove_file(file).unwrap();
}
