//! What is wrong with the description of a PV.

use std::fmt;

use ca_proto::text::Shown;

/// One thing that a PV cannot have: which part of the description, why, and the remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The part, by its key in a file: `value`, `units`, `alarm` …
    pub part: &'static str,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub remedy: String,
}

impl Fault {
    pub(crate) fn new(
        part: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            part,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", Shown(&self.what), Shown(&self.remedy))
    }
}

/// A text that is longer than its place, or ends early because of a NUL.
pub(crate) fn text(
    part: &'static str,
    thing: &str,
    text: impl AsRef<[u8]>,
    most: usize,
) -> Option<Fault> {
    let text = text.as_ref();
    if text.len() > most {
        let what = format!("{thing} has {} bytes, at most {most} fit", text.len());
        Some(Fault::new(part, what, "shorten it"))
    } else if text.contains(&0) {
        let what = format!("{thing} has a NUL, at which clients would cut it");
        Some(Fault::new(part, what, "remove the NUL"))
    } else {
        None
    }
}
