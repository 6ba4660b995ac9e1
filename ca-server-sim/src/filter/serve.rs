//! Reads and updates of channels that have filters.

use ca_proto::dbr::{DbrType, NativeType, Snapshot, Value};
use ca_proto::server::{PvId, Strided, Update};
use ca_proto::wire::message::EventMask;

use super::run::{Chain, Log, Passed, States};
use crate::db::{Db, Node, PvHandle};
use crate::fields::number_of;
use crate::plain::Record;
use crate::process::Post;
use crate::record::{Special, Val, common};
use crate::served::{FieldKey, RTYP, Served};
use crate::view::View;

impl States for Db {
    fn is_set(&self, name: &str) -> bool {
        self.flag(name) == Some(true)
    }
}

impl View {
    /// What stands for the record on its way through filters: numbers with their value.
    pub(crate) fn log(&self, record: &Record, mask: EventMask) -> Log {
        let info = self.info(record);
        let is_number = info.count == 1
            && info.native != NativeType::String
            && !record.is_array()
            && !record.kind.is_multi_state();
        let value = is_number.then(|| self.read(record, 1).value);
        Log {
            number: value.as_ref().and_then(|value| number_of(value.as_ref())),
            value,
            alarm: record.snapshot.alarm,
            stamp: record.snapshot.stamp,
            tag: 0,
            mask,
            is_read: false,
        }
    }
}

impl Served {
    /// What stands for a field on its way through filters, as it is or as it was posted.
    pub(crate) fn log(&self, key: FieldKey, post: Option<&Post>, mask: EventMask) -> Log {
        let info = self.info(key);
        let special = key.field != RTYP
            && self.records.type_of(key.record).field(key.field).special == Special::DbAddr;
        let is_number = info.count == 1
            && info.native != NativeType::String
            && !special
            && !key.modifiers.long
            && key.field != RTYP;
        let posted = post.map(|post| &post.val).filter(|val| **val != Val::None);
        let val = is_number.then(|| posted.cloned().unwrap_or_else(|| self.val(key)));
        let state = self.records.state(key.record);
        let tag = match self.records.get(key.record, common::UTAG) {
            Val::UInt64(tag) => tag,
            _ => 0,
        };
        Log {
            number: val.as_ref().map(Val::as_f64),
            value: val.map(|val| self.shown(&val)),
            alarm: post.map_or(state.alarm, |post| post.alarm),
            stamp: post.map_or(state.time, |post| post.time),
            tag,
            mask,
            is_read: false,
        }
    }
}

impl Db {
    /// The filters of a channel.
    pub(crate) fn chain(&self, pv: PvId) -> Option<&Chain> {
        match self.nodes.get(PvHandle(pv.0))? {
            Node::View(view) => view.chain.as_deref(),
            Node::Field(channel) => channel.chain.as_ref(),
            Node::Record(_) | Node::Gone(_) => None,
        }
    }

    /// What stands for the state of a channel at this moment.
    pub(crate) fn log(&self, pv: PvId, mask: EventMask) -> Option<Log> {
        match self.target(pv) {
            Some((_, record, Some(view))) => Some(view.log(record, mask)),
            Some((_, _, None)) => None,
            None => {
                let (served, key) = self.field(pv)?;
                Some(served.log(key, None, mask))
            }
        }
    }

    /// An update on its way to a subscriber; `None` if it is held back.
    pub(crate) fn pass(&self, pv: PvId, chain: &Chain, log: Log) -> Option<Update> {
        let log = chain.before(log, self, self.clock.stamp_of(self.now))?;
        let info = chain.info();
        let (alarm, stamp) = (log.alarm, log.stamp);
        // An array, also of one element, is read when it is sent.
        let is_copied = info.count == 1 && info.native != NativeType::String && log.value.is_some();
        if !is_copied {
            let taken = chain.takes_time() && !chain.is_time();
            let value = taken.then(|| self.raw_first(pv, u32::MAX).value.clone());
            let passed = Passed {
                alarm,
                stamp,
                value,
            };
            *chain.passed.borrow_mut() = Some(passed);
            return Some(Update::by_reference());
        }
        let value = log.value.filter(|_| !chain.is_time());
        let state = match value {
            Some(value) => Snapshot {
                value,
                alarm,
                stamp,
                ..self.plain_state()
            },
            None => {
                let passed = Passed {
                    alarm,
                    stamp,
                    value: None,
                };
                self.filtered(pv, chain, &passed, None, 1)
            }
        };
        Some(Update::new(&state))
    }

