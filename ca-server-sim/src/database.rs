//! The database as the circuits see it.

use std::borrow::Cow;
use std::cell::RefCell;

use bytes::Bytes;
use ca_proto::access::AccessRights;
use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::{ConvertError, DbrType, Metadata, NativeType, Snapshot, Value, ValueRef};
use ca_proto::server::{
    ChannelInfo, Conversions, Database, Identity, Put, PutOutcome, PutTicket, PvId, RefusedPut,
    Strided, Subscriber, Update,
};
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, EcaStatus, Instant, Timestamp};

use crate::access::Guard;
use crate::db::{Db, Node, PvHandle};
use crate::field::Field;
use crate::filter::Chain;
use crate::name::Modifiers;
use crate::plain::Record;
use crate::served::FieldKey;

/// What a subscription costs at its record, in a map whose nodes may be half empty.
const SUBSCRIPTION_BYTES: usize = 64;

impl Database for Db {
    fn serves(&self, name: &[u8]) -> bool {
        self.find_channel(name).is_some() || self.find_field_channel(name).is_some()
    }

    fn open(&mut self, name: &[u8]) -> Option<PvId> {
        let Some((handle, field, modifiers)) = self.find_channel(name) else {
            let (record, field, modifiers) = self.find_field_channel(name)?;
            let (modifiers, filters) = self.modifiers(modifiers)?;
            let key = FieldKey {
                record,
                field,
                modifiers,
            };
            return Some(PvId(self.open_field(key, filters)?.0));
        };
        let (modifiers, filters) = self.modifiers(modifiers)?;
        let node = if field == Field::Val && modifiers == Modifiers::default() {
            handle
        } else {
            self.open_view(handle, field, modifiers, filters)?
        };
        self.record_mut(handle)?.open += 1;
        Some(PvId(node.0))
    }

    fn close(&mut self, pv: PvId) {
        let node = PvHandle(pv.0);
        if let Some(Node::Field(channel)) = self.nodes.get_mut(node) {
            channel.open -= 1;
            if channel.open == 0 {
                let (key, gone) = (channel.key, channel.gone);
                self.nodes.remove(node);
                if let Some(served) = self.served.as_mut().filter(|_| !gone) {
                    served.open.remove(&key);
                }
            }
            return;
        }
        let mut handle = node;
        if let Some(Node::View(view)) = self.nodes.get_mut(node) {
            handle = view.record;
            view.open -= 1;
            if view.open == 0 {
                let key = view.key();
                self.nodes.remove(node);
                self.views.remove(&key);
            }
        }
        if let Some(record) = self.any_record_mut(handle) {
            record.open -= 1;
            let unused = record.open == 0;
            if unused && matches!(self.nodes.get(handle), Some(Node::Gone(_))) {
                self.nodes.remove(handle);
            }
        }
    }

    fn conversions(&self) -> Option<&RefCell<Conversions>> {
        Some(&self.conversions)
    }

    fn channel_bytes(&self, pv: PvId) -> u16 {
        match self.nodes.get(PvHandle(pv.0)) {
            Some(Node::View(view)) => view.bytes(),
            Some(Node::Field(channel)) => channel.bytes(),
            _ => 0,
        }
    }

    fn subscription_bytes(&self) -> usize {
        SUBSCRIPTION_BYTES
    }

    fn info(&self, pv: PvId) -> ChannelInfo {
        self.chain(pv)
            .map_or_else(|| self.raw_info(pv), Chain::info)
    }

    fn is_filtered(&self, pv: PvId) -> bool {
        self.chain(pv).is_some()
    }

    fn first_update(&self, pv: PvId, mask: EventMask, by_copy: bool) -> Option<Update> {
        match self.chain(pv) {
            Some(chain) => self.pass(pv, chain, self.log(pv, mask)?),
            None if by_copy => Some(Update::new(&self.read_first(pv, 1))),
            None => Some(Update::by_reference()),
        }
    }

