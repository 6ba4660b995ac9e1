//! `canter ioc` started, driven and ended by another program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value as Json;
use wait_timeout::ChildExt;

use crate::common::{PATIENCE, Run, command_on};

/// A directory that goes away.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("canter-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An IOC that has said that it serves.
struct Service {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
    ready: Json,
}

impl Service {
    fn start(args: &[&str]) -> Self {
        Self::with(args, |_| {})
    }

    fn with(args: &[&str], tune: impl FnOnce(&mut Command)) -> Self {
        let first = ["ioc", "--port", "0", "--ready", "json", "--end-with-stdin"];
        let mut command = command_on(0, &[&first[..], args].concat());
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        tune(&mut command);
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        if line.is_empty() {
            let mut told = String::new();
            errors.read_to_string(&mut told).unwrap();
            panic!("it ended: {told}");
        }
        Self {
            input: child.stdin.take(),
            child,
            output,
            errors,
            ready: serde_json::from_str(&line).unwrap(),
        }
    }

    fn control(&self) -> Control {
        let address = self.ready["control"].as_str().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Control(BufReader::new(stream))
    }

    fn client(&self, args: &[&str]) -> Run {
        let environment = self.ready["environment"].as_object().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_canter"));
        command.args(args).env_clear();
        for (name, value) in environment {
            command.env(name, value.as_str().unwrap());
        }
        command.env("EPICS_CLI_TIMEOUT", "10");
        command.env("EPICS_CA_REPEATER_PORT", "25999");
        Run::of(&command.output().unwrap())
    }

    /// The next line of the error stream.
    fn error(&mut self) -> String {
        let mut line = String::new();
        self.errors.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    #[cfg(unix)]
    fn hang_up(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end: exit code, and the rest of output and errors.
    fn ended(&mut self) -> (Option<i32>, String, String) {
        let status = self.child.wait_timeout(PATIENCE).unwrap().expect("it ends");
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        self.errors.read_to_string(&mut err).unwrap();
        (status.code(), out, err)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Control(BufReader<TcpStream>);

impl Control {
    /// The lines of an answer before the last, or what is wrong.
    fn ask(&mut self, command: &str) -> Result<Vec<String>, String> {
        writeln!(self.0.get_mut(), "{command}").unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.0.read_line(&mut line).unwrap(),
                0,
                "{command}: {lines:?}"
            );
            let line = line.trim_end();
            if line == "ok" {
                return Ok(lines);
            }
            if let Some(what) = line.strip_prefix("error: ") {
                return Err(what.to_owned());
            }
            lines.push(line.to_owned());
        }
    }

    fn read(&mut self, pv: &str) -> Json {
        let lines = self.ask(&format!("read {pv}")).unwrap();
        serde_json::from_str(&lines[0]).unwrap()
    }
}

#[test]
fn it_says_when_it_serves_and_ends_with_its_standard_input() {
    let mut service = Service::start(&["--pv", "x=long:7"]);
    assert_eq!(service.ready["event"], "ready");
    assert_eq!(service.ready["pvs"], 1);
    assert_eq!(service.ready["pid"], service.child.id());
    service.client(&["get", "x"]).expect(0, "x  7\n");
    drop(service.input.take());
    assert_eq!(
        service.ended(),
        (Some(0), String::new(), "stopped\n".to_owned())
    );
}

#[test]
fn a_place_that_cannot_be_told_is_an_error_before_anything_is_announced() {
    let dir = Dir::new("ioc-unwritable");
    let nowhere = dir.file("file", "") + "/ready";
    let args = [
        "ioc", "--port", "0", "--pv", "x=long:7", "--ready", &nowhere,
    ];
    let run = Run::of(&command_on(0, &args).output().unwrap());
    run.expect(2, "")
        .says("--ready ")
        .says("name a file that can be written");
}

#[test]
#[cfg(unix)]
fn it_says_when_it_serves_in_a_file_or_to_a_descriptor() {
    let dir = Dir::new("ioc-ready");
    let path = dir.file("ready", "left by an earlier run");
    let service = Service::start(&["--pv", "x=long:7"]);
    drop(service);
    let args = [
        "ioc", "--port", "0", "--quiet", "--pv", "x=long:7", "--ready", &path,
    ];
    let mut command = command_on(0, &[&args[..], &["--end-with-stdin"]].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let ready: Json = loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        match serde_json::from_str(&text) {
            Ok(ready) => break ready,
            Err(_) => assert!(std::time::Instant::now() < deadline, "{text}"),
        }
        std::thread::yield_now();
    };
    assert_ne!(ready["tcp_port"], 0);
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"", "quiet");
    assert!(!Path::new(&path).exists());

    let mut command = Command::new("sh");
    let script =
        "exec 3>&1 >/dev/null; exec \"$0\" ioc --port 0 --seconds 0 --pv x=long:7 --ready 3";
    command.args(["-c", script, env!("CARGO_BIN_EXE_canter")]);
    let output = command.output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    let ready: Json = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["event"], "ready");
}

