//! Snapshots of an IOC, and going back to them; standing still, and going on step by step.
//!
//! # What is in a snapshot
//! All that decides what the IOC does next by itself: values, fields, alarms, time stamps and dead-bands of PVs and
//! records, what is being processed and what waits to be, scans, timers, what links have seen, puts that are not
//! complete, signals with their random numbers, flags, faults and when they end, and what time it is for all of these.
//!
//! # What is not
//! What belongs to clients, drivers and the program stays as it is: circuits, channels, subscriptions, filters of
//! channels and what is queued for them, messages that faults hold back, connections of links to PVs of other IOCs and
//! the values that came through them, functions, hooks, rules of access security, questions that the program has not
//! answered, and what closures that are signals have in them. Which records and PVs there are is not state either: a
//! snapshot fits an IOC that has the same.
//!
//! # Bounds
//! A snapshot is taken in turns ([`take`]), each of some hundred records, and is of the moment at which it was begun: what
//! changes meanwhile is copied before it does ([`copy`]). A rewind ([`back`]) reads and compares in turns before anything
//! changes, exchanges all records at once, and PVs of the program in turns, each as a whole. What is done at once grows with
//! what waits and scans, not with records; SECURITY.md has what that is for 60 000 of them.

mod back;
mod basics;
pub(crate) mod codec;
pub(crate) mod copy;
mod file;
mod first;
mod pvs;
mod signals;
mod step;
mod take;
#[cfg(test)]
mod tests;
pub(crate) mod timeline;

use std::collections::BTreeSet;

use ca_proto::Instant;
use hashbrown::HashMap;

pub use file::{IocSnapshot, MAX_SNAPSHOT, SnapshotError};
pub use first::{KEPT_AT_START, ResetError};
pub use step::{NotFrozen, Step};

#[cfg(feature = "net")]
pub(crate) use back::Rewinding;
pub(crate) use first::First;

use crate::db::PvHandle;
use crate::faults::{Faults, Faulty, Held, Pattern};
use crate::ioc::Ioc;
use codec::{Broken, Reader, Saved, Writer};
use signals::number_of;

