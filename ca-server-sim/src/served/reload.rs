//! Records that come and go while clients are connected, and files that are read anew.

use std::sync::Arc;

use ca_proto::Instant;

use super::described::{ALIASES, Described, INFOS};
use super::{FieldKey, Served, build};
use crate::builder::IocBuilder;
use crate::db::{Node, PvHandle};
use crate::error::{BuildError, FileErrors};
use crate::ioc::Ioc;
use crate::load::{Loaded, Mistakes};
use crate::name::Modifiers;
use crate::process::{AddError, Records};
use crate::reads::Source;
use crate::record::{Schema, Special};

/// Records that are looked at in one step of a [`Reload`].
const STEP: usize = 500;

/// What reading files anew has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RecordChanges {
    /// Records that are new.
    pub added: u64,
    /// Records of which a field, an item or another name is another one.
    pub changed: u64,
    /// Records that had to be made anew, as they are of another type, or a field cannot be written: their clients
    /// were told that they are gone, and find them again.
    pub replaced: u64,
    /// Records that are gone.
    pub removed: u64,
    /// Records of which the files say what they said before.
    pub kept: u64,
}

/// Records that a running IOC is to get: what was read from files, made into records, not yet among the others.
///
/// Making it takes most of the time, and needs no IOC.
#[derive(Debug)]
pub struct Reload {
    built: Records,
    described: Described,
    remarks: Mistakes,
    phase: Phase,
    /// Where the phase goes on.
    next: usize,
    /// Only add, and leave alone all that is there.
    adds: bool,
    /// The numbers in the IOC, in the order of the files.
    ids: Vec<u32>,
    /// Aliases that are to be looked at.
    aliases: Vec<Box<str>>,
    changes: RecordChanges,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Whether it is possible at all. Nothing is changed before all is looked at.
    Check,
    /// What the files do not describe any more goes.
    Remove,
    /// What they describe comes, or becomes what they say.
    Become,
    Done,
}

impl Reload {
    /// Makes records of what files say.
    ///
    /// # Errors
    /// [`BuildError::Files`] with all mistakes.
    pub fn new(loaded: Loaded) -> Result<Self, BuildError> {
        let wrong = |mistakes| Err(BuildError::Files(FileErrors(Arc::new(mistakes))));
        if loaded.mistakes.has_errors() {
            return wrong(loaded.mistakes);
        }
        let (built, described, remarks) = build(loaded);
        if remarks.has_errors() {
            return wrong(remarks);
        }
        Ok(Self::with(built, described, remarks))
    }

    /// The records of an IOC that is not built yet.
    pub fn of(builder: IocBuilder) -> Self {
        let remarks = builder.ioc.remarks.map(|remarks| *remarks);
        let (built, described) = match builder.ioc.db.served {
            Some(served) => (served.records, served.described),
            None => (Records::new(Arc::new(Schema::base())), Described::default()),
        };
        Self::with(built, described, remarks.unwrap_or_default())
    }

    fn with(built: Records, described: Described, remarks: Mistakes) -> Self {
        Self {
            built,
            described,
            remarks,
            phase: Phase::Check,
            next: 0,
            adds: false,
            ids: Vec::new(),
            aliases: Vec::new(),
            changes: RecordChanges::default(),
        }
    }

    /// What was changed so far.
    pub const fn changes(&self) -> RecordChanges {
        self.changes
    }

    fn go_to(&mut self, phase: Phase) {
        (self.phase, self.next) = (phase, 0);
    }
}

