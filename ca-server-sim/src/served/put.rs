//! Puts by clients to fields of records.

use std::ops::Bound;
use std::sync::Arc;

use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::{ConvertError, NativeType, Value, ValueRef};
use ca_proto::ids::CircuitId;
use ca_proto::server::{Put, PutId, PutOutcome, PutTicket, Turn};
use ca_proto::{EcaStatus, Instant};

use super::value::{array, from_client, is_foreign, native, to_value};
use super::{FieldKey, Pending, RTYP, Recheck, Served};
use crate::db::Db;
use crate::process::PutError;
use crate::record::{Array, Conversion, Dbf, Val};

/// Units of work: a put that is given up.
const PUT: usize = 16;

/// What a client is told (`write_notify_reply`, `write_action` of EPICS Base).
const fn status(result: Result<(), PutError>) -> EcaStatus {
    match result {
        Ok(()) => EcaStatus::NORMAL,
        Err(PutError::Removed) => EcaStatus::DISCONN,
        Err(_) => EcaStatus::PUTFAIL,
    }
}

impl Db {
    /// Writes a field of a record, and has it processed.
    pub(crate) fn field_put(&mut self, now: Instant, key: FieldKey, put: &Put<'_>) -> PutOutcome {
        let clock = self.clock.stamp(now);
        let Some(served) = &mut self.served else {
            return PutOutcome::Done(EcaStatus::PUTFAIL);
        };
        served.records.set_time(now, clock);
        served.wrote = true;
        let id = key.record;
        let value = match put.value {
            PutValue::AckTransient(transient) => {
                served.records.put_ackt(id, transient);
                return PutOutcome::Done(EcaStatus::NORMAL);
            }
            PutValue::AckSeverity(severity) => {
                served.records.put_acks(id, severity.0);
                return PutOutcome::Done(EcaStatus::NORMAL);
            }
            PutValue::Value(value) => value,
        };
        let value = put.converted.map_or(value, Value::as_ref);
        match served.client_val(key, value) {
            Ok(val) => served.write(key, val, put),
            Err(_) => PutOutcome::Done(EcaStatus::PUTFAIL),
        }
    }

    /// Tells circuits of puts to records that are complete.
    pub(crate) fn collect_field_puts(&mut self) {
        let Some(served) = &mut self.served else {
            return;
        };
        while let Some(done) = served.records.pop_completion() {
            if let Some(Pending { ticket, .. }) = served.pending.remove(&done.id) {
                served.tickets.remove(&ticket);
                self.completed.push_back((ticket, status(done.result)));
            }
        }
    }

    /// The channel of a put is gone: it is not carried out if it still waits for a busy record.
    pub(crate) fn withdraw_field_put(&mut self, ticket: PutTicket) {
        if let Some(served) = &mut self.served
            && let Some(&id) = served.tickets.get(&ticket)
            && served.records.is_queued(id)
        {
            served.give_up(ticket);
            self.completed.push_back((ticket, EcaStatus::DISCONN));
        }
    }

    /// Gives up the puts of a circuit that is gone (`dbNotifyCancel` of EPICS Base): those that wait for a busy
    /// record are not carried out, those that were written go on unheard. False if the turn is over before
    /// that is done.
    pub(crate) fn forget_field_puts(&mut self, circuit: CircuitId, turn: &mut Turn) -> bool {
        let Some(served) = &mut self.served else {
            return true;
        };
        let first = PutTicket {
            circuit,
            id: PutId(0),
        };
        while let Some((&ticket, _)) = served.tickets.range(first..).next()
            && ticket.circuit == circuit
        {
            if turn.is_over() {
                return false;
            }
            turn.spend(PUT);
            served.give_up(ticket);
            self.completed.push_back((ticket, EcaStatus::DISCONN));
        }
        true
    }
}

impl Served {
    /// Has the rights of puts that wait asked for again, before anything else is processed.
    pub(crate) const fn recheck_all(&mut self) {
        self.recheck = Some(None);
    }

    /// Whether that is under way.
    pub(crate) const fn is_rechecking(&self) -> bool {
        self.recheck.is_some()
    }

