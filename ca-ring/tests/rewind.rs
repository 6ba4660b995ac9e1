//! A ring behind an IOC that goes back to a snapshot.
#![cfg(feature = "ioc")]

use std::time::Duration;

use ca_ring::{Machine, Options, ioc};
use ca_server_sim::net::{ModelRun, NetConfig, SimIoc};
use ca_server_sim::{IocSnapshot, SnapshotError};

const STEP: Duration = Duration::from_millis(100);

async fn served(seed: u64) -> (SimIoc, ModelRun<Machine>) {
    let options = Options {
        seed,
        housekeeping: 1,
        ..Options::default()
    };
    let machine = Machine::standard(options).unwrap();
    let (builder, pvs) = ioc::describe(&machine);
    let ioc = builder.serve(NetConfig::new()).await.unwrap();
    let run = ModelRun::new(ioc.clone(), &pvs, machine).unwrap();
    (ioc, run)
}

/// All PVs as bytes, without their times.
fn all(ioc: &SimIoc) -> Vec<(String, Vec<u8>)> {
    let names: Vec<String> = ioc.with(|ioc, _| ioc.pv_names().map(str::to_owned).collect());
    let bytes = |name: String| {
        let value = ioc.read(&*name).unwrap().value;
        (name, value.as_ref().data.to_vec())
    };
    names.into_iter().map(bytes).collect()
}

/// A part of an operator's day: correctors, a quadrupole, the frequency; what is on all PVs after each step.
fn day(ioc: &SimIoc, run: &mut ModelRun<Machine>, first: u32) -> Vec<Vec<(String, Vec<u8>)>> {
    let steps = (0..12).map(|n| {
        let amperes = f64::from(n) / 8.0;
        ioc.post("ARIMA-CH-003:I-SET", amperes).unwrap();
        if n == 5 {
            ioc.post("ARIMA-QF-001:I-SET", 5.001).unwrap();
            ioc.post("ARIRF-MASTER:FREQ", 500_000_050.0).unwrap();
        }
        run.step(STEP * (first + n)).unwrap();
        all(ioc)
    });
    steps.collect()
}

#[tokio::test]
async fn orbit_noise_and_pulses_go_on_as_they_did() {
    let (ioc, mut run) = served(3).await;
    for n in 0..7 {
        run.step(STEP * n).unwrap();
    }
    let snapshot = ioc.snapshot().unwrap();
    let first = day(&ioc, &mut run, 7);
    assert_ne!(first[0], first[1], "something happens");
    ioc.rewind(&snapshot).unwrap();
    assert!(day(&ioc, &mut run, 19) == first);
    // In another process, too.
    let (other, mut its) = served(3).await;
    its.step(STEP).unwrap();
    let file = IocSnapshot::from_bytes(snapshot.as_bytes()).unwrap();
    other.rewind(&file).unwrap();
    assert!(day(&other, &mut its, 2) == first);
    // Another ring is another one, and goes on.
    let (third, mut its) = served(4).await;
    its.step(STEP).unwrap();
    let before = all(&third);
    let error = third.rewind(&file).unwrap_err();
    assert!(matches!(error, SnapshotError::Model { number: 1, .. }));
    assert!(error.to_string().contains("seed 3"), "{error}");
    assert_eq!(all(&third), before);
    its.step(STEP * 2).unwrap();
}

#[test]
fn what_is_no_state_of_a_ring_changes_nothing() {
    let machine = || {
        let options = Options {
            housekeeping: 0,
            ..Options::default()
        };
        Machine::standard(options).unwrap()
    };
    let mut ring = machine();
    let set: Vec<f64> = ring.set_points().iter().map(|q| q.value).collect();
    let mut read = vec![0.0; ring.read_backs().len()];
    ring.step(STEP, &set, &mut read).unwrap();
    let state = ring.save();
    let mut wrong = vec![Vec::new(), state[..state.len() - 1].to_vec()];
    for (at, byte) in [(0, 9), (1, 77), (9, 1), (40, 0xff), (48, 0xff), (65, 0xff)] {
        let mut bytes = state.clone();
        bytes[at] = byte;
        if at == 48 {
            // The current is no number.
            bytes[47..49].copy_from_slice(&[0xf0, 0x7f]);
        }
        wrong.push(bytes);
    }
    let mut longer = state.clone();
    longer.push(0);
    wrong.push(longer);
    let mut refused = 0;
    for bytes in wrong {
        match ring.restore(&bytes) {
            Err(error) => {
                refused += 1;
                assert!(!error.is_empty());
                assert_eq!(ring.save(), state);
            }
            Ok(()) => ring.restore(&state).unwrap(),
        }
    }
    assert!(refused >= 6, "{refused}");
}
