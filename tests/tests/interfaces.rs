//! Interfaces that go, change their address and come up late: what libca reports of a real IOC, and what we do. Each
//! scene has network namespaces of its own; nothing outside of them is touched.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ca_tests::peer::Python;
use ca_tests::program::canter;

/// What the IOC's and the client's host are made with.
const NAMESPACES: [&str; 7] = [
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
const SCENES: [(&str, &str); 3] = [
    ("loss", "the cable is pulled, and in again after 11 s"),
    ("address", "the client's host gets another address"),
    ("late", "the client's interface comes up after the client"),
];
/// Seconds since the clients were started, who, and what.
type Line = (f64, String, String);

fn start(scene: &str, python: &Python, canter: &Path) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/interfaces.sh");
    Command::new("unshare")
        .args(NAMESPACES)
        .arg("sh")
        .arg(script)
        .arg(python.program())
        .arg(canter)
        .arg(scene)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare is there")
}

fn finish(scene: Child) -> Vec<Line> {
    let told = scene.wait_with_output().expect("it ends by itself").stdout;
    let told = String::from_utf8(told).expect("it is text");
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let time = words.next()?.parse().ok()?;
        Some((time, words.next()?.to_owned(), words.next()?.to_owned()))
    };
    told.lines().filter_map(line).collect()
}

/// When somebody first said that, after a time.
fn when(lines: &[Line], after: f64, who: &str, what: &str) -> Option<f64> {
    let mut found = lines.iter().filter(|line| line.1 == who && line.2 == what);
    found.find(|line| line.0 > after).map(|line| line.0)
}

/// A row: seconds after an event of the scene for each client.
fn row(scene: &str, lines: &[Line], event: &str, what: &str) -> (String, [Option<f64>; 2]) {
    let at = when(lines, 0.0, "scene", event).unwrap_or_else(|| panic!("{scene}: {lines:?}"));
    let of = |who| when(lines, at, who, what).map(|time| time - at);
    let both = [of("libca"), of("canter")];
    let shown =
        both.map(|time| time.map_or_else(|| "never".to_owned(), |time| format!("{time:.1} s")));
    let [libca, canter] = shown;
    (
        format!("| {scene} | {event} | {what} | {libca} | {canter} |"),
        both,
    )
}

#[test]
#[ignore = "needs real EPICS, `unshare` and `ip`, and 40 s: `cargo xtask test` sets it up and runs this"]
fn interfaces_that_go_and_come() {
    let python = Python::here();
    let allowed = Command::new("unshare")
        .args(NAMESPACES)
        .args(["ip", "link"])
        .output();
    if !allowed.is_ok_and(|run| run.status.success()) {
        eprintln!(
            "SKIPPED: this machine lets nobody make network namespaces (unshare --user --net, ip)"
        );
        return;
    }
    let canter = canter();
    let started = SCENES.map(|(scene, _)| start(scene, &python, &canter));
    let [loss, address, late] = started.map(finish);
    let rows = [
        row("loss", &loss, "down", "disconnected"),
        row("loss", &loss, "up", "connected"),
        row("address", &address, "address", "disconnected"),
        row("late", &late, "up", "connected"),
    ];
    for (row, _) in &rows {
        println!("{row}");
    }
    // How soon is in the table, and depends on what else the machine does. Both notice what is lost and what comes
    // back; an interface that comes up late is searched by ours alone.
    for (row, times) in &rows[..3] {
        assert!(
            times.iter().all(Option::is_some),
            "{row}\n{loss:?}\n{address:?}"
        );
    }
    assert!(rows[3].1[1].is_some(), "{late:?}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/reconnection.md");
    let page = fs::read_to_string(page).expect("it is there");
    for (scene, what) in SCENES {
        assert!(
            page.contains(what),
            "the table of the book lacks {scene}: {what}"
        );
    }
}
