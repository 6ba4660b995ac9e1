//! Random records and what is written to them.

use std::fs;
use std::path::PathBuf;

use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_server_sim::record::{Dbf, Schema, Special};

use super::circuit::{Channel, Circuit};
use super::ours::Ours;
use super::{LIVE, Tally};
use crate::oracle::Dice;
use crate::peer::{Peer, Python};

/// A record of a story.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its type.
    pub of: &'static str,
    /// Its name.
    pub name: String,
    fields: Vec<(String, String)>,
}

/// Something that is done.
#[derive(Clone, PartialEq, Debug)]
pub struct Put {
    /// Record and field.
    pub name: String,
    /// What is written.
    pub value: Value,
}

/// Records, and what is written to them.
#[derive(Clone, Debug)]
pub struct Story {
    /// Where it comes from.
    pub seed: u64,
    records: Vec<Record>,
    /// What is done.
    pub puts: Vec<Put>,
}

/// Fields that are not written: a period or a delay makes the result a matter of time, a link to nowhere is one
/// of another IOC, traces go to the IOC's output, and groups of access security are not those of both. A calc's links
/// from INPM on are S35 of `PROTOCOL.md`. An empty array that SIML reads is one that differs still.
const NOT_WRITTEN: [&str; 23] = [
    "SCAN", "SDLY", "TPRO", "ASG", "TSEL", "SDIS", "EVNT", "BKPT", "HIGH", "SNAM", "INAM", "DTYP",
    "PINI", "SIML", "INPM", "INPN", "INPO", "INPP", "INPQ", "INPR", "INPS", "INPT", "INPU",
];

/// Fields that are not compared: where a random number comes in, or memory of the reference.
const NOT_COMPARED: [&str; 1] = ["LCNT"];

const TEXTS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2.5",
    "-3.75",
    "1e3",
    "100",
    "255",
    "256",
    "65535",
    "70000",
    "-40000",
    "3e9",
    "1e40",
    "nan",
    "abc",
    "",
    " 7",
    "0x1f",
    "YES",
    "MAJOR",
    "a text that is longer than many a field of a record",
];
/// Those beyond the range of an integer are left to C, which says nothing of them: `PROTOCOL.md`, W2.
const NUMBERS: [f64; 16] = [
    0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 4.5, 7.0, 10.0, -10.0, 99.5, 100.0, 1e-3, 5.0, -3.25, 64.0,
];
const INTEGERS: [i32; 12] = [0, 1, -1, 2, 5, 17, 255, 256, -32769, 65535, 70000, i32::MAX];
const EXPRESSIONS: [&str; 8] = [
    "A+B",
    "A*2-C",
    "VAL+1",
    "A>B?A:B",
    "MIN(A,B,C)",
    "A/0",
    "A:=A+1;A",
    "A+",
];

fn schema() -> Schema {
    Schema::base()
}

/// The text of a `.db` file.
fn text(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        text.push_str(&format!("record({}, \"{}\") {{\n", record.of, record.name));
        for (field, value) in &record.fields {
            text.push_str(&format!("  field({field}, \"{value}\")\n"));
        }
        text.push_str("}\n");
    }
    text
}

/// A record of each type with nothing set.
pub fn defaults(types: &[&'static str]) -> Story {
    let records = types.iter().map(|&of| Record {
        of,
        name: format!("T:{of}"),
        fields: Vec::new(),
    });
    Story {
        seed: 0,
        records: records.collect(),
        puts: Vec::new(),
    }
}

impl Story {
    /// The story of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        for _ in 0..8 {
            dice.roll(2);
        }
        let schema = schema();
        let count = 4 + dice.roll(6);
        let mut records: Vec<Record> = (0..count)
            .map(|n| Record {
                of: dice.of(&LIVE),
                name: format!("R{n}"),
                fields: Vec::new(),
            })
            .collect();
        let names: Vec<(String, &'static str)> = records
            .iter()
            .map(|record| (record.name.clone(), record.of))
            .collect();
        for record in &mut records {
            for _ in 0..dice.roll(7) {
                if let Some(field) = setting(&mut dice, &schema, record.of, &names)
                    && !record.fields.iter().any(|(have, _)| *have == field.0)
                {
                    record.fields.push(field);
                }
            }
        }
        let puts = (0..25).map(|_| {
            let (name, of) = &names[dice.roll(names.len())];
            put(&mut dice, &schema, name, of, &names)
        });
        Self {
            seed,
            puts: puts.collect(),
            records,
        }
    }

    /// The `.db` file of the story.
    pub fn db(&self) -> String {
        text(&self.records)
    }
}

