//! `canter bench` as a user runs it. Speed is printed, and never asserted.

use serde_json::Value as Json;

use crate::common::Served;

fn json(served: &Served, args: &[&str]) -> Json {
    let run = served.canter(args);
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.out).unwrap()
}

#[test]
fn figures_of_a_server_are_printed_with_a_histogram() {
    let served = Served::zoo();
    let run = served.canter(&["bench", "--seconds", "0.3", "t:gap", "t:wave"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for begin in [
        "connect     2 channels in ",
        "read        ",
        "throughput  ",
        "updates     ",
    ] {
        assert!(
            run.out.lines().any(|line| line.starts_with(begin)),
            "{}",
            run.out
        );
    }
    assert!(run.out.contains('█'), "{}", run.out);
    assert!(!run.out.contains("write "), "{}", run.out);
}

#[test]
fn json_has_every_figure_and_writing_only_when_asked() {
    let served = Served::zoo();
    let args = [
        "bench",
        "--json",
        "--seconds",
        "0.4",
        "--in-flight",
        "5",
        "t:count",
        "t:valve",
    ];
    let silent = json(&served, &args);
    assert_eq!(silent["connect"]["channels"], 2);
    assert!(silent["read"]["operations"].as_u64() > Some(0));
    assert!(silent["read"]["p50_us"].as_f64() <= silent["read"]["max_us"].as_f64());
    assert_eq!(silent["throughput"]["in_flight"], 5);
    assert!(silent["throughput"]["reads"].as_u64() >= Some(5));
    assert_eq!(silent["write"], Json::Null);

    let mut args = args.to_vec();
    args.push("--write");
    let writing = json(&served, &args);
    assert!(writing["write"]["operations"].as_u64() > Some(0));
    // What was written is what was there.
    served.canter(&["get", "t:count", "t:valve"]).expect(
        0,
        "t:count  -42 counts\n\
         t:valve  Open\n",
    );
}

#[test]
fn pvs_that_fail_are_told_and_the_others_measured() {
    let served = Served::zoo();
    let args = ["bench", "--seconds", "0.2", "-w", "3", "t:gap", "t:nowhere"];
    let run = served.canter(&args);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.err.contains("t:nowhere"), "{}", run.err);
    assert!(run.out.starts_with("connect     1 channels"), "{}", run.out);

    // Nothing was measured, so there is nothing to show.
    served
        .canter(&["bench", "-w", "0.05", "t:nowhere"])
        .expect(3, "")
        .says("t:nowhere: not found");

    let args = ["bench", "--seconds", "0.2", "--write", "t:fixed"];
    let run = served.canter(&args);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("t:fixed"), "{}", run.err);
}

#[test]
fn times_without_sense_are_refused() {
    let served = Served::zoo();
    for seconds in ["0", "-1", "soon", "1e9"] {
        let run = served.canter(&["bench", "--seconds", seconds, "t:gap"]);
        assert_eq!(run.code, Some(2), "{seconds}: {run:?}");
    }
}
