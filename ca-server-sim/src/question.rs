//! Puts that the program decides: they wait until it has answered, without holding anybody else up.
//!
//! A hook ([`PvSpec::on_put`](crate::PvSpec::on_put)) decides at once, while the IOC is locked. A question is handed
//! to the program, which may take its time, use the IOC and the network, and answers from any thread. A put with
//! completion is complete after the answer; one without makes its circuit wait with what follows, as it would have
//! waited for the put, at most for [`HOLD`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ca_proto::dbr::Value;
use ca_proto::dbr::convert::{self, PutValue};
use ca_proto::ids::CircuitId;
use ca_proto::server::{Account, Charge, Identity, Put, PutId, PutOutcome, PutTicket, PvId, Turn};
use ca_proto::{EcaStatus, Instant};

use crate::builder::IocBuilder;
use crate::db::{Db, PvHandle};
use crate::error::PostError;
use crate::field::Field;
use crate::ioc::Ioc;
use crate::process::Post;
use crate::program::PvRef;
use crate::record::Val;
use crate::served::{FieldKey, Served, to_value};

/// How long a circuit waits for the answer to a put without completion before it goes on with what its client
/// sent after it.
pub const HOLD: Duration = Duration::from_secs(1);

/// What a question takes beside its value.
const QUESTION: usize = 256;

/// Names a question to the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QuestionId(pub u64);

/// A put of a client that waits for the program.
#[derive(Clone, Debug)]
pub struct PutQuestion {
    /// To answer it.
    pub id: QuestionId,
    /// The PV or record.
    pub name: String,
    /// Its field, `VAL` for the value.
    pub field: String,
    /// The new value, in the type of the field.
    pub value: Value,
    /// Who writes.
    pub who: Arc<Identity>,
    /// Whether the client waits for completion.
    pub notify: bool,
}

/// What the program makes of a put.
#[derive(Clone, PartialEq, Debug)]
pub enum PutAnswer {
    /// It is carried out.
    Accept,
    /// It is carried out with this value.
    Replace(Value),
    /// It is complete, and nothing is written: the program has done what there is to do.
    Done,
    /// Nothing is written, and a client that waits for completion gets this status.
    Reject(EcaStatus),
}

type Function = Box<dyn FnMut(PutQuestion) + Send>;

/// A put that waits.
struct Open {
    /// What its channel is open on.
    pv: PvId,
    target: Target,
    /// As the client sent it, or converted by the circuit.
    value: Value,
    who: Arc<Identity>,
    account: Arc<Account>,
    notify: Option<PutTicket>,
    /// The circuit that waits with what follows.
    circuit: Option<CircuitId>,
    _charge: Charge,
}

#[derive(Clone, Copy)]
enum Target {
    Plain(PvHandle),
    Record(FieldKey),
}

/// All questions of an IOC.
pub(crate) struct Questions {
    tell: Function,
    pvs: BTreeSet<PvHandle>,
    /// Record and field.
    fields: BTreeSet<(u32, u16)>,
    open: BTreeMap<u64, Open>,
    /// Those about fields of records, by record.
    of_records: BTreeSet<(u32, u64)>,
    tickets: BTreeMap<PutTicket, u64>,
    last: u64,
    /// A put without completion is being asked about: its circuit is to wait.
    asked: Option<u64>,
}

impl Questions {
    fn open(&mut self, id: u64, open: Open) {
        if let Target::Record(key) = open.target {
            self.of_records.insert((key.record, id));
        }
        self.open.insert(id, open);
    }

    fn close(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        if let Target::Record(key) = open.target {
            self.of_records.remove(&(key.record, id));
        }
        Some(open)
    }
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions")
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

impl IocBuilder {
    /// Hands puts of clients to the program before they are carried out: those to the PVs and fields that
    /// [`Ioc::ask`] names. `tell` runs while the IOC is locked, so it hands the question on; the program answers
    /// with [`Ioc::answer`] when it likes.
    ///
    /// What waits is paid for by the client, within its limits. A question whose client has gone away needs no
    /// answer.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, PutAnswer, PvSpec};
    /// use std::sync::mpsc::channel;
    ///
    /// let (send, questions) = channel();
    /// let mut ioc = Ioc::builder()
    ///     .pv("gap", PvSpec::double(1.5))
    ///     .questions(move |question| drop(send.send(question)))
    ///     .build()?;
    /// ioc.ask("gap", true)?;
    /// // In a thread of the program, with the IOC behind its lock:
    /// while let Ok(question) = questions.try_recv() {
    ///     ioc.answer(ca_server_sim::Instant::ZERO, question.id, PutAnswer::Accept);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn questions(mut self, tell: impl FnMut(PutQuestion) + Send + 'static) -> Self {
        let questions = Box::new(Questions {
            tell: Box::new(tell),
            pvs: BTreeSet::new(),
            fields: BTreeSet::new(),
            open: BTreeMap::new(),
            of_records: BTreeSet::new(),
            tickets: BTreeMap::new(),
            last: 0,
            asked: None,
        });
        self.ioc
            .db
            .overseers
            .change(|all| all.questions = Some(questions));
        self
    }
}

