//! What an IOC was when it was loaded: what it is again when it reboots.

use ca_proto::Instant;
use thiserror::Error;

use super::back::Read;
use super::codec::Reader;
use super::copy::name_of;
use super::file::IocSnapshot;
use crate::autosave::{Pass, Restore};
use crate::db::PvHandle;
use crate::ioc::Ioc;

/// PVs and records of an IOC that keeps what it was loaded with, unless it was said whether it does
/// ([`IocBuilder::reboots`](crate::IocBuilder::reboots)).
pub const KEPT_AT_START: usize = 10_000;

/// Why values stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResetError {
    /// It does not keep what it was loaded with.
    #[error(
        "the IOC has more than {most} PVs and does not keep what they were when they were loaded; say `IocBuilder::reboots(true)`",
        most = KEPT_AT_START
    )]
    NotKept,
    /// A record that was loaded is gone, or has another name.
    #[error(
        "{name}, which was loaded, was removed or renamed since then; restart the program that serves it"
    )]
    Gone {
        /// Its name.
        name: String,
    },
    /// A snapshot is being taken.
    #[error("a snapshot of the IOC is being taken; reboot it when that is done")]
    Busy,
}

/// What becomes of an IOC when it reboots.
#[derive(Default)]
pub(crate) struct First {
    /// Whether that is kept, if it was said.
    wish: Option<bool>,
    /// It was seen to.
    is_seen_to: bool,
    loaded: Option<IocSnapshot>,
    /// What was restored at the start.
    restored: Vec<Restore>,
    /// What is restored after that.
    restores: Option<Restores>,
    reboots: u64,
}

/// What a program restores at each start.
type Restores = Box<dyn FnMut() -> Vec<Restore> + Send>;

impl First {
    pub(crate) const fn wish(&mut self, kept: bool) {
        self.wish = Some(kept);
    }

    /// This was restored at the start.
    pub(crate) fn note(&mut self, restore: &Restore) {
        if self.loaded.is_some() {
            self.restored.push(restore.clone());
        }
    }
}

impl Ioc {
    /// Keeps what it is now, which is before anything was restored or processed.
    pub(crate) fn keep_first(&mut self) {
        if std::mem::replace(&mut self.first.is_seen_to, true) {
            return;
        }
        let records = self.db.served.as_ref();
        let count = self.db.len() + records.map_or(0, |served| served.records.places());
        if self.first.wish.unwrap_or(count <= KEPT_AT_START) {
            let taken = self.begin_copies(Instant::ZERO);
            self.first.loaded = taken.ok().and_then(|mut taking| {
                while self.copy_on(&mut taking).ok()? {}
                Some(taking.finish())
            });
        }
    }

    /// Has this asked what is to be restored whenever the IOC [is reset](Self::reset), in the place of what was
    /// [restored](Self::restore_at_start) when it was started first: save files are others by then. It is asked while
    /// no client is connected, and holds the IOC until it answers.
    pub fn restore_at_resets(&mut self, restores: impl FnMut() -> Vec<Restore> + Send + 'static) {
        self.first.restored = Vec::new();
        self.first.restores = Some(Box::new(restores));
    }

    /// How often it was [reset](Self::reset).
    pub const fn resets(&self) -> u64 {
        self.first.reboots
    }

