//! Writes, with and without completion.

use bytes::Bytes;

use super::account::Charge;
use super::circuit::Circuit;
use super::conversion::AT_ONCE;
use super::database::{Database, Put, PutId, PutOutcome, PutTicket, PvId, RefusedPut};
use super::error::Violation;
use super::held::PUT_BYTES;
use super::limit::Limit;
use super::subscriptions::ChannelText;
use crate::dbr::ConvertError;
use crate::dbr::convert::put_value;
use crate::dbr::{DbrType, Family};
use crate::ids::{Ioid, Sid, Slots};
use crate::status::EcaStatus;
use crate::time::Instant;
use crate::wire::{Command, Frame, Header, tcp};

/// The unfinished write-notifies of one circuit.
pub(super) type Puts = Slots<PutId, PendingPut>;

#[derive(Debug)]
pub(super) struct PendingPut {
    sid: Sid,
    ty: DbrType,
    count: u32,
    ioid: Ioid,
    /// The value, while an earlier write-notify of the channel is unfinished.
    waiting: Option<(Bytes, Charge)>,
    /// The next write-notify of the channel.
    next: Option<PutId>,
}

impl PendingPut {
    const fn request(&self) -> Header {
        Header {
            data_type: self.ty.0,
            count: self.count,
            p1: self.sid.0,
            p2: self.ioid.0,
            ..Header::new(Command::WRITE_NOTIFY)
        }
    }

    const fn answer(&self, status: EcaStatus) -> tcp::Response<'static> {
        tcp::Response::WriteNotify {
            ty: self.ty,
            count: self.count,
            status,
            ioid: self.ioid,
        }
    }
}

impl Limit {
    /// What a write-notify is told that would exceed the limit.
    pub const fn put_status(self) -> EcaStatus {
        match self {
            Self::CircuitBytes | Self::HostBytes => EcaStatus::ALLOCMEM,
            _ => EcaStatus::PUTCBINPROG,
        }
    }
}

impl Circuit {
    pub(super) fn write(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let header = &frame.header;
        let ty = DbrType(header.data_type);
        let Some(channel) = self.channels.get(Sid(header.p1)) else {
            return Err(self.no_channel(header, Sid(header.p1)));
        };
        let mut checked = if !self.rights_now(channel, db).can_write() {
            Err(EcaStatus::NOWTACCESS)
        } else if !ty.is_valid() {
            Err(EcaStatus::BADTYPE)
        } else {
            put_value(ty, header.count, frame.payload()).map_err(put_status)
        };
        let pv = channel.pv;
        if header.count > AT_ONCE
            && let Some(target) = self.long_target(header, frame.payload(), db)
        {
            let Err(limit) = self.put_later(header, None, frame.to_bytes(), target) else {
                return Ok(());
            };
            self.met = Some(limit);
            checked = Err(limit.put_status());
        }
        let who = &self.identity;
        let status = match checked {
            Err(status) => {
                db.put_refused(
                    now,
                    RefusedPut {
                        pv,
                        value: put_value(ty, header.count, frame.payload()).ok(),
                        who,
                        notify: false,
                        status,
                    },
                );
                status
            }
            Ok(value) => {
                let put = Put {
                    pv,
                    value,
                    converted: None,
                    who,
                    account: &self.put_account,
                    notify: None,
                };
                let outcome = match frame.shared() {
                    Some(buffer) => db.put_shared(now, put, buffer),
                    None => db.put(now, put),
                };
                match outcome {
                    PutOutcome::Done(status) => status,
                    PutOutcome::Pending => EcaStatus::NORMAL,
                }
            }
        };
        if status.is_success() {
            return Ok(());
        }
        self.write_failed(header, status);
        match status {
            EcaStatus::BADTYPE => self.check_type(header.command, ty),
            _ => Ok(()),
        }
    }

    pub(super) fn write_failed(&mut self, header: &Header, status: EcaStatus) {
        let Some(channel) = self.channels.get(Sid(header.p1)) else {
            return;
        };
        let name = ChannelText(channel);
        let (cid, ty) = (Some(channel.cid), DbrType(header.data_type));
        let text = match status {
            EcaStatus::BADCOUNT => alloc::format!(
                "{name}: {} bytes are too few for {} elements of {ty}",
                header.payload_len,
                header.count
            ),
            EcaStatus::BADTYPE => alloc::format!("{name}: there is no type {}", ty.0),
            _ => alloc::format!("{name}"),
        };
        self.error(header, cid, status, format_args!("{text}"));
    }

