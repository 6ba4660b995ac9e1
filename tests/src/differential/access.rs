//! The same `.acf` file in the IOC of EPICS Base and in ours: what clients are told that they may do, and what
//! comes of their writes, while inputs, groups and the file change.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ca_proto::dbr::Value;
use ca_server_sim::Ioc;
use ca_server_sim::load::{Disk, access_security};

use super::Tally;
use super::bare::{Channel, Circuit};
use super::ours::Ours;
use crate::oracle::Dice;
use crate::peer::{Peer, Python};

const DB: &str = r#"
record(ao, "IN1") { field(VAL, "0") field(PINI, "YES") field(HIHI, "9") field(HHSV, "INVALID") }
record(longout, "IN2") { field(ASG, "open") }
record(stringout, "IN3") { field(VAL, "1") field(PINI, "YES") }
record(ao, "A") { field(ASG, "a") }
record(bo, "B") { field(ASG, "b") field(ZNAM, "off") field(ONAM, "on") }
record(waveform, "C") { field(FTVL, "DOUBLE") field(NELM, "4") field(ASG, "missing") }
record(calc, "D") {}
record(bo, "TICK") { field(VAL, "0") field(PINI, "YES") field(ASG, "open") }
record(ao, "WITNESS") { field(ASG, "witness") }
"#;
/// Behind every file: who has seen the witness change has seen all that was caused before.
const WITNESS: &str = r#"
ASG(open) { RULE(1, READ) RULE(1, WRITE) }
ASG(witness) { INPA(TICK) RULE(1, READ) RULE(1, WRITE) { CALC("A=1") } }
"#;
const FIELDS: [&str; 9] = [
    "A", "A.HIHI", "A.ASG", "B", "B.DESC", "B.STAT", "C", "D", "D.RTYP",
];
const CLIENTS: [(&str, &str); 4] = [
    ("alice", "cs1"),
    ("bob", "CS1"),
    ("alice", "far.example.org"),
    ("eve", "x"),
];
/// Time that the real IOC has to read its file anew.
const LIMIT: Duration = Duration::from_secs(20);

fn group(dice: &mut Dice, name: &str) -> String {
    let mut text = format!("ASG({name}) {{\n");
    for (letter, pv) in [
        ("A", "IN1"),
        ("B", "IN2"),
        ("C", "IN3"),
        ("D", "IN1.SEVR"),
        ("L", "NOWHERE"),
    ] {
        if dice.roll(4) > 0 {
            text.push_str(&format!("  INP{letter}({pv})\n"));
        }
    }
    for _ in 0..1 + dice.roll(4) {
        let level = dice.of(&["0", "1", "1"]);
        let access = dice.of(&["READ", "WRITE", "WRITE", "NONE"]);
        let trap = dice.of(&["", ",TRAPWRITE"]);
        text.push_str(&format!("  RULE({level},{access}{trap})"));
        let mut conditions = String::new();
        if dice.roll(3) == 0 {
            conditions.push_str(dice.of(&[" UAG(u)", " UAG(v)", " UAG(u,v)"]));
        }
        if dice.roll(3) == 0 {
            conditions.push_str(dice.of(&[" HAG(h)", " HAG(g)"]));
        }
        if dice.roll(2) == 0 {
            let calc = [
                "A=1",
                "A>B",
                "B=0",
                "C=1",
                "A+B+C",
                "D=0",
                "L=0",
                "A=1||B=1",
                "A>0.995&&A<2",
            ];
            conditions.push_str(&format!(" CALC(\"{}\")", dice.of(&calc)));
        }
        if !conditions.is_empty() {
            text.push_str(&format!(" {{{conditions} }}"));
        }
        text.push('\n');
    }
    text + "}\n"
}

/// A random file; if hosts are known by address, with hosts that have one.
pub fn file(dice: &mut Dice, by_address: bool) -> String {
    let mut text = String::from("UAG(u) { alice }\nUAG(v) { bob, eve }\n");
    text.push_str(match by_address {
        false => "HAG(h) { cs1 }\nHAG(g) { \"FAR.example.org\", x }\n",
        true => "HAG(h) { cs1, localhost }\nHAG(g) { \"10.9.8.7\" }\n",
    });
    for name in ["DEFAULT", "a", "b"] {
        if dice.roll(6) > 0 {
            text.push_str(&group(dice, name));
        }
    }
    text + WITNESS
}