#[test]
fn any_program_can_drive_it() {
    let args = [
        "--control",
        "127.0.0.1:0",
        "--pv",
        "x=double:1.5",
        "--pv",
        "valve=enum:Closed,Open",
        "--pv",
        "wave=long:5:1,2",
        "--pv",
        "note=string:a",
    ];
    let mut service = Service::start(&args);
    let mut control = service.control();
    assert_eq!(control.ask("post x 2.123456789"), Ok(vec![]));
    assert_eq!(control.ask("post valve Open"), Ok(vec![]));
    assert_eq!(control.ask("post wave 7 8 9"), Ok(vec![]));
    assert_eq!(control.ask("post note 'two words'"), Ok(vec![]));
    assert_eq!(control.ask("alarm x MAJOR COMM"), Ok(vec![]));
    let x = control.read("x");
    assert_eq!(
        (&x["pv"], &x["value"], &x["severity"], &x["status"]),
        (
            &"x".into(),
            &2.123456789.into(),
            &"MAJOR".into(),
            &"COMM".into()
        )
    );
    assert_eq!(control.read("valve")["label"], "Open");
    assert_eq!(control.read("wave")["value"], serde_json::json!([7, 8, 9]));
    service
        .client(&["get", "note"])
        .expect(0, "note  two words\n");
    let run = service.client(&["get", "x"]);
    assert!(run.out.contains("MAJOR COMM"), "{run:?}");
    assert_eq!(control.ask("alarm x NO_ALARM"), Ok(vec![]));
    assert_eq!(control.read("x")["severity"], "NO_ALARM");

    assert_eq!(control.ask("rights x read"), Ok(vec![]));
    let run = service.client(&["put", "x", "5"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(control.ask("rights x read-write"), Ok(vec![]));
    assert_eq!(service.client(&["put", "x", "5"]).code, Some(0));

    let begun = control.ask("fault stuck x for 1h").unwrap();
    assert_eq!(begun, ["1: stuck x for 1h"]);
    assert_eq!(service.client(&["put", "x", "6"]).code, Some(0));
    assert_eq!(service.client(&["get", "x"]).out, "x  5\n");
    assert!(control.ask("fault list").unwrap()[0].starts_with("1: stuck x for 1h, on for "));
    assert_eq!(control.ask("fault off stuck"), Ok(vec![]));

    assert_eq!(control.ask("list w*").unwrap().len(), 1);
    assert_eq!(control.ask("list").unwrap().len(), 4);
    assert!(control.ask("stats").unwrap()[0].starts_with("serves on 127.0.0.1:"));
    assert!(control.ask("help").unwrap().len() > 10);
    for (command, part) in [
        ("post y 1", "there is no PV or field y"),
        ("post x abc", "`abc`"),
        ("post wave 1 2 3 4 5 6", "5 elements"),
        ("post x", "`help` shows it"),
        ("alarm x BAD", "NO_ALARM, MINOR"),
        ("alarm x MAJOR BAD", "HIHI"),
        ("rights x all", "read-write"),
        ("complete x", "not busy"),
        ("fault stuk x", "did you mean `stuck`?"),
        (
            "fault stuck valv",
            "column 7: no PV is called \"valv\"; did you mean \"valve\"?",
        ),
        ("fault", "`help` shows it"),
        ("fly", "there is no command `fly`"),
        ("post x '1", "a quote has no end"),
    ] {
        let what = control.ask(command).unwrap_err();
        assert!(what.contains(part), "{command}: {what}");
    }

    assert_eq!(control.ask("stop"), Ok(vec![]));
    assert!(control.ask("stats").unwrap()[0].starts_with("stopped"));
    let port = service.ready["tcp_port"].as_u64().unwrap() as u16;
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(control.ask("start"), Ok(vec![]));
    assert_eq!(service.client(&["get", "x"]).out, "x  5\n");
    assert_eq!(control.ask("quit"), Ok(vec![]));
    assert_eq!(service.ended().0, Some(0));
}

#[test]
#[cfg(unix)]
fn files_are_read_anew_and_a_mistake_leaves_everything_as_it_was() {
    let dir = Dir::new("ioc-reload");
    let pv = |name: &str, rest: &str| format!("[pv.{name}]\ntype = 'long'\n{rest}\n");
    let path = dir.file(
        "pvs.toml",
        &(pv("a", "value = 1") + &pv("b", "") + &pv("c", "")),
    );
    let mut service = Service::start(&["--control", "127.0.0.1:0", &path]);
    let mut control = service.control();
    control.ask("post a 5").unwrap();
    control.ask("post b 6").unwrap();

    dir.file(
        "pvs.toml",
        &(pv("a", "vlaue = 1") + "[pv.d]\ntype = 'lnog'\n"),
    );
    service.hang_up();
    let mut told = String::new();
    while !told.contains("not reloaded") {
        told.push_str(&service.error());
    }
    for part in [
        "did you mean `value`?",
        "did you mean \"long\"?",
        "2 errors",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(control.read("a")["value"], 5);
    assert!(control.ask("reload").unwrap_err().contains("not reloaded"));

    dir.file(
        "pvs.toml",
        &(pv("a", "value = 1") + &pv("b", "value = 3") + &pv("d", "value = 4")),
    );
    assert_eq!(
        control.ask("reload"),
        Ok(vec![
            "reloaded: 1 added, 1 changed, 1 removed, 1 PV as before".to_owned()
        ])
    );
    let values = ["a", "b", "d"].map(|name| control.read(name)["value"].clone());
    assert_eq!(values, [5, 3, 4].map(Json::from));
    assert!(control.ask("read c").is_err());
}

/// systemd's side of the protocol: datagrams of lines on a socket that the environment names.
#[test]
#[cfg(unix)]
fn the_service_manager_is_told() {
    use std::os::unix::net::UnixDatagram;
    let dir = Dir::new("ioc-notify");
    let path = dir.0.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 1000];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let mut service = Service::with(&["--pv", "x=long:1"], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    let ready = next();
    assert!(
        ready.contains("READY=1") && ready.contains("STATUS=serves 1 PV"),
        "{ready}"
    );
    service.hang_up();
    let reloading = next();
    assert!(reloading.contains("RELOADING=1"), "{reloading}");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(next().contains("READY=1"));
    let id = service.child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status();
    assert!(sent.unwrap().success());
    assert!(next().contains("STOPPING=1"));
    assert_eq!(service.ended().0, Some(0));
}

#[test]
fn a_port_that_is_given_and_taken_is_an_error() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let run = |args: &[&str]| {
        let args = [&["ioc", "--pv", "x=long:1", "--seconds", "0"], args].concat();
        Run::of(&command_on(0, &args).output().unwrap())
    };
    run(&["--port", &port])
        .expect(2, "")
        .says(&format!("--port: TCP port {port} on 127.0.0.1 is taken"))
        .says("port 0 is any free one");
    let control = format!("127.0.0.1:{port}");
    run(&["--port", "0", "--control", &control])
        .expect(2, "")
        .says(&format!("--control: TCP port {port}"));
    // Without the option another port is taken, and told.
    let mut command = command_on(0, &["ioc", "--pv", "x=long:1", "--seconds", "0", "--quiet"]);
    let run = Run::of(
        &command
            .env("EPICS_CAS_SERVER_PORT", &port)
            .output()
            .unwrap(),
    );
    run.expect(0, "")
        .says(&format!("Another server has TCP port {port}"));
}

#[test]
fn a_check_tells_every_mistake_of_every_file_and_serves_nothing() {
    let dir = Dir::new("ioc-check");
    let good = dir.file(
        "good.toml",
        "[pv.x]\ntype = 'long'\n[pv.y]\ntype = 'long'\n",
    );
    let bad = dir.file(
        "bad.toml",
        "[pv.x]\ntype = 'long'\n[pv.z]\ntype = 'float'\nvalue = 1e300\n",
    );
    let check = |args: &[&str]| {
        let args = [&["ioc", "--check"], args].concat();
        Run::of(&command_on(0, &args).output().unwrap())
    };
    check(&[&good]).expect(0, "2 PVs, no mistakes\n");
    check(&[
        &good,
        &bad,
        "--pv",
        "n=short:1e9",
        "--pv",
        "y=long:1",
        "--limit",
        "max_circuits=x",
    ])
    .expect(2, "")
    .says("bad.toml:5:9")
    .says("beyond the largest float")
    .says("-32768")
    .says("PV \"y\" exists already")
    .says("--limit:1:14");
    let twice = dir.file("twice.toml", "[pv.x]\ntype = 'long'\n");
    check(&[&good, &twice])
        .expect(2, "")
        .says("twice.toml:1:5")
        .says("good.toml too");
    check(&["--pv", "a=double:1", "--pv", "a.HIHI=double:1"])
        .expect(2, "")
        .says("PV \"a.HIHI\" has the name of a field of PV \"a\"");
    check(&["--pv", "t=string:12:30"]).expect(0, "1 PV, no mistakes\n");
}

#[test]
fn a_file_that_is_no_toml_is_called_what_it_is() {
    let dir = Dir::new("ioc-foreign");
    let cases = [
        ("start", "#!/usr/bin/softIoc\n", "start has no iocInit"),
        ("y", "< envPaths\n", "Can't open envPaths"),
        ("x.json", "{\"pv\": {}}\n", "is JSON"),
        ("x.toml", "", "describes nothing"),
    ];
    for (name, content, part) in cases {
        let path = dir.file(name, content);
        let run = Run::of(&command_on(0, &["ioc", &path]).output().unwrap());
        run.says(part);
        assert_eq!(run.code, Some(2), "{run:?}");
    }
    let path = dir.0.join("binary");
    fs::write(&path, b"\x7fELF\0\xff").unwrap();
    let run = Run::of(
        &command_on(0, &["ioc", path.to_str().unwrap()])
            .output()
            .unwrap(),
    );
    run.expect(2, "").says("is no text");
}

#[test]
fn files_of_records_are_served_or_refused_as_a_whole() {
    let dir = Dir::new("ioc-records");
    let template = dir.file(
        "motor.template",
        "record(ao, \"$(P):$(M)\") { field(EGU, \"mm\") field(FLNK, \"$(P):$(M):twice\") }\n\
         record(calc, \"$(P):$(M):twice\") { field(INPA, \"$(P):$(M)\") field(CALC, \"2*A\") }\n",
    );
    let set = dir.file(
        "motors.substitutions",
        "file motor.template {\n  pattern { M }\n  { m1 }\n  { m2 }\n}\n",
    );
    let other = dir.file("other", "# records\n\n  record(ai, \"x\") {\n}\n");
    let path = dir.0.to_str().unwrap();
    let run = |args: &[&str]| {
        let mut command = command_on(0, &["ioc", "--check"]);
        Run::of(&command.args(args).output().unwrap())
    };
    run(&["-m", "P=SR", "-I", path, &set, &other]).expect(0, "5 records, no mistakes\n");
    run(&["-m", "P=SR,M=m", "-d", &template, "--pv", "y=long:1"])
        .expect(0, "1 PV and 2 records, no mistakes\n");
    run(&["-m", "P=SR,M=m", "-d", &template, "--pv", "SR:m=long:1"])
        .expect(2, "")
        .says("PV \"SR:m\" exists already");
    let wrong = dir.file(
        "wrong.db",
        "record(aii, \"x\") {}\nrecord(ai, \"y\") { field(EGO, \"mm\") }\n",
    );
    run(&[&wrong, &other])
        .expect(2, "")
        .says("wrong.db:1:8")
        .says("wrong.db:2:25")
        .says("EGU")
        .says("2 errors, nothing was done");
    run(&["-m", "P=SR", "missing.db"])
        .expect(2, "")
        .says("missing.db");
    let dbd = dir.file(
        "site.dbd",
        "recordtype(magnet) { field(NAME, DBF_STRING) { size(61) } field(VAL, DBF_DOUBLE) { pp(TRUE) } }\n",
    );
    let magnets = dir.file(
        "magnets.db",
        "record(magnet, \"q1\") {}\nrecord(magnet, \"q2\") {}\n",
    );
    run(&["-D", &dbd, &magnets])
        .expect(0, "2 records, no mistakes\n")
        .says("record type magnet is not simulated: 2 of its records hold their values");
}

#[test]
fn connections_that_give_commands_are_bounded_and_the_one_too_many_is_told() {
    const MOST: usize = 16;
    let service = Service::start(&["--control", "127.0.0.1:0", "--pv", "x=double:1"]);
    let mut held: Vec<Control> = (0..MOST).map(|_| service.control()).collect();
    for control in &mut held {
        assert!(control.ask("read x").is_ok());
    }
    let mut line = String::new();
    service.control().0.read_to_string(&mut line).unwrap();
    assert!(
        line.starts_with("error: there are 16 connections"),
        "{line}"
    );
    // One that ends makes room for another.
    held.pop();
    let accepted = |_| {
        let mut control = service.control();
        let _ = writeln!(control.0.get_mut(), "read x");
        let mut line = String::new();
        control.0.read_line(&mut line).is_ok_and(|len| len > 0) && !line.starts_with("error")
    };
    assert!((0..1000).any(accepted));
    assert!(held[0].ask("read x").is_ok());
}

#[test]
#[cfg(unix)]
fn records_are_read_anew_and_come_and_go_by_commands() {
    let dir = Dir::new("ioc-records");
    let first = "record(ao, \"a\") { field(VAL, 1) field(EGU, \"mm\") }\nrecord(ao, \"b\") {}\n";
    let path = dir.file("x.db", first);
    let mut service = Service::start(&["--control", "127.0.0.1:0", &path]);
    let mut control = service.control();
    control.ask("post a 5").unwrap();
    dir.file("x.db", "record(ao, \"a\") {\n  field(VALU, 1)\n}\n");
    service.hang_up();
    let mut told = String::new();
    while !told.contains("not reloaded") {
        told.push_str(&service.error());
    }
    assert!(told.contains("x.db:2:9") && told.contains("VALU"), "{told}");
    assert_eq!(control.read("a")["value"], 5.0);

    let second = "record(ao, \"a\") { field(VAL, 1) field(EGU, \"m\") }\nrecord(ao, \"c\") { field(VAL, 3) }\n";
    dir.file("x.db", second);
    service.hang_up();
    assert_eq!(
        service.error(),
        "reloaded: 0 added, 0 changed, 0 removed, 0 PVs as before; of the records 1 added, 1 changed, \
         0 made anew, 1 removed, 0 records as before"
    );
    assert_eq!(control.read("a")["value"], 5.0);
    assert_eq!(control.read("a.EGU")["value"], "m");
    assert!(control.ask("read b").is_err());

    let sum = "add 'record(calc, \"sum\") { field(INPA, \"c CP\") field(CALC, \"A+1\") }'";
    control.ask(sum).unwrap();
    assert_eq!(control.read("sum")["value"], 4.0);
    control.ask("add x=double:1.5").unwrap();
    assert_eq!(control.read("x")["value"], 1.5);
    control.ask("rename c d").unwrap();
    assert_eq!(control.read("d")["value"], 3.0);
    for (command, why) in [
        (sum, "\"sum\" exists already"),
        ("add 'record(nope, \"n\") {}'", "unknown type `nope`"),
        ("add x", "x"),
        ("rename c e", "there is no record \"c\""),
        ("remove d nobody", "there is no PV nobody"),
    ] {
        let error = control.ask(command).unwrap_err();
        assert!(error.contains(why), "{command}: {error}");
    }
    control.ask("remove sum x").unwrap();
    service.client(&["get", "a"]).expect(0, "a  5 m\n");
    assert_eq!(control.ask("list").unwrap().len(), 1, "d went with nobody");
}

#[test]
fn statistics_have_the_names_that_screens_show() {
    let mut service = Service::start(&["--control", "127.0.0.1:0", "--stats", "S"]);
    let mut control = service.control();
    // It is looked at when the IOC has begun.
    while control.read("S:START_CNT")["value"] != 1 {
        std::thread::yield_now();
    }
    assert_eq!(
        control.read("S:PROCESS_ID")["value"],
        f64::from(service.child.id())
    );
    let records = control.ask("list S:*").unwrap().len();
    assert_eq!(control.read("S:RECORD_CNT")["value"], records as f64);
    assert!(
        control.read("S:EPICS_VERS")["value"]
            .as_str()
            .unwrap()
            .starts_with("Canter ")
    );
    assert!(control.read("S:UPTIME")["value"].is_string());
    assert_eq!(
        service.client(&["get", "--terse", "S:SysReset.PROC"]).code,
        Some(0)
    );
    service.client(&["put", "S:ACCESS", "Test"]);
    service.client(&["put", "S:SysReset.PROC", "1"]);
    assert_eq!(service.error(), "S:SYSRESET: the IOC reboots");
    while control.read("S:START_CNT")["value"] != 2 {
        std::thread::yield_now();
    }
    assert_eq!(control.read("S:ACCESS")["value"], 0);
    assert_eq!(control.read("S:SYSRESET")["value"], 0.0);
    // By a fault, too.
    service.client(&["put", "S:ACCESS", "Test"]);
    control.ask("fault reboot by 10ms").unwrap();
    while control.read("S:START_CNT")["value"] != 3 {
        std::thread::yield_now();
    }
    assert_eq!(control.read("S:ACCESS")["value"], 0);
    assert_ne!(control.read("S:STARTTOD")["value"], "");
}

/// What a real IOC has after its reboot: what was loaded, what autosave has saved, and nothing else.
#[test]
fn a_reboot_keeps_what_autosave_has_and_nothing_else() {
    let dir = Dir::new("reboot");
    let db = dir.file(
        "x.db",
        "record(ao, \"kept\") { field(VAL, 1) } record(ao, \"lost\") { field(VAL, 2) field(PINI, YES) field(OUT, \"out PP\") }\n\
         record(ao, \"out\") {}\nrecord(calc, \"count\") { field(INPA, \"lost CP\") field(CALC, \"VAL+1\") }\n",
    );
    let request = dir.file("x.req", "kept\n");
    let save = dir.0.to_str().unwrap();
    let service = Service::start(&[
        "--control",
        "127.0.0.1:0",
        "--pv",
        "own=double:3",
        "--autosave",
        &request,
        "--autosave-dir",
        save,
        "--autosave-period",
        "1",
        &db,
    ]);
    let mut control = service.control();
    let counted = control.read("count")["value"].as_f64().unwrap();
    for (pv, value) in [("kept", "10"), ("lost", "20"), ("own", "30")] {
        assert_eq!(service.client(&["put", pv, value]).code, Some(0));
    }
    assert_eq!(control.read("out")["value"], 20.0);
    control.ask("add 'record(ai, \"came\") {}'").unwrap();
    let saved = dir.0.join("x.sav");
    while !fs::read_to_string(&saved)
        .unwrap_or_default()
        .contains("kept 10\n")
    {
        std::thread::yield_now();
    }
    control.ask("fault reboot by 10ms").unwrap();
    let values = ["kept", "lost", "out", "count", "own"].map(|pv| {
        let run = service.client(&["get", "--terse", pv]);
        run.out.trim().to_owned()
    });
    assert_eq!(values, ["10", "2", "2", &counted.to_string(), "3"]);
    assert!(control.ask("read came").is_err());
}

#[test]
fn links_reach_another_ioc() {
    let dir = Dir::new("ioc-links");
    let there = dir.file("there.db", "record(ao, \"far\") { field(VAL, 4) }");
    let here = dir.file(
        "here.db",
        "record(calc, \"near\") { field(INPA, \"far CP\") field(CALC, \"A+1\") }\n\
         record(ao, \"out\") { field(OUT, \"far CA\") }",
    );
    let there = Service::start(&["--control", "127.0.0.1:0", &there]);
    let environment = there.ready["environment"].as_object().unwrap().clone();
    let here = Service::with(&["--control", "127.0.0.1:0", &here], |command| {
        for (name, value) in &environment {
            command.env(name, value.as_str().unwrap());
        }
        command.env("EPICS_CA_REPEATER_PORT", "25999");
    });
    let (mut here, mut there) = (here.control(), there.control());
    while here.read("near")["value"] != 5.0 {
        std::thread::yield_now();
    }
    here.ask("post out 7").unwrap();
    while there.read("far")["value"] != 7.0 || here.read("near")["value"] != 8.0 {
        std::thread::yield_now();
    }
}

/// A script is looked at before anything serves.
#[test]
fn it_misbehaves_by_a_script() {
    let file = std::env::temp_dir().join(format!("canter-faults-{}", std::process::id()));
    let path = file.to_str().unwrap();
    let args = [
        "--control",
        "127.0.0.1:0",
        "--pv",
        "x=double:1.5",
        "--faults",
        path,
    ];
    fs::write(&file, "stuck x\nat 1h off all\n").unwrap();
    let service = Service::start(&args);
    assert_eq!(service.client(&["put", "x", "6"]).code, Some(0));
    assert_eq!(service.client(&["get", "x"]).out, "x  1.5\n");
    drop(service);
    for (script, says) in [
        (
            "at 5 stuck x\nstuk x\n",
            "line 2, column 1: there is no fault `stuk`",
        ),
        (
            "at 5s stuck y\n",
            "line 1, column 13: no PV is called \"y\"",
        ),
    ] {
        fs::write(&file, script).unwrap();
        let args = [
            "ioc",
            "--port",
            "0",
            "--seconds",
            "0",
            "--pv",
            "x=double:1",
            "--faults",
            path,
        ];
        let run = Run::of(&command_on(0, &args).output().unwrap());
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.err.contains(says), "{run:?}");
    }
    fs::remove_file(file).unwrap();
}

#[test]
fn time_stands_still_and_goes_back_by_commands() {
    let folder = std::env::temp_dir().join(format!("canter-snapshots-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let snapshots = folder.to_str().unwrap();
    let args = ["--control", "127.0.0.1:0", "--pv", "x=double:1"];
    let without = Service::start(&args);
    let told = without.control().ask("snapshot there").unwrap_err();
    assert!(told.contains("start it with --snapshots DIR"), "{told}");
    let service = Service::start(&[&args[..], &["--snapshots", snapshots]].concat());
    let mut control = service.control();
    assert!(control.ask("step").unwrap_err().contains("freeze it first"));
    assert!(
        control
            .ask("rewind")
            .unwrap_err()
            .contains("take one with `snapshot`")
    );
    control.ask("snapshot").unwrap();
    assert!(control.ask("snapshot first").unwrap()[0].ends_with(" bytes"));
    for back in ["rewind", "rewind first"] {
        control.ask("post x 7").unwrap();
        assert_eq!(control.read("x")["value"], 7.0);
        control.ask(back).unwrap();
        assert_eq!(control.read("x")["value"], 1.0);
    }
    control.ask("freeze").unwrap();
    assert_eq!(control.ask("step 3600").unwrap(), ["3600 s"]);
    assert!(
        control
            .ask("step")
            .unwrap_err()
            .contains("nothing will be due")
    );
    control.ask("thaw").unwrap();
    assert!(control.ask("thaw").is_err() && control.ask("step soon").is_err());
    for name in ["../first", "/tmp/first", ".hidden", "''"] {
        let told = control.ask(&format!("snapshot {name}")).unwrap_err();
        assert!(told.contains("and no directory"), "{told}");
    }
    let whole = fs::read(folder.join("first")).unwrap();
    fs::write(folder.join("half"), &whole[..whole.len() / 2]).unwrap();
    let told = control.ask("rewind half").unwrap_err();
    assert!(
        told.contains("half: byte ") && told.contains("ends here"),
        "{told}"
    );
    assert!(control.ask("rewind none").unwrap_err().contains("none: "));
    let names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    fs::remove_dir_all(folder).unwrap();
}
