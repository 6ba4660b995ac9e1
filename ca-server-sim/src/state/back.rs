//! Going back to a snapshot in turns.

use std::sync::Arc;

use ca_proto::{Instant, Timestamp};
use hashbrown::HashMap;

use super::codec::{Broken, Reader, Saved};
use super::copy::{AT_ONCE, Name, name_of};
use super::file::{IocSnapshot, SnapshotError};
use super::load_faulty;
use super::signals::{SignalsBack, SignalsState};
use crate::db::PvHandle;
use crate::faults::{Faults, Faulty};
use crate::ioc::Ioc;
use crate::plain::Record;
use crate::process::{Kind, RecordsState};
use crate::record::Schema;
use crate::served::FieldKey;

/// A snapshot that an IOC is going back to.
#[derive(Debug)]
pub(crate) struct Rewinding {
    token: Arc<()>,
    snapshot: IocSnapshot,
    /// Which PVs and records there are.
    revision: u64,
    handles: Vec<PvHandle>,
    schema: Option<Arc<Schema>>,
    read: Option<Read>,
    phase: Phase,
    /// How many of a phase were looked at.
    at: usize,
    watched: Vec<FieldKey>,
    signals: Option<SignalsBack>,
    same: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    ComparePvs,
    CompareRecords,
    /// Signals are found, which stand still from then on.
    FindSignals,
    /// All that is no PV is exchanged, which is the first change.
    Exchange,
    TakeSignals,
    TakePvs,
    /// Subscribers are told, and groups of access security found again.
    Tell,
    Done,
}

/// A snapshot that was read: what it says of itself, which is then what was before.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) pv_names: Vec<Kind>,
    capacities: Vec<u32>,
    /// Of records there are the names alone.
    pub(super) record_names: Option<Vec<Kind>>,
    own: Instant,
    pub(super) pvs: Vec<Record>,
    pub(super) records: Option<RecordsState>,
    pub(super) signals: Option<SignalsState>,
    pub(super) flags: HashMap<Box<str>, bool>,
    faults: Option<Box<Faults>>,
    faulty: Option<Box<Faulty>>,
    clock_off: i64,
    #[cfg_attr(
        not(feature = "net"),
        expect(dead_code, reason = "models run on sockets")
    )]
    models: Vec<Vec<u8>>,
}

impl Rewinding {
    fn broken(&self, broken: Broken) -> SnapshotError {
        let (_, head) = self.snapshot.body();
        SnapshotError::Broken {
            at: head + broken.at,
            what: broken.what,
        }
    }

    /// Whether it has come so far that something changes with the next turn.
    #[cfg(any(test, feature = "net"))]
    pub(crate) fn is_changing(&self) -> bool {
        self.phase >= Phase::Exchange
    }

    /// The states of models.
    #[cfg(feature = "net")]
    pub(crate) fn models(&self) -> &[Vec<u8>] {
        self.read.as_ref().map_or(&[], |read| &read.models)
    }

    /// Reads the snapshot, which takes the longest time, and needs no IOC.
    pub(crate) fn read(&mut self) -> Result<(), SnapshotError> {
        let (body, _) = self.snapshot.body();
        let read = Read::of(body, self.schema.as_deref(), &self.handles);
        match read.map_err(|broken| self.broken(broken))? {
            Ok(read) => self.read = Some(read),
            Err(what) => return Err(SnapshotError::OtherDatabase { what }),
        }
        Ok(())
    }
}

impl Read {
    /// The inner error is one of the database.
    pub(super) fn of(
        body: &[u8],
        schema: Option<&Schema>,
        handles: &[PvHandle],
    ) -> Result<Result<Self, String>, Broken> {
        let from = &mut Reader::new(body);
        Timestamp::load(from)?;
        let own = Instant::load(from)?;
        let (pv_names, capacities) = load_names(from)?;
        let record_names = match bool::load(from)? {
            true => Some(load_names(from)?.0),
            false => None,
        };
        match (&record_names, schema) {
            (Some(_), None) => {
                let what = "it has records of files, and here are none";
                return Ok(Err(what.to_owned()));
            }
            (None, Some(_)) => {
                let what = "it has no records of files, and here are some";
                return Ok(Err(what.to_owned()));
            }
            _ => {}
        }
        let pvs: Result<Vec<Record>, Broken> =
            pv_names.iter().map(|_| Record::load(from)).collect();
        let pvs = pvs?;
        let records = match (&record_names, schema) {
            (Some(names), Some(schema)) => {
                let copy = |kind: &Kind| Kind {
                    name: kind.name.clone(),
                    of: kind.of.clone(),
                };
                let kinds = names.iter().map(copy).collect();
                Some(RecordsState::load(from, schema, kinds)?)
            }
            _ => None,
        };
        let read = Self {
            pv_names,
            capacities,
            record_names,
            own,
            pvs,
            records,
            signals: Some(SignalsState::load(from)?),
            flags: Saved::load(from)?,
            faults: Saved::load(from)?,
            faulty: load_faulty(from, handles)?,
            clock_off: i64::load(from)?,
            models: load_models(from)?,
        };
        match from.is_at_end() {
            true => Ok(Ok(read)),
            false => Err(from.broken("there is something behind its end")),
        }
    }
}

