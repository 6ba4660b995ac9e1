//! Our simulated IOC beside the IOC of EPICS Base: the same requests cause the same replies and
//! updates, but for what `PROTOCOL.md` lists.

use std::time::{Duration, Instant};

use ca_proto::dbr::NativeType;
use ca_server_sim::{Ioc, IocBuilder, NetConfig, PvSpec, RecordType, SimIoc};
use ca_tests::peer::{Peer, Python};
use ca_tests::ports;

const PREFIX: &str = "SAME";
/// Time the script has.
const LIMIT: Duration = Duration::from_secs(60);

/// The PVs of `peers/same.db`.
fn database() -> IocBuilder {
    use ca_proto::AlarmSeverity as S;
    let analogue = PvSpec::double(0.0)
        .description("analogue")
        .units("mm")
        .precision(2)
        .display(-100.0, 100.0)
        .control(-50.0, 50.0)
        .alarm(-40.0, 40.0)
        .warning(-30.0, 30.0)
        .hysteresis(2.0)
        .value_deadband(1.0)
        .archive_deadband(3.0);
    let input = PvSpec::double(0.0)
        .record_type(RecordType::Ai)
        .units("V")
        .precision(3)
        .display(-10.0, 10.0)
        .alarm(f64::NAN, 8.0)
        .warning(f64::NAN, 5.0);
    let integer = PvSpec::long(0)
        .units("c")
        .display(-1000.0, 1000.0)
        .control(-5000.0, 5000.0)
        .alarm(-900.0, 900.0)
        .warning(-800.0, 800.0)
        .hysteresis(20.0)
        .value_deadband(5.0)
        .archive_deadband(10.0);
    let states = PvSpec::enumeration(["zero", "one", "two", "three"], 1).state_severities([
        S::NO_ALARM,
        S::NO_ALARM,
        S::MINOR,
        S::MAJOR,
    ]);
    let two = PvSpec::enumeration(["off", "on"], 0).state_severities([S::NO_ALARM, S::MINOR]);
    let chars = PvSpec::value(ca_proto::dbr::Value::empty(NativeType::Char)).capacity(10);
    let pvs = [
        ("ao", analogue),
        ("ai", input),
        ("lo", integer),
        ("li", PvSpec::long(3).record_type(RecordType::LongIn)),
        ("mbbo", states),
        ("bo", two),
        ("so", PvSpec::string("hello")),
        (
            "wd",
            PvSpec::array([1.0, 2.0, 3.0]).capacity(5).precision(1),
        ),
        ("wc", chars),
        ("ws", PvSpec::strings(&["a", "b"]).capacity(3)),
        ("mark", PvSpec::long(0).value_deadband(-1.0)),
    ];
    Ioc::builder().pvs(pvs.map(|(name, spec)| (format!("{PREFIX}:{name}"), spec)))
}

async fn serve() -> SimIoc {
    let port = ports::free_pair();
    let config = NetConfig::new().tcp_port(port).udp_port(port).exact(true);
    let served = database().serve(config.repeater(None)).await;
    served.expect("the port is free")
}

/// What the script tells of the server on a port: for each request, its line and what came back.
fn story(python: &Python, port: u16) -> Vec<(String, Vec<String>)> {
    let script = python.start("same.py", port, PREFIX, &["--stdin"]);
    let mut script = script.unwrap_or_else(|error| panic!("{error}"));
    let steps = steps(&script);
    script.stop();
    steps
}

fn steps(script: &Peer) -> Vec<(String, Vec<String>)> {
    let deadline = Instant::now() + LIMIT;
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    while let Some(line) = script.line(deadline) {
        if line == "DONE" {
            return steps;
        }
        match line.strip_prefix("    ") {
            Some(outcome) => steps.last_mut().expect("a step").1.push(outcome.into()),
            None => steps.push((line, Vec::new())),
        }
    }
    panic!(
        "{}",
        script.error("ended before its last line, or took too long")
    );
}

/// What an outcome comes to where order does not count: `PROTOCOL.md`, S32. A property event is told to all
/// fields of a record, by the reference in the order in which clients have subscribed.
fn in_any_order_of_fields(outcome: &[String]) -> Vec<String> {
    let mut sorted = outcome.to_vec();
    for run in sorted.chunk_by_mut(|a, b| a.contains(" property ") && b.contains(" property ")) {
        run.sort();
    }
    sorted
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn the_simulated_ioc_does_what_the_real_one_does() {
    let python = Python::here();
    let real = python.serve("run_ioc.py", PREFIX, &["--db", "same.db"]);
    let real = real.unwrap_or_else(|error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let ours = runtime.block_on(serve());
    let expected = story(&python, real.port());
    let found = story(&python, ours.udp_port());
    drop((real, ours));
    let mut different = Vec::new();
    for ((request, expected), (ours, found)) in expected.iter().zip(&found) {
        assert_eq!(request, ours);
        if in_any_order_of_fields(expected) != in_any_order_of_fields(found) {
            different.push(format!(
                "{request}\n  real {expected:#?}\n  ours {found:#?}"
            ));
        }
    }
    assert_eq!(expected.len(), found.len());
    assert!(expected.len() > 500, "{} steps", expected.len());
    let n = different.len();
    assert!(
        n == 0,
        "{n} of {} steps differ:\n{}",
        found.len(),
        different.join("\n")
    );
}
