//! Who wrote what, or wanted to: a hook that sees every put of a client.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::value::INLINE_LEN;
use ca_proto::dbr::{Snapshot, Value, ValueRef};
use ca_proto::server::{Charge, Identity, Put, PutOutcome, PutTicket, PvId, RefusedPut};
use ca_proto::{EcaStatus, Instant, Timestamp};

use crate::access::{Guard, PutAccess, Question};
use crate::builder::IocBuilder;
use crate::db::{Db, PvHandle};
use crate::field::Field;
use crate::plain::QueuedPut;

/// A put, after it was carried out, refused, or begun; and the end of one that was begun.
///
/// A put that does not complete at once gets several reports, which have the same
/// [`id`](Self::id): when it arrives, when it is carried out if it had to wait until then, and at its end.
/// All of them tell of its own value, whatever others have written meanwhile.
#[derive(Debug)]
#[non_exhaustive]
pub struct PutReport<'a> {
    /// The number of the put: the first put of an IOC has 1.
    pub id: u64,
    /// Time of what is reported.
    pub now: Instant,
    /// The time stamp that belongs to it.
    pub stamp: Timestamp,
    /// The PV.
    pub name: &'a str,
    /// The field of the PV, `VAL` for the value.
    pub field: &'a str,
    /// Who wrote, as the client says, and the address it came from.
    pub who: &'a Identity,
    /// What the client sent, in its type; the first 1320 bytes of it in later reports of a put. `None` if it
    /// cannot be read: of a type that does not exist, or shorter than it says, or too large to be received.
    pub sent: Option<PutValue<'a>>,
    /// Whether the client waits for completion.
    pub notify: bool,
    /// The state of the field right before the put was carried out; its state now if it was not. The value
    /// may be cut to 1320 bytes in later reports of a put.
    pub before: &'a Snapshot,
    /// The state right after it was carried out: what hooks and limits have made of the value. As `before` if
    /// it was not.
    pub after: &'a Snapshot,
    /// Whether the put has written to the PV. `false` with [`PutOutcome::Pending`] is a put that waits until an
    /// earlier one is complete; `true` with a status of failure is one that was written, and failed or was
    /// given up before it was complete.
    pub carried_out: bool,
    /// The result; [`PutOutcome::Pending`] for one that completes later, whose end is told by a
    /// report of its own. A client that went away before its put ended gives `ECA_DISCONN`.
    pub outcome: PutOutcome,
    /// For a later report of a put: when it was told first.
    pub begun: Option<Instant>,
    /// What access security said of it when it came: by which rule, and whether that one asks for writes to be told
    /// (`TRAPWRITE`). `None` in an IOC without rules.
    pub access: Option<&'a PutAccess>,
}

type Function = Box<dyn FnMut(&PutReport<'_>) + Send>;

/// Bytes of values that are kept until a put ends: what 33 strings need.
const KEPT_BYTES: usize = 1320;

/// A put log.
pub(crate) struct PutLog {
    tell: Function,
    /// Number of the last put.
    last_id: u64,
    /// Time of the last report.
    last: (Instant, Timestamp),
    /// Puts that complete later; at most as many as circuits may have.
    begun: BTreeMap<PutTicket, Begun>,
    /// Puts that ended while the time was not known; told before anything else happens. At most as many as
    /// circuits may have.
    dropped: Vec<Begun>,
}

/// A put whose end is to be told.
struct Begun {
    id: u64,
    now: Instant,
    pv: PvId,
    name: Box<str>,
    field: Box<str>,
    who: Arc<Identity>,
    sent: Option<Value>,
    access: Option<Box<PutAccess>>,
    /// Before and after, once it was carried out.
    states: Option<(Snapshot, Snapshot)>,
    /// The client pays for it.
    _charge: Option<Charge>,
}

/// What a put-notify costs in a log until it ends: its report and the nodes of the table, which may be half
/// empty, its names, and three values.
fn begun_bytes(name: &str, field: &str, put: &Put<'_>, state: &Snapshot) -> usize {
    let shared = |value: ValueRef<'_>| match value.data.len().min(KEPT_BYTES) {
        0..=INLINE_LEN => 0,
        len => len + ALLOCATED,
    };
    let sent = match put.value {
        PutValue::Value(sent) => shared(sent),
        _ => 0,
    };
    // What is there before and after may be longer than what is sent.
    let states = 2 * (shared(state.value.as_ref()).max(sent));
    let names = name.len() + field.len() + 2 * ALLOCATED;
    2 * size_of::<(PutTicket, Begun)>() + names + sent + states
}

/// What access security has said of a put, with the names of a group and of a file.
const ACCESS_BYTES: usize = 256;
/// What an allocation costs beside its bytes.
const ALLOCATED: usize = 48;

impl fmt::Debug for PutLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutLog")
    }
}

