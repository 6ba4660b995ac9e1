//! Access security in an IOC: which rules hold, what their conditions read, and who is told of changes.

use ca_proto::dbr::{DbrType, Family, NativeType, Snapshot, convert};
use ca_proto::ids::CircuitId;
use ca_proto::server::{Database as _, Identity, PvId, SubKey, Subscriber, Turn};
use ca_proto::wire::message::EventMask;
use ca_proto::{AlarmSeverity, EcaStatus, Instant};

use super::guard::{Guard, Input, PutAccess, Question, ReadyRules};
use super::rules::{Access, AccessSecurity};
use crate::db::Db;
use crate::error::PostError;
use crate::field::Field;
use crate::fields::number_of;
use crate::ioc::{Ioc, TURN};
use crate::plain::Record;
use crate::program::PvRef;
use crate::record::common;
use crate::served::{RTYP, Recheck, Served};

/// The subscriber that stands for the inputs of rules; no circuit has this number.
pub(crate) const INPUTS: CircuitId = CircuitId(u32::MAX);
/// Units of work: an input that is looked for.
const OPEN: usize = 16;
/// Units of work: an input that is read.
const READ: usize = 8;

/// Inputs of rules that hold no more, and the number by which the first of them subscribes.
pub(crate) type LeftInputs = Vec<(u32, Vec<Input>)>;

/// What a client may do with a field, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AccessReport {
    /// What it may do.
    pub access: Access,
    /// Group, level and rule.
    pub decided: PutAccess,
    /// Why it may not write: the rules that would allow it, and what is missing for each. Empty if it may.
    pub why_not: String,
}

impl Db {
    /// Asks the rules about what a channel is open on.
    pub(crate) fn ask_guard<T>(
        &self,
        pv: PvId,
        who: &Identity,
        ask: impl FnOnce(&Guard, Question<'_>) -> T,
    ) -> Option<T> {
        let guard = self.overseers.guard.as_deref()?;
        if let Some((served, key)) = self.field(pv) {
            let group = served.group_of(key.record);
            let question = Question {
                group: &group,
                level: served.level_of(key.record, key.field),
                who,
            };
            return Some(ask(guard, question));
        }
        let (_, record, view) = self.target(pv)?;
        let field = view.map_or(Field::Val, |view| view.field);
        let question = Question {
            group: record.group(),
            level: field.access_level(),
            who,
        };
        Some(ask(guard, question))
    }

    /// Notes for the log which rules refuse a write.
    pub(crate) fn note_refused(&mut self, now: Instant, pv: PvId, who: &Identity) {
        let Some(mut guard) = self.overseers.change(|all| all.guard.take()) else {
            return;
        };
        if let Some((served, key)) = self.field(pv) {
            let group = served.group_of(key.record);
            let question = Question {
                group: &group,
                level: served.level_of(key.record, key.field),
                who,
            };
            let name = served.records.name_of(key.record);
            guard.note_refused(
                now,
                name,
                served.field_name(key.record, key.field),
                question,
            );
        } else if let Some((_, record, view)) = self.target(pv) {
            let field = view.map_or(Field::Val, |view| view.field);
            let question = Question {
                group: record.group(),
                level: field.access_level(),
                who,
            };
            guard.note_refused(now, &record.name, &field.name(record.kind), question);
        }
        self.overseers.change(|all| all.guard = Some(guard));
    }

    /// The value of an input: `Some(None)` if it is invalid, `None` if it is no number at all.
    fn input_value(&self, pv: PvId) -> Option<Option<f64>> {
        let ty = DbrType::new(Family::Sts, NativeType::Double);
        let Snapshot {
            value, alarm, meta, ..
        } = &*self.read_as(pv, ty, 1);
        if alarm.severity == AlarmSeverity::INVALID {
            return Some(None);
        }
        let number = number_of(value.as_ref()).or_else(|| {
            let first = value.as_ref().truncated(1);
            let number = convert::write(first, NativeType::Double, meta).ok()?;
            number_of(number.as_ref())
        });
        number.map(Some)
    }
}

impl Record {
    /// Its access security group.
    pub(crate) fn group(&self) -> &str {
        self.extra.as_ref().map_or("", |extra| &extra.group)
    }
}

impl Served {
    /// The access security group of a record.
    pub(crate) fn group_of(&self, id: u32) -> String {
        let group = self.records.get(id, common::ASG);
        String::from_utf8_lossy(group.as_text()).into_owned()
    }

