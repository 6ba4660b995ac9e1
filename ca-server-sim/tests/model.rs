//! Models behind PVs.
#![cfg(feature = "net")]

use std::time::Duration;

use ca_server_sim::net::{Model, ModelError, ModelFault, ModelPvs, ModelRun, Vectors};
use ca_server_sim::{AlarmSeverity, Ioc, IocSnapshot, NetConfig, PvSpec, SimIoc, SnapshotError};

const SECOND: Duration = Duration::from_secs(1);

async fn served() -> SimIoc {
    let ioc = Ioc::builder()
        .pv("set", PvSpec::double(1.0))
        .pv("text", PvSpec::string("no number"))
        .pv("a", PvSpec::double(0.0).read_only())
        .pv("b", PvSpec::double(0.0).read_only())
        .pv("all", PvSpec::array([0.0, 0.0]).read_only())
        .pv("pulse", PvSpec::long(0).read_only());
    ioc.serve(NetConfig::new()).await.unwrap()
}

fn pvs() -> ModelPvs {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ModelPvs {
        set: names(&["set", "text"]),
        read: names(&["a", "b"]),
        arrays: vec![("all".to_owned(), 0, 2)],
        pulse: Some("pulse".to_owned()),
    }
}

#[tokio::test]
async fn a_step_has_one_time_stamp() {
    let ioc = served().await;
    let model = |t: Duration, set: &[f64], read: &mut [f64]| -> Result<(), String> {
        assert!(set[1].is_nan(), "a text is no number");
        read[0] = set[0] * 2.0;
        read[1] = t.as_secs_f64();
        Ok(())
    };
    let mut run = ModelRun::new(ioc.clone(), &pvs(), model).unwrap();
    run.step(Duration::ZERO).unwrap();
    ioc.post("set", 4.0).unwrap();
    run.step(SECOND).unwrap();
    assert_eq!(run.read_backs(), [8.0, 1.0]);
    assert_eq!(ioc.read("a").unwrap().value, 8.0.into());
    assert_eq!(ioc.read("all").unwrap().value, [8.0, 1.0].into());
    assert_eq!(ioc.read("pulse").unwrap().value, 2.into());
    let stamp = ioc.read("a").unwrap().stamp;
    for pv in ["b", "all", "pulse"] {
        assert_eq!(ioc.read(pv).unwrap().stamp, stamp, "{pv}");
    }
}

/// What was there before goes on, in alarm, until a step succeeds.
#[tokio::test]
async fn a_step_that_fails_changes_nothing_but_the_alarm() {
    let ioc = served().await;
    let mut nth = 0;
    let model = move |_: Duration, _: &[f64], read: &mut [f64]| {
        nth += 1;
        read[0] = f64::from(nth);
        match nth {
            2 => Err("no beam".to_owned()),
            3 => panic!("on purpose"),
            4 => {
                read[1] = f64::NAN;
                Ok(())
            }
            _ => Ok(()),
        }
    };
    let mut run = ModelRun::new(ioc.clone(), &pvs(), model).unwrap();
    run.step(SECOND).unwrap();
    let faults = [
        ModelFault::Said("no beam".to_owned()),
        ModelFault::Panicked("on purpose".to_owned()),
        ModelFault::NotFinite {
            pv: "b".to_owned(),
            value: "NaN".to_owned(),
        },
    ];
    for fault in faults {
        assert_eq!(run.step(SECOND), Err(fault));
        let a = ioc.read("a").unwrap();
        assert_eq!(a.value, 1.0.into());
        assert_eq!(a.alarm.severity, AlarmSeverity::INVALID);
    }
    run.step(SECOND).unwrap();
    let a = ioc.read("a").unwrap();
    assert_eq!(a.value, 5.0.into());
    assert_eq!(a.alarm.severity, AlarmSeverity::NO_ALARM);
    assert_eq!(ioc.read("pulse").unwrap().value, 2.into());
}

#[tokio::test]
async fn pvs_that_are_not_there_are_named() {
    let ioc = served().await;
    fn model(_: Duration, _: &[f64], _: &mut [f64]) -> Result<(), String> {
        Ok(())
    }
    let mut unknown = pvs();
    unknown.read.push("nobody".to_owned());
    let error = ModelRun::new(ioc.clone(), &unknown, model).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the IOC has no PV \"nobody\", which the model writes"
    );
    let mut long = pvs();
    long.arrays[0].2 = 3;
    let error = ModelRun::new(ioc, &long, model).unwrap_err();
    assert!(
        matches!(error, ModelError::Range { there: 2, .. }),
        "{error}"
    );
}