impl PutLog {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn tell(&mut self, report: &PutReport<'_>) {
        self.last = (report.now, report.stamp);
        (self.tell)(report);
    }

    /// Tells of a put that was told before; `present` is the state if it was not carried out.
    fn tell_later(
        &mut self,
        (now, stamp): (Instant, Timestamp),
        put: &Begun,
        present: &Snapshot,
        outcome: PutOutcome,
        begun: Option<Instant>,
    ) {
        let (before, after) = match &put.states {
            Some((before, after)) => (before, after),
            None => (present, present),
        };
        self.tell(&PutReport {
            id: put.id,
            now,
            stamp,
            name: &put.name,
            field: &put.field,
            who: &put.who,
            sent: put.sent.as_ref().map(|sent| PutValue::Value(sent.as_ref())),
            notify: true,
            before,
            after,
            carried_out: put.states.is_some(),
            outcome,
            begun,
            access: put.access.as_deref(),
        });
    }
}

/// Puts that are under way when the IOC goes end with it.
impl Drop for PutLog {
    fn drop(&mut self) {
        let at = self.last;
        for put in std::mem::take(&mut self.begun).into_values() {
            // Those that had not begun were dropped with their circuits.
            let Some((_, after)) = &put.states else {
                continue;
            };
            let (after, gone) = (after.clone(), PutOutcome::Done(EcaStatus::DISCONN));
            self.tell_later(at, &put, &after, gone, Some(put.now));
        }
    }
}

/// Says whether puts are refused now.
pub(crate) struct PutStop(Box<dyn FnMut() -> bool + Send>);

impl PutStop {
    /// Asks this.
    pub(crate) fn new(stopped: impl FnMut() -> bool + Send + 'static) -> Self {
        Self(Box::new(stopped))
    }
}

impl fmt::Debug for PutStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutStop")
    }
}

impl IocBuilder {
    /// Tells `log` of each put by a client, also of those that are refused, and of the end of each
    /// that completes later. It runs while the IOC is locked, so it should hand the report on and not
    /// write files.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, PvSpec};
    /// use std::sync::mpsc::sync_channel;
    ///
    /// let (send, lines) = sync_channel(1000); // bounded: what does not fit is left out
    /// let ioc = Ioc::builder().pv("gap", PvSpec::double(1.5)).put_log(move |put| {
    ///     let user = String::from_utf8_lossy(&put.who.user);
    ///     let _ = send.try_send(format!("{user} wrote {}: {:?}", put.name, put.outcome));
    /// });
    /// # let _ = (ioc.build()?, lines);
    /// # Ok::<(), ca_server_sim::BuildError>(())
    /// ```
    #[must_use]
    pub fn put_log(mut self, log: impl FnMut(&PutReport<'_>) + Send + 'static) -> Self {
        let log = PutLog {
            tell: Box::new(log),
            last_id: 0,
            last: (Instant::ZERO, Timestamp::UNDEFINED),
            begun: BTreeMap::new(),
            dropped: Vec::new(),
        };
        self.ioc.db.overseers.change(|all| all.put_log = Some(log));
        self
    }

    /// Refuses puts of clients with `ECA_PUTFAIL` while `stopped` says so, for example because a log of puts
    /// that is required cannot be written. It is asked before each put is carried out, also before one
    /// that has waited for another; puts that are under way go on. It runs while the IOC is locked, so it
    /// must not block.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, PvSpec};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// let stopped = Arc::new(AtomicBool::new(false));
    /// let stop = Arc::clone(&stopped);
    /// let ioc = Ioc::builder()
    ///     .pv("gap", PvSpec::double(1.5))
    ///     .refuse_puts_while(move || stopped.load(Ordering::Relaxed));
    /// stop.store(true, Ordering::Relaxed); // from now on nothing is written
    /// # let _ = ioc.build()?;
    /// # Ok::<(), ca_server_sim::BuildError>(())
    /// ```
    #[must_use]
    pub fn refuse_puts_while(mut self, stopped: impl FnMut() -> bool + Send + 'static) -> Self {
        let stop = PutStop::new(stopped);
        self.ioc
            .db
            .overseers
            .change(|all| all.put_stop = Some(stop));
        self
    }
}

impl Db {
    /// The names of the PV and of the field that a channel is open on, also of a PV that was removed.
    fn named(&self, pv: PvId) -> Option<(&str, Cow<'_, str>)> {
        if let Some((served, key)) = self.field(pv) {
            let name = served.records.name_of(key.record);
            return Some((name, served.field_name(key.record, key.field).into()));
        }
        let (_, record, view) = self.any_target(pv)?;
        let field = view.map_or(Field::Val, |view| view.field);
        Some((&record.name, field.name(record.kind).into()))
    }