    /// The access security level of a field.
    pub(crate) fn level_of(&self, id: u32, field: u16) -> i32 {
        match field {
            // An attribute (`dbPutAttribute`).
            RTYP => 1,
            field => self.records.type_of(id).field(field).asl.into(),
        }
    }
}

impl Ioc {
    /// Lets the rules of an `.acf` file hold from now on, in place of those before: what clients may do counts at
    /// once, and they are told of what has changed, if they have very many channels by and by.
    ///
    /// The result is cut with the rights of the PV ([`set_rights`](Self::set_rights)) and those of
    /// [`IocBuilder::access_rule`](crate::IocBuilder::access_rule). A PV that the program describes belongs to the
    /// group DEFAULT unless [`PvSpec::access_group`](crate::PvSpec::access_group) says another one; a record to that
    /// of its field ASG. Conditions read PVs of this IOC; one that it does not have has no value.
    ///
    /// # Examples
    /// ```
    /// use ca_proto::access::AccessRights;
    /// use ca_server_sim::load::{InMemory, access_security};
    /// use ca_server_sim::{Instant, Ioc, PvSpec, Timestamp};
    ///
    /// let files = InMemory::from([("site.acf", r#"
    ///     ASG(DEFAULT) { INPA(beam) RULE(1, READ) RULE(1, WRITE) { CALC("A=0") } }
    /// "#)]);
    /// let (rules, mistakes) = access_security(&files, "site.acf", "");
    /// assert!(mistakes.is_empty(), "{mistakes}");
    /// let mut ioc = Ioc::builder()
    ///     .pv("beam", PvSpec::long(0))
    ///     .pv("gap", PvSpec::double(1.5))
    ///     .access_security(rules)
    ///     .build()?;
    /// ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    /// assert!(ioc.access("gap", "alice", "desk")?.expect("rules hold").why_not.is_empty());
    /// ioc.post(Instant::ZERO, "beam", 1)?;
    /// let now = ioc.access("gap", "alice", "desk")?.expect("rules hold");
    /// assert_eq!(now.why_not, "group DEFAULT, level 0: site.acf:2:45 does not count now (A = 1)");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Returns the rules before. Neither takes longer for more of them if the rules are made ready before
    /// ([`ReadyRules`]); PVs that the old ones have read are let go of by and by.
    pub fn set_access_security(
        &mut self,
        now: Instant,
        rules: impl Into<ReadyRules>,
    ) -> Option<ReadyRules> {
        let ReadyRules(mut guard) = rules.into();
        let mut before = self.db.overseers.change(|all| all.guard.take());
        self.told_inputs.clear();
        if let Some(before) = &mut before {
            let inputs = std::mem::take(&mut before.inputs);
            // Bounded by what files may have, from one reload to the next.
            guard.first = before.first.wrapping_add(inputs.len() as u32);
            self.left_inputs.push((before.first, inputs));
        }
        self.db.overseers.change(|all| all.guard = Some(guard));
        if self.is_running() {
            self.refresh_inputs(&mut Turn::new(TURN));
        }
        self.access_changed();
        self.last = now;
        self.settle(now);
        before.map(ReadyRules)
    }

    /// The rules that hold.
    pub fn access_security(&self) -> Option<&AccessSecurity> {
        Some(self.db.overseers.guard.as_deref()?.security())
    }

    /// What a client of this user and host may do with a PV or field by the rules that hold; `None` if none do. The
    /// host is a name, or an address if hosts are known by theirs. The rights of the PV itself are not looked at.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`].
    pub fn access(
        &self,
        pv: &str,
        user: &str,
        host: &str,
    ) -> Result<Option<AccessReport>, PostError> {
        let unknown = || PostError::UnknownPv { name: pv.into() };
        let address = host.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
        let who = &Identity {
            user: user.into(),
            host: host.to_ascii_lowercase().into(),
            peer: std::net::SocketAddrV4::new(address, 0),
        };
        let Some(guard) = self.db.overseers.guard.as_deref() else {
            return Ok(None);
        };
        let report = |question: Question<'_>| {
            let access = guard
                .decide(question)
                .map_or(Access::None, |rule| rule.access);
            AccessReport {
                access,
                decided: guard.of_put(question),
                why_not: match access {
                    Access::Write => String::new(),
                    _ => guard.why_not(question, Access::Write),
                },
            }
        };
        if let Some((handle, field)) = self.db.resolve(pv) {
            let record = self.db.record(handle).ok_or_else(unknown)?;
            return Ok(Some(report(Question {
                group: record.group(),
                level: field.access_level(),
                who,
            })));
        }
        let key = self.field_of(pv).ok_or_else(unknown)?;
        let served = self.db.served.as_deref().ok_or_else(unknown)?;
        Ok(Some(report(Question {
            group: &served.group_of(key.record),
            level: served.level_of(key.record, key.field),
            who,
        })))
    }

