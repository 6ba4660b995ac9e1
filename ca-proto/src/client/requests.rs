//! What the user asks of a channel, and the checks before anything is sent (`tcpiiu::writeRequest` of
//! EPICS Base).

use alloc::vec::Vec;

use super::Client;
use super::channel::{Channel, Phase};
use super::circuit::Circuits;
use super::error::OpError;
use super::ops::{Op, OpKind};
use super::subs::{Installed, SMALL_LIMIT};
use super::types::{Deliver, ReadSpec, Reply, SubSpec, Token, TypeSpec, is_readable};
use crate::access::AccessRights;
use crate::config::ClientParams;
use crate::dbr::{DbrType, Family, NativeType, Value};
use crate::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use crate::time::Instant;
use crate::wire::message::EventMask;
use crate::wire::{Command, Header, Minor, tcp};

/// A connected channel.
struct Target {
    circuit: CircuitId,
    sid: Sid,
    native: NativeType,
    count: u32,
    rights: AccessRights,
    minor: Minor,
    unsent: usize,
}

/// Bytes queued on a circuit from which on subscriptions are refused. Far above the mark for
/// operations, which can wait: a program subscribes to everything it shows in one loop (32 bytes
/// each), as the reference lets it.
const SUBSCRIBE_HIGH_WATER: usize = 16 << 20;

impl Client {
    /// Asks for a value once; the result comes through [`Deliver::reply`], also when the deadline
    /// passes or the connection is lost.
    ///
    /// # Errors
    /// [`OpError`]; nothing was sent and no reply will come.
    #[inline]
    pub fn read(
        &mut self,
        now: Instant,
        cid: Cid,
        spec: ReadSpec,
        token: Token,
        deadline: Option<Instant>,
    ) -> Result<Ioid, OpError> {
        let channel = self.channels.get_mut(cid).ok_or(OpError::NoSuchChannel)?;
        let target = target(channel, &self.circuits)?;
        if !target.rights.can_read() {
            return Err(OpError::NoReadAccess);
        }
        if spec.count > target.count {
            return Err(OpError::BadCount {
                asked: spec.count,
                available: target.count,
            });
        }
        let ty = readable(spec.ty, target.native)?;
        // Trap 23: count 0 is for servers from 4.13 on.
        let count = match spec.count {
            0 if !target.minor.has_dynamic_count() => target.count,
            count => count,
        };
        check_size(&self.params, &target, ty.size(count))?;
        let deadline = deadline.unwrap_or(Instant::MAX);
        let op = Op::new(token, deadline, cid, target.circuit, OpKind::Read);
        let inserted = self.ops.insert(&mut channel.ops, op);
        let ioid = inserted.ok_or(OpError::TooManyOps)?;
        let sid = target.sid;
        self.circuits.send(now, target.circuit, move |queue| {
            // hot: made without the table of messages, and here, so that it stays in registers.
            let header = Header {
                data_type: ty.0,
                count,
                p1: sid.0,
                p2: ioid.0,
                ..Header::new(Command::READ_NOTIFY)
            };
            queue.put(|flat| header.encode(flat));
        });
        Ok(ioid)
    }

    /// Writes a value; nothing comes back, but a failure may show as
    /// [`Event::Exception`](super::Event::Exception). `ty` is the native type of `value`, or
    /// `DBR_PUT_ACKT`, `DBR_PUT_ACKS` with one 16-bit integer.
    ///
    /// # Errors
    /// [`OpError`]; nothing was sent.
    pub fn write(
        &mut self,
        now: Instant,
        cid: Cid,
        ty: DbrType,
        value: &Value,
    ) -> Result<(), OpError> {
        let target = self.write_target(cid, ty, value)?;
        let sid = target.sid;
        self.circuits.send(now, target.circuit, |queue| {
            super::write::encode(queue, super::write::Kind::Write(cid), sid, ty, value);
        });
        Ok(())
    }

    /// Writes a value as [`write`](Self::write) does, if earlier output of the circuit is still to be
    /// reported as sent; false if not, and nothing was done. For drivers that look for output again
    /// when they have reported all that they took: such a write has nothing to tell them, so neither
    /// [`poll_woken`](Self::poll_woken) nor another output changes.
    ///
    /// # Errors
    /// [`OpError`]; nothing was sent.
    #[inline]
    pub fn write_behind(&mut self, cid: Cid, ty: DbrType, value: &Value) -> Result<bool, OpError> {
        let target = self.write_target(cid, ty, value)?;
        let sid = target.sid;
        Ok(self.circuits.send_behind(target.circuit, |queue| {
            super::write::encode(queue, super::write::Kind::Write(cid), sid, ty, value);
        }))
    }