    fn access_of(&self, pv: PvId, who: &Identity) -> Option<Box<PutAccess>> {
        let ask = |guard: &Guard, question: Question<'_>| Box::new(guard.of_put(question));
        self.ask_guard(pv, who, ask)
    }

    /// Whether a put that is pending was written.
    fn has_begun(&self, put: &Put<'_>) -> bool {
        if let Some((served, _)) = self.field(put.pv) {
            return put.notify.is_some_and(|ticket| served.has_begun(ticket));
        }
        let busy = self.target(put.pv).and_then(|(_, record, _)| {
            let extra = record.extra.as_ref()?;
            extra.busy.as_ref()
        });
        busy.and_then(|busy| busy.holder) == put.notify
    }

    fn is_stopped(&mut self) -> bool {
        self.overseers.put_stop_mut().is_some_and(|stop| (stop.0)())
    }

    /// Carries out a put, or what becomes of it by those who have a say in it: a fault, the program, a stop. The
    /// log is told.
    pub(crate) fn attended_put(
        &mut self,
        now: Instant,
        put: &Put<'_>,
        buffer: Option<&Bytes>,
    ) -> PutOutcome {
        if !self.overseers.any() {
            return self.client_put(now, put, buffer);
        }
        if let Some(status) = self.faulty_put(put.pv) {
            return PutOutcome::Done(status);
        }
        let number = match &put.value {
            PutValue::Value(value) if buffer.is_none() => Some(value),
            _ => None,
        };
        if let Some(value) = number
            && self.overseers.put_log.is_none()
            && self.overseers.put_stop.is_none()
            && self.overseers.questions.is_none()
            && !self.is_held(PvHandle(put.pv.0))
            && self.put_number(now, PvHandle(put.pv.0), value)
        {
            return PutOutcome::Done(EcaStatus::NORMAL);
        }
        match self.ask_program(put, buffer) {
            Some(outcome) => outcome,
            None => self.told_put(now, put, buffer),
        }
    }

    /// Carries out a put and tells the log of it.
    pub(crate) fn told_put(
        &mut self,
        now: Instant,
        put: &Put<'_>,
        buffer: Option<&Bytes>,
    ) -> PutOutcome {
        let stopped = self.is_stopped();
        let carry_out = |db: &mut Self| match stopped {
            true => PutOutcome::Done(EcaStatus::PUTFAIL),
            false => db.client_put(now, put, buffer),
        };
        let Some(mut log) = self.overseers.change(|all| all.put_log.take()) else {
            return carry_out(self);
        };
        let before = self.state(put.pv).into_owned();
        // Paid for before anything is written.
        let bytes = put.notify.and_then(|_| {
            let (name, field) = self.named(put.pv)?;
            let access = self.overseers.guard.as_ref().map_or(0, |_| ACCESS_BYTES);
            Some(access + begun_bytes(name, &field, put, &before))
        });
        let (charge, outcome) = match bytes.map(|bytes| put.account.hold(bytes)) {
            None => (None, carry_out(self)),
            Some(Ok(charge)) => (Some(charge), carry_out(self)),
            Some(Err(limit)) => (None, PutOutcome::Done(limit.put_status())),
        };
        let after = self.state(put.pv).into_owned();
        let stamp = self.clock.stamp(now);
        let access = self.access_of(put.pv, put.who);
        if let Some((name, field)) = self.named(put.pv) {
            let carried_out = match outcome {
                PutOutcome::Done(status) => status.is_success(),
                PutOutcome::Pending => self.has_begun(put),
            };
            let id = log.next_id();
            log.tell(&PutReport {
                id,
                now,
                stamp,
                name,
                field: &field,
                who: put.who,
                sent: Some(put.value),
                notify: put.notify.is_some(),
                before: &before,
                after: &after,
                carried_out,
                outcome,
                begun: None,
                access: access.as_deref(),
            });
            if let (PutOutcome::Pending, Some(ticket)) = (outcome, put.notify) {
                let begun = Begun {
                    id,
                    now,
                    pv: put.pv,
                    name: name.into(),
                    field: (&*field).into(),
                    who: Arc::clone(put.who),
                    sent: kept_put(Some(put.value)),
                    access,
                    states: carried_out.then(|| (kept(&before), kept(&after))),
                    _charge: charge,
                };
                log.begun.insert(ticket, begun);
            }
        }
        self.overseers.change(|all| all.put_log = Some(log));
        outcome
    }

