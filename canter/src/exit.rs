//! Exit codes and how errors are shown.

use std::process::ExitCode;
use std::{fmt, io};

/// How a command ends, as scripts see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Outcome {
    /// Everything asked for was done: exit code 0.
    Ok,
    /// At least one PV failed, the rest was done: exit code 1.
    PvFailed,
    /// The command line or a file is wrong, nothing was done: exit code 2.
    Usage,
    /// At least one PV did not answer in time and no other error happened: exit code 3.
    TimedOut,
}

impl Outcome {
    /// The number the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::PvFailed => 1,
            Self::Usage => 2,
            Self::TimedOut => 3,
        }
    }

    /// The outcome of two parts of one command: an error outweighs a time-out outweighs success.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        let weight = |outcome: Self| match outcome {
            Self::Ok => 0,
            Self::TimedOut => 1,
            Self::PvFailed => 2,
            Self::Usage => 3,
        };
        if weight(other) > weight(self) {
            other
        } else {
            self
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

/// A mistake in the command line or in a file: what, where, and what to do about it.
#[derive(Debug)]
pub(crate) struct UsageError {
    /// What is wrong, naming the thing and the place.
    pub(crate) what: String,
    /// How to mend it.
    pub(crate) remedy: String,
}

impl UsageError {
    /// An error with its remedy.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n hint: {}", self.what, self.remedy)
    }
}

impl std::error::Error for UsageError {}

/// Why a command ends before its work is done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The command line or a file is wrong.
    Usage(UsageError),
    /// As [`Usage`](Self::Usage), and it has been told.
    Told,
    /// The output cannot be written.
    Output(io::Error),
}

impl From<UsageError> for Stop {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn errors_outweigh_time_outs() {
        assert_eq!(Outcome::Ok.and(Outcome::TimedOut), Outcome::TimedOut);
        assert_eq!(Outcome::PvFailed.and(Outcome::TimedOut), Outcome::PvFailed);
        assert_eq!(Outcome::TimedOut.and(Outcome::PvFailed), Outcome::PvFailed);
        assert_eq!(Outcome::TimedOut.and(Outcome::Ok), Outcome::TimedOut);
    }
}