    /// Writes a value as [`write`](Self::write) does and asks for completion; the result comes
    /// through [`Deliver::reply`].
    ///
    /// # Errors
    /// [`OpError`]; nothing was sent and no reply will come.
    pub fn write_notify(
        &mut self,
        now: Instant,
        cid: Cid,
        ty: DbrType,
        value: &Value,
        token: Token,
        deadline: Option<Instant>,
    ) -> Result<Ioid, OpError> {
        let target = self.write_target(cid, ty, value)?;
        let sid = target.sid;
        let ioid = self.insert_op(cid, &target, OpKind::Write, token, deadline)?;
        self.circuits.send(now, target.circuit, |queue| {
            super::write::encode(queue, super::write::Kind::Notify(ioid), sid, ty, value);
        });
        Ok(ioid)
    }

    /// Writes a value as [`write`](Self::write) does and learns whether the server took it: the
    /// result, through [`Deliver::reply`], is [`Reply::Written`] when the server has looked at the
    /// write without a complaint. It does not wait for what follows from the write, as a put-notify
    /// does, and the record is processed as by a plain write.
    ///
    /// A server says nothing of a plain write but its failure (`write_action` of rsrv). A read of one
    /// element that follows on the same circuit is answered behind that; what it brings does not matter.
    /// The write carries the identifier of this request where the reference puts the channel's, which no
    /// server looks at but each copies into its complaint; so a complaint finds its write. Servers that
    /// carry writes out beside the order of a circuit (gateways, caproto) may complain later:
    /// as an [`Event::Exception`](super::Event::Exception), then.
    ///
    /// # Errors
    /// [`OpError`]; nothing was sent and no reply will come.
    pub fn write_checked(
        &mut self,
        now: Instant,
        cid: Cid,
        ty: DbrType,
        value: &Value,
        token: Token,
        deadline: Option<Instant>,
    ) -> Result<Ioid, OpError> {
        let target = self.write_target(cid, ty, value)?;
        let sid = target.sid;
        let ioid = self.insert_op(cid, &target, OpKind::Checked, token, deadline)?;
        let read = tcp::Request::ReadNotify {
            ty: DbrType::new(Family::Plain, target.native),
            count: 1,
            sid,
            ioid,
        };
        self.circuits.send(now, target.circuit, |queue| {
            super::write::encode(queue, super::write::Kind::Checked(ioid), sid, ty, value);
            read.encode(queue);
        });
        Ok(ioid)
    }

    /// Forgets a read or put-notify: no reply will come. A put may still be executed.
    pub fn cancel(&mut self, ioid: Ioid) {
        let Some(op) = self.ops.get(ioid) else { return };
        if op.kind.is_answered() {
            self.abandon(ioid);
        }
    }

    pub(super) fn abandon(&mut self, ioid: Ioid) {
        if let Some(oldest) = self.ops.abandon(ioid)
            && let Some(op) = self.ops.get(oldest)
        {
            self.remove_op(oldest, op.cid);
        }
    }

    /// Subscribes to a channel, connected or not. The subscription survives every loss of the
    /// connection with the same identifier and token.
    ///
    /// # Errors
    /// [`OpError`] for an empty mask, a type that cannot be read, a closed channel, a full table, a
    /// full send queue.
    pub fn subscribe(
        &mut self,
        now: Instant,
        cid: Cid,
        spec: SubSpec,
        token: Token,
    ) -> Result<SubId, OpError> {
        if spec.mask == EventMask(0) {
            return Err(OpError::BadMask);
        }
        readable(spec.ty, NativeType::Double)?;
        let channel = self.channels.get_mut(cid).ok_or(OpError::NoSuchChannel)?;
        let circuit = match channel.phase {
            Phase::Ready { circuit, .. } => self.circuits.get(circuit),
            _ => None,
        };
        let live = circuit.is_some_and(|circuit| circuit.is_live());
        if let Some(circuit) = circuit.filter(|circuit| circuit.unsent > SUBSCRIBE_HIGH_WATER) {
            return Err(OpError::QueueFull(circuit.unsent));
        }
        let inserted = self.subs.insert(&mut channel.subs, cid, spec, token);
        let subid = inserted.ok_or(OpError::TooManySubscriptions)?;
        if live {
            self.install(now, cid, subid);
        }
        Ok(subid)
    }