    /// Makes all records and PVs what they were when they were loaded, and begins as at the
    /// [start](Self::start): save files are restored, records initialized, PINI processed, scans and signals begun
    /// anew. That is what the fault `reboot` does when the IOC comes back. PVs and records that were added since then
    /// are removed; a PV of another type than then keeps it, with its value. Faults, rules of access security,
    /// functions, hooks and models stay. It takes as long as a start, at once.
    ///
    /// # Errors
    /// [`ResetError`]: nothing has changed.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Instant, Ioc, Timestamp};
    ///
    /// let mut ioc = Ioc::from_db("record(ao, \"gap\") { field(VAL, 1.5) field(PINI, YES) field(FLNK, n) }
    ///                            record(calc, \"n\") { field(CALC, \"VAL+1\") }")?;
    /// let now = Instant::ZERO;
    /// ioc.start(now, Timestamp::from_unix(1_800_000_000, 0), 5064);
    /// ioc.post(now, "gap", 7.0)?;
    /// assert_eq!(ioc.number("n")?, 2.0);
    /// ioc.reset(now)?;
    /// assert_eq!((ioc.number("gap")?, ioc.number("n")?), (1.5, 1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reset(&mut self, now: Instant) -> Result<(), ResetError> {
        let loaded = self.first.loaded.clone().ok_or(ResetError::NotKept)?;
        if self.db.copying.as_ref().is_some_and(|it| it.is_wanted()) {
            return Err(ResetError::Busy);
        }
        let served = self.db.served.as_ref();
        let schema = served.map(|served| served.records.shared_schema());
        // Bytes of this program, of this IOC: only records that came when there were none make them unfit.
        let (body, _) = loaded.body();
        let of = |schema| match Read::of(body, schema, &self.db.handles()) {
            Ok(Ok(read)) => Some(read),
            _ => None,
        };
        let read = of(schema.as_deref()).or_else(|| of(None));
        let mut read = read.ok_or(ResetError::NotKept)?;
        self.check_places(&read)?;
        let handles = self.remove_since(now, &read);
        self.take_first(now, &mut read, &handles);
        self.first.reboots += 1;
        self.restore_again();
        if self.is_running() {
            self.process_all(now);
        }
        self.hold_again(now);
        Ok(())
    }

    /// Whether the records that were loaded are still where they were.
    fn check_places(&self, read: &Read) -> Result<(), ResetError> {
        let (Some(names), Some(served)) = (&read.record_names, &self.db.served) else {
            return Ok(());
        };
        for (place, then) in names.iter().enumerate() {
            let name = served.records.name_at(place);
            if name.is_none_or(|(name, of, _)| (name, of) != (&then.name, &then.of)) {
                let name = then.name.to_string();
                return Err(ResetError::Gone { name });
            }
        }
        Ok(())
    }

    /// Removes what was not loaded. The handles of the PVs that were, in the order in which they were; where there is
    /// none any more, of one that is none.
    fn remove_since(&mut self, now: Instant, read: &Read) -> Vec<Option<PvHandle>> {
        let handles = read.pv_names.iter().map(|kind| {
            let handle = self.db.find(kind.name.as_bytes())?;
            let is_same = |record| name_of(record).1 == &*kind.of;
            self.db.record(handle).filter(|it| is_same(it))?;
            Some(handle)
        });
        let handles: Vec<Option<PvHandle>> = handles.collect();
        let loaded: hashbrown::HashSet<&[u8]> = read
            .pv_names
            .iter()
            .map(|kind| kind.name.as_bytes())
            .collect();
        let pvs = self.db.records();
        let since = pvs.filter(|(_, pv)| !loaded.contains(pv.name.as_bytes()));
        for handle in since.map(|(handle, _)| handle).collect::<Vec<_>>() {
            self.remove(now, handle);
        }
        if let Some(served) = &self.db.served {
            let first = read.record_names.as_ref().map_or(0, Vec::len);
            let places = first..served.records.places();
            let records = &served.records;
            let is_there = |place: &usize| {
                let name = records.name_at(*place);
                name.is_some_and(|(name, ..)| !name.is_empty())
            };
            let since: Vec<u32> = places.filter(is_there).map(|place| place as u32).collect();
            self.remove_records(now, &since);
        }
        handles
    }

    /// Takes over what was loaded.
    fn take_first(&mut self, now: Instant, read: &mut Read, handles: &[Option<PvHandle>]) {
        self.db.revise();
        let all: Option<Vec<PvHandle>> = handles.iter().copied().collect();
        let signals = read.signals.take().zip(all);
        let begun = self.scans.start;
        let restored = signals.is_some_and(|(signals, handles)| {
            let end = Reader::at_end(&[]);
            signals.take(&end, &mut self.scans, &handles).is_ok()
        });
        if !restored {
            // Those of PVs that are others by now; they go on.
            self.scans.start = begun;
        }
        self.db.states = std::mem::take(&mut read.flags);
        self.db.begin_to_take();
        for (handle, new) in handles.iter().zip(&mut read.pvs) {
            if let &Some(handle) = handle
                && self.db.suits(handle, new)
            {
                self.db.take_pv(handle, new, false);
            }
        }
        if let (Some(state), Some(served)) = (&mut read.records, &mut self.db.served) {
            let at = self.db.time.of(now);
            if served.records.suits(state) {
                served.rewind(at, state, false);
                let places = 0..served.records.places();
                served.records.note_groups(state, places);
            }
        }
        self.wrote = None;
        self.inputs_stale();
        self.db.collect_field_puts();
    }

    /// What is restored at each start; what is said about it goes to the log.
    fn restore_again(&mut self) {
        let all = match self.first.restores.take() {
            Some(mut restores) => {
                let all = restores();
                self.first.restores = Some(restores);
                all
            }
            None => self.first.restored.clone(),
        };
        for pass in [Pass::Before, Pass::After] {
            for restore in all.iter().filter(|restore| restore.pass == pass) {
                self.restore_next(restore.clone());
            }
        }
    }
}
