//! The same `.db` in the IOC of EPICS Base and in ours: the same reads and writes, and what came of them.

pub mod access;
pub mod bare;
pub mod both;
pub mod filters;
mod known;
pub mod names;
pub mod ours;
pub mod story;
mod values;

use std::collections::BTreeMap;

use ca_proto::dbr::NativeType;

/// The record types of EPICS Base.
pub const LIVE: [&str; 34] = [
    "aSub",
    "aai",
    "aao",
    "ai",
    "ao",
    "bi",
    "bo",
    "calc",
    "calcout",
    "compress",
    "dfanout",
    "event",
    "fanout",
    "histogram",
    "int64in",
    "int64out",
    "longin",
    "longout",
    "lsi",
    "lso",
    "mbbi",
    "mbbiDirect",
    "mbbo",
    "mbboDirect",
    "permissive",
    "printf",
    "sel",
    "seq",
    "state",
    "stringin",
    "stringout",
    "sub",
    "subArray",
    "waveform",
];

/// What was asked of both.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Type of the record.
    pub of: &'a str,
    /// The field.
    pub field: &'a str,
    /// The kind of question.
    pub what: &'a str,
    /// When it was asked, and where.
    pub context: &'a str,
    /// The type in which the field is served, where its value is asked for.
    pub native: Option<NativeType>,
    /// Whether the field holds an integer.
    pub integer: bool,
    /// Whether updates of the field wait without their value in the reference.
    pub by_reference: bool,
    /// What the reference says in reals.
    pub truth: Option<&'a str>,
}

/// What was compared, and what differs.
#[derive(Debug, Default)]
pub struct Tally {
    /// How often something was compared.
    pub compared: u64,
    /// Kinds of differences with how many there were, and the first of each.
    pub kinds: BTreeMap<String, (u64, String)>,
    /// Differences that are known.
    pub known: u64,
    /// The differences of the first put behind which something differs: all that follows may come of them.
    pub first: Vec<String>,
    /// The links that there were then.
    pub setting: Vec<String>,
    /// What was done there.
    done: String,
    /// Whether W2 of `PROTOCOL.md` has given some field another number in both.
    parted: bool,
    /// Stories that ended early, because what followed came of that.
    pub cut: u64,
}

impl Tally {
    /// Compares two answers about a field; `what` names the kind of question.
    pub fn compare(
        &mut self,
        of: &str,
        field: &str,
        what: &str,
        context: &str,
        real: &str,
        ours: &str,
    ) {
        let asked = Question {
            of,
            field,
            what,
            context,
            native: None,
            integer: false,
            by_reference: false,
            truth: None,
        };
        self.compare_values(&asked, real, ours);
    }

    /// Compares two answers about the value of a field.
    pub fn compare_values(&mut self, asked: &Question<'_>, real: &str, ours: &str) {
        self.compared += 1;
        if real == ours {
            return;
        }
        if asked.integer && known::is_stored_saturated(asked, real, ours) {
            self.parted = true;
            self.known += 1;
            return;
        }
        if known::known(asked, real, ours).is_some() {
            self.known += 1;
            return;
        }
        let Question {
            of,
            field,
            what,
            context,
            ..
        } = asked;
        let kind = format!("{of}.{field} {what}");
        let done = context.rsplit_once(": ").map_or(*context, |(done, _)| done);
        if self.first.is_empty() {
            done.clone_into(&mut self.done);
        }
        if self.done == done {
            self.first.push(format!(
                "{kind}: {context}\n    real {real}\n    ours {ours}"
            ));
        }
        let first = || format!("{context}\n    real {real}\n    ours {ours}");
        self.kinds.entry(kind).or_insert_with(|| (0, first())).0 += 1;
    }

    /// Adds a step of the same story. Once W2 has given a record another number in both, what follows from that is
    /// no difference: the story ends. Whether it goes on.
    fn step(&mut self, step: Self) -> bool {
        let parted = self.parted || step.parted;
        self.parted = parted;
        if parted && !step.is_equal() {
            self.cut += 1;
            return false;
        }
        if self.first.is_empty() {
            self.first.clone_from(&step.first);
            self.done.clone_from(&step.done);
        }
        self.add(step);
        true
    }

    /// The number of the put behind which something differed first, if it was not at the start or the end.
    pub fn reached(&self) -> Option<usize> {
        let (_, put) = self.done.split_once(", put ")?;
        put.split_once(':')?.0.parse().ok()
    }

    /// That of a story that came to no end.
    pub fn broken(title: &str) -> Self {
        let mut tally = Self::default();
        tally
            .kinds
            .insert(format!("{title} broke off"), (1, String::new()));
        tally
    }

    /// Whether all was equal, but for what is known.
    pub fn is_equal(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Adds what another one has found.
    pub fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.known += other.known;
        self.cut += other.cut;
        for (kind, (count, first)) in other.kinds {
            self.kinds.entry(kind).or_insert((0, first)).0 += count;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (kind, (count, first)) in &self.kinds {
            writeln!(f, "{kind}, {count} times, first: {first}")?;
        }
        let different: u64 = self.kinds.values().map(|(count, _)| count).sum();
        write!(
            f,
            "{} comparisons, {different} differences of {} kinds, {} known, {} stories cut short by W2",
            self.compared,
            self.kinds.len(),
            self.known,
            self.cut
        )
    }
}
