//! The faults of our IOC, seen through libca and through our client: what each tells its user. The table is in the
//! book, and is made here.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ca_client::{
    AccessRights, Channel, ChannelState, Client, ClientEvent, EcaStatus, GetError, Monitor,
    MonitorEvent, PutError, Stamped,
};
use ca_server_sim::{Ioc, NetConfig, PvSpec, SimIoc};
use ca_tests::peer::{Peer, Python};
use ca_tests::ports;
use tokio::time::sleep;

const PREFIX: &str = "FAULT";
/// Time for whatever is awaited.
const IN_TIME: Duration = Duration::from_secs(60);
/// Time for an answer, as in the peer's script.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is later than this is late; faults make it 0.5 s.
const LATE: Duration = Duration::from_millis(490);

/// What a program does while a fault is on.
#[derive(Clone, Copy)]
enum Step {
    Get,
    /// The same, and whether it was slow.
    LateGet,
    /// The same, and what its time stamp says.
    Stamp,
    Put(f64),
    LatePut(f64),
    /// The IOC has a new value.
    Post(f64),
    /// So many updates.
    Updates(usize),
    /// Updates that differ.
    Noise,
    /// Another channel is opened.
    Open,
    Type,
    /// The fault ends.
    Off,
    /// What libca tells of itself, and what ours does.
    Told(&'static str, &'static str),
}

struct Case {
    faults: &'static [&'static str],
    steps: &'static [Step],
}

use Step::{Get, LateGet, LatePut, Noise, Off, Open, Post, Put, Stamp, Told, Type, Updates};

const LOST: Step = Told("disconnected", "disconnected");
const BACK: Step = Told("connected", "connected");

/// All kinds of faults, in the order of the book.
const CASES: &[Case] = &[
    Case {
        faults: &["drop v on read_notify"],
        steps: &[Get],
    },
    Case {
        faults: &["drop v on event_add"],
        steps: &[Post(2.0), Get, Off, Post(3.0), Updates(1)],
    },
    Case {
        faults: &["delay v by 500ms"],
        steps: &[LateGet],
    },
    Case {
        faults: &["duplicate v"],
        steps: &[Get, Post(2.0), Updates(2)],
    },
    Case {
        faults: &["cut v on read_notify bytes 8 times 2"],
        steps: &[Get, LOST, BACK, Get],
    },
    Case {
        faults: &["slow v by 500ms"],
        steps: &[LatePut(4.0)],
    },
    Case {
        faults: &["never v"],
        steps: &[Put(4.0), Get],
    },
    Case {
        faults: &["stall"],
        steps: &[
            Get,
            Told("disconnected", "unresponsive"),
            Off,
            Told("connected", "responsive"),
            Get,
        ],
    },
    Case {
        faults: &["half-open"],
        steps: &[
            Get,
            Told("disconnected", "unresponsive"),
            Off,
            Told("connected", "connected"),
            Get,
        ],
    },
    Case {
        faults: &["refuse", "cut v on read_notify bytes 0 times 2"],
        steps: &[Get, LOST, Get, Off, BACK, Get],
    },
    Case {
        faults: &["stuck v"],
        steps: &[Get, Put(5.0), Stamp],
    },
    Case {
        faults: &["freeze v"],
        steps: &[Get, Post(5.0), Stamp],
    },
    Case {
        faults: &["noise v by 1 every 50ms"],
        steps: &[Noise],
    },
    Case {
        faults: &["offline v"],
        steps: &[Updates(1), Put(5.0), Get],
    },
    Case {
        faults: &["rights v read"],
        steps: &[Told("rights read", "rights read"), Put(5.0), Get],
    },
    Case {
        faults: &["type v long"],
        steps: &[LOST, BACK, Type, Get],
    },
    Case {
        faults: &["twin other"],
        steps: &[Open, Told("exception ECA_DBLCHNL", "duplicate")],
    },
    Case {
        faults: &["silence"],
        steps: &[Get],
    },
    Case {
        faults: &["storm every 100ms servers 3"],
        steps: &[Get],
    },
    Case {
        faults: &["clock by -1h"],
        steps: &[Put(5.0), Stamp],
    },
    Case {
        faults: &["reboot by 1s"],
        steps: &[LOST, BACK, Get],
    },
];