impl Ioc {
    /// Takes a snapshot: an object of its own, to which the IOC can [go back](Self::rewind) any number of times.
    ///
    /// # Errors
    /// [`SnapshotError::NotStarted`]
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Instant, Ioc, IocSnapshot, Timestamp};
    ///
    /// let mut ioc = Ioc::from_db("record(ao, \"gap\") { field(FLNK, \"twice\") }
    ///                            record(calc, \"twice\") { field(INPA, \"gap\") field(CALC, \"2*A\") }")?;
    /// let now = Instant::ZERO;
    /// ioc.start(now, Timestamp::from_unix(1_800_000_000, 0), 5064);
    /// ioc.post(now, "gap", 1.5)?;
    /// let before = ioc.snapshot(now)?;
    /// ioc.post(now, "gap", 7.0)?;
    /// ioc.rewind(now, &before)?; // clients stay connected, and see the old values as updates
    /// assert_eq!(ioc.number("twice")?, 3.0);
    ///
    /// let file = IocSnapshot::from_bytes(before.as_bytes())?; // or `write` and `read`
    /// ioc.rewind(now, &file)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&mut self, now: Instant) -> Result<IocSnapshot, SnapshotError> {
        let mut taking = self.begin_snapshot(now)?;
        while self.copy_on(&mut taking)? {}
        Ok(taking.finish())
    }

    /// Goes back to a snapshot, of this IOC or of one with the same records and PVs. Clients stay connected; those who
    /// subscribe to what is another now are told. Timers and scans go on as they would have then; time stamps
    /// are those of now.
    ///
    /// Puts with completion that clients wait for, and that came after the snapshot, fail. Those that were under way
    /// then and are done by now are under way again, unheard. What the program and other IOCs had been asked for then,
    /// and have answered since, is taken for answered without a value.
    ///
    /// # Errors
    /// [`SnapshotError`]: it does not fit, and nothing has changed.
    pub fn rewind(&mut self, now: Instant, snapshot: &IocSnapshot) -> Result<(), SnapshotError> {
        let mut rewinding = self.begin_rewind(snapshot)?;
        rewinding.read()?;
        while self.go_back(now, &mut rewinding)? {}
        Ok(())
    }

    /// Takes a snapshot for whoever [asks](Self::kept_snapshot) for it later, in place of the one before: consoles and
    /// control sockets go back to it.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); the one before is kept then.
    pub fn keep_snapshot(&mut self, now: Instant) -> Result<IocSnapshot, SnapshotError> {
        let snapshot = self.snapshot(now)?;
        self.keep(snapshot.clone());
        Ok(snapshot)
    }

    /// Keeps this one, in place of the one before.
    pub fn keep(&mut self, snapshot: IocSnapshot) {
        self.kept = Some(snapshot);
    }

    /// The snapshot that was [kept](Self::keep_snapshot).
    pub const fn kept_snapshot(&self) -> Option<&IocSnapshot> {
        self.kept.as_ref()
    }

    fn take_faults(
        &mut self,
        now: Instant,
        faults: Option<Box<Faults>>,
        faulty: Option<Box<Faulty>>,
        clock_off: i64,
    ) {
        let was_down = self.is_down();
        let old = std::mem::replace(&mut self.faults, faults);
        if let Some(mut old) = old.filter(|old| old.says_something()) {
            self.faults_mut().rejoin(&mut old);
        }
        self.db.overseers.change(|all| all.faulty = faulty);
        self.shift_clock(now, clock_off.saturating_sub(self.clock_off));
        if was_down && !self.is_down() {
            self.renew_endpoints(now);
        }
        if self
            .faults
            .as_ref()
            .is_some_and(|faults| faults.harms_links())
        {
            self.arm_links();
        }
        self.mark_links();
    }

    /// It is this time for the database from now on.
    fn go_to(&mut self, now: Instant, own: Instant) {
        let mut time = self.db.time;
        time.go_to(now, own);
        self.set_timeline(time);
    }

    pub(crate) fn set_timeline(&mut self, time: timeline::Timeline) {
        self.db.time = time;
        if let Some(served) = &mut self.db.served {
            served.records.time = time;
        }
    }
}

fn save_faulty(faulty: Option<&Faulty>, handles: &[PvHandle], to: &mut Writer) {
    faulty.is_some().save(to);
    let Some(Faulty {
        held,
        puts,
        rights,
        rng,
    }) = faulty
    else {
        return;
    };
    let place = |(pv, held): (&PvHandle, &Held)| Some((number_of(handles, *pv)?, held.clone()));
    let mut held: Vec<(usize, Held)> = held.iter().filter_map(place).collect();
    held.sort_unstable_by_key(|(place, _)| *place);
    held.save(to);
    puts.save(to);
    rights.save(to);
    rng.save(to);
}

fn load_faulty(from: &mut Reader<'_>, handles: &[PvHandle]) -> Result<Option<Box<Faulty>>, Broken> {
    if !bool::load(from)? {
        return Ok(None);
    }
    let places = Vec::<(usize, Held)>::load(from)?;
    let mut held = HashMap::new();
    for (place, it) in places {
        let handle = handles.get(place).copied();
        let handle = handle.ok_or_else(|| from.broken("it names a PV that there is not"))?;
        held.insert(handle, it);
    }
    Ok(Some(Box::new(Faulty {
        held,
        puts: Vec::<(Pattern, _)>::load(from)?,
        rights: Vec::<(Pattern, _)>::load(from)?,
        rng: Saved::load(from)?,
    })))
}

/// Puts that clients wait for.
pub(crate) type Waiting = BTreeSet<crate::process::NotifyId>;
