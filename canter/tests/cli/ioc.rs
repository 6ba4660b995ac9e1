//! `canter ioc` as a user runs it, and read by `canter get`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use ca_proto::EcaStatus;

#[cfg(target_os = "linux")]
use crate::common::fill;
use crate::common::{Run, command_on};
use crate::raw::{Circuit, Kind};

/// A running `canter ioc`, with the environment that it printed.
struct Server {
    child: Child,
    output: Option<Box<dyn BufRead>>,
    exports: Vec<(String, String)>,
    banner: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = Self::command(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self::announced(child, output)
    }

    fn command(args: &[&str]) -> Command {
        command_on(0, &[&["ioc", "--port", "0"], args].concat())
    }

    /// Reads what an IOC says of itself at its start.
    fn announced(child: Child, mut output: impl BufRead + 'static) -> Self {
        let (mut exports, mut banner) = (Vec::new(), String::new());
        loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "ended: {banner}");
            banner.push_str(&line);
            if let Some((name, value)) = line
                .trim()
                .strip_prefix("export ")
                .and_then(|rest| rest.split_once('='))
            {
                exports.push((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
            }
            if line.starts_with("# Ctrl-C") {
                break;
            }
        }
        Self {
            child,
            output: Some(Box::new(output)),
            exports,
            banner,
        }
    }

    /// A client in the printed environment.
    fn client(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_canter"));
        command
            .args(args)
            .env_clear()
            .envs(self.exports.iter().cloned());
        command
            .env("EPICS_CLI_TIMEOUT", "60")
            .env("EPICS_CA_REPEATER_PORT", "25999");
        Run::of(&command.output().unwrap())
    }

    /// Port of searches.
    fn port(&self) -> u16 {
        let port = self
            .exports
            .iter()
            .find(|(name, _)| name == "EPICS_CA_SERVER_PORT");
        port.unwrap().1.parse().unwrap()
    }

