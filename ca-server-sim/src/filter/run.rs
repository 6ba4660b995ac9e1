//! Filters at work.

use std::cell::{Cell, RefCell};

use ca_proto::dbr::{NativeType, Value};
use ca_proto::server::ChannelInfo;
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, Timestamp};

use super::parse::Spec;
use super::{SyncMode, TimeMode};
use crate::deadband::distance;
use crate::name::Slice;
use crate::record::types::time_text;
use crate::view::cut_text;

/// Seconds from 1970 to 1990.
const EPOCH: u32 = 631_152_000;

/// Which states are set.
pub(crate) trait States {
    /// Whether this one is.
    fn is_set(&self, name: &str) -> bool;
}

/// An update or a read on its way through filters.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// The value of a number; of texts and arrays it is read when they are sent.
    pub value: Option<Value>,
    /// The same as a real number.
    pub number: Option<f64>,
    pub alarm: Alarm,
    pub stamp: Timestamp,
    pub tag: u64,
    /// Why it is told; nothing for a read.
    pub mask: EventMask,
    pub is_read: bool,
}

/// A filter that may hold an update back.
#[derive(Debug)]
enum Before {
    Dbnd {
        relative: bool,
        width: f64,
        /// What counts at present.
        band: Cell<f64>,
        last: Cell<f64>,
    },
    Dec {
        every: i32,
        count: Cell<i32>,
    },
    Sync {
        mode: SyncMode,
        state: Box<str>,
        was_set: Cell<bool>,
        held: RefCell<Option<Box<Log>>>,
    },
    Stamp,
    Utag {
        mask: i32,
        value: i32,
        first: Cell<bool>,
    },
}

/// A filter that changes a value.
#[derive(Clone, Copy, Debug)]
enum After {
    Slice(Slice),
    Time(TimeMode),
}

/// What the last update that went through shares with texts and arrays, whose values are read later.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub alarm: Alarm,
    pub stamp: Timestamp,
    /// The value, if it belongs to a time that was taken.
    pub value: Option<Value>,
}

/// The filters of a channel, with their state.
#[derive(Debug)]
pub(crate) struct Chain {
    before: Box<[Before]>,
    after: Box<[After]>,
    info: ChannelInfo,
    pub passed: RefCell<Option<Passed>>,
}

impl Chain {
    /// Filters on a channel of this type.
    pub(crate) fn new(filters: Vec<Spec>, raw: ChannelInfo) -> Self {
        let mut info = raw;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for filter in filters {
            match filter {
                Spec::Dbnd { relative, width } => before.push(Before::Dbnd {
                    relative,
                    width,
                    band: Cell::new(width),
                    last: Cell::new(f64::NAN),
                }),
                Spec::Dec(every) => before.push(Before::Dec {
                    every,
                    count: Cell::new(0),
                }),
                Spec::Sync { mode, state } => before.push(Before::Sync {
                    mode,
                    state,
                    was_set: Cell::new(false),
                    held: RefCell::new(None),
                }),
                Spec::Utag { mask, value } => before.push(Before::Utag {
                    mask,
                    value,
                    first: Cell::new(true),
                }),
                Spec::Ts(TimeMode::Generate) => before.push(Before::Stamp),
                Spec::Ts(mode) => {
                    let (native, count) = match mode {
                        TimeMode::Text { .. } => (NativeType::String, 1),
                        TimeMode::Pair { .. } => (NativeType::Double, 2),
                        _ => (NativeType::Double, 1),
                    };
                    info = ChannelInfo { native, count };
                    after.push(After::Time(mode));
                }
                // A single element has no parts.
                Spec::Arr(_) if info.count <= 1 => {}
                Spec::Arr(slice) => {
                    // At most as many as there are.
                    info.count = slice.of(info.count).2 as u32;
                    after.push(After::Slice(slice));
                }
            }
        }
        Self {
            before: before.into(),
            after: after.into(),
            info,
            passed: RefCell::new(None),
        }
    }

    /// Type and room of what comes out.
    pub(crate) const fn info(&self) -> ChannelInfo {
        self.info
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let names = self.before.iter().map(|filter| match filter {
            // A held update has a value of at most 8 bytes.
            Before::Sync { state, .. } => state.len() + size_of::<Log>() + 64,
            _ => 0,
        });
        size_of::<Self>()
            + self.before.len() * size_of::<Before>()
            + self.after.len() * size_of::<After>()
            + names.sum::<usize>()
    }

    /// Whether a time is taken that belongs to the value.
    pub(crate) fn takes_time(&self) -> bool {
        self.before
            .iter()
            .any(|filter| matches!(filter, Before::Stamp))
    }

    /// Whether the value is made of the time.
    pub(crate) fn is_time(&self) -> bool {
        self.after
            .iter()
            .any(|filter| matches!(filter, After::Time(_)))
    }

    /// Units of work: what an update costs.
    pub(crate) fn cost(&self) -> usize {
        1 + self.before.len() + self.after.len()
    }

