//! Signals on records of files, and recordings.

use std::time::Duration;

use ca_proto::dbr::Value;
use ca_server_sim::signals::{Recording, Signal, Sine};
use ca_server_sim::{BuildError, Instant, Ioc, PvSpec, Timestamp};

const SECOND: Duration = Duration::from_secs(1);

fn run(ioc: &mut Ioc, until: Duration) {
    let until = Instant::ZERO + until;
    while let Some(next) = ioc.poll_timeout().filter(|next| *next <= until) {
        ioc.handle_timeout(next);
    }
}

/// A record of any type follows a signal, and what is behind it is processed.
#[test]
fn records_follow_the_signal_that_their_info_names() {
    let mut ioc = Ioc::from_db(
        r#"record(ai, "level") {
             info(canter:signal, "ramp low=0 high=100 period=100s every=1s quantum=0.5")
             field(HIHI, "50") field(HHSV, "MAJOR") field(FLNK, "twice")
           }
           record(calc, "twice") { field(INPA, "level") field(CALC, "2*A") }
           record(longin, "count") { info(canter:signal, "counter start=5 every=0.5s") }"#,
    )
    .unwrap();
    ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    run(&mut ioc, 10 * SECOND);
    assert_eq!(ioc.number("level"), Ok(10.0));
    assert_eq!(ioc.number("twice"), Ok(20.0));
    assert_eq!(ioc.number("count"), Ok(25.0));
    run(&mut ioc, 60 * SECOND);
    assert_eq!(ioc.number("level.SEVR"), Ok(2.0));
}

/// With the line, like every other mistake of a file.
#[test]
fn mistakes_in_an_info_are_located() {
    let wrong = Ioc::from_db(
        "record(ai, \"level\") {\n  info(canter:signal, \"sin low=0\")\n}\nrecord(ai, \"b\") { info(canter:signal, \"sine lo=0\") }",
    );
    let Err(BuildError::Files(errors)) = wrong else {
        panic!("it is refused");
    };
    let told = errors.to_string();
    assert!(
        told.contains("canter:signal, column 1: there is no signal `sin`"),
        "{told}"
    );
    assert!(
        told.contains("did you mean `sine`?") && told.contains("did you mean `low`?"),
        "{told}"
    );
}

#[test]
fn a_recording_is_played_on_several_pvs_in_step() {
    let recording = Recording::csv("t,x,y\n0,1,10\n1,2,20\n2.5,3,30\n").unwrap();
    let every = Duration::from_millis(500);
    let mut ioc = Ioc::builder()
        .pv(
            "x",
            PvSpec::double(0.0).signal(recording.column("x").unwrap(), every),
        )
        .pv(
            "y",
            PvSpec::long(0).signal(recording.column("y").unwrap().repeated(), every),
        )
        .build()
        .unwrap();
    ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    let mut seen = Vec::new();
    for n in 0..=6 {
        run(&mut ioc, every * n);
        seen.push((ioc.number("x").unwrap(), ioc.number("y").unwrap()));
    }
    let expected = [
        (1.0, 10.0),
        (1.0, 10.0),
        (2.0, 20.0),
        (2.0, 20.0),
        (2.0, 20.0),
        (3.0, 10.0),
        (3.0, 10.0),
    ];
    assert_eq!(seen, expected);
}

/// The same seed gives the same noise.
#[test]
fn what_is_measured_is_noisy_and_late_and_repeatable() {
    let values = |seed| {
        let level = Sine::new(0.0, 10.0, 10 * SECOND).shaped();
        let level = level.noise(0.5).drift(0.1).latency(SECOND).quantum(0.25);
        let mut ioc = Ioc::builder()
            .seed(seed)
            .pv("x", PvSpec::double(0.0).signal(level, SECOND))
            .build()
            .unwrap();
        ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
        let value = |n: u32| {
            run(&mut ioc, SECOND * n);
            ioc.read("x").unwrap().value
        };
        (0..20).map(value).collect::<Vec<Value>>()
    };
    assert_eq!(values(3), values(3));
    assert_ne!(values(3), values(4));
}
