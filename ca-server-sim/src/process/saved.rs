//! The state of records for snapshots: what is saved, what is left to clients and drivers, and how the two are joined
//! again.

use std::collections::{BTreeMap, BTreeSet, HashMap as StdHashMap};
use std::sync::Arc;

use ca_proto::Instant;
use hashbrown::{HashMap, HashSet};

use super::chain::{Chain, Root, When};
use super::database::{Followed, Follower, Records};
use super::event::{ALL_FIELDS, Post, Seen};
use super::function::{ANSWERED, Calls};
use super::notify::{Completion, Notifies, NotifyId};
use super::put::PutError;
use super::remote::Waits;
use super::scan::{Scans, Timer};
use crate::calc::Random;
use crate::record::{Id, Record, Schema, Val, common};
use crate::state::codec::{Broken, Reader, Saved, Writer};
use crate::state::copy::{Copying, Name};

/// The links of records to PVs of other IOCs: by the PV's name, who follows it.
pub(super) type RemoteUsers = BTreeMap<Box<str>, BTreeMap<(Id, u16), Option<When>>>;

/// One list of what records consist of: who adds a field has to say where it belongs.
macro_rules! parts {
    (saved { $($field:ident: $ty:ty,)+ } kept { $($kept:ident)+ }) => {
        /// What is state beside the records themselves.
        #[derive(Debug)]
        pub(crate) struct RecordsRest {
            $($field: $ty,)+
            users: RemoteUsers,
            waits: Waits,
        }

        impl Records {
            fn rest(&self) -> RecordsRest {
                let Self { records: _, remotes, $($field,)+ $($kept: _,)+ } = self;
                RecordsRest {
                    users: remotes.users(),
                    waits: remotes.waits().clone(),
                    $($field: $field.clone(),)+
                }
            }

            /// Takes over what is state, and gives what was in its place.
            fn swap_rest(&mut self, rest: &mut RecordsRest) {
                $(std::mem::swap(&mut self.$field, &mut rest.$field);)+
            }
        }

        impl RecordsRest {
            /// Writes the state, with that of the records.
            pub(crate) fn save(&self, records: (usize, &[u8]), to: &mut Writer) {
                let Self { users, waits, $($field,)+ } = self;
                records.0.save(to);
                to.bytes.extend_from_slice(records.1);
                $($field.save(to);)+
                users.save(to);
                waits.save(to);
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                Ok(Self {
                    $($field: <$ty>::load(from)?,)+
                    users: RemoteUsers::load(from)?,
                    waits: Waits::load(from)?,
                })
            }
        }
    };
}

/// The state of all records, read from a snapshot; after the rewind, that of before.
#[derive(Debug)]
pub(crate) struct RecordsState {
    records: Vec<Record>,
    rest: RecordsRest,
}

/// What the records of a snapshot are said to be.
#[derive(Debug)]
pub(crate) struct Kind {
    pub name: Box<str>,
    pub of: Box<str>,
}

parts! {
    saved {
        chain: Chain,
        scans: Scans,
        timers: BTreeMap<(Instant, u64), (Id, Timer)>,
        next_timer: u64,
        callbacks: HashMap<Id, (Instant, u64)>,
        states: StdHashMap<Box<str>, bool>,
        calls: Calls,
        forced: HashMap<Id, (u8, u8)>,
        followers: HashMap<(Id, u16), Vec<Follower>>,
        seen: HashMap<(Id, u16), Seen>,
        followed_names: BTreeMap<(Id, u16), Followed>,
        notifies: Notifies,
        random: Random,
        started: bool,
        frozen: HashSet<Id>,
    }
    kept {
        // Which records there are, and what programs have given them.
        schema names hasher aliases aliases_of infos functions missing free environment restores
        // What a change at run time finds out again.
        links_to resumes
        // What others are about to be told.
        regrouped posts lapsed_posts notes lines restored
        // That of the driver.
        now clock time
        // Of who takes a snapshot.
        copying revision
    }
}

