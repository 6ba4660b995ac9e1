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
//! The IOC is held while a snapshot is taken, and while it goes back to one: the state is of one moment. Both take time
//! that grows with records and arrays, not with clients, but for the fields that are subscribed, each of which is read
//! twice and told once. SECURITY.md has what that is for 60 000 records.

mod basics;
pub(crate) mod codec;
mod file;
mod pvs;
mod signals;
mod step;
pub(crate) mod timeline;

use std::collections::BTreeSet;
use std::sync::Arc;

use ca_proto::dbr::NativeType;
use ca_proto::{Instant, Timestamp};
use hashbrown::HashMap;

pub use file::{IocSnapshot, MAX_SNAPSHOT, SnapshotError};
pub use step::{NotFrozen, Step};

use crate::db::{Db, PvHandle};
use crate::faults::{Faults, Faulty, Held, Pattern};
use crate::ioc::Ioc;
use crate::plain::Record;
use crate::process::RecordsState;
use codec::{Broken, Reader, Saved, Writer};
use signals::SignalsState;

/// A snapshot that was read, and fits.
struct State {
    own: Instant,
    pvs: Vec<Record>,
    records: Option<RecordsState>,
    signals: SignalsState,
    flags: HashMap<Box<str>, bool>,
    faults: Option<Box<Faults>>,
    faulty: Option<Box<Faulty>>,
    clock_off: i64,
}

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
        if !self.is_running() {
            return Err(SnapshotError::NotStarted);
        }
        let taken = self.stamp(now);
        let mut to = file::begin();
        taken.save(&mut to);
        self.db.time.of(now).save(&mut to);
        self.db.save_names(&mut to);
        self.db.save_pvs(&mut to);
        if let Some(served) = &self.db.served {
            served.records.save(&mut to);
        }
        let handles = self.db.handles();
        SignalsState::of(&self.scans, &handles).save(&mut to);
        self.db.states.save(&mut to);
        self.faults.save(&mut to);
        save_faulty(self.db.overseers.faulty.as_deref(), &handles, &mut to);
        self.clock_off.save(&mut to);
        let of = Arc::clone(self.identity.get_or_insert_default());
        Ok(IocSnapshot::finish(to, taken, of))
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
        if !self.is_running() {
            return Err(SnapshotError::NotStarted);
        }
        let (body, head) = snapshot.body();
        let mut from = Reader::new(body);
        let handles = self.db.handles();
        let broken = |broken: Broken| SnapshotError::Broken {
            at: head + broken.at,
            what: broken.what,
        };
        Timestamp::load(&mut from).map_err(broken)?;
        let own = Instant::load(&mut from).map_err(broken)?;
        if let Some(what) = self.db.other_names(&mut from).map_err(broken)? {
            return Err(SnapshotError::OtherDatabase { what });
        }
        let state = self.load(&mut from, own, &handles).map_err(broken)?;
        let same = match (&self.identity, &snapshot.of) {
            (Some(own), Some(of)) => Arc::ptr_eq(own, of),
            _ => false,
        };
        let State {
            own,
            pvs,
            records,
            signals,
            flags,
            faults,
            faulty,
            clock_off,
        } = state;
        // The last that can be wrong.
        signals
            .take(&from, &mut self.scans, &handles)
            .map_err(broken)?;
        self.go_to(now, own);
        self.take_faults(now, faults, faulty, clock_off);
        self.db.states = flags;
        self.db.take_pvs(pvs, same);
        if let (Some(state), Some(served)) = (records, &mut self.db.served) {
            let at = self.db.time.of(now);
            served.rewind(at, state, same);
        }
        self.wrote = None;
        self.inputs_stale();
        self.db.collect_field_puts();
        self.look_again(now);
        self.settle(now);
        Ok(())
    }

    /// Takes a snapshot for whoever [asks](Self::kept_snapshot) for it later, in place of the one before: consoles and
    /// control sockets go back to it.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); the one before is kept then.
    pub fn keep_snapshot(&mut self, now: Instant) -> Result<IocSnapshot, SnapshotError> {
        let snapshot = self.snapshot(now)?;
        self.kept = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// The snapshot that was [kept](Self::keep_snapshot).
    pub const fn kept_snapshot(&self) -> Option<&IocSnapshot> {
        self.kept.as_ref()
    }

    fn load(
        &self,
        from: &mut Reader<'_>,
        own: Instant,
        handles: &[PvHandle],
    ) -> Result<State, Broken> {
        let pvs = self.db.load_pvs(from)?;
        let records = match &self.db.served {
            Some(served) => Some(served.records.load_state(from)?),
            None => None,
        };
        let state = State {
            own,
            pvs,
            records,
            signals: SignalsState::load(from)?,
            flags: Saved::load(from)?,
            faults: Saved::load(from)?,
            faulty: load_faulty(from, handles)?,
            clock_off: i64::load(from)?,
        };
        match from.is_at_end() {
            true => Ok(state),
            false => Err(from.broken("there is something behind its end")),
        }
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

/// What a PV or record is called and is, by which a snapshot is known to be of the same IOC.
type Name<'a> = (&'a str, &'a str, u32);

impl Db {
    /// PVs, then records.
    fn names_of_state(&self) -> (Vec<Name<'_>>, Option<Vec<Name<'_>>>) {
        let pvs = self.records().map(|(_, record)| {
            let kind = match record.native() {
                NativeType::String => "string",
                NativeType::Short => "short",
                NativeType::Float => "float",
                NativeType::Enum => "enum",
                NativeType::Char => "char",
                NativeType::Long => "long",
                NativeType::Double => "double",
            };
            (&*record.name, kind, record.capacity)
        });
        let records = self.served.as_ref().map(|served| {
            let all = served.records.numbered();
            all.map(|(name, of)| (name, of, 0)).collect()
        });
        (pvs.collect(), records)
    }

    fn save_names(&self, to: &mut Writer) {
        let (pvs, records) = self.names_of_state();
        let save = |all: &[Name<'_>], to: &mut Writer| {
            all.len().save(to);
            let mut last = "";
            for (name, of, count) in all {
                to.text(name.as_bytes());
                // Those of the same type mostly stand together.
                to.text(if *of == last { b"" } else { of.as_bytes() });
                count.save(to);
                last = of;
            }
        };
        save(&pvs, to);
        records.is_some().save(to);
        if let Some(records) = records {
            save(&records, to);
        }
    }

    /// The first difference to the names in a snapshot.
    fn other_names(&self, from: &mut Reader<'_>) -> Result<Option<String>, Broken> {
        let (pvs, records) = self.names_of_state();
        if let Some(what) = compare(from, &pvs, "PV")? {
            return Ok(Some(what));
        }
        let has_records = bool::load(from)?;
        match (has_records, records) {
            (true, Some(records)) => compare(from, &records, "record"),
            (false, None) => Ok(None),
            (true, None) => Ok(Some(
                "it has records of files, and here are none".to_owned(),
            )),
            (false, Some(_)) => Ok(Some(
                "it has no records of files, and here are some".to_owned(),
            )),
        }
    }
}

fn compare(from: &mut Reader<'_>, all: &[Name<'_>], what: &str) -> Result<Option<String>, Broken> {
    let shown = |name: &str, of: &str, count: u32| match (name, count) {
        ("", _) => "nothing (it was removed)".to_owned(),
        (name, 0 | 1) => format!("\"{name}\" ({of})"),
        (name, count) => format!("\"{name}\" ({of}, up to {count})"),
    };
    let length = from.length()?;
    let mut last: Box<str> = Box::default();
    for at in 0..length {
        let name = <Box<str>>::load(from)?;
        let of = <Box<str>>::load(from)?;
        let count = u32::load(from)?;
        if !of.is_empty() || name.is_empty() {
            last = of;
        }
        let there = all.get(at);
        if there.is_none_or(|&(n, o, c)| (n, o, c) != (&*name, &*last, count)) {
            let there = there.map_or_else(
                || "nothing".to_owned(),
                |&(name, of, count)| shown(name, of, count),
            );
            let number = at + 1;
            let its = shown(&name, &last, count);
            return Ok(Some(format!(
                "its {what} {number} is {its}, and here is {there}"
            )));
        }
    }
    Ok(all.get(length).map(|&(name, of, count)| {
        let number = length + 1;
        format!(
            "its {what}s end with number {length}, and here {number} is {}",
            shown(name, of, count)
        )
    }))
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
    let place =
        |(pv, held): (&PvHandle, &Held)| Some((handles.binary_search(pv).ok()?, held.clone()));
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
