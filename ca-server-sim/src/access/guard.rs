//! The rules that hold in an IOC, with what their conditions are at present.
//!
//! A decision is made once for each kind of question: who asks, of which group and level. Conditions are worked out
//! when one of their inputs changes, not when somebody asks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use ca_proto::access::AccessRights;
use ca_proto::server::{Identity, PvId};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::refusal::Pace;
use super::rules::{Access, AccessSecurity, Client, DEFAULT_GROUP, Group, Inputs, Rule};
use crate::calc::Expression;
use crate::load::Located;

/// Decisions that are kept; when there are more, all are forgotten.
const MAX_DECISIONS: usize = 4096;

/// A group in use.
#[derive(Debug)]
struct Held {
    name: Box<str>,
    inputs: Inputs,
    /// Inputs that the group names: bit 0 for `A`.
    named: u32,
    /// For each rule whether it counts.
    counts: Vec<bool>,
}

/// A PV that conditions of a group use.
#[derive(Debug)]
pub(crate) struct Input {
    /// The group's number.
    group: u32,
    letter: u8,
    pub name: Box<str>,
    /// What it is open on.
    pub pv: Option<PvId>,
    /// It waits in the list of those that have changed.
    pub told: bool,
}

impl Held {
    /// Which rules count. The reference works out a condition when one of its inputs has changed, so that one whose
    /// inputs the group does not name never counts.
    fn count(&mut self, rules: &[Rule]) {
        let counts = rules.iter().map(|rule| {
            let reads = rule.condition.as_ref().map(Expression::reads);
            rule.counts(&self.inputs) && reads.is_none_or(|reads| reads & self.named != 0)
        });
        self.counts = counts.collect();
    }
}

#[derive(Debug)]
struct Decided {
    group: u32,
    level: i32,
    user: Box<[u8]>,
    host: Box<[u8]>,
    /// The number of the rule that decides.
    rule: Option<u32>,
}

/// A group for people: its name, inputs by letter with name and value, rules with whether they count.
pub(crate) type Shown<'a> = (
    &'a str,
    Vec<(u8, &'a str, Option<f64>)>,
    Vec<(&'a Rule, bool)>,
);

/// Rules of an `.acf` file made ready for an IOC, for [`Ioc::set_access_security`](crate::Ioc::set_access_security).
/// Making them takes time that grows with the file: where an IOC is behind a lock, it is done before that is taken, and
/// what comes back of the rules before is dropped behind it.
///
/// ```
/// use ca_server_sim::access::ReadyRules;
/// use ca_server_sim::access::rules::AccessSecurity;
/// use ca_server_sim::{Instant, Ioc};
///
/// let mut ioc = Ioc::builder().build()?;
/// let rules = ReadyRules::from(AccessSecurity::default()); // takes as long as it takes
/// let before = ioc.set_access_security(Instant::ZERO, rules); // takes no longer for more rules
/// assert!(before.is_none());
/// # Ok::<(), ca_server_sim::BuildError>(())
/// ```
#[derive(Debug)]
pub struct ReadyRules(pub(crate) Box<Guard>);

impl From<Arc<AccessSecurity>> for ReadyRules {
    fn from(rules: Arc<AccessSecurity>) -> Self {
        Self(Box::new(Guard::new(rules)))
    }
}

impl From<AccessSecurity> for ReadyRules {
    fn from(rules: AccessSecurity) -> Self {
        Self::from(Arc::new(rules))
    }
}

/// Access security in use.
#[derive(Debug)]
pub(crate) struct Guard {
    security: Arc<AccessSecurity>,
    /// The number by which the first of its inputs subscribes: those of the rules before have others.
    pub first: u32,
    groups: Vec<Held>,
    /// Numbers of groups.
    numbers: HashMap<Box<str>, u32>,
    pub inputs: Vec<Input>,
    decided: RefCell<HashTable<Decided>>,
    hasher: DefaultHashBuilder,
    /// PVs came or went: inputs from this one on are to be looked for.
    pub stale: Option<usize>,
    /// It was told which inputs there are not.
    pub told_missing: bool,
    /// Log lines about refused writes.
    pub lines: VecDeque<String>,
    pub pace: Pace,
}

/// What access security says of a put.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PutAccess {
    /// The group that the PV belongs to.
    pub group: Box<str>,
    /// The access security level of the field, 0 or 1.
    pub level: i32,
    /// Whether the rule that decides asks for writes to be told (`TRAPWRITE`).
    pub traps_writes: bool,
    /// Where the rule is that decides what the client may do; none if no rule allows it anything.
    pub rule: Option<Located>,
}

