//! Puts by clients: conversion, hooks, limits, and when they complete.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::{
    Acknowledge, ConvertError, DbrType, Family, Metadata, NativeType, Snapshot, Value, ValueRef,
    convert,
};
use ca_proto::ids::CircuitId;
use ca_proto::server::{Database as _, Identity, Put, PutId, PutOutcome, PutTicket, PvId, Turn};
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Instant, Timestamp};

use crate::db::{Db, PvHandle};
use crate::field::Field;
use crate::fields::{number_of, string_of};
use crate::hook::{PutDecision, PutRequest};
use crate::plain::{Busy, Completion, QueuedPut, Record};
use crate::publish::Fields;

const DONE: PutOutcome = PutOutcome::Done(EcaStatus::NORMAL);
/// Units of work: a put that begins or ends.
const PUT: usize = 16;
const FAILED: PutOutcome = PutOutcome::Done(EcaStatus::PUTFAIL);

impl Db {
    /// Carries out a client's put on whatever its channel is open on. The value may be kept as a
    /// slice of the buffer it lies in.
    pub(crate) fn client_put(
        &mut self,
        now: Instant,
        put: &Put<'_>,
        buffer: Option<&Bytes>,
    ) -> PutOutcome {
        if let Some((_, key)) = self.field(put.pv) {
            return self.field_put(now, key, put);
        }
        let Some((handle, _, view)) = self.target(put.pv) else {
            return FAILED;
        };
        let field = view.map_or(Field::Val, |view| view.field);
        let long = view.is_some_and(|view| view.modifiers.long);
        match put.value {
            PutValue::AckTransient(transient) => {
                self.acknowledge(handle, |record| record.set_ack_transient(transient));
                DONE
            }
            PutValue::AckSeverity(severity) => {
                self.acknowledge(handle, |record| record.acknowledge(severity));
                DONE
            }
            PutValue::Value(value) if field == Field::Val => {
                // A range does not count for puts (the filter `arr.c` of EPICS Base).
                self.put_value(now, handle, (value, buffer), long, put)
            }
            PutValue::Value(value) => match self.put_field(now, handle, field, value) {
                Ok(()) => DONE,
                Err(_) => FAILED,
            },
        }
    }

    fn put_value(
        &mut self,
        now: Instant,
        handle: PvHandle,
        (value, buffer): (ValueRef<'_>, Option<&Bytes>),
        long: bool,
        put: &Put<'_>,
    ) -> PutOutcome {
        let Some(record) = self.record(handle) else {
            return FAILED;
        };
        if value.count == 0 && !record.is_array() {
            // Nothing to store; the record processes and says so (`dbChannel_put` of EPICS Base).
            let link = Alarm::new(AlarmStatus::LINK, AlarmSeverity::INVALID);
            self.process(now, handle, None, link);
            return DONE;
        }
        // Paid for before it is converted.
        let charge = match put.notify {
            Some(_) if record.is_busy() => match put.account.hold(
                // Kept as a slice of the buffer, it keeps all of that.
                (buffer.map_or(0, Bytes::len)).max(record.size_of(value)),
            ) {
                Ok(charge) => Some(charge),
                Err(limit) => return PutOutcome::Done(limit.put_status()),
            },
            _ => None,
        };
        let converted = if let Some(converted) = put.converted {
            Ok(converted.clone())
        } else if long && value.native == NativeType::Char {
            string_of(value, &record.snapshot.meta)
        } else {
            record.convert(value, buffer)
        };
        let Ok(value) = converted else { return FAILED };
        let Some(ticket) = put.notify else {
            return PutOutcome::Done(match self.apply(now, handle, value, put.who) {
                Ok(()) => EcaStatus::NORMAL,
                Err(status) => status,
            });
        };
        if let Some(charge) = charge
            && let Some(busy) = self.busy_mut(handle)
        {
            let number = busy.next;
            busy.next += 1;
            let put = QueuedPut {
                ticket,
                value,
                who: Arc::clone(put.who),
                _charge: Some(charge),
            };
            busy.queue.insert(number, put);
            self.tickets.insert(ticket, (handle, Some(number)));
            return PutOutcome::Pending;
        }
        match self.start(now, handle, ticket, value, put.who) {
            Some(status) => PutOutcome::Done(status),
            None => PutOutcome::Pending,
        }
    }

    /// Begins a put with completion on a record that is not busy; `Some` if it is complete at once.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        handle: PvHandle,
        ticket: PutTicket,
        value: Value,
        who: &Identity,
    ) -> Option<EcaStatus> {
        if let Err(status) = self.apply(now, handle, value, who) {
            return Some(status);
        }
        let completion = self.record(handle)?.extra.as_ref();
        let until = match completion.map_or(Completion::Now, |extra| extra.completion) {
            Completion::Now | Completion::After(Duration::ZERO) => return Some(EcaStatus::NORMAL),
            Completion::After(time) => Some(self.time.of(now) + time),
            Completion::Never => None,
        };
        let busy = &mut self.record_mut(handle)?.extra_mut().busy;
        let busy = busy.get_or_insert_with(|| Box::new(Busy::idle()));
        busy.holder = Some(ticket);
        busy.until = until;
        self.busy.insert(handle);
        self.tickets.insert(ticket, (handle, None));
        if let Some(until) = until {
            self.due.insert((until, handle));
        }
        None
    }

