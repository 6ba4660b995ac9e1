//! `canter proxy` as a user runs it, between our client and our IOC.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ca_client::blocking::{Client, Monitor};
use ca_client::{MonitorEvent, Reading};
use ca_proto::EcaStatus;
#[cfg(target_os = "linux")]
use ca_server_sim::Ioc;
use ca_server_sim::PvSpec;

use crate::common::{PATIENCE, Run, Served, command_on};
use crate::raw::{Circuit, Kind};

/// A running proxy.
struct Proxy {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    address: SocketAddrV4,
    control: Option<SocketAddrV4>,
    script: PathBuf,
}

impl Proxy {
    /// A proxy in front of an IOC, with a script.
    fn start(served: &Served, script: &str, more: &[&str]) -> Self {
        let to = format!("127.0.0.1:{}", served.port);
        let path = script_file(script);
        let mut args = vec!["proxy", "--listen", "127.0.0.1:0", "--to", &to, "--script"];
        args.push(path.to_str().unwrap());
        args.extend(more);
        let mut child = command_on(0, &args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let mut proxy = Self {
            stdin: child.stdin.take().unwrap(),
            child,
            lines,
            address: "0.0.0.0:0".parse().unwrap(),
            control: None,
            script: path,
        };
        loop {
            let line = proxy.line();
            if let Some(address) = line.strip_prefix("export EPICS_CA_ADDR_LIST=") {
                proxy.address = address.parse().unwrap();
            } else if let Some(address) = line.strip_prefix("# commands on ") {
                proxy.control = Some(address.parse().unwrap());
            } else if line.starts_with("# Ctrl-C") {
                return proxy;
            }
        }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    /// Waits for a line with these words.
    #[track_caller]
    fn tells(&self, part: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The answer to a command on standard input.
    #[track_caller]
    fn say(&mut self, command: &str) -> Vec<String> {
        writeln!(self.stdin, "{command}").unwrap();
        let mut all = Vec::new();
        loop {
            let line = self.line();
            let last = line == "ok" || line.starts_with("error: ");
            all.push(line);
            if last {
                return all;
            }
        }
    }

    /// `canter` behind the proxy.
    fn canter(&self, args: &[&str]) -> Run {
        Run::of(&command_on(self.address.port(), args).output().unwrap())
    }

    /// A client behind the proxy that comes back soon.
    fn client(&self) -> Client {
        let builder = ca_client::Client::builder()
            .isolated([self.address])
            .timeout(PATIENCE)
            .params(|params| params.reconnect_delay(Duration::from_millis(50)));
        builder.build_blocking().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.script);
    }
}

fn lines(of: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(of).lines().map_while(Result::ok);
        lines
            .take_while(|line| sender.send(line.clone()).is_ok())
            .count();
    });
    lines
}