fn load_models(from: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Broken> {
    let count = from.length()?;
    (0..count)
        .map(|_| from.text().map(<[u8]>::to_vec))
        .collect()
}

fn load_names(from: &mut Reader<'_>) -> Result<(Vec<Kind>, Vec<u32>), Broken> {
    let length = from.length()?;
    let (mut names, mut capacities) = (Vec::with_capacity(length), Vec::with_capacity(length));
    let mut last: Box<str> = Box::default();
    for _ in 0..length {
        let name = <Box<str>>::load(from)?;
        let of = <Box<str>>::load(from)?;
        capacities.push(u32::load(from)?);
        if !of.is_empty() || name.is_empty() {
            last = of;
        }
        let of = last.clone();
        names.push(Kind { name, of });
    }
    Ok((names, capacities))
}

/// The first difference of some names to those that are there.
fn compare<'a>(
    what: &str,
    names: &[Kind],
    capacities: &[u32],
    places: std::ops::Range<usize>,
    there: impl Fn(usize) -> Option<Name<'a>>,
) -> Option<String> {
    let shown = |(name, of, count): Name<'_>| match (name, count) {
        ("", _) => "nothing (it was removed)".to_owned(),
        (name, 0 | 1) => format!("\"{name}\" ({of})"),
        (name, count) => format!("\"{name}\" ({of}, up to {count})"),
    };
    for place in places {
        let number = place + 1;
        let count = capacities.get(place).copied().unwrap_or_default();
        let its = names
            .get(place)
            .map(|Kind { name, of }| (&**name, &**of, count));
        let here = there(place);
        if its == here {
            continue;
        }
        let here = here.map_or_else(|| "nothing".to_owned(), shown);
        return Some(match its {
            Some(its) => {
                let its = shown(its);
                format!("its {what} {number} is {its}, and here is {here}")
            }
            None => format!("its {what}s end with number {place}, and here {number} is {here}"),
        });
    }
    None
}

impl Ioc {
    /// Begins to go back. Nothing changes before [`go_back`](Self::go_back).
    pub(crate) fn begin_rewind(&self, snapshot: &IocSnapshot) -> Result<Rewinding, SnapshotError> {
        if !self.is_running() {
            return Err(SnapshotError::NotStarted);
        }
        let served = self.db.served.as_ref();
        Ok(Rewinding {
            token: Arc::new(()),
            snapshot: snapshot.clone(),
            revision: self.db.revision(),
            handles: self.db.handles(),
            schema: served.map(|served| served.records.shared_schema()),
            read: None,
            phase: Phase::ComparePvs,
            at: 0,
            watched: Vec::new(),
            signals: None,
            same: match (&self.identity, &snapshot.of) {
                (Some(own), Some(of)) => Arc::ptr_eq(own, of),
                _ => false,
            },
        })
    }

    /// Goes back by a part; whether there is more. After an error nothing has changed.
    pub(crate) fn go_back(
        &mut self,
        now: Instant,
        rewinding: &mut Rewinding,
    ) -> Result<bool, SnapshotError> {
        if rewinding.phase <= Phase::Exchange && rewinding.revision != self.db.revision() {
            return Err(SnapshotError::Reshaped);
        }
        let Some(mut read) = rewinding.read.take() else {
            return Ok(false);
        };
        let places = rewinding.at..rewinding.at + AT_ONCE;
        rewinding.at = places.end;
        let all = match rewinding.phase {
            Phase::ComparePvs => {
                self.compare_pvs(rewinding, &mut read, places.clone())?;
                read.pv_names.len().max(rewinding.handles.len())
            }
            Phase::CompareRecords => self.compare_records(&read, places.clone())?,
            Phase::FindSignals => match self.find_signals(rewinding, &mut read)? {
                // As many turns as it takes.
                true => usize::MAX,
                false => 0,
            },
            Phase::Exchange => {
                self.exchange(now, rewinding, &mut read)?;
                0
            }
            Phase::TakeSignals => {
                let signals = rewinding.signals.as_mut();
                match signals.is_some_and(|signals| signals.take(&mut self.scans)) {
                    true => usize::MAX,
                    false => 0,
                }
            }
            Phase::TakePvs => {
                let handles = rewinding.handles.iter().zip(&mut read.pvs);
                for (&handle, new) in handles.skip(places.start).take(AT_ONCE) {
                    self.db.take_pv(handle, new, rewinding.same);
                }
                rewinding.handles.len()
            }
            Phase::Tell => self.tell_back(rewinding, &read, places.clone()),
            Phase::Done => 0,
        };
        if places.end >= all {
            rewinding.at = 0;
            rewinding.phase = match rewinding.phase {
                Phase::ComparePvs => Phase::CompareRecords,
                Phase::CompareRecords => Phase::FindSignals,
                Phase::FindSignals => Phase::Exchange,
                Phase::Exchange => Phase::TakeSignals,
                Phase::TakeSignals => Phase::TakePvs,
                Phase::TakePvs => Phase::Tell,
                Phase::Tell => {
                    self.inputs_stale();
                    self.look_again(now);
                    Phase::Done
                }
                Phase::Done => Phase::Done,
            };
        }
        // What is left in it is freed by whoever has it, not here.
        rewinding.read = Some(read);
        if matches!(rewinding.phase, Phase::Tell | Phase::Done) {
            self.settle(now);
        }
        Ok(rewinding.phase != Phase::Done)
    }

