//! The state of the PVs that the program describes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ca_proto::EcaStatus;
use ca_proto::dbr::{Metadata, NoState, Snapshot};
use ca_proto::ids::CircuitId;
use ca_proto::server::{PutId, PutTicket};
use ca_proto::wire::message::EventMask;

use super::codec::{Broken, Reader, Saved, Writer, saved};
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

    pub(super) fn save_pvs(&self, to: &mut Writer) {
        for (_, record) in self.records() {
            record.save(to);
        }
    }

    pub(super) fn load_pvs(&self, from: &mut Reader<'_>) -> Result<Vec<Record>, Broken> {
        let load = |(_, now): (PvHandle, &Record)| {
            let record = Record::load(from)?;
            let (value, count) = (&record.snapshot.value, record.snapshot.value.count());
            let fits = value.native() == now.native()
                && count <= now.capacity
                && (now.is_array() || count == 1);
            match fits {
                true => Ok(record),
                false => Err(from.broken("a value does not fit its PV")),
            }
        };
        self.records().map(load).collect()
    }

    /// Makes the PVs what they were, and announces what is another.
    pub(super) fn take_pvs(&mut self, state: Vec<Record>, same: bool) {
        let waiting = std::mem::take(&mut self.tickets);
        self.due.clear();
        self.busy.clear();
        self.next_puts.clear();
        let handles = self.handles();
        for (handle, mut new) in handles.into_iter().zip(state) {
            let Some(now) = self.record_mut(handle) else {
                continue;
            };
            keep(&mut new, now);
            let changed = new.snapshot != now.snapshot;
            *now = new;
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
        }
        for ticket in waiting.into_keys() {
            if !self.tickets.contains_key(&ticket) {
                self.completed.push_back((ticket, EcaStatus::PUTFAIL));
            }
        }
    }

    /// Has clients wait for the puts that they wait for, and lets the others go on unheard.
    fn rejoin_puts(
        &mut self,
        handle: PvHandle,
        mut busy: Busy,
        waiting: &BTreeMap<PutTicket, (PvHandle, Option<u64>)>,
        same: bool,
    ) -> Busy {
        let is_heard =
            |ticket: &PutTicket| same && waiting.get(ticket).is_some_and(|&(of, _)| of == handle);
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
    let meta = Arc::make_mut(&mut new.snapshot.meta);
    meta.class.clone_from(&now.snapshot.meta.class);
    meta.no_state = now.snapshot.meta.no_state;
    if same_meta(meta, &now.snapshot.meta) {
        // Many share it.
        new.snapshot.meta = Arc::clone(&now.snapshot.meta);
    }
    let Some(extra) = &mut now.extra else {
        return;
    };
    let hooks = std::mem::take(&mut extra.hooks);
    if !hooks.is_empty() {
        new.extra_mut().hooks = hooks;
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
