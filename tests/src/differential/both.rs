//! Both IOCs: a story is told to them, and what they say is compared.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_server_sim::record::{Dbf, Schema, Special};

use super::bare::{Channel, Circuit};
use super::ours::Ours;
use super::story::{Put, Story, defaults};
use super::{Question, Tally};
use crate::peer::{Peer, Python};

/// Fields that are not compared: how often a record was found active is a matter of time.
const NOT_COMPARED: [&str; 1] = ["LCNT"];

/// A mark: it goes through the queues of the reference, of callbacks of each priority and of records that are
/// processed once, and an update of its end comes behind all that was caused before.
const MARK: &str = r#"
record(longout, "MARK") { field(FLNK, "MARK:low") }
record(seq, "MARK:low") { field(PRIO, "LOW") field(DOL1, "MARK") field(LNK1, "MARK:1 PP") }
record(longout, "MARK:1") { field(FLNK, "MARK:medium") }
record(seq, "MARK:medium") { field(PRIO, "MEDIUM") field(DOL1, "MARK") field(LNK1, "MARK:2 PP") }
record(longout, "MARK:2") { field(FLNK, "MARK:high") }
record(seq, "MARK:high") { field(PRIO, "HIGH") field(DOL1, "MARK") field(LNK1, "MARK:3 PP") }
record(longout, "MARK:3") { }
record(longin, "MARK:once") { field(INP, "MARK:3 CP") field(FLNK, "MARK:again") }
record(seq, "MARK:again") { field(PRIO, "LOW") field(DOL1, "MARK:once") field(LNK1, "MARK:end PP") }
record(longout, "MARK:end") { }
"#;

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

/// A field that both have.
struct Open {
    of: &'static str,
    field: String,
    name: String,
    real: Channel,
    ours: Channel,
}

impl Open {
    fn record(&self) -> &str {
        self.name
            .split_once('.')
            .map_or(&*self.name, |(record, _)| record)
    }

    fn is_of(&self, record: &str) -> bool {
        self.record() == record
    }

    /// Whether it is the hash of an array of texts: of all their memory in the reference, used or not.
    fn is_of_texts(&self, story: &Story) -> bool {
        let mut records = story.records.iter();
        let record = records.find(|record| self.is_of(&record.name));
        self.field == "HASH" && record.is_some_and(|record| record.holds_texts())
    }

    /// Whether a put to it processes the record.
    fn processes(&self) -> bool {
        let schema = Schema::base();
        let of = schema
            .find(self.of)
            .map(|number| schema.record_type(number));
        let field = of.and_then(|of| of.find(&self.field).map(|index| of.field(index)));
        field.is_some_and(|field| field.pp)
    }

    /// Whether its place is the record's to say (`cvt_dbaddr`), so that updates wait without their value.
    fn is_by_reference(&self) -> bool {
        let schema = Schema::base();
        let of = schema
            .find(self.of)
            .map(|number| schema.record_type(number));
        let field = of.and_then(|of| of.find(&self.field).map(|index| of.field(index)));
        field.is_some_and(|field| field.special == Special::DbAddr)
    }

    /// Whether it holds an integer, or integers.
    fn holds_integer(&self) -> bool {
        let schema = Schema::base();
        let of = schema
            .find(self.of)
            .map(|number| schema.record_type(number));
        let dbf = of.and_then(|of| of.find(&self.field).map(|index| of.field(index).dbf));
        match dbf {
            Some(dbf) => !dbf.is_real() && !dbf.is_link() && dbf != Dbf::String,
            None => false,
        }
    }

    fn is_with(&self, other: &Self) -> bool {
        self.record() == other.record()
    }

    /// Whether it is read after each put when a story looks at its first record.
    fn is_shown(&self, story: &Story) -> bool {
        let others = [
            "VAL", "SEVR", "STAT", "AMSG", "UDF", "PACT", "NSTA", "NSEV", "RPRO", "PUTF",
        ];
        self.is_of(&story.records[0].name) || others.contains(&&*self.field)
    }
}

