//! How a check ends.

use serde::Serialize;

/// Why a check does not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Miss {
    /// The server does not do what it should.
    Fail(String),
    /// The check does not apply; says why.
    Skip(String),
}

/// The end of a check, or of a step of one.
pub(super) type Verdict<T = ()> = Result<T, Miss>;

/// The server does not do what it should.
pub(super) fn fail(what: impl Into<String>) -> Miss {
    Miss::Fail(what.into())
}

/// The check does not apply.
pub(super) fn skip(why: impl Into<String>) -> Miss {
    Miss::Skip(why.into())
}

/// Ends a check with a text if a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::verdict::fail(format!($($text)+)));
        }
    };
}
pub(super) use ensure;

/// How a check ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// The server does what the text demands.
    Pass,
    /// It does not; says what it does.
    Fail(String),
    /// It has a defect that the reference is known to have.
    Differs(String),
    /// The check does not apply; says why.
    Skipped(String),
}

impl Outcome {
    /// One word for tables.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "FAIL",
            Self::Differs(_) => "differs",
            Self::Skipped(_) => "skipped",
        }
    }

    /// What was seen, or why the check was skipped; empty for a pass.
    pub fn detail(&self) -> &str {
        match self {
            Self::Pass => "",
            Self::Fail(text) | Self::Differs(text) | Self::Skipped(text) => text,
        }
    }
}