    pub(super) fn write_notify(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let header = &frame.header;
        let (ty, sid) = (DbrType(header.data_type), Sid(header.p1));
        let Some(channel) = self.channels.get(sid) else {
            return Err(self.no_channel(header, sid));
        };
        let behind = channel.puts.map(|(_, last)| last);
        let mut put = PendingPut {
            sid,
            ty,
            count: header.count,
            ioid: Ioid(header.p2),
            waiting: None,
            next: None,
        };
        if !ty.is_valid() {
            self.refused(now, &put, frame.payload(), EcaStatus::BADTYPE, db);
            self.answer(&put, EcaStatus::BADTYPE);
            return self.check_type(header.command, ty);
        }
        let most = self.params.max_pending_puts_per_circuit;
        if self.puts.len() >= most.min(Puts::CAPACITY) {
            return self.too_many(now, frame, &put, Limit::PendingPuts, db);
        }
        if !self.puts.is_empty() && !self.affords(self.puts.growth() + PUT_BYTES) {
            let limit = self.met.unwrap_or(Limit::CircuitBytes);
            return self.too_many(now, frame, &put, limit, db);
        }
        let target = match behind {
            None if header.count > AT_ONCE => self.long_target(header, frame.payload(), db),
            _ => None,
        };
        let held = match (behind, target) {
            (None, None) => None,
            _ => match self.put_account.hold(frame.payload().len()) {
                Ok(charge) => Some((frame.to_bytes(), charge)),
                Err(limit) => return self.too_many(now, frame, &put, limit, db),
            },
        };
        // Below the capacity of the table, as checked above.
        let Some(id) = self.puts.next_key() else {
            return Ok(());
        };
        if let Some(target) = target
            && let Err(limit) = self.put_later(header, Some(id), frame.to_bytes(), target)
        {
            return self.too_many(now, frame, &put, limit, db);
        }
        if behind.is_none() && target.is_none() {
            // hot: most are done at once and need no place in the table.
            let payload = (frame.payload(), frame.shared());
            let outcome = self.start_put(now, id, &put, payload, db);
            if let PutOutcome::Done(status) = outcome {
                self.answer(&put, status);
                if !status.is_success() {
                    self.met = self.put_account.take_refusal();
                }
                return Ok(());
            }
        }
        put.waiting = held;
        let _ = self.puts.insert(put);
        self.settle();
        if let Some(channel) = self.channels.get_mut(sid) {
            let first = channel.puts.map_or(id, |(first, _)| first);
            channel.puts = Some((first, id));
        }
        if let Some(last) = behind.and_then(|last| self.puts.get_mut(last)) {
            last.next = Some(id);
        }
        Ok(())
    }

    /// Refuses a write-notify for which there is no room.
    #[cold]
    fn too_many(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        put: &PendingPut,
        limit: Limit,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        self.met = Some(limit);
        let status = limit.put_status();
        self.refused(now, put, frame.payload(), status, db);
        self.answer(put, status);
        Ok(())
    }

    fn start_put(
        &self,
        now: Instant,
        id: PutId,
        put: &PendingPut,
        (payload, buffer): (&[u8], Option<&Bytes>),
        db: &mut (impl Database + ?Sized),
    ) -> PutOutcome {
        let Some(channel) = self.channels.get(put.sid) else {
            return PutOutcome::Pending;
        };
        // Asked when it begins: they may have been withdrawn while it waited.
        if !self.rights_now(channel, db).can_write() {
            return self.refused(now, put, payload, EcaStatus::NOWTACCESS, db);
        }
        // Structured types are refused here though WRITE takes them, as in the reference.
        if put
            .ty
            .family()
            .is_some_and(|family| family != Family::Plain)
        {
            return self.refused(now, put, payload, EcaStatus::PUTFAIL, db);
        }
        let value = match put_value(put.ty, put.count, payload) {
            Ok(value) => value,
            Err(error) => return self.refused(now, put, payload, put_status(error), db),
        };
        let put = Put {
            pv: channel.pv,
            value,
            converted: None,
            who: &self.identity,
            account: &self.put_account,
            notify: Some(self.ticket(id)),
        };
        match buffer {
            Some(buffer) => db.put_shared(now, put, buffer),
            None => db.put(now, put),
        }
    }

    pub(super) const fn ticket(&self, id: PutId) -> PutTicket {
        let circuit = self.id;
        PutTicket { circuit, id }
    }

    /// Tells the database of a put that it will not see.
    fn refused(
        &self,
        now: Instant,
        put: &PendingPut,
        payload: &[u8],
        status: EcaStatus,
        db: &mut (impl Database + ?Sized),
    ) -> PutOutcome {
        if let Some(channel) = self.channels.get(put.sid) {
            db.put_refused(
                now,
                RefusedPut {
                    pv: channel.pv,
                    value: put_value(put.ty, put.count, payload).ok(),
                    who: &self.identity,
                    notify: true,
                    status,
                },
            );
        }
        PutOutcome::Done(status)
    }

