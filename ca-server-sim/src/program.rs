//! What the program does with the PVs of its IOC.

use std::fmt;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::dbr::{ConvertError, Snapshot, Value, convert};
use ca_proto::rng::Pcg32;
use ca_proto::{Alarm, EcaStatus, Instant, Timestamp};

use crate::builder::MIN_PERIOD;
use crate::db::{Db, Node, PvHandle};
use crate::error::{BuildError, PostError};
use crate::field::Field;
use crate::fields::number_of;
use crate::ioc::Ioc;
use crate::name::ChannelName;
use crate::plain::Completion;
use crate::pv::PvSpec;
use crate::reads::Source;
use crate::scan::{Member, Target};
use crate::served::FieldKey;

/// A PV by its name or its handle. A name may have a field, as in `"X.HIHI"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PvRef<'a> {
    /// Found by name each time.
    Name(&'a str),
    /// Found at once.
    Handle(PvHandle),
}

impl<'a> From<&'a str> for PvRef<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for PvRef<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl From<PvHandle> for PvRef<'_> {
    fn from(handle: PvHandle) -> Self {
        Self::Handle(handle)
    }
}

impl PvRef<'_> {
    fn text(self) -> String {
        match self {
            Self::Name(name) => name.to_owned(),
            Self::Handle(handle) => format!("#{}", handle.0),
        }
    }

    fn unknown(self) -> PostError {
        PostError::UnknownPv { name: self.text() }
    }
}

impl Db {
    fn lookup(&self, pv: PvRef<'_>) -> Result<(PvHandle, Field), PostError> {
        let found = match pv {
            PvRef::Name(name) => self.resolve(name),
            PvRef::Handle(handle) => self.record(handle).map(|_| (handle, Field::Val)),
        };
        found.ok_or_else(|| match pv {
            PvRef::Name(name) if self.find_field_channel(name.as_bytes()).is_some() => {
                PostError::IsRecord { name: name.into() }
            }
            _ => pv.unknown(),
        })
    }

    /// As [`lookup`](Self::lookup), for what is the same for all fields.
    pub(crate) fn lookup_record(&self, pv: PvRef<'_>) -> Result<PvHandle, PostError> {
        match self.lookup(pv)? {
            (handle, Field::Val) => Ok(handle),
            _ => Err(PostError::NotARecord { name: pv.text() }),
        }
    }

    /// The value in the PV's native type.
    pub(crate) fn fit(&self, handle: PvHandle, value: Value) -> Result<Value, PostError> {
        let Some(record) = self.record(handle) else {
            return Err(PvRef::Handle(handle).unknown());
        };
        let name = || record.name.clone().into();
        let (from, to) = (value.native(), record.native());
        let value = if from == to {
            Ok(value)
        } else {
            convert::write(value.as_ref(), to, &record.snapshot.meta)
        };
        let value = value.map_err(|reason| PostError::Convert {
            name: name(),
            from,
            to,
            reason,
        })?;
        let (given, capacity) = (value.count(), record.capacity);
        if given > capacity || (given == 0 && !record.is_array()) {
            return Err(PostError::TooManyElements {
                name: name(),
                given,
                capacity,
            });
        }
        Ok(value)
    }

    /// Sets the time stamp of a record; returns the one it had.
    fn stamp_record(&mut self, handle: PvHandle, stamp: Timestamp) -> Timestamp {
        if self
            .overseers
            .faulty
            .as_ref()
            .is_some_and(|faulty| faulty.is_frozen(handle))
        {
            return stamp;
        }
        match self.record_mut(handle) {
            Some(record) => std::mem::replace(&mut record.snapshot.stamp, stamp),
            None => stamp,
        }
    }
}