/// A question to the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub group: &'a str,
    pub level: i32,
    pub who: &'a Identity,
}

impl Guard {
    pub(crate) fn new(security: Arc<AccessSecurity>) -> Self {
        let mut guard = Self {
            first: 0,
            groups: Vec::new(),
            numbers: HashMap::new(),
            inputs: Vec::new(),
            decided: RefCell::default(),
            hasher: DefaultHashBuilder::default(),
            stale: Some(0),
            told_missing: false,
            lines: VecDeque::new(),
            pace: Pace::default(),
            security,
        };
        // In the order of their names, so that what happens does not depend on that of a table.
        let mut groups: Vec<(&str, &Group)> = guard.security.groups().collect();
        groups.sort_unstable_by_key(|&(name, _)| name);
        for (number, (name, group)) in (0..).zip(groups) {
            let mut inputs = Inputs::default();
            for (letter, pv) in &group.inputs {
                inputs.bad |= 1 << letter;
                guard.inputs.push(Input {
                    group: number,
                    letter: *letter,
                    name: pv.clone(),
                    pv: None,
                    told: false,
                });
            }
            guard.numbers.insert(name.into(), number);
            let mut held = Held {
                name: name.into(),
                named: inputs.bad,
                counts: Vec::new(),
                inputs,
            };
            held.count(&group.rules);
            guard.groups.push(held);
        }
        guard
    }

    pub(crate) fn security(&self) -> &AccessSecurity {
        &self.security
    }