/// A file on the disk, until this is dropped.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(end: &str, text: &str) -> Self {
        let port = crate::ports::free_pair();
        let name = format!("canter-access-{}-{port}.{end}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One of the two IOCs with its clients.
struct Side {
    port: u16,
    /// For each client its circuit, and channels to [`FIELDS`].
    clients: Vec<(Circuit, Vec<Channel>)>,
    /// Who writes to inputs: IN1, IN2, IN3, TICK.
    inputs: Circuit,
    pvs: Vec<Channel>,
    witness: Circuit,
    seen: Channel,
    tick: bool,
}

impl Side {
    fn new(port: u16) -> Self {
        let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let channels = |circuit: &mut Circuit, all: &[&str]| {
            let found = circuit.create(&names(all)).into_iter();
            found
                .map(|channel| channel.expect("it is there"))
                .collect::<Vec<_>>()
        };
        let clients = CLIENTS.map(|(user, host)| {
            let mut circuit = Circuit::open_as(port, user, host);
            let all = channels(&mut circuit, &FIELDS);
            (circuit, all)
        });
        let mut inputs = Circuit::open_as(port, "root", "here");
        let pvs = channels(&mut inputs, &["IN1", "IN2", "IN3", "TICK"]);
        let mut witness = Circuit::open_as(port, "witness", "here");
        let seen = channels(&mut witness, &["WITNESS"])[0];
        Self {
            port,
            clients: clients.into(),
            inputs,
            pvs,
            witness,
            seen,
            tick: false,
        }
    }

    /// Waits until all that was caused is told.
    fn settle(&mut self) {
        self.tick = !self.tick;
        self.inputs
            .put(self.pvs[3], &Value::scalar(i32::from(self.tick)));
        self.witness
            .wait_for_rights(self.seen, if self.tick { 3 } else { 1 });
        for (circuit, _) in &mut self.clients {
            circuit.echo();
        }
    }

    fn rights(&self) -> Vec<String> {
        let of = |(circuit, all): &(Circuit, Vec<Channel>)| {
            let all = all.iter().map(|&channel| circuit.rights(channel));
            let all: Vec<String> = all
                .map(|r| r.map_or_else(|| "?".into(), |r| r.to_string()))
                .collect();
            all.join(" ")
        };
        self.clients.iter().map(of).collect()
    }
}

/// What is done.
enum Step {
    Input(usize, Value),
    Put(usize, usize, Value),
    Reload(String),
}

fn step(dice: &mut Dice, by_address: bool) -> Step {
    match dice.roll(12) {
        0..5 => {
            let pv = dice.roll(3);
            let value = match pv {
                // Above 9 it is invalid.
                0 => Value::scalar(dice.of(&[0.0, 1.0, 0.995, 2.0, 10.0])),
                1 => Value::scalar(dice.of(&[0, 1, 5])),
                _ => Value::string(dice.of(&["1", "0", "none", "1.0"])),
            };
            Step::Input(pv, value)
        }
        5..11 => {
            let (client, field) = (dice.roll(CLIENTS.len()), dice.roll(FIELDS.len()));
            let value = match FIELDS[field] {
                "A.ASG" => Value::string(dice.of(&["a", "b", "DEFAULT", "", "none"])),
                "B.DESC" => Value::string("text"),
                _ => Value::scalar(dice.of(&[0.0, 1.0])),
            };
            Step::Put(client, field, value)
        }
        _ => Step::Reload(file(dice, by_address)),
    }
}

/// Tells a story of so many steps to both.
pub fn tell(python: &Python, seed: u64, steps: usize) -> Tally {
    let mut dice = Dice::new(seed);
    for _ in 0..8 {
        dice.roll(2);
    }
    let by_address = seed.is_multiple_of(3);
    let text = file(&mut dice, by_address);
    let (db, acf) = (OnDisk::new("db", DB), OnDisk::new("acf", &text));
    let number = u8::from(by_address).to_string();
    let more = [
        "--db",
        db.name(),
        "--acf",
        acf.name(),
        "--by-address",
        &number,
    ];
    let real = python.serve("run_ioc.py", "T", &more);
    let mut real: Peer = real.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let rules = || {
        let (mut rules, mistakes) = access_security(&Disk, acf.name(), "");
        assert!(!mistakes.has_errors(), "{mistakes}");
        if by_address {
            rules.resolve_hosts(|host| match host {
                "localhost" => Some(Ipv4Addr::LOCALHOST),
                host => host.parse().ok(),
            });
        }
        rules
    };
    let ours = Ours::serve_ioc(Ioc::builder().db_text(DB, "").access_security(rules()));
    let mut sides = [Side::new(real.port()), Side::new(ours.port())];
    assert_ne!(sides[0].port, sides[1].port);
    let mut tally = Tally::default();
    let mut now = text;
    for number in 0..=steps {
        let mut what = String::new();
        if number > 0 {
            match step(&mut dice, by_address) {
                Step::Input(pv, value) => {
                    what = format!("input {pv} = {value:?}");
                    let [a, b] = sides
                        .each_mut()
                        .map(|side| side.inputs.put(side.pvs[pv], &value));
                    tally.compare(
                        "input",
                        "VAL",
                        "status",
                        &what,
                        &a.to_string(),
                        &b.to_string(),
                    );
                }
                Step::Put(client, field, value) => {
                    what = format!("{:?} puts {} = {value:?}", CLIENTS[client], FIELDS[field]);
                    let [a, b] = sides.each_mut().map(|side| {
                        let (circuit, all) = &mut side.clients[client];
                        format!("{:#x}", circuit.put(all[field], &value))
                    });
                    let context = format!("seed {seed}, step {number}: {what}\n{now}");
                    tally.compare("put", FIELDS[field], "status", &context, &a, &b);
                }
                Step::Reload(text) => {
                    what = "reload".into();
                    fs::write(&acf.0, &text).expect("a file");
                    real.tell("reload");
                    let answer = real.line(Instant::now() + LIMIT);
                    assert_eq!(answer.as_deref(), Some("OK"));
                    ours.with(|ioc, now| ioc.set_access_security(now, rules()));
                    now = text;
                }
            }
        }
        let [a, b] = sides.each_mut().map(|side| {
            side.settle();
            side.rights()
        });
        for ((a, b), client) in a.iter().zip(&b).zip(CLIENTS) {
            let context = format!("seed {seed}, step {number}: {what}; {client:?}\n{now}");
            tally.compare("rights", "all", "told", &context, a, b);
        }
    }
    real.stop();
    tally
}
