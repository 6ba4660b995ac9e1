//! Scan lists: when signals are sampled.

use std::time::Duration;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;

use crate::db::PvHandle;
use crate::signals::BoxedSignal;

/// Ticks of one list that are made up for when a call comes late; older ones are left out, so that a
/// program that was stopped does not flood its clients.
const MAX_CATCH_UP: usize = 8;

/// Signals with the same period, sampled together.
#[derive(Debug)]
struct ScanList {
    period: Duration,
    /// Ticks are whole periods from the start, so they do not drift.
    next: Instant,
    members: Vec<Member>,
}

/// A signal with its PV and its random numbers.
#[derive(Debug)]
pub(crate) struct Member {
    pub pv: PvHandle,
    pub signal: BoxedSignal,
    pub rng: Pcg32,
}

/// All scan lists of an IOC, in the order in which their periods first came.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    lists: Vec<ScanList>,
    start: Option<Instant>,
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
        }
    }

    pub(crate) const fn stop(&mut self) {
        self.start = None;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.start?;
        self.lists.iter().map(|list| list.next).min()
    }

    /// Makes the ticks that are due. `tick` gets when that was, also as time since the start, and the
    /// members of the list, and removes those that are gone.
    pub(crate) fn run(
        &mut self,
        now: Instant,
        mut tick: impl FnMut(Instant, Duration, &mut Vec<Member>),
    ) {
        let Some(start) = self.start else { return };
        for list in &mut self.lists {
            let late = (now - list.next).as_nanos() / list.period.as_nanos().max(1);
            if let Ok(skip) = u32::try_from(late.saturating_sub(MAX_CATCH_UP as u128 - 1)) {
                list.next += list.period.saturating_mul(skip);
            } else {
                list.next = now;
            }
            while list.next <= now {
                tick(list.next, list.next - start, &mut list.members);
                list.next += list.period;
            }
        }
        self.lists.retain(|list| !list.members.is_empty());
    }
}
