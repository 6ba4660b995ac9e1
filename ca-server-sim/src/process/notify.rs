//! Puts that are answered when all records are done that they have set in motion (`dbNotify.c` of EPICS
//! Base).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ca_proto::dbr::ConvertError;
use hashbrown::HashMap;

use super::chain::Root;
use super::database::Records;
use super::lapsed::Lapsed;
use super::put::PutError;
use crate::record::{Id, LinkError, Val};
use crate::state::codec::{Broken, Reader, Saved, Writer, saved};

/// A put whose completion is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct NotifyId(pub u64);

/// A put is complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// Which one.
    pub id: NotifyId,
    /// How it ended.
    pub result: Result<(), PutError>,
}

#[derive(Clone, Debug)]
struct Notify {
    id: u64,
    /// The record that was written.
    first: Id,
    /// Records that took part; those that are done name it no more.
    members: Vec<Id>,
    /// How many are not done.
    waiting: u32,
    /// Why nothing was written.
    error: Option<PutError>,
    /// Who waits for it.
    waits: Waits,
}

/// Who waits for a put.
#[derive(Clone, Copy, Debug)]
enum Waits {
    /// Who takes completions.
    Outside,
    /// A record, which goes on with this stage.
    Record(Id, u8),
    /// Nobody any more.
    Nobody,
}

/// Where a put is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Among those that are active.
    Active(u32),
    /// It waits for this record.
    Queued(Id),
}

/// A put to a record that is busy.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    id: u64,
    field: u16,
    val: Val,
    waits: Waits,
}

/// All puts that are not complete. Bounded by those who put.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifies {
    next: u64,
    /// By number; records name it by its place and one.
    active: Vec<Option<Notify>>,
    free: Vec<u32>,
    /// Where the put of a number is.
    pub(super) places: HashMap<u64, Place>,
    /// By record and by number, the order in which they came.
    pub(super) queued: HashMap<Id, BTreeMap<u64, Queued>>,
    /// Puts of records that went: nobody goes on when they are done.
    lapsed: Lapsed,
    pub(super) done: VecDeque<Completion>,
}

saved!(struct Notify { id, first: id, members, waiting, error, waits });
saved!(enum Waits { 0 Outside, 1 Record(record: id, stage), 2 Nobody });
saved!(enum Place { 0 Active(place), 1 Queued(record: id) });
saved!(struct Queued { id, field, val, waits });
saved!(struct Notifies { active, free, places, queued, lapsed } kept {
    // A number is never given twice.
    next = 0,
    // Clients are told.
    done = VecDeque::new(),
});

impl Notifies {
    /// Takes over what clients are told. Whom nobody waits for any more goes on unheard; the puts that clients wait for,
    /// of which these know nothing, are returned.
    pub(super) fn rejoin(
        &mut self,
        now: &mut Self,
        same: bool,
        waiting: &BTreeSet<NotifyId>,
    ) -> Vec<NotifyId> {
        let used = self.places.keys().map(|last| last.saturating_add(1)).max();
        let used = used.unwrap_or(0).max(self.lapsed.end());
        self.next = now.next.max(used);
        self.done = std::mem::take(&mut now.done);
        let is_heard = |id: u64| same && waiting.contains(&NotifyId(id));
        let active = self.active.iter_mut().flatten();
        let queued = self.queued.values_mut().flat_map(BTreeMap::values_mut);
        let active = active.map(|put| (put.id, &mut put.waits));
        for (id, waits) in active.chain(queued.map(|put| (put.id, &mut put.waits))) {
            if matches!(waits, Waits::Outside) && !is_heard(id) {
                *waits = Waits::Nobody;
            }
        }
        let is_known = |id: &NotifyId| {
            (same && self.places.contains_key(&id.0)) || self.done.iter().any(|done| done.id == *id)
        };
        let failed = waiting.iter().filter(|id| !is_known(id));
        failed.copied().collect()
    }

    /// All records that take part, or wait.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        let active = self.active.iter().flatten();
        let members = active.flat_map(|put| put.members.iter().copied());
        members.chain(self.queued.keys().copied())
    }

    /// Fields that are to be written.
    pub(super) fn fields(&self) -> impl Iterator<Item = (Id, u16)> {
        let queued = self.queued.iter();
        queued.flat_map(|(id, puts)| puts.values().map(|put| (*id, put.field)))
    }

    /// Whether the places that are free are places.
    pub(super) fn is_whole(&self) -> bool {
        let places = 1..=self.active.len();
        self.free
            .iter()
            .all(|place| places.contains(&(*place as usize)))
    }
}