/// What there is, in numbers: the records themselves may be a million.
impl fmt::Debug for Ioc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ioc")
            .field("pvs", &self.pv_count())
            .field("counts", &self.counts())
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Ioc {
    /// Number of PVs, records of files among them.
    pub fn pv_count(&self) -> usize {
        self.db.len() + self.record_count()
    }

    /// Names of the PVs: those that the program describes, in the order of their slots, and those of the records
    /// of files, in the order of the files.
    pub fn pv_names(&self) -> impl Iterator<Item = &str> {
        let records = self
            .db
            .served
            .iter()
            .flat_map(|served| served.records.names());
        let own = self.db.records().map(|(_, record)| &*record.name);
        own.chain(records)
    }

    /// The handle of a PV that the program describes, to reach it without its name. Records of files have none.
    pub fn handle(&self, name: &str) -> Option<PvHandle> {
        self.db.find(name.as_bytes())
    }

    /// Sets the value of a PV, or of one of its fields, and processes it: alarms, time stamp,
    /// updates. Hooks and drive limits are for clients only. A field of a record of a file is written as by
    /// `dbpf` of EPICS Base.
    ///
    /// # Shape
    /// As many elements as the value has, at most those of the PV.
    ///
    /// # Units
    /// The engineering units of the PV; nothing is converted.
    ///
    /// # Errors
    /// [`PostError`] if there is no such PV, or the value does not fit it.
    pub fn post<'a>(
        &mut self,
        now: Instant,
        pv: impl Into<PvRef<'a>>,
        value: impl Into<Value>,
    ) -> Result<(), PostError> {
        let (pv, value) = (pv.into(), value.into());
        if let Some((key, name)) = self.record_named(pv) {
            return self.post_field(now, key, name, &value);
        }
        let (handle, field) = self.db.lookup(pv)?;
        if field == Field::Val {
            // hot: a number as it is.
            if value.count() != 1
                || self.db.is_held(handle)
                || !self.db.put_number(now, handle, &value.as_ref())
            {
                let value = self.db.fit(handle, value)?;
                self.db.process(now, handle, Some(value), Alarm::NONE);
            }
        } else {
            let stored = self.db.put_field(now, handle, field, value.as_ref());
            stored.map_err(|reason| self.field_error(handle, field, pv, &value, reason))?;
        }
        self.settle(now);
        Ok(())
    }

    /// The record of a file that is meant.
    pub(crate) fn record_named<'a>(&self, pv: PvRef<'a>) -> Option<(FieldKey, &'a str)> {
        match pv {
            PvRef::Name(name) if self.db.served.is_some() && self.db.resolve(name).is_none() => {
                Some((self.field_of(name)?, name))
            }
            _ => None,
        }
    }

    fn field_error(
        &self,
        handle: PvHandle,
        field: Field,
        pv: PvRef<'_>,
        value: &Value,
        reason: ConvertError,
    ) -> PostError {
        let name = pv.text();
        match (reason, self.db.record(handle)) {
            (ConvertError::WrongDirection, _) | (_, None) => PostError::ReadOnlyField { name },
            (reason, Some(record)) => PostError::Convert {
                name,
                from: value.native(),
                to: field.native(record),
                reason,
            },
        }
    }

    /// Like [`post`](Self::post), with a time stamp of its own, which all fields of the PV share.
    ///
    /// # Errors
    /// As [`post`](Self::post); value and time stamp stay as they were then.
    pub fn post_stamped<'a>(
        &mut self,
        now: Instant,
        pv: impl Into<PvRef<'a>>,
        value: impl Into<Value>,
        stamp: Timestamp,
    ) -> Result<(), PostError> {
        let (pv, value) = (pv.into(), value.into());
        let (handle, field) = self.db.lookup(pv)?;
        if field == Field::Val {
            let value = self.db.fit(handle, value)?;
            self.db.process(now, handle, Some(value), Alarm::NONE);
        } else {
            // Before the field as well: its update may show the record before it processes.
            let before = self.db.stamp_record(handle, stamp);
            let stored = self.db.put_field(now, handle, field, value.as_ref());
            if let Err(reason) = stored {
                self.db.stamp_record(handle, before);
                return Err(self.field_error(handle, field, pv, &value, reason));
            }
        }
        self.db.stamp_record(handle, stamp);
        self.settle(now);
        Ok(())
    }

    /// The value of a PV, borrowed.
    #[cfg(feature = "net")]
    pub(crate) fn peek(&self, handle: PvHandle) -> Option<&Value> {
        Some(&self.db.record(handle)?.snapshot.value)
    }

    /// The time stamp that belongs to `now`.
    pub(crate) fn stamp(&mut self, now: Instant) -> Timestamp {
        self.db.clock.stamp(now)
    }

    /// The state of a PV or of one of its fields, with the metadata that a client of that field sees:
    /// `"X.HIHI"` has the units and limits of the value, `"X.SEVR"` the choices of its menu.
    ///
    /// # Shape
    /// The elements that the PV has at the moment.
    ///
    /// # Units
    /// The engineering units that the metadata tell.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`].
    pub fn read<'a>(&self, pv: impl Into<PvRef<'a>>) -> Result<Snapshot, PostError> {
        let pv = pv.into();
        if let Some((key, _)) = self.record_named(pv)
            && let Some(state) = self.read_field(key)
        {
            return Ok(state);
        }
        let (handle, field) = self.db.lookup(pv)?;
        let record = self.db.record(handle);
        let record = record.ok_or_else(|| PvRef::Handle(handle).unknown())?;
        Ok(match field {
            Field::Val => record.snapshot.clone(),
            field => record.snapshot_of(field),
        })
    }

    /// The value of a PV or field as a number (its first element); NaN for texts.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`].
    pub fn number<'a>(&self, pv: impl Into<PvRef<'a>>) -> Result<f64, PostError> {
        let value = self.read(pv)?.value;
        Ok(number_of(value.as_ref()).unwrap_or(f64::NAN))
    }

    /// Puts a PV in alarm, beside the alarms that follow from its value: the worse one shows. It
    /// stays until it is replaced; [`Alarm::NONE`] clears it.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`]; [`PostError::NotARecord`] for the name of a field.
    pub fn set_alarm<'a>(
        &mut self,
        now: Instant,
        pv: impl Into<PvRef<'a>>,
        alarm: Alarm,
    ) -> Result<(), PostError> {
        let pv = pv.into();
        if let Some((key, name)) = self.record_named(pv) {
            if name.contains('.') {
                return Err(PostError::NotARecord { name: pv.text() });
            }
            self.force_alarm(now, key.record, alarm);
            return Ok(());
        }
        let handle = self.db.lookup_record(pv)?;
        if let Some(record) = self.db.record_mut(handle) {
            record.extra_mut().forced = alarm;
        }
        self.db.process(now, handle, None, Alarm::NONE);
        self.settle(now);
        Ok(())
    }

    /// Sets or clears a flag, which the filter `sync` of channels, JSON links `{state: …}` and the device support
    /// `Db State` look at (`dbStateSet` of EPICS Base). One that nobody has set and no record names does not exist, and
    /// no channel opens with it.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Instant, Ioc, PvSpec};
    ///
    /// let mut ioc = Ioc::builder().pv("gap", PvSpec::double(1.5)).build()?;
    /// assert_eq!(ioc.state("beam"), None);
    /// ioc.set_state("beam", true); // gap.{sync:{while:'beam'}} opens from now on
    /// assert_eq!(ioc.state("beam"), Some(true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_state(&mut self, name: &str, value: bool) {
        self.db.set_flag(name, value);
    }

    /// Whether a flag is set; `None` if there is none of this name.
    pub fn state(&self, name: &str) -> Option<bool> {
        self.db.flag(name)
    }

    /// Subscriptions to the fields of a PV or record, by their names.
    pub(crate) fn subscriptions_of(&self, name: &[u8]) -> Vec<(String, usize)> {
        let record = ChannelName::split(name).record;
        let mut all: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        if let Some(handle) = self.db.find(record)
            && let Some(pv) = self.db.record(handle)
        {
            all.insert("VAL".to_owned(), pv.subs.len());
        }
        if let Some(served) = &self.db.served
            && let Ok(record) = std::str::from_utf8(record)
            && let Some(id) = served.records.find(record)
        {
            for (key, &handle) in served.watched_of(id) {
                if let Some(Node::Field(channel)) = self.db.nodes.get(handle) {
                    let field = served.field_name(id, key.field).to_owned();
                    *all.entry(field).or_default() += channel.subs.len();
                }
            }
        }
        all.into_iter().collect()
    }

    /// Changes what clients may do with a PV. It counts from now on; they are told at once
    /// (`casAccessRightsCB` of EPICS Base), if they have very many channels by and by.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`]; [`PostError::NotARecord`] for the name of a field.
    pub fn set_rights<'a>(
        &mut self,
        now: Instant,
        pv: impl Into<PvRef<'a>>,
        rights: AccessRights,
    ) -> Result<(), PostError> {
        let handle = self.db.lookup_record(pv.into())?;
        let changed = self.db.record_mut(handle).is_some_and(|record| {
            std::mem::replace(&mut record.rights, rights) != rights && record.open > 0
        });
        if changed {
            self.rights_changed(now);
        }
        Ok(())
    }

    /// Changes when later writes with completion are answered.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`]; [`PostError::NotARecord`] for the name of a field.
    pub fn set_completion<'a>(
        &mut self,
        pv: impl Into<PvRef<'a>>,
        completion: Completion,
    ) -> Result<(), PostError> {
        let handle = self.db.lookup_record(pv.into())?;
        if let Some(record) = self.db.record_mut(handle) {
            record.extra_mut().completion = completion;
        }
        Ok(())
    }

    /// Answers the write with completion that a PV is busy with, before its time. Returns whether
    /// there was one.
    ///
    /// # Errors
    /// [`PostError::UnknownPv`]; [`PostError::NotARecord`] for the name of a field.
    pub fn finish_put<'a>(
        &mut self,
        now: Instant,
        pv: impl Into<PvRef<'a>>,
        status: EcaStatus,
    ) -> Result<bool, PostError> {
        let handle = self.db.lookup_record(pv.into())?;
        let found = self.db.finish_put(now, handle, status);
        self.settle(now);
        Ok(found)
    }

    /// Adds a PV, also while clients are connected.
    ///
    /// # Errors
    /// [`BuildError`] for a name that is taken or impossible, or a value that does not fit.
    pub fn add(&mut self, now: Instant, name: &str, spec: PvSpec) -> Result<PvHandle, BuildError> {
        let defined = !spec.undefined;
        let handle = self.insert_at(now, name, spec)?;
        if defined && self.is_running() {
            self.db.process(now, handle, None, Alarm::NONE);
        }
        Ok(handle)
    }

    pub(crate) fn insert(&mut self, name: &str, spec: PvSpec) -> Result<PvHandle, BuildError> {
        self.insert_at(Instant::ZERO, name, spec)
    }

    fn insert_at(
        &mut self,
        now: Instant,
        name: &str,
        mut spec: PvSpec,
    ) -> Result<PvHandle, BuildError> {
        let signal = spec.signal.take();
        if let Some((_, period)) = signal
            && period < MIN_PERIOD
        {
            let name = name.to_owned();
            return Err(BuildError::BadPeriod { name, period });
        }
        let pv = self.db.add(name, spec)?;
        self.inputs_stale();
        if let Some((signal, period)) = signal {
            let rng = Pcg32::new(self.seed ^ fnv1a(name.as_bytes()));
            let pv = Target::Pv(pv);
            self.follow(now, period, Member { pv, signal, rng });
        }
        Ok(pv)
    }

    pub(crate) fn follow(&mut self, now: Instant, period: Duration, member: Member) {
        self.scans.add(period, member, self.db.time.of(now));
    }

    /// Removes a PV, or a record, or another name of one. Clients are told that its channels are gone (`SERVER_DISCONN`), if they have very many
    /// by and by; those older than 4.7 lose their circuit. Returns whether there was one.
    pub fn remove<'a>(&mut self, now: Instant, pv: impl Into<PvRef<'a>>) -> bool {
        let pv = pv.into();
        if let PvRef::Name(name) = pv
            && let Some(removed) = self.remove_record(now, name)
        {
            return removed;
        }
        let Ok((handle, Field::Val)) = self.db.lookup(pv) else {
            return false;
        };
        let open = self.db.record(handle).is_some_and(|record| record.open > 0);
        let removed = self.db.remove(handle);
        self.forget_reads([Source::Plain(handle)]);
        self.inputs_stale();
        if open {
            self.look_again(now);
        }
        self.settle(now);
        removed
    }

    /// Removes a record of this name; `None` if a PV that the program describes has it.
    fn remove_record(&mut self, now: Instant, name: &str) -> Option<bool> {
        if self.db.find(name.as_bytes()).is_some() {
            return None;
        }
        let served = self.db.served.as_mut()?;
        let id = served.records.find(name)?;
        if served.records.name_of(id) == name {
            self.remove_records(now, &[id]);
        } else if served.drop_alias(name, &mut self.db.nodes) {
            self.look_again(now);
        }
        self.settle(now);
        Some(true)
    }

    /// Removes a PV, if it exists, and adds it anew: how a PV gets another type.
    ///
    /// # Errors
    /// As [`add`](Self::add); the old PV is gone then.
    pub fn replace(
        &mut self,
        now: Instant,
        name: &str,
        spec: PvSpec,
    ) -> Result<PvHandle, BuildError> {
        self.remove(now, name);
        self.add(now, name, spec)
    }
}

/// FNV-1a: gives each PV random numbers of its own, whatever else the IOC has.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
