//! Random records and what is written to them.

use ca_proto::dbr::Value;
use ca_server_sim::record::{Dbf, Field, RecordType, Schema, Special};

use super::values::{self, Named};
use super::{LIVE, names};
use crate::oracle::Dice;

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

impl std::fmt::Display for Put {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {:?}", self.name, self.value)
    }
}

/// Records, and what is written to them.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its kind and its seed.
    pub title: String,
    /// The records.
    pub records: Vec<Record>,
    /// Channels with modifiers and filters, which are watched and read.
    pub channels: Vec<String>,
    /// What is done.
    pub puts: Vec<Put>,
    /// Only the first record is looked at as a whole, and everything of it is watched.
    pub close: bool,
}

/// Fields that are not written: groups of access security are not those of both, and whether a `compress` can be
/// written is decided when its channel is opened in the reference (`PROTOCOL.md`, S43).
const NOT_WRITTEN: [&str; 2] = ["ASG", "BALG"];
/// Fields that decide whether the others do anything: they are written back.
const MODES: [&str; 10] = [
    "DISP", "SCAN", "DISA", "DISV", "SDIS", "SIMM", "SIML", "TSEL", "TSE", "SIMS",
];
/// Fields that a story of one record writes, and how often each.
const SWEPT: usize = 45;
const EACH: usize = 3;
/// Channels with modifiers and filters in a story.
const CHANNELS: usize = 20;

fn is_written(of: &RecordType, field: &Field) -> bool {
    let array = field.special == Special::DbAddr;
    // Links of a calc that its `special` does not know: `PROTOCOL.md`, S35.
    let judged =
        of.name.as_ref() == "calc" && field.dbf == Dbf::InLink && field.special == Special::Mod;
    (field.dbf != Dbf::NoAccess || array) && !NOT_WRITTEN.contains(&&*field.name) && !judged
}