impl Ioc {
    /// Adds the records of files that were read, also while clients are connected: links to names that were not those
    /// of records of this IOC find them.
    ///
    /// # Errors
    /// [`BuildError`] with all mistakes in files; for a name that is taken, or a record type that is another one here.
    /// Nothing is added then.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Instant, Ioc, RecordFiles};
    ///
    /// let mut ioc = Ioc::from_db("record(calc, \"double\") { field(INPA, \"gap CP\") field(CALC, \"2*A\") }")?;
    /// let now = Instant::ZERO;
    /// let gap = RecordFiles::new().text("record(ao, \"gap\") { field(VAL, 1.5) }", "");
    /// ioc.add_records(now, gap.load())?;
    ///
    /// // Files that are read anew: what they still describe stays, and so do records that were added.
    /// let text = "record(calc, \"double\") { field(INPA, \"gap CP\") field(CALC, \"2*A\") field(EGU, \"mm\") }";
    /// let changes = ioc.reload_records(now, RecordFiles::new().text(text, "").load())?;
    /// assert_eq!((changes.changed, changes.removed), (1, 0));
    /// ioc.rename_record(now, "double", "twice")?;
    /// assert_eq!(ioc.pv_names().collect::<Vec<_>>(), ["twice", "gap"]);
    /// assert!(ioc.remove(now, "gap"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_records(&mut self, now: Instant, loaded: Loaded) -> Result<u64, BuildError> {
        let mut reload = Reload::new(loaded)?;
        reload.adds = true;
        while !self.reload_step(now, &mut reload)? {}
        Ok(reload.changes.added)
    }

    /// Makes the records of files what these say now. Records of which they say the same keep values and clients;
    /// fields of which they say something else are written, and process passive records as a client's put would;
    /// records that they describe no more are [removed](Self::remove). Records that were [added](Self::add_records)
    /// stay.
    ///
    /// # Errors
    /// As [`add_records`](Self::add_records); nothing is changed then.
    pub fn reload_records(
        &mut self,
        now: Instant,
        loaded: Loaded,
    ) -> Result<RecordChanges, BuildError> {
        let mut reload = Reload::new(loaded)?;
        while !self.reload_step(now, &mut reload)? {}
        Ok(reload.changes)
    }

    /// Does a part of [`reload_records`](Self::reload_records), some hundred records at once; whether it was the last.
    /// Until then some records are what files said before, and others what they say now.
    ///
    /// # Errors
    /// As [`add_records`](Self::add_records); nothing is changed then.
    pub fn reload_step(&mut self, now: Instant, reload: &mut Reload) -> Result<bool, BuildError> {
        let clock = self.db.clock.stamp(now);
        if self.db.served.is_none() {
            let mut records = reload.built.empty_like();
            if self.linked {
                records.attach_remote();
            }
            self.db.served = Some(Box::new(Served::new(records, Described::default())));
            if self.is_running() {
                self.start_records(now);
            }
        }
        if let Some(served) = &mut self.db.served {
            served.records.set_time(now, clock);
        }
        match reload.phase {
            Phase::Check => self.check_reload(reload)?,
            Phase::Remove => self.remove_undescribed(now, reload),
            Phase::Become => self.become_described(now, reload),
            Phase::Done => return Ok(true),
        }
        self.settle(now);
        Ok(reload.phase == Phase::Done)
    }

    fn check_reload(&self, reload: &mut Reload) -> Result<(), BuildError> {
        let Some(served) = &self.db.served else {
            return Ok(());
        };
        if reload.next == 0 {
            served.check_types(&reload.built)?;
        }
        let (next, len) = (reload.next, reload.built.len());
        let end = (next + STEP).min(len);
        for id in next..end {
            let name = reload.built.name_of(id as u32);
            self.check_free(served, name, reload.adds)?;
        }
        reload.next = end;
        if end == len {
            for (_, alias) in reload.built.aliases() {
                self.check_free(served, &alias, reload.adds)?;
            }
            reload.go_to(match reload.adds {
                true => Phase::Become,
                false => Phase::Remove,
            });
            let aliases = served.records.aliases().into_iter();
            let aliases = aliases.map(|(_, name)| name);
            reload.aliases = aliases.filter(|_| !reload.adds).collect();
        }
        Ok(())
    }

    /// Whether a name can be that of a record of the files.
    fn check_free(&self, served: &Served, name: &str, adds: bool) -> Result<(), BuildError> {
        let of_program = self.db.len() > 0 && self.db.find_channel(name.as_bytes()).is_some();
        let taken = served.records.find(name);
        let taken = taken.is_some_and(|id| adds || !served.described.describes(id));
        match of_program || taken {
            true => Err(BuildError::Duplicate {
                name: name.to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn remove_undescribed(&mut self, now: Instant, reload: &mut Reload) {
        let Some(served) = &mut self.db.served else {
            return;
        };
        let mut open = false;
        for name in std::mem::take(&mut reload.aliases) {
            let of = served.records.find(&name);
            let own = of.filter(|&id| served.described.describes(id));
            let own = own.map(|id| served.records.name_of(id).to_owned());
            let still = reload.built.find(&name);
            let still = still.map(|id| reload.built.name_of(id));
            if own.is_some() && own.as_deref() != still {
                open |= served.drop_alias(&name, &mut self.db.nodes);
            }
        }
        let numbers = served.records.numbers();
        let end = (reload.next + STEP).min(numbers);
        let mut gone = Vec::new();
        for id in reload.next..end {
            let id = id as u32;
            if !served.described.describes(id) {
                continue;
            }
            let name = served.records.name_of(id);
            let still = reload.built.find(name);
            let still = still.filter(|&new| reload.built.name_of(new) == name);
            if still.is_none() {
                gone.push(id);
            }
        }
        reload.next = end;
        if end == numbers {
            reload.go_to(Phase::Become);
        }
        reload.changes.removed += gone.len() as u64;
        self.remove_records(now, &gone);
        if open {
            self.look_again(now);
        }
    }

    fn become_described(&mut self, now: Instant, reload: &mut Reload) {
        let Some(served) = &mut self.db.served else {
            return;
        };
        let numbers = reload.built.numbers();
        let end = (reload.next + STEP).min(numbers);
        let (mut new, mut replaced) = (Vec::new(), Vec::new());
        for number in reload.next..end {
            let number = number as u32;
            let name = reload.built.name_of(number);
            let Some(id) = served.records.find(name) else {
                new.push(number);
                reload.changes.added += 1;
                continue;
            };
            set_at(&mut reload.ids, number, id);
            let changed = served.described.changed(id, &reload.described, number);
            if changed.is_empty() && served.same_type(id, &reload.built, number) {
                reload.changes.kept += 1;
            } else if served.same_type(id, &reload.built, number)
                && served.take_over(id, &reload.built, number, &changed)
            {
                reload.changes.changed += 1;
            } else {
                reload.changes.replaced += 1;
                replaced.push(id);
                new.push(number);
            }
        }
        reload.next = end;
        self.remove_records(now, &replaced);
        let Some(served) = &mut self.db.served else {
            return;
        };
        let (adopted, notes) = served.records.adopt(&mut reload.built, &new);
        for note in notes {
            self.limits
                .tell(format!("record {}: {}", note.record, note.text));
        }
        let came = !adopted.is_empty();
        for (number, id) in adopted {
            set_at(&mut reload.ids, number, id);
        }
        if end == numbers {
            reload.go_to(Phase::Done);
            if !reload.adds {
                served.described = std::mem::take(&mut reload.described);
                served.described.number(&reload.ids);
                let remarks = std::mem::take(&mut reload.remarks);
                self.remarks = (!remarks.is_empty()).then(|| Box::new(remarks));
            }
        }
        if came {
            self.inputs_stale();
        }
    }

    /// Removes records of files; their clients are told.
    pub(crate) fn remove_records(&mut self, now: Instant, ids: &[u32]) {
        let clock = self.db.clock.stamp(now);
        if ids.is_empty() {
            return;
        }
        self.forget_asked(now, ids);
        self.forget_reads(ids.iter().map(|&id| Source::Record(id)));
        self.inputs_stale();
        let Some(served) = &mut self.db.served else {
            return;
        };
        served.records.set_time(now, clock);
        served.records.remove(ids);
        let mut open = false;
        for &id in ids {
            served.described.forget(id);
            served.observed.remove(&id);
            open |= served.leave_channels(id, &mut self.db.nodes);
        }
        if open {
            self.look_again(now);
        }
    }

    /// Gives a record of files another name. It keeps its values, and what it does; clients of the old name are told
    /// that it is gone, and links to it look for their targets again.
    ///
    /// # Errors
    /// [`BuildError::NoRecord`]; for a name that is taken or cannot be one.
    pub fn rename_record(&mut self, now: Instant, old: &str, new: &str) -> Result<(), BuildError> {
        let name = || new.to_owned();
        if self.db.len() > 0 && self.db.find_channel(new.as_bytes()).is_some() {
            return Err(BuildError::Duplicate { name: name() });
        }
        let clock = self.db.clock.stamp(now);
        let served = self.db.served.as_mut();
        let found = served.and_then(|served| Some((served.records.find(old)?, served)));
        let Some((id, served)) = found else {
            let name = old.to_owned();
            return Err(BuildError::NoRecord { name });
        };
        served.records.set_time(now, clock);
        let bad = crate::load::define::bad_name(new);
        if let Some(reason) = bad {
            return Err(BuildError::BadName {
                name: name(),
                reason,
            });
        }
        served
            .records
            .rename(id, new)
            .map_err(|error| match error {
                AddError::Exists(_) => BuildError::Duplicate { name: name() },
                _ => BuildError::BadName {
                    name: name(),
                    reason: "the name of a record has 1 to 60 bytes; shorten it",
                },
            })?;
        // It is none of the files any more: these describe the old one.
        served.described.forget(id);
        if served.leave_channels(id, &mut self.db.nodes) {
            self.look_again(now);
        }
        self.inputs_stale();
        self.settle(now);
        Ok(())
    }
}

fn set_at(ids: &mut Vec<u32>, at: u32, id: u32) {
    let at = at as usize;
    if ids.len() <= at {
        ids.resize(at + 1, u32::MAX);
    }
    if let Some(slot) = ids.get_mut(at) {
        *slot = id;
    }
}

impl Served {
    /// Whether the types of other records are those that are here.
    fn check_types(&self, other: &Records) -> Result<(), BuildError> {
        let mut seen = vec![false; other.schema().types().count()];
        for id in 0..other.numbers() as u32 {
            let kind = other.kind_of(id);
            let known = seen.get_mut(usize::from(kind));
            if known.is_none_or(|known| std::mem::replace(known, true)) {
                continue;
            }
            if !self.records.has_type_like(other.schema(), kind) {
                let of = other.schema().record_type(kind).name.to_string();
                return Err(BuildError::OtherType { of });
            }
        }
        Ok(())
    }

    fn same_type(&self, id: u32, other: &Records, number: u32) -> bool {
        self.records.type_of(id).name == other.type_of(number).name
    }

    /// Writes what files say now; false if it cannot be written.
    fn take_over(&mut self, id: u32, from: &Records, number: u32, changed: &[u16]) -> bool {
        let of = Arc::clone(self.records.type_of(id));
        let device = of.find("DTYP");
        let fixed = |&field: &u16| {
            Some(field) == device
                || of.field(field).special == Special::NoMod
                || self.records.shape(id, field).is_some()
        };
        let mut fields: Vec<u16> = changed
            .iter()
            .copied()
            .filter(|&field| field != INFOS && field != ALIASES)
            .collect();
        if fields.iter().any(fixed) {
            return false;
        }
        // The value last, so that it is processed with all else.
        fields.sort_by_key(|&field| (Some(field) == of.value, field));
        for field in fields {
            if self
                .records
                .put_described(id, field, from.raw(number, field))
                .is_err()
            {
                return false;
            }
        }
        if changed.contains(&INFOS) {
            self.records.copy_infos(id, from, number);
        }
        if changed.contains(&ALIASES) {
            let name = self.records.name_of(id).to_owned();
            for (of, alias) in from.aliases() {
                if of == number && self.records.find(&alias).is_none() {
                    // The name is free.
                    let _ = self.records.join_alias(&name, &alias);
                }
            }
        }
        true
    }

    /// Channels on a record are open on nothing any more; whether there were any.
    fn leave_channels(
        &mut self,
        id: u32,
        nodes: &mut ca_proto::ids::Slots<PvHandle, Node>,
    ) -> bool {
        let key = |record| FieldKey {
            record,
            field: 0,
            modifiers: Modifiers::default(),
        };
        let (first, behind) = (key(id), key(id.saturating_add(1)));
        let open: Vec<(FieldKey, PvHandle)> = self
            .open
            .range(first..behind)
            .map(|(&key, &handle)| (key, handle))
            .collect();
        for &(key, handle) in &open {
            self.open.remove(&key);
            self.watched.remove(&key);
            if let Some(Node::Field(channel)) = nodes.get_mut(handle) {
                channel.gone = true;
            }
        }
        self.records.set_watched(id, self.observed.contains(&id));
        self.drop_telling(id);
        !open.is_empty()
    }

    /// Takes another name of a record away. Which channel was opened by which name is not known, so that all on the
    /// record are to be found anew; whether there were any.
    pub(crate) fn drop_alias(
        &mut self,
        name: &str,
        nodes: &mut ca_proto::ids::Slots<PvHandle, Node>,
    ) -> bool {
        let id = self.records.find(name);
        self.records.remove_alias(name);
        id.is_some_and(|id| self.leave_channels(id, nodes))
    }
}