    /// What is read of a channel with filters.
    pub(crate) fn read_filtered(
        &self,
        pv: PvId,
        chain: &Chain,
        ty: Option<DbrType>,
        elements: u32,
    ) -> Snapshot {
        let log = self.log(pv, EventMask(0)).and_then(|log| {
            let log = Log {
                is_read: true,
                ..log
            };
            chain.before(log, self, self.clock.stamp_of(self.now))
        });
        match log {
            Some(log) => {
                let passed = Passed {
                    alarm: log.alarm,
                    stamp: log.stamp,
                    value: None,
                };
                self.filtered(pv, chain, &passed, ty, elements)
            }
            // The reference reads the field itself then.
            None => self.raw_as(pv, ty, elements).into_owned(),
        }
    }

    /// What comes out of the filters that change a value.
    pub(crate) fn filtered(
        &self,
        pv: PvId,
        chain: &Chain,
        passed: &Passed,
        ty: Option<DbrType>,
        elements: u32,
    ) -> Snapshot {
        let whole = if chain.is_whole() { elements } else { u32::MAX };
        let raw = self.raw_as(pv, ty, whole).into_owned();
        let text = raw.meta.long_string.then(|| self.padded(pv));
        let value = passed.value.clone().unwrap_or(raw.value);
        Snapshot {
            value: chain.after(value, passed.stamp, text),
            alarm: passed.alarm,
            stamp: passed.stamp,
            ..self.plain_or(raw.meta, chain, raw.ack)
        }
    }

    /// Characters of the field of a long string of which parts are taken.
    fn padded(&self, pv: PvId) -> Option<usize> {
        match (self.target(pv), self.field(pv)) {
            (Some((_, _, Some(view))), _) => Some(view.padded()),
            (_, Some((served, key))) => served.padded(key),
            _ => None,
        }
    }

    /// Elements of a channel with filters that would have to be gathered from a large array.
    pub(crate) fn filtered_part(&self, pv: PvId, chain: &Chain, elements: u32) -> Option<Strided> {
        let (_, record, view) = self.target(pv)?;
        let view = view.filter(|view| !view.modifiers.long && record.is_array())?;
        let state = view.read(record, u32::MAX);
        let (start, step, count) = chain.slice(state.value.count())?;
        let passed = chain.passed.borrow();
        let stamp = passed.as_ref().filter(|_| chain.takes_time());
        (step > 1).then(|| Strided {
            state: Snapshot {
                stamp: stamp.map_or(state.stamp, |passed| passed.stamp),
                ..state
            },
            start,
            step,
            // At most as many as there are.
            count: (count as u32).min(elements),
        })
    }

    fn plain_state(&self) -> Snapshot {
        Snapshot {
            value: Value::empty(NativeType::Char),
            alarm: ca_proto::Alarm::NONE,
            stamp: ca_proto::Timestamp::UNDEFINED,
            ack: Default::default(),
            meta: ca_proto::dbr::Metadata::none(),
        }
    }

    fn plain_or(
        &self,
        meta: std::sync::Arc<ca_proto::dbr::Metadata>,
        chain: &Chain,
        ack: ca_proto::dbr::Acknowledge,
    ) -> Snapshot {
        // A value that is made of the time is no text as an array any more.
        let meta = match chain.is_time() && meta.long_string {
            true => ca_proto::dbr::Metadata::none(),
            false => meta,
        };
        Snapshot {
            meta,
            ack,
            ..self.plain_state()
        }
    }

    /// Whether a flag is set; `None` if there is none of this name.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match &self.served {
            Some(served) => served.records.known_flag(name),
            None => self.states.get(name).copied(),
        }
    }

    /// All flags by name.
    pub(crate) fn flags(&self) -> Vec<(String, bool)> {
        let mut all = match &self.served {
            Some(served) => served.records.known_flags(),
            None => (self.states.iter())
                .map(|(name, &set)| (name.to_string(), set))
                .collect(),
        };
        all.sort();
        all
    }

    pub(crate) fn set_flag(&mut self, name: &str, value: bool) {
        match &mut self.served {
            Some(served) => served.records.set_flag(name, value),
            None => {
                self.states.insert(name.into(), value);
            }
        }
    }
}