impl RecordsState {
    /// Reads the state of records of these kinds, and sees whether all that it names is there: the bytes may be from
    /// anywhere.
    pub(crate) fn load(
        from: &mut Reader<'_>,
        schema: &Schema,
        kinds: Vec<Kind>,
    ) -> Result<Self, Broken> {
        from.records = kinds.len();
        let mut records = Vec::<Record>::load(from)?;
        let rest = RecordsRest::load(from)?;
        if records.len() != kinds.len() {
            return Err(from.broken("it has another number of records"));
        }
        for (record, kind) in records.iter_mut().zip(kinds) {
            // Of a type that there is not: the names do not fit.
            record.kind = schema.find(&kind.of).unwrap_or_default();
            record.name = kind.name;
        }
        let state = Self { records, rest };
        match state.is_whole(schema) {
            true => Ok(state),
            false => Err(from.broken("it does not fit the records that there are")),
        }
    }

    fn is_whole(&self, schema: &Schema) -> bool {
        let Self { records, rest } = self;
        let RecordsRest {
            chain,
            scans,
            timers,
            next_timer: _,
            callbacks,
            states: _,
            calls,
            forced,
            followers,
            seen,
            followed_names,
            notifies,
            random: _,
            started: _,
            frozen,
            users,
            waits,
        } = rest;
        let fields = records.iter().all(|record| {
            let of = schema.record_type(record.kind);
            let known = |index: u16| of.fields.get(usize::from(index));
            let mut all = record.fields.iter();
            // Removed ones have no name, and any type.
            record.name.is_empty()
                || all.all(|(index, val)| known(index).is_some_and(|it| val.suits(it.dbf)))
        });
        let is_field = |(id, field): (Id, u16)| {
            let record = records.get(id as usize);
            let of = record.map(|record| schema.record_type(record.kind));
            of.is_some_and(|of| of.fields.len() > usize::from(field))
        };
        let mut ids = (scans.ids())
            .chain(timers.values().map(|(id, _)| *id))
            .chain(callbacks.keys().copied())
            .chain(calls.ids())
            .chain(forced.keys().copied())
            .chain(seen.keys().map(|(id, _)| *id))
            .chain(followers.keys().map(|(id, _)| *id))
            .chain(followed_names.keys().map(|(id, _)| *id))
            .chain(notifies.ids())
            .chain(frozen.iter().copied())
            .chain(waits.values().map(|(id, _)| *id))
            .chain(
                users
                    .values()
                    .flat_map(|users| users.keys().map(|(id, _)| *id)),
            );
        let mut targets = (chain.sets())
            .chain(notifies.fields())
            .chain(followed_names.values().filter_map(|it| it.to));
        fields
            && ids.all(|id| (id as usize) < records.len())
            && targets.all(is_field)
            && notifies.is_whole()
    }

    /// The record of a number, as it was.
    pub(crate) fn val(&self, schema: &Schema, id: u32, field: u16) -> Option<(Val, super::State)> {
        let record = self.records.get(id as usize)?;
        let of = schema.record_type(record.kind);
        Some((record.get(of, field), super::State::of(record)))
    }
}

impl Records {
    /// A record is about to change.
    #[cold]
    pub(super) fn copy_ahead(&mut self, id: Id) {
        let Some(copying) = &mut self.copying else {
            return;
        };
        if !copying.is_wanted() {
            self.copying = None;
        } else if let Some(record) = self.records.get(id as usize) {
            copying.ahead(id as usize, |to| record.save(to));
        }
    }

    /// Begins to copy the records. What is state beside them is copied now.
    pub(crate) fn begin_copy(&mut self, taker: &Arc<()>) -> RecordsRest {
        self.copying = Some(Copying::new(taker, self.records.len()));
        self.rest()
    }

    /// Copies some more records; whether there are more.
    pub(crate) fn copy_on(&mut self) -> bool {
        let (records, schema) = (&self.records, &self.schema);
        let copy = |place: usize, to: Option<&mut Writer>| {
            let record = records.get(place)?;
            if let Some(to) = to {
                record.save(to);
            }
            Some(name_of(schema, record))
        };
        let copying = self.copying.as_mut();
        copying.is_some_and(|copying| copying.go_on(copy))
    }

    /// Whether a state has the same scan periods.
    pub(crate) fn suits(&self, state: &mut RecordsState) -> bool {
        state.rest.scans.fit(&self.scans)
    }