impl Saved for PutError {
    fn save(&self, to: &mut Writer) {
        to.bytes.push(match self {
            Self::NoMod => 0,
            Self::Disabled => 1,
            Self::NoAccess => 2,
            // Clients are told the same of all of these.
            Self::Convert(_) => 3,
            Self::Refused => 4,
            Self::Link(LinkError::Hardware) => 5,
            Self::Link(LinkError::Json) => 6,
            Self::Removed => 7,
            Self::Device => 8,
            Self::Undone => 9,
        });
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok(match from.byte()? {
            0 => Self::NoMod,
            1 => Self::Disabled,
            2 => Self::NoAccess,
            3 => Self::Convert(ConvertError::Unsupported),
            4 => Self::Refused,
            5 => Self::Link(LinkError::Hardware),
            6 => Self::Link(LinkError::Json),
            7 => Self::Removed,
            8 => Self::Device,
            9 => Self::Undone,
            _ => return Err(from.broken("it has an unknown error of a put")),
        })
    }
}

impl Records {
    /// Writes a field as [`Self::put`]; when the record is busy, as soon as it is not. A
    /// [`Completion`] tells that all records are done that the put has set in motion.
    pub fn put_notify(&mut self, id: u32, field: u16, val: Val) -> NotifyId {
        self.settle();
        self.notify_put(id, field, val, Waits::Outside)
    }

    /// Writes for a record, which goes on with a stage when all is done that this set in motion
    /// (`dbCaPutLinkCallback`).
    pub(super) fn put_for_record(&mut self, from: Id, stage: u8, to: Id, field: u16, val: Val) {
        if from == to {
            // It would wait for itself.
            let _ = self.db_put(to, field, &val);
            self.chain.roots.push_back(Root::Resume(from, stage));
        } else {
            self.notify_put(to, field, val, Waits::Record(from, stage));
        }
    }

    fn notify_put(&mut self, id: Id, field: u16, val: Val, waits: Waits) -> NotifyId {
        let number = self.notifies.next;
        self.notifies.next += 1;
        let record = self.record(id);
        if record.pact || record.notify != 0 || self.notifies.queued.contains_key(&id) {
            let queued = Queued {
                id: number,
                field,
                val,
                waits,
            };
            self.notifies.places.insert(number, Place::Queued(id));
            self.notifies
                .queued
                .entry(id)
                .or_default()
                .insert(number, queued);
        } else {
            self.start_notify(id, number, field, &val, waits);
        }
        NotifyId(number)
    }

    /// Gives up waiting for a put: it is not told any more, and if it still waits for a busy record it is
    /// not written.
    pub fn cancel_notify(&mut self, notify: NotifyId) {
        match self.notifies.places.remove(&notify.0) {
            Some(Place::Queued(id)) => {
                if let Some(queue) = self.notifies.queued.get_mut(&id) {
                    queue.remove(&notify.0);
                    if queue.is_empty() {
                        self.notifies.queued.remove(&id);
                    }
                }
            }
            Some(Place::Active(place)) => {
                let members = self
                    .free_notify(place)
                    .map_or_else(Vec::new, |notify| notify.members);
                for id in members {
                    if self.record(id).notify == place {
                        self.record_mut(id).notify = 0;
                        self.next_notify(id);
                    }
                }
            }
            None => self.notifies.done.retain(|done| done.id != notify),
        }
    }

    fn active(&mut self, place: u32) -> Option<&mut Notify> {
        let place = (place as usize).checked_sub(1)?;
        self.notifies.active.get_mut(place)?.as_mut()
    }

    fn free_notify(&mut self, place: u32) -> Option<Notify> {
        let notify = self
            .notifies
            .active
            .get_mut((place as usize).checked_sub(1)?)?
            .take()?;
        self.notifies.free.push(place);
        self.notifies.places.remove(&notify.id);
        Some(notify)
    }

