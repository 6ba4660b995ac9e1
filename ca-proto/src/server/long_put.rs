//! Writes of large values in another type than the PV has: converted piece by piece before the database
//! carries them out.

use alloc::vec::Vec;
use bytes::Bytes;

use super::account::Charge;
use super::circuit::Circuit;
use super::conversion::{AT_ONCE, each};
use super::database::{Database, Put, PutId, PutOutcome, PvId, RefusedPut};
use super::limit::Limit;
use super::turn::Turn;
use crate::dbr::convert::{PutValue, put_value};
use crate::dbr::{DbrType, Family, NativeType, Value, ValueRef};
use crate::ids::Sid;
use crate::status::EcaStatus;
use crate::time::Instant;
use crate::wire::{Command, Header};

/// A write whose value is being converted.
#[derive(Debug)]
pub(super) struct LongPut {
    request: Header,
    /// The write-notify; its place in the table has the payload too, for those who keep account.
    id: Option<PutId>,
    payload: Bytes,
    target: Target,
    done: u32,
    converted: Vec<u8>,
    /// An element has no conversion.
    failed: bool,
    /// Pays for what was not paid for before.
    charge: Option<Charge>,
}

/// What a value is converted to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pv: PvId,
    native: NativeType,
    /// Elements that are stored.
    count: u32,
}

impl LongPut {
    /// The channel that is written to.
    pub(super) const fn sid(&self) -> Sid {
        Sid(self.request.p1)
    }