    /// Moves a PV that the program describes into another access security group; `""` is the group DEFAULT. A record
    /// of a file is moved by its field ASG.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`]; [`PostError::NotARecord`] for the name of a field.
    pub fn set_access_group<'a>(
        &mut self,
        now: Instant,
        pv: impl Into<PvRef<'a>>,
        group: &str,
    ) -> Result<(), PostError> {
        let handle = self.db.lookup_record(pv.into())?;
        if let Some(record) = self.db.record_mut(handle)
            && record.group() != group
        {
            record.extra_mut().group = group.into();
            if self.db.overseers.guard.is_some() {
                self.rights_changed(now);
            }
        }
        Ok(())
    }

    /// Has every circuit look at its channels again, by and by, and puts that wait at once.
    fn access_changed(&mut self) {
        let circuits: Vec<CircuitId> = self.circuits.keys().collect();
        for id in circuits {
            if let Some(connection) = self.circuits.get_mut(id) {
                connection.circuit.look_again();
            }
            self.note_work(id);
        }
        if let Some(served) = &mut self.db.served {
            served.recheck_all();
        }
    }

    /// PVs came or went, of which some may be inputs.
    pub(crate) fn inputs_stale(&mut self) {
        if let Some(guard) = self.db.overseers.guard_mut() {
            guard.stale = Some(0);
        }
    }

    /// Whether rules have something to do.
    pub(crate) fn has_access_work(&self) -> bool {
        let stale = |guard: &Guard| guard.stale.is_some() || !guard.lines.is_empty();
        (self.is_running() && self.db.overseers.guard.as_deref().is_some_and(stale))
            || !self.heard_inputs.is_empty()
            || !self.told_inputs.is_empty()
            || !self.left_inputs.is_empty()
            || (self.db.served.as_ref()).is_some_and(|served| served.records.has_regrouped())
    }

    /// Works out conditions whose inputs have changed, and has clients told, until the turn is over.
    pub(crate) fn settle_access(&mut self, turn: &mut Turn) {
        self.recheck_puts(turn);
        let served = self.db.served.as_mut();
        let regrouped = served.is_some_and(|served| served.records.take_regrouped());
        if regrouped && self.db.overseers.guard.is_some() {
            self.access_changed();
        }
        if self.db.overseers.guard.is_some() {
            self.refresh_inputs(turn);
            self.take_access_lines();
        }
    }

    fn take_access_lines(&mut self) {
        while let Some(line) = self
            .db
            .overseers
            .guard_mut()
            .and_then(|guard| guard.lines.pop_front())
        {
            self.limits.tell(line);
        }
    }

    fn refresh_inputs(&mut self, turn: &mut Turn) {
        self.note_heard();
        self.leave_inputs(turn);
        if self.is_running() {
            self.connect_inputs(turn);
        }
        let mut changed = false;
        while !turn.is_over()
            && let Some(at) = self.told_inputs.pop()
        {
            turn.spend(READ);
            let Some(mut guard) = self.db.overseers.change(|all| all.guard.take()) else {
                break;
            };
            if let Some(input) = guard.inputs.get_mut(at as usize) {
                input.told = false;
                let value = match input.pv {
                    Some(pv) => self.db.input_value(pv),
                    None => Some(None),
                };
                if let Some(value) = value {
                    let (differs, units) = guard.set_input(at as usize, value);
                    changed |= differs;
                    turn.spend(units);
                }
            }
            self.db.overseers.change(|all| all.guard = Some(guard));
        }
        if changed {
            self.access_changed();
        }
    }

    /// Subscribes to the inputs whose PVs are there, and leaves those whose are not.
    fn connect_inputs(&mut self, turn: &mut Turn) {
        let Some(mut guard) = self.db.overseers.change(|all| all.guard.take()) else {
            return;
        };
        while let Some(at) = guard.stale
            && !turn.is_over()
        {
            turn.spend(1);
            let Some(input) = guard.inputs.get_mut(at) else {
                guard.stale = None;
                self.tell_missing(&mut guard);
                break;
            };
            guard.stale = Some(at + 1);
            // Bounded by what a file may have.
            let number = at as u32;
            let key = guard.first.wrapping_add(number);
            if let Some(pv) = input.pv {
                if !self.db.is_gone(pv) {
                    continue;
                }
                self.db.unsubscribe(pv, subscriber(key));
                self.db.close(pv);
                input.pv = None;
                note(&mut self.told_inputs, number, &mut input.told);
            }
            turn.spend(OPEN);
            if let Some(pv) = self.db.open(input.name.as_bytes()) {
                let mask = EventMask::VALUE | EventMask::ALARM;
                self.db.subscribe(pv, subscriber(key), mask);
                input.pv = Some(pv);
                note(&mut self.told_inputs, number, &mut input.told);
            }
        }
        self.db.overseers.change(|all| all.guard = Some(guard));
    }

    /// Says once which inputs this IOC does not have.
    fn tell_missing(&mut self, guard: &mut Guard) {
        let mut missing = guard.inputs.iter().filter(|input| input.pv.is_none());
        let Some(first) = missing.next() else {
            return;
        };
        if !std::mem::replace(&mut guard.told_missing, true) {
            let others = match missing.count() {
                0 => String::new(),
                others => format!(", nor {others} others that rules read"),
            };
            self.limits.tell(format!(
                "access security: there is no PV {} here{others}; conditions with it do not count",
                first.name
            ));
        }
    }

    /// Lets go of what rules have read that hold no more, until the turn is over.
    fn leave_inputs(&mut self, turn: &mut Turn) {
        while !turn.is_over()
            && let Some((first, inputs)) = self.left_inputs.last_mut()
        {
            turn.spend(1);
            let Some(input) = inputs.pop() else {
                self.left_inputs.pop();
                continue;
            };
            if let Some(pv) = input.pv {
                turn.spend(OPEN);
                let number = first.wrapping_add(inputs.len() as u32);
                self.db.unsubscribe(pv, subscriber(number));
                self.db.close(pv);
            }
        }
    }

    /// Inputs that were posted are to be read.
    fn note_heard(&mut self) {
        if self.heard_inputs.is_empty() {
            return;
        }
        let mut heard = std::mem::take(&mut self.heard_inputs);
        if let Some(guard) = self.db.overseers.guard_mut() {
            for at in &heard {
                let at = at.wrapping_sub(guard.first);
                if let Some(input) = guard.inputs.get_mut(at as usize) {
                    note(&mut self.told_inputs, at, &mut input.told);
                }
            }
        }
        heard.clear();
        self.heard_inputs = heard;
    }

    /// Asks again for the rights of puts to records that wait; whether that is done.
    pub(crate) fn recheck_puts(&mut self, turn: &mut Turn) -> bool {
        loop {
            let next = self.db.served.as_mut().map(|served| served.next_recheck());
            let (ticket, pv, who) = match next {
                None | Some(Recheck::Done) => return true,
                Some(Recheck::Other) if turn.is_over() => return false,
                Some(Recheck::Other) => {
                    turn.spend(1);
                    continue;
                }
                Some(Recheck::Waits(ticket, pv, who)) => (ticket, pv, who),
            };
            turn.spend(READ);
            if !self.db.rights(pv, &who).can_write()
                && let Some(served) = &mut self.db.served
            {
                served.give_up(ticket);
                self.db.completed.push_back((ticket, EcaStatus::NOWTACCESS));
            }
            if turn.is_over() {
                return false;
            }
        }
    }
}

/// Notes an input once.
fn note(told: &mut Vec<u32>, at: u32, is_told: &mut bool) {
    if !std::mem::replace(is_told, true) {
        told.push(at);
    }
}

const fn subscriber(at: u32) -> Subscriber {
    Subscriber {
        circuit: INPUTS,
        key: SubKey(at),
    }
}
