//! Taking a snapshot in turns.

use std::sync::Arc;

use ca_proto::{Instant, Timestamp};

use super::codec::{Saved, Writer};
use super::copy::{self, Copying};
use super::file::{self, IocSnapshot, SnapshotError};
use super::save_faulty;
use super::signals::SignalsCopy;
use crate::ioc::Ioc;
use crate::process::RecordsRest;

/// A snapshot that is being taken: of the moment at which it was begun, whatever becomes of the IOC meanwhile. While it
/// is there signals are not sampled.
#[derive(Debug)]
pub(crate) struct Taking {
    /// With it all ends that is done for this.
    _token: Arc<()>,
    /// Which PVs and records there were.
    revision: u64,
    taken: Timestamp,
    of: Arc<()>,
    head: Writer,
    rest: Option<RecordsRest>,
    signals: SignalsCopy,
    tail: Writer,
    /// The states of models, in forms of their own.
    models: Vec<Vec<u8>>,
    pvs: Copying,
    records: Copying,
}

impl Ioc {
    /// Begins a snapshot of this moment.
    pub(crate) fn begin_snapshot(&mut self, now: Instant) -> Result<Taking, SnapshotError> {
        match self.is_running() {
            true => self.begin_copies(now),
            false => Err(SnapshotError::NotStarted),
        }
    }

    /// The same, also before the start.
    pub(super) fn begin_copies(&mut self, now: Instant) -> Result<Taking, SnapshotError> {
        if self.db.copying.as_ref().is_some_and(|it| it.is_wanted()) {
            return Err(SnapshotError::Busy);
        }
        let token = Arc::new(());
        let taken = self.stamp(now);
        let mut head = file::begin();
        taken.save(&mut head);
        self.db.time.of(now).save(&mut head);
        let mut tail = Writer::default();
        self.db.states.save(&mut tail);
        self.faults.save(&mut tail);
        let faulty = self.db.overseers.faulty.as_deref();
        // Of PVs there may be very many, and faults are rare.
        let handles = faulty.map(|_| self.db.handles()).unwrap_or_default();
        save_faulty(faulty, &handles, &mut tail);
        self.clock_off.save(&mut tail);
        self.db.hold_signals(&token);
        self.db.copying = Some(Copying::new(&token, self.db.nodes.slots()));
        let revision = self.db.revision();
        let served = self.db.served.as_mut();
        Ok(Taking {
            revision,
            taken,
            of: Arc::clone(self.identity.get_or_insert_default()),
            head,
            rest: served.map(|served| served.records.begin_copy(&token)),
            signals: SignalsCopy::begin(&self.scans),
            tail,
            models: Vec::new(),
            pvs: Copying::default(),
            records: Copying::default(),
            _token: token,
        })
    }

    /// Copies a part of it; whether there is more.
    pub(crate) fn copy_on(&mut self, taking: &mut Taking) -> Result<bool, SnapshotError> {
        if self.db.revision() != taking.revision {
            return Err(SnapshotError::Reshaped);
        }
        // Signals first: they are not sampled meanwhile.
        if taking.signals.go_on(&self.scans, &self.db) || self.db.copy_on() {
            return Ok(true);
        }
        let served = self.db.served.as_mut();
        if served.is_some_and(|served| served.records.copy_on()) {
            return Ok(true);
        }
        taking.pvs = copy::take(&mut self.db.copying);
        if let Some(served) = &mut self.db.served {
            taking.records = copy::take(&mut served.records.copying);
        }
        Ok(false)
    }
}

impl Taking {
    /// The states of models at the moment at which it was begun.
    #[cfg(feature = "net")]
    pub(crate) fn set_models(&mut self, models: Vec<Vec<u8>>) {
        self.models = models;
    }

    /// The snapshot, once all is copied. It need not be made under a lock.
    pub(crate) fn finish(self) -> IocSnapshot {
        let Self {
            _token: _,
            revision: _,
            taken,
            of,
            head: mut to,
            rest,
            signals,
            tail,
            models,
            pvs,
            records,
        } = self;
        let (_, names, pvs) = pvs.parts();
        to.bytes.extend_from_slice(&names.bytes);
        rest.is_some().save(&mut to);
        let records = rest.map(|rest| (rest, records.parts()));
        if let Some((_, (_, names, _))) = &records {
            to.bytes.extend_from_slice(&names.bytes);
        }
        to.bytes.extend_from_slice(&pvs);
        if let Some((rest, (count, _, records))) = records {
            rest.save((count, &records), &mut to);
        }
        signals.finish().save(&mut to);
        to.bytes.extend_from_slice(&tail.bytes);
        models.len().save(&mut to);
        models.iter().for_each(|model| to.text(model));
        IocSnapshot::finish(to, taken, of)
    }
}
