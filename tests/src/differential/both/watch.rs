//! What is watched, and when all of it was told.

use std::collections::HashMap;

use ca_proto::dbr::{DbrType, Family, NativeType, Value};

use super::super::bare::{Channel, Circuit};
use super::super::story::Story;
use super::fields::Open;

/// A mark: it goes through the queues of the reference, of callbacks of each priority and of records that are
/// processed once, and an update of its end comes behind all that was caused before.
pub(super) const MARK: &str = r#"
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

/// Where the mark is put, and what is watched for its end, in one IOC.
pub(super) struct Mark {
    channel: Channel,
    end: Channel,
    /// The subscription to its end.
    id: u32,
}

impl Mark {
    pub(super) fn open(circuit: &mut Circuit) -> Self {
        let all = circuit.create(&["MARK".to_owned(), "MARK:end".to_owned()]);
        let (channel, end) = (all[0].expect("MARK"), all[1].expect("MARK:end"));
        let long = DbrType::new(Family::Plain, NativeType::Long);
        // The last of all subscriptions: the reference has its queues of updates in their order.
        let id = circuit.subscribe(end, long, 1);
        Self { channel, end, id }
    }

    /// What was told before.
    pub(super) fn wait(&self, circuit: &mut Circuit, number: i32) -> Vec<(u32, String)> {
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

/// The identifiers of a subscription in both, its field and its mask.
pub(super) type Watched<'a> = ((u32, u32), &'a Open, u16);

/// Subscribes. Channels with filters may be told nothing at first, so nobody waits for them.
pub(super) fn watch<'a>(
    story: &Story,
    (fields, filtered): (&'a [Open], &'a [Open]),
    (real, ours): (&mut Circuit, &mut Circuit),
) -> Vec<Watched<'a>> {
    let time = |field: &Open| DbrType::new(Family::Time, field.real.native);
    let mut watched = Vec::new();
    for field in fields {
        let ty = time(field);
        for &mask in masks(story, field) {
            let ids = (
                real.subscribe(field.real, ty, mask),
                ours.subscribe(field.ours, ty, mask),
            );
            watched.push((ids, field, mask));
        }
    }
    for (field, mask) in filtered
        .iter()
        .zip([1, 5, 13, 4, 5, 2, 5, 8].into_iter().cycle())
    {
        let ty = time(field);
        let ids = (
            real.watch(field.real, ty, mask),
            ours.watch(field.ours, ty, mask),
        );
        watched.push((ids, field, mask));
    }
    watched
}

/// What was told, by subscription.
pub(super) fn by_subscription(told: &[(u32, String)]) -> HashMap<u32, Vec<&str>> {
    let mut all: HashMap<u32, Vec<&str>> = HashMap::new();
    for (id, text) in told {
        all.entry(*id).or_default().push(text);
    }
    all
}
