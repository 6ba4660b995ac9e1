//! Record types and the state of one PV.

mod process;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::dbr::{NativeType, NoState, Snapshot, Value};
use ca_proto::server::{Charge, Identity, PutTicket, Subscriber};
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmSeverity, Instant};

use crate::alarm::{AlarmLimits, LimitSeverities};
use crate::deadband::Deadband;
use crate::hook::Hook;
use crate::state::codec::saved;

/// The record types of EPICS that PVs pose as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordType {
    /// Analogue input.
    Ai,
    /// Analogue output.
    Ao,
    /// Integer input.
    LongIn,
    /// Integer output.
    LongOut,
    /// Two-state input.
    Bi,
    /// Two-state output.
    Bo,
    /// Multi-state input.
    MbbI,
    /// Multi-state output.
    MbbO,
    /// String input.
    StringIn,
    /// String output.
    StringOut,
    /// Array.
    Waveform,
}

impl RecordType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ai,
        Self::Ao,
        Self::LongIn,
        Self::LongOut,
        Self::Bi,
        Self::Bo,
        Self::MbbI,
        Self::MbbO,
        Self::StringIn,
        Self::StringOut,
        Self::Waveform,
    ];

    /// What a state without a text reads as (`get_enum_str` of the record types of EPICS Base).
    pub(crate) const fn no_state(self) -> NoState {
        match self {
            Self::Bi | Self::Bo => NoState {
                text: b"Illegal_Value",
                from: 2,
            },
            Self::MbbI | Self::MbbO => NoState {
                text: b"Illegal Value",
                from: 16,
            },
            _ => NoState { text: b"", from: 0 },
        }
    }

    /// The name that RTYP and `DBR_CLASS_NAME` report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ai => "ai",
            Self::Ao => "ao",
            Self::LongIn => "longin",
            Self::LongOut => "longout",
            Self::Bi => "bi",
            Self::Bo => "bo",
            Self::MbbI => "mbbi",
            Self::MbbO => "mbbo",
            Self::StringIn => "stringin",
            Self::StringOut => "stringout",
            Self::Waveform => "waveform",
        }
    }

    /// The type that fits a PV: output types for PVs that can be written, inputs for the others.
    pub(crate) const fn fitting(
        native: NativeType,
        array: bool,
        states: usize,
        writable: bool,
    ) -> Self {
        match (native, writable) {
            _ if array => Self::Waveform,
            (NativeType::String, true) => Self::StringOut,
            (NativeType::String, false) => Self::StringIn,
            (NativeType::Enum, true) if states <= 2 => Self::Bo,
            (NativeType::Enum, false) if states <= 2 => Self::Bi,
            (NativeType::Enum, true) => Self::MbbO,
            (NativeType::Enum, false) => Self::MbbI,
            (NativeType::Float | NativeType::Double, true) => Self::Ao,
            (NativeType::Float | NativeType::Double, false) => Self::Ai,
            (_, true) => Self::LongOut,
            (_, false) => Self::LongIn,
        }
    }

    /// Scalars with limits, dead-bands and units.
    pub(crate) const fn is_numeric(self) -> bool {
        matches!(self, Self::Ai | Self::Ao | Self::LongIn | Self::LongOut)
    }

    /// Numeric outputs, which have drive limits.
    pub(crate) const fn has_drive_limits(self) -> bool {
        matches!(self, Self::Ao | Self::LongOut)
    }

    pub(crate) const fn is_array(self) -> bool {
        matches!(self, Self::Waveform)
    }

    pub(crate) const fn is_two_state(self) -> bool {
        matches!(self, Self::Bi | Self::Bo)
    }

    pub(crate) const fn is_multi_state(self) -> bool {
        matches!(self, Self::MbbI | Self::MbbO)
    }
}

/// When a write with completion is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Completion {
    /// At once.
    #[default]
    Now,
    /// After this time; further writes with completion queue behind, first in, first out
    /// (`dbNotify.c` of EPICS Base).
    After(Duration),
    /// Not by itself: only by [`Ioc::finish_put`](crate::Ioc::finish_put).
    Never,
}

/// Subscriptions in order of circuit and key, so that the order of updates follows from what is
/// subscribed, and not from the history. Most PVs have one at most, which stands beside the value.
#[derive(Debug, Default)]
pub(crate) enum Subscribers {
    #[default]
    None,
    One(Subscriber, EventMask),
    Many(BTreeMap<Subscriber, EventMask>),
}

impl Subscribers {
    pub(crate) fn insert(&mut self, who: Subscriber, mask: EventMask) {
        match self {
            Self::None => *self = Self::One(who, mask),
            Self::One(one, old) if *one == who => *old = mask,
            Self::One(one, old) => *self = Self::Many([(*one, *old), (who, mask)].into()),
            Self::Many(subs) => {
                subs.insert(who, mask);
            }
        }
    }

    pub(crate) fn remove(&mut self, who: Subscriber) {
        match self {
            Self::One(one, _) if *one == who => *self = Self::None,
            Self::None | Self::One(..) => {}
            Self::Many(subs) => {
                subs.remove(&who);
                if subs.len() == 1
                    && let Some((who, mask)) = subs.pop_first()
                {
                    *self = Self::One(who, mask);
                }
            }
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(subs) => subs.len(),
        }
    }