fn open(story: &Story, real: &mut Circuit, ours: &mut Circuit, tally: &mut Tally) -> Vec<Open> {
    let schema = Schema::base();
    let mut all = Vec::new();
    for record in &story.records {
        let Some(of) = schema
            .find(record.of)
            .map(|number| schema.record_type(number))
        else {
            continue;
        };
        let mut fields: Vec<String> = of
            .fields
            .iter()
            .map(|field| field.name.to_string())
            .collect();
        fields.extend(["RTYP".to_owned(), "NOPE".to_owned(), "DESC$".to_owned()]);
        let names: Vec<String> = fields
            .iter()
            .map(|field| format!("{}.{field}", record.name))
            .collect();
        let (theirs, mine) = (real.create(&names), ours.create(&names));
        for (((field, name), a), b) in fields.into_iter().zip(names).zip(theirs).zip(mine) {
            let shown = |channel: Option<Channel>| match channel {
                Some(c) => format!("{:?} x{} rights {}", c.native, c.count, c.rights),
                None => "none".into(),
            };
            tally.compare(record.of, &field, "channel", &name, &shown(a), &shown(b));
            if let (Some(real), Some(ours)) = (a, b) {
                all.push(Open {
                    of: record.of,
                    field,
                    name,
                    real,
                    ours,
                });
            }
        }
    }
    all
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
        let asked = Question {
            of: field.of,
            field: &field.field,
            what: &format!("{ty}"),
            context: &format!("{context}{}", field.name),
            native: Some(field.real.native),
            integer: field.holds_integer(),
            by_reference: false,
            truth: truths.get(&*field.name).copied(),
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

/// Where the mark is put, and what is watched for its end, in one IOC.
struct Mark {
    channel: Channel,
    end: Channel,
    /// The subscription to its end.
    id: u32,
}

impl Mark {
    fn open(circuit: &mut Circuit) -> Self {
        let all = circuit.create(&["MARK".to_owned(), "MARK:end".to_owned()]);
        let (channel, end) = (all[0].expect("MARK"), all[1].expect("MARK:end"));
        let long = DbrType::new(Family::Plain, NativeType::Long);
        // The last of all subscriptions: the reference has its queues of updates in their order.
        let id = circuit.subscribe(end, long, 1);
        Self { channel, end, id }
    }

    /// What was told before.
    fn wait(&self, circuit: &mut Circuit, number: i32) -> Vec<(u32, String)> {
        circuit.put(self.channel, &Value::scalar(number));
        let text = |number: i32| format!("x1 {:?}", f64::from(number));
        let mut told = circuit.updates_until(self.id, &text(number));
        // Once more: the queues that come first may have got something after they were looked at.
        circuit.put(self.end, &Value::scalar(-number));
        told.extend(circuit.updates_until(self.id, &text(-number)));
        told
    }
}

/// What is watched of a field, by which masks.
fn masks(story: &Story, field: &Open) -> &'static [u16] {
    let looked_at = story.close && field.is_of(&story.records[0].name);
    match &*field.field {
        "TIME" => &[],
        "VAL" => &[1, 2, 4, 8],
        "SEVR" | "STAT" | "RVAL" | "SCAN" | "NORD" | "EGU" | "ACKS" => &[5, 8],
        "HASH" if field.is_of_texts(story) => &[],
        _ if looked_at => &[7],
        _ => &[],
    }
}

/// How long a put may take: what a record that never ends has to do with is never done.
const PATIENCE: Duration = Duration::from_secs(2);

/// A circuit for puts alone: the reference leaves out an update on the very channel that an array was written
/// through (`PROTOCOL.md`, S36), and a put that never ends blocks its circuit.
struct Writer {
    circuit: Circuit,
    port: u16,
    channels: HashMap<String, Channel>,
}

impl Writer {
    fn open(port: u16) -> Self {
        let mut circuit = Circuit::open(port);
        circuit.set_patience(PATIENCE);
        Self {
            circuit,
            port,
            channels: HashMap::new(),
        }
    }

    /// Writes: the status.
    fn put(&mut self, put: &Put, quietly: bool) -> String {
        let channel = *self.channels.entry(put.name.clone()).or_insert_with(|| {
            let channels = self.circuit.create(std::slice::from_ref(&put.name));
            channels[0].unwrap_or_else(|| panic!("{} is there", put.name))
        });
        let status = match quietly {
            true => self.circuit.put_quietly(channel, &put.value),
            false => self.circuit.try_put(channel, &put.value),
        };
        status.map_or_else(
            || {
                *self = Self::open(self.port);
                "no answer".to_owned()
            },
            |status| format!("{status:#x}"),
        )
    }
}

/// Tells a story to both.
pub fn tell(python: &Python, story: &Story) -> Tally {
    let both = Both::serve(python, &story.db());
    let mut tally = Tally::default();
    let (mut real, mut ours) = both.open();
    let mut writers = (
        Writer::open(both.real.port()),
        Writer::open(both.ours.port()),
    );
    let fields = open(story, &mut real, &mut ours, &mut tally);
    let compared = are_compared(story, &fields);
    let time = |field: &Open| vec![DbrType::new(Family::Time, field.real.native)];
    let watched = watch(story, &fields, (&mut real, &mut ours));
    let marks = (Mark::open(&mut real), Mark::open(&mut ours));
    marks.0.wait(&mut real, 1_000_000);
    marks.1.wait(&mut ours, 1_000_000);
    let start = format!("{}, at the start: ", story.title);
    read_all(&compared, time, (&mut real, &mut ours), &mut tally, &start);
    for (number, put) in (1..).zip(&story.puts) {
        let Some(field) = fields.iter().find(|field| field.name == put.name) else {
            continue;
        };
        let mut step = Tally::default();
        let context = format!(
            "{}, put {number}: {} = {:?}: ",
            story.title, put.name, put.value
        );
        // Whether a record is active, so that a put would wait for it.
        let active = fields
            .iter()
            .find(|other| other.field == "PACT" && other.is_with(field));
        let char = DbrType::new(Family::Plain, NativeType::Char);
        let active = active.map(|pact| real.read(&[(pact.real.sid, char, 1)]));
        let quietly = number % 3 == 0 || active.is_some_and(|active| active != ["x1 0.0"]);
        let (a, b) = (writers.0.put(put, quietly), writers.1.put(put, quietly));
        // What a record's processing returns fails the put that caused it, if it is one without completion: S37.
        let (a, b) = match quietly && a == "0xa0" && b == "0x1" && field.processes() {
            true => (b.clone(), b),
            false => (a, b),
        };
        step.compare(field.of, &field.field, "status", &context, &a, &b);
        let told = (
            marks.0.wait(&mut real, number),
            marks.1.wait(&mut ours, number),
        );
        let (told_by_real, told_by_ours) = (by_subscription(&told.0), by_subscription(&told.1));
        for ((a, b), field, mask) in &watched {
            let (a, b) = (told_by_real.get(a), told_by_ours.get(b));
            if a.is_none() && b.is_none() {
                continue;
            }
            let single = field.real.count == 1 && field.real.native != NativeType::String;
            let text = |all: Option<&Vec<&str>>| {
                let mut all = all.cloned().unwrap_or_default();
                // What is read when it is sent may be sent once for two: `PROTOCOL.md`, S9.
                if !single {
                    all.dedup();
                }
                all.join(" | ")
            };
            let (a, b) = (text(a), text(b));
            let context = format!("{context}{}", field.name);
            let asked = Question {
                of: field.of,
                field: &field.field,
                what: &format!("told {mask}"),
                context: &context,
                native: Some(field.real.native),
                integer: field.holds_integer(),
                by_reference: field.is_by_reference(),
                truth: None,
            };
            step.compare_values(&asked, &a, &b);
        }
        read_all(&compared, time, (&mut real, &mut ours), &mut step, &context);
        if !tally.step(step) {
            return tally;
        }
        if !tally.first.is_empty() && tally.setting.is_empty() {
            tally.setting = links(&fields, &mut real);
        }
    }
    // With channels of their own: the reference decides some things when a channel is opened (`PROTOCOL.md`, S43).
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
    tally
}

/// The fields that are read.
fn are_compared<'a>(story: &Story, fields: &'a [Open]) -> Vec<&'a Open> {
    fields
        .iter()
        .filter(|field| !NOT_COMPARED.contains(&&*field.field) && field.field != "RTYP")
        .filter(|field| !story.close || field.is_shown(story))
        .filter(|field| !field.is_of_texts(story))
        .collect()
}