    /// The next put whose rights are to be asked for again.
    pub(crate) fn next_recheck(&mut self) -> Recheck {
        let Some(after) = self.recheck else {
            return Recheck::Done;
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let Some((&ticket, &id)) = self.tickets.range((from, Bound::Unbounded)).next() else {
            self.recheck = None;
            return Recheck::Done;
        };
        self.recheck = Some(Some(ticket));
        match self.pending.get(&id) {
            Some(pending) if self.records.is_queued(id) => {
                Recheck::Waits(ticket, pending.pv, Arc::clone(&pending.who))
            }
            _ => Recheck::Other,
        }
    }

    pub(crate) fn give_up(&mut self, ticket: PutTicket) {
        if let Some(id) = self.tickets.remove(&ticket) {
            self.pending.remove(&id);
            self.records.cancel_notify(id);
        }
    }

    /// Whether this put was carried out, though it is not complete.
    pub(crate) fn has_begun(&self, ticket: PutTicket) -> bool {
        let id = self.tickets.get(&ticket);
        id.is_some_and(|&id| !self.records.is_queued(id))
    }

    fn write(&mut self, key: FieldKey, val: Val, put: &Put<'_>) -> PutOutcome {
        let (id, field) = (key.record, key.field);
        let Some(ticket) = put.notify else {
            return PutOutcome::Done(status(self.records.put(id, field, val)));
        };
        // Paid for while it waits.
        let charge = match self.records.is_busy(id) {
            true => match put.account.hold(size_of_val(&val) + bytes_of(&val)) {
                Ok(charge) => Some(charge),
                Err(limit) => return PutOutcome::Done(limit.put_status()),
            },
            false => None,
        };
        let notify = self.records.put_notify(id, field, val);
        if let Some(result) = self.records.take_completed(notify) {
            return PutOutcome::Done(status(result));
        }
        self.tickets.insert(ticket, notify);
        let pending = Pending {
            ticket,
            pv: put.pv,
            who: Arc::clone(put.who),
            _charge: charge,
        };
        self.pending.insert(notify, pending);
        PutOutcome::Pending
    }

    /// What a field becomes if a client's value is written, as clients see it.
    pub(crate) fn told(&self, key: FieldKey, value: ValueRef<'_>) -> Result<Value, PutError> {
        let val = self.client_val(key, value)?;
        let val = self.records.converted(key.record, key.field, &val)?;
        Ok(to_value(&val, usize::MAX))
    }

    /// What a client sends, as the field takes it.
    fn client_val(&self, key: FieldKey, value: ValueRef<'_>) -> Result<Val, ConvertError> {
        if key.field == RTYP {
            return Err(ConvertError::Unsupported);
        }
        let val = from_client(value);
        if !key.modifiers.long {
            return Ok(val);
        }
        let is_link = self.dbf(key).is_link();
        if is_link && !matches!(value.native, NativeType::Char | NativeType::String) {
            return Err(ConvertError::Unsupported);
        }
        // `$`: characters (`dbChannelCreate` of EPICS Base).
        let chars = match &val {
            Val::Array(all) => all.converted(Dbf::UChar, usize::MAX, &Conversion::PLAIN)?,
            val => Array::collect([val.clone()], Dbf::UChar, 1, &Conversion::PLAIN)?,
        };
        if is_link {
            return Ok(Val::Array(Arc::new(chars)));
        }
        let Array::UChar(chars) = chars else {
            return Err(ConvertError::Unsupported);
        };
        let text = chars.into_iter().take_while(|&c| c != 0);
        Ok(Val::text(text.collect::<Vec<u8>>()))
    }

    /// The type that large values are converted to before they are written, and how many elements are.
    pub(crate) fn converts_puts(&self, key: FieldKey) -> Option<(NativeType, u32)> {
        if key.field == RTYP || key.modifiers.long {
            return None;
        }
        let shape = self.records.shape(key.record, key.field)?;
        // Of others the wire has no values that are as exact.
        let exact = shape.capacity > 1 && !is_foreign(shape.dbf);
        let room = u32::try_from(shape.capacity).unwrap_or(u32::MAX);
        exact.then_some((native(shape.dbf)?, room))
    }

    /// Elements as the type of an array.
    pub(crate) fn convert_put(
        &self,
        key: FieldKey,
        part: ValueRef<'_>,
    ) -> Result<Value, ConvertError> {
        let part = from_client(part);
        let elements = self.records.fit_elements(key.record, key.field, &part)?;
        Ok(array(&elements, usize::MAX))
    }
}

/// Bytes that a value has beside itself.
fn bytes_of(val: &Val) -> usize {
    match val {
        Val::String(text) => text.len(),
        Val::Array(all) => match &**all {
            Array::String(all) => all.iter().map(|text| text.len() + 16).sum(),
            all => all.len() * 8,
        },
        _ => 0,
    }
}