    fn value(&self) -> Option<ValueRef<'_>> {
        let ty = DbrType(self.request.data_type);
        match put_value(ty, self.request.count, &self.payload) {
            Ok(PutValue::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// True when all elements are converted, or one cannot be.
    fn go_on(&mut self, turn: &mut Turn, db: &(impl Database + ?Sized)) -> bool {
        let Target { pv, native, count } = self.target;
        while self.done < count {
            if turn.is_over() {
                return false;
            }
            let Some(value) = self.value() else { break };
            let each = each(value.native, native, 1);
            let most = (turn.left().min(AT_ONCE as usize) * each).min(AT_ONCE as usize);
            let elements = (count - self.done).min(most as u32);
            turn.spend((elements as usize).div_ceil(each));
            let part = part(value, self.done, elements);
            match part.map(|part| db.convert_put(pv, part)) {
                Some(Ok(converted)) if converted.native() == native => {
                    self.converted.extend_from_slice(converted.as_ref().data);
                    self.done += elements;
                }
                _ => {
                    self.failed = true;
                    break;
                }
            }
        }
        true
    }
}

/// Some elements of a value.
fn part(value: ValueRef<'_>, from: u32, count: u32) -> Option<ValueRef<'_>> {
    let size = value.native.size();
    let start = from as usize * size;
    // The last text may end early.
    let end = (start + count as usize * size).min(value.data.len());
    Some(ValueRef {
        data: value.data.get(start..end)?,
        count,
        ..value
    })
}

impl Circuit {
    /// Whether a write takes so long to convert that it is done in turns, and to what.
    pub(super) fn long_target(
        &self,
        request: &Header,
        payload: &[u8],
        db: &(impl Database + ?Sized),
    ) -> Option<Target> {
        let ty = DbrType(request.data_type);
        if request.count <= AT_ONCE || ty.family().is_none() {
            return None;
        }
        // A write-notify of a structured type is refused.
        if request.command == Command::WRITE_NOTIFY && ty.family() != Some(Family::Plain) {
            return None;
        }
        let channel = self.channels.get(Sid(request.p1))?;
        if !self.rights_now(channel, db).can_write() {
            return None;
        }
        let Ok(PutValue::Value(value)) = put_value(ty, request.count, payload) else {
            return None;
        };
        let (native, room) = db.converts_puts(channel.pv)?;
        let count = room.min(value.held());
        // What is neither converted nor cut is kept as it came, if it is most of the message.
        let size = count as usize * native.size();
        let as_it_is =
            native == value.native && native != NativeType::String && size >= payload.len() / 2;
        (count > AT_ONCE && !as_it_is).then_some(Target {
            pv: channel.pv,
            native,
            count,
        })
    }

    /// Has a write converted in turns; nothing more is asked until it is carried out.
    ///
    /// # Errors
    /// The limit that leaves no room for it.
    pub(super) fn put_later(
        &mut self,
        request: &Header,
        id: Option<PutId>,
        payload: Bytes,
        target: Target,
    ) -> Result<(), Limit> {
        let size = target.count as usize * target.native.size();
        // That of a write-notify is paid for already.
        let own = if id.is_some() { 0 } else { payload.len() };
        // It waits for nobody, so it is within what the circuit may hold, as a reply that is converted is: the
        // room for puts that wait is as large as one message, and this is one in two forms.
        let charge = self.out_account.hold(size + own)?;
        let mut converted = Vec::new();
        converted.reserve_exact(size);
        let put = LongPut {
            request: *request,
            id,
            payload,
            target,
            done: 0,
            converted,
            failed: false,
            charge: Some(charge),
        };
        self.set_long_put(Some(put));
        Ok(())
    }

    /// Goes on with the write that is being converted, and carries it out.
    pub(super) fn go_on_with_put(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        db: &mut (impl Database + ?Sized),
    ) {
        let Some(mut put) = self.take_long_put() else {
            return;
        };
        if db.is_gone(put.target.pv) {
            return self.tell_dropped(&put, db);
        }
        if turn.is_over() || !put.go_on(turn, db) {
            return self.set_long_put(Some(put));
        }
        // No longer charged when the record keeps it.
        put.charge = None;
        if let Some(id) = put.id {
            self.stops_waiting(id);
        }
        let native = put.target.native;
        let converted = core::mem::take(&mut put.converted);
        let converted = (!put.failed).then(|| Value::from_wire(native, converted.into()));
        let outcome = self.carry_out(now, &put, converted.as_ref(), db);
        match (put.id, outcome) {
            (Some(id), outcome) => self.put_begun(id, outcome),
            (None, PutOutcome::Done(status)) if !status.is_success() => {
                self.write_failed(&put.request, status);
            }
            (None, _) => {}
        }
    }

    fn carry_out(
        &self,
        now: Instant,
        put: &LongPut,
        converted: Option<&Value>,
        db: &mut (impl Database + ?Sized),
    ) -> PutOutcome {
        let Some(channel) = self.channels.get(put.sid()) else {
            return PutOutcome::Pending;
        };
        let (pv, who) = (channel.pv, &self.identity);
        let value = put.value().map(PutValue::Value);
        // Asked when it begins: they may have been withdrawn meanwhile.
        let status = match self.rights_now(channel, db).can_write() {
            false => EcaStatus::NOWTACCESS,
            true => EcaStatus::PUTFAIL,
        };
        let notify = put.id.is_some();
        match (value, converted) {
            (Some(value), Some(converted)) if status == EcaStatus::PUTFAIL => db.put(
                now,
                Put {
                    pv,
                    value,
                    converted: Some(converted),
                    who,
                    account: &self.put_account,
                    notify: put.id.map(|id| self.ticket(id)),
                },
            ),
            (value, _) => {
                let refused = RefusedPut {
                    pv,
                    value,
                    who,
                    notify,
                    status,
                };
                db.put_refused(now, refused);
                PutOutcome::Done(status)
            }
        }
    }

    /// Drops the write without completion that is being converted, if it is one of this channel.
    pub(super) fn drop_long_put(&mut self, sid: Sid, db: &mut (impl Database + ?Sized)) {
        let Some(put) = self.take_long_put() else {
            return;
        };
        if put.sid() != sid {
            return self.set_long_put(Some(put));
        }
        self.tell_dropped(&put, db);
    }

    /// Tells the database of a write that it will not see. A write-notify is told of with its place in
    /// the table.
    fn tell_dropped(&self, put: &LongPut, db: &mut (impl Database + ?Sized)) {
        if put.id.is_none() {
            db.put_dropped(RefusedPut {
                pv: put.target.pv,
                value: put.value().map(PutValue::Value),
                who: &self.identity,
                notify: false,
                status: EcaStatus::DISCONN,
            });
        }
    }
}
