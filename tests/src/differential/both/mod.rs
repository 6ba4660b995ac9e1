//! Both IOCs: a story is told to them, and what they say is compared.

mod fields;
mod watch;
mod writer;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ca_proto::dbr::{DbrType, Family, NativeType};

use self::fields::{Open, are_compared, links, open, open_filtered};
use self::watch::{MARK, Mark, Watched, by_subscription, watch};
use self::writer::Writer;
use super::bare::Circuit;
use super::names::STATES;
use super::ours::Ours;
use super::story::{Story, defaults};
use super::{Question, Tally};
use crate::peer::{Peer, Python};

/// Time for a command.
const LIMIT: Duration = Duration::from_secs(20);

/// Both IOCs with the records of a story.
struct Both {
    real: Peer,
    ours: Ours,
    path: PathBuf,
}

impl Both {
    fn serve(python: &Python, db: &str) -> Self {
        let db = format!("{db}{MARK}");
        let name = format!(
            "canter-differential-{}-{}.db",
            std::process::id(),
            crate::ports::free_pair()
        );
        let path = std::env::temp_dir().join(name);
        fs::write(&path, &db).expect("a file");
        let file = path.to_str().expect("UTF-8");
        let real = python.serve("run_ioc.py", "T", &["--db", file]);
        let real = real.unwrap_or_else(|error| panic!("{error}\n{db}"));
        Self {
            real,
            ours: Ours::serve(&db),
            path,
        }
    }
}

impl Both {
    /// Sets or clears a flag, which is made if there is none.
    fn set_state(&mut self, name: &str, value: bool) {
        self.real.tell(&format!("state {name} {}", u8::from(value)));
        let answer = self.real.line(Instant::now() + LIMIT);
        assert_eq!(answer.as_deref(), Some("OK"));
        self.ours.with(|ioc, _| ioc.set_state(name, value));
    }

    fn open(&self) -> (Circuit, Circuit) {
        (
            Circuit::open(self.real.port()),
            Circuit::open(self.ours.port()),
        )
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.real.stop();
    }
}

fn read_all(
    fields: &[&Open],
    types: impl Fn(&Open) -> Vec<DbrType>,
    (real, ours): (&mut Circuit, &mut Circuit),
    tally: &mut Tally,
    context: &str,
) {
    let (mut a, mut b, mut what) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields {
        for ty in types(field) {
            a.push((field.real.sid, ty, 0));
            b.push((field.ours.sid, ty, 0));
            what.push((field, ty));
        }
    }
    let (a, b) = (real.read(&a), ours.read(&b));
    let reals = DbrType::new(Family::Ctrl, NativeType::Double);
    let truths: HashMap<&str, &str> = (what.iter().zip(&a))
        .filter(|((_, ty), _)| *ty == reals)
        .map(|((field, _), a)| (&*field.name, &**a))
        .collect();
    for (((field, ty), a), b) in what.iter().zip(&a).zip(&b) {
        let (a, b) = (&field.comparable(a), &field.comparable(b));
        let (what, context) = (format!("{ty}"), format!("{context}{}", field.name));
        let asked = Question {
            truth: truths.get(&*field.name).copied(),
            ..field.asked(&what, &context)
        };
        tally.compare_values(&asked, a, b);
    }
}

/// All types. A text that is read as a state is written to the record by the reference: `PROTOCOL.md`, S34.
fn all_types(field: &Open) -> Vec<DbrType> {
    let enums = |ty: &DbrType| ty.native() == Some(NativeType::Enum);
    let types = (0..35).map(DbrType);
    let types = types.chain([DbrType::STSACK_STRING, DbrType::CLASS_NAME]);
    types
        .filter(|ty| field.real.native != NativeType::String || !enums(ty))
        .collect()
}

/// Reads all fields of a record of each type in all types.
pub fn read_defaults(python: &Python, types: &[&'static str]) -> Tally {
    let story = defaults(types);
    let both = Both::serve(python, &story.db());
    let mut tally = Tally::default();
    let (mut real, mut ours) = both.open();
    let fields = open(&story, &mut real, &mut ours, &mut tally);
    let fields: Vec<&Open> = fields.iter().collect();
    read_all(&fields, all_types, (&mut real, &mut ours), &mut tally, "");
    tally
}

/// A story on its way.
struct Telling<'a> {
    real: Circuit,
    ours: Circuit,
    /// What is read after each put.
    compared: Vec<&'a Open>,
    filtered: &'a [Open],
    watched: Vec<Watched<'a>>,
    marks: (Mark, Mark),
}