type Log = Arc<Mutex<Vec<String>>>;

/// A client, driven step by step; what it tells of itself is kept until it is taken.
struct Ours {
    client: Client,
    channel: Channel,
    log: Log,
    /// What was taken out of it.
    told: Vec<String>,
    stamp: f64,
    /// Kept open.
    others: Vec<Channel>,
}

/// An answer to a read.
enum Got {
    Value {
        value: f64,
        severity: u16,
        stamp: f64,
    },
    Nothing(String),
}

impl Ours {
    fn start(port: u16) -> Self {
        let client = Client::builder()
            .isolated([ports::at(port)])
            .local_address(Ipv4Addr::LOCALHOST)
            .repeater_port(port + 1)
            .own_repeater(false)
            .connection_timeout(PATIENCE)
            .build()
            .expect("there is a socket");
        let log = Log::default();
        let (mut events, told) = (client.events(), log.clone());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let what = match event {
                    ClientEvent::Connected { pv } if pv.ends_with(":v") => "connected".to_owned(),
                    ClientEvent::Disconnected { .. } => "disconnected".to_owned(),
                    ClientEvent::Unresponsive { .. } => "unresponsive".to_owned(),
                    ClientEvent::Responsive { .. } => "responsive".to_owned(),
                    ClientEvent::Duplicate { .. } => "duplicate".to_owned(),
                    ClientEvent::AccessRights { rights, .. } => shown_rights(rights),
                    _ => continue,
                };
                told.lock().expect("nobody panics").push(what);
            }
        });
        let channel = client.open(format!("{PREFIX}:v")).expect("a name");
        let updates: Monitor<Stamped<f64>> = channel.monitor().start().expect("an open client");
        tokio::spawn(follow(updates, log.clone()));
        Self {
            client,
            channel,
            log,
            told: Vec::new(),
            stamp: 0.0,
            others: Vec::new(),
        }
    }

    fn collect(&mut self) {
        let mut log = self.log.lock().expect("nobody panics");
        self.told.append(&mut log);
    }

    async fn get(&self) -> Got {
        match self.channel.get::<Stamped<f64>>().timeout(PATIENCE).await {
            Ok(got) => Got::Value {
                value: got.value,
                severity: got.alarm.severity.0,
                stamp: got.timestamp.to_unix().as_secs_f64(),
            },
            Err(error) => Got::Nothing(of_get(&error)),
        }
    }

    async fn put(&self, value: f64) -> String {
        let put = self.channel.put(value).wait().timeout(PATIENCE).await;
        put.map_or_else(|error| of_put(&error), |()| "done".to_owned())
    }
}

async fn follow(mut updates: Monitor<Stamped<f64>>, log: Log) {
    while let Some(event) = updates.next().await {
        if let MonitorEvent::Update { value, .. } = event {
            let what = format!("update {} {}", value.value, value.alarm.severity.0);
            log.lock().expect("nobody panics").push(what);
        }
    }
}