    /// Ends the put that a record is busy with; those that wait begin after it, until one stays.
    /// Returns whether there was one.
    pub(crate) fn finish_put(&mut self, now: Instant, handle: PvHandle, status: EcaStatus) -> bool {
        let Some(busy) = self.busy_mut(handle) else {
            return false;
        };
        let until = busy.until.take();
        let holder = busy.holder.take();
        if let Some(until) = until {
            self.due.remove(&(until, handle));
        }
        if let Some(ticket) = holder {
            self.tickets.remove(&ticket);
            self.complete(now, ticket, status);
        }
        self.next_puts.push_back(handle);
        true
    }

    fn complete(&mut self, now: Instant, ticket: PutTicket, status: EcaStatus) {
        // Told now, before what is begun next.
        self.log_completed(now, ticket, status);
        self.completed.push_back((ticket, status));
    }

    /// Begins the puts that wait for a record that is free, until the turn is over.
    pub(crate) fn begin_next(&mut self, now: Instant, turn: &mut Turn) {
        while !turn.is_over()
            && let Some(handle) = self.next_puts.pop_front()
        {
            turn.spend(PUT);
            let Some(busy) = self.busy_mut(handle) else {
                continue;
            };
            if busy.holder.is_some() {
                continue;
            }
            let Some((_, next)) = busy.queue.pop_first() else {
                if let Some(extra) = self.record_mut(handle).and_then(|r| r.extra.as_mut()) {
                    extra.busy = None;
                }
                self.busy.remove(&handle);
                continue;
            };
            self.tickets.remove(&next.ticket);
            // Rights may have been withdrawn while it waited.
            let ticket = next.ticket;
            let done = match self.rights(PvId(handle.0), &next.who).can_write() {
                true => self.start_waiting(now, handle, next),
                false => Some(EcaStatus::NOWTACCESS),
            };
            if let Some(status) = done {
                self.complete(now, ticket, status);
                self.next_puts.push_back(handle);
            }
        }
    }

    /// Completes the puts whose time has come, until the turn is over.
    pub(crate) fn complete_due(&mut self, now: Instant, turn: &mut Turn) {
        let time = self.time.of(now);
        while let Some(&(at, handle)) = self.due.first()
            && at <= time
            && !turn.is_over()
        {
            turn.spend(PUT);
            self.due.pop_first();
            self.finish_put(now, handle, EcaStatus::NORMAL);
        }
    }

    /// Drops the puts of a circuit that is gone: those that wait, and those that would never end. A
    /// put under way goes on to its end, unheard. False if the turn is over before that is done.
    pub(crate) fn forget_circuit(
        &mut self,
        now: Instant,
        circuit: CircuitId,
        turn: &mut Turn,
    ) -> bool {
        let first = PutTicket {
            circuit,
            id: PutId(0),
        };
        loop {
            let next = self.tickets.range(first..).next();
            let Some((&ticket, &(handle, number))) = next.filter(|(t, _)| t.circuit == circuit)
            else {
                return self.forget_questions(circuit, turn)
                    && self.forget_field_puts(circuit, turn);
            };
            if turn.is_over() {
                return false;
            }
            turn.spend(PUT);
            self.tickets.remove(&ticket);
            let Some(busy) = self.busy_mut(handle) else {
                continue;
            };
            if let Some(number) = number {
                busy.queue.remove(&number);
                self.complete(now, ticket, EcaStatus::DISCONN);
            } else if busy.until.is_none() {
                busy.holder = None;
                self.complete(now, ticket, EcaStatus::DISCONN);
                self.finish_put(now, handle, EcaStatus::NORMAL);
            }
        }
    }

    pub(crate) fn busy_mut(&mut self, handle: PvHandle) -> Option<&mut Busy> {
        self.record_mut(handle)?.busy_mut()
    }

    /// Hooks, drive limits, storing and processing.
    fn apply(
        &mut self,
        now: Instant,
        handle: PvHandle,
        value: Value,
        who: &Identity,
    ) -> Result<(), EcaStatus> {
        let record = self.record_mut(handle).ok_or(EcaStatus::PUTFAIL)?;
        let value = record.ask_hooks(now, value, who)?;
        let value = record.drive(value);
        self.process(now, handle, Some(value), Alarm::NONE);
        Ok(())
    }

