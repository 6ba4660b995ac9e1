//! The state of signals: when they are sampled next, their random numbers, and what else changes of them.

use std::time::Duration;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;
use hashbrown::HashMap;

use super::codec::{Broken, Reader, RecordId, saved};
use super::copy::AT_ONCE;
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

/// Signals that are copied some at a time. They stand still until that is done.
#[derive(Debug)]
pub(super) struct SignalsCopy {
    state: SignalsState,
    /// The PVs in their order.
    handles: Vec<PvHandle>,
    /// The next list, and the next member of it.
    list: usize,
    member: usize,
}

/// The number of a PV among all.
pub(super) fn number_of(handles: &[PvHandle], pv: PvHandle) -> Option<usize> {
    // They are in the order of their places, whoever had those before.
    let found = handles.binary_search_by_key(&pv.place(), |it| it.place());
    found.ok().filter(|&n| handles.get(n) == Some(&pv))
}

impl SignalsCopy {
    pub(super) fn begin(scans: &Scans, handles: Vec<PvHandle>) -> Self {
        Self {
            state: SignalsState {
                start: scans.start,
                lists: Vec::new(),
            },
            handles,
            list: 0,
            member: 0,
        }
    }

    /// Copies some more; whether there are more.
    pub(super) fn go_on(&mut self, scans: &Scans) -> bool {
        let mut left = AT_ONCE;
        while let Some(list) = scans.lists.get(self.list) {
            let ScanList {
                period,
                next,
                members,
                at,
                kept,
            } = list;
            if self.member == 0 {
                self.state.lists.push(ListState {
                    period: *period,
                    next: *next,
                    at: *at,
                    kept: *kept,
                    members: Vec::with_capacity(members.len()),
                });
            }
            let Some(state) = self.state.lists.last_mut() else {
                return false;
            };
            while let Some(member) = members.get(self.member) {
                if left == 0 {
                    return true;
                }
                left -= 1;
                let Member { pv, signal, rng } = member;
                let place = match *pv {
                    Target::Pv(pv) => number_of(&self.handles, pv).map(Place::Pv),
                    Target::Field(key) => Some(Place::Field(RecordId(key.record), key.field)),
                };
                match place {
                    Some(place) => state.members.push(MemberState {
                        place,
                        rng: rng.clone(),
                        state: signal.state(),
                    }),
                    // One that was removed is dropped with the next sample, as it will be here.
                    None if self.member < *at => state.at -= 1,
                    None => {}
                }
                self.member += 1;
            }
            (self.list, self.member) = (self.list + 1, 0);
        }
        false
    }

    pub(super) fn finish(self) -> SignalsState {
        self.state
    }
}

impl SignalsState {
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
        let mut all: HashMap<(Duration, Target), (usize, usize)> = HashMap::new();
        for (n, list) in scans.lists.iter().enumerate() {
            all.reserve(list.members.len());
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