    fn end(mut self) -> (Option<i32>, String) {
        interrupt(&self.child);
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        if let Some(mut output) = self.output.take() {
            output.read_to_string(&mut rest).unwrap();
        }
        (code, rest)
    }
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn pvs_of_the_command_line_are_served_in_the_printed_environment() {
    let server = Server::start(&[
        "--pv",
        "x:gap=double:1.5",
        "--pv",
        "x:valve=enum:Closed,*Open",
        "--pv",
        r"x:note=string:20 \u{b0}C\tC:\\data",
    ]);
    assert!(server.banner.contains("x:gap"), "{}", server.banner);
    server
        .client(&["get", "x:gap", "x:valve"])
        .expect(0, "x:gap    1.5\nx:valve  Open\n");
    let note = server.client(&["get", "--json", "x:note"]);
    assert_eq!(note.json()[0]["value"], "20 \u{b0}C\tC:\\data");
    server
        .client(&["put", "--terse", "x:gap", "2"])
        .expect(0, "2\n");
    server.client(&["get", "x:gap"]).expect(0, "x:gap  2\n");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_file_describes_pvs_that_move() {
    let dir = std::env::temp_dir().join(format!("canter-ioc-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("pvs.toml");
    std::fs::write(
        &file,
        "[pv.\"x:count\"]\ntype = \"long\"\nunits = \"n\"\nsignal = { kind = \"counter\", every = 0.02 }\n",
    )
    .unwrap();
    let server = Server::start(&[file.to_str().unwrap()]);
    let run = server.client(&["monitor", "--json", "--count", "4", "x:count"]);
    let updates = run.json().into_iter().filter(|o| o["event"] == "update");
    let values: Vec<i64> = updates.map(|o| o["value"].as_i64().unwrap()).collect();
    assert!(
        values.len() == 4 && values.is_sorted() && values[0] < values[3],
        "{run:?}"
    );
    std::fs::write(&file, "[pv.x]\ntype = \"long\"\nunit = \"n\"\n").unwrap();
    let path = file.to_str().unwrap();
    let run = Run::of(&command_on(0, &["ioc", path]).output().unwrap());
    run.expect(2, "")
        .says("pvs.toml:3:1")
        .says("did you mean `units`?");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn wrong_descriptions_are_named_with_place_and_remedy() {
    let ioc = |args: &[&str]| {
        let args = [&["ioc", "--port", "0"], args].concat();
        Run::of(&command_on(0, &args).output().unwrap())
    };
    ioc(&[])
        .expect(2, "")
        .says("there are no PVs to serve")
        .says("--pv my:gap=double:1.5");
    ioc(&["--pv", "x=doubel:1"])
        .expect(2, "")
        .says("error: there is no such type\n --> --pv:1:3\n")
        .says("help: use one of double");
    ioc(&["--pv", r"x=string:a\q"])
        .expect(2, "")
        .says(r"`\q` is no escape")
        .says(r"write \\ for a backslash");
    ioc(&["--pv", r"x=string:20 \xb0C"])
        .expect(2, "")
        .says(r"UTF-8, which \xb0 is not");
    ioc(&["--pv", "x=long:1", "--pv", "x=long:2"])
        .expect(2, "")
        .says("PV \"x\" exists already");
    ioc(&["no-such-file.toml"])
        .expect(2, "")
        .says("cannot read no-such-file.toml");
}

#[test]
fn the_time_is_limited() {
    let args = ["ioc", "--port", "0", "--seconds", "0.1", "--demo"];
    let run = Run::of(&command_on(0, &args).output().unwrap());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.contains("export EPICS_CA_ADDR_LIST="), "{run:?}");
    assert!(run.out.contains("demo:sine"), "{run:?}");
}

#[test]
fn a_server_that_is_not_to_start_says_so() {
    let run = |name: &str, value: &str| {
        let mut command = command_on(5064, &["ioc", "--port", "0", "--pv", "x=long:1"]);
        Run::of(&command.env(name, value).output().unwrap())
    };
    let ignored = run("EPICS_IOC_IGNORE_SERVERS", "qsrv rsrv");
    ignored
        .expect(2, "")
        .says("EPICS_IOC_IGNORE_SERVERS names rsrv");
    let ambiguous = run("EPICS_CAS_INTF_ADDR_LIST", "0.0.0.0 127.0.0.1");
    ambiguous.expect(2, "").says("EPICS_CAS_INTF_ADDR_LIST");
}

#[test]
fn limits_are_options_and_their_refusals_are_logged() {
    let mut server = Server::start(&["--pv", "x=long:1", "--limit", "max_name_bytes=4"]);
    let mut errors = BufReader::new(server.child.stderr.take().unwrap());
    assert_eq!(server.client(&["get", "x"]).out.trim(), "x  1");
    // A filter makes the name of the channel longer than that of the record.
    let run = server.client(&["get", "-w", "3", "x.VAL[0:0]"]);
    assert_ne!(run.code, Some(0), "{run:?}");
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.contains("WARN 127.0.0.1:"), "{line}");
    assert!(line.contains("(max_name_bytes = 4; 1 since"), "{line}");
}

#[test]
fn a_limit_that_does_not_exist_is_refused_with_the_list() {
    let run = Run::of(
        &command_on(0, &["ioc", "--pv", "x=long:1", "--limit", "max_cirquits=4"])
            .output()
            .unwrap(),
    );
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.err.contains("did you mean `max_circuits`?"),
        "{}",
        run.err
    );
}

#[test]
fn puts_are_logged_with_who_and_what() {
    let path = std::env::temp_dir().join(format!("canter-put-log-{}", std::process::id()));
    let file = path.to_str().unwrap();
    let args = [
        "--pv",
        "x=double:1.5",
        "--pv",
        "slow=long:1",
        "--put-log",
        file,
    ];
    let server = Server::start(&args);
    for args in [
        &["put", "x", "2.5"][..],
        &["put", "x.EGU", "mm"],
        &["put", "x", "none"],
    ] {
        server.client(args);
    }
    assert_eq!(server.client(&["get", "x"]).out.trim(), "x  2.5 mm");
    assert_eq!(server.end().0, Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |at: usize, key: &str| lines[at][key].clone();
    let seen = std::sync::Mutex::default();
    for line in &lines {
        crate::json::check(&["log"], line, &seen);
    }
    assert_eq!(of(0, "type"), "DOUBLE");
    assert_eq!(
        (of(0, "pv"), of(0, "old"), of(0, "new")),
        ("x".into(), 1.5.into(), 2.5.into())
    );
    assert_eq!(of(0, "result"), "done");
    assert!(
        of(0, "peer").as_str().unwrap().starts_with("127.0.0.1:"),
        "{text}"
    );
    assert_eq!((of(1, "pv"), of(1, "new")), ("x.EGU".into(), "mm".into()));
    assert!(!of(0, "host").as_str().unwrap().is_empty(), "{text}");
}

/// On standard output, behind the lines for the shell: refusals, and the end of a put that takes time.
#[test]
fn refused_puts_and_ends_of_puts_are_logged_on_standard_output() {
    let path = std::env::temp_dir().join(format!("canter-pvs-{}.toml", std::process::id()));
    let text = "[pv.ro]\ntype = \"double\"\nvalue = 1.5\nread_only = true\n\
                [pv.slow]\ntype = \"long\"\ncompletes_after = 0.05\n";
    std::fs::write(&path, text).unwrap();
    let server = Server::start(&[path.to_str().unwrap(), "--put-log", "-"]);
    std::fs::remove_file(&path).unwrap();
    let port: u16 = (server.exports.iter())
        .find(|(name, _)| name == "EPICS_CA_SERVER_PORT")
        .map(|(_, value)| value.parse().unwrap())
        .unwrap();
    // Our client would not send what it may not write.
    let mut raw = Circuit::to("ro", port);
    let (ro, _) = raw.create("ro");
    assert_eq!(raw.put(Kind::WriteNotify, ro, 2.5), EcaStatus::NOWTACCESS);
    let run = server.client(&["put", "--wait", "slow", "7"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let (code, rest) = server.end();
    assert_eq!(code, Some(0));
    let lines: Vec<serde_json::Value> = rest
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |at: usize, key: &str| lines[at][key].clone();
    assert_eq!(lines.len(), 3, "{rest}");
    assert_eq!(
        (of(0, "pv"), of(0, "new"), of(0, "old"), of(0, "result")),
        ("ro".into(), 2.5.into(), 1.5.into(), "ECA_NOWTACCESS".into())
    );
    assert_eq!(
        (of(1, "pv"), of(1, "new"), of(1, "result"), of(1, "took")),
        (
            "slow".into(),
            7.into(),
            "begun".into(),
            serde_json::Value::Null
        )
    );
    assert_eq!(
        (of(2, "pv"), of(2, "new"), of(2, "result"), of(2, "old")),
        (
            "slow".into(),
            7.into(),
            "done".into(),
            serde_json::Value::Null
        )
    );
    assert!(of(2, "took").as_f64().unwrap() >= 0.05, "{rest}");
    assert_eq!(
        (of(2, "user"), of(2, "peer")),
        (of(1, "user"), of(1, "peer"))
    );
}

/// The lines of a log, as JSON.
fn log_lines(text: &str) -> Vec<serde_json::Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// The lines of an error stream, as they come.
fn told(child: &mut Child) -> impl FnMut(&str) + use<> {
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    move |part| {
        let mut all = String::new();
        while !all.contains(part) {
            let len = errors.read_line(&mut all).unwrap();
            assert_ne!(len, 0, "{part:?} is not in {all:?}");
        }
    }
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_log_on_a_full_disk_is_told_at_once_and_at_the_end() {
    let mut server = Server::start(&["--pv", "x=double:1.5", "--put-log", "/dev/full"]);
    let mut tells = told(&mut server.child);
    server
        .client(&["put", "--terse", "x", "2"])
        .expect(0, "2\n");
    tells("put log /dev/full: No space left on device (os error 28); puts wait to be written");
    assert_eq!(
        server.client(&["get", "--json", "x"]).json()[0]["value"],
        2.0
    );
    interrupt(&server.child);
    tells("error: put log /dev/full: 1 line not written: No space left on device");
    assert_eq!(server.end().0, Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn puts_are_refused_while_a_log_that_is_required_cannot_be_written() {
    let args = [
        "--pv",
        "x=double:1.5",
        "--put-log",
        "/dev/full",
        "--put-log-required",
    ];
    let mut server = Server::start(&args);
    let mut raw = Circuit::to("x", server.port());
    let (x, _) = raw.create("x");
    // What shows that the log cannot be written is written itself.
    assert_eq!(raw.put(Kind::WriteNotify, x, 2.5), EcaStatus::NORMAL);
    told(&mut server.child)(
        "put log /dev/full: No space left on device (os error 28); puts are refused",
    );
    assert_eq!(raw.put(Kind::WriteNotify, x, 3.5), EcaStatus::PUTFAIL);
    assert_eq!(raw.put(Kind::Write, x, 4.5), EcaStatus::PUTFAIL);
    assert_eq!(server.client(&["get", "x"]).out.trim(), "x  2.5");
}

#[cfg(unix)]
#[test]
fn a_log_on_standard_output_whose_reader_is_gone_is_told() {
    let mut server = Server::start(&["--pv", "x=double:1.5", "--put-log", "-"]);
    let mut tells = told(&mut server.child);
    server.output = None;
    server
        .client(&["put", "--terse", "x", "2"])
        .expect(0, "2\n");
    tells("put log -: Broken pipe (os error 32); puts wait to be written");
    assert_eq!(server.client(&["get", "x"]).out.trim(), "x  2");
    interrupt(&server.child);
    tells("error: put log -: 1 line not written: Broken pipe");
}

#[test]
fn a_log_is_turned_over_when_it_is_large() {
    let dir = std::env::temp_dir().join(format!("canter-put-logs-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("puts");
    let file = path.to_str().unwrap();
    let args = [
        "--pv",
        "x=double:0",
        "--put-log",
        file,
        "--put-log-size",
        "8k",
        "--put-log-keep",
        "2",
    ];
    let server = Server::start(&args);
    let mut raw = Circuit::to("x", server.port());
    let (x, _) = raw.create("x");
    for n in 0..200 {
        assert_eq!(
            raw.put(Kind::WriteNotify, x, f64::from(n)),
            EcaStatus::NORMAL
        );
    }
    assert_eq!(server.end().0, Some(0));
    let mut values = Vec::new();
    for name in ["puts.2", "puts.1", "puts"] {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.len() <= 8192, "{name} has {} bytes", text.len());
        values.extend(
            log_lines(&text)
                .iter()
                .map(|line| line["new"].as_f64().unwrap()),
        );
    }
    assert!(!dir.join("puts.3").exists());
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(values.len() > 60, "{values:?}");
    let first = 200 - values.len() as u32;
    assert_eq!(values, (first..200).map(f64::from).collect::<Vec<_>>());
    let run = Run::of(
        &command_on(0, &["ioc", "--pv", "x=long:1", "--put-log-size", "8k"])
            .output()
            .unwrap(),
    );
    run.expect(2, "").says("--put-log <FILE>");
}

/// Nobody reads what the IOC says, on either stream: it serves, and it ends.
#[cfg(target_os = "linux")]
#[test]
fn streams_that_nobody_reads_do_not_stop_an_ioc() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Server::command(&[
        "--pv",
        "x=double:1.5",
        "--limit",
        "max_channels_per_circuit=1",
        "--put-log",
        "-",
    ]);
    command.stdout(writer.try_clone().unwrap());
    let child = command.stderr(writer.try_clone().unwrap()).spawn();
    let mut server = Server::announced(child.unwrap(), BufReader::new(reader));
    fill(&writer);
    let mut raw = Circuit::to("x", server.port());
    let (x, _) = raw.create("x");
    for n in 0..100 {
        // Each is a line of the put log, and the first of them one of the log of limits.
        raw.create_refused("x");
        let status = raw.put(Kind::WriteNotify, x, f64::from(n));
        assert_eq!(status, EcaStatus::NORMAL);
    }
    interrupt(&server.child);
    // Lines of the put log that could not be written are a failure.
    assert_eq!(crate::common::ended(&mut server.child), Some(1));
}

/// As when a shell closes it: each line is an error.
#[cfg(unix)]
#[test]
fn an_error_stream_whose_reader_is_gone_does_not_stop_an_ioc() {
    let mut server = Server::start(&[
        "--pv",
        "x=double:1.5",
        "--limit",
        "max_channels_per_circuit=1",
    ]);
    drop(server.child.stderr.take());
    let mut raw = Circuit::to("x", server.port());
    let (x, _) = raw.create("x");
    raw.create_refused("x");
    assert_eq!(raw.put(Kind::WriteNotify, x, 2.5), EcaStatus::NORMAL);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn the_environment_can_forbid_to_write() {
    let server = Server::start(&["--pv", "x=double:1.5"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_canter"));
    command
        .args(["put", "x", "2.5"])
        .env_clear()
        .envs(server.exports.iter().cloned());
    command
        .env("CANTER_READ_ONLY", "YES")
        .env("EPICS_CA_REPEATER_PORT", "25999");
    let run = Run::of(&command.output().unwrap());
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("CANTER_READ_ONLY is set"), "{}", run.err);
    assert_eq!(server.client(&["get", "x"]).out.trim(), "x  1.5");
}