    /// Stores a field other than the value, tells its subscribers, and processes the record if the
    /// field is one that makes it.
    pub(crate) fn put_field(
        &mut self,
        now: Instant,
        handle: PvHandle,
        field: Field,
        value: ValueRef<'_>,
    ) -> Result<(), ConvertError> {
        let Some(record) = self.record_mut(handle) else {
            return Ok(());
        };
        let before = record.field(field);
        record.set_field(field, value)?;
        let changed = record.field(field) != before;
        let first = self.posts.len();
        if changed && field.is_property() {
            self.post_fields(handle, EventMask::PROPERTY, Fields::All);
        }
        // Posted even if nothing has changed (`db_queue_event_log` of EPICS Base).
        let mask = EventMask::VALUE | EventMask::LOG;
        self.post_fields(handle, mask, Fields::Only(field));
        if field.processes() {
            // These updates show the record before it processes (verified on the wire).
            self.freeze_posts(first, handle);
            self.process(now, handle, None, Alarm::NONE);
        }
        Ok(())
    }
}

/// Real numbers as texts with the digits of the array (PREC); string fields of records without PREC
/// get six (verified on the wire).
fn texts_of(value: ValueRef<'_>, meta: &Arc<Metadata>) -> Result<Value, ConvertError> {
    let (native, data) = (value.native, value.data.to_vec());
    let numbers = Snapshot {
        value: Value::from_wire(native, data.into()),
        alarm: Alarm::NONE,
        stamp: Timestamp::UNDEFINED,
        ack: Acknowledge::default(),
        meta: Arc::clone(meta),
    };
    let mut texts = Vec::new();
    let ty = DbrType::new(Family::Plain, NativeType::String);
    numbers.encode(ty, value.held(), &mut texts)?;
    Ok(Value::from_wire(NativeType::String, texts.into()))
}

impl Record {
    /// A client's value in the type of the record, as many elements as there is room for.
    pub(crate) fn convert(
        &self,
        value: ValueRef<'_>,
        buffer: Option<&Bytes>,
    ) -> Result<Value, ConvertError> {
        let meta = &self.snapshot.meta;
        let (from, to) = (value.native, self.native());
        let array = self.capacity > 1;
        let value = value.truncated(self.capacity);
        if array && from == NativeType::String && to != NativeType::String {
            // Only a single number takes an empty text for 0 (`dbConvert.c` of EPICS Base).
            if (0..value.held()).any(|at| value.string(at) == Some(&[])) {
                return Err(ConvertError::NotANumber);
            }
        }
        match array && to == NativeType::String && from.is_real() {
            true => texts_of(value, meta),
            false => convert::write_from(buffer, value, to, meta),
        }
    }

    fn is_busy(&self) -> bool {
        (self.extra.as_ref()).is_some_and(|extra| extra.busy.is_some())
    }

    /// Bytes that a client's value takes in the type of the record.
    fn size_of(&self, value: ValueRef<'_>) -> usize {
        let count = value.truncated(self.capacity).held();
        (count as usize).saturating_mul(self.native().size())
    }

    fn ask_hooks(
        &mut self,
        now: Instant,
        mut value: Value,
        who: &Identity,
    ) -> Result<Value, EcaStatus> {
        let Some(extra) = &mut self.extra else {
            return Ok(value);
        };
        for hook in &mut extra.hooks {
            let request = PutRequest {
                now,
                name: &self.name,
                value: &value,
                before: &self.snapshot,
                who,
            };
            match hook.call(&request) {
                PutDecision::Accept => {}
                PutDecision::Reject(status) => return Err(status),
                PutDecision::Replace(other) => {
                    let (native, meta) = (self.snapshot.value.native(), &self.snapshot.meta);
                    let other = other.as_ref().truncated(self.capacity);
                    value = convert::write(other, native, meta).map_err(|_| EcaStatus::PUTFAIL)?;
                }
            }
        }
        Ok(value)
    }

    /// Moves a value into the drive limits of an output, if it has any.
    fn drive(&self, value: Value) -> Value {
        let range = self.snapshot.meta.limits.control;
        let Some(number) = number_of(value.as_ref()) else {
            return value;
        };
        if !self.is_beyond_drive(number) {
            return value;
        }
        let number = Value::scalar(number.clamp(range.lower, range.upper));
        // A number always becomes a number.
        convert::write(number.as_ref(), self.native(), &self.snapshot.meta).unwrap_or(value)
    }

    /// Whether a number is outside of the drive limits. NaN, as a value or as a limit, is outside of
    /// nothing.
    pub(crate) fn is_beyond_drive(&self, number: f64) -> bool {
        let range = self.snapshot.meta.limits.control;
        self.kind.has_drive_limits()
            && range.lower < range.upper
            && (number < range.lower || number > range.upper)
    }

    /// The present value moved into the drive limits, if it is outside.
    pub(crate) fn driven(&self) -> Option<Value> {
        let value = &self.snapshot.value;
        if !self.kind.has_drive_limits() {
            return None;
        }
        let driven = self.drive(value.clone());
        (driven != *value).then_some(driven)
    }
}
