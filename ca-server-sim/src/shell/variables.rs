//! Variables that `var` shows and sets.

/// A variable of a `.dbd` file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Number {
    Int(i64),
    Real(f64),
}

/// Those of EPICS Base, which scripts set. What they steer is not here, but for some; they keep their values.
const KNOWN: [(&str, Number); 24] = [
    ("CASDEBUG", Number::Int(0)),
    ("asCaDebug", Number::Int(0)),
    ("asCheckClientIP", Number::Int(0)),
    ("atExitDebug", Number::Int(0)),
    ("boHIGHlimit", Number::Real(100_000.0)),
    ("boHIGHprecision", Number::Int(2)),
    ("calcoutODLYlimit", Number::Real(100_000.0)),
    ("calcoutODLYprecision", Number::Int(2)),
    ("callbackParallelThreadsDefault", Number::Int(2)),
    ("dbAccessDebugPUTF", Number::Int(0)),
    ("dbBptNotMonotonic", Number::Int(0)),
    ("dbConvertStrict", Number::Int(0)),
    ("dbJLinkDebug", Number::Int(0)),
    ("dbQuietMacroWarnings", Number::Int(0)),
    ("dbRecordsAbcSorted", Number::Int(0)),
    ("dbRecordsOnceOnly", Number::Int(0)),
    ("dbTemplateMaxVars", Number::Int(100)),
    ("dbThreadRealtimeLock", Number::Int(1)),
    ("freeListBypass", Number::Int(0)),
    ("histogramSDELprecision", Number::Int(2)),
    ("lnkDebug_debug", Number::Int(0)),
    ("logClientDebug", Number::Int(0)),
    ("seqDLYlimit", Number::Real(100_000.0)),
    ("seqDLYprecision", Number::Int(2)),
];

/// All variables with their values.
#[derive(Clone, Debug)]
pub(super) struct Variables(Vec<(&'static str, Number)>);

impl Variables {
    pub(super) fn new() -> Self {
        Self(KNOWN.to_vec())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Number)> {
        self.0.iter().copied()
    }

    pub(super) fn find(&mut self, name: &str) -> Option<&mut Number> {
        let found = self.0.iter_mut().find(|(known, _)| *known == name);
        found.map(|(_, number)| number)
    }
}

impl Number {
    /// Takes the value of a text; false if it has none.
    pub(super) fn set(&mut self, text: &str) -> bool {
        match self {
            Self::Int(number) => text.trim().parse().map(|new| *number = new).is_ok(),
            Self::Real(number) => text.trim().parse().map(|new| *number = new).is_ok(),
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}