impl Telling<'_> {
    /// Compares what was told since the last time.
    fn told(&mut self, number: i32, tally: &mut Tally, context: &str) {
        let told = (
            self.marks.0.wait(&mut self.real, number),
            self.marks.1.wait(&mut self.ours, number),
        );
        let (real, ours) = (by_subscription(&told.0), by_subscription(&told.1));
        for ((a, b), field, mask) in &self.watched {
            let (a, b) = (real.get(a), ours.get(b));
            if a.is_none() && b.is_none() {
                continue;
            }
            let single = field.real.count == 1 && field.real.native != NativeType::String;
            let text = |all: Option<&Vec<&str>>| {
                let all = all.map(Vec::as_slice).unwrap_or_default().iter();
                let mut all: Vec<String> = all.map(|told| field.comparable(told)).collect();
                // What is read when it is sent may be sent once for two: `PROTOCOL.md`, S9.
                if !single || !field.is_told_with_value() {
                    all.dedup();
                }
                // One for all that wait: `PROTOCOL.md`, S44.
                if field.is_time_by_reference() && all.len() > 1 {
                    all.drain(..all.len() - 1);
                }
                all.join(" | ")
            };
            let (a, b) = (text(a), text(b));
            let (what, context) = (format!("told {mask}"), format!("{context}{}", field.name));
            tally.compare_values(&field.asked(&what, &context), &a, &b);
        }
    }

    /// Compares what is read now.
    fn read(&mut self, tally: &mut Tally, context: &str) {
        let time = |field: &Open| vec![DbrType::new(Family::Time, field.real.native)];
        let circuits = (&mut self.real, &mut self.ours);
        read_all(&self.compared, time, circuits, tally, context);
        let filtered: Vec<&Open> = self.filtered.iter().collect();
        let circuits = (&mut self.real, &mut self.ours);
        read_all(&filtered, time, circuits, tally, context);
    }

    /// Whether a record is active in the reference, so that a put would wait for it.
    fn is_active(&mut self, fields: &[Open], field: &Open) -> bool {
        let mut of_record = fields.iter().filter(|other| other.is_with(field));
        let Some(pact) = of_record.find(|other| other.field == "PACT") else {
            return false;
        };
        let char = DbrType::new(Family::Plain, NativeType::Char);
        self.real.read(&[(pact.real.sid, char, 1)]) != ["x1 0.0"]
    }
}

/// Which flag a put finds changed, and what it is then.
fn flag(number: i32) -> Option<(&'static str, bool)> {
    match number % 12 {
        1 => Some((STATES[0], true)),
        4 => Some((STATES[1], true)),
        7 => Some((STATES[0], false)),
        11 => Some((STATES[1], false)),
        _ => None,
    }
}

/// Tells a story to both.
pub fn tell(python: &Python, story: &Story) -> Tally {
    let mut both = Both::serve(python, &story.db());
    for name in STATES {
        both.set_state(name, false);
    }
    let mut tally = Tally::default();
    let (mut real, mut ours) = both.open();
    let mut writers = (
        Writer::open(both.real.port()),
        Writer::open(both.ours.port()),
    );
    let fields = open(story, &mut real, &mut ours, &mut tally);
    let filtered = open_filtered(story, &mut real, &mut ours, &mut tally);
    let watched = watch(story, (&fields, &filtered), (&mut real, &mut ours));
    let mut telling = Telling {
        marks: (Mark::open(&mut real), Mark::open(&mut ours)),
        compared: are_compared(story, &fields),
        filtered: &filtered,
        watched,
        real,
        ours,
    };
    let start = format!("{}, at the start: ", story.title);
    telling.told(1_000_000, &mut tally, &start);
    telling.read(&mut tally, &start);
    for (number, put) in (1..).zip(&story.puts) {
        let name = put.name.trim_end_matches('$');
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            continue;
        };
        if let Some((name, value)) = flag(number) {
            both.set_state(name, value);
        }
        let mut step = Tally::default();
        let context = format!(
            "{}, put {number}: {} = {:?}: ",
            story.title, put.name, put.value
        );
        let quietly = number % 3 == 0 || telling.is_active(&fields, field);
        let (a, b) = (writers.0.put(put, quietly), writers.1.put(put, quietly));
        // What a record's processing returns fails the put that caused it, if it is one without completion: S37.
        let (a, b) = match quietly && a == "0xa0" && b == "0x1" && field.processes() {
            true => (b.clone(), b),
            false => (a, b),
        };
        step.compare(field.of, &field.field, "status", &context, &a, &b);
        telling.told(number, &mut step, &context);
        telling.read(&mut step, &context);
        if !tally.step(step) {
            return tally;
        }
        if !tally.first.is_empty() && tally.setting.is_empty() {
            tally.setting = links(&fields, &mut telling.real);
        }
    }
    at_the_end(&both, story, &mut tally);
    tally
}

/// Reads everything in all types, with channels of their own: the reference decides some things when a channel is
/// opened (`PROTOCOL.md`, S43).
fn at_the_end(both: &Both, story: &Story, tally: &mut Tally) {
    let mut step = Tally::default();
    let (mut real, mut ours) = both.open();
    let fields = open(story, &mut real, &mut ours, &mut step);
    let end = format!("{}, at the end: ", story.title);
    let compared = are_compared(story, &fields);
    read_all(
        &compared,
        all_types,
        (&mut real, &mut ours),
        &mut step,
        &end,
    );
    tally.step(step);
    if !tally.first.is_empty() && tally.setting.is_empty() {
        tally.setting = links(&fields, &mut real);
    }
}

/// Leaves out puts as long as some difference of a kind stays: the shortest story that shows it.
pub fn shrink(python: &Python, story: &Story, kind: &str, mut attempts: u32) -> Story {
    let mut best = story.clone();
    let mut size = best.puts.len() / 2;
    while size > 0 && attempts > 0 {
        let mut at = 0;
        let before = best.puts.len();
        while at < best.puts.len() && attempts > 0 {
            attempts -= 1;
            let mut shorter = best.clone();
            let end = (at + size).min(shorter.puts.len());
            shorter.puts.drain(at..end);
            match tell(python, &shorter).kinds.contains_key(kind) {
                true => best = shorter,
                false => at += size,
            }
        }
        if best.puts.len() == before {
            size /= 2;
        }
    }
    best
}