/// The links that are set, of all records.
fn links(fields: &[Open], real: &mut Circuit) -> Vec<String> {
    let schema = Schema::base();
    let is_link = |field: &&Open| {
        let of = schema
            .find(field.of)
            .map(|number| schema.record_type(number));
        of.and_then(|of| {
            of.find(&field.field)
                .map(|index| of.field(index).dbf.is_link())
        }) == Some(true)
    };
    let fields: Vec<&Open> = fields.iter().filter(is_link).collect();
    let text = DbrType::new(Family::Plain, NativeType::String);
    let wanted: Vec<_> = fields
        .iter()
        .map(|field| (field.real.sid, text, 0))
        .collect();
    let all = fields.iter().zip(real.read(&wanted));
    let set = all.filter(|(_, text)| text != "x1 \"\"");
    set.map(|(field, text)| format!("{} {text}", field.name))
        .collect()
}

/// The identifiers of a subscription in both, its field and its mask.
type Watched<'a> = ((u32, u32), &'a Open, u16);

fn watch<'a>(
    story: &Story,
    fields: &'a [Open],
    (real, ours): (&mut Circuit, &mut Circuit),
) -> Vec<Watched<'a>> {
    let mut watched = Vec::new();
    for field in fields {
        let ty = DbrType::new(Family::Time, field.real.native);
        for &mask in masks(story, field) {
            let ids = (
                real.subscribe(field.real, ty, mask),
                ours.subscribe(field.ours, ty, mask),
            );
            watched.push((ids, field, mask));
        }
    }
    watched
}

fn by_subscription(told: &[(u32, String)]) -> HashMap<u32, Vec<&str>> {
    let mut all: HashMap<u32, Vec<&str>> = HashMap::new();
    for (id, text) in told {
        all.entry(*id).or_default().push(text);
    }
    all
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
