//! The faults of an IOC: which are on, since when, until when.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;
use ca_proto::server::Identity;

use super::script::{Event, mistake};
use super::words::Which;
use super::{
    Fault, FaultError, FaultKind, FaultScript, Harm, MAX_FAULTS, Order, Pattern, ScriptMistakes,
};
use crate::ioc::Ioc;
use crate::slip::nearest;
use crate::state::codec::saved;

/// Lines of what happened that are kept until somebody takes them.
const MAX_LINES: usize = 1000;

/// A fault that is on.
#[derive(Debug)]
pub(crate) struct Active {
    pub fault: Fault,
    pub since: Instant,
    pub until: Option<Instant>,
    /// When something of it is due: noise, a burst.
    pub next: Option<Instant>,
    pub matched: u64,
    pub harmed: u64,
}

/// All faults of an IOC.
#[derive(Debug)]
pub(crate) struct Faults {
    pub on: BTreeMap<u32, Active>,
    last_id: u32,
    script: VecDeque<(Instant, Event)>,
    pub rng: Pcg32,
    /// Datagrams that are to be sent.
    pub datagrams: VecDeque<(SocketAddrV4, Vec<u8>)>,
    pub beacons: u32,
    /// Until when the IOC is not there.
    pub down: Option<Instant>,
    lines: VecDeque<String>,
}

saved!(struct Active { fault, since, until, next, matched, harmed });
saved!(struct Faults { on, last_id, script, rng, beacons, down } kept {
    // On their way to clients, and to the log.
    datagrams = VecDeque::new(),
    lines = VecDeque::new(),
});

impl Faults {
    /// Whether something is on its way.
    pub(crate) fn says_something(&self) -> bool {
        !self.datagrams.is_empty() || !self.lines.is_empty()
    }

    /// Takes over what is on its way.
    pub(crate) fn rejoin(&mut self, now: &mut Self) {
        self.datagrams = std::mem::take(&mut now.datagrams);
        self.lines = std::mem::take(&mut now.lines);
    }
    fn new(seed: u64) -> Self {
        Self {
            on: BTreeMap::new(),
            last_id: 0,
            script: VecDeque::new(),
            rng: Pcg32::new(seed ^ 0xfa17),
            datagrams: VecDeque::new(),
            beacons: 0,
            down: None,
            lines: VecDeque::new(),
        }
    }

    /// Whether messages are looked at.
    pub(crate) fn harms_links(&self) -> bool {
        self.on
            .values()
            .any(|active| active.fault.kind.is_of_links())
    }

    pub(crate) fn has(&self, is: impl Fn(&Fault) -> bool) -> bool {
        self.on.values().any(|active| is(&active.fault))
    }

    fn tell(&mut self, line: String) {
        if self.lines.len() < MAX_LINES {
            self.lines.push_back(line);
        }
    }

    /// When something is due next, in the time of the database.
    pub(crate) fn due(&self) -> Option<Instant> {
        let ends = self.on.values().filter_map(|active| active.until);
        let ticks = self.on.values().filter_map(|active| active.next);
        let script = self.script.front().map(|(at, _)| *at);
        ends.chain(ticks).chain(script).chain(self.down).min()
    }
}

/// Whether a pattern names a client.
pub(crate) fn is_client(pattern: Option<&Pattern>, who: &Identity) -> bool {
    let Some(pattern) = pattern else { return true };
    let (ip, peer) = (who.peer.ip().to_string(), who.peer.to_string());
    let names = [ip.as_bytes(), peer.as_bytes(), &who.host, &who.user];
    names.iter().any(|name| pattern.matches(name))
}

impl Ioc {
    pub(crate) fn faults_mut(&mut self) -> &mut Faults {
        let seed = self.seed;
        self.faults
            .get_or_insert_with(|| Box::new(Faults::new(seed)))
    }

    /// Does what a line of faults asks for; consoles and control sockets hand theirs in as they are. The answer
    /// are lines for whoever asked: the number of a fault that begins, the list.
    ///
    /// # Errors
    /// [`FaultError`]: nothing has changed.
    pub fn fault(&mut self, now: Instant, line: &str) -> Result<Vec<String>, FaultError> {
        match Order::parse(line)? {
            Order::Begin(fault) => {
                let shown = fault.to_string();
                let id = self.begin_fault(now, fault);
                let id = id.map_err(|error| located(line, error))?;
                Ok(vec![format!("{id}: {shown}")])
            }
            Order::End(which) => {
                let ended = self.end_faults(now, &which);
                match ended {
                    0 => Err(FaultError::new(1, "no such fault is on; `list` shows them")),
                    _ => Ok(Vec::new()),
                }
            }
            Order::List => Ok(self.list_faults(now)),
        }
    }

