//! Scan lists: when signals are sampled.

use std::time::Duration;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;
use ca_proto::server::Turn;

use crate::db::PvHandle;
use crate::served::FieldKey;
use crate::signals::BoxedSignal;

/// Ticks of one list that are made up for when a call comes late; older ones are left out, so that a
/// program that was stopped does not flood its clients.
const MAX_CATCH_UP: usize = 8;

/// Units of work: a sample that is stored and posted.
const SAMPLE: usize = 4;

/// Signals with the same period, sampled together.
#[derive(Debug)]
pub(crate) struct ScanList {
    pub period: Duration,
    /// Ticks are whole periods from the start, so they do not drift.
    pub next: Instant,
    pub members: Vec<Member>,
    /// The next member of a tick that is under way.
    pub at: usize,
    /// Members before that one that are still there.
    pub kept: usize,
}

/// What a signal moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Target {
    /// A PV of the program.
    Pv(PvHandle),
    /// A field of a record of a file.
    Field(FieldKey),
}

/// A signal with its PV and its random numbers.
#[derive(Debug)]
pub(crate) struct Member {
    pub pv: Target,
    pub signal: BoxedSignal,
    pub rng: Pcg32,
}

/// All scan lists of an IOC, in the order in which their periods first came.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    pub lists: Vec<ScanList>,
    pub start: Option<Instant>,
}

impl Scans {
    /// Adds a signal; it is first sampled with the next tick of its list.
    pub(crate) fn add(&mut self, period: Duration, member: Member, now: Instant) {
        let found = self.lists.iter().position(|list| list.period == period);
        let at = found.unwrap_or_else(|| {
            self.lists.push(ScanList {
                period,
                next: now,
                members: Vec::new(),
                at: 0,
                kept: 0,
            });
            self.lists.len() - 1
        });
        self.lists[at].members.push(member);
    }

    /// Begins (again): every list has a tick now.
    pub(crate) fn start(&mut self, now: Instant) {
        self.start = Some(now);
        for list in &mut self.lists {
            list.next = now;
            (list.at, list.kept) = (0, 0);
        }
    }

    pub(crate) const fn stop(&mut self) {
        self.start = None;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.start?;
        self.lists.iter().map(|list| list.next).min()
    }

    /// Makes the ticks that are due, until the turn is over. `sample` gets when a tick was due, also as time
    /// since the start, and a member of its list; it says false if that is gone. `ticked` is called
    /// when all members of a tick were sampled, or the turn is over.
    pub(crate) fn run<C>(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        context: &mut C,
        sample: impl Fn(&mut C, Instant, Instant, Duration, &mut Member) -> bool,
        ticked: impl Fn(&mut C),
    ) {
        let Some(start) = self.start else { return };
        for list in &mut self.lists {
            if list.at == 0 {
                list.skip(now);
            }
            while list.next <= now && !turn.is_over() {
                let (due, since) = (list.next, list.next - start);
                let sample = |member: &mut Member| sample(context, now, due, since, member);
                if list.sample(turn, sample) {
                    list.next += list.period;
                }
                ticked(context);
            }
        }
        self.lists.retain(|list| !list.members.is_empty());
    }
}

impl ScanList {
    /// Leaves out ticks that are too late to be made up for.
    fn skip(&mut self, now: Instant) {
        let late = (now - self.next).as_nanos() / self.period.as_nanos().max(1);
        if let Ok(skip) = u32::try_from(late.saturating_sub(MAX_CATCH_UP as u128 - 1)) {
            self.next += self.period.saturating_mul(skip);
        } else {
            self.next = now;
        }
    }

    /// Samples members from where it was; true if all were sampled. Those that are gone are moved behind
    /// the others, and dropped in the end.
    fn sample(&mut self, turn: &mut Turn, mut sample: impl FnMut(&mut Member) -> bool) -> bool {
        while let Some(member) = self.members.get_mut(self.at) {
            if turn.is_over() {
                return false;
            }
            turn.spend(SAMPLE);
            if sample(member) {
                self.members.swap(self.kept, self.at);
                self.kept += 1;
            }
            self.at += 1;
        }
        self.members.truncate(self.kept);
        (self.at, self.kept) = (0, 0);
        true
    }
}