/// A value that a record has posted: written by a client or by the program, or come about by processing.
#[derive(Clone, PartialEq, Debug)]
pub struct Observed {
    /// The record.
    pub record: String,
    /// Its value.
    pub value: Value,
}

impl IocBuilder {
    /// Tells the program of values of records that [`Ioc::observe`] names, whoever writes them. `tell` runs while
    /// the IOC is locked, so it hands them on.
    #[must_use]
    pub fn observer(mut self, tell: impl FnMut(Observed) + Send + 'static) -> Self {
        self.ioc.observer = Some(Observer(Box::new(tell)));
        self
    }
}

/// The program's function that is told of values.
pub(crate) struct Observer(Box<dyn FnMut(Observed) + Send>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Observer {
    pub(crate) fn tell(&mut self, served: &Served, post: &Post) {
        let of = served.records.type_of(post.record);
        let Some(field) = of.value.filter(|&value| value == post.field) else {
            return;
        };
        let val = match post.val == Val::None {
            true => served.records.get(post.record, field),
            false => post.val.clone(),
        };
        (self.0)(Observed {
            record: served.records.name_of(post.record).to_owned(),
            value: to_value(&val, usize::MAX),
        });
    }
}

impl Ioc {
    /// As [`IocBuilder::observer`], of an IOC that is made already; the function before it is told no more.
    pub fn set_observer(&mut self, tell: impl FnMut(Observed) + Send + 'static) {
        self.observer = Some(Observer(Box::new(tell)));
    }

    /// Whether the program is told ([`IocBuilder::observer`]) of values that a record posts, as a monitor of its
    /// value would be.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`] for what is no record of a file.
    pub fn observe(&mut self, record: &str, observed: bool) -> Result<(), PostError> {
        let unknown = || PostError::UnknownPv {
            name: record.to_owned(),
        };
        let id = self.field_of(record).ok_or_else(unknown)?.record;
        let Some(served) = &mut self.db.served else {
            return Err(unknown());
        };
        if observed {
            served.observed.insert(id);
            served.records.set_watched(id, true);
        } else {
            served.observed.remove(&id);
            let watched = served.watched.keys().any(|key| key.record == id);
            served.records.set_watched(id, watched);
        }
        Ok(())
    }

    /// Whether the program is asked before a put to this PV, record or field of a record is carried out. Nothing
    /// is asked of an IOC without [`IocBuilder::questions`].
    ///
    /// # Errors
    /// [`PostError::UnknownPv`]; [`PostError::NotARecord`] for the field of a PV that is no record of a file.
    pub fn ask<'a>(&mut self, pv: impl Into<PvRef<'a>>, asked: bool) -> Result<(), PostError> {
        let pv = pv.into();
        let target = match self.record_named(pv) {
            Some((key, _)) => Target::Record(key),
            None => Target::Plain(self.db.lookup_record(pv)?),
        };
        if let Some(questions) = self.db.overseers.questions_mut() {
            match (target, asked) {
                (Target::Plain(pv), true) => questions.pvs.insert(pv),
                (Target::Plain(pv), false) => questions.pvs.remove(&pv),
                (Target::Record(key), true) => questions.fields.insert((key.record, key.field)),
                (Target::Record(key), false) => questions.fields.remove(&(key.record, key.field)),
            };
        }
        Ok(())
    }

    /// Answers a question; false if nobody waits for the answer any more.
    pub fn answer(&mut self, now: Instant, id: QuestionId, answer: PutAnswer) -> bool {
        let open = (self.db.overseers.questions_mut()).and_then(|all| all.close(id.0));
        let Some(open) = open else {
            return false;
        };
        if let (Some(ticket), Some(questions)) = (open.notify, self.db.overseers.questions_mut()) {
            questions.tickets.remove(&ticket);
        }
        // A chain of records that is under way comes first.
        self.settle(now);
        let outcome = match answer {
            PutAnswer::Done => PutOutcome::Done(EcaStatus::NORMAL),
            PutAnswer::Reject(status) => PutOutcome::Done(status),
            PutAnswer::Accept => self.db.carry_out(now, &open, None),
            PutAnswer::Replace(value) => self.db.carry_out(now, &open, Some(value)),
        };
        if let (Some(ticket), PutOutcome::Done(status)) = (open.notify, outcome) {
            self.db.completed.push_back((ticket, status));
        }
        self.settle(now);
        if let Some(circuit) = open.circuit {
            self.release(circuit);
        }
        true
    }

    /// Records are to be removed: puts to them are not carried out, whatever the program will answer.
    pub(crate) fn forget_asked(&mut self, now: Instant, records: &[u32]) {
        let Some(questions) = self.db.overseers.questions_mut() else {
            return;
        };
        let mut ids: Vec<u64> = Vec::new();
        for &record in records {
            let asked = questions.fields.range((record, 0)..=(record, u16::MAX));
            let asked: Vec<(u32, u16)> = asked.copied().collect();
            for field in asked {
                questions.fields.remove(&field);
            }
            let open = questions.of_records.range((record, 0)..=(record, u64::MAX));
            ids.extend(open.map(|&(_, id)| id));
        }
        // As they were asked.
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            self.answer(now, QuestionId(id), PutAnswer::Reject(EcaStatus::DISCONN));
        }
    }

    /// Questions that wait for an answer.
    pub fn open_questions(&self) -> usize {
        let questions = self.db.overseers.questions.as_ref();
        questions.map_or(0, |questions| questions.open.len())
    }

    /// A put without completion of this circuit was asked about: it waits with what follows.
    pub(crate) fn hold_back(&mut self, now: Instant, circuit: CircuitId) {
        let Some(questions) = self.db.overseers.questions_mut() else {
            return;
        };
        let Some(open) = (questions.asked.take()).and_then(|id| questions.open.get_mut(&id)) else {
            return;
        };
        let until = now + HOLD;
        if let Some(connection) = self.circuits.get_mut(circuit) {
            open.circuit = Some(circuit);
            connection.held = Some(until);
            self.held.insert((until, circuit));
        }
    }

    pub(crate) fn release(&mut self, circuit: CircuitId) {
        let Some(connection) = self.circuits.get_mut(circuit) else {
            return;
        };
        let Some(until) = connection.held.take() else {
            return;
        };
        let reads = connection.reads.take();
        self.held.remove(&(until, circuit));
        // Its driver hands in what it has kept.
        if !connection.woken {
            connection.woken = true;
            self.woken.push_back(circuit);
        }
        if let Some(source) = reads {
            self.db.forget_reader(source, circuit);
        }
    }

    /// Circuits that have waited long enough go on.
    pub(crate) fn release_held(&mut self, now: Instant) {
        while let Some(&(until, circuit)) = self.held.first()
            && until <= now
        {
            self.held.pop_first();
            self.release(circuit);
        }
    }
}