fn link(dice: &mut Dice, names: &[(String, &'static str)]) -> String {
    let (name, _) = &names[dice.roll(names.len())];
    let field = dice.of(&["", "", "", ".SEVR", ".VAL", ".UDF"]);
    let process = dice.of(&["", " PP", " PP", " NPP"]);
    let severity = dice.of(&["", " MS", " MSI", " MSS", " NMS"]);
    format!("{name}{field}{process}{severity}")
}

/// A field of a record that a file sets.
fn setting(
    dice: &mut Dice,
    schema: &Schema,
    of: &str,
    names: &[(String, &'static str)],
) -> Option<(String, String)> {
    let of = schema.record_type(schema.find(of)?);
    let all = &of.fields;
    let field = &all[dice.roll(all.len())];
    let name = &*field.name;
    if NOT_WRITTEN.contains(&name) || matches!(field.special, Special::NoMod | Special::DbAddr) {
        return None;
    }
    let value = match field.dbf {
        Dbf::FwdLink => names[dice.roll(names.len())].0.clone(),
        Dbf::InLink if name.starts_with("SIML") => return None,
        Dbf::InLink | Dbf::OutLink => match dice.roll(3) {
            0 if field.dbf == Dbf::InLink => dice.of(&["3", "1.5", "0"]).to_owned(),
            _ => link(dice, names),
        },
        Dbf::String if field.special == Special::Calc => EXPRESSIONS[dice.roll(7)].to_owned(),
        Dbf::String => dice.of(&["mm", "a text", "Off", "x y z"]).to_owned(),
        Dbf::Menu | Dbf::Enum => dice.roll(2).to_string(),
        Dbf::Float | Dbf::Double => NUMBERS[dice.roll(NUMBERS.len())].to_string(),
        Dbf::NoAccess | Dbf::Device => return None,
        _ => dice.of(&["0", "1", "2", "5", "16"]).to_owned(),
    };
    Some((name.to_owned(), value))
}

fn put(
    dice: &mut Dice,
    schema: &Schema,
    name: &str,
    of: &str,
    names: &[(String, &'static str)],
) -> Put {
    let of = schema.find(of).map(|number| schema.record_type(number));
    let mut field = "VAL".to_owned();
    if dice.roll(2) == 0
        && let Some(of) = of
    {
        let all: Vec<_> = of
            .fields
            .iter()
            .filter(|field| field.dbf != Dbf::NoAccess && !NOT_WRITTEN.contains(&&*field.name))
            .collect();
        field = all[dice.roll(all.len())].name.to_string();
    } else if dice.roll(3) == 0 {
        field = "PROC".to_owned();
    }
    let dbf = of.and_then(|of| of.find(&field).map(|index| of.field(index).dbf));
    let value = match dbf {
        Some(Dbf::FwdLink) => Value::string(&names[dice.roll(names.len())].0),
        Some(Dbf::InLink | Dbf::OutLink) => Value::string(link(dice, names)),
        _ if field == "CALC" => Value::string(EXPRESSIONS[dice.roll(EXPRESSIONS.len())]),
        _ => {
            let number = NUMBERS[dice.roll(NUMBERS.len())];
            match dice.roll(9) {
                0..4 => Value::string(TEXTS[dice.roll(TEXTS.len())]),
                4 => Value::scalar(dice.of(&INTEGERS)),
                5 => Value::scalar(number as i16),
                6 => Value::scalar(EnumIndex(dice.roll(5) as u16)),
                7 => Value::scalar(dice.of(&[0u8, 1, 2, 100, 200])),
                _ => Value::scalar(number),
            }
        }
    };
    Put {
        name: format!("{name}.{field}"),
        value,
    }
}

/// Both IOCs with the records of a story.
struct Both {
    real: Peer,
    ours: Ours,
    path: PathBuf,
}

impl Both {
    fn serve(python: &Python, db: &str) -> Self {
        // The mark: an update of it comes behind all that was caused before.
        let db = format!("{db}record(longout, \"MARK\") {{ field(MDEL, -1) }}\n");
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

fn open(story: &Story, real: &mut Circuit, ours: &mut Circuit, tally: &mut Tally) -> Vec<Open> {
    let schema = schema();
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
    for (((field, ty), a), b) in what.into_iter().zip(a).zip(b) {
        let context = format!("{context}{}", field.name);
        tally.compare(field.of, &field.field, &format!("{ty}"), &context, &a, &b);
    }
}

/// Reads all fields of a record of each type in all types.
pub fn read_defaults(python: &Python, types: &[&'static str]) -> Tally {
    let story = defaults(types);
    let both = Both::serve(python, &story.db());
    let mut tally = Tally::default();
    let (mut real, mut ours) = (
        Circuit::open(both.real.port()),
        Circuit::open(both.ours.port()),
    );
    let fields = open(&story, &mut real, &mut ours, &mut tally);
    let fields: Vec<&Open> = fields.iter().collect();
    // A text that is read as a state is written to the record by the reference: `PROTOCOL.md`, S34.
    let all = |field: &Open| {
        let enums = |ty: &DbrType| ty.native() == Some(NativeType::Enum);
        let types = (0..35).map(DbrType);
        let types = types.chain([DbrType::STSACK_STRING, DbrType::CLASS_NAME]);
        types
            .filter(|ty| field.real.native != NativeType::String || !enums(ty))
            .collect()
    };
    read_all(&fields, all, (&mut real, &mut ours), &mut tally, "");
    tally
}

/// Tells a story to both.
pub fn tell(python: &Python, story: &Story) -> Tally {
    let both = Both::serve(python, &story.db());
    let mut tally = Tally::default();
    let (mut real, mut ours) = (
        Circuit::open(both.real.port()),
        Circuit::open(both.ours.port()),
    );
    let fields = open(story, &mut real, &mut ours, &mut tally);
    let compared: Vec<&Open> = fields
        .iter()
        .filter(|field| !NOT_COMPARED.contains(&&*field.field) && field.field != "RTYP")
        .collect();
    let time = |field: &Open| vec![DbrType::new(Family::Time, field.real.native)];
    read_all(
        &compared,
        time,
        (&mut real, &mut ours),
        &mut tally,
        "at the start ",
    );
    let mark = ["MARK".to_owned()];
    let marks = (
        real.create(&mark)[0].expect("MARK"),
        ours.create(&mark)[0].expect("MARK"),
    );
    let long = DbrType::new(Family::Plain, NativeType::Long);
    let ends = (
        real.subscribe(marks.0, long, 1),
        ours.subscribe(marks.1, long, 1),
    );
    // What is watched, by both subscriptions.
    let mut watched = Vec::new();
    for field in &fields {
        let masks: &[u16] = match &*field.field {
            "VAL" => &[1, 2, 4, 8],
            "SEVR" | "STAT" | "RVAL" | "SCAN" | "NORD" | "EGU" | "ACKS" => &[5, 8],
            _ => continue,
        };
        for &mask in masks {
            let ty = DbrType::new(Family::Time, field.real.native);
            let ids = (
                real.subscribe(field.real, ty, mask),
                ours.subscribe(field.ours, ty, mask),
            );
            watched.push((ids, field, mask));
        }
    }
    for (number, put) in (1..).zip(&story.puts) {
        let Some(field) = fields.iter().find(|field| field.name == put.name) else {
            continue;
        };
        let context = format!(
            "seed {}, put {number}: {} = {:?}: ",
            story.seed, put.name, put.value
        );
        let status = (
            real.put(field.real, &put.value),
            ours.put(field.ours, &put.value),
        );
        let (a, b) = (format!("{:#x}", status.0), format!("{:#x}", status.1));
        tally.compare(field.of, &field.field, "status", &context, &a, &b);
        let end = Value::scalar(number);
        real.put(marks.0, &end);
        ours.put(marks.1, &end);
        let text = format!("x1 {:?}", f64::from(number));
        let told = (
            real.updates_until(ends.0, &text),
            ours.updates_until(ends.1, &text),
        );
        for ((a, b), field, mask) in &watched {
            let of = |all: &[(u32, String)], id: u32| {
                let of = all.iter().filter(|(of, _)| *of == id);
                of.map(|(_, text)| text.as_str())
                    .collect::<Vec<_>>()
                    .join(" | ")
            };
            let (a, b) = (of(&told.0, *a), of(&told.1, *b));
            let context = format!("{context}{}", field.name);
            tally.compare(
                field.of,
                &field.field,
                &format!("told {mask}"),
                &context,
                &a,
                &b,
            );
        }
        read_all(
            &compared,
            time,
            (&mut real, &mut ours),
            &mut tally,
            &context,
        );
    }
    tally
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