    /// What comes of an update or a read when it is made; `None` if it is held back.
    pub(crate) fn before(&self, log: Log, states: &impl States, now: Timestamp) -> Option<Log> {
        let each = |log: Log, filter: &Before| filter.pass(log, states, now);
        self.before.iter().try_fold(log, each)
    }

    /// The value that is sent. Of a text that is an array the parts are those of its field, if it has one of so many
    /// characters.
    pub(crate) fn after(
        &self,
        value: Value,
        stamp: Timestamp,
        text: Option<Option<usize>>,
    ) -> Value {
        if let Some(room) = text.filter(|_| !self.is_time() && !self.is_whole()) {
            let slices = self.after.iter().filter_map(|filter| match filter {
                After::Slice(slice) => Some(*slice),
                After::Time(_) => None,
            });
            return cut_text(&value, slices, room);
        }
        let each = |value: Value, filter: &After| match filter {
            After::Slice(slice) => {
                let (start, step, count) = slice.of(value.count());
                value.part(start, step, count)
            }
            After::Time(mode) => time_value(*mode, stamp),
        };
        self.after.iter().fold(value, each)
    }

    /// Whether what is sent is what is read.
    pub(crate) const fn is_whole(&self) -> bool {
        self.after.is_empty()
    }

    /// The elements that are taken of an array of so many: first, step, how many; `None` if the value is made of
    /// the time.
    pub(crate) fn slice(&self, len: u32) -> Option<(usize, usize, usize)> {
        let whole = (0_usize, 1_usize, len as usize);
        self.after
            .iter()
            .try_fold(whole, |(start, step, count), filter| match filter {
                After::Slice(slice) => {
                    // At most `len`.
                    let (first, by, taken) = slice.of(count as u32);
                    let step_by = step.saturating_mul(by);
                    Some((
                        start.saturating_add(first.saturating_mul(step)),
                        step_by,
                        taken,
                    ))
                }
                After::Time(_) => None,
            })
    }
}

impl Before {
    fn pass(&self, mut log: Log, states: &impl States, now: Timestamp) -> Option<Log> {
        let always = log.is_read || log.mask.intersects(EventMask::PROPERTY);
        match self {
            Self::Dbnd {
                relative,
                width,
                band,
                last,
            } => {
                let Some(number) = log.number else {
                    return Some(log);
                };
                let values = EventMask::VALUE | EventMask::LOG;
                let mut sends = log.mask.0 & !values.0;
                if distance(last.get(), number) > band.get() {
                    last.set(number);
                    sends |= log.mask.0 & values.0;
                }
                if sends != 0 && *relative {
                    band.set(number * width / 100.0);
                }
                (sends != 0).then_some(log)
            }
            _ if always && !matches!(self, Self::Stamp) => Some(log),
            Self::Dec { every, count } => {
                let now = count.get();
                count.set(if now + 1 >= *every { 0 } else { now + 1 });
                (now == 0).then_some(log)
            }
            Self::Sync {
                mode,
                state,
                was_set,
                held,
            } => {
                let is_set = states.is_set(state);
                let begins = is_set && !was_set.get();
                let ends = !is_set && was_set.get();
                match mode {
                    SyncMode::While => return is_set.then_some(log),
                    SyncMode::Unless => return (!is_set).then_some(log),
                    _ => was_set.set(is_set),
                }
                match mode {
                    SyncMode::First => begins.then_some(log),
                    SyncMode::After => ends.then_some(log),
                    mode => {
                        let passes = if *mode == SyncMode::Before {
                            begins
                        } else {
                            ends
                        };
                        let before = held.replace(Some(Box::new(log)));
                        before.filter(|_| passes).map(|log| *log)
                    }
                }
            }
            Self::Stamp => {
                log.stamp = now;
                Some(log)
            }
            Self::Utag { mask, value, first } => {
                // The mask and the value are those of 32 bits with a sign.
                let tag = log.tag & i64::from(*mask) as u64;
                let passes = first.replace(false) || tag == i64::from(*value) as u64;
                passes.then_some(log)
            }
        }
    }
}

fn time_value(mode: TimeMode, stamp: Timestamp) -> Value {
    let seconds = |unix: bool| {
        let secs = stamp.secs;
        if unix { secs.wrapping_add(EPOCH) } else { secs }
    };
    match mode {
        TimeMode::Seconds { unix } => {
            Value::scalar(f64::from(seconds(unix)) + f64::from(stamp.nanos) * 1e-9)
        }
        TimeMode::Whole { unix } => Value::scalar(f64::from(seconds(unix))),
        TimeMode::Nanos => Value::scalar(f64::from(stamp.nanos)),
        TimeMode::Pair { unix } => {
            Value::array(&[f64::from(seconds(unix)), f64::from(stamp.nanos)])
        }
        TimeMode::Text { iso } => Value::string(time_text(
            match iso {
                false => "%Y-%m-%d %H:%M:%S.%06f",
                true => "%Y-%m-%dT%H:%M:%S.%06f%z",
            },
            stamp,
        )),
        TimeMode::Generate => Value::empty(NativeType::Double),
    }
}
