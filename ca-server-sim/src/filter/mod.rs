//! Filters of channels: what stands behind the field of a name, and what it does to reads and updates
//! (`dbChannel.c`, `chfPlugin.c` and `filters/` of EPICS Base).
//!
//! A channel with filters is a node of its own, as they have state. They come in two chains, each in the order of the
//! name: `dbnd`, `dec`, `sync`, `utag` and a `ts` that takes the time look at an update when it is posted, and may hold
//! it back; `arr` and other `ts` change its value when it is sent.

mod parse;
mod run;
mod serve;

pub(crate) use parse::{Spec, Suffix};
pub(crate) use run::{Chain, Log};

use crate::name::Slice;

/// When `sync` lets updates through: by what a state is and was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SyncMode {
    /// The last one before the state was set.
    Before,
    /// The first one after it was set.
    First,
    /// The last one before it was cleared.
    Last,
    /// The first one after it was cleared.
    After,
    /// All while it is set.
    While,
    /// All while it is clear.
    Unless,
}

/// What `ts` makes of an update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimeMode {
    /// Its time is when it is posted.
    Generate,
    /// Its value is the time as a real number of seconds.
    Seconds { unix: bool },
    /// Its value is the whole seconds.
    Whole { unix: bool },
    /// Its value is the nanoseconds.
    Nanos,
    /// Its value is both.
    Pair { unix: bool },
    /// Its value is the time as a text.
    Text { iso: bool },
}

/// A part of an array, as `arr` has it.
pub(crate) const fn slice(start: i32, step: i32, end: i32) -> Slice {
    Slice::new(
        start as i64,
        if step < 1 { 1 } else { step as i64 },
        end as i64,
    )
}