    /// Begins a fault, until it is [ended](Self::end_fault) or its time is over. The number it gets is that of
    /// the list.
    ///
    /// # Errors
    /// [`FaultError`]: no PV is like that, or it cannot have this fault.
    pub fn begin_fault(&mut self, now: Instant, fault: Fault) -> Result<u32, FaultError> {
        self.check_fault(&fault)?;
        if self.faults_mut().on.len() >= MAX_FAULTS {
            let what = format!("{MAX_FAULTS} faults are on; end some");
            return Err(FaultError::new(1, what));
        }
        // What ends, or comes again, does so by the time of the database.
        let at = self.db.time.of(now);
        let faults = self.faults_mut();
        faults.last_id += 1;
        let id = faults.last_id;
        let next = match fault.kind {
            FaultKind::Noise { every, .. } => Some(at + every),
            FaultKind::Storm { .. } => Some(at),
            _ => None,
        };
        let lasts = match fault.kind {
            FaultKind::Reboot { by } => Some(by),
            // It stays by itself.
            FaultKind::Type { .. } => Some(Duration::ZERO),
            _ => fault.lasts,
        };
        let active = Active {
            since: at,
            until: lasts.map(|lasts| at + lasts),
            next,
            matched: 0,
            harmed: 0,
            fault,
        };
        let told = format!("begins: {}", active.fault);
        faults.on.insert(id, active);
        faults.tell(told);
        if let Err(error) = self.take_effect(now, id) {
            self.faults_mut().on.remove(&id);
            return Err(error);
        }
        self.settle(now);
        Ok(id)
    }

    /// Ends the fault of this number; false if it is not on.
    pub fn end_fault(&mut self, now: Instant, id: u32) -> bool {
        let Some(faults) = &mut self.faults else {
            return false;
        };
        let Some(active) = faults.on.remove(&id) else {
            return false;
        };
        faults.tell(format!("ends: {}", active.fault));
        self.undo(now, &active.fault);
        self.settle(now);
        true
    }

    /// The faults that are on, by their numbers.
    pub fn faults(&self) -> impl Iterator<Item = (u32, &Fault)> {
        let on = self.faults.iter().flat_map(|faults| &faults.on);
        on.map(|(id, active)| (*id, &active.fault))
    }

    /// Runs a script of faults from now on, in the place of one that is under way.
    ///
    /// # Errors
    /// [`ScriptMistakes`]: lines whose PVs do not exist or cannot have the fault. Nothing has changed then.
    pub fn run_faults(&mut self, now: Instant, script: &FaultScript) -> Result<(), ScriptMistakes> {
        let mut mistakes = Vec::new();
        for event in &script.events {
            let Order::Begin(fault) = &event.order else {
                continue;
            };
            if let Err(mut error) = self.check_fault(fault) {
                if let Some(pv) = &fault.pv {
                    error.column = event.column_of(pv.as_str());
                }
                mistakes.push(mistake(event.line, &event.text, error));
            }
        }
        if !mistakes.is_empty() {
            return Err(ScriptMistakes(mistakes));
        }
        let events = script.events.iter().cloned();
        let begin = self.db.time.of(now);
        let faults = self.faults_mut();
        faults.script = events.map(|event| (begin + event.at, event)).collect();
        self.tick_faults(now);
        Ok(())
    }

    /// What faults have begun and ended since this was asked last; 1000 lines are kept.
    pub fn take_fault_lines(&mut self) -> Vec<String> {
        let faults = self.faults.as_mut();
        faults.map_or_else(Vec::new, |faults| faults.lines.drain(..).collect())
    }

    fn end_faults(&mut self, now: Instant, which: &Which) -> usize {
        let is_meant = |(id, fault): &(u32, &Fault)| match which {
            Which::All => true,
            Which::Id(wanted) => id == wanted,
            Which::Kind(word, pv) => {
                fault.kind.word() == *word
                    && pv.as_ref().is_none_or(|pv| {
                        let of = fault.pv.as_ref();
                        of.is_some_and(|of| of.as_str() == pv)
                    })
            }
        };
        let meant: Vec<u32> = self.faults().filter(is_meant).map(|(id, _)| id).collect();
        let ended = meant.into_iter().filter(|id| self.end_fault(now, *id));
        ended.count()
    }

