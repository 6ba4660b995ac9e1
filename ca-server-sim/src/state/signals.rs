//! The state of signals: when they are sampled next, their random numbers, and what else changes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;

use super::codec::{Broken, Reader, RecordId, saved};
use crate::db::PvHandle;
use crate::name::Modifiers;
use crate::scan::{Member, ScanList, Scans, Target};
use crate::served::FieldKey;
use crate::signals::Signal;

/// What a signal moves, by places that are the same in each process.
#[derive(Debug)]
enum Place {
    Pv(usize),
    Field(RecordId, u16),
}

saved!(enum Place { 0 Pv(pv), 1 Field(record, field) });

/// A signal that is sampled.
#[derive(Debug)]
struct MemberState {
    place: Place,
    rng: Pcg32,
    state: Vec<u8>,
}

saved!(struct MemberState { place, rng, state });

/// Signals of a period.
#[derive(Debug)]
struct ListState {
    period: Duration,
    next: Instant,
    at: usize,
    kept: usize,
    members: Vec<MemberState>,
}

saved!(struct ListState { period, next, at, kept, members });

/// All signals.
#[derive(Debug)]
pub(super) struct SignalsState {
    start: Option<Instant>,
    lists: Vec<ListState>,
}

saved!(struct SignalsState { start, lists });

impl SignalsState {
    pub(super) fn of(scans: &Scans, handles: &[PvHandle]) -> Self {
        let Scans { lists, start } = scans;
        let list = |list: &ScanList| {
            let ScanList {
                period,
                next,
                members,
                at,
                kept,
            } = list;
            let member = |member: &Member| {
                let Member { pv, signal, rng } = member;
                let place = match *pv {
                    // One that was removed is dropped with the next sample, as it will be here.
                    Target::Pv(pv) => Place::Pv(handles.binary_search(&pv).ok()?),
                    Target::Field(key) => Place::Field(RecordId(key.record), key.field),
                };
                Some(MemberState {
                    place,
                    rng: rng.clone(),
                    state: signal.state(),
                })
            };
            let gone = |member: &&Member| match member.pv {
                Target::Pv(pv) => handles.binary_search(&pv).is_err(),
                Target::Field(_) => false,
            };
            let before = members.iter().take(*at).filter(gone).count();
            ListState {
                period: *period,
                next: *next,
                at: at - before,
                kept: *kept,
                members: members.iter().filter_map(member).collect(),
            }
        };
        Self {
            start: *start,
            lists: lists.iter().map(list).collect(),
        }
    }

    /// Makes the signals what they were, all or none of them.
    pub(super) fn take(
        self,
        from: &Reader<'_>,
        scans: &mut Scans,
        handles: &[PvHandle],
    ) -> Result<(), Broken> {
        let target = |place: &Place| match *place {
            Place::Pv(pv) => handles.get(pv).map(|&pv| Target::Pv(pv)),
            Place::Field(RecordId(record), field) => Some(Target::Field(FieldKey {
                record,
                field,
                modifiers: Modifiers::default(),
            })),
        };
        let mut all: BTreeMap<(Duration, Target), (usize, usize)> = BTreeMap::new();
        for (n, list) in scans.lists.iter().enumerate() {
            for (m, member) in list.members.iter().enumerate() {
                all.insert((list.period, member.pv), (n, m));
            }
        }
        // Where each of them is now.
        let mut places = Vec::new();
        for list in &self.lists {
            let fits = list.kept <= list.at && list.at <= list.members.len();
            for member in &list.members {
                let found = target(&member.place).and_then(|pv| all.remove(&(list.period, pv)));
                let found = found.filter(|_| fits && !list.period.is_zero());
                places.push(found.ok_or_else(|| from.broken("a signal of it is not there"))?);
            }
        }
        let states = self.lists.iter().flat_map(|list| &list.members);
        let mut before = Vec::new();
        for (state, &(n, m)) in states.zip(&places) {
            let Some(member) = scans
                .lists
                .get_mut(n)
                .and_then(|list| list.members.get_mut(m))
            else {
                continue;
            };
            before.push(((n, m), member.signal.state()));
            if !member.signal.set_state(&state.state) {
                for ((n, m), state) in before {
                    if let Some(member) = scans.lists.get_mut(n).and_then(|l| l.members.get_mut(m))
                    {
                        member.signal.set_state(&state);
                    }
                }
                return Err(from.broken("a signal of it is of another kind"));
            }
        }
        let mut members: Vec<Vec<Option<Member>>> = std::mem::take(&mut scans.lists)
            .into_iter()
            .map(|list| list.members.into_iter().map(Some).collect())
            .collect();
        let mut places = places.into_iter();
        scans.start = self.start;
        for list in self.lists {
            let mut taken = Vec::with_capacity(list.members.len());
            for state in list.members {
                let place = places.next();
                let member = place.and_then(|(n, m)| members.get_mut(n)?.get_mut(m)?.take());
                taken.extend(member.map(|member| Member {
                    rng: state.rng,
                    ..member
                }));
            }
            scans.lists.push(ScanList {
                period: list.period,
                next: list.next,
                members: taken,
                at: list.at,
                kept: list.kept,
            });
        }
        Ok(())
    }
}