/// A file with this text and a name of its own.
fn script_file(text: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("canter-proxy-{}-{next}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn next(subscription: &mut Monitor) -> MonitorEvent {
    subscription.next_timeout(PATIENCE).expect("an item")
}

/// The values of updates until this one comes.
#[track_caller]
fn values_until(subscription: &mut Monitor, last: i32) -> Vec<i32> {
    let mut values = Vec::new();
    while values.last() != Some(&last) {
        values.extend(next(subscription).value_as::<i32>());
    }
    values
}

#[test]
fn commands_end_their_circuits_in_order() {
    let served = Served::zoo();
    let proxy = Proxy::start(&served, "", &[]);
    for args in [
        &["get", "t:gap", "t:wave", "t:valve"][..],
        &["get", "--long", "t:gap"],
        &["put", "t:gap", "2.5"],
        &["put", "t:fixed", "1"],
        &["info", "t:gap", "t:note"],
        &["monitor", "--count", "1", "t:gap"],
    ] {
        proxy.canter(args);
        let line = proxy.tells("closed");
        assert!(line.contains("both sides are done"), "{args:?}: {line}");
    }
}

#[test]
fn without_rules_nothing_shows_that_there_is_a_proxy() {
    let served = Served::zoo();
    served.add("t:big", PvSpec::array(vec![0.5; 200_000]));
    let proxy = Proxy::start(&served, "", &[]);
    for args in [
        &["get", "t:gap", "t:note", "t:wave", "t:valve", "t:hot"][..],
        &["get", "--json", "t:big"],
        &["put", "--wait", "t:gap", "2.5"],
        &["put", "t:fixed", "1"],
    ] {
        let (direct, through) = (served.canter(args), proxy.canter(args));
        if args[0] == "get" {
            assert_eq!((through.out, through.code), (direct.out, Some(0)));
        } else {
            assert_eq!(through.code, direct.code, "{through:?} {direct:?}");
        }
    }
    let client = proxy.client();
    let count = client.connect("t:count").call().unwrap();
    let mut updates = count.monitor::<Reading>().depth(100).start().unwrap();
    assert_eq!(next(&mut updates).value_as::<i32>(), Some(-42));
    for value in 1..=20 {
        served.post("t:count", value);
    }
    let values = values_until(&mut updates, 20);
    assert!(values.is_sorted(), "{values:?}");
    count.put(77).wait().call().unwrap();
    assert_eq!(count.get::<i32>().call().unwrap(), 77);
}

#[test]
fn lost_search_replies_are_searched_for_again() {
    let served = Served::zoo();
    let script = "[[rule]]\nid='deaf'\non='search'\nname='t:gap'\naction='drop'\ntimes=3\n";
    let mut proxy = Proxy::start(&served, script, &[]);
    proxy
        .canter(&["get", "t:gap"])
        .expect(0, "t:gap  1.25 mm\n");
    let line = proxy.tells("!! deaf: drop");
    assert!(line.contains("udp 127.0.0.1:"), "{line}");
    proxy.tells("closed");
    let list = proxy.say("list");
    assert_eq!(
        list[0],
        "deaf  on   3/4  search response t:gap: drop, 3 times"
    );
}

#[test]
fn a_circuit_that_is_cut_inside_of_a_message_comes_back_with_its_subscription() {
    let served = Served::zoo();
    let script = "[[rule]]\non='event_add'\naction='cut'\nbytes=20\nafter=1\ntimes=1\n";
    let proxy = Proxy::start(&served, script, &[]);
    let client = proxy.client();
    let count = client.connect("t:count").call().unwrap();
    let mut updates = count.monitor::<Reading>().start().unwrap();
    assert_eq!(next(&mut updates).value_as::<i32>(), Some(-42));
    served.post("t:count", 7);
    assert_eq!(next(&mut updates), MonitorEvent::Disconnected);
    assert_eq!(next(&mut updates), MonitorEvent::Connected);
    assert_eq!(next(&mut updates).value_as::<i32>(), Some(7));
    served.post("t:count", 8);
    assert_eq!(next(&mut updates).value_as::<i32>(), Some(8));
    proxy.tells("#1 closed: cut");
}

#[test]
fn updates_that_come_late_and_twice_stay_in_order() {
    let served = Served::zoo();
    let script = "[[rule]]\non='event_add'\naction='duplicate'\nprobability=0.5\n\
                  [[rule]]\non='event_add'\naction='delay'\nby='1ms'\njitter='20ms'\n";
    let proxy = Proxy::start(&served, script, &["--quiet", "--seed", "7"]);
    let client = proxy.client();
    let count = client.connect("t:count").call().unwrap();
    let mut updates = count.monitor::<Reading>().depth(1000).start().unwrap();
    assert_eq!(next(&mut updates).value_as::<i32>(), Some(-42));
    for value in 1..=200 {
        served.post("t:count", value);
        std::thread::yield_now();
    }
    let values = values_until(&mut updates, 200);
    assert!(values.is_sorted(), "{values:?}");
    let mut once = values.clone();
    once.dedup();
    assert!(once.len() < values.len(), "none came twice: {values:?}");
}

#[test]
fn rights_that_are_taken_away_stop_a_write_until_they_are_given_back() {
    let served = Served::zoo();
    let script = "[[rule]]\nid='ro'\non='access_rights'\nname='t:gap'\naction='rights'\n\
                  rights='read'\nenabled=false\n";
    let mut proxy = Proxy::start(&served, script, &["--quiet"]);
    let client = proxy.client();
    let gap = client.connect("t:gap").call().unwrap();
    gap.put(1.5).wait().call().unwrap();
    assert_eq!(proxy.say("on ro"), ["ok"]);
    let writable = || gap.info().is_some_and(|info| info.rights().can_write());
    crate::common::until("the right is gone", || !writable());
    let error = gap.put(2.0).wait().call().unwrap_err();
    assert!(error.to_string().contains("t:gap"), "{error}");
    proxy.canter(&["put", "t:gap", "3"]).says("write");
    assert_eq!(gap.get::<f64>().call().unwrap(), 1.5);
    assert_eq!(proxy.say("off ro"), ["ok"]);
    crate::common::until("the right is back", writable);
    gap.put(2.0).wait().call().unwrap();
}

#[test]
fn rules_are_added_replaced_and_removed_while_a_client_works() {
    let served = Served::zoo();
    let mut proxy = Proxy::start(&served, "", &["--control", "127.0.0.1:0", "--quiet"]);
    let client = proxy.client();
    let gap = client.connect("t:gap").call().unwrap();
    gap.put(1.5).wait().call().unwrap();
    let control = TcpStream::connect(proxy.control.take().unwrap()).unwrap();
    control.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = BufReader::new(&control).lines().map(Result::unwrap);
    let mut say = |command: &str| {
        writeln!(&control, "{command}").unwrap();
        answers.next().unwrap()
    };
    let rule = "on = 'access_rights', name = 't:gap', action = 'rights', rights";
    assert_eq!(say(&format!("add id = 'ro', {rule} = 'read'")), "ok");
    let rights = || gap.info().map(|info| info.rights());
    let can = |read, write| {
        rights().is_some_and(|rights| (rights.can_read(), rights.can_write()) == (read, write))
    };
    crate::common::until("it can only be read", || can(true, false));
    assert_eq!(say(&format!("replace ro {rule} = 'write'")), "ok");
    crate::common::until("it can only be written", || can(false, true));
    assert_eq!(say("remove ro"), "ok");
    crate::common::until("it can be both", || can(true, true));
    gap.put(2.0).wait().call().unwrap();
    assert!(say("add on = 'search'").starts_with("error: "));
}

#[test]
fn nothing_is_written_through_a_proxy_that_is_read_only() {
    let served = Served::zoo();
    let mut proxy = Proxy::start(&served, "", &["--read-only"]);
    let client = proxy.client();
    let gap = client.connect("t:gap").call().unwrap();
    let before = gap.get::<f64>().call().unwrap();
    let info = gap.info().unwrap();
    assert!(info.rights().can_read() && !info.rights().can_write());
    assert!(gap.put(9.0).wait().call().is_err());
    proxy.canter(&["put", "t:gap", "9"]).says("write");

    let mut raw = Circuit::to("t:gap", proxy.address.port());
    let (sid, rights) = raw.create("t:gap");
    assert_eq!(rights, 1);
    for kind in [Kind::Write, Kind::WriteNotify] {
        assert_eq!(raw.put(kind, sid, 9.0), EcaStatus::NOWTACCESS);
        proxy.tells("put to t:gap refused");
    }
    assert_eq!(gap.get::<f64>().call().unwrap(), before);
    assert_eq!(proxy.say("stats")[2], "puts refused 2");
}

#[test]
fn refused_and_throttled_circuits_serve_in_the_end() {
    let served = Served::zoo();
    served.add("t:big", PvSpec::array(vec![1.0; 5_000]));
    let script = "[[rule]]\non='circuit'\naction='refuse'\ntimes=1\n\
                  [[rule]]\non='circuit'\naction='throttle'\nrate=200000\n";
    let proxy = Proxy::start(&served, script, &[]);
    let client = proxy.client();
    let started = std::time::Instant::now();
    let big = client.connect("t:big").call().unwrap();
    assert_eq!(big.get::<Vec<f64>>().call().unwrap().len(), 5_000);
    assert!(started.elapsed() >= Duration::from_millis(180));
    proxy.tells("#1 refused");
    proxy.tells("#2 opened");
}

#[test]
fn commands_come_over_a_connection_and_cut_circuits() {
    let served = Served::zoo();
    let proxy = Proxy::start(&served, "", &["--control", "127.0.0.1:0", "--trace"]);
    let client = proxy.client();
    let count = client.connect("t:count").call().unwrap();
    let mut updates = count.monitor::<Reading>().start().unwrap();
    assert_eq!(next(&mut updates).value_as::<i32>(), Some(-42));
    proxy.tells("> CREATE_CHAN cid=");
    proxy.tells("< EVENT_ADD ty=DBR_TIME_LONG");
    let mut control = TcpStream::connect(proxy.control.unwrap()).unwrap();
    control.set_read_timeout(Some(PATIENCE)).unwrap();
    control.write_all(b"stats\ncut 1\ncut 1 softly\n").unwrap();
    let mut answers = BufReader::new(&control).lines().map(Result::unwrap);
    assert_eq!(answers.next().unwrap(), "circuits 1, opened 1, refused 0");
    let all: Vec<String> = answers.by_ref().take(5).collect();
    assert!(all[1].contains("1 channels"), "{all:?}");
    let expected = [
        "ok",
        "ok",
        "error: there is no command `cut 1 softly`; `help` shows them",
    ];
    assert_eq!(all[2..], expected);
    assert_eq!(next(&mut updates), MonitorEvent::Disconnected);
    assert_eq!(next(&mut updates), MonitorEvent::Connected);
}

#[test]
fn a_storm_of_beacons_reaches_its_repeater() {
    let served = Served::zoo();
    let repeater = UdpSocket::bind("127.0.0.1:0").unwrap();
    repeater.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = repeater.local_addr().unwrap();
    let script =
        format!("[[rule]]\non='beacon'\naction='storm'\nto='{to}'\nevery='2ms'\ntimes=5\n");
    let proxy = Proxy::start(&served, &script, &[]);
    for sequence in 0..5 {
        let mut beacon = [0; 64];
        assert_eq!(repeater.recv(&mut beacon).unwrap(), 16);
        assert_eq!(beacon[1], 13, "RSRV_IS_UP");
        assert_eq!(beacon[6..8], proxy.address.port().to_be_bytes());
        assert_eq!(beacon[11], sequence);
    }
}

#[test]
fn wrong_scripts_and_addresses_are_named_with_place_and_remedy() {
    let path = script_file("[[rule]]\non = \"search\"\naction = \"lose\"\n");
    let proxy = |args: &[&str]| {
        let args = [&["proxy", "--listen", "127.0.0.1:0"], args].concat();
        Run::of(&command_on(0, &args).output().unwrap())
    };
    let script = ["--to", "127.0.0.1", "--script", path.to_str().unwrap()];
    proxy(&script)
        .expect(2, "")
        .says(".toml, line 3: key `action`: there is no `lose`")
        .says("hint: use one of drop, delay");
    std::fs::remove_file(&path).unwrap();
    proxy(&script).expect(2, "").says("cannot read");
    proxy(&["--to", "127.0.0.1:x"])
        .expect(2, "")
        .says("--to: `127.0.0.1:x` is no address");
    proxy(&["--to", "127.0.0.1", "--control", "5064"]).says("ADDRESS:PORT such as 127.0.0.1:5064");
    let path = script_file("[[rule]]\non='any'\naction='corrupt'\nfield='command'\n");
    proxy(&[
        "--to",
        "127.0.0.1",
        "--read-only",
        "--script",
        path.to_str().unwrap(),
    ])
    .expect(2, "")
    .says("--read-only: rule rule1 corrupts requests");
    std::fs::remove_file(&path).unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["proxy", "--listen", &address, "--to", "127.0.0.1"];
    Run::of(&command_on(0, &args).output().unwrap())
        .expect(2, "")
        .says("cannot listen on 127.0.0.1:");
}

#[test]
fn it_ends_after_its_time_and_by_command() {
    let served = Served::zoo();
    let to = format!("127.0.0.1:{}", served.port);
    let args = ["proxy", "--listen", "127.0.0.1:0", "--to", &to];
    let run = |more: &[&str]| {
        let mut command: Command = command_on(0, &[&args, more].concat());
        command.stdin(Stdio::null());
        Run::of(&command.output().unwrap())
    };
    assert_eq!(run(&["--seconds", "0.1"]).code, Some(0));
    let mut proxy = Proxy::start(&served, "", &[]);
    assert_eq!(proxy.say("quit"), ["ok"]);
    assert_eq!(proxy.child.wait().unwrap().code(), Some(0));
}

/// Nobody reads the trace: what passes through goes on to pass.
#[cfg(target_os = "linux")]
#[test]
fn streams_that_nobody_reads_do_not_stop_a_proxy() {
    let served = Served::new(Ioc::builder().pv("x", PvSpec::double(1.5)));
    let (reader, writer) = std::io::pipe().unwrap();
    let to = format!("127.0.0.1:{}", served.port);
    let args = ["proxy", "--listen", "127.0.0.1:0", "--to", &to, "--trace"];
    let mut child = command_on(0, &args)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let prefix = "export EPICS_CA_ADDR_LIST=127.0.0.1:";
    let port = lines.find_map(|line| line.strip_prefix(prefix).map(str::to_owned));
    let port = port.unwrap().parse().unwrap();
    lines.find(|line| line.starts_with("# Ctrl-C")).unwrap();
    crate::common::fill(&writer);
    for _ in 0..3 {
        let run = Run::of(&command_on(port, &["get", "x"]).output().unwrap());
        run.expect(0, "x  1.5\n");
    }
    let id = child.id().to_string();
    Command::new("kill").args(["-INT", &id]).status().unwrap();
    // What it had to say was not read.
    assert_eq!(crate::common::ended(&mut child), Some(1));
}
