//! `--record` and `--metrics` as a user runs them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::common::{PATIENCE, Served, until};

/// A directory of its own, which goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("canter-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that runs until it is killed, with the lines of its error stream.
struct Running(Child, Receiver<String>);

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = (command.stdout(Stdio::piped()).stderr(Stdio::piped()))
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(child, lines)
    }

    /// The next line that has this in it.
    #[track_caller]
    fn says(&self, part: &str) -> String {
        loop {
            let line = self.1.recv_timeout(PATIENCE).expect(part);
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let out = self.0.stdout.as_mut().unwrap();
        let mut byte = [0];
        while !line.ends_with('\n') && out.read(&mut byte).unwrap() == 1 {
            line.push(char::from(byte[0]));
        }
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_get_leaves_what_it_has_said_and_heard() {
    let served = Served::zoo();
    let place = Place::new("record-get");
    let file = place.path("get.txt");
    let run = served.canter(&["get", "--terse", "--record", &file, "t:count"]);
    run.expect(0, "-42\n");
    let text = place.read("get.txt");
    for part in [
        "SEARCH reply=no minor=4.13 cid=0 cid2=0 name=\"t:count\"",
        "connecting\n",
        "CREATE_CHAN cid=0 minor=4.13 name=\"t:count\"",
        "ACCESS_RIGHTS cid=0",
        "READ_NOTIFY",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// Wireshark agrees about what is in the file; our own look at the layout is in `ca-net`.
#[test]
#[ignore = "needs tshark (Debian: apt-get install tshark): `cargo xtask test` runs this"]
fn wireshark_reads_recordings() {
    let served = Served::zoo();
    let place = Place::new("record-pcapng");
    let file = place.path("get.pcapng");
    let run = served.canter(&[
        "get",
        "--terse",
        "--record",
        &file,
        "t:wave",
        "t:nothing",
        "-w",
        "0.3",
    ]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes[..4], [0x0A, 0x0D, 0x0D, 0x0A]);
    let fields = [
        "-T",
        "fields",
        "-e",
        "tcp.len",
        "-e",
        "tcp.analysis.flags",
        "-e",
        "_ws.malformed",
    ];
    let checks = [
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
    ];
    let read = Command::new("tshark")
        .args(["-r", &file, "-Y", "tcp"])
        .args(checks)
        .args(fields)
        .args(["-e", "tcp.checksum.status", "-e", "ip.checksum.status"])
        .output()
        .expect("tshark is installed");
    let out = String::from_utf8_lossy(&read.stdout);
    assert!(read.status.success(), "{read:?}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() > 5, "{out}");
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        // No retransmission, no gap, nothing malformed, and sums that are right.
        assert_eq!(columns[1..], ["", "", "1", "1"], "{out}");
    }
}

#[test]
fn a_monitor_writes_when_asked_and_when_its_server_goes() {
    let served = Served::zoo();
    let place = Place::new("record-monitor");
    let file = place.path("watch.txt");
    let mut monitor = Running::start(served.command(&["monitor", "--record", &file, "t:gap"]));
    monitor.line();
    monitor.signal("-USR1");
    monitor.says("watch-1.txt");
    assert!(place.read("watch-1.txt").contains("EVENT_ADD"));
    served.stop();
    monitor.says("watch-2.txt");
    assert!(place.read("watch-2.txt").contains("ended"));
    monitor.signal("-INT");
    assert!(monitor.0.wait().unwrap().success() || cfg!(unix));
    assert!(place.read("watch.txt").contains("closed"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_nothing_else_stops() {
    let served = Served::zoo();
    let run = served.canter(&["get", "--terse", "--record", "/dev/full", "t:count"]);
    run.expect(0, "-42\n");
    run.says("the recording cannot be written to /dev/full: No space left on device");
    let run = served.canter(&["get", "--terse", "--record", "/nowhere/x", "t:count"]);
    run.expect(0, "-42\n").says("/nowhere/x: No such file");
}

/// What a page says.
fn fetch(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// The value of a metric; each has help and type.
#[track_caller]
fn value(page: &str, name: &str) -> f64 {
    let base = name.split('{').next().unwrap();
    assert!(page.contains(&format!("# HELP {base} ")), "{page}");
    assert!(page.contains(&format!("# TYPE {base} ")), "{page}");
    let line = page.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_monitor_serves_its_numbers() {
    let served = Served::zoo();
    let args = ["monitor", "--metrics", "0", "t:gap", "t:nothing"];
    let mut monitor = Running::start(served.command(&args));
    let told = monitor.says("metrics: http://");
    let address = told.split("//").nth(1).unwrap().split('/').next().unwrap();
    monitor.line();
    let page = fetch(address, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert_eq!(value(&page, "canter_channels{state=\"connected\"}"), 1.0);
    assert_eq!(value(&page, "canter_channels{state=\"searching\"}"), 1.0);
    assert!(value(&page, "canter_updates_total") >= 1.0);
    assert!(value(&page, "canter_search_datagrams_total") >= 1.0);
    assert!(value(&page, "canter_received_bytes_total") > 50.0);
    assert!(value(&page, "canter_sent_bytes_total") > 50.0);
    assert!(
        page.contains("canter_search_round_trip_seconds_bucket{le=\"+Inf\"} 1\n"),
        "{page}"
    );
    assert!(fetch(address, "/").starts_with("HTTP/1.1 404"));
    served.post("t:gap", 2.0);
    until("the update is counted", || {
        value(&fetch(address, "/metrics"), "canter_updates_total")
            > value(&page, "canter_updates_total")
    });
}

#[test]
fn an_ioc_serves_its_numbers_and_its_record() {
    let place = Place::new("record-ioc");
    let file = place.path("ioc.txt");
    let args = [
        "ioc",
        "--port",
        "0",
        "--metrics",
        "0",
        "--record",
        &file,
        "--pv",
        "x=double:1",
    ];
    let mut ioc = Running::start(crate::common::command_on(0, &args));
    let told = ioc.says("metrics: http://");
    let address = told.split("//").nth(1).unwrap().split('/').next().unwrap();
    let mut port = String::new();
    while port.is_empty() {
        let line = ioc.line();
        if let Some(rest) = line.strip_prefix("export EPICS_CA_SERVER_PORT=") {
            port = rest.trim().trim_matches('"').to_owned();
        }
    }
    let get = crate::common::command_on(port.parse().unwrap(), &["get", "--terse", "x"]).output();
    assert_eq!(get.unwrap().stdout, b"1\n");
    let page = fetch(address, "/metrics");
    assert_eq!(value(&page, "canter_ioc_pvs"), 1.0);
    assert_eq!(value(&page, "canter_ioc_up"), 1.0);
    assert!(value(&page, "canter_ioc_found_total") >= 1.0);
    ioc.signal("-USR1");
    ioc.says("ioc-1.txt");
    let text = place.read("ioc-1.txt");
    assert!(
        text.contains("SEARCH reply=no minor=4.13 cid=0 cid2=0 name=\"x\""),
        "{text}"
    );
    assert!(text.contains("READ_NOTIFY ty=DBR_"), "{text}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let served = Served::zoo();
    let run = served.canter(&["monitor", "--metrics", &place, "t:gap"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    run.says(&format!("--metrics: cannot listen on {place}"));
}

#[test]
fn addresses_are_kept_from_one_run_to_the_next() {
    let served = Served::zoo();
    let place = Place::new("addresses");
    let (file, record) = (place.path("addresses"), place.path("get.txt"));
    for searches in [true, false] {
        let args = [
            "get",
            "--terse",
            "--address-cache",
            &file,
            "--record",
            &record,
            "t:count",
        ];
        served.canter(&args).expect(0, "-42\n");
        assert_eq!(place.read("get.txt").contains(" SEARCH "), searches);
    }
    assert!(
        place
            .read("addresses")
            .ends_with(&format!("@{} 13\nt:count\n", served.tcp))
    );
    let run = served.canter(&["get", "--terse", "--address-cache", "/nowhere/x", "t:count"]);
    run.expect(0, "-42\n")
        .says("the addresses cannot be written to /nowhere/x");
}