    /// The groups by name: their inputs with values, none for what has no value, and their rules, with whether
    /// each counts.
    pub(crate) fn shown(&self) -> impl Iterator<Item = Shown<'_>> {
        let all = self.groups.iter().enumerate();
        all.filter_map(|(number, held)| {
            let group = self.security.group(&held.name)?;
            let inputs = self
                .inputs
                .iter()
                .filter(move |input| input.group as usize == number);
            let inputs = inputs.map(|input| {
                let bad = held.inputs.bad & (1 << input.letter) != 0;
                let value = held.inputs.values.get(usize::from(input.letter)).copied();
                (input.letter, &*input.name, value.filter(|_| !bad))
            });
            let rules = group.rules.iter().zip(held.counts.iter().copied());
            Some((&*held.name, inputs.collect(), rules.collect()))
        })
    }

    /// The number of a group; that of the default one for a name that no file has.
    fn number(&self, name: &str) -> Option<u32> {
        let of = |name: &str| self.numbers.get(name).copied();
        of(name).or_else(|| of(DEFAULT_GROUP))
    }

    fn held(&self, number: u32) -> Option<(&Held, &Group)> {
        let held = self.groups.get(number as usize)?;
        Some((held, self.security.group(&held.name)?))
    }

    /// The name by which a client's host is known.
    pub(crate) fn host(&self, who: &Identity) -> Vec<u8> {
        match self.security.is_by_address() {
            true => who.peer.ip().to_string().into_bytes(),
            false => who.host.clone(),
        }
    }

    /// The rule that decides.
    pub(crate) fn decide(&self, question: Question<'_>) -> Option<&Rule> {
        let number = self.number(question.group)?;
        let (held, group) = self.held(number)?;
        let host = self.host(question.who);
        let user = &*question.who.user;
        let hash = self.hasher.hash_one((number, question.level, user, &*host));
        let is_it = |known: &Decided| {
            (known.group, known.level) == (number, question.level)
                && *known.user == *user
                && *known.host == *host
        };
        let mut decided = self.decided.borrow_mut();
        let rule = match decided.find(hash, is_it) {
            Some(known) => known.rule,
            None => {
                let client = Client {
                    user: &String::from_utf8_lossy(user),
                    host: &String::from_utf8_lossy(&host),
                };
                let counts = |at, _: &Rule| held.counts.get(at).copied().unwrap_or(false);
                let rule = self
                    .security
                    .decide_in(group, question.level, client, counts);
                let rule = rule.map(|at| at as u32);
                if decided.len() >= MAX_DECISIONS {
                    decided.clear();
                }
                let hash_of =
                    |d: &Decided| self.hasher.hash_one((d.group, d.level, &*d.user, &*d.host));
                let new = Decided {
                    group: number,
                    level: question.level,
                    user: user.into(),
                    host: host.into(),
                    rule,
                };
                decided.insert_unique(hash, new, hash_of);
                rule
            }
        };
        group.rules.get(rule? as usize)
    }

    pub(crate) fn rights(&self, question: Question<'_>) -> AccessRights {
        match self
            .decide(question)
            .map_or(Access::None, |rule| rule.access)
        {
            Access::None => AccessRights::NONE,
            Access::Read => AccessRights::READ,
            Access::Write => AccessRights::ALL,
        }
    }

    /// What there is to say of a put.
    pub(crate) fn of_put(&self, question: Question<'_>) -> PutAccess {
        let rule = self.decide(question);
        PutAccess {
            group: self.group_name(question.group).into(),
            level: question.level,
            traps_writes: rule.is_some_and(|rule| rule.traps_writes),
            rule: rule.map(|rule| rule.place.clone()),
        }
    }

    /// The name of the group that stands for a name.
    pub(crate) fn group_name<'a>(&self, name: &'a str) -> &'a str {
        match self.numbers.contains_key(name) {
            true => name,
            false => DEFAULT_GROUP,
        }
    }

    /// The rules of a group with whether they count, and its inputs.
    pub(crate) fn rules(
        &self,
        name: &str,
    ) -> Option<(impl Iterator<Item = (&Rule, bool)>, &Inputs)> {
        let (held, group) = self.held(self.number(name)?)?;
        let rules = group.rules.iter().zip(held.counts.iter().copied());
        Some((rules, &held.inputs))
    }

    /// An input has this value, or none; `None` leaves the value that it had. Returns whether a rule counts that did
    /// not, or the other way round, and the units of work.
    pub(crate) fn set_input(&mut self, at: usize, value: Option<f64>) -> (bool, usize) {
        let Some(input) = self.inputs.get(at) else {
            return (false, 1);
        };
        let Some(held) = self.groups.get_mut(input.group as usize) else {
            return (false, 1);
        };
        let bit = 1 << input.letter;
        let before = held.inputs.clone();
        match value {
            Some(value) => {
                held.inputs.bad &= !bit;
                held.inputs.values[usize::from(input.letter)] = value;
            }
            None => held.inputs.bad |= bit,
        }
        let same = |a: &Inputs, b: &Inputs| {
            let bits = |all: &Inputs| all.values.map(f64::to_bits);
            a.bad == b.bad && bits(a) == bits(b)
        };
        let Some(group) = self.security.group(&held.name) else {
            return (false, 1);
        };
        if same(&before, &held.inputs) {
            return (false, 1);
        }
        let counted = std::mem::take(&mut held.counts);
        held.count(&group.rules);
        let units = 1 + 2 * counted.len();
        let changed = counted != held.counts;
        if changed {
            self.decided.borrow_mut().clear();
        }
        (changed, units)
    }
}