    /// Begins a put that has waited for another one, and tells the log that it is carried out now; `Some` if
    /// it is complete at once.
    pub(crate) fn start_waiting(
        &mut self,
        now: Instant,
        handle: PvHandle,
        put: QueuedPut,
    ) -> Option<EcaStatus> {
        if self.is_stopped() {
            return Some(EcaStatus::PUTFAIL);
        }
        let Some(mut log) = self.overseers.change(|all| all.put_log.take()) else {
            return self.start(now, handle, put.ticket, put.value, &put.who);
        };
        let pv = PvId(handle.0);
        let before = kept(&self.state(pv));
        let status = self.start(now, handle, put.ticket, put.value, &put.who);
        if let Some(mut begun) = log.begun.remove(&put.ticket) {
            if status.is_none_or(EcaStatus::is_success) {
                begun.states = Some((before, kept(&self.state(pv))));
            }
            if status.is_none() {
                let at = (now, self.clock.stamp(now));
                let first = Some(begun.now);
                log.tell_later(at, &begun, &self.state(pv), PutOutcome::Pending, first);
            }
            log.begun.insert(put.ticket, begun);
        }
        self.overseers.change(|all| all.put_log = Some(log));
        status
    }

    /// Tells the log of a put that the circuit refused.
    pub(crate) fn log_refused(&mut self, now: Instant, put: &RefusedPut<'_>) {
        let Some(mut log) = self.overseers.change(|all| all.put_log.take()) else {
            return;
        };
        let stamp = self.clock.stamp(now);
        let state = self.state(put.pv);
        let access = self.access_of(put.pv, put.who);
        if let Some((name, field)) = self.named(put.pv) {
            let id = log.next_id();
            log.tell(&PutReport {
                id,
                now,
                stamp,
                name,
                field: &field,
                who: put.who,
                sent: put.value,
                notify: put.notify,
                before: &state,
                after: &state,
                carried_out: false,
                outcome: PutOutcome::Done(put.status),
                begun: None,
                access: access.as_deref(),
            });
        }
        drop(state);
        self.overseers.change(|all| all.put_log = Some(log));
    }

    /// Keeps a put that has ended with its channel, before it came here, until the time is known.
    pub(crate) fn log_dropped(&mut self, put: &RefusedPut<'_>) {
        let Some(mut log) = self.overseers.change(|all| all.put_log.take()) else {
            return;
        };
        if let Some((name, field)) = self.named(put.pv) {
            let begun = Begun {
                id: log.next_id(),
                now: Instant::ZERO,
                pv: put.pv,
                name: name.into(),
                field: (&*field).into(),
                who: Arc::clone(put.who),
                sent: kept_put(put.value),
                access: self.access_of(put.pv, put.who),
                states: None,
                // Told before anything else happens.
                _charge: None,
            };
            log.dropped.push(begun);
        }
        self.overseers.change(|all| all.put_log = Some(log));
    }

    pub(crate) fn has_dropped(&self) -> bool {
        self.overseers
            .put_log
            .as_ref()
            .is_some_and(|log| !log.dropped.is_empty())
    }

    /// Tells the log of puts that have ended with their channels.
    pub(crate) fn tell_dropped(&mut self, now: Instant) {
        if !self.has_dropped() {
            return;
        }
        let Some(mut log) = self.overseers.change(|all| all.put_log.take()) else {
            return;
        };
        let at = (now, self.clock.stamp(now));
        for put in std::mem::take(&mut log.dropped) {
            let gone = PutOutcome::Done(EcaStatus::DISCONN);
            log.tell_later(at, &put, &self.state(put.pv), gone, None);
        }
        self.overseers.change(|all| all.put_log = Some(log));
    }

    /// Tells the log of the end of a put that was pending.
    pub(crate) fn log_completed(&mut self, now: Instant, ticket: PutTicket, status: EcaStatus) {
        let Some(mut log) = self.overseers.change(|all| all.put_log.take()) else {
            return;
        };
        if let Some(put) = log.begun.remove(&ticket) {
            let at = (now, self.clock.stamp(now));
            let done = PutOutcome::Done(status);
            log.tell_later(at, &put, &self.state(put.pv), done, Some(put.now));
        }
        self.overseers.change(|all| all.put_log = Some(log));
    }

    /// The state of the field that a put writes to: all of it, though the channel may see a part.
    fn state(&self, pv: PvId) -> Cow<'_, Snapshot> {
        match self.target(pv) {
            Some((_, record, view)) if view.is_none_or(|view| view.field == Field::Val) => {
                Cow::Borrowed(&record.snapshot)
            }
            _ => self.raw_first(pv, u32::MAX),
        }
    }
}

/// A state with as much of its value as is kept.
fn kept(state: &Snapshot) -> Snapshot {
    Snapshot {
        value: kept_value(state.value.as_ref()),
        ..state.clone()
    }
}

fn kept_put(sent: Option<PutValue<'_>>) -> Option<Value> {
    match sent {
        Some(PutValue::Value(sent)) => Some(kept_value(sent)),
        _ => None,
    }
}

fn kept_value(value: ValueRef<'_>) -> Value {
    let most = KEPT_BYTES / value.native.size();
    // At most 1320.
    value.truncated(most as u32).to_value()
}
