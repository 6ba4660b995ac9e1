//! The same channels with filters in the IOC of EPICS Base and in ours: which of them there are, what they read, and
//! what their subscriptions are told while values and states change.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ca_proto::dbr::{DbrType, Family, NativeType, Value};

use super::Tally;
use super::bare::{Channel, Circuit};
use super::names::{STATES, comparable, is_left_out, of_any};
use super::ours::Ours;
use crate::oracle::Dice;
use crate::peer::{Peer, Python};

const DB: &str = r#"
record(ao, "A") { field(PINI, "YES") field(VAL, "0") field(HIGH, "50") field(HSV, "MINOR") field(MDEL, "-1") }
record(longout, "L") { field(PINI, "YES") field(VAL, "3") field(MDEL, "-1") field(HIGH, "7") field(HSV, "MAJOR") }
record(int64out, "I") { field(PINI, "YES") field(VAL, "5") field(MDEL, "-1") }
record(bo, "B") { field(PINI, "YES") field(VAL, "0") field(ZNAM, "off") field(ONAM, "on") }
record(mbbo, "M") { field(PINI, "YES") field(VAL, "1") field(ZRST, "zero") field(ONST, "one") field(TWST, "two") }
record(stringout, "S") { field(PINI, "YES") field(VAL, "some text") }
record(waveform, "W") { field(FTVL, "DOUBLE") field(NELM, "6") }
record(waveform, "C") { field(FTVL, "CHAR") field(NELM, "8") }
record(longout, "MARK") { field(MDEL, "-1") }
"#;
const RECORDS: [&str; 8] = ["A", "L", "I", "B", "M", "S", "W", "C"];
const FIELDS: [&str; 6] = ["", "", "", "VAL", "SEVR", "DESC"];
/// Time for a command.
const LIMIT: Duration = Duration::from_secs(20);
/// What is done to both.
enum Step {
    Put(usize, Value),
    State(&'static str, bool),
}

fn step(dice: &mut Dice) -> Step {
    if dice.roll(4) == 0 {
        return Step::State(dice.of(&STATES), dice.roll(2) == 0);
    }
    let at = dice.roll(RECORDS.len());
    let value = match RECORDS[at] {
        "A" => Value::scalar(dice.of(&[
            0.0,
            0.5,
            1.0,
            2.5,
            10.0,
            11.0,
            12.0,
            60.0,
            -3.0,
            1e9,
            f64::NAN,
            f64::INFINITY,
        ])),
        "L" => Value::scalar(dice.of(&[0, 1, 2, 3, 5, 9, 100])),
        "I" => Value::scalar(dice.of(&[0.0, 1.0, 3.0, 5e9])),
        "B" => Value::scalar(dice.roll(2) as i32),
        "M" => Value::scalar(dice.roll(3) as i32),
        "S" => Value::string(dice.of(&["", "a", "another text", "some text"])),
        "W" => Value::from(
            (0..dice.roll(7))
                .map(|n| (n * 2) as f64)
                .collect::<Vec<f64>>(),
        ),
        _ => Value::from(b"abcdefgh"[..1 + dice.roll(8)].to_vec()),
    };
    Step::Put(at, value)
}

struct OnDisk(PathBuf);

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One of the two IOCs, and a client of it.
struct Side {
    circuit: Circuit,
    records: Vec<Channel>,
    mark: Channel,
    end: u32,
    number: i32,
    channels: Vec<Option<Channel>>,
    watched: Vec<(usize, u32)>,
}

impl Side {
    fn new(port: u16, names: &[String]) -> Self {
        let mut circuit = Circuit::open(port);
        let all = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let records = circuit
            .create(&all(&RECORDS))
            .into_iter()
            .flatten()
            .collect();
        let mark = circuit.create(&all(&["MARK"]))[0].expect("MARK");
        let end = circuit.subscribe(mark, DbrType::new(Family::Plain, NativeType::Long), 1);
        let channels = circuit.create(names);
        Self {
            circuit,
            records,
            mark,
            end,
            number: 0,
            channels,
            watched: Vec::new(),
        }
    }