    fn read_update(&self, pv: PvId, ty: DbrType, elements: u32) -> Cow<'_, Snapshot> {
        if let Some(chain) = self.chain(pv)
            && let Some(passed) = chain.passed.borrow().as_ref()
        {
            return Cow::Owned(self.filtered(pv, chain, passed, Some(ty), elements));
        }
        self.read_as(pv, ty, elements)
    }

    fn is_gone(&self, pv: PvId) -> bool {
        self.target(pv).is_none() && self.field(pv).is_none()
    }

    fn rights(&self, pv: PvId, who: &Identity) -> AccessRights {
        if let Some((served, key)) = self.field(pv) {
            let name = served.records.name_of(key.record);
            let mut rights = self.faulty_rights(pv);
            if let Some(rule) = &self.access {
                rights = both(rights, rule.rights(name, who));
            }
            if let Some(allowed) = self.ask_guard(pv, who, Guard::rights) {
                rights = both(rights, allowed);
            }
            return match served.is_writable(key) {
                true => rights,
                false => both(rights, AccessRights::READ),
            };
        }
        let Some((_, record, view)) = self.target(pv) else {
            return AccessRights::NONE;
        };
        let mut rights = both(record.rights, self.faulty_rights(pv));
        if let Some(rule) = &self.access {
            rights = both(rights, rule.rights(&record.name, who));
        }
        if let Some(allowed) = self.ask_guard(pv, who, Guard::rights) {
            rights = both(rights, allowed);
        }
        match view {
            Some(view) if !view.field.is_writable() => both(rights, AccessRights::READ),
            _ => rights,
        }
    }

    #[inline]
    fn read(&self, pv: PvId) -> Cow<'_, Snapshot> {
        self.read_first(pv, u32::MAX)
    }

    fn read_first(&self, pv: PvId, elements: u32) -> Cow<'_, Snapshot> {
        // hot: a PV itself has no filters.
        if let Some((_, record, None)) = self.target(pv) {
            return Cow::Borrowed(&record.snapshot);
        }
        match self.chain(pv) {
            Some(chain) => Cow::Owned(self.read_filtered(pv, chain, None, elements)),
            None => self.raw_first(pv, elements),
        }
    }

    fn read_as(&self, pv: PvId, ty: DbrType, elements: u32) -> Cow<'_, Snapshot> {
        if let Some((_, record, None)) = self.target(pv) {
            return Cow::Borrowed(&record.snapshot);
        }
        match self.chain(pv) {
            Some(chain) => Cow::Owned(self.read_filtered(pv, chain, Some(ty), elements)),
            None => self.raw_as(pv, Some(ty), elements),
        }
    }

    fn read_strided(&self, pv: PvId, elements: u32) -> Option<Strided> {
        if let Some(chain) = self.chain(pv) {
            return self.filtered_part(pv, chain, elements);
        }
        match self.target(pv) {
            Some((_, record, Some(view))) => view.strided(record, elements),
            _ => None,
        }
    }

    #[inline]
    fn put(&mut self, now: Instant, put: Put<'_>) -> PutOutcome {
        // hot: a number. A PV itself, not a view on it, is known by the identifier of its record.
        if !self.overseers.any()
            && let PutValue::Value(value) = &put.value
            && self.put_number(now, PvHandle(put.pv.0), value)
        {
            return PutOutcome::Done(EcaStatus::NORMAL);
        }
        self.attended_put(now, &put, None)
    }

    fn put_shared(&mut self, now: Instant, put: Put<'_>, buffer: &Bytes) -> PutOutcome {
        self.attended_put(now, &put, Some(buffer))
    }

    fn converts_puts(&self, pv: PvId) -> Option<(NativeType, u32)> {
        if let Some((served, key)) = self.field(pv) {
            return served.converts_puts(key);
        }
        let (_, record, view) = self.target(pv)?;
        let value = view.is_none_or(|view| view.field == Field::Val && !view.modifiers.long);
        (value && record.capacity > 1).then(|| (record.native(), record.capacity))
    }

    fn convert_put(&self, pv: PvId, part: ValueRef<'_>) -> Result<Value, ConvertError> {
        if let Some((served, key)) = self.field(pv) {
            return served.convert_put(key, part);
        }
        let (_, record, _) = self.target(pv).ok_or(ConvertError::Unsupported)?;
        record.convert(part, None)
    }

    fn put_refused(&mut self, now: Instant, put: RefusedPut<'_>) {
        if put.status == EcaStatus::NOWTACCESS {
            self.note_refused(now, put.pv, put.who);
        }
        self.log_refused(now, &put);
    }

    fn put_dropped(&mut self, put: RefusedPut<'_>) {
        self.log_dropped(&put);
    }

    fn withdraw(&mut self, _pv: PvId, put: PutTicket) {
        self.withdraw_field_put(put);
        self.withdraw_question(put);
        // One that has begun goes on to its end.
        let Some(&(handle, Some(number))) = self.tickets.get(&put) else {
            return;
        };
        self.tickets.remove(&put);
        let busy = self.any_record_mut(handle).and_then(Record::busy_mut);
        if busy.is_some_and(|busy| busy.queue.remove(&number).is_some()) {
            self.completed.push_back((put, EcaStatus::DISCONN));
        }
    }

    fn subscribe(&mut self, pv: PvId, who: Subscriber, mask: EventMask) {
        match self.nodes.get_mut(PvHandle(pv.0)) {
            Some(Node::Record(record)) => record.subs.insert(who, mask),
            Some(Node::View(view)) => {
                let first = view.subs.is_empty();
                view.subs.insert(who, mask);
                if first {
                    let key = view.key();
                    self.watched.insert(key, PvHandle(pv.0));
                    if let Some(record) = self.any_record_mut(key.record) {
                        record.watched += 1;
                    }
                }
            }
            Some(Node::Field(channel)) => {
                let (first, key) = (channel.subs.is_empty() && !channel.gone, channel.key);
                channel.subs.insert(who, mask);
                if first && let Some(served) = &mut self.served {
                    served.watch(key, PvHandle(pv.0));
                }
            }
            Some(Node::Gone(_)) | None => {}
        }
    }

    fn unsubscribe(&mut self, pv: PvId, who: Subscriber) {
        match self.nodes.get_mut(PvHandle(pv.0)) {
            Some(Node::Record(record)) => record.subs.remove(who),
            Some(Node::Gone(Some(record))) => record.subs.remove(who),
            Some(Node::View(view)) => {
                let had = !view.subs.is_empty();
                view.subs.remove(who);
                if had && view.subs.is_empty() {
                    let key = view.key();
                    self.watched.remove(&key);
                    if let Some(record) = self.any_record_mut(key.record) {
                        record.watched -= 1;
                    }
                }
            }
            Some(Node::Field(channel)) => {
                let (had, key) = (!channel.subs.is_empty() && !channel.gone, channel.key);
                channel.subs.remove(who);
                let last = had && channel.subs.is_empty();
                if last && let Some(served) = &mut self.served {
                    served.unwatch(key);
                }
            }
            Some(Node::Gone(None)) | None => {}
        }
    }
}