    /// Ends a subscription; no update is delivered from now on.
    pub fn unsubscribe(&mut self, now: Instant, subid: SubId) {
        let Some(sub) = self.subs.get(subid) else {
            return;
        };
        let (cid, installed) = (sub.cid, sub.installed);
        let Some(channel) = self.channels.get_mut(cid) else {
            return;
        };
        match (installed, channel.phase) {
            (Installed::Cancelled(_), _) => {}
            (Installed::On(_, ty, count), Phase::Ready { circuit, sid, .. }) => {
                self.subs.cancel(&mut channel.subs, subid, circuit);
                let cancel = tcp::Request::EventCancel {
                    ty,
                    count,
                    sid,
                    subid,
                };
                self.circuits
                    .send(now, circuit, |queue| cancel.encode(queue));
            }
            _ => self.subs.remove(&mut channel.subs, subid),
        }
    }

    pub(super) fn expire_ops(&mut self, now: Instant, out: &mut impl Deliver) {
        let expired: Vec<Ioid> = self.ops.expired(now);
        for ioid in expired {
            let Some(op) = self.ops.get(ioid) else {
                continue;
            };
            let token = op.token;
            self.abandon(ioid);
            out.reply(token, Reply::TimedOut);
        }
    }

    // hot: every put.
    #[inline]
    fn write_target(&self, cid: Cid, ty: DbrType, value: &Value) -> Result<Target, OpError> {
        if self.params.read_only {
            return Err(OpError::ReadOnly);
        }
        let channel = self.channels.get(cid).ok_or(OpError::NoSuchChannel)?;
        let target = target(channel, &self.circuits)?;
        if !target.rights.can_write() {
            return Err(OpError::NoWriteAccess);
        }
        if value.count() > target.count {
            return Err(OpError::BadCount {
                asked: value.count(),
                available: target.count,
            });
        }
        super::write::check(ty, value)?;
        check_size(&self.params, &target, ty.size(value.count()))?;
        Ok(target)
    }

    fn insert_op(
        &mut self,
        cid: Cid,
        target: &Target,
        kind: OpKind,
        token: Token,
        deadline: Option<Instant>,
    ) -> Result<Ioid, OpError> {
        let channel = self.channels.get_mut(cid).ok_or(OpError::NoSuchChannel)?;
        let deadline = deadline.unwrap_or(Instant::MAX);
        let op = Op::new(token, deadline, cid, target.circuit, kind);
        let inserted = self.ops.insert(&mut channel.ops, op);
        inserted.ok_or(OpError::TooManyOps)
    }
}

/// What a request has to know about its channel.
#[inline]
fn target(channel: &Channel, circuits: &Circuits) -> Result<Target, OpError> {
    let Phase::Ready {
        circuit,
        sid,
        native,
        count,
    } = channel.phase
    else {
        return Err(OpError::NotConnected);
    };
    let entry = circuits.get(circuit).filter(|entry| entry.is_live());
    let entry = entry.ok_or(OpError::NotConnected)?;
    Ok(Target {
        circuit,
        sid,
        native,
        count,
        rights: channel.rights,
        minor: entry.minor,
        unsent: entry.unsent,
    })
}

/// Servers below 4.9 have neither large messages nor the header for them; larger answers than the
/// own limit would be skipped.
#[inline]
fn check_size(params: &ClientParams, target: &Target, bytes: u64) -> Result<(), OpError> {
    let limit = if target.minor.has_extended_header() {
        params.max_message_bytes()
    } else {
        SMALL_LIMIT
    };
    if bytes.next_multiple_of(8) > u64::from(limit) {
        return Err(OpError::TooLarge { bytes, limit });
    }
    if target.unsent > params.send_high_water {
        return Err(OpError::QueueFull(target.unsent));
    }
    Ok(())
}

#[inline]
fn readable(spec: TypeSpec, native: NativeType) -> Result<DbrType, OpError> {
    match spec {
        TypeSpec::Exact(ty) if !is_readable(ty) => Err(OpError::BadType(ty)),
        TypeSpec::Exact(ty) => Ok(ty),
        TypeSpec::Family(family) => Ok(DbrType::new(family, native)),
    }
}