    /// Answers the first write-notify of a channel; the one behind it is to be started.
    fn finish_put(&mut self, id: PutId, status: EcaStatus) {
        let Some(put) = self.puts.remove(id) else {
            return;
        };
        self.send_late(&put.answer(status));
        self.settle();
        let Some(channel) = self.channels.get_mut(put.sid) else {
            return;
        };
        channel.puts = match (put.next, channel.puts) {
            (Some(next), Some((_, last))) => Some((next, last)),
            _ => None,
        };
        if channel.puts.is_some() {
            self.ready(put.sid);
        }
    }

    /// Starts the first write-notify of a channel, if it waits.
    pub(super) fn start_waiting(
        &mut self,
        now: Instant,
        sid: Sid,
        db: &mut (impl Database + ?Sized),
    ) {
        let Some((id, _)) = self.channels.get(sid).and_then(|channel| channel.puts) else {
            return;
        };
        let Some(put) = self.puts.get(id) else {
            return;
        };
        let Some((payload, _)) = &put.waiting else {
            return;
        };
        let (payload, request) = (payload.clone(), put.request());
        if put.count > AT_ONCE
            && let Some(target) = self.long_target(&request, &payload, db)
        {
            if let Err(limit) = self.put_later(&request, Some(id), payload.clone(), target) {
                let Some(put) = self.puts.get(id) else {
                    return;
                };
                self.refused(now, put, &payload, limit.put_status(), db);
                self.met = Some(limit);
                self.finish_put(id, limit.put_status());
            }
            return;
        }
        // No longer charged when the record keeps it.
        self.stops_waiting(id);
        let Some(put) = self.puts.get(id) else {
            return;
        };
        let outcome = self.start_put(now, id, put, (&payload, Some(&payload)), db);
        self.put_begun(id, outcome);
    }

    /// The value goes to the database now.
    pub(super) fn stops_waiting(&mut self, id: PutId) {
        if let Some(put) = self.puts.get_mut(id) {
            put.waiting = None;
        }
    }

    /// What the database has said to a write-notify that waited.
    pub(super) fn put_begun(&mut self, id: PutId, outcome: PutOutcome) {
        if let PutOutcome::Done(status) = outcome {
            if !status.is_success() {
                self.met = self.put_account.take_refusal().or(self.met);
            }
            self.finish_put(id, status);
        }
    }

    /// Tells the database of a put whose value was not even received, because it is too large.
    pub(super) fn put_too_large(
        &self,
        now: Instant,
        header: &Header,
        db: &mut (impl Database + ?Sized),
    ) {
        let notify = match header.command {
            Command::WRITE => false,
            Command::WRITE_NOTIFY => true,
            _ => return,
        };
        if let Some(channel) = self.channels.get(Sid(header.p1)) {
            let put = RefusedPut {
                pv: channel.pv,
                value: None,
                who: &self.identity,
                notify,
                status: EcaStatus::TOLARGE,
            };
            db.put_refused(now, put);
        }
    }

    fn answer(&mut self, put: &PendingPut, status: EcaStatus) {
        put.answer(status).encode(&mut self.out);
    }

    /// Ends a write for which the database has said [`PutOutcome::Pending`]. Write-notifies that
    /// wait behind it on the same channel are started, if there are many by [`work`](Self::work). Unknown ids are those of channels that are
    /// gone, and ignored.
    pub fn complete_put(
        &mut self,
        now: Instant,
        put: PutId,
        status: EcaStatus,
        db: &mut (impl Database + ?Sized),
    ) {
        // One that still waits was never given to the database.
        if self.puts.get(put).is_some_and(|put| put.waiting.is_none()) {
            self.finish_put(put, status);
            self.start_few(now, db);
        }
    }

    /// Forgets a write-notify of a channel that is deleted, which gets no answer: the one behind it.
    pub(super) fn drop_put(
        &mut self,
        pv: PvId,
        id: PutId,
        db: &mut (impl Database + ?Sized),
    ) -> Option<PutId> {
        let put = self.puts.remove(id)?;
        if let Some((payload, _charge)) = put.waiting {
            db.put_dropped(RefusedPut {
                pv,
                value: put_value(put.ty, put.count, &payload).ok(),
                who: &self.identity,
                notify: true,
                status: EcaStatus::DISCONN,
            });
        }
        put.next
    }
}

fn put_status(error: ConvertError) -> EcaStatus {
    match error {
        ConvertError::ShortPayload => EcaStatus::BADCOUNT,
        _ => EcaStatus::PUTFAIL,
    }
}