fn since_1970(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn shown_rights(rights: AccessRights) -> String {
    let may = match rights {
        AccessRights::NONE => "none",
        AccessRights::READ => "read",
        AccessRights::WRITE => "write",
        _ => "read-write",
    };
    format!("rights {may}")
}

fn of_get(error: &GetError) -> String {
    match error {
        GetError::NotConnected(_) => "`NotConnected`".to_owned(),
        GetError::TimedOut(_) => "`TimedOut`".to_owned(),
        GetError::Disconnected(_) => "`Disconnected`".to_owned(),
        GetError::NoAccess(_) => "`NoAccess`".to_owned(),
        GetError::Failed { status, .. } => format!("`Failed`, `{status:#}`"),
        other => other.to_string(),
    }
}

fn of_put(error: &PutError) -> String {
    match error {
        PutError::NotConnected(_) => "`NotConnected`".to_owned(),
        PutError::TimedOut(_) => "`TimedOut`".to_owned(),
        PutError::Disconnected(_) => "`Disconnected`".to_owned(),
        PutError::NoAccess(_) => "`NoAccess`".to_owned(),
        PutError::Failed { status, .. } => format!("`Failed`, `{status:#}`"),
        other => other.to_string(),
    }
}

/// libca, in a program of its own.
struct Theirs {
    peer: Peer,
    log: Vec<String>,
    stamp: f64,
}

impl Theirs {
    fn hear(&mut self, line: &str) -> Option<String> {
        if let Some(told) = line.strip_prefix("! ") {
            let told = match told.strip_prefix("exception ") {
                Some(status) => format!("exception {}", named(status)),
                None => told.to_owned(),
            };
            self.log.push(told);
            return None;
        }
        line.strip_prefix("= ").map(str::to_owned)
    }

    fn ask(&mut self, command: &str) -> String {
        self.peer.tell(command);
        let deadline = Instant::now() + IN_TIME;
        while let Some(line) = self.peer.line(deadline) {
            if let Some(answer) = self.hear(&line) {
                return answer;
            }
        }
        panic!("{}", self.peer.error(&format!("does not answer {command}")));
    }

    fn listen(&mut self) {
        while let Some(line) = self.peer.line(Instant::now()) {
            self.hear(&line);
        }
    }

    fn get(&mut self) -> Got {
        let answer = self.ask("get");
        let words: Vec<&str> = answer.split(' ').collect();
        match words[..] {
            [value, severity, stamp] => Got::Value {
                value: value.parse().expect("a number"),
                severity: severity.parse().expect("a number"),
                // libca counts from 1990.
                stamp: stamp.parse::<f64>().expect("a number") + 631_152_000.0,
            },
            _ => Got::Nothing(status(&answer)),
        }
    }
}

fn named(number: &str) -> String {
    let number: u32 = number.parse().expect("a status");
    format!("{:#}", EcaStatus(number))
}

fn status(answer: &str) -> String {
    match answer.strip_prefix("status ") {
        Some("1") => "done".to_owned(),
        Some(number) => format!("`{}`", named(number)),
        None => "nothing comes".to_owned(),
    }
}

fn shown(got: &Got, stamp: Option<&mut f64>) -> String {
    let Got::Value {
        value,
        severity,
        stamp: at,
    } = got
    else {
        let Got::Nothing(why) = got else {
            unreachable!()
        };
        return why.clone();
    };
    let mut text = value.to_string();
    if *severity > 0 {
        text += " INVALID";
    }
    if let Some(before) = stamp {
        let early = since_1970(SystemTime::now()) - at;
        text += match () {
            () if early > 1800.0 => ", stamped an hour early",
            () if (at - *before).abs() < 1e-6 => ", with the old time stamp",
            () => ", with a new time stamp",
        };
    }
    text
}

/// What a client told in the course of a fault.
#[derive(Default)]
struct Row {
    done: Vec<String>,
    libca: Vec<String>,
    ours: Vec<String>,
}

struct Rig {
    ioc: SimIoc,
    ours: Ours,
    theirs: Theirs,
    cases: u32,
}

impl Rig {
    async fn start(python: &Python) -> Self {
        let port = ports::free_pair();
        let ioc = Ioc::builder()
            .pv(format!("{PREFIX}:v"), PvSpec::double(1.0))
            .pv(format!("{PREFIX}:other"), PvSpec::double(1.0));
        let config = NetConfig::new()
            .tcp_port(port)
            .udp_port(port)
            .repeater(Some(port + 1));
        let ioc = ioc.serve(config).await.expect("ports are free");
        let peer = python.start("libca_faults.py", port, PREFIX, &[]);
        Self {
            ioc,
            ours: Ours::start(port),
            theirs: Theirs {
                peer: peer.expect("libca"),
                log: Vec::new(),
                stamp: 0.0,
            },
            cases: 0,
        }
    }

    fn order(&self, line: &str) {
        let line = line
            .replace(" v", &format!(" {PREFIX}:v"))
            .replace(" other", &format!(" {PREFIX}:other"));
        let done = self.ioc.with(|ioc, now| ioc.fault(now, &line));
        done.unwrap_or_else(|error| panic!("{line}: {error}"));
    }

    fn post(&self, value: f64) {
        let posted = self.ioc.post(&*format!("{PREFIX}:v"), value);
        posted.expect("it is served");
    }

    /// Waits until both have told something, which is taken with what came before it.
    async fn both(&mut self, libca: &str, ours: &str) {
        let deadline = Instant::now() + IN_TIME;
        let (mut wanted, mut heard) = ([true, true], [Vec::new(), Vec::new()]);
        loop {
            self.theirs.listen();
            take(&mut self.theirs.log, libca, &mut wanted[0], &mut heard[0]);
            self.ours.collect();
            take(&mut self.ours.told, ours, &mut wanted[1], &mut heard[1]);
            if wanted == [false, false] {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "libca {libca}, ours {ours}: {wanted:?} {heard:?}"
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The next updates of both, without their word.
    async fn updates(&mut self, count: usize) -> [Vec<String>; 2] {
        let deadline = Instant::now() + IN_TIME;
        let (mut found, mut others) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        while found.iter().any(|found| found.len() < count) {
            self.theirs.listen();
            self.ours.collect();
            for (n, log) in [&mut self.theirs.log, &mut self.ours.told]
                .into_iter()
                .enumerate()
            {
                for what in log.drain(..) {
                    match what.strip_prefix("update ") {
                        Some(update) if found[n].len() < count => found[n].push(update.to_owned()),
                        _ => others[n].push(what),
                    }
                }
            }
            assert!(Instant::now() < deadline, "{found:?} {others:?}");
            sleep(Duration::from_millis(5)).await;
        }
        found
    }

    /// Both are connected, see 1, and have told all they had to tell.
    async fn ready(&mut self) {
        // Fails if none is on, which is as well.
        let _ = self.ioc.with(|ioc, now| ioc.fault(now, "off all"));
        let deadline = Instant::now() + IN_TIME;
        self.cases += 1;
        let mark = f64::from(1000 + self.cases);
        self.post(mark);
        for _ in 0..2 {
            while !matches!(self.ours.get().await, Got::Value { .. })
                || !matches!(self.theirs.get(), Got::Value { .. })
            {
                assert!(Instant::now() < deadline, "a client is not back");
            }
        }
        let told = format!("update {mark} 0");
        self.both(&told, &told).await;
        self.post(1.0);
        self.both("update 1 0", "update 1 0").await;
    }

    async fn step(&mut self, step: Step, row: &mut Row) {
        let begin = Instant::now();
        match step {
            Get | LateGet | Stamp => {
                let stamp = matches!(step, Stamp);
                let ours = self.ours.get().await;
                let took = begin.elapsed();
                let theirs = self.theirs.get();
                let theirs_took = begin.elapsed() - took;
                let mut texts = [
                    shown(&theirs, stamp.then_some(&mut self.theirs.stamp)),
                    shown(&ours, stamp.then_some(&mut self.ours.stamp)),
                ];
                for (got, kept) in [
                    (&theirs, &mut self.theirs.stamp),
                    (&ours, &mut self.ours.stamp),
                ] {
                    if let Got::Value { stamp, .. } = got {
                        *kept = *stamp;
                    }
                }
                if matches!(step, LateGet) {
                    late(&mut texts, [theirs_took, took]);
                }
                row.add("get", "get: ", texts);
            }
            Put(value) | LatePut(value) => {
                let ours = self.ours.put(value).await;
                let took = begin.elapsed();
                let theirs = status(&self.theirs.ask(&format!("put {value}")));
                let mut texts = [theirs, ours];
                if matches!(step, LatePut(_)) {
                    late(&mut texts, [begin.elapsed() - took, took]);
                }
                row.add(&format!("put {value}"), "put: ", texts);
            }
            Post(value) => {
                self.post(value);
                row.done.push(format!("the IOC posts {value}"));
            }
            Updates(count) => {
                let found = self.updates(count).await;
                let texts =
                    found.map(|found| found.join(", ").replace(" 0", "").replace(" 3", " INVALID"));
                row.add("", "updates: ", texts);
            }
            Noise => {
                let found = self.updates(3).await;
                let texts = found.map(|mut found| {
                    found.dedup();
                    format!("{} that differ", found.len())
                });
                row.add("", "updates: ", texts);
            }
            Open => {
                let name = format!("{PREFIX}:other");
                let opened = self.ours.client.connect(name).await.expect("it is served");
                self.ours.others.push(opened);
                let theirs = self.theirs.ask("open");
                row.add("open", "open: ", [theirs, "connected".to_owned()]);
            }
            Type => {
                let theirs = match &*self.theirs.ask("type") {
                    "5" => "`DBR_LONG`".to_owned(),
                    other => other.to_owned(),
                };
                let state = self.ours.channel.state();
                let ours = match state {
                    Some(ChannelState::Connected(connection)) => {
                        format!("`{:?}`", connection.native)
                    }
                    other => format!("{other:?}"),
                };
                row.add("", "type: ", [theirs, ours]);
            }
            Off => {
                self.order("off all");
                row.done.push("the fault ends".to_owned());
            }
            Told(libca, ours) => {
                self.both(libca, ours).await;
                row.add(
                    "",
                    "",
                    [
                        libca.replace("ECA_DBLCHNL", "`ECA_DBLCHNL`"),
                        ours.to_owned(),
                    ],
                );
            }
        }
    }
}

impl Row {
    fn add(&mut self, done: &str, what: &str, [libca, ours]: [String; 2]) {
        if !done.is_empty() {
            self.done.push(done.to_owned());
        }
        self.libca.push(format!("{what}{libca}"));
        self.ours.push(format!("{what}{ours}"));
    }
}

fn take(log: &mut Vec<String>, what: &str, wanted: &mut bool, heard: &mut Vec<String>) {
    while *wanted && !log.is_empty() {
        let told = log.remove(0);
        *wanted = told != what;
        heard.push(told);
    }
}

fn late(texts: &mut [String; 2], took: [Duration; 2]) {
    for (text, took) in texts.iter_mut().zip(took) {
        *text += if took >= LATE { ", late" } else { ", at once" };
    }
}

async fn story(python: &Python) -> String {
    let mut rig = Rig::start(python).await;
    let mut page =
        String::from("| fault | what is done | libca | our client |\n|---|---|---|---|\n");
    for case in CASES {
        rig.ready().await;
        for fault in case.faults {
            rig.order(fault);
        }
        let mut row = Row::default();
        for step in case.steps {
            rig.step(*step, &mut row).await;
        }
        let faults = case.faults.join("`, `");
        let _ = writeln!(
            page,
            "| `{faults}` | {} | {} | {} |",
            row.done.join(", "),
            row.libca.join("; "),
            row.ours.join("; ")
        );
        println!("{}", page.lines().last().unwrap_or_default());
    }
    rig.ours.client.close().await;
    rig.ioc.stop().await;
    page
}

/// The table of the book is what happened; `CANTER_BLESS=1` writes it.
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn what_libca_and_ours_tell_of_each_fault() {
    let python = Python::here();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let table = runtime.expect("a runtime").block_on(story(&python));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/faults.md");
    let text = std::fs::read_to_string(&path)
        .expect("the page")
        .replace('\r', "");
    let (begin, end) = ("<!-- libca: begin -->\n", "<!-- libca: end -->");
    let (head, rest) = text.split_once(begin).expect("the first mark");
    let (told, tail) = rest.split_once(end).expect("the second mark");
    if std::env::var_os("CANTER_BLESS").is_some() {
        let page = format!("{head}{begin}{table}{end}{tail}");
        std::fs::write(&path, page).expect("the page is written");
        return;
    }
    assert_eq!(told, table, "CANTER_BLESS=1 writes what happened");
}

/// No kind of fault is left out.
#[test]
fn every_kind_of_fault_is_in_the_story() {
    let page = include_str!("../../docs/src/faults.md");
    let (_, table) = page
        .split_once("| what | keys |")
        .expect("the table of the words");
    let mut kinds = 0;
    for line in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let word = line.trim_start_matches("| `").split([' ', '`']).next();
        let word = word.expect("a word");
        let told = CASES.iter().flat_map(|case| case.faults);
        assert!(
            told.clone()
                .any(|fault| fault.split(' ').next() == Some(word)),
            "{word}"
        );
        kinds += 1;
    }
    assert_eq!(kinds, 20);
}