    fn list_faults(&self, now: Instant) -> Vec<String> {
        let on = self.faults.iter().flat_map(|faults| &faults.on);
        let at = self.db.time.of(now);
        on.map(|(id, active)| {
            let since = (at - active.since).as_secs_f64();
            let harmed = match active.fault.kind.is_of_messages() {
                true => format!(", {}/{} messages", active.harmed, active.matched),
                false => String::new(),
            };
            format!("{id}: {}, on for {since:.1} s{harmed}", active.fault)
        })
        .collect()
    }

    /// Whether a fault can be, of the PVs that there are.
    fn check_fault(&self, fault: &Fault) -> Result<(), FaultError> {
        let Some(pattern) = &fault.pv else {
            return Ok(());
        };
        let base = |name: &str| match pattern.as_str().contains('.') {
            true => pattern.matches(name.as_bytes()),
            false => pattern.matches_channel(name.as_bytes()),
        };
        // A PV with a field is about the PV before the dot.
        let of = pattern
            .as_str()
            .rsplit_once('.')
            .map_or(pattern.as_str(), |(pv, _)| pv);
        let of = Pattern::new(of);
        let found = self
            .pv_names()
            .find(|name| base(name) || of.matches(name.as_bytes()));
        let Some(found) = found else {
            let near = match pattern.is_name() {
                true => nearest(pattern.as_str(), self.pv_names()),
                false => None,
            };
            let remedy = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "look at the names of the IOC".to_owned(),
            };
            return Err(FaultError::new(
                1,
                format!("no PV is called \"{pattern}\"; {remedy}"),
            ));
        };
        let needs_plain = matches!(fault.kind, FaultKind::Noise { .. } | FaultKind::Type { .. });
        if needs_plain && self.handle(found).is_none() {
            let what = format!(
                "\"{found}\" is a record of a file, which has no `{}`; PVs of the program have",
                fault.kind.word()
            );
            return Err(FaultError::new(1, what));
        }
        if matches!(fault.kind, FaultKind::Type { .. }) && !pattern.is_name() {
            let what = "a type is changed of one PV at a time; name it";
            return Err(FaultError::new(1, what));
        }
        Ok(())
    }

    /// Does what is due: ends, beginnings, noise, bursts, messages that were held back.
    pub(crate) fn tick_faults(&mut self, now: Instant) {
        let time = self.db.time.of(now);
        loop {
            let Some(faults) = &mut self.faults else {
                return;
            };
            let over = faults
                .on
                .iter()
                .find(|(_, active)| active.until.is_some_and(|at| at <= time));
            if let Some((&id, _)) = over {
                self.end_fault(now, id);
                continue;
            }
            if faults.script.front().is_none_or(|(at, _)| *at > time) {
                break;
            }
            let Some((_, event)) = faults.script.pop_front() else {
                break;
            };
            let line = event.line;
            let failed = match &event.order {
                Order::Begin(fault) => self.begin_fault(now, fault.clone()).err(),
                Order::End(which) => {
                    self.end_faults(now, which);
                    None
                }
                Order::List => None,
            };
            if let Some(error) = failed {
                // The PV was there when the script began.
                self.faults_mut()
                    .tell(format!("line {line}: {}", error.what));
            }
        }
        self.tick_noise_and_storms(now);
        self.release_late(now);
    }

    /// When [`Self::tick_faults`] has something to do.
    pub(crate) fn faults_timeout(&self) -> Option<Instant> {
        let faults = self.faults.as_ref()?;
        let late = self
            .circuits
            .iter()
            .filter_map(|(_, c)| c.harm.as_ref()?.next());
        let due = faults.due().and_then(|at| self.db.time.real_of(at));
        late.chain(due).min()
    }

    /// Whether messages to clients go by faults.
    pub(crate) fn arm_links(&mut self) {
        for (_, connection) in self.circuits.iter_mut() {
            if connection.harm.is_none() {
                connection.harm = Some(Box::new(Harm::of(&connection.circuit)));
            }
        }
    }
}

/// A mistake about a PV is where that stands in the line.
fn located(line: &str, error: FaultError) -> FaultError {
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let word = line.split_whitespace().next().unwrap_or_default();
    let behind = line.trim_start().get(word.len()..).unwrap_or_default();
    let gap = behind.chars().take_while(|c| c.is_whitespace()).count();
    FaultError {
        column: indent + word.chars().count() + gap + 1,
        ..error
    }
}
