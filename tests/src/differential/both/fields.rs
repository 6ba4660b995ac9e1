//! The fields that both IOCs have.

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_server_sim::record::{Dbf, Field, Schema, Special};

use super::super::bare::{Channel, Circuit};
use super::super::names::comparable;
use super::super::story::Story;
use super::super::{Question, Tally};

/// Fields that are not compared: how often a record was found active is a matter of time.
const NOT_COMPARED: [&str; 1] = ["LCNT"];

/// A channel that both have.
pub(super) struct Open {
    pub of: &'static str,
    /// The field, with the `$` of a long string.
    pub field: String,
    /// The channel's name, with all its filters.
    pub name: String,
    pub real: Channel,
    pub ours: Channel,
}

impl Open {
    /// What is asked of its value.
    pub(super) fn asked<'a>(&'a self, what: &'a str, context: &'a str) -> Question<'a> {
        Question {
            of: self.of,
            field: &self.field,
            what,
            context,
            native: Some(self.real.native),
            integer: self.holds_integer(),
            by_reference: self.is_by_reference(),
            truth: None,
        }
    }

    /// The field of the record type.
    fn with_field<R>(&self, ask: impl FnOnce(&Field) -> R) -> Option<R> {
        let schema = Schema::base();
        let of = schema.record_type(schema.find(self.of)?);
        Some(ask(of.field(of.find(self.field.trim_end_matches('$'))?)))
    }

    /// What is told of it as it can be compared.
    pub(super) fn comparable(&self, told: &str) -> String {
        match self.name.contains(['{', '[']) {
            true => comparable(&self.name, told),
            false => told.to_owned(),
        }
    }

    /// Whether its updates wait with their values, so that none stands for two.
    pub(super) fn is_told_with_value(&self) -> bool {
        let by_value = |field: &Field| {
            field.special != Special::DbAddr && field.dbf != Dbf::String && !field.dbf.is_link()
        };
        !self.name.contains(['{', '[']) || self.with_field(by_value) == Some(true)
    }

    /// Whether its value is made of the time, and no number.
    pub(super) fn is_time_by_reference(&self) -> bool {
        self.name.contains("{num:'ts'") || self.name.contains("ts:{str")
    }

    fn record(&self) -> &str {
        self.name
            .split_once('.')
            .map_or(&*self.name, |(record, _)| record)
    }

    pub(super) fn is_of(&self, record: &str) -> bool {
        self.record() == record
    }

    /// Whether it is the hash of an array of texts: of all their memory in the reference, used or not.
    pub(super) fn is_of_texts(&self, story: &Story) -> bool {
        let mut records = story.records.iter();
        let record = records.find(|record| self.is_of(&record.name));
        self.field == "HASH" && record.is_some_and(|record| record.holds_texts())
    }

    /// Whether a put to it processes the record.
    pub(super) fn processes(&self) -> bool {
        self.with_field(|field| field.pp) == Some(true)
    }

    /// Whether its place is the record's to say (`cvt_dbaddr`), so that updates wait without their value.
    fn is_by_reference(&self) -> bool {
        self.with_field(|field| field.special == Special::DbAddr) == Some(true)
    }

    /// Whether it holds an integer, or integers.
    fn holds_integer(&self) -> bool {
        let is_integer = |dbf: Dbf| !dbf.is_real() && !dbf.is_link() && dbf != Dbf::String;
        self.with_field(|field| is_integer(field.dbf)) == Some(true)
    }

    pub(super) fn is_with(&self, other: &Self) -> bool {
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

/// What there is to say of a channel.
fn shown(channel: Option<Channel>) -> String {
    match channel {
        Some(c) => format!("{:?} x{} rights {}", c.native, c.count, c.rights),
        None => "none".into(),
    }
}

/// Opens all fields of all records.
pub(super) fn open(
    story: &Story,
    real: &mut Circuit,
    ours: &mut Circuit,
    tally: &mut Tally,
) -> Vec<Open> {
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

/// Opens the channels with modifiers and filters.
pub(super) fn open_filtered(
    story: &Story,
    real: &mut Circuit,
    ours: &mut Circuit,
    tally: &mut Tally,
) -> Vec<Open> {
    let names = &story.channels;
    let mut all = Vec::new();
    for ((name, a), b) in names.iter().zip(real.create(names)).zip(ours.create(names)) {
        let (record, field) = name.split_once('.').unwrap_or((name, ""));
        let field = field.split(['[', '{']).next().unwrap_or(field).to_owned();
        let of = story.records.iter().find(|other| other.name == record);
        let of = of.map_or("", |record| record.of);
        tally.compare(of, &field, "channel", name, &shown(a), &shown(b));
        if let (Some(real), Some(ours)) = (a, b) {
            let name = name.clone();
            all.push(Open {
                of,
                field,
                name,
                real,
                ours,
            });
        }
    }
    all
}

/// The fields that are read.
pub(super) fn are_compared<'a>(story: &Story, fields: &'a [Open]) -> Vec<&'a Open> {
    fields
        .iter()
        .filter(|field| !NOT_COMPARED.contains(&&*field.field) && field.field != "RTYP")
        .filter(|field| !story.close || field.is_shown(story))
        .filter(|field| !field.is_of_texts(story))
        .collect()
}

/// The links that are set, of all records.
pub(super) fn links(fields: &[Open], real: &mut Circuit) -> Vec<String> {
    let is_link = |open: &&Open| open.with_field(|field| field.dbf.is_link()) == Some(true);
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