    /// What the record of a number is called, and of which type; both are empty for a number without record.
    pub(crate) fn name_at(&self, place: usize) -> Option<Name<'_>> {
        let record = self.records.get(place)?;
        Some(name_of(&self.schema, record))
    }

    /// Makes the records what they were, and `state` what they are. What clients wait for with puts, and drivers of
    /// links and the program with their answers, is joined with it if the state is of this IOC; what they are done with
    /// since then is taken for answered. `waiting` are the puts that clients wait for; those that the state does not
    /// know have failed. Records that are watched are told of by the caller.
    pub(crate) fn take_state(
        &mut self,
        now: Instant,
        state: &mut RecordsState,
        same: bool,
        waiting: &BTreeSet<NotifyId>,
        watched: impl Iterator<Item = Id>,
    ) {
        let RecordsState { records, rest } = state;
        self.leave_links(&rest.users);
        // Numbers that were given since then have no records any more.
        let since = self.records.iter().skip(records.len());
        records.extend(since.cloned().collect::<Vec<_>>());
        for id in watched {
            if let Some(record) = records.get_mut(id as usize) {
                record.watched = true;
            }
        }
        std::mem::swap(&mut self.records, records);
        let failed = rest.notifies.rejoin(&mut self.notifies, same, waiting);
        let answered = rest.calls.rejoin(&self.calls, same);
        let (users, waits) = (
            std::mem::take(&mut rest.users),
            std::mem::take(&mut rest.waits),
        );
        self.swap_rest(rest);
        let done = self.remotes.rejoin(users, waits, same);
        for id in answered {
            self.chain.roots.push_back(Root::Resume(id, ANSWERED));
        }
        for (id, stage) in done {
            self.chain.roots.push_back(Root::Resume(id, stage));
        }
        self.notifies
            .done
            .extend(failed.into_iter().map(|id| Completion {
                id,
                result: Err(PutError::Undone),
            }));
        self.links_to = None;
        let resumes = self.timers.iter();
        let resumes = resumes.filter(|(_, (_, timer))| matches!(timer, Timer::Resume(_)));
        self.resumes = resumes.map(|(&key, &(id, _))| (id, key)).collect();
        self.posts.clear();
        self.lapsed_posts.clear();
        self.now = now;
    }

    /// Notes those among some records whose access security group is another than it was.
    pub(crate) fn note_groups(&mut self, before: &RecordsState, places: std::ops::Range<usize>) {
        for place in places {
            let (Some(old), Some(new)) = (before.records.get(place), self.records.get(place))
            else {
                return;
            };
            let of = self.schema.record_type(new.kind);
            self.regrouped |= new.held(of, common::ASG) != old.held(of, common::ASG);
        }
    }

    /// How many numbers were given.
    pub(crate) fn places(&self) -> usize {
        self.records.len()
    }

    /// Links that will lead elsewhere leave their PVs.
    fn leave_links(&mut self, users: &RemoteUsers) {
        let now = self.remotes.users();
        for (name, links) in now {
            let stays = users.get(&name);
            for (id, link) in links.into_keys() {
                if stays.is_none_or(|stays| !stays.contains_key(&(id, link))) {
                    self.leave_remote(id, link, &name);
                }
            }
        }
    }

    /// Tells who watches a record of a field as it is now.
    pub(crate) fn post_again(&mut self, id: Id, field: u16) {
        let mask = ca_proto::wire::message::EventMask(0xf);
        debug_assert_ne!(field, ALL_FIELDS, "one field at a time");
        let state = self.state(id);
        let val = self.get(id, field);
        self.posts.push_back(Post {
            record: id,
            field,
            mask,
            val,
            time: state.time,
            alarm: state.alarm,
        });
    }
}

fn name_of<'a>(schema: &'a Schema, record: &'a Record) -> Name<'a> {
    match &*record.name {
        "" => ("", "", 0),
        name => (name, &schema.record_type(record.kind).name, 0),
    }
}

impl Calls {
    /// Takes over what the program is still to answer; the records that wait for an answer which it has given since.
    fn rejoin(&mut self, now: &Self, same: bool) -> Vec<Id> {
        self.go_on_after(now);
        let lost = self.split_waiting(|call| same && now.waits(call));
        for &id in &lost {
            self.answer(id);
        }
        lost
    }
}

/// Values and alarms of what subscribers see.
pub(crate) fn differs(old: &(Val, super::State), new: &(Val, super::State)) -> bool {
    let is_same = match (&old.0, &new.0) {
        (Val::Array(old), Val::Array(new)) => Arc::ptr_eq(old, new) || old == new,
        (old, new) => old.same(new),
    };
    !is_same || old.1 != new.1
}
