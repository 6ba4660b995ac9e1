//! `canter conformance` as a user runs it.

use ca_server_sim::{Ioc, PvSpec};

use crate::common::Served;

fn small() -> (Served, String, String) {
    let served = Served::new(Ioc::builder().pv("t:gap", PvSpec::double(1.5)));
    let (tcp, udp) = (served.tcp.to_string(), served.port.to_string());
    (served, tcp, udp)
}

#[test]
fn our_ioc_is_judged_and_the_report_counts_what_passed() {
    let (served, tcp, udp) = small();
    let run = served.canter(&[
        "conformance",
        &tcp,
        "--udp-port",
        &udp,
        "--pv",
        "t:gap",
        "--group",
        "echo",
        "--group",
        "search-udp",
    ]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("29 passed, 0 failed"), "{run:?}");
}

#[test]
fn a_failed_check_shows_the_frames_and_is_exit_code_1() {
    let (served, tcp, _) = small();
    let args = [
        "conformance",
        &tcp,
        "--udp-port",
        "0",
        "--pv",
        "t:gap",
        "--group",
        "channel",
    ];
    let run = served.canter(&[&args[..], &["--readonly", "t:gap"]].concat());
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.out.contains("FAIL    channel.rights_readonly"),
        "{run:?}"
    );
    assert!(run.out.contains("rights are 3"), "{run:?}");
    assert!(run.out.contains("<- ACCESS_RIGHTS cid="), "{run:?}");
    assert!(run.out.contains("00160000"), "{run:?}");
}

#[test]
fn json_and_junit_hold_every_check() {
    let (served, tcp, udp) = small();
    let file = std::env::temp_dir().join(format!("canter-junit-{}.xml", std::process::id()));
    let path = file.display().to_string();
    let run = served.canter(&[
        "conformance",
        &tcp,
        "--udp-port",
        &udp,
        "--pv",
        "t:gap",
        "--group",
        "string",
        "--json",
        "--junit",
        &path,
    ]);
    let junit = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    let checks = report["groups"][0]["checks"].as_array().unwrap();
    let skipped = checks.iter().filter(|check| check["outcome"] == "skipped");
    assert_eq!((checks.len(), skipped.count()), (19, 15));
    let suite = r#"<testsuite name="string" tests="19" skipped="15" errors="0" failures="0">"#;
    assert!(junit.contains(suite), "{junit}");
    assert_eq!(junit.matches("<testcase ").count(), 19);
    assert_eq!(junit.matches("<skipped ").count(), 15);
}

#[test]
fn what_cannot_be_judged_is_named() {
    let (served, tcp, _) = small();
    let run = served.canter(&["conformance", &tcp, "--pv", "t:none"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("the server has no PV t:none"), "{run:?}");
    let run = served.canter(&["conformance", &tcp, "--pv", "t:gap", "--group", "nonsense"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.err.contains("choose of version, names"), "{run:?}");
}
