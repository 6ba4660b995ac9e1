//! What a program does with the records of its IOC.

use ca_proto::dbr::{Snapshot, Value};
use ca_proto::{Alarm, Instant};

use super::build::{SIGNAL, read_recording};
use super::value::from_client;
use super::{FieldKey, Served, build};
use crate::builder::IocBuilder;
use crate::error::{BuildError, FileErrors, PostError};
use crate::ioc::Ioc;
use crate::load::Loaded;
use crate::name::Modifiers;
use crate::process::{
    CallId, PutError, Records, RemoteId, RemoteInfo, RemoteRequest, RemoteUpdate,
};
use crate::program::fnv1a;
use crate::record::Meta;
use crate::scan::{Member, Target};
use crate::signals::{self, Pcg32};

impl Served {
    /// Whether a record, which may have taken the place of another, follows a signal.
    pub(crate) fn has_signal(&self, id: u32) -> bool {
        self.records.info(id, SIGNAL).is_some()
    }
}

impl Ioc {
    /// An IOC with the records of a text that is written as a `.db` file.
    ///
    /// # Errors
    /// [`BuildError::Files`] with all that is wrong in it.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Instant, Ioc, Timestamp};
    ///
    /// let mut ioc = Ioc::from_db("record(ao, \"gap\") { field(FLNK, \"twice\") }
    ///                            record(calc, \"twice\") { field(INPA, \"gap\") field(CALC, \"2*A\") }")?;
    /// ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
    /// ioc.post(Instant::ZERO, "gap", 1.5)?; // as `dbpf`: the record is processed, and what is behind it
    /// assert_eq!(ioc.number("twice")?, 3.0);
    /// assert_eq!(ioc.read("twice.SEVR")?.value.to_string(), "0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_db(text: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        IocBuilder::new().db_text(text, "").build()
    }

    /// Takes over what files say, all or nothing.
    pub(crate) fn take_records(&mut self, loaded: Loaded) -> Result<(), BuildError> {
        let wrong = |mistakes| Err(BuildError::Files(FileErrors(std::sync::Arc::new(mistakes))));
        if loaded.mistakes.has_errors() {
            return wrong(loaded.mistakes);
        }
        if self.db.served.is_some() {
            let name = loaded.records.iter().next();
            let name = name.map_or_else(String::new, |record| {
                String::from_utf8_lossy(&record.name).into_owned()
            });
            return Err(BuildError::SecondDatabase { name });
        }
        let (records, described, mistakes) = build(loaded);
        if mistakes.has_errors() {
            return wrong(mistakes);
        }
        let names = records.names().take_while(|_| self.db.len() > 0);
        for name in names {
            if self.db.find_channel(name.as_bytes()).is_some() {
                let name = name.to_owned();
                return Err(BuildError::Duplicate { name });
            }
        }
        let mut served = Served::new(records, described);
        if self.linked {
            served.records.attach_remote();
        }
        for (name, value) in std::mem::take(&mut self.db.states) {
            served.records.set_flag(&name, value);
        }
        served.records.time = self.db.time;
        self.db.served = Some(Box::new(served));
        self.follow_signals();
        self.remarks = (!mistakes.is_empty()).then(|| Box::new(mistakes));
        Ok(())
    }

    /// Records whose `info` says so follow a signal with their value.
    fn follow_signals(&mut self) {
        let Some(served) = &self.db.served else {
            return;
        };
        let mut members = Vec::new();
        for name in served.records.names() {
            let Some(id) = served.records.find(name) else {
                continue;
            };
            let Some(line) = served.records.info(id, SIGNAL) else {
                continue;
            };
            // What is wrong with it was told with the other mistakes of the files.
            let parsed = signals::line::parse(line, &mut read_recording);
            if let (Ok((signal, period)), Some(key)) = (parsed, self.field_of(name)) {
                let rng = Pcg32::new(self.seed ^ fnv1a(name.as_bytes()));
                let pv = Target::Field(key);
                members.push((period, Member { pv, signal, rng }));
            }
        }
        for (period, member) in members {
            self.follow(Instant::ZERO, period, member);
        }
    }

    /// Warnings about the files that the records are from; `None` without any.
    pub fn file_remarks(&self) -> Option<&crate::load::Mistakes> {
        self.remarks.as_deref()
    }

    /// Number of records that files describe.
    pub fn record_count(&self) -> usize {
        let served = self.db.served.as_ref();
        served.map_or(0, |served| served.records.len())
    }

    /// A driver does from now on what links of records to PVs of other IOCs want: it asks
    /// [`poll_remote`](Self::poll_remote) what to do with a client, and tells what the client finds. Without one such
    /// links are disconnected. The crate `ca-links` is one.
    pub fn attach_remote(&mut self) {
        if let Some(served) = &mut self.db.served {
            served.records.attach_remote();
        }
        self.linked = true;
    }

    /// No driver does so any more.
    pub fn detach_remote(&mut self, now: Instant) {
        self.linked = false;
        self.with_links(now, Records::detach_remote);
    }

    /// Whether links of records lead to PVs of other IOCs.
    pub fn has_remote_links(&self) -> bool {
        let served = self.db.served.as_ref();
        served.is_some_and(|served| served.records.has_remote_links())
    }

    /// Whether [`poll_remote`](Self::poll_remote) has something.
    pub fn has_remote_requests(&self) -> bool {
        let served = self.db.served.as_ref();
        served.is_some_and(|served| served.records.has_remote_requests())
    }

    /// What a driver of links has to do next.
    pub fn poll_remote(&mut self) -> Option<RemoteRequest> {
        self.db.served.as_mut()?.records.poll_remote()
    }

    /// A PV that a driver of links was to open is connected, or something about it is another.
    pub fn remote_connected(&mut self, now: Instant, id: RemoteId, info: RemoteInfo) {
        self.with_links(now, |records| records.remote_connected(id, info));
    }

    /// It is not connected any more: links to it raise alarms, and those that follow it have their records processed.
    pub fn remote_disconnected(&mut self, now: Instant, id: RemoteId) {
        self.with_links(now, |records| records.remote_disconnected(id));
    }

    /// A subscription of a driver of links gives a value.
    pub fn remote_update(
        &mut self,
        now: Instant,
        id: RemoteId,
        as_text: bool,
        update: &RemoteUpdate,
    ) {
        self.with_links(now, |records| records.remote_update(id, as_text, update));
    }

    /// What a driver of links was told of a PV's units, digits and limits.
    pub fn remote_described(&mut self, now: Instant, id: RemoteId, meta: Meta) {
        self.with_links(now, |records| records.remote_described(id, meta));
    }

    /// What a put of a driver of links has set in motion is done, or the put has failed.
    pub fn remote_put_done(&mut self, now: Instant, wait: u64) {
        self.with_links(now, |records| records.remote_put_done(wait));
    }

    fn with_links(&mut self, now: Instant, tell: impl FnOnce(&mut Records)) {
        let clock = self.db.clock.stamp(now);
        if let Some(served) = &mut self.db.served {
            served.records.set_time(now, clock);
            tell(&mut served.records);
        }
        self.last = now;
    }

    /// Record and field of a name without modifiers.
    pub(crate) fn field_of(&self, name: &str) -> Option<FieldKey> {
        let (record, field, modifiers) = self.db.find_field_channel(name.as_bytes())?;
        modifiers.is_empty().then_some(FieldKey {
            record,
            field,
            modifiers: Modifiers::default(),
        })
    }

    /// Writes a field of a record as `dbpf` of EPICS Base does.
    pub(crate) fn post_field(
        &mut self,
        now: Instant,
        key: FieldKey,
        name: &str,
        value: &Value,
    ) -> Result<(), PostError> {
        let clock = self.db.clock.stamp(now);
        let Some(served) = &mut self.db.served else {
            return Ok(());
        };
        served.records.set_time(now, clock);
        let val = from_client(value.as_ref());
        let written = match served.is_writable(key) {
            true => served.records.put(key.record, key.field, val),
            false => Err(PutError::NoMod),
        };
        let name = || name.to_owned();
        match written {
            Ok(()) => {}
            Err(PutError::NoMod) => return Err(PostError::ReadOnlyField { name: name() }),
            Err(reason) => {
                let name = name();
                return Err(PostError::NotWritten { name, reason });
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Answers a call of a function that has said it would answer [later](crate::process::Call::later): the fields
    /// of its record are set, and it goes on with the status. False if nobody waits for the answer any more.
    pub fn answer_call(
        &mut self,
        now: Instant,
        call: CallId,
        fields: Vec<(String, Value)>,
        status: i32,
    ) -> bool {
        let val = |(field, value): (String, Value)| (field, from_client(value.as_ref()));
        let fields = fields.into_iter().map(val).collect();
        let clock = self.db.clock.stamp(now);
        let Some(served) = &mut self.db.served else {
            return false;
        };
        served.records.set_time(now, clock);
        let answered = served.records.answer_call(call, fields, status);
        self.settle(now);
        answered
    }

    /// Sets the value of a record as its device would: DISP does not count, and it is processed whatever SCAN says,
    /// unless `process` is false. An alarm shows beside those of the record until another one is given;
    /// [`Alarm::NONE`] ends it.
    ///
    /// # Errors
    /// [`PostError`]: no record of a file, or a value that it cannot have.
    pub fn write_record(
        &mut self,
        now: Instant,
        record: &str,
        value: Option<&Value>,
        alarm: Option<Alarm>,
        process: bool,
    ) -> Result<(), PostError> {
        let unknown = || PostError::UnknownPv {
            name: record.to_owned(),
        };
        let key = self.field_of(record).ok_or_else(unknown)?;
        let clock = self.db.clock.stamp(now);
        let served = self.db.served.as_mut().ok_or_else(unknown)?;
        served.records.set_time(now, clock);
        if let Some(value) = value {
            let val = from_client(value.as_ref());
            let written = served.records.write(key.record, key.field, &val);
            written.map_err(|reason| PostError::NotWritten {
                name: record.to_owned(),
                reason,
            })?;
        }
        if let Some(alarm) = alarm {
            let (stat, sevr) = (alarm.status.0 as u8, alarm.severity.0.min(3) as u8);
            served.records.force_alarm(key.record, stat, sevr);
        }
        if process {
            served.records.process_now(key.record);
        }
        self.settle(now);
        Ok(())
    }

    /// Has a record show an alarm beside its own.
    pub(crate) fn force_alarm(&mut self, now: Instant, record: u32, alarm: Alarm) {
        let clock = self.db.clock.stamp(now);
        if let Some(served) = &mut self.db.served {
            served.records.set_time(now, clock);
            let (stat, sevr) = (alarm.status.0 as u8, alarm.severity.0.min(3) as u8);
            served.records.force_alarm(record, stat, sevr);
            served.records.process_now(record);
        }
        self.settle(now);
    }

    /// What a client sees of a field.
    pub(crate) fn read_field(&self, key: FieldKey) -> Option<Snapshot> {
        let served = self.db.served.as_ref()?;
        Some(served.read(key, None, u32::MAX))
    }
}