/// A record of each type with nothing set.
pub fn defaults(types: &[&'static str]) -> Story {
    let records = types.iter().map(|&of| Record {
        of,
        name: format!("T:{of}"),
        fields: Vec::new(),
    });
    Story {
        title: "defaults".into(),
        records: records.collect(),
        channels: Vec::new(),
        puts: Vec::new(),
        close: false,
    }
}

fn dice(seed: u64) -> Dice {
    let mut dice = Dice::new(seed);
    for _ in 0..8 {
        dice.roll(2);
    }
    dice
}

fn named(records: &[Record]) -> Vec<Named> {
    records
        .iter()
        .map(|record| (record.name.clone(), record.of))
        .collect()
}

impl Story {
    /// Some records of any type that lead to each other, and puts to all of them.
    pub fn chains(seed: u64) -> Self {
        let mut dice = dice(seed);
        let schema = Schema::base();
        let count = 4 + dice.roll(6);
        let mut records: Vec<Record> = (0..count)
            .map(|n| Record {
                of: dice.of(&LIVE),
                name: format!("R{n}"),
                fields: Vec::new(),
            })
            .collect();
        let names = named(&records);
        for record in &mut records {
            let often = dice.roll(9);
            record.set_some(&mut dice, &schema, &names, often);
        }
        let puts = (0..25).map(|_| {
            let (name, of) = &names[dice.roll(names.len())];
            put(&mut dice, &schema, name, of, &names)
        });
        let puts = with_strange(seed, puts.collect(), &records);
        let puts = (puts.into_iter()).filter(|put| !depends_on_memory(put, &records));
        Self {
            title: format!("chains {seed}"),
            channels: channels(seed, &records),
            puts: puts.collect(),
            records,
            close: false,
        }
    }

    /// A record of a type, beside some to which its links may lead: many of its fields are written.
    pub fn sweep(seed: u64, of: &'static str) -> Self {
        let mut dice = dice(seed);
        let schema = Schema::base();
        let others = ["ai", "ao", "waveform", "stringin", "mbbo", "calc"];
        let mut records: Vec<Record> = std::iter::once(of)
            .chain(others)
            .zip(0..)
            .map(|(of, n)| Record {
                of,
                name: format!("R{n}"),
                fields: Vec::new(),
            })
            .collect();
        records[3].fields.push(("NELM".into(), "5".into()));
        records[5].fields.push(("ONST".into(), "on".into()));
        let names = named(&records);
        let often = dice.roll(20);
        records[0].set_some(&mut dice, &schema, &names, often);
        let mut puts = Vec::new();
        let number = schema.find(of).expect("a type of Base");
        let of = schema.record_type(number);
        let fields: Vec<&Field> = of
            .fields
            .iter()
            .filter(|field| is_written(of, field))
            .collect();
        let name = &names[0].0;
        let to = |field: &str, value: Value| Put {
            name: format!("{name}.{field}"),
            value,
        };
        for _ in 0..SWEPT {
            let field = fields[dice.roll(fields.len())];
            let times = if field.special == Special::NoMod {
                1
            } else {
                EACH
            };
            for _ in 0..times {
                puts.push(to(
                    &field.name,
                    values::value(&mut dice, &schema, of, field, &names),
                ));
                match dice.roll(6) {
                    0 => puts.push(to("PROC", Value::scalar(1i32))),
                    1 => {
                        let (name, of) = &names[1 + dice.roll(names.len() - 1)];
                        puts.push(put(&mut dice, &schema, name, of, &names));
                    }
                    2 => {
                        let value = of.value.map(|index| of.field(index));
                        let value =
                            value.map(|field| values::value(&mut dice, &schema, of, field, &names));
                        puts.extend(value.map(|value| to("VAL", value)));
                    }
                    _ => {}
                }
            }
            if MODES.contains(&&*field.name) {
                let back = match &*field.name {
                    "DISV" => "1",
                    "SIMS" => "NO_ALARM",
                    "SIMM" => "NO",
                    "SCAN" => "Passive",
                    "SDIS" | "SIML" | "TSEL" => "",
                    _ => "0",
                };
                puts.push(to(&field.name, Value::string(back)));
            }
        }
        let mut puts = with_strange(seed, puts, &records);
        puts.retain(|put| !depends_on_memory(put, &records));
        Self {
            title: format!("sweep of {} {seed}", records[0].of),
            channels: channels(seed, &records),
            records,
            puts,
            close: true,
        }
    }

    /// The `.db` file of the story.
    pub fn db(&self) -> String {
        let mut text = String::new();
        for record in &self.records {
            text.push_str(&format!("record({}, \"{}\") {{\n", record.of, record.name));
            for (field, value) in &record.fields {
                text.push_str(&format!("  field({field}, \"{value}\")\n"));
            }
            text.push_str("}\n");
        }
        text
    }
}

/// Among the puts, what a stranger's client writes to the first record, which a story of one record is about. It has
/// dice of its own, so that a story stays what it is.
fn with_strange(seed: u64, puts: Vec<Put>, records: &[Record]) -> Vec<Put> {
    let mut dice = dice(seed ^ 0x57a6);
    let schema = Schema::base();
    let mut all = Vec::with_capacity(puts.len() * 2);
    for put in puts {
        all.push(put);
        if dice.roll(4) > 0 {
            continue;
        }
        let record = &records[dice.roll(2) * dice.roll(records.len())];
        let of = schema.record_type(schema.find(record.of).expect("a type of Base"));
        let fields: Vec<&Field> = (of.fields.iter())
            .filter(|field| is_written(of, field))
            .collect();
        let field = match (dice.roll(3), of.value) {
            (0, Some(value)) => of.field(value),
            _ => fields[dice.roll(fields.len())],
        };
        if let Some((long, value)) = values::strange(&mut dice, of, field) {
            let long = if long { "$" } else { "" };
            all.push(Put {
                name: format!("{}.{}{long}", record.name, field.name),
                value,
            });
        }
    }
    all
}

/// Channels of records with modifiers and filters. They have dice of their own, so that a story stays what it is.
fn channels(seed: u64, records: &[Record]) -> Vec<String> {
    let mut dice = dice(seed ^ 0xc4a7);
    let schema = Schema::base();
    let mut all = Vec::with_capacity(CHANNELS);
    while all.len() < CHANNELS {
        // The first one is that of a story of one record.
        let at = dice.roll(2) * dice.roll(records.len());
        let record = &records[at];
        let of = schema.record_type(schema.find(record.of).expect("a type of Base"));
        let field = match (dice.roll(2), of.value) {
            (0, Some(value)) => of.field(value),
            _ => &of.fields[dice.roll(of.fields.len())],
        };
        let is_held = field.dbf != Dbf::NoAccess || field.special == Special::DbAddr;
        // How often a record was found active, what is in memory behind texts (`PROTOCOL.md`, S41), and what is set
        // between an event for all fields and when it is told (S32).
        if is_held && !["LCNT", "HASH", "PUTF"].contains(&&*field.name) {
            all.push(names::of_field(&mut dice, &record.name, of, field));
        }
    }
    all
}

/// Whether a put makes an array of texts be told only when it is another one: a hash of all its memory says so
/// in the reference, and of memory that is not used as well.
fn depends_on_memory(put: &Put, records: &[Record]) -> bool {
    let (record, field) = put.name.split_once('.').unwrap_or_default();
    let mut records = records.iter();
    let record = records.find(|other| other.name == record);
    matches!(field, "MPST" | "APST") && record.is_some_and(Record::holds_texts)
}

impl Record {
    /// Whether it is an array of texts, as FTVL says if it says something.
    pub(super) fn holds_texts(&self) -> bool {
        if !["aai", "aao", "waveform"].contains(&self.of) {
            return false;
        }
        let set = self.fields.iter().find(|(name, _)| name == "FTVL");
        set.is_none_or(|(_, value)| value == "STRING")
    }

    /// Says something of so many fields.
    fn set_some(&mut self, dice: &mut Dice, schema: &Schema, names: &[Named], often: usize) {
        let Some(of) = schema
            .find(self.of)
            .map(|number| schema.record_type(number))
        else {
            return;
        };
        for _ in 0..often {
            let field = &of.fields[dice.roll(of.fields.len())];
            let sized = ["NELM", "MALM", "NSAM", "SIZV", "FTVL", "NBUC"].contains(&&*field.name);
            let fixed = matches!(field.special, Special::NoMod | Special::DbAddr);
            if !sized && (fixed || !is_written(of, field)) {
                continue;
            }
            if self.fields.iter().any(|(have, _)| **have == *field.name) {
                continue;
            }
            if ["MPST", "APST"].contains(&&*field.name) && self.holds_texts() {
                continue;
            }
            if let Some(value) = values::setting(dice, schema, of, field, names) {
                self.fields.push((field.name.to_string(), value));
            }
        }
    }
}

/// A put to any field of a record, to VAL most often.
fn put(dice: &mut Dice, schema: &Schema, name: &str, of: &str, names: &[Named]) -> Put {
    let of = schema.record_type(schema.find(of).expect("a type of Base"));
    let mut field = of.value.expect("VAL");
    if dice.roll(2) == 0 {
        let all: Vec<&Field> = of
            .fields
            .iter()
            .filter(|field| is_written(of, field))
            .collect();
        let name = &all[dice.roll(all.len())].name;
        field = of.find(name).unwrap_or(field);
    } else if dice.roll(3) == 0 {
        field = of.find("PROC").unwrap_or(field);
    }
    let field = of.field(field);
    Put {
        name: format!("{name}.{}", field.name),
        value: values::value(dice, schema, of, field, names),
    }
}