    /// What each subscription was told up to now. No order holds between subscriptions: a mark may overtake what is
    /// told in a later turn, so there are some, one after the other.
    fn told(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..3 {
            self.number += 1;
            self.circuit.put(self.mark, &Value::scalar(self.number));
            let text = format!("x1 {:?}", f64::from(self.number));
            all.extend(self.circuit.updates_until(self.end, &text));
        }
        let of = |&(_, id): &(usize, u32)| {
            let of = all.iter().filter(|(of, _)| *of == id);
            of.map(|(_, text)| text.as_str())
                .collect::<Vec<_>>()
                .join(" | ")
        };
        self.watched.iter().map(of).collect()
    }
}

/// The dice of a story.
fn dice(seed: u64) -> Dice {
    let mut dice = Dice::new(seed);
    for _ in 0..8 {
        dice.roll(2);
    }
    dice
}

/// The channel names of a story.
pub fn names(seed: u64, names: usize) -> Vec<String> {
    let mut dice = dice(seed);
    (0..names)
        .map(|_| of_any(&mut dice, &RECORDS, &FIELDS))
        .filter(|name| !is_left_out(name))
        .collect()
}

/// Leaves out names as long as the story still comes to no end: those that a server does not survive.
pub fn shrink(seed: u64, mut names: Vec<String>, ends: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut size = names.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < names.len() {
            let mut fewer = names.clone();
            fewer.drain(at..(at + size).min(names.len()));
            match fewer.is_empty() || ends(&fewer) {
                true => at += size,
                false => names = fewer,
            }
        }
        println!("seed {seed}: {} names are left", names.len());
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    names
}

/// Tells a story of these channels and so many steps to both.
pub fn tell(python: &Python, seed: u64, names: &[String], steps: usize) -> Tally {
    let mut dice = dice(seed ^ 0xf11e);
    let path = std::env::temp_dir().join(format!(
        "canter-filters-{}-{}.db",
        std::process::id(),
        crate::ports::free_pair()
    ));
    fs::write(&path, DB).expect("a file");
    let file = OnDisk(path);
    let text = file.0.to_str().expect("UTF-8");
    let real = python.serve("run_ioc.py", "T", &["--db", text]);
    let mut real: Peer = real.unwrap_or_else(|error| panic!("{error}"));
    let ours = Ours::serve(DB);
    let port = real.port();
    println!("seed {seed}: the real IOC is at port {port}");
    let mut set = |name: &str, value: bool| {
        real.tell(&format!("state {name} {}", u8::from(value)));
        let answer = real.line(Instant::now() + LIMIT);
        assert_eq!(answer.as_deref(), Some("OK"));
        ours.with(|ioc, _| ioc.set_state(name, value));
    };
    for name in STATES {
        set(name, false);
    }
    let mut sides = [Side::new(port, names), Side::new(ours.port(), names)];
    let mut tally = Tally::default();
    for (at, name) in names.iter().enumerate() {
        let [a, b] = [&sides[0], &sides[1]].map(|side| side.channels[at]);
        let shown = |channel: Option<Channel>| match channel {
            Some(c) => format!("{:?} x{} rights {}", c.native, c.count, c.rights),
            None => "none".into(),
        };
        tally.compare("channel", "is", "there", name, &shown(a), &shown(b));
        let (Some(a), Some(_)) = (a, b) else {
            continue;
        };
        let ty = DbrType::new(Family::Sts, a.native);
        let mask = dice.of(&[1, 5, 5, 4, 2, 8, 13]);
        for side in &mut sides {
            // Now and then two on one channel, which share the state of its filters.
            for _ in 0..=usize::from(at % 5 == 0) {
                if let Some(channel) = side.channels[at] {
                    let id = side.circuit.watch(channel, ty, mask);
                    side.watched.push((at, id));
                }
            }
        }
    }
    for number in 0..=steps {
        let mut what = String::from("subscribed");
        if number > 0 {
            match step(&mut dice) {
                Step::Put(at, value) => {
                    what = format!("{} = {value:?}", RECORDS[at]);
                    for side in &mut sides {
                        side.circuit.put(side.records[at], &value);
                    }
                }
                Step::State(name, value) => {
                    what = format!("state {name} is {value}");
                    set(name, value);
                }
            }
        }
        let [a, b] = sides.each_mut().map(Side::told);
        let watched = sides[0].watched.clone();
        for ((a, b), (at, _)) in a.iter().zip(&b).zip(watched) {
            let name = &names[at];
            let context = format!("seed {seed}, step {number}: {what}: {name}");
            let (a, b) = (comparable(name, a), comparable(name, b));
            tally.compare("update", "was", "told", &context, &a, &b);
        }
        if number % 5 != 0 {
            continue;
        }
        // Reads go through filters too, and move dead-bands.
        let [a, b] = sides.each_mut().map(|side| {
            let all = side.channels.iter().flatten();
            let all = all.map(|c| (c.sid, DbrType::new(Family::Sts, c.native), 0));
            let all = all.collect::<Vec<_>>();
            side.circuit.read(&all)
        });
        let both = |at: &usize| sides.iter().all(|side| side.channels[*at].is_some());
        let open: Vec<usize> = (0..names.len()).filter(both).collect();
        if a.len() == b.len() && a.len() == open.len() {
            for ((a, b), at) in a.iter().zip(&b).zip(open) {
                let name = &names[at];
                let context = format!("seed {seed}, step {number}: {what}: {name}");
                let (a, b) = (comparable(name, a), comparable(name, b));
                tally.compare("read", "has", "value", &context, &a, &b);
            }
        }
    }
    real.stop();
    tally
}
