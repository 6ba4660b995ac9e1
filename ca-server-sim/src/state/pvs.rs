//! The state of the PVs that the program describes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use ca_proto::EcaStatus;
use ca_proto::dbr::{Metadata, NoState, Snapshot};
use ca_proto::ids::CircuitId;
use ca_proto::server::{PutId, PutTicket};
use ca_proto::wire::message::EventMask;

use super::codec::{Saved, Writer, saved};
use crate::db::{Db, PvHandle};
use crate::plain::{Busy, Record};
use crate::publish::Fields;

saved!(struct Snapshot { value, alarm, stamp, ack, meta });
saved!(struct Metadata { units, precision, limits, states, long_string } kept {
    // Of the kind of record.
    no_state = NoState::default(),
    class = Cow::Borrowed(""),
});

/// Whoever waited for a put and does so no more.
const NOBODY: PutTicket = PutTicket {
    circuit: CircuitId(u32::MAX),
    id: PutId(u32::MAX),
};

impl Db {
    /// The handles of the PVs in their order.
    pub(super) fn handles(&self) -> Vec<PvHandle> {
        self.records().map(|(handle, _)| handle).collect()
    }

    /// Whether a PV can be what a snapshot says. What belongs to it and not to its state is joined as far as it does not
    /// change.
    pub(super) fn suits(&self, handle: PvHandle, new: &mut Record) -> bool {
        let Some(now) = self.record(handle) else {
            return false;
        };
        let (value, count) = (&new.snapshot.value, new.snapshot.value.count());
        let fits = value.native() == now.native()
            && count <= now.capacity
            && (now.is_array() || count == 1);
        if fits {
            join_meta(new, now);
        }
        fits
    }

    /// Puts that are to begin are found again by their PVs.
    pub(super) fn begin_to_take(&mut self) {
        self.next_puts.clear();
    }

    /// Makes a PV what it was, and `new` what it is; announces what is another.
    pub(super) fn take_pv(&mut self, handle: PvHandle, new: &mut Record, same: bool) {
        let waiting = self.forget_puts(handle);
        let Some(now) = self.record_mut(handle) else {
            return;
        };
        keep(new, now);
        let changed = new.snapshot != now.snapshot;
        std::mem::swap(now, new);
        if let Some(busy) = now.busy_mut() {
            let busy = std::mem::replace(busy, Busy::idle());
            let busy = self.rejoin_puts(handle, busy, &waiting, same);
            if let Some(place) = self.busy_mut(handle) {
                *place = busy;
            }
        }
        if changed {
            self.post_fields(handle, EventMask(0xf), Fields::All);
        }
        for ticket in waiting {
            if !self.tickets.contains_key(&ticket) {
                self.completed.push_back((ticket, EcaStatus::PUTFAIL));
            }
        }
    }

    /// The puts that clients wait for at a PV, in their order, which are taken out of the lists of such.
    fn forget_puts(&mut self, handle: PvHandle) -> BTreeSet<PutTicket> {
        if !self.busy.remove(&handle) {
            return BTreeSet::new();
        }
        let Some(busy) = self.busy_mut(handle) else {
            return BTreeSet::new();
        };
        let until = busy.until;
        let queue = busy.queue.values().map(|put| put.ticket);
        let all: BTreeSet<PutTicket> = busy.holder.into_iter().chain(queue).collect();
        if let Some(until) = until {
            self.due.remove(&(until, handle));
        }
        let mut heard = all;
        heard.retain(|ticket| self.tickets.remove(ticket).is_some());
        heard
    }

    /// Has clients wait for the puts that they wait for, and lets the others go on unheard.
    fn rejoin_puts(
        &mut self,
        handle: PvHandle,
        mut busy: Busy,
        waiting: &BTreeSet<PutTicket>,
        same: bool,
    ) -> Busy {
        let is_heard = |ticket: &PutTicket| same && waiting.contains(ticket);
        self.busy.insert(handle);
        if let Some(until) = busy.until {
            self.due.insert((until, handle));
        }
        match &mut busy.holder {
            Some(holder) if is_heard(holder) => {
                self.tickets.insert(*holder, (handle, None));
            }
            Some(holder) => *holder = NOBODY,
            None => self.next_puts.push_back(handle),
        }
        for (number, put) in &mut busy.queue {
            match is_heard(&put.ticket) {
                true => drop(self.tickets.insert(put.ticket, (handle, Some(*number)))),
                false => put.ticket = NOBODY,
            }
        }
        busy
    }
}

/// What is not state stays as it is.
fn keep(new: &mut Record, now: &mut Record) {
    new.name = std::mem::take(&mut now.name);
    new.kind = now.kind;
    new.capacity = now.capacity;
    (new.open, new.watched) = (now.open, now.watched);
    new.subs = std::mem::take(&mut now.subs);
    if !Arc::ptr_eq(&new.snapshot.meta, &now.snapshot.meta) {
        join_meta(new, now);
    }
    let Some(extra) = &mut now.extra else {
        return;
    };
    let hooks = std::mem::take(&mut extra.hooks);
    if !hooks.is_empty() {
        new.extra_mut().hooks = hooks;
    }
}

fn join_meta(new: &mut Record, now: &Record) {
    let meta = Arc::make_mut(&mut new.snapshot.meta);
    meta.class.clone_from(&now.snapshot.meta.class);
    meta.no_state = now.snapshot.meta.no_state;
    if same_meta(meta, &now.snapshot.meta) {
        // Many share it.
        new.snapshot.meta = Arc::clone(&now.snapshot.meta);
    }
}

/// Equality in which limits that are no numbers are equal.
fn same_meta(a: &Metadata, b: &Metadata) -> bool {
    let bytes = |meta: &Metadata| {
        let mut to = Writer::default();
        meta.save(&mut to);
        to.bytes
    };
    a == b || bytes(a) == bytes(b)
}