impl Db {
    /// A circuit is to wait for the answer to what it has just written.
    pub(crate) fn is_asking(&self) -> bool {
        self.overseers.any()
            && (self.overseers.questions.as_ref())
                .is_some_and(|questions| questions.asked.is_some())
    }

    fn asked_target(&self, pv: PvId) -> Option<Target> {
        let questions = self.overseers.questions.as_ref()?;
        if let Some((_, key)) = self.field(pv) {
            let asked = questions.fields.contains(&(key.record, key.field));
            return asked.then_some(Target::Record(key));
        }
        if questions.pvs.is_empty() {
            return None;
        }
        let (handle, _, view) = self.target(pv)?;
        let whole = view.is_none_or(|view| view.field == Field::Val);
        (whole && questions.pvs.contains(&handle)).then_some(Target::Plain(handle))
    }

    /// Asks the program about a put, if it wants to be asked.
    pub(crate) fn ask_program(
        &mut self,
        put: &Put<'_>,
        buffer: Option<&Bytes>,
    ) -> Option<PutOutcome> {
        let target = self.asked_target(put.pv)?;
        let PutValue::Value(value) = put.value else {
            return None;
        };
        let failed = Some(PutOutcome::Done(EcaStatus::PUTFAIL));
        let told = match target {
            Target::Plain(handle) => self.told_plain(handle, put, buffer)?,
            Target::Record(key) => {
                let given = put.converted.map_or(value, Value::as_ref);
                self.served.as_ref()?.told(key, given).ok()
            }
        };
        let Some(told) = told else { return failed };
        let kept = match (target, put.converted) {
            // Of a plain PV all that matters is in the converted value.
            (Target::Plain(_), _) => told.clone(),
            (Target::Record(_), Some(converted)) => converted.clone(),
            (Target::Record(_), None) => value.to_value(),
        };
        let bytes = QUESTION + told.as_ref().data.len() + kept.as_ref().data.len();
        let charge = match put.account.hold(bytes) {
            Ok(charge) => charge,
            Err(limit) => return Some(PutOutcome::Done(limit.put_status())),
        };
        let (name, field) = match target {
            Target::Plain(handle) => (self.record(handle)?.name.to_string(), "VAL".to_owned()),
            Target::Record(key) => {
                let served = self.served.as_ref()?;
                let name = served.records.name_of(key.record).to_owned();
                (name, served.field_name(key.record, key.field).to_owned())
            }
        };
        let questions = self.overseers.questions_mut()?;
        questions.last += 1;
        let id = questions.last;
        questions.open(
            id,
            Open {
                pv: put.pv,
                target,
                value: kept,
                who: Arc::clone(put.who),
                account: Arc::clone(put.account),
                notify: put.notify,
                circuit: None,
                _charge: charge,
            },
        );
        match put.notify {
            Some(ticket) => drop(questions.tickets.insert(ticket, id)),
            None => questions.asked = Some(id),
        }
        (questions.tell)(PutQuestion {
            id: QuestionId(id),
            name,
            field,
            value: told,
            who: Arc::clone(put.who),
            notify: put.notify.is_some(),
        });
        Some(match put.notify {
            Some(_) => PutOutcome::Pending,
            None => PutOutcome::Done(EcaStatus::NORMAL),
        })
    }