    fn compare_pvs(
        &self,
        rewinding: &Rewinding,
        read: &mut Read,
        places: std::ops::Range<usize>,
    ) -> Result<(), SnapshotError> {
        let there = |place: usize| {
            let handle = rewinding.handles.get(place)?;
            self.db.record(*handle).map(name_of)
        };
        let other = compare(
            "PV",
            &read.pv_names,
            &read.capacities,
            places.clone(),
            there,
        );
        if let Some(what) = other {
            return Err(SnapshotError::OtherDatabase { what });
        }
        let handles = rewinding.handles.iter().zip(&mut read.pvs);
        for (&handle, new) in handles.skip(places.start).take(places.len()) {
            if !self.db.suits(handle, new) {
                let (body, _) = rewinding.snapshot.body();
                let at = body.len();
                let what = "a value does not fit its PV";
                return Err(rewinding.broken(Broken { at, what }));
            }
        }
        Ok(())
    }

    /// How many there are to be compared.
    fn compare_records(
        &self,
        read: &Read,
        places: std::ops::Range<usize>,
    ) -> Result<usize, SnapshotError> {
        let (Some(served), Some(names)) = (&self.db.served, &read.record_names) else {
            return Ok(0);
        };
        let there = |place| served.records.name_at(place);
        match compare("record", names, &[], places, there) {
            Some(what) => Err(SnapshotError::OtherDatabase { what }),
            None => Ok(names.len().max(served.records.places())),
        }
    }

    /// Whether there are more.
    fn find_signals(
        &mut self,
        rewinding: &mut Rewinding,
        read: &mut Read,
    ) -> Result<bool, SnapshotError> {
        if let Some(signals) = read.signals.take() {
            self.db.hold_signals(&rewinding.token);
            rewinding.signals = Some(SignalsBack::begin(signals, &self.scans));
        }
        let Some(mut signals) = rewinding.signals.take() else {
            return Ok(false);
        };
        let (body, _) = rewinding.snapshot.body();
        let end = Reader::at_end(body);
        let found = signals.find(&end, &mut self.scans, &rewinding.handles);
        let found = found.map_err(|broken| rewinding.broken(broken));
        rewinding.signals = Some(signals);
        found
    }

    fn exchange(
        &mut self,
        now: Instant,
        rewinding: &mut Rewinding,
        read: &mut Read,
    ) -> Result<(), SnapshotError> {
        let broken = |broken| rewinding.broken(broken);
        let (body, _) = rewinding.snapshot.body();
        let end = Reader::at_end(body);
        if let (Some(state), Some(served)) = (&mut read.records, &self.db.served)
            && !served.records.suits(state)
        {
            return Err(broken(end.broken("it has other scan periods")));
        }
        if let Some(signals) = &mut rewinding.signals {
            signals.exchange(&mut self.scans);
        }
        self.db.revise();
        self.go_to(now, read.own);
        self.take_faults(now, read.faults.take(), read.faulty.take(), read.clock_off);
        self.db.states = std::mem::take(&mut read.flags);
        self.db.begin_to_take();
        if let (Some(state), Some(served)) = (&mut read.records, &mut self.db.served) {
            let at = self.db.time.of(now);
            rewinding.watched = served.rewind(at, state, rewinding.same);
        }
        self.wrote = None;
        self.inputs_stale();
        self.db.collect_field_puts();
        Ok(())
    }

    /// How many there are to be told of.
    fn tell_back(
        &mut self,
        rewinding: &Rewinding,
        read: &Read,
        places: std::ops::Range<usize>,
    ) -> usize {
        let (Some(before), Some(served)) = (&read.records, &mut self.db.served) else {
            return 0;
        };
        served.records.note_groups(before, places.clone());
        let keys = rewinding.watched.get(places.start..).unwrap_or_default();
        let keys = keys.get(..places.len().min(keys.len()));
        served.tell_back(before, keys.unwrap_or_default());
        rewinding.watched.len().max(served.records.places())
    }
}