/// A model of vectors, as those in Python are.
#[tokio::test]
async fn a_vector_of_another_length_is_a_step_that_fails() {
    let ioc = served().await;
    let model = Vectors(|t: Duration, set: &[f64]| {
        let mut made = vec![set[0] + 1.0];
        made.resize(1 + t.as_secs() as usize, 5.0);
        Ok(made)
    });
    let mut run = ModelRun::new(ioc.clone(), &pvs(), model).unwrap();
    run.step(SECOND).unwrap();
    for t in [Duration::ZERO, SECOND * 2] {
        let fault = run.step(t).unwrap_err().to_string();
        assert!(fault.contains("there are 2 PVs for them"), "{fault}");
        assert_eq!(ioc.read("b").unwrap().value, 5.0.into());
        let severity = ioc.read("b").unwrap().alarm.severity;
        assert_eq!(severity, AlarmSeverity::INVALID);
    }
    run.step(SECOND).unwrap();
    assert_eq!(
        ioc.read("a").unwrap().alarm.severity,
        AlarmSeverity::NO_ALARM
    );
}

#[tokio::test]
async fn steps_on_a_thread_end_when_they_are_told() {
    let ioc = served().await;
    let (told, heard) = std::sync::mpsc::channel();
    let mut nth = 0;
    let model = move |_: Duration, _: &[f64], read: &mut [f64]| {
        nth += 1;
        read[0] = f64::from(nth);
        match nth {
            2 | 3 => Err("no beam".to_owned()),
            _ => Ok(()),
        }
    };
    let run = ModelRun::new(ioc, &pvs(), model).unwrap();
    let beats = run.every(Duration::from_millis(1), move |fault| {
        let _ = told.send(fault.map(ToString::to_string));
    });
    // Told once for two steps that fail, and once that it goes on.
    let said = heard.recv().unwrap().unwrap();
    assert!(said.contains("no beam"), "{said}");
    assert_eq!(heard.recv().unwrap(), None);
    let beaten = beats.stop();
    assert!(beaten.steps >= 4 && beaten.failed == 2, "{beaten:?}");
    assert!(beaten.time(1.0) >= beaten.time(0.5));
    assert!(heard.recv().is_err(), "the thread is gone");
}

/// Counts its steps, which it remembers, and panics on demand.
struct Remembers {
    n: u8,
}

impl Model for Remembers {
    fn step(&mut self, t: Duration, _: &[f64], read: &mut [f64]) -> Result<(), String> {
        self.n += 1;
        (read[0], read[1]) = (f64::from(self.n), t.as_secs_f64());
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        vec![1, self.n]
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        match *state {
            [1, 99] => panic!("on purpose"),
            [1, n] => self.n = n,
            _ => return Err("it is of another version".to_owned()),
        }
        Ok(())
    }
}

#[tokio::test]
async fn models_go_back_with_their_ioc() {
    let ioc = served().await;
    let mut run = ModelRun::new(ioc.clone(), &pvs(), Remembers { n: 0 }).unwrap();
    run.step(SECOND).unwrap();
    run.step(SECOND * 2).unwrap();
    let before = ioc.snapshot().unwrap();
    run.step(SECOND * 3).unwrap();
    let third = ioc.read("all").unwrap().value;
    run.step(SECOND * 4).unwrap();
    ioc.rewind(&before).unwrap();
    assert_eq!(ioc.read("pulse").unwrap().value, 2.into());
    // A second after the last step, whenever the rewind was.
    run.step(SECOND * 5).unwrap();
    assert_eq!(ioc.read("all").unwrap().value, third);
    assert_eq!(ioc.read("pulse").unwrap().value, 3.into());
    // What a model cannot be again changes nothing.
    for (n, why) in [(99, "it panicked: on purpose"), (0, "another version")] {
        run.with_model(|model| model.n = 99);
        let wrong = match n {
            99 => ioc.snapshot().unwrap(),
            _ => {
                let bytes = before.as_bytes().to_vec();
                let from = bytes.len() - 2;
                let mut bytes = bytes;
                bytes[from] = 7;
                let sum = crc32fast::hash(&bytes[32..]);
                bytes[28..32].copy_from_slice(&sum.to_le_bytes());
                IocSnapshot::from_bytes(bytes).unwrap()
            }
        };
        run.with_model(|model| model.n = 3);
        ioc.post("a", 77.0).unwrap();
        let error = ioc.rewind(&wrong).unwrap_err();
        assert!(
            matches!(error, SnapshotError::Model { number: 1, .. })
                && error.to_string().contains(why),
            "{error}"
        );
        assert_eq!(ioc.read("a").unwrap().value, 77.0.into());
    }
    // One without it, one more, and one of another kind are other IOCs.
    let also = ModelRun::new(ioc.clone(), &pvs(), Remembers { n: 0 }).unwrap();
    let told = ioc.rewind(&before).unwrap_err().to_string();
    assert!(told.contains("it has 1 models, and here are 2"), "{told}");
    drop(also);
    ioc.rewind(&before).unwrap();
    drop(run);
    assert!(matches!(
        ioc.rewind(&before),
        Err(SnapshotError::OtherDatabase { .. })
    ));
    let mut fewer = pvs();
    fewer.set.truncate(1);
    let _other = ModelRun::new(ioc.clone(), &fewer, Remembers { n: 0 }).unwrap();
    let told = ioc.rewind(&before).unwrap_err().to_string();
    assert!(
        told.contains("reads 2 and writes 2 PVs from \"a\" on there, and reads 1"),
        "{told}"
    );
}
