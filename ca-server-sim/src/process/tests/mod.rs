//! What happens with records, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use ca_proto::server::Turn;
use ca_proto::wire::message::EventMask;
use ca_proto::{Instant, Timestamp};

use super::{Completion, PutError, Records};
use crate::record::{Array, Schema, Val};

mod alarms;
mod arrays;
mod calculating;
mod chains;
mod differences;
mod flow;
mod functions;
mod links;
mod modules;
mod motor;
mod puts;
mod removal;
mod saved;
mod scans;
mod states;
mod types;

const VALUE: u16 = EventMask::VALUE.0;
const LOG: u16 = EventMask::LOG.0;
const ALARM: u16 = EventMask::ALARM.0;

/// Records that are watched, and a clock.
struct Bench {
    records: Records,
    now: Instant,
}

type Fields<'a> = &'a [(&'a str, &'a str)];

impl Bench {
    fn new(all: &[(&str, &str, Fields<'_>)]) -> Self {
        let mut records = Records::new(Arc::new(Schema::base()));
        for (of, name, fields) in all {
            let id = records.add(of, name).unwrap();
            records.set_watched(id, true);
            for (field, value) in *fields {
                records.set_field(id, field, value).unwrap();
            }
        }
        let mut bench = Self {
            records,
            now: Instant::ZERO,
        };
        let notes = bench.records.start(bench.now, bench.clock());
        assert_eq!(notes, []);
        bench.run();
        bench.posts();
        bench
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_unix_nanos(1_800_000_000_000_000_000 + u128::from(self.now.as_nanos()))
    }

    fn run(&mut self) {
        self.records.run(&mut Turn::unlimited());
    }

    fn wait(&mut self, seconds: f64) {
        self.now = self
            .now
            .checked_add(Duration::from_secs_f64(seconds))
            .unwrap();
        let clock = self.clock();
        self.records.tick(self.now, clock);
        self.run();
    }

    fn try_put(&mut self, name: &str, val: impl Into<Val>) -> Result<(), PutError> {
        let (id, field) = self.records.find_field(name).unwrap();
        let result = self.records.put(id, field, val.into());
        self.run();
        result
    }

    fn put(&mut self, name: &str, val: impl Into<Val>) {
        self.try_put(name, val).unwrap();
    }

    fn process(&mut self, name: &str) {
        self.put(&format!("{name}.PROC"), 1i16);
    }

    fn get(&self, name: &str) -> String {
        let (id, field) = self.records.find_field(name).unwrap();
        self.records.text(id, field).unwrap().trim().to_owned()
    }

    fn number(&self, name: &str) -> f64 {
        let (id, field) = self.records.find_field(name).unwrap();
        self.records.get(id, field).as_f64()
    }

    fn alarm(&self, name: &str) -> String {
        format!(
            "{} {}",
            self.get(&format!("{name}.STAT")),
            self.get(&format!("{name}.SEVR"))
        )
    }

    /// What was posted: `record.FIELD mask`.
    fn posts(&mut self) -> Vec<String> {
        let posts: Vec<_> = self.records.take_posts().collect();
        let shown = posts.iter().map(|post| {
            let of = self.records.type_of(post.record);
            let field = of
                .fields
                .get(usize::from(post.field))
                .map_or("*", |field| &field.name);
            format!(
                "{}.{field} {}",
                self.records.name_of(post.record),
                post.mask.0
            )
        });
        shown.collect()
    }
}