    /// Those behind one, who need not be there any more.
    pub(crate) fn after(
        &self,
        last: Option<Subscriber>,
    ) -> impl Iterator<Item = (Subscriber, EventMask)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(who, mask) => (Some((*who, *mask)), None),
            Self::Many(subs) => (None, Some(subs.range((from, Bound::Unbounded)))),
        };
        let one = one.filter(|&(who, _)| last.is_none_or(|last| who > last));
        let many = many.into_iter().flatten();
        one.into_iter().chain(many.map(|(who, mask)| (*who, *mask)))
    }
}

/// A PV. What few PVs need is in [`Extra`], so that a plain one stays small.
#[derive(Debug)]
pub(crate) struct Record {
    pub name: Box<str>,
    pub snapshot: Snapshot,
    /// Elements there is room for.
    pub capacity: u32,
    /// Channels that are open on the record and its fields.
    pub open: u32,
    /// Views of the record that have subscriptions.
    pub watched: u32,
    pub rights: AccessRights,
    pub kind: RecordType,
    /// The value was never set nor processed (UDF).
    pub undefined: bool,
    pub subs: Subscribers,
    pub extra: Option<Box<Extra>>,
}

impl Record {
    pub(crate) fn busy_mut(&mut self) -> Option<&mut Busy> {
        self.extra.as_mut()?.busy.as_deref_mut()
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// A copy that shows the same values, for subscribers that are told later.
    pub(crate) fn frozen(&self) -> Box<Self> {
        let extra = self.extra.as_deref().map(|extra| {
            Box::new(Extra {
                description: extra.description.clone(),
                group: extra.group.clone(),
                units: extra.units.clone(),
                state_severities: extra.state_severities.clone(),
                hooks: Vec::new(),
                busy: None,
                ..*extra
            })
        });
        Box::new(Self {
            name: self.name.clone(),
            snapshot: self.snapshot.clone(),
            subs: Subscribers::None,
            extra,
            ..*self
        })
    }

    pub(crate) const fn native(&self) -> NativeType {
        self.snapshot.value.native()
    }

    pub(crate) const fn is_array(&self) -> bool {
        self.kind.is_array()
    }
}

/// The rarer properties of a PV.
#[derive(Debug)]
pub(crate) struct Extra {
    pub description: Box<[u8]>,
    /// Access security group; empty for DEFAULT.
    pub group: Box<str>,
    /// EGU in full if it is longer than what is sent with values.
    pub units: Box<[u8]>,
    /// HIHI and the others.
    pub limits: AlarmLimits,
    pub severities: LimitSeverities,
    /// HYST.
    pub hysteresis: f64,
    /// LALM: the limit in alarm.
    pub last_alarm: f64,
    /// MDEL.
    pub value_band: Deadband,
    /// ADEL.
    pub archive_band: Deadband,
    /// Severities of enum states by index; missing ones carry no alarm.
    pub state_severities: Vec<AlarmSeverity>,
    /// Alarm raised by the program, until it is cleared.
    pub forced: Alarm,
    pub hooks: Vec<Hook>,
    pub completion: Completion,
    pub busy: Option<Box<Busy>>,
}

impl Extra {
    /// Whether more than storing and processing happens when a client writes.
    pub(crate) fn delays_puts(&self) -> bool {
        let at_once = matches!(
            self.completion,
            Completion::Now | Completion::After(Duration::ZERO)
        );
        !at_once || !self.hooks.is_empty() || self.busy.is_some()
    }
}

impl Default for Extra {
    fn default() -> Self {
        Self {
            description: Box::default(),
            group: Box::default(),
            units: Box::default(),
            limits: AlarmLimits::default(),
            severities: LimitSeverities::default(),
            hysteresis: 0.0,
            last_alarm: f64::NAN,
            value_band: Deadband::default(),
            archive_band: Deadband::default(),
            state_severities: Vec::new(),
            forced: Alarm::NONE,
            hooks: Vec::new(),
            completion: Completion::Now,
            busy: None,
        }
    }
}

/// A put that is not complete, and those that wait for it.
#[derive(Debug)]
pub(crate) struct Busy {
    pub holder: Option<PutTicket>,
    /// When it completes; `None` for never.
    pub until: Option<Instant>,
    /// In the order in which they came. Bounded by the pending puts of all circuits.
    pub queue: BTreeMap<u64, QueuedPut>,
    /// The number of the next one that comes.
    pub next: u64,
}

impl Busy {
    /// With nothing.
    pub(crate) const fn idle() -> Self {
        Self {
            holder: None,
            until: None,
            queue: BTreeMap::new(),
            next: 0,
        }
    }
}

/// A put that waits until the one before it is complete.
#[derive(Debug)]
pub(crate) struct QueuedPut {
    pub ticket: PutTicket,
    /// In the PV's native type.
    pub value: Value,
    pub who: Arc<Identity>,
    /// Pays for the value, as long as somebody waits for it.
    pub _charge: Option<Charge>,
}

saved!(struct Record { snapshot, rights, undefined, extra } kept {
    // Which PV it is does not change.
    name = Box::default(),
    kind = RecordType::Ai,
    capacity = 0,
    // Channels and subscriptions are of clients.
    open = 0,
    watched = 0,
    subs = Subscribers::None,
});
saved!(struct Extra {
    description, group, units, limits, severities, hysteresis, last_alarm, value_band, archive_band, state_severities,
    forced, completion, busy,
} kept {
    // Functions of the program.
    hooks = Vec::new(),
});
saved!(enum Completion { 0 Now, 1 After(time), 2 Never });
saved!(struct Busy { holder, until, queue, next });
saved!(struct QueuedPut { ticket, value, who } kept {
    // Who waits for it pays.
    _charge = None,
});
