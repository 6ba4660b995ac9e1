//! The same `.db` in the IOC of EPICS Base and in ours: the same reads and writes, and what came of them.

pub mod access;
pub mod circuit;
pub mod filters;
pub mod ours;
pub mod story;

use std::collections::BTreeMap;

/// Record types that are simulated wholly: random stories are told of these. Fields of all others are read.
pub const LIVE: [&str; 11] = [
    "ai",
    "ao",
    "bi",
    "bo",
    "calc",
    "fanout",
    "longin",
    "longout",
    "stringin",
    "stringout",
    "waveform",
];

/// Why a difference is known, if it is: `PROTOCOL.md` has the numbers.
fn known(field: &str, what: &str, real: &str, ours: &str) -> Option<&'static str> {
    let integer = ["SHORT", "CHAR", "LONG"]
        .iter()
        .any(|ty| what.ends_with(ty));
    let described = what.starts_with("DBR_GR_") || what.starts_with("DBR_CTRL_");
    let saturated = ["..255.0", "..32767.0", "..2147483647.0", "0.0..-1.0"];
    if integer && described && saturated.iter().any(|range| ours.contains(range)) {
        return Some("W2: limits beyond an integer's range saturate");
    }
    if field.ends_with('$') && what.starts_with("DBR_") {
        return Some("S21: a long string is as long as its text in all types");
    }
    // A text that is told: the alarm is that of when it is sent, as of plain PVs.
    let text = |told: &str| told.split_once(" \"").map(|(_, text)| text.to_owned());
    if what.starts_with("told") && text(real).is_some() && text(real) == text(ours) {
        return Some(
            "texts are told with the alarm and time that the record has when they are sent",
        );
    }
    None
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
        self.compared += 1;
        if real == ours {
            return;
        }
        if known(field, what, real, ours).is_some() {
            self.known += 1;
            return;
        }
        let kind = format!("{of}.{field} {what}");
        let first = || format!("{context}\n    real {real}\n    ours {ours}");
        self.kinds.entry(kind).or_insert_with(|| (0, first())).0 += 1;
    }

    /// Whether all was equal, but for what is known.
    pub fn is_equal(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Adds what another one has found.
    pub fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.known += other.known;
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
            "{} comparisons, {different} differences of {} kinds, {} known",
            self.compared,
            self.kinds.len(),
            self.known
        )
    }
}
