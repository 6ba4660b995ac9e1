//! `canter monitor` as a user runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::common::{PATIENCE, Served, until};

/// A running program whose lines are read as they come.
struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

fn lines(of: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(of).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

impl Running {
    fn start(served: &Served, args: &[&str]) -> Self {
        let mut command = served.command(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = lines(child.stderr.take().unwrap());
        let lines = lines(child.stdout.take().unwrap());
        Self {
            child,
            lines,
            errors,
        }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    /// The line without its time stamp.
    #[track_caller]
    fn news(&self) -> String {
        let line = self.line();
        line[26..].trim().to_owned()
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let errors: Vec<String> = self.errors.iter().collect();
        (code, errors.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn updates_come_with_time_units_and_alarm() {
    let served = Served::zoo();
    let running = Running::start(&served, &["monitor", "--count", "3", "t:gap"]);
    assert_eq!(running.news(), "t:gap  1.25 mm");
    served.post("t:gap", 2.0);
    assert_eq!(running.news(), "t:gap  2 mm");
    served.post("t:gap", 5.0);
    assert_eq!(running.news(), "t:gap  5 mm  MAJOR HIHI");
    assert_eq!(running.wait(), (Some(0), String::new()));
}

#[test]
fn json_has_one_object_per_event() {
    let served = Served::zoo();
    let run = served.canter(&["monitor", "--json", "--count", "2", "t:valve", "t:wave"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let updates: Vec<_> = run
        .json()
        .into_iter()
        .filter(|o| o["event"] == "update")
        .collect();
    assert_eq!(updates.len(), 2);
    let valve = updates.iter().find(|o| o["pv"] == "t:valve").unwrap();
    assert_eq!(
        (&valve["value"], &valve["label"]),
        (&1.into(), &"Open".into())
    );
    assert_eq!(valve["severity"], "NO_ALARM");
}

#[test]
fn a_restart_of_the_ioc_is_told() {
    let served = Served::zoo();
    let running = Running::start(&served, &["monitor", "t:count"]);
    assert_eq!(running.news(), "t:count  -42 counts");
    served.stop();
    let lost = format!(
        "t:count  *** disconnected from {}: closed by the peer",
        served.tcp
    );
    assert_eq!(running.news(), lost);
    served.start();
    assert_eq!(running.news(), "t:count  *** connected");
    assert_eq!(running.news(), "t:count  -42 counts");
    running.interrupt();
    assert_eq!(running.wait(), (Some(0), String::new()));
}

#[test]
fn a_pv_that_is_not_found_is_named_once_and_found_when_it_appears() {
    let served = Served::zoo();
    let running = Running::start(
        &served,
        &["monitor", "-w", "0.2", "--count", "2", "t:late", "t:count"],
    );
    assert_eq!(running.news(), "t:count  -42 counts");
    // On a busy machine the other one may not have been there in time, either.
    let mut errors = std::iter::repeat_with(|| running.errors.recv_timeout(PATIENCE).unwrap());
    let missing = errors.find(|line| line.contains("t:late")).unwrap();
    assert!(missing.contains("t:late: not found after "), "{missing}");
    assert!(missing.ends_with("; still searching"), "{missing}");
    served.add("t:late", ca_server_sim::PvSpec::long(1));
    assert_eq!(running.news(), "t:late   1");
    let (code, err) = running.wait();
    assert_eq!(code, Some(0));
    assert!(!err.contains("t:late"), "{err}");
}

#[test]
fn the_time_is_limited_and_what_never_came_is_a_time_out() {
    let served = Served::zoo();
    let run = served.canter(&["monitor", "--seconds", "0.3", "t:none"]);
    run.expect(3, "").says("t:none: not found");
}

#[test]
fn ends_when_its_reader_is_gone() {
    let served = Served::zoo();
    let mut command = served.command(&["monitor", "t:count"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut first).unwrap();
    assert!(first.contains("t:count"));
    drop(output);
    // Nothing changes any more: only the closed pipe can end it.
    until("the program has ended", || {
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn masks_are_checked() {
    let served = Served::zoo();
    served
        .canter(&["monitor", "--mask", "vx", "t:count"])
        .expect(2, "")
        .says("`x` is none of v (value), l (log), a (alarm), p (property)");
    let run = served.canter(&["monitor", "--mask", "p", "--count", "1", "t:count"]);
    assert!(run.out.contains("t:count  -42 counts"), "{run:?}");
}

/// The name of the missing PV goes to an error stream that nobody reads; it ends all the same.
#[cfg(target_os = "linux")]
#[test]
fn an_error_stream_that_nobody_reads_does_not_stop_a_monitor() {
    let served = Served::zoo();
    let (_reader, writer) = std::io::pipe().unwrap();
    crate::common::fill(&writer);
    let args = [
        "monitor",
        "--seconds",
        "0.5",
        "-w",
        "0.1",
        "t:gap",
        "not-there",
    ];
    let mut command = served.command(&args);
    let command = command.stdout(Stdio::piped()).stderr(writer);
    let mut child = command.spawn().unwrap();
    let output = lines(child.stdout.take().unwrap());
    let line = output.recv_timeout(PATIENCE).expect("an update");
    assert!(line.contains("1.25"), "{line}");
    assert_eq!(crate::common::ended(&mut child), Some(3));
}

/// What it writes is not taken, which no look at the clock between two lines would notice.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_nobody_reads_does_not_outlast_the_time() {
    let served = Served::zoo();
    let (_reader, writer) = std::io::pipe().unwrap();
    crate::common::fill(&writer);
    let mut command = served.command(&["monitor", "--seconds", "0.3", "t:gap"]);
    let command = command.stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let errors = lines(child.stderr.take().unwrap());
    assert_eq!(crate::common::ended(&mut child), Some(1));
    let told = errors.recv_timeout(PATIENCE).expect("why it has ended");
    assert_eq!(told, "error: the time is over, and the output is not taken");
}

#[test]
fn units_and_labels_are_those_of_the_moment() {
    let served = Served::zoo();
    let running = Running::start(&served, &["monitor", "--count", "2", "t:gap"]);
    assert_eq!(running.news(), "t:gap  1.25 mm");
    served.canter(&["put", "t:gap.EGU", "cm"]);
    served.post("t:gap", 2.0);
    assert_eq!(running.news(), "t:gap  2 cm");
    assert_eq!(running.wait(), (Some(0), String::new()));
}

#[test]
fn property_events_say_what_has_changed() {
    let served = Served::zoo();
    let running = Running::start(&served, &["monitor", "-m", "p", "--count", "2", "t:gap"]);
    assert_eq!(running.news(), "t:gap  1.25 mm");
    served.canter(&["put", "t:gap.EGU", "cm"]);
    assert_eq!(running.news(), "t:gap  *** units cm, were mm");
    assert_eq!(running.news(), "t:gap  1.25 cm");
    assert_eq!(running.wait(), (Some(0), String::new()));
    let args = ["monitor", "--json", "-m", "vp", "--count", "2", "t:valve"];
    let running = Running::start(&served, &args);
    let object = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap();
    let until = |event: &str| loop {
        let object = object(running.line());
        if object["event"] == event {
            return object;
        }
    };
    let first = until("update");
    assert_eq!(first["states"], serde_json::json!(["Closed", "Open"]));
    served.canter(&["put", "t:valve.ONAM", "Ajar"]);
    let changed = until("properties");
    assert_eq!(changed["changed"], serde_json::json!(["states"]));
    assert_eq!(changed["states"], serde_json::json!(["Closed", "Ajar"]));
    assert_eq!(until("update")["label"], "Ajar");
}

#[test]
fn json_has_limits() {
    let served = Served::zoo();
    let run = served.canter(&["monitor", "--json", "--count", "1", "t:gap"]);
    let objects = run.json();
    let update = objects.iter().find(|o| o["event"] == "update").unwrap();
    assert_eq!(
        update["limits"]["display"],
        serde_json::json!([-10.0, 10.0])
    );
}