impl Db {
    /// Type and room of what a channel is open on, without its filters.
    pub(crate) fn raw_info(&self, pv: PvId) -> ChannelInfo {
        if let Some((served, key)) = self.field(pv) {
            return served.info(key);
        }
        match self.target(pv) {
            Some((_, record, None)) => ChannelInfo {
                native: record.native(),
                count: record.capacity,
            },
            Some((_, record, Some(view))) => view.info(record),
            // The circuit asks only for what it has opened.
            None => ChannelInfo {
                native: NativeType::Char,
                count: 0,
            },
        }
    }

    /// What a channel is open on, without its filters.
    pub(crate) fn raw_first(&self, pv: PvId, elements: u32) -> Cow<'_, Snapshot> {
        match self.target(pv) {
            Some((_, record, None)) => Cow::Borrowed(&record.snapshot),
            Some((_, record, Some(view))) => Cow::Owned(view.read(record, elements)),
            None if let Some((served, key)) = self.field(pv) => {
                Cow::Owned(served.read(key, None, elements))
            }
            None => Cow::Owned(Snapshot {
                value: Value::empty(NativeType::Char),
                alarm: Alarm::UNDEFINED,
                stamp: Timestamp::UNDEFINED,
                ack: Default::default(),
                meta: Metadata::none(),
            }),
        }
    }

    /// As [`raw_first`](Self::raw_first), for a client that wants this type.
    pub(crate) fn raw_as(&self, pv: PvId, ty: Option<DbrType>, elements: u32) -> Cow<'_, Snapshot> {
        match self.field(pv) {
            Some((served, key)) => Cow::Owned(served.read(key, ty, elements)),
            None => self.raw_first(pv, elements),
        }
    }
}

const fn both(a: AccessRights, b: AccessRights) -> AccessRights {
    AccessRights::from_bits(a.bits() & b.bits())
}