    /// Writes. A value that cannot be the field's is not stored, but the record is processed all the same
    /// (`processNotifyCommon`).
    fn start_notify(&mut self, id: Id, number: u64, field: u16, val: &Val, waits: Waits) {
        let error = self.put_any(id, field, val).err();
        let processed = error != Some(PutError::Disabled)
            && !self.type_of(id).field(field).dbf.is_link()
            && self.process_written(id, field);
        if !processed {
            let result = error.map_or(Ok(()), Err);
            self.notifies.places.remove(&number);
            self.tell_completion(number, result, waits);
            return self.next_notify(id);
        }
        let notify = Notify {
            id: number,
            first: id,
            members: vec![id],
            waiting: 1,
            error,
            waits,
        };
        let notifies = &mut self.notifies;
        let place = notifies.free.pop().unwrap_or_else(|| {
            notifies.active.push(None);
            // As many as there are puts, which have memory of their own.
            notifies.active.len() as u32
        });
        if let Some(slot) = notifies.active.get_mut(place as usize - 1) {
            *slot = Some(notify);
        }
        notifies.places.insert(number, Place::Active(place));
        self.record_mut(id).notify = place;
    }

    /// A record sets another one in motion (`dbNotifyAdd`).
    pub(super) fn notify_add(&mut self, from: Id, to: Id) {
        let place = self.record(from).notify;
        let target = self.record(to);
        if place == 0 || target.pact || target.notify != 0 {
            return;
        }
        if let Some(notify) = self.active(place)
            && notify.first != to
        {
            notify.waiting += 1;
            notify.members.push(to);
            self.record_mut(to).notify = place;
        }
    }

    /// A record is done.
    #[inline]
    pub(super) fn notify_completion(&mut self, id: Id) {
        let place = std::mem::take(&mut self.record_mut(id).notify);
        if place != 0 {
            self.is_done(id, place);
        }
    }

    fn is_done(&mut self, id: Id, place: u32) {
        let Some(notify) = self.active(place) else {
            return;
        };
        notify.waiting = notify.waiting.saturating_sub(1);
        if notify.waiting == 0
            && let Some(notify) = self.free_notify(place)
        {
            let result = notify.error.map_or(Ok(()), Err);
            self.tell_completion(notify.id, result, notify.waits);
        }
        self.next_notify(id);
    }

    fn tell_completion(&mut self, number: u64, result: Result<(), PutError>, waits: Waits) {
        match waits {
            Waits::Outside => self.notifies.done.push_back(Completion {
                id: NotifyId(number),
                result,
            }),
            Waits::Record(id, _) if self.notifies.lapsed.has(id, number) => {}
            Waits::Record(id, stage) => self.chain.roots.push_back(Root::Resume(id, stage)),
            Waits::Nobody => {}
        }
        if self.notifies.places.is_empty() {
            self.notifies.lapsed.clear();
        }
    }

    /// The next put to a record that was busy.
    pub(super) fn next_notify(&mut self, id: Id) {
        if self.notifies.queued.contains_key(&id) {
            self.chain.roots.push_back(Root::Notify(id));
        }
    }

    pub(super) fn start_next_notify(&mut self, id: Id) {
        let record = self.record(id);
        if record.pact || record.notify != 0 {
            return;
        }
        let Some(queue) = self.notifies.queued.get_mut(&id) else {
            return;
        };
        let queued = queue.pop_first().map(|(_, queued)| queued);
        if queue.is_empty() {
            self.notifies.queued.remove(&id);
        }
        if let Some(Queued {
            id: number,
            field,
            val,
            waits,
        }) = queued
        {
            self.start_notify(id, number, field, &val, waits);
        }
    }

    /// A record is removed: puts that wait for it fail, and it is done with the others that it takes part in.
    pub(super) fn end_puts(&mut self, id: Id) {
        let queued = self.notifies.queued.remove(&id).unwrap_or_default();
        for queued in queued.into_values() {
            self.notifies.places.remove(&queued.id);
            self.tell_completion(queued.id, Err(PutError::Removed), queued.waits);
        }
        let place = self.record(id).notify;
        if let Some(notify) = self.active(place) {
            if notify.first == id {
                notify.error.get_or_insert(PutError::Removed);
            }
            self.notify_completion(id);
        }
    }

    /// A record that is gone waits for no put.
    pub(super) fn forget_waits(&mut self, id: Id) {
        if !self.notifies.places.is_empty() {
            self.notifies.lapsed.lapse(id, self.notifies.next);
        }
    }

    /// Puts that are complete, in the order in which they became so.
    pub fn take_completions(&mut self) -> impl Iterator<Item = Completion> + '_ {
        self.notifies.done.drain(..)
    }
}