    /// The value in the type of a plain PV; an inner `None` if it does not fit, an outer one if there is nothing
    /// to be asked about.
    fn told_plain(
        &self,
        handle: PvHandle,
        put: &Put<'_>,
        buffer: Option<&Bytes>,
    ) -> Option<Option<Value>> {
        let record = self.record(handle)?;
        let PutValue::Value(value) = put.value else {
            return None;
        };
        if value.count == 0 && !record.is_array() {
            return None;
        }
        if let Some(converted) = put.converted {
            return Some(Some(converted.clone()));
        }
        let long = (self.target(put.pv)).is_some_and(|(.., view)| {
            view.is_some_and(|view| view.modifiers.long)
                && value.native == ca_proto::dbr::NativeType::Char
        });
        Some(match long {
            true => crate::fields::string_of(value, &record.snapshot.meta).ok(),
            false => record.convert(value, buffer).ok(),
        })
    }

    fn carry_out(&mut self, now: Instant, open: &Open, other: Option<Value>) -> PutOutcome {
        let failed = PutOutcome::Done(EcaStatus::PUTFAIL);
        let value = match (other, open.target) {
            (None, _) => open.value.clone(),
            (Some(other), Target::Record(_)) => other,
            (Some(other), Target::Plain(handle)) => {
                let Some(record) = self.record(handle) else {
                    return failed;
                };
                let (native, meta) = (record.native(), &record.snapshot.meta);
                let other = other.as_ref().truncated(record.capacity);
                match convert::write(other, native, meta) {
                    Ok(value) => value,
                    Err(_) => return failed,
                }
            }
        };
        let mut put = Put {
            pv: open.pv,
            value: PutValue::Value(value.as_ref()),
            converted: None,
            who: &open.who,
            account: &open.account,
            notify: open.notify,
        };
        match open.target {
            Target::Plain(handle) => {
                put.pv = PvId(handle.0);
                put.converted = Some(&value);
                self.told_put(now, &put, None)
            }
            Target::Record(key) => match self.field(open.pv) {
                Some((_, open)) if open == key => self.told_put(now, &put, None),
                // Its channel was closed meanwhile.
                _ => self.field_put(now, key, &put),
            },
        }
    }

    /// The channel of a put is gone: it is not carried out if it still waits for the program.
    pub(crate) fn withdraw_question(&mut self, ticket: PutTicket) {
        let Some(questions) = self.overseers.questions_mut() else {
            return;
        };
        if let Some(id) = questions.tickets.remove(&ticket) {
            questions.close(id);
            self.completed.push_back((ticket, EcaStatus::DISCONN));
        }
    }

    /// Gives up the puts with completion of a circuit that is gone. False if the turn is over before that is done.
    pub(crate) fn forget_questions(&mut self, circuit: CircuitId, turn: &mut Turn) -> bool {
        let Some(questions) = self.overseers.questions_mut() else {
            return true;
        };
        let first = PutTicket {
            circuit,
            id: PutId(0),
        };
        while let Some((&ticket, &id)) = questions.tickets.range(first..).next()
            && ticket.circuit == circuit
        {
            if turn.is_over() {
                return false;
            }
            turn.spend(16);
            questions.tickets.remove(&ticket);
            questions.close(id);
        }
        true
    }
}
