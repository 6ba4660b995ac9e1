//! The same `.db` in the IOC of EPICS Base and in ours: the same reads and writes, and what came of them.

pub mod access;
pub mod bare;
pub mod both;
pub mod filters;
pub mod ours;
pub mod story;
mod values;

use std::collections::BTreeMap;

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

/// Why a difference is known, if it is: `PROTOCOL.md` has the numbers.
fn known(of: &str, field: &str, what: &str, real: &str, ours: &str) -> Option<&'static str> {
    let integer = ["SHORT", "CHAR", "LONG"]
        .iter()
        .any(|ty| what.ends_with(ty));
    let described = what.starts_with("DBR_GR_") || what.starts_with("DBR_CTRL_");
    if integer && described && only_saturated(real, ours) {
        return Some("W2: limits beyond an integer's range saturate");
    }
    // Arguments whose links the reference does not find, or that are constant: what was in memory.
    let argument = field.len() == 1 && ["calc", "calcout", "sel", "sub"].contains(&of);
    let unknown = argument || of == "seq" && field.starts_with("DO");
    if described && unknown {
        return Some("memory of the reference");
    }
    // A real number that is read as an integer, element by element.
    let native = what.rsplit('_').next().unwrap_or_default();
    if what.starts_with("DBR_")
        && ["SHORT", "CHAR", "LONG", "ENUM"].contains(&native)
        && only_saturated(real, ours)
    {
        return Some("W2: reals beyond an integer's range saturate");
    }
    if field.ends_with('$') && what.starts_with("DBR_") {
        return Some("S21: a long string is as long as its text in all types");
    }
    // A text that is told: the alarm is that of when it is sent, as of plain PVs.
    let text = |told: &str| match field.ends_with('$') {
        true => told.rsplit_once(' ').map(|(_, text)| text.to_owned()),
        false => told.split_once(" \"").map(|(_, text)| text.to_owned()),
    };
    if what.starts_with("told") && text(real).is_some() && text(real) == text(ours) {
        return Some(
            "texts are told with the alarm and time that the record has when they are sent",
        );
    }
    None
}

/// Whether two answers differ only in numbers, limits among them, of which ours is at the end of an integer's
/// range.
fn only_saturated(real: &str, ours: &str) -> bool {
    let ends = [
        "0.0",
        "-1.0",
        "128.0",
        "255.0",
        "-32768.0",
        "32767.0",
        "32768.0",
        "65535.0",
        "-2147483648.0",
        "2147483647.0",
    ];
    let parts = |text: &str| -> Vec<String> {
        text.split(' ')
            .flat_map(|word| word.split(".."))
            .flat_map(|word| word.split(','))
            .map(Into::into)
            .collect()
    };
    let (real, ours) = (parts(real), parts(ours));
    let mut pairs = real.iter().zip(&ours);
    real.len() == ours.len() && pairs.all(|(real, ours)| real == ours || ends.contains(&&**ours))
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
        if known(of, field, what, real, ours).is_some() {
            self.known += 1;
            return;
        }
        let kind = format!("{of}.{field} {what}");
        let done = context.rsplit_once(": ").map_or(context, |(done, _)| done);
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
