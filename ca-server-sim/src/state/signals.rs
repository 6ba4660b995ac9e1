//! The state of signals: when they are sampled next, their random numbers, and what else changes of them.

use std::time::Duration;

use ca_proto::Instant;
use ca_proto::rng::Pcg32;
use hashbrown::HashMap;

use super::codec::{Broken, Reader, RecordId, saved};
use super::copy::AT_ONCE;
use crate::db::{Db, Node, PvHandle};
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
    /// The PVs in their order, once all places were looked at.
    handles: Vec<PvHandle>,
    place: usize,
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
    pub(super) fn begin(scans: &Scans) -> Self {
        Self {
            state: SignalsState {
                start: scans.start,
                lists: Vec::new(),
            },
            handles: Vec::new(),
            place: 0,
            list: 0,
            member: 0,
        }
    }

    /// Looks which PVs there are; whether there are more. They do not change meanwhile.
    fn gather(&mut self, db: &Db) -> bool {
        let end = self.place.saturating_add(AT_ONCE).min(db.nodes.slots());
        for place in self.place..end {
            if let Some((handle, Node::Record(_))) = db.nodes.at(place) {
                self.handles.push(handle);
            }
        }
        self.place = end;
        end < db.nodes.slots()
    }

    /// Copies some more; whether there are more.
    pub(super) fn go_on(&mut self, scans: &Scans, db: &Db) -> bool {
        if self.list < scans.lists.len() && self.place < db.nodes.slots() {
            self.gather(db);
            return true;
        }
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

/// Signals that become what they were, some at a time. Nobody may sample them meanwhile.
#[derive(Debug)]
pub(super) struct SignalsBack {
    state: SignalsState,
    /// Where those are that are there, until they are found.
    there: HashMap<(Duration, Target), (usize, usize)>,
    /// Where each of the state is, in its order.
    places: Vec<(usize, usize)>,
    /// All of them were noted.
    is_noted: bool,
    /// The next one of what is under way: list and member.
    next: (usize, usize),
    /// They are where they were then.
    is_in_order: bool,
}

/// Goes on with some members of lists of these lengths; whether there are more.
fn some(
    next: &mut (usize, usize),
    lengths: impl Fn(usize) -> Option<usize>,
    mut work: impl FnMut((usize, usize)) -> Result<(), Broken>,
) -> Result<bool, Broken> {
    let mut left = AT_ONCE;
    while let Some(length) = lengths(next.0) {
        while next.1 < length {
            if left == 0 {
                return Ok(true);
            }
            left -= 1;
            work(*next)?;
            next.1 += 1;
        }
        *next = (next.0 + 1, 0);
    }
    *next = (0, 0);
    Ok(false)
}

impl SignalsBack {
    pub(super) fn begin(state: SignalsState, scans: &Scans) -> Self {
        // Tables that grow are moved, all of them at once.
        let there = scans.lists.iter().map(|list| list.members.len()).sum();
        let places = state.lists.iter().map(|list| list.members.len()).sum();
        Self {
            state,
            there: HashMap::with_capacity(there),
            places: Vec::with_capacity(places),
            is_noted: false,
            next: (0, 0),
            is_in_order: false,
        }
    }

    /// Finds some more of them; whether there are more. Nothing changes.
    pub(super) fn find(
        &mut self,
        from: &Reader<'_>,
        scans: &mut Scans,
        handles: &[PvHandle],
    ) -> Result<bool, Broken> {
        let Self {
            state,
            there,
            places,
            is_noted,
            next,
            is_in_order,
        } = self;
        if !*is_noted {
            let length = |list: usize| Some(scans.lists.get(list)?.members.len());
            let more = some(next, length, |(n, m)| {
                if let Some(list) = scans.lists.get(n)
                    && let Some(member) = list.members.get(m)
                {
                    there.insert((list.period, member.pv), (n, m));
                }
                Ok(())
            })?;
            *is_noted = !more;
            return Ok(true);
        }
        let length = |list: usize| Some(state.lists.get(list)?.members.len());
        let more = some(next, length, |(n, m)| {
            let Some((list, member)) = state.lists.get(n).and_then(|list| {
                let member = list.members.get(m)?;
                Some((list, member))
            }) else {
                return Ok(());
            };
            let fits = list.kept <= list.at && list.at <= list.members.len();
            let target = target(&member.place, handles);
            let found = target.and_then(|pv| there.remove(&(list.period, pv)));
            let found = found.filter(|_| fits && !list.period.is_zero());
            let (n, m) = found.ok_or_else(|| from.broken("a signal of it is not there"))?;
            if let Some(now) = scans.lists.get_mut(n).and_then(|l| l.members.get_mut(m)) {
                let was = now.signal.state();
                if !now.signal.set_state(&member.state) {
                    return Err(from.broken("a signal of it is of another kind"));
                }
                now.signal.set_state(&was);
            }
            places.push((n, m));
            Ok(())
        })?;
        if !more {
            let lengths = |lists: &mut dyn Iterator<Item = usize>| lists.collect::<Vec<_>>();
            let then = lengths(&mut state.lists.iter().map(|list| list.members.len()));
            let now = lengths(&mut scans.lists.iter().map(|list| list.members.len()));
            *is_in_order = then == now && places.is_sorted();
        }
        Ok(more)
    }

    /// Makes the lists what they were, once all are found; the signals themselves if they have other places now.
    pub(super) fn exchange(&mut self, scans: &mut Scans) {
        scans.start = self.state.start;
        if self.is_in_order {
            for (now, then) in scans.lists.iter_mut().zip(&self.state.lists) {
                (now.next, now.at, now.kept) = (then.next, then.at, then.kept);
            }
            return;
        }
        let mut members: Vec<Vec<Option<Member>>> = std::mem::take(&mut scans.lists)
            .into_iter()
            .map(|list| list.members.into_iter().map(Some).collect())
            .collect();
        let mut places = std::mem::take(&mut self.places).into_iter();
        for list in std::mem::take(&mut self.state.lists) {
            let mut taken = Vec::with_capacity(list.members.len());
            for state in list.members {
                let place = places.next();
                let member = place.and_then(|(n, m)| members.get_mut(n)?.get_mut(m)?.take());
                taken.extend(member.map(|mut member| {
                    // It was seen before that it can.
                    member.signal.set_state(&state.state);
                    member.rng = state.rng;
                    member
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
    }

    /// Makes some more signals what they were; whether there are more.
    pub(super) fn take(&mut self, scans: &mut Scans) -> bool {
        let Self { state, next, .. } = self;
        let length = |list: usize| Some(state.lists.get(list)?.members.len());
        let more = some(next, length, |(n, m)| {
            let then = state.lists.get(n).and_then(|list| list.members.get(m));
            let now = scans.lists.get_mut(n).and_then(|l| l.members.get_mut(m));
            if let (Some(then), Some(now)) = (then, now) {
                now.signal.set_state(&then.state);
                now.rng = then.rng.clone();
            }
            Ok(())
        });
        more == Ok(true)
    }
}

fn target(place: &Place, handles: &[PvHandle]) -> Option<Target> {
    match *place {
        Place::Pv(pv) => handles.get(pv).map(|&pv| Target::Pv(pv)),
        Place::Field(RecordId(record), field) => Some(Target::Field(FieldKey {
            record,
            field,
            modifiers: Modifiers::default(),
        })),
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
        let mut back = SignalsBack::begin(self, scans);
        while back.find(from, scans, handles)? {}
        back.exchange(scans);
        while back.take(scans) {}
        Ok(())
    }
}
