//! The rules at work: which are on, how often they matched, what they decide.

use std::time::Duration;

use ca_proto::rng::Pcg32;

use crate::rule::{Action, Direction, Rule, Sight, Trigger};

/// A rule and its state.
#[derive(Debug)]
struct State {
    rule: Rule,
    /// Names the rule for as long as it exists; not used again for another.
    key: usize,
    on: bool,
    /// Each rule has random numbers of its own: what one decides does not depend on what others
    /// saw.
    rng: Pcg32,
    /// Matches and faults since the rule was switched on; `after` and `times` count these.
    armed: Counts,
    total: Counts,
}

/// How often a rule matched and how often it did harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Messages or events that the rule is about.
    pub(crate) matched: u64,
    /// Those that were harmed.
    pub(crate) applied: u64,
}

/// Every rule, those of the script first.
#[derive(Debug)]
pub(crate) struct Rules {
    list: Vec<State>,
    /// Key of the next rule.
    next: usize,
    seed: u64,
}

/// A fault that is to happen, with the rule behind it.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// Its key.
    pub(super) rule: usize,
    pub(super) action: Action,
    /// Whether the rule is about every message, so that a delay is one of the line.
    pub(super) whole_line: bool,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>, seed: u64) -> Self {
        let (list, next) = (Vec::with_capacity(rules.len()), 0);
        let mut all = Self { list, next, seed };
        for rule in rules {
            let on = rule.enabled;
            let mut state = all.state(rule);
            state.on = on;
            all.list.push(state);
        }
        all
    }

    /// A rule that is off, with a key and random numbers of its own.
    fn state(&mut self, rule: Rule) -> State {
        let key = self.next;
        self.next += 1;
        State {
            rule,
            key,
            on: false,
            rng: Pcg32::new(self.seed ^ (key as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            armed: Counts::default(),
            total: Counts::default(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.list.iter().any(|state| state.rule.id == id)
    }

    /// Adds a rule at the end, switched off. Its id is not in use.
    pub(super) fn add(&mut self, rule: Rule) {
        let state = self.state(rule);
        self.list.push(state);
    }

    /// Puts a rule, switched off, in the place of the one with this id.
    pub(super) fn replace(&mut self, id: &str, rule: Rule) {
        let new = self.state(rule);
        if let Some(old) = self.list.iter_mut().find(|state| state.rule.id == id) {
            *old = new;
        }
    }

    /// Forgets the rules with this id, or all.
    pub(super) fn remove(&mut self, id: &str) {
        self.list.retain(|state| id != "all" && state.rule.id != id);
    }

    fn get(&self, key: usize) -> Option<&State> {
        self.list.iter().find(|state| state.key == key)
    }

    fn get_mut(&mut self, key: usize) -> Option<&mut State> {
        self.list.iter_mut().find(|state| state.key == key)
    }

    /// The faults of a message or of an opening, in the order of the script, up to the first that
    /// ends it.
    pub(super) fn judge(&mut self, sight: &Sight<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for state in &mut self.list {
            if !state.on || !state.rule.matches(sight) || !state.strikes() {
                continue;
            }
            let action = state.drawn();
            let is_final = action.is_final() && state.rule.on != Trigger::Circuit;
            faults.push(Fault {
                rule: state.key,
                action,
                whole_line: state.rule.on == Trigger::Any && state.rule.name.is_none(),
            });
            if is_final {
                break;
            }
        }
        faults
    }

    /// Bytes per second that may go in a direction.
    pub(super) fn rate(&self, direction: Direction) -> Option<u32> {
        let rates = self
            .list
            .iter()
            .filter_map(|state| match state.rule.action {
                Action::Throttle { rate } if state.on && state.rule.covers(direction) => Some(rate),
                _ => None,
            });
        rates.min()
    }

    /// The storms of beacons that are on.
    pub(super) fn storms(&self) -> impl Iterator<Item = (usize, &Action)> {
        self.list.iter().filter_map(|state| {
            let more = state.rule.times.is_none_or(|n| state.armed.applied < n);
            let storm = matches!(state.rule.action, Action::Storm { .. });
            (storm && state.on && more).then_some((state.key, &state.rule.action))
        })
    }

    /// Counts a burst of a storm.
    pub(super) fn count(&mut self, key: usize) {
        if let Some(state) = self.get_mut(key) {
            for counts in [&mut state.armed, &mut state.total] {
                counts.matched += 1;
                counts.applied += 1;
            }
        }
    }

    /// A random number of a rule.
    pub(super) fn random(&mut self, key: usize) -> u32 {
        self.get_mut(key).map_or(0, |state| state.rng.next_u32())
    }

    pub(super) fn is_on(&self, key: usize) -> bool {
        self.get(key).is_some_and(|state| state.on)
    }

    pub(super) fn rule(&self, key: usize) -> Option<&Rule> {
        self.get(key).map(|state| &state.rule)
    }

    /// Switches the rules with this id, or all; those that changed, or `None` if there is no such
    /// rule. A rule that is switched on counts `after` and `times` anew.
    pub(super) fn switch(&mut self, id: &str, on: bool) -> Option<Vec<usize>> {
        let mut found = id == "all";
        let mut changed = Vec::new();
        for state in &mut self.list {
            if id != "all" && state.rule.id != id {
                continue;
            }
            found = true;
            if state.on != on {
                changed.push(state.key);
            }
            state.on = on;
            if on {
                state.armed = Counts::default();
            }
        }
        found.then_some(changed)
    }

    /// Every rule, whether it is on, and how often it matched and did harm.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Rule, bool, Counts)> {
        let states = self.list.iter();
        states.map(|state| (&state.rule, state.on, state.total))
    }
}

impl State {
    /// Counts a match; true if it does harm.
    fn strikes(&mut self) -> bool {
        self.armed.matched += 1;
        self.total.matched += 1;
        let due = self.armed.matched > self.rule.after;
        let more = self.rule.times.is_none_or(|n| self.armed.applied < n);
        // Without a draw for certain faults, a probability of 1 and its absence are the same.
        let strikes =
            due && more && (self.rule.probability >= 1.0 || self.rng.chance(self.rule.probability));
        if strikes {
            self.armed.applied += 1;
            self.total.applied += 1;
        }
        strikes
    }

    /// The action with its random part drawn.
    fn drawn(&mut self) -> Action {
        match &self.rule.action {
            Action::Delay { by, jitter } if !jitter.is_zero() => Action::Delay {
                by: *by + jitter.mul_f64(self.rng.f64()),
                jitter: Duration::ZERO,
            },
            action => action.clone(),
        }
    }
}
