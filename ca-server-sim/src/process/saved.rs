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
use crate::record::{Id, Record, Val, common};
use crate::state::codec::{Broken, Reader, Saved, Writer};

/// The links of records to PVs of other IOCs: by the PV's name, who follows it.
pub(super) type RemoteUsers = BTreeMap<Box<str>, BTreeMap<(Id, u16), Option<When>>>;

/// One list of what records consist of: who adds a field has to say where it belongs.
macro_rules! parts {
    (saved { $($field:ident: $ty:ty,)+ } kept { $($kept:ident)+ }) => {
        /// The state of all records, read from a snapshot.
        #[derive(Debug)]
        pub(crate) struct RecordsState {
            $(pub(super) $field: $ty,)+
            users: RemoteUsers,
            waits: Waits,
        }

        impl Records {
            /// Writes the state.
            pub(crate) fn save(&self, to: &mut Writer) {
                let Self { remotes, $($field,)+ $($kept: _,)+ } = self;
                $($field.save(to);)+
                remotes.users().save(to);
                remotes.waits().save(to);
            }

            fn load_parts(from: &mut Reader<'_>) -> Result<RecordsState, Broken> {
                Ok(RecordsState {
                    $($field: <$ty>::load(from)?,)+
                    users: RemoteUsers::load(from)?,
                    waits: Waits::load(from)?,
                })
            }

            fn take_parts(&mut self, state: RecordsState) -> (RemoteUsers, Waits) {
                $(self.$field = state.$field;)+
                (state.users, state.waits)
            }
        }
    };
}

parts! {
    saved {
        records: Vec<Record>,
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
    }
}

impl Records {
    /// Reads the state of records that are as many, and of the same types.
    pub(crate) fn load_state(&self, from: &mut Reader<'_>) -> Result<RecordsState, Broken> {
        from.records = self.records.len();
        let mut state = Self::load_parts(from)?;
        if state.records.len() != self.records.len() {
            return Err(from.broken("it has another number of records"));
        }
        if !state.scans.fit(&self.scans) {
            return Err(from.broken("it has other scan periods"));
        }
        match self.accepts(&state) {
            true => Ok(state),
            false => Err(from.broken("it does not fit the records that there are")),
        }
    }

    /// Whether all that is named is there: the bytes may be from anywhere.
    fn accepts(&self, state: &RecordsState) -> bool {
        let RecordsState {
            records,
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
        } = state;
        let fields = records.iter().zip(&self.records).all(|(new, old)| {
            let of = self.schema.record_type(old.kind);
            let known = |index: u16| of.fields.get(usize::from(index));
            (new.fields.iter()).all(|(index, val)| known(index).is_some_and(|it| val.suits(it.dbf)))
        });
        let is_field = |(id, field): (Id, u16)| {
            let record = self.records.get(id as usize);
            let of = record.map(|record| self.schema.record_type(record.kind));
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
            && ids.all(|id| (id as usize) < self.records.len())
            && targets.all(is_field)
            && notifies.is_whole()
    }

    /// Makes the records what they were. What clients wait for with puts, and drivers of links and the program with
    /// their answers, is joined with it if the state is of this IOC; what they are done with since then is taken for
    /// answered. `waiting` are the puts that clients wait for; those that the state does not know have failed.
    pub(crate) fn take_state(
        &mut self,
        now: Instant,
        mut state: RecordsState,
        same: bool,
        waiting: &BTreeSet<NotifyId>,
    ) {
        self.leave_links(&state.users);
        for (new, old) in state.records.iter_mut().zip(&mut self.records) {
            let of = self.schema.record_type(old.kind);
            new.name = std::mem::take(&mut old.name);
            new.kind = old.kind;
            new.watched = old.watched;
            self.regrouped |= new.held(of, common::ASG) != old.held(of, common::ASG);
        }
        let failed = state.notifies.rejoin(&mut self.notifies, same, waiting);
        let answered = state.calls.rejoin(&self.calls, same);
        let (users, waits) = self.take_parts(state);
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

    /// The names of all records in the order of their numbers, with that of their types; both are empty for a number
    /// without record.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (&str, &str)> {
        self.records.iter().map(|record| match &*record.name {
            "" => ("", ""),
            name => (name, &*self.schema.record_type(record.kind).name),
        })
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
